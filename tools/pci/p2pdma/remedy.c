// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma: how to improve a route, and at what price
 *
 * The commands are ready to paste. Bits are bits of the ACS control register (PCIe Base
 * Specification r6.0, sec 7.7.11.3). setpci finds the register at ECAP_ACS+6, in some root ports
 * at ECAP_ACS+8.
 */
#include <stdlib.h>
#include <string.h>
#include <pci/pci.h>

#include "tool.h"

#define REDIRECTS \
	(PCI_ACS_CTRL_REQ_RED | PCI_ACS_CTRL_CMPLT_RED | PCI_ACS_CTRL_EGRESS)

/* Number of functions to list; a longer list ends in "..." */
#define SHOWN_FUNCTIONS	12

/* GRUB ends a command at ";" unless a backslash precedes. */
static char *escape_grub(const char *text)
{
	char *escaped = xzalloc(2 * strlen(text) + 1), *to = escaped;

	for (; *text; text++) {
		if (*text == ';')
			*to++ = '\\';
		*to++ = *text;
	}
	return escaped;
}

/* Adds a parameter for the kernel's command line; @name is "boot" or "boot_all". */
static void add_parameter(json_object *remedy, const char *name, const char *parameter)
{
	const char *grub = strcmp(name, "boot") ? "grub_all" : "grub";
	char *escaped = escape_grub(parameter);

	add_words(get(remedy, name), "%s", parameter);
	if (strcmp(escaped, parameter))
		add_words(get(remedy, grub), "%s", escaped);
	xfree(escaped);
}

static json_object *add_remedy(json_object *to, const char *kind, const char *what,
			       const char *price)
{
	static const char * const arrays[] = {
		"boot", "grub", "boot_all", "grub_all", "now", "firmware",
	};
	json_object *remedy = json_object_new_object(), *prices;
	unsigned int i;

	add_text(remedy, "kind", kind);
	add_text(remedy, "what", what);
	add_text(remedy, "kernel", NULL);
	add_text(remedy, "below", NULL);
	prices = add_array(remedy, "price");
	if (price)
		add_words(prices, "%s", price);
	for (i = 0; i < COUNT_OF(arrays); i++)
		add_array(remedy, arrays[i]);
	add_item(to, remedy);
	return remedy;
}

static bool has_port(const struct verdict *verdict, enum effect effect)
{
	unsigned int i;

	for (i = 0; i < verdict->nr_ports; i++)
		if (verdict->ports[i].effect == effect)
			return true;
	return false;
}

/* Returns the ports with an effect, each after @flags: "0000:01:00.0;0000:02:00.0". */
static char *port_list(const struct verdict *verdict, enum effect effect, const char *flags)
{
	char *list = xstrdup("");
	unsigned int i;

	for (i = 0; i < verdict->nr_ports; i++)
		if (verdict->ports[i].effect == effect &&
		    !strstr(list, verdict->ports[i].function->bdf))
			list = xasprintf("%s%s%s%s", list, *list ? ";" : "", flags,
					 verdict->ports[i].function->bdf);
	return list;
}

/* The kernel looks for flags before every function, and logs an error without. */
static void add_config_acs(json_object *remedy, const char *flags, const char *list)
{
	add_parameter(remedy, "boot", xasprintf("pci=config_acs=%s", list));
	add_words(get(remedy, "price"), "pci=config_acs= needs Linux 6.11 or later");
	if (strchr(flags, 'x'))
		add_words(get(remedy, "price"),
			  "x leaves a bit as the firmware set it, not as the kernel would");
}

/* The kernel remembers routes, so the commands end with a rescan. */
static void add_trial(const struct machine *machine, json_object *remedy,
		      const struct verdict *verdict, enum effect effect, unsigned int value,
		      unsigned int mask)
{
	json_object *now = get(remedy, "now");
	unsigned int i;

	for (i = 0; i < verdict->nr_ports; i++)
		if (verdict->ports[i].effect == effect)
			add_words(now, "setpci -s %s ECAP_ACS+%x.w=%x:%x",
				  verdict->ports[i].function->bdf,
				  acs_control_offset(verdict->ports[i].function), value, mask);
	if (machine->support == SUPPORT_OURS)
		add_words(now, "echo 1 > /sys/bus/pci/p2pdma_rescan");
}

/* Adds the price of direct routing: functions below @parent are no longer isolated. */
static void add_isolation_price(const struct machine *machine, json_object *remedy,
				const struct function *parent)
{
	json_object *price = get(remedy, "price");
	char *list = xstrdup("");
	unsigned int i, nr = 0;

	for (i = 0; i < machine->nr && parent; i++) {
		if (!is_below(machine->functions[i], parent) ||
		    function_is_bridge(machine->functions[i]))
			continue;
		if (nr++ < SHOWN_FUNCTIONS)
			list = xasprintf("%s %s", list, machine->functions[i]->bdf);
	}
	add_words(price, "isolation: these reach each other past the IOMMU:%s%s", list,
		  nr > SHOWN_FUNCTIONS ? " ..." : "");
	add_words(price, "they may become one IOMMU group, for one virtual machine or for none");
}

/*
 * Counts for each bridge the functions directly below that are endpoints or lead to an endpoint.
 * A port decides about peer traffic only if another such function is beside the port.
 */
static unsigned int *count_branches(const struct machine *machine)
{
	unsigned int *branches = xzalloc(machine->nr * sizeof(*branches) + 1), i;
	bool *counted = xzalloc(machine->nr + 1);
	const struct function *at;

	for (i = 0; i < machine->nr; i++) {
		if (function_is_bridge(machine->functions[i]))
			continue;
		for (at = machine->functions[i]; at && !counted[at->index]; at = at->up) {
			counted[at->index] = true;
			if (at->up)
				branches[at->up->index]++;
		}
	}
	xfree(counted);
	return branches;
}

/* Returns the ports that redirect for any pair of functions below @parent. */
static char *list_below(const struct machine *machine, const struct function *parent,
			enum rules rules)
{
	unsigned int *branches = count_branches(machine), i;
	const struct function *port;
	char *list = xstrdup("");

	for (i = 0; i < machine->nr; i++) {
		port = machine->functions[i];
		if (!is_below(port, parent) || port->stock_redirects != KNOWN_YES)
			continue;
		if (rules == RULES_OURS && (port == parent || branches[port->up->index] < 2))
			continue;
		list = xasprintf("%s%s%s", list, *list ? ";" : "", port->bdf);
	}
	xfree(branches);
	return list;
}

static const char redirect_parameter[] = "pci=disable_acs_redir=";

/* A list on the command line already has to go into the new list. */
static void add_present(const struct machine *machine, json_object *remedy)
{
	char *present = sysfs_parameter(machine, redirect_parameter);

	if (present)
		add_words(get(remedy, "price"),
			  "replaces the present list, put both in one: %s%s", redirect_parameter,
			  present);
	xfree(present);
}

static void undo_redirect(struct machine *machine, json_object *to, const struct verdict *verdict,
			  enum rules rules, const char *kernel)
{
	json_object *remedy;
	const char *what;
	char *list, *all;

	/* No setting turns isolation by design off, and a single port sends the traffic up. */
	if (!has_port(verdict, EFFECT_REDIRECTS) || has_port(verdict, EFFECT_ISOLATES))
		return;
	what = rules == RULES_STOCK ?
	       "stock Linux counts every port on the way: turn redirection off in all" :
	       "let the ports turn peer traffic around, not send it up";
	remedy = add_remedy(to, "access-control", what, NULL);
	add_text(remedy, "kernel", kernel);
	add_isolation_price(machine, remedy, verdict->parent);
	list = port_list(verdict, EFFECT_REDIRECTS, "");
	add_parameter(remedy, "boot", xasprintf("%s%s", redirect_parameter, list));
	add_trial(machine, remedy, verdict, EFFECT_REDIRECTS, 0, REDIRECTS);
	add_words(get(remedy, "price"),
		  "on Linux 6.12 other bits of these ports return to the setting of the firmware");
	add_present(machine, remedy);
	add_words(get(remedy, "firmware"), "ACS (PCIe ACS Support, ACS Control): Disabled");
	all = verdict->parent ? list_below(machine, verdict->parent, rules) : xstrdup("");
	if (strlen(all) <= strlen(list))
		return;
	add_text(remedy, "below", verdict->parent->bdf);
	add_parameter(remedy, "boot_all", xasprintf("%s%s", redirect_parameter, all));
}

/* Do the same ports redirect, in any order? */
static bool same_redirects(const struct verdict *a, const struct verdict *b)
{
	char *one = port_list(a, EFFECT_REDIRECTS, ""), *two = port_list(b, EFFECT_REDIRECTS, "");
	unsigned int i;

	for (i = 0; i < a->nr_ports; i++)
		if (a->ports[i].effect == EFFECT_REDIRECTS &&
		    !strstr(two, a->ports[i].function->bdf))
			return false;
	return strlen(one) == strlen(two);
}

/* Both rules, where the lists differ. Which kernel a dump is for is unknown. */
static void undo_redirects(struct machine *machine, json_object *to,
			   const struct verdict *verdict, const struct verdict *stock)
{
	bool differ = stock && !same_redirects(verdict, stock);

	if (stock == verdict) {
		undo_redirect(machine, to, verdict, RULES_STOCK, NULL);
		return;
	}
	undo_redirect(machine, to, verdict, RULES_OURS, differ ? "ours" : NULL);
	if (differ)
		undo_redirect(machine, to, stock, RULES_STOCK, "stock");
}

static bool may_route(const struct machine *machine, const struct host *host)
{
	return host_capability(machine, host) != CAPABILITY_UNLISTED;
}

static void undo_blocking(struct machine *machine, json_object *to, const struct verdict *verdict)
{
	json_object *remedy;

	if (!has_port(verdict, EFFECT_BLOCKS) || verdict->reason != REASON_EGRESS)
		return;
	/* Between ports of a host bridge, the host bridge decides then. */
	if (!verdict->parent && !may_route(machine, verdict->ports[0].function->host))
		return;
	remedy = add_remedy(to, "access-control",
			    "turn egress control off in the port that blocks", NULL);
	if (verdict->parent)
		add_isolation_price(machine, remedy, verdict->parent);
	add_config_acs(remedy, "0xxxxx", port_list(verdict, EFFECT_BLOCKS, "0xxxxx@"));
	add_trial(machine, remedy, verdict, EFFECT_BLOCKS, 0, PCI_ACS_CTRL_EGRESS);
}

static bool can_forward(const struct function *port)
{
	unsigned int capability, control;

	return config_acs(port, &capability, &control) == KNOWN_YES &&
	       capability & PCI_ACS_CAP_FORWARD;
}

static void add_forwarding(struct machine *machine, json_object *to,
			   const struct verdict *verdict)
{
	json_object *remedy;
	unsigned int i;

	if (!has_port(verdict, EFFECT_NO_FORWARDING))
		return;
	for (i = 0; i < verdict->nr_ports; i++)
		if (verdict->ports[i].effect == EFFECT_NO_FORWARDING &&
		    !can_forward(verdict->ports[i].function))
			return;
	remedy = add_remedy(to, "access-control",
			    "let the ports above forward what was redirected; the host bridge decides",
			    "none in isolation; traffic takes the way through the host bridge");
	add_config_acs(remedy, "1xxxx", port_list(verdict, EFFECT_NO_FORWARDING, "1xxxx@"));
	add_trial(machine, remedy, verdict, EFFECT_NO_FORWARDING, PCI_ACS_CTRL_FORWARD,
		  PCI_ACS_CTRL_FORWARD);
}

/* Direct Translated P2P (PCIe Base Specification r6.0, sec 6.12.1.1). */
static void translate_in_client(json_object *to, const struct function *client,
				const struct function *provider, const struct verdict *verdict)
{
	const struct function *meeting = find_meeting(client, provider);
	const struct function *port = side_below(client, meeting);
	unsigned int at, capability, control;
	json_object *remedy;

	if (!meeting || !port || !has_port(verdict, EFFECT_REDIRECTS) ||
	    config_extended(client, PCI_EXT_CAP_ID_ATS, &at) != KNOWN_YES ||
	    config_acs(port, &capability, &control) != KNOWN_YES ||
	    !(capability & PCI_ACS_CAP_TRANS))
		return;
	if (control & PCI_ACS_CTRL_TRANS && config_uses_ats(client) == KNOWN_YES)
		return;
	remedy = add_remedy(to, "access-control",
			    "keep isolation: let requests that the client translated go direct",
			    "an IOMMU that translates, and a client that uses ATS for peer memory");
	if (!(control & PCI_ACS_CTRL_TRANS)) {
		add_config_acs(remedy, "1xxxxxx", xasprintf("1xxxxxx@%s", port->bdf));
		add_words(get(remedy, "now"), "setpci -s %s ECAP_ACS+%x.w=%x:%x", port->bdf,
			  acs_control_offset(port), PCI_ACS_CTRL_TRANS, PCI_ACS_CTRL_TRANS);
	}
	if (config_uses_ats(client) != KNOWN_YES)
		add_words(get(remedy, "price"),
			  "needs ATS of %s on (settings of the device) and the IOMMU on (VT-d, AMD-Vi)",
			  client->bdf);
	if (verdict->answer == ANSWER_NONE)
		add_words(get(remedy, "price"),
			  "for virtual machines only: drivers of this kernel are still refused");
}

static const char *host_ids(const struct host *host)
{
	return host->first ? xasprintf("%04x:%04x", host->first->vendor, host->first->device) :
			     xasprintf("%04x:%02x", host->domain, host->bus);
}

static void add_vouching(struct machine *machine, json_object *to, const struct function *client,
			 const struct function *provider)
{
	bool two = client->host != provider->host;
	json_object *remedy;

	/* An emulated host bridge does not route: the host of the virtual machine does. */
	if (machine->virtual && machine->support != SUPPORT_OURS)
		return;
	if (machine->support != SUPPORT_OURS && machine->support != SUPPORT_UNKNOWN) {
		add_remedy(to, "policy",
			   "a kernel with p2pdma policies can be told that the host bridge routes",
			   "another kernel; and it has to be true, or data is corrupted in silence");
		return;
	}
	remedy = add_remedy(to, "policy", two ?
			    "if you know that both host bridges route to each other, say so" :
			    "if you know that the host bridge routes between its ports, say so",
			    "if it does not, data is corrupted in silence: compare what arrives");
	add_words(get(remedy, "price"), "the kernel is marked as tainted");
	add_words(get(remedy, "price"),
		  "hosts of desktop class pass writes and answer reads with all ones: test reads");
	if (machine->support == SUPPORT_UNKNOWN)
		add_words(get(remedy, "price"),
			  "needs a kernel with p2pdma policies; stock Linux has no such switch");
	if (two && strcmp(host_ids(client->host), host_ids(provider->host)))
		add_parameter(remedy, "boot",
			      xasprintf("p2pdma.allow=%s,%s", host_ids(client->host),
					host_ids(provider->host)));
	else
		add_parameter(remedy, "boot",
			      xasprintf("p2pdma.allow=%s", host_ids(client->host)));
	add_words(get(remedy, "now"), "p2pdma policy %s allow", client->host->name);
	if (two)
		add_words(get(remedy, "now"), "p2pdma policy %s allow", provider->host->name);
}

/* Intel Thunderbolt and USB4 controllers: their downstream ports lead to cables. */
static bool is_thunderbolt(const struct function *function)
{
	static const unsigned short ranges[][2] = {
		{ 0x0b26, 0x0b27 }, { 0x1133, 0x1137 }, { 0x1513, 0x151b }, { 0x1547, 0x1549 },
		{ 0x1566, 0x156d }, { 0x1575, 0x1578 }, { 0x15bf, 0x15c0 }, { 0x15d2, 0x15da },
		{ 0x15e7, 0x15ef }, { 0x5780, 0x5786 },
	};
	unsigned int i;

	for (i = 0; i < COUNT_OF(ranges); i++)
		if (function->vendor == PCI_VENDOR_ID_INTEL && function->device >= ranges[i][0] &&
		    function->device <= ranges[i][1])
			return true;
	return false;
}

/* A switch on a card has no slots: the bit Slot Implemented is off in all downstream ports. */
static bool has_slot(const struct machine *machine, const struct function *upstream)
{
	const struct function *port;
	unsigned int i, at, flags;

	if (is_thunderbolt(upstream))
		return false;
	for (i = 0; i < machine->nr; i++) {
		port = machine->functions[i];
		if (port->up == upstream && config_pcie(port, &at) == KNOWN_YES &&
		    config_read(port, at + PCI_EXP_FLAGS, 2, &flags) && flags & PCI_EXP_FLAGS_SLOT)
			return true;
	}
	return false;
}

/* Topmost switch with slots above a function. Functions below a switch need no host bridge. */
static const struct function *switch_above(const struct machine *machine,
					   const struct function *function)
{
	const struct function *found = NULL;

	for (function = function->up; function; function = function->up)
		if (config_pcie_type(function) == PCI_EXP_TYPE_UPSTREAM &&
		    has_slot(machine, function))
			found = function;
	return found;
}

/*
 * Does a function fit a slot of a switch? Functions inside the processor or chip set do not, nor
 * do conventional PCI functions.
 */
static bool fits_slot(const struct function *function)
{
	unsigned int where;

	switch (config_pcie_type(function)) {
	case PCI_EXP_TYPE_ROOT_INT_EP:
	case PCI_EXP_TYPE_ROOT_EC:
		return false;
	default:
		return config_pcie(function, &where) != KNOWN_NO;
	}
}

/*
 * May a function at or below a switch redirect, after a device was moved into any slot? @other
 * is below already; stock Linux counts @other, too.
 */
static enum known may_redirect(const struct function *function, const struct function *at,
			       const struct function *other)
{
	if (!is_below(function, at) || (!function_is_bridge(function) && function != other))
		return KNOWN_NO;
	return function->stock_redirects;
}

static char *list_switch(const struct machine *machine, const struct function *at,
			 const struct function *other)
{
	char *list = xstrdup("");
	unsigned int i;

	for (i = 0; i < machine->nr && at; i++)
		if (may_redirect(machine->functions[i], at, other) == KNOWN_YES)
			list = xasprintf("%s%s%s", list, *list ? ";" : "",
					 machine->functions[i]->bdf);
	return list;
}

static bool is_unread_below(const struct machine *machine, const struct function *at)
{
	unsigned int i;

	for (i = 0; i < machine->nr; i++)
		if (may_redirect(machine->functions[i], at, NULL) == UNKNOWN)
			return true;
	return false;
}

static bool has_virtual(const struct machine *machine, const struct function *function)
{
	unsigned int i;

	for (i = 0; i < machine->nr; i++)
		if (machine->functions[i]->physfn == function)
			return true;
	return false;
}

/* Adds the remedy to move @who below the switch @at; the ports in @list redirect. */
static void move_below(const struct machine *machine, json_object *to, const struct function *who,
		       const struct function *at, const char *list)
{
	json_object *remedy, *price;
	const char *what;

	what = xasprintf("move %s to a slot below the switch %s, where the other is%s", who->bdf,
			 at->bdf, *list ? ", and let its ports not redirect" : "");
	remedy = add_remedy(to, "slot", what, "a slot");
	price = get(remedy, "price");
	if (has_virtual(machine, who))
		add_words(price, "all virtual functions of %s move, too", who->bdf);
	if (is_unread_below(machine, at))
		add_words(price, "nothing tells whether the ports of the switch redirect: %s",
			  "dump configuration space as root");
	if (!*list)
		return;
	add_parameter(remedy, "boot", xasprintf("%s%s", redirect_parameter, list));
	add_isolation_price(machine, remedy, at);
	add_words(price, "bus numbers may change with the move: look at the ports again");
	add_present(machine, remedy);
}

/* Prefers a switch that routes as is to a switch that redirects. */
static void another_slot(const struct machine *machine, json_object *to,
			 const struct function *client, const struct function *provider)
{
	const struct function *a = client->physfn ? client->physfn : client;
	const struct function *b = provider->physfn ? provider->physfn : provider;
	const struct function *above_a = switch_above(machine, a);
	const struct function *above_b = switch_above(machine, b);
	char *list_a = list_switch(machine, above_a, a), *list_b = list_switch(machine, above_b, b);
	const struct function *misfit = fits_slot(a) ? b : a;

	if (function_is_bridge(a) || function_is_bridge(b))
		return;
	if (!fits_slot(misfit))
		add_remedy(to, "hardware",
			   xasprintf("%s fits no slot of a PCI Express switch: use %s",
				     misfit->bdf, "a card in its place"), "another card");
	else if (above_b && (!*list_b || !above_a || *list_a))
		move_below(machine, to, a, above_b, list_b);
	else if (above_a)
		move_below(machine, to, b, above_a, list_a);
	else
		add_remedy(to, "slot",
			   "put both below one PCI Express switch, which has to route between its ports",
			   "a switch, or another machine");
}

/* The Volume Management Device is integrated into the processor, and has the class RAID. */
static bool is_vmd(const struct function *function)
{
	return function->vendor == PCI_VENDOR_ID_INTEL &&
	       function->class >> 8 == PCI_CLASS_STORAGE_RAID &&
	       config_pcie_type(function) == PCI_EXP_TYPE_ROOT_INT_EP;
}

/* Without VMD, a drive is below a host bridge that has a VMD controller now. */
static bool may_route_without_vmd(const struct machine *machine, const struct function *function)
{
	unsigned int i;

	if (!is_behind_vmd(function))
		return may_route(machine, function->host);
	for (i = 0; i < machine->nr; i++)
		if (is_vmd(machine->functions[i]) &&
		    may_route(machine, machine->functions[i]->host))
			return true;
	return false;
}

static void turn_vmd_off(const struct machine *machine, json_object *to,
			 const struct function *client, const struct function *provider)
{
	json_object *remedy;

	if ((!is_behind_vmd(client) && !is_behind_vmd(provider)) ||
	    !may_route_without_vmd(machine, client) || !may_route_without_vmd(machine, provider))
		return;
	remedy = add_remedy(to, "firmware",
			    "turn VMD off: then the host bridge of the processor decides",
			    "no hardware; RAID volumes of VMD (VROC) do not come up without VMD");
	add_words(get(remedy, "price"), "addresses and names of the drives change");
	add_words(get(remedy, "firmware"), "VMD (Intel Volume Management Device): Disabled");
}

/* The guest sees what the hypervisor shows. The remedies are on the host. */
static void ask_hypervisor(json_object *to)
{
	json_object *remedy;

	remedy = add_remedy(to, "hypervisor",
			    "put both below one PCIe switch in the configuration of the hypervisor",
			    "it has to be true on the host: run p2pdma path there, with its remedies");
	add_words(get(remedy, "price"), "the host decides about isolation, in its own ports");
	add_remedy(to, "hypervisor",
		   "tell NVIDIA GPUs that share a switch on the host: x-nv-gpudirect-clique of QEMU",
		   "it has to be true on the host, or transfers fail");
	add_remedy(to, "hypervisor",
		   "tell NCCL the real topology: NCCL_TOPO_FILE with the file of the cloud or host",
		   NULL);
}

static void undo_denial(json_object *to, const struct function *client,
			const struct function *provider, const struct verdict *verdict)
{
	const struct host *hosts[] = { client->host, provider->host };
	json_object *remedy = add_remedy(to, "policy", "lift the ban that somebody put there",
					 "whatever the ban was for");
	json_object *now = get(remedy, "now");
	unsigned int i;

	for (i = 0; i < verdict->nr_ports; i++)
		if (verdict->ports[i].effect == EFFECT_DENIED)
			add_words(now, "p2pdma policy %s auto", verdict->ports[i].function->bdf);
	for (i = 0; i < COUNT_OF(hosts) - (hosts[0] == hosts[1]); i++)
		if (hosts[i]->policy == POLICY_DENY)
			add_words(now, "p2pdma policy %s auto", hosts[i]->name);
}

static void be_able_to_say(json_object *to, const struct machine *machine,
			   const struct verdict *verdict)
{
	const char *what = "dump configuration space as root with lspci -xxxx";

	if (verdict->reason == REASON_PROCESSOR_UNKNOWN)
		add_remedy(to, "knowledge",
			   "say --cpu amd-zen if lscpu says AuthenticAMD and family 23 or more; else --cpu other",
			   NULL);
	else if (verdict->reason == REASON_IOMMU_UNKNOWN)
		add_remedy(to, "knowledge", "say with --iommu whether an IOMMU translates", NULL);
	else if (verdict->reason == REASON_INCOMPLETE)
		add_remedy(to, "knowledge",
			   "dump the whole machine, as root: sudo lspci -D -xxxx", NULL);
	else if (verdict->reason == REASON_NEEDS_ROOT)
		add_remedy(to, "knowledge", machine->live ? "run it as root" : what, NULL);
}

static void undo_translation(struct machine *machine, json_object *to,
			     const struct verdict *verdict, const struct verdict *stock)
{
	json_object *remedy;

	remedy = add_remedy(to, "access-control",
			    "keep the client from translating addresses itself",
			    "the IOMMU translates every access of the device anew");
	add_parameter(remedy, "boot", "pci=noats");
	undo_redirects(machine, to, verdict, stock);
}

/* Direct Translated P2P exists and is in use: the route is what the administrator wants. */
static bool is_meant(const struct function *client, const struct function *provider,
		     const struct verdict *verdict)
{
	return verdict->answer == ANSWER_HOST && translated_goes_direct(client, provider);
}

static void add_refused(struct machine *machine, json_object *list, const struct function *client,
			const struct function *provider, const struct verdict *verdict)
{
	enum reason reason = verdict->reason;

	undo_blocking(machine, list, verdict);
	add_forwarding(machine, list, verdict);
	if (reason == REASON_POLICY || has_port(verdict, EFFECT_DENIED))
		undo_denial(list, client, provider, verdict);
	if (reason == REASON_UNLISTED || reason == REASON_SAME_ONLY) {
		turn_vmd_off(machine, list, client, provider);
		if (machine->virtual)
			ask_hypervisor(list);
		else if (!verdict->parent)
			another_slot(machine, list, client, provider);
		add_vouching(machine, list, client, provider);
	}
	if (reason == REASON_ADDRESS)
		add_remedy(list, "hardware",
			   "use a client that emits all addresses, or move the memory below its limit",
			   "another card, or firmware that places BARs below 4 GiB");
	if (reason == REASON_UNREADABLE)
		add_remedy(list, "hardware",
			   "find out why the port does not answer: dmesg, its power state, its slot",
			   NULL);
}

/**
 * remedies - list the ways to improve a route
 * @machine: the machine
 * @client: function that masters DMA
 * @provider: function with the memory
 * @verdict: verdict for @client and @provider
 * @stock: verdict of stock Linux, or NULL if another kernel runs
 *
 * Return: an array of remedies, empty if none is known.
 */
json_object *remedies(struct machine *machine, const struct function *client,
		      const struct function *provider, const struct verdict *verdict,
		      const struct verdict *stock)
{
	json_object *list = json_object_new_array();

	be_able_to_say(list, machine, verdict);
	if (verdict->answer == ANSWER_UNKNOWN || client == provider)
		return list;
	translate_in_client(list, client, provider, verdict);
	if (verdict->reason == REASON_TRANSLATED)
		undo_translation(machine, list, verdict, stock);
	else if (!is_meant(client, provider, verdict))
		undo_redirects(machine, list, verdict, stock);
	if (verdict->answer == ANSWER_NONE)
		add_refused(machine, list, client, provider, verdict);
	return list;
}

/**
 * add_set_remedy - add the remedy for the ports that redirect between a set of functions
 * @machine: the machine
 * @to: array of remedies
 * @kernel: kernel that counts the ports, "ours" or "stock"; NULL for both
 * @ports: true for each redirecting port, indexed as @machine->functions
 */
void add_set_remedy(const struct machine *machine, json_object *to, const char *kernel,
		    const bool *ports)
{
	char *list = xstrdup("");
	json_object *remedy;
	unsigned int i;

	for (i = 0; i < machine->nr; i++)
		if (ports[i])
			list = xasprintf("%s%s%s", list, *list ? ";" : "",
					 machine->functions[i]->bdf);
	if (!*list)
		return;
	remedy = add_remedy(to, "access-control",
			    "let ports turn traffic between all of these around, not send it up",
			    "isolation: functions below one switch reach each other past the IOMMU");
	add_text(remedy, "kernel", kernel);
	add_parameter(remedy, "boot", xasprintf("%s%s", redirect_parameter, list));
}

static void print_parameters(json_object *remedy, const char *name, const char *grub)
{
	print_lines(remedy, name, "      ");
	if (!get_length(remedy, grub))
		return;
	printf("    in GRUB_CMDLINE_LINUX of /etc/default/grub, where \"\\;\" stands for \";\":\n");
	print_lines(remedy, grub, "      ");
}

static const char *command_line(json_object *remedy)
{
	const char *kernel = get_text(remedy, "kernel");

	if (!kernel)
		return "the kernel's command line";
	return strcmp(kernel, "stock") ? "the command line of a kernel with p2pdma policies" :
					 "the command line of stock Linux";
}

static void print_remedy(json_object *remedy)
{
	printf("  * %s\n", get_text(remedy, "what"));
	if (get_length(remedy, "boot"))
		printf("    for good, on %s:\n", command_line(remedy));
	print_parameters(remedy, "boot", "grub");
	if (get_length(remedy, "boot_all"))
		printf("    the same for all below %s, as a second %s replaces the first:\n",
		       get_text(remedy, "below"), redirect_parameter);
	print_parameters(remedy, "boot_all", "grub_all");
	if (get_length(remedy, "now"))
		printf("    at once, until the next boot, as root:\n");
	print_lines(remedy, "now", "      ");
	if (get_length(remedy, "firmware"))
		printf("    %sin the setup of the firmware:\n",
		       get_length(remedy, "boot") ? "or " : "");
	print_lines(remedy, "firmware", "      ");
	print_lines(remedy, "price", "    price: ");
}

/**
 * print_remedies - print the remedies of a report
 * @report: the report
 */
void print_remedies(json_object *report)
{
	size_t i, nr = get_length(report, "remedies");

	if (nr)
		printf("\nWhat can be done:\n");
	for (i = 0; i < nr; i++)
		print_remedy(get_item(report, "remedies", i));
}
