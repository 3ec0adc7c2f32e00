// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite p2pdma_pool: the page allocator, alone and behind
 * pci_p2pmem_alloc()
 *
 * The pool never touches the memory of its pages, so most tests add addresses
 * without memory.
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
#include <linux/rcupdate.h>
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
 * struct chunk - a chunk that goes with the test
 * @chunk: the chunk
 * @freed: completed by the pool
 * @closed: the chunk is closing
 */
struct chunk {
	struct p2pdma_chunk *chunk;
	struct completion freed;
	bool closed;
};

KUNIT_DEFINE_ACTION_WRAPPER(pool_destroy, p2pdma_pool_destroy,
			    struct p2pdma_pool *);

static struct p2pdma_pool *pool_new(struct kunit *test)
{
	struct p2pdma_pool *pool = p2pdma_pool_create();

	KUNIT_ASSERT_NOT_NULL(test, pool);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, pool_destroy, pool));
	return pool;
}

static void chunk_close(struct chunk *chunk)
{
	chunk->closed = true;
	p2pdma_pool_close(chunk->chunk);
}

/* A test that fails may leave pages behind. */
static void chunk_remove(void *data)
{
	struct chunk *chunk = data;

	if (!chunk->closed)
		chunk_close(chunk);
	p2pdma_pool_held(chunk->chunk);
	p2pdma_pool_remove(chunk->chunk);
}

static struct chunk *chunk_new(struct kunit *test, struct p2pdma_pool *pool,
			       void *addr, unsigned long pages)
{
	struct chunk *chunk = kunit_kzalloc(test, sizeof(*chunk), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, chunk);
	init_completion(&chunk->freed);
	chunk->chunk = p2pdma_pool_add(pool, addr, PAGES(pages), &chunk->freed);
	KUNIT_ASSERT_NOT_NULL(test, chunk->chunk);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, chunk_remove, chunk));
	return chunk;
}

/* Close and remove a chunk. All pages are free or will be freed. */
static void chunk_drain(struct kunit *test, struct chunk *chunk)
{
	if (!chunk->closed)
		chunk_close(chunk);
	while (p2pdma_pool_held(chunk->chunk))
		if (!wait_for_completion_timeout(&chunk->freed, 60 * HZ))
			break;
	KUNIT_EXPECT_EQ(test, p2pdma_pool_held(chunk->chunk), 0);
	kunit_release_action(test, chunk_remove, chunk);
}

static void *get(struct p2pdma_pool *pool, size_t size)
{
	guard(rcu)();
	return p2pdma_pool_alloc(pool, size);
}

static void *get_aligned(struct p2pdma_pool *pool, size_t size, size_t align)
{
	guard(rcu)();
	return p2pdma_pool_alloc_aligned(pool, size, align);
}

/* As pci_p2pmem_free(): the short path first. */
static bool put(struct p2pdma_pool *pool, void *addr, size_t size)
{
	guard(rcu)();
	return p2pdma_pool_free_first(pool, addr, size) ||
	       p2pdma_pool_free(pool, addr, size);
}

static unsigned int take(struct p2pdma_pool *pool, unsigned long *pages,
			 struct p2pdma_run *runs)
{
	guard(rcu)();
	return p2pdma_pool_take(pool, pages, runs);
}

static unsigned long page_of(const void *addr)
{
	return ((unsigned long)addr - BASE) >> PAGE_SHIFT;
}

static void expect_available(struct kunit *test, struct p2pdma_pool *pool,
			     unsigned long pages)
{
	KUNIT_EXPECT_EQ(test, p2pdma_pool_available(pool), PAGES(pages));
}

/* All pages of the only chunk are free, and make a single run. */
static void expect_whole(struct kunit *test, struct p2pdma_pool *pool,
			 unsigned long pages)
{
	expect_available(test, pool, pages);
	KUNIT_EXPECT_PTR_EQ(test, get(pool, PAGES(pages)), AT(0));
	KUNIT_EXPECT_NULL(test, get(pool, 1));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(pages)));
	expect_available(test, pool, pages);
}

/* A pool of one chunk, and all pages are allocated. */
static struct p2pdma_pool *pool_full(struct kunit *test, unsigned long pages)
{
	struct p2pdma_pool *pool = pool_new(test);

	chunk_new(test, pool, AT(0), pages);
	KUNIT_ASSERT_PTR_EQ(test, get(pool, PAGES(pages)), AT(0));
	return pool;
}

static void pool_empty(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);

	expect_available(test, pool, 0);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_size(pool), 0);
	KUNIT_EXPECT_NULL(test, get(pool, 1));
	KUNIT_EXPECT_NULL(test, get(pool, PAGES(2)));
	KUNIT_EXPECT_FALSE(test, p2pdma_pool_reserve(pool, 1));
	KUNIT_EXPECT_FALSE(test, put(pool, AT(0), PAGE_SIZE));
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
	void *addr;

	chunk_new(test, pool, AT(0), 64);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_size(pool), PAGES(64));
	expect_available(test, pool, 64);
	addr = get(pool, c->size);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(addr));
	KUNIT_EXPECT_GE(test, (unsigned long)addr, BASE);
	KUNIT_EXPECT_LE(test, (unsigned long)addr + c->size, BASE + PAGES(64));
	expect_available(test, pool, 64 - c->pages);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_size(pool), PAGES(64));
	KUNIT_EXPECT_EQ(test, p2pdma_pool_peak(pool), PAGES(c->pages));

	KUNIT_EXPECT_TRUE(test, put(pool, addr, c->size));
	expect_available(test, pool, 64);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_peak(pool), PAGES(c->pages));
}

static void pool_refuses_sizes(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	const size_t sizes[] = {
		0, PAGES(64) + 1, PAGES(65), LONG_MAX, SIZE_MAX - PAGE_SIZE,
		SIZE_MAX - 1, SIZE_MAX,
	};
	unsigned int i;

	chunk_new(test, pool, AT(0), 64);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		KUNIT_EXPECT_NULL_MSG(test, get(pool, sizes[i]), "%zu",
				      sizes[i]);
	expect_whole(test, pool, 64);
}

/* 131 pages do not fill the last word. */
static void pool_exhausted(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	bool seen[131] = {};
	unsigned long page;
	unsigned int i;
	void *addr;

	chunk_new(test, pool, AT(0), ARRAY_SIZE(seen));
	for (i = 0; i < ARRAY_SIZE(seen); i++) {
		addr = get(pool, PAGE_SIZE);
		KUNIT_ASSERT_NOT_NULL(test, addr);
		page = page_of(addr);
		KUNIT_ASSERT_LT(test, page, ARRAY_SIZE(seen));
		KUNIT_EXPECT_FALSE_MSG(test, seen[page],
				       "page %lu has two owners", page);
		seen[page] = true;
		expect_available(test, pool, ARRAY_SIZE(seen) - 1 - i);
	}
	KUNIT_EXPECT_NULL(test, get(pool, 1));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(130), PAGE_SIZE));
	KUNIT_EXPECT_PTR_EQ(test, get(pool, 1), AT(130));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(131)));
	expect_whole(test, pool, 131);
}

static void pool_fragmented(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_full(test, 64);
	unsigned int i;

	for (i = 1; i < 64; i += 2)
		KUNIT_EXPECT_TRUE(test, put(pool, AT(i), PAGE_SIZE));
	expect_available(test, pool, 32);

	/* Half of the pages is free, but no two neighbours are free. */
	KUNIT_EXPECT_NULL(test, get(pool, PAGES(2)));
	expect_available(test, pool, 32);
	KUNIT_EXPECT_TRUE(test, put(pool, AT(20), PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, get(pool, PAGES(4)));
	KUNIT_EXPECT_PTR_EQ(test, get(pool, PAGES(3)), AT(19));

	for (i = 0; i < 30; i++)
		KUNIT_EXPECT_NOT_NULL(test, get(pool, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, get(pool, PAGE_SIZE));
	expect_available(test, pool, 0);
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(64)));
	expect_whole(test, pool, 64);
}

/* The last page is part of the chunk, and the page after is not. */
static void pool_uses_the_end(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_full(test, 10);

	KUNIT_EXPECT_TRUE(test, put(pool, AT(6), PAGES(4)));
	KUNIT_EXPECT_NULL(test, get(pool, PAGES(5)));
	KUNIT_EXPECT_PTR_EQ(test, get(pool, PAGES(4)), AT(6));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(10)));
	expect_whole(test, pool, 10);
}

/*
 * The peak stays after a free, and does not count a closed chunk. A call of
 * p2pdma_pool_peak() records allocations of the short path.
 */
static void pool_peak(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	struct chunk *chunk = chunk_new(test, pool, AT(0), 8);

	KUNIT_EXPECT_EQ(test, p2pdma_pool_peak(pool), 0);
	KUNIT_ASSERT_PTR_EQ(test, get(pool, PAGES(8)), AT(0));
	KUNIT_EXPECT_EQ(test, p2pdma_pool_peak(pool), PAGES(8));
	KUNIT_ASSERT_TRUE(test, put(pool, AT(3), PAGES(5)));
	chunk_new(test, pool, AT(100), 16);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_peak(pool), PAGES(8));
	KUNIT_ASSERT_TRUE(test, put(pool, AT(0), PAGES(3)));
	KUNIT_ASSERT_PTR_EQ(test, get(pool, PAGES(10)), AT(100));
	KUNIT_EXPECT_EQ(test, p2pdma_pool_peak(pool), PAGES(10));

	chunk_drain(test, chunk);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_peak(pool), PAGES(10));
	KUNIT_EXPECT_NOT_NULL(test, get(pool, PAGES(1)));
	KUNIT_EXPECT_EQ(test, p2pdma_pool_peak(pool), PAGES(11));
	KUNIT_EXPECT_NOT_NULL(test, get(pool, PAGES(5)));
	KUNIT_EXPECT_EQ(test, p2pdma_pool_peak(pool), PAGES(16));
	expect_available(test, pool, 0);
}

struct run_case {
	const char *name;
	unsigned long pages;
};

/* A word has 64 bits, and 64 words make 4096 pages. */
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

static unsigned long run_pages(struct kunit *test)
{
	return ((const struct run_case *)test->param_value)->pages;
}

/* An allocation is freed in parts, and leaves a single run again. */
static void pool_run_comes_back(struct kunit *test)
{
	unsigned long pages = run_pages(test), i;
	struct p2pdma_pool *pool = pool_new(test);
	void *addr;

	chunk_new(test, pool, AT(0), LONG_CHUNK);
	addr = get(pool, PAGES(pages));
	KUNIT_ASSERT_NOT_NULL(test, addr);
	expect_available(test, pool, LONG_CHUNK - pages);

	/* Every third page alone, then the pages between. */
	for (i = 0; i < pages; i += 3)
		KUNIT_ASSERT_TRUE(test, put(pool, addr + PAGES(i), PAGE_SIZE));
	for (i = 1; i < pages; i += 3)
		KUNIT_ASSERT_TRUE(test, put(pool, addr + PAGES(i),
					    PAGES(min(2UL, pages - i))));
	expect_whole(test, pool, LONG_CHUNK);
}

/* The second free is refused, as a whole and in part. */
static void pool_refuses_second_free(struct kunit *test)
{
	unsigned long pages = run_pages(test), half = pages / 2;
	struct p2pdma_pool *pool = pool_new(test);
	void *addr;

	chunk_new(test, pool, AT(0), LONG_CHUNK);
	addr = get(pool, PAGES(pages));
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_ASSERT_TRUE(test, put(pool, addr + PAGES(half), PAGE_SIZE));
	if (pages > 1) {
		KUNIT_EXPECT_FALSE(test, put(pool, addr, PAGES(pages)));
		expect_available(test, pool, LONG_CHUNK - pages + 1);
		KUNIT_ASSERT_TRUE(test, put(pool, addr, PAGES(half)));
	}
	if (pages > 2)
		KUNIT_ASSERT_TRUE(test, put(pool, addr + PAGES(half + 1),
					    PAGES((pages - 1) / 2)));
	KUNIT_EXPECT_FALSE(test, put(pool, addr, PAGES(pages)));
	KUNIT_EXPECT_FALSE(test, put(pool, addr, PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, put(pool, addr + PAGES(pages - 1), PAGE_SIZE));
	expect_whole(test, pool, LONG_CHUNK);
}

struct hole_case {
	const char *name;
	unsigned long first;
	unsigned long pages;
};

static const struct hole_case hole_cases[] = {
	{ "2 pages in two words", 63, 2 },
	{ "8 pages in two words", 60, 8 },
	{ "a word of pages in two words", 32, 64 },
	{ "a word and a page from a word on", 64, 65 },
	{ "126 pages in two words", 1, 126 },
	{ "a word and the pages beside", 63, 66 },
	{ "two words and the pages beside", 63, 130 },
	{ "pages of four words", 10, 200 },
};

KUNIT_ARRAY_PARAM_DESC(hole, hole_cases, name);

/* The only run of free pages is in more than one word. */
static void pool_run_in_words(struct kunit *test)
{
	const struct hole_case *c = test->param_value;
	struct p2pdma_pool *pool = pool_full(test, 256);
	void *addr = AT(c->first);

	/* A free page elsewhere must not stop the search. */
	KUNIT_ASSERT_TRUE(test, put(pool, AT(255), PAGE_SIZE));
	KUNIT_ASSERT_TRUE(test, put(pool, addr, PAGES(c->pages)));
	KUNIT_EXPECT_NULL(test, get(pool, PAGES(c->pages + 1)));
	expect_available(test, pool, c->pages + 1);
	KUNIT_EXPECT_PTR_EQ(test, get(pool, PAGES(c->pages)), addr);
	expect_available(test, pool, 1);

	/* The free of both parts, and of neighbours on both sides. */
	KUNIT_ASSERT_TRUE(test, put(pool, AT(c->first - 1),
				    PAGES(c->pages + 2)));
	KUNIT_EXPECT_FALSE(test, put(pool, addr, PAGES(c->pages)));
	expect_available(test, pool, c->pages + 3);
	KUNIT_EXPECT_PTR_EQ(test, get(pool, PAGES(c->pages + 2)),
			    AT(c->first - 1));
	KUNIT_ASSERT_TRUE(test, put(pool, AT(0), PAGES(255)));
	expect_whole(test, pool, 256);
}

struct align_case {
	const char *name;
	unsigned long pages;
	size_t align;
	unsigned int times;
};

/* The chunk has 1000 pages and begins 5 pages after an aligned address. */
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
	{ "no page, page", 0, PAGE_SIZE, 0 },
	{ "no page, 2 pages", 0, PAGES(2), 0 },
	{ "1001 pages, 2 pages", 1001, PAGES(2), 0 },
};

KUNIT_ARRAY_PARAM_DESC(align, align_cases, name);

static void pool_aligned(struct kunit *test)
{
	const struct align_case *c = test->param_value;
	struct p2pdma_pool *pool = pool_new(test);
	size_t size = PAGES(c->pages);
	unsigned int i;
	void *addr;

	chunk_new(test, pool, AT(5), 1000);
	for (i = 0; i < c->times; i++) {
		addr = get_aligned(pool, size, c->align);
		KUNIT_ASSERT_NOT_NULL_MSG(test, addr, "after %u", i);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)addr,
						   max(c->align, PAGE_SIZE)));
		KUNIT_EXPECT_GE(test, page_of(addr), 5);
		KUNIT_EXPECT_LE(test, page_of(addr) + c->pages, 1005);
	}
	KUNIT_EXPECT_NULL(test, get_aligned(pool, size, c->align));
	expect_available(test, pool, 1000 - c->times * c->pages);

	/* All remaining pages serve allocations without alignment. */
	for (i = c->times * c->pages; i < 1000; i++)
		KUNIT_ASSERT_NOT_NULL(test, get(pool, PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(5), PAGES(1000)));
	expect_available(test, pool, 1000);
}

/* Mark the pages of a run; no page is marked twice. Return the number. */
static unsigned long mark_run(struct kunit *test, const struct p2pdma_run *run,
			      bool *held, unsigned long pages)
{
	unsigned long page = page_of((void *)run->addr), end = page + run->nr;

	KUNIT_ASSERT_LT(test, page, end);
	KUNIT_ASSERT_LE(test, end, pages);
	for (; page < end; page++) {
		KUNIT_ASSERT_FALSE_MSG(test, held[page], "page %lu", page);
		held[page] = true;
	}
	return run->nr;
}

/* Take a list of @want pages. */
static void take_list(struct kunit *test, struct p2pdma_pool *pool,
		      unsigned long want, bool *held, unsigned long pages)
{
	struct p2pdma_run runs[P2PDMA_RUNS];
	unsigned long left = want;
	unsigned int i, n;

	KUNIT_ASSERT_TRUE(test, p2pdma_pool_reserve(pool, want));
	while (want) {
		n = take(pool, &left, runs);
		KUNIT_ASSERT_GT(test, n, 0);
		KUNIT_ASSERT_LE(test, n, P2PDMA_RUNS);
		for (i = 0; i < n; i++)
			want -= mark_run(test, &runs[i], held, pages);
		KUNIT_ASSERT_EQ(test, left, want);
	}
}

/* No two free pages are neighbours, and a list gets all free pages. */
static void list_of_single_pages(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_full(test, 300);
	bool held[300] = {};
	unsigned int i;

	for (i = 0; i < 300; i += 2) {
		KUNIT_ASSERT_TRUE(test, put(pool, AT(i), PAGE_SIZE));
		held[i + 1] = true;
	}
	KUNIT_EXPECT_FALSE(test, p2pdma_pool_reserve(pool, 151));
	expect_available(test, pool, 150);
	take_list(test, pool, 149, held, 300);
	expect_available(test, pool, 1);
	take_list(test, pool, 1, held, 300);
	KUNIT_EXPECT_FALSE(test, p2pdma_pool_reserve(pool, 1));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(300)));
	expect_whole(test, pool, 300);
}

/* A list takes a run in one word if possible, else the lowest run. */
static void list_prefers_one_run(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_full(test, 64);
	struct p2pdma_run runs[P2PDMA_RUNS];
	unsigned long nr = 5;

	KUNIT_ASSERT_TRUE(test, put(pool, AT(3), PAGES(2)));
	KUNIT_ASSERT_TRUE(test, put(pool, AT(20), PAGES(10)));
	KUNIT_ASSERT_TRUE(test, p2pdma_pool_reserve(pool, 5));
	KUNIT_ASSERT_EQ(test, take(pool, &nr, runs), 1);
	KUNIT_EXPECT_EQ(test, nr, 0);
	KUNIT_EXPECT_EQ(test, runs[0].addr, (unsigned long)AT(20));
	KUNIT_EXPECT_EQ(test, runs[0].nr, 5);
	expect_available(test, pool, 7);

	/* No run of six pages is left. */
	nr = 6;
	KUNIT_ASSERT_TRUE(test, p2pdma_pool_reserve(pool, 6));
	KUNIT_ASSERT_EQ(test, take(pool, &nr, runs), 2);
	KUNIT_EXPECT_EQ(test, nr, 0);
	KUNIT_EXPECT_EQ(test, runs[0].addr, (unsigned long)AT(3));
	KUNIT_EXPECT_EQ(test, runs[0].nr, 2);
	KUNIT_EXPECT_EQ(test, runs[1].addr, (unsigned long)AT(25));
	KUNIT_EXPECT_EQ(test, runs[1].nr, 4);
	KUNIT_EXPECT_PTR_EQ(test, get(pool, PAGE_SIZE), AT(29));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(64)));
	expect_whole(test, pool, 64);
}

/* Adjacent pages of several words are one run, but not of two chunks. */
static void list_joins_words(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_full(test, 320);
	struct p2pdma_run runs[P2PDMA_RUNS];
	unsigned long nr = 203;

	KUNIT_ASSERT_TRUE(test, put(pool, AT(60), PAGES(200)));
	KUNIT_ASSERT_TRUE(test, put(pool, AT(319), PAGE_SIZE));
	chunk_new(test, pool, AT(320), 64);
	KUNIT_ASSERT_TRUE(test, p2pdma_pool_reserve(pool, nr));
	KUNIT_ASSERT_EQ(test, take(pool, &nr, runs), 2);
	KUNIT_EXPECT_EQ(test, runs[0].addr, (unsigned long)AT(60));
	KUNIT_EXPECT_EQ(test, runs[0].nr, 200);
	KUNIT_EXPECT_EQ(test, runs[1].addr, (unsigned long)AT(319));
	KUNIT_EXPECT_EQ(test, runs[1].nr, 1);
	KUNIT_EXPECT_EQ(test, nr, 2);
	KUNIT_ASSERT_EQ(test, take(pool, &nr, runs), 1);
	KUNIT_EXPECT_EQ(test, runs[0].addr, (unsigned long)AT(320));
	KUNIT_EXPECT_EQ(test, runs[0].nr, 2);
	KUNIT_EXPECT_EQ(test, nr, 0);
	expect_available(test, pool, 62);
}

/* The runs of a word do not fit any more: the next call goes on. */
static void list_of_many_runs(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_full(test, 320);
	unsigned long nr = 160, left;
	struct p2pdma_run runs[P2PDMA_RUNS];
	unsigned int i, n;

	for (i = 0; i < 320; i += 2)
		KUNIT_ASSERT_TRUE(test, put(pool, AT(i), PAGE_SIZE));
	KUNIT_ASSERT_TRUE(test, p2pdma_pool_reserve(pool, nr));
	while (nr) {
		left = nr;
		n = take(pool, &nr, runs);
		KUNIT_ASSERT_GE(test, n, P2PDMA_RUNS / 2);
		KUNIT_ASSERT_LE(test, n, P2PDMA_RUNS);
		KUNIT_ASSERT_EQ(test, left - nr, n);
	}
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(320)));
	expect_whole(test, pool, 320);
}

static void list_of_chunks(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	bool held[150] = {};

	chunk_new(test, pool, AT(0), 70);
	chunk_new(test, pool, AT(70), 80);
	KUNIT_EXPECT_FALSE(test, p2pdma_pool_reserve(pool, 151));
	take_list(test, pool, 150, held, 150);
	expect_available(test, pool, 0);
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(70)));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(70), PAGES(80)));
	expect_available(test, pool, 150);
}

static void pool_free_in_parts(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	void *addr;

	chunk_new(test, pool, AT(0), 64);
	addr = get(pool, PAGES(8));
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_EXPECT_TRUE(test, put(pool, addr + PAGES(3), PAGES(2)));
	expect_available(test, pool, 58);
	KUNIT_EXPECT_TRUE(test, put(pool, addr, PAGES(3)));
	KUNIT_EXPECT_TRUE(test, put(pool, addr + PAGES(5), PAGES(3)));
	expect_whole(test, pool, 64);
}

/* A free may cover neighbours that were allocated one by one. */
static void pool_free_neighbours(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	unsigned int i;

	chunk_new(test, pool, AT(0), 256);
	for (i = 0; i < 4; i++)
		KUNIT_ASSERT_NOT_NULL(test, get(pool, PAGES(64)));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(64), PAGES(128)));
	expect_available(test, pool, 128);
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(64)));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(192), PAGES(64)));
	expect_whole(test, pool, 256);

	for (i = 0; i < 256; i++)
		KUNIT_ASSERT_NOT_NULL(test, get(pool, PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(60), PAGES(70)));
	expect_available(test, pool, 70);
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(60)));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(130), PAGES(126)));
	expect_whole(test, pool, 256);
}

struct free_case {
	const char *name;
	unsigned long at;
	size_t size;
};

/* Of 192 pages, pages 60 to 69 are allocated. */
static const struct free_case free_cases[] = {
	{ "free page", BASE, PAGE_SIZE },
	{ "begins before the allocation", BASE + PAGES(59), PAGES(2) },
	{ "ends after the allocation", BASE + PAGES(69), PAGES(2) },
	{ "all, and a page before", BASE + PAGES(59), PAGES(11) },
	{ "all, and a page after", BASE + PAGES(60), PAGES(11) },
	{ "around the allocation", BASE, PAGES(192) },
	{ "over the end of the pool", BASE + PAGES(60), PAGES(133) },
	{ "not page aligned", BASE + PAGES(60) + 64, PAGE_SIZE },
	{ "not page aligned by a byte", BASE + PAGES(61) - 1, PAGE_SIZE },
	{ "no size", BASE + PAGES(60), 0 },
	{ "size that wraps", BASE + PAGES(60), SIZE_MAX },
	{ "size that wraps to 0", BASE + PAGES(60), SIZE_MAX - PAGES(60) },
	{ "before the pool", BASE - PAGE_SIZE, PAGE_SIZE },
	{ "after the pool", BASE + PAGES(192), PAGE_SIZE },
	{ "address 0", 0, PAGE_SIZE },
	{ "last address", ~0UL & PAGE_MASK, PAGE_SIZE },
};

KUNIT_ARRAY_PARAM_DESC(free, free_cases, name);

static void pool_refuses_free(struct kunit *test)
{
	const struct free_case *c = test->param_value;
	struct p2pdma_pool *pool = pool_full(test, 192);

	KUNIT_ASSERT_TRUE(test, put(pool, AT(0), PAGES(60)));
	KUNIT_ASSERT_TRUE(test, put(pool, AT(70), PAGES(122)));

	KUNIT_EXPECT_FALSE(test, put(pool, (void *)c->at, c->size));
	expect_available(test, pool, 182);

	KUNIT_EXPECT_TRUE(test, put(pool, AT(60), PAGES(10)));
	KUNIT_EXPECT_FALSE_MSG(test, put(pool, AT(60), PAGES(10)),
			       "second time");
	expect_whole(test, pool, 192);
}

static void pool_of_chunks(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	void *addr;

	/* The chunks are neighbours, but no run is in both. */
	chunk_new(test, pool, AT(0), 8);
	chunk_new(test, pool, AT(8), 16);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_size(pool), PAGES(24));
	expect_available(test, pool, 24);
	KUNIT_EXPECT_NULL(test, get(pool, PAGES(17)));

	addr = get(pool, PAGES(12));
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_EXPECT_GE(test, page_of(addr), 8);
	KUNIT_EXPECT_LE(test, page_of(addr) + 12, 24);
	KUNIT_EXPECT_NOT_NULL(test, get(pool, PAGES(8)));
	KUNIT_EXPECT_NOT_NULL(test, get(pool, PAGES(4)));
	expect_available(test, pool, 0);

	KUNIT_EXPECT_FALSE(test, put(pool, AT(0), PAGES(24)));
	expect_available(test, pool, 0);
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(8)));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(8), PAGES(16)));
	expect_available(test, pool, 24);
}

static void pool_close_idle(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	struct chunk *chunk = chunk_new(test, pool, AT(0), 8);

	chunk_close(chunk);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_peak(pool), 0);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_held(chunk->chunk), 0);
	KUNIT_EXPECT_NULL(test, get(pool, 1));
	expect_available(test, pool, 0);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_size(pool), 0);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_peak(pool), 0);
}

static void pool_close_one(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_full(test, 8);
	struct chunk *chunk;

	chunk = chunk_new(test, pool, AT(100), 8);
	KUNIT_ASSERT_PTR_EQ(test, get(pool, PAGES(8)), AT(100));
	KUNIT_ASSERT_TRUE(test, put(pool, AT(103), PAGES(5)));
	KUNIT_ASSERT_TRUE(test, put(pool, AT(0), PAGES(8)));
	chunk_close(chunk);
	KUNIT_EXPECT_FALSE(test, completion_done(&chunk->freed));
	KUNIT_EXPECT_EQ(test, p2pdma_pool_held(chunk->chunk), 3);
	expect_available(test, pool, 8);
	KUNIT_EXPECT_EQ(test, p2pdma_pool_size(pool), PAGES(8));

	/* Pages of the closing chunk do not serve allocations. */
	KUNIT_EXPECT_TRUE(test, put(pool, AT(100), PAGES(2)));
	KUNIT_EXPECT_TRUE(test, try_wait_for_completion(&chunk->freed));
	KUNIT_EXPECT_PTR_EQ(test, get(pool, PAGES(8)), AT(0));
	KUNIT_EXPECT_NULL(test, get(pool, 1));
	KUNIT_EXPECT_EQ(test, p2pdma_pool_held(chunk->chunk), 1);
	expect_available(test, pool, 0);
	KUNIT_EXPECT_FALSE(test, put(pool, AT(100), PAGE_SIZE));

	KUNIT_EXPECT_TRUE(test, put(pool, AT(102), PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, try_wait_for_completion(&chunk->freed));
	KUNIT_EXPECT_EQ(test, p2pdma_pool_held(chunk->chunk), 0);
	kunit_release_action(test, chunk_remove, chunk);

	KUNIT_EXPECT_FALSE(test, put(pool, AT(102), PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(8)));
	expect_whole(test, pool, 8);
}

/*
 * Between close() and held(), the counter still includes the free pages of the
 * closing chunk: an allocation ends without a page, and reserves nothing.
 */
static void pool_close_before_held(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	struct chunk *chunk = chunk_new(test, pool, AT(0), 8);
	struct p2pdma_run runs[P2PDMA_RUNS];
	unsigned long nr = 4;

	KUNIT_ASSERT_PTR_EQ(test, get(pool, PAGES(8)), AT(0));
	KUNIT_ASSERT_TRUE(test, put(pool, AT(3), PAGES(5)));
	chunk_close(chunk);
	KUNIT_EXPECT_NULL(test, get(pool, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, get(pool, PAGES(2)));
	KUNIT_ASSERT_TRUE(test, p2pdma_pool_reserve(pool, 4));
	KUNIT_EXPECT_EQ(test, take(pool, &nr, runs), 0);
	expect_available(test, pool, 5);

	KUNIT_EXPECT_EQ(test, p2pdma_pool_held(chunk->chunk), 3);
	expect_available(test, pool, 0);
	KUNIT_EXPECT_TRUE(test, put(pool, AT(0), PAGES(3)));
	chunk_drain(test, chunk);
	expect_available(test, pool, 0);
}

#define MODEL_PAGES	200UL
#define MODEL_CHUNK	70UL
#define MODEL_STEPS	20000

/* A run is inside one chunk; the chunks begin at 0, 70 and 140. */
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

static bool model_all_held(const bool *held, unsigned long first,
			   unsigned long nr)
{
	unsigned long i, last = first + nr - 1;

	if (last >= MODEL_PAGES || first / MODEL_CHUNK != last / MODEL_CHUNK)
		return false;
	for (i = first; i <= last; i++)
		if (!held[i])
			return false;
	return true;
}

static unsigned long model_nr_free(const bool *held)
{
	unsigned long i, nr = 0;

	for (i = 0; i < MODEL_PAGES; i++)
		nr += !held[i];
	return nr;
}

static void model_alloc(struct kunit *test, struct p2pdma_pool *pool,
			bool *held, unsigned long nr)
{
	bool expected = model_has_run(held, nr);
	void *addr = get(pool, PAGES(nr));
	unsigned long first = page_of(addr), i;

	KUNIT_ASSERT_EQ_MSG(test, !!addr, expected, "%lu pages", nr);
	if (!addr)
		return;
	KUNIT_ASSERT_LE(test, first + nr, MODEL_PAGES);
	KUNIT_ASSERT_EQ(test, first / MODEL_CHUNK,
			(first + nr - 1) / MODEL_CHUNK);
	for (i = first; i < first + nr; i++) {
		KUNIT_ASSERT_FALSE_MSG(test, held[i], "page %lu", i);
		held[i] = true;
	}
}

static void model_list(struct kunit *test, struct p2pdma_pool *pool, bool *held,
		       unsigned long nr)
{
	if (nr <= model_nr_free(held))
		take_list(test, pool, nr, held, MODEL_PAGES);
	else
		KUNIT_ASSERT_FALSE(test, p2pdma_pool_reserve(pool, nr));
}

static void model_free(struct kunit *test, struct p2pdma_pool *pool, bool *held,
		       unsigned long first, unsigned long nr)
{
	bool expected = model_all_held(held, first, nr);

	KUNIT_ASSERT_EQ_MSG(test, put(pool, AT(first), PAGES(nr)), expected,
			    "%lu pages at %lu", nr, first);
	if (expected)
		memset(held + first, false, nr);
}

static void pool_agrees_with_model(struct kunit *test)
{
	struct p2pdma_pool *pool = pool_new(test);
	bool *held = kunit_kzalloc(test, MODEL_PAGES, GFP_KERNEL);
	const u64 seed = 20250101;
	struct rnd_state rnd;
	unsigned long i, step, nr;

	KUNIT_ASSERT_NOT_NULL(test, held);
	kunit_info(test, "seed %llu\n", seed);
	prandom_seed_state(&rnd, seed);
	for (i = 0; i < MODEL_PAGES; i += MODEL_CHUNK)
		chunk_new(test, pool, AT(i), min(MODEL_CHUNK, MODEL_PAGES - i));

	for (step = 0; step < MODEL_STEPS; step++) {
		nr = 1 + prandom_u32_state(&rnd) % (step % 3 ? 6 : 40);
		i = prandom_u32_state(&rnd) % 4;
		if (i == 0)
			model_alloc(test, pool, held, nr);
		else if (i == 1)
			model_list(test, pool, held, nr);
		else
			model_free(test, pool, held, prandom_u32_state(&rnd) %
				   MODEL_PAGES, nr);
		KUNIT_ASSERT_EQ(test, p2pdma_pool_available(pool),
				PAGES(model_nr_free(held)));
	}
	for (i = 0; i < MODEL_PAGES; i++)
		if (held[i])
			model_free(test, pool, held, i, 1);
	expect_available(test, pool, MODEL_PAGES);
}

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
	[MEM] = { .kind = MOCK_PCI_ENDPOINT, .up = RP, .bar[0] = SZ_4M,
		  .bar[2] = SZ_2M },
};

static struct pci_dev *mem_new(struct kunit *test)
{
	return mock_pci_dev(mock_pci_add(test, pool_rows, NR), MEM);
}

static void expect_bytes(struct kunit *test, struct pci_dev *pdev, u64 bytes)
{
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"),
			bytes);
}

static void alloc_in_hard_irq(struct kunit *test)
{
	struct in_irq irq = { .pdev = mem_new(test) };

	p2pdma_kunit_provide(test, irq.pdev);
	irq.work = IRQ_WORK_INIT_HARD(alloc_in_irq);
	KUNIT_ASSERT_TRUE(test, irq_work_queue(&irq.work));
	irq_work_sync(&irq.work);
	KUNIT_EXPECT_TRUE(test, irq.hard);
	KUNIT_ASSERT_NOT_NULL(test, irq.addr);
	expect_bytes(test, irq.pdev, SZ_4M - SZ_8K);

	irq.work = IRQ_WORK_INIT_HARD(free_in_irq);
	KUNIT_ASSERT_TRUE(test, irq_work_queue(&irq.work));
	irq_work_sync(&irq.work);
	expect_bytes(test, irq.pdev, SZ_4M);
}

#define CROWD_THREADS	4
#define CROWD_CHUNK	96
#define CROWD_CHUNKS	9
#define CROWD_PAGES	(CROWD_CHUNK * CROWD_CHUNKS)
#define CROWD_STEPS	20000
#define CROWD_HOLDS	8

/**
 * struct member - a thread that allocates and frees
 * @crowd: the crowd of the thread
 * @task: the thread
 * @done: completed at the end of the thread
 * @id: thread number + 1
 * @addr: runs of pages that the thread has
 * @nr: number of pages of each run
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
 * struct crowd - threads that use one pool
 * @pool: the pool
 * @body: body of each thread
 * @steps: number of steps of a thread
 * @stop: tells the threads to end
 * @closed: pages below this number are in closed chunks
 * @seen: completed when a chunk is in use
 * @owner: ID of the thread that has a page; or, for double frees, number of
 *	allocations of the page less number of frees
 * @clashes: number of pages with two owners, a wrong owner or a closed chunk
 * @member: the threads
 */
struct crowd {
	struct p2pdma_pool *pool;
	void (*body)(struct member *member);
	unsigned int steps;
	bool stop;
	unsigned long closed;
	struct completion seen[CROWD_CHUNKS];
	atomic_t owner[CROWD_PAGES];
	atomic_t clashes;
	struct member member[CROWD_THREADS];
};

static void member_mark(struct member *member, unsigned int slot, int from,
			int to)
{
	unsigned long page = page_of(member->addr[slot]);
	unsigned long end = page + member->nr[slot];
	struct crowd *crowd = member->crowd;

	for (; page < end; page++)
		if (page >= CROWD_PAGES ||
		    atomic_cmpxchg(&crowd->owner[page], from, to) != from)
			atomic_inc(&crowd->clashes);
}

static void member_put(struct member *member, unsigned int slot)
{
	struct crowd *crowd = member->crowd;

	if (!member->addr[slot])
		return;
	member_mark(member, slot, member->id, 0);
	if (!put(crowd->pool, member->addr[slot], PAGES(member->nr[slot])))
		atomic_inc(&crowd->clashes);
	member->addr[slot] = NULL;
}

static void member_get(struct member *member, unsigned int slot,
		       unsigned long nr)
{
	struct crowd *crowd = member->crowd;
	/* Pairs with the release after a chunk was closed. */
	unsigned long closed = smp_load_acquire(&crowd->closed), page;
	struct completion *seen;

	member->nr[slot] = nr;
	member->addr[slot] = get(crowd->pool, PAGES(nr));
	if (!member->addr[slot])
		return;
	member_mark(member, slot, 0, member->id);
	page = page_of(member->addr[slot]);
	if (page < closed)
		atomic_inc(&crowd->clashes);
	seen = &crowd->seen[min(page, CROWD_PAGES - 1) / CROWD_CHUNK];
	if (!completion_done(seen))
		complete(seen);
}

/* Mostly a few pages, sometimes about as many pages as a word has bits. */
static unsigned long member_draw(struct rnd_state *rnd)
{
	if (prandom_u32_state(rnd) % 16)
		return 1 + prandom_u32_state(rnd) % 7;
	return 62 + prandom_u32_state(rnd) % 5;
}

static void member_mixes(struct member *member)
{
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
}

static int member_thread(void *data)
{
	struct member *member = data;

	member->crowd->body(member);
	complete_all(&member->done);
	return 0;
}

static void crowd_wait(struct crowd *crowd)
{
	int i;

	for (i = 0; i < CROWD_THREADS; i++)
		wait_for_completion(&crowd->member[i].done);
}

static void crowd_ends(void *data)
{
	struct crowd *crowd = data;

	WRITE_ONCE(crowd->stop, true);
	crowd_wait(crowd);
}

static struct crowd *crowd_new(struct kunit *test,
			       void (*body)(struct member *member),
			       unsigned int steps)
{
	struct crowd *crowd = kunit_kzalloc(test, sizeof(*crowd), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, crowd);
	crowd->pool = pool_new(test);
	crowd->body = body;
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

/* Start the threads, on different CPUs if possible. */
static void crowd_begins(struct kunit *test, struct crowd *crowd)
{
	struct member *member;
	unsigned int cpu;
	int i;

	for (i = 0; i < CROWD_THREADS; i++) {
		member = &crowd->member[i];
		cpu = cpumask_nth(i % num_online_cpus(), cpu_online_mask);
		reinit_completion(&member->done);
		member->task = kthread_run_on_cpu(member_thread, member, cpu,
						  "p2pdma-crowd/%u");
		if (IS_ERR(member->task))
			complete_all(&member->done);
	}
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, crowd_ends, crowd));
	for (i = 0; i < CROWD_THREADS; i++)
		KUNIT_ASSERT_FALSE(test, IS_ERR(crowd->member[i].task));
}

static void pool_in_a_crowd(struct kunit *test)
{
	struct crowd *crowd = crowd_new(test, member_mixes, CROWD_STEPS);

	chunk_new(test, crowd->pool, AT(0), CROWD_CHUNK);
	crowd_begins(test, crowd);
	crowd_wait(crowd);
	KUNIT_EXPECT_EQ(test, atomic_read(&crowd->clashes), 0);
	expect_whole(test, crowd->pool, CROWD_CHUNK);
}

/* The chunks close in turn while all threads allocate. */
static void pool_closes_in_a_crowd(struct kunit *test)
{
	struct crowd *crowd = crowd_new(test, member_mixes, UINT_MAX);
	struct chunk *chunk[CROWD_CHUNKS];
	int i;

	for (i = 0; i < CROWD_CHUNKS; i++)
		chunk[i] = chunk_new(test, crowd->pool, AT(i * CROWD_CHUNK),
				     CROWD_CHUNK);
	crowd_begins(test, crowd);
	for (i = 0; i < CROWD_CHUNKS - 1; i++) {
		KUNIT_ASSERT_NE_MSG(test, 0,
				    wait_for_completion_timeout(&crowd->seen[i],
								60 * HZ),
				    "chunk %d is not used", i);
		chunk_close(chunk[i]);
		/* Pairs with the acquire before an allocation. */
		smp_store_release(&crowd->closed, (i + 1) * CROWD_CHUNK);
		chunk_drain(test, chunk[i]);
		KUNIT_EXPECT_EQ(test, p2pdma_pool_size(crowd->pool),
				PAGES((CROWD_CHUNKS - 1 - i) * CROWD_CHUNK));
	}
	kunit_release_action(test, crowd_ends, crowd);
	KUNIT_EXPECT_EQ(test, atomic_read(&crowd->clashes), 0);
	expect_available(test, crowd->pool, CROWD_CHUNK);
}

/* All threads free all pages of a word, and allocate a few pages in between. */
static void member_frees_twice(struct member *member)
{
	struct crowd *crowd = member->crowd;
	unsigned long page, nr, i;
	void *addr;

	for (page = 0; page < BITS_PER_LONG; page++) {
		if (put(crowd->pool, AT(page), PAGE_SIZE))
			atomic_dec(&crowd->owner[page]);
		nr = 1 + (page + member->id) % 3;
		addr = (page + member->id) % 4 ? NULL :
		       get(crowd->pool, PAGES(nr));
		for (i = 0; addr && i < nr; i++)
			atomic_inc(&crowd->owner[page_of(addr) + i]);
	}
}

/*
 * The second free of a page of a used word is refused, unless another thread
 * has allocated the page in between: in the end, each page was allocated as
 * often as freed, or once more and is not free.
 */
static void pool_double_frees_in_a_crowd(struct kunit *test)
{
	struct crowd *crowd = crowd_new(test, member_frees_twice, 1);
	struct chunk *chunk;
	unsigned int round, page;
	int held;

	chunk = chunk_new(test, crowd->pool, AT(0), 2 * BITS_PER_LONG);
	for (round = 0; round < 200; round++) {
		KUNIT_ASSERT_PTR_EQ(test,
				    get(crowd->pool, PAGES(2 * BITS_PER_LONG)),
				    AT(0));
		for (page = 0; page < 2 * BITS_PER_LONG; page++)
			atomic_set(&crowd->owner[page], 1);
		crowd_begins(test, crowd);
		kunit_release_action(test, crowd_ends, crowd);
		for (page = 0; page < 2 * BITS_PER_LONG; page++) {
			held = atomic_read(&crowd->owner[page]);
			KUNIT_ASSERT_TRUE(test, held == 0 || held == 1);
			KUNIT_ASSERT_EQ(test, put(crowd->pool, AT(page),
						  PAGE_SIZE), held);
		}
		expect_available(test, crowd->pool, 2 * BITS_PER_LONG);
	}
	chunk_drain(test, chunk);
}

/* Each thread frees a page, and the pages are in different words. */
static void member_frees_last(struct member *member)
{
	unsigned int page = (member->id - 1) * BITS_PER_LONG;

	if (!put(member->crowd->pool, AT(page), PAGE_SIZE))
		atomic_inc(&member->crowd->clashes);
}

/* The last frees of a chunk race with the close and the removal. */
static void pool_last_frees(struct kunit *test)
{
	struct crowd *crowd = crowd_new(test, member_frees_last, 1);
	unsigned int pages = CROWD_THREADS * BITS_PER_LONG, round, i;
	struct p2pdma_pool *pool = crowd->pool;
	struct chunk *chunk;

	for (round = 0; round < 100; round++) {
		chunk = chunk_new(test, pool, AT(0), pages);
		KUNIT_ASSERT_PTR_EQ(test, get(pool, PAGES(pages)), AT(0));
		for (i = 0; i < CROWD_THREADS; i++)
			KUNIT_ASSERT_TRUE(test,
					  put(pool, AT(i * BITS_PER_LONG + 1),
					      PAGES(BITS_PER_LONG - 1)));
		crowd_begins(test, crowd);
		chunk_drain(test, chunk);
		kunit_release_action(test, crowd_ends, crowd);
		expect_available(test, pool, 0);
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&crowd->clashes), 0);
}

static void alloc_without_provider(struct kunit *test)
{
	struct pci_dev *pdev = mem_new(test);
	unsigned int nents = 17;

	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc(pdev, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl(pdev, &nents, PAGE_SIZE));
	pci_p2pmem_free(pdev, NULL, PAGE_SIZE);
	pci_p2pmem_free_sgl(pdev, NULL);
}

static void alloc_from_two_regions(struct kunit *test)
{
	static const struct p2pdma_kunit_range both[] = {
		{ .bar = 0 }, { .bar = 2 }
	};
	struct p2pdma_kunit_mem *big, *small, *one;
	struct pci_dev *pdev = mem_new(test);

	p2pdma_kunit_provide_ranges(test, pdev, both, 2);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "size"),
			SZ_4M + SZ_2M);
	KUNIT_EXPECT_NULL(test, p2pdma_kunit_alloc(test, pdev, SZ_4M + 1));
	big = p2pdma_kunit_alloc(test, pdev, SZ_4M);
	small = p2pdma_kunit_alloc(test, pdev, SZ_2M);
	KUNIT_ASSERT_NOT_NULL(test, big);
	KUNIT_ASSERT_NOT_NULL(test, small);
	KUNIT_EXPECT_EQ(test, virt_to_phys(big->addr),
			pci_resource_start(pdev, 0));
	KUNIT_EXPECT_EQ(test, virt_to_phys(small->addr),
			pci_resource_start(pdev, 2));
	KUNIT_EXPECT_NULL(test, p2pdma_kunit_alloc(test, pdev, 1));
	expect_bytes(test, pdev, 0);

	p2pdma_kunit_free(test, small);
	one = p2pdma_kunit_alloc(test, pdev, 1);
	KUNIT_ASSERT_NOT_NULL(test, one);
	expect_bytes(test, pdev, SZ_2M - PAGE_SIZE);
	p2pdma_kunit_free(test, one);
	p2pdma_kunit_free(test, big);
	expect_bytes(test, pdev, SZ_4M + SZ_2M);
}

/* Linux 6.12 has two spellings of each function. */
static void alloc_spellings(struct kunit *test)
{
	struct pci_dev *pdev = mem_new(test);
	void *addr;

	p2pdma_kunit_provide(test, pdev);
	addr = pci_alloc_p2pmem(pdev, SZ_8K);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	expect_bytes(test, pdev, SZ_4M - SZ_8K);
	pci_p2pmem_free(pdev, addr, SZ_8K);
	addr = pci_p2pmem_alloc(pdev, SZ_8K);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	pci_free_p2pmem(pdev, addr, SZ_8K);
	expect_bytes(test, pdev, SZ_4M);
}

static size_t sgl_bytes(struct scatterlist *sgl, unsigned int nents)
{
	struct scatterlist *sg;
	unsigned int i;
	size_t bytes = 0;

	for_each_sg(sgl, sg, nents, i)
		bytes += sg->length;
	return bytes;
}

static void alloc_sgl(struct kunit *test)
{
	struct pci_dev *pdev = mem_new(test);
	struct scatterlist *sgl, *rest;
	unsigned int nents = 0;

	p2pdma_kunit_provide(test, pdev);
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl(pdev, &nents, 0));
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl(pdev, &nents, SZ_4M + 1));
	expect_bytes(test, pdev, SZ_4M);

	sgl = pci_p2pmem_alloc_sgl(pdev, &nents, SZ_64K - 512);
	KUNIT_ASSERT_NOT_NULL(test, sgl);
	KUNIT_EXPECT_EQ(test, sgl_bytes(sgl, nents), SZ_64K - 512);
	expect_bytes(test, pdev, SZ_4M - SZ_64K);

	rest = pci_p2pmem_alloc_sgl(pdev, &nents, SZ_4M - SZ_64K);
	KUNIT_ASSERT_NOT_NULL(test, rest);
	KUNIT_EXPECT_EQ(test, sgl_bytes(rest, nents), SZ_4M - SZ_64K);
	expect_bytes(test, pdev, 0);
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl(pdev, &nents, 1));
	pci_p2pmem_free_sgl(pdev, sgl);
	expect_bytes(test, pdev, SZ_64K);
	pci_p2pmem_free_sgl(pdev, rest);
	expect_bytes(test, pdev, SZ_4M);
}

static struct kunit_case p2pdma_pool_cases[] = {
	KUNIT_CASE(pool_empty),
	KUNIT_CASE_PARAM(pool_counts_pages, size_gen_params),
	KUNIT_CASE(pool_refuses_sizes),
	KUNIT_CASE(pool_exhausted),
	KUNIT_CASE(pool_fragmented),
	KUNIT_CASE(pool_uses_the_end),
	KUNIT_CASE(pool_peak),
	KUNIT_CASE_PARAM(pool_run_comes_back, run_gen_params),
	KUNIT_CASE_PARAM(pool_refuses_second_free, run_gen_params),
	KUNIT_CASE_PARAM(pool_run_in_words, hole_gen_params),
	KUNIT_CASE_PARAM(pool_aligned, align_gen_params),
	KUNIT_CASE(list_of_single_pages),
	KUNIT_CASE(list_prefers_one_run),
	KUNIT_CASE(list_joins_words),
	KUNIT_CASE(list_of_many_runs),
	KUNIT_CASE(list_of_chunks),
	KUNIT_CASE(pool_free_in_parts),
	KUNIT_CASE(pool_free_neighbours),
	KUNIT_CASE_PARAM(pool_refuses_free, free_gen_params),
	KUNIT_CASE(pool_of_chunks),
	KUNIT_CASE(pool_close_idle),
	KUNIT_CASE(pool_close_one),
	KUNIT_CASE(pool_close_before_held),
	KUNIT_CASE(pool_agrees_with_model),
	KUNIT_CASE(alloc_in_hard_irq),
	KUNIT_CASE_SLOW(pool_in_a_crowd),
	KUNIT_CASE_SLOW(pool_closes_in_a_crowd),
	KUNIT_CASE_SLOW(pool_double_frees_in_a_crowd),
	KUNIT_CASE_SLOW(pool_last_frees),
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
