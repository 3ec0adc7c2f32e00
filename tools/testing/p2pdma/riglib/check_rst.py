#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Check reStructuredText without Sphinx: check_rst KERNEL_TREE FILE...

Each page below Documentation/ has to be in a table of contents, directly or through further pages,
that begins at an index of the kernel tree.  All our pages have to be named in one call.

The interpreter is Debian's own, because its docutils package belongs to that one.
"""

import pathlib
import posixpath
import re
import subprocess
import sys

from docutils import core, nodes, utils
from docutils.parsers.rst import Directive, directives, roles

# What the kernel's Sphinx configuration adds to plain docutils and we may use.
ROLES = ["doc", "ref", "c:func", "c:type", "c:struct", "c:member", "c:macro", "manpage", "kbd"]
DIRECTIVES = ["flat-table", "only", "index", "c:function", "c:type"]
KERNEL_DOC_FLAGS = {"export": "-export", "internal": "-internal", "functions": "-function",
                    "identifiers": "-function", "doc": "-function"}


def plain_role(_name, rawtext, text, _lineno, _inliner, _options=None, _content=None):
    """Accept a role that only Sphinx resolves."""
    return [nodes.literal(rawtext, text)], []


class Ignored(Directive):
    """Accept a directive that only Sphinx knows."""

    has_content = True
    optional_arguments = 10
    option_spec = {name: directives.unchanged for name in
                   ("maxdepth", "caption", "name", "widths", "header-rows", "stub-columns",
                    "glob", "titlesonly", "numbered")}

    def run(self):
        """Produce nothing."""
        return []


def page(path):
    """Return the name that Sphinx has for a page, or None outside of Documentation/."""
    parts = path.with_suffix("").parts
    if "Documentation" not in parts:
        return None
    return "/".join(parts[parts.index("Documentation") + 1:])


class Toctree(Directive):
    """Remember the pages that toctree directives name."""

    has_content = True
    option_spec = Ignored.option_spec
    links = {}

    def run(self):
        """Resolve the names as Sphinx does: relative to the page, or to Documentation/."""
        here = page(pathlib.Path(self.state.document.current_source))
        folder = posixpath.dirname(here or "")
        for line in self.content:
            name = re.sub(r"^.*<(.*)>$", r"\1", line.strip())
            path = posixpath.normpath(posixpath.join("/", folder, name)).lstrip("/")
            self.links.setdefault(here, set()).add(path)
        return []


class LiteralInclude(Directive):
    """Check that the file which a literalinclude directive names is there, and the lines."""

    required_arguments = 1
    option_spec = {name: directives.unchanged for name in
                   ("language", "start-at", "end-before", "caption")}

    def run(self):
        """Look where Sphinx would look: beside the document."""
        document = pathlib.Path(self.state.document.current_source)
        source = document.parent / self.arguments[0]
        if not source.is_file():
            raise self.error(f"literalinclude: no file {self.arguments[0]}")
        rest = source.read_text(encoding="utf-8")
        for option in ("start-at", "end-before"):
            text = self.options.get(option, "")
            if text not in rest:
                raise self.error(f"literalinclude: no '{text}' in {self.arguments[0]}")
            rest = rest[rest.index(text):]
        return []


class KernelDoc(Directive):
    """Check that the comments which a kernel-doc directive names are there."""

    required_arguments = 1
    option_spec = {name: directives.unchanged for name in [*KERNEL_DOC_FLAGS, "no-identifiers"]}
    tree = None

    def run(self):
        """Run the kernel's script as the documentation build would."""
        source = self.tree / self.arguments[0]
        if not source.is_file():
            raise self.error(f"kernel-doc: no file {self.arguments[0]}")
        # Without Sphinx on the machine, the script complains unless a version is given.
        command = [self.tree / "scripts" / "kernel-doc", "-rst", "-sphinx-version", "3.4.3"]
        for option, value in self.options.items():
            if option == "no-identifiers":
                continue
            flag = KERNEL_DOC_FLAGS[option]
            if option in ("export", "internal"):
                command.append(flag)
                continue
            for symbol in [value] if option == "doc" else value.split():
                command += [flag, symbol]
        result = subprocess.run([*command, source], check=False, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if result.returncode or result.stderr or not result.stdout.strip():
            raise self.error(f"kernel-doc: {self.arguments[0]} {dict(self.options)} gives "
                             f"{result.stderr.strip() or 'nothing'}")
        return []


def check(path):
    """Return the complaints about one file."""
    complaints = []
    settings = {"report_level": utils.Reporter.INFO_LEVEL, "halt_level": 5,
                "file_insertion_enabled": False, "warning_stream": False}
    document = core.publish_doctree(path.read_text(encoding="utf-8"), source_path=str(path),
                                    settings_overrides=settings)
    for message in [*document.parse_messages, *document.findall(nodes.system_message)]:
        # Hyperlinks between files are resolved by Sphinx only.
        if message["level"] >= 2 or "implicit target" not in message.astext():
            complaints.append(message.astext())
    return sorted(set(complaints))


def reached(start):
    """Return the pages in the tables of contents of some pages, directly or not."""
    found, waiting = set(), list(start)
    while waiting:
        for name in Toctree.links.get(waiting.pop(), ()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


def check_reach(tree, paths):
    """Return complaints about links to missing pages, and about pages without a way to them."""
    pages = {name: path for path in paths if (name := page(path))}
    complaints = [f"{pages[name]}: toctree: no page {link}" for name in pages
                  for link in Toctree.links.get(name, ())
                  if link not in pages and not (tree / f"Documentation/{link}.rst").exists()]
    complaints += [f"{path}: has :orphan:" for path in pages.values()
                   if re.search(r"^:orphan:", path.read_text(encoding="utf-8"), re.M)]
    indices = {f"{parent}/index" for name in pages
               for parent in pathlib.PurePosixPath(name).parents[:-1]}
    for name in indices:
        path = tree / f"Documentation/{name}.rst"
        if name not in pages and path.exists():
            # Fill the links. Complaints about pages of the kernel are not ours.
            check(path)
    there = reached(indices)
    return complaints + [f"{path}: no table of contents leads here from an index of the kernel"
                         for name, path in pages.items() if name not in there]


def main():
    """Check every file named; the exit status says whether all are well."""
    if len(sys.argv) < 3:
        sys.exit(__doc__.splitlines()[0])
    KernelDoc.tree = pathlib.Path(sys.argv[1])
    for role in ROLES:
        roles.register_local_role(role, plain_role)
    for name in DIRECTIVES:
        directives.register_directive(name, Ignored)
    directives.register_directive("toctree", Toctree)
    directives.register_directive("kernel-doc", KernelDoc)
    directives.register_directive("literalinclude", LiteralInclude)
    paths = [pathlib.Path(name) for name in sys.argv[2:]]
    complaints = [line for path in paths for line in check(path)]
    complaints += check_reach(KernelDoc.tree, paths)
    print("\n".join(complaints), end="\n" if complaints else "")
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
