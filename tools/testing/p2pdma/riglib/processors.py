# SPDX-License-Identifier: GPL-2.0
"""Processors of guests: emulator, kernel image and compiler."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Processor:
    """A processor. A guest with the processor of the host runs the programs of the host."""
    image: str              # of a kernel, below the build directory
    emulator: str
    package: str            # Debian package of the emulator
    console: str
    make: tuple = ()        # words for make, which choose the compiler; empty for the host's
    machine: dict = dataclasses.field(default_factory=dict)     # replaces keys of topologies

    @property
    def foreign(self):
        """Return whether the guest needs programs of a cross compiler."""
        return bool(self.make)

    def place(self, topology):
        """Return TOPOLOGY for this processor."""
        return dataclasses.replace(topology, **self.machine)


X86 = Processor("arch/x86/boot/bzImage", "qemu-system-x86_64", "qemu-system-x86", "ttyS0")
ARM64 = Processor("arch/arm64/boot/Image", "qemu-system-aarch64", "qemu-system-arm", "ttyAMA0",
                  ("ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"),
                  {"cpu": "max", "machine": "virt,gic-version=3"})


def of_kernel(directory):
    """Return the processor of the kernel in a build directory, None without a kernel."""
    for processor in (X86, ARM64):
        if (directory / processor.image).exists():
            return processor
    return None
