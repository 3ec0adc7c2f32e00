/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A world for p2pdma-route.c: structures as in the kernel, made from a table.
 */
#ifndef P2PDMA_ROUTE_WORLD_H
#define P2PDMA_ROUTE_WORLD_H

#include <linux/pci.h>

#include "../../../../../drivers/pci/tests/p2pdma_model.h"

/**
 * struct world - a hierarchy as the kernel sees it
 * @model: the table
 * @resources: resources of the windows, four for each host bridge
 * @windows: windows, four for each host bridge
 * @hosts: host bridges
 * @roots: root buses
 * @below: bus below each function
 * @beside: bus for virtual functions that do not fit on @below
 * @dev: functions
 */
struct world {
	const struct p2pdma_model *model;
	struct resource resources[P2PDMA_MODEL_HOSTS][4];
	struct resource_entry windows[P2PDMA_MODEL_HOSTS][4];
	struct pci_host_bridge hosts[P2PDMA_MODEL_HOSTS];
	struct pci_bus roots[P2PDMA_MODEL_HOSTS];
	struct pci_bus below[P2PDMA_MODEL_FUNCTIONS];
	struct pci_bus beside[P2PDMA_MODEL_FUNCTIONS];
	struct pci_dev dev[P2PDMA_MODEL_FUNCTIONS];
};

void world_build(struct world *world, const struct p2pdma_model *model);
bool world_route(struct world *world, int provider, int client,
		 struct p2pdma_model_verdict *verdict);

#endif /* P2PDMA_ROUTE_WORLD_H */
