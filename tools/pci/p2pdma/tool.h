/* SPDX-License-Identifier: GPL-2.0 */
/*
 * p2pdma: interfaces between the files of the command
 *
 *	p2pdma.c			command line, table of subcommands
 *	list.c path.c matrix.c ...	subcommands: fill a JSON report, print the report as text
 *	remedy.c note.c			remedies; other causes
 *	report.c output.c		JSON and text
 *
 * A subcommand fills a JSON report. The text output is printed from the same report as the JSON
 * output, so both have the same content. Machines and verdicts are the library's, see internal.h.
 */
#ifndef P2PDMA_TOOL_H
#define P2PDMA_TOOL_H

#include <getopt.h>
#include <json-c/json.h>

#include "internal.h"

#define TOOL_VERSION	"1.0"

/* Incremented when the meaning of a JSON member changes, or a member is removed. */
#define SCHEMA_VERSION	1

/* output.c */

void __printf(1, 2) warn(const char *format, ...);
int write_text(const char *path, const char *text);
const char *show_size(unsigned long long bytes);
void __printf(2, 3) print_wrapped(unsigned int indent, const char *format, ...);
bool terminal_is_dumb(void);

/* remedy.c */

json_object *remedies(struct machine *machine, const struct function *client,
		      const struct function *provider, const struct verdict *verdict,
		      const struct verdict *stock);
void add_set_remedy(const struct machine *machine, json_object *to, const char *kernel,
		    const bool *ports);
void print_remedies(json_object *report);

/* note.c */

bool is_behind_vmd(const struct function *function);
bool translated_goes_direct(const struct function *client, const struct function *provider);
void add_notes(struct machine *machine, json_object *notes, const struct function *client,
	       const struct function *provider, const struct verdict *verdict, bool all);

/* list.c */

const char *why_no_memory(const struct machine *machine, const struct function *function);

/* report.c */

json_object *new_text(const char *text);
json_object *add_object(json_object *to, const char *name);
json_object *add_array(json_object *to, const char *name);
void add_text(json_object *to, const char *name, const char *text);
void add_number(json_object *to, const char *name, long long number);
void add_bool(json_object *to, const char *name, bool value);
void add_item(json_object *to, json_object *item);
void __printf(2, 3) add_words(json_object *to, const char *format, ...);
json_object *get(json_object *from, const char *name);
const char *get_text(json_object *from, const char *name);
long long get_number(json_object *from, const char *name);
bool get_bool(json_object *from, const char *name);
size_t get_length(json_object *from, const char *name);
json_object *get_item(json_object *from, const char *name, size_t index);
json_object *function_report(const struct machine *machine, const struct function *function);
json_object *acs_report(const struct function *function);
void print_lines(json_object *report, const char *name, const char *prefix);
void report_ports(json_object *report, const struct verdict *verdict);
json_object *verdict_report(struct machine *machine, const struct function *client,
			    const struct function *provider, const struct verdict *verdict);
enum answer get_answer(json_object *from);
enum reason get_reason(json_object *from);
const char *paint(enum answer answer);
void allow_colour(bool allowed);
const char *one_name(json_object *function);

/* draw.c */

void draw_dot(json_object *tree, FILE *out);
void draw_svg(json_object *tree, const char *path);

/* Subcommands, and p2pdma.c */

/**
 * struct request - a request to a subcommand
 * @machine: the machine to look at
 * @args: arguments of the subcommand
 * @nr_args: length of @args
 * @computed: do not ask the kernel for verdicts
 * @json: print JSON instead of text
 * @pretty: indent the JSON
 * @report: the report to fill in
 * @recorded: files that were read, if the command records; or NULL
 */
struct request {
	struct machine *machine;
	char **args;
	int nr_args;
	bool computed;
	bool json;
	bool pretty;
	json_object *report;
	json_object *recorded;
};

/**
 * struct command - a subcommand
 * @name: name on the command line
 * @args: arguments, for the help
 * @summary: summary of at most one line, for the help
 * @help: further text, for the help
 * @options: options of the subcommand alone, terminated by an empty element; or NULL
 * @min_args: minimum number of arguments
 * @max_args: maximum number of arguments
 * @option: handles an option of @options; returns false for an invalid argument
 * @run: fills in the report; returns the exit status
 * @print: prints the report as text
 * @live_only: does not work on a copy
 * @records: needs all files that were read
 */
struct command {
	const char *name;
	const char *args;
	const char *summary;
	const char *help;
	const struct option *options;
	int min_args;
	int max_args;
	bool (*option)(int option, const char *argument);
	enum status (*run)(struct request *request);
	void (*print)(json_object *report);
	bool live_only;
	bool records;
};

#define MANY_ARGS	65536

extern const struct command command_capture;
extern const struct command command_list;
extern const struct command command_tree;
extern const struct command command_matrix;
extern const struct command command_path;
extern const struct command command_check;
extern const struct command command_policy;
extern const struct command command_nvmet;
extern const struct command command_copy;
extern const struct command command_monitor;

void emit(const struct request *request, json_object *report);

#endif /* P2PDMA_TOOL_H */
