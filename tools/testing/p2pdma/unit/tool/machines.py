# SPDX-License-Identifier: GPL-2.0
"""Machines that do not exist, in the form of lspci -xxxx.

Only what the p2pdma command looks at is filled in: IDs, class, bus numbers, BARs, and the
capabilities that decide about peer traffic.
"""
import dataclasses

ENDPOINT, ROOT_PORT, UPSTREAM, DOWNSTREAM, TO_PCI, INTEGRATED = 0x0, 0x4, 0x5, 0x6, 0x7, 0x9
SV, TB, RR, CR, UF, EC, DT = (1 << bit for bit in range(7))
ISOLATED = SV | RR | CR | UF

CLASSES = {"host": 0x060000, "bridge": 0x060400, "nvme": 0x010802, "net": 0x020000,
           "rdma": 0x020700, "gpu": 0x030000, "audio": 0x040300, "usb": 0x0c0330,
           "raid": 0x010400, "memory": 0x050000, "isa": 0x060100, "vga": 0x030000,
           "cxl": 0x050210, "accelerator": 0x120000, "coprocessor": 0x0b4000, "serial": 0x070001}


@dataclasses.dataclass
class Function:
    """A function and its configuration space."""
    address: str
    ids: str
    kind: str
    pcie: int = None
    acs: tuple = None          # what it can, what is on
    vector: int = None         # egress control
    port: int = 0
    buses: tuple = None        # secondary, subordinate
    ats: bool = False
    many: bool = False         # one of several functions of a device
    virtual: tuple = None      # virtual functions: how many, offset, stride, device ID
    bar: int = 0xfe000000
    slot: bool = False         # a port with a slot below
    links: tuple = None        # speed and width in code: what it can, what it has
    rebar: tuple = None        # exponents of MiB: the largest size, the present one
    translates: bool = True    # ATS is on, where there is ATS
    command: int = 0x0006
    size: int = 4096
    places: tuple = None       # offsets of the extended capabilities, in the order of the list
    ari: bool = False          # a bridge that forwards alternative routing IDs
    # In a copy of sysfs only:
    copied: int = 4096         # bytes of configuration space that were copied
    mask: int = 0              # bits of the DMA mask of a driver
    group: str = None          # type of the IOMMU group
    linked: bool = True        # links were copied

    def config(self):
        """Its configuration space, as bytes."""
        space = bytearray(self.size if self.pcie is not None else 256)
        vendor, device = (int(word, 16) for word in self.ids.split(":"))
        self._put(space, 0x00, 2, vendor)
        self._put(space, 0x02, 2, device)
        self._put(space, 0x04, 2, self.command)
        self._put(space, 0x09, 3, CLASSES[self.kind])
        space[0x0e] = (1 if self.buses else 0) | (0x80 if self.many else 0)
        if self.buses:
            space[0x18] = int(self.address.split(":")[-2], 16)
            space[0x19], space[0x1a] = self.buses
        elif self.kind != "host":
            self._put(space, 0x10, 4, self.bar & 0xffffffff | (0x0c if self.bar else 0))
            self._put(space, 0x14, 4, self.bar >> 32)
        if self.pcie is not None:
            self._express(space)
        return bytes(space)

    @staticmethod
    def _put(space, where, size, value):
        space[where:where + size] = value.to_bytes(size, "little")

    def _express(self, space):
        space[0x06] = 0x10
        space[0x34] = 0x40
        self._put(space, 0x40, 4, 0x10 | (2 | self.pcie << 4 | self.slot << 8) << 16)
        most, now = self.links or ((3, 4), (0, 0))
        self._put(space, 0x4c, 4, most[0] | most[1] << 4 | self.port << 24)
        self._put(space, 0x52, 2, now[0] | now[1] << 4)
        self._put(space, 0x68, 2, self.ari << 5)
        extended = [each for each in (self._access_control(), self._translation(),
                                      self._virtual_functions(), self._resizable()) if each]
        places = self.places or range(0x100, 0x1000, 0x40)
        for at, following, (number, data) in zip(places, [*places[1:], 0], extended):
            if number == extended[-1][0]:
                following = 0
            if len(space) > 256:
                self._put(space, at, 4, number | 1 << 16 | following << 20)
                space[at + 4:at + 4 + len(data)] = data

    def _access_control(self):
        if not self.acs:
            return None
        can, now = self.acs
        bits = 32 if can & EC else 0
        return 0x0d, (can | bits << 8 | now << 16).to_bytes(4, "little") + \
            (self.vector or 0).to_bytes(4, "little")

    def _translation(self):
        control = 0x8000 if self.translates else 0
        return (0x0f, (control << 16).to_bytes(4, "little")) if self.ats else None

    def _resizable(self):
        if not self.rebar:
            return None
        most, now = self.rebar
        sizes = (2 << most) - (1 << now)
        return 0x15, (sizes << 4).to_bytes(8, "little")[:4] + \
            (0 | 1 << 5 | now << 8).to_bytes(4, "little")

    def _virtual_functions(self):
        if not self.virtual:
            return None
        many, offset, stride, device = self.virtual
        data = bytearray(0x3c)
        for where, value in ((0x10, many), (0x14, offset), (0x16, stride), (0x1a, device)):
            self._put(data, where - 4, 2, value)
        return 0x10, data

    def dump(self, length=4096):
        """The lines that lspci prints for it."""
        space = self.config()[:length]
        lines = [f"{self.address} {self.kind}: {self.ids}"]
        for at in range(0, len(space), 16):
            lines.append(f"{at:02x}: " + space[at:at + 16].hex(" "))
        return "\n".join(lines) + "\n\n"


def switch(address, buses, slots, acs=None, ids="10b5:9797"):
    """An upstream port and its downstream ports, a bus for each."""
    inner = buses[0]
    ports = [Function(address, ids, "bridge", UPSTREAM, buses=buses)]
    for slot in range(slots):
        bus = inner + 1 + slot
        ports.append(Function(f"{address.rsplit(':', 2)[0]}:{inner:02x}:{slot:02x}.0", ids,
                              "bridge", DOWNSTREAM, acs, port=slot + 1, buses=(bus, bus),
                              slot=True))
    return ports


def server():
    """Two sockets with a switch each, one isolated; drives behind VMD; an older host bridge."""
    first = switch("0000:16:00.0", (0x17, 0x1b), 4, (ISOLATED | DT | EC, ISOLATED))
    second = switch("0000:98:00.0", (0x99, 0x9d), 4, (ISOLATED | EC, 0))
    blocking = second[2]
    blocking.acs, blocking.vector = (ISOLATED | EC, EC), 1 << 1
    stuck = switch("0000:e4:00.0", (0xe5, 0xe7), 2, (ISOLATED, ISOLATED))
    return [
        Function("0000:00:00.0", "8086:09a2", "host"),
        Function("0000:00:0e.0", "8086:201d", "raid", INTEGRATED),
        Function("0000:15:00.0", "8086:09a2", "host"),
        Function("0000:15:01.0", "8086:347a", "bridge", ROOT_PORT, (ISOLATED, ISOLATED), port=1,
                 buses=(0x16, 0x1b)),
        *first,
        Function("0000:18:00.0", "144d:a824", "nvme", ENDPOINT, bar=0x9a000000),
        Function("0000:19:00.0", "144d:a824", "nvme", ENDPOINT, bar=0x9a100000),
        Function("0000:1a:00.0", "10de:20b0", "gpu", ENDPOINT, bar=0x22000000000),
        Function("0000:1b:00.0", "15b3:101d", "rdma", ENDPOINT, (EC, 0), ats=True, many=True,
                 virtual=(2, 2, 1, 0x101e)),
        Function("0000:1b:00.2", "ffff:ffff", "rdma", ENDPOINT),
        Function("0000:1b:00.3", "ffff:ffff", "rdma", ENDPOINT),
        Function("0000:1b:00.1", "15b3:101d", "rdma", ENDPOINT, (RR | CR, RR | CR), many=True),
        Function("0000:97:00.0", "8086:09a2", "host"),
        Function("0000:97:01.0", "8086:347a", "bridge", ROOT_PORT, (ISOLATED, ISOLATED), port=1,
                 buses=(0x98, 0x9d)),
        *second,
        Function("0000:9a:00.0", "144d:a824", "nvme", ENDPOINT),
        Function("0000:9b:00.0", "144d:a824", "nvme", ENDPOINT),
        Function("0000:9c:00.0", "10de:20b0", "gpu", ENDPOINT),
        Function("0000:e2:00.0", "8086:3c00", "host", ROOT_PORT, buses=(0xe3, 0xe3)),
        Function("0000:e2:01.0", "8086:3c02", "bridge", ROOT_PORT, (ISOLATED, SV | RR | CR),
                 port=2, buses=(0xe4, 0xe7)),
        Function("0000:e3:00.0", "8086:1572", "net", ENDPOINT),
        *stuck,
        Function("0000:e6:00.0", "144d:a824", "nvme", ENDPOINT),
        Function("0000:e7:00.0", "144d:a824", "nvme", ENDPOINT),
        Function("10000:00:02.0", "8086:2030", "bridge", ROOT_PORT, (ISOLATED, 0), port=3,
                 buses=(0x01, 0x01)),
        Function("10000:00:03.0", "8086:2031", "bridge", ROOT_PORT, (ISOLATED, 0), port=4,
                 buses=(0x02, 0x02)),
        Function("10000:01:00.0", "144d:a824", "nvme", ENDPOINT),
        Function("10000:02:00.0", "144d:a824", "nvme", ENDPOINT),
    ]


def desktop():
    """Root ports of the processor, a chip set that is a switch, conventional PCI below it."""
    chips = switch("0000:02:00.2", (0x03, 0x06), 3, ids="1022:43e9")
    chips[3].buses = (0x06, 0x07)
    return [
        Function("00:00.0", "1022:1480", "host"),
        Function("00:01.1", "1022:1483", "bridge", ROOT_PORT, (ISOLATED, 0), port=1,
                 buses=(0x01, 0x01)),
        Function("00:01.2", "1022:1483", "bridge", ROOT_PORT, (ISOLATED, 0), port=2,
                 buses=(0x02, 0x07)),
        Function("00:03.1", "1022:1483", "bridge", ROOT_PORT, (ISOLATED, 0), port=3,
                 buses=(0x08, 0x08)),
        Function("00:14.3", "1022:790e", "isa"),
        Function("01:00.0", "1e0f:0001", "nvme", ENDPOINT),
        Function("02:00.0", "1022:43ee", "usb", ENDPOINT, many=True),
        *chips,
        Function("04:00.0", "10ec:8125", "net", ENDPOINT),
        Function("05:00.0", "1e0f:0001", "nvme", ENDPOINT),
        Function("06:00.0", "1b21:1080", "bridge", TO_PCI, buses=(0x07, 0x07)),
        Function("07:00.0", "1102:0002", "audio"),
        Function("07:01.0", "1234:5678", "memory"),
        Function("08:00.0", "1002:73bf", "gpu", ENDPOINT, many=True),
        Function("08:00.1", "1002:ab28", "audio", ENDPOINT, many=True),
    ]


def workstation():
    """Causes that are not routes: a narrow link, small BARs, a controller's graphics, a cable."""
    slots = switch("0000:01:00.0", (0x02, 0x06), 4, (ISOLATED | DT, ISOLATED))
    cable = switch("0000:11:00.0", (0x12, 0x14), 2, ids="8086:1578")
    return [
        Function("00:00.0", "8086:a700", "host"),
        Function("00:01.0", "8086:a70d", "bridge", ROOT_PORT, (ISOLATED, ISOLATED), port=1,
                 buses=(0x01, 0x06), links=((4, 16), (4, 16))),
        Function("00:06.0", "8086:a74d", "bridge", ROOT_PORT, (ISOLATED, ISOLATED), port=2,
                 buses=(0x11, 0x14)),
        *slots,
        Function("03:00.0", "10de:2684", "gpu", ENDPOINT, rebar=(14, 8),
                 links=((4, 16), (1, 8))),
        Function("04:00.0", "15b3:101d", "rdma", ENDPOINT, ats=True, translates=False,
                 links=((4, 16), (4, 16))),
        Function("05:00.0", "10ee:9038", "serial", ENDPOINT, command=0),
        Function("06:00.0", "1a03:2000", "vga", ENDPOINT),
        *cable,
        Function("13:00.0", "1da3:1020", "accelerator", ENDPOINT),
        Function("14:00.0", "8086:0d93", "cxl", ENDPOINT),
    ]


def virtual():
    """A virtual machine: everything at the root bus, or behind emulated root ports."""
    return [
        Function("00:00.0", "8086:29c0", "host"),
        Function("00:01.0", "1af4:1041", "net"),
        Function("00:02.0", "1b36:000c", "bridge", ROOT_PORT, (ISOLATED, 0), buses=(0x01, 0x01)),
        Function("00:02.1", "1b36:000c", "bridge", ROOT_PORT, (ISOLATED, 0), buses=(0x02, 0x02)),
        Function("00:02.2", "1b36:000c", "bridge", ROOT_PORT, (ISOLATED, 0), buses=(0x03, 0x03)),
        Function("00:1f.0", "8086:2918", "isa"),
        Function("01:00.0", "1b36:0010", "nvme", ENDPOINT),
        Function("02:00.0", "10de:20b0", "gpu", ENDPOINT),
        Function("03:00.0", "15b3:101e", "net", ENDPOINT),
    ]


MACHINES = {"server": server, "desktop": desktop, "workstation": workstation,
            "virtual": virtual}


def dump(name, length=4096):
    """The output of lspci -xxxx (or, with fewer bytes, -xxx and -x) of a machine."""
    return dump_functions(MACHINES[name](), length)


def dump_functions(functions, length=4096):
    """The output of lspci -xxxx, or with fewer bytes, of some functions."""
    return "".join(function.dump(length) for function in
                   sorted(functions, key=lambda each: order(each.address)))


def order(address):
    """Return the key by which lspci sorts."""
    domain, bus, rest = ("0000:" + address).split(":")[-3:]
    return int(domain, 16), int(bus, 16), rest


def _virtual_addresses(functions):
    """Return address -> (physical function, device ID) of virtual functions."""
    found = {}
    for function in functions:
        domain, bus, slot, number = function.address.replace(".", ":").split(":")
        routing = int(bus, 16) << 8 | int(slot, 16) << 3 | int(number)
        many, offset, stride, device = function.virtual or (0, 0, 0, 0)
        for at in range(routing + offset, routing + offset + many * stride, stride or 1):
            found[f"{domain}:{at >> 8:02x}:{at >> 3 & 31:02x}.{at & 7}"] = function, device
    return found


def _place(functions, top):
    """Return address -> (directory, physical function and device ID if it is virtual)."""
    buses = {function.buses[0]: function for function in functions if function.buses}
    virtual = _virtual_addresses(functions)

    def place(function):
        if function.address in virtual:
            return place(virtual[function.address][0]).parent / function.address
        bus = int(function.address.split(":")[1], 16)
        if bus in buses:
            return place(buses[bus]) / function.address
        domain = function.address.split(":")[0]
        return top / "devices" / f"pci{domain}:{bus:02x}" / function.address

    return {each.address: (place(each), virtual.get(each.address)) for each in functions}


def _lay_out_links(function, folder, top, number):
    """Write the links of a function, as far as they were copied."""
    if function.linked:
        (folder / "subsystem").symlink_to("../../../bus/pci")
    if function.mask:
        (folder / "driver").symlink_to("../../../bus/pci/drivers/driver")
        (folder / "dma_mask_bits").write_text(f"{function.mask}\n", encoding="ascii")
    if function.group and function.linked:
        group = top / "kernel/iommu_groups" / str(number)
        group.mkdir(parents=True)
        (group / "type").write_text(f"{function.group}\n", encoding="ascii")
        (folder / "iommu_group").symlink_to(f"../../../kernel/iommu_groups/{number}")


def lay_out(functions, top):
    """Write a copy of sysfs, without a processor."""
    devices = top / "bus/pci/devices"
    devices.mkdir(parents=True)
    places = _place(functions, top)
    for number, function in enumerate(functions):
        folder, real = places[function.address]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config").write_bytes(function.config()[:function.copied])
        (folder / "resource").write_text(
            f"{function.bar:#x} {function.bar + 0xffff:#x} 0x40200\n"
            if not function.buses and function.kind != "host" else "", encoding="ascii")
        _lay_out_links(function, folder, top, number)
        (devices / function.address).symlink_to(f"../../../{folder.relative_to(top)}")
        if real:
            (folder / "physfn").symlink_to(f"../{real[0].address}")
            (folder / "vendor").write_text(f"0x{real[0].ids[:4]}\n", encoding="ascii")
            (folder / "device").write_text(f"{real[1]:#06x}\n", encoding="ascii")
