// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: allocation of peer memory, and scatterlists
 *
 * The pool of a provider has the pages; see p2pdma-pool.c. An allocation pins
 * the region of the pages and the provider, so an owner of memory needs no
 * further protection.
 */
#include <linux/cleanup.h>
#include <linux/mm.h>
#include <linux/pci-p2pdma.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "p2pdma-private.h"
#include "p2pdma_trace.h"

/**
 * p2pdma_reserve - reserve pages of a provider
 * @p2pdma: the provider
 * @nr: number of pages
 *
 * Pages on their way back from user mappings are free: collect them before an
 * allocation fails.
 *
 * Context: Any. The caller holds rcu_read_lock() or memory of the provider.
 * Return: whether p2pdma_take() may take the pages.
 */
bool p2pdma_reserve(struct pci_p2pdma *p2pdma, unsigned long nr)
{
	while (!p2pdma_pool_reserve(p2pdma->pool, nr))
		if (!p2pdma_return_pages(p2pdma))
			return false;
	return true;
}

/**
 * p2pdma_take - take reserved pages of a provider
 * @p2pdma: the provider
 * @nr: number of pages, all of them reserved by the caller; the number of pages
 *	taken is subtracted
 * @bits: filled in, room for %P2PDMA_WORDS
 *
 * Context: Any. The caller holds rcu_read_lock() or memory of the provider.
 * Return: number of entries in @bits, and the rest of the pages is still
 * reserved; 0, and no page is reserved, if a region with the pages is going.
 */
unsigned int p2pdma_take(struct pci_p2pdma *p2pdma, unsigned long *nr,
			 struct p2pdma_bits *bits)
{
	struct p2pdma_bits trace;
	unsigned long addr;
	unsigned int i, n;
	size_t size;

	guard(rcu)();
	n = p2pdma_pool_take(p2pdma->pool, nr, bits, P2PDMA_WORDS);
	if (likely(!trace_p2pmem_alloc_enabled()))
		return n;
	for (i = 0; i < n; i++) {
		for (trace = bits[i]; trace.mask;) {
			size = p2pdma_next_run(&trace, &addr) << PAGE_SHIFT;
			trace_p2pmem_alloc(p2pdma->pdev, (void *)addr, size);
		}
	}
	return n;
}

/**
 * p2pdma_free_bits - free the rest of pages from p2pdma_take()
 * @p2pdma: the provider
 * @bits: the pages
 * @n: number of entries in @bits
 *
 * Context: Any. The caller holds memory of the provider.
 */
void p2pdma_free_bits(struct pci_p2pdma *p2pdma, struct p2pdma_bits *bits,
		      unsigned int n)
{
	unsigned long addr, nr;

	for (; n; n--, bits++) {
		while (bits->mask) {
			nr = p2pdma_next_run(bits, &addr);
			pci_p2pmem_free(p2pdma->pdev, (void *)addr,
					nr << PAGE_SHIFT);
		}
	}
}

/**
 * p2pdma_alloc_failed - count an allocation that failed
 * @p2pdma: the provider
 * @size: number of bytes that were asked for
 *
 * Context: Any.
 */
void p2pdma_alloc_failed(struct pci_p2pdma *p2pdma, size_t size)
{
	this_cpu_inc(p2pdma->counters->alloc_failed);
	trace_p2pmem_alloc_failed(p2pdma->pdev, size);
}

/* Slow path: the hint has no room, tracing is on, or an alignment is asked. */
static noinline void *p2pmem_alloc_slow(struct pci_dev *provider, size_t size,
					size_t align)
{
	struct pci_p2pdma *p2pdma = rcu_dereference(provider->p2pdma);
	void *addr;

	if (!p2pdma)
		return NULL;
	do {
		addr = NULL;
		if (p2pdma_pool_has(p2pdma->pool, size))
			addr = align > PAGE_SIZE ?
			       p2pdma_pool_alloc_aligned(p2pdma->pool, size,
							 align) :
			       p2pdma_pool_alloc(p2pdma->pool, size);
	} while (!addr && p2pdma_return_pages(p2pdma));
	if (addr)
		trace_p2pmem_alloc(p2pdma->pdev, addr, size);
	else
		p2pdma_alloc_failed(p2pdma, size);
	return addr;
}

/* Slow path: another CPU took the page of the hint. A page is reserved. */
static noinline void *p2pmem_alloc_reserved(struct pci_dev *provider)
{
	struct pci_p2pdma *p2pdma = rcu_dereference(provider->p2pdma);
	struct p2pdma_bits bits;
	unsigned long nr = 1, addr;

	if (!p2pdma_pool_take(p2pdma->pool, &nr, &bits, 1))
		return p2pmem_alloc_slow(provider, PAGE_SIZE, PAGE_SIZE);
	p2pdma_next_run(&bits, &addr);
	return (void *)addr;
}

static noinline void *p2pmem_alloc_run(struct pci_dev *provider, size_t size)
{
	struct pci_p2pdma *p2pdma = rcu_dereference(provider->p2pdma);
	unsigned long nr = p2pdma_pool_pages(size);
	bool reserved = false;
	void *addr;

	if (likely(p2pdma && nr <= BITS_PER_LONG &&
		   !trace_p2pmem_alloc_enabled())) {
		addr = p2pdma_pool_alloc_hint(p2pdma->pool, nr, &reserved);
		if (likely(addr))
			return addr;
	}
	return p2pmem_alloc_slow(provider, size, PAGE_SIZE);
}

/**
 * pci_p2pmem_alloc - allocate peer memory
 * @provider: the provider
 * @size: number of bytes, rounded up to whole pages
 *
 * The memory is contiguous and not cleared. It pins the provider: unbinding its
 * driver waits until the memory is free again.
 *
 * Context: Any.
 * Return: kernel address of the first page, or NULL if no run of free pages is
 * long enough.
 */
void *pci_p2pmem_alloc(struct pci_dev *provider, size_t size)
{
	struct pci_p2pdma *p2pdma;
	bool reserved = false;
	void *addr;

	guard(rcu)();
	if (size - 1 >= PAGE_SIZE)
		return p2pmem_alloc_run(provider, size);
	p2pdma = rcu_dereference(provider->p2pdma);
	if (likely(p2pdma && !trace_p2pmem_alloc_enabled())) {
		addr = p2pdma_pool_alloc_hint(p2pdma->pool, 1, &reserved);
		if (likely(addr))
			return addr;
	}
	return reserved ? p2pmem_alloc_reserved(provider) :
			  p2pmem_alloc_slow(provider, size, PAGE_SIZE);
}
EXPORT_SYMBOL_GPL(pci_p2pmem_alloc);

/**
 * pci_p2pmem_alloc_aligned - allocate peer memory at an aligned address
 * @provider: the provider
 * @size: number of bytes, rounded up to whole pages
 * @align: alignment in bytes, a power of two; at least a page is assumed
 *
 * As pci_p2pmem_alloc(), but the kernel address is a multiple of @align. So is
 * the bus address, if @align is at most 1 GiB and the host bridge translates by
 * a multiple of @align. The search grows with the size of the memory.
 *
 * Context: Any.
 * Return: kernel address of the first page, or NULL if @align is no power of
 * two or no aligned run of free pages is long enough.
 */
void *pci_p2pmem_alloc_aligned(struct pci_dev *provider, size_t size,
			       size_t align)
{
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	if (is_power_of_2(align))
		return p2pmem_alloc_slow(provider, size, align);
	p2pdma = rcu_dereference(provider->p2pdma);
	if (p2pdma)
		p2pdma_alloc_failed(p2pdma, size);
	return NULL;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_alloc_aligned);

/* Slow path: tracing is on, or the free is wrong. */
static noinline void p2pmem_free_slow(struct pci_dev *provider, void *addr,
				      size_t size, void *caller)
{
	struct pci_p2pdma *p2pdma = rcu_dereference(provider->p2pdma);

	trace_p2pmem_free(provider, addr, size);
	WARN(!p2pdma || !p2pdma_pool_free(p2pdma->pool, addr, size),
	     "%s: %pS frees %zu bytes of peer-to-peer DMA memory that are not allocated\n",
	     pci_name(provider), caller, size);
}

static __always_inline void p2pmem_free(struct pci_dev *provider, void *addr,
					size_t size, void *caller)
{
	struct pci_p2pdma *p2pdma;
	struct p2pdma_chunk *chunk;
	struct p2pdma_bits bits;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (likely(p2pdma && !trace_p2pmem_free_enabled())) {
		chunk = rcu_dereference(p2pdma->pool->first);
		if (likely(p2pdma_bits_of(chunk, addr, size, &bits) &&
			   p2pdma_bits_free(bits, p2pdma_pool_pages(size))))
			return;
	}
	p2pmem_free_slow(provider, addr, size, caller);
}

/**
 * pci_p2pmem_free - free peer memory
 * @provider: the provider
 * @addr: address from pci_p2pmem_alloc() or pci_p2pmem_alloc_aligned(); NULL
 *	is ignored
 * @size: number of bytes that were asked for
 *
 * Memory may be freed in parts, and adjacent allocations together. A free of
 * memory that is not allocated warns and changes nothing.
 *
 * Context: Any.
 */
void pci_p2pmem_free(struct pci_dev *provider, void *addr, size_t size)
{
	void *caller = __builtin_return_address(0);

	if (unlikely(!addr))
		return;
	/* Most allocations are single pages: make code for a single page. */
	if (likely(size - 1 < PAGE_SIZE))
		p2pmem_free(provider, addr, PAGE_SIZE, caller);
	else
		p2pmem_free(provider, addr, size, caller);
}
EXPORT_SYMBOL_GPL(pci_p2pmem_free);

/**
 * pci_p2pmem_virt_to_bus - bus address of peer memory
 * @provider: the provider
 * @addr: kernel address in memory that was allocated from @provider
 *
 * For addresses that are programmed into the provider itself. Clients get bus
 * addresses from dma_map_sg().
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
		if (phys >= region->pgmap.range.start &&
		    phys <= region->pgmap.range.end)
			return phys + region->bus_offset;
	return 0;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_virt_to_bus);

/**
 * struct p2pmem_sgl - a scatterlist under construction
 * @first: first entry, or NULL
 * @last: last entry, or NULL
 * @nents: number of entries
 * @end: word after the last entry, if the last entry ends with a word
 */
struct p2pmem_sgl {
	struct scatterlist *first;
	struct scatterlist *last;
	unsigned int nents;
	struct p2pdma_bits end;
};

/* Append an array for all runs of @bits, with room for a link if @more. */
static bool p2pmem_sgl_grow(struct p2pmem_sgl *sgl,
			    const struct p2pdma_bits *bits, unsigned int n,
			    bool more)
{
	struct scatterlist *array;
	unsigned int runs = 0;

	for (; n; n--, bits++)
		runs += hweight_long(bits->mask & ~(bits->mask << 1));
	array = kmalloc_array(runs + more, sizeof(*array), GFP_KERNEL);
	if (unlikely(!array))
		return false;
	if (sgl->first)
		sg_chain(sgl->last + 1, 1, array);
	else
		sgl->first = array;
	/* Runs never continue from one array to the next. */
	sgl->end.chunk = NULL;
	sgl->last = array - 1;
	return true;
}

/* Append the runs of a word; the first run may belong to the last entry. */
static void p2pmem_sgl_append(struct p2pmem_sgl *sgl,
			      const struct p2pdma_bits *bits)
{
	unsigned long mask = bits->mask, rest, first, end;
	struct scatterlist *sg = sgl->last;
	struct page *page;

	page = virt_to_page((void *)bits->chunk->addr);
	page += bits->w * BITS_PER_LONG;
	if (mask & 1 && sgl->end.chunk == bits->chunk &&
	    sgl->end.w == bits->w) {
		end = ~mask ? __ffs(~mask) : BITS_PER_LONG;
		sg->length += end << PAGE_SHIFT;
		mask &= mask + 1;
	}
	while (mask) {
		first = __ffs(mask);
		/* The carry clears the run and sets the bit after the run. */
		rest = mask + (1UL << first);
		end = rest ? __ffs(rest) : BITS_PER_LONG;
		mask &= rest;
		*++sg = (struct scatterlist) {
			.page_link = (unsigned long)(page + first),
			.length = (end - first) << PAGE_SHIFT,
		};
	}
	sgl->nents += sg - sgl->last;
	sgl->last = sg;
	sgl->end.chunk = bits->mask >> (BITS_PER_LONG - 1) ? bits->chunk : NULL;
	sgl->end.w = bits->w + 1;
}

/* One refused page must not keep the other pages of the word. */
static noinline void p2pmem_free_refused(struct pci_dev *provider,
					 struct p2pdma_bits bits, void *caller)
{
	unsigned long addr, nr;

	while (bits.mask) {
		nr = p2pdma_next_run(&bits, &addr);
		p2pmem_free_slow(provider, (void *)addr, nr << PAGE_SHIFT,
				 caller);
	}
}

static void p2pmem_free_bits(struct pci_dev *provider, struct p2pdma_bits bits,
			     void *caller)
{
	if (unlikely(!p2pdma_bits_free(bits, hweight_long(bits.mask))))
		p2pmem_free_refused(provider, bits, caller);
}

/* Free the memory of an array of entries. Return the last entry. */
static struct scatterlist *p2pmem_free_array(struct pci_dev *provider,
					     struct scatterlist *sg,
					     struct p2pdma_chunk *chunk,
					     void *caller)
{
	struct p2pdma_bits word = { .chunk = chunk }, bits;

	for (;; sg++) {
		if (unlikely(!p2pdma_bits_of(chunk, sg_virt(sg), sg->length,
					     &bits))) {
			p2pmem_free_slow(provider, sg_virt(sg), sg->length,
					 caller);
		} else if (bits.w == word.w && !(bits.mask & word.mask)) {
			word.mask |= bits.mask;
		} else {
			if (word.mask)
				p2pmem_free_bits(provider, word, caller);
			word = bits;
		}
		if (sg_is_last(sg) || sg_is_chain(sg + 1))
			break;
	}
	if (word.mask)
		p2pmem_free_bits(provider, word, caller);
	return sg;
}

/* Old pools make long lists, so entries of one word are freed together. */
static noinline void p2pmem_free_entries(struct pci_dev *provider,
					 struct scatterlist *sgl, void *caller)
{
	struct scatterlist *last, *next;
	struct p2pdma_chunk *chunk;
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	for (; sgl; sgl = next) {
		chunk = NULL;
		if (likely(p2pdma && !trace_p2pmem_free_enabled()))
			chunk = rcu_dereference(p2pdma->pool->first);
		last = p2pmem_free_array(provider, sgl, chunk, caller);
		next = sg_is_last(last) ? NULL : sg_next(last);
		kfree(sgl);
	}
}

static noinline unsigned int p2pmem_take_first(struct pci_p2pdma *p2pdma,
					       unsigned long *nr,
					       struct p2pdma_bits *bits,
					       bool reserved)
{
	unsigned long wanted = *nr;
	unsigned int n = 0;

	if (reserved || p2pdma_reserve(p2pdma, wanted))
		n = p2pdma_take(p2pdma, nr, bits);
	if (!n)
		p2pdma_alloc_failed(p2pdma, wanted << PAGE_SHIFT);
	return n;
}

/* Make a list of the pages in @bits and of @nr more pages, still reserved. */
static noinline struct scatterlist *
p2pmem_collect(struct pci_p2pdma *p2pdma, unsigned int *nents, u32 length,
	       unsigned long nr, struct p2pdma_bits *bits, unsigned int n)
{
	struct pci_dev *provider = p2pdma->pdev;
	struct p2pmem_sgl sgl = {};
	unsigned int i;

	while (n && p2pmem_sgl_grow(&sgl, bits, n, nr)) {
		for (i = 0; i < n; i++)
			p2pmem_sgl_append(&sgl, &bits[i]);
		if (!nr) {
			sg_mark_end(sgl.last);
			/* The last page may be used in part. */
			sgl.last->length -= -length & ~PAGE_MASK;
			*nents = sgl.nents;
			return sgl.first;
		}
		n = p2pdma_take(p2pdma, &nr, bits);
	}

	/* Memory for entries is short, or a region is going. */
	p2pdma_alloc_failed(p2pdma, length);
	if (n)
		p2pdma_pool_unreserve(p2pdma->pool, nr);
	if (sgl.nents)
		sg_mark_end(sgl.last);
	p2pdma_free_bits(p2pdma, bits, n);
	pci_p2pmem_free_sgl(provider, sgl.first);
	return NULL;
}

static struct scatterlist *p2pmem_sgl_single(struct pci_dev *provider,
					     void *addr, unsigned int *nents,
					     u32 length)
{
	struct scatterlist *sg = kmalloc(sizeof(*sg), GFP_KERNEL);

	if (unlikely(!sg)) {
		pci_p2pmem_free(provider, addr, length);
		return NULL;
	}
	*sg = (struct scatterlist) {
		.page_link = (unsigned long)virt_to_page(addr) | SG_END,
		.length = length,
	};
	*nents = 1;
	return sg;
}

/**
 * pci_p2pmem_alloc_sgl - allocate peer memory as a scatterlist
 * @provider: the provider
 * @nents: number of entries, set on success
 * @length: number of bytes
 *
 * The list has one entry where the hint of this CPU has room, else an entry for
 * each run of free pages nearby, and succeeds whenever @length bytes are free.
 * Mind the largest number of segments of the clients. Users that need a single
 * entry call pci_p2pmem_alloc_sgl_contig().
 *
 * Context: May sleep.
 * Return: the list, to be freed with pci_p2pmem_free_sgl(), or NULL if @length
 * is 0 or memory is short.
 */
struct scatterlist *pci_p2pmem_alloc_sgl(struct pci_dev *provider,
					 unsigned int *nents, u32 length)
{
	struct p2pdma_bits bits[P2PDMA_WORDS] __uninitialized;
	unsigned long nr = p2pdma_pool_pages(length);
	struct pci_p2pdma *p2pdma;
	bool reserved = false;
	unsigned int n = 0;
	void *addr = NULL;

	/* From the first page on, the provider cannot go. */
	scoped_guard(rcu) {
		p2pdma = rcu_dereference(provider->p2pdma);
		if (unlikely(!p2pdma))
			return NULL;
		if (nr <= BITS_PER_LONG && !trace_p2pmem_alloc_enabled())
			addr = p2pdma_pool_alloc_hint(p2pdma->pool, nr,
						      &reserved);
		if (!addr)
			n = p2pmem_take_first(p2pdma, &nr, bits, reserved);
	}
	if (addr)
		return p2pmem_sgl_single(provider, addr, nents, length);
	return n ? p2pmem_collect(p2pdma, nents, length, nr, bits, n) : NULL;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_alloc_sgl);

/**
 * pci_p2pmem_alloc_sgl_contig - allocate peer memory as a list of one entry
 * @provider: the provider
 * @length: number of bytes
 *
 * Context: May sleep.
 * Return: the list, to be freed with pci_p2pmem_free_sgl(), or NULL if @length
 * is 0 or no run of free pages is long enough.
 */
struct scatterlist *pci_p2pmem_alloc_sgl_contig(struct pci_dev *provider,
						u32 length)
{
	void *addr = pci_p2pmem_alloc(provider, length);
	unsigned int nents;

	return addr ? p2pmem_sgl_single(provider, addr, &nents, length) : NULL;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_alloc_sgl_contig);

/**
 * pci_p2pmem_free_sgl - free a scatterlist and its peer memory
 * @provider: the provider
 * @sgl: list from pci_p2pmem_alloc_sgl() or pci_p2pmem_alloc_sgl_contig(); NULL
 *	is ignored
 *
 * Context: Any.
 */
void pci_p2pmem_free_sgl(struct pci_dev *provider, struct scatterlist *sgl)
{
	void *caller = __builtin_return_address(0);

	if (likely(sgl && sg_is_last(sgl) &&
		   sgl->length <= BITS_PER_LONG << PAGE_SHIFT)) {
		p2pmem_free(provider, sg_virt(sgl), sgl->length, caller);
		kfree(sgl);
	} else {
		p2pmem_free_entries(provider, sgl, caller);
	}
}
EXPORT_SYMBOL_GPL(pci_p2pmem_free_sgl);
