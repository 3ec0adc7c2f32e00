# SPDX-License-Identifier: GPL-2.0
"""Several things are unknown at the same time: a verdict holds whatever they turn out to be."""
import itertools
import json
import random

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
            functions += [
                machines.Function(f"0000:{bus + 1:02x}:0{slot}.0", "10b5:9797", "bridge",
                                  DOWNSTREAM, control(), port=slot, buses=(below, below)),
                machines.Function(f"0000:{below:02x}:00.0", "144d:a824", "nvme", ENDPOINT,
                                  ats=chance.random() < 0.5,
                                  translates=chance.random() < 0.7)]
        bus = last + 1
    return functions


def _short(chance, functions):
    """Dump each function whole or in part."""
    return "".join(machines.dump_functions([each], chance.choice((4096, 4096, 256)))
                   for each in functions)


def unknowns_together(stage):
    """What is known with parts missing holds in every machine that the whole may be."""
    chance = random.Random(4)
    known = 0
    for turn in range(40):
        functions = _machine(chance)
        for name, text in (("worlds", machines.dump_functions(functions)),
                           ("part", _short(chance, functions))):
            (stage.folder / name).write_text(text, encoding="ascii")
        whole = {options: _verdicts(stage, "worlds", *sum(options, ()))
                 for options in itertools.product(IOMMU[1:], CPU[1:])}
        for given in itertools.product(IOMMU, CPU):
            said = _verdicts(stage, "part", *sum(given, ()))
            for options, verdicts in whole.items():
                if any(word and word != real for word, real in zip(given, options)):
                    continue
                for pair, (verdict, reason) in said.items():
                    if verdict == "unknown":
                        continue
                    known += 1
                    was, because = verdicts[pair]
                    if verdict != was or reason not in (because, *OPEN):
                        raise ktap.Failure(f"turn {turn}: {given}: {pair}: {verdict}, {reason}; "
                                           f"with {options}: {was}, {because}")
    print(f"# {known} known verdicts", flush=True)


TESTS = [unknowns_together]
