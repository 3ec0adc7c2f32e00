// SPDX-License-Identifier: GPL-2.0
/*
 * The pool beside a plain model; see model.h
 *
 * The model has a byte for each page and looks at all bytes to answer a
 * question. One page and a list fail only if the model has too few free pages,
 * a run fails only if the model has no such run. Pages that the pool allocates
 * were free, in an open chunk, and aligned.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shim.h>

#include "inside.h"
#include "model.h"

#define CHUNKS		4
#define CPUS		4

/* No memory is behind the addresses. No two chunks are adjacent. */
#define FIRST_ADDR	0x100000000UL
#define CHUNK_DISTANCE	0x40000000UL

struct model_chunk {
	struct p2pdma_chunk *chunk;
	struct completion freed;
	unsigned long addr;
	unsigned int pages;
	unsigned int nr_held;
	bool open;
	unsigned char *held;
};

/* @vain is the largest number of pages that were allocated or reserved. */
struct model {
	struct p2pdma_pool *pool;
	model_draw_t draw;
	void *data;
	unsigned int max_pages;
	unsigned int fill;		/* percentage of allocations */
	unsigned long steps;
	struct model_chunk chunks[CHUNKS];
	unsigned int held, peak, vain;
};

/* Print a condition that does not hold, and end the program. */
#define expect(model, cond, text, args...) do {				\
	if (!(cond)) {							\
		fprintf(stderr, "# %s:%d: expected %s: " text "\n",	\
			__FILE__, __LINE__, #cond, ##args);		\
		fail(model);						\
	}								\
} while (0)

static void fail(struct model *model)
{
	fprintf(stderr, "# in step %lu\n", model->steps);
	abort();
}

static unsigned int draw(struct model *model, unsigned int limit)
{
	return model->draw(model->data, limit);
}

/* The knowledge of the model. */

static struct model_chunk *chunk_at(struct model *model, unsigned long addr)
{
	struct model_chunk *chunk;

	for (chunk = model->chunks; chunk < model->chunks + CHUNKS; chunk++)
		if (chunk->chunk && addr - chunk->addr < chunk->pages * PAGE_SIZE)
			return chunk;
	return NULL;
}

static bool all_held(const struct model_chunk *chunk, unsigned int first,
		     unsigned int nr)
{
	return nr && nr <= chunk->pages - first &&
	       !memchr(chunk->held + first, 0, nr);
}

static bool all_free(const struct model_chunk *chunk, unsigned int first,
		     unsigned int nr)
{
	return nr && nr <= chunk->pages - first &&
	       !memchr(chunk->held + first, 1, nr);
}

static unsigned int available(const struct model *model)
{
	unsigned int i, nr = 0;

	for (i = 0; i < CHUNKS; i++)
		if (model->chunks[i].open)
			nr += model->chunks[i].pages - model->chunks[i].nr_held;
	return nr;
}

static bool has_run_in(const struct model_chunk *chunk, unsigned int nr,
		       unsigned long align)
{
	unsigned int first = 0;
	unsigned char *taken;

	while (nr <= chunk->pages - first) {
		if ((chunk->addr + first * PAGE_SIZE) % align) {
			first++;
			continue;
		}
		taken = memchr(chunk->held + first, 1, nr);
		if (!taken)
			return true;
		first = taken - chunk->held + 1;
	}
	return false;
}

static bool has_run(struct model *model, unsigned int nr, unsigned long align)
{
	unsigned int i;

	for (i = 0; i < CHUNKS; i++)
		if (model->chunks[i].open &&
		    has_run_in(&model->chunks[i], nr, align))
			return true;
	return false;
}

static void mark(struct model *model, struct model_chunk *chunk,
		 unsigned int first, unsigned int nr, bool held)
{
	memset(chunk->held + first, held, nr);
	chunk->nr_held += held ? nr : -nr;
	model->held += held ? nr : -nr;
	model->peak = max(model->peak, model->held);
	model->vain = max(model->vain, model->held);
	/* Record allocations of the short path. */
	p2pdma_pool_peak(model->pool);
}

/* Allocations. */

static void got(struct model *model, void *addr, unsigned int nr,
		unsigned long align)
{
	struct model_chunk *chunk = chunk_at(model, (unsigned long)addr);
	unsigned int first;

	expect(model, chunk, "%p is in no chunk", addr);
	expect(model, chunk->open, "%p is in a closed chunk", addr);
	expect(model, (unsigned long)addr % align == 0, "%p, aligned to %#lx",
	       addr, align);
	first = ((unsigned long)addr - chunk->addr) >> PAGE_SHIFT;
	expect(model, all_free(chunk, first, nr), "%u pages at %p", nr, addr);
	mark(model, chunk, first, nr, true);
}

/* Short runs in most cases, whole words or any number in other cases. */
static unsigned int draw_pages(struct model *model)
{
	switch (draw(model, 8)) {
	case 0: case 1: case 2:
		return 1;
	case 3: case 4:
		return 1 + draw(model, 16);
	case 5:
		return 1 + draw(model, 130);
	case 6:
		return 64 * (1 + draw(model, 9));
	default:
		return 1 + draw(model, model->max_pages);
	}
}

/* Whole pages in three of four cases. */
static size_t draw_size(struct model *model, unsigned int nr)
{
	return nr * PAGE_SIZE - (draw(model, 4) ? 0 : draw(model, PAGE_SIZE));
}

static void do_alloc(struct model *model)
{
	unsigned int nr = draw_pages(model);
	size_t size = draw_size(model, nr);
	void *addr;

	guard(rcu)();
	addr = draw(model, 2) ? inside_alloc(model->pool, size) :
	       p2pdma_pool_alloc(model->pool, size);
	if (addr)
		got(model, addr, nr, PAGE_SIZE);
	else
		expect(model, !has_run(model, nr, PAGE_SIZE), "%u pages", nr);
}

static void do_alloc_aligned(struct model *model)
{
	unsigned int nr = draw_pages(model);
	size_t align = PAGE_SIZE / 2 << draw(model, 12);
	void *addr;

	guard(rcu)();
	addr = p2pdma_pool_alloc_aligned(model->pool, draw_size(model, nr),
					 align);
	if (addr)
		got(model, addr, nr, max(align, PAGE_SIZE));
	else
		expect(model, !has_run(model, nr, align),
		       "%u pages aligned to %#zx", nr, align);
}

/* Take reserved pages. Return the number of pages that are missing. */
static unsigned int take(struct model *model, unsigned int nr)
{
	struct p2pdma_run runs[P2PDMA_RUNS];
	unsigned long left = nr;
	unsigned int n, i;

	while (nr) {
		n = p2pdma_pool_take(model->pool, &left, runs);
		if (!n)
			break;
		expect(model, n <= P2PDMA_RUNS, "%u runs", n);
		for (i = 0; i < n; i++) {
			expect(model, runs[i].nr, "run %u is empty", i);
			got(model, (void *)runs[i].addr, runs[i].nr, PAGE_SIZE);
			nr -= runs[i].nr;
		}
		expect(model, nr == left, "%u pages, not %lu", nr, left);
	}
	return nr;
}

static void do_alloc_list(struct model *model)
{
	unsigned int nr = draw_pages(model), missing;
	bool enough = nr <= available(model);

	guard(rcu)();
	expect(model, p2pdma_pool_reserve(model->pool, nr) == enough,
	       "%u of %u pages", nr, available(model));
	if (!enough)
		return;
	if (!draw(model, 16)) {
		model->vain = max(model->vain, model->held + nr);
		p2pdma_pool_unreserve(model->pool, nr);
		return;
	}
	missing = take(model, nr);
	expect(model, !missing, "%u of %u pages are missing", missing, nr);
}

static void do_impossible_alloc(struct model *model)
{
	static const size_t sizes[] = {
		0, SIZE_MAX, SIZE_MAX - PAGE_SIZE, 1UL << 63, 1UL << 45
	};
	size_t size = sizes[draw(model, ARRAY_SIZE(sizes))];
	struct p2pdma_pool *pool = model->pool;

	guard(rcu)();
	expect(model, !p2pdma_pool_alloc(pool, size), "%#zx bytes", size);
	expect(model, !p2pdma_pool_alloc_aligned(pool, size,
						 PAGE_SIZE << draw(model, 40)),
	       "%#zx bytes", size);
}

/*
 * Free pages of a closing chunk are available until p2pdma_pool_held() counts
 * the pages. A list finds the pages of open chunks, and no other page.
 */
static void alloc_before_count(struct model *model)
{
	unsigned int nr = draw_pages(model), missing;

	guard(rcu)();
	if (!p2pdma_pool_reserve(model->pool, nr)) {
		expect(model, nr > available(model), "%u pages", nr);
		return;
	}
	model->vain = max(model->vain, model->held + nr);
	missing = take(model, nr);
	expect(model, !missing || !available(model), "%u of %u pages", missing,
	       nr);
}

static void check_held(struct model *model, struct model_chunk *chunk)
{
	unsigned long held = p2pdma_pool_held(chunk->chunk);

	expect(model, held == chunk->nr_held, "%lu, not %u pages", held,
	       chunk->nr_held);
}

/* Count a closing chunk, as the owner does after a close and after a free. */
static void count_chunk(struct model *model, struct model_chunk *chunk)
{
	if (draw(model, 2))
		alloc_before_count(model);
	check_held(model, chunk);
}

/* Frees. */

static bool try_free(struct model *model, unsigned long addr, size_t size)
{
	guard(rcu)();
	if (draw(model, 2))
		return inside_free(model->pool, (void *)addr, size);
	return p2pdma_pool_free(model->pool, (void *)addr, size);
}

static void free_range(struct model *model, struct model_chunk *chunk,
		       unsigned int first, unsigned int nr)
{
	unsigned long addr = chunk->addr + first * PAGE_SIZE;
	unsigned int completed = chunk->freed.done;

	expect(model, try_free(model, addr, draw_size(model, nr)),
	       "%u pages at %#lx", nr, addr);
	mark(model, chunk, first, nr, false);
	expect(model, (completed < chunk->freed.done) == !chunk->open,
	       "completed %u times", chunk->freed.done);
	if (!chunk->open)
		count_chunk(model, chunk);
}

/*
 * Free allocated pages: a part of an allocation, a whole allocation, or
 * adjacent allocations and parts together.
 */
static void do_free(struct model *model)
{
	struct model_chunk *chunk = &model->chunks[draw(model, CHUNKS)];
	unsigned int first, len, nr;
	unsigned char *page, *end;

	if (!chunk->chunk || !chunk->nr_held)
		return;
	first = draw(model, chunk->pages);
	page = memchr(chunk->held + first, 1, chunk->pages - first) ?:
	       memchr(chunk->held, 1, chunk->pages);
	first = page - chunk->held;
	end = memchr(page, 0, chunk->pages - first);
	len = end ? end - page : chunk->pages - first;
	switch (draw(model, 4)) {
	case 0:
		nr = draw(model, 2) ? 1 : len;
		break;
	case 1:
		nr = 1 + draw(model, len);
		break;
	default:
		nr = min(len, draw_pages(model));
		break;
	}
	free_range(model, chunk, first, nr);
}

static void free_chunk(struct model *model, struct model_chunk *chunk)
{
	unsigned int page;

	for (page = 0; chunk->nr_held; page++)
		if (chunk->held[page])
			free_range(model, chunk, page, 1);
}

/* Free any pages unless all of the pages are allocated. */
static void do_bad_free(struct model *model)
{
	struct model_chunk *chunk = &model->chunks[draw(model, CHUNKS)];
	unsigned int first, nr = draw_pages(model);
	unsigned long addr;

	if (!chunk->chunk)
		return;
	first = draw(model, chunk->pages);
	addr = chunk->addr + first * PAGE_SIZE;
	if (!draw(model, 4))
		addr += 1 + draw(model, PAGE_SIZE - 1);
	else if (all_held(chunk, first, nr))
		return;
	expect(model, !try_free(model, addr, nr * PAGE_SIZE),
	       "%u pages at %#lx", nr, addr);
}

static void do_foreign_free(struct model *model)
{
	static const unsigned long addrs[] = {
		0, PAGE_SIZE, FIRST_ADDR - PAGE_SIZE, -PAGE_SIZE
	};
	unsigned long addr = addrs[draw(model, ARRAY_SIZE(addrs))];
	struct model_chunk *chunk = &model->chunks[draw(model, CHUNKS)];

	expect(model, !try_free(model, addr, PAGE_SIZE), "%#lx", addr);
	if (!chunk->chunk)
		return;
	addr = chunk->addr + chunk->pages * PAGE_SIZE;
	expect(model, !try_free(model, addr, PAGE_SIZE), "%#lx", addr);
	expect(model, !try_free(model, chunk->addr, 0), "no bytes");
	expect(model, !try_free(model, chunk->addr, SIZE_MAX), "all bytes");
}

/* Chunks. */

static unsigned int draw_chunk_pages(struct model *model)
{
	static const unsigned int sizes[] = {
		1, 3, 63, 64, 65, 70, 128, 512, 513, 576
	};
	unsigned int pages;

	if (draw(model, 2))
		pages = sizes[draw(model, ARRAY_SIZE(sizes))];
	else
		pages = 1 + draw(model, model->max_pages);
	return min(pages, model->max_pages);
}

static void do_add(struct model *model)
{
	unsigned int i = draw(model, CHUNKS), pages = draw_chunk_pages(model);
	struct model_chunk *chunk = &model->chunks[i];
	int fail_after = draw(model, 8) ? -1 : (int)draw(model, 4);
	bool failed;

	if (chunk->chunk)
		return;
	chunk->freed = (struct completion) {};
	chunk->addr = FIRST_ADDR + i * CHUNK_DISTANCE +
		      draw(model, 512) * PAGE_SIZE;
	chunk->pages = pages;
	shim_fail_after = fail_after;
	chunk->chunk = p2pdma_pool_add(model->pool, (void *)chunk->addr,
				       pages * PAGE_SIZE, &chunk->freed);
	failed = fail_after >= 0 && shim_fail_after < 0;
	shim_fail_after = -1;
	expect(model, !chunk->chunk == failed,
	       "memory failed after %d allocations", fail_after);
	if (!chunk->chunk)
		return;
	chunk->held = calloc(pages, 1);
	chunk->nr_held = 0;
	chunk->open = true;
}

static void close_chunk(struct model *model, struct model_chunk *chunk)
{
	if (!chunk->open)
		return;
	p2pdma_pool_close(chunk->chunk);
	chunk->open = false;
	expect(model, !chunk->freed.done, "completed");
	count_chunk(model, chunk);
}

static void remove_chunk(struct model *model, struct model_chunk *chunk)
{
	if (!chunk->chunk || chunk->open || chunk->nr_held)
		return;
	check_held(model, chunk);
	p2pdma_pool_remove(chunk->chunk);
	free(chunk->held);
	*chunk = (struct model_chunk) {};
}

/* Checks. */

static void check_peak(struct model *model)
{
	size_t peak = p2pdma_pool_peak(model->pool) >> PAGE_SHIFT;
	unsigned int i;

	expect(model, peak <= model->vain, "%zu, not %u to %u pages", peak,
	       model->peak, model->vain);
	/* The size of a closing chunk is missing in the size of the pool. */
	for (i = 0; i < CHUNKS; i++)
		if (model->chunks[i].chunk && !model->chunks[i].open)
			return;
	expect(model, peak >= model->peak, "%zu, not %u to %u pages", peak,
	       model->peak, model->vain);
}

static void do_check(struct model *model)
{
	size_t size = 0, want = available(model) * PAGE_SIZE;
	struct model_chunk *chunk;

	for (chunk = model->chunks; chunk < model->chunks + CHUNKS; chunk++) {
		if (chunk->open)
			size += chunk->pages * PAGE_SIZE;
		else if (chunk->chunk)
			check_held(model, chunk);
	}
	expect(model, p2pdma_pool_size(model->pool) == size, "%#zx, not %#zx",
	       p2pdma_pool_size(model->pool), size);
	expect(model, p2pdma_pool_available(model->pool) == want,
	       "%#zx, not %#zx", p2pdma_pool_available(model->pool), want);
	check_peak(model);
	expect(model, inside_check(model->pool), "a rule is broken");
	expect(model, !shim_warnings, "%u warnings", shim_warnings);
}

/* Steps. */

static void do_rare(struct model *model)
{
	struct model_chunk *chunk = &model->chunks[draw(model, CHUNKS)];

	switch (draw(model, 16)) {
	case 0: case 1: case 2:
		do_add(model);
		break;
	case 3:
		close_chunk(model, chunk);
		break;
	case 4: case 5: case 6:
		remove_chunk(model, chunk);
		break;
	case 7: case 8:
		do_impossible_alloc(model);
		break;
	case 9: case 10:
		do_foreign_free(model);
		break;
	case 11: case 12: case 13:
		do_check(model);
		break;
	default:
		model->fill = draw(model, 100);
		break;
	}
}

/**
 * model_step - do one operation
 * @model: the model
 */
void model_step(struct model *model)
{
	unsigned int what = draw(model, 256);

	model->steps++;
	shim_set_cpu(what % CPUS);
	if (what < 2)
		do_rare(model);
	else if (what < 20)
		do_bad_free(model);
	else if (draw(model, 100) >= model->fill)
		do_free(model);
	else if (what < 130)
		do_alloc(model);
	else if (what < 220)
		do_alloc_list(model);
	else
		do_alloc_aligned(model);
}

/**
 * model_create - make a pool and a model of the pool
 * @draw: draws the numbers that decide the operations
 * @data: for @draw
 * @max_pages: largest chunk
 *
 * Return: the model.
 */
struct model *model_create(model_draw_t draw, void *data,
			   unsigned int max_pages)
{
	struct model *model = calloc(1, sizeof(*model));

	model->draw = draw;
	model->data = data;
	model->max_pages = max_pages;
	model->fill = 60;
	model->pool = p2pdma_pool_create();
	do_add(model);
	return model;
}

/**
 * model_destroy - free all pages, and free a model
 * @model: the model
 */
void model_destroy(struct model *model)
{
	struct model_chunk *chunk;

	for (chunk = model->chunks; chunk < model->chunks + CHUNKS; chunk++)
		close_chunk(model, chunk);
	do_check(model);
	for (chunk = model->chunks; chunk < model->chunks + CHUNKS; chunk++)
		free_chunk(model, chunk);
	do_check(model);
	for (chunk = model->chunks; chunk < model->chunks + CHUNKS; chunk++)
		remove_chunk(model, chunk);
	p2pdma_pool_destroy(model->pool);
	free(model);
}
