# SPDX-License-Identifier: GPL-2.0
"""Several users of peer memory at once, for a few seconds."""
import errno
import time

from guest import transfer
from guest.case import case
from guest.devices import Drive, provider
from guest.module import Module
from guest.worker import Worker, map_and_read

# Run for the longer time, so that a slow machine gets enough rounds.
SECONDS = 8
ROUNDS = 3


def _readings(worker, function):
    """Read all attributes again and again. The files may be missing for a while."""
    while True:
        for name in ("size", "available", "published"):
            try:
                function.text(f"p2pmem/{name}")
            except OSError:
                pass
        worker.tick()


def _orchestrate(worker, user, function):
    """Allocate and free memory through a driver. ENOMEM is allowed."""
    while True:
        try:
            user.set("hold", f"{function.bdf} {256 << 10}")
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
        user.set("hold", "0")
        worker.tick()


@case(short=True, seconds=120, modules=("p2pdma_user",))
def stress_provider(test):
    """Unbind and bind the provider during mappings, transfers, allocations and reads of sysfs."""
    peer, alpha, beta = provider(), Drive("alpha"), Drive("beta")
    user = Module(test, "p2pdma_user")
    workers = [Worker(test, map_and_read, peer.function, alpha),
               Worker(test, map_and_read, peer.function, beta, 1 << 20),
               Worker(test, map_and_read, peer.function, alpha, 4096),
               Worker(test, _orchestrate, user, peer.function),
               Worker(test, _readings, peer.function)]
    rounds, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end or rounds < ROUNDS:
        for worker in workers:
            worker.busy(1)
        peer.function.unbind()
        peer.function.bind()
        peer.find()
        rounds += 1
    for worker in workers:
        test.check(not worker.ended(), "a worker ended early")
        worker.kill()
    user.set("hold", "0")       # the killed worker may have left memory
    test.note(f"{rounds} times unbound, {sum(worker.ticks() for worker in workers)} rounds of work")
    test.equal(peer.function.available(), peer.function.size(), "available, afterwards")
    memory = peer.function.map(1 << 20)
    transfer.read_into(alpha, memory, 1 << 20)
    test.check(memory[:] == transfer.contents(alpha, 1 << 20), "a transfer moved other bytes")
    memory.close()


@case(seconds=120)
def stress_client(test):
    """Unbind and bind a client, while a second client uses the memory."""
    peer, alpha, beta = provider(), Drive("alpha"), Drive("beta")
    workers = [Worker(test, map_and_read, peer.function, beta),
               Worker(test, map_and_read, peer.function, beta, 256 << 10)]
    rounds, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end or rounds < ROUNDS:
        for worker in workers:
            worker.busy(1)
        memory = peer.function.map(64 << 10)
        transfer.read_into(alpha, memory, 64 << 10)
        alpha.function.unbind()
        memory.close()
        alpha.function.bind()
        alpha.find()
        rounds += 1
    for worker in workers:
        test.check(not worker.ended(), "a worker ended early")
        worker.kill()
    test.note(f"{rounds} times unbound")
    test.equal(peer.function.available(), peer.function.size(), "available, afterwards")
