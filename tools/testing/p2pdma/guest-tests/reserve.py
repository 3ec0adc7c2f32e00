# SPDX-License-Identifier: GPL-2.0
"""The reserve: memory that ordinary users cannot map, set by the administrator."""
import errno
import signal

from guest import user
from guest.case import case
from guest.devices import provider
from guest.module import Module

MIB = 1 << 20
PAGE = 4096
NAME = "p2pmem/reserve"


def _set(function, word):
    (function.path / NAME).write_text(f"{word}\n")


@case(short=True)
def reserve_words(test):
    """The default is a sixteenth of the memory. Bad values are refused."""
    function = provider().function
    size = function.size()
    test.equal(function.number(NAME), size // 16, "reserve, by default")
    test.equal((function.path / NAME).stat().st_mode & 0o7777, 0o644, "mode of the file")
    test.later(_set, function, size // 16)
    for word in (MIB, 0, size, "0x10000", size // 16):
        _set(function, word)
        test.equal(function.number(NAME), int(str(word), 0), "reserve, after a good word")
    for word in ("", "many", "1M", "1.5", "1 2", "-1", "0x", "0\0", "0\0x", "0\nx",
                 size + 1, 2 * size):
        test.refused(errno.EINVAL, _set, function, word)
        test.equal(function.number(NAME), size // 16, f"reserve, after '{word}'")
    test.refused((errno.EINVAL, errno.ERANGE), _set, function, 1 << 70)
    user.invite(test, function.allocate())
    test.equal(user.do(test, _set, function, 0), "EACCES", "an attempt of an ordinary user")


@case(modules=("p2pdma_user",), short=True)
def reserve_is_left_to_drivers(test):
    """All users together get all memory except the reserve; drivers and root get the reserve."""
    function = provider().function
    size = function.size()
    driver = Module(test, "p2pdma_user")
    user.invite(test, function.allocate())
    test.later(_set, function, size // 16)
    _set(function, size - 8 * MIB)

    def two_mappings():
        first, second = function.map(3 * MIB), function.map(5 * MIB)
        try:
            function.map(PAGE)
        except OSError as error:
            assert error.errno == errno.ENOMEM
        else:
            assert False, "a page of the reserve was mapped"
        second.close()
        function.map(PAGE)
        first.close()

    test.equal(user.do(test, function.map, 8 * MIB + PAGE), "ENOMEM", "a page too much")
    test.equal(user.do(test, function.map, 8 * MIB), "done", "all but the reserve")
    test.equal(user.do(test, two_mappings), "done", "the same in parts")
    test.equal(function.available(), size, "available, with no user left")

    driver.set("hold", f"{function.bdf} {size - 8 * MIB}")
    test.equal(user.do(test, function.map, 8 * MIB), "done", "the rest, beside a driver")
    driver.set("hold", "0")
    everything = function.map(size)
    test.equal(function.available(), 0, "available, with all of it mapped by root")
    test.equal(user.do(test, function.map, PAGE), "ENOMEM", "a page when nothing is left")
    everything.close()
    test.equal(user.do(test, function.map, PAGE), "done", "a page when all is back")
    test.equal(function.available(), size, "available, at last")


def _take_all(worker, function):
    """Map memory until no page is left, and keep the mappings."""
    memories, length = [], function.size()
    while length >= PAGE:
        try:
            memories.append(function.map(length))
        except OSError as error:
            assert error.errno == errno.ENOMEM
            length //= 2
    worker.tick()
    signal.pause()


@case(modules=("p2pdma_user",), short=True)
def reserve_outlasts_users(test):
    """A driver can allocate the reserve while a user maps as much as possible."""
    function = provider().function
    size = function.size()
    driver = Module(test, "p2pdma_user")
    user.invite(test, function.allocate())
    test.later(_set, function, size // 16)
    greedy = user.begin(test, _take_all, function)
    greedy.busy(1)
    test.equal(function.available(), size // 16, "available, beside a greedy user")
    driver.set("hold", f"{function.bdf} {size // 16}")
    test.equal(function.available(), 0, "available, with a driver, too")
    driver.set("hold", "0")

    # A smaller reserve takes effect at once. A larger reserve ends no mapping.
    _set(function, size // 32)
    test.equal(user.do(test, function.map, size // 32), "done", "half of the old reserve")
    test.equal(user.do(test, function.map, size // 32 + PAGE), "ENOMEM", "more than that")
    _set(function, size)
    test.equal(user.do(test, function.map, PAGE), "ENOMEM", "a page, when all is reserved")
    test.equal(function.available(), size // 16, "available, beside the same user")
    greedy.kill()
    test.equal(function.available(), size, "available, at last")
