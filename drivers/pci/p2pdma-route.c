// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: from (provider, client) to a route
 *
 * Pure: reads the hierarchy, keeps nothing, prints nothing, takes no lock, never sleeps.
 *
 * The paths of provider and client towards the root meet somewhere. Section numbers are those of
 * the PCIe Base Specification, revision 6.0.
 *
 *	          host bridge
 *	               |
 *	           root port			a redirected transaction climbs through here,
 *	               |			and has to be forwarded upstream
 *	     switch upstream port		<- the shared parent
 *	         /           \
 *	    port, down    port, down		<- the divergence: client side, provider side
 *	        |             |
 *	     client        provider
 *
 * Where they meet at a bridge, the switch or the bus below it routes the request between the two
 * (sec 1.3.3, and the PCI-to-PCI Bridge Architecture Specification r1.2, ch 4, for conventional
 * buses), unless Access Control Services interfere (sec 6.12). Only ports that see the transaction
 * as peer-to-peer do so, and these are the ones at the divergence: a port further down merely
 * passes upstream what leaves its part of the hierarchy anyway. The client's side decides on
 * requests, the provider's side on completions (sec 6.12.1.1). On a bus that functions share,
 * the functions themselves are the divergence (sec 6.12.1.2).
 *
 * Where they meet only at the host bridge, or where the transaction is redirected to it, the
 * root complex has to route, which the specification leaves open (sec 1.3.1).
 *
 * All of this is about untranslated requests. A request whose address the client had translated
 * by ATS is exempt from redirection where ACS Direct Translated P2P is on (sec 6.12.1.1). It then
 * carries a CPU address into the switch, which has to mean the same on the bus, or it goes astray.
 *
 * What the administrator decided comes after access control, which no policy can override.
 */
#include <linux/bitfield.h>
#include <linux/pci.h>

#include "p2pdma-route.h"

/**
 * struct p2pdma_meeting - where two paths meet
 * @bridge: the lowest bridge on both paths; NULL if it is the host bridge
 * @client_side: the last function on the client's path before it; NULL if @bridge is the client
 * @provider_side: likewise for the provider
 * @hops: from the provider up to the meeting point and down to the client
 */
struct p2pdma_meeting {
	struct pci_dev *bridge;
	struct pci_dev *client_side;
	struct pci_dev *provider_side;
	int hops;
};

/* What access control makes of one kind of transaction, from the best to the worst. */
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

static void p2pdma_climb(struct pci_dev **pos, struct pci_dev **below, int *hops)
{
	*below = *pos;
	*pos = pci_upstream_bridge(*pos);
	(*hops)++;
}

static void p2pdma_meet(struct pci_dev *provider, struct pci_dev *client,
			struct p2pdma_meeting *meeting)
{
	int up = p2pdma_depth(provider), uc = p2pdma_depth(client);
	struct pci_dev *p = provider, *c = client;

	*meeting = (struct p2pdma_meeting) {};
	for (; up > uc; up--)
		p2pdma_climb(&p, &meeting->provider_side, &meeting->hops);
	for (; uc > up; uc--)
		p2pdma_climb(&c, &meeting->client_side, &meeting->hops);
	while (p != c) {
		p2pdma_climb(&p, &meeting->provider_side, &meeting->hops);
		p2pdma_climb(&c, &meeting->client_side, &meeting->hops);
	}
	meeting->bridge = p;
}

/*
 * Reserved bits read as zero, so all ones is a function that does not answer. Returns false for
 * that; a function without the capability controls nothing.
 */
static bool p2pdma_acs_control(struct pci_dev *dev, u16 *ctrl)
{
	*ctrl = 0;
	if (!dev || !dev->acs_cap)
		return true;
	if (pci_read_config_word(dev, dev->acs_cap + PCI_ACS_CTRL, ctrl))
		return false;
	return *ctrl != U16_MAX;
}

static bool p2pdma_is_port(struct pci_dev *dev)
{
	if (!pci_is_pcie(dev))
		return false;
	return pci_pcie_type(dev) == PCI_EXP_TYPE_ROOT_PORT ||
	       pci_pcie_type(dev) == PCI_EXP_TYPE_DOWNSTREAM;
}

/* The port number of a root or downstream port (sec 7.5.3.6), negative if it cannot be read. */
static int p2pdma_port_number(struct pci_dev *port)
{
	u32 lnkcap;

	if (pcie_capability_read_dword(port, PCI_EXP_LNKCAP, &lnkcap) || lnkcap == U32_MAX)
		return -ENXIO;
	return FIELD_GET(PCI_EXP_LNKCAP_PN, lnkcap);
}

/*
 * Functions of one device share bus and device number; with ARI the bus alone (sec 6.13). Virtual
 * functions belong to the device of their physical function, whatever their numbers.
 */
static bool p2pdma_same_device(struct pci_dev *a, struct pci_dev *b)
{
	a = pci_physfn(a);
	b = pci_physfn(b);
	if (a->bus != b->bus)
		return false;
	return pci_ari_enabled(a->bus) || PCI_SLOT(a->devfn) == PCI_SLOT(b->devfn);
}

/*
 * Function groups give the vector another meaning, which is not read here. They are switched on
 * in function 0 for the whole device (sec 7.8.8.3).
 */
static bool p2pdma_function_groups(struct pci_bus *bus)
{
	int pos = PCI_CFG_SPACE_SIZE, left = (PCI_CFG_SPACE_EXP_SIZE - pos) / 8;
	u32 header;

	for (; pos >= PCI_CFG_SPACE_SIZE && left; left--) {
		if (pci_bus_read_config_dword(bus, 0, pos, &header) || header == U32_MAX)
			return true;
		/* Capability in the lower half, control in the upper. */
		if (PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_ARI)
			return pci_bus_read_config_dword(bus, 0, pos + PCI_ARI_CAP, &header) ||
			       header & PCI_ARI_CTRL_ACS << 16;
		pos = PCI_EXT_CAP_NEXT(header);
	}
	return false;
}

/* Does @from's egress control vector speak of @to at all? */
static bool p2pdma_egress_applies(struct pci_dev *from, struct pci_dev *to)
{
	return p2pdma_is_port(from) || (to && p2pdma_same_device(from, to));
}

/* Bit of a function in the vectors of its device; negative if its number cannot be told. */
static int p2pdma_function_number(struct pci_dev *from, struct pci_dev *to)
{
	if (from->bus != to->bus || pci_physfn(from)->bus != from->bus)
		return -ENXIO;
	if (pci_ari_enabled(to->bus))
		return p2pdma_function_groups(to->bus) ? -ENXIO : to->devfn;
	return PCI_SLOT(from->devfn) == PCI_SLOT(to->devfn) ? PCI_FUNC(to->devfn) : -ENXIO;
}

/*
 * Which bit of @from's egress control vector stands for @to (sec 7.7.11.4): the port number for
 * ports of one switch or root complex, the function number for functions of one device. Negative
 * if that cannot be told.
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

/* 1 or 0, or negative if it cannot be known. */
static int p2pdma_egress_vector(struct pci_dev *from, struct pci_dev *to)
{
	int bit = to ? p2pdma_egress_bit(from, to) : -ENXIO;
	u32 vector;
	u8 size;

	if (bit < 0)
		return bit;
	/* A size of zero stands for 256 (sec 7.7.11.2). */
	if (pci_read_config_byte(from, from->acs_cap + PCI_ACS_EGRESS_BITS, &size))
		return -EIO;
	if (size && bit >= size)
		return -ERANGE;
	if (pci_read_config_dword(from, from->acs_cap + PCI_ACS_EGRESS_CTL_V + bit / 32 * 4,
				  &vector))
		return -EIO;
	return !!(vector & BIT(bit % 32));
}

/*
 * Requests turn at the client's side. Egress control, where it is on, picks the ports that
 * request redirect applies to, and blocks them where redirect is off (sec 6.12.1.1).
 */
static enum p2pdma_turn p2pdma_request_turn(const struct p2pdma_meeting *meeting)
{
	int egress;
	u16 ctrl;

	if (!p2pdma_acs_control(meeting->client_side, &ctrl))
		return P2PDMA_TURN_UNREADABLE;
	/* What is on its way to the root complex anyway can be redirected there, never blocked. */
	if (!meeting->bridge && ctrl & PCI_ACS_RR)
		return P2PDMA_TURN_DIRECT;
	if (!(ctrl & PCI_ACS_EC) ||
	    !p2pdma_egress_applies(meeting->client_side, meeting->provider_side))
		return ctrl & PCI_ACS_RR ? P2PDMA_TURN_REDIRECTED : P2PDMA_TURN_DIRECT;

	egress = p2pdma_egress_vector(meeting->client_side, meeting->provider_side);
	if (egress < 0)
		return P2PDMA_TURN_UNREADABLE;
	if (!egress)
		return P2PDMA_TURN_DIRECT;
	return ctrl & PCI_ACS_RR ? P2PDMA_TURN_REDIRECTED : P2PDMA_TURN_BLOCKED;
}

/* Completions of reads turn at the provider's side; egress control does not apply to them. */
static enum p2pdma_turn p2pdma_completion_turn(const struct p2pdma_meeting *meeting)
{
	u16 ctrl;

	if (!p2pdma_acs_control(meeting->provider_side, &ctrl))
		return P2PDMA_TURN_UNREADABLE;
	if (!meeting->bridge)
		return P2PDMA_TURN_DIRECT;
	return ctrl & PCI_ACS_CR ? P2PDMA_TURN_REDIRECTED : P2PDMA_TURN_DIRECT;
}

static void p2pdma_visit(struct p2pdma_port_visitor *visitor, struct pci_dev *port,
			 enum p2pdma_port_effect effect)
{
	if (visitor)
		visitor->visit(visitor, port, effect);
}

static void p2pdma_visit_turn(struct p2pdma_port_visitor *visitor, struct pci_dev *port,
			      enum p2pdma_turn turn)
{
	if (turn == P2PDMA_TURN_REDIRECTED)
		p2pdma_visit(visitor, port, P2PDMA_PORT_REDIRECTS);
	else if (turn != P2PDMA_TURN_DIRECT)
		p2pdma_visit(visitor, port, P2PDMA_PORT_BLOCKS);
}

/*
 * A redirected transaction enters every port above the divergence from below, with an address or
 * an ID that this port would otherwise send down again. It needs Upstream Forwarding there; what
 * happens without is undefined (sec 6.12.1.1). A switch's upstream port only passes it out.
 *
 * Returns %P2PDMA_REASON_SPEC if all of them forward, else what the lowest that does not is like.
 */
static enum p2pdma_reason p2pdma_forwarding(struct pci_dev *bridge,
					    struct p2pdma_port_visitor *visitor)
{
	enum p2pdma_reason reason = P2PDMA_REASON_SPEC, what;
	u16 ctrl;

	for (; bridge; bridge = pci_upstream_bridge(bridge)) {
		if (pci_is_pcie(bridge) && pci_pcie_type(bridge) == PCI_EXP_TYPE_UPSTREAM)
			continue;
		if (!p2pdma_acs_control(bridge, &ctrl))
			what = P2PDMA_REASON_UNREADABLE;
		else if (!(ctrl & PCI_ACS_UF))
			what = P2PDMA_REASON_NO_FORWARDING;
		else
			continue;

		p2pdma_visit(visitor, bridge, what == P2PDMA_REASON_UNREADABLE ?
			     P2PDMA_PORT_BLOCKS : P2PDMA_PORT_NO_FORWARDING);
		if (reason == P2PDMA_REASON_SPEC)
			reason = what;
	}
	return reason;
}

static void p2pdma_refuse(struct p2pdma_route *route, enum p2pdma_reason reason)
{
	route->type = PCI_P2PDMA_MAP_NOT_SUPPORTED;
	route->reason = reason;
}

/* Bridges from @bridge up, as long as they are below @until. */
static bool p2pdma_policy_passes(struct pci_dev *bridge, const struct pci_dev *until,
				 struct p2pdma_port_visitor *visitor)
{
	bool passes = true;

	for (; bridge && bridge != until; bridge = pci_upstream_bridge(bridge)) {
		if (p2pdma_policy(&bridge->dev) != P2PDMA_POLICY_DENY)
			continue;
		passes = false;
		p2pdma_visit(visitor, bridge, P2PDMA_PORT_DENIED);
	}
	return passes;
}

/* Every bridge that the transaction passes: both sides, the shared one, and those above it. */
static bool p2pdma_policy_allows(struct pci_dev *provider, struct pci_dev *client,
				 const struct p2pdma_meeting *meeting,
				 struct p2pdma_port_visitor *visitor, bool redirected)
{
	struct pci_dev *shared = meeting->bridge, *until = NULL;
	bool passes = true;

	if (meeting->client_side)
		passes &= p2pdma_policy_passes(pci_upstream_bridge(client), shared, visitor);
	if (meeting->provider_side)
		passes &= p2pdma_policy_passes(pci_upstream_bridge(provider), shared, visitor);
	if (shared && !redirected)
		until = pci_upstream_bridge(shared);
	return passes & p2pdma_policy_passes(shared, until, visitor);
}

/* Are there addresses that CPU and bus understand differently? */
static bool p2pdma_host_translates(struct pci_host_bridge *host)
{
	struct resource_entry *window;

	resource_list_for_each_entry(window, &host->windows)
		if (resource_type(window->res) == IORESOURCE_MEM && window->offset)
			return true;
	return false;
}

/*
 * The route is through the host bridge, so the client gets addresses for that. If it has them
 * translated, its requests carry CPU addresses: unless the client's side redirects these as well,
 * the switch takes them for bus addresses.
 */
static bool p2pdma_bypassed(struct pci_dev *client, const struct p2pdma_meeting *meeting,
			    enum p2pdma_turn request)
{
	u16 ctrl;

	if (!p2pdma_uses_ats(client) ||
	    !p2pdma_host_translates(pci_find_host_bridge(client->bus)))
		return false;
	return request != P2PDMA_TURN_REDIRECTED ||
	       !p2pdma_acs_control(meeting->client_side, &ctrl) || ctrl & PCI_ACS_DT;
}

/* @host on the way from or to @other: does it route? */
static bool p2pdma_host_allows(struct pci_host_bridge *host, struct pci_host_bridge *other,
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
	route->reason = capability == P2PDMA_CPU ? P2PDMA_REASON_CPU : P2PDMA_REASON_LISTED;
	return true;
}

static void p2pdma_through_host(struct pci_dev *provider, struct pci_dev *client,
				struct p2pdma_route *route)
{
	struct pci_host_bridge *to = pci_find_host_bridge(provider->bus);
	struct pci_host_bridge *from = pci_find_host_bridge(client->bus);

	if (from == to || p2pdma_host_allows(from, to, route))
		p2pdma_host_allows(to, from, route);
}

/* The part of a redirected route below the host bridge; false if it ends there. */
static bool p2pdma_redirect(struct pci_dev *client, const struct p2pdma_meeting *meeting,
			    enum p2pdma_turn request, struct p2pdma_route *route,
			    struct p2pdma_port_visitor *visitor)
{
	enum p2pdma_reason reason = p2pdma_forwarding(meeting->bridge, visitor);

	route->redirected = true;
	if (reason == P2PDMA_REASON_SPEC && p2pdma_bypassed(client, meeting, request))
		reason = P2PDMA_REASON_TRANSLATED;
	if (reason != P2PDMA_REASON_SPEC)
		p2pdma_refuse(route, reason);
	return reason == P2PDMA_REASON_SPEC;
}

/**
 * p2pdma_route - decide how, and whether, a client reaches a provider's memory
 * @provider: function whose BAR holds the memory
 * @client: function that masters DMA
 * @route: filled in
 * @visitor: is told of the ports whose access control bears on the route, or NULL
 *
 * Context: Any. The caller holds references on both functions, which keep the bridges above
 * them. Reads configuration space.
 */
void p2pdma_route(struct pci_dev *provider, struct pci_dev *client, struct p2pdma_route *route,
		  struct p2pdma_port_visitor *visitor)
{
	enum p2pdma_turn request, completion;
	struct p2pdma_meeting meeting;

	p2pdma_meet(provider, client, &meeting);
	*route = (struct p2pdma_route) {
		.type = PCI_P2PDMA_MAP_BUS_ADDR,
		.reason = P2PDMA_REASON_SPEC,
		.distance = meeting.hops,
		.parent = meeting.bridge,
	};

	/* What does not leave the function is subject to no access control. */
	if (provider == client) {
		route->reason = P2PDMA_REASON_SELF;
		route->parent = pci_upstream_bridge(client);
		return;
	}

	request = p2pdma_request_turn(&meeting);
	completion = p2pdma_completion_turn(&meeting);
	p2pdma_visit_turn(visitor, meeting.client_side, request);
	p2pdma_visit_turn(visitor, meeting.provider_side, completion);

	switch (max(request, completion)) {
	case P2PDMA_TURN_BLOCKED:
		p2pdma_refuse(route, P2PDMA_REASON_EGRESS);
		return;
	case P2PDMA_TURN_UNREADABLE:
		p2pdma_refuse(route, P2PDMA_REASON_UNREADABLE);
		return;
	case P2PDMA_TURN_REDIRECTED:
		if (!p2pdma_redirect(client, &meeting, request, route, visitor))
			return;
		break;
	case P2PDMA_TURN_DIRECT:
		break;
	}

	if (!p2pdma_policy_allows(provider, client, &meeting, visitor, route->redirected))
		p2pdma_refuse(route, P2PDMA_REASON_POLICY);
	else if (route->redirected || !meeting.bridge)
		p2pdma_through_host(provider, client, route);
}

/**
 * p2pdma_verdict_word - the verdict in one word, as sysfs has it
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
 * p2pdma_reason_word - the reason in one word, as sysfs has it
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
		[P2PDMA_REASON_LISTED] = "listed",
		[P2PDMA_REASON_CPU] = "cpu",
		[P2PDMA_REASON_POLICY] = "policy",
		[P2PDMA_REASON_UNLISTED] = "unlisted",
		[P2PDMA_REASON_SAME_ONLY] = "listed-same-bridge",
		[P2PDMA_REASON_EGRESS] = "egress-control",
		[P2PDMA_REASON_UNREADABLE] = "unreadable",
		[P2PDMA_REASON_NO_FORWARDING] = "no-upstream-forwarding",
		[P2PDMA_REASON_TRANSLATED] = "translated-requests",
	};

	return words[route->reason];
}
