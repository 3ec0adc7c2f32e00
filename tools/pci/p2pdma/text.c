// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: reading the text of lspci -v, -vv or -vvv
 *
 * The text of a function becomes configuration space: registers at their offsets, capabilities
 * linked in their order. Each byte that the text does not give stays unknown. So the rest of the
 * command reads a text and a dump alike.
 *
 * The text has no pointers between capabilities, and a part that somebody has cut out leaves no
 * gap. A list of capabilities ends only where the text shows all the signs of being complete: a
 * blank line after the function or the driver at the end, the lines that every function has, every
 * line of the PCI Express capability, no line without the capability of the line.
 *
 * Access control is a capability of three lines, and decides. So a text proves that a root port
 * or a downstream port has access control, and never that such a port has none.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <pci/pci.h>

#include "internal.h"

/* In place of the ID of a capability that no rule reads. */
#define OTHER_CAP	0xff
#define OTHER_EXT_CAP	0xfffe

/* Limit for broken input. */
#define MOST_REGIONS	32

#define IDS_LENGTH	9	/* 8086:6f00 */

/**
 * struct text - the text of a function, while it is parsed
 * @function: the function
 * @body: the lines below the title, with single spaces between words
 * @complete: the lists of capabilities are complete
 * @detailed: the text shows registers, as with -vv
 */
struct text {
	struct function *function;
	const char *body;
	bool complete;
	bool detailed;
};

/* Stores a value, unless a byte of a dump is known already. */
static void put(struct function *function, unsigned int where, unsigned int size,
		unsigned int value)
{
	for (; size && where < CONFIG_SIZE; size--, where++, value >>= 8) {
		if (function->known[where])
			continue;
		function->known[where] = true;
		function->config[where] = value;
	}
}

/* Finds a word at the beginning of the text or after a space. Returns the text after the word. */
static const char *find_word(const char *text, const char *end, const char *word)
{
	size_t length = strlen(word);
	const char *at;

	for (at = text; (at = strstr(at, word)); at += length) {
		if (end && at + length > end)
			return NULL;
		if (at == text || at[-1] == ' ')
			return at + length;
	}
	return NULL;
}

static const char *find(const struct text *text, const char *word)
{
	return find_word(text->body, NULL, word);
}

static bool is_double(const struct text *text, const char *word)
{
	const char *first = find(text, word);

	return first && find_word(first, NULL, word);
}

/* Parses a number after a word: "secondary=02" */
static bool find_number(const char *at, const char *end, const char *word, int base,
			unsigned int max, unsigned int *number)
{
	const char *text = at ? find_word(at, end, word) : NULL;
	char *stop;

	if (!text || !isxdigit((unsigned char)*text))
		return false;
	*number = strtoul(text, &stop, base);
	return *number <= max && stop != text && !isalnum((unsigned char)*stop);
}

/* Parses a flag: "ReqRedir+" */
static bool find_flag(const char *at, const char *end, const char *word, bool *on)
{
	const char *text = at ? find_word(at, end, word) : NULL;

	if (!text || (*text != '+' && *text != '-'))
		return false;
	*on = *text == '+';
	return true;
}

/**
 * struct flag - a bit of a register, and its word in the text
 * @bit: mask of the bit
 * @word: the word, followed by "+" or "-"
 */
struct flag {
	unsigned int bit;
	const char *word;
};

/* Parses a register. Returns false if one of the flags is not in the text. */
static bool find_register(const char *at, const char *end, const struct flag *flags,
			  unsigned int *value)
{
	bool on;

	for (*value = 0; flags->word; flags++) {
		if (!find_flag(at, end, flags->word, &on))
			return false;
		*value |= on ? flags->bit : 0;
	}
	return true;
}

/* Returns the end of the line of a register: the beginning of the next register. */
static const char *register_end(const char *at)
{
	const char *end = at ? strchr(at, ':') : NULL;

	return end ? end : at ? at + strlen(at) : NULL;
}

/* Class of a function by its name; -nn also prints the number. */
static const struct {
	const char *name;
	unsigned int class;
} classes[] = {
	{ "Non-Volatile memory controller", 0x0108 },
	{ "VGA compatible controller", 0x0300 },
	{ "3D controller", 0x0302 },
	{ "Display controller", 0x0380 },
	{ "Ethernet controller", 0x0200 },
	{ "Network controller", 0x0280 },
	{ "Infiniband controller", 0x0207 },
	{ "InfiniBand", 0x0c06 },
	{ "Processing accelerators", 0x1200 },
	{ "Host bridge", 0x0600 },
	{ "ISA bridge", 0x0601 },
	{ "PCI bridge", 0x0604 },
	{ "CardBus bridge", 0x0607 },
	{ "Bridge", 0x0680 },
	{ "SCSI storage controller", 0x0100 },
	{ "IDE interface", 0x0101 },
	{ "RAID bus controller", 0x0104 },
	{ "SATA controller", 0x0106 },
	{ "Serial Attached SCSI controller", 0x0107 },
	{ "Mass storage controller", 0x0180 },
	{ "Audio device", 0x0403 },
	{ "RAM memory", 0x0500 },
	{ "CXL", 0x0502 },
	{ "Memory controller", 0x0580 },
	{ "System peripheral", 0x0880 },
	{ "Co-processor", 0x0b40 },
	{ "USB controller", 0x0c03 },
	{ "Fibre Channel", 0x0c04 },
	{ "SMBus", 0x0c05 },
	{ "Signal processing controller", 0x1180 },
};

/* Returns the digits of "[0604]:" or of "0604:" at the beginning of a title. */
static bool title_class(const char *title, unsigned int *class)
{
	size_t length = strcspn(title, ":"), i;
	const char *at = title + length - 5;

	if (title[length] && length > 6 && at[-1] == '[' && at[4] == ']')
		return sscanf(at, "%4x", class) == 1;
	if (title[length] && length == 4 && strspn(title, "0123456789abcdef") == 4)
		return sscanf(title, "%4x", class) == 1;
	for (i = 0; i < COUNT_OF(classes); i++) {
		*class = classes[i].class;
		if (strlen(classes[i].name) == length &&
		    !strncmp(title, classes[i].name, length))
			return true;
	}
	return false;
}

/* Finds the last "8086:6f00" of a title, in brackets or bare. */
static bool title_ids(const char *title, unsigned int *vendor, unsigned int *device)
{
	static const char digits[] = "0123456789abcdef";
	const char *at;
	bool found = false;

	for (at = strchr(title, ':'); at; at = strchr(at + 1, ':')) {
		if (at - title < 5 || !strchr(" [", at[-5]) || strspn(at - 4, digits) != 4 ||
		    strspn(at + 1, digits) != 4 || !strchr(" ])", at[5]))
			continue;
		*vendor = strtoul(at - 4, NULL, 16);
		*device = strtoul(at + 1, NULL, 16);
		found = true;
	}
	return found;
}

/* A port has bus numbers, whatever its class. Somebody may have cut the numbers out. */
static bool is_port(const struct text *text)
{
	const char *at = find(text, "Capabilities: [");
	const char *express = at ? strstr(at, "] Express ") : NULL;
	const char *end = express ? strchr(express, ',') : NULL, *port;

	port = express ? strstr(express, " Port") : NULL;
	return port && (!end || port < end);
}

static void read_title(struct text *text, const char *title)
{
	struct function *function = text->function;
	unsigned int class, vendor, device;

	if (title_ids(title, &vendor, &device)) {
		put(function, PCI_VENDOR_ID, 2, vendor);
		put(function, PCI_DEVICE_ID, 2, device);
	}
	if (!title_class(title, &class))
		return;
	put(function, PCI_CLASS_DEVICE, 2, class);
	if (class == PCI_CLASS_BRIDGE_PCI)
		put(function, PCI_HEADER_TYPE, 1, PCI_HEADER_TYPE_BRIDGE);
	else if (class == PCI_CLASS_BRIDGE_CARDBUS)
		put(function, PCI_HEADER_TYPE, 1, PCI_HEADER_TYPE_CARDBUS);
	else if (!is_port(text))
		put(function, PCI_HEADER_TYPE, 1, PCI_HEADER_TYPE_NORMAL);
}

/* Fills in primary, secondary and subordinate bus number. */
static bool find_buses(const char *body, unsigned int *buses)
{
	const char *at = find_word(body, NULL, "Bus: primary=");

	if (!at)
		return false;
	at -= strlen("primary=");
	return find_number(at, NULL, "primary=", 16, 0xff, &buses[0]) &&
	       find_number(at, NULL, "secondary=", 16, 0xff, &buses[1]) &&
	       find_number(at, NULL, "subordinate=", 16, 0xff, &buses[2]);
}

static void read_buses(struct text *text)
{
	unsigned int buses[3], i;

	if (!find_buses(text->body, buses))
		return;
	put(text->function, PCI_HEADER_TYPE, 1, PCI_HEADER_TYPE_BRIDGE);
	for (i = 0; i < COUNT_OF(buses); i++)
		put(text->function, PCI_PRIMARY_BUS + i, 1, buses[i]);
}

static void read_command(struct text *text)
{
	static const struct flag flags[] = {
		{ PCI_COMMAND_IO, "I/O" }, { PCI_COMMAND_MEMORY, "Mem" },
		{ PCI_COMMAND_MASTER, "BusMaster" }, { }
	};
	const char *at = find(text, "Control: I/O");
	unsigned int value;

	if (at && find_register(at - 3, NULL, flags, &value))
		put(text->function, PCI_COMMAND, 2, value);
}

static const struct {
	const char *word;
	unsigned int speed;
} speeds[] = {
	{ "2.5GT/s", 1 }, { "5GT/s", 2 }, { "8GT/s", 3 }, { "16GT/s", 4 }, { "32GT/s", 5 },
	{ "64GT/s", 6 },
};

/* Parses speed and width of a link: "Speed 16GT/s, Width x16" */
static bool find_link(const char *at, unsigned int *link)
{
	const char *end = register_end(at), *speed = at ? find_word(at, end, "Speed") : NULL;
	unsigned int width, i;

	if (!speed || !find_number(speed, end, "Width x", 10, 63, &width))
		return false;
	speed += *speed == ' ';
	for (i = 0; i < COUNT_OF(speeds); i++) {
		if (strncmp(speed, speeds[i].word, strlen(speeds[i].word)))
			continue;
		*link = speeds[i].speed | width << 4;
		return true;
	}
	return false;
}

/* Names of the types. A name comes before another name in which it is contained. */
static const struct {
	const char *name;
	unsigned int type;
} types[] = {
	{ "Legacy Endpoint", PCI_EXP_TYPE_LEG_END },
	{ "Root Complex Integrated Endpoint", PCI_EXP_TYPE_ROOT_INT_EP },
	{ "Root Complex Event Collector", PCI_EXP_TYPE_ROOT_EC },
	{ "Endpoint", PCI_EXP_TYPE_ENDPOINT },
	{ "Root Port", PCI_EXP_TYPE_ROOT_PORT },
	{ "Upstream Port", PCI_EXP_TYPE_UPSTREAM },
	{ "Downstream Port", PCI_EXP_TYPE_DOWNSTREAM },
	{ "PCI-Express to PCI/PCI-X Bridge", PCI_EXP_TYPE_PCI_BRIDGE },
	{ "PCI/PCI-X to PCI-Express Bridge", PCI_EXP_TYPE_PCIE_BRIDGE },
};

/* Parses "Express (v2) Root Port (Slot+), MSI 00", with or without the version. */
static void read_express_flags(struct text *text, unsigned int where, const char *at)
{
	unsigned int version = 1, i;
	int length = 0;
	char slot;

	if (sscanf(at, " (v%1u)%n", &version, &length) == 1 && length)
		at += length;
	at += *at == ' ';
	for (i = 0; i < COUNT_OF(types); i++) {
		if (strncmp(at, types[i].name, strlen(types[i].name)))
			continue;
		at += strlen(types[i].name);
		if (sscanf(at, " (Slot%c)", &slot) != 1)
			slot = '-';
		put(text->function, where + PCI_EXP_FLAGS, 2, version | types[i].type << 4 |
		    (slot == '+' ? PCI_EXP_FLAGS_SLOT : 0));
		return;
	}
}

static void read_express(struct text *text, unsigned int where, const char *at)
{
	const char *control = find(text, "DevCtl2:");
	unsigned int link, port;
	bool ari;

	read_express_flags(text, where, at);
	at = find(text, "LnkCap:");
	if (find_link(at, &link) &&
	    find_number(at, register_end(at), "Port #", 10, 255, &port))
		put(text->function, where + PCI_EXP_LNKCAP, 4, link | port << 24);
	if (find_link(find(text, "LnkSta:"), &link))
		put(text->function, where + PCI_EXP_LNKSTA, 2, link);
	if (!control)
		return;
	/* "Completion Timeout:" is part of the line: look at all up to the next capability. */
	at = find_word(control, NULL, "Capabilities:");
	if (find_flag(control, at, "ARIFwd", &ari))
		put(text->function, where + PCI_EXP_DEVCTL2, 2, ari ? PCI_EXP_DEVCTL2_ARI : 0);
	else if (text->complete)
		put(text->function, where + PCI_EXP_DEVCTL2, 2, 0);
}

static const struct flag acs_flags[] = {
	{ PCI_ACS_CAP_VALID, "SrcValid" }, { PCI_ACS_CAP_BLOCK, "TransBlk" },
	{ PCI_ACS_CAP_REQ_RED, "ReqRedir" }, { PCI_ACS_CAP_CMPLT_RED, "CmpltRedir" },
	{ PCI_ACS_CAP_FORWARD, "UpstreamFwd" }, { PCI_ACS_CAP_EGRESS, "EgressCtrl" },
	{ PCI_ACS_CAP_TRANS, "DirectTrans" }, { }
};

/*
 * A chip set of Intel may have the control register at another offset than lspci reads: a name of
 * such a chip set without its IDs does not tell.
 */
static bool may_be_wide(const struct function *function)
{
	unsigned int ids;

	if (config_read(function, PCI_VENDOR_ID, 4, &ids))
		return acs_control_offset(function) != PCI_ACS_CTRL;
	return function->title && strstr(function->title, "Intel") &&
	       (strstr(function->title, "Series") || strstr(function->title, "Point") ||
		strstr(function->title, "PCH") || strstr(function->title, "Chipset"));
}

/* The text does not have the egress control vector. */
static void read_acs(struct text *text, unsigned int where)
{
	const char *capability = find(text, "ACSCap:"), *control = find(text, "ACSCtl:");
	unsigned int value;

	if (find_register(capability, register_end(capability), acs_flags, &value))
		put(text->function, where + PCI_ACS_CAP, 2, value);
	if (find_register(control, register_end(control), acs_flags, &value) &&
	    !may_be_wide(text->function))
		put(text->function, where + PCI_ACS_CTRL, 2, value);
}

static void read_ats(struct text *text, unsigned int where)
{
	const char *at = find(text, "ATSCtl:");
	bool on;

	if (find_flag(at, register_end(at), "Enable", &on))
		put(text->function, where + PCI_ATS_CTRL, 2, on ? PCI_ATS_CTRL_ENABLE : 0);
}

static void read_ari(struct text *text, unsigned int where)
{
	const char *at = find(text, "ARICtl:");
	bool on;

	put(text->function, where + PCI_ARI_CAP, 2, 0);
	if (find_flag(at, register_end(at), "ACS", &on))
		put(text->function, where + PCI_ARI_CTRL, 2, on ? PCI_ARI_CTRL_ACS : 0);
}

static void read_sriov(struct text *text, unsigned int where)
{
	static const struct {
		const char *word;
		int base;
		unsigned int offset;
	} numbers[] = {
		{ "Initial VFs: ", 10, PCI_IOV_INITIALVF }, { "Total VFs: ", 10, PCI_IOV_TOTALVF },
		{ "Number of VFs: ", 10, PCI_IOV_NUMVF }, { "VF offset: ", 10, PCI_IOV_OFFSET },
		{ "stride: ", 10, PCI_IOV_STRIDE }, { "Device ID: ", 16, PCI_IOV_DID },
	};
	const char *at = find(text, "IOVCap:");
	unsigned int i, value;

	for (i = 0; i < COUNT_OF(numbers); i++)
		if (find_number(at, NULL, numbers[i].word, numbers[i].base, 0xffff, &value))
			put(text->function, where + numbers[i].offset, 2, value);
}

/* An old lspci knows no name of the capability, and shows none of its registers. */
static bool is_nameless_acs(const char *name)
{
	static const char * const numbers[] = { "#0d", "Extended Capability ID 0xd" };
	unsigned int i;
	size_t length;

	for (i = 0; i < COUNT_OF(numbers); i++) {
		length = strlen(numbers[i]);
		if (!strncmp(name, numbers[i], length) && !isalnum((unsigned char)name[length]))
			return true;
	}
	return false;
}

static unsigned int read_extended(struct text *text, unsigned int where, const char *name)
{
	if (!strncmp(name, "Access Control Services", 23)) {
		read_acs(text, where);
		return PCI_EXT_CAP_ID_ACS;
	}
	if (is_nameless_acs(name))
		return PCI_EXT_CAP_ID_ACS;
	if (!strncmp(name, "Address Translation Service", 27)) {
		read_ats(text, where);
		return PCI_EXT_CAP_ID_ATS;
	}
	if (!strncmp(name, "Alternative Routing-ID Interpretation", 37)) {
		read_ari(text, where);
		return PCI_EXT_CAP_ID_ARI;
	}
	if (!strncmp(name, "Single Root I/O Virtualization", 30)) {
		read_sriov(text, where);
		return PCI_EXT_CAP_ID_SRIOV;
	}
	if (!strncmp(name, "Physical Resizable BAR", 22))
		return PCI_EXT_CAP_ID_REBAR;
	return OTHER_EXT_CAP;
}

/**
 * struct chain - the list of capabilities built so far
 * @next: offset of the pointer to the next capability
 * @express: there is a PCI Express capability
 * @acs: there is access control
 * @extended: offset of the last extended capability, 0 if none
 * @extended_id: header of the last extended capability, without the pointer
 */
struct chain {
	unsigned int next;
	bool express;
	bool acs;
	unsigned int extended;
	unsigned int extended_id;
};

static void add_standard(struct text *text, struct chain *chain, unsigned int where,
			 const char *name)
{
	bool express = !strncmp(name, "Express", 7);

	put(text->function, chain->next, 1, where);
	put(text->function, where, 1, express ? PCI_CAP_ID_EXP : OTHER_CAP);
	chain->next = where + 1;
	chain->express |= express;
	if (express)
		read_express(text, where, name + 7);
}

static void add_extended(struct text *text, struct chain *chain, unsigned int where,
			 const char *name)
{
	/* The first extended capability is at a fixed offset. */
	if (!chain->extended && where != 0x100)
		text->complete = false;
	if (chain->extended)
		put(text->function, chain->extended, 4, chain->extended_id | where << 20);
	else if (where != 0x100)
		put(text->function, 0x100, 4, OTHER_EXT_CAP | 1 << 16 | where << 20);
	chain->extended = where;
	chain->extended_id = read_extended(text, where, name) | 1 << 16;
	chain->acs |= (chain->extended_id & 0xffff) == PCI_EXT_CAP_ID_ACS;
}

static bool is_root_or_downstream(const struct function *function)
{
	int type = config_pcie_type(function);

	return type == PCI_EXP_TYPE_ROOT_PORT || type == PCI_EXP_TYPE_DOWNSTREAM;
}

/*
 * The capabilities in the order of the text, which is the order of the list. A list may go back:
 * the lists of some GPUs do. The text of two functions has an offset twice, or a conventional
 * capability after an extended capability.
 */
static void read_capabilities(struct text *text)
{
	static const char word[] = "Capabilities: [";
	struct chain chain = { .next = PCI_CAPABILITY_LIST };
	bool seen[CONFIG_SIZE] = {};
	unsigned int where;
	const char *at, *name;

	if (text->function->header == PCI_HEADER_TYPE_CARDBUS)
		chain.next = PCI_CB_CAPABILITY_LIST;
	for (at = find(text, word); at; at = find_word(at, NULL, word)) {
		where = strtoul(at, NULL, 16);
		/* "100 v1] " is the longest beginning. */
		name = memmem(at, strnlen(at, 10), "] ", 2);
		if (!name || where < 0x40 || where >= CONFIG_SIZE - 8 || where & 3)
			continue;
		if (seen[where] || (where < 0x100 && chain.extended))
			text->complete = false;
		else if (where >= 0x100)
			add_extended(text, &chain, where, name + 2);
		else
			add_standard(text, &chain, where, name + 2);
		seen[where] = true;
	}
	if (chain.extended && !chain.express)
		text->complete = false;
	if (!text->complete)
		return;
	put(text->function, chain.next, 1, 0);
	/* A text without the lines of access control may have lost the lines, see above. */
	if (!chain.acs && is_root_or_downstream(text->function))
		return;
	if (chain.extended)
		put(text->function, chain.extended, 4, chain.extended_id);
	else
		put(text->function, 0x100, 4, 0);
}

/* Lines of -vv that belong to a capability, with the name of the capability. */
static const struct {
	const char *line;
	const char *owner;
	bool always;
} owners[] = {
	{ "DevCap:", "Express", true }, { "DevCtl:", "Express", true },
	{ "DevSta:", "Express", true }, { "LnkCap:", "Express", false },
	{ "LnkCtl:", "Express", false }, { "LnkSta:", "Express", false },
	{ "DevCap2:", "Express", false }, { "DevCtl2:", "Express", false },
	{ "LnkSta2:", "Express", false }, { "RootCap:", "Express", false },
	{ "RootCtl:", "Express", false }, { "RootSta:", "Express", false },
	{ "SltCap:", "Express", false }, { "SltCtl:", "Express", false },
	{ "ACSCap:", "Access Control Services", true },
	{ "ACSCtl:", "Access Control Services", true },
	{ "ATSCap:", "Address Translation Service", true },
	{ "ATSCtl:", "Address Translation Service", true },
	{ "ARICap:", "Alternative Routing-ID Interpretation", true },
	{ "ARICtl:", "Alternative Routing-ID Interpretation", true },
	{ "IOVCap:", "Single Root I/O Virtualization", true },
	{ "IOVCtl:", "Single Root I/O Virtualization", true },
	{ "UESta:", "Advanced Error Reporting", true },
	{ "UEMsk:", "Advanced Error Reporting", true },
	{ "UESvrt:", "Advanced Error Reporting", true },
	{ "CESta:", "Advanced Error Reporting", true },
	{ "CEMsk:", "Advanced Error Reporting", true },
	{ "AERCap:", "Advanced Error Reporting", true },
	{ "Vector table:", "MSI-X", false }, { "PBA:", "MSI-X", false },
};

static bool has_capability(const struct text *text, const char *name)
{
	const char *at;

	for (at = find(text, "Capabilities: ["); at; at = find_word(at, NULL, "Capabilities: [")) {
		at = strstr(at, "] ");
		if (!at)
			return false;
		if (!strncmp(at + 2, name, strlen(name)))
			return true;
	}
	return false;
}

/* Is there every line that belongs to a capability, and no line without its capability? */
static bool lines_fit(const struct text *text)
{
	unsigned int i;
	bool line, owner;

	for (i = 0; i < COUNT_OF(owners); i++) {
		line = find(text, owners[i].line);
		owner = has_capability(text, owners[i].owner);
		if (line && !owner)
			return false;
		if (owner && !line && owners[i].always && text->detailed)
			return false;
		if (line && is_double(text, owners[i].line))
			return false;
	}
	return true;
}

/* A port and an endpoint have a link, and so has a bridge to conventional PCI. */
static bool express_is_whole(const struct text *text)
{
	static const char * const link[] = { "LnkCap:", "LnkCtl:", "LnkSta:" };
	const char *at = find(text, "] Express");
	unsigned int i;

	if (!has_capability(text, "Express") || !text->detailed)
		return true;
	at = strstr(text->body, "] Express");
	if (!strncmp(at, "] Express (v2)", 14) &&
	    (!find(text, "DevCap2:") || !find(text, "DevCtl2:")))
		return false;
	if (!strncmp(at + strcspn(at, "R"), "Root Complex", 12) && at[strcspn(at, "R")])
		return true;
	for (i = 0; i < COUNT_OF(link); i++)
		if (!find(text, link[i]))
			return false;
	return true;
}

/* lspci prints these lines of every function. A filter may have left only some lines. */
static bool is_listing(const struct text *text)
{
	if (text->detailed)
		return find(text, "Control: I/O") && find(text, "Status: Cap");
	return find(text, "Flags: ");
}

/* lspci prints driver and modules last, so all the capabilities are there. */
static bool ends_itself(const struct text *text)
{
	const char *driver = find(text, "Kernel driver in use: ");
	const char *at = driver ? driver : text->body;
	const char *modules = find_word(at, NULL, "Kernel modules: ");

	at = modules ? modules : driver;
	return at && !strchr(at, ':');
}

static bool is_complete(const struct text *text, bool ended)
{
	static const char * const single[] = {
		"Control: I/O", "Status: Cap", "Bus: primary=", "NUMA node:", "IOMMU group:",
		"Kernel driver in use:",
	};
	unsigned int i;

	if (!ended || !is_listing(text) || strstr(text->body, "Capabilities: <"))
		return false;
	for (i = 0; i < COUNT_OF(single); i++)
		if (is_double(text, single[i]))
			return false;
	return lines_fit(text) && express_is_whole(text);
}

static void read_status(struct text *text)
{
	const char *status = find(text, "Status: Cap");
	bool any = find(text, "Capabilities:");

	if (status && (*status == '+' || *status == '-')) {
		put(text->function, PCI_STATUS, 2, *status == '+' ? PCI_STATUS_CAP_LIST : 0);
		/* A function says that it has a list, and has none, or the other way round. */
		if (any != (*status == '+'))
			text->complete = false;
	} else if (any) {
		put(text->function, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
	}
}

/* Parses "Region 0: Memory at 9a000000 (64-bit, prefetchable) [size=16M]". */
static void read_region(struct function *function, unsigned int index, const char *at)
{
	struct bar *bar = &function->bars[index];
	bool wide = !strncmp(at + strcspn(at, "("), "(64-bit", 7);
	const char *end = strstr(at, " Region "), *size = strstr(at, "[size=");
	unsigned long long bytes;
	char number[24];

	if (!isxdigit((unsigned char)*at) || (size && end && size > end))
		return;
	bar->memory = true;
	bar->start = strtoull(at, NULL, 16);
	if (size && sscanf(size, "[size=%20[0-9KMGT]]", number) == 1 && parse_size(number, &bytes))
		bar->size = bytes;
	put(function, PCI_BASE_ADDRESS_0 + 4 * index, 4,
	    bar->start | (wide ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0));
	if (wide && index + 1 < BARS)
		put(function, PCI_BASE_ADDRESS_0 + 4 * index + 4, 4, bar->start >> 32);
}

static void read_regions(struct text *text)
{
	unsigned int index, left = MOST_REGIONS;
	const char *at;
	int length;

	for (at = find(text, "Region "); at && left; at = find_word(at, NULL, "Region "), left--) {
		/* The length stays zero if the text after the number differs. */
		length = 0;
		if (sscanf(at, "%1u: Memory at %n", &index, &length) == 1 && length &&
		    index < BARS)
			read_region(text->function, index, at + length);
	}
}

static char *copy_word(const char *at)
{
	size_t length = strcspn(at, " ");
	char *word = xasprintf("%.*s", length > 63 ? 63 : (int)length, at), *c;

	for (c = word; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_-", *c))
			*c = '?';
	return word;
}

static void read_surroundings(struct text *text)
{
	const char *driver = find(text, "Kernel driver in use: ");
	unsigned int number;

	if (driver)
		text->function->driver = copy_word(driver);
	if (find_number(text->body, NULL, "NUMA node: ", 10, 1 << 20, &number) ||
	    find_number(text->body, NULL, "NUMA node ", 10, 1 << 20, &number))
		text->function->numa_node = number;
	if (find_number(text->body, NULL, "IOMMU group: ", 10, 1 << 30, &number) ||
	    find_number(text->body, NULL, "IOMMU group ", 10, 1 << 30, &number))
		text->function->iommu_group = number;
}

/* A program for mail may wrap the title: the rest is in the text, before the first known word. */
static const char *whole_title(const char *title, const char *body)
{
	static const char * const first[] = {
		"Subsystem:", "Control:", "Flags:", "DeviceName:", "Physical Slot:", "!!!",
		"Latency:", "Capabilities:", "Kernel driver", "Kernel modules", "Bus:", "Status:",
		"Region 0:", "Memory at", "Memory behind", "I/O ports", "I/O behind",
		"Interrupt:", "NUMA node", "IOMMU group",
	};
	const char *end = body + strlen(body), *at;
	unsigned int i;

	for (i = 0; i < COUNT_OF(first); i++) {
		at = find_word(body, end, first[i]);
		if (at)
			end = at - strlen(first[i]);
	}
	return end == body || end - body > 200 ? title :
	       xasprintf("%s %.*s", title, (int)(end - body - 1), body);
}

static char *printable(const char *title)
{
	char *copy = xstrdup(title), *at;

	for (at = copy; *at; at++)
		if (*at < ' ' || *at >= 0x7f)
			*at = '?';
	return copy;
}

/* Room for the bytes of a text beside the bytes of a dump, if there are any. */
static void make_map(struct function *function)
{
	unsigned int size = function->config_size;

	if (!function->config)
		function->config = xzalloc(CONFIG_SIZE);
	function->known = xzalloc(CONFIG_SIZE * sizeof(*function->known));
	memset(function->known, true, size);
	function->config_size = CONFIG_SIZE;
}

/**
 * text_read - read what lspci prints of a function
 * @function: the function, with the bytes of a dump if there are any
 * @title: rest of the line with the address
 * @body: the lines below, with single spaces between words
 * @ended: the blank line after the function has been seen
 */
void text_read(struct function *function, const char *title, const char *body, bool ended)
{
	struct text text = { .function = function, .body = body };
	const char *name;

	title = whole_title(title, body);
	name = strstr(title, ": ");
	function->title = printable(name ? name + 2 : title);
	if (!*body && function->config_size)
		return;
	if (function->config_size == CONFIG_SIZE) {
		read_surroundings(&text);
		return;
	}
	make_map(function);
	text.detailed = find(&text, "Control: I/O") || find(&text, "DevCap:") ||
			find(&text, "ACSCap:");
	ended |= ends_itself(&text);
	text.complete = is_complete(&text, ended) && *body;
	if (*body && !ended)
		note_odd("%s: no blank line ends its text, so the rest may be missing",
			 function->bdf);
	read_buses(&text);
	if (strstr(body, "!!! Unknown header type 7f")) {
		put(function, PCI_VENDOR_ID, 4, 0xffffffff);
		put(function, PCI_CLASS_DEVICE, 2, 0xffff);
	}
	read_title(&text, title);
	read_command(&text);
	read_status(&text);
	read_regions(&text);
	read_surroundings(&text);
	read_capabilities(&text);
}

/**
 * text_agrees - may a title and the bytes of a dump be of the same function?
 * @function: the function
 * @title: rest of the line with the address
 *
 * Return: false if the title has other IDs or another class than the bytes.
 */
bool text_agrees(struct function *function, const char *title)
{
	unsigned int vendor, device, class, ids, bytes;

	if (config_dead(function) || !config_read(function, PCI_VENDOR_ID, 4, &ids))
		return true;
	if (title_ids(title, &vendor, &device) && ids != 0xffffffff &&
	    ids != (vendor | device << 16))
		return false;
	return !title_class(title, &class) || !config_read(function, PCI_CLASS_DEVICE, 2, &bytes) ||
	       class == bytes;
}

static bool buses_agree(const struct function *function, const char *body)
{
	unsigned int buses[3], bus, i;

	for (i = 0; i < COUNT_OF(buses) && find_buses(body, buses); i++)
		if (config_read(function, PCI_PRIMARY_BUS + i, 1, &bus) && bus != buses[i])
			return false;
	return true;
}

/**
 * text_is_of - are a text and the bytes of a dump of the same function?
 * @function: the function, with the bytes
 * @title: rest of the line with the address
 * @body: the lines below, with single spaces between words
 *
 * Machines of one kind have the same functions at the same addresses: the answer is about the kind.
 *
 * Return: true if IDs or names, class and bus numbers agree.
 */
bool text_is_of(struct function *function, const char *title, const char *body)
{
	unsigned int vendor, device, bytes, id;
	const char *name, *known;

	title = whole_title(title, body);
	if (!text_agrees(function, title) || !buses_agree(function, body))
		return false;
	/* The text names a virtual function, and the bytes do not. */
	if (title_ids(title, &vendor, &device) ||
	    !config_read(function, PCI_VENDOR_ID, 2, &bytes) || bytes == 0xffff)
		return true;
	config_read(function, PCI_DEVICE_ID, 2, &id);
	known = names_title(bytes, id);
	name = strstr(title, ": ");
	return name && !strncmp(name + 2, known, strlen(known)) &&
	       (!name[2 + strlen(known)] || !strncmp(name + 2 + strlen(known), " (", 2));
}

static bool has_acs(const struct function *function)
{
	unsigned int where;

	return config_extended(function, PCI_EXT_CAP_ID_ACS, &where) == KNOWN_YES;
}

static int compare_kinds(const void *a, const void *b)
{
	const struct function *p = *(struct function * const *)a;
	const struct function *q = *(struct function * const *)b;
	int order = strcmp(p->title, q->title);

	return order ? order : config_pcie_type(p) - config_pcie_type(q);
}

/**
 * text_compare - distrust a function that lacks access control which its like has
 * @machine: the machine, with all functions read
 *
 * A capability that somebody has cut out of a text leaves no gap. A function of the same name
 * and type that has the capability shows that the text may not be whole.
 */
void text_compare(struct machine *machine)
{
	struct function **shown = xzalloc((machine->nr + 1) * sizeof(*shown)), *function;
	unsigned int i, nr = 0;

	for (i = 0; i < machine->nr; i++)
		if (machine->functions[i]->title && has_acs(machine->functions[i]))
			shown[nr++] = machine->functions[i];
	qsort(shown, nr, sizeof(*shown), compare_kinds);
	for (i = 0; i < machine->nr; i++) {
		function = machine->functions[i];
		if (function->known && function->title && config_pcie_type(function) >= 0 &&
		    !has_acs(function) &&
		    bsearch(&function, shown, nr, sizeof(*shown), compare_kinds))
			memset(function->known + 0x100, false, CONFIG_SIZE - 0x100);
	}
	xfree(shown);
}

static bool is_fence(const char *line)
{
	static const char * const ends[] = {
		"[/code]", "[/quote]", "[/pre]", "</code>", "</pre>", "</code></pre>",
	};
	unsigned int i;

	for (i = 0; i < COUNT_OF(ends); i++)
		if (!strcasecmp(line, ends[i]))
			return true;
	return !strncmp(line, "```", 3) || !strncmp(line, "~~~", 3);
}

/* A quotation may begin in the line of the first function. */
static char *skip_markup(char *line)
{
	static const char * const begins[] = {
		"[code]", "[quote]", "[pre]", "<code>", "<pre>",
	};
	unsigned int i;

	for (i = 0; i < COUNT_OF(begins); i++) {
		if (strncasecmp(line, begins[i], strlen(begins[i])))
			continue;
		line += strlen(begins[i]);
		i = -1;
	}
	return line;
}

/**
 * normal_line - prepare a line for reading
 * @line: the line, changed in place
 *
 * Removes quoting marks, indentation and spaces at the end. A fence of Markdown and the end of a
 * quotation in HTML or BBCode become an empty line, and a space that does not break becomes a
 * space.
 *
 * Return: the line without the removed parts.
 */
char *normal_line(char *line)
{
	char *at;
	size_t length;

	for (at = line; (at = strstr(at, "\xc2\xa0"));)
		memset(at, ' ', 2);
	for (;;) {
		line += strspn(line, " \t");
		if (*line == '>')
			line++;
		else if (!strncmp(line, "&gt;", 4))
			line += 4;
		else
			break;
	}
	line = skip_markup(line);
	length = strlen(line);
	while (length && isspace((unsigned char)line[length - 1]))
		line[--length] = '\0';
	if (is_fence(line))
		*line = '\0';
	return line;
}

static bool is_topology_matrix(const char *text)
{
	return strstr(text, "GPU0") && (strstr(text, "PIX") || strstr(text, "PHB") ||
					strstr(text, "SYS") || strstr(text, "NV1"));
}

/**
 * text_refuse - say what a text lacks, and end the command
 * @name: name of the file
 * @text: the text
 * @functions: there are functions in the text
 */
void text_refuse(const char *name, const char *text, bool functions)
{
	const char *what = "no PCI function in it";

	if (functions)
		what = "a list of functions, with no bus numbers and no configuration space in it";
	else if (strstr(text, "-[0000:") || strstr(text, "-[00]") || strstr(text, "]-+-") ||
		 strstr(text, "]---"))
		what = "the tree of lspci -t, with no access control and no types of ports in it";
	else if (is_topology_matrix(text))
		what = "a matrix of nvidia-smi topo, with no addresses and no access control in it";
	else if (strstr(text, "] pci ") || strstr(text, "kernel: pci ") ||
		 strstr(text, "] pci_bus"))
		what = "a kernel log, with no access control in it";
	else if (strstr(text, "Slot:\t") || strstr(text, "\"Host bridge\""))
		what = "the output of lspci -m, with no bus numbers and no access control in it";
	die(STATUS_UNKNOWN, "%s: %s; send the output of: sudo lspci -D -xxxx", name, what);
}
