// SPDX-License-Identifier: GPL-2.0
/*
 * The pool with a check of the rules inside
 *
 * p2pdma-pool.c states the rules at the top. The check runs while no thread
 * uses the pool and no page is reserved.
 */
#include <stdio.h>

#include "../../../../../drivers/pci/p2pdma-pool.c"
#include "inside.h"

/* Print a rule that is broken. */
#define rule(cond)	inside_rule(cond, __LINE__, #cond)

static bool inside_rule(bool holds, int line, const char *text)
{
	if (!holds)
		fprintf(stderr, "# inside.c:%d: not true: %s\n", line, text);
	return holds;
}

/* No bit is set after the last page, and every CPU has a hint in the chunk. */
static bool inside_chunk(struct p2pdma_chunk *chunk)
{
	unsigned long padding = -chunk->nr_pages % BITS_PER_LONG;
	unsigned long last = chunk->free[chunk->nr_words - 1];
	bool good;
	int cpu;

	good = rule(chunk->nr_words == BITS_TO_LONGS(chunk->nr_pages));
	good &= rule(!padding || !(last >> (BITS_PER_LONG - padding)));
	for_each_possible_cpu(cpu)
		good &= rule(*per_cpu_ptr(chunk->hint, cpu) < chunk->nr_words);
	return good;
}

/**
 * inside_check - check the rules of a pool
 * @pool: the pool; no thread uses the pool
 *
 * Return: false, and the broken rules are printed, if a rule is broken.
 */
bool inside_check(struct p2pdma_pool *pool)
{
	struct p2pdma_chunk *chunk;
	bool good = true;
	unsigned long w;
	long set = 0;

	list_for_each_entry(chunk, &pool->chunks, node) {
		good &= inside_chunk(chunk);
		for (w = 0; w < chunk->nr_words; w++)
			set += hweight_long(chunk->free[w]);
		set -= chunk->counted;
	}
	return good & rule(set == atomic_long_read(&pool->available));
}
