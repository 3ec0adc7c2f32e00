# SPDX-License-Identifier: GPL-2.0
"""Parts of a machine that are dead, cut off or left out change no known verdict."""
import shutil

from riglib import ktap

import machines
from machines import CR, DT, EC, ENDPOINT, ISOLATED, ROOT_PORT, RR, SV, TB, UF, Function

HOST, PAIR = "8086:09a2", ("0000:01:00.0", "0000:02:00.0")


def _ports(host=HOST, ids="8086:347a", acs=(ISOLATED, ISOLATED), **endpoint):
    """Return two root ports with a drive below each."""
    return [Function("0000:00:00.0", host, "host"),
            *(Function(f"0000:00:0{port}.0", ids, "bridge", ROOT_PORT, acs, port=port,
                       buses=(port, port)) for port in (1, 2)),
            *(Function(f"0000:0{port}:00.0", "144d:a824", "nvme", ENDPOINT, **endpoint)
              for port in (1, 2))]


def _copy(stage, functions):
    """Write a copy of sysfs; return its directory."""
    path = stage.folder / "seen"
    shutil.rmtree(path, ignore_errors=True)
    machines.lay_out(functions, path / "sys")
    return path


def _dump(stage, functions):
    (stage.folder / "seen.dump").write_text(machines.dump_functions(functions), "ascii")
    return "seen.dump"


def _expect(stage, name, wanted, *options, pair=PAIR):
    status, said, _ = stage.call(name, *options, "check", *pair)
    if wanted not in said.partition("\n")[0]:
        raise ktap.Failure(f"{options}: status {status}: {said} instead of {wanted}")


def function_groups(stage):
    """Function 0 of the bus tells what egress control counts."""
    able = (RR | CR | EC, RR | EC)
    functions = [
        Function("0000:00:00.0", HOST, "host"),
        Function("0000:00:01.0", "8086:347a", "bridge", ROOT_PORT, buses=(1, 1), ari=True),
        Function("0000:01:00.0", "144d:a824", "nvme", ENDPOINT, able, many=True),
        Function("0000:01:00.1", "144d:a824", "nvme", ENDPOINT, able, many=True),
        Function("0000:01:00.2", "144d:a824", "nvme", ENDPOINT, able, many=True)]
    for first, wanted in ((2, "direct"), (3, "unknown")):
        name = _dump(stage, functions[:2] + functions[first:])
        _expect(stage, name, f": {wanted}", "--cpu", "other", "--iommu", "off",
                pair=("0000:01:00.1", "0000:01:00.2"))


def dead_neighbour(stage):
    """A device that answers all ones is no sign that the host bridge translates."""
    able = (ISOLATED | DT, ISOLATED | DT)
    functions = [Function("0000:00:00.0", HOST, "host"),
                 Function("0000:00:01.0", "8086:347a", "bridge", ROOT_PORT, able, buses=(1, 5)),
                 *machines.switch("0000:01:00.0", (2, 5), 3, able),
                 *(Function(f"0000:0{bus}:00.0", "144d:a824", "nvme", ENDPOINT, ats=True)
                   for bus in (3, 4, 5))]
    path = _copy(stage, functions)
    (path / "sys/bus/pci/devices/0000:05:00.0/config").write_bytes(b"\xff" * 4096)
    _expect(stage, path.name, "host-bridge (listed", "--cpu", "other", "--iommu", "on",
            pair=("0000:03:00.0", "0000:04:00.0"))


def part_of_cpuinfo(stage):
    """Without a whole line with the family, an AMD processor may be one that routes."""
    path = _copy(stage, _ports("19e5:a121", "19e5:a120"))
    (path / "proc").mkdir()
    for text, wanted in (("vendor_id\t: AuthenticAMD\n", "unknown"),
                         ("vendor_id\t: Authentic", "unknown"),
                         ("vendor_id\t: AuthenticAMD\ncpu family\t: 2", "unknown"),
                         ("vendor_id\t: AuthenticAMD\ncpu family\t: 25\n", "host-bridge (cpu"),
                         ("vendor_id\t: AuthenticAMD\ncpu family\t: 21\n", "none (unlisted"),
                         ("processor\t: 0\n", "unknown"), ("model name\t: EPYC\n", "unknown"),
                         ("vendor_id\t: GenuineIntel\n", "none (unlisted"),
                         ("processor\t: 0\nCPU implementer\t: 0x41\n", "none (unlisted")):
        (path / "proc/cpuinfo").write_text(text, encoding="ascii")
        _expect(stage, path.name, f": {wanted}")


def mask_without_links(stage):
    """Where links were not copied, a driver may have set the DMA mask that is there."""
    for linked, driver, wanted in ((True, True, "none (address-limit"),
                                   (True, False, "host-bridge (listed"),
                                   (False, False, "unknown (incomplete")):
        path = _copy(stage, _ports(mask=32, linked=linked, bar=0x2200000000))
        if not driver:
            for folder in (path / "sys/bus/pci/devices").iterdir():
                (folder / "driver").unlink(missing_ok=True)
        _expect(stage, path.name, f": {wanted}", "--cpu", "other", "--iommu", "off")


def guest_on_amd(stage):
    """The host bridge of Cloud Hypervisor tells nothing of the processor."""
    functions = [Function("0000:00:00.0", "8086:0d57", "host"),
                 *(Function(f"0000:00:0{slot}.0", "144d:a824", "nvme") for slot in (2, 3))]
    _expect(stage, _dump(stage, functions), ": unknown (processor-unknown",
            pair=("0000:00:02.0", "0000:00:03.0"))


def first_function_dead(stage):
    """A first function that answers all ones identifies no host bridge."""
    functions = _ports("8086:2030", "8086:2031")
    name = _dump(stage, functions)
    text = (stage.folder / name).read_text(encoding="ascii")
    _expect(stage, name, ": host-bridge (listed", "--cpu", "other")
    dead = "\n".join(f"{at:02x}: " + " ".join(["ff"] * 16) for at in range(0, 64, 16))
    (stage.folder / name).write_text(
        f"0000:00:00.0 host: 8086:2030\n{dead}\n\n" + text.partition("\n\n")[2], encoding="ascii")
    _expect(stage, name, ": unknown", "--cpu", "other")


def policies_not_copied(stage):
    """A kernel with policies may have one that was not copied."""
    path = _copy(stage, _ports())
    (path / "sys/bus/pci/p2pdma_rescan").touch()
    _expect(stage, path.name, ": unknown (incomplete", "--cpu", "other", "--iommu", "off")
    bridges = [path / "sys/devices/pci0000:00", *(path / "sys/devices/pci0000:00").glob("*:0[12].0")]
    for bridge in bridges:
        (bridge / "p2pdma").mkdir()
        (bridge / "p2pdma/capability").write_text("spec\n" if bridge != bridges[0] else "listed\n")
        (bridge / "p2pdma/policy").write_text("[auto] deny\n", encoding="ascii")
    _expect(stage, path.name, ": host-bridge (listed", "--cpu", "other", "--iommu", "off")
    # Some programs copy a link as a directory.
    devices = path / "sys/bus/pci/devices"
    (bridges[0] / "p2pdma/policy").write_text("auto allow [deny]\n", encoding="ascii")
    for link in list(devices.iterdir()):
        config = (link / "config").read_bytes()
        capability = link / "p2pdma/capability"
        word = capability.read_text(encoding="ascii") if capability.exists() else None
        link.unlink()
        (link / "p2pdma").mkdir(parents=True)
        (link / "config").write_bytes(config)
        (link / "subsystem").symlink_to("../..")
        if word:
            (link / "p2pdma/capability").write_text(word, encoding="ascii")
    _expect(stage, path.name, ": none (policy", "--cpu", "other", "--iommu", "off")


def first_entry_not_copied(stage):
    """The directory of the host bridge shows whether a function comes before the first."""
    for directory, wanted in ((True, ": unknown (incomplete"), (False, ": none (unlisted")):
        path = _copy(stage, _ports())
        folder = (path / "sys/bus/pci/devices/0000:00:00.0").resolve()
        (path / "sys/bus/pci/devices/0000:00:00.0").unlink()
        if not directory:
            shutil.rmtree(folder)
        _expect(stage, path.name, wanted, "--cpu", "other")


def bridge_without_header(stage):
    """A function with functions below is a bridge, and may be a port that blocks."""
    functions = [Function("0000:00:00.0", HOST, "host"),
                 Function("0000:00:01.0", "8086:347a", "bridge", ROOT_PORT, (ISOLATED, ISOLATED),
                          buses=(1, 3)),
                 *machines.switch("0000:01:00.0", (2, 3), 1, (ISOLATED | TB, ISOLATED | TB)),
                 Function("0000:03:00.0", "144d:a824", "nvme", ENDPOINT, ats=True),
                 Function("0000:00:02.0", "8086:347a", "bridge", ROOT_PORT, (ISOLATED, ISOLATED),
                          port=2, buses=(4, 4)),
                 Function("0000:04:00.0", "144d:a824", "nvme", ENDPOINT)]
    pair, options = ("0000:03:00.0", "0000:04:00.0"), ("--cpu", "other", "--iommu", "on")
    path = _copy(stage, functions)
    _expect(stage, path.name, ": none (translated-requests", *options, pair=pair)
    (path / "sys/bus/pci/devices/0000:02:00.0/config").unlink()
    _expect(stage, path.name, ": unknown", *options, pair=pair)


def type_of_a_port(stage):
    """The kernel corrects a downstream port that is directly below another."""
    functions = [Function("0000:00:00.0", HOST, "host"),
                 Function("0000:00:01.0", "8086:347a", "bridge", ROOT_PORT, (ISOLATED, ISOLATED),
                          buses=(1, 4)),
                 *machines.switch("0000:01:00.0", (2, 4), 2, (ISOLATED, ISOLATED)),
                 Function("0000:03:00.0", "144d:a824", "nvme", ENDPOINT),
                 Function("0000:04:00.0", "144d:a824", "nvme", ENDPOINT)]
    functions[2].pcie = machines.DOWNSTREAM
    _expect(stage, _dump(stage, functions), ": host-bridge (listed", "--cpu", "other", "--iommu",
            "off", pair=("0000:03:00.0", "0000:04:00.0"))


def host_bridge_unsure(stage):
    """A port that comes first in a part may not be the first of the whole."""
    functions = _ports("19e5:a121", "10de:2f95")
    _expect(stage, _dump(stage, functions), ": none (unlisted", "--cpu", "other")
    name = _dump(stage, functions[1:])
    for kernel in ("ours", "stock"):
        status, said, _ = stage.call(name, "--cpu", "other", "check", "--kernel", kernel, *PAIR)
        if status != 3:
            raise ktap.Failure(f"{kernel}: status {status}: {said}")


def remedies_help(stage):
    """A remedy is offered only where the route is another with it."""
    blocks = (SV | RR | CR | UF | EC, EC)
    for host, wanted in ((HOST, True), ("19e5:a121", False)):
        functions = _ports(host, "19e5:a120", blocks)
        functions[1].vector = functions[2].vector = 0xffffffff
        said = stage.call(_dump(stage, functions), "--cpu", "other", "--iommu", "off", "path",
                          *PAIR)[1]
        if "blocks peer traffic" not in said or ("turn egress control off" in said) != wanted \
                or "past the IOMMU:\n" in said:
            raise ktap.Failure(f"{host}:\n{said}")
    # A port that isolates by design, beside one that redirects.
    able = (ISOLATED, ISOLATED)
    functions = [Function("0000:00:00.0", HOST, "host"),
                 Function("0000:00:01.0", "8086:347a", "bridge", ROOT_PORT, able, buses=(1, 4)),
                 *machines.switch("0000:01:00.0", (2, 4), 2, able),
                 Function("0000:03:00.0", "144d:a824", "nvme", ENDPOINT),
                 Function("0000:04:00.0", "144d:a824", "nvme", ENDPOINT)]
    functions[4].acs, functions[4].ids = None, "1dbf:0401"
    said = stage.call(_dump(stage, functions), "--cpu", "other", "--iommu", "off", "path",
                      "03:00.0", "04:00.0")[1]
    if "by design" not in said or "let the ports turn peer traffic around" in said:
        raise ktap.Failure(said)


TESTS = [remedies_help, function_groups, dead_neighbour, part_of_cpuinfo, mask_without_links, guest_on_amd,
         first_function_dead, policies_not_copied, first_entry_not_copied, bridge_without_header,
         type_of_a_port, host_bridge_unsure]
