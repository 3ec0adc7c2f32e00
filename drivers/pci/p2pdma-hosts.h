/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Host bridges that are known to route between their ports.
 *
 * The PCIe Base Specification leaves it to the root complex whether it routes peer-to-peer
 * requests between its ports (r6.0, sec 1.3.1), and nothing in configuration space says so. What
 * is known stands here, by the vendor and device ID of the first device on the root bus.
 *
 * A table and nothing else: the kernel and the user-space tool both include it.
 */
#ifndef _PCI_P2PDMA_HOSTS_H
#define _PCI_P2PDMA_HOSTS_H

#include <linux/types.h>

#define P2PDMA_ANY_DEVICE	0xffff

/**
 * struct p2pdma_known_host - one entry
 * @vendor: of the first device on the root bus
 * @device: likewise, or P2PDMA_ANY_DEVICE
 * @across: also routes to and from other host bridges
 */
struct p2pdma_known_host {
	u16 vendor;
	u16 device;
	bool across;
};

static const struct p2pdma_known_host p2pdma_known_hosts[] = {
	/* Intel Xeon E5 and Core: Sandy Bridge, Haswell */
	{ 0x8086, 0x3c00, false },
	{ 0x8086, 0x3c01, false },
	{ 0x8086, 0x2f00, false },
	{ 0x8086, 0x2f01, false },
	/* Intel Xeon Scalable: root ports A to D, Sky Lake DMI, Ice Lake and later */
	{ 0x8086, 0x2030, true },
	{ 0x8086, 0x2031, true },
	{ 0x8086, 0x2032, true },
	{ 0x8086, 0x2033, true },
	{ 0x8086, 0x2020, true },
	{ 0x8086, 0x09a2, true },
	/* Intel accelerators with a root bus of their own: DSA, IAX and IAA, QAT */
	{ 0x8086, 0x0b25, true },
	{ 0x8086, 0x11fb, true },
	{ 0x8086, 0x1212, true },
	{ 0x8086, 0x0cfe, true },
	{ 0x8086, 0x1216, true },
	{ 0x8086, 0x4940, true },
	{ 0x8086, 0x4942, true },
	{ 0x8086, 0x4944, true },
	{ 0x8086, 0x4946, true },
	{ 0x8086, 0x4948, true },
	/* Google: virtual machines, every device */
	{ 0x1ae0, P2PDMA_ANY_DEVICE, true },
	/* Nvidia: root ports of its processors */
	{ 0x10de, 0x2f95, true },
	{ 0x10de, 0x2f96, true },
	{ 0x10de, 0x2f97, true },
	{ 0x10de, 0x2f98, true },
	/* Zhaoxin */
	{ 0x1d17, 0x1003, false },
	{ 0x1d17, 0x1005, false },
	{ 0x1d17, 0x1006, false },
	{ 0x1d17, 0x1007, false },
	{ 0x1d17, 0x1008, true },
};

#endif /* _PCI_P2PDMA_HOSTS_H */
