// SPDX-License-Identifier: GPL-2.0
/*
 * A driver that frees peer memory wrongly, in many ways.
 *
 *	cd /sys/module/p2pdma_slip/parameters
 *	echo 0000:03:00.0 twice0 > slip		# provider, kind of mistake
 *
 * The kernel must warn once, name this module, and stay intact.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/pci-p2pdma.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

/* Of the pool's bitmap: a bit, a part of a word, a word, more than a word. */
static const size_t slip_sizes[] = { SZ_4K, SZ_64K, SZ_256K, SZ_256K + SZ_4K };

static int slip_twice(struct pci_dev *provider, size_t size)
{
	void *memory = pci_p2pmem_alloc(provider, size);

	if (!memory)
		return -ENOMEM;
	pci_p2pmem_free(provider, memory, size);
	pci_p2pmem_free(provider, memory, size);
	return 0;
}

/* The second of two pages is free already. */
static int slip_half(struct pci_dev *provider)
{
	void *memory = pci_p2pmem_alloc(provider, SZ_8K);

	if (!memory)
		return -ENOMEM;
	pci_p2pmem_free(provider, memory + SZ_4K, SZ_4K);
	pci_p2pmem_free(provider, memory, SZ_8K);
	pci_p2pmem_free(provider, memory, SZ_4K);
	return 0;
}

static int slip_misaligned(struct pci_dev *provider)
{
	void *memory = pci_p2pmem_alloc(provider, SZ_4K);

	if (!memory)
		return -ENOMEM;
	pci_p2pmem_free(provider, memory + 8, SZ_4K - 8);
	pci_p2pmem_free(provider, memory, SZ_4K);
	return 0;
}

static int slip_endless(struct pci_dev *provider)
{
	void *memory = pci_p2pmem_alloc(provider, SZ_4K);

	if (!memory)
		return -ENOMEM;
	pci_p2pmem_free(provider, memory, SIZE_MAX);
	pci_p2pmem_free(provider, memory, SZ_4K);
	return 0;
}

static int slip_foreign(struct pci_dev *provider)
{
	void *page = (void *)get_zeroed_page(GFP_KERNEL);

	if (!page)
		return -ENOMEM;
	pci_p2pmem_free(provider, page, SZ_4K);
	free_page((unsigned long)page);
	return 0;
}

static int slip_list(struct pci_dev *provider)
{
	struct scatterlist *sgl = pci_p2pmem_alloc_sgl_contig(provider, SZ_64K);

	if (!sgl)
		return -ENOMEM;
	pci_p2pmem_free(provider, sg_virt(sgl), SZ_64K);
	pci_p2pmem_free_sgl(provider, sgl);
	return 0;
}

/* An entry with an offset into the first page. */
static int slip_offset(struct pci_dev *provider, u32 size)
{
	struct scatterlist *sgl = pci_p2pmem_alloc_sgl_contig(provider, size);
	void *memory;

	if (!sgl)
		return -ENOMEM;
	memory = sg_virt(sgl);
	sgl->offset = 512;
	pci_p2pmem_free_sgl(provider, sgl);
	pci_p2pmem_free(provider, memory, size);
	return 0;
}

static int slip_do(struct pci_dev *provider, const char *what)
{
	int index;

	if (sscanf(what, "twice%d", &index) == 1 && index >= 0 && index < ARRAY_SIZE(slip_sizes))
		return slip_twice(provider, slip_sizes[index]);
	if (!strcmp(what, "half"))
		return slip_half(provider);
	if (!strcmp(what, "misaligned"))
		return slip_misaligned(provider);
	if (!strcmp(what, "endless"))
		return slip_endless(provider);
	if (!strcmp(what, "foreign"))
		return slip_foreign(provider);
	if (!strcmp(what, "list"))
		return slip_list(provider);
	if (!strcmp(what, "offset"))
		return slip_offset(provider, SZ_64K);
	if (!strcmp(what, "far-offset"))
		return slip_offset(provider, SZ_1M);
	return -EINVAL;
}

static int slip_set(const char *text, const struct kernel_param *param)
{
	unsigned int domain, bus, slot, func;
	struct pci_dev *provider;
	char what[16];
	int ret;

	if (sscanf(text, "%x:%x:%x.%x %15s", &domain, &bus, &slot, &func, what) != 5)
		return -EINVAL;
	provider = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
	if (!provider)
		return -ENODEV;
	ret = slip_do(provider, what);
	pci_dev_put(provider);
	return ret;
}

static const struct kernel_param_ops slip_ops = {
	.set = slip_set,
};
module_param_cb(slip, &slip_ops, NULL, 0200);
MODULE_PARM_DESC(slip, "provider, and twice0 to twice3, half, misaligned, endless, foreign, list, offset or far-offset");

static int __init slip_init(void)
{
	return 0;
}
module_init(slip_init);

static void __exit slip_exit(void)
{
}
module_exit(slip_exit);

MODULE_DESCRIPTION("Frees PCI peer memory wrongly, for tests");
MODULE_LICENSE("GPL");
