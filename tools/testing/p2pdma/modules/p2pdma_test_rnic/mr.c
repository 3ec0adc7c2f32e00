// SPDX-License-Identifier: GPL-2.0
/*
 * Memory: regions, keys, and the checks before anything is copied.
 *
 * A region is a list of DMA addresses of pages. The consumer mapped the pages for the function of
 * the RNIC. System RAM and peer memory are handled alike.
 */
#include <linux/log2.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include <rdma/ib_umem.h>
#include <rdma/iter.h>

#include "rnic.h"

static struct rnic_mr *rnic_new_mr(struct ib_pd *pd, u32 max_pages)
{
	struct rnic *rnic = to_rnic(pd->device);
	struct rnic_mr *mr;
	u32 index;
	int ret;

	if (!max_pages || max_pages > RNIC_MAX_PAGES)
		return ERR_PTR(-EINVAL);
	mr = kzalloc(sizeof(*mr), GFP_KERNEL);
	if (!mr)
		return ERR_PTR(-ENOMEM);
	mr->max_pages = max_pages;
	mr->pages = kcalloc(max_pages, sizeof(*mr->pages), GFP_KERNEL);
	if (!mr->pages) {
		ret = -ENOMEM;
		goto err_free;
	}
	/* The RDMA core sets the rest of the fields before a consumer gets the key. */
	mr->ib.pd = pd;
	ret = xa_alloc(&rnic->mrs, &index, mr, XA_LIMIT(1, RNIC_MAX_MR), GFP_KERNEL);
	if (ret)
		goto err_free;
	mr->key = index << RNIC_KEY_SHIFT;
	mr->ib.lkey = mr->key;
	mr->ib.rkey = mr->key;
	return mr;

err_free:
	kfree(mr->pages);
	kfree(mr);
	return ERR_PTR(ret);
}

static struct ib_mr *rnic_alloc_mr(struct ib_pd *pd, enum ib_mr_type type, u32 max_pages)
{
	struct rnic_mr *mr;

	if (type != IB_MR_TYPE_MEM_REG)
		return ERR_PTR(-EOPNOTSUPP);
	mr = rnic_new_mr(pd, max_pages);
	return IS_ERR(mr) ? ERR_CAST(mr) : &mr->ib;
}

static int rnic_dereg_mr(struct ib_mr *ib, struct ib_udata *udata)
{
	struct rnic *rnic = to_rnic(ib->device);
	struct rnic_mr *mr = to_rnic_mr(ib);

	spin_lock(&rnic->mr_lock);
	mr->valid = false;
	xa_erase(&rnic->mrs, mr->key >> RNIC_KEY_SHIFT);
	spin_unlock(&rnic->mr_lock);
	wait_var_event(&mr->users, !atomic_read(&mr->users));
	/* Unmaps the dma-buf, and lets the exporter have the memory back. */
	if (mr->umem)
		ib_umem_release(mr->umem);
	kfree(mr->pages);
	kfree(mr);
	return 0;
}

static int rnic_set_page(struct ib_mr *ib, u64 addr)
{
	struct rnic_mr *mr = to_rnic_mr(ib);

	if (mr->nr_pages == mr->max_pages)
		return -ENOMEM;
	mr->pages[mr->nr_pages++] = addr;
	return 0;
}

static int rnic_map_mr_sg(struct ib_mr *ib, struct scatterlist *sg, int sg_nents,
			  unsigned int *sg_offset)
{
	struct rnic_mr *mr = to_rnic_mr(ib);

	/* A copy in flight would use the new addresses. */
	if (atomic_read(&mr->users))
		return -EBUSY;
	if (ib->page_size < SZ_4K || !is_power_of_2(ib->page_size))
		return -EINVAL;
	mr->nr_pages = 0;
	return ib_sg_to_pages(ib, sg, sg_nents, sg_offset, rnic_set_page);
}

/* A key with all memory for the far end. No test needs such a key. */
static struct ib_mr *rnic_get_dma_mr(struct ib_pd *pd, int access)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static struct ib_mr *rnic_reg_user_mr(struct ib_pd *pd, u64 start, u64 length, u64 virt_addr,
				      int access, struct ib_udata *udata)
{
	return ERR_PTR(-EOPNOTSUPP);
}

/* A region over a dma-buf is pinned: the device cannot follow a move. */
static struct ib_mr *rnic_reg_user_mr_dmabuf(struct ib_pd *pd, u64 offset, u64 length,
					     u64 virt_addr, int fd, int access,
					     struct uverbs_attr_bundle *attrs)
{
	struct ib_umem_dmabuf *umem_dmabuf;
	struct ib_block_iter block;
	struct rnic_mr *mr;

	umem_dmabuf = ib_umem_dmabuf_get_pinned(pd->device, offset, length, fd, access);
	if (IS_ERR(umem_dmabuf))
		return ERR_CAST(umem_dmabuf);
	mr = rnic_new_mr(pd, ib_umem_num_pages(&umem_dmabuf->umem));
	if (IS_ERR(mr)) {
		ib_umem_release(&umem_dmabuf->umem);
		return ERR_CAST(mr);
	}
	mr->umem = &umem_dmabuf->umem;
	rdma_umem_for_each_dma_block(mr->umem, &block, PAGE_SIZE)
		mr->pages[mr->nr_pages++] = rdma_block_iter_dma_address(&block);
	mr->ib.page_size = PAGE_SIZE;
	mr->ib.iova = virt_addr;
	mr->ib.length = length;
	mr->iova = virt_addr;
	mr->length = length;
	mr->access = access;
	mr->valid = true;
	return &mr->ib;
}

const struct ib_device_ops rnic_mr_ops = {
	.alloc_mr = rnic_alloc_mr,
	.dereg_mr = rnic_dereg_mr,
	.get_dma_mr = rnic_get_dma_mr,
	.map_mr_sg = rnic_map_mr_sg,
	.reg_user_mr = rnic_reg_user_mr,
	.reg_user_mr_dmabuf = rnic_reg_user_mr_dmabuf,
};

static u64 rnic_mr_first_byte(const struct rnic_mr *mr)
{
	return mr->iova & (mr->ib.page_size - 1);
}

static bool rnic_mr_make_valid(struct rnic_mr *mr, u32 key, int access)
{
	u64 room = (u64)mr->nr_pages * mr->ib.page_size;

	if (mr->valid)
		return false;
	mr->iova = mr->ib.iova;
	mr->length = mr->ib.length;
	if (rnic_mr_first_byte(mr) + mr->length > room)
		return false;
	mr->key = key;
	mr->access = access;
	mr->valid = true;
	return true;
}

/**
 * rnic_mr_register() - execute a request to register a region
 * @qp: the queue pair of the request
 * @request: the work request
 *
 * Return: status for the completion.
 */
enum ib_wc_status rnic_mr_register(struct rnic_qp *qp, const struct rnic_request *request)
{
	struct rnic_mr *mr = to_rnic_mr(request->mr);
	struct rnic *rnic = qp->rnic;
	bool good;

	if (mr->ib.pd != qp->ib.pd || (request->rkey ^ mr->key) >> RNIC_KEY_SHIFT)
		return IB_WC_LOC_PROT_ERR;
	spin_lock(&rnic->mr_lock);
	good = rnic_mr_make_valid(mr, request->rkey, request->access);
	spin_unlock(&rnic->mr_lock);
	if (!good)
		return IB_WC_MW_BIND_ERR;
	atomic64_inc(&rnic->counters.registrations);
	return IB_WC_SUCCESS;
}

static struct rnic_mr *rnic_mr_find(struct rnic *rnic, struct ib_pd *pd, u32 key)
{
	struct rnic_mr *mr = xa_load(&rnic->mrs, key >> RNIC_KEY_SHIFT);

	lockdep_assert_held(&rnic->mr_lock);
	return mr && mr->ib.pd == pd && mr->key == key ? mr : NULL;
}

/**
 * rnic_mr_invalidate() - make a region invalid, and wait for all users of the region
 * @rnic: the device
 * @pd: protection domain of the request
 * @key: key of the region
 *
 * Invalidating a region that is not valid is not an error.
 *
 * Return: status for the completion.
 */
enum ib_wc_status rnic_mr_invalidate(struct rnic *rnic, struct ib_pd *pd, u32 key)
{
	struct rnic_mr *mr;

	spin_lock(&rnic->mr_lock);
	mr = rnic_mr_find(rnic, pd, key);
	if (mr)
		mr->valid = false;
	spin_unlock(&rnic->mr_lock);
	if (!mr)
		return IB_WC_LOC_PROT_ERR;
	wait_var_event(&mr->users, !atomic_read(&mr->users));
	atomic64_inc(&rnic->counters.invalidations);
	return IB_WC_SUCCESS;
}

static bool rnic_mr_allows(const struct rnic_mr *mr, u64 addr, u32 length, int access)
{
	return mr->valid && (mr->access & access) == access && addr >= mr->iova &&
	       length <= mr->length && addr - mr->iova <= mr->length - length;
}

static struct rnic_mr *rnic_mr_use(struct rnic *rnic, struct ib_pd *pd, u64 addr, u32 length,
				   u32 key, int access)
{
	struct rnic_mr *mr;

	spin_lock(&rnic->mr_lock);
	mr = rnic_mr_find(rnic, pd, key);
	if (mr && rnic_mr_allows(mr, addr, length, access))
		atomic_inc(&mr->users);
	else
		mr = NULL;
	spin_unlock(&rnic->mr_lock);
	return mr;
}

/**
 * rnic_memory_add() - check a range and add it to a source or destination
 * @rnic: the device
 * @memory: the source or destination
 * @pd: protection domain of the queue pair that owns the memory
 * @addr: address in the address space of the region
 * @length: number of bytes
 * @key: key of the region
 * @access: required rights
 *
 * Return: whether the range can be used.
 */
bool rnic_memory_add(struct rnic *rnic, struct rnic_memory *memory, struct ib_pd *pd, u64 addr,
		     u32 length, u32 key, int access)
{
	struct rnic_piece *piece = &memory->pieces[memory->count];
	struct rnic_mr *mr;

	if (memory->count == RNIC_MAX_SGE || length > RNIC_MAX_MESSAGE - memory->length)
		return false;
	mr = rnic_mr_use(rnic, pd, addr, length, key, access);
	if (!mr)
		return false;
	piece->mr = mr;
	piece->addr = addr - mr->iova + rnic_mr_first_byte(mr);
	piece->length = length;
	memory->length += length;
	memory->count++;
	return true;
}

/* The local DMA key covers all memory, by DMA address and with all local rights. */
static bool rnic_memory_add_dma(struct rnic_memory *memory, const struct ib_sge *sge)
{
	if (memory->count == RNIC_MAX_SGE || sge->length > RNIC_MAX_MESSAGE - memory->length ||
	    sge->addr + sge->length < sge->addr)
		return false;
	memory->pieces[memory->count++] = (struct rnic_piece) {
		.addr = sge->addr,
		.length = sge->length,
	};
	memory->length += sge->length;
	return true;
}

/**
 * rnic_memory_add_local() - check and add all local memory of a work request
 * @rnic: the device
 * @memory: the source or destination
 * @pd: protection domain of the queue pair of the request
 * @request: the work request
 * @access: required rights
 *
 * Return: whether all ranges can be used.
 */
bool rnic_memory_add_local(struct rnic *rnic, struct rnic_memory *memory, struct ib_pd *pd,
			   const struct rnic_request *request, int access)
{
	const struct ib_sge *sge;
	bool good = true;

	for (sge = request->sge; good && sge < request->sge + request->num_sge; sge++)
		good = sge->lkey == RNIC_LOCAL_DMA_LKEY ?
		       rnic_memory_add_dma(memory, sge) :
		       rnic_memory_add(rnic, memory, pd, sge->addr, sge->length, sge->lkey,
				       access);
	return good;
}

/* Translate an offset in the pages of a region. Return the length of the contiguous run. */
static u32 rnic_mr_run(const struct rnic_mr *mr, u64 offset, u32 max, dma_addr_t *addr)
{
	u32 page_size = mr->ib.page_size;
	u32 page = offset / page_size;
	u32 run = page_size - offset % page_size;

	*addr = mr->pages[page] + offset % page_size;
	while (run < max && ++page < mr->nr_pages && mr->pages[page] == *addr + run)
		run += page_size;
	return min(run, max);
}

static u32 rnic_memory_next(struct engine_cursor *cursor, u32 max, dma_addr_t *addr)
{
	struct rnic_memory *memory = container_of(cursor, struct rnic_memory, cursor);
	const struct rnic_piece *piece = &memory->pieces[memory->at];
	u32 length;

	while (memory->at < memory->count && memory->offset == piece->length) {
		memory->offset = 0;
		memory->at++;
		piece++;
	}
	if (memory->at == memory->count)
		return 0;
	length = min(max, piece->length - memory->offset);
	if (piece->mr)
		length = rnic_mr_run(piece->mr, piece->addr + memory->offset, length, addr);
	else
		*addr = piece->addr + memory->offset;
	memory->offset += length;
	return length;
}

/**
 * rnic_memory_init() - initialize an empty source or destination
 * @memory: the source or destination
 */
void rnic_memory_init(struct rnic_memory *memory)
{
	memory->cursor.next = rnic_memory_next;
	memory->count = 0;
	memory->length = 0;
	memory->at = 0;
	memory->offset = 0;
}

/**
 * rnic_memory_release() - release the regions after a copy
 * @memory: the source or destination
 */
void rnic_memory_release(struct rnic_memory *memory)
{
	unsigned int i;

	for (i = 0; i < memory->count; i++)
		if (memory->pieces[i].mr)
			rnic_count_down(&memory->pieces[i].mr->users);
	memory->count = 0;
}
