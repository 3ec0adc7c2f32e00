# SPDX-License-Identifier: GPL-2.0
"""Configuration of the kernel's NVMe-oF target."""
import contextlib
import pathlib
import subprocess

from guest.devices import Drive

TARGET = pathlib.Path("/sys/kernel/config/nvmet")


class Namespace:
    """A subsystem with a namespace, until the end of the context."""

    def __init__(self, name, device):
        self.nqn = f"nqn.2024-01.p2pdma:{name}"
        self.subsystem = TARGET / "subsystems" / self.nqn
        self.path = self.subsystem / "namespaces/1"
        self.device = device
        self._ports = []

    def __enter__(self):
        self.subsystem.mkdir()
        self.path.mkdir()
        (self.subsystem / "attr_allow_any_host").write_text("1")
        # At most 20 characters. No drive in the machine has the same serial number.
        (self.subsystem / "attr_serial").write_text("target")
        self.set("device_path", self.device)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.set("enable", "0")
            # nvmet leaks the reference on the provider when a namespace is removed.
            self.set("p2pmem", "0")
        self.unport()
        self.path.rmdir()
        self.subsystem.rmdir()

    def set(self, name, text):
        (self.path / name).write_text(text)

    def get(self, name):
        return (self.path / name).read_text().strip()

    def port(self, number=1, **attributes):
        """Create a port for the subsystem, by default with the loop transport."""
        port = TARGET / "ports" / str(number)
        port.mkdir()
        self._ports.append(port)
        for name, text in ({"addr_trtype": "loop"} | attributes).items():
            (port / name).write_text(text)
        (port / "subsystems" / self.nqn).symlink_to(self.subsystem)

    def unport(self):
        """Remove all ports."""
        while self._ports:
            port = self._ports.pop()
            (port / "subsystems" / self.nqn).unlink()
            port.rmdir()

    @contextlib.contextmanager
    def connected(self):
        """Connect this machine to the namespace through the loop transport."""
        self.port()
        subprocess.run(["nvme", "connect", "--transport=loop", f"--nqn={self.nqn}",
                        "--hostnqn=nqn.2024-01.p2pdma:host"], check=True, capture_output=True)
        try:
            yield Drive("target")
        finally:
            subprocess.run(["nvme", "disconnect", f"--nqn={self.nqn}"], check=True,
                           capture_output=True)
