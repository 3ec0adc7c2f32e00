# SPDX-License-Identifier: GPL-2.0
"""Removal and return of the provider and of a client, in all combinations.

Device:     the provider of the memory, or a client of the memory
Removal:    the driver is unbound; the function is removed through sysfs; the device is unplugged
            and plugged in again from the host
State:      nothing is mapped; memory is mapped; transfers are running
"""
import errno
import os
import threading

from guest import transfer
from guest.case import case
from guest.devices import Drive, provider, rescan, until
from guest.module import Module
from guest.worker import Worker, read_forever, touch

LENGTH = 1 << 20


# Kinds of removal. Each function returns a function for the return of the device.

def _unbind(test, drive):
    drive.function.unbind()
    return drive.function.bind


def _remove(test, drive):
    drive.function.remove()
    test.check(not drive.function.exists(), f"{drive.serial} is there after its removal")
    return rescan


def _unplug(test, drive):
    test.host("device_del", name=drive.serial)
    until(lambda: not drive.function.exists(), 30, f"removal of {drive.serial}")
    return lambda: test.host("device_add", name=drive.serial)


WAYS = {"unbind": _unbind, "remove": _remove, "unplug": _unplug}


# States at the removal. Each function returns a function with checks for after the removal.

def _idle(test, peer, client):
    return lambda gone: None


def _mapped(test, peer, client):
    memory = peer.function.map(LENGTH)
    transfer.read_into(client, memory, LENGTH)
    wanted = memory[:]

    def after(gone):
        if gone is peer:
            worker = Worker(test, touch, memory)
            test.equal(worker.wait(), "SIGBUS", "end of a process that touches what is gone")
            test.refused(errno.EFAULT, transfer.read_into, Drive("beta"), memory, 4096)
        else:
            test.check(memory[:] == wanted, "memory changed when a client went")
        memory.close()
    return after


def _busy(test, peer, client):
    memory = peer.function.map(LENGTH)
    worker = Worker(test, read_forever, client, memory)
    memory.close()
    worker.busy()

    def after(_gone):
        outcome = worker.wait()
        test.check(outcome in ("EFAULT", "EREMOTEIO", "EIO", "ENODEV", "ENXIO", "SIGBUS"),
                   f"a process that was transferring ended with {outcome}")
        test.note(f"the process that was transferring ended with {outcome}")
    return after


STATES = {"idle": _idle, "mapped": _mapped, "busy": _busy}


def _works_again(test, peer, client, available=None):
    """Expect zeroed memory of the provider, and working transfers."""
    peer.find()
    client.find()
    beta = Drive("beta")
    test.equal(peer.function.available(), available or peer.function.size(),
               "available, after it came back")
    memory = peer.function.map(LENGTH)
    test.check(memory[:] == bytes(LENGTH), "the memory is not zeroed")
    with transfer.evidence(test, peer.function) as seen:
        transfer.read_into(client, memory, LENGTH)
        transfer.write_from(beta, memory, LENGTH, disk_offset=4 << 20)
    memory.close()
    test.equal((seen.peer, seen.ram), (2 * LENGTH, 0), "bytes in the peer's BAR and in RAM")
    test.check(transfer.contents(beta, LENGTH, 4 << 20) == transfer.contents(client, LENGTH),
               "a copy afterwards moved other bytes")


def _define(who, way, state, topology="switch", tag=""):
    def goes(test):
        peer, client = provider(), Drive("alpha")
        available = peer.function.available()
        gone = peer if who == "provider" else client
        after = STATES[state](test, peer, client)
        come_back = WAYS[way](test, gone)
        after(gone)
        come_back()
        _works_again(test, peer, client, available)

    goes.__name__ = f"{who}_{way}_{state}{tag}"
    goes.__doc__ = f"{who}: {way} while {state}, and back"
    # Not on debug kernels: the topology native-hotplug has the reason.
    case(topology, short=tag == "_native" or (way, state, tag) == ("unbind", "busy", ""),
         debug=tag != "_native", seconds=120)(goes)


for _who in ("provider", "client"):
    for _way in WAYS:
        for _state in STATES:
            _define(_who, _way, _state)
    # In this topology, the provider's memory also holds the queues of the NVMe driver.
    _define(_who, "unplug", "busy", "amd-root-ports", "_root_port")
    _define(_who, "unplug", "busy", "native-hotplug", "_native")


@case(seconds=120)
def new_drive_plugged_in(test):
    """A new drive reaches the memory as soon as the drive is plugged in."""
    peer = provider()
    test.host("device_add", name="guest")
    guest = Drive("guest")
    _works_again(test, peer, guest)
    test.host("device_del", name="guest")
    until(lambda: not guest.function.exists(), 30, "removal of the drive")


class _Unbinding(threading.Thread):
    """Unbind a function in a thread, because the unbind may wait."""

    def __init__(self, function):
        super().__init__(daemon=True)
        self.function = function
        self.start()

    def run(self):
        self.function.unbind()


HELD = "pages of peer-to-peer DMA memory in use"


@case(seconds=120)
def unbind_waits_for_slow_io(test):
    """Unbinding waits for a slow transfer, logs the number of pages in use, and ends."""
    peer, alpha = provider(), Drive("alpha")
    memory = peer.function.map(4 << 20)
    test.later(test.host, "throttle", name="alpha", bytes_per_second=0)
    test.host("throttle", name="alpha", bytes_per_second=384 << 10)
    # The request takes about ten seconds.
    worker = Worker(test, _read_once, alpha, memory)
    memory.close()
    until(lambda: _in_flight(alpha), 30, "start of the transfer")
    unbinding = _Unbinding(peer.function)
    until(lambda: test.logged(HELD), 30, "word in the log about pages that are held")
    test.check(unbinding.is_alive(), "unbinding did not wait for the transfer")
    unbinding.join(60)
    test.check(not unbinding.is_alive(), "unbinding hangs though the transfer has ended")
    test.note(f"the transfer ended with {worker.wait()}")
    test.host("throttle", name="alpha", bytes_per_second=0)
    peer.function.bind()
    _works_again(test, peer, alpha)


def _read_once(_worker, drive, memory):
    """Read with a single request, so that the kernel pins all pages before the wait."""
    fd = drive.open()
    os.preadv(fd, [memory], 0)


def _in_flight(drive):
    with open(f"/sys/class/block/{drive.disk}/inflight") as inflight:
        return any(int(number) for number in inflight.read().split())


@case(modules=("p2pdma_user",), seconds=120)
def unbind_waits_for_an_orchestrator(test):
    """Unbinding waits for memory of a driver, and logs the number of pages in use."""
    peer, alpha = provider(), Drive("alpha")
    user = Module(test, "p2pdma_user")
    user.set("hold", f"{peer.bdf} {7 * 4096}")
    test.equal(peer.function.available(), peer.function.size() - 7 * 4096, "available")
    unbinding = _Unbinding(peer.function)
    until(lambda: test.logged(f"7 {HELD}"), 30, "word in the log about 7 pages that are held")
    test.check(unbinding.is_alive(), "unbinding did not wait")
    test.refused(errno.ENOENT, peer.function.map, 4096)
    user.set("hold", "0")
    unbinding.join(30)
    test.check(not unbinding.is_alive(), "unbinding hangs though the memory was given back")
    peer.function.bind()
    _works_again(test, peer, alpha)
