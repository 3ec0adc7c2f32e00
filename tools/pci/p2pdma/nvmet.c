// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma nvmet: does the NVMe target use peer memory, as configured?
 *
 * The target falls back to system memory without a message. Check each condition, and watch the
 * counters of the providers.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"

#define LONGEST_INTERVAL	3600

static double interval = 1;

enum {
	OPTION_INTERVAL = 256,
};

static const struct option nvmet_options[] = {
	{ "interval", required_argument, NULL, OPTION_INTERVAL },
	{ }
};

static bool nvmet_option(int option, const char *argument)
{
	char *end;

	(void)option;
	interval = strtod(argument, &end);
	return end != argument && !*end && interval >= 0 && interval <= LONGEST_INTERVAL;
}

/**
 * struct space - namespace of the NVMe target
 * @report: JSON report of the namespace
 * @wants: content of the attribute p2pmem, or NULL
 * @disk: PCI function of the block device, or NULL
 * @enabled: the namespace is enabled
 * @exported: at least one port exports the subsystem
 * @rdma: at least one port of type rdma exports the subsystem
 */
struct space {
	json_object *report;
	const char *wants;
	struct function *disk;
	bool enabled;
	bool exported;
	bool rdma;
};

/**
 * struct totals - sums over the providers that may serve a namespace
 * @nr: number of providers
 * @reachable: number of providers within reach of the disk
 * @counters: every provider has counters
 * @mapped: number of mappings
 * @failed: number of failed allocations
 */
struct totals {
	unsigned int nr;
	unsigned int reachable;
	bool counters;
	unsigned long long mapped;
	unsigned long long failed;
};

static void find_ports(const char *top, const char *subsystem, struct space *space)
{
	json_object *transports = add_array(space->report, "transports");
	char **ports, **names, *type;
	int i, j, nr, links;

	nr = list_directory(xasprintf("%s/ports", top), &ports);
	for (i = 0; i < nr; i++) {
		links = list_directory(xasprintf("%s/ports/%s/subsystems", top, ports[i]),
				       &names);
		for (j = 0; j < links && strcmp(names[j], subsystem); j++)
			;
		type = j < links ? read_line("%s/ports/%s/addr_trtype", top, ports[i]) : NULL;
		if (!type)
			continue;
		space->exported = true;
		space->rdma |= !strcmp(type, "rdma");
		add_words(transports, "%s", type);
	}
}

/* PCI function of a disk. On the live machine @path may be a link in /dev. */
static struct function *find_disk(struct machine *machine, const char *path)
{
	char *real = machine->live && path ? realpath(path, NULL) : NULL;
	struct function *function = NULL;

	if (path)
		function = find_device(machine, real ? real : path);
	free(real);
	return function;
}

static void read_space(struct machine *machine, const char *top, const char *subsystem,
		       const char *number, struct space *space)
{
	const char *at = xasprintf("%s/subsystems/%s/namespaces/%s", top, subsystem, number);
	const char *enable = read_line("%s/enable", at), *path = read_line("%s/device_path", at);

	space->report = json_object_new_object();
	space->wants = read_line("%s/p2pmem", at);
	space->enabled = enable && !strcmp(enable, "1");
	space->disk = find_disk(machine, path);
	add_text(space->report, "subsystem", subsystem);
	add_text(space->report, "namespace", number);
	add_text(space->report, "device", path);
	json_object_object_add(space->report, "function",
			       space->disk ? function_report(machine, space->disk) : NULL);
	add_bool(space->report, "enabled", space->enabled);
	add_text(space->report, "p2pmem", space->wants);
	find_ports(top, subsystem, space);
}

static bool may_serve(const struct space *space, const struct function *provider)
{
	if (!provider->memory || !provider->memory->published)
		return false;
	return !strchr(space->wants, ':') || !strcmp(space->wants, provider->bdf);
}

static void add_up(struct request *request, const struct space *space, struct totals *totals)
{
	struct machine *machine = request->machine;
	static struct verdict verdict;
	struct function *provider;
	unsigned int i;

	*totals = (struct totals) { .counters = true };
	for (i = 0; i < machine->nr; i++) {
		provider = machine->functions[i];
		if (!may_serve(space, provider))
			continue;
		totals->nr++;
		totals->counters &= provider->memory->counters;
		totals->mapped += provider->memory->bus + provider->memory->host;
		totals->failed += provider->memory->failed;
		if (!space->disk)
			continue;
		verdict_get(machine, space->disk, provider, request->computed, &verdict);
		totals->reachable += verdict.answer == ANSWER_DIRECT ||
				     verdict.answer == ANSWER_HOST;
	}
}

/* Returns the reason why a namespace cannot get peer memory; NULL if none is known. */
static const char *what_forbids(const struct space *space, const struct totals *totals)
{
	if (!space->wants)
		return "this kernel's target knows no peer memory";
	if (!strcmp(space->wants, "0"))
		return "p2pmem is 0: it is told not to";
	if (!space->enabled)
		return "the namespace is not enabled";
	if (!space->disk)
		return "its block device is not one on a PCI function; stacked ones cannot";
	if (!totals->nr)
		return "no provider publishes memory; p2pdma list shows who could";
	if (!totals->reachable)
		return "the drive reaches no provider; p2pdma path says why";
	if (!space->exported)
		return "no port exports it";
	if (!space->rdma)
		return "only ports of type rdma use peer memory";
	return NULL;
}

static const char *judge(const struct space *space, const struct totals *before,
			 const struct totals *after, const char **why)
{
	*why = what_forbids(space, after);
	if (*why)
		return "no";
	*why = "this kernel does not count; nothing is seen to forbid it";
	if (!after->counters)
		return "unknown";
	if (after->failed != before->failed) {
		*why = "memory ran out in the interval; those requests used system memory";
		return after->mapped != before->mapped ? "sometimes" : "no";
	}
	*why = "its providers' memory was mapped in the interval";
	if (after->mapped != before->mapped)
		return "yes";
	*why = "no traffic in the interval, or the network card reaches no provider";
	return "unknown";
}

static void wait_interval(void)
{
	struct timespec time = { .tv_sec = interval };

	time.tv_nsec = (interval - time.tv_sec) * 1e9;
	nanosleep(&time, NULL);
}

static void watch(struct request *request, struct space *spaces, unsigned int nr)
{
	struct machine *machine = request->machine;
	struct totals *before = xzalloc((nr + 1) * sizeof(*before)), after;
	const char *gets, *why;
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (spaces[i].wants)
			add_up(request, &spaces[i], &before[i]);
	if (machine->live && nr)
		wait_interval();
	for (i = 0; i < machine->nr && machine->live; i++)
		if (machine->functions[i]->memory)
			sysfs_load_memory(machine, machine->functions[i]);
	for (i = 0; i < nr; i++) {
		after = (struct totals) {};
		if (spaces[i].wants)
			add_up(request, &spaces[i], &after);
		gets = judge(&spaces[i], &before[i], &after, &why);
		add_text(spaces[i].report, "gets", gets);
		add_text(spaces[i].report, "why", why);
		add_number(spaces[i].report, "mapped", after.mapped - before[i].mapped);
		add_number(spaces[i].report, "alloc_failed", after.failed - before[i].failed);
	}
}

#define MOST_SPACES	4096

static enum status nvmet_run(struct request *request)
{
	struct machine *machine = request->machine;
	json_object *list = add_array(request->report, "namespaces");
	const char *top = xasprintf("%s/kernel/config/nvmet", machine->sysfs);
	struct space *spaces = xzalloc(MOST_SPACES * sizeof(*spaces));
	char **subsystems, **numbers;
	unsigned int nr = 0;
	int i, j, count, inner;

	if (machine->dump)
		die(STATUS_UNKNOWN, "the output of lspci does not hold the target");
	count = list_directory(xasprintf("%s/subsystems", top), &subsystems);
	for (i = 0; i < count; i++) {
		inner = list_directory(xasprintf("%s/subsystems/%s/namespaces", top,
						 subsystems[i]), &numbers);
		for (j = 0; j < inner && nr < MOST_SPACES; j++) {
			read_space(machine, top, subsystems[i], numbers[j], &spaces[nr]);
			add_item(list, spaces[nr++].report);
		}
	}
	watch(request, spaces, nr);
	return STATUS_YES;
}

static void nvmet_print(json_object *report)
{
	const char *wants;
	json_object *space;
	size_t i;

	if (!get_length(report, "namespaces"))
		printf("No namespace is configured, or configfs is not mounted or not readable.\n");
	for (i = 0; i < get_length(report, "namespaces"); i++) {
		space = get_item(report, "namespaces", i);
		wants = get_text(space, "p2pmem");
		printf("%s namespace %s: %s\n", get_text(space, "subsystem"),
		       get_text(space, "namespace"),
		       get_text(space, "device") ? get_text(space, "device") : "no device");
		printf("  wants peer memory: %s; gets it: %s\n", wants ? wants : "-",
		       get_text(space, "gets"));
		print_wrapped(2, "  %s", get_text(space, "why"));
		if (get_number(space, "mapped") || get_number(space, "alloc_failed"))
			printf("  in the interval %lld mappings, %lld allocations failed\n",
			       get_number(space, "mapped"), get_number(space, "alloc_failed"));
	}
}

const struct command command_nvmet = {
	.name = "nvmet",
	.args = "",
	.summary = "whether the NVMe target gets peer memory",
	.help = "For each namespace of the target: whether it wants peer memory, whether it gets\n"
		"it, and why not. Whether it does is seen from the counters of the providers that\n"
		"may serve it, which other users of the same memory move, too.\n\n"
		"  --interval SECONDS   watch the counters for so long (1)\n",
	.options = nvmet_options,
	.option = nvmet_option,
	.run = nvmet_run,
	.print = nvmet_print,
};
