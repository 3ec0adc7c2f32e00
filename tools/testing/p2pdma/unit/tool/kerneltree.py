# SPDX-License-Identifier: GPL-2.0
"""The command builds and installs in a kernel tree, as other tools do."""
import os
import pathlib
import shutil
import subprocess

from riglib import ktap

WHERE = "tools/pci/p2pdma"
FILES = ["usr/bin/p2pdma", "usr/include/libp2pdma.h", "usr/lib/libp2pdma.so",
         "usr/lib/libp2pdma.so.0", "usr/lib/pkgconfig/libp2pdma.pc",
         "usr/share/bash-completion/completions/p2pdma", "usr/share/man/man1/p2pdma.1",
         "usr/share/man/man3/libp2pdma.3"]


def _files(folder):
    """Return the names of the files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def _make(cwd, tree, *words):
    """Run make as somebody in another directory does."""
    environment = {name: text for name, text in os.environ.items()
                   if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "O",
                                   "OUT", "OUTPUT", "DESTDIR", "prefix")}
    result = subprocess.run(["make", "-s", "-C", tree / WHERE, "CFLAGS=-O0", *words], cwd=cwd,
                            check=False, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, env={**environment, "PWD": str(cwd)})
    return result.returncode, result.stdout


def _build(cwd, tree, *words):
    status, text = _make(cwd, tree, *words)
    if status or "warning" in text:
        raise ktap.Failure(f"{words}: status {status}: {text}")


def build(root, folder):
    """O=, OUTPUT= and neither, clean, DESTDIR and prefix."""
    tree, here = folder / "linux", folder / "here"
    for name in (WHERE, "Documentation/tools/p2pdma"):
        shutil.copytree(root / name, tree / name, ignore=shutil.ignore_patterns("*.o", "*.d"))
    (tree / "drivers/pci").mkdir(parents=True)
    for path in (root / "drivers/pci").glob("p2pdma-*.[ch]"):
        shutil.copy(path, tree / "drivers/pci")
    (tree / "Kbuild").touch()
    (here / "out").mkdir(parents=True)
    (tree / WHERE / "p2pdma").unlink(missing_ok=True)
    before = _files(tree)

    _build(here, tree, "O=out")
    _build(here, tree, f"OUTPUT={here}/other/")
    for name in ("out", "other"):
        if not {"p2pdma", "p2pdma.1"} <= _files(here / name):
            raise ktap.Failure(f"{name} has {_files(here / name)}")
    if _files(tree) != before:
        raise ktap.Failure(f"left in the tree: {_files(tree) - before}")
    status, text = _make(here, tree, "O=nowhere")
    if status != 2 or '"nowhere" does not exist' not in text:
        raise ktap.Failure(f"O=nowhere: status {status}: {text}")

    (here / "out/mine").touch()
    _build(here, tree, "O=out", "install", f"DESTDIR={here}/image", "prefix=/usr")
    if sorted(_files(here / "image")) != FILES:
        raise ktap.Failure(f"installed: {_files(here / 'image')}")
    _build(here, tree, "O=out", "clean")
    if _files(here / "out") != {"mine"}:
        raise ktap.Failure(f"clean left {_files(here / 'out')}")
    _build(here, tree)
    if f"{WHERE}/p2pdma" not in _files(tree):
        raise ktap.Failure("without O= the command is not beside its sources")
    _build(here, tree, "clean")
    if _files(tree) != before:
        raise ktap.Failure(f"clean: {_files(tree) ^ before}")


def messages(root, folder):
    """make tool says where the command is, and how to install it."""
    out = folder / "tool"
    result = subprocess.run(["make", "-s", "-C", root, "tool", f"OUT={out}", "CFLAGS=-O0"],
                            check=False, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)
    text = result.stdout
    if result.returncode or str(out / "p2pdma") not in text or "make install-tool" not in text:
        raise ktap.Failure(f"status {result.returncode}: {text}")
    if not pathlib.Path(out / "p2pdma").exists():
        raise ktap.Failure("the command is not where make says")
