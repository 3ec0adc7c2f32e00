# SPDX-License-Identifier: GPL-2.0
"""Faults of an NVMe-oF target over RDMA with peer memory, during I/O.

A case runs in rounds (rig guest --rounds N). A round starts I/O and causes a fault. The I/O either
goes on or has to end with an error. Afterwards new I/O has to use peer memory, all acknowledged
writes have to be readable through the target and from the drive, and the providers have to get
all memory back. The rig checks for leaks and for warnings of the kernel.
"""
import random
import time

from guest.case import case
from guest.devices import Drive, until
from guest.fabric import Fabric, RNIC, SECONDS
from guest.load import Load

# Allowed errors of a process that loses the disk.
ERRORS = {"EIO", "ENODEV", "ENXIO", "EREMOTEIO"}


# Faults. At the end of a fault the target works again, and I/O goes on or has been stopped.

def _unplug(test, fabric, serial, function):
    fabric.unplugged = (function, fabric.references.freed(function))
    test.host("device_del", name=serial)
    until(lambda: not function.exists(), SECONDS, f"removal of {serial}")


def _has_to_end(test, load):
    ended = set(load.ends())
    test.check(ended <= ERRORS, f"processes that lost their disk ended with {sorted(ended)}")


def provider_unplugged(test, fabric, load, _choice):
    """I/O goes on in system RAM without an error, until p2pmem is written again."""
    _unplug(test, fabric, "provider", fabric.peer.function)
    load.flows()
    test.equal(load.stop(), [], "processes that ended when the provider went")
    load.verify(fabric.remote)
    test.host("device_add", name="provider")
    fabric.peer.find()
    fabric.switch(fabric.peer.bdf)


def disk_unplugged(test, fabric, load, _choice):
    """I/O ends with errors."""
    _unplug(test, fabric, "disk", fabric.disk.function)
    _has_to_end(test, load)
    test.host("device_add", name="disk")
    fabric.disk.find()
    fabric.switch(fabric.peer.bdf, fabric.disk)


def _without_rnic(test, fabric, load):
    """Disconnect the host from a target without RNIC."""
    fabric.disconnect()
    _has_to_end(test, load)


def _rnic_back(fabric):
    fabric.rnic.restart()
    # nvmet lost the listener with the adapter, and creates a listener only for a new port.
    fabric.namespace.unport()
    fabric.offer()
    fabric.connect()


def rnic_unplugged(test, fabric, load, _choice):
    """I/O ends with errors."""
    _unplug(test, fabric, "rnic", fabric.rnic.function)
    _without_rnic(test, fabric, load)
    test.host("device_add", name="rnic")
    _rnic_back(fabric)


def rnic_unloaded(test, fabric, load, _choice):
    """The module of the RNIC is unloaded: I/O ends with errors."""
    fabric.rnic.unload()
    _without_rnic(test, fabric, load)
    _rnic_back(fabric)


def rnic_unbound(test, fabric, load, _choice):
    """The RNIC is unbound from the driver: I/O ends with errors."""
    fabric.rnic.function.unbind()
    _without_rnic(test, fabric, load)
    _rnic_back(fabric)


def rnic_removed(test, fabric, load, _choice):
    """The function of the RNIC is removed through sysfs: I/O ends with errors."""
    fabric.rnic.function.remove()
    _without_rnic(test, fabric, load)
    _rnic_back(fabric)


def port_removed(test, fabric, load, _choice):
    """I/O waits, and goes on when the port is back."""
    fabric.namespace.unport()
    until(lambda: fabric.state() == "connecting", SECONDS, "word that the host lost its target")
    fabric.offer()
    until(lambda: fabric.state() == "live", SECONDS, "a new connection")
    load.flows()


def namespace_switched(test, fabric, load, _choice):
    """The namespace gets a second provider, whose memory is used, and then the first again."""
    fabric.switch(fabric.second.bdf)
    _has_to_end(test, load)
    load.start(fabric.remote)
    _used(fabric.second)
    fabric.switch(fabric.peer.bdf)
    _has_to_end(test, load)


def host_disconnected(test, fabric, load, _choice):
    """I/O ends with errors."""
    fabric.disconnect()
    _has_to_end(test, load)
    fabric.connect()


def request_failed(test, fabric, load, choice):
    """The n-th work request fails: the host connects again, and I/O goes on."""
    failed = fabric.rnic.counter("failed")
    fabric.rnic.fail(choice.randint(1, 300))
    until(lambda: not fabric.rnic.failing(), SECONDS, "failing work request")
    until(lambda: fabric.state() == "live", SECONDS, "a new connection")
    load.flows()
    test.check(fabric.rnic.counter("failed") > failed, "no work request failed")


def _said(test, text):
    """Return the number of lines in the log with TEXT."""
    return sum(text in line for line in test.kernel_log())


def rnic_muted(test, fabric, load, _choice):
    """The RNIC's controller loses bus mastering: the engine stops for good, and I/O ends."""
    stops = _said(test, "the copy engine stops")
    fabric.rnic.function.master(False)
    until(lambda: _said(test, "the copy engine stops") > stops, SECONDS, "word of it in the log")
    _without_rnic(test, fabric, load)
    fabric.rnic.unload()
    _rnic_back(fabric)


def _used(peer):
    """Wait until requests use the memory of a provider."""
    function = peer.function
    until(lambda: function.available() < function.size(), SECONDS,
          f"use of the memory of {peer.serial}")


def _freed(fabric):
    """Wait until the kernel frees the unplugged function."""
    if fabric.unplugged:
        function, before = fabric.unplugged
        until(lambda: fabric.references.freed(function) > before, SECONDS,
              f"release of {function}, which was unplugged,")


def _works(test, fabric, load):
    """Expect I/O through peer memory, correct contents, and the return of all memory."""
    if not load.running():
        load.start(fabric.remote)
    _used(fabric.peer)
    load.flows()
    test.equal(load.stop(), [], "processes that ended by themselves")
    blocks = load.verify(fabric.remote)
    test.equal(load.verify(fabric.disk), blocks, "blocks that were acknowledged")
    fabric.all_back(fabric.peer, fabric.second)
    _freed(fabric)


def _define(fault, *parameters, debug=True):
    def goes(test):
        load, choice, longest = Load(test), random.Random(fault.__name__), 0
        with Fabric(test, parameters=parameters) as fabric:
            fabric.second, fabric.unplugged = Drive("second"), None
            for _ in test.rounds:
                load.start(fabric.remote)
                _used(fabric.peer)
                started = time.monotonic()
                fault(test, fabric, load, choice)
                longest = max(longest, time.monotonic() - started)
                _works(test, fabric, load)
        test.note(f"{len(test.rounds)} rounds, {load.writes()} writes; the longest fault took "
                  f"{longest:.1f} s")

    goes.__name__, goes.__doc__ = f"rdma_{fault.__name__}", fault.__doc__
    case("fabric", modules=(RNIC,), seconds=400, debug=debug, short=not debug)(goes)


for _fault in (provider_unplugged, disk_unplugged, rnic_unplugged, port_removed,
               namespace_switched, host_disconnected):
    _define(_fault)
# Not on debug kernels, which are slow: similar to faults above, or without effect on memory.
for _fault in (rnic_unloaded, rnic_unbound, rnic_removed, request_failed):
    _define(_fault, debug=False)
_define(rnic_muted, "timeout_ms=2000", debug=False)
