// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite p2pdma_hosts: the table of quirks against the kernel's own quirks
 *
 * The kernel asks pci_dev_specific_acs_enabled(), the command looks functions
 * up in a table. Both have to agree on every vendor and device ID. Exempt are
 * AMD's quirks for machines whose firmware describes an IOMMU.
 */

#include <kunit/test.h>

#include <linux/pci.h>

#include "../p2pdma-hosts.h"
#include "../pci.h"

#define UP	(PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF)

/**
 * struct fake - a function with the fields that quirks read
 * @pdev: the function
 * @bus: root bus of the function
 * @ops: configuration accesses; reads return UP, all controls on
 */
struct fake {
	struct pci_dev pdev;
	struct pci_bus bus;
	struct pci_ops ops;
};

static int read_ones(struct pci_bus *bus, unsigned int devfn, int where,
		     int size, u32 *val)
{
	*val = UP;
	return PCIBIOS_SUCCESSFUL;
}

static struct fake *fake_add(struct kunit *test)
{
	struct fake *fake = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fake);
	fake->ops.read = read_ones;
	fake->bus.ops = &fake->ops;
	fake->pdev.bus = &fake->bus;
	fake->pdev.multifunction = 1;
	fake->pdev.acs_cap = 0x100;
	/* Set by the kernel after disabling peer decoding of a PCH. */
	fake->pdev.dev_flags = PCI_DEV_FLAGS_ACS_ENABLED_QUIRK;
	return fake;
}

static u16 kernel_says(struct fake *fake, u16 vendor, u16 device, int type)
{
	fake->pdev.vendor = vendor;
	fake->pdev.device = device;
	fake->pdev.pcie_cap = type < 0 ? 0 : 0x40;
	fake->pdev.pcie_flags_reg = type < 0 ? 0 : type << 4;
	return pci_dev_specific_acs_enabled(&fake->pdev, UP) > 0 ? UP : 0;
}

static u16 table_says(u16 vendor, u16 device, int type)
{
	const struct p2pdma_quirk *quirk;

	quirk = p2pdma_known_quirk(vendor, device, type);
	if (!quirk)
		return 0;
	return quirk->controls == P2PDMA_ACS_WIDE ? UP : quirk->controls;
}

static bool depends_on_firmware(u16 vendor, u16 device)
{
	const struct p2pdma_quirk *quirk =
		p2pdma_known_quirk(vendor, device, -1);

	return quirk && quirk->condition == P2PDMA_QUIRK_AMD_IOMMU;
}

static void compare(struct kunit *test, struct fake *fake, u16 vendor,
		    u16 device, int type)
{
	u16 kernel = kernel_says(fake, vendor, device, type);
	u16 table = table_says(vendor, device, type);

	if (kernel != table && !depends_on_firmware(vendor, device))
		KUNIT_FAIL(test, "%04x:%04x, type %d: kernel %#x, table %#x",
			   vendor, device, type, kernel, table);
}

/* Every ID as a root port; IDs with a quirk, and the next ID, as every type. */
static void quirks_of_vendor(struct kunit *test)
{
	static const int types[] = {
		-1, PCI_EXP_TYPE_ENDPOINT, PCI_EXP_TYPE_UPSTREAM,
		PCI_EXP_TYPE_DOWNSTREAM, PCI_EXP_TYPE_RC_END,
	};
	u16 vendor = *(const u16 *)test->param_value, kernel, before = 0;
	struct fake *fake = fake_add(test);
	int device, i;

	for (device = 0; device <= U16_MAX; device++) {
		compare(test, fake, vendor, device, PCI_EXP_TYPE_ROOT_PORT);
		kernel = kernel_says(fake, vendor, device,
				     PCI_EXP_TYPE_ROOT_PORT);
		for (i = 0; i < ARRAY_SIZE(types) && (kernel || before); i++)
			compare(test, fake, vendor, device, types[i]);
		before = kernel;
	}
}

static const u16 vendors[] = {
	0x0014, 0x1002, 0x1022, 0x10de, 0x10df, 0x10e8, 0x14e4, 0x177d, 0x17cb,
	0x1924, 0x1957, 0x19a2, 0x1c36, 0x1d17, 0x1dbf, 0x1def, 0x8086, 0x8088,
};

static void vendor_desc(const u16 *vendor, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "vendor %04x", *vendor);
}

KUNIT_ARRAY_PARAM(vendor, vendors, vendor_desc);

/* AMD processors since family 0x17 are the only known processors. */
static void cpus(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, p2pdma_known_cpu("AuthenticAMD", 0x17));
	KUNIT_EXPECT_TRUE(test, p2pdma_known_cpu("AuthenticAMD", 0x1a));
	KUNIT_EXPECT_FALSE(test, p2pdma_known_cpu("AuthenticAMD", 0x16));
	KUNIT_EXPECT_FALSE(test, p2pdma_known_cpu("HygonGenuine", 0x18));
	KUNIT_EXPECT_FALSE(test, p2pdma_known_cpu("GenuineIntel", 0x17));
}

static void words(struct kunit *test)
{
	KUNIT_EXPECT_STREQ(test, p2pdma_policy_word(P2PDMA_POLICY_DENY),
			   "deny");
	KUNIT_EXPECT_NULL(test, p2pdma_policy_word(P2PDMA_POLICY_DENY + 1));
	KUNIT_EXPECT_STREQ(test, p2pdma_capability_word(P2PDMA_CPU), "cpu");
	KUNIT_EXPECT_NULL(test, p2pdma_capability_word(P2PDMA_CPU + 1));
}

static struct kunit_case hosts_cases[] = {
	KUNIT_CASE_PARAM_ATTR(quirks_of_vendor, vendor_gen_params,
			      { .speed = KUNIT_SPEED_SLOW }),
	KUNIT_CASE(cpus),
	KUNIT_CASE(words),
	{}
};

static struct kunit_suite p2pdma_hosts_suite = {
	.name = "p2pdma_hosts",
	.test_cases = hosts_cases,
};

kunit_test_suite(p2pdma_hosts_suite);

MODULE_DESCRIPTION("KUnit: the table of quirks against the kernel's quirks");
MODULE_LICENSE("GPL");
