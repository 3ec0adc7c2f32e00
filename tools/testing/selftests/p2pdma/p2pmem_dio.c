// SPDX-License-Identifier: GPL-2.0
/*
 * Direct reads from every NVMe disk of the machine into peer memory. With a route, the bytes must
 * equal the bytes of an ordinary read. Without a route, the read must fail with EREMOTEIO and
 * leave the memory unchanged. The test writes to no disk.
 */
#include <errno.h>

#include "p2pmem.h"
#include "../kselftest_harness.h"

#define LENGTH	(64 * 1024)

FIXTURE(dio)
{
	struct p2pmem mem;
	glob_t disks;
	void *peer;
	void *ram;
	long before;
};

FIXTURE_SETUP(dio)
{
	const char *why = p2pmem_open(&self->mem);

	if (why)
		SKIP(return, "%s", why);
	if (glob("/dev/nvme*n*", GLOB_NOSORT, NULL, &self->disks))
		SKIP(return, "no NVMe disk here");
	self->before = p2pmem_available(&self->mem);
	self->peer = p2pmem_map(&self->mem, LENGTH);
	self->ram = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(self->peer, MAP_FAILED);
	ASSERT_NE(self->ram, MAP_FAILED);
}

FIXTURE_TEARDOWN(dio)
{
	if (!self->before)
		return;
	munmap(self->ram, LENGTH);
	munmap(self->peer, LENGTH);
	EXPECT_EQ(p2pmem_available(&self->mem), self->before);
	globfree(&self->disks);
	p2pmem_close(&self->mem);
}

/* Return 1 if the bytes are equal, 0 if the read is refused, or -1 for an error. */
static int read_both(int fd, void *peer, void *ram, size_t length)
{
	ssize_t got;

	p2pmem_fill(peer, 0x5a5a5a5a, length);
	got = pread(fd, peer, length, 0);
	if (got < 0 && errno == EREMOTEIO) {
		p2pmem_fill(ram, 0x5a5a5a5a, length);
		return p2pmem_equal(peer, ram, length) ? 0 : -1;
	}
	if (got != length || pread(fd, ram, length, 0) != length)
		return -1;
	return p2pmem_equal(peer, ram, length) ? 1 : -1;
}

TEST_F(dio, reads_into_peer_memory)
{
	int verdict, fd, moved = 0, refused = 0;
	size_t i;

	for (i = 0; i < self->disks.gl_pathc; i++) {
		fd = open(self->disks.gl_pathv[i], O_RDONLY | O_DIRECT);
		if (fd < 0)
			continue;
		verdict = read_both(fd, self->peer, self->ram, LENGTH);
		EXPECT_GE(verdict, 0) {
			TH_LOG("%s: %s", self->disks.gl_pathv[i], strerror(errno));
		}
		moved += verdict == 1;
		refused += verdict == 0;
		close(fd);
	}
	TH_LOG("%d disks reached the memory, %d were refused", moved, refused);
	if (!moved && !refused)
		SKIP(return, "no NVMe disk could be opened");
}

TEST_HARNESS_MAIN
