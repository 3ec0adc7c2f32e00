// SPDX-License-Identifier: GPL-2.0
/*
 * The only cache of routes between PCI functions
 */

/**
 * DOC: Cache
 *
 * Deciding a route reads configuration space, which takes microseconds on real
 * hardware, so every provider remembers the verdicts for clients that mapped
 * its memory. An entry belongs to a struct pci_dev, never to a bus address, and
 * is valid
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
#include <linux/jiffies.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "p2pdma-cache.h"

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

	lockdep_assert_held(&cache->lock);
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

/**
 * p2pdma_cache_store - remember a verdict
 * @cache: the cache
 * @from: client, verdict and time of the decision
 * @generation: generation in which @from was decided; a verdict of an earlier
 *	generation than the cache's is dropped
 *
 * Without memory for an entry the next mapping decides again.
 *
 * Context: Any.
 */
void p2pdma_cache_store(struct p2pdma_cache *cache,
			const struct p2pdma_cache_entry *from, u64 generation)
{
	struct p2pdma_cache_entry *entry;
	unsigned long flags;

	entry = kmemdup(from, sizeof(*from), GFP_ATOMIC | __GFP_NOWARN);
	if (!entry)
		return;

	spin_lock_irqsave(&cache->lock, flags);
	if (cache->generation < generation) {
		p2pdma_cache_drop(cache);
		/* Pairs with p2pdma_cache_look_up(): no entry of old. */
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
