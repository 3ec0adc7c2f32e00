# SPDX-License-Identifier: GPL-2.0
"""Mappings of peer memory by fio and Python programs. The kselftests have more cases."""
import errno
import mmap
import os
import subprocess

from guest import transfer
from guest.case import case
from guest.devices import Drive, provider, until


def fio(drive, *options, iomem="mmapshared", allocate):
    """Run fio on DRIVE with buffers in peer memory. Return the finished process."""
    return subprocess.run(
        ["fio", f"--filename={drive.path}", "--direct=1", "--size=2m",
         f"--iomem={iomem}:{allocate}", *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/tmp")


@case("switch amd-root-ports viommu", short=True, seconds=180)
def fio_verify(test):
    """Write, read back and verify through peer memory, with several I/O engines."""
    peer, alpha = provider(), Drive("alpha")
    before = peer.function.available()
    jobs = []
    for engine, depth in (("psync", 1), ("libaio", 4), ("io_uring", 4)):
        jobs += [f"--name={engine}", "--stonewall", f"--ioengine={engine}", f"--iodepth={depth}"]
    with transfer.evidence(test, peer.function) as seen:
        done = fio(alpha, "--rw=randwrite", "--bs=32k", "--verify=crc32c", "--verify_fatal=1",
                   *jobs, allocate=peer.function.allocate())
    test.equal(done.returncode, 0, f"exit status of fio:\n{done.stdout}")
    # Under an IOMMU the trace has translated addresses, so rely on the verification by fio.
    if not os.path.exists("/sys/class/iommu/dmar0"):
        # Three jobs of 2 MiB, each written once and read once.
        test.equal((seen.peer, seen.ram), (12 << 20, 0),
                   f"bytes in the peer's BAR and in RAM, the first at {seen.first_outside}")
    until(lambda: peer.function.available() == before, 10, "return of the memory of fio")


@case()
def fio_private_is_refused(test):
    peer, alpha = provider(), Drive("alpha")
    done = fio(alpha, "--name=rig", "--rw=read", iomem="mmap", allocate=peer.function.allocate())
    test.check(done.returncode and os.strerror(errno.EINVAL) in done.stdout,
               f"fio with a private mapping ended with {done.returncode}:\n{done.stdout}")


@case()
def fio_too_large_is_refused(test):
    peer, alpha = provider(), Drive("alpha")
    done = fio(alpha, "--name=rig", "--rw=read", "--bs=2m", "--ioengine=libaio", "--iodepth=64",
               allocate=peer.function.allocate())
    test.check(done.returncode and os.strerror(errno.ENOMEM) in done.stdout,
               f"fio with 128 MiB of buffers ended with {done.returncode}:\n{done.stdout}")


@case()
def fio_when_exhausted(test):
    """fio fails without free memory, and works again afterwards."""
    peer, alpha = provider(), Drive("alpha")
    before = peer.function.available()
    hog = peer.function.map(before)
    done = fio(alpha, "--name=rig", "--rw=read", allocate=peer.function.allocate())
    test.check(done.returncode and os.strerror(errno.ENOMEM) in done.stdout,
               f"fio without memory ended with {done.returncode}:\n{done.stdout}")
    hog.close()
    test.equal(peer.function.available(), before, "available, after munmap")
    done = fio(alpha, "--name=rig", "--rw=read", allocate=peer.function.allocate())
    test.equal(done.returncode, 0, f"exit status of fio with memory again:\n{done.stdout}")


@case(short=True)
def python_mappings(test):
    """Invalid mappings by Python fail with the right error."""
    function = provider().function
    test.refused(errno.EINVAL, function.map, 4096, flags=mmap.MAP_PRIVATE)
    test.refused(errno.EINVAL, function.map, 4096, offset=4096)
    test.refused(errno.ENOMEM, function.map, function.size() + 4096)
    test.equal(function.available(), function.size(), "available, after three refusals")


@case(short=True)
def mapping_after_mapping(test):
    """All memory can be mapped again as soon as "available" says so, while pages still return."""
    peer = provider().function
    for _ in range(20):
        peer.map(peer.size()).close()
        test.equal(peer.available(), peer.size(), "available, after a mapping")


@case(short=True)
def second_mapping_sees_zeros(test):
    """A new mapping is zeroed, so no data of the previous owner are visible."""
    peer, alpha = provider(), Drive("alpha")
    length = 2 << 20
    memory = peer.function.map(length)
    test.check(memory[:] == bytes(length), "a first mapping is not zeroed")
    transfer.read_into(alpha, memory, length)
    test.check(memory[:] == transfer.contents(alpha, length), "the drive's data did not arrive")
    memory.close()
    for again in range(3):
        memory = peer.function.map(length)
        test.check(memory[:] == bytes(length), f"mapping {again + 2} sees its predecessor's data")
        memory.close()
