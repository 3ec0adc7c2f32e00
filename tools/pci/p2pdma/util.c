// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma: memory and messages
 *
 * Most memory is freed only at exit, because the command runs for a short time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static void __noreturn out_of_memory(void)
{
	fputs("p2pdma: out of memory\n", stderr);
	exit(STATUS_UNKNOWN);
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
	char *text;

	if (vasprintf(&text, format, args) < 0)
		out_of_memory();
	return text;
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
	char *shown = malloc(4 * strlen(text) + 1), *to = shown;
	unsigned int code, length;

	if (!shown)
		out_of_memory();
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

static void say(const char *format, va_list args)
{
	char *text = xvasprintf(format, args), *shown = escape_text(text);

	fflush(stdout);
	fprintf(stderr, "p2pdma: %s\n", shown);
	free(shown);
	free(text);
}

/**
 * die - print an error message, and end the process
 * @status: exit status
 * @format: as for printf()
 */
void die(enum status status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	exit(status);
}

/**
 * warn - print a warning on standard error
 * @format: as for printf()
 */
void warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

/**
 * xzalloc - allocate zeroed memory
 * @size: number of bytes
 *
 * Return: the memory, never NULL.
 */
void *xzalloc(size_t size)
{
	void *memory = calloc(1, size ? size : 1);

	if (!memory)
		out_of_memory();
	return memory;
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
	char *memory = realloc(old, size);

	if (!memory)
		out_of_memory();
	memset(memory + old_size, 0, size - old_size);
	return memory;
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
 * hex_digit - value of a hexadecimal digit
 * @digit: the digit, in any case
 *
 * Return: the value, or -1 for another character.
 */
int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit |= 0x20;
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/**
 * parse_number - parse an unsigned number without sign, space or trailing text
 * @text: text to parse, or NULL
 * @base: as for strtoull()
 * @max: largest allowed number
 * @number: filled in
 *
 * Return: false if @text is not an allowed number.
 */
bool parse_number(const char *text, int base, unsigned long long max, unsigned long long *number)
{
	char *end;

	if (!text || !*text || strchr(" \t\n+-", *text))
		return false;
	errno = 0;
	*number = strtoull(text, &end, base);
	return !errno && !*end && end != text && *number <= max;
}

/**
 * parse_size - parse a number of bytes such as 4096, 64k, 32M, 1GiB or 0x1000
 * @text: text to parse
 * @bytes: filled in
 *
 * Return: false if @text is not a number of bytes.
 */
bool parse_size(const char *text, unsigned long long *bytes)
{
	static const char units[] = "kmgt";
	char *end;
	const char *unit;
	int shift = 0;

	if (!*text || strchr(" \t\n+-", *text))
		return false;
	errno = 0;
	*bytes = strtoull(text, &end, 0);
	if (errno || end == text)
		return false;
	if (*end) {
		unit = strchr(units, *end | 0x20);
		if (!unit || (end[1] && strcmp(end + 1, "iB")))
			return false;
		shift = 10 * (unit - units + 1);
	}
	if (*bytes > ~0ULL >> shift >> 1)
		return false;
	*bytes <<= shift;
	return true;
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
	free(text);
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
