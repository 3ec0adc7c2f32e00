# SPDX-License-Identifier: GPL-2.0
"""The card (memory, no driver) as a provider."""
from guest.devices import Provider
from guest.module import Module

DRIVER = "pci_p2pmem"
ANY_RANGE = "p2pdma_card"       # a driver that registers the ranges that a test wants
CARD = (0x1af4, 0x1110)         # an ivshmem: BAR 0 has registers, BAR 2 is memory


def bind(test, driver, identity=CARD):
    """Let DRIVER alone have a function, until the end of the case. Return the function."""
    function = Provider.by_id(*identity)
    override = function.path / "driver_override"
    override.write_text(driver)
    test.later(lambda: function.exists() and override.write_text("\n"))
    test.later(lambda: function.exists() and function.driver() and function.unbind())
    function.bind(driver)
    return function


def bound_card(test, driver=DRIVER):
    """Load the module of a driver and bind the card, until the end of the case."""
    Module(test, driver)
    return bind(test, driver)


def add_range(function, bar, size=0, offset=0):
    """Register a range of a BAR, with the driver ANY_RANGE. Size 0 means the rest of the BAR."""
    with open(function.path / "add_range", "w") as file:
        file.write(f"{bar} {size:#x} {offset:#x}")
