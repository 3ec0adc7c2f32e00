/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LINUX_DMA_MAP_OPS_H
#define _SHIM_LINUX_DMA_MAP_OPS_H

/**
 * enum pci_p2pdma_map_type - how DMA between two functions has to be mapped
 * @PCI_P2PDMA_MAP_UNKNOWN: not decided
 * @PCI_P2PDMA_MAP_NOT_SUPPORTED: not at all
 * @PCI_P2PDMA_MAP_BUS_ADDR: by bus address
 * @PCI_P2PDMA_MAP_THRU_HOST_BRIDGE: like system memory
 */
enum pci_p2pdma_map_type {
	PCI_P2PDMA_MAP_UNKNOWN,
	PCI_P2PDMA_MAP_NOT_SUPPORTED,
	PCI_P2PDMA_MAP_BUS_ADDR,
	PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
};

#endif /* _SHIM_LINUX_DMA_MAP_OPS_H */
