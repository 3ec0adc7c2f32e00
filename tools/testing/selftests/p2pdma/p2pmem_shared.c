// SPDX-License-Identifier: GPL-2.0
/*
 * Many tasks use a shared mapping: threads and processes read a disk into pages of the mapping, and
 * get killed at random. If P2PMEM_SCRATCH names a disk, the tasks also write pages to the disk.
 * P2PMEM_LENGTH sets the length of the mapping in bytes, 64 MiB by default.
 *
 * Each page of the mapping and each block of the disk belongs to a worker, and groups of pages of
 * the workers alternate. Two shared tables hold digests of pages and of blocks. A transfer copies
 * the digest, and the contents must agree. The digest of the destination is unknown during a
 * transfer, and stays unknown if a kill interrupts the worker.
 */
#include "p2pmem_crew.h"

#define PAGE		4096
#define GROUP		64		/* adjacent pages or blocks of a worker */
#define DISK_BLOCKS	(32 * 1024 * 1024 / PAGE)
#define UNKNOWN		0

static char *shared_map;
static unsigned long shared_pages;
static __u64 *page_digest;
static __u64 *block_digest;

/* FNV-1a over words, never UNKNOWN. @at may point to peer memory. */
static __u64 digest(const void *at)
{
	__u64 hash = 0xcbf29ce484222325ULL;
	int i;

	for (i = 0; i < PAGE; i += sizeof(long))
		hash = (hash ^ peek(at + i)) * 0x100000001b3ULL;
	return hash ?: 1;
}

/* Ordered with accesses to the memory: a kill may come between any two instructions. */
static void forget(__u64 *table, unsigned long first, unsigned long nr)
{
	while (nr--)
		__atomic_store_n(&table[first++], UNKNOWN, __ATOMIC_SEQ_CST);
}

static void know(__u64 *table, unsigned long at, __u64 value)
{
	__atomic_store_n(&table[at], value, __ATOMIC_SEQ_CST);
}

/* Choose a run of the worker's own pages or blocks below @limit. */
static unsigned long own_run(struct worker *worker, unsigned long limit, unsigned int nr)
{
	unsigned int workers = worker->crew->processes * worker->crew->threads;
	unsigned long groups = limit / GROUP / workers;

	return (roll(worker, groups) * workers + worker->number) * GROUP +
	       roll(worker, GROUP - nr + 1);
}

static int is_known(const __u64 *table, unsigned long first, unsigned int nr)
{
	while (nr--) {
		if (table[first + nr] == UNKNOWN)
			return 0;
	}
	return 1;
}

static void transfer(struct worker *worker, int fd, int out, unsigned long page,
		     unsigned long block, unsigned int nr)
{
	void *at = shared_map + page * PAGE;
	ssize_t length = nr * PAGE, moved;

	moved = out ? pwrite(fd, at, length, block * PAGE) : pread(fd, at, length, block * PAGE);
	if (moved != length)
		crew_wrong(worker, "%s of block %lu gave %zd, errno %d (%s)",
			   out ? "write" : "read", block, moved, errno, strerror(errno));
}

/* Read blocks into system memory, and check or set the digests. */
static void learn(struct worker *worker, int fd, unsigned long block, unsigned int nr)
{
	static __thread char *ram;
	__u64 found;
	unsigned int i;

	if (!ram)
		ram = aligned_alloc(PAGE, GROUP * PAGE);
	if (pread(fd, ram, nr * PAGE, block * PAGE) != nr * PAGE)
		crew_wrong(worker, "a read into system memory failed, errno %d", errno);
	for (i = 0; i < nr; i++) {
		found = digest(ram + i * PAGE);
		if (block_digest[block + i] != UNKNOWN && block_digest[block + i] != found)
			crew_wrong(worker, "block %lu of the disk holds other bytes", block + i);
		know(block_digest, block + i, found);
	}
}

static void check(struct worker *worker, unsigned long page)
{
	if (page_digest[page] != UNKNOWN && digest(shared_map + page * PAGE) != page_digest[page])
		crew_wrong(worker, "page %lu of the mapping holds other bytes", page);
}

static void fill(struct worker *worker, unsigned long page)
{
	__u64 hash = 0xcbf29ce484222325ULL, word;
	int i;

	forget(page_digest, page, 1);
	for (i = 0; i < PAGE; i += sizeof(long)) {
		word = crew_random(&worker->random);
		poke(shared_map + page * PAGE + i, word);
		hash = (hash ^ word) * 0x100000001b3ULL;
	}
	know(page_digest, page, hash ?: 1);
}

static void read_in(struct worker *worker, int fd, unsigned long page, unsigned long block,
		    unsigned int nr)
{
	if (!is_known(block_digest, block, nr))
		learn(worker, fd, block, nr);
	forget(page_digest, page, nr);
	transfer(worker, fd, 0, page, block, nr);
	while (nr--)
		know(page_digest, page + nr, block_digest[block + nr]);
}

static void write_out(struct worker *worker, int fd, unsigned long page, unsigned long block,
		      unsigned int nr)
{
	if (!getenv("P2PMEM_SCRATCH") || !is_known(page_digest, page, nr))
		return;
	forget(block_digest, block, nr);
	transfer(worker, fd, 1, page, block, nr);
	while (nr--)
		know(block_digest, block + nr, page_digest[page + nr]);
}

/* A child sees the same bytes as the parent. */
static void check_in_child(struct worker *worker, unsigned long page)
{
	pid_t pid = fork();

	if (!pid) {
		check(worker, page);
		_exit(CREW_DONE);
	}
	waitpid(pid, NULL, 0);
}

static void work(struct worker *worker)
{
	int fd = crew_open_disk();

	if (fd < 0)
		crew_wrong(worker, "the disk cannot be opened, errno %d", errno);
	for (;;) {
		unsigned int nr = 1 + roll(worker, roll(worker, 2) ? GROUP : 8);
		unsigned long page = own_run(worker, shared_pages, nr);
		unsigned long block = own_run(worker, DISK_BLOCKS, nr);
		unsigned int what = roll(worker, 64);

		if (what < 36)
			read_in(worker, fd, page, block, nr);
		else if (what < 50)
			write_out(worker, fd, page, block, nr);
		else if (what < 57)
			check(worker, page);
		else if (what < 60)
			fill(worker, page);
		else if (what < 63)
			learn(worker, fd, block, nr);
		else
			check_in_child(worker, page);
		tick(worker);
	}
}

/* Check all known pages. Return the number of pages, or 0 if a page holds other bytes. */
static unsigned long final_check(struct crew *crew)
{
	unsigned long page, known = 0;

	for (page = 0; page < shared_pages; page++) {
		if (page_digest[page] == UNKNOWN)
			continue;
		known++;
		if (digest(shared_map + page * PAGE) == page_digest[page])
			continue;
		snprintf(crew->why, sizeof(crew->why), "page %lu holds other bytes at last", page);
		return 0;
	}
	return known;
}

static void storm(unsigned int processes, unsigned int threads, double seconds)
{
	struct crew *crew = crew_new(processes, threads, work);
	unsigned long known = 0;

	/* A debug kernel in an emulated machine takes a minute for the page table of 4 GiB. */
	crew->patience += shared_pages / 4096;
	if (crew_run(crew, seconds))
		known = final_check(crew);
	ksft_print_msg("%lu transfers and checks, %u kills, %lu pages known at last\n",
		       crew_ticks(crew), crew->kills, known);
	if (!known)
		ksft_print_msg("%s\n", crew->why);
	ksft_test_result(known, "direct I/O of %u processes, %u threads each\n", processes,
			 threads);
	if (crew->hung)
		ksft_exit_fail_msg("a hung task holds the mapping: no more storms\n");
	/* Pages and blocks get new owners in the next crew. */
	forget(page_digest, 0, shared_pages);
	forget(block_digest, 0, DISK_BLOCKS);
	munmap(crew, sizeof(*crew));
}

static void *shared_table(size_t entries)
{
	return mmap(NULL, entries * sizeof(__u64), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Return the available bytes before the first mapping. */
static long setup(struct p2pmem *mem)
{
	const char *why;
	long before;
	int fd;

	why = p2pmem_open(mem);
	if (why)
		ksft_exit_skip("%s\n", why);
	if (mem->page != PAGE)
		ksft_exit_skip("pages have another size here\n");
	fd = crew_open_disk();
	if (fd < 0)
		ksft_exit_skip("no NVMe disk can be opened here\n");
	before = p2pmem_available(mem);
	shared_pages = crew_number("P2PMEM_LENGTH", 64 << 20) / PAGE;
	if (shared_pages > before / PAGE)
		shared_pages = before / PAGE;
	page_digest = shared_table(shared_pages);
	block_digest = shared_table(DISK_BLOCKS);
	shared_map = crew_map(mem->dir, shared_pages * PAGE);
	if (page_digest == MAP_FAILED || block_digest == MAP_FAILED || shared_map == MAP_FAILED)
		ksft_exit_fail_msg("no mapping of %lu pages: %s\n", shared_pages, strerror(errno));
	if (pread(fd, shared_map, PAGE, 0) != PAGE && errno == EREMOTEIO)
		ksft_exit_skip("the disk does not reach the peer memory\n");
	close(fd);
	return before;
}

int main(void)
{
	double seconds = crew_number("P2PMEM_SECONDS", 5);
	struct p2pmem mem;
	long before;

	ksft_print_header();
	ksft_set_plan(4);
	before = setup(&mem);
	ksft_print_msg("seed %ld, %.0f s, %lu pages\n", crew_number("P2PMEM_SEED", 1), seconds,
		       shared_pages);
	storm(2, 1, seconds / 3);
	storm(1, 2, seconds / 3);
	storm(4, 2, seconds / 3);
	munmap(shared_map, shared_pages * PAGE);
	ksft_print_msg("%ld bytes available before, %ld now\n", before, p2pmem_available(&mem));
	ksft_test_result(p2pmem_available(&mem) == before, "the provider has everything back\n");
	ksft_finished();
}
