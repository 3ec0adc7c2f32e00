// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: allocation of peer memory, and scatterlists
 *
 * The pool of a provider has the pages; see p2pdma-pool.c. An allocation pins
 * the region of the pages and the provider, so an owner of memory needs no
 * further protection.
 */
#include <linux/capability.h>
#include <linux/cleanup.h>
#include <linux/io.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/pci-p2pdma.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "p2pdma-private.h"
#include "p2pdma_trace.h"

/**
 * p2pdma_reserve - reserve pages of a provider
 * @p2pdma: state of the provider
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
	do {
		if (p2pdma_pool_reserve(p2pdma->pool, nr))
			return true;
	} while (p2pdma_return_pages(p2pdma));
	/* Another task may have returned the last pages meanwhile. */
	return p2pdma_pool_reserve(p2pdma->pool, nr);
}

/**
 * p2pdma_charge - count pages as pages of user space
 * @p2pdma: state of the provider
 * @nr: number of pages
 *
 * User space leaves the reserve alone, unless the task is privileged.
 *
 * Context: Task that asks for the pages. The caller holds rcu_read_lock() or
 * memory of the provider.
 * Return: whether user space may have the pages. The pages are to be
 * subtracted from pci_p2pdma.user_pages when user space gives the pages back.
 */
bool p2pdma_charge(struct pci_p2pdma *p2pdma, unsigned long nr)
{
	size_t size = p2pdma_pool_size(p2pdma->pool);
	size_t reserve = min(READ_ONCE(p2pdma->reserve), size);
	unsigned long pages;

	if (nr > size >> PAGE_SHIFT)
		return false;
	pages = atomic_long_add_return(nr, &p2pdma->user_pages);
	if (pages <= (size - reserve) >> PAGE_SHIFT ||
	    capable(CAP_SYS_RESOURCE))
		return true;
	atomic_long_sub(nr, &p2pdma->user_pages);
	return false;
}

#ifdef CONFIG_X86
#include <asm/cpufeature.h>

/* Stores of 64 bytes, where the CPU has such stores. */
static bool p2pdma_clear_wide(void __iomem *addr, size_t size)
{
	const void *zero = page_address(ZERO_PAGE(0));
	void __iomem *end = addr + size;

	if (!cpu_feature_enabled(X86_FEATURE_MOVDIR64B))
		return false;
	for (; addr < end; addr += 64)
		movdir64b_io(addr, zero);
	return true;
}
#else
static bool p2pdma_clear_wide(void __iomem *addr, size_t size)
{
	return false;
}
#endif

/**
 * p2pdma_clear - clear contiguous pages for a new owner in user space
 * @pages: kernel address of the pages
 * @nr: number of pages, at most %P2PDMA_CLEAR_STEP
 *
 * The bytes of the previous owner are private. The memory is uncached, so every
 * store is a transaction of its own, and memset() stores single bytes on some
 * CPUs. p2pdma_flush_stores() ends a series of clears.
 *
 * Context: Any.
 */
void p2pdma_clear(void *pages, unsigned long nr)
{
	void __iomem *addr = (void __iomem __force *)pages;
	size_t size = nr << PAGE_SHIFT;
	u64 __iomem *pos = addr, *end = addr + size;

	if (p2pdma_clear_wide(addr, size))
		return;
	for (; pos < end; pos += 4) {
		__raw_writeq(0, pos);
		__raw_writeq(0, pos + 1);
		__raw_writeq(0, pos + 2);
		__raw_writeq(0, pos + 3);
	}
}

/**
 * p2pdma_flush_stores - wait until stores have arrived in peer memory
 * @page: kernel address of a page of the memory
 *
 * No posted zero may arrive after the write of another device.
 *
 * Context: Any.
 */
void p2pdma_flush_stores(const void *page)
{
	/*
	 * Zeros first, then the read that flushes all zeros. On arm64, a raw
	 * read would not keep back the doorbell of a device.
	 */
	wmb();
	readq((const void __iomem __force *)page);
}

static noinline void p2pmem_trace_runs(struct pci_dev *provider,
				       const struct p2pdma_run *runs,
				       unsigned int n)
{
	for (; n; n--, runs++)
		trace_p2pmem_alloc(provider, (void *)runs->addr,
				   runs->nr << PAGE_SHIFT);
}

static __always_inline unsigned int p2pmem_take(struct pci_p2pdma *p2pdma,
						unsigned long *nr,
						struct p2pdma_run *runs)
{
	unsigned int n = p2pdma_pool_take(p2pdma->pool, nr, runs);

	if (trace_p2pmem_alloc_enabled())
		p2pmem_trace_runs(p2pdma->pdev, runs, n);
	return n;
}

/**
 * p2pdma_take - take reserved pages of a provider
 * @p2pdma: state of the provider
 * @nr: number of pages, all of them reserved by the caller; the number of pages
 *	taken is subtracted
 * @runs: filled in, room for %P2PDMA_RUNS
 *
 * Context: Any. The caller holds rcu_read_lock() or memory of the provider.
 * Return: number of entries in @runs, and the rest of the pages is still
 * reserved; 0, and no page is reserved, if a region with the pages is going.
 */
unsigned int p2pdma_take(struct pci_p2pdma *p2pdma, unsigned long *nr,
			 struct p2pdma_run *runs)
{
	guard(rcu)();
	return p2pmem_take(p2pdma, nr, runs);
}

/**
 * p2pdma_free_runs - free pages from p2pdma_take()
 * @p2pdma: state of the provider
 * @runs: the pages
 * @n: number of entries in @runs
 *
 * Context: Any. The caller holds memory of the provider.
 */
void p2pdma_free_runs(struct pci_p2pdma *p2pdma, const struct p2pdma_run *runs,
		      unsigned int n)
{
	for (; n; n--, runs++)
		pci_p2pmem_free(p2pdma->pdev, (void *)runs->addr,
				runs->nr << PAGE_SHIFT);
}

/**
 * p2pdma_alloc_failed - count an allocation that failed
 * @p2pdma: state of the provider
 * @size: number of bytes that were asked for
 *
 * Context: Any.
 */
void p2pdma_alloc_failed(struct pci_p2pdma *p2pdma, size_t size)
{
	this_cpu_inc(p2pdma->counters->alloc_failed);
	trace_p2pmem_alloc_failed(p2pdma->pdev, size);
}

static void *p2pmem_try(struct p2pdma_pool *pool, size_t size, size_t align)
{
	if (!p2pdma_pool_has(pool, size))
		return NULL;
	if (align > PAGE_SIZE)
		return p2pdma_pool_alloc_aligned(pool, size, align);
	return p2pdma_pool_alloc(pool, size);
}

/* Slow path: the hint has no room, tracing is on, or an alignment is asked. */
static noinline void *p2pmem_alloc_slow(struct pci_dev *provider, size_t size,
					size_t align)
{
	struct pci_p2pdma *p2pdma = rcu_dereference(provider->p2pdma);
	long returning;
	void *addr;

	if (!p2pdma)
		return NULL;
	returning = atomic_long_read_acquire(&p2pdma->nr_returning);
	do {
		addr = p2pmem_try(p2pdma->pool, size, align);
	} while (!addr && p2pdma_return_pages(p2pdma));
	/* Another task may have returned the last pages meanwhile. */
	if (!addr && returning)
		addr = p2pmem_try(p2pdma->pool, size, align);
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
	struct p2pdma_run run;
	unsigned long nr = 1;

	if (!p2pdma_pool_take(p2pdma->pool, &nr, &run))
		return p2pmem_alloc_slow(provider, PAGE_SIZE, PAGE_SIZE);
	return (void *)run.addr;
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

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (likely(p2pdma && !trace_p2pmem_free_enabled()) &&
	    likely(p2pdma_pool_free_first(p2pdma->pool, addr, size)))
		return;
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

/*
 * Lists come and go fast, and the slab allocator often needs its slow path
 * then. So each CPU keeps arrays for the next lists of few entries.
 */
#define P2PMEM_FEW	16U
#define P2PMEM_SPARES	8

static DEFINE_PER_CPU(struct scatterlist *, p2pmem_spares[P2PMEM_SPARES]);

static __always_inline struct scatterlist *p2pmem_alloc_array(unsigned int n)
{
	struct scatterlist * __percpu *spare = p2pmem_spares;
	struct scatterlist *sg;

	if (unlikely(n > P2PMEM_FEW))
		return kmalloc_array(n, sizeof(*sg), GFP_KERNEL);
	for (; spare < p2pmem_spares + P2PMEM_SPARES; spare++) {
		sg = this_cpu_read(*spare);
		if (sg && likely(this_cpu_cmpxchg(*spare, sg, NULL) == sg))
			return sg;
	}
	return kmalloc_array(P2PMEM_FEW, sizeof(*sg), GFP_KERNEL);
}

static __always_inline void p2pmem_free_array(struct scatterlist *sgl)
{
	struct scatterlist * __percpu *spare = p2pmem_spares;

	/* A driver may free a list that the driver made with kmalloc(). */
	if (unlikely(ksize(sgl) < P2PMEM_FEW * sizeof(*sgl))) {
		kfree(sgl);
		return;
	}
	for (; spare < p2pmem_spares + P2PMEM_SPARES; spare++)
		if (!this_cpu_read(*spare) &&
		    likely(!this_cpu_cmpxchg(*spare, NULL, sgl)))
			return;
	kfree(sgl);
}

/* A refused run must not keep the other runs of the word. */
static noinline void p2pmem_free_refused(struct pci_dev *provider,
					 struct p2pdma_chunk *chunk,
					 unsigned long w, unsigned long mask,
					 void *caller)
{
	unsigned long run, page;

	for (; mask; mask &= ~run) {
		/* The carry clears the lowest run. */
		run = mask & ~(mask + (mask & -mask));
		page = w * BITS_PER_LONG + __ffs(run);
		p2pmem_free_slow(provider,
				 (void *)chunk->addr + (page << PAGE_SHIFT),
				 hweight_long(run) << PAGE_SHIFT, caller);
	}
}

static __always_inline void p2pmem_free_word(struct pci_dev *provider,
					     struct p2pdma_chunk *chunk,
					     unsigned long w,
					     unsigned long mask, void *caller)
{
	if (mask && unlikely(!p2pdma_word_free(chunk, w, mask,
					       hweight_long(mask))))
		p2pmem_free_refused(provider, chunk, w, mask, caller);
}

/*
 * Free the memory of an array of entries. Return the last entry. Old pools make
 * long lists, so entries of one word are freed together.
 */
static struct scatterlist *p2pmem_free_memory(struct pci_dev *provider,
					      struct p2pdma_chunk *chunk,
					      struct scatterlist *sg,
					      void *caller)
{
	struct page *start = virt_to_page((void *)chunk->addr);
	unsigned long w = 0, mask = 0, bits, page, nr;

	for (;; sg++) {
		page = sg_page(sg) - start;
		nr = p2pdma_pool_pages(sg->length);
		if (likely(!sg->offset && p2pdma_in_word(chunk, page, nr))) {
			bits = p2pdma_bits(page % BITS_PER_LONG, nr);
			page /= BITS_PER_LONG;
			if (page != w || bits & mask) {
				p2pmem_free_word(provider, chunk, w, mask,
						 caller);
				w = page;
				mask = 0;
			}
			mask |= bits;
		} else if (sg->offset || page >= chunk->nr_pages ||
			   nr > chunk->nr_pages - page ||
			   !p2pdma_pool_free_pages(chunk, page, page + nr)) {
			p2pmem_free_slow(provider, sg_virt(sg), sg->length,
					 caller);
		}
		if (sg_is_last(sg) || sg_is_chain(sg + 1))
			break;
	}
	p2pmem_free_word(provider, chunk, w, mask, caller);
	return sg;
}

/* Slow path: tracing is on, or no chunk accepts allocations. */
static struct scatterlist *p2pmem_free_memory_slow(struct pci_dev *provider,
						   struct scatterlist *sg,
						   void *caller)
{
	for (;; sg++) {
		p2pmem_free_slow(provider, sg_virt(sg), sg->length, caller);
		if (sg_is_last(sg) || sg_is_chain(sg + 1))
			return sg;
	}
}

static noinline void p2pmem_free_entries(struct pci_dev *provider,
					 struct scatterlist *sgl, void *caller)
{
	struct p2pdma_chunk *chunk = NULL;
	struct scatterlist *last, *next;
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (likely(p2pdma && !trace_p2pmem_free_enabled()))
		chunk = rcu_dereference(p2pdma->pool->first);
	for (; sgl; sgl = next) {
		last = likely(chunk) ?
		       p2pmem_free_memory(provider, chunk, sgl, caller) :
		       p2pmem_free_memory_slow(provider, sgl, caller);
		next = sg_is_last(last) ? NULL : sg_next(last);
		p2pmem_free_array(sgl);
	}
}

/* Append an array of entries for @runs, with room for a link if @more. */
static struct scatterlist *p2pmem_sgl_append(struct scatterlist *last,
					     const struct p2pdma_run *runs,
					     unsigned int n, bool more)
{
	struct scatterlist *sg;

	sg = p2pmem_alloc_array(n + more);
	if (unlikely(!sg))
		return NULL;
	if (last)
		sg_chain(last + 1, 1, sg);
	for (; n; n--, runs++, sg++) {
		*sg = (struct scatterlist) {
			.page_link =
				(unsigned long)virt_to_page((void *)runs->addr),
			.length = runs->nr << PAGE_SHIFT,
		};
	}
	return sg - 1;
}

/* Slow path: a list of any number of entries. */
static noinline struct scatterlist *p2pmem_sgl_runs(struct pci_dev *provider,
						    unsigned int *nents,
						    u32 length)
{
	struct p2pdma_run runs[P2PDMA_RUNS] __uninitialized;
	struct scatterlist *first = NULL, *last = NULL, *sg;
	unsigned long nr = p2pdma_pool_pages(length);
	struct pci_p2pdma *p2pdma;
	unsigned int n = 0, total = 0;

	/* From the first page on, the provider cannot go. */
	scoped_guard(rcu) {
		p2pdma = rcu_dereference(provider->p2pdma);
		if (unlikely(!p2pdma))
			return NULL;
		if (likely(p2pdma_pool_reserve(p2pdma->pool, nr) ||
			   p2pdma_reserve(p2pdma, nr)))
			n = p2pmem_take(p2pdma, &nr, runs);
		if (unlikely(!n)) {
			p2pdma_alloc_failed(p2pdma, length);
			return NULL;
		}
	}
	while (n) {
		sg = p2pmem_sgl_append(last, runs, n, nr);
		if (unlikely(!sg))
			break;
		last = sg;
		total += n;
		if (!first)
			first = sg - n + 1;
		if (!nr) {
			sg_mark_end(sg);
			/* The last page may be used in part. */
			sg->length -= -length & ~PAGE_MASK;
			*nents = total;
			return first;
		}
		n = p2pdma_take(p2pdma, &nr, runs);
	}

	/* Memory is short, or a region is going. */
	p2pdma_alloc_failed(p2pdma, length);
	if (n)
		p2pdma_pool_unreserve(p2pdma->pool, nr);
	if (last)
		sg_mark_end(last);
	p2pdma_free_runs(p2pdma, runs, n);
	pci_p2pmem_free_sgl(provider, first);
	return NULL;
}

static struct scatterlist *p2pmem_sgl_single(struct pci_dev *provider,
					     void *addr, unsigned int *nents,
					     u32 length)
{
	struct scatterlist *sg = p2pmem_alloc_array(1);

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
	unsigned long nr = p2pdma_pool_pages(length);
	struct pci_p2pdma *p2pdma;
	bool reserved = false;
	void *addr = NULL;

	lockdep_assert_preemption_enabled();
	scoped_guard(rcu) {
		p2pdma = rcu_dereference(provider->p2pdma);
		if (likely(p2pdma && nr <= BITS_PER_LONG &&
			   !trace_p2pmem_alloc_enabled()))
			addr = p2pdma_pool_alloc_hint(p2pdma->pool, nr,
						      &reserved);
		if (unlikely(reserved))
			p2pdma_pool_unreserve(p2pdma->pool, nr);
	}
	return likely(addr) ? p2pmem_sgl_single(provider, addr, nents, length) :
			      p2pmem_sgl_runs(provider, nents, length);
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

	lockdep_assert_preemption_enabled();
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

	if (likely(sgl && sg_is_last(sgl))) {
		p2pmem_free(provider, sg_virt(sgl), sgl->length, caller);
		p2pmem_free_array(sgl);
	} else {
		p2pmem_free_entries(provider, sgl, caller);
	}
}
EXPORT_SYMBOL_GPL(pci_p2pmem_free_sgl);
