// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: reading verdicts of the kernel
 *
 * p2pdma/peers of a client has a line for each provider, sorted by address:
 *
 *	BDF verdict distance parent reason [iommu] [BDF=effect ...]
 *
 * A newer kernel may have other words. Such a word is kept as it is, and a verdict that this
 * version does not know counts as unknown.
 */
#include <string.h>

#include "internal.h"

/* No word of the kernel is longer. */
#define WORD_SIZE	64

static const char *after_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : line + strlen(line);
}

/* Callers mostly ask in the order of the lines: begin after the last hit. */
static const char *find_line(struct function *client, const char *bdf)
{
	const char *text = sysfs_peers(client), *line, *start;
	size_t length = strlen(bdf);

	if (!text)
		return NULL;
	start = client->next_peer ? client->next_peer : text;
	for (line = start; *line; line = after_line(line))
		if (!strncmp(line, bdf, length) && line[length] == ' ')
			goto found;
	for (line = text; line != start && *line; line = after_line(line))
		if (!strncmp(line, bdf, length) && line[length] == ' ')
			goto found;
	return NULL;
found:
	client->next_peer = after_line(line);
	return line;
}

/* Copies the next word of a line, at most WORD_SIZE - 1 bytes. False at the end of the line. */
static bool next_word(const char **line, char *word)
{
	const char *at = *line + strspn(*line, " ");
	size_t length = strcspn(at, "\n ");

	*line = at + length;
	snprintf(word, WORD_SIZE, "%.*s", (int)length, at);
	return length;
}

static const struct function *find_named(const struct machine *machine, const char *bdf)
{
	struct address address;

	return parse_address(bdf, &address) ? machine_find(machine, address) : NULL;
}

/* Parses "0000:02:01.0=redirects"; an earlier kernel had no effects. */
static void parse_port(const struct machine *machine, char *word, struct verdict *verdict)
{
	char *name = strchr(word, '=');
	struct port port = { .effect = EFFECT_INVOLVED };

	if (name) {
		*name++ = '\0';
		port.effect = parse_effect(name);
	}
	port.function = find_named(machine, word);
	if (!port.function || verdict->nr_ports >= MAX_PORTS)
		return;
	if (port.effect == EFFECT_OTHER)
		port.other_effect = keep_word(name);
	verdict->ports[verdict->nr_ports++] = port;
}

static bool ports_redirect(const struct verdict *verdict)
{
	unsigned int i;

	for (i = 0; i < verdict->nr_ports; i++)
		if (verdict->ports[i].effect == EFFECT_REDIRECTS ||
		    verdict->ports[i].effect == EFFECT_ISOLATES)
			return true;
	return false;
}

static bool parse_line(const struct machine *machine, const char *line, struct verdict *verdict)
{
	char answer[WORD_SIZE], distance[WORD_SIZE], parent[WORD_SIZE], word[WORD_SIZE];
	unsigned long long number;

	line += strcspn(line, " ");
	/* A cut line ends within a word. */
	if (!strchr(line, '\n'))
		return false;
	if (!next_word(&line, answer) || !next_word(&line, distance) ||
	    !next_word(&line, parent) || !next_word(&line, word))
		return false;
	if (!parse_answer(answer, &verdict->answer))
		verdict->other_answer = keep_word(answer);
	verdict->reason = parse_reason(word);
	if (verdict->reason == REASON_OTHER)
		verdict->other_reason = keep_word(word);
	verdict->distance = parse_number(distance, 10, 1000, &number) ? (int)number : -1;
	verdict->parent = find_named(machine, parent);
	while (next_word(&line, word)) {
		if (strcmp(word, "iommu"))
			parse_port(machine, word, verdict);
		else
			verdict->iommu = true;
	}
	verdict->redirected = ports_redirect(verdict);
	verdict->kernel = true;
	return true;
}

/**
 * verdict_get - get the kernel's verdict, or else a computed verdict
 * @machine: the machine
 * @client: function that masters DMA
 * @provider: function with the memory
 * @computed: do not ask the kernel
 * @verdict: filled in
 */
void verdict_get(struct machine *machine, struct function *client, struct function *provider,
		 bool computed, struct verdict *verdict)
{
	const char *line = computed || client == provider ? NULL : find_line(client, provider->bdf);

	verdict->nr_ports = 0;
	verdict->nr_unread = 0;
	verdict->redirected = false;
	verdict->iommu = false;
	verdict->missing = NULL;
	verdict->other_answer = NULL;
	if (line && parse_line(machine, line, verdict))
		return;
	if (line && !client->peers_odd)
		note_odd("%s: p2pdma/peers: what it says of %s makes no sense",
			 client->bdf, provider->bdf);
	client->peers_odd |= !!line;
	verdict_compute(machine, client, provider, verdict);
}
