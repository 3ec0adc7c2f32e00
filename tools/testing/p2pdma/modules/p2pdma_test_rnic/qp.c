// SPDX-License-Identifier: GPL-2.0
/*
 * Queue pairs: posting of work requests, the worker that executes requests, and completions.
 */
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "rnic.h"

/* Result of an execution beside completion statuses: the far end has no receive request. */
#define RNIC_NOT_READY		(-EAGAIN)

static int rnic_queue_init(struct rnic_queue *queue, u32 size, u32 max_sge)
{
	spin_lock_init(&queue->lock);
	queue->size = size;
	queue->max_sge = max_sge;
	if (!size)
		return 0;
	queue->ring = kvcalloc(size, sizeof(*queue->ring), GFP_KERNEL);
	return queue->ring ? 0 : -ENOMEM;
}

static int rnic_queue_put(struct rnic_queue *queue, const struct rnic_request *request)
{
	unsigned long flags;
	int ret = -ENOMEM;

	spin_lock_irqsave(&queue->lock, flags);
	if (queue->count < queue->size) {
		queue->ring[(queue->head + queue->count++) % queue->size] = *request;
		ret = 0;
	}
	spin_unlock_irqrestore(&queue->lock, flags);
	return ret;
}

/* Return the oldest request. Only the worker of the queue pair may remove send requests. */
static struct rnic_request *rnic_queue_first(struct rnic_queue *queue)
{
	struct rnic_request *first;
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	first = queue->count ? &queue->ring[queue->head] : NULL;
	spin_unlock_irqrestore(&queue->lock, flags);
	return first;
}

static bool rnic_queue_take(struct rnic_queue *queue, struct rnic_request *request)
{
	unsigned long flags;
	bool found;

	spin_lock_irqsave(&queue->lock, flags);
	found = queue->count;
	if (found) {
		*request = queue->ring[queue->head];
		queue->head = (queue->head + 1) % queue->size;
		queue->count--;
	}
	spin_unlock_irqrestore(&queue->lock, flags);
	return found;
}

static enum ib_wc_opcode rnic_wc_opcode(enum ib_wr_opcode opcode)
{
	switch (opcode) {
	case IB_WR_RDMA_WRITE:
		return IB_WC_RDMA_WRITE;
	case IB_WR_RDMA_READ:
	case IB_WR_RDMA_READ_WITH_INV:
		return IB_WC_RDMA_READ;
	case IB_WR_LOCAL_INV:
		return IB_WC_LOCAL_INV;
	case IB_WR_REG_MR:
		return IB_WC_REG_MR;
	default:
		return IB_WC_SEND;
	}
}

static void rnic_count_failure(struct rnic *rnic, enum ib_wc_status status)
{
	if (status == IB_WC_WR_FLUSH_ERR)
		atomic64_inc(&rnic->counters.flushed);
	else if (status != IB_WC_SUCCESS)
		atomic64_inc(&rnic->counters.failed);
}

/* Failures are reported for unsignaled requests, too. */
static void rnic_complete_send(struct rnic_qp *qp, const struct rnic_request *request,
			       enum ib_wc_status status)
{
	struct ib_wc wc = {
		.wr_id = request->wr_id,
		.status = status,
		.opcode = rnic_wc_opcode(request->opcode),
		.qp = &qp->ib,
		.byte_len = status == IB_WC_SUCCESS ? qp->to.length : 0,
	};

	rnic_count_failure(qp->rnic, status);
	if (status == IB_WC_SUCCESS && !qp->signal_all &&
	    !(request->send_flags & IB_SEND_SIGNALED))
		return;
	rnic_cq_add(qp->ib.send_cq, &wc, false);
}

/* @sent is the send request that filled @request, or NULL. */
static void rnic_complete_receive(struct rnic_qp *qp, const struct rnic_request *request,
				  enum ib_wc_status status, const struct rnic_request *sent,
				  u32 length)
{
	struct ib_wc wc = {
		.wr_id = request->wr_id,
		.status = status,
		.opcode = IB_WC_RECV,
		.qp = &qp->ib,
		.byte_len = length,
	};

	if (sent && sent->opcode == IB_WR_SEND_WITH_INV) {
		wc.wc_flags = IB_WC_WITH_INVALIDATE;
		wc.ex.invalidate_rkey = sent->inv_key;
	}
	rnic_count_failure(qp->rnic, status);
	rnic_cq_add(qp->ib.recv_cq, &wc, sent && sent->send_flags & IB_SEND_SOLICITED);
}

static void rnic_qp_event(struct rnic_qp *qp, enum ib_event_type type)
{
	struct ib_event event = {
		.device = qp->ib.device,
		.element.qp = &qp->ib,
		.event = type,
	};

	if (qp->ib.event_handler)
		qp->ib.event_handler(&event, qp->ib.qp_context);
}

static enum ib_wc_status rnic_copy(struct rnic_qp *qp, atomic64_t *counter)
{
	struct rnic *rnic = qp->rnic;
	u32 length = qp->from.length;
	int ret;

	ret = engine_copy(rnic->engine, &qp->from.cursor, &qp->to.cursor, length);
	if (ret)
		return engine_is_dead(rnic->engine) ? IB_WC_FATAL_ERR : IB_WC_GENERAL_ERR;
	atomic64_inc(counter);
	atomic64_add(length, &rnic->counters.bytes);
	return IB_WC_SUCCESS;
}

static int rnic_write(struct rnic_qp *qp, struct rnic_qp *peer, const struct rnic_request *request)
{
	struct rnic *rnic = qp->rnic;

	if (!rnic_memory_add_local(rnic, &qp->from, qp->ib.pd, request, 0))
		return IB_WC_LOC_PROT_ERR;
	/* RFC 5040, 5.1: the key of a write without payload is not checked. */
	if (qp->from.length &&
	    (!(peer->access & IB_ACCESS_REMOTE_WRITE) ||
	     !rnic_memory_add(rnic, &qp->to, peer->ib.pd, request->remote_addr, qp->from.length,
			      request->rkey, IB_ACCESS_REMOTE_WRITE))) {
		rnic_qp_event(peer, IB_EVENT_QP_ACCESS_ERR);
		return IB_WC_REM_ACCESS_ERR;
	}
	return rnic_copy(qp, &rnic->counters.writes);
}

/*
 * A read invalidates the region of the destination. The READ and WRITE helpers of the RDMA core set
 * the key to invalidate before they increment the consumer's bits of the key, so compare only the
 * index.
 */
static enum ib_wc_status rnic_invalidate_sink(struct rnic_qp *qp,
					      const struct rnic_request *request)
{
	u32 key = request->num_sge ? request->sge[0].lkey : request->inv_key;

	if ((key ^ request->inv_key) >> RNIC_KEY_SHIFT)
		return IB_WC_LOC_PROT_ERR;
	return rnic_mr_invalidate(qp->rnic, qp->ib.pd, key);
}

static int rnic_read(struct rnic_qp *qp, struct rnic_qp *peer, const struct rnic_request *request)
{
	struct rnic *rnic = qp->rnic;
	int status;

	if (!rnic_memory_add_local(rnic, &qp->to, qp->ib.pd, request, IB_ACCESS_LOCAL_WRITE))
		return IB_WC_LOC_PROT_ERR;
	if (qp->to.length &&
	    (!(peer->access & IB_ACCESS_REMOTE_READ) ||
	     !rnic_memory_add(rnic, &qp->from, peer->ib.pd, request->remote_addr, qp->to.length,
			      request->rkey, IB_ACCESS_REMOTE_READ))) {
		rnic_qp_event(peer, IB_EVENT_QP_ACCESS_ERR);
		return IB_WC_REM_ACCESS_ERR;
	}
	status = rnic_copy(qp, &rnic->counters.reads);
	if (status || request->opcode != IB_WR_RDMA_READ_WITH_INV)
		return status;
	/* Invalidation waits for all users of the region, so release @to first. */
	rnic_memory_release(&qp->to);
	return rnic_invalidate_sink(qp, request);
}

/* Execute a send into @qp->receive, and complete the receive request. Return the send's status. */
static int rnic_deliver(struct rnic_qp *qp, struct rnic_qp *peer,
			const struct rnic_request *request)
{
	struct rnic_request *receive = &qp->receive;
	struct rnic *rnic = qp->rnic;
	int status;

	if (!rnic_memory_add_local(rnic, &qp->to, peer->ib.pd, receive, IB_ACCESS_LOCAL_WRITE)) {
		rnic_complete_receive(peer, receive, IB_WC_LOC_PROT_ERR, NULL, 0);
		return IB_WC_REM_OP_ERR;
	}
	if (qp->from.length > qp->to.length) {
		rnic_complete_receive(peer, receive, IB_WC_LOC_LEN_ERR, NULL, 0);
		return IB_WC_REM_INV_REQ_ERR;
	}
	status = rnic_copy(qp, &rnic->counters.sends);
	rnic_memory_release(&qp->to);
	if (!status && request->opcode == IB_WR_SEND_WITH_INV &&
	    rnic_mr_invalidate(rnic, peer->ib.pd, request->inv_key))
		status = IB_WC_REM_INV_REQ_ERR;
	if (status)
		rnic_complete_receive(peer, receive, IB_WC_WR_FLUSH_ERR, NULL, 0);
	else
		rnic_complete_receive(peer, receive, IB_WC_SUCCESS, request, qp->from.length);
	return status;
}

static int rnic_send(struct rnic_qp *qp, struct rnic_qp *peer, const struct rnic_request *request)
{
	if (!rnic_memory_add_local(qp->rnic, &qp->from, qp->ib.pd, request, 0))
		return IB_WC_LOC_PROT_ERR;
	/* Real iWARP ends the connection here. Wait for a receive request instead. */
	if (!rnic_queue_take(&peer->rq, &qp->receive))
		return RNIC_NOT_READY;
	return rnic_deliver(qp, peer, request);
}

/* Execute a request that needs the far end. The count in @inbound keeps the far end. */
static int rnic_transfer(struct rnic_qp *qp, const struct rnic_request *request)
{
	struct rnic_qp *peer = rnic_peer_get(qp);
	int status;

	if (!peer)
		return IB_WC_WR_FLUSH_ERR;
	switch (request->opcode) {
	case IB_WR_RDMA_WRITE:
		status = rnic_write(qp, peer, request);
		break;
	case IB_WR_RDMA_READ:
	case IB_WR_RDMA_READ_WITH_INV:
		status = rnic_read(qp, peer, request);
		break;
	default:
		status = rnic_send(qp, peer, request);
		break;
	}
	rnic_memory_release(&qp->from);
	rnic_memory_release(&qp->to);
	rnic_count_down(&peer->inbound);
	return status;
}

/* Fault injection: true for the request at which the counter reaches zero. */
static bool rnic_is_to_fail(struct rnic *rnic)
{
	return atomic_dec_if_positive(&rnic->fail_wr) == 0;
}

static int rnic_execute(struct rnic_qp *qp, const struct rnic_request *request)
{
	rnic_memory_init(&qp->from);
	rnic_memory_init(&qp->to);
	switch (request->opcode) {
	case IB_WR_REG_MR:
		return rnic_mr_register(qp, request);
	case IB_WR_LOCAL_INV:
		return rnic_mr_invalidate(qp->rnic, qp->ib.pd, request->inv_key);
	default:
		return rnic_transfer(qp, request);
	}
}

/* Execute a request of the send queue. Return false if no request can be executed now. */
static bool rnic_qp_step(struct rnic_qp *qp)
{
	struct rnic_request *first = rnic_queue_first(&qp->sq);
	struct rnic_request request;
	int status;

	if (!first)
		return false;
	/* Count a request only at the first attempt, not after a wait for a receive request. */
	if (!qp->waiting && rnic_is_to_fail(qp->rnic))
		status = IB_WC_GENERAL_ERR;
	else
		status = rnic_execute(qp, first);
	qp->waiting = status == RNIC_NOT_READY;
	if (qp->waiting)
		return false;
	atomic64_inc(&qp->rnic->counters.requests);
	rnic_queue_take(&qp->sq, &request);
	rnic_complete_send(qp, &request, status);
	if (status != IB_WC_SUCCESS)
		rnic_qp_fail(qp);
	if (engine_is_dead(qp->rnic->engine))
		rnic_conn_close_all(qp->rnic);
	return true;
}

static void rnic_qp_flush(struct rnic_qp *qp)
{
	struct rnic_request request;

	wait_var_event(&qp->inbound, !atomic_read(&qp->inbound));
	while (rnic_queue_take(&qp->sq, &request))
		rnic_complete_send(qp, &request, IB_WC_WR_FLUSH_ERR);
	while (rnic_queue_take(&qp->rq, &request))
		rnic_complete_receive(qp, &request, IB_WC_WR_FLUSH_ERR, NULL, 0);
}

static void rnic_qp_work(struct work_struct *work)
{
	struct rnic_qp *qp = container_of(work, struct rnic_qp, work);

	while (READ_ONCE(qp->state) == IB_QPS_RTS && rnic_qp_step(qp))
		cond_resched();
	if (READ_ONCE(qp->state) == IB_QPS_ERR)
		rnic_qp_flush(qp);
}

static bool rnic_may_post(struct rnic_qp *qp, bool receive)
{
	switch (READ_ONCE(qp->state)) {
	case IB_QPS_INIT:
	case IB_QPS_RTR:
		return receive;
	case IB_QPS_RTS:
	case IB_QPS_ERR:
		return true;
	default:
		return false;
	}
}

static int rnic_copy_sges(struct rnic_queue *queue, struct rnic_request *request,
			  const struct ib_sge *sge, int num_sge)
{
	if (num_sge < 0 || num_sge > queue->max_sge)
		return -EINVAL;
	request->num_sge = num_sge;
	memcpy(request->sge, sge, num_sge * sizeof(*sge));
	return 0;
}

/* Fill in the fields that depend on the opcode. */
static int rnic_translate_send(struct rnic_request *request, const struct ib_send_wr *wr)
{
	switch (wr->opcode) {
	case IB_WR_SEND:
		return 0;
	case IB_WR_RDMA_READ:
	case IB_WR_RDMA_READ_WITH_INV:
		if (wr->num_sge > 1)
			return -EINVAL;
		fallthrough;
	case IB_WR_RDMA_WRITE:
		request->remote_addr = rdma_wr(wr)->remote_addr;
		request->rkey = rdma_wr(wr)->rkey;
		request->inv_key = wr->ex.invalidate_rkey;
		return 0;
	case IB_WR_SEND_WITH_INV:
	case IB_WR_LOCAL_INV:
		request->inv_key = wr->ex.invalidate_rkey;
		return 0;
	case IB_WR_REG_MR:
		request->mr = reg_wr(wr)->mr;
		request->rkey = reg_wr(wr)->key;
		request->access = reg_wr(wr)->access;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int rnic_post_one_send(struct rnic_qp *qp, const struct ib_send_wr *wr)
{
	struct rnic_request request = {
		.wr_id = wr->wr_id,
		.opcode = wr->opcode,
		.send_flags = wr->send_flags,
	};
	int ret;

	/* The CPU would copy inline data. IB_SEND_FENCE needs no code: requests run in order. */
	if (wr->send_flags & ~(IB_SEND_SIGNALED | IB_SEND_SOLICITED | IB_SEND_FENCE))
		return -EOPNOTSUPP;
	ret = rnic_translate_send(&request, wr);
	if (!ret)
		ret = rnic_copy_sges(&qp->sq, &request, wr->sg_list, wr->num_sge);
	return ret ?: rnic_queue_put(&qp->sq, &request);
}

static int rnic_post_send(struct ib_qp *ib, const struct ib_send_wr *wr,
			  const struct ib_send_wr **bad)
{
	struct rnic_qp *qp = to_rnic_qp(ib);
	int ret = 0;

	for (; wr; wr = wr->next) {
		ret = rnic_may_post(qp, false) ? rnic_post_one_send(qp, wr) : -EINVAL;
		if (ret) {
			*bad = wr;
			break;
		}
	}
	queue_work(qp->rnic->wq, &qp->work);
	return ret;
}

static int rnic_post_one_recv(struct rnic_qp *qp, const struct ib_recv_wr *wr)
{
	struct rnic_request request = {
		.wr_id = wr->wr_id,
	};
	int ret;

	ret = rnic_copy_sges(&qp->rq, &request, wr->sg_list, wr->num_sge);
	return ret ?: rnic_queue_put(&qp->rq, &request);
}

static int rnic_post_recv(struct ib_qp *ib, const struct ib_recv_wr *wr,
			  const struct ib_recv_wr **bad)
{
	struct rnic_qp *qp = to_rnic_qp(ib);
	int ret = 0;

	for (; wr; wr = wr->next) {
		ret = rnic_may_post(qp, true) ? rnic_post_one_recv(qp, wr) : -EINVAL;
		if (ret) {
			*bad = wr;
			break;
		}
	}
	/* A send of the far end may wait for the request. In the error state, flush the request. */
	rnic_peer_kick(qp);
	if (READ_ONCE(qp->state) == IB_QPS_ERR)
		queue_work(qp->rnic->wq, &qp->work);
	return ret;
}

static int rnic_check_qp_attr(const struct ib_qp_init_attr *attr, struct ib_udata *udata)
{
	const struct ib_qp_cap *cap = &attr->cap;

	if (udata || attr->qp_type != IB_QPT_RC || attr->srq || attr->create_flags ||
	    cap->max_inline_data)
		return -EOPNOTSUPP;
	if (cap->max_send_wr > RNIC_MAX_WR || cap->max_recv_wr > RNIC_MAX_WR ||
	    cap->max_send_sge > RNIC_MAX_SGE || cap->max_recv_sge > RNIC_MAX_SGE)
		return -EINVAL;
	return 0;
}

static void rnic_free_queues(struct rnic_qp *qp)
{
	kvfree(qp->sq.ring);
	kvfree(qp->rq.ring);
}

static int rnic_create_qp(struct ib_qp *ib, struct ib_qp_init_attr *attr, struct ib_udata *udata)
{
	const struct ib_qp_cap *cap = &attr->cap;
	struct rnic_qp *qp = to_rnic_qp(ib);
	int ret;

	ret = rnic_check_qp_attr(attr, udata);
	if (ret)
		return ret;
	qp->rnic = to_rnic(ib->device);
	qp->state = IB_QPS_RESET;
	qp->signal_all = attr->sq_sig_type == IB_SIGNAL_ALL_WR;
	INIT_WORK(&qp->work, rnic_qp_work);
	refcount_set(&qp->refs, 1);
	init_completion(&qp->released);
	ret = rnic_queue_init(&qp->sq, cap->max_send_wr, cap->max_send_sge);
	if (!ret)
		ret = rnic_queue_init(&qp->rq, cap->max_recv_wr, cap->max_recv_sge);
	if (!ret)
		ret = xa_alloc(&qp->rnic->qps, &ib->qp_num, qp, XA_LIMIT(1, RNIC_MAX_QP),
			       GFP_KERNEL);
	if (ret)
		rnic_free_queues(qp);
	else
		atomic_inc(&qp->rnic->nr_qps);
	return ret;
}

static int rnic_modify_qp(struct ib_qp *ib, struct ib_qp_attr *attr, int mask,
			  struct ib_udata *udata)
{
	struct rnic_qp *qp = to_rnic_qp(ib);

	if (mask & ~IB_QP_ATTR_STANDARD_BITS)
		return -EOPNOTSUPP;
	if (mask & IB_QP_ACCESS_FLAGS)
		WRITE_ONCE(qp->access, attr->qp_access_flags);
	return mask & IB_QP_STATE ? rnic_qp_set_state(qp, attr->qp_state) : 0;
}

static int rnic_query_qp(struct ib_qp *ib, struct ib_qp_attr *attr, int mask,
			 struct ib_qp_init_attr *init)
{
	struct rnic_qp *qp = to_rnic_qp(ib);

	attr->qp_state = READ_ONCE(qp->state);
	attr->cur_qp_state = attr->qp_state;
	attr->qp_access_flags = READ_ONCE(qp->access);
	attr->path_mtu = IB_MTU_4096;
	attr->port_num = RNIC_PORT;
	attr->cap.max_send_wr = qp->sq.size;
	attr->cap.max_recv_wr = qp->rq.size;
	attr->cap.max_send_sge = qp->sq.max_sge;
	attr->cap.max_recv_sge = qp->rq.max_sge;
	init->qp_context = ib->qp_context;
	init->send_cq = ib->send_cq;
	init->recv_cq = ib->recv_cq;
	init->event_handler = ib->event_handler;
	init->qp_type = ib->qp_type;
	init->sq_sig_type = qp->signal_all ? IB_SIGNAL_ALL_WR : IB_SIGNAL_REQ_WR;
	init->cap = attr->cap;
	return 0;
}

static void rnic_add_ref(struct ib_qp *ib)
{
	refcount_inc(&to_rnic_qp(ib)->refs);
}

static void rnic_rem_ref(struct ib_qp *ib)
{
	struct rnic_qp *qp = to_rnic_qp(ib);

	if (refcount_dec_and_test(&qp->refs))
		complete(&qp->released);
}

static struct ib_qp *rnic_get_qp(struct ib_device *ib, int number)
{
	struct rnic_qp *qp = xa_load(&to_rnic(ib)->qps, number);

	return qp ? &qp->ib : NULL;
}

static int rnic_destroy_qp(struct ib_qp *ib, struct ib_udata *udata)
{
	struct rnic_qp *qp = to_rnic_qp(ib);

	/* Without a connection, the far end starts no new use. Then wait for the old users. */
	rnic_qp_leave(qp, IB_QPS_RESET);
	xa_erase(&qp->rnic->qps, ib->qp_num);
	rnic_rem_ref(ib);
	wait_for_completion(&qp->released);
	cancel_work_sync(&qp->work);
	wait_var_event(&qp->inbound, !atomic_read(&qp->inbound));
	rnic_cq_forget(ib->send_cq, ib);
	rnic_cq_forget(ib->recv_cq, ib);
	rnic_free_queues(qp);
	rnic_count_down(&qp->rnic->nr_qps);
	return 0;
}

const struct ib_device_ops rnic_qp_ops = {
	.create_qp = rnic_create_qp,
	.destroy_qp = rnic_destroy_qp,
	.iw_add_ref = rnic_add_ref,
	.iw_get_qp = rnic_get_qp,
	.iw_rem_ref = rnic_rem_ref,
	.modify_qp = rnic_modify_qp,
	.post_recv = rnic_post_recv,
	.post_send = rnic_post_send,
	.query_qp = rnic_query_qp,
	INIT_RDMA_OBJ_SIZE(ib_qp, rnic_qp, ib),
};
