# SPDX-License-Identifier: GPL-2.0
"""Tests for the checks of p2pdma copy: which disks are shared, and what a disk holds."""
import os
import struct
import subprocess

from riglib import ktap

MIB = 1 << 20


class Blocks:
    """A sysfs tree with block devices only."""

    def __init__(self, folder):
        self.sysfs = folder / "sys"
        (self.sysfs / "dev/block").mkdir(parents=True)

    def add(self, number, place, **attributes):
        """Add a block device below devices/. A slave is named by its place."""
        path = self.sysfs / "devices" / place
        slaves = attributes.pop("slaves", ())
        (path / "slaves").mkdir(parents=True)
        for slave in slaves:
            target = self.sysfs / "devices" / slave
            (path / "slaves" / target.name).symlink_to(os.path.relpath(target, path / "slaves"))
        for name, text in {"dev": number, **attributes}.items():
            file = path / name.replace("__", "/")
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{text}\n", encoding="utf-8")
        (self.sysfs / "dev/block" / number).symlink_to(f"../../devices/{place}")


def _layout(folder):
    """Lay out a tree: two drives, partitions, and stacks of devices. Return the tree."""
    image, disk_number = folder / "image", os.stat(folder).st_dev
    image.write_bytes(b"")
    blocks = Blocks(folder)
    blocks.add("259:0", "pci/nvme0n1", wwid="eui.01")
    blocks.add("259:1", "pci/nvme0n1/nvme0n1p1", partition=1, start=2048, size=4096)
    blocks.add("259:2", "pci/nvme0n1/nvme0n1p2", partition=2, start=6144, size=4096)
    blocks.add("259:3", "pci/nvme1n1", wwid="eui.02")
    blocks.add("259:4", "pci/other/nvme2n1", wwid="eui.01")
    blocks.add("8:0", "pci/sda", wwid="")
    blocks.add("8:16", "pci/sdb", wwid="")
    blocks.add("253:0", "virtual/dm-0", slaves=["pci/nvme0n1/nvme0n1p1"])
    blocks.add("253:1", "virtual/dm-1", slaves=["virtual/dm-0", "pci/sda"])
    blocks.add("9:0", "virtual/md0", slaves=["pci/sda", "pci/sdb"])
    blocks.add("9:1", "virtual/md0/md0p1", partition=1, start=0, size=8)
    blocks.add("253:2", "virtual/dm-2", slaves=["virtual/dm-3"])
    blocks.add("253:3", "virtual/dm-3", slaves=["virtual/dm-2"])
    blocks.add("253:4", "virtual/dm-4", slaves=["virtual/gone"])
    if os.major(disk_number):
        blocks.add(f"{os.major(disk_number)}:{os.minor(disk_number)}", "pci/vda")
    for number in range(3):
        name = folder / f"image{number}" if number < 2 else image
        name.write_bytes(b"")
        blocks.add(f"7:{number}", f"virtual/loop{number}", loop__backing_file=name)
    blocks.add("7:3", "virtual/loop3", loop__backing_file=image)
    return blocks, disk_number


# Two block devices, and the disk that both share
OVERLAPS = [
    ("259:0", "259:3", "-"),
    ("259:0", "259:0", "nvme0n1"),
    ("259:0", "259:1", "nvme0n1"),
    ("259:2", "259:0", "nvme0n1"),
    ("259:1", "259:2", "-"),
    ("259:0", "259:4", "nvme0n1"),      # two paths to one namespace
    ("259:3", "259:4", "-"),
    ("8:0", "8:16", "-"),               # an empty identity is none
    ("259:0", "253:0", "nvme0n1"),
    ("253:0", "259:1", "nvme0n1"),
    ("253:0", "259:2", "-"),
    ("253:1", "259:1", "nvme0n1"),
    ("8:0", "253:1", "sda"),
    ("8:16", "9:1", "sdb"),
    ("9:1", "9:0", "sda"),
    ("9:0", "259:0", "-"),
    ("259:0", "253:2", "unknown"),      # a circle
    ("259:0", "253:4", "unknown"),
    ("259:0", "1:2", "unknown"),
    ("7:0", "7:1", "-"),                # two files on one disk
    ("7:2", "7:3", "vda"),
    ("7:0", "vda", "vda"),
]


def overlaps(program, folder):
    """Both ends of a copy are resolved to whole disks, through partitions and stacks."""
    blocks, number = _layout(folder)
    names = {"vda": f"{os.major(number)}:{os.minor(number)}"}
    wrong = []
    for one, two, wanted in OVERLAPS:
        if "vda" in (two, wanted) and not os.major(number):
            # The folder is on no disk, as with tmpfs: two loop devices are two disks.
            continue
        for pair in ((one, two), (two, one)):
            said = _ask(program, "overlap", blocks.sysfs, *(names.get(each, each)
                                                           for each in pair))
            alike = {"nvme0n1", "nvme2n1"}
            if said != wanted and not {said, wanted} <= alike:
                wrong.append(f"{pair}: {said}, not {wanted}")
    said = _ask(program, "partitions", blocks.sysfs, "259:0")
    if said != "nvme0n1p1, nvme0n1p2":
        wrong.append(f"partitions: {said}")
    if _ask(program, "partitions", blocks.sysfs, "259:3") != "-":
        wrong.append("a disk without partitions has partitions")
    if wrong:
        raise ktap.Failure("\n".join(wrong))


def _at(offset, data, size=4 * MIB):
    """Return zeros with some bytes in it."""
    return bytes(offset) + data + bytes(size - offset - len(data))


def _ext4():
    """Return the part of an ext4 superblock that tells what it is, with a hostile label."""
    block = bytearray(1024)
    struct.pack_into("<II", block, 0, 1024, 1024)
    struct.pack_into("<HH", block, 56, 0xef53, 1)
    struct.pack_into("<III", block, 0x5c, 4, 0x242, 1)
    struct.pack_into("<I", block, 0x4c, 1)
    block[0x78:0x78 + 8] = b"a\x1b[31mb\xff"
    return bytes(block)


def _swap():
    """Return the first page of swap space."""
    page = bytearray(4096)
    struct.pack_into("<III", page, 1024, 1, 1000, 0)
    page[4086:] = b"SWAPSPACE2"
    return bytes(page)


CONTENTS = [
    ("-", bytes(4 * MIB)),
    ("-", _at(0, b"some data")),
    ("ext4", _at(1024, _ext4())),
    ("swap", _at(0, _swap())),
    ("crypto_LUKS", _at(0, b"LUKS\xba\xbe\0\1")),
    ("partition table (dos)",
     _at(446, struct.pack("<8BII", 0, 0, 0, 0, 0x83, 0, 0, 0, 2048, 4096) + bytes(48)
         + b"\x55\xaa")),
    ("iso9660", _at(0x8000, b"\1CD001\1\0")),
]


def contents(program, folder):
    """A destination that holds something is recognized, and blank or random bytes are not."""
    wrong = []
    for wanted, data in CONTENTS:
        path = folder / "image"
        path.write_bytes(data)
        said = _ask(program, "contents", path)
        if said != wanted and (wanted == "-" or wanted not in said):
            wrong.append(f"{said!r}, not {wanted}")
    if wrong:
        raise ktap.Failure("\n".join(wrong))


def _ask(program, *words):
    """Run the program. Return its answer."""
    result = subprocess.run([str(program), *map(str, words)], check=False, capture_output=True,
                            stdin=subprocess.DEVNULL,
                            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    if result.returncode:
        raise ktap.Failure(f"{words}: status {result.returncode}: "
                           + result.stderr.decode(errors="replace"))
    return result.stdout.decode(errors="replace").strip()
