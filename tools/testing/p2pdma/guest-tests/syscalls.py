# SPDX-License-Identifier: GPL-2.0
"""Random system calls on every file of peer memory, and on mappings of the files.

The calls of a worker follow from its number. A worker may end by SIGBUS or SIGSEGV, as a mapping
or a protection may have gone. The kernel has to get all memory back, and to say nothing.
"""
import collections
import ctypes
import fcntl
import mmap
import os
import pathlib
import random
import select
import struct

from guest import heap, user
from guest.case import case
from guest.devices import PCI, Drive, attempt, provider
from guest.worker import Worker

CALLS = 4000        # of a worker
CLOSED = 999        # a descriptor that is never open
KEPT = 12           # descriptors and mappings of a worker
PAGE = mmap.PAGESIZE
ENDS = {"done", "SIGBUS", "SIGSEGV"}
WORDS = (b"auto", b"deny", b"allow\n", b"0", b"1", b"-1", b"4096", b"65536\n", b"0x1000",
         b"18446744073709551616", b"deny\0", b"\n", b"", b" auto", b"a" * 5000, bytes(range(256)))
# Not the advice that takes pages of RAM away for good (MADV_HWPOISON, MADV_SOFT_OFFLINE).
ADVICE = tuple(range(26))
COMMANDS = (heap.ALLOC, heap.SYNC, heap.SET_NAME, 0xC0086202, 0x40086203, 0x5413, 0, 0xFFFFFFFF)
KINDS = ("mappings", "transfers", "dma-bufs", "words")
LIBC = ctypes.CDLL(None, use_errno=True)


def _files(functions):
    """Return all files of peer memory of functions, bridges and hosts."""
    found = [PCI / "p2pdma_rescan"]
    for function in functions:
        path = function.path.resolve()
        for above in (path, *path.parents):
            for name in ("p2pmem", "p2pdma"):
                found += sorted((above / name).glob("*"))
    found += sorted(pathlib.Path("/dev/dma_heap").glob("p2pmem-*"))
    return sorted(set(found))


class Caller:
    """A worker's descriptors and mappings, and the calls."""

    def __init__(self, number, files, memory, disk, done):
        self.done = done                    # a count for each of KINDS, in shared memory
        self.choice = random.Random(number)
        # Files that give memory are opened as often as all others together.
        self.files = [*files, *(len(files) // 4) * [*memory, memory[0], disk]]
        self.fds = collections.deque()
        self.maps = collections.deque()     # (address, length)
        self.calls = [getattr(self, name) for name in sorted(dir(Caller)) if name.startswith("do_")]

    def fd(self):
        return self.choice.choice(self.fds) if self.fds else CLOSED

    def keep(self, fd):
        self.fds.append(fd)
        if len(self.fds) > KEPT:
            os.close(self.fds.popleft())

    def number(self):
        """Return a number that a range check has to get right."""
        return self.choice.choice((0, 1, PAGE - 1, PAGE, 5 * PAGE, 1 << 21, (1 << 31) - 1, 1 << 32,
                                   1 << 40, (1 << 63) - 1, self.choice.randrange(1 << 24)))

    def place(self):
        """Return the address and the length of a part of a mapping, or of nothing."""
        if not self.maps or self.choice.random() < 0.05:
            return 0, PAGE
        address, length = self.choice.choice(self.maps)
        first = self.choice.randrange(length // PAGE)
        return address + first * PAGE, self.choice.randrange(1, length // PAGE - first + 1) * PAGE

    def count(self, kind):
        at = 8 * KINDS.index(kind)
        struct.pack_into("Q", self.done, at, struct.unpack_from("Q", self.done, at)[0] + 1)

    @staticmethod
    def libc(name, *args):
        call = getattr(LIBC, name)
        call.restype = ctypes.c_long
        return call(*(ctypes.c_long(each) if isinstance(each, int) else each for each in args))

    # Calls

    def do_open(self):
        flags = self.choice.choice((os.O_RDONLY, os.O_WRONLY, os.O_RDWR))
        flags |= self.choice.choice((0, os.O_DIRECT, os.O_NONBLOCK, os.O_TRUNC, os.O_APPEND))
        fd = attempt(os.open, self.choice.choice(self.files), flags | os.O_CLOEXEC)
        if fd is not None:
            self.keep(fd)

    def do_close(self):
        if self.fds:
            os.close(self.fds.popleft())

    def do_dup(self):
        fd = attempt(os.dup, self.fd())
        if fd is not None:
            self.keep(fd)

    def do_read(self):
        attempt(os.pread, self.fd(), self.choice.choice((0, 1, 7, 4096, 1 << 17)), self.number())
        attempt(os.read, self.fd(), 4096)

    def do_write(self):
        word = self.choice.choice(WORDS)
        if attempt(os.write, self.fd(), word):
            self.count("words")
        attempt(os.pwrite, self.fd(), word, self.choice.choice((0, 1, 4096)))

    def do_mmap(self):
        length = self.choice.choice((1, 1, 2, 3, 16, 64, 512)) * PAGE
        flags = self.choice.choice((mmap.MAP_SHARED,) * 4 + (mmap.MAP_PRIVATE, 3))
        flags |= self.choice.choice((0, 0, 0, mmap.MAP_POPULATE, 0x2000, 0x40000))
        LIBC.mmap.restype = ctypes.c_void_p
        found = LIBC.mmap(None, ctypes.c_size_t(length), self.choice.randrange(8), flags, self.fd(),
                          ctypes.c_long(self.choice.choice((0, 0, 0, 0, PAGE, 1 << 40))))
        if found and found != ctypes.c_void_p(-1).value:
            self.maps.append((found, length))
            self.count("mappings")
            if len(self.maps) > KEPT:
                self.libc("munmap", *self.maps.popleft())

    def do_munmap(self):
        # A part: the rest stays, and later calls meet the hole.
        self.libc("munmap", *self.place())

    def do_mprotect(self):
        self.libc("mprotect", *self.place(), self.choice.randrange(8))

    def do_madvise(self):
        self.libc("madvise", *self.place(), self.choice.choice(ADVICE))

    def do_msync(self):
        self.libc("msync", *self.place(), self.choice.choice((1, 2, 4)))

    def do_mlock(self):
        self.libc(self.choice.choice(("mlock", "munlock")), *self.place())

    def do_mremap(self):
        address, length = self.place()
        moved = self.libc("mremap", address, length,
                          self.choice.choice((PAGE, length, 2 * length)), self.choice.randrange(2))
        if moved > 0:
            self.maps.append((moved, PAGE))

    def do_fill(self):
        """The kernel reads and writes the memory: EFAULT instead of a signal."""
        address, length = self.place()
        self.libc("read", self.zero, address, length)
        self.libc("write", self.sink, address, length)

    def do_direct(self):
        """Direct I/O, if the descriptor is of the drive."""
        address, length = self.place()
        name = self.choice.choice(("pread", "pwrite"))
        if self.libc(name, self.fd(), address, length, self.choice.randrange(256) * PAGE) > 0:
            self.count("transfers")

    def do_splice(self):
        reader, writer = os.pipe2(os.O_NONBLOCK)
        attempt(os.splice, self.fd(), writer, 4096)
        address, length = self.place()
        vector = (ctypes.c_long * 2)(address, length)
        self.libc("vmsplice", writer, vector, 1, self.choice.choice((0, 2, 8)) | 2)
        os.close(reader)
        os.close(writer)

    def do_copy(self):
        """Another task's view of the memory."""
        address, length = self.place()
        mine = ctypes.create_string_buffer(length)
        local = (ctypes.c_long * 2)(ctypes.addressof(mine), length)
        remote = (ctypes.c_long * 2)(address, length)
        name = self.choice.choice(("process_vm_readv", "process_vm_writev"))
        self.libc(name, os.getpid(), local, 1, remote, 1, 0)

    def do_ioctl(self):
        data = bytearray(self.choice.choice((heap.request(self.choice.randrange(64 * PAGE)),
                                             heap.request(self.number()), bytes(64), b"name\0" * 8)))
        command = self.choice.choice((heap.ALLOC, *COMMANDS))
        if attempt(fcntl.ioctl, self.fd(), command, data) is not None and command == heap.ALLOC:
            self.keep(heap.granted(data))
            self.count("dma-bufs")

    def do_size(self):
        attempt(os.ftruncate, self.fd(), self.number())
        attempt(os.lseek, self.fd(), self.number(), self.choice.randrange(5))
        attempt(os.posix_fallocate, self.fd(), 0, PAGE)

    def do_poll(self):
        poll = select.poll()
        if self.fds:
            poll.register(self.fd())
        poll.poll(0)

    def do_fork(self):
        pid = os.fork()
        if not pid:
            self.do_fill()
            os._exit(0)
        os.waitpid(pid, 0)

    def run(self, worker):
        self.zero = os.open("/dev/zero", os.O_RDONLY)
        self.sink = os.open("/dev/null", os.O_WRONLY)
        for _ in range(CALLS):
            self.choice.choice(self.calls)()
            worker.tick()


def _restore(peer, policies, reserve):
    for path in policies:
        path.write_text("auto")
    (peer.path / "p2pmem/reserve").write_text(reserve)


@case(short=True, seconds=300)
def random_system_calls(test):
    """Tasks of root and of a user call at random: no complaint, and all memory comes back."""
    peer, alpha = provider().function, Drive("alpha")
    files = _files((peer, alpha.function))
    memory = [peer.allocate(), heap.path(peer)]
    policies = [path for path in files if path.name == "policy"]
    reserve = (peer.path / "p2pmem/reserve").read_text()
    test.check(len(policies) >= 3 and any("dma_heap" in str(path) for path in files), str(files))
    test.later(_restore, peer, policies, reserve)
    user.invite(test, *memory, alpha.path)
    ends, done = collections.Counter(), mmap.mmap(-1, PAGE)
    for number in test.rounds:
        callers = [Caller(3 * number + slot, files, memory, alpha.path, done)
                   for slot in range(3)]
        workers = [Worker(test, callers[0].run), Worker(test, callers[1].run),
                   user.begin(test, callers[2].run)]
        ends.update(worker.wait(280) for worker in workers)
    test.check(set(ends) <= ENDS, f"ends of workers: {dict(ends)}")
    counts = dict(zip(KINDS, struct.unpack_from(f"{len(KINDS)}Q", done)))
    test.note(f"{counts}; ends: {dict(ends)}")
    test.check(all(counts.values()), "a kind of call never succeeded")
    _restore(peer, policies, reserve)
    heap.all_back(test, peer)
    peer.map(peer.size()).close()
