// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: names of vendors and devices
 *
 * A text without IDs has names. The list pci.ids tells which IDs have a name: one or several, or
 * none where the list of the sender was another one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pci/pci.h>

#include "internal.h"

#define ID_COUNT	0x10000
#define MOST_VENDORS	64
#define LISTED_ONLY	(PCI_LOOKUP_NO_NUMBERS | PCI_LOOKUP_NO_HWDB)

/**
 * struct names - a list of names
 * @names: the names, with their IDs
 * @nr: length of @names
 * @loaded: the list has been read
 */
struct names {
	struct name *names;
	unsigned int nr;
	bool loaded;
};

/**
 * struct name - a name of a vendor or a device
 * @text: the name
 * @id: ID of the vendor or device
 * @devices: names of the devices of a vendor
 */
struct name {
	char *text;
	unsigned int id;
	struct names devices;
};

/**
 * struct names_cache - names of a context
 * @access: libpci, for names only
 * @vendors: names of all vendors
 * @nr_loaded: number of vendors whose names of devices have been read
 */
struct names_cache {
	struct pci_access *access;
	struct names vendors;
	unsigned int nr_loaded;
};

static void ids_quiet(char *format, ...)
{
	(void)format;
}

static void __noreturn ids_failed(char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	die(STATUS_UNKNOWN, "libpci: %s", text);
}

/* pci_init() would scan the machine. Name lookup works without, but needs the callbacks. */
static struct pci_access *id_database(void)
{
	struct context *context = context_current();
	struct names_cache *names;
	struct pci_access *access;

	if (!context->names) {
		names = xzalloc(sizeof(*names));
		/* Without memory, libpci ends the process here. */
		access = pci_alloc();
		access->error = ids_failed;
		access->warning = ids_quiet;
		access->debug = ids_quiet;
		/* The cache is in somebody's home, and getpwuid() is not for threads. */
		pci_set_param(access, "net.cache_name", "");
		names->access = access;
		context->names = names;
	}
	return context->names->access;
}

/**
 * names_free - forget the names of the current context
 *
 * The names need more than memory: libpci has a file open.
 */
void names_free(void)
{
	struct context *context = context_current();

	if (context->names)
		pci_cleanup(context->names->access);
	context->names = NULL;
}

/**
 * names_title - vendor and device by name
 * @vendor: vendor ID
 * @device: device ID
 *
 * Return: both names; an ID without a name is a number.
 */
const char *names_title(unsigned int vendor, unsigned int device)
{
	char words[160];

	return xstrdup(pci_lookup_name(id_database(), words, sizeof(words),
				       PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, vendor, device));
}

static void add_name(struct names *names, unsigned int id, const char *text)
{
	size_t size = names->nr * sizeof(*names->names);

	if (!(names->nr & (names->nr - 1)))
		names->names = xgrow(names->names, size,
				     names->nr ? 2 * size : sizeof(*names->names));
	names->names[names->nr++] = (struct name) { .text = xstrdup(text), .id = id };
}

/* Reads all names of vendors, or of the devices of a vendor. */
static void load(struct names *names, const struct name *vendor)
{
	int flags = LISTED_ONLY | (vendor ? PCI_LOOKUP_DEVICE : PCI_LOOKUP_VENDOR);
	char words[256], *text;
	unsigned int id;

	for (id = 0; id < ID_COUNT && !names->loaded; id++) {
		text = pci_lookup_name(id_database(), words, sizeof(words), flags,
				       vendor ? vendor->id : id, id);
		if (text)
			add_name(names, id, text);
	}
	names->loaded = true;
}

/* Revision and programming interface follow the names. */
static size_t names_length(const char *title)
{
	const char *revision = strstr(title, " (rev "), *interface = strstr(title, " (prog-if ");
	const char *end = title + strlen(title);

	end = revision ? revision : end;
	return (interface && interface < end ? interface : end) - title;
}

/* Broken input may name thousands of vendors, and to read all names of one takes a while. */
static bool load_devices(struct name *vendor)
{
	struct names_cache *cache = context_current()->names;

	if (vendor->devices.loaded)
		return true;
	if (cache->nr_loaded == MOST_VENDORS)
		return false;
	load(&vendor->devices, vendor);
	cache->nr_loaded++;
	return true;
}

static enum known any_device(struct name *vendor, const char *text, size_t length,
			     names_test *test, int type)
{
	enum known answer = UNKNOWN;
	unsigned int i, device;
	const struct name *name;

	if (length == strlen("Device 1234") && sscanf(text, "Device %4x", &device) == 1)
		return test(vendor->id, device, type) ? KNOWN_YES : KNOWN_NO;
	if (!load_devices(vendor))
		return UNKNOWN;
	for (i = 0; i < vendor->devices.nr && answer != KNOWN_YES; i++) {
		name = &vendor->devices.names[i];
		if (strlen(name->text) == length && !strncmp(name->text, text, length))
			answer = test(vendor->id, name->id, type) ? KNOWN_YES : KNOWN_NO;
	}
	return answer;
}

/**
 * names_any - does a test hold for any function with a name?
 * @title: names of vendor and device, as lspci prints both
 * @test: the test
 * @type: an argument of @test
 *
 * Return: KNOWN_YES if the test holds for one of the IDs with these names, KNOWN_NO if the test
 * holds for none, UNKNOWN if no ID is known to have these names.
 */
enum known names_any(const char *title, names_test *test, int type)
{
	struct names *vendors;
	enum known answer = UNKNOWN, found;
	size_t length = names_length(title), part;
	unsigned int i;

	id_database();
	vendors = &context_current()->names->vendors;
	load(vendors, NULL);
	for (i = 0; i < vendors->nr && answer != KNOWN_YES; i++) {
		part = strlen(vendors->names[i].text);
		if (part + 1 >= length || title[part] != ' ' ||
		    strncmp(title, vendors->names[i].text, part))
			continue;
		found = any_device(&vendors->names[i], title + part + 1, length - part - 1, test,
				   type);
		if (found != UNKNOWN)
			answer = found;
	}
	return answer;
}
