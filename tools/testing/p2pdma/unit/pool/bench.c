// SPDX-License-Identifier: GPL-2.0
/*
 * The pool against lib/genalloc.c, natively
 *
 * Usage: bench [--seconds S] [--json FILE]
 *
 * Each operation runs on both in turn, several times, and the best time of each
 * counts: other load only makes an operation slower. Each thread is bound to a
 * CPU.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <shim.h>

#include "inside.h"
#include <linux/genalloc.h>

#define BASE		0x100000000UL
#define SIZE		(64UL << 20)
#define PAGES		(SIZE / PAGE_SIZE)
#define ROUNDS		5
#define BATCH		512
#define MOST_THREADS	2

/* The two allocators. */

struct allocator {
	const char *name;
	void (*create)(void);
	void (*destroy)(void);
	void *(*alloc)(size_t size);
	void (*free)(void *addr, size_t size);
};

static struct p2pdma_pool *pool;
static struct p2pdma_chunk *chunk;
static struct completion freed;
static struct gen_pool *genpool;

static void pool_create(void)
{
	freed = (struct completion) {};
	pool = p2pdma_pool_create();
	chunk = p2pdma_pool_add(pool, (void *)BASE, SIZE, &freed);
}

static void pool_destroy(void)
{
	p2pdma_pool_close(chunk);
	p2pdma_pool_held(chunk);
	p2pdma_pool_remove(chunk);
	p2pdma_pool_destroy(pool);
}

static void *pool_alloc(size_t size)
{
	return inside_alloc(pool, size);
}

static void pool_free(void *addr, size_t size)
{
	inside_free(pool, addr, size);
}

static void genalloc_create(void)
{
	genpool = gen_pool_create(PAGE_SHIFT, -1);
	gen_pool_add_virt(genpool, BASE, 0, SIZE, -1);
}

static void genalloc_destroy(void)
{
	gen_pool_destroy(genpool);
}

static void *genalloc_alloc(size_t size)
{
	return (void *)gen_pool_alloc(genpool, size);
}

static void genalloc_free(void *addr, size_t size)
{
	gen_pool_free(genpool, (unsigned long)addr, size);
}

static const struct allocator allocators[] = {
	{ "pool", pool_create, pool_destroy, pool_alloc, pool_free },
	{ "genalloc", genalloc_create, genalloc_destroy, genalloc_alloc, genalloc_free },
};

/* Operations. */

static void *pages[PAGES];

static void fill(const struct allocator *allocator)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		pages[i] = allocator->alloc(PAGE_SIZE);
}

/* Free every page, or every @step'th, beginning with number @first. */
static void drain(const struct allocator *allocator, unsigned int first, unsigned int step)
{
	unsigned int i;

	for (i = first; i < PAGES; i += step) {
		if (pages[i])
			allocator->free(pages[i], PAGE_SIZE);
		pages[i] = NULL;
	}
}

static void fill_all_but_one(const struct allocator *allocator)
{
	fill(allocator);
	drain(allocator, PAGES / 2, PAGES);
}

static void fill_every_other(const struct allocator *allocator)
{
	fill(allocator);
	drain(allocator, 0, 2);
}

static void drain_all(const struct allocator *allocator)
{
	drain(allocator, 0, 1);
}

static const struct operation {
	const char *name;
	size_t size;
	unsigned int threads;
	void (*before)(const struct allocator *allocator);
	void (*after)(const struct allocator *allocator);
} operations[] = {
	{ "alloc + free 4 KiB, empty", 4 << 10, 1 },
	{ "alloc + free 64 KiB, empty", 64 << 10, 1 },
	{ "alloc + free 1 MiB, empty", 1 << 20, 1 },
	{ "alloc + free 4 KiB, all but one taken", 4 << 10, 1, fill_all_but_one, drain_all },
	{ "alloc + free 4 KiB, every other taken", 4 << 10, 1, fill_every_other, drain_all },
	{ "fail 8 KiB, every other taken", 8 << 10, 1, fill_every_other, drain_all },
	{ "fail 4 KiB, exhausted", 4 << 10, 1, fill, drain_all },
	{ "alloc + free 4 KiB, empty", 4 << 10, 2 },
	{ "alloc + free 64 KiB, empty", 64 << 10, 2 },
	{ "alloc + free 1 MiB, empty", 1 << 20, 2 },
	{ "alloc + free 4 KiB, every other taken", 4 << 10, 2, fill_every_other, drain_all },
};

/* Measuring. */

struct worker {
	const struct allocator *allocator;
	const struct operation *operation;
	unsigned int cpu;
	double seconds;
	double rate;
	pthread_barrier_t *barrier;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void bind(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % sysconf(_SC_NPROCESSORS_ONLN), &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	shim_set_cpu(cpu);
}

static void *work(void *data)
{
	struct worker *worker = data;
	const struct allocator *allocator = worker->allocator;
	size_t size = worker->operation->size;
	double begin, end, time;
	unsigned long count = 0;
	unsigned int i;
	void *addr;

	bind(worker->cpu);
	shim_online();
	pthread_barrier_wait(worker->barrier);
	begin = now();
	end = begin + worker->seconds;
	do {
		for (i = 0; i < BATCH; i++) {
			addr = allocator->alloc(size);
			if (addr)
				allocator->free(addr, size);
		}
		count += BATCH;
		shim_quiescent();
		time = now();
	} while (time < end);
	worker->rate = count / (time - begin);
	shim_offline();
	return NULL;
}

/* Operations a second of all threads together. */
static double measure(const struct allocator *allocator, const struct operation *operation,
		      double seconds)
{
	struct worker workers[MOST_THREADS];
	pthread_t threads[MOST_THREADS];
	pthread_barrier_t barrier;
	double rate = 0;
	unsigned int i;

	allocator->create();
	if (operation->before)
		operation->before(allocator);
	pthread_barrier_init(&barrier, NULL, operation->threads);
	for (i = 0; i < operation->threads; i++) {
		workers[i] = (struct worker) { allocator, operation, i, seconds, 0, &barrier };
		pthread_create(&threads[i], NULL, work, &workers[i]);
	}
	for (i = 0; i < operation->threads; i++) {
		pthread_join(threads[i], NULL);
		rate += workers[i].rate;
	}
	pthread_barrier_destroy(&barrier);
	if (operation->after)
		operation->after(allocator);
	allocator->destroy();
	return rate;
}

static void compare(const struct operation *operation, double seconds, double best[2])
{
	unsigned int round, i;
	double rate;

	best[0] = 0;
	best[1] = 0;
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < ARRAY_SIZE(allocators); i++) {
			rate = measure(&allocators[i], operation, seconds / ROUNDS / 2);
			best[i] = max(best[i], rate);
		}
	}
}

/* Results. */

static void print_json(FILE *json, const struct operation *operation, const double best[2],
		       bool last)
{
	fprintf(json, "  {\"operation\": \"%s\", \"threads\": %u, ", operation->name,
		operation->threads);
	fprintf(json, "\"pool\": %.0f, \"genalloc\": %.0f, \"ratio\": %.2f}%s\n", best[0],
		best[1], best[0] / best[1], last ? "" : ",");
}

static void run(double seconds, FILE *json)
{
	unsigned int i, count = ARRAY_SIZE(operations);
	double best[2];

	printf("%-40s %7s %10s %10s %7s\n", "million operations a second", "threads",
	       allocators[0].name, allocators[1].name, "ratio");
	if (json)
		fprintf(json, "[\n");
	for (i = 0; i < count; i++) {
		compare(&operations[i], seconds, best);
		printf("%-40s %7u %10.3f %10.3f %7.1f\n", operations[i].name,
		       operations[i].threads, best[0] / 1e6, best[1] / 1e6, best[0] / best[1]);
		fflush(stdout);
		if (json)
			print_json(json, &operations[i], best, i == count - 1);
	}
	if (json)
		fprintf(json, "]\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "json", required_argument, NULL, 'j' },
		{}
	};
	double seconds = 2;
	FILE *json = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's' && strtod(optarg, NULL) > 0) {
			seconds = strtod(optarg, NULL);
		} else if (option == 'j') {
			json = fopen(optarg, "w");
			if (!json) {
				perror(optarg);
				return 1;
			}
		} else {
			fprintf(stderr, "usage: bench [--seconds S] [--json FILE]\n");
			return 2;
		}
	}
	if (sysconf(_SC_NPROCESSORS_ONLN) < MOST_THREADS)
		fprintf(stderr, "bench: fewer than %u CPUs: what two threads do means nothing\n",
			MOST_THREADS);
	run(seconds, json);
	if (json && fclose(json)) {
		perror("bench: JSON");
		return 1;
	}
	return 0;
}
