// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite p2pdma_lifetime: registration, publication, find, teardown
 *
 * Providers are bound to a driver. As on real machines, devres ends a
 * registration when the driver is unbound, or when the function or a bridge
 * above is removed.
 */

#include <kunit/resource.h>
#include <kunit/static_stub.h>
#include <kunit/test.h>

#include <linux/cleanup.h>
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/pgtable.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "../p2pdma-private.h"
#include "mock_pci.h"
#include "p2pdma_kunit.h"

/*
 *	           host bridge
 *	     __________|__________
 *	    |                     |
 *	   RP                    RP2
 *	    |                     |
 *	   USP                   FAR: 2 MiB in BAR 0
 *	 ___|_______________________________
 *	|           |           |           |
 *	DSP0       DSP1        DSP2        DSP3
 *	|           |           |           |
 *	CLIENT      |          NEAR: 2 MiB  NEAR2: 4 MiB
 *	           MEM: 4 MiB in BAR 0,
 *	           2 MiB in BAR 2, I/O in BAR 5
 */
enum {
	HOST, RP, USP, DSP0, DSP1, DSP2, DSP3, CLIENT, MEM, NEAR, NEAR2, RP2,
	FAR, NR
};

static const struct mock_pci_row life_rows[NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[RP] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(1, 0),
		 .acs = MOCK_PCI_ACS(0) },
	[USP] = { .kind = MOCK_PCI_UPSTREAM, .up = RP },
	[DSP0] = { .kind = MOCK_PCI_DOWNSTREAM, .up = USP, .port = 1,
		   .acs = MOCK_PCI_ACS(0) },
	[DSP1] = { .kind = MOCK_PCI_DOWNSTREAM, .up = USP,
		   .devfn = PCI_DEVFN(1, 0), .port = 2,
		   .acs = MOCK_PCI_ACS(0) },
	[DSP2] = { .kind = MOCK_PCI_DOWNSTREAM, .up = USP,
		   .devfn = PCI_DEVFN(2, 0), .port = 3,
		   .acs = MOCK_PCI_ACS(0) },
	[DSP3] = { .kind = MOCK_PCI_DOWNSTREAM, .up = USP,
		   .devfn = PCI_DEVFN(3, 0), .port = 4,
		   .acs = MOCK_PCI_ACS(0) },
	[CLIENT] = { .kind = MOCK_PCI_ENDPOINT, .up = DSP0 },
	[MEM] = { .kind = MOCK_PCI_ENDPOINT, .up = DSP1, .bar[0] = SZ_4M,
		  .bar[2] = SZ_2M, .io_bar = 64 },
	[NEAR] = { .kind = MOCK_PCI_ENDPOINT, .up = DSP2, .bar[0] = SZ_2M },
	[NEAR2] = { .kind = MOCK_PCI_ENDPOINT, .up = DSP3, .bar[0] = SZ_4M },
	[RP2] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(2, 0) },
	[FAR] = { .kind = MOCK_PCI_ENDPOINT, .up = RP2, .bar[0] = SZ_2M },
};

/*
 *	host bridge - SM_RP - SM_MEM, with the BARs of MEM above
 *
 * For cases about a single provider.
 */
enum { SM_HOST, SM_RP, SM_MEM, SM_NR };

static const struct mock_pci_row small_rows[SM_NR] = {
	[SM_HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[SM_RP] = { .kind = MOCK_PCI_ROOT_PORT },
	[SM_MEM] = { .kind = MOCK_PCI_ENDPOINT, .up = SM_RP, .bar[0] = SZ_4M,
		     .bar[2] = SZ_2M, .io_bar = 64 },
};

/* Returns the provider of a small hierarchy, which goes with the test. */
static struct pci_dev *small_add(struct kunit *test)
{
	p2pdma_kunit_no_heaps(test);
	return mock_pci_dev(mock_pci_add(test, small_rows, SM_NR), SM_MEM);
}

static struct mock_pci *life_add(struct kunit *test)
{
	p2pdma_kunit_no_heaps(test);
	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_does_not_route);
	return mock_pci_add(test, life_rows, NR);
}

static bool has_file(struct kunit *test, struct pci_dev *pdev, const char *name)
{
	struct file *file = mock_pci_sysfs_open(test, &pdev->dev, name,
						O_RDONLY);

	if (IS_ERR(file))
		return false;
	mock_pci_sysfs_close(test, file);
	return true;
}

/* Nothing is left of a provider. */
static void expect_nothing(struct kunit *test, struct pci_dev *pdev)
{
	KUNIT_EXPECT_NULL(test, rcu_access_pointer(pdev->p2pdma));
	KUNIT_EXPECT_FALSE(test, pci_has_p2pmem(pdev));
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc(pdev, PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, has_file(test, pdev, "p2pmem/size"));
	KUNIT_EXPECT_FALSE(test, has_file(test, pdev, "p2pmem/allocate"));
	KUNIT_EXPECT_FALSE(test, has_file(test, pdev, "p2pmem"));
}

/* A provider with @size bytes, all free. */
static void expect_all_free(struct kunit *test, struct pci_dev *pdev,
			    size_t size)
{
	struct p2pdma_kunit_mem *mem;

	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "size"), size);
	KUNIT_EXPECT_EQ(test,
			p2pdma_kunit_number(test, pdev, "available"), size);
	KUNIT_EXPECT_TRUE(test, has_file(test, pdev, "p2pmem/allocate"));
	mem = p2pdma_kunit_alloc(test, pdev, SZ_64K);
	KUNIT_ASSERT_NOT_NULL(test, mem);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"),
			size - SZ_64K);
	p2pdma_kunit_free(test, mem);
}

/**
 * struct attempt - registrations that a driver tries in its probe
 * @range: ranges to register
 * @nr: number of ranges
 * @err: result of each registration
 * @between: called before each registration except the first, or NULL
 * @test: passed to @between
 */
struct attempt {
	struct p2pdma_kunit_range range[3];
	unsigned int nr;
	int err[3];
	void (*between)(struct kunit *test);
	struct kunit *test;
};

static int attempt_probe(struct pci_dev *pdev, void *data)
{
	struct attempt *attempt = data;
	unsigned int i;

	for (i = 0; i < attempt->nr; i++) {
		if (i && attempt->between)
			attempt->between(attempt->test);
		attempt->err[i] =
			pci_p2pdma_add_resource(pdev, attempt->range[i].bar,
						attempt->range[i].size,
						attempt->range[i].offset);
	}
	return 0;
}

static void bind_attempt(struct kunit *test, struct pci_dev *pdev,
			 struct attempt *attempt)
{
	attempt->test = test;
	KUNIT_ASSERT_EQ(test, 0, mock_pci_bind(pdev, attempt_probe, attempt));
}

/* Bad ranges */

struct bad_case {
	const char *name;
	struct p2pdma_kunit_range range;
};

static const struct bad_case bad_cases[] = {
	{ "BAR -1", { .bar = -1 } },
	{ "lowest number", { .bar = INT_MIN } },
	{ "expansion ROM", { .bar = PCI_ROM_RESOURCE } },
	{ "BAR of a virtual function", { .bar = PCI_IOV_RESOURCES } },
	{ "BAR 17", { .bar = 17 } },
	{ "highest number", { .bar = INT_MAX } },
	{ "I/O BAR", { .bar = 5 } },
	{ "no BAR there", { .bar = 4 } },
	{ "upper half of a BAR", { .bar = 1 } },
	{ "more than the BAR has", { .bar = 0, .size = SZ_4M + SZ_2M } },
	{ "more than the rest of the BAR",
	  { .bar = 0, .size = SZ_4M, .offset = SZ_2M } },
	{ "offset at the end", { .bar = 0, .offset = SZ_4M } },
	{ "offset beyond the end",
	  { .bar = 0, .size = SZ_2M, .offset = SZ_8M } },
	{ "size and offset wrap to zero",
	  { .bar = 0, .size = SZ_2M, .offset = -(u64)SZ_2M } },
	{ "size and offset wrap into the BAR", { .bar = 0, .size = SZ_4M,
						 .offset = -(u64)SZ_2M } },
	{ "largest size", { .bar = 0, .size = SIZE_MAX, .offset = SZ_2M } },
	{ "largest offset", { .bar = 0, .offset = U64_MAX } },
	{ "size is not aligned", { .bar = 0, .size = SZ_2M + SZ_64K } },
	{ "size is less than a section", { .bar = 0, .size = SZ_64K } },
	{ "offset is not aligned",
	  { .bar = 0, .size = SZ_2M, .offset = SZ_64K } },
	{ "offset is no page", { .bar = 0, .size = SZ_2M, .offset = 1 } },
};

KUNIT_ARRAY_PARAM_DESC(bad, bad_cases, name);

static void register_bad_range(struct kunit *test)
{
	const struct bad_case *c = test->param_value;
	struct pci_dev *pdev = small_add(test);
	struct attempt attempt = { .range = { c->range }, .nr = 1 };

	bind_attempt(test, pdev, &attempt);
	KUNIT_EXPECT_EQ(test, attempt.err[0], -EINVAL);
	expect_nothing(test, pdev);
}

/* A bad range does no harm to a good one. */
static void register_bad_after_good(struct kunit *test)
{
	const struct bad_case *c = test->param_value;
	struct pci_dev *pdev = small_add(test);
	struct attempt attempt = { .range = { { .bar = 2 }, c->range },
				   .nr = 2 };

	bind_attempt(test, pdev, &attempt);
	KUNIT_EXPECT_EQ(test, attempt.err[0], 0);
	KUNIT_EXPECT_EQ(test, attempt.err[1], -EINVAL);
	expect_all_free(test, pdev, SZ_2M);
}

/* The BAR exists, but the PCI core found no address. */
static void register_unassigned_bar(struct kunit *test)
{
	struct mock_pci_row *rows = mock_pci_copy(test, life_rows, NR);
	struct attempt attempt = { .range = { { .bar = 0 } }, .nr = 1 };
	struct mock_pci *mock;
	struct pci_dev *pdev;

	rows[HOST].window = SZ_1G;
	rows[FAR].bar[0] = SZ_4G;
	mock = mock_pci_add(test, rows, NR);
	pdev = mock_pci_dev(mock, FAR);
	bind_attempt(test, pdev, &attempt);
	KUNIT_EXPECT_EQ(test, attempt.err[0], -EINVAL);
	expect_nothing(test, pdev);
}

struct overlap_case {
	const char *name;
	struct p2pdma_kunit_range first;
	struct p2pdma_kunit_range second;
	size_t size;
};

static const struct overlap_case overlap_cases[] = {
	{ "twice the same BAR", { .bar = 0 }, { .bar = 0 }, SZ_4M },
	{ "twice the same half", { 0, SZ_2M, 0 }, { 0, SZ_2M, 0 }, SZ_2M },
	{ "the whole after its first half", { 0, SZ_2M, 0 }, { .bar = 0 },
	  SZ_2M },
	{ "the whole after its second half", { 0, SZ_2M, SZ_2M }, { .bar = 0 },
	  SZ_2M },
	{ "the first half after the whole", { .bar = 0 }, { 0, SZ_2M, 0 },
	  SZ_4M },
	{ "the second half after the whole", { .bar = 0 }, { 0, SZ_2M, SZ_2M },
	  SZ_4M },
};

KUNIT_ARRAY_PARAM_DESC(overlap, overlap_cases, name);

static void register_overlap(struct kunit *test)
{
	const struct overlap_case *c = test->param_value;
	struct pci_dev *pdev = small_add(test);
	struct attempt attempt = { .range = { c->first, c->second }, .nr = 2 };

	bind_attempt(test, pdev, &attempt);
	KUNIT_EXPECT_EQ(test, attempt.err[0], 0);
	KUNIT_EXPECT_EQ(test, attempt.err[1], -EBUSY);
	expect_all_free(test, pdev, c->size);
}

/* Good ranges */

struct good_case {
	const char *name;
	struct p2pdma_kunit_range range[3];
	unsigned int nr;
	size_t size;
};

static const struct good_case good_cases[] = {
	{ "a whole BAR", { { .bar = 0 } }, 1, SZ_4M },
	{ "a whole BAR by its size", { { 0, SZ_4M, 0 } }, 1, SZ_4M },
	{ "the first half", { { 0, SZ_2M, 0 } }, 1, SZ_2M },
	{ "the second half", { { 0, SZ_2M, SZ_2M } }, 1, SZ_2M },
	{ "the rest", { { 0, 0, SZ_2M } }, 1, SZ_2M },
	{ "two halves", { { 0, SZ_2M, 0 }, { 0, SZ_2M, SZ_2M } }, 2, SZ_4M },
	{ "two BARs", { { .bar = 2 }, { .bar = 0 } }, 2, SZ_4M + SZ_2M },
	{ "two BARs, one of them in halves",
	  { { 0, SZ_2M, SZ_2M }, { .bar = 2 }, { 0, SZ_2M, 0 } },
	  3, SZ_4M + SZ_2M },
};

KUNIT_ARRAY_PARAM_DESC(good, good_cases, name);

static void register_ranges(struct kunit *test)
{
	const struct good_case *c = test->param_value;
	struct pci_dev *pdev = small_add(test);
	struct attempt attempt = { .range = { c->range[0], c->range[1],
					      c->range[2] },
				   .nr = c->nr };
	unsigned int i, again;

	for (again = 0; again < 2; again++) {
		bind_attempt(test, pdev, &attempt);
		for (i = 0; i < c->nr; i++)
			KUNIT_EXPECT_EQ(test, attempt.err[i], 0);
		expect_all_free(test, pdev, c->size);
		mock_pci_unbind(pdev);
		expect_nothing(test, pdev);
	}
}

/* Unwind at every step */

static struct pci_p2pdma *no_provider(struct pci_dev *pdev)
{
	return NULL;
}

static int region_fails(struct p2pdma_region *region)
{
	return -EIO;
}

static int file_fails(struct pci_p2pdma *p2pdma)
{
	return -EIO;
}

/**
 * struct step_case - a step of a registration that fails
 * @name: name of the step
 * @step: the function of the step
 * @fails: a function that fails instead
 * @first: result of the first registration of a provider
 * @second: result of the second registration of a provider
 */
struct step_case {
	const char *name;
	void *step;
	void *fails;
	int first;
	int second;
};

/* The second registration creates neither provider nor directory. */
static const struct step_case step_cases[] = {
	{ "create the provider", p2pdma_provider_create, no_provider,
	  -ENOMEM, 0 },
	{ "make pages", p2pdma_region_map, region_fails, -EIO, -EIO },
	{ "create the directory", p2pdma_sysfs_add, file_fails, -EIO, 0 },
	{ "create the file allocate", p2pdma_sysfs_add_allocate, file_fails,
	  -EIO, -EIO },
	{ "arm the teardown", p2pdma_region_arm, region_fails, -EIO, -EIO },
	{ "fill the pool", p2pdma_region_pool, region_fails, -EIO, -EIO },
};

static void step_breaks(struct kunit *test)
{
	const struct step_case *c = test->param_value;

	__kunit_activate_static_stub(test, c->step, c->fails);
}

static void step_works(struct kunit *test)
{
	const struct step_case *c = test->param_value;

	kunit_deactivate_static_stub(test, c->step);
}

KUNIT_ARRAY_PARAM_DESC(step, step_cases, name);

static void unwind_first(struct kunit *test)
{
	const struct step_case *c = test->param_value;
	struct pci_dev *pdev = small_add(test);
	struct attempt attempt = { .range = { { .bar = 0 } }, .nr = 1 };

	step_breaks(test);
	bind_attempt(test, pdev, &attempt);
	step_works(test);
	KUNIT_EXPECT_EQ(test, attempt.err[0], c->first);
	expect_nothing(test, pdev);

	/* Neither unbinding nor a later registration is affected. */
	mock_pci_unbind(pdev);
	bind_attempt(test, pdev, &attempt);
	KUNIT_EXPECT_EQ(test, attempt.err[0], 0);
	expect_all_free(test, pdev, SZ_4M);
}

/* In the same probe: fails, then works. */
static void unwind_and_retry(struct kunit *test)
{
	const struct step_case *c = test->param_value;
	struct pci_dev *pdev = small_add(test);
	struct attempt attempt = {
		.range = { { .bar = 0 }, { .bar = 0 } }, .nr = 2,
		.between = step_works,
	};

	step_breaks(test);
	bind_attempt(test, pdev, &attempt);
	KUNIT_EXPECT_EQ(test, attempt.err[0], c->first);
	KUNIT_EXPECT_EQ(test, attempt.err[1], 0);
	expect_all_free(test, pdev, SZ_4M);
	mock_pci_unbind(pdev);
	expect_nothing(test, pdev);
}

static void unwind_second(struct kunit *test)
{
	const struct step_case *c = test->param_value;
	struct pci_dev *pdev = small_add(test);
	struct attempt attempt = {
		.range = { { .bar = 0 }, { .bar = 2 } }, .nr = 2,
		.between = step_breaks,
	};

	bind_attempt(test, pdev, &attempt);
	step_works(test);
	KUNIT_EXPECT_EQ(test, attempt.err[0], 0);
	KUNIT_EXPECT_EQ(test, attempt.err[1], c->second);
	expect_all_free(test, pdev, c->second ? SZ_4M : SZ_4M + SZ_2M);
	mock_pci_unbind(pdev);
	expect_nothing(test, pdev);
}

/* A probe that fails after a registration undoes the registration. */
static int register_and_fail(struct pci_dev *pdev, void *data)
{
	int err = pci_p2pdma_add_resource(pdev, 0, 0, 0);

	pci_p2pmem_publish(pdev, true);
	return err ?: -ENXIO;
}

static void unwind_probe(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);

	KUNIT_EXPECT_EQ(test, mock_pci_bind(pdev, register_and_fail, NULL),
			-ENXIO);
	expect_nothing(test, pdev);
	p2pdma_kunit_provide(test, pdev);
	expect_all_free(test, pdev, SZ_4M);
}

/* Publication */

static void publish(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	struct attempt attempt = { .range = { { .bar = 0 } }, .nr = 1 };

	/* Without memory there is nothing to publish, now or later. */
	pci_p2pmem_publish(pdev, true);
	KUNIT_EXPECT_FALSE(test, pci_has_p2pmem(pdev));
	bind_attempt(test, pdev, &attempt);
	KUNIT_EXPECT_FALSE(test, pci_has_p2pmem(pdev));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "published"), 0);

	pci_p2pmem_publish(pdev, true);
	KUNIT_EXPECT_TRUE(test, pci_has_p2pmem(pdev));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "published"), 1);
	pci_p2pmem_publish(pdev, false);
	KUNIT_EXPECT_FALSE(test, pci_has_p2pmem(pdev));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "published"), 0);

	/* Unpublished memory can still be allocated. */
	expect_all_free(test, pdev, SZ_4M);
}

static void publish_ends_with_the_driver(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	struct attempt attempt = { .range = { { .bar = 0 } }, .nr = 1 };

	p2pdma_kunit_provide(test, pdev);
	KUNIT_EXPECT_TRUE(test, pci_has_p2pmem(pdev));
	mock_pci_unbind(pdev);
	KUNIT_EXPECT_FALSE(test, pci_has_p2pmem(pdev));
	bind_attempt(test, pdev, &attempt);
	KUNIT_EXPECT_FALSE(test, pci_has_p2pmem(pdev));
}

/* Find */

/* Repeat, because a random order would be right now and then. */
static void expect_found(struct kunit *test, struct device **clients, int nr,
			 struct pci_dev *expected)
{
	struct pci_dev *found;
	unsigned int refs = expected ? kref_read(&expected->dev.kobj.kref) : 0;
	int again;

	for (again = 0; again < 8; again++) {
		found = pci_p2pmem_find_many(clients, nr);
		KUNIT_EXPECT_PTR_EQ(test, found, expected);
		if (found && found == expected)
			KUNIT_EXPECT_EQ(test, kref_read(&found->dev.kobj.kref),
					refs + 1);
		pci_dev_put(found);
	}
}

static void find_published_only(struct kunit *test)
{
	struct mock_pci *mock = life_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;

	expect_found(test, &client, 1, NULL);
	p2pdma_kunit_provide(test, mem);
	expect_found(test, &client, 1, mem);
	expect_found(test, &client, 0, NULL);
	pci_p2pmem_publish(mem, false);
	expect_found(test, &client, 1, NULL);
	pci_p2pmem_publish(mem, true);
	expect_found(test, &client, 1, mem);
	mock_pci_unbind(mem);
	expect_found(test, &client, 1, NULL);
}

static void find_reachable_only(struct kunit *test)
{
	struct mock_pci *mock = life_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *clients[] = {
		&mock_pci_dev(mock, CLIENT)->dev, &mock_pci_dev(mock, FAR)->dev,
		mock_pci_add_child(test, NULL, "mock-stranger"),
	};
	struct device *child = mock_pci_add_child(test, clients[0],
						  "mock-child");

	p2pdma_kunit_provide(test, mem);
	expect_found(test, clients, 1, mem);
	expect_found(test, &child, 1, mem);
	expect_found(test, clients, 2, NULL);
	expect_found(test, clients, 3, NULL);
	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_routes);
	expect_found(test, clients, 2, mem);
	expect_found(test, clients, 3, NULL);
}

/* Memory behind the host bridge is found if there is nothing better. */
static void find_through_host_bridge(struct kunit *test)
{
	const struct mock_pci_acs redirects = MOCK_PCI_ACS(PCI_ACS_RR);
	const struct mock_pci_acs forwards = MOCK_PCI_ACS(PCI_ACS_UF);
	struct mock_pci *mock = life_add(test);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;

	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_routes);
	p2pdma_kunit_provide(test, mock_pci_dev(mock, FAR));
	expect_found(test, &client, 1, mock_pci_dev(mock, FAR));
	p2pdma_kunit_provide(test, mock_pci_dev(mock, NEAR));
	expect_found(test, &client, 1, mock_pci_dev(mock, NEAR));

	/* All routes go through the host bridge: distance decides. */
	mock_pci_set_acs(mock, DSP0, &redirects);
	mock_pci_set_acs(mock, RP, &forwards);
	expect_found(test, &client, 1, mock_pci_dev(mock, NEAR));
}

/*
 *	host bridge - RP - USP -+- DSP0 - F0 (CLIENT), F1 (CLOSE, 2 MiB)
 *	                        +- DSP1 - WIDE, 4 MiB
 *
 * CLOSE is 2 away and WIDE is 4, until CLIENT redirects requests to CLOSE.
 */
enum {
	FD_HOST, FD_RP, FD_USP, FD_DSP0, FD_DSP1, FD_CLIENT, FD_CLOSE, FD_WIDE,
	FD_NR
};

static const struct mock_pci_row find_rows[FD_NR] = {
	[FD_HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[FD_RP] = { .kind = MOCK_PCI_ROOT_PORT,
		    .acs = MOCK_PCI_ACS(PCI_ACS_UF) },
	[FD_USP] = { .kind = MOCK_PCI_UPSTREAM, .up = FD_RP },
	[FD_DSP0] = { .kind = MOCK_PCI_DOWNSTREAM, .up = FD_USP, .port = 1,
		      .acs = MOCK_PCI_ACS(PCI_ACS_UF) },
	[FD_DSP1] = { .kind = MOCK_PCI_DOWNSTREAM, .up = FD_USP,
		      .devfn = PCI_DEVFN(1, 0), .port = 2 },
	[FD_CLIENT] = { .kind = MOCK_PCI_ENDPOINT, .up = FD_DSP0,
			.acs = MOCK_PCI_ACS(0) },
	[FD_CLOSE] = { .kind = MOCK_PCI_ENDPOINT, .up = FD_DSP0, .devfn = 1,
		       .bar[0] = SZ_2M },
	[FD_WIDE] = { .kind = MOCK_PCI_ENDPOINT, .up = FD_DSP1,
		      .bar[0] = SZ_4M },
};

/* Distance counts before free memory, a direct route before distance. */
static void find_by_route_and_distance(struct kunit *test)
{
	struct mock_pci *mock = mock_pci_add(test, find_rows, FD_NR);
	const struct mock_pci_acs redirects = MOCK_PCI_ACS(PCI_ACS_RR);
	struct device *client = &mock_pci_dev(mock, FD_CLIENT)->dev;
	struct pci_dev *close = mock_pci_dev(mock, FD_CLOSE);
	struct pci_dev *wide = mock_pci_dev(mock, FD_WIDE);

	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_routes);
	p2pdma_kunit_provide(test, wide);
	p2pdma_kunit_provide(test, close);
	expect_found(test, &client, 1, close);
	mock_pci_set_acs(mock, FD_CLIENT, &redirects);
	KUNIT_ASSERT_EQ(test, pci_p2pdma_distance(close, client, false), 2);
	KUNIT_ASSERT_EQ(test, pci_p2pdma_distance(wide, client, false), 4);
	expect_found(test, &client, 1, wide);
}

static void find_sums_distances(struct kunit *test)
{
	struct mock_pci *mock = mock_pci_add(test, find_rows, FD_NR);
	struct pci_dev *close = mock_pci_dev(mock, FD_CLOSE);
	struct pci_dev *wide = mock_pci_dev(mock, FD_WIDE);
	struct device *clients[] = {
		&mock_pci_dev(mock, FD_CLIENT)->dev, &wide->dev, &wide->dev,
	};

	/* CLIENT and twice WIDE: 2 + 4 + 4 to CLOSE, 4 + 0 + 0 to WIDE. */
	p2pdma_kunit_provide(test, close);
	p2pdma_kunit_provide(test, wide);
	expect_found(test, clients, 1, close);
	expect_found(test, clients, 3, wide);
}

static void find_by_node(struct kunit *test)
{
	struct mock_pci *mock = life_add(test);
	struct pci_dev *near = mock_pci_dev(mock, NEAR);
	struct pci_dev *near2 = mock_pci_dev(mock, NEAR2);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;

	if (!IS_ENABLED(CONFIG_NUMA))
		kunit_skip(test, "needs CONFIG_NUMA");
	p2pdma_kunit_provide(test, near);
	p2pdma_kunit_provide(test, near2);
	set_dev_node(client, 1);

	/* NEAR has less memory than NEAR2, but the same node as the client. */
	set_dev_node(&near->dev, 1);
	set_dev_node(&near2->dev, 0);
	expect_found(test, &client, 1, near);
	set_dev_node(&near->dev, 0);
	expect_found(test, &client, 1, near2);
	set_dev_node(&near2->dev, 1);
	expect_found(test, &client, 1, near2);
}

static void find_by_free_memory(struct kunit *test)
{
	struct mock_pci *mock = life_add(test);
	struct pci_dev *near = mock_pci_dev(mock, NEAR);
	struct pci_dev *near2 = mock_pci_dev(mock, NEAR2);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	struct p2pdma_kunit_mem *mem;

	p2pdma_kunit_provide(test, near);
	p2pdma_kunit_provide(test, near2);
	expect_found(test, &client, 1, near2);
	mem = p2pdma_kunit_alloc(test, near2, SZ_2M + PAGE_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, mem);
	expect_found(test, &client, 1, near);
	p2pdma_kunit_free(test, mem);
	expect_found(test, &client, 1, near2);
}

/* All equal: the lowest address wins, in any order of registration. */
static void find_is_deterministic(struct kunit *test)
{
	struct mock_pci_row *rows = mock_pci_copy(test, life_rows, NR);
	struct pci_dev *near, *near2;
	struct device *client;
	struct mock_pci *mock;

	rows[NEAR2].bar[0] = SZ_2M;
	mock = mock_pci_add(test, rows, NR);
	near = mock_pci_dev(mock, NEAR);
	near2 = mock_pci_dev(mock, NEAR2);
	client = &mock_pci_dev(mock, CLIENT)->dev;
	p2pdma_kunit_provide(test, near2);
	p2pdma_kunit_provide(test, near);
	expect_found(test, &client, 1, near);
	mock_pci_unbind(near2);
	p2pdma_kunit_provide(test, near2);
	expect_found(test, &client, 1, near);
}

/* Registration after devm_memunmap_pages() */

/* Struct page of page @nr of a registered BAR. */
static struct page *bar_page(struct pci_dev *pdev, int bar, unsigned long nr)
{
	return pfn_to_page(PHYS_PFN(pci_resource_start(pdev, bar)) + nr);
}

/* Register for a driver that is already bound. */
static int add_bar(struct pci_dev *pdev, int bar)
{
	guard(device)(&pdev->dev);
	return pci_p2pdma_add_resource(pdev, bar, 0, 0);
}

/* End a registration like a driver that manages the pages itself. */
static void unmap_bar(struct pci_dev *pdev, int bar)
{
	guard(device)(&pdev->dev);
	devm_memunmap_pages(&pdev->dev, bar_page(pdev, bar, 0)->pgmap);
}

static void bind_empty(struct kunit *test, struct pci_dev *pdev)
{
	struct attempt attempt = { .nr = 0 };

	bind_attempt(test, pdev, &attempt);
}

static void register_after_unmap(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	int again;

	bind_empty(test, pdev);
	for (again = 0; again < 4; again++) {
		KUNIT_ASSERT_EQ(test, add_bar(pdev, 0), 0);
		expect_all_free(test, pdev, SZ_4M);
		unmap_bar(pdev, 0);
	}
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 0), 0);
	mock_pci_unbind(pdev);
	expect_nothing(test, pdev);
}

/* Unbinding finds a region whose pages are gone. */
static void unbind_after_unmap(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);

	bind_empty(test, pdev);
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 0), 0);
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 2), 0);
	unmap_bar(pdev, 2);
	mock_pci_unbind(pdev);
	expect_nothing(test, pdev);
}

static void register_one_of_two_after_unmap(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	int again;

	bind_empty(test, pdev);
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 0), 0);
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 2), 0);
	pci_p2pmem_publish(pdev, true);
	for (again = 0; again < 4; again++) {
		unmap_bar(pdev, again & 2);
		KUNIT_ASSERT_EQ(test, add_bar(pdev, again & 2), 0);
		expect_all_free(test, pdev, SZ_4M + SZ_2M);
		KUNIT_EXPECT_TRUE(test, pci_has_p2pmem(pdev));
	}
}

/* A failed registration leaves the file "allocate" to the other region. */
static void refused_after_unmap(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);

	bind_empty(test, pdev);
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 0), 0);
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 2), 0);
	unmap_bar(pdev, 2);
	KUNIT_EXPECT_EQ(test, add_bar(pdev, 0), -EBUSY);
	expect_all_free(test, pdev, SZ_4M);
}

/* Every page has a struct page of its own, in a region of any size. */
static void pages_are_independent(struct kunit *test)
{
	struct mock_pci_row *rows = mock_pci_copy(test, small_rows, SM_NR);
	const unsigned long nr = SZ_256M >> PAGE_SHIFT;
	unsigned long i, wrong = 0;
	struct pci_dev *pdev;

	rows[SM_MEM].bar[0] = SZ_256M;
	pdev = mock_pci_dev(mock_pci_add(test, rows, SM_NR), SM_MEM);
	bind_empty(test, pdev);
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 0), 0);
	for (i = 0; i < nr; i++)
		wrong += page_ref_count(bar_page(pdev, 0, i)) != 1 ||
			 bar_page(pdev, 0, i)->zone_device_data ||
			 !is_pci_p2pdma_page(bar_page(pdev, 0, i));
	KUNIT_EXPECT_EQ(test, wrong, 0);
	for (i = 0; i < nr; i++)
		page_ref_add(bar_page(pdev, 0, i), i % 251);
	for (i = 0; i < nr; i++) {
		wrong += page_ref_count(bar_page(pdev, 0, i)) != 1 + i % 251;
		page_ref_sub(bar_page(pdev, 0, i), i % 251);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

/* Regions that the driver owns */

/**
 * struct owned_free - the last call of owned_page_free()
 * @page: the page
 * @count: page count at the call
 * @data: zone_device_data at the call
 * @done: completed by the call
 */
static struct owned_free {
	struct page *page;
	int count;
	void *data;
	struct completion done;
} owned_freed;

static void owned_page_free(struct page *page)
{
	owned_freed.page = page;
	owned_freed.count = page_ref_count(page);
	owned_freed.data = page->zone_device_data;
	complete(&owned_freed.done);
}

static int add_owned(struct pci_dev *pdev, int bar)
{
	init_completion(&owned_freed.done);
	guard(device)(&pdev->dev);
	return pci_p2pdma_add_owned(pdev, bar, 0, 0, owned_page_free);
}

static void owned_bad_range(struct kunit *test)
{
	const struct bad_case *c = test->param_value;
	struct pci_dev *pdev = small_add(test);

	bind_empty(test, pdev);
	scoped_guard(device, &pdev->dev)
		KUNIT_EXPECT_EQ(test, -EINVAL,
				pci_p2pdma_add_owned(pdev, c->range.bar,
						     c->range.size,
						     c->range.offset,
						     owned_page_free));
	expect_nothing(test, pdev);
}

static void owned_without_page_free(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);

	bind_empty(test, pdev);
	scoped_guard(device, &pdev->dev)
		KUNIT_EXPECT_EQ(test, -EINVAL,
				pci_p2pdma_add_owned(pdev, 0, 0, 0, NULL));
	expect_nothing(test, pdev);
}

/* Memory of @size bytes that the driver owns, and none in the pool. */
static void expect_owned(struct kunit *test, struct pci_dev *pdev, size_t size)
{
	unsigned int nents;

	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "size"), size);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"), 0);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "reserve"), 0);
	KUNIT_EXPECT_FALSE(test, has_file(test, pdev, "p2pmem/allocate"));
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc(pdev, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_aligned(pdev, 1, SZ_64K));
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl(pdev, &nents, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl_contig(pdev, PAGE_SIZE));
}

static void owned_register(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	unsigned long i, wrong = 0;
	int again;

	for (again = 0; again < 2; again++) {
		bind_empty(test, pdev);
		KUNIT_ASSERT_EQ(test, add_owned(pdev, 0), 0);
		KUNIT_EXPECT_EQ(test, add_owned(pdev, 0), -EBUSY);
		KUNIT_EXPECT_EQ(test, add_bar(pdev, 0), -EBUSY);
		for (i = 0; i < SZ_4M >> PAGE_SHIFT; i++)
			wrong += page_ref_count(bar_page(pdev, 0, i)) != 1 ||
				 bar_page(pdev, 0, i)->zone_device_data ||
				 !is_pci_p2pdma_page(bar_page(pdev, 0, i));
		KUNIT_EXPECT_EQ(test, wrong, 0);
		expect_owned(test, pdev, SZ_4M);
		mock_pci_unbind(pdev);
		expect_nothing(test, pdev);
	}
}

static void owned_page_comes_back(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	struct page *page;
	int again;

	bind_empty(test, pdev);
	KUNIT_ASSERT_EQ(test, add_owned(pdev, 0), 0);
	page = bar_page(pdev, 0, 5);
	page->zone_device_data = test;
	for (again = 0; again < 3; again++) {
		get_page(page);
		put_page(page);
		KUNIT_EXPECT_FALSE(test, completion_done(&owned_freed.done));
		put_page(page);
		KUNIT_ASSERT_TRUE(test,
				  wait_for_completion_timeout(&owned_freed.done,
							      30 * HZ));
		KUNIT_EXPECT_PTR_EQ(test, owned_freed.page, page);
		KUNIT_EXPECT_EQ(test, owned_freed.count, 1);
		KUNIT_EXPECT_PTR_EQ(test, owned_freed.data, (void *)test);
	}
	page->zone_device_data = NULL;
	expect_owned(test, pdev, SZ_4M);
}

static void owned_map(struct kunit *test)
{
	struct mock_pci *mock = life_add(test);
	struct pci_dev *pdev = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	struct scatterlist sg[2];
	int i;

	bind_empty(test, pdev);
	KUNIT_ASSERT_EQ(test, add_owned(pdev, 0), 0);
	dma_set_mask_and_coherent(client, DMA_BIT_MASK(64));
	sg_init_table(sg, 2);
	sg_set_page(&sg[0], bar_page(pdev, 0, 3), PAGE_SIZE, 0);
	sg_set_page(&sg[1], bar_page(pdev, 0, 9), PAGE_SIZE, 0);
	KUNIT_ASSERT_EQ(test, dma_map_sg(client, sg, 2, DMA_TO_DEVICE), 2);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, sg_dma_address(&sg[i]),
				pci_bus_address(pdev, 0) +
				(i ? 9 : 3) * PAGE_SIZE);
	dma_unmap_sg(client, sg, 2, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "mapped_bus"), 1);
	KUNIT_EXPECT_EQ(test, dma_map_sg(&mock_pci_dev(mock, FAR)->dev, sg, 2,
					 DMA_TO_DEVICE), 0);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "map_refused"),
			1);
}

/* Owned memory and memory of the pool on one function, in both orders. */
static void owned_beside_pool(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	struct p2pdma_kunit_mem *mem;
	int owned_first;

	for (owned_first = 0; owned_first < 2; owned_first++) {
		bind_empty(test, pdev);
		if (owned_first)
			KUNIT_ASSERT_EQ(test, add_owned(pdev, 0), 0);
		KUNIT_ASSERT_EQ(test, add_bar(pdev, 2), 0);
		if (!owned_first)
			KUNIT_ASSERT_EQ(test, add_owned(pdev, 0), 0);
		KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "size"),
				SZ_4M + SZ_2M);
		KUNIT_EXPECT_EQ(test,
				p2pdma_kunit_number(test, pdev, "reserve"),
				SZ_2M / 16);
		mem = p2pdma_kunit_alloc(test, pdev, SZ_2M);
		KUNIT_ASSERT_NOT_NULL(test, mem);
		KUNIT_EXPECT_PTR_EQ(test, virt_to_page(mem->addr),
				    bar_page(pdev, 2, 0));
		KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc(pdev, PAGE_SIZE));
		p2pdma_kunit_free(test, mem);
		KUNIT_EXPECT_TRUE(test,
				  has_file(test, pdev, "p2pmem/allocate"));
		mock_pci_unbind(pdev);
		expect_nothing(test, pdev);
	}
}

/* A driver gives up an owned region; the pool of the other region stays. */
static void owned_again_beside_pool(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	int again;

	bind_empty(test, pdev);
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 2), 0);
	for (again = 0; again < 3; again++) {
		KUNIT_ASSERT_EQ(test, add_owned(pdev, 0), 0);
		KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "size"),
				SZ_4M + SZ_2M);
		KUNIT_EXPECT_EQ(test,
				p2pdma_kunit_number(test, pdev, "available"),
				SZ_2M);
		KUNIT_EXPECT_TRUE(test,
				  has_file(test, pdev, "p2pmem/allocate"));
		unmap_bar(pdev, 0);
	}
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 0), 0);
	expect_all_free(test, pdev, SZ_4M + SZ_2M);
}

/* Teardown */

struct order_case {
	const char *name;
	u8 row[4];
};

/* HOST ends the list. The end of the test removes the rest. */
static const struct order_case order_cases[] = {
	{ "provider, then client", { MEM, CLIENT } },
	{ "client, then provider", { CLIENT, MEM } },
	{ "one provider, then the other", { MEM, NEAR } },
	{ "the other provider first", { NEAR, MEM } },
	{ "the provider's port", { DSP1 } },
	{ "the client's port, then the provider's", { DSP0, DSP1 } },
	{ "the switch", { USP } },
	{ "the provider, then the switch", { MEM, USP } },
	{ "the root port", { RP } },
	{ "far provider, then the root port", { FAR, RP } },
	{ "both root ports", { RP, RP2 } },
	{ "all at once", { HOST } },
};

KUNIT_ARRAY_PARAM_DESC(order, order_cases, name);

static int map_for(struct kunit *test, struct device *client,
		   struct pci_dev *provider)
{
	struct p2pdma_kunit_mem *mem = p2pdma_kunit_alloc(test, provider,
							  SZ_8K);
	struct scatterlist sg;
	int nents;

	KUNIT_ASSERT_NOT_NULL(test, mem);
	dma_set_mask_and_coherent(client, DMA_BIT_MASK(64));
	sg_init_one(&sg, mem->addr, SZ_8K);
	nents = dma_map_sg(client, &sg, 1, DMA_TO_DEVICE);
	if (nents)
		dma_unmap_sg(client, &sg, 1, DMA_TO_DEVICE);
	p2pdma_kunit_free(test, mem);
	return nents;
}

/* The memory was in use just before, and routes are cached. */
static void remove_in_order(struct kunit *test)
{
	const struct order_case *c = test->param_value;
	static const struct p2pdma_kunit_range both[] = {
		{ .bar = 0 }, { .bar = 2 }
	};
	struct mock_pci *mock = life_add(test);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	unsigned int i;

	p2pdma_kunit_provide_ranges(test, mock_pci_dev(mock, MEM), both, 2);
	p2pdma_kunit_provide(test, mock_pci_dev(mock, NEAR));
	p2pdma_kunit_provide(test, mock_pci_dev(mock, FAR));
	KUNIT_EXPECT_EQ(test,
			map_for(test, client, mock_pci_dev(mock, MEM)), 1);
	KUNIT_EXPECT_EQ(test,
			map_for(test, client, mock_pci_dev(mock, NEAR)), 1);
	KUNIT_EXPECT_EQ(test,
			map_for(test, client, mock_pci_dev(mock, FAR)), 0);

	for (i = 0; i < ARRAY_SIZE(c->row) && c->row[i]; i++)
		mock_pci_unplug(mock, c->row[i]);
	mock_pci_remove(mock);
}

/* The second region goes first, and both are back after the next bind. */
static void rebind(struct kunit *test)
{
	static const struct p2pdma_kunit_range both[] = {
		{ .bar = 0 }, { .bar = 2 }
	};
	struct pci_dev *pdev = small_add(test);
	int again;

	for (again = 0; again < 5; again++) {
		p2pdma_kunit_provide_ranges(test, pdev, both, 2);
		expect_all_free(test, pdev, SZ_4M + SZ_2M);
		mock_pci_unbind(pdev);
		expect_nothing(test, pdev);
	}
}

/* After unbinding, an address in the memory has no bus address. */
static void unbound_memory_has_no_address(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	struct p2pdma_kunit_mem *mem;
	void *addr;

	p2pdma_kunit_provide(test, pdev);
	mem = p2pdma_kunit_alloc(test, pdev, PAGE_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, mem);
	addr = mem->addr;
	KUNIT_EXPECT_NE(test, pci_p2pmem_virt_to_bus(pdev, addr), 0);
	p2pdma_kunit_free(test, mem);
	mock_pci_unbind(pdev);
	KUNIT_EXPECT_EQ(test, pci_p2pmem_virt_to_bus(pdev, addr), 0);
}

/* Teardown during use */

/* Poll, because no event tells when allocations fail. */
static bool closes(struct pci_dev *pdev)
{
	unsigned long deadline = jiffies + 30 * HZ;
	void *addr;

	while (time_before(jiffies, deadline)) {
		addr = pci_p2pmem_alloc(pdev, PAGE_SIZE);
		if (!addr)
			return true;
		pci_p2pmem_free(pdev, addr, PAGE_SIZE);
		cond_resched();
	}
	return false;
}

/* Poll, because no event tells when the file is gone, the next step. */
static bool loses_file(struct kunit *test, struct pci_dev *pdev,
		       const char *name)
{
	unsigned long deadline = jiffies + 30 * HZ;

	while (time_before(jiffies, deadline)) {
		if (!has_file(test, pdev, name))
			return true;
		msleep(20);
	}
	return false;
}

static void unbind_waits_for_memory(struct kunit *test)
{
	static const struct p2pdma_kunit_range both[] = {
		{ .bar = 0 }, { .bar = 2 }
	};
	struct mock_pci *mock = life_add(test);
	struct pci_dev *pdev = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	struct p2pdma_kunit_mem *mem[2];
	struct p2pdma_kunit_unbind *unbind =
		p2pdma_kunit_unbind_new(test, pdev);
	void *addr[2];

	p2pdma_kunit_provide_ranges(test, pdev, both, 2);
	/*
	 * Memory of both regions, so that both have to wait. A page is left for
	 * closes().
	 */
	mem[0] = p2pdma_kunit_alloc(test, pdev, SZ_4M);
	mem[1] = p2pdma_kunit_alloc(test, pdev, SZ_2M - PAGE_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, mem[0]);
	KUNIT_ASSERT_NOT_NULL(test, mem[1]);
	addr[0] = mem[0]->addr;
	addr[1] = mem[1]->addr;

	p2pdma_kunit_unbind_begin(test, unbind);
	KUNIT_EXPECT_TRUE(test, closes(pdev));
	KUNIT_EXPECT_FALSE(test, completion_done(&unbind->done));

	/* Memory in use still has addresses and clients. */
	KUNIT_EXPECT_NE(test, pci_p2pmem_virt_to_bus(pdev, addr[0]), 0);
	KUNIT_EXPECT_NE(test, pci_p2pmem_virt_to_bus(pdev, addr[1]), 0);
	KUNIT_EXPECT_GE(test, pci_p2pdma_distance(pdev, client, false), 0);
	KUNIT_EXPECT_TRUE(test, loses_file(test, pdev, "p2pmem/allocate"));

	p2pdma_kunit_free(test, mem[0]);
	KUNIT_EXPECT_FALSE(test, completion_done(&unbind->done));
	p2pdma_kunit_free(test, mem[1]);
	KUNIT_EXPECT_TRUE(test, p2pdma_kunit_unbind_ends(unbind));
	expect_nothing(test, pdev);
}

static void free_in_unbind(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	struct p2pdma_kunit_mem *mem;
	struct p2pdma_kunit_unbind *unbind =
		p2pdma_kunit_unbind_new(test, pdev);
	int again;

	/* The race between the last free and the close, from both sides. */
	for (again = 0; again < 10; again++) {
		p2pdma_kunit_provide(test, pdev);
		mem = p2pdma_kunit_alloc(test, pdev, SZ_1M);
		KUNIT_ASSERT_NOT_NULL(test, mem);
		p2pdma_kunit_unbind_begin(test, unbind);
		p2pdma_kunit_free(test, mem);
		KUNIT_ASSERT_TRUE(test, p2pdma_kunit_unbind_ends(unbind));
		expect_nothing(test, pdev);
	}
}

/* A reference on an owned page holds up the unbinding of the driver. */
static void unbind_waits_for_owned_page(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	struct p2pdma_kunit_unbind *unbind =
		p2pdma_kunit_unbind_new(test, pdev);
	struct page *page;

	bind_empty(test, pdev);
	KUNIT_ASSERT_EQ(test, add_owned(pdev, 0), 0);
	page = bar_page(pdev, 0, 7);
	get_page(page);
	p2pdma_kunit_unbind_begin(test, unbind);
	KUNIT_EXPECT_EQ(test, 0, wait_for_completion_timeout(&unbind->done,
							     HZ / 2));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "size"), SZ_4M);
	/* First the reference of the driver, then the other reference. */
	put_page(page);
	if (!completion_done(&unbind->done))
		put_page(page);
	KUNIT_ASSERT_TRUE(test, p2pdma_kunit_unbind_ends(unbind));
	expect_nothing(test, pdev);
}

/* Open files */

static void file_outlives_provider(struct kunit *test)
{
	static const char * const names[] = { "p2pmem/size", "p2pmem/available",
					      "p2pmem/published" };
	struct mock_pci *mock = life_add(test);
	struct pci_dev *pdev = mock_pci_dev(mock, MEM);
	struct file *file[ARRAY_SIZE(names)];
	unsigned int i;
	char text[16];
	loff_t pos;

	p2pdma_kunit_provide(test, pdev);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		file[i] = mock_pci_sysfs_open(test, &pdev->dev, names[i],
					      O_RDONLY);
		KUNIT_ASSERT_FALSE(test, IS_ERR(file[i]));
	}

	/* An open file does not hold the provider: read() fails. */
	mock_pci_unbind(pdev);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		pos = 0;
		KUNIT_EXPECT_EQ_MSG(test,
				    kernel_read(file[i], text, sizeof(text),
						&pos),
				    -ENODEV, "%s", names[i]);
	}

	/* With a new provider, read() of the old file still fails. */
	p2pdma_kunit_provide(test, pdev);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		pos = 0;
		KUNIT_EXPECT_EQ(test,
				kernel_read(file[i], text, sizeof(text), &pos),
				-ENODEV);
	}
	mock_pci_unplug(mock, MEM);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		mock_pci_sysfs_close(test, file[i]);
}

/**
 * struct reader - thread that asks about a provider all the time
 * @client: a client of the provider
 * @pdev: the provider
 * @stop: tells the thread to end
 * @done: completed at the end of the thread
 * @asked: number of rounds
 */
struct reader {
	struct device *client;
	struct pci_dev *pdev;
	bool stop;
	struct completion done;
	atomic_t asked;
};

static int reader_thread(void *data)
{
	struct reader *reader = data;
	struct pci_dev *found;
	void *addr;

	while (!READ_ONCE(reader->stop)) {
		found = pci_p2pmem_find(reader->client);
		pci_dev_put(found);
		pci_p2pdma_distance(reader->pdev, reader->client, false);
		addr = pci_p2pmem_alloc(reader->pdev, SZ_16K);
		pci_p2pmem_virt_to_bus(reader->pdev, addr);
		pci_p2pmem_free(reader->pdev, addr, SZ_16K);
		pci_has_p2pmem(reader->pdev);
		atomic_inc(&reader->asked);
		cond_resched();
	}
	complete(&reader->done);
	return 0;
}

static void stop_reader(void *data)
{
	struct reader *reader = data;

	WRITE_ONCE(reader->stop, true);
	wait_for_completion(&reader->done);
}

/* Bind and unbind while a thread allocates, asks and looks for memory. */
static void ask_while_providers_come_and_go(struct kunit *test)
{
	struct mock_pci *mock = life_add(test);
	struct pci_dev *pdev = mock_pci_dev(mock, MEM);
	struct reader *reader = kunit_kzalloc(test, sizeof(*reader),
					      GFP_KERNEL);
	struct task_struct *task;
	int again, asked;

	KUNIT_ASSERT_NOT_NULL(test, reader);
	reader->client = &mock_pci_dev(mock, CLIENT)->dev;
	reader->pdev = pdev;
	init_completion(&reader->done);
	task = kthread_run(reader_thread, reader, "p2pdma-reader");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, stop_reader, reader));

	for (again = 0; again < 20; again++) {
		asked = atomic_read(&reader->asked);
		p2pdma_kunit_provide(test, pdev);
		while (atomic_read(&reader->asked) < asked + 10)
			cond_resched();
		KUNIT_EXPECT_LE(test,
				p2pdma_kunit_number(test, pdev, "available"),
				SZ_4M);
		mock_pci_unbind(pdev);
		KUNIT_EXPECT_NULL(test, rcu_access_pointer(pdev->p2pdma));
	}
	kunit_release_action(test, stop_reader, reader);
}

/**
 * struct registration - thread that registers a BAR
 * @pdev: the provider
 * @bar: index of the BAR
 * @begin: event for which all threads wait
 * @done: completed at the end
 * @ret: result of the registration
 */
struct registration {
	struct pci_dev *pdev;
	int bar;
	struct completion *begin;
	struct completion done;
	int ret;
};

static int register_thread(void *data)
{
	struct registration *reg = data;

	wait_for_completion(reg->begin);
	reg->ret = pci_p2pdma_add_resource(reg->pdev, reg->bar, 0, 0);
	complete(&reg->done);
	return 0;
}

#define AT_ONCE		4

/* A driver whose threads register at once, each the BAR in @data. */
static int register_at_once(struct pci_dev *pdev, void *data)
{
	DECLARE_COMPLETION_ONSTACK(begin);
	struct registration *regs = data;
	unsigned int i;

	for (i = 0; i < AT_ONCE; i++) {
		regs[i].pdev = pdev;
		regs[i].begin = &begin;
		regs[i].ret = -ENOMEM;
		init_completion(&regs[i].done);
		if (IS_ERR(kthread_run(register_thread, &regs[i],
				       "p2pdma-register")))
			complete(&regs[i].done);
	}
	complete_all(&begin);
	for (i = 0; i < AT_ONCE; i++)
		wait_for_completion(&regs[i].done);
	return 0;
}

/* The same for a driver that has ended a registration of BAR 0. */
static int register_again_at_once(struct pci_dev *pdev, void *data)
{
	int ret = pci_p2pdma_add_resource(pdev, 0, 0, 0);

	if (ret)
		return ret;
	devm_memunmap_pages(&pdev->dev, bar_page(pdev, 0, 0)->pgmap);
	return register_at_once(pdev, data);
}

static void expect_one_wins(struct kunit *test, const struct registration *regs,
			    int bar)
{
	unsigned int i, won = 0;

	for (i = 0; i < AT_ONCE; i++) {
		if (regs[i].bar != bar)
			continue;
		won += !regs[i].ret;
		if (regs[i].ret)
			KUNIT_EXPECT_EQ(test, regs[i].ret, -EBUSY);
	}
	KUNIT_EXPECT_EQ(test, won, 1);
}

/* A single registration of a BAR wins, and the others change nothing. */
static void registrations_at_once(struct kunit *test)
{
	struct registration regs[AT_ONCE] = {
		{ .bar = 0 }, { .bar = 2 }, { .bar = 0 }, { .bar = 2 },
	};
	struct pci_dev *pdev = small_add(test);
	int again;

	for (again = 0; again < 20; again++) {
		KUNIT_ASSERT_EQ(test, 0,
				mock_pci_bind(pdev, register_at_once, regs));
		expect_one_wins(test, regs, 0);
		expect_one_wins(test, regs, 2);
		expect_all_free(test, pdev, SZ_4M + SZ_2M);
		mock_pci_unbind(pdev);
		expect_nothing(test, pdev);
	}
}

/* A single task takes back the registration whose pages the driver unmapped. */
static void registrations_at_once_after_unmap(struct kunit *test)
{
	struct registration regs[AT_ONCE] = {};
	struct pci_dev *pdev = small_add(test);
	int again;

	for (again = 0; again < 20; again++) {
		KUNIT_ASSERT_EQ(test, 0,
				mock_pci_bind(pdev, register_again_at_once,
					      regs));
		expect_one_wins(test, regs, 0);
		expect_all_free(test, pdev, SZ_4M);
		mock_pci_unbind(pdev);
		expect_nothing(test, pdev);
	}
}

/**
 * struct comer - thread whose provider comes and goes
 * @test: the test, whose static stubs the thread needs
 * @pdev: the provider
 * @done: completed at the end of the thread
 * @err: first error
 */
struct comer {
	struct kunit *test;
	struct pci_dev *pdev;
	struct completion done;
	int err;
};

static int publish_bar(struct pci_dev *pdev, void *data)
{
	int ret = pci_p2pdma_add_resource(pdev, 0, 0, 0);

	if (!ret)
		pci_p2pmem_publish(pdev, true);
	return ret;
}

static int come_and_go(struct pci_dev *pdev)
{
	void *addr;
	int ret;

	ret = mock_pci_bind(pdev, publish_bar, NULL);
	if (ret)
		return ret;
	addr = pci_p2pmem_alloc(pdev, SZ_64K);
	pci_p2pmem_free(pdev, addr, SZ_64K);
	mock_pci_unbind(pdev);
	if (rcu_access_pointer(pdev->p2pdma))
		return -EEXIST;
	return addr ? 0 : -ENOMEM;
}

static int comer_thread(void *data)
{
	struct comer *comer = data;
	int again;

	current->kunit_test = comer->test;
	for (again = 0; again < 20 && !comer->err; again++)
		comer->err = come_and_go(comer->pdev);
	current->kunit_test = NULL;
	complete(&comer->done);
	return 0;
}

static void comer_start(struct kunit *test, struct comer *comer,
			struct pci_dev *pdev)
{
	comer->test = test;
	comer->pdev = pdev;
	init_completion(&comer->done);
	if (!IS_ERR(kthread_run(comer_thread, comer, "p2pdma-comer")))
		return;
	comer->err = -ENOMEM;
	complete(&comer->done);
}

/* Providers come and go while others do, and while a task publishes all. */
static void providers_come_and_go_at_once(struct kunit *test)
{
	static const unsigned int rows[] = { MEM, NEAR, NEAR2, FAR };
	struct comer comers[ARRAY_SIZE(rows)] = {};
	struct mock_pci *mock = life_add(test);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	unsigned int i, round;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		comer_start(test, &comers[i], mock_pci_dev(mock, rows[i]));
	for (i = 0, round = 0; i < ARRAY_SIZE(rows); round++) {
		pci_p2pmem_publish(comers[round % ARRAY_SIZE(rows)].pdev,
				   round & 4);
		pci_dev_put(pci_p2pmem_find(client));
		cond_resched();
		i += try_wait_for_completion(&comers[i].done);
	}
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		KUNIT_EXPECT_EQ(test, comers[i].err, 0);
		expect_nothing(test, comers[i].pdev);
	}
}

/* User mappings */

static unsigned long map_file(struct kunit *test, struct file *file,
			      size_t size, int flags, unsigned long offset)
{
	return kunit_vm_mmap(test, file, 0, size, PROT_READ | PROT_WRITE, flags,
			     offset);
}

static void mmap_memory(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	unsigned long one, two;
	struct file *file;

	p2pdma_kunit_provide(test, pdev);
	file = mock_pci_sysfs_open(test, &pdev->dev, "p2pmem/allocate", O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));

	KUNIT_EXPECT_EQ(test, map_file(test, file, SZ_64K, MAP_PRIVATE, 0),
			(unsigned long)-EINVAL);
	KUNIT_EXPECT_EQ(test,
			map_file(test, file, SZ_64K, MAP_SHARED, PAGE_SIZE),
			(unsigned long)-EINVAL);
	KUNIT_EXPECT_EQ(test, map_file(test, file, SZ_8M, MAP_SHARED, 0),
			(unsigned long)-ENOMEM);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"),
			SZ_4M);

	one = map_file(test, file, SZ_64K, MAP_SHARED, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(one));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"),
			SZ_4M - SZ_64K);
	two = map_file(test, file, SZ_4M - SZ_64K, MAP_SHARED, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(two));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"), 0);
	KUNIT_EXPECT_EQ(test, map_file(test, file, PAGE_SIZE, MAP_SHARED, 0),
			(unsigned long)-ENOMEM);

	KUNIT_EXPECT_EQ(test, vm_munmap(one, SZ_64K), 0);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"),
			SZ_64K);
	KUNIT_EXPECT_EQ(test, vm_munmap(two, SZ_4M - SZ_64K), 0);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"),
			SZ_4M);
}

/* Stock maps with the caching of system memory. */
static void mapping_is_uncached(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	unsigned long addr;
	struct file *file;
	pgprot_t prot;
	pud_t *pud;
	pte_t pte;

	p2pdma_kunit_provide(test, pdev);
	file = mock_pci_sysfs_open(test, &pdev->dev, "p2pmem/allocate", O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	addr = map_file(test, file, PAGE_SIZE, MAP_SHARED, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));

	pud = pud_offset(p4d_offset(pgd_offset(current->mm, addr), addr), addr);
	pte = ptep_get(pte_offset_kernel(pmd_offset(pud, addr), addr));
	KUNIT_EXPECT_TRUE(test, pte_present(pte));
	prot = pte_pgprot(pte);
	KUNIT_EXPECT_EQ(test, pgprot_val(prot),
			pgprot_val(pgprot_noncached(prot)));
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, PAGE_SIZE), 0);
}

/* Unbinding ends user mappings instead of waiting. */
static void unbind_under_mapping(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	struct p2pdma_kunit_unbind *unbind =
		p2pdma_kunit_unbind_new(test, pdev);
	unsigned long addr;
	struct file *file;
	u8 byte;

	p2pdma_kunit_provide(test, pdev);
	file = mock_pci_sysfs_open(test, &pdev->dev, "p2pmem/allocate", O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	addr = map_file(test, file, SZ_1M, MAP_SHARED, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	KUNIT_EXPECT_EQ(test, copy_from_user(&byte, (void __user *)addr, 1), 0);

	p2pdma_kunit_unbind_begin(test, unbind);
	KUNIT_ASSERT_TRUE(test, p2pdma_kunit_unbind_ends(unbind));
	expect_nothing(test, pdev);
	KUNIT_EXPECT_EQ(test, copy_from_user(&byte, (void __user *)addr, 1), 1);
	KUNIT_EXPECT_EQ(test, map_file(test, file, PAGE_SIZE, MAP_SHARED, 0),
			(unsigned long)-ENODEV);
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, SZ_1M), 0);
	mock_pci_sysfs_close(test, file);
}

/* A pinned page outlives the mapping, and unbinding waits for the page. */
static void unbind_waits_for_pinned_page(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	struct p2pdma_kunit_unbind *unbind =
		p2pdma_kunit_unbind_new(test, pdev);
	unsigned long addr;
	struct file *file;
	struct page *page;

	p2pdma_kunit_provide(test, pdev);
	file = mock_pci_sysfs_open(test, &pdev->dev, "p2pmem/allocate", O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	addr = map_file(test, file, SZ_4M, MAP_SHARED, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	KUNIT_ASSERT_EQ(test,
			pin_user_pages_fast(addr, 1,
					    FOLL_WRITE | FOLL_PCI_P2PDMA,
					    &page), 1);
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, SZ_4M), 0);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"),
			SZ_4M - PAGE_SIZE);

	p2pdma_kunit_unbind_begin(test, unbind);
	KUNIT_EXPECT_TRUE(test, closes(pdev));
	KUNIT_EXPECT_FALSE(test, completion_done(&unbind->done));
	unpin_user_page(page);
	KUNIT_EXPECT_TRUE(test, p2pdma_kunit_unbind_ends(unbind));
	expect_nothing(test, pdev);
	mock_pci_sysfs_close(test, file);
}

/**
 * struct reserve_case - input that does not change the reserve
 * @name: kind of input
 * @text: input for the file "reserve"
 * @err: expected result of write()
 */
struct reserve_case {
	const char *name;
	const char *text;
	int err;
};

static const struct reserve_case reserve_cases[] = {
	{ "nothing", "", 0 },
	{ "empty line", "\n", -EINVAL },
	{ "space", " ", -EINVAL },
	{ "sign", "-1", -EINVAL },
	{ "two signs", "+-1", -EINVAL },
	{ "trailing garbage", "4096x", -EINVAL },
	{ "trailing space", "4096 ", -EINVAL },
	{ "unit", "4K", -EINVAL },
	{ "two numbers", "4096 4096", -EINVAL },
	{ "two lines", "4096\n\n", -EINVAL },
	{ "no digits", "0x", -EINVAL },
	{ "word", "none", -EINVAL },
	{ "one more than the size", "4194305", -EINVAL },
	{ "largest number", "18446744073709551615", -EINVAL },
	{ "overflow to 0", "18446744073709551616", -ERANGE },
	{ "overflow", "99999999999999999999999999999999", -ERANGE },
};

KUNIT_ARRAY_PARAM_DESC(reserve, reserve_cases, name);

static void reserve_refuses(struct kunit *test)
{
	const struct reserve_case *c = test->param_value;
	struct pci_dev *pdev = small_add(test);

	p2pdma_kunit_provide(test, pdev);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "reserve"),
			SZ_4M / 16);
	KUNIT_EXPECT_EQ(test, c->err,
			mock_pci_sysfs_write(test, &pdev->dev, "p2pmem/reserve",
					     c->text));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "reserve"),
			SZ_4M / 16);
}

static void write_reserve(struct kunit *test, struct pci_dev *pdev,
			  const char *text, u64 value)
{
	KUNIT_EXPECT_EQ(test, strlen(text),
			mock_pci_sysfs_write(test, &pdev->dev, "p2pmem/reserve",
					     text));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "reserve"),
			value);
}

/* The default follows the size of the pool until an administrator decides. */
static void reserve_follows_size(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);

	bind_empty(test, pdev);
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 2), 0);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "reserve"),
			SZ_2M / 16);
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 0), 0);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "reserve"),
			(SZ_4M + SZ_2M) / 16);
	write_reserve(test, pdev, "6291456\n", SZ_4M + SZ_2M);
	write_reserve(test, pdev, "0x1000", SZ_4K);
	write_reserve(test, pdev, "0\n", 0);
	unmap_bar(pdev, 0);
	KUNIT_ASSERT_EQ(test, add_bar(pdev, 0), 0);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "reserve"), 0);
}

/* Map without CAP_SYS_RESOURCE, so without a right to the reserve. */
static unsigned long map_as_user(struct kunit *test, struct file *file,
				 size_t size)
{
	struct cred *cred = prepare_creds();
	const struct cred *old;
	unsigned long addr;

	KUNIT_ASSERT_NOT_NULL(test, cred);
	cap_lower(cred->cap_effective, CAP_SYS_RESOURCE);
	old = override_creds(cred);
	put_cred(cred);
	addr = map_file(test, file, size, MAP_SHARED, 0);
	revert_creds(old);
	return addr;
}

static void mappings_leave_the_reserve(struct kunit *test)
{
	const size_t rest = SZ_4M / 16, most = SZ_4M - rest;
	struct pci_dev *pdev = small_add(test);
	struct p2pdma_kunit_mem *mem;
	unsigned long addr, more;
	struct file *file;

	p2pdma_kunit_provide(test, pdev);
	file = mock_pci_sysfs_open(test, &pdev->dev, "p2pmem/allocate", O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	KUNIT_EXPECT_EQ(test, map_as_user(test, file, SZ_4M),
			(unsigned long)-ENOMEM);
	addr = map_as_user(test, file, most);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	KUNIT_EXPECT_EQ(test, map_as_user(test, file, PAGE_SIZE),
			(unsigned long)-ENOMEM);
	KUNIT_EXPECT_EQ(test,
			p2pdma_kunit_number(test, pdev, "alloc_failed"), 2);

	/* Drivers get all of the reserve, and so does an administrator. */
	mem = p2pdma_kunit_alloc(test, pdev, rest);
	KUNIT_ASSERT_NOT_NULL(test, mem);
	p2pdma_kunit_free(test, mem);
	more = map_file(test, file, rest, MAP_SHARED, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(more));
	KUNIT_EXPECT_EQ(test, vm_munmap(more, rest), 0);

	write_reserve(test, pdev, "0", 0);
	more = map_as_user(test, file, rest);
	KUNIT_EXPECT_FALSE(test, IS_ERR_VALUE(more));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"), 0);
	KUNIT_EXPECT_EQ(test, vm_munmap(more, rest), 0);
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, most), 0);
	mock_pci_sysfs_close(test, file);
}

/* Give a mapping the right to write, as mprotect() does. */
static void make_writable(struct kunit *test, unsigned long addr)
{
	struct vm_area_struct *vma;

	mmap_write_lock(current->mm);
	vma = vma_lookup(current->mm, addr);
	if (vma)
		vm_flags_set(vma, VM_WRITE);
	mmap_write_unlock(current->mm);
	KUNIT_ASSERT_NOT_NULL(test, vma);
}

/* A write fault in a mapping that was read-only must end. */
static void write_fault_ends(struct kunit *test)
{
	struct pci_dev *pdev = small_add(test);
	unsigned long addr;
	struct file *file;
	u8 byte = 1;

	p2pdma_kunit_provide(test, pdev);
	file = mock_pci_sysfs_open(test, &pdev->dev, "p2pmem/allocate", O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	addr = kunit_vm_mmap(test, file, 0, SZ_64K, PROT_READ, MAP_SHARED, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	KUNIT_EXPECT_EQ(test, copy_from_user(&byte, (void __user *)addr, 1), 0);
	KUNIT_EXPECT_EQ(test, copy_to_user((void __user *)addr, &byte, 1), 1);
	make_writable(test, addr);
	KUNIT_EXPECT_EQ(test, copy_to_user((void __user *)addr, &byte, 1), 0);
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, SZ_64K), 0);
	mock_pci_sysfs_close(test, file);
}

static struct kunit_case p2pdma_lifetime_cases[] = {
	KUNIT_CASE_PARAM(register_bad_range, bad_gen_params),
	KUNIT_CASE_PARAM(register_bad_after_good, bad_gen_params),
	KUNIT_CASE(register_unassigned_bar),
	KUNIT_CASE_PARAM(register_overlap, overlap_gen_params),
	KUNIT_CASE_PARAM(register_ranges, good_gen_params),
	KUNIT_CASE_PARAM(unwind_first, step_gen_params),
	KUNIT_CASE_PARAM(unwind_and_retry, step_gen_params),
	KUNIT_CASE_PARAM(unwind_second, step_gen_params),
	KUNIT_CASE(unwind_probe),
	KUNIT_CASE(publish),
	KUNIT_CASE(publish_ends_with_the_driver),
	KUNIT_CASE(find_published_only),
	KUNIT_CASE(find_reachable_only),
	KUNIT_CASE(find_through_host_bridge),
	KUNIT_CASE(find_by_route_and_distance),
	KUNIT_CASE(find_sums_distances),
	KUNIT_CASE(find_by_node),
	KUNIT_CASE(find_by_free_memory),
	KUNIT_CASE(find_is_deterministic),
	KUNIT_CASE(register_after_unmap),
	KUNIT_CASE(unbind_after_unmap),
	KUNIT_CASE(register_one_of_two_after_unmap),
	KUNIT_CASE(refused_after_unmap),
	KUNIT_CASE(pages_are_independent),
	KUNIT_CASE_PARAM(owned_bad_range, bad_gen_params),
	KUNIT_CASE(owned_without_page_free),
	KUNIT_CASE(owned_register),
	KUNIT_CASE(owned_page_comes_back),
	KUNIT_CASE(owned_map),
	KUNIT_CASE(owned_beside_pool),
	KUNIT_CASE(owned_again_beside_pool),
	KUNIT_CASE_PARAM(remove_in_order, order_gen_params),
	KUNIT_CASE(rebind),
	KUNIT_CASE(unbound_memory_has_no_address),
	KUNIT_CASE(unbind_waits_for_memory),
	KUNIT_CASE(unbind_waits_for_owned_page),
	KUNIT_CASE(free_in_unbind),
	KUNIT_CASE(file_outlives_provider),
	KUNIT_CASE(ask_while_providers_come_and_go),
	KUNIT_CASE(registrations_at_once),
	KUNIT_CASE(registrations_at_once_after_unmap),
	KUNIT_CASE(providers_come_and_go_at_once),
	KUNIT_CASE(mmap_memory),
	KUNIT_CASE(mapping_is_uncached),
	KUNIT_CASE(unbind_under_mapping),
	KUNIT_CASE(unbind_waits_for_pinned_page),
	KUNIT_CASE_PARAM(reserve_refuses, reserve_gen_params),
	KUNIT_CASE(reserve_follows_size),
	KUNIT_CASE(mappings_leave_the_reserve),
	KUNIT_CASE(write_fault_ends),
	{}
};

static struct kunit_suite p2pdma_lifetime_suite = {
	.name = "p2pdma_lifetime",
	.test_cases = p2pdma_lifetime_cases,
};

kunit_test_suite(p2pdma_lifetime_suite);
