# SPDX-License-Identifier: GPL-2.0
"""Each allocation of a call is made to fail: the call succeeds, or changes nothing."""
import errno
import os

from guest import nvmet, transfer
from guest.card import ANY_RANGE, add_range, bound_card
from guest.case import case
from guest.devices import PCI, Drive, bridges_above, provider
from guest.injection import Injection
from guest.module import Module

MIB = 1 << 20
KINDS = {"slab": True, "pages": False}


def _nothing_registered(test, function):
    test.check(not (function.path / "p2pmem").exists(), "something was registered")


def _prepared_card(test):
    injection = Injection(test)
    card = bound_card(test, ANY_RANGE)
    card.unbind()
    return injection, card


# If the kernel cannot add pages, the x86 code warns and returns an error.
@case(modules=(ANY_RANGE,), seconds=300,
      may_log=(r"WARNING: CPU: \d+ PID: \d+ at arch/x86/mm/init_64\.c:\d+ add_pages",))
def failing_registration(test):
    """A registration with a failing allocation changes nothing, and the next registration works."""
    injection, card = _prepared_card(test)

    def attempt(point):
        card.bind(ANY_RANGE)
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


@case(modules=(ANY_RANGE,), seconds=300)
def failing_teardown(test):
    """Teardown succeeds with any failing allocation."""
    injection, card = _prepared_card(test)

    def attempt(point):
        card.bind(ANY_RANGE)
        add_range(card, 2)
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


@case(modules=(ANY_RANGE,), seconds=300)
def failing_mapping(test):
    """A mapping that fails returns all pages."""
    injection, card = _prepared_card(test)
    card.bind(ANY_RANGE)
    add_range(card, 2)

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
        peer.bind()
        return failed

    injection.each(test, attempt)


def _write(path, text):
    """Return a function that writes, with a single system call."""
    fd = os.open(path, os.O_WRONLY)
    return fd, lambda: os.pwrite(fd, text.encode(), 0)


def _sweep_write(test, injection, path, text, state, wanted):
    """Write with failing allocations: the new state is WANTED after a success, else the old."""
    def attempt(point):
        before = state()
        fd, write = _write(path, text)
        failed, error = injection.call(point, write)
        os.close(fd)
        if error:
            test.equal(error.errno, errno.ENOMEM, f"errno of {path}, at {point}")
        test.equal(state(), before if error else wanted, f"state after {path}, at {point}")
        return failed

    injection.each(test, attempt)


def _chosen(policy):
    """Return the word in brackets."""
    return policy.read_text().partition("[")[2].partition("]")[0]


def _files_of_everybody(test, slab):
    """Policy, reserve, rescan and peers: a failure changes nothing, and the next call works."""
    injection = Injection(test, slab)
    peer, alpha = provider().function, Drive("alpha").function
    bridge = bridges_above(peer)[1] / "p2pdma"
    policy, reserve = bridge / "policy", peer.path / "p2pmem/reserve"
    test.later(policy.write_text, "auto")
    test.later(reserve.write_text, reserve.read_text())
    for word in ("deny", "auto"):
        _sweep_write(test, injection, policy, word, lambda: _chosen(policy), word)
    _sweep_write(test, injection, reserve, "4096", reserve.read_text, "4096\n")
    wanted = alpha.text("p2pdma/peers")
    _sweep_write(test, injection, PCI / "p2pdma_rescan", "1", lambda: alpha.text("p2pdma/peers"),
                 wanted)

    def read(point):
        fd = os.open(alpha.path / "p2pdma/peers", os.O_RDONLY)
        found = []
        failed, error = injection.call(point, lambda: found.append(os.read(fd, 1 << 16)))
        os.close(fd)
        if error:
            test.equal(error.errno, errno.ENOMEM, f"errno of a read, at {point}")
        else:
            test.equal(found[0].decode().strip(), wanted, f"peers, at {point}")
        return failed

    injection.each(test, read)


def _driver(test, slab):
    """A driver that allocates, and asks for a route: memory or a refusal, and nothing lost."""
    injection = Injection(test, slab)
    peer, alpha = provider().function, Drive("alpha").function
    user = Module(test, "p2pdma_user")
    parameters = "/sys/module/p2pdma_user/parameters"
    for name, text in (("hold", f"{peer.bdf} {MIB}"), ("ask", f"{peer.bdf} {alpha.bdf}")):
        def attempt(point):
            fd, write = _write(f"{parameters}/{name}", text)
            failed, error = injection.call(point, write)
            os.close(fd)
            if error:
                test.equal(error.errno, errno.ENOMEM, f"errno of {name}, at {point}")
            if name != "ask":
                user.set(name, "0")
            test.equal(peer.available(), peer.size(), f"available, after {name}, at {point}")
            return failed

        injection.each(test, attempt)


def _target(test, slab):
    """An NVMe-oF target takes the provider and lets the provider go, or says no."""
    injection, peer = Injection(test, slab), provider().function
    with nvmet.Namespace("failing", Drive("alpha").path) as namespace:
        def attempt(point):
            failures = []
            for name, text in (("p2pmem", peer.bdf), ("enable", "1")):
                fd, write = _write(namespace.path / name, text)
                failed, error = injection.call(point, write)
                os.close(fd)
                failures.append(failed)
                if error:
                    test.check(error.errno in (errno.ENOMEM, errno.EINVAL, errno.ENODEV),
                               f"{error}, of {name}, at {point}")
            namespace.set("enable", "0")
            namespace.set("p2pmem", "0")
            return any(failures)

        injection.each(test, attempt)
        namespace.set("p2pmem", peer.bdf)
        namespace.set("enable", "1")


def _define(name, function, kind, modules=()):
    def failing(test):
        function(test, KINDS[kind])

    failing.__name__ = f"failing_{kind}_{name}"
    failing.__doc__ = function.__doc__
    case(modules=modules, seconds=300)(failing)


for _kind in KINDS:
    _define("files", _files_of_everybody, _kind)
    _define("driver", _driver, _kind, ("p2pdma_user",))
    _define("target", _target, _kind)
