// SPDX-License-Identifier: GPL-2.0
/*
 * Compare p2pdma-route.c with the model of the rules over random hierarchies.
 *
 * Prints KTAP. A disagreement is made as small as possible, and shown with a
 * drawing of the hierarchy, both answers, and the seed.
 */

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "p2pdma-hosts.h"
#include "world.h"

#define REASONS	(P2PDMA_REASON_ADDRESS + 1)
#define EFFECTS	(P2PDMA_PORT_DENIED + 1)
#define TYPES	(PCI_P2PDMA_MAP_THRU_HOST_BRIDGE + 1)

/**
 * struct run - parameters and results of a run
 * @seed: seed of all hierarchies
 * @count: number of hierarchies to compare
 * @limits: largest size of a hierarchy
 * @draw: draw the hierarchies and compare nothing
 * @progress: show the progress on stderr
 * @done: number of hierarchies done
 * @pairs: number of pairs compared
 * @cases: number of KTAP cases reported
 * @failed: number of KTAP cases that failed
 * @reasons: number of answers by reason, for each type
 * @effects: number of answers with each effect on a port
 */
struct run {
	u64 seed;
	u64 count;
	struct p2pdma_model_limits limits;
	bool draw;
	bool progress;
	u64 done;
	u64 pairs;
	int cases;
	int failed;
	u64 reasons[TYPES][REASONS];
	u64 effects[EFFECTS];
};

/**
 * struct dispute - a pair with two different answers
 * @model: the hierarchy
 * @provider: index of the provider
 * @client: index of the client
 */
struct dispute {
	struct p2pdma_model model;
	int provider;
	int client;
};

static void print_comment(struct p2pdma_model_printer *self, const char *text)
{
	(void)self;
	printf("# %s\n", text);
}

static struct p2pdma_model_printer comments = { .line = print_comment };

__printf(3, 4)
static void report(struct run *run, bool ok, const char *format, ...)
{
	va_list args;

	run->failed += !ok;
	printf("%s %d ", ok ? "ok" : "not ok", ++run->cases);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void show_progress(struct run *run)
{
	static time_t last;
	time_t now = time(NULL);

	if (!run->progress || now == last)
		return;
	last = now;
	fprintf(stderr, "\r%llu of %llu hierarchies, %llu pairs", run->done, run->count,
		run->pairs);
}

static bool agree(struct world *world, int provider, int client,
		  struct p2pdma_model_verdict *expected, struct p2pdma_model_verdict *actual)
{
	p2pdma_model_route(world->model, provider, client, expected);
	return world_route(world, provider, client, actual) &&
	       p2pdma_model_agree(world->model, expected, actual);
}

static bool disputed(const struct dispute *dispute)
{
	static struct world world;
	struct p2pdma_model_verdict expected, actual;

	world_build(&world, &dispute->model);
	return !agree(&world, dispute->provider, dispute->client, &expected, &actual);
}

static void count_verdict(struct run *run, const struct p2pdma_model *model,
			  const struct p2pdma_model_verdict *verdict)
{
	u8 effects = 0;
	int i;

	run->pairs++;
	run->reasons[verdict->type][verdict->reason]++;
	for (i = 0; i < model->nr; i++)
		effects |= verdict->effects[i];
	for (i = 0; i < EFFECTS; i++)
		run->effects[i] += effects >> i & 1;
}

/*
 * Compare all ordered pairs, up to the first dispute. The model does not know
 * bridges as clients or providers: for bridges, p2pdma_route() has to return
 * without a write outside of the verdict.
 */
static bool compare_all(struct run *run, struct dispute *dispute)
{
	static struct world world;
	const struct p2pdma_model *model = &dispute->model;
	struct p2pdma_model_verdict expected, actual;
	int provider, client;

	world_build(&world, model);
	for (provider = 0; provider < model->nr; provider++) {
		for (client = 0; client < model->nr; client++) {
			if (p2pdma_model_is_bridge(model, provider) ||
			    p2pdma_model_is_bridge(model, client)) {
				world_route(&world, provider, client, &actual);
				continue;
			}
			dispute->provider = provider;
			dispute->client = client;
			if (!agree(&world, provider, client, &expected, &actual))
				return false;
			count_verdict(run, model, &expected);
		}
	}
	return true;
}

static bool depends_on(const struct p2pdma_model *model, int fn, int other)
{
	for (; fn != P2PDMA_MODEL_NONE; fn = model->fn[fn].up)
		if (fn == other || model->fn[fn].pf == other)
			return true;
	return false;
}

static void forget_vf(struct p2pdma_model *model, int fn)
{
	if (model->fn[fn].pf != P2PDMA_MODEL_NONE)
		model->fn[model->fn[fn].pf].nr_vfs--;
}

/* A device with ARI always has a function 0. */
static bool is_needed(const struct p2pdma_model *model, int fn)
{
	int i;

	if (!model->fn[fn].ari || model->fn[fn].number)
		return false;
	for (i = 0; i < model->nr; i++)
		if (model->fn[i].up == model->fn[fn].up && !depends_on(model, i, fn))
			return true;
	return false;
}

/* Remove a function, its virtual functions, and all functions below. */
static bool without_function(const struct dispute *from, int victim, struct dispute *to)
{
	int moved[P2PDMA_MODEL_FUNCTIONS] = {};
	struct p2pdma_model *model = &to->model;
	int i;

	if (is_needed(&from->model, victim))
		return false;
	*to = *from;
	model->nr = 0;
	forget_vf(model, victim);
	for (i = 0; i < from->model.nr; i++) {
		struct p2pdma_model_function *fn = &model->fn[model->nr];

		moved[i] = P2PDMA_MODEL_NONE;
		if (depends_on(&from->model, i, victim))
			continue;
		moved[i] = model->nr++;
		*fn = from->model.fn[i];
		fn->up = fn->up == P2PDMA_MODEL_NONE ? fn->up : moved[fn->up];
		fn->pf = fn->pf == P2PDMA_MODEL_NONE ? fn->pf : moved[fn->pf];
	}
	to->provider = moved[from->provider];
	to->client = moved[from->client];
	return to->provider != P2PDMA_MODEL_NONE && to->client != P2PDMA_MODEL_NONE;
}

#define SIMPLIFICATIONS	19

/* Remove one property of a function. Returns false if nothing changed. */
static bool simplify(struct p2pdma_model_function *fn, int what)
{
	struct p2pdma_model_function old = *fn;

	if (what < 8)
		fn->acs.ctrl &= ~(1 << what);
	else if (what == 8)
		fn->acs = (struct p2pdma_model_acs) {};
	else if (what == 9)
		fn->unreadable = false;
	else if (what == 10)
		fn->policy = P2PDMA_POLICY_AUTO;
	else if (what == 11)
		fn->ats = false;
	else if (what == 12)
		fn->groups = false;
	else if (what == 13)
		fn->group = 0;
	else if (what == 14)
		fn->vendor = 0;
	else if (what == 15)
		fn->iommu = false;
	else if (what == 16)
		fn->mask = 64;
	else if (what == 17)
		fn->untrusted = false;
	else
		fn->port = 0;
	return memcmp(&old, fn, sizeof(old));
}

static bool make_smaller(struct dispute *dispute)
{
	static struct dispute smaller;
	int fn, what;

	for (fn = dispute->model.nr; fn--;) {
		if (without_function(dispute, fn, &smaller) && disputed(&smaller)) {
			*dispute = smaller;
			return true;
		}
		for (what = 0; what < SIMPLIFICATIONS; what++) {
			smaller = *dispute;
			if (simplify(&smaller.model.fn[fn], what) && disputed(&smaller)) {
				*dispute = smaller;
				return true;
			}
		}
	}
	return false;
}

static void show_dispute(struct run *run, u64 seed, struct dispute *dispute)
{
	static struct world world;
	struct p2pdma_model_verdict expected, actual;

	while (make_smaller(dispute))
		continue;
	printf("# hierarchy %llu, seed %#llx, made smaller:\n", run->done, seed);
	p2pdma_model_draw(&dispute->model, &comments);
	printf("# provider #%d, client #%d\n", dispute->provider, dispute->client);
	world_build(&world, &dispute->model);
	agree(&world, dispute->provider, dispute->client, &expected, &actual);
	p2pdma_model_print_verdict(&dispute->model, "the model says", &expected, &comments);
	p2pdma_model_print_verdict(&dispute->model, "p2pdma-route.c says", &actual, &comments);
	printf("# the whole hierarchy: route_test --draw --count 1 --seed %#llx%s\n", seed,
	       run->limits.mock ? " --mock" : "");
}

static bool compare_hierarchies(struct run *run)
{
	static struct dispute dispute;

	for (run->done = 0; run->done < run->count; run->done++) {
		u64 seed = p2pdma_model_seed(run->seed, run->done);

		p2pdma_model_random(&dispute.model, seed, &run->limits);
		if (!compare_all(run, &dispute)) {
			show_dispute(run, seed, &dispute);
			return false;
		}
		show_progress(run);
	}
	return true;
}

static void case_agreement(struct run *run)
{
	bool ok = compare_hierarchies(run);

	if (run->progress)
		fputc('\n', stderr);
	report(run, ok, "agree # %llu hierarchies, %llu pairs", run->done, run->pairs);
}

/*
 * All possible verdicts. A run with too few pairs of a verdict proves nothing
 * about the verdict.
 */
static const struct {
	enum pci_p2pdma_map_type type;
	enum p2pdma_reason reason;
	const char *name;
} verdicts[] = {
	{ PCI_P2PDMA_MAP_BUS_ADDR, P2PDMA_REASON_SELF, "direct: self" },
	{ PCI_P2PDMA_MAP_BUS_ADDR, P2PDMA_REASON_SPEC, "direct: specification" },
	{ PCI_P2PDMA_MAP_BUS_ADDR, P2PDMA_REASON_SAME_DEVICE, "direct: same device" },
	{ PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, P2PDMA_REASON_LISTED, "host bridge: listed" },
	{ PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, P2PDMA_REASON_CPU, "host bridge: CPU" },
	{ PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, P2PDMA_REASON_POLICY, "host bridge: policy" },
	{ PCI_P2PDMA_MAP_NOT_SUPPORTED, P2PDMA_REASON_POLICY, "none: policy" },
	{ PCI_P2PDMA_MAP_NOT_SUPPORTED, P2PDMA_REASON_UNLISTED, "none: unlisted" },
	{ PCI_P2PDMA_MAP_NOT_SUPPORTED, P2PDMA_REASON_SAME_ONLY, "none: same bridge only" },
	{ PCI_P2PDMA_MAP_NOT_SUPPORTED, P2PDMA_REASON_EGRESS, "none: egress control" },
	{ PCI_P2PDMA_MAP_NOT_SUPPORTED, P2PDMA_REASON_UNREADABLE, "none: unreadable" },
	{ PCI_P2PDMA_MAP_NOT_SUPPORTED, P2PDMA_REASON_NO_FORWARDING, "none: no forwarding" },
	{ PCI_P2PDMA_MAP_NOT_SUPPORTED, P2PDMA_REASON_TRANSLATED, "none: translated" },
	{ PCI_P2PDMA_MAP_NOT_SUPPORTED, P2PDMA_REASON_ADDRESS, "none: address limit" },
};

static void case_coverage(struct run *run)
{
	u64 least = run->count / 1000 + 1;
	bool ok = true;
	u64 seen;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(verdicts); i++) {
		seen = run->reasons[verdicts[i].type][verdicts[i].reason];
		printf("# %12llu pairs, %s\n", seen, verdicts[i].name);
		ok = ok && seen >= least;
	}
	for (i = 0; i < EFFECTS; i++)
		ok = ok && run->effects[i] >= least;
	report(run, ok, "cover # each verdict and each effect at least %llu times", least);
}

/* The model has its own list of host bridges: compare all device IDs. */
static void case_known_hosts(struct run *run)
{
	static const u16 vendors[] = { 0x8086, 0x1d17, 0x1ae0, 0x10de, 0x1022, 0x1ae1, 1 };
	static struct p2pdma_model model = { .nr_hosts = 1, .nr = 1 };
	struct p2pdma_model_function *first = &model.fn[0];
	bool ok = true;
	size_t i;
	int id;

	first->up = P2PDMA_MODEL_NONE;
	first->pf = P2PDMA_MODEL_NONE;
	for (i = 0; i < ARRAY_SIZE(vendors); i++) {
		for (id = 0; id <= U16_MAX; id++) {
			first->vendor = vendors[i];
			first->device = id;
			if (p2pdma_model_capability(&model, 0) == p2pdma_known_host(vendors[i], id))
				continue;
			printf("# %04x:%04x: the lists differ\n", vendors[i], id);
			ok = false;
		}
	}
	report(run, ok, "known_hosts");
}

static const struct p2pdma_model_limits mock_limits = P2PDMA_MODEL_MOCK_LIMITS;

static const struct option options[] = {
	{ "count", required_argument, NULL, 'n' },
	{ "draw", no_argument, NULL, 'd' },
	{ "functions", required_argument, NULL, 'f' },
	{ "help", no_argument, NULL, 'h' },
	{ "mock", no_argument, NULL, 'm' },
	{ "seed", required_argument, NULL, 's' },
	{ }
};

static void print_usage(FILE *out)
{
	fputs("usage: route_test [--seed N] [--count N] [--functions N] [--mock] [--draw]\n"
	      "Compare p2pdma-route.c with the model of its rules over random hierarchies.\n\n"
	      "  --seed N       start from this seed (default: one from the clock)\n"
	      "  --count N      so many hierarchies (default: 5000)\n"
	      "  --functions N  of at most so many functions (default: 40)\n"
	      "  --mock         of the kind that the KUnit suite builds\n"
	      "  --draw         draw the hierarchies and compare nothing\n", out);
}

static u64 parse_number(const char *text, u64 most)
{
	char *end;
	u64 value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || strchr(text, '-') || value > most) {
		fprintf(stderr, "route_test: %s: not a number from 0 to %llu\n", text, most);
		exit(2);
	}
	return value;
}

static void parse(struct run *run, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'n':
			run->count = parse_number(optarg, ~0ULL);
			break;
		case 'd':
			run->draw = true;
			break;
		case 'f':
			run->limits.functions = parse_number(optarg, P2PDMA_MODEL_FUNCTIONS);
			break;
		case 'm':
			run->limits = mock_limits;
			break;
		case 's':
			run->seed = parse_number(optarg, ~0ULL);
			break;
		case 'h':
			print_usage(stdout);
			exit(0);
		default:
			print_usage(stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		print_usage(stderr);
		exit(2);
	}
}

static void draw_all(struct run *run)
{
	static struct p2pdma_model model;
	u64 i;

	for (i = 0; i < run->count; i++) {
		u64 seed = p2pdma_model_seed(run->seed, i);

		printf("# seed %#llx\n", seed);
		p2pdma_model_random(&model, seed, &run->limits);
		p2pdma_model_draw(&model, &comments);
	}
}

int main(int argc, char **argv)
{
	struct run run = {
		.seed = time(NULL),
		.count = 5000,
		.limits = { .functions = 40, .depth = 3 },
		.progress = isatty(STDERR_FILENO),
	};

	parse(&run, argc, argv);
	if (run.draw) {
		draw_all(&run);
		return 0;
	}
	printf("KTAP version 1\n1..3\n# seed %#llx\n", run.seed);
	case_known_hosts(&run);
	case_agreement(&run);
	case_coverage(&run);
	return run.failed ? 1 : 0;
}
