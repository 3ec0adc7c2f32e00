// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: numbers
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

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
