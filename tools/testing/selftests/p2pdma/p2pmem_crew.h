/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A crew: processes with a few threads each work on peer memory until a supervisor kills them.
 * The supervisor kills at random, starts new processes, and notices a thread without progress.
 *
 * The environment decides about a run:
 *
 *	P2PMEM_SECONDS	duration of a storm, 5 by default
 *	P2PMEM_SEED	seed of all random choices, 1 by default
 *	P2PMEM_USER	user and group of the crew as numbers, for example "1000:1000"
 *	P2PMEM_DISK	NVMe disk to read from, by default the first usable disk
 *	P2PMEM_SCRATCH	disk to overwrite; without a name the test writes to no disk
 */
#ifndef P2PMEM_CREW_H
#define P2PMEM_CREW_H

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "p2pmem.h"
#include "../kselftest.h"

#define CREW_PROCESSES	8
#define CREW_THREADS	4

/* Seconds without progress that count as a hang, also on a debug kernel in an emulated machine. */
#define CREW_PATIENCE	40

/* Exit status after an intended end, and after an error of the kernel. */
#define CREW_DONE	77
#define CREW_WRONG	78

struct crew;

/* A thread of the crew. All processes share the struct, and the struct survives the thread. */
struct worker {
	struct crew *crew;
	unsigned int process;
	unsigned int number;
	unsigned int life;
	__u64 random;
	unsigned long ticks;
	int tid;
};

struct crew {
	unsigned int processes;
	unsigned int threads;
	void (*work)(struct worker *worker);
	pid_t pid[CREW_PROCESSES];
	struct worker worker[CREW_PROCESSES * CREW_THREADS];
	unsigned long seen[CREW_PROCESSES * CREW_THREADS];
	double moved[CREW_PROCESSES * CREW_THREADS];
	double patience;	/* seconds; fork and exit take longer with larger page tables */
	unsigned int kills;
	unsigned int hung;
	__u64 random;
	/* The first error that a worker found. */
	unsigned int wrong;
	char why[256];
};

static inline double crew_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static inline long crew_number(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? atol(text) : otherwise;
}

/* xorshift64*, after Vigna. */
static inline __u64 crew_random(__u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static inline unsigned int roll(struct worker *worker, unsigned int below)
{
	return (crew_random(&worker->random) >> 33) % below;
}

static inline void tick(struct worker *worker)
{
	__atomic_fetch_add(&worker->ticks, 1, __ATOMIC_RELAXED);
}

/* Report an error and end the process. */
static inline __printf(2, 3) void crew_wrong(struct worker *worker, const char *format, ...)
{
	struct crew *crew = worker->crew;
	va_list args;

	if (!__atomic_fetch_add(&crew->wrong, 1, __ATOMIC_SEQ_CST)) {
		va_start(args, format);
		vsnprintf(crew->why, sizeof(crew->why), format, args);
		va_end(args);
	}
	_exit(CREW_WRONG);
}

/* Parse P2PMEM_USER. Return false without a valid value. */
static inline int crew_user(unsigned int *uid, unsigned int *gid)
{
	const char *text = getenv("P2PMEM_USER");

	return text && sscanf(text, "%u:%u", uid, gid) == 2;
}

/* Become the user of P2PMEM_USER for good. */
static inline int crew_become_user(void)
{
	unsigned int uid, gid;

	if (!crew_user(&uid, &gid))
		return 0;
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -1;
	/* The change of user prevents access to the memory of siblings: allow access again. */
	return prctl(PR_SET_DUMPABLE, 1);
}

/* Map @length bytes as the user of P2PMEM_USER; the supervisor stays root. */
static inline void *crew_map(const char *dir, size_t length)
{
	unsigned int uid, gid;
	int changed = crew_user(&uid, &gid);
	char path[PATH_MAX + 32];
	void *map = MAP_FAILED;
	int fd;

	if (changed && (setgroups(0, NULL) || setegid(gid) || seteuid(uid)))
		return MAP_FAILED;
	snprintf(path, sizeof(path), "%s/allocate", dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (changed && (seteuid(0) || setegid(0)))
		return MAP_FAILED;
	return map;
}

/* Open the disk to read from. Return a file descriptor or -1. */
static inline int crew_open_disk(void)
{
	const char *name = getenv("P2PMEM_SCRATCH") ?: getenv("P2PMEM_DISK");
	int fd = -1;
	glob_t disks;
	size_t i;

	if (name)
		return open(name, (getenv("P2PMEM_SCRATCH") ? O_RDWR : O_RDONLY) |
			    O_DIRECT | O_CLOEXEC);
	if (glob("/dev/nvme*n*", GLOB_NOSORT, NULL, &disks))
		return -1;
	for (i = 0; i < disks.gl_pathc && fd < 0; i++)
		fd = open(disks.gl_pathv[i], O_RDONLY | O_DIRECT | O_CLOEXEC);
	globfree(&disks);
	return fd;
}

/* Allocate a crew without processes, in memory that all processes share. */
static inline struct crew *crew_new(unsigned int processes, unsigned int threads,
				    void (*work)(struct worker *worker))
{
	struct crew *crew = mmap(NULL, sizeof(*crew), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int i;

	if (crew == MAP_FAILED)
		return NULL;
	crew->processes = processes;
	crew->threads = threads;
	crew->work = work;
	crew->patience = CREW_PATIENCE;
	crew->random = 0x9e3779b97f4a7c15ULL * (crew_number("P2PMEM_SEED", 1) + 1);
	for (i = 0; i < processes * threads; i++) {
		crew->worker[i].crew = crew;
		crew->worker[i].number = i;
		crew->worker[i].process = i / threads;
	}
	return crew;
}

static pthread_barrier_t crew_barrier;

static inline void *crew_thread(void *data)
{
	struct worker *worker = data;

	worker->tid = syscall(SYS_gettid);
	/* All stacks exist: only workers map anything from here on. */
	pthread_barrier_wait(&crew_barrier);
	worker->crew->work(worker);
	_exit(CREW_DONE);
}

static inline void crew_start(struct crew *crew, unsigned int process)
{
	struct worker *first = &crew->worker[process * crew->threads];
	pthread_t thread;
	unsigned int i;
	pid_t pid;

	for (i = 0; i < crew->threads; i++) {
		first[i].life++;
		first[i].random = crew_random(&crew->random) | 1;
		crew->moved[process * crew->threads + i] = crew_now();
	}
	pid = fork();
	if (pid) {
		/* The child does the same: either process may be the faster one. */
		setpgid(pid, pid);
		crew->pid[process] = pid;
		return;
	}

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (crew_become_user())
		crew_wrong(first, "cannot become the user of P2PMEM_USER");
	pthread_barrier_init(&crew_barrier, NULL, crew->threads);
	for (i = 1; i < crew->threads; i++) {
		if (pthread_create(&thread, NULL, crew_thread, &first[i]))
			crew_wrong(first, "cannot start a thread");
	}
	crew_thread(first);
}

/* Print the lines of a file that begin with @first. */
static inline void crew_show(const char *path, const char *first)
{
	char line[256];
	FILE *file = fopen(path, "r");

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, first, strlen(first)))
			printf("#   %s", line);
	}
	if (file)
		fclose(file);
}

/* Print the state and the kernel stack of each thread of a process. */
static inline void crew_show_stacks(pid_t pid)
{
	char path[PATH_MAX], dir[64];
	struct dirent *entry;
	DIR *threads;

	snprintf(dir, sizeof(dir), "/proc/%d/task", pid);
	threads = opendir(dir);
	while (threads && (entry = readdir(threads))) {
		if (entry->d_name[0] == '.')
			continue;
		printf("# thread %s of process %d:\n", entry->d_name, pid);
		snprintf(path, sizeof(path), "%s/%s/status", dir, entry->d_name);
		crew_show(path, "State:");
		snprintf(path, sizeof(path), "%s/%s/stack", dir, entry->d_name);
		crew_show(path, "");
	}
	if (threads)
		closedir(threads);
	fflush(stdout);
}

/*
 * Wait until a process and its children are gone. Children of a dead process become children of
 * the supervisor. Return 0, or -1 if a process remains after @patience seconds.
 */
static inline int crew_reap(pid_t group, double patience)
{
	struct timespec tenth = { .tv_nsec = 100000000 };
	double end = crew_now() + patience;
	sigset_t set;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (;;) {
		do {
			pid = waitpid(-group, NULL, WNOHANG);
		} while (pid > 0);
		if (pid < 0)
			return 0;
		if (crew_now() > end)
			return -1;
		sigtimedwait(&set, NULL, &tenth);
	}
}

/* Kill a process. Return false if the process survives. */
static inline int crew_kill(struct crew *crew, unsigned int process)
{
	pid_t pid = crew->pid[process];

	if (!pid)
		return 1;
	crew->pid[process] = 0;
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	if (!crew_reap(pid, crew->patience))
		return 1;
	crew->hung++;
	snprintf(crew->why, sizeof(crew->why), "process %d survives SIGKILL", pid);
	crew_show_stacks(pid);
	return 0;
}

/* Return false if a process has ended without a reason. */
static inline int crew_alive(struct crew *crew, unsigned int process)
{
	pid_t pid = crew->pid[process];
	siginfo_t info = { };

	if (waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
		return 1;
	if (info.si_code == CLD_EXITED && info.si_status == CREW_DONE) {
		if (!crew_kill(crew, process))
			return 0;
		crew_start(crew, process);
		return 1;
	}
	if (!crew->wrong)
		snprintf(crew->why, sizeof(crew->why), "process %d ended by itself: %s %d", pid,
			 info.si_code == CLD_EXITED ? "status" : "signal", info.si_status);
	return 0;
}

/* Return false if a thread has made no progress for too long. */
static inline int crew_moves(struct crew *crew)
{
	double now = crew_now();
	unsigned int i;

	for (i = 0; i < crew->processes * crew->threads; i++) {
		if (crew->worker[i].ticks != crew->seen[i]) {
			crew->seen[i] = crew->worker[i].ticks;
			crew->moved[i] = now;
		} else if (now > crew->moved[i] + crew->patience) {
			crew->hung++;
			snprintf(crew->why, sizeof(crew->why),
				 "thread %d of process %d makes no progress", crew->worker[i].tid,
				 crew->pid[i / crew->threads]);
			crew_show_stacks(crew->pid[i / crew->threads]);
			return 0;
		}
	}
	return 1;
}

static inline int crew_all_well(struct crew *crew)
{
	unsigned int i;

	for (i = 0; i < crew->processes; i++) {
		if (!crew_alive(crew, i))
			return 0;
	}
	return crew_moves(crew) && !crew->wrong;
}

static inline unsigned long crew_ticks(const struct crew *crew)
{
	unsigned long sum = 0;
	unsigned int i;

	for (i = 0; i < crew->processes * crew->threads; i++)
		sum += crew->worker[i].ticks;
	return sum;
}

/*
 * Let the crew work for @seconds, and kill a process now and then. Return true if all was well and
 * every process has ended; otherwise @crew->why has the reason.
 */
static inline int crew_run(struct crew *crew, double seconds)
{
	struct timespec pause = { };
	double end = crew_now() + seconds;
	unsigned int i, well = 1;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (i = 0; i < crew->processes; i++)
		crew_start(crew, i);
	while (well && crew_now() < end) {
		pause.tv_nsec = crew_random(&crew->random) % 400000000;
		sigtimedwait(&set, NULL, &pause);
		well = crew_all_well(crew);
		i = (crew_random(&crew->random) >> 32) % (2 * crew->processes);
		if (!well || i >= crew->processes)
			continue;
		well = crew_kill(crew, i);
		crew->kills++;
		if (well)
			crew_start(crew, i);
	}
	for (i = 0; i < crew->processes; i++)
		well &= crew_kill(crew, i);
	return well && !crew->wrong;
}

#endif /* P2PMEM_CREW_H */
