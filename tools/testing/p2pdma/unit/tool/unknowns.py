# SPDX-License-Identifier: GPL-2.0
"""Several things are unknown at the same time: a verdict holds whatever they turn out to be."""
import dataclasses
import itertools
import json
import random
import shutil

from riglib import ktap

import machines

ROOT, UPSTREAM, DOWNSTREAM, ENDPOINT = (machines.ROOT_PORT, machines.UPSTREAM, machines.DOWNSTREAM,
                                        machines.ENDPOINT)
IOMMU = ((), ("--iommu", "on"), ("--iommu", "off"))
CPU = ((), ("--cpu", "amd-zen"), ("--cpu", "other"))


# Reasons that say what is unknown, where the verdict is the same all the same
OPEN = ("needs-root", "processor-unknown", "iommu-unknown", "incomplete")


def _verdicts(stage, name, *options):
    """Return pair -> (verdict, reason)."""
    status, text, messages = stage.call(name, *options, "-j", "matrix", "--all", "--vfs")
    if status not in (0, 3):
        raise ktap.Failure(f"{name} {options}: status {status}: {messages}")
    report = json.loads(text)
    names = [function["bdf"] for function in report["functions"]]
    return {(client, provider): (cell["verdict"], cell["reason"])
            for client, row in zip(names, report["rows"]) for provider, cell in zip(names, row)}


def _machine(chance):
    """Return the functions of two switches below root ports, with any access control."""
    bits = (machines.SV, machines.RR, machines.CR, machines.UF, machines.EC, machines.DT)

    def control():
        able = sum(bit for bit in bits if chance.random() < 0.7)
        return chance.choice((None, (able, able & chance.getrandbits(7))))

    # No function tells what processor this is.
    functions = [machines.Function("0000:00:00.0", "19e5:a121", "host")]
    bus = 1
    for port in range(2):
        last = bus + 4
        functions += [
            machines.Function(f"0000:00:0{port + 1}.0", "19e5:a120", "bridge", ROOT, control(),
                              port=port + 1, buses=(bus, last)),
            machines.Function(f"0000:{bus:02x}:00.0", "10b5:9797", "bridge", UPSTREAM,
                              buses=(bus + 1, last))]
        for slot in range(2):
            below = bus + 2 + slot
            functions.append(
                machines.Function(f"0000:{bus + 1:02x}:0{slot}.0", "10b5:9797", "bridge",
                                  DOWNSTREAM, control(), port=slot, buses=(below, below),
                                  ari=chance.random() < 0.5))
            functions += [
                machines.Function(f"0000:{below:02x}:0{number}.0", "144d:a824", "nvme", ENDPOINT,
                                  control(), many=many, ats=chance.random() < 0.5,
                                  translates=chance.random() < 0.7,
                                  mask=chance.choice((0, 32, 64)),
                                  group=chance.choice(("DMA-FQ", "identity", None)),
                                  bar=chance.choice((0xfe000000, 0x2200000000)))
                for many in [slot and chance.random() < 0.5] for number in range(1 + many)]
        bus = last + 1
    return functions


def _shorten(chance, functions):
    """Return the functions with only a part of each copied, as an ordinary user does, or by luck."""
    sizes = chance.choice(((64,), (4096, 64), (4096, 4096, 256, 64)))
    return [dataclasses.replace(each, copied=chance.choice(sizes),
                                linked=chance.random() < 0.8) for each in functions]


def _write(stage, copy, functions, whole):
    """Write a dump or a copy of sysfs. Return its name."""
    name = "worlds" if whole else "worlds-part"
    path = stage.folder / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if copy:
        machines.lay_out(functions, path / "sys")
    else:
        path.write_text("".join(machines.dump_functions([each], max(each.copied, 256))
                                for each in functions), encoding="ascii")
    return name


def _compare(turn, given, options, part, whole):
    """A verdict of a part is the verdict of the whole. Return the number of known verdicts."""
    known = 0
    for pair, (verdict, reason) in part.items():
        if verdict == "unknown":
            continue
        known += 1
        was, because = whole[pair]
        if verdict != was or reason not in (because, *OPEN):
            raise ktap.Failure(f"turn {turn}: {given}: {pair}: {verdict}, {reason}; "
                               f"with {options}: {was}, {because}")
    return known


def _may_be(copy, given, real):
    """Are these options true of a machine with those? A copy of sysfs tells of the IOMMU."""
    return given == real or (given == () and not copy)


def unknowns_together(stage):
    """What is known with parts missing holds in every machine that the whole may be."""
    chance = random.Random(4)
    known = [0, 0]
    for turn in range(60):
        copy = turn % 2
        functions = _machine(chance)
        name = _write(stage, copy, functions, True)
        whole = {real: _verdicts(stage, name, *sum(real, ()))
                 for real in itertools.product(IOMMU if copy else IOMMU[1:], CPU[1:])}
        name = _write(stage, copy, _shorten(chance, functions), False)
        for given in itertools.product(IOMMU, CPU):
            said = _verdicts(stage, name, *sum(given, ()))
            for real, verdicts in whole.items():
                if _may_be(copy, given[0], real[0]) and _may_be(False, given[1], real[1]):
                    known[copy] += _compare(turn, given, real, said, verdicts)
    print(f"# known verdicts: {known[0]} of dumps, {known[1]} of copies", flush=True)


def user_redirected(stage):
    """What an ordinary user reads may redirect, and through an IOMMU a small DMA mask does."""
    functions = _machine(random.Random(1))
    for each in functions:
        each.acs = (machines.ISOLATED, machines.ISOLATED) if each.pcie in (ROOT, DOWNSTREAM) else None
        each.mask, each.bar, each.ats = 32, 0x2200000000, False
    pair = [each.address for each in functions if each.kind == "nvme"][:2]
    machines.lay_out(functions, stage.folder / "redirected/sys")
    machines.lay_out([dataclasses.replace(each, copied=64) for each in functions],
                     stage.folder / "redirected.user/sys")
    options = ("--cpu", "amd-zen", "--iommu", "on")
    whole = _verdicts(stage, "redirected", *options)[tuple(pair)]
    said = _verdicts(stage, "redirected.user", *options)[tuple(pair)]
    if (whole[0], said[0]) != ("host-bridge", "unknown"):
        raise ktap.Failure(f"root: {whole}, an ordinary user: {said}")


TESTS = [unknowns_together, user_redirected]
