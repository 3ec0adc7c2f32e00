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

#if defined(__SANITIZE_THREAD__)
#define CHECKER_MINDS_SIGNALS	1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHECKER_MINDS_SIGNALS	1
#endif
#endif
#ifndef CHECKER_MINDS_SIGNALS
#define CHECKER_MINDS_SIGNALS	0
#endif

static unsigned long operations = 1000000;
static struct stress how = {
	.threads = 2,
	.seconds = 0.6,
	.interrupts = !CHECKER_MINDS_SIGNALS,
};

/* ---- the model ---------------------------------------------------------------------------- */

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

/* Several groups, and a tree of four levels. */
static bool model_large(void)
{
	return run_model(operations / 20, 12000);
}

/* ---- what has no model -------------------------------------------------------------------- */

static bool huge(void)
{
	const size_t size = 64UL << 30;
	struct completion idle = {};
	struct p2pdma_pool *pool = p2pdma_pool_create();
	void *base = (void *)0x1000000000, *all;
	struct p2pdma_chunk *chunk = p2pdma_pool_add(pool, base, size, &idle);
	bool good;

	all = p2pdma_pool_alloc(pool, size);
	good = all == base && !p2pdma_pool_available(pool) && !p2pdma_pool_alloc(pool, 1) &&
	       p2pdma_pool_free(pool, base + size / 2, PAGE_SIZE) &&
	       p2pdma_pool_alloc(pool, PAGE_SIZE) == base + size / 2 &&
	       p2pdma_pool_free(pool, base, size) && !p2pdma_pool_free(pool, base, size) &&
	       p2pdma_pool_alloc_aligned(pool, 1UL << 30, 1UL << 30) == base &&
	       p2pdma_pool_free(pool, base, 1UL << 30) && inside_check(pool);

	p2pdma_pool_close(chunk);
	good = good && completion_done(&idle);
	p2pdma_pool_remove(chunk);
	p2pdma_pool_destroy(pool);
	return good;
}

/* Every allocation of memory fails once, and leaves nothing behind. */
static bool no_memory(void)
{
	struct completion idle = {};
	struct p2pdma_pool *pool;
	bool good = true;
	int i;

	for (i = 0; i < 2; i++) {
		shim_fail_after = i;
		good = good && !p2pdma_pool_create();
	}
	pool = p2pdma_pool_create();
	for (i = 0; i < 2; i++) {
		shim_fail_after = i;
		good = good && !p2pdma_pool_add(pool, (void *)PAGE_SIZE, PAGE_SIZE, &idle);
	}
	good = good && shim_fail_after == -1 && !p2pdma_pool_size(pool) &&
	       !p2pdma_pool_alloc(pool, 1) && !p2pdma_pool_add(pool, (void *)PAGE_SIZE, 0, &idle);
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

static bool double_free(void)
{
	return stress_double_free(&how);
}

static bool closing(void)
{
	return stress_close(&how);
}

/* ---- results ------------------------------------------------------------------------------ */

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
	{ "threads_double_free", double_free },
	{ "threads_closing", closing },
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
