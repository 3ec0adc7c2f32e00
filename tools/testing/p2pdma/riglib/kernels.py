#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Make the kernel trees and kernels that everything else here runs on.

  rig build stock          the pristine source, in build/stock
  rig build linux          build/stock with this repository laid over it, in build/linux
  rig build kernel         build/linux, plain configuration, in build/kernel
  rig build kernel-debug   build/linux, plus the debug configuration, in build/kernel-debug
  rig build kernel-coverage  build/linux, with counters of lines and branches in our objects
  rig build kernel-kcsan   build/linux, plus the detector of data races, in build/kernel-kcsan
  rig build kernel-arm64   build/linux, small configuration for arm64, in build/kernel-arm64
  rig build kernel-stock   build/stock, plain configuration, in build/kernel-stock

Each step makes what it depends on first, and does again only what changed.  A KDIR= is
copied once, and again when its path, version or commit is another one.
"""

import argparse
import collections
import fcntl
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from riglib.processors import ARM64  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parents[1]
ROOT = HERE.parents[2]
BUILD = pathlib.Path(os.environ.get("P2PDMA_BUILD", ROOT / "build")).resolve()
CONFIG = HERE / "kconfig"
TARBALL = pathlib.Path("/usr/src/linux-source-6.12.tar.xz")
FRAGMENTS = {
    "kernel": ["base.config"],
    "kernel-debug": ["base.config", "debug.config"],
    "kernel-coverage": ["base.config", "coverage.config"],
    "kernel-kcsan": ["base.config", "kcsan.config"],
    "kernel-arm64": ["small.config", "arm64.config"],
    "kernel-stock": ["base.config"],
}

# Words for make, of kernels for processors other than the host's
MAKE = {"kernel-arm64": ARM64.make}

STOCK_LACKS = ("CONFIG_PCI_P2PDMA_KUNIT_TEST", "CONFIG_PCI_P2PMEM", "CONFIG_PCI_P2PDMA_DMABUF")


class BuildError(Exception):
    """A step that failed, in words for the user."""


def say(text):
    """Say what happens now; output may be a pipe."""
    print(text, flush=True)


def lock():
    """Keep out other builds of this repository until this process ends."""
    BUILD.mkdir(parents=True, exist_ok=True)
    handle = open(BUILD / ".lock", "w", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another build is running here: waiting for it to finish")
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def clean_env():
    """Return the environment without what an outer make passes down.

    Its KDIR=, M= or job server would change the kernel's own make.
    """
    drop = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "KDIR", "M", "O", "ARCH",
            "CROSS_COMPILE")
    return {k: v for k, v in os.environ.items() if k not in drop}


def kernel_version(tree):
    """Return VERSION, PATCHLEVEL and SUBLEVEL of a kernel tree as a string."""
    wanted = ("VERSION", "PATCHLEVEL", "SUBLEVEL")
    values = {}
    try:
        with open(tree / "Makefile", encoding="utf-8") as makefile:
            for line in makefile:
                name, equals, value = (part.strip() for part in line.partition("="))
                if equals and name in wanted:
                    values.setdefault(name, value)
    except OSError as error:
        raise BuildError(f"{tree} is not a kernel tree: {error.strerror}: Makefile") from error
    if len(values) != 3:
        raise BuildError(f"{tree} is not a kernel tree: its Makefile names no kernel version")
    return ".".join(values[name] for name in wanted)


def integrate(*args):
    """Run tools/integrate; it explains its own errors."""
    if subprocess.run([ROOT / "tools" / "integrate", *args], check=False).returncode:
        raise BuildError("tools/integrate refused: see above")


def tracked_files(tree):
    """Return the files that git tracks in tree, or None where git does not track the kernel."""
    if not (tree / ".git").exists():
        return None
    names = subprocess.run(["git", "-C", tree, "ls-files", "-z"], check=True,
                           stdout=subprocess.PIPE).stdout.split(b"\0")
    # Nothing is added yet, or packaging alone is tracked, as in the trees of distributions.
    if b"Makefile" not in names:
        return None
    return [os.fsdecode(name) for name in names if name]


def identity(tree):
    """Name a source so that a later KDIR= can be recognised as the same one."""
    commit = ""
    if (tree / ".git").exists():
        # A tree without a commit has none to name.
        commit = subprocess.run(["git", "-C", tree, "rev-parse", "--verify", "--quiet", "HEAD"],
                                check=False, text=True, stdout=subprocess.PIPE).stdout.strip()
    return f"{tree} {kernel_version(tree)} {commit}".strip()


def copy_tree(source, target):
    """Copy a kernel tree: what git tracks, or everything, then without build output."""
    names = tracked_files(source)
    if names is None:
        subprocess.run(["cp", "-a", f"{source}/.", target], check=True)
        shutil.rmtree(target / ".git", ignore_errors=True)
        subprocess.run(["make", "-s", "-C", target, "mrproper"], check=True, env=clean_env())
        return
    listing = "\0".join(name for name in names if os.path.lexists(source / name))
    with subprocess.Popen(["tar", "-C", source, "--null", "-T", "-", "-c"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as pack:
        with subprocess.Popen(["tar", "-C", target, "-x"], stdin=pack.stdout) as unpack:
            pack.stdout.close()
            pack.stdin.write(os.fsencode(listing))
            pack.stdin.close()
        if pack.wait() or unpack.returncode:
            raise BuildError(f"copying {source} failed")


def unpack_debian(target):
    """Unpack the source of the Debian package."""
    if not TARBALL.exists():
        raise BuildError(f"{TARBALL} is missing: install the Debian package linux-source-6.12, "
                         "or name a 6.12.y tree with KDIR=")
    subprocess.run(["tar", "-C", target, "--strip-components=1", "--checkpoint=20000",
                    "--checkpoint-action=echo=  %u records read", "-xf", TARBALL], check=True)


def make_stock(kdir):
    """Make build/stock from KDIR, or from the Debian package when there is nothing yet."""
    stock, origin = BUILD / "stock", BUILD / ".stock-origin"
    source = kdir.resolve() if kdir else None
    known = origin.read_text(encoding="utf-8").strip() if origin.exists() else ""
    if source:
        integrate("check", str(source))
    if stock.exists() and (not source or known == identity(source)):
        return
    wanted = identity(source) if source else str(TARBALL)
    say(f"build/stock: from {wanted}")
    fresh = BUILD / "stock.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    if source:
        copy_tree(source, fresh)
    else:
        unpack_debian(fresh)
    integrate("check", str(fresh))
    # Files keep their time stamps, so nothing built from another source may stay.
    for old in ("linux", "check", "modules", *FRAGMENTS, "stock"):
        shutil.rmtree(BUILD / old, ignore_errors=True)
    fresh.rename(stock)
    origin.write_text(wanted + "\n", encoding="utf-8")


def make_linux():
    """Lay this repository over a copy of build/stock, or bring that up to date."""
    linux = BUILD / "linux"
    if linux.exists():
        integrate("refresh", str(linux))
        return
    say(f"build/linux: build/stock ({kernel_version(BUILD / 'stock')}) with this repository")
    fresh = BUILD / "linux.new"
    shutil.rmtree(fresh, ignore_errors=True)
    # Hard links: what is laid over replaces files, it never writes into them.
    if subprocess.run(["cp", "-al", f"{BUILD}/stock/.", fresh], check=False,
                      stderr=subprocess.DEVNULL).returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        subprocess.run(["cp", "-a", f"{BUILD}/stock/.", fresh], check=True)
    integrate("install", str(fresh))
    fresh.rename(linux)


class Progress:
    """Turn the kernel's thousands of CC lines into one line that moves."""

    PERIOD = {True: 0.2, False: 15.0}

    def __init__(self, name):
        self.name = name
        self.start = time.monotonic()
        self.steps = 0
        self.tty = sys.stdout.isatty()
        self.due = self.start + self.PERIOD[self.tty]
        self.tail = collections.deque(maxlen=30)

    def line(self, text):
        """Take one line of output; pass on what is not a step."""
        self.tail.append(text)
        words = text.split()
        is_step = text.startswith("  ") and len(words) >= 2 and words[0].isupper()
        if is_step:
            self.steps += 1
            if time.monotonic() >= self.due:
                self.show(words[-1])
        elif "warning:" in text or "error:" in text.lower():
            say(("\r\033[K" if self.tty else "") + text)

    def show(self, what):
        """Show how far the build is."""
        self.due = time.monotonic() + self.PERIOD[self.tty]
        text = f"{self.name}: {self.steps} steps, {self.elapsed()}  {what}"
        if self.tty:
            print(f"\r\033[K{text[:79]}", end="", flush=True)
        else:
            say(text)

    def elapsed(self):
        """Return the time used so far as minutes and seconds."""
        seconds = int(time.monotonic() - self.start)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def done(self):
        """Close the line."""
        text = f"{self.name}: done, {self.steps} steps in {self.elapsed()}"
        say(f"\r\033[K{text}" if self.tty else text)


def profiled():
    """Return the settings that let make profile the objects of this repository."""
    sources = (ROOT / "drivers/pci").glob("*p2p*.c")
    return [f"GCOV_PROFILE_{source.stem}.o=y" for source in sorted(sources)]


def run_make(name, source, output, locked):
    """Run the kernel's make with progress; the whole output goes to a log."""
    jobs = os.environ.get("JOBS") or str(len(os.sched_getaffinity(0)))
    command = ["make", f"-j{jobs}", "-C", str(source), f"O={output}", *MAKE.get(name, ())]
    if name == "kernel-coverage":
        command += profiled()
    progress = Progress(name)
    log = BUILD / "logs" / f"{name}.log"
    log.parent.mkdir(exist_ok=True)
    # The lock goes with make: it holds for as long as anything is still compiling.
    with open(log, "w", encoding="utf-8") as out, \
            subprocess.Popen(command, env=clean_env(), stdin=subprocess.DEVNULL, text=True,
                             pass_fds=[locked.fileno()], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT) as make:
        try:
            for text in make.stdout:
                out.write(text)
                progress.line(text.rstrip())
        except KeyboardInterrupt:
            make.terminate()
            raise
    if make.returncode:
        say("\n".join(["", *progress.tail]))
        raise BuildError(f"building {name} failed; the whole output is in {log}")
    progress.done()


def make_kernel(name, locked):
    """Configure and build one kernel with its modules."""
    source = BUILD / ("stock" if name == "kernel-stock" else "linux")
    output = BUILD / name
    command = [CONFIG / "apply", "--source", source, "--output", output]
    if name == "kernel-stock":
        for ours in STOCK_LACKS:
            command += ["--may-lack", ours]
    command += [f"--make={word}" for word in MAKE.get(name, ())]
    command += [CONFIG / fragment for fragment in FRAGMENTS[name]]
    if subprocess.run(command, env=clean_env(), check=False).returncode:
        raise BuildError(f"configuring {name} failed: see above")
    run_make(name, source, output, locked)


def main():
    """Parse the command line and make what it names."""
    steps = ["stock", "linux", *FRAGMENTS]
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kdir", type=pathlib.Path, metavar="DIR",
                        help="take the source from this 6.12.y tree, not from Debian's package")
    parser.add_argument("step", nargs="+", choices=steps)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if re.search(r"[\s:]", f"{ROOT}{BUILD}"):
        raise BuildError(f"make cannot work below {ROOT} and {BUILD}: move the directory to a path "
                         "without spaces and colons")
    with lock() as locked:
        make_stock(args.kdir)
        if set(args.step) - {"stock", "kernel-stock"}:
            make_linux()
        for step in args.step:
            if step in FRAGMENTS:
                make_kernel(step, locked)


if __name__ == "__main__":
    try:
        main()
    except BuildError as failure:
        sys.exit(f"build: {failure}")
    except subprocess.CalledProcessError as failure:
        sys.exit(f"build: {failure.cmd[0]} failed with status {failure.returncode}")
    except KeyboardInterrupt:
        sys.exit("build: interrupted")
