// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: reading a machine from sysfs, live or from a copy
 *
 * A copy may lack links, attributes or whole directories. A missing attribute is unknown. A
 * missing link is replaced by bus numbers.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <pci/pci.h>

#include "internal.h"

/* A line of peers is an endpoint; a big machine has thousands of endpoints. */
#define PEERS_LIMIT	(64U << 20)
#define CPUINFO_LIMIT	(4U << 20)
#define SYMBOLS_LIMIT	(64U << 20)

/* IORESOURCE_MEM of the kernel: memory, not I/O ports. */
#define RESOURCE_MEMORY	0x200

/* Finds the last component of a path that is an address; returns NULL without an address. */
static const char *last_address(const char *path, struct address *address)
{
	const char *part, *end, *found = NULL;
	struct address parsed;
	char word[32];

	for (part = path; *part; part = *end ? end + 1 : end) {
		end = part + strcspn(part, "/");
		if (end - part >= (long)sizeof(word))
			continue;
		memcpy(word, part, end - part);
		word[end - part] = '\0';
		if (strchr(word, ':') != strrchr(word, ':') && parse_address(word, &parsed)) {
			*address = parsed;
			found = part;
		}
	}
	return found;
}

/* Finds the last host bridge in a path; returns the end of the component. */
static const char *last_host(const char *path, unsigned int *domain, unsigned int *bus)
{
	const char *part, *end = NULL;
	int length;

	for (part = strstr(path, "pci"); part; part = strstr(part + 1, "pci")) {
		if (part != path && part[-1] != '/')
			continue;
		if (sscanf(part, "pci%8x:%2x%n", domain, bus, &length) != 2 ||
		    (part[length] && part[length] != '/'))
			continue;
		end = part + length;
	}
	/* A later component, not a host bridge, may have overwritten the numbers: parse again. */
	if (end)
		for (part = end; part != path && part[-1] != '/'; part--)
			;
	return end && sscanf(part, "pci%8x:%2x", domain, bus) == 2 ? end : NULL;
}

/* Turns "../../../devices/pci0000:00/..." into a path below the root of the tree. */
static const char *below_root(const char *link)
{
	while (!strncmp(link, "../", 3))
		link += 3;
	return link;
}

/**
 * struct place - a function and the position in the device hierarchy
 * @function: the function
 * @link: target of the link in bus/pci/devices, or NULL
 */
struct place {
	struct function *function;
	char *link;
};

static void place_function(struct machine *machine, const struct place *place)
{
	unsigned int domain, bus;
	struct address up;
	const char *end;
	char *above;

	end = place->link ? last_host(place->link, &domain, &bus) : NULL;
	if (!end)
		return;
	place->function->host = machine_host(machine, domain, bus);
	place->function->placed = true;
	if (!place->function->host->path)
		place->function->host->path =
			xasprintf("%s/%.*s", machine->sysfs,
				  (int)(end - below_root(place->link)), below_root(place->link));

	above = xstrdup(end);
	if (!strrchr(above, '/'))
		return;
	*strrchr(above, '/') = '\0';
	if (last_address(above, &up))
		place->function->orphan = !(place->function->up = machine_find(machine, up));
	/* The link of a manipulated copy may name the function twice. */
	if (place->function->up == place->function)
		place->function->up = NULL;
}

static bool read_number(const struct function *function, const char *name,
			unsigned long long *number)
{
	return parse_number(read_line("%s/%s", function->path, name), 0, ~0ULL, number);
}

static void load_config(struct machine *machine, struct function *function)
{
	char *path = xasprintf("%s/config", function->path);
	unsigned char bytes[CONFIG_SIZE];
	int size = read_bytes(path, bytes, sizeof(bytes));

	if (size <= 0) {
		note_odd("%s: configuration space cannot be read", function->bdf);
		return;
	}
	function->config_size = size;
	function->config = xzalloc(size);
	memcpy(function->config, bytes, size);
	/*
	 * On the live machine a read of more than 64 bytes is complete. A copy of 256 bytes may
	 * have lost the extended space.
	 */
	function->extended_known = (machine->live || machine->complete) && size >= 256;
}

static void load_ids(struct function *function)
{
	unsigned int header, value;
	unsigned long long number;

	if (read_number(function, "vendor", &number))
		function->vendor = number;
	else if (config_read(function, PCI_VENDOR_ID, 2, &value))
		function->vendor = value;
	if (read_number(function, "device", &number))
		function->device = number;
	else if (config_read(function, PCI_DEVICE_ID, 2, &value))
		function->device = value;
	if (read_number(function, "class", &number))
		function->class = number & 0xffffff;
	else if (config_read(function, PCI_CLASS_REVISION, 4, &value))
		function->class = value >> 8;
	if (!config_dead(function) && config_read(function, PCI_HEADER_TYPE, 1, &header))
		function->header = header & 0x7f;
	else if (function->class >> 8 == PCI_CLASS_BRIDGE_PCI)
		function->header = PCI_HEADER_TYPE_BRIDGE;
	else if (function->class >> 8 == PCI_CLASS_BRIDGE_CARDBUS)
		function->header = PCI_HEADER_TYPE_CARDBUS;
}

static void load_bars(struct function *function)
{
	char *path = xasprintf("%s/resource", function->path);
	char *text = read_text(path, 4096), *line, *next;
	unsigned long long start, end, flags;
	unsigned int i;

	for (i = 0, line = text; i < BARS && line && *line; i++, line = next) {
		next = line + strcspn(line, "\n");
		next += *next == '\n';
		if (sscanf(line, "%llx %llx %llx", &start, &end, &flags) != 3)
			break;
		if (!end || end < start || end - start == ~0ULL)
			continue;
		function->bars[i].start = start;
		function->bars[i].size = end - start + 1;
		function->bars[i].memory = flags & RESOURCE_MEMORY;
	}
	xfree(text);
}

/**
 * sysfs_policy - read the policy of a bridge
 * @path: directory of the bridge or host bridge, or NULL
 *
 * Return: the policy in brackets; POLICY_AUTO without a policy file.
 */
enum policy sysfs_policy(const char *path)
{
	char *words = path ? read_line("%s/p2pdma/policy", path) : NULL;

	if (words && strstr(words, "[deny]"))
		return POLICY_DENY;
	if (words && strstr(words, "[allow]"))
		return POLICY_ALLOW;
	return POLICY_AUTO;
}

/**
 * sysfs_load_memory - read p2pmem/ of a function, for the first time or again
 * @machine: the machine
 * @function: the function; @function->memory becomes NULL if p2pmem/ is missing
 */
void sysfs_load_memory(const struct machine *machine, struct function *function)
{
	const char *heap;
	unsigned long long published = 0;
	struct memory *memory = function->memory;
	struct memory now = {};

	function->memory = NULL;
	if (!read_number(function, "p2pmem/size", &now.size))
		return;
	read_number(function, "p2pmem/available", &now.available);
	read_number(function, "p2pmem/published", &published);
	now.published = published;
	now.counters = read_number(function, "p2pmem/mapped_bus", &now.bus) &&
		       read_number(function, "p2pmem/mapped_host", &now.host);
	now.exports = read_number(function, "p2pmem/exported", &now.exported);
	heap = xasprintf("%s/class/dma_heap/p2pmem-%s", machine->sysfs, function->bdf);
	now.heap = file_exists(heap);
	read_number(function, "p2pmem/map_refused", &now.refused);
	read_number(function, "p2pmem/alloc_failed", &now.failed);
	read_number(function, "p2pmem/allocated_peak", &now.peak);
	function->memory = memory ? memory : xzalloc(sizeof(*memory));
	*function->memory = now;
}

static int load_link_number(const struct function *function, const char *name)
{
	char *link = read_link("%s/%s", function->path, name);
	char *base = link ? strrchr(link, '/') : NULL;
	unsigned long long number;

	return base && parse_number(base + 1, 10, 1 << 30, &number) ? (int)number : -1;
}

/* A copy may be without links. Every function has a link to the bus. */
static bool links_copied(const struct machine *machine, const struct function *function)
{
	char *link;
	bool copied;

	if (machine->live || machine->complete)
		return true;
	link = read_link("%s/subsystem", function->path);
	copied = link;
	xfree(link);
	return copied;
}

/* The kernel's DMA mappings are translated in domains of types DMA and DMA-FQ only. */
static enum known load_iommu(const struct machine *machine, const struct function *function)
{
	enum known translates = UNKNOWN;
	char *type;

	if (function->iommu_group < 0)
		return links_copied(machine, function) ? KNOWN_NO : UNKNOWN;
	type = read_line("%s/kernel/iommu_groups/%d/type", machine->sysfs, function->iommu_group);
	if (type && *type)
		translates = strncmp(type, "DMA", 3) ? KNOWN_NO : KNOWN_YES;
	xfree(type);
	return translates;
}

static void load_function(struct machine *machine, struct function *function)
{
	unsigned long long number;
	char *link;

	load_config(machine, function);
	load_ids(function);
	load_bars(function);
	sysfs_load_memory(machine, function);
	link = read_link("%s/driver", function->path);
	if (link && strrchr(link, '/'))
		function->driver = strrchr(link, '/') + 1;
	if (function->driver)
		function->bound = KNOWN_YES;
	else
		function->bound = links_copied(machine, function) ? KNOWN_NO : UNKNOWN;
	function->iommu_group = load_link_number(function, "iommu_group");
	function->iommu = load_iommu(machine, function);
	if (read_number(function, "dma_mask_bits", &number) && number <= 64)
		function->mask_bits = number;
	if (read_number(function, "numa_node", &number) && number < 1 << 20)
		function->numa_node = number;
	if (function_is_bridge(function)) {
		function->capability = read_line("%s/p2pdma/capability", function->path);
		function->policy = sysfs_policy(function->path);
	}
}

/* Finds the physical function of a virtual function. No bridge is virtual. */
static void load_physfn(struct machine *machine, struct function *function)
{
	char *link = read_link("%s/physfn", function->path);
	struct function *physfn;
	struct address address;

	if (!link || function_is_bridge(function) || !last_address(link, &address))
		return;
	physfn = machine_find(machine, address);
	if (physfn && physfn != function && !physfn->physfn)
		function->physfn = physfn;
}

/*
 * A disk with several paths belongs to an NVMe subsystem. The directory of the subsystem has
 * links to the controllers of the disk.
 */
static void name_shared_disk(struct machine *machine, const char *disk, const char *link)
{
	char *subsystem = xstrdup(below_root(link)), **names, *controller;
	struct function *function;
	struct address address;
	int i, nr;

	if (!strstr(subsystem, "/nvme-subsys") || !strrchr(subsystem, '/'))
		return;
	*strrchr(subsystem, '/') = '\0';
	nr = list_directory(xasprintf("%s/%s", machine->sysfs, subsystem), &names);
	for (i = 0; i < nr; i++) {
		controller = read_link("%s/%s/%s", machine->sysfs, subsystem, names[i]);
		if (!controller || !last_address(controller, &address))
			continue;
		function = machine_find(machine, address);
		if (function)
			function_name(function, disk);
	}
}

static void name_class(struct machine *machine, const char *class)
{
	char *directory = xasprintf("%s/class/%s", machine->sysfs, class);
	struct function *function;
	struct address address;
	char **names, *link;
	int i, nr;

	nr = list_directory(directory, &names);
	for (i = 0; i < nr; i++) {
		link = read_link("%s/%s", directory, names[i]);
		if (!link)
			continue;
		if (!last_address(link, &address)) {
			name_shared_disk(machine, names[i], link);
			continue;
		}
		function = machine_find(machine, address);
		if (function)
			function_name(function, names[i]);
	}
}

static void load_names(struct machine *machine)
{
	static const char * const classes[] = {
		"nvme", "block", "net", "infiniband", "drm", "accel", "misc",
	};
	unsigned int i;

	for (i = 0; i < COUNT_OF(classes); i++)
		name_class(machine, classes[i]);
}

static const char *proc_path(const struct machine *machine, const char *name)
{
	/* Beside a copy in the root directory is /proc of this machine. */
	if (!machine->live && !machine->captured && strrchr(machine->sysfs, '/') == machine->sysfs)
		return "";
	return machine->live ? xasprintf("/proc/%s", name) :
			       xasprintf("%s/../proc/%s", machine->sysfs, name);
}

/**
 * sysfs_parameter - find a parameter of the kernel's command line
 * @machine: the machine
 * @name: name of the parameter, up to "="
 *
 * Return: the last value, which is in effect, or NULL.
 */
char *sysfs_parameter(const struct machine *machine, const char *name)
{
	char *line = NULL;
	const char *at, *found = NULL;

	if (machine->sysfs)
		line = read_text(proc_path(machine, "cmdline"), CPUINFO_LIMIT);
	at = line;

	while (at) {
		at = strstr(at, name);
		if (!at)
			break;
		if (at == line || at[-1] == ' ')
			found = at + strlen(name);
		at += strlen(name);
	}
	return found ? xasprintf("%.*s", (int)strcspn(found, "\n "), found) : NULL;
}

/* Finds a whole line: a file may be cut off. */
static bool cpu_line(const char *text, const char *name, const char **value)
{
	const char *line = strstr(text, name);

	if (!line || (line != text && line[-1] != '\n') || !strchr(line, '\n'))
		return false;
	*value = line + strlen(name);
	*value += strspn(*value, " \t:");
	return true;
}

/* Lines of architectures other than x86. The rule about processors is about x86. */
static bool is_other_architecture(const char *text)
{
	static const char * const lines[] = {
		"CPU implementer", "cpu\t", "isa\t", "hart\t", "CPU Family", "cpu model",
	};
	const char *value;
	unsigned int i;

	for (i = 0; i < COUNT_OF(lines); i++)
		if (cpu_line(text, lines[i], &value))
			return true;
	return false;
}

static enum cpu_rule find_cpu(const char *text)
{
	const char *vendor, *family;

	if (!cpu_line(text, "vendor_id", &vendor))
		return is_other_architecture(text) ? CPU_OTHER : CPU_UNKNOWN;
	vendor = xasprintf("%.*s", (int)strcspn(vendor, "\n"), vendor);
	if (cpu_line(text, "cpu family", &family))
		return cpu_routes(vendor, atoi(family)) ? CPU_ROUTES : CPU_OTHER;
	/* No family of other vendors routes. */
	return cpu_routes(vendor, 0xff) ? CPU_UNKNOWN : CPU_OTHER;
}

/**
 * sysfs_cpu - read from cpuinfo whether the processor routes
 * @machine: a machine with a sysfs tree
 *
 * Sets @machine->cpu, and on x86 @machine->virtual. p2pdma-hosts.c has the rule.
 */
void sysfs_cpu(struct machine *machine)
{
	char *text = read_text(proc_path(machine, "cpuinfo"), CPUINFO_LIMIT);
	const char *flags;

	if (!text)
		return;
	machine->cpu = find_cpu(text);
	if (cpu_line(text, "flags", &flags))
		machine->virtual = memmem(flags, strcspn(flags, "\n"), " hypervisor", 11);
}

/* Without a provider, stock Linux has no sign of peer-to-peer DMA in sysfs: look for a symbol. */
static enum support find_support(const struct machine *machine)
{
	char *path = xasprintf("%s/bus/pci/p2pdma_rescan", machine->sysfs);
	enum support support = SUPPORT_UNKNOWN;
	unsigned int i;
	char *symbols;

	if (file_exists(path))
		return SUPPORT_OURS;
	for (i = 0; i < machine->nr; i++) {
		if (machine->functions[i]->memory)
			support = SUPPORT_OTHER;
		if (sysfs_peers(machine->functions[i]))
			return SUPPORT_OURS;
	}
	symbols = support == SUPPORT_UNKNOWN && machine->live ?
		  read_text("/proc/kallsyms", SYMBOLS_LIMIT) : NULL;
	if (symbols && *symbols)
		support = strstr(symbols, " pci_p2pdma_distance_many") ? SUPPORT_OTHER :
									 SUPPORT_NONE;
	xfree(symbols);
	return support;
}

/**
 * sysfs_peers - the kernel's verdicts for a client
 * @client: the client
 *
 * Return: content of p2pdma/peers, or NULL.
 */
const char *sysfs_peers(struct function *client)
{
	if (!client->peers_read && client->path)
		client->peers = read_text(xasprintf("%s/p2pdma/peers", client->path),
					  PEERS_LIMIT);
	client->peers_read = true;
	return client->peers;
}

/* Does the directory of a host bridge show that no function comes before the first? */
static bool shows_first(const struct host *host)
{
	struct address address;
	char **names;
	int i, nr;

	nr = list_directory(host->path, &names);
	for (i = 0; i < nr; i++)
		if (parse_address(names[i], &address) && address.devfn < host->first->address.devfn)
			return false;
	return nr;
}

static void load_hosts(struct machine *machine)
{
	struct host *host;
	unsigned int i;

	for (i = 0; i < machine->nr_hosts; i++) {
		host = machine->hosts[i];
		/* Links of a copy may have become directories. */
		if (!host->path)
			host->path = xasprintf("%s/devices/%s", machine->sysfs, host->name);
		if (host->unsure && host->first && shows_first(host))
			host->unsure = false;
		host->capability = read_line("%s/p2pdma/capability", host->path);
		host->policy = sysfs_policy(host->path);
	}
}

static void load_places(struct machine *machine, struct place *places, unsigned int nr)
{
	struct function **sorted = machine->functions;
	unsigned int i;

	/* A link may name a later function: resolve links when all functions are known. */
	for (i = 0; i < nr; i++)
		place_function(machine, &places[i]);
	for (i = 0; i < machine->nr; i++)
		load_physfn(machine, sorted[i]);
	for (i = 0; i < machine->nr; i++) {
		if (!sorted[i]->physfn)
			continue;
		sorted[i]->up = sorted[i]->physfn->up;
		sorted[i]->host = sorted[i]->physfn->host;
	}
}

/* list_directory() sorts names as text. Sort by address. */
static int compare_places(const void *a, const void *b)
{
	const struct address *p = &((const struct place *)a)->function->address;
	const struct address *q = &((const struct place *)b)->function->address;

	if (p->domain != q->domain)
		return p->domain < q->domain ? -1 : 1;
	return (p->bus << 8 | p->devfn) - (q->bus << 8 | q->devfn);
}

static unsigned int find_functions(struct machine *machine, struct place **places)
{
	char *directory = xasprintf("%s/bus/pci/devices", machine->sysfs);
	struct function *function;
	struct address address;
	unsigned int i, nr, found = 0;
	char **names;

	nr = list_directory(directory, &names);
	*places = xzalloc((nr + 1) * sizeof(**places));
	for (i = 0; i < nr; i++) {
		function = parse_address(names[i], &address) ? machine_add(machine, address) :
							       NULL;
		if (!function) {
			note_odd("bus/pci/devices: an entry is not an address");
			continue;
		}
		function->path = xasprintf("%s/%s", directory, names[i]);
		(*places)[found].link = read_link("%s", function->path);
		(*places)[found++].function = function;
	}
	if (found)
		qsort(*places, found, sizeof(**places), compare_places);
	for (i = 0; i < found; i++)
		machine->functions[i] = (*places)[i].function;
	return found;
}

/**
 * sysfs_load - read a machine from a sysfs tree
 * @machine: machine to fill in; @machine->sysfs is the root of the tree
 *
 * Fails if the tree has no PCI function.
 */
void sysfs_load(struct machine *machine)
{
	struct place *places;
	struct utsname name;
	unsigned int i, nr;

	if (!machine->captured && access(machine->sysfs, R_OK | X_OK))
		die(STATUS_USAGE, "%s: %m", machine->sysfs);
	nr = find_functions(machine, &places);
	if (!nr)
		die(STATUS_UNKNOWN, "%s: there is no PCI function below bus/pci/devices",
		    machine->sysfs);
	for (i = 0; i < machine->nr; i++)
		load_function(machine, machine->functions[i]);
	load_places(machine, places, nr);
	machine_link(machine);
	load_hosts(machine);
	load_names(machine);
	if (machine->cpu == CPU_UNKNOWN)
		sysfs_cpu(machine);
	machine->support = find_support(machine);
	if (machine->live && !uname(&name))
		machine->release = xstrdup(name.release);
}
