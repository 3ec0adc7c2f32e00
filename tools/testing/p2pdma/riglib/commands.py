# SPDX-License-Identifier: GPL-2.0
"""The rig's subcommands."""
import contextlib
import shutil
import subprocess
import sys
import time

from . import build, ktap, runner, selfcheck, splat, topology as topologies
from .paths import BUILD, GDB, RESULTS, RigError
from .qemu import BOOT_SECONDS, Guest, GuestGone

KUNIT_SECONDS = 1800


def _kernel(given, default):
    return build.kernel(given or BUILD / default)


def guest(arguments):
    runner.select(arguments.names, False)      # a wrong name is told before anything is done
    passes = [(build.kernel(given), arguments.short) for given in arguments.kernel or ()]
    if not passes:
        passes = [(_kernel(None, "kernel-debug"), arguments.short),
                  (_kernel(None, "kernel"), True)]
    if not arguments.names:
        # Another run may be busy beside this one with another kernel.
        for each, _short in passes:
            _forget(f"rig-{each.name}.*")
    started = time.monotonic()
    results = selfcheck.run()
    ktap.write(RESULTS / "rig-itself.ktap", "rig-itself", results)
    print(f"the rig itself: {sum(each.good for each in results)} of {len(results)} checks hold")
    for kernel, short in passes:
        results += runner.run(kernel, arguments.names, short, arguments.rounds)
    passed, failed, skipped = (sum(each.count(verdict) for each in results)
                               for verdict in ("ok", "failed", "skipped"))
    print(f"rig: {passed} passed, {failed} failed, {skipped} skipped "
          f"in {time.monotonic() - started:.0f} s; results are in {RESULTS}")
    for each in results:
        if not each.good:
            print(f"rig: FAILED {each.name}")
    return 0 if results and not failed and all(each.good for each in results) else 1


def _forget(pattern):
    for path in RESULTS.glob(pattern):
        path.unlink()


def kunit(arguments):
    """Boot with the built-in suites; the console becomes KTAP, the log a case of its own."""
    kernel = _kernel(arguments.kernel, "kernel-debug")
    if not build.has_option(kernel, "CONFIG_KUNIT"):
        raise RigError(f"{kernel.name} has no KUnit built in")
    RESULTS.mkdir(parents=True, exist_ok=True)
    _forget("kunit*")
    append = ["kunit.enable=1"]
    if not arguments.all:
        append.append("kunit.filter=speed>very_slow")
    if arguments.glob:
        append.append(f"kunit.filter_glob={arguments.glob}")
    why = ""
    print(f"KUnit on {kernel.name}; the console goes to {RESULTS / 'kunit.log'}", flush=True)
    with Guest(topologies.load("kunit"), kernel, "kunit", RESULTS / "kunit.log", append) as guest:
        try:
            _watch_kunit(guest)
        except GuestGone as gone:
            why = str(gone)
        lines = guest.console
    return _judge_kunit(kernel, lines, why, arguments.glob)


def _watch_kunit(guest):
    """Show the suites as they finish; the loop ends with the guest."""
    shown = 0
    deadline = time.monotonic() + KUNIT_SECONDS
    while not any("rig: the boot is complete" in line for line in guest.console[shown:]):
        for line in guest.console[shown:]:
            text = splat.strip(line)
            if text.startswith(("ok ", "not ok ")):
                print(f"  {text}", flush=True)
        shown = len(guest.console)
        guest.wait(lambda: len(guest.console) > shown, deadline - time.monotonic(),
                   "more from the console")
    guest.wait_end(60)


def _judge_kunit(kernel, lines, why, glob=None):
    """Write both result files from the console's LINES; the exit status."""
    stripped = [splat.strip(line) for line in lines]
    start = next((i for i, line in enumerate(stripped) if line == "KTAP version 1"), None)
    if start is None:
        raise RigError("no KUnit suite ran: the console has no KTAP. " + why)
    suites = sum(line.startswith(("ok ", "not ok ")) for line in stripped[start:])
    if not suites:
        raise RigError(f"no KUnit suite has a name like '{glob}'. {why}".rstrip() if glob else
                       f"no KUnit suite ran to the end. {why}")
    (RESULTS / "kunit.ktap").write_text("\n".join(stripped[start:]) + "\n")
    problems = [why] if why else []
    problems += splat.decode(splat.find(lines), kernel)
    if "debug_locks:" in " ".join(stripped) and not any(
            line.split() == ["debug_locks:", "1"] for line in stripped):
        problems.append("the lock checker had switched itself off")
    log = ktap.Result("kernel_log", "failed" if problems else "ok", "\n".join(problems))
    ktap.write(RESULTS / "kunit-log.ktap", "kunit.log", [log])
    bad = [line for line in stripped[start:] if line.lstrip().startswith("not ok ")]
    for line in bad + problems:
        print(f"  {line}")
    print(f"rig: KUnit {'failed' if bad or problems else 'passed'}, suites: {suites}")
    return 1 if bad or problems else 0


def demo(arguments):
    from . import demo as show
    return show.run(_kernel(arguments.kernel, "kernel"))


def shell(arguments):
    kernel = _kernel(arguments.kernel, "kernel-debug" if arguments.gdb else "kernel")
    loaded = topologies.load(arguments.topology)
    guest = Guest(loaded, kernel, "shell", gdb=_symbols(kernel) and GDB if arguments.gdb else None)
    if arguments.gdb:
        print("The guest waits for 'rig gdb' in another terminal.", flush=True)
    return guest.interactive()


def _symbols(kernel):
    if not build.has_option(kernel, "CONFIG_DEBUG_INFO"):
        raise RigError(f"{kernel.name} has no debug information; build/kernel-debug has")
    return True


def gdb(arguments):
    """Connect a debugger to the guest of 'rig shell --gdb'. Return the exit status of gdb."""
    kernel = _kernel(arguments.kernel, "kernel-debug")
    program = shutil.which("gdb")
    if not program:
        raise RigError("gdb is not here; install the package gdb")
    if not GDB.is_socket():
        raise RigError("no guest waits for a debugger; start 'rig shell --gdb TOPOLOGY' first")
    _symbols(kernel)
    return subprocess.call([program, "-iex", f"add-auto-load-safe-path {kernel}",
                            "-iex", f"add-auto-load-safe-path {build.source_tree(kernel)}",
                            "-ex", f"target remote {GDB}", *arguments.words, kernel / "vmlinux"])


def run(arguments):
    command = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not command:
        raise RigError("run: no command given after the topology")
    kernel = _kernel(arguments.kernel, "kernel")
    loaded = topologies.load(arguments.topology)
    console = RESULTS / "run.log"
    RESULTS.mkdir(parents=True, exist_ok=True)
    with Guest(loaded, kernel, console=console) as guest:
        try:
            guest.receive(BOOT_SECONDS, "sign of the guest's agent")
            guest.send({"do": "command", "command": command})
            while True:
                message = guest.receive(3600)
                if "status" in message:
                    break
                print(message["output"], end="", flush=True)
            with contextlib.suppress(GuestGone):
                guest.send({"do": "end"})
                guest.wait_end(30)
        except GuestGone as gone:
            raise RigError(f"{gone}; the console is in {console}") from gone
        found = splat.decode(splat.find(guest.console), kernel)
    if found:
        print("rig: the kernel complained:", *found, sep="\n", file=sys.stderr)
    return message["status"] or (1 if found else 0)


def show_list(_arguments):
    print("Topologies")
    for name in topologies.names():
        print(f"  {name:18} {topologies.load(name).summary}")
    print("Tests (* also in the short pass)")
    for name, case in runner.cases().items():
        mark, file = "*" if case.short else " ", f"guest-tests/{case.file}.py"
        print(f"  {name:46}{mark} {case.topology:18} {file}")
    print("Modules\n  " + "\n  ".join(build.module_names()))
    return 0
