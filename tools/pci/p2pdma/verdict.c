// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: computed verdicts
 *
 * Computed verdicts use the rules of the kernel: drivers/pci/p2pdma-route.c is part of the
 * command, compiled with the headers in shim/. Only words.c includes these headers, too.
 *
 * Without root, the access control of a function may be unknown, see enum supposition. Other things
 * may be unknown, too, see enum unknown. The rules run for each combination, and a verdict is known
 * if all runs agree. Without a whole way to the root there is no verdict, see ground.c.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/pci.h>

#include "p2pdma-route.h"
#include "p2pdma-hosts.h"
#include "internal.h"

/* Offset behind configuration space, in place of an unknown ACS capability. */
#define SUPPOSED_ACS	0x1000

/* In place of the offset of an unknown PCI Express capability: no real offset is odd. */
#define SUPPOSED_EXPRESS	1

/**
 * enum supposition - assumption about all functions with unknown access control
 * @SUPPOSE_NONE: no ACS capability
 * @SUPPOSE_BLOCKING: an ACS capability with unreadable registers, so the function blocks
 * @SUPPOSE_FORWARDING: all redirection off, as in the next ones Upstream Forwarding on
 * @SUPPOSE_REQUESTS: requests are redirected
 * @SUPPOSE_UNTRANSLATED: requests are redirected, unless the client has translated the address
 * @SUPPOSE_COMPLETIONS: completions are redirected
 * @SUPPOSITIONS: number of suppositions
 *
 * One of the suppositions gives each of the answers that any access control of these functions
 * gives: Upstream Forwarding is on, because a redirected transaction does not pass without. A
 * request and its completion are not both redirected, because a single redirection makes the route
 * go through the host bridge, and the second only adds conditions.
 */
enum supposition {
	SUPPOSE_NONE,
	SUPPOSE_BLOCKING,
	SUPPOSE_FORWARDING,
	SUPPOSE_REQUESTS,
	SUPPOSE_UNTRANSLATED,
	SUPPOSE_COMPLETIONS,
	SUPPOSITIONS,
};

static const u32 supposed_controls[SUPPOSITIONS] = {
	[SUPPOSE_FORWARDING] = PCI_ACS_UF,
	[SUPPOSE_REQUESTS] = PCI_ACS_UF | PCI_ACS_RR,
	[SUPPOSE_UNTRANSLATED] = PCI_ACS_UF | PCI_ACS_RR | PCI_ACS_DT,
	[SUPPOSE_COMPLETIONS] = PCI_ACS_UF | PCI_ACS_CR,
};

/**
 * struct shadow - a function in the form that the rules read
 * @pdev: the structure for the rules
 * @function: the function
 * @unread: access control of the function is unknown
 * @typeless: a bridge that may be a root port or a downstream port, or another bridge
 * @ari: does a bridge forward alternative routing IDs (ARI)?
 * @ats: does the function send translated requests?
 * @nameless: sentence about missing IDs of a function that may have a quirk, or NULL
 * @quirks: PCI_ACS_* and P2PDMA_ACS_WIDE of unconditional quirks
 * @asked: @missing and @culprit are filled in
 * @missing: sentence about a missing part of the input, or NULL
 * @culprit: function that @missing is about
 */
struct shadow {
	struct pci_dev pdev;
	const struct function *function;
	bool unread;
	bool typeless;
	enum known ari;
	enum known ats;
	const char *nameless;
	u16 quirks;
	bool asked;
	const char *missing;
	const struct function *culprit;
};

/**
 * struct shadow_host - a host bridge in the form that the rules read
 * @bridge: the structure for the rules
 * @host: the host bridge
 * @window: addresses of @translated
 * @translated: a window with an offset, for a host bridge that translates addresses
 */
struct shadow_host {
	struct pci_host_bridge bridge;
	const struct host *host;
	struct resource window;
	struct resource_entry translated;
};

/**
 * struct shadows - a machine in the form that the rules read, and the question to the rules
 * @machine: the machine
 * @functions: the functions, by index
 * @hosts: the host bridges, by index
 * @supposition: assumption about unknown access control
 * @unread_reason: reason for unknown access control; other users than root read no more
 * @cpu_routes: the processor routes, or is supposed to
 * @iommu_supposed: an IOMMU translates for the client, or is supposed to
 * @host_supposed: supposed capability of an unknown host bridge
 * @driver_supposed: a driver is bound to a client whose driver is unknown
 * @gap_found: the rules have asked for a register that the input lacks
 * @verdict: verdict to add unread functions to
 */
struct shadows {
	const struct machine *machine;
	struct shadow *functions;
	struct shadow_host *hosts;
	enum supposition supposition;
	enum reason unread_reason;
	bool cpu_routes;
	bool iommu_supposed;
	enum p2pdma_capability host_supposed;
	bool driver_supposed;
	bool gap_found;
	struct verdict *verdict;
};

/* Callbacks of the rules have no pointer to the machine. */
static __thread struct shadows *asked;

static struct shadow *shadow_of(const struct function *function)
{
	return &asked->functions[function->index];
}

/* Callbacks of the rules, up to p2pdma_host_capability(). */

static void note_unread(const struct function *function)
{
	unsigned int i;

	for (i = 0; i < asked->verdict->nr_unread; i++)
		if (asked->verdict->unread[i] == function)
			return;
	if (i < MAX_PORTS)
		asked->verdict->unread[asked->verdict->nr_unread++] = function;
}

static int shadow_read(struct pci_dev *pdev, int where, int size, u32 *value)
{
	struct shadow *shadow = container_of(pdev, struct shadow, pdev);

	if (where >= SUPPOSED_ACS) {
		note_unread(shadow->function);
		/* Capability register in the lower half, control register in the upper half. */
		*value = PCI_ACS_RR | PCI_ACS_UF | supposed_controls[asked->supposition] << 16;
		return asked->supposition == SUPPOSE_BLOCKING ? PCIBIOS_DEVICE_NOT_FOUND :
								PCIBIOS_SUCCESSFUL;
	}
	if (pdev->pcie_cap != SUPPOSED_EXPRESS &&
	    config_read(shadow->function, where, size, value))
		return PCIBIOS_SUCCESSFUL;
	/* The input lacks the register; the function may well have it. */
	if (!shadow->function->extended_known) {
		note_unread(shadow->function);
		asked->gap_found = true;
	}
	return PCIBIOS_DEVICE_NOT_FOUND;
}

/* Functions of @bus, also of another bridge with the same bus number in broken input. */
static struct pci_dev *find_on_bus(struct pci_bus *bus, unsigned int devfn)
{
	const struct host *host = container_of(pci_find_host_bridge(bus), struct shadow_host,
					       bridge)->host;
	struct address address = {
		.domain = host->domain,
		.bus = bus->number,
		.devfn = devfn,
	};
	const struct function *function = machine_find(asked->machine, address);

	if (function && shadow_of(function)->pdev.bus == bus)
		return &shadow_of(function)->pdev;
	asked->gap_found = true;
	return NULL;
}

enum p2pdma_policy p2pdma_policy(struct device *bridge)
{
	switch (*(const enum policy *)bridge->driver_data) {
	case POLICY_ALLOW:
		return P2PDMA_POLICY_ALLOW;
	case POLICY_DENY:
		return P2PDMA_POLICY_DENY;
	default:
		return P2PDMA_POLICY_AUTO;
	}
}

/* Without root the type is unknown. A bridge as first function is nearly always a root port. */
static int first_type(const struct function *first)
{
	unsigned int where;

	if (config_pcie(first, &where) == UNKNOWN && function_is_bridge(first))
		return PCI_EXP_TYPE_ROOT_PORT;
	return config_pcie_type(first);
}

static enum p2pdma_capability capability_of(const struct host *host, bool cpu)
{
	enum capability said = parse_capability(host->capability);

	if (said != CAPABILITY_UNKNOWN)
		return (enum p2pdma_capability)said;
	if (cpu)
		return P2PDMA_CPU;
	if (host->unsure)
		return asked->host_supposed;
	if (!host->first || !p2pdma_identifies_host(host->first->address.devfn,
						    first_type(host->first)))
		return P2PDMA_UNLISTED;
	return p2pdma_known_host(host->first->vendor, host->first->device);
}

u16 p2pdma_quirks(struct pci_dev *pdev)
{
	return container_of(pdev, struct shadow, pdev)->quirks;
}

/* Only unconditional quirks: user space cannot check a condition, see quirk_is_open(). */
static u16 known_quirks(const struct function *function)
{
	const struct p2pdma_quirk *quirk;

	quirk = p2pdma_known_quirk(function->vendor, function->device,
				   config_pcie_type(function));
	return quirk && quirk->condition == P2PDMA_QUIRK_ALWAYS ? quirk->controls : 0;
}

static bool has_quirk(unsigned int vendor, unsigned int device, int type)
{
	return p2pdma_known_quirk(vendor, device, type);
}

/* A text may lack the IDs. Names tell which IDs a function may have. */
static bool lacks_quirk(const struct function *function)
{
	return !function->vendor && function->known &&
	       (!function->title ||
		names_any(function->title, has_quirk, config_pcie_type(function)) != KNOWN_NO);
}

/* May a conditional quirk isolate the function? Configuration space does not tell. */
static bool quirk_is_open(const struct function *function)
{
	const struct p2pdma_quirk *quirk;

	quirk = p2pdma_known_quirk(function->vendor, function->device,
				   config_pcie_type(function));
	return quirk && quirk->condition != P2PDMA_QUIRK_ALWAYS;
}

bool p2pdma_client_translated(struct pci_dev *client)
{
	(void)client;
	return asked->iommu_supposed;
}

/* sysfs does not show whom the kernel trusts. Known to the kernel alone. */
bool p2pdma_client_untrusted(struct pci_dev *client)
{
	(void)client;
	return false;
}

/*
 * sysfs shows CPU addresses of BARs, and the mask limits bus addresses. Behind a host bridge that
 * translates addresses the answer may be wrong.
 */
bool p2pdma_client_reaches(struct pci_dev *client, struct pci_dev *provider)
{
	const struct function *from = container_of(client, struct shadow, pdev)->function;
	const struct function *to = container_of(provider, struct shadow, pdev)->function;
	unsigned int i;

	/* Nobody has set the mask of a function without driver. */
	if (from->bound == KNOWN_NO || (from->bound == UNKNOWN && !asked->driver_supposed) ||
	    !from->mask_bits || from->mask_bits >= 64)
		return true;
	for (i = 0; i < BARS; i++)
		if (to->bars[i].memory && to->bars[i].size &&
		    (to->bars[i].start + to->bars[i].size - 1) >> from->mask_bits)
			return false;
	return true;
}

enum p2pdma_capability p2pdma_host_capability(struct pci_host_bridge *bridge)
{
	return capability_of(container_of(bridge, struct shadow_host, bridge)->host,
			     asked->cpu_routes);
}

/**
 * acs_control_offset - offset of the ACS control register
 * @function: the function
 *
 * Some Intel root ports have registers of 32 bits.
 *
 * Return: offset from the beginning of the ACS capability.
 */
unsigned int acs_control_offset(const struct function *function)
{
	const struct p2pdma_quirk *quirk;

	quirk = p2pdma_known_quirk(function->vendor, function->device,
				   config_pcie_type(function));
	return quirk && quirk->controls == P2PDMA_ACS_WIDE ? P2PDMA_ACS_WIDE_CTRL : PCI_ACS_CTRL;
}

/**
 * cpu_routes - does the root complex of a processor route?
 * @vendor: vendor_id of /proc/cpuinfo
 * @family: "cpu family" of /proc/cpuinfo
 *
 * Return: true if the processor is known to route.
 */
bool cpu_routes(const char *vendor, unsigned int family)
{
	return p2pdma_known_cpu(vendor, family);
}

/**
 * host_capability - known capability of a host bridge
 * @machine: the machine
 * @host: the host bridge
 *
 * Return: the capability; CAPABILITY_UNKNOWN if an unknown processor decides.
 */
enum capability host_capability(const struct machine *machine, const struct host *host)
{
	bool may = machine->cpu != CPU_OTHER, must = machine->cpu == CPU_ROUTES;
	enum p2pdma_capability capability = capability_of(host, must);

	if (host->unsure && capability != P2PDMA_CPU)
		return CAPABILITY_UNKNOWN;
	if (capability != capability_of(host, may) && capability != P2PDMA_LISTED)
		return CAPABILITY_UNKNOWN;
	return (enum capability)capability;
}

/**
 * host_routes_within - does a host bridge route between its own ports, whatever the processor is?
 * @host: the host bridge
 *
 * Return: true if the host bridge is listed, for its own ports or for all.
 */
bool host_routes_within(const struct host *host)
{
	return !host->unsure && capability_of(host, false) != P2PDMA_UNLISTED;
}

static void shadow_host(struct shadow_host *shadow, struct host *host)
{
	struct list_head *windows = &shadow->bridge.windows;

	shadow->host = host;
	shadow->bridge.read_config = shadow_read;
	shadow->bridge.find_function = find_on_bus;
	shadow->bridge.dev.driver_data = &host->policy;
	windows->next = windows;
	windows->prev = windows;
	if (!host->translates)
		return;
	shadow->window.flags = IORESOURCE_MEM;
	shadow->translated.res = &shadow->window;
	shadow->translated.offset = 1;
	shadow->translated.node.next = windows;
	shadow->translated.node.prev = windows;
	windows->next = &shadow->translated.node;
	windows->prev = &shadow->translated.node;
}

/* The capability is there, but the input lacks its registers. */
static bool lacks_acs(const struct function *function)
{
	unsigned int capability, control;

	return config_acs(function, &capability, &control) == UNKNOWN && !config_dead(function);
}

/* The capability with the type may be beyond what the input has. */
static bool may_hide_type(const struct function *function)
{
	unsigned int where;

	switch (config_pcie(function, &where)) {
	case UNKNOWN:
		return true;
	case KNOWN_YES:
		return config_pcie_type(function) < 0;
	default:
		return false;
	}
}

static void shadow_function(struct shadow *shadow, struct function *function)
{
	struct pci_dev *pdev = &shadow->pdev;
	unsigned int where = 0;
	enum known acs;

	shadow->function = function;
	pdev->dev.driver_data = &function->policy;
	pdev->devfn = function->address.devfn;
	pdev->vendor = function->vendor;
	pdev->device = function->device;
	if (config_pcie(function, &where) == KNOWN_YES) {
		pdev->pcie_cap = where;
		pdev->pcie_type = config_pcie_type(function);
	}
	shadow->quirks = known_quirks(function);
	acs = config_extended(function, PCI_EXT_CAP_ID_ACS, &where);
	if (lacks_quirk(function))
		shadow->nameless =
			xasprintf("the IDs of %s are not in the input; lspci -nn shows them",
				  function->bdf);
	shadow->unread = acs == UNKNOWN || (acs == KNOWN_NO && quirk_is_open(function)) ||
			 (acs == KNOWN_YES && lacks_acs(function)) || shadow->nameless;
	pdev->acs_cap = acs == KNOWN_YES && !shadow->unread ? where : 0;
	shadow->ari = KNOWN_NO;
	shadow->ats = config_uses_ats(function);
}

static struct pci_bus *new_bus(const struct function *function)
{
	struct pci_bus *bus = xzalloc(sizeof(*bus));

	bus->number = function->address.bus;
	bus->host = &asked->hosts[function->host->index].bridge;
	return bus;
}

static bool same_bus(const struct function *a, const struct function *b)
{
	return a->address.domain == b->address.domain && a->address.bus == b->address.bus &&
	       a->up == b->up && a->host == b->host;
}

/*
 * The kernel corrects a port whose type contradicts the port above, see set_pcie_port_type() in
 * drivers/pci/probe.c.
 */
static int port_type(const struct function *function)
{
	int type = config_pcie_type(function), above;

	if (!function->up || (type != PCI_EXP_TYPE_DOWNSTREAM && type != PCI_EXP_TYPE_UPSTREAM))
		return type;
	above = port_type(function->up);
	if (type == PCI_EXP_TYPE_UPSTREAM)
		return above == PCI_EXP_TYPE_UPSTREAM ? PCI_EXP_TYPE_DOWNSTREAM : type;
	return above == PCI_EXP_TYPE_ROOT_PORT || above == PCI_EXP_TYPE_DOWNSTREAM ||
	       above == PCI_EXP_TYPE_PCIE_BRIDGE ? PCI_EXP_TYPE_UPSTREAM : type;
}

/* Whatever has functions below is a bridge, also without a header. */
static void shadow_bridge(struct shadow *shadow)
{
	struct pci_dev *pdev = &shadow->pdev;

	shadow->typeless = may_hide_type(shadow->function);
	shadow->ari = config_ari(shadow->function);
	pdev->ari_enabled = shadow->ari == KNOWN_YES;
	if (pdev->pcie_cap)
		pdev->pcie_type = port_type(shadow->function);
}

/* A bus of virtual functions only has no bridge: the rules use the physical function's bus. */
static void link_shadow(struct shadow *shadow)
{
	const struct function *function = shadow->function;
	struct shadow *up = function->up ? shadow_of(function->up) : NULL;
	struct shadow *physfn = function->physfn ? shadow_of(function->physfn) : NULL;

	shadow->pdev.is_virtfn = physfn;
	shadow->pdev.physfn = physfn ? &physfn->pdev : NULL;
	shadow->pdev.bus->parent = up ? up->pdev.bus : NULL;
	if (!physfn || physfn->pdev.bus == shadow->pdev.bus)
		shadow->pdev.bus->self = up ? &up->pdev : NULL;
}

/**
 * verdict_prepare - prepare a machine for verdicts
 * @machine: a machine with all functions linked
 */
void verdict_prepare(struct machine *machine)
{
	struct shadow *shadows;
	unsigned int i;

	asked = xzalloc(sizeof(*asked));
	shadows = xzalloc(machine->nr * sizeof(*shadows));
	machine->shadows = asked;
	asked->machine = machine;
	asked->unread_reason = geteuid() || !machine->live ? REASON_NEEDS_ROOT :
							     REASON_UNREADABLE;
	asked->functions = shadows;
	asked->hosts = xzalloc(machine->nr_hosts * sizeof(*asked->hosts));
	for (i = 0; i < machine->nr_hosts; i++)
		shadow_host(&asked->hosts[i], machine->hosts[i]);
	for (i = 0; i < machine->nr; i++) {
		shadow_function(&shadows[i], machine->functions[i]);
		shadows[i].pdev.bus = i && same_bus(machine->functions[i - 1],
						    machine->functions[i]) ?
				      shadows[i - 1].pdev.bus : new_bus(machine->functions[i]);
	}
	for (i = 0; i < machine->nr; i++) {
		link_shadow(&shadows[i]);
		if (function_is_bridge(machine->functions[i]))
			shadow_bridge(&shadows[i]);
		if (machine->functions[i]->up)
			shadow_bridge(shadow_of(machine->functions[i]->up));
	}
}

/**
 * enum unknown - what may be unknown about a machine, the most important first
 * @UNKNOWN_ACCESS: access control of functions on the way
 * @UNKNOWN_TYPE: whether bridges on the way are ports
 * @UNKNOWN_ARI: whether bridges on the way forward alternative routing IDs
 * @UNKNOWN_ATS: whether the client sends translated requests
 * @UNKNOWN_CPU: whether the processor routes between host bridges
 * @UNKNOWN_IOMMU: whether an IOMMU translates for the client
 * @UNKNOWN_DRIVER: whether a driver has set the DMA mask of the client
 * @UNKNOWN_HOST: which host bridge an incomplete input has
 * @UNKNOWNS: number of these
 */
enum unknown {
	UNKNOWN_ACCESS,
	UNKNOWN_TYPE,
	UNKNOWN_ARI,
	UNKNOWN_ATS,
	UNKNOWN_CPU,
	UNKNOWN_IOMMU,
	UNKNOWN_DRIVER,
	UNKNOWN_HOST,
	UNKNOWNS,
};

/* Only functions on the way to the root decide. */
static void find_unknowns(const struct function *function, bool *unknowns)
{
	const struct shadow *shadow;

	for (; function; function = function->up) {
		shadow = shadow_of(function);
		unknowns[UNKNOWN_ACCESS] |= shadow->unread;
		unknowns[UNKNOWN_TYPE] |= shadow->typeless;
		unknowns[UNKNOWN_ARI] |= shadow->ari == UNKNOWN;
	}
}

static void suppose_type(struct pci_dev *pdev, const struct function *bridge, bool port)
{
	pdev->pcie_cap = port ? SUPPOSED_EXPRESS : 0;
	if (port)
		pdev->pcie_type = bridge->up ? PCI_EXP_TYPE_DOWNSTREAM : PCI_EXP_TYPE_ROOT_PORT;
	else
		pdev->pcie_type = 0;
}

/* Makes the rules see a choice of what is unknown about functions on the way to the root. */
static void suppose_path(const unsigned int *choice, const struct function *function)
{
	struct shadow *shadow;

	for (; function; function = function->up) {
		shadow = shadow_of(function);
		if (shadow->unread)
			shadow->pdev.acs_cap = choice[UNKNOWN_ACCESS] == SUPPOSE_NONE ?
					       0 : SUPPOSED_ACS;
		if (shadow->typeless)
			suppose_type(&shadow->pdev, function, choice[UNKNOWN_TYPE]);
		if (shadow->ari == UNKNOWN)
			shadow->pdev.ari_enabled = choice[UNKNOWN_ARI];
	}
}

/**
 * struct collector - collects the ports that affect a route
 * @visitor: callback for the rules
 * @verdict: verdict to add the ports to
 */
struct collector {
	struct p2pdma_port_visitor visitor;
	struct verdict *verdict;
};

static void collect_port(struct p2pdma_port_visitor *visitor, struct pci_dev *pdev,
			 enum p2pdma_port_effect effect)
{
	struct verdict *verdict = container_of(visitor, struct collector, visitor)->verdict;

	if (verdict->nr_ports < MAX_PORTS)
		verdict->ports[verdict->nr_ports++] = (struct port) {
			.function = container_of(pdev, struct shadow, pdev)->function,
			.effect = (enum effect)effect,
		};
}

static enum answer route_answer(const struct p2pdma_route *route)
{
	switch (route->type) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		return ANSWER_DIRECT;
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		return ANSWER_HOST;
	default:
		return ANSWER_NONE;
	}
}

static void ask_rules(struct shadow *client, struct shadow *provider, struct verdict *verdict)
{
	struct collector collector = { .visitor.visit = collect_port, .verdict = verdict };
	struct p2pdma_route route;

	verdict->nr_ports = 0;
	p2pdma_route(&provider->pdev, &client->pdev, &route, &collector.visitor);
	verdict->answer = route_answer(&route);
	verdict->reason = (enum reason)route.reason;
	verdict->distance = route.distance;
	verdict->redirected = route.redirected;
	verdict->iommu = route.translated;
	verdict->parent = route.parent ? container_of(route.parent, struct shadow, pdev)->function :
					 NULL;
}

static void make_unknown(struct verdict *verdict, enum reason reason)
{
	verdict->answer = ANSWER_UNKNOWN;
	verdict->reason = reason;
	verdict->redirected = false;
	verdict->nr_ports = 0;
}

/* Keeps the ports that have the same effect in both verdicts. */
static void keep_ports(struct verdict *verdict, const struct verdict *other)
{
	unsigned int i, j, nr = 0;

	for (i = 0; i < verdict->nr_ports; i++)
		for (j = 0; j < other->nr_ports; j++)
			if (verdict->ports[i].function == other->ports[j].function &&
			    verdict->ports[i].effect == other->ports[j].effect) {
				verdict->ports[nr++] = verdict->ports[i];
				break;
			}
	verdict->nr_ports = nr;
}

#define MOST_WORLDS	(SUPPOSITIONS * (P2PDMA_LISTED + 1) << (UNKNOWNS - 2))

/**
 * struct worlds - the machines that the known part of a machine may belong to
 * @choices: number of choices for each unknown; 1 if known
 * @first: the first choice, or the only choice
 * @answers: answers for all combinations of choices
 */
struct worlds {
	unsigned int choices[UNKNOWNS];
	unsigned int first[UNKNOWNS];
	enum answer answers[MOST_WORLDS];
};

static enum known iommu_of(const struct function *client)
{
	return asked->machine->iommu_given ? asked->machine->iommu : client->iommu;
}

static void find_worlds(struct worlds *worlds, const struct shadow *client,
			const struct shadow *provider)
{
	const struct machine *machine = asked->machine;
	enum known iommu = iommu_of(client->function);
	enum known driver = client->function->bound;
	bool unknowns[UNKNOWNS] = {};
	bool unsure = client->function->host->unsure || provider->function->host->unsure;

	find_unknowns(client->function, unknowns);
	find_unknowns(provider->function, unknowns);
	*worlds = (struct worlds) {
		.choices = {
			[UNKNOWN_ACCESS] = unknowns[UNKNOWN_ACCESS] ? SUPPOSITIONS : 1,
			[UNKNOWN_TYPE] = unknowns[UNKNOWN_TYPE] ? 2 : 1,
			[UNKNOWN_ARI] = unknowns[UNKNOWN_ARI] ? 2 : 1,
			[UNKNOWN_ATS] = client->ats == UNKNOWN ? 2 : 1,
			[UNKNOWN_CPU] = machine->cpu == CPU_UNKNOWN ? 2 : 1,
			[UNKNOWN_IOMMU] = iommu == UNKNOWN ? 2 : 1,
			[UNKNOWN_DRIVER] = driver == UNKNOWN ? 2 : 1,
			[UNKNOWN_HOST] = unsure ? P2PDMA_LISTED + 1 : 1,
		},
		.first = {
			[UNKNOWN_ATS] = client->ats == KNOWN_YES,
			[UNKNOWN_CPU] = machine->cpu == CPU_ROUTES,
			[UNKNOWN_IOMMU] = iommu == KNOWN_YES,
			[UNKNOWN_DRIVER] = driver == KNOWN_YES,
		},
	};
}

/* Makes the rules see a world. Returns false if there are fewer worlds. */
static bool enter_world(const struct worlds *worlds, unsigned int number,
			struct shadow *client, const struct shadow *provider)
{
	unsigned int choice[UNKNOWNS], i;

	for (i = 0; i < UNKNOWNS; i++) {
		choice[i] = worlds->first[i] + number % worlds->choices[i];
		number /= worlds->choices[i];
	}
	asked->supposition = choice[UNKNOWN_ACCESS];
	client->pdev.ats_enabled = choice[UNKNOWN_ATS];
	asked->cpu_routes = choice[UNKNOWN_CPU];
	asked->iommu_supposed = choice[UNKNOWN_IOMMU];
	asked->driver_supposed = choice[UNKNOWN_DRIVER];
	asked->host_supposed = choice[UNKNOWN_HOST];
	suppose_path(choice, client->function);
	suppose_path(choice, provider->function);
	return !number;
}

/* Does the answer differ between two worlds that differ in nothing else? */
static bool decides(const struct worlds *worlds, unsigned int nr, enum unknown unknown)
{
	unsigned int step = 1, i;

	for (i = 0; i < unknown; i++)
		step *= worlds->choices[i];
	for (i = 0; i < nr; i++)
		if (i / step % worlds->choices[unknown] &&
		    worlds->answers[i] != worlds->answers[i - step])
			return true;
	return false;
}

static enum reason unknown_reason(enum unknown unknown)
{
	switch (unknown) {
	case UNKNOWN_CPU:
		return REASON_PROCESSOR_UNKNOWN;
	case UNKNOWN_IOMMU:
		return REASON_IOMMU_UNKNOWN;
	case UNKNOWN_DRIVER:
	case UNKNOWN_HOST:
		return REASON_INCOMPLETE;
	default:
		return asked->unread_reason;
	}
}

static void make_undecided(struct verdict *verdict, enum unknown unknown,
			   const struct function *client)
{
	if (unknown == UNKNOWN_ATS)
		note_unread(client);
	if (unknown == UNKNOWN_CPU || unknown == UNKNOWN_IOMMU) {
		verdict->answer = ANSWER_UNKNOWN;
		verdict->reason = unknown_reason(unknown);
	} else {
		make_unknown(verdict, unknown_reason(unknown));
	}
}

/* The last unknown for which a world makes another choice than the first world. */
static enum unknown last_choice(const struct worlds *worlds, unsigned int number)
{
	enum unknown unknown, last = 0;

	for (unknown = 0; unknown < UNKNOWNS; unknown++) {
		if (number % worlds->choices[unknown])
			last = unknown;
		number /= worlds->choices[unknown];
	}
	return last;
}

/* A verdict is known if it is the same in all worlds. */
static void ask_worlds(struct shadow *client, struct shadow *provider, struct verdict *verdict)
{
	enum unknown unknown;
	struct worlds worlds;
	struct verdict other;
	enum reason first;
	unsigned int nr;

	find_worlds(&worlds, client, provider);
	enter_world(&worlds, 0, client, provider);
	ask_rules(client, provider, verdict);
	worlds.answers[0] = verdict->answer;
	first = verdict->reason;
	for (nr = 1; enter_world(&worlds, nr, client, provider); nr++) {
		ask_rules(client, provider, &other);
		worlds.answers[nr] = other.answer;
		keep_ports(verdict, &other);
		if (other.answer == verdict->answer && verdict->reason == first &&
		    other.reason != first)
			verdict->reason = unknown_reason(last_choice(&worlds, nr));
		/* Access control counts first: nothing else needs to be asked. */
		if (nr + 1 == worlds.choices[UNKNOWN_ACCESS] &&
		    decides(&worlds, nr + 1, UNKNOWN_ACCESS))
			break;
	}
	enter_world(&worlds, 0, client, provider);
	for (unknown = 0; unknown < UNKNOWNS; unknown++)
		if (decides(&worlds, nr, unknown))
			return make_undecided(verdict, unknown, client->function);
}

static struct shadow *ask_ground(const struct function *function)
{
	struct shadow *shadow = shadow_of(function);

	if (!shadow->asked)
		shadow->missing = ground_missing(asked->machine, function, &shadow->culprit);
	shadow->asked = true;
	return shadow;
}

static void require_ground(const struct function *function, struct verdict *verdict)
{
	struct shadow *shadow = ask_ground(function);

	if (!shadow->missing || verdict->missing)
		return;
	verdict->missing = shadow->missing;
	verdict->parent = NULL;
	verdict->distance = -1;
	make_unknown(verdict, config_dead(shadow->culprit) ? REASON_UNREADABLE :
							REASON_INCOMPLETE);
	verdict->unread[0] = shadow->culprit;
	verdict->nr_unread = 1;
}

/**
 * verdict_explain_host - say what is missing where an unknown host bridge decides
 * @verdict: the verdict
 * @client: function that masters DMA
 * @provider: function with the memory
 *
 * The host bridge may be any: the function that identifies the host bridge is not there.
 */
void verdict_explain_host(struct verdict *verdict, const struct function *client,
			  const struct function *provider)
{
	const struct host *host = client->host->unsure ? client->host : provider->host;
	char *text;

	if (verdict->reason != REASON_INCOMPLETE || verdict->missing)
		return;
	if (!host->unsure)
		text = xasprintf("whether a driver has set the DMA mask of %s is not in the copy",
				 client->bdf);
	else
		text = host->first ?
		xasprintf("the function that identifies %s may be missing: the first is %s",
			  host->name, host->first->bdf) :
		xasprintf("the IDs that identify %s are not in the input; lspci -nn shows them",
			  host->name);
	verdict->missing = keep_word(text);
	xfree(text);
}

/* A copy of a kernel with policies may be without the policies. */
static const char *missing_policy(const struct machine *machine, const struct function *function)
{
	const struct function *at;

	if (machine->support != SUPPORT_OURS || machine->live || machine->complete)
		return NULL;
	for (at = function->up; at; at = at->up)
		if (!at->capability)
			return xasprintf("the policy of %s is not in the copy", at->bdf);
	return function->host->capability ? NULL :
	       xasprintf("the policy of %s is not in the copy", function->host->name);
}

static void require_policies(const struct machine *machine, const struct function *function,
			     struct verdict *verdict)
{
	const char *missing = NULL;

	if (verdict->answer != ANSWER_UNKNOWN)
		missing = missing_policy(machine, function);
	if (!missing)
		return;
	make_unknown(verdict, REASON_INCOMPLETE);
	verdict->missing = keep_word(missing);
}

/* A port of a known type in a text: root has made the text. */
static const char *lacks_lines(const struct function *function)
{
	if (!function->known || config_pcie_type(function) < 0 || !lacks_acs(function))
		return NULL;
	return "a text cannot prove that a port has no access control; lspci -D -xxxx can";
}

/* Is something else missing than registers that only root reads? */
static void explain_unread(struct verdict *verdict)
{
	unsigned int i;

	if (verdict->reason != asked->unread_reason)
		return;
	for (i = 0; i < verdict->nr_unread && !verdict->missing; i++)
		verdict->missing = shadow_of(verdict->unread[i])->nameless;
	for (i = 0; i < verdict->nr_unread && !verdict->missing; i++)
		verdict->missing = lacks_lines(verdict->unread[i]);
	if (verdict->missing)
		verdict->reason = REASON_INCOMPLETE;
}

/**
 * verdict_ground - make a verdict unknown if the input lacks a part that the verdict needs
 * @machine: the machine
 * @client: function that masters DMA
 * @provider: function with the memory
 * @verdict: the verdict
 *
 * Return: true if a part is missing.
 */
bool verdict_ground(const struct machine *machine, const struct function *client,
		    const struct function *provider, struct verdict *verdict)
{
	unsigned int status;

	asked = machine->shadows;
	verdict->missing = NULL;
	if (client == provider && config_read(client, PCI_STATUS, 2, &status))
		return false;
	require_ground(client, verdict);
	require_ground(provider, verdict);
	return verdict->missing;
}

/**
 * verdict_compute - compute a verdict with the rules of the kernel
 * @machine: the machine
 * @client: function that masters DMA
 * @provider: function with the memory
 * @verdict: filled in
 */
void verdict_compute(struct machine *machine, const struct function *client,
		     const struct function *provider, struct verdict *verdict)
{
	struct shadow *from, *to;

	asked = machine->shadows;
	verdict->nr_unread = 0;
	verdict->kernel = false;
	verdict->missing = NULL;
	verdict->other_answer = NULL;
	asked->gap_found = false;
	asked->verdict = verdict;
	from = shadow_of(client);
	to = shadow_of(provider);
	ask_worlds(from, to, verdict);
	if (asked->gap_found && verdict->answer != ANSWER_UNKNOWN)
		make_unknown(verdict, asked->unread_reason);
	require_policies(machine, client, verdict);
	require_policies(machine, provider, verdict);
	if (!verdict_ground(machine, client, provider, verdict))
		explain_unread(verdict);
	verdict_explain_host(verdict, client, provider);
	if (verdict->answer != ANSWER_UNKNOWN)
		verdict->nr_unread = 0;
}
