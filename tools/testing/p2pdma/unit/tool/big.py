#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Measure the matrix of a server with a thousand endpoints.

    big.py COMMAND [ENDPOINTS]

The server has a root port and a switch for every 50 NVMe drives. Processor time rather than
elapsed time is measured, so that other work on the machine does not count.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import machines
from machines import DOWNSTREAM, ENDPOINT, ISOLATED, ROOT_PORT, UPSTREAM, Function

BELOW_SWITCH = 50
SECONDS = 2
MEGABYTES = 100


def _host(domain, endpoints):
    """Return the functions of a domain: a host bridge, a switch, drives with two functions."""
    last = 2 + endpoints
    functions = [
        Function(f"{domain}:00:00.0", "8086:09a2", "host"),
        Function(f"{domain}:00:01.0", "8086:347a", "bridge", ROOT_PORT, (ISOLATED, ISOLATED),
                 port=1, buses=(1, last)),
        Function(f"{domain}:01:00.0", "1000:c010", "bridge", UPSTREAM, buses=(2, last)),
    ]
    for at in range(endpoints):
        bus = 3 + at
        functions += [
            Function(f"{domain}:02:{at // 8:02x}.{at % 8}", "1000:c010", "bridge", DOWNSTREAM,
                     (ISOLATED, ISOLATED), port=at, buses=(bus, bus)),
            Function(f"{domain}:{bus:02x}:00.0", "144d:a824", "nvme", ENDPOINT),
            Function(f"{domain}:{bus:02x}:00.1", "144d:a825", "memory", ENDPOINT),
        ]
    return functions


def write(path, endpoints):
    """Write the output of lspci -xxxx of the server."""
    with open(path, "w", encoding="ascii") as out:
        for domain in range(0, endpoints, BELOW_SWITCH):
            many = min(BELOW_SWITCH, endpoints - domain)
            for function in sorted(_host(f"{domain // BELOW_SWITCH:04x}", many),
                                   key=lambda each: machines.order(each.address)):
                out.write(function.dump())


def measure(command, path):
    """Return the processor time in seconds, the memory in MB, and the output of matrix."""
    with tempfile.TemporaryFile() as out:
        words = [str(command), "-n", "-c", "other", "-l", str(path), "matrix"]
        with subprocess.Popen(words, stdout=out) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(words)}: status {process.returncode}")
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out.read().decode()


def main():
    """Print a line with the results."""
    endpoints = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "dump")
        write(path, endpoints)
        seconds, megabytes, text = measure(sys.argv[1], path)
        print(f"{endpoints} endpoints, {path.stat().st_size >> 20} MiB: {seconds:.2f} s, "
              f"{megabytes:.0f} MB, {len(text.splitlines())} lines")
    sys.exit(seconds > SECONDS or megabytes > MEGABYTES)


if __name__ == "__main__":
    main()
