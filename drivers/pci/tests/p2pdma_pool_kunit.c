// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite p2pdma_pool: the page allocator, alone and behind pci_p2pmem_alloc()
 *
 * The pool never touches the memory that it hands out, so most tests give it addresses at which
 * there is nothing.
 */

#include <kunit/resource.h>
#include <kunit/test.h>

#include <linux/completion.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/limits.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "../p2pdma.h"
#include "mock_pci.h"
#include "p2pdma_kunit.h"

#define BASE		0x40000000UL
#define PAGES(_nr)	((size_t)(_nr) << PAGE_SHIFT)
#define AT(_page)	((void *)(BASE + PAGES(_page)))

/**
 * struct chunk - a chunk that goes with its test
 * @chunk: the chunk, NULL once removed
 * @idle: completed by the pool
 */
struct chunk {
	struct p2pdma_chunk *chunk;
	struct completion idle;
};

KUNIT_DEFINE_ACTION_WRAPPER(pool_destroy, p2pdma_pool_destroy, struct p2pdma_pool *);

static struct p2pdma_pool *pool_new(struct kunit *test)
{
	struct p2pdma_pool *pool = p2pdma_pool_create();

	KUNIT_ASSERT_NOT_NULL(test, pool);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, pool_destroy, pool));
	return pool;
}

/* Closes the chunk if the test did not; a test that fails may leave pages behind. */
static void chunk_remove(void *data)
{
	struct chunk *chunk = data;

	p2pdma_pool_close(chunk->chunk);
	p2pdma_pool_remove(chunk->chunk);
}

static struct chunk *chunk_new(struct kunit *test, struct p2pdma_pool *pool, void *addr,
			       unsigned long pages)
{
	struct chunk *chunk = kunit_kzalloc(test, sizeof(*chunk), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, chunk);
	init_completion(&chunk->idle);
	chunk->chunk = p2pdma_pool_add(pool, addr, PAGES(pages), &chunk->idle);
	KUNIT_ASSERT_NOT_NULL(test, chunk->chunk);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, chunk_remove, chunk));
	return chunk;
}

static void expect_available(struct kunit *test, struct p2pdma_pool *pool, unsigned long pages)
{
	KUNIT_EXPECT_EQ(test, p2pdma_pool_available(pool), PAGES(pages));
}

/* ---- one chunk ---------------------------------------------------------------------------- */

static void pool_empty(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);

	expect_available(test, pool, 0);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_size(pool), 0);
	KUNIT_EXPECT_NULL(test, p2pdma_pool_alloc(pool, 1));
	KUNIT_EXPECT_FALSE(test, p2pdma_pool_free(pool, AT(0), PAGE_SIZE));
	p2pdma_pool_destroy(NULL);
}

struct size_case {
	const char *name;
	size_t size;
	unsigned long pages;
};

static const struct size_case size_cases[] = {
	{ "one byte", 1, 1 },
	{ "one page less one byte", PAGE_SIZE - 1, 1 },
	{ "one page", PAGE_SIZE, 1 },
	{ "one page and a byte", PAGE_SIZE + 1, 2 },
	{ "seven pages and a bit", PAGES(7) + 17, 8 },
	{ "all but one page", PAGES(63), 63 },
	{ "all", PAGES(64), 64 },
};

KUNIT_ARRAY_PARAM_DESC(size, size_cases, name);

static void pool_counts_pages(struct kunit *test)
{
	const struct size_case *c = test->param_value;
	struct p2pdma_pool *pool = pool_new(test);
	struct chunk *chunk = chunk_new(test, pool, AT(0), 64);
	void *addr;

	KUNIT_EXPECT_EQ(test, p2pdma_pool_size(pool), PAGES(64));
	expect_available(test, pool, 64);
	addr = p2pdma_pool_alloc(pool, c->size);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(addr));
	KUNIT_EXPECT_GE(test, (unsigned long)addr, BASE);
	KUNIT_EXPECT_LE(test, (unsigned long)addr + c->size, BASE + PAGES(64));
	expect_available(test, pool, 64 - c->pages);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_held(chunk->chunk), c->pages);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_size(pool), PAGES(64));

	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, addr, c->size));
	expect_available(test, pool, 64);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_held(chunk->chunk), 0);
}

static void pool_refuses_sizes(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	const size_t sizes[] = {
		0, PAGES(64) + 1, PAGES(65), LONG_MAX, SIZE_MAX - PAGE_SIZE, SIZE_MAX - 1, SIZE_MAX,
	};
	unsigned int i;

	chunk_new(test, pool, AT(0), 64);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		KUNIT_EXPECT_NULL_MSG(test, p2pdma_pool_alloc(pool, sizes[i]), "%zu", sizes[i]);
	expect_available(test, pool, 64);
}

/* A number of pages that fills no word of a bitmap. */
static void pool_exhausted(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	bool seen[131] = {};
	unsigned long page;
	unsigned int i;
	void *addr;

	chunk_new(test, pool, AT(0), ARRAY_SIZE(seen));
	for (i = 0; i < ARRAY_SIZE(seen); i++) {
		addr = p2pdma_pool_alloc(pool, PAGE_SIZE);
		KUNIT_ASSERT_NOT_NULL(test, addr);
		page = ((unsigned long)addr - BASE) >> PAGE_SHIFT;
		KUNIT_ASSERT_LT(test, page, ARRAY_SIZE(seen));
		KUNIT_EXPECT_FALSE_MSG(test, seen[page], "page %lu was given twice", page);
		seen[page] = true;
		expect_available(test, pool, ARRAY_SIZE(seen) - 1 - i);
	}
	KUNIT_EXPECT_NULL(test, p2pdma_pool_alloc(pool, 1));
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(130), PAGE_SIZE));
	KUNIT_EXPECT_PTR_EQ(test, p2pdma_pool_alloc(pool, 1), AT(130));
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(0), PAGES(131)));
	expect_available(test, pool, 131);
}

static void pool_fragmented(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	unsigned int i;

	chunk_new(test, pool, AT(0), 64);
	KUNIT_ASSERT_PTR_EQ(test, p2pdma_pool_alloc(pool, PAGES(64)), AT(0));
	for (i = 1; i < 64; i += 2)
		KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(i), PAGE_SIZE));
	expect_available(test, pool, 32);

	/* Half is free, and not two pages in one piece. */
	KUNIT_EXPECT_NULL(test, p2pdma_pool_alloc(pool, PAGES(2)));
	expect_available(test, pool, 32);
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(20), PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, p2pdma_pool_alloc(pool, PAGES(4)));
	KUNIT_EXPECT_PTR_EQ(test, p2pdma_pool_alloc(pool, PAGES(3)), AT(19));

	/* Single pages still go, down to the last. */
	for (i = 0; i < 30; i++)
		KUNIT_EXPECT_NOT_NULL(test, p2pdma_pool_alloc(pool, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, p2pdma_pool_alloc(pool, PAGE_SIZE));
	expect_available(test, pool, 0);
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(0), PAGES(64)));
}

/* The page at the very end of the chunk is part of it, the one after is not. */
static void pool_uses_the_end(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);

	chunk_new(test, pool, AT(0), 10);
	KUNIT_ASSERT_PTR_EQ(test, p2pdma_pool_alloc(pool, PAGES(10)), AT(0));
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(6), PAGES(4)));
	KUNIT_EXPECT_NULL(test, p2pdma_pool_alloc(pool, PAGES(5)));
	KUNIT_EXPECT_PTR_EQ(test, p2pdma_pool_alloc(pool, PAGES(4)), AT(6));
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(0), PAGES(10)));
}

/* ---- bad frees ---------------------------------------------------------------------------- */

static void pool_free_in_parts(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	void *addr;

	chunk_new(test, pool, AT(0), 64);
	addr = p2pdma_pool_alloc(pool, PAGES(8));
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, addr + PAGES(3), PAGES(2)));
	expect_available(test, pool, 58);
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, addr, PAGES(3)));
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, addr + PAGES(5), PAGES(3)));
	expect_available(test, pool, 64);
}

struct free_case {
	const char *name;
	unsigned long at;
	size_t size;
};

/* Pages 8 to 15 of 64 are allocated. */
static const struct free_case free_cases[] = {
	{ "free page", BASE, PAGE_SIZE },
	{ "begins before the allocation", BASE + PAGES(7), PAGES(2) },
	{ "ends after the allocation", BASE + PAGES(15), PAGES(2) },
	{ "around the allocation", BASE, PAGES(64) },
	{ "not page aligned", BASE + PAGES(8) + 64, PAGE_SIZE },
	{ "no size", BASE + PAGES(8), 0 },
	{ "size that wraps", BASE + PAGES(8), SIZE_MAX },
	{ "size that wraps to nothing", BASE + PAGES(8), SIZE_MAX - PAGES(8) },
	{ "before the pool", BASE - PAGE_SIZE, PAGE_SIZE },
	{ "after the pool", BASE + PAGES(64), PAGE_SIZE },
	{ "address zero", 0, PAGE_SIZE },
	{ "last address", ~0UL & PAGE_MASK, PAGE_SIZE },
};

KUNIT_ARRAY_PARAM_DESC(free, free_cases, name);

static void pool_refuses_free(struct kunit *test)
{
	const struct free_case *c = test->param_value;
	struct p2pdma_pool *pool = pool_new(test);
	struct chunk *chunk = chunk_new(test, pool, AT(0), 64);

	KUNIT_ASSERT_PTR_EQ(test, p2pdma_pool_alloc(pool, PAGES(64)), AT(0));
	KUNIT_ASSERT_TRUE(test, p2pdma_pool_free(pool, AT(0), PAGES(8)));
	KUNIT_ASSERT_TRUE(test, p2pdma_pool_free(pool, AT(16), PAGES(48)));

	KUNIT_EXPECT_FALSE(test, p2pdma_pool_free(pool, (void *)c->at, c->size));
	expect_available(test, pool, 56);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_held(chunk->chunk), 8);

	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(8), PAGES(8)));
	KUNIT_EXPECT_FALSE_MSG(test, p2pdma_pool_free(pool, AT(8), PAGES(8)), "second time");
	expect_available(test, pool, 64);
}

/* ---- several chunks ----------------------------------------------------------------------- */

static void pool_of_chunks(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	unsigned long page;
	void *addr;

	/* Side by side, so that nothing but the boundary keeps a run from spanning them. */
	chunk_new(test, pool, AT(0), 8);
	chunk_new(test, pool, AT(8), 16);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_size(pool), PAGES(24));
	expect_available(test, pool, 24);
	KUNIT_EXPECT_NULL(test, p2pdma_pool_alloc(pool, PAGES(17)));

	addr = p2pdma_pool_alloc(pool, PAGES(12));
	KUNIT_ASSERT_NOT_NULL(test, addr);
	page = ((unsigned long)addr - BASE) >> PAGE_SHIFT;
	KUNIT_EXPECT_GE(test, page, 8);
	KUNIT_EXPECT_LE(test, page + 12, 24);
	KUNIT_EXPECT_NOT_NULL(test, p2pdma_pool_alloc(pool, PAGES(8)));
	KUNIT_EXPECT_NOT_NULL(test, p2pdma_pool_alloc(pool, PAGES(4)));
	expect_available(test, pool, 0);

	/* Nor does a free reach over the boundary. */
	KUNIT_EXPECT_FALSE(test, p2pdma_pool_free(pool, AT(0), PAGES(24)));
	expect_available(test, pool, 0);
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(0), PAGES(8)));
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(8), PAGES(16)));
	expect_available(test, pool, 24);
}

static void pool_close_idle(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	struct chunk *a = chunk_new(test, pool, AT(0), 8);

	p2pdma_pool_close(a->chunk);
	KUNIT_EXPECT_TRUE(test, try_wait_for_completion(&a->idle));
	KUNIT_EXPECT_NULL(test, p2pdma_pool_alloc(pool, 1));
	expect_available(test, pool, 0);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_size(pool), 0);
}

static void pool_close_one(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	struct chunk *a = chunk_new(test, pool, AT(0), 8);

	KUNIT_ASSERT_PTR_EQ(test, p2pdma_pool_alloc(pool, PAGES(8)), AT(0));
	KUNIT_ASSERT_TRUE(test, p2pdma_pool_free(pool, AT(3), PAGES(5)));
	chunk_new(test, pool, AT(100), 8);

	p2pdma_pool_close(a->chunk);
	KUNIT_EXPECT_FALSE(test, completion_done(&a->idle));
	KUNIT_EXPECT_EQ(test, p2pdma_pool_held(a->chunk), 3);
	expect_available(test, pool, 8);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_size(pool), PAGES(8));

	/* The other one serves, and pages of the closed one do not come back into use. */
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(0), PAGES(2)));
	KUNIT_EXPECT_FALSE(test, completion_done(&a->idle));
	KUNIT_EXPECT_PTR_EQ(test, p2pdma_pool_alloc(pool, PAGES(8)), AT(100));
	KUNIT_EXPECT_NULL(test, p2pdma_pool_alloc(pool, 1));

	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(2), PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, try_wait_for_completion(&a->idle));
	KUNIT_EXPECT_EQ(test, p2pdma_pool_held(a->chunk), 0);
	kunit_release_action(test, chunk_remove, a);

	KUNIT_EXPECT_FALSE(test, p2pdma_pool_free(pool, AT(2), PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(100), PAGES(8)));
	expect_available(test, pool, 8);
}

/* ---- against a model ---------------------------------------------------------------------- */

#define MODEL_PAGES	200
#define MODEL_CHUNK	70
#define MODEL_STEPS	20000

/* Chunks at 0, 70 and 140: runs of free pages that a chunk boundary does not cut. */
static bool model_has_run(const bool *held, unsigned long nr)
{
	unsigned long i, run = 0;

	for (i = 0; i < MODEL_PAGES; i++) {
		if (i % MODEL_CHUNK == 0)
			run = 0;
		run = held[i] ? 0 : run + 1;
		if (run >= nr)
			return true;
	}
	return false;
}

static bool model_all_held(const bool *held, unsigned long first, unsigned long nr)
{
	unsigned long i;

	if (first + nr > MODEL_PAGES || first / MODEL_CHUNK != (first + nr - 1) / MODEL_CHUNK)
		return false;
	for (i = first; i < first + nr; i++)
		if (!held[i])
			return false;
	return true;
}

static void model_alloc(struct kunit *test, struct p2pdma_pool *pool, bool *held,
			unsigned long nr)
{
	bool expected = model_has_run(held, nr);
	void *addr = p2pdma_pool_alloc(pool, PAGES(nr));
	unsigned long first = ((unsigned long)addr - BASE) >> PAGE_SHIFT;
	unsigned long i;

	KUNIT_ASSERT_EQ_MSG(test, !!addr, expected, "%lu pages", nr);
	if (!addr)
		return;
	KUNIT_ASSERT_LE(test, first + nr, MODEL_PAGES);
	KUNIT_ASSERT_EQ(test, first / MODEL_CHUNK, (first + nr - 1) / MODEL_CHUNK);
	for (i = first; i < first + nr; i++) {
		KUNIT_ASSERT_FALSE_MSG(test, held[i], "page %lu", i);
		held[i] = true;
	}
}

static void model_free(struct kunit *test, struct p2pdma_pool *pool, bool *held,
		       unsigned long first, unsigned long nr)
{
	bool expected = model_all_held(held, first, nr);

	KUNIT_ASSERT_EQ_MSG(test, p2pdma_pool_free(pool, AT(first), PAGES(nr)), expected,
			    "%lu pages at %lu", nr, first);
	if (expected)
		memset(held + first, false, nr);
}

static void pool_agrees_with_model(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	bool *held = kunit_kzalloc(test, MODEL_PAGES, GFP_KERNEL);
	struct rnd_state rnd;
	unsigned long i, step, free;
	const u64 seed = 20250101;

	KUNIT_ASSERT_NOT_NULL(test, held);
	kunit_info(test, "seed %llu\n", seed);
	prandom_seed_state(&rnd, seed);
	for (i = 0; i < MODEL_PAGES; i += MODEL_CHUNK)
		chunk_new(test, pool, AT(i), min(MODEL_CHUNK, MODEL_PAGES - i));

	for (step = 0; step < MODEL_STEPS; step++) {
		unsigned long nr = 1 + prandom_u32_state(&rnd) % (step % 3 ? 6 : 40);

		if (prandom_u32_state(&rnd) % 2)
			model_alloc(test, pool, held, nr);
		else
			model_free(test, pool, held, prandom_u32_state(&rnd) % MODEL_PAGES, nr);
		for (i = 0, free = 0; i < MODEL_PAGES; i++)
			free += !held[i];
		KUNIT_ASSERT_EQ(test, p2pdma_pool_available(pool), PAGES(free));
	}
	for (i = 0; i < MODEL_PAGES; i++)
		if (held[i])
			model_free(test, pool, held, i, 1);
	expect_available(test, pool, MODEL_PAGES);
}

/* ---- any context -------------------------------------------------------------------------- */

struct in_irq {
	struct irq_work work;
	struct pci_dev *pdev;
	void *addr;
	bool hard;
};

static void alloc_in_irq(struct irq_work *work)
{
	struct in_irq *irq = container_of(work, struct in_irq, work);

	irq->hard = in_hardirq();
	irq->addr = pci_p2pmem_alloc(irq->pdev, SZ_8K);
}

static void free_in_irq(struct irq_work *work)
{
	struct in_irq *irq = container_of(work, struct in_irq, work);

	pci_p2pmem_free(irq->pdev, irq->addr, SZ_8K);
}

/*
 *	host bridge - RP - MEM, memory in BAR 0 (4 MiB) and 2 (2 MiB)
 */
enum { HOST, RP, MEM, NR };

static const struct mock_pci_row pool_rows[NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[RP] = { .kind = MOCK_PCI_ROOT_PORT },
	[MEM] = { .kind = MOCK_PCI_ENDPOINT, .up = RP, .bar[0] = SZ_4M, .bar[2] = SZ_2M },
};

static void alloc_in_hard_irq(struct kunit *test)
{
	struct mock_pci *mock = mock_pci_add(test, pool_rows, NR);
	struct in_irq irq = { .pdev = mock_pci_dev(mock, MEM) };

	p2pdma_kunit_provide(test, irq.pdev);
	irq.work = IRQ_WORK_INIT_HARD(alloc_in_irq);
	KUNIT_ASSERT_TRUE(test, irq_work_queue(&irq.work));
	irq_work_sync(&irq.work);
	KUNIT_EXPECT_TRUE(test, irq.hard);
	KUNIT_ASSERT_NOT_NULL(test, irq.addr);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, irq.pdev, "available"), SZ_4M - SZ_8K);

	irq.work = IRQ_WORK_INIT_HARD(free_in_irq);
	KUNIT_ASSERT_TRUE(test, irq_work_queue(&irq.work));
	irq_work_sync(&irq.work);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, irq.pdev, "available"), SZ_4M);
}

#define CROWD_THREADS	4
#define CROWD_PAGES	64
#define CROWD_STEPS	20000
#define CROWD_HOLDS	8

/**
 * struct crowd - threads that allocate from one pool
 * @pool: the pool
 * @owner: who has a page, thread number + 1
 * @clashes: pages that were given to two owners, or taken from a wrong one
 */
struct crowd {
	struct p2pdma_pool *pool;
	atomic_t owner[CROWD_PAGES];
	atomic_t clashes;
};

struct member {
	struct crowd *crowd;
	struct task_struct *task;
	struct completion done;
	int id;
	void *addr[CROWD_HOLDS];
	unsigned long nr[CROWD_HOLDS];
};

static void member_mark(struct member *member, unsigned int slot, int from, int to)
{
	unsigned long page = ((unsigned long)member->addr[slot] - BASE) >> PAGE_SHIFT;
	unsigned long end = page + member->nr[slot];

	for (; page < end; page++)
		if (page >= CROWD_PAGES ||
		    atomic_cmpxchg(&member->crowd->owner[page], from, to) != from)
			atomic_inc(&member->crowd->clashes);
}

static void member_put(struct member *member, unsigned int slot)
{
	if (!member->addr[slot])
		return;
	member_mark(member, slot, member->id, 0);
	if (!p2pdma_pool_free(member->crowd->pool, member->addr[slot], PAGES(member->nr[slot])))
		atomic_inc(&member->crowd->clashes);
	member->addr[slot] = NULL;
}

static void member_get(struct member *member, unsigned int slot, unsigned long nr)
{
	member->nr[slot] = nr;
	member->addr[slot] = p2pdma_pool_alloc(member->crowd->pool, PAGES(nr));
	if (member->addr[slot])
		member_mark(member, slot, 0, member->id);
}

static int member_thread(void *data)
{
	struct member *member = data;
	struct rnd_state rnd;
	unsigned int step, slot;

	prandom_seed_state(&rnd, member->id);
	for (step = 0; step < CROWD_STEPS; step++) {
		slot = prandom_u32_state(&rnd) % CROWD_HOLDS;
		member_put(member, slot);
		member_get(member, slot, 1 + prandom_u32_state(&rnd) % 7);
		if (step % 64 == 0)
			cond_resched();
	}
	for (slot = 0; slot < CROWD_HOLDS; slot++)
		member_put(member, slot);
	complete(&member->done);
	return 0;
}

static void pool_in_a_crowd(struct kunit *test)
{
	struct member *members = kunit_kcalloc(test, CROWD_THREADS, sizeof(*members), GFP_KERNEL);
	struct crowd *crowd = kunit_kzalloc(test, sizeof(*crowd), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, members);
	KUNIT_ASSERT_NOT_NULL(test, crowd);
	crowd->pool = pool_new(test);
	chunk_new(test, crowd->pool, AT(0), CROWD_PAGES);
	for (i = 0; i < CROWD_THREADS; i++) {
		members[i].crowd = crowd;
		members[i].id = i + 1;
		init_completion(&members[i].done);
		members[i].task = kthread_run(member_thread, &members[i], "p2pdma-crowd/%d", i);
		if (IS_ERR(members[i].task))
			complete(&members[i].done);
	}
	for (i = 0; i < CROWD_THREADS; i++) {
		wait_for_completion(&members[i].done);
		KUNIT_EXPECT_FALSE(test, IS_ERR(members[i].task));
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&crowd->clashes), 0);
	expect_available(test, crowd->pool, CROWD_PAGES);
}

/* ---- behind the public interface ---------------------------------------------------------- */

static void alloc_without_provider(struct kunit *test)
{
	struct mock_pci *mock = mock_pci_add(test, pool_rows, NR);
	struct pci_dev *pdev = mock_pci_dev(mock, MEM);
	unsigned int nents = 17;

	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc(pdev, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl(pdev, &nents, PAGE_SIZE));
	pci_p2pmem_free(pdev, NULL, PAGE_SIZE);
	pci_p2pmem_free_sgl(pdev, NULL);
}

static void alloc_from_two_regions(struct kunit *test)
{
	static const struct p2pdma_kunit_range both[] = { { .bar = 0 }, { .bar = 2 } };
	struct mock_pci *mock = mock_pci_add(test, pool_rows, NR);
	struct pci_dev *pdev = mock_pci_dev(mock, MEM);
	struct p2pdma_kunit_mem *big, *small, *one;

	p2pdma_kunit_provide_ranges(test, pdev, both, 2);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "size"), SZ_4M + SZ_2M);
	KUNIT_EXPECT_NULL(test, p2pdma_kunit_alloc(test, pdev, SZ_4M + 1));
	big = p2pdma_kunit_alloc(test, pdev, SZ_4M);
	small = p2pdma_kunit_alloc(test, pdev, SZ_2M);
	KUNIT_ASSERT_NOT_NULL(test, big);
	KUNIT_ASSERT_NOT_NULL(test, small);
	KUNIT_EXPECT_EQ(test, virt_to_phys(big->addr), pci_resource_start(pdev, 0));
	KUNIT_EXPECT_EQ(test, virt_to_phys(small->addr), pci_resource_start(pdev, 2));
	KUNIT_EXPECT_NULL(test, p2pdma_kunit_alloc(test, pdev, 1));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"), 0);

	p2pdma_kunit_free(test, small);
	one = p2pdma_kunit_alloc(test, pdev, 1);
	KUNIT_ASSERT_NOT_NULL(test, one);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"), SZ_2M - PAGE_SIZE);
	p2pdma_kunit_free(test, one);
	p2pdma_kunit_free(test, big);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"), SZ_4M + SZ_2M);
}

/* The spellings of Linux 6.12 and the documented ones are one thing. */
static void alloc_spellings(struct kunit *test)
{
	struct mock_pci *mock = mock_pci_add(test, pool_rows, NR);
	struct pci_dev *pdev = mock_pci_dev(mock, MEM);
	void *addr;

	p2pdma_kunit_provide(test, pdev);
	addr = pci_alloc_p2pmem(pdev, SZ_8K);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"), SZ_4M - SZ_8K);
	pci_p2pmem_free(pdev, addr, SZ_8K);
	addr = pci_p2pmem_alloc(pdev, SZ_8K);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	pci_free_p2pmem(pdev, addr, SZ_8K);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"), SZ_4M);
}

static void alloc_sgl(struct kunit *test)
{
	struct mock_pci *mock = mock_pci_add(test, pool_rows, NR);
	struct pci_dev *pdev = mock_pci_dev(mock, MEM);
	struct p2pdma_kunit_mem *most;
	struct scatterlist *sgl, *sg;
	unsigned int nents = 0, i;
	size_t total = 0;

	p2pdma_kunit_provide(test, pdev);
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl(pdev, &nents, 0));
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl(pdev, &nents, SZ_4M + 1));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"), SZ_4M);

	sgl = pci_p2pmem_alloc_sgl(pdev, &nents, SZ_64K - 512);
	KUNIT_ASSERT_NOT_NULL(test, sgl);
	KUNIT_EXPECT_GE(test, nents, 1);
	for_each_sg(sgl, sg, nents, i)
		total += sg->length;
	KUNIT_EXPECT_EQ(test, total, SZ_64K - 512);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"), SZ_4M - SZ_64K);

	most = p2pdma_kunit_alloc(test, pdev, SZ_4M - SZ_64K);
	KUNIT_EXPECT_NOT_NULL(test, most);
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl(pdev, &nents, 1));
	pci_p2pmem_free_sgl(pdev, sgl);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"), SZ_64K);
}

static struct kunit_case p2pdma_pool_cases[] = {
	KUNIT_CASE(pool_empty),
	KUNIT_CASE_PARAM(pool_counts_pages, size_gen_params),
	KUNIT_CASE(pool_refuses_sizes),
	KUNIT_CASE(pool_exhausted),
	KUNIT_CASE(pool_fragmented),
	KUNIT_CASE(pool_uses_the_end),
	KUNIT_CASE(pool_free_in_parts),
	KUNIT_CASE_PARAM(pool_refuses_free, free_gen_params),
	KUNIT_CASE(pool_of_chunks),
	KUNIT_CASE(pool_close_idle),
	KUNIT_CASE(pool_close_one),
	KUNIT_CASE(pool_agrees_with_model),
	KUNIT_CASE(alloc_in_hard_irq),
	KUNIT_CASE(pool_in_a_crowd),
	KUNIT_CASE(alloc_without_provider),
	KUNIT_CASE(alloc_from_two_regions),
	KUNIT_CASE(alloc_spellings),
	KUNIT_CASE(alloc_sgl),
	{}
};

static struct kunit_suite p2pdma_pool_suite = {
	.name = "p2pdma_pool",
	.test_cases = p2pdma_pool_cases,
};

kunit_test_suite(p2pdma_pool_suite);
