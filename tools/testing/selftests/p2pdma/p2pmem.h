/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the p2pdma selftests: a provider of peer memory, and the files of the provider.
 *
 * The tests use the first provider in the machine. The variable P2PMEM_PROVIDER chooses another
 * provider by the full address, such as 0000:03:00.0.
 */
#ifndef P2PMEM_SELFTEST_H
#define P2PMEM_SELFTEST_H

#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define P2PMEM_PATTERN	"/sys/bus/pci/devices/%s/p2pmem"

struct p2pmem {
	char dir[PATH_MAX];
	long page;
	long size;
	int fd;
};

/* Read a number from a file of the provider. Return -1 on error. */
static inline long p2pmem_number(const struct p2pmem *mem, const char *name)
{
	char path[PATH_MAX + 32];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", mem->dir, name);
	file = fopen(path, "r");
	if (!file)
		return -1;
	if (fscanf(file, "%ld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

static inline long p2pmem_available(const struct p2pmem *mem)
{
	return p2pmem_number(mem, "available");
}

/* Fill in @mem. Return NULL, or a reason to skip the test. */
static inline const char *p2pmem_open(struct p2pmem *mem)
{
	const char *name = getenv("P2PMEM_PROVIDER");
	char path[PATH_MAX + 32], pattern[PATH_MAX];
	glob_t found;

	snprintf(pattern, sizeof(pattern), P2PMEM_PATTERN, name ? name : "*");
	if (glob(pattern, 0, NULL, &found))
		return "no PCI function here provides peer memory";
	snprintf(mem->dir, sizeof(mem->dir), "%s", found.gl_pathv[0]);
	globfree(&found);

	mem->page = sysconf(_SC_PAGESIZE);
	mem->size = p2pmem_number(mem, "size");
	snprintf(path, sizeof(path), "%s/allocate", mem->dir);
	mem->fd = open(path, O_RDWR | O_CLOEXEC);
	if (mem->fd < 0)
		return "the provider's allocate file cannot be opened (needs root)";
	if (p2pmem_available(mem) < 16 * mem->page)
		return "the provider has less than 16 free pages";
	return NULL;
}

static inline void p2pmem_close(struct p2pmem *mem)
{
	close(mem->fd);
}

static inline void *p2pmem_map(const struct p2pmem *mem, size_t length)
{
	return mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, mem->fd, 0);
}

/*
 * Single accesses; the compiler neither drops nor splits an access. In a BAR a narrow read costs as
 * much as a wide read, so all accesses have the width of a long. memcpy(), memset() and memcmp()
 * may use unaligned accesses and instructions for cache lines, and both fault in Device memory of
 * arm64.
 */
static inline unsigned long peek(const void *at)
{
	return __atomic_load_n((const unsigned long *)at, __ATOMIC_RELAXED);
}

static inline void poke(void *at, unsigned long value)
{
	__atomic_store_n((unsigned long *)at, value, __ATOMIC_RELAXED);
}

/* A fresh mapping is zero everywhere. */
static inline int p2pmem_is_zero(const void *map, size_t length)
{
	size_t at;

	for (at = 0; at < length; at += sizeof(unsigned long)) {
		if (peek(map + at))
			return 0;
	}
	return 1;
}

static inline void p2pmem_fill(void *map, unsigned long word, size_t length)
{
	size_t at;

	for (at = 0; at < length; at += sizeof(word))
		poke(map + at, word);
}

static inline int p2pmem_equal(const void *map, const void *ram, size_t length)
{
	size_t at;

	for (at = 0; at < length; at += sizeof(unsigned long)) {
		if (peek(map + at) != peek(ram + at))
			return 0;
	}
	return 1;
}

#endif /* P2PMEM_SELFTEST_H */
