// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: known hardware, and the words of sysfs
 */

/**
 * DOC: Known hardware
 *
 * The PCIe Base Specification leaves to the root complex whether it routes
 * peer-to-peer requests between its ports (r6.0, sec 1.3.1), and nothing in
 * configuration space tells. p2pdma-hosts.c lists the host bridges known to
 * route, by vendor and device ID of the first device on the root bus.
 *
 * The second table lists functions whose Access Control Services do not look
 * like the specification. Its source is drivers/pci/quirks.c: each group names
 * the function there that says the same. The kernel asks those functions. User
 * space cannot, so the table serves user space, and the kernel for the layout
 * of registers. The suite p2pdma_hosts compares the table with quirks.c.
 */
#include <linux/kernel.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "p2pdma-hosts.h"

#define P2PDMA_ANY_DEVICE	0xffff

/**
 * struct p2pdma_host_entry - one known host bridge
 * @vendor: vendor ID of the first device on the root bus
 * @device: device ID of the first device, or P2PDMA_ANY_DEVICE
 * @across: routes to and from other host bridges, too
 */
struct p2pdma_host_entry {
	u16 vendor;
	u16 device;
	bool across;
};

static const struct p2pdma_host_entry p2pdma_host_table[] = {
	/* Intel Xeon E5 and Core: Sandy Bridge, Haswell */
	{ 0x8086, 0x3c00, false },
	{ 0x8086, 0x3c01, false },
	{ 0x8086, 0x2f00, false },
	{ 0x8086, 0x2f01, false },
	/* Intel Xeon Scalable: root ports A to D, DMI, Ice Lake and later */
	{ 0x8086, 0x2030, true },
	{ 0x8086, 0x2031, true },
	{ 0x8086, 0x2032, true },
	{ 0x8086, 0x2033, true },
	{ 0x8086, 0x2020, true },
	{ 0x8086, 0x09a2, true },
	/* Intel accelerators with a root bus of their own: DSA, IAX, QAT */
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
	/* Google: systems on a chip, every device */
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

/**
 * p2pdma_identifies_host - does the first device identify its host bridge?
 * @devfn: device and function number of the first device on the root bus
 * @type: PCI_EXP_TYPE_* of the first device, negative for conventional PCI
 *
 * A host bridge has no identity in configuration space. Most vendors put a
 * device for the host bridge at 00.0, some begin with a root port. Any other
 * first device, an endpoint in a virtual machine for instance, says nothing
 * about the host bridge.
 *
 * Context: Any.
 * Return: true if the device identifies the host bridge.
 */
bool p2pdma_identifies_host(unsigned int devfn, int type)
{
	return !devfn || type == PCI_EXP_TYPE_ROOT_PORT;
}

/**
 * p2pdma_known_host - look a host bridge up
 * @vendor: vendor ID of the device that identifies the host bridge
 * @device: device ID of that device
 *
 * Context: Any.
 * Return: the capability; %P2PDMA_UNLISTED for an unknown host bridge.
 */
enum p2pdma_capability p2pdma_known_host(u16 vendor, u16 device)
{
	const struct p2pdma_host_entry *entry;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p2pdma_host_table); i++) {
		entry = &p2pdma_host_table[i];
		if (entry->vendor == vendor &&
		    (entry->device == device ||
		     entry->device == P2PDMA_ANY_DEVICE))
			return entry->across ? P2PDMA_LISTED :
					       P2PDMA_LISTED_SAME;
	}
	return P2PDMA_UNLISTED;
}

/* AMD root complexes route between their ports since Zen. */
#define P2PDMA_FIRST_AMD_FAMILY	0x17

/**
 * p2pdma_known_cpu - does the root complex of a processor route?
 * @vendor: vendor string as CPUID has it
 * @family: processor family
 *
 * Context: Any.
 * Return: true if every root complex of such processors routes.
 */
bool p2pdma_known_cpu(const char *vendor, unsigned int family)
{
	return !strcmp(vendor, "AuthenticAMD") &&
	       family >= P2PDMA_FIRST_AMD_FAMILY;
}

#define UP		(PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF)
#define ANY_TYPE	0xffff
#define ROOT_PORT	BIT(PCI_EXP_TYPE_ROOT_PORT)
#define PORT		(ROOT_PORT | BIT(PCI_EXP_TYPE_DOWNSTREAM))
#define RCIEP		BIT(PCI_EXP_TYPE_RC_END)

#define QUIRK(_vendor, _first, _last, _types, _controls) \
	{ _vendor, _first, _last, 1, P2PDMA_QUIRK_ALWAYS, _types, _controls }
#define MULTI(_vendor, _first, _last) \
	QUIRK(_vendor, _first, _last, ANY_TYPE, UP)
#define SOUTHBRIDGE(_vendor, _first, _last) \
	{ _vendor, _first, _last, 1, P2PDMA_QUIRK_AMD_IOMMU, ANY_TYPE, UP }
#define PCH(_first, _last, _step) \
	{ 0x8086, _first, _last, _step, P2PDMA_QUIRK_ARMED, ROOT_PORT, UP }

/* The first match counts. */
static const struct p2pdma_quirk p2pdma_quirk_table[] = {
	/* AMD southbridges: pci_quirk_amd_sb_acs() */
	SOUTHBRIDGE(0x1002, 0x4383, 0x4385),
	SOUTHBRIDGE(0x1002, 0x4399, 0x4399),
	SOUTHBRIDGE(0x1002, 0x439c, 0x439d),
	SOUTHBRIDGE(0x1022, 0x7809, 0x7809),
	SOUTHBRIDGE(0x1022, 0x780f, 0x780f),
	/* Solarflare: pci_quirk_mf_endpoint_acs() */
	MULTI(0x1924, 0x0903, 0x0903),
	MULTI(0x1924, 0x0923, 0x0923),
	MULTI(0x1924, 0x0a03, 0x0a03),
	/* Intel network functions: pci_quirk_mf_endpoint_acs() */
	MULTI(0x8086, 0x105e, 0x1060),
	MULTI(0x8086, 0x10a7, 0x10a7),
	MULTI(0x8086, 0x10a9, 0x10a9),
	MULTI(0x8086, 0x10c6, 0x10c6),
	MULTI(0x8086, 0x10c9, 0x10c9),
	MULTI(0x8086, 0x10d6, 0x10d6),
	MULTI(0x8086, 0x10d9, 0x10d9),
	MULTI(0x8086, 0x10db, 0x10db),
	MULTI(0x8086, 0x10dd, 0x10dd),
	MULTI(0x8086, 0x10e1, 0x10e1),
	MULTI(0x8086, 0x10e6, 0x10e8),
	MULTI(0x8086, 0x10f1, 0x10f1),
	MULTI(0x8086, 0x10f7, 0x10fc),
	MULTI(0x8086, 0x1507, 0x1507),
	MULTI(0x8086, 0x1509, 0x150a),
	MULTI(0x8086, 0x150d, 0x1511),
	MULTI(0x8086, 0x1514, 0x1514),
	MULTI(0x8086, 0x1516, 0x1516),
	MULTI(0x8086, 0x1518, 0x1518),
	MULTI(0x8086, 0x151c, 0x151c),
	MULTI(0x8086, 0x1521, 0x1524),
	MULTI(0x8086, 0x1526, 0x1527),
	MULTI(0x8086, 0x1529, 0x152a),
	MULTI(0x8086, 0x154d, 0x154d),
	MULTI(0x8086, 0x154f, 0x154f),
	MULTI(0x8086, 0x1551, 0x1551),
	MULTI(0x8086, 0x1558, 0x1558),
	MULTI(0x8086, 0x15b7, 0x15b8),
	/* Intel integrated endpoints: pci_quirk_rciep_acs() */
	QUIRK(0x8086, 0x0000, 0xffff, RCIEP, UP),
	/* Qualcomm, HXT root ports: pci_quirk_qcom_rp_acs() */
	QUIRK(0x17cb, 0x0111, 0x0111, ANY_TYPE, UP),
	QUIRK(0x17cb, 0x0115, 0x0115, ANY_TYPE, UP),
	QUIRK(0x17cb, 0x0120, 0x0120, ANY_TYPE, UP),
	QUIRK(0x17cb, 0x0400, 0x0401, ANY_TYPE, UP),
	QUIRK(0x1dbf, 0x0401, 0x0401, ANY_TYPE, UP),
	/* Intel PCH of the series 5 to 9: pci_quirk_intel_pch_acs() */
	PCH(0x1c10, 0x1c1f, 1),
	PCH(0x1d10, 0x1d1e, 2),
	PCH(0x1e10, 0x1e1f, 1),
	PCH(0x3b42, 0x3b51, 1),
	PCH(0x8c10, 0x8c1f, 1),
	PCH(0x8c90, 0x8c9e, 2),
	PCH(0x8d10, 0x8d1e, 1),
	PCH(0x9c10, 0x9c1b, 1),
	PCH(0x9c90, 0x9c9b, 1),
	/* Intel PCH of the series 100 to 300: pci_quirk_intel_spt_pch_acs() */
	QUIRK(0x8086, 0x9d10, 0x9d1b, ROOT_PORT, P2PDMA_ACS_WIDE),
	QUIRK(0x8086, 0xa110, 0xa11f, ROOT_PORT, P2PDMA_ACS_WIDE),
	QUIRK(0x8086, 0xa167, 0xa16a, ROOT_PORT, P2PDMA_ACS_WIDE),
	QUIRK(0x8086, 0xa290, 0xa29f, ROOT_PORT, P2PDMA_ACS_WIDE),
	QUIRK(0x8086, 0xa2e7, 0xa2ee, ROOT_PORT, P2PDMA_ACS_WIDE),
	/* Emulex: pci_quirk_mf_endpoint_acs() */
	MULTI(0x19a2, 0x0710, 0x0710),
	MULTI(0x10df, 0x0720, 0x0720),
	/* Cavium ThunderX root ports: pci_quirk_cavium_acs() */
	QUIRK(0x177d, 0xa000, 0xa7ff, ROOT_PORT, UP),
	QUIRK(0x177d, 0xaf84, 0xaf84, ROOT_PORT, UP),
	QUIRK(0x177d, 0xb884, 0xb884, ROOT_PORT, UP),
	/* Cavium functions: pci_quirk_mf_endpoint_acs() */
	MULTI(0x177d, 0xa026, 0xa026),
	MULTI(0x177d, 0xa059, 0xa059),
	MULTI(0x177d, 0xa060, 0xa060),
	/* APM X-Gene, Ampere root ports: pci_quirk_xgene_acs() */
	QUIRK(0x10e8, 0xe004, 0xe004, ANY_TYPE, UP),
	QUIRK(0x1def, 0xe005, 0xe00c, ANY_TYPE, UP),
	/* Broadcom: pci_quirk_mf_endpoint_acs(), pci_quirk_brcm_acs() */
	MULTI(0x14e4, 0x16d7, 0x16d7),
	MULTI(0x14e4, 0x1750, 0x1752),
	MULTI(0x14e4, 0x1760, 0x1763),
	QUIRK(0x14e4, 0xd714, 0xd714, ANY_TYPE, UP),
	/* Loongson root ports: pci_quirk_loongson_acs() */
	{ 0x0014, 0x3c09, 0x3c29, 16, P2PDMA_QUIRK_ALWAYS, ANY_TYPE, UP },
	{ 0x0014, 0x7a09, 0x7a69, 16, P2PDMA_QUIRK_ALWAYS, ANY_TYPE, UP },
	/* Amazon Annapurna Labs root ports: pci_quirk_al_acs() */
	QUIRK(0x1c36, 0x0031, 0x0031, ROOT_PORT, UP),
	/* Zhaoxin functions: pci_quirk_mf_endpoint_acs() */
	MULTI(0x1d17, 0x3038, 0x3038),
	MULTI(0x1d17, 0x3104, 0x3104),
	MULTI(0x1d17, 0x9083, 0x9083),
	/* NXP root ports: pci_quirk_nxp_rp_acs() */
	QUIRK(0x1957, 0x8d80, 0x8d83, ANY_TYPE, UP),
	QUIRK(0x1957, 0x8d88, 0x8d8b, ANY_TYPE, UP),
	QUIRK(0x1957, 0x8d90, 0x8d93, ANY_TYPE, UP),
	QUIRK(0x1957, 0x8d98, 0x8d9b, ANY_TYPE, UP),
	QUIRK(0x1957, 0x8da0, 0x8da1, ANY_TYPE, UP),
	QUIRK(0x1957, 0x8da8, 0x8da9, ANY_TYPE, UP),
	QUIRK(0x1957, 0x8db0, 0x8db1, ANY_TYPE, UP),
	QUIRK(0x1957, 0x8db8, 0x8db9, ANY_TYPE, UP),
	/* Zhaoxin ports: pci_quirk_zhaoxin_pcie_ports_acs() */
	QUIRK(0x1d17, 0x0710, 0x071e, PORT, UP),
	QUIRK(0x1d17, 0x0721, 0x0721, PORT, UP),
	QUIRK(0x1d17, 0x0723, 0x0752, PORT, UP),
	/* Wangxun network functions: pci_quirk_wangxun_nic_acs() */
	MULTI(0x8088, 0x0100, 0x010f),
	MULTI(0x8088, 0x1001, 0x1001),
	MULTI(0x8088, 0x2001, 0x2001),
	MULTI(0x8088, 0x5010, 0x5010),
	MULTI(0x8088, 0x5025, 0x5025),
	MULTI(0x8088, 0x5040, 0x5040),
	MULTI(0x8088, 0x5110, 0x5110),
	MULTI(0x8088, 0x5125, 0x5125),
	MULTI(0x8088, 0x5140, 0x5140),
};

static bool p2pdma_quirk_matches(const struct p2pdma_quirk *quirk, u16 vendor,
				 u16 device, int type)
{
	return quirk->vendor == vendor && device >= quirk->first &&
	       device <= quirk->last &&
	       !((device - quirk->first) % quirk->step) &&
	       quirk->types & BIT(type < 0 ? P2PDMA_TYPE_CONVENTIONAL : type);
}

/**
 * p2pdma_known_quirk - look a function with a quirk up
 * @vendor: vendor ID of the function
 * @device: device ID of the function
 * @type: PCI_EXP_TYPE_* of the function, negative for conventional PCI
 *
 * Context: Any.
 * Return: the quirk, whose condition the caller has to check, or NULL.
 */
const struct p2pdma_quirk *p2pdma_known_quirk(u16 vendor, u16 device, int type)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p2pdma_quirk_table); i++)
		if (p2pdma_quirk_matches(&p2pdma_quirk_table[i], vendor,
					 device, type))
			return &p2pdma_quirk_table[i];
	return NULL;
}

/**
 * p2pdma_capability_word - a capability in one word
 * @capability: the capability
 *
 * Context: Any.
 * Return: the word, or NULL for a number that is no capability.
 */
const char *p2pdma_capability_word(enum p2pdma_capability capability)
{
	static const char * const words[] = {
		[P2PDMA_UNLISTED] = "unlisted",
		[P2PDMA_LISTED_SAME] = "listed-same-bridge",
		[P2PDMA_LISTED] = "listed",
		[P2PDMA_CPU] = "cpu",
	};

	return capability < ARRAY_SIZE(words) ? words[capability] : NULL;
}

/**
 * p2pdma_policy_word - a policy in one word
 * @policy: the policy
 *
 * Context: Any.
 * Return: the word, or NULL for a number that is no policy.
 */
const char *p2pdma_policy_word(enum p2pdma_policy policy)
{
	static const char * const words[] = {
		[P2PDMA_POLICY_AUTO] = "auto",
		[P2PDMA_POLICY_ALLOW] = "allow",
		[P2PDMA_POLICY_DENY] = "deny",
	};

	return policy < ARRAY_SIZE(words) ? words[policy] : NULL;
}
