# SPDX-License-Identifier: GPL-2.0
"""Several users of peer memory at once, for a few seconds."""
import collections
import contextlib
import errno
import itertools
import mmap
import os
import random
import time

from guest import heap, transfer
from guest.case import case
from guest.devices import PCI, Drive, attempt, bridges_above, provider, rescan, until
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
        peer.bind()
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
        alpha.bind()
        rounds += 1
    for worker in workers:
        test.check(not worker.ended(), "a worker ended early")
        worker.kill()
    test.note(f"{rounds} times unbound")
    test.equal(peer.function.available(), peer.function.size(), "available, afterwards")


SLOTS = 4       # workers at a time, each with a slot of the importer


class Chaos:
    """Random uses of peer memory, for a worker. Devices may be away at any time."""

    def __init__(self, number, peer, client, bridge, user, importer):
        self.choice = random.Random(number)
        self.slot = number % SLOTS
        self.peer = peer
        self.client = client
        self.bridge = bridge
        self.user = user
        self.importer = importer

    def transfer(self):
        memory = attempt(self.peer.map, self.choice.randrange(1, 64) * mmap.PAGESIZE)
        if memory:
            attempt(self._transfer, memory)
            memory.close()

    def _transfer(self, memory):
        # The drive may have another number after a return, or no disk at all.
        drive = self.client.find(seconds=0)
        move = self.choice.choice((transfer.read_into, transfer.write_from))
        with contextlib.suppress(EOFError):
            move(drive, memory, len(memory))

    def dmabuf(self):
        length = self.choice.randrange(1, 64) * mmap.PAGESIZE
        fd = attempt(heap.allocate, heap.path(self.peer), length)
        if fd is None:
            return
        kind = self.choice.choice(("moves", "pinned"))
        name = self.client.function.bdf
        attempt(self.importer.set, "attach", f"{self.slot} {name} {fd} {kind}")
        attempt(self.importer.set, "map", str(self.slot))
        memory = attempt(mmap.mmap, fd, length)
        if memory:
            attempt(os.write, self.sink, memory)
            memory.close()
        attempt(self.importer.set, "detach", str(self.slot))
        os.close(fd)

    def orchestrate(self):
        size = self.choice.randrange(1, 512) * mmap.PAGESIZE
        attempt(self.user.set, "hold", f"{self.peer.bdf} {size}")
        attempt(self.user.set, "ask", f"{self.peer.bdf} {self.client.function.bdf}")
        attempt(self.user.set, "hold", "0")

    def policy(self):
        word = self.choice.choice(("deny", "allow", "auto", "auto"))
        attempt((self.bridge / "p2pdma/policy").write_text, word)

    def look(self):
        for path in (self.peer.path / "p2pmem", self.peer.path / "p2pdma",
                     self.client.function.path / "p2pdma", self.bridge / "p2pdma"):
            for name in attempt(os.listdir, path) or ():
                if name != "allocate":
                    attempt((path / name).read_text)

    def reserve(self):
        size = self.choice.randrange(64) * mmap.PAGESIZE
        attempt((self.peer.path / "p2pmem/reserve").write_text, str(size))

    def rescan(self):
        attempt((PCI / "p2pdma_rescan").write_text, "1")

    def run(self, worker):
        self.sink = os.open("/dev/null", os.O_WRONLY)
        actions = (self.transfer, self.dmabuf, self.orchestrate, self.policy, self.look,
                   self.reserve, self.rescan)
        while True:
            self.choice.choice(actions)()
            worker.tick()


def _unplugged(test, drive):
    test.host("device_del", name=drive.serial)
    until(lambda: not drive.function.exists(), 30, f"removal of {drive.serial}")
    test.host("device_add", name=drive.serial)


def _rebound(_test, drive):
    drive.function.unbind()
    drive.function.bind()


def _rescanned(_test, drive):
    drive.function.remove()
    rescan()


@case(short=True, seconds=120, modules=("p2pdma_user", heap.NAME))
def everything_at_once(test):
    """All uses of peer memory at once, while devices go and return and tasks get killed."""
    peer, alpha, beta = provider(), Drive("alpha"), Drive("beta")
    user, importer = Module(test, "p2pdma_user"), heap.Importers(test)
    bridge = bridges_above(peer.function)[1]
    test.later((bridge / "p2pdma/policy").write_text, "auto")

    def start(number):
        client = (alpha, beta)[number % 2]
        chaos = Chaos(number, peer.function, client, bridge, user, importer)
        return Worker(test, chaos.run)

    workers = collections.deque(start(number) for number in range(SLOTS))
    for number, (go, drive) in enumerate(
            itertools.product((_rebound, _unplugged, _rescanned) * len(test.rounds),
                              (peer, alpha, beta)), SLOTS):
        for worker in workers:
            worker.busy(2)
        go(test, drive)
        drive.find()
        workers.popleft().kill()
        workers.append(start(number))
    for worker in workers:
        worker.kill()
    for slot in range(SLOTS):
        attempt(importer.set, "detach", str(slot))
    user.set("hold", "0")
    (bridge / "p2pdma/policy").write_text("auto")
    heap.all_back(test, provider().function)
    memory = peer.function.map(1 << 20)
    transfer.read_into(alpha, memory, 1 << 20)
    test.check(memory[:] == transfer.contents(alpha, 1 << 20), "a transfer moved other bytes")
    memory.close()
