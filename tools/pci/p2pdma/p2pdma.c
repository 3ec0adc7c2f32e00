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
 * @machine: machine to look at
 * @command: the subcommand, or NULL
 * @help: the user asked for help
 */
struct line {
	struct request request;
	struct machine machine;
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
		line->machine.sysfs = optarg;
		break;
	case 'l':
		line->machine.dump = optarg;
		break;
	case 'c':
		line->machine.cpu = parse_cpu(optarg);
		break;
	case 'I':
		line->machine.iommu = parse_iommu(optarg);
		line->machine.iommu_given = true;
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
		line->machine.numeric = true;
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
	bool copy = line->machine.sysfs || line->machine.dump;

	if (!command)
		die(STATUS_USAGE, "say what to do; p2pdma --help lists the commands");
	if (line->machine.sysfs && line->machine.dump)
		die(STATUS_USAGE, "either --sysfs or --lspci");
	if (command->live_only && copy)
		die(STATUS_USAGE, "%s: only on the machine itself", command->name);
	if (line->request.nr_args < command->min_args || line->request.nr_args > command->max_args)
		die(STATUS_USAGE, "usage: p2pdma %s %s", command->name, command->args);
}

static bool is_directory(const char *path)
{
	struct stat stat_of;

	if (stat(path, &stat_of))
		die(STATUS_USAGE, "%s: %m", path);
	return S_ISDIR(stat_of.st_mode);
}

/* A copy of /sys is a directory, a capture is a file. */
static void load_copy(struct machine *machine)
{
	const char *name = machine->sysfs;
	char *text;

	if (strcmp(name, "-") && is_directory(name)) {
		sysfs_load(machine);
		return;
	}
	text = read_input(name);
	if (!capture_is(text))
		die(STATUS_USAGE, "%s: neither a copy of /sys nor a capture; --lspci reads lspci",
		    name);
	capture_load(machine, name, text);
}

static void load(struct line *line)
{
	struct machine *machine = &line->machine;

	machine->odd = json_object_new_array();
	machine->live = !machine->sysfs && !machine->dump;
	if (machine->live)
		machine->sysfs = "/sys";
	if (line->command->records && machine->sysfs)
		line->request.recorded = files_record(machine->sysfs);
	if (machine->dump)
		dump_load(machine);
	else if (machine->live)
		sysfs_load(machine);
	else
		load_copy(machine);
	guess_machine(machine);
}

static json_object *new_report(const struct line *line)
{
	static const char * const cpu[] = { "unknown", "amd-zen", "other" };
	const struct machine *machine = &line->machine;
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
	json_object_object_add(report, "odd", json_object_get(machine->odd));
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

/* Messages about unreadable parts go to standard error, after the report. */
static void print_text(const struct line *line)
{
	size_t i, nr = json_object_array_length(line->machine.odd);

	if (line->command->print)
		line->command->print(line->request.report);
	for (i = 0; i < nr && i < SHOWN_ODD; i++)
		warn("%s", json_object_get_string(json_object_array_get_idx(line->machine.odd,
									    i)));
	if (nr > SHOWN_ODD)
		warn("and %zu more oddities; -J shows them", nr - SHOWN_ODD);
}

int main(int argc, char **argv)
{
	struct line line = { .request.machine = &line.machine };
	enum status status;

	parse(&line, argc, argv);
	if (line.help) {
		if (line.command)
			command_help(line.command);
		else
			print_overview();
		return STATUS_YES;
	}
	check_usage(&line);
	load(&line);
	allow_colour(!line.request.json);
	line.request.report = new_report(&line);
	status = line.command->run(&line.request);
	if (line.request.json)
		emit(&line.request, line.request.report);
	else
		print_text(&line);
	if (fflush(stdout) || ferror(stdout))
		die(STATUS_UNKNOWN, "standard output: %m");
	json_object_put(line.request.report);
	return status;
}
