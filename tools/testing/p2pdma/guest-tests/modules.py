# SPDX-License-Identifier: GPL-2.0
"""The interface for drivers: an external module, wrong arguments, failing allocations."""
import errno
import pathlib

from guest import nvmet
from guest.card import ANY_RANGE, CARD, add_range, bind, bound_card
from guest.case import case
from guest.devices import Drive, Function, provider
from guest.module import Module, caching

PROBE = (0x1b36, 0x0005)        # BAR 0 is tiny, BAR 1 has I/O ports, BAR 2 is not there
ENGINE = (0x1234, 0x11e8)       # an edu: a DMA engine
MIB = 1 << 20
DRIVER = pathlib.Path("/sys/bus/pci/drivers/p2pdma_card")


@case(modules=("p2pdma_api",), short=True)
def out_of_tree_module(test):
    """The test module uses the documented names and the names of Linux 6.12."""
    peer, alpha = provider(), Drive("alpha")
    Module(test, "p2pdma_api", f"provider={peer.bdf}", f"client={alpha.bdf}")
    test.equal(peer.function.available(), peer.function.size(), "available, afterwards")


@case(modules=("p2pdma_example",), short=True)
def example_driver(test):
    """The example driver of the documentation works."""
    Module(test, "p2pdma_example")
    engine = Function.by_id(*ENGINE)
    test.equal(engine.driver(), "p2pdma_example_engine", "driver of the engine")
    for byte in (0x01, 0xa5):
        (engine.path / "carry").write_text(str(byte))
    carried = [line for line in test.kernel_log() if "carried" in line and engine.bdf in line]
    test.equal(len(carried), 2, "reports of the engine in the log")
    test.note(carried[0])


@case("switch amd-root-ports two-host-bridges", modules=("p2pdma_user",), short=True)
def distances(test):
    """Check the distances in the topologies."""
    peer, alpha, beta = provider(), Drive("alpha"), Drive("beta")
    user = Module(test, "p2pdma_user")
    for client in (alpha, beta):
        user.set("ask", f"{peer.bdf} {client.bdf}")
        # Two hops up to the shared parent (switch or host bridge), and two hops down.
        test.equal(int(user.get("ask")), 4, f"distance to {client.serial}")
    user.set("ask", f"{peer.bdf} {peer.bdf}")
    test.equal(int(user.get("ask")), 0, "distance to itself")


def _nothing_registered(test, function):
    test.check(not (function.path / "p2pmem").exists(), "something was registered")


@case(modules=(ANY_RANGE,))
def bad_bars(test):
    """BARs that do not exist, have I/O ports, are empty or too small are refused with EINVAL."""
    Module(test, ANY_RANGE)
    probe = bind(test, ANY_RANGE, PROBE)
    test.check(int(probe.text("resource").splitlines()[1].split()[2], 16) & 0x100,
               "BAR 1 of the test device has no I/O ports")
    test.equal(probe.bar(2), (0, 0), "BAR 2 of the test device")
    for bar in (-1, 6, 7, 17, 0x7fffffff, -0x80000000, 1, 2, 5, 0):
        test.refused(errno.EINVAL, add_range, probe, bar)
        test.refused(errno.EINVAL, add_range, probe, bar, 2 * MIB)
        _nothing_registered(test, probe)


@case(modules=(ANY_RANGE,))
def bad_ranges(test):
    """Ranges that wrap, exceed the BAR or are not aligned are refused with EINVAL."""
    card = bound_card(test, ANY_RANGE)
    whole = card.bar(2)[1] - card.bar(2)[0] + 1
    top = 1 << 64
    for size, offset in ((top - 2 * MIB, 2 * MIB), (2 * MIB, top - 2 * MIB), (top - 4096, 8192),
                         (whole, 2 * MIB), (whole + 2 * MIB, 0), (0, whole), (0, whole + 2 * MIB),
                         (2 * MIB, whole), (top - 1, 1), (4096, 0), (2 * MIB, 4096),
                         (2 * MIB + 1, 0)):
        test.refused(errno.EINVAL, add_range, card, 2, size, offset)
        _nothing_registered(test, card)


@case(modules=(ANY_RANGE, "p2pdma_user"), short=True)
def memory_mapped_before(test):
    """The log warns where a mapping that is not uncached decides the caching of peer memory."""
    Module(test, ANY_RANGE)
    warning = "BAR 2 was mapped before, and not uncached"
    card = bind(test, ANY_RANGE, CARD)
    add_range(card, 2)
    test.check(not test.logged(warning), "a warning without a mapping")
    card.unbind()
    card.bind(ANY_RANGE)
    (card.path / "map_wc").write_text("2")
    add_range(card, 2)
    test.check(test.logged(warning), "no warning, although the BAR is write-combining")
    memory = card.map(4096)
    memory[:] = b"\x5a" * 4096
    test.check(memory[:] == b"\x5a" * 4096, "write-combining memory does not hold bytes")
    test.equal(caching(Module(test, "p2pdma_user"), memory), "uncached", "caching for user space")
    memory.close()


@case(modules=(ANY_RANGE,))
def memory_not_published(test):
    """The log tells memory that is not published from no memory at all."""
    card = bound_card(test, ANY_RANGE)
    with nvmet.Namespace("hidden", Drive("alpha").path) as namespace:
        for published, words in ((None, "no"), ("0", "not published its")):
            if published:
                add_range(card, 2)
                (card.path / "publish").write_text(published)
            seen = len(test.kernel_log())
            test.refused(errno.ENODEV, namespace.set, "p2pmem", card.bdf)
            said = "\n".join(test.kernel_log()[seen:])
            test.check(f"PCI device has {words} peer-to-peer memory: {card.bdf}" in said, said)
        (card.path / "publish").write_text("1")
        namespace.set("p2pmem", card.bdf)
        test.equal(namespace.get("p2pmem"), card.bdf, "the provider")
        namespace.set("p2pmem", "0")


@case(modules=(ANY_RANGE,))
def taken_ranges(test):
    """A second registration of a range is refused, and changes nothing."""
    card = bound_card(test, ANY_RANGE)
    add_range(card, 2, 4 * MIB, 4 * MIB)
    memory = card.map(64 << 10)
    memory[0] = 42
    for size, offset in ((4 * MIB, 4 * MIB), (0, 0), (2 * MIB, 6 * MIB), (4 * MIB, 2 * MIB),
                         (8 * MIB, 2 * MIB), (2 * MIB, 4 * MIB)):
        test.refused(errno.EBUSY, add_range, card, 2, size, offset)
        test.equal(card.size(), 4 * MIB, "size, after a refusal")
    test.equal(memory[0], 42, "a byte of a mapping, after the refusals")
    memory.close()
    # Adjacent ranges are allowed.
    add_range(card, 2, 4 * MIB, 0)
    add_range(card, 2, 0, 8 * MIB)
    test.equal(card.size(), 16 * MIB, "size, with all three ranges")
    test.equal(card.available(), 16 * MIB, "available, with all three ranges")
    pages = [card.map(2 * MIB) for _ in range(8)]
    test.equal(card.available(), 0, "available, with all of it mapped")
    for page in pages:
        page.close()
    card.unbind()
    _nothing_registered(test, card)


# Wrong calls to free memory that is not allocated; twice0 to twice3 differ in length.
SLIPS = ("twice0", "twice1", "twice2", "twice3", "half", "misaligned", "endless", "foreign", "list", "offset", "far-offset")
FREE_EVENT = pathlib.Path("/sys/kernel/tracing/events/p2pdma/p2pmem_free/enable")


@case(modules=("p2pdma_slip",), short=True,
      may_log=(r"WARNING: CPU: \d+ PID: \d+ at drivers/pci/p2pdma-mem\.c:\d+ p2pmem_free_slow",))
def bad_frees(test):
    """A wrong free changes nothing and causes a warning with the name of the caller."""
    peer = provider()
    slip = Module(test, "p2pdma_slip")
    before = peer.function.available()
    test.later(FREE_EVENT.write_text, "0")
    # With tracing, a free takes another path in the kernel.
    for traced in ("0", "1"):
        FREE_EVENT.write_text(traced)
        for what in SLIPS:
            seen = len(test.kernel_log())
            slip.set("slip", f"{peer.bdf} {what}")
            said = [line for line in test.kernel_log()[seen:] if "that are not allocated" in line]
            test.equal(len(said), 1, f"warnings after {what}, traced: {traced}")
            test.check(said[0].startswith(f"{peer.bdf}: slip_") and "[p2pdma_slip]" in said[0],
                       f"the warning does not name the caller: {said[0]}")
            test.equal(peer.function.available(), before, f"available, after {what}")
    peer.function.map(2 * MIB).close()
    test.equal(peer.function.available(), before, "available, after a mapping")
