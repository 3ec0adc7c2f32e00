// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma matrix: verdicts for all pairs of a set of functions
 */
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* Nobody reads more than a million verdicts. */
#define MOST_FUNCTIONS	1024

static const char default_classes[] = "nvme,gpu,net,rdma,accelerator";

static const char *classes;
static bool all;

enum {
	OPTION_CLASS = 256,
	OPTION_ALL,
};

static const struct option matrix_options[] = {
	{ "class", required_argument, NULL, OPTION_CLASS },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ }
};

static bool matrix_option(int option, const char *argument)
{
	if (option == OPTION_ALL)
		all = true;
	else
		classes = argument;
	return option == OPTION_ALL || *argument;
}

static bool has_word(const char *list, const char *word)
{
	size_t length = strlen(word);
	const char *at;

	for (at = list; (at = strstr(at, word)); at += length)
		if ((at == list || at[-1] == ',') && (!at[length] || at[length] == ','))
			return true;
	return false;
}

/* RDMA adapters of Mellanox have the class of network cards. Recognize the name: mlx5_0. */
static bool wanted(const struct function *function)
{
	const char *list = classes ? classes : default_classes;
	unsigned int i;

	if (function_is_bridge(function))
		return false;
	if (all || (!classes && function->memory) || has_word(list, function_class(function)))
		return true;
	for (i = 0; i < function->nr_names; i++)
		if (strstr(function->names[i], "mlx") && has_word(list, "rdma"))
			return true;
	return false;
}

static void choose_functions(struct request *request, struct function **chosen, unsigned int *nr)
{
	struct machine *machine = request->machine;
	unsigned int i;

	if (classes)
		check_classes(classes);
	*nr = 0;
	for (i = 0; i < (unsigned int)request->nr_args && *nr < MOST_FUNCTIONS; i++)
		chosen[(*nr)++] = resolve(machine, request->args[i]);
	for (i = 0; i < machine->nr && !request->nr_args; i++) {
		if (!wanted(machine->functions[i]))
			continue;
		if (*nr == MOST_FUNCTIONS)
			fail(STATUS_USAGE, "more than %u functions; take --class or names",
			     MOST_FUNCTIONS);
		chosen[(*nr)++] = machine->functions[i];
	}
}

static json_object *make_cell(struct request *request, struct function *client,
			      struct function *provider)
{
	json_object *cell = json_object_new_object();
	static struct verdict verdict;

	verdict_get(request->machine, client, provider, request->computed, &verdict);
	add_text(cell, "verdict", answer_word(verdict.answer));
	if (verdict.distance >= 0)
		add_number(cell, "distance", verdict.distance);
	else
		add_text(cell, "distance", NULL);
	add_text(cell, "reason", verdict.reason);
	add_text(cell, "source", verdict.kernel ? "kernel" : "computed");
	return cell;
}

static enum status matrix_run(struct request *request)
{
	static struct function *chosen[MOST_FUNCTIONS];
	json_object *functions, *rows, *row;
	unsigned int i, j, nr;

	choose_functions(request, chosen, &nr);
	functions = add_array(request->report, "functions");
	rows = add_array(request->report, "rows");
	for (i = 0; i < nr; i++) {
		add_item(functions, function_report(request->machine, chosen[i]));
		row = json_object_new_array();
		for (j = 0; j < nr; j++)
			add_item(row, make_cell(request, chosen[i], chosen[j]));
		add_item(rows, row);
	}
	if (!nr)
		complain("matrix: there is no such device; --all takes every function");
	return nr ? STATUS_YES : STATUS_NO;
}

static void print_cell(json_object *cell)
{
	const char *verdict = get_text(cell, "verdict");
	char direct[16];
	const char *text = direct;

	if (!strcmp(get_text(cell, "reason"), "self"))
		text = "=";
	else if (!strcmp(verdict, "none"))
		text = "-";
	else if (!strcmp(verdict, "unknown"))
		text = "?";
	else
		snprintf(direct, sizeof(direct), "%c%lld", *verdict == 'd' ? 'D' : 'H',
			 get_number(cell, "distance"));
	printf(" %4s", text);
}

static void print_row(json_object *report, size_t row)
{
	json_object *function = get_item(report, "functions", row);
	json_object *cells = get_item(report, "rows", row);
	size_t i;

	printf("%4zu %-13s %-10s", row, get_text(function, "bdf"), one_name(function));
	for (i = 0; i < json_object_array_length(cells); i++)
		print_cell(json_object_array_get_idx(cells, i));
	putchar('\n');
}

/* Returns the source of the verdicts. Usually all verdicts have the same source. */
static const char *find_source(json_object *report)
{
	size_t row, i, nr = get_length(report, "rows");
	bool kernel = false, computed = false;
	json_object *cell;

	for (row = 0; row < nr; row++) {
		for (i = 0; i < nr; i++) {
			cell = json_object_array_get_idx(get_item(report, "rows", row), i);
			if (!strcmp(get_text(cell, "reason"), "self"))
				continue;
			if (!strcmp(get_text(cell, "source"), "kernel"))
				kernel = true;
			else
				computed = true;
		}
	}
	if (kernel)
		return computed ? "some by the kernel, some computed" : "by the kernel";
	return "computed";
}

static void matrix_print(json_object *report)
{
	size_t i, nr = get_length(report, "functions");

	if (!nr)
		return;
	printf("%4s %-13s %-10s", "", "client", "");
	for (i = 0; i < nr; i++)
		printf(" %4zu", i);
	putchar('\n');
	for (i = 0; i < nr; i++)
		print_row(report, i);
	printf("\nA row is a client, which masters DMA, a column the provider of the memory.\n"
	       "  D4  direct: bridges between the two route, distance 4\n"
	       "  H4  through the host bridge, distance 4\n"
	       "  -   none: not possible; p2pdma path CLIENT PROVIDER says why\n"
	       "  ?   unknown: cannot be said\n"
	       "  =   the function itself\n"
	       "Verdicts: %s.\n", find_source(report));
}

const struct command command_matrix = {
	.name = "matrix",
	.args = "[DEVICE]...",
	.summary = "who reaches whom",
	.help = "Without DEVICEs: providers, NVMe drives, GPUs, network and RDMA cards,\n"
		"accelerators.\n\n"
		"  --class LIST   of these classes: nvme, storage, gpu, net, rdma, accelerator,\n"
		"                 memory, usb, audio, other\n"
		"  --all          every function that is not a bridge\n",
	.options = matrix_options,
	.option = matrix_option,
	.max_args = MANY_ARGS,
	.run = matrix_run,
	.print = matrix_print,
};
