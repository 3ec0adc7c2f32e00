// SPDX-License-Identifier: GPL-2.0
/*
 * The pool under threads that stand for CPUs
 *
 * Every page has an owner in a table beside the pool. To allocate is to find zero there, to free
 * is to find oneself; both by atomic exchange, so a page that two got at the same time is seen.
 * Signals stand for interrupts: what they do happens in the middle of what a thread does.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <shim.h>

#include "inside.h"
#include "stress.h"

#define CHUNKS		2
#define CHUNK_PAGES	2048
#define FIRST_ADDR	0x100000000UL
#define CHUNK_DISTANCE	0x10000000UL
#define MINE		24U
#define DEADLINE	60
/* A thread does at least this, should the machine have let it wait until the time was over. */
#define LEAST		1000

struct piece {
	unsigned char *addr;
	unsigned int nr;
};

struct arena {
	const struct stress *stress;
	struct p2pdma_pool *pool;
	struct p2pdma_chunk *chunk[CHUNKS];
	struct completion idle[CHUNKS];
	unsigned long began[CHUNKS];		/* counts opening and closing: odd is open */
	unsigned int owner[CHUNKS][CHUNK_PAGES];
	unsigned int chunks;
	unsigned int pages;
	unsigned int unit;			/* length of runs, where all are of one */
	unsigned int failures;
	bool stop;
	bool finish;
	pthread_barrier_t barrier;
	struct piece shared[MINE];
	unsigned int freed[MINE];
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

/* Ends the test if something is wrong. */
static void expect_that(struct arena *arena, bool holds, int line, const char *text)
{
	if (holds)
		return;
	__atomic_fetch_add(&arena->failures, 1, __ATOMIC_RELAXED);
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

/* ---- owners ------------------------------------------------------------------------------- */

static unsigned int chunk_of(const void *addr)
{
	return ((unsigned long)addr - FIRST_ADDR) / CHUNK_DISTANCE;
}

static unsigned int *owner_of(struct arena *arena, const void *addr)
{
	unsigned long offset = ((unsigned long)addr - FIRST_ADDR) % CHUNK_DISTANCE;

	return &arena->owner[chunk_of(addr)][offset / PAGE_SIZE];
}

static void change_owner(struct arena *arena, const struct piece *piece, unsigned int from,
			 unsigned int to)
{
	unsigned int *owner = owner_of(arena, piece->addr), i;

	for (i = 0; i < piece->nr; i++)
		expect(arena, __atomic_exchange_n(&owner[i], to, __ATOMIC_RELAXED) == from);
}

static bool get(struct worker *worker, unsigned int nr, unsigned int owner, struct piece *piece)
{
	struct arena *arena = worker->arena;

	piece->nr = nr;
	piece->addr = p2pdma_pool_alloc(arena->pool, nr * PAGE_SIZE);
	if (!piece->addr)
		return false;
	change_owner(arena, piece, 0, owner);
	return true;
}

static void put(struct worker *worker, const struct piece *piece, unsigned int owner)
{
	struct arena *arena = worker->arena;

	change_owner(arena, piece, owner, 0);
	expect(arena, p2pdma_pool_free(arena->pool, piece->addr, piece->nr * PAGE_SIZE));
}

/* ---- pools and threads -------------------------------------------------------------------- */

static void open_chunk(struct arena *arena, unsigned int i)
{
	void *addr = (void *)(FIRST_ADDR + i * CHUNK_DISTANCE);

	__atomic_add_fetch(&arena->began[i], 1, __ATOMIC_SEQ_CST);
	arena->idle[i] = (struct completion) {};
	arena->chunk[i] = p2pdma_pool_add(arena->pool, addr, arena->pages * PAGE_SIZE,
					  &arena->idle[i]);
}

static struct arena *arena_create(const struct stress *stress, unsigned int chunks,
				  unsigned int pages)
{
	struct arena *arena = calloc(1, sizeof(*arena));
	unsigned int i;

	arena->stress = stress;
	arena->chunks = chunks;
	arena->pages = pages;
	arena->pool = p2pdma_pool_create();
	for (i = 0; i < chunks; i++)
		open_chunk(arena, i);
	pthread_barrier_init(&arena->barrier, NULL, stress->threads);
	return arena;
}

/* Nothing is allocated any more: the books must be balanced. */
static bool arena_destroy(struct arena *arena)
{
	size_t size = arena->chunks * arena->pages * PAGE_SIZE;
	unsigned int i, failures;

	expect(arena, inside_check(arena->pool));
	expect(arena, p2pdma_pool_size(arena->pool) == size);
	expect(arena, p2pdma_pool_available(arena->pool) == size);
	for (i = 0; i < arena->chunks; i++) {
		p2pdma_pool_close(arena->chunk[i]);
		expect(arena, arena->idle[i].done == 1);
		p2pdma_pool_remove(arena->chunk[i]);
	}
	p2pdma_pool_destroy(arena->pool);
	expect(arena, !shim_warnings);
	failures = arena->failures;
	pthread_barrier_destroy(&arena->barrier);
	free(arena);
	return !failures;
}

/* An interrupt takes and gives back on its own account. */
static void on_interrupt(void)
{
	unsigned int owner = 1000 + self->id;
	struct piece piece;

	self->interrupts++;
	if (get(self, 1 + self->interrupts % 3, owner, &piece))
		put(self, &piece, owner);
}

static void on_signal(int signal)
{
	shim_interrupt();
}

static void worker_begin(struct worker *worker)
{
	self = worker;
	shim_set_cpu(worker->id % SHIM_CPUS);
	shim_online();
	if (worker->arena->stress->interrupts)
		__atomic_store_n(&shim_handler, on_interrupt, __ATOMIC_RELEASE);
}

static void worker_end(struct worker *worker)
{
	__atomic_store_n(&shim_handler, NULL, __ATOMIC_RELEASE);
	while (worker->nr)
		put(worker, &worker->mine[--worker->nr], worker->id + 1);
	shim_offline();
}

static bool goes_on(struct worker *worker)
{
	return !stopped(worker->arena) || worker->operations < LEAST;
}

/* Let time pass, and interrupts come, until the time is over or something is wrong. */
static void supervise(struct arena *arena, struct worker *workers, double seconds)
{
	const struct timespec pause = { .tv_nsec = 50 * 1000 };
	double end = now() + seconds;
	unsigned int i;

	while (now() < end && !stopped(arena)) {
		nanosleep(&pause, NULL);
		for (i = 0; arena->stress->interrupts && i < arena->stress->threads; i++)
			pthread_kill(workers[i].thread, SIGUSR1);
	}
}

static bool run(struct arena *arena, void *(*body)(void *),
		void (*meanwhile)(struct arena *arena, struct worker *workers, double seconds))
{
	unsigned int threads = arena->stress->threads, i;
	struct worker *workers = calloc(threads, sizeof(*workers));
	unsigned long operations = 0, interrupts = 0;

	signal(SIGUSR1, on_signal);
	for (i = 0; i < threads; i++) {
		workers[i].arena = arena;
		workers[i].id = i;
		workers[i].seed = (arena->stress->seed + i + 1) * 0x9e3779b97f4a7c15UL;
		pthread_create(&workers[i].thread, NULL, body, &workers[i]);
	}
	meanwhile(arena, workers, arena->stress->seconds);
	stop(arena);
	for (i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		operations += workers[i].operations;
		interrupts += workers[i].interrupts;
		expect(arena, workers[i].operations >= LEAST);
	}
	printf("# %lu operations, %lu interrupts, %u threads\n", operations, interrupts, threads);
	expect(arena, !arena->stress->interrupts || interrupts);
	free(workers);
	return !arena->failures;
}

/* ---- no page has two owners --------------------------------------------------------------- */

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

/* Give back a part, and keep what is behind it; what is before it goes with it. */
static void put_part(struct worker *worker, struct piece *piece)
{
	struct piece part = { piece->addr, 1 + draw(worker, piece->nr) };

	put(worker, &part, worker->id + 1);
	piece->addr += part.nr * PAGE_SIZE;
	piece->nr -= part.nr;
	if (!piece->nr)
		*piece = worker->mine[--worker->nr];
}

static void *exclusive_body(void *data)
{
	struct worker *worker = data;
	struct piece *piece;

	worker_begin(worker);
	while (goes_on(worker)) {
		if (worker->nr < MINE && draw(worker, 2)) {
			piece = &worker->mine[worker->nr];
			worker->nr += get(worker, draw_pages(worker), worker->id + 1, piece);
		} else if (worker->nr) {
			put_part(worker, &worker->mine[draw(worker, worker->nr)]);
		}
		worker->operations++;
		shim_quiescent();
	}
	worker_end(worker);
	return NULL;
}

/**
 * stress_exclusive - no page has two owners
 * @stress: how to
 *
 * Return: true if it held.
 */
bool stress_exclusive(const struct stress *stress)
{
	struct arena *arena = arena_create(stress, CHUNKS, CHUNK_PAGES);

	run(arena, exclusive_body, supervise);
	return arena_destroy(arena);
}

/* ---- what is free is found ---------------------------------------------------------------- */

/*
 * There are as many runs as all threads together want, and all are of one length, so there is
 * always one more; whatever the others do at this very moment.
 */
static void *capacity_body(void *data)
{
	struct worker *worker = data;
	struct arena *arena = worker->arena;
	unsigned int most = arena->chunks * arena->pages / arena->unit / arena->stress->threads;
	struct piece *piece;

	worker_begin(worker);
	while (goes_on(worker)) {
		if (worker->nr < min(most, MINE) && draw(worker, 8)) {
			piece = &worker->mine[worker->nr];
			if (get(worker, arena->unit, worker->id + 1, piece))
				worker->nr++;
			else
				expect(arena, !"a run that is free is not found");
		} else if (worker->nr) {
			piece = &worker->mine[draw(worker, worker->nr)];
			put(worker, piece, worker->id + 1);
			*piece = worker->mine[--worker->nr];
		}
		worker->operations++;
		shim_quiescent();
	}
	worker_end(worker);
	return NULL;
}

/**
 * stress_capacity - what is free is found
 * @stress: how to; without interrupts, because they need pages too
 *
 * Return: true if it held.
 */
bool stress_capacity(const struct stress *stress)
{
	static const unsigned int units[] = { 1, 32, 64 };
	struct stress part = *stress;
	struct arena *arena;
	bool good = true;
	unsigned int i, chunks;

	part.interrupts = false;
	part.seconds = stress->seconds / ARRAY_SIZE(units) / CHUNKS;
	for (i = 0; i < ARRAY_SIZE(units) * CHUNKS; i++) {
		chunks = 1 + i % CHUNKS;
		arena = arena_create(&part, chunks, 2 * part.threads * units[i / CHUNKS]);
		arena->unit = units[i / CHUNKS];
		run(arena, capacity_body, supervise);
		good &= arena_destroy(arena);
	}
	return good;
}

/* ---- of two frees of the same pages one is refused ---------------------------------------- */

static void share(struct worker *worker)
{
	struct arena *arena = worker->arena;
	static const unsigned int lengths[] = { 1, 7, 64, 100, 128 };
	unsigned int i;

	for (i = 0; i < MINE; i++) {
		arena->freed[i] = 0;
		expect(arena, get(worker, lengths[draw(worker, ARRAY_SIZE(lengths))], 1,
				  &arena->shared[i]));
		change_owner(arena, &arena->shared[i], 1, 0);
	}
}

/* The first thread does what has to be done once, while the others wait at the barrier. */
static void prepare_round(struct worker *worker)
{
	struct arena *arena = worker->arena;
	unsigned int i;

	for (i = 0; worker->operations && i < MINE; i++)
		expect(arena, arena->freed[i] == 1);
	arena->finish = !goes_on(worker);
	if (!arena->finish)
		share(worker);
}

static void *double_free_body(void *data)
{
	struct worker *worker = data;
	struct arena *arena = worker->arena;
	struct piece *piece;
	unsigned int i;

	worker_begin(worker);
	for (;;) {
		if (worker->id == 0)
			prepare_round(worker);
		pthread_barrier_wait(&arena->barrier);
		if (arena->finish)
			break;
		for (i = 0; i < MINE; i++) {
			piece = &arena->shared[i];
			if (p2pdma_pool_free(arena->pool, piece->addr, piece->nr * PAGE_SIZE))
				__atomic_fetch_add(&arena->freed[i], 1, __ATOMIC_RELAXED);
		}
		worker->operations += MINE;
		shim_quiescent();
		pthread_barrier_wait(&arena->barrier);
	}
	worker_end(worker);
	return NULL;
}

/**
 * stress_double_free - of two frees of the same pages one is refused
 * @stress: how to
 *
 * Return: true if it held.
 */
bool stress_double_free(const struct stress *stress)
{
	struct stress part = *stress;
	struct arena *arena;

	part.interrupts = false;
	arena = arena_create(&part, CHUNKS, CHUNK_PAGES);
	run(arena, double_free_body, supervise);
	return arena_destroy(arena);
}

/* ---- closing while others allocate -------------------------------------------------------- */

/* What began after a chunk was closed must not be from there. */
static void *close_body(void *data)
{
	struct worker *worker = data;
	struct arena *arena = worker->arena;
	unsigned long before[CHUNKS];
	struct piece *piece;
	unsigned int i;

	worker_begin(worker);
	while (goes_on(worker)) {
		for (i = 0; i < CHUNKS; i++)
			before[i] = __atomic_load_n(&arena->began[i], __ATOMIC_SEQ_CST);
		if (worker->nr < MINE && draw(worker, 2)) {
			piece = &worker->mine[worker->nr];
			if (get(worker, draw_pages(worker), worker->id + 1, piece)) {
				worker->nr++;
				i = chunk_of(piece->addr);
				expect(arena, before[i] % 2 ||
				       before[i] != __atomic_load_n(&arena->began[i],
								    __ATOMIC_SEQ_CST));
			}
		} else if (worker->nr) {
			put_part(worker, &worker->mine[draw(worker, worker->nr)]);
		}
		worker->operations++;
		shim_quiescent();
	}
	worker_end(worker);
	return NULL;
}

/* Close one chunk after the other, wait until it is idle, take it away, bring it back. */
static void close_chunks(struct arena *arena, struct worker *workers, double seconds)
{
	double end = now() + seconds, deadline;
	unsigned int i = 0, page, rounds = 0;

	while ((now() < end || !rounds) && !stopped(arena)) {
		supervise(arena, workers, 0.002);
		p2pdma_pool_close(arena->chunk[i]);
		__atomic_add_fetch(&arena->began[i], 1, __ATOMIC_SEQ_CST);

		deadline = now() + DEADLINE;
		while (!completion_done(&arena->idle[i]) && now() < deadline)
			supervise(arena, workers, 0.0001);
		expect(arena, completion_done(&arena->idle[i]));
		for (page = 0; page < arena->pages; page++)
			expect(arena, !__atomic_load_n(&arena->owner[i][page], __ATOMIC_RELAXED));
		expect(arena, p2pdma_pool_held(arena->chunk[i]) == 0);
		p2pdma_pool_remove(arena->chunk[i]);
		open_chunk(arena, i);
		i = (i + 1) % CHUNKS;
		rounds++;
	}
	printf("# %u chunks closed\n", rounds);
}

/**
 * stress_close - closing while others allocate
 * @stress: how to
 *
 * Return: true if it held.
 */
bool stress_close(const struct stress *stress)
{
	struct arena *arena = arena_create(stress, CHUNKS, CHUNK_PAGES);

	run(arena, close_body, close_chunks);
	return arena_destroy(arena);
}
