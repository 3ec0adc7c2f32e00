# SPDX-License-Identifier: GPL-2.0
"""Tests of libp2pdma: answers are those of the command, errors leave nothing behind."""
import json
import os
import pathlib
import re
import shutil
import subprocess

from riglib import ktap

import inputs
import machines

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[4]
TOOL = ROOT / "tools/pci/p2pdma"
BUILD = pathlib.Path(os.environ.get("P2PDMA_BUILD", ROOT / "build")).resolve()
SANITIZERS = "-fsanitize=address,undefined"


def _expect(holds, what):
    if not holds:
        raise ktap.Failure(what)


def _program(stage):
    """Build the program with the sanitizers. Return its path."""
    program, asan = stage.folder / "library", BUILD / "tool/asan"
    if not program.exists():
        subprocess.run(["cc", "-g", "-Wall", "-Wextra", SANITIZERS, f"-I{TOOL}",
                        HERE / "library.c", asan / "libp2pdma.so.0", f"-Wl,-rpath,{asan}",
                        "-pthread", "-o", program], check=True)
    return program


def _run(stage, *words):
    """Run the program, which must be silent on standard error. Return its output."""
    done = subprocess.run([_program(stage), *words], check=False, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL)
    _expect(not done.returncode and not done.stderr,
            f"{words}: status {done.returncode}: {done.stderr}")
    return done.stdout


def _sources(stage):
    """Yield (source, paths) of all machines."""
    yield "lspci", [stage.folder / name for name in machines.MACHINES]
    yield "sysfs", [path / "sys" for path in sorted(stage.folder.glob("*.tree"))]


def _known(stage, source, path):
    """Return pair -> words about the route, from the command."""
    option = {"lspci": "--lspci", "sysfs": "--sysfs"}[source]
    status, text, messages = stage.run(option, path, "-J", "tree", "--all")
    _expect(status == 0, messages)
    found = set(re.findall(r'"bdf": "([0-9a-f:.]+)"', text))
    status, text, messages = stage.run(option, path, "-J", "matrix", "--vfs", *sorted(found))
    _expect(status in (0, 1, 3), f"{status}: {messages}")
    report = json.loads(text)
    names = [function["bdf"] for function in report["functions"]]
    return {(client, provider): (cell["verdict"], cell["reason"],
                                 -1 if cell["distance"] is None else cell["distance"])
            for client, row in zip(names, report["rows"]) for provider, cell in zip(names, row)}


def _parsed(text):
    """Return pair -> words about the route, from the output for a machine."""
    lines = [line.split() for line in text.splitlines()]
    return {(words[0], words[1]): (words[2], words[3], int(words[4])) for words in lines}


def library_agrees(stage):
    """For every pair of functions, library and command give the same answer."""
    pairs = 0
    for source, paths in _sources(stage):
        texts = _run(stage, "routes", source, *paths).split("\n\n")
        for path, text in zip(paths, texts):
            found = _parsed(text)
            for pair, words in _known(stage, source, path).items():
                _expect(found.get(pair) == words, f"{path}: {pair}: {found.get(pair)}, {words}")
                pairs += 1
    _expect(pairs > 1000, f"only {pairs} pairs")
    print(f"# {pairs} pairs", flush=True)


def library_in_threads(stage):
    """Threads that look at different machines do not disturb each other."""
    for source, paths in _sources(stage):
        paths = 3 * paths
        _expect(_run(stage, "threads", source, *paths) == _run(stage, "routes", source, *paths),
                f"{source}: with threads, the answers differ")


def library_without_races(stage):
    """The thread sanitizer finds no data race, also where names of devices are looked up."""
    out, program = stage.folder / "tsan", stage.folder / "tsan.program"
    library = out / "libp2pdma.so.0"
    subprocess.run(["make", "-s", "-C", TOOL, f"OUT={out}", "CFLAGS=-O1 -g -fsanitize=thread",
                    library], check=True)
    subprocess.run(["cc", "-g", "-fsanitize=thread", f"-I{TOOL}", HERE / "library.c", library,
                    f"-Wl,-rpath,{out}", "-pthread", "-o", program], check=True)
    text = stage.folder / "names"
    text.write_text(inputs.print_dump(stage.folder / "workstation", "-vvv"), encoding="utf-8")
    # The sanitizer needs addresses where it expects them.
    for paths in (["lspci", *4 * [text]], ["lspci", stage.folder / "server", text],
                  ["sysfs", *4 * [stage.folder / "switch.tree/sys"]]):
        done = subprocess.run(["setarch", "-R", program, "threads", *paths], check=False, text=True,
                              capture_output=True)
        _expect(not done.returncode and not done.stderr, done.stderr[:3000])


ERRORS = r"""find before open: EINVAL: the machine has not been opened
route of nothing: EINVAL: the machine has not been opened
no path: EINVAL: no name of a copy, a capture or a file
twice: EINVAL: the machine has been opened before
source 7: EINVAL: 7 is no source of a machine
good: 0: no error
odd name: EINVAL: no\x1bsuch: the output of lspci holds no such names; give an address
no name: EINVAL: : the output of lspci holds no such names; give an address
memory: ENODATA: : the output of lspci holds no such names; give an address
kernel 9: EINVAL: 9 is no kernel
after an error: 0: 9 is no kernel
next of another machine: 0: no error
route of nothing, without an error: EINVAL: a route needs a client and a provider
another machine: EINVAL: 0000:00:00.0 is a function of another machine
"""

BAD = {
    "nothing": b"",
    "noise": bytes(range(256)) * 40,
    "cut.capture": b'{ "p2pdma-capture": 1, "files": {',
    "old.capture": b'{ "p2pdma-capture": 99, "files": {} }',
    "filesless.capture": b'{ "p2pdma-capture": 1 }',
    "empty.capture": b'{ "p2pdma-capture": 1, "files": {} }',
    "packed.gz": b"\x1f\x8b\x08\0" + 60 * b"\0",
    "packed.xz": b"\3757zXZ\0" + 60 * b"\0",
    "packed.bz2": b"BZh91AY",
}


def library_errors(stage):
    """An error has a number and a sentence; the sanitizers find no leak; nothing is printed."""
    paths = [stage.folder / "missing", stage.folder]
    for name, content in BAD.items():
        paths.append(stage.folder / name)
        paths[-1].write_bytes(content)
    text = _run(stage, "errors", stage.folder / "server", *paths)
    _expect(text.startswith(ERRORS), text)
    lines = text[len(ERRORS):].splitlines()
    _expect(len(lines) == 2 * len(paths), text)
    for line in lines:
        _expect(re.match("open: (EINVAL|ENODATA): [^ ]+: .", line) or
                "no PCI function" in line, line)


def library_installed(stage):
    """A program is built with pkg-config; the library has the symbols of its header, no others."""
    place = stage.folder / "library.image"
    subprocess.run(["make", "-s", "-C", TOOL, f"OUT={BUILD / 'tool'}", "install",
                    f"DESTDIR={place}", "prefix=/usr"], check=True, capture_output=True)
    environment = {**os.environ, "PKG_CONFIG_PATH": str(place / "usr/lib/pkgconfig"),
                   "PKG_CONFIG_SYSROOT_DIR": str(place)}
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libp2pdma"], check=True,
                           text=True, env=environment, capture_output=True).stdout.split()
    program = stage.folder / "installed.program"
    subprocess.run(["cc", HERE / "library.c", "-o", program, "-pthread", *flags], check=True)
    done = subprocess.run([program, "routes", "lspci", stage.folder / "switch"], check=False,
                          text=True, capture_output=True,
                          env={**os.environ, "LD_LIBRARY_PATH": str(place / "usr/lib")})
    _expect(not done.returncode, done.stderr)
    header = (place / "usr/include/libp2pdma.h").read_text(encoding="utf-8")
    declared = set(re.findall(r"\b(libp2pdma_\w+)\((?!\))[^;{]*\);|\b(libp2pdma_new)\(void\);",
                              header.partition("#ifdef __cplusplus")[2]))
    symbols = subprocess.run(["nm", "-D", "--defined-only", place / "usr/lib/libp2pdma.so.0"],
                             check=True, text=True, capture_output=True).stdout
    exported = {line.split()[-1] for line in symbols.splitlines()}
    _expect(exported == {one or other for one, other in declared},
            f"exported: {sorted(exported)}, declared: {sorted(declared)}")
    if shutil.which("g++"):
        subprocess.run(["g++", "-Wall", "-Werror", "-fsyntax-only", "-x", "c++",
                        place / "usr/include/libp2pdma.h"], check=True)


TESTS = [library_agrees, library_in_threads, library_without_races, library_errors, library_installed]
