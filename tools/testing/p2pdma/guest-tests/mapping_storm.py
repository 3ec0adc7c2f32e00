# SPDX-License-Identifier: GPL-2.0
"""Storms of tasks on mappings: contents, killed tasks, unbound providers."""
import pathlib

from guest import selftest, user
from guest.card import DRIVER, bound_card
from guest.case import case
from guest.devices import Drive, provider

MIB = 1 << 20
DMA_FILTER = pathlib.Path("/sys/kernel/debug/dma-api/driver_filter")


def _allow_overlaps(test):
    """Let two transfers use a page at the same time.

    Tasks of a storm may do so, but the debug code of the DMA API reports two mappings of a cache
    line. The filter limits the reports to a driver, and no driver has the name.
    """
    if DMA_FILTER.exists():
        DMA_FILTER.write_text("none\n")
        test.later(lambda: DMA_FILTER.write_text("\n"))


@case("cards", modules=(DRIVER,), selftests=True, short=True, seconds=200)
def shared_mapping_of_a_card(test):
    """Tasks transfer between drives and random places of a shared mapping of a BAR of 4 GiB."""
    card = bound_card(test)
    # It takes long to clear 4 GiB, so map the whole BAR only with many rounds.
    length = 32 * MIB if len(test.rounds) == 1 else card.size()
    selftest.run(test, "p2pmem_shared", card, scratch=Drive("beta").path, length=length,
                 seconds=12 * len(test.rounds))
    card.unbind()


@case("switch", selftests=True, short=True, seconds=200)
def shared_mapping_of_a_drive(test):
    """A shared mapping of the controller memory of a drive."""
    peer = provider()
    selftest.run(test, "p2pmem_shared", peer.function, scratch=Drive("beta").path,
                 length=32 * MIB, seconds=12 * len(test.rounds))
    peer.function.unbind()
    peer.function.bind()


@case("cards", modules=(DRIVER,), selftests=True, short=True, seconds=200)
def storm_on_a_card(test):
    """Tasks of root use mappings in all ways and get killed at random."""
    card = bound_card(test)
    _allow_overlaps(test)
    for number in test.rounds:
        selftest.run(test, "p2pmem_storm", card, scratch=Drive("beta").path, seconds=15,
                     seed=number)
    card.unbind()


@case("switch", selftests=True, short=True, seconds=200)
def storm_of_a_user(test):
    """A storm by an ordinary user in the group of the file, with the memory of a drive."""
    peer, beta = provider(), Drive("beta")
    user.invite(test, peer.function.allocate(), beta.path)
    _allow_overlaps(test)
    for number in test.rounds:
        selftest.run(test, "p2pmem_storm", peer.function, scratch=beta.path, seconds=15,
                     seed=number, user=user.WORD)
    peer.function.unbind()
    peer.function.bind()


@case("switch", modules=(DRIVER,), selftests=True, short=True, seconds=200)
def unbind_among_mappings(test):
    """A mapping that is created during the unbind of the provider does not survive."""
    card = bound_card(test)
    selftest.run(test, "p2pmem_unbind", card, unbind=DRIVER, rounds=8 * len(test.rounds))
