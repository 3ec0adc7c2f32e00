// SPDX-License-Identifier: GPL-2.0
/*
 * Random hierarchies for the model of the route rules, and pictures of them.
 *
 * Every hierarchy is valid: ports, bridges and devices are where the
 * specification allows. Control bits, port numbers and policies are arbitrary.
 * Densities are drawn once for a hierarchy, because a tree where every port
 * redirects and a tree where hardly any port redirects find different bugs.
 */

#include <linux/kernel.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "p2pdma_model.h"

#define GIB	0x40000000LL

/* Listed host bridges and near misses, for the first function of a root bus. */
static const u32 random_ids[] = {
	0x80863c00, 0x80863c01, 0x80862f00, 0x80862f01, 0x80862030, 0x80862031,
	0x80862032, 0x80862033, 0x80862020, 0x808609a2, 0x80860b25, 0x80860cfe,
	0x80864944, 0x1ae00001, 0x1ae0ffff, 0x10de2f95, 0x10de2f96, 0x10de2f97,
	0x10de2f98, 0x1d171003, 0x1d171005, 0x1d171006, 0x1d171007, 0x1d171008,

	0x80863c02, 0x80862034, 0x80862f95, 0x10de2f94, 0x10de2f99, 0x1d171004,
	0x1d172030, 0x1ae1ffff,
};

/*
 * IDs with a quirk in p2pdma_model.c, by kind of function: 32-bit ACS registers
 * for root ports, isolation by design for ports and endpoints. The last ID of
 * each array has no quirk.
 */
static const u32 port_quirks[] = {
	0x1d170710, 0x1d170740, 0x17cb0400, 0x1d170760
};

static const u32 root_port_quirks[] = { 0x8086a110, 0x80869d1b, 0x8086a1ff };
static const u32 endpoint_quirks[] = { 0x19240903, 0x80861521, 0x19240904 };

/**
 * struct generator - a hierarchy in the making
 * @model: the hierarchy so far
 * @limits: limits of the hierarchy
 * @state: state of the random number generator
 * @size: number of functions at which the current host bridge is full
 * @acs: percentage of functions that have access control
 * @on: percentage of control bits that are on
 * @forward: percentage of ports that forward upstream
 * @egress: percentage of access control with an egress vector
 * @silent: percentage of unreadable functions
 * @deny: percentage of bridges that are denied
 * @quirk: percentage of functions with a quirk
 * @iommu: percentage of functions with an IOMMU
 * @mask: percentage of functions that do not emit every address
 */
struct generator {
	struct p2pdma_model *model;
	const struct p2pdma_model_limits *limits;
	u64 state;
	int size;
	int acs;
	int on;
	int forward;
	int egress;
	int silent;
	int deny;
	int quirk;
	int iommu;
	int mask;
};

/* Two rounds of multiply and shift spread every input bit over the result. */
static u64 scramble(u64 x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/**
 * p2pdma_model_seed - derive the seed of a hierarchy in a series
 * @seed: seed of the series
 * @nr: number of the hierarchy
 *
 * Return: the seed. Hierarchy 0 has @seed, so any hierarchy can be made again
 * alone as number 0 of a series.
 */
u64 p2pdma_model_seed(u64 seed, u64 nr)
{
	return nr ? scramble(scramble(seed) + nr) : seed;
}

static u64 draw(struct generator *gen)
{
	gen->state += 0x9e3779b97f4a7c15ULL;
	return scramble(gen->state);
}

static u32 below(struct generator *gen, u32 limit)
{
	return (u32)(draw(gen) >> 32) % limit;
}

static bool chance(struct generator *gen, u32 percent)
{
	return below(gen, 100) < percent;
}

static int one_of(struct generator *gen, const int *values, u32 nr)
{
	return values[below(gen, nr)];
}

#define ONE_OF(gen, ...) \
	one_of(gen, (const int []) { __VA_ARGS__ }, \
	       ARRAY_SIZE(((const int []) { __VA_ARGS__ })))

static u64 random_vector(struct generator *gen)
{
	u64 vector = draw(gen);

	switch (below(gen, 4)) {
	case 0:
		return vector & draw(gen);
	case 1:
		return vector | draw(gen);
	case 2:
		return below(gen, 2) ? 0 : ~0ULL;
	}
	return vector;
}

static u8 random_control(struct generator *gen, bool port)
{
	static const u8 bits[] = {
		PCI_ACS_SV, PCI_ACS_TB, PCI_ACS_RR, PCI_ACS_CR, PCI_ACS_DT
	};
	unsigned int i;
	u8 ctrl = 0;

	for (i = 0; i < ARRAY_SIZE(bits); i++)
		if (chance(gen, gen->on))
			ctrl |= bits[i];
	if (port && chance(gen, gen->forward))
		ctrl |= PCI_ACS_UF;
	return ctrl;
}

/*
 * An endpoint that cannot reach siblings may leave Request Redirect out. A port
 * without Request Redirect violates the specification, but does not isolate.
 */
static u8 random_capability(struct generator *gen, bool port)
{
	u8 cap = PCI_ACS_SV | PCI_ACS_TB | PCI_ACS_RR | PCI_ACS_CR |
		 PCI_ACS_UF | PCI_ACS_DT;

	if (chance(gen, port ? 95 : 60))
		return cap;
	return ONE_OF(gen, 0, PCI_ACS_SV, PCI_ACS_CR | PCI_ACS_DT) |
	       (port ? PCI_ACS_UF : 0);
}

static void random_acs(struct generator *gen, struct p2pdma_model_acs *acs,
		       bool port)
{
	unsigned int i;

	if (!chance(gen, gen->acs))
		return;
	acs->present = true;
	acs->cap = random_capability(gen, port);
	acs->ctrl = random_control(gen, port) & acs->cap;
	if (!chance(gen, gen->egress) || !(acs->cap & PCI_ACS_RR))
		return;
	acs->cap |= PCI_ACS_EC;
	if (chance(gen, 80))
		acs->ctrl |= PCI_ACS_EC;
	acs->bits = ONE_OF(gen, 1, 2, 4, 5, 8, 16, 31, 32, 33, 64, 65, 255, 256,
			   256, 256, 256);
	for (i = 0; i < ARRAY_SIZE(acs->vector); i++)
		acs->vector[i] = random_vector(gen);
}

static bool full(struct generator *gen)
{
	return gen->model->nr >= gen->size;
}

static struct p2pdma_model_function *at(struct generator *gen, int fn)
{
	return &gen->model->fn[fn];
}

/* No bounds check: callers stop at full(), and the table has a spare entry. */
static int add(struct generator *gen, enum p2pdma_model_kind kind, int host,
	       int up, u16 number)
{
	int nr = gen->model->nr++;
	struct p2pdma_model_function *fn = at(gen, nr);

	*fn = (struct p2pdma_model_function) {
		.kind = kind,
		.host = host,
		.up = up,
		.pf = P2PDMA_MODEL_NONE,
		.number = number,
		.unreadable = chance(gen, gen->silent),
	};
	if (p2pdma_model_is_bridge(gen->model, nr) && chance(gen, gen->deny))
		fn->policy = P2PDMA_POLICY_DENY;
	if (kind == P2PDMA_MODEL_ENDPOINT || kind == P2PDMA_MODEL_RCIEP)
		fn->ats = chance(gen, 25);
	fn->iommu = chance(gen, gen->iommu);
	fn->untrusted = chance(gen, 20);
	fn->mask = chance(gen, gen->mask) ?
		   ONE_OF(gen, 32, 36, 39, 40, 48) : 64;
	fn->top = ONE_OF(gen, 32, 40, 40, 48);
	return nr;
}

static int add_port(struct generator *gen, enum p2pdma_model_kind kind,
		    int host, int up, u16 number, u8 port)
{
	int fn = add(gen, kind, host, up, number);

	at(gen, fn)->port = port;
	random_acs(gen, &at(gen, fn)->acs, true);
	return fn;
}

/* mock_pci gives all virtual functions of a function the same registers. */
static void add_vf(struct generator *gen, int pf, u16 number,
		   const struct p2pdma_model_acs *acs)
{
	int nr = add(gen, at(gen, pf)->kind, at(gen, pf)->host, at(gen, pf)->up,
		     number);
	struct p2pdma_model_function *vf = at(gen, nr);

	vf->pf = pf;
	vf->ari = at(gen, pf)->ari;
	vf->group = at(gen, pf)->group;
	vf->acs = *acs;
	if (gen->limits->mock) {
		vf->unreadable = at(gen, pf)->unreadable;
		vf->ats = false;
	} else if (chance(gen, 50)) {
		vf->acs = (struct p2pdma_model_acs) {};
		random_acs(gen, &vf->acs, false);
	}
}

static void add_vfs(struct generator *gen, int pf, u16 first, int nr)
{
	struct p2pdma_model_acs acs = {};

	random_acs(gen, &acs, false);
	at(gen, pf)->vf_offset = first - at(gen, pf)->number;
	while (nr-- && !full(gen)) {
		add_vf(gen, pf, first++, &acs);
		at(gen, pf)->nr_vfs++;
	}
}

/* Without ARI, a device has at most 8 functions, virtual functions included. */
static void random_vfs(struct generator *gen, int first, int last, bool ari)
{
	u16 next = at(gen, last)->number + 1;
	int pf;

	if (ari && chance(gen, 30))
		next = ONE_OF(gen, 128, 253, 254, 255, 256, 257);
	for (pf = first; pf <= last; pf++) {
		int most = ari ? 4 : 8 - next;

		if (most > 0 && chance(gen, 60))
			add_vfs(gen, pf, next, 1 + below(gen, min(most, 4)));
		next += at(gen, pf)->nr_vfs;
	}
}

static void random_groups(struct generator *gen, int first, int last)
{
	int fn;

	at(gen, first)->groups = true;
	for (fn = first; fn <= last && !gen->limits->mock; fn++)
		at(gen, fn)->group = below(gen, 8);
}

/* Add the device below a link. */
static void random_device(struct generator *gen, int up)
{
	int functions = chance(gen, 50) ? 1 : 2 + below(gen, 3);
	int host = at(gen, up)->host;
	bool ari = chance(gen, 35), sriov = chance(gen, 35);
	int first = gen->model->nr, i;
	u16 number = 0;

	for (i = 0; i < functions && (!i || !full(gen)); i++) {
		int fn = add(gen, P2PDMA_MODEL_ENDPOINT, host, up, number);

		at(gen, fn)->ari = ari;
		random_acs(gen, &at(gen, fn)->acs, false);
		number += ari ? ONE_OF(gen, 1, 1, 2, 7, 40) : 1;
	}
	i = gen->model->nr - 1;
	if (ari && chance(gen, 30) && !(sriov && gen->limits->mock))
		random_groups(gen, first, i);
	if (sriov)
		random_vfs(gen, first, i, ari);
}

static void random_conventional(struct generator *gen, int up, int depth)
{
	int host = at(gen, up)->host;
	int devices = 1 + below(gen, 3);
	u16 number;

	for (number = 0; devices-- && !full(gen); number += 8) {
		if (depth > 0 && chance(gen, 25)) {
			int bridge =
				add(gen, P2PDMA_MODEL_BRIDGE, host, up, number);

			random_conventional(gen, bridge, depth - 1);
			continue;
		}
		add(gen, P2PDMA_MODEL_CONV, host, up, number);
		if (chance(gen, 20) && !full(gen))
			add(gen, P2PDMA_MODEL_CONV, host, up, number + 1);
	}
}

/* Some devices consist of two bridges. */
static void random_pcie_to_pci(struct generator *gen, int up, int depth)
{
	int functions = chance(gen, 80) ? 1 : 2;
	u16 number;

	for (number = 0; functions-- && !full(gen); number++)
		random_conventional(gen,
				    add(gen, P2PDMA_MODEL_PCIE_TO_PCI,
					at(gen, up)->host, up, number),
				    depth - 1);
}

static void random_link(struct generator *gen, int up, int depth);

/* Port numbers may have gaps and wrap around at 256. */
static void random_downstream_ports(struct generator *gen, int up, int depth)
{
	int ports = chance(gen, 90) ? 1 + below(gen, 4) : 5 + below(gen, 8);
	int step = ONE_OF(gen, 1, 1, 2, 8),
	    port = ONE_OF(gen, 0, 1, 2, 4, 28, 60, 150, 248);
	bool one_device = ports <= 8 && chance(gen, 20);
	int host = at(gen, up)->host;
	u16 number;
	int fn;

	for (number = 0; ports-- && !full(gen); number += one_device ? 1 : 8) {
		fn = add_port(gen, P2PDMA_MODEL_DOWNSTREAM, host, up, number,
			      port);
		port += step;
		random_link(gen, fn, depth - 1);
	}
}

/* The upstream port may share a device with endpoints. */
static void random_switch(struct generator *gen, int up, int depth)
{
	int host = at(gen, up)->host;
	int fn = add(gen, P2PDMA_MODEL_UPSTREAM, host, up, 0);
	int others = chance(gen, 80) ? 0 : 1 + below(gen, 2);
	u16 number;

	if (others)
		random_acs(gen, &at(gen, fn)->acs, false);
	random_downstream_ports(gen, fn, depth);
	for (number = 1; others-- && !full(gen); number++) {
		fn = add(gen, P2PDMA_MODEL_ENDPOINT, host, up, number);
		random_acs(gen, &at(gen, fn)->acs, false);
	}
}

static void random_link(struct generator *gen, int up, int depth)
{
	u32 what = below(gen, 100);

	if (full(gen))
		return;
	if (depth > 0 && what < 40)
		random_switch(gen, up, depth);
	else if (what < 50)
		random_pcie_to_pci(gen, up, depth);
	else if (what < 95)
		random_device(gen, up);
}

static u16 next_slot(u16 number)
{
	return (number / 8 + 1) * 8;
}

/* Root ports may be functions of one device. */
static u16 random_root_ports(struct generator *gen, int host, u16 number,
			     u8 *port)
{
	int functions = chance(gen, 60) ? 1 : 2 + below(gen, 3);
	int fn;

	for (; functions-- && !full(gen); number++) {
		fn = add_port(gen, P2PDMA_MODEL_ROOT_PORT, host,
			      P2PDMA_MODEL_NONE, number, *port);
		*port += ONE_OF(gen, 1, 1, 1, 3);
		random_link(gen, fn, gen->limits->depth);
	}
	return next_slot(number - 1);
}

static u16 random_root_device(struct generator *gen, int host, u16 number)
{
	int kind = ONE_OF(gen, P2PDMA_MODEL_RCIEP, P2PDMA_MODEL_RCIEP,
			  P2PDMA_MODEL_ENDPOINT, P2PDMA_MODEL_CONV);
	int functions = chance(gen, 60) ? 1 : 2 + below(gen, 2);
	int fn;

	for (; functions-- && !full(gen); number++) {
		fn = add(gen, kind, host, P2PDMA_MODEL_NONE, number);
		if (kind != P2PDMA_MODEL_CONV)
			random_acs(gen, &at(gen, fn)->acs, false);
	}
	return next_slot(number - 1);
}

static u16 random_root_entry(struct generator *gen, int host, u16 number,
			     u8 *port)
{
	u32 what = below(gen, 100);
	int bridge;

	if (what < 65)
		return random_root_ports(gen, host, number, port);
	if (what < 90)
		return random_root_device(gen, host, number);
	bridge = add(gen, P2PDMA_MODEL_BRIDGE, host, P2PDMA_MODEL_NONE, number);
	random_conventional(gen, bridge, gen->limits->depth - 1);
	return next_slot(number);
}

static void set_identity(struct p2pdma_model_function *fn, u32 id)
{
	fn->vendor = id >> 16;
	fn->device = id & 0xffff;
}

/* The wide layout has the control register at the offset of the vector. */
static void random_quirk(struct generator *gen,
			 struct p2pdma_model_function *fn)
{
	if (!chance(gen, gen->quirk) || fn->pf != P2PDMA_MODEL_NONE)
		return;
	if (fn->kind == P2PDMA_MODEL_ROOT_PORT && chance(gen, 50))
		set_identity(fn,
			     root_port_quirks[below(gen,
					      ARRAY_SIZE(root_port_quirks))]);
	else if (fn->kind == P2PDMA_MODEL_ROOT_PORT ||
		 fn->kind == P2PDMA_MODEL_DOWNSTREAM)
		set_identity(fn,
			     port_quirks[below(gen, ARRAY_SIZE(port_quirks))]);
	else if (fn->kind == P2PDMA_MODEL_ENDPOINT)
		set_identity(fn,
			     endpoint_quirks[below(gen,
					     ARRAY_SIZE(endpoint_quirks))]);
	if (!p2pdma_model_is_wide(fn))
		return;
	fn->acs.bits = 0;
	fn->acs.cap &= ~PCI_ACS_EC;
	fn->acs.ctrl &= ~PCI_ACS_EC;
}

/* The rules must ignore a host bridge's ID in functions after the first. */
static void random_identities(struct generator *gen, int first)
{
	int fn;

	for (fn = first; fn < gen->model->nr; fn++) {
		u32 id = random_ids[below(gen, ARRAY_SIZE(random_ids))];

		if (chance(gen, fn == first ? 75 : 4) &&
		    at(gen, fn)->pf == P2PDMA_MODEL_NONE)
			set_identity(at(gen, fn), id);
		else
			random_quirk(gen, at(gen, fn));
	}
}

static void random_root_bus(struct generator *gen, int host)
{
	int entries = 1 + below(gen, 4);
	int first = gen->model->nr;
	u16 number = chance(gen, 60) ? 0 : next_slot(8 * below(gen, 2));
	u8 port = below(gen, 4);

	while (entries-- && !full(gen))
		number = random_root_entry(gen, host, number, &port);
	random_identities(gen, first);
}

static void random_host(struct generator *gen, int host)
{
	struct p2pdma_model_host *bridge = &gen->model->hosts[host];

	/* No initializer: the order of draws would be unspecified. */
	bridge->offset = ONE_OF(gen, 0, 0, 1, -1, 4) * GIB;
	bridge->io_offset = ONE_OF(gen, 0, 0x10000);
	bridge->policy = ONE_OF(gen, P2PDMA_POLICY_AUTO, P2PDMA_POLICY_AUTO,
				P2PDMA_POLICY_AUTO, P2PDMA_POLICY_AUTO,
				P2PDMA_POLICY_ALLOW, P2PDMA_POLICY_DENY);
	random_root_bus(gen, host);
}

static void random_densities(struct generator *gen)
{
	gen->acs = ONE_OF(gen, 0, 30, 70, 100, 100);
	gen->on = ONE_OF(gen, 10, 30, 50, 80);
	gen->forward = ONE_OF(gen, 30, 80, 100, 100);
	gen->egress = ONE_OF(gen, 0, 30, 80);
	gen->silent = ONE_OF(gen, 0, 0, 0, 5, 30);
	gen->deny = ONE_OF(gen, 0, 0, 0, 5, 15);
	gen->quirk = ONE_OF(gen, 0, 0, 20, 60);
	gen->iommu = ONE_OF(gen, 0, 0, 50, 100);
	gen->mask = ONE_OF(gen, 0, 0, 0, 20);
}

/**
 * p2pdma_model_random - make a random hierarchy
 * @model: the new hierarchy
 * @seed: seed; equal seeds and limits give equal hierarchies
 * @limits: limits of the hierarchy
 */
void p2pdma_model_random(struct p2pdma_model *model, u64 seed,
			 const struct p2pdma_model_limits *limits)
{
	struct generator gen = {
		.model = model, .limits = limits, .state = seed
	};
	int most = min(limits->functions, P2PDMA_MODEL_FUNCTIONS) - 1;
	int host;

	random_densities(&gen);
	model->nr = 0;
	model->nr_hosts = ONE_OF(&gen, 1, 1, 1, 2, 2, P2PDMA_MODEL_HOSTS);
	model->cpu_routes = chance(&gen, 20);
	for (host = 0; host < model->nr_hosts; host++) {
		int rest = most - model->nr;

		/* The next host bridge may use what is left of the limit. */
		gen.size = model->nr +
			   min(rest, 3 + (int)below(&gen, max(rest, 1)));
		random_host(&gen, host);
	}
}

static void shake_function(struct generator *gen,
			   struct p2pdma_model_function *fn)
{
	unsigned int i;
	bool port;

	fn->unreadable = chance(gen, gen->silent);
	fn->iommu = chance(gen, gen->iommu);
	if (!fn->acs.present)
		return;
	port = p2pdma_model_is_bridge(gen->model, fn - gen->model->fn);
	fn->acs.ctrl = random_control(gen, port) & fn->acs.cap;
	if (!fn->acs.bits)
		return;
	if (chance(gen, 80))
		fn->acs.ctrl |= PCI_ACS_EC;
	for (i = 0; i < ARRAY_SIZE(fn->acs.vector); i++)
		fn->acs.vector[i] = random_vector(gen);
}

/**
 * p2pdma_model_shake - change settings of an existing hierarchy
 * @model: the hierarchy
 * @seed: seed; equal seeds make equal changes
 *
 * Changes access control of functions with the capability, unreadable
 * functions, functions with an IOMMU, and the processor. A virtual function
 * keeps access control and IOMMU, and becomes as readable as the physical
 * function.
 */
void p2pdma_model_shake(struct p2pdma_model *model, u64 seed)
{
	struct generator gen = { .model = model, .state = seed };
	int i;

	random_densities(&gen);
	model->cpu_routes = chance(&gen, 20);
	for (i = 0; i < model->nr; i++) {
		if (model->fn[i].pf == P2PDMA_MODEL_NONE)
			shake_function(&gen, &model->fn[i]);
		else
			model->fn[i].unreadable =
				model->fn[model->fn[i].pf].unreadable;
	}
}

/**
 * struct text - a line of output
 * @len: length of @line
 * @line: the characters
 */
struct text {
	int len;
	char line[240];
};

/* Truncates the line if @text is full. */
static __printf(2, 3) void put(struct text *text, const char *format, ...)
{
	int room = sizeof(text->line) - text->len;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text->line + text->len, room, format, args);
	va_end(args);
	text->len += min(len, room - 1);
}

static const char * const kind_words[] = {
	[P2PDMA_MODEL_ROOT_PORT] = "root port",
	[P2PDMA_MODEL_UPSTREAM] = "upstream port",
	[P2PDMA_MODEL_DOWNSTREAM] = "downstream port",
	[P2PDMA_MODEL_PCIE_TO_PCI] = "PCIe to PCI bridge",
	[P2PDMA_MODEL_BRIDGE] = "PCI bridge",
	[P2PDMA_MODEL_ENDPOINT] = "endpoint",
	[P2PDMA_MODEL_RCIEP] = "integrated endpoint",
	[P2PDMA_MODEL_CONV] = "PCI device",
};

static const char * const policy_words[] = {
	[P2PDMA_POLICY_AUTO] = "",
	[P2PDMA_POLICY_ALLOW] = ", allow",
	[P2PDMA_POLICY_DENY] = ", deny",
};

static const char * const capability_words[] = {
	[P2PDMA_UNLISTED] = "unlisted",
	[P2PDMA_LISTED_SAME] = "listed-same-bridge",
	[P2PDMA_LISTED] = "listed",
	[P2PDMA_CPU] = "cpu",
};

static const char * const type_words[] = {
	[PCI_P2PDMA_MAP_UNKNOWN] = "unknown",
	[PCI_P2PDMA_MAP_NOT_SUPPORTED] = "none",
	[PCI_P2PDMA_MAP_BUS_ADDR] = "direct",
	[PCI_P2PDMA_MAP_THRU_HOST_BRIDGE] = "host-bridge",
};

static const char * const reason_words[] = {
	[P2PDMA_REASON_SELF] = "SELF",
	[P2PDMA_REASON_SPEC] = "SPEC",
	[P2PDMA_REASON_SAME_DEVICE] = "SAME_DEVICE",
	[P2PDMA_REASON_LISTED] = "LISTED",
	[P2PDMA_REASON_CPU] = "CPU",
	[P2PDMA_REASON_POLICY] = "POLICY",
	[P2PDMA_REASON_UNLISTED] = "UNLISTED",
	[P2PDMA_REASON_SAME_ONLY] = "SAME_ONLY",
	[P2PDMA_REASON_EGRESS] = "EGRESS",
	[P2PDMA_REASON_UNREADABLE] = "UNREADABLE",
	[P2PDMA_REASON_NO_FORWARDING] = "NO_FORWARDING",
	[P2PDMA_REASON_TRANSLATED] = "TRANSLATED",
	[P2PDMA_REASON_ADDRESS] = "ADDRESS",
};

static const char * const effect_words[] = {
	[P2PDMA_PORT_REDIRECTS] = "redirects",
	[P2PDMA_PORT_ISOLATES] = "isolates",
	[P2PDMA_PORT_BLOCKS] = "blocks",
	[P2PDMA_PORT_UNREADABLE] = "does not tell",
	[P2PDMA_PORT_NO_FORWARDING] = "does not forward",
	[P2PDMA_PORT_DENIED] = "denied",
};

static void put_acs(struct text *text, const struct p2pdma_model_acs *acs)
{
	static const char * const words[] = {
		"SV", "TB", "RR", "CR", "UF", "EC", "DT"
	};
	unsigned int i;

	if (!acs->present)
		return;
	put(text, acs->cap & PCI_ACS_RR ? ", ACS" : ", ACS without RR");
	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (acs->ctrl & 1 << i)
			put(text, " %s", words[i]);
	if (!acs->bits)
		return;
	put(text, " /%u:", acs->bits);
	for (i = (acs->bits + 63) / 64; i--;)
		put(text, " %llx", (unsigned long long)acs->vector[i]);
}

static void put_function(struct text *text, const struct p2pdma_model *model,
			 int nr)
{
	const struct p2pdma_model_function *fn = &model->fn[nr];

	put(text, "#%d ", nr);
	if (fn->number > 255)
		put(text, "next bus ");
	put(text, "%02x.%x %s", fn->number / 8 % 32, fn->number % 8,
	    kind_words[fn->kind]);
	if (fn->pf != P2PDMA_MODEL_NONE)
		put(text, ", VF of #%d", fn->pf);
	if (fn->vendor)
		put(text, " [%04x:%04x]", fn->vendor, fn->device);
	if (fn->kind == P2PDMA_MODEL_ROOT_PORT ||
	    fn->kind == P2PDMA_MODEL_DOWNSTREAM)
		put(text, " %u", fn->port);
	put_acs(text, &fn->acs);
	if (fn->ari)
		put(text, ", ARI");
	if (fn->groups || fn->group)
		put(text, fn->groups ? ", groups on, group %u" : ", group %u",
		    fn->group);
	put(text, "%s%s%s%s%s", fn->ats ? ", ATS" : "",
	    fn->iommu ? ", IOMMU" : "", fn->untrusted ? ", untrusted" : "",
	    fn->unreadable ? ", unreadable" : "",
	    policy_words[fn->policy]);
	if (fn->mask < 64)
		put(text, ", emits %u bits", fn->mask);
	if (!p2pdma_model_is_bridge(model, nr))
		put(text, ", memory at %u bits", fn->top);
}

static bool more_on_bus(const struct p2pdma_model *model, int fn)
{
	int i;

	for (i = fn + 1; i < model->nr; i++)
		if (model->fn[i].host == model->fn[fn].host &&
		    model->fn[i].up == model->fn[fn].up)
			return true;
	return false;
}

static void put_branches(struct text *text, const struct p2pdma_model *model,
			 int fn)
{
	int depth = 0, above;

	for (above = model->fn[fn].up; above != P2PDMA_MODEL_NONE;
	     above = model->fn[above].up)
		depth++;
	for (; depth; depth--) {
		int i;

		for (above = fn, i = 0; i < depth; i++)
			above = model->fn[above].up;
		put(text, more_on_bus(model, above) ? "|  " : "   ");
	}
	put(text, more_on_bus(model, fn) ? "|- " : "`- ");
}

static void draw_host(const struct p2pdma_model *model, int host,
		      struct p2pdma_model_printer *printer)
{
	const struct p2pdma_model_host *bridge = &model->hosts[host];
	struct text text = {};
	int fn;

	put(&text, "host bridge %d: %s%s, offset %lld GiB, I/O offset %lld",
	    host, capability_words[p2pdma_model_capability(model, host)],
	    policy_words[bridge->policy], (long long)(bridge->offset / GIB),
	    (long long)bridge->io_offset);
	printer->line(printer, text.line);
	for (fn = 0; fn < model->nr; fn++) {
		if (model->fn[fn].host != host)
			continue;
		text.len = 0;
		put_branches(&text, model, fn);
		put_function(&text, model, fn);
		printer->line(printer, text.line);
	}
}

/**
 * p2pdma_model_draw - draw a hierarchy
 * @model: the hierarchy; all functions below a bridge come directly after the
 *	bridge
 * @printer: output of the drawing
 */
void p2pdma_model_draw(const struct p2pdma_model *model,
		       struct p2pdma_model_printer *printer)
{
	int host;

	for (host = 0; host < model->nr_hosts; host++)
		draw_host(model, host, printer);
}

/**
 * p2pdma_model_print_verdict - print a verdict
 * @model: the hierarchy
 * @name: name of the verdict's source
 * @verdict: the verdict
 * @printer: output of the line
 */
void p2pdma_model_print_verdict(const struct p2pdma_model *model,
				const char *name,
				const struct p2pdma_model_verdict *verdict,
				struct p2pdma_model_printer *printer)
{
	struct text text = {};
	unsigned int i;
	int fn;

	put(&text, "%s: %s, %s, %s%sdistance %d", name,
	    type_words[verdict->type], reason_words[verdict->reason],
	    verdict->redirected ? "redirected, " : "",
	    verdict->translated ? "IOMMU, " : "", verdict->distance);
	if (verdict->parent != P2PDMA_MODEL_NONE)
		put(&text, ", parent #%d", verdict->parent);
	if (verdict->host != P2PDMA_MODEL_NONE)
		put(&text, ", host bridge %d", verdict->host);
	for (fn = 0; fn < model->nr; fn++)
		for (i = 0; i < ARRAY_SIZE(effect_words); i++)
			if (verdict->effects[fn] & 1 << i)
				put(&text, ", #%d %s", fn, effect_words[i]);
	printer->line(printer, text.line);
}

/**
 * p2pdma_model_agree - compare two verdicts
 * @model: the hierarchy
 * @a: first verdict
 * @b: second verdict
 *
 * Return: true if all fields are equal, and the effects of all functions.
 */
bool p2pdma_model_agree(const struct p2pdma_model *model,
			const struct p2pdma_model_verdict *a,
			const struct p2pdma_model_verdict *b)
{
	return a->type == b->type && a->reason == b->reason &&
	       a->redirected == b->redirected &&
	       a->translated == b->translated && a->distance == b->distance &&
	       a->parent == b->parent && a->host == b->host &&
	       !memcmp(a->effects, b->effects, model->nr);
}
