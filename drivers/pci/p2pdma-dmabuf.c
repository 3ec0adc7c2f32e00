// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: peer memory as dma-bufs
 *
 * Documented in Documentation/ABI/testing/sysfs-bus-pci-p2pdma.
 */

/**
 * DOC: dma-buf
 *
 * A buffer is memory of one provider behind a dma-buf. A buffer of a heap owns
 * pages of the pool; see p2pdma-heap.c. pci_p2pmem_export() makes a buffer of
 * memory that a driver owns.
 *
 * 1. attach: an importer that does not accept peer memory is refused, because
 *    no copy in system RAM exists. Without a route, the importer is refused
 *    with the reason of the route.
 * 2. map: without a route, the importer is refused again. The attachment counts
 *    mappings with bus addresses, which are for direct routes.
 * 3. mmap() of the file inserts a page into a page table at a page fault. Page
 *    tables hold no reference, so zapping page tables is enough to take the
 *    memory away.
 * 4. When a route ends or is of another kind, the importer is asked to unmap. A
 *    buffer that an importer pinned cannot be taken away: the log names the
 *    importer until the importer unmaps.
 * 5. When a region goes, page tables are zapped as well, and nothing can be
 *    mapped any more. The memory is free once no importer has a mapping and all
 *    fences are signalled; the file may stay open.
 *
 * The reservation lock of a dma-buf serialises maps, pins, page faults and the
 * end of the buffer's memory. The list of buffers has a spinlock. A walk over
 * the list holds the dentry of the current buffer, so the buffer stays. Not the
 * file: a file may be closed while somebody keeps the dentry and the memory,
 * and the last reference on a file is dropped only when the task returns to
 * user space, which an unbinding task never does while the task waits for the
 * memory. A work item drops the last reference of a walk.
 */
#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/cleanup.h>
#include <linux/dcache.h>
#include <linux/dma-buf.h>
#include <linux/dma-fence.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-resv.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/lockref.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci-p2pdma.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "p2pdma-private.h"
#include "p2pdma-dmabuf.h"

/* The log names importers without a route, again after this time. */
#define P2PDMA_HOLDER_REPORT	(5 * HZ)

/* Upper limit of an entry of a scatterlist, in bytes. */
#define P2PDMA_MAX_ENTRY	SZ_1G

/**
 * struct p2pdma_attachment - an importer of a buffer; reservation lock
 * @maps: number of mappings
 * @pins: number of pins, those of the dma-buf core included
 * @bus_maps: number of mappings with bus addresses
 */
struct p2pdma_attachment {
	unsigned int maps;
	unsigned int pins;
	unsigned int bus_maps;
};

static LIST_HEAD(p2pdma_buffers);
static DEFINE_SPINLOCK(p2pdma_buffers_lock);

/* The list of buffers */

static void p2pdma_list_buffer(struct p2pdma_buffer *buffer)
{
	guard(spinlock)(&p2pdma_buffers_lock);
	list_add_tail(&buffer->node, &p2pdma_buffers);
}

/*
 * Take a reference on a buffer, unless another task drops the last reference:
 * then p2pdma_buffer_release() follows. The dentry is not freed by RCU, so a
 * count of zero must stay zero.
 */
static bool p2pdma_hold_buffer(const struct p2pdma_buffer *buffer)
{
	return lockref_get_not_zero(&buffer->dentry->d_lockref);
}

static void p2pdma_put_work(struct work_struct *work)
{
	dput(container_of(work, struct p2pdma_buffer, put_work)->dentry);
}

/* The last reference waits for fences, and a walk must not. */
static void p2pdma_put_buffer(struct p2pdma_buffer *buffer)
{
	if (!lockref_put_not_zero(&buffer->dentry->d_lockref))
		queue_work(system_unbound_wq, &buffer->put_work);
}

/*
 * Returns the buffer after @buffer, or the first buffer, with a reference, and
 * drops the reference on @buffer.
 */
static struct p2pdma_buffer *p2pdma_next_buffer(struct p2pdma_buffer *buffer)
{
	struct p2pdma_buffer *next = NULL, *pos;

	scoped_guard(spinlock, &p2pdma_buffers_lock) {
		pos = list_prepare_entry(buffer, &p2pdma_buffers, node);
		list_for_each_entry_continue(pos, &p2pdma_buffers, node) {
			if (p2pdma_hold_buffer(pos)) {
				next = pos;
				break;
			}
		}
	}
	if (buffer)
		p2pdma_put_buffer(buffer);
	return next;
}

/* Memory of a buffer */

static bool p2pdma_buffer_in(const struct p2pdma_buffer *buffer,
			     const struct p2pdma_region *region)
{
	unsigned int i;

	/* Another provider may go at the same time, and its regions with it. */
	if (buffer->provider != region->p2pdma->pdev)
		return false;
	for (i = 0; i < buffer->nr_pieces; i++)
		if (buffer->pieces[i].region == region)
			return true;
	return false;
}

/**
 * p2pdma_buffer_new - make a buffer without memory
 * @provider: the provider
 *
 * Context: May sleep.
 * Return: the buffer, for p2pdma_buffer_free(), or NULL.
 */
struct p2pdma_buffer *p2pdma_buffer_new(struct pci_dev *provider)
{
	struct p2pdma_buffer *buffer;

	might_sleep();
	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL_ACCOUNT);
	if (!buffer)
		return NULL;
	buffer->provider = pci_dev_get(provider);
	INIT_WORK(&buffer->put_work, p2pdma_put_work);
	snprintf(buffer->name, sizeof(buffer->name), "p2pmem-%s",
		 pci_name(provider));
	return buffer;
}

/**
 * p2pdma_buffer_grow - make room for the runs that p2pdma_take() returns
 * @buffer: the buffer
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int p2pdma_buffer_grow(struct p2pdma_buffer *buffer)
{
	unsigned int max = max(2 * buffer->max_pieces, P2PDMA_RUNS);
	struct p2pdma_piece *grown;

	might_sleep();
	if (buffer->nr_pieces + P2PDMA_RUNS <= buffer->max_pieces)
		return 0;
	grown = kvrealloc(buffer->pieces, array_size(max, sizeof(*grown)),
			  GFP_KERNEL_ACCOUNT);
	if (!grown)
		return -ENOMEM;
	buffer->pieces = grown;
	buffer->max_pieces = max;
	return 0;
}

/**
 * p2pdma_buffer_append - give memory to a buffer
 * @buffer: the buffer, with room from p2pdma_buffer_grow()
 * @run: the memory
 *
 * The buffer pins the region.
 *
 * Context: Any. The region stays until the call returns.
 */
void p2pdma_buffer_append(struct p2pdma_buffer *buffer,
			  const struct p2pdma_run *run)
{
	struct p2pdma_piece *piece = &buffer->pieces[buffer->nr_pieces++];

	piece->first = buffer->nr_pages;
	piece->run = *run;
	piece->region =
		p2pdma_region_of(virt_to_page((void *)run->addr)->pgmap);
	buffer->nr_pages += run->nr;
	atomic_long_add(run->nr, &piece->region->exported);
}

static void p2pdma_piece_uncount(const struct p2pdma_piece *piece)
{
	struct p2pdma_region *region = piece->region;

	complete(&region->freed);
	/* The region may go from here on. */
	atomic_long_sub(piece->run.nr, &region->exported);
}

static void p2pdma_buffer_free_pages(struct p2pdma_buffer *buffer)
{
	struct p2pdma_piece *piece = buffer->pieces;
	struct pci_p2pdma *p2pdma = piece->region->p2pdma;

	for (; piece < buffer->pieces + buffer->nr_pieces; piece++) {
		p2pdma_free_runs(p2pdma, &piece->run, 1);
		cond_resched();
	}
	atomic_long_sub(buffer->nr_pages, &p2pdma->user_pages);
}

/* Give the memory back, which nobody reaches any more. */
static void p2pdma_buffer_free_memory(struct p2pdma_buffer *buffer)
{
	unsigned int i;

	if (!buffer->nr_pieces)
		return;
	if (buffer->release) {
		buffer->release(buffer->data);
		module_put(buffer->owner);
	} else {
		p2pdma_buffer_free_pages(buffer);
	}
	for (i = 0; i < buffer->nr_pieces; i++)
		p2pdma_piece_uncount(&buffer->pieces[i]);
	buffer->nr_pieces = 0;
}

/**
 * p2pdma_buffer_free - free a buffer, and give the memory back
 * @buffer: the buffer; nobody reaches the memory
 *
 * Context: May sleep.
 */
void p2pdma_buffer_free(struct p2pdma_buffer *buffer)
{
	unsigned int i;

	might_sleep();
	p2pdma_buffer_free_memory(buffer);
	for (i = 0; i < buffer->nr_fences; i++)
		dma_fence_put(buffer->fences[i]);
	kfree(buffer->fences);
	kvfree(buffer->pieces);
	pci_dev_put(buffer->provider);
	kfree(buffer);
}

/* Importers */

static bool p2pdma_is_pinned(const struct p2pdma_attachment *importer)
{
	/* Without the option, the dma-buf core pins for each mapping. */
	unsigned int implied = IS_ENABLED(CONFIG_DMABUF_MOVE_NOTIFY) ?
			       0 : importer->maps;

	return importer->pins > implied;
}

VISIBLE_IF_KUNIT void p2pdma_log_importer(struct pci_dev *provider,
					  struct device *importer, size_t size,
					  const char *what, const char *reason)
{
	KUNIT_STATIC_STUB_REDIRECT(p2pdma_log_importer, provider, importer,
				   size, what, reason);
	dev_warn_ratelimited(&provider->dev, "dma-buf of %zu bytes: importer %s %s: %s\n",
			     size, dev_name(importer), what, reason);
}

/*
 * Returns why a device must not access the memory, or NULL with the type of the
 * route.
 */
static const char *p2pdma_buffer_obstacle(const struct p2pdma_buffer *buffer,
					  struct device *dev,
					  enum pci_p2pdma_map_type *type)
{
	struct pci_dev *client = p2pdma_client_function(dev);
	struct p2pdma_route route;

	*type = PCI_P2PDMA_MAP_NOT_SUPPORTED;
	if (!client)
		return "not below a PCI function";
	if (!dma_pci_p2pdma_supported(dev))
		return "no DMA mapping of peer memory";
	p2pdma_route(buffer->provider, client, &route, NULL);
	*type = route.type;
	if (route.type != PCI_P2PDMA_MAP_NOT_SUPPORTED)
		return NULL;
	return p2pdma_reason_word(&route);
}

static int p2pdma_buffer_check(struct dma_buf *dmabuf,
			       struct dma_buf_attachment *attach)
{
	struct p2pdma_buffer *buffer = dmabuf->priv;
	const char *obstacle = "accepts no peer memory";
	enum pci_p2pdma_map_type type;
	int ret = -EOPNOTSUPP;

	dma_resv_assert_held(dmabuf->resv);
	if (buffer->revoked)
		return -ENODEV;
	if (attach->peer2peer) {
		obstacle = p2pdma_buffer_obstacle(buffer, attach->dev, &type);
		ret = -EREMOTEIO;
	}
	if (!obstacle)
		return 0;
	p2pdma_log_importer(buffer->provider, attach->dev, dmabuf->size,
			    "refused", obstacle);
	return ret;
}

static int p2pdma_buffer_attach(struct dma_buf *dmabuf,
				struct dma_buf_attachment *attach)
{
	struct p2pdma_attachment *importer;
	int ret;

	ret = dma_resv_lock_interruptible(dmabuf->resv, NULL);
	if (ret)
		return ret;
	/* Until a buffer is revoked, the provider has the means to be read. */
	ret = p2pdma_buffer_check(dmabuf, attach);
	dma_resv_unlock(dmabuf->resv);
	if (ret)
		return ret;
	importer = kzalloc(sizeof(*importer), GFP_KERNEL);
	attach->priv = importer;
	return importer ? 0 : -ENOMEM;
}

static void p2pdma_buffer_detach(struct dma_buf *dmabuf,
				 struct dma_buf_attachment *attach)
{
	kfree(attach->priv);
}

static int p2pdma_buffer_pin(struct dma_buf_attachment *attach)
{
	const struct p2pdma_buffer *buffer = attach->dmabuf->priv;
	struct p2pdma_attachment *importer = attach->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (buffer->revoked)
		return -ENODEV;
	importer->pins++;
	return 0;
}

static void p2pdma_buffer_unpin(struct dma_buf_attachment *attach)
{
	struct p2pdma_attachment *importer = attach->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	importer->pins--;
}

/*
 * Returns the number of pages from page @at of @piece that an entry for a
 * device may have. The size of the entry and the boundary that no entry crosses
 * are limits for bus addresses.
 */
static unsigned long p2pdma_entry_pages(const struct p2pdma_piece *piece,
					unsigned long at, struct device *dev)
{
	unsigned long max = min(dma_get_max_seg_size(dev), P2PDMA_MAX_ENTRY);
	unsigned long boundary = dma_get_seg_boundary(dev) | ~PAGE_MASK;
	unsigned long bus = __pa(piece->run.addr) + (at << PAGE_SHIFT) +
			    piece->region->bus_offset;

	max = min(max >> PAGE_SHIFT,
		  ((boundary - (bus & boundary)) >> PAGE_SHIFT) + 1);
	return min(piece->run.nr - at, max(max, 1));
}

/* Fills a list, or counts the entries if @sg is NULL. */
static unsigned int p2pdma_buffer_entries(const struct p2pdma_buffer *buffer,
					  struct device *dev,
					  struct scatterlist *sg)
{
	const struct p2pdma_piece *piece = buffer->pieces;
	unsigned long at, nr;
	unsigned int n = 0;

	for (; piece < buffer->pieces + buffer->nr_pieces; piece++) {
		for (at = 0; at < piece->run.nr; at += nr, n++) {
			nr = p2pdma_entry_pages(piece, at, dev);
			if (!sg)
				continue;
			sg_set_page(sg,
				    virt_to_page((void *)piece->run.addr) + at,
				    nr << PAGE_SHIFT, 0);
			sg = sg_next(sg);
		}
	}
	return n;
}

static int p2pdma_buffer_list(const struct p2pdma_buffer *buffer,
			      struct device *dev, struct sg_table *table)
{
	int ret;

	ret = sg_alloc_table(table, p2pdma_buffer_entries(buffer, dev, NULL),
			     GFP_KERNEL_ACCOUNT);
	if (!ret)
		p2pdma_buffer_entries(buffer, dev, table->sgl);
	return ret;
}

static struct sg_table *p2pdma_buffer_map(struct dma_buf_attachment *attach,
					  enum dma_data_direction direction)
{
	const struct p2pdma_buffer *buffer = attach->dmabuf->priv;
	struct p2pdma_attachment *importer = attach->priv;
	enum pci_p2pdma_map_type type;
	struct sg_table *table;
	int ret = -ENOMEM;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (buffer->revoked)
		return ERR_PTR(-ENODEV);
	/* dma_map_sgtable() does not ask for the route of untrusted clients. */
	type = p2pdma_map_type(buffer->pieces->region->p2pdma,
			       p2pdma_client_function(attach->dev));
	if (type == PCI_P2PDMA_MAP_NOT_SUPPORTED)
		return ERR_PTR(-EREMOTEIO);
	table = kzalloc(sizeof(*table), GFP_KERNEL);
	if (!table)
		return ERR_PTR(ret);
	ret = p2pdma_buffer_list(buffer, attach->dev, table);
	if (ret)
		goto free;
	/* Caches hold no peer memory. */
	ret = dma_map_sgtable(attach->dev, table, direction,
			      DMA_ATTR_SKIP_CPU_SYNC);
	if (ret)
		goto free;
	importer->maps++;
	importer->bus_maps += sg_dma_is_bus_address(table->sgl);
	return table;

free:
	sg_free_table(table);
	kfree(table);
	return ERR_PTR(ret);
}

static void p2pdma_buffer_unmap(struct dma_buf_attachment *attach,
				struct sg_table *table,
				enum dma_data_direction direction)
{
	struct p2pdma_attachment *importer = attach->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	importer->bus_maps -= sg_dma_is_bus_address(table->sgl);
	dma_unmap_sgtable(attach->dev, table, direction,
			  DMA_ATTR_SKIP_CPU_SYNC);
	sg_free_table(table);
	kfree(table);
	importer->maps--;
}

/* Access by the CPU */

static const struct p2pdma_run *
p2pdma_buffer_find(const struct p2pdma_buffer *buffer, unsigned long *page)
{
	unsigned int low = 0, high = buffer->nr_pieces, mid;

	while (high - low > 1) {
		mid = low + (high - low) / 2;
		if (buffer->pieces[mid].first <= *page)
			low = mid;
		else
			high = mid;
	}
	*page -= buffer->pieces[low].first;
	return &buffer->pieces[low].run;
}

/*
 * Takes the reservation lock for a page fault, or returns VM_FAULT_*. Waits
 * without the lock of the address space where the fault may begin anew, so that
 * a signal is seen, and other threads can map.
 */
static vm_fault_t p2pdma_lock_for_fault(struct vm_fault *vmf,
					struct dma_resv *resv)
{
	bool user = vmf->flags & FAULT_FLAG_USER;
	struct file *file = vmf->vma->vm_file;

	if (dma_resv_trylock(resv))
		return 0;
	if (!fault_flag_allow_retry_first(vmf->flags))
		return dma_resv_lock_interruptible(resv, NULL) ?
		       VM_FAULT_NOPAGE : 0;
	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;
	get_file(file);
	release_fault_lock(vmf);
	if (!dma_resv_lock_interruptible(resv, NULL))
		dma_resv_unlock(resv);
	else if (!user)
		/* Only a fatal signal ends an access of the kernel. */
		schedule_timeout_killable(1);
	fput(file);
	return VM_FAULT_RETRY;
}

static vm_fault_t p2pdma_buffer_fault(struct vm_fault *vmf)
{
	const struct p2pdma_buffer *buffer = vmf->vma->vm_private_data;
	unsigned long page = vmf->pgoff;
	const struct p2pdma_run *run;
	vm_fault_t ret;

	ret = p2pdma_lock_for_fault(vmf, buffer->dmabuf->resv);
	if (ret)
		return ret;
	if (buffer->revoked) {
		ret = VM_FAULT_SIGBUS;
	} else {
		run = p2pdma_buffer_find(buffer, &page);
		ret = vmf_insert_pfn(vmf->vma, vmf->address,
				     PHYS_PFN(__pa(run->addr)) + page);
	}
	dma_resv_unlock(buffer->dmabuf->resv);
	return ret;
}

static const struct vm_operations_struct p2pdma_buffer_vm_ops = {
	.fault = p2pdma_buffer_fault,
};

static int p2pdma_buffer_mmap(struct dma_buf *dmabuf,
			      struct vm_area_struct *vma)
{
	const struct p2pdma_buffer *buffer = dmabuf->priv;

	/* A private copy would be in system RAM. */
	if (is_cow_mapping(vma->vm_flags))
		return -EINVAL;
	if (READ_ONCE(buffer->revoked))
		return -ENODEV;
	vma->vm_ops = &p2pdma_buffer_vm_ops;
	vma->vm_private_data = dmabuf->priv;
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	vm_flags_set(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP);
	return 0;
}

static int p2pdma_buffer_begin_cpu_access(struct dma_buf *dmabuf,
					  enum dma_data_direction direction)
{
	const struct p2pdma_buffer *buffer = dmabuf->priv;

	return READ_ONCE(buffer->revoked) ? -ENODEV : 0;
}

/* Stores of the CPU arrive before any device may look. */
static int p2pdma_buffer_end_cpu_access(struct dma_buf *dmabuf,
					enum dma_data_direction direction)
{
	const struct p2pdma_buffer *buffer = dmabuf->priv;
	int ret;

	ret = dma_resv_lock_interruptible(dmabuf->resv, NULL);
	if (ret)
		return ret;
	if (buffer->revoked)
		ret = -ENODEV;
	else if (direction != DMA_FROM_DEVICE)
		p2pdma_flush_stores((void *)buffer->pieces->run.addr);
	dma_resv_unlock(dmabuf->resv);
	return ret;
}

static void p2pdma_buffer_release(struct dma_buf *dmabuf)
{
	struct p2pdma_buffer *buffer = dmabuf->priv;

	scoped_guard(spinlock, &p2pdma_buffers_lock)
		list_del(&buffer->node);
	if (buffer->nr_pieces)
		dma_resv_wait_timeout(dmabuf->resv, DMA_RESV_USAGE_BOOKKEEP,
				      false, MAX_SCHEDULE_TIMEOUT);
	p2pdma_buffer_free(buffer);
}

static const struct dma_buf_ops p2pdma_buffer_ops = {
	.attach = p2pdma_buffer_attach,
	.detach = p2pdma_buffer_detach,
	.pin = p2pdma_buffer_pin,
	.unpin = p2pdma_buffer_unpin,
	.map_dma_buf = p2pdma_buffer_map,
	.unmap_dma_buf = p2pdma_buffer_unmap,
	.begin_cpu_access = p2pdma_buffer_begin_cpu_access,
	.end_cpu_access = p2pdma_buffer_end_cpu_access,
	.mmap = p2pdma_buffer_mmap,
	.release = p2pdma_buffer_release,
};

/**
 * p2pdma_buffer_export - make a dma-buf of a buffer
 * @buffer: the buffer, with memory
 * @flags: flags of the file
 *
 * Context: May sleep.
 * Return: the dma-buf, which frees @buffer in the end, or an error pointer.
 * With an error, the caller still has @buffer.
 */
struct dma_buf *p2pdma_buffer_export(struct p2pdma_buffer *buffer,
				     unsigned int flags)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *dmabuf;

	might_sleep();
	info.ops = &p2pdma_buffer_ops;
	info.size = buffer->nr_pages << PAGE_SHIFT;
	info.flags = flags;
	info.priv = buffer;
	info.exp_name = buffer->name;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf))
		return dmabuf;
	buffer->dmabuf = dmabuf;
	buffer->dentry = dmabuf->file->f_path.dentry;
	p2pdma_list_buffer(buffer);
	return dmabuf;
}

/* Revocation */

/*
 * Take the mapping away from an importer, or log that the importer keeps it.
 * Returns whether the importer has no mapping any more.
 */
static bool p2pdma_take_mapping(struct p2pdma_buffer *buffer,
				struct dma_buf_attachment *attach,
				const char *reason, bool report)
{
	const struct p2pdma_attachment *importer = attach->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (importer->maps && !p2pdma_is_pinned(importer))
		attach->importer_ops->move_notify(attach);
	if (importer->maps && report)
		p2pdma_log_importer(buffer->provider, attach->dev,
				    attach->dmabuf->size, "keeps a mapping",
				    reason);
	return !importer->maps;
}

/* Returns whether an importer keeps a mapping that has no route, or another. */
static bool p2pdma_importer_check(struct p2pdma_buffer *buffer,
				  struct dma_buf_attachment *attach)
{
	const struct p2pdma_attachment *importer = attach->priv;
	enum pci_p2pdma_map_type type;
	const char *obstacle;
	unsigned int right;

	if (!importer->maps)
		return false;
	obstacle = p2pdma_buffer_obstacle(buffer, attach->dev, &type);
	right = type == PCI_P2PDMA_MAP_BUS_ADDR ? importer->maps : 0;
	if (!obstacle && importer->bus_maps != right)
		obstacle = "the route is another";
	return obstacle && !p2pdma_take_mapping(buffer, attach, obstacle, true);
}

/* Returns whether an importer keeps a mapping without a right to it. */
static bool p2pdma_buffer_check_routes(struct p2pdma_buffer *buffer)
{
	struct dma_buf_attachment *attach;
	bool kept = false;

	dma_resv_lock(buffer->dmabuf->resv, NULL);
	list_for_each_entry(attach, &buffer->dmabuf->attachments, node) {
		/* p2pdma_export_revoke() cares for the rest. */
		if (buffer->revoked)
			break;
		kept |= p2pdma_importer_check(buffer, attach);
	}
	dma_resv_unlock(buffer->dmabuf->resv);
	return kept;
}

static void p2pdma_route_check(struct work_struct *work)
{
	struct p2pdma_buffer *buffer = NULL;
	bool kept = false;

	while ((buffer = p2pdma_next_buffer(buffer)))
		kept |= p2pdma_buffer_check_routes(buffer);
	if (kept)
		schedule_delayed_work(to_delayed_work(work),
				      P2PDMA_HOLDER_REPORT);
}

static DECLARE_DELAYED_WORK(p2pdma_route_work, p2pdma_route_check);

/**
 * p2pdma_export_routes_changed - check the routes of all importers
 *
 * Context: Any.
 */
void p2pdma_export_routes_changed(void)
{
	mod_delayed_work(system_wq, &p2pdma_route_work, 0);
}

/*
 * Are the fences signalled that there were when the last mapping ended? Later
 * fences are about no access, and user space may add fences without end.
 */
static bool p2pdma_fences_signaled(struct p2pdma_buffer *buffer)
{
	unsigned int i;

	dma_resv_assert_held(buffer->dmabuf->resv);
	if (!buffer->has_fences) {
		if (dma_resv_get_fences(buffer->dmabuf->resv,
					DMA_RESV_USAGE_BOOKKEEP,
					&buffer->nr_fences, &buffer->fences))
			return false;
		buffer->has_fences = true;
		for (i = 0; i < buffer->nr_fences; i++)
			dma_fence_enable_sw_signaling(buffer->fences[i]);
	}
	for (i = 0; i < buffer->nr_fences; i++)
		if (!dma_fence_is_signaled(buffer->fences[i]))
			return false;
	return true;
}

/* Returns whether nobody reaches the memory any more. */
static bool p2pdma_buffer_revoke(struct p2pdma_buffer *buffer, bool report)
{
	struct dma_buf_attachment *attach;
	bool idle = true;

	dma_resv_lock(buffer->dmabuf->resv, NULL);
	WRITE_ONCE(buffer->revoked, true);
	list_for_each_entry(attach, &buffer->dmabuf->attachments, node)
		idle &= p2pdma_take_mapping(buffer, attach,
					    "the provider goes", report);
	/* The caller asks again: a fence of one buffer stops no other. */
	idle = idle && p2pdma_fences_signaled(buffer);
	dma_resv_unlock(buffer->dmabuf->resv);
	unmap_mapping_range(d_inode(buffer->dentry)->i_mapping, 0, 0, true);
	return idle;
}

/**
 * p2pdma_export_revoke - take the memory of a region away from all importers
 * @region: the region, which goes
 * @report: log the importers that keep a mapping
 *
 * Context: May sleep.
 */
void p2pdma_export_revoke(struct p2pdma_region *region, bool report)
{
	struct p2pdma_buffer *buffer = NULL;

	might_sleep();
	while ((buffer = p2pdma_next_buffer(buffer)))
		if (p2pdma_buffer_in(buffer, region) &&
		    p2pdma_buffer_revoke(buffer, report))
			p2pdma_buffer_free_memory(buffer);
}

/* Memory that a driver owns */

/* Returns the region that holds the whole range, or NULL. */
static struct p2pdma_region *p2pdma_region_at(struct pci_dev *provider,
					      struct range *range)
{
	struct pci_p2pdma *p2pdma = rcu_dereference(provider->p2pdma);
	struct p2pdma_region *region;

	if (p2pdma)
		list_for_each_entry_rcu(region, &p2pdma->regions, node)
			if (range_contains(&region->pgmap.range, range))
				return region;
	return NULL;
}

static int p2pdma_buffer_use(struct p2pdma_buffer *buffer, void *addr,
			     size_t size)
{
	struct p2pdma_run run = {
		.addr = (unsigned long)addr,
		.nr = size >> PAGE_SHIFT,
	};
	struct range range = {
		.start = virt_to_phys(addr),
		.end = virt_to_phys(addr) + size - 1,
	};
	int ret;

	if (range.end < range.start)
		return -EINVAL;
	ret = p2pdma_buffer_grow(buffer);
	if (ret)
		return ret;
	guard(rcu)();
	if (!p2pdma_region_at(buffer->provider, &range))
		return -EINVAL;
	p2pdma_buffer_append(buffer, &run);
	return 0;
}

/* Takes over a reference on @owner, on success only. */
static struct dma_buf *
p2pdma_export(struct pci_dev *provider, void *addr, size_t size,
	      unsigned int flags, void (*release)(void *data), void *data,
	      struct module *owner)
{
	struct p2pdma_buffer *buffer;
	struct dma_buf *dmabuf;
	int ret;

	buffer = p2pdma_buffer_new(provider);
	if (!buffer)
		return ERR_PTR(-ENOMEM);
	ret = p2pdma_buffer_use(buffer, addr, size);
	buffer->release = release;
	buffer->data = data;
	buffer->owner = owner;
	dmabuf = ret ? ERR_PTR(ret) : p2pdma_buffer_export(buffer, flags);
	if (!IS_ERR(dmabuf))
		return dmabuf;
	if (!ret)
		p2pdma_piece_uncount(buffer->pieces);
	buffer->nr_pieces = 0;
	p2pdma_buffer_free(buffer);
	return dmabuf;
}

/**
 * __pci_p2pmem_export - make a dma-buf of peer memory that a driver owns
 * @provider: the provider
 * @addr: kernel address of memory from pci_p2pmem_alloc(), or of pages that the
 *	driver owns, see pci_p2pdma_add_owned(); a multiple of the page size
 * @size: number of bytes, a multiple of the page size; all in one region
 * @flags: flags of the file: O_RDONLY, O_RDWR, O_CLOEXEC
 * @release: called when nobody reaches the memory any more
 * @data: argument of @release; not managed memory, as devres would free the
 *	memory before the registration ends
 * @owner: module of @release; pci_p2pmem_export() passes THIS_MODULE
 *
 * The bytes are exported as they are. The memory belongs to the dma-buf until
 * @release, which is called once: when the dma-buf goes, or earlier when
 * @provider is unbound. Unbinding waits for @release to return. Until then, the
 * driver neither frees @addr nor unmaps the pages, and @owner stays loaded.
 *
 * Context: May sleep. The driver stays bound to @provider. @release is called
 * from a context that may sleep.
 * Return: the dma-buf, for dma_buf_fd() or dma_buf_put(). On error, @release is
 * not called: -EINVAL for a range that is not peer memory of @provider or not
 * aligned, or without @release; -EOPNOTSUPP without CONFIG_PCI_P2PDMA_DMABUF;
 * -ENODEV if @owner is being unloaded; -ENOMEM.
 */
struct dma_buf *__pci_p2pmem_export(struct pci_dev *provider, void *addr,
				    size_t size, unsigned int flags,
				    void (*release)(void *data), void *data,
				    struct module *owner)
{
	struct dma_buf *dmabuf;

	might_sleep();
	if (!release || !size || !virt_addr_valid(addr) ||
	    !IS_ALIGNED((unsigned long)addr | size, PAGE_SIZE))
		return ERR_PTR(-EINVAL);
	if (!try_module_get(owner))
		return ERR_PTR(-ENODEV);
	dmabuf = p2pdma_export(provider, addr, size, flags, release, data,
			       owner);
	if (IS_ERR(dmabuf))
		module_put(owner);
	return dmabuf;
}
EXPORT_SYMBOL_GPL(__pci_p2pmem_export);
