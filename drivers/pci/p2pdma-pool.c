// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: the page allocator
 */

/**
 * DOC: Pool
 *
 * The pool knows pages and bytes, neither PCI topology nor sysfs. No function
 * takes a lock or disables interrupts.
 *
 * Bits: a page has one bit in p2pdma_chunk.free, set while the page is free.
 * Bits change by compare-and-exchange of the word only, so no page is handed
 * out twice, and a free of a page that is free already is refused.
 *
 * Reservations: p2pdma_pool.available counts free pages less reserved pages.
 * An allocation first subtracts pages there, then clears bits; a free first
 * sets bits, then adds pages. So at any time::
 *
 *	set bits >= available + pages reserved and not yet taken
 *
 * and a reservation is a right to pages: the owner scans the bits until all
 * pages are found. The counter alone decides that an allocation fails. All this
 * needs is the order of the two steps, which the successful exchange in the
 * first step guarantees; tools/testing/p2pdma/unit/pool has a model. A
 * contiguous run is no right: a search reserves the pages of a run when the run
 * is found.
 *
 * Hints: p2pdma_chunk.maybe lets a scan skip 64 used words by one test. A free
 * sets the bit, a scan that finds an empty word clears the bit, and a scan
 * without success is repeated without the bits: a wrong bit costs time only.
 *
 * Closing: allocations skip a closing chunk. After a grace period, the bits of
 * the chunk are only ever set, and p2pdma_pool_held() counts the bits and takes
 * new ones off p2pdma_pool.available.
 */
#include <linux/bitmap.h>
#include <linux/compiler.h>
#include <linux/cpumask.h>
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "p2pdma-pool.h"

#define P2PDMA_TRIES	32

/* The short path does not record: a CPU may be off by the pages of a word. */
static void p2pdma_pool_record(struct p2pdma_pool *pool)
{
	long available = atomic_long_read(&pool->available);
	long lowest = atomic_long_read(&pool->lowest);

	while (available < lowest &&
	       !atomic_long_try_cmpxchg(&pool->lowest, &lowest, available))
		;
}

/* The largest number of bytes that were allocated at one time. */
size_t p2pdma_pool_peak(struct p2pdma_pool *pool)
{
	long peak;

	p2pdma_pool_record(pool);
	peak = READ_ONCE(pool->nr_pages) - atomic_long_read(&pool->lowest);
	return max(peak, 0L) << PAGE_SHIFT;
}

static unsigned long p2pdma_word(const struct p2pdma_chunk *chunk,
				 unsigned long w)
{
	return READ_ONCE(chunk->free[w]);
}

/* Bits of the pages before @end in the word of the last page. */
static __always_inline unsigned long p2pdma_tail(unsigned long end)
{
	return ~0UL >> -end % BITS_PER_LONG;
}

/* Is no page from @first to @end free? There is at least one page. */
static __always_inline bool p2pdma_taken(const struct p2pdma_chunk *chunk,
					 unsigned long first, unsigned long end)
{
	unsigned long mask = ~0UL << first % BITS_PER_LONG, w;
	unsigned long last = (end - 1) / BITS_PER_LONG;

	for (w = first / BITS_PER_LONG; w < last; w++, mask = ~0UL)
		if (p2pdma_word(chunk, w) & mask)
			return false;
	return !(p2pdma_word(chunk, w) & mask & p2pdma_tail(end));
}

/*
 * Set or clear the bits of one or more pages. Return the first page that was so
 * already.
 */
static __always_inline unsigned long p2pdma_change(struct p2pdma_chunk *chunk,
						   unsigned long first,
						   unsigned long end, bool set)
{
	unsigned long mask = ~0UL << first % BITS_PER_LONG, w, old;
	unsigned long last = (end - 1) / BITS_PER_LONG;

	for (w = first / BITS_PER_LONG; w <= last; w++, mask = ~0UL) {
		if (w == last)
			mask &= p2pdma_tail(end);
		old = p2pdma_word(chunk, w);
		do {
			if ((set ? old : ~old) & mask)
				return max(w * BITS_PER_LONG, first);
		} while (!try_cmpxchg(&chunk->free[w], &old, old ^ mask));
		if (set && unlikely(!test_bit(w, chunk->maybe)))
			set_bit(w, chunk->maybe);
	}
	return end;
}

/* Choose up to @nr pages of a word: one run if possible, else the lowest. */
static __always_inline unsigned long p2pdma_choose(unsigned long word,
						   unsigned long nr)
{
	unsigned long run, rest = word;

	if (nr >= BITS_PER_LONG || nr >= hweight_long(word))
		return word;
	run = p2pdma_lowest(word, nr);
	if (run)
		return run;
	while (nr--)
		rest &= rest - 1;
	return word ^ rest;
}

/* Append the runs of a word at @addr; the first run may continue the last. */
static __always_inline struct p2pdma_run *
p2pdma_append(struct p2pdma_run *run, unsigned long addr, unsigned long mask,
	      bool adjacent)
{
	unsigned long rest;

	if (mask & 1 && adjacent) {
		run[-1].nr += ~mask ? __ffs(~mask) : BITS_PER_LONG;
		mask &= mask + 1;
	}
	for (; mask; mask &= rest, run++) {
		/* The carry clears a run and sets the bit after the run. */
		rest = mask + (mask & -mask);
		run->addr = addr + (__ffs(mask) << PAGE_SHIFT);
		run->nr = (rest ? __ffs(rest) : BITS_PER_LONG) - __ffs(mask);
	}
	return run;
}

/* Word @w is empty. Return a later word that may have a free page. */
static __always_inline unsigned long p2pdma_skip(struct p2pdma_chunk *chunk,
						 unsigned long w, bool hints)
{
	unsigned long group;

	if (test_bit(w, chunk->maybe)) {
		clear_bit(w, chunk->maybe);
		/* Clear, then look; a free sets bits, then looks here. */
		smp_mb__after_atomic();
		if (unlikely(p2pdma_word(chunk, w)))
			set_bit(w, chunk->maybe);
	}
	if (!hints)
		return w + 1;
	while (++w < chunk->nr_words) {
		group = READ_ONCE(chunk->maybe[w / BITS_PER_LONG]) >>
			(w % BITS_PER_LONG);
		if (group)
			return w + __ffs(group);
		w |= BITS_PER_LONG - 1;
	}
	return w;
}

/* Take up to @nr pages, once around the chunk. Return the end of the runs. */
static __always_inline struct p2pdma_run *
p2pdma_scan(struct p2pdma_chunk *chunk, unsigned long *nr,
	    struct p2pdma_run *run, const struct p2pdma_run *full, bool hints)
{
	unsigned long hint = this_cpu_read(*chunk->hint), end = chunk->nr_words;
	unsigned long w = hint, last = 0, left = *nr, next = 0, old, mask, addr;

	while (left && run < full) {
		if (unlikely(w >= end)) {
			if (end == hint || !hint)
				break;
			end = hint;
			w = 0;
		}
		old = p2pdma_word(chunk, w);
		if (unlikely(!old)) {
			w = p2pdma_skip(chunk, w, hints);
			continue;
		}
		mask = p2pdma_choose(old, left);
		if (!try_cmpxchg(&chunk->free[w], &old, old ^ mask))
			continue;
		addr = chunk->addr + (w * BITS_PER_LONG << PAGE_SHIFT);
		run = p2pdma_append(run, addr, mask, addr == next);
		next = run[-1].addr + (run[-1].nr << PAGE_SHIFT);
		left -= hweight_long(mask);
		last = w;
		w += old == mask;
	}
	if (left != *nr)
		this_cpu_write(*chunk->hint, last);
	*nr = left;
	return run;
}

static noinline struct p2pdma_run *
p2pdma_scan_all(struct p2pdma_pool *pool, unsigned long *nr,
		struct p2pdma_run *run, const struct p2pdma_run *full)
{
	struct p2pdma_chunk *chunk;

	list_for_each_entry_rcu(chunk, &pool->chunks, node)
		if (!p2pdma_chunk_closing(chunk))
			run = p2pdma_scan(chunk, nr, run, full, false);
	return run;
}

/*
 * Take up to @nr reserved pages, subtract the number from @nr and return the
 * number of runs in @runs. Reserved pages of a chunk that begins to close are
 * lost: give up after some scans, because close() waits for the caller, and
 * return 0 with nothing reserved any more.
 */
unsigned int p2pdma_pool_take(struct p2pdma_pool *pool, unsigned long *nr,
			      struct p2pdma_run *runs)
{
	struct p2pdma_chunk *chunk = rcu_dereference(pool->first);
	struct p2pdma_run *full = runs + P2PDMA_RUNS / 2, *run = runs;
	unsigned int tries = 0;

	p2pdma_pool_record(pool);
	if (likely(chunk)) {
		run = p2pdma_scan(chunk, nr, run, full, true);
		if (likely(run > runs))
			return run - runs;
	}
	do {
		run = p2pdma_scan_all(pool, nr, runs, full);
		if (run > runs)
			return run - runs;
		p2pdma_pool_unreserve(pool, *nr);
	} while ((!READ_ONCE(pool->nr_closing) || tries++ < P2PDMA_TRIES) &&
		 p2pdma_pool_reserve(pool, *nr));
	return 0;
}

/* One page is found whenever a page is free; a run may be missed in a crowd. */
void *p2pdma_pool_alloc(struct p2pdma_pool *pool, size_t size)
{
	unsigned long nr = p2pdma_pool_pages(size);
	bool reserved = false;
	struct p2pdma_run run;
	void *addr = NULL;

	if (nr <= BITS_PER_LONG)
		addr = p2pdma_pool_alloc_hint(pool, nr, &reserved);
	if (addr || nr > 1)
		return addr ?: p2pdma_pool_alloc_aligned(pool, size, PAGE_SIZE);
	if ((!reserved && !p2pdma_pool_reserve(pool, 1)) ||
	    !p2pdma_pool_take(pool, &nr, &run))
		return NULL;
	return (void *)run.addr;
}

/* The first page from @page on whose address is a multiple of @align pages. */
static unsigned long p2pdma_align(const struct p2pdma_chunk *chunk,
				  unsigned long page, unsigned long align)
{
	return page + (-(page + (chunk->addr >> PAGE_SHIFT)) & (align - 1));
}

/* Bits of the aligned pages of word @w. */
static unsigned long p2pdma_aligned_bits(const struct p2pdma_chunk *chunk,
					 unsigned long w, unsigned long align)
{
	unsigned long page = w * BITS_PER_LONG;
	unsigned long first = p2pdma_align(chunk, page, align) - page;
	unsigned long bits = first < BITS_PER_LONG ? 1UL << first : 0;

	for (; align < BITS_PER_LONG; align *= 2)
		bits |= bits << align;
	return bits;
}

/* First page of the first run in the words from @w on; nr_pages for none. */
static unsigned long p2pdma_find_run(const struct p2pdma_chunk *chunk,
				     unsigned long w, unsigned long nr,
				     unsigned long align)
{
	unsigned long start = p2pdma_align(chunk, w * BITS_PER_LONG, align);
	unsigned long word, page, starts;

	/* All pages from @start to the current word are free. */
	for (; w < chunk->nr_words; w++) {
		word = p2pdma_word(chunk, w);
		page = w * BITS_PER_LONG;
		if (start + nr <= page + (~word ? __ffs(~word) : BITS_PER_LONG))
			return start;
		if (!~word)
			continue;
		starts = nr < BITS_PER_LONG ? p2pdma_starts(word, nr) : 0;
		if (starts && align > 1)
			starts &= p2pdma_aligned_bits(chunk, w, align);
		if (starts)
			return page + __ffs(starts);
		start = p2pdma_align(chunk, page + __fls(~word) + 1, align);
	}
	return chunk->nr_pages;
}

/* Take the first run in the words from @w on. */
static void *p2pdma_take_run(struct p2pdma_chunk *chunk, unsigned long w,
			     unsigned long nr, unsigned long align)
{
	unsigned long first, done;

	for (;;) {
		first = p2pdma_find_run(chunk, w, nr, align);
		if (first == chunk->nr_pages ||
		    !p2pdma_pool_reserve(chunk->pool, nr))
			return NULL;
		done = p2pdma_change(chunk, first, first + nr, false);
		if (done == first + nr)
			break;
		if (done > first)
			p2pdma_change(chunk, first, done, true);
		p2pdma_pool_unreserve(chunk->pool, nr);
		w = done / BITS_PER_LONG;
	}
	this_cpu_write(*chunk->hint, first / BITS_PER_LONG);
	p2pdma_pool_record(chunk->pool);
	return (void *)chunk->addr + (first << PAGE_SHIFT);
}

/* @align is in bytes. The search grows with the size of the pool. */
void *p2pdma_pool_alloc_aligned(struct p2pdma_pool *pool, size_t size,
				size_t align)
{
	unsigned long nr = p2pdma_pool_pages(size), w;
	struct p2pdma_chunk *chunk;
	void *addr = NULL;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "a chunk may go");
	align = max(align >> PAGE_SHIFT, 1UL);
	if (!p2pdma_pool_has(pool, size))
		return NULL;
	list_for_each_entry_rcu(chunk, &pool->chunks, node) {
		if (addr || p2pdma_chunk_closing(chunk))
			continue;
		w = this_cpu_read(*chunk->hint);
		addr = p2pdma_take_run(chunk, w, nr, align) ?:
		       p2pdma_take_run(chunk, 0, nr, align);
	}
	return addr;
}

/* Free the pages from @first to @end. Returns false as p2pdma_pool_free(). */
bool p2pdma_pool_free_pages(struct p2pdma_chunk *chunk, unsigned long first,
			    unsigned long end)
{
	unsigned long done;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "a chunk may go");
	/* Refuse before anything has changed. */
	if (!p2pdma_taken(chunk, first, end))
		return false;
	done = p2pdma_change(chunk, first, end, true);
	p2pdma_pool_unreserve(chunk->pool, done - first);
	if (p2pdma_chunk_closing(chunk))
		complete(chunk->freed);
	return done == end;
}

/* Returns false, with nothing changed, if a page is not allocated. */
bool p2pdma_pool_free(struct p2pdma_pool *pool, void *addr, size_t size)
{
	unsigned long nr = p2pdma_pool_pages(size), first;
	struct p2pdma_chunk *chunk;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "a chunk may go");
	list_for_each_entry_rcu(chunk, &pool->chunks, node) {
		first = p2pdma_chunk_page(chunk, addr);
		if (first < chunk->nr_pages)
			return nr <= chunk->nr_pages - first &&
			       p2pdma_pool_free_pages(chunk, first,
						      first + nr);
	}
	return false;
}

struct p2pdma_pool *p2pdma_pool_create(void)
{
	struct p2pdma_pool *pool = kzalloc(sizeof(*pool), GFP_KERNEL);

	if (pool)
		INIT_LIST_HEAD(&pool->chunks);
	return pool;
}

void p2pdma_pool_destroy(struct p2pdma_pool *pool)
{
	kfree(pool);
}

static void p2pdma_chunk_free(struct p2pdma_chunk *chunk)
{
	free_percpu(chunk->hint);
	kvfree(chunk->free);
	kfree(chunk);
}

static void p2pdma_set_first(struct p2pdma_pool *pool)
{
	struct p2pdma_chunk *chunk, *first = NULL;

	list_for_each_entry(chunk, &pool->chunks, node)
		if (!first && !chunk->closing)
			first = chunk;
	rcu_assign_pointer(pool->first, first);
}

/* Returns NULL without memory. */
struct p2pdma_chunk *p2pdma_pool_add(struct p2pdma_pool *pool, void *addr,
				     size_t size, struct completion *freed)
{
	unsigned long nr_pages = size >> PAGE_SHIFT, cpu, nth = 0;
	unsigned long nr_words = BITS_TO_LONGS(nr_pages);
	struct p2pdma_chunk *chunk = kzalloc(sizeof(*chunk), GFP_KERNEL);
	u32 *hint;

	if (!chunk)
		return NULL;
	chunk->hint = alloc_percpu(u32);
	chunk->free = kvcalloc(nr_words + BITS_TO_LONGS(nr_words), sizeof(long),
			       GFP_KERNEL);
	if (!chunk->hint || !chunk->free) {
		p2pdma_chunk_free(chunk);
		return NULL;
	}
	chunk->pool = pool;
	chunk->addr = (unsigned long)addr;
	chunk->nr_pages = nr_pages;
	chunk->nr_words = nr_words;
	chunk->maybe = chunk->free + nr_words;
	chunk->freed = freed;
	bitmap_set(chunk->free, 0, nr_pages);
	bitmap_set(chunk->maybe, 0, nr_words);
	/* CPUs start evenly spread. */
	for_each_possible_cpu(cpu) {
		hint = per_cpu_ptr(chunk->hint, cpu);
		*hint = nr_words * nth++ / num_possible_cpus();
	}
	list_add_tail_rcu(&chunk->node, &pool->chunks);
	p2pdma_set_first(pool);
	WRITE_ONCE(pool->nr_pages, pool->nr_pages + nr_pages);
	atomic_long_add(nr_pages, &pool->available);
	atomic_long_add(nr_pages, &pool->lowest);
	return chunk;
}

/* Waits until the last allocation that saw the chunk open has ended. */
void p2pdma_pool_close(struct p2pdma_chunk *chunk)
{
	struct p2pdma_pool *pool = chunk->pool;

	WRITE_ONCE(pool->nr_closing, pool->nr_closing + 1);
	WRITE_ONCE(pool->nr_pages, pool->nr_pages - chunk->nr_pages);
	WRITE_ONCE(chunk->closing, true);
	p2pdma_set_first(pool);
	synchronize_rcu();
}

/* Returns the number of allocated pages of a closing chunk. */
unsigned long p2pdma_pool_held(struct p2pdma_chunk *chunk)
{
	unsigned long w, nr = 0;

	for (w = 0; w < chunk->nr_words; w++) {
		nr += hweight_long(p2pdma_word(chunk, w));
		if (!(w % 4096))
			cond_resched();
	}
	atomic_long_sub(nr - chunk->counted, &chunk->pool->lowest);
	atomic_long_sub(nr - chunk->counted, &chunk->pool->available);
	chunk->counted = nr;
	return chunk->nr_pages - nr;
}

/* Waits for frees that still use the chunk. */
void p2pdma_pool_remove(struct p2pdma_chunk *chunk)
{
	struct p2pdma_pool *pool = chunk->pool;

	list_del_rcu(&chunk->node);
	synchronize_rcu();
	WRITE_ONCE(pool->nr_closing, pool->nr_closing - 1);
	p2pdma_chunk_free(chunk);
}
