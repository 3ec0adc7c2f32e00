// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: from (provider, client) to a route
 *
 * Pure: reads the hierarchy, keeps nothing, prints nothing, takes no lock,
 * never sleeps. Section numbers are those of the PCIe Base Specification,
 * revision 6.0.
 */

/**
 * DOC: Route
 *
 * The paths of provider and client towards the root meet at the shared parent::
 *
 *	          host bridge
 *	               |
 *	           root port		a redirected transaction climbs
 *	               |		through here, with Upstream Forwarding
 *	     switch upstream port	<- the shared parent
 *	         /           \
 *	    port, down    port, down	<- the divergence: client side and
 *	        |             |		   provider side
 *	     client        provider
 *
 * Where the paths meet at a bridge, the switch or the bus below the bridge
 * routes the request (sec 1.3.3, and the PCI-to-PCI Bridge Architecture
 * Specification r1.2, ch 4, for conventional buses), unless Access Control
 * Services interfere (sec 6.12). Only the ports at the divergence see the
 * transaction as peer-to-peer: a port further down passes upstream whatever
 * leaves its part of the hierarchy. The client side decides on requests, the
 * provider side on completions (sec 6.12.1.1). On a bus with several functions,
 * the functions are the divergence (sec 6.12.1.2).
 *
 * Where the paths meet at the host bridge, or where the transaction is
 * redirected, the root complex has to route. The specification leaves open
 * whether a root complex does (sec 1.3.1).
 *
 * A verdict covers every class of transaction that the client may send, and the
 * worst class counts:
 *
 * untranslated requests
 *	Carry the bus address of the memory on a direct route. Through the host
 *	bridge requests carry the same address again, or an IOVA if an IOMMU
 *	translates for the client. An IOVA is in no window of a bridge
 *	(dma-iommu reserves the windows), so nothing on the way up takes the
 *	request for peer-to-peer: neither egress control nor the lack of
 *	Upstream Forwarding can stop it. An untrusted client gets an IOVA
 *	where the route could be direct, too.
 *
 * requests with an address translated by the client (ATS)
 *	Occur on routes through the host bridge only, because a bus address has
 *	no translation. Carry a CPU address, inside a window of the shared
 *	parent. Direct Translated P2P exempts such requests from redirect and
 *	egress control at the divergence; there the CPU address has to mean the
 *	same on the bus. Translation Blocking in any port stops such requests
 *	(sec 6.12.1.1).
 *
 * completions
 *	Carry an ID, never an address. Completion Redirect exempts completions
 *	with Relaxed Ordering. A client may read without the attribute at any
 *	time, so the exemption never makes a verdict better.
 *
 * p2pdma_route() refuses for the first of these reasons that applies:
 *
 * 1. access control at the divergence blocks, or cannot be read;
 * 2. a redirected transaction does not reach the host bridge;
 * 3. the policy of a bridge on the way is "deny";
 * 4. the host bridge does not route, or has the policy "deny";
 * 5. the client cannot emit the addresses of the memory, and no IOMMU
 *    translates.
 *
 * Policy comes after access control, because no policy can override access
 * control.
 */
#include <linux/bitfield.h>
#include <linux/pci.h>

#include "p2pdma-route.h"

/**
 * struct p2pdma_side - access control of a function at the divergence
 * @dev: the function; NULL if the shared parent is the client or the provider
 * @cap: ACS capability register, 0 without capability
 * @ctrl: PCI_ACS_* that are in effect
 * @readable: false if the function did not answer
 * @isolates: @ctrl redirects by design
 */
struct p2pdma_side {
	struct pci_dev *dev;
	u16 cap;
	u16 ctrl;
	bool readable;
	bool isolates;
};

/**
 * struct p2pdma_meeting - where two paths meet
 * @bridge: the lowest bridge on both paths; NULL for the host bridge
 * @client: last function on the client's path below @bridge
 * @provider: last function on the provider's path below @bridge
 * @hops: from the provider up to the meeting point and down to the client
 */
struct p2pdma_meeting {
	struct pci_dev *bridge;
	struct p2pdma_side client;
	struct p2pdma_side provider;
	int hops;
};

/* Effect of access control on a class of transactions, from best to worst. */
enum p2pdma_turn {
	P2PDMA_TURN_DIRECT,
	P2PDMA_TURN_REDIRECTED,
	P2PDMA_TURN_BLOCKED,
	P2PDMA_TURN_UNREADABLE,
};

static int p2pdma_depth(struct pci_dev *dev)
{
	int depth = 0;

	while ((dev = pci_upstream_bridge(dev)))
		depth++;
	return depth;
}

static void p2pdma_climb(struct pci_dev **pos, struct pci_dev **below,
			 int *hops)
{
	*below = *pos;
	*pos = pci_upstream_bridge(*pos);
	(*hops)++;
}

/* Climbs from two functions of equal depth to the bridge above both. */
static void p2pdma_climb_both(struct pci_dev **provider,
			      struct pci_dev **client,
			      struct p2pdma_meeting *meeting)
{
	while (*provider != *client && *provider && *client) {
		p2pdma_climb(provider, &meeting->provider.dev, &meeting->hops);
		p2pdma_climb(client, &meeting->client.dev, &meeting->hops);
	}
}

/* From different depths only the shallower path ends in NULL: level first. */
static void p2pdma_meet(struct pci_dev *provider, struct pci_dev *client,
			struct p2pdma_meeting *meeting)
{
	struct pci_dev *p = provider, *c = client;
	int below;

	*meeting = (struct p2pdma_meeting) {};
	p2pdma_climb_both(&p, &c, meeting);
	if (p != c) {
		below = p ? p2pdma_depth(p) + 1 : -p2pdma_depth(c) - 1;
		*meeting = (struct p2pdma_meeting) {};
		p = provider;
		c = client;
		for (; below > 0; below--)
			p2pdma_climb(&p, &meeting->provider.dev,
				     &meeting->hops);
		for (; below < 0; below++)
			p2pdma_climb(&c, &meeting->client.dev, &meeting->hops);
		p2pdma_climb_both(&p, &c, meeting);
	}
	meeting->bridge = p;
}

/*
 * Capability and control register in a single read. Reserved bits read as zero,
 * so all ones means no answer. Returns false without an answer.
 */
static bool p2pdma_read_acs(struct pci_dev *dev, u16 *cap, u16 *ctrl)
{
	u16 quirks = p2pdma_quirks(dev);
	u32 both, wide;

	*cap = 0;
	*ctrl = quirks & ~P2PDMA_ACS_WIDE;
	if (*ctrl || !dev->acs_cap)
		return true;
	if (pci_read_config_dword(dev, dev->acs_cap + PCI_ACS_CAP, &both) ||
	    both == U32_MAX)
		return false;
	*cap = both;
	*ctrl = both >> 16;
	if (!quirks)
		return true;
	if (pci_read_config_dword(dev, dev->acs_cap + P2PDMA_ACS_WIDE_CTRL,
				  &wide) || wide == U32_MAX)
		return false;
	*ctrl = wide;
	return true;
}

static bool p2pdma_is_port(struct pci_dev *dev)
{
	if (!pci_is_pcie(dev))
		return false;
	return pci_pcie_type(dev) == PCI_EXP_TYPE_ROOT_PORT ||
	       pci_pcie_type(dev) == PCI_EXP_TYPE_DOWNSTREAM;
}

/*
 * Functions of a device share bus and device number; with ARI the bus alone
 * (sec 6.13). A virtual function belongs to the device of the physical
 * function, whatever the number.
 */
static bool p2pdma_same_device(struct pci_dev *a, struct pci_dev *b)
{
	a = pci_physfn(a);
	b = pci_physfn(b);
	if (a->bus != b->bus)
		return false;
	return pci_ari_enabled(a->bus) ||
	       PCI_SLOT(a->devfn) == PCI_SLOT(b->devfn);
}

/* Are both sides functions of a single device, and not ports of a switch? */
static bool p2pdma_siblings(struct pci_dev *from, struct pci_dev *to)
{
	return to && !p2pdma_is_port(from) && p2pdma_same_device(from, to);
}

/*
 * A function with the capability implements Request Redirect if the function
 * reaches siblings (sec 6.12.1.2). A function without Request Redirect sends
 * all requests and completions upstream, and so does a function with such a
 * quirk. No bit switches either off.
 */
static void p2pdma_read_side(struct p2pdma_side *side, struct pci_dev *other)
{
	struct pci_dev *dev = side->dev;

	side->readable = true;
	if (!dev || (!dev->acs_cap && !p2pdma_quirks(dev)))
		return;
	side->readable = p2pdma_read_acs(dev, &side->cap, &side->ctrl);
	if (!side->readable)
		return;
	if (side->ctrl && !side->cap)
		side->isolates = true;
	else if (!(side->cap & PCI_ACS_RR))
		side->isolates = p2pdma_siblings(dev, other);
	if (side->isolates)
		side->ctrl = PCI_ACS_RR | PCI_ACS_CR;
}

/*
 * Port number of a root or downstream port (sec 7.5.3.6), negative if it is
 * unreadable.
 */
static int p2pdma_port_number(struct pci_dev *port)
{
	u32 lnkcap;

	if (pcie_capability_read_dword(port, PCI_EXP_LNKCAP, &lnkcap) ||
	    lnkcap == U32_MAX)
		return -ENXIO;
	return FIELD_GET(PCI_EXP_LNKCAP_PN, lnkcap);
}

/*
 * Function groups give the vector another meaning, unknown here. Function 0
 * switches function groups on for the whole device (sec 7.8.8.3).
 */
static bool p2pdma_function_groups(struct pci_bus *bus)
{
	int pos = PCI_CFG_SPACE_SIZE, left = (PCI_CFG_SPACE_EXP_SIZE - pos) / 8;
	u32 header;

	for (; pos >= PCI_CFG_SPACE_SIZE && left; left--) {
		if (pci_bus_read_config_dword(bus, 0, pos, &header) ||
		    header == U32_MAX)
			return true;
		/* Capability in the lower half, control in the upper. */
		if (PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_ARI)
			return pci_bus_read_config_dword(bus, 0,
							 pos + PCI_ARI_CAP,
							 &header) ||
			       header & PCI_ARI_CTRL_ACS << 16;
		pos = PCI_EXT_CAP_NEXT(header);
	}
	return false;
}

/* Does the egress control vector of @from have a bit for @to at all? */
static bool p2pdma_egress_applies(struct pci_dev *from, struct pci_dev *to)
{
	return p2pdma_is_port(from) || (to && p2pdma_same_device(from, to));
}

/* Bit of a function in the vectors of its device; negative if unknown. */
static int p2pdma_function_number(struct pci_dev *from, struct pci_dev *to)
{
	if (from->bus != to->bus || pci_physfn(from)->bus != from->bus)
		return -ENXIO;
	if (pci_ari_enabled(to->bus))
		return p2pdma_function_groups(to->bus) ? -ENXIO : to->devfn;
	return PCI_SLOT(from->devfn) == PCI_SLOT(to->devfn) ?
	       PCI_FUNC(to->devfn) : -ENXIO;
}

/*
 * Bit of @to in the egress control vector of @from (sec 7.7.11.4): the port
 * number for ports of a switch or root complex, the function number for
 * functions of a device. Negative if unknown.
 */
static int p2pdma_egress_bit(struct pci_dev *from, struct pci_dev *to)
{
	if (!p2pdma_is_port(from))
		return p2pdma_function_number(from, to);
	if (!p2pdma_is_port(to) || pci_pcie_type(from) != pci_pcie_type(to))
		return -ENXIO;
	if (pci_find_host_bridge(from->bus) != pci_find_host_bridge(to->bus))
		return -ENXIO;
	return p2pdma_port_number(to);
}

/* 1 or 0, or negative if unknown. */
static int p2pdma_egress_vector(const struct p2pdma_side *from,
				struct pci_dev *to)
{
	int bit = to ? p2pdma_egress_bit(from->dev, to) : -ENXIO;
	u8 size = from->cap >> 8;
	u32 vector;

	if (bit < 0)
		return bit;
	/* A size of zero means 256 (sec 7.7.11.2). */
	if ((size && bit >= size) || p2pdma_quirks(from->dev))
		return -ERANGE;
	if (pci_read_config_dword(from->dev,
				  from->dev->acs_cap + PCI_ACS_EGRESS_CTL_V +
				  bit / 32 * 4, &vector))
		return -EIO;
	return !!(vector & BIT(bit % 32));
}

/*
 * Requests with the bus address of the memory turn at the client side.
 * Egress control, where on, picks the ports to which request redirect applies,
 * and blocks requests to such ports where redirect is off (sec 6.12.1.1).
 */
static enum p2pdma_turn
p2pdma_request_turn(const struct p2pdma_meeting *meeting)
{
	const struct p2pdma_side *side = &meeting->client;
	bool redirects = side->ctrl & PCI_ACS_RR;
	int egress;

	if (!side->readable)
		return P2PDMA_TURN_UNREADABLE;
	/* Requests go to the root complex anyway. */
	if (!meeting->bridge && redirects)
		return P2PDMA_TURN_DIRECT;
	if (!(side->ctrl & PCI_ACS_EC) ||
	    !p2pdma_egress_applies(side->dev, meeting->provider.dev))
		return redirects ? P2PDMA_TURN_REDIRECTED : P2PDMA_TURN_DIRECT;

	egress = p2pdma_egress_vector(side, meeting->provider.dev);
	if (egress < 0)
		return P2PDMA_TURN_UNREADABLE;
	if (!egress)
		return P2PDMA_TURN_DIRECT;
	return redirects ? P2PDMA_TURN_REDIRECTED : P2PDMA_TURN_BLOCKED;
}

/* An IOVA passes every port on the way up, see the head of this file. */
static enum p2pdma_turn p2pdma_iova_turn(const struct p2pdma_meeting *meeting,
					 enum p2pdma_turn request,
					 bool untrusted)
{
	if (request == P2PDMA_TURN_DIRECT && !untrusted)
		return request;
	if (!meeting->client.readable)
		return request;
	return meeting->bridge ? P2PDMA_TURN_REDIRECTED : P2PDMA_TURN_DIRECT;
}

/* Completions turn at the provider side; no egress control for completions. */
static enum p2pdma_turn
p2pdma_completion_turn(const struct p2pdma_meeting *meeting)
{
	if (!meeting->provider.readable)
		return P2PDMA_TURN_UNREADABLE;
	if (!meeting->bridge)
		return P2PDMA_TURN_DIRECT;
	return meeting->provider.ctrl & PCI_ACS_CR ? P2PDMA_TURN_REDIRECTED :
						     P2PDMA_TURN_DIRECT;
}

static void p2pdma_visit(struct p2pdma_port_visitor *visitor,
			 struct pci_dev *port, enum p2pdma_port_effect effect)
{
	if (visitor)
		visitor->visit(visitor, port, effect);
}

static void p2pdma_visit_turn(struct p2pdma_port_visitor *visitor,
			      const struct p2pdma_side *side,
			      enum p2pdma_turn turn)
{
	if (turn == P2PDMA_TURN_REDIRECTED)
		p2pdma_visit(visitor, side->dev, side->isolates ?
			     P2PDMA_PORT_ISOLATES : P2PDMA_PORT_REDIRECTS);
	else if (turn == P2PDMA_TURN_BLOCKED)
		p2pdma_visit(visitor, side->dev, P2PDMA_PORT_BLOCKS);
	else if (turn == P2PDMA_TURN_UNREADABLE)
		p2pdma_visit(visitor, side->dev, P2PDMA_PORT_UNREADABLE);
}

/*
 * A redirected transaction enters every port above the divergence from below,
 * with an address or an ID of a function below the port. Without Upstream
 * Forwarding there the outcome is undefined (sec 6.12.1.1). The upstream port
 * of a switch passes everything out.
 *
 * Returns %P2PDMA_REASON_SPEC if all ports forward, else the reason at the
 * lowest port without.
 */
static enum p2pdma_reason p2pdma_forwarding(struct pci_dev *bridge,
					    struct p2pdma_port_visitor *visitor)
{
	enum p2pdma_reason reason = P2PDMA_REASON_SPEC, what;
	u16 cap, ctrl;

	for (; bridge; bridge = pci_upstream_bridge(bridge)) {
		if (pci_is_pcie(bridge) &&
		    pci_pcie_type(bridge) == PCI_EXP_TYPE_UPSTREAM)
			continue;
		if (!p2pdma_read_acs(bridge, &cap, &ctrl))
			what = P2PDMA_REASON_UNREADABLE;
		else if (!(ctrl & PCI_ACS_UF))
			what = P2PDMA_REASON_NO_FORWARDING;
		else
			continue;

		p2pdma_visit(visitor, bridge,
			     what == P2PDMA_REASON_UNREADABLE ?
			     P2PDMA_PORT_UNREADABLE :
			     P2PDMA_PORT_NO_FORWARDING);
		if (reason == P2PDMA_REASON_SPEC)
			reason = what;
	}
	return reason;
}

/* The first refusal is the reason. */
static void p2pdma_refuse(struct p2pdma_route *route, enum p2pdma_reason reason)
{
	if (route->type == PCI_P2PDMA_MAP_NOT_SUPPORTED)
		return;
	route->type = PCI_P2PDMA_MAP_NOT_SUPPORTED;
	route->reason = reason;
}

/* Do addresses mean something else to the CPU than on the bus? */
static bool p2pdma_host_translates(struct pci_host_bridge *host)
{
	struct resource_entry *window;

	resource_list_for_each_entry(window, &host->windows)
		if (resource_type(window->res) == IORESOURCE_MEM &&
		    window->offset)
			return true;
	return false;
}

/* Requests translated by the client, in the ports from the client upwards. */
static void p2pdma_check_blocking(struct pci_dev *client,
				  const struct pci_dev *until,
				  struct p2pdma_route *route,
				  struct p2pdma_port_visitor *visitor)
{
	struct pci_dev *port = pci_upstream_bridge(client);
	u16 cap, ctrl;

	for (; port && port != until; port = pci_upstream_bridge(port)) {
		if (!p2pdma_is_port(port))
			continue;
		if (!p2pdma_read_acs(port, &cap, &ctrl)) {
			p2pdma_visit(visitor, port, P2PDMA_PORT_UNREADABLE);
			p2pdma_refuse(route, P2PDMA_REASON_UNREADABLE);
		} else if (ctrl & PCI_ACS_TB) {
			p2pdma_visit(visitor, port, P2PDMA_PORT_BLOCKS);
			p2pdma_refuse(route, P2PDMA_REASON_TRANSLATED);
		}
	}
}

/* Requests translated by the client, at the divergence and above. */
static void p2pdma_check_translated(struct pci_dev *client,
				    const struct p2pdma_meeting *meeting,
				    enum p2pdma_turn turn,
				    struct p2pdma_route *route,
				    struct p2pdma_port_visitor *visitor)
{
	struct pci_host_bridge *host = pci_find_host_bridge(client->bus);
	bool direct = meeting->bridge && turn == P2PDMA_TURN_DIRECT;

	if (turn == P2PDMA_TURN_UNREADABLE)
		p2pdma_refuse(route, P2PDMA_REASON_UNREADABLE);
	else if (turn == P2PDMA_TURN_BLOCKED ||
		 (direct && p2pdma_host_translates(host)))
		p2pdma_refuse(route, P2PDMA_REASON_TRANSLATED);
	if (turn >= P2PDMA_TURN_BLOCKED)
		p2pdma_visit_turn(visitor, &meeting->client, turn);
	p2pdma_check_blocking(client, direct ? meeting->bridge : NULL, route,
			      visitor);
}

/**
 * struct p2pdma_turns - turns of all classes of transactions
 * @request: untranslated requests, as they are sent
 * @at_window: requests with an address in a window of the shared parent
 * @completion: completions
 */
struct p2pdma_turns {
	enum p2pdma_turn request;
	enum p2pdma_turn at_window;
	enum p2pdma_turn completion;
};

/* The part of a route through the host bridge below the host bridge. */
static void p2pdma_check_climb(struct pci_dev *client,
			       const struct p2pdma_meeting *meeting,
			       const struct p2pdma_turns *turns,
			       struct p2pdma_route *route,
			       struct p2pdma_port_visitor *visitor)
{
	bool ats = p2pdma_uses_ats(client);
	bool climbs = turns->completion == P2PDMA_TURN_REDIRECTED;
	enum p2pdma_turn translated = P2PDMA_TURN_DIRECT;
	enum p2pdma_reason reason = P2PDMA_REASON_SPEC;

	if (ats && !(meeting->client.ctrl & PCI_ACS_DT))
		translated = turns->at_window;
	if (!route->translated)
		climbs |= turns->request == P2PDMA_TURN_REDIRECTED;
	if (climbs || translated == P2PDMA_TURN_REDIRECTED)
		reason = p2pdma_forwarding(meeting->bridge, visitor);
	if (reason == P2PDMA_REASON_NO_FORWARDING && !climbs)
		reason = P2PDMA_REASON_TRANSLATED;
	if (reason != P2PDMA_REASON_SPEC)
		p2pdma_refuse(route, reason);
	if (ats)
		p2pdma_check_translated(client, meeting, translated, route,
					visitor);
}

/* Bridges from @bridge up to @end, @end not included. */
static inline bool p2pdma_policy_passes(struct pci_dev *bridge,
					const struct pci_dev *end,
					struct p2pdma_port_visitor *visitor)
{
	bool passes = true;

	for (; bridge && bridge != end; bridge = pci_upstream_bridge(bridge)) {
		if (p2pdma_policy(&bridge->dev) != P2PDMA_POLICY_DENY)
			continue;
		passes = false;
		p2pdma_visit(visitor, bridge, P2PDMA_PORT_DENIED);
	}
	return passes;
}

/* Every bridge on the way: both sides, the shared parent, bridges above. */
static bool p2pdma_policy_allows(struct pci_dev *provider,
				 struct pci_dev *client,
				 const struct p2pdma_meeting *meeting,
				 struct p2pdma_port_visitor *visitor,
				 bool redirected)
{
	struct pci_dev *shared = meeting->bridge, *until = NULL;
	bool passes = true;

	if (meeting->client.dev)
		passes &= p2pdma_policy_passes(pci_upstream_bridge(client),
					       shared, visitor);
	if (meeting->provider.dev)
		passes &= p2pdma_policy_passes(pci_upstream_bridge(provider),
					       shared, visitor);
	if (shared && !redirected)
		until = pci_upstream_bridge(shared);
	return passes & p2pdma_policy_passes(shared, until, visitor);
}

/* Does @host, on the way from or to @other, route? */
static bool p2pdma_host_allows(struct pci_host_bridge *host,
			       struct pci_host_bridge *other,
			       struct p2pdma_route *route)
{
	enum p2pdma_capability capability = p2pdma_host_capability(host);
	enum p2pdma_policy policy = p2pdma_policy(&host->dev);

	route->host = host;
	if (policy == P2PDMA_POLICY_DENY) {
		p2pdma_refuse(route, P2PDMA_REASON_POLICY);
		return false;
	}
	route->type = PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
	if (policy == P2PDMA_POLICY_ALLOW) {
		route->reason = P2PDMA_REASON_POLICY;
		return true;
	}
	if (capability == P2PDMA_UNLISTED) {
		p2pdma_refuse(route, P2PDMA_REASON_UNLISTED);
		return false;
	}
	if (capability == P2PDMA_LISTED_SAME && host != other) {
		p2pdma_refuse(route, P2PDMA_REASON_SAME_ONLY);
		return false;
	}
	route->reason = capability == P2PDMA_CPU ? P2PDMA_REASON_CPU :
						   P2PDMA_REASON_LISTED;
	return true;
}

static void p2pdma_through_host(struct pci_dev *provider,
				struct pci_dev *client,
				struct p2pdma_route *route)
{
	struct pci_host_bridge *to = pci_find_host_bridge(provider->bus);
	struct pci_host_bridge *from = pci_find_host_bridge(client->bus);

	if (from == to || p2pdma_host_allows(from, to, route))
		p2pdma_host_allows(to, from, route);
}

/* A direct route without an obligation by the specification. */
static bool p2pdma_unobliged(const struct p2pdma_meeting *meeting)
{
	return meeting->client.dev && !meeting->client.dev->acs_cap &&
	       p2pdma_siblings(meeting->client.dev, meeting->provider.dev);
}

/* Access control decides first, then policy, then the host bridge. */
static void p2pdma_between(struct pci_dev *provider, struct pci_dev *client,
			   struct p2pdma_meeting *meeting,
			   struct p2pdma_route *route,
			   struct p2pdma_port_visitor *visitor)
{
	bool translated = p2pdma_client_translated(client), through_host;
	struct p2pdma_turns turns;
	enum p2pdma_turn worst;

	p2pdma_read_side(&meeting->client, meeting->provider.dev);
	p2pdma_read_side(&meeting->provider, meeting->client.dev);
	turns.at_window = p2pdma_request_turn(meeting);
	turns.request = translated ?
			p2pdma_iova_turn(meeting, turns.at_window,
					 p2pdma_client_untrusted(client)) :
			turns.at_window;
	turns.completion = p2pdma_completion_turn(meeting);
	/* The IOVA of an untrusted client climbs without a port's doing. */
	if (turns.at_window != P2PDMA_TURN_DIRECT)
		p2pdma_visit_turn(visitor, &meeting->client, turns.request);
	p2pdma_visit_turn(visitor, &meeting->provider, turns.completion);

	worst = max(turns.request, turns.completion);
	route->redirected = worst == P2PDMA_TURN_REDIRECTED;
	through_host = route->redirected || !meeting->bridge;
	route->translated = translated && through_host;
	if (worst == P2PDMA_TURN_BLOCKED)
		p2pdma_refuse(route, P2PDMA_REASON_EGRESS);
	else if (worst == P2PDMA_TURN_UNREADABLE)
		p2pdma_refuse(route, P2PDMA_REASON_UNREADABLE);
	else if (through_host)
		p2pdma_check_climb(client, meeting, &turns, route, visitor);

	if (!p2pdma_policy_allows(provider, client, meeting, visitor,
				  route->redirected))
		p2pdma_refuse(route, P2PDMA_REASON_POLICY);
	if (route->type == PCI_P2PDMA_MAP_NOT_SUPPORTED)
		return;
	if (through_host)
		p2pdma_through_host(provider, client, route);
	else if (p2pdma_unobliged(meeting))
		route->reason = P2PDMA_REASON_SAME_DEVICE;
}

/* No access control inside one function, but an IOVA leaves the function. */
static void p2pdma_within(struct pci_dev *client, struct p2pdma_route *route,
			  struct p2pdma_port_visitor *visitor)
{
	enum p2pdma_reason reason;

	route->reason = P2PDMA_REASON_SELF;
	route->parent = pci_upstream_bridge(client);
	if (!p2pdma_client_untrusted(client))
		return;
	route->redirected = true;
	route->translated = true;
	/* Completions enter the port above from below, with an ID below. */
	reason = p2pdma_forwarding(route->parent, visitor);
	if (reason != P2PDMA_REASON_SPEC)
		p2pdma_refuse(route, reason);
	if (!p2pdma_policy_passes(route->parent, NULL, visitor))
		p2pdma_refuse(route, P2PDMA_REASON_POLICY);
	if (route->type != PCI_P2PDMA_MAP_NOT_SUPPORTED)
		p2pdma_through_host(client, client, route);
}

/**
 * p2pdma_route - decide how, and whether, a client reaches a provider's memory
 * @provider: function whose BAR holds the memory
 * @client: function that masters DMA
 * @route: filled in
 * @visitor: callback for the ports that affect the route, or NULL
 *
 * Context: Any. The caller holds references on both functions, and the
 * references keep the bridges above. Reads configuration space.
 */
void p2pdma_route(struct pci_dev *provider, struct pci_dev *client,
		  struct p2pdma_route *route,
		  struct p2pdma_port_visitor *visitor)
{
	struct p2pdma_meeting meeting;

	p2pdma_meet(provider, client, &meeting);
	*route = (struct p2pdma_route) {
		.type = PCI_P2PDMA_MAP_BUS_ADDR,
		.reason = P2PDMA_REASON_SPEC,
		.distance = meeting.hops,
		.parent = meeting.bridge,
	};

	if (provider == client)
		p2pdma_within(client, route, visitor);
	else
		p2pdma_between(provider, client, &meeting, route, visitor);

	if (!route->translated && !p2pdma_client_reaches(client, provider))
		p2pdma_refuse(route, P2PDMA_REASON_ADDRESS);
}

/**
 * p2pdma_verdict_word - the verdict in a word, as in sysfs
 * @route: a route
 *
 * Context: Any.
 * Return: "direct", "host-bridge" or "none".
 */
const char *p2pdma_verdict_word(const struct p2pdma_route *route)
{
	switch (route->type) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		return "direct";
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		return "host-bridge";
	default:
		return "none";
	}
}

/**
 * p2pdma_reason_word - the reason in a word, as in sysfs
 * @route: a route
 *
 * Context: Any.
 * Return: the word, see Documentation/ABI/testing/sysfs-bus-pci-p2pdma.
 */
const char *p2pdma_reason_word(const struct p2pdma_route *route)
{
	static const char * const words[] = {
		[P2PDMA_REASON_SELF] = "self",
		[P2PDMA_REASON_SPEC] = "spec",
		[P2PDMA_REASON_SAME_DEVICE] = "same-device",
		[P2PDMA_REASON_LISTED] = "listed",
		[P2PDMA_REASON_CPU] = "cpu",
		[P2PDMA_REASON_POLICY] = "policy",
		[P2PDMA_REASON_UNLISTED] = "unlisted",
		[P2PDMA_REASON_SAME_ONLY] = "listed-same-bridge",
		[P2PDMA_REASON_EGRESS] = "egress-control",
		[P2PDMA_REASON_UNREADABLE] = "unreadable",
		[P2PDMA_REASON_NO_FORWARDING] = "no-upstream-forwarding",
		[P2PDMA_REASON_TRANSLATED] = "translated-requests",
		[P2PDMA_REASON_ADDRESS] = "address-limit",
	};

	return words[route->reason];
}

/**
 * p2pdma_effect_word - the effect of a port in a word, as in sysfs
 * @effect: the effect
 *
 * Context: Any.
 * Return: the word, see Documentation/ABI/testing/sysfs-bus-pci-p2pdma.
 */
const char *p2pdma_effect_word(enum p2pdma_port_effect effect)
{
	static const char * const words[] = {
		[P2PDMA_PORT_REDIRECTS] = "redirects",
		[P2PDMA_PORT_ISOLATES] = "isolates",
		[P2PDMA_PORT_BLOCKS] = "blocks",
		[P2PDMA_PORT_UNREADABLE] = "unreadable",
		[P2PDMA_PORT_NO_FORWARDING] = "no-forwarding",
		[P2PDMA_PORT_DENIED] = "denied",
	};

	return words[effect];
}
