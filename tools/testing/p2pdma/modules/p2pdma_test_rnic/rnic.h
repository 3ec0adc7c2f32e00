/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The loopback RNIC for tests: private definitions.
 *
 * Both ends of every connection are on this device. Each queue pair has a worker that executes the
 * work requests of the send queue in order. To move payload, the worker calls the copy engine and
 * sleeps until the copy is done. The worker also handles the receive queue of the far end.
 *
 * Lifetime of buffers:
 *   A consumer frees buffers after a drain of the queue pair, or after an invalidation of the
 *   memory region. So no completion may be reported before the engine is done. While a worker uses
 *   memory of the far end, the worker holds a count in rnic_qp.inbound of the far end. A new count
 *   needs an established connection. A queue pair in the error state flushes requests after the
 *   count has dropped to zero. rnic_mr.users counts the users of a memory region in the same way.
 *
 * Waits:
 *   worker -> engine (ends with the command, or with the timeout)
 *   worker, on flush -> inbound of the queue pair -> worker of the far end -> engine
 *   worker, on invalidation -> users of the region -> any worker -> engine
 *   destruction of a queue pair -> worker, inbound, references of iw_cm
 *   removal of the function -> consumers, through the RDMA core
 * The engine never waits for a worker, so there is no cycle.
 *
 * Locks, outermost first. Any context can post, so all locks except mr_lock disable interrupts.
 *   rnic.conn_lock     connections, listeners, states of queue pairs
 *     (the lock of a cm_id in iw_cm, taken by the event handler)
 *   rnic.mr_lock       memory regions; taken by workers and in consumer calls that may sleep
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
/* A key has an index in the upper 24 bits, and 8 bits of the consumer. Index 0 is all memory. */
#define RNIC_LOCAL_DMA_LKEY	0
#define RNIC_KEY_SHIFT		8
#define RNIC_MAX_MR		(BIT(24) - 1)

/**
 * struct rnic_counters - counters in debugfs
 * @requests: work requests of send queues that were executed, with success or not
 * @sends: SENDs whose payload was delivered
 * @writes: RDMA writes that succeeded
 * @reads: RDMA reads that succeeded
 * @bytes: payload of @sends, @writes and @reads
 * @registrations: memory regions that became valid
 * @invalidations: memory regions that became invalid, by either end
 * @flushed: work requests of send and receive queues that were flushed
 * @failed: work requests that failed, including injected failures
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
 * @ib: device of the RDMA core
 * @pdev: function whose DMA moves the payload
 * @engine: copy engine on @pdev
 * @netdev: interface with the IP addresses of connections
 * @wq: workqueue of the workers
 * @qps: queue pairs by number
 * @nr_qps: number of queue pairs
 * @mrs: memory regions by index
 * @mr_lock: protects the state of memory regions
 * @conn_lock: protects connections and listeners, and the state of queue pairs
 * @conns: all connections
 * @listeners: all listeners
 * @down: new connections are refused
 * @next_conn: identifier of the next connection
 * @conn_expiry: refuses requests for a connection that got no answer
 * @fail_wr: number of work requests until a request fails; 0 means none
 * @counters: counters in debugfs
 * @debugfs: top directory in debugfs
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
	/* Protects the state of memory regions. */
	spinlock_t mr_lock;
	/* Protects connections, listeners and the state of queue pairs. */
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
 * @ib: protection domain of the RDMA core; the address is the identity
 */
struct rnic_pd {
	struct ib_pd ib;
};

/**
 * struct rnic_cq - a completion queue
 * @ib: completion queue of the RDMA core
 * @lock: protects the rest of the structure
 * @ring: completions, @ib.cqe entries
 * @head: next entry to be polled
 * @count: number of entries in use
 * @notify: call the consumer at the next completion
 * @solicited: limits @notify to errors and solicited completions
 * @overflow: a completion was lost
 */
struct rnic_cq {
	struct ib_cq ib;
	/* Protects the ring and the state of notification. */
	spinlock_t lock;
	struct ib_wc *ring;
	unsigned int head;
	unsigned int count;
	bool notify;
	bool solicited;
	bool overflow;
};

/**
 * struct rnic_mr - a memory region, for fast registration or over a dma-buf
 * @ib: memory region of the RDMA core
 * @umem: the dma-buf, or NULL
 * @pages: DMA addresses of the pages, as mapped by the consumer
 * @nr_pages: number of entries in use in @pages
 * @max_pages: length of @pages
 * @key: key from the last registration
 * @valid: the region is registered; under rnic.mr_lock
 * @access: rights of the registration
 * @iova: first address of the registration
 * @length: number of bytes of the registration
 * @users: number of copies in flight; raised under rnic.mr_lock
 */
struct rnic_mr {
	struct ib_mr ib;
	struct ib_umem *umem;
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
 * struct rnic_piece - a checked range of memory, ready to be copied
 * @mr: region of the range, counted in rnic_mr.users; NULL if @addr is a DMA address
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
 * @cursor: interface to the engine
 * @pieces: the pieces
 * @count: number of pieces
 * @length: number of bytes in all pieces
 * @at: current piece of the cursor
 * @offset: number of bytes of the current piece that the cursor has passed
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
 * @wr_id: identifier from the consumer, often a pointer to a struct ib_cqe
 * @opcode: opcode; not used by receive requests
 * @send_flags: flags from the consumer
 * @remote_addr: address in the memory of the far end
 * @rkey: key for @remote_addr, or new key of @mr
 * @inv_key: key to invalidate, alone or after a send or read
 * @mr: region to register
 * @access: rights for the registration of @mr
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
 * @lock: protects the ring
 * @ring: work requests, @size entries
 * @size: number of entries
 * @head: oldest entry
 * @count: number of entries in use
 * @max_sge: largest number of entries in rnic_request.sge
 */
struct rnic_queue {
	/* Protects the ring. */
	spinlock_t lock;
	struct rnic_request *ring;
	u32 size;
	u32 head;
	u32 count;
	u32 max_sge;
};

/**
 * struct rnic_qp - a queue pair
 * @ib: queue pair of the RDMA core
 * @rnic: the device
 * @sq: send queue
 * @rq: receive queue
 * @signal_all: report a completion for every request of the send queue
 * @work: the worker
 * @state: state of the queue pair, written under rnic.conn_lock
 * @access: operations that the far end may request
 * @conn: the connection, or NULL; under rnic.conn_lock
 * @side: index of this end in rnic_conn.ends
 * @inbound: workers that use memory or receive queue of this queue pair; raised under
 *	rnic.conn_lock
 * @refs: references of iw_cm, and one reference until destruction
 * @released: completed with the last reference
 * @waiting: the oldest send waits for a receive request of the far end; worker only
 * @from: source of the current request; worker only
 * @to: destination of the current request; worker only
 * @receive: receive request for the current send; worker only
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

/* The object with @count may be freed as soon as the count is zero, so use only the address. */
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
