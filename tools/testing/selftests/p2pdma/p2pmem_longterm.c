// SPDX-License-Identifier: GPL-2.0
/*
 * Peer memory goes away with the device, so the kernel must refuse long-term pins of user mappings.
 * The registration of io_uring buffers takes long-term pins. A refusal must leave no buffer
 * registered.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "p2pmem.h"
#include "../kselftest_harness.h"

FIXTURE(longterm)
{
	struct p2pmem mem;
	long before;
	int ring;
};

FIXTURE_SETUP(longterm)
{
	struct io_uring_params params = { };
	const char *why = p2pmem_open(&self->mem);

	if (why)
		SKIP(return, "%s", why);
	self->ring = syscall(__NR_io_uring_setup, 4, &params);
	if (self->ring < 0)
		SKIP(return, "this kernel has no io_uring");
	self->before = p2pmem_available(&self->mem);
}

FIXTURE_TEARDOWN(longterm)
{
	if (!self->before)
		return;
	EXPECT_EQ(p2pmem_available(&self->mem), self->before);
	close(self->ring);
	p2pmem_close(&self->mem);
}

static int register_buffers(int ring, struct iovec *vec, unsigned int count)
{
	return syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, vec, count);
}

TEST_F(longterm, peer_buffer_is_refused)
{
	struct iovec vec = { .iov_len = 4 * self->mem.page };

	vec.iov_base = p2pmem_map(&self->mem, vec.iov_len);
	ASSERT_NE(vec.iov_base, MAP_FAILED);
	EXPECT_EQ(register_buffers(self->ring, &vec, 1), -1);
	EXPECT_TRUE(errno == EREMOTEIO || errno == EFAULT || errno == EINVAL);
	TH_LOG("refused with errno %d (%s)", errno, strerror(errno));
	munmap(vec.iov_base, vec.iov_len);
}

TEST_F(longterm, ordinary_buffer_is_accepted)
{
	struct iovec vec = { .iov_len = 4 * self->mem.page };

	vec.iov_base = mmap(NULL, vec.iov_len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(vec.iov_base, MAP_FAILED);
	EXPECT_EQ(register_buffers(self->ring, &vec, 1), 0);
	munmap(vec.iov_base, vec.iov_len);
}

TEST_F(longterm, peer_buffer_among_others_is_refused)
{
	const size_t length = self->mem.page;
	struct iovec vec[2];

	vec[0].iov_len = length;
	vec[0].iov_base = mmap(NULL, length, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	vec[1].iov_len = length;
	vec[1].iov_base = p2pmem_map(&self->mem, length);
	ASSERT_NE(vec[0].iov_base, MAP_FAILED);
	ASSERT_NE(vec[1].iov_base, MAP_FAILED);
	EXPECT_EQ(register_buffers(self->ring, vec, 2), -1);

	/* The refusal left no buffer registered, so the good buffer can be registered. */
	EXPECT_EQ(register_buffers(self->ring, vec, 1), 0);
	munmap(vec[0].iov_base, length);
	munmap(vec[1].iov_base, length);
}

TEST_HARNESS_MAIN
