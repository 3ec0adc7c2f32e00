# SPDX-License-Identifier: GPL-2.0
"""Tests with hostile names: escape sequences, invalid UTF-8, and commands for a shell."""
import json
import os
import pathlib
import subprocess

from riglib import ktap
import tree

HERE = pathlib.Path(__file__).resolve().parent

# A name in a directory, and how the command shows the name
NAMES = [
    (b"nqn.plain", "nqn.plain"),
    ("nqn.größe".encode(), "nqn.größe"),
    (b"nqn.\x1b[31mred", r"nqn.\x1b[31mred"),
    (b"nqn.line\nnqn.forged namespace 1: /dev/sda", r"nqn.line\x0anqn.forged namespace 1: "),
    (b"nqn.\xff\xfe", r"nqn.\xff\xfe"),
    (b"nqn.\xc3", r"nqn.\xc3"),
    (b"nqn.\xc0\xaf", r"nqn.\xc0\xaf"),
    (b"nqn.\xed\xa0\x80", r"nqn.\xed\xa0\x80"),
    (b"nqn.\xf4\x90\x80\x80", r"nqn.\xf4\x90\x80\x80"),
    ("nqn.\x9b31m".encode(), r"nqn.\xc2\x9b31m"),
    ("nqn.\u202egnirts".encode(), r"nqn.\xe2\x80\xaegnirts"),
    (b"nqn.\x7f", r"nqn.\x7f"),
    (b"nqn.\"quoted\"\\", 'nqn."quoted"\\'),
]


def _plant(sysfs, folder):
    """Create namespaces of the NVMe target with the hostile names, and hostile contents."""
    top = os.fsencode(sysfs / "kernel/config/nvmet/subsystems")
    for name, _ in NAMES:
        space = os.path.join(top, name.replace(b"/", b"-"), b"namespaces", b"1")
        os.makedirs(space)
        for file, text in ((b"p2pmem", b"0000:03:00.0\n"), (b"device_path", b"/dev/\x1b[2J\xff\n"),
                           (b"enable", b"1\n")):
            pathlib.Path(os.fsdecode(os.path.join(space, file))).write_bytes(text)
    driver = sysfs / "bus/pci/devices/0000:04:00.0/driver"
    if driver.is_symlink():
        driver.unlink()
        os.symlink(b"../../../bus/pci/drivers/\x1b[31m\xff", os.fsencode(driver))
    return folder


def _check(words, data):
    """Check that an output is UTF-8 without control characters. Return it as text."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ktap.Failure(f"{words}: {error}") from error
    bad = [char for char in text if char != "\n" and
           (ord(char) < 0x20 or 0x7f <= ord(char) < 0xa0 or ord(char) in range(0x2028, 0x202f))]
    if bad:
        raise ktap.Failure(f"{words}: {bad} in {text!r}")
    return text


def names(command, environment, folder):
    """Names from outside are escaped in text, JSON and messages."""
    tree.unpack(HERE / "switch.tree", folder)
    _plant(folder / "sys", folder)
    shown = {}
    for words in ("nvmet", "-j nvmet", "list", "-j list", "tree", "-J tree", "matrix",
                  "path \x1b[31m\udcff 0000:03:00.0", "policy \x1b[2J", "\x1b[2J",
                  "tree --\x1b[2J", "--\udcff", "tree -\x1b", "tree --all=\x1b"):
        result = subprocess.run([command, "-n", "-s", folder / "sys", *words.split(" ")],
                                check=False, env=environment, capture_output=True)
        if result.returncode not in (0, 2):
            raise ktap.Failure(f"{words!r}: status {result.returncode}: {result.stderr}")
        shown[words] = _check(words, result.stdout)
        _check(words, result.stderr)
    spaces = json.loads(shown["-j nvmet"])["namespaces"]
    said = {space["subsystem"] for space in spaces}
    for name, wanted in NAMES:
        wanted = wanted.replace("/", "-")
        if not any(each.startswith(wanted) for each in said):
            raise ktap.Failure(f"{name}: not {wanted!r} in {said}")
        if f"\n{wanted}" not in f"\n{shown['nvmet']}":
            raise ktap.Failure(f"{name}: not {wanted!r} at the start of a line of nvmet")
    if {space["device"] for space in spaces} != {r"/dev/\x1b[2J\xff"}:
        raise ktap.Failure(f"device: {spaces[0]['device']!r}")
    targets = json.loads(shown["-j list"])["providers"][0]["targets"]
    if len(targets) != len(NAMES):
        raise ktap.Failure(f"list has {targets}")


def completion(script, folder):
    """Bash completes harmless names of devices, and evaluates none."""
    traps = ["$(touch TRAP)", "`touch TRAP`", "a;touch TRAP", "$HOME", "\x1b[31m", "a b", "-c",
             "a'b", "*"]
    for place, good in (("class/net", "eth0"), ("class/block", "sda"), ("class/nvme", "nvme0"),
                        ("bus/pci/devices", "0000:00:1f.0")):
        for name in [good, *traps]:
            (folder / "sys" / place / name.replace("TRAP", "trap") / "device").mkdir(parents=True)
    text = script.read_text(encoding="utf-8").replace("/sys/", f"{folder}/sys/")
    (folder / "script").write_text(text, encoding="utf-8")
    wrong = []
    for words, wanted in ((["path", ""], ["0000:00:1f.0", "nvme0", "eth0"]),
                          (["path", "eth"], ["eth0"]), (["matrix", "0000"], ["0000:00:1f.0"]),
                          (["path", "$(touch trap)"], []), (["copy", "/dev/s"], ["/dev/sda"]),
                          (["copy", "--provider", "n"], ["nvme0"])):
        said = subprocess.run(
            ["bash", "--norc", "-c", 'source "$1"; shift; COMP_WORDS=("$@"); '
             "COMP_CWORD=$(($# - 1)); _p2pdma p2pdma \"${COMP_WORDS[COMP_CWORD]}\" "
             "\"${COMP_WORDS[COMP_CWORD-1]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"", "bash",
             folder / "script", "p2pdma", *words], check=True, capture_output=True, text=True,
            cwd=folder).stdout.splitlines()
        said = [word for word in said if word and not word.startswith("--")]
        if said != wanted:
            wrong.append(f"{words}: {said}, not {wanted}")
    if (folder / "trap").exists():
        wrong.append("a name was evaluated")
    if wrong:
        raise ktap.Failure("\n".join(wrong))
