// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma path and p2pdma check: verdict for one client and one provider
 */
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static void add_hop(const struct machine *machine, json_object *hops,
		    const struct function *function, const char *role,
		    const struct verdict *verdict)
{
	json_object *hop = function_report(machine, function), *effects;
	unsigned int i;

	add_text(hop, "role", role);
	json_object_object_add(hop, "acs", acs_report(function));
	effects = add_array(hop, "effects");
	for (i = 0; i < verdict->nr_ports; i++)
		if (verdict->ports[i].function == function)
			add_item(effects, new_text(port_effect(&verdict->ports[i])));
	if (function_is_bridge(function))
		add_text(hop, "policy", policy_word(function->policy));
	add_item(hops, hop);
}

static void add_host(struct machine *machine, json_object *hops, const struct host *host)
{
	json_object *hop = json_object_new_object();

	add_text(hop, "role", "host");
	add_text(hop, "host", host->name);
	add_text(hop, "identity", host->first ? xasprintf("%04x:%04x", host->first->vendor,
							  host->first->device) : NULL);
	add_text(hop, "title", host->first ? function_title(machine, host->first) : NULL);
	add_text(hop, "capability", capability_word(host_capability(machine, host)));
	add_text(hop, "policy", policy_word(host->policy));
	add_item(hops, hop);
}

/* Adds the functions between @meeting, not included, and the provider, from top to bottom. */
static void add_way_down(const struct machine *machine, json_object *hops,
			 const struct function *function, const struct function *meeting,
			 const struct function *provider, const struct verdict *verdict)
{
	if (!function || function == meeting)
		return;
	add_way_down(machine, hops, function->up, meeting, provider, verdict);
	add_hop(machine, hops, function, function == provider ? "provider" : "port", verdict);
}

/* A transaction through the host bridge passes the ports above the shared parent as well. */
static void add_way_to_host(struct machine *machine, json_object *hops,
			    const struct function *client, const struct function *provider,
			    const struct function *meeting, const struct verdict *verdict)
{
	const struct function *port;
	bool up = verdict->redirected || !meeting;

	if (meeting && meeting != client && meeting != provider)
		add_hop(machine, hops, meeting, "shared", verdict);
	for (port = meeting ? meeting->up : NULL; port && up; port = port->up)
		add_hop(machine, hops, port, "above", verdict);
	if (!up)
		return;
	add_host(machine, hops, client->host);
	if (provider->host != client->host)
		add_host(machine, hops, provider->host);
}

static void add_hops(struct machine *machine, json_object *report, const struct function *client,
		     const struct function *provider, const struct verdict *verdict)
{
	const struct function *meeting = find_meeting(client, provider), *at;
	json_object *hops = add_array(report, "hops");

	for (at = client; at && at != meeting; at = at->up)
		add_hop(machine, hops, at, at == client ? "client" : "port", verdict);
	if (client == meeting)
		add_hop(machine, hops, client, "client", verdict);
	add_way_to_host(machine, hops, client, provider, meeting, verdict);
	if (client == provider)
		return;
	add_way_down(machine, hops, provider, meeting, provider, verdict);
	if (provider == meeting)
		add_hop(machine, hops, provider, "provider", verdict);
}

static void add_path_notes(json_object *notes, const struct verdict *verdict,
			   const struct verdict *computed)
{
	if (!verdict->kernel || computed->answer == ANSWER_UNKNOWN ||
	    computed->answer == verdict->answer)
		return;
	add_words(notes, "the verdict that can be computed differs: %s (%s)",
		  answer_word(computed->answer), verdict_reason(computed));
	add_words(notes, "if access control was changed: echo 1 > /sys/bus/pci/p2pdma_rescan");
}

/* The kernel's verdict may lack port effects. Take the computed effects, if both verdicts agree. */
static void complete(struct verdict *verdict, const struct verdict *computed)
{
	if (!verdict->kernel || computed->answer != verdict->answer ||
	    computed->reason != verdict->reason)
		return;
	verdict->redirected = computed->redirected;
	verdict->nr_ports = computed->nr_ports;
	memcpy(verdict->ports, computed->ports, sizeof(verdict->ports));
}

static enum status answer_status(enum answer answer)
{
	if (answer == ANSWER_UNKNOWN)
		return STATUS_UNKNOWN;
	return answer == ANSWER_NONE ? STATUS_NO : STATUS_YES;
}

/**
 * struct question - a client, a provider, and verdicts of two kernels
 * @client: function that masters DMA
 * @provider: function with the memory
 * @rules: kernel of @verdict
 * @verdict: verdict for the exit status
 * @other: verdict of the kernel not in @rules
 * @both: the running kernel is unknown or stock, and the kernels differ in verdict or ports
 */
struct question {
	struct function *client;
	struct function *provider;
	enum rules rules;
	struct verdict verdict;
	struct verdict other;
	bool both;
};

static bool has_function(const struct verdict *verdict, const struct port *port)
{
	unsigned int i;

	for (i = 0; i < verdict->nr_ports; i++)
		if (verdict->ports[i].function == port->function)
			return true;
	return false;
}

/* Compares answer, reason and ports of two verdicts. */
static bool verdicts_differ(const struct verdict *a, const struct verdict *b)
{
	unsigned int i;

	if (a->answer != b->answer || a->reason != b->reason)
		return true;
	for (i = 0; i < a->nr_ports; i++)
		if (!has_function(b, &a->ports[i]))
			return true;
	for (i = 0; i < b->nr_ports; i++)
		if (!has_function(a, &b->ports[i]))
			return true;
	return false;
}

static void ask(struct request *request, enum rules chosen, struct question *question)
{
	struct machine *machine = request->machine;
	enum rules other;

	question->client = resolve(machine, request->args[0]);
	question->provider = resolve(machine, request->args[1]);
	question->rules = choose_rules(machine, chosen);
	other = question->rules == RULES_STOCK ? RULES_OURS : RULES_STOCK;
	verdict_under(machine, question->rules, request->computed, question->client,
		      question->provider, &question->verdict);
	verdict_under(machine, other, request->computed, question->client,
		      question->provider, &question->other);
	question->both = machine->support != SUPPORT_OURS && chosen == RULES_DEFAULT &&
			 verdicts_differ(&question->verdict, &question->other);
}

static void report_question(struct request *request, const struct question *question)
{
	json_object *report = request->report, *other;

	json_object_object_add(report, "route",
			       verdict_report(request->machine, question->client,
					      question->provider, &question->verdict));
	add_text(report, "kernel", rules_word(question->rules));
	if (!question->both) {
		add_text(report, "other", NULL);
		return;
	}
	other = add_object(report, "other");
	add_text(other, "kernel", rules_word(question->rules == RULES_STOCK ? RULES_OURS :
									      RULES_STOCK));
	add_text(other, "verdict", answer_word(question->other.answer));
	add_text(other, "reason", verdict_reason(&question->other));
	add_text(other, "meaning", verdict_meaning(&question->other));
	report_ports(other, &question->other);
}

/* Returns the verdict of stock Linux, or NULL if stock Linux does not run. */
static const struct verdict *stock_verdict(const struct question *question)
{
	if (question->rules == RULES_STOCK)
		return &question->verdict;
	return question->both ? &question->other : NULL;
}

static enum status path_run(struct request *request)
{
	struct machine *machine = request->machine;
	static struct verdict computed, back;
	static struct question question;
	json_object *reverse, *notes;

	ask(request, RULES_DEFAULT, &question);
	if (question.verdict.kernel) {
		verdict_compute(machine, question.client, question.provider, &computed);
		complete(&question.verdict, &computed);
	}
	verdict_under(machine, question.rules, request->computed, question.provider,
		      question.client, &back);

	report_question(request, &question);
	add_text(request->report, "given_client", request->args[0]);
	add_text(request->report, "given_provider", request->args[1]);
	add_hops(machine, request->report, question.client, question.provider, &question.verdict);
	json_object_object_add(request->report, "remedies",
			       remedies(machine, question.client, question.provider,
					&question.verdict, stock_verdict(&question)));
	notes = add_array(request->report, "notes");
	add_notes(machine, notes, question.client, question.provider, &question.verdict, true);
	add_path_notes(notes, &question.verdict, &computed);
	reverse = add_object(request->report, "reverse");
	add_text(reverse, "verdict", answer_word(back.answer));
	add_text(reverse, "reason", verdict_reason(&back));
	return answer_status(question.verdict.answer);
}

static void print_given(json_object *report, const char *role, const char *given,
			const char *does)
{
	json_object *function = get(get(report, "route"), role);

	printf("%-9s %s", role, get_text(function, "bdf"));
	if (strcmp(given, get_text(function, "bdf")))
		printf(" = %s", given);
	printf(" (%s), %s\n", get_text(function, "title"), does);
}

static const char *hop_mark(json_object *hop)
{
	static const char * const marks[] = {
		[EFFECT_REDIRECTS] = "  <-- sends peer traffic up to the host bridge",
		[EFFECT_ISOLATES] = "  <-- sends peer traffic up, by design",
		[EFFECT_BLOCKS] = "  <-- blocks peer traffic",
		[EFFECT_UNREADABLE] = "  <-- does not tell, so it may block",
		[EFFECT_NO_FORWARDING] = "  <-- does not forward what was redirected",
		[EFFECT_DENIED] = "  <-- a policy denies peer traffic",
		[EFFECT_INVOLVED] = "  <-- affects the route",
	};
	const char *word = get_length(hop, "effects") ?
			   json_object_get_string(get_item(hop, "effects", 0)) : NULL;
	enum effect effect = word ? parse_effect(word) : EFFECT_OTHER;

	if (!word)
		return "";
	if (effect == EFFECT_OTHER)
		return xasprintf("  <-- affects the route: %s", word);
	return marks[effect];
}

static void print_acs(json_object *hop)
{
	json_object *acs = get(hop, "acs");
	const char *known = get_text(acs, "known");
	size_t i;

	if (!strcmp(known, "no"))
		return;
	printf("  acs:");
	if (!strcmp(known, "unread"))
		printf(" not readable");
	else if (!get_length(acs, "on"))
		printf(" all off");
	for (i = 0; i < get_length(acs, "on"); i++)
		printf(" %s", json_object_get_string(get_item(acs, "on", i)));
}

static void print_hop(json_object *hop)
{
	const char *policy = get_text(hop, "policy");

	if (get_text(hop, "host")) {
		printf("  %-13s host bridge", get_text(hop, "host"));
		if (get_text(hop, "identity"))
			printf(" (%s, %s)", get_text(hop, "identity"), get_text(hop, "title"));
		printf("  capability: %s", get_text(hop, "capability"));
	} else {
		printf("  %-13s %s%s%s", get_text(hop, "bdf"), get_text(hop, "kind"),
		       *one_name(hop) ? " " : "", one_name(hop));
		print_acs(hop);
	}
	if (policy && strcmp(policy, "auto"))
		printf("  policy: %s", policy);
	if (!strcmp(get_text(hop, "role"), "shared"))
		printf("  (here the paths meet)");
	printf("%s\n", get_text(hop, "host") ? "" : hop_mark(hop));
}

static const char *kernel_words(const char *kernel)
{
	return strcmp(kernel, "stock") ? "a kernel with p2pdma policies" : "stock Linux";
}

/* Prints the verdict of a second kernel and its ports. */
static void print_other(json_object *other)
{
	size_t i, nr = get_length(other, "ports");

	if (!other)
		return;
	printf("%s: %s (%s)%s", kernel_words(get_text(other, "kernel")),
	       paint(get_answer(other)), get_text(other, "reason"),
	       nr ? "; ports that count:" : "");
	for (i = 0; i < nr; i++)
		printf(" %s", get_text(get_item(other, "ports", i), "bdf"));
	putchar('\n');
}

static void print_route(json_object *route, const char *kernel)
{
	size_t i, nr = get_length(route, "unread");

	printf("verdict   %s (%s%s)", paint(get_answer(route)),
	       get_text(route, "source"), strcmp(kernel, "stock") ? "" : " for stock Linux");
	if (get(route, "distance"))
		printf(", distance %lld", get_number(route, "distance"));
	printf("\nreason    %s: %s\n", get_text(route, "reason"), get_text(route, "meaning"));
	if (nr) {
		printf("unread    ");
		for (i = 0; i < nr; i++)
			printf("%s%s", i ? " " : "",
			       json_object_get_string(get_item(route, "unread", i)));
		putchar('\n');
	}
}

static void path_print(json_object *report)
{
	json_object *reverse = get(report, "reverse");
	size_t i;

	print_given(report, "client", get_text(report, "given_client"), "masters DMA");
	print_given(report, "provider", get_text(report, "given_provider"), "has the memory");
	print_route(get(report, "route"), get_text(report, "kernel"));
	print_other(get(report, "other"));
	printf("\n");
	for (i = 0; i < get_length(report, "hops"); i++)
		print_hop(get_item(report, "hops", i));
	print_remedies(report);
	if (get_answer(reverse) != get_answer(get(report, "route")))
		printf("\nThe other way round: %s (%s)\n", paint(get_answer(reverse)),
		       get_text(reverse, "reason"));
	if (get_length(report, "notes"))
		printf("\n");
	print_lines(report, "notes", "note: ");
}

const struct command command_path = {
	.name = "path",
	.args = "CLIENT PROVIDER",
	.summary = "hop by hop: verdict, reason, what to do",
	.help = "CLIENT masters DMA, PROVIDER has the memory that it reads or writes. Shows every\n"
		"port between the two, what its access control does, which of them decides, and\n"
		"the remedies with their price. The exit status is that of check.\n",
	.min_args = 2,
	.max_args = 2,
	.run = path_run,
	.print = path_print,
};

static bool quiet;
static bool direct_only;
static enum rules rules;

enum {
	OPTION_QUIET = 256,
	OPTION_DIRECT,
	OPTION_KERNEL,
};

static const struct option check_options[] = {
	{ "quiet", no_argument, NULL, OPTION_QUIET },
	{ "direct", no_argument, NULL, OPTION_DIRECT },
	{ "kernel", required_argument, NULL, OPTION_KERNEL },
	{ }
};

static bool check_option(int option, const char *argument)
{
	if (option == OPTION_KERNEL)
		return parse_rules(argument, &rules);
	if (option == OPTION_QUIET)
		quiet = true;
	else
		direct_only = true;
	return true;
}

static enum status check_run(struct request *request)
{
	static struct question question;

	ask(request, rules, &question);
	report_question(request, &question);
	add_notes(request->machine, add_array(request->report, "notes"), question.client,
		  question.provider, &question.verdict, false);
	if (direct_only && question.verdict.answer == ANSWER_HOST)
		return STATUS_NO;
	return answer_status(question.verdict.answer);
}

static void check_print(json_object *report)
{
	json_object *route = get(report, "route");

	if (quiet)
		return;
	printf("%s -> %s: %s (%s, %s%s)\n", get_text(get(route, "client"), "bdf"),
	       get_text(get(route, "provider"), "bdf"), paint(get_answer(route)),
	       get_text(route, "reason"), get_text(route, "source"),
	       strcmp(get_text(report, "kernel"), "stock") ? "" : " for stock Linux");
	print_other(get(report, "other"));
	print_lines(report, "notes", "note: ");
}

const struct command command_check = {
	.name = "check",
	.args = "CLIENT PROVIDER",
	.summary = "one line and an exit status, for scripts",
	.help = "CLIENT masters DMA, PROVIDER has the memory that it reads or writes.\n\n"
		"  --quiet         no output\n"
		"  --direct        through the host bridge does not count\n"
		"  --kernel WHICH  the verdict of stock Linux (stock), of a kernel with p2pdma\n"
		"                  policies (ours), or of the running kernel (running); without,\n"
		"                  the running kernel, or ours if it is not known\n\n"
		"Exit status: 0 it reaches, 1 it does not, 2 wrong usage, 3 cannot say.\n",
	.options = check_options,
	.option = check_option,
	.min_args = 2,
	.max_args = 2,
	.run = check_run,
	.print = check_print,
};
