/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI peer-to-peer DMA: tracepoints
 *
 * The file name is also the value of TRACE_INCLUDE_FILE, hence the underscore.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM p2pdma

#if !defined(_PCI_P2PDMA_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _PCI_P2PDMA_TRACE_H

#include <linux/pci.h>
#include <linux/tracepoint.h>

#include "p2pdma-route.h"

TRACE_EVENT(p2pdma_route,
	    TP_PROTO(struct pci_dev *provider, struct pci_dev *client,
		     const struct p2pdma_route *route),
	    TP_ARGS(provider, client, route),
	    TP_STRUCT__entry(__string(provider, pci_name(provider))
			     __string(client, pci_name(client))
			     __string(verdict, p2pdma_verdict_word(route))
			     __string(reason, p2pdma_reason_word(route))
			     __field(int, distance)),
	    TP_fast_assign(__assign_str(provider);
			   __assign_str(client);
			   __assign_str(verdict);
			   __assign_str(reason);
			   __entry->distance = route->distance;),
	    TP_printk("provider=%s client=%s verdict=%s reason=%s distance=%d",
		      __get_str(provider), __get_str(client),
		      __get_str(verdict), __get_str(reason), __entry->distance)
);

TRACE_EVENT(p2pdma_policy,
	    TP_PROTO(struct device *bridge, const char *policy),
	    TP_ARGS(bridge, policy),
	    TP_STRUCT__entry(__string(bridge, dev_name(bridge))
			     __string(policy, policy)),
	    TP_fast_assign(__assign_str(bridge);
			   __assign_str(policy);),
	    TP_printk("bridge=%s policy=%s", __get_str(bridge),
		      __get_str(policy))
);

TRACE_EVENT(p2pdma_map,
	    TP_PROTO(struct pci_dev *provider, struct pci_dev *client,
		     enum pci_p2pdma_map_type type),
	    TP_ARGS(provider, client, type),
	    TP_STRUCT__entry(__string(provider, pci_name(provider))
			     __string(client, client ? pci_name(client) : "-")
			     __field(int, type)),
	    TP_fast_assign(__assign_str(provider);
			   __assign_str(client);
			   __entry->type = type;),
	    TP_printk("provider=%s client=%s verdict=%s",
		      __get_str(provider), __get_str(client),
		      __print_symbolic(__entry->type,
				       { PCI_P2PDMA_MAP_NOT_SUPPORTED,
					 "none" },
				       { PCI_P2PDMA_MAP_BUS_ADDR, "direct" },
				       { PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
					 "host-bridge" }))
);

DECLARE_EVENT_CLASS(p2pmem_memory,
		    TP_PROTO(struct pci_dev *provider, const void *addr,
			     size_t size),
		    TP_ARGS(provider, addr, size),
		    TP_STRUCT__entry(__string(provider, pci_name(provider))
				     __field(const void *, addr)
				     __field(size_t, size)),
		    TP_fast_assign(__assign_str(provider);
				   __entry->addr = addr;
				   __entry->size = size;),
		    TP_printk("provider=%s addr=%p size=%zu",
			      __get_str(provider), __entry->addr, __entry->size)
);

DEFINE_EVENT(p2pmem_memory, p2pmem_alloc,
	     TP_PROTO(struct pci_dev *provider, const void *addr, size_t size),
	     TP_ARGS(provider, addr, size)
);

DEFINE_EVENT(p2pmem_memory, p2pmem_free,
	     TP_PROTO(struct pci_dev *provider, const void *addr, size_t size),
	     TP_ARGS(provider, addr, size)
);

TRACE_EVENT(p2pmem_alloc_failed,
	    TP_PROTO(struct pci_dev *provider, size_t size),
	    TP_ARGS(provider, size),
	    TP_STRUCT__entry(__string(provider, pci_name(provider))
			     __field(size_t, size)),
	    TP_fast_assign(__assign_str(provider);
			   __entry->size = size;),
	    TP_printk("provider=%s size=%zu", __get_str(provider),
		      __entry->size)
);

#endif /* _PCI_P2PDMA_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE p2pdma_trace
#include <trace/define_trace.h>
