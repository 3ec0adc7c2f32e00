// SPDX-License-Identifier: GPL-2.0
/*
 * Device, port, protection domains and completion queues.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <net/addrconf.h>

#include "rnic.h"

static int rnic_query_device(struct ib_device *ib, struct ib_device_attr *attr,
			     struct ib_udata *udata)
{
	struct rnic *rnic = to_rnic(ib);

	attr->sys_image_guid = ib->node_guid;
	attr->vendor_id = rnic->pdev->vendor;
	attr->vendor_part_id = rnic->pdev->device;
	attr->device_cap_flags = IB_DEVICE_MEM_MGT_EXTENSIONS;
	attr->kernel_cap_flags = IBK_LOCAL_DMA_LKEY;
	attr->max_mr_size = (u64)RNIC_MAX_PAGES * PAGE_SIZE;
	attr->page_size_cap = PAGE_SIZE;
	attr->max_fast_reg_page_list_len = RNIC_MAX_PAGES;
	attr->max_qp = RNIC_MAX_QP;
	attr->max_qp_wr = RNIC_MAX_WR;
	attr->max_send_sge = RNIC_MAX_SGE;
	attr->max_recv_sge = RNIC_MAX_SGE;
	attr->max_sge_rd = 1;
	attr->max_cq = 2 * RNIC_MAX_QP;
	attr->max_cqe = RNIC_MAX_CQE;
	attr->max_mr = RNIC_MAX_MR;
	attr->max_pd = RNIC_MAX_QP;
	attr->max_qp_rd_atom = 16;
	attr->max_qp_init_rd_atom = 16;
	attr->atomic_cap = IB_ATOMIC_NONE;
	return 0;
}

static int rnic_query_port(struct ib_device *ib, u32 port, struct ib_port_attr *attr)
{
	struct rnic *rnic = to_rnic(ib);
	bool up = netif_running(rnic->netdev);

	attr->state = up ? IB_PORT_ACTIVE : IB_PORT_DOWN;
	attr->phys_state = up ? IB_PORT_PHYS_STATE_LINK_UP : IB_PORT_PHYS_STATE_DISABLED;
	attr->gid_tbl_len = 1;
	attr->max_msg_sz = RNIC_MAX_MESSAGE;
	attr->max_mtu = IB_MTU_4096;
	attr->active_mtu = IB_MTU_4096;
	attr->active_width = IB_WIDTH_1X;
	attr->active_speed = IB_SPEED_SDR;
	return 0;
}

static int rnic_get_port_immutable(struct ib_device *ib, u32 port,
				   struct ib_port_immutable *immutable)
{
	immutable->gid_tbl_len = 1;
	immutable->core_cap_flags = RDMA_CORE_PORT_IWARP;
	return 0;
}

/* With iWARP, the only GID is the hardware address. */
static int rnic_query_gid(struct ib_device *ib, u32 port, int index, union ib_gid *gid)
{
	memset(gid, 0, sizeof(*gid));
	ether_addr_copy(gid->raw, to_rnic(ib)->netdev->dev_addr);
	return 0;
}

static int rnic_alloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	return 0;
}

static int rnic_dealloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	return 0;
}

static int rnic_create_cq(struct ib_cq *ib, const struct ib_cq_init_attr *attr,
			  struct uverbs_attr_bundle *attrs)
{
	struct rnic_cq *cq = to_rnic_cq(ib);

	if (attr->flags)
		return -EOPNOTSUPP;
	if (!attr->cqe || attr->cqe > RNIC_MAX_CQE)
		return -EINVAL;
	cq->ring = kvcalloc(attr->cqe, sizeof(*cq->ring), GFP_KERNEL);
	if (!cq->ring)
		return -ENOMEM;
	ib->cqe = attr->cqe;
	spin_lock_init(&cq->lock);
	return 0;
}

static int rnic_destroy_cq(struct ib_cq *ib, struct ib_udata *udata)
{
	kvfree(to_rnic_cq(ib)->ring);
	return 0;
}

static int rnic_poll_cq(struct ib_cq *ib, int entries, struct ib_wc *wc)
{
	struct rnic_cq *cq = to_rnic_cq(ib);
	unsigned long flags;
	int n;

	spin_lock_irqsave(&cq->lock, flags);
	for (n = 0; n < entries && cq->count; n++, cq->count--) {
		wc[n] = cq->ring[cq->head];
		cq->head = (cq->head + 1) % ib->cqe;
	}
	spin_unlock_irqrestore(&cq->lock, flags);
	return n;
}

static int rnic_req_notify_cq(struct ib_cq *ib, enum ib_cq_notify_flags wanted)
{
	struct rnic_cq *cq = to_rnic_cq(ib);
	unsigned long flags;
	bool missed;

	spin_lock_irqsave(&cq->lock, flags);
	/* An earlier request for any completion also covers solicited completions. */
	cq->solicited = (wanted & IB_CQ_SOLICITED_MASK) == IB_CQ_SOLICITED &&
			(cq->solicited || !cq->notify);
	cq->notify = true;
	missed = cq->count;
	spin_unlock_irqrestore(&cq->lock, flags);
	return missed && wanted & IB_CQ_REPORT_MISSED_EVENTS;
}

static bool rnic_cq_put(struct rnic_cq *cq, const struct ib_wc *wc)
{
	if (cq->count == cq->ib.cqe)
		return false;
	cq->ring[(cq->head + cq->count++) % cq->ib.cqe] = *wc;
	return true;
}

static void rnic_cq_overflow(struct ib_cq *ib)
{
	struct ib_event event = {
		.device = ib->device,
		.element.cq = ib,
		.event = IB_EVENT_CQ_ERR,
	};

	ibdev_err(ib->device, "a completion queue of %d entries overflows\n", ib->cqe);
	if (ib->event_handler)
		ib->event_handler(&event, ib->cq_context);
}

/**
 * rnic_cq_add() - report a completion
 * @ib: the completion queue
 * @wc: the completion
 * @solicited: the far end sent with IB_SEND_SOLICITED
 */
void rnic_cq_add(struct ib_cq *ib, const struct ib_wc *wc, bool solicited)
{
	struct rnic_cq *cq = to_rnic_cq(ib);
	bool notify = false, overflow = false;
	unsigned long flags;

	spin_lock_irqsave(&cq->lock, flags);
	if (!rnic_cq_put(cq, wc)) {
		overflow = !cq->overflow;
		cq->overflow = true;
	}
	if (!cq->solicited || solicited || wc->status != IB_WC_SUCCESS) {
		notify = cq->notify;
		cq->notify = false;
	}
	spin_unlock_irqrestore(&cq->lock, flags);
	if (overflow)
		rnic_cq_overflow(ib);
	if (notify && ib->comp_handler)
		ib->comp_handler(ib, ib->cq_context);
}

/**
 * rnic_cq_forget() - drop the completions of a queue pair
 * @ib: the completion queue
 * @qp: the queue pair
 *
 * A consumer that destroys a queue pair without a drain expects no more completions.
 */
void rnic_cq_forget(struct ib_cq *ib, const struct ib_qp *qp)
{
	struct rnic_cq *cq = to_rnic_cq(ib);
	unsigned int i, kept = 0;
	unsigned long flags;

	spin_lock_irqsave(&cq->lock, flags);
	for (i = 0; i < cq->count; i++) {
		struct ib_wc *wc = &cq->ring[(cq->head + i) % ib->cqe];

		if (wc->qp != qp)
			cq->ring[(cq->head + kept++) % ib->cqe] = *wc;
	}
	cq->count = kept;
	spin_unlock_irqrestore(&cq->lock, flags);
}

const struct ib_device_ops rnic_verbs_ops = {
	.alloc_pd = rnic_alloc_pd,
	.create_cq = rnic_create_cq,
	.dealloc_pd = rnic_dealloc_pd,
	.destroy_cq = rnic_destroy_cq,
	.get_port_immutable = rnic_get_port_immutable,
	.poll_cq = rnic_poll_cq,
	.query_device = rnic_query_device,
	.query_gid = rnic_query_gid,
	.query_port = rnic_query_port,
	.req_notify_cq = rnic_req_notify_cq,
	INIT_RDMA_OBJ_SIZE(ib_cq, rnic_cq, ib),
	INIT_RDMA_OBJ_SIZE(ib_pd, rnic_pd, ib),
};
