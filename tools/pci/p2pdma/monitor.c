// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma monitor: report changes
 *
 * The kernel sends uevents for functions and drivers, but none for policies and for available
 * memory. Poll those at an interval.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

static unsigned long long interval_ms = 1000;
static unsigned long long most_events;
static unsigned long long most_ms;

enum {
	OPTION_INTERVAL = 256,
	OPTION_COUNT,
	OPTION_SECONDS,
};

static const struct option monitor_options[] = {
	{ "interval", required_argument, NULL, OPTION_INTERVAL },
	{ "count", required_argument, NULL, OPTION_COUNT },
	{ "seconds", required_argument, NULL, OPTION_SECONDS },
	{ }
};

static bool monitor_option(int option, const char *argument)
{
	unsigned long long number;

	if (!parse_number(argument, 10, 1000000, &number) || !number)
		return false;
	if (option == OPTION_INTERVAL)
		interval_ms = number;
	else if (option == OPTION_COUNT)
		most_events = number;
	else
		most_ms = 1000 * number;
	return true;
}

/**
 * struct seen - state of a function or host bridge at one time
 * @name: address of the function, or name of the host bridge
 * @driver: name of the bound driver, or empty
 * @policy: policy in effect, or empty
 * @provider: the function has peer memory
 * @size: size of the peer memory in bytes
 * @available: free bytes of the peer memory
 * @published: 1 if the peer memory is published, else 0
 */
struct seen {
	char name[ADDRESS_SIZE];
	char driver[64];
	char policy[8];
	bool provider;
	unsigned long long size;
	unsigned long long available;
	unsigned long long published;
};

/**
 * struct view - state of the machine at one time
 * @seen: array of functions and host bridges, sorted by name
 * @nr: length of @seen
 * @room: number of allocated elements of @seen
 */
struct view {
	struct seen *seen;
	size_t nr;
	size_t room;
};

static void look_at_policy(const char *path, struct seen *seen)
{
	char *file = xasprintf("%s/p2pdma/policy", path);

	if (!access(file, F_OK))
		snprintf(seen->policy, sizeof(seen->policy), "%s", policy_word(sysfs_policy(path)));
	xfree(file);
}

static bool look_at_number(const char *path, const char *name, unsigned long long *number)
{
	char *line = read_line("%s/p2pmem/%s", path, name);
	bool good = parse_number(line, 10, ~0ULL, number);

	xfree(line);
	return good;
}

static void look_at_function(const char *path, struct seen *seen)
{
	char *link = read_link("%s/driver", path), *base = link ? strrchr(link, '/') : NULL;

	if (base)
		snprintf(seen->driver, sizeof(seen->driver), "%s", base + 1);
	xfree(link);
	seen->provider = look_at_number(path, "size", &seen->size);
	if (seen->provider) {
		look_at_number(path, "available", &seen->available);
		look_at_number(path, "published", &seen->published);
	}
	look_at_policy(path, seen);
}

static struct seen *add_seen(struct view *view, const char *name)
{
	struct seen *seen;

	if (view->nr == view->room) {
		view->seen = xgrow(view->seen, view->room * sizeof(*seen),
				   (view->room + 64) * sizeof(*seen));
		view->room += 64;
	}
	seen = &view->seen[view->nr++];
	*seen = (struct seen) {};
	snprintf(seen->name, sizeof(seen->name), "%s", name);
	return seen;
}

static int compare_seen(const void *a, const void *b)
{
	return strcmp(((const struct seen *)a)->name, ((const struct seen *)b)->name);
}

static void look(const struct machine *machine, struct view *view)
{
	char *directory = xasprintf("%s/bus/pci/devices", machine->sysfs), *path;
	DIR *entries = opendir(directory);
	struct address address;
	struct dirent *entry;
	unsigned int i;

	view->nr = 0;
	while (entries && (entry = readdir(entries)) && view->nr < MAX_FUNCTIONS) {
		if (!parse_address(entry->d_name, &address))
			continue;
		path = xasprintf("%s/%s", directory, entry->d_name);
		look_at_function(path, add_seen(view, entry->d_name));
		xfree(path);
	}
	if (entries)
		closedir(entries);
	xfree(directory);
	for (i = 0; i < machine->nr_hosts; i++)
		if (machine->hosts[i]->path)
			look_at_policy(machine->hosts[i]->path,
				       add_seen(view, machine->hosts[i]->name));
	if (view->nr)
		qsort(view->seen, view->nr, sizeof(*view->seen), compare_seen);
}

static unsigned long long told;

static void print_event(json_object *event)
{
	const char *before = get_text(event, "before"), *now = get_text(event, "now");

	printf("%s %-13s %s", get_text(event, "time"), get_text(event, "device"),
	       get_text(event, "event"));
	if (before || now)
		printf(": %s -> %s", before ? before : "-", now ? now : "-");
	printf("\n");
	fflush(stdout);
}

static void tell(const struct request *request, const char *device, const char *what,
		 const char *before, const char *now)
{
	json_object *event = json_object_new_object();
	struct timespec time;
	char stamp[40];
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &time);
	localtime_r(&time.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%FT%T%z", &tm);
	add_number(event, "schema", SCHEMA_VERSION);
	add_text(event, "command", "monitor");
	add_text(event, "time", stamp);
	add_text(event, "device", device);
	add_text(event, "event", what);
	add_text(event, "before", before && *before ? before : NULL);
	add_text(event, "now", now && *now ? now : NULL);
	if (request->json)
		emit(request, event);
	else
		print_event(event);
	json_object_put(event);
	told++;
}

static void tell_number(const struct request *request, const char *device, const char *what,
			unsigned long long before, unsigned long long now)
{
	char old[24], new[24];

	if (before == now)
		return;
	snprintf(old, sizeof(old), "%llu", before);
	snprintf(new, sizeof(new), "%llu", now);
	tell(request, device, what, old, new);
}

static void tell_memory(const struct request *request, const struct seen *before,
			const struct seen *now)
{
	char size[24];

	snprintf(size, sizeof(size), "%llu", now->provider ? now->size : before->size);
	if (now->provider && !before->provider)
		tell(request, now->name, "provider", NULL, size);
	else if (before->provider && !now->provider)
		tell(request, now->name, "provider", size, NULL);
	if (!now->provider || !before->provider)
		return;
	tell_number(request, now->name, "size", before->size, now->size);
	tell_number(request, now->name, "available", before->available, now->available);
	tell_number(request, now->name, "published", before->published, now->published);
}

static void tell_changes(const struct request *request, const struct seen *before,
			 const struct seen *now)
{
	if (strcmp(before->driver, now->driver))
		tell(request, now->name, "driver", before->driver, now->driver);
	if (strcmp(before->policy, now->policy) && *before->policy)
		tell(request, now->name, "policy", before->policy, now->policy);
	tell_memory(request, before, now);
}

/* Both views are sorted: merge. */
static void tell_all(const struct request *request, const struct view *before,
		     const struct view *now)
{
	const struct seen nothing = {};
	size_t i = 0, j = 0;
	int order;

	while (i < before->nr || j < now->nr) {
		order = i == before->nr ? 1 : j == now->nr ? -1 :
			strcmp(before->seen[i].name, now->seen[j].name);
		if (order < 0) {
			tell(request, before->seen[i++].name, "removed", NULL, NULL);
			continue;
		}
		if (order > 0) {
			tell(request, now->seen[j].name, "added", NULL, NULL);
			tell_changes(request, &nothing, &now->seen[j++]);
			continue;
		}
		tell_changes(request, &before->seen[i++], &now->seen[j++]);
	}
}

/* Without a netlink socket, monitor sees changes at the next interval. */
static int open_announcements(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void drain(int fd)
{
	char message[8192];

	/* The messages only wake the loop. An overrun (ENOBUFS) is therefore harmless. */
	while (recv(fd, message, sizeof(message), 0) >= 0 || errno == ENOBUFS)
		;
}

static unsigned long long now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000ULL + time.tv_nsec / 1000000;
}

static enum status monitor_run(struct request *request)
{
	struct view views[2] = {};
	unsigned long long end;
	struct pollfd wait = { .fd = -1, .events = POLLIN };
	unsigned int turn = 0;

	if (request->machine->dump)
		die(STATUS_USAGE, "the output of lspci does not change");
	if (request->machine->live)
		wait.fd = open_announcements();
	end = now_ms() + most_ms;
	look(request->machine, &views[turn]);
	warn("watching %zu functions and host bridges", views[turn].nr);
	while ((!most_events || told < most_events) && (!most_ms || now_ms() < end)) {
		if (poll(&wait, 1, interval_ms) > 0)
			drain(wait.fd);
		look(request->machine, &views[!turn]);
		tell_all(request, &views[turn], &views[!turn]);
		turn = !turn;
	}
	xfree(views[0].seen);
	xfree(views[1].seen);
	/* Each change has been printed already: print no report at the end. */
	request->json = false;
	return STATUS_YES;
}

const struct command command_monitor = {
	.name = "monitor",
	.args = "",
	.summary = "functions, providers and policies that change",
	.help = "Prints a line for every change: functions added and removed, drivers, providers\n"
		"and their memory, policies. With -j every line is JSON.\n\n"
		"  --interval MS    look at memory and policies that often (1000)\n"
		"  --count N        end after N changes\n"
		"  --seconds N      end after N seconds\n",
	.options = monitor_options,
	.option = monitor_option,
	.run = monitor_run,
};
