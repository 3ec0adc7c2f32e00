# SPDX-License-Identifier: GPL-2.0
"""An NVMe-oF connection over RDMA inside a machine: the test RNIC, a target, a host.

The RNIC (see ../../modules/p2pdma_test_rnic/README.rst) moves data with the DMA of a drive's function. Target and host
are nvmet-rdma and nvme-rdma of the kernel.
"""
import contextlib
import ctypes
import os
import pathlib
import subprocess

from guest import nvmet
from guest.devices import NVME, PCI, Drive, Function, provider, rescan, until
from guest.references import References, providers

RNIC = "p2pdma_test_rnic"
CASES = "p2pdma_test_rnic_verbs"
DEBUG = pathlib.Path("/sys/kernel/debug") / RNIC
ADDRESS, PORT = "192.0.2.1", "4420"     # RFC 5737: an address for documentation
HOST = "nqn.2024-01.p2pdma:host"
SECONDS = 60        # well above the sum of the NVMe timeouts in the topology


def give(function, driver):
    """Let only the given driver probe a function. Return whether the driver is bound."""
    if function.driver():
        function.unbind()
    (function.path / "driver_override").write_text(driver)
    (PCI / "drivers_probe").write_text(function.bdf)
    return function.driver() == driver


def function_of(serial):
    """Return the function of a drive, which may have no disk."""
    def find():
        for controller in NVME.glob("nvme*"):
            with contextlib.suppress(OSError):
                if (controller / "serial").read_text().strip() == serial:
                    return Function((controller / "device").resolve().name)
        return None
    return until(find, 30, f"drive {serial}")


class Rnic:
    """The test RNIC on the function of a drive, until the end of the context."""

    def __init__(self, test, serial="rnic", *parameters):
        self.test = test
        self.serial = serial
        self.parameters = parameters

    def __enter__(self):
        self.start()
        return self

    def start(self):
        """Load the module, bind the function, and set up the network interface."""
        if not loaded():
            subprocess.run(["insmod", self.test.module(RNIC), *self.parameters], check=True)
        self.function = function_of(self.serial)
        if not give(self.function, RNIC):
            raise RuntimeError(f"{self.function} was not bound to {RNIC}; the log says why")
        interface = next((self.function.path / "net").iterdir()).name
        for command in (["addr", "add", f"{ADDRESS}/24", "dev"], ["link", "set", "up", "dev"]):
            subprocess.run(["busybox", "ip", *command, interface], check=True)

    def unload(self):
        if loaded():
            subprocess.run(["rmmod", RNIC], check=True)

    def restart(self):
        """Start again, after a removal of the function or the driver."""
        back_to_nvme(self.function)
        self.start()

    def __exit__(self, *_):
        self.unload()
        back_to_nvme(self.function)

    def counter(self, name):
        lines = next(DEBUG.glob("*/stats")).read_text().splitlines()
        return int(dict(line.split() for line in lines)[name])

    def fail(self, number):
        """Let the work request number NUMBER from now on fail."""
        next(DEBUG.glob("*/fail_wr")).write_text(str(number))

    def failing(self):
        """Return whether the failure has not happened yet."""
        return int(next(DEBUG.glob("*/fail_wr")).read_text())


def loaded():
    return pathlib.Path("/sys/module", RNIC).exists()


def back_to_nvme(function):
    """Bind a function of the RNIC to the NVMe driver again."""
    if not function.exists():
        rescan()
    if function.exists() and function.driver() != "nvme":
        give(function, "nvme")


class Fabric:
    """RNIC, target and host. The target exports the disk of a drive."""

    def __init__(self, test, p2pmem=None, disk="disk", rnic="rnic", parameters=()):
        self.test = test
        self.peer, self.disk = provider(), Drive(disk)
        self.p2pmem = p2pmem or self.peer.bdf
        self._rnic = Rnic(test, rnic, *parameters)
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.references = stack.enter_context(References())
            stack.push(self._dropped({each: self.references.count(each) for each in providers()}))
            self.rnic = stack.enter_context(self._rnic)
            self.namespace = stack.enter_context(nvmet.Namespace("rdma", self.disk.path))
            stack.callback(self.end)
            self.namespace.set("p2pmem", self.p2pmem)
            self.namespace.set("enable", "1")
            self.offer()
            self.connect()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        self._stack.__exit__(*error)

    def _dropped(self, before):
        """At the end without an error, wait until all providers have BEFORE references."""
        def wait(kind, *_):
            for function, count in before.items() if not kind else ():
                until(lambda: self.references.count(function) == count, SECONDS,
                      f"the last put of {function}, which had {count} references and now has "
                      f"{self.references.count(function)},")
        return wait

    def offer(self):
        # No inline data: small writes would travel inside the command, to system RAM.
        self.namespace.port(addr_trtype="rdma", addr_adrfam="ipv4", addr_traddr=ADDRESS,
                            addr_trsvcid=PORT, param_inline_data_size="0")

    def try_to_connect(self):
        return not subprocess.run(
            ["nvme", "connect", "--transport=rdma", f"--traddr={ADDRESS}", f"--trsvcid={PORT}",
             f"--nqn={self.namespace.nqn}", f"--hostnqn={HOST}", "--nr-io-queues=2",
             "--reconnect-delay=1", "--ctrl-loss-tmo=600", "--keep-alive-tmo=15"],
            capture_output=True).returncode

    def connect(self):
        """Connect to the target. A new port may need a moment."""
        until(self.try_to_connect, SECONDS, "a connection over RDMA")
        self.remote = self.find()
        return self.remote

    def find(self):
        """Find the disk of the connection, also after a return."""
        return Drive("target", SECONDS)

    def state(self):
        """Return the state of the connection at the host."""
        return (self.remote.controller / "state").read_text().strip()

    def switch(self, word, disk=None):
        """Enable the namespace again, with p2pmem WORD and perhaps a new disk."""
        self.namespace.set("enable", "0")
        gone = pathlib.Path("/sys/class/block", self.remote.disk)
        until(lambda: not gone.exists(), SECONDS, "end of the disk behind the connection")
        if disk:
            self.namespace.set("device_path", disk.path)
        self.namespace.set("p2pmem", word)
        self.namespace.set("enable", "1")
        self.remote = self.find()

    def disconnect(self):
        subprocess.run(["nvme", "disconnect", f"--nqn={self.namespace.nqn}"], check=True,
                       capture_output=True)

    def end(self):
        # Stock nvmet leaks the providers of a controller if a namespace is still enabled.
        with contextlib.suppress(OSError):
            self.namespace.set("enable", "0")
        self.disconnect()

    def all_back(self, *peers):
        """Wait until the providers have all memory back."""
        for peer in peers or (self.peer,):
            function = peer.function
            until(lambda function=function: function.available() == function.size(), SECONDS,
                  f"return of all memory of {peer.serial}")


# Namespace numbers, which identify the drives in the trace: see the topologies.
NSID = {"disk": 2, "beta": 2, "rnic": 3, "far": 4}
NOTHING = {"peer": 0, "buffer": 0, "elsewhere": 0, "longest": 0}


class Mastered:
    """Bytes that the exported drive and the RNIC mastered, set at the end of the context."""

    def __init__(self, test, fabric, pages=()):
        self._test, self._fabric, self._pages = test, fabric, pages

    def __enter__(self):
        self._test.host("trace_begin")
        return self

    def __exit__(self, *_):
        function = self._fabric.peer.function
        self._found = self._test.host("trace_drives", bar=function.bar(function.BAR),
                                      pages=list(self._pages))
        disk, rnic = (NSID[serial] for serial in (self._fabric.disk.serial,
                                                  self._fabric.rnic.serial))
        self.disk_out, self.disk_in = self._of(disk, "out"), self._of(disk, "in")
        self.rnic_out, self.rnic_in = self._of(rnic, "out"), self._of(rnic, "in")

    def _of(self, nsid, way):
        return self._found.get(str(nsid), {}).get(way, NOTHING)

    def in_ram(self):
        """Return the bytes that the exported drive mastered outside of the provider."""
        return sum(seen["buffer"] + seen["elsewhere"] for seen in (self.disk_out, self.disk_in))

    def table(self):
        rows = (("exported drive, out of memory", self.disk_out),
                ("exported drive, into memory", self.disk_in),
                ("RNIC, out of memory", self.rnic_out), ("RNIC, into memory", self.rnic_in))
        lines = [f"{'bytes mastered by the':32}{'provider':>12}{'elsewhere':>12}"]
        return lines + [f"{text:32}{seen['peer']:12}{seen['buffer'] + seen['elsewhere']:12}"
                        for text, seen in rows]


def fio(test, disk, *jobs, options=()):
    """Run the JOBS of fio, lists of options, in parallel. Check the result."""
    command = ["fio", "--thread", f"--filename={disk.path}", "--direct=1", "--ioengine=libaio",
               "--rw=randrw", "--rwmixwrite=70", "--verify=crc32c", "--verify_fatal=1",
               "--do_verify=1", "--verify_state_save=0", *options]
    for number, job in enumerate(jobs):
        command += [f"--name=job{number}", *job]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          cwd="/tmp")
    test.equal(done.returncode, 0, f"exit status of fio:\n{done.stdout}")
    test.check("err= 0" in done.stdout, f"fio reports errors:\n{done.stdout}")


def pages_of(memory, length):
    """Return the page frame numbers of a mapping. All pages must have been touched."""
    first = ctypes.addressof(ctypes.c_char.from_buffer(memory)) // 4096
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        data = os.pread(pagemap.fileno(), (length // 4096) * 8, first * 8)
    entries = [int.from_bytes(data[at:at + 8], "little") for at in range(0, len(data), 8)]
    return [entry & ((1 << 55) - 1) for entry in entries if entry >> 63]

