/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI peer-to-peer DMA: the page allocator, what is near
 *
 * The objects of p2pdma-pool.c, which explains them, and the part of allocation and free that
 * does without the lock. Only for p2pdma-pool.c and for those who cannot afford to call it.
 */
#ifndef _PCI_P2PDMA_POOL_NEAR_H
#define _PCI_P2PDMA_POOL_NEAR_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/cache.h>
#include <linux/cleanup.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/rculist.h>
#include <linux/spinlock.h>

#include "p2pdma-pool.h"

struct p2pdma_runs;

/* Pages of a word, and words of a group. */
#define P2PDMA_SET		BITS_PER_LONG
#define P2PDMA_WORD_SHIFT	(PAGE_SHIFT + 6)

/* So many pages of difference a CPU keeps to itself. */
#define P2PDMA_BATCH		64

/* Enough levels for 2^32 pages: 2^26 words below, then an eighth from each to the next. */
#define P2PDMA_LEVELS		10

/**
 * struct p2pdma_set - 64 of a kind: pages of a word, or words of a group
 * @free: those that are free, a bit each; by compare-and-exchange only
 * @promised: a superset of them, see above; written under the lock, read any time
 * @addr: of the first page
 */
struct p2pdma_set {
	unsigned long free;
	unsigned long promised;
	unsigned long addr;
};

/**
 * struct p2pdma_word - 64 pages
 * @pages: if broken, what is free and promised; zero if whole
 * @head: see struct p2pdma_runs; under lock
 * @tail: likewise
 * @longest: likewise
 */
struct p2pdma_word {
	struct p2pdma_set pages;
	u8 head;
	u8 tail;
	u8 longest;
};

/**
 * struct p2pdma_group - 64 words
 * @words: what is free and promised of those that are whole; zero for those that are broken
 * @broken: those that are broken, a bit each; written under the lock, read any time
 */
struct p2pdma_group {
	struct p2pdma_set words;
	unsigned long broken;
};

/**
 * enum p2pdma_chunk_state - what may happen in a chunk
 * @P2PDMA_OPEN: everything
 * @P2PDMA_CLOSING: no search comes here; an allocation that began earlier may still succeed
 * @P2PDMA_CLOSED: pages only come back
 */
enum p2pdma_chunk_state {
	P2PDMA_OPEN,
	P2PDMA_CLOSING,
	P2PDMA_CLOSED,
};

/**
 * struct p2pdma_cpu - what a pool keeps for each CPU
 * @near_word: where this CPU tries first; written under the lock, read by this CPU any time
 * @near_group: likewise, for whole words
 * @delta: pages allocated minus pages freed here that p2pdma_pool.held does not count yet
 * @users: counter of the block of @near_word, see p2pdma_chunk.users, or NULL; under lock
 */
struct p2pdma_cpu {
	struct p2pdma_set *near_word;
	struct p2pdma_set *near_group;
	long delta;
	u16 *users;
};

/**
 * struct p2pdma_pool - a page allocator
 * @cpu: for each CPU
 * @chunks: struct p2pdma_chunk; RCU, changed under @lock
 * @lock: for promises, the tree, breaking words, states, what is near, and searches
 * @held: pages that are allocated, but for what CPUs keep to themselves
 * @highest: the largest value of @held so far
 * @peak: pages allocated when @highest was last exceeded, or when somebody asked, if more
 */
struct p2pdma_pool {
	struct p2pdma_cpu __percpu *cpu;
	struct list_head chunks;
	raw_spinlock_t lock ____cacheline_aligned_in_smp;
	atomic_long_t held;
	long highest;
	atomic_long_t peak;
};

/**
 * struct p2pdma_chunk - a range of pages in a pool
 * @node: in p2pdma_pool.chunks
 * @addr: first byte of the range
 * @nr_pages: length of the range
 * @word: the pages, in words; in the last one, pages beyond the range are never free
 * @group: the words, in groups
 * @level: promised runs of nodes, by level; level 0 is in @word; under lock
 * @count: number of nodes by level
 * @top: the level of the root
 * @users: by block, how many CPUs have their near word there; under lock
 * @idle: to complete when closed and @settled comes to the last word
 * @pool: where it belongs
 * @memory: of the arrays
 * @longest: length of the longest run that is promised, or more; 0 unless the chunk is open;
 *	written under the lock, read any time
 * @state: what may happen here; changed under the lock
 * @settled: if closed, this many words are known to have all pages back; under lock
 */
struct p2pdma_chunk {
	struct list_head node;
	unsigned long addr;
	unsigned long nr_pages;
	struct p2pdma_word *word;
	struct p2pdma_group *group;
	struct p2pdma_runs *level[P2PDMA_LEVELS];
	unsigned long count[P2PDMA_LEVELS];
	unsigned int top;
	u16 *users;
	struct completion *idle;
	struct p2pdma_pool *pool;
	void *memory;
	u32 longest ____cacheline_aligned_in_smp;
	enum p2pdma_chunk_state state;
	unsigned long settled;
};

/* ---- sets --------------------------------------------------------------------------------- */

/* @nr bits from @first on; at least one, and all of them in the set. */
static __always_inline unsigned long p2pdma_set_bits(unsigned int first, unsigned int nr)
{
	return ~0UL >> (P2PDMA_SET - nr) << first;
}

/* Where a run of @nr begins that lies within the set; @nr is at least 1. */
static __always_inline unsigned long p2pdma_set_starts(unsigned long free, unsigned int nr)
{
	if (nr < 2)
		return free;
	free &= free >> 1;
	if (nr < 4)
		return free & (free >> (nr - 2));
	free &= free >> 2;
	if (nr < 8)
		return free & (free >> (nr - 4));
	free &= free >> 4;
	if (nr < 16)
		return free & (free >> (nr - 8));
	free &= free >> 8;
	if (nr < 32)
		return free & (free >> (nr - 16));
	free &= free >> 16;
	return free & (free >> (nr - 32));
}

/*
 * Take @nr in a row, wherever they are, and set @first to where; one is the lowest of all. Fails
 * also if the set changes meanwhile.
 */
static __always_inline bool p2pdma_set_try_take(struct p2pdma_set *set, unsigned int nr,
						unsigned long *first)
{
	unsigned long old = READ_ONCE(set->free), new, starts;

	if (!old)
		return false;
	starts = p2pdma_set_starts(old, nr);
	if (!starts)
		return false;
	*first = __ffs(starts);
	new = nr == 1 ? old & (old - 1) : old ^ p2pdma_set_bits(*first, nr);
	return likely(try_cmpxchg(&set->free, &old, new));
}

/* Give some back, if none of them is free. Fails also if the set changes meanwhile. */
static __always_inline bool p2pdma_set_try_give(struct p2pdma_set *set, unsigned long mask)
{
	unsigned long old = READ_ONCE(set->free);

	return !(mask & old) && likely(try_cmpxchg(&set->free, &old, old | mask));
}

/* Are some promised that have just been given back? */
static __always_inline bool p2pdma_set_promises(const struct p2pdma_set *set, unsigned long mask)
{
	/* Pairs with the barriers of those who end promises, and of those who make them. */
	return !(mask & ~smp_load_acquire(&set->promised));
}

/* ---- numbers ------------------------------------------------------------------------------ */

/* Zero bytes become more pages than there can be. */
static __always_inline unsigned long p2pdma_pool_pages(size_t size)
{
	return ((size - 1) >> PAGE_SHIFT) + 1;
}

/* Less than a word comes from the near word, up to 64 whole words from the near group. */
static __always_inline bool p2pdma_pool_is_short(unsigned long nr)
{
	return nr < P2PDMA_SET;
}

static __always_inline bool p2pdma_pool_is_whole(unsigned long nr)
{
	return nr % P2PDMA_SET == 0 && nr <= P2PDMA_SET * P2PDMA_SET;
}

void *p2pdma_pool_fold(struct p2pdma_pool *pool, void *addr);

/* Count pages that were allocated, or freed if negative. Returns @addr, for the compiler's sake. */
static __always_inline void *p2pdma_pool_count(struct p2pdma_pool *pool, long nr, void *addr)
{
	unsigned long delta = this_cpu_add_return(pool->cpu->delta, nr);

	if (unlikely(delta + P2PDMA_BATCH > 2 * P2PDMA_BATCH))
		return p2pdma_pool_fold(pool, addr);
	return addr;
}

/* ---- allocation --------------------------------------------------------------------------- */

/* Which CPU this is may change at any time; what is near another one is as good. */
static __always_inline bool p2pdma_near_pages(struct p2pdma_pool *pool, unsigned long nr,
					      void **addr)
{
	struct p2pdma_set *set = this_cpu_read(pool->cpu->near_word);
	unsigned long first;

	if (!p2pdma_set_try_take(set, nr, &first))
		return false;
	*addr = (void *)(set->addr + (first << PAGE_SHIFT));
	*addr = p2pdma_pool_count(pool, nr, *addr);
	return true;
}

static __always_inline bool p2pdma_near_words(struct p2pdma_pool *pool, unsigned long nr,
					      void **addr)
{
	struct p2pdma_set *set = this_cpu_read(pool->cpu->near_group);
	unsigned long first;

	if (!p2pdma_set_try_take(set, nr / P2PDMA_SET, &first))
		return false;
	*addr = (void *)(set->addr + (first << P2PDMA_WORD_SHIFT));
	*addr = p2pdma_pool_count(pool, nr, *addr);
	return true;
}

/**
 * p2pdma_pool_alloc_near - allocate a run of pages from what is near this CPU
 * @pool: the pool
 * @size: in bytes; rounded up to whole pages
 * @addr: set to the address of the first page
 *
 * Context: Any. The caller holds rcu_read_lock().
 * Return: whether that was possible; if not, p2pdma_pool_alloc() is to try.
 */
static __always_inline bool p2pdma_pool_alloc_near(struct p2pdma_pool *pool, size_t size,
						   void **addr)
{
	unsigned long nr = p2pdma_pool_pages(size);

	/* Almost all are single pages: have the compiler make code just for them. */
	if (size - 1 < PAGE_SIZE)
		return p2pdma_near_pages(pool, 1, addr);
	if (p2pdma_pool_is_short(nr))
		return p2pdma_near_pages(pool, nr, addr);
	if (p2pdma_pool_is_whole(nr))
		return p2pdma_near_words(pool, nr, addr);
	return false;
}

/* ---- free --------------------------------------------------------------------------------- */

/**
 * enum p2pdma_near_result - how far p2pdma_pool_free_near() came
 * @P2PDMA_NEAR_NOTHING: nothing has changed, it is for p2pdma_pool_free() to do it or to refuse
 * @P2PDMA_NEAR_GIVEN: the pages have been given back, it is for p2pdma_pool_given() to do the rest
 * @P2PDMA_NEAR_DONE: all has been done
 */
enum p2pdma_near_result {
	P2PDMA_NEAR_NOTHING,
	P2PDMA_NEAR_GIVEN,
	P2PDMA_NEAR_DONE,
};

static __always_inline enum p2pdma_near_result
p2pdma_near_free(struct p2pdma_pool *pool, struct p2pdma_set *set, unsigned long mask,
		 unsigned long nr)
{
	if (!p2pdma_set_try_give(set, mask))
		return P2PDMA_NEAR_NOTHING;
	if (unlikely(!p2pdma_set_promises(set, mask)))
		return P2PDMA_NEAR_GIVEN;
	p2pdma_pool_count(pool, -nr, NULL);
	return P2PDMA_NEAR_DONE;
}

/* Part of a word. */
static __always_inline enum p2pdma_near_result
p2pdma_near_free_pages(struct p2pdma_pool *pool, struct p2pdma_chunk *chunk, unsigned long first,
		       unsigned long nr)
{
	return p2pdma_near_free(pool, &chunk->word[first / P2PDMA_SET].pages,
				p2pdma_set_bits(first % P2PDMA_SET, nr), nr);
}

/* Whole words of one group, if none of them is broken. */
static __always_inline enum p2pdma_near_result
p2pdma_near_free_words(struct p2pdma_pool *pool, struct p2pdma_chunk *chunk, unsigned long first,
		       unsigned long nr)
{
	unsigned long w = first / P2PDMA_SET, count = nr / P2PDMA_SET, mask;
	struct p2pdma_group *group = &chunk->group[w / P2PDMA_SET];

	if ((first | nr) % P2PDMA_SET || w % P2PDMA_SET + count > P2PDMA_SET)
		return P2PDMA_NEAR_NOTHING;
	mask = p2pdma_set_bits(w % P2PDMA_SET, count);
	if (READ_ONCE(group->broken) & mask)
		return P2PDMA_NEAR_NOTHING;
	return p2pdma_near_free(pool, &group->words, mask, nr);
}

/* The number of a page in a chunk. What is not page aligned ends up beyond any chunk. */
static __always_inline unsigned long p2pdma_chunk_page(const struct p2pdma_chunk *chunk,
						       const void *addr)
{
	return ror64((unsigned long)addr - chunk->addr, PAGE_SHIFT);
}

/**
 * p2pdma_pool_free_near - give a run of pages back if that is simple
 * @pool: the pool
 * @addr: address of the first page
 * @size: in bytes; rounded up to whole pages
 *
 * Context: Any. The caller holds rcu_read_lock().
 * Return: how far it came.
 */
static __always_inline enum p2pdma_near_result
p2pdma_pool_free_near(struct p2pdma_pool *pool, void *addr, size_t size)
{
	unsigned long nr = p2pdma_pool_pages(size), first;
	struct p2pdma_chunk *chunk;

	list_for_each_entry_rcu(chunk, &pool->chunks, node) {
		first = p2pdma_chunk_page(chunk, addr);
		if (first >= chunk->nr_pages)
			continue;
		if (size - 1 < PAGE_SIZE)
			return p2pdma_near_free_pages(pool, chunk, first, 1);
		if (nr > chunk->nr_pages - first)
			return P2PDMA_NEAR_NOTHING;
		if (p2pdma_pool_is_short(nr) && first % P2PDMA_SET + nr <= P2PDMA_SET)
			return p2pdma_near_free_pages(pool, chunk, first, nr);
		return p2pdma_near_free_words(pool, chunk, first, nr);
	}
	return P2PDMA_NEAR_NOTHING;
}

bool p2pdma_pool_given(struct p2pdma_pool *pool, void *addr, size_t size);

#endif /* _PCI_P2PDMA_POOL_NEAR_H */
