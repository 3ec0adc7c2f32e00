# SPDX-License-Identifier: GPL-2.0
"""Count the references on a PCI function, and the freed functions, with kernel probes.

The leak checker is not enough: a stale pointer in memory hides a function that is never freed, and
a wrong reference count needs no pointer.
"""
import pathlib

from guest.devices import DEVICES, Function

TRACING = pathlib.Path("/sys/kernel/tracing")
INSTANCE = TRACING / "instances/references"
# A struct device begins with a kobject: pointer to the name at byte 0, count at byte 56.
EVENTS = {"count": "dev_attr_show name=+0(+0(%di)):string count=+56(%di):u32",
          "freed": "pci_release_dev name=+0(+0(%di)):string"}


class References:
    """Count references, until the end of the context."""

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
        """Return the number of references on a function. The probe fires in a read of sysfs."""
        self._enable("count", "1")
        function.number("vendor")
        self._enable("count", "0")
        return int(self._seen("count", function)[-1].rpartition("count=")[2])

    def freed(self, function):
        """Return the number of functions with the address that were freed in the context."""
        return len(self._seen("freed", function))


def providers():
    """Return all functions with peer memory."""
    return [Function(path.parent.name) for path in sorted(DEVICES.glob("*/p2pmem"))]
