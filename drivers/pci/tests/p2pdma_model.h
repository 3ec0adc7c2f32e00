/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An independent model of the route rules, to check p2pdma-route.c against.
 *
 * A hierarchy is a plain table here: no struct pci_dev, no configuration space.
 * The model sends a memory request from the client towards the provider and a
 * completion back, and follows both from port to port by the words of the
 * specification. The model is slow, has no state and shares no code with
 * p2pdma-route.c. Shared are the types of a verdict, to compare verdicts.
 *
 * The model compiles in the kernel, for KUnit, and in user space. A seed gives
 * the same random hierarchy in both.
 */
#ifndef _P2PDMA_MODEL_H
#define _P2PDMA_MODEL_H

#include <linux/types.h>

#include "../p2pdma-route.h"

#define P2PDMA_MODEL_HOSTS	3
#define P2PDMA_MODEL_FUNCTIONS	64

/* Index of no function or host bridge. */
#define P2PDMA_MODEL_NONE	(-1)

/**
 * enum p2pdma_model_kind - kind of a function
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
 * @bits: size of the egress control vector, 1 to 256; 0 for no vector
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
 * @kind: kind of the function
 * @host: index of the host bridge
 * @up: index of the bridge above, P2PDMA_MODEL_NONE on a root bus
 * @pf: virtual function: index of the physical function; else P2PDMA_MODEL_NONE
 * @number: devfn; above 255 for a virtual function with a bus number of its
 *	own, counted from 00.0 on the physical function's bus
 * @vendor: vendor ID, 0 for a vendor without quirks and lists
 * @device: device ID
 * @port: port number of a root port or a downstream port
 * @acs: access control
 * @ari: the function has the ARI capability
 * @groups: with @ari, in function 0: egress control counts function groups
 * @group: number of the function group
 * @unreadable: every read returns all ones
 * @ats: the function sends translated requests
 * @iommu: an IOMMU translates untranslated requests
 * @untrusted: with @iommu, all requests carry IOVAs
 * @mask: number of address bits that the function emits
 * @top: number of address bits of the function's memory
 * @nr_vfs: number of virtual functions, all later in the table
 * @vf_offset: routing ID of the first virtual function minus routing ID of the
 *	physical function
 * @policy: policy of a bridge
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
	bool untrusted;
	u8 mask;
	u8 top;
	u8 nr_vfs;
	u16 vf_offset;
	enum p2pdma_policy policy;
};

/**
 * struct p2pdma_model_host - a host bridge
 * @offset: CPU address minus bus address in a memory window; 0 in any further
 *	memory window
 * @io_offset: CPU address minus bus address in the I/O window
 * @policy: policy of the administrator
 */
struct p2pdma_model_host {
	s64 offset;
	s64 io_offset;
	enum p2pdma_policy policy;
};

/**
 * struct p2pdma_model - a hierarchy
 * @cpu_routes: the processor is known to route
 * @nr_hosts: number of host bridges
 * @nr: number of functions
 * @hosts: host bridges
 * @fn: functions; a bridge comes before the functions below
 */
struct p2pdma_model {
	bool cpu_routes;
	int nr_hosts;
	int nr;
	struct p2pdma_model_host hosts[P2PDMA_MODEL_HOSTS];
	struct p2pdma_model_function fn[P2PDMA_MODEL_FUNCTIONS];
};

/**
 * struct p2pdma_model_verdict - the compared parts of a route
 * @type: way to map DMA
 * @reason: reason of @type
 * @redirected: access control sends requests or completions up to the host
 *	bridge
 * @translated: requests go to the host bridge with addresses for an IOMMU
 * @distance: number of hops between provider and client
 * @parent: index of the bridge at which the paths meet, P2PDMA_MODEL_NONE for
 *	the host bridge
 * @host: index of the host bridge that decided, P2PDMA_MODEL_NONE if no host
 *	bridge was asked
 * @effects: by function: a bit for each enum p2pdma_port_effect
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

bool p2pdma_model_is_bridge(const struct p2pdma_model *model, int fn);
bool p2pdma_model_is_wide(const struct p2pdma_model_function *fn);
enum p2pdma_capability p2pdma_model_capability(const struct p2pdma_model *model,
					       int host);
void p2pdma_model_route(const struct p2pdma_model *model, int provider,
			int client, struct p2pdma_model_verdict *verdict);

/**
 * struct p2pdma_model_limits - limits of a random hierarchy
 * @functions: maximum number of functions
 * @depth: maximum number of nested switches or conventional bridges
 * @mock: the hierarchy must be possible with mock_pci
 */
struct p2pdma_model_limits {
	int functions;
	int depth;
	bool mock;
};

/**
 * struct p2pdma_model_printer - output of a drawing
 * @line: prints a line; @text has no newline
 */
struct p2pdma_model_printer {
	void (*line)(struct p2pdma_model_printer *self, const char *text);
};

/* Limits for the KUnit suite: small, because enumeration takes time. */
#define P2PDMA_MODEL_MOCK_LIMITS \
	{ .functions = 16, .depth = 2, .mock = true }

u64 p2pdma_model_seed(u64 seed, u64 nr);
void p2pdma_model_random(struct p2pdma_model *model, u64 seed,
			 const struct p2pdma_model_limits *limits);
void p2pdma_model_shake(struct p2pdma_model *model, u64 seed);
void p2pdma_model_draw(const struct p2pdma_model *model,
		       struct p2pdma_model_printer *printer);
void p2pdma_model_print_verdict(const struct p2pdma_model *model,
				const char *name,
				const struct p2pdma_model_verdict *verdict,
				struct p2pdma_model_printer *printer);
bool p2pdma_model_agree(const struct p2pdma_model *model,
			const struct p2pdma_model_verdict *a,
			const struct p2pdma_model_verdict *b);

#endif /* _P2PDMA_MODEL_H */
