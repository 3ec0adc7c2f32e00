/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI peer-to-peer DMA: private objects, lifetime and locking
 *
 * Rooms, and who calls whom (down only, no cycle):
 *
 *	p2pdma-sysfs.c  p2pdma-configfs.c		leaves: what people read and write
 *	p2pdma.c					registration, allocation, find, teardown
 *	p2pdma-map.c					DMA mapping, the only cache of routes
 *	p2pdma-route.c		p2pdma-pages.c		verdicts; what user mappings own
 *				p2pdma-pool.c		pages and bytes
 *	p2pdma-bridge.c					what bridges can do, and policy
 *
 * Lifetime
 *
 * A function becomes a provider with its first region and stops being one with its last. The
 * state hangs off pdev->p2pdma, an RCU pointer that nobody else looks into. Readers hold
 * rcu_read_lock(); registration and teardown are serialised by p2pdma_mutex.
 *
 * A region is one registered range of a BAR and one dev_pagemap. Each of its pages is either in
 * the pool, or allocated, or being reset by the kernel after the last reference of a user mapping
 * went (the pages in pci_p2pdma.resetting). A region goes only when all pages are in the pool:
 *
 *	1. the pool closes it: no allocation finds it from here on;
 *	2. the file "allocate" goes, which ends user mappings and lets no new one begin;
 *	3. wait until the last page is back;
 *	4. the pool and the provider forget it;
 *	5. the pagemap and then the region itself are released by devres.
 *
 * A region that is going leaves the others of its provider alone, except that "allocate" stays
 * away until the next registration. An allocation pins its region and its provider, so whoever
 * holds one needs no further protection.
 *
 * Lock order: p2pdma_mutex, then locks inside kernfs; p2pdma_mutex is not held during the wait of
 * step 3. The locks of pool, cache and resetting pages are leaves that are taken with interrupts
 * off, because pages come back from any context.
 */
#ifndef _PCI_P2PDMA_PRIVATE_H
#define _PCI_P2PDMA_PRIVATE_H

#include <linux/completion.h>
#include <linux/dma-map-ops.h>
#include <linux/hashtable.h>
#include <linux/llist.h>
#include <linux/memremap.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "p2pdma-pool.h"
#include "p2pdma-route.h"

/* p2pdma-bridge.c: capability and policy of bridges */

/* Goes up with every change of something that routes depend on. */
extern atomic64_t p2pdma_generation;

u32 p2pdma_host_identity(struct pci_host_bridge *host);
bool p2pdma_cpu_routes(void);
void p2pdma_routes_changed(void);

/* p2pdma-map.c: mapping and the cache of routes */

#define P2PDMA_CACHE_BITS	5

/**
 * struct p2pdma_cache - routes from one provider to the clients that mapped its memory
 * @generation: the state of the world that the entries were decided in
 * @lock: serialises changes; lookups hold rcu_read_lock()
 * @clients: struct p2pdma_cache_entry by client
 */
struct p2pdma_cache {
	u64 generation;
	spinlock_t lock; /* changes of the other two */
	DECLARE_HASHTABLE(clients, P2PDMA_CACHE_BITS);
};

void p2pdma_cache_init(struct p2pdma_cache *cache);
void p2pdma_cache_flush(struct p2pdma_cache *cache);
struct pci_dev *p2pdma_client_function(struct device *client);

/* p2pdma.c: registration and teardown */

/**
 * struct p2pdma_counters - operations on a provider's memory since registration
 * @alloc_failed: allocations for which there was no memory
 * @mapped_bus: scatterlists, once a region, mapped by bus address
 * @mapped_host: likewise, through the host bridge
 * @map_refused: likewise, for want of a route
 */
struct p2pdma_counters {
	u64 alloc_failed;
	u64 mapped_bus;
	u64 mapped_host;
	u64 map_refused;
};

/**
 * struct pci_p2pdma - a provider
 * @pdev: the function
 * @pool: all pages of all regions
 * @cache: routes to this provider's memory
 * @counters: one for each CPU
 * @unit: of the regions, the largest p2pdma_unit(); changed under p2pdma_mutex
 * @published: find may offer this memory to orchestrators
 * @allocate_file: the sysfs file "allocate" exists; p2pdma_mutex
 * @regions: struct p2pdma_region, at least one; RCU, changed under p2pdma_mutex
 * @node: in the list of providers; RCU, changed under p2pdma_mutex
 * @resetting: user pages whose last reference went, linked by page->zone_device_data
 * @nr_resetting: pages in @resetting; they count as available
 * @reset_lock: for taking pages from @resetting
 * @reset_work: empties @resetting when nobody else does
 */
struct pci_p2pdma {
	struct pci_dev *pdev;
	struct p2pdma_pool *pool;
	struct p2pdma_cache cache;
	struct p2pdma_counters __percpu *counters;
	size_t unit;
	bool published;
	bool allocate_file;
	struct list_head regions;
	struct list_head node;
	struct llist_head resetting;
	atomic_long_t nr_resetting;
	spinlock_t reset_lock; /* taking pages from resetting */
	struct delayed_work reset_work;
};

/**
 * struct p2pdma_region - one registered range of a BAR
 * @pgmap: its pages
 * @provider: whose it is
 * @bar: index of the BAR
 * @bus_offset: bus address minus CPU address
 * @chunk: its pages in the pool
 * @idle: completed when the chunk is closed and its last page came back
 * @node: in pci_p2pdma.regions
 */
struct p2pdma_region {
	struct dev_pagemap pgmap;
	struct pci_p2pdma *provider;
	int bar;
	u64 bus_offset;
	struct p2pdma_chunk *chunk;
	struct completion idle;
	struct list_head node;
};

static inline struct p2pdma_region *p2pdma_region_of(struct dev_pagemap *pgmap)
{
	return container_of(pgmap, struct p2pdma_region, pgmap);
}

/* What a user mapping takes from a region is a multiple of this, see p2pdma-pages.c. */
static inline size_t p2pdma_unit(const struct p2pdma_region *region)
{
	return PAGE_SIZE << region->pgmap.vmemmap_shift;
}

/* Every struct pci_p2pdma; RCU, changed under p2pdma_mutex. */
extern struct list_head p2pdma_providers;

void *p2pdma_alloc_upto(struct pci_p2pdma *p2pdma, size_t *size);
void *p2pdma_alloc_aligned(struct pci_p2pdma *p2pdma, size_t size, size_t align);
void p2pdma_alloc_failed(struct pci_p2pdma *p2pdma, size_t size);
size_t p2pdma_available(struct pci_p2pdma *p2pdma);

/* ---- p2pdma-pages.c: struct pages, and what a user mapping owns --------------------------- */

extern const struct dev_pagemap_ops p2pdma_pagemap_ops;

void p2pdma_pages_choose_unit(struct p2pdma_region *region);
void p2pdma_pages_init(struct p2pdma_region *region);
unsigned int p2pdma_pages_return(struct pci_p2pdma *p2pdma);
void p2pdma_pages_reset_work(struct work_struct *work);
void p2pdma_pages_disown(void *addr, size_t size);

/* ---- p2pdma-sysfs.c ----------------------------------------------------------------------- */

int p2pdma_sysfs_add(struct pci_p2pdma *p2pdma);
void p2pdma_sysfs_remove(struct pci_p2pdma *p2pdma);
int p2pdma_sysfs_add_allocate(struct pci_p2pdma *p2pdma);
void p2pdma_sysfs_remove_allocate(struct pci_p2pdma *p2pdma);

/* ---- seams for KUnit ---------------------------------------------------------------------- */

#if IS_ENABLED(CONFIG_KUNIT)
/* The steps of a registration; each can be made to fail with kunit_activate_static_stub(). */
struct pci_p2pdma *p2pdma_provider_create(struct pci_dev *pdev);
int p2pdma_region_map(struct p2pdma_region *region);
int p2pdma_region_pool(struct p2pdma_region *region);
int p2pdma_region_arm(struct p2pdma_region *region);
#endif

#endif /* _PCI_P2PDMA_PRIVATE_H */
