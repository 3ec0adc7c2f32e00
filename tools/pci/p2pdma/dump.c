// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma: reading a machine from the output of lspci -x, -xxx or -xxxx
 *
 * libpci has a reader for such dumps, but the reader ends the process at a malformed line, knows
 * no domain above 0xffff (Intel VMD has such domains), and refuses the long lines of -vvv. The
 * reader here skips unknown lines and reports malformed hexadecimal lines.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <pci/pci.h>

#include "tool.h"

/* Limit for broken input, far above the dump of any machine. */
#define DUMP_LIMIT	(256U << 20)

/* True if @line begins with an address and a space. */
static bool dump_address(const char *line, struct address *address)
{
	size_t length = strcspn(line, " \t\r\n");
	char word[32];

	if (!length || length >= sizeof(word) || !strchr(line, ' '))
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
	if (end - line > 3 || end[0] != ':' || end[1] != ' ')
		return false;
	*bytes = end + 1;
	return true;
}

static void store_byte(struct function *function, unsigned int at, unsigned char byte)
{
	if (!function->config)
		function->config = keep(CONFIG_SIZE);
	function->config[at] = byte;
	function->config_size = at + 1;
}

/* Stores the bytes of a hexadecimal line. Accepts no gap after the bytes stored before. */
static bool dump_bytes(struct function *function, unsigned int offset, const char *text)
{
	char pair[3] = "";

	if (offset != function->config_size)
		return false;
	for (; text[0] == ' ' && isxdigit((unsigned char)text[1]); text += 3) {
		if (!isxdigit((unsigned char)text[2]) || offset >= CONFIG_SIZE)
			return false;
		pair[0] = text[1];
		pair[1] = text[2];
		store_byte(function, offset++, strtoul(pair, NULL, 16));
	}
	return !text[strspn(text, " \t\r")];
}

static void dump_line(struct machine *machine, const char *line, unsigned int number,
		      struct function **current)
{
	struct address address;
	unsigned int offset;
	const char *bytes;

	if (dump_address(line, &address)) {
		*current = machine_add(machine, address);
		if (!*current)
			machine_odd(machine, "line %u: more functions than a machine has", number);
		return;
	}
	if (!dump_offset(line, &offset, &bytes))
		return;
	if (!*current)
		machine_odd(machine, "line %u: bytes of no function are left out", number);
	else if (!dump_bytes(*current, offset, bytes))
		machine_odd(machine, "line %u: %s: bytes that make no sense here are left out",
			    number, (*current)->bdf);
}

static void dump_ids(struct function *function)
{
	unsigned int value;

	if (config_read(function, PCI_VENDOR_ID, 2, &value))
		function->vendor = value;
	if (config_read(function, PCI_DEVICE_ID, 2, &value))
		function->device = value;
	if (config_read(function, PCI_CLASS_REVISION, 4, &value))
		function->class = value >> 8;
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
	for (id += offset; nr-- && offset && id < 0x10000; id += stride) {
		address.bus = id >> 8;
		address.devfn = id;
		function = machine_find(machine, address);
		if (!function || function == physfn || function->vendor != 0xffff ||
		    physfn->physfn)
			continue;
		function->vendor = physfn->vendor;
		function->device = device;
		function->physfn = physfn;
		function->up = physfn->up;
		function->host = physfn->host;
	}
}

/**
 * dump_load - read a machine from the output of lspci
 * @machine: machine to fill in; @machine->dump is the name of the file
 *
 * Ends the command if the file cannot be read or has no function.
 */
void dump_load(struct machine *machine)
{
	char *text = read_text(machine->dump, DUMP_LIMIT), *line, *end;
	struct function *current = NULL;
	unsigned int i, number = 1, empty = 0;

	if (!text)
		fail(STATUS_USAGE, "%s: %m", machine->dump);
	for (line = text; line; line = end, number++) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		dump_line(machine, line, number, &current);
	}
	free(text);
	if (!machine->nr)
		fail(STATUS_UNKNOWN, "%s: no PCI function; is it the output of lspci -xxxx?",
		     machine->dump);
	for (i = 0; i < machine->nr; i++) {
		dump_ids(machine->functions[i]);
		dump_bars(machine->functions[i]);
		empty += !machine->functions[i]->config_size;
	}
	if (empty)
		machine_odd(machine, "%u of %u functions lack the bytes that lspci -xxxx shows",
			    empty, machine->nr);
	machine_link(machine);
	for (i = 0; i < machine->nr; i++)
		dump_virtual(machine, machine->functions[i]);
}
