// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: reading files of a machine
 *
 * A file is read from the machine itself, from a copy of the tree, or from a capture. While a
 * capture is made, each file that is read is recorded. A capture has a JSON value for the name of
 * each file: a string is the content, an array has the names in a directory, and an object has the
 * content in hexadecimal ("hex", with the length "size"), or the target of a link ("link").
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <json-c/json.h>
#include <pci/pci.h>

#include "internal.h"

/* A sysfs attribute has at most one page. */
#define LINE_LIMIT	4096

/* Limit for broken input. */
#define HEX_LIMIT	1048576

/* Conventional configuration space. Extended capabilities follow. */
#define CONVENTIONAL_BYTES	256U

#define SERIAL_BYTES	8

/**
 * files_record - record every file that is read from now on
 * @sysfs: root of the sysfs tree
 *
 * Return: the files, as in a capture.
 */
json_object *files_record(const char *sysfs)
{
	context_current()->root = sysfs;
	context_current()->recorded = json_object_new_object();
	return context_current()->recorded;
}

/**
 * files_replay - read from a capture from now on
 * @sysfs: root of the sysfs tree in names of files
 * @files: the files of the capture
 */
void files_replay(const char *sysfs, json_object *files)
{
	context_current()->root = sysfs;
	context_current()->replayed = files;
}

/* Names in a capture do not depend on the place of the tree. Returns NULL for other files. */
static char *capture_name(const char *path)
{
	const char *root = context_current()->root;
	size_t length = strlen(root);
	const char *rest = path + length;

	if (!strncmp(path, "/proc/", 6))
		return xasprintf("proc/%s", path + 6);
	if (strncmp(path, root, length) || *rest != '/')
		return NULL;
	if (!strncmp(rest, "/../proc/", 9))
		return xasprintf("proc/%s", rest + 9);
	return xasprintf("sys%s", rest);
}

static json_object *find_captured(const char *path)
{
	char *name = capture_name(path);
	json_object *value = NULL;

	if (name)
		json_object_object_get_ex(context_current()->replayed, name, &value);
	xfree(name);
	errno = value ? 0 : ENOENT;
	return value;
}

static bool find_recorded(const char *path)
{
	char *name = capture_name(path);
	bool found = name && json_object_object_get_ex(context_current()->recorded, name, NULL);

	xfree(name);
	return found;
}

/* Recording: what identifies a person or a device is left out. */

/* Such an interface is named after the address of the adapter. */
static bool names_an_address(const char *name)
{
	const char *at = strstr(name, "enx");

	return at && (at == name || at[-1] == '/') &&
	       strspn(at + 3, "0123456789abcdef") == 12;
}

static bool is_recorded(const char *name)
{
	static const char * const wanted[] = {
		"sys/bus/", "sys/class/", "sys/devices/", "sys/kernel/iommu_groups/",
	};
	unsigned int i;

	if (!name || names_an_address(name))
		return false;
	if (!strcmp(name, "proc/cpuinfo") || !strcmp(name, "proc/cmdline"))
		return true;
	for (i = 0; i < COUNT_OF(wanted); i++)
		if (!strncmp(name, wanted[i], strlen(wanted[i])))
			return true;
	return false;
}

/* A file may be read twice, the second time only the first line. */
static bool is_longer(json_object *old, json_object *value)
{
	return !json_object_is_type(value, json_type_string) ||
	       !json_object_is_type(old, json_type_string) ||
	       json_object_get_string_len(value) > json_object_get_string_len(old);
}

static void record(const char *path, json_object *value)
{
	json_object *recorded = context_current()->recorded, *old;
	char *name = capture_name(path);

	if (is_recorded(name) && (!json_object_object_get_ex(recorded, name, &old) ||
				  is_longer(old, value)))
		json_object_object_add(recorded, name, value);
	else
		json_object_put(value);
	xfree(name);
}

/* Of the command line, only the parameters that the command knows. */
static char *without_secrets(const char *line)
{
	static const char * const known[] = {
		"pci=", "pcie_", "iommu", "intel_iommu", "amd_iommu", "p2pdma.", "nvme",
	};
	char *copy = xstrdup(line), *text = xstrdup(""), *word, *save;
	unsigned int i;

	for (word = strtok_r(copy, "\n ", &save); word; word = strtok_r(NULL, "\n ", &save))
		for (i = 0; i < COUNT_OF(known); i++)
			if (!strncmp(word, known[i], strlen(known[i]))) {
				text = xasprintf("%s%s%s", text, *text ? " " : "", word);
				break;
			}
	return xasprintf("%s\n", text);
}

/* Of cpuinfo, only the lines about the kind of the first processor. */
static char *first_processor(const char *info)
{
	static const char * const known[] = {
		"processor", "vendor_id", "cpu", "CPU ", "model", "machine", "isa", "flags",
	};
	char *copy = xstrdup(info), *end = strstr(copy, "\n\n"), *text = xstrdup(""), *line, *save;
	unsigned int i;

	if (end)
		*end = '\0';
	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		for (i = 0; i < COUNT_OF(known); i++)
			if (!strncmp(line, known[i], strlen(known[i]))) {
				text = xasprintf("%s%s\n", text, line);
				break;
			}
	return text;
}

/* Clear the Device Serial Number (PCIe base specification r6.0, sec 7.9.3). */
static void clear_serial_number(unsigned char *config, size_t size)
{
	size_t at = CONVENTIONAL_BYTES, hops;
	unsigned int header;

	for (hops = 0; hops < 480 && at >= CONVENTIONAL_BYTES; hops++) {
		if (at + 4 + SERIAL_BYTES > size)
			return;
		header = config[at] | config[at + 1] << 8 | (unsigned int)config[at + 3] << 24 |
			 config[at + 2] << 16;
		if ((header & 0xffff) == PCI_EXT_CAP_ID_DSN)
			memset(config + at + 4, 0, SERIAL_BYTES);
		at = header >> 20 & ~3U;
	}
}

static json_object *hex_value(const unsigned char *bytes, size_t size)
{
	json_object *value = json_object_new_object();
	size_t used = size, i;
	char *text;

	while (used && !bytes[used - 1])
		used--;
	text = xzalloc(2 * used + 1);
	for (i = 0; i < used; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	json_object_object_add(value, "size", json_object_new_int64(size));
	json_object_object_add(value, "hex", json_object_new_string(text));
	xfree(text);
	return value;
}

static bool ends_in(const char *text, const char *end)
{
	size_t length = strlen(text);

	return length >= strlen(end) && !strcmp(text + length - strlen(end), end);
}

static void record_content(const char *path, const unsigned char *bytes, size_t size)
{
	unsigned char *copy = xzalloc(size + 1);
	char *text = (char *)copy;

	memcpy(copy, bytes, size);
	if (ends_in(path, "/config")) {
		clear_serial_number(copy, size);
		record(path, hex_value(copy, size));
	} else if (memchr(copy, '\0', size)) {
		record(path, hex_value(copy, size));
	} else {
		if (ends_in(path, "/proc/cmdline"))
			text = without_secrets(text);
		else if (ends_in(path, "/proc/cpuinfo"))
			text = first_processor(text);
		record(path, json_object_new_string(text));
	}
	xfree(copy);
}

static void record_link(const char *path, const char *target)
{
	json_object *value = json_object_new_object();

	json_object_object_add(value, "link", json_object_new_string(target));
	record(path, value);
}

static void record_names(const char *path, char **names, int nr)
{
	json_object *value = json_object_new_array();
	int i;

	for (i = 0; i < nr; i++)
		if (!names_an_address(names[i]))
			json_object_array_add(value, json_object_new_string(names[i]));
	record(path, value);
}

/* Reading */

static void close_descriptor(void *fd)
{
	close((int)(long)fd);
}

/**
 * hold_descriptor - let an error close a file
 * @fd: descriptor of the file; context_release() closes the file, too
 */
void hold_descriptor(int fd)
{
	context_hold(close_descriptor, (void *)(long)fd);
}

static void close_directory(void *directory)
{
	closedir(directory);
}

/* A copied tree may have endless pipes or device nodes. Read regular files only. */
static int open_file(const char *path)
{
	struct stat stat_of;
	int fd;

	/* To open a device may start the device: look before, and again at the open file. */
	if (!stat(path, &stat_of) && !S_ISREG(stat_of.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &stat_of) || !S_ISREG(stat_of.st_mode)) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	return fd;
}

/* Returns the content of a file in the capture, with *@size bytes and a zero byte, or NULL. */
static unsigned char *captured_content(const char *path, size_t *size)
{
	json_object *value = find_captured(path), *hex = NULL, *length = NULL;
	unsigned char *bytes;
	const char *text;
	size_t i;

	if (json_object_is_type(value, json_type_string)) {
		*size = json_object_get_string_len(value);
		bytes = xzalloc(*size + 1);
		memcpy(bytes, json_object_get_string(value), *size);
		return bytes;
	}
	if (!json_object_is_type(value, json_type_object) ||
	    !json_object_object_get_ex(value, "hex", &hex) ||
	    !json_object_is_type(hex, json_type_string) ||
	    !json_object_object_get_ex(value, "size", &length) ||
	    json_object_get_int64(length) < 0 || json_object_get_int64(length) > HEX_LIMIT)
		return NULL;
	*size = json_object_get_int64(length);
	bytes = xzalloc(*size + 1);
	text = json_object_get_string(hex);
	for (i = 0; i < *size && hex_digit(text[0]) >= 0 && hex_digit(text[1]) >= 0; i++, text += 2)
		bytes[i] = hex_digit(text[0]) << 4 | hex_digit(text[1]);
	return bytes;
}

/* Reads at most @limit bytes from a file that is no capture. */
static unsigned char *real_content(const char *path, size_t limit, size_t *size)
{
	size_t room = 4096, done = 0;
	int fd = open_file(path);
	unsigned char *bytes;
	ssize_t got = 0;

	if (fd < 0)
		return NULL;
	hold_descriptor(fd);
	bytes = xzalloc(room + 1);
	while (done < limit) {
		if (done == room) {
			bytes = xgrow(bytes, room + 1, 2 * room + 1);
			room *= 2;
		}
		got = read(fd, bytes + done, room < limit ? room - done : limit - done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		done += got;
	}
	context_release();
	if (!done && got < 0) {
		xfree(bytes);
		return NULL;
	}
	bytes[done] = '\0';
	*size = done;
	return bytes;
}

static unsigned char *read_content(const char *path, size_t limit, size_t *size)
{
	unsigned char *bytes;

	if (context_current()->replayed) {
		bytes = captured_content(path, size);
		if (bytes && *size > limit)
			*size = limit;
		return bytes;
	}
	bytes = real_content(path, limit, size);
	if (bytes && context_current()->recorded)
		record_content(path, bytes, *size);
	return bytes;
}

/**
 * read_bytes - read the beginning of a file
 * @path: name of the file
 * @bytes: buffer for the bytes
 * @size: size of @bytes
 *
 * Return: number of bytes read, negative if the file cannot be read.
 */
int read_bytes(const char *path, unsigned char *bytes, size_t size)
{
	size_t got;
	unsigned char *content = read_content(path, size, &got);

	if (!content)
		return -1;
	memcpy(bytes, content, got);
	xfree(content);
	return got;
}

/**
 * read_text - read a file as a string
 * @path: name of the file
 * @limit: maximum number of bytes to read
 *
 * Return: the string, or NULL if the file cannot be read.
 */
char *read_text(const char *path, size_t limit)
{
	size_t size;
	unsigned char *content = read_content(path, limit, &size);

	if (content)
		content[size] = '\0';
	return (char *)content;
}

/**
 * read_line - read the first line of a file
 * @format: name of the file, as for printf()
 *
 * Return: the line without a newline, as it is; NULL if the file cannot be read.
 */
char *read_line(const char *format, ...)
{
	char *path, *text;
	va_list args;

	va_start(args, format);
	path = xvasprintf(format, args);
	va_end(args);
	text = read_text(path, LINE_LIMIT - 1);
	xfree(path);
	if (text)
		text[strcspn(text, "\n")] = '\0';
	return text;
}

static char *captured_link(const char *path)
{
	json_object *value = find_captured(path), *target = NULL;

	if (!json_object_is_type(value, json_type_object) ||
	    !json_object_object_get_ex(value, "link", &target) ||
	    !json_object_is_type(target, json_type_string))
		return NULL;
	return xstrdup(json_object_get_string(target));
}

static char *real_link(const char *path)
{
	char target[LINE_LIMIT];
	ssize_t got = readlink(path, target, sizeof(target) - 1);

	if (got < 0)
		return NULL;
	target[got] = '\0';
	if (context_current()->recorded)
		record_link(path, target);
	return xstrdup(target);
}

/**
 * read_link - read a symbolic link
 * @format: name of the link, as for printf()
 *
 * Return: target of the link, as it is; NULL without a link.
 */
char *read_link(const char *format, ...)
{
	char *path, *target;
	va_list args;

	va_start(args, format);
	path = xvasprintf(format, args);
	va_end(args);
	target = context_current()->replayed ? captured_link(path) : real_link(path);
	xfree(path);
	return target;
}

/**
 * file_exists - is there a file of this name?
 * @path: name of the file
 *
 * Return: whether the file, or a directory of the name, exists.
 */
bool file_exists(const char *path)
{
	if (context_current()->replayed)
		return find_captured(path);
	if (access(path, F_OK))
		return false;
	if (context_current()->recorded && !find_recorded(path))
		record(path, json_object_new_string(""));
	return true;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char * const *)a, *(char * const *)b);
}

static int captured_names(const char *path, char ***names)
{
	json_object *value = find_captured(path);
	size_t nr, i;

	if (!json_object_is_type(value, json_type_array))
		return 0;
	nr = json_object_array_length(value);
	if (nr > MAX_FUNCTIONS)
		nr = MAX_FUNCTIONS;
	*names = xzalloc((nr + 1) * sizeof(char *));
	for (i = 0; i < nr; i++)
		(*names)[i] = xstrdup(json_object_get_string(json_object_array_get_idx(value, i)) ?:
				      "");
	return nr;
}

static int real_names(const char *path, char ***names)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	size_t room = 0;
	int nr = 0;

	if (!directory)
		return 0;
	context_hold(close_directory, directory);
	while ((entry = readdir(directory)) && nr < MAX_FUNCTIONS) {
		if (entry->d_name[0] == '.')
			continue;
		if (nr == (int)room) {
			*names = xgrow(*names, room * sizeof(char *),
				       (room + 64) * sizeof(char *));
			room += 64;
		}
		(*names)[nr++] = xstrdup(entry->d_name);
	}
	context_release();
	return nr;
}

/**
 * list_directory - list the names in a directory
 * @path: name of the directory
 * @names: filled in with the sorted names, without names that begin with a dot
 *
 * Return: number of names; 0 if the directory cannot be read.
 */
int list_directory(const char *path, char ***names)
{
	int nr;

	*names = NULL;
	nr = context_current()->replayed ? captured_names(path, names) : real_names(path, names);
	if (nr)
		qsort(*names, nr, sizeof(char *), compare_texts);
	if (nr && context_current()->recorded)
		record_names(path, *names, nr);
	return nr;
}
