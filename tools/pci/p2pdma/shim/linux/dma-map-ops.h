/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LINUX_DMA_MAP_OPS_H
#define _SHIM_LINUX_DMA_MAP_OPS_H

/**
 * enum pci_p2pdma_map_type - how to map DMA between two functions
 * @PCI_P2PDMA_MAP_UNKNOWN: not decided
 * @PCI_P2PDMA_MAP_NOT_SUPPORTED: DMA is not possible
 * @PCI_P2PDMA_MAP_BUS_ADDR: map with PCI bus addresses
 * @PCI_P2PDMA_MAP_THRU_HOST_BRIDGE: map like system memory
 */
enum pci_p2pdma_map_type {
	PCI_P2PDMA_MAP_UNKNOWN,
	PCI_P2PDMA_MAP_NOT_SUPPORTED,
	PCI_P2PDMA_MAP_BUS_ADDR,
	PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
};

#endif /* _SHIM_LINUX_DMA_MAP_OPS_H */
