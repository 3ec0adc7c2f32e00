// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite p2pdma_sgl: scatterlists of peer memory, and aligned peer memory
 *
 * Most tests first take all memory of a provider and then free some pages. So a
 * test knows every hole, and the largest number of entries of a list.
 */

#include <kunit/resource.h>
#include <kunit/test.h>

#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "../p2pdma-private.h"
#include "mock_pci.h"
#include "p2pdma_kunit.h"

#define PAGES(_nr)	((size_t)(_nr) << PAGE_SHIFT)
#define SGL_PAGES	(SZ_4M >> PAGE_SHIFT)

/*
 *	host bridge - RP - MEM, memory in BAR 0 (4 MiB) and 2 (2 MiB)
 */
enum { HOST, RP, MEM, NR };

static const struct mock_pci_row sgl_rows[NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[RP] = { .kind = MOCK_PCI_ROOT_PORT },
	[MEM] = { .kind = MOCK_PCI_ENDPOINT, .up = RP, .bar[0] = SZ_4M,
		  .bar[2] = SZ_2M },
};

static struct pci_dev *provider_new(struct kunit *test)
{
	struct mock_pci *mock = mock_pci_add(test, sgl_rows, NR);
	struct pci_dev *pdev = mock_pci_dev(mock, MEM);

	p2pdma_kunit_provide(test, pdev);
	return pdev;
}

static void expect_available(struct kunit *test, struct pci_dev *pdev,
			     unsigned long pages)
{
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"),
			PAGES(pages));
}

static void expect_failed(struct kunit *test, struct pci_dev *pdev,
			  unsigned int times)
{
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "alloc_failed"),
			times);
}

/* Memory with holes */

/**
 * struct sieve - all memory of a provider, except holes
 * @pdev: the provider
 * @addr: first address of the memory
 * @taken: pages of the sieve
 */
struct sieve {
	struct pci_dev *pdev;
	void *addr;
	DECLARE_BITMAP(taken, SGL_PAGES);
};

static void sieve_free(void *data)
{
	struct sieve *sieve = data;
	unsigned int page;

	for_each_set_bit(page, sieve->taken, SGL_PAGES)
		pci_p2pmem_free(sieve->pdev, sieve->addr + PAGES(page),
				PAGE_SIZE);
}

static struct sieve *sieve_new(struct kunit *test, struct pci_dev *pdev)
{
	struct sieve *sieve = kunit_kzalloc(test, sizeof(*sieve), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, sieve);
	sieve->pdev = pdev;
	sieve->addr = pci_p2pmem_alloc(pdev, SZ_4M);
	KUNIT_ASSERT_NOT_NULL(test, sieve->addr);
	bitmap_fill(sieve->taken, SGL_PAGES);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, sieve_free, sieve));
	return sieve;
}

static void sieve_open(struct sieve *sieve, unsigned int first,
		       unsigned int pages)
{
	bitmap_clear(sieve->taken, first, pages);
	pci_p2pmem_free(sieve->pdev, sieve->addr + PAGES(first), PAGES(pages));
}

/* Half of the memory is free, but no two free pages are adjacent. */
static struct sieve *sieve_of_single_pages(struct kunit *test,
					   struct pci_dev *pdev)
{
	struct sieve *sieve = sieve_new(test, pdev);
	unsigned int page;

	for (page = 1; page < SGL_PAGES; page += 2)
		sieve_open(sieve, page, 1);
	return sieve;
}

/* Lists */

/**
 * struct list - a scatterlist that is freed with the test
 * @pdev: the provider
 * @sgl: first entry
 * @nents: number of entries, from pci_p2pmem_alloc_sgl()
 */
struct list {
	struct pci_dev *pdev;
	struct scatterlist *sgl;
	unsigned int nents;
};

static void list_end(void *data)
{
	struct list *list = data;

	pci_p2pmem_free_sgl(list->pdev, list->sgl);
}

/* Returns NULL without memory; then nothing may have changed. */
static struct list *list_new(struct kunit *test, struct pci_dev *pdev,
			     u32 length)
{
	u64 available = p2pdma_kunit_number(test, pdev, "available");
	u64 failed = p2pdma_kunit_number(test, pdev, "alloc_failed");
	struct list *list = kunit_kzalloc(test, sizeof(*list), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, list);
	list->pdev = pdev;
	list->nents = 4711;
	list->sgl = pci_p2pmem_alloc_sgl(pdev, &list->nents, length);
	if (!list->sgl) {
		KUNIT_EXPECT_EQ(test, list->nents, 4711);
		KUNIT_EXPECT_EQ(test,
				p2pdma_kunit_number(test, pdev, "available"),
				available);
		expect_failed(test, pdev, failed + 1);
		return NULL;
	}
	expect_failed(test, pdev, failed);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, list_end, list));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"),
			available - PAGE_ALIGN(length));
	return list;
}

static void list_free(struct kunit *test, struct list *list)
{
	kunit_release_action(test, list_end, list);
}

/* Entries are in holes, do not overlap, and have the right sum. */
static void expect_list(struct kunit *test, struct list *list,
			struct sieve *sieve, u32 length)
{
	struct scatterlist *sg = list->sgl;
	unsigned long first, pages;
	size_t sum = 0;
	unsigned int i;

	DECLARE_BITMAP(mine, SGL_PAGES) = {};

	KUNIT_EXPECT_EQ(test, sg_nents(list->sgl), list->nents);
	for (i = 0; i < list->nents; i++, sg = sg_next(sg)) {
		KUNIT_ASSERT_NOT_NULL_MSG(test, sg, "entry %u", i);
		KUNIT_EXPECT_EQ(test, sg_is_last(sg), i == list->nents - 1);
		KUNIT_EXPECT_EQ(test, sg->offset, 0);
		KUNIT_EXPECT_NE(test, sg->length, 0);
		first = (sg_virt(sg) - sieve->addr) >> PAGE_SHIFT;
		pages = DIV_ROUND_UP(sg->length, PAGE_SIZE);
		KUNIT_ASSERT_LE_MSG(test, first + pages, SGL_PAGES,
				    "entry %u", i);
		KUNIT_EXPECT_GE(test,
				find_next_bit(sieve->taken, first + pages,
					      first),
				first + pages);
		KUNIT_EXPECT_GE(test, find_next_bit(mine, first + pages, first),
				first + pages);
		bitmap_set(mine, first, pages);
		sum += sg->length;
	}
	KUNIT_EXPECT_EQ(test, sum, length);
	KUNIT_EXPECT_EQ(test, bitmap_weight(mine, SGL_PAGES),
			DIV_ROUND_UP(length, PAGE_SIZE));
}

static void sgl_of_one_entry(struct kunit *test)
{
	static const u32 lengths[] = { 1, 512, SZ_4K, SZ_4K + 1, SZ_64K - 512,
				       SZ_1M };
	struct pci_dev *pdev = provider_new(test);
	struct list *list;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		list = list_new(test, pdev, lengths[i]);
		KUNIT_ASSERT_NOT_NULL(test, list);
		KUNIT_EXPECT_EQ(test, list->nents, 1);
		KUNIT_EXPECT_TRUE(test, sg_is_last(list->sgl));
		KUNIT_EXPECT_EQ(test, list->sgl->length, lengths[i]);
		KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(sg_virt(list->sgl)));
		list_free(test, list);
		expect_available(test, pdev, SGL_PAGES);
	}
	KUNIT_EXPECT_NULL(test, list_new(test, pdev, 0));
	KUNIT_EXPECT_NULL(test, list_new(test, pdev, SZ_4M + 1));
	KUNIT_EXPECT_NULL(test, list_new(test, pdev, U32_MAX));
}

struct holes_case {
	const char *name;
	unsigned int holes[8];	/* lengths of the holes */
	unsigned int pages;
	unsigned int nents;	/* most entries; 0 without enough memory */
};

static const struct holes_case holes_cases[] = {
	{ "one that fits", { 4, 8, 2 }, 8, 1 },
	{ "a part of the longest", { 1, 8, 2, 4 }, 6, 1 },
	{ "lowest first", { 1, 8, 2, 4 }, 13, 4 },
	{ "one for the rest", { 1, 8, 2, 4 }, 11, 3 },
	{ "all of them", { 1, 8, 2, 4 }, 15, 4 },
	{ "one page too little", { 1, 8, 2, 4 }, 16, 0 },
	{ "equal ones", { 3, 3, 5, 3 }, 11, 3 },
	{ "single pages", { 1, 1, 1, 1, 1, 1, 1, 1 }, 5, 5 },
	{ "words", { 64, 200, 64 }, 264, 3 },
	{ "longer than words", { 100, 1, 30, 65 }, 196, 4 },
	{ "far too little", { 1 }, 1000, 0 },
	{ "nothing", { 0 }, 1, 0 },
};

KUNIT_ARRAY_PARAM_DESC(holes, holes_cases, name);

static void sgl_from_holes(struct kunit *test)
{
	const struct holes_case *c = test->param_value;
	struct pci_dev *pdev = provider_new(test);
	struct sieve *sieve = sieve_new(test, pdev);
	u32 length = PAGES(c->pages) - 100;
	unsigned int i, page = 3, sum = 0;
	struct list *list;

	for (i = 0; i < ARRAY_SIZE(c->holes) && c->holes[i]; i++) {
		sieve_open(sieve, page, c->holes[i]);
		page += c->holes[i] + 1;
		sum += c->holes[i];
	}
	list = list_new(test, pdev, length);
	KUNIT_ASSERT_EQ(test, !!list, !!c->nents);
	if (list) {
		KUNIT_EXPECT_LE(test, list->nents, c->nents);
		expect_list(test, list, sieve, length);
		expect_available(test, pdev, sum - c->pages);
		list_free(test, list);
	}
	expect_available(test, pdev, sum);
}

/* Lists around the capacity of a page of entries, and of several pages. */
static void sgl_chained(struct kunit *test)
{
	static const unsigned int nents[] = {
		1, 2, SG_MAX_SINGLE_ALLOC - 1, SG_MAX_SINGLE_ALLOC,
		SG_MAX_SINGLE_ALLOC + 1,
		2 * SG_MAX_SINGLE_ALLOC - 2, 2 * SG_MAX_SINGLE_ALLOC - 1,
		2 * SG_MAX_SINGLE_ALLOC,
		3 * SG_MAX_SINGLE_ALLOC - 2, SGL_PAGES / 2,
	};
	struct pci_dev *pdev = provider_new(test);
	struct sieve *sieve = sieve_of_single_pages(test, pdev);
	struct list *list;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nents); i++) {
		list = list_new(test, pdev, PAGES(nents[i]) - 1);
		KUNIT_ASSERT_NOT_NULL_MSG(test, list, "%u entries", nents[i]);
		KUNIT_EXPECT_EQ(test, list->nents, nents[i]);
		expect_list(test, list, sieve, PAGES(nents[i]) - 1);
		list_free(test, list);
		expect_available(test, pdev, SGL_PAGES / 2);
	}
	KUNIT_EXPECT_NULL(test, list_new(test, pdev, PAGES(SGL_PAGES / 2) + 1));
}

/*
 * Arrays of entries are used again: each length follows another length, and
 * more lists are freed at once than a CPU keeps arrays. KASAN sees an entry
 * beyond the array.
 */
static void sgl_of_each_length(struct kunit *test)
{
	struct pci_dev *pdev = provider_new(test);
	struct sieve *sieve = sieve_of_single_pages(test, pdev);
	struct list *lists[12];
	unsigned int nents, i;

	for (nents = 1; nents <= 40; nents++) {
		for (i = 0; i < ARRAY_SIZE(lists); i++) {
			lists[i] = list_new(test, pdev, PAGES(nents));
			KUNIT_ASSERT_NOT_NULL(test, lists[i]);
			expect_list(test, lists[i], sieve, PAGES(nents));
		}
		for (i = 0; i < ARRAY_SIZE(lists); i++)
			list_free(test, lists[i]);
		expect_available(test, pdev, SGL_PAGES / 2);
	}
}

static void sgl_in_one_piece(struct kunit *test)
{
	struct pci_dev *pdev = provider_new(test);
	struct sieve *sieve = sieve_of_single_pages(test, pdev);
	struct scatterlist *sgl;

	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl_contig(pdev, PAGES(2)));
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl_contig(pdev, 0));
	expect_failed(test, pdev, 2);

	sieve_open(sieve, 20, 1);
	sgl = pci_p2pmem_alloc_sgl_contig(pdev, PAGES(3) - 7);
	KUNIT_ASSERT_NOT_NULL(test, sgl);
	KUNIT_EXPECT_TRUE(test, sg_is_last(sgl));
	KUNIT_EXPECT_EQ(test, sgl->length, PAGES(3) - 7);
	KUNIT_EXPECT_PTR_EQ(test, sg_virt(sgl), sieve->addr + PAGES(19));
	expect_available(test, pdev, SGL_PAGES / 2 + 1 - 3);
	pci_p2pmem_free_sgl(pdev, sgl);
	expect_available(test, pdev, SGL_PAGES / 2 + 1);
	expect_failed(test, pdev, 2);
}

/* Number of bytes of a list that are in a BAR; no entry leaves the BAR. */
static size_t bytes_in(struct kunit *test, struct list *list, int bar)
{
	u64 start = pci_resource_start(list->pdev, bar);
	u64 end = start + pci_resource_len(list->pdev, bar);
	struct scatterlist *sg;
	size_t sum = 0;
	unsigned int i;

	for_each_sg(list->sgl, sg, list->nents, i) {
		if (sg_phys(sg) < start || sg_phys(sg) >= end)
			continue;
		KUNIT_EXPECT_LE(test, sg_phys(sg) + sg->length, end);
		sum += sg->length;
	}
	return sum;
}

/* An entry has memory of one region, a list of several regions. */
static void sgl_of_two_regions(struct kunit *test)
{
	static const struct p2pdma_kunit_range both[] = {
		{ .bar = 0 }, { .bar = 2 }
	};
	struct mock_pci *mock = mock_pci_add(test, sgl_rows, NR);
	struct pci_dev *pdev = mock_pci_dev(mock, MEM);
	struct list *list;

	p2pdma_kunit_provide_ranges(test, pdev, both, 2);
	/* The two BARs are adjacent. */
	KUNIT_ASSERT_EQ(test, pci_resource_end(pdev, 0) + 1,
			pci_resource_start(pdev, 2));
	list = list_new(test, pdev, SZ_4M + SZ_1M);
	KUNIT_ASSERT_NOT_NULL(test, list);
	KUNIT_EXPECT_GE(test, list->nents, 2);
	KUNIT_EXPECT_EQ(test, bytes_in(test, list, 0), SZ_4M);
	KUNIT_EXPECT_EQ(test, bytes_in(test, list, 2), SZ_1M);
	list_free(test, list);
	expect_available(test, pdev, (SZ_4M + SZ_2M) >> PAGE_SHIFT);
}

/* Many tasks at once */

#define THREADS		4
#define THREAD_STEPS	500
/* All threads together need less than the whole memory. */
#define THREAD_PAGES	100

struct taker {
	struct pci_dev *pdev;
	struct sieve *sieve;
	atomic_t *owner;
	struct task_struct *task;
	struct completion done;
	int id;
	unsigned int wrong;
};

/* Change the owner of all pages of a list. */
static void taker_mark(struct taker *taker, struct scatterlist *sgl, int from,
		       int to)
{
	unsigned long page, end;
	struct scatterlist *sg;

	for (sg = sgl; sg; sg = sg_next(sg)) {
		page = (sg_virt(sg) - taker->sieve->addr) >> PAGE_SHIFT;
		end = page + DIV_ROUND_UP(sg->length, PAGE_SIZE);
		for (; page < end; page++)
			taker->wrong += page >= SGL_PAGES ||
				       atomic_cmpxchg(&taker->owner[page], from,
						      to) != from;
	}
}

static int taker_thread(void *data)
{
	struct taker *taker = data;
	struct scatterlist *sgl;
	unsigned int step, nents;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, taker->id);
	for (step = 0; step < THREAD_STEPS; step++) {
		sgl = pci_p2pmem_alloc_sgl(taker->pdev, &nents,
					   PAGES(1 + prandom_u32_state(&rnd) %
						 THREAD_PAGES));
		if (!sgl) {
			taker->wrong++;
			continue;
		}
		taker_mark(taker, sgl, 0, taker->id);
		taker_mark(taker, sgl, taker->id, 0);
		pci_p2pmem_free_sgl(taker->pdev, sgl);
		cond_resched();
	}
	complete(&taker->done);
	return 0;
}

static void sgl_in_a_crowd(struct kunit *test)
{
	struct taker *takers = kunit_kcalloc(test, THREADS, sizeof(*takers),
					     GFP_KERNEL);
	atomic_t *owner = kunit_kcalloc(test, SGL_PAGES, sizeof(*owner),
					GFP_KERNEL);
	struct pci_dev *pdev = provider_new(test);
	struct sieve *sieve = sieve_of_single_pages(test, pdev);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, takers);
	KUNIT_ASSERT_NOT_NULL(test, owner);
	for (i = 0; i < THREADS; i++) {
		takers[i] = (struct taker) {
			.pdev = pdev, .sieve = sieve, .owner = owner,
			.id = i + 1,
		};
		init_completion(&takers[i].done);
		takers[i].task =
			kthread_run_on_cpu(taker_thread, &takers[i],
					   cpumask_nth(i % num_online_cpus(),
						       cpu_online_mask),
					   "p2pdma-sgl/%u");
		if (IS_ERR(takers[i].task))
			complete(&takers[i].done);
	}
	for (i = 0; i < THREADS; i++) {
		wait_for_completion(&takers[i].done);
		KUNIT_EXPECT_FALSE(test, IS_ERR(takers[i].task));
		KUNIT_EXPECT_EQ(test, takers[i].wrong, 0);
	}
	expect_failed(test, pdev, 0);
	expect_available(test, pdev, SGL_PAGES / 2);
}

/* Alignment */

static void alloc_aligned(struct kunit *test)
{
	struct pci_dev *pdev = provider_new(test);
	struct p2pdma_kunit_mem *page = p2pdma_kunit_alloc(test, pdev,
							   PAGE_SIZE);
	size_t align;
	void *addr;

	KUNIT_ASSERT_NOT_NULL(test, page);
	/* A BAR is aligned to the size of the BAR. */
	for (align = 1; align <= SZ_2M; align *= 2) {
		addr = pci_p2pmem_alloc_aligned(pdev, SZ_8K + 1, align);
		KUNIT_ASSERT_NOT_NULL_MSG(test, addr, "%zu", align);
		KUNIT_EXPECT_EQ(test, (unsigned long)addr % align, 0);
		KUNIT_EXPECT_EQ(test,
				pci_p2pmem_virt_to_bus(pdev, addr) % align, 0);
		expect_available(test, pdev, SGL_PAGES - 1 - 3);
		/* In parts, from the last to the first. */
		pci_p2pmem_free(pdev, addr + SZ_8K, 1);
		pci_p2pmem_free(pdev, addr, SZ_8K);
		expect_available(test, pdev, SGL_PAGES - 1);
	}
	expect_failed(test, pdev, 0);
}

static void alloc_not_aligned(struct kunit *test)
{
	static const size_t aligns[] = { 0, 3, SZ_4K + 1, 3 * SZ_4K,
					 SZ_8M + SZ_4K, 1UL << 63 };
	struct pci_dev *pdev = provider_new(test);
	struct p2pdma_kunit_mem *page = p2pdma_kunit_alloc(test, pdev,
							   SZ_2M + 1);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, page);
	for (i = 0; i < ARRAY_SIZE(aligns); i++)
		KUNIT_EXPECT_NULL_MSG(test,
				      pci_p2pmem_alloc_aligned(pdev, 1,
							       aligns[i]),
				      "%zu", aligns[i]);
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_aligned(pdev, 0, SZ_4K));
	/* No run of 2 MiB is left, and no page aligned to 2 MiB. */
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_aligned(pdev, SZ_4K, SZ_2M));
	expect_failed(test, pdev, ARRAY_SIZE(aligns) + 2);
	expect_available(test, pdev, SGL_PAGES / 2 - 1);
}

static void aligned_without_provider(struct kunit *test)
{
	struct mock_pci *mock = mock_pci_add(test, sgl_rows, NR);
	struct pci_dev *pdev = mock_pci_dev(mock, MEM);

	KUNIT_EXPECT_NULL(test,
			  pci_p2pmem_alloc_aligned(pdev, PAGE_SIZE, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, pci_p2pmem_alloc_sgl_contig(pdev, PAGE_SIZE));
}

static struct kunit_case p2pdma_sgl_cases[] = {
	KUNIT_CASE(sgl_of_one_entry),
	KUNIT_CASE_PARAM(sgl_from_holes, holes_gen_params),
	KUNIT_CASE(sgl_chained),
	KUNIT_CASE(sgl_of_each_length),
	KUNIT_CASE(sgl_in_one_piece),
	KUNIT_CASE(sgl_of_two_regions),
	KUNIT_CASE_SLOW(sgl_in_a_crowd),
	KUNIT_CASE(alloc_aligned),
	KUNIT_CASE(alloc_not_aligned),
	KUNIT_CASE(aligned_without_provider),
	{}
};

static struct kunit_suite p2pdma_sgl_suite = {
	.name = "p2pdma_sgl",
	.test_cases = p2pdma_sgl_cases,
};

kunit_test_suite(p2pdma_sgl_suite);
