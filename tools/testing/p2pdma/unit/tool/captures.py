# SPDX-License-Identifier: GPL-2.0
"""Tests of p2pdma capture: a capture is as good as the machine, and tells nothing private."""
import gzip
import json
import shutil

from riglib import ktap

QUESTIONS = ("list", "tree --all", "matrix --all", "-J list", "-J tree --all", "-J matrix --all",
             "-J matrix --all --kernel stock", "-C -J matrix --all")
KEY = "p2pdma-capture"


def _expect(holds, what):
    if not holds:
        raise ktap.Failure(what)


def _captured(stage, tree):
    """Capture a copy of sysfs. Return the path of the capture, and the messages."""
    path = stage.folder / f"{tree.name}.capture"
    path.unlink(missing_ok=True)
    status, _, messages = stage.run("--sysfs", tree / "sys", "capture", path)
    _expect(status == 0, f"status {status}: {messages}")
    return path, messages


def _same(stage, one, other, question):
    words = ["--numeric", *question.split()]
    first, second = stage.run(*one, *words), stage.run(*other, *words)
    second = (second[0], second[1].replace('"source": "capture"', '"source": "sysfs"'), second[2])
    _expect(first == second, f"{question}: {first}\nand from {other}: {second}")


def capture_is_as_good(stage):
    """A copy of sysfs and a capture of the copy give the same answers, also packed."""
    for tree in sorted(stage.folder.glob("*.tree")):
        path, _ = _captured(stage, tree)
        for question in QUESTIONS:
            for option in ("--sysfs", "--lspci"):
                _same(stage, ("--sysfs", tree / "sys"), (option, path), question)
        packed = path.with_suffix(".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        _same(stage, ("--sysfs", tree / "sys"), ("--sysfs", packed), "-J matrix --all")
        status, _, messages = stage.run("--sysfs", path, "capture", "-")
        _expect(status == 2, f"a capture of a capture: status {status}: {messages}")


def capture_of_path_and_check(stage):
    """Verdicts for pairs are the same, with notes and remedies."""
    tree = stage.folder / "switch.tree"
    path, _ = _captured(stage, tree)
    for client, provider in (("0000:04:00.0", "0000:03:00.0"), ("0000:03:00.0", "0000:00:1f.2")):
        for command in ("-J path", "-J check", "path", "check", "-C -J path"):
            _same(stage, ("--sysfs", tree / "sys"), ("--sysfs", path),
                  f"{command} {client} {provider}")


# An Extended Capability header of Device Serial Number, and the number.
SERIAL = bytes.fromhex("03000100" "efbeaddecefaedfe")


def capture_is_private(stage):
    """Serial numbers, MAC addresses and parameters of others are left out; the rest is there."""
    tree = stage.folder / "private.tree"
    _lay_out(stage, tree)
    path, _ = _captured(stage, tree)
    text = path.read_text(encoding="utf-8")
    files = json.loads(text)["files"]
    for secret in ("efbeadde", "secret", "enx001122334455", "host.example"):
        _expect(secret not in text, f"the capture has {secret}")
    _expect(files["proc/cmdline"] == "iommu=pt pci=noats\n", files["proc/cmdline"])
    _expect("model name" in files["proc/cpuinfo"] and "0xsecret" not in files["proc/cpuinfo"],
            files["proc/cpuinfo"])
    config = files["sys/bus/pci/devices/0000:03:00.0/config"]
    _expect(config["hex"][2 * 0x100:] == "030001", f"the capability: {config['hex'][512:]}")


def _lay_out(stage, tree):
    """Make a copy of the switch with secrets."""
    shutil.copytree(stage.folder / "switch.tree", tree, symlinks=True)
    config = (tree / "sys/bus/pci/devices/0000:03:00.0").resolve() / "config"
    data = bytearray(config.read_bytes().ljust(4096, b"\0"))
    data[0x100:0x100 + len(SERIAL)] = SERIAL
    config.write_bytes(data)
    (tree / "proc/cmdline").write_text("root=secret iommu=pt pci=noats ip=host.example quiet\n")
    with open(tree / "proc/cpuinfo", "a", encoding="utf-8") as info:
        info.write("model name\t: kind\nserial\t\t: 0xsecret\n\nprocessor\t: 1\nflags\t\t: secret\n")
    net = tree / "sys/class/net"
    net.mkdir(parents=True, exist_ok=True)
    (net / "enx001122334455").symlink_to("../../devices/pci0000:00/0000:00:01.0/net/x")


def capture_says_what_is_missing(stage):
    """What an ordinary user cannot read is said, and an existing file stays."""
    tree = stage.folder / "short.tree"
    shutil.copytree(stage.folder / "switch.tree", tree, symlinks=True)
    for config in tree.glob("sys/devices/**/config"):
        config.write_bytes(config.read_bytes()[:64])
    path, messages = _captured(stage, tree)
    _expect("21 of 21 functions lack the capabilities" in messages, messages)
    before = path.read_bytes()
    status, _, messages = stage.run("--sysfs", tree / "sys", "capture", path)
    _expect(status == 2 and "File exists" in messages, f"status {status}: {messages}")
    _expect(path.read_bytes() == before, "the file was changed")
    status, text, _ = stage.run("--sysfs", tree / "sys", "capture", "-")
    _expect(status == 0 and text.encode() == before, f"status {status}: {text[:80]}")
    status, _, messages = stage.run("--lspci", stage.folder / "xeon", "capture", "-")
    _expect(status == 2, f"status {status}: {messages}")


def capture_is_whole_or_not_there(stage):
    """A file that cannot be written to the end is removed, and no two documents share an output."""
    path = stage.folder / "half.capture"
    tree = stage.folder / "switch.tree/sys"
    status, _, messages = stage.run("--sysfs", tree, "capture", path, most=8192)
    _expect(status == 3 and "too large" in messages, f"status {status}: {messages}")
    _expect(not path.exists(), "half a capture is left")
    for option in ("-j", "-J"):
        status, text, messages = stage.run("--sysfs", tree, option, "capture", "-")
        _expect(status == 2 and not text, f"{option}: status {status}: {text[:80]}{messages}")


def capture_refused(stage):
    """A damaged capture, a later version and a file of another kind are refused."""
    path, _ = _captured(stage, stage.folder / "switch.tree")
    whole = path.read_text(encoding="utf-8")
    bad = stage.folder / "bad.capture"
    for text, word in ((whole[:len(whole) // 2], "damaged or cut off"),
                       (whole.replace(f'"{KEY}":1', f'"{KEY}":2'), "version 2"),
                       (f'{{"{KEY}":1}}', "has no files"),
                       (f'{{"{KEY}":1,"files":{{}}}}', "no PCI function"),
                       ("{}", "neither a copy of /sys nor a capture"),
                       ("02:00.0 a text", "neither a copy of /sys nor a capture")):
        bad.write_text(text, encoding="utf-8")
        status, said, messages = stage.run("--sysfs", bad, "matrix")
        _expect(status in (2, 3) and word in messages, f"{word}: status {status}: {said}{messages}")


TESTS = [capture_is_as_good, capture_of_path_and_check, capture_is_private,
         capture_says_what_is_missing, capture_is_whole_or_not_there,
         capture_refused]
