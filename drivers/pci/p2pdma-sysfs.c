// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: the directory p2pmem/ of a provider, and p2pdma/peers of a function
 *
 * Documented in Documentation/ABI/testing/sysfs-bus-pci-p2pdma.
 */
#include <kunit/static_stub.h>
#include <linux/cleanup.h>
#include <linux/device/bus.h>
#include <linux/io.h>
#include <linux/kernfs.h>
#include <linux/mm.h>
#include <linux/pci-p2pdma.h>
#include <linux/sched/signal.h>
#include <linux/seq_buf.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/sysfs.h>

#include "p2pdma-private.h"

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
 * Put a run of pages into the page tables of a mapping that is being made. Of a run that could not
 * be inserted, what was inserted goes with the mapping, which the caller gives up.
 */
static int p2pmem_insert_run(struct vm_area_struct *vma, unsigned long start, void *addr,
			     size_t size)
{
	size_t done;
	int ret = 0;

	for (done = 0; done < size && !ret; done += PAGE_SIZE) {
		ret = vm_insert_page(vma, start + done, virt_to_page(addr + done));
		cond_resched();
	}
	return ret;
}

/* The previous owner's bytes are nobody's business. */
static void p2pmem_clear(void *addr, size_t size)
{
	memset_io((void __iomem __force *)addr, 0, size);
}

/*
 * Allocate what a mapping can own: whole units, see p2pdma-pages.c. @size is what it needs; set to
 * what it got, which may be less or more.
 */
static void *p2pmem_alloc_run(struct pci_p2pdma *p2pdma, size_t *size)
{
	size_t wanted = *size, unit;
	void *addr;

	for (;;) {
		unit = READ_ONCE(p2pdma->unit);
		*size = unit > PAGE_SIZE ? unit : wanted;
		if (unit > PAGE_SIZE)
			addr = p2pdma_alloc_aligned(p2pdma, unit, unit);
		else
			addr = p2pdma_alloc_upto(p2pdma, size);
		if (!addr || p2pdma_unit(p2pdma_region_of(virt_to_page(addr)->pgmap)) <= unit)
			return addr;
		/* A region with larger units has come in between, and this is from there. */
		pci_p2pmem_free(p2pdma->pdev, addr, *size);
	}
}

/*
 * User space needs no contiguous memory, but the longer the runs are, the fewer there are. Pages
 * belong to the mapping in the end: they go back to the pool when their last reference does, which
 * may be a pin that outlives the mapping.
 */
static int p2pmem_map(struct pci_p2pdma *p2pdma, struct vm_area_struct *vma)
{
	unsigned long start = vma->vm_start;
	size_t size, run;
	void *addr;
	int ret;

	/* Spare the clearing of what would have to be given back. */
	if (vma->vm_end - start > p2pdma_available(p2pdma))
		return -ENOMEM;

	for (; start < vma->vm_end; start += size) {
		run = vma->vm_end - start;
		addr = p2pmem_alloc_run(p2pdma, &run);
		if (!addr)
			return -ENOMEM;
		size = min(run, vma->vm_end - start);
		p2pmem_clear(addr, size);
		ret = p2pmem_insert_run(vma, start, addr, size);
		p2pdma_pages_disown(addr, run);
		if (ret)
			return ret;
		if (fatal_signal_pending(current))
			return -EINTR;
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
	/* The kernel's own mapping is uncached; a page must not be mapped in two ways. */
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP);
	ret = p2pmem_map(p2pdma, vma);
	if (ret == -ENOMEM)
		p2pdma_alloc_failed(p2pdma, vma->vm_end - vma->vm_start);
	return ret;
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

static ssize_t allocated_peak_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct pci_p2pdma *p2pdma;
	size_t peak = 0;

	scoped_guard(rcu) {
		p2pdma = p2pdma_of(dev);
		if (p2pdma)
			peak = p2pdma_pool_peak(p2pdma->pool);
	}
	return sysfs_emit(buf, "%zu\n", peak);
}
static DEVICE_ATTR_RO(allocated_peak);

/* @attr.var is the offset of the counter in struct p2pdma_counters. */
static ssize_t p2pmem_counter_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	size_t offset = (size_t)container_of(attr, struct dev_ext_attribute, attr)->var;
	struct pci_p2pdma *p2pdma;
	u64 sum = 0;
	int cpu;

	guard(rcu)();
	p2pdma = p2pdma_of(dev);
	if (p2pdma)
		for_each_possible_cpu(cpu)
			sum += *(u64 *)((void *)per_cpu_ptr(p2pdma->counters, cpu) + offset);
	return sysfs_emit(buf, "%llu\n", sum);
}

static struct dev_ext_attribute p2pmem_alloc_failed = {
	.attr = __ATTR(alloc_failed, 0444, p2pmem_counter_show, NULL),
	.var = (void *)offsetof(struct p2pdma_counters, alloc_failed),
};

static struct dev_ext_attribute p2pmem_mapped_bus = {
	.attr = __ATTR(mapped_bus, 0444, p2pmem_counter_show, NULL),
	.var = (void *)offsetof(struct p2pdma_counters, mapped_bus),
};

static struct dev_ext_attribute p2pmem_mapped_host = {
	.attr = __ATTR(mapped_host, 0444, p2pmem_counter_show, NULL),
	.var = (void *)offsetof(struct p2pdma_counters, mapped_host),
};

static struct dev_ext_attribute p2pmem_map_refused = {
	.attr = __ATTR(map_refused, 0444, p2pmem_counter_show, NULL),
	.var = (void *)offsetof(struct p2pdma_counters, map_refused),
};

static struct attribute *p2pmem_attrs[] = {
	&dev_attr_size.attr,
	&dev_attr_available.attr,
	&dev_attr_published.attr,
	&dev_attr_allocated_peak.attr,
	&p2pmem_alloc_failed.attr.attr,
	&p2pmem_mapped_bus.attr.attr,
	&p2pmem_mapped_host.attr.attr,
	&p2pmem_map_refused.attr.attr,
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
