/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI peer-to-peer DMA: routes
 *
 * Everything that the route rules, the p2pdma command and the test model
 * share. User space compiles this header with tools/pci/p2pdma/shim.
 */
#ifndef _PCI_P2PDMA_ROUTE_H
#define _PCI_P2PDMA_ROUTE_H

#include <linux/dma-map-ops.h>
#include <linux/pci.h>

/**
 * enum p2pdma_capability - known peer routing of a host bridge
 * @P2PDMA_UNLISTED: nothing is known, so the host bridge counts as not routing
 * @P2PDMA_LISTED_SAME: routes between its own ports only
 * @P2PDMA_LISTED: routes between its ports and to other host bridges
 * @P2PDMA_CPU: as @P2PDMA_LISTED, known from the processor model
 */
enum p2pdma_capability {
	P2PDMA_UNLISTED,
	P2PDMA_LISTED_SAME,
	P2PDMA_LISTED,
	P2PDMA_CPU,
};

/**
 * enum p2pdma_policy - decision of the administrator about a bridge
 * @P2PDMA_POLICY_AUTO: no decision, the known capability counts
 * @P2PDMA_POLICY_ALLOW: the administrator vouches for a host bridge
 * @P2PDMA_POLICY_DENY: no peer-to-peer transaction may pass the bridge
 */
enum p2pdma_policy {
	P2PDMA_POLICY_AUTO,
	P2PDMA_POLICY_ALLOW,
	P2PDMA_POLICY_DENY,
};

/* In p2pdma_quirks(): registers of the ACS capability are 32 bits wide. */
#define P2PDMA_ACS_WIDE		BIT(15)
/* Offset of the control register in such a capability. */
#define P2PDMA_ACS_WIDE_CTRL	8

/* Inputs of the rules; the kernel and the command each bring their own. */
enum p2pdma_capability p2pdma_host_capability(struct pci_host_bridge *host);
enum p2pdma_policy p2pdma_policy(struct device *bridge);
u16 p2pdma_quirks(struct pci_dev *dev);
bool p2pdma_client_translated(struct pci_dev *client);
bool p2pdma_client_untrusted(struct pci_dev *client);
bool p2pdma_client_reaches(struct pci_dev *client, struct pci_dev *provider);

#ifdef CONFIG_PCI_ATS
static inline bool p2pdma_uses_ats(const struct pci_dev *dev)
{
	return dev->ats_enabled;
}
#else
static inline bool p2pdma_uses_ats(const struct pci_dev *dev)
{
	return false;
}
#endif

/**
 * enum p2pdma_reason - reason of a verdict
 * @P2PDMA_REASON_SELF: provider and client are the same function
 * @P2PDMA_REASON_SPEC: the specification obliges the shared bridge to route
 * @P2PDMA_REASON_SAME_DEVICE: provider and client are behind functions of one
 *	device without access control, which nothing obliges to route
 * @P2PDMA_REASON_LISTED: the host bridge is known to route
 * @P2PDMA_REASON_CPU: the processor is known to route
 * @P2PDMA_REASON_POLICY: the administrator allowed a host bridge or denied a
 *	bridge
 * @P2PDMA_REASON_UNLISTED: nothing is known of a host bridge on the way
 * @P2PDMA_REASON_SAME_ONLY: there are two host bridges, and at least one
 *	routes between its own ports only
 * @P2PDMA_REASON_EGRESS: egress control blocks the request
 * @P2PDMA_REASON_UNREADABLE: access control is unreadable and counts as
 *	blocking
 * @P2PDMA_REASON_NO_FORWARDING: the transaction is redirected below a port
 *	without Upstream Forwarding
 * @P2PDMA_REASON_TRANSLATED: requests that the client translates itself do not
 *	arrive
 * @P2PDMA_REASON_ADDRESS: the client cannot emit the addresses of the memory
 */
enum p2pdma_reason {
	P2PDMA_REASON_SELF,
	P2PDMA_REASON_SPEC,
	P2PDMA_REASON_SAME_DEVICE,
	P2PDMA_REASON_LISTED,
	P2PDMA_REASON_CPU,
	P2PDMA_REASON_POLICY,
	P2PDMA_REASON_UNLISTED,
	P2PDMA_REASON_SAME_ONLY,
	P2PDMA_REASON_EGRESS,
	P2PDMA_REASON_UNREADABLE,
	P2PDMA_REASON_NO_FORWARDING,
	P2PDMA_REASON_TRANSLATED,
	P2PDMA_REASON_ADDRESS,
};

/**
 * struct p2pdma_route - verdict for one provider and one client
 * @type: way to map the client's DMA, or that there is none
 * @reason: reason of @type
 * @redirected: requests or completions go up to the host bridge from below
 *	@parent
 * @translated: requests go up to the host bridge with addresses that an IOMMU
 *	translates there
 * @distance: hops between provider and client, whatever @type says
 * @parent: bridge at which the two paths meet; NULL for the host bridge
 * @host: host bridge that decided: the refusing host bridge, else the
 *	provider's; NULL if no host bridge was asked
 */
struct p2pdma_route {
	enum pci_p2pdma_map_type type;
	enum p2pdma_reason reason;
	bool redirected;
	bool translated;
	int distance;
	struct pci_dev *parent;
	struct pci_host_bridge *host;
};

/**
 * enum p2pdma_port_effect - effect of one port on a route
 * @P2PDMA_PORT_REDIRECTS: sends requests or completions upstream
 * @P2PDMA_PORT_ISOLATES: sends requests or completions upstream by design
 * @P2PDMA_PORT_BLOCKS: refuses requests
 * @P2PDMA_PORT_UNREADABLE: does not tell, and counts as blocking
 * @P2PDMA_PORT_NO_FORWARDING: lacks Upstream Forwarding for a transaction that
 *	was redirected below
 * @P2PDMA_PORT_DENIED: has the policy deny
 */
enum p2pdma_port_effect {
	P2PDMA_PORT_REDIRECTS,
	P2PDMA_PORT_ISOLATES,
	P2PDMA_PORT_BLOCKS,
	P2PDMA_PORT_UNREADABLE,
	P2PDMA_PORT_NO_FORWARDING,
	P2PDMA_PORT_DENIED,
};

/**
 * struct p2pdma_port_visitor - callback for every port that affects a route
 * @visit: called for the client's side, the provider's side, then upwards; may
 *	be called for one port several times
 */
struct p2pdma_port_visitor {
	void (*visit)(struct p2pdma_port_visitor *self, struct pci_dev *port,
		      enum p2pdma_port_effect effect);
};

void p2pdma_route(struct pci_dev *provider, struct pci_dev *client,
		  struct p2pdma_route *route,
		  struct p2pdma_port_visitor *visitor);
const char *p2pdma_verdict_word(const struct p2pdma_route *route);
const char *p2pdma_reason_word(const struct p2pdma_route *route);
const char *p2pdma_effect_word(enum p2pdma_port_effect effect);

#endif /* _PCI_P2PDMA_ROUTE_H */
