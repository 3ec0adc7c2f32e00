# SPDX-License-Identifier: GPL-2.0
"""Known defects of the implementation in Linux 6.12, with files and modules that stock has, too.

"rig defects" runs the cases on both kernels: each case fails on stock, and passes here. The table
of riglib/defects.py says how each case has to fail.
"""
import ctypes
import errno
import mmap
import os

from guest.card import ANY_RANGE, add_range, bound_card
from guest.case import case
from guest.devices import Drive, provider, until
from guest.module import Module, caching
from guest.worker import Worker

MIB = 1 << 20
PAGE = mmap.PAGESIZE


@case(modules=(ANY_RANGE,))
def defect_range_wraps(test):
    """A range whose offset and size wrap is refused."""
    card = bound_card(test, ANY_RANGE)
    test.refused(errno.EINVAL, add_range, card, card.BAR, (1 << 64) - 2 * MIB, 2 * MIB)


@case(modules=(ANY_RANGE,))
def defect_registered_twice(test):
    """A registration that fails leaves the memory of an earlier one in use."""
    card = bound_card(test, ANY_RANGE)
    add_range(card, card.BAR, 4 * MIB)
    # The driver core itself refuses to map a range twice.
    test.refused((errno.EBUSY, errno.ENOMEM, errno.EINVAL), add_range, card, card.BAR, 4 * MIB)
    test.check(os.path.exists(card.allocate()), "the file 'allocate' has gone")
    card.map(PAGE).close()


@case(modules=(ANY_RANGE,))
def defect_registered_at_once(test):
    """Two tasks register ranges of a function at once, and the provider has both."""
    card = bound_card(test, ANY_RANGE)
    for _ in range(50):
        (card.path / "add_at_once").write_text(f"{card.BAR} {2 * MIB}")
        test.equal(card.size(), 4 * MIB, "size of both ranges")
        card.unbind()
        card.bind(ANY_RANGE)


@case("intel-root-ports", modules=("p2pdma_user",))
def defect_silent_about_host(test):
    """The log names a host bridge that is not known, also where no port redirects."""
    user = Module(test, "p2pdma_user")
    user.set("ask", f"{provider().function.bdf} {Drive('alpha').function.bdf}")
    test.check(int(user.get("ask")) < 0, "the host bridge is known")
    test.check(test.logged("ost bridge not in P2PDMA whitelist"), "no word about the host bridge")


@case()
def defect_bytes_of_others(test):
    """A mapping shows no bytes of an earlier owner."""
    peer = provider().function
    length = peer.size()
    memory = peer.map(length)
    memory[:] = b"\xa5" * length
    memory.close()
    until(lambda: peer.available() == length, 20, "return of the memory")
    memory = peer.map(length)
    test.check(not memory[0] and memory[:] == bytes(length), "bytes of an earlier owner")
    memory.close()


@case(modules=("p2pdma_user",))
def defect_cached_mapping(test):
    """A mapping is uncached, like the kernel's own mapping of the memory."""
    memory = provider().function.map(PAGE)
    test.later(memory.close)
    test.equal(caching(Module(test, "p2pdma_user"), memory), "uncached", "caching of a mapping")


@case(modules=("p2pdma_user",))
def defect_fragments(test):
    """A scatterlist gets memory in pieces, where half of the memory is free."""
    peer, user = provider().function, Module(test, "p2pdma_user")
    user.set("sieve", f"{peer.bdf} {peer.size() // PAGE}")
    test.later(user.set, "sieve", "0")
    test.check(peer.available() >= peer.size() // 2, "less than half of the memory is free")
    user.set("hold", f"{peer.bdf} {MIB}")
    user.set("hold", "0")


def _fault(worker, peer):
    """Let the kernel write to a page that is clean and read-only in the page table."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                          ctypes.c_int, ctypes.c_long)
    fd, zero = os.open(peer.allocate(), os.O_RDWR), os.open("/dev/zero", os.O_RDONLY)
    address = libc.mmap(None, PAGE, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    ctypes.string_at(address, 1)
    libc.mprotect(ctypes.c_void_p(address), PAGE, mmap.PROT_READ | mmap.PROT_WRITE)
    if libc.read(zero, ctypes.c_void_p(address), PAGE) == PAGE:
        worker.tick()


@case()
def defect_endless_fault(test):
    """A write fault on a clean page of a mapping ends."""
    worker = Worker(test, _fault, provider().function)
    until(worker.ticks, 20, "end of a write fault")


@case(modules=("p2pdma_user",))
def defect_silent_unbind(test):
    """Unbinding while a driver uses the memory says in the log why unbinding waits."""
    drive = provider()
    peer, user = drive.function, Module(test, "p2pdma_user")
    user.set("hold", f"{peer.bdf} {7 * PAGE}")
    test.later(user.set, "hold", "0")
    seen = len(test.kernel_log())
    unbind = Worker(test, lambda worker: peer.unbind())
    try:
        until(lambda: any("in use" in line for line in test.kernel_log()[seen:]), 20,
              "word about memory in use")
    finally:
        user.set("hold", "0")
    test.equal(unbind.wait(30), "done", "end of unbinding")
    drive.bind()
