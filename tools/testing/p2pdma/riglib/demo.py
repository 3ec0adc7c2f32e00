# SPDX-License-Identifier: GPL-2.0
"""The part of `rig demo` on the host: boot the guest, print the story, and check the images."""
import hashlib
import sys

from guest import case as registry
from guest import demo as script

from . import build, runner, splat, topology as topologies
from .paths import RESULTS
from .qemu import BOOT_SECONDS, Guest, GuestGone

INTRODUCTION = """\
Peer-to-peer DMA: one PCI device reads and writes memory inside another one, and the memory of
the computer takes no part. Here one drive hands {mib} MiB to a second one through memory that a
third drive carries, and then the second drive is shared over a network, again with its data
passing through that memory. The machine is emulated, so nothing here touches your own devices.
"""
BAR_WIDTH = 40


class Narrator(runner.Services):
    """The services of a test, and services to print text and progress."""

    def do_say(self, text):
        print(text, flush=True)

    def do_progress(self, done, whole):
        """Print a growing bar on a terminal, elsewhere a line for each quarter."""
        filled = BAR_WIDTH * done // whole
        meter = "#" * filled + "." * (BAR_WIDTH - filled)
        line = f"   [{meter}] {done >> 20:3} of {whole >> 20} MiB"
        if sys.stdout.isatty():
            print("\r" + line, end="\n" if done == whole else "", flush=True)
        elif done * 4 % whole == 0:
            print(line, flush=True)


def _digest(path):
    with open(path, "rb") as image:
        return hashlib.sha256(image.read(script.LENGTH)).hexdigest()


def _look_from_outside(guest):
    """
    Compare the image files of the drives from outside the guest. Return an error message or "".
    The rest of the demonstration after the copy does not write to the compared part.
    """
    source, target = (_digest(f"{guest.directory}/{name}.img") for name in ("alpha", "beta"))
    if source != target:
        return "the files behind the two drives differ"
    print("\n   From outside the machine, the files behind the two drives of the copy agree, too:"
          f"\n\n     {target}")
    return ""


def run(kernel):
    RESULTS.mkdir(parents=True, exist_ok=True)
    console = RESULTS / "demo.log"
    demo = registry.CASES["demo"]
    for name in demo.modules:
        build.module(kernel, name)
    print(INTRODUCTION.format(mib=script.LENGTH >> 20), flush=True)
    try:
        with Guest(topologies.load(demo.topology), kernel, console=console) as guest:
            print("Starting it takes a few seconds ...", flush=True)
            release = guest.receive(BOOT_SECONDS, "sign of the guest")["ready"]
            print(f"It runs Linux {release} from build/{kernel.name}.", flush=True)
            result = runner.run_case(guest, kernel, demo, Narrator(guest))
            runner.blame(result, splat.find(guest.console))
            why = result.why or _look_from_outside(guest)
    except GuestGone as gone:
        why = str(gone)
    if why:
        print(f"\nThe demonstration failed: {why}\nThe console of the machine is in {console}.")
        return 1
    print("\nAll of it held, for the copy and for the network: the right bytes, the direct way,\n"
          "nothing of the payload in the system RAM of the one that serves it.")
    return 0
