/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI peer-to-peer DMA: the page allocator
 *
 * Pages and bytes only, so that p2pdma-pool.c also builds as a user-space program, see
 * tools/testing/p2pdma/pool/. How it works stands at the top of p2pdma-pool.c.
 */
#ifndef _PCI_P2PDMA_POOL_H
#define _PCI_P2PDMA_POOL_H

#include <linux/types.h>

struct completion;
struct p2pdma_chunk;
struct p2pdma_pool;

struct p2pdma_pool *p2pdma_pool_create(void);
void p2pdma_pool_destroy(struct p2pdma_pool *pool);

struct p2pdma_chunk *p2pdma_pool_add(struct p2pdma_pool *pool, void *addr, size_t size,
				     struct completion *idle);
void p2pdma_pool_close(struct p2pdma_chunk *chunk);
size_t p2pdma_pool_held(struct p2pdma_chunk *chunk);
void p2pdma_pool_remove(struct p2pdma_chunk *chunk);

void *p2pdma_pool_alloc(struct p2pdma_pool *pool, size_t size);
void *p2pdma_pool_alloc_aligned(struct p2pdma_pool *pool, size_t size, size_t align);
void *p2pdma_pool_alloc_upto(struct p2pdma_pool *pool, size_t *size);
bool p2pdma_pool_free(struct p2pdma_pool *pool, void *addr, size_t size);

size_t p2pdma_pool_size(struct p2pdma_pool *pool);
size_t p2pdma_pool_available(struct p2pdma_pool *pool);
size_t p2pdma_pool_slack(void);
size_t p2pdma_pool_peak(struct p2pdma_pool *pool);

#endif /* _PCI_P2PDMA_POOL_H */
