# SPDX-License-Identifier: GPL-2.0
"""Results, and their output as KTAP version 1, as read by the parser of the kernel."""
import dataclasses
import pathlib
import re
import sys
import traceback

RESULT = re.compile(r"^(?P<ok>ok|not ok) \d+ (- )?(?P<name>[^#]*?)\s*(#\s*(?P<directive>.*))?$")


@dataclasses.dataclass
class Result:
    name: str
    verdict: str                     # "ok", "failed" or "skipped"
    why: str = ""
    notes: list = dataclasses.field(default_factory=list)
    subtests: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self):
        return self.verdict != "failed"

    def count(self, verdict):
        if self.subtests:
            return sum(each.count(verdict) for each in self.subtests)
        return int(self.verdict == verdict)


def from_guest(name, message):
    """Return a Result from the message of the agent in a guest."""
    subtests = [Result(*fields) for fields in message.get("subtests", [])]
    result = Result(name, message["verdict"], message["why"], message.get("notes", []), subtests)
    if subtests and result.verdict == "failed" and all(each.good for each in subtests):
        # The case itself failed. A parser counts only subtests, so add a failed subtest.
        subtests.append(Result("the_case_around_them", "failed", result.why))
    return result


def parse_flat(text):
    """Parse the KTAP or TAP output of a selftest program into (name, verdict, why)."""
    found, said = [], []
    for line in text.splitlines():
        match = RESULT.match(line)
        if not match:
            said.append(line.lstrip("# "))
            continue
        directive = match["directive"] or ""
        verdict = "ok" if match["ok"] == "ok" else "failed"
        why = directive
        if directive.upper().startswith("SKIP"):
            verdict, why = "skipped", directive[4:].strip()
        elif verdict == "failed":
            why = "\n".join(said[-8:])
        found.append((match["name"].strip(), verdict, why))
        said = []
    return found


def _lines(results, depth):
    pad = "    " * depth
    yield f"{pad}KTAP version 1"
    yield f"{pad}1..{len(results)}"
    for number, result in enumerate(results, 1):
        if result.subtests:
            yield from _lines(result.subtests, depth + 1)
        for line in result.notes + result.why.splitlines():
            yield f"{pad}# {result.name}: {line}"
        word = "ok" if result.good else "not ok"
        skip = f" # SKIP {result.why.splitlines()[0] if result.why else ''}" \
            if result.verdict == "skipped" else ""
        yield f"{pad}{word} {number} {result.name}{skip}"


def write(path, title, results):
    """Write a file with a suite called TITLE and the RESULTS."""
    suite = Result(title, "ok" if all(each.good for each in results) else "failed",
                   subtests=results)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(_lines([suite], 0)) + "\n")


class Skip(Exception):
    """A case cannot run here. The argument is the reason."""


class Failure(Exception):
    """A case failed. The argument describes the failure."""


class Report:
    """Run cases in order and print KTAP, also to a file if PATH is given."""

    def __init__(self, path, cases):
        self.count = 0
        self.failed = 0
        # Print the plan first, so that the result of a run that dies is incomplete.
        self.lines = ["KTAP version 1", f"1..{cases}"]
        self.path = pathlib.Path(path) if path else None
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")
        print("\n".join(self.lines), flush=True)

    def emit(self, text):
        """Print lines and append the lines to the file at once, for the case of a crash."""
        print(text, flush=True)
        if self.path:
            with open(self.path, "a", encoding="utf-8") as out:
                out.write(text + "\n")

    def case(self, name, function):
        """Run a case and report the result. The function raises an exception on failure."""
        self.count += 1
        try:
            function()
        except Skip as reason:
            self.emit(f"ok {self.count} {name} # SKIP {reason}")
            return
        except Failure as failure:
            self.fail(name, str(failure))
            return
        except Exception:  # a broken case has failed; run the rest
            self.fail(name, traceback.format_exc())
            return
        self.emit(f"ok {self.count} {name}")

    def fail(self, name, why):
        """Report a failed case with the reason as diagnostics."""
        self.failed += 1
        diagnostics = "".join(f"# {line}\n" for line in why.splitlines())
        self.emit(f"{diagnostics}not ok {self.count} {name}")

    def exit(self):
        """End the program with status 1 if a case failed, else 0."""
        sys.exit(1 if self.failed else 0)
