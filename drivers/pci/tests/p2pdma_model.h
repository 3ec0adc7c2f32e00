/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An independent model of the route rules, to check p2pdma-route.c against.
 *
 * A hierarchy is a plain table here: no struct pci_dev, no configuration space. The model sends
 * a memory request from the client towards the provider, and a completion back, and follows each
 * from port to port by the words of the specification. It is slow, keeps nothing and shares no
 * code with what it checks; only the words of the answer are the same, so that answers compare.
 *
 * Everything here compiles in the kernel, for KUnit, and in user space. One seed gives the same
 * random hierarchy in both.
 */
#ifndef _P2PDMA_MODEL_H
#define _P2PDMA_MODEL_H

#include <linux/types.h>

#include "../p2pdma-route.h"

#define P2PDMA_MODEL_HOSTS	3
#define P2PDMA_MODEL_FUNCTIONS	64

/* In place of an index: there is none. */
#define P2PDMA_MODEL_NONE	(-1)

/**
 * enum p2pdma_model_kind - what a function is
 * @P2PDMA_MODEL_ROOT_PORT: root port
 * @P2PDMA_MODEL_UPSTREAM: upstream port of a switch
 * @P2PDMA_MODEL_DOWNSTREAM: downstream port of a switch
 * @P2PDMA_MODEL_PCIE_TO_PCI: bridge from PCIe to conventional PCI
 * @P2PDMA_MODEL_BRIDGE: conventional PCI-to-PCI bridge
 * @P2PDMA_MODEL_ENDPOINT: PCIe endpoint
 * @P2PDMA_MODEL_RCIEP: root complex integrated endpoint
 * @P2PDMA_MODEL_CONV: conventional PCI device
 */
enum p2pdma_model_kind {
	P2PDMA_MODEL_ROOT_PORT,
	P2PDMA_MODEL_UPSTREAM,
	P2PDMA_MODEL_DOWNSTREAM,
	P2PDMA_MODEL_PCIE_TO_PCI,
	P2PDMA_MODEL_BRIDGE,
	P2PDMA_MODEL_ENDPOINT,
	P2PDMA_MODEL_RCIEP,
	P2PDMA_MODEL_CONV,
};

/**
 * struct p2pdma_model_acs - access control (PCIe r6.0, sec 7.7.11)
 * @present: the function has the capability
 * @cap: PCI_ACS_* bits that the function implements
 * @ctrl: PCI_ACS_* bits that are on
 * @bits: size of the egress control vector, 1 to 256; 0 for none
 * @vector: the egress control vector, lowest bit first
 */
struct p2pdma_model_acs {
	bool present;
	u8 cap;
	u8 ctrl;
	u16 bits;
	u64 vector[4];
};

/**
 * struct p2pdma_model_function - a function of a hierarchy
 * @kind: what it is
 * @host: index of its host bridge
 * @up: index of the bridge above it, P2PDMA_MODEL_NONE on a root bus
 * @pf: index of its physical function, P2PDMA_MODEL_NONE if it is not a virtual function
 * @number: routing ID, less that of the first function on the bus that it is connected to;
 *	beyond 255 for a virtual function that has a bus number of its own
 * @vendor: vendor ID, 0 for one that nobody knows
 * @device: device ID
 * @port: port number of a root port or a downstream port
 * @acs: access control
 * @ari: has the ARI capability
 * @groups: with @ari, in function 0: egress control counts function groups
 * @group: function group
 * @unreadable: all reads give ones
 * @ats: sends translated requests
 * @iommu: an IOMMU translates untranslated requests
 * @mask: number of address bits that the function emits
 * @top: number of address bits of the function's memory
 * @nr_vfs: virtual functions that it has; they stand behind it in the table
 * @vf_offset: routing ID of the first of them, less its own
 * @policy: of a bridge
 */
struct p2pdma_model_function {
	enum p2pdma_model_kind kind;
	int host;
	int up;
	int pf;
	u16 number;
	u16 vendor;
	u16 device;
	u8 port;
	struct p2pdma_model_acs acs;
	bool ari;
	bool groups;
	u8 group;
	bool unreadable;
	bool ats;
	bool iommu;
	u8 mask;
	u8 top;
	u8 nr_vfs;
	u16 vf_offset;
	enum p2pdma_policy policy;
};

/**
 * struct p2pdma_model_host - a host bridge
 * @offset: CPU address less bus address in one of its memory windows; 0 in the others
 * @io_offset: likewise in its I/O window
 * @policy: what the administrator decided
 */
struct p2pdma_model_host {
	s64 offset;
	s64 io_offset;
	enum p2pdma_policy policy;
};

/**
 * struct p2pdma_model - a hierarchy
 * @cpu_routes: the processor is known to route
 * @nr_hosts: host bridges
 * @nr: functions
 * @hosts: host bridges
 * @fn: functions; a bridge stands before what is below it
 */
struct p2pdma_model {
	bool cpu_routes;
	int nr_hosts;
	int nr;
	struct p2pdma_model_host hosts[P2PDMA_MODEL_HOSTS];
	struct p2pdma_model_function fn[P2PDMA_MODEL_FUNCTIONS];
};

/**
 * struct p2pdma_model_verdict - a route, as far as it is compared
 * @type: how DMA has to be mapped
 * @reason: why
 * @redirected: access control sends requests or completions up to the host bridge
 * @translated: requests go to the host bridge with addresses for an IOMMU
 * @distance: hops
 * @parent: index of the bridge at which the paths meet, P2PDMA_MODEL_NONE for the host bridge
 * @host: index of the host bridge that decided, P2PDMA_MODEL_NONE where none had to
 * @effects: by function: one bit for each enum p2pdma_port_effect
 */
struct p2pdma_model_verdict {
	enum pci_p2pdma_map_type type;
	enum p2pdma_reason reason;
	bool redirected;
	bool translated;
	int distance;
	int parent;
	int host;
	u8 effects[P2PDMA_MODEL_FUNCTIONS];
};

/* ---- p2pdma_model.c: the rules ------------------------------------------------------------ */

bool p2pdma_model_is_bridge(const struct p2pdma_model *model, int fn);
bool p2pdma_model_is_wide(const struct p2pdma_model_function *fn);
enum p2pdma_capability p2pdma_model_capability(const struct p2pdma_model *model, int host);
void p2pdma_model_route(const struct p2pdma_model *model, int provider, int client,
			struct p2pdma_model_verdict *verdict);

/* ---- p2pdma_model_random.c: random hierarchies, and pictures of them ---------------------- */

/**
 * struct p2pdma_model_limits - how large and how strange a random hierarchy may be
 * @functions: at most so many
 * @depth: at most so many switches or conventional bridges above one another
 * @mock: only what mock_pci can build
 */
struct p2pdma_model_limits {
	int functions;
	int depth;
	bool mock;
};

/**
 * struct p2pdma_model_printer - where a picture goes
 * @line: prints one line, which comes without its end
 */
struct p2pdma_model_printer {
	void (*line)(struct p2pdma_model_printer *self, const char *text);
};

/* What the KUnit suite builds: small, because the PCI core enumerates each of them. */
#define P2PDMA_MODEL_MOCK_LIMITS	{ .functions = 16, .depth = 2, .mock = true }

u64 p2pdma_model_seed(u64 seed, u64 nr);
void p2pdma_model_random(struct p2pdma_model *model, u64 seed,
			 const struct p2pdma_model_limits *limits);
void p2pdma_model_shake(struct p2pdma_model *model, u64 seed);
void p2pdma_model_draw(const struct p2pdma_model *model, struct p2pdma_model_printer *printer);
void p2pdma_model_print_verdict(const struct p2pdma_model *model, const char *name,
				const struct p2pdma_model_verdict *verdict,
				struct p2pdma_model_printer *printer);
bool p2pdma_model_agree(const struct p2pdma_model *model, const struct p2pdma_model_verdict *a,
			const struct p2pdma_model_verdict *b);

#endif /* _P2PDMA_MODEL_H */
