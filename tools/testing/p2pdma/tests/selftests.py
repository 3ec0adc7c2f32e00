# SPDX-License-Identifier: GPL-2.0
"""The kselftests, which know nothing of the rig, run inside it."""
import os
import subprocess

from guest.case import case
from guest.devices import provider
from rigpy.ktap import parse_flat


def _run(test, program):
    peer = provider()
    environment = dict(os.environ, P2PMEM_PROVIDER=peer.bdf)
    done = subprocess.run([os.path.join(test.selftests, program)], env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    test.subtests = parse_flat(done.stdout)
    test.check(test.subtests, f"{program} reported nothing: {done.stdout}")
    test.equal(done.returncode, 0, f"exit status of {program}")


@case(selftests=True, short=True, seconds=180)
def selftest_mmap(test):
    _run(test, "p2pmem_mmap")


@case(selftests=True, short=True)
def selftest_longterm(test):
    _run(test, "p2pmem_longterm")


@case("switch intel-root-ports viommu", selftests=True, short=True)
def selftest_dio(test):
    _run(test, "p2pmem_dio")
