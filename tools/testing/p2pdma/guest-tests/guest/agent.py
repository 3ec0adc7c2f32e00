# SPDX-License-Identifier: GPL-2.0
"""The agent inside the guest: executes requests from the host over a virtio port.

A message is a line of JSON. A case runs in a child of the agent, so that mappings, files and
faults of the case end with the child. During a case, only the child talks to the host.
"""
import base64
import importlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import traceback

PORT = "p2pdma.rig"
LOCKS = "/proc/lockdep_stats"
RACES = "/sys/kernel/debug/kcsan"
LEAKS = "/sys/kernel/debug/kmemleak"
COUNTERS = pathlib.Path("/sys/kernel/debug/gcov")
LEAK_AGE = 5.5          # kmemleak reports nothing younger than five seconds
HELD_TAINTS = (1 << 7) | (1 << 9)   # the kernel died once, or warned


class Host:
    """The host at the other end of the port."""

    def __init__(self):
        self._fd = os.open(_port(), os.O_RDWR)
        self._buffer = b""

    def send(self, message):
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self._fd, data):]

    def receive(self):
        while b"\n" not in self._buffer:
            data = os.read(self._fd, 1 << 16)
            if not data:
                sys.exit("the host is gone")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def call(self, service, arguments):
        """Call a service of the host during a case. Return the answer."""
        self.send({"call": service, "arguments": arguments})
        answer = self.receive()
        if "error" in answer:
            raise RuntimeError(f"{service}: {answer['error']}")
        return answer["value"]


def _port():
    for name in pathlib.Path("/sys/class/virtio-ports").glob("*/name"):
        if name.read_text().strip() == PORT:
            return f"/dev/{name.parent.name}"
    sys.exit(f"this guest has no port {PORT}")


def mark(text):
    """Write a line to the kernel log, at which the host splits the console."""
    with open("/dev/kmsg", "w") as log:
        log.write(f"<6>rig: {text}\n")


def tainted():
    return int(pathlib.Path("/proc/sys/kernel/tainted").read_text()) & HELD_TAINTS


def run_case(host, request):
    mark(f"begin {request['name']}")
    before = tainted()
    child = os.fork()
    if not child:
        os._exit(_child(host, request))
    status = _wait(child, request["seconds"])
    mark(f"end {request['name']}")
    if status is None:
        _report_failure(host, "hung; the blocked tasks are in the log")
    elif status:
        _report_failure(host, _ended(status))
    host.send({"finished": request["name"], "tainted": bool(tainted() & ~before)})


def _child(host, request):
    """Run the case, in a new session so that all processes of the case can be killed."""
    os.setsid()
    try:
        from guest import case
        importlib.import_module(request["file"])
        test = case.Test(host, request)
        result = test.run(case.CASES[request["name"]].function)
    except Exception:
        result = {"verdict": "failed", "why": traceback.format_exc()}
    host.send({"result": result})
    return 0


def _report_failure(host, why):
    host.send({"result": {"verdict": "failed", "why": why}})


def _ended(status):
    if os.WIFSIGNALED(status):
        return f"the case was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"the case exited with status {os.waitstatus_to_exitcode(status)}"


def _wait(child, seconds):
    """Wait for CHILD at most SECONDS. Return the status, or None after a timeout."""
    def late(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        status = os.waitpid(child, 0)[1]
        signal.alarm(0)
    except TimeoutError:
        pathlib.Path("/proc/sysrq-trigger").write_text("w")
        status = None
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return status


def run_command(host, request):
    """Run a command for `rig run`, and send the output to the host at once."""
    try:
        process = subprocess.Popen(request["command"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        host.send({"output": f"rig: {request['command'][0]}: {error.strerror}\n"})
        host.send({"status": 127})
        return
    with process:
        while True:
            data = os.read(process.stdout.fileno(), 1 << 14)
            if not data:
                break
            host.send({"output": data.decode(errors="replace")})
    host.send({"status": process.returncode})


def _scan():
    with open(LEAKS, "w") as leaks:
        leaks.write("scan")


def prepare(_host, request):
    """At the start: forget leaks of the boot, which are not under test."""
    if os.path.exists(LEAKS):
        _scan()
        pathlib.Path(LEAKS).write_text("clear")
    sysctl = pathlib.Path("/proc/sys/kernel/hung_task_timeout_secs")
    if sysctl.exists():
        sysctl.write_text(str(request["hung_seconds"]))


def _checkers_off():
    """Return names of checkers that this kernel has, and that check nothing."""
    found = []
    for name, path, sign in (("lock checker", LOCKS, r"debug_locks: +1\b"),
                             ("race checker", RACES, r"(?s)enabled: 1\n.*setup_watchpoints: [1-9]")):
        if os.path.exists(path) and not re.search(sign, pathlib.Path(path).read_text()):
            found.append(name)
    return found


def inspect(host, _request):
    """At the end: report leaks, and the checkers that are not active."""
    answer = {"leaks": "", "off": _checkers_off()}
    if os.path.exists(LEAKS):
        _scan()
        time.sleep(LEAK_AGE)
        _scan()
        answer["leaks"] = pathlib.Path(LEAKS).read_text()
    host.send({"inspected": answer})


def coverage(host, _request):
    """Send the counters of a kernel that counts lines and branches, a file in a message."""
    for path in sorted(COUNTERS.rglob("*.gcda")) if COUNTERS.exists() else ():
        host.send({"counters": str(path.relative_to(COUNTERS)),
                   "data": base64.b64encode(path.read_bytes()).decode()})
    host.send({"counters": None})


REQUESTS = {"coverage": coverage, "case": run_case, "command": run_command, "prepare": prepare, "inspect": inspect}


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    sys.path[:1] = [str(root), str(root / "guest-tests")]
    sys.pycache_prefix = str(root.parent.parent.parent / "build/rig/pycache")
    host = Host()
    host.send({"ready": os.uname().release})
    while True:
        request = host.receive()
        if request["do"] == "end":
            break
        REQUESTS[request["do"]](host, request)


if __name__ == "__main__":
    main()
