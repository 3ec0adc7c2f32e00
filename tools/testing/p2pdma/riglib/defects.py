# SPDX-License-Identifier: GPL-2.0
"""Known defects of Linux 6.12 in peer-to-peer DMA, shown on both kernels.

A case has to fail on the kernel of stock with the expected words, and to pass on ours. The other
defects need hardware, or a moment, that an emulated machine does not have. For them the table
names the test of this project.
"""
import re

from . import build, runner
from .paths import BUILD

# defect: in stock; case: of guest-tests/defects.py, or None; words: regular expression for the
# failure on stock or, without a case, the test of this project that shows the right behaviour.
DEFECTS = (
    ("offset and size of a range wrap", "defect_range_wraps", r"WARNING: .* memremap_pages"),
    ("a range that is registered twice is a kernel warning", "defect_registered_twice",
     "Conflicting mapping in same section"),
    ("two registrations at once get into each other's way", "defect_registered_at_once",
     "File exists|size of both ranges"),
    ("no word about an unknown host bridge without redirection", "defect_silent_about_host",
     "no word about the host bridge"),
    ("a mapping shows bytes of the last owner", "defect_bytes_of_others",
     "bytes of an earlier owner"),
    ("a mapping has the caching of system memory", "defect_cached_mapping", "got 'cached'"),
    ("a scatterlist needs one run of memory", "defect_fragments", "Cannot allocate memory"),
    ("an unbind waits for memory in silence", "defect_silent_unbind", "word about memory in use"),
    ("a write fault on a clean page never ends", "defect_endless_fault", "hung; the blocked tasks"),
    ("ten redirecting ports overflow a buffer on the stack", None, "route_past_many_ports"),
    ("a device inherits the route of an address", None, "map_after_client_was_replaced"),
    ("domains above 0xffff alias domain 0", None, "map_domains_do_not_alias"),
    ("memory is handed out after the end of the region", None, "unbind_waits_for_memory"),
    ("a page is handed out before the core has reset its count", None, "storm_on_a_card"),
    ("access control outside of the two ports counts", None, "route_in_nested_switches"),
    ("distance and mapping give different answers", None, "map_agrees_with_distance"),
    ("a mapping during an unbind survives", None, "unbind_among_mappings"),
    ("a function is refused memory of its own", None, "map_own_memory"),
    ("functions of a device are direct without a check", None, "route_between_functions"),
    ("a port that did not answer counts until reboot", None, "map_after_silence"),
    ("a find among equals picks at random", None, "find_is_deterministic"),
    ("a second registration that fails removes the file of the first", None, "unwind_second"),
)


# The other way round: what stock allows, or does with fewer instructions ("make bench").
COSTS = (
    "mappings of tasks without CAP_SYS_RESOURCE leave p2pmem/reserve to drivers",
    "a mapping is cleared and uncached, so that mmap() and loads of the CPU take longer",
    "a contiguous run of 1 MiB takes more instructions, as no index of long runs exists",
    "a scatterlist takes at least 512 bytes of memory while the list lives",
)


def _verdicts(kernel, names):
    """Return a map from the names of the cases to the results on a kernel."""
    return {result.name: result for result in runner.run(kernel, names) if result.name in names}


def _row(defect, case, words, stock, ours):
    """Return a row of the table, and whether the row is as expected."""
    if not case:
        return f"  -         -      {defect}; test: {words}", True
    red = stock[case].verdict == "failed" and re.search(words, stock[case].why)
    green = ours[case].verdict == "ok"
    shown = "shown" if red else "NOT SHOWN"
    return f"  {shown:9} {'ok' if green else 'FAILED':6} {defect}", bool(red and green)


def run(_arguments):
    names = [case for _, case, _ in DEFECTS if case]
    stock = _verdicts(build.kernel(BUILD / "kernel-stock"), names)
    ours = _verdicts(build.kernel(BUILD / "kernel"), names)
    rows = [_row(*defect, stock, ours) for defect in DEFECTS]
    print("\n  stock     ours   defect")
    print("\n".join(text for text, _ in rows))
    print("\n  Stricter or slower than stock, on purpose:")
    print("".join(f"  - {each}\n" for each in COSTS))
    bad = sum(not good for _, good in rows)
    print(f"rig: {len(names)} of {len(DEFECTS)} defects were tried, {bad} not as expected")
    return 1 if bad else 0
