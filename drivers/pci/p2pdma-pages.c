// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: struct pages, and what a user mapping owns
 *
 * Memory has a struct page for every page, 16 MiB of them for each GiB. In peer memory only those
 * of user mappings are ever counted: drivers that use the memory read where its pages come from
 * and compute their addresses, and take no references.
 *
 * The kernel knows how to save struct pages, see Documentation/mm/vmemmap_dedup.rst: if a pagemap
 * has compound pages of 2^n pages, called units here, then only the first 128 struct pages of a
 * unit are in memory, and all others are the same 64 ones, from no. 64 to no. 127, over and over.
 *
 *	struct pages of a unit	| 0 ... 63 | 64 ... 127 | 128 ... 191 | 192 ... 255 | ...
 *	memory of the vmemmap	|  page A  |   page B   |   page B    |   page B    | ...
 *
 * But peer memory cannot be compound: of a tail page, pgmap is not there to be read, as the word is
 * taken by compound_head. So, as soon as there is a pagemap, its compound pages are taken apart.
 * From then on, each of the 128 struct pages is one of its own. Numbers 64 to 127 stand for several
 * pages each, for all in the same place of their stretch of 64: a family.
 *
 * Whoever takes a reference on a page takes one on its family, so a count is zero when that of
 * every member would be. This is right if all members of a family have the same owner. Therefore a
 * user mapping takes whole units from the pool. Of what it does not map, the families return at
 * once, of what it maps, they return as soon as none of their members is mapped or pinned any more.
 * What has returned can be allocated by drivers, who do not count. Another user mapping gets the
 * unit only when all of it has returned. So the smaller a unit, the more user mappings can there
 * be, and the larger, the fewer struct pages: a region has 128 units or more. Regions of less than
 * 256 MiB have none, that is to say, a unit of theirs is a page.
 *
 * When the last reference of a page goes, the kernel calls p2pdma_page_free() and only then sets
 * the page's count back to one. Until it has, the page must not be handed out again, so it waits
 * in a list for somebody to see the count. The list is emptied by a work item, or before that by
 * an allocation that would fail otherwise.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/pci.h>
#include <linux/range.h>
#include <linux/sizes.h>

#include "p2pdma-private.h"
#include "p2pdma_trace.h"

/* A page that is being reset is reset within a few instructions, unless its CPU was taken away. */
#define P2PDMA_RESET_RETRY	1
#define P2PDMA_RESET_BATCH	32

/* Struct pages in a page of the vmemmap; families are this far apart. */
#define P2PDMA_FAMILIES		(PAGE_SIZE / sizeof(struct page))
#define P2PDMA_UNIT_PAGES	(VMEMMAP_RESERVE_NR * P2PDMA_FAMILIES)

#define P2PDMA_UNITS_MIN	128
#define P2PDMA_UNIT_MIN		SZ_2M
#define P2PDMA_UNIT_MAX		SZ_32M

/* ---- units -------------------------------------------------------------------------------- */

/* Where there has been memory since boot, the struct pages are there, too, and not saved. */
static bool p2pdma_has_early_section(const struct range *range)
{
	unsigned long nr;

	for (nr = pfn_to_section_nr(PHYS_PFN(range->start));
	     nr <= pfn_to_section_nr(PHYS_PFN(range->end)); nr++)
		if (present_section_nr(nr) && early_section(__nr_to_section(nr)))
			return true;
	return false;
}

/**
 * p2pdma_pages_choose_unit - choose the size of units of a region
 * @region: the region, with its range, and without pages yet; its pgmap is set up accordingly
 *
 * Context: May sleep.
 */
void p2pdma_pages_choose_unit(struct p2pdma_region *region)
{
	struct dev_pagemap *pgmap = &region->pgmap;
	u64 size = range_len(&pgmap->range), unit;

	unit = min(rounddown_pow_of_two(size / P2PDMA_UNITS_MIN ?: 1), P2PDMA_UNIT_MAX);
	unit = min(unit, 1ULL << __ffs64(pgmap->range.start | size));
	if (unit < P2PDMA_UNIT_MIN || p2pdma_has_early_section(&pgmap->range))
		return;
	pgmap->vmemmap_shift = ilog2(unit) - PAGE_SHIFT;
	if (!vmemmap_can_optimize(NULL, pgmap))
		pgmap->vmemmap_shift = 0;
}

/* All struct pages of a unit become what the first would be if it were not compound. */
static void p2pdma_take_apart(struct page *head)
{
	struct page page = *head;
	unsigned int i;

	__clear_bit(PG_head, &page.flags);
	for (i = 0; i < P2PDMA_UNIT_PAGES; i++)
		head[i] = page;
}

/**
 * p2pdma_pages_init - make the pages of a new region what they have to be
 * @region: the region, whose pages nobody else knows yet
 *
 * Context: May sleep.
 */
void p2pdma_pages_init(struct p2pdma_region *region)
{
	unsigned long pfn = PHYS_PFN(region->pgmap.range.start);
	unsigned long end = PHYS_PFN(region->pgmap.range.end + 1);

	if (!region->pgmap.vmemmap_shift)
		return;
	for (; pfn < end; pfn += pgmap_vmemmap_nr(&region->pgmap)) {
		p2pdma_take_apart(pfn_to_page(pfn));
		cond_resched();
	}
}

/**
 * struct p2pdma_family - the pages that a struct page stands for
 * @pfn: the first of them
 * @nr: how many
 */
struct p2pdma_family {
	unsigned long pfn;
	unsigned int nr;
};

static struct p2pdma_family p2pdma_family_of(struct page *page)
{
	unsigned long unit = pgmap_vmemmap_nr(page->pgmap), pfn = page_to_pfn(page);
	unsigned long in_unit = (pfn - PHYS_PFN(page->pgmap->range.start)) & (unit - 1);

	if (in_unit < P2PDMA_FAMILIES)
		return (struct p2pdma_family) { pfn, 1 };
	return (struct p2pdma_family) {
		pfn - in_unit + P2PDMA_FAMILIES + in_unit % P2PDMA_FAMILIES,
		unit / P2PDMA_FAMILIES - 1,
	};
}

/* ---- what comes back from user mappings --------------------------------------------------- */

static void p2pdma_page_free(struct page *page)
{
	struct pci_p2pdma *p2pdma = p2pdma_region_of(page->pgmap)->provider;

	atomic_long_add(p2pdma_family_of(page).nr, &p2pdma->nr_resetting);
	if (llist_add((struct llist_node *)&page->zone_device_data, &p2pdma->resetting))
		schedule_delayed_work(&p2pdma->reset_work, 0);
}

const struct dev_pagemap_ops p2pdma_pagemap_ops = {
	.page_free = p2pdma_page_free,
};

static struct page *p2pdma_resetting_page(struct llist_node *node)
{
	return (void *)node - offsetof(struct page, zone_device_data);
}

/* Returns how many pages went back to the pool. */
static unsigned int p2pdma_return_page(struct pci_p2pdma *p2pdma, struct page *page)
{
	struct p2pdma_family family = p2pdma_family_of(page);
	unsigned int i;
	void *addr;

	if (page_ref_count(page) != 1)
		return 0;
	page->zone_device_data = NULL;
	for (i = 0; i < family.nr; i++) {
		addr = pfn_to_kaddr(family.pfn + i * P2PDMA_FAMILIES);
		trace_p2pmem_free(p2pdma->pdev, addr, PAGE_SIZE);
		p2pdma_pool_free(p2pdma->pool, addr, PAGE_SIZE);
	}
	atomic_long_sub(family.nr, &p2pdma->nr_resetting);
	return family.nr;
}

/**
 * p2pdma_pages_return - give pages back to the pool that user mappings are through with
 * @p2pdma: the provider
 *
 * Only some at a time: interrupts are off meanwhile.
 *
 * Context: Any.
 * Return: how many that were; 0 if there are none, or none has been reset yet.
 */
unsigned int p2pdma_pages_return(struct pci_p2pdma *p2pdma)
{
	struct llist_node *pos, *busy = NULL, *busy_tail = NULL;
	unsigned int i, nr, returned = 0;
	unsigned long flags;

	spin_lock_irqsave(&p2pdma->reset_lock, flags);
	for (i = 0; i < P2PDMA_RESET_BATCH && returned < P2PDMA_RESET_BATCH; i++) {
		pos = llist_del_first(&p2pdma->resetting);
		if (!pos)
			break;
		nr = p2pdma_return_page(p2pdma, p2pdma_resetting_page(pos));
		returned += nr;
		if (nr)
			continue;
		pos->next = busy;
		busy = pos;
		busy_tail = busy_tail ?: pos;
	}
	if (busy)
		llist_add_batch(busy, busy_tail, &p2pdma->resetting);
	spin_unlock_irqrestore(&p2pdma->reset_lock, flags);
	return returned;
}

/**
 * p2pdma_pages_reset_work - give pages back when nobody else does
 * @work: pci_p2pdma.reset_work
 *
 * Context: May sleep.
 */
void p2pdma_pages_reset_work(struct work_struct *work)
{
	struct pci_p2pdma *p2pdma = container_of(to_delayed_work(work), struct pci_p2pdma,
						 reset_work);

	while (atomic_long_read(&p2pdma->nr_resetting)) {
		if (!p2pdma_pages_return(p2pdma)) {
			schedule_delayed_work(&p2pdma->reset_work, P2PDMA_RESET_RETRY);
			return;
		}
		cond_resched();
	}
}

/* ---- user mappings ------------------------------------------------------------------------ */

/**
 * p2pdma_pages_disown - let what was allocated go as soon as page tables and pins do
 * @addr: of the first page, which begins a unit
 * @size: in bytes, whole units
 *
 * Every page came from the pool with one reference. Those that are in a page table have another.
 *
 * Context: May sleep.
 */
void p2pdma_pages_disown(void *addr, size_t size)
{
	struct page *page = virt_to_page(addr), *end = page + (size >> PAGE_SHIFT);
	unsigned long unit = pgmap_vmemmap_nr(page->pgmap), i;

	for (; page < end; page += unit) {
		for (i = 0; i < min(unit, P2PDMA_UNIT_PAGES); i++)
			put_page(page + i);
		cond_resched();
	}
}
