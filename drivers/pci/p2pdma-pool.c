// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: the page allocator
 *
 * Knows pages and bytes, neither PCI topology nor sysfs. A pool has chunks, each a contiguous
 * range of addresses; an allocation is a run of pages of one chunk, found first fit in a bitmap.
 * What was allocated as one run may come back in parts.
 */
#include <linux/bitmap.h>
#include <linux/bug.h>
#include <linux/list.h>
#include <linux/slab.h>

#include "p2pdma.h"

/**
 * struct p2pdma_pool - a page allocator
 * @lock: for everything below; taken with interrupts off, pages come and go in any context
 * @nr_held: pages that are allocated
 * @nr_peak: the largest value of @nr_held so far
 * @chunks: struct p2pdma_chunk
 */
struct p2pdma_pool {
	spinlock_t lock; /* chunks and all of their fields */
	unsigned long nr_held;
	unsigned long nr_peak;
	struct list_head chunks;
};

/**
 * struct p2pdma_chunk - a range of pages in a pool
 * @pool: where it belongs
 * @node: in p2pdma_pool.chunks
 * @addr: first byte
 * @nr_pages: length
 * @nr_held: pages that are allocated
 * @closed: nothing may be allocated any more
 * @idle: to complete when @closed is set and @nr_held is zero
 * @held: the allocated pages, a bit each
 */
struct p2pdma_chunk {
	struct p2pdma_pool *pool;
	struct list_head node;
	unsigned long addr;
	unsigned long nr_pages;
	unsigned long nr_held;
	bool closed;
	struct completion *idle;
	unsigned long *held;
};

/**
 * p2pdma_pool_create - make an empty pool
 *
 * Context: May sleep.
 * Return: the pool, or NULL without memory.
 */
struct p2pdma_pool *p2pdma_pool_create(void)
{
	struct p2pdma_pool *pool = kzalloc(sizeof(*pool), GFP_KERNEL);

	if (!pool)
		return NULL;
	spin_lock_init(&pool->lock);
	INIT_LIST_HEAD(&pool->chunks);
	return pool;
}

/**
 * p2pdma_pool_destroy - free a pool that has no chunks
 * @pool: the pool, or NULL
 *
 * Context: May sleep.
 */
void p2pdma_pool_destroy(struct p2pdma_pool *pool)
{
	if (pool)
		WARN_ON(!list_empty(&pool->chunks));
	kfree(pool);
}

/**
 * p2pdma_pool_add - give a range of pages to a pool
 * @pool: the pool
 * @addr: first byte, page aligned
 * @size: in bytes, whole pages
 * @idle: completed once the chunk is closed and all of its pages are back
 *
 * Context: May sleep.
 * Return: the chunk, or NULL without memory.
 */
struct p2pdma_chunk *p2pdma_pool_add(struct p2pdma_pool *pool, void *addr, size_t size,
				     struct completion *idle)
{
	struct p2pdma_chunk *chunk = kzalloc(sizeof(*chunk), GFP_KERNEL);

	if (!chunk)
		return NULL;
	chunk->pool = pool;
	chunk->addr = (unsigned long)addr;
	chunk->nr_pages = size >> PAGE_SHIFT;
	chunk->idle = idle;
	chunk->held = kvcalloc(BITS_TO_LONGS(chunk->nr_pages), sizeof(long), GFP_KERNEL);
	if (!chunk->held) {
		kfree(chunk);
		return NULL;
	}

	spin_lock_irq(&pool->lock);
	list_add_tail(&chunk->node, &pool->chunks);
	spin_unlock_irq(&pool->lock);
	return chunk;
}

/**
 * p2pdma_pool_close - let no further allocation begin in a chunk
 * @chunk: the chunk
 *
 * Context: Any.
 */
void p2pdma_pool_close(struct p2pdma_chunk *chunk)
{
	unsigned long flags;

	spin_lock_irqsave(&chunk->pool->lock, flags);
	chunk->closed = true;
	if (!chunk->nr_held)
		complete(chunk->idle);
	spin_unlock_irqrestore(&chunk->pool->lock, flags);
}

/**
 * p2pdma_pool_held - how much of a chunk is allocated
 * @chunk: the chunk
 *
 * Context: Any.
 * Return: number of pages that have not come back.
 */
size_t p2pdma_pool_held(struct p2pdma_chunk *chunk)
{
	return READ_ONCE(chunk->nr_held);
}

/**
 * p2pdma_pool_remove - take a chunk out of its pool and free it
 * @chunk: the chunk; closed, and all of its pages are back
 *
 * Context: May sleep.
 */
void p2pdma_pool_remove(struct p2pdma_chunk *chunk)
{
	struct p2pdma_pool *pool = chunk->pool;

	spin_lock_irq(&pool->lock);
	WARN_ON(!chunk->closed || chunk->nr_held);
	list_del(&chunk->node);
	spin_unlock_irq(&pool->lock);
	kvfree(chunk->held);
	kfree(chunk);
}

static void *p2pdma_chunk_alloc(struct p2pdma_chunk *chunk, unsigned long nr)
{
	unsigned long first;

	if (chunk->closed || nr > chunk->nr_pages - chunk->nr_held)
		return NULL;
	first = bitmap_find_next_zero_area(chunk->held, chunk->nr_pages, 0, nr, 0);
	if (first >= chunk->nr_pages)
		return NULL;
	bitmap_set(chunk->held, first, nr);
	chunk->nr_held += nr;
	chunk->pool->nr_held += nr;
	chunk->pool->nr_peak = max(chunk->pool->nr_peak, chunk->pool->nr_held);
	return (void *)(chunk->addr + (first << PAGE_SHIFT));
}

/**
 * p2pdma_pool_alloc - allocate a run of pages
 * @pool: the pool
 * @size: in bytes; rounded up to whole pages
 *
 * Context: Any.
 * Return: address of the first page, or NULL if @size is zero or no run is long enough.
 */
void *p2pdma_pool_alloc(struct p2pdma_pool *pool, size_t size)
{
	unsigned long nr = (size >> PAGE_SHIFT) + !!offset_in_page(size);
	struct p2pdma_chunk *chunk;
	unsigned long flags;
	void *addr = NULL;

	if (!nr)
		return NULL;
	spin_lock_irqsave(&pool->lock, flags);
	list_for_each_entry(chunk, &pool->chunks, node) {
		addr = p2pdma_chunk_alloc(chunk, nr);
		if (addr)
			break;
	}
	spin_unlock_irqrestore(&pool->lock, flags);
	return addr;
}

static bool p2pdma_chunk_free(struct p2pdma_chunk *chunk, unsigned long addr, unsigned long nr)
{
	unsigned long first = (addr - chunk->addr) >> PAGE_SHIFT;

	if (offset_in_page(addr) || !nr || nr > chunk->nr_pages - first)
		return false;
	if (find_next_zero_bit(chunk->held, first + nr, first) < first + nr)
		return false;
	bitmap_clear(chunk->held, first, nr);
	chunk->nr_held -= nr;
	chunk->pool->nr_held -= nr;
	if (chunk->closed && !chunk->nr_held)
		complete(chunk->idle);
	return true;
}

/**
 * p2pdma_pool_free - give a run of pages back
 * @pool: the pool
 * @addr: address of the first page
 * @size: in bytes; rounded up to whole pages
 *
 * Any part of an allocation that consists of whole pages can be freed on its own.
 *
 * Context: Any.
 * Return: false, and nothing has changed, if these pages are not all allocated from @pool.
 */
bool p2pdma_pool_free(struct p2pdma_pool *pool, void *addr, size_t size)
{
	unsigned long nr = (size >> PAGE_SHIFT) + !!offset_in_page(size);
	struct p2pdma_chunk *chunk;
	unsigned long flags;
	bool freed = false;

	spin_lock_irqsave(&pool->lock, flags);
	list_for_each_entry(chunk, &pool->chunks, node) {
		if ((unsigned long)addr - chunk->addr < chunk->nr_pages << PAGE_SHIFT) {
			freed = p2pdma_chunk_free(chunk, (unsigned long)addr, nr);
			break;
		}
	}
	spin_unlock_irqrestore(&pool->lock, flags);
	return freed;
}

/**
 * p2pdma_pool_size - the size of a pool
 * @pool: the pool
 *
 * Context: Any.
 * Return: bytes in all chunks that are open.
 */
size_t p2pdma_pool_size(struct p2pdma_pool *pool)
{
	struct p2pdma_chunk *chunk;
	unsigned long flags;
	size_t pages = 0;

	spin_lock_irqsave(&pool->lock, flags);
	list_for_each_entry(chunk, &pool->chunks, node)
		if (!chunk->closed)
			pages += chunk->nr_pages;
	spin_unlock_irqrestore(&pool->lock, flags);
	return pages << PAGE_SHIFT;
}

/**
 * p2pdma_pool_available - how much of a pool can be allocated
 * @pool: the pool
 *
 * Context: Any.
 * Return: bytes in all chunks that are open and not allocated.
 */
size_t p2pdma_pool_available(struct p2pdma_pool *pool)
{
	struct p2pdma_chunk *chunk;
	unsigned long flags;
	size_t pages = 0;

	spin_lock_irqsave(&pool->lock, flags);
	list_for_each_entry(chunk, &pool->chunks, node)
		if (!chunk->closed)
			pages += chunk->nr_pages - chunk->nr_held;
	spin_unlock_irqrestore(&pool->lock, flags);
	return pages << PAGE_SHIFT;
}

/**
 * p2pdma_pool_peak - the most that was ever allocated at once
 * @pool: the pool
 *
 * Context: Any.
 * Return: bytes.
 */
size_t p2pdma_pool_peak(struct p2pdma_pool *pool)
{
	return READ_ONCE(pool->nr_peak) << PAGE_SHIFT;
}
