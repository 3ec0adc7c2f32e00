// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma: causes of slow or failing transfers that are not routes
 *
 * A route says that a transaction arrives. Transfers still fail or crawl if no memory is offered,
 * if BARs are missing, if a link is slow, or if an IOMMU is in the way. Each note names the
 * function and, where there is a remedy, the setting.
 */
#include <stdlib.h>
#include <string.h>
#include <pci/pci.h>

#include "tool.h"

/* Resizable BAR capability (PCIe Base Specification r6.0, sec 7.8.6). */
#define EXT_CAP_REBAR		0x15
#define REBAR_CAP(nr)		(4 + 8 * (nr))
#define REBAR_CTRL(nr)		(8 + 8 * (nr))
#define REBAR_COUNT(control)	((control) >> 5 & 7)
#define REBAR_SIZE(control)	((control) >> 8 & 0x3f)
#define REBAR_SIZES(capability)	((capability) >> 4)

#define FIRST_LARGE_DOMAIN	0x10000

/* The first device name, or the address without. */
static const char *short_name(const struct function *function)
{
	return function->nr_names ? function->names[0] : function->bdf;
}

/* Has a BAR an address? An unassigned BAR reads as zero. */
static bool is_assigned(const struct function *function, unsigned int bar, enum known *known)
{
	unsigned int low, high = 0;

	if (!config_read(function, PCI_BASE_ADDRESS_0 + 4 * bar, 4, &low)) {
		*known = UNKNOWN;
		return false;
	}
	if (low & PCI_BASE_ADDRESS_SPACE_IO)
		return false;
	if ((low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64 &&
	    bar + 1 < BARS)
		config_read(function, PCI_BASE_ADDRESS_0 + 4 * bar + 4, 4, &high);
	return (low & ~0xfU) || high;
}

static enum known has_memory_bar(const struct function *function)
{
	enum known known = config_places_bars(function);
	unsigned int i;

	if (known == KNOWN_YES)
		return known;
	known = KNOWN_NO;

	for (i = 0; i < BARS; i++)
		if ((function->bars[i].memory && function->bars[i].start) ||
		    is_assigned(function, i, &known))
			return KNOWN_YES;
	return known;
}

/* BARs and memory enable of a virtual function are in the physical function. */
static void note_bars(json_object *notes, const struct function *provider)
{
	unsigned int command;
	bool off;

	if (provider->physfn || provider->header || config_dead(provider) ||
	    !config_read(provider, PCI_COMMAND, 2, &command))
		return;
	off = !(command & PCI_COMMAND_MEMORY);
	if (has_memory_bar(provider) == KNOWN_NO) {
		add_words(notes,
			  "%s has no memory BAR that is assigned and enabled: nothing can be reached",
			  provider->bdf);
		add_words(notes,
			  "if firmware left BARs unassigned: Above 4G Decoding on, or pci=realloc");
	} else if (off) {
		add_words(notes, "%s does not answer memory requests: memory decoding is off (%s)",
			  provider->bdf,
			  provider->driver ? "its driver is bound" : "a driver turns it on");
	}
}

static void note_master(json_object *notes, const struct function *client)
{
	unsigned int command;

	if (config_dead(client) || !config_read(client, PCI_COMMAND, 2, &command) ||
	    command & PCI_COMMAND_MASTER)
		return;
	add_words(notes, "%s sends no requests: bus mastering is off (%s)", client->bdf,
		  client->driver ? "its driver is bound" : "a driver turns it on");
}

static unsigned int largest_size(unsigned int sizes)
{
	unsigned int bit = 0;

	while (sizes >> 1) {
		sizes >>= 1;
		bit++;
	}
	return bit;
}

static char *megabytes(unsigned int exponent)
{
	return xstrdup(show_size(1ULL << (20 + exponent)));
}

static void note_resizable(json_object *notes, const struct function *provider)
{
	unsigned int at, nr, i, capability, control, most;

	if (config_extended(provider, EXT_CAP_REBAR, &at) != KNOWN_YES ||
	    !config_read(provider, at + REBAR_CTRL(0), 4, &control))
		return;
	nr = REBAR_COUNT(control);
	for (i = 0; i < nr && i < BARS; i++) {
		if (!config_read(provider, at + REBAR_CAP(i), 4, &capability) ||
		    !config_read(provider, at + REBAR_CTRL(i), 4, &control))
			return;
		most = largest_size(REBAR_SIZES(capability));
		if (most <= REBAR_SIZE(control) || REBAR_SIZE(control) > 40)
			continue;
		add_words(notes,
			  "BAR %u of %s is %s and could be %s: Resizable BAR and Above 4G Decoding on",
			  control & 7, provider->bdf, megabytes(REBAR_SIZE(control)),
			  megabytes(most));
	}
}

/**
 * struct link - speed and width of a PCI Express link
 * @speed: speed in units of 0.1 GT/s, 0 if unknown
 * @width: number of lanes, 0 if unknown
 */
struct link {
	unsigned int speed;
	unsigned int width;
};

static unsigned long long bandwidth(struct link link)
{
	return (unsigned long long)link.speed * link.width;
}

static struct link decode_link(unsigned int value)
{
	static const unsigned int speeds[] = { 0, 25, 50, 80, 160, 320, 640 };
	unsigned int speed = value & PCI_EXP_LNKSTA_SPEED;

	return (struct link) {
		.speed = speed < COUNT_OF(speeds) ? speeds[speed] : 0,
		.width = (value & PCI_EXP_LNKSTA_WIDTH) >> 4,
	};
}

/* sysfs has the words of the kernel: "2.5 GT/s PCIe" and "16". */
static bool sysfs_link(const struct function *function, const char *prefix, struct link *link)
{
	char *speed = function->path ? read_line("%s/%s_link_speed", function->path, prefix) : NULL;
	char *width = function->path ? read_line("%s/%s_link_width", function->path, prefix) : NULL;
	unsigned int whole, tenth = 0;
	unsigned long long lanes;
	bool known;

	known = speed && parse_number(width, 10, 32, &lanes) && lanes &&
		sscanf(speed, "%5u.%1u GT/s", &whole, &tenth) >= 1 && whole;
	if (known)
		*link = (struct link) { whole * 10 + tenth, lanes };
	xfree(speed);
	xfree(width);
	return known;
}

/* Reads the link of a function towards the root, and the most that the function can do. */
static bool read_link_of(const struct function *function, struct link *now, struct link *most)
{
	unsigned int at, status, capability;

	*most = (struct link) {};
	if (config_pcie(function, &at) == KNOWN_YES &&
	    config_read(function, at + PCI_EXP_LNKCAP, 4, &capability))
		*most = decode_link(capability);
	sysfs_link(function, "max", most);
	if (sysfs_link(function, "current", now))
		return true;
	if (config_pcie(function, &at) != KNOWN_YES ||
	    !config_read(function, at + PCI_EXP_LNKSTA, 2, &status))
		return false;
	*now = decode_link(status);
	return bandwidth(*now);
}

/* Links end in endpoints and upstream ports; the port above has the other end. */
static bool has_link_above(const struct function *function)
{
	int type = config_pcie_type(function);

	return !function->physfn && type != PCI_EXP_TYPE_ROOT_PORT &&
	       type != PCI_EXP_TYPE_DOWNSTREAM && type != PCI_EXP_TYPE_ROOT_INT_EP;
}

/**
 * struct slowest - slowest link of a route
 * @function: function at the lower end of the link, or NULL
 * @now: the link
 * @most: the most that the function can do
 */
struct slowest {
	const struct function *function;
	struct link now;
	struct link most;
};

static void look_for_slowest(const struct function *function, const struct function *until,
			     struct slowest *slowest)
{
	struct link now, most;

	for (; function && function != until; function = function->up) {
		if (!has_link_above(function) || !read_link_of(function, &now, &most) ||
		    (slowest->function && bandwidth(now) >= bandwidth(slowest->now)))
			continue;
		*slowest = (struct slowest) { function, now, most };
	}
}

static char *link_words(struct link link)
{
	return link.speed % 10 ?
	       xasprintf("%u.%u GT/s x%u", link.speed / 10, link.speed % 10, link.width) :
	       xasprintf("%u GT/s x%u", link.speed / 10, link.width);
}

static void note_link(json_object *notes, const struct function *client,
		      const struct function *provider, const struct verdict *verdict, bool all)
{
	const struct function *until = find_meeting(client, provider);
	struct slowest slowest = {};
	bool reduced;

	if (client == provider)
		return;
	if (verdict->redirected)
		until = NULL;
	look_for_slowest(client, until, &slowest);
	look_for_slowest(provider, until, &slowest);
	reduced = slowest.function && bandwidth(slowest.now) < bandwidth(slowest.most);
	if (reduced)
		add_words(notes, "slowest link on the way: %s at %s, of %s",
			  link_words(slowest.now), slowest.function->bdf,
			  link_words(slowest.most));
	else if (slowest.function && all)
		add_words(notes, "slowest link on the way: %s at %s", link_words(slowest.now),
			  slowest.function->bdf);
}

static void note_memory(const struct machine *machine, json_object *notes,
			const struct function *provider)
{
	const char *why;

	if (machine->dump || provider->header)
		return;
	if (provider->memory && !provider->memory->published)
		add_words(notes, "%s has peer memory for its own driver only: not published",
			  short_name(provider));
	if (provider->memory)
		return;
	why = why_no_memory(machine, provider);
	add_words(notes, "%s offers no peer memory now: %s", short_name(provider), why);
}

static void note_nodes(json_object *notes, const struct function *client,
		       const struct function *provider)
{
	if (client->numa_node >= 0 && provider->numa_node >= 0 &&
	    client->numa_node != provider->numa_node)
		add_words(notes,
			  "the way crosses from NUMA node %d to node %d: slower than within a socket",
			  client->numa_node, provider->numa_node);
}

static char *iommu_words(const struct machine *machine, const struct function *function)
{
	char *type = NULL;

	if (function->iommu_group < 0)
		return xstrdup(function->iommu == KNOWN_NO ? "none" : "unknown");
	if (machine->sysfs)
		type = read_line("%s/kernel/iommu_groups/%d/type", machine->sysfs,
				 function->iommu_group);
	return xasprintf("group %d, type %s", function->iommu_group,
			 type && *type ? type : "unknown");
}

static char *list_redirecting(const struct function *client, const struct function *provider)
{
	const struct function *meeting = find_meeting(client, provider), *at;
	char *list = xstrdup("");

	for (at = client->up; at; at = at->up)
		if (at->stock_redirects == KNOWN_YES)
			list = xasprintf("%s %s", list, at->bdf);
	for (at = provider->up; at && at != meeting; at = at->up)
		if (at->stock_redirects == KNOWN_YES && !strstr(list, at->bdf))
			list = xasprintf("%s %s", list, at->bdf);
	return list;
}

/* Drivers that hand bus addresses to their devices do not know of an IOMMU in the way. */
static void note_iommu(const struct machine *machine, json_object *notes,
		       const struct function *client, const struct function *provider,
		       const struct verdict *verdict)
{
	enum known iommu = machine->iommu_given ? machine->iommu : client->iommu;
	const char *list;

	if (client->iommu_group >= 0 || provider->iommu_group >= 0)
		add_words(notes, "IOMMU: client %s; provider %s", iommu_words(machine, client),
			  iommu_words(machine, provider));
	if (verdict->answer != ANSWER_HOST || iommu == KNOWN_NO)
		return;
	add_words(notes, iommu == KNOWN_YES ?
		  "requests of %s pass an IOMMU that translates" :
		  "requests of %s pass the IOMMU of the host bridge, if there is one",
		  client->bdf);
	add_words(notes, "drivers that use bus addresses then hang or are slow: iommu=pt helps");
	list = list_redirecting(client, provider);
	if (*list)
		add_words(notes, "ports that redirect on the way:%s", list);
}

/* A mask missing in the input counts as 64 bits. */
static void note_mask(json_object *notes, const struct function *client,
		      const struct function *provider, const struct verdict *verdict)
{
	unsigned int i;

	if (client->mask_bits || client == provider || verdict->kernel || verdict->iommu ||
	    (verdict->answer != ANSWER_DIRECT && verdict->answer != ANSWER_HOST))
		return;
	for (i = 0; i < BARS; i++)
		if (provider->bars[i].memory && provider->bars[i].start >> 32)
			break;
	if (i < BARS)
		add_words(notes,
			  "BAR %u of %s is above 4 GiB: a driver of %s with a 32-bit mask cannot use the memory",
			  i, provider->bdf, client->bdf);
}

/**
 * translated_goes_direct - do requests that a client has translated go direct?
 * @client: function that masters DMA
 * @provider: function with the memory
 *
 * Return: true if ATS of the client and Direct Translated P2P of the port are on.
 */
bool translated_goes_direct(const struct function *client, const struct function *provider)
{
	const struct function *meeting = find_meeting(client, provider);
	const struct function *port = side_below(client, meeting);
	unsigned int capability, control;

	return meeting && port && config_uses_ats(client) == KNOWN_YES &&
	       config_acs(port, &capability, &control) == KNOWN_YES &&
	       control & PCI_ACS_CTRL_TRANS;
}

static void note_translated(json_object *notes, const struct function *client,
			    const struct function *provider, const struct verdict *verdict)
{
	const struct function *port = side_below(client, find_meeting(client, provider));

	if (!verdict->redirected || !translated_goes_direct(client, provider))
		return;
	add_words(notes,
		  "requests translated by the client (ATS on) go direct at %s (DirectTrans on)",
		  port->bdf);
	add_words(notes, "only untranslated requests go up to the host bridge");
}

/**
 * is_behind_vmd - is a function in a domain as of Intel's Volume Management Device?
 * @function: the function
 *
 * Return: true for domains that begin where 16 bits end.
 */
bool is_behind_vmd(const struct function *function)
{
	return function->address.domain >= FIRST_LARGE_DOMAIN;
}

static void note_vmd(json_object *notes, const struct function *function)
{
	if (is_behind_vmd(function))
		add_words(notes, "%s is in a domain of its own, as behind Intel VMD: %s",
			  function->bdf, "the firmware setting VMD turns it off");
}

static void note_machine(const struct machine *machine, json_object *notes)
{
	if (machine->support == SUPPORT_NONE)
		add_words(notes, "this kernel lacks CONFIG_PCI_P2PDMA: no driver can use it");
	if (machine->virtual)
		add_words(notes,
			  "a virtual machine: real topology is not seen; ask on the host");
}

static void note_cpu(const struct machine *machine, json_object *notes)
{
	if (machine->cpu_from)
		add_words(notes, "the processor is derived from the %s %04x:%04x: %s",
			  function_is_bridge(machine->cpu_from) ? "root port" : "host bridge",
			  machine->cpu_from->vendor, machine->cpu_from->device,
			  machine->cpu == CPU_ROUTES ? "AMD, family 17h or later" : "not AMD");
}

/**
 * add_notes - add notes about causes that are not routes
 * @machine: the machine
 * @notes: array to add to
 * @client: function that masters DMA
 * @provider: function with the memory
 * @verdict: verdict for @client and @provider
 * @all: with facts that are no problem
 */
void add_notes(struct machine *machine, json_object *notes, const struct function *client,
	       const struct function *provider, const struct verdict *verdict, bool all)
{
	note_machine(machine, notes);
	note_memory(machine, notes, provider);
	note_bars(notes, provider);
	note_master(notes, client);
	note_translated(notes, client, provider, verdict);
	/* Links of emulated functions have no speed. */
	if (!machine->virtual)
		note_link(notes, client, provider, verdict, all);
	note_nodes(notes, client, provider);
	if (!all)
		return;
	note_resizable(notes, provider);
	note_iommu(machine, notes, client, provider, verdict);
	note_mask(notes, client, provider, verdict);
	note_vmd(notes, client);
	if (provider->address.domain != client->address.domain)
		note_vmd(notes, provider);
	if (verdict->reason == REASON_CPU || verdict->reason == REASON_UNLISTED)
		note_cpu(machine, notes);
}
