// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma list: providers, and NVMe drives that could be providers
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* Fields of the register CMBSZ (NVM Express Base Specification 2.0, sec 3.1.3.12). */
#define CMBSZ_RDS	0x08
#define CMBSZ_WDS	0x10
#define CMBSZ_UNITS(reg)	((reg) >> 8 & 0xf)
#define CMBSZ_SIZE(reg)	((reg) >> 12)

/* On most architectures the kernel registers peer memory in units of this size. */
#define SMALLEST_REGION	(2ULL << 20)

#define MAPS_LIMIT	(16U << 20)

static bool has(const char *line, const char *end, const char *text)
{
	return memmem(line, end - line, text, strlen(text));
}

/*
 * Number of bytes of a provider's memory in the mappings of a process. A kernel with p2pdma/peers
 * names the mapping after the provider, stock Linux after the file.
 */
static unsigned long long mapped_bytes(const char *maps, const char *bdf)
{
	char *name = xasprintf("anon_inode:p2pmem:%s\n", bdf);
	char *file = xasprintf("/%s/p2pmem/allocate", bdf);
	unsigned long long start, end, bytes = 0;
	const char *line, *next;

	for (line = maps; *line; line = next) {
		next = line + strcspn(line, "\n");
		next += *next == '\n';
		if ((has(line, next, name) || has(line, next, file)) &&
		    sscanf(line, "%llx-%llx", &start, &end) == 2 && end > start)
			bytes += end - start;
	}
	xfree(file);
	xfree(name);
	return bytes;
}

static void add_process(json_object *users, const char *pid, const char *bdf)
{
	char *path = xasprintf("/proc/%s/maps", pid), *maps = read_text(path, MAPS_LIMIT);
	unsigned long long bytes = maps ? mapped_bytes(maps, bdf) : 0;
	json_object *user;

	if (bytes) {
		user = json_object_new_object();
		add_number(user, "pid", atoi(pid));
		add_text(user, "command", read_line("/proc/%s/comm", pid));
		add_number(user, "bytes", bytes);
		add_item(users, user);
	}
	xfree(maps);
	xfree(path);
}

static void add_users(const struct machine *machine, json_object *report, const char *bdf)
{
	json_object *users = add_array(report, "users");
	char **names;
	int i, nr;

	nr = machine->live ? list_directory("/proc", &names) : 0;
	for (i = 0; i < nr; i++)
		if (isdigit((unsigned char)names[i][0]))
			add_process(users, names[i], bdf);
}

/* Adds the namespaces of the NVMe target whose attribute p2pmem names the provider. */
static void add_targets(const struct machine *machine, json_object *report, const char *bdf)
{
	const char *top = xasprintf("%s/kernel/config/nvmet/subsystems", machine->sysfs);
	json_object *targets = add_array(report, "targets");
	char **names, **numbers, *wants;
	int i, j, nr, inner;

	nr = list_directory(top, &names);
	for (i = 0; i < nr; i++) {
		inner = list_directory(xasprintf("%s/%s/namespaces", top, names[i]), &numbers);
		for (j = 0; j < inner; j++) {
			wants = read_line("%s/%s/namespaces/%s/p2pmem", top, names[i], numbers[j]);
			if (wants && !strcmp(wants, bdf))
				add_words(targets, "%s namespace %s", names[i], numbers[j]);
		}
	}
}

/* sysfs does not name the BAR. Guess, if exactly one BAR is large enough. */
static int guess_bar(const struct function *function)
{
	int i, found = -1;

	for (i = 0; i < BARS; i++) {
		if (!function->bars[i].memory || function->bars[i].size < function->memory->size)
			continue;
		if (found >= 0)
			return -1;
		found = i;
	}
	return found;
}

static void add_counters(json_object *provider, const struct memory *memory)
{
	json_object *counters;

	if (!memory->counters) {
		add_text(provider, "counters", NULL);
		return;
	}
	counters = add_object(provider, "counters");
	add_number(counters, "allocated_peak", memory->peak);
	add_number(counters, "alloc_failed", memory->failed);
	add_number(counters, "mapped_bus", memory->bus);
	add_number(counters, "mapped_host", memory->host);
	add_number(counters, "map_refused", memory->refused);
}

static void add_provider(const struct machine *machine, json_object *providers,
			 const struct function *function)
{
	json_object *provider = json_object_new_object();
	int bar = guess_bar(function);

	json_object_object_add(provider, "function", function_report(machine, function));
	if (bar >= 0)
		add_number(provider, "bar", bar);
	else
		add_text(provider, "bar", NULL);
	add_number(provider, "size", function->memory->size);
	add_number(provider, "available", function->memory->available);
	add_bool(provider, "published", function->memory->published);
	if (function->memory->exports)
		add_number(provider, "exported", function->memory->exported);
	else
		add_text(provider, "exported", NULL);
	add_text(provider, "heap", function->memory->heap ?
		 xasprintf("/dev/dma_heap/p2pmem-%s", function->bdf) : NULL);
	add_counters(provider, function->memory);
	add_users(machine, provider, function->bdf);
	add_targets(machine, provider, function->bdf);
	add_item(providers, provider);
}

static bool controller_register(const struct function *function, const char *name,
				unsigned long long *number)
{
	unsigned int i;
	char *line;

	for (i = 0; i < function->nr_names; i++) {
		line = read_line("%s/nvme/%s/%s", function->path, function->names[i], name);
		if (parse_number(line, 0, ~0U, number))
			return true;
	}
	return false;
}

static unsigned long long cmb_bytes(unsigned long long cmbsz)
{
	unsigned int units = CMBSZ_UNITS(cmbsz);

	return units > 6 ? 0 : CMBSZ_SIZE(cmbsz) << (12 + 4 * units);
}

static const char *why_no_provider(const struct machine *machine, const struct function *function,
				   unsigned long long cmbsz)
{
	if (machine->support == SUPPORT_NONE)
		return "the kernel was built without CONFIG_PCI_P2PDMA";
	if (!(cmbsz & CMBSZ_RDS) || !(cmbsz & CMBSZ_WDS))
		return "the controller allows no data in it, only queues";
	if (cmb_bytes(cmbsz) < SMALLEST_REGION)
		return "it is smaller than 2 MiB, the least that the kernel can register";
	if (!function->driver)
		return "no driver is bound";
	return "the driver did not register it; dmesg may say why";
}

/**
 * why_no_memory - say why a function is no provider
 * @machine: the machine, read from sysfs
 * @function: a function without peer memory
 *
 * Return: the reason.
 */
const char *why_no_memory(const struct machine *machine, const struct function *function)
{
	unsigned long long cmbsz = 0;

	if (machine->support == SUPPORT_NONE)
		return "the kernel was built without CONFIG_PCI_P2PDMA";
	if (!function->driver)
		return "no driver is bound";
	if (strcmp(function_class(function), "nvme"))
		return xasprintf("its driver %s registered none (dma-buf works without)",
				 function->driver);
	if (controller_register(function, "cmbsz", &cmbsz) && cmbsz)
		return why_no_provider(machine, function, cmbsz);
	return "the controller announces no memory buffer (CMB)";
}

/* The driver has a file cmbsz only for controllers with a controller memory buffer. */
static void add_candidate(const struct machine *machine, json_object *candidates,
			  const struct function *function)
{
	unsigned long long cmbsz = 0, size;
	json_object *candidate;
	const char *why;
	int i, bar = -1;

	for (i = 1; i < BARS; i++)
		if (function->bars[i].memory && function->bars[i].size >= SMALLEST_REGION)
			bar = i;
	if (controller_register(function, "cmbsz", &cmbsz) && cmbsz) {
		size = cmb_bytes(cmbsz);
		why = why_no_provider(machine, function, cmbsz);
	} else if (bar > 0 && function->driver && !strcmp(function->driver, "nvme")) {
		size = function->bars[bar].size;
		why = "there is a BAR, but the controller announces no memory buffer in it";
	} else if (bar > 0) {
		size = function->bars[bar].size;
		why = "a BAR may hold a controller memory buffer, but the nvme driver is not bound";
	} else {
		return;
	}
	candidate = json_object_new_object();
	json_object_object_add(candidate, "function", function_report(machine, function));
	add_number(candidate, "size", size);
	add_text(candidate, "why", why);
	add_item(candidates, candidate);
}

static enum status list_run(struct request *request)
{
	const struct machine *machine = request->machine;
	json_object *providers, *candidates;
	const struct function *function;
	unsigned int i;

	if (machine->dump)
		die(STATUS_UNKNOWN, "list: the output of lspci does not say who provides memory");
	providers = add_array(request->report, "providers");
	candidates = add_array(request->report, "candidates");
	for (i = 0; i < machine->nr; i++) {
		function = machine->functions[i];
		if (function->memory)
			add_provider(machine, providers, function);
		else if (!strcmp(function_class(function), "nvme"))
			add_candidate(machine, candidates, function);
	}
	return STATUS_YES;
}

static void print_users(json_object *provider)
{
	json_object *user;
	size_t i;

	for (i = 0; i < get_length(provider, "users"); i++) {
		user = get_item(provider, "users", i);
		printf("  used by %s (process %lld): %s\n", get_text(user, "command"),
		       get_number(user, "pid"), show_size(get_number(user, "bytes")));
	}
}

static void print_counters(json_object *provider)
{
	json_object *counters = get(provider, "counters");

	if (!counters)
		return;
	printf("  at most %s in use, %lld allocations failed\n"
	       "  mapped by bus address: %lld, through a host bridge: %lld, refused: %lld\n",
	       show_size(get_number(counters, "allocated_peak")),
	       get_number(counters, "alloc_failed"), get_number(counters, "mapped_bus"),
	       get_number(counters, "mapped_host"), get_number(counters, "map_refused"));
}

static void print_exports(json_object *provider)
{
	const char *heap = get_text(provider, "heap");

	if (heap && get(provider, "exported"))
		print_wrapped(4, "  dma-bufs: %s, from drivers and from %s",
			      show_size(get_number(provider, "exported")), heap);
}

static void print_provider(json_object *provider)
{
	json_object *function = get(provider, "function");
	char bar[8] = "?";

	if (get(provider, "bar"))
		snprintf(bar, sizeof(bar), "%lld", get_number(provider, "bar"));
	printf("%-14s %-10s %-4s %10s %10s  %s\n", get_text(function, "bdf"),
	       one_name(function), bar, show_size(get_number(provider, "size")),
	       show_size(get_number(provider, "available")),
	       get_bool(provider, "published") ? "yes" : "no");
	print_wrapped(4, "  %s", get_text(function, "title"));
	print_counters(provider);
	print_exports(provider);
	print_users(provider);
	print_lines(provider, "targets", "  for the NVMe target: ");
}

static void list_print(json_object *report)
{
	json_object *candidate, *function;
	size_t i;

	if (get_length(report, "providers"))
		printf("%-14s %-10s %-4s %10s %10s  %s\n", "PROVIDER", "NAME", "BAR", "SIZE",
		       "AVAILABLE", "PUBLISHED");
	else
		printf("No device of this machine provides peer memory.\n");
	for (i = 0; i < get_length(report, "providers"); i++)
		print_provider(get_item(report, "providers", i));
	for (i = 0; i < get_length(report, "candidates"); i++) {
		candidate = get_item(report, "candidates", i);
		function = get(candidate, "function");
		if (!i)
			putchar('\n');
		print_wrapped(2, "%s %s could provide %s, but does not: %s",
			      get_text(function, "bdf"), one_name(function),
			      show_size(get_number(candidate, "size")), get_text(candidate, "why"));
	}
	if (!strcmp(get_text(get(report, "machine"), "support"), "none"))
		printf("\nThe kernel was built without CONFIG_PCI_P2PDMA.\n");
}

const struct command command_list = {
	.name = "list",
	.args = "",
	.summary = "who provides peer memory, and who could",
	.help = "Shows every provider with its BAR, its memory and who uses it, and NVMe drives\n"
		"with a controller memory buffer that is not offered, with the reason. Of other\n"
		"users' processes only root sees what they have mapped.\n",
	.run = list_run,
	.print = list_print,
};
