// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: reading a machine from the output of lspci
 *
 * The lines of a function are a title with the address, text (see text.c), and bytes of
 * configuration space.
 *
 * libpci has a reader for such dumps, but the reader ends the process at a malformed line, knows
 * no domain above 0xffff (Intel VMD has such domains), and refuses the long lines of -vvv. The
 * reader here skips unknown lines and reports malformed hexadecimal lines.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <pci/pci.h>

#include "internal.h"

/* lspci -x prints no less. */
#define HEADER_SIZE	64

/**
 * struct entry - the lines of a function
 * @function: the function
 * @title: rest of the line with the address
 * @body: the other lines that are no bytes, with single spaces between words; or NULL
 * @length: length of @body
 * @line: number of the line with the address
 * @restart: number of the last line up to here at which addresses begin anew
 * @ended: an empty line follows
 * @joined: line at which the other part begins, if text and bytes are in two parts; else 0
 */
struct entry {
	struct function *function;
	char *title;
	char *body;
	size_t length;
	unsigned int line;
	unsigned int restart;
	bool ended;
	unsigned int joined;
};

/**
 * struct dump - a file while it is read
 * @machine: machine to fill in
 * @entries: the functions in the order of the file
 * @nr: length of @entries
 * @current: the entry that lines belong to, or NULL
 * @line: number of the line
 * @spaced: an empty line follows every line, as some programs for mail write it
 * @empty: the line before was empty
 */
struct dump {
	struct machine *machine;
	struct entry *entries;
	unsigned int nr;
	struct entry *current;
	unsigned int line;
	bool spaced;
	bool empty;
};

/* True if @line begins with an address and a space. */
static bool dump_address(const char *line, struct address *address)
{
	size_t length = strcspn(line, " \t");
	char word[32];

	if (!length || length >= sizeof(word) || !line[length])
		return false;
	memcpy(word, line, length);
	word[length] = '\0';
	/* Require a dot: "03:00.0" has a dot, hexadecimal lines such as "40: 00" have none. */
	return strchr(word, '.') && parse_address(word, address);
}

/* Parses the beginning of a hexadecimal line: "40: 00 11 22 ..." */
static bool dump_offset(const char *line, unsigned int *offset, const char **bytes)
{
	char *end;

	if (!isxdigit((unsigned char)line[0]) || !isxdigit((unsigned char)line[1]))
		return false;
	*offset = strtoul(line, &end, 16);
	if (end - line > 3 || end[0] != ':' || (end[1] != ' ' && end[1] != '\t'))
		return false;
	*bytes = end + 1;
	return true;
}

static void store_byte(struct function *function, unsigned int at, unsigned char byte)
{
	if (!function->config)
		function->config = xzalloc(CONFIG_SIZE);
	function->config[at] = byte;
	function->config_size = at + 1;
}

/* Stores the bytes of a hexadecimal line. Accepts no gap after the bytes stored before. */
static bool dump_bytes(struct function *function, unsigned int offset, const char *text)
{
	int high, low;

	if (offset != function->config_size)
		return false;
	for (text += strspn(text, " \t"); isxdigit((unsigned char)text[0]);
	     text += strspn(text, " \t")) {
		high = hex_digit(text[0]);
		low = hex_digit(text[1]);
		if (low < 0 || isalnum((unsigned char)text[2]) || offset >= CONFIG_SIZE)
			return false;
		store_byte(function, offset++, high << 4 | low);
		text += 2;
	}
	return !*text;
}

static int compare_order(struct address a, struct address b)
{
	if (a.domain != b.domain)
		return a.domain < b.domain ? -1 : 1;
	return (a.bus << 8 | a.devfn) - (b.bus << 8 | b.devfn);
}

static void begin_entry(struct dump *dump, struct address address, const char *line)
{
	struct function *function = machine_add(dump->machine, address);
	size_t room = dump->nr * sizeof(struct entry);
	const char *title = line + strcspn(line, " \t");
	unsigned int restart = 0;

	dump->current = NULL;
	if (!function) {
		note_odd("line %u: more functions than a machine has",
			 dump->line);
		return;
	}
	if (dump->nr) {
		restart = dump->entries[dump->nr - 1].restart;
		if (compare_order(dump->entries[dump->nr - 1].function->address, address) >= 0)
			restart = dump->line;
	}
	if (!(dump->nr & (dump->nr - 1)))
		dump->entries = xgrow(dump->entries, room,
				      dump->nr ? 2 * room : sizeof(struct entry));
	dump->current = &dump->entries[dump->nr++];
	*dump->current = (struct entry) {
		.function = function,
		.title = xstrdup(title + strspn(title, " \t")),
		.line = dump->line,
		.restart = restart,
	};
}

/* Adds a line to the text of a function, with single spaces. A wrapped line becomes whole. */
static void add_body(struct entry *entry, const char *line)
{
	size_t length = strlen(line);
	char *to;

	/* The zero byte at the end is overwritten, or moves. */
	entry->body = xgrow(entry->body, entry->length, entry->length + length + 2);
	to = entry->body + entry->length;
	if (entry->length)
		*to++ = ' ';
	for (; *line; line++)
		if (!isspace((unsigned char)*line))
			*to++ = *line;
		else if (!isspace((unsigned char)line[1]))
			*to++ = ' ';
	*to = '\0';
	entry->length = to - entry->body;
}

static void dump_empty(struct dump *dump)
{
	if (dump->spaced && !dump->empty) {
		dump->empty = true;
		return;
	}
	if (dump->current)
		dump->current->ended = true;
	dump->current = NULL;
}

static void dump_line(struct dump *dump, const char *line)
{
	struct function *function = dump->current ? dump->current->function : NULL;
	struct address address;
	unsigned int offset;
	const char *bytes;

	if (!*line)
		return dump_empty(dump);
	dump->empty = false;
	if (dump_address(line, &address)) {
		begin_entry(dump, address, line);
	} else if (!dump_offset(line, &offset, &bytes)) {
		if (function)
			add_body(dump->current, line);
	} else if (!function) {
		note_odd("line %u: bytes of no function are left out",
			 dump->line);
	} else if (!dump_bytes(function, offset, bytes)) {
		note_odd("line %u: %s: bytes that make no sense here are left out", dump->line,
			 function->bdf);
	}
}

static void dump_ids(struct function *function)
{
	unsigned int value;

	if (config_read(function, PCI_VENDOR_ID, 2, &value))
		function->vendor = value;
	if (config_read(function, PCI_DEVICE_ID, 2, &value))
		function->device = value;
	/* A text has no programming interface. */
	if (config_read(function, PCI_CLASS_DEVICE, 2, &value))
		function->class = value << 8;
	if (config_read(function, PCI_CLASS_PROG, 1, &value))
		function->class |= value;
	if (!config_dead(function) && config_read(function, PCI_HEADER_TYPE, 1, &value))
		function->header = value & 0x7f;
}

static void dump_bars(struct function *function)
{
	unsigned int i, low, high;
	struct bar *bar;

	for (i = 0; i < BARS && function->header == PCI_HEADER_TYPE_NORMAL; i++) {
		bar = &function->bars[i];
		if (!config_read(function, PCI_BASE_ADDRESS_0 + 4 * i, 4, &low) || !low)
			continue;
		bar->memory = !(low & PCI_BASE_ADDRESS_SPACE_IO);
		bar->start = low & (bar->memory ? ~0xfU : ~0x3U);
		if (!bar->memory || (low & 6) != PCI_BASE_ADDRESS_MEM_TYPE_64)
			continue;
		if (config_read(function, PCI_BASE_ADDRESS_0 + 4 * ++i, 4, &high))
			bar->start |= (unsigned long long)high << 32;
	}
}

/*
 * A virtual function has no vendor and device ID, and is below the same bridge as the physical
 * function. The SR-IOV capability of the physical function has the addresses of all virtual
 * functions and the device ID (PCIe Base Specification r6.0, sec 9.3.3).
 */
static void dump_virtual(const struct machine *machine, struct function *physfn)
{
	unsigned int at, nr, offset, stride, device, id;
	struct function *function;
	struct address address = physfn->address;

	if (config_extended(physfn, PCI_EXT_CAP_ID_SRIOV, &at) != KNOWN_YES ||
	    !config_read(physfn, at + PCI_IOV_NUMVF, 2, &nr) ||
	    !config_read(physfn, at + PCI_IOV_OFFSET, 2, &offset) ||
	    !config_read(physfn, at + PCI_IOV_STRIDE, 2, &stride) ||
	    !config_read(physfn, at + PCI_IOV_DID, 2, &device))
		return;
	id = address.bus << 8 | address.devfn;
	if (!stride && nr > 1)
		return;
	for (id += offset; nr-- && offset && id < 0x10000; id += stride) {
		address.bus = id >> 8;
		address.devfn = id;
		function = machine_find(machine, address);
		if (!function || function == physfn || physfn->physfn ||
		    (function->vendor != 0xffff && !function->known))
			continue;
		function->vendor = physfn->vendor;
		function->device = device;
		function->physfn = physfn;
		function->up = physfn->up;
		function->host = physfn->host;
	}
}

static bool has_body(const struct entry *entry)
{
	return entry->body || entry->function->config_size;
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *p = *(struct entry * const *)a, *q = *(struct entry * const *)b;
	int order = compare_order(p->function->address, q->function->address);

	return order ? order : p->line < q->line ? -1 : 1;
}

static void __noreturn refuse_second(const struct dump *dump, unsigned int line, const char *why)
{
	die(STATUS_UNKNOWN,
	    "%s: a second list begins at line %u: %s; give each machine a file of its own",
	    dump->machine->dump, line, why);
}

/* The text of a function and the bytes of the same function: -vvv, then -xxxx, or reversed. */
static bool join_entries(struct entry *kept, struct entry *other)
{
	struct entry *bytes = kept->body ? other : kept, *text = kept->body ? kept : other;
	char *title;

	if (bytes->body || !text->body || text->function->config_size ||
	    !text_is_of(bytes->function, text->title, text->body))
		return false;
	kept->function->config = bytes->function->config;
	kept->function->config_size = bytes->function->config_size;
	kept->joined = other->restart;
	if (kept == text)
		return true;
	/* Each entry frees its own text. */
	title = kept->title;
	kept->title = text->title;
	text->title = title;
	kept->body = text->body;
	text->body = NULL;
	kept->ended = text->ended;
	return true;
}

/* Returns the entry to keep of two entries with one address. */
static struct entry *choose_entry(const struct dump *dump, struct entry *kept, struct entry *other)
{
	if (!has_body(other))
		return kept;
	if (!has_body(kept))
		return other;
	if (kept->joined || !join_entries(kept, other))
		refuse_second(dump, other->restart,
			      xasprintf("%s is there twice", kept->function->bdf));
	return kept;
}

/* If one function has text and bytes in different places, all functions have. */
static void check_joined(const struct dump *dump, struct entry **kept, unsigned int nr)
{
	unsigned int i, line = 0;

	for (i = 0; i < nr; i++)
		line = kept[i]->joined ? kept[i]->joined : line;
	for (i = 0; i < nr && line; i++)
		if (!kept[i]->joined && has_body(kept[i]))
			refuse_second(dump, line, xasprintf("%s is not in both",
							    kept[i]->function->bdf));
}

/*
 * A plain list before or after the details of the same machine is left out. Details of the same
 * function twice are of two machines, or of two moments.
 */
static void drop_lists(struct dump *dump)
{
	struct entry **sorted = xzalloc((dump->nr + 1) * sizeof(*sorted));
	unsigned int i, nr = 0;

	for (i = 0; i < dump->nr; i++)
		sorted[i] = &dump->entries[i];
	qsort(sorted, dump->nr, sizeof(*sorted), compare_entries);
	for (i = 0; i < dump->nr; i++)
		if (!nr || compare_order(sorted[nr - 1]->function->address,
					 sorted[i]->function->address))
			sorted[nr++] = sorted[i];
		else
			sorted[nr - 1] = choose_entry(dump, sorted[nr - 1], sorted[i]);
	check_joined(dump, sorted, nr);
	for (i = 0; i < nr; i++)
		dump->machine->functions[i] = sorted[i]->function;
	dump->machine->nr = nr;
	xfree(sorted);
}

/* Bytes under a title that names another function are left out, and so is a part of a header. */
static void check_bytes(const struct entry *entry)
{
	struct function *function = entry->function;

	if (!function->config_size)
		return;
	if (!text_agrees(function, entry->title))
		note_odd("line %u: %s: bytes of another function are left out",
			 entry->line, function->bdf);
	else if (function->config_size < HEADER_SIZE)
		note_odd("line %u: %s: too few bytes are left out", entry->line,
			 function->bdf);
	else
		return;
	memset(function->config, 0, function->config_size);
	function->config_size = 0;
}

static unsigned int read_entries(struct dump *dump)
{
	unsigned int i, useful = 0;
	struct entry *entry;

	for (i = 0; i < dump->nr; i++) {
		entry = &dump->entries[i];
		check_bytes(entry);
		useful += has_body(entry);
	}
	drop_lists(dump);
	for (i = 0; i < dump->nr; i++) {
		entry = &dump->entries[i];
		text_read(entry->function, entry->title,
			  entry->body ? entry->body : "", entry->ended);
		xfree(entry->title);
		xfree(entry->body);
	}
	xfree(dump->entries);
	return useful;
}

/* Does an empty line follow every line? */
static bool is_spaced(const char *text)
{
	unsigned int full = 0, empty = 0;
	const char *end;

	for (; *text; text = *end ? end + 1 : end) {
		end = text + strcspn(text, "\n");
		if (text[strspn(text, " \t\r>")] == '\n')
			empty++;
		else
			full++;
	}
	return full > 4 && empty + 1 >= full;
}

static unsigned int read_lines(struct dump *dump, char *text)
{
	char *line, *end;

	dump->spaced = is_spaced(text);
	for (line = text; line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		dump->line++;
		/* The last line of a text has no newline if somebody has cut the text. */
		if (end || *line)
			dump_line(dump, normal_line(line));
	}
	return read_entries(dump);
}

/**
 * dump_load - read a machine from the output of lspci, or from a capture
 * @machine: machine to fill in; @machine->dump is the name of the file
 *
 * Fails if the file cannot be read, has no function, or has two machines.
 */
void dump_load(struct machine *machine)
{
	char *text = read_input(machine->dump), *at;
	const char *end = text + strlen(text);
	struct dump dump = { .machine = machine };
	unsigned int i, value, empty = 0;

	if (capture_is(text)) {
		capture_load(machine, machine->dump, text);
		return;
	}
	if (!read_lines(&dump, text)) {
		/* A line ends in a zero byte now. */
		for (at = text; (at = memchr(at, '\0', end - at));)
			*at = '\n';
		text_refuse(machine->dump, text, machine->nr);
	}
	xfree(text);
	for (i = 0; i < machine->nr; i++) {
		dump_ids(machine->functions[i]);
		dump_bars(machine->functions[i]);
		empty += !config_read(machine->functions[i], PCI_STATUS, 2, &value);
	}
	if (empty)
		note_odd("%u of %u functions lack what lspci -xxxx shows", empty, machine->nr);
	text_compare(machine);
	machine_link(machine);
	for (i = 0; i < machine->nr; i++)
		dump_virtual(machine, machine->functions[i]);
}
