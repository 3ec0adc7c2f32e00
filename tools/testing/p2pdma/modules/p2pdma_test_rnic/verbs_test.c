// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the test RNIC through the RDMA core.
 *
 * When the module is loaded, all cases run between two queue pairs of this machine and print KTAP.
 * The load fails if a case fails. The parameter "address" is an address of the RNIC's interface.
 * With the parameter "dmabuf", two file descriptors of dma-bufs, the only case copies the first
 * dma-buf to the second.
 *
 *       ends[0] ── connects to ──> listener ── makes ──> ends[1]
 *       buffer[0]                                        buffer[1], behind the region "mr"
 */
#define pr_fmt(fmt) fmt

#include <linux/inet.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>

#define VT_ORDER	7
#define VT_BYTES	(PAGE_SIZE << VT_ORDER)
#define VT_MARK		0xee
#define VT_OPS		20
#define VT_PORT		7471
#define VT_WAIT		(20 * HZ)
#define VT_ACCESS	(IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_WRITE)

static char *address = "192.0.2.1";
module_param(address, charp, 0444);
MODULE_PARM_DESC(address, "IPv4 address of the RNIC's interface");

static int dmabuf[2];
static int nr_dmabufs;
module_param_array(dmabuf, int, &nr_dmabufs, 0444);
MODULE_PARM_DESC(dmabuf, "file descriptors of source and destination");

static ulong dmabuf_bytes;
module_param(dmabuf_bytes, ulong, 0444);
MODULE_PARM_DESC(dmabuf_bytes, "length of each dma-buf");

enum vt_policy { VT_ACCEPT, VT_REJECT, VT_IGNORE };

/**
 * struct vt_op - a work request and the result
 * @cqe: callback for the work completion
 * @done: completed after @wc is set
 * @wc: work completion
 */
struct vt_op {
	struct ib_cqe cqe;
	struct completion done;
	struct ib_wc wc;
};

/**
 * struct vt_end - an end of the connection
 * @id: identifier of the connection manager
 * @cq: completion queue for the send and the receive queue
 * @changed: completed at every event
 * @event: type of the last event
 * @status: status of the last event
 * @hello: first byte of the private data
 */
struct vt_end {
	struct rdma_cm_id *id;
	struct ib_cq *cq;
	struct completion changed;
	enum rdma_cm_event_type event;
	int status;
	u8 hello;
};

/**
 * struct vt - state of the tests
 * @failed: an expectation of the current case failed
 * @device: the RNIC
 * @pd: protection domain of both ends
 * @other_pd: protection domain of no end
 * @listener: identifier of the listener
 * @policy: reaction of the listener to a request
 * @ends: active and passive end
 * @buffer: buffer of each end
 * @dma: DMA address of each buffer
 * @mr: region over the buffer of the passive end
 * @ops: work requests
 */
struct vt {
	bool failed;
	struct ib_device *device;
	struct ib_pd *pd;
	struct ib_pd *other_pd;
	struct rdma_cm_id *listener;
	enum vt_policy policy;
	struct vt_end ends[2];
	u8 *buffer[2];
	dma_addr_t dma[2];
	struct ib_mr *mr;
	struct vt_op ops[VT_OPS];
};

static void vt_expect(struct vt *vt, const char *what, s64 got, s64 wanted)
{
	if (got == wanted)
		return;
	pr_info("# %s: got %lld, wanted %lld\n", what, got, wanted);
	vt->failed = true;
}

static void vt_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct vt_op *op = container_of(wc->wr_cqe, struct vt_op, cqe);

	op->wc = *wc;
	complete(&op->done);
}

static void vt_wait(struct vt *vt, const char *what, int n, enum ib_wc_status wanted)
{
	struct vt_op *op = &vt->ops[n];

	if (!wait_for_completion_timeout(&op->done, VT_WAIT)) {
		pr_info("# %s: no completion of request %d\n", what, n);
		vt->failed = true;
		return;
	}
	vt_expect(vt, what, op->wc.status, wanted);
}

/* NULL if the RNIC went away before the ends were connected. */
static struct ib_qp *vt_qp(struct vt *vt, int side)
{
	struct rdma_cm_id *id = vt->ends[side].id;

	return id ? id->qp : NULL;
}

static int vt_post(struct vt *vt, int side, int n, struct ib_send_wr *wr)
{
	struct ib_qp *qp = vt_qp(vt, side);

	if (!qp)
		return -ENOTCONN;
	reinit_completion(&vt->ops[n].done);
	wr->wr_cqe = &vt->ops[n].cqe;
	wr->send_flags |= IB_SEND_SIGNALED;
	return ib_post_send(qp, wr, NULL);
}

static int vt_rdma(struct vt *vt, int n, enum ib_wr_opcode opcode, struct ib_sge *sge, int num_sge,
		   u64 remote, u32 rkey)
{
	struct ib_rdma_wr wr = {
		.wr.opcode = opcode,
		.wr.sg_list = sge,
		.wr.num_sge = num_sge,
		.remote_addr = remote,
		.rkey = rkey,
	};

	return vt_post(vt, 0, n, &wr.wr);
}

static struct ib_sge vt_sge(struct vt *vt, int side, u32 offset, u32 length)
{
	return (struct ib_sge) {
		.addr = vt->dma[side] + offset,
		.length = length,
		.lkey = vt->pd->local_dma_lkey,
	};
}

static int vt_send(struct vt *vt, int n, struct ib_sge sge, u32 inv_key)
{
	struct ib_send_wr wr = {
		.opcode = inv_key ? IB_WR_SEND_WITH_INV : IB_WR_SEND,
		.ex.invalidate_rkey = inv_key,
		.sg_list = &sge,
		.num_sge = 1,
	};

	return vt_post(vt, 0, n, &wr);
}

static int vt_recv(struct vt *vt, int side, int n, struct ib_sge sge)
{
	struct ib_recv_wr wr = {
		.wr_cqe = &vt->ops[n].cqe,
		.sg_list = &sge,
		.num_sge = 1,
	};
	struct ib_qp *qp = vt_qp(vt, side);

	if (!qp)
		return -ENOTCONN;
	reinit_completion(&vt->ops[n].done);
	return ib_post_recv(qp, &wr, NULL);
}

static int vt_post_reg(struct vt *vt, int side, int n, struct ib_mr *mr, int access)
{
	struct ib_reg_wr wr = {
		.wr.opcode = IB_WR_REG_MR,
		.mr = mr,
		.key = mr->rkey,
		.access = access,
	};

	return vt_post(vt, side, n, &wr.wr);
}

static void vt_register(struct vt *vt, int side, struct ib_mr *mr, int access)
{
	ib_update_fast_reg_key(mr, ib_inc_rkey(mr->rkey));
	vt_expect(vt, "posting a registration", vt_post_reg(vt, side, VT_OPS - 1, mr, access), 0);
	vt_wait(vt, "registration", VT_OPS - 1, IB_WC_SUCCESS);
}

static void vt_invalidate(struct vt *vt, int side, struct ib_mr *mr)
{
	struct ib_send_wr wr = {
		.opcode = IB_WR_LOCAL_INV,
		.ex.invalidate_rkey = mr->rkey,
	};

	vt_expect(vt, "posting an invalidation", vt_post(vt, side, VT_OPS - 1, &wr), 0);
	vt_wait(vt, "invalidation", VT_OPS - 1, IB_WC_SUCCESS);
}

static struct ib_mr *vt_region(struct vt *vt, struct ib_pd *pd, int side)
{
	struct scatterlist sg;
	struct ib_mr *mr;
	int n;

	mr = ib_alloc_mr(pd, IB_MR_TYPE_MEM_REG, 1 << VT_ORDER);
	if (IS_ERR(mr))
		return mr;
	sg_init_table(&sg, 1);
	sg_dma_address(&sg) = vt->dma[side];
	sg_dma_len(&sg) = VT_BYTES;
	n = ib_map_mr_sg(mr, &sg, 1, NULL, PAGE_SIZE);
	vt_expect(vt, "entries mapped", n, 1);
	return mr;
}

static void vt_fill(struct vt *vt)
{
	get_random_bytes(vt->buffer[0], VT_BYTES);
	memset(vt->buffer[1], VT_MARK, VT_BYTES);
}

/* Expect @length bytes from @from of the far buffer at @to, and no change of adjacent bytes. */
static void vt_compare(struct vt *vt, int side, u32 from, u32 to, u32 length)
{
	const u8 *source = vt->buffer[!side] + from;
	const u8 *target = vt->buffer[side];

	vt_expect(vt, "bytes that differ", !!memcmp(source, target + to, length), 0);
	if (to)
		vt_expect(vt, "byte before", target[to - 1], VT_MARK);
	if (to + length < VT_BYTES)
		vt_expect(vt, "byte after", target[to + length], VT_MARK);
}

static int vt_create_qp(struct vt *vt, struct vt_end *end, struct rdma_cm_id *id)
{
	struct ib_qp_init_attr attr = {
		.qp_type = IB_QPT_RC,
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.send_cq = end->cq,
		.recv_cq = end->cq,
		.cap = {
			.max_send_wr = 8,
			.max_recv_wr = 8,
			.max_send_sge = 16,
			.max_recv_sge = 16,
		},
	};

	return rdma_create_qp(id, vt->pd, &attr);
}

static int vt_requested(struct vt *vt, struct rdma_cm_id *id, const struct rdma_conn_param *asked)
{
	struct rdma_conn_param param = {
		.initiator_depth = 1,
		.responder_resources = 1,
		.private_data = "y",
		.private_data_len = 1,
	};
	struct vt_end *end = &vt->ends[1];

	end->hello = asked->private_data_len ? *(u8 *)asked->private_data : 0;
	if (vt->policy == VT_REJECT) {
		rdma_reject(id, "n", 1, 0);
		return -ECONNREFUSED;
	}
	end->id = id;
	if (vt->policy == VT_ACCEPT) {
		vt_expect(vt, "queue pair of the passive end", vt_create_qp(vt, end, id), 0);
		vt_expect(vt, "accept", rdma_accept(id, &param), 0);
	}
	complete(&end->changed);
	return 0;
}

static int vt_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	const struct rdma_conn_param *param = &event->param.conn;
	struct vt *vt = id->context;
	struct vt_end *end = id == vt->ends[0].id ? &vt->ends[0] : &vt->ends[1];

	if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST)
		return vt_requested(vt, id, param);
	end->event = event->event;
	end->status = event->status;
	if (end == &vt->ends[0])
		end->hello = param->private_data_len ? *(u8 *)param->private_data : 0;
	complete(&end->changed);
	return 0;
}

static void vt_await(struct vt *vt, int side, enum rdma_cm_event_type wanted)
{
	struct vt_end *end = &vt->ends[side];

	if (!wait_for_completion_timeout(&end->changed, VT_WAIT)) {
		pr_info("# end %d: no event, wanted %s\n", side, rdma_event_msg(wanted));
		vt->failed = true;
		return;
	}
	vt_expect(vt, rdma_event_msg(wanted), end->event, wanted);
}

static void vt_address(struct sockaddr_in *sin, u16 port)
{
	*sin = (struct sockaddr_in) {
		.sin_family = AF_INET,
		.sin_addr.s_addr = in_aton(address),
		.sin_port = htons(port),
	};
}

static int vt_listen(struct vt *vt)
{
	struct sockaddr_in sin;
	int ret;

	vt_address(&sin, VT_PORT);
	vt->listener = rdma_create_id(&init_net, vt_event, vt, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(vt->listener))
		return PTR_ERR(vt->listener);
	ret = rdma_bind_addr(vt->listener, (struct sockaddr *)&sin);
	if (!ret)
		ret = rdma_listen(vt->listener, 4);
	if (ret)
		rdma_destroy_id(vt->listener);
	return ret;
}

static void vt_resolve(struct vt *vt, u16 port)
{
	struct vt_end *end = &vt->ends[0];
	struct sockaddr_in sin;

	vt_address(&sin, port);
	end->id = rdma_create_id(&init_net, vt_event, vt, RDMA_PS_TCP, IB_QPT_RC);
	vt_expect(vt, "identifier", PTR_ERR_OR_ZERO(end->id), 0);
	vt_expect(vt, "resolving the address",
		  rdma_resolve_addr(end->id, NULL, (struct sockaddr *)&sin, 2000), 0);
	vt_await(vt, 0, RDMA_CM_EVENT_ADDR_RESOLVED);
	vt_expect(vt, "resolving the route", rdma_resolve_route(end->id, 2000), 0);
	vt_await(vt, 0, RDMA_CM_EVENT_ROUTE_RESOLVED);
}

static void vt_connect(struct vt *vt, u16 port)
{
	struct rdma_conn_param param = {
		.initiator_depth = 1,
		.responder_resources = 1,
		.private_data = "x",
		.private_data_len = 1,
	};
	struct vt_end *end = &vt->ends[0];

	init_completion(&vt->ends[0].changed);
	init_completion(&vt->ends[1].changed);
	vt_resolve(vt, port);
	vt_expect(vt, "queue pair of the active end", vt_create_qp(vt, end, end->id), 0);
	vt_expect(vt, "connect", rdma_connect(end->id, &param), 0);
}

static void vt_open(struct vt *vt)
{
	vt->policy = VT_ACCEPT;
	vt_connect(vt, VT_PORT);
	/* The first event is the request. */
	wait_for_completion_timeout(&vt->ends[1].changed, VT_WAIT);
	vt_await(vt, 1, RDMA_CM_EVENT_ESTABLISHED);
	vt_await(vt, 0, RDMA_CM_EVENT_ESTABLISHED);
	vt_expect(vt, "private data of the request", vt->ends[1].hello, 'x');
	vt_expect(vt, "private data of the answer", vt->ends[0].hello, 'y');
}

static void vt_drop(struct vt_end *end)
{
	if (!end->id)
		return;
	if (end->id->qp) {
		ib_drain_qp(end->id->qp);
		rdma_destroy_qp(end->id);
	}
	rdma_destroy_id(end->id);
	end->id = NULL;
}

static void vt_close(struct vt *vt)
{
	rdma_disconnect(vt->ends[0].id);
	vt_drop(&vt->ends[0]);
	vt_drop(&vt->ends[1]);
}

/* Cases that move data. */

static void vt_one_move(struct vt *vt, enum ib_wr_opcode opcode, u32 near, u32 far, u32 length)
{
	bool write = opcode == IB_WR_RDMA_WRITE;
	struct ib_sge sge = vt_sge(vt, 0, near, length);
	u64 remote = vt->mr->iova + far;

	get_random_bytes(vt->buffer[!write], VT_BYTES);
	memset(vt->buffer[write], VT_MARK, VT_BYTES);
	vt_expect(vt, "posting", vt_rdma(vt, 0, opcode, &sge, 1, remote, vt->mr->rkey), 0);
	vt_wait(vt, "completion", 0, IB_WC_SUCCESS);
	if (write)
		vt_compare(vt, 1, near, far, length);
	else
		vt_compare(vt, 0, far, near, length);
}

static void vt_all_sizes(struct vt *vt, enum ib_wr_opcode opcode)
{
	static const u32 sizes[] = {
		0, 1, 511, 512, 513, 4095, 4096, 4097, 65537, SZ_256K, SZ_256K + 1, SZ_512K - 8193,
	};
	int i;

	vt_open(vt);
	vt_register(vt, 1, vt->mr, VT_ACCESS);
	for (i = 0; i < ARRAY_SIZE(sizes) && !vt->failed; i++)
		vt_one_move(vt, opcode, 4096 - i, 1 + 7 * i, sizes[i]);
	vt_invalidate(vt, 1, vt->mr);
	vt_close(vt);
}

static void write_sizes(struct vt *vt)
{
	vt_all_sizes(vt, IB_WR_RDMA_WRITE);
}

static void read_sizes(struct vt *vt)
{
	vt_all_sizes(vt, IB_WR_RDMA_READ);
}

static void write_gathers(struct vt *vt)
{
	struct ib_sge sge[16];
	u32 at = 3, sum = 0;
	int i;

	vt_open(vt);
	vt_register(vt, 1, vt->mr, VT_ACCESS);
	vt_fill(vt);
	/* Odd sizes, and an empty piece in the middle. */
	for (i = 0; i < ARRAY_SIZE(sge); i++) {
		sge[i] = vt_sge(vt, 0, at + sum, i == 7 ? 0 : 1 + i * 977);
		sum += sge[i].length;
	}
	vt_expect(vt, "posting", vt_rdma(vt, 0, IB_WR_RDMA_WRITE, sge, 16, vt->mr->iova + 100,
					 vt->mr->rkey), 0);
	vt_wait(vt, "write", 0, IB_WC_SUCCESS);
	vt_compare(vt, 1, at, 100, sum);
	vt_close(vt);
}

static void send_arrives(struct vt *vt)
{
	vt_open(vt);
	vt_fill(vt);
	vt_expect(vt, "receive", vt_recv(vt, 1, 0, vt_sge(vt, 1, 64, 100)), 0);
	vt_expect(vt, "send", vt_send(vt, 1, vt_sge(vt, 0, 0, 64), 0), 0);
	vt_wait(vt, "receive", 0, IB_WC_SUCCESS);
	vt_wait(vt, "send", 1, IB_WC_SUCCESS);
	vt_expect(vt, "length", vt->ops[0].wc.byte_len, 64);
	vt_expect(vt, "opcode", vt->ops[0].wc.opcode, IB_WC_RECV);
	vt_expect(vt, "flags", vt->ops[0].wc.wc_flags, 0);
	vt_compare(vt, 1, 0, 64, 64);
	vt_close(vt);
}

static void send_waits_for_receive(struct vt *vt)
{
	vt_open(vt);
	vt_fill(vt);
	vt_expect(vt, "send", vt_send(vt, 1, vt_sge(vt, 0, 0, 512), 0), 0);
	vt_expect(vt, "early completion",
		  wait_for_completion_timeout(&vt->ops[1].done, HZ / 5), 0);
	vt_expect(vt, "receive", vt_recv(vt, 1, 0, vt_sge(vt, 1, 0, 512)), 0);
	vt_wait(vt, "receive", 0, IB_WC_SUCCESS);
	vt_wait(vt, "send", 1, IB_WC_SUCCESS);
	vt_compare(vt, 1, 0, 0, 512);
	vt_close(vt);
}

static void vt_write_is_refused(struct vt *vt, u64 remote, u32 length, u32 rkey)
{
	struct ib_sge sge = vt_sge(vt, 0, 0, length);

	vt_expect(vt, "posting", vt_rdma(vt, 0, IB_WR_RDMA_WRITE, &sge, 1, remote, rkey), 0);
	vt_wait(vt, "write", 0, IB_WC_REM_ACCESS_ERR);
	vt_expect(vt, "first byte of the target", vt->buffer[1][0], VT_MARK);
}

static void send_invalidates(struct vt *vt)
{
	vt_open(vt);
	vt_fill(vt);
	vt_register(vt, 1, vt->mr, VT_ACCESS);
	vt_expect(vt, "receive", vt_recv(vt, 1, 1, vt_sge(vt, 1, 8192, 16)), 0);
	vt_expect(vt, "send", vt_send(vt, 2, vt_sge(vt, 0, 0, 16), vt->mr->rkey), 0);
	vt_wait(vt, "receive", 1, IB_WC_SUCCESS);
	vt_expect(vt, "flags", vt->ops[1].wc.wc_flags, IB_WC_WITH_INVALIDATE);
	vt_expect(vt, "key", vt->ops[1].wc.ex.invalidate_rkey, vt->mr->rkey);
	vt_wait(vt, "send", 2, IB_WC_SUCCESS);
	vt_write_is_refused(vt, vt->mr->iova, 1, vt->mr->rkey);
	vt_close(vt);
}

static void read_invalidates(struct vt *vt)
{
	struct ib_mr *sink = vt_region(vt, vt->pd, 0);
	struct ib_rdma_wr wr = {
		.wr.opcode = IB_WR_RDMA_READ_WITH_INV,
		.wr.num_sge = 1,
	};
	struct ib_sge sge;

	vt_open(vt);
	vt_register(vt, 1, vt->mr, VT_ACCESS);
	/* As in the RDMA core, set the key to invalidate before the key is incremented. */
	wr.wr.ex.invalidate_rkey = sink->lkey;
	vt_register(vt, 0, sink, IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE);
	get_random_bytes(vt->buffer[1], VT_BYTES);
	memset(vt->buffer[0], VT_MARK, VT_BYTES);
	sge = (struct ib_sge) { .addr = sink->iova + 1, .length = 9999, .lkey = sink->lkey };
	wr.wr.sg_list = &sge;
	wr.remote_addr = vt->mr->iova;
	wr.rkey = vt->mr->rkey;
	vt_expect(vt, "posting", vt_post(vt, 0, 0, &wr.wr), 0);
	vt_wait(vt, "read", 0, IB_WC_SUCCESS);
	vt_compare(vt, 0, 0, 1, 9999);
	wr.wr.opcode = IB_WR_RDMA_READ;
	vt_expect(vt, "posting", vt_post(vt, 0, 0, &wr.wr), 0);
	vt_wait(vt, "read into an invalid region", 0, IB_WC_LOC_PROT_ERR);
	vt_close(vt);
	ib_dereg_mr(sink);
}

/* Cases in which a posted request fails. */

static void receive_too_small(struct vt *vt)
{
	vt_open(vt);
	vt_fill(vt);
	vt_expect(vt, "receive", vt_recv(vt, 1, 0, vt_sge(vt, 1, 0, 63)), 0);
	vt_expect(vt, "receive", vt_recv(vt, 1, 1, vt_sge(vt, 1, 64, 64)), 0);
	vt_expect(vt, "send", vt_send(vt, 2, vt_sge(vt, 0, 0, 64), 0), 0);
	vt_expect(vt, "send", vt_send(vt, 3, vt_sge(vt, 0, 0, 64), 0), 0);
	vt_wait(vt, "first receive", 0, IB_WC_LOC_LEN_ERR);
	vt_wait(vt, "first send", 2, IB_WC_REM_INV_REQ_ERR);
	vt_wait(vt, "second receive", 1, IB_WC_WR_FLUSH_ERR);
	vt_wait(vt, "second send", 3, IB_WC_WR_FLUSH_ERR);
	vt_await(vt, 0, RDMA_CM_EVENT_DISCONNECTED);
	vt_await(vt, 1, RDMA_CM_EVENT_DISCONNECTED);
	vt_expect(vt, "first byte of the target", vt->buffer[1][0], VT_MARK);
	vt_close(vt);
}

static void bad_remote_memory(struct vt *vt)
{
	static const struct {
		s64 addr;
		u32 length;
		u32 key;
		int access;
		bool invalid;
	} bad[] = {
		{ .length = 8, .key = 1, .access = VT_ACCESS },
		{ .length = 8, .key = 1 << 8, .access = VT_ACCESS },
		{ .addr = -1, .length = 8, .access = VT_ACCESS },
		{ .addr = VT_BYTES - 7, .length = 8, .access = VT_ACCESS },
		{ .addr = VT_BYTES + 1, .length = 8, .access = VT_ACCESS },
		{ .length = 8, .access = VT_ACCESS & ~IB_ACCESS_REMOTE_WRITE },
		{ .length = 8, .access = VT_ACCESS, .invalid = true },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		vt_open(vt);
		vt_fill(vt);
		vt_register(vt, 1, vt->mr, bad[i].access);
		if (bad[i].invalid)
			vt_invalidate(vt, 1, vt->mr);
		vt_write_is_refused(vt, vt->mr->iova + bad[i].addr, bad[i].length,
				    vt->mr->rkey ^ bad[i].key);
		vt_await(vt, 1, RDMA_CM_EVENT_DISCONNECTED);
		vt_close(vt);
		ib_dereg_mr(vt->mr);
		vt->mr = vt_region(vt, vt->pd, 1);
	}
}

/* The local DMA key is refused as a remote key. */
static void local_key_is_not_remote(struct vt *vt)
{
	vt_open(vt);
	vt_fill(vt);
	vt_write_is_refused(vt, vt->dma[1], 8, vt->pd->local_dma_lkey);
	vt_close(vt);
}

static void read_needs_its_right(struct vt *vt)
{
	struct ib_sge sge = vt_sge(vt, 0, 0, 8);

	vt_open(vt);
	vt_register(vt, 1, vt->mr, VT_ACCESS & ~IB_ACCESS_REMOTE_READ);
	vt_expect(vt, "posting",
		  vt_rdma(vt, 0, IB_WR_RDMA_READ, &sge, 1, vt->mr->iova, vt->mr->rkey), 0);
	vt_wait(vt, "read", 0, IB_WC_REM_ACCESS_ERR);
	vt_close(vt);
}

static void other_protection_domain(struct vt *vt)
{
	struct ib_mr *foreign = vt_region(vt, vt->other_pd, 1);

	vt_open(vt);
	vt_expect(vt, "posting", vt_post_reg(vt, 1, 0, foreign, VT_ACCESS), 0);
	vt_wait(vt, "registration", 0, IB_WC_LOC_PROT_ERR);
	vt_await(vt, 0, RDMA_CM_EVENT_DISCONNECTED);
	vt_close(vt);
	ib_dereg_mr(foreign);
}

static void bad_local_memory(struct vt *vt)
{
	struct ib_sge sge = vt_sge(vt, 0, 0, 8);

	vt_open(vt);
	vt_register(vt, 1, vt->mr, VT_ACCESS);
	sge.lkey = 0xabcd00;
	vt_expect(vt, "posting",
		  vt_rdma(vt, 0, IB_WR_RDMA_WRITE, &sge, 1, vt->mr->iova, vt->mr->rkey), 0);
	vt_wait(vt, "write", 0, IB_WC_LOC_PROT_ERR);
	vt_close(vt);
}

static void registered_twice(struct vt *vt)
{
	vt_open(vt);
	vt_register(vt, 1, vt->mr, VT_ACCESS);
	vt_expect(vt, "posting", vt_post_reg(vt, 1, 0, vt->mr, VT_ACCESS), 0);
	vt_wait(vt, "second registration", 0, IB_WC_MW_BIND_ERR);
	vt_close(vt);
}

/* Cases in which a call fails. */

static void posts_refused(struct vt *vt)
{
	struct ib_atomic_wr atomic = { .wr.opcode = IB_WR_ATOMIC_FETCH_AND_ADD };
	struct ib_send_wr inlined = { .opcode = IB_WR_SEND, .send_flags = IB_SEND_INLINE };
	struct ib_send_wr long_list = { .opcode = IB_WR_SEND, .num_sge = 17 };
	struct ib_sge sge[17] = { };
	int i, ret = 0;

	long_list.sg_list = sge;
	vt_open(vt);
	vt_expect(vt, "atomic operation", vt_post(vt, 0, 0, &atomic.wr), -EOPNOTSUPP);
	vt_expect(vt, "inline data", vt_post(vt, 0, 0, &inlined), -EOPNOTSUPP);
	vt_expect(vt, "17 pieces", vt_post(vt, 0, 0, &long_list), -EINVAL);
	vt_expect(vt, "read into two pieces",
		  vt_rdma(vt, 0, IB_WR_RDMA_READ, sge, 2, 0, 0), -EINVAL);
	for (i = 0; i < 9; i++)
		ret = vt_recv(vt, 1, i, vt_sge(vt, 1, 0, 8));
	vt_expect(vt, "ninth receive for a queue of eight", ret, -ENOMEM);
	vt_close(vt);
}

static void vt_qp_refused(struct vt *vt, const char *what, struct ib_qp_init_attr attr, int ret)
{
	struct ib_qp *qp;

	attr.send_cq = vt->ends[0].cq;
	attr.recv_cq = vt->ends[0].cq;
	qp = ib_create_qp(vt->pd, &attr);
	vt_expect(vt, what, PTR_ERR_OR_ZERO(qp), ret);
	if (!IS_ERR(qp))
		ib_destroy_qp(qp);
}

static void objects_refused(struct vt *vt)
{
	struct ib_qp_init_attr good = { .qp_type = IB_QPT_RC, .cap.max_send_wr = 1 }, bad;
	struct ib_srq_init_attr srq_attr = { .srq_type = IB_SRQT_BASIC, .attr.max_wr = 4 };

	vt_qp_refused(vt, "the least queue pair", good, 0);
	bad = good;
	bad.qp_type = IB_QPT_UD;
	vt_qp_refused(vt, "datagrams", bad, -EOPNOTSUPP);
	bad = good;
	bad.cap.max_inline_data = 16;
	vt_qp_refused(vt, "inline data", bad, -EOPNOTSUPP);
	bad = good;
	bad.cap.max_send_sge = 17;
	vt_qp_refused(vt, "17 pieces", bad, -EINVAL);
	bad = good;
	bad.cap.max_send_wr = 1 << 20;
	vt_qp_refused(vt, "a million requests", bad, -EINVAL);
	vt_expect(vt, "shared receive queue", PTR_ERR(ib_create_srq(vt->pd, &srq_attr)),
		  -EOPNOTSUPP);
	vt_expect(vt, "a key for all memory",
		  PTR_ERR(ib_alloc_pd(vt->device, IB_PD_UNSAFE_GLOBAL_RKEY)), -EOPNOTSUPP);
	vt_expect(vt, "a region of other kind",
		  PTR_ERR(ib_alloc_mr(vt->pd, IB_MR_TYPE_SG_GAPS, 4)), -EOPNOTSUPP);
	vt_expect(vt, "a region of too many pages",
		  PTR_ERR(ib_alloc_mr(vt->pd, IB_MR_TYPE_MEM_REG, 1 << 20)), -EINVAL);
}

/* Cases of connections. */

static void vt_disconnect_from(struct vt *vt, int side)
{
	int i;

	vt_open(vt);
	for (i = 0; i < 6; i++)
		vt_expect(vt, "receive", vt_recv(vt, i & 1, i, vt_sge(vt, i & 1, 0, 8)), 0);
	rdma_disconnect(vt->ends[side].id);
	for (i = 0; i < 6; i++)
		vt_wait(vt, "receive", i, IB_WC_WR_FLUSH_ERR);
	vt_await(vt, 0, RDMA_CM_EVENT_DISCONNECTED);
	vt_await(vt, 1, RDMA_CM_EVENT_DISCONNECTED);
	vt_close(vt);
}

static void disconnect_active(struct vt *vt)
{
	vt_disconnect_from(vt, 0);
}

static void disconnect_passive(struct vt *vt)
{
	vt_disconnect_from(vt, 1);
}

/* The far end goes away during copies in both directions, with more requests in the queue. */
static enum ib_wc_status vt_drop_under_load(struct vt *vt)
{
	struct ib_sge sge = vt_sge(vt, 0, 0, VT_BYTES);
	int i;

	vt_open(vt);
	vt_register(vt, 1, vt->mr, VT_ACCESS);
	for (i = 0; i < 8; i++)
		vt_rdma(vt, i, i & 1 ? IB_WR_RDMA_READ : IB_WR_RDMA_WRITE, &sge, 1, vt->mr->iova,
			vt->mr->rkey);
	vt_wait(vt, "first write", 0, IB_WC_SUCCESS);
	vt_drop(&vt->ends[1]);
	/* The passive end is gone: no copy may touch its memory now. */
	memset(vt->buffer[1], VT_MARK, VT_BYTES);
	for (i = 1; i < 8; i++)
		wait_for_completion_timeout(&vt->ops[i].done, VT_WAIT);
	vt_expect(vt, "bytes changed", !!memchr_inv(vt->buffer[1], VT_MARK, VT_BYTES), 0);
	vt_close(vt);
	return vt->ops[7].wc.status;
}

static void disconnect_under_load(struct vt *vt)
{
	enum ib_wc_status last = IB_WC_SUCCESS;
	int tries;

	/* On a busy machine, all requests may be done before the drop. */
	for (tries = 0; tries < 20 && last == IB_WC_SUCCESS; tries++)
		last = vt_drop_under_load(vt);
	vt_expect(vt, "last request", last, IB_WC_WR_FLUSH_ERR);
}

/* A queue pair that is destroyed without a drain reports no completion afterwards. */
static void destroyed_without_drain(struct vt *vt)
{
	vt_open(vt);
	vt_expect(vt, "receive", vt_recv(vt, 1, 0, vt_sge(vt, 1, 0, 8)), 0);
	rdma_destroy_qp(vt->ends[1].id);
	vt_await(vt, 0, RDMA_CM_EVENT_DISCONNECTED);
	vt_close(vt);
	vt_expect(vt, "completion", completion_done(&vt->ops[0].done), 0);
}

static void nobody_listens(struct vt *vt)
{
	vt_connect(vt, VT_PORT + 1);
	vt_await(vt, 0, RDMA_CM_EVENT_REJECTED);
	vt_expect(vt, "status", vt->ends[0].status, -ECONNREFUSED);
	vt_close(vt);
}

static void listener_rejects(struct vt *vt)
{
	vt->policy = VT_REJECT;
	vt_connect(vt, VT_PORT);
	vt_await(vt, 0, RDMA_CM_EVENT_REJECTED);
	vt_expect(vt, "status", vt->ends[0].status, -ECONNREFUSED);
	vt_expect(vt, "private data", vt->ends[0].hello, 'n');
	vt_close(vt);
}

static void listener_goes(struct vt *vt)
{
	struct rdma_conn_param param = { };

	vt->policy = VT_IGNORE;
	vt_connect(vt, VT_PORT);
	wait_for_completion_timeout(&vt->ends[1].changed, VT_WAIT);
	rdma_destroy_id(vt->listener);
	vt_await(vt, 0, RDMA_CM_EVENT_REJECTED);
	vt_expect(vt, "queue pair for a late accept",
		  vt_create_qp(vt, &vt->ends[1], vt->ends[1].id), 0);
	rdma_lock_handler(vt->ends[1].id);
	vt_expect(vt, "late accept", rdma_accept(vt->ends[1].id, &param), -ECONNRESET);
	rdma_unlock_handler(vt->ends[1].id);
	vt_close(vt);
	vt_expect(vt, "listening again", vt_listen(vt), 0);
}

static void nobody_answers(struct vt *vt)
{
	vt->policy = VT_IGNORE;
	vt_connect(vt, VT_PORT);
	wait_for_completion_timeout(&vt->ends[1].changed, VT_WAIT);
	vt_await(vt, 0, RDMA_CM_EVENT_UNREACHABLE);
	vt_expect(vt, "status", vt->ends[0].status, -ETIMEDOUT);
	vt_close(vt);
}

/* Cases with dma-bufs of the parameter */

static struct ib_mr *vt_dmabuf_region(struct vt *vt, int n)
{
	struct ib_mr *mr = vt->device->ops.reg_user_mr_dmabuf(vt->pd, 0, dmabuf_bytes, 0, dmabuf[n],
							      VT_ACCESS, NULL);

	vt_expect(vt, "region over a dma-buf", PTR_ERR_OR_ZERO(mr), 0);
	if (IS_ERR(mr))
		return NULL;
	/* As the caller in the RDMA core does for a user. */
	mr->device = vt->device;
	return mr;
}

static void vt_dereg(struct vt *vt, struct ib_mr *mr)
{
	if (mr)
		vt->device->ops.dereg_mr(mr, NULL);
}

static void copy_dmabuf(struct vt *vt)
{
	struct ib_mr *from = vt_dmabuf_region(vt, 0), *to = vt_dmabuf_region(vt, 1);
	struct ib_sge sge = { .length = dmabuf_bytes };

	if (from && to) {
		vt_open(vt);
		sge.lkey = from->lkey;
		vt_expect(vt, "posting", vt_rdma(vt, 0, IB_WR_RDMA_WRITE, &sge, 1, 0, to->rkey), 0);
		vt_wait(vt, "write", 0, IB_WC_SUCCESS);
		vt_close(vt);
	}
	vt_dereg(vt, from);
	vt_dereg(vt, to);
}

struct vt_case {
	const char *name;
	void (*run)(struct vt *vt);
};

static const struct vt_case vt_dmabuf_cases[] = {
	{ "copy_dmabuf", copy_dmabuf },
};

static const struct vt_case vt_cases[] = {
	{ "write_sizes", write_sizes },
	{ "read_sizes", read_sizes },
	{ "write_gathers", write_gathers },
	{ "send_arrives", send_arrives },
	{ "send_waits_for_receive", send_waits_for_receive },
	{ "send_invalidates", send_invalidates },
	{ "read_invalidates", read_invalidates },
	{ "receive_too_small", receive_too_small },
	{ "bad_remote_memory", bad_remote_memory },
	{ "local_key_is_not_remote", local_key_is_not_remote },
	{ "read_needs_its_right", read_needs_its_right },
	{ "other_protection_domain", other_protection_domain },
	{ "bad_local_memory", bad_local_memory },
	{ "registered_twice", registered_twice },
	{ "posts_refused", posts_refused },
	{ "objects_refused", objects_refused },
	{ "disconnect_active", disconnect_active },
	{ "disconnect_passive", disconnect_passive },
	{ "disconnect_under_load", disconnect_under_load },
	{ "destroyed_without_drain", destroyed_without_drain },
	{ "nobody_listens", nobody_listens },
	{ "listener_rejects", listener_rejects },
	{ "listener_goes", listener_goes },
	{ "nobody_answers", nobody_answers },
};

static int vt_run(struct vt *vt, const struct vt_case *cases, unsigned int nr)
{
	int i, op, bad = 0;

	pr_info("KTAP version 1\n1..%u\n", nr);
	for (i = 0; i < nr; i++) {
		vt->failed = false;
		for (op = 0; op < VT_OPS; op++) {
			vt->ops[op].cqe.done = vt_done;
			init_completion(&vt->ops[op].done);
		}
		vt->mr = vt_region(vt, vt->pd, 1);
		cases[i].run(vt);
		ib_dereg_mr(vt->mr);
		bad += vt->failed;
		pr_info("%sok %d %s\n", vt->failed ? "not " : "", i + 1, cases[i].name);
	}
	return bad ? -EIO : 0;
}

static int vt_run_all(struct vt *vt)
{
	if (nr_dmabufs)
		return vt_run(vt, vt_dmabuf_cases, ARRAY_SIZE(vt_dmabuf_cases));
	return vt_run(vt, vt_cases, ARRAY_SIZE(vt_cases));
}

static void vt_cleanup(struct vt *vt)
{
	int side;

	for (side = 0; side < 2; side++) {
		if (!IS_ERR_OR_NULL(vt->ends[side].cq))
			ib_free_cq(vt->ends[side].cq);
		if (vt->dma[side])
			ib_dma_unmap_single(vt->device, vt->dma[side], VT_BYTES,
					    DMA_BIDIRECTIONAL);
		free_pages((unsigned long)vt->buffer[side], VT_ORDER);
	}
	if (!IS_ERR_OR_NULL(vt->pd))
		ib_dealloc_pd(vt->pd);
	if (!IS_ERR_OR_NULL(vt->other_pd))
		ib_dealloc_pd(vt->other_pd);
	rdma_destroy_id(vt->listener);
}

static int vt_prepare(struct vt *vt)
{
	int side;

	vt->device = vt->listener->device;
	vt->pd = ib_alloc_pd(vt->device, 0);
	vt->other_pd = ib_alloc_pd(vt->device, 0);
	if (IS_ERR(vt->pd) || IS_ERR(vt->other_pd))
		return -ENOMEM;
	for (side = 0; side < 2; side++) {
		dma_addr_t dma;

		vt->ends[side].cq = ib_alloc_cq(vt->device, vt, 64, side, IB_POLL_WORKQUEUE);
		vt->buffer[side] = (u8 *)__get_free_pages(GFP_KERNEL, VT_ORDER);
		if (IS_ERR(vt->ends[side].cq) || !vt->buffer[side])
			return -ENOMEM;
		dma = ib_dma_map_single(vt->device, vt->buffer[side], VT_BYTES, DMA_BIDIRECTIONAL);
		if (ib_dma_mapping_error(vt->device, dma))
			return -EIO;
		vt->dma[side] = dma;
	}
	return 0;
}

static int __init vt_init(void)
{
	struct vt *vt;
	int ret;

	vt = kzalloc(sizeof(*vt), GFP_KERNEL);
	if (!vt)
		return -ENOMEM;
	ret = vt_listen(vt);
	if (ret) {
		pr_err("p2pdma_test_rnic_verbs: no RDMA device listens at %s: %d\n", address, ret);
		goto out;
	}
	ret = vt_prepare(vt);
	if (!ret)
		ret = vt_run_all(vt);
	vt_cleanup(vt);
out:
	kfree(vt);
	return ret;
}
module_init(vt_init);

static void __exit vt_exit(void)
{
}
module_exit(vt_exit);

MODULE_DESCRIPTION("Tests of the loopback RNIC for tests");
MODULE_LICENSE("GPL");
