// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma: the command line
 *
 * The table below lists the subcommands, see struct command.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libp2pdma.h"
#include "tool.h"

static const struct command * const commands[] = {
	&command_list,
	&command_tree,
	&command_matrix,
	&command_path,
	&command_check,
	&command_policy,
	&command_nvmet,
	&command_copy,
	&command_monitor,
	&command_capture,
};

/* Options of a single subcommand have numbers from 256 on. */
static const struct option common_options[] = {
	{ "sysfs",	required_argument,	NULL, 's' },
	{ "lspci",	required_argument,	NULL, 'l' },
	{ "cpu",	required_argument,	NULL, 'c' },
	{ "iommu",	required_argument,	NULL, 'I' },
	{ "computed",	no_argument,		NULL, 'C' },
	{ "json",	no_argument,		NULL, 'j' },
	{ "pretty",	no_argument,		NULL, 'J' },
	{ "numeric",	no_argument,		NULL, 'n' },
	{ "help",	no_argument,		NULL, 'h' },
	{ "version",	no_argument,		NULL, 'V' },
	{ }
};

/* With the colon, getopt_long() tells a missing argument apart. */
static const char short_options[] = "+:s:l:c:CjJnhV";

#define SHOWN_ODD	8

/**
 * struct line - the parsed command line
 * @request: request for the subcommand
 * @handle: the library's handle of the machine
 * @command: the subcommand, or NULL
 * @help: the user asked for help
 */
struct line {
	struct request request;
	struct libp2pdma *handle;
	const struct command *command;
	bool help;
};

static void print_overview(void)
{
	unsigned int i;

	puts("Usage: p2pdma [OPTION]... COMMAND [ARGUMENT]...\n"
	     "Tells which PCI devices reach each other's memory, why not, and what to do.");
	for (i = 0; i < COUNT_OF(commands); i++)
		printf("  %-7s %-24s %s\n", commands[i]->name, commands[i]->args,
		       commands[i]->summary);
	puts("\nA device is an address or a name: 0000:03:00.0, 03:00.0, nvme0, nvme0n1,\n"
	     "/dev/nvme0n1, eth0, mlx5_0, card0, renderD128.\n\n"
	     "  -s, --sysfs PATH  look at a copy of /sys, or a capture, not at this machine\n"
	     "  -l, --lspci FILE  look at the output of lspci -xxxx or -vvv (-: from a pipe)\n"
	     "  -c, --cpu KIND    processor: amd-zen (family 17h or later) or other\n"
	     "      --iommu WORD  IOMMU of the client: on or off\n"
	     "  -C, --computed    compute verdicts also where the kernel has them\n"
	     "  -n, --numeric     IDs, not names;  -j, --json: JSON;  -J, --pretty: for people\n"
	     "  -h, --help        this, or help on a command;  -V, --version\n"
	     "Exit status: 0 yes or done, 1 no, 2 wrong usage, 3 cannot say.");
}

static void command_help(const struct command *command)
{
	printf("Usage: p2pdma [OPTION]... %s %s\n%c%s.\n\n%s", command->name, command->args,
	       command->summary[0] & ~0x20, command->summary + 1, command->help);
}

static const struct command *find_command(const char *name)
{
	unsigned int i;

	for (i = 0; i < COUNT_OF(commands); i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	die(STATUS_USAGE, "there is no command \"%s\"; p2pdma --help lists them", name);
}

static enum cpu_rule parse_cpu(const char *word)
{
	if (!strcmp(word, "amd-zen"))
		return CPU_ROUTES;
	if (!strcmp(word, "other"))
		return CPU_OTHER;
	die(STATUS_USAGE, "--cpu %s: say amd-zen or other", word);
}

static enum known parse_iommu(const char *word)
{
	if (!strcmp(word, "on"))
		return KNOWN_YES;
	if (!strcmp(word, "off"))
		return KNOWN_NO;
	die(STATUS_USAGE, "--iommu %s: say on or off", word);
}

/* The messages of getopt_long() would not escape the option. */
static void __noreturn refuse_option(int option, const char *last)
{
	if (option == ':')
		die(STATUS_USAGE, "%s: the option needs an argument", last);
	if (optopt > ' ' && optopt < 127 && strncmp(last, "--", 2))
		die(STATUS_USAGE, "-%c: there is no such option", optopt);
	die(STATUS_USAGE, "%s: there is no such option, or it takes no argument", last);
}

static void take_option(struct line *line, int option, const char *last)
{
	switch (option) {
	case 's':
		line->request.machine->sysfs = optarg;
		break;
	case 'l':
		line->request.machine->dump = optarg;
		break;
	case 'c':
		line->request.machine->cpu = parse_cpu(optarg);
		break;
	case 'I':
		line->request.machine->iommu = parse_iommu(optarg);
		line->request.machine->iommu_given = true;
		break;
	case 'C':
		line->request.computed = true;
		break;
	case 'J':
		line->request.pretty = true;
		line->request.json = true;
		break;
	case 'j':
		line->request.json = true;
		break;
	case 'n':
		line->request.machine->numeric = true;
		break;
	case 'h':
		line->help = true;
		break;
	case 'V':
		puts("p2pdma " TOOL_VERSION);
		exit(STATUS_YES);
	default:
		refuse_option(option, last);
	}
}

/* Returns the options of the command, followed by the common options. */
static struct option *join_options(const struct command *command)
{
	size_t nr = 0;
	struct option *options;

	while (command->options && command->options[nr].name)
		nr++;
	options = xzalloc(nr * sizeof(*options) + sizeof(common_options));
	if (nr)
		memcpy(options, command->options, nr * sizeof(*options));
	memcpy(options + nr, common_options, sizeof(common_options));
	return options;
}

static void parse_command(struct line *line, int argc, char **argv)
{
	struct option *options = join_options(line->command);
	int option;

	/* With 0, getopt_long() starts anew. Without "+", options may follow arguments. */
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, short_options + 1, options, NULL)) != -1) {
		if (option < 256)
			take_option(line, option, argv[optind - 1]);
		else if (!line->command->option(option, optarg))
			die(STATUS_USAGE, "%s: \"%s\" makes no sense here", line->command->name,
			    optarg);
	}
	line->request.args = argv + optind;
	line->request.nr_args = argc - optind;
}

static void parse(struct line *line, int argc, char **argv)
{
	int option, at;

	opterr = 0;
	while ((option = getopt_long(argc, argv, short_options, common_options, NULL)) != -1)
		take_option(line, option, argv[optind - 1]);
	if (optind == argc)
		return;
	at = optind;
	line->command = find_command(argv[at]);
	parse_command(line, argc - at, argv + at);
}

static void check_usage(const struct line *line)
{
	const struct command *command = line->command;
	bool copy = line->request.machine->sysfs || line->request.machine->dump;

	if (!command)
		die(STATUS_USAGE, "say what to do; p2pdma --help lists the commands");
	if (line->request.machine->sysfs && line->request.machine->dump)
		die(STATUS_USAGE, "either --sysfs or --lspci");
	if (command->live_only && copy)
		die(STATUS_USAGE, "%s: only on the machine itself", command->name);
	if (line->request.nr_args < command->min_args || line->request.nr_args > command->max_args)
		die(STATUS_USAGE, "usage: p2pdma %s %s", command->name, command->args);
}

static void load(struct line *line)
{
	struct machine *machine = line->request.machine;
	enum libp2pdma_source source = machine->dump ? LIBP2PDMA_LSPCI :
				       machine->sysfs ? LIBP2PDMA_SYSFS : LIBP2PDMA_LIVE;

	if (line->command->records && source != LIBP2PDMA_LSPCI)
		line->request.recorded = files_record(machine->sysfs ? machine->sysfs : "/sys");
	if (libp2pdma_open(line->handle, source, machine->dump ? machine->dump : machine->sysfs)) {
		fprintf(stderr, "p2pdma: %s\n", libp2pdma_error(line->handle));
		exit(libp2pdma_context(line->handle)->status);
	}
}

static json_object *new_report(const struct line *line)
{
	static const char * const cpu[] = { "unknown", "amd-zen", "other" };
	const struct machine *machine = line->request.machine;
	json_object *report = json_object_new_object(), *about;

	add_number(report, "schema", SCHEMA_VERSION);
	add_text(report, "command", line->command->name);
	about = add_object(report, "machine");
	add_text(about, "source", machine->dump ? "lspci" : machine->live ? "live" :
		 machine->captured ? "capture" : "sysfs");
	add_text(about, "kernel", machine->release);
	add_text(about, "support", support_word(machine->support));
	add_text(about, "cpu", cpu[machine->cpu]);
	add_bool(about, "virtual", machine->virtual);
	add_number(about, "functions", machine->nr);
	add_array(report, "odd");
	return report;
}

/**
 * emit - print a report as JSON
 * @request: the request, with the format
 * @report: the report
 */
void emit(const struct request *request, json_object *report)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

	if (request->pretty)
		flags |= JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
	puts(json_object_to_json_string_ext(report, flags));
	fflush(stdout);
}

/* A subcommand may find more unreadable parts. */
static void report_odd(const struct line *line)
{
	json_object *odd = get(line->request.report, "odd");
	unsigned int i;

	for (i = 0; libp2pdma_odd(line->handle, i); i++)
		add_item(odd, new_text(libp2pdma_odd(line->handle, i)));
}

/* Messages about unreadable parts go to standard error, after the report. */
static void print_text(const struct line *line)
{
	size_t i, nr = get_length(line->request.report, "odd");

	if (line->command->print)
		line->command->print(line->request.report);
	for (i = 0; i < nr && i < SHOWN_ODD; i++)
		warn("%s", libp2pdma_odd(line->handle, i));
	if (nr > SHOWN_ODD)
		warn("and %zu more oddities; -J shows them", nr - SHOWN_ODD);
}

static enum status run(struct line *line)
{
	enum status status;

	check_usage(line);
	load(line);
	allow_colour(!line->request.json);
	line->request.report = new_report(line);
	status = line->command->run(&line->request);
	report_odd(line);
	if (line->request.json)
		emit(&line->request, line->request.report);
	else
		print_text(line);
	if (fflush(stdout) || ferror(stdout))
		die(STATUS_UNKNOWN, "standard output: %m");
	json_object_put(line->request.report);
	return status;
}

int main(int argc, char **argv)
{
	struct line line = { .handle = libp2pdma_new() };
	enum status status = STATUS_YES;
	struct context *before;

	if (!line.handle)
		die(STATUS_UNKNOWN, "out of memory");
	line.request.machine = libp2pdma_machine(line.handle);
	before = context_enter(libp2pdma_context(line.handle));
	parse(&line, argc, argv);
	if (!line.help)
		status = run(&line);
	else if (line.command)
		command_help(line.command);
	else
		print_overview();
	context_enter(before);
	libp2pdma_free(line.handle);
	return status;
}
