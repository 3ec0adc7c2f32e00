/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI peer-to-peer DMA: the cache of routes from one provider to clients
 *
 *	type = p2pdma_cache_look_up(cache, client, generation);
 *	if (type == PCI_P2PDMA_MAP_UNKNOWN) {
 *		decide the route
 *		p2pdma_cache_store(cache, &decision, generation);
 *	}
 */
#ifndef _PCI_P2PDMA_CACHE_H
#define _PCI_P2PDMA_CACHE_H

#include <linux/cleanup.h>
#include <linux/dma-map-ops.h>
#include <linux/hashtable.h>
#include <linux/jiffies.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>

/* Age at which an entry is dead, in jiffies. */
#define P2PDMA_CACHE_AGE	HZ

#define P2PDMA_CACHE_BITS	5

/**
 * struct p2pdma_cache - routes from one provider to clients
 * @generation: state of the world in which the entries were decided
 * @lock: serialises changes of @generation and @clients
 * @clients: struct p2pdma_cache_entry by client
 */
struct p2pdma_cache {
	u64 generation;
	spinlock_t lock; /* changes of generation and clients */
	DECLARE_HASHTABLE(clients, P2PDMA_CACHE_BITS);
};

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

void p2pdma_cache_init(struct p2pdma_cache *cache);
void p2pdma_cache_flush(struct p2pdma_cache *cache);
void p2pdma_cache_store(struct p2pdma_cache *cache,
			const struct p2pdma_cache_entry *from, u64 generation);

/* The caller holds rcu_read_lock() or @cache->lock. */
static __always_inline struct p2pdma_cache_entry *
p2pdma_cache_find(struct p2pdma_cache *cache, struct pci_dev *client)
{
	struct p2pdma_cache_entry *entry;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held() &&
			 !lockdep_is_held(&cache->lock), "an entry may go");
	hash_for_each_possible_rcu(cache->clients, entry, node,
				   (unsigned long)client,
				   lockdep_is_held(&cache->lock))
		if (entry->client == client)
			return entry;
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

#endif /* _PCI_P2PDMA_CACHE_H */
