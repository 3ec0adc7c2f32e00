# SPDX-License-Identifier: GPL-2.0
"""Copies between drives through peer memory. Check contents and addresses of the DMA."""
import mmap
import os
import subprocess
import sys

from guest import transfer
from guest.case import case
from guest.devices import Drive, provider

SECTOR = 512
# From a sector to several commands, with sizes below, equal to and above a page.
SIZES = (SECTOR, 3 * SECTOR, 4096, 4096 + SECTOR, 64 << 10, (512 << 10) + SECTOR, 3 << 20)
ALL_TOPOLOGIES = "switch amd-root-ports two-host-bridges viommu"


def _copy(test, source, target, memory, length, offset, at, traced_by=None):
    """Copy LENGTH bytes at disk offset AT through MEMORY[OFFSET:], and compare all bytes."""
    wanted = transfer.contents(source, length, at)
    # First make the destination differ, because equal old data would hide a lost write.
    transfer.put(target, bytes(byte ^ 0xff for byte in wanted[:SECTOR]) * (length // SECTOR), at)
    if traced_by:
        with transfer.evidence(test, traced_by) as seen:
            transfer.read_into(source, memory, length, at, offset)
            transfer.write_from(target, memory, length, at, offset)
        test.equal((seen.peer, seen.ram, seen.own), (2 * length, 0, 0),
                   f"bytes in the peer's BAR, in RAM ({seen.first_outside}) and by the provider "
                   f"itself, for a copy of {length}")
    else:
        transfer.read_into(source, memory, length, at, offset)
        transfer.write_from(target, memory, length, at, offset)
    test.check(transfer.contents(target, length, at) == wanted,
               f"{length} bytes from {source.serial} to {target.serial} arrived changed")


@case(ALL_TOPOLOGIES, short=True)
def copy_sizes(test):
    """Copy in both directions, with various sizes and offsets inside a page."""
    peer, alpha, beta = provider(), Drive("alpha"), Drive("beta")
    # Under an IOMMU the trace has translated addresses, so check only the contents.
    traced = None if os.path.exists("/sys/class/iommu/dmar0") else peer.function
    memory = peer.function.map(4 << 20)
    for number, size in enumerate(SIZES):
        offset = (number % 4) * SECTOR
        _copy(test, alpha, beta, memory, size, offset, number * SECTOR, traced)
        _copy(test, beta, alpha, memory, size, offset, (16 << 20) + number * SECTOR, traced)
    memory.close()


@case()
def copy_whole_memory(test):
    """Map all memory of the provider, and copy through the whole mapping."""
    peer, alpha, beta = provider(), Drive("alpha"), Drive("beta")
    length = peer.function.available()
    test.equal(length, peer.function.size(), "available, before anything is mapped")
    memory = peer.function.map(length)
    test.equal(peer.function.available(), 0, "available, with all of it mapped")
    length = min(length, alpha.size)
    with transfer.evidence(test, peer.function) as seen:
        transfer.read_into(alpha, memory, length)
        transfer.write_from(beta, memory, length)
    test.equal((seen.peer, seen.ram), (2 * length, 0), "bytes in the peer's BAR and in RAM")
    test.equal(seen.peer_pages, length // mmap.PAGESIZE, "different pages of the BAR")
    memory.close()
    test.equal(peer.function.available(), peer.function.size(), "available, after munmap")
    for at in range(0, length, 8 << 20):
        test.check(transfer.contents(alpha, 8 << 20, at) == transfer.contents(beta, 8 << 20, at),
                   f"beta differs from alpha in the 8 MiB at {at}")


@case(short=True)
def evidence_sees_ram(test):
    """The evidence shows a copy through system memory as bytes in RAM."""
    peer, alpha, beta = provider(), Drive("alpha"), Drive("beta")
    memory, length = transfer.ram(1 << 20), 1 << 20
    with transfer.evidence(test, peer.function) as seen:
        transfer.read_into(alpha, memory, length)
        transfer.write_from(beta, memory, length)
    test.equal((seen.peer, seen.own, seen.ram), (0, 0, 2 * length),
               "bytes in the peer's BAR, by the provider itself, and in RAM")
    memory.close()


@case()
def evidence_sees_one_bounce(test):
    """The evidence shows a sector in RAM beside a copy through peer memory."""
    peer, alpha = provider(), Drive("alpha")
    memory, bounce = peer.function.map(1 << 20), transfer.ram(4096)
    with transfer.evidence(test, peer.function) as seen:
        transfer.read_into(alpha, memory, 1 << 20)
        transfer.read_into(alpha, bounce, SECTOR)
    test.equal((seen.peer, seen.ram), (1 << 20, SECTOR), "bytes in the peer's BAR and in RAM")
    memory.close()


@case("switch amd-root-ports intel-root-ports", short=True)
def copy_by_the_provider_itself(test):
    """A drive can use its own memory in all topologies."""
    peer = provider()
    memory, length = peer.function.map(1 << 20), 1 << 20
    wanted = transfer.contents(peer, length)
    with transfer.evidence(test, peer.function) as seen:
        transfer.read_into(peer, memory, length)
        transfer.write_from(peer, memory, length, disk_offset=8 << 20)
    test.equal((seen.own, seen.peer, seen.ram), (2 * length, 0, 0),
               "bytes by the provider itself, by others and in RAM")
    test.check(transfer.contents(peer, length, 8 << 20) == wanted, "the copy differs")
    memory.close()


@case(ALL_TOPOLOGIES)
def many_segments(test):
    """A request can have pages of peer memory and pages of RAM."""
    peer, alpha = provider(), Drive("alpha")
    first, middle, last = peer.function.map(8192), transfer.ram(8192), peer.function.map(8192)
    fd = alpha.open()
    wanted = transfer.contents(alpha, 3 * 8192)
    moved = os.preadv(fd, [first, middle, last], 0)
    test.equal(moved, len(wanted), "bytes read into three places by one request")
    test.check(first[:] + middle[:] + last[:] == wanted, "the three places hold other bytes")
    test.equal(os.pwritev(fd, [last, middle, first], 1 << 20), len(wanted), "bytes written")
    test.check(transfer.contents(alpha, 3 * 8192, 1 << 20) == wanted[16384:] +
               wanted[8192:16384] + wanted[:8192], "the drive holds other bytes")
    os.close(fd)


@case("amd-root-ports", short=True)
def memory_shared_with_queues(test):
    """The provider works with NVMe queues and mappings in the same memory, also after a rebind."""
    peer, alpha = provider(), Drive("alpha")
    left = peer.function.available()
    test.check(0 < left < peer.function.size(), f"{left} available: there are no queues in it")
    for _ in range(2):
        memory = peer.function.map(left)
        transfer.read_into(alpha, memory, 4 << 20)
        test.check(memory[:4 << 20] == transfer.contents(alpha, 4 << 20), "other bytes arrived")
        # Commands to the provider's disk use the queues in the memory.
        test.equal(len(transfer.contents(peer, 1 << 20)), 1 << 20, "bytes of the provider's disk")
        memory.close()
        test.equal(peer.function.available(), left, "available, after munmap")
        peer.function.unbind()
        peer.bind()
        test.equal(peer.function.available(), left, "available, after unbind and bind")


@case(short=True)
def python_program(test):
    """A short program without special libraries copies through peer memory."""
    alpha, beta, peer = Drive("alpha"), Drive("beta"), provider()
    program = os.path.join(os.path.dirname(__file__), "guest/p2pcopy.py")
    wanted = transfer.contents(alpha, 2 << 20)
    done = subprocess.run([sys.executable, program, alpha.path, beta.path,
                           peer.function.allocate(), str(2 << 20)],
                          capture_output=True, text=True)
    test.equal(done.returncode, 0, f"exit status of the program ({done.stderr.strip()})")
    test.check(transfer.contents(beta, 2 << 20) == wanted, "the program moved other bytes")
    test.equal(peer.function.available(), peer.function.size(), "available, after it ended")
