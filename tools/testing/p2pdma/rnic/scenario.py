#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""NVMe over RDMA by way of the test RNIC, inside a guest, in steps.

usage: scenario.py STEP [ARGUMENT...]

  rnic MODULE          load the RNIC, give it the drive "engine" and an address
  unload               take it away
  up MODULE [P2PMEM]   the same, export the drive "target" and connect to it. P2PMEM is what
                       the namespace's attribute of that name is set to; without it, the
                       provider. Prints what happened, and a line of JSON with the facts.
  refusals MODULE      what binding and loading refuse, and that the log says why
  verbs MODULE         the cases of the second module, over the RNIC
  fio MIB              random reads and writes with verification over the connection
  failures ROUNDS      the same, with one work request that fails in each round
  load                 leave I/O running
  take HOW             take the RNIC away: unload, unbind or remove
  gone MODULE          clean up after the RNIC went under load; all memory has to be back
  stats                what the RNIC has counted
  down                 disconnect, take the target and the RNIC away; the same

Both ends run in this one machine. The drives are known by their serial numbers.
"""
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

PCI = pathlib.Path("/sys/bus/pci")
NVMET = pathlib.Path("/sys/kernel/config/nvmet")
DEBUG = pathlib.Path("/sys/kernel/debug/p2pdma_test_rnic")
ENGINE = pathlib.Path("/run/rnic-engine")   # where the RNIC's function was
MODULE = "p2pdma_test_rnic"
NQN = "nqn.2024-01.test.p2pdma:rnic"
ADDRESS, PORT = "192.0.2.1", "4420"     # RFC 5737: an address for documentation


def until(condition, seconds, what):
    """Poll for something that announces itself nowhere; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)
    return value


def run(*command):
    """Run a command that has to succeed; what it says goes where ours goes."""
    print("+", *command, flush=True)
    subprocess.run(command, check=True)


def write(path, text):
    """Write an attribute, and say so."""
    print(f"+ echo {text} > {path}", flush=True)
    path.write_text(f"{text}\n")


# -- drives -----------------------------------------------------------------------------------

def find_controller(serial):
    """The NVMe controller (a directory in sysfs) with this serial number."""
    for path in pathlib.Path("/sys/class/nvme").glob("nvme*"):
        if (path / "serial").read_text().strip() == serial:
            return path
    return None


def find_function(serial):
    """The PCI function of a drive."""
    controller = until(lambda: find_controller(serial), 30, f"drive {serial}")
    return (controller / "device").resolve()


def find_disk(controller):
    """The disk of a controller once it can be opened; a path may stand for the disk."""
    for path in controller.glob("nvme*n*"):
        disk = pathlib.Path("/dev") / re.sub(r"c\d+n", "n", path.name)
        if disk.exists():
            return disk
    return None


def disk_of(serial):
    controller = until(lambda: find_controller(serial), 30, f"drive {serial}")
    return until(lambda: find_disk(controller), 30, f"disk of {serial}")


def find_connection():
    """The controller that the connection brought."""
    for path in pathlib.Path("/sys/class/nvme").glob("nvme*"):
        if (path / "subsysnqn").read_text().strip() == NQN and find_disk(path):
            return path
    return None


# -- the RNIC ---------------------------------------------------------------------------------

def give(function, driver):
    """Have a driver, and no other one, try to bind a function; whether it did."""
    if (function / "driver").exists():
        write(function / "driver/unbind", function.name)
    write(function / "driver_override", driver)
    write(PCI / "drivers_probe", function.name)
    return (function / "driver").exists()


def rnic_up(module):
    """Load the module, give it the drive "engine", and its interface an address."""
    function = find_function("engine")
    ENGINE.write_text(str(function))
    run("insmod", module)
    if not give(function, MODULE):
        raise RuntimeError(f"{function.name} was not bound to {MODULE}; the log says why")
    interface = next((function / "net").iterdir()).name
    run("busybox", "ip", "addr", "add", ADDRESS + "/24", "dev", interface)
    run("busybox", "ip", "link", "set", interface, "up")
    return function


def rnic_down():
    """Unload the module, and make a plain drive of its function again, if that is there."""
    run("rmmod", MODULE)
    write(PCI / "rescan", 1)
    function = pathlib.Path(ENGINE.read_text())
    if function.exists() and not (function / "driver").exists():
        give(function, "nvme")


# -- the target -------------------------------------------------------------------------------

def target_up(disk, p2pmem):
    """A subsystem with one namespace, exported at one port."""
    subsystem = NVMET / "subsystems" / NQN
    subsystem.mkdir()
    write(subsystem / "attr_allow_any_host", 1)
    namespace = subsystem / "namespaces/1"
    namespace.mkdir()
    write(namespace / "device_path", disk)
    write(namespace / "p2pmem", p2pmem)
    write(namespace / "enable", 1)
    port = NVMET / "ports/1"
    port.mkdir()
    for name, value in (("addr_trtype", "rdma"), ("addr_adrfam", "ipv4"),
                        ("addr_traddr", ADDRESS), ("addr_trsvcid", PORT),
                        # Otherwise small writes travel inside the command, to system RAM.
                        ("param_inline_data_size", 0)):
        write(port / name, value)
    (port / "subsystems" / NQN).symlink_to(subsystem)


def target_down():
    (NVMET / "ports/1/subsystems" / NQN).unlink()
    (NVMET / "ports/1").rmdir()
    (NVMET / "subsystems" / NQN / "namespaces/1").rmdir()
    (NVMET / "subsystems" / NQN).rmdir()


def verbs(module):
    """Run the cases; loading fails if one does, and the module's text is the kernel log's."""
    run("insmod", module, f"address={ADDRESS}")
    run("rmmod", "p2pdma_test_rnic_verbs")


# -- what is refused --------------------------------------------------------------------------

@contextlib.contextmanager
def log_says(text):
    """What is done under this must leave a line with TEXT in the kernel log."""
    with open("/dev/kmsg", "rb", buffering=0) as log:
        os.set_blocking(log.fileno(), False)
        os.lseek(log.fileno(), 0, os.SEEK_END)
        yield
        lines = []
        while record := log.read(8192):
            lines.append(record.decode().split(";", 1)[1].splitlines()[0])
    if not any(text in line for line in lines):
        raise AssertionError(f"the log does not say '{text}' but:\n  " + "\n  ".join(lines))
    print(f"refused: {text}")


def must_not_load(module, parameter, text):
    with log_says(text):
        print("+ insmod", module, parameter, flush=True)
        if not subprocess.run(["insmod", module, parameter], stderr=subprocess.DEVNULL).returncode:
            raise AssertionError(f"the module was loaded with {parameter}")


def must_not_bind(function, text):
    with log_says(text):
        if give(function, MODULE):
            raise AssertionError(f"{function.name} was bound to {MODULE}")
    # Otherwise the next module that is loaded would be offered the function again.
    write(function / "driver_override", "")


def refusals(module):
    """Everything that binding refuses, each with the message that says what was wrong."""
    engine, provider = find_function("engine"), find_function("provider")
    probe = next(path for path in (PCI / "devices").iterdir()
                 if (path / "device").read_text().strip() == "0x0005" and
                 (path / "vendor").read_text().strip() == "0x1b36").resolve()
    must_not_load(module, "slots=0", "slots must be a number from 1 to 32, not '0'")
    must_not_load(module, "timeout_ms=soon", "timeout_ms must be a number from 100 to 60000")
    run("insmod", module, "override_sgls=2")
    must_not_bind(engine, "needs scatter-gather lists of any alignment; SGLS is 0x2")
    run("rmmod", MODULE)
    run("insmod", module)
    must_not_bind(probe, "is not that of an NVMe controller")
    with log_says("takes only what was given to it by driver_override"):
        write(PCI / "drivers" / MODULE / "new_id", "1b36 0010")
    write(PCI / "drivers" / MODULE / "remove_id", "1b36 0010")
    if not give(engine, MODULE):
        raise AssertionError("the engine was refused")
    must_not_bind(provider, f"bound to {engine.name} already, and only to one")
    run("rmmod", MODULE)
    for function in engine, provider:
        if not give(function, "nvme"):
            raise AssertionError(f"{function.name} does not go back to its own driver")


# -- steps ------------------------------------------------------------------------------------

def size_and_available():
    memory = find_function("provider") / "p2pmem"
    return int((memory / "size").read_text()), int((memory / "available").read_text())


def up(module, p2pmem=None):
    provider = find_function("provider")
    disk = disk_of("target")
    rnic_up(module)
    target_up(disk, p2pmem or provider.name)
    run("nvme", "connect", "-t", "rdma", "-a", ADDRESS, "-s", PORT, "-n", NQN, "-i", "2",
        "--reconnect-delay=1")
    connection = until(find_connection, 30, "disk behind the connection")
    start, end, _ = (int(word, 16)
                     for word in (provider / "resource").read_text().splitlines()[2].split())
    print(json.dumps({"bar": [start, end], "disk": str(find_disk(connection))}))


def fio_command(mib, *more):
    disk = find_disk(find_connection())
    return ["fio", "--name=over_rdma", f"--filename={disk}", "--direct=1", "--ioengine=libaio",
            "--rw=randrw", "--rwmixwrite=70", f"--size={mib}M", "--bsrange=512-128k",
            "--iodepth=8", "--output-format=terse", "--terse-version=3", *more]


def verified(seed):
    return ["--verify=crc32c", "--verify_fatal=1", "--do_verify=1", f"--randseed={seed}"]


def fio(mib):
    run(*fio_command(mib, *verified(1)))


def stats():
    for path in DEBUG.glob("*/stats"):
        print(path.read_text(), end="")


def counter(name):
    path = next(DEBUG.glob("*/stats"))
    return int(dict(line.split() for line in path.read_text().splitlines())[name])


def live():
    return (find_connection() / "state").read_text().strip() == "live"


def failures(rounds):
    """Let one work request in each round fail at random; what fio wrote must be there."""
    fail_wr = next(DEBUG.glob("*/fail_wr"))
    choice = random.Random(1)
    for number in range(int(rounds)):
        until(live, 30, "a live connection")
        before, n = counter("failed"), choice.randint(1, 300)
        fail_wr.write_text(str(n))
        done = subprocess.run(fio_command(4, *verified(number)), capture_output=True, text=True)
        print(f"round {number + 1}: request {n} failed, fio's status is {done.returncode}",
              flush=True)
        if done.returncode:
            raise AssertionError(f"fio: {done.stdout}\n{done.stderr}")
        if counter("failed") == before or int(fail_wr.read_text()):
            raise AssertionError("no request failed")


def load():
    """Leave I/O running behind, and return once it flows."""
    command = fio_command(16, "--time_based", "--runtime=600")
    with open("/run/fio.out", "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    pathlib.Path("/run/fio.pid").write_text(str(process.pid))
    start = counter("bytes")
    until(lambda: counter("bytes") > start + (1 << 20), 60, "I/O over the connection")


def rnic_is_gone():
    return not any(pathlib.Path("/sys/class/infiniband").glob("p2pdma_rnic*"))


def take(how):
    """Take the RNIC away in the middle of what it does, in one of the ways from inside."""
    function = next((PCI / "drivers" / MODULE).glob("0*")).resolve()
    started = time.monotonic()
    if how == "unload":
        run("rmmod", MODULE)
    elif how == "unbind":
        write(function / "driver/unbind", function.name)
    elif how == "remove":
        write(function / "remove", 1)
    else:
        sys.exit(f"take: no way '{how}'")
    print(f"{how}: took {time.monotonic() - started:.1f} s")


def gone(module):
    """After the RNIC went under load: end the rest of it, and see that nothing is left."""
    until(rnic_is_gone, 60, "end of the RDMA device")
    run("nvme", "disconnect", "-n", NQN)
    pid = int(pathlib.Path("/run/fio.pid").read_text())
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), 60, "end of fio")
    target_down()
    if not (PCI / "drivers" / MODULE).exists():
        run("insmod", module)
    rnic_down()
    size, _ = size_and_available()
    until(lambda: size_and_available()[1] == size, 20, "return of all peer memory")


def down():
    # Stock nvmet leaks what it notes per controller, if namespaces are still enabled then.
    write(NVMET / "subsystems" / NQN / "namespaces/1/enable", 0)
    run("nvme", "disconnect", "-n", NQN)
    target_down()
    rnic_down()
    size, available = size_and_available()
    if available != size:
        raise AssertionError(f"{size - available} bytes of peer memory did not come back")


def main():
    steps = {"rnic": rnic_up, "unload": rnic_down, "up": up, "verbs": verbs, "refusals": refusals,
             "fio": fio, "failures": failures, "load": load, "take": take, "gone": gone,
             "stats": stats, "down": down}
    if len(sys.argv) < 2 or sys.argv[1] not in steps:
        sys.exit(__doc__.strip())
    steps[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
