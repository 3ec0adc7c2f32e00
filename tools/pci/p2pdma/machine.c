// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: PCI functions and the hierarchy
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <pci/pci.h>

#include "internal.h"

/* Parses @least to @most hexadecimal digits and moves @text behind the last digit. */
static bool take_hex(const char **text, unsigned int least, unsigned int most,
		     unsigned int *number)
{
	const char *at = *text;
	char digit[2] = "";

	*number = 0;
	for (; isxdigit((unsigned char)*at) && at - *text < most; at++) {
		digit[0] = *at;
		*number = *number << 4 | strtoul(digit, NULL, 16);
	}
	if (at - *text < least)
		return false;
	*text = at;
	return true;
}

static bool take(const char **text, char wanted)
{
	if (**text != wanted)
		return false;
	(*text)++;
	return true;
}

/* Parses bus:device.function up to the end of @text. */
static bool take_rest(const char **text, struct address *address)
{
	unsigned int bus, slot, func;

	if (!take_hex(text, 1, 2, &bus) || !take(text, ':') ||
	    !take_hex(text, 1, 2, &slot) || !take(text, '.') || !take_hex(text, 1, 1, &func))
		return false;
	address->bus = bus;
	address->devfn = slot << 3 | func;
	return !**text && slot < 32 && func < 8;
}

/**
 * parse_address - parse the address of a function, with or without a domain
 * @text: text to parse
 * @address: filled in
 *
 * Return: false if @text is not an address.
 */
bool parse_address(const char *text, struct address *address)
{
	const char *rest = text;

	address->domain = 0;
	if (take_rest(&rest, address))
		return true;
	rest = text;
	return take_hex(&rest, 1, 8, &address->domain) && take(&rest, ':') &&
	       take_rest(&rest, address);
}

static int compare_addresses(struct address a, struct address b)
{
	if (a.domain != b.domain)
		return a.domain < b.domain ? -1 : 1;
	if (a.bus != b.bus)
		return a.bus - b.bus;
	return a.devfn - b.devfn;
}

static int compare_functions(const void *a, const void *b)
{
	const struct function *p = *(struct function * const *)a;
	const struct function *q = *(struct function * const *)b;

	return compare_addresses(p->address, q->address);
}

/**
 * machine_add - add a function to a machine
 * @machine: the machine
 * @address: address of the function
 *
 * The caller calls machine_link() after the last function.
 *
 * Return: the function; NULL if there are too many.
 */
struct function *machine_add(struct machine *machine, struct address address)
{
	size_t room = machine->nr * sizeof(struct function *);
	struct function *function;

	if (machine->nr == MAX_FUNCTIONS)
		return NULL;
	/* The array is full at every power of two: double the size. */
	if (!(machine->nr & (machine->nr - 1)))
		machine->functions = xgrow(machine->functions, room,
					   machine->nr ? 2 * room : sizeof(function));
	function = xzalloc(sizeof(*function));
	function->address = address;
	function->iommu_group = -1;
	function->iommu = UNKNOWN;
	function->numa_node = -1;
	snprintf(function->bdf, sizeof(function->bdf), "%04x:%02x:%02x.%x", address.domain,
		 address.bus, address.devfn >> 3, address.devfn & 7);
	machine->functions[machine->nr++] = function;
	return function;
}

/**
 * machine_find - look up a function by address
 * @machine: the machine, with functions sorted by address
 * @address: address of the function
 *
 * Return: the function or NULL.
 */
struct function *machine_find(const struct machine *machine, struct address address)
{
	struct function key = { .address = address }, *at = &key, **found;

	if (!machine->nr)
		return NULL;
	found = bsearch(&at, machine->functions, machine->nr, sizeof(at), compare_functions);
	return found ? *found : NULL;
}

/**
 * machine_host - look up a host bridge, or add a new host bridge
 * @machine: the machine
 * @domain: domain of the root bus
 * @bus: number of the root bus
 *
 * Return: the host bridge, never NULL.
 */
struct host *machine_host(struct machine *machine, unsigned int domain, unsigned char bus)
{
	size_t size = machine->nr_hosts * sizeof(struct host *);
	struct host *host;
	unsigned int i;

	for (i = machine->nr_hosts; i--;)
		if (machine->hosts[i]->domain == domain && machine->hosts[i]->bus == bus)
			return machine->hosts[i];
	host = xzalloc(sizeof(*host));
	host->domain = domain;
	host->bus = bus;
	snprintf(host->name, sizeof(host->name), "pci%04x:%02x", domain, bus);
	machine->hosts = xgrow(machine->hosts, size, size + sizeof(host));
	machine->hosts[machine->nr_hosts++] = host;
	return host;
}

/**
 * function_name - add a name to a function
 * @function: the function
 * @name: the name; ignored if empty, a duplicate, or with characters unusual in device names
 */
void function_name(struct function *function, const char *name)
{
	size_t size = function->nr_names * sizeof(char *);
	const char *at;
	unsigned int i;

	for (at = name; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr("_-.:@", *at))
			return;
	for (i = 0; i < function->nr_names; i++)
		if (!strcmp(function->names[i], name))
			return;
	if (!*name || i >= 64)
		return;
	function->names = xgrow(function->names, size, size + sizeof(char *));
	function->names[function->nr_names++] = xstrdup(name);
}

#define BUSES	256

/**
 * struct buses - bridges of a domain by secondary bus number
 * @below: bridges, indexed by the number of the bus directly below
 */
struct buses {
	struct function *below[BUSES];
};

static bool bridge_buses(const struct function *bridge, unsigned int *secondary,
			 unsigned int *subordinate)
{
	if (!function_is_bridge(bridge) ||
	    !config_read(bridge, PCI_SECONDARY_BUS, 1, secondary) ||
	    !config_read(bridge, PCI_SUBORDINATE_BUS, 1, subordinate))
		return false;
	/* Bus numbers grow downwards. A bridge with different numbers is not configured. */
	return *secondary > bridge->address.bus && *subordinate >= *secondary;
}

static void find_buses(const struct machine *machine, unsigned int first, struct buses *buses)
{
	unsigned int domain = machine->functions[first]->address.domain;
	unsigned int i, secondary, subordinate;
	struct function *bridge;

	memset(buses, 0, sizeof(*buses));
	for (i = first; i < machine->nr; i++) {
		bridge = machine->functions[i];
		if (bridge->address.domain != domain)
			break;
		if (!bridge_buses(bridge, &secondary, &subordinate))
			continue;
		if (!buses->below[secondary]) {
			buses->below[secondary] = bridge;
			continue;
		}
		bridge->rival = buses->below[secondary];
		bridge->rival->rival = bridge;
	}
}

/*
 * The bus of a virtual function may be directly below no bridge, but within the bus range of one
 * or more. The nearest bridge above is the bridge with the highest secondary bus number.
 */
static struct function *bridge_above(const struct buses *buses, unsigned int bus)
{
	unsigned int at, secondary, subordinate;

	for (at = bus + 1; at-- > 0;)
		if (buses->below[at] && buses->below[at]->address.bus < bus &&
		    bridge_buses(buses->below[at], &secondary, &subordinate) && bus <= subordinate)
			return buses->below[at];
	return NULL;
}

/* Find the bridge above by bus number for each function without a link in sysfs. */
static void link_by_bus(struct machine *machine)
{
	struct function *function;
	struct buses buses;
	unsigned int i;

	for (i = 0; i < machine->nr; i++) {
		function = machine->functions[i];
		if (!i || machine->functions[i - 1]->address.domain != function->address.domain)
			find_buses(machine, i, &buses);
		if (!function->host)
			function->up = bridge_above(&buses, function->address.bus);
	}
}

static void link_hosts(struct machine *machine)
{
	struct function *function, *top;
	struct host *host;
	unsigned int i;

	for (i = 0; i < machine->nr; i++) {
		function = machine->functions[i];
		for (top = function; top->up && !top->host; top = top->up)
			;
		if (!top->host)
			top->host = machine_host(machine, top->address.domain, top->address.bus);
		function->host = top->host;
	}
	for (i = 0; i < machine->nr; i++) {
		function = machine->functions[i];
		host = function->host;
		if (function->up || function->physfn || host->first)
			continue;
		host->first = function;
		/* Only a whole sysfs tree shows that no function comes before. */
		host->unsure = !ground_first(function) &&
			       !(function->placed && (machine->live || machine->complete));
	}
	for (i = 0; i < machine->nr_hosts; i++) {
		host = machine->hosts[i];
		if (!host->first ||
		    (host->first->vendor && host->first->vendor != 0xffff))
			continue;
		host->first = NULL;
		host->unsure = true;
	}
}

/* Longest possible path to the root. A longer path, in a manipulated copy, is a loop. */
#define DEEPEST	BUSES

static bool is_in_loop(const struct function *function)
{
	unsigned int depth;

	for (depth = 0; function && depth <= DEEPEST; depth++)
		function = function->up;
	return function;
}

static void cut_loops(struct machine *machine)
{
	struct function *function;
	unsigned int i;

	for (i = 0; i < machine->nr; i++) {
		function = machine->functions[i];
		if (!is_in_loop(function))
			continue;
		note_odd("%s: the bridges above lead back to themselves", function->bdf);
		function->up = NULL;
		/* The way to the root of a virtual function is that of the physical function. */
		function->physfn = NULL;
	}
}

static void drop_doubles(struct machine *machine)
{
	struct function *function;
	unsigned int i, nr = 0;

	for (i = 0; i < machine->nr; i++) {
		function = machine->functions[i];
		if (nr && !compare_functions(&machine->functions[nr - 1], &function))
			note_odd("%s is there twice; the second is left out",
				 function->bdf);
		else
			machine->functions[nr++] = function;
		/* A duplicate gets the index of the first: links are corrected below. */
		function->index = nr - 1;
	}
	machine->nr = nr;
	for (i = 0; i < nr; i++) {
		function = machine->functions[i];
		if (function->up)
			function->up = machine->functions[function->up->index];
		if (function->physfn)
			function->physfn = machine->functions[function->physfn->index];
	}
}

static int compare_hosts(const void *a, const void *b)
{
	const struct host *p = *(struct host * const *)a, *q = *(struct host * const *)b;

	if (p->domain != q->domain)
		return p->domain < q->domain ? -1 : 1;
	return p->bus - q->bus;
}

/*
 * A BAR has a bus address, and sysfs shows the CPU address. If the two differ, the host bridge
 * translates addresses.
 */
static void find_translation(struct function *function)
{
	unsigned int i, low, high;
	unsigned long long bus;

	for (i = 0; i < BARS && !function->header && !config_dead(function); i++) {
		if (!function->bars[i].memory || !function->bars[i].size ||
		    !config_read(function, PCI_BASE_ADDRESS_0 + 4 * i, 4, &low))
			continue;
		bus = low & ~0xfU;
		if ((low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64 &&
		    config_read(function, PCI_BASE_ADDRESS_0 + 4 * i + 4, 4, &high))
			bus |= (unsigned long long)high << 32;
		if (bus && bus != function->bars[i].start)
			function->host->translates = true;
	}
}

/**
 * machine_link - connect functions, bridges and host bridges
 * @machine: the machine, with all functions added
 */
void machine_link(struct machine *machine)
{
	unsigned int i;

	if (!machine->nr)
		return;
	qsort(machine->functions, machine->nr, sizeof(*machine->functions), compare_functions);
	drop_doubles(machine);
	link_by_bus(machine);
	cut_loops(machine);
	link_hosts(machine);
	qsort(machine->hosts, machine->nr_hosts, sizeof(*machine->hosts), compare_hosts);
	for (i = 0; i < machine->nr_hosts; i++)
		machine->hosts[i]->index = i;
	ground_hosts(machine);
	for (i = 0; i < machine->nr; i++)
		if (machine->sysfs)
			find_translation(machine->functions[i]);
}

/**
 * function_is_bridge - is a function a bridge? As the kernel's pci_is_bridge().
 * @function: the function
 *
 * Return: true for PCI and CardBus bridges.
 */
bool function_is_bridge(const struct function *function)
{
	return function->header == PCI_HEADER_TYPE_BRIDGE ||
	       function->header == PCI_HEADER_TYPE_CARDBUS;
}

/**
 * function_kind - role of a function in the hierarchy
 * @function: the function
 *
 * Return: a phrase such as "root port".
 */
const char *function_kind(const struct function *function)
{
	static const char * const kinds[] = {
		[PCI_EXP_TYPE_ENDPOINT] = "endpoint",
		[PCI_EXP_TYPE_LEG_END] = "endpoint",
		[PCI_EXP_TYPE_ROOT_PORT] = "root port",
		[PCI_EXP_TYPE_UPSTREAM] = "switch upstream port",
		[PCI_EXP_TYPE_DOWNSTREAM] = "switch downstream port",
		[PCI_EXP_TYPE_PCI_BRIDGE] = "bridge to PCI",
		[PCI_EXP_TYPE_PCIE_BRIDGE] = "bridge from PCI",
		[PCI_EXP_TYPE_ROOT_INT_EP] = "integrated endpoint",
		[PCI_EXP_TYPE_ROOT_EC] = "event collector",
	};
	int type = config_pcie_type(function);

	if (function->physfn)
		return "virtual function";
	if (type >= 0 && type < (int)COUNT_OF(kinds) && kinds[type])
		return kinds[type];
	return function_is_bridge(function) ? "bridge" : "endpoint";
}

/**
 * struct class_word - a class of functions, as in p2pdma matrix --class
 * @word: name of the class
 * @class: class code of the class
 * @mask: bits of the class code to compare
 */
struct class_word {
	const char *word;
	unsigned int class;
	unsigned int mask;
};

static const struct class_word class_words[] = {
	{ "nvme",	0x010800, 0xffff00 },
	{ "storage",	0x010000, 0xff0000 },
	{ "rdma",	0x020700, 0xffff00 },
	{ "rdma",	0x0c0600, 0xffff00 },
	{ "net",	0x020000, 0xff0000 },
	{ "gpu",	0x030000, 0xff0000 },
	{ "audio",	0x040300, 0xffff00 },
	{ "cxl",	0x050200, 0xffff00 },
	{ "memory",	0x050000, 0xff0000 },
	{ "bridge",	0x060000, 0xff0000 },
	{ "usb",	0x0c0300, 0xffff00 },
	{ "accelerator", 0x0b4000, 0xffff00 },
	{ "accelerator", 0x120000, 0xff0000 },
};

/* An FPGA has the class that its designer chose, often none. Xilinx, Altera and Lattice. */
static bool is_fpga(const struct function *function)
{
	unsigned int base = function->class >> 16;

	return !function_is_bridge(function) &&
	       (function->vendor == 0x10ee || function->vendor == 0x1172 ||
		function->vendor == 0x1204) &&
	       (base == 0x05 || base == 0x07 || base == 0x11 || base == 0x12 || base == 0xff ||
		!base);
}

/**
 * function_class - class of a function
 * @function: the function
 *
 * Return: a word such as "nvme", or "other".
 */
const char *function_class(const struct function *function)
{
	unsigned int i;

	if (is_fpga(function))
		return "fpga";
	for (i = 0; i < COUNT_OF(class_words); i++)
		if ((function->class & class_words[i].mask) == class_words[i].class)
			return class_words[i].word;
	return "other";
}

static bool is_class_word(const char *word, size_t length)
{
	static const char * const others[] = { "fpga", "other" };
	unsigned int i;

	for (i = 0; i < COUNT_OF(class_words); i++)
		if (strlen(class_words[i].word) == length &&
		    !strncmp(class_words[i].word, word, length))
			return true;
	for (i = 0; i < COUNT_OF(others); i++)
		if (strlen(others[i]) == length && !strncmp(others[i], word, length))
			return true;
	return false;
}

/**
 * check_classes - end the command if a list names an unknown class
 * @list: words, separated by commas
 */
void check_classes(const char *list)
{
	const char *word = list;
	size_t length;

	for (;; word += length + 1) {
		length = strcspn(word, ",");
		if (!is_class_word(word, length))
			die(STATUS_USAGE, "\"%.*s\" is no class; p2pdma matrix --help lists them",
			    (int)length, word);
		if (!word[length])
			return;
	}
}

/**
 * function_title - vendor and device of a function
 * @machine: the machine; with @machine->numeric, the title has IDs instead of names
 * @function: the function
 *
 * Return: a new string.
 */
const char *function_title(const struct machine *machine, const struct function *function)
{
	if (!function->vendor && function->title)
		return function->title;
	if (machine->numeric)
		return xasprintf("%04x:%04x", function->vendor, function->device);
	return names_title(function->vendor, function->device);
}

static struct function *resolve_name(const struct machine *machine, const char *name)
{
	struct function *function, *found = NULL;
	unsigned int i, j;

	for (i = 0; i < machine->nr; i++) {
		function = machine->functions[i];
		for (j = 0; j < function->nr_names; j++) {
			if (strcmp(function->names[j], name))
				continue;
			if (found && found != function)
				die(STATUS_USAGE, "%s has two paths, %s and %s: say which",
				    name, found->bdf, function->bdf);
			found = function;
		}
	}
	return found;
}

/* Looks up the disk of a partition: sda for sda1, nvme0n1 for nvme0n1p1. */
static struct function *resolve_partition(const struct machine *machine, const char *name)
{
	size_t length = strlen(name);
	struct function *function;
	char *disk = xstrdup(name);

	while (length && isdigit((unsigned char)disk[length - 1]))
		length--;
	if (!disk[length] || !length) {
		xfree(disk);
		return NULL;
	}
	if (length > 1 && disk[length - 1] == 'p' && isdigit((unsigned char)disk[length - 2]))
		length--;
	disk[length] = '\0';
	function = resolve_name(machine, disk);
	xfree(disk);
	return function;
}

/* Looks up an address without a domain. Domain 0 comes first, else the address has to be unique. */
static struct function *resolve_short(const struct machine *machine, struct address address)
{
	struct function *found = machine_find(machine, address), *function;
	char *list = NULL, *old;
	unsigned int i;

	for (i = 0; i < machine->nr && (!found || found->address.domain); i++) {
		function = machine->functions[i];
		if (function->address.bus != address.bus ||
		    function->address.devfn != address.devfn)
			continue;
		if (!list) {
			list = xstrdup(function->bdf);
		} else {
			old = list;
			list = xasprintf("%s or %s", old, function->bdf);
			xfree(old);
		}
		if (found)
			die(STATUS_USAGE, "an address without domain: did you mean %s?", list);
		found = function;
	}
	xfree(list);
	return found;
}

/**
 * find_device - look up a function by address or device name
 * @machine: the machine
 * @name: address, device name, or path below /dev/
 *
 * Return: the function, or NULL.
 */
struct function *find_device(const struct machine *machine, const char *name)
{
	struct function *function;
	struct address address;
	const char *base = name;

	if (parse_address(name, &address))
		return strchr(name, ':') == strrchr(name, ':') ?
		       resolve_short(machine, address) : machine_find(machine, address);
	if (!strncmp(name, "/dev/", 5))
		base = strrchr(name, '/') + 1;
	function = resolve_name(machine, base);
	return function ? function : resolve_partition(machine, base);
}

/**
 * resolve - look up a function that the user has named
 * @machine: the machine
 * @name: address or device name
 *
 * Return: the function, never NULL. Fails if there is no such function.
 */
struct function *resolve(struct machine *machine, const char *name)
{
	struct function *function = find_device(machine, name);

	if (function)
		return function;
	if (machine->dump && !strchr(name, ':'))
		die(STATUS_USAGE, "%s: the output of lspci holds no such names; give an address",
		    name);
	die(STATUS_USAGE, "%s: no such PCI function, nor a device of that name on one", name);
}

/**
 * resolve_bridge - look up a bridge or host bridge that the user has named
 * @machine: the machine
 * @name: address of a bridge, or a host bridge as pci0000:00 or 0000:00
 *
 * Return: a bridge or a host bridge. Fails if there is no such bridge.
 */
struct resolved resolve_bridge(struct machine *machine, const char *name)
{
	const char *number = strncmp(name, "pci", 3) ? name : name + 3;
	struct resolved resolved = { .given = name };
	unsigned int i;

	for (i = 0; i < machine->nr_hosts && !resolved.host; i++)
		if (!strcmp(machine->hosts[i]->name + 3, number))
			resolved.host = machine->hosts[i];
	if (resolved.host)
		return resolved;
	resolved.function = resolve(machine, name);
	if (!function_is_bridge(resolved.function))
		die(STATUS_USAGE, "%s (%s) is not a bridge; the one above it is %s", name,
		    resolved.function->bdf, resolved.function->up ? resolved.function->up->bdf :
		    resolved.function->host->name);
	return resolved;
}
