/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI peer-to-peer DMA: the page allocator
 *
 * In any context, under rcu_read_lock():
 *
 *	addr = p2pdma_pool_alloc(pool, size);		contiguous
 *	p2pdma_pool_free(pool, addr, size);		also parts or neighbours
 *
 *	if (p2pdma_pool_reserve(pool, nr))		nr pages anywhere
 *		while (nr && (n = p2pdma_pool_take(pool, &nr, runs)))
 *			use runs[0] to runs[n - 1]
 *
 * The owner may sleep and serialises add(), close(), held() and remove().
 */
#ifndef _PCI_P2PDMA_POOL_H
#define _PCI_P2PDMA_POOL_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/completion.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/rculist.h>

/* Room for runs. One page has one run, and a word at most half of that. */
#define P2PDMA_RUNS	BITS_PER_LONG

/* Number of words by which a CPU moves its hint after a lost exchange. */
#define P2PDMA_JUMP	8

struct p2pdma_pool {
	struct list_head chunks;	/* RCU */
	struct p2pdma_chunk __rcu *first; /* that is not closing */
	unsigned long nr_pages;		/* in chunks that are not closing */
	unsigned int nr_closing;	/* chunks */
	atomic_long_t available ____cacheline_aligned_in_smp;
	atomic_long_t lowest;		/* smallest value of available */
};

/* A contiguous range of pages. */
struct p2pdma_chunk {
	struct list_head node;
	struct p2pdma_pool *pool;
	unsigned long addr;
	unsigned long nr_pages;
	unsigned long nr_words;
	unsigned long *free;		/* a bit a page: the page is free */
	unsigned long *maybe;		/* a bit a word: the word has a bit */
	u32 __percpu *hint;		/* word in which a CPU tries first */
	bool closing;			/* allocations skip the chunk */
	unsigned long counted;		/* pages taken off pool->available */
	struct completion *freed;	/* by frees while closing */
};

/* Contiguous pages of an allocation. */
struct p2pdma_run {
	unsigned long addr;
	unsigned long nr;		/* pages */
};

struct p2pdma_pool *p2pdma_pool_create(void);
void p2pdma_pool_destroy(struct p2pdma_pool *pool);
struct p2pdma_chunk *p2pdma_pool_add(struct p2pdma_pool *pool, void *addr,
				     size_t size, struct completion *freed);
void p2pdma_pool_close(struct p2pdma_chunk *chunk);
unsigned long p2pdma_pool_held(struct p2pdma_chunk *chunk);
void p2pdma_pool_remove(struct p2pdma_chunk *chunk);

unsigned int p2pdma_pool_take(struct p2pdma_pool *pool, unsigned long *nr,
			      struct p2pdma_run *runs);
bool p2pdma_pool_free_pages(struct p2pdma_chunk *chunk, unsigned long first,
			    unsigned long end);
void *p2pdma_pool_alloc(struct p2pdma_pool *pool, size_t size);
void *p2pdma_pool_alloc_aligned(struct p2pdma_pool *pool, size_t size,
				size_t align);
bool p2pdma_pool_free(struct p2pdma_pool *pool, void *addr, size_t size);
size_t p2pdma_pool_peak(struct p2pdma_pool *pool);

static inline size_t p2pdma_pool_size(struct p2pdma_pool *pool)
{
	return READ_ONCE(pool->nr_pages) << PAGE_SHIFT;
}

static inline size_t p2pdma_pool_available(struct p2pdma_pool *pool)
{
	return max(atomic_long_read(&pool->available), 0L) << PAGE_SHIFT;
}

static inline bool p2pdma_chunk_closing(const struct p2pdma_chunk *chunk)
{
	return READ_ONCE(chunk->closing);
}

/* A size of 0 becomes more pages than any chunk has. */
static __always_inline unsigned long p2pdma_pool_pages(size_t size)
{
	return ((size - 1) >> PAGE_SHIFT) + 1;
}

/* @nr bits from @first on; at least one, and all in one word. */
static __always_inline unsigned long p2pdma_bits(unsigned int first,
						 unsigned int nr)
{
	return ~0UL >> (BITS_PER_LONG - nr) << first;
}

/* The first bit of every run of @nr set bits; @nr is 1 to BITS_PER_LONG. */
static __always_inline unsigned long p2pdma_starts(unsigned long word,
						   unsigned int nr)
{
	if (nr < 2)
		return word;
	word &= word >> 1;
	if (nr < 4)
		return word & (word >> (nr - 2));
	word &= word >> 2;
	if (nr < 8)
		return word & (word >> (nr - 4));
	word &= word >> 4;
	if (nr < 16)
		return word & (word >> (nr - 8));
	word &= word >> 8;
	if (nr < 32)
		return word & (word >> (nr - 16));
	word &= word >> 16;
	return word & (word >> (nr - 32));
}

/* The lowest run of @nr bits of @word, which is not 0; or 0. */
static __always_inline unsigned long p2pdma_lowest(unsigned long word,
						   unsigned int nr)
{
	unsigned long first = __ffs(word);

	if (nr == 1)
		return word & -word;
	/* Most often, the first set bit begins the run. */
	if (~(word >> first) & p2pdma_bits(0, nr)) {
		/* In old pools, words have few bits. */
		if (hweight_long(word) < nr)
			return 0;
		word = p2pdma_starts(word, nr);
		if (unlikely(!word))
			return 0;
		first = __ffs(word);
	}
	return p2pdma_bits(first, nr);
}

/* No chunk has a page for an address that is not aligned. */
static __always_inline unsigned long
p2pdma_chunk_page(const struct p2pdma_chunk *chunk, const void *addr)
{
	return ror64((unsigned long)addr - chunk->addr, PAGE_SHIFT);
}

static __always_inline void p2pdma_pool_unreserve(struct p2pdma_pool *pool,
						  long nr)
{
	atomic_long_add(nr, &pool->available);
}

static inline bool p2pdma_pool_has(struct p2pdma_pool *pool, size_t size)
{
	return (long)p2pdma_pool_pages(size) <=
	       atomic_long_read(&pool->available);
}

/* Returns false if fewer than @nr pages are free and not reserved. */
static __always_inline bool p2pdma_pool_reserve(struct p2pdma_pool *pool,
						long nr)
{
	long old = atomic_long_read(&pool->available);

	do {
		if (unlikely(old < nr))
			return false;
	} while (!atomic_long_try_cmpxchg(&pool->available, &old, old - nr));
	return true;
}

/*
 * Short path of p2pdma_pool_alloc(): a run in the word of the hint. Sets
 * @reserved if another CPU emptied the word after a page was reserved.
 */
static __always_inline void *p2pdma_pool_alloc_hint(struct p2pdma_pool *pool,
						    unsigned int nr,
						    bool *reserved)
{
	struct p2pdma_chunk *chunk = rcu_dereference(pool->first);
	unsigned long w, old, run;

	if (unlikely(!chunk))
		return NULL;
	w = this_cpu_read(*chunk->hint);
	old = READ_ONCE(chunk->free[w]);
	if (unlikely(!old))
		return NULL;
	run = p2pdma_lowest(old, nr);
	if (unlikely(!run || !p2pdma_pool_reserve(pool, nr)))
		return NULL;
	if (likely(try_cmpxchg(&chunk->free[w], &old, old ^ run)))
		return (void *)chunk->addr +
		       ((w * BITS_PER_LONG + __ffs(run)) << PAGE_SHIFT);
	this_cpu_write(*chunk->hint, (w + P2PDMA_JUMP) % chunk->nr_words);
	/* A page is a right; a run is none. */
	if (nr == 1)
		*reserved = true;
	else
		p2pdma_pool_unreserve(pool, nr);
	return NULL;
}

static __always_inline bool p2pdma_in_word(const struct p2pdma_chunk *chunk,
					   unsigned long first,
					   unsigned long nr)
{
	return first < chunk->nr_pages && nr <= chunk->nr_pages - first &&
	       first % BITS_PER_LONG + nr <= BITS_PER_LONG;
}

/* Free the @nr pages of @mask. Returns false if a page is free already. */
static __always_inline bool p2pdma_word_free(struct p2pdma_chunk *chunk,
					     unsigned long w,
					     unsigned long mask,
					     unsigned int nr)
{
	unsigned long *word = &chunk->free[w], old = READ_ONCE(*word);

	do {
		if (unlikely(old & mask))
			return false;
	} while (!try_cmpxchg(word, &old, old | mask));
	if (unlikely(!test_bit(w, chunk->maybe)))
		set_bit(w, chunk->maybe);
	p2pdma_pool_unreserve(chunk->pool, nr);
	return true;
}

/* Short path of p2pdma_pool_free(): a run in a word of the first chunk. */
static __always_inline bool p2pdma_pool_free_first(struct p2pdma_pool *pool,
						   void *addr, size_t size)
{
	struct p2pdma_chunk *chunk = rcu_dereference(pool->first);
	unsigned long nr = p2pdma_pool_pages(size), first;

	if (unlikely(!chunk))
		return false;
	first = p2pdma_chunk_page(chunk, addr);
	return likely(p2pdma_in_word(chunk, first, nr)) &&
	       likely(p2pdma_word_free(chunk, first / BITS_PER_LONG,
				       p2pdma_bits(first % BITS_PER_LONG, nr),
				       nr));
}

#endif /* _PCI_P2PDMA_POOL_H */
