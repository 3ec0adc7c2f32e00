# SPDX-License-Identifier: GPL-2.0
"""Allocations that are made to fail, one after the other."""
import os
import pathlib


class Injection:
    """Fault injection: let the Nth allocation of a call fail, for each possible N.

    SLAB tells slab allocations from allocations of pages.
    """

    def __init__(self, test, slab=True):
        if not os.path.exists("/proc/self/fail-nth"):
            test.skip("this kernel has no fault injection")
        self._aim(test, slab)
        self._nth = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
        test.later(os.close, self._nth)

    @staticmethod
    def _aim(test, slab):
        """Let all allocations of a kind fail without a log message, and none of the other kind."""
        debug = pathlib.Path("/sys/kernel/debug")
        test.check((debug / "failslab").exists(), "fault injection without failslab")
        for name, value in (("failslab/ignore-gfp-wait", "0"), ("failslab/verbose", "0"),
                            # With the filter, caches without the mark never fail, and none has it.
                            ("failslab/cache-filter", "0" if slab else "1"),
                            ("fail_page_alloc/ignore-gfp-wait", "0"),
                            ("fail_page_alloc/ignore-gfp-highmem", "0"),
                            ("fail_page_alloc/verbose", "0"),
                            ("fail_page_alloc/min-order", "32" if slab else "0")):
            file = debug / name
            if file.exists():
                test.later(file.write_text, file.read_text())
                file.write_text(value)

    def call(self, point, function, *args):
        """Call FUNCTION, and let allocation POINT fail. Return (failed, OSError or None)."""
        error = None
        os.pwrite(self._nth, str(point).encode(), 0)
        try:
            function(*args)
        except OSError as caught:
            error = caught
        # The count is zero if the allocation failed.
        left = int(os.pread(self._nth, 32, 0).split(b"\0")[0])
        os.pwrite(self._nth, b"0", 0)
        return not left, error

    def each(self, test, attempt):
        """Call attempt(point) for 1, 2, ... until no allocation fails."""
        for point in range(1, 1000):
            if not attempt(point):
                test.note(f"{point - 1} allocations were made to fail")
                return point - 1
        raise RuntimeError("a call that allocates for ever")
