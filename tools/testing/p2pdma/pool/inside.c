// SPDX-License-Identifier: GPL-2.0
/*
 * The pool itself, with eyes inside
 *
 * The rules that the essay at the top of p2pdma-pool.c states, checked while nothing happens.
 */
#include <stdio.h>

#include "../../../../drivers/pci/p2pdma-pool.c"
#include "inside.h"

/* Says what is not true. */
#define rule(cond)	inside_rule(cond, __LINE__, #cond)

static bool inside_rule(bool holds, int line, const char *text)
{
	if (!holds)
		fprintf(stderr, "# inside.c:%d: not true: %s\n", line, text);
	return holds;
}

/* A page is free by its own bit or by that of its word, and promised in the same place. */
static bool inside_word(struct p2pdma_chunk *chunk, unsigned long w)
{
	struct p2pdma_group *group = p2pdma_group_of(chunk, w);
	struct p2pdma_set *pages = &chunk->word[w].pages;
	unsigned long bit = p2pdma_word_bit(w);

	unsigned long free = p2pdma_free_pages(chunk, w);
	unsigned long promised = p2pdma_promised_pages(chunk, w);
	bool good;

	if (p2pdma_is_broken(chunk, w))
		good = rule(!(group->words.free & bit)) & rule(!(group->words.promised & bit));
	else
		good = rule(!pages->free) & rule(!pages->promised);
	good &= rule(!(free & ~p2pdma_existing_pages(chunk, w)));
	if (chunk->state == P2PDMA_OPEN)
		good &= rule(!(free & ~promised));
	else
		good &= rule(!promised);
	return good & rule(pages->addr == chunk->addr + w * P2PDMA_SET * PAGE_SIZE);
}

/* What is above agrees with what is below. */
static bool inside_tree(struct p2pdma_chunk *chunk)
{
	unsigned int level;
	bool good = true;
	unsigned long i;

	for (i = 0; i < chunk->count[0]; i++)
		good &= rule(!p2pdma_sum_up_word(chunk, i));
	for (level = 1; level <= chunk->top; level++)
		for (i = 0; i < chunk->count[level]; i++)
			good &= rule(!p2pdma_sum_up_node(chunk, level, i));
	return good & rule(chunk->longest == chunk->level[chunk->top]->longest);
}

static bool inside_users(struct p2pdma_pool *pool, struct p2pdma_chunk *chunk)
{
	struct p2pdma_cpu *cpu;
	bool good = true;
	unsigned long i;
	int counted = 0;
	int c;

	for_each_possible_cpu(c) {
		cpu = per_cpu_ptr(pool->cpu, c);
		good &= rule(!cpu->users == (cpu->near_word == &p2pdma_nowhere));
		counted += p2pdma_has(chunk, cpu->near_word);
		if (chunk->state != P2PDMA_OPEN)
			good &= rule(!p2pdma_has(chunk, cpu->near_word)) &
				rule(!p2pdma_has(chunk, cpu->near_group));
	}
	for (i = 0; i < chunk->count[1]; i++)
		counted -= chunk->users[i];
	return good & rule(counted == 0);
}

/**
 * inside_check - is a pool consistent in itself?
 * @pool: the pool; nobody uses it
 *
 * Return: true if it is. Else what is wrong has been printed.
 */
bool inside_check(struct p2pdma_pool *pool)
{
	struct p2pdma_chunk *chunk;
	bool good = true;
	unsigned long w;

	list_for_each_entry(chunk, &pool->chunks, node) {
		for (w = 0; w < chunk->count[0]; w++)
			good &= inside_word(chunk, w);
		if (chunk->state == P2PDMA_OPEN)
			good &= inside_tree(chunk);
		good &= inside_users(pool, chunk);
	}
	return good;
}
