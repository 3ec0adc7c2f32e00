// SPDX-License-Identifier: GPL-2.0
/*
 * Exports peer memory as dma-bufs, as the driver of a provider does.
 *
 *	cd /sys/module/p2pdma_exporter/parameters
 *	echo 0000:03:00.0 65536 > export	# allocate and export peer memory
 *	cat export				# the file descriptor
 *	cat released				# exports given back
 */
#include <linux/dma-buf.h>
#include <linux/module.h>
#include <linux/pci-p2pdma.h>
#include <linux/slab.h>

static struct pci_dev *exporter_function(const char *name)
{
	unsigned int domain, bus, slot, func;

	if (sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
}

/**
 * struct exporter_memory - memory that was exported
 * @provider: the provider, with a reference
 * @addr: kernel address
 * @size: number of bytes
 */
struct exporter_memory {
	struct pci_dev *provider;
	void *addr;
	size_t size;
};

static int exporter_fd = -1;
static atomic_t exporter_released;

static void exporter_free(struct exporter_memory *export)
{
	pci_p2pmem_free(export->provider, export->addr, export->size);
	pci_dev_put(export->provider);
	kfree(export);
}

static void exporter_release(void *data)
{
	might_sleep();
	exporter_free(data);
	atomic_inc(&exporter_released);
}

/* Consumes @export. */
static int exporter_export_memory(struct exporter_memory *export)
{
	struct dma_buf *buf;

	export->addr = pci_p2pmem_alloc(export->provider, export->size);
	buf = !export->addr ? ERR_PTR(-ENOMEM) :
	      pci_p2pmem_export(export->provider, export->addr, export->size,
				O_RDWR, exporter_release, export);
	if (IS_ERR(buf)) {
		exporter_free(export);
		return PTR_ERR(buf);
	}
	exporter_fd = dma_buf_fd(buf, O_CLOEXEC);
	if (exporter_fd >= 0)
		return 0;
	/* Releases the export. */
	dma_buf_put(buf);
	return exporter_fd;
}

static int exporter_export(const char *text, const struct kernel_param *param)
{
	struct exporter_memory *export;
	char name[32];
	size_t size;

	if (sscanf(text, "%31s %zu", name, &size) != 2)
		return -EINVAL;
	export = kzalloc(sizeof(*export), GFP_KERNEL);
	if (!export)
		return -ENOMEM;
	export->provider = exporter_function(name);
	export->size = size;
	if (export->provider)
		return exporter_export_memory(export);
	kfree(export);
	return -ENODEV;
}

static int exporter_exported(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "%d\n", exporter_fd);
}

static const struct kernel_param_ops exporter_export_ops = {
	.set = exporter_export,
	.get = exporter_exported,
};
module_param_cb(export, &exporter_export_ops, NULL, 0600);
MODULE_PARM_DESC(export, "write provider and bytes, read the file descriptor");

static int exporter_releases(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "%d\n", atomic_read(&exporter_released));
}

static const struct kernel_param_ops exporter_released_ops = {
	.get = exporter_releases,
};
module_param_cb(released, &exporter_released_ops, NULL, 0400);
MODULE_PARM_DESC(released, "number of exports that were given back");

MODULE_DESCRIPTION("Exporter of peer memory for tests");
MODULE_IMPORT_NS(DMA_BUF);
MODULE_LICENSE("GPL");
