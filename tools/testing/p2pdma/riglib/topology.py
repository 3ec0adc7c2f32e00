# SPDX-License-Identifier: GPL-2.0
"""Topologies: TOML files, from which this module builds QEMU arguments.

A device entry is a table. The key "driver" names a QEMU device, and the rest of the keys are
properties of the device. There are two short forms:

  { drive = "alpha", bus = "port1" }        an NVMe drive with a deterministic image
  { object = "memory-backend-ram", ... }    a QEMU object, such as the memory of an ivshmem

Keys of a drive:

  size_mb       size of the image in MiB, 64 by default
  cmb           size of the controller memory buffer in MiB
  spare         true: not in the machine until a test plugs the drive in; for all devices
  nsid          number of the namespace, 1 by default
  ms            bytes of metadata in each block

nsid and ms are lost when a drive is unplugged and plugged in again, because QEMU cannot plug in a
namespace.
"""
import dataclasses
import tomllib

from .paths import TOPOLOGIES, RigError

DRIVE_SIZE_MB = 64
KEYS = {"summary", "cpu", "machine", "memory", "kernel", "settings", "device"}


@dataclasses.dataclass
class Drive:
    """An NVMe drive. The name is also the serial number, by which a guest finds the drive."""
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
        """Return the properties of a drive, or of a spare device by id."""
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
    """Return the QEMU devices of a drive at boot."""
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
    """Return the QEMU arguments of a topology. IMAGES maps names of drives to image files."""
    args = ["-machine", topology.machine, "-cpu", topology.cpu, "-m", topology.memory]
    for setting in topology.settings:
        args += ["-global", setting]
    for drive in topology.drives.values():
        args += ["-blockdev", f"driver=raw,node-name={drive.node},discard=unmap,"
                 f"file.driver=file,file.filename={images[drive.name]}"]
    for properties in topology.devices:
        args += ["-object" if "object" in properties else "-device", _argument(properties)]
    return args
