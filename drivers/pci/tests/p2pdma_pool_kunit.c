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

#include "../p2pdma-private.h"
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

/* ---- long runs, alignment, whatever there is ---------------------------------------------- */

struct run_case {
	const char *name;
	unsigned long pages;
};

/* A word is 64 pages, a block 8 words, a group 64 words: lengths around all of these. */
static const struct run_case run_cases[] = {
	{ "1 page", 1 },
	{ "2 pages", 2 },
	{ "63 pages", 63 },
	{ "64 pages", 64 },
	{ "65 pages", 65 },
	{ "128 pages", 128 },
	{ "511 pages", 511 },
	{ "512 pages", 512 },
	{ "4095 pages", 4095 },
	{ "4096 pages", 4096 },
	{ "4097 pages", 4097 },
	{ "8192 pages", 8192 },
	{ "8209 pages", 8209 },
};

KUNIT_ARRAY_PARAM_DESC(run, run_cases, name);

#define LONG_CHUNK	8209

/* What was allocated in one piece comes back in parts, and then there is one piece again. */
static void pool_run_comes_back(struct kunit *test)
{
	unsigned long pages = ((const struct run_case *)test->param_value)->pages, i;
	unsigned long step = pages < 4 ? 1 : 3;
	struct p2pdma_pool *pool = pool_new(test);
	void *addr;

	chunk_new(test, pool, AT(0), LONG_CHUNK);
	addr = p2pdma_pool_alloc(pool, PAGES(pages));
	KUNIT_ASSERT_NOT_NULL(test, addr);
	expect_available(test, pool, LONG_CHUNK - pages);

	/* Every third page alone, then what is between them. */
	for (i = 0; i < pages; i += step)
		KUNIT_ASSERT_TRUE(test, p2pdma_pool_free(pool, addr + PAGES(i), PAGE_SIZE));
	for (i = 0; i < pages; i += step)
		if (i + 1 < pages && step > 1)
			KUNIT_ASSERT_TRUE(test, p2pdma_pool_free(pool, addr + PAGES(i + 1),
								 PAGES(min(2UL, pages - i - 1))));
	expect_available(test, pool, LONG_CHUNK);
	KUNIT_EXPECT_PTR_EQ(test, p2pdma_pool_alloc(pool, PAGES(LONG_CHUNK)), AT(0));
	KUNIT_EXPECT_NULL(test, p2pdma_pool_alloc(pool, 1));
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(0), PAGES(LONG_CHUNK)));
}

/* The second free is refused, whole or in part, and nothing is lost or there twice. */
static void pool_refuses_second_free(struct kunit *test)
{
	unsigned long pages = ((const struct run_case *)test->param_value)->pages;
	struct p2pdma_pool *pool = pool_new(test);
	void *addr;

	chunk_new(test, pool, AT(0), LONG_CHUNK);
	addr = p2pdma_pool_alloc(pool, PAGES(pages));
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_ASSERT_TRUE(test, p2pdma_pool_free(pool, addr + PAGES(pages / 2), PAGE_SIZE));
	if (pages > 1) {
		KUNIT_EXPECT_FALSE(test, p2pdma_pool_free(pool, addr, PAGES(pages)));
		expect_available(test, pool, LONG_CHUNK - pages + 1);
		KUNIT_ASSERT_TRUE(test, p2pdma_pool_free(pool, addr, PAGES(pages / 2)));
	}
	if (pages > 2)
		KUNIT_ASSERT_TRUE(test, p2pdma_pool_free(pool, addr + PAGES(pages / 2 + 1),
							 PAGES((pages - 1) / 2)));
	KUNIT_EXPECT_FALSE(test, p2pdma_pool_free(pool, addr, PAGES(pages)));
	KUNIT_EXPECT_FALSE(test, p2pdma_pool_free(pool, addr, PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, p2pdma_pool_free(pool, addr + PAGES(pages - 1), PAGE_SIZE));
	expect_available(test, pool, LONG_CHUNK);
	KUNIT_EXPECT_PTR_EQ(test, p2pdma_pool_alloc(pool, PAGES(LONG_CHUNK)), AT(0));
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(0), PAGES(LONG_CHUNK)));
}

struct align_case {
	const char *name;
	unsigned long pages;
	size_t align;
	unsigned int times;
};

/* In 1000 pages from the fifth on after an aligned address, how often that goes. */
static const struct align_case align_cases[] = {
	{ "page, 1 byte", 1, 1, 1000 },
	{ "page, half a page", 1, PAGE_SIZE / 2, 1000 },
	{ "page, page", 1, PAGE_SIZE, 1000 },
	{ "page, 2 pages", 1, PAGES(2), 500 },
	{ "page, 16 pages", 1, PAGES(16), 62 },
	{ "page, 64 pages", 1, PAGES(64), 15 },
	{ "page, 512 pages", 1, PAGES(512), 1 },
	{ "3 pages, 4 pages", 3, PAGES(4), 249 },
	{ "16 pages, 16 pages", 16, PAGES(16), 61 },
	{ "17 pages, 16 pages", 17, PAGES(16), 31 },
	{ "64 pages, 64 pages", 64, PAGES(64), 14 },
	{ "100 pages, 64 pages", 100, PAGES(64), 7 },
	{ "400 pages, 512 pages", 400, PAGES(512), 1 },
	{ "500 pages, 512 pages", 500, PAGES(512), 0 },
	{ "page, 1024 pages", 1, PAGES(1024), 0 },
	{ "page, half of all addresses", 1, 1UL << 63, 0 },
	{ "page, nothing", 1, 0, 0 },
	{ "page, 3 pages", 1, PAGES(3), 0 },
	{ "no page, page", 0, PAGE_SIZE, 0 },
	{ "no page, 2 pages", 0, PAGES(2), 0 },
	{ "1001 pages, 2 pages", 1001, PAGES(2), 0 },
};

KUNIT_ARRAY_PARAM_DESC(align, align_cases, name);

static void pool_aligned(struct kunit *test)
{
	const struct align_case *c = test->param_value;
	struct p2pdma_pool *pool = pool_new(test);
	unsigned int i;
	void *addr;

	chunk_new(test, pool, AT(5), 1000);
	for (i = 0; i < c->times; i++) {
		addr = p2pdma_pool_alloc_aligned(pool, PAGES(c->pages), c->align);
		KUNIT_ASSERT_NOT_NULL_MSG(test, addr, "after %u", i);
		KUNIT_EXPECT_EQ(test, (unsigned long)addr % max(c->align, PAGE_SIZE), 0);
		KUNIT_EXPECT_GE(test, (unsigned long)addr, (unsigned long)AT(5));
		KUNIT_EXPECT_LE(test, (unsigned long)addr + PAGES(c->pages),
				(unsigned long)AT(1005));
	}
	KUNIT_EXPECT_NULL(test, p2pdma_pool_alloc_aligned(pool, PAGES(c->pages), c->align));
	expect_available(test, pool, 1000 - c->times * c->pages);

	/* Without alignment, whatever is left is as good as ever. */
	for (i = c->times * c->pages; i < 1000; i++)
		KUNIT_ASSERT_NOT_NULL(test, p2pdma_pool_alloc(pool, PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(5), PAGES(1000)));
	expect_available(test, pool, 1000);
}

/* Take @pages at @first out of a chunk that is all allocated, as if somebody had freed them. */
static void pool_open_hole(struct kunit *test, struct p2pdma_pool *pool, unsigned long first,
			   unsigned long pages)
{
	KUNIT_ASSERT_TRUE(test, p2pdma_pool_free(pool, AT(first), PAGES(pages)));
}

static void expect_upto(struct kunit *test, struct p2pdma_pool *pool, size_t limit, void *addr,
			size_t size)
{
	KUNIT_EXPECT_PTR_EQ(test, p2pdma_pool_alloc_upto(pool, &limit), addr);
	if (addr)
		KUNIT_EXPECT_EQ(test, limit, size);
}

static void pool_longest_first(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);

	chunk_new(test, pool, AT(0), 1000);
	KUNIT_ASSERT_PTR_EQ(test, p2pdma_pool_alloc(pool, PAGES(1000)), AT(0));
	pool_open_hole(test, pool, 10, 1);
	pool_open_hole(test, pool, 40, 5);
	pool_open_hole(test, pool, 100, 100);	/* over the end of two words */
	pool_open_hole(test, pool, 500, 3);
	pool_open_hole(test, pool, 510, 20);	/* over the end of a block */
	pool_open_hole(test, pool, 998, 2);	/* at the end of the chunk */

	expect_upto(test, pool, 0, NULL, 0);
	expect_upto(test, pool, SIZE_MAX, AT(100), PAGES(100));
	expect_upto(test, pool, PAGES(70), AT(510), PAGES(20));
	expect_upto(test, pool, PAGES(6) - 1, AT(40), PAGES(5));
	expect_upto(test, pool, PAGES(3), AT(500), PAGES(3));
	expect_upto(test, pool, PAGES(3), AT(998), PAGES(2));
	expect_upto(test, pool, PAGES(3), AT(10), PAGES(1));
	expect_upto(test, pool, 1, NULL, 0);
	expect_available(test, pool, 0);
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(0), PAGES(1000)));
}

/* No more than was asked for, though there is more. */
static void pool_upto_limit(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	static const size_t limits[] = { 1, PAGE_SIZE, PAGES(2) + 1, PAGES(64), PAGES(65) };
	unsigned int i;

	chunk_new(test, pool, AT(0), 200);
	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		size_t size = limits[i];
		void *addr = p2pdma_pool_alloc_upto(pool, &size);

		KUNIT_ASSERT_NOT_NULL(test, addr);
		KUNIT_EXPECT_EQ(test, size, PAGE_ALIGN(limits[i]));
		expect_available(test, pool, 200 - (size >> PAGE_SHIFT));
		KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, addr, size));
	}
	expect_available(test, pool, 200);
}

/* The longest run is in the other chunk. */
static void pool_upto_of_chunks(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);

	chunk_new(test, pool, AT(0), 70);
	chunk_new(test, pool, AT(70), 80);
	expect_upto(test, pool, PAGES(100), AT(70), PAGES(80));
	expect_upto(test, pool, PAGES(100), AT(0), PAGES(70));
	expect_upto(test, pool, PAGES(100), NULL, 0);
	pool_open_hole(test, pool, 3, 2);
	pool_open_hole(test, pool, 100, 3);
	expect_upto(test, pool, PAGES(100), AT(100), PAGES(3));
	expect_upto(test, pool, PAGES(100), AT(3), PAGES(2));
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(0), PAGES(70)));
	KUNIT_EXPECT_TRUE(test, p2pdma_pool_free(pool, AT(70), PAGES(80)));
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
#define CROWD_CHUNK	96
#define CROWD_CHUNKS	9
#define CROWD_PAGES	(CROWD_CHUNK * CROWD_CHUNKS)
#define CROWD_STEPS	20000
#define CROWD_HOLDS	8

/**
 * struct member - a thread that allocates and frees
 * @crowd: whose member it is
 * @task: the thread
 * @done: completed when it has freed all and is about to end
 * @id: thread number + 1
 * @addr: what it has
 * @nr: and how many pages each
 */
struct member {
	struct crowd *crowd;
	struct task_struct *task;
	struct completion done;
	int id;
	void *addr[CROWD_HOLDS];
	unsigned long nr[CROWD_HOLDS];
};

/**
 * struct crowd - threads that allocate from one pool
 * @pool: the pool
 * @steps: after so many steps, threads end by themselves
 * @stop: they shall end now
 * @closed: pages below this number are in chunks that have been closed
 * @seen: completed when a chunk is in use
 * @owner: who has a page, thread number + 1
 * @clashes: pages that were given to two owners, taken from a wrong one, or closed
 * @member: the threads
 */
struct crowd {
	struct p2pdma_pool *pool;
	unsigned int steps;
	bool stop;
	unsigned long closed;
	struct completion seen[CROWD_CHUNKS];
	atomic_t owner[CROWD_PAGES];
	atomic_t clashes;
	struct member member[CROWD_THREADS];
};

static unsigned long member_page(struct member *member, unsigned int slot)
{
	return ((unsigned long)member->addr[slot] - BASE) >> PAGE_SHIFT;
}

static void member_mark(struct member *member, unsigned int slot, int from, int to)
{
	unsigned long page = member_page(member, slot);
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
	/* Pairs with the release after a chunk was closed. */
	unsigned long closed = smp_load_acquire(&member->crowd->closed);
	struct completion *seen;

	member->nr[slot] = nr;
	member->addr[slot] = p2pdma_pool_alloc(member->crowd->pool, PAGES(nr));
	if (!member->addr[slot])
		return;
	member_mark(member, slot, 0, member->id);
	if (member_page(member, slot) < closed)
		atomic_inc(&member->crowd->clashes);
	seen = &member->crowd->seen[min(member_page(member, slot), CROWD_PAGES - 1) / CROWD_CHUNK];
	if (!completion_done(seen))
		complete(seen);
}

/* Mostly a few pages, sometimes a word of them or around that. */
static unsigned long member_draw(struct rnd_state *rnd)
{
	if (prandom_u32_state(rnd) % 16)
		return 1 + prandom_u32_state(rnd) % 7;
	return 62 + prandom_u32_state(rnd) % 5;
}

static int member_thread(void *data)
{
	struct member *member = data;
	struct crowd *crowd = member->crowd;
	struct rnd_state rnd;
	unsigned int step, slot;

	prandom_seed_state(&rnd, member->id);
	for (step = 0; step < crowd->steps && !READ_ONCE(crowd->stop); step++) {
		slot = prandom_u32_state(&rnd) % CROWD_HOLDS;
		member_put(member, slot);
		member_get(member, slot, member_draw(&rnd));
		if (step % 64 == 0)
			cond_resched();
	}
	for (slot = 0; slot < CROWD_HOLDS; slot++)
		member_put(member, slot);
	complete_all(&member->done);
	return 0;
}

static void crowd_ends(void *data)
{
	struct crowd *crowd = data;
	int i;

	WRITE_ONCE(crowd->stop, true);
	for (i = 0; i < CROWD_THREADS; i++)
		wait_for_completion(&crowd->member[i].done);
}

static struct crowd *crowd_new(struct kunit *test, unsigned int steps)
{
	struct crowd *crowd = kunit_kzalloc(test, sizeof(*crowd), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, crowd);
	crowd->pool = pool_new(test);
	crowd->steps = steps;
	for (i = 0; i < CROWD_CHUNKS; i++)
		init_completion(&crowd->seen[i]);
	for (i = 0; i < CROWD_THREADS; i++) {
		crowd->member[i].crowd = crowd;
		crowd->member[i].id = i + 1;
		init_completion(&crowd->member[i].done);
	}
	return crowd;
}

/* Begin on different CPUs, as far as there are. Everything must be there that the threads use. */
static void crowd_begins(struct kunit *test, struct crowd *crowd)
{
	struct member *member;
	int i;

	for (i = 0; i < CROWD_THREADS; i++) {
		member = &crowd->member[i];
		member->task = kthread_run_on_cpu(member_thread, member,
						  cpumask_nth(i % num_online_cpus(),
							      cpu_online_mask),
						  "p2pdma-crowd/%u");
		if (IS_ERR(member->task))
			complete_all(&member->done);
	}
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, crowd_ends, crowd));
	for (i = 0; i < CROWD_THREADS; i++)
		KUNIT_ASSERT_FALSE(test, IS_ERR(crowd->member[i].task));
}

static void pool_in_a_crowd(struct kunit *test)
{
	struct crowd *crowd = crowd_new(test, CROWD_STEPS);
	int i;

	chunk_new(test, crowd->pool, AT(0), CROWD_CHUNK);
	crowd_begins(test, crowd);
	for (i = 0; i < CROWD_THREADS; i++)
		wait_for_completion(&crowd->member[i].done);
	KUNIT_EXPECT_EQ(test, atomic_read(&crowd->clashes), 0);
	expect_available(test, crowd->pool, CROWD_CHUNK);
}

/* One chunk after the other goes while everybody allocates: none of it is given out again. */
static void pool_closes_in_a_crowd(struct kunit *test)
{
	struct crowd *crowd = crowd_new(test, UINT_MAX);
	struct chunk *chunk[CROWD_CHUNKS];
	int i;

	for (i = 0; i < CROWD_CHUNKS; i++)
		chunk[i] = chunk_new(test, crowd->pool, AT(i * CROWD_CHUNK), CROWD_CHUNK);
	crowd_begins(test, crowd);
	for (i = 0; i < CROWD_CHUNKS - 1; i++) {
		KUNIT_ASSERT_NE_MSG(test, 0, wait_for_completion_timeout(&crowd->seen[i], 60 * HZ),
				    "chunk %d is not used", i);
		p2pdma_pool_close(chunk[i]->chunk);
		/* Pairs with the acquire before an allocation. */
		smp_store_release(&crowd->closed, (i + 1) * CROWD_CHUNK);
		KUNIT_ASSERT_NE_MSG(test, 0, wait_for_completion_timeout(&chunk[i]->idle, 60 * HZ),
				    "chunk %d: %zu pages are held", i,
				    p2pdma_pool_held(chunk[i]->chunk));
		KUNIT_EXPECT_EQ(test, p2pdma_pool_held(chunk[i]->chunk), 0);
		kunit_release_action(test, chunk_remove, chunk[i]);
		KUNIT_EXPECT_EQ(test, p2pdma_pool_size(crowd->pool),
				PAGES((CROWD_CHUNKS - 1 - i) * CROWD_CHUNK));
	}
	kunit_release_action(test, crowd_ends, crowd);
	KUNIT_EXPECT_EQ(test, atomic_read(&crowd->clashes), 0);
	expect_available(test, crowd->pool, CROWD_CHUNK);
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
	KUNIT_CASE_PARAM(pool_run_comes_back, run_gen_params),
	KUNIT_CASE_PARAM(pool_refuses_second_free, run_gen_params),
	KUNIT_CASE_PARAM(pool_aligned, align_gen_params),
	KUNIT_CASE(pool_longest_first),
	KUNIT_CASE(pool_upto_limit),
	KUNIT_CASE(pool_upto_of_chunks),
	KUNIT_CASE(pool_free_in_parts),
	KUNIT_CASE_PARAM(pool_refuses_free, free_gen_params),
	KUNIT_CASE(pool_of_chunks),
	KUNIT_CASE(pool_close_idle),
	KUNIT_CASE(pool_close_one),
	KUNIT_CASE(pool_agrees_with_model),
	KUNIT_CASE(alloc_in_hard_irq),
	KUNIT_CASE_SLOW(pool_in_a_crowd),
	KUNIT_CASE_SLOW(pool_closes_in_a_crowd),
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
