/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A mock PCI hierarchy for KUnit: a table becomes real struct pci_devs.
 *
 * A test passes an array with a row for each function to mock_pci_add(). The
 * mock answers configuration cycles from memory. The PCI core does the rest as
 * for hardware: enumeration, assignment of bus numbers, windows and BARs,
 * sysfs, driver binding and removal. No device decodes the addresses of the
 * BARs: tests can register, allocate and map the pages for DMA, but not read
 * the pages.
 *
 *	static const struct mock_pci_row rows[] = {
 *		[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
 *		[PORT] = { .kind = MOCK_PCI_ROOT_PORT, .up = HOST,
 *			   .devfn = PCI_DEVFN(1, 0) },
 *		[DISK] = { .kind = MOCK_PCI_ENDPOINT, .up = PORT,
 *			   .bar[0] = SZ_2M },
 *	};
 *
 *	mock = mock_pci_add(test, rows, ARRAY_SIZE(rows));
 *	pdev = mock_pci_dev(mock, DISK);
 */
#ifndef _MOCK_PCI_H
#define _MOCK_PCI_H

#include <linux/pci.h>
#include <linux/pci_ids.h>

struct file;
struct kunit;
struct mock_pci;
struct vfsmount;

/* Vendor of the mock: no quirk and only the driver in mock_pci.c match. */
#define MOCK_PCI_VENDOR		0x6d6b
#define MOCK_PCI_DEVICE		0x0001
#define MOCK_PCI_VF_DEVICE	0x0002

/**
 * enum mock_pci_kind - what a row describes
 * @MOCK_PCI_NONE: nothing; the row is skipped
 * @MOCK_PCI_HOST: a host bridge and its root bus
 * @MOCK_PCI_ROOT_PORT: root port
 * @MOCK_PCI_UPSTREAM: upstream port of a switch
 * @MOCK_PCI_DOWNSTREAM: downstream port of a switch
 * @MOCK_PCI_ENDPOINT: PCIe endpoint
 * @MOCK_PCI_RCIEP: root complex integrated endpoint
 * @MOCK_PCI_PCIE_TO_PCI: bridge from PCIe to conventional PCI
 * @MOCK_PCI_BRIDGE: conventional PCI-to-PCI bridge
 * @MOCK_PCI_DEVICE_CONV: conventional PCI device
 */
enum mock_pci_kind {
	MOCK_PCI_NONE,
	MOCK_PCI_HOST,
	MOCK_PCI_ROOT_PORT,
	MOCK_PCI_UPSTREAM,
	MOCK_PCI_DOWNSTREAM,
	MOCK_PCI_ENDPOINT,
	MOCK_PCI_RCIEP,
	MOCK_PCI_PCIE_TO_PCI,
	MOCK_PCI_BRIDGE,
	MOCK_PCI_DEVICE_CONV,
};

/**
 * struct mock_pci_acs - Access Control Services (PCIe r6.0, sec 7.7.11)
 * @present: the function has the capability
 * @cap: PCI_ACS_* bits that the function implements
 * @ctrl: PCI_ACS_* bits that are on after enumeration; replaces the setting of
 *	the PCI core
 * @bits: size of the egress control vector, 1 to 256; 0 for no vector
 * @vector: the egress control vector, lowest bit first
 * @wide: capability and control register are 32 bits wide, as in some Intel
 *	root ports; excludes an egress control vector
 */
struct mock_pci_acs {
	bool present;
	bool wide;
	u8 cap;
	u8 ctrl;
	u16 bits;
	u64 vector[4];
};

/* Every control except egress control is implemented; @_on is on. */
#define MOCK_PCI_ACS(_on) { \
	.present = true, \
	.cap = PCI_ACS_SV | PCI_ACS_TB | PCI_ACS_RR | PCI_ACS_CR | \
	       PCI_ACS_UF | PCI_ACS_DT, \
	.ctrl = (_on), \
}

/* As MOCK_PCI_ACS() with egress control on: a vector of @_bits bits. */
#define MOCK_PCI_ACS_EC(_on, _bits, _vector) { \
	.present = true, \
	.cap = PCI_ACS_SV | PCI_ACS_TB | PCI_ACS_RR | PCI_ACS_CR | \
	       PCI_ACS_UF | PCI_ACS_EC | PCI_ACS_DT, \
	.ctrl = PCI_ACS_EC | (_on), \
	.bits = (_bits), \
	.vector = { (_vector) }, \
}

/*
 * As MOCK_PCI_ACS() with 32-bit registers and without Direct Translated P2P.
 * Vendor and device have to match a quirk of the kernel for such registers.
 */
#define MOCK_PCI_ACS_WIDE(_on) { \
	.present = true, \
	.wide = true, \
	.cap = PCI_ACS_SV | PCI_ACS_TB | PCI_ACS_RR | PCI_ACS_CR | \
	       PCI_ACS_UF, \
	.ctrl = (_on), \
}

/**
 * struct mock_pci_row - a host bridge or a function of a hierarchy
 * @kind: kind of the function
 * @up: row of the bridge or host bridge above, earlier in the table
 * @devfn: device and function number on the bus
 * @vendor: vendor ID, 0 for MOCK_PCI_VENDOR
 * @device: device ID, 0 for MOCK_PCI_DEVICE
 * @port: port number in the link capabilities
 * @class: class code, 0 for the default of @kind
 * @bar: by BAR index: size of a 64-bit prefetchable BAR, 0 for no BAR
 * @io_bar: size of an I/O BAR at index 5, 0 for no I/O BAR
 * @acs: access control
 * @ari: the function has the ARI capability
 * @ari_groups: with @ari, ACS function groups are on
 * @ats: the function has the ATS capability
 * @unreadable: after enumeration, every read returns all ones
 * @total_vfs: number of virtual functions in the SR-IOV capability
 * @vfs: number of virtual functions to enable after enumeration
 * @vf_offset: routing ID of the first virtual function minus routing ID of the
 *	physical function
 * @vf_stride: distance of routing IDs between virtual functions, 0 for 1
 * @vf_bar: size of BAR 0 of each virtual function
 * @vf_acs: access control of each virtual function
 * @domain: host bridge: PCI domain
 * @bus: host bridge: number of the root bus
 * @offset: host bridge: CPU address minus bus address in the memory window
 * @io_offset: host bridge: CPU address minus bus address in the I/O window
 * @far_offset: host bridge: CPU address minus bus address in a second memory
 *	window, 0 for no second window
 * @window: host bridge: size of the memory window, 0 for 8 GiB
 */
struct mock_pci_row {
	enum mock_pci_kind kind;
	u16 up;
	u8 devfn;
	u16 vendor;
	u16 device;
	u8 port;
	u32 class;
	u64 bar[PCI_STD_NUM_BARS];
	u32 io_bar;
	struct mock_pci_acs acs;
	bool ari;
	bool ari_groups;
	bool ats;
	bool unreadable;
	u16 total_vfs;
	u16 vfs;
	u16 vf_offset;
	u16 vf_stride;
	u64 vf_bar;
	struct mock_pci_acs vf_acs;
	int domain;
	u8 bus;
	s64 offset;
	s64 io_offset;
	s64 far_offset;
	u64 window;
};

struct mock_pci_row *mock_pci_copy(struct kunit *test,
				   const struct mock_pci_row *rows,
				   unsigned int nr);
struct mock_pci *mock_pci_add(struct kunit *test,
			      const struct mock_pci_row *rows, unsigned int nr);
void mock_pci_remove(struct mock_pci *mock);

struct pci_dev *mock_pci_dev(struct mock_pci *mock, unsigned int row);
struct pci_dev *mock_pci_vf(struct mock_pci *mock, unsigned int row,
			    unsigned int id);
struct pci_host_bridge *mock_pci_host(struct mock_pci *mock, unsigned int row);
struct device *mock_pci_device(struct mock_pci *mock, unsigned int row);

void mock_pci_unplug(struct mock_pci *mock, unsigned int row);
struct pci_dev *mock_pci_plug(struct mock_pci *mock, unsigned int row,
			      const struct mock_pci_row *replacement);
void mock_pci_set_acs(struct mock_pci *mock, unsigned int row,
		      const struct mock_pci_acs *acs);
void mock_pci_set_unreadable(struct mock_pci *mock, unsigned int row,
			     bool unreadable);
u64 mock_pci_reads(struct mock_pci *mock);

typedef int (*mock_pci_probe_t)(struct pci_dev *pdev, void *data);

int mock_pci_bind(struct pci_dev *pdev, mock_pci_probe_t probe, void *data);
void mock_pci_unbind(struct pci_dev *pdev);

struct device *mock_pci_add_child(struct kunit *test, struct device *parent,
				  const char *name);

struct vfsmount *mock_pci_sysfs_mount(struct kunit *test);
const char *mock_pci_sysfs_path(struct kunit *test, struct device *dev,
				const char *name);
struct file *mock_pci_sysfs_reopen(struct vfsmount *mnt, const char *path);
struct file *mock_pci_sysfs_open(struct kunit *test, struct device *dev,
				 const char *name, int flags);
void mock_pci_sysfs_close(struct kunit *test, struct file *file);
ssize_t mock_pci_sysfs_write(struct kunit *test, struct device *dev,
			     const char *name, const char *text);
ssize_t mock_pci_sysfs_read(struct kunit *test, struct device *dev,
			    const char *name, char *buf, size_t size);

#endif /* _MOCK_PCI_H */
