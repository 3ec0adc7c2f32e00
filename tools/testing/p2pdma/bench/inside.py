#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""inside.py MODULE AGED IMPORTER P2PMEM SEED... - the guest's half of the benchmark

Loads MODULE once, and AGED for each mix of lists and each SEED; prints a line of key=value words
for each measured operation. IMPORTER attaches to dma-bufs, and P2PMEM makes the card a provider.
The exit status is 1 if a module does not load.
"""
import fcntl
import mmap
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "guest-tests"))

from guest import heap  # noqa: E402
from guest.devices import Drive, Function, provider, until  # noqa: E402

CARD = (0x1af4, 0x1110)
CARD_BAR = 2
MARK = "p2pdma_bench"
SHARES = "fill=50,90,99"
MAPPING = 16 << 20              # bytes of a user mapping
MAPPINGS = 9
DMABUFS = ((64 << 10, 50), (1 << 30, 3))        # bytes of a dma-buf, and rounds
SYSTEM = pathlib.Path("/dev/dma_heap/system")
COMMANDS = pathlib.Path("/sys/module/p2pdma_importer/parameters")
# A scan of a large pool takes long where the kernel's own implementation scans.
FEWER = ("rounds=2000", "singles=200")
OLDER = ("fill=99", "age=50000")


def messages(log):
    """The texts of the kernel's messages that have come since LOG was read last."""
    while True:
        try:
            record = os.read(log, 1 << 16)
        except BlockingIOError:
            return
        yield record.split(b";", 1)[1].split(b"\n")[0].decode(errors="replace")


def load(log, module, *parameters):
    """Load a module, which measures, and print its lines; whether it loaded."""
    done = subprocess.run(["insmod", module, *parameters], check=False)
    for text in messages(log):
        if text.startswith(MARK):
            print(text.split(": ", 1)[1], flush=True)
    return not done.returncode


def user_mapping(peer):
    """Map and unmap peer memory. The clock counts instructions; the quickest of some rounds had
    the fewest interrupts."""
    costs = []
    for _ in range(MAPPINGS):
        with open(peer.function.allocate(), "r+b", buffering=0) as file:
            start = time.monotonic_ns()
            mmap.mmap(file.fileno(), MAPPING).close()
            costs.append(time.monotonic_ns() - start)
    print(f"op=user_mapping bytes={MAPPING} instructions={min(costs)} rounds={MAPPINGS}",
          flush=True)


def card_heap(card, p2pmem):
    """Make the card a provider. Return the path of the heap."""
    subprocess.run(["insmod", p2pmem, f"bars={card.bdf}/{CARD_BAR}"], check=True)
    (card.path / "driver_override").write_text("pci_p2pmem")
    card.bind("pci_p2pmem")
    until(heap.path(card).exists, 30, "heap of the card")
    return heap.path(card)


def dmabuf(path, client, size, rounds):
    """Allocate a dma-buf, attach and map a client, and undo all of that. As in user_mapping(), the
    quickest round counts. The calls of this program count, too, alike for every heap."""
    commands = {name: os.open(COMMANDS / name, os.O_WRONLY)
                for name in ("attach", "map", "unmap", "detach")}
    source, costs = os.open(path, os.O_RDONLY), []
    for _ in range(rounds):
        request = heap.request(size)
        start = time.monotonic_ns()
        fd = heap.granted(fcntl.ioctl(source, heap.ALLOC, request))
        os.write(commands["attach"], b"0 %s %d moves" % (client.bdf.encode(), fd))
        for name in ("map", "unmap", "detach"):
            os.write(commands[name], b"0")
        os.close(fd)
        costs.append(time.monotonic_ns() - start)
    for each in (source, *commands.values()):
        os.close(each)
    print(f"op=dmabuf_{size} heap={path.name} bytes={size} instructions={min(costs)} "
          f"rounds={rounds}", flush=True)


def dmabufs(importer, p2pmem, peer, card, client):
    """Measure the heaps of providers, or the system heap on a kernel without such heaps."""
    subprocess.run(["insmod", importer], check=True)
    if heap.path(peer).exists():
        paths = (heap.path(peer), card_heap(card, p2pmem))
    else:
        paths = (SYSTEM, SYSTEM)
    for path, (size, rounds) in zip(paths, DMABUFS):
        dmabuf(path, client, size, rounds)
    subprocess.run(["rmmod", "p2pdma_importer"], check=True)


def aged(log, module, seed, target, size, longest, *parameters):
    """Load AGED for one mix, and unload it, for the next one."""
    loaded = load(log, module, f"provider={target.bdf}", f"pages={size // mmap.PAGESIZE}",
                  f"longest={longest}", f"seed={seed}", *parameters)
    if loaded:
        subprocess.run(["rmmod", "p2pdma_bench_aged"], check=True)
    return loaded


def main(module, aged_module, importer, p2pmem, *seeds):
    peer, alpha, card = provider(), Drive("alpha"), Function.by_id(*CARD)
    first, last = card.bar(CARD_BAR)
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    os.lseek(log, 0, os.SEEK_END)
    done = load(log, module, f"provider={peer.bdf}", f"client={alpha.bdf}", f"card={card.bdf}")
    user_mapping(peer)
    for seed in seeds:
        for longest, *mix in ((32, SHARES), (256, SHARES), (256, *OLDER)):
            done &= aged(log, aged_module, seed, peer.function, peer.function.size(), longest,
                         f"client={alpha.bdf}", *mix)
        done &= aged(log, aged_module, seed, card, last - first + 1, 256, SHARES, *FEWER)
    # At the end, because the card stays bound.
    dmabufs(importer, p2pmem, peer.function, card, alpha.function)
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
