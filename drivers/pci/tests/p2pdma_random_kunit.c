// SPDX-License-Identifier: GPL-2.0
/*
 * Random hierarchies: p2pdma_route() against the model of the route rules
 *
 * tools/testing/p2pdma/unit/route compares p2pdma_route() with the model in
 * user space, on structures of the test. Here the PCI core enumerates every
 * hierarchy, so paths, virtual functions, ARI ports, host bridges, policies and
 * capabilities come from the kernel. Enumeration takes most of the time. The
 * suite therefore has fewer hierarchies, and changes the access control of
 * every hierarchy several times.
 *
 * A disagreement prints the hierarchy and the seed. To run the hierarchy alone:
 *
 *	p2pdma_random_kunit.seed=0x1234 p2pdma_random_kunit.hierarchies=1
 */

#include <kunit/static_stub.h>
#include <kunit/test-bug.h>
#include <kunit/test.h>

#include <linux/moduleparam.h>
#include <linux/pci-ats.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "../p2pdma-private.h"
#include "mock_pci.h"
#include "p2pdma_kunit.h"
#include "p2pdma_model.h"

/* Hierarchies in a case: KUnit frees allocations only at the end of a case. */
#define RANDOM_PER_CASE	5

/* Number of changes to the access control of a hierarchy. */
#define RANDOM_SHAKES	9

static unsigned long long random_seed = 1;
module_param_named(seed, random_seed, ullong, 0444);
MODULE_PARM_DESC(seed, "of the random hierarchies");

static unsigned int random_hierarchies = 25;
module_param_named(hierarchies, random_hierarchies, uint, 0444);
MODULE_PARM_DESC(hierarchies, "how many random hierarchies to compare");

/**
 * struct random_case - state of a case
 * @test: the case
 * @printer: prints to the log of @test
 * @model: the hierarchy for the model
 * @rows: the hierarchy for the mock: host bridges first, then all functions
 *	except virtual functions
 * @nr_rows: number of rows
 * @row_of: by function in @model: row of the function, for a virtual function
 *	row of the physical function
 * @vf_of: by function in @model: number of the virtual function
 * @dev: by function in @model: the function in the PCI core
 * @mock: the hierarchy in the PCI core
 * @exporter: function in @model with peer memory, or %P2PDMA_MODEL_NONE
 * @buf: dma-buf of @exporter, or NULL in a kernel without dma-bufs
 */
struct random_case {
	struct kunit *test;
	struct p2pdma_model_printer printer;
	struct p2pdma_model model;
	struct mock_pci_row rows[P2PDMA_MODEL_HOSTS + P2PDMA_MODEL_FUNCTIONS];
	unsigned int nr_rows;
	unsigned int row_of[P2PDMA_MODEL_FUNCTIONS];
	unsigned int vf_of[P2PDMA_MODEL_FUNCTIONS];
	struct pci_dev *dev[P2PDMA_MODEL_FUNCTIONS];
	struct mock_pci *mock;
	int exporter;
	struct dma_buf *buf;
};

static const enum mock_pci_kind mock_kinds[] = {
	[P2PDMA_MODEL_ROOT_PORT] = MOCK_PCI_ROOT_PORT,
	[P2PDMA_MODEL_UPSTREAM] = MOCK_PCI_UPSTREAM,
	[P2PDMA_MODEL_DOWNSTREAM] = MOCK_PCI_DOWNSTREAM,
	[P2PDMA_MODEL_PCIE_TO_PCI] = MOCK_PCI_PCIE_TO_PCI,
	[P2PDMA_MODEL_BRIDGE] = MOCK_PCI_BRIDGE,
	[P2PDMA_MODEL_ENDPOINT] = MOCK_PCI_ENDPOINT,
	[P2PDMA_MODEL_RCIEP] = MOCK_PCI_RCIEP,
	[P2PDMA_MODEL_CONV] = MOCK_PCI_DEVICE_CONV,
};

static struct mock_pci_acs mock_acs(const struct p2pdma_model_acs *from)
{
	struct mock_pci_acs acs = {
		.present = from->present,
		.cap = from->cap,
		.ctrl = from->ctrl,
		.bits = from->bits,
	};

	memcpy(acs.vector, from->vector, sizeof(acs.vector));
	return acs;
}

/* Domains of several host bridges differ above bit 15 only, as VMD's may. */
static struct mock_pci_row mock_host_row(const struct p2pdma_model_host *host,
					 unsigned int nr)
{
	return (struct mock_pci_row) {
		.kind = MOCK_PCI_HOST,
		.domain = 1 + (nr << 16),
		.offset = host->offset,
	};
}

static struct mock_pci_row mock_function_row(const struct random_case *random,
					     int nr)
{
	const struct p2pdma_model_function *fn = &random->model.fn[nr];
	struct mock_pci_row row = {
		.kind = mock_kinds[fn->kind],
		.up = fn->up == P2PDMA_MODEL_NONE ? fn->host :
						    random->row_of[fn->up],
		.devfn = fn->number,
		.vendor = fn->vendor,
		.device = fn->device,
		.port = fn->port,
		.acs = mock_acs(&fn->acs),
		.ari = fn->ari,
		.ari_groups = fn->groups,
		.ats = fn->ats,
		.unreadable = fn->unreadable,
		.total_vfs = fn->nr_vfs,
		.vfs = fn->nr_vfs,
		.vf_offset = fn->vf_offset,
	};
	int i;

	row.acs.wide = p2pdma_model_is_wide(fn);
	/* The virtual functions of one physical function are all alike. */
	for (i = nr + 1; i < random->model.nr; i++)
		if (random->model.fn[i].pf == nr)
			row.vf_acs = mock_acs(&random->model.fn[i].acs);
	return row;
}

/* Give one function memory. The choice depends on the hierarchy only. */
static void choose_exporter(struct random_case *random)
{
	const struct p2pdma_model *model = &random->model;
	int i;

	random->exporter = P2PDMA_MODEL_NONE;
	for (i = 0; i < model->nr; i++)
		if (model->fn[i].kind == P2PDMA_MODEL_ENDPOINT &&
		    model->fn[i].pf == P2PDMA_MODEL_NONE &&
		    !model->fn[i].unreadable && !model->fn[i].vendor &&
		    (random->exporter == P2PDMA_MODEL_NONE || i % 3 == 0))
			random->exporter = i;
	if (random->exporter != P2PDMA_MODEL_NONE)
		random->rows[random->row_of[random->exporter]].bar[0] = SZ_2M;
}

static void make_rows(struct random_case *random)
{
	const struct p2pdma_model *model = &random->model;
	int i, vfs[P2PDMA_MODEL_FUNCTIONS] = {};

	random->nr_rows = 0;
	for (i = 0; i < model->nr_hosts; i++)
		random->rows[random->nr_rows++] =
			mock_host_row(&model->hosts[i], i);
	for (i = 0; i < model->nr; i++) {
		int pf = model->fn[i].pf;

		if (pf == P2PDMA_MODEL_NONE) {
			random->row_of[i] = random->nr_rows;
			random->rows[random->nr_rows++] =
				mock_function_row(random, i);
		} else {
			random->row_of[i] = random->row_of[pf];
			random->vf_of[i] = vfs[pf]++;
		}
	}
}

static const char * const policy_words[] = {
	[P2PDMA_POLICY_AUTO] = "auto",
	[P2PDMA_POLICY_ALLOW] = "allow",
	[P2PDMA_POLICY_DENY] = "deny",
};

static void set_policy(struct random_case *random, unsigned int row,
		       enum p2pdma_policy policy)
{
	const char *word = policy_words[policy];

	if (policy != P2PDMA_POLICY_AUTO)
		KUNIT_ASSERT_EQ(random->test, strlen(word),
				mock_pci_sysfs_write
				(random->test,
				 mock_pci_device(random->mock, row),
				 "p2pdma/policy", word));
}

static void set_up_function(struct random_case *random, int nr)
{
	const struct p2pdma_model_function *fn = &random->model.fn[nr];
	unsigned int row = random->row_of[nr];

	if (fn->pf == P2PDMA_MODEL_NONE)
		random->dev[nr] = mock_pci_dev(random->mock, row);
	else
		random->dev[nr] =
			mock_pci_vf(random->mock, row, random->vf_of[nr]);
	set_policy(random, row, fn->policy);
	if (fn->ats)
		KUNIT_ASSERT_EQ(random->test, 0,
				pci_enable_ats(random->dev[nr], PAGE_SHIFT));
}

/* The policy file of a host bridge appears with the first function below. */
static void set_up_host(struct random_case *random, int nr)
{
	int i;

	for (i = 0; i < random->model.nr; i++)
		if (random->model.fn[i].host == nr)
			break;
	if (i < random->model.nr)
		set_policy(random, nr, random->model.hosts[nr].policy);
}

static void build(struct random_case *random)
{
	int i;

	make_rows(random);
	choose_exporter(random);
	random->mock =
		mock_pci_add(random->test, random->rows, random->nr_rows);
	for (i = 0; i < random->model.nr_hosts; i++)
		set_up_host(random, i);
	for (i = 0; i < random->model.nr; i++)
		set_up_function(random, i);
	random->buf = NULL;
	if (random->exporter == P2PDMA_MODEL_NONE)
		return;
	p2pdma_kunit_provide(random->test, random->dev[random->exporter]);
	random->buf = p2pdma_kunit_export(random->test,
					  random->dev[random->exporter]);
}

/* Copy settings changed by p2pdma_model_shake() to the mock. */
static void shake(struct random_case *random)
{
	struct mock_pci_acs acs;
	int i;

	for (i = 0; i < random->model.nr; i++) {
		const struct p2pdma_model_function *fn = &random->model.fn[i];

		if (fn->pf != P2PDMA_MODEL_NONE)
			continue;
		mock_pci_set_unreadable(random->mock, random->row_of[i],
					fn->unreadable);
		acs = mock_acs(&fn->acs);
		acs.wide = p2pdma_model_is_wide(fn);
		if (acs.present)
			mock_pci_set_acs(random->mock, random->row_of[i], &acs);
	}
}

/**
 * struct effect_collector - records the effects of ports on a route
 * @visitor: callback for each effect
 * @random: case with the ports
 * @verdict: verdict for the effects
 */
struct effect_collector {
	struct p2pdma_port_visitor visitor;
	struct random_case *random;
	struct p2pdma_model_verdict *verdict;
};

static int index_of(const struct random_case *random,
		    const struct pci_dev *pdev)
{
	int i;

	for (i = 0; i < random->model.nr; i++)
		if (random->dev[i] == pdev)
			return i;
	return P2PDMA_MODEL_NONE;
}

static void collect_effect(struct p2pdma_port_visitor *visitor,
			   struct pci_dev *port, enum p2pdma_port_effect effect)
{
	struct effect_collector *collector =
		container_of(visitor, struct effect_collector, visitor);
	int nr = index_of(collector->random, port);

	KUNIT_ASSERT_GE(collector->random->test, nr, 0);
	collector->verdict->effects[nr] |= 1 << effect;
}

static int host_index(const struct random_case *random,
		      const struct pci_host_bridge *host)
{
	int i;

	for (i = 0; i < random->model.nr_hosts; i++)
		if (mock_pci_host(random->mock, i) == host)
			return i;
	return P2PDMA_MODEL_NONE;
}

static void ask_kernel(struct random_case *random, int provider, int client,
		       struct p2pdma_model_verdict *verdict)
{
	struct effect_collector collector = {
		.visitor.visit = collect_effect,
		.random = random,
		.verdict = verdict,
	};
	struct p2pdma_route route;

	*verdict = (struct p2pdma_model_verdict) {};
	p2pdma_route(random->dev[provider], random->dev[client], &route,
		     &collector.visitor);
	verdict->type = route.type;
	verdict->reason = route.reason;
	verdict->redirected = route.redirected;
	verdict->translated = route.translated;
	verdict->distance = route.distance;
	verdict->parent = index_of(random, route.parent);
	verdict->host = host_index(random, route.host);
}

/* The mock has no IOMMU and no narrow DMA masks: ask the model. */
static const struct p2pdma_model_function *model_of(const struct pci_dev *pdev)
{
	const struct random_case *random = kunit_get_current_test()->priv;

	return &random->model.fn[index_of(random, pdev)];
}

static bool client_translated(struct pci_dev *client)
{
	return model_of(client)->iommu;
}

static bool client_untrusted(struct pci_dev *client)
{
	return model_of(client)->iommu && model_of(client)->untrusted;
}

static bool client_reaches(struct pci_dev *client, struct pci_dev *provider)
{
	return model_of(client)->mask >= model_of(provider)->top;
}

/* Attaching to a dma-buf is refused without a route, for the same reason. */
static bool attach_agrees(struct random_case *random, int provider, int client,
			  const struct p2pdma_model_verdict *verdict)
{
	const struct p2pdma_route route = {
		.type = verdict->type,
		.reason = verdict->reason,
	};
	bool none = verdict->type == PCI_P2PDMA_MAP_NOT_SUPPORTED;
	const char *word = none ? p2pdma_reason_word(&route) : NULL;
	const char *reason = NULL;
	int ret;

	if (provider != random->exporter || !random->buf)
		return true;
	ret = p2pdma_kunit_attach(random->buf, random->dev[client], &reason);
	if (ret == (none ? -EREMOTEIO : 0) && !word == !reason &&
	    (!word || !strcmp(word, reason)))
		return true;
	kunit_info(random->test, "%s attaches to %s: error %d (%s), not %s",
		   pci_name(random->dev[client]),
		   pci_name(random->dev[provider]), ret, reason ?: "no word",
		   word ?: "no word");
	return false;
}

static bool compare_pair(struct random_case *random, int provider, int client)
{
	struct p2pdma_model_verdict expected, actual;

	p2pdma_model_route(&random->model, provider, client, &expected);
	ask_kernel(random, provider, client, &actual);
	if (p2pdma_model_agree(&random->model, &expected, &actual))
		return attach_agrees(random, provider, client, &actual);

	kunit_info(random->test, "provider #%d (%s), client #%d (%s)", provider,
		   pci_name(random->dev[provider]), client,
		   pci_name(random->dev[client]));
	p2pdma_model_print_verdict(&random->model, "the model says", &expected,
				   &random->printer);
	p2pdma_model_print_verdict(&random->model, "the kernel says", &actual,
				   &random->printer);
	return false;
}

static bool compare_all(struct random_case *random)
{
	const struct p2pdma_model *model = &random->model;
	int provider, client;

	kunit_activate_static_stub(random->test, p2pdma_cpu_routes,
				   model->cpu_routes ?
				   p2pdma_kunit_cpu_routes :
				   p2pdma_kunit_cpu_does_not_route);
	kunit_activate_static_stub(random->test, p2pdma_client_translated,
				   client_translated);
	kunit_activate_static_stub(random->test, p2pdma_client_untrusted,
				   client_untrusted);
	kunit_activate_static_stub(random->test, p2pdma_client_reaches,
				   client_reaches);
	for (provider = 0; provider < model->nr; provider++) {
		for (client = 0; client < model->nr; client++) {
			if (p2pdma_model_is_bridge(model, provider) ||
			    p2pdma_model_is_bridge(model, client))
				continue;
			if (!compare_pair(random, provider, client))
				return false;
		}
	}
	return true;
}

static void print_line(struct p2pdma_model_printer *printer, const char *text)
{
	kunit_info(container_of(printer, struct random_case, printer)->test,
		   "%s", text);
}

static void compare_hierarchy(struct random_case *random, u64 seed)
{
	static const struct p2pdma_model_limits limits =
		P2PDMA_MODEL_MOCK_LIMITS;
	bool agreed;
	int shakes;

	p2pdma_model_random(&random->model, seed, &limits);
	build(random);
	agreed = compare_all(random);
	for (shakes = 1; agreed && shakes <= RANDOM_SHAKES; shakes++) {
		p2pdma_model_shake(&random->model,
				   p2pdma_model_seed(seed, shakes));
		shake(random);
		agreed = compare_all(random);
	}
	if (!agreed) {
		p2pdma_model_draw(&random->model, &random->printer);
		KUNIT_FAIL(random->test,
			   "seed %#llx: the kernel and the model disagree",
			   seed);
	}
	mock_pci_remove(random->mock);
}

/* A parameter is the number of the case's first hierarchy plus 1; 0 is NULL. */
static const void *random_gen_params(const void *prev, char *desc)
{
	unsigned long first = prev ? (unsigned long)prev + RANDOM_PER_CASE : 1;

	if (first > random_hierarchies)
		return NULL;
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "seed %#llx, from %lu",
		 random_seed, first - 1);
	return (const void *)first;
}

static void random_agrees_with_model(struct kunit *test)
{
	unsigned long nr = (unsigned long)test->param_value - 1;
	unsigned long end =
		min(nr + RANDOM_PER_CASE, (unsigned long)random_hierarchies);
	struct random_case *random =
		kunit_kzalloc(test, sizeof(*random), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, random);
	random->test = test;
	test->priv = random;
	random->printer.line = print_line;
	for (; nr < end; nr++)
		compare_hierarchy(random, p2pdma_model_seed(random_seed, nr));
}

static struct kunit_case random_cases[] = {
	KUNIT_CASE_PARAM_ATTR(random_agrees_with_model, random_gen_params,
			      { .speed = KUNIT_SPEED_SLOW }),
	{}
};

static struct kunit_suite p2pdma_random_suite = {
	.name = "p2pdma_random",
	.test_cases = random_cases,
};

kunit_test_suite(p2pdma_random_suite);

MODULE_DESCRIPTION("KUnit: routes of random hierarchies against a model");
MODULE_LICENSE("GPL");
