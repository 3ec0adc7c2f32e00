# SPDX-License-Identifier: GPL-2.0
"""After the end of a process, the provider has all memory back."""
import os
import signal
import subprocess

from guest import transfer
from guest.case import case
from guest.devices import Drive, provider, until
from guest.worker import Worker, read_forever


def _reader(test, function, drive, chunk=64 << 10):
    def work(worker):
        read_forever(worker, drive, function.map(1 << 20), chunk)
    return Worker(test, work)


@case(short=True)
def available_after_munmap_and_exit(test):
    function = provider().function
    size = function.available()
    memory = function.map(1 << 20)
    test.equal(function.available(), size - (1 << 20), "available, with 1 MiB mapped")
    memory.close()
    test.equal(function.available(), size, "available, after munmap")
    worker = Worker(test, lambda _: function.map(1 << 20))
    test.equal(worker.wait(), "done", "end of a process that never unmaps")
    test.equal(function.available(), size, "available, after exit")


@case(short=True)
def available_after_kill_in_io(test):
    """Kill a process during reads, several times."""
    function, alpha = provider().function, Drive("alpha")
    size = function.available()
    for _ in range(5):
        worker = _reader(test, function, alpha)
        worker.busy()
        test.equal(function.available(), size - (1 << 20), "available, while it is used")
        worker.kill()
        test.equal(worker.outcome(), "SIGKILL", "end of the worker")
        test.equal(function.available(), size, "available, after kill -9")


@case()
def available_after_kill_in_slow_io(test):
    """Kill a process during a slow transfer: all pages are back when the process has ended."""
    function, alpha = provider().function, Drive("alpha")
    size = function.available()
    test.later(test.host, "throttle", name="alpha", bytes_per_second=0)
    test.host("throttle", name="alpha", bytes_per_second=512 << 10)
    worker = _reader(test, function, alpha, 1 << 20)
    until(lambda: function.available() == size - (1 << 20), 30, "mapping of the worker")
    worker.busy(1)
    os.kill(worker.pid, signal.SIGKILL)
    test.equal(worker.wait(), "SIGKILL", "end of the worker")
    test.equal(function.available(), size, "available, after kill -9")


@case()
def available_after_kill_of_fio(test):
    """Kill fio with many asynchronous requests in flight."""
    function, alpha = provider().function, Drive("alpha")
    size = function.available()
    for engine in ("libaio", "io_uring"):
        job = subprocess.Popen(
            ["fio", "--name=rig", "--thread", f"--filename={alpha.path}", "--direct=1",
             f"--ioengine={engine}", "--iodepth=16", "--bs=64k", "--rw=randrw", "--time_based",
             "--runtime=60", f"--iomem=mmapshared:{function.allocate()}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/tmp")
        test.later(job.kill)
        done = alpha_requests(alpha)
        until(lambda: alpha_requests(alpha) > done + 50, 60, f"I/O of fio with {engine}")
        job.kill()
        job.wait()
        # The kernel may destroy a ring after the end of the process.
        until(lambda: function.available() == size, 10, f"return of the memory of {engine}")


def alpha_requests(drive):
    """Return the number of completed reads and writes of a disk."""
    with open(f"/sys/class/block/{drive.disk}/stat") as stat:
        fields = stat.read().split()
    return int(fields[0]) + int(fields[4])


@case(short=True)
def available_after_fork(test):
    """A child keeps an inherited mapping, and can use the mapping for transfers."""
    function, alpha = provider().function, Drive("alpha")
    size = function.available()
    memory = function.map(1 << 20)
    wanted = transfer.contents(alpha, 64 << 10)
    worker = Worker(test, read_forever, alpha, memory)
    worker.busy()
    memory.close()
    test.equal(function.available(), size - (1 << 20), "available, with the child's mapping left")
    worker.busy()
    worker.kill()
    test.equal(function.available(), size, "available, after the child's end")
    memory = function.map(64 << 10)
    transfer.read_into(alpha, memory, 64 << 10)
    test.check(memory[:] == wanted, "a transfer afterwards moved other bytes")
    memory.close()
