// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: allocation and scatterlists
 */
#include <linux/cleanup.h>
#include <linux/mm.h>
#include <linux/pci-p2pdma.h>
#include <linux/rculist.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "p2pdma-private.h"
#include "p2pdma-pool-near.h"
#include "p2pdma_trace.h"

/* ---- allocation --------------------------------------------------------------------------- */

/* Pages that are free must not make an allocation fail because nobody picked them up. */
static bool p2pdma_pick_up(struct pci_p2pdma *p2pdma)
{
	return atomic_long_read(&p2pdma->nr_resetting) && p2pdma_pages_return(p2pdma);
}

/* What is near a CPU did not do, or has not been tried. */
static void *p2pdma_alloc(struct pci_p2pdma *p2pdma, size_t size)
{
	void *addr;

	do {
		addr = p2pdma_pool_alloc(p2pdma->pool, size);
	} while (!addr && p2pdma_pick_up(p2pdma));
	if (addr)
		trace_p2pmem_alloc(p2pdma->pdev, addr, size);
	return addr;
}

/**
 * p2pdma_alloc_upto - allocate the longest run of pages there is, up to a limit
 * @p2pdma: the provider
 * @size: the limit in bytes; set to the length of the run if that is less, in whole pages then
 *
 * Context: Any.
 * Return: address of the first page, or NULL if @size is zero or no page is free.
 */
void *p2pdma_alloc_upto(struct pci_p2pdma *p2pdma, size_t *size)
{
	size_t run = *size;
	void *addr;

	/* Pages that nobody picked up may belong to the longest run. */
	while (p2pdma_pick_up(p2pdma))
		;
	addr = p2pdma_pool_alloc_upto(p2pdma->pool, &run);
	*size = min(*size, run);
	if (addr)
		trace_p2pmem_alloc(p2pdma->pdev, addr, *size);
	return addr;
}

/**
 * p2pdma_alloc_aligned - allocate a run of pages at an aligned address
 * @p2pdma: the provider
 * @size: in bytes; rounded up to whole pages
 * @align: in bytes, a power of two
 *
 * Context: Any.
 * Return: address of the first page, or NULL.
 */
void *p2pdma_alloc_aligned(struct pci_p2pdma *p2pdma, size_t size, size_t align)
{
	void *addr;

	do {
		addr = p2pdma_pool_alloc_aligned(p2pdma->pool, size, align);
	} while (!addr && p2pdma_pick_up(p2pdma));
	if (addr)
		trace_p2pmem_alloc(p2pdma->pdev, addr, size);
	return addr;
}

/**
 * p2pdma_alloc_failed - count an allocation that failed
 * @p2pdma: the provider
 * @size: what it was asked for, in bytes
 *
 * Context: Any.
 */
void p2pdma_alloc_failed(struct pci_p2pdma *p2pdma, size_t size)
{
	this_cpu_inc(p2pdma->counters->alloc_failed);
	trace_p2pmem_alloc_failed(p2pdma->pdev, size);
}

/**
 * p2pdma_available - how much memory of a provider can be allocated
 * @p2pdma: the provider
 *
 * Context: Any.
 * Return: bytes.
 */
size_t p2pdma_available(struct pci_p2pdma *p2pdma)
{
	unsigned long flags;
	size_t available;

	/* The lock keeps a page that is on its way into the pool from being counted twice. */
	spin_lock_irqsave(&p2pdma->reset_lock, flags);
	available = p2pdma_pool_available(p2pdma->pool) +
		    (atomic_long_read(&p2pdma->nr_resetting) << PAGE_SHIFT);
	spin_unlock_irqrestore(&p2pdma->reset_lock, flags);
	return available;
}

/* What is not near this CPU, or has to be traced. */
static noinline void *p2pmem_alloc_slow(struct pci_dev *provider, size_t size, bool last)
{
	struct pci_p2pdma *p2pdma = rcu_dereference(provider->p2pdma);
	void *addr;

	if (!p2pdma)
		return NULL;
	addr = p2pdma_alloc(p2pdma, size);
	if (!addr && last)
		p2pdma_alloc_failed(p2pdma, size);
	return addr;
}

/* With @last, it is a failure if there is no such run. */
static __always_inline void *p2pmem_alloc(struct pci_dev *provider, size_t size, bool last)
{
	struct pci_p2pdma *p2pdma;
	void *addr;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (likely(p2pdma && !trace_p2pmem_alloc_enabled() &&
		   p2pdma_pool_alloc_near(p2pdma->pool, size, &addr)))
		return addr;
	return p2pmem_alloc_slow(provider, size, last);
}

/**
 * pci_p2pmem_alloc - allocate peer memory
 * @provider: the provider
 * @size: in bytes; rounded up to whole pages
 *
 * The memory is contiguous and not cleared. It pins the provider: unbinding its driver waits
 * until the memory has come back.
 *
 * Context: Any.
 * Return: kernel address of the first page, or NULL if there is not enough memory in one piece.
 */
void *pci_p2pmem_alloc(struct pci_dev *provider, size_t size)
{
	return p2pmem_alloc(provider, size, true);
}
EXPORT_SYMBOL_GPL(pci_p2pmem_alloc);

/**
 * pci_p2pmem_alloc_aligned - allocate peer memory at an aligned address
 * @provider: the provider
 * @size: in bytes; rounded up to whole pages
 * @align: in bytes, a power of two; less than a page is the same as a page
 *
 * As pci_p2pmem_alloc(), but the kernel address is a multiple of @align. So is the bus address, if
 * @align is not more than 1 GiB and the host bridge does not translate by an amount that is not.
 *
 * Context: Any.
 * Return: kernel address of the first page, or NULL if @align is not a power of two or there is not
 * enough memory in one piece that is aligned so.
 */
void *pci_p2pmem_alloc_aligned(struct pci_dev *provider, size_t size, size_t align)
{
	struct pci_p2pdma *p2pdma;
	void *addr;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (!p2pdma)
		return NULL;
	addr = p2pdma_alloc_aligned(p2pdma, size, align);
	if (!addr)
		p2pdma_alloc_failed(p2pdma, size);
	return addr;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_alloc_aligned);

/* What is not near this CPU, or has to be traced, or is not as simple. */
static noinline void p2pmem_free_slow(struct pci_dev *provider, void *addr, size_t size,
				      enum p2pdma_near_result result, void *caller)
{
	struct pci_p2pdma *p2pdma = rcu_dereference(provider->p2pdma);
	bool good = false;

	trace_p2pmem_free(provider, addr, size);
	if (p2pdma && result == P2PDMA_NEAR_GIVEN)
		good = p2pdma_pool_given(p2pdma->pool, addr, size);
	else if (p2pdma)
		good = p2pdma_pool_free(p2pdma->pool, addr, size);
	WARN(!good, "%s: %pS frees %zu bytes of peer-to-peer DMA memory that are not allocated\n",
	     pci_name(provider), caller, size);
}

static __always_inline void p2pmem_free(struct pci_dev *provider, void *addr, size_t size,
					void *caller)
{
	enum p2pdma_near_result result = P2PDMA_NEAR_NOTHING;
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (likely(p2pdma && !trace_p2pmem_free_enabled()))
		result = p2pdma_pool_free_near(p2pdma->pool, addr, size);
	if (unlikely(result != P2PDMA_NEAR_DONE))
		p2pmem_free_slow(provider, addr, size, result, caller);
}

/**
 * pci_p2pmem_free - give peer memory back
 * @provider: the provider
 * @addr: what pci_p2pmem_alloc() or pci_p2pmem_alloc_aligned() returned; NULL is ignored
 * @size: what it was asked for
 *
 * Context: Any.
 */
void pci_p2pmem_free(struct pci_dev *provider, void *addr, size_t size)
{
	if (likely(addr))
		p2pmem_free(provider, addr, size, __builtin_return_address(0));
}
EXPORT_SYMBOL_GPL(pci_p2pmem_free);

/**
 * pci_p2pmem_virt_to_bus - the bus address of peer memory
 * @provider: the provider
 * @addr: kernel address in memory that was allocated from it
 *
 * For addresses that are programmed into the provider itself. Clients get theirs from
 * dma_map_sg().
 *
 * Context: Any.
 * Return: the bus address, or 0 if @addr is not memory of @provider.
 */
pci_bus_addr_t pci_p2pmem_virt_to_bus(struct pci_dev *provider, void *addr)
{
	struct p2pdma_region *region;
	struct pci_p2pdma *p2pdma;
	u64 phys;

	if (!virt_addr_valid(addr))
		return 0;
	phys = virt_to_phys(addr);

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (!p2pdma)
		return 0;
	list_for_each_entry_rcu(region, &p2pdma->regions, node)
		if (phys >= region->pgmap.range.start && phys <= region->pgmap.range.end)
			return phys + region->bus_offset;
	return 0;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_virt_to_bus);

/* ---- scatterlists ------------------------------------------------------------------------- */

/**
 * struct p2pmem_sgl - a scatterlist in the making
 * @first: its first entry, NULL until there is one
 * @next: the entry to fill next
 * @room: entries that are left, beginning with @next
 * @nents: entries that are filled
 */
struct p2pmem_sgl {
	struct scatterlist *first;
	struct scatterlist *next;
	unsigned int room;
	unsigned int nents;
};

/* An array of entries is no larger than a page. If it may not be the last one, its end leads on. */
static bool p2pmem_sgl_grow(struct p2pmem_sgl *sgl, size_t wanted)
{
	unsigned int size = min_t(size_t, wanted, SG_MAX_SINGLE_ALLOC);
	struct scatterlist *array = kmalloc_array(size, sizeof(*array), GFP_KERNEL);

	if (!array)
		return false;
	if (sgl->first)
		sg_chain(sgl->next, 1, array);
	else
		sgl->first = array;
	sgl->next = array;
	sgl->room = size - (wanted > size);
	return true;
}

static void p2pmem_sg_set(struct scatterlist *sg, void *addr, size_t len)
{
	*sg = (struct scatterlist) {};
	sg_set_buf(sg, addr, len);
}

/* Add a run. After it, @rest bytes are to come, in single pages at worst. */
static bool p2pmem_sgl_add(struct p2pmem_sgl *sgl, void *addr, size_t len, size_t rest)
{
	if (!sgl->room && !p2pmem_sgl_grow(sgl, 1 + DIV_ROUND_UP(rest, PAGE_SIZE)))
		return false;
	p2pmem_sg_set(sgl->next++, addr, len);
	sgl->room--;
	sgl->nents++;
	return true;
}

/*
 * The first of several runs. Without enough for all of them there is no point in collecting; but
 * what seems to be missing while others allocate and free may only be on its way.
 */
static void *p2pmem_sgl_first(struct pci_dev *provider, size_t *run, struct pci_p2pdma **p2pdma)
{
	void *addr = NULL;

	guard(rcu)();
	*p2pdma = rcu_dereference(provider->p2pdma);
	if (!*p2pdma)
		return NULL;
	if (*run <= p2pdma_available(*p2pdma) + p2pdma_pool_slack())
		addr = p2pdma_alloc_upto(*p2pdma, run);
	if (!addr)
		p2pdma_alloc_failed(*p2pdma, *run);
	return addr;
}

/* Another run. No run is longer than the one before, it would have been found then. */
static __always_inline void *p2pmem_sgl_next(struct pci_p2pdma *p2pdma, size_t *run, size_t rest)
{
	void *addr;

	*run = min(*run, rest);
	guard(rcu)();
	if (!p2pdma_pool_alloc_near(p2pdma->pool, *run, &addr))
		return p2pdma_alloc_upto(p2pdma, run);
	trace_p2pmem_alloc(p2pdma->pdev, addr, *run);
	return addr;
}

/* Give back what has been collected. */
static void p2pmem_sgl_drop(struct pci_dev *provider, struct p2pmem_sgl *sgl)
{
	if (!sgl->nents)
		return;
	sg_mark_end(sgl->next - 1);
	pci_p2pmem_free_sgl(provider, sgl->first);
}

/* Collect what there is, where it is. */
static noinline struct scatterlist *
p2pmem_collect_sgl(struct pci_dev *provider, unsigned int *nents, size_t length)
{
	size_t rest = length, run = length;
	struct p2pmem_sgl sgl = {};
	struct pci_p2pdma *p2pdma;
	void *addr;

	/* From the first run on, the provider cannot go. */
	addr = p2pmem_sgl_first(provider, &run, &p2pdma);
	while (addr && p2pmem_sgl_add(&sgl, addr, run, rest - run)) {
		rest -= run;
		if (!rest) {
			sg_mark_end(sgl.next - 1);
			*nents = sgl.nents;
			return sgl.first;
		}
		addr = p2pmem_sgl_next(p2pdma, &run, rest);
		if (!addr)
			p2pdma_alloc_failed(p2pdma, length);
	}
	if (addr)
		pci_p2pmem_free(provider, addr, run);
	p2pmem_sgl_drop(provider, &sgl);
	return NULL;
}

static __always_inline struct scatterlist *p2pmem_single_sg(struct pci_dev *provider, void *addr,
							    u32 length)
{
	struct scatterlist *sg = kmalloc(sizeof(*sg), GFP_KERNEL);

	if (unlikely(!sg)) {
		pci_p2pmem_free(provider, addr, length);
		return NULL;
	}
	p2pmem_sg_set(sg, addr, length);
	sg_mark_end(sg);
	return sg;
}

/**
 * pci_p2pmem_alloc_sgl - allocate peer memory as a scatterlist
 * @provider: the provider
 * @nents: number of entries, set on success
 * @length: in bytes
 *
 * The list has as few entries as the free memory allows, and one if it can be. Users that need one
 * call pci_p2pmem_alloc_sgl_contig().
 *
 * Context: May sleep.
 * Return: the list, to be freed with pci_p2pmem_free_sgl(), or NULL if @length is 0 or memory is
 * short.
 */
struct scatterlist *pci_p2pmem_alloc_sgl(struct pci_dev *provider, unsigned int *nents,
					 u32 length)
{
	void *addr = p2pmem_alloc(provider, length, false);
	struct scatterlist *sg;

	if (unlikely(!addr))
		return p2pmem_collect_sgl(provider, nents, length);
	sg = p2pmem_single_sg(provider, addr, length);
	if (likely(sg))
		*nents = 1;
	return sg;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_alloc_sgl);

/**
 * pci_p2pmem_alloc_sgl_contig - allocate peer memory as a scatterlist of one entry
 * @provider: the provider
 * @length: in bytes
 *
 * Context: May sleep.
 * Return: the list, to be freed with pci_p2pmem_free_sgl(), or NULL if @length is 0 or there is not
 * so much memory in one piece.
 */
struct scatterlist *pci_p2pmem_alloc_sgl_contig(struct pci_dev *provider, u32 length)
{
	void *addr = pci_p2pmem_alloc(provider, length);

	return addr ? p2pmem_single_sg(provider, addr, length) : NULL;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_alloc_sgl_contig);

static noinline void p2pmem_free_entries(struct pci_dev *provider, struct scatterlist *sgl,
					 void *caller)
{
	struct scatterlist *array = sgl, *next;

	for (; sgl; sgl = next) {
		p2pmem_free(provider, sg_virt(sgl), sgl->length, caller);
		next = sg_is_last(sgl) ? NULL : sg_next(sgl);
		/* Behind the last entry, and where the list goes on elsewhere, an array ends. */
		if (next != sgl + 1) {
			kfree(array);
			array = next;
		}
	}
}

/**
 * pci_p2pmem_free_sgl - free a scatterlist and its peer memory
 * @provider: the provider
 * @sgl: what pci_p2pmem_alloc_sgl() or pci_p2pmem_alloc_sgl_contig() returned; NULL is ignored
 *
 * Context: Any.
 */
void pci_p2pmem_free_sgl(struct pci_dev *provider, struct scatterlist *sgl)
{
	void *caller = __builtin_return_address(0);

	if (sgl && sg_is_last(sgl)) {
		p2pmem_free(provider, sg_virt(sgl), sgl->length, caller);
		kfree(sgl);
	} else if (sgl) {
		p2pmem_free_entries(provider, sgl, caller);
	}
}
EXPORT_SYMBOL_GPL(pci_p2pmem_free_sgl);
