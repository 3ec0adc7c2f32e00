// SPDX-License-Identifier: GPL-2.0
/*
 * Unbind a provider from the driver while many tasks map peer memory. The unbinding must end
 * although all tasks live on. Afterwards no task may reach the memory through any mapping.
 *
 * The test runs only if P2PMEM_UNBIND names the driver to unbind and to bind again. The number of
 * rounds is P2PMEM_ROUNDS, 6 by default.
 */
#include <setjmp.h>

#include "p2pmem_crew.h"

#define TASKS		8
#define MAPPINGS	16		/* number of mappings of a task at any time */

/* State that is shared by the tasks and the supervisor. */
struct news {
	int over;			/* set by the supervisor: check all mappings */
	int ready;			/* number of tasks with all their mappings */
	int asleep;			/* number of tasks after their check */
	int reached;			/* number of mappings with access to memory */
	unsigned long mapped;
};

static struct news *news;
static sigjmp_buf no_memory;

static void on_fault(int number)
{
	siglongjmp(no_memory, number);
}

static int reaches_memory(char *map)
{
	if (sigsetjmp(no_memory, 1))
		return 0;
	poke(map, peek(map) + 1);
	return 1;
}

static int say(int *what)
{
	return __atomic_add_fetch(what, 1, __ATOMIC_SEQ_CST);
}

static int heard(const int *what)
{
	return __atomic_load_n(what, __ATOMIC_SEQ_CST);
}

/* Map and unmap, with MAPPINGS mappings at any time, until the supervisor sets news->over. */
static void map_away(const struct p2pmem *mem, unsigned int number)
{
	char path[PATH_MAX + 32], *map[MAPPINGS] = { };
	unsigned long i, length = mem->page * (1 + number % 3);
	int fd;

	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(path, sizeof(path), "%s/allocate", mem->dir);
	fd = open(path, O_RDWR);
	for (i = 0; !heard(&news->over); i++) {
		char **at = &map[i % MAPPINGS];

		if (*at)
			munmap(*at, length);
		*at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (*at == MAP_FAILED)
			*at = NULL;
		else
			__atomic_fetch_add(&news->mapped, 1, __ATOMIC_RELAXED);
		if (i == MAPPINGS)
			say(&news->ready);
		/* The file is gone. */
		if (!*at && errno == ENODEV)
			break;
	}
	while (!heard(&news->over))
		usleep(1000);
	for (i = 0; i < MAPPINGS; i++) {
		if (map[i] && reaches_memory(map[i]))
			say(&news->reached);
	}
	say(&news->asleep);
	for (;;)
		pause();
}

/* Write the address of the provider to a file of the driver. */
static int tell_driver(const char *name)
{
	const char *bdf = getenv("P2PMEM_PROVIDER");
	char path[PATH_MAX];
	int fd, ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/%s", getenv("P2PMEM_UNBIND"), name);
	fd = open(path, O_WRONLY);
	ret = fd < 0 || write(fd, bdf, strlen(bdf)) < 0 ? errno : 0;
	close(fd);
	return ret;
}

/* Wait until @what is at least @wanted. */
static int await(const int *what, int wanted)
{
	double end = crew_now() + CREW_PATIENCE;

	while (heard(what) < wanted) {
		if (crew_now() > end)
			return -1;
		usleep(1000);
	}
	return 0;
}

static int child_within(pid_t pid, double seconds)
{
	struct pollfd ended = { .events = POLLIN };
	int status = -1;

	ended.fd = syscall(SYS_pidfd_open, pid, 0);
	if (poll(&ended, 1, seconds * 1000) == 1)
		waitpid(pid, &status, 0);
	close(ended.fd);
	return status;
}

static int unbind_under_way(pid_t *task)
{
	pid_t pid;
	int status;

	if (await(&news->ready, TASKS))
		ksft_exit_fail_msg("the tasks do not map anything\n");
	pid = fork();
	if (!pid)
		_exit(tell_driver("unbind"));
	status = child_within(pid, CREW_PATIENCE / 2);
	if (status == -1) {
		ksft_print_msg("unbinding has not ended after %d s\n", CREW_PATIENCE / 2);
		crew_show_stacks(pid);
	} else if (status) {
		ksft_exit_fail_msg("unbinding failed: %s\n", strerror(WEXITSTATUS(status)));
	}
	__atomic_store_n(&news->over, 1, __ATOMIC_SEQ_CST);
	if (await(&news->asleep, TASKS))
		ksft_exit_fail_msg("the tasks do not come to an end\n");
	while (*task)
		kill(*task++, SIGKILL);
	if (status == -1 && child_within(pid, CREW_PATIENCE) == -1)
		ksft_exit_fail_msg("unbinding does not end without the tasks either\n");
	return status;
}

static int one_round(const struct p2pmem *mem)
{
	pid_t task[TASKS + 1] = { };
	int i, status;

	memset(news, 0, sizeof(*news));
	for (i = 0; i < TASKS; i++) {
		task[i] = fork();
		if (!task[i])
			map_away(mem, i);
	}
	status = unbind_under_way(task);
	for (i = 0; i < TASKS; i++)
		waitpid(task[i], NULL, 0);
	if (tell_driver("bind"))
		ksft_exit_fail_msg("the driver does not bind again: %s\n", strerror(errno));
	ksft_print_msg("%lu mappings made, %d still reach memory\n", news->mapped, news->reached);
	return !status && !news->reached;
}

int main(void)
{
	long i, rounds = crew_number("P2PMEM_ROUNDS", 6);
	struct p2pmem mem;
	const char *why;

	ksft_print_header();
	if (!getenv("P2PMEM_UNBIND") || !getenv("P2PMEM_PROVIDER"))
		ksft_exit_skip("P2PMEM_UNBIND and P2PMEM_PROVIDER name nothing to unbind\n");
	why = p2pmem_open(&mem);
	if (why)
		ksft_exit_skip("%s\n", why);
	p2pmem_close(&mem);
	ksft_set_plan(rounds + 1);
	news = mmap(NULL, sizeof(*news), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (i = 1; i <= rounds; i++)
		ksft_test_result(one_round(&mem), "unbind %ld ends with all mappings\n", i);
	ksft_test_result(p2pmem_available(&mem) == mem.size, "the provider has everything back\n");
	ksft_finished();
}
