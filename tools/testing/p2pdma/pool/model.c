// SPDX-License-Identifier: GPL-2.0
/*
 * The pool side by side with a naive model of it, see model.h
 *
 * The model has a byte for every page. It knows nothing of words, promises and trees, and answers
 * every question by looking at all bytes. Allocations that the pool refuses are checked for being
 * impossible, those that it makes for being of pages that were free, in an open chunk, aligned.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shim.h>

#include "inside.h"
#include "model.h"

#define CHUNKS		4
#define RUNS		4096
#define CPUS		4

/* The pool only computes with addresses; nothing stands there. Chunks do not touch each other. */
#define FIRST_ADDR	0x100000000UL
#define CHUNK_DISTANCE	0x40000000UL

struct model_chunk {
	struct p2pdma_chunk *chunk;
	struct completion idle;
	unsigned long addr;
	unsigned int pages;
	unsigned int held_pages;
	bool open;
	unsigned char *held;
};

/* What was allocated and not freed yet; whole allocations or what is left of them. */
struct run {
	struct model_chunk *chunk;
	unsigned int first, nr;
};

struct model {
	struct p2pdma_pool *pool;
	model_draw_t draw;
	void *data;
	unsigned int max_pages;
	unsigned int fill;		/* percentage of allocations among the operations */
	unsigned long steps;
	struct model_chunk chunks[CHUNKS];
	struct run runs[RUNS];
	unsigned int nr_runs;
	unsigned int held, peak;
};

/* Says what should be, and what is instead, and ends the program. */
#define expect(model, cond, text, args...) do {						\
	if (!(cond)) {									\
		fprintf(stderr, "# %s:%d: expected %s: " text "\n", __FILE__, __LINE__,	\
			#cond, ##args);							\
		fail(model);								\
	}										\
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

/* ---- what the model knows ----------------------------------------------------------------- */

static struct model_chunk *chunk_at(struct model *model, unsigned long addr)
{
	unsigned int i;

	for (i = 0; i < CHUNKS; i++)
		if (model->chunks[i].chunk &&
		    addr - model->chunks[i].addr < model->chunks[i].pages * PAGE_SIZE)
			return &model->chunks[i];
	return NULL;
}

static bool all_held(const struct model_chunk *chunk, unsigned int first, unsigned int nr)
{
	return nr && nr <= chunk->pages - first && !memchr(chunk->held + first, 0, nr);
}

static bool all_free(const struct model_chunk *chunk, unsigned int first, unsigned int nr)
{
	return nr && nr <= chunk->pages - first && !memchr(chunk->held + first, 1, nr);
}

/* The longest free run that can be aligned so, no longer than @limit. */
static unsigned int longest_in(const struct model_chunk *chunk, unsigned int limit,
			       unsigned long align)
{
	unsigned int first = 0, best = 0, end;
	unsigned char *next;

	while (first < chunk->pages && best < limit) {
		if (chunk->held[first] || (chunk->addr + first * PAGE_SIZE) % align) {
			first++;
			continue;
		}
		next = memchr(chunk->held + first, 1, chunk->pages - first);
		end = next ? next - chunk->held : chunk->pages;
		best = max(best, end - first);
		first = align > PAGE_SIZE ? first + 1 : end;
	}
	return min(best, limit);
}

static unsigned int longest(struct model *model, unsigned int limit, unsigned long align)
{
	unsigned int i, best = 0;

	for (i = 0; i < CHUNKS; i++)
		if (model->chunks[i].open)
			best = max(best, longest_in(&model->chunks[i], limit, align));
	return best;
}

static void mark(struct model *model, struct model_chunk *chunk, unsigned int first,
		 unsigned int nr, bool held)
{
	memset(chunk->held + first, held, nr);
	chunk->held_pages += held ? nr : -nr;
	model->held += held ? nr : -nr;
	model->peak = max(model->peak, model->held);
}

static void check_idle(struct model *model, const struct model_chunk *chunk)
{
	unsigned int want = chunk->chunk && !chunk->open && !chunk->held_pages;

	expect(model, chunk->idle.done == want, "idle completed %u times with %u pages held",
	       chunk->idle.done, chunk->held_pages);
}

/* ---- allocations -------------------------------------------------------------------------- */

static void remember(struct model *model, void *addr, unsigned int nr, unsigned long align)
{
	struct model_chunk *chunk = chunk_at(model, (unsigned long)addr);
	unsigned int first;

	expect(model, chunk, "%p is in no chunk", addr);
	expect(model, chunk->open, "%p is in a closed chunk", addr);
	expect(model, (unsigned long)addr % align == 0, "%p is not aligned to %#lx", addr, align);
	first = ((unsigned long)addr - chunk->addr) >> PAGE_SHIFT;
	expect(model, all_free(chunk, first, nr), "%u pages at %p were not free", nr, addr);
	mark(model, chunk, first, nr, true);
	model->runs[model->nr_runs++] = (struct run) { chunk, first, nr };
}

/* Mostly short runs, sometimes whole words, sometimes anything. */
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

static void do_alloc(struct model *model)
{
	unsigned int nr = draw_pages(model);
	size_t size = nr * PAGE_SIZE - (draw(model, 4) ? 0 : draw(model, PAGE_SIZE));
	void *addr = p2pdma_pool_alloc(model->pool, size);

	if (addr)
		remember(model, addr, nr, PAGE_SIZE);
	else
		expect(model, longest(model, nr, PAGE_SIZE) < nr, "no %u pages, though there are",
		       nr);
}

static void do_alloc_aligned(struct model *model)
{
	unsigned int nr = draw_pages(model);
	size_t align = PAGE_SIZE / 2 << draw(model, 12);
	void *addr = p2pdma_pool_alloc_aligned(model->pool, nr * PAGE_SIZE, align);

	if (addr)
		remember(model, addr, nr, max(align, PAGE_SIZE));
	else
		expect(model, longest(model, nr, align) < nr,
		       "no %u pages aligned to %#zx, though there are", nr, align);
}

static void do_alloc_upto(struct model *model)
{
	unsigned int want = draw_pages(model), best = longest(model, want, PAGE_SIZE);
	size_t size = want * PAGE_SIZE - draw(model, PAGE_SIZE);
	void *addr = p2pdma_pool_alloc_upto(model->pool, &size);

	expect(model, !addr == !best, "%p, though the longest run is of %u pages", addr, best);
	if (!addr)
		return;
	expect(model, size == best * PAGE_SIZE, "%#zx bytes, though there are %u of %u pages", size,
	       best, want);
	remember(model, addr, best, PAGE_SIZE);
}

static void do_impossible_alloc(struct model *model)
{
	static const size_t sizes[] = { 0, SIZE_MAX, SIZE_MAX - PAGE_SIZE, 1UL << 63, 1UL << 45 };
	size_t size = sizes[draw(model, ARRAY_SIZE(sizes))], zero = 0;
	size_t align = draw(model, 2) ? 3 * PAGE_SIZE : 0;

	expect(model, !p2pdma_pool_alloc(model->pool, size), "%#zx bytes", size);
	expect(model, !p2pdma_pool_alloc_aligned(model->pool, size, PAGE_SIZE << draw(model, 40)),
	       "%#zx bytes", size);
	expect(model, !p2pdma_pool_alloc_aligned(model->pool, PAGE_SIZE, align),
	       "aligned to %#zx", align);
	expect(model, !p2pdma_pool_alloc_upto(model->pool, &zero), "zero bytes");
}

/* ---- frees -------------------------------------------------------------------------------- */

static void free_range(struct model *model, struct model_chunk *chunk, unsigned int first,
		       unsigned int nr)
{
	void *addr = (void *)(chunk->addr + first * PAGE_SIZE);
	size_t size = nr * PAGE_SIZE - (draw(model, 4) ? 0 : draw(model, PAGE_SIZE));

	expect(model, p2pdma_pool_free(model->pool, addr, size), "%u pages at %p", nr, addr);
	mark(model, chunk, first, nr, false);
	check_idle(model, chunk);
}

static void do_free(struct model *model)
{
	struct run *run;

	if (!model->nr_runs)
		return;
	run = &model->runs[draw(model, model->nr_runs)];
	free_range(model, run->chunk, run->first, run->nr);
	*run = model->runs[--model->nr_runs];
}

/* A part of a run: what is left before it and behind it becomes two. */
static void do_free_part(struct model *model)
{
	unsigned int start, nr;
	struct run *run, old;

	if (!model->nr_runs || model->nr_runs == RUNS)
		return;
	run = &model->runs[draw(model, model->nr_runs)];
	old = *run;
	start = draw(model, old.nr);
	nr = 1 + draw(model, old.nr - start);
	free_range(model, old.chunk, old.first + start, nr);

	*run = model->runs[--model->nr_runs];
	if (start)
		model->runs[model->nr_runs++] = (struct run) { old.chunk, old.first, start };
	if (start + nr < old.nr)
		model->runs[model->nr_runs++] = (struct run) {
			old.chunk, old.first + start + nr, old.nr - start - nr
		};
}

/* Somewhere, some length: usually that is not allocated, or not all of it. */
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
	expect(model, !p2pdma_pool_free(model->pool, (void *)addr, nr * PAGE_SIZE),
	       "%u pages at %#lx", nr, addr);
}

static void do_foreign_free(struct model *model)
{
	static const unsigned long addrs[] = { 0, PAGE_SIZE, FIRST_ADDR - PAGE_SIZE, -PAGE_SIZE };
	unsigned long addr = addrs[draw(model, ARRAY_SIZE(addrs))];
	struct model_chunk *chunk = &model->chunks[draw(model, CHUNKS)];

	expect(model, !p2pdma_pool_free(model->pool, (void *)addr, PAGE_SIZE), "%#lx", addr);
	if (!chunk->chunk)
		return;
	addr = chunk->addr + chunk->pages * PAGE_SIZE;
	expect(model, !p2pdma_pool_free(model->pool, (void *)addr, PAGE_SIZE), "%#lx", addr);
	expect(model, !p2pdma_pool_free(model->pool, (void *)chunk->addr, 0), "no bytes");
	expect(model, !p2pdma_pool_free(model->pool, (void *)chunk->addr, SIZE_MAX), "all bytes");
}

/* ---- chunks ------------------------------------------------------------------------------- */

static unsigned int draw_chunk_pages(struct model *model)
{
	static const unsigned int sizes[] = { 1, 63, 64, 65, 128, 512, 513, 576 };
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
	int fail_after = draw(model, 8) ? -1 : (int)draw(model, 2);

	if (chunk->chunk)
		return;
	chunk->idle = (struct completion) {};
	chunk->addr = FIRST_ADDR + i * CHUNK_DISTANCE + draw(model, 512) * PAGE_SIZE;
	chunk->pages = pages;
	shim_fail_after = fail_after;
	chunk->chunk = p2pdma_pool_add(model->pool, (void *)chunk->addr, pages * PAGE_SIZE,
				       &chunk->idle);
	shim_fail_after = -1;
	expect(model, !chunk->chunk == (fail_after >= 0), "memory failed after %d", fail_after);
	if (!chunk->chunk)
		return;
	chunk->held = calloc(pages, 1);
	chunk->held_pages = 0;
	chunk->open = true;
}

static void close_chunk(struct model *model, struct model_chunk *chunk)
{
	if (!chunk->open)
		return;
	p2pdma_pool_close(chunk->chunk);
	chunk->open = false;
	check_idle(model, chunk);
}

static void remove_chunk(struct model *model, struct model_chunk *chunk)
{
	if (!chunk->chunk || chunk->open || chunk->held_pages)
		return;
	check_idle(model, chunk);
	p2pdma_pool_remove(chunk->chunk);
	free(chunk->held);
	*chunk = (struct model_chunk) {};
}

/* ---- checks ------------------------------------------------------------------------------- */

static void do_check(struct model *model)
{
	size_t size = 0, available = 0, peak;
	struct model_chunk *chunk;
	unsigned int i;

	for (i = 0; i < CHUNKS; i++) {
		chunk = &model->chunks[i];
		if (!chunk->chunk)
			continue;
		check_idle(model, chunk);
		expect(model, p2pdma_pool_held(chunk->chunk) == chunk->held_pages,
		       "%zu, not %u pages held", p2pdma_pool_held(chunk->chunk),
		       chunk->held_pages);
		size += chunk->open ? chunk->pages : 0;
		available += chunk->open ? chunk->pages - chunk->held_pages : 0;
	}
	expect(model, p2pdma_pool_size(model->pool) == size * PAGE_SIZE, "%#zx, not %#zx",
	       p2pdma_pool_size(model->pool), size * PAGE_SIZE);
	expect(model, p2pdma_pool_available(model->pool) == available * PAGE_SIZE,
	       "%#zx, not %#zx", p2pdma_pool_available(model->pool), available * PAGE_SIZE);
	peak = p2pdma_pool_peak(model->pool) >> PAGE_SHIFT;
	expect(model, peak <= model->peak && peak + CPUS * 64 >= model->peak,
	       "%zu, and the peak was %u pages", peak, model->peak);
	expect(model, inside_check(model->pool), "the pool contradicts itself");
	expect(model, !shim_warnings, "%u warnings", shim_warnings);
}

/* ---- driving ------------------------------------------------------------------------------ */

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
	if (what < 2) {
		do_rare(model);
	} else if (what < 20) {
		do_bad_free(model);
	} else if (draw(model, 100) < model->fill && model->nr_runs < RUNS) {
		if (what < 180)
			do_alloc(model);
		else if (what < 220)
			do_alloc_upto(model);
		else
			do_alloc_aligned(model);
	} else if (what < 180) {
		do_free(model);
	} else {
		do_free_part(model);
	}
}

/**
 * model_create - make a pool and its model
 * @draw: where decisions come from
 * @data: for @draw
 * @max_pages: largest chunk
 *
 * Return: the model.
 */
struct model *model_create(model_draw_t draw, void *data, unsigned int max_pages)
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
 * model_destroy - give everything back and free a model
 * @model: the model
 */
void model_destroy(struct model *model)
{
	unsigned int i;

	for (i = 0; i < CHUNKS; i++)
		close_chunk(model, &model->chunks[i]);
	do_check(model);
	while (model->nr_runs)
		do_free(model);
	do_check(model);
	for (i = 0; i < CHUNKS; i++)
		remove_chunk(model, &model->chunks[i]);
	p2pdma_pool_destroy(model->pool);
	free(model);
}
