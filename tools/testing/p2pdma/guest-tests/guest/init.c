// SPDX-License-Identifier: GPL-2.0
/*
 * First process of a guest of rig selftests, and of rig kunit on other processors. Run programs of
 * /programs and end the machine. The kernel's command line has the names after "--", and the
 * environment.
 *
 * All output goes to the kernel log, line by line. A message of the kernel thus never breaks a
 * line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *kernel_log;

static void mount_at(const char *type, const char *dir)
{
	if (mount(type, dir, type, 0, NULL))
		fprintf(kernel_log, "<3>rig: %s does not mount: %m\n", dir);
}

/* Copy lines that begin with @first to the kernel log. */
static void show(FILE *file, const char *first)
{
	char line[800];

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, first, strlen(first)))
			fprintf(kernel_log, "<6>%s", line);
	}
}

static void child(const char *name, int out)
{
	char path[256];

	snprintf(path, sizeof(path), "/programs/%s", name);
	dup2(out, 1);
	dup2(out, 2);
	execl(path, name, NULL);
	printf("no program %s: %m\n", path);
	exit(127);
}

/* The output goes to a file first: a hanging child of the program would keep a pipe open. */
static void run(const char *name)
{
	FILE *file = tmpfile();
	int status = -1;
	pid_t pid;

	fprintf(kernel_log, "<6>rig: begin %s\n", name);
	if (!file) {
		fprintf(kernel_log, "<3>rig: no file for the output: %m\n");
		return;
	}
	pid = fork();
	if (!pid)
		child(name, fileno(file));
	waitpid(pid, &status, 0);
	rewind(file);
	show(file, "");
	fclose(file);
	if (WIFSIGNALED(status))
		fprintf(kernel_log, "<6>rig: end %s by signal %d\n", name, WTERMSIG(status));
	else
		fprintf(kernel_log, "<6>rig: end %s with status %d\n", name, WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
	FILE *locks;
	int i;

	kernel_log = fopen("/dev/kmsg", "we");
	if (!kernel_log)
		return 1;
	setlinebuf(kernel_log);
	mount_at("devtmpfs", "/dev");
	mount_at("proc", "/proc");
	mount_at("sysfs", "/sys");
	mount_at("tmpfs", "/tmp");
	for (i = 1; i < argc; i++)
		run(argv[i]);
	locks = fopen("/proc/lockdep_stats", "re");
	show(locks, " debug_locks:");
	fprintf(kernel_log, "<6>rig: the boot is complete\n");
	sync();
	/* The machine runs with -no-reboot: a restart ends it. */
	reboot(RB_AUTOBOOT);
	return 1;
}
