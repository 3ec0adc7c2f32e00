# SPDX-License-Identifier: GPL-2.0
"""Write KTAP version 1 from a list of cases."""

import pathlib
import sys
import traceback


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
