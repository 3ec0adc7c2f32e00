# SPDX-License-Identifier: GPL-2.0
"""The driver pci_p2pmem, which registers a BAR of a chosen function as peer memory."""
import contextlib
import errno
import pathlib
import subprocess

from guest import transfer
from guest.card import CARD
from guest.case import case
from guest.devices import Drive, Function, Provider, until
from guest.module import Module
from guest.worker import Worker, read_forever, touch

NAME = "pci_p2pmem"
DRIVER = pathlib.Path("/sys/bus/pci/drivers", NAME)
PROBE = (0x1b36, 0x0005)        # BAR 0 is tiny, BAR 1 has I/O ports, BAR 2 is not there
MIB, GIB = 1 << 20, 1 << 30
LENGTH = 4 * MIB


def _override(test, function, name=NAME):
    """Reserve a function for the driver NAME until the end of the case."""
    override = function.path / "driver_override"
    override.write_text(name)
    test.later(lambda: function.exists() and override.write_text("\n"))


def _card(test, bind=True):
    card = Provider.by_id(*CARD)
    _override(test, card)
    test.later(lambda: card.exists() and card.driver() and card.unbind())
    if bind:
        card.bind(NAME)
    return card


def _nothing_is_left(test, function):
    test.equal(function.driver(), None, "driver")
    test.check(not (function.path / "p2pmem").exists(), "something is registered")


def _copy(test, card, disk_offset=8 * MIB):
    """Copy between drives through the memory of the card, without use of RAM."""
    alpha, beta = Drive("alpha"), Drive("beta")
    memory = card.map(LENGTH)
    with transfer.evidence(test, card) as seen:
        transfer.read_into(alpha, memory, LENGTH)
        transfer.write_from(beta, memory, LENGTH, disk_offset=disk_offset)
    memory.close()
    test.equal((seen.peer, seen.ram), (2 * LENGTH, 0), "bytes in the card's BAR and in RAM")
    test.check(transfer.contents(beta, LENGTH, disk_offset) == transfer.contents(alpha, LENGTH),
               "other bytes arrived")
    test.equal(card.available(), card.size(), "available, after the copy")


@case("cards", modules=(NAME,), short=True)
def driver_waits_to_be_asked(test):
    """After the load of the module, the driver has no function."""
    card = Provider.by_id(*CARD)
    Module(test, NAME)
    test.equal([path.name for path in DRIVER.glob("*:*")], [], "functions of the driver")
    _nothing_is_left(test, card)


@case("cards", modules=(NAME,), short=True)
def driver_override_and_copy(test):
    """Bind a function with driver_override, use the memory, and unbind the function."""
    Module(test, NAME)
    card = _card(test)
    for _ in range(2):
        test.equal(card.size(), 4 * GIB, "size")
        test.equal(card.number("p2pmem/published"), 1, "published")
        _copy(test, card)
        card.unbind()
        _nothing_is_left(test, card)
        card.bind(NAME)


@case("cards", modules=(NAME,))
def driver_takes_new_ids(test):
    """A new ID binds matching functions at once, and an unload of the driver releases them."""
    card = Provider.by_id(*CARD)
    module = Module(test, NAME)
    words = "{:04x} {:04x}".format(*CARD)
    (DRIVER / "new_id").write_text(words)
    test.equal(card.driver(), NAME, "driver")
    _copy(test, card)
    card.unbind()
    (DRIVER / "remove_id").write_text(words)
    test.refused(errno.ENODEV, card.bind, NAME)
    (DRIVER / "new_id").write_text(words)
    test.equal(card.driver(), NAME, "driver, after the second time")
    subprocess.run(["rmmod", NAME], check=True)
    _nothing_is_left(test, card)
    subprocess.run(["insmod", test.module(NAME)], check=True)
    _nothing_is_left(test, card)
    test.check(module.get("bars") == "", "the parameter is not empty")


def _refuses(test, module, function, bars, number, words):
    """Expect the driver to refuse BARS with errno NUMBER, and the reason WORDS in the log."""
    module.set("bars", bars + "\n")
    seen = len(test.kernel_log())
    test.refused(number, function.bind, NAME)
    # Earlier attempts may have logged the same reason: skip the old lines.
    said = [line for line in test.kernel_log()[seen:] if function.bdf in line and words in line]
    test.check(said, f"the log does not say '{words}' of bars={bars}")
    _nothing_is_left(test, function)


@case("cards", modules=(NAME,), short=True)
def driver_refuses_bars(test):
    """BARs that cannot be peer memory are refused, with a reason in the log."""
    module = Module(test, NAME)
    card, probe = _card(test, bind=False), Function.by_id(*PROBE)
    _override(test, probe)
    inval = errno.EINVAL
    _refuses(test, module, probe, "1", inval, "I/O ports")
    _refuses(test, module, probe, "0", inval, "too small")
    _refuses(test, module, probe, "2", inval, "not there")
    _refuses(test, module, probe, "", inval, "no 64-bit prefetchable")
    _refuses(test, module, card, "0", inval, "too small")
    _refuses(test, module, card, "5", inval, "not there")
    # A single bad BAR is enough for a refusal.
    _refuses(test, module, card, "2,0", inval, "too small")
    _refuses(test, module, card, f"2,{card.bdf}/1", inval, "not there")
    module.set("bars", f"0,{card.bdf}/2,{probe.bdf}/1")
    card.bind(NAME)
    test.equal(card.size(), 4 * GIB, "size, with BARs chosen for several functions")


@case("cards", modules=(NAME,))
def driver_refuses_interrupt_tables(test):
    """A BAR with an MSI-X table is refused, because a peer could raise interrupts."""
    module, beta = Module(test, NAME), Drive("beta")
    beta.function.unbind()
    _override(test, beta.function)
    _refuses(test, module, beta.function, "0", errno.EINVAL, "interrupt messages")
    (beta.function.path / "driver_override").write_text("\n")
    beta.bind()


@case("cards", modules=(NAME,))
def driver_refuses_bridges(test):
    """The driver refuses bridges."""
    module = Module(test, NAME)
    # The last port of the switch has no device below.
    port = max((Function(path.name) for path in
                pathlib.Path("/sys/bus/pci/drivers/pcieport").glob("*:*")), key=lambda f: f.bdf)
    test.check(not list(port.path.glob("*:*:*.*")), f"{port} has something below it")
    port.unbind()
    test.later(port.bind, "pcieport")
    _override(test, port)
    test.later((port.path / "driver_override").write_text, "\n")
    _refuses(test, module, port, "0", errno.EINVAL, "bridge")


@case("cards", modules=(NAME, "p2pdma_claim"), short=True)
def driver_refuses_claimed_bars(test):
    """A BAR is refused if another driver has claimed a part of the BAR."""
    module, card = Module(test, NAME), _card(test, bind=False)
    subprocess.run(["insmod", test.module("p2pdma_claim"), f"function={card.bdf}", "bar=2"],
                   check=True)
    _refuses(test, module, card, "2", errno.EBUSY, "somebody else has claimed")
    subprocess.run(["rmmod", "p2pdma_claim"], check=True)
    card.bind(NAME)
    test.equal(card.size(), 4 * GIB, "size, once nobody claims it")
    card.unbind()


@case("cards", modules=(NAME,), short=True)
def driver_parameter(test):
    """Bad values of the parameter are refused and change nothing; good values read back."""
    module = Module(test, NAME)
    address = Function.by_id(*CARD).bdf
    for good in ("2", "0,5", f"{address}/2", f"0001:ff:1f.7/0,3,{address}/4", ",".join("012345" * 5)):
        module.set("bars", good)
        test.equal(module.get("bars"), good, "the parameter")
    for bad in ("6", "-1", "2,", ",2", "2,,4", "2;4", "2 4", "22", "x", address, f"{address}/",
                f"{address}/6", f"{address}/22", "0000:03:20.0/2", "0000:03:00.8/2",
                "0000:100:00.0/2", "03:00.0/2", ",", "0000:03:00.100000000/2",
                "0000:03:100000000.0/2", "0000:100000003:00.0/2", "100000000:03:00.0/2",
                "0000:003:00.0/2", "0000:03:00.00/2", "0x0:03:00.0/2", "0000: 3:00.0/2",
                "0000:03:+0.0/2", " 0000:03:00.0/2", "0000:03:00.0/0x2", "0000:03:00.0//2",
                "2\nx", "2\n\n"):
        test.refused(errno.EINVAL, module.set, "bars", bad)
        test.equal(module.get("bars"), good, f"the parameter, after {bad}")
    test.refused(errno.E2BIG, module.set, "bars", ",".join("2" * 33))
    test.equal(module.get("bars"), good, "the parameter, after too many words")
    module.set("bars", "\n")
    test.equal(module.get("bars"), "", "the parameter, when it is emptied")


@case("cards", modules=(NAME,))
def driver_parameter_at_load(test):
    """The driver does not load with a bad value of the parameter."""
    for bars, status in (("6", 1), ("0000:03:00.0", 1), ("2", 0)):
        done = subprocess.run(["insmod", test.module(NAME), f"bars={bars}"], check=False,
                              stderr=subprocess.DEVNULL)
        test.equal(done.returncode, status, f"status of insmod with bars={bars}")
    subprocess.run(["rmmod", NAME], check=True)


def _is_gone_for_its_users(test, card, memory, worker):
    test.equal(Worker(test, touch, memory).wait(), "SIGBUS", "end of who touches what is gone")
    outcome = worker.wait()
    # The worker reports a short read as ENODEV.
    test.check(outcome in ("EFAULT", "EREMOTEIO", "EIO", "ENODEV", "SIGBUS"),
               f"a process that was transferring ended with {outcome}")
    memory.close()
    test.check(not (card.path / "p2pmem").exists(), "something is registered")


def _is_published(card):
    published = card.path / "p2pmem/published"
    return published.exists() and published.read_text() == "1\n"


def _used(test, card):
    """Map memory in this process, and start a worker with reads into more memory."""
    memory, other = card.map(MIB), card.map(MIB)
    worker = Worker(test, read_forever, Drive("alpha"), other)
    other.close()
    worker.busy()
    return memory, worker


@case("cards", modules=(NAME,), short=True)
def driver_unbound_while_used(test):
    """Users lose the memory when the driver is unbound, and can use the memory after a new bind."""
    Module(test, NAME)
    card = _card(test)
    memory, worker = _used(test, card)
    card.unbind()
    _is_gone_for_its_users(test, card, memory, worker)
    card.bind(NAME)
    _copy(test, card)


@case("cards", modules=(NAME,), seconds=120)
def card_unplugged_while_used(test):
    """The card is unplugged during use, and a different card is plugged into the slot."""
    Module(test, NAME)
    card = _card(test)
    memory, worker = _used(test, card)
    test.host("device_del", name="card")
    until(lambda: not card.exists(), 30, "removal of the card")
    _is_gone_for_its_users(test, card, memory, worker)
    test.host("device_add", name="another")
    until(card.exists, 30, "arrival of the other card")
    _override(test, card)
    # The kernel may have bound the driver already.
    with contextlib.suppress(OSError):
        card.bind(NAME)
    until(lambda: _is_published(card), 30, "binding of the other card")
    _copy(test, card)
