// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: what IDs of PCI functions tell about the machine
 *
 * A dump names neither the processor nor the hypervisor. Some functions exist in one place only:
 * a root complex of an AMD processor, a host bridge of QEMU. Nothing is derived from a function
 * that could be anywhere.
 */
#include <string.h>
#include <pci/pci.h>

#include "internal.h"

#define ANY	0xffff

/**
 * struct ids - a range of devices of a vendor; an empty element ends a list
 * @vendor: vendor ID
 * @first: first device ID, or ANY for all devices of the vendor
 * @last: last device ID
 */
struct ids {
	unsigned short vendor;
	unsigned short first;
	unsigned short last;
};

/* Root complexes of AMD processors of the families 17h, 19h and 1Ah. */
static const struct ids zen_roots[] = {
	{ 0x1022, 0x1122, 0x1122 },
	{ 0x1022, 0x1450, 0x1450 },
	{ 0x1022, 0x1480, 0x1480 },
	{ 0x1022, 0x14a4, 0x14a4 },
	{ 0x1022, 0x14b5, 0x14b5 },
	{ 0x1022, 0x14d8, 0x14d8 },
	{ 0x1022, 0x14e8, 0x14e8 },
	{ 0x1022, 0x1507, 0x1507 },
	{ 0x1022, 0x153a, 0x153a },
	{ 0x1022, 0x15d0, 0x15d0 },
	{ 0x1022, 0x1630, 0x1630 },
	{ 0x1022, 0x1645, 0x1645 },
	{ }
};

/*
 * Old chip sets that hypervisors emulate: 440BX, 440FX, Q35, X38; the host bridge of Cloud
 * Hypervisor; and root ports of QEMU.
 */
static const struct ids emulated_hosts[] = {
	{ 0x8086, 0x1237, 0x1237 },
	{ 0x8086, 0x0d57, 0x0d57 },
	{ 0x8086, 0x29c0, 0x29c0 },
	{ 0x8086, 0x29e0, 0x29e0 },
	{ 0x8086, 0x7190, 0x7192 },
	{ }
};

static const struct ids emulated_ports[] = {
	{ 0x8086, 0x3420, 0x3420 },
	{ }
};

/*
 * Functions of hypervisors only: QEMU, Bochs, Hyper-V (display, network, drives), VMware, Xen,
 * VirtualBox, Cloud Hypervisor. Microsoft also made network cards, so the vendor is not enough.
 */
static const struct ids emulated[] = {
	{ 0x1b36, ANY, ANY },
	{ 0x1234, 0x1111, 0x1111 },
	{ 0x1414, 0x008c, 0x008e },
	{ 0x1414, 0x00ba, 0x00ba },
	{ 0x1414, 0x5353, 0x5353 },
	{ 0x1414, 0xb111, 0xb111 },
	{ 0x15ad, ANY, ANY },
	{ 0x5853, ANY, ANY },
	{ 0x80ee, ANY, ANY },
	{ 0x8086, 0x0d57, 0x0d57 },
	{ }
};

/*
 * Functions of virtual and of physical machines: data processing units offer virtio functions,
 * bare machines of a cloud have the cloud's drives and network cards.
 */
static const struct ids perhaps_emulated[] = {
	{ 0x1af4, ANY, ANY },
	{ 0x1ae0, ANY, ANY },
	{ 0x1d0f, ANY, ANY },
	{ 0x104c, 0x8232, 0x8233 },
	{ }
};

static bool has_ids(const struct ids *ids, const struct function *function)
{
	for (; ids->vendor; ids++)
		if (ids->vendor == function->vendor &&
		    (ids->first == ANY ||
		     (function->device >= ids->first && function->device <= ids->last)))
			return true;
	return false;
}

static bool is_host_bridge(const struct function *function)
{
	return !function->up && !function->physfn && function->class >> 8 == PCI_CLASS_BRIDGE_HOST;
}

static bool is_root_port(const struct function *function)
{
	return !function->up && config_pcie_type(function) == PCI_EXP_TYPE_ROOT_PORT;
}

/*
 * A PCI Express endpoint is at the end of a link, and the other end is a port: type and place
 * contradict on a root bus. Hypervisors pass endpoints through to root buses, with the type that
 * the endpoint has in the host. Some firmware of Arm machines hides root ports: then the bus of
 * the endpoint is not 0. A function of the processor with a wrong type is beside root ports.
 */
static bool lacks_port(const struct machine *machine, unsigned int index)
{
	const struct function *function = machine->functions[index];
	int type = config_pcie_type(function);
	unsigned int i;

	if (function->up || function->orphan || function->address.bus || function->header ||
	    is_host_bridge(function) ||
	    (type != PCI_EXP_TYPE_ENDPOINT && type != PCI_EXP_TYPE_LEG_END))
		return false;
	for (i = 0; i < machine->nr; i++)
		if (machine->functions[i]->host == function->host &&
		    function_is_bridge(machine->functions[i]))
			return false;
	return true;
}

static bool is_virtual(const struct machine *machine)
{
	bool old_host = false, perhaps = false;
	unsigned int i;

	for (i = 0; i < machine->nr; i++) {
		if (has_ids(emulated, machine->functions[i]) || lacks_port(machine, i))
			return true;
		old_host |= is_host_bridge(machine->functions[i]) &&
			    has_ids(emulated_hosts, machine->functions[i]);
		perhaps |= has_ids(perhaps_emulated, machine->functions[i]);
	}
	return old_host && perhaps;
}

/* The rule about processors is about AMD: host bridges and root ports of Intel rule AMD out. */
static enum cpu_rule cpu_of(const struct function *function)
{
	if (is_host_bridge(function) && has_ids(zen_roots, function))
		return CPU_ROUTES;
	if (function->vendor == PCI_VENDOR_ID_INTEL &&
	    !has_ids(emulated_hosts, function) && !has_ids(emulated_ports, function) &&
	    (is_host_bridge(function) || is_root_port(function)))
		return CPU_OTHER;
	return CPU_UNKNOWN;
}

static void derive_cpu(struct machine *machine)
{
	enum cpu_rule cpu, found = CPU_UNKNOWN;
	const struct function *from = NULL;
	unsigned int i;

	for (i = 0; i < machine->nr; i++) {
		cpu = cpu_of(machine->functions[i]);
		if (cpu == CPU_UNKNOWN)
			continue;
		/* No machine has both: the input is a mixture. */
		if (found != CPU_UNKNOWN && cpu != found)
			return;
		if (!from)
			from = machine->functions[i];
		found = cpu;
	}
	machine->cpu = found;
	machine->cpu_from = from;
}

/**
 * guess_machine - derive processor and hypervisor from the functions of a machine
 * @machine: the machine, with all functions linked
 *
 * Keeps what is known. Sets @machine->cpu_from if the processor was derived.
 */
void guess_machine(struct machine *machine)
{
	if (is_virtual(machine))
		machine->virtual = true;
	if (machine->cpu == CPU_UNKNOWN)
		derive_cpu(machine);
}
