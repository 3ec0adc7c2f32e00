# SPDX-License-Identifier: GPL-2.0
"""What people send instead of a clean dump: packed, quoted, wrapped, cut off, or text."""
import gzip
import json
import lzma
import pathlib
import random
import re
import shutil
import subprocess
import textwrap

from riglib import ktap
import machines

CASES = pathlib.Path(__file__).resolve().parent / "cases"

# name of the input, arguments, exit status, text in the output, text not in the output
GIVEN = [
    ("bom", "-c other check 1a:00.0 1b:00.0", 0, ["host-bridge (listed"], ["left out"]),
    ("nn-text", "-c other check 02:00.0 02:00.1", 3,
     ["no bus numbers and no configuration space", "sudo lspci -D -xxxx"], ["none"]),
    ("nn-text", "matrix", 3, ["no bus numbers"], []),
    ("packed.gz", "matrix", 0, ["0000:1e:00.0", " H4", "computed"], ["  ?  0000"]),
    ("partial-endpoints", "-c other path 1a:00.0 1b:00.0", 3,
     ["unknown", "what is above 0000:1a:00.0", "dump the whole machine"],
     ["none", "10de:1db5,", "p2pdma.allow"]),
    ("port-all-ones", "-c other path 1a:00.0 1b:00.0", 3, ["unreadable", "0000:19:04.0"],
     ["host-bridge"]),
    ("port-all-ones", "-c other check 1c:00.0 1b:00.0", 0, ["host-bridge (listed"], []),
    ("snapshot-without-bridges.tree", "path 0004:05:00.0 0004:06:00.0", 3,
     ["unknown", "what is above 0004:05:00.0"], ["none", "p2pdma.allow"]),
    ("stdin-pipe", "-c other check 1a:00.0 1b:00.0", 0, ["host-bridge (listed"], []),
    ("tabs", "-c other check 1a:00.0 1b:00.0", 0, ["host-bridge (listed"], []),
    ("vvv-text", "-c other path 02:00.0 02:00.1", 0,
     ["direct (computed), distance 2", "0000:00:03.0  root port  acs: all off", "BCM5720"],
     ["none", "p2pdma.allow"]),
]

# What is no dump: its text, and what the message has to say.
REFUSED = [
    ("-[0000:00]-+-00.0  Intel Corporation Device 09a2\n           +-01.0-[01]----00.0  NVIDIA\n",
     "tree of lspci -t"),
    ("\tGPU0\tGPU1\tmlx5_0\tCPU Affinity\nGPU0\t X \tPIX\tSYS\t0-31\nGPU1\tPIX\t X \tSYS\t0-31\n",
     "nvidia-smi topo"),
    ("[    0.512345] pci 0000:00:00.0: [8086:09a2] type 00 class 0x060000\n"
     "[    0.512399] pci 0000:00:01.0: PCI bridge to [bus 01]\n", "kernel log"),
    ("Slot:\t00:00.0\nClass:\tHost bridge\nVendor:\tIntel Corporation\n", "lspci -m"),
    ("It does not work, please help.\n", "no PCI function"),
    ("", "no PCI function"),
]


def _spaced(text):
    return text.replace("\n", "\n\n")


def _wrapped(text):
    return "\n".join(part for line in text.split("\n")
                     for part in (textwrap.wrap(line, 60, break_long_words=False) or [""]))


def _quoted(text):
    return "".join(f"> {line}\n" for line in text.splitlines())


def _utf16(text):
    return b"\xff\xfe" + text.encode("utf-16-le")


# Ways in which a dump arrives. None of the ways changes an answer.
DISGUISES = {
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "bom": lambda text: "\ufeff" + text,
    "utf16": _utf16,
    "tabs": lambda text: text.replace(": ", ":\t"),
    "no-break": lambda text: text.replace(" ", "\u00a0"),
    "quoted": _quoted,
    "quoted-twice": lambda text: _quoted(_quoted(text)),
    "html": lambda text: _quoted(text).replace(">", "&gt;"),
    "indented": lambda text: textwrap.indent(text, "    "),
    "fenced": lambda text: f"This is my machine:\n```\n{text.strip()}\n```\nThank you!\n",
    "glued": lambda text: f"[CODE]{text.strip()}\n[/CODE]\n",
    "glued-html": lambda text: f"<pre><code>{text.strip()}\n</code></pre>\n",
    "packed-twice": lambda text: gzip.compress(lzma.compress(text.encode())),
    "trailing": lambda text: text.replace("\n", "  \n"),
    "spaced": _spaced,
    "wrapped": _wrapped,
    "gzip": lambda text: gzip.compress(text.encode()),
    "gzip-parts": lambda text: b"".join(gzip.compress(part.encode())
                                        for part in (text[:99], text[99:])),
    "xz": lambda text: lzma.compress(text.encode()),
    "listed-before": lambda text: "".join(f"{line.split()[0]} Device\n" for line in
                                          text.splitlines() if _is_title(line)) + "\n" + text,
}


def _is_title(line):
    return line[:1].isalnum() and "." in line.split(" ")[0] and ":" in line.split(" ")[0]


def _write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def print_dump(source, *options):
    """Return what lspci prints of a dump."""
    if not shutil.which("lspci"):
        raise ktap.Skip("lspci is not installed")
    return subprocess.run(["lspci", "-F", source, *options], check=True, text=True,
                          capture_output=True).stdout


def _text(stage, name, *options):
    """Return what lspci prints of a machine, without domains that lspci does not know."""
    source = stage.folder / f"{name}.for-lspci"
    blocks = machines.dump(name).split("\n\n")
    source.write_text("\n\n".join(block for block in blocks if not block.startswith("10000:")))
    return print_dump(source, *options)


def write_texts(stage):
    """Write the texts of lspci that the fuzzer spoils."""
    for name in machines.MACHINES:
        for options in (["-nn", "-vvv"], ["-vvx"]):
            path = stage.folder / f"{name}{''.join(options)}.text"
            path.write_text(_text(stage, name, *options))


def given(stage):
    """The inputs of cases/ get the answers that a person found right."""
    for name, words, wanted, there, absent in GIVEN:
        if name.endswith(".tree"):
            source = ["-s", stage.unpack(CASES / name) / "sys"]
        elif name.endswith(".gz"):
            path = stage.folder / name
            path.write_bytes(gzip.compress((CASES / "stdin-pipe").read_bytes()))
            source = ["-l", path]
        else:
            source = ["-l", CASES / name]
        status, text, messages = stage.run("-n", *source, *words.split())
        said = text + messages
        if status != wanted or not all(part in said for part in there) or \
                any(part in said for part in absent):
            raise ktap.Failure(f"{name}: {words}: status {status}, not {wanted}\n{said}")


def disguised(stage):
    """A dump or a text says the same, however it arrives."""
    sources = {"server": machines.dump("server"), "desktop": machines.dump("desktop"),
               "text": _text(stage, "server", "-nn", "-vvv"),
               "mixed": _text(stage, "server", "-nn", "-vvx")}
    wrong = []
    for name, text in sources.items():
        _write(stage.folder / "plain", text)
        plain = stage.verdicts("plain")
        for disguise, change in DISGUISES.items():
            _write(stage.folder / "disguised", change(text))
            try:
                same = stage.verdicts("disguised") == plain
            except (ktap.Failure, ValueError) as failure:
                same = False
                print(f"# {failure}")
            if not same:
                wrong.append(f"{name}: {disguise}")
    if wrong:
        raise ktap.Failure("not the same answers: " + ", ".join(wrong))


def piped(stage):
    """Standard input and pipes are read; a directory and a block device are named as such."""
    text = machines.dump("server")
    words = ["-n", "-c", "other", "check", "18:00.0", "1a:00.0"]
    for source in ("-", "/dev/stdin", "/dev/fd/0"):
        status, said, messages = stage.run("-l", source, *words, given=text.encode())
        if status or "host-bridge" not in said:
            raise ktap.Failure(f"{source}: status {status}: {said}{messages}")
    status, said, messages = stage.run("-l", "-", *words, given=gzip.compress(text.encode()))
    if status:
        raise ktap.Failure(f"packed, through a pipe: {messages}")
    status, said, messages = stage.run("-l", stage.folder, *words)
    if status != 2 or "directory" not in messages:
        raise ktap.Failure(f"a directory: status {status}: {messages}")


def verbose(stage):
    """The text of lspci gives the verdicts of the bytes, or unknown where it lacks something."""
    for name in ("server", "desktop"):
        full = stage.verdicts(name)
        for options in (["-nn", "-vvv"], ["-nn", "-vv"], ["-n", "-vv"], ["-vvv"], ["-D", "-vv"],
                        ["-vvx"], ["-vvxxx"], ["-vvvxxxx"], ["-v"], ["-nnvx"]):
            _write(stage.folder / "text", _text(stage, name, *options))
            same = 0
            for pair, verdict in stage.verdicts("text").items():
                was = full[pair if pair in full else tuple("0000:" + each for each in pair)]
                same += verdict == was
                if verdict not in ("unknown", was):
                    raise ktap.Failure(f"{name} {options}: {pair}: {verdict}, not {was}")
            # Without the IDs the host bridges are unknown, and without -vv the registers.
            few = "n" not in "".join(options) or "vv" not in "".join(options)
            if not few and same < len(full) / 2:
                raise ktap.Failure(f"{name} {options}: only {same} of {len(full)} are the same")


def classes(stage):
    """A text tells the class of every function, as the bytes do, and what the class tells."""
    for name in machines.MACHINES:
        _write(stage.folder / "bytes", machines.dump(name))
        known = json.loads(stage.call("bytes", "-j", "matrix", "--all", "--vfs")[1])
        wanted = {each["bdf"]: each["class"] for each in known["functions"]}
        for options in (["-nn", "-vvv"], ["-n", "-vv"], ["-vvv"]):
            _write(stage.folder / "text", _text(stage, name, "-D", *options))
            status, said, messages = stage.call("text", "-j", "matrix", "--all", "--vfs")
            if status:
                raise ktap.Failure(f"{name} {options}: status {status}: {messages}")
            report = json.loads(said)
            # The vendor makes a function an FPGA.
            wrong = {each["bdf"]: each["class"] for each in report["functions"]
                     if each["class"] != wanted[each["bdf"]] and
                     ("-n" in options[0] or wanted[each["bdf"]] != "fpga")}
            if wrong:
                raise ktap.Failure(f"{name} {options}: {wrong}")
            machine = report["machine"]
            if "-nn" in options and any(machine[each] != known["machine"][each]
                                        for each in ("cpu", "virtual")):
                raise ktap.Failure(f"{options}: {machine}, not {known['machine']}")
    status, said, messages = stage.run("-l", CASES / "vvv-text", "matrix")
    if status or "02:00.1" not in said:
        raise ktap.Failure(f"matrix: status {status}: {said}{messages}")


def many_alike(stage):
    """A text of as many functions as a machine may have is read in seconds."""
    body = ("\tControl: I/O- Mem+ BusMaster+\n\tStatus: Cap+\n"
            "\tCapabilities: [60] Express (v1) Endpoint, MSI 00\n\t\tDevCap: x\n\t\tDevCtl: x\n"
            "\t\tDevSta: x\n\t\tLnkCap: Port #1\n\t\tLnkCtl: x\n\t\tLnkSta: y\n\n")
    _write(stage.folder / "alike", "".join(
        f"{bus:02x}:{slot >> 3:02x}.{slot & 7} Ethernet controller [0200]: Like [15b3:101e]\n{body}"
        for bus in range(1, 64) for slot in range(256)))
    status, said, messages = stage.call("alike", "-c", "other", "check", "01:00.0", "02:00.0")
    if status != 3:
        raise ktap.Failure(f"status {status}: {said}{messages}")


def _quirks():
    """Return machines with a quirk: functions, a pair, and the answer without IDs is known."""
    Function, endpoint = machines.Function, machines.ENDPOINT
    for ids, known in (("8086:1521", False), ("14e4:d714", False), ("14e4:165f", True),
                       ("144d:a824", True)):
        yield [Function("00:00.0", "8086:6f00", "host"),
               Function("00:01.0", "8086:6f02", "bridge", machines.ROOT_PORT,
                        (machines.ISOLATED, 0), buses=(1, 1)),
               *(Function(f"01:00.{at}", ids, "net", endpoint, many=True) for at in range(2))], \
            ("0000:01:00.0", "0000:01:00.1"), known
    for host, port in (("8086:2f00", "8086:8d10"), ("1def:e100", "1def:e005")):
        yield [Function("00:00.0", host, "host"),
               Function("00:1c.0", port, "bridge", machines.ROOT_PORT, buses=(1, 4)),
               Function("01:00.0", "10b5:9797", "bridge", machines.UPSTREAM, buses=(2, 4)),
               *(Function(f"02:0{at}.0", "10b5:9797", "bridge", machines.DOWNSTREAM,
                          (machines.ISOLATED, machines.ISOLATED), buses=(3 + at, 3 + at))
                 for at in range(2)),
               *(Function(f"0{3 + at}:00.0", "144d:a808", "nvme", endpoint) for at in range(2))], \
            ("0000:03:00.0", "0000:04:00.0"), False


def quirks(stage):
    """Names without IDs give no verdict where a function of the name may have a quirk."""
    wrong = []
    for functions, pair, known in _quirks():
        _write(stage.folder / "bytes", "".join(each.dump() for each in functions))
        full = stage.verdicts("bytes")[pair]
        for options, wanted in ((["-nn", "-vvv"], True), (["-vvv"], known)):
            _write(stage.folder / "text", print_dump(stage.folder / "bytes", "-D", *options))
            verdict = stage.verdicts("text")[pair]
            if verdict != (full if wanted or full == "unknown" else "unknown"):
                wrong.append(f"{functions[-1].ids} {options}: {verdict}; the bytes say {full}")
    text = (CASES / "vvv-text").read_text(encoding="utf-8").replace("BCM5720", "BCM57209")
    _write(stage.folder / "text", text)
    status, said, _ = stage.call("text", "-c", "other", "path", "02:00.0", "02:00.1")
    if status != 3 or "lspci -nn shows" not in said:
        wrong.append(f"a name that pci.ids lacks: status {status}: {said}")
    if wrong:
        raise ktap.Failure("\n".join(wrong))


def odd_lines(stage):
    """A line with another end than most is read up to where it differs."""
    text = (CASES / "vvv-text").read_text(encoding="utf-8")
    changed = text.replace("\tLatency: 0\n", "\tLatency: 0\n"
                           "\tRegion 0: I/O ports at 3000 [size=32]\n"
                           "\tRegion 1: Memory at <unassigned> (64-bit, prefetchable)\n"
                           "\tRegion 3: Memory\n")
    _write(stage.folder / "odd-lines", changed)
    _write(stage.folder / "no-end", text.replace("Express (v2)", "Express (v2"))
    words = ["-c", "other", "check", "02:00.0", "02:00.1"]
    if stage.call("odd-lines", *words)[0] or stage.call("no-end", *words)[0] != 3:
        raise ktap.Failure("odd-lines: " + "".join(stage.call("odd-lines", *words)[1:])
                           + "no-end: " + "".join(stage.call("no-end", *words)[1:]))


def egress_is_not_shown(stage):
    """Egress control that a text does not show makes the verdict unknown."""
    _write(stage.folder / "text", _text(stage, "server", "-nn", "-vvv"))
    status, said, messages = stage.call("text", "-c", "other", "--iommu", "off", "check",
                                        "9b:00.0", "9a:00.0")
    if status != 3 or "unknown" not in said:
        raise ktap.Failure(f"status {status}: {said}{messages}")


def two_machines(stage):
    """A file with two machines is refused, and the message has the line of the second."""
    for one, two in (("server", "desktop"), ("desktop", "desktop"), ("virtual", "server")):
        for join in ("", "\nAnd the other:\n\n"):
            first = machines.dump(one) + join
            second = machines.dump(two)
            if two == "server":
                second = second.replace("0000:0e:", "0000:01:")
            _write(stage.folder / "two", first + second)
            line = first.count("\n") + 1
            status, said, messages = stage.call("two", "matrix")
            if status != 3 or said or f"line {line}:" not in messages:
                raise ktap.Failure(f"{one}, {two}: status {status}, not line {line}: {said}"
                                   + messages)


def refused(stage):
    """Of a text that is no dump, the message says what it is and what to send."""
    for text, words in REFUSED:
        _write(stage.folder / "other", text)
        status, said, messages = stage.call("other", "matrix")
        if status != 3 or said or words not in messages or "lspci -D -xxxx" not in messages:
            raise ktap.Failure(f"{text!r}: status {status}: {said}{messages}")


def filtered(stage):
    """A text of which a filter left some kinds of lines says what the whole text says, or less."""
    wrong = []
    for name, options in (("server", ["-nn", "-vvv"]), ("server", ["-nn", "-v"]),
                          ("desktop", ["-nn", "-vvv"])):
        whole = _text(stage, name, *options)
        _write(stage.folder / "text", whole)
        full = stage.verdicts("text")
        for kept in ("Bus:|Express", "Bus:|Capabilities", "Bus:|Express|Control:",
                     "Bus:|Express|Status:", "Bus:|Express|Kernel", "Bus:|Express|LnkCap:|LnkSta:",
                     "Bus:|Dev|Lnk|Express", "Bus:"):
            chosen = re.compile(f"^[0-9a-f]|^$|{kept}")
            _write(stage.folder / "part", "".join(
                f"{line}\n" for line in whole.splitlines() if chosen.search(line)))
            wrong += [f"{name} {options}: {kept}: {pair}: {verdict}, not {full[pair]}"
                      for pair, verdict in stage.verdicts("part").items()
                      if verdict not in ("unknown", full[pair])]
    if wrong:
        raise ktap.Failure("\n".join(wrong))


def _without_control(text):
    """Return texts that lack lines of access control."""
    lines = text.splitlines(keepends=True)
    for at, line in enumerate(lines):
        if "Access Control Services" in line:
            yield "".join(lines[:at] + lines[at + 3:])
    yield "".join(line for line in lines if not re.search("Access Control|ACSC", line))
    rest = "".join(line for line in lines if "ACSC" not in line)
    for number in ("#0d", "Extended Capability ID 0xd"):
        yield rest.replace("Access Control Services", number)


def control_cut(stage):
    """Without the lines of access control a verdict is unknown, or as with these lines."""
    wrong = []
    for name in machines.MACHINES:
        whole = _text(stage, name, "-nn", "-vvv")
        _write(stage.folder / "text", whole)
        for rules in ([], ["--kernel", "stock"]):
            full = stage.verdicts("text", *rules)
            for turn, text in enumerate(_without_control(whole)):
                _write(stage.folder / "part", text)
                wrong += [f"{name}, {turn}, {rules}: {pair}: {verdict}, not {full[pair]}"
                          for pair, verdict in stage.verdicts("part", *rules).items()
                          if verdict not in ("unknown", full[pair]) and pair[0] != pair[1]]
    if wrong:
        raise ktap.Failure("\n".join(wrong))


def ends(stage):
    """The last function is whole if something shows its end, and unknown otherwise."""
    text = (CASES / "vvv-text").read_text(encoding="utf-8").rstrip("\n")
    driver = "\tKernel driver in use: tg3"
    wrong = []
    for end, wanted in (("", 3), ("\n", 3), ("\n\n", 0), (f"\n{driver}", 0), (f"\n{driver}\n", 0),
                        (f"\n{driver}\n\tKernel modules: tg3, x\n", 0),
                        ("\n\tKernel modules: tg3", 0), (f"\n{driver}\n[/CODE]\n", 0),
                        (f"\n{driver}[/CODE]", 0), ("\n[/CODE]", 0), ("\n[/code]\n", 0),
                        ("\n</pre>\n", 0), ("\n\tKernel driv", 3), ("[/CODE]", 3),
                        (f"\n{driver}\n\tCapabilities: [90] MSI", 3)):
        _write(stage.folder / "end", text + end)
        status, said, _ = stage.call("end", "-c", "other", "check", "02:00.0", "02:00.1")
        if status != wanted:
            wrong.append(f"{end!r}: status {status}, not {wanted}: {said}")
    if wrong:
        raise ktap.Failure("\n".join(wrong))


def _blocks(lines):
    """Return the lines of each function as lists."""
    blocks = [[]]
    for line in lines:
        if _is_title(line):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _cut(chance, text):
    """Return a part of a text, and the way in which it was cut."""
    lines = text.splitlines()
    blocks = _blocks(lines)
    at, to = sorted(chance.randrange(len(lines) + 1) for _ in range(2))
    keep = chance.choice([0.1, 0.5, 0.9, 0.98, 0.995])
    way = chance.choice(["prefix", "suffix", "middle", "hole", "characters", "lines", "functions",
                         "shuffled lines", "shuffled functions", "class", "one function"])
    if way == "characters":
        return way, text[:chance.randrange(len(text) + 1)]
    if way == "class":
        word = chance.choice(["Capabilities", "ACS", "Bus:", "bridge", "00:", "10:", "Status",
                              "Express", "", "DevC"])
        lines = [line for line in lines if word not in line.strip()[:16]] if word else \
            [line for line in lines if line]
    elif way in ("shuffled lines", "shuffled functions"):
        chosen = lines if way.endswith("lines") else blocks
        chance.shuffle(chosen)
        lines = chosen if chosen is lines else [line for block in blocks for line in block]
    elif way in ("functions", "one function"):
        gone = chance.randrange(len(blocks))
        lines = [line for at, block in enumerate(blocks)
                 if (at != gone if way == "one function" else chance.random() < keep)
                 for line in block]
    else:
        lines = {"prefix": lines[:at], "suffix": lines[at:], "middle": lines[at:to],
                 "hole": lines[:at] + lines[min(to, at + chance.randrange(1, 60)):],
                 "lines": [line for line in lines if chance.random() < keep]}[way]
    return f"{way} {at} {to} {keep}", "\n".join(lines) + "\n"


def cuttings(stage, count, seed):
    """Less of a dump makes a verdict unknown, or leaves it: never none or direct instead."""
    chance = random.Random(seed)
    texts = [machines.dump(name, length) for name in machines.MACHINES
             for length in (64, 256, 4096)]
    texts += [_text(stage, name, *options) for name in machines.MACHINES
              for options in (["-nn", "-vvv"], ["-vv"], ["-vvx"])]
    texts += [(CASES / name).read_text(encoding="utf-8-sig") for name in ("stdin-pipe", "vvv-text")]
    whole = []
    for text in texts:
        _write(stage.folder / "whole", text)
        whole.append([stage.verdicts("whole", *rules) for rules in ([], ["--kernel", "stock"])])
    for turn in range(count):
        at = chance.randrange(len(texts))
        way, text = _cut(chance, texts[at])
        _write(stage.folder / "part", text)
        rules = ["--kernel", "stock"] if turn % 4 == 3 else []
        status, said, messages = stage.call("part", "--cpu", "other", "-j", "matrix", "--all",
                                            "--vfs", *rules)
        if status == 3 or not said:
            continue
        for pair, verdict in stage.pairs(json.loads(said)).items():
            # A function reaches itself, also where it is a bridge that the matrix leaves out.
            if verdict not in ("unknown", whole[at][bool(rules)].get(pair)) and pair[0] != pair[1]:
                was = whole[at][bool(rules)].get(pair)
                raise ktap.Failure(f"seed {seed}, turn {turn}, text {at}, {way}, {rules}: {pair}: "
                                   f"{verdict}, with all of it {was}\n{messages}")
