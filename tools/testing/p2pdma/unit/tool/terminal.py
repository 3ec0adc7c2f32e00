# SPDX-License-Identifier: GPL-2.0
"""Tests for what people type and see: colours, width, addresses, classes, marks of ports."""
import os
import pathlib
import subprocess

from riglib import ktap
import machines
import tree

HERE = pathlib.Path(__file__).resolve().parent
COLUMNS = 80


def _on_terminal(words, environment):
    """Run a command with a terminal as standard output. Return what the terminal gets."""
    ours, theirs = os.openpty()
    try:
        subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, stdout=theirs,
                       stderr=subprocess.DEVNULL, check=False)
        os.close(theirs)
        text = b""
        while True:
            try:
                text += os.read(ours, 65536)
            except OSError:
                return text
    finally:
        os.close(ours)


def colours(command, environment, dump):
    """Colours need a terminal that has colours, and NO_COLOR empty or not set."""
    words = [command, "-n", "-l", dump, "check", "9a:00.0", "9c:00.0"]
    plain = {name: text for name, text in environment.items() if name not in ("NO_COLOR", "TERM")}
    wrong = []
    for settings, wanted in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": ""}, True),
                             ({"TERM": "xterm", "NO_COLOR": "0"}, False), ({"TERM": ""}, False),
                             ({"TERM": "dumb"}, False), ({}, False)):
        text = _on_terminal(words, {**plain, **settings})
        if b"direct" not in text or (b"\x1b" in text) != wanted:
            wrong.append(f"{settings}: {text}")
    text = subprocess.run(words, env={**plain, "TERM": "xterm"}, check=False,
                          capture_output=True).stdout
    if b"\x1b" in text:
        wrong.append(f"without a terminal: {text}")
    if wrong:
        raise ktap.Failure("\n".join(wrong))


def columns(call, folder):
    """Sentences end at column 80, also with long names."""
    tree.unpack(HERE / "switch.tree", folder)
    sysfs = folder / "sys"
    controller = sysfs / "bus/pci/devices/0000:04:00.0/nvme/nvme1"
    controller.mkdir(parents=True)
    (controller / "cmbsz").write_text("0x04000001\n", encoding="ascii")
    space = sysfs / f"kernel/config/nvmet/subsystems/nqn.{'x' * 100}/namespaces/1"
    space.mkdir(parents=True)
    for name, text in (("p2pmem", "1\n"), ("enable", "1\n"), ("device_path", "/dev/dm-0\n")):
        (space / name).write_text(text, encoding="ascii")
    for command, sentence in (("list", "only queues"), ("nvmet", "stacked ones cannot")):
        _, text, _ = call("-s", sysfs, command)
        if sentence not in " ".join(text.split()):
            raise ktap.Failure(f"{command} does not say {sentence!r}: {text}")
        for line in text.splitlines():
            if len(line) > COLUMNS and " " in line.strip() and "xxx" not in line:
                raise ktap.Failure(f"{command}: {len(line)} columns: {line}")


def addresses(call, folder):
    """An address without a domain is taken if it is unique, and asked about if it is not."""
    words = ["-n", "-l", HERE / "cases/domain-hint"]
    status, text, messages = call(*words, "path", "c8:00.0", "c7:00.0")
    if status or "client    0001:c8:00.0" not in text:
        raise ktap.Failure(f"status {status}: {text}{messages}")
    status, _, messages = call(*words, "path", "0000:c8:00.0", "c7:00.0")
    if status != 2 or "no such PCI function" not in messages:
        raise ktap.Failure(f"with a wrong domain: status {status}: {messages}")
    path = folder / "domains"
    several = [machines.Function(address, "1b36:0010", "nvme").dump(64) for address in (
        "0000:01:00.0", "0001:01:00.0", "0001:02:00.0", "0002:01:00.0", "0002:02:00.0")]
    path.write_text("".join(several), encoding="ascii")
    status, _, messages = call("-n", "-l", path, "check", "02:00.0", "01:00.0")
    if status != 2 or "did you mean 0001:02:00.0 or 0002:02:00.0?" not in messages:
        raise ktap.Failure(f"with two domains: status {status}: {messages}")
    _, text, messages = call("-n", "-l", path, "check", "01:00.0", "0001:01:00.0")
    if not text.startswith("0000:01:00.0 -> 0001:01:00.0"):
        raise ktap.Failure(f"domain 0 is not preferred: {text}{messages}")


def classes(call, dump):
    """A class that does not exist is an error that is told."""
    for given, wanted in (("nonsense", 2), ("nvme,nonsense", 2), ("nvme,", 2), ("", 2),
                          ("nvm", 2), ("nvme", 0), ("gpu,rdma", 0), ("other,nvme", 0)):
        status, _, messages = call("-n", "-l", dump, "matrix", "--class", given)
        if status != wanted or (status and not messages):
            raise ktap.Failure(f"{given!r}: status {status}: {messages}")


MARKS = {"redirects": "sends peer traffic up to the host bridge",
         "isolates": "sends peer traffic up, by design", "blocks": "blocks peer traffic",
         "unreadable": "does not tell", "denied": "a policy denies",
         "no-forwarding": "does not forward", None: "affects the route"}


def marks(call, folder):
    """Ordinary users, who cannot read access control, see the kernel's effect of each port."""
    tree.unpack(HERE / "switch.tree", folder)
    devices = folder / "sys/bus/pci/devices"
    for path in devices.glob("*/config"):
        path.write_bytes(path.read_bytes()[:64])
    for effect, mark in MARKS.items():
        port = f"0000:02:01.0={effect}" if effect else "0000:02:01.0"
        (devices / "0000:04:00.0/p2pdma/peers").write_text(
            f"0000:03:00.0 none 4 0000:01:00.0 unlisted {port}\n", encoding="ascii")
        _, text, messages = call("-n", "-s", folder / "sys", "path", "nvme1", "nvme0")
        line = next(line for line in text.splitlines() if line.startswith("  0000:02:01.0"))
        if mark not in line or text.count("<--") != 1:
            raise ktap.Failure(f"{effect}: {text}{messages}")
