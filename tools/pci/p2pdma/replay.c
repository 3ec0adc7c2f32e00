// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: reading a machine from a capture
 *
 * A capture is a JSON object with the version of the format ("p2pdma-capture"), the release of the
 * kernel, the kernel's support, and the files that were read; see files.c.
 */
#include <json-c/json.h>
#include <string.h>

#include "internal.h"

/* Names of files in a capture begin with this. */
#define CAPTURE_SYSFS	"/sys"

static const char * const support_words[] = {
	[SUPPORT_UNKNOWN] = "unknown",
	[SUPPORT_NONE] = "none",
	[SUPPORT_OTHER] = "without-verdicts",
	[SUPPORT_OURS] = "with-verdicts",
};

/**
 * support_word - the support of a kernel in a word
 * @support: the support
 *
 * Return: the word, as in JSON.
 */
const char *support_word(enum support support)
{
	return support_words[support];
}

/**
 * capture_is - is a text a capture?
 * @text: content of a file
 *
 * Return: true if the text begins as a capture does.
 */
bool capture_is(const char *text)
{
	text += strspn(text, " \t\r\n");
	if (*text++ != '{')
		return false;
	text += strspn(text, " \t\r\n");
	return !strncmp(text, "\"" CAPTURE_KEY "\"", strlen(CAPTURE_KEY) + 2);
}

static enum support parse_support(const char *word)
{
	enum support support;

	for (support = SUPPORT_UNKNOWN; support <= SUPPORT_OURS; support++)
		if (word && !strcmp(support_words[support], word))
			return support;
	return SUPPORT_UNKNOWN;
}

/* Returns the string, valid as long as the capture; or NULL. */
static const char *get_word(json_object *capture, const char *name)
{
	json_object *value = NULL;

	json_object_object_get_ex(capture, name, &value);
	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

/**
 * capture_load - read a machine from a capture
 * @machine: machine to fill in
 * @name: name of the file, for messages
 * @text: content of the file
 *
 * Fails if the capture is damaged or of a later version.
 */
void capture_load(struct machine *machine, const char *name, const char *text)
{
	json_object *capture = json_tokener_parse(text), *files = NULL, *value = NULL;

	context_current()->capture = capture;
	if (!json_object_is_type(capture, json_type_object))
		die(STATUS_UNKNOWN, "%s: the capture is damaged or cut off", name);
	json_object_object_get_ex(capture, CAPTURE_KEY, &value);
	if (json_object_get_int64(value) != CAPTURE_VERSION)
		die(STATUS_UNKNOWN, "%s: a capture of version %lld; this command reads version %d",
		    name, (long long)json_object_get_int64(value), CAPTURE_VERSION);
	if (!json_object_object_get_ex(capture, "files", &files) ||
	    !json_object_is_type(files, json_type_object))
		die(STATUS_UNKNOWN, "%s: the capture has no files", name);
	machine->captured = true;
	machine->complete = json_object_object_get_ex(capture, "complete", &value) &&
			    json_object_get_boolean(value);
	machine->sysfs = CAPTURE_SYSFS;
	machine->dump = NULL;
	files_replay(CAPTURE_SYSFS, files);
	sysfs_load(machine);
	machine->support = parse_support(get_word(capture, "support"));
	machine->release = get_word(capture, "kernel");
}
