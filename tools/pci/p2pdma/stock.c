// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: verdicts of stock Linux 6.12
 *
 * Stock Linux has its own rules, without p2pdma/peers and without policies. A redirecting function
 * anywhere on the two paths makes the route go through the host bridge: client and provider
 * themselves, every port between, the shared parent. Stock Linux knows neither Upstream
 * Forwarding nor egress vectors nor the IOMMU.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <pci/pci.h>

#include "internal.h"

#define REDIRECTS \
	(PCI_ACS_CTRL_REQ_RED | PCI_ACS_CTRL_CMPLT_RED | PCI_ACS_CTRL_EGRESS)

/**
 * is_below - is a function below a bridge, or the bridge itself?
 * @function: the function
 * @bridge: the bridge
 *
 * Return: true if @bridge is on the path from @function to the root.
 */
bool is_below(const struct function *function, const struct function *bridge)
{
	while (function && function != bridge)
		function = function->up;
	return function;
}

/**
 * find_meeting - find the shared parent of two functions
 * @client: a function
 * @provider: a function
 *
 * Return: the lowest function on both paths to the root, or NULL for the host bridge.
 */
const struct function *find_meeting(const struct function *client,
				    const struct function *provider)
{
	while (client && !is_below(provider, client))
		client = client->up;
	return client;
}

/**
 * side_below - last function of a path below the shared parent
 * @function: the client or provider
 * @meeting: the shared parent, or NULL for the host bridge
 *
 * Return: the function, or NULL if @function is the shared parent.
 */
const struct function *side_below(const struct function *function,
				  const struct function *meeting)
{
	while (function && function != meeting && function->up != meeting)
		function = function->up;
	return function == meeting ? NULL : function;
}

static enum known read_redirects(const struct function *function)
{
	unsigned int at, capability, control;
	enum known known;

	if (acs_control_offset(function) == PCI_ACS_CTRL) {
		known = config_acs(function, &capability, &control);
	} else {
		known = config_extended(function, PCI_EXT_CAP_ID_ACS, &at);
		if (known == KNOWN_YES && !config_read(function, at + PCI_ACS_CTRL, 2, &control))
			known = UNKNOWN;
	}
	if (known != KNOWN_YES)
		return known;
	return control & REDIRECTS ? KNOWN_YES : KNOWN_NO;
}

/**
 * stock_prepare - find out what stock Linux reads in the registers of all functions
 * @machine: a machine with all functions
 *
 * Stock Linux reads the control register at the place of the specification, also in root ports
 * with wide registers.
 */
void stock_prepare(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < machine->nr; i++)
		machine->functions[i]->stock_redirects = read_redirects(machine->functions[i]);
}

/* Counts @function and what is above, up to @until, not included. */
static void count_ports(struct verdict *verdict, const struct function *function,
			const struct function *until)
{
	enum known redirects;

	for (; function != until; function = function->up) {
		redirects = function->stock_redirects;
		if (redirects == KNOWN_YES && verdict->nr_ports < MAX_PORTS)
			verdict->ports[verdict->nr_ports++] =
				(struct port) { function, EFFECT_REDIRECTS };
		else if (redirects == UNKNOWN && verdict->nr_unread < MAX_PORTS)
			verdict->unread[verdict->nr_unread++] = function;
	}
}

static int count_hops(const struct function *function, const struct function *until)
{
	int hops = 0;

	for (; function != until; function = function->up)
		hops++;
	return hops;
}

static void set_answer(struct verdict *verdict, enum answer answer, enum reason reason)
{
	verdict->answer = answer;
	verdict->reason = reason;
}

/* A refusal is final. Without a refusal, the answer is unknown if one host bridge is unknown. */
static void ask_host(const struct machine *machine, const struct host *host, bool two,
		     struct verdict *verdict)
{
	enum capability capability = host_capability(machine, host);

	if (!two && capability == CAPABILITY_UNKNOWN && host_routes_within(host))
		capability = CAPABILITY_LISTED_SAME;
	if (capability == CAPABILITY_UNLISTED)
		set_answer(verdict, ANSWER_NONE, REASON_UNLISTED);
	else if (two && capability == CAPABILITY_LISTED_SAME)
		set_answer(verdict, ANSWER_NONE, REASON_SAME_ONLY);
	else if (verdict->answer == ANSWER_UNKNOWN)
		return;
	else if (capability == CAPABILITY_UNKNOWN)
		set_answer(verdict, ANSWER_UNKNOWN,
			   host->unsure ? REASON_INCOMPLETE : REASON_PROCESSOR_UNKNOWN);
	else
		set_answer(verdict, ANSWER_HOST,
			   capability == CAPABILITY_CPU ? REASON_CPU : REASON_LISTED);
}

static void ask_hosts(const struct machine *machine, const struct function *client,
		      const struct function *provider, struct verdict *verdict)
{
	bool two = client->host != provider->host;

	verdict->answer = ANSWER_HOST;
	ask_host(machine, client->host, two, verdict);
	if (two && verdict->answer != ANSWER_NONE)
		ask_host(machine, provider->host, two, verdict);
}

/**
 * stock_compute - compute the verdict of stock Linux 6.12
 * @machine: the machine
 * @client: function that masters DMA
 * @provider: function with the memory
 * @verdict: filled in; the ports are in the order of the list that stock Linux logs
 */
void stock_compute(const struct machine *machine, const struct function *client,
		   const struct function *provider, struct verdict *verdict)
{
	const struct function *meeting = find_meeting(client, provider);

	verdict->kernel = false;
	verdict->other_answer = NULL;
	verdict->iommu = false;
	verdict->nr_ports = 0;
	verdict->nr_unread = 0;
	verdict->parent = meeting;
	verdict->distance = count_hops(client, meeting) + count_hops(provider, meeting);
	if (meeting) {
		count_ports(verdict, provider, meeting->up);
		count_ports(verdict, client, meeting);
	}
	verdict->redirected = verdict->nr_ports;
	if (verdict_ground(machine, client, provider, verdict))
		return;
	if (!meeting || verdict->redirected) {
		verdict->nr_unread = 0;
		ask_hosts(machine, client, provider, verdict);
		verdict_explain_host(verdict, client, provider);
	} else if (verdict->nr_unread) {
		set_answer(verdict, ANSWER_UNKNOWN,
			   geteuid() || !machine->live ? REASON_NEEDS_ROOT : REASON_UNREADABLE);
	} else {
		set_answer(verdict, ANSWER_DIRECT, client == provider ? REASON_SELF : REASON_SPEC);
	}
}

/* Counts functions of a set at and below each function, and branches that hold such functions. */
static void count_set(const struct function *function, unsigned int *below,
		      unsigned int *branches)
{
	branches[function->index]++;
	for (; function; function = function->up)
		if (!below[function->index]++ && function->up)
			branches[function->up->index]++;
}

/**
 * stock_ports - find the ports that stock Linux counts between the functions of a set
 * @machine: the machine
 * @set: the functions
 * @nr: length of @set
 * @ports: set to true for each port, indexed as @machine->functions
 *
 * Gives the ports of stock_compute() for all pairs, without asking for each pair: a port is on
 * the path of a pair if the set has functions below the port and elsewhere below the same root
 * port, or if a pair meets at the port.
 */
void stock_ports(const struct machine *machine, struct function **set, unsigned int nr,
		 bool *ports)
{
	unsigned int *branches = xzalloc((machine->nr + 1) * sizeof(*branches));
	unsigned int *below = xzalloc((machine->nr + 1) * sizeof(*below));
	bool *counted = xzalloc(machine->nr + 1);
	const struct function *port, *top;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (!counted[set[i]->index])
			count_set(set[i], below, branches);
		counted[set[i]->index] = true;
	}
	for (i = 0; i < machine->nr; i++) {
		port = machine->functions[i];
		if (!below[i] || port->stock_redirects != KNOWN_YES)
			continue;
		for (top = port; top->up; top = top->up)
			;
		ports[i] = below[top->index] > below[i] || branches[i] > 1;
	}
	xfree(counted);
	xfree(below);
	xfree(branches);
}

/**
 * parse_rules - parse the argument of --kernel
 * @word: stock, ours or running
 * @rules: filled in
 *
 * Return: false for another word.
 */
bool parse_rules(const char *word, enum rules *rules)
{
	static const char * const words[] = {
		[RULES_RUNNING] = "running",
		[RULES_OURS] = "ours",
		[RULES_STOCK] = "stock",
	};

	for (*rules = RULES_RUNNING; *rules < COUNT_OF(words); (*rules)++)
		if (words[*rules] && !strcmp(words[*rules], word))
			return true;
	return false;
}

/**
 * choose_rules - choose the kernel whose verdicts to show
 * @machine: the machine
 * @rules: argument of --kernel, or RULES_DEFAULT
 *
 * Fails if the running kernel was asked for and is unknown.
 *
 * Return: RULES_OURS or RULES_STOCK.
 */
enum rules choose_rules(const struct machine *machine, enum rules rules)
{
	if (rules == RULES_RUNNING && machine->support == SUPPORT_UNKNOWN)
		die(STATUS_USAGE,
		    "--kernel running: the running kernel is unknown; say stock or ours");
	if (rules == RULES_OURS || rules == RULES_STOCK)
		return rules;
	return machine->support == SUPPORT_OTHER ? RULES_STOCK : RULES_OURS;
}

/**
 * rules_word - name of a kernel
 * @rules: RULES_OURS or RULES_STOCK
 *
 * Return: the word.
 */
const char *rules_word(enum rules rules)
{
	return rules == RULES_STOCK ? "stock" : "ours";
}

/**
 * verdict_under - get a verdict of a kernel
 * @machine: the machine
 * @rules: RULES_OURS or RULES_STOCK
 * @computed: do not ask the kernel
 * @client: function that masters DMA
 * @provider: function with the memory
 * @verdict: filled in
 */
void verdict_under(struct machine *machine, enum rules rules, bool computed,
		   struct function *client, struct function *provider, struct verdict *verdict)
{
	if (rules == RULES_STOCK)
		stock_compute(machine, client, provider, verdict);
	else
		verdict_get(machine, client, provider, computed, verdict);
}
