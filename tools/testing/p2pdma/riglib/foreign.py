# SPDX-License-Identifier: GPL-2.0
"""Run the kselftests in guests that cannot run the programs of the host.

The programs are static, in an initramfs with the first process guest-tests/guest/init.c. The
output comes through the kernel log.
"""
import collections
import re

from . import build, ktap, splat, topology as topologies
from .paths import BUILD, RESULTS, RigError
from .qemu import BOOT_SECONDS, Guest, GuestGone

SECONDS = 600           # of the programs in a boot

# The machine; names and environment of the programs; by program a text that has to be in the output
Boot = collections.namedtuple("Boot", "topology programs environment says")

# Drives get their names in any order, so each drive may be overwritten.
BOOTS = (
    Boot("switch", ("p2pdma_files", "p2pmem_mmap", "p2pmem_longterm", "p2pmem_dmabuf", "p2pmem_dio",
                    "p2pmem_shared", "p2pmem_storm", "p2pmem_unbind"),
         {"P2PMEM_PROVIDER": "0000:03:00.0", "P2PMEM_SCRATCH": "/dev/nvme0n1",
          "P2PMEM_UNBIND": "nvme"},
         {"p2pmem_dio": "3 disks reached the memory, 0 were refused"}),
    # Nothing is known of the host bridge. Only the provider reaches the provider's own memory.
    Boot("intel-root-ports", ("p2pdma_files", "p2pmem_dio"), {},
         {"p2pmem_dio": "1 disks reached the memory, 2 were refused"}),
)


def run(arguments):
    kernel = build.kernel(arguments.kernel or BUILD / "kernel-arm64")
    known = build.selftest_names()
    for name in set(arguments.names) - set(known):
        raise RigError(f"no selftest '{name}'; there are: {', '.join(known)}")
    results = []
    for boot in BOOTS:
        chosen = [name for name in boot.programs if not arguments.names or name in arguments.names]
        if chosen:
            results += _boot(kernel, boot, chosen)
    passed, failed, skipped = (sum(each.count(verdict) for each in results)
                               for verdict in ("ok", "failed", "skipped"))
    print(f"rig: {passed} passed, {failed} failed, {skipped} skipped; results are in {RESULTS}")
    return 0 if passed and not failed else 1


def _boot(kernel, boot, chosen):
    """Run programs in a boot. Print, write and return the results."""
    title = f"{kernel.name}.{boot.topology}"
    RESULTS.mkdir(parents=True, exist_ok=True)
    console = RESULTS / f"rig-{title}.log"
    environment = [f"{name}={value}" for name, value in boot.environment.items()]
    print(f"{boot.topology} on {kernel.name}; the console goes to {console}", flush=True)
    why = ""
    with Guest(topologies.load(boot.topology), kernel, "programs", console, environment,
               programs=chosen) as guest:
        try:
            guest.wait_console("rig: begin ", 0, BOOT_SECONDS)
            guest.wait_console("rig: the boot is complete", 0, SECONDS)
            guest.wait_end(60)
        except GuestGone as gone:
            why = str(gone)
        lines = guest.console
    results = [judge(boot, name, [splat.strip(line) for line in lines]) for name in chosen]
    results.append(_judge_log(kernel, lines, why))
    ktap.write(RESULTS / f"rig-{title}.ktap", title, results)
    for each in results:
        _show(each)
    return results


def judge(boot, name, lines):
    """Return the result of a program from the lines of the console."""
    output, status = _output(name, lines)
    if status is None:
        return ktap.Result(name, "failed", "the program did not end")
    subtests = [ktap.Result(*each) for each in ktap.parse_flat("\n".join(output))]
    problems = [] if status == "with status 0" else [f"the program ended {status}"]
    if not subtests:
        problems.append("the program reported nothing")
    # The machine has all that the programs need.
    problems += [f"{each.name} was skipped" for each in subtests if each.verdict == "skipped"]
    wanted = boot.says.get(name, "")
    if not any(wanted in line for line in output):
        problems.append(f"the program did not say '{wanted}'")
    if problems:
        subtests.append(ktap.Result("the_program", "failed", "\n".join([*problems, *output[-8:]])))
    good = all(each.good for each in subtests)
    return ktap.Result(name, "ok" if good else "failed", subtests=subtests)


def _output(name, lines):
    """Return the lines of a program, and the words about the end; None without an end."""
    begin = f"rig: begin {name}"
    if begin not in lines:
        return [], None
    output = []
    for line in lines[lines.index(begin) + 1:]:
        if match := re.fullmatch(rf"rig: end {name} (.*)", line):
            return output, match[1]
        output.append(line)
    return output, None


def _judge_log(kernel, lines, why):
    """Return the result of the kernel log, as a case."""
    problems = ([why] if why else []) + splat.decode(splat.find(lines), kernel)
    if build.has_option(kernel, "CONFIG_PROVE_LOCKING") and not any(
            splat.strip(line).split() == ["debug_locks:", "1"] for line in lines):
        problems.append("the lock checker had switched itself off")
    return ktap.Result("kernel_log", "failed" if problems else "ok", "\n".join(problems))


def _show(result):
    print(f"  {'ok' if result.good else 'FAILED':7} {result.name}", flush=True)
    for each in [result, *result.subtests]:
        for line in each.why.splitlines() if not each.good else ():
            print(f"        | {each.name}: {line}")
