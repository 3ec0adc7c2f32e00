// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma matrix: verdicts for all pairs of a set of functions
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tool.h"

/* Nobody reads more than a million verdicts. */
#define MOST_FUNCTIONS	1024

/* Columns of number and label, with the spaces around the address. */
#define MARGIN		16
#define NARROWEST_CELL	4
#define WIDEST_CELL	10

#define VENDOR_AMD_GRAPHICS	0x1002

static const char default_classes[] = "nvme,gpu,net,rdma,accelerator,fpga,cxl";

static const char *classes;
static bool all;
static bool vfs;
static enum rules rules;

enum {
	OPTION_CLASS = 256,
	OPTION_ALL,
	OPTION_VFS,
	OPTION_KERNEL,
};

static const struct option matrix_options[] = {
	{ "class", required_argument, NULL, OPTION_CLASS },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "vfs", no_argument, NULL, OPTION_VFS },
	{ "kernel", required_argument, NULL, OPTION_KERNEL },
	{ }
};

static bool matrix_option(int option, const char *argument)
{
	switch (option) {
	case OPTION_KERNEL:
		return parse_rules(argument, &rules);
	case OPTION_CLASS:
		classes = argument;
		return *argument;
	case OPTION_VFS:
		vfs = true;
		return true;
	default:
		all = true;
		return true;
	}
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

/* Graphics of a management controller: ASPEED, Matrox G200, and emulated ones. */
static bool is_console(const struct function *function)
{
	static const unsigned short vendors[] = { 0x1a03, 0x102b, 0x1234, 0x1b36, 0x1013, 0x15ad };
	unsigned int i;

	for (i = 0; i < COUNT_OF(vendors); i++)
		if (function->vendor == vendors[i])
			return !strcmp(function_class(function), "gpu");
	return false;
}

/* RDMA adapters of Mellanox have the class of network cards. Recognize the name: mlx5_0. */
static bool wanted(const struct function *function)
{
	const char *list = classes ? classes : default_classes;
	unsigned int i;

	if (function_is_bridge(function))
		return false;
	if (!vfs && function->physfn && wanted(function->physfn))
		return false;
	if (all || (!classes && function->memory))
		return true;
	if (has_word(list, function_class(function)))
		return classes || !is_console(function);
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
			die(STATUS_USAGE, "more than %u functions; take --class or names",
			    MOST_FUNCTIONS);
		chosen[(*nr)++] = machine->functions[i];
	}
}

/**
 * struct labels - numbers for the names of functions without a device name
 * @gpus: number of GPUs named
 * @nics: number of network cards named
 * @drives: number of NVMe drives named
 * @accelerators: number of accelerators and FPGAs named
 * @memories: number of CXL memory devices named
 */
struct labels {
	unsigned int gpus;
	unsigned int nics;
	unsigned int drives;
	unsigned int accelerators;
	unsigned int memories;
};

/* A GPU has names of display devices, and a network card several: nvidia-smi has GPU0, mlx5_0. */
static char *make_label(const struct function *function, struct labels *labels)
{
	const char *class = function_class(function);
	unsigned int i;

	if (is_console(function))
		return xstrdup("");
	if (!strcmp(class, "gpu") ||
	    (!strcmp(class, "accelerator") && function->vendor == VENDOR_AMD_GRAPHICS))
		return xasprintf("GPU%u", labels->gpus++);
	for (i = 0; i < function->nr_names; i++)
		if (strchr(function->names[i], '_'))
			return xstrdup(function->names[i]);
	if (function->nr_names)
		return xstrdup(function->names[0]);
	if (!strcmp(class, "net") || !strcmp(class, "rdma"))
		return xasprintf("NIC%u", labels->nics++);
	if (!strcmp(class, "nvme"))
		return xasprintf("NVMe%u", labels->drives++);
	if (!strcmp(class, "accelerator") || !strcmp(class, "fpga"))
		return xasprintf("ACC%u", labels->accelerators++);
	if (!strcmp(class, "cxl"))
		return xasprintf("CXL%u", labels->memories++);
	return xstrdup("");
}

static unsigned int count_vfs(const struct machine *machine, const struct function *physfn)
{
	unsigned int i, nr = 0;

	for (i = 0; i < machine->nr; i++)
		nr += machine->functions[i]->physfn == physfn;
	return nr;
}

static json_object *make_function(struct request *request, const struct function *function,
				  struct labels *labels)
{
	json_object *report = function_report(request->machine, function);
	char *label = make_label(function, labels);

	add_text(report, "label", label);
	xfree(label);
	add_number(report, "vfs", vfs || request->nr_args ? 0 :
		   count_vfs(request->machine, function));
	return report;
}

/* Do two functions belong to different sockets? The NUMA nodes tell, or a common host bridge. */
static const char *sockets_word(const struct function *client, const struct function *provider)
{
	if (client->host == provider->host)
		return "same";
	if (client->numa_node < 0 || provider->numa_node < 0)
		return "unknown";
	return client->numa_node == provider->numa_node ? "same" : "different";
}

static void mark_ports(const struct verdict *verdict, bool *ports)
{
	unsigned int i;

	for (i = 0; i < verdict->nr_ports; i++)
		if (verdict->ports[i].effect == EFFECT_REDIRECTS)
			ports[verdict->ports[i].function->index] = true;
}

static json_object *make_cell(const struct verdict *verdict, const char *sockets)
{
	json_object *cell = json_object_new_object();

	add_text(cell, "verdict", answer_word(verdict->answer));
	if (verdict->distance >= 0)
		add_number(cell, "distance", verdict->distance);
	else
		add_text(cell, "distance", NULL);
	add_text(cell, "reason", verdict_reason(verdict));
	add_text(cell, "source", verdict->kernel ? "kernel" : "computed");
	add_text(cell, "sockets", sockets);
	return cell;
}

/**
 * struct shared_cell - a cell that all pairs with the same verdict share
 * @answer: as in &struct verdict
 * @distance: as in &struct verdict
 * @kernel: as in &struct verdict
 * @reason: as in &struct verdict
 * @sockets: see sockets_word()
 * @cell: the cell
 */
struct shared_cell {
	enum answer answer;
	int distance;
	bool kernel;
	enum reason reason;
	const char *sockets;
	json_object *cell;
};

#define SHARED_CELLS	64

static bool is_shared(const struct shared_cell *shared, const struct verdict *verdict,
		      const char *sockets)
{
	return shared->cell && shared->answer == verdict->answer &&
	       shared->distance == verdict->distance && shared->kernel == verdict->kernel &&
	       shared->sockets == sockets && shared->reason == verdict->reason &&
	       verdict->reason != REASON_OTHER;
}

/* A big matrix has a million cells, but few different ones. */
static json_object *share_cell(const struct function *client, const struct function *provider,
			       const struct verdict *verdict)
{
	const char *sockets = sockets_word(client, provider);
	static struct shared_cell cells[SHARED_CELLS];
	static unsigned int next, last;
	unsigned int i, at;

	for (i = 0; i < SHARED_CELLS; i++) {
		at = (last + i) % SHARED_CELLS;
		if (!is_shared(&cells[at], verdict, sockets))
			continue;
		last = at;
		return json_object_get(cells[at].cell);
	}
	last = next++ % SHARED_CELLS;
	json_object_put(cells[last].cell);
	cells[last] = (struct shared_cell) {
		.answer = verdict->answer,
		.reason = verdict->reason,
		.distance = verdict->distance,
		.kernel = verdict->kernel,
		.sockets = sockets,
		.cell = make_cell(verdict, sockets),
	};
	return json_object_get(cells[last].cell);
}

/**
 * struct redirecting - ports that redirect between the functions of a matrix
 * @ours: ports that count for a kernel with p2pdma policies, by index
 * @stock: ports that count for stock Linux, by index
 */
struct redirecting {
	bool *ours;
	bool *stock;
};

static json_object *make_row(struct request *request, enum rules chosen, struct function *client,
			     struct function **providers, unsigned int nr,
			     struct redirecting *redirecting)
{
	json_object *row = json_object_new_array();
	static struct verdict verdict;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		verdict_under(request->machine, chosen, request->computed, client,
			      providers[i], &verdict);
		add_item(row, share_cell(client, providers[i], &verdict));
		if (client != providers[i] && chosen == RULES_OURS)
			mark_ports(&verdict, redirecting->ours);
	}
	return row;
}

static void add_remedies(struct request *request, enum rules chosen,
			 const struct redirecting *redirecting)
{
	json_object *list = add_array(request->report, "remedies");
	const struct machine *machine = request->machine;
	bool differ;

	if (chosen == RULES_STOCK) {
		add_set_remedy(machine, list, NULL, redirecting->stock);
		return;
	}
	/* Which kernel a dump is for is unknown, so both lists. */
	differ = machine->support != SUPPORT_OURS && rules == RULES_DEFAULT &&
		 memcmp(redirecting->ours, redirecting->stock, machine->nr);
	add_set_remedy(machine, list, differ ? "ours" : NULL, redirecting->ours);
	if (differ)
		add_set_remedy(machine, list, "stock", redirecting->stock);
}

static enum status matrix_run(struct request *request)
{
	static struct function *chosen[MOST_FUNCTIONS];
	enum rules kernel = choose_rules(request->machine, rules);
	struct redirecting redirecting = {
		.ours = xzalloc(request->machine->nr + 1),
		.stock = xzalloc(request->machine->nr + 1),
	};
	json_object *functions, *rows;
	struct labels labels = {};
	unsigned int i, nr;

	choose_functions(request, chosen, &nr);
	add_text(request->report, "kernel", rules_word(kernel));
	functions = add_array(request->report, "functions");
	rows = add_array(request->report, "rows");
	for (i = 0; i < nr; i++) {
		add_item(functions, make_function(request, chosen[i], &labels));
		add_item(rows, make_row(request, kernel, chosen[i], chosen, nr, &redirecting));
	}
	stock_ports(request->machine, chosen, nr, redirecting.stock);
	add_remedies(request, kernel, &redirecting);
	if (!nr)
		warn("matrix: there is no such device; --all takes every function");
	return nr ? STATUS_YES : STATUS_NO;
}

/* The letter says how far the way through the host bridge leads. */
static char route_letter(json_object *cell)
{
	const char *sockets = get_text(cell, "sockets");

	if (get_answer(cell) == ANSWER_DIRECT)
		return 'D';
	if (!strcmp(sockets, "different"))
		return 'S';
	return strcmp(sockets, "same") ? 'X' : 'H';
}

static void print_cell(json_object *cell, size_t width)
{
	enum answer answer = get_answer(cell);
	char direct[24];
	const char *text = direct;

	if (get_reason(cell) == REASON_SELF)
		text = "=";
	else if (answer == ANSWER_NONE)
		text = "-";
	else if (answer == ANSWER_UNKNOWN)
		text = "?";
	else
		snprintf(direct, sizeof(direct), "%c%lld", route_letter(cell),
			 get_number(cell, "distance"));
	printf(" %*s", (int)width, text);
}

/* Name of a column: the label, or the number of the row if there is none, or no room. */
static const char *column_name(json_object *report, size_t column, bool numbers)
{
	const char *label = get_text(get_item(report, "functions", column), "label");
	static char number[24];

	if (*label && !numbers && strlen(label) <= WIDEST_CELL)
		return label;
	snprintf(number, sizeof(number), "%zu", column);
	return number;
}

static size_t cell_width(json_object *report, bool numbers)
{
	size_t i, width = NARROWEST_CELL, length;

	for (i = 0; i < get_length(report, "functions"); i++) {
		length = strlen(column_name(report, i, numbers));
		if (length > width)
			width = length;
	}
	return width;
}

static char *row_name(json_object *function)
{
	long long nr = get_number(function, "vfs");

	return nr ? xasprintf("%s + %lld VFs", get_text(function, "bdf"), nr) :
		    xstrdup(get_text(function, "bdf"));
}

static size_t name_width(json_object *report)
{
	size_t i, width = ADDRESS_SIZE - 7, length;
	char *name;

	for (i = 0; i < get_length(report, "functions"); i++) {
		name = row_name(get_item(report, "functions", i));
		length = strlen(name);
		xfree(name);
		if (length > width)
			width = length;
	}
	return width;
}

/**
 * struct table - layout of a table
 * @names: columns for addresses
 * @width: columns for a cell
 * @from: first cell of a row to print
 * @to: last cell of a row to print, not included
 * @numbers: the heads of columns are numbers
 */
struct table {
	size_t names;
	size_t width;
	size_t from;
	size_t to;
	bool numbers;
};

static void print_row(json_object *report, size_t row, const struct table *table)
{
	json_object *function = get_item(report, "functions", row);
	json_object *cells = get_item(report, "rows", row);
	char *name = row_name(function);
	size_t i;

	printf("%4zu %-*s %-10s", row, (int)table->names, name, get_text(function, "label"));
	xfree(name);
	for (i = table->from; i < table->to; i++)
		print_cell(json_object_array_get_idx(cells, i), table->width);
	putchar('\n');
}

/* Width of the terminal, or of COLUMNS; a file has no limit. */
static size_t terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	unsigned long long number;
	struct winsize size;

	if (isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		return size.ws_col;
	return columns && parse_number(columns, 10, 10000, &number) && number ? number : 10000;
}

static void print_columns(json_object *report, const struct table *table)
{
	size_t i;

	printf("%4s %-*s %-10s", "", (int)table->names, "client", "");
	for (i = table->from; i < table->to; i++)
		printf(" %*s", (int)table->width, column_name(report, i, table->numbers));
	putchar('\n');
	for (i = 0; i < get_length(report, "functions"); i++)
		print_row(report, i, table);
}

/* Prints the columns that fit side by side, then the next ones. */
static void print_table(json_object *report)
{
	struct table table = { name_width(report), cell_width(report, false) };
	size_t nr = get_length(report, "functions"), room = terminal_width();

	room = room > MARGIN + table.names ? room - MARGIN - table.names : 0;
	table.numbers = nr * (table.width + 1) > room;
	if (table.numbers)
		table.width = cell_width(report, true);
	room = room > table.width ? room / (table.width + 1) : 1;
	for (; table.from < nr; table.from = table.to) {
		table.to = nr - table.from > room ? table.from + room : nr;
		if (table.from)
			putchar('\n');
		print_columns(report, &table);
	}
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
			if (get_reason(cell) == REASON_SELF)
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

/**
 * struct legend - what the table has, and the legend has to explain
 * @sockets: a way between two sockets
 * @hosts: a way between two host bridges, and the sockets are unknown
 * @vfs: virtual functions in the rows of their physical functions
 */
struct legend {
	bool sockets;
	bool hosts;
	bool vfs;
};

static struct legend find_legend(json_object *report)
{
	size_t row, i, nr = get_length(report, "rows");
	struct legend legend = {};
	json_object *cell;

	for (row = 0; row < nr; row++) {
		legend.vfs |= get_number(get_item(report, "functions", row), "vfs");
		for (i = 0; i < nr; i++) {
			cell = json_object_array_get_idx(get_item(report, "rows", row), i);
			if (get_answer(cell) != ANSWER_HOST)
				continue;
			legend.sockets |= route_letter(cell) == 'S';
			legend.hosts |= route_letter(cell) == 'X';
		}
	}
	return legend;
}

static void print_legend(json_object *report)
{
	struct legend legend = find_legend(report);

	printf("\nA row is a client, which masters DMA, a column the provider of the memory.\n"
	       "  D4  direct: bridges between the two route, distance 4\n"
	       "  H4  through the host bridge, distance 4\n");
	if (legend.sockets)
		printf("  S8  through host bridges of two sockets (NUMA nodes)\n");
	if (legend.hosts)
		printf("  X8  through two host bridges; the sockets are not known\n");
	printf("  -   none: not possible; p2pdma path CLIENT PROVIDER says why\n"
	       "  ?   unknown: cannot be said\n"
	       "  =   the function itself\n");
	if (legend.vfs)
		printf("Virtual functions (VFs) are in the row of their card; --vfs shows them.\n");
	printf("Verdicts: %s%s.\n", find_source(report),
	       strcmp(get_text(report, "kernel"), "stock") ? "" : ", of stock Linux 6.12");
}

static void matrix_print(json_object *report)
{
	if (!get_length(report, "functions"))
		return;
	print_table(report);
	print_legend(report);
	print_remedies(report);
}

const struct command command_matrix = {
	.name = "matrix",
	.args = "[DEVICE]...",
	.summary = "who reaches whom",
	.help = "Without DEVICEs: providers, NVMe drives, GPUs, network and RDMA cards,\n"
		"accelerators, FPGAs, CXL memory.\n\n"
		"  --class LIST    of these classes: nvme, storage, gpu, net, rdma, accelerator,\n"
		"                  fpga, cxl, memory, usb, audio, other\n"
		"  --all           every function that is not a bridge\n"
		"  --vfs           virtual functions in rows of their own\n"
		"  --kernel WHICH  verdicts of stock Linux (stock), of a kernel with p2pdma\n"
		"                  policies (ours), or of the running kernel (running)\n",
	.options = matrix_options,
	.option = matrix_option,
	.max_args = MANY_ARGS,
	.run = matrix_run,
	.print = matrix_print,
};
