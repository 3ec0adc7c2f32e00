# SPDX-License-Identifier: GPL-2.0
"""Dma-bufs of peer memory while allocations fail and devices go."""
import errno
import fcntl
import mmap
import os
import random

from guest import heap
from guest.case import case
from guest.devices import Drive, attempt, bridges_above, provider, until, without
from guest.heap import Buffer
from guest.injection import Injection
from guest.module import Module
from guest.worker import Worker

MIB = 1 << 20
PAGE = mmap.PAGESIZE
IMPORTER = heap.NAME
EXPORTER = "p2pdma_exporter"


@case(modules=(IMPORTER, EXPORTER), seconds=300)
def dmabuf_failing_allocations(test):
    """Each allocation of export, attach and map is made to fail: nothing is lost."""
    injection = Injection(test)
    peer, alpha = provider().function, Drive("alpha").function
    importers, exporter = heap.Importers(test), Module(test, EXPORTER)
    heap_fd = os.open(heap.path(peer), os.O_RDONLY)
    test.later(os.close, heap_fd)
    def from_heap(point):
        answer = bytearray(heap.request(MIB))
        failed, error = injection.call(point, fcntl.ioctl, heap_fd, heap.ALLOC, answer)
        if not error:
            os.close(heap.granted(answer))
        return failed, error

    def write(point, parameter, text, name=IMPORTER):
        """Inject the failure into the write only: a failing close would look like a refusal."""
        fd = os.open(f"/sys/module/{name}/parameters/{parameter}", os.O_WRONLY)
        try:
            return injection.call(point, os.write, fd, text.encode())
        finally:
            os.close(fd)

    def from_driver(point):
        failed, error = write(point, "export", f"{peer.bdf} {MIB}", EXPORTER)
        if not error:
            os.close(int(exporter.get("export")))
        return failed, error

    buffer = Buffer(test, peer, MIB)

    def attach(point):
        failed, error = write(point, "attach", f"0 {alpha.bdf} {buffer.fd} moves")
        if not error:
            importers.set("detach", "0")
        return failed, error

    def pages_again():
        return heap.counts(peer) == (peer.size() - MIB, MIB)

    def sweep(call):
        def one(point):
            failed, error = call(point)
            if error:
                test.equal(error.errno, errno.ENOMEM, f"errno, with allocation {point} failing")
            until(pages_again, 20, f"return of the memory after failure {point}")
            return failed
        test.check(injection.each(test, one), "no allocation was made to fail")

    for call in (from_heap, from_driver, attach):
        sweep(call)
    importers.attach(alpha, buffer)

    def mapping(point):
        failed, error = write(point, "map", "0")
        if not error:
            importers.set("unmap", "0")
        return failed, error

    sweep(mapping)


def _use_forever(worker, importers, slot, peer, client):
    """Allocate, attach, map, touch, and give everything back, whatever fails."""
    choice = random.Random(slot)
    sink = os.open("/dev/null", os.O_WRONLY)
    while True:
        fd = attempt(heap.allocate, heap.path(peer), choice.randrange(1, 256) * PAGE)
        if fd is not None:
            kind = choice.choice(("moves", "pinned"))
            attempt(importers.set, "attach", f"{slot} {client} {fd} {kind}")
            attempt(importers.set, "map", str(slot))
            memory = attempt(mmap.mmap, fd, PAGE)
            if memory:
                # The kernel reads the memory: EFAULT, and no SIGBUS, after a revocation.
                attempt(os.write, sink, memory)
                memory.close()
            if choice.random() < 0.5:
                attempt(importers.set, "unmap", str(slot))
            attempt(importers.set, "detach", str(slot))
            os.close(fd)
        worker.tick()


@case(modules=(IMPORTER,), short=True, seconds=300)
def dmabuf_devices_go(test):
    """Provider, importers and bridges go and return while several tasks use dma-bufs."""
    drives = [provider(), Drive("alpha"), Drive("beta")]
    peer = drives[0].function
    importers = heap.Importers(test)
    workers = [Worker(test, _use_forever, importers, slot, peer, drives[1 + slot % 2].bdf)
               for slot in range(4)]
    ports = [bridges_above(drive.function)[0] for drive in drives]
    for _ in test.rounds:
        for drive, port in zip(drives, ports):
            for take in without(test, drive, port):
                for worker in workers:
                    worker.busy(2)
                back = take()
                for worker in workers:
                    worker.busy(1)
                back()
                drive.find()
    for worker in workers:
        worker.kill()
    for slot in range(4):
        attempt(importers.set, "detach", str(slot))
    peer = provider().function
    heap.all_back(test, peer)
    Buffer(test, peer, peer.size()).close()
    test.note(f"{sum(worker.ticks() for worker in workers)} dma-bufs were used")
