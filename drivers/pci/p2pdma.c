// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: registration, publication, teardown
 *
 * p2pdma-private.h has the model, the lifetime rules and the lock order.
 */
#define pr_fmt(fmt) "pci-p2pdma: " fmt

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/anon_inodes.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pci-p2pdma.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/string_choices.h>

#include "p2pdma-private.h"
#include "p2pdma_trace.h"

/* The log says how many pages a teardown waits for, again after this time. */
#define P2PDMA_WAIT_REPORT	(5 * HZ)

/* A mapping that appears late is zapped after this time. */
#define P2PDMA_WAIT_ZAP		(HZ / 10)

/* A returning page is reset within a few instructions, or a preemption. */
#define P2PDMA_RETURN_RETRY	1
#define P2PDMA_RETURN_BATCH	32

/* Unless an administrator says otherwise, user mappings leave 1/16 alone. */
#define P2PDMA_RESERVE_SHIFT	4

static DEFINE_MUTEX(p2pdma_mutex);
LIST_HEAD(p2pdma_providers);

/* Pages that return from user mappings */

static void p2pdma_page_free(struct page *page)
{
	struct p2pdma_region *region = p2pdma_region_of(page->pgmap);
	struct pci_p2pdma *p2pdma = region->p2pdma;
	struct llist_node *node = (struct llist_node *)&page->private;
	bool first;

	if (region->page_free) {
		atomic_long_inc(&region->nr_returning);
		first = llist_add(node, &p2pdma->owned_returning);
	} else {
		atomic_long_dec(&p2pdma->user_pages);
		atomic_long_inc(&p2pdma->nr_returning);
		first = llist_add(node, &p2pdma->returning);
	}
	if (first)
		schedule_delayed_work(&p2pdma->return_work, 0);
}

/* GPUDirect Storage tells people to look for this name in /proc/kallsyms. */
static const struct dev_pagemap_ops p2pdma_pgmap_ops = {
	.page_free = p2pdma_page_free,
};

static struct page *p2pdma_returning_page(struct llist_node *node)
{
	return container_of((unsigned long *)node, struct page, private);
}

static bool p2pdma_return_page(struct pci_p2pdma *p2pdma, struct page *page)
{
	void *addr = page_address(page);

	lockdep_assert_held(&p2pdma->return_lock);
	if (page_ref_count(page) != 1)
		return false;
	set_page_private(page, 0);
	trace_p2pmem_free(p2pdma->pdev, addr, PAGE_SIZE);
	scoped_guard(rcu)
		p2pdma_pool_free(p2pdma->pool, addr, PAGE_SIZE);
	/* Whoever reads the lower number finds the page in the pool. */
	smp_mb__before_atomic();
	atomic_long_dec(&p2pdma->nr_returning);
	return true;
}

/**
 * p2pdma_return_pages - put pages that return from user mappings into the pool
 * @p2pdma: state of the provider
 *
 * One call returns a small number of pages, because interrupts are off.
 *
 * Context: Any.
 * Return: whether any page was returned. If not, other tasks may have returned
 * pages since the caller looked into the pool.
 */
bool p2pdma_return_pages(struct pci_p2pdma *p2pdma)
{
	struct llist_node *pos, *busy = NULL, *busy_tail = NULL;
	bool returned = false;
	unsigned int i;

	if (!atomic_long_read_acquire(&p2pdma->nr_returning))
		return false;
	guard(raw_spinlock_irqsave)(&p2pdma->return_lock);
	for (i = 0; i < P2PDMA_RETURN_BATCH; i++) {
		pos = llist_del_first(&p2pdma->returning);
		if (!pos)
			break;
		if (p2pdma_return_page(p2pdma, p2pdma_returning_page(pos))) {
			returned = true;
			continue;
		}
		pos->next = busy;
		busy = pos;
		busy_tail = busy_tail ?: pos;
	}
	if (busy)
		llist_add_batch(busy, busy_tail, &p2pdma->returning);
	return returned;
}

/* Give pages back to the drivers that own them. */
static void p2pdma_return_owned(struct pci_p2pdma *p2pdma)
{
	struct llist_node *pos, *next;
	struct p2pdma_region *region;
	struct page *page;

	might_sleep();
	pos = llist_del_all(&p2pdma->owned_returning);
	llist_for_each_safe(pos, next, pos) {
		page = p2pdma_returning_page(pos);
		region = p2pdma_region_of(page->pgmap);
		if (page_ref_count(page) != 1) {
			llist_add(pos, &p2pdma->owned_returning);
			continue;
		}
		set_page_private(page, 0);
		region->page_free(page);
		complete(&region->freed);
		/* The region may go from here on. */
		atomic_long_dec(&region->nr_returning);
	}
}

static void p2pdma_return_work(struct work_struct *work)
{
	struct pci_p2pdma *p2pdma;

	p2pdma = container_of(to_delayed_work(work), struct pci_p2pdma,
			      return_work);

	while (p2pdma_return_pages(p2pdma))
		cond_resched();
	p2pdma_return_owned(p2pdma);
	if (!llist_empty(&p2pdma->returning) ||
	    !llist_empty(&p2pdma->owned_returning))
		schedule_delayed_work(&p2pdma->return_work,
				      P2PDMA_RETURN_RETRY);
}

/**
 * p2pdma_available - free memory of a provider
 * @p2pdma: state of the provider
 *
 * Context: Any.
 * Return: number of bytes, exact while nothing is allocated or freed.
 */
size_t p2pdma_available(struct pci_p2pdma *p2pdma)
{
	/* Count a page on the way from the list into the pool only once. */
	guard(raw_spinlock_irqsave)(&p2pdma->return_lock);
	return p2pdma_pool_available(p2pdma->pool) +
	       (atomic_long_read(&p2pdma->nr_returning) << PAGE_SHIFT);
}

/**
 * p2pdma_size - memory of a provider
 * @p2pdma: state of the provider
 *
 * Context: Any.
 * Return: number of bytes, pages that the driver owns included.
 */
size_t p2pdma_size(struct pci_p2pdma *p2pdma)
{
	return p2pdma_pool_size(p2pdma->pool) + READ_ONCE(p2pdma->owned);
}

/* Registration and teardown */

/* The file of all user mappings is never opened, only mapped. */
static const struct file_operations p2pmem_file_ops = {};

static void p2pdma_provider_destroy(struct pci_p2pdma *p2pdma)
{
	if (!IS_ERR_OR_NULL(p2pdma->file))
		fput(p2pdma->file);
	free_percpu(p2pdma->counters);
	p2pdma_pool_destroy(p2pdma->pool);
	kfree(p2pdma);
}

VISIBLE_IF_KUNIT struct pci_p2pdma *p2pdma_provider_create(struct pci_dev *pdev)
{
	struct pci_p2pdma *p2pdma;
	char name[32];

	KUNIT_STATIC_STUB_REDIRECT(p2pdma_provider_create, pdev);
	/* /proc/PID/maps shows the name of the file. */
	snprintf(name, sizeof(name), "p2pmem:%s", pci_name(pdev));
	p2pdma = kzalloc(sizeof(*p2pdma), GFP_KERNEL);
	if (!p2pdma)
		return NULL;
	p2pdma->pool = p2pdma_pool_create();
	p2pdma->counters = alloc_percpu(struct p2pdma_counters);
	p2pdma->file = anon_inode_create_getfile(name, &p2pmem_file_ops, NULL,
						 O_RDWR, NULL);
	if (!p2pdma->pool || !p2pdma->counters || IS_ERR(p2pdma->file)) {
		p2pdma_provider_destroy(p2pdma);
		return NULL;
	}
	p2pdma->pdev = pdev;
	p2pdma_cache_init(&p2pdma->cache);
	INIT_LIST_HEAD(&p2pdma->regions);
	init_llist_head(&p2pdma->returning);
	init_llist_head(&p2pdma->owned_returning);
	raw_spin_lock_init(&p2pdma->return_lock);
	INIT_DELAYED_WORK(&p2pdma->return_work, p2pdma_return_work);
	return p2pdma;
}

/* The provider is unreachable, and all pages are gone. */
static void p2pdma_provider_free(struct pci_p2pdma *p2pdma)
{
	cancel_delayed_work_sync(&p2pdma->return_work);
	p2pdma_cache_flush(&p2pdma->cache);
	p2pdma_provider_destroy(p2pdma);
}

static struct pci_p2pdma *p2pdma_locked(struct pci_dev *pdev)
{
	return rcu_dereference_protected(pdev->p2pdma,
					 lockdep_is_held(&p2pdma_mutex));
}

VISIBLE_IF_KUNIT int p2pdma_sysfs_add(struct pci_p2pdma *p2pdma)
{
	KUNIT_STATIC_STUB_REDIRECT(p2pdma_sysfs_add, p2pdma);
	lockdep_assert_held(&p2pdma_mutex);
	return sysfs_create_group(&p2pdma->pdev->dev.kobj, &p2pmem_group);
}

VISIBLE_IF_KUNIT int p2pdma_sysfs_add_allocate(struct pci_p2pdma *p2pdma)
{
	int ret;

	KUNIT_STATIC_STUB_REDIRECT(p2pdma_sysfs_add_allocate, p2pdma);
	lockdep_assert_held(&p2pdma_mutex);
	if (p2pdma->allocate_file)
		return 0;
	ret = sysfs_update_group(&p2pdma->pdev->dev.kobj,
				 &p2pmem_allocate_group);
	p2pdma->allocate_file = !ret;
	return ret;
}

/* Waits for mmap() calls that have begun. */
static void p2pdma_sysfs_remove_allocate(struct pci_p2pdma *p2pdma)
{
	lockdep_assert_held(&p2pdma_mutex);
	if (!p2pdma->allocate_file)
		return;
	sysfs_remove_file_from_group(&p2pdma->pdev->dev.kobj,
				     &p2pmem_allocate_group.bin_attrs[0]->attr,
				     p2pmem_group.name);
	p2pdma->allocate_file = false;
}

static int p2pdma_provider_start(struct pci_p2pdma *p2pdma)
{
	int ret;

	lockdep_assert_held(&p2pdma_mutex);
	ret = p2pdma_sysfs_add(p2pdma);
	if (ret)
		return ret;
	list_add_tail_rcu(&p2pdma->node, &p2pdma_providers);
	rcu_assign_pointer(p2pdma->pdev->p2pdma, p2pdma);
	return 0;
}

/* The caller frees the provider after a grace period. */
static void p2pdma_provider_stop(struct pci_p2pdma *p2pdma)
{
	lockdep_assert_held(&p2pdma_mutex);
	list_del_rcu(&p2pdma->node);
	RCU_INIT_POINTER(p2pdma->pdev->p2pdma, NULL);
	sysfs_remove_group(&p2pdma->pdev->dev.kobj, &p2pmem_group);
}

/* The size changed: so does a reserve that nobody set. */
static void p2pdma_update_size(struct pci_p2pdma *p2pdma, long owned)
{
	lockdep_assert_held(&p2pdma_mutex);
	WRITE_ONCE(p2pdma->owned, p2pdma->owned + owned);
	if (!p2pdma->reserve_set)
		WRITE_ONCE(p2pdma->reserve, p2pdma_pool_size(p2pdma->pool) >>
			   P2PDMA_RESERVE_SHIFT);
}

/* Number of pages that are not where they were at registration. */
static unsigned long p2pdma_region_held(struct p2pdma_region *region)
{
	unsigned long exported = atomic_long_read(&region->exported), nr = 0;
	unsigned long pfn = PHYS_PFN(region->pgmap.range.start);
	unsigned long end = PHYS_PFN(region->pgmap.range.end + 1);
	struct page *page;

	if (region->chunk)
		return max(p2pdma_pool_held(region->chunk), exported);
	/* The driver unmapped the pages: no struct page is left to look at. */
	if (percpu_ref_is_dying(&region->pgmap.ref))
		return exported;
	for (; pfn < end; pfn++) {
		page = pfn_to_page(pfn);
		/* The count of a mapped page is that of a page table. */
		nr += page_ref_count(page) != 1 || page_mapped(page);
		if (!(pfn % SZ_4K))
			cond_resched();
	}
	/* A page is counted as returning before the count becomes 1. */
	smp_rmb();
	return max(nr + atomic_long_read(&region->nr_returning), exported);
}

static void p2pdma_wait_idle(struct p2pdma_region *region)
{
	unsigned long report = jiffies + P2PDMA_WAIT_REPORT, held;
	struct pci_p2pdma *p2pdma = region->p2pdma;
	bool late = false;

	for (;;) {
		reinit_completion(&region->freed);
		unmap_mapping_range(p2pdma->file->f_mapping, 0, 0, true);
		if (p2pdma_exporter)
			p2pdma_exporter->revoke(region, late);
		held = p2pdma_region_held(region);
		if (!held)
			return;
		late = time_after_eq(jiffies, report);
		if (late) {
			pci_warn(p2pdma->pdev, "BAR %d cannot be released yet: %lu page%s of peer-to-peer DMA memory in use\n",
				 region->bar, held, str_plural(held));
			report = jiffies + P2PDMA_WAIT_REPORT;
		}
		wait_for_completion_timeout(&region->freed, P2PDMA_WAIT_ZAP);
	}
}

/* Undoes p2pdma_region_start(); devres calls this before the pagemap goes. */
static void p2pdma_region_release(void *data)
{
	struct p2pdma_region *region = data;
	struct pci_p2pdma *p2pdma = region->p2pdma;
	bool last;

	if (region->chunk) {
		guard(mutex)(&p2pdma_mutex);
		p2pdma_pool_close(region->chunk);
		p2pdma_sysfs_remove_allocate(p2pdma);
	}
	p2pdma_wait_idle(region);

	scoped_guard(mutex, &p2pdma_mutex) {
		list_del_rcu(&region->node);
		if (region->chunk)
			p2pdma_pool_remove(region->chunk);
		p2pdma_update_size(p2pdma, region->chunk ? 0 :
				   -(long)range_len(&region->pgmap.range));
		last = list_empty(&p2pdma->regions);
		if (last)
			p2pdma_provider_stop(p2pdma);
	}
	/* Readers of both lists and of pdev->p2pdma end. */
	synchronize_rcu();
	if (last)
		p2pdma_provider_free(p2pdma);
}

VISIBLE_IF_KUNIT int p2pdma_region_map(struct p2pdma_region *region)
{
	void *addr;

	KUNIT_STATIC_STUB_REDIRECT(p2pdma_region_map, region);
	addr = devm_memremap_pages(&region->p2pdma->pdev->dev, &region->pgmap);
	return PTR_ERR_OR_ZERO(addr);
}

#ifdef CONFIG_X86
#include <asm/memtype.h>

/* A mapping that exists decides the caching of all later mappings. */
static bool p2pdma_is_uncached(void *addr)
{
	unsigned int level;
	pte_t *pte = lookup_address((unsigned long)addr, &level);
	enum page_cache_mode mode;

	if (!pte)
		return true;
	mode = pgprot2cachemode(pte_pgprot(*pte));
	return mode == _PAGE_CACHE_MODE_UC || mode == _PAGE_CACHE_MODE_UC_MINUS;
}
#else
static bool p2pdma_is_uncached(void *addr)
{
	return true;
}
#endif

static void p2pdma_check_caching(struct p2pdma_region *region)
{
	if (!p2pdma_is_uncached(__va(region->pgmap.range.start)))
		pci_warn(region->p2pdma->pdev, "BAR %d was mapped before, and not uncached: peer-to-peer DMA memory has the caching of that mapping\n",
			 region->bar);
}

VISIBLE_IF_KUNIT int p2pdma_region_pool(struct p2pdma_region *region)
{
	struct range *range = &region->pgmap.range;

	KUNIT_STATIC_STUB_REDIRECT(p2pdma_region_pool, region);
	lockdep_assert_held(&p2pdma_mutex);
	if (region->page_free)
		return 0;
	region->chunk = p2pdma_pool_add(region->p2pdma->pool,
					__va(range->start), range_len(range),
					&region->freed);
	return region->chunk ? 0 : -ENOMEM;
}

VISIBLE_IF_KUNIT int p2pdma_region_arm(struct p2pdma_region *region)
{
	KUNIT_STATIC_STUB_REDIRECT(p2pdma_region_arm, region);
	return devm_add_action(&region->p2pdma->pdev->dev,
			       p2pdma_region_release, region);
}

/*
 * Steps that can fail come first, and the pool comes last: until then, a region
 * can be dropped without having been seen.
 */
static int p2pdma_region_start(struct p2pdma_region *region, bool first)
{
	struct pci_p2pdma *p2pdma = region->p2pdma;
	int ret;

	lockdep_assert_held(&p2pdma_mutex);
	ret = p2pdma_region_map(region);
	if (ret)
		return ret;
	p2pdma_check_caching(region);
	ret = first ? p2pdma_provider_start(p2pdma) : 0;
	if (ret)
		goto unmap;
	ret = region->page_free ? 0 : p2pdma_sysfs_add_allocate(p2pdma);
	if (ret)
		goto stop;
	ret = p2pdma_region_arm(region);
	if (ret)
		goto stop;
	list_add_tail_rcu(&region->node, &p2pdma->regions);
	ret = p2pdma_region_pool(region);
	if (ret)
		goto disarm;
	p2pdma_update_size(p2pdma, region->chunk ? 0 :
			   range_len(&region->pgmap.range));
	return 0;

disarm:
	list_del_rcu(&region->node);
	devm_remove_action(&p2pdma->pdev->dev, p2pdma_region_release, region);
stop:
	if (first) {
		p2pdma_sysfs_remove_allocate(p2pdma);
		p2pdma_provider_stop(p2pdma);
	}
unmap:
	devm_memunmap_pages(&p2pdma->pdev->dev, &region->pgmap);
	return ret;
}

static bool p2pdma_overlap(const struct range *a, const struct range *b)
{
	return a->start <= b->end && b->start <= a->end;
}

/* Is part of the range registered already, here or elsewhere? */
static bool p2pdma_range_taken(struct pci_p2pdma *p2pdma,
			       const struct range *range)
{
	const u64 ends[] = { range->start, range->end };
	struct p2pdma_region *region;
	struct dev_pagemap *other;
	unsigned int i;

	lockdep_assert_held(&p2pdma_mutex);
	if (p2pdma)
		list_for_each_entry(region, &p2pdma->regions, node)
			if (p2pdma_overlap(&region->pgmap.range, range))
				return true;

	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		other = get_dev_pagemap(PHYS_PFN(ends[i]), NULL);
		if (other) {
			put_dev_pagemap(other);
			return true;
		}
	}
	return region_intersects(range->start, range_len(range),
				 IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) !=
	       REGION_DISJOINT;
}

/* Turn BAR, size and offset into a range of addresses. */
static int p2pdma_find_range(struct pci_dev *pdev, int bar, size_t size,
			     u64 offset, struct range *range)
{
	unsigned long flags;
	resource_size_t len;

	if (bar < PCI_STD_RESOURCES || bar > PCI_STD_RESOURCE_END) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: there is no such BAR\n", bar);
		return -EINVAL;
	}
	len = pci_resource_len(pdev, bar);
	flags = pci_resource_flags(pdev, bar);
	if (!(flags & IORESOURCE_MEM) || !len ||
	    flags & (IORESOURCE_UNSET | IORESOURCE_DISABLED)) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: not memory, or not assigned\n",
			bar);
		return -EINVAL;
	}
	if (offset >= len || size > len - offset) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: %#zx bytes at %#llx do not fit into %#llx\n",
			bar, size, offset, (u64)len);
		return -EINVAL;
	}
	range->start = pci_resource_start(pdev, bar) + offset;
	range->end = range->start + (size ?: len - offset) - 1;
	return 0;
}

/* Can the kernel have pages for this range? */
static int p2pdma_check_range(struct pci_dev *pdev, int bar,
			      struct range *range)
{
	struct range mappable = mhp_get_pluggable_range(true);
	unsigned long align = memremap_compat_align();

	if (!IS_ALIGNED(range->start | range_len(range), align)) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: %#llx-%#llx is not aligned to %#lx\n",
			bar, range->start, range->end, align);
		return -EINVAL;
	}
	if (!range_contains(&mappable, range)) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: %#llx-%#llx is outside of what the kernel can map, %#llx-%#llx\n",
			bar, range->start, range->end, mappable.start,
			mappable.end);
		return -EINVAL;
	}
	if (p2pdma_range_taken(p2pdma_locked(pdev), range)) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: %#llx-%#llx is in use already\n",
			bar, range->start, range->end);
		return -EBUSY;
	}
	return 0;
}

static struct p2pdma_region *p2pdma_region_new(struct pci_p2pdma *p2pdma,
					       int bar,
					       const struct range *range)
{
	struct pci_dev *pdev = p2pdma->pdev;
	struct p2pdma_region *region;

	region = devm_kzalloc(&pdev->dev, sizeof(*region), GFP_KERNEL);
	if (!region)
		return NULL;
	region->p2pdma = p2pdma;
	region->bar = bar;
	region->bus_offset = pci_bus_address(pdev, bar) -
			     pci_resource_start(pdev, bar);
	init_completion(&region->freed);
	region->pgmap.type = MEMORY_DEVICE_PCI_P2PDMA;
	region->pgmap.ops = &p2pdma_pgmap_ops;
	region->pgmap.range = *range;
	region->pgmap.nr_range = 1;
	return region;
}

static int p2pdma_add_range(struct pci_dev *pdev, int bar,
			    const struct range *range,
			    void (*page_free)(struct page *page))
{
	struct pci_p2pdma *p2pdma = p2pdma_locked(pdev);
	struct p2pdma_region *region;
	bool first = !p2pdma;
	int ret = -ENOMEM;

	if (first)
		p2pdma = p2pdma_provider_create(pdev);
	if (!p2pdma)
		return -ENOMEM;

	region = p2pdma_region_new(p2pdma, bar, range);
	if (region) {
		region->page_free = page_free;
		ret = p2pdma_region_start(region, first);
	}
	if (!ret)
		return 0;

	/* Both may have been visible for a moment. */
	synchronize_rcu();
	if (region)
		devm_kfree(&pdev->dev, region);
	if (first)
		p2pdma_provider_free(p2pdma);
	return ret;
}

/* Each region is found once, because several tasks may register at a time. */
static struct p2pdma_region *p2pdma_find_unmapped(struct pci_dev *pdev)
{
	struct pci_p2pdma *p2pdma;
	struct p2pdma_region *region;

	guard(mutex)(&p2pdma_mutex);
	p2pdma = p2pdma_locked(pdev);
	if (!p2pdma)
		return NULL;
	list_for_each_entry(region, &p2pdma->regions, node) {
		if (region->forgotten ||
		    !percpu_ref_is_dying(&region->pgmap.ref))
			continue;
		region->forgotten = true;
		return region;
	}
	return NULL;
}

/* Regions that stay still have a pool, and lost the file "allocate". */
static void p2pdma_restore_allocate(struct pci_dev *pdev)
{
	struct pci_p2pdma *p2pdma;

	guard(mutex)(&p2pdma_mutex);
	p2pdma = p2pdma_locked(pdev);
	if (p2pdma && p2pdma_pool_size(p2pdma->pool))
		p2pdma_sysfs_add_allocate(p2pdma);
}

/*
 * Drivers that manage the pages themselves undo a registration with
 * devm_memunmap_pages(), which tells nobody. Forget such regions.
 */
static void p2pdma_forget_unmapped(struct pci_dev *pdev)
{
	struct p2pdma_region *region;

	while ((region = p2pdma_find_unmapped(pdev))) {
		devm_release_action(&pdev->dev, p2pdma_region_release, region);
		devm_kfree(&pdev->dev, region);
	}
	p2pdma_restore_allocate(pdev);
}

static int p2pdma_register(struct pci_dev *pdev, int bar, size_t size,
			   u64 offset, void (*page_free)(struct page *page))
{
	struct range range;
	int ret;

	ret = p2pdma_find_range(pdev, bar, size, offset, &range);
	if (ret)
		return ret;

	p2pdma_forget_unmapped(pdev);
	scoped_guard(mutex, &p2pdma_mutex) {
		ret = p2pdma_check_range(pdev, bar, &range);
		if (!ret)
			ret = p2pdma_add_range(pdev, bar, &range, page_free);
	}
	if (ret)
		return ret;

	pci_info(pdev, "added peer-to-peer DMA memory %#llx-%#llx\n",
		 range.start, range.end);
	return 0;
}

/**
 * pci_p2pdma_add_resource - register a range of a BAR as peer memory
 * @pdev: the provider; the driver of @pdev calls this in probe
 * @bar: index of a memory BAR, 0 to 5
 * @size: number of bytes; 0 for the rest of the BAR
 * @offset: offset of the first byte in the BAR
 *
 * Start and size are multiples of memremap_compat_align(), 2 MiB on most
 * architectures. A driver may register several ranges. The ranges are released
 * when the driver is unbound, after all memory is free again. Until
 * pci_p2pmem_publish(), only the provider itself and user space use the memory.
 *
 * Context: May sleep. The driver stays bound to @pdev, as in probe. Several
 * tasks may register ranges at the same time.
 * Return: 0; -EINVAL for a BAR or a range that cannot be peer memory; -EBUSY if
 * part of the range has been registered already; -ENOMEM. On error, nothing is
 * registered, and earlier registrations are as before.
 */
int pci_p2pdma_add_resource(struct pci_dev *pdev, int bar, size_t size,
			    u64 offset)
{
	might_sleep();
	return p2pdma_register(pdev, bar, size, offset, NULL);
}
EXPORT_SYMBOL_GPL(pci_p2pdma_add_resource);

/**
 * pci_p2pdma_add_owned - register a range of a BAR that the driver manages
 * @pdev: the provider; the driver of @pdev calls this in probe
 * @bar: index of a memory BAR, 0 to 5
 * @size: number of bytes; 0 for the rest of the BAR
 * @offset: offset of the first byte in the BAR
 * @page_free: called for a page after the last reference was dropped
 *
 * As pci_p2pdma_add_resource(), but the driver decides about every page. The
 * memory has struct pages, routes, DMA mapping and counters; there is no pool
 * and no file "allocate". A page starts with a count of 1, which belongs to the
 * driver, and with zone_device_data NULL, which is free for the driver to use.
 * A driver that maps a page to user space gives the count of 1 away with
 * put_page() and has the page back, with a count of 1, in @page_free.
 *
 * Unbinding the driver, or devm_memunmap_pages() on page->pgmap, ends the
 * registration. Unbinding waits until every page has a count of 1 and no
 * mapping.
 *
 * Context: May sleep. The driver stays bound to @pdev, as in probe.
 * @page_free is called from a work item and may sleep.
 * Return: as pci_p2pdma_add_resource(); also -EINVAL without @page_free.
 */
int pci_p2pdma_add_owned(struct pci_dev *pdev, int bar, size_t size, u64 offset,
			 void (*page_free)(struct page *page))
{
	might_sleep();
	if (!page_free)
		return -EINVAL;
	return p2pdma_register(pdev, bar, size, offset, page_free);
}
EXPORT_SYMBOL_GPL(pci_p2pdma_add_owned);

/**
 * pci_p2pmem_publish - offer peer memory to orchestrators, or stop offering it
 * @provider: the provider
 * @publish: whether pci_p2pmem_find_many() and administrators may choose it
 *
 * Call once the memory is usable. Nothing happens if nothing is registered.
 * Do not publish a provider that has only memory of pci_p2pdma_add_owned():
 * allocations from such a provider fail.
 *
 * Context: Any.
 */
void pci_p2pmem_publish(struct pci_dev *provider, bool publish)
{
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (!p2pdma)
		return;
	WRITE_ONCE(p2pdma->published, publish);
	if (publish && p2pdma_exporter)
		p2pdma_exporter->published(p2pdma);
}
EXPORT_SYMBOL_GPL(pci_p2pmem_publish);

/**
 * pci_has_p2pmem - does a function have published peer memory?
 * @provider: the function
 *
 * Context: Any.
 * Return: true if memory is registered and published.
 */
bool pci_has_p2pmem(struct pci_dev *provider)
{
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	return p2pdma && READ_ONCE(p2pdma->published);
}
EXPORT_SYMBOL_GPL(pci_has_p2pmem);
