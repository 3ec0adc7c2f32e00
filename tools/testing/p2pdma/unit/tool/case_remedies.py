# SPDX-License-Identifier: GPL-2.0
"""Machines of users in cases/ and in MACHINES, and expected output.

Each entry: machine, arguments, exit status, expected texts, unexpected texts. A run of
spaces counts as one space.
"""
import re
import shutil

from machines import (Function, dump_functions, switch, workstation, ENDPOINT, INTEGRATED,
                      ISOLATED, ROOT_PORT)
from riglib import ktap


def unmovable():
    """Functions that nobody can move to a slot: built in, virtual, conventional."""
    return [
        Function("00:00.0", "8086:6f00", "host"),
        Function("00:01.0", "8086:6f02", "bridge", ROOT_PORT, (ISOLATED, ISOLATED), port=1,
                 buses=(1, 4)),
        *switch("0000:01:00.0", (2, 4), 2),
        Function("00:02.0", "8086:6f04", "bridge", ROOT_PORT, (ISOLATED, ISOLATED), port=2,
                 buses=(5, 5)),
        Function("00:04.0", "8086:6f20", "memory", INTEGRATED),
        Function("00:1f.0", "8086:8d22", "usb"),
        Function("03:00.0", "144d:a808", "nvme", ENDPOINT),
        Function("04:00.0", "10de:1c82", "gpu", ENDPOINT),
        Function("05:00.0", "15b3:101d", "net", ENDPOINT, many=True, virtual=(1, 1, 1, 0x101e)),
        Function("05:00.1", "ffff:ffff", "net", ENDPOINT),
    ]


def redirecting():
    """A switch with a single device, below a port that redirects."""
    return [
        Function("00:00.0", "8086:a700", "host"),
        Function("00:01.0", "8086:a70d", "bridge", ROOT_PORT, port=1, buses=(1, 4)),
        *switch("0000:01:00.0", (2, 4), 2, (ISOLATED, ISOLATED)),
        Function("03:00.0", "144d:a808", "nvme", ENDPOINT),
        Function("00:06.0", "8086:a74d", "bridge", ROOT_PORT, port=2, buses=(5, 5)),
        Function("05:00.0", "10de:1c82", "gpu", ENDPOINT),
    ]


def two_switches():
    """Two switches; the ports of the first redirect."""
    cards = [each for each in redirecting() if each.address != "05:00.0"]
    cards[-1].buses = (5, 8)
    return [*cards, *switch("0000:05:00.0", (6, 8), 2),
            Function("07:00.0", "10de:1c82", "gpu", ENDPOINT)]


def managed(host="8086:09a2"):
    """Drives behind VMD in two domains; of the second domain, the first function is not there."""
    port = {"kind": "bridge", "pcie": ROOT_PORT, "acs": (ISOLATED, ISOLATED)}
    return [
        Function("00:00.0", host, "host"),
        Function("00:0e.0", "8086:28c0", "raid", INTEGRATED),
        Function("00:02.0", "8086:347a", **port, port=3, buses=(1, 1)),
        Function("01:00.0", "10de:20b0", "gpu", ENDPOINT),
        Function("10000:00:00.0", "8086:09ab", "memory", INTEGRATED),
        Function("10000:00:01.0", "8086:352a", **port, port=1, buses=(1, 1)),
        Function("10000:00:03.0", "8086:352b", **port, port=2, buses=(2, 2)),
        Function("10000:01:00.0", "144d:a824", "nvme", ENDPOINT),
        Function("10000:02:00.0", "144d:a824", "nvme", ENDPOINT),
        Function("10001:00:01.0", "8086:352a", **port, port=1, buses=(1, 1)),
        Function("10001:01:00.0", "144d:a824", "nvme", ENDPOINT),
    ]


def guest(*functions):
    """A virtual machine: two endpoints on a root bus, and what tells of the hypervisor."""
    return [*functions, Function("00:05.0", "10de:20b0", "gpu"),
            Function("00:06.0", "144d:a808", "nvme")]


def lone(bus, *functions):
    """Endpoints on a bus of their own, without a port above."""
    return [Function("0000:00:00.0", "8086:09a2", "host"), *functions,
            Function(f"0001:{bus}:00.0", "10de:20b0", "gpu", ENDPOINT),
            Function(f"0002:{bus}:00.0", "15b3:101c", "rdma", ENDPOINT)]


def half_read(**port):
    """The ports of a switch redirect; access control of the port above is not in the dump."""
    return [
        Function("00:00.0", "8086:191f", "host"),
        Function("00:1d.0", "8086:a70d", "bridge", ROOT_PORT, (ISOLATED, ISOLATED), buses=(1, 4),
                 **port),
        *switch("0000:01:00.0", (2, 4), 2, (ISOLATED, ISOLATED)),
        Function("03:00.0", "144d:a808", "nvme", ENDPOINT),
        Function("04:00.0", "10de:1c82", "gpu", ENDPOINT),
    ]


# name of a machine -> function that returns the functions
MACHINES = {"unmovable": unmovable, "redirecting": redirecting, "two-switches": two_switches,
            "workstation": workstation, "managed": managed,
            "managed-unlisted": lambda: managed("8086:6f00"),
            "half-read": lambda: half_read(size=256), "all-read": half_read,
            "cloud-hypervisor": lambda: guest(Function("00:00.0", "8086:0d57", "host")),
            "virtualbox": lambda: guest(Function("00:00.0", "8086:1237", "host"),
                                        Function("00:02.0", "80ee:beef", "vga")),
            "hyper-v": lambda: guest(Function("00:00.0", "8086:6f00", "host"),
                                     Function("7870:00:00.0", "1414:00ba", "net", ENDPOINT)),
            "microsoft-card": lambda: guest(Function("00:00.0", "8086:6f00", "host"),
                                            Function("00:04.0", "1414:0001", "net")),
            "lone": lambda: lone("00"),
            "lone-below-hidden-port": lambda: lone("01"),
            "lone-beside-port": lambda: lone("00", Function(
                "0001:00:01.0", "8086:347a", "bridge", ROOT_PORT, buses=(1, 1)), Function(
                    "0002:00:01.0", "8086:347a", "bridge", ROOT_PORT, buses=(1, 1)))}

CASES = [
    ("config-acs-two-ports", "-c other path 06:00.0 05:00.0", 1,
     ["pci=config_acs=1xxxx@0000:02:00.0;1xxxx@0000:00:01.0",
      r"pci=config_acs=1xxxx@0000:02:00.0\;1xxxx@0000:00:01.0",
      "needs Linux 6.11 or later", "x leaves a bit as the firmware set it"],
     ["1xxxx@0000:02:00.0;0000:00:01.0"]),
    ("grub-semicolon", "path 1a:00.0 1b:00.0", 0,
     ["pci=disable_acs_redir=0000:19:04.0;0000:19:08.0\n",
      r"pci=disable_acs_redir=0000:19:04.0\;0000:19:08.0",
      "/etc/default/grub", "a second pci=disable_acs_redir= replaces the first",
      "all below 0000:18:00.0",
      "pci=disable_acs_redir=0000:19:04.0;0000:19:08.0;0000:19:0c.0;0000:19:10.0;0000:19:14.0"],
     []),
    ("grub-semicolon", "matrix", 0,
     ["pci=disable_acs_redir=0000:19:04.0;0000:19:08.0;0000:19:0c.0;0000:19:10.0;0000:19:14.0",
      r"0000:19:10.0\;0000:19:14.0"], []),
    ("ats-direct-translated", "-c other path 19:00.2 1a:00.0", 0,
     ["translated by the client (ATS on) go direct at 0000:18:00.0 (DirectTrans on)",
      "only untranslated requests go up"], ["disable_acs_redir"]),
    ("switch-on-the-card", "-c other path 03:00.0 07:00.0", 1,
     ["put both below one PCI Express switch"], ["to a slot below"]),
    ("vm-emulated-switch", "-c other check 04:00.0 03:00.0", 0,
     ["a virtual machine: real topology is not seen; ask on the host"], []),
    ("vm-in-dump", "-c other path 00:03.0 00:02.0", 1,
     ["a virtual machine: real topology is not seen; ask on the host",
      "x-nv-gpudirect-clique", "NCCL_TOPO_FILE", "configuration of the hypervisor"],
     ["p2pdma.allow", "or another machine"]),
    ("vouch-on-stock", "-c other path 81:00.0 82:00.0", 1,
     ["needs a kernel with p2pdma policies; stock Linux has no such switch", "all ones"], []),
    ("bars-unassigned", "-c other path 09:00.0 08:00.0", 0,
     ["0000:08:00.0 has no memory BAR that is assigned and enabled", "Above 4G Decoding"], []),
    ("bars-unassigned", "-c other check 09:00.0 08:00.0", 0,
     ["0000:08:00.0 has no memory BAR that is assigned and enabled"], []),
    ("many-vfs", "matrix", 0, ["18:00.0 + 24 VFs", "--vfs"], ["0000:18:01.0"]),
    ("many-vfs", "matrix --vfs", 0, ["0000:18:03.7"], ["24 VFs"]),
    ("nothing-provided.tree", "path mlx5_0 nvme0", 0,
     ["nvme0 offers no peer memory now: the controller allows no data in it, only queues"], []),
    ("nothing-provided.tree", "check mlx5_0 nvme0", 0,
     ["nvme0 offers no peer memory now: the controller allows no data in it, only queues"], []),
    ("nothing-provided.tree", "path 1a:00.0 nvme0", 0,
     ["2.5 GT/s x1 at 0000:1a:00.0, of 16 GT/s x16"], []),
    ("amd-dump-knows-processor", "path 41:00.0 61:00.0", 0,
     ["verdict host-bridge", "reason cpu:", "derived from the host bridge 1022:1480",
      "iommu=pt", "0000:40:01.1 0000:60:01.1"], []),
    ("intel-pch-acs-quirk", "-c other path 03:00.0 04:00.0", 1,
     ["reason unlisted:",
      "0000:00:1d.0 root port acs: SrcValid ReqRedir CmpltRedir UpstreamFwd\n"],
     ["no-upstream-forwarding", "ECAP_ACS+6.w=10:10"]),
    ("nested-switches", "-c other path 34:00.0 31:00.0", 0,
     ["a kernel with p2pdma policies", "pci=disable_acs_redir=0000:2e:10.0;0000:2e:00.0\n",
      "stock Linux counts every port",
      "pci=disable_acs_redir=0000:30:00.0;0000:2e:00.0;0000:33:00.0;0000:2e:10.0"], []),
    ("unmovable", "path 04:00.0 05:00.0", 1,
     ["move 0000:05:00.0 to a slot below the switch 0000:01:00.0"], ["no slot", "disable_acs"]),
    ("unmovable", "path 00:04.0 03:00.0", 1,
     ["0000:00:04.0 fits no slot of a PCI Express switch: use a card in its place"],
     ["move 0000", "put both"]),
    ("unmovable", "path 03:00.0 00:1f.0", 1, ["0000:00:1f.0 fits no slot"],
     ["move 0000", "put both"]),
    ("unmovable", "path 00:01.0 00:02.0", 1, ["p2pdma.allow"],
     ["move 0000", "put both", "no slot"]),
    ("unmovable", "path 05:00.1 03:00.0", 1,
     ["move 0000:05:00.0 to a slot below the switch 0000:01:00.0, where the other is",
      "all virtual functions of 0000:05:00.0 move, too"], ["move 0000:05:00.1"]),
    ("redirecting", "path 05:00.0 03:00.0", 1,
     ["move 0000:05:00.0 to a slot below the switch 0000:01:00.0, where the other is, and let its "
      "ports not redirect", "pci=disable_acs_redir=0000:02:00.0;0000:02:01.0\n",
      r"pci=disable_acs_redir=0000:02:00.0\;0000:02:01.0",
      "isolation: these reach each other past the IOMMU: 0000:03:00.0",
      "bus numbers may change with the move"], []),
    ("two-switches", "path 07:00.0 03:00.0", 1,
     ["move 0000:03:00.0 to a slot below the switch 0000:05:00.0, where the other is\n"],
     ["move 0000:07:00.0", "disable_acs_redir"]),
    ("workstation", "-c other path 13:00.0 03:00.0", 1,
     ["let its ports not redirect",
      "pci=disable_acs_redir=0000:02:00.0;0000:02:01.0;0000:02:02.0;0000:02:03.0\n"], []),
    ("managed", "path 10000:01:00.0 10000:02:00.0", 1,
     ["What can be done:\n * turn VMD off: then the host bridge of the processor decides\n",
      "\n in the setup of the firmware:\n VMD (Intel Volume Management Device): Disabled\n",
      "put both below one"], ["or in the setup"]),
    ("managed", "path 01:00.0 10000:02:00.0", 1, ["turn VMD off"], []),
    ("managed-unlisted", "path 10000:01:00.0 10000:02:00.0", 1, ["put both"], ["turn VMD off"]),
    ("managed-unlisted", "path 01:00.0 10000:02:00.0", 1, ["put both"], ["turn VMD off"]),
    ("managed", "check 10001:01:00.0 10000:02:00.0", 1, ["none (unlisted"], ["unknown"]),
    ("managed", "check 10000:02:00.0 10001:01:00.0", 1, ["none (unlisted"], ["unknown"]),
    ("managed", "check --kernel stock 10001:01:00.0 10000:02:00.0", 1, ["none (unlisted"],
     ["unknown"]),
    ("managed", "check --kernel stock 10001:01:00.0 01:00.0", 3, ["unknown (incomplete"], []),
    *[(name, f"-c other path {pair}", 1, ["a virtual machine", "hypervisor"],
       ["p2pdma.allow", "or another machine"])
      for name, pair in [("cloud-hypervisor", "00:05.0 00:06.0"), ("virtualbox", "00:05.0 00:06.0"),
                         ("hyper-v", "00:05.0 00:06.0"), ("lone", "0001:00:00.0 0002:00:00.0")]],
    ("microsoft-card", "-c other path 00:05.0 00:06.0", 1, ["p2pdma.allow"], ["virtual machine"]),
    ("lone-below-hidden-port", "-c other path 0001:01:00.0 0002:01:00.0", 3,
     ["what is above"], ["virtual machine"]),
    ("lone-beside-port", "-c other path 0001:00:00.0 0002:00:00.0", 1, ["p2pdma.allow"],
     ["virtual machine"]),
    ("half-read", "path 03:00.0 04:00.0", 1,
     ["reason needs-root: the reason depends on access control, and without root",
      "0000:00:1d.0 root port acs: not readable\n",
      "dump configuration space as root", "0000:02:00.0;0000:02:01.0"],
     ["does not forward", "no-upstream-forwarding"]),
    ("all-read", "path 03:00.0 04:00.0", 1, ["reason unlisted:"], ["needs-root"]),
]


def lay_out(name, cases, folder):
    """Write a machine into a folder."""
    if name in MACHINES:
        (folder / name).write_text(dump_functions(MACHINES[name]()), encoding="ascii")
    else:
        shutil.copy(cases / name, folder / name)


def squeeze(text):
    """Replace each run of spaces by one space."""
    return re.sub(" +", " ", text)


def check(stage, name, words, wanted, texts, banned):
    """The output of the command has all expected texts and no unexpected text."""
    status, text, messages = stage.call(name, *words.split())
    text = squeeze(text)
    problems = [f"no {each!r}" for each in texts if squeeze(each) not in text]
    problems += [f"has {each!r}" for each in banned if squeeze(each) in text]
    if status != wanted:
        problems.append(f"status {status}, not {wanted}")
    if problems:
        raise ktap.Failure("\n".join([*problems, text + messages]))
