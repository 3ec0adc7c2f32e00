// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite p2pdma_pages: struct pages of large regions, and user mappings of them
 *
 * What units and families are stands at the top of p2pdma-pages.c.
 */

#include <kunit/test.h>

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/sizes.h>

#include "../p2pdma-private.h"
#include "mock_pci.h"
#include "p2pdma_kunit.h"

/*
 *	host bridge (a window of 32 GiB)
 *	     |
 *	    RP
 *	     |
 *	    MEM, memory in BAR 0 and perhaps BAR 2
 */
enum { HOST, RP, MEM, NR };

#define REGION		SZ_256M
#define UNIT		SZ_2M
#define UNITS		(REGION / UNIT)

/* Two struct pages of one family, and how many pages that has. */
#define FAMILY_FIRST	(64 + 3)
#define FAMILY_LAST	(512 - 64 + 3)
#define FAMILY_PAGES	7

static struct pci_dev *mem_add(struct kunit *test, u64 bar0, u64 bar2)
{
	struct mock_pci_row rows[NR] = {
		[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1, .window = 32ULL * SZ_1G },
		[RP] = { .kind = MOCK_PCI_ROOT_PORT },
		[MEM] = { .kind = MOCK_PCI_ENDPOINT, .up = RP, .bar[0] = bar0, .bar[2] = bar2 },
	};

	return mock_pci_dev(mock_pci_add(test, rows, NR), MEM);
}

static struct pci_dev *provider_add(struct kunit *test, u64 bar0)
{
	struct pci_dev *pdev = mem_add(test, bar0, 0);

	p2pdma_kunit_provide(test, pdev);
	return pdev;
}

static struct file *allocate_open(struct kunit *test, struct pci_dev *pdev)
{
	struct file *file = mock_pci_sysfs_open(test, &pdev->dev, "p2pmem/allocate", O_RDWR);

	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	return file;
}

static unsigned long map(struct kunit *test, struct file *file, size_t size)
{
	return kunit_vm_mmap(test, file, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}

static unsigned long map_all_right(struct kunit *test, struct file *file, size_t size)
{
	unsigned long addr = map(test, file, size);

	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	return addr;
}

static void expect_available(struct kunit *test, struct pci_dev *pdev, u64 bytes)
{
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "available"), bytes);
}

static struct page *pin(struct kunit *test, unsigned long addr)
{
	struct page *page = NULL;

	KUNIT_ASSERT_EQ(test, pin_user_pages_fast(addr, 1, FOLL_WRITE | FOLL_PCI_P2PDMA, &page),
			1);
	return page;
}

static struct page *page_at(struct pci_dev *pdev, u64 offset)
{
	return pfn_to_page(PHYS_PFN(pci_resource_start(pdev, 0) + offset));
}

/* ---- units -------------------------------------------------------------------------------- */

struct unit_case {
	const char *name;
	u64 bar;
	u64 offset;
	u64 size;
	u64 unit;
};

static const struct unit_case unit_cases[] = {
	{ "2 MiB", SZ_2M, 0, 0, SZ_4K },
	{ "128 MiB", SZ_128M, 0, 0, SZ_4K },
	{ "256 MiB", SZ_256M, 0, 0, SZ_2M },
	{ "1 GiB", SZ_1G, 0, 0, SZ_8M },
	{ "4 GiB", 4ULL * SZ_1G, 0, 0, SZ_32M },
	{ "16 GiB", 16ULL * SZ_1G, 0, 0, SZ_32M },
	{ "1 GiB from 2 MiB on", 2ULL * SZ_1G, SZ_2M, SZ_1G, SZ_2M },
	{ "1 GiB less 4 MiB", SZ_1G, 0, SZ_1G - SZ_4M, SZ_4M },
};

static void unit_desc(const struct unit_case *unit, char *desc)
{
	strscpy(desc, unit->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(unit, unit_cases, unit_desc);

/* Of every page: it is none of a compound page, has one reference, and says whose it is. */
static unsigned int count_bad_pages(struct pci_dev *pdev, u64 start, u64 size)
{
	struct dev_pagemap *pgmap = page_at(pdev, start)->pgmap;
	unsigned int bad = 0;
	struct page *page;
	u64 offset;

	for (offset = start; offset < start + size; offset += PAGE_SIZE) {
		page = page_at(pdev, offset);
		bad += PageCompound(page) || page_ref_count(page) != 1 || page_mapped(page) ||
		       !is_pci_p2pdma_page(page) || page->pgmap != pgmap || page->mapping ||
		       page_to_phys(page) != pci_resource_start(pdev, 0) + offset;
	}
	return bad;
}

static void unit_by_size(struct kunit *test)
{
	const struct unit_case *unit = test->param_value;
	struct p2pdma_kunit_range range = { .size = unit->size, .offset = unit->offset };
	struct pci_dev *pdev = mem_add(test, unit->bar, 0);
	struct page *first = page_at(pdev, unit->offset);
	u64 size = unit->size ?: unit->bar;

	p2pdma_kunit_provide_ranges(test, pdev, &range, 1);
	KUNIT_EXPECT_EQ(test, p2pdma_unit(p2pdma_region_of(first->pgmap)), unit->unit);
	KUNIT_EXPECT_EQ(test, count_bad_pages(pdev, unit->offset, min_t(u64, size, SZ_64M)), 0);
	KUNIT_EXPECT_EQ(test, count_bad_pages(pdev, unit->offset + size - SZ_2M, SZ_2M), 0);
	expect_available(test, pdev, size);
}

/* ---- user mappings ------------------------------------------------------------------------ */

static void map_sizes(struct kunit *test)
{
	static const size_t sizes[] = { SZ_4K, SZ_64K + SZ_4K, UNIT, UNIT + SZ_4K, SZ_64M, REGION };
	struct pci_dev *pdev = provider_add(test, REGION);
	struct file *file = allocate_open(test, pdev);
	unsigned long addr;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		addr = map_all_right(test, file, sizes[i]);
		expect_available(test, pdev, REGION - sizes[i]);
		KUNIT_EXPECT_EQ(test, vm_munmap(addr, sizes[i]), 0);
		expect_available(test, pdev, REGION);
		KUNIT_EXPECT_EQ_MSG(test, count_bad_pages(pdev, 0, REGION), 0, "size %zu",
				    sizes[i]);
	}
	KUNIT_EXPECT_EQ(test, map(test, file, REGION + SZ_4K), (unsigned long)-ENOMEM);
	expect_available(test, pdev, REGION);
}

/* A mapping that is unmapped bit by bit gives back what is not in use any more by and by. */
static void unmap_in_parts(struct kunit *test)
{
	struct pci_dev *pdev = provider_add(test, REGION);
	struct file *file = allocate_open(test, pdev);
	unsigned long addr = map_all_right(test, file, UNIT);

	/* The first 64 pages are families of their own. */
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, SZ_64K), 0);
	expect_available(test, pdev, REGION - UNIT + SZ_64K);
	/* Of the others, one stretch of 64 is still there, and holds all of them. */
	KUNIT_EXPECT_EQ(test, vm_munmap(addr + SZ_64K, UNIT - SZ_64K - SZ_256K), 0);
	expect_available(test, pdev, REGION - (UNIT - SZ_256K));
	KUNIT_EXPECT_EQ(test, vm_munmap(addr + UNIT - SZ_256K, SZ_256K), 0);
	expect_available(test, pdev, REGION);
	KUNIT_EXPECT_EQ(test, count_bad_pages(pdev, 0, REGION), 0);
}

/* A pin keeps the family of its page, and through it the unit from other mappings. */
static void pin_outlives_mapping(struct kunit *test)
{
	struct pci_dev *pdev = provider_add(test, REGION);
	struct file *file = allocate_open(test, pdev);
	struct p2pdma_kunit_mem *mem;
	struct page *first, *last;
	unsigned long addr;

	addr = map_all_right(test, file, REGION);
	first = pin(test, addr + FAMILY_FIRST * PAGE_SIZE);
	last = pin(test, addr + FAMILY_LAST * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, page_to_pfn(last) - page_to_pfn(first), FAMILY_LAST - FAMILY_FIRST);
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, REGION), 0);
	expect_available(test, pdev, REGION - FAMILY_PAGES * PAGE_SIZE);

	KUNIT_EXPECT_EQ(test, map(test, file, REGION - UNIT + SZ_4K), (unsigned long)-ENOMEM);
	addr = map_all_right(test, file, REGION - UNIT);
	/* What is left is not a unit, but good enough for a driver. */
	KUNIT_EXPECT_EQ(test, map(test, file, SZ_4K), (unsigned long)-ENOMEM);
	mem = p2pdma_kunit_alloc(test, pdev, SZ_64K);
	KUNIT_EXPECT_NOT_NULL(test, mem);
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, REGION - UNIT), 0);
	p2pdma_kunit_free(test, mem);

	unpin_user_page(first);
	expect_available(test, pdev, REGION - FAMILY_PAGES * PAGE_SIZE);
	unpin_user_page(last);
	expect_available(test, pdev, REGION);
	addr = map_all_right(test, file, REGION);
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, REGION), 0);
}

/* The smallest mappings there can be, as many as there can be. */
static void map_every_unit(struct kunit *test)
{
	struct pci_dev *pdev = provider_add(test, REGION);
	struct file *file = allocate_open(test, pdev);
	unsigned long addr[UNITS];
	unsigned int i;

	for (i = 0; i < UNITS; i++)
		addr[i] = map_all_right(test, file, SZ_4K);
	expect_available(test, pdev, REGION - UNITS * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, map(test, file, SZ_4K), (unsigned long)-ENOMEM);
	expect_available(test, pdev, REGION - UNITS * PAGE_SIZE);
	for (i = 0; i < UNITS; i++)
		KUNIT_EXPECT_EQ(test, vm_munmap(addr[i], SZ_4K), 0);
	expect_available(test, pdev, REGION);
}

/* A driver's memory in a unit keeps it from user mappings until it is freed. */
static void share_with_driver(struct kunit *test)
{
	struct pci_dev *pdev = provider_add(test, REGION);
	struct file *file = allocate_open(test, pdev);
	struct p2pdma_kunit_mem *mem = p2pdma_kunit_alloc(test, pdev, SZ_4K);
	unsigned long addr;

	KUNIT_ASSERT_NOT_NULL(test, mem);
	KUNIT_EXPECT_EQ(test, map(test, file, REGION - SZ_4K), (unsigned long)-ENOMEM);
	expect_available(test, pdev, REGION - SZ_4K);
	addr = map_all_right(test, file, REGION - UNIT);
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, REGION - UNIT), 0);
	p2pdma_kunit_free(test, mem);
	addr = map_all_right(test, file, REGION);
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, REGION), 0);
	expect_available(test, pdev, REGION);
}

/* One mapping, of regions whose units have different sizes. */
static void map_two_regions(struct kunit *test)
{
	static const struct p2pdma_kunit_range both[] = { { .bar = 2 }, { .bar = 0 } };
	struct pci_dev *pdev = mem_add(test, REGION, SZ_128M);
	struct file *file;
	unsigned long addr;

	p2pdma_kunit_provide_ranges(test, pdev, both, 2);
	file = allocate_open(test, pdev);
	expect_available(test, pdev, REGION + SZ_128M);
	addr = map_all_right(test, file, REGION + SZ_4K);
	expect_available(test, pdev, SZ_128M - SZ_4K);
	KUNIT_EXPECT_EQ(test, vm_munmap(addr, REGION + SZ_4K), 0);
	expect_available(test, pdev, REGION + SZ_128M);
}

static struct kunit_case pages_cases[] = {
	KUNIT_CASE_PARAM(unit_by_size, unit_gen_params),
	KUNIT_CASE(map_sizes),
	KUNIT_CASE(unmap_in_parts),
	KUNIT_CASE(pin_outlives_mapping),
	KUNIT_CASE(map_every_unit),
	KUNIT_CASE(share_with_driver),
	KUNIT_CASE(map_two_regions),
	{}
};

static struct kunit_suite p2pdma_pages_suite = {
	.name = "p2pdma_pages",
	.test_cases = pages_cases,
};

kunit_test_suite(p2pdma_pages_suite);

MODULE_DESCRIPTION("KUnit: struct pages of large peer memory, and user mappings of it");
MODULE_LICENSE("GPL");
