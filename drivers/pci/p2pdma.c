// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: registration, publication, allocation, teardown
 *
 * The model, the lifetime rules and the lock order are in p2pdma-private.h.
 */
#define pr_fmt(fmt) "pci-p2pdma: " fmt

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/cleanup.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pci-p2pdma.h>
#include <linux/rculist.h>
#include <linux/scatterlist.h>
#include <linux/seq_buf.h>
#include <linux/slab.h>

#include "p2pdma-private.h"
#include "p2pdma-pool-near.h"

#define CREATE_TRACE_POINTS
#include "p2pdma_trace.h"

/* How long the wait for pages may take before the log says what it waits for, and says it again. */
#define P2PDMA_WAIT_REPORT	(5 * HZ)

static DEFINE_MUTEX(p2pdma_mutex);
LIST_HEAD(p2pdma_providers);

/* ---- registration and teardown ------------------------------------------------------------ */

VISIBLE_IF_KUNIT struct pci_p2pdma *p2pdma_provider_create(struct pci_dev *pdev)
{
	struct pci_p2pdma *p2pdma;

	KUNIT_STATIC_STUB_REDIRECT(p2pdma_provider_create, pdev);
	p2pdma = kzalloc(sizeof(*p2pdma), GFP_KERNEL);
	if (!p2pdma)
		return NULL;
	p2pdma->pool = p2pdma_pool_create();
	p2pdma->counters = alloc_percpu(struct p2pdma_counters);
	if (!p2pdma->pool || !p2pdma->counters) {
		free_percpu(p2pdma->counters);
		p2pdma_pool_destroy(p2pdma->pool);
		kfree(p2pdma);
		return NULL;
	}
	p2pdma->pdev = pdev;
	p2pdma_cache_init(&p2pdma->cache);
	INIT_LIST_HEAD(&p2pdma->regions);
	init_llist_head(&p2pdma->resetting);
	spin_lock_init(&p2pdma->reset_lock);
	INIT_DELAYED_WORK(&p2pdma->reset_work, p2pdma_pages_reset_work);
	return p2pdma;
}

/* Nobody can reach @p2pdma any more, and all of its pages are gone. */
static void p2pdma_provider_free(struct pci_p2pdma *p2pdma)
{
	cancel_delayed_work_sync(&p2pdma->reset_work);
	p2pdma_cache_flush(&p2pdma->cache);
	p2pdma_pool_destroy(p2pdma->pool);
	free_percpu(p2pdma->counters);
	kfree(p2pdma);
}

static struct pci_p2pdma *p2pdma_provider(struct pci_dev *pdev)
{
	return rcu_dereference_protected(pdev->p2pdma, lockdep_is_held(&p2pdma_mutex));
}

/* A provider starts with its first region ... */
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

/* ... and stops with its last. The caller frees it after a grace period. */
static void p2pdma_provider_stop(struct pci_p2pdma *p2pdma)
{
	lockdep_assert_held(&p2pdma_mutex);
	list_del_rcu(&p2pdma->node);
	RCU_INIT_POINTER(p2pdma->pdev->p2pdma, NULL);
	p2pdma_sysfs_remove(p2pdma);
}

/* User mappings do not know beforehand from which region their memory will be. */
static void p2pdma_update_unit(struct pci_p2pdma *p2pdma)
{
	struct p2pdma_region *region;
	size_t unit = 0;

	lockdep_assert_held(&p2pdma_mutex);
	list_for_each_entry(region, &p2pdma->regions, node)
		unit = max(unit, p2pdma_unit(region));
	WRITE_ONCE(p2pdma->unit, unit);
}

static void p2pdma_wait_idle(struct p2pdma_region *region)
{
	struct pci_dev *pdev = region->provider->pdev;

	while (!wait_for_completion_timeout(&region->idle, P2PDMA_WAIT_REPORT))
		pci_warn(pdev, "BAR %d cannot be released yet: %zu pages of peer-to-peer DMA memory are in use\n",
			 region->bar, p2pdma_pool_held(region->chunk));
}

/* Undoes p2pdma_region_start(); called by devres before the pagemap goes. */
static void p2pdma_region_release(void *data)
{
	struct p2pdma_region *region = data;
	struct pci_p2pdma *p2pdma = region->provider;
	bool last;

	p2pdma_pool_close(region->chunk);
	scoped_guard(mutex, &p2pdma_mutex)
		p2pdma_sysfs_remove_allocate(p2pdma);
	p2pdma_wait_idle(region);

	scoped_guard(mutex, &p2pdma_mutex) {
		list_del_rcu(&region->node);
		p2pdma_update_unit(p2pdma);
		p2pdma_pool_remove(region->chunk);
		last = list_empty(&p2pdma->regions);
		if (last)
			p2pdma_provider_stop(p2pdma);
	}
	/* For readers of the list of regions, of the list of providers and of pdev->p2pdma. */
	synchronize_rcu();
	if (last)
		p2pdma_provider_free(p2pdma);
}

VISIBLE_IF_KUNIT int p2pdma_region_map(struct p2pdma_region *region)
{
	void *addr;

	KUNIT_STATIC_STUB_REDIRECT(p2pdma_region_map, region);
	addr = devm_memremap_pages(&region->provider->pdev->dev, &region->pgmap);
	if (IS_ERR(addr))
		return PTR_ERR(addr);
	p2pdma_pages_init(region);
	return 0;
}

VISIBLE_IF_KUNIT int p2pdma_region_pool(struct p2pdma_region *region)
{
	struct range *range = &region->pgmap.range;

	KUNIT_STATIC_STUB_REDIRECT(p2pdma_region_pool, region);
	region->chunk = p2pdma_pool_add(region->provider->pool, __va(range->start),
					range_len(range), &region->idle);
	return region->chunk ? 0 : -ENOMEM;
}

VISIBLE_IF_KUNIT int p2pdma_region_arm(struct p2pdma_region *region)
{
	KUNIT_STATIC_STUB_REDIRECT(p2pdma_region_arm, region);
	return devm_add_action(&region->provider->pdev->dev, p2pdma_region_release, region);
}

/*
 * Bring a region to life: its pages, the files of its provider, its place in the lists, and last
 * its place in the pool, where others find it. What can fail comes first, so that until it is in
 * the pool a region can be dropped without having been seen.
 */
static int p2pdma_region_start(struct p2pdma_region *region, bool first)
{
	struct pci_p2pdma *p2pdma = region->provider;
	int ret;

	ret = p2pdma_region_map(region);
	if (ret)
		return ret;
	ret = first ? p2pdma_provider_start(p2pdma) : 0;
	if (ret)
		goto unmap;
	ret = p2pdma_sysfs_add_allocate(p2pdma);
	if (ret)
		goto stop;
	ret = p2pdma_region_arm(region);
	if (ret)
		goto stop;
	list_add_tail_rcu(&region->node, &p2pdma->regions);
	p2pdma_update_unit(p2pdma);
	ret = p2pdma_region_pool(region);
	if (ret)
		goto disarm;
	return 0;

disarm:
	list_del_rcu(&region->node);
	p2pdma_update_unit(p2pdma);
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

/* Neither another region of ours nor somebody else's pages may be in the way. */
static bool p2pdma_range_taken(struct pci_p2pdma *p2pdma, const struct range *range)
{
	const u64 ends[] = { range->start, range->end };
	struct p2pdma_region *region;
	struct dev_pagemap *other;
	unsigned int i;

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
	return region_intersects(range->start, range_len(range), IORESOURCE_SYSTEM_RAM,
				 IORES_DESC_NONE) != REGION_DISJOINT;
}

/* Turn BAR, size and offset into a range of addresses, if there is such a thing. */
static int p2pdma_find_range(struct pci_dev *pdev, int bar, size_t size, u64 offset,
			     struct range *range)
{
	resource_size_t len;

	if (bar < PCI_STD_RESOURCES || bar > PCI_STD_RESOURCE_END) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: there is no such BAR\n", bar);
		return -EINVAL;
	}
	len = pci_resource_len(pdev, bar);
	if (!(pci_resource_flags(pdev, bar) & IORESOURCE_MEM) || !len ||
	    pci_resource_flags(pdev, bar) & (IORESOURCE_UNSET | IORESOURCE_DISABLED)) {
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
static int p2pdma_check_range(struct pci_dev *pdev, int bar, struct range *range)
{
	struct range mappable = mhp_get_pluggable_range(true);

	if (!IS_ALIGNED(range->start | range_len(range), memremap_compat_align())) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: %#llx-%#llx is not aligned to %#lx\n",
			bar, range->start, range->end, memremap_compat_align());
		return -EINVAL;
	}
	if (!range_contains(&mappable, range)) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: %#llx-%#llx is outside of what the kernel can map, %#llx-%#llx\n",
			bar, range->start, range->end, mappable.start, mappable.end);
		return -EINVAL;
	}
	if (p2pdma_range_taken(p2pdma_provider(pdev), range)) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: %#llx-%#llx is in use already\n",
			bar, range->start, range->end);
		return -EBUSY;
	}
	return 0;
}

static struct p2pdma_region *p2pdma_region_new(struct pci_p2pdma *p2pdma, int bar,
					       const struct range *range)
{
	struct pci_dev *pdev = p2pdma->pdev;
	struct p2pdma_region *region = devm_kzalloc(&pdev->dev, sizeof(*region), GFP_KERNEL);

	if (!region)
		return NULL;
	region->provider = p2pdma;
	region->bar = bar;
	region->bus_offset = pci_bus_address(pdev, bar) - pci_resource_start(pdev, bar);
	init_completion(&region->idle);
	region->pgmap.type = MEMORY_DEVICE_PCI_P2PDMA;
	region->pgmap.ops = &p2pdma_pagemap_ops;
	region->pgmap.range = *range;
	region->pgmap.nr_range = 1;
	p2pdma_pages_choose_unit(region);
	return region;
}

static int p2pdma_add_range(struct pci_dev *pdev, int bar, const struct range *range)
{
	struct pci_p2pdma *p2pdma = p2pdma_provider(pdev);
	struct p2pdma_region *region;
	bool first = !p2pdma;
	int ret = -ENOMEM;

	if (first)
		p2pdma = p2pdma_provider_create(pdev);
	if (!p2pdma)
		return -ENOMEM;

	region = p2pdma_region_new(p2pdma, bar, range);
	if (region)
		ret = p2pdma_region_start(region, first);
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

/**
 * pci_p2pdma_add_resource - register a range of a BAR as peer memory
 * @pdev: the provider; its driver calls this in probe
 * @bar: index of a memory BAR, 0 to 5
 * @size: in bytes; 0 for the rest of the BAR
 * @offset: of the first byte in the BAR
 *
 * Start and size have to be multiples of memremap_compat_align(), 2 MiB on most architectures.
 * A driver may register several ranges. They are released, after all memory of theirs has come
 * back, when the driver is unbound. Until pci_p2pmem_publish() only the provider itself and user
 * space use the memory.
 *
 * Context: May sleep. The caller holds the device lock, as in probe.
 * Return: 0; -EINVAL for a BAR or a range that cannot be peer memory; -EBUSY if part of the range
 * has been registered already, here or elsewhere; -ENOMEM. Nothing is registered on error, and
 * what was before is as before.
 */
int pci_p2pdma_add_resource(struct pci_dev *pdev, int bar, size_t size, u64 offset)
{
	struct range range;
	int ret;

	ret = p2pdma_find_range(pdev, bar, size, offset, &range);
	if (ret)
		return ret;

	scoped_guard(mutex, &p2pdma_mutex) {
		ret = p2pdma_check_range(pdev, bar, &range);
		if (!ret)
			ret = p2pdma_add_range(pdev, bar, &range);
	}
	if (ret)
		return ret;

	pci_info(pdev, "added peer-to-peer DMA memory %#llx-%#llx\n", range.start, range.end);
	return 0;
}
EXPORT_SYMBOL_GPL(pci_p2pdma_add_resource);

/* ---- publication -------------------------------------------------------------------------- */

/**
 * pci_p2pmem_publish - offer peer memory to orchestrators, or stop offering it
 * @provider: the provider
 * @publish: whether pci_p2pmem_find_many() and administrators may choose it
 *
 * To be called once the memory is usable. Without effect if nothing is registered.
 *
 * Context: Any.
 */
void pci_p2pmem_publish(struct pci_dev *provider, bool publish)
{
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (p2pdma)
		WRITE_ONCE(p2pdma->published, publish);
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
