/* SPDX-License-Identifier: GPL-2.0 */
/* The pool with a check of the rules inside. */
#ifndef _INSIDE_H
#define _INSIDE_H

#include <stdbool.h>

#include "../../../../../drivers/pci/p2pdma-pool.h"

bool inside_check(struct p2pdma_pool *pool);

/* As pci_p2pmem_alloc(): the short path first. */
static inline void *inside_alloc(struct p2pdma_pool *pool, size_t size)
{
	unsigned long nr = p2pdma_pool_pages(size);
	bool reserved = false;
	struct p2pdma_run run;
	void *addr = NULL;

	if (nr == 1)
		addr = p2pdma_pool_alloc_hint(pool, 1, &reserved);
	else if (nr <= BITS_PER_LONG)
		addr = p2pdma_pool_alloc_hint(pool, nr, &reserved);
	if (addr)
		return addr;
	if (!reserved || !p2pdma_pool_take(pool, &nr, &run))
		return p2pdma_pool_alloc(pool, size);
	return (void *)run.addr;
}

/* As pci_p2pmem_free(): the short path first. */
static inline bool inside_free(struct p2pdma_pool *pool, void *addr,
			       size_t size)
{
	return p2pdma_pool_free_first(pool, addr, size) ||
	       p2pdma_pool_free(pool, addr, size);
}

#endif /* _INSIDE_H */
