# SPDX-License-Identifier: GPL-2.0
"""Drivers that manage the pages of a BAR without the pool."""
import errno
import mmap
import os
import random

from guest import transfer
from guest.card import bind
from guest.case import case
from guest.devices import Drive, until
from guest.module import Module
from guest.worker import Worker

NAME = "p2pdma_owner"
OTHER = "p2pdma_card"           # a driver of the function that registers nothing by itself
MIB, GIB = 1 << 20, 1 << 30
PAGE = mmap.PAGESIZE
HELD = 16


def _map(test, length):
    """Map pages of the owner. The mapping ends with the case at the latest."""
    fd = os.open("/dev/" + NAME, os.O_RDWR)
    try:
        memory = mmap.mmap(fd, length)
    finally:
        os.close(fd)
    test.later(memory.close)
    return memory


def _number(owner, name):
    return int(owner.get(name))


def _returned(test, owner, pages):
    """Expect PAGES calls of page_free(), and no page in use."""
    until(lambda: not _number(owner, "taken"), 20, "return of all pages")
    test.equal(_number(owner, "freed"), pages, "calls of page_free()")
    test.equal(_number(owner, "wrong"), 0, "surprises of the owner")


def _give_and_take(test, owner):
    """Pages come back from references and from mappings. Return the number of pages."""
    owner.set("hold", str(HELD))
    test.equal(_number(owner, "taken"), HELD, "pages in use")
    owner.set("hold", "0")
    _returned(test, owner, HELD)
    memory = _map(test, MIB)
    test.equal(_number(owner, "taken"), MIB // PAGE, "pages in use by a mapping")
    memory[::PAGE] = bytes(range(256)) * (MIB // PAGE // 256)
    test.equal(memory[PAGE], 1, "a byte of the second page")
    memory.close()
    _returned(test, owner, HELD + MIB // PAGE)
    return HELD + MIB // PAGE


def _client(test, owner, card, client):
    """A client has a direct route to pages of the owner, and the mapping is counted."""
    before = card.number("p2pmem/mapped_bus")
    owner.set("hold", str(HELD))
    owner.set("map", client.bdf)
    test.equal(owner.get("map"), "bus", "the way to the pages")
    test.equal(card.number("p2pmem/mapped_bus"), before + 1, "mapped_bus")
    owner.set("hold", "0")
    until(lambda: not _number(owner, "taken"), 20, "return of all pages")


def _carry(worker, source, target, memory, at, length):
    """Copy from SOURCE to TARGET through a part of MEMORY four times, and compare."""
    wanted = transfer.contents(source, length)
    for turn in range(1, 5):
        transfer.read_into(source, memory, length, offset=at)
        if memory[at:at + length] != wanted:
            raise OSError(errno.EBADMSG, "other bytes in the mapping")
        transfer.write_from(target, memory, length, disk_offset=turn * 4 * MIB + at, offset=at)
        if transfer.contents(target, length, turn * 4 * MIB + at) != wanted:
            raise OSError(errno.EILSEQ, "other bytes on the target")
        worker.tick()


def _direct_io(test, owner):
    """Two tasks do direct I/O with parts of the same mapping."""
    alpha, beta = Drive("alpha"), Drive("beta")
    length, freed = MIB, _number(owner, "freed")
    transfer.put(alpha, random.Random(1).randbytes(length))
    transfer.put(beta, random.Random(2).randbytes(length))
    memory = _map(test, 2 * length)
    workers = [Worker(test, _carry, alpha, beta, memory, 0, length),
               Worker(test, _carry, beta, alpha, memory, length, length)]
    for worker in workers:
        test.equal(worker.wait(), "done", "end of a task")
    memory.close()
    _returned(test, owner, freed + 2 * length // PAGE)


# Cases in which a driver takes pages of the pool over.

@case("cards", modules=(OTHER, NAME), short=True)
def taken_over_again_and_again(test):
    """A driver takes ranges of a BAR over and releases the ranges, several times."""
    Module(test, OTHER)
    card = bind(test, OTHER)
    for size in (4 * GIB, 256 * MIB, 512 * MIB):
        owner = Module(test, NAME, f"function={card.bdf}", f"size={size}")
        test.equal(card.size(), size, "size")
        _give_and_take(test, owner)
        owner.unload()
    # The range also works with an ordinary registration.
    (card.path / "add_range").write_text(f"2 {256 * MIB} 0")
    memory = card.map(MIB)
    test.equal(card.available(), 255 * MIB, "available, with a mapping")
    memory.close()
    test.equal(card.available(), 256 * MIB, "available")


@case("cards", modules=(OTHER, NAME), short=True)
def taken_over_and_used(test):
    """Drives reach pages that a driver took over."""
    Module(test, OTHER)
    card = bind(test, OTHER)
    owner = Module(test, NAME, f"function={card.bdf}", f"size={256 * MIB}")
    _client(test, owner, card, Drive("alpha").function)
    _direct_io(test, owner)
    with owner.loaded():
        test.refused(errno.EBUSY, (card.path / "add_range").write_text, "2 0 0")


# Cases in which a driver owns pages without a pool.

def _owner(test, *parameters):
    owner = Module(test, NAME, *parameters)
    return owner, bind(test, NAME)


@case("cards", modules=(NAME,), short=True)
def owned(test):
    """Owned memory: no pool, no file "allocate", but routes and mappings."""
    owner, card = _owner(test, f"size={GIB}")
    for _ in range(2):
        test.equal((card.size(), card.available()), (GIB, 0), "size and available")
        test.check(not os.path.exists(card.allocate()), "there is a file allocate")
        _client(test, owner, card, Drive("alpha").function)
        card.unbind()
        test.check(not (card.path / "p2pmem").exists(), "something is registered")
        test.refused(errno.ENODEV, _map, test, PAGE)
        card.bind(NAME)
    _returned(test, owner, 2 * HELD)


@case("cards", modules=(NAME,), short=True)
def owned_and_used(test):
    """Pages come back to the driver from references, mappings and direct I/O."""
    owner, card = _owner(test, f"size={256 * MIB}")
    test.equal(card.size(), 256 * MIB, "size")
    _give_and_take(test, owner)
    with transfer.evidence(test, card) as seen:
        _direct_io(test, owner)
    # Each task reads and writes the drives four times, and compares through RAM.
    test.equal(seen.peer, 2 * 4 * 2 * MIB, "bytes that drives moved to and from the BAR")


def _unbind(worker, card, memory):
    """Unbind the driver in a process without the mapping."""
    memory.close()
    card.unbind()
    worker.tick()


@case("cards", modules=(NAME,), short=True)
def owned_pages_hold_up_unbind(test):
    """Unbinding waits for a mapping of the owner, and logs the number of pages."""
    owner, card = _owner(test, f"size={256 * MIB}")
    memory = _map(test, MIB)
    worker = Worker(test, _unbind, card, memory)
    words = f"BAR 2 cannot be released yet: {MIB // PAGE} pages"
    until(lambda: test.logged(words) or worker.ended(), 30, "report of the wait")
    test.check(not worker.ended(), "unbinding did not wait")
    memory[PAGE] = 1
    memory.close()
    test.equal(worker.wait(), "done", "end of the unbinding")
    _returned(test, owner, MIB // PAGE)
    card.bind(NAME)
