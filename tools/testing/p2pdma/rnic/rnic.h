/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The loopback RNIC for tests: private definitions.
 *
 * Both ends of every connection are on this one device. Each queue pair has one worker that
 * takes the work requests of its send queue strictly in order, and for those that move bytes
 * sleeps in the copy engine until the bytes are there. All bookkeeping is done by that worker,
 * also the bookkeeping of the far end's receive queue; all payload is moved by the engine.
 *
 * When does memory stop being used?
 *   A consumer frees its buffers when its queue pair has been drained or its memory region
 *   invalidated, so no completion may be reported before the engine is done. A worker that uses
 *   the far end's memory counts itself in the far end's @inbound, and it can do so only while
 *   the connection stands. A queue pair in the error state reports nothing flushed before
 *   @inbound has come down to zero. Memory regions do the same with @users.
 *
 * What waits for what:
 *   worker -> engine (ends by itself, at the latest by its timeout)
 *   worker, on flush -> @inbound of its own queue pair -> the far end's worker in the engine
 *   worker, on invalidation -> @users of the region -> any worker in the engine
 *   destruction of a queue pair -> its worker, @inbound, the iWARP connection manager's references
 *   removal of the function -> the consumers, through the RDMA core
 * Nothing in the engine waits for a worker, so there is no circle.
 *
 * Locks, outermost first. Any context can post, so all but @mr_lock disable interrupts.
 *   rnic.conn_lock     connections, listeners, states of queue pairs
 *     (iw_cm's own lock of a cm_id, taken when it is handed an event)
 *   rnic.mr_lock       memory regions; only workers and consumers that may sleep take it
 *   rnic_queue.lock    a ring of work requests
 *   rnic_cq.lock       a ring of completions
 */
#ifndef P2PDMA_TEST_RNIC_H
#define P2PDMA_TEST_RNIC_H

#include <linux/dcache.h>
#include <linux/list.h>
#include <linux/netdevice.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <rdma/ib_verbs.h>
#include <rdma/iw_cm.h>

#include "engine.h"

#define RNIC_NAME		"p2pdma_test_rnic"

#define RNIC_PORT		1
#define RNIC_MAX_SGE		16
#define RNIC_MAX_WR		8192
#define RNIC_MAX_CQE		65536
#define RNIC_MAX_QP		1024
#define RNIC_MAX_PAGES		512
#define RNIC_MAX_MESSAGE	SZ_64M
/* A key is an index of 24 bits and 8 bits of the consumer's; index 0 is all of memory. */
#define RNIC_LOCAL_DMA_LKEY	0
#define RNIC_KEY_SHIFT		8
#define RNIC_MAX_MR		(BIT(24) - 1)

/**
 * struct rnic_counters - what debugfs shows
 * @requests: work requests executed, whatever came of them
 * @sends: messages that arrived
 * @writes: remote writes done
 * @reads: remote reads done
 * @bytes: payload of these three
 * @registrations: memory regions made valid
 * @invalidations: memory regions made invalid, by either end
 * @flushed: work requests of either queue that were flushed
 * @failed: work requests that failed, injected ones included
 */
struct rnic_counters {
	atomic64_t requests;
	atomic64_t sends;
	atomic64_t writes;
	atomic64_t reads;
	atomic64_t bytes;
	atomic64_t registrations;
	atomic64_t invalidations;
	atomic64_t flushed;
	atomic64_t failed;
};

/**
 * struct rnic - the device
 * @ib: what the RDMA core sees
 * @pdev: the function whose DMA moves the payload
 * @engine: what drives it
 * @netdev: carries the IP addresses that connections are made between
 * @wq: runs the workers
 * @qps: queue pairs by number
 * @nr_qps: how many there are
 * @mrs: memory regions by index
 * @mr_lock: protects the state of memory regions
 * @conn_lock: protects connections and listeners, and the state of queue pairs
 * @conns: all connections
 * @listeners: all listeners
 * @down: no new connections
 * @next_conn: identifier of the next connection
 * @conn_expiry: gives up connections that nobody answers
 * @fail_wr: work requests until one fails; 0: none does
 * @counters: see there
 * @debugfs: directory
 */
struct rnic {
	struct ib_device ib;
	struct pci_dev *pdev;
	struct engine *engine;
	struct net_device *netdev;
	struct workqueue_struct *wq;
	struct xarray qps;
	atomic_t nr_qps;
	struct xarray mrs;
	/* State of memory regions. */
	spinlock_t mr_lock;
	/* Connections, listeners, state of queue pairs. */
	spinlock_t conn_lock;
	struct list_head conns;
	struct list_head listeners;
	bool down;
	u32 next_conn;
	struct delayed_work conn_expiry;
	atomic_t fail_wr;
	struct rnic_counters counters;
	struct dentry *debugfs;
};

/**
 * struct rnic_pd - a protection domain
 * @ib: what the RDMA core sees; its address is all there is to it
 */
struct rnic_pd {
	struct ib_pd ib;
};

/**
 * struct rnic_cq - a completion queue
 * @ib: what the RDMA core sees
 * @lock: protects the rest
 * @ring: completions, of @ib.cqe entries
 * @head: next to be polled
 * @count: number of entries in use
 * @notify: call the consumer at the next completion
 * @solicited: but only if it is a solicited one or an error
 * @overflow: a completion was lost
 */
struct rnic_cq {
	struct ib_cq ib;
	/* The ring, and whether to notify. */
	spinlock_t lock;
	struct ib_wc *ring;
	unsigned int head;
	unsigned int count;
	bool notify;
	bool solicited;
	bool overflow;
};

/**
 * struct rnic_mr - a memory region for fast registration
 * @ib: what the RDMA core sees
 * @pages: DMA addresses of its pages, as the consumer mapped them
 * @nr_pages: how many there are
 * @max_pages: how many there can be
 * @key: the key it was registered with
 * @valid: it can be used; under rnic.mr_lock
 * @access: for what
 * @iova: first address, while valid
 * @length: number of bytes, while valid
 * @users: copies under way; raised under rnic.mr_lock
 */
struct rnic_mr {
	struct ib_mr ib;
	dma_addr_t *pages;
	u32 nr_pages;
	u32 max_pages;
	u32 key;
	bool valid;
	int access;
	u64 iova;
	u64 length;
	atomic_t users;
};

/**
 * struct rnic_piece - a range of memory that has been checked and can be copied
 * @mr: the region it lies in, held; NULL if @addr is a DMA address
 * @addr: DMA address, or offset from the first page of @mr
 * @length: number of bytes
 */
struct rnic_piece {
	struct rnic_mr *mr;
	u64 addr;
	u32 length;
};

/**
 * struct rnic_memory - source or destination of a work request
 * @cursor: how the engine walks along it
 * @pieces: the pieces
 * @count: how many there are
 * @length: bytes in all of them
 * @at: piece where the cursor stands
 * @offset: bytes of it that are done
 */
struct rnic_memory {
	struct engine_cursor cursor;
	struct rnic_piece pieces[RNIC_MAX_SGE];
	unsigned int count;
	u32 length;
	unsigned int at;
	u32 offset;
};

/**
 * struct rnic_request - a work request in a ring
 * @wr_id: the consumer's, also its pointer to a struct ib_cqe
 * @opcode: receives have none
 * @send_flags: as posted
 * @remote_addr: where in the far end's memory
 * @rkey: key of it, or the key to invalidate
 * @inv_key: key to invalidate after a send or read
 * @mr: region to register
 * @access: what for
 * @num_sge: number of entries in @sge
 * @sge: local memory
 */
struct rnic_request {
	u64 wr_id;
	enum ib_wr_opcode opcode;
	int send_flags;
	u64 remote_addr;
	u32 rkey;
	u32 inv_key;
	struct ib_mr *mr;
	int access;
	u32 num_sge;
	struct ib_sge sge[RNIC_MAX_SGE];
};

/**
 * struct rnic_queue - a ring of work requests
 * @lock: protects it
 * @ring: @size entries
 * @size: number of entries
 * @head: oldest entry
 * @count: entries in use
 * @max_sge: as agreed on at creation
 */
struct rnic_queue {
	/* The ring. */
	spinlock_t lock;
	struct rnic_request *ring;
	u32 size;
	u32 head;
	u32 count;
	u32 max_sge;
};

/**
 * struct rnic_qp - a queue pair
 * @ib: what the RDMA core sees
 * @rnic: the device
 * @sq: send queue
 * @rq: receive queue
 * @signal_all: every send queue request is to be completed visibly
 * @work: the worker
 * @state: written under rnic.conn_lock
 * @access: what the far end may do at all
 * @conn: the connection, or NULL; under rnic.conn_lock
 * @side: which end of it
 * @inbound: workers that use this queue pair's memory or receive queue; raised under conn_lock
 * @refs: the iWARP connection manager's, and one of our own
 * @released: completed with the last of them
 * @waiting: the oldest send waits for a receive request of the far end; worker only
 * @from: source of what the worker does
 * @to: destination of it
 * @receive: receive request it fills
 */
struct rnic_qp {
	struct ib_qp ib;
	struct rnic *rnic;
	struct rnic_queue sq;
	struct rnic_queue rq;
	bool signal_all;
	struct work_struct work;
	enum ib_qp_state state;
	int access;
	struct rnic_conn *conn;
	unsigned int side;
	atomic_t inbound;
	refcount_t refs;
	struct completion released;
	bool waiting;
	struct rnic_memory from;
	struct rnic_memory to;
	struct rnic_request receive;
};

static inline struct rnic *to_rnic(struct ib_device *ib)
{
	return container_of(ib, struct rnic, ib);
}

static inline struct rnic_cq *to_rnic_cq(struct ib_cq *ib)
{
	return container_of(ib, struct rnic_cq, ib);
}

static inline struct rnic_mr *to_rnic_mr(struct ib_mr *ib)
{
	return container_of(ib, struct rnic_mr, ib);
}

static inline struct rnic_qp *to_rnic_qp(struct ib_qp *ib)
{
	return container_of(ib, struct rnic_qp, ib);
}

/* A count that somebody may be waiting to see at zero. The waker touches nothing but it. */
static inline void rnic_count_down(atomic_t *count)
{
	if (atomic_dec_and_test(count))
		wake_up_var(count);
}

/* netdev.c */
struct net_device *rnic_netdev_create(struct device *parent);
void rnic_netdev_destroy(struct net_device *netdev);

/* verbs.c */
extern const struct ib_device_ops rnic_verbs_ops;
void rnic_cq_add(struct ib_cq *ib, const struct ib_wc *wc, bool solicited);
void rnic_cq_forget(struct ib_cq *ib, const struct ib_qp *qp);

/* mr.c */
extern const struct ib_device_ops rnic_mr_ops;
enum ib_wc_status rnic_mr_register(struct rnic_qp *qp, const struct rnic_request *request);
enum ib_wc_status rnic_mr_invalidate(struct rnic *rnic, struct ib_pd *pd, u32 key);
bool rnic_memory_add(struct rnic *rnic, struct rnic_memory *memory, struct ib_pd *pd, u64 addr,
		     u32 length, u32 key, int access);
bool rnic_memory_add_local(struct rnic *rnic, struct rnic_memory *memory, struct ib_pd *pd,
			   const struct rnic_request *request, int access);
void rnic_memory_init(struct rnic_memory *memory);
void rnic_memory_release(struct rnic_memory *memory);

/* qp.c */
extern const struct ib_device_ops rnic_qp_ops;

/* cm.c */
extern const struct ib_device_ops rnic_cm_ops;
struct rnic_qp *rnic_peer_get(struct rnic_qp *qp);
void rnic_peer_kick(struct rnic_qp *qp);
void rnic_qp_leave(struct rnic_qp *qp, enum ib_qp_state state);
void rnic_qp_fail(struct rnic_qp *qp);
int rnic_qp_set_state(struct rnic_qp *qp, enum ib_qp_state state);
void rnic_conn_close_all(struct rnic *rnic);
void rnic_conn_expire(struct work_struct *work);

/* debugfs.c */
void rnic_debugfs_init(struct rnic *rnic);
void rnic_debugfs_exit(struct rnic *rnic);

#endif /* P2PDMA_TEST_RNIC_H */
