# SPDX-License-Identifier: GPL-2.0
"""Runs a kselftest program inside the guest and takes over its results."""
import os
import subprocess
import tempfile

from rigpy.ktap import parse_flat


def run(test, program, peer, **environment):
    """Run PROGRAM with PEER as the provider; every case of the program counts.

    ENVIRONMENT has further variables by their names without P2PMEM_, in small letters.
    """
    words = {f"P2PMEM_{name.upper()}": str(value) for name, value in environment.items()}
    # A file, as a pipe would stay open as long as a child of the program hangs.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run([os.path.join(test.selftests, program)],
                              env={**os.environ, "P2PMEM_PROVIDER": peer.bdf, **words},
                              stdout=output, stderr=subprocess.STDOUT)
        output.seek(0)
        text = output.read()
    test.subtests += parse_flat(text)
    test.check(test.subtests, f"{program} reported nothing: {text}")
    if done.returncode:
        test.give_up(f"{program} ended with status {done.returncode}:\n{text}")
    return text
