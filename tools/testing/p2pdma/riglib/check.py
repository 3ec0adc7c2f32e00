#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Run every static checker on the files of this repository; one KTAP case each.

Needs build/linux (make check makes it).  The kernel's own scripts come from
there; objects are compiled in build/check, so that no kernel is disturbed.
"""

import argparse
import concurrent.futures
import functools
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import warnings

from riglib import defects, house, ktap, runner, skeleton

HERE = pathlib.Path(__file__).resolve().parents[1]
ROOT = HERE.parents[2]
BUILD = pathlib.Path(os.environ.get("P2PDMA_BUILD", ROOT / "build")).resolve()
LINUX = BUILD / "linux"
SCRATCH = BUILD / "check"
CONFIG = HERE / "kconfig"
# A program that compares a stock tree with ours: only where the environment names the program.
ORIGINALITY = os.environ.get("P2PDMA_ORIGINALITY")
JOBS = int(os.environ.get("JOBS") or len(os.sched_getaffinity(0)))
SHOWN = 60
OPTIONS = argparse.Namespace(changed=False)

# name -> fragments of the configurations in which our objects must be clean
CONFIGURATIONS = {
    "plain": ["base.config"],
    "debug": ["base.config", "debug.config"],
    "without": ["base.config", "without.config"],
}

# Need an OCaml compiler; the one is about a battery driver, the other finds what sparse
# reports too (0 used as a pointer).
COCCI_LEFT_OUT = {"check_bq27xxx_data.cocci", "badzero.cocci"}
# Said by a script about itself, whatever it is run on.
COCCI_NOISE = re.compile(r"^warning: line \d+: should \w+ be a metavariable\?$")

LONGEST_FUNCTION = 80

SPHINX_INDEX = """
Pages
=====

.. toctree::
   :glob:

   */*
   */*/*

.. kernel-abi:: {}/Documentation/ABI/testing
"""
# About the machine, and not about our pages.
SPHINX_NOISE = re.compile(r"^Using \w+ theme$|dot\(1\) not found")

# Not written for readers here: the licence, and output of the p2pdma command as tests expect it.
PROSE_LEFT_OUT = re.compile(r"^COPYING$|/golden/|/tool/cases/")


def run(*command, cwd=ROOT, env=None):
    """Run a command; return its status and everything that it said."""
    result = subprocess.run([str(word) for word in command], cwd=cwd, env=env, check=False,
                            text=True, errors="replace", stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return result.returncode, result.stdout


def silent(complaints):
    """Fail with the complaints, if there are any."""
    lines = [line for text in complaints for line in text.rstrip().splitlines()]
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"... and {len(lines) - SHOWN} more lines"]
    if lines:
        raise ktap.Failure("\n".join(lines))


def each(function, items):
    """Call the function for every item, several at a time; return its results in order."""
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(function, items))


def some(names):
    """Refuse an empty list: a checker that looks at nothing finds nothing."""
    if not names and OPTIONS.changed:
        raise ktap.Skip("no such file changed")
    if not names:
        raise ktap.Failure("there is no file to check")
    return names


def git(*words):
    """Run git in the repository; return the status and the output."""
    # git asks for this where the checkout belongs to another user, as in many containers.
    return run("git", "-c", "safe.directory=*", *words)


def tracked():
    """Return the files of the repository: what git tracks or would."""
    status, out = git("ls-files", "-co", "--exclude-standard")
    if status:
        raise ktap.Failure(f"git ls-files: {out}")
    names = {name for name in out.splitlines() if (ROOT / name).is_file()}
    return sorted(names & changed() if OPTIONS.changed else names)


def changed():
    """Return the files that differ from the upstream branch, or from the commit before."""
    status, base = git("merge-base", "HEAD", "@{upstream}")
    status, out = git("diff", "--name-only", "HEAD~1" if status else base.strip())
    _, new = git("ls-files", "-o", "--exclude-standard")
    if status:
        raise ktap.Failure(f"git diff: {out}")
    return set(out.splitlines()) | set(new.splitlines())


def text_of(name):
    """Return the text of a file."""
    return (ROOT / name).read_text(encoding="utf-8")


def first_line(name):
    """Return the first line of a file, for its interpreter."""
    with open(ROOT / name, "rb") as data:
        return data.readline().decode("utf-8", "replace")


class Files:
    """The files of the repository by kind."""

    def __init__(self):
        self.all = tracked()
        self.code = [name for name in self.all if name.endswith((".c", ".h"))]
        self.kernel = [name for name in self.code if name.startswith(("drivers/", "include/"))]
        self.rst = [name for name in self.all if name.endswith(".rst")]
        self.abi = [name for name in self.all if name.startswith("Documentation/ABI/")]
        self.kconfig = [name for name in self.all if "Kconfig" in name]
        self.makefiles = [name for name in self.all
                          if pathlib.PurePath(name).name.startswith(("Makefile", "Kbuild"))]
        scripts = {name: first_line(name) for name in self.all}
        self.shell = [name for name, line in scripts.items() if name.endswith(".sh")
                      or re.match(r"#!.*\b(ba|da)?sh\b", line)]
        self.python = [name for name, line in scripts.items() if name.endswith(".py")
                       or re.match(r"#!.*\bpython3?\b", line)]
        self.modules = sorted({str(pathlib.PurePath(name).parent) for name in self.all
                               if pathlib.PurePath(name).name == "Kbuild"})

    def objects(self):
        """Return the objects that our C files in drivers/ become."""
        return [name[:-2] + ".o" for name in self.kernel if name.endswith(".c")]


def checkpatch(files):
    """Style: no error, no warning, no check, in whatever checkpatch reads."""
    names = some(files.code + files.rst + files.abi + files.kconfig + files.makefiles)

    def one(name):
        # These two names mean the file itself wherever such a file has them.
        whole = pathlib.PurePath(name).name in ("Kconfig", "Makefile")
        ignored = ["--ignore", "EMBEDDED_FILENAME"] if whole else []
        # The functions of zlib have such names.
        if name.endswith("tools/pci/p2pdma/input.c"):
            ignored += ["--ignore", "CAMELCASE"]
        status, out = run("perl", LINUX / "scripts/checkpatch.pl", "--strict", "--no-tree",
                          "--terse", "--show-types", "--no-summary", *ignored, "-f", name)
        return out if status or out.strip() else ""
    silent(each(one, names))


def kernel_doc(files):
    """Comments that become documentation are complete and well formed."""
    def one(name):
        status, out = run("perl", LINUX / "scripts/kernel-doc", "-none", "-Wall", name)
        return out if status or out.strip() else ""
    silent(each(one, some(files.code)))


@functools.cache
def prepared(name):
    """Configure a build directory and make the headers that objects need."""
    output = SCRATCH / name
    status, out = run(CONFIG / "apply", "--source", LINUX, "--output", output,
                      *[CONFIG / fragment for fragment in CONFIGURATIONS[name]])
    if not status:
        status, out = run("make", "-s", f"-j{JOBS}", "-C", LINUX, f"O={output}", "modules_prepare",
                          env=make_env())
    if status:
        raise ktap.Failure(f"preparing build/check/{name}: {out}")
    return output


def make_env():
    """Return the environment without what an outer make passes down."""
    drop = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "KDIR", "M", "O")
    return {key: value for key, value in os.environ.items() if key not in drop}


def excused(line):
    """Return whether sparse complains about what it cannot follow: a lock dropped by guard()."""
    match = re.match(r"(\S+?):\d+:\d+: warning: context imbalance in '(\w+)'", line)
    if not match or not pathlib.Path(match[1]).is_file():
        return False
    source = pathlib.Path(match[1]).read_text(encoding="utf-8")
    body = re.search(rf"^[^\n;]*\b{match[2]}\([^;{{]*\n{{\n.*?^}}", source, re.M | re.S)
    return bool(body and re.search(r"\b(scoped_)?guard\(", body[0]))


def said_by_compilers(out):
    """Return what compilers and sparse say, without what make adds."""
    # What make says when a compiler failed only repeats that.
    return [line for line in out.splitlines()
            if line.strip() and not re.match(r"make(\[\d+\])?: ", line) and not excused(line)]


def compile_silently(output, targets, *options):
    """Compile the targets anew; fail on anything that is said."""
    for target in targets:
        (output / target).unlink(missing_ok=True)
    status, out = run("make", "-s", "-k", f"-j{JOBS}", "-C", output, *options, *targets,
                      env=make_env())
    said = said_by_compilers(out)
    silent(["\n".join(said) or out] if status or said else [])
    lost = [target for target in targets if not (output / target).exists()]
    if lost:
        raise ktap.Failure(f"not compiled: {' '.join(lost)}")


def objects_plain(files):
    """Our objects under sparse and W=1 in the plain configuration."""
    objects = [name for name in some(files.objects()) if "/tests/" not in name]
    compile_silently(prepared("plain"), objects, "C=2", "W=1")


def objects_debug(files):
    """Our objects and the KUnit suites under sparse and W=1 in the debug configuration."""
    compile_silently(prepared("debug"), some(files.objects()), "C=2", "W=1")


def objects_without(_files):
    """The stock callers compile against our header when peer-to-peer DMA is configured out."""
    callers = ["drivers/infiniband/core/rw.c", "drivers/nvme/host/pci.c",
               "drivers/nvme/target/configfs.c", "drivers/nvme/target/core.c"]
    for name in callers:
        if "pci-p2pdma.h" not in (LINUX / name).read_text(encoding="utf-8"):
            raise ktap.Failure(f"{name} does not call us: the list here is out of date")
    compile_silently(prepared("without"), [name[:-2] + ".o" for name in callers])


def compile_external(folder):
    """Compile the files of a module outside of the kernel's tree. Return the complaints."""
    # There is no vmlinux here whose symbols could be found: compile, do not link.
    objects = [f"{source.stem}.o" for source in folder.glob("*.c")]
    status, out = run("make", "-s", "-k", "-C", prepared("debug"), f"M={folder}", "C=2", "W=1",
                      *objects, env=make_env())
    said = said_by_compilers(out)
    complaints = ["\n".join(said) or out] if status or said else []
    return complaints + [f"{lost} was not compiled" for lost in objects
                         if not (folder / lost).exists()]


def modules(files):
    """External modules under sparse and W=1; built from a copy to keep the source clean."""
    complaints = []
    for name in some(files.modules):
        copy = SCRATCH / "modules" / pathlib.PurePath(name).name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(ROOT / name, copy)
        complaints += [f"{name}: {said}" for said in compile_external(copy)]
    silent(complaints)


def suite(_files):
    """The KUnit suite that "rig new" writes compiles under sparse and W=1."""
    copy = SCRATCH / "suite"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for header in (ROOT / "drivers/pci/tests").glob("*.h"):
        shutil.copy(header, copy)
    (copy / "planted.c").write_text(skeleton.suite("planted"), encoding="utf-8")
    (copy / "Kbuild").write_text("obj-m := planted.o\n", encoding="utf-8")
    silent(compile_external(copy))


def include_flags(output):
    """Return the include path of the kernel, for tools other than the compiler."""
    flags = []
    for path in (LINUX / "arch/x86/include", output / "arch/x86/include/generated",
                 LINUX / "include", output / "include", LINUX / "arch/x86/include/uapi",
                 output / "arch/x86/include/generated/uapi", LINUX / "include/uapi",
                 output / "include/generated/uapi"):
        flags += ["-I", path]
    return flags + ["--include", LINUX / "include/linux/compiler-version.h",
                    "--include", LINUX / "include/linux/kconfig.h"]


def coccicheck(files):
    """The kernel's semantic patches report nothing on our kernel code."""
    copy = SCRATCH / "cocci"
    shutil.rmtree(copy, ignore_errors=True)
    sources = files.kernel + [name for name in files.code
                              if str(pathlib.PurePath(name).parent) in files.modules]
    for name in some(sources):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    flags = ["--patch", LINUX, "--dir", copy, *include_flags(prepared("debug"))]

    def one(script):
        text = script.read_text(encoding="utf-8", errors="replace")
        options = re.search(r"^// Options:(.*)$", text, re.M)
        _, out = run("spatch", "-D", "report", "--no-show-diff", "--very-quiet", "--cocci-file",
                     script, *(options[1].split() if options else []), *flags)
        said = [line for line in out.splitlines() if line and not COCCI_NOISE.match(line)]
        return "".join(f"{script.name}: {line}\n" for line in said).replace(f"{copy}/", "")
    scripts = [script for script in sorted((LINUX / "scripts/coccinelle").rglob("*.cocci"))
               if script.name not in COCCI_LEFT_OUT
               and "virtual report" in script.read_text(encoding="utf-8", errors="replace")]
    silent(each(one, some(scripts)))


def get_maintainer(files):
    """Every file has an entry of its own in MAINTAINERS."""
    def one(name):
        status, out = run("perl", LINUX / "scripts/get_maintainer.pl", "--no-tree",
                          "--mpath=MAINTAINERS", "--no-git", "--no-git-fallback", "--sections",
                          "-f", name)
        found = re.search(r"^PCI PEER-TO-PEER DMA", out, re.M)
        return "" if not status and found else f"{name}: no entry in MAINTAINERS\n"
    silent(each(one, some(files.all)))


def abi(files):
    """The ABI files are valid."""
    if not files.abi:
        raise ktap.Skip("no ABI file")
    status, out = run("perl", LINUX / "scripts/get_abi.pl", "--dir", ROOT / "Documentation/ABI",
                      "validate")
    silent([out] if status or out.strip() else [])
    status, out = run("perl", LINUX / "scripts/get_abi.pl", "--dir", ROOT / "Documentation/ABI",
                      "rest")
    lost = [name for name in files.abi if pathlib.PurePath(name).name not in out]
    silent([out] if status else [f"{name}: says nothing that get_abi.pl reads" for name in lost])


def kconfig(_files):
    """The options are complete by themselves, and conf is silent about them."""
    conf = prepared("plain") / "scripts/kconfig/conf"
    env = {**make_env(), "srctree": str(ROOT), "KCONFIG_CONFIG": str(SCRATCH / "kconfig.config")}
    status, out = run(conf, "--alldefconfig", "Kconfig", cwd=SCRATCH, env=env)
    said = [line for line in out.splitlines()
            if line.strip() and not line.startswith(("#", "configuration written"))]
    silent(["\n".join(said) or out] if status or said else [])


def shellcheck(files):
    """Shell scripts."""
    # SC2187 only says that busybox scripts are read as dash ones.
    _, out = run("shellcheck", "-x", "--format=gcc", "--exclude=SC2187", *some(files.shell))
    silent([out])


def python(files):
    """Python: compiles without a warning, has no unused or undefined name."""
    complaints = []
    for name in some(files.python):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                compile(text_of(name), name, "exec")
            except (SyntaxError, Warning) as error:
                complaints.append(f"{name}: {error}")
    complaints.append(run("pyflakes3", *files.python)[1])
    silent(complaints)


def rst(files):
    """Documents parse, and the kernel-doc comments that they include exist."""
    if not files.rst:
        raise ktap.Skip("no document")
    silent([run(HERE / "riglib/check_rst.py", LINUX, *files.rst)[1]])


def sphinx(files):
    """Sphinx makes HTML of our pages and of the ABI files without a warning."""
    if not shutil.which("sphinx-build"):
        raise ktap.Skip("no Sphinx: install python3-sphinx")
    some([name for name in files.all if name.startswith("Documentation/")])
    scratch = SCRATCH / "sphinx"
    shutil.rmtree(scratch, ignore_errors=True)
    # Our pages alone, below an index of our own. The pages of the kernel take too long.
    shutil.copytree(ROOT / "Documentation", scratch / "in")
    (scratch / "in/index.rst").write_text(SPHINX_INDEX.format(ROOT), encoding="utf-8")
    status, out = run("sphinx-build", "-q", "-b", "html", "-c", LINUX / "Documentation",
                      "-D", "version=", "-D", "release=", "-D", f"kerneldoc_srctree={LINUX}",
                      "-D", f"kerneldoc_bin={LINUX}/scripts/kernel-doc",
                      scratch / "in", scratch / "out",
                      env={**make_env(), "srctree": str(LINUX), "PYTHONDONTWRITEBYTECODE": "1"})
    said = [line for line in out.splitlines() if not SPHINX_NOISE.search(line)]
    silent(["\n".join(said) or out] if status or said else [])
    lost = [name for name in files.rst if name.startswith("Documentation/") and not
            (scratch / "out" / pathlib.Path(name).relative_to("Documentation").with_suffix(".html"))
            .exists()]
    silent([f"no page of {name}" for name in lost])


def function_lengths(name):
    """Yield (line, length, has a conditional of the preprocessor) of every function in a file."""
    start, conditional = None, False
    for number, line in enumerate(text_of(name).splitlines(), 1):
        if line == "{":
            start, conditional = number, False
        elif line.startswith("}") and start:
            yield start, number - start - 1, conditional
            start = None
        elif start and re.match(r"\s*#\s*(if|ifdef|ifndef|else|elif)\b", line):
            conditional = True


def functions(files):
    """Functions fit a screen and have no #ifdef inside."""
    complaints, lengths = [], []
    for name in some(files.code):
        for line, length, conditional in function_lengths(name):
            lengths.append(length)
            if length > LONGEST_FUNCTION:
                complaints.append(f"{name}:{line}: a function of {length} lines")
            if conditional:
                complaints.append(f"{name}:{line}: a preprocessor conditional in a function")
    print(f"# {len(lengths)} functions, median {statistics.median(lengths):.0f} lines, "
          f"longest {max(lengths)}")
    silent(complaints)


def help_target(_files):
    """Every phony target of the Makefile is in make help, and the other way round."""
    lines = text_of("Makefile").replace("\\\n", " ")
    targets = set(re.search(r"^\.PHONY:(.*)$", lines, re.M)[1].split())
    status, out = run("make", "-s", "help", env=make_env())
    listed = set(re.findall(r"^  make (\S+)", out, re.M))
    silent(([out] if status else [])
           + [f"make {name} is not in make help" for name in sorted(targets - listed)]
           + [f"make help lists {name}, which is no target" for name in sorted(listed - targets)])


def licence(name):
    """Return whether a file says its licence, or is of a kind that does not."""
    path = pathlib.PurePath(name)
    if path.suffix in (".c", ".h", ".rst", ".py", ".sh", ".toml") or \
            path.name.startswith(("Kconfig", "Makefile", "Kbuild")) or \
            first_line(name).startswith("#!"):
        return "SPDX-License-Identifier: " in "".join(text_of(name).splitlines(True)[:3])
    return True


def hygiene(files):
    """No build output, nothing of one machine, clean line ends, a licence in every source."""
    complaints = []
    for name in some(files.all):
        data = (ROOT / name).read_bytes()
        if name.startswith("build/") or b"\0" in data:
            complaints.append(f"{name}: build output or binary")
            continue
        if data and not data.endswith(b"\n") or b"\r" in data:
            complaints.append(f"{name}: not lines of text that end in a newline")
        if name != "COPYING" and re.search(rb"[ \t]$", data, re.M):
            complaints.append(f"{name}: trailing white space")
        if re.search(rb"(?<![\w.}/-])(/home|" + re.escape(str(ROOT)).encode() + rb")/\w", data):
            complaints.append(f"{name}: a path of one machine")
        if not licence(name):
            complaints.append(f"{name}: no SPDX line")
    silent(complaints)


def gates(_files):
    """Each gate of house.py fails on a planted fault."""
    status, out = run(sys.executable, "-m", "unittest", "-q", "riglib.house_test", cwd=HERE)
    silent([out] if status or not re.search(r"^Ran [1-9]", out, re.M) else [])


def prose(files):
    """Comments and texts name things: few words that refer back."""
    silent(["\n".join(house.prose(name, text_of(name))) for name in some(files.all)
            if not PROSE_LEFT_OUT.search(name)])


def rulers(files):
    """No comment is a ruler."""
    names = some(files.code + files.python + files.shell)
    silent(["\n".join(house.rulers(name, text_of(name))) for name in names])


def columns(files):
    """Lines of drivers/pci and include fit 80 columns, strings apart."""
    names = [name for name in some(files.all) if name.startswith(("drivers/", "include/"))]
    silent(["\n".join(house.columns(name, text_of(name))) for name in some(names)])


def words(files):
    """The command compares enumerations, not words, for verdicts, reasons and effects."""
    tables = ("drivers/pci/p2pdma-route.c", "tools/pci/p2pdma/words.c")
    known = house.enumerated_words(map(text_of, tables))
    print(f"# {len(known)} words")
    names = [name for name in some(files.all)
             if name.startswith("tools/pci/p2pdma/") and name.endswith((".c", ".h"))]
    silent([line for name in some(names) if name != tables[1]
            for line in house.compared_words(name, text_of(name), some(known))])


def promises(_files):
    """The tests exist that the threat model and the list of stock's defects name."""
    kunit = (ROOT / "drivers/pci/tests").glob("*_kunit.c")
    unit = (HERE / "unit/tool").glob("*")
    known = {*runner.cases(), *(each.function.__name__ for each in runner.cases().values())}
    for paths, pattern in ((kunit, r"KUNIT_CASE\w*\((\w+)"), (unit, r"^def (\w+)\(")):
        for path in paths:
            if path.is_file():
                known |= set(re.findall(pattern, path.read_text(encoding="utf-8"), re.M))
    shown = {test for _, case, test in defects.DEFECTS if not case}
    silent([*house.promises(text_of("Documentation/driver-api/pci/p2pdma-security.rst"), known),
            *(f"defects.py: there is no test {test}" for test in sorted(shown - known))])


def rooms(files):
    """Calls between the files of drivers/pci go down only, by the symbols of the objects."""
    output, symbols = prepared("plain"), {}
    objects = [name for name in some(files.objects()) if "/tests/" not in name]
    status, out = run("make", "-s", f"-j{JOBS}", "-C", output, *objects, env=make_env())
    if status:
        raise ktap.Failure(out)
    for name in objects:
        status, out = run("nm", output / name)
        if status:
            raise ktap.Failure(f"nm {name}: {out}")
        symbols[pathlib.PurePath(name).stem] = house.parse_nm(out)
    print(f"# {sum(map(len, house.calls_between(symbols).values()))} symbols used between "
          f"{len(symbols)} files")
    silent(house.rooms(symbols))


def locks(files):
    """Lock rules in comments of drivers/pci are assertions, too."""
    sources = {name: text_of(name) for name in some(files.kernel) if "/tests/" not in name}
    counts = {pathlib.PurePath(name).name: house.assertions(text)
              for name, text in sources.items()}
    print("# assertions: " + ", ".join(f"{name} {count}" for name, count in counts.items()
                                       if count))
    silent([line for name, text in sources.items() for line in house.locks(name, text)]
           + house.lock_names(sources))


def originality(_files):
    """No text of the stock implementation is ours, says the program that compares both."""
    status, out = run(sys.executable, ORIGINALITY, BUILD / "stock", ROOT)
    silent([out] if status else [])


CHECKERS = [checkpatch, kernel_doc, objects_plain, objects_debug, objects_without, modules,
            suite, coccicheck, get_maintainer, abi, kconfig, rst, sphinx, shellcheck, python,
            functions, help_target, hygiene, gates, prose, rulers, columns, words, promises, rooms,
            locks]
CHECKERS += [originality] if ORIGINALITY else []


def main():
    """Run the checkers named, or all."""
    names = [checker.__name__ for checker in CHECKERS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     epilog=f"checkers: {' '.join(names)}")
    parser.add_argument("--output", help="also write the KTAP to this file")
    parser.add_argument("--changed", action="store_true",
                        help="only the files that differ from the upstream branch")
    parser.add_argument("checker", nargs="*", help="only these checkers")
    args = parser.parse_args(namespace=OPTIONS)
    for name in args.checker:
        if name not in names:
            parser.error(f"no checker '{name}'; there are: {' '.join(names)}")
    if not (LINUX / "scripts" / "checkpatch.pl").exists():
        sys.exit("check: build/linux is missing: run make check")
    SCRATCH.mkdir(parents=True, exist_ok=True)
    chosen = [each for each in CHECKERS if not args.checker or each.__name__ in args.checker]
    report, files = ktap.Report(args.output, len(chosen)), Files()
    for checker in chosen:
        report.case(f"check.{checker.__name__}", lambda run_it=checker: run_it(files))
    report.exit()


if __name__ == "__main__":
    main()
