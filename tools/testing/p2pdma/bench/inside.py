#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""inside.py MODULE - the guest's half of the benchmark: load MODULE, tell what it measured.

Prints a line of key=value words for each operation. The exit status is that of insmod.
"""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from guest.devices import Drive, Function, provider  # noqa: E402

CARD = (0x1af4, 0x1110)
MARK = "p2pdma_bench: "


def messages(log):
    """The texts of the kernel's messages that have come since LOG was read last."""
    while True:
        try:
            record = os.read(log, 1 << 16)
        except BlockingIOError:
            return
        yield record.split(b";", 1)[1].split(b"\n")[0].decode(errors="replace")


def main(module):
    peer, alpha, card = provider(), Drive("alpha"), Function.by_id(*CARD)
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    os.lseek(log, 0, os.SEEK_END)
    done = subprocess.run(["insmod", module, f"provider={peer.bdf}", f"client={alpha.bdf}",
                           f"card={card.bdf}"], check=False)
    for text in messages(log):
        if MARK in text:
            print(text.split(MARK, 1)[1], flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
