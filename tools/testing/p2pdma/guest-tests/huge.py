# SPDX-License-Identifier: GPL-2.0
"""User mappings of a BAR of 4 GiB: a mapping of any length takes only the mapped pages."""
from guest import selftest, transfer
from guest.card import DRIVER, bound_card
from guest.case import case
from guest.devices import Drive
from guest.module import Module

KIB, MIB = 1 << 10, 1 << 20


def _there_and_back(test, memory, length, offset, disk_offset):
    """Copy a part of alpha to beta through MEMORY, and compare after each step."""
    alpha, beta = Drive("alpha"), Drive("beta")
    wanted = transfer.contents(alpha, length, disk_offset)
    transfer.read_into(alpha, memory, length, disk_offset, offset)
    test.check(bytes(memory[offset:offset + length]) == wanted, f"wrong bytes at {offset:#x}")
    transfer.write_from(beta, memory, length, disk_offset, offset)
    test.check(transfer.contents(beta, length, disk_offset) == wanted,
               f"wrong bytes came from {offset:#x}")


def _try_size(test, card, length):
    memory = card.map(length)
    part = min(length, MIB)
    test.equal(card.available(), card.size() - length, f"available, beside {length:#x} mapped")
    test.check(memory[:part] == bytes(part), f"a mapping of {length:#x} is not zeroed")
    _there_and_back(test, memory, part, 0, 0)
    _there_and_back(test, memory, part, length - part, 2 * MIB)
    if length > 4 * MIB:
        _there_and_back(test, memory, part, length // 2 + 4 * KIB, 4 * MIB)
    memory.close()
    test.equal(card.available(), card.size(), f"available, after a mapping of {length:#x}")


@case("cards", modules=(DRIVER,), short=True, seconds=180)
def huge_mapping_sizes(test):
    """Mappings of various lengths take only the mapped pages, and work for transfers."""
    card = bound_card(test)
    for length in (4 * KIB, 2 * MIB + 12 * KIB, 32 * MIB + 4 * KIB):
        _try_size(test, card, length)


@case("cards", modules=(DRIVER,), debug=False, short=True, seconds=180)
def huge_mapping_of_the_rest(test):
    """Beside many mappings of a page, the rest of the BAR can still be mapped."""
    card = bound_card(test)
    small = [card.map(4 * KIB) for _ in range(128)]
    rest = card.size() - len(small) * 4 * KIB
    test.equal(card.available(), rest, "available, beside small mappings")
    large = card.map(rest)
    test.equal(card.available(), 0, "available, with all of it mapped")
    _there_and_back(test, large, MIB, rest - MIB, 0)
    small.pop().close()
    test.equal(card.available(), 4 * KIB, "available, with one small mapping less")
    for memory in (large, *small):
        memory.close()
    test.equal(card.available(), card.size(), "available, at last")


@case("cards", modules=(DRIVER, "p2pdma_user"), selftests=True, short=True, seconds=180)
def huge_selftest_mmap(test):
    """Run p2pmem_mmap. A driver holds most of the memory, because to clear 4 GiB takes long."""
    card, driver = bound_card(test), Module(test, "p2pdma_user")
    driver.set("hold", f"{card.bdf} {card.size() - 64 * MIB}")
    selftest.run(test, "p2pmem_mmap", card)
