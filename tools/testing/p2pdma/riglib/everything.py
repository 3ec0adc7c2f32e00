#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Run every test, read all KTAP with the kernel's own parser, and sum up.

The last line is "N passed, N failed, N skipped"; the exit status is 0 only if
nothing failed.  A stage that dies, leaves no result or runs no case has failed,
and so has what could not run because of it.  Two stages run side by side, since
most stages keep only one CPU busy; each line of output names its stage.

P2PDMA_MINUTES=N limits the time of the guest tests: a test that would begin later than N minutes
after the first stage is skipped.
"""

import argparse
import collections
import concurrent.futures
import importlib
import io
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parents[1]
ROOT = HERE.parents[2]
BUILD = pathlib.Path(os.environ.get("P2PDMA_BUILD", ROOT / "build")).resolve()
RESULTS = BUILD / "results"

LANES = 2

# name: of the stage; command: to run; needs: stages that must have succeeded before;
# result: pattern of the KTAP files of the stage, None where the exit status is the result.
Stage = collections.namedtuple("Stage", "name command needs result")
Count = collections.namedtuple("Count", "passed failed skipped")


def kept(result, *command):
    """Return a command that shows the KTAP of another one and keeps it as a result."""
    return ["bash", "-c", 'set -o pipefail; "$@" | tee "$0"', RESULTS / result, *command]


def stages(kdir):
    """Return the stages in the order in which they run."""
    route = ["make", "-s", "-C", HERE / "unit/route"]
    pool = ["make", "-s", "-C", HERE / "unit/pool"]
    build = [HERE / "rig", "build"] + (["--kdir", kdir] if kdir else [])
    rig = [HERE / "rig", "guest"]
    return [
        Stage("build-tree", build + ["linux"], [], None),
        Stage("build-kernel-debug", build + ["kernel-debug"], ["build-tree"], None),
        # What takes seconds comes before what takes minutes, so that an error is told early.
        Stage("route", kept("route.ktap", *route, "test"), [], "route.ktap"),
        Stage("mutants", kept("mutants.ktap", *route, "mutants"), [], "mutants.ktap"),
        Stage("pool", kept("pool.ktap", *pool, "test"), [], "pool.ktap"),
        Stage("model", kept("model.ktap", *pool, "spin"), [], "model.ktap"),
        Stage("build-tool", ["make", "-s", "-C", ROOT / "tools/pci/p2pdma"], [], None),
        Stage("tool", kept("tool.ktap", HERE / "unit/tool/run"), ["build-tool"], "tool.ktap"),
        Stage("check", [HERE / "rig", "check", "--output", RESULTS / "check.ktap"],
              ["build-tree"], "check.ktap"),
        Stage("frontdoor", [HERE / "unit/rig/frontdoor", "--output", RESULTS / "frontdoor.ktap"],
              ["build-tree"], "frontdoor.ktap"),
        Stage("integrate", [HERE / "unit/rig/integrate", "--output", RESULTS / "integrate.ktap"],
              ["build-tree"], "integrate.ktap"),
        Stage("build-kernel", build + ["kernel"], ["build-kernel-debug"], None),
        Stage("rig-debug", rig + ["--kernel", BUILD / "kernel-debug"],
              ["build-kernel-debug", "build-tool"], "rig-kernel-debug.*.ktap"),
        Stage("debugger", [HERE / "unit/rig/debugger", "--output", RESULTS / "debugger.ktap"],
              ["build-kernel-debug"], "debugger.ktap"),
        Stage("kunit", [HERE / "rig", "kunit"], ["build-kernel-debug"], "kunit*.ktap"),
        Stage("rig-plain", rig + ["--short", "--kernel", BUILD / "kernel"],
              ["build-kernel", "build-tool"], "rig-kernel.*.ktap"),
    ]


def foreign_stages(kdir, processor):
    """Return the stages for a processor other than the host's."""
    build = [HERE / "rig", "build"] + (["--kdir", kdir] if kdir else [])
    name = f"kernel-{processor}"
    there = ["--kernel", BUILD / name]
    return [
        Stage(f"build-{name}", build + [name], [], None),
        Stage("selftests", [HERE / "rig", "selftests", *there], [f"build-{name}"],
              f"rig-{name}.*.ktap"),
        Stage("kunit", [HERE / "rig", "kunit", *there], [f"build-{name}"], "kunit*.ktap"),
    ]


def say(text):
    """Say something about the run itself; output may be a pipe."""
    print(text, flush=True)


def run_stage(stage):
    """Run the command of a stage, show its output line by line; return its exit status."""
    say(f"=== {stage.name}: begins")
    start = time.monotonic()
    try:
        with subprocess.Popen(stage.command, cwd=ROOT, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace") as process:
            for line in process.stdout:
                say(f"{stage.name}: {line.rstrip()}")
        status = process.returncode
    except OSError as error:
        say(f"{stage.name}: {error.strerror}: {error.filename}")
        status = 127
    say(f"=== {stage.name}: status {status} after {time.monotonic() - start:.0f} s")
    return status


def load_parser():
    """Import the kernel's KTAP parser, and make it quiet."""
    sys.path.insert(0, str(BUILD / "stock" / "tools" / "testing" / "kunit"))
    sys.dont_write_bytecode = True
    parser = importlib.import_module("kunit_parser")
    printer = importlib.import_module("kunit_printer")
    parser.stdout = printer.Printer(io.StringIO())
    return parser


def failed_names(test, prefix=()):
    """Yield the full names of the cases that did not pass."""
    # The parser calls the whole file main, and a case that never reported nothing.
    path = prefix if test.name == "main" else (*prefix, test.name or "(never reported)")
    if test.subtests:
        for sub in test.subtests:
            yield from failed_names(sub, path)
    elif not test.ok_status():
        yield ".".join(path)


def read_ktap(parser, path):
    """Return the counts and the names of failed cases of one KTAP file."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    test = parser.parse_run_tests(lines)
    counts = test.counts
    failed, names = counts.failed + counts.crashed, list(failed_names(test))
    # Cases that a plan promised and that never reported, or lines that make no sense.
    if counts.errors and not failed:
        failed, names = counts.errors, names + [f"{counts.errors} errors in the KTAP itself"]
    if not counts.total():
        failed, names = max(failed, 1), ["no case was run"]
    return Count(counts.passed, failed, counts.skipped), names


def read_results(parser):
    """Return file name -> (counts, failed names) of every KTAP file there is."""
    return {path.name: read_ktap(parser, path) for path in sorted(RESULTS.glob("*.ktap"))}


def results_of(stage):
    """Return the names of the KTAP files that a stage has left."""
    return {path.name for path in RESULTS.glob(stage.result)} if stage.result else set()


def judge(stage, status):
    """Return what went wrong outside of any KTAP case of a stage that has ended, if anything.

    The value is (stage, reason, files): the files hold cases of that stage, so that a
    stage whose own cases say what failed is not counted twice.
    """
    files = results_of(stage)
    if stage.result and not files:
        return stage.name, "it left no result", files
    return (stage.name, f"status {status}", files) if status else None


def run_all(plan):
    """Run the stages, LANES at once, in the order of the plan; return all trouble."""
    waiting, running, ended, trouble = list(plan), {}, {}, []
    with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
        while waiting or running:
            for stage in list(waiting):
                broken = [need for need in stage.needs if ended.get(need)]
                if broken:
                    say(f"=== {stage.name}: not run, because {broken[0]} failed")
                    trouble.append((stage.name, f"not run: {broken[0]} failed", set()))
                    ended[stage.name] = 1
                elif len(running) < LANES and all(need in ended for need in stage.needs):
                    running[lanes.submit(run_stage, stage)] = stage
                else:
                    continue
                waiting.remove(stage)
            done, _ = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                stage = running.pop(future)
                ended[stage.name] = future.result()
                trouble += filter(None, [judge(stage, ended[stage.name])])
    return trouble


def total(results, trouble):
    """Print what failed, and the closing line; return whether all is well."""
    passed = sum(counts.passed for counts, _ in results.values())
    skipped = sum(counts.skipped for counts, _ in results.values())
    failed = 0
    say("")
    for name, (counts, names) in results.items():
        say(f"{name:32} {counts.passed:5} passed {counts.failed:4} failed "
            f"{counts.skipped:4} skipped")
        failed += counts.failed
        for case in names:
            say(f"  FAILED {case}")
    for stage, reason, files in trouble:
        if not any(results[name][0].failed for name in files if name in results):
            failed += 1
            say(f"  FAILED {stage}: {reason}")
    say(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed == 0 and passed > 0


def main():
    """Run everything; the exit status says whether it held."""
    arguments = argparse.ArgumentParser(description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kdir", metavar="DIR", help="take the kernel source from this tree")
    arguments.add_argument("--arch", choices=["arm64"],
                           help="the tests of a processor other than the host's")
    arguments.add_argument("stage", nargs="*", help="only these stages, without their needs")
    args = arguments.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    plan = foreign_stages(args.kdir, args.arch) if args.arch else stages(args.kdir)
    for name in set(args.stage) - {stage.name for stage in plan}:
        arguments.error(f"no stage '{name}'; there are: "
                        f"{' '.join(stage.name for stage in plan)}")
    if args.stage:
        plan = [stage._replace(needs=[]) for stage in plan if stage.name in args.stage]
    for old in RESULTS.glob("*.ktap"):
        old.unlink()
    if minutes := os.environ.get("P2PDMA_MINUTES"):
        os.environ["P2PDMA_DEADLINE"] = str(time.time() + 60 * float(minutes))
    trouble = run_all(plan)
    try:
        results = read_results(load_parser())
    except ImportError as error:
        results = {}
        trouble.append(("results", f"cannot be read: {error}", set()))
    sys.exit(0 if total(results, trouble) else 1)


if __name__ == "__main__":
    main()
