# SPDX-License-Identifier: GPL-2.0
"""Evidence from the emulated drives: the addresses of the payload.

QEMU traces every command when a drive starts the command, and every piece of memory that the drive
maps for the data of the command:

    pci_nvme_io_cmd ... opname 'NVME_NVM_CMD_READ'
    pci_nvme_map_addr addr 0x382000400000 len 4096
    pci_nvme_map_addr_cmb addr ...        (additional line for the drive's own memory)

Drives start commands in sequence, so a mapping belongs to the command before the mapping. Payload
is the data of reads, writes and compares. Queue entries and PRP lists are fetched without a mapping
and are not in the trace. Data of admin commands (such as an identify page) is not payload.
"""
import dataclasses
import re

PAYLOAD = {"NVME_NVM_CMD_READ", "NVME_NVM_CMD_WRITE", "NVME_NVM_CMD_COMPARE"}
LINE = re.compile(r"\bpci_nvme_(?P<event>io_cmd|admin_cmd|map_addr_cmb|map_addr)\b(?P<rest>.*)")
MAPPING = re.compile(r"addr 0x(?P<addr>[0-9a-f]+) len (?P<len>\d+)")
OPERATION = re.compile(r"opname '(?P<name>\w+)'")


@dataclasses.dataclass
class Evidence:
    """Bytes that drives moved to and from a peer's BAR, their own memory, and RAM."""
    peer_written: int = 0
    peer_read: int = 0
    own: int = 0
    ram: int = 0
    first_outside: str = None
    peer_pages: set = dataclasses.field(default_factory=set)

    def summary(self):
        return {"peer": self.peer_written + self.peer_read, "peer_written": self.peer_written,
                "peer_read": self.peer_read, "own": self.own, "ram": self.ram,
                "first_outside": self.first_outside, "peer_pages": len(self.peer_pages)}

    def add(self, operation, address, length, bar, own):
        """Count a piece of payload."""
        if address < bar[0] or address + length - 1 > bar[1]:
            self.ram += length
            self.first_outside = self.first_outside or hex(address)
        elif own:
            self.own += length
        else:
            # For a read command, the drive writes to memory.
            if operation == "NVME_NVM_CMD_READ":
                self.peer_written += length
            else:
                self.peer_read += length
            self.peer_pages.update(range(address >> 12, (address + length + 4095) >> 12))


def parse(lines, bar):
    """Sort the payload in LINES by kind of memory. BAR is (first, last) address of the provider."""
    seen = Evidence()
    operation, mapping = None, None

    def classify(own):
        if mapping and operation in PAYLOAD:
            seen.add(operation, *mapping, bar, own)

    for line in lines:
        match = LINE.search(line)
        if not match:
            continue
        # The event after a mapping tells whether the memory is the drive's own.
        classify(own=match["event"] == "map_addr_cmb")
        mapping = None
        if match["event"] in ("io_cmd", "admin_cmd"):
            operation = OPERATION.search(match["rest"])["name"]
        elif match["event"] == "map_addr":
            found = MAPPING.search(match["rest"])
            mapping = int(found["addr"], 16), int(found["len"])
    classify(own=False)
    return seen


COMMAND = re.compile(r"\bnsid (?P<nsid>0x[0-9a-f]+|\d+) .*opname '(?P<name>\w+)'")
DIRECTIONS = {"NVME_NVM_CMD_READ": "in", "NVME_NVM_CMD_WRITE": "out"}


def by_namespace(lines, bar, pages=()):
    """
    Return the bytes that each drive mastered: {nsid: {"in" or "out" of memory: {where: bytes}}}.

    WHERE is "peer" (inside of BAR), "buffer" (in PAGES, page frame numbers of RAM) or "elsewhere".
    "longest" is the longest piece elsewhere. The trace has no names of controllers, so the drives
    need different namespace numbers.
    """
    found, pages, current = {}, set(pages), None
    for line in lines:
        match = LINE.search(line)
        if not match or match["event"] == "map_addr_cmb":
            continue
        if match["event"] == "map_addr":
            if current:
                _count(current, MAPPING.search(match["rest"]), bar, pages)
            continue
        command = COMMAND.search(match["rest"])
        way = DIRECTIONS.get(command["name"]) if command else None
        current = None
        if way and match["event"] == "io_cmd":
            drive = found.setdefault(str(int(command["nsid"], 0)), {})
            current = drive.setdefault(way, {"peer": 0, "buffer": 0, "elsewhere": 0, "longest": 0})
    return found


def _count(seen, mapping, bar, pages):
    address, length = int(mapping["addr"], 16), int(mapping["len"])
    if bar[0] <= address and address + length - 1 <= bar[1]:
        seen["peer"] += length
    elif pages.issuperset(range(address >> 12, (address + length + 4095) >> 12)):
        seen["buffer"] += length
    else:
        seen["elsewhere"] += length
        seen["longest"] = max(seen["longest"], length)


def window(path, start, end):
    """Return the lines of the trace at PATH between the offsets START and END."""
    with open(path, "rb") as trace:
        trace.seek(start)
        return trace.read(end - start).decode(errors="replace").splitlines()
