// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma policy: show or set the policy of a bridge
 */
#include <errno.h>
#include <string.h>

#include "tool.h"

static enum policy parse_policy(const char *word)
{
	enum policy policy;

	for (policy = POLICY_AUTO; policy <= POLICY_DENY; policy++)
		if (!strcmp(policy_word(policy), word))
			return policy;
	die(STATUS_USAGE, "%s: a policy is auto, allow or deny", word);
}

static void set_policy(const struct resolved *bridge, const char *path, const char *word)
{
	int error = write_text(xasprintf("%s/p2pdma/policy", path), word);

	if (!error)
		return;
	if (error == EACCES || error == EPERM || error == EROFS)
		die(STATUS_NO, "%s: %s; only root sets policies", bridge->given, strerror(error));
	die(STATUS_NO, "%s: %s", bridge->given, strerror(error));
}

#define UDEV_RULE \
	"udev: ACTION==\"add\", SUBSYSTEM==\"pci\", KERNEL==\"%s\", ATTR{p2pdma/policy}=\"%s\""

/* Adds the ways to keep the policy across a reboot. */
static void add_lasting(json_object *report, const struct resolved *bridge, enum policy policy)
{
	json_object *lasting = add_array(report, "lasting");
	const struct host *host = bridge->host;
	const char *word = policy_word(policy);

	if (policy == POLICY_AUTO)
		return;
	if (!host) {
		add_words(lasting, "kernel command line: p2pdma.%s=%s", word,
			  bridge->function->bdf);
		add_words(lasting, UDEV_RULE, bridge->function->bdf, word);
		return;
	}
	add_words(lasting, "kernel command line: p2pdma.%s=%s", word, host->name + strlen("pci"));
	if (host->first)
		add_words(lasting, "the same wherever that host bridge is: p2pdma.%s=%04x:%04x",
			  word, host->first->vendor, host->first->device);
	/* The kernel sends no uevent for a host bridge, so no udev rule can match. */
	add_words(lasting, "tmpfiles.d: w %s/p2pdma/policy - - - - %s", host->path, word);
}

static bool is_risky(const struct resolved *bridge, enum policy policy)
{
	enum capability capability;

	if (policy != POLICY_ALLOW || !bridge->host || !bridge->host->capability)
		return false;
	capability = parse_capability(bridge->host->capability);
	return capability != CAPABILITY_LISTED && capability != CAPABILITY_CPU;
}

static void add_warnings(json_object *report, const struct resolved *bridge, enum policy policy)
{
	json_object *warnings = add_array(report, "warnings");

	if (!is_risky(bridge, policy))
		return;
	add_words(warnings, "peer-to-peer DMA through this host bridge is allowed unproven");
	add_words(warnings, "if it does not route, data is corrupted in silence: compare contents");
	add_words(warnings, "some host bridges pass writes and answer reads with ones: try both");
	add_words(warnings, "the kernel is tainted from now on");
}

static const char *bridge_path(const struct resolved *bridge)
{
	return bridge->host ? bridge->host->path : bridge->function->path;
}

static const char *bridge_capability(const struct resolved *bridge)
{
	return bridge->host ? bridge->host->capability : bridge->function->capability;
}

static void check_change(const struct request *request, const struct resolved *bridge,
			 enum policy policy)
{
	if (!request->machine->live)
		die(STATUS_USAGE, "a copy takes no policy; run it on the machine itself");
	if (policy == POLICY_ALLOW && bridge->function)
		die(STATUS_USAGE, "%s: only a host bridge needs to be allowed, here %s",
		    bridge->given, bridge->function->host->name);
}

static enum status policy_run(struct request *request)
{
	struct machine *machine = request->machine;
	struct resolved bridge = resolve_bridge(machine, request->args[0]);
	const char *path = bridge_path(&bridge);
	bool change = request->nr_args > 1;
	enum policy policy, before;

	policy = change ? parse_policy(request->args[1]) : POLICY_AUTO;
	if (machine->dump)
		die(STATUS_UNKNOWN, "the output of lspci holds no policies");
	if (!path || !bridge_capability(&bridge))
		die(STATUS_UNKNOWN, "%s: this kernel has no policies", bridge.given);
	before = sysfs_policy(path);
	if (change) {
		check_change(request, &bridge, policy);
		set_policy(&bridge, path, request->args[1]);
	}
	policy = sysfs_policy(path);
	add_text(request->report, "given", bridge.given);
	add_text(request->report, "bridge", bridge.host ? bridge.host->name :
							  bridge.function->bdf);
	add_text(request->report, "capability", bridge_capability(&bridge));
	add_text(request->report, "before", policy_word(before));
	add_text(request->report, "policy", policy_word(policy));
	add_warnings(request->report, &bridge, policy);
	add_lasting(request->report, &bridge, policy);
	return STATUS_YES;
}

static void policy_print(json_object *report)
{
	const char *before = get_text(report, "before"), *policy = get_text(report, "policy");

	printf("%s  capability: %s  policy: %s", get_text(report, "bridge"),
	       get_text(report, "capability"), policy);
	if (strcmp(before, policy))
		printf(" (was %s)", before);
	printf("\n");
	print_lines(report, "warnings", "warning: ");
	if (get_length(report, "lasting"))
		printf("To make it last, one of:\n");
	print_lines(report, "lasting", "  ");
}

const struct command command_policy = {
	.name = "policy",
	.args = "BRIDGE [auto|allow|deny]",
	.summary = "show or set what is decided about a bridge",
	.help = "BRIDGE is the address of a bridge, or a host bridge: pci0000:00 or 0000:00.\n\n"
		"  auto    what is known decides\n"
		"  deny    no peer-to-peer transaction is to pass\n"
		"  allow   for a host bridge: you vouch that it routes. If it does not, data is\n"
		"          corrupted in silence, so the kernel warns and is marked as tainted\n",
	.min_args = 1,
	.max_args = 2,
	.run = policy_run,
	.print = policy_print,
};
