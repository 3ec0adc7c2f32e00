// SPDX-License-Identifier: GPL-2.0
/*
 * The pool under threads that play CPUs
 *
 * A table beside the pool has the owner of each page. An atomic exchange checks
 * the table: an allocation finds 0 there, and a free finds the number of the
 * thread. So a page with two owners is seen. Between any two atomic
 * accesses, another thread may run, or an interrupt that uses the pool, too.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <shim.h>

#include "inside.h"
#include "stress.h"

#define CHUNKS		3
#define CHUNK_PAGES	2048
#define FIRST_ADDR	0x100000000UL
#define CHUNK_DISTANCE	0x10000000UL
#define MINE		96U
#define DEADLINE	60
/* Operations of each thread at least, on a machine of any speed. */
#define LEAST		1000

struct piece {
	unsigned char *addr;
	unsigned int nr;
};

/**
 * struct arena - a pool and its users
 * @stress: the parameters of the test
 * @pool: the pool
 * @chunk: chunks of the pool
 * @freed: completions of the chunks
 * @open: number of times that a chunk was added and closed; odd while open
 * @owner: owner of each page, or 0
 * @count: number of times that each page was allocated less number of frees
 * @pages: number of pages of each chunk
 * @quota: largest number of pages of a thread
 * @interrupts: interrupts use the pool
 * @failures: number of checks that failed
 * @stop: the threads end
 * @finish: the threads end after the next barrier
 * @barrier: for rounds
 * @shared: pages that all threads free
 */
struct arena {
	const struct stress *stress;
	struct p2pdma_pool *pool;
	struct p2pdma_chunk *chunk[CHUNKS];
	struct completion freed[CHUNKS];
	unsigned long open[CHUNKS];
	unsigned int owner[CHUNKS][CHUNK_PAGES];
	int count[CHUNKS][CHUNK_PAGES];
	unsigned int pages[CHUNKS];
	unsigned int quota;
	bool interrupts;
	unsigned int failures;
	bool stop;
	bool finish;
	pthread_barrier_t barrier;
	struct piece shared[MINE];
};

struct worker {
	struct arena *arena;
	pthread_t thread;
	unsigned int id;
	uint64_t seed;
	unsigned long operations;
	unsigned long interrupts;
	struct piece mine[MINE];
	unsigned int nr;
	unsigned int pages;
};

static __thread struct worker *self;

#define expect(arena, cond)	expect_that(arena, cond, __LINE__, #cond)

static void stop(struct arena *arena)
{
	__atomic_store_n(&arena->stop, true, __ATOMIC_RELEASE);
}

static bool stopped(struct arena *arena)
{
	return __atomic_load_n(&arena->stop, __ATOMIC_ACQUIRE);
}

/* End the test if the condition does not hold. */
static void expect_that(struct arena *arena, bool holds, int line,
			const char *text)
{
	if (holds)
		return;
	if (__atomic_fetch_add(&arena->failures, 1, __ATOMIC_RELAXED) < 10)
		fprintf(stderr, "# stress.c:%d: not true: %s\n", line, text);
	stop(arena);
}

static unsigned int draw(struct worker *worker, unsigned int limit)
{
	worker->seed ^= worker->seed << 13;
	worker->seed ^= worker->seed >> 7;
	worker->seed ^= worker->seed << 17;
	return (worker->seed >> 32) % limit;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Owners. */

static unsigned int chunk_of(const void *addr)
{
	return ((unsigned long)addr - FIRST_ADDR) / CHUNK_DISTANCE;
}

static unsigned int page_of(const void *addr)
{
	return ((unsigned long)addr - FIRST_ADDR) % CHUNK_DISTANCE / PAGE_SIZE;
}

static void change_owner(struct arena *arena, const struct piece *piece,
			 unsigned int from, unsigned int to)
{
	unsigned int *owner, i;

	owner = &arena->owner[chunk_of(piece->addr)][page_of(piece->addr)];
	for (i = 0; i < piece->nr; i++)
		expect(arena, __atomic_exchange_n(&owner[i], to,
						  __ATOMIC_RELAXED) == from);
}

static bool free_pages(struct arena *arena, void *addr, unsigned int nr)
{
	guard(rcu)();
	if (self && draw(self, 2))
		return p2pdma_pool_free(arena->pool, addr, nr * PAGE_SIZE);
	return inside_free(arena->pool, addr, nr * PAGE_SIZE);
}

static void *alloc_pages(struct arena *arena, unsigned int nr,
			 unsigned int align)
{
	guard(rcu)();
	if (align > 1)
		return p2pdma_pool_alloc_aligned(arena->pool, nr * PAGE_SIZE,
						 align * PAGE_SIZE);
	return inside_alloc(arena->pool, nr * PAGE_SIZE);
}

static bool get(struct arena *arena, unsigned int nr, unsigned int align,
		unsigned int owner, struct piece *piece)
{
	piece->nr = nr;
	piece->addr = alloc_pages(arena, nr, align);
	if (!piece->addr)
		return false;
	change_owner(arena, piece, 0, owner);
	return true;
}

static void put(struct arena *arena, const struct piece *piece,
		unsigned int owner)
{
	change_owner(arena, piece, owner, 0);
	expect(arena, free_pages(arena, piece->addr, piece->nr));
}

static bool get_mine(struct worker *worker, unsigned int nr, unsigned int align)
{
	if (worker->nr == MINE ||
	    !get(worker->arena, nr, align, worker->id + 1,
		 &worker->mine[worker->nr]))
		return false;
	worker->nr++;
	worker->pages += nr;
	return true;
}

/* Take some of @nr reserved pages. Return the number. */
static unsigned long take(struct worker *worker, unsigned long nr)
{
	struct p2pdma_run runs[P2PDMA_RUNS];
	unsigned long left = nr;
	struct piece *piece;
	unsigned int i, n;

	guard(rcu)();
	n = p2pdma_pool_take(worker->arena->pool, &left, runs);
	for (i = 0; i < n; i++) {
		piece = &worker->mine[worker->nr++];
		piece->nr = runs[i].nr;
		piece->addr = (void *)runs[i].addr;
		worker->pages += piece->nr;
		change_owner(worker->arena, piece, 0, worker->id + 1);
	}
	return n ? nr - left : 0;
}

/* A list: all pages or none, in any number of runs. */
static bool get_list(struct worker *worker, unsigned int nr)
{
	unsigned int mine = worker->nr;
	unsigned long taken;

	if (nr > MINE - worker->nr ||
	    !p2pdma_pool_reserve(worker->arena->pool, nr))
		return false;
	for (; nr; nr -= taken) {
		taken = take(worker, nr);
		if (!taken)
			break;
		shim_quiescent();
	}
	if (!nr)
		return true;
	while (worker->nr > mine) {
		worker->pages -= worker->mine[--worker->nr].nr;
		put(worker->arena, &worker->mine[worker->nr], worker->id + 1);
	}
	return false;
}

/* Free the first pages of a piece, and keep the other pages. */
static void put_part(struct worker *worker)
{
	struct piece *piece = &worker->mine[draw(worker, worker->nr)];
	struct piece part = { piece->addr, 1 + draw(worker, piece->nr) };

	put(worker->arena, &part, worker->id + 1);
	worker->pages -= part.nr;
	piece->addr += part.nr * PAGE_SIZE;
	piece->nr -= part.nr;
	if (!piece->nr)
		*piece = worker->mine[--worker->nr];
}

/* Pools and threads. */

static void open_chunk(struct arena *arena, unsigned int i)
{
	void *addr = (void *)(FIRST_ADDR + i * CHUNK_DISTANCE);

	__atomic_add_fetch(&arena->open[i], 1, __ATOMIC_SEQ_CST);
	arena->freed[i] = (struct completion) {};
	arena->chunk[i] = p2pdma_pool_add(arena->pool, addr,
					  arena->pages[i] * PAGE_SIZE,
					  &arena->freed[i]);
}

/* Close a chunk, wait until all pages are free, and remove the chunk. */
static void close_chunk(struct arena *arena, unsigned int i)
{
	p2pdma_pool_close(arena->chunk[i]);
	__atomic_add_fetch(&arena->open[i], 1, __ATOMIC_SEQ_CST);
	while (p2pdma_pool_held(arena->chunk[i]))
		wait_for_completion(&arena->freed[i]);
	p2pdma_pool_remove(arena->chunk[i]);
	arena->chunk[i] = NULL;
}

/* A chunk of each number of pages up to the first 0. */
static struct arena *arena_create(const struct stress *stress,
				  const unsigned int *pages)
{
	struct arena *arena = calloc(1, sizeof(*arena));
	unsigned int i;

	arena->stress = stress;
	arena->pool = p2pdma_pool_create();
	for (i = 0; i < CHUNKS && pages[i]; i++) {
		arena->pages[i] = pages[i];
		open_chunk(arena, i);
	}
	pthread_barrier_init(&arena->barrier, NULL, stress->threads);
	return arena;
}

/* No page is allocated any more, and every page is available. */
static bool arena_destroy(struct arena *arena)
{
	unsigned int i, failures;
	size_t size = 0;

	for (i = 0; i < CHUNKS; i++)
		if (arena->chunk[i])
			size += arena->pages[i] * PAGE_SIZE;
	expect(arena, inside_check(arena->pool));
	expect(arena, p2pdma_pool_size(arena->pool) == size);
	expect(arena, p2pdma_pool_available(arena->pool) == size);
	for (i = 0; i < CHUNKS; i++) {
		if (!arena->chunk[i])
			continue;
		p2pdma_pool_close(arena->chunk[i]);
		expect(arena, !p2pdma_pool_held(arena->chunk[i]));
		expect(arena, !arena->freed[i].done);
		p2pdma_pool_remove(arena->chunk[i]);
	}
	p2pdma_pool_destroy(arena->pool);
	expect(arena, !shim_warnings);
	failures = arena->failures;
	pthread_barrier_destroy(&arena->barrier);
	free(arena);
	return !failures;
}

/* An interrupt allocates up to three pages, and frees the pages. */
static void on_interrupt(void)
{
	struct arena *arena = self->arena;
	unsigned int owner = 1000 + self->id;
	unsigned int nr = arena->quota ? 1 : 1 + self->interrupts % 3;
	struct piece piece;
	bool good;

	self->interrupts++;
	good = get(arena, nr, 1, owner, &piece);
	/* The quota leaves one page to the interrupts of each thread. */
	expect(arena, good || !arena->quota);
	if (good)
		put(arena, &piece, owner);
}

static void worker_begin(struct worker *worker)
{
	self = worker;
	shim_set_cpu(worker->id % SHIM_CPUS);
	shim_online();
	if (worker->arena->interrupts)
		shim_handler = on_interrupt;
	shim_disturb(worker->seed);
}

static void worker_end(struct worker *worker)
{
	shim_disturb(0);
	while (worker->nr)
		put(worker->arena, &worker->mine[--worker->nr], worker->id + 1);
	shim_offline();
}

/* Between operations: migrate now and then, and let grace periods end. */
static bool goes_on(struct worker *worker)
{
	if (!draw(worker, 4))
		shim_set_cpu(draw(worker, SHIM_CPUS));
	shim_quiescent();
	return !stopped(worker->arena) || worker->operations < LEAST;
}

static void wait_for_end(struct arena *arena, double seconds)
{
	const struct timespec pause = { .tv_nsec = 1000 * 1000 };
	double end = now() + seconds;

	while (now() < end && !stopped(arena))
		nanosleep(&pause, NULL);
}

static bool run(struct arena *arena, void *(*body)(void *),
		void (*meanwhile)(struct arena *arena, double seconds))
{
	unsigned int threads = arena->stress->threads, i;
	struct worker *workers = calloc(threads, sizeof(*workers));
	unsigned long operations = 0, interrupts = 0;

	for (i = 0; i < threads; i++) {
		workers[i].arena = arena;
		workers[i].id = i;
		workers[i].seed = (arena->stress->seed + i + 1) *
				  0x9e3779b97f4a7c15UL;
		pthread_create(&workers[i].thread, NULL, body, &workers[i]);
	}
	meanwhile(arena, arena->stress->seconds);
	stop(arena);
	for (i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		operations += workers[i].operations;
		interrupts += workers[i].interrupts;
		expect(arena, arena->failures || workers[i].operations >= LEAST);
	}
	printf("# %lu operations, %lu interrupts, %u threads\n", operations,
	       interrupts, threads);
	expect(arena, !arena->interrupts || interrupts);
	free(workers);
	return !arena->failures;
}

/* No page has two owners. */

static unsigned int draw_pages(struct worker *worker)
{
	switch (draw(worker, 6)) {
	case 0: case 1: case 2:
		return 1;
	case 3:
		return 1 + draw(worker, 16);
	case 4:
		return 64 * (1 + draw(worker, 3));
	default:
		return 1 + draw(worker, 200);
	}
}

static void get_any(struct worker *worker)
{
	switch (draw(worker, 4)) {
	case 0: case 1:
		get_mine(worker, draw_pages(worker), 1);
		break;
	case 2:
		get_mine(worker, draw_pages(worker), 1 << draw(worker, 8));
		break;
	default:
		get_list(worker, draw_pages(worker));
		break;
	}
}

static void *exclusive_body(void *data)
{
	struct worker *worker = data;

	worker_begin(worker);
	while (goes_on(worker)) {
		if (worker->nr < MINE && draw(worker, 2))
			get_any(worker);
		else if (worker->nr)
			put_part(worker);
		worker->operations++;
	}
	worker_end(worker);
	return NULL;
}

/**
 * stress_exclusive - no page has two owners
 * @stress: parameters
 *
 * Return: true for a pass.
 */
bool stress_exclusive(const struct stress *stress)
{
	const unsigned int pages[CHUNKS] = { CHUNK_PAGES, 1000 };
	struct arena *arena = arena_create(stress, pages);

	arena->interrupts = true;
	run(arena, exclusive_body, wait_for_end);
	return arena_destroy(arena);
}

/*
 * An allocation finds what is free. Each of n threads has at most one n-th of
 * the pages, so every page and every list is there at any time.
 */

static void *capacity_body(void *data)
{
	struct worker *worker = data;
	struct arena *arena = worker->arena;
	unsigned int quota = arena->quota, room;

	worker_begin(worker);
	while (goes_on(worker)) {
		room = min(quota - worker->pages, MINE - worker->nr);
		if (room && draw(worker, 8) > 2) {
			if (draw(worker, 2))
				expect(arena, get_mine(worker, 1, 1));
			else
				expect(arena, get_list(worker,
						       1 + draw(worker, room)));
		} else if (worker->nr) {
			put_part(worker);
		}
		worker->operations++;
	}
	worker_end(worker);
	return NULL;
}

/**
 * struct capacity - a pool for threads with a quota
 * @pages: number of pages of each chunk
 * @spread: number of pages of the first chunk that are free, evenly spread; all
 *	other pages of the chunk stay allocated; 0 for a chunk without such pages
 */
struct capacity {
	unsigned int pages[CHUNKS];
	unsigned int spread;
};

static const struct capacity capacities[] = {
	{ { 3 } }, { { 1, 1, 1 } }, { { 4 } }, { { 63 } }, { { 64 } },
	{ { 65 } }, { { 70 } }, { { 1, 2, 62 } }, { { 66, 66 } },
	{ { 130, 1 } }, { { 700 } }, { { 512 }, 3 }, { { 512, 1 }, 4 },
};

static unsigned int nr_free(const struct capacity *capacity)
{
	return (capacity->spread ?: capacity->pages[0]) + capacity->pages[1] +
	       capacity->pages[2];
}

/* Allocate the first chunk; leave or free pages that are evenly spread. */
static void spread(struct arena *arena, const struct capacity *capacity,
		   bool end)
{
	unsigned int pages = capacity->pages[0], gap, i, n;
	void *addr = (void *)FIRST_ADDR;

	if (!capacity->spread)
		return;
	if (!end)
		expect(arena, alloc_pages(arena, pages, pages) == addr);
	gap = pages / capacity->spread;
	for (i = 0; i < pages; i += n, addr += n * PAGE_SIZE) {
		n = i % gap || i / gap == capacity->spread ? gap - 1 : 1;
		n = min(n, pages - i);
		if (end == !!(i % gap || i / gap == capacity->spread))
			expect(arena, free_pages(arena, addr, n));
	}
}

static bool run_capacity(const struct capacity *capacity, struct arena *arena)
{
	bool good;

	arena->quota = nr_free(capacity) / arena->stress->threads;
	arena->interrupts = arena->quota > 1;
	arena->quota -= arena->interrupts;
	spread(arena, capacity, false);
	good = run(arena, capacity_body, wait_for_end);
	spread(arena, capacity, true);
	return good;
}

/**
 * stress_capacity - every page and every list that is free is found
 * @stress: parameters
 *
 * Return: true for a pass.
 */
bool stress_capacity(const struct stress *stress)
{
	struct stress part = *stress;
	struct arena *arena;
	bool good = true;
	unsigned int i;

	part.seconds = stress->seconds / ARRAY_SIZE(capacities);
	for (i = 0; i < ARRAY_SIZE(capacities); i++) {
		part.threads = min(stress->threads, nr_free(&capacities[i]));
		arena = arena_create(&part, capacities[i].pages);
		run_capacity(&capacities[i], arena);
		good &= arena_destroy(arena);
	}
	return good;
}

/* A chunk of one page, which is allocated, that is closing. */
static void add_closing_chunk(struct arena *arena)
{
	struct piece piece;

	arena->pages[CHUNKS - 1] = 1;
	open_chunk(arena, CHUNKS - 1);
	do {
		expect(arena, get(arena, 1, 1, 1, &piece));
		change_owner(arena, &piece, 1, 0);
	} while (chunk_of(piece.addr) != CHUNKS - 1 && !stopped(arena));
	p2pdma_pool_close(arena->chunk[CHUNKS - 1]);
	expect(arena, p2pdma_pool_held(arena->chunk[CHUNKS - 1]) == 1);
}

static void remove_closing_chunk(struct arena *arena)
{
	struct p2pdma_chunk *chunk = arena->chunk[CHUNKS - 1];

	expect(arena, free_pages(arena, (void *)FIRST_ADDR + (CHUNKS - 1) *
				 CHUNK_DISTANCE, 1));
	expect(arena, arena->freed[CHUNKS - 1].done == 1);
	expect(arena, !p2pdma_pool_held(chunk));
	p2pdma_pool_remove(chunk);
	arena->chunk[CHUNKS - 1] = NULL;
}

/**
 * stress_capacity_closing - as stress_capacity(), beside a closing chunk
 * @stress: parameters
 *
 * The chunk is closing all the time, because a page is not freed.
 *
 * Return: true for a pass.
 */
bool stress_capacity_closing(const struct stress *stress)
{
	static const struct capacity capacity = { { 128 }, 2 };
	struct stress part = *stress;
	struct arena *arena;
	void *addr;

	part.threads = capacity.spread;
	arena = arena_create(&part, capacity.pages);
	addr = alloc_pages(arena, capacity.pages[0], 1);
	expect(arena, addr);
	add_closing_chunk(arena);
	expect(arena, free_pages(arena, addr, capacity.pages[0]));
	run_capacity(&capacity, arena);
	remove_closing_chunk(arena);
	return arena_destroy(arena);
}

/*
 * The second free of a page is refused, unless another thread has allocated the
 * page between. So at any time, each page was allocated once more than freed,
 * or as often.
 */

static void count(struct arena *arena, const struct piece *piece, int change)
{
	int *pages = &arena->count[chunk_of(piece->addr)][page_of(piece->addr)];
	unsigned int i;

	for (i = 0; i < piece->nr; i++)
		__atomic_fetch_add(&pages[i], change, __ATOMIC_RELAXED);
}

/* Runs that are in one word: a free of such a run is refused as a whole. */
static void share(struct worker *worker)
{
	struct arena *arena = worker->arena;
	struct piece *piece;
	unsigned int i;

	for (i = 0; i < MINE; i++) {
		piece = &arena->shared[i];
		piece->nr = 1 << draw(worker, 4);
		piece->addr = alloc_pages(arena, piece->nr, piece->nr);
		expect(arena, piece->addr);
		if (!piece->addr)
			piece->nr = 0;
		else
			count(arena, piece, 1);
	}
}

/* The state of each page agrees with the count. Free every page. */
static void check_drained(struct arena *arena)
{
	unsigned int i, page;
	int held;

	for (i = 0; i < CHUNKS; i++) {
		for (page = 0; page < arena->pages[i]; page++) {
			held = arena->count[i][page];
			arena->count[i][page] = 0;
			expect(arena, held == 0 || held == 1);
			expect(arena, held == free_pages(arena, (void *)
				(FIRST_ADDR + i * CHUNK_DISTANCE +
				 page * PAGE_SIZE), 1));
		}
	}
	expect(arena, inside_check(arena->pool));
}

/* The first thread prepares a round while the others wait at the barrier. */
static void prepare_round(struct worker *worker)
{
	struct arena *arena = worker->arena;

	check_drained(arena);
	arena->finish = !goes_on(worker);
	if (!arena->finish)
		share(worker);
}

static void double_free_round(struct worker *worker)
{
	struct arena *arena = worker->arena;
	struct piece piece;
	unsigned int i;

	for (i = 0; i < MINE; i++) {
		if (arena->shared[i].nr &&
		    free_pages(arena, arena->shared[i].addr,
			       arena->shared[i].nr))
			count(arena, &arena->shared[i], -1);
		piece.nr = 1 + draw(worker, 3);
		piece.addr = draw(worker, 4) ?
			     NULL : alloc_pages(arena, piece.nr, 1);
		if (piece.addr)
			count(arena, &piece, 1);
	}
	worker->operations += MINE;
}

static void *double_free_body(void *data)
{
	struct worker *worker = data;
	struct arena *arena = worker->arena;

	worker_begin(worker);
	for (;;) {
		if (worker->id == 0)
			prepare_round(worker);
		pthread_barrier_wait(&arena->barrier);
		if (arena->finish)
			break;
		double_free_round(worker);
		pthread_barrier_wait(&arena->barrier);
	}
	worker_end(worker);
	return NULL;
}

/**
 * stress_double_free - the second free of a page is refused
 * @stress: parameters
 *
 * Return: true for a pass.
 */
bool stress_double_free(const struct stress *stress)
{
	const unsigned int pages[CHUNKS] = { 1100, 700 };
	struct arena *arena = arena_create(stress, pages);

	run(arena, double_free_body, wait_for_end);
	return arena_destroy(arena);
}

/* Chunks close while threads allocate and free. */

/* An allocation that begins after a chunk has closed gets no page from there. */
static void *close_body(void *data)
{
	struct worker *worker = data;
	struct arena *arena = worker->arena;
	unsigned long before[CHUNKS];
	unsigned int i, nr;

	worker_begin(worker);
	while (goes_on(worker)) {
		for (i = 0; i < CHUNKS; i++)
			before[i] = __atomic_load_n(&arena->open[i],
						    __ATOMIC_SEQ_CST);
		nr = worker->nr;
		if (worker->nr < MINE && draw(worker, 2))
			get_any(worker);
		else if (worker->nr)
			put_part(worker);
		for (; nr < worker->nr; nr++) {
			i = chunk_of(worker->mine[nr].addr);
			expect(arena, before[i] % 2 || before[i] !=
			       __atomic_load_n(&arena->open[i],
					       __ATOMIC_SEQ_CST));
		}
		worker->operations++;
	}
	worker_end(worker);
	return NULL;
}

static void close_chunks(struct arena *arena, double seconds)
{
	double end = now() + seconds;
	unsigned int i = 0, page, rounds = 0;

	while ((now() < end || !rounds) && !stopped(arena)) {
		wait_for_end(arena, 0.002);
		close_chunk(arena, i);
		for (page = 0; page < arena->pages[i]; page++)
			expect(arena, !__atomic_load_n(&arena->owner[i][page],
						       __ATOMIC_RELAXED));
		open_chunk(arena, i);
		i = (i + 1) % 2;
		rounds++;
	}
	printf("# %u chunks closed\n", rounds);
}

/**
 * stress_close - chunks close while threads allocate and free
 * @stress: parameters
 *
 * Return: true for a pass.
 */
bool stress_close(const struct stress *stress)
{
	const unsigned int pages[CHUNKS] = { CHUNK_PAGES, 300 };
	struct arena *arena = arena_create(stress, pages);

	arena->interrupts = true;
	run(arena, close_body, close_chunks);
	return arena_destroy(arena);
}

/*
 * The last frees of a chunk run beside the close and the removal. The first
 * thread closes and removes, and each further thread frees a page.
 */

static void last_frees_round(struct worker *worker)
{
	struct arena *arena = worker->arena;

	if (worker->id == 0) {
		close_chunk(arena, 0);
		expect(arena, !p2pdma_pool_available(arena->pool));
		expect(arena, inside_check(arena->pool));
		return;
	}
	if (draw(worker, 2))
		sched_yield();
	expect(arena, free_pages(arena, (void *)FIRST_ADDR +
				 (worker->id - 1) * 40 * PAGE_SIZE, 1));
}

static void open_round(struct worker *worker)
{
	struct arena *arena = worker->arena;
	unsigned int id, threads = arena->stress->threads;
	void *addr;

	arena->finish = !goes_on(worker);
	arena->pages[0] = threads * 40;
	open_chunk(arena, 0);
	addr = alloc_pages(arena, arena->pages[0], 1);
	expect(arena, addr == (void *)FIRST_ADDR);
	for (id = 1; id < threads; id++)
		expect(arena, free_pages(arena, addr + (id * 40 - 39) *
					 PAGE_SIZE, 39));
	expect(arena, free_pages(arena, addr + (threads - 1) * 40 * PAGE_SIZE,
				 40));
	if (arena->finish)
		for (id = 1; id < threads; id++)
			expect(arena, free_pages(arena, addr + (id - 1) * 40 *
						 PAGE_SIZE, 1));
}

/* Threads that wait at the barrier are offline: no grace period waits. */
static void wait_at_barrier(struct arena *arena)
{
	shim_offline();
	pthread_barrier_wait(&arena->barrier);
	shim_online();
}

static void *last_frees_body(void *data)
{
	struct worker *worker = data;
	struct arena *arena = worker->arena;

	worker_begin(worker);
	for (;;) {
		if (worker->id == 0)
			open_round(worker);
		wait_at_barrier(arena);
		if (arena->finish)
			break;
		last_frees_round(worker);
		worker->operations++;
		wait_at_barrier(arena);
	}
	worker_end(worker);
	return NULL;
}

/**
 * stress_last_frees - the last frees of a chunk beside close and removal
 * @stress: parameters
 *
 * Return: true for a pass.
 */
bool stress_last_frees(const struct stress *stress)
{
	const unsigned int none[CHUNKS] = {};
	struct stress part = *stress;
	struct arena *arena;

	part.threads = max(stress->threads, 3U);
	arena = arena_create(&part, none);
	run(arena, last_frees_body, wait_for_end);
	return arena_destroy(arena);
}
