// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma copy: layout and contents of block devices
 *
 * A partition is part of a disk. A device of the device mapper or of md consists of other block
 * devices, called slaves. A loop device consists of a file or a block device. sysfs does not tell
 * which sectors of a slave are in use: assume all sectors, as copying must not overlap.
 */
#include <blkid/blkid.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "disk.h"
#include "tool.h"

/* Block devices can be stacked. A higher stack, in a manipulated tree, is a loop. */
#define HIGHEST_STACK	16

static char *device_path(const char *sysfs, dev_t id)
{
	return xasprintf("%s/dev/block/%u:%u", sysfs, major(id), minor(id));
}

static bool read_id(const char *path, dev_t *id)
{
	char *line = read_line("%s/dev", path);
	unsigned int major, minor;

	if (!line || sscanf(line, "%u:%u", &major, &minor) != 2)
		return false;
	*id = makedev(major, minor);
	return true;
}

static bool read_sectors(const char *path, const char *name, unsigned long long *number)
{
	return parse_number(read_line("%s/%s", path, name), 10, ~0ULL >> 1, number);
}

static const char *last_part(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

static bool add_extent(const char *path, const struct extent *extent, struct disk *disk)
{
	if (disk->nr == MAX_EXTENTS)
		return false;
	disk->extents[disk->nr] = *extent;
	disk->extents[disk->nr].name = last_part(read_link("%s", path));
	disk->extents[disk->nr].identity = read_line("%s/wwid", path);
	return disk->extents[disk->nr++].name;
}

static bool add_device(const char *sysfs, dev_t id, unsigned int depth, ino_t file,
		       struct disk *disk);

static bool add_slaves(const char *sysfs, const char *path, unsigned int depth, ino_t file,
		       struct disk *disk)
{
	char **slaves;
	int i, nr = list_directory(xasprintf("%s/slaves", path), &slaves);
	bool complete = nr;
	dev_t slave;

	for (i = 0; i < nr; i++)
		complete &= read_id(xasprintf("%s/slaves/%s", path, slaves[i]), &slave) &&
			    add_device(sysfs, slave, depth + 1, file, disk);
	return complete;
}

/* A file system with its own device number, such as btrfs, hides the disk below. */
static bool add_backing(const char *sysfs, const char *path, unsigned int depth,
			struct disk *disk)
{
	char *backing = read_line("%s/loop/backing_file", path);
	struct stat file;

	if (!backing || stat(backing, &file))
		return false;
	if (S_ISBLK(file.st_mode))
		return add_device(sysfs, file.st_rdev, depth + 1, 0, disk);
	return major(file.st_dev) && add_device(sysfs, file.st_dev, depth + 1, file.st_ino, disk);
}

static bool add_partition(const char *sysfs, const char *path, unsigned int depth, ino_t file,
			  struct disk *disk)
{
	struct extent extent = { .file = file };
	char *whole = xasprintf("%s/..", path), **slaves;
	unsigned long long size;

	if (!read_id(whole, &extent.disk) || !read_sectors(path, "start", &extent.start) ||
	    !read_sectors(path, "size", &size))
		return false;
	if (list_directory(xasprintf("%s/slaves", whole), &slaves) ||
	    read_line("%s/loop/backing_file", whole))
		return add_device(sysfs, extent.disk, depth + 1, file, disk);
	extent.end = extent.start + size;
	return add_extent(device_path(sysfs, extent.disk), &extent, disk);
}

/* Returns false if sysfs does not name all disks below the device. */
static bool add_device(const char *sysfs, dev_t id, unsigned int depth, ino_t file,
		       struct disk *disk)
{
	struct extent extent = { .disk = id, .end = ~0ULL, .file = file };
	const char *path = device_path(sysfs, id);
	char **slaves;

	if (depth > HIGHEST_STACK)
		return false;
	if (read_line("%s/partition", path))
		return add_partition(sysfs, path, depth, file, disk);
	if (list_directory(xasprintf("%s/slaves", path), &slaves))
		return add_slaves(sysfs, path, depth, file, disk);
	if (add_backing(sysfs, path, depth, disk))
		return true;
	return add_extent(path, &extent, disk);
}

/**
 * disk_find - find the whole disks that a block device consists of
 * @sysfs: root of the sysfs tree
 * @id: device number of the block device
 * @disk: filled in
 *
 * Return: false if sysfs does not name all disks below the block device.
 */
bool disk_find(const char *sysfs, dev_t id, struct disk *disk)
{
	*disk = (struct disk) {};
	disk->name = last_part(read_link("%s", device_path(sysfs, id)));
	return disk->name && add_device(sysfs, id, 0, 0, disk);
}

static bool same_disk(const struct extent *a, const struct extent *b)
{
	if (a->disk == b->disk)
		return true;
	return a->identity && *a->identity && b->identity && !strcmp(a->identity, b->identity);
}

/**
 * disk_overlap - may two block devices share a sector?
 * @a: a block device
 * @b: another block device
 *
 * Return: name of the disk with the sector, or NULL.
 */
const char *disk_overlap(const struct disk *a, const struct disk *b)
{
	const struct extent *one, *two;

	for (one = a->extents; one < a->extents + a->nr; one++) {
		for (two = b->extents; two < b->extents + b->nr; two++) {
			if (!same_disk(one, two) || one->start >= two->end ||
			    two->start >= one->end)
				continue;
			/* Different files in a file system share no sector. */
			if (!one->file || !two->file || one->file == two->file)
				return one->name;
		}
	}
	return NULL;
}

/**
 * disk_partitions - list the partitions of a disk that the kernel knows
 * @sysfs: root of the sysfs tree
 * @id: device number of the disk
 *
 * Return: the names, separated by commas; NULL without partitions.
 */
const char *disk_partitions(const char *sysfs, dev_t id)
{
	const char *path = device_path(sysfs, id), *list = NULL;
	char **names;
	int i, nr = list_directory(path, &names);

	for (i = 0; i < nr; i++)
		if (read_line("%s/%s/partition", path, names[i]))
			list = xasprintf("%s%s%s", list ? list : "", list ? ", " : "", names[i]);
	return list;
}

static const char *look_up(blkid_probe probe, const char *name)
{
	const char *value;

	return blkid_probe_lookup_value(probe, name, &value, NULL) ? NULL : value;
}

static const char *describe(blkid_probe probe)
{
	const char *type = look_up(probe, "TYPE"), *label = look_up(probe, "LABEL");
	const char *table = look_up(probe, "PTTYPE"), *usage = look_up(probe, "USAGE");

	if (type && label)
		return xasprintf("%s (%s, \"%s\")", type, usage ? usage : "?", label);
	if (type)
		return xasprintf("%s (%s)", type, usage ? usage : "?");
	return table ? xasprintf("a partition table (%s)", table) : "a signature";
}

/**
 * disk_contents - look for a file system, volume, swap space or partition table
 * @fd: descriptor of a block device or file, without O_DIRECT
 *
 * Return: a phrase that tells the contents; NULL without a known signature. An unreadable device
 * counts as holding something.
 */
const char *disk_contents(int fd)
{
	blkid_probe probe = blkid_new_probe();
	const char *found = "something that cannot be read";
	int result;

	if (!probe)
		die(STATUS_UNKNOWN, "out of memory");
	if (!blkid_probe_set_device(probe, fd, 0, 0)) {
		blkid_probe_enable_superblocks(probe, true);
		blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE |
							 BLKID_SUBLKS_LABEL);
		blkid_probe_enable_partitions(probe, true);
		result = blkid_do_safeprobe(probe);
		if (result == 1)
			found = NULL;
		else if (result == -2)
			found = "several signatures";
		else if (!result)
			found = describe(probe);
	}
	blkid_free_probe(probe);
	return found;
}
