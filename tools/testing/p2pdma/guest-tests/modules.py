# SPDX-License-Identifier: GPL-2.0
"""The interface for drivers: an external module, wrong arguments, failing allocations."""
import errno
import os
import pathlib

from guest import nvmet, transfer
from guest.case import case
from guest.devices import Drive, Function, Provider, provider
from guest.module import Module

CARD = (0x1af4, 0x1110)         # an ivshmem: its BAR 2 is memory
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


def _bind(test, identity):
    """Bind a function to p2pdma_card, a driver that registers ranges on request."""
    function = Provider.by_id(*identity)
    override = function.path / "driver_override"
    override.write_text("p2pdma_card")
    function.bind("p2pdma_card")
    test.later(override.write_text, "\n")
    test.later(lambda: function.driver() and function.unbind())
    return function


def _add(function, bar, size=0, offset=0):
    with open(function.path / "add_range", "w") as file:
        file.write(f"{bar} {size:#x} {offset:#x}")


def _nothing_registered(test, function):
    test.check(not (function.path / "p2pmem").exists(), "something was registered")


@case(modules=("p2pdma_card",))
def bad_bars(test):
    """BARs that do not exist, have I/O ports, are empty or too small are refused with EINVAL."""
    Module(test, "p2pdma_card")
    probe = _bind(test, PROBE)
    test.check(int(probe.text("resource").splitlines()[1].split()[2], 16) & 0x100,
               "BAR 1 of the test device has no I/O ports")
    test.equal(probe.bar(2), (0, 0), "BAR 2 of the test device")
    for bar in (-1, 6, 7, 17, 0x7fffffff, -0x80000000, 1, 2, 5, 0):
        test.refused(errno.EINVAL, _add, probe, bar)
        test.refused(errno.EINVAL, _add, probe, bar, 2 * MIB)
        _nothing_registered(test, probe)


@case(modules=("p2pdma_card",))
def bad_ranges(test):
    """Ranges that wrap, exceed the BAR or are not aligned are refused with EINVAL."""
    Module(test, "p2pdma_card")
    card = _bind(test, CARD)
    whole = card.bar(2)[1] - card.bar(2)[0] + 1
    top = 1 << 64
    for size, offset in ((top - 2 * MIB, 2 * MIB), (2 * MIB, top - 2 * MIB), (top - 4096, 8192),
                         (whole, 2 * MIB), (whole + 2 * MIB, 0), (0, whole), (0, whole + 2 * MIB),
                         (2 * MIB, whole), (top - 1, 1), (4096, 0), (2 * MIB, 4096),
                         (2 * MIB + 1, 0)):
        test.refused(errno.EINVAL, _add, card, 2, size, offset)
        _nothing_registered(test, card)


@case(modules=("p2pdma_card",), short=True)
def memory_mapped_before(test):
    """The log warns where a mapping that is not uncached decides the caching of peer memory."""
    Module(test, "p2pdma_card")
    warning = "BAR 2 was mapped before, and not uncached"
    card = _bind(test, CARD)
    _add(card, 2)
    test.check(not test.logged(warning), "a warning without a mapping")
    card.unbind()
    card.bind("p2pdma_card")
    (card.path / "map_wc").write_text("2")
    _add(card, 2)
    test.check(test.logged(warning), "no warning, although the BAR is write-combining")
    memory = card.map(4096)
    memory[:] = b"\x5a" * 4096
    test.check(memory[:] == b"\x5a" * 4096, "write-combining memory does not hold bytes")
    memory.close()


@case(modules=("p2pdma_card",))
def memory_not_published(test):
    """The log tells memory that is not published from no memory at all."""
    Module(test, "p2pdma_card")
    card = _bind(test, CARD)
    with nvmet.Namespace("hidden", Drive("alpha").path) as namespace:
        for published, words in ((None, "no"), ("0", "not published its")):
            if published:
                _add(card, 2)
                (card.path / "publish").write_text(published)
            seen = len(test.kernel_log())
            test.refused(errno.ENODEV, namespace.set, "p2pmem", card.bdf)
            said = "\n".join(test.kernel_log()[seen:])
            test.check(f"PCI device has {words} peer-to-peer memory: {card.bdf}" in said, said)
        (card.path / "publish").write_text("1")
        namespace.set("p2pmem", card.bdf)
        test.equal(namespace.get("p2pmem"), card.bdf, "the provider")
        namespace.set("p2pmem", "0")


@case(modules=("p2pdma_card",))
def taken_ranges(test):
    """A second registration of a range is refused, and changes nothing."""
    Module(test, "p2pdma_card")
    card = _bind(test, CARD)
    _add(card, 2, 4 * MIB, 4 * MIB)
    memory = card.map(64 << 10)
    memory[0] = 42
    for size, offset in ((4 * MIB, 4 * MIB), (0, 0), (2 * MIB, 6 * MIB), (4 * MIB, 2 * MIB),
                         (8 * MIB, 2 * MIB), (2 * MIB, 4 * MIB)):
        test.refused(errno.EBUSY, _add, card, 2, size, offset)
        test.equal(card.size(), 4 * MIB, "size, after a refusal")
    test.equal(memory[0], 42, "a byte of a mapping, after the refusals")
    memory.close()
    # Adjacent ranges are allowed.
    _add(card, 2, 4 * MIB, 0)
    _add(card, 2, 0, 8 * MIB)
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


class Injection:
    """Fault injection: let the Nth slab allocation of a call fail, for each possible N."""

    def __init__(self, test):
        if not os.path.exists("/proc/self/fail-nth"):
            test.skip("this kernel has no fault injection")
        self._aim_at_slab(test)
        self._nth = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
        test.later(os.close, self._nth)

    @staticmethod
    def _aim_at_slab(test):
        """Let all slab allocations fail without a log message, and no page allocations."""
        debug = pathlib.Path("/sys/kernel/debug")
        test.check((debug / "failslab").exists(), "fault injection without failslab")
        for name, value in (("failslab/ignore-gfp-wait", "0"), ("failslab/verbose", "0"),
                            ("failslab/cache-filter", "0"), ("fail_page_alloc/min-order", "32")):
            file = debug / name
            if file.exists():
                test.later(file.write_text, file.read_text())
                file.write_text(value)

    def call(self, point, function, *args):
        """Call FUNCTION, and let allocation POINT fail. Return (failed, OSError or None)."""
        error = None
        os.pwrite(self._nth, str(point).encode(), 0)
        try:
            function(*args)
        except OSError as caught:
            error = caught
        # The count is zero if the allocation failed.
        left = int(os.pread(self._nth, 32, 0).split(b"\0")[0])
        os.pwrite(self._nth, b"0", 0)
        return not left, error

    def each(self, test, attempt):
        """Call attempt(point) for 1, 2, ... until no allocation fails."""
        for point in range(1, 1000):
            if not attempt(point):
                test.note(f"{point - 1} allocations were made to fail")
                return point - 1
        raise RuntimeError("a call that allocates for ever")


def _prepared_card(test):
    injection = Injection(test)
    Module(test, "p2pdma_card")
    card = _bind(test, CARD)
    card.unbind()
    return injection, card


# If the kernel cannot add pages, the x86 code warns and returns an error.
@case(modules=("p2pdma_card",), seconds=300,
      may_log=(r"WARNING: CPU: \d+ PID: \d+ at arch/x86/mm/init_64\.c:\d+ add_pages",))
def failing_registration(test):
    """A registration with a failing allocation changes nothing, and the next registration works."""
    injection, card = _prepared_card(test)

    def attempt(point):
        card.bind("p2pdma_card")
        add = os.open(card.path / "add_range", os.O_WRONLY)
        failed, error = injection.call(point, os.write, add, b"2 0 0")
        os.close(add)
        if error:
            test.equal(error.errno, errno.ENOMEM, f"errno, with allocation {point} failing")
            _nothing_registered(test, card)
        else:
            card.map(64 << 10).close()
            test.equal(card.available(), card.size(), f"available, after failure {point}")
        card.unbind()
        _nothing_registered(test, card)
        return failed

    count = injection.each(test, attempt)
    test.check(count >= 10, f"only {count} points of failure: the injection does not work")


@case(modules=("p2pdma_card",), seconds=300)
def failing_teardown(test):
    """Teardown succeeds with any failing allocation."""
    injection, card = _prepared_card(test)

    def attempt(point):
        card.bind("p2pdma_card")
        _add(card, 2)
        memory = card.map(64 << 10)
        unbind = os.open(card.path / "driver/unbind", os.O_WRONLY)
        failed, error = injection.call(point, os.write, unbind, card.bdf.encode())
        os.close(unbind)
        memory.close()
        # If the buffer for the write failed, the function is still bound.
        if error:
            test.equal(error.errno, errno.ENOMEM, f"errno, with allocation {point} failing")
            test.equal(card.available(), card.size(), "available, after no unbinding")
            card.unbind()
        test.equal(card.driver(), None, "driver, after unbinding")
        _nothing_registered(test, card)
        return failed

    injection.each(test, attempt)


@case(modules=("p2pdma_card",), seconds=300)
def failing_mapping(test):
    """A mapping that fails returns all pages."""
    injection, card = _prepared_card(test)
    card.bind("p2pdma_card")
    _add(card, 2)

    def attempt(point):
        mapped = []
        failed, error = injection.call(point, lambda: mapped.append(card.map(64 << 10)))
        if error:
            test.equal(error.errno, errno.ENOMEM, f"errno, with allocation {point} failing")
        for memory in mapped:
            test.check(memory[:] == bytes(64 << 10), "the memory is not zeroed")
            memory.close()
        test.equal(card.available(), card.size(), f"available, after failure {point}")
        return failed

    count = injection.each(test, attempt)
    test.check(count >= 3, f"only {count} points of failure: the injection does not work")


@case(seconds=300)
def failing_transfer(test):
    """A transfer without a cached route succeeds, or fails with ENOMEM or EAGAIN."""
    injection, peer, alpha = Injection(test), provider(), Drive("alpha")
    length = 64 << 10
    wanted = transfer.contents(alpha, length)
    fd = alpha.open()
    test.later(os.close, fd)

    def attempt(point):
        memory = peer.function.map(length)
        failed, error = injection.call(point, os.preadv, fd, [memory], 0)
        if error:
            test.check(error.errno in (errno.ENOMEM, errno.EAGAIN), f"{error}, at {point}")
        else:
            test.check(memory[:] == wanted, f"other bytes arrived, with allocation {point} failing")
        memory.close()
        # A new registration starts without cached routes.
        peer.function.unbind()
        peer.function.bind()
        peer.find()
        return failed

    injection.each(test, attempt)
