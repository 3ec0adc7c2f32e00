# SPDX-License-Identifier: GPL-2.0
"""An NVMe-oF target over RDMA with buffers in a provider, and the fall-back to system RAM."""
import contextlib
import errno
import mmap
import pathlib
import re
import subprocess

from guest import nvmet, transfer
from guest.case import case
from guest.devices import Drive, Function, provider, until
from guest.fabric import (CASES, Fabric, Mastered, RNIC, Rnic, SECONDS, back_to_nvme, fio,
                          function_of, give, pages_of)
from guest.load import Load
from guest.module import Module
from tool import ask, ours

MIB = 1 << 20
CAPSULE = 512       # bytes that the RNIC moves for a SEND: a block, mostly padding
USING = "using p2pmem on"

# Block sizes, queue depth, and share in 64 MiB. Jobs do not overlap.
JOBS = (("--bs=4k", "--iodepth=1", 4), ("--bsrange=512-128k", "--iodepth=8", 20),
        ("--bs=64k", "--iodepth=32", 24), ("--bs=256k", "--iodepth=2", 16))


@case("fabric", short=True, modules=(RNIC, CASES), seconds=400)
def rdma_verbs(test):
    """Run the cases of p2pdma_test_rnic_verbs."""
    with Rnic(test):
        done = subprocess.run(["insmod", test.module(CASES)], capture_output=True, text=True)
        if not done.returncode:
            subprocess.run(["rmmod", CASES], check=True)
    found = [re.match(r"(not )?ok \d+ (\w+)", line) for line in test.kernel_log()]
    test.subtests = [[line[2], "failed" if line[1] else "ok", ""] for line in found if line]
    test.check(len(test.subtests) > 20, f"most cases were not run ({done.stderr.strip()})")
    test.equal(done.returncode, 0, f"status of insmod ({done.stderr.strip()})")
    # Afterwards the function is an ordinary drive again.
    transfer.contents(Drive("rnic"), 4096)


def _must_not_load(test, parameter, text):
    done = subprocess.run(["insmod", test.module(RNIC), parameter], capture_output=True)
    test.check(done.returncode, f"the module was loaded with {parameter}")
    test.check(test.logged(text), f"the log does not say '{text}'")


def _must_not_bind(test, function, text):
    test.check(not give(function, RNIC), f"{function} was bound to {RNIC}")
    test.check(test.logged(text), f"the log does not say '{text}'")
    # Without the reset, the next load of the module would probe the function again.
    (function.path / "driver_override").write_text("\n")


@case("fabric", short=True, modules=(RNIC,), seconds=400)
def rdma_refusals(test):
    """The RNIC refuses bad parameters, unsuitable functions and a second instance."""
    for parameter, text in (("slots=0", "slots must be a number from 1 to 32, not '0'"),
                            ("slots=33", "slots must be a number from 1 to 32, not '33'"),
                            ("timeout_ms=soon", "timeout_ms must be a number from 100 to 60000"),
                            ("fail_wr=-1", "fail_wr must be a number from 0")):
        _must_not_load(test, parameter, text)
    functions = {serial: function_of(serial) for serial in ("rnic", "empty", "meta", "second")}
    for function in functions.values():
        test.later(back_to_nvme, function)
    # All controllers here support scatter-gather lists, so override the SGLS field.
    with Module(test, RNIC, "override_sgls=2").loaded():
        _must_not_bind(test, functions["rnic"], "needs scatter-gather lists of any alignment; "
                                                "SGLS is 0x2")
    with Module(test, RNIC).loaded():
        _must_not_bind(test, Function.by_id(0x1b36, 0x0005), "is not that of an NVMe controller")
        _must_not_bind(test, functions["empty"], "the controller has no namespace")
        _must_not_bind(test, functions["meta"], "no use for blocks of 2^9 bytes with 8 of metadata")
        test.check(give(functions["rnic"], RNIC), "what it can use was not bound")
        _must_not_bind(test, functions["second"],
                       f"bound to {functions['rnic']} already, and only to one")


# Cases with buffers in peer memory.

def _counters(peer):
    """Return the counters of the provider, or None on a kernel without counters."""
    names = ("alloc_failed", "mapped_bus", "mapped_host", "map_refused")
    return {name: peer.function.number("p2pmem/" + name) for name in names} if ours() else None


def _retried(test):
    """Return whether a connection timed out. A retry moves bytes again, so totals may differ."""
    lost = test.logged("starting error recovery")
    if lost:
        test.note("the connection was lost meanwhile: amounts are not compared")
    return lost


def _through_peer(test, seen):
    """Expect drive and RNIC to master the same number of bytes in the provider."""
    for way, one, other in (("out of", seen.disk_out, seen.rnic_in),
                            ("into", seen.disk_in, seen.rnic_out)):
        test.check(one["peer"], f"the drive mastered nothing {way} the provider")
        test.equal(one["elsewhere"] + one["buffer"], 0, f"bytes of the drive {way} system RAM")
        test.check(other["peer"], f"the RNIC handed over nothing {way} the drive")
        if not _retried(test):
            test.equal(other["peer"], one["peer"], f"bytes that the RNIC moved {way} the drive")


def _jobs(mib):
    """Return the jobs of fio for MIB in total, a multiple of 16."""
    jobs, start = [], 0
    for size, depth, part in JOBS:
        length = part * mib * MIB // 64
        jobs.append((size, depth, f"--offset={start}", f"--size={length}"))
        start += length
    return jobs


def _fio_through(test, fabric, mib):
    sends, before = fabric.rnic.counter("sends"), _counters(fabric.peer)
    with Mastered(test, fabric) as seen:
        fio(test, fabric.remote, *_jobs(mib))
    sends = fabric.rnic.counter("sends") - sends
    for line in seen.table():
        test.note(line)
    _through_peer(test, seen)
    if not _retried(test):
        _only_once_in_ram(test, seen, sends)
    if before:
        after = _counters(fabric.peer)
        test.check(after["mapped_bus"] > before["mapped_bus"], "nothing was mapped")
        test.equal(after["alloc_failed"], before["alloc_failed"], "allocations that failed")


def _fio(test, mib, memory=contextlib.nullcontext):
    with Fabric(test) as fabric:
        test.check(test.logged(f"{USING} {fabric.peer.bdf} for nsid 1"), f"no '{USING}'")
        with memory(fabric.peer):
            _fio_through(test, fabric, mib)
        fabric.all_back()


def _only_once_in_ram(test, seen, sends):
    """
    Outside of the provider, the RNIC masters the buffers of the host, commands and completions.
    A copy of the payload in the RAM of the target would double the number of bytes.
    """
    for payload, other in ((seen.disk_out, seen.rnic_out), (seen.disk_in, seen.rnic_in)):
        rest = other["elsewhere"] - payload["peer"]
        test.check(0 <= rest <= sends * CAPSULE,
                   f"{rest} bytes in RAM are more than {sends} commands and completions")


@case("fabric", short=True, debug=False, modules=(RNIC,), seconds=400)
def rdma_fio(test):
    """fio verifies 64 MiB, with depths from 1 to 32 and blocks from 512 bytes to 256 KiB."""
    _fio(test, 64)


@case("fabric", modules=(RNIC,), seconds=400)
def rdma_fio_briefly(test):
    """fio verifies 16 MiB, because debug kernels are slow."""
    _fio(test, 16)


@case("fabric", short=True, modules=(RNIC, "p2pdma_user"), seconds=400)
def rdma_fio_in_pieces(test):
    """No free pages of the provider are adjacent, so the lists of the target have many entries."""
    if not ours():
        test.skip("this kernel's lists have one entry")
    tracing = pathlib.Path("/sys/kernel/tracing")
    event = tracing / "events/p2pdma/p2pmem_alloc/enable"
    user = Module(test, "p2pdma_user")

    @contextlib.contextmanager
    def sieve(peer):
        user.set("sieve", f"{peer.bdf} {peer.function.size() // mmap.PAGESIZE}")
        try:
            (tracing / "trace").write_text("")
            event.write_text("1")
            yield
        finally:
            event.write_text("0")
            user.set("sieve", "0")

    _fio(test, 16, sieve)
    sizes = re.findall(r" p2pmem_alloc: .* size=(\d+)", (tracing / "trace").read_text())
    long = sum(int(size) > mmap.PAGESIZE for size in sizes)
    test.note(f"{len(sizes)} pieces of peer memory, {long} of them longer than a page")
    # The target may have held adjacent pages before the sieve, and free these pages later.
    test.check(len(sizes) > 1000 and long * 100 < len(sizes), f"{long} of {len(sizes)} are longer")


@contextlib.contextmanager
def _scans():
    """Trace the scans of the NVMe host. The context is a function: have all scans ended?

    After the disk has appeared, some kernels read a log page of 8 KiB over the fabric.
    """
    tracing = pathlib.Path("/sys/kernel/tracing")
    events = {name: tracing / "events/workqueue" / f"workqueue_{name}"
              for name in ("queue_work", "execute_end")}

    def at_rest():
        lines = (tracing / "trace").read_text().splitlines()
        queued, ended = (sum(f"workqueue_{name}: " in line for line in lines) for name in events)
        return ended and queued == ended

    for event in events.values():
        (event / "filter").write_text(
            "function.function == nvme_scan_work || function.function == nvme_ana_work")
        (event / "enable").write_text("1")
    try:
        yield at_rest
    finally:
        for event in events.values():
            (event / "enable").write_text("0")
            (event / "filter").write_text("0")


@case("fabric", short=True, modules=(RNIC,), seconds=400)
def rdma_places(test):
    """All payload is in the buffer of the host or in the provider."""
    with _scans() as at_rest, Fabric(test) as fabric:
        until(at_rest, SECONDS, "end of the host's look for namespaces")
        memory = transfer.ram(MIB)
        memory[:] = bytes(range(256)) * (MIB // 256)
        pages = pages_of(memory, MIB)
        test.equal(len(set(pages)), MIB // 4096, "pages of the host's buffer")
        with Mastered(test, fabric, pages) as seen:
            transfer.write_from(fabric.remote, memory, MIB)
            transfer.read_into(fabric.remote, memory, MIB)
        test.equal(pages_of(memory, MIB), pages, "pages of the host's buffer, afterwards")
        _through_peer(test, seen)
        for way, drive, rnic in (("out", seen.disk_in, seen.rnic_out),
                                 ("in", seen.disk_out, seen.rnic_in)):
            test.equal((drive["peer"], rnic["peer"], rnic["buffer"]), (MIB, MIB, MIB),
                       f"bytes in the provider by drive and RNIC, and in the buffer: {way}")
            test.check(rnic["longest"] <= CAPSULE,
                       f"a piece of {rnic['longest']} bytes lay in other RAM: {way}")
        test.check(transfer.contents(fabric.disk, MIB) == memory[:MIB], "the drive's contents")
        memory.close()


# Cases with buffers in system RAM.

def _space(test, fabric):
    """Return the report of the p2pdma command about the namespace, during I/O."""
    _, report = ask(test, "nvmet", "--interval", "1")
    return next(each for each in report["namespaces"]
                if each["subsystem"] == fabric.namespace.nqn)


def _says(test, fabric, gets, why):
    space = _space(test, fabric)
    if not ours() and gets != "no":
        gets, why = "unknown", "this kernel does not count"
    test.equal(space["gets"], gets, f"whether it gets peer memory ({space['why']})")
    test.check(why in space["why"], f"the reason is not '{why}': {space['why']}")
    test.note(f"p2pdma nvmet: {space['gets']}: {space['why']}")


def _through_ram(test, fabric, load):
    """Expect I/O through system RAM. Return the growth of the counters."""
    before = _counters(fabric.peer)
    with Mastered(test, fabric) as seen:
        load.flows()
    for name in ("disk_out", "disk_in", "rnic_out", "rnic_in"):
        part = getattr(seen, name)
        test.equal(part["peer"], 0, f"bytes in the provider, {name}")
        test.check(part["elsewhere"], f"nothing in RAM, {name}")
    after = _counters(fabric.peer)
    return {name: after[name] - before[name] for name in before} if before else {}


def _ends_well(test, fabric, load):
    test.equal(load.stop(), [], "processes that ended by themselves")
    test.check(load.verify(fabric.disk), "nothing was written")
    fabric.all_back()


NO_GROWTH = {"alloc_failed": 0, "mapped_bus": 0, "mapped_host": 0, "map_refused": 0}


@case("fabric", modules=(RNIC,), seconds=400)
def rdma_pool_exhausted(test):
    """Without free memory, I/O uses system RAM and alloc_failed grows; then memory is free again."""
    load = Load(test)
    with Fabric(test) as fabric:
        memory = fabric.peer.function.map(fabric.peer.function.size())
        memory.madvise(mmap.MADV_DONTFORK)      # the load must not inherit the mapping
        test.equal(fabric.peer.function.available(), 0, "available")
        load.start(fabric.remote)
        grown = _through_ram(test, fabric, load)
        test.check(not grown or grown["alloc_failed"], "alloc_failed stood still")
        test.equal(grown.get("mapped_bus", 0), 0, "growth of mapped_bus")
        if ours():
            _says(test, fabric, "no", "memory ran out in the interval")
        memory.close()
        with Mastered(test, fabric) as seen:
            load.flows()
        test.check(seen.disk_in["peer"] and seen.rnic_out["peer"], "it stays in system RAM")
        _says(test, fabric, "yes", "was mapped in the interval")
        _ends_well(test, fabric, load)


@case("fabric", short=True, debug=False, modules=(RNIC,), seconds=400)
def rdma_not_wanted(test):
    """With p2pmem off, I/O does not use the provider."""
    load = Load(test)
    with Fabric(test, p2pmem="0") as fabric:
        load.start(fabric.remote)
        test.equal(_through_ram(test, fabric, load), NO_GROWTH if ours() else {}, "counters")
        _says(test, fabric, "no", "told not to")
        _ends_well(test, fabric, load)
        test.check(not test.logged(USING), f"the log says '{USING}'")


@case("fabric", short=True, debug=False, modules=(RNIC,), seconds=400)
def rdma_rnic_out_of_reach(test):
    """Without a route from the RNIC, hosts connect, and I/O uses system RAM."""
    load = Load(test)
    with Fabric(test, rnic="far") as fabric:
        test.check(test.logged("do not share an upstream bridge or whitelisted host bridge"),
                   "the log does not say that there is no route")
        test.check(not test.logged(USING), f"the log says '{USING}'")
        load.start(fabric.remote)
        test.equal(_through_ram(test, fabric, load), NO_GROWTH if ours() else {}, "counters")
        _says(test, fabric, "unknown", "or the network card reaches no provider")
        _ends_well(test, fabric, load)


@case("fabric", short=True, debug=False, modules=(RNIC,), seconds=400)
def rdma_disk_out_of_reach(test):
    """Without a route from the drive, the namespace can be enabled only with p2pmem off."""
    peer, far, load = provider(), Drive("far"), Load(test)
    with nvmet.Namespace("far", far.path) as namespace:
        for word in (peer.bdf, "1"):
            namespace.set("p2pmem", word)
            test.refused(errno.EINVAL, namespace.set, "enable", "1")
            test.equal(namespace.get("enable"), "0", "the state of the namespace")
        test.check(test.logged("do not share an upstream bridge or whitelisted host bridge"),
                   "the log does not say that there is no route")
    with Fabric(test, p2pmem="0", disk="far") as fabric:
        load.start(fabric.remote)
        test.equal(_through_ram(test, fabric, load), NO_GROWTH if ours() else {}, "counters")
        _ends_well(test, fabric, load)
