# SPDX-License-Identifier: GPL-2.0
"""Inputs that nobody meant: mutated dumps, texts, archives and sysfs trees, from a seed."""
import gzip
import lzma
import os
import pathlib
import shutil

import machines

COMMANDS = ["tree --all", "tree --dot", "matrix --all", "-J matrix", "-J tree",
            "path 00:00.0 00:01.0", "check nvme0 nvme1", "path 0000:18:00.0 1b:00.0",
            "-C matrix --all", "list", "-j list"]
TOKENS = [b"", b"\0", b"\xff" * 40, b"0000:00:00.0", b"ffffffff:ff:1f.7", b"10000:00:02.0 x: y",
          b"../" * 30, b"99999999999999999999", b"-1", b"00: ", b"ff0: 00 11", b"A" * 5000,
          b"%s%n", b"[deny]", b"pci0000:00", b"0000:03:00.0 direct 4 0000:01:00.0 spec x y z"]


def _bytes(chance, data):
    """Change some bytes, tokens or the length of a text."""
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 30])):
        at = chance.randrange(len(data) + 1)
        what = chance.randrange(6)
        if what == 0 and data:
            data[at % len(data)] = chance.randrange(256)
        elif what == 1:
            data[at:at] = chance.choice(TOKENS)
        elif what == 2:
            del data[at:at + chance.randrange(1, 200)]
        elif what == 3:
            data[at:at] = data[chance.randrange(len(data) + 1):][:chance.randrange(1, 3000)]
        elif what == 4:
            del data[at:]
        elif data:
            # Hexadecimal digits stay digits: the text stays a dump, of another machine.
            data[at % len(data)] = ord(chance.choice("0123456789abcdef"))
    return bytes(data)


def _config(chance, text):
    """Change configuration bytes, mostly bus numbers and lists of capabilities."""
    lines = text.splitlines()
    rows = [at for at, line in enumerate(lines) if line[:3] in ("10:", "30:", "40:", "00:", "100")]
    for _ in range(chance.randrange(1, 12)):
        at = chance.choice(rows)
        words = lines[at].split()
        words[chance.randrange(1, len(words))] = f"{chance.randrange(256):02x}"
        lines[at] = " ".join(words)
    return ("\n".join(lines) + "\n").encode()


def _pack(chance, data):
    """Pack a dump now and then, and damage the archive."""
    if chance.randrange(6):
        return data
    packed = gzip.compress(data, 1) if chance.randrange(2) else lzma.compress(data, preset=0)
    return _bytes(chance, packed) if chance.randrange(3) else packed


def _text(chance, folder):
    """Write the text of lspci, with words of it where no such words belong."""
    texts = sorted(folder.glob("*.text")) + [pathlib.Path(__file__).parent / "cases/vvv-text"]
    data = chance.choice(texts).read_bytes()
    words = data.split(b" ")
    for _ in range(chance.choice([0, 1, 5, 40])):
        words[chance.randrange(len(words))] = chance.choice(words)
    path = folder / "fuzz.dump"
    path.write_bytes(_pack(chance, _bytes(chance, b" ".join(words))))
    return ["--lspci", path]


def _dump(chance, folder):
    """Write a dump."""
    name = chance.choice(sorted(machines.MACHINES))
    length = chance.choice([64, 256, 320, 4096])
    text = machines.dump(name, length)
    data = _config(chance, text) if chance.randrange(2) else _bytes(chance, text.encode())
    path = folder / "fuzz.dump"
    path.write_bytes(_pack(chance, data))
    return ["--lspci", path]


def _spoil(chance, path):
    """Spoil an entry of a tree."""
    what = chance.randrange(8)
    if path.is_symlink() and what < 5:
        target = os.readlink(path)
        path.unlink()
        path.symlink_to(chance.choice(["/dev/zero", "/", ".", "loop", target + "/..",
                                       target.replace("0000:02", "0000:01"),
                                       target.replace("0000:00:", "0000:03:"),
                                       "/".join(reversed(target.split("/")))]) or "x")
    elif what == 0:
        path.unlink()
        os.mkfifo(path)
    elif what == 1:
        path.unlink()
    elif what == 2:
        path.unlink()
        path.mkdir()
    elif what == 3:
        path.unlink()
        path.symlink_to(chance.choice(["/dev/zero", "/dev/full", "nowhere", path.name]))
    elif path.is_file() and not path.is_symlink():
        path.write_bytes(_bytes(chance, path.read_bytes()))


def _tree(chance, folder):
    """Lay out a tree, and spoil it; a fifth of the time the ruin of the last one."""
    ruin = folder / "fuzz.tree"
    whole = sorted(path for path in folder.glob("*.tree") if path != ruin)
    if not ruin.exists() or chance.randrange(5):
        shutil.rmtree(ruin, ignore_errors=True)
        shutil.copytree(chance.choice(whole), ruin, symlinks=True)
    entries = sorted(path for path in ruin.rglob("*") if path.is_symlink() or path.is_file())
    for path in chance.sample(entries, min(len(entries), chance.choice([1, 2, 5, 20]))):
        if path.is_symlink() or path.exists():
            _spoil(chance, path)
    return ["--sysfs", ruin / "sys"]


def _capture(chance, folder):
    """Write a capture with other words and bytes."""
    data = chance.choice(sorted(folder.glob("*.capture"))).read_bytes()
    words = data.split(b'"')
    for _ in range(chance.choice([0, 1, 5, 40])):
        words[chance.randrange(len(words))] = chance.choice(words)
    data = b'"'.join(words)
    path = folder / "fuzz.dump"
    path.write_bytes(_pack(chance, _bytes(chance, data) if chance.randrange(2) else data))
    return [chance.choice(["--sysfs", "--lspci"]), path]


READERS = {"dump": _dump, "text": _text, "tree": _tree, "capture": _capture}


def make(chance, folder, reader=None):
    """Return the options for an input of a reader, or any, and a command to try the input with."""
    reader = reader or chance.choice(("dump", "dump", "text", "tree", "tree", "tree", "capture"))
    return READERS[reader](chance, folder), chance.choice(COMMANDS).split()
