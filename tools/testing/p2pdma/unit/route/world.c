// SPDX-License-Identifier: GPL-2.0
/*
 * A world for p2pdma-route.c: structures and configuration space made from a
 * table, and the functions of p2pdma-inputs.c.
 */

#include <stdlib.h>
#include <string.h>

#include "world.h"
#include "p2pdma-hosts.h"

/* Offsets; the first extended capability only links to the next. */
#define CFG_PCIE	0x40
#define CFG_EXT		PCI_CFG_SPACE_SIZE
#define CFG_ARI		0x148
#define CFG_ACS		0x150

#define EXT_HEADER(id, next)	((id) | 1 << 16 | (next) << 20)

static const u8 pcie_types[] = {
	[P2PDMA_MODEL_ROOT_PORT] = PCI_EXP_TYPE_ROOT_PORT,
	[P2PDMA_MODEL_UPSTREAM] = PCI_EXP_TYPE_UPSTREAM,
	[P2PDMA_MODEL_DOWNSTREAM] = PCI_EXP_TYPE_DOWNSTREAM,
	[P2PDMA_MODEL_PCIE_TO_PCI] = PCI_EXP_TYPE_PCI_BRIDGE,
	[P2PDMA_MODEL_ENDPOINT] = PCI_EXP_TYPE_ENDPOINT,
	[P2PDMA_MODEL_RCIEP] = PCI_EXP_TYPE_RC_END,
};

static int world_type(const struct pci_dev *dev)
{
	return pci_is_pcie(dev) ? pci_pcie_type(dev) : -1;
}

/* In the kernel, p2pdma-inputs.c has these functions. */

enum p2pdma_capability p2pdma_host_capability(struct pci_host_bridge *host)
{
	struct world *world = host->sysdata;
	const struct p2pdma_model *model = world->model;
	int i, nr = host - world->hosts;

	if (model->cpu_routes)
		return P2PDMA_CPU;
	for (i = 0; i < model->nr; i++)
		if (model->fn[i].host == nr)
			break;
	if (i == model->nr ||
	    !p2pdma_identifies_host(model->fn[i].number, world_type(&world->dev[i])))
		return P2PDMA_UNLISTED;
	return p2pdma_known_host(model->fn[i].vendor, model->fn[i].device);
}

u16 p2pdma_quirks(struct pci_dev *dev)
{
	const struct p2pdma_quirk *quirk;

	quirk = p2pdma_known_quirk(dev->vendor, dev->device, world_type(dev));
	return quirk && quirk->condition == P2PDMA_QUIRK_ALWAYS ? quirk->controls : 0;
}

static const struct p2pdma_model_function *world_function(struct pci_dev *dev)
{
	struct world *world = pci_find_host_bridge(dev->bus)->sysdata;

	return &world->model->fn[dev - world->dev];
}

bool p2pdma_client_translated(struct pci_dev *client)
{
	return world_function(client)->iommu;
}

bool p2pdma_client_untrusted(struct pci_dev *client)
{
	return world_function(client)->iommu && world_function(client)->untrusted;
}

bool p2pdma_client_reaches(struct pci_dev *client, struct pci_dev *provider)
{
	return world_function(client)->mask >= world_function(provider)->top;
}

enum p2pdma_policy p2pdma_policy(struct device *bridge)
{
	return *(const enum p2pdma_policy *)bridge->driver_data;
}

static u32 acs_register(const struct p2pdma_model_function *fn, int where)
{
	const struct p2pdma_model_acs *acs = &fn->acs;
	bool wide = p2pdma_model_is_wide(fn);
	unsigned int word;

	if (!acs->present)
		return 0;
	switch (where) {
	case 0:
		return EXT_HEADER(PCI_EXT_CAP_ID_ACS, 0);
	case PCI_ACS_CAP:
		/* A vector of 256 bits is encoded as 0. */
		return acs->cap | (acs->bits & 0xff) << 8 | (wide ? 0 : acs->ctrl << 16);
	case PCI_ACS_CAP + 4:
		if (wide)
			return acs->ctrl;
	}
	word = (where - PCI_ACS_EGRESS_CTL_V) / 4;
	return word < 8 ? acs->vector[word / 2] >> (word % 2 * 32) : 0;
}

static u32 ari_register(const struct p2pdma_model_function *fn, int where)
{
	if (where == 0)
		return EXT_HEADER(fn->ari ? PCI_EXT_CAP_ID_ARI : PCI_EXT_CAP_ID_VNDR, CFG_ACS);
	if (where != PCI_ARI_CAP || !fn->ari)
		return 0;
	return PCI_ARI_CAP_ACS | fn->group << 20 | (fn->groups ? PCI_ARI_CTRL_ACS << 16 : 0);
}

static u32 config_register(const struct p2pdma_model_function *fn, int where)
{
	if (where == PCI_VENDOR_ID)
		return (u32)fn->device << 16 | fn->vendor;
	if (where == CFG_PCIE + PCI_EXP_LNKCAP)
		return (u32)fn->port << 24 | PCI_EXP_LNKCAP_SLS_16_0GB;
	if (where == CFG_EXT)
		return EXT_HEADER(PCI_EXT_CAP_ID_ERR, CFG_ARI);
	if (where >= CFG_ACS)
		return acs_register(fn, where - CFG_ACS);
	if (where >= CFG_ARI)
		return ari_register(fn, where - CFG_ARI);
	return 0;
}

/* An unreadable function does not answer, or the PCI core knows of the loss. */
static int read_config(struct pci_dev *dev, int where, int size, u32 *val)
{
	struct world *world = pci_find_host_bridge(dev->bus)->sysdata;
	int nr = dev - world->dev;
	const struct p2pdma_model_function *fn = &world->model->fn[nr];

	if (where % size || where < 0 || where + size > PCI_CFG_SPACE_EXP_SIZE)
		abort();
	*val = ~0U;
	if (fn->unreadable)
		return nr % 2 ? PCIBIOS_DEVICE_NOT_FOUND : PCIBIOS_SUCCESSFUL;
	*val = config_register(fn, where & ~3) >> (where % 4 * 8);
	if (size < 4)
		*val &= (1U << size * 8) - 1;
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_dev *find_function(struct pci_bus *bus, unsigned int devfn)
{
	struct world *world = pci_find_host_bridge(bus)->sysdata;
	int i;

	for (i = 0; i < world->model->nr; i++)
		if (world->dev[i].bus == bus && world->dev[i].devfn == devfn)
			return &world->dev[i];
	return NULL;
}

static void add_window(struct world *world, int host, int nr, unsigned long flags, s64 offset)
{
	struct list_head *head = &world->hosts[host].windows;
	struct resource_entry *window = &world->windows[host][nr];

	world->resources[host][nr].flags = flags;
	window->res = &world->resources[host][nr];
	window->offset = offset;
	window->node.next = head;
	window->node.prev = head->prev;
	head->prev->next = &window->node;
	head->prev = &window->node;
}

static void build_host(struct world *world, int nr)
{
	const struct p2pdma_model_host *from = &world->model->hosts[nr];
	struct pci_host_bridge *host = &world->hosts[nr];

	host->dev.driver_data = (void *)&from->policy;
	host->windows.next = &host->windows;
	host->windows.prev = &host->windows;
	host->read_config = read_config;
	host->find_function = find_function;
	host->sysdata = world;
	world->roots[nr].host = host;
	add_window(world, nr, 0, IORESOURCE_BUS, 0);
	add_window(world, nr, 1, IORESOURCE_IO, from->io_offset);
	add_window(world, nr, 2, IORESOURCE_MEM, 0);
	add_window(world, nr, 3, IORESOURCE_MEM, from->offset);
}

/* The core adds a bus for virtual functions beyond the device's bus. */
static struct pci_bus *bus_of(struct world *world, int nr)
{
	const struct p2pdma_model_function *fn = &world->model->fn[nr];
	struct pci_bus *bus = fn->up == P2PDMA_MODEL_NONE ? &world->roots[fn->host] :
							    &world->below[fn->up];

	if (fn->number < 256)
		return bus;
	world->beside[fn->up].parent = bus;
	return &world->beside[fn->up];
}

static void build_function(struct world *world, int nr)
{
	const struct p2pdma_model_function *fn = &world->model->fn[nr];
	bool pcie = fn->kind != P2PDMA_MODEL_BRIDGE && fn->kind != P2PDMA_MODEL_CONV;
	struct pci_bus *bus = bus_of(world, nr);

	world->dev[nr] = (struct pci_dev) {
		.dev.driver_data = (void *)&fn->policy,
		.bus = bus,
		.devfn = fn->number & 0xff,
		.vendor = fn->vendor,
		.device = fn->device,
		.pcie_cap = pcie ? CFG_PCIE : 0,
		.pcie_type = pcie ? pcie_types[fn->kind] : 0,
		.acs_cap = fn->acs.present ? CFG_ACS : 0,
		.is_virtfn = fn->pf != P2PDMA_MODEL_NONE,
		.physfn = fn->pf != P2PDMA_MODEL_NONE ? &world->dev[fn->pf] : NULL,
		.ats_enabled = fn->ats,
	};
	world->below[nr] = (struct pci_bus) { .parent = bus, .self = &world->dev[nr] };
	if (fn->ari && fn->up != P2PDMA_MODEL_NONE)
		world->dev[fn->up].ari_enabled = true;
}

/**
 * world_build - make a world
 * @world: the world
 * @model: the table; has to stay while the world is used
 */
void world_build(struct world *world, const struct p2pdma_model *model)
{
	int i;

	memset(world, 0, sizeof(*world));
	world->model = model;
	for (i = 0; i < model->nr_hosts; i++)
		build_host(world, i);
	for (i = 0; i < model->nr; i++)
		build_function(world, i);
}

/**
 * struct collector - collects the ports that affect a route
 * @visitor: callback for the ports
 * @world: the world
 * @verdict: verdict to fill in
 */
struct collector {
	struct p2pdma_port_visitor visitor;
	struct world *world;
	struct p2pdma_model_verdict *verdict;
};

static void collect(struct p2pdma_port_visitor *self, struct pci_dev *port,
		    enum p2pdma_port_effect effect)
{
	struct collector *collector = container_of(self, struct collector, visitor);

	collector->verdict->effects[port - collector->world->dev] |= 1 << effect;
}

/**
 * world_route - run the rules of p2pdma-route.c
 * @world: the world
 * @provider: index of the provider
 * @client: index of the client
 * @verdict: filled in
 *
 * Return: false if the verdict differs without a visitor.
 */
bool world_route(struct world *world, int provider, int client,
		 struct p2pdma_model_verdict *verdict)
{
	struct collector collector = { { collect }, world, verdict };
	struct p2pdma_route route, again;

	memset(verdict->effects, 0, sizeof(verdict->effects));
	p2pdma_route(&world->dev[provider], &world->dev[client], &route, &collector.visitor);
	p2pdma_route(&world->dev[provider], &world->dev[client], &again, NULL);

	verdict->type = route.type;
	verdict->reason = route.reason;
	verdict->redirected = route.redirected;
	verdict->translated = route.translated;
	verdict->distance = route.distance;
	verdict->parent = route.parent ? route.parent - world->dev : P2PDMA_MODEL_NONE;
	verdict->host = route.host ? route.host - world->hosts : P2PDMA_MODEL_NONE;
	return route.type == again.type && route.reason == again.reason &&
	       route.redirected == again.redirected && route.translated == again.translated &&
	       route.distance == again.distance &&
	       route.parent == again.parent && route.host == again.host;
}
