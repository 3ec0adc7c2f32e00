// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: words for verdicts, reasons, effects, capabilities and policies
 *
 * The command has enumerations inside. Words exist at the edge only: in p2pdma/peers of the
 * kernel, in reports, and in text. Only this file compares words. Words and numbers are the
 * kernel's, as far as the kernel has such words.
 */
#include <assert.h>
#include <string.h>

#include "p2pdma-route.h"
#include "p2pdma-hosts.h"
#include "internal.h"

static_assert((int)REASON_SELF == (int)P2PDMA_REASON_SELF &&
	      (int)REASON_SPEC == (int)P2PDMA_REASON_SPEC &&
	      (int)REASON_SAME_DEVICE == (int)P2PDMA_REASON_SAME_DEVICE &&
	      (int)REASON_LISTED == (int)P2PDMA_REASON_LISTED &&
	      (int)REASON_CPU == (int)P2PDMA_REASON_CPU &&
	      (int)REASON_POLICY == (int)P2PDMA_REASON_POLICY &&
	      (int)REASON_UNLISTED == (int)P2PDMA_REASON_UNLISTED &&
	      (int)REASON_SAME_ONLY == (int)P2PDMA_REASON_SAME_ONLY &&
	      (int)REASON_EGRESS == (int)P2PDMA_REASON_EGRESS &&
	      (int)REASON_UNREADABLE == (int)P2PDMA_REASON_UNREADABLE &&
	      (int)REASON_NO_FORWARDING == (int)P2PDMA_REASON_NO_FORWARDING &&
	      (int)REASON_TRANSLATED == (int)P2PDMA_REASON_TRANSLATED &&
	      (int)REASON_ADDRESS == (int)P2PDMA_REASON_ADDRESS,
	      "reasons have the numbers of the kernel");
static_assert((int)EFFECT_REDIRECTS == (int)P2PDMA_PORT_REDIRECTS &&
	      (int)EFFECT_ISOLATES == (int)P2PDMA_PORT_ISOLATES &&
	      (int)EFFECT_BLOCKS == (int)P2PDMA_PORT_BLOCKS &&
	      (int)EFFECT_UNREADABLE == (int)P2PDMA_PORT_UNREADABLE &&
	      (int)EFFECT_NO_FORWARDING == (int)P2PDMA_PORT_NO_FORWARDING &&
	      (int)EFFECT_DENIED == (int)P2PDMA_PORT_DENIED,
	      "effects have the numbers of the kernel");
static_assert((int)CAPABILITY_UNLISTED == (int)P2PDMA_UNLISTED &&
	      (int)CAPABILITY_LISTED_SAME == (int)P2PDMA_LISTED_SAME &&
	      (int)CAPABILITY_LISTED == (int)P2PDMA_LISTED &&
	      (int)CAPABILITY_CPU == (int)P2PDMA_CPU,
	      "capabilities have the numbers of the kernel");
static_assert((int)POLICY_AUTO == (int)P2PDMA_POLICY_AUTO &&
	      (int)POLICY_ALLOW == (int)P2PDMA_POLICY_ALLOW &&
	      (int)POLICY_DENY == (int)P2PDMA_POLICY_DENY,
	      "policies have the numbers of the kernel");

/**
 * answer_word - name of an answer
 * @answer: the answer
 *
 * Return: the word, as in sysfs.
 */
const char *answer_word(enum answer answer)
{
	static const char * const words[] = {
		[ANSWER_DIRECT] = "direct",
		[ANSWER_HOST] = "host-bridge",
		[ANSWER_NONE] = "none",
		[ANSWER_UNKNOWN] = "unknown",
	};

	return words[answer];
}

/**
 * parse_answer - answer of a name
 * @word: the name
 * @answer: filled in, with ANSWER_UNKNOWN for an unknown name
 *
 * Return: false for an unknown name.
 */
bool parse_answer(const char *word, enum answer *answer)
{
	for (*answer = ANSWER_DIRECT; *answer < ANSWER_UNKNOWN; (*answer)++)
		if (!strcmp(answer_word(*answer), word))
			return true;
	return !strcmp(answer_word(ANSWER_UNKNOWN), word);
}

/**
 * reason_word - name of a reason
 * @reason: the reason
 *
 * Return: the word, as in sysfs. For REASON_OTHER, see verdict_reason().
 */
const char *reason_word(enum reason reason)
{
	static const char * const words[] = {
		[REASON_DISCONNECTED] = "disconnected",
		[REASON_ASLEEP] = "asleep",
		[REASON_NEEDS_ROOT] = "needs-root",
		[REASON_PROCESSOR_UNKNOWN] = "processor-unknown",
		[REASON_IOMMU_UNKNOWN] = "iommu-unknown",
		[REASON_INCOMPLETE] = "incomplete",
		[REASON_OTHER] = "(other)",
	};
	struct p2pdma_route route = { .reason = (enum p2pdma_reason)reason };

	return words[reason] ? words[reason] : p2pdma_reason_word(&route);
}

/**
 * parse_reason - reason of a name
 * @word: the name
 *
 * Return: the reason; REASON_OTHER for an unknown name.
 */
enum reason parse_reason(const char *word)
{
	enum reason reason;

	for (reason = REASON_SELF; reason < REASON_OTHER; reason++)
		if (!strcmp(reason_word(reason), word))
			break;
	return reason;
}

/**
 * effect_word - name of the effect of a port
 * @effect: the effect
 *
 * Return: the word, as in sysfs. For EFFECT_OTHER, see port_effect().
 */
const char *effect_word(enum effect effect)
{
	switch (effect) {
	case EFFECT_INVOLVED:
		return "involved";
	case EFFECT_OTHER:
		return "(other)";
	default:
		return p2pdma_effect_word((enum p2pdma_port_effect)effect);
	}
}

/**
 * parse_effect - effect of a name
 * @word: the name
 *
 * Return: the effect; EFFECT_OTHER for an unknown name.
 */
enum effect parse_effect(const char *word)
{
	enum effect effect;

	for (effect = EFFECT_REDIRECTS; effect < EFFECT_OTHER; effect++)
		if (!strcmp(effect_word(effect), word))
			break;
	return effect;
}

/**
 * capability_word - name of a capability of a host bridge
 * @capability: the capability
 *
 * Return: the word, as in sysfs.
 */
const char *capability_word(enum capability capability)
{
	return capability == CAPABILITY_UNKNOWN ? "unknown" :
	       p2pdma_capability_word((enum p2pdma_capability)capability);
}

/**
 * parse_capability - capability of a name
 * @word: the name, or NULL
 *
 * Return: the capability; CAPABILITY_UNKNOWN for an unknown name.
 */
enum capability parse_capability(const char *word)
{
	enum capability capability;

	for (capability = CAPABILITY_UNLISTED; capability < CAPABILITY_UNKNOWN; capability++)
		if (word && !strcmp(capability_word(capability), word))
			return capability;
	return CAPABILITY_UNKNOWN;
}

/**
 * policy_word - name of a policy
 * @policy: the policy
 *
 * Return: the word, as in sysfs.
 */
const char *policy_word(enum policy policy)
{
	return p2pdma_policy_word((enum p2pdma_policy)policy);
}

/**
 * verdict_reason - name of the reason of a verdict
 * @verdict: the verdict
 *
 * Return: the word; for REASON_OTHER the word of the kernel, from outside.
 */
const char *verdict_reason(const struct verdict *verdict)
{
	return verdict->reason == REASON_OTHER ? verdict->other_reason :
						 reason_word(verdict->reason);
}

/**
 * port_effect - name of the effect of a port
 * @port: the port
 *
 * Return: the word; for EFFECT_OTHER the word of the kernel, from outside.
 */
const char *port_effect(const struct port *port)
{
	return port->effect == EFFECT_OTHER ? port->other_effect : effect_word(port->effect);
}

/**
 * verdict_meaning - explain the reason of a verdict
 * @verdict: the verdict
 *
 * Return: a sentence.
 */
const char *verdict_meaning(const struct verdict *verdict)
{
	static const char * const meanings[] = {
		[REASON_SELF] = "a function reaches its own memory",
		[REASON_SPEC] = "the bridge that both share is obliged to route between them",
		[REASON_SAME_DEVICE] =
		"functions of one device that reach each other although nothing obliges them",
		[REASON_LISTED] = "the host bridge is known to route",
		[REASON_CPU] =
		"the host bridge is part of a processor that is known to route",
		[REASON_POLICY] = "the administrator vouches for the host bridge",
		[REASON_UNLISTED] =
		"the host bridge would have to route, and nothing is known of it",
		[REASON_SAME_ONLY] =
		"two host bridges, and one routes only between its own ports",
		[REASON_EGRESS] = "egress control in a port blocks the request",
		[REASON_UNREADABLE] =
		"access control of a port cannot be read, so it may block",
		[REASON_NO_FORWARDING] =
		"redirected below a port that does not forward upstream: undefined",
		[REASON_TRANSLATED] =
		"requests that the client translates itself would go astray",
		[REASON_ADDRESS] = "the client cannot emit the addresses of the memory",
		[REASON_DISCONNECTED] = "one of the two is being unplugged",
		[REASON_ASLEEP] = "a function on the way has no power, and cannot be asked",
		[REASON_NEEDS_ROOT] =
		"access control decides, and without root it cannot be read",
		[REASON_PROCESSOR_UNKNOWN] =
		"the processor decides, and it is not known which one it is",
		[REASON_IOMMU_UNKNOWN] =
		"it matters whether an IOMMU translates for the client, and nothing tells",
		[REASON_INCOMPLETE] = "the input lacks a part of the machine",
		[REASON_OTHER] = "a reason unknown to this version of the tool",
	};

	/* The answer is known all the same. */
	static const char * const depends[] = {
		[REASON_NEEDS_ROOT] =
		"the reason depends on access control, and without root it cannot be read",
		[REASON_PROCESSOR_UNKNOWN] =
		"the reason depends on the processor, and it is not known which one it is",
		[REASON_IOMMU_UNKNOWN] =
		"the reason depends on whether an IOMMU translates, and nothing tells",
	};

	const char *kept;
	char *text;

	if (verdict->missing)
		return verdict->missing;
	if (verdict->other_answer) {
		text = xasprintf("the kernel says \"%s\", a verdict unknown to this version",
				 verdict->other_answer);
		kept = keep_word(text);
		xfree(text);
		return kept;
	}
	if (verdict->reason == REASON_POLICY && verdict->answer == ANSWER_NONE)
		return "the administrator denies it";
	if (verdict->answer != ANSWER_UNKNOWN && verdict->reason < COUNT_OF(depends) &&
	    depends[verdict->reason])
		return depends[verdict->reason];
	return meanings[verdict->reason];
}
