# SPDX-License-Identifier: GPL-2.0
"""Test modules, loaded until the end of a case."""
import contextlib
import ctypes
import pathlib
import subprocess


class Module:
    """A loaded module and its parameters."""

    def __init__(self, test, name, *parameters):
        self.name = name
        done = subprocess.run(["insmod", test.module(name), *parameters],
                              capture_output=True, text=True)
        test.equal(done.returncode, 0, f"status of insmod {name} ({done.stderr.strip()})")
        self._there = True
        test.later(self.unload)

    def _file(self, parameter):
        return pathlib.Path("/sys/module", self.name, "parameters", parameter)

    def set(self, parameter, text):
        self._file(parameter).write_text(text)

    def get(self, parameter):
        return self._file(parameter).read_text().strip()

    @contextlib.contextmanager
    def loaded(self):
        """Unload the module at the end of a context."""
        try:
            yield self
        finally:
            self.unload()

    def unload(self):
        if self._there:
            subprocess.run(["rmmod", self.name], check=True)
        self._there = False


def caching(user, memory):
    """Return the caching of a mapping, as the module p2pdma_user sees the mapping."""
    user.set("look", str(ctypes.addressof(ctypes.c_char.from_buffer(memory))))
    return user.get("look")
