# SPDX-License-Identifier: GPL-2.0
"""How many references the kernel has on a PCI function, and when it frees one: by probes.

The leak checker cannot be relied on here: a stale pointer anywhere in memory hides a function
that is never freed, and no pointer has to be there while a count is wrong.
"""
import pathlib

from guest.devices import DEVICES, Function

TRACING = pathlib.Path("/sys/kernel/tracing")
INSTANCE = TRACING / "instances/references"
# A struct device begins with a kobject: the pointer to the name first, the count at byte 56.
EVENTS = {"count": "dev_attr_show name=+0(+0(%di)):string count=+56(%di):u32",
          "freed": "pci_release_dev name=+0(+0(%di)):string"}


class References:
    """Counts references for as long as the context lasts."""

    def __enter__(self):
        (TRACING / "kprobe_events").write_text(
            "".join(f"p:references/{name} {probe}\n" for name, probe in EVENTS.items()))
        INSTANCE.mkdir()
        self._enable("freed", "1")
        return self

    def __exit__(self, *_):
        self._enable("freed", "0")
        INSTANCE.rmdir()
        (TRACING / "kprobe_events").write_text("")

    @staticmethod
    def _enable(event, word):
        (INSTANCE / "events/references" / event / "enable").write_text(word)

    @staticmethod
    def _seen(event, function):
        return [line for line in (INSTANCE / "trace").read_text().splitlines()
                if f" {event}: " in line and f'name="{function.bdf}"' in line]

    def count(self, function):
        """References on a function at this moment: the probe looks while an attribute is read."""
        self._enable("count", "1")
        function.number("vendor")
        self._enable("count", "0")
        return int(self._seen("count", function)[-1].rpartition("count=")[2])

    def freed(self, function):
        """How many functions with this address were freed since the context began."""
        return len(self._seen("freed", function))


def providers():
    """Every function with peer memory."""
    return [Function(path.parent.name) for path in sorted(DEVICES.glob("*/p2pmem"))]
