# SPDX-License-Identifier: GPL-2.0
"""Find splats in a kernel log: warnings and errors of the kernel."""
import re
import subprocess

from . import build

SPLAT = re.compile("|".join((
    r"\bWARNING: ", r"\bBUG: ", r"kernel BUG at", r"KASAN: ", r"UBSAN: ", r"KCSAN: ",
    r"Call Trace:", r"\bOops\b", r"general protection fault", r"stack-protector",
    r"INFO: possible", r"INFO: task .* blocked for more than", r"suspicious RCU",
    r"rcu.*detected stall", r"soft lockup", r"hard LOCKUP", r"workqueue lockup",
    r"Bad page", r"refcount_t: ", r"(list|hlist)_(add|del) corruption", r"ODEBUG: ",
    r"DMA-API: .*disabl",
    r"page allocation failure", r"kmemleak: .*(new suspected|disabled)", r"unreferenced object",
    r"DMAR:.*[Ff]ault", r"AMD-Vi:.*IO_PAGE_FAULT", r"Kernel panic",
    r"scheduling while atomic", r"sleeping function called from invalid")))
PREFIX = re.compile(r"^(<\d+>)?\[\s*\d+\.\d+\](\[\s*[TC]\d+\])? ?")
EXCERPT = 40

# Known splats of debug kernels about stock code of an NVMe-oF target over RDMA, with any
# implementation of peer memory: pattern of the first line, a function in the trace, pattern of the
# last line. All splats that are not listed count.
KNOWN = (
    # nvme-rdma maps each completion of a ring separately, several in a cache line.
    (r"DMA-API: .*cacheline tracking EEXIST", "nvme_rdma_alloc_qe", r"DMA-API: Mapped at:"),
    # nvmet walks the provider map of a controller without the lock of the map.
    (r"WARNING: suspicious RCU usage", "nvmet_ctrl_free", r"</TASK>"),
)
# Stock functions with known leaks. A leak counts if a function of this project is between the stock
# function and the allocator.
# - nvmet does not free the nodes of the provider map of a controller if namespaces are enabled.
# - For a command to a disabled namespace, nvmet_subsys_nsid_exists() takes a reference on the
#   directory of the namespace and never drops the reference, so a namespace that is disabled during
#   I/O is not freed.
# nvmet also leaks the reference of a namespace on a provider, but guest/nvmet.py writes 0 to p2pmem
# before the removal of a namespace. So a leaked pci_dev always counts.
KNOWN_LEAKS = ("nvmet_p2pmem_ns_add_p2p", "nvmet_ns_alloc", "nvmet_ns_device_path_store")
OURS = re.compile(r"p2pdma|p2pmem")
LONGEST = 150
# A report of KCSAN: the line before the frames of an access, and the frames that count
ACCESS = re.compile(r"(read|write)\b.* to 0x[0-9a-f]+ of \d+ bytes? by ")
HELPERS = 4


def strip(line):
    """Return a console line without the time stamp."""
    return PREFIX.sub("", line)


def find(lines, wanted=()):
    """Return the lines around the first splat in LINES, or an empty list.

    WANTED are regular expressions of expected messages that look like splats. The call trace after
    an expected message is expected, too, up to the next line that looks like a splat.
    """
    lines = without_known(lines)
    skip = [re.compile(pattern) for pattern in wanted]
    forgiven = False
    for index, line in enumerate(lines):
        if not SPLAT.search(line):
            continue
        if any(pattern.search(line) for pattern in skip):
            forgiven = True
        elif not (forgiven and "Call Trace:" in line):
            return [strip(each) for each in lines[max(0, index - 3):index + EXCERPT]]
    return []


def decode(lines, kernel):
    """Return LINES with source lines in call traces, if KERNEL has debug information."""
    script = build.source_tree(kernel) / "scripts/decode_stacktrace.sh"
    if not lines or not build.has_option(kernel, "CONFIG_DEBUG_INFO") or not script.exists():
        return lines
    done = subprocess.run([script, kernel / "vmlinux", build.source_tree(kernel)],
                          input="\n".join(lines) + "\n", stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, encoding="utf-8", errors="replace",
                          check=False)
    if done.returncode:
        return [*lines, f"(no source lines: {script.name} failed with status {done.returncode})"]
    return done.stdout.splitlines()


def _races_in_ours(report):
    """Return whether an access of a report is in code of this project, or in a helper below.

    Further callers do not count: an interrupt may have come at any time.
    """
    depth = HELPERS
    for line in report:
        if ACCESS.search(line):
            depth = 0
        elif "+0x" in line and depth < HELPERS:
            depth += 1
            if OURS.search(line):
                return True
    return False


def _end_of_race(lines, start):
    """Return the index after the report of a data race in code of others, or None."""
    if "BUG: KCSAN: " not in lines[start]:
        return None
    for end in range(start, min(start + LONGEST, len(lines))):
        if strip(lines[end]).startswith("====="):
            return None if _races_in_ours(lines[start:end]) else end + 1
    return None


def _end_of_known(lines, start):
    """Return the index after the known splat that begins at START, or None."""
    if end := _end_of_race(lines, start):
        return end
    for first, name, last in KNOWN:
        if not re.search(first, lines[start]):
            continue
        for end in range(start, min(start + LONGEST, len(lines))):
            if re.search(last, lines[end]):
                named = any(name in line for line in lines[start:end])
                return end + 1 if named else None
    return None


def without_known(lines):
    """Return LINES without the known splats of stock code."""
    kept, position = [], 0
    while position < len(lines):
        end = _end_of_known(lines, position)
        if not end:
            kept.append(lines[position])
        position = end or position + 1
    return kept


def _is_known_leak(text):
    """Return whether a known function leaks, without a function of this project as callee."""
    for name in KNOWN_LEAKS:
        callees, found, _ = text.partition(f"{name}+")
        if found and not OURS.search(callees):
            return True
    return False


def unknown_leaks(text):
    """Return the report of kmemleak without the known leaks of stock code."""
    objects = re.split(r"(?m)^(?=unreferenced object)", text)
    return "".join(each for each in objects if each.strip() and not _is_known_leak(each))
