// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: the page allocator
 *
 * Knows pages and bytes, neither PCI topology nor sysfs. A pool has chunks, each a contiguous
 * range of addresses; an allocation is a run of pages of one chunk. What was allocated as one run
 * may come back in parts, from any context, on any CPU.
 *
 * Truth
 *
 * A chunk has a bit for every page, set while the page is free, in words of 64. Bits change only
 * by compare-and-exchange of their word, whoever changes them and whatever lock he holds, so a page
 * is never given out twice, and a free that finds one of its bits set is refused. CPUs do not put
 * pages aside: there is nothing to collect from them when memory is short, and nothing to search
 * for when a chunk goes.
 *
 * Long runs would need many such steps, so the same exists once more, 64 times as large. A word
 * begins *whole*: a bit in its group of 64 words tells that all of its pages are free, and its own
 * bits are zero. Words that are allocated as a whole come from there and go back there. To take
 * some of its pages, or to give some of them back, a word is *broken*: from then on its own bits
 * count, and the one in the group is zero. A word becomes whole again when all of it is allocated
 * in one piece. So a page is free if its own bit says so, or that of its word does; never both.
 *
 * Speed
 *
 * Each CPU remembers a word and a group that had something free when it last looked, the near
 * ones. Less than 64 pages are taken from the near word without a lock, and up to 64 whole words
 * from the near group; and anything can be given back without one. As long as there is room, the
 * near words of two CPUs are not in the same block of 512 pages, so that they do not compete for
 * cache lines. When what is near does not do, the CPU takes the lock of the pool and searches.
 * This short way is in p2pdma-pool-near.h, for callers that want it inline.
 *
 * CPUs count pages on their own, too, and add what they have to a common number only when it comes
 * to more than 64 pages, so that the common number is not written all the time.
 *
 * Promises
 *
 * What makes searching quick is a tree over the words of a chunk, eight children to a node. A node
 * knows three lengths in the stretch of pages below it: of the free run at its start, of the free
 * run at its end, and of the longest free run. A search descends only where these are long enough,
 * and the root alone answers that there is no run of a certain length.
 *
 *	root          |  head ...........  longest  ......... tail  |	levels 2 and up, as needed
 *	blocks        |           |           |           |         |	level 1: 512 pages each
 *	words         | | | | | | | | | | | | | | | | | | | | | | | |	level 0: 64 pages each
 *
 * But the tree does not count what is free. It counts what is *promised*: a second bit beside each
 * of those above, and a superset of them. To allocate a page does not end its promise, because
 * most pages soon come back; and while a page is promised, giving it back is no news to the tree
 * either. A search that finds a promise broken ends the false promises in the words that it wanted
 * to take from, corrects the tree, and goes on.
 *
 * A page that is free and not promised would not be found, and an allocation would fail that could
 * succeed. So whoever gives pages back first sets their bits and then looks at their promises,
 * without the lock; if one is missing, he takes the lock and makes it. Whoever ends promises, under
 * the lock, first does so and then looks at the bits again. Between the two halves of either is a
 * full memory barrier, so that at least one of the two sees what the other did. Hence, under the
 * lock, all pages whose free has returned are promised. The tree above is changed under the lock
 * only, and always agrees with the promises.
 *
 * In a word that is whole no single page is promised, so that whoever gives one back comes to the
 * lock, too: there the word is broken. Or the page turns out to be free already, with its word.
 *
 * Closing
 *
 * An open chunk becomes *closing*: searches pass it over and no CPU is near it. After a grace
 * period no allocation is under way in it any more. Then all promises are ended, which sends every
 * free from then on to the lock, and the chunk is *closed*: words are looked at in their order, as
 * far as all of their pages are back; over all these times, each word is passed once. The free that
 * brings this to the end of the chunk finds it idle.
 *
 * Locks and lifetime
 *
 * The lock of a pool is a leaf. It is taken with interrupts off, and is a raw one because callers
 * may be in hard interrupt context on PREEMPT_RT too. The steps under it grow with the logarithm
 * of the size of the chunk and with the length of the run. There are two exceptions: ending false
 * promises, each of which was paid for by the operation that left it behind; and a search for an
 * aligned run where many runs are long enough but not aligned. What is reached without the lock,
 * the list of chunks and the arrays of a chunk, is freed after a grace period.
 *
 * Memory: 32 bytes for each word, and about 2 for the tree above it; with pages of 4 KiB, 135 KiB
 * for each GiB.
 */
#include <linux/bug.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/slab.h>

#include "p2pdma-pool-near.h"

/* Children of a node. */
#define P2PDMA_FAN_OUT		8
#define P2PDMA_FAN_SHIFT	3

/**
 * struct p2pdma_runs - promised runs in a stretch of pages, in pages
 * @head: length of the run that begins with the first page
 * @tail: length of the run that ends with the last page
 * @longest: length of the longest run
 */
struct p2pdma_runs {
	u32 head;
	u32 tail;
	u32 longest;
};

/**
 * struct p2pdma_search - what to search for in a chunk
 * @chunk: the chunk
 * @nr: number of pages
 * @align: number of pages to align to, a power of two
 * @phase: number of pages by which the first one is beyond an aligned address
 * @apart: avoid blocks in which other CPUs have their near words
 * @own: where this CPU counts as a user of a block, or NULL
 */
struct p2pdma_search {
	struct p2pdma_chunk *chunk;
	unsigned long nr;
	unsigned long align;
	unsigned long phase;
	bool apart;
	u16 *own;
};

/* What is near a CPU when nothing is: nothing is ever free there. */
static struct p2pdma_set p2pdma_nowhere;

/* ---- sets --------------------------------------------------------------------------------- */

/* The length of the longest run: double it as long as there is one, then refine. */
static unsigned int p2pdma_set_longest(unsigned long pages)
{
	unsigned int len = 1, step;
	unsigned long longer;

	if (!pages || !~pages)
		return pages ? P2PDMA_SET : 0;
	while ((longer = pages & (pages >> len))) {
		pages = longer;
		len *= 2;
	}
	for (step = len / 2; step; step /= 2) {
		longer = pages & (pages >> step);
		if (longer) {
			pages = longer;
			len += step;
		}
	}
	return len;
}

/* Of the pages from @first to before @end, those in word @w, which has some of them. */
static unsigned long p2pdma_mask(unsigned long w, unsigned long first, unsigned long end)
{
	unsigned long mask = ~0UL;

	if (w == first / P2PDMA_SET)
		mask <<= first % P2PDMA_SET;
	if (w == (end - 1) / P2PDMA_SET)
		mask &= ~0UL >> (-end % P2PDMA_SET);
	return mask;
}

/* Take some, if all of them are free. */
static bool p2pdma_set_take(struct p2pdma_set *set, unsigned long mask)
{
	unsigned long old = READ_ONCE(set->free);

	do {
		if (mask & ~old)
			return false;
	} while (!try_cmpxchg(&set->free, &old, old & ~mask));
	return true;
}

/* Give some back, if none of them is free. */
static bool p2pdma_set_give(struct p2pdma_set *set, unsigned long mask)
{
	unsigned long old = READ_ONCE(set->free);

	do {
		if (mask & old)
			return false;
	} while (!try_cmpxchg(&set->free, &old, old | mask));
	return true;
}

/* End the promises of some that are not free. */
static void p2pdma_set_end_promises(struct p2pdma_set *set, unsigned long mask)
{
	unsigned long promised = set->promised & mask, kept;

	do {
		kept = promised & READ_ONCE(set->free);
		WRITE_ONCE(set->promised, (set->promised & ~mask) | kept);
		/* Pairs with the exchange in whatever gives pages back. */
		smp_mb();
	} while (READ_ONCE(set->free) & promised & ~kept);
}

/*
 * The run in a set around a given part of it, rounded up to a power of two. So a word that comes
 * back page by page needs new promises seven times and not 64, and a page that comes back alone is
 * promised alone.
 */
static unsigned long p2pdma_set_rounded(unsigned long free, unsigned long part)
{
	unsigned long below = ~free & ((part & -part) - 1);
	unsigned long above = ~free & ~0UL << __fls(part);
	unsigned int start = below ? __fls(below) + 1 : 0;
	unsigned int end = above ? __ffs(above) : P2PDMA_SET;
	unsigned int len = roundup_pow_of_two(end - start);

	return p2pdma_set_bits(min(start, P2PDMA_SET - len), len);
}

/* ---- counting ----------------------------------------------------------------------------- */

static long p2pdma_held(struct p2pdma_pool *pool)
{
	long held = atomic_long_read(&pool->held);
	int cpu;

	for_each_possible_cpu(cpu)
		held += READ_ONCE(per_cpu_ptr(pool->cpu, cpu)->delta);
	return held;
}

/*
 * Remember if more is allocated now than ever before.
 *
 * Return: @addr, so that the caller need not keep it.
 */
static noinline void *p2pdma_record(struct p2pdma_pool *pool, void *addr)
{
	long peak = atomic_long_read(&pool->peak), held = p2pdma_held(pool);

	while (held > peak && !atomic_long_try_cmpxchg(&pool->peak, &peak, held))
		;
	return addr;
}

/**
 * p2pdma_pool_fold - count what a CPU kept to itself
 * @pool: the pool
 * @addr: anything
 *
 * To ask the other CPUs takes a while, so that is left to when there is a record to expect.
 *
 * Context: Any.
 * Return: @addr, so that the caller need not keep it.
 */
void *p2pdma_pool_fold(struct p2pdma_pool *pool, void *addr)
{
	long held = atomic_long_add_return(this_cpu_xchg(pool->cpu->delta, 0), &pool->held);

	if (held <= READ_ONCE(pool->highest))
		return addr;
	WRITE_ONCE(pool->highest, held);
	return p2pdma_record(pool, addr);
}

/* ---- words and groups --------------------------------------------------------------------- */

static struct p2pdma_group *p2pdma_group_of(const struct p2pdma_chunk *chunk, unsigned long w)
{
	return &chunk->group[w / P2PDMA_SET];
}

static unsigned long p2pdma_word_bit(unsigned long w)
{
	return 1UL << w % P2PDMA_SET;
}

static bool p2pdma_is_broken(const struct p2pdma_chunk *chunk, unsigned long w)
{
	return READ_ONCE(p2pdma_group_of(chunk, w)->broken) & p2pdma_word_bit(w);
}

/* Is a word free that is whole? */
static bool p2pdma_is_free(const struct p2pdma_chunk *chunk, unsigned long w)
{
	return READ_ONCE(p2pdma_group_of(chunk, w)->words.free) & p2pdma_word_bit(w);
}

/* The free pages of a word. */
static unsigned long p2pdma_free_pages(const struct p2pdma_chunk *chunk, unsigned long w)
{
	return p2pdma_is_free(chunk, w) ? ~0UL : READ_ONCE(chunk->word[w].pages.free);
}

static unsigned long p2pdma_promised_pages(const struct p2pdma_chunk *chunk, unsigned long w)
{
	if (p2pdma_group_of(chunk, w)->words.promised & p2pdma_word_bit(w))
		return ~0UL;
	return chunk->word[w].pages.promised;
}

/* The pages of a word that exist. */
static unsigned long p2pdma_existing_pages(const struct p2pdma_chunk *chunk, unsigned long w)
{
	return p2pdma_mask(w, 0, chunk->nr_pages);
}

/* ---- the tree, under the lock ------------------------------------------------------------- */

static unsigned long p2pdma_node_pages(unsigned int level)
{
	return (unsigned long)P2PDMA_SET << level * P2PDMA_FAN_SHIFT;
}

static struct p2pdma_runs p2pdma_node(const struct p2pdma_chunk *chunk, unsigned int level,
				      unsigned long i)
{
	const struct p2pdma_word *word = &chunk->word[i];

	if (level)
		return chunk->level[level][i];
	return (struct p2pdma_runs) { word->head, word->tail, word->longest };
}

/* Add up the promises of a word. Returns whether that changed anything. */
static bool p2pdma_sum_up_word(struct p2pdma_chunk *chunk, unsigned long w)
{
	unsigned long promised = p2pdma_promised_pages(chunk, w);
	unsigned int head = ~promised ? __ffs(~promised) : P2PDMA_SET;
	unsigned int tail = ~promised ? P2PDMA_SET - 1 - __fls(~promised) : P2PDMA_SET;
	unsigned int longest = p2pdma_set_longest(promised);
	struct p2pdma_word *word = &chunk->word[w];

	if (word->head == head && word->tail == tail && word->longest == longest)
		return false;
	word->head = head;
	word->tail = tail;
	word->longest = longest;
	return true;
}

/* Add up the children of a node. Returns whether that changed anything. */
static bool p2pdma_sum_up_node(struct p2pdma_chunk *chunk, unsigned int level, unsigned long i)
{
	unsigned long child = i * P2PDMA_FAN_OUT;
	unsigned long end = min(child + P2PDMA_FAN_OUT, chunk->count[level - 1]);
	u32 pages = p2pdma_node_pages(level - 1), before = 0;
	struct p2pdma_runs *node = &chunk->level[level][i];
	struct p2pdma_runs sum = {}, next;

	for (; child < end; child++, before += pages) {
		next = p2pdma_node(chunk, level - 1, child);
		sum.longest = max3(sum.longest, next.longest, sum.tail + next.head);
		sum.head += sum.head == before ? next.head : 0;
		sum.tail = next.head == pages ? sum.tail + pages : next.tail;
	}
	if (node->head == sum.head && node->tail == sum.tail && node->longest == sum.longest)
		return false;
	*node = sum;
	return true;
}

/* Promises of some words have changed: correct what is above. */
static void p2pdma_sum_up(struct p2pdma_chunk *chunk, unsigned long first, unsigned long last)
{
	bool changed = false;
	unsigned int level;
	unsigned long i;

	for (i = first; i <= last; i++)
		changed |= p2pdma_sum_up_word(chunk, i);

	for (level = 1; changed && level <= chunk->top; level++) {
		first /= P2PDMA_FAN_OUT;
		last /= P2PDMA_FAN_OUT;
		changed = false;
		for (i = first; i <= last; i++)
			changed |= p2pdma_sum_up_node(chunk, level, i);
	}
	WRITE_ONCE(chunk->longest, chunk->level[chunk->top]->longest);
}

/* End the false promises in some words. */
static void p2pdma_correct(struct p2pdma_chunk *chunk, unsigned long first, unsigned long last)
{
	unsigned long w;

	lockdep_assert_held(&chunk->pool->lock);
	for (w = first; w <= last; w++) {
		if (p2pdma_is_broken(chunk, w))
			p2pdma_set_end_promises(&chunk->word[w].pages, ~0UL);
		else
			p2pdma_set_end_promises(&p2pdma_group_of(chunk, w)->words,
						p2pdma_word_bit(w));
	}
	p2pdma_sum_up(chunk, first, last);
}

/* ---- search, under the lock --------------------------------------------------------------- */

/* How far it is from @page to the next page that is aligned. */
static unsigned long p2pdma_misaligned(const struct p2pdma_search *search, unsigned long page)
{
	return -(page + search->phase) & (search->align - 1);
}

/* The pages of a word that are aligned. */
static unsigned long p2pdma_aligned(const struct p2pdma_search *search, unsigned long w)
{
	unsigned long first = p2pdma_misaligned(search, w * P2PDMA_SET);

	if (search->align < P2PDMA_SET)
		return ~0UL / ((1UL << search->align) - 1) << first;
	return first < P2PDMA_SET ? 1UL << first : 0;
}

static bool p2pdma_search_word(const struct p2pdma_search *search, unsigned long w,
			       unsigned long *page)
{
	unsigned long starts = p2pdma_set_starts(p2pdma_free_pages(search->chunk, w), search->nr);

	if (!starts)
		p2pdma_correct(search->chunk, w, w);
	else if (search->align > 1)
		starts &= p2pdma_aligned(search, w);
	if (!starts)
		return false;
	*page = w * P2PDMA_SET + __ffs(starts);
	return true;
}

/* Has another CPU its near word in this block? */
static bool p2pdma_in_use(const struct p2pdma_search *search, unsigned long block)
{
	u16 *users = &search->chunk->users[block];

	return *users > (search->own == users);
}

/*
 * Find the first place where what is wanted is promised. @run counts the promised pages before the
 * node that is looked at. A node that has enough within itself is entered; behind the last node of
 * a parent the search goes on in the next parent.
 *
 * Return: whether there is one; then @page is where it begins.
 */
static bool p2pdma_search(const struct p2pdma_search *search, unsigned long *page)
{
	struct p2pdma_chunk *chunk = search->chunk;
	unsigned int level = chunk->top;
	unsigned long i = 0, run = 0;
	struct p2pdma_runs node;

	while (i < chunk->count[level]) {
		node = p2pdma_node(chunk, level, i);
		*page = i * p2pdma_node_pages(level) - run;
		*page += p2pdma_misaligned(search, *page);

		if (search->apart && level == 1 && p2pdma_in_use(search, i)) {
			node = (struct p2pdma_runs) {};
		} else if (*page + search->nr <= i * p2pdma_node_pages(level) + node.head &&
			   (level < 2 || !search->apart)) {
			return true;
		} else if (node.longest >= search->nr) {
			if (level) {
				level--;
				i *= P2PDMA_FAN_OUT;
				continue;
			}
			if (p2pdma_search_word(search, i, page))
				return true;
			node = p2pdma_node(chunk, level, i);
		}

		run = node.head == p2pdma_node_pages(level) ? run + node.head : node.tail;
		i++;
		while (level < chunk->top && i % P2PDMA_FAN_OUT == 0) {
			level++;
			i /= P2PDMA_FAN_OUT;
		}
	}
	return false;
}

/* ---- taking what was found, under the lock ------------------------------------------------ */

/* Take a word. Unless one of its pages is only just coming back, it is whole from then on. */
static bool p2pdma_take_word(struct p2pdma_chunk *chunk, unsigned long w)
{
	struct p2pdma_group *group = p2pdma_group_of(chunk, w);
	struct p2pdma_set *pages = &chunk->word[w].pages;
	unsigned long bit = p2pdma_word_bit(w);

	if (!(group->broken & bit))
		return p2pdma_set_take(&group->words, bit);
	if (!p2pdma_set_take(pages, ~0UL))
		return false;
	if (!~pages->promised) {
		WRITE_ONCE(pages->promised, 0);
		WRITE_ONCE(group->words.promised, group->words.promised | bit);
		WRITE_ONCE(group->broken, group->broken & ~bit);
	}
	return true;
}

/* Break a word that is free, and take some of its pages. */
static bool p2pdma_take_part(struct p2pdma_chunk *chunk, unsigned long w, unsigned long mask)
{
	struct p2pdma_group *group = p2pdma_group_of(chunk, w);
	struct p2pdma_set *pages = &chunk->word[w].pages;
	unsigned long bit = p2pdma_word_bit(w);

	if (group->broken & bit)
		return p2pdma_set_take(pages, mask);
	if (!p2pdma_set_take(&group->words, bit))
		return false;
	WRITE_ONCE(group->broken, group->broken | bit);
	WRITE_ONCE(pages->promised, p2pdma_promised_pages(chunk, w));
	WRITE_ONCE(group->words.promised, group->words.promised & ~bit);
	return p2pdma_set_give(pages, ~mask);
}

static void p2pdma_untake(struct p2pdma_chunk *chunk, unsigned long w, unsigned long mask)
{
	if (p2pdma_is_broken(chunk, w))
		p2pdma_set_give(&chunk->word[w].pages, mask);
	else
		p2pdma_set_give(&p2pdma_group_of(chunk, w)->words, p2pdma_word_bit(w));
}

/* Take a range of pages, if all of them are free. */
static bool p2pdma_take_range(struct p2pdma_chunk *chunk, unsigned long first, unsigned long end)
{
	unsigned long w, mask;
	bool taken;

	for (w = first / P2PDMA_SET; w <= (end - 1) / P2PDMA_SET; w++) {
		mask = p2pdma_mask(w, first, end);
		taken = ~mask ? p2pdma_take_part(chunk, w, mask) : p2pdma_take_word(chunk, w);
		if (!taken)
			break;
	}
	if (w * P2PDMA_SET >= end)
		return true;
	while (w-- > first / P2PDMA_SET)
		p2pdma_untake(chunk, w, p2pdma_mask(w, first, end));
	return false;
}

/* ---- what is near ------------------------------------------------------------------------- */

/* Let this CPU try first in word @w from now on. */
static void p2pdma_approach_word(struct p2pdma_chunk *chunk, unsigned long w)
{
	struct p2pdma_cpu *cpu = this_cpu_ptr(chunk->pool->cpu);

	lockdep_assert_held(&chunk->pool->lock);
	if (!READ_ONCE(chunk->word[w].pages.free))
		return;
	if (cpu->users)
		--*cpu->users;
	cpu->users = &chunk->users[w / P2PDMA_FAN_OUT];
	++*cpu->users;
	WRITE_ONCE(cpu->near_word, &chunk->word[w].pages);
}

/* The same for whole words. */
static void p2pdma_approach_group(struct p2pdma_chunk *chunk, unsigned long w)
{
	struct p2pdma_cpu *cpu = this_cpu_ptr(chunk->pool->cpu);
	struct p2pdma_set *words = &p2pdma_group_of(chunk, w)->words;

	lockdep_assert_held(&chunk->pool->lock);
	if (READ_ONCE(words->free))
		WRITE_ONCE(cpu->near_group, words);
}

static bool p2pdma_has(const struct p2pdma_chunk *chunk, const struct p2pdma_set *set)
{
	return set->addr - chunk->addr < chunk->nr_pages << PAGE_SHIFT;
}

/* Let no CPU try first in this chunk any more. */
static void p2pdma_leave(struct p2pdma_chunk *chunk)
{
	struct p2pdma_cpu *cpu;
	int i;

	lockdep_assert_held(&chunk->pool->lock);
	for_each_possible_cpu(i) {
		cpu = per_cpu_ptr(chunk->pool->cpu, i);
		if (p2pdma_has(chunk, cpu->near_group))
			WRITE_ONCE(cpu->near_group, &p2pdma_nowhere);
		if (!p2pdma_has(chunk, cpu->near_word))
			continue;
		WRITE_ONCE(cpu->near_word, &p2pdma_nowhere);
		--*cpu->users;
		cpu->users = NULL;
	}
}

/* ---- chunks ------------------------------------------------------------------------------- */

/*
 * Lay out the arrays of a chunk behind each other, those with larger items first.
 *
 * Return: the number of bytes from @memory on.
 */
static size_t p2pdma_chunk_layout(struct p2pdma_chunk *chunk, uintptr_t memory)
{
	uintptr_t pos = memory;
	unsigned int level;

	chunk->word = (void *)pos;
	pos += chunk->count[0] * sizeof(*chunk->word);
	chunk->group = (void *)pos;
	pos += DIV_ROUND_UP(chunk->count[0], P2PDMA_SET) * sizeof(*chunk->group);
	for (level = 1; level <= chunk->top; level++) {
		chunk->level[level] = (void *)pos;
		pos += chunk->count[level] * sizeof(*chunk->level[level]);
	}
	chunk->users = (void *)pos;
	pos += chunk->count[1] * sizeof(*chunk->users);
	return pos - memory;
}

/* All words are whole and free, except that the last one may not be complete. */
static void p2pdma_chunk_fill(struct p2pdma_chunk *chunk)
{
	unsigned long w, pages, last = chunk->count[0] - 1;
	struct p2pdma_group *group;
	struct p2pdma_set *set;

	for (w = 0; w <= last; w++) {
		chunk->word[w].pages.addr = chunk->addr + (w << P2PDMA_WORD_SHIFT);
		group = p2pdma_group_of(chunk, w);
		if (w % P2PDMA_SET == 0)
			group->words.addr = chunk->word[w].pages.addr;

		pages = p2pdma_existing_pages(chunk, w);
		if (~pages)
			group->broken |= p2pdma_word_bit(w);
		set = ~pages ? &chunk->word[w].pages : &group->words;
		set->free |= ~pages ? pages : p2pdma_word_bit(w);
		set->promised = set->free;
	}
	p2pdma_sum_up(chunk, 0, last);
}

static bool p2pdma_chunk_init(struct p2pdma_chunk *chunk)
{
	unsigned int level = 0;

	if (!chunk->nr_pages || chunk->nr_pages >= U32_MAX)
		return false;
	chunk->count[0] = DIV_ROUND_UP(chunk->nr_pages, P2PDMA_SET);
	do {
		level++;
		chunk->count[level] = DIV_ROUND_UP(chunk->count[level - 1], P2PDMA_FAN_OUT);
	} while (chunk->count[level] > 1);
	chunk->top = level;

	chunk->memory = kvzalloc(p2pdma_chunk_layout(chunk, 0), GFP_KERNEL);
	if (!chunk->memory)
		return false;
	p2pdma_chunk_layout(chunk, (uintptr_t)chunk->memory);
	p2pdma_chunk_fill(chunk);
	return true;
}

/* Look how far a closed chunk is back. Complete it if that was the last that was missing. */
static void p2pdma_settle(struct p2pdma_chunk *chunk)
{
	unsigned long w = chunk->settled;

	lockdep_assert_held(&chunk->pool->lock);
	if (w == chunk->count[0])
		return;
	while (w < chunk->count[0] &&
	       p2pdma_free_pages(chunk, w) == p2pdma_existing_pages(chunk, w))
		w++;
	chunk->settled = w;
	if (w == chunk->count[0])
		complete(chunk->idle);
}

/**
 * p2pdma_pool_create - make an empty pool
 *
 * Context: May sleep.
 * Return: the pool, or NULL without memory.
 */
struct p2pdma_pool *p2pdma_pool_create(void)
{
	struct p2pdma_pool *pool = kzalloc(sizeof(*pool), GFP_KERNEL);
	struct p2pdma_cpu *cpu;
	int i;

	if (!pool)
		return NULL;
	pool->cpu = alloc_percpu(struct p2pdma_cpu);
	if (!pool->cpu) {
		kfree(pool);
		return NULL;
	}
	for_each_possible_cpu(i) {
		cpu = per_cpu_ptr(pool->cpu, i);
		cpu->near_word = &p2pdma_nowhere;
		cpu->near_group = &p2pdma_nowhere;
	}
	raw_spin_lock_init(&pool->lock);
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
	if (!pool)
		return;
	WARN_ON(!list_empty(&pool->chunks));
	free_percpu(pool->cpu);
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
	if (!p2pdma_chunk_init(chunk)) {
		kfree(chunk);
		return NULL;
	}

	guard(raw_spinlock_irqsave)(&pool->lock);
	list_add_tail_rcu(&chunk->node, &pool->chunks);
	return chunk;
}

/* End all promises in a group, also of pages that are free. Returns where the next one begins. */
static unsigned long p2pdma_forsake(struct p2pdma_chunk *chunk, unsigned long w)
{
	unsigned long end = min(w + P2PDMA_SET, chunk->count[0]);

	guard(raw_spinlock_irqsave)(&chunk->pool->lock);
	WRITE_ONCE(p2pdma_group_of(chunk, w)->words.promised, 0);
	for (; w < end; w++)
		WRITE_ONCE(chunk->word[w].pages.promised, 0);
	return end;
}

/**
 * p2pdma_pool_close - let no further allocation begin in a chunk
 * @chunk: the chunk
 *
 * Context: May sleep: waits for allocations that are under way.
 */
void p2pdma_pool_close(struct p2pdma_chunk *chunk)
{
	struct p2pdma_pool *pool = chunk->pool;
	unsigned long w = 0;

	scoped_guard(raw_spinlock_irqsave, &pool->lock) {
		WRITE_ONCE(chunk->state, P2PDMA_CLOSING);
		WRITE_ONCE(chunk->longest, 0);
		p2pdma_leave(chunk);
	}
	/* For allocations that were near this chunk before. */
	synchronize_rcu();

	while (w < chunk->count[0])
		w = p2pdma_forsake(chunk, w);
	/* Pairs with the exchange in whatever gives pages back. */
	smp_mb();

	guard(raw_spinlock_irqsave)(&pool->lock);
	WRITE_ONCE(chunk->state, P2PDMA_CLOSED);
	p2pdma_settle(chunk);
}

/**
 * p2pdma_pool_held - how much of a chunk is allocated
 * @chunk: the chunk
 *
 * Exact while nothing is being allocated or freed. Counts all pages, so it takes a while.
 *
 * Context: Any.
 * Return: number of pages that have not come back.
 */
size_t p2pdma_pool_held(struct p2pdma_chunk *chunk)
{
	size_t held = chunk->nr_pages;
	unsigned long w;

	for (w = 0; w < chunk->count[0]; w++)
		held -= hweight_long(p2pdma_free_pages(chunk, w));
	return held;
}

/**
 * p2pdma_pool_remove - take a chunk out of its pool and free it
 * @chunk: the chunk; closed, and all of its pages are back
 *
 * Context: May sleep: waits for those who are looking at the chunk.
 */
void p2pdma_pool_remove(struct p2pdma_chunk *chunk)
{
	scoped_guard(raw_spinlock_irqsave, &chunk->pool->lock) {
		WARN_ON(chunk->settled < chunk->count[0]);
		list_del_rcu(&chunk->node);
	}
	synchronize_rcu();
	kvfree(chunk->memory);
	kfree(chunk);
}

/* ---- allocation --------------------------------------------------------------------------- */

static void *p2pdma_search_chunk(struct p2pdma_search *search)
{
	struct p2pdma_chunk *chunk = search->chunk;
	unsigned long page, last;

	while (p2pdma_search(search, &page)) {
		last = page + search->nr - 1;
		if (!p2pdma_take_range(chunk, page, last + 1)) {
			p2pdma_correct(chunk, page / P2PDMA_SET, last / P2PDMA_SET);
			continue;
		}
		if (p2pdma_pool_is_whole(search->nr))
			p2pdma_approach_group(chunk, page / P2PDMA_SET);
		else if (p2pdma_pool_is_short(search->nr) && search->align == 1)
			p2pdma_approach_word(chunk, last / P2PDMA_SET);
		return p2pdma_pool_count(chunk->pool, search->nr,
					 (void *)(chunk->addr + (page << PAGE_SHIFT)));
	}
	return NULL;
}

static void *p2pdma_search_pool(struct p2pdma_pool *pool, struct p2pdma_search *search)
{
	struct p2pdma_chunk *chunk;
	void *addr = NULL;

	list_for_each_entry(chunk, &pool->chunks, node) {
		if (chunk->longest < search->nr)
			continue;
		search->chunk = chunk;
		addr = p2pdma_search_chunk(search);
		if (addr)
			break;
	}
	return addr;
}

/*
 * Find a run of this length if there is one: preferably in a block of its own if it is short, and
 * from the beginning of a word if it is whole. If there is none, no chunk promises one afterwards.
 */
static void *p2pdma_alloc_locked(struct p2pdma_pool *pool, unsigned long nr)
{
	struct p2pdma_search search = { .nr = nr, .align = 1 };
	void *addr = NULL;

	lockdep_assert_held(&pool->lock);
	if (p2pdma_pool_is_short(nr)) {
		search.own = this_cpu_read(pool->cpu->users);
		search.apart = true;
		addr = p2pdma_search_pool(pool, &search);
		search.apart = false;
	} else if (p2pdma_pool_is_whole(nr)) {
		search.align = P2PDMA_SET;
		addr = p2pdma_search_pool(pool, &search);
		search.align = 1;
	}
	return addr ?: p2pdma_search_pool(pool, &search);
}

/*
 * Without the lock: is it certain that there is no run of this length? With several chunks it is
 * not, for they cannot be looked at in the same moment.
 */
static bool p2pdma_is_hopeless(struct p2pdma_pool *pool, unsigned long nr)
{
	struct p2pdma_chunk *chunk;
	unsigned int chunks = 0;

	guard(rcu)();
	list_for_each_entry_rcu(chunk, &pool->chunks, node)
		if (READ_ONCE(chunk->longest) >= nr || chunks++)
			return false;
	return true;
}

static noinline void *p2pdma_alloc_far(struct p2pdma_pool *pool, unsigned long nr)
{
	guard(raw_spinlock_irqsave)(&pool->lock);
	return p2pdma_alloc_locked(pool, nr);
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
	unsigned long nr = p2pdma_pool_pages(size);
	void *addr;

	if (p2pdma_is_hopeless(pool, nr))
		return NULL;
	scoped_guard(rcu)
		if (p2pdma_pool_alloc_near(pool, size, &addr))
			return addr;
	return p2pdma_alloc_far(pool, nr);
}

/**
 * p2pdma_pool_alloc_aligned - allocate a run of pages at an aligned address
 * @pool: the pool
 * @size: in bytes; rounded up to whole pages
 * @align: in bytes, a power of two; less than a page is the same as a page
 *
 * Context: Any.
 * Return: address of the first page, a multiple of @align; or NULL if @size is zero, @align is not
 * a power of two, or there is no such run.
 */
void *p2pdma_pool_alloc_aligned(struct p2pdma_pool *pool, size_t size, size_t align)
{
	struct p2pdma_search search = { .nr = p2pdma_pool_pages(size) };
	struct p2pdma_chunk *chunk;
	void *addr = NULL;

	if (!is_power_of_2(align))
		return NULL;
	if (align <= PAGE_SIZE)
		return p2pdma_pool_alloc(pool, size);
	if (p2pdma_is_hopeless(pool, search.nr))
		return NULL;
	search.align = align >> PAGE_SHIFT;

	guard(raw_spinlock_irqsave)(&pool->lock);
	list_for_each_entry(chunk, &pool->chunks, node) {
		if (chunk->longest < search.nr)
			continue;
		search.chunk = chunk;
		search.phase = chunk->addr >> PAGE_SHIFT;
		addr = p2pdma_search_chunk(&search);
		if (addr)
			break;
	}
	return addr;
}

/* The length of the longest run that is promised, no more than @nr. */
static unsigned long p2pdma_longest_promise(struct p2pdma_pool *pool, unsigned long nr)
{
	struct p2pdma_chunk *chunk;
	unsigned long longest = 0;

	guard(rcu)();
	list_for_each_entry_rcu(chunk, &pool->chunks, node)
		longest = max(longest, READ_ONCE(chunk->longest));
	return min(longest, nr);
}

/* A search that finds nothing leaves shorter promises, so this ends. */
static noinline void *p2pdma_alloc_longest(struct p2pdma_pool *pool, unsigned long *nr)
{
	void *addr;

	if (p2pdma_is_hopeless(pool, 1))
		return NULL;
	guard(raw_spinlock_irqsave)(&pool->lock);
	do {
		*nr = p2pdma_longest_promise(pool, *nr);
		if (!*nr)
			return NULL;
		addr = p2pdma_alloc_locked(pool, *nr);
	} while (!addr);
	return addr;
}

/**
 * p2pdma_pool_alloc_upto - allocate the longest run of pages there is, up to a limit
 * @pool: the pool
 * @size: the limit in bytes, rounded up to whole pages; set to the length of the run, whole pages
 *
 * Context: Any.
 * Return: address of the first page, or NULL if @size is zero or no page is free.
 */
void *p2pdma_pool_alloc_upto(struct p2pdma_pool *pool, size_t *size)
{
	unsigned long nr = p2pdma_longest_promise(pool, p2pdma_pool_pages(*size));
	void *addr;

	if (!*size)
		return NULL;
	scoped_guard(rcu) {
		if (nr && p2pdma_pool_alloc_near(pool, nr << PAGE_SHIFT, &addr)) {
			*size = nr << PAGE_SHIFT;
			return addr;
		}
	}
	nr = p2pdma_pool_pages(*size);
	addr = p2pdma_alloc_longest(pool, &nr);
	*size = nr << PAGE_SHIFT;
	return addr;
}

/* ---- free --------------------------------------------------------------------------------- */

/*
 * Some pages of a word came back, or all of it. Break the word if it is whole and only some did.
 * Pages of a word that is free as a whole did not come back: they were free before. Undo that.
 */
static bool p2pdma_came_back(struct p2pdma_chunk *chunk, unsigned long w, unsigned long mask)
{
	struct p2pdma_group *group = p2pdma_group_of(chunk, w);
	struct p2pdma_set *pages = &chunk->word[w].pages;

	if (p2pdma_is_broken(chunk, w) || !(READ_ONCE(pages->free) & mask))
		return true;
	if (p2pdma_is_free(chunk, w)) {
		p2pdma_set_take(pages, READ_ONCE(pages->free) & mask);
		return false;
	}
	WRITE_ONCE(group->broken, group->broken | p2pdma_word_bit(w));
	WRITE_ONCE(group->words.promised, group->words.promised & ~p2pdma_word_bit(w));
	return true;
}

static void p2pdma_promise(struct p2pdma_chunk *chunk, unsigned long w, unsigned long mask)
{
	struct p2pdma_group *group = p2pdma_group_of(chunk, w);
	struct p2pdma_set *pages = &chunk->word[w].pages;

	if (p2pdma_is_broken(chunk, w))
		WRITE_ONCE(pages->promised, pages->promised |
			   p2pdma_set_rounded(READ_ONCE(pages->free) | mask, mask));
	else
		WRITE_ONCE(group->words.promised,
			   group->words.promised | p2pdma_word_bit(w));
}

/*
 * Promise pages that came back. Some of them may have been free before, with their word.
 *
 * Return: the number of the others.
 */
static unsigned long p2pdma_promise_range(struct p2pdma_chunk *chunk, unsigned long first,
					  unsigned long nr)
{
	unsigned long w = first / P2PDMA_SET, last = (first + nr - 1) / P2PDMA_SET;
	unsigned long mask, end = first + nr;
	struct p2pdma_pool *pool = chunk->pool;
	bool open;

	guard(raw_spinlock_irqsave)(&pool->lock);
	open = chunk->state == P2PDMA_OPEN;
	if (open) {
		/* Who sees a promise must not find it hopeless before the tree is correct. */
		WRITE_ONCE(chunk->longest, U32_MAX);
		/* Pairs with the load in p2pdma_set_promises(). */
		smp_wmb();
	}
	for (; w <= last; w++) {
		mask = p2pdma_mask(w, first, end);
		if (!p2pdma_came_back(chunk, w, mask))
			nr -= hweight_long(mask);
		else if (open)
			p2pdma_promise(chunk, w, mask);
	}
	if (open)
		p2pdma_sum_up(chunk, first / P2PDMA_SET, last);
	else if (chunk->state == P2PDMA_CLOSED)
		p2pdma_settle(chunk);
	if (open && !READ_ONCE(this_cpu_read(pool->cpu->near_word)->free))
		p2pdma_approach_word(chunk, last);
	return nr;
}

static bool p2pdma_not_promised(struct p2pdma_pool *pool, struct p2pdma_chunk *chunk,
				unsigned long first, unsigned long nr)
{
	unsigned long freed = p2pdma_promise_range(chunk, first, nr);

	p2pdma_pool_count(pool, -freed, NULL);
	return freed == nr;
}

/* The chunk that has this address; under rcu_read_lock(). */
static struct p2pdma_chunk *p2pdma_chunk_of(struct p2pdma_pool *pool, const void *addr)
{
	struct p2pdma_chunk *chunk;

	list_for_each_entry_rcu(chunk, &pool->chunks, node)
		if (p2pdma_chunk_page(chunk, addr) < chunk->nr_pages)
			return chunk;
	return NULL;
}

/**
 * p2pdma_pool_given - do the rest of what p2pdma_pool_free_near() began
 * @pool: the pool
 * @addr: address of the first page
 * @size: in bytes; rounded up to whole pages
 *
 * Context: Any. The caller has held rcu_read_lock() since then.
 * Return: false, and all is as it was before, if some of the pages were free before.
 */
bool p2pdma_pool_given(struct p2pdma_pool *pool, void *addr, size_t size)
{
	struct p2pdma_chunk *chunk = p2pdma_chunk_of(pool, addr);

	return p2pdma_not_promised(pool, chunk, p2pdma_chunk_page(chunk, addr),
				   p2pdma_pool_pages(size));
}

/* Is none of the pages free? */
static bool p2pdma_range_held(struct p2pdma_chunk *chunk, unsigned long first, unsigned long end)
{
	unsigned long w;

	for (w = first / P2PDMA_SET; w <= (end - 1) / P2PDMA_SET; w++)
		if (p2pdma_free_pages(chunk, w) & p2pdma_mask(w, first, end))
			return false;
	return true;
}

/*
 * Any range. It is looked at before any page is given back; if one of them is found free later all
 * the same, somebody else must have freed it meanwhile, and the rest is left as it is.
 */
static bool p2pdma_free_range(struct p2pdma_pool *pool, struct p2pdma_chunk *chunk,
			      unsigned long first, unsigned long nr)
{
	unsigned long w, mask, end = first + nr;
	bool promised = true;
	struct p2pdma_set *set;

	if (!p2pdma_range_held(chunk, first, end))
		return false;
	for (w = first / P2PDMA_SET; w <= (end - 1) / P2PDMA_SET; w++) {
		set = &chunk->word[w].pages;
		mask = p2pdma_mask(w, first, end);
		if (!~mask && !p2pdma_is_broken(chunk, w)) {
			set = &p2pdma_group_of(chunk, w)->words;
			mask = p2pdma_word_bit(w);
		}
		if (!p2pdma_set_give(set, mask))
			break;
		promised &= p2pdma_set_promises(set, mask);
	}
	nr = min(end, max(first, w * P2PDMA_SET)) - first;
	if (!promised)
		return p2pdma_not_promised(pool, chunk, first, nr) && first + nr == end;
	p2pdma_pool_count(pool, -nr, NULL);
	return first + nr == end;
}

/**
 * p2pdma_pool_free - give a run of pages back
 * @pool: the pool
 * @addr: address of the first page
 * @size: in bytes; rounded up to whole pages
 *
 * Any part of an allocation that consists of whole pages can be freed on its own, and so can
 * neighbouring allocations together.
 *
 * Context: Any.
 * Return: false, and nothing has changed, if these pages are not all allocated from @pool. If
 * somebody else frees some of them at the very same time, the pages before those are freed.
 */
bool p2pdma_pool_free(struct p2pdma_pool *pool, void *addr, size_t size)
{
	unsigned long nr = p2pdma_pool_pages(size), first;
	struct p2pdma_chunk *chunk;

	guard(rcu)();
	switch (p2pdma_pool_free_near(pool, addr, size)) {
	case P2PDMA_NEAR_DONE:
		return true;
	case P2PDMA_NEAR_GIVEN:
		return p2pdma_pool_given(pool, addr, size);
	default:
		chunk = p2pdma_chunk_of(pool, addr);
		if (!chunk)
			return false;
		first = p2pdma_chunk_page(chunk, addr);
		return nr <= chunk->nr_pages - first &&
		       p2pdma_free_range(pool, chunk, first, nr);
	}
}

/* ---- how much there is -------------------------------------------------------------------- */

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
	size_t pages = 0;

	guard(rcu)();
	list_for_each_entry_rcu(chunk, &pool->chunks, node)
		if (READ_ONCE(chunk->state) == P2PDMA_OPEN)
			pages += chunk->nr_pages;
	return pages << PAGE_SHIFT;
}

/**
 * p2pdma_pool_available - how much of a pool can be allocated
 * @pool: the pool
 *
 * Exact while nothing is being allocated or freed.
 *
 * Context: Any.
 * Return: bytes in all chunks that are open and not allocated.
 */
size_t p2pdma_pool_available(struct p2pdma_pool *pool)
{
	struct p2pdma_chunk *chunk;
	long pages = 0, held = p2pdma_held(pool);

	guard(rcu)();
	list_for_each_entry_rcu(chunk, &pool->chunks, node) {
		if (READ_ONCE(chunk->state) == P2PDMA_OPEN)
			pages += chunk->nr_pages;
		else
			held -= p2pdma_pool_held(chunk);
	}
	return clamp(pages - held, 0L, pages) << PAGE_SHIFT;
}

/**
 * p2pdma_pool_slack - how wrong p2pdma_pool_available() may be while others allocate and free
 *
 * A CPU that is just adding what it kept to itself to the common number counts for nothing, and
 * the CPUs are not asked all in the same moment.
 *
 * Context: Any.
 * Return: bytes, a generous estimate.
 */
size_t p2pdma_pool_slack(void)
{
	return (size_t)num_possible_cpus() * 2 * P2PDMA_BATCH << PAGE_SHIFT;
}

/**
 * p2pdma_pool_peak - the most that was allocated at one time
 * @pool: the pool
 *
 * May miss 64 pages for each CPU.
 *
 * Context: Any.
 * Return: bytes.
 */
size_t p2pdma_pool_peak(struct p2pdma_pool *pool)
{
	p2pdma_record(pool, NULL);
	return atomic_long_read(&pool->peak) << PAGE_SHIFT;
}
