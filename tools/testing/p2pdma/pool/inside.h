/* SPDX-License-Identifier: GPL-2.0 */
/* The pool with a check of the rules inside. */
#ifndef _INSIDE_H
#define _INSIDE_H

#include <stdbool.h>

#include "../../../../drivers/pci/p2pdma-pool.h"

bool inside_check(struct p2pdma_pool *pool);

/* As pci_p2pmem_alloc(): the short path first. */
static inline void *inside_alloc(struct p2pdma_pool *pool, size_t size)
{
	unsigned long nr = p2pdma_pool_pages(size), addr;
	bool reserved = false;
	struct p2pdma_bits bits;
	void *run = NULL;

	if (nr == 1)
		run = p2pdma_pool_alloc_hint(pool, 1, &reserved);
	else if (nr <= BITS_PER_LONG)
		run = p2pdma_pool_alloc_hint(pool, nr, &reserved);
	if (run)
		return run;
	if (!reserved || !p2pdma_pool_take(pool, &nr, &bits, 1))
		return p2pdma_pool_alloc(pool, size);
	p2pdma_next_run(&bits, &addr);
	return (void *)addr;
}

/* As pci_p2pmem_free(): the short path first. */
static inline bool inside_free(struct p2pdma_pool *pool, void *addr,
			       size_t size)
{
	struct p2pdma_bits bits;

	return (p2pdma_bits_of(rcu_dereference(pool->first), addr, size,
			       &bits) &&
		p2pdma_bits_free(bits, p2pdma_pool_pages(size))) ||
	       p2pdma_pool_free(pool, addr, size);
}

#endif /* _INSIDE_H */
