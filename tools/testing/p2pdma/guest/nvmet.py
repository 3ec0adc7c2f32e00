# SPDX-License-Identifier: GPL-2.0
"""The kernel's NVMe-oF target, as far as peer memory is concerned."""
import contextlib
import pathlib
import subprocess

from guest.devices import Drive

TARGET = pathlib.Path("/sys/kernel/config/nvmet")


class Namespace:
    """A subsystem with one namespace, for as long as the context lasts."""

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
        # At most 20 characters, and unlike that of any drive in the machine.
        (self.subsystem / "attr_serial").write_text("target")
        self.set("device_path", self.device)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.set("enable", "0")
            # nvmet drops no reference to a provider that a namespace names when it is removed.
            self.set("p2pmem", "0")
        self.unport()
        self.path.rmdir()
        self.subsystem.rmdir()

    def set(self, name, text):
        (self.path / name).write_text(text)

    def get(self, name):
        return (self.path / name).read_text().strip()

    def port(self, number=1, **attributes):
        """Offer the subsystem; over the loop transport, unless the attributes say otherwise."""
        port = TARGET / "ports" / str(number)
        port.mkdir()
        self._ports.append(port)
        for name, text in ({"addr_trtype": "loop"} | attributes).items():
            (port / name).write_text(text)
        (port / "subsystems" / self.nqn).symlink_to(self.subsystem)

    def unport(self):
        """Offer it nowhere any more."""
        while self._ports:
            port = self._ports.pop()
            (port / "subsystems" / self.nqn).unlink()
            port.rmdir()

    @contextlib.contextmanager
    def connected(self):
        """The namespace as a disk of this very host, through the loop transport."""
        self.port()
        subprocess.run(["nvme", "connect", "--transport=loop", f"--nqn={self.nqn}",
                        "--hostnqn=nqn.2024-01.p2pdma:host"], check=True, capture_output=True)
        try:
            yield Drive("target")
        finally:
            subprocess.run(["nvme", "disconnect", f"--nqn={self.nqn}"], check=True,
                           capture_output=True)
