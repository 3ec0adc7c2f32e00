// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: the directory p2pmem/ of a provider
 *
 * Documented in Documentation/ABI/testing/sysfs-bus-pci-devices-p2pmem.
 */
#include <kunit/static_stub.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pci-p2pdma.h>
#include <linux/sched/signal.h>
#include <linux/sysfs.h>

#include "p2pdma.h"

static struct pci_p2pdma *p2pdma_of(struct device *dev)
{
	return rcu_dereference(to_pci_dev(dev)->p2pdma);
}

static ssize_t size_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct pci_p2pdma *p2pdma;
	size_t size = 0;

	scoped_guard(rcu) {
		p2pdma = p2pdma_of(dev);
		if (p2pdma)
			size = p2pdma_pool_size(p2pdma->pool);
	}
	return sysfs_emit(buf, "%zu\n", size);
}
static DEVICE_ATTR_RO(size);

static ssize_t available_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct pci_p2pdma *p2pdma;
	size_t available = 0;

	scoped_guard(rcu) {
		p2pdma = p2pdma_of(dev);
		if (p2pdma)
			available = p2pdma_available(p2pdma);
	}
	return sysfs_emit(buf, "%zu\n", available);
}
static DEVICE_ATTR_RO(available);

static ssize_t published_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", pci_has_p2pmem(to_pci_dev(dev)));
}
static DEVICE_ATTR_RO(published);

/*
 * Put a run of pages into the page tables of a mapping that is being made. A page belongs to the
 * mapping from then on: it goes back to the pool when its last reference does, which may be a pin
 * that outlives the mapping. Of a run that could not be inserted the rest goes back here; what was
 * inserted goes with the mapping, which the caller gives up.
 */
static int p2pmem_insert_run(struct pci_p2pdma *p2pdma, struct vm_area_struct *vma,
			     unsigned long start, void *addr, size_t size)
{
	struct page *page;
	size_t done;
	int ret;

	for (done = 0; done < size; done += PAGE_SIZE) {
		page = virt_to_page(addr + done);
		ret = vm_insert_page(vma, start + done, page);
		if (ret) {
			p2pdma_pool_free(p2pdma->pool, addr + done, size - done);
			return ret;
		}
		/* From the pool it came with one reference, now the page table has its own. */
		put_page(page);
		cond_resched();
	}
	return 0;
}

/* The previous owner's bytes are nobody's business. */
static void p2pmem_clear(void *addr, size_t size)
{
	memset_io((void __iomem __force *)addr, 0, size);
}

/*
 * User space needs no contiguous memory. Long runs are quicker to get, so start with one of the
 * whole length and halve it whenever there is none.
 */
static int p2pmem_map(struct pci_p2pdma *p2pdma, struct vm_area_struct *vma)
{
	unsigned long start = vma->vm_start;
	size_t run = vma->vm_end - start;
	void *addr;
	int ret;

	while (start < vma->vm_end) {
		run = min_t(size_t, run, vma->vm_end - start);
		addr = p2pdma_alloc(p2pdma, run);
		if (!addr) {
			if (run == PAGE_SIZE)
				return -ENOMEM;
			run = PAGE_ALIGN(run / 2);
			continue;
		}
		p2pmem_clear(addr, run);
		ret = p2pmem_insert_run(p2pdma, vma, start, addr, run);
		if (ret)
			return ret;
		if (fatal_signal_pending(current))
			return -EINTR;
		start += run;
	}
	return 0;
}

static int p2pmem_check_vma(struct pci_dev *pdev, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_MAYSHARE)) {
		pci_info_ratelimited(pdev, "%s: fail, attempted private mapping\n", current->comm);
		return -EINVAL;
	}
	if (vma->vm_pgoff) {
		pci_info_ratelimited(pdev, "%s: fail, attempted mapping with non-zero offset\n",
				     current->comm);
		return -EINVAL;
	}
	return 0;
}

static int allocate_mmap(struct file *file, struct kobject *kobj, struct bin_attribute *attr,
			 struct vm_area_struct *vma)
{
	struct pci_dev *pdev = to_pci_dev(kobj_to_dev(kobj));
	struct pci_p2pdma *p2pdma;
	int ret;

	ret = p2pmem_check_vma(pdev, vma);
	if (ret)
		return ret;

	/* Teardown removes this file first and that waits for us: the provider stays. */
	scoped_guard(rcu)
		p2pdma = rcu_dereference(pdev->p2pdma);
	if (!p2pdma)
		return -ENODEV;
	if (vma->vm_end - vma->vm_start > p2pdma_available(p2pdma))
		return -ENOMEM;

	/* The kernel's own mapping is uncached; a page must not be mapped in two ways. */
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP);
	return p2pmem_map(p2pdma, vma);
}

/*
 * What can be mapped has no fixed size, but some programs (Python's mmap module is one) compare
 * the length of a mapping with the size of the file.
 */
#define P2PMEM_ALLOCATE_SIZE	SZ_1T

static struct bin_attribute allocate_attr = {
	.attr = { .name = "allocate", .mode = 0660 },
	.mmap = allocate_mmap,
	.size = P2PMEM_ALLOCATE_SIZE,
};

static struct attribute *p2pmem_attrs[] = {
	&dev_attr_size.attr,
	&dev_attr_available.attr,
	&dev_attr_published.attr,
	NULL
};

static const struct attribute_group p2pmem_group = {
	.name = "p2pmem",
	.attrs = p2pmem_attrs,
};

static struct bin_attribute *p2pmem_allocate_attrs[] = {
	&allocate_attr,
	NULL
};

/* In the same directory, but it comes and goes without the other files. */
static const struct attribute_group p2pmem_allocate_group = {
	.name = "p2pmem",
	.bin_attrs = p2pmem_allocate_attrs,
};

/**
 * p2pdma_sysfs_add - make the directory p2pmem/ of a provider
 * @p2pdma: the provider
 *
 * Context: May sleep. The caller holds p2pdma_mutex.
 * Return: 0 or a negative errno.
 */
int p2pdma_sysfs_add(struct pci_p2pdma *p2pdma)
{
	KUNIT_STATIC_STUB_REDIRECT(p2pdma_sysfs_add, p2pdma);
	return sysfs_create_group(&p2pdma->pdev->dev.kobj, &p2pmem_group);
}

/**
 * p2pdma_sysfs_remove - remove what p2pdma_sysfs_add() made
 * @p2pdma: the provider
 *
 * Context: May sleep; waits for readers. The caller holds p2pdma_mutex.
 */
void p2pdma_sysfs_remove(struct pci_p2pdma *p2pdma)
{
	sysfs_remove_group(&p2pdma->pdev->dev.kobj, &p2pmem_group);
}

/**
 * p2pdma_sysfs_add_allocate - let user space map peer memory
 * @p2pdma: the provider
 *
 * Context: May sleep. The caller holds p2pdma_mutex.
 * Return: 0, also if it was there already, or a negative errno.
 */
int p2pdma_sysfs_add_allocate(struct pci_p2pdma *p2pdma)
{
	int ret;

	KUNIT_STATIC_STUB_REDIRECT(p2pdma_sysfs_add_allocate, p2pdma);
	if (p2pdma->allocate_file)
		return 0;
	ret = sysfs_update_group(&p2pdma->pdev->dev.kobj, &p2pmem_allocate_group);
	p2pdma->allocate_file = !ret;
	return ret;
}

/**
 * p2pdma_sysfs_remove_allocate - end all user mappings and let no new one begin
 * @p2pdma: the provider
 *
 * Context: May sleep; waits for mappings in the making. The caller holds p2pdma_mutex.
 */
void p2pdma_sysfs_remove_allocate(struct pci_p2pdma *p2pdma)
{
	if (!p2pdma->allocate_file)
		return;
	sysfs_remove_file_from_group(&p2pdma->pdev->dev.kobj, &allocate_attr.attr,
				     p2pmem_group.name);
	p2pdma->allocate_file = false;
}
