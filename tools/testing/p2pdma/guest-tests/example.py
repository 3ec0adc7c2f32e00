# SPDX-License-Identifier: GPL-2.0
"""The example driver of the documentation works."""
import errno

from guest.case import case
from guest.devices import Function, Provider
from guest.module import Module

CARD = (0x1af4, 0x1110)         # an ivshmem: the provider of the example
ENGINE = (0x1234, 0x11e8)       # an edu: the client of the example


def _load(test):
    """Load the example. Return the card and the file of the engine."""
    Module(test, "p2pdma_example")
    return Provider.by_id(*CARD), Function.by_id(*ENGINE).path.resolve() / "carry"


@case("example", modules=("p2pdma_example",), short=True)
def example_carries(test):
    """The engine moves bytes in the memory of the card by bus addresses, and frees the memory."""
    card, carry = _load(test)
    test.equal(card.size(), card.bar(2)[1] - card.bar(2)[0] + 1, "size")
    for byte in ("165", "0", "255"):
        carry.write_text(byte)
    test.equal(card.number("p2pmem/mapped_bus"), 6, "mappings, in and out for three bytes")
    test.equal(card.available(), card.size(), "available, afterwards")
    test.refused(errno.EINVAL, carry.write_text, "nonsense")


@case("example", modules=("p2pdma_example",))
def example_without_memory(test):
    """Without a reachable provider, the orchestrator fails with ENODEV."""
    card, carry = _load(test)
    policy = carry.parents[1] / "p2pdma/policy"
    test.later(policy.write_text, "auto")
    policy.write_text("deny")
    test.refused(errno.ENODEV, carry.write_text, "1")
    policy.write_text("auto")
    carry.write_text("1")
    card.unbind()
    test.refused(errno.ENODEV, carry.write_text, "1")
    card.bind("p2pdma_example_memory")
    carry.write_text("1")
