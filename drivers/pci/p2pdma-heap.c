// SPDX-License-Identifier: GPL-2.0
/*
 * DMA heaps: every published provider of peer memory has one heap
 *
 * Documented in Documentation/ABI/testing/sysfs-bus-pci-p2pdma.
 */

/**
 * DOC: Heaps
 *
 * A published provider has a DMA heap, /dev/dma_heap/p2pmem-<address>. The heap
 * makes dma-bufs of cleared pages of the pool. The pages count as pages of
 * user space, and leave the reserve alone.
 *
 * A heap cannot be removed in Linux 6.12. So a heap outlives the provider,
 * finds the function by address, and serves whatever provider is there.
 */
#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/cleanup.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/pci-p2pdma.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "p2pdma-private.h"
#include "p2pdma-dmabuf.h"

/**
 * struct p2pdma_heap - the heap of the provider at an address
 * @node: entry in p2pdma_heaps
 * @domain: domain of the provider
 * @bus: bus number of the provider
 * @devfn: device and function number of the provider
 * @name: name of the heap
 */
struct p2pdma_heap {
	struct list_head node;
	int domain;
	u8 bus;
	u8 devfn;
	char name[40];
};

/* Changed by p2pdma_heap_work only. */
static LIST_HEAD(p2pdma_heaps);

/* Memory of the pool */

/*
 * Moves up to @nr reserved pages into the buffer. Returns false if the region
 * goes; then the pages are not reserved any more.
 */
static bool p2pdma_buffer_take(struct p2pdma_buffer *buffer,
			       struct pci_p2pdma *p2pdma, unsigned long *nr)
{
	unsigned long part = min(*nr, P2PDMA_TAKE_PART), rest = *nr - part;
	struct p2pdma_run runs[P2PDMA_RUNS] __uninitialized;
	unsigned int n, i;

	n = p2pdma_take(p2pdma, &part, runs);
	for (i = 0; i < n; i++)
		p2pdma_buffer_append(buffer, &runs[i]);
	*nr = rest + part;
	if (!n)
		p2pdma_pool_unreserve(p2pdma->pool, rest);
	return n;
}

/* Reserves all pages, and takes the first pages, which pin the provider. */
static int p2pdma_buffer_begin(struct p2pdma_buffer *buffer, unsigned long *nr)
{
	unsigned long wanted = *nr;
	struct pci_p2pdma *p2pdma;
	int ret = -ENOMEM;

	guard(rcu)();
	p2pdma = rcu_dereference(buffer->provider->p2pdma);
	if (!p2pdma || !READ_ONCE(p2pdma->published))
		return -ENODEV;
	if (!p2pdma_charge(p2pdma, wanted))
		goto failed;
	if (!p2pdma_reserve(p2pdma, wanted))
		goto uncharge;
	if (p2pdma_buffer_take(buffer, p2pdma, nr))
		return 0;
	ret = -ENODEV;
uncharge:
	atomic_long_sub(wanted, &p2pdma->user_pages);
failed:
	if (ret == -ENOMEM)
		p2pdma_alloc_failed(p2pdma, wanted << PAGE_SHIFT);
	return ret;
}

/* Takes the rest of the pages, which are reserved and charged. */
static int p2pdma_buffer_complete(struct p2pdma_buffer *buffer,
				  unsigned long nr)
{
	struct pci_p2pdma *p2pdma = buffer->pieces->region->p2pdma;
	int ret = 0;

	while (nr) {
		ret = p2pdma_buffer_grow(buffer);
		if (fatal_signal_pending(current))
			ret = -EINTR;
		if (ret) {
			p2pdma_pool_unreserve(p2pdma->pool, nr);
			break;
		}
		if (!p2pdma_buffer_take(buffer, p2pdma, &nr)) {
			ret = -ENODEV;
			break;
		}
		cond_resched();
	}
	return ret;
}

static int p2pdma_piece_clear(const struct p2pdma_piece *piece)
{
	const struct p2pdma_run *run = &piece->run;
	unsigned long done, nr;

	for (done = 0; done < run->nr; done += nr) {
		if (fatal_signal_pending(current))
			return -EINTR;
		/* Unbinding waits for the memory. */
		if (p2pdma_chunk_closing(piece->region->chunk))
			return -ENODEV;
		cond_resched();
		nr = min(run->nr - done, P2PDMA_CLEAR_STEP);
		p2pdma_clear((void *)run->addr + (done << PAGE_SHIFT), nr);
	}
	return 0;
}

static int p2pdma_buffer_clear(struct p2pdma_buffer *buffer)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < buffer->nr_pieces && !ret; i++)
		ret = p2pdma_piece_clear(&buffer->pieces[i]);
	p2pdma_flush_stores((void *)buffer->pieces->run.addr);
	return ret;
}

/* Give the buffer @nr cleared pages of the pool. */
static int p2pdma_buffer_fill(struct p2pdma_buffer *buffer, unsigned long nr)
{
	unsigned long wanted = nr;
	struct pci_p2pdma *p2pdma;
	int ret;

	ret = p2pdma_buffer_grow(buffer);
	if (ret)
		return ret;
	ret = p2pdma_buffer_begin(buffer, &nr);
	if (ret)
		return ret;
	p2pdma = buffer->pieces->region->p2pdma;
	ret = p2pdma_buffer_complete(buffer, nr);
	if (ret) {
		atomic_long_sub(wanted - buffer->nr_pages, &p2pdma->user_pages);
		return ret;
	}
	return p2pdma_buffer_clear(buffer);
}

/* Heaps */

static struct dma_buf *p2pdma_heap_allocate(struct dma_heap *dma_heap,
					    unsigned long len, u32 fd_flags,
					    u64 heap_flags)
{
	const struct p2pdma_heap *heap = dma_heap_get_drvdata(dma_heap);
	struct p2pdma_buffer *buffer;
	struct dma_buf *dmabuf;
	struct pci_dev *pdev;
	int ret;

	pdev = pci_get_domain_bus_and_slot(heap->domain, heap->bus,
					   heap->devfn);
	if (!pdev)
		return ERR_PTR(-ENODEV);
	buffer = p2pdma_buffer_new(pdev);
	pci_dev_put(pdev);
	if (!buffer)
		return ERR_PTR(-ENOMEM);
	ret = p2pdma_buffer_fill(buffer, len >> PAGE_SHIFT);
	dmabuf = ret ? ERR_PTR(ret) : p2pdma_buffer_export(buffer, fd_flags);
	if (IS_ERR(dmabuf))
		p2pdma_buffer_free(buffer);
	return dmabuf;
}

static const struct dma_heap_ops p2pdma_heap_ops = {
	.allocate = p2pdma_heap_allocate,
};

static bool p2pdma_has_heap(const char *name)
{
	struct p2pdma_heap *heap;

	list_for_each_entry(heap, &p2pdma_heaps, node)
		if (!strcmp(heap->name, name))
			return true;
	return false;
}

static int p2pdma_add_heap(struct pci_dev *provider)
{
	struct dma_heap_export_info info = { .ops = &p2pdma_heap_ops };
	struct dma_heap *dma_heap;
	struct p2pdma_heap *heap;

	heap = kzalloc(sizeof(*heap), GFP_KERNEL);
	if (!heap)
		return -ENOMEM;
	heap->domain = pci_domain_nr(provider->bus);
	heap->bus = provider->bus->number;
	heap->devfn = provider->devfn;
	snprintf(heap->name, sizeof(heap->name), "p2pmem-%s",
		 pci_name(provider));
	if (p2pdma_has_heap(heap->name)) {
		kfree(heap);
		return 0;
	}
	info.name = heap->name;
	info.priv = heap;
	dma_heap = dma_heap_add(&info);
	if (IS_ERR(dma_heap)) {
		kfree(heap);
		return PTR_ERR(dma_heap);
	}
	list_add(&heap->node, &p2pdma_heaps);
	return 0;
}

/* Returns a published provider whose heap is to be added, with a reference. */
static struct pci_dev *p2pdma_needs_heap(void)
{
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	list_for_each_entry_rcu(p2pdma, &p2pdma_providers, node)
		if (xchg(&p2pdma->needs_heap, false))
			return pci_dev_get(p2pdma->pdev);
	return NULL;
}

/* Publishing may be atomic, so heaps are added here. */
static void p2pdma_add_heaps(struct work_struct *work)
{
	struct pci_dev *provider;
	int ret;

	while ((provider = p2pdma_needs_heap())) {
		ret = p2pdma_add_heap(provider);
		if (ret)
			pci_err(provider, "no DMA heap for peer-to-peer DMA memory: error %d\n",
				ret);
		pci_dev_put(provider);
	}
}

static DECLARE_WORK(p2pdma_heap_work, p2pdma_add_heaps);

VISIBLE_IF_KUNIT void p2pdma_export_published(struct pci_p2pdma *p2pdma)
{
	KUNIT_STATIC_STUB_REDIRECT(p2pdma_export_published, p2pdma);
	WRITE_ONCE(p2pdma->needs_heap, true);
	schedule_work(&p2pdma_heap_work);
}

static const struct p2pdma_exporter p2pdma_heap_exporter = {
	.routes_changed = p2pdma_export_routes_changed,
	.published = p2pdma_export_published,
	.revoke = p2pdma_export_revoke,
};

/* After the DMA heaps, before drivers. */
static int __init p2pdma_heap_init(void)
{
	p2pdma_exporter = &p2pdma_heap_exporter;
	return 0;
}
subsys_initcall_sync(p2pdma_heap_init);
