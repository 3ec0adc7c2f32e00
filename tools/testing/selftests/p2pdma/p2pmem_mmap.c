// SPDX-License-Identifier: GPL-2.0
/*
 * The rules of the allocate file: which mappings it grants, what they hold, and that the
 * provider has everything back when they are gone, whichever way they go.
 */
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "p2pmem.h"
#include "../kselftest_harness.h"

FIXTURE(p2pmem)
{
	struct p2pmem mem;
	long before;
};

FIXTURE_SETUP(p2pmem)
{
	const char *why = p2pmem_open(&self->mem);

	if (why)
		SKIP(return, "%s", why);
	self->before = p2pmem_available(&self->mem);
}

FIXTURE_TEARDOWN(p2pmem)
{
	/* A case that was skipped in its setup has opened nothing. */
	if (!self->before)
		return;
	EXPECT_EQ(p2pmem_available(&self->mem), self->before);
	p2pmem_close(&self->mem);
}

TEST_F(p2pmem, file_modes)
{
	static const struct {
		const char *name;
		mode_t mode;
	} files[] = {
		{ "size", 0444 },
		{ "available", 0444 },
		{ "published", 0444 },
		{ "allocate", 0660 },
	};
	char path[PATH_MAX + 32];
	struct stat st;
	int i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", self->mem.dir, files[i].name);
		ASSERT_EQ(stat(path, &st), 0);
		EXPECT_EQ(st.st_mode & 07777, files[i].mode);
	}
	EXPECT_EQ(st.st_size, 1L << 40);
}

TEST_F(p2pmem, private_mapping_is_refused)
{
	void *map = mmap(NULL, self->mem.page, PROT_READ | PROT_WRITE, MAP_PRIVATE,
			 self->mem.fd, 0);

	ASSERT_EQ(map, MAP_FAILED);
	EXPECT_EQ(errno, EINVAL);
}

TEST_F(p2pmem, offset_is_refused)
{
	void *map = mmap(NULL, self->mem.page, PROT_READ | PROT_WRITE, MAP_SHARED,
			 self->mem.fd, self->mem.page);

	ASSERT_EQ(map, MAP_FAILED);
	EXPECT_EQ(errno, EINVAL);
}

TEST_F(p2pmem, more_than_there_is_is_refused)
{
	ASSERT_EQ(p2pmem_map(&self->mem, self->mem.size + self->mem.page), MAP_FAILED);
	EXPECT_EQ(errno, ENOMEM);
	ASSERT_EQ(p2pmem_map(&self->mem, 1UL << 39), MAP_FAILED);
	EXPECT_EQ(errno, ENOMEM);
}

TEST_F(p2pmem, read_and_write_are_refused)
{
	char byte = 0;

	EXPECT_EQ(read(self->mem.fd, &byte, 1), -1);
	EXPECT_EQ(write(self->mem.fd, &byte, 1), -1);
}

TEST_F(p2pmem, exhaustion)
{
	const size_t most = self->before - 4 * self->mem.page;
	void *map, *page[4];
	int i;

	map = p2pmem_map(&self->mem, most);
	ASSERT_NE(map, MAP_FAILED);
	for (i = 0; i < 4; i++) {
		page[i] = p2pmem_map(&self->mem, self->mem.page);
		ASSERT_NE(page[i], MAP_FAILED);
	}
	EXPECT_EQ(p2pmem_available(&self->mem), 0);
	EXPECT_EQ(p2pmem_map(&self->mem, self->mem.page), MAP_FAILED);
	EXPECT_EQ(errno, ENOMEM);

	/* One page back makes room for one page, no more. */
	munmap(page[1], self->mem.page);
	EXPECT_EQ(p2pmem_map(&self->mem, 2 * self->mem.page), MAP_FAILED);
	page[1] = p2pmem_map(&self->mem, self->mem.page);
	EXPECT_NE(page[1], MAP_FAILED);

	for (i = 0; i < 4; i++)
		munmap(page[i], self->mem.page);
	munmap(map, most);
}

TEST_F(p2pmem, unaligned_length_takes_whole_pages)
{
	void *map = p2pmem_map(&self->mem, self->mem.page + 1);

	ASSERT_NE(map, MAP_FAILED);
	EXPECT_EQ(p2pmem_available(&self->mem), self->before - 2 * self->mem.page);
	munmap(map, self->mem.page + 1);
}

TEST_F(p2pmem, mappings_are_zeroed)
{
	const size_t length = 16 * self->mem.page;
	void *map;
	int round;

	/* The second round most likely gets the pages that the first one has soiled. */
	for (round = 0; round < 2; round++) {
		map = p2pmem_map(&self->mem, length);
		ASSERT_NE(map, MAP_FAILED);
		EXPECT_TRUE(p2pmem_is_zero(map, length));
		memset(map, 0xa5, length);
		munmap(map, length);
	}
}

TEST_F(p2pmem, no_old_bytes_anywhere)
{
	/* All of the memory is soiled and given back, so that every page must be a used one. */
	const size_t length = self->before < (2 << 20) ? self->before : (2 << 20);
	void *map = p2pmem_map(&self->mem, self->before);
	size_t at;

	ASSERT_NE(map, MAP_FAILED);
	for (at = 0; at < self->before; at += self->mem.page)
		poke(map + at, ~0UL);
	munmap(map, self->before);

	map = p2pmem_map(&self->mem, length);
	ASSERT_NE(map, MAP_FAILED);
	EXPECT_TRUE(p2pmem_is_zero(map, length));
	munmap(map, length);
}

TEST_F(p2pmem, mappings_are_distinct)
{
	unsigned long *one = p2pmem_map(&self->mem, self->mem.page);
	unsigned long *two = p2pmem_map(&self->mem, self->mem.page);

	ASSERT_NE((void *)one, MAP_FAILED);
	ASSERT_NE((void *)two, MAP_FAILED);
	poke(one, 0x1111);
	poke(two, 0x2222);
	EXPECT_EQ(peek(one), 0x1111);
	EXPECT_EQ(peek(two), 0x2222);
	munmap(one, self->mem.page);
	munmap(two, self->mem.page);
}

TEST_F(p2pmem, memory_outlives_the_file)
{
	struct p2pmem mem = self->mem;
	unsigned long *map;

	mem.fd = dup(self->mem.fd);
	map = p2pmem_map(&mem, mem.page);
	ASSERT_NE((void *)map, MAP_FAILED);
	close(mem.fd);
	poke(map, 42);
	EXPECT_EQ(peek(map), 42);
	EXPECT_EQ(p2pmem_available(&mem), self->before - mem.page);
	munmap(map, mem.page);
}

TEST_F(p2pmem, munmap_of_a_part)
{
	const long page = self->mem.page;
	char *map = p2pmem_map(&self->mem, 8 * page);
	long available;

	ASSERT_NE((void *)map, MAP_FAILED);
	poke(map, 1);
	poke(map + 7 * page, 7);
	munmap(map + 2 * page, 4 * page);
	/* The four may come back now or with the rest, but never more than they. */
	available = p2pmem_available(&self->mem);
	EXPECT_GE(available, self->before - 8 * page);
	EXPECT_LE(available, self->before - 4 * page);
	EXPECT_EQ(peek(map), 1);
	EXPECT_EQ(peek(map + 7 * page), 7);
	munmap(map, 2 * page);
	munmap(map + 6 * page, 2 * page);
}

TEST_F(p2pmem, exit_gives_back)
{
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		char *map = p2pmem_map(&self->mem, 8 * self->mem.page);

		if (map == MAP_FAILED)
			_exit(1);
		poke(map, 1);
		_exit(p2pmem_available(&self->mem) == self->before - 8 * self->mem.page ? 0 : 2);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), 0);
	EXPECT_EQ(p2pmem_available(&self->mem), self->before);
}

TEST_F(p2pmem, fork_keeps)
{
	const long page = self->mem.page;
	int go[2], status;
	char *map = p2pmem_map(&self->mem, 4 * page);
	char byte;
	pid_t pid;

	ASSERT_NE((void *)map, MAP_FAILED);
	ASSERT_EQ(pipe(go), 0);
	poke(map, 1);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		/* Wait until the parent has let go, then the memory must still be the same. */
		close(go[1]);
		if (read(go[0], &byte, 1) != 0)
			_exit(1);
		if (peek(map) != 2)
			_exit(2);
		_exit(p2pmem_available(&self->mem) == self->before - 4 * page ? 0 : 3);
	}
	close(go[0]);
	poke(map, 2);
	munmap(map, 4 * page);
	EXPECT_EQ(p2pmem_available(&self->mem), self->before - 4 * page);
	close(go[1]);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), 0);
	EXPECT_EQ(p2pmem_available(&self->mem), self->before);
}

TEST_F(p2pmem, kill_gives_back)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	ASSERT_EQ(pipe(ready), 0);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		char *map = p2pmem_map(&self->mem, 8 * self->mem.page);

		if (map == MAP_FAILED || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			poke(map, peek(map) + 1);
	}
	close(ready[1]);
	ASSERT_EQ(read(ready[0], &byte, 1), 1);
	kill(pid, SIGKILL);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(p2pmem_available(&self->mem), self->before);
	close(ready[0]);
}

TEST_HARNESS_MAIN
