# SPDX-License-Identifier: GPL-2.0
"""The card with memory and without a driver of its own, as a provider."""
from guest.devices import Provider
from guest.module import Module

DRIVER = "pci_p2pmem"
CARD = (0x1af4, 0x1110)         # an ivshmem


def bound_card(test):
    """Load the driver of any BAR and bind the card, until the case ends."""
    Module(test, DRIVER)
    card = Provider.by_id(*CARD)
    override = card.path / "driver_override"
    override.write_text(DRIVER)
    test.later(lambda: card.exists() and override.write_text("\n"))
    test.later(lambda: card.exists() and card.driver() and card.unbind())
    card.bind(DRIVER)
    return card
