# SPDX-License-Identifier: GPL-2.0
"""A test case: a function with a few facts about it, and the object it is given.

The host imports the files with cases to learn which there are; the guest imports one to run it.
"""
import contextlib
import dataclasses
import errno
import os
import traceback


@dataclasses.dataclass
class Case:
    name: str
    function: object
    file: str
    topology: str
    seconds: int
    short: bool
    modules: tuple
    selftests: bool
    debug: bool
    may_log: tuple


CASES = {}


def case(topology="switch", seconds=90, short=False, modules=(), selftests=False,
         debug=True, may_log=()):
    """Register a function as the case of its name.

    TOPOLOGY   name of the machine it wants; "a b" registers it for two
    SECONDS    how long it may take before it counts as hung
    SHORT      also part of the short pass on the plain kernel
    MODULES    names of the test modules that it loads
    SELFTESTS  needs the kselftest programs
    DEBUG      runs on debug kernels as well
    MAY_LOG    regular expressions of kernel messages that look like a splat and are wanted
    """
    def register(function):
        several = topology.split()
        for name in several:
            tag = function.__name__ + (f"_{name.replace('-', '_')}" if len(several) > 1 else "")
            if tag in CASES:
                raise ValueError(f"two cases are called {tag}")
            CASES[tag] = Case(tag, function, function.__module__, name, seconds, short,
                              tuple(modules), selftests, debug, tuple(may_log))
        return function
    return register


class Failed(Exception):
    """The case found something that is not as it has to be."""


class Skipped(Exception):
    """The case cannot say anything here, and knows why."""


class Test:
    """Given to every case: checks, the host's services, the kernel log, and what to undo."""

    def __init__(self, host, facts):
        self._host = host
        self._facts = facts
        self._undo = contextlib.ExitStack()
        self._log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._log, 0, os.SEEK_END)
        self._seen = []
        self.notes = []
        self.subtests = []

    # -- checks -------------------------------------------------------------------------------

    def check(self, condition, what):
        if not condition:
            raise Failed(what)

    def equal(self, got, wanted, what):
        if got != wanted:
            raise Failed(f"{what}: got {_short(got)}, wanted {_short(wanted)}")

    def refused(self, number, function, *args, **kwargs):
        """FUNCTION must fail with errno NUMBER (or one of several)."""
        numbers = number if isinstance(number, tuple) else (number,)
        wanted = " or ".join(errno.errorcode[each] for each in numbers)
        try:
            function(*args, **kwargs)
        except OSError as error:
            if error.errno not in numbers:
                raise Failed(f"{error}: refused with {errno.errorcode.get(error.errno)}, "
                             f"wanted {wanted}") from error
            return error
        raise Failed(f"accepted what {wanted} should refuse")

    def give_up(self, why):
        """Fail without undoing anything: a task that hangs would hold up the undoing as well."""
        self._undo.pop_all()
        raise Failed(why)

    def skip(self, why):
        raise Skipped(why)

    def note(self, text):
        self.notes.append(text)

    # -- services -----------------------------------------------------------------------------

    def host(self, service, **arguments):
        return self._host.call(service, arguments)

    def module(self, name):
        return self._facts["modules"][name]

    @property
    def rounds(self):
        """How often a case that goes in rounds is to go through them; SECONDS is for one."""
        return range(1, (self._facts["rounds"] or 1) + 1)

    @property
    def selftests(self):
        return self._facts["selftests"]

    def later(self, function, *args, **kwargs):
        """Run FUNCTION when the case ends, however it ends; last come, first served."""
        self._undo.callback(function, *args, **kwargs)

    def enter(self, context):
        return self._undo.enter_context(context)

    def kernel_log(self):
        """The kernel's messages since the case began."""
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    record = os.read(self._log, 1 << 16)
                except BrokenPipeError:  # overwritten before it was read: go on with the next
                    continue
                self._seen.append(record.split(b";", 1)[1].split(b"\n")[0].decode())
        return self._seen

    def logged(self, text):
        return any(text in line for line in self.kernel_log())

    # -- running ------------------------------------------------------------------------------

    def run(self, function):
        """Run a case; the verdict as the host wants to hear it."""
        verdict, why = "ok", ""
        try:
            with self._undo:
                function(self)
        except (Failed, TimeoutError) as failure:
            verdict, why = "failed", str(failure)
        except Skipped as skipped:
            verdict, why = "skipped", str(skipped)
        except Exception:
            verdict, why = "failed", traceback.format_exc()
        return {"verdict": verdict, "why": why, "notes": self.notes, "subtests": self.subtests}


def _short(value):
    text = repr(value)
    return text if len(text) < 200 else text[:90] + " ... " + text[-90:]
