// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the pool in user space; the result is KTAP
 *
 * Usage: pool_test [--operations N] [--seconds S] [--seed N] [--threads N] [CASE...]
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <shim.h>

#include "inside.h"
#include "model.h"
#include "stress.h"

/* Steps between the end of one model and the beginning of the next. */
#define LIFE		200000

static unsigned long operations = 1000000;
static struct stress how = {
	.threads = 3,
	.seconds = 0.6,
};

/* The model. */

static unsigned int draw_random(void *data, unsigned int limit)
{
	uint64_t *state = data;

	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (*state >> 32) % limit;
}

static bool run_model(unsigned long steps, unsigned int max_pages)
{
	uint64_t state = (how.seed + 1) * 0x9e3779b97f4a7c15UL;
	unsigned long done = 0, life, percent = 0;
	struct model *model;

	while (done < steps) {
		model = model_create(draw_random, &state, max_pages);
		for (life = 0; life < LIFE && done < steps; life++, done++)
			model_step(model);
		model_destroy(model);
		if (steps >= 10000000 && done * 10 / steps > percent) {
			percent = done * 10 / steps;
			printf("# %lu of %lu operations\n", done, steps);
			fflush(stdout);
		}
	}
	return !shim_warnings;
}

/* Small chunks are full and empty again and again. */
static bool model_small(void)
{
	return run_model(operations * 3 / 4, 150);
}

static bool model_medium(void)
{
	return run_model(operations * 2 / 10, 1500);
}

/* Hundreds of words. */
static bool model_large(void)
{
	return run_model(operations / 20, 12000);
}

/* What has no model. */

static bool huge_aligned(struct p2pdma_pool *pool, size_t size)
{
	void *addr = p2pdma_pool_alloc_aligned(pool, size, size);

	return addr && (unsigned long)addr % size == 0 &&
	       p2pdma_pool_free(pool, addr, size);
}

/* The second free of everything is refused. */
static bool huge_frees(struct p2pdma_pool *pool, void *base, size_t size)
{
	guard(rcu)();
	return p2pdma_pool_free(pool, base + size / 2, PAGE_SIZE) &&
	       p2pdma_pool_alloc(pool, PAGE_SIZE) == base + size / 2 &&
	       p2pdma_pool_free(pool, base, size) &&
	       !p2pdma_pool_free(pool, base, size) &&
	       huge_aligned(pool, 1UL << 30);
}

static bool huge_allocs(struct p2pdma_pool *pool, void *base, size_t size)
{
	guard(rcu)();
	return p2pdma_pool_alloc(pool, size) == base &&
	       !p2pdma_pool_available(pool) && !p2pdma_pool_alloc(pool, 1);
}

static bool huge(void)
{
	const size_t size = 64UL << 30;
	struct p2pdma_pool *pool = p2pdma_pool_create();
	struct completion freed = {};
	void *base = (void *)0x1000000000;
	struct p2pdma_chunk *chunk;
	bool good;

	chunk = p2pdma_pool_add(pool, base, size, &freed);
	good = huge_allocs(pool, base, size) && huge_frees(pool, base, size) &&
	       inside_check(pool);
	p2pdma_pool_close(chunk);
	good = good && !p2pdma_pool_held(chunk);
	p2pdma_pool_remove(chunk);
	p2pdma_pool_destroy(pool);
	return good;
}

/* Every allocation of memory fails once, and no memory is lost. */
static bool no_memory(void)
{
	struct p2pdma_chunk *chunk = NULL;
	struct completion freed = {};
	struct p2pdma_pool *pool;
	int failures;
	bool good;

	shim_fail_after = 0;
	good = !p2pdma_pool_create();
	pool = p2pdma_pool_create();
	for (failures = 0; !chunk; failures++) {
		good = good && !p2pdma_pool_size(pool) &&
		       !p2pdma_pool_available(pool);
		shim_fail_after = failures;
		chunk = p2pdma_pool_add(pool, (void *)PAGE_SIZE, PAGE_SIZE,
					&freed);
	}
	shim_fail_after = -1;
	good = good && failures > 2 &&
	       p2pdma_pool_available(pool) == PAGE_SIZE;
	p2pdma_pool_close(chunk);
	good = good && !p2pdma_pool_held(chunk);
	p2pdma_pool_remove(chunk);
	p2pdma_pool_destroy(pool);
	p2pdma_pool_destroy(NULL);
	return good;
}

static bool exclusive(void)
{
	return stress_exclusive(&how);
}

static bool capacity(void)
{
	return stress_capacity(&how);
}

static bool capacity_closing(void)
{
	return stress_capacity_closing(&how);
}

static bool double_free(void)
{
	return stress_double_free(&how);
}

static bool closing(void)
{
	return stress_close(&how);
}

static bool last_frees(void)
{
	return stress_last_frees(&how);
}

/* Results. */

static const struct {
	const char *name;
	bool (*run)(void);
} cases[] = {
	{ "model_small", model_small },
	{ "model_medium", model_medium },
	{ "model_large", model_large },
	{ "huge", huge },
	{ "no_memory", no_memory },
	{ "threads_exclusive", exclusive },
	{ "threads_capacity", capacity },
	{ "threads_capacity_closing", capacity_closing },
	{ "threads_double_free", double_free },
	{ "threads_closing", closing },
	{ "threads_last_frees", last_frees },
};

static bool wanted(const char *name, char **names)
{
	bool any = !*names;

	for (; *names; names++)
		any |= !strcmp(*names, name);
	return any;
}

static bool known(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		if (!strcmp(cases[i].name, name))
			return true;
	fprintf(stderr, "pool_test: there is no case %s\n", name);
	return false;
}

/* Returns the names of the cases to run, none for all of them; or NULL if anything is wrong. */
static char **parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "operations", required_argument, NULL, 'o' },
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' },
		{ "threads", required_argument, NULL, 't' },
		{}
	};
	char **names;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'o')
			operations = strtoul(optarg, NULL, 0);
		else if (option == 's')
			how.seconds = strtod(optarg, NULL);
		else if (option == 'r')
			how.seed = strtoul(optarg, NULL, 0);
		else if (option == 't')
			how.threads = strtoul(optarg, NULL, 0);
		else
			return NULL;
	}
	if (operations < 20 || how.seconds <= 0 || how.threads < 2 || how.threads > SHIM_CPUS)
		return NULL;
	for (names = argv + optind; *names; names++)
		if (!known(*names))
			return NULL;
	return argv + optind;
}

int main(int argc, char **argv)
{
	unsigned int i, number = 0, count = 0;
	bool good, all = true;
	char **names;

	how.seed = time(NULL);
	names = parse(argc, argv);
	if (!names) {
		fprintf(stderr, "usage: pool_test [--operations N] [--seconds S] [--seed N] ");
		fprintf(stderr, "[--threads 2-%u] [CASE...]\n", SHIM_CPUS);
		return 2;
	}
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		count += wanted(cases[i].name, names);
	printf("KTAP version 1\n1..%u\n# seed %lu\n", count, (unsigned long)how.seed);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		if (!wanted(cases[i].name, names))
			continue;
		fflush(stdout);
		good = cases[i].run();
		all &= good;
		printf("%s %u %s\n", good ? "ok" : "not ok", ++number, cases[i].name);
	}
	return !all;
}
