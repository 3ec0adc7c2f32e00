// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite p2pdma_route: from (provider, client) to a verdict
 *
 * Each topology is a drawing and a table. Each case changes the access control
 * or the identity of a few functions, and lists the expected route between two
 * functions in both directions. Section numbers are those of the PCIe Base
 * Specification, revision 6.0.
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>

#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/pci-p2pdma.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "../p2pdma-private.h"
#include "../pci.h"
#include "mock_pci.h"
#include "p2pdma_kunit.h"

#define RR	PCI_ACS_RR
#define CR	PCI_ACS_CR
#define UF	PCI_ACS_UF

/* Virtual function @_id of the physical function in row @_row. */
#define VF(_row, _id)		((_row) | ((_id) + 1) << 8)

#define MAX_TWEAKS		8
#define MAX_PORTS		6

/* Row 0 of every table is a host bridge, so 0 also ends lists of functions. */
#define HOST			0

/* Ports and functions isolated by a quirk of the PCI core. */
#define ZHAOXIN_PORT	.vendor = PCI_VENDOR_ID_ZHAOXIN, .device = 0x0710
#define QUALCOMM_PORT	.vendor = PCI_VENDOR_ID_QCOM, .device = 0x0400
#define SOLARFLARE	.vendor = PCI_VENDOR_ID_SOLARFLARE, .device = 0x0903

/*
 * The first device of a bus identifies the host bridge. LISTED_SAME routes
 * between its own ports only.
 */
#define LISTED		.vendor = PCI_VENDOR_ID_INTEL, .device = 0x2030
#define LISTED_SAME	.vendor = PCI_VENDOR_ID_INTEL, .device = 0x3c00

/**
 * struct tweak - change of one row of a topology
 * @row: row to change
 * @gone: leave the function out
 * @vendor: vendor ID, or 0 for the ID in the topology
 * @device: device ID, or 0 for the ID in the topology
 * @port: port number, or 0 for the number in the topology
 * @acs: access control; without @acs.present, as in the topology
 * @unreadable: the function does not answer after enumeration
 * @groups: ACS function groups are on
 * @lost: the function is unplugged and the PCI core knows, so reads fail
 * @offset: host bridge: CPU address minus bus address
 * @io_offset: host bridge: CPU address minus bus address of the I/O window
 * @far_offset: host bridge: CPU address minus bus address of a second memory
 *	window
 * @ats: the function translates addresses itself, with ATS
 * @policy: word for the file p2pdma/policy, or NULL
 */
struct tweak {
	u8 row;
	bool gone;
	u16 vendor;
	u16 device;
	u8 port;
	struct mock_pci_acs acs;
	bool unreadable;
	bool groups;
	bool lost;
	s64 offset;
	s64 io_offset;
	s64 far_offset;
	bool ats;
	const char *policy;
};

struct port_effect {
	u16 row;
	enum p2pdma_port_effect effect;
};

/**
 * struct want - expected route
 * @type: expected verdict
 * @reason: expected reason
 * @hops: expected distance
 * @parent: row of the shared parent, or HOST for the host bridge
 * @host: row of the deciding host bridge, or -1 if no host bridge was asked
 * @ports: ports that affect the route, in the order of the visits
 */
struct want {
	enum pci_p2pdma_map_type type;
	enum p2pdma_reason reason;
	int hops;
	u8 parent;
	int host;
	struct port_effect ports[MAX_PORTS];
};

#define DIRECT(_hops, _parent) { \
	.type = PCI_P2PDMA_MAP_BUS_ADDR, .reason = P2PDMA_REASON_SPEC, \
	.hops = (_hops), .parent = (_parent), .host = -1, \
}

#define SAME_DEVICE(_hops, _parent) { \
	.type = PCI_P2PDMA_MAP_BUS_ADDR, .reason = P2PDMA_REASON_SAME_DEVICE, \
	.hops = (_hops), .parent = (_parent), .host = -1, \
}

#define SELF(_parent) { \
	.type = PCI_P2PDMA_MAP_BUS_ADDR, .reason = P2PDMA_REASON_SELF, \
	.parent = (_parent), .host = -1, \
}

#define THROUGH(_hops, _parent, _host, _reason, ...) { \
	.type = PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, \
	.reason = P2PDMA_REASON_##_reason, \
	.hops = (_hops), .parent = (_parent), .host = (_host), \
	.ports = { __VA_ARGS__ }, \
}

#define REFUSED(_hops, _parent, _host, _reason, ...) { \
	.type = PCI_P2PDMA_MAP_NOT_SUPPORTED, \
	.reason = P2PDMA_REASON_##_reason, \
	.hops = (_hops), .parent = (_parent), .host = (_host), \
	.ports = { __VA_ARGS__ }, \
}

#define REDIRECTS(_row)		{ (_row), P2PDMA_PORT_REDIRECTS }
#define BLOCKS(_row)		{ (_row), P2PDMA_PORT_BLOCKS }
#define ISOLATES(_row)		{ (_row), P2PDMA_PORT_ISOLATES }
#define UNREAD(_row)		{ (_row), P2PDMA_PORT_UNREADABLE }
#define NO_UF(_row)		{ (_row), P2PDMA_PORT_NO_FORWARDING }
#define DENIED(_row)		{ (_row), P2PDMA_PORT_DENIED }

#define ACS(_row, _on)		{ .row = (_row), .acs = MOCK_PCI_ACS(_on) }
#define EC(_row, _on, _bits, _vector) \
	{ .row = (_row), .acs = MOCK_PCI_ACS_EC(_on, _bits, _vector) }
#define SILENT(_row, _on) \
	{ .row = (_row), .acs = MOCK_PCI_ACS(_on), .unreadable = true }
#define IS(_row, ...)		{ .row = (_row), __VA_ARGS__ }
#define NO_RR(_row) \
	{ .row = (_row), .acs = { .present = true, .cap = PCI_ACS_SV } }
#define WIDE(_row, _device, _on) \
	{ .row = (_row), .vendor = PCI_VENDOR_ID_INTEL, .device = (_device), \
	  .acs = MOCK_PCI_ACS_WIDE(_on) }
#define POLICY(_row, _word)	{ .row = (_row), .policy = (_word) }

/**
 * struct route_case - one line of a table of routes
 * @name: property under test
 * @tweaks: changes to the topology
 * @cpu: the root complex of the CPU is known to route
 * @iommu: an IOMMU translates the DMA of every function
 * @client: row of the function that masters DMA
 * @provider: row of the function with the memory
 * @there: expected route of @client to the memory of @provider
 * @back: expected route of @provider to the memory of @client
 */
struct route_case {
	const char *name;
	struct tweak tweaks[MAX_TWEAKS];
	bool cpu;
	bool iommu;
	u16 client;
	u16 provider;
	struct want there;
	struct want back;
};

static struct pci_dev *function_at(struct mock_pci *mock, u16 ref)
{
	if (ref >> 8)
		return mock_pci_vf(mock, ref & 0xff, (ref >> 8) - 1);
	return mock_pci_dev(mock, ref);
}

struct visited {
	struct p2pdma_port_visitor visitor;
	unsigned int nr;
	struct pci_dev *port[MAX_PORTS];
	enum p2pdma_port_effect effect[MAX_PORTS];
};

static void visit(struct p2pdma_port_visitor *visitor, struct pci_dev *port,
		  enum p2pdma_port_effect effect)
{
	struct visited *visited = container_of(visitor, struct visited,
					       visitor);

	if (visited->nr < MAX_PORTS) {
		visited->port[visited->nr] = port;
		visited->effect[visited->nr] = effect;
	}
	visited->nr++;
}

static void check_ports(struct kunit *test, struct mock_pci *mock,
			const struct want *want, const struct visited *visited,
			const char *way)
{
	unsigned int i;

	for (i = 0; i < MAX_PORTS && want->ports[i].row; i++) {
		KUNIT_ASSERT_LT_MSG(test, i, visited->nr,
				    "%s: port %u is missing", way, i);
		KUNIT_EXPECT_PTR_EQ_MSG(test, visited->port[i],
					function_at(mock, want->ports[i].row),
					"%s: port %u is %s", way, i,
					pci_name(visited->port[i]));
		KUNIT_EXPECT_EQ_MSG(test, visited->effect[i],
				    want->ports[i].effect,
				    "%s: effect of port %u", way, i);
	}
	KUNIT_EXPECT_EQ_MSG(test, visited->nr, i, "%s: number of ports", way);
}

static void check_route(struct kunit *test, struct mock_pci *mock, u16 client,
			u16 provider, const struct want *want, const char *way)
{
	struct visited visited = { .visitor.visit = visit };
	struct pci_dev *parent = want->parent ?
		mock_pci_dev(mock, want->parent) : NULL;
	struct pci_host_bridge *host = want->host < 0 ? NULL :
		mock_pci_host(mock, want->host);
	struct p2pdma_route route, quiet;

	p2pdma_route(function_at(mock, provider), function_at(mock, client),
		     &route, &visited.visitor);
	KUNIT_EXPECT_EQ_MSG(test, route.type, want->type, "%s: type", way);
	KUNIT_EXPECT_EQ_MSG(test, route.reason, want->reason,
			    "%s: reason", way);
	KUNIT_EXPECT_EQ_MSG(test, route.distance, want->hops,
			    "%s: distance", way);
	KUNIT_EXPECT_PTR_EQ_MSG(test, route.parent, parent,
				"%s: shared parent", way);
	KUNIT_EXPECT_PTR_EQ_MSG(test, route.host, host,
				"%s: deciding host bridge", way);
	KUNIT_EXPECT_EQ_MSG(test, route.translated,
			    p2pdma_client_translated(function_at(mock,
								 client)) &&
			    (route.redirected || !parent) && client != provider,
			    "%s: translated", way);
	if (want->type != PCI_P2PDMA_MAP_NOT_SUPPORTED)
		KUNIT_EXPECT_EQ_MSG(test, route.redirected, host && parent,
				    "%s: redirected", way);
	check_ports(test, mock, want, &visited, way);

	/* The visitor is optional. */
	p2pdma_route(function_at(mock, provider), function_at(mock, client),
		     &quiet, NULL);
	KUNIT_EXPECT_EQ_MSG(test, quiet.type, want->type,
			    "%s: type, without visitor", way);
	KUNIT_EXPECT_EQ_MSG(test, quiet.reason, want->reason,
			    "%s: reason, without visitor", way);
}

static void apply_tweak(struct mock_pci_row *row, const struct tweak *tweak)
{
	if (tweak->gone)
		row->kind = MOCK_PCI_NONE;
	if (tweak->vendor)
		row->vendor = tweak->vendor;
	if (tweak->device)
		row->device = tweak->device;
	if (tweak->port)
		row->port = tweak->port;
	if (tweak->acs.present)
		row->acs = tweak->acs;
	if (row->total_vfs)
		row->vf_acs = row->acs;
	if (tweak->offset)
		row->offset = tweak->offset;
	if (tweak->io_offset)
		row->io_offset = tweak->io_offset;
	if (tweak->far_offset)
		row->far_offset = tweak->far_offset;
	row->ats |= tweak->ats;
	row->unreadable |= tweak->unreadable;
	row->ari_groups |= tweak->groups;
}

/* Changes that need an enumerated function. */
static void apply_later(struct kunit *test, struct mock_pci *mock,
			const struct tweak *tweak)
{
	if (tweak->policy)
		KUNIT_ASSERT_EQ(test, strlen(tweak->policy),
				mock_pci_sysfs_write
				(test, mock_pci_device(mock, tweak->row),
				 "p2pdma/policy", tweak->policy));
	if (tweak->lost)
		pci_dev_set_disconnected(mock_pci_dev(mock, tweak->row), NULL);
	if (tweak->ats)
		KUNIT_ASSERT_EQ(test, 0,
				pci_enable_ats(mock_pci_dev(mock, tweak->row),
					       PAGE_SHIFT));
}

static bool translated(struct pci_dev *client)
{
	return true;
}

static bool not_translated(struct pci_dev *client)
{
	return false;
}

static void walk(struct kunit *test, const struct mock_pci_row *rows,
		 unsigned int nr)
{
	const struct route_case *c = test->param_value;
	struct mock_pci_row *tweaked;
	struct mock_pci *mock;
	unsigned int i;

	tweaked = mock_pci_copy(test, rows, nr);
	for (i = 0; i < MAX_TWEAKS; i++)
		apply_tweak(&tweaked[c->tweaks[i].row], &c->tweaks[i]);
	mock = mock_pci_add(test, tweaked, nr);
	for (i = 0; i < MAX_TWEAKS; i++)
		apply_later(test, mock, &c->tweaks[i]);

	/* The verdicts must not depend on CPU and IOMMU of the test machine. */
	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   c->cpu ? p2pdma_kunit_cpu_routes :
				   p2pdma_kunit_cpu_does_not_route);
	kunit_activate_static_stub(test, p2pdma_client_translated,
				   c->iommu ? translated : not_translated);
	check_route(test, mock, c->client, c->provider, &c->there, "there");
	check_route(test, mock, c->provider, c->client, &c->back, "back");
}

/*
 * One switch:
 *
 *	                     host bridge, HB at 00.0
 *	         ______________/       |       \_____________
 *	        |                      |                     |
 *	   RP1 (port 5)           RP2 (port 6)           RCIEP, RCIEP1
 *	        |                      |                (functions 0, 1)
 *	       USP                    EP3
 *	   _____|_________________________
 *	  |               |               |
 *	DSP0 (port 3)  DSP1 (port 9)  DSP2 (port 40)
 *	device 2       device 3       device 1
 *	  |               |               |
 *	 EP0             EP1             EP2
 *
 * Device numbers and port numbers contradict each other on purpose.
 */
enum {
	SW_HB = 1, SW_RP1, SW_USP, SW_DSP0, SW_DSP1, SW_DSP2, SW_EP0, SW_EP1,
	SW_EP2, SW_RP2,
	SW_EP3, SW_RCIEP, SW_RCIEP1, SW_NR
};

static const struct mock_pci_row switch_rows[SW_NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[SW_HB] = { .kind = MOCK_PCI_DEVICE_CONV,
		    .class = PCI_CLASS_BRIDGE_HOST << 8 },
	[SW_RP1] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(1, 0),
		     .port = 5 },
	[SW_USP] = { .kind = MOCK_PCI_UPSTREAM, .up = SW_RP1 },
	[SW_DSP0] = { .kind = MOCK_PCI_DOWNSTREAM, .up = SW_USP,
		      .devfn = PCI_DEVFN(2, 0), .port = 3 },
	[SW_DSP1] = { .kind = MOCK_PCI_DOWNSTREAM, .up = SW_USP,
		      .devfn = PCI_DEVFN(3, 0), .port = 9 },
	[SW_DSP2] = { .kind = MOCK_PCI_DOWNSTREAM, .up = SW_USP,
		      .devfn = PCI_DEVFN(1, 0), .port = 40 },
	[SW_EP0] = { .kind = MOCK_PCI_ENDPOINT, .up = SW_DSP0 },
	[SW_EP1] = { .kind = MOCK_PCI_ENDPOINT, .up = SW_DSP1 },
	[SW_EP2] = { .kind = MOCK_PCI_ENDPOINT, .up = SW_DSP2 },
	[SW_RP2] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(2, 0),
		     .port = 6 },
	[SW_EP3] = { .kind = MOCK_PCI_ENDPOINT, .up = SW_RP2 },
	[SW_RCIEP] = { .kind = MOCK_PCI_RCIEP, .devfn = PCI_DEVFN(3, 0) },
	[SW_RCIEP1] = { .kind = MOCK_PCI_RCIEP, .devfn = PCI_DEVFN(3, 1) },
};

#define SW_DIRECT	DIRECT(4, SW_USP)

/* Egress control is implemented, but off. */
#define EGRESS_OFF { \
	.present = true, .cap = PCI_ACS_EC | RR, .bits = 64, \
	.vector = { ~0ULL }, \
}

/* The largest vector, 256 bits, with @_last as bits 192 to 255. */
#define EGRESS_256(_last) { \
	.present = true, .cap = PCI_ACS_EC | RR, .ctrl = PCI_ACS_EC, \
	.bits = 256, \
	.vector = { [3] = (_last) }, \
}

#define PAIR(_client, _provider) \
	.client = (_client), .provider = (_provider)

static const struct route_case switch_cases[] = {
	/* Siblings below one switch; access control is absent or off. */
	{ .name = "no access control", PAIR(SW_EP0, SW_EP1),
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "access control off", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, 0), ACS(SW_DSP1, 0) },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "validation, blocking, forwarding, DT do not redirect",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, PCI_ACS_SV | PCI_ACS_TB | UF | PCI_ACS_DT),
		      ACS(SW_DSP1, PCI_ACS_SV | PCI_ACS_TB | UF | PCI_ACS_DT) },
	  .there = SW_DIRECT, .back = SW_DIRECT },

	/* Requests turn at the client's side, completions at the provider's. */
	{ .name = "RR on the client's side, not on the provider's",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), ACS(SW_DSP1, 0), ACS(SW_RP1, UF),
		      IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "CR on the provider's side, not on the client's",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, 0), ACS(SW_DSP1, CR), ACS(SW_RP1, UF),
		      IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP1)),
	  .back = SW_DIRECT },
	{ .name = "RR and CR everywhere at the divergence",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR | CR), ACS(SW_DSP1, RR | CR),
		      ACS(SW_RP1, UF), IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0),
			   REDIRECTS(SW_DSP1)),
	  .back = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP1),
			  REDIRECTS(SW_DSP0)) },

	/* Only the divergence counts. */
	{ .name = "RR and CR below the divergence", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_EP0, RR | CR), ACS(SW_EP1, RR | CR) },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "egress control below the divergence", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { EC(SW_EP0, 0, 64, ~0ULL), EC(SW_EP1, 0, 64, ~0ULL) },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "RR and CR above the divergence", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_USP, RR | CR), ACS(SW_RP1, RR | CR) },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "egress control above the divergence", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { EC(SW_USP, 0, 64, ~0ULL), EC(SW_RP1, 0, 64, ~0ULL) },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "RR and CR at a port aside", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP2, RR | CR) },
	  .there = SW_DIRECT, .back = SW_DIRECT },

	/* Egress control vector: DSP1 is port 9, device 3; DSP0 is port 3. */
	{ .name = "egress bit clear is direct, even with RR",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { EC(SW_DSP0, RR, 64, ~BIT_ULL(9)) },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "egress bit clear is direct without RR", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { EC(SW_DSP0, 0, 64, ~BIT_ULL(9)) },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "egress bit set with RR is redirected", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { EC(SW_DSP0, RR, 64, BIT_ULL(9)), ACS(SW_RP1, UF),
		      IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "egress bit set without RR is blocked", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { EC(SW_DSP0, 0, 64, BIT_ULL(9)), ACS(SW_RP1, UF),
		      IS(SW_HB, LISTED) },
	  .there = REFUSED(4, SW_USP, -1, EGRESS, BLOCKS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "blocked requests stay blocked if completions turn",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { EC(SW_DSP0, 0, 64, BIT_ULL(9)), ACS(SW_DSP1, CR),
		      ACS(SW_RP1, UF), IS(SW_HB, LISTED) },
	  .there = REFUSED(4, SW_USP, -1, EGRESS, BLOCKS(SW_DSP0),
			   REDIRECTS(SW_DSP1)),
	  .back = SW_DIRECT },
	{ .name = "egress control off leaves the vector alone",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { IS(SW_DSP0, .acs = EGRESS_OFF) },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "egress control is no matter of the provider's side",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { EC(SW_DSP1, 0, 64, ~0ULL) },
	  .there = SW_DIRECT,
	  .back = REFUSED(4, SW_USP, -1, EGRESS, BLOCKS(SW_DSP1)) },
	{ .name = "port number in the second word of the vector",
	  PAIR(SW_EP0, SW_EP2),
	  .tweaks = { EC(SW_DSP0, 0, 64, BIT_ULL(40)) },
	  .there = REFUSED(4, SW_USP, -1, EGRESS, BLOCKS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "port number in the second word, bit clear",
	  PAIR(SW_EP0, SW_EP2),
	  .tweaks = { EC(SW_DSP0, 0, 64, ~BIT_ULL(40)) },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "last bit of the vector", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { EC(SW_DSP0, 0, 10, ~BIT_ULL(9)) },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "port number beyond the vector is blocked",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { EC(SW_DSP0, RR, 9, 0) },
	  .there = REFUSED(4, SW_USP, -1, UNREADABLE, UNREAD(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "vector of 256 bits, bit clear", PAIR(SW_EP0, SW_EP2),
	  .tweaks = { IS(SW_DSP2, .port = 200), EC(SW_DSP0, 0, 256, ~0ULL) },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "vector of 256 bits, bit set", PAIR(SW_EP0, SW_EP2),
	  .tweaks = { IS(SW_DSP2, .port = 200),
		      IS(SW_DSP0, .acs = EGRESS_256(BIT_ULL(200 - 192))) },
	  .there = REFUSED(4, SW_USP, -1, EGRESS, BLOCKS(SW_DSP0)),
	  .back = SW_DIRECT },

	/* A port that does not answer might block. */
	{ .name = "unreadable port at the divergence is blocked",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { SILENT(SW_DSP0, 0), ACS(SW_RP1, UF), IS(SW_HB, LISTED) },
	  .there = REFUSED(4, SW_USP, -1, UNREADABLE, UNREAD(SW_DSP0)),
	  .back = REFUSED(4, SW_USP, -1, UNREADABLE, UNREAD(SW_DSP0)) },
	{ .name = "lost port at the divergence is blocked",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, 0), IS(SW_DSP0, .lost = true),
		      ACS(SW_RP1, UF), IS(SW_HB, LISTED) },
	  .there = REFUSED(4, SW_USP, -1, UNREADABLE, UNREAD(SW_DSP0)),
	  .back = REFUSED(4, SW_USP, -1, UNREADABLE, UNREAD(SW_DSP0)) },
	{ .name = "unreadable port number is blocked", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { EC(SW_DSP0, RR, 256, 0),
		      IS(SW_DSP1, .unreadable = true) },
	  .there = REFUSED(4, SW_USP, -1, UNREADABLE, UNREAD(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "unreadable ports elsewhere do not matter",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { SILENT(SW_EP0, 0), SILENT(SW_USP, 0), SILENT(SW_RP1, 0),
		      SILENT(SW_DSP2, 0) },
	  .there = SW_DIRECT, .back = SW_DIRECT },

	/* A redirected transaction climbs, and the host bridge has to route. */
	{ .name = "redirected, root port does not forward",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), ACS(SW_RP1, RR | CR),
		      IS(SW_HB, LISTED) },
	  .there = REFUSED(4, SW_USP, -1, NO_FORWARDING, REDIRECTS(SW_DSP0),
			   NO_UF(SW_RP1)),
	  .back = SW_DIRECT },
	{ .name = "redirected, root port without access control",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), IS(SW_HB, LISTED) },
	  .there = REFUSED(4, SW_USP, -1, NO_FORWARDING, REDIRECTS(SW_DSP0),
			   NO_UF(SW_RP1)),
	  .back = SW_DIRECT },
	{ .name = "redirected completions need forwarding too",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP1, CR), ACS(SW_RP1, 0), IS(SW_HB, LISTED) },
	  .there = REFUSED(4, SW_USP, -1, NO_FORWARDING, REDIRECTS(SW_DSP1),
			   NO_UF(SW_RP1)),
	  .back = SW_DIRECT },
	{ .name = "redirected, root port does not answer", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), SILENT(SW_RP1, UF), IS(SW_HB, LISTED) },
	  .there = REFUSED(4, SW_USP, -1, UNREADABLE, REDIRECTS(SW_DSP0),
			   UNREAD(SW_RP1)),
	  .back = SW_DIRECT },
	{ .name = "redirected, upstream port need not forward",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), ACS(SW_USP, 0), ACS(SW_RP1, UF),
		      IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "redirected, forwarding at the divergence is no matter",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR | UF), ACS(SW_DSP1, UF), ACS(SW_RP1, 0),
		      IS(SW_HB, LISTED) },
	  .there = REFUSED(4, SW_USP, -1, NO_FORWARDING, REDIRECTS(SW_DSP0),
			   NO_UF(SW_RP1)),
	  .back = SW_DIRECT },
	{ .name = "redirected, host bridge unknown", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), ACS(SW_RP1, UF) },
	  .there = REFUSED(4, SW_USP, HOST, UNLISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "redirected, host bridge routes within itself",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), ACS(SW_RP1, UF),
		      IS(SW_HB, LISTED_SAME) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "redirected, CPU is known", PAIR(SW_EP0, SW_EP1), .cpu = true,
	  .tweaks = { ACS(SW_DSP0, RR), ACS(SW_RP1, UF) },
	  .there = THROUGH(4, SW_USP, HOST, CPU, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },

	/* Paths meet at the host bridge. */
	{ .name = "two root ports, host bridge unknown", PAIR(SW_EP0, SW_EP3),
	  .there = REFUSED(6, HOST, HOST, UNLISTED),
	  .back = REFUSED(6, HOST, HOST, UNLISTED) },
	{ .name = "two root ports, host bridge is listed", PAIR(SW_EP0, SW_EP3),
	  .tweaks = { IS(SW_HB, LISTED) },
	  .there = THROUGH(6, HOST, HOST, LISTED),
	  .back = THROUGH(6, HOST, HOST, LISTED) },
	{ .name = "two root ports, host bridge routes within itself",
	  PAIR(SW_EP0, SW_EP3),
	  .tweaks = { IS(SW_HB, LISTED_SAME) },
	  .there = THROUGH(6, HOST, HOST, LISTED),
	  .back = THROUGH(6, HOST, HOST, LISTED) },
	{ .name = "two root ports, CPU is known", PAIR(SW_EP0, SW_EP3),
	  .cpu = true,
	  .there = THROUGH(6, HOST, HOST, CPU),
	  .back = THROUGH(6, HOST, HOST, CPU) },
	{ .name = "two root ports, known CPU goes before the list",
	  PAIR(SW_EP0, SW_EP3),
	  .cpu = true, .tweaks = { IS(SW_HB, LISTED_SAME) },
	  .there = THROUGH(6, HOST, HOST, CPU),
	  .back = THROUGH(6, HOST, HOST, CPU) },
	{ .name = "redirection to where it goes anyway", PAIR(SW_EP0, SW_EP3),
	  .tweaks = { ACS(SW_RP1, RR | CR), ACS(SW_RP2, RR | CR),
		      IS(SW_HB, LISTED) },
	  .there = THROUGH(6, HOST, HOST, LISTED),
	  .back = THROUGH(6, HOST, HOST, LISTED) },
	{ .name = "RR and CR below the root ports", PAIR(SW_EP0, SW_EP3),
	  .tweaks = { ACS(SW_DSP0, RR | CR), ACS(SW_USP, RR | CR),
		      ACS(SW_EP0, RR | CR), IS(SW_HB, LISTED) },
	  .there = THROUGH(6, HOST, HOST, LISTED),
	  .back = THROUGH(6, HOST, HOST, LISTED) },
	{ .name = "unreadable below the root ports", PAIR(SW_EP0, SW_EP3),
	  .tweaks = { SILENT(SW_DSP0, 0), IS(SW_HB, LISTED) },
	  .there = THROUGH(6, HOST, HOST, LISTED),
	  .back = THROUGH(6, HOST, HOST, LISTED) },
	{ .name = "unreadable root port is blocked", PAIR(SW_EP0, SW_EP3),
	  .tweaks = { SILENT(SW_RP1, 0), IS(SW_HB, LISTED) },
	  .there = REFUSED(6, HOST, -1, UNREADABLE, UNREAD(SW_RP1)),
	  .back = REFUSED(6, HOST, -1, UNREADABLE, UNREAD(SW_RP1)) },
	{ .name = "egress control of a root port", PAIR(SW_EP0, SW_EP3),
	  .tweaks = { EC(SW_RP1, 0, 32, BIT_ULL(6)), IS(SW_HB, LISTED) },
	  .there = REFUSED(6, HOST, -1, EGRESS, BLOCKS(SW_RP1)),
	  .back = THROUGH(6, HOST, HOST, LISTED) },
	{ .name = "egress control of a root port, other port",
	  PAIR(SW_EP0, SW_EP3),
	  .tweaks = { EC(SW_RP1, 0, 32, (u32)~BIT(6)), IS(SW_HB, LISTED) },
	  .there = THROUGH(6, HOST, HOST, LISTED),
	  .back = THROUGH(6, HOST, HOST, LISTED) },

	/* Root complex integrated endpoints. */
	{ .name = "integrated endpoint, host bridge unknown",
	  PAIR(SW_RCIEP, SW_EP3),
	  .there = REFUSED(3, HOST, HOST, UNLISTED),
	  .back = REFUSED(3, HOST, HOST, UNLISTED) },
	{ .name = "integrated endpoint, host bridge is listed",
	  PAIR(SW_RCIEP, SW_EP3),
	  .tweaks = { IS(SW_HB, LISTED) },
	  .there = THROUGH(3, HOST, HOST, LISTED),
	  .back = THROUGH(3, HOST, HOST, LISTED) },
	{ .name = "egress control that cannot speak of the target",
	  PAIR(SW_EP3, SW_RCIEP),
	  .tweaks = { EC(SW_RP2, 0, 64, 0), IS(SW_HB, LISTED) },
	  .there = REFUSED(3, HOST, -1, UNREADABLE, UNREAD(SW_RP2)),
	  .back = THROUGH(3, HOST, HOST, LISTED) },
	{ .name = "egress control that redirects to where it goes anyway",
	  PAIR(SW_EP3, SW_RCIEP),
	  .tweaks = { EC(SW_RP2, RR, 64, ~0ULL), IS(SW_HB, LISTED) },
	  .there = THROUGH(3, HOST, HOST, LISTED),
	  .back = THROUGH(3, HOST, HOST, LISTED) },
	{ .name = "egress control of functions is for functions of one device",
	  PAIR(SW_RCIEP, SW_EP3),
	  .tweaks = { EC(SW_RCIEP, 0, 64, ~0ULL), IS(SW_HB, LISTED) },
	  .there = THROUGH(3, HOST, HOST, LISTED),
	  .back = THROUGH(3, HOST, HOST, LISTED) },
	{ .name = "functions of one integrated device",
	  PAIR(SW_RCIEP, SW_RCIEP1),
	  .tweaks = { ACS(SW_RCIEP, RR | CR), ACS(SW_RCIEP1, RR | CR),
		      IS(SW_HB, LISTED) },
	  .there = THROUGH(2, HOST, HOST, LISTED),
	  .back = THROUGH(2, HOST, HOST, LISTED) },
	{ .name = "egress by function number of an integrated device",
	  PAIR(SW_RCIEP, SW_RCIEP1),
	  .tweaks = { EC(SW_RCIEP, 0, 8, BIT_ULL(1)), IS(SW_HB, LISTED) },
	  .there = REFUSED(2, HOST, -1, EGRESS, BLOCKS(SW_RCIEP)),
	  .back = THROUGH(2, HOST, HOST, LISTED) },

	/* A function and itself. */
	{ .name = "a function and itself", PAIR(SW_EP0, SW_EP0),
	  .there = SELF(SW_DSP0), .back = SELF(SW_DSP0) },
	{ .name = "itself, whatever access control says", PAIR(SW_EP0, SW_EP0),
	  .tweaks = { EC(SW_EP0, RR | CR, 64, ~0ULL),
		      EC(SW_DSP0, RR | CR, 64, ~0ULL) },
	  .there = SELF(SW_DSP0), .back = SELF(SW_DSP0) },
	{ .name = "itself, unreadable", PAIR(SW_EP0, SW_EP0),
	  .tweaks = { SILENT(SW_EP0, RR) },
	  .there = SELF(SW_DSP0), .back = SELF(SW_DSP0) },
	{ .name = "an integrated endpoint and itself", PAIR(SW_RCIEP, SW_RCIEP),
	  .tweaks = { ACS(SW_RCIEP, RR | CR) },
	  .there = SELF(HOST), .back = SELF(HOST) },
};

KUNIT_ARRAY_PARAM_DESC(switch, switch_cases, name);

static void route_in_switch(struct kunit *test)
{
	walk(test, switch_rows, SW_NR);
}

/* The same switch with policies. Access control comes first. */
static const struct route_case policy_cases[] = {
	{ .name = "deny at a port of the route", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { POLICY(SW_DSP0, "deny") },
	  .there = REFUSED(4, SW_USP, -1, POLICY, DENIED(SW_DSP0)),
	  .back = REFUSED(4, SW_USP, -1, POLICY, DENIED(SW_DSP0)) },
	{ .name = "deny at the shared parent and on both sides",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { POLICY(SW_USP, "deny"), POLICY(SW_DSP0, "deny"),
		      POLICY(SW_DSP1, "deny") },
	  .there = REFUSED(4, SW_USP, -1, POLICY, DENIED(SW_DSP0),
			   DENIED(SW_DSP1), DENIED(SW_USP)),
	  .back = REFUSED(4, SW_USP, -1, POLICY, DENIED(SW_DSP1),
			  DENIED(SW_DSP0), DENIED(SW_USP)) },
	{ .name = "deny beside and above a direct route", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { POLICY(SW_DSP2, "deny"), POLICY(SW_RP1, "deny"),
		      POLICY(SW_RP2, "deny"), POLICY(HOST, "deny") },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "deny above a redirected route", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), ACS(SW_RP1, UF), IS(SW_HB, LISTED),
		      POLICY(SW_RP1, "deny") },
	  .there = REFUSED(4, SW_USP, -1, POLICY, REDIRECTS(SW_DSP0),
			   DENIED(SW_RP1)),
	  .back = SW_DIRECT },
	{ .name = "deny at a root port of a route through the host bridge",
	  PAIR(SW_EP0, SW_EP3),
	  .tweaks = { IS(SW_HB, LISTED), POLICY(SW_RP2, "deny") },
	  .there = REFUSED(6, HOST, -1, POLICY, DENIED(SW_RP2)),
	  .back = REFUSED(6, HOST, -1, POLICY, DENIED(SW_RP2)) },
	{ .name = "deny at a listed host bridge", PAIR(SW_EP0, SW_EP3),
	  .tweaks = { IS(SW_HB, LISTED), POLICY(HOST, "deny") },
	  .there = REFUSED(6, HOST, HOST, POLICY),
	  .back = REFUSED(6, HOST, HOST, POLICY) },
	{ .name = "deny at a host bridge of a known CPU", PAIR(SW_EP0, SW_EP3),
	  .cpu = true,
	  .tweaks = { POLICY(HOST, "deny") },
	  .there = REFUSED(6, HOST, HOST, POLICY),
	  .back = REFUSED(6, HOST, HOST, POLICY) },
	{ .name = "deny does not come between a function and itself",
	  PAIR(SW_EP0, SW_EP0),
	  .tweaks = { POLICY(SW_DSP0, "deny"), POLICY(HOST, "deny") },
	  .there = SELF(SW_DSP0), .back = SELF(SW_DSP0) },
	{ .name = "auto after deny", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { POLICY(SW_DSP0, "deny"), POLICY(SW_DSP0, "auto") },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "allow at an unknown host bridge", PAIR(SW_EP0, SW_EP3),
	  .tweaks = { POLICY(HOST, "allow") },
	  .there = THROUGH(6, HOST, HOST, POLICY),
	  .back = THROUGH(6, HOST, HOST, POLICY) },
	{ .name = "allow carries a redirected route", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), ACS(SW_RP1, UF),
		      POLICY(HOST, "allow") },
	  .there = THROUGH(4, SW_USP, HOST, POLICY, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "allow does not override egress control",
	  PAIR(SW_EP0, SW_EP3),
	  .tweaks = { EC(SW_RP1, 0, 32, BIT_ULL(6)), POLICY(HOST, "allow") },
	  .there = REFUSED(6, HOST, -1, EGRESS, BLOCKS(SW_RP1)),
	  .back = THROUGH(6, HOST, HOST, POLICY) },
	{ .name = "allow does not replace upstream forwarding",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), ACS(SW_RP1, 0), POLICY(HOST, "allow") },
	  .there = REFUSED(4, SW_USP, -1, NO_FORWARDING, REDIRECTS(SW_DSP0),
			   NO_UF(SW_RP1)),
	  .back = SW_DIRECT },
	{ .name = "deny beside egress control", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { EC(SW_DSP0, 0, 64, BIT_ULL(9)), POLICY(SW_DSP1, "deny") },
	  .there = REFUSED(4, SW_USP, -1, EGRESS, BLOCKS(SW_DSP0),
			   DENIED(SW_DSP1)),
	  .back = REFUSED(4, SW_USP, -1, POLICY, DENIED(SW_DSP1)) },
	{ .name = "deny below an allowed host bridge", PAIR(SW_EP0, SW_EP3),
	  .tweaks = { POLICY(SW_USP, "deny"), POLICY(HOST, "allow") },
	  .there = REFUSED(6, HOST, -1, POLICY, DENIED(SW_USP)),
	  .back = REFUSED(6, HOST, -1, POLICY, DENIED(SW_USP)) },
};

KUNIT_ARRAY_PARAM_DESC(policy, policy_cases, name);

static void route_by_policy(struct kunit *test)
{
	walk(test, switch_rows, SW_NR);
}

/*
 * The same switch with an IOMMU that translates the DMA of every function:
 *
 *	   host bridge with IOMMU
 *	            |
 *	           RP1			an IOVA is in no window and climbs;
 *	            |			only completions need Upstream
 *	           USP			Forwarding
 *	        ____|____
 *	       |         |
 *	      DSP0      DSP1
 *	       |         |
 *	      EP0       EP1
 */
static const struct route_case iommu_cases[] = {
	{ .name = "direct stays direct", PAIR(SW_EP0, SW_EP1), .iommu = true,
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "redirected, root port without access control",
	  PAIR(SW_EP0, SW_EP1),
	  .iommu = true, .tweaks = { ACS(SW_DSP0, RR), IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "redirected completions need forwarding",
	  PAIR(SW_EP0, SW_EP1),
	  .iommu = true,
	  .tweaks = { ACS(SW_DSP1, CR), ACS(SW_RP1, 0), IS(SW_HB, LISTED) },
	  .there = REFUSED(4, SW_USP, -1, NO_FORWARDING, REDIRECTS(SW_DSP1),
			   NO_UF(SW_RP1)),
	  .back = SW_DIRECT },
	{ .name = "redirected completions, forwarded", PAIR(SW_EP0, SW_EP1),
	  .iommu = true,
	  .tweaks = { ACS(SW_DSP1, CR), ACS(SW_RP1, UF), IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP1)),
	  .back = SW_DIRECT },
	{ .name = "egress control does not see an IOVA", PAIR(SW_EP0, SW_EP1),
	  .iommu = true,
	  .tweaks = { EC(SW_DSP0, 0, 64, BIT_ULL(9)), IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "egress control of a root port does not see an IOVA",
	  PAIR(SW_EP0, SW_EP3),
	  .iommu = true,
	  .tweaks = { EC(SW_RP1, 0, 32, BIT_ULL(6)), IS(SW_HB, LISTED) },
	  .there = THROUGH(6, HOST, HOST, LISTED),
	  .back = THROUGH(6, HOST, HOST, LISTED) },
	{ .name = "egress control that leaves the other port alone",
	  PAIR(SW_EP0, SW_EP1),
	  .iommu = true, .tweaks = { EC(SW_DSP0, RR, 64, ~BIT_ULL(9)) },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "a port that does not tell", PAIR(SW_EP0, SW_EP1),
	  .iommu = true, .tweaks = { SILENT(SW_DSP0, 0), IS(SW_HB, LISTED) },
	  .there = REFUSED(4, SW_USP, -1, UNREADABLE, UNREAD(SW_DSP0)),
	  .back = REFUSED(4, SW_USP, -1, UNREADABLE, UNREAD(SW_DSP0)) },
	{ .name = "redirected, host bridge unknown", PAIR(SW_EP0, SW_EP1),
	  .iommu = true, .tweaks = { ACS(SW_DSP0, RR) },
	  .there = REFUSED(4, SW_USP, HOST, UNLISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "itself", PAIR(SW_EP0, SW_EP0), .iommu = true,
	  .there = SELF(SW_DSP0), .back = SELF(SW_DSP0) },
};

KUNIT_ARRAY_PARAM_DESC(iommu, iommu_cases, name);

static void route_with_iommu(struct kunit *test)
{
	walk(test, switch_rows, SW_NR);
}

/* The same switch with ports that deviate from the specification. */
static const struct route_case quirk_cases[] = {
	{ .name = "a downstream port isolates without a capability",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { IS(SW_DSP0, ZHAOXIN_PORT), ACS(SW_RP1, UF),
		      IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, ISOLATES(SW_DSP0)),
	  .back = THROUGH(4, SW_USP, HOST, LISTED, ISOLATES(SW_DSP0)) },
	{ .name = "the quirk counts before the capability",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { IS(SW_DSP0, ZHAOXIN_PORT, .acs = MOCK_PCI_ACS(0),
			 .unreadable = true),
		      ACS(SW_RP1, UF), IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, ISOLATES(SW_DSP0)),
	  .back = THROUGH(4, SW_USP, HOST, LISTED, ISOLATES(SW_DSP0)) },
	{ .name = "a root port forwards without a capability",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), IS(SW_RP1, QUALCOMM_PORT),
		      IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "wide registers, the root port forwards",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), WIDE(SW_RP1, 0xa110, UF),
		      IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "wide registers, the root port does not forward",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), WIDE(SW_RP1, 0xa110, RR),
		      IS(SW_HB, LISTED) },
	  .there = REFUSED(4, SW_USP, -1, NO_FORWARDING, REDIRECTS(SW_DSP0),
			   NO_UF(SW_RP1)),
	  .back = SW_DIRECT },
	{ .name = "wide registers, unreadable", PAIR(SW_EP0, SW_EP3),
	  .tweaks = { WIDE(SW_RP1, 0x9d1b, RR), IS(SW_RP1, .unreadable = true),
		      IS(SW_HB, LISTED) },
	  .there = REFUSED(6, HOST, -1, UNREADABLE, UNREAD(SW_RP1)),
	  .back = REFUSED(6, HOST, -1, UNREADABLE, UNREAD(SW_RP1)) },
	{ .name = "a number next to the quirk", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), IS(SW_HB, LISTED),
		      IS(SW_RP1, .vendor = PCI_VENDOR_ID_ZHAOXIN,
			 .device = 0x0722) },
	  .there = REFUSED(4, SW_USP, -1, NO_FORWARDING, REDIRECTS(SW_DSP0),
			   NO_UF(SW_RP1)),
	  .back = SW_DIRECT },
};

KUNIT_ARRAY_PARAM_DESC(quirk, quirk_cases, name);

static void route_past_quirks(struct kunit *test)
{
	walk(test, switch_rows, SW_NR);
}

/*
 * Direct Translated P2P exempts requests with an address translated by the
 * client from redirect (sec 6.12.1.1). The direct path is wrong only where the
 * CPU address means something else on the bus.
 */
#define DT	PCI_ACS_DT
#define TB	PCI_ACS_TB
#define ATS(_row)	IS(_row, .ats = true)
#define SHIFTED		IS(HOST, .offset = 128LL * SZ_1G)

static const struct route_case translated_cases[] = {
	/* Translation Blocking, in any port that the request enters. */
	{ .name = "redirected, the first port blocks", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR | TB), ACS(SW_RP1, UF), IS(SW_HB, LISTED),
		      ATS(SW_EP0) },
	  .there = REFUSED(4, SW_USP, -1, TRANSLATED, REDIRECTS(SW_DSP0),
			   BLOCKS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "redirected, the root port blocks", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), ACS(SW_RP1, UF | TB), IS(SW_HB, LISTED),
		      ATS(SW_EP0) },
	  .there = REFUSED(4, SW_USP, -1, TRANSLATED, REDIRECTS(SW_DSP0),
			   BLOCKS(SW_RP1)),
	  .back = SW_DIRECT },
	{ .name = "redirected, DT below a root port that blocks",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR | DT), ACS(SW_RP1, UF | TB),
		      IS(SW_HB, LISTED), ATS(SW_EP0) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "blocking, but nothing translated", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR | TB), ACS(SW_RP1, UF | TB),
		      IS(SW_HB, LISTED) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "two root ports, the first blocks", PAIR(SW_EP0, SW_EP3),
	  .tweaks = { ACS(SW_RP1, TB), IS(SW_HB, LISTED), ATS(SW_EP0) },
	  .there = REFUSED(6, HOST, -1, TRANSLATED, BLOCKS(SW_RP1)),
	  .back = THROUGH(6, HOST, HOST, LISTED) },

	/* An IOVA passes every port; a translated address is in a window. */
	{ .name = "IOMMU, no forwarding for translated requests",
	  PAIR(SW_EP0, SW_EP1),
	  .iommu = true,
	  .tweaks = { ACS(SW_DSP0, RR), IS(SW_HB, LISTED), ATS(SW_EP0) },
	  .there = REFUSED(4, SW_USP, -1, TRANSLATED, REDIRECTS(SW_DSP0),
			   NO_UF(SW_RP1)),
	  .back = SW_DIRECT },
	{ .name = "IOMMU, DT needs no forwarding", PAIR(SW_EP0, SW_EP1),
	  .iommu = true,
	  .tweaks = { ACS(SW_DSP0, RR | DT), IS(SW_HB, LISTED), ATS(SW_EP0) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "IOMMU, egress control for translated requests",
	  PAIR(SW_EP0, SW_EP1),
	  .iommu = true,
	  .tweaks = { EC(SW_DSP0, 0, 64, BIT_ULL(9)), IS(SW_HB, LISTED),
		      ATS(SW_EP0) },
	  .there = REFUSED(4, SW_USP, -1, TRANSLATED, REDIRECTS(SW_DSP0),
			   BLOCKS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name =
	  "IOMMU, two root ports, egress control for translated requests",
	  PAIR(SW_EP0, SW_EP3), .iommu = true,
	  .tweaks = { EC(SW_RP1, 0, 32, BIT_ULL(6)), IS(SW_HB, LISTED),
		      ATS(SW_EP0) },
	  .there = REFUSED(6, HOST, -1, TRANSLATED, BLOCKS(SW_RP1)),
	  .back = THROUGH(6, HOST, HOST, LISTED) },

	/* Requests turned around by the switch. */
	{ .name = "redirected, DT and an offset", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR | DT), ACS(SW_RP1, UF), IS(SW_HB, LISTED),
		      ATS(SW_EP0), SHIFTED },
	  .there = REFUSED(4, SW_USP, -1, TRANSLATED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "redirected, DT and an offset the other way",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR | DT), ACS(SW_RP1, UF), IS(SW_HB, LISTED),
		      ATS(SW_EP0), IS(HOST, .offset = -128LL * SZ_1G) },
	  .there = REFUSED(4, SW_USP, -1, TRANSLATED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "redirected, DT and an offset of the second window",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR | DT), ACS(SW_RP1, UF), IS(SW_HB, LISTED),
		      ATS(SW_EP0), IS(HOST, .far_offset = 128LL * SZ_1G) },
	  .there = REFUSED(4, SW_USP, -1, TRANSLATED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "redirected, DT and an offset of I/O ports",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR | DT), ACS(SW_RP1, UF), IS(SW_HB, LISTED),
		      ATS(SW_EP0), IS(HOST, .io_offset = SZ_4K) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "redirected, DT, no offset", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR | DT), ACS(SW_RP1, UF), IS(SW_HB, LISTED),
		      ATS(SW_EP0) },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "redirected, an offset, no DT", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR), ACS(SW_RP1, UF), IS(SW_HB, LISTED),
		      ATS(SW_EP0), SHIFTED },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "redirected, DT and an offset, but nothing translated",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR | DT), ACS(SW_RP1, UF), IS(SW_HB, LISTED),
		      SHIFTED },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "the provider translates, which is no matter",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, RR | DT), ACS(SW_RP1, UF), IS(SW_HB, LISTED),
		      ATS(SW_EP1), SHIFTED },
	  .there = THROUGH(4, SW_USP, HOST, LISTED, REDIRECTS(SW_DSP0)),
	  .back = SW_DIRECT },
	{ .name = "only completions are redirected, an offset",
	  PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP1, CR), ACS(SW_RP1, UF), IS(SW_HB, LISTED),
		      ATS(SW_EP0), SHIFTED },
	  .there = REFUSED(4, SW_USP, -1, TRANSLATED, REDIRECTS(SW_DSP1)),
	  .back = SW_DIRECT },
	{ .name = "direct, DT and an offset", PAIR(SW_EP0, SW_EP1),
	  .tweaks = { ACS(SW_DSP0, DT), ATS(SW_EP0), SHIFTED },
	  .there = SW_DIRECT, .back = SW_DIRECT },
	{ .name = "two root ports, DT and an offset", PAIR(SW_EP0, SW_EP3),
	  .tweaks = { ACS(SW_RP1, RR | DT), IS(SW_HB, LISTED), ATS(SW_EP0),
		      SHIFTED },
	  .there = THROUGH(6, HOST, HOST, LISTED),
	  .back = THROUGH(6, HOST, HOST, LISTED) },
};

KUNIT_ARRAY_PARAM_DESC(translated, translated_cases, name);

static void route_of_translated_requests(struct kunit *test)
{
	walk(test, switch_rows, SW_NR);
}

/*
 * Switches below switches:
 *
 *	      host bridge, HB at 00.0
 *	             |
 *	             RP
 *	             |
 *	            USP1
 *	        _____|_____
 *	       |           |
 *	      D1A         D1B
 *	       |           |
 *	      USP2        EPX
 *	     __|___
 *	    |      |
 *	   D2A    D2B
 *	    |      |
 *	   EPY    USP3
 *	           |
 *	          D3A
 *	           |
 *	          EPZ
 */
enum {
	NE_HB = 1, NE_RP, NE_USP1, NE_D1A, NE_D1B, NE_EPX, NE_USP2, NE_D2A,
	NE_D2B, NE_EPY,
	NE_USP3, NE_D3A, NE_EPZ, NE_NR
};

static const struct mock_pci_row nested_rows[NE_NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[NE_HB] = { .kind = MOCK_PCI_DEVICE_CONV,
		    .class = PCI_CLASS_BRIDGE_HOST << 8 },
	[NE_RP] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(1, 0) },
	[NE_USP1] = { .kind = MOCK_PCI_UPSTREAM, .up = NE_RP },
	[NE_D1A] = { .kind = MOCK_PCI_DOWNSTREAM, .up = NE_USP1, .port = 1 },
	[NE_D1B] = { .kind = MOCK_PCI_DOWNSTREAM, .up = NE_USP1,
		     .devfn = PCI_DEVFN(1, 0), .port = 2 },
	[NE_EPX] = { .kind = MOCK_PCI_ENDPOINT, .up = NE_D1B },
	[NE_USP2] = { .kind = MOCK_PCI_UPSTREAM, .up = NE_D1A },
	[NE_D2A] = { .kind = MOCK_PCI_DOWNSTREAM, .up = NE_USP2, .port = 1 },
	[NE_D2B] = { .kind = MOCK_PCI_DOWNSTREAM, .up = NE_USP2,
		     .devfn = PCI_DEVFN(1, 0), .port = 2 },
	[NE_EPY] = { .kind = MOCK_PCI_ENDPOINT, .up = NE_D2A },
	[NE_USP3] = { .kind = MOCK_PCI_UPSTREAM, .up = NE_D2B },
	[NE_D3A] = { .kind = MOCK_PCI_DOWNSTREAM, .up = NE_USP3, .port = 1 },
	[NE_EPZ] = { .kind = MOCK_PCI_ENDPOINT, .up = NE_D3A },
};

static const struct route_case nested_cases[] = {
	{ .name = "two switches on one side", PAIR(NE_EPY, NE_EPX),
	  .there = DIRECT(6, NE_USP1), .back = DIRECT(6, NE_USP1) },
	{ .name = "three switches on one side", PAIR(NE_EPZ, NE_EPX),
	  .there = DIRECT(8, NE_USP1), .back = DIRECT(8, NE_USP1) },
	{ .name = "the lower switch is the shared one", PAIR(NE_EPZ, NE_EPY),
	  .there = DIRECT(6, NE_USP2), .back = DIRECT(6, NE_USP2) },
	{ .name = "RR and CR of a lower switch", PAIR(NE_EPY, NE_EPX),
	  .tweaks = { ACS(NE_D2A, RR | CR), ACS(NE_USP2, RR | CR) },
	  .there = DIRECT(6, NE_USP1), .back = DIRECT(6, NE_USP1) },
	{ .name = "RR and CR of a higher switch", PAIR(NE_EPY, NE_EPZ),
	  .tweaks = { ACS(NE_D1A, RR | CR), ACS(NE_RP, RR | CR) },
	  .there = DIRECT(6, NE_USP2), .back = DIRECT(6, NE_USP2) },
	{ .name = "higher switch redirects, only the root port forwards",
	  PAIR(NE_EPY, NE_EPX),
	  .tweaks = { ACS(NE_D1A, RR), ACS(NE_RP, UF), IS(NE_HB, LISTED) },
	  .there = THROUGH(6, NE_USP1, HOST, LISTED, REDIRECTS(NE_D1A)),
	  .back = DIRECT(6, NE_USP1) },
	{ .name = "lower switch redirects, all above forward",
	  PAIR(NE_EPY, NE_EPZ),
	  .tweaks = { ACS(NE_D2A, RR), ACS(NE_D1A, UF), ACS(NE_RP, UF),
		      IS(NE_HB, LISTED) },
	  .there = THROUGH(6, NE_USP2, HOST, LISTED, REDIRECTS(NE_D2A)),
	  .back = DIRECT(6, NE_USP2) },
	{ .name = "lower switch redirects, downstream port does not forward",
	  PAIR(NE_EPY, NE_EPZ),
	  .tweaks = { ACS(NE_D2A, RR), ACS(NE_D1A, 0), ACS(NE_RP, UF),
		      IS(NE_HB, LISTED) },
	  .there = REFUSED(6, NE_USP2, -1, NO_FORWARDING, REDIRECTS(NE_D2A),
			   NO_UF(NE_D1A)),
	  .back = DIRECT(6, NE_USP2) },
	{ .name = "lower switch redirects, root port does not forward",
	  PAIR(NE_EPY, NE_EPZ),
	  .tweaks = { ACS(NE_D2A, RR), ACS(NE_D1A, UF), ACS(NE_RP, 0),
		      IS(NE_HB, LISTED) },
	  .there = REFUSED(6, NE_USP2, -1, NO_FORWARDING, REDIRECTS(NE_D2A),
			   NO_UF(NE_RP)),
	  .back = DIRECT(6, NE_USP2) },
	{ .name = "all that do not forward are named", PAIR(NE_EPY, NE_EPZ),
	  .tweaks = { ACS(NE_D2A, RR), ACS(NE_D2B, CR), IS(NE_HB, LISTED) },
	  .there = REFUSED(6, NE_USP2, -1, NO_FORWARDING, REDIRECTS(NE_D2A),
			   REDIRECTS(NE_D2B), NO_UF(NE_D1A), NO_UF(NE_RP)),
	  .back = DIRECT(6, NE_USP2) },
	{ .name = "forwarding of a port beside the way up",
	  PAIR(NE_EPY, NE_EPZ),
	  .tweaks = { ACS(NE_D2A, RR), ACS(NE_D1A, UF), ACS(NE_RP, UF),
		      ACS(NE_D1B, 0), ACS(NE_D3A, 0), IS(NE_HB, LISTED) },
	  .there = THROUGH(6, NE_USP2, HOST, LISTED, REDIRECTS(NE_D2A)),
	  .back = DIRECT(6, NE_USP2) },
};

KUNIT_ARRAY_PARAM_DESC(nested, nested_cases, name);

static void route_in_nested_switches(struct kunit *test)
{
	walk(test, nested_rows, NE_NR);
}

/*
 * Functions of one device:
 *
 *	              host bridge, HB at 00.0
 *	                       |
 *	                       RP
 *	                       |
 *	                      USP
 *	          _____________|____________
 *	         |                          |
 *	        DSP0                       DSP1
 *	     ____|____                  ____|____
 *	    |    |    |                |         |
 *	   F0   F1   F2               G0        G9
 *	  (00.0, 00.1, 00.2)         (functions 0 and 9 of one device with ARI)
 */
enum {
	FN_HB = 1, FN_RP, FN_USP, FN_DSP0, FN_DSP1, FN_F0, FN_F1, FN_F2, FN_G0,
	FN_G9, FN_NR
};

static const struct mock_pci_row function_rows[FN_NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[FN_HB] = { .kind = MOCK_PCI_DEVICE_CONV,
		    .class = PCI_CLASS_BRIDGE_HOST << 8 },
	[FN_RP] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(1, 0) },
	[FN_USP] = { .kind = MOCK_PCI_UPSTREAM, .up = FN_RP },
	[FN_DSP0] = { .kind = MOCK_PCI_DOWNSTREAM, .up = FN_USP, .port = 1 },
	[FN_DSP1] = { .kind = MOCK_PCI_DOWNSTREAM, .up = FN_USP,
		      .devfn = PCI_DEVFN(1, 0), .port = 2 },
	[FN_F0] = { .kind = MOCK_PCI_ENDPOINT, .up = FN_DSP0,
		    .devfn = PCI_DEVFN(0, 0) },
	[FN_F1] = { .kind = MOCK_PCI_ENDPOINT, .up = FN_DSP0,
		    .devfn = PCI_DEVFN(0, 1) },
	[FN_F2] = { .kind = MOCK_PCI_ENDPOINT, .up = FN_DSP0,
		    .devfn = PCI_DEVFN(0, 2) },
	[FN_G0] = { .kind = MOCK_PCI_ENDPOINT, .up = FN_DSP1, .devfn = 0,
		    .ari = true },
	[FN_G9] = { .kind = MOCK_PCI_ENDPOINT, .up = FN_DSP1, .devfn = 9,
		    .ari = true },
};

static const struct route_case function_cases[] = {
	{ .name = "functions without access control", PAIR(FN_F0, FN_F1),
	  .there = SAME_DEVICE(2, FN_DSP0), .back = SAME_DEVICE(2, FN_DSP0) },
	{ .name = "the port above is not the divergence", PAIR(FN_F0, FN_F1),
	  .tweaks = { EC(FN_DSP0, RR | CR, 64, ~0ULL), ACS(FN_RP, UF),
		      IS(FN_HB, LISTED) },
	  .there = SAME_DEVICE(2, FN_DSP0), .back = SAME_DEVICE(2, FN_DSP0) },
	{ .name = "the function's own RR, and its port forwards",
	  PAIR(FN_F0, FN_F1),
	  .tweaks = { ACS(FN_F0, RR), ACS(FN_DSP0, UF), ACS(FN_RP, UF),
		      IS(FN_HB, LISTED) },
	  .there = THROUGH(2, FN_DSP0, HOST, LISTED, REDIRECTS(FN_F0)),
	  .back = SAME_DEVICE(2, FN_DSP0) },
	{ .name = "the function's own CR, and its port forwards",
	  PAIR(FN_F0, FN_F1),
	  .tweaks = { ACS(FN_F1, CR), ACS(FN_DSP0, UF), ACS(FN_RP, UF),
		      IS(FN_HB, LISTED) },
	  .there = THROUGH(2, FN_DSP0, HOST, LISTED, REDIRECTS(FN_F1)),
	  .back = DIRECT(2, FN_DSP0) },
	{ .name = "the function's own RR, and its port does not forward",
	  PAIR(FN_F0, FN_F1),
	  .tweaks = { ACS(FN_F0, RR), ACS(FN_DSP0, 0), ACS(FN_RP, UF),
		      IS(FN_HB, LISTED) },
	  .there = REFUSED(2, FN_DSP0, -1, NO_FORWARDING, REDIRECTS(FN_F0),
			   NO_UF(FN_DSP0)),
	  .back = SAME_DEVICE(2, FN_DSP0) },
	{ .name = "egress bit of the other function", PAIR(FN_F0, FN_F1),
	  .tweaks = { EC(FN_F0, 0, 8, BIT_ULL(1)) },
	  .there = REFUSED(2, FN_DSP0, -1, EGRESS, BLOCKS(FN_F0)),
	  .back = SAME_DEVICE(2, FN_DSP0) },
	{ .name = "egress bit of a third function", PAIR(FN_F0, FN_F2),
	  .tweaks = { EC(FN_F0, 0, 8, BIT_ULL(1)) },
	  .there = DIRECT(2, FN_DSP0), .back = SAME_DEVICE(2, FN_DSP0) },
	{ .name = "unreadable function", PAIR(FN_F0, FN_F1),
	  .tweaks = { SILENT(FN_F0, 0) },
	  .there = REFUSED(2, FN_DSP0, -1, UNREADABLE, UNREAD(FN_F0)),
	  .back = REFUSED(2, FN_DSP0, -1, UNREADABLE, UNREAD(FN_F0)) },
	{ .name = "functions' access control below the divergence",
	  PAIR(FN_F0, FN_G9),
	  .tweaks = { EC(FN_F0, RR | CR, 64, ~0ULL),
		      EC(FN_G9, RR | CR, 64, ~0ULL) },
	  .there = DIRECT(4, FN_USP), .back = DIRECT(4, FN_USP) },
	{ .name = "with ARI the function number has 8 bits", PAIR(FN_G0, FN_G9),
	  .tweaks = { EC(FN_G0, 0, 16, BIT_ULL(9)) },
	  .there = REFUSED(2, FN_DSP1, -1, EGRESS, BLOCKS(FN_G0)),
	  .back = SAME_DEVICE(2, FN_DSP1) },
	{ .name = "with ARI, other bits", PAIR(FN_G0, FN_G9),
	  .tweaks = { EC(FN_G0, 0, 16, 0xffff & ~BIT_ULL(9)) },
	  .there = DIRECT(2, FN_DSP1), .back = SAME_DEVICE(2, FN_DSP1) },
	{ .name = "function groups make the vector unreadable",
	  PAIR(FN_G0, FN_G9),
	  .tweaks = { EC(FN_G0, 0, 16, 0), IS(FN_G0, .groups = true) },
	  .there = REFUSED(2, FN_DSP1, -1, UNREADABLE, UNREAD(FN_G0)),
	  .back = SAME_DEVICE(2, FN_DSP1) },
	{ .name = "function 0 switches groups on for the device",
	  PAIR(FN_G9, FN_G0),
	  .tweaks = { EC(FN_G9, 0, 16, 0), IS(FN_G0, .groups = true) },
	  .there = REFUSED(2, FN_DSP1, -1, UNREADABLE, UNREAD(FN_G9)),
	  .back = SAME_DEVICE(2, FN_DSP1) },
	{ .name = "other functions do not switch groups on", PAIR(FN_G9, FN_G0),
	  .tweaks = { EC(FN_G9, 0, 16, 0), IS(FN_G9, .groups = true) },
	  .there = DIRECT(2, FN_DSP1), .back = SAME_DEVICE(2, FN_DSP1) },

	/*
	 * A capability without Request Redirect: the function sends all
	 * requests and completions upstream (sec 6.12.1.2).
	 */
	{ .name = "no Request Redirect, ports forward", PAIR(FN_F0, FN_F1),
	  .tweaks = { NO_RR(FN_F0), ACS(FN_DSP0, UF), ACS(FN_RP, UF),
		      IS(FN_HB, LISTED) },
	  .there = THROUGH(2, FN_DSP0, HOST, LISTED, ISOLATES(FN_F0)),
	  .back = THROUGH(2, FN_DSP0, HOST, LISTED, ISOLATES(FN_F0)) },
	{ .name = "no Request Redirect, ports do not forward",
	  PAIR(FN_F0, FN_F1),
	  .tweaks = { NO_RR(FN_F0), IS(FN_HB, LISTED) },
	  .there = REFUSED(2, FN_DSP0, -1, NO_FORWARDING, ISOLATES(FN_F0),
			   NO_UF(FN_DSP0), NO_UF(FN_RP)),
	  .back = REFUSED(2, FN_DSP0, -1, NO_FORWARDING, ISOLATES(FN_F0),
			  NO_UF(FN_DSP0), NO_UF(FN_RP)) },
	{ .name = "no Request Redirect, and an IOMMU", PAIR(FN_F0, FN_F1),
	  .iommu = true,
	  .tweaks = { NO_RR(FN_F0), ACS(FN_F1, 0), IS(FN_HB, LISTED) },
	  .there = THROUGH(2, FN_DSP0, HOST, LISTED, ISOLATES(FN_F0)),
	  .back = REFUSED(2, FN_DSP0, -1, NO_FORWARDING, ISOLATES(FN_F0),
			  NO_UF(FN_DSP0), NO_UF(FN_RP)) },
	{ .name = "no Request Redirect, below the divergence",
	  PAIR(FN_F0, FN_G9),
	  .tweaks = { NO_RR(FN_F0), NO_RR(FN_G9) },
	  .there = DIRECT(4, FN_USP), .back = DIRECT(4, FN_USP) },
	{ .name = "Request Redirect off, but there", PAIR(FN_F0, FN_F1),
	  .tweaks = { ACS(FN_F0, 0), ACS(FN_F1, 0) },
	  .there = DIRECT(2, FN_DSP0), .back = DIRECT(2, FN_DSP0) },
	{ .name = "a quirk isolates functions", PAIR(FN_F0, FN_F1),
	  .tweaks = { IS(FN_F0, SOLARFLARE), ACS(FN_DSP0, UF), ACS(FN_RP, UF),
		      IS(FN_HB, LISTED) },
	  .there = THROUGH(2, FN_DSP0, HOST, LISTED, ISOLATES(FN_F0)),
	  .back = THROUGH(2, FN_DSP0, HOST, LISTED, ISOLATES(FN_F0)) },
};

KUNIT_ARRAY_PARAM_DESC(function, function_cases, name);

static void route_between_functions(struct kunit *test)
{
	walk(test, function_rows, FN_NR);
}

/*
 * SR-IOV:
 *
 *	             host bridge, HB at 00.0
 *	                      |
 *	                      RP
 *	                      |
 *	                     USP
 *	          ____________|____________
 *	         |                         |
 *	       DSP0 (port 1)             DSP1 (port 2)
 *	     ____|______                   |
 *	    |           |                 PF2 at 00.0
 *	PF0 at 00.0  PF1 at 00.1          VFs 0, 1 of the *next* bus number
 *	VFs 2, 4     VFs 3, 5
 *
 * The bus with PF2's virtual functions has no bridge of its own.
 */
enum {
	VF_HB = 1, VF_RP, VF_USP, VF_DSP0, VF_DSP1, VF_PF0, VF_PF1,
	VF_PF2, VF_NR
};

static const struct mock_pci_row sriov_rows[VF_NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[VF_HB] = { .kind = MOCK_PCI_DEVICE_CONV,
		    .class = PCI_CLASS_BRIDGE_HOST << 8 },
	[VF_RP] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(1, 0) },
	[VF_USP] = { .kind = MOCK_PCI_UPSTREAM, .up = VF_RP },
	[VF_DSP0] = { .kind = MOCK_PCI_DOWNSTREAM, .up = VF_USP, .port = 1 },
	[VF_DSP1] = { .kind = MOCK_PCI_DOWNSTREAM, .up = VF_USP,
		      .devfn = PCI_DEVFN(1, 0), .port = 2 },
	[VF_PF0] = { .kind = MOCK_PCI_ENDPOINT, .up = VF_DSP0, .total_vfs = 2,
		     .vfs = 2, .vf_offset = 2, .vf_stride = 2 },
	[VF_PF1] = { .kind = MOCK_PCI_ENDPOINT, .up = VF_DSP0,
		     .devfn = PCI_DEVFN(0, 1), .total_vfs = 2, .vfs = 2,
		     .vf_offset = 2, .vf_stride = 2 },
	[VF_PF2] = { .kind = MOCK_PCI_ENDPOINT, .up = VF_DSP1, .total_vfs = 2,
		     .vfs = 2, .vf_offset = 256 },
};

static const struct route_case sriov_cases[] = {
	{ .name = "a VF takes its PF's path", PAIR(VF(VF_PF0, 1), VF_PF2),
	  .there = DIRECT(4, VF_USP), .back = DIRECT(4, VF_USP) },
	{ .name = "also from a bus without a bridge",
	  PAIR(VF(VF_PF2, 1), VF_PF0),
	  .there = DIRECT(4, VF_USP), .back = DIRECT(4, VF_USP) },
	{ .name = "VFs of two devices", PAIR(VF(VF_PF0, 0), VF(VF_PF2, 0)),
	  .there = DIRECT(4, VF_USP), .back = DIRECT(4, VF_USP) },
	{ .name = "a VF and its own PF", PAIR(VF(VF_PF0, 0), VF_PF0),
	  .there = SAME_DEVICE(2, VF_DSP0), .back = SAME_DEVICE(2, VF_DSP0) },
	{ .name = "a VF of the next bus and its own PF",
	  PAIR(VF(VF_PF2, 0), VF_PF2),
	  .there = SAME_DEVICE(2, VF_DSP1), .back = SAME_DEVICE(2, VF_DSP1) },
	{ .name = "two VFs of one PF", PAIR(VF(VF_PF0, 0), VF(VF_PF0, 1)),
	  .there = SAME_DEVICE(2, VF_DSP0), .back = SAME_DEVICE(2, VF_DSP0) },
	{ .name = "VFs of two PFs of one device",
	  PAIR(VF(VF_PF0, 0), VF(VF_PF1, 0)),
	  .there = SAME_DEVICE(2, VF_DSP0), .back = SAME_DEVICE(2, VF_DSP0) },
	{ .name = "the port above a VF redirects", PAIR(VF(VF_PF2, 0), VF_PF0),
	  .tweaks = { ACS(VF_DSP1, RR), ACS(VF_RP, UF), IS(VF_HB, LISTED) },
	  .there = THROUGH(4, VF_USP, HOST, LISTED, REDIRECTS(VF_DSP1)),
	  .back = DIRECT(4, VF_USP) },
	{ .name = "egress control towards a VF", PAIR(VF_PF0, VF(VF_PF2, 0)),
	  .tweaks = { EC(VF_DSP0, 0, 8, BIT_ULL(2)) },
	  .there = REFUSED(4, VF_USP, -1, EGRESS, BLOCKS(VF_DSP0)),
	  .back = DIRECT(4, VF_USP) },
	{ .name = "access control of VF and PF below the divergence",
	  PAIR(VF(VF_PF0, 0), VF(VF_PF2, 0)),
	  .tweaks = { ACS(VF_PF0, RR | CR), ACS(VF_PF2, RR | CR) },
	  .there = DIRECT(4, VF_USP), .back = DIRECT(4, VF_USP) },
	{ .name = "egress control of a VF, by function number",
	  PAIR(VF(VF_PF0, 0), VF(VF_PF1, 0)),
	  .tweaks = { EC(VF_PF0, 0, 8, BIT_ULL(3)) },
	  .there = REFUSED(2, VF_DSP0, -1, EGRESS, BLOCKS(VF(VF_PF0, 0))),
	  .back = SAME_DEVICE(2, VF_DSP0) },
	{ .name = "egress control of a VF, other bits",
	  PAIR(VF(VF_PF0, 0), VF(VF_PF1, 0)),
	  .tweaks = { EC(VF_PF0, 0, 8, 0xff & ~BIT_ULL(3)) },
	  .there = DIRECT(2, VF_DSP0), .back = SAME_DEVICE(2, VF_DSP0) },
	{ .name = "egress control of a VF of the next bus",
	  PAIR(VF(VF_PF2, 0), VF_PF2),
	  .tweaks = { EC(VF_PF2, 0, 8, 0) },
	  .there = REFUSED(2, VF_DSP1, -1, UNREADABLE, UNREAD(VF(VF_PF2, 0))),
	  .back = REFUSED(2, VF_DSP1, -1, UNREADABLE, UNREAD(VF_PF2)) },
	{ .name = "egress control between VFs of the next bus",
	  PAIR(VF(VF_PF2, 0), VF(VF_PF2, 1)),
	  .tweaks = { EC(VF_PF2, 0, 8, 0) },
	  .there = REFUSED(2, VF_DSP1, -1, UNREADABLE, UNREAD(VF(VF_PF2, 0))),
	  .back = REFUSED(2, VF_DSP1, -1, UNREADABLE, UNREAD(VF(VF_PF2, 1))) },
	{ .name = "a VF redirects, its PF does not matter",
	  PAIR(VF(VF_PF0, 1), VF_PF1),
	  .tweaks = { ACS(VF_PF0, RR), ACS(VF_DSP0, UF), ACS(VF_RP, UF),
		      IS(VF_HB, LISTED) },
	  .there = THROUGH(2, VF_DSP0, HOST, LISTED, REDIRECTS(VF(VF_PF0, 1))),
	  .back = SAME_DEVICE(2, VF_DSP0) },
	{ .name = "a VF and itself", PAIR(VF(VF_PF2, 0), VF(VF_PF2, 0)),
	  .tweaks = { ACS(VF_PF2, RR | CR) },
	  .there = SELF(VF_DSP1), .back = SELF(VF_DSP1) },
	{ .name = "VFs without Request Redirect",
	  PAIR(VF(VF_PF0, 0), VF(VF_PF1, 0)),
	  .tweaks = { NO_RR(VF_PF0), ACS(VF_DSP0, UF), ACS(VF_RP, UF),
		      IS(VF_HB, LISTED) },
	  .there = THROUGH(2, VF_DSP0, HOST, LISTED, ISOLATES(VF(VF_PF0, 0))),
	  .back = THROUGH(2, VF_DSP0, HOST, LISTED, ISOLATES(VF(VF_PF0, 0))) },
};

KUNIT_ARRAY_PARAM_DESC(sriov, sriov_cases, name);

static void route_of_virtual_functions(struct kunit *test)
{
	walk(test, sriov_rows, VF_NR);
}

/*
 * Conventional PCI:
 *
 *	                   host bridge, HB at 00.0
 *	     __________________|_______________________________
 *	    |                  |                |              |
 *	   RP1                RP2               CB2            V
 *	    |                  |          (conventional  (conventional
 *	   P2P                USP            bridge)        device)
 *	 (PCIe to PCI)     ____|____            |
 *	  __|_____        |         |           W
 *	 |   |    |      DSP0     DSP1
 *	 X   Y    CB      |         |
 *	          |      EP       P2P2
 *	          Z                 |
 *	                            U
 */
enum {
	CV_HB = 1, CV_RP1, CV_P2P, CV_X, CV_Y, CV_CB, CV_Z, CV_RP2, CV_USP,
	CV_DSP0, CV_DSP1,
	CV_EP, CV_P2P2, CV_U, CV_CB2, CV_W, CV_V, CV_NR
};

static const struct mock_pci_row conventional_rows[CV_NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[CV_HB] = { .kind = MOCK_PCI_DEVICE_CONV,
		    .class = PCI_CLASS_BRIDGE_HOST << 8 },
	[CV_RP1] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(1, 0) },
	[CV_P2P] = { .kind = MOCK_PCI_PCIE_TO_PCI, .up = CV_RP1 },
	[CV_X] = { .kind = MOCK_PCI_DEVICE_CONV, .up = CV_P2P,
		   .devfn = PCI_DEVFN(1, 0) },
	[CV_Y] = { .kind = MOCK_PCI_DEVICE_CONV, .up = CV_P2P,
		   .devfn = PCI_DEVFN(2, 0) },
	[CV_CB] = { .kind = MOCK_PCI_BRIDGE, .up = CV_P2P,
		    .devfn = PCI_DEVFN(3, 0) },
	[CV_Z] = { .kind = MOCK_PCI_DEVICE_CONV, .up = CV_CB,
		   .devfn = PCI_DEVFN(1, 0) },
	[CV_RP2] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(2, 0) },
	[CV_USP] = { .kind = MOCK_PCI_UPSTREAM, .up = CV_RP2 },
	[CV_DSP0] = { .kind = MOCK_PCI_DOWNSTREAM, .up = CV_USP, .port = 1 },
	[CV_DSP1] = { .kind = MOCK_PCI_DOWNSTREAM, .up = CV_USP,
		      .devfn = PCI_DEVFN(1, 0), .port = 2 },
	[CV_EP] = { .kind = MOCK_PCI_ENDPOINT, .up = CV_DSP0 },
	[CV_P2P2] = { .kind = MOCK_PCI_PCIE_TO_PCI, .up = CV_DSP1 },
	[CV_U] = { .kind = MOCK_PCI_DEVICE_CONV, .up = CV_P2P2,
		   .devfn = PCI_DEVFN(1, 0) },
	[CV_CB2] = { .kind = MOCK_PCI_BRIDGE, .devfn = PCI_DEVFN(5, 0) },
	[CV_W] = { .kind = MOCK_PCI_DEVICE_CONV, .up = CV_CB2,
		   .devfn = PCI_DEVFN(1, 0) },
	[CV_V] = { .kind = MOCK_PCI_DEVICE_CONV, .devfn = PCI_DEVFN(6, 0) },
};

static const struct route_case conventional_cases[] = {
	{ .name = "one conventional bus", PAIR(CV_X, CV_Y),
	  .there = DIRECT(2, CV_P2P), .back = DIRECT(2, CV_P2P) },
	{ .name = "a bridge below", PAIR(CV_X, CV_Z),
	  .there = DIRECT(3, CV_P2P), .back = DIRECT(3, CV_P2P) },
	{ .name = "access control above a conventional bus", PAIR(CV_X, CV_Z),
	  .tweaks = { EC(CV_RP1, RR | CR, 64, ~0ULL), IS(CV_HB, LISTED) },
	  .there = DIRECT(3, CV_P2P), .back = DIRECT(3, CV_P2P) },
	{ .name = "conventional device and PCIe endpoint of a switch",
	  PAIR(CV_U, CV_EP),
	  .there = DIRECT(5, CV_USP), .back = DIRECT(5, CV_USP) },
	{ .name = "the port above a conventional bus redirects",
	  PAIR(CV_U, CV_EP),
	  .tweaks = { ACS(CV_DSP1, RR), ACS(CV_RP2, UF), IS(CV_HB, LISTED) },
	  .there = THROUGH(5, CV_USP, HOST, LISTED, REDIRECTS(CV_DSP1)),
	  .back = DIRECT(5, CV_USP) },
	{ .name = "conventional device and PCIe, two root ports",
	  PAIR(CV_X, CV_EP),
	  .tweaks = { IS(CV_HB, LISTED) },
	  .there = THROUGH(7, HOST, HOST, LISTED),
	  .back = THROUGH(7, HOST, HOST, LISTED) },
	{ .name = "conventional root bus, host bridge unknown",
	  PAIR(CV_W, CV_V),
	  .there = REFUSED(3, HOST, HOST, UNLISTED),
	  .back = REFUSED(3, HOST, HOST, UNLISTED) },
	{ .name = "conventional root bus, host bridge is listed",
	  PAIR(CV_W, CV_V),
	  .tweaks = { IS(CV_HB, LISTED) },
	  .there = THROUGH(3, HOST, HOST, LISTED),
	  .back = THROUGH(3, HOST, HOST, LISTED) },
};

KUNIT_ARRAY_PARAM_DESC(conventional, conventional_cases, name);

static void route_in_conventional_pci(struct kunit *test)
{
	walk(test, conventional_rows, CV_NR);
}

/*
 * Two host bridges:
 *
 *	host bridge 0, domain 1        host bridge 1, domain 0x10001
 *	HB0 at 00.0, RP0 at 01.0       HB1 at 00.0, RP1 at 01.0
 *	     |                              |
 *	    EP0                            EP1
 *
 * Intel VMD makes domains like the second, with numbers above 16 bits. The
 * lower 16 bits are the same in both numbers.
 */
enum {
	TW_HB0 = 1, TW_RP0, TW_EP0, TW_HOST1, TW_HB1, TW_RP1, TW_EP1, TW_NR
};

static const struct mock_pci_row two_host_rows[TW_NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[TW_HB0] = { .kind = MOCK_PCI_DEVICE_CONV,
		     .class = PCI_CLASS_BRIDGE_HOST << 8 },
	[TW_RP0] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(1, 0),
		     .port = 1 },
	[TW_EP0] = { .kind = MOCK_PCI_ENDPOINT, .up = TW_RP0 },
	[TW_HOST1] = { .kind = MOCK_PCI_HOST, .domain = 0x10001 },
	[TW_HB1] = { .kind = MOCK_PCI_DEVICE_CONV, .up = TW_HOST1,
		     .class = PCI_CLASS_BRIDGE_HOST << 8 },
	[TW_RP1] = { .kind = MOCK_PCI_ROOT_PORT, .up = TW_HOST1,
		     .devfn = PCI_DEVFN(1, 0), .port = 2 },
	[TW_EP1] = { .kind = MOCK_PCI_ENDPOINT, .up = TW_RP1 },
};

static const struct route_case two_host_cases[] = {
	{ .name = "both unknown", PAIR(TW_EP0, TW_EP1),
	  .there = REFUSED(4, HOST, HOST, UNLISTED),
	  .back = REFUSED(4, HOST, TW_HOST1, UNLISTED) },
	{ .name = "both route to others", PAIR(TW_EP0, TW_EP1),
	  .tweaks = { IS(TW_HB0, LISTED), IS(TW_HB1, LISTED) },
	  .there = THROUGH(4, HOST, TW_HOST1, LISTED),
	  .back = THROUGH(4, HOST, HOST, LISTED) },
	{ .name = "only the first is known", PAIR(TW_EP0, TW_EP1),
	  .tweaks = { IS(TW_HB0, LISTED) },
	  .there = REFUSED(4, HOST, TW_HOST1, UNLISTED),
	  .back = REFUSED(4, HOST, TW_HOST1, UNLISTED) },
	{ .name = "only the second is known", PAIR(TW_EP0, TW_EP1),
	  .tweaks = { IS(TW_HB1, LISTED) },
	  .there = REFUSED(4, HOST, HOST, UNLISTED),
	  .back = REFUSED(4, HOST, HOST, UNLISTED) },
	{ .name = "the first routes within itself only", PAIR(TW_EP0, TW_EP1),
	  .tweaks = { IS(TW_HB0, LISTED_SAME), IS(TW_HB1, LISTED) },
	  .there = REFUSED(4, HOST, HOST, SAME_ONLY),
	  .back = REFUSED(4, HOST, HOST, SAME_ONLY) },
	{ .name = "the second routes within itself only", PAIR(TW_EP0, TW_EP1),
	  .tweaks = { IS(TW_HB0, LISTED), IS(TW_HB1, LISTED_SAME) },
	  .there = REFUSED(4, HOST, TW_HOST1, SAME_ONLY),
	  .back = REFUSED(4, HOST, TW_HOST1, SAME_ONLY) },
	{ .name = "CPU is known", PAIR(TW_EP0, TW_EP1), .cpu = true,
	  .there = THROUGH(4, HOST, TW_HOST1, CPU),
	  .back = THROUGH(4, HOST, HOST, CPU) },
	{ .name = "allow at both", PAIR(TW_EP0, TW_EP1),
	  .tweaks = { POLICY(HOST, "allow"), POLICY(TW_HOST1, "allow") },
	  .there = THROUGH(4, HOST, TW_HOST1, POLICY),
	  .back = THROUGH(4, HOST, HOST, POLICY) },
	{ .name = "allow at the first only", PAIR(TW_EP0, TW_EP1),
	  .tweaks = { POLICY(HOST, "allow") },
	  .there = REFUSED(4, HOST, TW_HOST1, UNLISTED),
	  .back = REFUSED(4, HOST, TW_HOST1, UNLISTED) },
	{ .name = "allow lets one that routes within itself route to others",
	  PAIR(TW_EP0, TW_EP1),
	  .tweaks = { IS(TW_HB0, LISTED_SAME), IS(TW_HB1, LISTED),
		      POLICY(HOST, "allow") },
	  .there = THROUGH(4, HOST, TW_HOST1, LISTED),
	  .back = THROUGH(4, HOST, HOST, POLICY) },
	{ .name = "deny at the second", PAIR(TW_EP0, TW_EP1),
	  .tweaks = { IS(TW_HB0, LISTED), IS(TW_HB1, LISTED),
		      POLICY(TW_HOST1, "deny") },
	  .there = REFUSED(4, HOST, TW_HOST1, POLICY),
	  .back = REFUSED(4, HOST, TW_HOST1, POLICY) },
	{ .name = "egress control does not speak of other host bridges",
	  PAIR(TW_EP0, TW_EP1),
	  .tweaks = { EC(TW_RP0, 0, 64, 0), IS(TW_HB0, LISTED),
		      IS(TW_HB1, LISTED) },
	  .there = REFUSED(4, HOST, -1, UNREADABLE, UNREAD(TW_RP0)),
	  .back = THROUGH(4, HOST, HOST, LISTED) },
};

KUNIT_ARRAY_PARAM_DESC(two_host, two_host_cases, name);

static void route_between_host_bridges(struct kunit *test)
{
	walk(test, two_host_rows, TW_NR);
}

/*
 * The device that identifies the host bridge:
 *
 *	                    host bridge
 *	   _____________________|____________________
 *	  |         |         |          |           |
 *	 D00       D01       CB1        RPA         RPB
 *	 00.0      01.0      02.0       03.0        04.0
 *	(RCiEP)   (RCiEP)   (bridge)     |           |
 *	                                EPA         EPB
 *
 * Only the first device counts, and only at 00.0 or as a root port.
 */
enum {
	FI_D00 = 1, FI_D01, FI_CB1, FI_RPA, FI_RPB, FI_EPA, FI_EPB, FI_NR
};

static const struct mock_pci_row first_rows[FI_NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[FI_D00] = { .kind = MOCK_PCI_RCIEP },
	[FI_D01] = { .kind = MOCK_PCI_RCIEP, .devfn = PCI_DEVFN(1, 0) },
	[FI_CB1] = { .kind = MOCK_PCI_BRIDGE, .devfn = PCI_DEVFN(2, 0) },
	[FI_RPA] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(3, 0),
		     .port = 1 },
	[FI_RPB] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(4, 0),
		     .port = 2 },
	[FI_EPA] = { .kind = MOCK_PCI_ENDPOINT, .up = FI_RPA },
	[FI_EPB] = { .kind = MOCK_PCI_ENDPOINT, .up = FI_RPB },
};

#define GONE(_row)	{ .row = (_row), .gone = true }
#define FI_THROUGH	THROUGH(4, HOST, HOST, LISTED)
#define FI_REFUSED	REFUSED(4, HOST, HOST, UNLISTED)

static const struct route_case first_cases[] = {
	{ .name = "00.0 is known, whatever it is", PAIR(FI_EPA, FI_EPB),
	  .tweaks = { IS(FI_D00, LISTED) }, .there = FI_THROUGH,
	  .back = FI_THROUGH },
	{ .name = "00.0 is unknown, the others are known", PAIR(FI_EPA, FI_EPB),
	  .tweaks = { IS(FI_D01, LISTED), IS(FI_RPA, LISTED),
		      IS(FI_RPB, LISTED) },
	  .there = FI_REFUSED, .back = FI_REFUSED },
	{ .name = "no 00.0, an endpoint is first and known",
	  PAIR(FI_EPA, FI_EPB),
	  .tweaks = { GONE(FI_D00), IS(FI_D01, LISTED), IS(FI_RPA, LISTED) },
	  .there = FI_REFUSED, .back = FI_REFUSED },
	{ .name = "no 00.0, a conventional bridge is first and known",
	  PAIR(FI_EPA, FI_EPB),
	  .tweaks = { GONE(FI_D00), GONE(FI_D01), IS(FI_CB1, LISTED) },
	  .there = FI_REFUSED, .back = FI_REFUSED },
	{ .name = "no 00.0, a root port is first and known",
	  PAIR(FI_EPA, FI_EPB),
	  .tweaks = { GONE(FI_D00), GONE(FI_D01), GONE(FI_CB1),
		      IS(FI_RPA, LISTED) },
	  .there = FI_THROUGH, .back = FI_THROUGH },
	{ .name = "no 00.0, a root port is first, the second is known",
	  PAIR(FI_EPA, FI_EPB),
	  .tweaks = { GONE(FI_D00), GONE(FI_D01), GONE(FI_CB1),
		      IS(FI_RPB, LISTED) },
	  .there = FI_REFUSED, .back = FI_REFUSED },
};

KUNIT_ARRAY_PARAM_DESC(first, first_cases, name);

static void route_by_first_device(struct kunit *test)
{
	walk(test, first_rows, FI_NR);
}

/* Host bridges as described by the vendors, and neighbouring device IDs. */
struct host_case {
	const char *name;
	u16 vendor;
	u16 device;
	enum p2pdma_capability capability;
};

#define INTEL	PCI_VENDOR_ID_INTEL
#define GOOGLE	0x1ae0
#define NVIDIA	PCI_VENDOR_ID_NVIDIA
#define ZHAOXIN	PCI_VENDOR_ID_ZHAOXIN

#define HOST_CASE(_vendor, _device, _capability) \
	{ #_vendor " " #_device, _vendor, _device, P2PDMA_##_capability }

static const struct host_case host_cases[] = {
	HOST_CASE(INTEL, 0x3c00, LISTED_SAME),
	HOST_CASE(INTEL, 0x3c01, LISTED_SAME),
	HOST_CASE(INTEL, 0x3c02, UNLISTED),
	HOST_CASE(INTEL, 0x2f00, LISTED_SAME),
	HOST_CASE(INTEL, 0x2f01, LISTED_SAME),
	HOST_CASE(INTEL, 0x2f02, UNLISTED),
	HOST_CASE(INTEL, 0x2020, LISTED),
	HOST_CASE(INTEL, 0x2021, UNLISTED),
	HOST_CASE(INTEL, 0x2030, LISTED),
	HOST_CASE(INTEL, 0x2031, LISTED),
	HOST_CASE(INTEL, 0x2032, LISTED),
	HOST_CASE(INTEL, 0x2033, LISTED),
	HOST_CASE(INTEL, 0x2034, UNLISTED),
	HOST_CASE(INTEL, 0x09a2, LISTED),
	HOST_CASE(INTEL, 0x1003, UNLISTED),
	HOST_CASE(GOOGLE, 0x0001, LISTED),
	HOST_CASE(GOOGLE, 0xfffe, LISTED),
	HOST_CASE(NVIDIA, 0x2f94, UNLISTED),
	HOST_CASE(NVIDIA, 0x2f95, LISTED),
	HOST_CASE(NVIDIA, 0x2f96, LISTED),
	HOST_CASE(NVIDIA, 0x2f97, LISTED),
	HOST_CASE(NVIDIA, 0x2f98, LISTED),
	HOST_CASE(NVIDIA, 0x2f99, UNLISTED),
	HOST_CASE(ZHAOXIN, 0x1003, LISTED_SAME),
	HOST_CASE(ZHAOXIN, 0x1004, UNLISTED),
	HOST_CASE(ZHAOXIN, 0x1005, LISTED_SAME),
	HOST_CASE(ZHAOXIN, 0x1006, LISTED_SAME),
	HOST_CASE(ZHAOXIN, 0x1007, LISTED_SAME),
	HOST_CASE(ZHAOXIN, 0x1008, LISTED),
	HOST_CASE(ZHAOXIN, 0x2030, UNLISTED),
};

KUNIT_ARRAY_PARAM_DESC(host, host_cases, name);

static void host_is_known(struct kunit *test)
{
	const struct host_case *c = test->param_value;
	const struct mock_pci_row rows[] = {
		[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
		{ .kind = MOCK_PCI_DEVICE_CONV, .vendor = c->vendor,
		  .device = c->device, .class = PCI_CLASS_BRIDGE_HOST << 8 },
	};
	struct mock_pci *mock = mock_pci_add(test, rows, ARRAY_SIZE(rows));
	struct pci_host_bridge *host = mock_pci_host(mock, HOST);

	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_does_not_route);
	KUNIT_EXPECT_EQ(test, p2pdma_host_capability(host), c->capability);
	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_routes);
	KUNIT_EXPECT_EQ(test, p2pdma_host_capability(host), P2PDMA_CPU);
}

/* On a root bus without devices, nothing identifies the host bridge. */
static void host_without_devices(struct kunit *test)
{
	const struct mock_pci_row rows[] = {
		[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	};
	struct mock_pci *mock = mock_pci_add(test, rows, ARRAY_SIZE(rows));

	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_does_not_route);
	KUNIT_EXPECT_EQ(test,
			p2pdma_host_identity(mock_pci_host(mock, HOST)), 0);
	KUNIT_EXPECT_EQ(test, p2pdma_host_capability(mock_pci_host(mock, HOST)),
			P2PDMA_UNLISTED);
}

/*
 * Without 00.0 an endpoint is first and identifies nothing. An entry
 * vendor:device cannot name the host bridge, an entry domain:bus can.
 */
static void host_without_identity(struct kunit *test)
{
	struct mock_pci_row *rows = mock_pci_copy(test, first_rows, FI_NR);
	struct mock_pci *mock;
	struct device *host;

	rows[FI_D00].kind = MOCK_PCI_NONE;
	mock = mock_pci_add(test, rows, FI_NR);
	host = &mock_pci_host(mock, HOST)->dev;
	KUNIT_EXPECT_EQ(test,
			p2pdma_host_identity(mock_pci_host(mock, HOST)), 0);
	KUNIT_EXPECT_FALSE(test, p2pdma_listed_in("0000:0000", host));
	KUNIT_EXPECT_TRUE(test, p2pdma_listed_in("0000:0000,0001:00", host));
}

#ifdef CONFIG_X86
static bool is_zen(void)
{
	return boot_cpu_data.x86_vendor == X86_VENDOR_AMD &&
	       boot_cpu_data.x86 >= 0x17;
}
#else
static bool is_zen(void)
{
	return false;
}
#endif

/* Only AMD processors since family 0x17 are known to route. */
static void host_by_cpu(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, p2pdma_cpu_routes(), is_zen());
}

/*
 * Many ports:
 *
 *	                host bridge - RP - USP
 *	                           ________|________
 *	                          |                 |
 *	                        DSP-A             DSP-B
 *	                          |                 |
 *	                 9 x (USP, DSP)    9 x (USP, DSP)
 *	                          |                 |
 *	                CLIENT, NEIGHBOUR        PROVIDER
 *	              (functions of one device)
 *
 * All 40 ports have redirects on and Upstream Forwarding off.
 */
#define CHAIN_SWITCHES	9
#define CHAIN_NR	(8 + 4 * CHAIN_SWITCHES)

enum { CH_RP = 1, CH_USP, CH_DSP_A };

static unsigned int chain_side(struct mock_pci_row *rows, unsigned int n,
			       u8 device, const struct mock_pci_acs *acs)
{
	unsigned int i;

	rows[n] = (struct mock_pci_row) {
		.kind = MOCK_PCI_DOWNSTREAM, .up = CH_USP,
		.devfn = PCI_DEVFN(device, 0),
		.port = device, .acs = *acs,
	};
	for (i = 0; i < 2 * CHAIN_SWITCHES; i++, n++)
		rows[n + 1] = (struct mock_pci_row) {
			.kind = i % 2 ? MOCK_PCI_DOWNSTREAM : MOCK_PCI_UPSTREAM,
			.up = n,
			.acs = *acs,
		};
	rows[n + 1] = (struct mock_pci_row) { .kind = MOCK_PCI_ENDPOINT,
					      .up = n, .acs = *acs };
	return n + 1;
}

static void route_past_many_ports(struct kunit *test)
{
	const struct mock_pci_acs acs = MOCK_PCI_ACS(RR | CR);
	struct visited across = { .visitor.visit = visit };
	struct visited within = { .visitor.visit = visit };
	struct pci_dev *client, *neighbour, *provider;
	unsigned int client_row, provider_row;
	struct p2pdma_route route;
	struct mock_pci_row *rows;
	struct mock_pci *mock;

	rows = kunit_kcalloc(test, CHAIN_NR, sizeof(*rows), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, rows);
	rows[HOST] = (struct mock_pci_row) { .kind = MOCK_PCI_HOST,
					     .domain = 1 };
	rows[CH_RP] = (struct mock_pci_row) { .kind = MOCK_PCI_ROOT_PORT,
					      .acs = acs };
	rows[CH_USP] = (struct mock_pci_row) { .kind = MOCK_PCI_UPSTREAM,
					       .up = CH_RP, .acs = acs };
	client_row = chain_side(rows, CH_DSP_A, 0, &acs);
	rows[client_row + 1] = rows[client_row];
	rows[client_row + 1].devfn = PCI_DEVFN(0, 1);
	provider_row = chain_side(rows, client_row + 2, 1, &acs);
	KUNIT_ASSERT_EQ(test, provider_row + 1, CHAIN_NR);
	mock = mock_pci_add(test, rows, CHAIN_NR);
	client = mock_pci_dev(mock, client_row);
	neighbour = mock_pci_dev(mock, client_row + 1);
	provider = mock_pci_dev(mock, provider_row);

	/*
	 * DSP-A and DSP-B redirect, RP does not forward, no other port counts.
	 */
	p2pdma_route(provider, client, &route, &across.visitor);
	KUNIT_EXPECT_EQ(test, route.reason, P2PDMA_REASON_NO_FORWARDING);
	KUNIT_EXPECT_EQ(test, route.distance, 2 * (2 * CHAIN_SWITCHES + 2));
	KUNIT_EXPECT_EQ(test, across.nr, 3);

	/* Both functions redirect, and no port above forwards. */
	p2pdma_route(neighbour, client, &route, &within.visitor);
	KUNIT_EXPECT_EQ(test, route.reason, P2PDMA_REASON_NO_FORWARDING);
	KUNIT_EXPECT_EQ(test, route.distance, 2);
	KUNIT_EXPECT_EQ(test, within.nr, 2 + CHAIN_SWITCHES + 2);

	/* The names of the redirecting ports fit the buffer; KASAN checks. */
	KUNIT_EXPECT_LT(test,
			pci_p2pdma_distance(provider, &client->dev, true), 0);
	KUNIT_EXPECT_LT(test,
			pci_p2pdma_distance(neighbour, &client->dev, true), 0);
}

static void distance_sums_up(struct kunit *test)
{
	struct mock_pci *mock = mock_pci_add(test, switch_rows, SW_NR);
	struct pci_dev *provider = mock_pci_dev(mock, SW_EP1);
	struct device *clients[] = {
		&mock_pci_dev(mock, SW_EP0)->dev,
		&mock_pci_dev(mock, SW_EP2)->dev,
		&provider->dev, &mock_pci_dev(mock, SW_EP3)->dev,
	};

	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_does_not_route);
	KUNIT_EXPECT_EQ(test,
			pci_p2pdma_distance(provider, clients[0], true), 4);
	KUNIT_EXPECT_EQ(test,
			pci_p2pdma_distance(provider, clients[2], true), 0);
	KUNIT_EXPECT_EQ(test,
			pci_p2pdma_distance_many(provider, clients, 3, true),
			8);
	KUNIT_EXPECT_LT(test,
			pci_p2pdma_distance_many(provider, clients, 0, true),
			0);
	KUNIT_EXPECT_LT(test,
			pci_p2pdma_distance_many(provider, clients, 4, true),
			0);
	KUNIT_EXPECT_LT(test,
			pci_p2pdma_distance_many(provider, clients, 4, false),
			0);

	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_routes);
	KUNIT_EXPECT_EQ(test,
			pci_p2pdma_distance_many(provider, clients, 4, true),
			14);
}

/* A child of a PCI function, however deep, is as far away as the function. */
static void distance_of_children(struct kunit *test)
{
	struct mock_pci *mock = mock_pci_add(test, switch_rows, SW_NR);
	struct pci_dev *provider = mock_pci_dev(mock, SW_EP1);
	struct pci_dev *client = mock_pci_dev(mock, SW_EP0);
	struct device *child = mock_pci_add_child(test, &client->dev,
						  "mock-child");
	struct device *grandchild = mock_pci_add_child(test, child,
						       "mock-grandchild");
	struct device *stranger = mock_pci_add_child(test, NULL,
						     "mock-stranger");
	struct device *both[] = { &client->dev, stranger };

	KUNIT_EXPECT_EQ(test, pci_p2pdma_distance(provider, child, true), 4);
	KUNIT_EXPECT_EQ(test,
			pci_p2pdma_distance(provider, grandchild, true), 4);
	KUNIT_EXPECT_LT(test, pci_p2pdma_distance(provider, stranger, true), 0);
	KUNIT_EXPECT_LT(test,
			pci_p2pdma_distance_many(provider, both, 2, true), 0);
}

static struct kunit_case p2pdma_route_cases[] = {
	KUNIT_CASE_PARAM(route_in_switch, switch_gen_params),
	KUNIT_CASE_PARAM(route_by_policy, policy_gen_params),
	KUNIT_CASE_PARAM(route_with_iommu, iommu_gen_params),
	KUNIT_CASE_PARAM(route_past_quirks, quirk_gen_params),
	KUNIT_CASE_PARAM(route_of_translated_requests, translated_gen_params),
	KUNIT_CASE_PARAM(route_in_nested_switches, nested_gen_params),
	KUNIT_CASE_PARAM(route_between_functions, function_gen_params),
	KUNIT_CASE_PARAM(route_of_virtual_functions, sriov_gen_params),
	KUNIT_CASE_PARAM(route_in_conventional_pci, conventional_gen_params),
	KUNIT_CASE_PARAM(route_between_host_bridges, two_host_gen_params),
	KUNIT_CASE_PARAM(route_by_first_device, first_gen_params),
	KUNIT_CASE_PARAM(host_is_known, host_gen_params),
	KUNIT_CASE(host_without_devices),
	KUNIT_CASE(host_without_identity),
	KUNIT_CASE(host_by_cpu),
	KUNIT_CASE(route_past_many_ports),
	KUNIT_CASE(distance_sums_up),
	KUNIT_CASE(distance_of_children),
	{}
};

static struct kunit_suite p2pdma_route_suite = {
	.name = "p2pdma_route",
	.test_cases = p2pdma_route_cases,
};

kunit_test_suite(p2pdma_route_suite);
