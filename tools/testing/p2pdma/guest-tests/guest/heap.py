# SPDX-License-Identifier: GPL-2.0
"""DMA heaps, dma-bufs, and the importer of ../../modules/p2pdma_importer."""
import contextlib
import fcntl
import mmap
import os
import pathlib
import struct

from guest.devices import until
from guest.module import Module

NAME = "p2pdma_importer"
ALLOC = 0xC0184800              # DMA_HEAP_IOCTL_ALLOC
SYNC = 0x40086200               # DMA_BUF_IOCTL_SYNC
SET_NAME = 0x40086201           # DMA_BUF_SET_NAME_B
READ, WRITE, START, END = 1, 2, 0, 4      # DMA_BUF_SYNC_*


def path(function):
    return pathlib.Path(f"/dev/dma_heap/p2pmem-{function.bdf}")


def request(length, fd_flags=os.O_RDWR | os.O_CLOEXEC, heap_flags=0):
    """Return a struct dma_heap_allocation_data."""
    return struct.pack("QIIQ", length, 0, fd_flags, heap_flags)


def granted(answer):
    """Return the file descriptor in a struct dma_heap_allocation_data."""
    return struct.unpack("QIIQ", answer)[1]


def allocate(heap, *args, **kwargs):
    """Allocate a dma-buf from the heap at the path. Return a file descriptor."""
    heap_fd = os.open(heap, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return granted(fcntl.ioctl(heap_fd, ALLOC, request(*args, **kwargs)))
    finally:
        os.close(heap_fd)


class Buffer:
    """A dma-buf of a provider, closed at the end of the case."""

    def __init__(self, test, function, length, fd=None):
        self.length = length
        self.fd = allocate(path(function), length) if fd is None else fd
        test.later(self.close)

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
        self.fd = None

    def map(self, length=None, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_SHARED,
            offset=0):
        return mmap.mmap(self.fd, length or self.length, flags, prot, offset=offset)

    def sync(self, flags):
        fcntl.ioctl(self.fd, SYNC, struct.pack("Q", flags))

    def info(self):
        """Return the lines of fdinfo by name."""
        lines = pathlib.Path(f"/proc/self/fdinfo/{self.fd}").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


class Importers(Module):
    """The module of importers, loaded until the end of the case."""
    SLOTS = 8

    def __init__(self, test):
        super().__init__(test, NAME)
        self._later = test.later
        self._free = list(range(self.SLOTS))

    def attach(self, function, buffer, kind="moves"):
        """Let a function import a dma-buf. Return the Importer."""
        slot = min(self._free)
        self.set("attach", f"{slot} {function.bdf} {buffer.fd} {kind}")
        importer = Importer(self, slot, self._free)
        self._later(importer.detach)
        return importer


class Importer:
    """A slot of the importer module: one device and one dma-buf."""

    def __init__(self, module, slot, free):
        self._module, self._slot, self._free = module, slot, free
        self.attached = True
        free.remove(slot)

    def map(self):
        self._module.set("map", str(self._slot))

    def unmap(self):
        self._module.set("unmap", str(self._slot))

    def detach(self):
        if not self.attached:
            return
        with contextlib.suppress(OSError):
            self._module.set("detach", str(self._slot))
        self.attached = False
        self._free.append(self._slot)

    def _words(self):
        for line in self._module.get("slots").splitlines():
            if line.split()[0] == str(self._slot):
                return line.split()
        return None

    @property
    def mapped(self):
        return self._words()[2] == "mapped"

    @property
    def notified(self):
        return int(self._words()[3])

    def entries(self):
        """Return (address, length) of each entry of the mapping."""
        return [tuple(int(each, 0) for each in word.split("+")) for word in self._words()[5:]]


def exported(function):
    return function.number("p2pmem/exported")


def counts(function):
    """Return the available and the exported bytes."""
    return function.available(), exported(function)


def all_back(test, function):
    """Expect that all memory returns, within the time that deferred work needs."""
    until(lambda: function.available() == function.size() and not exported(function), 20,
          "return of all memory")


def fails(number, call, *args):
    """Return whether CALL fails with the errno NUMBER."""
    try:
        call(*args)
    except OSError as error:
        return error.errno == number
    return False
