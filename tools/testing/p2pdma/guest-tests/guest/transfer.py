# SPDX-License-Identifier: GPL-2.0
"""Transfers between drives and memory, and evidence of the DMA addresses."""
import contextlib
import mmap
import os

CHUNK = 1 << 20


def ram(length):
    """Page-aligned system memory."""
    return mmap.mmap(-1, max(length, mmap.PAGESIZE), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def read_into(drive, memory, length, disk_offset=0, offset=0):
    """Read from DRIVE into MEMORY (peer memory or RAM), without the page cache."""
    with _opened(drive) as fd:
        _each(os.preadv, fd, memory, length, disk_offset, offset)


def write_from(drive, memory, length, disk_offset=0, offset=0):
    """Write from MEMORY to DRIVE, without the page cache."""
    with _opened(drive) as fd:
        _each(os.pwritev, fd, memory, length, disk_offset, offset)


@contextlib.contextmanager
def _opened(drive):
    fd = drive.open()
    try:
        yield fd
    finally:
        os.close(fd)


def _each(call, fd, memory, length, disk_offset, offset):
    # A memoryview pins the mmap object. Release the view, so that the mapping can be closed.
    with memoryview(memory) as view:
        done = 0
        while done < length:
            count = min(CHUNK, length - done)
            with view[offset + done:offset + done + count] as part:
                moved = call(fd, [part], disk_offset + done)
            if moved <= 0:
                raise EOFError(f"{call.__name__} moved {moved} of {count} bytes")
            done += moved


def contents(drive, length, disk_offset=0):
    """Return contents of DRIVE, read through system memory."""
    buffer = ram(length)
    read_into(drive, buffer, length, disk_offset)
    data = buffer[:length]
    buffer.close()
    return data


def put(drive, data, disk_offset=0):
    """Write DATA to DRIVE through system memory."""
    buffer = ram(len(data))
    buffer[:len(data)] = data
    write_from(drive, buffer, len(data), disk_offset)
    buffer.close()


class Evidence:
    """Bytes that the drives mastered during the collection, by kind of address."""

    def __init__(self):
        self.peer = self.peer_written = self.peer_read = self.own = self.ram = 0
        self.first_outside = None


@contextlib.contextmanager
def evidence(test, provider):
    """Collect the addresses of payload in the trace of the drives.

    peer: bytes that other drives moved to or from the provider's BAR; own: bytes that the
    provider itself moved to or from its BAR; ram: payload bytes anywhere else.
    """
    seen = Evidence()
    test.host("trace_begin")
    try:
        yield seen
    finally:
        seen.__dict__.update(test.host("trace_end", bar=provider.bar(provider.BAR)))
