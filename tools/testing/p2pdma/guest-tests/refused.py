# SPDX-License-Identifier: GPL-2.0
"""Without a route, no transfer works, and the log names the reason."""
import errno
import os

from guest import nvmet, transfer
from guest.case import case
from guest.devices import Drive, provider
from guest.module import Module

NOT_LISTED = "Host bridge not in P2PDMA whitelist: "
NO_ROUTE = ("cannot be used for peer-to-peer DMA as the client and provider ({}) do not share an "
            "upstream bridge or whitelisted host bridge")


@case("intel-root-ports", short=True)
def refused_transfer(test):
    """Reads and writes fail with EREMOTEIO, and change neither memory nor disk."""
    peer, alpha = provider(), Drive("alpha")
    length = 64 << 10
    memory = peer.function.map(length)
    before = transfer.contents(alpha, length)
    with transfer.evidence(test, peer.function) as seen:
        test.refused(errno.EREMOTEIO, transfer.read_into, alpha, memory, length)
        memory[:] = b"\x5a" * length
        test.refused(errno.EREMOTEIO, transfer.write_from, alpha, memory, length)
    test.equal((seen.peer, seen.own, seen.ram), (0, 0, 0), "bytes that drives moved anywhere")
    test.check(memory[:] == b"\x5a" * length, "the peer memory was written to")
    test.check(transfer.contents(alpha, length) == before, "the disk was written to")
    memory.close()
    test.equal(peer.function.available(), peer.function.size(), "available, afterwards")


@case("intel-root-ports")
def refused_mixture(test):
    """A request with RAM and unreachable peer memory moves no byte, not even in the RAM."""
    peer, alpha = provider(), Drive("alpha")
    memory, plain = peer.function.map(8192), transfer.ram(8192)
    plain[:] = b"\x5a" * 8192
    fd = alpha.open()
    with transfer.evidence(test, peer.function) as seen:
        test.refused(errno.EREMOTEIO, os.preadv, fd, [plain, memory], 0)
    test.equal((seen.peer, seen.ram), (0, 0), "bytes that drives moved anywhere")
    test.check(plain[:] == b"\x5a" * 8192, "the RAM was written to")
    os.close(fd)


@case("intel-root-ports", short=True)
def refused_namespace(test):
    """A namespace with an unreachable provider cannot be enabled, and the log has the reason."""
    peer, alpha = provider(), Drive("alpha")
    with nvmet.Namespace("refused", alpha.path) as namespace:
        namespace.set("p2pmem", peer.bdf)
        test.refused(errno.EINVAL, namespace.set, "enable", "1")
    log = "\n".join(test.kernel_log())
    test.check(f"nvme {alpha.bdf}: {NO_ROUTE.format(peer.bdf)}" in log,
               f"the log does not say that there is no route:\n{log}")
    test.check(f"pci 0000:00:00.0: {NOT_LISTED}8086:29c0" in log,
               f"the log does not name the host bridge:\n{log}")


@case("intel-root-ports", modules=("p2pdma_user",))
def refused_distance(test):
    """The distance is negative without a route, and zero from a function to itself."""
    peer, alpha = provider(), Drive("alpha")
    user = Module(test, "p2pdma_user")
    user.set("ask", f"{peer.bdf} {alpha.bdf}")
    test.check(int(user.get("ask")) < 0, f"distance to alpha: {user.get('ask')}")
    user.set("ask", f"{peer.bdf} {peer.bdf}")
    test.equal(int(user.get("ask")), 0, "distance to itself")
