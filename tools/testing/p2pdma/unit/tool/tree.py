# SPDX-License-Identifier: GPL-2.0
"""Captured sysfs trees as text: one entry a line, so that changes can be read.

    LINK  path -> target
    TEXT  path "contents, as JSON has strings"
    HEX   path 8680...
"""
import json


def unpack(source, folder):
    """Lay a captured tree out as files and links in a new folder."""
    for line in source.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        kind, path, contents = line.split(" ", 2)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if kind == "LINK":
            target.symlink_to(contents.removeprefix("-> "))
        elif kind == "TEXT":
            target.write_text(json.loads(contents), encoding="utf-8")
        elif kind == "HEX":
            data = bytes.fromhex(contents.rstrip("*"))
            # A star means zeros up to the end of extended configuration space.
            target.write_bytes(data.ljust(4096, b"\0") if contents.endswith("*") else data)
        else:
            raise ValueError(f"{source}: {kind}")
