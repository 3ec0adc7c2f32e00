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
	json_object_object_add(hop, "acs", config_acs_report(function));
	effects = add_array(hop, "effects");
	for (i = 0; i < verdict->nr_ports; i++)
		if (verdict->ports[i].function == function)
			add_item(effects, new_text(verdict->ports[i].effect));
	if (function_is_bridge(function))
		add_text(hop, "policy", policy_word(function->policy));
	add_item(hops, hop);
}

static void add_host(struct machine *machine, json_object *hops, const struct host *host)
{
	json_object *hop = json_object_new_object();

	add_text(hop, "role", "host");
	add_text(hop, "host", host->name);
	add_text(hop, "identity", host->first ? keep_format("%04x:%04x", host->first->vendor,
							    host->first->device) : NULL);
	add_text(hop, "title", host->first ? function_title(machine, host->first) : NULL);
	add_text(hop, "capability", host_capability(machine, host));
	add_text(hop, "policy", policy_word(host->policy));
	add_item(hops, hop);
}

static bool is_above(const struct function *bridge, const struct function *function)
{
	while (function && function != bridge)
		function = function->up;
	return function;
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

static const struct function *find_meeting(const struct function *client,
					   const struct function *provider)
{
	while (client && !is_above(client, provider))
		client = client->up;
	return client;
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

static void add_notes(const struct machine *machine, json_object *report,
		      const struct verdict *verdict, const struct verdict *computed)
{
	json_object *notes = add_array(report, "notes");

	if (!verdict->kernel && machine->support == SUPPORT_OTHER)
		add_words(notes, "this kernel has no verdicts; its own rules may refuse more");
	if (machine->support == SUPPORT_NONE)
		add_words(notes, "this kernel lacks CONFIG_PCI_P2PDMA: no driver can use it");
	if (machine->virtual)
		add_words(notes, "in a virtual machine the real topology is not seen");
	if (!verdict->kernel || computed->answer == ANSWER_UNKNOWN ||
	    computed->answer == verdict->answer)
		return;
	add_words(notes, "the verdict that can be computed differs: %s (%s)",
		  answer_word(computed->answer), computed->reason);
	add_words(notes, "if access control was changed: echo 1 > /sys/bus/pci/p2pdma_rescan");
}

/* The kernel's verdict may lack port effects. Take the computed effects, if both verdicts agree. */
static void complete(struct verdict *verdict, const struct verdict *computed)
{
	if (!verdict->kernel || computed->answer != verdict->answer ||
	    strcmp(computed->reason, verdict->reason))
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

static enum status path_run(struct request *request)
{
	struct machine *machine = request->machine;
	struct function *client = resolve(machine, request->args[0]);
	struct function *provider = resolve(machine, request->args[1]);
	static struct verdict verdict, computed, back;
	json_object *reverse;

	verdict_get(machine, client, provider, request->computed, &verdict);
	verdict_compute(machine, client, provider, &computed);
	complete(&verdict, &computed);
	verdict_get(machine, provider, client, request->computed, &back);

	json_object_object_add(request->report, "route",
			       verdict_report(machine, client, provider, &verdict));
	add_text(request->report, "given_client", request->args[0]);
	add_text(request->report, "given_provider", request->args[1]);
	add_hops(machine, request->report, client, provider, &verdict);
	json_object_object_add(request->report, "remedies",
			       remedies(machine, client, provider, &verdict));
	add_notes(machine, request->report, &verdict, &computed);
	reverse = add_object(request->report, "reverse");
	add_text(reverse, "verdict", answer_word(back.answer));
	add_text(reverse, "reason", back.reason);
	return answer_status(verdict.answer);
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
	const char *effect = get_length(hop, "effects") ?
			     json_object_get_string(get_item(hop, "effects", 0)) : NULL;

	if (!effect)
		return "";
	if (!strcmp(effect, "redirects"))
		return "  <-- sends peer traffic up to the host bridge";
	if (!strcmp(effect, "isolates"))
		return "  <-- sends peer traffic up, by design";
	if (!strcmp(effect, "unreadable"))
		return "  <-- does not tell, so it may block";
	if (!strcmp(effect, "blocks"))
		return "  <-- blocks peer traffic";
	if (!strcmp(effect, "denied"))
		return "  <-- a policy denies peer traffic";
	if (!strcmp(effect, "no-forwarding"))
		return "  <-- does not forward what was redirected";
	return "  <-- affects the route";
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

static void print_remedy(json_object *remedy)
{
	printf("  * %s\n", get_text(remedy, "what"));
	if (get_length(remedy, "boot"))
		printf("    for good, on the kernel's command line:\n");
	print_lines(remedy, "boot", "      ");
	if (get_length(remedy, "now"))
		printf("    at once, until the next boot, as root:\n");
	print_lines(remedy, "now", "      ");
	print_lines(remedy, "price", "    price: ");
}

static void print_route(json_object *route)
{
	size_t i, nr = get_length(route, "unread");

	printf("verdict   %s (%s)", paint(get_text(route, "verdict")), get_text(route, "source"));
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
	print_route(get(report, "route"));
	printf("\n");
	for (i = 0; i < get_length(report, "hops"); i++)
		print_hop(get_item(report, "hops", i));
	if (get_length(report, "remedies"))
		printf("\nWhat can be done:\n");
	for (i = 0; i < get_length(report, "remedies"); i++)
		print_remedy(get_item(report, "remedies", i));
	if (strcmp(get_text(reverse, "verdict"), get_text(get(report, "route"), "verdict")))
		printf("\nThe other way round: %s (%s)\n", paint(get_text(reverse, "verdict")),
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

enum {
	OPTION_QUIET = 256,
	OPTION_DIRECT,
};

static const struct option check_options[] = {
	{ "quiet", no_argument, NULL, OPTION_QUIET },
	{ "direct", no_argument, NULL, OPTION_DIRECT },
	{ }
};

static bool check_option(int option, const char *argument)
{
	(void)argument;
	if (option == OPTION_QUIET)
		quiet = true;
	else
		direct_only = true;
	return true;
}

static enum status check_run(struct request *request)
{
	struct machine *machine = request->machine;
	struct function *client = resolve(machine, request->args[0]);
	struct function *provider = resolve(machine, request->args[1]);
	static struct verdict verdict;

	verdict_get(machine, client, provider, request->computed, &verdict);
	json_object_object_add(request->report, "route",
			       verdict_report(machine, client, provider, &verdict));
	if (direct_only && verdict.answer == ANSWER_HOST)
		return STATUS_NO;
	return answer_status(verdict.answer);
}

static void check_print(json_object *report)
{
	json_object *route = get(report, "route");

	if (!quiet)
		printf("%s -> %s: %s (%s, %s)\n", get_text(get(route, "client"), "bdf"),
		       get_text(get(route, "provider"), "bdf"), paint(get_text(route, "verdict")),
		       get_text(route, "reason"), get_text(route, "source"));
}

const struct command command_check = {
	.name = "check",
	.args = "CLIENT PROVIDER",
	.summary = "one line and an exit status, for scripts",
	.help = "CLIENT masters DMA, PROVIDER has the memory that it reads or writes.\n\n"
		"  --quiet    no output\n"
		"  --direct   through the host bridge does not count\n\n"
		"Exit status: 0 it reaches, 1 it does not, 2 wrong usage, 3 cannot say.\n",
	.options = check_options,
	.option = check_option,
	.min_args = 2,
	.max_args = 2,
	.run = check_run,
	.print = check_print,
};
