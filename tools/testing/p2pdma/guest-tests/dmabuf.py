# SPDX-License-Identifier: GPL-2.0
"""Peer memory as dma-bufs: heaps, importers, revocation."""
import errno
import mmap
import os
import pathlib
import random
import select
import signal
import socket
import struct
import subprocess
import time
import fcntl

from guest import heap, transfer, user
from guest.card import ANY_RANGE, add_range, bound_card
from guest.case import case
from guest.devices import Drive, attempt, bridges_above, provider, until
from guest.fabric import CASES, NSID, NOTHING, RNIC, Rnic
from guest.heap import Buffer, Importers
from guest.module import Module
from guest.worker import Worker

MIB = 1 << 20
PAGE = mmap.PAGESIZE
IMPORTER = heap.NAME
EXPORTER = "p2pdma_exporter"


def _functions():
    """Return the provider, and the drives alpha and beta, as PCI functions."""
    return [drive.function for drive in (provider(), Drive("alpha"), Drive("beta"))]


def _expect_back(test, function, what):
    test.equal(heap.counts(function), (function.size(), 0), f"available and exported, {what}")


@case(short=True)
def dmabuf_heap(test):
    """The heap of a provider allocates cleared memory, and counts to the byte."""
    peer = provider().function
    size = peer.size()
    # Heaps of providers of earlier cases stay.
    test.check(heap.path(peer).exists(), "the provider has no heap")
    test.check(not heap.path(Drive("alpha").function).exists(), "a drive without memory has a heap")
    for length in (1, PAGE, PAGE + 1, 64 << 10, 3 * MIB + 5 * PAGE):
        pages = -(-length // PAGE) * PAGE
        buffer = Buffer(test, peer, length)
        test.equal(heap.counts(peer), (size - pages, pages), f"available and exported, {length}")
        test.equal(os.lseek(buffer.fd, 0, os.SEEK_END), pages, "length of the file")
        test.equal(buffer.info()["exp_name"], f"p2pmem-{peer.bdf}", "exporter in fdinfo")
        with buffer.map(pages) as memory:
            test.check(not any(memory[at] for at in range(0, pages, 64)), "bytes are not zero")
            memory[:] = b"\x5a" * pages
        buffer.close()
        _expect_back(test, peer, f"after {length}")
    whole = Buffer(test, peer, size)
    with whole.map() as memory:
        test.check(memory[:] == bytes(size), "bytes of an earlier owner")
    whole.close()


@case(short=True, modules=(IMPORTER,))
def dmabuf_words(test):
    """Bad requests are refused with an errno, and change nothing."""
    peer = provider().function
    node, size = heap.path(peer), peer.size()
    failed = peer.number("p2pmem/alloc_failed")
    test.refused(errno.EINVAL, heap.allocate, node, 0)
    test.refused(errno.EINVAL, heap.allocate, node, PAGE, 1 << 30)
    test.refused(errno.EINVAL, heap.allocate, node, PAGE, os.O_RDWR, 1)
    for length in (size + 1, 1 << 40, (1 << 63) - 1):
        test.refused(errno.ENOMEM, heap.allocate, node, length)
    test.equal(peer.number("p2pmem/alloc_failed"), failed + 3, "failed allocations")
    _expect_back(test, peer, "after bad requests")
    buffer = Buffer(test, peer, 2 * PAGE)
    test.refused(errno.EINVAL, buffer.map, flags=mmap.MAP_PRIVATE)
    test.refused(errno.EINVAL, buffer.map, 3 * PAGE)
    test.refused(errno.EINVAL, buffer.map, 2 * PAGE, offset=PAGE)
    test.refused(errno.EINVAL, buffer.sync, 8)
    test.refused(errno.EINVAL, Importers(test).set, "vmap", str(buffer.fd))


@case(short=True)
def dmabuf_as_a_file(test):
    """Names, poll, read-only descriptors, synchronisation, and transfers by the CPU."""
    peer = provider().function
    buffer = Buffer(test, peer, MIB)
    fcntl.ioctl(buffer.fd, heap.SET_NAME, b"frame 7\0")
    test.equal(buffer.info()["name"], "frame 7", "name in fdinfo")
    poll = select.poll()
    poll.register(buffer.fd, select.POLLIN | select.POLLOUT)
    test.equal(poll.poll(0), [(buffer.fd, select.POLLIN | select.POLLOUT)], "poll without fences")
    with buffer.map() as memory:
        buffer.sync(heap.WRITE)
        memory[5 * PAGE:6 * PAGE] = b"\xa5" * PAGE
        buffer.sync(heap.WRITE | heap.END)
        with buffer.map(PAGE, mmap.PROT_READ, offset=5 * PAGE) as page:
            test.check(page[:] == b"\xa5" * PAGE, "a second mapping shows other bytes")
        # Page tables hold no reference, so no direct I/O: a read of a drive is refused.
        test.refused(errno.EFAULT, transfer.read_into, Drive("alpha"), memory, PAGE)
    reader = Buffer(test, peer, PAGE, heap.allocate(heap.path(peer), PAGE, os.O_RDONLY))
    test.refused(errno.EACCES, reader.map)
    with reader.map(prot=mmap.PROT_READ) as memory:
        test.check(memory[:] == bytes(PAGE), "bytes are not zero")


@case(short=True)
def dmabuf_reserve(test):
    """A user's dma-bufs leave the reserve alone, like mappings."""
    peer = provider().function
    user.invite(test, str(heap.path(peer)))
    free = peer.size() - peer.number("p2pmem/reserve")

    def all_but_the_reserve():
        first = heap.allocate(heap.path(peer), free - MIB)
        second = heap.allocate(heap.path(peer), MIB)
        assert heap.fails(errno.ENOMEM, heap.allocate, heap.path(peer), PAGE)
        os.close(second)
        os.close(heap.allocate(heap.path(peer), PAGE))
        os.close(first)

    test.equal(user.do(test, all_but_the_reserve), "done", "dma-bufs of a user")
    heap.all_back(test, peer)
    Buffer(test, peer, peer.size()).close()


def _in_bar(test, function, entries, length):
    first, last = function.bar(function.BAR)
    for address, size in entries:
        test.check(first <= address and address + size - 1 <= last,
                   f"{address:#x}+{size} is not in {first:#x}-{last:#x}")
    test.equal(sum(size for _, size in entries), length, "length of all entries")


@case(short=True, modules=(IMPORTER, "p2pdma_user"))
def dmabuf_import(test):
    """An importer below the same switch gets bus addresses, also of memory in pieces."""
    peer, alpha, beta = _functions()
    importers, buffer = Importers(test), Buffer(test, peer, MIB)
    before = peer.number("p2pmem/mapped_bus")
    first = importers.attach(alpha, buffer)
    second = importers.attach(beta, buffer, "pinned")
    for each in (first, second):
        each.map()
        _in_bar(test, peer, each.entries(), MIB)
    test.equal(peer.number("p2pmem/mapped_bus"), before + 2, "mapped_bus")
    buffer.close()
    test.equal(heap.counts(peer), (peer.size() - MIB, MIB), "counts while importers have the buffer")
    first.detach()
    second.detach()
    heap.all_back(test, peer)
    sieve = Module(test, "p2pdma_user")
    sieve.set("sieve", f"{peer.bdf} {peer.size()}")
    torn = Buffer(test, peer, 32 * PAGE)
    third = importers.attach(alpha, torn)
    third.map()
    entries = third.entries()
    test.equal(len(entries), 32, "entries for pages with gaps")
    _in_bar(test, peer, entries, 32 * PAGE)
    with torn.map() as memory:
        for page in range(32):
            memory[page * PAGE] = page + 1
    third.detach()
    torn.close()
    sieve.set("sieve", "0")


def _peers_word(client, peer):
    """Return reason that p2pdma/peers gives for the route from CLIENT to PEER."""
    for line in client.text("p2pdma/peers").splitlines():
        words = line.split()
        if words[0] == peer.bdf:
            return words[4]
    return None


@case("intel-root-ports", short=True, modules=(IMPORTER,))
def dmabuf_without_route(test):
    """attach() fails without a route, and the log has the reason of p2pdma/peers."""
    peer, alpha, _ = _functions()
    importers, buffer = Importers(test), Buffer(test, peer, PAGE)
    test.refused(errno.EREMOTEIO, importers.attach, alpha, buffer)
    word = _peers_word(alpha, peer)
    test.check(test.logged(f"importer {alpha.bdf} refused: {word}"), f"no log line with {word}")
    test.equal(peer.number("p2pmem/map_refused"), 0, "map_refused, as nothing was mapped")


@case(short=True, modules=(IMPORTER,))
def dmabuf_importers_without_peer_memory(test):
    """Importers that want system RAM are refused, and so is udmabuf."""
    peer, alpha, _ = _functions()
    importers, buffer = Importers(test), Buffer(test, peer, PAGE)
    for kind in ("no-peer", "static"):
        test.refused(errno.EOPNOTSUPP, importers.attach, alpha, buffer, kind)
    test.check(test.logged(f"importer {alpha.bdf} refused: accepts no peer memory"), "no log line")
    with open("/dev/udmabuf", "rb") as device:
        create = struct.pack("IIQQ", buffer.fd, 0, 0, PAGE)
        test.refused((errno.EBADFD, errno.EINVAL), fcntl.ioctl, device, 0x40187542, create)
    buffer.close()
    _expect_back(test, peer, "afterwards")


def _policy(path, word):
    (path / "p2pdma/policy").write_text(word)


@case(short=True, modules=(IMPORTER,))
def dmabuf_denied(test):
    """When a policy ends a route, an importer that can move unmaps, and a pinned one is named."""
    peer, alpha, beta = _functions()
    importers, buffer = Importers(test), Buffer(test, peer, MIB)
    moves = importers.attach(alpha, buffer)
    pinned = importers.attach(beta, buffer, "pinned")
    moves.map()
    pinned.map()
    shared = bridges_above(peer)[1]
    test.later(_policy, shared, "auto")
    _policy(shared, "deny")
    until(lambda: not moves.mapped, 10, "unmap of the importer that moves")
    test.equal(moves.notified, 1, "calls of move_notify() for the importer that moves")
    test.refused(errno.EREMOTEIO, moves.map)
    text = f"dma-buf of {MIB} bytes: importer {beta.bdf} keeps a mapping: policy"
    until(lambda: test.logged(text), 10, "a log line with the pinned importer")
    test.equal((pinned.mapped, pinned.notified), (True, 0), "state of the pinned importer")
    seen = sum(text in line for line in test.kernel_log())
    until(lambda: sum(text in line for line in test.kernel_log()) > seen, 15, "a second log line")
    pinned.unmap()
    test.refused(errno.EREMOTEIO, pinned.map)
    _policy(shared, "auto")
    moves.map()
    pinned.map()
    _in_bar(test, peer, moves.entries(), MIB)


def _touch_twice(worker, memory, pipe):
    """Touch, wait for a byte of the parent, touch again."""
    memory[0] = 1
    worker.tick()
    os.read(pipe, 1)
    memory[0] = 2


def _toucher(test, memory):
    """Start a process that has touched the memory. Return the Worker, and a file for a byte."""
    ends = os.pipe()
    for end in ends:
        test.later(os.close, end)
    worker = Worker(test, _touch_twice, memory, ends[0])
    # The process makes a single tick, perhaps before the first look.
    until(worker.ticks, 30, "first touch of a process")
    return worker, ends[1]


@case(short=True, modules=(IMPORTER,))
def dmabuf_unbind(test):
    """Unbinding revokes: mappings end, files stay open and are useless, a rebound heap works."""
    drive = provider()
    peer, alpha, beta = _functions()
    importers, buffer = Importers(test), Buffer(test, peer, MIB)
    moves = importers.attach(alpha, buffer)
    moves.map()
    memory = buffer.map()
    worker, go_on = _toucher(test, memory)
    peer.unbind()
    test.equal((moves.mapped, moves.notified), (False, 1), "state of the importer")
    os.write(go_on, b"x")
    test.equal(worker.wait(), "SIGBUS", "end of a process that touches the memory")
    memory.close()
    test.refused(errno.ENODEV, moves.map)
    test.refused(errno.ENODEV, importers.attach, beta, buffer)
    test.refused(errno.ENODEV, buffer.map)
    for moment in heap.START, heap.END:
        test.refused(errno.ENODEV, buffer.sync, heap.WRITE | moment)
    test.refused(errno.ENODEV, heap.allocate, heap.path(peer), PAGE)
    moves.detach()
    drive.bind()
    again = until(lambda: attempt(Buffer, test, peer, MIB), 20, "a dma-buf of the rebound provider")
    third = importers.attach(alpha, again)
    third.map()
    test.refused(errno.ENODEV, importers.attach, beta, buffer)


@case(short=True)
def dmabuf_held_by_a_path(test):
    """A descriptor of O_PATH keeps the memory of a closed dma-buf, until the unbind."""
    drive = provider()
    peer = drive.function
    buffer = Buffer(test, peer, MIB)
    name = os.open(f"/proc/self/fd/{buffer.fd}", os.O_PATH)
    test.later(os.close, name)
    buffer.close()
    test.equal(heap.counts(peer)[1], MIB, "exported after the file is closed")
    unbind = Worker(test, lambda worker: peer.unbind())
    test.equal(unbind.wait(20), "done", "end of unbinding")
    drive.bind()
    _expect_back(test, peer, "after the unbind")


def _sleeps_in(worker, function):
    """Does a process sleep in a function of the kernel?"""
    return function in pathlib.Path(f"/proc/{worker.pid}/wchan").read_text(encoding="ascii")


def _fill(worker, memory):
    """Let the kernel write into the memory."""
    with open("/dev/zero", "rb", buffering=0) as zero, memoryview(memory) as view:
        worker.tick()
        zero.readinto(view)


@case(short=True, modules=(IMPORTER,))
def dmabuf_killed_in_a_fault(test):
    """A task that waits for a buffer in a page fault of the kernel ends when it is killed."""
    importers, buffer = Importers(test), Buffer(test, provider().function, MIB)
    memory = buffer.map()
    holder = Worker(test, lambda worker: importers.set("hold", str(buffer.fd)))
    until(lambda: _sleeps_in(holder, "importer_hold"), 20, "a task that holds the lock")
    filler = Worker(test, _fill, memory)
    filler.busy(1)
    until(lambda: _sleeps_in(filler, "p2pdma") or _sleeps_in(filler, "ww_mutex"), 20,
          "a task that waits for the lock")
    os.kill(filler.pid, signal.SIGKILL)
    try:
        test.equal(filler.wait(20), "SIGKILL", "end of a task that is killed")
        test.check(not holder.ended(), "the lock was not held any more")
    finally:
        # Where the kill is not seen, the task ends with the lock.
        holder.kill()
    memory[:] = b"\x5a" * MIB
    memory.close()


@case(modules=(IMPORTER,), short=True)
def dmabuf_unbind_waits(test):
    """Unbinding waits for a pinned importer, names it, and ends when it unmaps."""
    drive = provider()
    peer, alpha, _ = _functions()
    importers, buffer = Importers(test), Buffer(test, peer, MIB)
    pinned = importers.attach(alpha, buffer, "pinned")
    pinned.map()
    unbind = Worker(test, lambda worker: peer.unbind())
    text = f"dma-buf of {MIB} bytes: importer {alpha.bdf} keeps a mapping: the provider goes"
    until(lambda: test.logged(text), 20, "a log line with the importer")
    until(lambda: test.logged(f"{MIB // PAGE} pages of peer-to-peer DMA memory in use"), 20,
          "a log line with the number of pages")
    test.check(not unbind.ended(), "unbinding did not wait")
    pinned.unmap()
    test.equal(unbind.wait(20), "done", "end of unbinding")
    pinned.detach()
    drive.bind()


@case(modules=(IMPORTER, EXPORTER), short=True)
def dmabuf_of_a_driver(test):
    """A driver exports memory of its own, and has the memory back at the close or the unbind."""
    drive = provider()
    peer, alpha, _ = _functions()
    importers, exporter = Importers(test), Module(test, EXPORTER)

    def export():
        exporter.set("export", f"{peer.bdf} {MIB}")
        return Buffer(test, peer, MIB, int(exporter.get("export")))

    first = export()
    test.equal(heap.counts(peer), (peer.size() - MIB, MIB), "available and exported")
    with first.map() as memory:
        memory[0] = 7
    one = importers.attach(alpha, first)
    one.map()
    _in_bar(test, peer, one.entries(), MIB)
    first.close()
    test.equal(exporter.get("released"), "0", "releases while an importer has the buffer")
    one.detach()
    until(lambda: exporter.get("released") == "1", 10, "release by the last importer")
    _expect_back(test, peer, "after the release")
    second = export()
    peer.unbind()
    test.equal(exporter.get("released"), "2", "releases after the unbind")
    second.close()
    test.equal(exporter.get("released"), "2", "releases after the close")
    drive.bind()


def _pass_on(fd):
    """Send FD through a socket. Return the descriptor that arrives."""
    one, other = socket.socketpair()
    with one, other:
        socket.send_fds(one, [b"x"], [fd])
        return socket.recv_fds(other, 1, 1)[1][0]


@case(short=True)
def dmabuf_lifetimes(test):
    """fork(), passed descriptors, any order of close, and SIGKILL: everything comes back."""
    peer = provider().function
    choice = random.Random(20261126)
    for _ in range(20):
        buffer = Buffer(test, peer, choice.randrange(1, 64) * PAGE)
        memory = buffer.map()
        passed = Buffer(test, peer, buffer.length, _pass_on(buffer.fd))
        worker, _ = _toucher(test, memory)
        steps = [memory.close, buffer.close, passed.close, worker.kill]
        choice.shuffle(steps)
        for step in steps[:-1]:
            step()
            test.check(heap.exported(peer), "the memory came back too early")
        steps[-1]()
        heap.all_back(test, peer)


@case(seconds=240)
def dmabuf_killed_while_allocating(test):
    """A task that allocates is killed at any time, and loses nothing."""
    peer = provider().function

    def allocate_forever(worker):
        while True:
            os.close(heap.allocate(heap.path(peer), peer.size()))
            worker.tick()

    choice = random.Random(20261127)
    for _ in range(20):
        worker = Worker(test, allocate_forever)
        time.sleep(choice.random() / 5)     # the moment of the kill is random on purpose
        os.kill(worker.pid, signal.SIGKILL)
        test.equal(worker.wait(20), "SIGKILL", "end of the task")
        heap.all_back(test, peer)


@case("fabric", short=True, modules=(RNIC, CASES), seconds=240)
def dmabuf_rdma(test):
    """The RNIC copies a dma-buf to a dma-buf: all addresses are in the BAR, and the bytes match."""
    peer = provider().function
    size = MIB
    source, target = Buffer(test, peer, size), Buffer(test, peer, size)
    wanted = random.Random(1).randbytes(size)
    with source.map() as memory:
        memory[:] = wanted
    with Rnic(test):
        test.host("trace_begin")
        done = subprocess.run(["insmod", test.module(CASES), f"dmabuf={source.fd},{target.fd}",
                               f"dmabuf_bytes={size}"], capture_output=True, text=True,
                              pass_fds=(source.fd, target.fd))
        if not done.returncode:
            subprocess.run(["rmmod", CASES], check=True)
        found = test.host("trace_drives", bar=peer.bar(peer.BAR), pages=[])
    test.equal(done.returncode, 0, f"status of insmod ({done.stderr.strip()})")
    test.check(test.logged("ok 1 copy_dmabuf"), "the case was not run")
    for way in ("out", "in"):
        seen = found.get(str(NSID["rnic"]), {}).get(way, NOTHING)
        test.equal(seen["peer"], size, f"bytes that the RNIC mastered in the BAR, {way}")
        test.equal(seen["buffer"] + seen["elsewhere"], 0, f"bytes in system RAM, {way}")
    with target.map() as memory:
        test.check(memory[:] == wanted, "the bytes differ")
    source.close()
    target.close()
    heap.all_back(test, peer)


# Providers with several regions, and providers that publish nothing

def _card(test, *ranges):
    """Bind the card, with a published region for each (offset, length). Return the function."""
    card = bound_card(test, ANY_RANGE)
    for offset, length in ranges:
        add_range(card, card.BAR, length, offset)
    (card.path / "publish").write_text("1")
    return card


@case(short=True, modules=(IMPORTER, ANY_RANGE))
def dmabuf_regions(test):
    """A dma-buf may have memory of several regions. Counts, mappings and revocation work."""
    card = _card(test, (0, 6 * MIB), (6 * MIB, 4 * MIB), (10 * MIB, 6 * MIB))
    alpha, beta = Drive("alpha").function, Drive("beta").function
    importers = Importers(test)
    size = card.size()
    test.equal(size, 16 * MIB, "size of all regions")
    whole = Buffer(test, card, size)
    test.equal(heap.counts(card), (0, size), "available and exported")
    with whole.map() as memory:
        for at in range(0, size, PAGE):
            struct.pack_into("I", memory, at, at)
        for at in range(0, size, PAGE):
            test.equal(struct.unpack_from("I", memory, at)[0], at, f"word at {at:#x}")
    moves = importers.attach(alpha, whole)
    pinned = importers.attach(beta, whole, "pinned")
    for each in (moves, pinned):
        each.map()
        _in_bar(test, card, each.entries(), size)
    pinned.unmap()
    card.unbind()
    test.equal((moves.mapped, moves.notified), (False, 1), "state of the importer that moves")
    for each in (moves, pinned):
        test.refused(errno.ENODEV, each.map)
    whole.close()
    card.bind(ANY_RANGE)
    add_range(card, card.BAR)
    (card.path / "publish").write_text("1")
    Buffer(test, card, size).close()
    heap.all_back(test, card)


@case(short=True, modules=(IMPORTER, ANY_RANGE))
def dmabuf_unpublished(test):
    """A heap gives memory only while the provider publishes, and what was given stays."""
    card = _card(test, (0, 16 * MIB))
    importers, buffer = Importers(test), Buffer(test, card, MIB)
    importer = importers.attach(Drive("alpha").function, buffer)
    (card.path / "publish").write_text("0")
    test.refused(errno.ENODEV, heap.allocate, heap.path(card), PAGE)
    importer.map()
    _in_bar(test, card, importer.entries(), MIB)
    test.equal(heap.counts(card), (15 * MIB, MIB), "available and exported")
    (card.path / "publish").write_text("1")
    Buffer(test, card, 15 * MIB).close()
