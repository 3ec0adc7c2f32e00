// SPDX-License-Identifier: GPL-2.0
/*
 * An independent model of the route rules.
 *
 * Follows a memory request from the client to the provider, and a completion
 * from the provider to the client. A packet climbs from bus to bus until a
 * function on the bus is the target or has the target below. The access control
 * of the function that put the packet on this bus decides (PCIe r6.0, sec
 * 6.12.3): the packet is claimed, refused, or sent on to the host bridge.
 *
 * Nothing is cached or sorted: every step searches the whole table.
 */

#include <linux/pci.h>

#include "p2pdma_model.h"

/* Fate of a packet on a bus with a function that could claim the packet. */
enum fate {
	FATE_CLAIMED,
	FATE_UP,
	FATE_UP_BY_DESIGN,
	FATE_REFUSED,
	FATE_UNREADABLE,
};

/* The number of the bit in the egress control vector is unknown. */
#define BIT_UNKNOWN	(-1)
/* The vector does not cover the function that would claim the packet. */
#define BIT_NOT_CONTROLLED	(-2)

/**
 * struct packet - a packet on the way
 * @model: the hierarchy
 * @at: the function that put the packet on the current bus
 * @target: the function that the packet is sent to
 * @claimer: the function on the bus of @at that would claim the packet,
 *	P2PDMA_MODEL_NONE if no function would
 * @hops: number of hops from the sender to the bridge above @at
 */
struct packet {
	const struct p2pdma_model *model;
	int at;
	int target;
	int claimer;
	int hops;
};

/**
 * p2pdma_model_is_bridge - test for a function with a bus below
 * @model: the hierarchy
 * @fn: index of the function
 *
 * Return: true for ports and bridges.
 */
bool p2pdma_model_is_bridge(const struct p2pdma_model *model, int fn)
{
	return model->fn[fn].kind <= P2PDMA_MODEL_BRIDGE;
}

/* Ports that face away from the root complex (PCIe r6.0, sec 1.3.3). */
static bool is_downstream_port(const struct p2pdma_model_function *fn)
{
	return fn->kind == P2PDMA_MODEL_ROOT_PORT ||
	       fn->kind == P2PDMA_MODEL_DOWNSTREAM;
}

static bool holds(const struct p2pdma_model *model, int fn, int target)
{
	while (target != fn && target != P2PDMA_MODEL_NONE)
		target = model->fn[target].up;
	return target == fn;
}

static bool on_one_bus(const struct p2pdma_model *model, int a, int b)
{
	return model->fn[a].host == model->fn[b].host &&
	       model->fn[a].up == model->fn[b].up;
}

static bool in_one_device(const struct p2pdma_model *model, int a, int b)
{
	/*
	 * Of the buses whose functions have access control by function number,
	 * only a root bus has several devices.
	 */
	return model->fn[a].up != P2PDMA_MODEL_NONE ||
	       model->fn[a].number / 8 == model->fn[b].number / 8;
}

/* Function 0 of the device that a function belongs to. */
static int function_0(const struct p2pdma_model *model, int fn)
{
	int i, number = 0;

	if (model->fn[fn].up == P2PDMA_MODEL_NONE)
		number = model->fn[fn].number / 8 * 8;
	for (i = 0; i < model->nr; i++)
		if (on_one_bus(model, i, fn) && model->fn[i].number == number)
			return i;
	return P2PDMA_MODEL_NONE;
}

/*
 * Hardware with the effect of the ACS controls but without the bits: Zhaoxin
 * ports, Qualcomm root ports, network functions of Solarflare and Intel, and
 * Intel's integrated endpoints. Listed are the IDs in random hierarchies; the
 * suite p2pdma_hosts compares the complete table.
 */
static bool isolates_by_design(const struct p2pdma_model_function *fn)
{
	switch (fn->vendor) {
	case 0x1d17:
		return is_downstream_port(fn) &&
		       (fn->device == 0x0710 || fn->device == 0x0740);
	case 0x17cb:
		return fn->device == 0x0400;
	case 0x1924:
		return fn->device == 0x0903;
	case 0x8086:
		return fn->device == 0x1521 || fn->kind == P2PDMA_MODEL_RCIEP;
	}
	return false;
}

/**
 * p2pdma_model_is_wide - test for 32-bit registers in the ACS capability
 * @fn: the function
 *
 * Return: true for root ports of some Intel chipsets.
 */
bool p2pdma_model_is_wide(const struct p2pdma_model_function *fn)
{
	return fn->kind == P2PDMA_MODEL_ROOT_PORT && fn->vendor == 0x8086 &&
	       (fn->device == 0xa110 || fn->device == 0x9d1b);
}

/* Is the effect of access control unknown? */
static bool is_silent(const struct p2pdma_model_function *fn)
{
	return fn->acs.present && fn->unreadable && !isolates_by_design(fn);
}

/*
 * Functions of one device. False if @a is a root port or a downstream port,
 * because access control of ports applies to ports. With ARI, all functions on
 * a bus belong to one device.
 */
static bool are_siblings(const struct p2pdma_model *model, int a, int b)
{
	if (b == P2PDMA_MODEL_NONE || is_downstream_port(&model->fn[a]) ||
	    !on_one_bus(model, a, b))
		return false;
	a = model->fn[a].pf == P2PDMA_MODEL_NONE ? a : model->fn[a].pf;
	b = model->fn[b].pf == P2PDMA_MODEL_NONE ? b : model->fn[b].pf;
	return model->fn[a].ari || model->fn[b].ari ||
	       model->fn[a].number / 8 == model->fn[b].number / 8;
}

/*
 * A function that can reach siblings has to implement Request Redirect (PCIe
 * r6.0, sec 6.12.1.2). Without Request Redirect, packets to siblings go up.
 */
static bool sends_up_by_design(const struct p2pdma_model *model, int fn,
			       int peer)
{
	if (isolates_by_design(&model->fn[fn]))
		return true;
	return !(model->fn[fn].acs.cap & PCI_ACS_RR) &&
	       are_siblings(model, fn, peer);
}

/*
 * Functions of one device have bits by function number (PCIe r6.0, sec
 * 6.12.1.2), or by function group if function 0 says so (sec 7.8.8.3). Groups
 * are not modelled: the bit counts as unknown, as with function 0 unreadable.
 * The bit is also unknown if a virtual function has a bus number of its own,
 * because two functions then share each function number.
 */
static int bit_of_function(const struct p2pdma_model *model, int fn, int peer)
{
	int first = function_0(model, fn);

	if (peer == P2PDMA_MODEL_NONE || !in_one_device(model, fn, peer))
		return BIT_NOT_CONTROLLED;
	if (model->fn[fn].number > 255 || model->fn[peer].number > 255)
		return BIT_UNKNOWN;
	if (first == P2PDMA_MODEL_NONE || !model->fn[first].ari)
		return model->fn[peer].number % 8;
	if (model->fn[first].unreadable || model->fn[first].groups)
		return BIT_UNKNOWN;
	return model->fn[peer].number;
}

/* Ports have bits by port number of the port the packet would leave through. */
static int bit_of_port(const struct p2pdma_model *model, int peer)
{
	if (peer == P2PDMA_MODEL_NONE || !is_downstream_port(&model->fn[peer]))
		return BIT_UNKNOWN;
	return model->fn[peer].unreadable ? BIT_UNKNOWN : model->fn[peer].port;
}

static enum fate egress_control(const struct p2pdma_model *model, int fn,
				int peer)
{
	const struct p2pdma_model_acs *acs = &model->fn[fn].acs;
	enum fate refused = acs->ctrl & PCI_ACS_RR ? FATE_UP : FATE_REFUSED;
	int bit = is_downstream_port(&model->fn[fn]) ?
		  bit_of_port(model, peer) : bit_of_function(model, fn, peer);

	if (bit == BIT_NOT_CONTROLLED)
		return acs->ctrl & PCI_ACS_RR ? FATE_UP : FATE_CLAIMED;
	if (bit == BIT_UNKNOWN || bit >= acs->bits)
		return FATE_UNREADABLE;
	return acs->vector[bit / 64] >> (bit % 64) & 1 ? refused : FATE_CLAIMED;
}

/* PCIe r6.0, sec 6.12.3: interaction of Request Redirect and egress control. */
static enum fate control_request(const struct p2pdma_model *model, int fn,
				 int peer)
{
	const struct p2pdma_model_acs *acs = &model->fn[fn].acs;

	if (!acs->present && !isolates_by_design(&model->fn[fn]))
		return FATE_CLAIMED;
	if (is_silent(&model->fn[fn]))
		return FATE_UNREADABLE;
	if (sends_up_by_design(model, fn, peer))
		return FATE_UP_BY_DESIGN;
	if (acs->ctrl & PCI_ACS_EC)
		return egress_control(model, fn, peer);
	return acs->ctrl & PCI_ACS_RR ? FATE_UP : FATE_CLAIMED;
}

static enum fate control_completion(const struct p2pdma_model *model, int fn,
				    int peer)
{
	const struct p2pdma_model_function *from = &model->fn[fn];

	if (!from->acs.present && !isolates_by_design(from))
		return FATE_CLAIMED;
	if (is_silent(from))
		return FATE_UNREADABLE;
	if (sends_up_by_design(model, fn, peer))
		return FATE_UP_BY_DESIGN;
	return from->acs.ctrl & PCI_ACS_CR ? FATE_UP : FATE_CLAIMED;
}

static bool goes_up(enum fate fate)
{
	return fate == FATE_UP || fate == FATE_UP_BY_DESIGN;
}

/*
 * A redirected packet enters every port above from below, with a target below
 * the same port (PCIe r6.0, sec 6.12.1.1, Upstream Forwarding). Upstream ports
 * always forward. A conventional bridge does not forward an address inside the
 * bridge's own window.
 */
static enum fate control_climber(const struct p2pdma_model_function *port)
{
	if (port->kind == P2PDMA_MODEL_UPSTREAM || isolates_by_design(port))
		return FATE_UP;
	if (!is_downstream_port(port) || !port->acs.present)
		return FATE_REFUSED;
	if (port->unreadable)
		return FATE_UNREADABLE;
	return port->acs.ctrl & PCI_ACS_UF ? FATE_UP : FATE_REFUSED;
}

static int find_claimer(const struct p2pdma_model *model, int at, int target)
{
	int i;

	for (i = 0; i < model->nr; i++)
		if (i != at && on_one_bus(model, at, i) &&
		    holds(model, i, target))
			return i;
	return P2PDMA_MODEL_NONE;
}

static struct packet send(const struct p2pdma_model *model, int from,
			  int target)
{
	struct packet packet = {
		.model = model, .at = from, .target = target, .hops = 1
	};

	for (;;) {
		packet.claimer = find_claimer(model, packet.at, target);
		if (packet.claimer != P2PDMA_MODEL_NONE ||
		    model->fn[packet.at].up == P2PDMA_MODEL_NONE)
			return packet;
		packet.at = model->fn[packet.at].up;
		packet.hops++;
	}
}

static void mark(struct p2pdma_model_verdict *verdict, int fn,
		 enum p2pdma_port_effect effect)
{
	verdict->effects[fn] |= 1 << effect;
}

static bool refused(const struct p2pdma_model_verdict *verdict)
{
	return verdict->type == PCI_P2PDMA_MAP_NOT_SUPPORTED;
}

/* The first refusal is the reason, except that UNREADABLE replaces EGRESS. */
static void refuse(struct p2pdma_model_verdict *verdict,
		   enum p2pdma_reason reason)
{
	if (refused(verdict) && !(verdict->reason == P2PDMA_REASON_EGRESS &&
				  reason == P2PDMA_REASON_UNREADABLE))
		return;
	verdict->type = PCI_P2PDMA_MAP_NOT_SUPPORTED;
	verdict->reason = reason;
}

static void apply_fate(struct p2pdma_model_verdict *verdict, int fn,
		       enum fate fate)
{
	switch (fate) {
	case FATE_CLAIMED:
		break;
	case FATE_UP:
		verdict->redirected = true;
		mark(verdict, fn, P2PDMA_PORT_REDIRECTS);
		break;
	case FATE_UP_BY_DESIGN:
		verdict->redirected = true;
		mark(verdict, fn, P2PDMA_PORT_ISOLATES);
		break;
	case FATE_REFUSED:
		mark(verdict, fn, P2PDMA_PORT_BLOCKS);
		refuse(verdict, P2PDMA_REASON_EGRESS);
		break;
	case FATE_UNREADABLE:
		mark(verdict, fn, P2PDMA_PORT_UNREADABLE);
		refuse(verdict, P2PDMA_REASON_UNREADABLE);
		break;
	}
}

static void climb(const struct p2pdma_model *model, int port,
		  enum p2pdma_reason reason,
		  struct p2pdma_model_verdict *verdict)
{
	for (; port != P2PDMA_MODEL_NONE; port = model->fn[port].up) {
		enum fate fate = control_climber(&model->fn[port]);

		if (fate == FATE_UNREADABLE) {
			apply_fate(verdict, port, fate);
		} else if (fate == FATE_REFUSED) {
			mark(verdict, port, P2PDMA_PORT_NO_FORWARDING);
			refuse(verdict, reason);
		}
	}
}

/*
 * A request with an address translated by the client carries a CPU address.
 * Direct Translated P2P exempts the request from redirect and egress control
 * (PCIe r6.0, sec 6.12.3). Otherwise the fate is @fate, the fate of an
 * untranslated request for the same address.
 */
static enum fate fate_of_translated(const struct p2pdma_model *model, int at,
				    enum fate fate)
{
	const struct p2pdma_model_function *from = &model->fn[at];

	if (fate != FATE_UP_BY_DESIGN && !isolates_by_design(from) &&
	    !from->unreadable && from->acs.ctrl & PCI_ACS_DT)
		return FATE_CLAIMED;
	return fate;
}

/* Translation Blocking acts in ports that the request enters from below. */
static void block_translated(const struct p2pdma_model *model, int port,
			     int end, struct p2pdma_model_verdict *verdict)
{
	for (; port != end && port != P2PDMA_MODEL_NONE;
	     port = model->fn[port].up) {
		const struct p2pdma_model_function *fn = &model->fn[port];

		if (!is_downstream_port(fn) || isolates_by_design(fn))
			continue;
		if (is_silent(fn)) {
			apply_fate(verdict, port, FATE_UNREADABLE);
		} else if (fn->acs.ctrl & PCI_ACS_TB) {
			mark(verdict, port, P2PDMA_PORT_BLOCKS);
			refuse(verdict, P2PDMA_REASON_TRANSLATED);
		}
	}
}

/*
 * A translated request that is claimed below the host bridge arrives only if
 * CPU addresses and bus addresses are equal.
 */
static void send_translated(const struct packet *request, int client,
			    enum fate fate,
			    struct p2pdma_model_verdict *verdict)
{
	const struct p2pdma_model *model = request->model;
	bool claimed = fate == FATE_CLAIMED &&
		       verdict->parent != P2PDMA_MODEL_NONE;
	int pf = model->fn[client].pf;

	if (claimed && model->hosts[model->fn[client].host].offset)
		refuse(verdict, P2PDMA_REASON_TRANSLATED);
	if (fate == FATE_UNREADABLE)
		apply_fate(verdict, request->at, fate);
	if (fate == FATE_REFUSED) {
		mark(verdict, request->at, P2PDMA_PORT_BLOCKS);
		refuse(verdict, P2PDMA_REASON_TRANSLATED);
	}
	block_translated(model,
			 model->fn[pf == P2PDMA_MODEL_NONE ? client : pf].up,
			 claimed ? verdict->parent : P2PDMA_MODEL_NONE,
			 verdict);
}

static void deny_from(const struct p2pdma_model *model, int fn, int end,
		      struct p2pdma_model_verdict *verdict)
{
	for (; fn != end && fn != P2PDMA_MODEL_NONE; fn = model->fn[fn].up) {
		if (!p2pdma_model_is_bridge(model, fn) ||
		    model->fn[fn].policy != P2PDMA_POLICY_DENY)
			continue;
		mark(verdict, fn, P2PDMA_PORT_DENIED);
		refuse(verdict, P2PDMA_REASON_POLICY);
	}
}

/* Sources of the lists: documents of the vendors, and lists in the kernel. */
static bool known_within(u16 vendor, u16 device)
{
	switch (vendor) {
	case 0x8086:
		return device == 0x3c00 || device == 0x3c01 ||
		       device == 0x2f00 || device == 0x2f01;
	case 0x1d17:
		return device == 0x1003 ||
		       (device >= 0x1005 && device <= 0x1007);
	}
	return false;
}

/* Intel's accelerators on root buses: DSA, in-memory analytics, QuickAssist. */
static bool known_accelerator(u16 device)
{
	switch (device) {
	case 0x0b25:
	case 0x11fb:
	case 0x1212:
	case 0x0cfe:
	case 0x1216:
		return true;
	}
	return device >= 0x4940 && device <= 0x4948 && device % 2 == 0;
}

static bool known_across(u16 vendor, u16 device)
{
	switch (vendor) {
	case 0x8086:
		return (device >= 0x2030 && device <= 0x2033) ||
		       device == 0x2020 || device == 0x09a2 ||
		       known_accelerator(device);
	case 0x1ae0:
		return true;
	case 0x10de:
		return device >= 0x2f95 && device <= 0x2f98;
	case 0x1d17:
		return device == 0x1008;
	}
	return false;
}

/*
 * The first function on the root bus identifies the host bridge, provided that
 * the function is 00.0 or a root port.
 */
static const struct p2pdma_model_function *
speaker(const struct p2pdma_model *model, int host)
{
	const struct p2pdma_model_function *fn, *first = NULL;

	for (fn = model->fn; fn < model->fn + model->nr; fn++)
		if (fn->host == host && fn->up == P2PDMA_MODEL_NONE &&
		    fn->pf == P2PDMA_MODEL_NONE &&
		    (!first || fn->number < first->number))
			first = fn;
	if (first &&
	    (first->number == 0 || first->kind == P2PDMA_MODEL_ROOT_PORT))
		return first;
	return NULL;
}

/**
 * p2pdma_model_capability - known peer routing of a host bridge
 * @model: the hierarchy
 * @host: index of the host bridge
 *
 * Return: the capability.
 */
enum p2pdma_capability p2pdma_model_capability(const struct p2pdma_model *model,
					       int host)
{
	const struct p2pdma_model_function *fn = speaker(model, host);

	if (model->cpu_routes)
		return P2PDMA_CPU;
	if (fn && known_across(fn->vendor, fn->device))
		return P2PDMA_LISTED;
	if (fn && known_within(fn->vendor, fn->device))
		return P2PDMA_LISTED_SAME;
	return P2PDMA_UNLISTED;
}

static enum p2pdma_reason ask_host(const struct p2pdma_model *model, int host,
				   bool across, bool *routes)
{
	enum p2pdma_capability capability =
		p2pdma_model_capability(model, host);

	*routes = model->hosts[host].policy == P2PDMA_POLICY_ALLOW;
	if (model->hosts[host].policy != P2PDMA_POLICY_AUTO)
		return P2PDMA_REASON_POLICY;
	if (capability == P2PDMA_UNLISTED)
		return P2PDMA_REASON_UNLISTED;
	if (capability == P2PDMA_LISTED_SAME && across)
		return P2PDMA_REASON_SAME_ONLY;
	*routes = true;
	return capability == P2PDMA_CPU ? P2PDMA_REASON_CPU :
					  P2PDMA_REASON_LISTED;
}

/*
 * Both host bridges have to route. The verdict names the client's host bridge
 * (@theirs) if @theirs refuses, else the provider's (@ours).
 */
static void ask_hosts(const struct p2pdma_model *model, int ours, int theirs,
		      struct p2pdma_model_verdict *verdict)
{
	bool routes, they_route;
	enum p2pdma_reason reason =
		ask_host(model, ours, ours != theirs, &routes);
	enum p2pdma_reason other =
		ask_host(model, theirs, ours != theirs, &they_route);

	verdict->host = they_route ? ours : theirs;
	verdict->reason = they_route ? reason : other;
	verdict->type = routes && they_route ? PCI_P2PDMA_MAP_THRU_HOST_BRIDGE :
					       PCI_P2PDMA_MAP_NOT_SUPPORTED;
}

/*
 * An address for an IOMMU is in no window below the host bridge, so egress
 * control cannot stop the request. A claimed request has a bus address.
 */
static enum fate fate_of_request(const struct p2pdma_model *model, int client,
				 int at, enum fate fate)
{
	if (!model->fn[client].iommu || fate == FATE_CLAIMED ||
	    is_silent(&model->fn[at]))
		return fate;
	return fate == FATE_UP_BY_DESIGN ? fate : FATE_UP;
}

static bool gets_iovas_only(const struct p2pdma_model *model, int client)
{
	return model->fn[client].iommu && model->fn[client].untrusted;
}

static void meet_at_bridge(const struct packet *request,
			   const struct packet *completion, int client,
			   struct p2pdma_model_verdict *verdict)
{
	const struct p2pdma_model *model = request->model;
	enum fate window = control_request(model, request->at,
					   request->claimer);
	enum fate fate = fate_of_request(model, client, request->at, window);
	enum fate back =
		control_completion(model, completion->at, completion->claimer);
	enum fate translated = fate_of_translated(model, request->at, window);
	bool up;

	apply_fate(verdict, request->at, fate);
	apply_fate(verdict, completion->at, back);
	if (refused(verdict))
		verdict->redirected = false;
	else if (gets_iovas_only(model, client))
		verdict->redirected = true;
	if (!verdict->redirected)
		return;
	verdict->translated = model->fn[client].iommu;
	up = goes_up(back) || (goes_up(fate) && !verdict->translated);
	if (up || (model->fn[client].ats && goes_up(translated)))
		climb(model, verdict->parent,
		      up ? P2PDMA_REASON_NO_FORWARDING :
			   P2PDMA_REASON_TRANSLATED,
		      verdict);
	if (model->fn[client].ats)
		send_translated(request, client, translated, verdict);
}

/*
 * Egress control also applies to requests between root ports. Redirection makes
 * no difference, because such requests go to the host bridge anyway. With
 * Request Redirect on, egress control can only redirect, so every request
 * reaches the host bridge.
 */
static void meet_at_host(const struct packet *request,
			 const struct packet *completion, int client,
			 struct p2pdma_model_verdict *verdict)
{
	const struct p2pdma_model *model = request->model;
	const struct p2pdma_model_function *from = &model->fn[request->at];
	enum fate window = control_request(model, request->at,
					   request->claimer), fate;

	if (from->acs.ctrl & PCI_ACS_RR && window != FATE_UP_BY_DESIGN &&
	    !is_silent(from))
		window = FATE_UP;
	verdict->translated = model->fn[client].iommu;
	fate = fate_of_request(model, client, request->at, window);
	if (!goes_up(fate))
		apply_fate(verdict, request->at, fate);
	fate = control_completion(model, completion->at, completion->claimer);
	if (!goes_up(fate))
		apply_fate(verdict, completion->at, fate);
	if (!refused(verdict) && model->fn[client].ats)
		send_translated(request, client,
				fate_of_translated(model, request->at, window),
				verdict);
}

/* Without ACS, reaching siblings is optional; in practice, functions do. */
static void judge_siblings(const struct packet *request,
			   struct p2pdma_model_verdict *verdict)
{
	const struct p2pdma_model *model = request->model;

	if (verdict->type == PCI_P2PDMA_MAP_BUS_ADDR &&
	    !model->fn[request->at].acs.present &&
	    are_siblings(model, request->at, request->claimer))
		verdict->reason = P2PDMA_REASON_SAME_DEVICE;
}

/* An IOMMU hands out only addresses within the mask of the client. */
static void check_mask(const struct p2pdma_model *model, int provider,
		       int client, struct p2pdma_model_verdict *verdict)
{
	if (!verdict->translated &&
	    model->fn[client].mask < model->fn[provider].top)
		refuse(verdict, P2PDMA_REASON_ADDRESS);
}

/*
 * The policy deny counts for every bridge on the path, including the parent.
 * A redirected packet also passes all bridges above the parent.
 */
static void ask_policy(const struct p2pdma_model *model, int provider,
		       int client, struct p2pdma_model_verdict *verdict)
{
	int parent = verdict->parent;

	deny_from(model, client, parent, verdict);
	deny_from(model, provider, parent, verdict);
	if (parent == P2PDMA_MODEL_NONE)
		return;
	deny_from(model, parent,
		  verdict->redirected ? P2PDMA_MODEL_NONE :
					model->fn[parent].up,
		  verdict);
}

/* An IOVA goes up to the host bridge and comes back; a completion climbs. */
static void meet_oneself(const struct p2pdma_model *model, int client,
			 struct p2pdma_model_verdict *verdict)
{
	int host = model->fn[client].host;

	if (!gets_iovas_only(model, client))
		return;
	verdict->redirected = true;
	verdict->translated = true;
	climb(model, model->fn[client].up, P2PDMA_REASON_NO_FORWARDING,
	      verdict);
	deny_from(model, model->fn[client].up, P2PDMA_MODEL_NONE, verdict);
	if (!refused(verdict))
		ask_hosts(model, host, host, verdict);
}

/**
 * p2pdma_model_route - decide a route
 * @model: the hierarchy
 * @provider: index of the provider
 * @client: index of the client
 * @verdict: the verdict
 */
void p2pdma_model_route(const struct p2pdma_model *model, int provider,
			int client, struct p2pdma_model_verdict *verdict)
{
	struct packet request = send(model, client, provider);
	struct packet completion = send(model, provider, client);
	int parent = model->fn[request.at].up;
	bool host = parent == P2PDMA_MODEL_NONE;

	*verdict = (struct p2pdma_model_verdict) {
		.type = PCI_P2PDMA_MAP_BUS_ADDR,
		.reason = P2PDMA_REASON_SPEC,
		.parent = parent,
		.host = P2PDMA_MODEL_NONE,
		.distance = request.hops + completion.hops,
	};
	if (provider == client) {
		verdict->parent = model->fn[client].up;
		verdict->reason = P2PDMA_REASON_SELF;
		verdict->distance = 0;
		meet_oneself(model, client, verdict);
		check_mask(model, provider, client, verdict);
		return;
	}
	if (host)
		meet_at_host(&request, &completion, client, verdict);
	else
		meet_at_bridge(&request, &completion, client, verdict);
	ask_policy(model, provider, client, verdict);
	if (!refused(verdict) && (host || verdict->redirected))
		ask_hosts(model, model->fn[provider].host,
			  model->fn[client].host, verdict);
	else
		judge_siblings(&request, verdict);
	check_mask(model, provider, client, verdict);
}
