# SPDX-License-Identifier: GPL-2.0
"""PCI functions, providers of peer memory and NVMe drives, for test cases."""
import mmap
import os
import pathlib
import re
import time

DEVICES = pathlib.Path("/sys/bus/pci/devices")
NVME = pathlib.Path("/sys/class/nvme")
PCI = pathlib.Path("/sys/bus/pci")


def until(condition, seconds, what):
    """Poll CONDITION until the value is true. Return the value, or raise TimeoutError."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)


class Function:
    """A PCI function."""

    def __init__(self, bdf):
        self.bdf = bdf
        self.path = DEVICES / bdf

    def __repr__(self):
        return self.bdf

    @classmethod
    def by_id(cls, vendor, device):
        for path in sorted(DEVICES.iterdir()):
            found = cls(path.name)
            if (found.number("vendor"), found.number("device")) == (vendor, device):
                return found
        raise LookupError(f"no function {vendor:04x}:{device:04x} in this machine")

    def exists(self):
        return self.path.exists()

    def text(self, name):
        return (self.path / name).read_text().strip()

    def number(self, name):
        return int(self.text(name), 0)

    def bar(self, index):
        """Return the first and last address of a BAR."""
        start, end, _ = (int(word, 16)
                         for word in self.text("resource").splitlines()[index].split())
        return start, end

    def driver(self):
        link = self.path / "driver"
        return link.resolve().name if link.exists() else None

    def unbind(self):
        (self.path / "driver/unbind").write_text(self.bdf)

    def bind(self, driver="nvme"):
        (PCI / "drivers" / driver / "bind").write_text(self.bdf)

    def master(self, on):
        """Set or clear Bus Master Enable (PCIe base specification, sec 7.5.1.1.3)."""
        with open(self.path / "config", "r+b", buffering=0) as config:
            command = int.from_bytes(os.pread(config.fileno(), 2, 4), "little")
            command = command | 4 if on else command & ~4
            os.pwrite(config.fileno(), command.to_bytes(2, "little"), 4)

    def remove(self):
        (self.path / "remove").write_text("1")


def bridges_above(function):
    """Return the bridges above a function, the nearest first."""
    path, found = function.path.resolve().parent, []
    while (path / "vendor").exists():
        found.append(path)
        path = path.parent
    return found


def attempt(call, *args):
    """Return what CALL returns, or None if CALL fails with an errno."""
    try:
        return call(*args)
    except OSError:
        return None


def rescan():
    (PCI / "rescan").write_text("1")


class Provider(Function):
    """A function with peer memory."""
    BAR = 2

    def size(self):
        return self.number("p2pmem/size")

    def available(self):
        return self.number("p2pmem/available")

    def allocate(self):
        return str(self.path / "p2pmem/allocate")

    def map(self, length, offset=0, flags=mmap.MAP_SHARED):
        """Map fresh peer memory. The mapping outlives the file descriptor."""
        fd = os.open(self.allocate(), os.O_RDWR)
        try:
            return mmap.mmap(fd, length, flags, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)
        finally:
            os.close(fd)


class Drive:
    """An NVMe drive. The serial number is the name of the drive in the topology.

    A drive over a fabric has no PCI function.
    """

    def __init__(self, serial, seconds=30):
        self.serial = serial
        self.find(seconds)

    def find(self, seconds=30):
        """Find the drive, also after a return, and wait until the disk can be opened."""
        self.controller = until(self._controller, seconds, f"drive {self.serial}")
        self.disk = until(self._disk, seconds, f"disk of drive {self.serial}")
        self.function = Provider((self.controller / "device").resolve().name)
        self.path = f"/dev/{self.disk}"
        self.size = int(pathlib.Path(f"/sys/class/block/{self.disk}/size").read_text()) * 512
        return self

    def bind(self):
        """Bind the driver again, and find the drive."""
        self.function.bind()
        return self.find()

    def _controller(self):
        for controller in NVME.glob("nvme*"):
            try:
                serial = (controller / "serial").read_text().strip()
                if serial == self.serial and (controller / "state").read_text() == "live\n":
                    return controller
            except OSError:      # the controller went away
                continue
        return None

    def _disk(self):
        for path in self.controller.glob("nvme*n*"):
            # PATH is a disk (nvme1n1), or a path to a multipath disk (nvme1c2n1).
            disk = re.sub(r"c\d+n", "n", path.name)
            size = pathlib.Path(f"/sys/class/block/{disk}/size")
            if os.path.exists(f"/dev/{disk}") and size.exists() and int(size.read_text()):
                return disk
        return None

    def open(self, flags=os.O_RDWR | os.O_DIRECT):
        return os.open(self.path, flags)

    @property
    def bdf(self):
        return self.function.bdf


def provider(seconds=30):
    """Return the drive with controller memory in the usual topologies."""
    return Drive("provider", seconds)


def without(test, drive, port):
    """Return functions that take a device away. Each returns what brings the device back."""
    function, serial = drive.function, drive.serial

    def unbind():
        function.unbind()
        return function.bind

    def remove():
        function.remove()
        return rescan

    def remove_port():
        (port / "remove").write_text("1")
        return rescan

    def unplug():
        test.host("device_del", name=serial)
        until(lambda: not function.exists(), 30, f"removal of {serial}")
        return lambda: test.host("device_add", name=serial)

    return unbind, remove, remove_port, unplug
