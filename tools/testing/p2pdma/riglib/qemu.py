# SPDX-License-Identifier: GPL-2.0
"""Start, control and end a run of the emulated machine.

A guest has four streams: the serial console, QMP, the control channel to the agent, and the trace
of the drives. A single loop reads the first three streams, so every wait ends at once if the guest
panics or QEMU ends.
"""
import contextlib
import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import tempfile
import time

from . import build, processors, topology as topologies
from .paths import BUILD, ROOT, SCRATCH, RigError

PANIC = re.compile(r"Kernel panic - not syncing")
BOOT_SECONDS = 600      # a debug kernel on a loaded machine


class GuestGone(Exception):
    """The guest panicked, QEMU ended, or a wait timed out."""


class Guest:
    """A context manager for a QEMU process."""

    def __init__(self, topology, kernel, mode="agent", console=None, append=(), exact=False,
                 gdb=None, programs=()):
        self.processor = processors.of_kernel(kernel)
        self.topology = self.processor.place(topology)
        self.kernel = kernel
        self.mode = mode
        self.exact = exact
        self.gdb = gdb          # socket for a debugger; the guest waits for the debugger
        self.append = list(append)
        self.programs = programs    # for the first process of a foreign guest
        self.console_path = console
        self.console = []
        self.events = []
        self.panicked = False
        self.process = None
        self._messages = []
        self._partial = {}
        self._replies = {}
        self._qmp_id = 0

    def __enter__(self):
        SCRATCH.mkdir(parents=True, exist_ok=True)
        self.directory = tempfile.mkdtemp(prefix="run-", dir=SCRATCH)
        self.trace_path = os.path.join(self.directory, "trace")
        self._log = open(self.console_path, "wb") if self.console_path else None
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
        with contextlib.suppress(GuestGone):
            while self.process and self._pump(0):
                pass
        if self._log:
            self._log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self):
        command = self._command()
        qmp, qmp_far = socket.socketpair()
        control, control_far = socket.socketpair()
        command += ["-chardev", f"socket,id=qmp,fd={qmp_far.fileno()}",
                    "-mon", "chardev=qmp,mode=control",
                    "-chardev", f"socket,id=control,fd={control_far.fileno()}",
                    "-device", "virtserialport,chardev=control,name=p2pdma.rig",
                    "-display", "none", "-serial", "stdio", "-monitor", "none"]
        # An emulator that outlives the rig would use a CPU for ever.
        command = ["setpriv", "--pdeathsig", "KILL", *command]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT,
                                        pass_fds=(qmp_far.fileno(), control_far.fileno()))
        qmp_far.close()
        control_far.close()
        self._qmp, self._control = qmp, control
        self._selector = selectors.DefaultSelector()
        for stream, handler in ((self.process.stdout, self._on_console), (qmp, self._on_qmp),
                                (control, self._on_control)):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, handler)
        self.qmp("qmp_capabilities")

    def images(self):
        """Copy the images of the drives, so that every boot starts with the same bytes."""
        copies = {}
        for drive in self.topology.drives.values():
            copies[drive.name] = os.path.join(self.directory, drive.name + ".img")
            shutil.copyfile(build.image(drive), copies[drive.name])
        return copies

    def _processors(self):
        """Two CPUs; with self.exact a CPU with exactly a nanosecond for each instruction."""
        if self.exact:
            return ["-accel", "tcg,thread=single", "-smp", "1",
                    "-icount", "shift=0,sleep=off"]
        return ["-accel", "tcg,thread=multi", "-smp", "2"]

    def _debugger(self):
        if not self.gdb:
            return []
        self.gdb.parent.mkdir(parents=True, exist_ok=True)
        return ["-S", "-chardev", f"socket,id=gdb,path={self.gdb},server=on,wait=off",
                "-gdb", "chardev:gdb"]

    def _userland(self):
        if self.processor.foreign:
            return ["-initrd", str(build.programs(self.kernel))]
        return ["-initrd", str(build.initramfs()),
                "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
                "-device", "virtio-9p-pci,bus=pcie.0,addr=0x1d,fsdev=root,mount_tag=host"]

    def _command(self):
        append = [f"console={self.processor.console}", "loglevel=8", "panic=-1", "printk.devkmsg=on",
                  "random.trust_cpu=on", "rcupdate.rcu_cpu_stall_timeout=120",
                  f"rig.mode={self.mode}", f"rig.root={ROOT}", f"rig.build={BUILD}"]
        append += self.topology.kernel + self.append
        if self.mode != "kunit" and "kunit.enable=1" not in append:
            append.append("kunit.enable=0")
        # The kernel passes the words after "--" to the first process.
        append += ["--", *self.programs] if self.programs else []
        return [emulator(self.processor), "-nodefaults", "-no-user-config", "-no-reboot",
                *self._processors(), *self._debugger(),
                *topologies.qemu_arguments(self.topology, self.images()),
                "-kernel", str(self.kernel / self.processor.image), *self._userland(),
                "-append", " ".join(append),
                "-device", "virtio-serial-pci,bus=pcie.0,addr=0x1e",
                "-trace", "enable=-*", "-D", self.trace_path]

    def interactive(self):
        """Connect the terminal to the guest. Return the exit status of QEMU."""
        with tempfile.TemporaryDirectory(prefix="run-", dir=SCRATCH) as self.directory:
            self.trace_path = os.path.join(self.directory, "trace")
            return subprocess.call(self._command() + ["-display", "none",
                                                      "-serial", "mon:stdio"])

    def _pump(self, seconds):
        """Wait up to SECONDS for data and handle the data. Return False without data."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            try:
                data = os.read(key.fd, 1 << 16)
            except OSError:
                data = b""
            if not data:
                self._selector.unregister(key.fileobj)
                if not self._selector.get_map():
                    raise GuestGone(self._why())
                continue
            *lines, rest = (self._partial.get(key.fd, b"") + data).split(b"\n")
            self._partial[key.fd] = rest
            for line in lines:
                key.data(line)
        return bool(ready)

    def _on_console(self, line):
        if self._log:
            self._log.write(line + b"\n")
            self._log.flush()
        text = line.decode(errors="replace").rstrip("\r")
        self.console.append(text)
        self.panicked |= bool(PANIC.search(text))

    def _on_qmp(self, line):
        message = json.loads(line)
        if "event" in message:
            self.events.append(message)
        elif "id" in message:
            self._replies[message["id"]] = message

    def _on_control(self, line):
        self._messages.append(json.loads(line))

    def _why(self):
        if self.panicked:
            return "the kernel panicked"
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        status = self.process.poll()
        last = self.console[-1] if self.console else ""
        if status in (None, 0):
            return last if "terminating on signal" in last else "the guest ended"
        return "\n".join([f"QEMU ended with status {status}", *self.console[-5:]])

    def wait(self, condition, seconds, what):
        """Pump until CONDITION() is true, and return the value."""
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            left = deadline - time.monotonic()
            if left <= 0:
                raise GuestGone(f"no {what} within {seconds} s")
            self._pump(left)

    def qmp(self, command, **arguments):
        self._qmp_id += 1
        ident = self._qmp_id
        request = {"execute": command, "id": ident}
        if arguments:
            request["arguments"] = arguments
        self._qmp.sendall(json.dumps(request).encode() + b"\n")
        reply = self.wait(lambda: self._replies.pop(ident, None), 60, f"reply to {command}")
        if "error" in reply:
            raise RigError(f"QMP {command}: {reply['error']['desc']}")
        return reply["return"]

    def wait_event(self, name, seconds, **data):
        """Wait for the QMP event NAME with DATA. Remove and return the event."""
        def find():
            for event in self.events:
                seen = event.get("data", {})
                if event["event"] == name and all(seen.get(k) == v for k, v in data.items()):
                    self.events.remove(event)
                    return event
            return None
        return self.wait(find, seconds, f"{name} event")

    def send(self, message):
        os.set_blocking(self._control.fileno(), True)
        self._control.sendall(json.dumps(message).encode() + b"\n")
        os.set_blocking(self._control.fileno(), False)

    def receive(self, seconds, what="answer from the guest"):
        self.wait(lambda: self._messages or self.panicked, seconds, what)
        if not self._messages:
            raise GuestGone(self._why())
        return self._messages.pop(0)

    def wait_console(self, text, start, seconds=30):
        """Return the index of the first console line from START on with TEXT."""
        position = start

        def find():
            nonlocal position
            while position < len(self.console):
                position += 1
                if text in self.console[position - 1]:
                    return position
            return None
        return self.wait(find, seconds, f"'{text}' on the console") - 1

    def wait_end(self, seconds):
        """Wait for the end of QEMU. Return whether QEMU ended with status 0."""
        with contextlib.suppress(GuestGone):
            self.wait(lambda: False, seconds, "end of the guest")
        try:
            return self.process.wait(10) == 0
        except subprocess.TimeoutExpired:
            return False

    def device_add(self, name):
        return self.qmp("device_add", **self.topology.properties(name))

    def device_del(self, name):
        self.qmp("device_del", id=name)
        self.wait_event("DEVICE_DELETED", 60, device=name)

    def throttle(self, name, bytes_per_second):
        """Limit the speed of a drive (0: no limit), to keep transfers in flight."""
        self.qmp("block_set_io_throttle", id=name, bps=bytes_per_second, bps_rd=0, bps_wr=0,
                 iops=0, iops_rd=0, iops_wr=0)

    def trace(self, on):
        for event in ("pci_nvme_map_addr*", "pci_nvme_io_cmd", "pci_nvme_admin_cmd"):
            self.qmp("trace-event-set-state", name=event, enable=on)

    def trace_size(self):
        return os.path.getsize(self.trace_path) if os.path.exists(self.trace_path) else 0


def emulator(processor):
    found = shutil.which(processor.emulator)
    if not found:
        raise RigError(f"{processor.emulator} is not here; install the package {processor.package}")
    return found
