// SPDX-License-Identifier: GPL-2.0
/*
 * An out-of-tree module like a driver author's: takes the interface from
 * <linux/pci-p2pdma.h> alone, with the documented names and the names of Linux
 * 6.12 side by side.
 *
 *	insmod p2pdma_api.ko provider=0000:03:00.0 client=0000:04:00.0
 *
 * Loading succeeds only if every check holds.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/pci-p2pdma.h>
#include <linux/scatterlist.h>

#define API_SIZE	SZ_64K

static char *provider;
module_param(provider, charp, 0400);
MODULE_PARM_DESC(provider, "address of a function with published peer memory");

static char *client;
module_param(client, charp, 0400);
MODULE_PARM_DESC(client, "address of a function that can reach it");

#define API_CHECK(condition) \
	((condition) ? 0 : (pr_err("does not hold: %s\n", #condition), -EIO))

static struct pci_dev *api_function(const char *name)
{
	unsigned int domain, bus, slot, func;

	if (!name || sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
}

/* Both spellings name the same memory: each frees memory from the other. */
static int api_alloc(struct pci_dev *pdev)
{
	void *ours = pci_p2pmem_alloc(pdev, API_SIZE);
	void *stocks = pci_alloc_p2pmem(pdev, API_SIZE);
	int ret;

	ret = API_CHECK(ours) ?: API_CHECK(stocks) ?: API_CHECK(ours != stocks);
	if (!ret) {
		memset(ours, 0x11, API_SIZE);
		memset(stocks, 0x22, API_SIZE);
		ret = API_CHECK(!memchr_inv(ours, 0x11, API_SIZE)) ?:
		      API_CHECK(!memchr_inv(stocks, 0x22, API_SIZE)) ?:
		      API_CHECK(pci_p2pmem_virt_to_bus(pdev, ours)) ?:
		      API_CHECK(pci_p2pmem_virt_to_bus(pdev, ours) !=
				pci_p2pmem_virt_to_bus(pdev, stocks)) ?:
		      API_CHECK(!pci_p2pmem_virt_to_bus(pdev, &ret));
	}
	if (ours)
		pci_free_p2pmem(pdev, ours, API_SIZE);
	if (stocks)
		pci_p2pmem_free(pdev, stocks, API_SIZE);
	return ret ?: API_CHECK(!pci_p2pmem_alloc(pdev, SIZE_MAX)) ?:
		      API_CHECK(!pci_p2pmem_alloc(pdev, 0));
}

static int api_sgl(struct pci_dev *pdev)
{
	unsigned int nents = 0, i;
	struct scatterlist *sgl, *sg;
	size_t sum = 0;

	sgl = pci_p2pmem_alloc_sgl(pdev, &nents, API_SIZE);
	if (API_CHECK(sgl && nents))
		return -EIO;
	for_each_sg(sgl, sg, nents, i)
		sum += sg->length;
	pci_p2pmem_free_sgl(pdev, sgl);
	return API_CHECK(sum == API_SIZE);
}

static int api_find(struct pci_dev *pdev, struct pci_dev *peer)
{
	struct device *clients[] = { &peer->dev, &peer->dev };
	struct pci_dev *found = pci_p2pmem_find(&peer->dev);
	int ret;

	ret = API_CHECK(found == pdev);
	pci_dev_put(found);
	found = pci_p2pmem_find_many(clients, ARRAY_SIZE(clients));
	ret = ret ?: API_CHECK(found == pdev);
	pci_dev_put(found);
	return ret ?: API_CHECK(pci_p2pdma_distance(pdev, &peer->dev, true) > 0) ?:
		      API_CHECK(pci_p2pdma_distance(pdev, &pdev->dev, true) == 0) ?:
		      API_CHECK(pci_p2pdma_distance_many(pdev, clients, 0, true) < 0) ?:
		      API_CHECK(pci_p2pdma_distance_many(pdev, clients, 2, true) ==
				2 * pci_p2pdma_distance(pdev, &peer->dev, true));
}

static int __init api_init(void)
{
	struct pci_dev *pdev = api_function(provider), *peer = api_function(client);
	int ret = -ENODEV;

	if (pdev && peer)
		ret = API_CHECK(pci_has_p2pmem(pdev)) ?: API_CHECK(!pci_has_p2pmem(peer)) ?:
		      api_alloc(pdev) ?: api_sgl(pdev) ?: api_find(pdev, peer);
	pci_dev_put(pdev);
	pci_dev_put(peer);
	return ret;
}
module_init(api_init);

static void __exit api_exit(void)
{
}
module_exit(api_exit);

MODULE_DESCRIPTION("Uses the whole interface of PCI peer memory, for tests");
MODULE_LICENSE("GPL");
