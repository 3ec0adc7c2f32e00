# SPDX-License-Identifier: GPL-2.0
"""The part of `rig demo` in the guest: run, check and explain the demonstration."""
import hashlib
import os

from guest import transfer
from guest.case import case
from guest.devices import DEVICES, Drive, provider
from guest.fabric import ADDRESS, RNIC, Fabric, Mastered, fio
from guest.module import Module

MIB = 1 << 20
LENGTH = 32 * MIB           # bytes to copy, at the start of the drives
OVER_NETWORK = 64 * MIB     # bytes for fio, after LENGTH


class Story:
    """Print chapters, lines and progress on the host."""

    def __init__(self, test):
        self._test = test
        self._chapter = 0

    def chapter(self, title):
        self._chapter += 1
        self.line(f"\n{self._chapter}. {title}\n")

    def line(self, text=""):
        self._test.host("say", text=text)

    def progress(self, done):
        self._test.host("progress", done=done, whole=LENGTH)


def _path(function):
    """Return the bridges from the root to a function, and the function."""
    return [part for part in function.path.resolve().parts if part.count(":") == 2]


def _shared_parent(one, other):
    """Return the last common bridge above the functions."""
    shared = [a for a, b in zip(_path(one), _path(other)) if a == b]
    return shared[-1] if shared else None


def _kernel_said(test, text):
    """Return the first kernel message of the boot with TEXT, without the time."""
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            record = os.read(log, 1 << 16).decode().split(";", 1)[1].split("\n")[0]
            if text in record:
                return record
    except BlockingIOError:
        test.check(False, f"the kernel never said '{text}'")
    finally:
        os.close(log)


def _introduce(story, peer, source, target):
    bridge = _shared_parent(source.function, peer.function)
    story.chapter("The machine")
    story.line(f"""\
   processor and system RAM
     +- root port {_path(peer.function)[0]}
          +- PCI Express switch {bridge}
               +- {peer.bdf}  {peer.disk}  a drive that also carries memory: the PROVIDER
               +- {source.bdf}  {source.disk}  an ordinary drive: the SOURCE
               +- {target.bdf}  {target.disk}  an ordinary drive: the TARGET""")


def _show_provider(test, story, peer):
    function = peer.function
    story.chapter("The provider and its memory")
    story.line("   When its driver found the memory, the kernel said:\n\n     "
               + _kernel_said(test, "added peer-to-peer DMA memory"))
    story.line(f"\n   In {DEVICES}/{peer.bdf}/p2pmem:\n")
    for name, meaning in (("size", "bytes of memory that other devices may use"),
                          ("available", "bytes that nobody uses at the moment"),
                          ("published", "1: anybody may choose this provider")):
        story.line(f"     {name:10} {function.text('p2pmem/' + name):>9}   {meaning}")
    test.check(function.available() >= LENGTH, "the provider has too little memory to show this")
    test.equal(function.text("p2pmem/published"), "1", "published")


def _show_route(test, story, peer, drives):
    user = Module(test, "p2pdma_user")
    story.chapter("The route: can the other drives reach that memory?")
    for drive in drives:
        user.set("ask", f"{peer.bdf} {drive.bdf}")
        distance = int(user.get("ask"))
        test.check(distance > 0, f"the kernel knows no route from {drive.bdf}")
        bridge = _shared_parent(drive.function, peer.function)
        story.line(f"   {drive.bdf} -> {peer.bdf}   yes: both are below switch {bridge}, "
                   f"distance {distance} hops")
        _show_peers(story, drive, peer)
    story.line("\n   The switch turns such traffic around by itself; it never comes near the "
               "processor.")


def _show_peers(story, drive, peer):
    """Print the line of p2pdma/peers, on kernels with the file."""
    peers = drive.function.path / "p2pdma/peers"
    if peers.exists():
        for line in peers.read_text().splitlines():
            if line.startswith(peer.bdf):
                story.line(f"     {peers}: {line}")


def _copy(test, story, peer, source, target):
    story.chapter("The copy")
    story.line(f"   {source.disk} writes {LENGTH // MIB} MiB into the provider's memory, and "
               f"{target.disk} reads them from there.\n")
    memory = peer.function.map(LENGTH)
    with transfer.evidence(test, peer.function) as seen:
        for at in range(0, LENGTH, MIB):
            transfer.read_into(source, memory, MIB, at, at)
            transfer.write_from(target, memory, MIB, at, at)
            story.progress(at + MIB)
    memory.close()
    return seen


def _digest(drive):
    digest = hashlib.sha256()
    for at in range(0, LENGTH, 4 * MIB):
        digest.update(transfer.contents(drive, 4 * MIB, at))
    return digest.hexdigest()


def _verify(test, story, source, target, before):
    story.chapter("Are they the right bytes?")
    digests = _digest(source), _digest(target)
    story.line(f"""\
   SHA-256 of the target before  {before}
   SHA-256 of the source         {digests[0]}
   SHA-256 of the target         {digests[1]}""")
    test.check(before != digests[0], "the target held these bytes before the copy")
    test.equal(digests[1], digests[0], "digest of the target")
    story.line("\n   Source and target are the same.")


def _show_evidence(test, story, peer, source, seen):
    first, last = peer.function.bar(peer.function.BAR)
    story.chapter("Which way did they go?")
    story.line(f"""\
   The emulator writes down every address that a drive uses for data. The provider's memory
   is at {first:#x}-{last:#x}; all other addresses are system RAM.

     bytes that drives mastered to peer memory:    {seen.peer_written:10}
     bytes that drives mastered from peer memory:  {seen.peer_read:10}
     payload bytes to system RAM:                  {seen.ram:10}""")
    test.equal((seen.peer_written, seen.peer_read, seen.ram, seen.own), (LENGTH, LENGTH, 0, 0),
               "bytes to and from peer memory, in system RAM, and by the provider itself")
    plain = transfer.ram(MIB)
    with transfer.evidence(test, peer.function) as control:
        transfer.read_into(source, plain, MIB)
    story.line(f"""
   To see that this can also turn out otherwise, 1 MiB is now read the usual way:

     payload bytes to system RAM:                  {control.ram:10}""")
    test.equal((control.peer, control.ram), (0, MIB), "bytes of an ordinary read in peer memory "
                                                      "and in system RAM")


def _introduce_network(story, rnic):
    story.chapter("Sharing a drive over a network, with its data passing through the provider")
    story.line(f"""\
   With NVMe over Fabrics a computer uses a drive of another one, the target, as if it were its
   own. An RDMA network adapter moves the data, and the target needs buffers: the drive fills
   them, the adapter empties them, or the other way round. This time, the buffers are in
   the provider, so that nothing passes the target's system RAM.

   No emulator has such an adapter. A test module makes one of a further drive, {rnic}
   below the same switch: that drive's hardware moves each byte. Both ends of the connection are
   in this machine, and both are the ones of the kernel, unchanged.""")


def _show_target(test, story, peer, fabric):
    namespace, text = fabric.namespace, f"using p2pmem on {peer.bdf}"
    said = next((line for line in test.kernel_log() if text in line), None)
    test.check(said, f"the kernel never said '{text}'")
    story.line(f"""
   The target was told to use that memory, and the drive was connected to:

     cd {namespace.path}
     echo {peer.bdf} > p2pmem
     echo 1 > enable
     nvme connect --transport=rdma --traddr={ADDRESS} --nqn={namespace.nqn}

   {fabric.remote.path} is now {fabric.disk.path} over the network, and the kernel said:

     {said}
""")
    test.equal(namespace.get("p2pmem"), peer.bdf, "the provider that the namespace uses")


def _use_network(test, story, fabric):
    story.line(f"   fio writes and reads {OVER_NETWORK // MIB} MiB over the network at random and "
               "checks what it reads;\n   this takes a while ...")
    with Mastered(test, fabric) as seen:
        fio(test, fabric.remote, ("--bsrange=4k-128k", "--iodepth=8", f"--offset={LENGTH}",
                                  f"--size={OVER_NETWORK}"))
    story.line("   It found no error.")
    return seen


def _show_network_evidence(test, story, seen):
    story.line(f"""
   The addresses that the hardware used meanwhile:

     bytes from the provider's memory to the drive:  {seen.disk_out['peer']:10}
     bytes that the adapter had put there:           {seen.rnic_in['peer']:10}
     bytes from the drive to the provider's memory:  {seen.disk_in['peer']:10}
     bytes that the adapter took from there:         {seen.rnic_out['peer']:10}
     payload bytes in the target's system RAM:       {seen.in_ram():10}

   The other end's own buffers are in RAM, as they are in any computer that uses a drive.""")
    for drive, rnic, way in ((seen.disk_out, seen.rnic_in, "written"),
                             (seen.disk_in, seen.rnic_out, "read")):
        test.check(drive["peer"] >= MIB, f"hardly anything was {way} by way of the provider")
        test.equal(rnic["peer"], drive["peer"], f"bytes {way} through the adapter")
    test.equal(seen.in_ram(), 0, "payload in the target's system RAM")


def _show_network_control(test, story, fabric):
    fabric.switch("0")
    with Mastered(test, fabric) as seen:
        transfer.read_into(fabric.remote, transfer.ram(MIB), MIB)
    story.line(f"""
   Once more 1 MiB, now with p2pmem set to 0, to see that this can also turn out otherwise:

     payload bytes in the target's system RAM:       {seen.in_ram():10}""")
    test.equal((seen.disk_in["peer"], seen.rnic_out["peer"]), (0, 0), "bytes in the provider")
    test.check(seen.in_ram() >= MIB, "bytes of an ordinary target in system RAM")


def _show_network(test, story, peer, target):
    _introduce_network(story, Drive("rnic").bdf)
    with Fabric(test, disk=target.serial) as fabric:
        _show_target(test, story, peer, fabric)
        _show_network_evidence(test, story, _use_network(test, story, fabric))
        _show_network_control(test, story, fabric)
        fabric.all_back()


@case("demo", modules=("p2pdma_user", RNIC), seconds=600)
def demo(test):
    story = Story(test)
    peer, source, target = provider(), Drive("alpha"), Drive("beta")
    _introduce(story, peer, source, target)
    _show_provider(test, story, peer)
    _show_route(test, story, peer, (source, target))
    before = _digest(target)
    seen = _copy(test, story, peer, source, target)
    _verify(test, story, source, target, before)
    _show_evidence(test, story, peer, source, seen)
    _show_network(test, story, peer, target)
