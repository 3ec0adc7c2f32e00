// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma capture: write all files of a machine that decide into a single file
 *
 * The format of a capture is described in replay.c, beside the reader.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

/* Some files are read only when somebody asks. */
static void read_the_rest(const struct machine *machine)
{
	static const char * const names[] = {
		"max_link_speed", "max_link_width", "current_link_speed", "current_link_width",
	};
	struct function *function;
	unsigned int i, j;

	for (i = 0; i < machine->nr; i++) {
		function = machine->functions[i];
		for (j = 0; j < COUNT_OF(names); j++)
			xfree(read_line("%s/%s", function->path, names[j]));
		for (j = 0; j < function->nr_names; j++)
			xfree(read_line("%s/nvme/%s/cmbsz", function->path, function->names[j]));
		sysfs_peers(function);
	}
	xfree(sysfs_parameter(machine, "iommu="));
}

/* Returns the number of functions with capabilities hidden from an ordinary user. */
static unsigned int count_cut(const struct machine *machine)
{
	unsigned int i, cut = 0;

	for (i = 0; i < machine->nr; i++)
		cut += machine->functions[i]->config_size <= 64;
	return cut;
}

static bool write_all(int fd, const char *text)
{
	size_t size = strlen(text);
	ssize_t done;

	while (size) {
		done = write(fd, text, size);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return false;
		text += done;
		size -= done;
	}
	return true;
}

/* Half a capture is no capture. */
static void write_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), error;

	if (fd < 0)
		die(STATUS_USAGE, "%s: %m", name);
	if (!write_all(fd, text) || close(fd)) {
		error = errno;
		unlink(name);
		errno = error;
		die(STATUS_UNKNOWN, "%s: %m", name);
	}
}

static void write_capture(const char *name, const char *text)
{
	if (strcmp(name, "-"))
		write_file(name, text);
	else if (!write_all(STDOUT_FILENO, text))
		die(STATUS_UNKNOWN, "standard output: %m");
}

static enum status capture_run(struct request *request)
{
	const struct machine *machine = request->machine;
	json_object *capture = json_object_new_object();
	unsigned int cut = count_cut(machine);

	if (!request->recorded || machine->captured)
		die(STATUS_USAGE, "capture: of this machine, or of a copy of /sys");
	if (request->json && !strcmp(request->args[0], "-"))
		die(STATUS_USAGE, "capture: standard output is for one, capture or JSON");
	read_the_rest(machine);
	add_number(capture, CAPTURE_KEY, CAPTURE_VERSION);
	add_text(capture, "kernel", machine->release);
	add_text(capture, "support", support_word(machine->support));
	add_bool(capture, "complete", machine->live);
	json_object_object_add(capture, "files", json_object_get(request->recorded));
	write_capture(request->args[0],
		      json_object_to_json_string_ext(capture, JSON_C_TO_STRING_NOSLASHESCAPE |
						     JSON_C_TO_STRING_PRETTY));
	json_object_put(capture);
	add_text(request->report, "file", request->args[0]);
	add_number(request->report, "incomplete", cut);
	if (cut)
		warn("%u of %u functions lack the capabilities, which decide verdicts: %s", cut,
		     machine->nr, machine->live && geteuid() ? "capture as root" :
		     "the source has no more");
	return STATUS_YES;
}

/* Standard output may be the capture. */
static void capture_print(json_object *report)
{
	const char *file = get_text(report, "file");

	if (strcmp(file, "-"))
		printf("Wrote %s. Serial numbers, names of hosts and MAC addresses are left out.\n"
		       "To read the file: p2pdma --sysfs %s matrix\n", file, file);
}

const struct command command_capture = {
	.name = "capture",
	.args = "FILE",
	.summary = "write all that p2pdma reads to a file",
	.help = "Writes a new file, or with - to standard output, with configuration spaces,\n"
		"sysfs, kernel, processor, parameters of IOMMU and PCI, and drivers.\n"
		"--sysfs FILE or --lspci FILE reads the capture on any machine. Run as root:\n"
		"other users see only the first 64 bytes of a configuration space. Serial\n"
		"numbers, names of hosts and MAC addresses are left out.\n",
	.min_args = 1,
	.max_args = 1,
	.records = true,
	.run = capture_run,
	.print = capture_print,
};
