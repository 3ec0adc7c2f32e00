#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""p2pcopy.py SOURCE TARGET ALLOCATE BYTES - copy between two disks through peer memory

SOURCE and TARGET are block devices, ALLOCATE is the file p2pmem/allocate of the provider. The
data never touch system memory: SOURCE writes the data into the provider's BAR, and TARGET reads
the data from the BAR.
"""
import mmap
import os
import sys

CHUNK = 1 << 20


def main(source, target, allocate, length):
    length = int(length)
    memory = os.open(allocate, os.O_RDWR)
    window = mmap.mmap(memory, CHUNK, mmap.MAP_SHARED)
    reader = os.open(source, os.O_RDONLY | os.O_DIRECT)
    writer = os.open(target, os.O_WRONLY | os.O_DIRECT)
    for position in range(0, length, CHUNK):
        part = memoryview(window)[:min(CHUNK, length - position)]
        if os.preadv(reader, [part], position) != len(part):
            sys.exit("short read")
        if os.pwritev(writer, [part], position) != len(part):
            sys.exit("short write")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
