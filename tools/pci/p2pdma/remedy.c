// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma: how to improve a route, and at what price
 *
 * The commands are ready to paste. Bits are bits of the ACS control register (PCIe Base
 * Specification r6.0, sec 7.7.11.3). setpci finds the register at ECAP_ACS+6, in some root ports
 * at ECAP_ACS+8.
 */
#include <string.h>
#include <pci/pci.h>

#include "tool.h"

#define REDIRECTS \
	(PCI_ACS_CTRL_REQ_RED | PCI_ACS_CTRL_CMPLT_RED | PCI_ACS_CTRL_EGRESS)

/* Number of functions to list; a longer list ends in "..." */
#define SHOWN_FUNCTIONS	12

static json_object *add_remedy(json_object *to, const char *kind, const char *what,
			       const char *price)
{
	json_object *remedy = json_object_new_object(), *prices;

	add_text(remedy, "kind", kind);
	add_text(remedy, "what", what);
	prices = add_array(remedy, "price");
	if (price)
		add_words(prices, "%s", price);
	add_array(remedy, "boot");
	add_array(remedy, "now");
	add_item(to, remedy);
	return remedy;
}

static bool has_port(const struct verdict *verdict, const char *effect)
{
	unsigned int i;

	for (i = 0; i < verdict->nr_ports; i++)
		if (!strcmp(verdict->ports[i].effect, effect))
			return true;
	return false;
}

/* Returns the ports with an effect: "0000:01:00.0;0000:02:00.0". */
static char *port_list(const struct verdict *verdict, const char *effect)
{
	char *list = keep_text("");
	unsigned int i;

	for (i = 0; i < verdict->nr_ports; i++)
		if (!strcmp(verdict->ports[i].effect, effect) &&
		    !strstr(list, verdict->ports[i].function->bdf))
			list = keep_format("%s%s%s", list, *list ? ";" : "",
					   verdict->ports[i].function->bdf);
	return list;
}

/* The kernel remembers routes, so the commands end with a rescan. */
static void add_trial(const struct machine *machine, json_object *remedy,
		      const struct verdict *verdict, const char *effect, unsigned int value,
		      unsigned int mask)
{
	json_object *now = get(remedy, "now");
	unsigned int i;

	for (i = 0; i < verdict->nr_ports; i++)
		if (!strcmp(verdict->ports[i].effect, effect))
			add_words(now, "setpci -s %s ECAP_ACS+%x.w=%x:%x",
				  verdict->ports[i].function->bdf,
				  acs_control_offset(verdict->ports[i].function), value, mask);
	if (machine->support == SUPPORT_OURS)
		add_words(now, "echo 1 > /sys/bus/pci/p2pdma_rescan");
}

static bool is_below(const struct function *function, const struct function *bridge)
{
	while (function && function != bridge)
		function = function->up;
	return function;
}

/* Adds the price of direct routing: functions below @parent are no longer isolated. */
static void add_isolation_price(const struct machine *machine, json_object *remedy,
				const struct function *parent)
{
	json_object *price = get(remedy, "price");
	char *list = keep_text("");
	unsigned int i, nr = 0;

	for (i = 0; i < machine->nr && parent; i++) {
		if (!is_below(machine->functions[i], parent) ||
		    function_is_bridge(machine->functions[i]))
			continue;
		if (nr++ < SHOWN_FUNCTIONS)
			list = keep_format("%s %s", list, machine->functions[i]->bdf);
	}
	add_words(price, "isolation: these reach each other past the IOMMU:%s%s", list,
		  nr > SHOWN_FUNCTIONS ? " ..." : "");
	add_words(price, "they may become one IOMMU group, for one virtual machine or for none");
}

static void undo_redirect(struct machine *machine, json_object *to, const struct verdict *verdict)
{
	json_object *remedy;

	if (!has_port(verdict, "redirects"))
		return;
	remedy = add_remedy(to, "access-control",
			    "let the ports turn peer traffic around, not send it up", NULL);
	add_isolation_price(machine, remedy, verdict->parent);
	add_words(get(remedy, "boot"), "pci=disable_acs_redir=%s",
		  port_list(verdict, "redirects"));
	add_trial(machine, remedy, verdict, "redirects", 0, REDIRECTS);
}

static void undo_blocking(struct machine *machine, json_object *to, const struct verdict *verdict)
{
	json_object *remedy;

	if (!has_port(verdict, "blocks") || strcmp(verdict->reason, "egress-control"))
		return;
	remedy = add_remedy(to, "access-control",
			    "turn egress control off in the port that blocks", NULL);
	add_isolation_price(machine, remedy, verdict->parent);
	add_words(get(remedy, "boot"), "pci=config_acs=0xxxxx@%s", port_list(verdict, "blocks"));
	add_trial(machine, remedy, verdict, "blocks", 0, PCI_ACS_CTRL_EGRESS);
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

	if (!has_port(verdict, "no-forwarding"))
		return;
	for (i = 0; i < verdict->nr_ports; i++)
		if (!strcmp(verdict->ports[i].effect, "no-forwarding") &&
		    !can_forward(verdict->ports[i].function))
			return;
	remedy = add_remedy(to, "access-control",
			    "let the ports above forward what was redirected; the host bridge decides",
			    "none in isolation; traffic takes the way through the host bridge");
	add_words(get(remedy, "boot"), "pci=config_acs=1xxxx@%s",
		  port_list(verdict, "no-forwarding"));
	add_trial(machine, remedy, verdict, "no-forwarding", PCI_ACS_CTRL_FORWARD,
		  PCI_ACS_CTRL_FORWARD);
}

static const char *host_ids(const struct host *host)
{
	return host->first ? keep_format("%04x:%04x", host->first->vendor, host->first->device) :
			     keep_format("%04x:%02x", host->domain, host->bus);
}

static void add_vouching(struct machine *machine, json_object *to, const struct function *client,
			 const struct function *provider)
{
	bool two = client->host != provider->host;
	json_object *remedy;

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
	if (two && strcmp(host_ids(client->host), host_ids(provider->host)))
		add_words(get(remedy, "boot"), "p2pdma.allow=%s,%s", host_ids(client->host),
			  host_ids(provider->host));
	else
		add_words(get(remedy, "boot"), "p2pdma.allow=%s", host_ids(client->host));
	add_words(get(remedy, "now"), "p2pdma policy %s allow", client->host->name);
	if (two)
		add_words(get(remedy, "now"), "p2pdma policy %s allow", provider->host->name);
}

/* Topmost switch above a function. Functions below the same switch need no host bridge. */
static const struct function *switch_above(const struct function *function)
{
	const struct function *found = NULL;

	for (function = function->up; function; function = function->up)
		if (config_pcie_type(function) == PCI_EXP_TYPE_UPSTREAM)
			found = function;
	return found;
}

static void another_slot(json_object *to, const struct function *client,
			 const struct function *provider)
{
	const struct function *at = switch_above(provider), *who = client;
	const char *what;

	if (!at) {
		at = switch_above(client);
		who = provider;
	}
	what = at ? keep_format("move %s to a slot below the switch %s, where the other is",
				who->bdf, at->bdf) :
		    "put both below one PCI Express switch, which has to route between its ports";
	add_remedy(to, "slot", what, at ? "a slot" : "a switch, or another machine");
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
		if (!strcmp(verdict->ports[i].effect, "denied"))
			add_words(now, "p2pdma policy %s auto", verdict->ports[i].function->bdf);
	for (i = 0; i < COUNT_OF(hosts) - (hosts[0] == hosts[1]); i++)
		if (hosts[i]->policy == POLICY_DENY)
			add_words(now, "p2pdma policy %s auto", hosts[i]->name);
}

static void be_able_to_say(json_object *to, const struct machine *machine,
			   const struct verdict *verdict)
{
	const char *what = "dump configuration space as root with lspci -xxxx";

	if (!strcmp(verdict->reason, "processor-unknown"))
		add_remedy(to, "knowledge", "say which processor it is with --cpu", NULL);
	else if (!strcmp(verdict->reason, "iommu-unknown"))
		add_remedy(to, "knowledge", "say with --iommu whether an IOMMU translates", NULL);
	else if (!strcmp(verdict->reason, "incomplete"))
		add_remedy(to, "knowledge",
			   "dump the whole machine, as root: sudo lspci -D -xxxx", NULL);
	else if (!strcmp(verdict->reason, "needs-root"))
		add_remedy(to, "knowledge", machine->live ? "run it as root" : what, NULL);
}

static void undo_translation(struct machine *machine, json_object *to,
			     const struct function *client, const struct verdict *verdict)
{
	json_object *remedy;

	remedy = add_remedy(to, "access-control",
			    "keep the client from translating addresses itself",
			    "the IOMMU translates every access of the device anew");
	add_words(get(remedy, "boot"), "pci=noats");
	undo_redirect(machine, to, verdict);
	(void)client;
}

/**
 * remedies - list the ways to improve a route
 * @machine: the machine
 * @client: function that masters DMA
 * @provider: function with the memory
 * @verdict: verdict for @client and @provider
 *
 * Return: an array of remedies, empty if none is known.
 */
json_object *remedies(struct machine *machine, const struct function *client,
		      const struct function *provider, const struct verdict *verdict)
{
	json_object *list = json_object_new_array();
	const char *reason = verdict->reason;

	be_able_to_say(list, machine, verdict);
	if (verdict->answer == ANSWER_UNKNOWN || client == provider)
		return list;
	if (!strcmp(reason, "translated-requests"))
		undo_translation(machine, list, client, verdict);
	else
		undo_redirect(machine, list, verdict);
	if (verdict->answer != ANSWER_NONE)
		return list;
	undo_blocking(machine, list, verdict);
	add_forwarding(machine, list, verdict);
	if (!strcmp(reason, "policy") || has_port(verdict, "denied"))
		undo_denial(list, client, provider, verdict);
	if (!strcmp(reason, "unlisted") || !strcmp(reason, "listed-same-bridge")) {
		another_slot(list, client, provider);
		add_vouching(machine, list, client, provider);
	}
	if (!strcmp(reason, "address-limit"))
		add_remedy(list, "hardware",
			   "use a client that emits all addresses, or move the memory below its limit",
			   "another card, or firmware that places BARs below 4 GiB");
	if (!strcmp(reason, "unreadable"))
		add_remedy(list, "hardware",
			   "find out why the port does not answer: dmesg, its power state, its slot",
			   NULL);
	return list;
}
