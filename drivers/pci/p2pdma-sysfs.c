// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: the directory p2pmem/ of a provider, and user mappings
 *
 * Documented in Documentation/ABI/testing/sysfs-bus-pci-p2pdma.
 */

/**
 * DOC: User mapping
 *
 * 1. mmap() of the file "allocate" counts the pages as pages of users. A task
 *    without CAP_SYS_RESOURCE leaves the reserve alone.
 * 2. mmap() reserves all pages in the pool, or fails.
 * 3. mmap() takes the pages, clears every page and inserts the page into the
 *    page table. From then on, page tables and pins own the page.
 * 4. munmap(), exit or teardown remove the page from the page table. The page
 *    returns to the pool with the last reference, which may be a pin that
 *    outlives the mapping.
 *
 * The mapping leaves the file of sysfs for pci_p2pdma.file. Teardown can then
 * zap a mapping that was under construction when the file of sysfs went, and
 * write faults do not end up in the page_mkwrite() of kernfs, which never ends
 * for pages that belong to no file.
 */
#include <linux/cleanup.h>
#include <linux/ctype.h>
#include <linux/device.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/pci-p2pdma.h>
#include <linux/sched/signal.h>
#include <linux/sysfs.h>

#include "p2pdma-private.h"

/*
 * Some programs (Python's mmap module) compare the length of a mapping with the
 * size of the file, and "allocate" has no fixed size.
 */
#define P2PMEM_ALLOCATE_SIZE	SZ_1T

static struct pci_p2pdma *p2pdma_of(struct device *dev)
{
	return rcu_dereference(to_pci_dev(dev)->p2pdma);
}

static ssize_t size_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	p2pdma = p2pdma_of(dev);
	return sysfs_emit(buf, "%zu\n", p2pdma ? p2pdma_size(p2pdma) : 0);
}
static DEVICE_ATTR_RO(size);

static ssize_t available_show(struct device *dev, struct device_attribute *attr,
			      char *buf)
{
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	p2pdma = p2pdma_of(dev);
	return sysfs_emit(buf, "%zu\n", p2pdma ? p2pdma_available(p2pdma) : 0);
}
static DEVICE_ATTR_RO(available);

static ssize_t allocated_peak_show(struct device *dev,
				   struct device_attribute *attr, char *buf)
{
	struct pci_p2pdma *p2pdma;
	size_t peak;

	guard(rcu)();
	p2pdma = p2pdma_of(dev);
	peak = p2pdma ? p2pdma_pool_peak(p2pdma->pool) : 0;
	return sysfs_emit(buf, "%zu\n", peak);
}
static DEVICE_ATTR_RO(allocated_peak);

static ssize_t exported_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	struct p2pdma_region *region;
	struct pci_p2pdma *p2pdma;
	unsigned long pages = 0;

	guard(rcu)();
	p2pdma = p2pdma_of(dev);
	if (p2pdma)
		list_for_each_entry_rcu(region, &p2pdma->regions, node)
			pages += atomic_long_read(&region->exported);
	return sysfs_emit(buf, "%lu\n", pages << PAGE_SHIFT);
}
static DEVICE_ATTR_RO(exported);

static ssize_t published_show(struct device *dev, struct device_attribute *attr,
			      char *buf)
{
	return sysfs_emit(buf, "%d\n", pci_has_p2pmem(to_pci_dev(dev)));
}
static DEVICE_ATTR_RO(published);

static ssize_t reserve_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	p2pdma = p2pdma_of(dev);
	return sysfs_emit(buf, "%zu\n",
			  p2pdma ? READ_ONCE(p2pdma->reserve) : 0);
}

static ssize_t reserve_store(struct device *dev, struct device_attribute *attr,
			     const char *buf, size_t count)
{
	struct pci_p2pdma *p2pdma;
	unsigned long bytes;
	int ret;

	/* kstrtoul() takes a sign, and any bytes after a zero byte. */
	if (!isdigit(*buf) || memchr(buf, '\0', count))
		return -EINVAL;
	ret = kstrtoul(buf, 0, &bytes);
	if (ret)
		return ret;
	guard(rcu)();
	p2pdma = p2pdma_of(dev);
	if (!p2pdma)
		return -ENODEV;
	if (bytes > p2pdma_pool_size(p2pdma->pool))
		return -EINVAL;
	WRITE_ONCE(p2pdma->reserve_set, true);
	WRITE_ONCE(p2pdma->reserve, bytes);
	return count;
}
static DEVICE_ATTR_RW(reserve);

/* @attr.var is the offset of the counter in struct p2pdma_counters. */
static ssize_t counter_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct dev_ext_attribute *ext;
	struct pci_p2pdma *p2pdma;
	u64 sum = 0;
	int cpu;

	ext = container_of(attr, struct dev_ext_attribute, attr);
	guard(rcu)();
	p2pdma = p2pdma_of(dev);
	if (p2pdma)
		for_each_possible_cpu(cpu)
			sum += *(u64 *)((void *)per_cpu_ptr(p2pdma->counters,
							    cpu) +
					(size_t)ext->var);
	return sysfs_emit(buf, "%llu\n", sum);
}

static struct dev_ext_attribute counter_alloc_failed = {
	.attr = __ATTR(alloc_failed, 0444, counter_show, NULL),
	.var = (void *)offsetof(struct p2pdma_counters, alloc_failed),
};

static struct dev_ext_attribute counter_mapped_bus = {
	.attr = __ATTR(mapped_bus, 0444, counter_show, NULL),
	.var = (void *)offsetof(struct p2pdma_counters, mapped_bus),
};

static struct dev_ext_attribute counter_mapped_host = {
	.attr = __ATTR(mapped_host, 0444, counter_show, NULL),
	.var = (void *)offsetof(struct p2pdma_counters, mapped_host),
};

static struct dev_ext_attribute counter_map_refused = {
	.attr = __ATTR(map_refused, 0444, counter_show, NULL),
	.var = (void *)offsetof(struct p2pdma_counters, map_refused),
};

/*
 * Clear pages and put the pages into a mapping, whose property they become.
 * Return the number of pages; less than @nr on error.
 */
static unsigned long allocate_insert(struct vm_area_struct *vma,
				     unsigned long start, void *addr,
				     unsigned long nr)
{
	void *cleared = NULL;
	struct page *page;
	unsigned long i;

	for (i = 0; i < nr; i++, addr += PAGE_SIZE) {
		if (!(i % P2PDMA_CLEAR_STEP)) {
			if (fatal_signal_pending(current))
				break;
			cond_resched();
			p2pdma_clear(addr, min(nr - i, P2PDMA_CLEAR_STEP));
			cleared = addr;
		}
		page = virt_to_page(addr);
		if (vm_insert_page(vma, start + (i << PAGE_SHIFT), page))
			break;
		/* From here on, the count is that of page tables and pins. */
		put_page(page);
	}
	/* Pages that were cleared in vain are freed, too. */
	if (cleared)
		p2pdma_flush_stores(cleared);
	return i;
}

/* Fill a mapping with reserved pages. Return the number of pages. */
static unsigned long allocate_fill(struct pci_p2pdma *p2pdma,
				   struct vm_area_struct *vma)
{
	unsigned long start = vma->vm_start, nr = vma_pages(vma), part, done;
	struct p2pdma_run runs[P2PDMA_RUNS] __uninitialized, *run;
	unsigned int n;

	while (nr) {
		part = min(nr, P2PDMA_TAKE_PART);
		nr -= part;
		n = p2pdma_take(p2pdma, &part, runs);
		if (!n) {
			p2pdma_pool_unreserve(p2pdma->pool, nr);
			break;
		}
		nr += part;
		for (run = runs; run < runs + n; run++) {
			done = allocate_insert(vma, start, (void *)run->addr,
					       run->nr);
			start += done << PAGE_SHIFT;
			if (done < run->nr)
				goto failed;
		}
	}
	return (start - vma->vm_start) >> PAGE_SHIFT;

failed:
	p2pdma_pool_unreserve(p2pdma->pool, nr);
	run->addr += done << PAGE_SHIFT;
	run->nr -= done;
	p2pdma_free_runs(p2pdma, run, runs + n - run);
	return (start - vma->vm_start) >> PAGE_SHIFT;
}

static int allocate_map(struct pci_p2pdma *p2pdma, struct vm_area_struct *vma)
{
	unsigned long nr = vma_pages(vma), done = 0;

	if (!p2pdma_charge(p2pdma, nr))
		return -ENOMEM;
	if (p2pdma_reserve(p2pdma, nr))
		done = allocate_fill(p2pdma, vma);
	atomic_long_sub(nr - done, &p2pdma->user_pages);
	if (done == nr)
		return 0;
	return fatal_signal_pending(current) ? -EINTR : -ENOMEM;
}

static int allocate_check_vma(struct pci_dev *pdev, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_MAYSHARE)) {
		pci_info_ratelimited(pdev, "%s: fail, attempted private mapping\n",
				     current->comm);
		return -EINVAL;
	}
	if (vma->vm_pgoff) {
		pci_info_ratelimited(pdev, "%s: fail, attempted mapping with non-zero offset\n",
				     current->comm);
		return -EINVAL;
	}
	return 0;
}

/* A driver that manages the pages itself may have unmapped a region. */
static bool allocate_is_unmapped(struct pci_p2pdma *p2pdma)
{
	struct p2pdma_region *region;

	guard(rcu)();
	list_for_each_entry_rcu(region, &p2pdma->regions, node)
		if (percpu_ref_is_dying(&region->pgmap.ref))
			return true;
	return false;
}

/* Without operations of their own, mappings have no page_mkwrite(). */
static const struct vm_operations_struct allocate_vm_ops = {};

static int allocate_mmap(struct file *file, struct kobject *kobj,
			 struct bin_attribute *attr, struct vm_area_struct *vma)
{
	struct pci_dev *pdev = to_pci_dev(kobj_to_dev(kobj));
	struct pci_p2pdma *p2pdma;
	int ret;

	ret = allocate_check_vma(pdev, vma);
	if (ret)
		return ret;

	/* Teardown removes the file first, and waits for this call. */
	scoped_guard(rcu)
		p2pdma = rcu_dereference(pdev->p2pdma);
	if (!p2pdma || allocate_is_unmapped(p2pdma))
		return -ENODEV;
	vma_set_file(vma, p2pdma->file);
	vma->vm_ops = &allocate_vm_ops;
	/* The alias of the kernel is uncached; two types must not be mixed. */
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	/* A locked page would wait in a batch of mlock() if mmap() fails. */
	vm_flags_mod(vma, VM_DONTEXPAND | VM_DONTDUMP, VM_LOCKED_MASK);
	ret = allocate_map(p2pdma, vma);
	if (ret == -ENOMEM)
		p2pdma_alloc_failed(p2pdma, vma->vm_end - vma->vm_start);
	return ret;
}

static struct bin_attribute allocate_attr = {
	.attr = { .name = "allocate", .mode = 0660 },
	.mmap = allocate_mmap,
	.size = P2PMEM_ALLOCATE_SIZE,
};

static struct attribute *p2pmem_attrs[] = {
	&dev_attr_size.attr,
	&dev_attr_available.attr,
	&dev_attr_published.attr,
	&dev_attr_reserve.attr,
	&dev_attr_allocated_peak.attr,
	&dev_attr_exported.attr,
	&counter_alloc_failed.attr.attr,
	&counter_mapped_bus.attr.attr,
	&counter_mapped_host.attr.attr,
	&counter_map_refused.attr.attr,
	NULL
};

const struct attribute_group p2pmem_group = {
	.name = "p2pmem",
	.attrs = p2pmem_attrs,
};

static struct bin_attribute *p2pmem_allocate_attrs[] = {
	&allocate_attr,
	NULL
};

/* A group in the same directory, because the file comes and goes alone. */
const struct attribute_group p2pmem_allocate_group = {
	.name = "p2pmem",
	.bin_attrs = p2pmem_allocate_attrs,
};
