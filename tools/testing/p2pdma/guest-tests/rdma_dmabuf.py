# SPDX-License-Identifier: GPL-2.0
"""Dma-bufs and an RDMA adapter, while devices go.

A drive that is plugged in again has another namespace number, so the file comes after rdma.py,
whose tests tell drives by the number.
"""
import os
import subprocess

from guest import heap
from guest.case import case
from guest.devices import Drive, attempt, bridges_above, provider, without
from guest.fabric import CASES, RNIC, Rnic
from guest.heap import Buffer
from guest.worker import Worker

MIB = 1 << 20


def _copy_forever(worker, test, peer):
    """Let the RNIC copy a dma-buf to a dma-buf. Go on while devices are away."""
    while True:
        fds = [attempt(heap.allocate, heap.path(peer), MIB) for _ in range(2)]
        if None not in fds:
            # The module copies while it is loaded, and stays only if all bytes were copied.
            words = [f"dmabuf={fds[0]},{fds[1]}", f"dmabuf_bytes={MIB}"]
            done = subprocess.run(["insmod", test.module(CASES), *words], pass_fds=fds,
                                  stderr=subprocess.DEVNULL)
            if not done.returncode:
                subprocess.run(["rmmod", CASES], check=True)
                worker.tick()
        for fd in fds:
            if fd is not None:
                os.close(fd)


class _RnicDrive:
    """The drive of the RNIC, as without() sees a drive."""
    serial = "rnic"

    def __init__(self, rnic):
        self._rnic = rnic

    @property
    def function(self):
        return self._rnic.function

    def find(self):
        self._rnic.restart()


@case("fabric", short=True, modules=(RNIC, CASES), seconds=400)
def dmabuf_rdma_devices_go(test):
    """Provider, RNIC and bridges go and return while the RNIC copies between dma-bufs."""
    peer = provider().function
    with Rnic(test) as rnic:
        drives = [Drive("provider"), _RnicDrive(rnic)]
        ports = [bridges_above(drive.function)[0] for drive in drives]
        worker = Worker(test, _copy_forever, test, peer)
        for _ in test.rounds:
            for drive, port in zip(drives, ports):
                for take in without(test, drive, port):
                    worker.busy(1, 60)
                    # The NVMe driver gets no RNIC back: find() binds the driver of the RNIC.
                    attempt(take())
                    drive.find()
        worker.busy(2, 60)
        worker.kill()
        attempt(subprocess.run, ["rmmod", CASES])
    peer = provider().function
    heap.all_back(test, peer)
    Buffer(test, peer, peer.size()).close()
    test.note(f"{worker.ticks()} copies of {MIB} bytes")
