/* SPDX-License-Identifier: GPL-2.0 */
/*
 * p2pdma copy: layout and contents of block devices
 *
 * The functions take the root of a sysfs tree and a descriptor, so tests can use copies and files.
 */
#ifndef P2PDMA_DISK_H
#define P2PDMA_DISK_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * struct extent - sectors of a whole disk
 * @disk: device number of the disk
 * @name: name of the disk in sysfs
 * @identity: content of the attribute wwid, the same for each path to a disk; or NULL
 * @start: number of the first sector of 512 bytes
 * @end: number of the sector after the last
 * @file: inode number of a file somewhere in the sectors, or 0 for the sectors themselves
 */
struct extent {
	dev_t disk;
	const char *name;
	const char *identity;
	unsigned long long start;
	unsigned long long end;
	ino_t file;
};

#define MAX_EXTENTS	256

/**
 * struct disk - a block device
 * @name: name in sysfs, such as nvme0n1p1
 * @extents: sectors of whole disks that the block device may consist of
 * @nr: length of @extents
 */
struct disk {
	const char *name;
	struct extent extents[MAX_EXTENTS];
	unsigned int nr;
};

bool disk_find(const char *sysfs, dev_t id, struct disk *disk);
const char *disk_overlap(const struct disk *a, const struct disk *b);
const char *disk_partitions(const char *sysfs, dev_t id);
const char *disk_contents(int fd);

#endif /* P2PDMA_DISK_H */
