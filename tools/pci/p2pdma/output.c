// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma: warnings, files that are written, and text for people
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

/**
 * warn - print a warning on standard error
 * @format: as for printf()
 */
void warn(const char *format, ...)
{
	char *text, *shown;
	va_list args;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	shown = escape_text(text);
	fflush(stdout);
	fprintf(stderr, "p2pdma: %s\n", shown);
	xfree(shown);
	xfree(text);
}

/**
 * write_text - write to a sysfs attribute
 * @path: name of an existing file
 * @text: text to write
 *
 * Return: 0 or a positive errno.
 */
int write_text(const char *path, const char *text)
{
	size_t size = strlen(text);
	int fd, error = 0;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	errno = EIO;
	if (write(fd, text, size) != (ssize_t)size)
		error = errno;
	close(fd);
	return error;
}

/**
 * show_size - format a number of bytes for people, such as "64 MiB"
 * @bytes: number of bytes
 *
 * Return: the text, valid during the next three calls.
 */
const char *show_size(unsigned long long bytes)
{
	static const char * const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	static char texts[4][32];
	static unsigned int turn;
	unsigned int unit = 0;
	double value = bytes;
	char *text = texts[turn++ % COUNT_OF(texts)];

	for (; value >= 1024 && unit + 1 < COUNT_OF(units); unit++)
		value /= 1024;
	snprintf(text, sizeof(texts[0]), value == (unsigned long long)value ? "%.0f %s" : "%.1f %s",
		 value, units[unit]);
	return text;
}

#define COLUMNS	80

/* Columns of a text without controls: bytes that begin a character of UTF-8. */
static size_t count_columns(const char *text, size_t size)
{
	size_t columns = 0;

	while (size--)
		columns += (*text++ & 0xc0) != 0x80;
	return columns;
}

/**
 * print_wrapped - print a text in lines of at most 80 columns
 * @indent: number of spaces before each line after the first
 * @format: as for printf()
 *
 * Lines end at spaces only: a longer word stays whole.
 */
void print_wrapped(unsigned int indent, const char *format, ...)
{
	size_t at = 0, spaces, size, columns;
	char *text, *word;
	va_list args;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	for (word = text; *word; word += size) {
		spaces = strspn(word, " ");
		size = strcspn(word + spaces, " ");
		columns = count_columns(word + spaces, size);
		if (at > indent && at + spaces + columns > COLUMNS) {
			printf("\n%*s", indent, "");
			at = indent + columns;
			fwrite(word + spaces, 1, size, stdout);
		} else {
			at += spaces + columns;
			fwrite(word, 1, spaces + size, stdout);
		}
		size += spaces;
	}
	putchar('\n');
	xfree(text);
}

/**
 * terminal_is_dumb - does the terminal lack colours and cursor movement?
 *
 * Return: true for TERM=dumb, and if TERM is not set.
 */
bool terminal_is_dumb(void)
{
	const char *term = getenv("TERM");

	return !term || !*term || !strcmp(term, "dumb");
}
