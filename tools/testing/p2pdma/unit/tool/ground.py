# SPDX-License-Identifier: GPL-2.0
"""Tests of inputs that lack a function, or contradict themselves: no verdict without ground."""
import json

from riglib import ktap
import inputs
import machines

PAIR = ("0000:82:00.0", "0000:83:00.0")


def _second_socket(port, first=()):
    """Return functions of a root bus with two ports and a drive below each of the ports."""
    function = machines.Function
    return [function("0000:00:00.0", "8086:2f00", "host"), *first,
            *(function(f"0000:80:0{2 + at}.0", port, "bridge", machines.ROOT_PORT,
                       buses=(0x82 + at, 0x82 + at)) for at in range(2)),
            *(function(f"0000:8{2 + at}:00.0", "144d:a808", "nvme", machines.ENDPOINT)
              for at in range(2))]


def _verdict(stage, functions):
    (stage.folder / "ground").write_text("".join(each.dump() for each in functions))
    return stage.verdicts("ground", "-c", "other")[PAIR]


def first_function_cut(stage):
    """Without the first function of a root bus, the verdict is the same or unknown."""
    for port, host in (("8086:2f04", "8086:2f01"), ("8086:3c04", "8086:3c01"),
                       ("8086:0e04", "8086:0e01"), ("8086:6f04", "8086:6f01")):
        first = machines.Function("0000:80:00.0", host, "bridge", machines.ROOT_PORT,
                                  buses=(0x81, 0x81))
        whole = _verdict(stage, _second_socket(port, [first]))
        cut = _verdict(stage, _second_socket(port))
        if cut not in ("unknown", whole):
            raise ktap.Failure(f"{port}: {cut}; with the first function: {whole}")


def rival_bridges(stage):
    """Two bridges with the same bus below: one of both is wrong, and nothing tells which."""
    functions = _second_socket("8086:2f04", [machines.Function(
        "0000:80:00.0", "8086:2f01", "bridge", machines.ROOT_PORT, buses=(0x82, 0x82))])
    (stage.folder / "ground").write_text("".join(each.dump() for each in functions))
    status, text, _ = stage.call("ground", "-c", "other", "path", *PAIR)
    if status != 3 or "lead to the same bus" not in text:
        raise ktap.Failure(f"status {status}\n{text}")


def dead_in_text(stage):
    """A function that answers every read with all ones is called dead in a text, too."""
    text = "".join(f"{title}\n\t!!! Unknown header type 7f\n\n" for title in (
        "01:00.0 VGA compatible controller [0300]: NVIDIA Corporation AD102 [10de:2684] (rev ff) "
        "(prog-if ff)", "02:00.0 Non-Volatile memory controller [0108]: Samsung [144d:a808] "
        "(rev ff) (prog-if ff)"))
    (stage.folder / "ground").write_text(text)
    status, said, _ = stage.call("ground", "-c", "other", "path", "01:00.0", "02:00.0")
    if status != 3 or "answers every read with all ones" not in said:
        raise ktap.Failure(f"status {status}\n{said}")


def _sockets():
    """Return the bytes of a machine, of another with one other drive, and of a part."""
    functions = _second_socket("8086:2f04", [machines.Function(
        "0000:80:00.0", "8086:2f01", "bridge", machines.ROOT_PORT, buses=(0x81, 0x81))])
    whole = "".join(each.dump() for each in functions)
    fewer = "".join(each.dump() for each in functions[:-1])
    functions[-1].ids = "144d:a80a"
    other = "".join(each.dump() for each in functions)
    functions[-1].ids, functions[2].buses = "144d:a808", (0x84, 0x84)
    return whole, other, fewer, "".join(each.dump() for each in functions)


def text_and_bytes(stage):
    """The text and the bytes of one machine in one file are one machine, of two are refused."""
    whole, *others = _sockets()
    path = stage.folder / "bytes"
    path.write_text(whole)
    wanted = stage.verdicts("bytes", "-c", "other")
    for options in (["-nn"], []):
        text = inputs.print_dump(path, *options, "-D", "-vvv")
        for parts in ((text, whole), (whole, text)):
            (stage.folder / "ground").write_text("\n".join(parts))
            found = stage.verdicts("ground", "-c", "other")
            if found != wanted:
                raise ktap.Failure(f"{options}: {found}\nand from the bytes alone {wanted}")
        for parts in (*((text, other) for other in others), (whole, whole), (text, text)):
            (stage.folder / "ground").write_text("\n".join(parts))
            status, said, messages = stage.call("ground", "-c", "other", "path", *PAIR)
            if status != 3 or said or "a second list begins" not in messages:
                raise ktap.Failure(f"{options}: status {status}\n{said}{messages}")


def stock_listed(stage):
    """A host bridge listed for its own ports routes between these, whatever the processor is."""
    (stage.folder / "ground").write_text("".join(each.dump() for each in [
        machines.Function("0000:00:00.0", "1d17:1003", "host"),
        *(machines.Function(f"0000:00:0{at}.0", "1d17:0719", "bridge", machines.ROOT_PORT, (
            machines.ISOLATED, machines.ISOLATED), port=at, buses=(at, at)) for at in (1, 2)),
        *(machines.Function(f"0000:0{at}:00.0", "144d:a808", "nvme", machines.ENDPOINT)
          for at in (1, 2))]))
    for rules in "ours", "stock":
        status, said, _ = stage.call("ground", "-j", "check", "--kernel", rules, "01:00.0",
                                     "02:00.0")
        found = json.loads(said)["route"]
        if status or found["verdict"] != "host-bridge":
            raise ktap.Failure(f"{rules}: status {status}, {found}")


TESTS = [stock_listed, text_and_bytes, first_function_cut, rival_bridges, dead_in_text]
