// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: is enough of a machine known for a verdict?
 *
 * A dump may be of some functions only, or may be cut off. Without a bridge, the functions below
 * the bridge look as if each bus had a host bridge of its own, and the rules would find no route.
 * So the way from a function up to its root bus has to be whole, and the input has to show that
 * the topmost function is on a root bus. Links in sysfs show the way by themselves.
 */
#include <string.h>
#include <pci/pci.h>

#include "internal.h"

/* Does a function prove that its bus is a root bus? */
static bool is_root(const struct function *function)
{
	switch (config_pcie_type(function)) {
	case PCI_EXP_TYPE_ROOT_PORT:
	case PCI_EXP_TYPE_ROOT_INT_EP:
	case PCI_EXP_TYPE_ROOT_EC:
		return true;
	default:
		return function->class >> 8 == PCI_CLASS_BRIDGE_HOST;
	}
}

static bool same_bus(const struct function *a, const struct function *b)
{
	return a->address.domain == b->address.domain && a->address.bus == b->address.bus;
}

/* Functions are sorted by address: those on the same bus are neighbours. */
static bool is_root_bus(const struct machine *machine, const struct function *function)
{
	unsigned int i;

	if (!function->address.bus)
		return true;
	for (i = function->index; i < machine->nr; i++) {
		if (!same_bus(machine->functions[i], function))
			break;
		if (is_root(machine->functions[i]))
			return true;
	}
	for (i = function->index; i--;) {
		if (!same_bus(machine->functions[i], function))
			break;
		if (is_root(machine->functions[i]))
			return true;
	}
	return false;
}

static bool needs_port_above(const struct function *function)
{
	switch (config_pcie_type(function)) {
	case PCI_EXP_TYPE_UPSTREAM:
	case PCI_EXP_TYPE_DOWNSTREAM:
		return true;
	default:
		return false;
	}
}

/* Has the input no configuration space of a function, not even the registers of every function? */
static bool is_bare(const struct function *function)
{
	unsigned int value;

	return !config_read(function, PCI_STATUS, 2, &value) ||
	       !config_read(function, PCI_HEADER_TYPE, 1, &value);
}

/* In a text that is cut off, or made for an ordinary user, a port looks like any bridge. */
static bool hides_type(const struct function *function)
{
	unsigned int where;

	switch (config_pcie(function, &where)) {
	case UNKNOWN:
		return function->known;
	case KNOWN_YES:
		return !function->placed && config_pcie_type(function) < 0;
	default:
		return false;
	}
}

/* Finds a function without an answer, or without bytes, on a bus. */
static const struct function *find_silent(const struct machine *machine, unsigned int domain,
					  unsigned int bus)
{
	const struct function *function;
	unsigned int i;

	for (i = 0; i < machine->nr; i++) {
		function = machine->functions[i];
		if (function->address.domain == domain && function->address.bus == bus &&
		    (config_dead(function) || is_bare(function)))
			return function;
	}
	return NULL;
}

static const char *silence(const struct function *function)
{
	if (config_dead(function))
		return xasprintf("%s answers every read with all ones: no power, or no link",
				 function->bdf);
	return xasprintf("the input has no configuration space of %s", function->bdf);
}

/*
 * A bridge leads to a single bus. Does @function->up lead to another bus than the function's? A
 * virtual function may have a bus number of its own, so the physical function decides.
 */
static const char *missing_between(const struct machine *machine,
				   const struct function *function,
				   const struct function **culprit)
{
	const struct function *up = function->up;
	const struct function *real = function->physfn ? function->physfn : function;
	unsigned int secondary;

	if (function->placed)
		return NULL;
	if (!config_read(up, PCI_SECONDARY_BUS, 1, &secondary) || secondary == real->address.bus)
		return NULL;
	*culprit = find_silent(machine, up->address.domain, secondary);
	if (*culprit)
		return silence(*culprit);
	*culprit = function;
	return xasprintf("a bridge between %s and %s is not in the input", up->bdf,
			 function->bdf);
}

/* In a text, a capability of a port may have been cut out: the port looks conventional. */
static bool kinds_fit(const struct function *function)
{
	enum known below, above;
	unsigned int where;

	if (!function->known && !function->up->known)
		return true;
	below = config_pcie(function, &where);
	above = config_pcie(function->up, &where);
	if (below == UNKNOWN || above == UNKNOWN)
		return true;
	if (config_pcie_type(function->up) == PCI_EXP_TYPE_PCI_BRIDGE)
		return below == KNOWN_NO;
	return below == above || config_pcie_type(function) == PCI_EXP_TYPE_PCIE_BRIDGE;
}

static const char *missing_above(const struct machine *machine, const struct function *top)
{
	if (top->placed && !top->orphan)
		return NULL;
	if (!top->orphan && !needs_port_above(top) && is_root_bus(machine, top))
		return NULL;
	return xasprintf("what is above %s (%s) is not in the input", top->bdf,
			 function_kind(top));
}

/*
 * Root ports of Intel Xeon E5 and E7, v2 and v4. Root buses of the second socket often begin with
 * port 1. Function 00.0 would be port 0. All ports are unlisted, so a dump without port 0 gives the
 * same verdict. Port 0 of v1 and v3 is listed.
 */
static bool begins_with_port(const struct function *function)
{
	unsigned int series = function->device & 0xff00, port = function->device & 0xff;

	return function->address.bus && function->vendor == 0x8086 && port >= 0x01 &&
	       port <= 0x0b && (series == 0x0e00 || series == 0x6f00);
}

/* The first VMD domains had ports only, without a function 00.0, and all ports are listed. */
static bool is_vmd(const struct function *function)
{
	return function->address.domain > 0xffff && function->vendor == 0x8086 &&
	       function->device >= 0x2030 && function->device <= 0x2033;
}

/**
 * ground_first - does the first known function on a root bus name the host bridge?
 * @function: the first function in the input
 *
 * Return: true for function 00.0, or if a function 00.0 would not change a verdict.
 */
bool ground_first(const struct function *function)
{
	return !function->address.devfn || begins_with_port(function) || is_vmd(function);
}

/**
 * ground_hosts - forget the identity of host bridges that may not be there
 * @machine: the machine
 */
void ground_hosts(struct machine *machine)
{
	struct host *host;
	unsigned int i;

	for (i = 0; i < machine->nr_hosts; i++) {
		host = machine->hosts[i];
		if (!host->first || !missing_above(machine, host->first))
			continue;
		host->first = NULL;
		host->unsure = true;
	}
}

/**
 * ground_missing - find out what is missing for a verdict about a function
 * @machine: the machine
 * @function: client or provider
 * @culprit: filled in with the function that the missing part is about
 *
 * Return: a sentence, or NULL if nothing is missing.
 */
const char *ground_missing(const struct machine *machine, const struct function *function,
			   const struct function **culprit)
{
	const struct function *at;
	const char *missing;

	for (at = function; at; at = at->up) {
		*culprit = at;
		if (config_dead(at))
			return silence(at);
		missing = at->up ? NULL : missing_above(machine, at);
		if (missing)
			return missing;
		if (!at->placed && is_bare(at))
			return silence(at);
		if (!at->placed && at->rival)
			return xasprintf("%s and %s lead to the same bus, by their bus numbers",
					 at->bdf, at->rival->bdf);
		if (hides_type(at))
			return xasprintf("the input lacks capabilities of %s, which root sees",
					 at->bdf);
		if (at->vendor == 0xffff && !at->physfn)
			return xasprintf("the physical function of %s is not in the input",
					 at->bdf);
		if (!at->up)
			break;
		missing = missing_between(machine, at, culprit);
		if (missing)
			return missing;
		if (!kinds_fit(at))
			return xasprintf("the text of %s or %s is not whole", at->up->bdf,
					 at->bdf);
	}
	return NULL;
}
