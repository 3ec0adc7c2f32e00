// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: DMA mapping, and the only cache of routes
 *
 * Deciding a route reads configuration space, which costs microseconds on real hardware, so
 * every provider remembers the verdicts for the clients that mapped its memory. An entry belongs
 * to a struct pci_dev, never to a bus address, and to a generation: a counter that goes up when
 * something changes that routes depend on. Entries of another generation are dead, so a change
 * costs one increment and never has to find the entries that it concerns.
 */
#include <linux/dma-map-ops.h>
#include <linux/hash.h>
#include <linux/pci.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "p2pdma-private.h"
#include "p2pdma_trace.h"

struct p2pdma_cache_entry {
	struct hlist_node node;
	struct rcu_head rcu;
	struct pci_dev *client;
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

static struct p2pdma_cache_entry *p2pdma_cache_find(struct p2pdma_cache *cache,
						    struct pci_dev *client)
{
	struct p2pdma_cache_entry *entry;

	hash_for_each_possible_rcu(cache->clients, entry, node, (unsigned long)client)
		if (entry->client == client)
			return entry;
	return NULL;
}

/*
 * Without memory for an entry the route is decided again next time. The verdict was decided in
 * @generation; if the world has moved on since, it must not be remembered.
 */
static void p2pdma_cache_store(struct p2pdma_cache *cache, struct pci_dev *client,
			       enum pci_p2pdma_map_type type, u64 generation)
{
	struct p2pdma_cache_entry *entry = kmalloc(sizeof(*entry), GFP_ATOMIC | __GFP_NOWARN);
	unsigned long flags;

	if (!entry)
		return;
	entry->client = client;
	entry->type = type;

	spin_lock_irqsave(&cache->lock, flags);
	if (cache->generation < generation) {
		p2pdma_cache_drop(cache);
		/* Pairs with the acquire in p2pdma_map_type(): no old entry under a new number. */
		smp_store_release(&cache->generation, generation);
	}
	if (cache->generation == generation && !p2pdma_cache_find(cache, client)) {
		hash_add_rcu(cache->clients, &entry->node, (unsigned long)client);
		entry = NULL;
	}
	spin_unlock_irqrestore(&cache->lock, flags);
	kfree(entry);
}

/**
 * p2pdma_client_function - the function that masters DMA for a device
 * @client: a PCI function, or any device below one
 *
 * Context: Any. The caller holds @client, which holds its parents.
 * Return: the nearest PCI function from @client upwards, or NULL; no reference.
 */
struct pci_dev *p2pdma_client_function(struct device *client)
{
	for (; client; client = client->parent)
		if (dev_is_pci(client))
			return to_pci_dev(client);
	return NULL;
}

/* The route that the cache knows, or NULL. */
static __always_inline struct p2pdma_cache_entry *
p2pdma_cache_look_up(struct p2pdma_cache *cache, struct pci_dev *client, u64 generation)
{
	/* Pairs with the release in p2pdma_cache_store(). */
	if (smp_load_acquire(&cache->generation) != generation)
		return NULL;
	return p2pdma_cache_find(cache, client);
}

static enum pci_p2pdma_map_type p2pdma_map_type(struct pci_p2pdma *p2pdma,
						struct pci_dev *client)
{
	u64 generation = atomic64_read_acquire(&p2pdma_generation);
	struct p2pdma_cache_entry *entry;
	struct p2pdma_route route;

	if (!client)
		return PCI_P2PDMA_MAP_NOT_SUPPORTED;

	scoped_guard(rcu) {
		entry = p2pdma_cache_look_up(&p2pdma->cache, client, generation);
		if (entry)
			return entry->type;
	}

	p2pdma_route(p2pdma->pdev, client, &route, NULL);
	trace_p2pdma_route(p2pdma->pdev, client, &route);
	p2pdma_cache_store(&p2pdma->cache, client, route.type, generation);
	return route.type;
}

/* From here on, entries are in this region. */
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

/* What is mapped all the time: for a function itself, with a route that the cache knows. */
static __always_inline bool p2pdma_enter_known(struct pci_p2pdma_map_state *state,
					       struct device *dev, struct p2pdma_region *region)
{
	u64 generation = atomic64_read_acquire(&p2pdma_generation);
	struct p2pdma_cache_entry *entry;

	if (!dev_is_pci(dev) || trace_p2pdma_map_enabled())
		return false;
	guard(rcu)();
	entry = p2pdma_cache_look_up(&region->p2pdma->cache, to_pci_dev(dev), generation);
	if (!entry)
		return false;
	p2pdma_enter(state, region, entry->type);
	return true;
}

static __always_inline enum pci_p2pdma_map_type
p2pdma_map_entry(const struct pci_p2pdma_map_state *state, struct scatterlist *sg)
{
	if (state->map == PCI_P2PDMA_MAP_BUS_ADDR) {
		sg->dma_address = sg_phys(sg) + state->bus_off;
		sg_dma_len(sg) = sg->length;
		sg_dma_mark_bus_address(sg);
	}
	return state->map;
}

static noinline enum pci_p2pdma_map_type
p2pdma_map_slowly(struct pci_p2pdma_map_state *state, struct device *dev, struct scatterlist *sg)
{
	struct p2pdma_region *region = p2pdma_region_of(sg_page(sg)->pgmap);
	struct pci_dev *client = p2pdma_client_function(dev);
	enum pci_p2pdma_map_type type = p2pdma_map_type(region->p2pdma, client);

	trace_p2pdma_map(region->p2pdma->pdev, client, type);
	p2pdma_enter(state, region, type);
	return p2pdma_map_entry(state, sg);
}

/**
 * pci_p2pdma_map_segment - map one entry of a scatterlist that is peer memory
 * @state: zeroed before the first entry of a list
 * @dev: the device that will master DMA; a PCI function or any child of one
 * @sg: the entry
 *
 * For dma_map_sg() implementations. Entries of one region need one look-up.
 *
 * Context: Any. @sg's pages are allocated peer memory, which pins their provider.
 * Return: %PCI_P2PDMA_MAP_BUS_ADDR if @sg has been mapped by its bus address,
 * %PCI_P2PDMA_MAP_THRU_HOST_BRIDGE if the caller has to map it like system memory,
 * %PCI_P2PDMA_MAP_NOT_SUPPORTED if the device must not access it.
 */
enum pci_p2pdma_map_type pci_p2pdma_map_segment(struct pci_p2pdma_map_state *state,
						struct device *dev, struct scatterlist *sg)
{
	struct dev_pagemap *pgmap = sg_page(sg)->pgmap;

	/* What is rare is a call away, so that the rest need not save registers. */
	if (state->pgmap != pgmap && !p2pdma_enter_known(state, dev, p2pdma_region_of(pgmap)))
		return p2pdma_map_slowly(state, dev, sg);
	return p2pdma_map_entry(state, sg);
}
