// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma tree: the hierarchy as text or as a graph
 */
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const char *svg;
static bool dot;
static bool whole;

enum {
	OPTION_SVG = 256,
	OPTION_DOT,
	OPTION_ALL,
};

static const struct option tree_options[] = {
	{ "svg", required_argument, NULL, OPTION_SVG },
	{ "dot", no_argument, NULL, OPTION_DOT },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ }
};

static bool tree_option(int option, const char *argument)
{
	if (option == OPTION_SVG)
		svg = argument;
	else if (option == OPTION_DOT)
		dot = true;
	else
		whole = true;
	return option != OPTION_SVG || *argument;
}

static json_object *make_node(const struct machine *machine, const struct function *function)
{
	json_object *node = function_report(machine, function), *memory;

	json_object_object_add(node, "acs", acs_report(function));
	if (function_is_bridge(function)) {
		add_text(node, "capability", "spec");
		add_text(node, "policy", policy_word(function->policy));
	}
	if (function->memory) {
		memory = add_object(node, "memory");
		add_number(memory, "size", function->memory->size);
		add_number(memory, "available", function->memory->available);
		add_bool(memory, "published", function->memory->published);
	}
	if (function->iommu_group >= 0)
		add_number(node, "iommu_group", function->iommu_group);
	if (function->numa_node >= 0)
		add_number(node, "numa_node", function->numa_node);
	add_array(node, "below");
	return node;
}

/* The node of the bridge above takes ownership. */
static void link_node(json_object **nodes, json_object *hosts, const struct function *function)
{
	json_object *above = function->up ? nodes[function->up->index] :
			     json_object_array_get_idx(hosts, function->host->index);

	add_item(get(above, "below"), nodes[function->index]);
}

static void add_hosts(const struct machine *machine, json_object *hosts)
{
	const struct host *host;
	json_object *node;
	unsigned int i;

	for (i = 0; i < machine->nr_hosts; i++) {
		host = machine->hosts[i];
		node = json_object_new_object();
		add_text(node, "host", host->name);
		add_text(node, "capability", capability_word(host_capability(machine, host)));
		add_text(node, "policy", policy_word(host->policy));
		add_array(node, "below");
		add_item(hosts, node);
	}
}

/* True for chip set devices without use for peer-to-peer DMA: hidden without --all. */
static bool is_dull(json_object *node)
{
	const char *kind = get_text(node, "kind");

	return !get_length(node, "below") && !get(node, "memory") &&
	       (!strcmp(get_text(node, "class"), "bridge") || !strcmp(kind, "event collector")) &&
	       strcmp(kind, "root port") && strcmp(kind, "switch downstream port");
}

static enum status tree_run(struct request *request)
{
	const struct machine *machine = request->machine;
	json_object **nodes = xzalloc(machine->nr * sizeof(*nodes));
	json_object *hosts = add_array(request->report, "hosts");
	unsigned int i;

	add_hosts(machine, hosts);
	for (i = 0; i < machine->nr; i++)
		nodes[i] = make_node(machine, machine->functions[i]);
	for (i = 0; i < machine->nr; i++)
		link_node(nodes, hosts, machine->functions[i]);
	if (svg)
		draw_svg(request->report, svg);
	return STATUS_YES;
}

static void print_acs(json_object *node)
{
	json_object *acs = get(node, "acs");
	const char *known = get_text(acs, "known");
	size_t i;

	if (!strcmp(known, "unread") && !strcmp(get_text(node, "class"), "bridge"))
		printf("  [access control not readable]");
	if (strcmp(known, "yes"))
		return;
	printf("  [");
	for (i = 0; i < get_length(acs, "on"); i++)
		printf("%s%s", i ? " " : "", json_object_get_string(get_item(acs, "on", i)));
	printf("%s]", i ? "" : "access control off");
}

static void print_node(json_object *node)
{
	json_object *memory = get(node, "memory");
	const char *policy = get_text(node, "policy");
	bool bridge = policy;

	printf("%s %s", get_text(node, "bdf"),
	       bridge ? get_text(node, "kind") : get_text(node, "title"));
	if (*one_name(node))
		printf(" (%s)", one_name(node));
	print_acs(node);
	if (bridge && strcmp(policy, "auto"))
		printf("  policy: %s", policy);
	if (memory)
		printf("  provides %s, %s available%s", show_size(get_number(memory, "size")),
		       show_size(get_number(memory, "available")),
		       get_bool(memory, "published") ? "" : ", not published");
	putchar('\n');
}

static size_t count_shown(json_object *node)
{
	size_t i, nr = 0;

	for (i = 0; i < get_length(node, "below"); i++)
		nr += whole || !is_dull(get_item(node, "below", i));
	return nr;
}

/* @lines: two columns for each level, with a line if more functions follow on the level. */
static void print_below(json_object *node, const char *lines)
{
	size_t i, left = count_shown(node);
	json_object *child;
	char *deeper;

	for (i = 0; i < get_length(node, "below"); i++) {
		child = get_item(node, "below", i);
		if (!whole && is_dull(child))
			continue;
		left--;
		printf("%s%s ", lines, left ? "+-" : "\\-");
		print_node(child);
		deeper = xasprintf("%s%s", lines, left ? "|  " : "   ");
		print_below(child, deeper);
		xfree(deeper);
	}
}

static void tree_print(json_object *report)
{
	json_object *host;
	size_t i;

	if (svg)
		return;
	if (dot) {
		draw_dot(report, stdout);
		return;
	}
	for (i = 0; i < get_length(report, "hosts"); i++) {
		host = get_item(report, "hosts", i);
		if (!whole && !count_shown(host))
			continue;
		printf("%s  host bridge, capability: %s", get_text(host, "host"),
		       get_text(host, "capability"));
		if (strcmp(get_text(host, "policy"), "auto"))
			printf(", policy: %s", get_text(host, "policy"));
		putchar('\n');
		print_below(host, " ");
	}
}

const struct command command_tree = {
	.name = "tree",
	.args = "",
	.summary = "what hangs where, with access control",
	.help = "In brackets what access control of a port has on, in the words of lspci.\n"
		"Devices of the chip set are left out.\n\n"
		"  --all        with the devices of the chip set\n"
		"  --dot        as a graph for Graphviz\n"
		"  --svg FILE   as a picture; Graphviz draws it\n",
	.options = tree_options,
	.option = tree_option,
	.run = tree_run,
	.print = tree_print,
};
