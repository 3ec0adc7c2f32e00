// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma copy: drive to drive through peer memory
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "copy.h"
#include "disk.h"
#include "tool.h"

/* Drives are not faster with larger blocks, and controller memory buffers are small. */
#define BLOCK		(256U << 10)
#define DEEPEST		1024
#define PAGE		4096U
#define BAR_WIDTH	20

enum {
	OPTION_SIZE = 256,
	OPTION_DEPTH,
	OPTION_PROVIDER,
	OPTION_VERIFY,
	OPTION_WIPE,
	OPTION_FORCE,
	OPTION_RAM,
	OPTION_PROGRESS,
};

static const struct option copy_options[] = {
	{ "size", required_argument, NULL, OPTION_SIZE },
	{ "depth", required_argument, NULL, OPTION_DEPTH },
	{ "provider", required_argument, NULL, OPTION_PROVIDER },
	{ "verify", no_argument, NULL, OPTION_VERIFY },
	{ "wipe", no_argument, NULL, OPTION_WIPE },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "ram", no_argument, NULL, OPTION_RAM },
	{ "progress", no_argument, NULL, OPTION_PROGRESS },
	{ }
};

static unsigned long long wanted_size;
static unsigned long long wanted_depth = 8;
static const char *wanted_provider;
static bool verify, wipe, force, ram, progress;

static bool copy_option(int option, const char *argument)
{
	switch (option) {
	case OPTION_SIZE:
		return parse_size(argument, &wanted_size) && wanted_size;
	case OPTION_DEPTH:
		return parse_number(argument, 10, DEEPEST, &wanted_depth) && wanted_depth;
	case OPTION_PROVIDER:
		wanted_provider = argument;
		break;
	case OPTION_VERIFY:
		verify = true;
		break;
	case OPTION_WIPE:
		wipe = true;
		break;
	case OPTION_FORCE:
		force = true;
		break;
	case OPTION_RAM:
		ram = true;
		break;
	default:
		progress = true;
	}
	return true;
}

/**
 * struct drive - source or destination of the copy
 * @path: resolved path of the block device
 * @fd: open file descriptor of @path
 * @bytes: size of the drive in bytes
 * @sector: logical sector size in bytes
 * @id: device number of @fd
 * @disk: whole disks that the drive consists of
 * @function: PCI function of the drive, or NULL
 */
struct drive {
	const char *path;
	int fd;
	unsigned long long bytes;
	unsigned int sector;
	dev_t id;
	struct disk disk;
	struct function *function;
};

static void find_path(const char *name, struct drive *drive)
{
	const char *path = strchr(name, '/') ? name : xasprintf("/dev/%s", name);
	char *real = realpath(path, NULL);
	struct stat stat_of;

	if (!real || stat(real, &stat_of))
		die(STATUS_NO, "%s: %m", path);
	/* Opening another kind of file may have effects: a watchdog would start. */
	if (!S_ISBLK(stat_of.st_mode))
		die(STATUS_NO, "%s is not a block device", real);
	drive->path = real;
}

/*
 * With O_EXCL, open() fails while a block device is mounted or part of another block device.
 * Decide about the open descriptor from here on: somebody may replace the path at any time.
 */
static void open_drive(struct request *request, const char *name, bool to_write,
		       struct drive *drive)
{
	int flags = (to_write ? O_RDWR : O_RDONLY) | O_CLOEXEC;
	struct stat stat_of;

	find_path(name, drive);
	drive->fd = open(drive->path, flags | (to_write && !force ? O_EXCL : 0));
	if (drive->fd < 0 && errno == EBUSY)
		die(STATUS_NO, "%s is mounted or part of a device in use; --force overrides",
		    drive->path);
	if (drive->fd < 0 || fstat(drive->fd, &stat_of))
		die(STATUS_NO, "%s: %m", drive->path);
	if (!S_ISBLK(stat_of.st_mode))
		die(STATUS_NO, "%s is not a block device", drive->path);
	if (ioctl(drive->fd, BLKGETSIZE64, &drive->bytes) ||
	    ioctl(drive->fd, BLKSSZGET, &drive->sector))
		die(STATUS_NO, "%s: %m", drive->path);
	drive->id = stat_of.st_rdev;
	if (!disk_find(request->machine->sysfs, drive->id, &drive->disk))
		die(STATUS_NO, "%s: sysfs does not say which disks it consists of", drive->path);
	drive->function = find_device(request->machine, drive->disk.name);
}

static void check_overlap(const struct drive *from, const struct drive *to)
{
	const char *disk = disk_overlap(&from->disk, &to->disk);

	if (from->id == to->id)
		die(STATUS_USAGE, "%s and %s are one device", from->path, to->path);
	if (disk)
		die(STATUS_USAGE, "%s and %s overlap on the disk %s", from->path, to->path, disk);
}

static void check_contents(const struct request *request, const struct drive *drive)
{
	const char *partitions, *contents;

	if (wipe)
		return;
	partitions = disk_partitions(request->machine->sysfs, drive->id);
	if (partitions)
		die(STATUS_NO, "%s has partitions (%s); --wipe overwrites them", drive->path,
		    partitions);
	contents = disk_contents(drive->fd);
	if (contents)
		die(STATUS_NO, "%s holds %s; --wipe overwrites it", drive->path, contents);
}

/* The contents are probed with buffers that are not aligned. The copy needs O_DIRECT. */
static void bypass_cache(const struct drive *drive)
{
	int flags = fcntl(drive->fd, F_GETFL);

	if (flags < 0 || fcntl(drive->fd, F_SETFL, flags | O_DIRECT))
		die(STATUS_NO, "%s: %m", drive->path);
}

static unsigned long long choose_size(const struct drive *from, const struct drive *to)
{
	unsigned int sector = from->sector > to->sector ? from->sector : to->sector;
	unsigned long long size = wanted_size ? wanted_size : from->bytes;

	if (size > from->bytes)
		die(STATUS_NO, "%s is shorter than that: it has %llu bytes, not %llu", from->path,
		    from->bytes, size);
	if (size > to->bytes)
		die(STATUS_NO, "%s is too small: it has %llu bytes, and %llu are to be copied",
		    to->path, to->bytes, size);
	if (size % sector)
		die(STATUS_USAGE, "%llu bytes are not a whole number of sectors of %u bytes",
		    size, sector);
	return size;
}

/**
 * struct choice - provider within reach of both drives
 * @provider: best provider so far, or NULL
 * @from: verdict with the source as client
 * @to: verdict with the destination as client
 * @why_not: reason for the message, in case no provider is usable
 */
struct choice {
	struct function *provider;
	struct verdict from;
	struct verdict to;
	const char *why_not;
};

/* Without root a verdict may be unknown. Then try: the kernel refuses transfers without a route. */
static bool may_use(const struct verdict *verdict)
{
	return verdict->answer != ANSWER_NONE;
}

static int cost(const struct verdict *from, const struct verdict *to)
{
	int unknown = (from->answer == ANSWER_UNKNOWN) + (to->answer == ANSWER_UNKNOWN);

	return from->distance + to->distance + 1000 * unknown;
}

static void consider(struct request *request, const struct drive *from, const struct drive *to,
		     struct function *provider, struct choice *best)
{
	static struct verdict one, two;

	verdict_get(request->machine, from->function, provider, request->computed, &one);
	verdict_get(request->machine, to->function, provider, request->computed, &two);
	if (!may_use(&one) || !may_use(&two)) {
		best->why_not = "a drive does not reach the memory; p2pdma path says why";
		return;
	}
	if (provider->memory->available < PAGE) {
		best->why_not = "all memory is in use";
		return;
	}
	if (best->provider && cost(&best->from, &best->to) <= cost(&one, &two))
		return;
	best->provider = provider;
	best->from = one;
	best->to = two;
}

static void choose_provider(struct request *request, const struct drive *from,
			    const struct drive *to, struct choice *best)
{
	struct machine *machine = request->machine;
	struct function *only = wanted_provider ? resolve(machine, wanted_provider) : NULL;
	unsigned int i;

	best->why_not = "no device provides memory; p2pdma list shows who could";
	if (only && !only->memory)
		die(STATUS_NO, "%s provides no memory", only->bdf);
	if (!from->function || !to->function) {
		best->why_not = "both have to be drives on PCI functions; stacked ones cannot";
		return;
	}
	for (i = 0; i < machine->nr; i++)
		if (machine->functions[i]->memory && (!only || machine->functions[i] == only))
			consider(request, from, to, machine->functions[i], best);
}

static bool map_peer_memory(struct choice *choice, struct transfer *transfer)
{
	char *path = xasprintf("%s/p2pmem/allocate", choice->provider->path);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *memory;

	if (fd < 0) {
		choice->why_not = xasprintf("%s: %m", path);
		return false;
	}
	/* Halve the depth until the provider has enough free memory. */
	for (;; transfer->depth /= 2) {
		memory = mmap(NULL, transfer->depth * transfer->block, PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd, 0);
		if (memory != MAP_FAILED || errno != ENOMEM || transfer->depth == 1)
			break;
	}
	if (memory == MAP_FAILED)
		choice->why_not = xasprintf("%s: %m", path);
	else
		transfer->memory = memory;
	close(fd);
	return transfer->memory;
}

static void map_ram(struct transfer *transfer)
{
	void *memory = mmap(NULL, transfer->depth * transfer->block, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die(STATUS_NO, "memory: %m");
	transfer->memory = memory;
}

/* Returns true for peer memory, false for system memory. */
static bool map_memory(struct choice *choice, struct transfer *transfer)
{
	if (choice->provider && map_peer_memory(choice, transfer))
		return true;
	if (!ram)
		die(STATUS_NO, "%s; --ram copies through system memory", choice->why_not);
	warn("%s; copying through system memory", choice->why_not);
	map_ram(transfer);
	return false;
}

static atomic_bool stop;
static struct timespec started;
static double shown_at;
static const char *doing;

static void handle_signal(int signal)
{
	(void)signal;
	stop = true;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - started.tv_sec + (now.tv_nsec - started.tv_nsec) / 1e9;
}

static void begin(const char *what)
{
	clock_gettime(CLOCK_MONOTONIC, &started);
	shown_at = 0;
	doing = what;
}

static void show_progress(const struct transfer *transfer, unsigned long long done)
{
	unsigned long long size = transfer->copied ? transfer->copied : transfer->size;
	double now = seconds(), rate = now > 0 ? done / now : 0;
	int filled = (double)done / size * BAR_WIDTH;

	if (now - shown_at < 0.2 && done != size)
		return;
	shown_at = now;
	fprintf(stderr, "\r%s [%.*s%*s] %3.0f %%  %s  %s/s  %.0f s left ", doing, filled,
		"####################", BAR_WIDTH - filled, "", 100.0 * done / size,
		show_size(done), show_size(rate), rate > 0 ? (size - done) / rate : 0.0);
	if (done == size)
		fputc('\n', stderr);
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = handle_signal };

	/* A second signal ends the command at once. */
	action.sa_flags = SA_RESETHAND;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static json_object *drive_report(const struct machine *machine, const struct drive *drive)
{
	json_object *report = json_object_new_object();

	add_text(report, "path", drive->path);
	add_number(report, "bytes", drive->bytes);
	json_object_object_add(report, "function",
			       drive->function ? function_report(machine, drive->function) : NULL);
	return report;
}

static void report_way(struct request *request, const struct drive *from, const struct drive *to,
		       const struct choice *choice, bool peer)
{
	struct machine *machine = request->machine;
	json_object *report = request->report;

	json_object_object_add(report, "source", drive_report(machine, from));
	json_object_object_add(report, "destination", drive_report(machine, to));
	add_text(report, "through", peer ? "peer-memory" : "ram");
	json_object_object_add(report, "provider",
			       peer ? function_report(machine, choice->provider) : NULL);
	if (!peer)
		return;
	json_object_object_add(report, "source_route",
			       verdict_report(machine, from->function, choice->provider,
					      &choice->from));
	json_object_object_add(report, "destination_route",
			       verdict_report(machine, to->function, choice->provider,
					      &choice->to));
}

static const char *why_stopped(const struct transfer *transfer, int error)
{
	if (error)
		return xasprintf("io_uring: %s", strerror(-error));
	if (transfer->error)
		return xasprintf("%s at byte %llu: %s", transfer->failed_write ? "write" : "read",
				 transfer->failed_at, strerror(transfer->error));
	return transfer->copied < transfer->size ? "interrupted" : NULL;
}

static void report_result(json_object *report, const struct transfer *transfer,
			  const char *stopped, double took)
{
	add_number(report, "size", transfer->size);
	add_number(report, "copied", transfer->copied);
	add_number(report, "beyond", transfer->beyond);
	add_number(report, "block", transfer->block);
	add_number(report, "depth", transfer->depth);
	json_object_object_add(report, "seconds", json_object_new_double(took));
	add_text(report, "stopped", stopped);
}

static bool compare(json_object *report, struct transfer *transfer)
{
	unsigned long long differs;
	int error;

	begin("verifying");
	error = transfer_compare(transfer, &differs);
	add_bool(report, "verified", !error && differs == transfer->copied);
	if (error)
		add_text(report, "verify_error", strerror(-error));
	else if (differs != transfer->copied)
		add_text(report, "verify_error", xasprintf("byte %llu differs", differs));
	return !error && differs == transfer->copied;
}

static enum status run_transfer(json_object *report, struct transfer *transfer)
{
	const char *stopped;
	bool good;
	int error;

	if (progress || (isatty(STDERR_FILENO) && !terminal_is_dumb()))
		transfer->progress = show_progress;
	transfer->stop = &stop;
	begin("copying  ");
	error = transfer_run(transfer);
	if (!error && !transfer->error && fdatasync(transfer->to))
		error = -errno;
	stopped = why_stopped(transfer, error);
	report_result(report, transfer, stopped, seconds());
	good = !stopped;
	if (verify && good)
		good = compare(report, transfer);
	else
		add_text(report, "verified", NULL);
	return good ? STATUS_YES : STATUS_NO;
}

static enum status copy_run(struct request *request)
{
	struct transfer transfer = { .block = BLOCK, .depth = wanted_depth };
	static struct choice choice;
	static struct drive from, to;
	bool peer;

	catch_signals();
	open_drive(request, request->args[0], false, &from);
	open_drive(request, request->args[1], true, &to);
	check_overlap(&from, &to);
	transfer.size = choose_size(&from, &to);
	check_contents(request, &to);
	bypass_cache(&from);
	bypass_cache(&to);
	transfer.from = from.fd;
	transfer.to = to.fd;
	choose_provider(request, &from, &to, &choice);
	peer = map_memory(&choice, &transfer);
	report_way(request, &from, &to, &choice, peer);
	return run_transfer(request->report, &transfer);
}

static void print_way(json_object *report)
{
	json_object *provider = get(report, "provider");
	json_object *source = get(report, "source"), *destination = get(report, "destination");

	if (!provider) {
		print_wrapped(2, "%s -> %s through system memory", get_text(source, "path"),
			      get_text(destination, "path"));
		return;
	}
	print_wrapped(2, "%s -> %s through the memory of %s %s", get_text(source, "path"),
		      get_text(destination, "path"), get_text(provider, "bdf"),
		      one_name(provider));
	printf("  source %s, destination %s\n",
	       paint(get_answer(get(report, "source_route"))),
	       paint(get_answer(get(report, "destination_route"))));
}

static void copy_print(json_object *report)
{
	long long copied = get_number(report, "copied"), size = get_number(report, "size");
	long long left = get_number(get(report, "destination"), "bytes") - size;
	double took = json_object_get_double(get(report, "seconds"));

	print_way(report);
	printf("  copied %lld of %lld bytes in %.1f s (%s/s)\n", copied, size, took,
	       show_size(took > 0 ? copied / took : 0));
	if (get_text(report, "stopped"))
		printf("  stopped: %s\n  the first %lld bytes arrived; behind them %lld more\n",
		       get_text(report, "stopped"), copied, get_number(report, "beyond"));
	else if (left > 0)
		printf("  the last %lld bytes of the destination are as they were\n", left);
	if (get_text(report, "verify_error"))
		printf("  NOT verified: %s\n", get_text(report, "verify_error"));
	else if (get_bool(report, "verified"))
		printf("  verified: both read again and compared\n");
}

const struct command command_copy = {
	.name = "copy",
	.args = "SOURCE DESTINATION",
	.summary = "drive to drive through peer memory",
	.help = "SOURCE and DESTINATION are drives: /dev/nvme0n1 or nvme0n1. What is on\n"
		"DESTINATION is overwritten. The bytes pass through the nearest provider's\n"
		"memory, not through system memory.\n\n"
		"  --size BYTES       only so many from the start; 64k, 32M, 1G\n"
		"  --depth N          so many blocks of 256 KiB under way (8)\n"
		"  --provider DEVICE  through this one's memory\n"
		"  --verify           read both again and compare\n"
		"  --progress         show it also without a terminal\n"
		"  --ram              through system memory if it cannot be helped\n"
		"  --wipe             although DESTINATION holds partitions, a file system, ...\n"
		"  --force            although DESTINATION is mounted or part of a device\n",
	.options = copy_options,
	.option = copy_option,
	.min_args = 2,
	.max_args = 2,
	.run = copy_run,
	.print = copy_print,
	.live_only = true,
};
