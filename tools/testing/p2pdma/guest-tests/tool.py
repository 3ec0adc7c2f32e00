# SPDX-License-Identifier: GPL-2.0
"""The p2pdma command, on kernels with and without verdicts of their own."""
import contextlib
import errno
import fcntl
import functools
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile

from guest import nvmet, transfer
from guest.case import case
from guest.devices import Drive, provider, until

TOOL = pathlib.Path(__file__).resolve().parents[4] / "build/tool/p2pdma"
SCHEMA = pathlib.Path(__file__).resolve().parents[3] / "pci/p2pdma/p2pdma.schema.json"
RESCAN = pathlib.Path("/sys/bus/pci/p2pdma_rescan")
MIB = 1 << 20
BLKRRPART = 0x125f


def ours():
    """Return whether the kernel has the files of this project in sysfs."""
    return RESCAN.exists()


def run(test, *words):
    """Run the command. Return the status, the output and the messages."""
    test.check(TOOL.exists(), "the p2pdma command is not built: make tool")
    result = subprocess.run([str(TOOL), *map(str, words)], check=False, text=True,
                            stdin=subprocess.DEVNULL, capture_output=True)
    test.check(result.returncode in (0, 1, 2, 3),
               f"{words}: status {result.returncode}: {result.stderr}")
    return result.returncode, result.stdout, result.stderr


@functools.cache
def rules():
    """Return a validator for the published schema, or None without the package jsonschema."""
    try:
        import jsonschema
    except ImportError:
        return None
    return jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))


def ask(test, *words):
    """Run the command with -j. Return the status and the report."""
    status, text, messages = run(test, "-j", *words)
    test.check(text, f"{words}: no report, but: {messages}")
    report = json.loads(text)
    for error in rules().iter_errors(report) if rules() else ():
        test.check(False, f"{words}: not as the schema says: {error.message[:300]}")
    return status, report


def moves(client, peer):
    """Return whether a transfer between a drive and the provider's memory works."""
    memory = peer.function.map(4096)
    try:
        transfer.read_into(client, memory, 4096)
    except OSError as error:
        if error.errno != errno.EREMOTEIO:
            raise
        return False
    finally:
        memory.close()
    return True


@case("switch amd-root-ports intel-root-ports two-host-bridges", short=True, seconds=240)
def tool_matrix(test):
    """The verdicts of the kernel, the computed verdicts, and real transfers agree."""
    peer, drives = provider(), [Drive("alpha"), Drive("beta")]
    said, computed = (ask(test, *words, "matrix", "--all")[1]["rows"]
                      for words in ([], ["--computed"]))
    test.equal(len(said), len(computed), "rows")
    for row, (one, two) in enumerate(zip(said, computed)):
        for column, (cell, other) in enumerate(zip(one, two)):
            where = f"row {row}, column {column}"
            test.equal(other["source"], "computed", f"source with --computed, {where}")
            if row != column:
                test.equal(cell["source"], "kernel" if ours() else "computed", f"source, {where}")
            for part in ("verdict", "distance", "reason"):
                test.equal(cell[part], other[part], f"{part}, {where}")
    for drive in drives:
        status, _ = ask(test, "check", drive.disk, peer.bdf)
        test.equal(status == 0, moves(drive, peer), f"p2pdma check {drive.disk} {peer.bdf}")


@case("switch intel-root-ports", short=True, debug=False, seconds=240)
def tool_path(test):
    """The path has names, all hops and the reason."""
    peer, alpha = provider(), Drive("alpha")
    reports = []
    for client, memory in ((alpha.disk, peer.disk), (alpha.path, peer.path),
                           (alpha.controller.name, peer.controller.name),
                           (alpha.bdf, peer.bdf), (alpha.bdf[5:], peer.bdf[5:])):
        status, report = ask(test, "path", client, memory)
        test.equal((report["given_client"], report["given_provider"]), (client, memory), "names")
        del report["given_client"], report["given_provider"]
        reports.append((status, report))
    test.check(all(each == reports[0] for each in reports), f"names make a difference: {reports}")
    status, report = reports[0]
    route = report["route"]
    reached = moves(alpha, peer)
    test.equal((status, route["verdict"] != "none"), (0 if reached else 1, reached), "the verdict")
    test.equal(route["client"]["bdf"], alpha.bdf, "the client")
    hops = [hop.get("bdf", hop.get("host")) for hop in report["hops"]]
    test.equal((hops[0], hops[-1]), (alpha.bdf, peer.bdf), "the ends")
    inner = pathlib.Path(alpha.function.path).resolve().parts
    test.check(hops[1] in inner, f"{hops[1]} is not above {alpha.bdf}")
    if not reached:
        test.equal(route["reason"], "unlisted", "the reason")
        test.check(any("put both below" in remedy["what"] for remedy in report["remedies"]),
                   f"no remedy: {report['remedies']}")
    status, text, _ = run(test, "path", alpha.disk, peer.disk)
    test.check(f"{alpha.bdf} = {alpha.disk}" in text, f"{alpha.disk} is not shown: {text}")
    for words in (["path", "nvme77", peer.bdf], ["path", alpha.bdf], ["path", "0000:7f:1f.0", "0"]):
        test.equal(run(test, *words)[0], 2, f"status of {words}")


@case("switch", short=True, debug=False, seconds=240)
def tool_list_and_tree(test):
    """The list of providers has the values from sysfs and the users of the memory."""
    peer, alpha = provider(), Drive("alpha")
    memory = peer.function.map(3 * MIB)
    memory[:4] = b"used"
    _, report = ask(test, "list")
    found = next(each for each in report["providers"] if each["function"]["bdf"] == peer.bdf)
    test.equal((found["size"], found["available"], found["published"], found["bar"]),
               (peer.function.size(), peer.function.available(), True, peer.function.BAR),
               "size, available, published, BAR")
    test.equal([(user["pid"], user["bytes"]) for user in found["users"]],
               [(os.getpid(), 3 * MIB)], "users")
    test.equal(found["counters"] is not None, ours(), "counters")
    memory.close()
    _, text, _ = run(test, "tree")
    for wanted in (f"{peer.bdf} ", f"{alpha.bdf} ", "provides 64 MiB", "switch upstream port"):
        test.check(wanted in text, f"{wanted!r} is not in the tree:\n{text}")
    _, text, _ = run(test, "tree", "--dot")
    test.check(text.startswith("graph ") and f'"{peer.bdf}"' in text, f"no graph: {text}")


@case("amd-root-ports", short=True, seconds=240)
def tool_policy(test):
    """A policy can be set and shown, and has an effect. Without policies, the command fails."""
    peer, alpha = provider(), Drive("alpha")
    host = next(part for part in alpha.function.path.resolve().parts if part.startswith("pci"))
    bridge = alpha.function.path.resolve().parent.name
    if not ours():
        status, _, messages = run(test, "policy", host)
        test.equal(status, 3, "status")
        test.check("no policies" in messages, messages)
        return
    for given, word in ((host, "deny"), (host[3:], "auto"), (bridge, "deny"), (bridge, "auto")):
        test.later(run, test, "policy", given, "auto")
        status, report = ask(test, "policy", given, word)
        test.equal((status, report["policy"]), (0, word), f"policy {given} {word}")
        test.equal(ask(test, "policy", given)[1]["policy"], word, f"policy {given}")
        test.equal(ask(test, "check", alpha.disk, peer.bdf)[0], 1 if word == "deny" else 0,
                   f"check with policy {given} {word}")
        test.equal(moves(alpha, peer), word != "deny", f"a transfer with policy {given} {word}")
    for words in ([bridge, "allow"], [host, "perhaps"], [alpha.bdf, "deny"], ["pci0000:77"]):
        test.equal(run(test, "policy", *words)[0], 2, f"status of policy {words}")
    _, report = ask(test, "policy", host, "allow")
    test.check(any(f"p2pdma.allow={host[3:]}" in line for line in report["lasting"]),
               f"it does not say how to make it last: {report}")


@case("intel-root-ports", short=True, seconds=240)
def tool_policy_vouches(test):
    """The policy allow for a host bridge makes transfers work, and the command warns."""
    if not ours():
        test.skip("this kernel has no policies")
    peer, alpha = provider(), Drive("alpha")
    test.equal(ask(test, "check", alpha.disk, peer.bdf)[0], 1, "check before")
    test.later(run, test, "policy", "pci0000:00", "auto")
    _, report = ask(test, "policy", "0000:00", "allow")
    test.check(any("in silence" in line for line in report["warnings"]), f"no warning: {report}")
    status, report = ask(test, "check", alpha.disk, peer.bdf)
    test.equal((status, report["route"]["verdict"], report["route"]["reason"]),
               (0, "host-bridge", "policy"), "check after")
    test.equal(ask(test, "-C", "check", alpha.disk, peer.bdf)[1]["route"]["reason"], "policy",
               "the computed reason")
    test.check(moves(alpha, peer), "the drive does not reach the memory")


@case("switch", short=True, debug=False, seconds=240)
def tool_nvmet(test):
    """For a namespace without peer memory, the command names the reason."""
    alpha = Drive("alpha")
    with nvmet.Namespace("tool", alpha.path) as namespace:
        for settings, why in (({}, "told not to"), ({"p2pmem": "1"}, "not enabled"),
                              ({"enable": "1"}, "no port")):
            for name, text in settings.items():
                namespace.set(name, text)
            _, report = ask(test, "nvmet", "--interval", "0")
            space = next(each for each in report["namespaces"]
                         if each["subsystem"] == namespace.nqn)
            test.equal((space["gets"], space["function"]["bdf"]), ("no", alpha.bdf), str(settings))
            test.check(why in space["why"], f"{settings}: {space['why']}")
        namespace.port()
        _, report = ask(test, "nvmet", "--interval", "0.1")
        space = report["namespaces"][0]
        test.equal((space["gets"], space["transports"]), ("no", ["loop"]), "over loop")
        test.check("rdma" in space["why"], space["why"])


@contextlib.contextmanager
def watching(test, *words):
    """Start a monitor in the background. The events are read from the stream."""
    test.check(TOOL.exists(), "the p2pdma command is not built: make tool")
    with subprocess.Popen([str(TOOL), "-j", "monitor", "--seconds", "60", *words], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as monitor:
        try:
            test.check("watching" in monitor.stderr.readline(), "the monitor does not begin")
            yield monitor.stdout
        finally:
            monitor.kill()


def events(stream, device, what):
    """Wait for an event of a kind. Return the values before and after the event."""
    for line in stream:
        event = json.loads(line)
        if rules():
            rules().validate(event)
        if (event["device"], event["event"]) == (device, what):
            return event["before"], event["now"]
    return None


@case("switch", short=True, debug=False, seconds=240)
def tool_monitor(test):
    """The monitor reports changes of memory, drivers and policies."""
    peer, alpha = provider(), Drive("alpha")
    free = str(peer.function.available())
    with watching(test, "--interval", "50") as stream:
        memory = peer.function.map(MIB)
        test.equal(events(stream, peer.bdf, "available"),
                   (free, str(int(free) - MIB)), "available, with memory mapped")
        memory.close()
        test.equal(events(stream, peer.bdf, "available")[1], free, "available, afterwards")
        if ours():
            bridge = alpha.function.path.resolve().parent
            test.later((bridge / "p2pdma/policy").write_text, "auto")
            (bridge / "p2pdma/policy").write_text("deny")
            test.equal(events(stream, bridge.name, "policy"), ("auto", "deny"), "the policy")
        alpha.function.unbind()
        test.equal(events(stream, alpha.bdf, "driver"), ("nvme", None), "the driver")
        alpha.function.bind()
        test.equal(events(stream, alpha.bdf, "driver"), (None, "nvme"), "the driver, bound again")
    alpha.find()


def blank(drive):
    """Clear where file systems and partition tables have signatures."""
    for at in (0, drive.size - MIB):
        transfer.put(drive, bytes(MIB), at)


@case("switch amd-root-ports", short=True, debug=False, seconds=240)
def tool_copy(test):
    """Copy 64 MiB through peer memory only, and free all memory afterwards."""
    peer, alpha, beta = provider(), Drive("alpha"), Drive("beta")
    size = min(64 * MIB, alpha.size, beta.size)
    test.equal(size, 64 * MIB, "bytes to copy")
    data = os.urandom(MIB)
    for at in range(0, size, MIB):
        transfer.put(alpha, struct.pack("Q", at) + data[8:], at)
    blank(beta)
    free = peer.function.available()
    # The search for contents of the destination would read into RAM.
    with transfer.evidence(test, peer.function) as seen:
        status, report = ask(test, "copy", "--wipe", alpha.path, beta.disk)
    test.equal((status, report["copied"], report["stopped"]), (0, size, None), "the report")
    test.equal((report["through"], report["provider"]["bdf"]), ("peer-memory", peer.bdf), "the way")
    test.equal((seen.peer, seen.ram), (2 * size, 0), "bytes in the peer's BAR and in RAM")
    for at in range(0, size, MIB):
        test.check(transfer.contents(beta, MIB, at) == struct.pack("Q", at) + data[8:],
                   f"the MiB at {at} is not what was copied")
    test.equal(peer.function.available(), free, "available, afterwards")
    test.note(f"{size} bytes copied in {report['seconds']:.1f} s of guest time")


@case("switch", short=True, debug=False, seconds=180)
def tool_copy_verifies(test):
    """Copy with --verify, --size, --depth and --provider."""
    peer, alpha, beta = provider(), Drive("alpha"), Drive("beta")
    data = os.urandom(2 * MIB)
    transfer.put(alpha, data)
    blank(beta)
    transfer.put(beta, b"\x5a" * (2 * MIB))
    status, report = ask(test, "copy", "--verify", "--size", "1M", "--depth", "3", "--provider",
                         peer.controller.name, alpha.path, beta.path)
    test.equal((status, report["verified"], report["copied"], report["depth"]),
               (0, True, MIB, 3), "the report")
    test.check(transfer.contents(beta, 2 * MIB) == data[:MIB] + b"\x5a" * MIB,
               "other bytes arrived, or more")
    status, text, _ = run(test, "copy", "--verify", "--size", "64k", alpha.path, beta.path)
    test.equal(status, 0, "status")
    test.check("are as they were" in text and "verified" in text, text)


@case("switch", short=True, debug=False, seconds=180)
def tool_copy_killed(test):
    """A killed copy frees the memory. An interrupted copy reports the copied bytes."""
    peer, alpha, beta = provider(), Drive("alpha"), Drive("beta")
    free = peer.function.available()
    transfer.put(alpha, os.urandom(MIB))
    blank(beta)
    for number in (signal.SIGKILL, signal.SIGINT):
        with subprocess.Popen([str(TOOL), "-j", "copy", alpha.path, beta.path], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as copy:
            until(lambda: peer.function.available() < free, 60, "the copy's memory")
            copy.send_signal(number)
            text, _ = copy.communicate()
        until(lambda: peer.function.available() == free, 30, "all memory free")
    test.equal(copy.returncode, 1, "status of the interrupted copy")
    report = json.loads(text)
    test.equal(report["stopped"], "interrupted", "why it stopped")
    test.check(report["copied"] < report["size"], "it had been done before the interrupt")
    length = min(report["copied"], MIB)
    if length:
        test.check(transfer.contents(alpha, length) == transfer.contents(beta, length),
                   "what it calls copied is not")


def refused(test, why, *words):
    """Expect the command to refuse a copy, with WHY in the messages."""
    status, text, messages = run(test, "copy", *words)
    test.check(status in (1, 2) and not text, f"{words}: status {status}: {text}")
    test.check(why in messages, f"{words}: {messages}")


@case("switch", short=True, debug=False, seconds=240)
def tool_copy_refuses(test):
    """Destinations in use and bad arguments are refused."""
    alpha, beta = Drive("alpha"), Drive("beta")
    blank(beta)
    before = transfer.contents(beta, MIB)
    refused(test, "one device", alpha.path, alpha.path)
    refused(test, "not a block device", "/dev/null", beta.path)
    refused(test, "not a block device", alpha.path, __file__)
    refused(test, "No such file", alpha.path, "/dev/nvme77n1")
    refused(test, "shorter than that", "--size", "1T", alpha.path, beta.path)
    refused(test, "whole number of sectors", "--size", "513", alpha.path, beta.path)
    refused(test, "makes no sense", "--size", "many", alpha.path, beta.path)
    refused(test, "makes no sense", "--depth", "0", alpha.path, beta.path)
    refused(test, "provides no memory", "--provider", beta.bdf, alpha.path, beta.path)
    holder = os.open(beta.path, os.O_RDWR | os.O_EXCL)
    refused(test, "--force overrides", alpha.path, beta.path)
    os.close(holder)
    test.check(transfer.contents(beta, MIB) == before, "the destination was written to")


@case("switch", short=True, debug=False, seconds=240)
def tool_copy_spares_contents(test):
    """A destination with contents needs --wipe, and a destination in use needs --force."""
    alpha, beta = Drive("alpha"), Drive("beta")
    subprocess.run(["mkfs.ext4", "-q", "-F", beta.path], check=True, capture_output=True)
    before = transfer.contents(beta, MIB)
    refused(test, "holds ext4", alpha.path, beta.path)
    refused(test, "holds ext4", "--force", alpha.path, beta.path)
    where = pathlib.Path("/tmp/tool-mount")
    where.mkdir(exist_ok=True)
    test.equal(transfer.contents(beta, MIB), before, "the file system")
    subprocess.run(["mount", beta.path, str(where)], check=True)
    test.later(subprocess.run, ["umount", str(where)], check=False, capture_output=True)
    refused(test, "--force overrides", alpha.path, beta.path)
    refused(test, "--force overrides", "--wipe", alpha.path, beta.path)
    subprocess.run(["umount", str(where)], check=True)
    status, _, messages = run(test, "copy", "--wipe", "--size", "1M", alpha.path, beta.path)
    test.equal(status, 0, f"status of a copy with --wipe: {messages}")
    test.check(transfer.contents(beta, MIB) == transfer.contents(alpha, MIB), "it did not arrive")
    blank(beta)
    holder = os.open(beta.path, os.O_RDWR | os.O_EXCL)
    test.later(os.close, holder)
    status, _, messages = run(test, "copy", "--force", "--size", "1M", alpha.path, beta.path)
    test.equal(status, 0, f"status of a copy with --force: {messages}")


@case("switch", short=True, debug=False, seconds=240)
def tool_copy_spares_partitions(test):
    """A partitioned destination needs --wipe. A drive and its partition are never copied."""
    alpha, beta = Drive("alpha"), Drive("beta")
    blank(beta)
    # A partition of type Linux from sector 2048 on, with 4096 sectors.
    table = bytes(446) + struct.pack("<8BII", 0, 0, 0, 0, 0x83, 0, 0, 0, 2048, 4096) \
        + bytes(48) + b"\x55\xaa"
    transfer.put(beta, table)
    reread(beta)
    part = f"{beta.path}p1"
    until(lambda: os.path.exists(part), 30, "the partition")
    refused(test, "has partitions", alpha.path, beta.path)
    refused(test, "has partitions", "--force", alpha.path, beta.path)
    refused(test, "too small", alpha.path, part)
    for options in ([], ["--wipe"], ["--force"], ["--wipe", "--force", "--ram"]):
        refused(test, "overlap", *options, "--size", "1M", beta.path, part)
        refused(test, "overlap", *options, "--size", "1M", part, beta.path)
    test.equal(transfer.contents(beta, 512), table, "the table of partitions")
    status, _, messages = run(test, "copy", "--wipe", "--size", "1M", alpha.path, beta.path)
    test.equal(status, 0, f"status of a copy with --wipe: {messages}")
    test.check(transfer.contents(beta, MIB) == transfer.contents(alpha, MIB), "it did not arrive")
    reread(beta)


def reread(drive):
    """Let the kernel read the partition table again."""
    fd = os.open(drive.path, os.O_RDWR)
    fcntl.ioctl(fd, BLKRRPART)
    os.close(fd)


@case("intel-root-ports", short=True, debug=False, seconds=240)
def tool_copy_needs_a_route(test):
    """Without a route, a copy is refused, except with --ram."""
    peer, alpha, beta = provider(), Drive("alpha"), Drive("beta")
    data = os.urandom(MIB)
    transfer.put(alpha, data)
    blank(beta)
    refused(test, "does not reach", alpha.path, beta.path)
    status, report = ask(test, "copy", "--ram", "--verify", "--size", "1M", alpha.path, beta.path)
    test.equal((status, report["through"], report["verified"]), (0, "ram", True), "through RAM")
    test.check(transfer.contents(beta, MIB) == data, "it did not arrive")
    test.equal(peer.function.available(), peer.function.size(), "available")


@case("switch", short=True, debug=False, seconds=240)
def tool_copy_takes_what_there_is(test):
    """With little free memory the copy uses less; without free memory it fails."""
    peer, alpha, beta = provider(), Drive("alpha"), Drive("beta")
    for drive in (alpha, beta):
        blank(drive)
    hoard = peer.function.map(peer.function.available() - MIB)
    status, report = ask(test, "copy", "--size", "2M", "--depth", "8", alpha.path, beta.path)
    test.equal((status, report["depth"]), (0, 4), "status and depth with 1 MiB left")
    rest = peer.function.map(peer.function.available())
    refused(test, "all memory is in use", "--size", "2M", alpha.path, beta.path)
    for memory in (hoard, rest):
        memory.close()


@case("switch", short=True, debug=False, seconds=240)
def tool_without_root(test):
    """Ordinary users get the verdict of the kernel, or a hint at the missing privilege."""
    peer, alpha = provider(), Drive("alpha")
    test.check(TOOL.exists(), "the p2pdma command is not built: make tool")
    # Other users have no access to the checkout, so give them a copy of the command.
    directory = pathlib.Path(test.enter(tempfile.TemporaryDirectory(dir="/tmp")))
    command = shutil.copy(TOOL, directory)
    for path in (directory, command):
        os.chmod(path, 0o755)
    result = subprocess.run([command, "-j", "check", alpha.disk, peer.bdf], check=False,
                            text=True, capture_output=True, user=65534, group=65534,
                            extra_groups=[])
    route = json.loads(result.stdout)["route"]
    if ours():
        test.equal((result.returncode, route["verdict"], route["source"]),
                   (0, "direct", "kernel"), "the verdict")
        return
    test.equal((result.returncode, route["verdict"], route["reason"]),
               (3, "unknown", "needs-root"), "the verdict")
    test.check(route["unread"], "it does not say what it could not read")


@case("switch intel-root-ports viommu", short=True, debug=False, seconds=240)
def tool_capture(test):
    """A capture of this machine answers as the machine does, also packed; a user's lacks verdicts."""
    path = pathlib.Path(tempfile.mkdtemp()) / "capture"
    test.later(shutil.rmtree, path.parent)
    test.equal(run(test, "capture", path)[0::2], (0, ""), "status and messages")
    for words in (("matrix", "--all"), ("tree", "--all"), ("list",), ("-C", "matrix", "--all"),
                  ("path", "nvme0", "nvme1")):
        _, live = ask(test, *words)
        _, captured = ask(test, "--sysfs", path, *words)
        test.equal((live["machine"].pop("source"), captured["machine"].pop("source")),
                   ("live", "capture"), "sources")
        for report in (live, captured):
            for each in report.get("providers", ()):
                each.pop("users")
        test.equal(captured, live, f"answer to {words}")
    _, text, messages = run(test, "capture", path)
    test.check("File exists" in messages, f"the capture was written again: {text}{messages}")


def _cells(report):
    """Return pair -> (verdict, reason) of a matrix."""
    names = [function["bdf"] for function in report["functions"]]
    return {(client, provider): (cell["verdict"], cell["reason"])
            for client, row in zip(names, report["rows"]) for provider, cell in zip(names, row)}


@case("switch two-host-bridges viommu", short=True, debug=False, seconds=240)
def tool_dumps(test):
    """What lspci prints of this machine gives the verdicts of the machine, or unknown."""
    folder = pathlib.Path(tempfile.mkdtemp())
    test.later(shutil.rmtree, folder)
    amd = "AuthenticAMD" in pathlib.Path("/proc/cpuinfo").read_text()
    asked = [("-c", "amd-zen" if amd else "other", "--iommu", iommu, "-C", "matrix", "--all",
              "--kernel", kernel) for kernel in ("ours", "stock") for iommu in ("on", "off")]
    live = [_cells(ask(test, *words)[1]) for words in asked]
    for options in (("-xxxx",), ("-nn", "-vvv"), ("-nn", "-vvvxxxx")):
        dump = folder / "".join(options)
        dump.write_text(subprocess.run(["lspci", "-D", *options], check=True, text=True,
                                       capture_output=True).stdout)
        for words, there in zip(asked, live):
            told = _cells(ask(test, "--lspci", dump, *words)[1])
            test.equal(told.keys(), there.keys(), "pairs")
            for pair, (verdict, reason) in told.items():
                test.check(verdict == "unknown" or (verdict, reason) == there[pair] or
                           (verdict == there[pair][0] and reason == "incomplete"),
                           f"{options}, {words}: {pair}: {verdict}, {reason}, "
                           f"and on the machine {there[pair]}")
            test.check("-xxxx" not in options or "unknown" not in {each for each, _ in
                                                                   told.values()},
                       "a verdict is unknown in spite of all bytes")
