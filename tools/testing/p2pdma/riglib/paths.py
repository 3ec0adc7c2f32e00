# SPDX-License-Identifier: GPL-2.0
"""Paths of the source tree and of the build directory."""
import os
import pathlib

RIG = pathlib.Path(__file__).resolve().parent.parent
ROOT = RIG.parent.parent.parent
BUILD = pathlib.Path(os.environ.get("P2PDMA_BUILD", ROOT / "build")).resolve()

TOPOLOGIES = RIG / "topologies"
TESTS = RIG / "guest-tests"
MODULES = RIG / "modules"
GUEST = TESTS / "guest"
SELFTESTS = ROOT / "tools/testing/selftests/p2pdma"

SCRATCH = BUILD / "rig"
RESULTS = BUILD / "results"
GDB = SCRATCH / "gdb"           # socket of a guest for the debugger
BUILT_MODULES = BUILD / "modules"


class RigError(Exception):
    """An error for the user to fix, shown without a traceback."""
