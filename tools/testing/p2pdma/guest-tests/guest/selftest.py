# SPDX-License-Identifier: GPL-2.0
"""Run a kselftest program in the guest, and report the results."""
import os
import subprocess
import tempfile

from riglib.ktap import parse_flat


def run(test, program, peer, **environment):
    """Run PROGRAM with PEER as the provider, and report the cases as subtests.

    ENVIRONMENT has more variables, with names in small letters and without P2PMEM_.
    """
    words = {f"P2PMEM_{name.upper()}": str(value) for name, value in environment.items()}
    # A file, because a hanging child of the program would keep a pipe open.
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
