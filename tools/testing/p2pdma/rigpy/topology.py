# SPDX-License-Identifier: GPL-2.0
"""Topologies are data: one TOML file each, turned into QEMU arguments by this one builder.

A device entry is a table whose "driver" names a QEMU device and whose other keys are its
properties, with two short forms:

  { drive = "alpha", bus = "port1" }        an NVMe drive with a deterministic image behind it
  { object = "memory-backend-ram", ... }    a QEMU object, such as the memory of an ivshmem

A drive takes "size_mb" (of its image, 64 by default), "cmb" (MiB of controller memory) and
"spare = true", which keeps it out of the machine until a test plugs it in; other devices take
the latter as well. With "nsid" a drive's namespace has that number (otherwise 1) and "ms" bytes of
metadata in each block, until it is plugged in anew: then it is like any other, as a namespace
cannot be plugged in.
"""
import dataclasses
import tomllib

from .paths import TOPOLOGIES, RigError

DRIVE_SIZE_MB = 64
KEYS = {"summary", "cpu", "machine", "memory", "kernel", "settings", "device"}


@dataclasses.dataclass
class Drive:
    """An NVMe drive: its name is its serial number, which is how a guest finds it."""
    name: str
    size_mb: int
    spare: bool
    properties: dict
    namespace: dict

    @property
    def node(self):
        return self.name + "-disk"


@dataclasses.dataclass
class Topology:
    name: str
    summary: str
    cpu: str
    machine: str
    memory: str
    kernel: list
    settings: list
    devices: list
    drives: dict
    spares: dict

    def properties(self, name):
        """Those of a drive, or of another device that is spare, by its id."""
        if name in self.drives:
            return self.drives[name].properties
        if name in self.spares:
            return self.spares[name]
        raise RigError(f"topology {self.name} has no drive or spare device '{name}'")


def names():
    return sorted(path.stem for path in TOPOLOGIES.glob("*.toml"))


def load(name):
    if name not in names():
        raise RigError(f"no topology '{name}'; there are: {', '.join(names())}")
    path = TOPOLOGIES / (name + ".toml")
    try:
        data = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise RigError(f"{path.name}: {error}") from error
    unknown = set(data) - KEYS
    if unknown or "cpu" not in data or "summary" not in data:
        raise RigError(f"{path.name}: needs 'summary' and 'cpu'; unknown keys: "
                       f"{', '.join(sorted(unknown)) or 'none'}")
    devices, drives, spares = [], {}, {}
    for entry in data.get("device", []):
        entry = dict(entry)
        if "drive" in entry:
            drive = _drive(entry)
            drives[drive.name] = drive
            if not drive.spare:
                devices += _plugged_in(drive)
            continue
        if not {"driver", "object"} & set(entry):
            raise RigError(f"{path.name}: a device without driver, drive or object: {entry}")
        if entry.pop("spare", False):
            spares[entry["id"]] = entry
        else:
            devices.append(entry)
    return Topology(name=name, summary=data["summary"], cpu=data["cpu"],
                    machine=data.get("machine", "q35"), memory=data.get("memory", "1G"),
                    kernel=data.get("kernel", []), settings=data.get("settings", []),
                    devices=devices, drives=drives, spares=spares)


def _drive(entry):
    name = entry.pop("drive")
    size = entry.pop("size_mb", DRIVE_SIZE_MB)
    spare = entry.pop("spare", False)
    cmb = entry.pop("cmb", 0)
    namespace = {key: entry.pop(key) for key in ("nsid", "ms") if key in entry}
    properties = {"driver": "nvme", "id": name, "drive": name + "-disk", "serial": name, **entry}
    if cmb:
        properties["cmb_size_mb"] = cmb
    return Drive(name, size, spare, properties, namespace)


def _plugged_in(drive):
    """The devices that a drive is at boot."""
    if not drive.namespace:
        return [drive.properties]
    controller = {key: value for key, value in drive.properties.items() if key != "drive"}
    return [controller, {"driver": "nvme-ns", "id": drive.name + "-ns", "bus": drive.name,
                         "drive": drive.node, **drive.namespace}]


def _value(value):
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _argument(properties):
    items = dict(properties)
    head = items.pop("driver", None) or items.pop("object")
    return ",".join([head] + [f"{key}={_value(value)}" for key, value in items.items()])


def qemu_arguments(topology, images):
    """Arguments for the machine's own shape; IMAGES maps a drive's name to its image file."""
    args = ["-machine", topology.machine, "-cpu", topology.cpu, "-m", topology.memory]
    for setting in topology.settings:
        args += ["-global", setting]
    for drive in topology.drives.values():
        args += ["-blockdev", f"driver=raw,node-name={drive.node},discard=unmap,"
                 f"file.driver=file,file.filename={images[drive.name]}"]
    for properties in topology.devices:
        args += ["-object" if "object" in properties else "-device", _argument(properties)]
    return args
