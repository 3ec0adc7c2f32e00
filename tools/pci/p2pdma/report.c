// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma: building, reading and printing JSON reports
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <pci/pci.h>

#include "tool.h"

/**
 * new_text - new JSON string
 * @text: the string, which may come from outside; NULL becomes null
 *
 * Return: a string without control characters and invalid UTF-8, see escape_text().
 */
json_object *new_text(const char *text)
{
	char *shown = text ? escape_text(text) : NULL;
	json_object *string = shown ? json_object_new_string(shown) : NULL;

	xfree(shown);
	return string;
}

/**
 * add_object - add a new object to an object
 * @to: object to add to
 * @name: name of the new member
 *
 * Return: the new object, owned by @to.
 */
json_object *add_object(json_object *to, const char *name)
{
	json_object *object = json_object_new_object();

	json_object_object_add(to, name, object);
	return object;
}

/**
 * add_array - add a new array to an object
 * @to: object to add to
 * @name: name of the new member
 *
 * Return: the new array, owned by @to.
 */
json_object *add_array(json_object *to, const char *name)
{
	json_object *array = json_object_new_array();

	json_object_object_add(to, name, array);
	return array;
}

/**
 * add_text - add a string to an object
 * @to: object to add to
 * @name: name of the new member
 * @text: the string; NULL becomes null
 */
void add_text(json_object *to, const char *name, const char *text)
{
	json_object_object_add(to, name, new_text(text));
}

/**
 * add_number - add a number to an object
 * @to: object to add to
 * @name: name of the new member
 * @number: the number
 */
void add_number(json_object *to, const char *name, long long number)
{
	json_object_object_add(to, name, json_object_new_int64(number));
}

/**
 * add_bool - add a boolean to an object
 * @to: object to add to
 * @name: name of the new member
 * @value: the boolean
 */
void add_bool(json_object *to, const char *name, bool value)
{
	json_object_object_add(to, name, json_object_new_boolean(value));
}

/**
 * add_item - add an item to an array
 * @to: the array
 * @item: the item; @to takes ownership
 */
void add_item(json_object *to, json_object *item)
{
	json_object_array_add(to, item);
}

/**
 * add_words - add a formatted string to an array
 * @to: the array
 * @format: as for printf()
 */
void add_words(json_object *to, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	add_item(to, new_text(text));
	xfree(text);
}

/**
 * function_report - report a function
 * @machine: machine of the function
 * @function: the function
 *
 * Return: a new object.
 */
json_object *function_report(const struct machine *machine, const struct function *function)
{
	json_object *report = json_object_new_object(), *names;
	char ids[16];
	unsigned int i;

	snprintf(ids, sizeof(ids), "%04x:%04x", function->vendor, function->device);
	add_text(report, "bdf", function->bdf);
	add_text(report, "ids", ids);
	add_text(report, "title", function_title(machine, function));
	add_text(report, "class", function_class(function));
	add_text(report, "kind", function_kind(function));
	add_text(report, "driver", function->driver);
	names = add_array(report, "names");
	for (i = 0; i < function->nr_names; i++)
		add_item(names, new_text(function->names[i]));
	return report;
}

/**
 * report_ports - report the ports that affect a route, and the unread functions
 * @report: object to add to
 * @verdict: the verdict
 */
void report_ports(json_object *report, const struct verdict *verdict)
{
	json_object *ports = add_array(report, "ports"), *unread, *port;
	unsigned int i;

	for (i = 0; i < verdict->nr_ports; i++) {
		port = json_object_new_object();
		add_text(port, "bdf", verdict->ports[i].function->bdf);
		add_text(port, "effect", port_effect(&verdict->ports[i]));
		add_item(ports, port);
	}
	unread = add_array(report, "unread");
	for (i = 0; i < verdict->nr_unread; i++)
		add_item(unread, json_object_new_string(verdict->unread[i]->bdf));
}

/* Returns the shared parent, as in p2pdma/peers. */
static const char *parent_words(const struct function *client, const struct function *provider,
				const struct verdict *verdict)
{
	if (verdict->parent)
		return verdict->parent->bdf;
	if (client->host == provider->host)
		return client->host->name;
	return xasprintf("%s,%s", client->host->name, provider->host->name);
}

/**
 * verdict_report - report a verdict
 * @machine: the machine
 * @client: function that masters DMA
 * @provider: function with the memory
 * @verdict: verdict for @client and @provider
 *
 * Return: a new object.
 */
json_object *verdict_report(struct machine *machine, const struct function *client,
			    const struct function *provider, const struct verdict *verdict)
{
	json_object *report = json_object_new_object();

	json_object_object_add(report, "client", function_report(machine, client));
	json_object_object_add(report, "provider", function_report(machine, provider));
	add_text(report, "verdict", answer_word(verdict->answer));
	add_text(report, "source", verdict->kernel ? "kernel" : "computed");
	if (verdict->distance >= 0)
		add_number(report, "distance", verdict->distance);
	else
		add_text(report, "distance", NULL);
	add_text(report, "parent", parent_words(client, provider, verdict));
	add_text(report, "reason", verdict_reason(verdict));
	add_text(report, "meaning", verdict_meaning(verdict));
	add_bool(report, "redirected", verdict->redirected);
	add_bool(report, "iommu", verdict->iommu);
	report_ports(report, verdict);
	return report;
}

/**
 * get - get a member of an object
 * @from: the object
 * @name: name of the member
 *
 * Return: the member, or NULL.
 */
json_object *get(json_object *from, const char *name)
{
	json_object *part = NULL;

	json_object_object_get_ex(from, name, &part);
	return part;
}

/**
 * get_text - get a string from an object
 * @from: the object
 * @name: name of the member
 *
 * Return: the string, or NULL.
 */
const char *get_text(json_object *from, const char *name)
{
	json_object *part = get(from, name);

	return part ? json_object_get_string(part) : NULL;
}

/**
 * get_answer - get the answer of a verdict from a report
 * @from: object with a member "verdict"
 *
 * Return: the answer.
 */
enum answer get_answer(json_object *from)
{
	enum answer answer;

	parse_answer(get_text(from, "verdict"), &answer);
	return answer;
}

/**
 * get_reason - get the reason of a verdict from a report
 * @from: object with a member "reason"
 *
 * Return: the reason; REASON_OTHER for the word of a newer kernel.
 */
enum reason get_reason(json_object *from)
{
	return parse_reason(get_text(from, "reason"));
}

/**
 * get_number - get a number from an object
 * @from: the object
 * @name: name of the member
 *
 * Return: the number; 0 without such a member.
 */
long long get_number(json_object *from, const char *name)
{
	return json_object_get_int64(get(from, name));
}

/**
 * get_bool - get a boolean from an object
 * @from: the object
 * @name: name of the member
 *
 * Return: the boolean; false without such a member.
 */
bool get_bool(json_object *from, const char *name)
{
	return json_object_get_boolean(get(from, name));
}

/**
 * get_length - get the length of an array in an object
 * @from: the object
 * @name: name of the array
 *
 * Return: the length; 0 without such an array.
 */
size_t get_length(json_object *from, const char *name)
{
	json_object *part = get(from, name);

	return json_object_is_type(part, json_type_array) ? json_object_array_length(part) : 0;
}

/**
 * get_item - get an item of an array in an object
 * @from: the object
 * @name: name of the array
 * @index: index of the item
 *
 * Return: the item, or NULL.
 */
json_object *get_item(json_object *from, const char *name, size_t index)
{
	return json_object_array_get_idx(get(from, name), index);
}

/**
 * one_name - device name for the text output
 * @function: an object of function_report()
 *
 * sysfs_load() collects names class by class, so the name of an NVMe controller comes before the
 * names of disks.
 *
 * Return: the first name of the function, or an empty string.
 */
const char *one_name(json_object *function)
{
	json_object *name = get_length(function, "names") ? get_item(function, "names", 0) : NULL;

	return name ? json_object_get_string(name) : "";
}

static bool colour_allowed;

/**
 * allow_colour - enable or disable colours
 * @allowed: the output is text; colours also need a terminal, and no NO_COLOR
 */
void allow_colour(bool allowed)
{
	const char *no_color = getenv("NO_COLOR");

	colour_allowed = allowed && isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
			 !terminal_is_dumb();
}

/**
 * paint - name of an answer, coloured if enabled
 * @answer: the answer
 *
 * Return: the word. The text is valid during the next three calls.
 */
const char *paint(enum answer answer)
{
	static const int colours[] = {
		[ANSWER_DIRECT] = 32,
		[ANSWER_HOST] = 36,
		[ANSWER_NONE] = 31,
		[ANSWER_UNKNOWN] = 33,
	};
	static char texts[4][64];
	static unsigned int turn;
	char *text = texts[turn++ % COUNT_OF(texts)];

	if (!colour_allowed)
		return answer_word(answer);
	snprintf(text, sizeof(texts[0]), "\033[%dm%s\033[0m", colours[answer],
		 answer_word(answer));
	return text;
}

/**
 * struct acs_bit - a bit of the ACS capability and control registers
 * @bit: mask of the bit
 * @word: name of the bit in the output of lspci
 */
struct acs_bit {
	unsigned int bit;
	const char *word;
};

static const struct acs_bit acs_bits[] = {
	{ PCI_ACS_CAP_VALID, "SrcValid" },
	{ PCI_ACS_CAP_BLOCK, "TransBlk" },
	{ PCI_ACS_CAP_REQ_RED, "ReqRedir" },
	{ PCI_ACS_CAP_CMPLT_RED, "CmpltRedir" },
	{ PCI_ACS_CAP_FORWARD, "UpstreamFwd" },
	{ PCI_ACS_CAP_EGRESS, "EgressCtrl" },
	{ PCI_ACS_CAP_TRANS, "DirectTrans" },
};

static void add_bits(json_object *to, const char *name, unsigned int bits)
{
	json_object *words = add_array(to, name);
	unsigned int i;

	for (i = 0; i < COUNT_OF(acs_bits); i++)
		if (bits & acs_bits[i].bit)
			add_item(words, json_object_new_string(acs_bits[i].word));
}

/**
 * acs_report - report the access control of a function
 * @function: the function
 *
 * Return: an object with "known": "yes", "no" or "unread". With "yes", the arrays "can" and "on"
 * list the bits of the capability register and of the control register.
 */
json_object *acs_report(const struct function *function)
{
	static const char * const words[] = { "no", "yes", "unread" };
	json_object *report = json_object_new_object();
	unsigned int capability, control;
	enum known known = config_acs(function, &capability, &control);

	add_text(report, "known", words[known]);
	if (known == KNOWN_YES) {
		add_bits(report, "can", capability);
		add_bits(report, "on", control);
	}
	return report;
}

/**
 * print_lines - print an array of strings, each on a line
 * @report: object with the array
 * @name: name of the array
 * @prefix: text before each string
 */
void print_lines(json_object *report, const char *name, const char *prefix)
{
	size_t i, nr = get_length(report, name);

	for (i = 0; i < nr; i++)
		printf("%s%s\n", prefix, json_object_get_string(get_item(report, name, i)));
}
