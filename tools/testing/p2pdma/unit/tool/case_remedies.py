# SPDX-License-Identifier: GPL-2.0
"""Machines of users in cases/, and expected output.

Each entry: file in cases/, arguments, exit status, expected texts, unexpected texts. A run of
spaces counts as one space.
"""
import re

from riglib import ktap

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
]


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
