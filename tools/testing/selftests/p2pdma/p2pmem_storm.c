// SPDX-License-Identifier: GPL-2.0
/*
 * Threads and processes use peer memory in all ways, in random order, and get killed at random.
 * Each task must end, and the provider must get all memory back.
 *
 * The tasks use three places, at the same addresses in all processes:
 *
 *	common	a mapping of the supervisor, inherited by all tasks, for transfers
 *	arena	a range of each process: threads map, unmap, move and transfer at random
 *	own	a range of each thread: mappings come and go, with checks of their contents
 *
 * An operation on common or arena may fail with any error, but must end.
 */
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/uio.h>

#include "p2pmem_crew.h"

#define PAGE		4096
#define COMMON_PAGES	64
#define ARENA_PAGES	256
#define OWN_PAGES	64
#define RING_PAGES	2		/* queues, and entries to submit */
#define SEVERAL		16		/* largest number of pages of an operation */
#define DISK_BLOCKS	4096

#ifndef IORING_SETUP_NO_MMAP
#define IORING_SETUP_NO_MMAP	0x4000
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif

/*
 * A ring for asynchronous reads, in memory of the worker. Without IORING_SETUP_NO_MMAP, the kernel
 * would choose the address of the ring, perhaps in the arena.
 */
struct ring {
	int fd;
	unsigned int *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
};

/* Files and addresses of a thread. */
struct storm {
	struct worker *worker;
	int allocate, disk, zero, null, pipe[2], mem;
	char *own, *ring_at;
	struct ring ring;
	int children;
};

/* Operations that succeeded, counted over all processes. */
enum { MAPS, MOVES, READS, WRITES, RINGS, OWNS, NR_COUNTS };

static const char *const storm_names[NR_COUNTS] = {
	"mappings", "moves", "reads", "writes", "asynchronous reads", "rounds of checks",
};

static unsigned long *storm_counts;
static struct p2pmem storm_provider;
static char *storm_common, *storm_arena, *storm_own, *storm_rings;
static __thread sigjmp_buf storm_fault;
static __thread int storm_careful;

/* A failed access is allowed in do_touch() and kills the process elsewhere. */
static void on_fault(int number)
{
	if (__atomic_load_n(&storm_careful, __ATOMIC_RELAXED))
		siglongjmp(storm_fault, number);
	signal(number, SIG_DFL);
}

/* Choose pages of the arena or of the common mapping. */
static char *some(struct storm *storm, size_t *length)
{
	unsigned int nr = 1 + roll(storm->worker, SEVERAL);

	*length = nr * PAGE;
	if (!roll(storm->worker, 4))
		return storm_common + roll(storm->worker, COMMON_PAGES - nr + 1) * PAGE;
	return storm_arena + roll(storm->worker, ARENA_PAGES - nr + 1) * PAGE;
}

/* Choose pages of the arena. */
static char *some_of_arena(struct storm *storm, size_t *length)
{
	unsigned int nr = 1 + roll(storm->worker, SEVERAL);

	*length = nr * PAGE;
	return storm_arena + roll(storm->worker, ARENA_PAGES - nr + 1) * PAGE;
}

static void count(unsigned int what, int well)
{
	if (well)
		__atomic_fetch_add(&storm_counts[what], 1, __ATOMIC_RELAXED);
}

static off_t some_block(struct storm *storm)
{
	return (off_t)roll(storm->worker, DISK_BLOCKS) * PAGE;
}

static void clear_range(void *at, size_t length)
{
	mmap(at, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

static void *map_at(struct storm *storm, void *at, size_t length, int prot)
{
	return mmap(at, length, prot, MAP_SHARED | MAP_FIXED, storm->allocate, 0);
}

static void do_map(struct storm *storm)
{
	static const int prot[] = { PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ,
				    PROT_NONE };
	size_t length;
	char *at = some_of_arena(storm, &length);

	count(MAPS, map_at(storm, at, length, prot[roll(storm->worker, 4)]) != MAP_FAILED);
}

static void do_unmap(struct storm *storm)
{
	size_t length;
	char *at = some_of_arena(storm, &length);

	clear_range(at, length);
}

static void do_protect(struct storm *storm)
{
	static const int prot[] = { PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ,
				    PROT_NONE };
	size_t length;
	char *at = some_of_arena(storm, &length);

	mprotect(at, length, prot[roll(storm->worker, 4)]);
}

/* mremap() leaves a hole: fill the hole before the kernel puts another mapping there. */
static void do_move(struct storm *storm)
{
	size_t length;
	char *from = some_of_arena(storm, &length);
	char *to = storm_arena + roll(storm->worker, ARENA_PAGES - length / PAGE + 1) * PAGE;

	if (from < to + length && to < from + length)
		return;
	count(MOVES, mremap(from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	mmap(from, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE |
	     MAP_NORESERVE, -1, 0);
}

static void do_advise(struct storm *storm)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_WILLNEED, MADV_RANDOM, MADV_COLD, MADV_PAGEOUT, MADV_FREE,
		MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_HUGEPAGE,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE,
	};
	size_t length;
	char *at = some_of_arena(storm, &length);

	madvise(at, length, advice[roll(storm->worker, ARRAY_SIZE(advice))]);
}

static void do_lock(struct storm *storm)
{
	unsigned char there[SEVERAL];
	size_t length;
	char *at = some(storm, &length);

	switch (roll(storm->worker, 5)) {
	case 0:
		mlock(at, length);
		break;
	case 1:
		munlock(at, length);
		break;
	case 2:
		msync(at, length, MS_SYNC);
		break;
	case 3:
		mincore(at, length, there);
		break;
	default:
		syscall(SYS_futex, at, FUTEX_WAKE, 1, NULL, NULL, 0);
		break;
	}
}

static void do_read(struct storm *storm)
{
	size_t length;
	char *at = some(storm, &length);

	count(READS, pread(storm->disk, at, length, some_block(storm)) > 0);
}

static void do_write(struct storm *storm)
{
	size_t length;
	char *at = some(storm, &length);

	if (getenv("P2PMEM_SCRATCH"))
		count(WRITES, pwrite(storm->disk, at, length, some_block(storm)) > 0);
}

/* Accesses of the processor, of user space and of the kernel. */
static void do_touch(struct storm *storm)
{
	size_t length;
	char *at = some(storm, &length);

	__atomic_store_n(&storm_careful, 1, __ATOMIC_SEQ_CST);
	if (!sigsetjmp(storm_fault, 1)) {
		if (roll(storm->worker, 2))
			poke(at + length - PAGE, length);
		else
			peek(at);
	}
	__atomic_store_n(&storm_careful, 0, __ATOMIC_SEQ_CST);
}

static void do_copy(struct storm *storm)
{
	size_t length;
	char *at = some(storm, &length);
	ssize_t ret;

	switch (roll(storm->worker, 4)) {
	case 0:
		ret = read(storm->zero, at, length);
		break;
	case 1:
		ret = write(storm->pipe[1], at, length);
		break;
	case 2:
		ret = read(storm->pipe[0], at, length);
		break;
	default:
		ret = pread(storm->mem, at, PAGE, (off_t)(unsigned long)storm_arena);
		break;
	}
	(void)ret;
}

static void do_splice(struct storm *storm)
{
	struct iovec vec;

	vec.iov_base = some(storm, &vec.iov_len);
	if (roll(storm->worker, 2))
		vmsplice(storm->pipe[1], &vec, 1, SPLICE_F_NONBLOCK);
	else
		vmsplice(storm->pipe[0], &vec, 1, SPLICE_F_NONBLOCK);
}

/* Reach into the memory of any process of the crew. */
static void do_reach(struct storm *storm)
{
	struct crew *crew = storm->worker->crew;
	pid_t pid = crew->pid[roll(storm->worker, crew->processes)];
	char here[PAGE];
	struct iovec local = { here, PAGE }, remote;

	remote.iov_base = some(storm, &remote.iov_len);
	remote.iov_len = PAGE;
	if (roll(storm->worker, 2))
		process_vm_readv(pid, &local, 1, &remote, 1, 0);
	else
		process_vm_writev(pid, &local, 1, &remote, 1, 0);
}

/* Fork a child with a few operations; the child may also get killed with the parent. */
static void do_fork(struct storm *storm)
{
	pid_t pid;

	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	pid = fork();
	if (pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	do_read(storm);
	do_touch(storm);
	do_unmap(storm);
	do_read(storm);
	_exit(CREW_DONE);
}

static void do_look(struct storm *storm)
{
	char path[PATH_MAX + 32], text[64];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", storm_provider.dir,
		 roll(storm->worker, 2) ? "available" : "allocated_peak");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	got = read(fd, text, sizeof(text));
	close(fd);
	if (got <= 0 || atol(text) < 0 || atol(text) > storm_provider.size)
		crew_wrong(storm->worker, "a file of the provider holds no amount");
}

static void ring_close(struct ring *ring)
{
	if (ring->fd >= 0)
		close(ring->fd);
	ring->fd = -1;
}

/* The last field of the offsets of a queue has the address of user memory for the queue. */
#define ring_put(offsets, at) \
	(*(__u64 *)((void *)(&(offsets) + 1) - sizeof(__u64)) = (unsigned long)(at))

static int ring_open(struct storm *storm)
{
	struct io_uring_params params = { .flags = IORING_SETUP_NO_MMAP };
	struct ring *ring = &storm->ring;
	char *at = storm->ring_at;

	if (mmap(at, RING_PAGES * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -1;
	ring_put(params.cq_off, at);
	ring_put(params.sq_off, at + PAGE);
	ring->fd = syscall(__NR_io_uring_setup, 16, &params);
	if (ring->fd < 0)
		return -1;
	ring->sq_tail = (void *)(at + params.sq_off.tail);
	ring->sq_mask = (void *)(at + params.sq_off.ring_mask);
	ring->sq_array = (void *)(at + params.sq_off.array);
	ring->cq_head = (void *)(at + params.cq_off.head);
	ring->cq_tail = (void *)(at + params.cq_off.tail);
	ring->cq_mask = (void *)(at + params.cq_off.ring_mask);
	ring->cqe = (void *)(at + params.cq_off.cqes);
	ring->sqe = (void *)(at + PAGE);
	return 0;
}

/* Submit a few reads and wait for some or for none: the ring may close with reads in flight. */
static void do_ring(struct storm *storm)
{
	struct ring *ring = &storm->ring;
	unsigned int nr = 1 + roll(storm->worker, 8), i, tail, head;
	struct io_uring_sqe *sqe;
	size_t length;

	if (ring->fd < 0 && ring_open(storm))
		return;
	tail = *ring->sq_tail;
	for (i = 0; i < nr; i++, tail++) {
		sqe = &ring->sqe[tail & *ring->sq_mask];
		memset(sqe, 0, sizeof(*sqe));
		sqe->opcode = IORING_OP_READ;
		sqe->fd = storm->disk;
		sqe->addr = (unsigned long)some(storm, &length);
		sqe->len = length;
		sqe->off = some_block(storm);
		if (!roll(storm->worker, 3))
			sqe->flags = IOSQE_ASYNC;
		ring->sq_array[tail & *ring->sq_mask] = tail & *ring->sq_mask;
	}
	__atomic_store_n(ring->sq_tail, tail, __ATOMIC_RELEASE);
	syscall(__NR_io_uring_enter, ring->fd, nr, roll(storm->worker, nr + 1),
		IORING_ENTER_GETEVENTS, NULL, 0);
	head = *ring->cq_head;
	for (; head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE); head++)
		count(RINGS, ring->cqe[head & *ring->cq_mask].res > 0);
	__atomic_store_n(ring->cq_head, head, __ATOMIC_RELEASE);
	if (!roll(storm->worker, 4))
		ring_close(ring);
}

/* Each page of an own mapping bears a mark, also after mremap(). */
static void check_marks(struct storm *storm, char *at, unsigned int nr, unsigned long first)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (peek(at + i * PAGE) != first + i)
			crew_wrong(storm->worker, "page %u of %u holds %#lx instead of %#lx", i, nr,
				   peek(at + i * PAGE), first + i);
	}
}

/* Map, check for zeros, mark, cut, move, read from a disk, check the marks, unmap. */
static void do_own(struct storm *storm)
{
	unsigned int i, nr = 4 + roll(storm->worker, OWN_PAGES / 2 - 3);
	unsigned long mark = crew_random(&storm->worker->random) << 8;
	char *at = storm->own, *to = storm->own + OWN_PAGES / 2 * PAGE;

	if (map_at(storm, at, nr * PAGE, PROT_READ | PROT_WRITE) == MAP_FAILED)
		return;
	for (i = 0; i < nr; i++) {
		if (peek(at + i * PAGE) || peek(at + i * PAGE + PAGE - sizeof(long)))
			crew_wrong(storm->worker, "a fresh mapping is not zero");
		poke(at + i * PAGE, mark + i);
	}
	if (!roll(storm->worker, 4))
		do_fork(storm);
	check_marks(storm, at, nr, mark);
	/* Unmap the second page, and move all pages after the hole. */
	clear_range(at + PAGE, PAGE);
	if (mremap(at + 2 * PAGE, (nr - 2) * PAGE, (nr - 2) * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   to) != to)
		crew_wrong(storm->worker, "a mapping cannot be moved, errno %d", errno);
	clear_range(at + 2 * PAGE, (nr - 2) * PAGE);
	if (pread(storm->disk, to, PAGE, some_block(storm)) != PAGE)
		crew_wrong(storm->worker, "no read into a mapping, errno %d", errno);
	check_marks(storm, at, 1, mark);
	check_marks(storm, to + PAGE, nr - 3, mark + 3);
	clear_range(at, PAGE);
	clear_range(to, (nr - 2) * PAGE);
	count(OWNS, 1);
}

/* End the process now and then. */
static void do_end(struct storm *storm)
{
	if (!roll(storm->worker, 20))
		_exit(CREW_DONE);
}

static void (*const storm_does[])(struct storm *storm) = {
	do_map, do_map, do_map, do_unmap, do_protect, do_protect, do_move, do_advise, do_lock,
	do_read, do_read, do_read, do_write, do_touch, do_touch, do_copy, do_splice, do_reach,
	do_fork, do_look, do_ring, do_ring, do_own, do_own, do_end,
};

static void open_all(struct storm *storm)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/allocate", storm_provider.dir);
	storm->allocate = open(path, O_RDWR | O_CLOEXEC);
	storm->disk = crew_open_disk();
	storm->zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	storm->mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	storm->ring.fd = -1;
	if (storm->allocate < 0 || storm->disk < 0 || storm->zero < 0 ||
	    pipe2(storm->pipe, O_NONBLOCK | O_CLOEXEC))
		crew_wrong(storm->worker, "files cannot be opened, errno %d", errno);
}

static void work(struct worker *worker)
{
	struct storm storm = { .worker = worker };

	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	storm.own = storm_own + worker->number * OWN_PAGES * PAGE;
	storm.ring_at = storm_rings + worker->number * RING_PAGES * PAGE;
	open_all(&storm);
	for (;;) {
		storm_does[roll(worker, ARRAY_SIZE(storm_does))](&storm);
		tick(worker);
	}
}

static char *reserve(unsigned long pages)
{
	char *at = mmap(NULL, pages * PAGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		ksft_exit_fail_msg("no address range: %s\n", strerror(errno));
	return at;
}

/* Wait for @wanted: the kernel may finish a ring after the end of a process. */
static long available_again(long wanted)
{
	double end = crew_now() + CREW_PATIENCE;
	long now;

	do {
		now = p2pmem_available(&storm_provider);
		sched_yield();
	} while (now != wanted && crew_now() < end);
	return now;
}

/* Each kind of operation must have succeeded at least once. */
static void report_counts(void)
{
	int i, idle = 0;

	for (i = 0; i < NR_COUNTS; i++) {
		ksft_print_msg("%lu %s\n", storm_counts[i], storm_names[i]);
		idle += !storm_counts[i] && (i != WRITES || getenv("P2PMEM_SCRATCH"));
	}
	ksft_test_result(!idle, "each kind of work was done\n");
}

static void setup(void)
{
	const char *why = p2pmem_open(&storm_provider);
	int fd;

	if (why)
		ksft_exit_skip("%s\n", why);
	if (storm_provider.page != PAGE)
		ksft_exit_skip("pages have another size here\n");
	fd = crew_open_disk();
	if (fd < 0)
		ksft_exit_skip("no NVMe disk can be opened here\n");
	if (p2pmem_available(&storm_provider) < (4 << 20))
		ksft_exit_skip("the provider has less than 4 MiB of free memory\n");
	storm_counts = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	storm_arena = reserve(ARENA_PAGES);
	storm_own = reserve(CREW_PROCESSES * CREW_THREADS * OWN_PAGES);
	storm_rings = reserve(CREW_PROCESSES * CREW_THREADS * RING_PAGES);
	storm_common = crew_map(storm_provider.dir, COMMON_PAGES * PAGE);
	if (storm_common == MAP_FAILED)
		ksft_exit_fail_msg("nothing can be mapped: %s\n", strerror(errno));
	if (pread(fd, storm_common, PAGE, 0) != PAGE && errno == EREMOTEIO)
		ksft_exit_skip("the disk does not reach the peer memory\n");
	close(fd);
}

int main(void)
{
	double seconds = crew_number("P2PMEM_SECONDS", 5);
	struct crew *crew = crew_new(4, 2, work);
	long before, now;
	int well;

	ksft_print_header();
	ksft_set_plan(3);
	setup();
	before = p2pmem_available(&storm_provider) + COMMON_PAGES * PAGE;
	ksft_print_msg("seed %ld, %.0f s\n", crew_number("P2PMEM_SEED", 1), seconds);
	well = crew_run(crew, seconds);
	ksft_print_msg("%lu operations, %u kills\n", crew_ticks(crew), crew->kills);
	if (!well)
		ksft_print_msg("%s\n", crew->why);
	ksft_test_result(well, "everything at once\n");
	report_counts();
	munmap(storm_common, COMMON_PAGES * PAGE);
	if (crew->hung)
		ksft_exit_fail_msg("a hung task holds memory\n");
	now = available_again(before);
	ksft_print_msg("%ld bytes available before, %ld now\n", before, now);
	ksft_test_result(now == before, "the provider has everything back\n");
	ksft_finished();
}
