// SPDX-License-Identifier: GPL-2.0
/*
 * Connections, for the iWARP connection manager.
 *
 * A connection is an object with two ends. The connect call of the active end creates the object.
 * The passive end gets the identifier of the object with the request. The object is freed as soon
 * as the connection is refused, times out, or is closed by either end. A late call with the
 * identifier or with a queue pair then finds no connection, so the object needs no reference count.
 * Connections and listeners hold references on the cm_ids of iw_cm.
 *
 * Without an answer, an active end waits forever, and the destruction of the active end waits as
 * well. An answer can get lost if the listener goes away, or if iw_cm has no memory for a new
 * cm_id. So the destruction of a listener refuses pending requests, and a timer refuses old
 * requests.
 */
#include <linux/in6.h>
#include <linux/slab.h>
#include <net/ipv6.h>

#include "rnic.h"

#define RNIC_ANSWER_TIMEOUT	(10 * HZ)

enum { RNIC_ACTIVE, RNIC_PASSIVE };

/**
 * struct rnic_listener - a listener for connections
 * @list: entry in rnic.listeners
 * @cm_id: identifier of iw_cm, with a reference
 */
struct rnic_listener {
	struct list_head list;
	struct iw_cm_id *cm_id;
};

/**
 * struct rnic_end - an end of a connection
 * @cm_id: identifier of iw_cm, with a reference
 * @qp: queue pair; rnic_qp.conn points to the connection
 */
struct rnic_end {
	struct iw_cm_id *cm_id;
	struct rnic_qp *qp;
};

/**
 * struct rnic_conn - a connection, or the request for one
 * @list: entry in rnic.conns
 * @id: identifier for the passive end
 * @established: the passive end accepted the request
 * @deadline: time in jiffies at which the request is refused
 * @listener: listener that got the request; NULL when established
 * @ends: ends of the connection, by RNIC_ACTIVE and RNIC_PASSIVE
 */
struct rnic_conn {
	struct list_head list;
	u32 id;
	bool established;
	unsigned long deadline;
	struct rnic_listener *listener;
	struct rnic_end ends[2];
};

static int rnic_event(struct rnic *rnic, struct iw_cm_id *cm_id, struct iw_cm_event *event)
{
	int ret = cm_id->event_handler(cm_id, event);

	if (ret)
		ibdev_warn(&rnic->ib, "event %d is lost: %d\n", event->event, ret);
	return ret;
}

static void rnic_set_addresses(struct iw_cm_event *event, const struct sockaddr_storage *local,
			       const struct sockaddr_storage *remote)
{
	event->local_addr = *local;
	event->remote_addr = *remote;
}

/* Answer the active end. Without memory for the private data, the answer is a plain failure. */
static int rnic_reply(struct rnic *rnic, struct rnic_conn *conn, int status,
		      const struct iw_cm_conn_param *param)
{
	struct iw_cm_id *cm_id = conn->ends[RNIC_ACTIVE].cm_id;
	struct iw_cm_event event = {
		.event = IW_CM_EVENT_CONNECT_REPLY,
		.status = status,
	};
	int ret;

	rnic_set_addresses(&event, &cm_id->m_local_addr, &cm_id->m_remote_addr);
	if (param) {
		event.private_data = (void *)param->private_data;
		event.private_data_len = param->private_data_len;
		event.ird = param->ird;
		event.ord = param->ord;
	}
	ret = rnic_event(rnic, cm_id, &event);
	if (ret && event.private_data_len) {
		event.private_data_len = 0;
		event.status = status ?: -ECONNRESET;
		rnic_event(rnic, cm_id, &event);
	}
	return ret;
}

static void rnic_conn_free(struct rnic_conn *conn)
{
	struct rnic_end *end;

	for (end = conn->ends; end < conn->ends + ARRAY_SIZE(conn->ends); end++) {
		if (end->qp)
			end->qp->conn = NULL;
		if (end->cm_id)
			end->cm_id->rem_ref(end->cm_id);
	}
	list_del(&conn->list);
	kfree(conn);
}

static void rnic_conn_refuse(struct rnic *rnic, struct rnic_conn *conn, int status,
			     const struct iw_cm_conn_param *param)
{
	lockdep_assert_held(&rnic->conn_lock);
	rnic_reply(rnic, conn, status, param);
	rnic_conn_free(conn);
}

static void rnic_conn_close(struct rnic *rnic, struct rnic_conn *conn)
{
	struct iw_cm_event event = {
		.event = IW_CM_EVENT_CLOSE,
	};
	struct rnic_end *end;

	lockdep_assert_held(&rnic->conn_lock);
	for (end = conn->ends; end < conn->ends + ARRAY_SIZE(conn->ends); end++) {
		if (end->qp->state == IB_QPS_RTS)
			WRITE_ONCE(end->qp->state, IB_QPS_ERR);
		queue_work(rnic->wq, &end->qp->work);
		rnic_set_addresses(&event, &end->cm_id->m_local_addr, &end->cm_id->m_remote_addr);
		rnic_event(rnic, end->cm_id, &event);
	}
	rnic_conn_free(conn);
}

static void rnic_conn_end(struct rnic *rnic, struct rnic_conn *conn, int status)
{
	if (conn->established)
		rnic_conn_close(rnic, conn);
	else
		rnic_conn_refuse(rnic, conn, status, NULL);
}

/**
 * rnic_conn_close_all() - end all connections and refuse new connections
 * @rnic: the device
 *
 * For a dead engine, and before the removal of the device.
 */
void rnic_conn_close_all(struct rnic *rnic)
{
	struct rnic_conn *conn, *next;
	unsigned long flags;

	spin_lock_irqsave(&rnic->conn_lock, flags);
	rnic->down = true;
	list_for_each_entry_safe(conn, next, &rnic->conns, list)
		rnic_conn_end(rnic, conn, -ECONNRESET);
	spin_unlock_irqrestore(&rnic->conn_lock, flags);
}

/**
 * rnic_conn_expire() - refuse requests without an answer
 * @work: rnic.conn_expiry
 */
void rnic_conn_expire(struct work_struct *work)
{
	struct rnic *rnic = container_of(to_delayed_work(work), struct rnic, conn_expiry);
	struct rnic_conn *conn, *next;
	unsigned long flags;
	bool more = false;

	spin_lock_irqsave(&rnic->conn_lock, flags);
	list_for_each_entry_safe(conn, next, &rnic->conns, list) {
		if (conn->established)
			continue;
		if (time_after_eq(jiffies, conn->deadline))
			rnic_conn_refuse(rnic, conn, -ETIMEDOUT, NULL);
		else
			more = true;
	}
	spin_unlock_irqrestore(&rnic->conn_lock, flags);
	if (more)
		queue_delayed_work(rnic->wq, &rnic->conn_expiry, RNIC_ANSWER_TIMEOUT / 10);
}

static struct rnic_qp *rnic_peer(struct rnic_qp *qp)
{
	lockdep_assert_held(&qp->rnic->conn_lock);
	return qp->conn && qp->conn->established ? qp->conn->ends[!qp->side].qp : NULL;
}

/**
 * rnic_peer_get() - get the queue pair of the far end, for use of memory and receive queue
 * @qp: the near end
 *
 * Return: the queue pair, or NULL without a connection. The caller calls rnic_count_down() on
 * @inbound of the queue pair.
 */
struct rnic_qp *rnic_peer_get(struct rnic_qp *qp)
{
	struct rnic *rnic = qp->rnic;
	struct rnic_qp *peer;
	unsigned long flags;

	spin_lock_irqsave(&rnic->conn_lock, flags);
	peer = rnic_peer(qp);
	if (peer)
		atomic_inc(&peer->inbound);
	spin_unlock_irqrestore(&rnic->conn_lock, flags);
	return peer;
}

/**
 * rnic_peer_kick() - wake the worker of the far end
 * @qp: the near end
 */
void rnic_peer_kick(struct rnic_qp *qp)
{
	struct rnic *rnic = qp->rnic;
	struct rnic_qp *peer;
	unsigned long flags;

	spin_lock_irqsave(&rnic->conn_lock, flags);
	peer = rnic_peer(qp);
	if (peer)
		queue_work(rnic->wq, &peer->work);
	spin_unlock_irqrestore(&rnic->conn_lock, flags);
}

/**
 * rnic_qp_leave() - end the connection of a queue pair
 * @qp: the queue pair
 * @state: new state of the queue pair, error or reset
 */
void rnic_qp_leave(struct rnic_qp *qp, enum ib_qp_state state)
{
	struct rnic *rnic = qp->rnic;
	unsigned long flags;

	spin_lock_irqsave(&rnic->conn_lock, flags);
	WRITE_ONCE(qp->state, state);
	if (qp->conn)
		rnic_conn_end(rnic, qp->conn, -ECONNRESET);
	spin_unlock_irqrestore(&rnic->conn_lock, flags);
}

/**
 * rnic_qp_fail() - put a queue pair into the error state and flush the requests
 * @qp: the queue pair
 */
void rnic_qp_fail(struct rnic_qp *qp)
{
	rnic_qp_leave(qp, IB_QPS_ERR);
	queue_work(qp->rnic->wq, &qp->work);
}

static int rnic_qp_advance(struct rnic_qp *qp, enum ib_qp_state from, enum ib_qp_state to)
{
	struct rnic *rnic = qp->rnic;
	unsigned long flags;
	bool good;

	spin_lock_irqsave(&rnic->conn_lock, flags);
	good = qp->state == from || qp->state == to;
	if (good)
		WRITE_ONCE(qp->state, to);
	spin_unlock_irqrestore(&rnic->conn_lock, flags);
	return good ? 0 : -EINVAL;
}

/**
 * rnic_qp_set_state() - change the state for a consumer or iw_cm
 * @qp: the queue pair
 * @state: new state
 *
 * Only a connection makes a queue pair ready to send. iw_cm sets SQD for an orderly disconnect.
 * Requests that are not executed yet are flushed, as for ERR.
 *
 * Return: 0, -EINVAL for an unknown transition, -EOPNOTSUPP for an unknown state.
 */
int rnic_qp_set_state(struct rnic_qp *qp, enum ib_qp_state state)
{
	switch (state) {
	case IB_QPS_INIT:
		return rnic_qp_advance(qp, IB_QPS_RESET, IB_QPS_INIT);
	case IB_QPS_RTR:
		return rnic_qp_advance(qp, IB_QPS_INIT, IB_QPS_RTR);
	case IB_QPS_RTS:
		return rnic_qp_advance(qp, IB_QPS_RTS, IB_QPS_RTS);
	case IB_QPS_SQD:
	case IB_QPS_ERR:
		rnic_qp_fail(qp);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static bool rnic_qp_can_connect(const struct rnic_qp *qp)
{
	return !qp->conn && (qp->state == IB_QPS_INIT || qp->state == IB_QPS_RTR);
}

static void rnic_conn_bind(struct rnic_conn *conn, unsigned int side, struct iw_cm_id *cm_id,
			   struct rnic_qp *qp)
{
	cm_id->add_ref(cm_id);
	conn->ends[side].cm_id = cm_id;
	conn->ends[side].qp = qp;
	qp->conn = conn;
	qp->side = side;
}

static int rnic_create_listen(struct iw_cm_id *cm_id, int backlog)
{
	struct rnic *rnic = to_rnic(cm_id->device);
	struct rnic_listener *listener;
	unsigned long flags;

	listener = kzalloc(sizeof(*listener), GFP_KERNEL);
	if (!listener)
		return -ENOMEM;
	cm_id->add_ref(cm_id);
	cm_id->provider_data = listener;
	listener->cm_id = cm_id;
	spin_lock_irqsave(&rnic->conn_lock, flags);
	list_add_tail(&listener->list, &rnic->listeners);
	spin_unlock_irqrestore(&rnic->conn_lock, flags);
	return 0;
}

static int rnic_destroy_listen(struct iw_cm_id *cm_id)
{
	struct rnic *rnic = to_rnic(cm_id->device);
	struct rnic_listener *listener = cm_id->provider_data;
	struct rnic_conn *conn, *next;
	unsigned long flags;

	spin_lock_irqsave(&rnic->conn_lock, flags);
	list_del(&listener->list);
	list_for_each_entry_safe(conn, next, &rnic->conns, list)
		if (conn->listener == listener)
			rnic_conn_refuse(rnic, conn, -ECONNREFUSED, NULL);
	spin_unlock_irqrestore(&rnic->conn_lock, flags);
	cm_id->rem_ref(cm_id);
	kfree(listener);
	return 0;
}

static bool rnic_listens_at(const struct sockaddr_storage *listen,
			    const struct sockaddr_storage *wanted)
{
	const struct sockaddr_in *a4 = (const void *)listen, *b4 = (const void *)wanted;
	const struct sockaddr_in6 *a6 = (const void *)listen, *b6 = (const void *)wanted;

	if (listen->ss_family != wanted->ss_family)
		return false;
	if (listen->ss_family == AF_INET)
		return a4->sin_port == b4->sin_port &&
		       (a4->sin_addr.s_addr == htonl(INADDR_ANY) ||
			a4->sin_addr.s_addr == b4->sin_addr.s_addr);
	return a6->sin6_port == b6->sin6_port &&
	       (ipv6_addr_any(&a6->sin6_addr) || ipv6_addr_equal(&a6->sin6_addr, &b6->sin6_addr));
}

static struct rnic_listener *rnic_find_listener(struct rnic *rnic,
						const struct sockaddr_storage *wanted)
{
	struct rnic_listener *listener;

	lockdep_assert_held(&rnic->conn_lock);
	list_for_each_entry(listener, &rnic->listeners, list)
		if (rnic_listens_at(&listener->cm_id->m_local_addr, wanted))
			return listener;
	return NULL;
}

/* Hand a request for a connection to the listener. */
static int rnic_request(struct rnic *rnic, struct rnic_conn *conn,
			const struct iw_cm_conn_param *param)
{
	struct iw_cm_id *cm_id = conn->ends[RNIC_ACTIVE].cm_id;
	struct iw_cm_event event = {
		.event = IW_CM_EVENT_CONNECT_REQUEST,
		.provider_data = (void *)(unsigned long)conn->id,
		.private_data = (void *)param->private_data,
		.private_data_len = param->private_data_len,
		.ird = param->ird,
		.ord = param->ord,
	};

	rnic_set_addresses(&event, &cm_id->m_remote_addr, &cm_id->m_local_addr);
	return rnic_event(rnic, conn->listener->cm_id, &event);
}

static int rnic_connect_locked(struct rnic *rnic, struct rnic_conn *conn, struct iw_cm_id *cm_id,
			       const struct iw_cm_conn_param *param)
{
	struct rnic_qp *qp = xa_load(&rnic->qps, param->qpn);

	if (rnic->down)
		return -ENETDOWN;
	if (!qp || !rnic_qp_can_connect(qp))
		return -EINVAL;
	conn->id = rnic->next_conn++;
	conn->deadline = jiffies + RNIC_ANSWER_TIMEOUT;
	list_add_tail(&conn->list, &rnic->conns);
	rnic_conn_bind(conn, RNIC_ACTIVE, cm_id, qp);
	conn->listener = rnic_find_listener(rnic, &cm_id->m_remote_addr);
	/* From here on, a failure is reported as an event. */
	if (!conn->listener || rnic_request(rnic, conn, param))
		rnic_conn_refuse(rnic, conn, -ECONNREFUSED, NULL);
	return 0;
}

static int rnic_connect(struct iw_cm_id *cm_id, struct iw_cm_conn_param *param)
{
	struct rnic *rnic = to_rnic(cm_id->device);
	struct rnic_conn *conn;
	unsigned long flags;
	int ret;

	/* Events carry the length in eight bits. */
	if (param->private_data_len > U8_MAX)
		return -EINVAL;
	conn = kzalloc(sizeof(*conn), GFP_KERNEL);
	if (!conn)
		return -ENOMEM;
	spin_lock_irqsave(&rnic->conn_lock, flags);
	ret = rnic_connect_locked(rnic, conn, cm_id, param);
	spin_unlock_irqrestore(&rnic->conn_lock, flags);
	if (ret)
		kfree(conn);
	else
		queue_delayed_work(rnic->wq, &rnic->conn_expiry, RNIC_ANSWER_TIMEOUT / 10);
	return ret;
}

static struct rnic_conn *rnic_find_request(struct rnic *rnic, const struct iw_cm_id *cm_id)
{
	u32 id = (unsigned long)cm_id->provider_data;
	struct rnic_conn *conn;

	lockdep_assert_held(&rnic->conn_lock);
	list_for_each_entry(conn, &rnic->conns, list)
		if (conn->id == id && !conn->established)
			return conn;
	return NULL;
}

static void rnic_establish(struct rnic *rnic, struct rnic_conn *conn,
			   const struct iw_cm_conn_param *param)
{
	struct iw_cm_id *cm_id = conn->ends[RNIC_PASSIVE].cm_id;
	struct iw_cm_event event = {
		.event = IW_CM_EVENT_ESTABLISHED,
		.ird = param->ird,
		.ord = param->ord,
	};

	conn->established = true;
	conn->listener = NULL;
	WRITE_ONCE(conn->ends[RNIC_ACTIVE].qp->state, IB_QPS_RTS);
	WRITE_ONCE(conn->ends[RNIC_PASSIVE].qp->state, IB_QPS_RTS);
	rnic_set_addresses(&event, &cm_id->m_local_addr, &cm_id->m_remote_addr);
	rnic_event(rnic, cm_id, &event);
}

static int rnic_accept_locked(struct rnic *rnic, struct iw_cm_id *cm_id,
			      const struct iw_cm_conn_param *param)
{
	struct rnic_conn *conn;
	struct rnic_qp *qp;

	conn = rnic_find_request(rnic, cm_id);
	if (!conn)
		return -ECONNRESET;
	qp = xa_load(&rnic->qps, param->qpn);
	if (!qp || !rnic_qp_can_connect(qp)) {
		rnic_conn_refuse(rnic, conn, -ECONNRESET, NULL);
		return -EINVAL;
	}
	/* The answer may need memory. If the answer fails, there is no connection. */
	if (rnic_reply(rnic, conn, 0, param)) {
		rnic_conn_free(conn);
		return -ENOMEM;
	}
	rnic_conn_bind(conn, RNIC_PASSIVE, cm_id, qp);
	rnic_establish(rnic, conn, param);
	return 0;
}

static int rnic_accept(struct iw_cm_id *cm_id, struct iw_cm_conn_param *param)
{
	struct rnic *rnic = to_rnic(cm_id->device);
	unsigned long flags;
	int ret;

	if (param->private_data_len > U8_MAX)
		return -EINVAL;
	spin_lock_irqsave(&rnic->conn_lock, flags);
	ret = rnic_accept_locked(rnic, cm_id, param);
	spin_unlock_irqrestore(&rnic->conn_lock, flags);
	return ret;
}

static int rnic_reject(struct iw_cm_id *cm_id, const void *private_data, u8 length)
{
	struct rnic *rnic = to_rnic(cm_id->device);
	struct iw_cm_conn_param param = {
		.private_data = private_data,
		.private_data_len = length,
	};
	struct rnic_conn *conn;
	unsigned long flags;

	spin_lock_irqsave(&rnic->conn_lock, flags);
	conn = rnic_find_request(rnic, cm_id);
	if (conn)
		rnic_conn_refuse(rnic, conn, -ECONNREFUSED, &param);
	spin_unlock_irqrestore(&rnic->conn_lock, flags);
	return conn ? 0 : -ECONNRESET;
}

const struct ib_device_ops rnic_cm_ops = {
	.iw_accept = rnic_accept,
	.iw_connect = rnic_connect,
	.iw_create_listen = rnic_create_listen,
	.iw_destroy_listen = rnic_destroy_listen,
	.iw_reject = rnic_reject,
};
