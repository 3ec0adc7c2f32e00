# SPDX-License-Identifier: GPL-2.0
"""Capabilities of bridges, policies of the administrator, and the effect on p2pdma/peers."""
import errno
import os
import pathlib
import subprocess

from guest import transfer
from guest.case import case
from guest.devices import DEVICES, PCI, Drive, Function, provider

# Below a platform device where a device tree describes the machine
HOST = next(DEVICES.glob("0000:00:*")).resolve().parent / "p2pdma"
TAINT_USER = 1 << 6
LENGTH = 64 << 10
VOUCHED = "peer-to-peer DMA through this host bridge is allowed although nothing is known of it"


def peer_line(client, other):
    """Return the words of the line about OTHER in the file of CLIENT."""
    for line in client.text("p2pdma/peers").splitlines():
        words = line.split()
        if words[0] == other.bdf:
            return words[1:]
    raise LookupError(f"{client.bdf} has no line about {other.bdf}")


def tainted():
    return bool(int(pathlib.Path("/proc/sys/kernel/tainted").read_text()) & TAINT_USER)


def attempt(test, peer, client, moves):
    """Try a transfer from CLIENT's drive into the peer memory, and compare contents."""
    drive = Drive(client)
    memory = peer.map(LENGTH)
    try:
        if not moves:
            test.refused(errno.EREMOTEIO, transfer.read_into, drive, memory, LENGTH)
            test.check(memory[:] == bytes(LENGTH), "the peer memory was written to")
            return
        transfer.read_into(drive, memory, LENGTH)
        test.check(memory[:] == transfer.contents(drive, LENGTH), "the wrong bytes arrived")
    finally:
        memory.close()


def upstream(function):
    """Return the bridge above FUNCTION."""
    return Function(function.path.resolve().parent.name)


@case("intel-root-ports")
def policy_of_an_unlisted_host(test):
    """An unlisted host bridge refuses with auto and deny, and routes with allow (and a taint)."""
    peer, alpha = provider().function, Drive("alpha")
    client = Function(alpha.bdf)
    test.equal((HOST / "capability").read_text(), "unlisted\n", "capability")
    test.equal((HOST / "policy").read_text(), "[auto] allow deny\n", "policy at first")
    test.equal(peer_line(client, peer), ["none", "4", "pci0000:00", "unlisted"], "at first")
    attempt(test, peer, "alpha", False)
    test.check(not tainted(), "the kernel is tainted already")

    (HOST / "policy").write_text("allow\n")
    test.equal((HOST / "policy").read_text(), "auto [allow] deny\n", "policy, allowed")
    test.equal(peer_line(client, peer), ["host-bridge", "4", "pci0000:00", "policy"], "allowed")
    attempt(test, peer, "alpha", True)
    test.check(tainted(), "the kernel is not tainted")
    log = "\n".join(test.kernel_log())
    test.equal(log.count(VOUCHED), 1, f"warnings in the log:\n{log}")

    (HOST / "policy").write_text("deny")
    test.equal(peer_line(client, peer), ["none", "4", "pci0000:00", "policy"], "denied")
    attempt(test, peer, "alpha", False)
    (HOST / "policy").write_text("auto")
    test.equal(peer_line(client, peer), ["none", "4", "pci0000:00", "unlisted"], "at last")
    test.equal(peer.number("p2pmem/mapped_host") > 0, True, "mapped_host counts")
    test.equal(peer.number("p2pmem/map_refused") > 0, True, "map_refused counts")


@case("amd-root-ports")
def policy_of_a_host_known_by_its_cpu(test):
    """A host bridge with a known CPU routes, unless a root port has the policy deny."""
    peer, alpha = provider().function, Drive("alpha")
    client = Function(alpha.bdf)
    port = upstream(client)
    test.equal((HOST / "capability").read_text(), "cpu\n", "capability")
    test.equal(peer_line(client, peer), ["host-bridge", "4", "pci0000:00", "cpu"], "at first")
    attempt(test, peer, "alpha", True)
    (port.path / "p2pdma/policy").write_text("deny")
    test.equal(peer_line(client, peer), ["none", "4", "pci0000:00", "policy",
                                            f"{port.bdf}=denied"], "denied")
    attempt(test, peer, "alpha", False)
    attempt(test, peer, "beta", True)
    (port.path / "p2pdma/policy").write_text("auto")
    attempt(test, peer, "alpha", True)
    test.check(not tainted(), "the kernel is tainted")


@case("switch", short=True)
def policy_of_a_switch(test):
    """A switch routes, unless the shared parent has the policy deny."""
    peer, alpha = provider().function, Drive("alpha")
    client = Function(alpha.bdf)
    shared = upstream(upstream(client))
    test.equal(shared.text("p2pdma/capability"), "spec", "capability")
    test.equal(shared.text("p2pdma/policy"), "[auto] deny", "policy at first")
    test.equal(peer_line(client, peer), ["direct", "4", shared.bdf, "spec"], "at first")
    attempt(test, peer, "alpha", True)
    (shared.path / "p2pdma/policy").write_text("deny")
    test.equal(shared.text("p2pdma/policy"), "auto [deny]", "policy, denied")
    test.equal(peer_line(client, peer), ["none", "4", shared.bdf, "policy",
                                            f"{shared.bdf}=denied"], "denied")
    attempt(test, peer, "alpha", False)
    (shared.path / "p2pdma/policy").write_text("auto")
    attempt(test, peer, "alpha", True)


@case("switch")
def policy_words(test):
    """Words that are no policy are refused and change nothing."""
    port = upstream(Function(Drive("alpha").bdf))
    for path, words in ((HOST / "policy", ["nonsense", "", "\n", "allow deny", "AUTO", "1", "deny\0",
                                            "deny\0x", "\0deny", " deny", "deny\n\n"]),
                        (port.path / "p2pdma/policy", ["nonsense", "allow", "", "den", "denyy", "deny\0x",
                                                            "deny\nx"])):
        before = path.read_text()
        for word in words:
            test.refused(errno.EINVAL, os_write, path, word or "\n")
            test.equal(path.read_text(), before, f"policy after {word!r}")
    for word in ("0", "nonsense", "n", "2", "1x", "1 ", "11", "yes", "on", "1\0", "1\0x", "1\n1"):
        test.refused(errno.EINVAL, os_write, PCI / "p2pdma_rescan", word)
    os_write(PCI / "p2pdma_rescan", "1\n")
    for path in (HOST / "capability", port.path / "p2pdma/capability"):
        test.equal(path.stat().st_mode & 0o777, 0o444, f"mode of {path}")
    test.equal((PCI / "p2pdma_rescan").stat().st_mode & 0o777, 0o200, "mode of p2pdma_rescan")


@case("switch")
def policy_without_capability(test):
    """Without CAP_SYS_ADMIN, root can neither set a policy nor rescan."""
    port = upstream(Function(Drive("alpha").bdf))
    for path, word in ((HOST / "policy", "deny"), (port.path / "p2pdma/policy", "deny"),
                       (PCI / "p2pdma_rescan", "1")):
        done = subprocess.run(
            ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", "tee", path],
            input=word, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        test.check(done.returncode and "not permitted" in done.stdout, f"{path}: {done}")
    test.equal((HOST / "policy").read_text(), "[auto] allow deny\n", "policy of the host bridge")
    test.equal(port.text("p2pdma/policy"), "[auto] deny", "policy of the port")


@case("switch")
def policy_of_a_bridge_that_returns(test):
    """A bridge that comes back keeps the policy deny, until auto is written."""
    port = upstream(Function(Drive("beta").bdf))
    (port.path / "p2pdma/policy").write_text("deny")
    for want in ("auto [deny]", "[auto] deny"):
        port.remove()
        (PCI / "rescan").write_text("1")
        test.equal(port.text("p2pdma/policy"), want, "policy of the port that came back")
        (port.path / "p2pdma/policy").write_text("auto")


def os_write(path, word):
    """Write with a single write(2), like the echo of a shell."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, word.encode())
    finally:
        os.close(fd)


@case("switch")
def peers_for_anybody(test):
    """An unprivileged user in other mount and network namespaces reads the same table."""
    client = Function(Drive("alpha").bdf)
    mine = (client.path / "p2pdma/peers").read_text()
    theirs = subprocess.run(
        ["unshare", "--mount", "--net", "setpriv", "--reuid", "65534", "--regid", "65534",
         "--clear-groups", "--bounding-set", "-all", "cat", str(client.path / "p2pdma/peers")],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    test.equal(theirs, mine, "what nobody reads")
    test.equal((client.path / "p2pdma/peers").stat().st_mode & 0o777, 0o444, "mode")


@case("switch")
def peers_in_pieces(test):
    """An open file is a snapshot: the contents do not change when functions come and go."""
    client, beta = Function(Drive("alpha").bdf), Function(Drive("beta").bdf)
    path = client.path / "p2pdma/peers"
    whole = path.read_bytes()
    fd = os.open(path, os.O_RDONLY)
    pieces = os.read(fd, 11)
    beta.remove()
    while piece := os.pread(fd, 7, len(pieces)):
        pieces += piece
    os.close(fd)
    test.equal(pieces, whole, "the table in pieces")
    test.check(beta.bdf.encode() not in path.read_bytes(), "a function that is gone has a line")
    (PCI / "rescan").write_text("1")
    test.equal(path.read_bytes(), whole, "the table after the function came back")


@case("switch")
def peers_of_everyone(test):
    """The file of an endpoint function has a line for each further function, sorted by address."""
    functions = sorted(path.parent.parent.name for path in
                       pathlib.Path("/sys/bus/pci/devices").glob("*/p2pdma/peers"))
    test.check(len(functions) > 3, f"too few functions: {functions}")
    for name in functions:
        lines = Function(name).text("p2pdma/peers").splitlines()
        others = [line.split()[0] for line in lines]
        test.equal(others, [other for other in functions if other != name], f"peers of {name}")
        for line in lines:
            test.check(line.split()[1] in ("direct", "host-bridge", "none"), f"verdict in {line}")


@case("switch")
def tracepoints(test):
    """All tracepoints fire, and decisions are not more frequent than mappings."""
    trace = pathlib.Path("/sys/kernel/tracing")
    peer, alpha = provider().function, Drive("alpha")
    if not (trace / "events/p2pdma").exists():
        subprocess.run(["mount", "-t", "tracefs", "nodev", str(trace)], check=True)
    (trace / "trace").write_text("")
    (trace / "events/p2pdma/enable").write_text("1")
    try:
        (PCI / "p2pdma_rescan").write_text("1")
        attempt(test, peer, "alpha", True)
        (HOST / "policy").write_text("deny")
        (HOST / "policy").write_text("auto")
        test.refused(errno.ENOMEM, peer.map, peer.size() + (2 << 20))
    finally:
        (trace / "events/p2pdma/enable").write_text("0")
    seen = (trace / "trace").read_text()
    for event in (f"p2pdma_route: provider={peer.bdf} client={alpha.bdf} verdict=direct reason=spec",
                  f"p2pdma_map: provider={peer.bdf} client={alpha.bdf} verdict=direct",
                  "p2pdma_policy: bridge=pci0000:00 policy=deny",
                  "p2pdma_policy: bridge=pci0000:00 policy=auto",
                  f"p2pmem_alloc_failed: provider={peer.bdf} size={peer.size() + (2 << 20)}"):
        test.check(event in seen, f"no event {event!r} in\n{seen}")
    # A verdict is cached for a second, so a slow transfer has several decisions.
    decided = seen.count("p2pdma_route: provider={} client={}".format(peer.bdf, alpha.bdf))
    mapped = seen.count("p2pdma_map: provider={} client={}".format(peer.bdf, alpha.bdf))
    test.check(decided <= mapped, f"{decided} decisions for {mapped} mappings")


@case("switch")
def counters(test):
    """The counters in p2pmem/ count operations since the registration."""
    peer, alpha = provider().function, Drive("alpha")
    before = {name: peer.number(f"p2pmem/{name}")
              for name in ("alloc_failed", "mapped_bus", "mapped_host", "map_refused")}
    free = peer.available()
    memory = peer.map(8 << 20)
    transfer.read_into(alpha, memory, LENGTH)
    memory.close()
    test.refused(errno.ENOMEM, peer.map, peer.size() + (2 << 20))
    test.equal(peer.number("p2pmem/alloc_failed"), before["alloc_failed"] + 1, "alloc_failed")
    test.check(peer.number("p2pmem/mapped_bus") > before["mapped_bus"], "mapped_bus did not count")
    for name in ("mapped_host", "map_refused"):
        test.equal(peer.number(f"p2pmem/{name}"), before[name], name)
    test.check(peer.number("p2pmem/allocated_peak") >= peer.size() - free + (8 << 20),
               "allocated_peak is less than what was allocated")
    for name in (*before, "allocated_peak"):
        test.equal((peer.path / "p2pmem" / name).stat().st_mode & 0o777, 0o444, f"mode of {name}")


@case("example")
def policy_from_the_command_line(test):
    """Boot parameters work before a driver binds; bad entries are logged and skipped."""
    test.equal((HOST / "policy").read_text(), "auto [allow] deny\n", "policy of the host bridge")
    test.check(tainted(), "the kernel is not tainted")
    denied = Function("0000:02:02.0")
    test.equal(denied.text("p2pdma/policy"), "auto [deny]", "policy of a port")
    other = Function("0000:02:00.0")
    test.equal(other.text("p2pdma/policy"), "[auto] deny", "policy of the other port")
    log = subprocess.run(["dmesg"], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in ('p2pdma.allow: skipping "rubbish"', 'p2pdma.allow: skipping "0000:02:00.0"',
                 'p2pdma.deny: skipping "8086:29c00"'):
        test.equal(log.count(line), 1, f"lines {line!r} in the log")
    test.check(log.index(VOUCHED) < log.index("pcieport"), "decided after a driver was bound")
