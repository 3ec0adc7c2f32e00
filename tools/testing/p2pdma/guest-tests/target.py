# SPDX-License-Identifier: GPL-2.0
"""The attribute p2pmem of the NVMe-oF target, and a namespace with peer memory."""
import errno
import subprocess

from guest import nvmet, transfer
from guest.case import case
from guest.devices import Drive, provider, rescan, until
from guest.references import References

# Words to write, and the expected words to read back.
WORDS = (("0", "0"), ("1", "1"), ("n", "0"), ("y", "1"), ("off", "0"), ("on", "1"),
         ("N", "0"), ("Y", "1"), ("1\n", "1"), ("0\n", "0"))
GARBAGE = ("nonsense", "2", "10", "01", "0x1", "1 ", "0000", "0000:", "0000:zz:00.0", "0:",
           "00:00.0", "y0000:00:00.0", "-1", " ")
NO_DEVICE = ("0000:7f:00.0", "0001:00:00.0")


@case(short=True)
def target_words(test):
    """All valid words are accepted and read back."""
    peer, alpha = provider(), Drive("alpha")
    with nvmet.Namespace("words", alpha.path) as namespace:
        for word, meaning in (*WORDS, (peer.bdf, peer.bdf), (peer.bdf + "\n", peer.bdf)):
            namespace.set("p2pmem", "0" if meaning != "0" else "1")
            namespace.set("p2pmem", word)
            test.equal(namespace.get("p2pmem"), meaning, f"what is read after '{word.strip()}'")


@case(short=True)
def target_refusals(test):
    """Invalid words and addresses without a provider are refused and change nothing."""
    peer, alpha = provider(), Drive("alpha")
    with nvmet.Namespace("refusals", alpha.path) as namespace:
        for kept in ("0", "1", peer.bdf):
            namespace.set("p2pmem", kept)
            for word in GARBAGE:
                test.refused((errno.EINVAL, errno.ENODEV), namespace.set, "p2pmem", word)
                test.equal(namespace.get("p2pmem"), kept, f"what is read after '{word}'")
            for word in (*NO_DEVICE, alpha.bdf):
                test.refused(errno.ENODEV, namespace.set, "p2pmem", word)
                test.equal(namespace.get("p2pmem"), kept, f"what is read after '{word}'")


@case()
def target_busy_while_enabled(test):
    peer, alpha = provider(), Drive("alpha")
    with nvmet.Namespace("busy", alpha.path) as namespace:
        namespace.set("p2pmem", peer.bdf)
        namespace.set("enable", "1")
        for word in ("0", "1", "y", "n", "on", "off", peer.bdf, alpha.bdf, "nonsense"):
            test.refused(errno.EBUSY, namespace.set, "p2pmem", word)
            test.equal(namespace.get("p2pmem"), peer.bdf, f"what is read after '{word}'")
        namespace.set("enable", "0")
        namespace.set("p2pmem", "0")
        test.equal(namespace.get("p2pmem"), "0", "what is read after it was disabled")


def _verify(test, disk):
    done = subprocess.run(
        ["fio", "--thread", "--name=rig", f"--filename={disk.path}", "--direct=1", "--size=2m",
         "--bs=32k", "--rw=randwrite", "--verify=crc32c", "--ioengine=libaio", "--iodepth=4"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/tmp")
    test.equal(done.returncode, 0, f"exit status of fio:\n{done.stdout}")


@case("switch amd-root-ports", short=True, seconds=180)
def target_over_loop(test):
    """A namespace with p2pmem serves reads and writes over the loop transport."""
    peer, beta = provider(), Drive("beta")
    before = peer.function.available()
    for choice in ("1", peer.bdf):
        with nvmet.Namespace("loop", beta.path) as namespace:
            namespace.set("p2pmem", choice)
            namespace.set("enable", "1")
            test.equal(namespace.get("enable"), "1", f"enabled, with p2pmem {choice}")
            with namespace.connected() as remote:
                wanted = transfer.contents(beta, 1 << 20)
                test.check(transfer.contents(remote, 1 << 20) == wanted,
                           "the target serves other bytes than its disk holds")
                if choice == peer.bdf:
                    _verify(test, remote)
    test.equal(peer.function.available(), before, "available, afterwards")


@case()
def target_keeps_its_provider(test):
    """The provider of a namespace is unbound and bound again, and the namespace can be enabled."""
    peer, beta = provider(), Drive("beta")
    with nvmet.Namespace("keeps", beta.path) as namespace:
        namespace.set("p2pmem", peer.bdf)
        peer.function.unbind()
        test.later(lambda: peer.function.driver() or peer.function.bind())
        test.refused(errno.ENODEV, namespace.set, "p2pmem", peer.bdf)
        test.equal(namespace.get("p2pmem"), peer.bdf, "what is read after that")
        peer.bind()
        namespace.set("enable", "1")


@case("switch", short=True)
def target_references(test):
    """A namespace leaves no reference on the provider, or on a drive that was refused."""
    peer, alpha = provider(), Drive("alpha")
    functions = peer.function, alpha.function
    references = test.enter(References())
    before = [references.count(function) for function in functions]
    for last in ("0", "1", peer.bdf):
        with nvmet.Namespace("references", alpha.path) as namespace:
            for word in ("1", peer.bdf, peer.bdf, last):
                namespace.set("p2pmem", word)
                for refused in (alpha.bdf, "nonsense", peer.bdf + " "):
                    test.refused((errno.ENODEV, errno.EINVAL), namespace.set, "p2pmem", refused)
                namespace.set("enable", "1")
                test.refused(errno.EBUSY, namespace.set, "p2pmem", peer.bdf)
                namespace.get("p2pmem")
                named = references.count(peer.function) - before[0]
                test.equal(named, int(word == peer.bdf), f"references, enabled with '{word}'")
                namespace.set("enable", "0")
        test.equal([references.count(function) for function in functions], before,
                   f"references after a namespace that ended with '{last}'")
    peer.function.remove()
    test.later(rescan)
    until(lambda: references.freed(peer.function), 30, "release of the provider that was removed")


@case("amd-root-ports", short=True)
def target_forgets_a_reference(test):
    """nvmet_ns_free() of 6.12 leaks a reference on the provider, so allow a single reference.

    The function of the provider is never freed afterwards. No case in this topology checks the
    release of the function.
    """
    peer, alpha = provider(), Drive("alpha")
    references = test.enter(References())
    before = references.count(peer.function)
    with nvmet.Namespace("forgets", alpha.path) as namespace:
        namespace.set("p2pmem", peer.bdf)
        namespace.path.rmdir()
        kept = references.count(peer.function) - before
        namespace.path.mkdir()
    test.check(kept in (0, 1), f"{kept} references are kept")
    test.note("nvmet " + ("keeps" if kept else "drops") + " the reference of a removed namespace")
