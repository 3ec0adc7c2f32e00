// SPDX-License-Identifier: GPL-2.0
/*
 * Asks the checks of "p2pdma copy" about a sysfs tree or a file, so no block device is needed.
 *
 *	disks overlap SYSFS MAJOR:MINOR MAJOR:MINOR	the shared disk, or "-"
 *	disks partitions SYSFS MAJOR:MINOR		the names, or "-"
 *	disks contents FILE				the contents, or "-"
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "disk.h"
#include "tool.h"

static dev_t parse(const char *text)
{
	unsigned int major, minor;

	if (sscanf(text, "%u:%u", &major, &minor) != 2)
		die(STATUS_USAGE, "%s is not a device number", text);
	return makedev(major, minor);
}

static const char *overlap(const char *sysfs, const char *one, const char *two)
{
	static struct disk disks[2];

	if (!disk_find(sysfs, parse(one), &disks[0]) || !disk_find(sysfs, parse(two), &disks[1]))
		return "unknown";
	return disk_overlap(&disks[0], &disks[1]);
}

static const char *contents(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(STATUS_NO, "%s: %m", path);
	return disk_contents(fd);
}

int main(int argc, char **argv)
{
	const char *answer;

	if (argc == 5 && !strcmp(argv[1], "overlap"))
		answer = overlap(argv[2], argv[3], argv[4]);
	else if (argc == 4 && !strcmp(argv[1], "partitions"))
		answer = disk_partitions(argv[2], parse(argv[3]));
	else if (argc == 3 && !strcmp(argv[1], "contents"))
		answer = contents(argv[2]);
	else
		die(STATUS_USAGE, "disks: wrong arguments");
	puts(answer ? answer : "-");
	return STATUS_YES;
}
