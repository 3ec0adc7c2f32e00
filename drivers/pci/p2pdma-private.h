/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI peer-to-peer DMA: private objects, lifetime and locking
 *
 * The DOC: blocks are part of Documentation/driver-api/pci/p2pdma-design.rst.
 */

/**
 * DOC: Rooms
 *
 * Calls go down only; make check fails otherwise:
 *
 * ==================================  =======================================
 * pci-p2pmem.c                        driver that makes a provider of any BAR
 * p2pdma-sysfs.c                      files for user space: of a provider,
 * p2pdma-peers.c                      of any function,
 * p2pdma-configfs.c                   and of users such as nvmet
 * p2pdma-heap.c, p2pdma-dmabuf.c      DMA heaps; dma-bufs
 * p2pdma-mem.c                        allocation
 * p2pdma-find.c                       distance, choice of a provider
 * p2pdma-map.c                        DMA mapping
 * p2pdma.c                            registration, teardown
 * p2pdma-bridge.c                     capability and policy of bridges
 * p2pdma-pool.c, p2pdma-cache.c       pages; known routes
 * p2pdma-trace.c                      tracepoints
 * p2pdma-route.c                      verdicts
 * p2pdma-inputs.c, p2pdma-hosts.c     facts; known hardware
 * ==================================  =======================================
 *
 * p2pdma.c knows the sysfs files as attribute groups only, and dma-bufs as
 * struct p2pdma_exporter.
 */

/**
 * DOC: Provider and region
 *
 * A function becomes a provider with the first region and stops being a
 * provider with the last. The state hangs off pdev->p2pdma, an RCU pointer that
 * is opaque to all other code. Readers hold rcu_read_lock(). Registration and
 * teardown are serialised by p2pdma_mutex. The driver of a function does not
 * register ranges of the function at the same time in several tasks.
 *
 * A region is one registered range of a BAR and one dev_pagemap. An allocation
 * pins the region and the provider. The pages of a region that the driver of
 * the provider owns (see pci_p2pdma_add_owned()) never enter the pool.
 */

/**
 * DOC: States of a page
 *
 * =========  ==========  ===============  =====================
 * State      Page count  Bit in the pool  Leaves the state by
 * =========  ==========  ===============  =====================
 * free       1           set              allocation
 * allocated  1           clear            pci_p2pmem_free()
 * mapped     1 and more  clear            last put_page()
 * returning  0, then 1   clear            p2pdma_return_pages()
 * =========  ==========  ===============  =====================
 *
 * An allocation for a user mapping goes from "allocated" to "mapped" when the
 * page is in the page table and the kernel has dropped the first reference.
 *
 * The kernel calls page_free() with the count at 0 and sets the count to 1
 * afterwards (mm/memremap.c). In between, the page must not be allocated, so
 * the page waits in pci_p2pdma.returning.
 */

/**
 * DOC: Teardown
 *
 * Teardown of a region:
 *
 * 1. the pool closes the chunk: no allocation takes a page any more;
 * 2. the file "allocate" goes, so no new user mapping begins;
 * 3. user mappings are zapped and dma-bufs are revoked, again and again,
 *    because a mapping or dma-buf that was under construction in step 2 appears
 *    late, and the last page returns;
 * 4. the pool and the provider forget the region;
 * 5. devres releases the pagemap, then the region.
 *
 * Other regions of the provider stay usable, except that "allocate" stays away
 * until the next registration.
 */

/**
 * DOC: Lock order
 *
 * From the outermost lock to the innermost lock:
 *
 * 1. locks of the provider's driver, around registration; the device lock of
 *    the provider, around teardown;
 * 2. p2pdma_mutex, not held during the wait of step 3 of a teardown;
 * 3. mmap_lock, around mmap(), and i_mmap_rwsem, around zapping;
 * 4. locks inside kernfs, and references of kernfs to files in use: removing
 *    the file "allocate" under p2pdma_mutex waits for mmap() calls. So neither
 *    mmap() nor a file of p2pmem/ may take p2pdma_mutex;
 * 5. the reservation lock of a dma-buf, inside mmap_lock at a page fault;
 *    importers take locks of their own inside;
 * 6. p2pdma_bridge_mutex, in the file "policy" and in the notifier of the PCI
 *    bus; p2pdma_endpoints_sem, in the file "peers" and in the notifier.
 *    Neither is taken inside the other, nor inside p2pdma_mutex;
 * 7. p2pdma_cache.lock and pci_p2pdma.return_lock, with interrupts off. No
 *    other lock of this subsystem is taken inside. The same holds for
 *    the lock of the list of dma-bufs.
 *
 * The pool has no lock. Routes are decided without a lock, in any context.
 */
#ifndef _PCI_P2PDMA_PRIVATE_H
#define _PCI_P2PDMA_PRIVATE_H

#include <linux/completion.h>
#include <linux/dma-map-ops.h>
#include <linux/llist.h>
#include <linux/memremap.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/sysfs.h>
#include <linux/workqueue.h>

#include "p2pdma-cache.h"
#include "p2pdma-pool.h"
#include "p2pdma-route.h"

/* p2pdma-inputs.c: facts for the route rules; p2pdma-route.h has the others */

u32 p2pdma_host_identity(struct pci_host_bridge *host);
struct pci_dev *p2pdma_host_first(struct pci_host_bridge *host);
bool p2pdma_cpu_routes(void);

void p2pdma_inputs_init(void);
int p2pdma_record_policy(struct device *bridge, enum p2pdma_policy policy);
bool p2pdma_host_recorded(struct pci_host_bridge *host);
int p2pdma_record_host(struct pci_host_bridge *host, struct pci_dev *first);
void p2pdma_record_quirks(struct pci_dev *pdev);
void p2pdma_forget_function(struct pci_dev *pdev);

/* p2pdma-bridge.c: capability and policy of bridges */

/* Goes up with every change of something that routes depend on. */
extern atomic64_t p2pdma_generation;

void p2pdma_routes_changed(void);

struct pci_p2pdma;
struct p2pdma_region;

/**
 * struct p2pdma_exporter - events that dma-bufs of peer memory react to
 * @routes_changed: any route may have changed; called in any context
 * @published: a provider was published; called under rcu_read_lock()
 * @revoke: a region goes; called again and again until pages and dma-bufs of
 *	the region are gone; may sleep. @report: log who holds dma-bufs.
 *
 * p2pdma-heap.c sets p2pdma_exporter at boot, as calls go down only.
 */
struct p2pdma_exporter {
	void (*routes_changed)(void);
	void (*published)(struct pci_p2pdma *p2pdma);
	void (*revoke)(struct p2pdma_region *region, bool report);
};

extern const struct p2pdma_exporter *p2pdma_exporter;

/* p2pdma-map.c: mapping */

struct pci_dev *p2pdma_client_function(struct device *client);
enum pci_p2pdma_map_type p2pdma_map_type(struct pci_p2pdma *p2pdma,
					 struct pci_dev *client);

/* p2pdma.c: registration and teardown */

/**
 * struct p2pdma_counters - operations on a provider's memory since registration
 * @alloc_failed: number of allocations that failed
 * @mapped_bus: number of scatterlists, once a region, mapped by bus address
 * @mapped_host: number of scatterlists, once a region, mapped through the host
 *	bridge
 * @map_refused: number of scatterlists, once a region, refused without a route
 */
struct p2pdma_counters {
	u64 alloc_failed;
	u64 mapped_bus;
	u64 mapped_host;
	u64 map_refused;
};

/**
 * struct pci_p2pdma - state of a provider
 * @pdev: the provider
 * @pool: pages of all regions that the driver does not own
 * @cache: routes to the provider's memory
 * @counters: counters of each CPU
 * @file: file of all user mappings; its address space finds the mappings
 * @user_pages: number of pages in user mappings and in buffers of the heap
 * @reserve: number of bytes that user space leaves alone, unless the task has
 *	CAP_SYS_RESOURCE
 * @reserve_set: an administrator wrote @reserve
 * @owned: number of bytes in regions that the driver owns
 * @needs_heap: a DMA heap for the provider is to be added
 * @published: find may offer the memory to orchestrators
 * @allocate_file: the sysfs file "allocate" exists; p2pdma_mutex
 * @regions: struct p2pdma_region; RCU, changed under p2pdma_mutex
 * @node: entry in p2pdma_providers; RCU, changed under p2pdma_mutex
 * @returning: pages in the state "returning", linked by page->private
 * @nr_returning: number of pages in @returning; counted as available
 * @return_lock: serialises removal from @returning
 * @owned_returning: pages in the state "returning" that the driver owns
 * @return_work: empties both lists
 */
struct pci_p2pdma {
	struct pci_dev *pdev;
	struct p2pdma_pool *pool;
	struct p2pdma_cache cache;
	struct p2pdma_counters __percpu *counters;
	struct file *file;
	atomic_long_t user_pages;
	size_t reserve;
	bool reserve_set;
	size_t owned;
	bool needs_heap;
	bool published;
	bool allocate_file;
	struct list_head regions;
	struct list_head node;
	struct llist_head returning;
	atomic_long_t nr_returning;
	raw_spinlock_t return_lock; /* removal from returning */
	struct llist_head owned_returning;
	struct delayed_work return_work;
};

/**
 * struct p2pdma_region - one registered range of a BAR
 * @pgmap: the pages
 * @p2pdma: state of the provider
 * @bar: index of the BAR
 * @bus_offset: bus address minus CPU address
 * @chunk: the pages in the pool; NULL if the driver owns the pages
 * @page_free: callback of the driver that owns the pages, or NULL
 * @nr_returning: number of pages in the state "returning" that the driver owns
 * @exported: number of pages in dma-bufs
 * @freed: completed when pages come back during teardown
 * @forgotten: the driver unmapped the pages, and a task takes the region out of
 *	@node; p2pdma_mutex
 * @node: entry in pci_p2pdma.regions
 */
struct p2pdma_region {
	struct dev_pagemap pgmap;
	struct pci_p2pdma *p2pdma;
	int bar;
	u64 bus_offset;
	struct p2pdma_chunk *chunk;
	void (*page_free)(struct page *page);
	atomic_long_t nr_returning;
	atomic_long_t exported;
	struct completion freed;
	bool forgotten;
	struct list_head node;
};

static inline struct p2pdma_region *p2pdma_region_of(struct dev_pagemap *pgmap)
{
	return container_of(pgmap, struct p2pdma_region, pgmap);
}

/* All providers; RCU, changed under p2pdma_mutex. */
extern struct list_head p2pdma_providers;

size_t p2pdma_size(struct pci_p2pdma *p2pdma);
size_t p2pdma_available(struct pci_p2pdma *p2pdma);
bool p2pdma_return_pages(struct pci_p2pdma *p2pdma);

/* p2pdma-mem.c: allocation */

/* Pages to clear before the task may be rescheduled or killed: 64 KiB. */
#define P2PDMA_CLEAR_STEP	(SZ_64K >> PAGE_SHIFT ?: 1UL)

/* Pages that are taken or freed at a time, without a chance to reschedule. */
#define P2PDMA_TAKE_PART	16384UL

bool p2pdma_reserve(struct pci_p2pdma *p2pdma, unsigned long nr);
bool p2pdma_charge(struct pci_p2pdma *p2pdma, unsigned long nr);
void p2pdma_clear(void *pages, unsigned long nr);
void p2pdma_flush_stores(const void *page);
unsigned int p2pdma_take(struct pci_p2pdma *p2pdma, unsigned long *nr,
			 struct p2pdma_run *runs);
void p2pdma_free_runs(struct pci_p2pdma *p2pdma, const struct p2pdma_run *runs,
		      unsigned int n);
void p2pdma_alloc_failed(struct pci_p2pdma *p2pdma, size_t size);

/* p2pdma-sysfs.c: the directory p2pmem/ of a provider */

extern const struct attribute_group p2pmem_group;
extern const struct attribute_group p2pmem_allocate_group;

#if IS_ENABLED(CONFIG_KUNIT)
void p2pdma_export_published(struct pci_p2pdma *p2pdma);
void p2pdma_log_importer(struct pci_dev *provider, struct device *importer,
			 size_t size, const char *what, const char *reason);
void p2pdma_forget_denials(void);
bool p2pdma_listed_in(const char *list, struct device *bridge);

/* Steps of a registration; KUnit makes each fail by a static stub. */
struct pci_p2pdma *p2pdma_provider_create(struct pci_dev *pdev);
int p2pdma_sysfs_add(struct pci_p2pdma *p2pdma);
int p2pdma_sysfs_add_allocate(struct pci_p2pdma *p2pdma);
int p2pdma_region_map(struct p2pdma_region *region);
int p2pdma_region_pool(struct p2pdma_region *region);
int p2pdma_region_arm(struct p2pdma_region *region);
#endif

#endif /* _PCI_P2PDMA_PRIVATE_H */
