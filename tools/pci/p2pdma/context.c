// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: memory and errors of a machine
 *
 * A context owns all memory that is allocated while the context is entered: the readers of a
 * machine do not free what they leave behind at an error. An error ends the current function of
 * the library, see libp2pdma.c, or without such a function the process: that is the p2pdma command.
 */
#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Limit for broken input. */
#define MOST_ODD	1000U

static const char no_memory[] = "out of memory";

/* Until a context is entered. Only the command gets here. */
static struct context process = { .blocks = { &process.blocks, &process.blocks } };
static __thread struct context *current = &process;

/**
 * context_init - prepare a context
 * @context: the context
 */
void context_init(struct context *context)
{
	*context = (struct context) { .blocks = { &context->blocks, &context->blocks } };
}

/**
 * context_enter - let a context own what this thread allocates from now on
 * @context: the context
 *
 * Return: the context before.
 */
struct context *context_enter(struct context *context)
{
	struct context *before = current;

	current = context;
	return before;
}

/**
 * context_current - the context that this thread has entered
 *
 * Return: the context, never NULL.
 */
struct context *context_current(void)
{
	return current;
}

/**
 * context_free - free all memory of a context
 * @context: the context, which no thread has entered
 */
void context_free(struct context *context)
{
	while (context->blocks.next != &context->blocks)
		xfree(context->blocks.next + 1);
	json_object_put(context->capture);
	json_object_put(context->recorded);
}

/**
 * context_hold - remember what an error has to release besides memory
 * @release: releases @resource
 * @resource: such as an open file; a context holds one resource at a time
 */
void context_hold(void (*release)(void *resource), void *resource)
{
	assert(!current->release);
	current->release = release;
	current->resource = resource;
}

/**
 * context_release - release what the context holds, if anything
 */
void context_release(void)
{
	if (current->release)
		current->release(current->resource);
	current->release = NULL;
}

static void __noreturn fail(enum status status, const char *error)
{
	if (current->handler) {
		if (current->error != no_memory)
			xfree((void *)current->error);
		current->status = status;
		current->error = error;
		context_release();
		longjmp(*current->handler, 1);
	}
	fflush(stdout);
	fprintf(stderr, "p2pdma: %s\n", error);
	exit(status);
}

static void __noreturn out_of_memory(void)
{
	fail(STATUS_UNKNOWN, no_memory);
}

/**
 * die - end the current function of the library, or the command, with an error
 * @status: exit status of the command
 * @format: message, as for printf()
 */
void die(enum status status, const char *format, ...)
{
	char *text, *shown;
	va_list args;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	shown = escape_text(text);
	xfree(text);
	fail(status, shown);
}

/**
 * note_odd - record a message about an unreadable part of the input
 * @format: as for printf()
 */
void note_odd(const char *format, ...)
{
	size_t size = current->nr_odd * sizeof(char *);
	va_list args;
	char *text;

	if (current->nr_odd == MOST_ODD)
		return;
	current->odd = xgrow(current->odd, size, size + sizeof(char *));
	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	current->odd[current->nr_odd++] = escape_text(text);
	xfree(text);
}

static void insert(struct block *block)
{
	block->next = &current->blocks;
	block->previous = current->blocks.previous;
	block->previous->next = block;
	block->next->previous = block;
}

/**
 * xzalloc - allocate zeroed memory
 * @size: number of bytes
 *
 * Return: the memory, never NULL.
 */
void *xzalloc(size_t size)
{
	struct block *block = calloc(1, sizeof(*block) + size);

	if (!block)
		out_of_memory();
	insert(block);
	return block + 1;
}

/**
 * xgrow - enlarge memory
 * @old: memory, or NULL
 * @old_size: size of @old in bytes
 * @size: new size in bytes, not smaller than @old_size
 *
 * Return: the memory, with added bytes zeroed; never NULL.
 */
void *xgrow(void *old, size_t old_size, size_t size)
{
	struct block *block;

	if (!old)
		return xzalloc(size);
	block = realloc((struct block *)old - 1, sizeof(*block) + size);
	if (!block)
		out_of_memory();
	block->previous->next = block;
	block->next->previous = block;
	memset((char *)(block + 1) + old_size, 0, size - old_size);
	return block + 1;
}

/**
 * xfree - free memory before the context is freed
 * @memory: memory from a function of this file, or NULL
 */
void xfree(void *memory)
{
	struct block *block;

	if (!memory)
		return;
	block = (struct block *)memory - 1;
	block->previous->next = block->next;
	block->next->previous = block->previous;
	free(block);
}

/**
 * xstrdup - copy a string
 * @text: the string
 *
 * Return: the copy, never NULL.
 */
char *xstrdup(const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(xzalloc(size), text, size);
}

/**
 * xvasprintf - print to a new string
 * @format: as for printf()
 * @args: arguments of @format
 *
 * Return: the string, never NULL.
 */
char *xvasprintf(const char *format, va_list args)
{
	int error = errno, length;
	va_list again;
	char *text;

	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0)
		out_of_memory();
	text = xzalloc(length + 1);
	/* For "%m". */
	errno = error;
	vsnprintf(text, length + 1, format, args);
	return text;
}

/**
 * xasprintf - format a new string
 * @format: as for printf()
 *
 * Return: the string, never NULL.
 */
char *xasprintf(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	return text;
}

/**
 * keep_word - keep a word as long as the context
 * @word: the word
 *
 * Return: a copy, the same for each call with this word.
 */
const char *keep_word(const char *word)
{
	size_t size = current->nr_kept * sizeof(char *);
	unsigned int i;

	for (i = 0; i < current->nr_kept; i++)
		if (!strcmp(current->kept[i], word))
			return current->kept[i];
	current->kept = xgrow(current->kept, size, size + sizeof(char *));
	current->kept[i] = xstrdup(word);
	current->nr_kept++;
	return current->kept[i];
}

/* Decodes a character of UTF-8. Returns its length, or 0 for invalid bytes. */
static unsigned int decode(const unsigned char *at, unsigned int *code)
{
	unsigned int i, length = *at < 0x80 ? 1 : *at >> 5 == 6 ? 2 : *at >> 4 == 14 ? 3 :
				 *at >> 3 == 30 ? 4 : 0;
	static const unsigned int least[] = { 0, 0, 0x80, 0x800, 0x10000 };

	*code = length > 1 ? *at & (0x7f >> length) : *at;
	for (i = 1; i < length; i++) {
		if (at[i] >> 6 != 2)
			return 0;
		*code = *code << 6 | (at[i] & 0x3f);
	}
	/* Surrogates and numbers beyond Unicode are no characters. */
	if (*code < least[length] || *code > 0x10ffff || *code >> 11 == 0x1b)
		return 0;
	return length;
}

/* Controls of a terminal, line separators, and marks that change the direction of the text. */
static bool is_control(unsigned int code)
{
	return code < ' ' || (code >= 0x7f && code < 0xa0) || code == 0x61c ||
	       code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069);
}

/**
 * escape_text - make a text from outside safe for a terminal and for JSON
 * @text: the text, for instance a name from a file system
 *
 * Names and contents of files may hold escape sequences of terminals and invalid UTF-8.
 *
 * Return: a new string with "\xNN" for each byte of a control character or invalid UTF-8.
 */
char *escape_text(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	char *shown = xzalloc(4 * strlen(text) + 1), *to = shown;
	unsigned int code, length;

	while (*at) {
		length = decode(at, &code);
		if (length && !is_control(code)) {
			to = mempcpy(to, at, length);
			at += length;
			continue;
		}
		for (length = length ? length : 1; length; length--)
			to += sprintf(to, "\\x%02x", *at++);
	}
	*to = '\0';
	return shown;
}
