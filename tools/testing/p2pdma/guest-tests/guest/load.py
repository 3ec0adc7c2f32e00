# SPDX-License-Identifier: GPL-2.0
"""Processes that write to a disk, read back, and keep a ledger of acknowledged writes.

The contents of a block are the block number and a version, the number of writes to the block. The
ledger notes the version before a write as begun, and after the write as acknowledged. A sector of
a block must hold the last acknowledged version, or a later version that was begun. Any other
contents are from a lost or misplaced write.
"""
import errno
import mmap
import os
import random
import struct

from guest.worker import Worker

SECTOR = 512
SIZES = (512, 4096, 32 << 10, 128 << 10)    # block size of each process
BLOCKS = 24                                 # number of blocks of a process
AREA = 4 << 20                              # bytes of the disk for a process
ENTRY = struct.Struct("QQ")


class Ledger:
    """Map a block to (begun, acknowledged), in memory that processes share."""

    def __init__(self):
        self._shared = mmap.mmap(-1, len(SIZES) * BLOCKS * ENTRY.size)

    def get(self, number):
        return ENTRY.unpack_from(self._shared, number * ENTRY.size)

    def set(self, number, begun, acknowledged):
        ENTRY.pack_into(self._shared, number * ENTRY.size, begun, acknowledged)


def pattern(number, version, length):
    """Return the contents of version VERSION of a block."""
    return struct.pack("<QQ", number, version) * (length // 16)


def _place(number):
    """Return offset and length of a block."""
    process, index = divmod(number, BLOCKS)
    return process * AREA + index * SIZES[process], SIZES[process]


def _bad_sector(data, number, versions):
    """Return the first sector of a block with a version not in VERSIONS, or None."""
    wanted = {pattern(number, version, SECTOR) for version in versions}
    for at in range(0, len(data), SECTOR):
        if data[at:at + SECTOR] not in wanted:
            return at // SECTOR
    return None


class Mismatch(Exception):
    """A block has wrong contents."""


def check(ledger, number, data):
    """Raise Mismatch if the DATA of a block do not agree with the ledger."""
    begun, acknowledged = ledger.get(number)
    if not acknowledged:
        return
    bad = _bad_sector(data, number, range(acknowledged, begun + 1))
    if bad is not None:
        found = data[bad * SECTOR:bad * SECTOR + 16]
        raise Mismatch(f"block {number} (begun {begun}, acknowledged {acknowledged}): sector "
                       f"{bad} holds {struct.unpack('<QQ', found)}")


def _write(fd, ledger, number, buffer):
    offset, length = _place(number)
    begun, acknowledged = ledger.get(number)
    buffer[:length] = pattern(number, begun + 1, length)
    ledger.set(number, begun + 1, acknowledged)
    with memoryview(buffer)[:length] as view:
        if os.pwritev(fd, [view], offset) != length:
            raise OSError(errno.EIO, "a short write")
    ledger.set(number, begun + 1, begun + 1)


def _read(fd, ledger, number, buffer):
    offset, length = _place(number)
    with memoryview(buffer)[:length] as view:
        if os.preadv(fd, [view], offset) != length:
            raise OSError(errno.EIO, "a short read")
    check(ledger, number, buffer[:length])


def _work(worker, path, process, ledger, seed):
    choice = random.Random(seed)
    numbers = range(process * BLOCKS, (process + 1) * BLOCKS)
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, SIZES[process] + mmap.PAGESIZE)
    while True:
        _write(fd, ledger, choice.choice(numbers), buffer)
        _read(fd, ledger, choice.choice(numbers), buffer)
        worker.tick()


class Load:
    """A process for each block size, on a disk that may go away."""

    def __init__(self, test):
        self._test = test
        self._ledger = Ledger()
        self._workers = []
        self._seed = 0

    def start(self, drive):
        self._seed += 1
        self._workers = [Worker(self._test, _work, drive.path, process, self._ledger,
                                self._seed * len(SIZES) + process)
                         for process in range(len(SIZES))]
        self.flows()

    def flows(self, more=3, seconds=60):
        """Wait until each process has made progress. No process may have ended."""
        for worker in self._workers:
            worker.busy(more, seconds)

    def running(self):
        return bool(self._workers) and not any(worker.ended() for worker in self._workers)

    def ends(self, seconds=60):
        """Wait for the end of all processes. Return the outcomes."""
        return sorted({worker.wait(seconds) for worker in self._workers})

    def stop(self):
        """Kill all processes. Return the outcomes of processes that ended before."""
        ended = sorted({worker.outcome() for worker in self._workers if worker.ended()})
        for worker in self._workers:
            worker.kill()
        return ended

    def verify(self, drive):
        """Check all blocks with acknowledged writes. Return the number of blocks."""
        buffer = mmap.mmap(-1, max(SIZES))
        blocks = [number for number in range(len(SIZES) * BLOCKS) if self._ledger.get(number)[1]]
        fd = drive.open()
        try:
            for number in blocks:
                _read(fd, self._ledger, number, buffer)
        except Mismatch as wrong:
            self._test.check(False, f"{wrong}, read from {drive.serial}")
        finally:
            os.close(fd)
            buffer.close()
        return len(blocks)

    def writes(self):
        """Return the number of acknowledged writes."""
        return sum(self._ledger.get(number)[1] for number in range(len(SIZES) * BLOCKS))
