# SPDX-License-Identifier: GPL-2.0
"""Write KTAP version 1 from a list of cases."""

import pathlib
import sys
import traceback


class Skip(Exception):
    """Raised by a case that cannot run here, with the reason."""


class Failure(Exception):
    """Raised by a case that does not hold, with what was seen instead."""


class Report:
    """Run cases one by one; print KTAP, and keep it in a file if one is named."""

    def __init__(self, path, cases):
        self.count = 0
        self.failed = 0
        # The plan goes out first: a run that dies half way is seen to be incomplete.
        self.lines = ["KTAP version 1", f"1..{cases}"]
        self.path = pathlib.Path(path) if path else None
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")
        print("\n".join(self.lines), flush=True)

    def emit(self, text):
        """Add lines, at once to the file too, so that a crash leaves what was known."""
        print(text, flush=True)
        if self.path:
            with open(self.path, "a", encoding="utf-8") as out:
                out.write(text + "\n")

    def case(self, name, function):
        """Run one case and report it; the function raises what went wrong."""
        self.count += 1
        try:
            function()
        except Skip as reason:
            self.emit(f"ok {self.count} {name} # SKIP {reason}")
            return
        except Failure as failure:
            self.fail(name, str(failure))
            return
        except Exception:  # a broken case is a failed case, and the rest goes on
            self.fail(name, traceback.format_exc())
            return
        self.emit(f"ok {self.count} {name}")

    def fail(self, name, why):
        """Report a failed case with its reason as diagnostics."""
        self.failed += 1
        diagnostics = "".join(f"# {line}\n" for line in why.splitlines())
        self.emit(f"{diagnostics}not ok {self.count} {name}")

    def exit(self):
        """End the program with the status that the cases earned."""
        sys.exit(1 if self.failed else 0)
