# SPDX-License-Identifier: GPL-2.0
"""Processes that use peer memory while a test does something to it."""
import errno
import mmap
import os
import signal
import struct

from guest import transfer
from guest.devices import until


class Worker:
    """A child process that runs a function of a counter, which both sides can see."""

    def __init__(self, test, function, *args):
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self.pid = os.fork()
        if not self.pid:
            signal.alarm(0)
            os._exit(self._run(function, args))
        self.status = None
        test.later(self.kill)

    def _run(self, function, args):
        try:
            function(self, *args)
            return 0
        except OSError as error:
            return error.errno
        except BaseException:       # a status that is no errno
            import traceback
            traceback.print_exc()
            return 255

    # -- seen from the child --

    def tick(self):
        struct.pack_into("Q", self._shared, 0, self.ticks() + 1)

    # -- seen from the parent --

    def ticks(self):
        return struct.unpack_from("Q", self._shared, 0)[0]

    def busy(self, more=3, seconds=30):
        """Return once the child has done some more rounds."""
        start = self.ticks()
        until(lambda: self.ticks() >= start + more or self.ended(), seconds, "work of a child")
        if self.ended():
            raise RuntimeError(f"a worker ended early: {self.outcome()}")

    def ended(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        return self.status is not None

    def wait(self, seconds=60):
        until(self.ended, seconds, "end of a child")
        return self.outcome()

    def outcome(self):
        """How it ended: "SIGBUS", an errno's name, or "done"."""
        if os.WIFSIGNALED(self.status):
            return signal.Signals(os.WTERMSIG(self.status)).name
        code = os.WEXITSTATUS(self.status)
        return errno.errorcode.get(code, f"status {code}") if code else "done"

    def kill(self):
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            _, self.status = os.waitpid(self.pid, 0)


def read_forever(worker, drive, memory, chunk=64 << 10):
    """Read from DRIVE into MEMORY over and over."""
    fd = drive.open()
    with memoryview(memory)[:chunk] as view:
        while True:
            # A disk that has gone is empty: there reading it ends without an error.
            if os.preadv(fd, [view], 0) != chunk:
                raise OSError(errno.ENODEV, "the disk has gone")
            worker.tick()


def map_and_read(worker, provider, drive, chunk=64 << 10):
    """Map, transfer, unmap, over and over; a provider that is away just now is waited for."""
    while True:
        try:
            memory = provider.map(chunk)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOMEM):
                worker.tick()
                continue
            raise
        try:
            transfer.read_into(drive, memory, chunk)
        except OSError as error:
            if error.errno != errno.EFAULT:     # the memory went while it was mapped
                raise
        memory.close()
        worker.tick()


def touch(worker, memory):
    """Write to MEMORY: the end of this process, if its device has gone."""
    memory[0] = 1
    worker.tick()
