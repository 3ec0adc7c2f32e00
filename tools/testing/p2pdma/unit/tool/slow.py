# SPDX-License-Identifier: GPL-2.0
"""Long inputs: the cost grows as the input, whatever repeats there."""
import os
import pathlib
import resource
import subprocess

from riglib import ktap

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[4]
BUILD = pathlib.Path(os.environ.get("P2PDMA_BUILD", ROOT / "build")).resolve()
HEAD = "00:00.0 Host bridge [0600]: Intel Corporation Device [8086:29c0]\n\tControl: I/O+ Mem+\n"


def _regions(many):
    return HEAD + "\tRegion 0: Memory at f0000000\n" * many


def _capabilities(many):
    return HEAD + "\tCapabilities: [40\n" * many


def _names(many):
    vendors = _vendors()
    return "".join(f"{at >> 8:02x}:{at >> 3 & 31:02x}.{at & 7} PCI bridge: "
                   f"{vendors[at % len(vendors)]} Nothing\n\tFlags: fast devsel\n\n"
                   for at in range(many))


def _vendors():
    """Return names of vendors, from the list that lspci uses."""
    for path in ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"):
        if os.access(path, os.R_OK):
            lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
            return [line[6:] for line in lines if line[4:6] == "  " and line[:4].strip("#")]
    raise ktap.Skip("there is no pci.ids")


def _seconds(path):
    """Return the processor time of the command, built without sanitizers."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([BUILD / "tool/p2pdma", "-n", "--lspci", path, "tree"], check=False, timeout=60,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def long_inputs(stage):
    """Four times the input costs about four times as much, and names of vendors less."""
    path = stage.folder / "long"
    for make, many, most in ((_regions, 10000, 8), (_capabilities, 20000, 8), (_names, 70, 2)):
        cost = []
        for times in (1, 4):
            path.write_text(make(times * many), encoding="utf-8")
            cost.append(_seconds(path))
        print(f"# {make.__name__[1:]}: {cost[0]:.2f} s, {cost[1]:.2f} s", flush=True)
        if cost[1] > most * cost[0] + 0.3:
            raise ktap.Failure(f"{make.__name__[1:]}: {cost}")


TESTS = [long_inputs]
