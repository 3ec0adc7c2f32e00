/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI peer-to-peer DMA: known hardware, and the words of sysfs
 *
 * The p2pdma command and the route test compile p2pdma-hosts.c as well, with
 * tools/pci/p2pdma/shim.
 */
#ifndef _PCI_P2PDMA_HOSTS_H
#define _PCI_P2PDMA_HOSTS_H

#include <linux/types.h>

#include "p2pdma-route.h"

/* In place of a PCI_EXP_TYPE_*: the function is conventional PCI. */
#define P2PDMA_TYPE_CONVENTIONAL	15

/**
 * enum p2pdma_quirk_condition - condition of a quirk, beside ID and type
 * @P2PDMA_QUIRK_ALWAYS: none
 * @P2PDMA_QUIRK_ARMED: the kernel has switched peer decoding off in the chipset
 * @P2PDMA_QUIRK_AMD_IOMMU: multi-function device on a root bus of a machine
 *	whose firmware describes an AMD IOMMU
 */
enum p2pdma_quirk_condition {
	P2PDMA_QUIRK_ALWAYS,
	P2PDMA_QUIRK_ARMED,
	P2PDMA_QUIRK_AMD_IOMMU,
};

/**
 * struct p2pdma_quirk - functions whose access control breaks the rule
 * @vendor: vendor ID
 * @first: first device ID
 * @last: last device ID
 * @step: distance between two device IDs
 * @types: bit mask of PCI_EXP_TYPE_* and P2PDMA_TYPE_CONVENTIONAL
 * @controls: PCI_ACS_* that are on without a capability, or P2PDMA_ACS_WIDE
 * @condition: what else has to be true
 */
struct p2pdma_quirk {
	u16 vendor;
	u16 first;
	u16 last;
	u8 step;
	u8 condition;
	u16 types;
	u16 controls;
};

bool p2pdma_identifies_host(unsigned int devfn, int type);
enum p2pdma_capability p2pdma_known_host(u16 vendor, u16 device);
bool p2pdma_known_cpu(const char *vendor, unsigned int family);
const struct p2pdma_quirk *p2pdma_known_quirk(u16 vendor, u16 device, int type);

const char *p2pdma_capability_word(enum p2pdma_capability capability);
const char *p2pdma_policy_word(enum p2pdma_policy policy);

#endif /* _PCI_P2PDMA_HOSTS_H */
