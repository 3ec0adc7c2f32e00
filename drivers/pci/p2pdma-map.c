// SPDX-License-Identifier: GPL-2.0
/*
 * DMA mapping of PCI peer memory
 */

/**
 * DOC: DMA mapping
 *
 * dma_map_sg() calls pci_p2pdma_map_segment() for every entry with peer memory:
 *
 * 1. The first entry of a region looks the verdict of the client up in the
 *    cache of the provider. Without an entry, p2pdma_route() decides.
 * 2. The counter of the verdict goes up, once for each region of a list.
 * 3. With the verdict "direct", the entry gets the bus address. With
 *    "host-bridge", the caller maps the entry like system memory. With "none",
 *    the caller gives up the whole list.
 *
 * Unmapping does not look at routes, and a change of the verdict does not undo
 * a mapping. An entry owns allocated pages, so the provider stays.
 */
#include <linux/dma-map-ops.h>
#include <linux/jiffies.h>
#include <linux/pci.h>

#include "p2pdma-private.h"
#include "p2pdma_trace.h"

/**
 * p2pdma_client_function - find the function that masters DMA for a device
 * @client: a PCI function, or any device below one
 *
 * Context: Any. The caller holds @client, and @client holds the parents.
 * Return: the nearest PCI function from @client upwards, or NULL; no reference.
 */
struct pci_dev *p2pdma_client_function(struct device *client)
{
	for (; client; client = client->parent)
		if (dev_is_pci(client))
			return to_pci_dev(client);
	return NULL;
}

/**
 * p2pdma_map_type - type of a route, from the cache if possible
 * @p2pdma: state of the provider
 * @client: function that masters DMA, or NULL
 *
 * Context: Any. The caller keeps the provider bound, and holds @client.
 * Return: the type; PCI_P2PDMA_MAP_NOT_SUPPORTED without a client.
 */
enum pci_p2pdma_map_type p2pdma_map_type(struct pci_p2pdma *p2pdma,
					 struct pci_dev *client)
{
	u64 generation = atomic64_read_acquire(&p2pdma_generation);
	struct p2pdma_cache_entry decision = {
		.client = client,
		.decided = jiffies,
	};
	struct p2pdma_route route;

	if (!client)
		return PCI_P2PDMA_MAP_NOT_SUPPORTED;
	decision.type = p2pdma_cache_look_up(&p2pdma->cache, client,
					     generation);
	if (decision.type != PCI_P2PDMA_MAP_UNKNOWN)
		return decision.type;

	p2pdma_route(p2pdma->pdev, client, &route, NULL);
	trace_p2pdma_route(p2pdma->pdev, client, &route);
	decision.type = route.type;
	if (route.reason != P2PDMA_REASON_UNREADABLE)
		p2pdma_cache_store(&p2pdma->cache, &decision, generation);
	return route.type;
}

/* The next entries of the scatterlist are in this region. */
static __always_inline void p2pdma_enter(struct pci_p2pdma_map_state *state,
					 struct p2pdma_region *region,
					 enum pci_p2pdma_map_type type)
{
	struct p2pdma_counters __percpu *counters = region->p2pdma->counters;

	if (type == PCI_P2PDMA_MAP_BUS_ADDR)
		this_cpu_inc(counters->mapped_bus);
	else if (type == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE)
		this_cpu_inc(counters->mapped_host);
	else
		this_cpu_inc(counters->map_refused);
	state->pgmap = &region->pgmap;
	state->map = type;
	state->bus_off = region->bus_offset;
}

/* Fast path: @dev is the PCI function itself and the route is cached. */
static __always_inline bool
p2pdma_enter_known(struct pci_p2pdma_map_state *state, struct device *dev,
		   struct p2pdma_region *region)
{
	u64 generation = atomic64_read_acquire(&p2pdma_generation);
	enum pci_p2pdma_map_type type;

	if (!dev_is_pci(dev) || trace_p2pdma_map_enabled())
		return false;
	type = p2pdma_cache_look_up(&region->p2pdma->cache, to_pci_dev(dev),
				    generation);
	if (type == PCI_P2PDMA_MAP_UNKNOWN)
		return false;
	p2pdma_enter(state, region, type);
	return true;
}

static __always_inline enum pci_p2pdma_map_type
p2pdma_map_entry(const struct pci_p2pdma_map_state *state,
		 struct scatterlist *sg)
{
	if (state->map == PCI_P2PDMA_MAP_BUS_ADDR) {
		sg->dma_address = sg_phys(sg) + state->bus_off;
		sg_dma_len(sg) = sg->length;
		sg_dma_mark_bus_address(sg);
	}
	return state->map;
}

static noinline enum pci_p2pdma_map_type
p2pdma_map_slowly(struct pci_p2pdma_map_state *state, struct device *dev,
		  struct scatterlist *sg)
{
	struct p2pdma_region *region = p2pdma_region_of(sg_page(sg)->pgmap);
	struct pci_dev *client = p2pdma_client_function(dev);
	enum pci_p2pdma_map_type type;

	type = p2pdma_map_type(region->p2pdma, client);
	trace_p2pdma_map(region->p2pdma->pdev, client, type);
	p2pdma_enter(state, region, type);
	return p2pdma_map_entry(state, sg);
}

/**
 * pci_p2pdma_map_segment - map an entry of a scatterlist with peer memory
 * @state: zeroed before the first entry of a list
 * @dev: device to master DMA; a PCI function or any child of a function
 * @sg: the entry
 *
 * For dma_map_sg() implementations. A run of entries in a region costs a single
 * look-up.
 *
 * Context: Any. @sg's pages are allocated peer memory, so the provider stays.
 * Return: %PCI_P2PDMA_MAP_BUS_ADDR if @sg has been mapped by its bus address,
 * %PCI_P2PDMA_MAP_THRU_HOST_BRIDGE if the caller has to map @sg like system
 * memory, %PCI_P2PDMA_MAP_NOT_SUPPORTED if @dev must not access @sg.
 */
enum pci_p2pdma_map_type
pci_p2pdma_map_segment(struct pci_p2pdma_map_state *state, struct device *dev,
		       struct scatterlist *sg)
{
	struct dev_pagemap *pgmap = sg_page(sg)->pgmap;

	/* Out of line, so that the fast path spills no registers. */
	if (state->pgmap != pgmap &&
	    !p2pdma_enter_known(state, dev, p2pdma_region_of(pgmap)))
		return p2pdma_map_slowly(state, dev, sg);
	return p2pdma_map_entry(state, sg);
}
