# SPDX-License-Identifier: GPL-2.0
"""Coverage of the subsystem's lines and branches by KUnit and guest tests (gcov, gcovr).

Each boot of build/kernel-coverage leaves counters in build/coverage/BOOT, beside copies of the
compiler's notes. gcovr adds the boots up and writes build/coverage/index.html.
"""
import base64
import contextlib
import pathlib
import shutil
import subprocess

from . import build, topology as topologies
from .paths import BUILD, RESULTS, RigError
from .qemu import Guest, GuestGone

FOLDER = BUILD / "coverage"
KUNIT_SECONDS = 1800
FILES = r".*drivers/pci/(p2pdma.*|pci-p2pmem)\.[ch]$"


def collect(guest, kernel, boot):
    """Fetch the counters of a guest whose kernel counts, unless the guest has gone."""
    if not build.has_option(kernel, "CONFIG_GCOV_KERNEL"):
        return
    with contextlib.suppress(GuestGone, OSError):
        guest.send({"do": "coverage"})
        _receive(guest, boot)


def _receive(guest, boot):
    while True:
        message = guest.receive(120, "counters of the kernel")
        if not message["counters"]:
            return
        # The name in the guest is the absolute name of the object.
        counters = pathlib.Path("/", message["counters"])
        folder = FOLDER / boot
        folder.mkdir(parents=True, exist_ok=True)
        (folder / counters.name).write_bytes(base64.b64decode(message["data"]))
        shutil.copy(counters.with_suffix(".gcno"), folder)


def _kunit(kernel):
    """Boot with all suites, and fetch the counters."""
    console = RESULTS / "coverage-kunit.log"
    with Guest(topologies.load("kunit"), kernel, console=console,
               append=["kunit.enable=1", "kunit.filter=speed>very_slow"]) as guest:
        guest.receive(KUNIT_SECONDS, "end of the suites")
        collect(guest, kernel, "kunit")
        guest.send({"do": "end"})
        guest.wait_end(60)


def report(kernel):
    """Add up all boots. Print a line for each file, and the total."""
    traces = []
    for folder in sorted(path for path in FOLDER.iterdir() if path.is_dir()):
        trace = FOLDER / f"{folder.name}.json"
        command = ["gcovr", "--root", BUILD / "linux", "--object-directory", kernel,
                   "--filter", FILES, "--gcov-ignore-parse-errors", "--json", trace, folder]
        done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True,
                              cwd=kernel)
        if done.returncode:
            raise RigError(f"gcovr failed for {folder.name}:\n{done.stderr}")
        traces += ["--add-tracefile", trace]
    if not traces:
        raise RigError("no boot left counters")
    for extra in ([], ["--branches"], ["--html-details", FOLDER / "index.html"]):
        subprocess.run(list(map(str, ["gcovr", "--root", BUILD / "linux", *traces, *extra])),
                       check=True, cwd=kernel)


def run(arguments):
    """Run KUnit and the guest tests on a kernel that counts, and report."""
    # The runner imports this file.
    from . import runner
    kernel = build.kernel(arguments.kernel or BUILD / "kernel-coverage")
    if not build.has_option(kernel, "CONFIG_GCOV_KERNEL"):
        raise RigError(f"{kernel.name} counts nothing: make coverage builds build/kernel-coverage")
    shutil.rmtree(FOLDER, ignore_errors=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    _kunit(kernel)
    results = runner.run(kernel, [])
    report(kernel)
    print(f"coverage: {FOLDER}/index.html; {sum(each.good for each in results)} of {len(results)} "
          "results of guest tests are good")
    return 0
