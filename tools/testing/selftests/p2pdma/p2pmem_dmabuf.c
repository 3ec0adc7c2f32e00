// SPDX-License-Identifier: GPL-2.0
/*
 * DMA heaps of providers: refused requests, contents of a dma-buf, mappings, and the return of all
 * memory. A kernel without CONFIG_PCI_P2PDMA_DMABUF skips the test.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>

#include "p2pmem.h"
#include "../kselftest_harness.h"

FIXTURE(heap)
{
	struct p2pmem mem;
	int fd;
	long before;
};

FIXTURE_SETUP(heap)
{
	const char *why = p2pmem_open(&self->mem);
	char path[PATH_MAX];
	const char *name;

	if (why)
		SKIP(return, "%s", why);
	/* The directory of the provider ends in the address and /p2pmem. */
	name = strstr(self->mem.dir, "devices/") + strlen("devices/");
	snprintf(path, sizeof(path), "/dev/dma_heap/p2pmem-%.*s",
		 (int)strcspn(name, "/"), name);
	self->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (self->fd < 0)
		SKIP(return, "%s: no DMA heap (CONFIG_PCI_P2PDMA_DMABUF, published, root)", path);
	self->before = p2pmem_available(&self->mem);
}

FIXTURE_TEARDOWN(heap)
{
	if (!self->before)
		return;
	EXPECT_EQ(p2pmem_available(&self->mem), self->before);
	EXPECT_EQ(p2pmem_number(&self->mem, "exported"), 0);
	close(self->fd);
	p2pmem_close(&self->mem);
}

/* Returns a file descriptor, or the negative errno. */
static int heap_alloc(int heap, uint64_t length, uint32_t fd_flags, uint64_t heap_flags)
{
	struct dma_heap_allocation_data data = {
		.len = length,
		.fd_flags = fd_flags,
		.heap_flags = heap_flags,
	};

	return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) ? -errno : (int)data.fd;
}

static int heap_pages(int heap, const struct p2pmem *mem, long pages)
{
	return heap_alloc(heap, pages * mem->page, O_RDWR | O_CLOEXEC, 0);
}

TEST_F(heap, bad_requests_are_refused)
{
	EXPECT_EQ(heap_alloc(self->fd, 0, O_RDWR, 0), -EINVAL);
	EXPECT_EQ(heap_alloc(self->fd, 1, 1U << 30, 0), -EINVAL);
	EXPECT_EQ(heap_alloc(self->fd, 1, O_RDWR, 1), -EINVAL);
	EXPECT_EQ(heap_alloc(self->fd, self->mem.size + 1, O_RDWR, 0), -ENOMEM);
	EXPECT_EQ(heap_alloc(self->fd, 1ULL << 62, O_RDWR, 0), -ENOMEM);
}

TEST_F(heap, memory_is_counted)
{
	int fd = heap_alloc(self->fd, 3 * self->mem.page + 1, O_RDWR | O_CLOEXEC, 0);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(p2pmem_available(&self->mem), self->before - 4 * self->mem.page);
	EXPECT_EQ(p2pmem_number(&self->mem, "exported"), 4 * self->mem.page);
	EXPECT_EQ(lseek(fd, 0, SEEK_END), 4 * self->mem.page);
	close(fd);
}

TEST_F(heap, memory_is_zeroed)
{
	const size_t length = 16 * self->mem.page;
	void *map;
	int round, fd;

	/* The second round probably gets the dirty pages of the first round. */
	for (round = 0; round < 2; round++) {
		fd = heap_pages(self->fd, &self->mem, 16);
		ASSERT_GE(fd, 0);
		map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
		ASSERT_NE(map, MAP_FAILED);
		EXPECT_TRUE(p2pmem_is_zero(map, length));
		poke(map, 0x5a5a);
		poke(map + length - sizeof(long), 0x5a5a);
		munmap(map, length);
	}
}

TEST_F(heap, mappings_share_the_memory)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_WRITE | DMA_BUF_SYNC_START };
	int fd = heap_pages(self->fd, &self->mem, 2);
	void *one, *second;

	ASSERT_GE(fd, 0);
	one = mmap(NULL, 2 * self->mem.page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	second = mmap(NULL, self->mem.page, PROT_READ, MAP_SHARED, fd, self->mem.page);
	ASSERT_NE(one, MAP_FAILED);
	ASSERT_NE(second, MAP_FAILED);
	EXPECT_EQ(ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync), 0);
	poke(one + self->mem.page, 7);
	sync.flags = DMA_BUF_SYNC_WRITE | DMA_BUF_SYNC_END;
	EXPECT_EQ(ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync), 0);
	EXPECT_EQ(peek(second), 7);
	munmap(one, 2 * self->mem.page);
	munmap(second, self->mem.page);
	close(fd);
}

TEST_F(heap, wrong_mappings_are_refused)
{
	int fd = heap_pages(self->fd, &self->mem, 2);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(mmap(NULL, self->mem.page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0),
		  MAP_FAILED);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(mmap(NULL, 3 * self->mem.page, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	EXPECT_EQ(errno, EINVAL);
	close(fd);
}

/* The memory belongs to all who have a descriptor or a mapping. */
TEST_F(heap, memory_outlives_the_task)
{
	int fd = heap_pages(self->fd, &self->mem, 1), status;
	void *map;
	pid_t child;

	ASSERT_GE(fd, 0);
	map = mmap(NULL, self->mem.page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(map, MAP_FAILED);
	close(fd);
	child = fork();
	ASSERT_GE(child, 0);
	if (!child) {
		poke(map, 9);
		_exit(0);
	}
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(peek(map), 9);
	EXPECT_EQ(p2pmem_number(&self->mem, "exported"), self->mem.page);
	munmap(map, self->mem.page);
}

TEST_HARNESS_MAIN
