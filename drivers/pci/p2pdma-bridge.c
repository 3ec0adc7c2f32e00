// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: what a host bridge can do
 *
 * A bridge that the PCIe Base Specification describes has to route between its ports. A host
 * bridge need not, and cannot be asked (r6.0, sec 1.3.1), so this file knows some of them.
 */
#include <kunit/static_stub.h>
#include <linux/pci.h>

#include "p2pdma.h"
#include "p2pdma-hosts.h"

#ifdef CONFIG_X86
#include <asm/processor.h>

/* AMD root complexes route between their ports since Zen. */
#define P2PDMA_FIRST_AMD_FAMILY	0x17

static bool p2pdma_cpu_known(void)
{
	const struct cpuinfo_x86 *cpu = &boot_cpu_data;

	return cpu->x86_vendor == X86_VENDOR_AMD && cpu->x86 >= P2PDMA_FIRST_AMD_FAMILY;
}
#else
static bool p2pdma_cpu_known(void)
{
	return false;
}
#endif

/**
 * p2pdma_cpu_routes - is the processor's root complex known to route between its ports?
 *
 * Context: Any.
 * Return: true if the processor alone says that every host bridge routes.
 */
bool p2pdma_cpu_routes(void)
{
	KUNIT_STATIC_STUB_REDIRECT(p2pdma_cpu_routes);
	return p2pdma_cpu_known();
}

/**
 * p2pdma_host_device - the function that identifies a host bridge
 * @host: the host bridge
 *
 * A host bridge has no identity in configuration space. Most vendors put a device at 00.0 that
 * stands for it; some have a root port first instead. Any other first device, an endpoint in a
 * virtual machine for instance, says nothing about the host bridge.
 *
 * Context: Any. The caller holds a device below @host, whose path starts on the same root bus.
 * Return: the first device on the root bus if it identifies @host, else NULL; no reference.
 */
struct pci_dev *p2pdma_host_device(struct pci_host_bridge *host)
{
	struct pci_dev *first;

	first = list_first_entry_or_null(&host->bus->devices, struct pci_dev, bus_list);
	if (!first)
		return NULL;
	if (first->devfn == PCI_DEVFN(0, 0))
		return first;
	if (pci_is_pcie(first) && pci_pcie_type(first) == PCI_EXP_TYPE_ROOT_PORT)
		return first;
	return NULL;
}

/**
 * p2pdma_host_capability - what is known of a host bridge's peer routing
 * @host: the host bridge
 *
 * Context: Any.
 * Return: the capability; %P2PDMA_UNLISTED where nothing is known.
 */
enum p2pdma_capability p2pdma_host_capability(struct pci_host_bridge *host)
{
	const struct pci_dev *first;
	unsigned int i;

	if (p2pdma_cpu_routes())
		return P2PDMA_CPU;

	first = p2pdma_host_device(host);
	if (!first)
		return P2PDMA_UNLISTED;

	for (i = 0; i < ARRAY_SIZE(p2pdma_known_hosts); i++) {
		const struct p2pdma_known_host *known = &p2pdma_known_hosts[i];

		if (known->vendor != first->vendor)
			continue;
		if (known->device != first->device && known->device != P2PDMA_ANY_DEVICE)
			continue;
		return known->across ? P2PDMA_LISTED : P2PDMA_LISTED_SAME;
	}
	return P2PDMA_UNLISTED;
}
