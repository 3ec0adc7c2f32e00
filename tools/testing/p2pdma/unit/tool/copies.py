# SPDX-License-Identifier: GPL-2.0
"""Copies of sysfs that lack links, or have links that no kernel makes."""
import dataclasses
import pathlib
import random
import shutil

from riglib import ktap

import machines
import tree

HERE = pathlib.Path(__file__).resolve().parent


def _lay_out(stage, functions, links):
    """Write a copy with further links, (function, name, function); return the name."""
    path = stage.folder / "copy"
    shutil.rmtree(path, ignore_errors=True)
    machines.lay_out(functions, path / "sys")
    devices = path / "sys/bus/pci/devices"
    for function, name, target in links:
        link = (devices / function).resolve() / name
        link.unlink(missing_ok=True)
        link.symlink_to(f"../{target}")
    return path.name


def _ask(stage, name, pairs):
    for client, provider in pairs:
        stage.call(name, "path", client, provider)
    stage.call(name, "matrix", "--all", "--vfs")


def physical_function_below(stage):
    """A bridge whose physical function is below the bridge has no endless way to the root."""
    functions = machines.MACHINES["desktop"]()
    for each in functions:
        each.address = "0000:" + each.address[-7:]
    for virtual, real in (("00:01.2", "04:00.0"), ("03:00.0", "04:00.0"), ("00:01.1", "01:00.0"),
                          ("02:00.2", "03:01.0"), ("06:00.0", "07:01.0")):
        name = _lay_out(stage, functions, [(f"0000:{virtual}", "physfn", f"0000:{real}")])
        _ask(stage, name, (("04:00.0", "01:00.0"), ("07:01.0", "05:00.0"), ("01:00.0", virtual)))


def random_hierarchies(stage):
    """However directories and links are nested, there is an answer."""
    chance = random.Random(2)
    names = [f"0000:0{bus}:00.0" for bus in range(8)]
    for _ in range(60):
        path = stage.folder / "nested"
        shutil.rmtree(path, ignore_errors=True)
        devices = path / "sys/bus/pci/devices"
        devices.mkdir(parents=True)
        for at, name in enumerate(names):
            below = "/".join(chance.choices(names, k=chance.randrange(4)))
            real = path / "sys/devices" / name
            real.mkdir(parents=True)
            bridge = chance.random() < 0.5
            function = machines.Function(name, "1b36:000c", "bridge" if bridge else "nvme",
                                         buses=(at + 1, 9) if bridge else None)
            (real / "config").write_bytes(function.config())
            if chance.random() < 0.6:
                (real / "physfn").symlink_to(f"../{chance.choice(names)}")
            # The way in the link is what the command reads; the rest is found in any case.
            way = pathlib.PurePath("pci0000:00", below, name)
            (path / "sys/devices" / way).parent.mkdir(parents=True, exist_ok=True)
            if not (path / "sys/devices" / way).exists():
                (path / "sys/devices" / way).symlink_to(real)
            (devices / name).symlink_to(f"../../../devices/{way}")
        _ask(stage, "nested", [chance.choices(names, k=2) for _ in range(4)])


def group_not_copied(stage):
    """Without the link to the IOMMU group, nothing is known of an IOMMU."""
    able = (machines.ISOLATED, machines.ISOLATED)
    functions = [
        machines.Function("0000:00:00.0", "1022:1480", "host"),
        *(machines.Function(f"0000:00:0{port}.0", "1022:1483", "bridge", machines.ROOT_PORT, able,
                            port=port, buses=(port, port)) for port in (1, 2)),
        machines.Function("0000:01:00.0", "10ec:8168", "net", machines.ENDPOINT, mask=32,
                          group="DMA"),
        machines.Function("0000:02:00.0", "144d:a824", "nvme", machines.ENDPOINT,
                          bar=0x2200000000)]
    for change, wanted in (({}, "host-bridge"), ({"group": None}, "none"),
                           ({"group": None, "linked": False}, "unknown")):
        functions[3] = dataclasses.replace(functions[3], **change)
        name = _lay_out(stage, functions, [])
        found = stage.verdicts(name, "--cpu", "amd-zen")[("0000:01:00.0", "0000:02:00.0")]
        if found != wanted:
            raise ktap.Failure(f"{change}: {found}, not {wanted}")


def kernel_makes_no_sense(stage):
    """One message tells of lines of the kernel that make no sense, not one for each question."""
    path = stage.folder / "senseless"
    tree.unpack(HERE / "switch.tree", path)
    for peers in path.glob("sys/devices/**/p2pdma/peers"):
        lines = peers.read_text(encoding="ascii").splitlines()
        peers.write_text("".join(f"{line.split()[0]} direct\n" for line in lines), encoding="ascii")
    messages = stage.call(path.name, "matrix", "--all")[2]
    clients = [line.split(":p2pdma")[0].split("p2pdma/peers")[0] for line in messages.splitlines()
               if "makes no sense" in line]
    if not clients or len(clients) != len(set(clients)):
        raise ktap.Failure(messages)


TESTS = [kernel_makes_no_sense, physical_function_below, random_hierarchies, group_not_copied]
