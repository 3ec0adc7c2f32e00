# SPDX-License-Identifier: GPL-2.0
"""One machine from four sources: -xxxx, -vvv, a copy of sysfs, and a capture of the copy."""
import json
import shutil

from riglib import ktap

import inputs
import machines
from machines import (CR, DOWNSTREAM, DT, ENDPOINT, INTEGRATED, ISOLATED, ROOT_PORT, RR, SV, UF,
                      UPSTREAM, Function)

QUESTIONS = ("matrix --all --vfs", "tree --all", "path {0} {1}", "check {0} {1}", "path {1} {0}")

KERNELS = (["--kernel", "ours"], ["--kernel", "stock"])

# What only some sources have
ONLY_SOME = {"machine", "odd", "title", "driver", "names", "notes", "label", "node", "link",
             "sockets", "remedies", "meaning"}


def _accelerators():
    """Return a server in which the list of capabilities of a GPU goes back, as in real GPUs."""
    functions = [Function("0000:00:00.0", "1022:1480", "host"),
                 Function("0000:00:14.0", "1022:790b", "serial", INTEGRATED)]
    able = (SV | RR | CR | UF | DT, ISOLATED)
    for port, bus in enumerate((0x01, 0x41), 1):
        functions += [
            Function(f"0000:00:0{port}.1", "1022:1483", "bridge", ROOT_PORT, able, port=port,
                     buses=(bus, bus + 4)),
            Function(f"0000:{bus:02x}:00.0", "1000:c030", "bridge", UPSTREAM,
                     buses=(bus + 1, bus + 4)),
            Function(f"0000:{bus + 1:02x}:00.0", "1000:c030", "bridge", DOWNSTREAM, able, port=0,
                     buses=(bus + 2, bus + 2)),
            Function(f"0000:{bus + 1:02x}:01.0", "1000:c030", "bridge", DOWNSTREAM, able, port=1,
                     buses=(bus + 3, bus + 3)),
            Function(f"0000:{bus + 2:02x}:00.0", "10de:2330", "vga", ENDPOINT, ats=True,
                     rebar=(15, 15), places=(0x100, 0x400, 0x200)),
            Function(f"0000:{bus + 3:02x}:00.0", "15b3:1021", "net", ENDPOINT, (SV, 0), ats=True,
                     translates=bus == 0x41, virtual=(2, 2, 1, 0x101e),
                     places=(0x100, 0x300, 0x180)),
        ]
    return functions


def _strip(value):
    """Return a report without what only some sources have."""
    if isinstance(value, dict):
        return {name: _strip(each) for name, each in value.items() if name not in ONLY_SOME}
    if isinstance(value, list):
        return [_strip(each) for each in value]
    return value


def _difference(one, other, way=""):
    """Return where two reports differ, or None."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = [(f"{way}.{name}", one[name], other[name]) for name in one]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(f"{way}[{at}]", *both) for at, both in enumerate(zip(one, other))]
    else:
        return None if one == other else f"{way}: {one}, {other}"
    return next((found for name, a, b in pairs if (found := _difference(a, b, name))), None)


def _write_sources(stage, functions, folder):
    """Yield the options of each source, the bytes first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    machines.lay_out(functions, folder / "sys")
    (folder / "bytes").write_text(machines.dump_functions(functions), encoding="ascii")
    (folder / "text").write_text(inputs.print_dump(folder / "bytes", "-nn", "-D", "-vvv"),
                                 encoding="ascii")
    status, _, messages = stage.run("--sysfs", folder / "sys", "capture", folder / "capture")
    if status:
        raise ktap.Failure(messages)
    yield "--lspci", folder / "bytes"
    yield "--lspci", folder / "text"
    yield "--sysfs", folder / "sys"
    yield "--sysfs", folder / "capture"


def _compare(stage, functions, options):
    pair = [each.address for each in functions if each.kind in ("nvme", "net", "vga", "raid")][:2]
    sources = list(_write_sources(stage, functions, stage.folder / "sources"))
    for question in QUESTIONS:
        if len(pair) < 2 and "{" in question:
            continue
        for rules in KERNELS if question[:5] in ("matri", "check") else ([],):
            wanted = None
            for source in sources:
                words = [*source, "-n", "-J", *options, *question.format(*pair).split(), *rules]
                status, said, messages = stage.run(*words)
                if not said:
                    raise ktap.Failure(f"{words}: status {status}: {messages}")
                found = _strip(json.loads(said))
                wanted = wanted or found
                where = _difference(wanted, found)
                if where:
                    raise ktap.Failure(f"{words}: {where}")


def sources_agree(stage):
    """Matrix, tree, path and check of one machine are the same from each source."""
    every = {name: make() for name, make in machines.MACHINES.items()}
    every["accelerators"] = _accelerators()
    for name, functions in every.items():
        # lspci shows neither long domains nor vectors of egress control, and no text proves
        # a port without access control.
        functions = [each for each in functions if not each.address.startswith("10000:")]
        for each in functions:
            each.address = ("0000:" + each.address)[-12:]
            each.vector = None
            if each.pcie in (ROOT_PORT, DOWNSTREAM):
                each.acs = each.acs or (SV, 0)
            each.acs = each.acs and tuple(bits & ~machines.EC for bits in each.acs)
        for options in (("-c", "other", "--iommu", "on"), ("-c", "other", "--iommu", "off"),
                        ("-c", "amd-zen", "--iommu", "on")):
            try:
                _compare(stage, functions, options)
            except ktap.Failure as failure:
                raise ktap.Failure(f"{name}: {failure}") from failure


TESTS = [sources_agree]
