// SPDX-License-Identifier: GPL-2.0
/*
 * Claims a page of a BAR while loaded, like a driver using a piece of another
 * driver's device.
 *
 *	insmod p2pdma_claim.ko function=0000:03:00.0 bar=2
 */
#include <linux/module.h>
#include <linux/pci.h>

static char *function;
module_param(function, charp, 0400);
MODULE_PARM_DESC(function, "address of the function");

static unsigned int bar;
module_param(bar, uint, 0400);
MODULE_PARM_DESC(bar, "number of the BAR");

static struct resource *claim_page;

static int __init claim_init(void)
{
	unsigned int domain, bus, slot, func;
	struct pci_dev *pdev = NULL;

	if (function && sscanf(function, "%x:%x:%x.%x", &domain, &bus, &slot, &func) == 4)
		pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
	if (!pdev)
		return -ENODEV;
	if (bar <= PCI_STD_RESOURCE_END && pci_resource_len(pdev, bar) >= PAGE_SIZE)
		claim_page = request_mem_region(pci_resource_start(pdev, bar), PAGE_SIZE,
						KBUILD_MODNAME);
	pci_dev_put(pdev);
	return claim_page ? 0 : -EBUSY;
}
module_init(claim_init);

static void __exit claim_exit(void)
{
	release_mem_region(claim_page->start, PAGE_SIZE);
}
module_exit(claim_exit);

MODULE_DESCRIPTION("Claims a piece of a BAR, for tests");
MODULE_LICENSE("GPL");
