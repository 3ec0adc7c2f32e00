// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer memory from any BAR
 *
 * For functions with memory that peers may use without preparation: cards with
 * NVRAM, windows of FPGAs, shared memory of virtual machines. The driver has no
 * table of devices and binds to nothing unless an administrator names a
 * function:
 *
 *	echo pci_p2pmem > /sys/bus/pci/devices/0000:03:00.0/driver_override
 *	echo 0000:03:00.0 > /sys/bus/pci/drivers/pci_p2pmem/bind
 *
 * Probe registers and publishes the BARs named by the parameter "bars", or the
 * largest 64-bit prefetchable memory BAR. If a BAR is unusable, probe fails and
 * registers nothing.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitops.h>
#include <linux/memremap.h>
#include <linux/module.h>
#include <linux/pci-p2pdma.h>
#include <linux/pci.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "p2pdma-words.h"

#define P2PMEM_MAX_CHOICES	32

/**
 * struct p2pmem_choice - one word of the parameter "bars"
 * @domain: PCI domain of the function
 * @bus: bus number of the function
 * @devfn: device and function number
 * @bar: index of the BAR to register
 * @any: the word is for every function without a word of its own
 */
struct p2pmem_choice {
	u32 domain;
	u8 bus;
	u8 devfn;
	u8 bar;
	bool any;
};

/**
 * struct p2pmem_choices - the parameter "bars"
 * @nr: number of words in @choice
 * @choice: the words, in the order of the parameter
 */
struct p2pmem_choices {
	unsigned int nr;
	struct p2pmem_choice choice[P2PMEM_MAX_CHOICES];
};

/* Written while parameters are locked. */
static struct p2pmem_choices p2pmem_choices;

/* Returns the number of characters of the word, or -EINVAL. */
static int p2pmem_parse_choice(const char *word, struct p2pmem_choice *choice)
{
	int length = strcspn(word, "/,\n"), bar;
	u16 rid;

	choice->any = word[length] != '/';
	if (choice->any) {
		length = 0;
	} else {
		if (!p2pdma_parse_function(word, length, &choice->domain, &rid))
			return -EINVAL;
		choice->bus = PCI_BUS_NUM(rid);
		choice->devfn = rid & U8_MAX;
		length++;
	}
	bar = word[length] - '0';
	if (bar < PCI_STD_RESOURCES || bar > PCI_STD_RESOURCE_END)
		return -EINVAL;
	choice->bar = bar;
	return length + 1;
}

static int p2pmem_parse(const char *text, struct p2pmem_choices *choices)
{
	int length;

	while (*text && *text != '\n') {
		if (choices->nr == P2PMEM_MAX_CHOICES)
			return -E2BIG;
		length = p2pmem_parse_choice(text,
					     &choices->choice[choices->nr]);
		if (length < 0)
			return length;
		choices->nr++;
		text += length;
		if (*text == ',' && text[1] && text[1] != '\n')
			text++;
		else if (*text && *text != '\n')
			return -EINVAL;
	}
	return *text && text[1] ? -EINVAL : 0;
}

/* The kernel's command line is parsed before memory can be allocated. */
static int p2pmem_set_bars(const char *text, const struct kernel_param *param)
{
	struct p2pmem_choices choices = {};
	int ret;

	ret = p2pmem_parse(text, &choices);
	if (ret) {
		pr_err("bars: '%.*s': wanted are up to %u of BAR or DOMAIN:BUS:DEVICE.FUNCTION/BAR, with commas in between\n",
		       (int)strcspn(text, "\n"), text, P2PMEM_MAX_CHOICES);
		return ret;
	}
	p2pmem_choices = choices;
	return 0;
}

static int p2pmem_get_bars(char *text, const struct kernel_param *param)
{
	const struct p2pmem_choice *choice;
	unsigned int i;
	int pos = 0;

	for (i = 0; i < p2pmem_choices.nr; i++) {
		choice = &p2pmem_choices.choice[i];
		if (i)
			pos += sysfs_emit_at(text, pos, ",");
		if (!choice->any)
			pos += sysfs_emit_at(text, pos, "%04x:%02x:%02x.%x/",
					     choice->domain, choice->bus,
					     PCI_SLOT(choice->devfn),
					     PCI_FUNC(choice->devfn));
		pos += sysfs_emit_at(text, pos, "%u", choice->bar);
	}
	return pos + sysfs_emit_at(text, pos, "\n");
}

static const struct kernel_param_ops p2pmem_bars_ops = {
	.set = p2pmem_set_bars,
	.get = p2pmem_get_bars,
};
module_param_cb(bars, &p2pmem_bars_ops, NULL, 0644);
MODULE_PARM_DESC(bars, "BARs to publish, as BAR or DOMAIN:BUS:DEVICE.FUNCTION/BAR, with commas in between (default: the largest 64-bit prefetchable memory BAR)");

static bool p2pmem_is_about(const struct p2pmem_choice *choice,
			    struct pci_dev *pdev)
{
	return !choice->any && choice->domain == pci_domain_nr(pdev->bus) &&
	       choice->bus == pdev->bus->number && choice->devfn == pdev->devfn;
}

/* Returns a bit for each BAR that the parameter names for this function. */
static unsigned long p2pmem_chosen_bars(struct pci_dev *pdev)
{
	unsigned long own = 0, any = 0;
	struct p2pmem_choice *choice;
	unsigned int i;

	kernel_param_lock(THIS_MODULE);
	for (i = 0; i < p2pmem_choices.nr; i++) {
		choice = &p2pmem_choices.choice[i];
		if (choice->any)
			any |= BIT(choice->bar);
		else if (p2pmem_is_about(choice, pdev))
			own |= BIT(choice->bar);
	}
	kernel_param_unlock(THIS_MODULE);
	return own ?: any;
}

static unsigned long p2pmem_largest_bar(struct pci_dev *pdev)
{
	const unsigned long wanted = IORESOURCE_MEM | IORESOURCE_MEM_64 |
				     IORESOURCE_PREFETCH;
	resource_size_t largest = 0;
	unsigned long bars = 0;
	int bar;

	for (bar = PCI_STD_RESOURCES; bar <= PCI_STD_RESOURCE_END; bar++) {
		if ((pci_resource_flags(pdev, bar) & wanted) != wanted ||
		    pci_resource_len(pdev, bar) <= largest)
			continue;
		largest = pci_resource_len(pdev, bar);
		bars = BIT(bar);
	}
	return bars;
}

/* A peer that writes to the MSI-X table could raise any interrupt. */
static bool p2pmem_holds_msix(struct pci_dev *pdev, int bar)
{
	static const int places[] = { PCI_MSIX_TABLE, PCI_MSIX_PBA };
	unsigned int i;
	u32 place;

	for (i = 0; pdev->msix_cap && i < ARRAY_SIZE(places); i++) {
		pci_read_config_dword(pdev, pdev->msix_cap + places[i], &place);
		if ((place & PCI_MSIX_TABLE_BIR) == bar)
			return true;
	}
	return false;
}

/* Returns a reason against a BAR as peer memory, or NULL. */
static const char *p2pmem_objection(struct pci_dev *pdev, int bar)
{
	unsigned long flags = pci_resource_flags(pdev, bar);

	if (!pci_resource_len(pdev, bar))
		return "it is not there";
	if (flags & IORESOURCE_IO)
		return "it has I/O ports, no memory";
	if (flags & (IORESOURCE_UNSET | IORESOURCE_DISABLED))
		return "it has no address";
	if (p2pmem_holds_msix(pdev, bar))
		return "it holds the table of interrupt messages";
	if (pci_resource_len(pdev, bar) < memremap_compat_align())
		return "it is too small";
	return NULL;
}

static int p2pmem_claim(struct pci_dev *pdev, int bar)
{
	const char *objection = p2pmem_objection(pdev, bar);
	int ret;

	if (objection) {
		pci_err(pdev, "BAR %d cannot be peer memory: %s\n", bar,
			objection);
		return -EINVAL;
	}
	ret = pcim_request_region(pdev, bar, KBUILD_MODNAME);
	if (ret) {
		pci_err(pdev, "BAR %d cannot be peer memory: somebody else has claimed %pR\n",
			bar, pci_resource_n(pdev, bar));
		return ret;
	}
	if (!(pci_resource_flags(pdev, bar) & IORESOURCE_PREFETCH))
		pci_notice(pdev, "BAR %d is not prefetchable: make sure that reading it changes nothing\n",
			   bar);
	return 0;
}

/* On error, devres undoes @function for earlier BARs. */
static int p2pmem_for_each(struct pci_dev *pdev, unsigned long bars,
			   int (*function)(struct pci_dev *pdev, int bar))
{
	unsigned int bar;
	int ret;

	for_each_set_bit(bar, &bars, PCI_STD_NUM_BARS) {
		ret = function(pdev, bar);
		if (ret)
			return ret;
	}
	return 0;
}

static int p2pmem_add(struct pci_dev *pdev, int bar)
{
	return pci_p2pdma_add_resource(pdev, bar, 0, 0);
}

static int p2pmem_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	unsigned long bars;
	int ret;

	if (pdev->hdr_type != PCI_HEADER_TYPE_NORMAL) {
		pci_err(pdev, "a bridge cannot be a provider of peer memory\n");
		return -EINVAL;
	}
	bars = p2pmem_chosen_bars(pdev) ?: p2pmem_largest_bar(pdev);
	if (!bars) {
		pci_err(pdev, "no 64-bit prefetchable memory BAR; the parameter bars can name another one\n");
		return -EINVAL;
	}
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = p2pmem_for_each(pdev, bars, p2pmem_claim) ?:
	      p2pmem_for_each(pdev, bars, p2pmem_add);
	if (ret)
		return ret;
	pci_p2pmem_publish(pdev, true);
	return 0;
}

/* No remove(): devres undoes probe, after the last user of the memory. */
static struct pci_driver p2pmem_driver = {
	.name = "pci_p2pmem",
	.probe = p2pmem_probe,
};
module_pci_driver(p2pmem_driver);

MODULE_DESCRIPTION("Publishes any BAR as PCI peer memory");
MODULE_LICENSE("GPL");
