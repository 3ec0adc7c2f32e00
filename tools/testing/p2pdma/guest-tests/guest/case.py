# SPDX-License-Identifier: GPL-2.0
"""The decorator for test cases, and the object that a case gets as argument.

The host imports all files with cases for the list of cases. The guest imports a file to run a
case.
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


def case(topology="switch", seconds=180, short=False, modules=(), selftests=False,
         debug=True, may_log=()):
    """Register a function as a case with the name of the function.

    TOPOLOGY   name of the machine for the case; "a b" registers the case for both machines
    SECONDS    time limit, after which the case counts as hung
    SHORT      the case is part of the short pass on the plain kernel
    MODULES    names of the test modules that the case loads
    SELFTESTS  the case needs the kselftest programs
    DEBUG      the case also runs on debug kernels
    MAY_LOG    regular expressions of expected kernel messages that look like a splat
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
    """A check of the case failed."""


class Skipped(Exception):
    """The case cannot run here, for the given reason."""


class Test:
    """The argument of a case: checks, services of the host, the kernel log, and cleanup."""

    def __init__(self, host, facts):
        self._host = host
        self._facts = facts
        self._undo = contextlib.ExitStack()
        self._log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._log, 0, os.SEEK_END)
        self._seen = []
        self.notes = []
        self.subtests = []

    def check(self, condition, what):
        if not condition:
            raise Failed(what)

    def equal(self, got, wanted, what):
        if got != wanted:
            raise Failed(f"{what}: got {_short(got)}, wanted {_short(wanted)}")

    def refused(self, number, function, *args, **kwargs):
        """FUNCTION must fail with errno NUMBER. A tuple allows several numbers."""
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
        """Fail without cleanup, because cleanup could wait for a task that hangs."""
        self._undo.pop_all()
        raise Failed(why)

    def skip(self, why):
        raise Skipped(why)

    def note(self, text):
        self.notes.append(text)

    def host(self, service, **arguments):
        return self._host.call(service, arguments)

    def module(self, name):
        return self._facts["modules"][name]

    @property
    def rounds(self):
        """The rounds of a case that runs in rounds. SECONDS is the limit for a round."""
        return range(1, (self._facts["rounds"] or 1) + 1)

    @property
    def selftests(self):
        return self._facts["selftests"]

    def later(self, function, *args, **kwargs):
        """Run FUNCTION at the end of the case, also after a failure, in reverse order."""
        self._undo.callback(function, *args, **kwargs)

    def enter(self, context):
        return self._undo.enter_context(context)

    def kernel_log(self):
        """Return the messages of the kernel since the start of the case."""
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    record = os.read(self._log, 1 << 16)
                except BrokenPipeError:  # the record was overwritten: read the next record
                    continue
                self._seen.append(record.split(b";", 1)[1].split(b"\n")[0].decode())
        return self._seen

    def logged(self, text):
        return any(text in line for line in self.kernel_log())

    def run(self, function):
        """Run a case. Return the result as a message for the host."""
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
