// SPDX-License-Identifier: GPL-2.0
/*
 * Rules of the file allocate: allowed mappings, contents of a mapping, and the return of all
 * memory to the provider after munmap, exit, kill and failure.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "p2pmem.h"
#include "../kselftest_harness.h"

/* Seconds without an end that count as a hang. */
#define FAULT_SECONDS	10

/* Timeout for cases that map all memory, also on a debug kernel in an emulated machine. */
#define SLOW_SECONDS	150

/* Number of free single pages in a sieve. */
#define SIEVE_PAGES	512

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
	/* The setup skipped the case, and the provider is not open. */
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

TEST_F_TIMEOUT(p2pmem, exhaustion, SLOW_SECONDS)
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

	/* A freed page makes room for a page, but not for two pages. */
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

	/* The second round probably gets the dirty pages of the first round. */
	for (round = 0; round < 2; round++) {
		map = p2pmem_map(&self->mem, length);
		ASSERT_NE(map, MAP_FAILED);
		EXPECT_TRUE(p2pmem_is_zero(map, length));
		p2pmem_fill(map, 0xa5a5a5a5, length);
		munmap(map, length);
	}
}

TEST_F_TIMEOUT(p2pmem, no_old_bytes_anywhere, SLOW_SECONDS)
{
	/* Write to all pages of the provider, so that no page is zero by chance. */
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

#define STORE(type, at, value)	__atomic_store_n((type *)(at), value, __ATOMIC_RELAXED)
#define LOAD(type, at)		__atomic_load_n((const type *)(at), __ATOMIC_RELAXED)

/* A program may read and write words of each width, aligned to the width. */
TEST_F(p2pmem, aligned_words)
{
	char *map = p2pmem_map(&self->mem, self->mem.page);
	int i;

	ASSERT_NE((void *)map, MAP_FAILED);
	for (i = 0; i < 8; i++)
		STORE(__u8, map + i, 0x11 * (i + 1));
	for (i = 0; i < 8; i += 2)
		STORE(__u16, map + 8 + i, 0x1111 * (i + 1));
	for (i = 0; i < 8; i += 4)
		STORE(__u32, map + 16 + i, 0x11111111 * (i + 1));
	STORE(__u64, map + 24, 0x8877665544332211);

	EXPECT_EQ(LOAD(__u64, map), 0x8877665544332211);
	EXPECT_EQ(LOAD(__u64, map + 8), 0x7777555533331111);
	EXPECT_EQ(LOAD(__u64, map + 16), 0x5555555511111111);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(LOAD(__u8, map + 24 + i), 0x11 * (i + 1));
	for (i = 0; i < 8; i += 2)
		EXPECT_EQ(LOAD(__u16, map + 24 + i), 0x2211 + 0x1111 * i);
	for (i = 0; i < 8; i += 4)
		EXPECT_EQ(LOAD(__u32, map + 24 + i), 0x44332211 + 0x11111111U * i);
	munmap(map, self->mem.page);
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

	ASSERT_NE((void *)map, MAP_FAILED);
	poke(map, 1);
	poke(map + 7 * page, 7);
	munmap(map + 2 * page, 4 * page);
	EXPECT_EQ(p2pmem_available(&self->mem), self->before - 4 * page);
	EXPECT_EQ(peek(map), 1);
	EXPECT_EQ(peek(map + 7 * page), 7);
	munmap(map, 2 * page);
	EXPECT_EQ(p2pmem_available(&self->mem), self->before - 2 * page);
	munmap(map + 6 * page, 2 * page);
}

TEST_F(p2pmem, munmap_of_every_other_page)
{
	const long page = self->mem.page;
	char *map = p2pmem_map(&self->mem, 16 * page);
	int i;

	ASSERT_NE((void *)map, MAP_FAILED);
	for (i = 0; i < 16; i++)
		poke(map + i * page, i);
	for (i = 0; i < 16; i += 2) {
		munmap(map + i * page, page);
		EXPECT_EQ(p2pmem_available(&self->mem), self->before - (15 - i / 2) * page);
	}
	for (i = 1; i < 16; i += 2) {
		EXPECT_EQ(peek(map + i * page), i);
		munmap(map + i * page, page);
	}
}

TEST_F(p2pmem, mremap_takes_its_pages_along)
{
	const long page = self->mem.page;
	char *map = p2pmem_map(&self->mem, 8 * page), *moved;
	char *place = mmap(NULL, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE((void *)map, MAP_FAILED);
	ASSERT_NE((void *)place, MAP_FAILED);
	poke(map + 2 * page, 2);
	poke(map + 5 * page, 5);
	moved = mremap(map + 2 * page, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	ASSERT_EQ(moved, place);
	EXPECT_EQ(p2pmem_available(&self->mem), self->before - 8 * page);
	EXPECT_EQ(peek(moved), 2);
	EXPECT_EQ(peek(moved + 3 * page), 5);

	/* A mapping can shrink, but not grow. */
	EXPECT_EQ(mremap(moved, 4 * page, 8 * page, MREMAP_MAYMOVE), MAP_FAILED);
	EXPECT_EQ(mremap(moved, 4 * page, page, 0), moved);
	EXPECT_EQ(p2pmem_available(&self->mem), self->before - 5 * page);
	munmap(map, 2 * page);
	munmap(map + 6 * page, 2 * page);
	EXPECT_EQ(p2pmem_available(&self->mem), self->before - page);
	munmap(moved, page);
}

TEST_F(p2pmem, madvise_gives_back_or_keeps)
{
	const long page = self->mem.page;
	char *map = p2pmem_map(&self->mem, 4 * page);
	long available;

	ASSERT_NE((void *)map, MAP_FAILED);
	/* Pages may return here or with munmap(), but not twice. */
	madvise(map, 2 * page, MADV_DONTNEED);
	available = p2pmem_available(&self->mem);
	EXPECT_GE(available, self->before - 4 * page);
	EXPECT_LE(available, self->before - 2 * page);
	munmap(map, 4 * page);
}

/* A mapping of a page takes a single page from the pool. */
TEST_F_TIMEOUT(p2pmem, many_small_mappings_leave_the_rest, SLOW_SECONDS)
{
	const long page = self->mem.page;
	long rest = self->before - 128 * page;
	void *small[128], *large;
	int i;

	if (rest < page)
		SKIP(return, "the provider has too little free memory");
	for (i = 0; i < 128; i++) {
		small[i] = p2pmem_map(&self->mem, page);
		ASSERT_NE(small[i], MAP_FAILED);
	}
	EXPECT_EQ(p2pmem_available(&self->mem), rest);
	large = p2pmem_map(&self->mem, rest);
	EXPECT_NE(large, MAP_FAILED);
	EXPECT_EQ(p2pmem_available(&self->mem), large == MAP_FAILED ? rest : 0);
	if (large != MAP_FAILED)
		munmap(large, rest);
	for (i = 0; i < 128; i++)
		munmap(small[i], page);
}

/* Pages that return to the pool are counted exactly once at any time. */
TEST_F_TIMEOUT(p2pmem, available_is_exact_meanwhile, SLOW_SECONDS)
{
	const long length = 256 * self->mem.page;
	long most = 0, least = self->before, now;
	time_t end = time(NULL) + 3;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		for (;;)
			munmap(p2pmem_map(&self->mem, length), length);
	}
	while (time(NULL) < end) {
		now = p2pmem_available(&self->mem);
		most = now > most ? now : most;
		least = now < least ? now : least;
	}
	kill(pid, SIGKILL);
	ASSERT_EQ(waitpid(pid, NULL, 0), pid);
	EXPECT_EQ(most, self->before);
	EXPECT_GE(least, self->before - length);
	EXPECT_LT(least, self->before);
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
		/* The memory stays the same after munmap() of the parent. */
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

/* Wait for the end of a child. Return the status, or -1 after @seconds. */
static int end_of(pid_t pid, int seconds)
{
	struct pollfd ended = { .events = POLLIN };
	int status = -1;

	ended.fd = syscall(SYS_pidfd_open, pid, 0);
	if (ended.fd < 0 || poll(&ended, 1, seconds * 1000) == 1)
		waitpid(pid, &status, 0);
	close(ended.fd);
	return status;
}

/* Map a page for reading, then allow writing. */
static char *clean_page(const struct p2pmem *mem)
{
	char *map = mmap(NULL, mem->page, PROT_READ, MAP_SHARED, mem->fd, 0);

	if (map == MAP_FAILED || peek(map) || mprotect(map, mem->page, PROT_READ | PROT_WRITE))
		_exit(1);
	return map;
}

static void write_from_user(const struct p2pmem *mem)
{
	char *map = clean_page(mem);

	poke(map, 42);
	_exit(peek(map) == 42 ? 0 : 2);
}

static void write_from_kernel(const struct p2pmem *mem)
{
	int zero = open("/dev/zero", O_RDONLY);

	_exit(read(zero, clean_page(mem), mem->page) == mem->page ? 0 : 2);
}

/*
 * Write to a clean page in a child. Return 0, -2 if the child had to be killed, or -3 if the child
 * survives SIGKILL. An endless fault in the kernel survives SIGKILL.
 */
static int write_fault(const struct p2pmem *mem, void (*write)(const struct p2pmem *mem))
{
	pid_t pid = fork();
	int status;

	if (!pid)
		write(mem);
	status = end_of(pid, FAULT_SECONDS);
	if (status != -1)
		return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	kill(pid, SIGKILL);
	return end_of(pid, FAULT_SECONDS) == -1 ? -3 : -2;
}

TEST_F(p2pmem, write_fault_of_user_space)
{
	EXPECT_EQ(write_fault(&self->mem, write_from_user), 0);
}

TEST_F(p2pmem, write_fault_of_the_kernel)
{
	EXPECT_EQ(write_fault(&self->mem, write_from_kernel), 0);
}

static long sieve_pages(const struct p2pmem *mem, long all)
{
	long quarter = all / mem->page / 4;

	return quarter < SIEVE_PAGES ? quarter : SIEVE_PAGES;
}

/*
 * Map all memory and unmap every second page of the last part, so that @nr pages are free and no
 * free pages are adjacent. The next mapping then consists of many runs and takes time.
 * munmap() of @all bytes ends the sieve.
 */
static char *make_sieve(const struct p2pmem *mem, long all, long nr)
{
	char *map = p2pmem_map(mem, all);
	long i;

	if (map == MAP_FAILED)
		return NULL;
	for (i = 0; i < nr; i++)
		munmap(map + all - (2 * i + 1) * mem->page, mem->page);
	return p2pmem_available(mem) == nr * mem->page ? map : NULL;
}

/* Two processes map at the same moment, with enough memory for a single process. */
static void compete(struct p2pmem *mem, pthread_barrier_t *barrier, long length, int locked)
{
	long before = p2pmem_available(mem);
	int i, wins = 0, leaks = 0;
	char *map;

	/* mmap() of an open file is serialized, so each process opens the file. */
	if (p2pmem_open(mem))
		_exit(102);
	if (locked && mlockall(MCL_FUTURE))
		_exit(100);
	for (i = 0; i < 10; i++) {
		pthread_barrier_wait(barrier);
		map = p2pmem_map(mem, length);
		wins += map != MAP_FAILED;
		pthread_barrier_wait(barrier);
		if (map != MAP_FAILED)
			munmap(map, length);
		pthread_barrier_wait(barrier);
		leaks += p2pmem_available(mem) != before;
	}
	_exit(leaks ? 101 : wins);
}

/* mmap() fails half way, also under mlockall(), and returns all pages. */
TEST_F_TIMEOUT(p2pmem, failed_mapping_leaves_nothing, SLOW_SECONDS)
{
	pthread_barrier_t *barrier = mmap(NULL, sizeof(*barrier), PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const long pages = sieve_pages(&self->mem, self->before);
	char *sieve = make_sieve(&self->mem, self->before, pages);
	pthread_barrierattr_t attr;
	int i, status[2];
	pid_t pid[2];

	ASSERT_NE(sieve, NULL);
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(barrier, &attr, 2);
	for (i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i])
			compete(&self->mem, barrier, pages * 3 / 4 * self->mem.page, i);
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(waitpid(pid[i], &status[i], 0), pid[i]);
		EXPECT_TRUE(WIFEXITED(status[i]));
		EXPECT_LE(WEXITSTATUS(status[i]), 10);
	}
	TH_LOG("of 10 races %d were won by the one, %d by the other", WEXITSTATUS(status[0]),
	       WEXITSTATUS(status[1]));
	munmap(sieve, self->before);
}

/* A kill interrupts mmap() under mlockall(), and all pages return. */
TEST_F_TIMEOUT(p2pmem, killed_mapping_leaves_nothing, SLOW_SECONDS)
{
	const long pages = sieve_pages(&self->mem, self->before);
	char *sieve = make_sieve(&self->mem, self->before, pages);
	long length = pages * self->mem.page;
	int i;
	pid_t pid;

	ASSERT_NE(sieve, NULL);
	for (i = 0; i < 10; i++) {
		pid = fork();
		if (!pid) {
			if (mlockall(MCL_FUTURE))
				_exit(1);
			p2pmem_map(&self->mem, length);
			for (;;)
				pause();
		}
		while (p2pmem_available(&self->mem) == length)
			;
		kill(pid, SIGKILL);
		EXPECT_NE(end_of(pid, FAULT_SECONDS), -1);
		EXPECT_EQ(p2pmem_available(&self->mem), length);
	}
	munmap(sieve, self->before);
}

TEST_HARNESS_MAIN
