# SPDX-License-Identifier: GPL-2.0
"""The card (memory, no driver) as a provider."""
from guest.devices import Provider
from guest.module import Module

DRIVER = "pci_p2pmem"
CARD = (0x1af4, 0x1110)         # an ivshmem


def bound_card(test):
    """Load pci_p2pmem and bind the card, until the end of the case."""
    Module(test, DRIVER)
    card = Provider.by_id(*CARD)
    override = card.path / "driver_override"
    override.write_text(DRIVER)
    test.later(lambda: card.exists() and override.write_text("\n"))
    test.later(lambda: card.exists() and card.driver() and card.unbind())
    card.bind(DRIVER)
    return card
