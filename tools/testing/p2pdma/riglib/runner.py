# SPDX-License-Identifier: GPL-2.0
"""Runs guest tests: the cases of one topology share a boot, until one of them spoils it."""
import collections
import importlib
import os
import re
import sys
import time

from guest import case as registry

from . import build, coverage, ktap, splat, topology as topologies, trace
from .paths import RESULTS, TESTS, RigError
from .qemu import BOOT_SECONDS, Guest, GuestGone

# A case has this much longer here than in the guest, where its hanging is explained better.
GRACE_SECONDS = 60
EMULATOR_FAILED = re.compile(r"^QEMU ended with status -6\b.*qemu-system-\S+: .*Assertion", re.S)


def cases():
    """Every case by name, in the order of files and of cases in them."""
    for path in sorted(TESTS.glob("[a-z]*.py")):
        importlib.import_module(path.stem)
    return registry.CASES


def select(wanted, short, debug=False):
    """Cases by name, file or topology; all that suit the kernel when nothing is named."""
    every = cases()
    groups = collections.defaultdict(list)
    files = {case.file for case in every.values()}
    known = set(every) | files | set(topologies.names())
    for name in wanted:
        if name not in known:
            raise RigError(f"no test, file or topology '{name}'; 'rig list' shows them all:\n  "
                           + "\n  ".join(sorted(known)))
    for case in every.values():
        named = {case.file, case.topology} & set(wanted)
        suits = (case.short or not short) and (case.debug or not debug)
        if case.name in wanted or suits and (named or not wanted):
            groups[case.topology].append(case)
    return groups


def late():
    """Is the time over that riglib/everything.py has?"""
    return time.time() > float(os.environ.get("P2PDMA_DEADLINE", "inf"))


class Boot:
    """The cases of one topology on one kernel; several boots if one of them is spoilt."""

    def __init__(self, kernel, topology, selected, rounds=None):
        self.kernel = kernel
        self.topology = topologies.load(topology)
        self.pending = collections.deque(selected)
        self.rounds = rounds
        self.title = f"{kernel.name}.{topology}"
        self.results = []
        self.boots = 0
        self.repeated = False

    def run(self):
        while self.pending and not late():
            try:
                self._boot()
            except (GuestGone, RigError) as error:
                if EMULATOR_FAILED.search(str(error)) and not self.repeated:
                    # Once: QEMU 7.2 rarely dies of an assertion of its own while BARs are sized.
                    print(f"  the emulator died, so boot again: {error}", flush=True)
                    self.repeated = True
                    continue
                self._add(ktap.Result(f"boot_{self.boots}", "failed", str(error)))
                self._drop("failed", f"not run, as boot {self.boots} failed")
        self._drop("skipped", "no time is left, see P2PDMA_MINUTES")
        ktap.write(RESULTS / f"rig-{self.title}.ktap", self.title, self.results)
        return self.results

    def _add(self, result):
        self.results.append(result)
        word = {"ok": "ok", "failed": "FAILED", "skipped": "skipped"}[result.verdict]
        print(f"  {word:7} {result.name}  {result.seconds:.1f} s"
              + (f"  ({result.why.splitlines()[0]})" if result.verdict == "skipped" else ""),
              flush=True)
        for line in result.notes:
            print(f"          {line}")
        if result.verdict == "failed":
            for line in result.why.splitlines():
                print(f"        | {line}")
        for each in result.subtests:
            if not each.good:
                print(f"        | {each.name}: {each.why}")

    def _drop(self, verdict, why):
        while self.pending:
            self._add(ktap.Result(self.pending.popleft().name, verdict, why))

    def _boot(self):
        self.boots += 1
        console = RESULTS / f"rig-{self.title}-{self.boots}.log"
        RESULTS.mkdir(parents=True, exist_ok=True)
        print(f"{self.topology.name} on {self.kernel.name}, boot {self.boots}: "
              f"{self.topology.summary}", flush=True)
        started = time.monotonic()
        with Guest(self.topology, self.kernel, console=console) as guest:
            release = guest.receive(BOOT_SECONDS, "sign of the guest's agent")["ready"]
            found = splat.decode(splat.find(guest.console), self.kernel)
            if found:
                raise GuestGone("the kernel complained while it booted:\n" + "\n".join(found))
            guest.send({"do": "prepare", "hung_seconds": 45})
            print(f"  booted {release} in {time.monotonic() - started:.1f} s", flush=True)
            while self.pending and not late():
                if not self._case(guest, self.pending.popleft()):
                    # Of a kernel that counts, the counters of this boot are good.
                    self._collect(guest)
                    return
            self._inspect(guest)

    def _collect(self, guest):
        coverage.collect(guest, self.kernel, f"{self.topology.name}-{self.boots}")

    def _case(self, guest, case):
        """Run one case; False if what comes after it had better have a fresh boot."""
        started = time.monotonic()
        console = len(guest.console)
        alive = True
        try:
            result = run_case(guest, self.kernel, case, Services(guest, self.rounds))
        except GuestGone as gone:
            alive = False
            result = ktap.Result(case.name, "failed", "\n".join(
                [str(gone)] + [splat.strip(line) for line in guest.console[-30:]]))
        except RigError as error:       # a module or selftest that does not build
            result = ktap.Result(case.name, "failed", str(error))
        blame(result, splat.decode(splat.find(guest.console[console:], case.may_log),
                                   self.kernel))
        result.seconds = time.monotonic() - started
        self._add(result)
        return alive and result.good

    def _inspect(self, guest):
        """What can be said only at the end of a boot: leaks, and whether lockdep still looked."""
        started = time.monotonic()
        console = len(guest.console)
        guest.send({"do": "inspect"})
        answer = guest.receive(240, "end of the leak scan")["inspected"]
        self._collect(guest)
        guest.send({"do": "end"})
        ended = guest.wait_end(60)
        result = ktap.Result("end_of_boot", "ok", seconds=time.monotonic() - started)
        problems = []
        if leaks := splat.unknown_leaks(answer["leaks"]):
            problems += ["memory was leaked:", *splat.decode(leaks.splitlines(), self.kernel)]
        problems += [f"the {name} was off" for name in answer["off"]]
        if not ended:
            problems.append("the guest did not come down")
        # The leak scan itself reports through the log what is in the list above.
        found = splat.find(guest.console[console:], [r"kmemleak: \d+ new suspected"]
                           if answer["leaks"] else ())
        if found:
            problems.append("\n".join(["the kernel complained:",
                                       *splat.decode(found, self.kernel)]))
        if problems:
            result.verdict, result.why = "failed", "\n".join(problems)
        self._add(result)


def blame(result, found):
    """A case that made the kernel complain has failed, whatever it thinks itself."""
    if not found:
        return
    result.verdict = "failed"
    result.why = "\n".join(filter(None, [result.why, "the kernel complained:", *found]))
    if result.subtests:
        result.subtests.append(ktap.Result("kernel_log", "failed", result.why))


def run_case(guest, kernel, case, services):
    """Have the guest run CASE, with SERVICES at its call; the Result."""
    console = len(guest.console)
    seconds = case.seconds * (services.rounds or 1)
    guest.send({"do": "case", "name": case.name, "file": case.file, "seconds": seconds,
                "rounds": services.rounds,
                "modules": {name: str(build.module(kernel, name)) for name in case.modules},
                "selftests": str(build.selftests(kernel)) if case.selftests else None})
    result = None
    while True:
        message = guest.receive(seconds + GRACE_SECONDS, f"end of {case.name}")
        if "call" in message:
            guest.send(services.answer(message))
        elif "result" in message:
            result = ktap.from_guest(case.name, message["result"])
        elif "finished" in message:
            break
    # The log may lag behind the answer: what belongs to the case ends with its mark.
    guest.wait_console(f"rig: end {case.name}", console)
    if result is None:
        return ktap.Result(case.name, "failed", "the case ended without a verdict")
    known = splat.without_known(guest.console[console:]) != guest.console[console:]
    if message["tainted"] and not case.may_log and not known:
        result.verdict = "failed"
        result.why += "\nthe kernel is tainted by a warning or worse"
    return result


class Services:
    """What a case may ask of the host."""

    def __init__(self, guest, rounds=None):
        self.guest = guest
        self.rounds = rounds
        self.trace_start = 0

    def answer(self, message):
        try:
            service = getattr(self, "do_" + message["call"])
            return {"value": service(**message["arguments"])}
        except (AttributeError, TypeError, RigError) as error:
            return {"error": str(error)}

    def do_trace_begin(self):
        self.trace_start = self.guest.trace_size()
        self.guest.trace(True)

    def do_trace_end(self, bar):
        self.guest.trace(False)
        lines = trace.window(self.guest.trace_path, self.trace_start, self.guest.trace_size())
        return trace.parse(lines, bar).summary()

    def do_trace_drives(self, bar, pages):
        """By namespace: what each drive mastered since trace_begin."""
        self.guest.trace(False)
        lines = trace.window(self.guest.trace_path, self.trace_start, self.guest.trace_size())
        return trace.by_namespace(lines, bar, pages)

    def do_device_add(self, name):
        self.guest.device_add(name)

    def do_device_del(self, name):
        self.guest.device_del(name)

    def do_throttle(self, name, bytes_per_second):
        self.guest.throttle(name, bytes_per_second)


def run(kernel, wanted, short=False, rounds=None):
    """Run the selected cases on one kernel, those that go in rounds ROUNDS times; every Result."""
    results = []
    for topology, selected in sorted(select(wanted, short, build.is_debug(kernel)).items()):
        results += Boot(kernel, topology, selected, rounds).run()
    if not results:
        print(f"nothing to run on {kernel.name}", file=sys.stderr)
    return results
