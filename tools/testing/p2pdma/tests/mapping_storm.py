# SPDX-License-Identifier: GPL-2.0
"""Many tasks on one mapping and on many: contents, ends of tasks, ends of providers."""
import pathlib

from guest import selftest, user
from guest.card import DRIVER, bound_card
from guest.case import case
from guest.devices import Drive, provider

MIB = 1 << 20
DMA_FILTER = pathlib.Path("/sys/kernel/debug/dma-api/driver_filter")


def _allow_overlaps(test):
    """Let two transfers use one page at the same time, as tasks of a storm do.

    User space may do so. The debug code of the DMA API wants every cache line mapped once, and
    reports on the named driver only. There is no driver of this name.
    """
    if DMA_FILTER.exists():
        DMA_FILTER.write_text("none\n")
        test.later(lambda: DMA_FILTER.write_text("\n"))


@case("cards", modules=(DRIVER,), selftests=True, short=True, seconds=200)
def shared_mapping_of_a_card(test):
    """Tasks read and write drives at random places of one mapping of a BAR of 4 GiB."""
    card = bound_card(test)
    # To clear 4 GiB takes a while: all of the BAR only where there is time.
    length = 32 * MIB if len(test.rounds) == 1 else card.size()
    selftest.run(test, "p2pmem_shared", card, scratch=Drive("beta").path, length=length,
                 seconds=12 * len(test.rounds))
    card.unbind()


@case("switch", selftests=True, short=True, seconds=200)
def shared_mapping_of_a_drive(test):
    """The same with the controller memory of a drive."""
    peer = provider()
    selftest.run(test, "p2pmem_shared", peer.function, scratch=Drive("beta").path,
                 length=32 * MIB, seconds=12 * len(test.rounds))
    peer.function.unbind()
    peer.function.bind()


@case("cards", modules=(DRIVER,), selftests=True, short=True, seconds=200)
def storm_on_a_card(test):
    """Everything that root can do to mappings, at once, with ends of tasks at random."""
    card = bound_card(test)
    _allow_overlaps(test)
    for number in test.rounds:
        selftest.run(test, "p2pmem_storm", card, scratch=Drive("beta").path, seconds=15,
                     seed=number)
    card.unbind()


@case("switch", selftests=True, short=True, seconds=200)
def storm_of_a_user(test):
    """The same by an ordinary user of the file's group, with the memory of a drive."""
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
    """A mapping that is made while the provider is unbound does not survive."""
    card = bound_card(test)
    selftest.run(test, "p2pmem_unbind", card, unbind=DRIVER, rounds=8 * len(test.rounds))
