# SPDX-License-Identifier: GPL-2.0
"""Processes that use peer memory during a test."""
import errno
import mmap
import os
import signal
import struct

from guest import transfer
from guest.devices import until


class Worker:
    """A child process with a counter of progress, in memory shared with the parent."""

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
        except BaseException:       # report a status that is no errno
            import traceback
            traceback.print_exc()
            return 255

    # Called by the child.

    def tick(self):
        struct.pack_into("Q", self._shared, 0, self.ticks() + 1)

    # Called by the parent.

    def ticks(self):
        return struct.unpack_from("Q", self._shared, 0)[0]

    def busy(self, more=3, seconds=30):
        """Wait until the child has done MORE rounds."""
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
        """Return how the child ended: "SIGBUS", the name of an errno, or "done"."""
        if os.WIFSIGNALED(self.status):
            return signal.Signals(os.WTERMSIG(self.status)).name
        code = os.WEXITSTATUS(self.status)
        return errno.errorcode.get(code, f"status {code}") if code else "done"

    def kill(self):
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            _, self.status = os.waitpid(self.pid, 0)


def read_forever(worker, drive, memory, chunk=64 << 10):
    """Read from DRIVE into MEMORY again and again."""
    fd = drive.open()
    with memoryview(memory)[:chunk] as view:
        while True:
            # A disk that has gone has size 0: a read returns 0 without an error.
            if os.preadv(fd, [view], 0) != chunk:
                raise OSError(errno.ENODEV, "the disk has gone")
            worker.tick()


def map_and_read(worker, provider, drive, chunk=64 << 10):
    """Map, transfer and unmap again and again. Retry while the provider is away."""
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
            if error.errno != errno.EFAULT:     # EFAULT: the mapping lost the memory
                raise
        memory.close()
        worker.tick()


def touch(worker, memory):
    """Write to MEMORY. If the device has gone, the write kills the process."""
    memory[0] = 1
    worker.tick()
