# SPDX-License-Identifier: GPL-2.0
"""Build the files for a boot: initramfs, images, modules, selftests.

The files are below build/. A file is built if the file is missing or older than the source. A
rename puts the finished file in place, so that parallel runs of the rig see no partial files.
"""
import contextlib
import fcntl
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

from . import cpio, processors
from .paths import BUILT_MODULES, GUEST, MODULES, ROOT, SCRATCH, SELFTESTS, RigError


@contextlib.contextmanager
def _lock(name):
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with open(SCRATCH / f".{name}.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _replace(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as out:
        out.write(data)
    os.chmod(out.name, 0o644)
    os.replace(out.name, path)


def _older(target, *sources):
    return (not target.exists() or
            any(target.stat().st_mtime < pathlib.Path(source).stat().st_mtime
                for source in sources))


def kernel(path):
    """Return the build directory of a kernel from an argument of the command line."""
    directory = pathlib.Path(path)
    if not directory.is_absolute() and not directory.exists():
        directory = ROOT / directory
    directory = directory.resolve()
    if not processors.of_kernel(directory):
        raise RigError(f"no kernel in {path} ({processors.X86.image} is missing); "
                       f"'make help' names the targets that build one")
    return directory


def has_option(directory, option):
    config = directory / ".config"
    return config.exists() and f"{option}=y\n" in config.read_text()


def is_debug(directory):
    return has_option(directory, "CONFIG_KASAN")


def source_tree(directory):
    """Return the source tree of a build directory."""
    source = directory / "source"
    return source.resolve() if source.exists() else directory


def busybox():
    found = shutil.which("busybox", path="/bin:/usr/bin:/usr/local/bin")
    if not found:
        raise RigError("busybox is not here; install the package busybox-static")
    return found


def initramfs():
    target, box, init = SCRATCH / "initramfs.gz", busybox(), GUEST / "init"
    if _older(target, init, box, cpio.__file__):
        archive = cpio.Archive()
        for name in ("bin", "dev", "proc", "sys", "host", "rw", "root"):
            archive.directory(name)
        archive.character_device("dev/console", 5, 1)
        archive.file("bin/busybox", pathlib.Path(box).read_bytes())
        archive.file("init", init.read_bytes())
        _replace(target, archive.tobytes())
    return target


def programs(directory):
    """Return the initramfs of a guest that cannot run the programs of the host."""
    target = SCRATCH / f"programs-{directory.name}.gz"
    tests, init = selftests(directory), SCRATCH / f"init-{directory.name}"
    with _lock(f"programs-{directory.name}"):
        words = dict(word.split("=") for word in processors.of_kernel(directory).make)
        _run([words["CROSS_COMPILE"] + "gcc", "-Wall", "-Wextra", "-Werror", "-O2", "-static",
              "-D_GNU_SOURCE", "-o", str(init), str(GUEST / "init.c")], "init")
        archive = cpio.Archive()
        for name in ("dev", "proc", "sys", "tmp", "programs"):
            archive.directory(name)
        archive.character_device("dev/console", 5, 1)
        archive.character_device("dev/kmsg", 1, 11)
        archive.file("init", init.read_bytes())
        for name in selftest_names():
            archive.file(f"programs/{name}", (tests / name).read_bytes())
        _replace(target, archive.tobytes())
    return target


def image(drive):
    """Return the image of a drive. The bytes depend only on name and size of the drive."""
    target = SCRATCH / f"{drive.name}-{drive.size_mb}M.img"
    if not target.exists():
        source = random.Random(f"{drive.name}:{drive.size_mb}")
        _replace(target, b"".join(source.randbytes(1 << 20) for _ in range(drive.size_mb)))
    return target


def _run(command, what):
    # With MAKELEVEL set, the Makefile of the selftests uses another output directory.
    env = {name: value for name, value in os.environ.items()
           if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARCH", "CROSS_COMPILE")}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=env)
    if done.returncode:
        raise RigError(f"{what} did not build:\n{done.stdout.strip()}")


def _sync(source, target):
    """Copy the files of SOURCE to TARGET, and leave equal files alone."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        copy = target / path.name
        if path.is_file() and (not copy.exists() or copy.read_bytes() != path.read_bytes()):
            _replace(copy, path.read_bytes())


def module_sources():
    """Return a map from the names of the test modules to the source directories."""
    found = {path.parent.name: path.parent for path in MODULES.glob("*/Kbuild")}
    return found | {"p2pdma_test_rnic_verbs": found["p2pdma_test_rnic"]}


def module_names():
    return sorted(module_sources())


def module(directory, name):
    """Build a test module for the kernel in DIRECTORY. Return the path of the .ko file."""
    source = module_sources().get(name)
    if not source:
        raise RigError(f"no module '{name}'; there are: {', '.join(module_names())}")
    work = BUILT_MODULES / directory.name / source.name
    with _lock(f"module-{directory.name}-{source.name}"):
        _sync(source, work)
        _run(["make", "-s", "-C", str(directory), f"M={work}", "modules"], f"module {name}")
    return work / f"{name}.ko"


def selftest_names():
    return sorted(path.stem for path in SELFTESTS.glob("*.c"))


def selftests(directory):
    """Build the selftests. Return the directory with the programs.

    The Makefile of the selftests needs a kernel tree around the directory. Links to the source
    tree of the kernel, around a copy of the selftests, serve as kernel tree.
    """
    stock, tag = source_tree(directory), directory.name
    top = SCRATCH / f"kselftest-{tag}"
    farm = top / "tools/testing/selftests"
    work = farm / "p2pdma"
    with _lock(f"kselftest-{tag}"):
        farm.mkdir(parents=True, exist_ok=True)
        links = [(top / name, stock / name) for name in ("scripts", "include", "arch")]
        links += [(farm / path.name, path) for path in (stock / "tools/testing/selftests").iterdir()
                  if path.name not in ("p2pdma", ".gitignore")]
        for link, to in links:
            if not link.is_symlink():
                link.symlink_to(to)
        _sync(SELFTESTS, work)
        words = processors.of_kernel(directory).make
        if words:
            words += ("USERLDFLAGS=-static",)
        _run(["make", "-s", "-C", str(work), *words], "selftests")
    return work


def progress(text):
    print(text, file=sys.stderr, flush=True)
