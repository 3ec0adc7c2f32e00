# SPDX-License-Identifier: GPL-2.0
"""User mappings of a BAR so large that its pages share their struct pages."""
import ctypes
import mmap
import os

from guest import transfer
from guest.case import case
from guest.devices import Drive, Provider, until
from guest.module import Module
from guest.worker import Worker, touch

NAME = "pci_p2pmem"
CARD = (0x1af4, 0x1110)
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
MREMAP_MOVE_TO = 1 | 2
MAP_FAILED = ctypes.c_void_p(-1).value

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = LIBC.mremap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                      ctypes.c_long)
LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
LIBC.mremap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int,
                        ctypes.c_void_p)


class Mapping:
    """A mapping that can be taken apart, which those of Python cannot."""

    def __init__(self, function, length):
        fd = os.open(function.allocate(), os.O_RDWR)
        self.addr = self._checked(LIBC.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE,
                                            mmap.MAP_SHARED, fd, 0))
        os.close(fd)

    @staticmethod
    def _checked(result):
        if result in (MAP_FAILED, -1):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def at(self, offset, length):
        """LENGTH bytes of it, as a buffer."""
        return (ctypes.c_char * length).from_address(self.addr + offset)

    def unmap(self, offset, length):
        self._checked(LIBC.munmap(self.addr + offset, length))

    def move(self, offset, length):
        """Move the part to where nothing is; a Mapping that begins there."""
        moved = Mapping.__new__(Mapping)
        place = mmap.mmap(-1, length)
        target = ctypes.addressof(ctypes.c_char.from_buffer(place))
        moved.addr = self._checked(LIBC.mremap(self.addr + offset, length, length,
                                               MREMAP_MOVE_TO, target))
        moved.place = place     # what it replaced; closing it would unmap
        return moved


def _card(test):
    """The card as a provider, until the case ends."""
    Module(test, NAME)
    card = Provider.by_id(*CARD)
    override = card.path / "driver_override"
    override.write_text(NAME)
    test.later(lambda: card.exists() and override.write_text("\n"))
    test.later(lambda: card.exists() and card.driver() and card.unbind())
    card.bind(NAME)
    return card


def _there_and_back(test, memory, length, offset, disk_offset):
    """Part of alpha into MEMORY and on to beta; compared at both ends."""
    alpha, beta = Drive("alpha"), Drive("beta")
    wanted = transfer.contents(alpha, length, disk_offset)
    transfer.read_into(alpha, memory, length, disk_offset, offset)
    test.check(bytes(memory[offset:offset + length]) == wanted, f"wrong bytes at {offset:#x}")
    transfer.write_from(beta, memory, length, disk_offset, offset)
    test.check(transfer.contents(beta, length, disk_offset) == wanted,
               f"wrong bytes came from {offset:#x}")


def _try_size(test, card, length):
    memory = card.map(length)
    part = min(length, MIB)
    test.check(memory[:part] == bytes(part), f"a mapping of {length:#x} is not zeroed")
    _there_and_back(test, memory, part, 0, 0)
    _there_and_back(test, memory, part, length - part, 2 * MIB)
    if length > 4 * MIB:
        _there_and_back(test, memory, part, length // 2 + 4 * KIB, 4 * MIB)
    memory.close()
    test.equal(card.available(), card.size(), f"available, after a mapping of {length:#x}")


@case("huge-bar", modules=(NAME,), short=True, seconds=180)
def huge_mapping_sizes(test):
    """Mappings of any length move the right bytes and come back whole."""
    card = _card(test)
    for length in (4 * KIB, 2 * MIB, 2 * MIB + 12 * KIB, 32 * MIB, 32 * MIB + 4 * KIB):
        _try_size(test, card, length)


@case("huge-bar", modules=(NAME,), debug=False, short=True, seconds=180)
def huge_mapping_of_a_gib(test):
    card = _card(test)
    for length in (GIB, GIB + 20 * KIB):
        _try_size(test, card, length)


@case("huge-bar", modules=(NAME,))
def huge_mappings_side_by_side(test):
    """Small mappings do not share what they own, and give back what they do not need."""
    card = _card(test)
    memories = [card.map(4 * KIB) for _ in range(8)]
    test.equal(card.available(), card.size() - 8 * 4 * KIB, "available, with eight mappings")
    for number, memory in enumerate(memories):
        _there_and_back(test, memory, 4 * KIB, 0, number * 4 * KIB)
    wanted = transfer.contents(Drive("alpha"), 8 * 4 * KIB)
    test.check(b"".join(memory[:] for memory in memories) == wanted, "mappings share memory")
    for memory in memories:
        memory.close()
    test.equal(card.available(), card.size(), "available, at last")


@case("huge-bar", modules=(NAME,))
def huge_mapping_is_forked(test):
    """A child goes on with the mapping after its parent has dropped it."""
    card = _card(test)
    memory = card.map(2 * MIB + 12 * KIB)
    go, done = os.pipe()
    child = os.fork()
    if not child:
        os.read(go, 1)
        try:
            _there_and_back(test, memory, MIB, MIB + 4 * KIB, 8 * MIB)
            os._exit(0)
        finally:
            os._exit(1)
    memory.close()
    # So many pages hold all struct pages of their unit, and with them the unit.
    test.equal(card.available(), card.size() - 32 * MIB, "available, with a child")
    os.write(done, b"x")
    test.equal(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0, "status of the child")
    os.close(go)
    os.close(done)
    until(lambda: card.available() == card.size(), 10, "return of the child's memory")


@case("huge-bar", modules=(NAME,))
def huge_mapping_in_parts(test):
    """Holes, and parts that move, leave the rest as it was."""
    card, alpha = _card(test), Drive("alpha")
    memory = Mapping(card, 8 * MIB)
    transfer.read_into(alpha, memory.at(0, 8 * MIB), 8 * MIB)
    wanted = transfer.contents(alpha, 8 * MIB)
    memory.unmap(MIB + 4 * KIB, 2 * MIB)
    moved = memory.move(4 * MIB, 3 * MIB)
    for part, offset, length in ((memory.at(0, MIB), 0, MIB),
                                 (moved.at(0, 3 * MIB), 4 * MIB, 3 * MIB),
                                 (memory.at(7 * MIB, MIB), 7 * MIB, MIB)):
        test.check(bytes(part) == wanted[offset:offset + length], f"bytes from {offset:#x} on")
    _there_and_back(test, moved.at(0, 3 * MIB), MIB, MIB + 4 * KIB, 16 * MIB)
    memory.unmap(0, 4 * MIB)
    memory.unmap(7 * MIB, MIB)
    test.check(card.available() < card.size(), "what moved does not count any more")
    moved.unmap(0, 3 * MIB)
    test.equal(card.available(), card.size(), "available, at last")


@case("huge-bar", modules=(NAME,), seconds=120)
def huge_bar_unplugged(test):
    """The card goes while it is mapped: accesses end with SIGBUS, the rest of the machine lives."""
    card = _card(test)
    memory = card.map(34 * MIB)
    test.host("device_del", name="card")
    until(lambda: not card.exists(), 30, "removal of the card")
    test.equal(Worker(test, touch, memory).wait(), "SIGBUS", "end of who touches what is gone")
    memory.close()
    test.host("device_add", name="another")
    until(card.exists, 30, "arrival of the other card")
