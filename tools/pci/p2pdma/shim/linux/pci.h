/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI structures and functions for the route rules
 *
 * A subset of the kernel's <linux/pci.h>, with the same meaning. The caller fills in the
 * structures for the two functions of a route and for every bridge above.
 */
#ifndef _SHIM_LINUX_PCI_H
#define _SHIM_LINUX_PCI_H

#include <linux/device.h>
#include <linux/kernel.h>
#include <linux/pci_regs.h>

struct pci_bus;
struct pci_dev;

#define CONFIG_PCI_ATS		1

#define PCI_DEVFN(slot, func)	((((slot) & 0x1f) << 3) | ((func) & 0x07))
#define PCI_SLOT(devfn)		(((devfn) >> 3) & 0x1f)
#define PCI_FUNC(devfn)		((devfn) & 0x07)

#define PCIBIOS_SUCCESSFUL		0x00
#define PCIBIOS_DEVICE_NOT_FOUND	0x86

#define PCI_POSSIBLE_ERROR(val)	((val) == (__typeof__(val))~0ULL)

#define IORESOURCE_IO		0x00000100
#define IORESOURCE_MEM		0x00000200
#define IORESOURCE_BUS		0x00001000
#define IORESOURCE_TYPE_BITS	0x00001f00

/**
 * struct resource - a range of addresses
 * @start: first address, as the CPU sees it
 * @end: last address
 * @flags: IORESOURCE_*
 */
struct resource {
	resource_size_t start;
	resource_size_t end;
	unsigned long flags;
};

/**
 * struct resource_entry - a window of a host bridge
 * @node: link in pci_host_bridge.windows
 * @res: addresses of the window
 * @offset: CPU address minus bus address
 */
struct resource_entry {
	struct list_head node;
	struct resource *res;
	resource_size_t offset;
};

/**
 * struct pci_host_bridge - a host bridge
 * @dev: device for p2pdma_policy()
 * @windows: list of struct resource_entry
 * @read_config: reads @size bytes of a function's configuration space at @where; returns
 *	PCIBIOS_SUCCESSFUL, or PCIBIOS_DEVICE_NOT_FOUND for unreadable bytes
 * @find_function: returns the function @devfn on @bus, or NULL; may be NULL, then reads by bus
 *	and number fail
 * @sysdata: for the caller
 */
struct pci_host_bridge {
	struct device dev;
	struct list_head windows;
	int (*read_config)(struct pci_dev *dev, int where, int size, u32 *val);
	struct pci_dev *(*find_function)(struct pci_bus *bus, unsigned int devfn);
	void *sysdata;
};

/**
 * struct pci_bus - a bus
 * @parent: the bus above; NULL for a root bus
 * @self: the bridge above; NULL for a root bus, and for a bus of virtual functions only
 * @host: the host bridge; required for root buses only
 * @number: bus number
 */
struct pci_bus {
	struct pci_bus *parent;
	struct pci_dev *self;
	struct pci_host_bridge *host;
	u8 number;
};

/**
 * struct pci_dev - a function
 * @dev: device for p2pdma_policy()
 * @bus: bus of the function; a bus without a bridge for a virtual function on a separate bus
 * @devfn: device and function number
 * @vendor: vendor ID
 * @device: device ID
 * @pcie_cap: offset of the PCIe capability, 0 for conventional PCI
 * @pcie_type: PCI_EXP_TYPE_* of a PCIe function
 * @acs_cap: offset of the ACS capability, 0 without the capability
 * @is_virtfn: the function is a virtual function
 * @physfn: physical function of a virtual function
 * @ari_enabled: the port forwards ARI, so all functions directly below are one device
 * @ats_enabled: the function sends translated requests
 */
struct pci_dev {
	struct device dev;
	struct pci_bus *bus;
	u8 devfn;
	u16 vendor;
	u16 device;
	u8 pcie_cap;
	u8 pcie_type;
	u16 acs_cap;
	bool is_virtfn;
	struct pci_dev *physfn;
	bool ari_enabled;
	bool ats_enabled;
};

/**
 * struct shim_windows - position of a walk through the windows of a host bridge
 * @head: head of the list
 * @at: current entry; @head before the first and after the last entry
 */
struct shim_windows {
	struct list_head *head;
	struct list_head *at;
};

static inline struct shim_windows shim_windows(struct list_head *head)
{
	return (struct shim_windows) { .head = head, .at = head };
}

static inline struct resource_entry *shim_next_window(struct shim_windows *walk)
{
	walk->at = walk->at->next;
	return walk->at == walk->head ? NULL : container_of(walk->at, struct resource_entry, node);
}

#define resource_list_for_each_entry(entry, list)			\
	for (struct shim_windows shim_walk = shim_windows(list);	\
	     ((entry) = shim_next_window(&shim_walk)); (void)0)

static inline unsigned long resource_type(const struct resource *res)
{
	return res->flags & IORESOURCE_TYPE_BITS;
}

static inline struct pci_dev *pci_physfn(struct pci_dev *dev)
{
	return dev->is_virtfn ? dev->physfn : dev;
}

static inline bool pci_is_root_bus(const struct pci_bus *bus)
{
	return !bus->parent;
}

static inline struct pci_dev *pci_upstream_bridge(struct pci_dev *dev)
{
	return pci_physfn(dev)->bus->self;
}

static inline struct pci_host_bridge *pci_find_host_bridge(struct pci_bus *bus)
{
	while (!pci_is_root_bus(bus))
		bus = bus->parent;
	return bus->host;
}

static inline bool pci_is_pcie(const struct pci_dev *dev)
{
	return dev->pcie_cap;
}

static inline int pci_pcie_type(const struct pci_dev *dev)
{
	return dev->pcie_type;
}

static inline bool pci_ari_enabled(const struct pci_bus *bus)
{
	return bus->self && bus->self->ari_enabled;
}

static inline int shim_read(struct pci_dev *dev, int where, int size, u32 *val)
{
	struct pci_host_bridge *host = pci_find_host_bridge(dev->bus);
	int ret = host->read_config(dev, where, size, val);

	if (ret)
		*val = ~0U;
	return ret;
}

static inline int pci_read_config_byte(struct pci_dev *dev, int where, u8 *val)
{
	u32 raw;
	int ret = shim_read(dev, where, 1, &raw);

	*val = raw;
	return ret;
}

static inline int pci_read_config_word(struct pci_dev *dev, int where, u16 *val)
{
	u32 raw;
	int ret = shim_read(dev, where, 2, &raw);

	*val = raw;
	return ret;
}

static inline int pci_read_config_dword(struct pci_dev *dev, int where, u32 *val)
{
	return shim_read(dev, where, 4, val);
}

static inline int pci_bus_read_config_dword(struct pci_bus *bus, unsigned int devfn, int where,
					    u32 *val)
{
	struct pci_host_bridge *host = pci_find_host_bridge(bus);
	struct pci_dev *dev = host->find_function ? host->find_function(bus, devfn) : NULL;

	*val = ~0U;
	return dev ? shim_read(dev, where, 4, val) : PCIBIOS_DEVICE_NOT_FOUND;
}

/* Gives 0 on failure, unlike the plain reads. */
static inline int pcie_capability_read_dword(struct pci_dev *dev, int where, u32 *val)
{
	int ret;

	*val = 0;
	if (!pci_is_pcie(dev))
		return PCIBIOS_SUCCESSFUL;
	ret = shim_read(dev, dev->pcie_cap + where, 4, val);
	if (ret)
		*val = 0;
	return ret;
}

/* Bounded for any content: capabilities are at least eight bytes apart. */
static inline u16 pci_find_ext_capability(struct pci_dev *dev, int cap)
{
	int at = PCI_CFG_SPACE_SIZE;
	int left = (PCI_CFG_SPACE_EXP_SIZE - PCI_CFG_SPACE_SIZE) / 8;
	u32 header;

	while (left-- && at >= PCI_CFG_SPACE_SIZE && !pci_read_config_dword(dev, at, &header) &&
	       header) {
		if (PCI_EXT_CAP_ID(header) == (u32)cap)
			return at;
		at = PCI_EXT_CAP_NEXT(header);
	}
	return 0;
}

#endif /* _SHIM_LINUX_PCI_H */
