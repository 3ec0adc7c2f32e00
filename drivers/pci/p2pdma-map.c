// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: DMA mapping, and the only cache of routes
 */

/**
 * DOC: DMA mapping
 *
 * dma_map_sg() calls pci_p2pdma_map_segment() for every entry with peer memory:
 *
 * 1. The first entry of a region looks the verdict of the client up in the
 *    cache of the provider. Without an entry, p2pdma_route() decides.
 * 2. The counter of the verdict goes up, once for each region of a list.
 * 3. With the verdict "direct", the entry gets the bus address. With
 *    "host-bridge", the caller maps the entry like system memory. With "none",
 *    the caller gives up the whole list.
 *
 * Unmapping does not look at routes, and a change of the verdict does not undo
 * a mapping. An entry owns allocated pages, so the provider stays.
 *
 * Deciding a route reads configuration space, which takes microseconds on real
 * hardware, so every provider remembers the verdicts for clients that mapped
 * its memory. An entry of the cache belongs to a struct pci_dev, never to a bus
 * address, and is valid
 *
 * in a generation
 *	A counter goes up when an input of routes changes. Entries of another
 *	generation are dead, so a change costs an increment and need not find
 *	the affected entries.
 *
 * for a second
 *	Resets, resume and setpci change access control without a notification.
 *
 * A verdict from an unreadable port is not remembered at all: the port may
 * answer the next time.
 */
#include <linux/dma-map-ops.h>
#include <linux/hash.h>
#include <linux/jiffies.h>
#include <linux/pci.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "p2pdma-private.h"
#include "p2pdma_trace.h"

/* Age at which an entry is dead, in jiffies. */
#define P2PDMA_CACHE_AGE	HZ

/**
 * struct p2pdma_cache_entry - the route to a client
 * @node: in p2pdma_cache.clients
 * @rcu: for freeing
 * @client: the client
 * @decided: jiffies when the decision began; written after @type
 * @type: the verdict
 */
struct p2pdma_cache_entry {
	struct hlist_node node;
	struct rcu_head rcu;
	struct pci_dev *client;
	unsigned long decided;
	enum pci_p2pdma_map_type type;
};

/**
 * p2pdma_cache_init - prepare an empty cache
 * @cache: the cache
 *
 * Context: Any.
 */
void p2pdma_cache_init(struct p2pdma_cache *cache)
{
	spin_lock_init(&cache->lock);
	hash_init(cache->clients);
	cache->generation = 0;
}

static void p2pdma_cache_drop(struct p2pdma_cache *cache)
{
	struct p2pdma_cache_entry *entry;
	struct hlist_node *next;
	int bucket;

	hash_for_each_safe(cache->clients, bucket, next, entry, node) {
		hash_del_rcu(&entry->node);
		kfree_rcu(entry, rcu);
	}
}

/**
 * p2pdma_cache_flush - empty a cache
 * @cache: the cache
 *
 * Context: Any.
 */
void p2pdma_cache_flush(struct p2pdma_cache *cache)
{
	unsigned long flags;

	spin_lock_irqsave(&cache->lock, flags);
	p2pdma_cache_drop(cache);
	spin_unlock_irqrestore(&cache->lock, flags);
}

static __always_inline struct p2pdma_cache_entry *
p2pdma_cache_find(struct p2pdma_cache *cache, struct pci_dev *client)
{
	struct p2pdma_cache_entry *entry;

	hash_for_each_possible_rcu(cache->clients, entry, node,
				   (unsigned long)client)
		if (entry->client == client)
			return entry;
	return NULL;
}

/* Of two decisions the later stays. Returns false without an entry. */
static bool p2pdma_cache_renew(struct p2pdma_cache *cache,
			       const struct p2pdma_cache_entry *from)
{
	struct p2pdma_cache_entry *entry;

	lockdep_assert_held(&cache->lock);
	entry = p2pdma_cache_find(cache, from->client);
	if (entry && time_after(from->decided, entry->decided)) {
		WRITE_ONCE(entry->type, from->type);
		/* Pairs with p2pdma_cache_look_up(): no old type, new age. */
		smp_store_release(&entry->decided, from->decided);
	}
	return entry;
}

/*
 * Without memory for an entry the next mapping decides again. The verdict of
 * @from was decided in @generation, and is dead if the generation has changed.
 */
static void p2pdma_cache_store(struct p2pdma_cache *cache,
			       const struct p2pdma_cache_entry *from,
			       u64 generation)
{
	struct p2pdma_cache_entry *entry;
	unsigned long flags;

	entry = kmemdup(from, sizeof(*from), GFP_ATOMIC | __GFP_NOWARN);
	if (!entry)
		return;

	spin_lock_irqsave(&cache->lock, flags);
	if (cache->generation < generation) {
		p2pdma_cache_drop(cache);
		/* Pairs with p2pdma_cache_look_up(): no old entry, new number. */
		smp_store_release(&cache->generation, generation);
	}
	if (cache->generation == generation &&
	    !p2pdma_cache_renew(cache, from)) {
		hash_add_rcu(cache->clients, &entry->node,
			     (unsigned long)from->client);
		entry = NULL;
	}
	spin_unlock_irqrestore(&cache->lock, flags);
	kfree(entry);
}

/**
 * p2pdma_client_function - find the function that masters DMA for a device
 * @client: a PCI function, or any device below one
 *
 * Context: Any. The caller holds @client, and @client holds the parents.
 * Return: the nearest PCI function from @client upwards, or NULL; no reference.
 */
struct pci_dev *p2pdma_client_function(struct device *client)
{
	for (; client; client = client->parent)
		if (dev_is_pci(client))
			return to_pci_dev(client);
	return NULL;
}

/* Returns the remembered verdict, or %PCI_P2PDMA_MAP_UNKNOWN. */
static __always_inline enum pci_p2pdma_map_type
p2pdma_cache_look_up(struct p2pdma_cache *cache, struct pci_dev *client,
		     u64 generation)
{
	struct p2pdma_cache_entry *entry;
	unsigned long decided;

	/* Pairs with the release in p2pdma_cache_store(). */
	if (smp_load_acquire(&cache->generation) != generation)
		return PCI_P2PDMA_MAP_UNKNOWN;
	guard(rcu)();
	entry = p2pdma_cache_find(cache, client);
	if (!entry)
		return PCI_P2PDMA_MAP_UNKNOWN;
	/* Pairs with the release in p2pdma_cache_renew(). */
	decided = smp_load_acquire(&entry->decided);
	if (jiffies - decided > P2PDMA_CACHE_AGE)
		return PCI_P2PDMA_MAP_UNKNOWN;
	return READ_ONCE(entry->type);
}

static enum pci_p2pdma_map_type p2pdma_map_type(struct pci_p2pdma *p2pdma,
						struct pci_dev *client)
{
	u64 generation = atomic64_read_acquire(&p2pdma_generation);
	struct p2pdma_cache_entry decision = {
		.client = client,
		.decided = jiffies,
	};
	struct p2pdma_route route;

	if (!client)
		return PCI_P2PDMA_MAP_NOT_SUPPORTED;
	decision.type = p2pdma_cache_look_up(&p2pdma->cache, client, generation);
	if (decision.type != PCI_P2PDMA_MAP_UNKNOWN)
		return decision.type;

	p2pdma_route(p2pdma->pdev, client, &route, NULL);
	trace_p2pdma_route(p2pdma->pdev, client, &route);
	decision.type = route.type;
	if (route.reason != P2PDMA_REASON_UNREADABLE)
		p2pdma_cache_store(&p2pdma->cache, &decision, generation);
	return route.type;
}

/* The next entries of the scatterlist are in this region. */
static __always_inline void p2pdma_enter(struct pci_p2pdma_map_state *state,
					 struct p2pdma_region *region,
					 enum pci_p2pdma_map_type type)
{
	struct p2pdma_counters __percpu *counters = region->p2pdma->counters;

	if (type == PCI_P2PDMA_MAP_BUS_ADDR)
		this_cpu_inc(counters->mapped_bus);
	else if (type == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE)
		this_cpu_inc(counters->mapped_host);
	else
		this_cpu_inc(counters->map_refused);
	state->pgmap = &region->pgmap;
	state->map = type;
	state->bus_off = region->bus_offset;
}

/* Fast path: @dev is the PCI function itself and the route is cached. */
static __always_inline bool
p2pdma_enter_known(struct pci_p2pdma_map_state *state, struct device *dev,
		   struct p2pdma_region *region)
{
	u64 generation = atomic64_read_acquire(&p2pdma_generation);
	enum pci_p2pdma_map_type type;

	if (!dev_is_pci(dev) || trace_p2pdma_map_enabled())
		return false;
	type = p2pdma_cache_look_up(&region->p2pdma->cache, to_pci_dev(dev),
				    generation);
	if (type == PCI_P2PDMA_MAP_UNKNOWN)
		return false;
	p2pdma_enter(state, region, type);
	return true;
}

static __always_inline enum pci_p2pdma_map_type
p2pdma_map_entry(const struct pci_p2pdma_map_state *state,
		 struct scatterlist *sg)
{
	if (state->map == PCI_P2PDMA_MAP_BUS_ADDR) {
		sg->dma_address = sg_phys(sg) + state->bus_off;
		sg_dma_len(sg) = sg->length;
		sg_dma_mark_bus_address(sg);
	}
	return state->map;
}

static noinline enum pci_p2pdma_map_type
p2pdma_map_slowly(struct pci_p2pdma_map_state *state, struct device *dev,
		  struct scatterlist *sg)
{
	struct p2pdma_region *region = p2pdma_region_of(sg_page(sg)->pgmap);
	struct pci_dev *client = p2pdma_client_function(dev);
	enum pci_p2pdma_map_type type;

	type = p2pdma_map_type(region->p2pdma, client);
	trace_p2pdma_map(region->p2pdma->pdev, client, type);
	p2pdma_enter(state, region, type);
	return p2pdma_map_entry(state, sg);
}

/**
 * pci_p2pdma_map_segment - map an entry of a scatterlist with peer memory
 * @state: zeroed before the first entry of a list
 * @dev: device to master DMA; a PCI function or any child of a function
 * @sg: the entry
 *
 * For dma_map_sg() implementations. A run of entries in a region costs a single
 * look-up.
 *
 * Context: Any. @sg's pages are allocated peer memory, so the provider stays.
 * Return: %PCI_P2PDMA_MAP_BUS_ADDR if @sg has been mapped by its bus address,
 * %PCI_P2PDMA_MAP_THRU_HOST_BRIDGE if the caller has to map @sg like system
 * memory, %PCI_P2PDMA_MAP_NOT_SUPPORTED if @dev must not access @sg.
 */
enum pci_p2pdma_map_type
pci_p2pdma_map_segment(struct pci_p2pdma_map_state *state, struct device *dev,
		       struct scatterlist *sg)
{
	struct dev_pagemap *pgmap = sg_page(sg)->pgmap;

	/* Out of line, so that the fast path spills no registers. */
	if (state->pgmap != pgmap &&
	    !p2pdma_enter_known(state, dev, p2pdma_region_of(pgmap)))
		return p2pdma_map_slowly(state, dev, sg);
	return p2pdma_map_entry(state, sg);
}
