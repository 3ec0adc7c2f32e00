// SPDX-License-Identifier: GPL-2.0
/*
 * A mock PCI hierarchy for KUnit.
 *
 * Each row of a table becomes a function with a configuration space. A mask for
 * every byte says which bits software can write. The PCI core sizes BARs,
 * numbers buses and sets windows by writing registers and reading the values
 * back, so the masks are enough. Configuration cycles are routed as in
 * hardware, by the secondary bus number that the core wrote into the bridge
 * above.
 *
 * Tests must be fast: there are no links to wait for, no slots, no ASPM and no
 * service drivers, and virtual functions appear without the delay of 100 ms for
 * real hardware.
 */

#include <kunit/resource.h>
#include <kunit/test.h>

#include <linux/dma-mapping.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ioport.h>
#include <linux/kref.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pci.h>
#include <linux/pci-ecam.h>
#include <linux/printk.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/unaligned.h>

#include "../p2pdma-private.h"
#include "../pci.h"
#include "mock_pci.h"

/* Room for the registers of any row; reads beyond return 0. */
#define CFG_SIZE		0x180
#define CFG_PCIE		0x40
#define CFG_EXT			0x100

/*
 * The programming interface is a reserved value, so the port driver does not
 * bind to mock bridges. With CONFIG_DMA_API_DEBUG, unbinding a driver takes
 * longer than adding and removing the function.
 */
#define CLASS_BRIDGE		(PCI_CLASS_BRIDGE_PCI << 8 | 0x02)

/* Within 40 address bits, above the RAM of machines that run the tests. */
#define WINDOW_MIN		(256ULL * SZ_1G)
#define WINDOW_MAX		(1024ULL * SZ_1G - 1)
#define WINDOW_SIZE		(8ULL * SZ_1G)

/* A prime, so that one function number on several buses rarely collides. */
#define MOCK_HINTS		1021

/**
 * struct mock_cfg - a configuration space
 * @val: bytes that reads return
 * @wr: by byte: mask of the bits that writes change
 * @acs: offset of the ACS capability, 0 for no capability
 * @sriov: offset of the SR-IOV capability, 0 for no capability
 * @last: offset of the last extended capability, 0 for an empty list
 * @end: offset for the next extended capability
 */
struct mock_cfg {
	u8 val[CFG_SIZE];
	u8 wr[CFG_SIZE];
	u16 acs;
	u16 sriov;
	u16 last;
	u16 end;
};

#ifdef CONFIG_X86
/* x86 reads PCI domain and NUMA node at the start of the data of a bus. */
struct mock_arch_data {
	struct pci_sysdata sysdata;
};

static void init_arch_data(struct mock_arch_data *arch, int domain)
{
	arch->sysdata.domain = domain;
	arch->sysdata.node = NUMA_NO_NODE;
}
#else
/*
 * With ACPI, arm64 reads the parent of the host bridge at the start of the data
 * of a bus. NULL is no parent.
 */
struct mock_arch_data {
	struct pci_config_window window;
};

static void init_arch_data(struct mock_arch_data *arch, int domain)
{
}
#endif

/**
 * struct mock_sysdata - means to read configuration space
 * @arch: data that the architecture expects at the start
 * @mock: the hierarchy
 * @host: the host bridge
 *
 * Freed by the removal of the host bridge, as in VMD, although functions below
 * may still be referenced. KASAN reports later reads of configuration space.
 */
struct mock_sysdata {
	struct mock_arch_data arch;
	struct mock_pci *mock;
	struct mock_host *host;
};

struct mock_host {
	int domain;
	struct mock_sysdata *sysdata;
	struct mock_pci *mock;
	struct pci_host_bridge *bridge;
	struct resource busn;
	struct resource mem;
	struct resource far;
	struct resource io;
};

/**
 * struct mock_function - state of a row
 * @row: copy of the row, or of the replacement from mock_pci_plug()
 * @host: host bridge above the function; for a host bridge, the row's own
 * @cfg: configuration space of the function
 * @vf_cfg: configuration space shared by all virtual functions; NULL without
 *	SR-IOV
 * @vfs: number of enabled virtual functions
 * @present: the function is plugged in
 * @unreadable: reads return all ones
 */
struct mock_function {
	struct mock_pci_row row;
	struct mock_host *host;
	struct mock_cfg cfg;
	struct mock_cfg *vf_cfg;
	unsigned int vfs;
	bool present;
	bool unreadable;
};

/**
 * struct mock_pci - a hierarchy
 * @ref: a reference for the test and for each struct pci_host_bridge
 * @test: the test that owns the hierarchy
 * @lock: protects configuration spaces, @reads and @hint; configuration cycles
 *	come from any context
 * @reads: number of configuration reads so far
 * @hint: function that answered last, by hash of the routing ID; saves a search
 *	of large tables
 * @nr: number of rows
 * @fn: state of each row
 */
struct mock_pci {
	struct kref ref;
	struct kunit *test;
	raw_spinlock_t lock;
	u64 reads;
	struct mock_function *hint[MOCK_HINTS];
	unsigned int nr;
	struct mock_function fn[] __counted_by(nr);
};

static void cfg_put(struct mock_cfg *cfg, unsigned int at, unsigned int size,
		    u32 val, u32 wr)
{
	unsigned int i;

	for (i = 0; i < size; i++) {
		cfg->val[at + i] = val >> (8 * i);
		cfg->wr[at + i] = wr >> (8 * i);
	}
}

static u32 cfg_read(const struct mock_cfg *cfg, unsigned int at,
		    unsigned int size)
{
	u32 val = 0;
	unsigned int i;

	for (i = 0; i < size && at + i < CFG_SIZE; i++)
		val |= (u32)cfg->val[at + i] << (8 * i);
	return val;
}

static void cfg_write(struct mock_cfg *cfg, unsigned int at, unsigned int size,
		      u32 val)
{
	unsigned int i;

	for (i = 0; i < size && at + i < CFG_SIZE; i++) {
		u8 wr = cfg->wr[at + i];

		cfg->val[at + i] = (cfg->val[at + i] & ~wr) |
				   ((val >> (8 * i)) & wr);
	}
}

/* Append an extended capability of @size bytes and return its offset. */
static u16 cfg_add_ext(struct mock_cfg *cfg, u16 id, unsigned int size)
{
	u16 at = cfg->end;

	cfg_put(cfg, at, 4, id | BIT(16), 0);
	if (cfg->last)
		cfg_put(cfg, cfg->last, 4,
			cfg_read(cfg, cfg->last, 4) | at << 20, 0);
	cfg->last = at;
	cfg->end = at + ALIGN(size, 4);
	return at;
}

static void cfg_set_acs(struct mock_cfg *cfg, const struct mock_pci_acs *acs)
{
	unsigned int i;

	/* A vector of 256 bits is encoded as 0 (PCIe r6.0, sec 7.7.11.2). */
	cfg_put(cfg, cfg->acs + PCI_ACS_CAP, 2,
		acs->cap | (acs->bits & 0xff) << 8, 0);
	cfg_put(cfg, cfg->acs + PCI_ACS_CTRL, 2, acs->wide ? 0 : acs->ctrl,
		acs->wide ? 0 : acs->cap);
	if (acs->wide)
		cfg_put(cfg, cfg->acs + 8, 4, acs->ctrl, acs->cap);
	for (i = 0; i < acs->bits; i += 32) {
		u64 vector = acs->vector[i / 64];

		cfg_put(cfg, cfg->acs + PCI_ACS_EGRESS_CTL_V + i / 8, 4,
			vector >> (i % 64), U32_MAX);
	}
}

static void cfg_add_acs(struct mock_cfg *cfg, const struct mock_pci_acs *acs)
{
	if (!acs->present)
		return;
	cfg->acs = cfg_add_ext(cfg, PCI_EXT_CAP_ID_ACS,
			       acs->wide ? 12 : PCI_ACS_EGRESS_CTL_V +
			       DIV_ROUND_UP(acs->bits, 32) * 4);
	cfg_set_acs(cfg, acs);
}

static void cfg_add_bar(struct mock_cfg *cfg, unsigned int at, u64 size)
{
	u64 wr = ~(size - 1);

	if (!size)
		return;
	cfg_put(cfg, at, 4,
		PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH,
		lower_32_bits(wr) & PCI_BASE_ADDRESS_MEM_MASK);
	cfg_put(cfg, at + 4, 4, 0, upper_32_bits(wr));
}

static void cfg_add_ari(struct mock_cfg *cfg, u8 next, bool groups)
{
	u16 at = cfg_add_ext(cfg, PCI_EXT_CAP_ID_ARI, 8);

	cfg_put(cfg, at + PCI_ARI_CAP, 2,
		next << 8 | (groups ? PCI_ARI_CAP_ACS : 0), 0);
	cfg_put(cfg, at + PCI_ARI_CTRL, 2, groups ? PCI_ARI_CTRL_ACS : 0, 0);
}

static void cfg_add_ats(struct mock_cfg *cfg)
{
	u16 at = cfg_add_ext(cfg, PCI_EXT_CAP_ID_ATS, PCI_EXT_CAP_ATS_SIZEOF);

	cfg_put(cfg, at + PCI_ATS_CTRL, 2, 0, U16_MAX);
}

static void cfg_add_sriov(struct mock_cfg *cfg, const struct mock_pci_row *row)
{
	u16 at;

	if (!row->total_vfs)
		return;
	at = cfg_add_ext(cfg, PCI_EXT_CAP_ID_SRIOV, PCI_EXT_CAP_SRIOV_SIZEOF);
	cfg->sriov = at;
	cfg_put(cfg, at + PCI_SRIOV_CTRL, 2, 0,
		PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE | PCI_SRIOV_CTRL_ARI);
	cfg_put(cfg, at + PCI_SRIOV_INITIAL_VF, 2, row->total_vfs, 0);
	cfg_put(cfg, at + PCI_SRIOV_TOTAL_VF, 2, row->total_vfs, 0);
	cfg_put(cfg, at + PCI_SRIOV_NUM_VF, 2, 0, U16_MAX);
	cfg_put(cfg, at + PCI_SRIOV_FUNC_LINK, 1, PCI_FUNC(row->devfn), 0);
	cfg_put(cfg, at + PCI_SRIOV_VF_OFFSET, 2, row->vf_offset, 0);
	cfg_put(cfg, at + PCI_SRIOV_VF_STRIDE, 2, row->vf_stride ?: 1, 0);
	cfg_put(cfg, at + PCI_SRIOV_VF_DID, 2, MOCK_PCI_VF_DEVICE, 0);
	cfg_put(cfg, at + PCI_SRIOV_SUP_PGSIZE, 4, 1, 0);
	cfg_put(cfg, at + PCI_SRIOV_SYS_PGSIZE, 4, 1, U32_MAX);
	cfg_add_bar(cfg, at + PCI_SRIOV_BAR, row->vf_bar);
}

static bool kind_is_bridge(enum mock_pci_kind kind)
{
	switch (kind) {
	case MOCK_PCI_ROOT_PORT:
	case MOCK_PCI_UPSTREAM:
	case MOCK_PCI_DOWNSTREAM:
	case MOCK_PCI_PCIE_TO_PCI:
	case MOCK_PCI_BRIDGE:
		return true;
	default:
		return false;
	}
}

/* PCIe device/port type of a row, or -1 for conventional PCI. */
static int kind_pcie_type(enum mock_pci_kind kind)
{
	switch (kind) {
	case MOCK_PCI_ROOT_PORT:
		return PCI_EXP_TYPE_ROOT_PORT;
	case MOCK_PCI_UPSTREAM:
		return PCI_EXP_TYPE_UPSTREAM;
	case MOCK_PCI_DOWNSTREAM:
		return PCI_EXP_TYPE_DOWNSTREAM;
	case MOCK_PCI_ENDPOINT:
		return PCI_EXP_TYPE_ENDPOINT;
	case MOCK_PCI_RCIEP:
		return PCI_EXP_TYPE_RC_END;
	case MOCK_PCI_PCIE_TO_PCI:
		return PCI_EXP_TYPE_PCI_BRIDGE;
	default:
		return -1;
	}
}

static void cfg_add_pcie(struct mock_cfg *cfg, const struct mock_pci_row *row,
			 bool link)
{
	int type = kind_pcie_type(row->kind);
	unsigned int at = CFG_PCIE;

	if (type < 0)
		return;
	cfg_put(cfg, PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0);
	cfg_put(cfg, PCI_CAPABILITY_LIST, 1, at, 0);
	cfg_put(cfg, at, 2, PCI_CAP_ID_EXP, 0);
	cfg_put(cfg, at + PCI_EXP_FLAGS, 2, 2 | type << 4, 0);
	cfg_put(cfg, at + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_RBER, 0);
	cfg_put(cfg, at + PCI_EXP_DEVCTL, 2, 0, U16_MAX);
	cfg_put(cfg, at + PCI_EXP_DEVCAP2, 4, PCI_EXP_DEVCAP2_ARI, 0);
	cfg_put(cfg, at + PCI_EXP_DEVCTL2, 2, 0, U16_MAX);
	if (!link)
		return;
	/* Full speed and width, so that the core warns of no slow link. */
	cfg_put(cfg, at + PCI_EXP_LNKCAP, 4,
		PCI_EXP_LNKCAP_SLS_16_0GB | 4 << 4 | (u32)row->port << 24, 0);
	cfg_put(cfg, at + PCI_EXP_LNKCTL, 2, 0, PCI_EXP_LNKCTL_CCC);
	cfg_put(cfg, at + PCI_EXP_LNKSTA, 2,
		PCI_EXP_LNKCAP_SLS_16_0GB | 4 << 4, 0);
	cfg_put(cfg, at + PCI_EXP_LNKCAP2, 4, 0x1e, 0);
}

static void cfg_add_header(struct mock_cfg *cfg, const struct mock_pci_row *row)
{
	u32 class = kind_is_bridge(row->kind) ? CLASS_BRIDGE :
						PCI_CLASS_SYSTEM_OTHER << 8;

	cfg_put(cfg, PCI_VENDOR_ID, 2, row->vendor ?: MOCK_PCI_VENDOR, 0);
	cfg_put(cfg, PCI_DEVICE_ID, 2, row->device ?: MOCK_PCI_DEVICE, 0);
	cfg_put(cfg, PCI_COMMAND, 2, 0,
		PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
		PCI_COMMAND_INTX_DISABLE);
	cfg_put(cfg, PCI_CLASS_REVISION, 4, (row->class ?: class) << 8, 0);
	cfg_put(cfg, PCI_CACHE_LINE_SIZE, 1, 0, U8_MAX);
}

static void cfg_add_endpoint_registers(struct mock_cfg *cfg,
				       const struct mock_pci_row *row)
{
	unsigned int i;

	for (i = 0; i < PCI_STD_NUM_BARS - 1; i++)
		cfg_add_bar(cfg, PCI_BASE_ADDRESS_0 + 4 * i, row->bar[i]);
	if (row->io_bar)
		cfg_put(cfg, PCI_BASE_ADDRESS_5, 4, PCI_BASE_ADDRESS_SPACE_IO,
			~(row->io_bar - 1) & 0xfffc);
}

/* Windows start closed, with the base above the limit. */
static void cfg_add_bridge_registers(struct mock_cfg *cfg)
{
	cfg_put(cfg, PCI_HEADER_TYPE, 1, PCI_HEADER_TYPE_BRIDGE, 0);
	cfg_put(cfg, PCI_PRIMARY_BUS, 4, 0, U32_MAX);
	cfg_put(cfg, PCI_IO_BASE, 2, 0xf0, 0xf0f0);
	cfg_put(cfg, PCI_MEMORY_BASE, 4, 0xfff0, 0xfff0fff0);
	cfg_put(cfg, PCI_PREF_MEMORY_BASE, 4,
		0xfff0 | PCI_PREF_RANGE_TYPE_64 | PCI_PREF_RANGE_TYPE_64 << 16,
		0xfff0fff0);
	cfg_put(cfg, PCI_PREF_BASE_UPPER32, 4, 0, U32_MAX);
	cfg_put(cfg, PCI_PREF_LIMIT_UPPER32, 4, 0, U32_MAX);
	cfg_put(cfg, PCI_BRIDGE_CONTROL, 2, 0, 0x0fff);
}

static bool same_bus(const struct mock_function *a,
		     const struct mock_function *b)
{
	return b->present && b->row.kind > MOCK_PCI_HOST &&
	       a->row.up == b->row.up;
}

static bool is_multifunction(struct mock_pci *mock,
			     const struct mock_function *fn)
{
	unsigned int i;

	for (i = 0; i < mock->nr; i++) {
		const struct mock_function *other = &mock->fn[i];

		if (same_bus(fn, other) && other->row.devfn != fn->row.devfn &&
		    PCI_SLOT(other->row.devfn) == PCI_SLOT(fn->row.devfn))
			return true;
	}
	return false;
}

/* 0 ends the list. */
static u8 next_ari_function(struct mock_pci *mock,
			    const struct mock_function *fn)
{
	unsigned int next = 256;
	unsigned int i;

	for (i = 0; i < mock->nr; i++) {
		const struct mock_function *other = &mock->fn[i];

		if (same_bus(fn, other) && other->row.ari &&
		    other->row.devfn > fn->row.devfn)
			next = min_t(unsigned int, next, other->row.devfn);
	}
	return next;
}

static void init_vf_cfg(struct mock_function *fn)
{
	struct mock_cfg *cfg = fn->vf_cfg;

	memset(cfg, 0, sizeof(*cfg));
	cfg->end = CFG_EXT;
	cfg_add_header(cfg, &fn->row);
	/* PCIe r6.0, sec 9.3.4.1: virtual functions return all ones here. */
	cfg_put(cfg, PCI_VENDOR_ID, 4, U32_MAX, 0);
	cfg_add_pcie(cfg, &fn->row, true);
	cfg_add_acs(cfg, &fn->row.vf_acs);
}

/* Set the registers to the values after a reset; bridges keep bus numbers. */
static void init_cfg(struct mock_pci *mock, struct mock_function *fn)
{
	struct mock_cfg *cfg = &fn->cfg;
	u32 buses = cfg_read(cfg, PCI_PRIMARY_BUS, 4);

	memset(cfg, 0, sizeof(*cfg));
	cfg->end = CFG_EXT;
	cfg_add_header(cfg, &fn->row);
	if (kind_is_bridge(fn->row.kind)) {
		cfg_add_bridge_registers(cfg);
		cfg_write(cfg, PCI_PRIMARY_BUS, 4, buses);
	} else {
		cfg_add_endpoint_registers(cfg, &fn->row);
	}
	if (is_multifunction(mock, fn))
		cfg_put(cfg, PCI_HEADER_TYPE, 1,
			cfg_read(cfg, PCI_HEADER_TYPE, 1) |
			PCI_HEADER_TYPE_MFD, 0);
	cfg_add_pcie(cfg, &fn->row, fn->row.kind != MOCK_PCI_RCIEP);
	cfg_add_acs(cfg, &fn->row.acs);
	if (fn->row.ari)
		cfg_add_ari(cfg, next_ari_function(mock, fn),
			    fn->row.ari_groups);
	if (fn->row.ats)
		cfg_add_ats(cfg);
	cfg_add_sriov(cfg, &fn->row);
	if (fn->vf_cfg)
		init_vf_cfg(fn);
}

/* Number of the function's bus, or -1 while the function is unreachable. */
static int function_bus(struct mock_pci *mock, const struct mock_function *fn)
{
	const struct mock_function *up = &mock->fn[fn->row.up];

	if (!fn->present)
		return -1;
	if (up->row.kind == MOCK_PCI_HOST)
		return up->row.bus;
	return up->present ?
	       (cfg_read(&up->cfg, PCI_SECONDARY_BUS, 1) ?: -1) : -1;
}

static bool answers(struct mock_pci *mock, const struct mock_function *fn,
		    u16 rid)
{
	int bus = function_bus(mock, fn);

	return bus >= 0 && PCI_DEVID(bus, fn->row.devfn) == rid;
}

/* PCIe r6.0, sec 9.2.1.2: is @rid an enabled virtual function of @fn? */
static bool vf_answers(struct mock_pci *mock, const struct mock_function *fn,
		       u16 rid)
{
	const struct mock_cfg *cfg = &fn->cfg;
	unsigned int first, stride = fn->row.vf_stride ?: 1;
	int bus = function_bus(mock, fn);

	if (bus < 0 || !cfg->sriov ||
	    !(cfg_read(cfg, cfg->sriov + PCI_SRIOV_CTRL, 2) &
	      PCI_SRIOV_CTRL_VFE))
		return false;
	first = PCI_DEVID(bus, fn->row.devfn) + fn->row.vf_offset;
	return rid >= first && (rid - first) % stride == 0 &&
	       (rid - first) / stride <
	       cfg_read(cfg, cfg->sriov + PCI_SRIOV_NUM_VF, 2);
}

static struct mock_cfg *answer_to(struct mock_pci *mock, struct mock_host *host,
				  u16 rid)
{
	struct mock_function **hint = &mock->hint[rid % MOCK_HINTS],
			     *fn = *hint;
	unsigned int i;

	if (fn && fn->host == host && answers(mock, fn, rid))
		return fn->unreadable ? NULL : &fn->cfg;
	for (i = 0; i < mock->nr; i++) {
		fn = &mock->fn[i];
		if (fn->host != host || fn->row.kind <= MOCK_PCI_HOST)
			continue;
		if (answers(mock, fn, rid)) {
			*hint = fn;
			return fn->unreadable ? NULL : &fn->cfg;
		}
		if (vf_answers(mock, fn, rid))
			return fn->unreadable ? NULL : fn->vf_cfg;
	}
	return NULL;
}

static int mock_read(struct pci_bus *bus, unsigned int devfn, int where,
		     int size, u32 *val)
{
	struct mock_sysdata *sysdata = bus->sysdata;
	struct mock_pci *mock = sysdata->mock;
	struct mock_cfg *cfg;
	unsigned long flags;

	raw_spin_lock_irqsave(&mock->lock, flags);
	mock->reads++;
	cfg = answer_to(mock, sysdata->host, PCI_DEVID(bus->number, devfn));
	if (cfg)
		*val = cfg_read(cfg, where, size);
	else
		PCI_SET_ERROR_RESPONSE(val);
	raw_spin_unlock_irqrestore(&mock->lock, flags);
	return PCIBIOS_SUCCESSFUL;
}

static int mock_write(struct pci_bus *bus, unsigned int devfn, int where,
		      int size, u32 val)
{
	struct mock_sysdata *sysdata = bus->sysdata;
	struct mock_pci *mock = sysdata->mock;
	struct mock_cfg *cfg;
	unsigned long flags;

	raw_spin_lock_irqsave(&mock->lock, flags);
	cfg = answer_to(mock, sysdata->host, PCI_DEVID(bus->number, devfn));
	if (cfg)
		cfg_write(cfg, where, size, val);
	raw_spin_unlock_irqrestore(&mock->lock, flags);
	return PCIBIOS_SUCCESSFUL;
}

/*
 * On arm64, a root bus without a parent is on node 0, and the PCI core then
 * probes in a kernel thread, where no stub of the test is in force.
 */
static int mock_add_bus(struct pci_bus *bus)
{
	set_dev_node(&bus->dev, NUMA_NO_NODE);
	return 0;
}

static struct pci_ops mock_ops = {
	.add_bus = mock_add_bus,
	.read = mock_read,
	.write = mock_write,
};

static void mock_free(struct kref *ref)
{
	struct mock_pci *mock = container_of(ref, struct mock_pci, ref);
	unsigned int i;

	for (i = 0; i < mock->nr; i++) {
		kfree(mock->fn[i].vf_cfg);
		if (mock->fn[i].row.kind == MOCK_PCI_HOST && mock->fn[i].host) {
			kfree(mock->fn[i].host->sysdata);
			kfree(mock->fn[i].host);
		}
	}
	kvfree(mock);
}

static void host_release(struct pci_host_bridge *bridge)
{
	struct mock_host *host = bridge->release_data;

	kref_put(&host->mock->ref, mock_free);
}

static int host_add_far_window(struct mock_host *host, s64 offset)
{
	int err;

	host->far.name = "mock PCI window, far";
	host->far.flags = IORESOURCE_MEM | IORESOURCE_MEM_64 |
			  IORESOURCE_PREFETCH;
	err = allocate_resource(&iomem_resource, &host->far, SZ_1G, WINDOW_MIN,
				WINDOW_MAX, SZ_1G, NULL, NULL);
	if (!err)
		pci_add_resource_offset(&host->bridge->windows, &host->far,
					offset);
	return err;
}

static int host_add_windows(struct mock_host *host,
			    const struct mock_pci_row *row)
{
	struct list_head *windows = &host->bridge->windows;
	u64 size = row->window ?: WINDOW_SIZE;
	int err;

	host->busn = DEFINE_RES_NAMED(row->bus, 256 - row->bus, "mock bus",
				      IORESOURCE_BUS);
	/* Not requested from ioport_resource: the mock decodes no I/O ports. */
	host->io = DEFINE_RES_IO_NAMED(SZ_4K, SZ_32K, "mock I/O");
	host->mem.name = "mock PCI window";
	host->mem.flags = IORESOURCE_MEM | IORESOURCE_MEM_64 |
			  IORESOURCE_PREFETCH;
	err = allocate_resource(&iomem_resource, &host->mem, size, WINDOW_MIN,
				WINDOW_MAX, SZ_1G, NULL, NULL);
	if (err)
		return err;
	pci_add_resource(windows, &host->busn);
	pci_add_resource_offset(windows, &host->io, row->io_offset);
	pci_add_resource_offset(windows, &host->mem, row->offset);
	return row->far_offset ? host_add_far_window(host, row->far_offset) : 0;
}

static int host_scan(struct mock_host *host)
{
	struct pci_bus *bus;
	int err;

	pci_lock_rescan_remove();
	err = pci_scan_root_bus_bridge(host->bridge);
	if (!err) {
		bus = host->bridge->bus;
		pci_assign_unassigned_root_bus_resources(bus);
		pci_bus_add_devices(bus);
	}
	pci_unlock_rescan_remove();
	return err;
}

static int host_add(struct mock_function *fn)
{
	struct mock_host *host = fn->host;
	struct pci_host_bridge *bridge;
	int err;

	bridge = pci_alloc_host_bridge(0);
	if (!bridge)
		return -ENOMEM;
	host->bridge = bridge;
	init_arch_data(&host->sysdata->arch, host->domain);
	bridge->domain_nr = host->domain;
	kref_get(&host->mock->ref);
	pci_set_host_bridge_release(bridge, host_release, host);
	bridge->sysdata = host->sysdata;
	bridge->ops = &mock_ops;
	bridge->busnr = fn->row.bus;
	/* Service drivers would request interrupts; the mock has none. */
	bridge->native_aer = 0;
	bridge->native_pcie_hotplug = 0;
	bridge->native_shpc_hotplug = 0;
	bridge->native_pme = 0;
	bridge->native_ltr = 0;
	bridge->native_dpc = 0;

	err = host_add_windows(host, &fn->row);
	return err ?: host_scan(host);
}

static void host_remove(struct mock_host *host)
{
	if (host->bridge->bus) {
		pci_lock_rescan_remove();
		pci_stop_root_bus(host->bridge->bus);
		pci_remove_root_bus(host->bridge->bus);
		pci_unlock_rescan_remove();
	}
	if (host->mem.parent)
		release_resource(&host->mem);
	if (host->far.parent)
		release_resource(&host->far);
	kfree(host->sysdata);
	host->sysdata = NULL;
	pci_free_host_bridge(host->bridge);
	host->bridge = NULL;
}

static struct mock_function *function_of(struct mock_pci *mock,
					 unsigned int row)
{
	KUNIT_ASSERT_LT(mock->test, row, mock->nr);
	return &mock->fn[row];
}

/* Machines of thousands of functions have fewer buses, so look for the bus. */
static struct pci_dev *find_dev(struct mock_pci *mock, struct mock_function *fn)
{
	int nr = function_bus(mock, fn);
	struct pci_dev *pdev;
	struct pci_bus *bus;

	if (nr < 0 || !fn->host->sysdata)
		return NULL;
	bus = pci_find_bus(fn->host->domain, nr);
	if (!bus)
		return NULL;
	pdev = pci_get_slot(bus, fn->row.devfn);
	pci_dev_put(pdev);
	return pdev;
}

/**
 * mock_pci_dev - look up the function of a row
 * @mock: the hierarchy
 * @row: index of the row
 *
 * Fails the test if the core did not find the function, or if the function is
 * unplugged.
 *
 * Return: the function without a reference; valid until unplugged.
 */
struct pci_dev *mock_pci_dev(struct mock_pci *mock, unsigned int row)
{
	struct pci_dev *pdev = find_dev(mock, function_of(mock, row));

	KUNIT_ASSERT_NOT_NULL_MSG(mock->test, pdev, "row %u is not enumerated",
				  row);
	return pdev;
}

/**
 * mock_pci_vf - look up a virtual function
 * @mock: the hierarchy
 * @row: row of the physical function
 * @id: number of the virtual function, from 0
 *
 * Return: the function, without a reference.
 */
struct pci_dev *mock_pci_vf(struct mock_pci *mock, unsigned int row,
			    unsigned int id)
{
	struct pci_dev *pf = mock_pci_dev(mock, row);
	struct pci_dev *vf;

	vf = pci_get_domain_bus_and_slot(pci_domain_nr(pf->bus),
					 pci_iov_virtfn_bus(pf, id),
					 pci_iov_virtfn_devfn(pf, id));
	KUNIT_ASSERT_NOT_NULL_MSG(mock->test, vf,
				  "row %u has no virtual function %u", row, id);
	pci_dev_put(vf);
	return vf;
}

/**
 * mock_pci_host - look up the host bridge of a row
 * @mock: the hierarchy
 * @row: row of a host bridge or of a function
 *
 * Return: the host bridge, without a reference.
 */
struct pci_host_bridge *mock_pci_host(struct mock_pci *mock, unsigned int row)
{
	return function_of(mock, row)->host->bridge;
}

/**
 * mock_pci_device - look up the struct device of a row
 * @mock: the hierarchy
 * @row: row of a host bridge or of a function
 *
 * Return: the device, without a reference.
 */
struct device *mock_pci_device(struct mock_pci *mock, unsigned int row)
{
	if (function_of(mock, row)->row.kind == MOCK_PCI_HOST)
		return &mock_pci_host(mock, row)->dev;
	return &mock_pci_dev(mock, row)->dev;
}

/* As pci_enable_sriov(), without the 100 ms for real hardware. */
static int enable_vfs(struct mock_pci *mock, struct mock_function *fn)
{
	struct pci_dev *pf = find_dev(mock, fn);
	int err = 0;

	if (!fn->row.vfs)
		return 0;
	if (!pf || !pf->is_physfn)
		return -ENODEV;
	pci_write_config_word(pf, pf->sriov->pos + PCI_SRIOV_NUM_VF,
			      fn->row.vfs);
	pci_write_config_word(pf, pf->sriov->pos + PCI_SRIOV_CTRL,
			      PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE);
	while (!err && fn->vfs < fn->row.vfs) {
		err = pci_iov_add_virtfn(pf, fn->vfs);
		fn->vfs += !err;
	}
	return err;
}

static void disable_vfs(struct mock_pci *mock, struct mock_function *fn)
{
	struct pci_dev *pf = find_dev(mock, fn);

	if (pf && fn->vfs) {
		while (fn->vfs)
			pci_iov_remove_virtfn(pf, --fn->vfs);
		pci_write_config_word(pf, pf->sriov->pos + PCI_SRIOV_CTRL, 0);
	}
}

/* After enumeration: undo the core's ACS settings, start to be unreadable. */
static void finish_function(struct mock_pci *mock, struct mock_function *fn)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&mock->lock, flags);
	if (fn->cfg.acs)
		cfg_set_acs(&fn->cfg, &fn->row.acs);
	if (fn->vf_cfg && fn->vf_cfg->acs)
		cfg_set_acs(fn->vf_cfg, &fn->row.vf_acs);
	fn->unreadable = fn->row.unreadable;
	raw_spin_unlock_irqrestore(&mock->lock, flags);
}

static int enable_and_finish(struct mock_pci *mock, struct mock_function *fn)
{
	int err;

	pci_lock_rescan_remove();
	err = enable_vfs(mock, fn);
	pci_unlock_rescan_remove();
	finish_function(mock, fn);
	return err;
}

static int add_hosts(struct mock_pci *mock)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < mock->nr && !err; i++)
		if (mock->fn[i].row.kind == MOCK_PCI_HOST)
			err = host_add(&mock->fn[i]);
	for (i = 0; i < mock->nr && !err; i++)
		if (mock->fn[i].row.kind > MOCK_PCI_HOST)
			err = enable_and_finish(mock, &mock->fn[i]);
	return err;
}

static void remove_hosts(void *data)
{
	struct mock_pci *mock = data;
	unsigned int i;

	pci_lock_rescan_remove();
	for (i = mock->nr; i--;)
		disable_vfs(mock, &mock->fn[i]);
	pci_unlock_rescan_remove();
	for (i = mock->nr; i--;)
		if (mock->fn[i].row.kind == MOCK_PCI_HOST && mock->fn[i].host &&
		    mock->fn[i].host->bridge)
			host_remove(mock->fn[i].host);
	p2pdma_forget_denials();
	kref_put(&mock->ref, mock_free);
}

static int init_row(struct mock_pci *mock, unsigned int i,
		    const struct mock_pci_row *row)
{
	struct mock_function *fn = &mock->fn[i];

	fn->row = *row;
	fn->present = row->kind > MOCK_PCI_HOST;
	if (fn->present && (row->up >= i || !mock->fn[row->up].host))
		return -EINVAL;
	if (fn->present)
		fn->host = mock->fn[row->up].host;
	if (row->kind == MOCK_PCI_HOST) {
		fn->host = kzalloc(sizeof(*fn->host), GFP_KERNEL);
		if (!fn->host)
			return -ENOMEM;
		fn->host->mock = mock;
		fn->host->domain = row->domain;
		fn->host->sysdata =
			kzalloc(sizeof(*fn->host->sysdata), GFP_KERNEL);
		if (!fn->host->sysdata)
			return -ENOMEM;
		fn->host->sysdata->mock = mock;
		fn->host->sysdata->host = fn->host;
	}
	if (row->total_vfs) {
		fn->vf_cfg = kzalloc(sizeof(*fn->vf_cfg), GFP_KERNEL);
		if (!fn->vf_cfg)
			return -ENOMEM;
	}
	return 0;
}

/**
 * mock_pci_copy - copy a table, to change some rows
 * @test: the test
 * @rows: the table
 * @nr: number of rows
 *
 * Return: the copy, freed at the end of the test.
 */
struct mock_pci_row *mock_pci_copy(struct kunit *test,
				   const struct mock_pci_row *rows,
				   unsigned int nr)
{
	struct mock_pci_row *copy =
		kunit_kmalloc_array(test, nr, sizeof(*copy), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, copy);
	memcpy(copy, rows, nr * sizeof(*copy));
	return copy;
}

/**
 * mock_pci_add - build a hierarchy
 * @test: the test; fails if a row is invalid or an allocation fails
 * @rows: the table
 * @nr: number of rows
 *
 * The hierarchy is removed at the end of the test, or by mock_pci_remove().
 *
 * Return: the hierarchy.
 */
struct mock_pci *mock_pci_add(struct kunit *test,
			      const struct mock_pci_row *rows, unsigned int nr)
{
	struct mock_pci *mock;
	unsigned int i;
	int err = 0;

	mock = kvzalloc(struct_size(mock, fn, nr), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mock);
	kref_init(&mock->ref);
	raw_spin_lock_init(&mock->lock);
	mock->test = test;
	mock->nr = nr;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, remove_hosts, mock));

	for (i = 0; i < nr && !err; i++)
		err = init_row(mock, i, &rows[i]);
	KUNIT_ASSERT_EQ_MSG(test, err, 0, "row %u of the hierarchy is wrong",
			    i - 1);
	for (i = 0; i < nr; i++)
		if (mock->fn[i].present)
			init_cfg(mock, &mock->fn[i]);
	KUNIT_ASSERT_EQ(test, 0, add_hosts(mock));
	return mock;
}

/**
 * mock_pci_remove - remove a hierarchy before the end of the test
 * @mock: the hierarchy
 */
void mock_pci_remove(struct mock_pci *mock)
{
	kunit_release_action(mock->test, remove_hosts, mock);
}

static bool is_below(struct mock_pci *mock, unsigned int row,
		     unsigned int above)
{
	while (row != above && mock->fn[row].row.kind > MOCK_PCI_HOST)
		row = mock->fn[row].row.up;
	return row == above;
}

/**
 * mock_pci_unplug - hot-unplug a function and all functions below
 * @mock: the hierarchy
 * @row: row of the function
 */
void mock_pci_unplug(struct mock_pci *mock, unsigned int row)
{
	struct pci_dev *pdev = mock_pci_dev(mock, row);
	unsigned long flags;
	unsigned int i;

	pci_lock_rescan_remove();
	for (i = mock->nr; i--;)
		if (is_below(mock, i, row))
			disable_vfs(mock, &mock->fn[i]);
	pci_stop_and_remove_bus_device(pdev);
	pci_unlock_rescan_remove();

	raw_spin_lock_irqsave(&mock->lock, flags);
	mock->fn[row].present = false;
	raw_spin_unlock_irqrestore(&mock->lock, flags);
}

/**
 * mock_pci_plug - plug an unplugged function or a replacement in
 * @mock: the hierarchy
 * @row: row of the unplugged function
 * @replacement: new contents of the row, NULL for no change; may have virtual
 *	functions only if the original row has @total_vfs
 *
 * Functions below come back too, with registers as after mock_pci_add(). A
 * function below with an unplug of its own stays unplugged.
 *
 * Return: the function, without a reference.
 */
struct pci_dev *mock_pci_plug(struct mock_pci *mock, unsigned int row,
			      const struct mock_pci_row *replacement)
{
	struct mock_function *fn = function_of(mock, row);
	struct pci_bus *bus;
	unsigned long flags;
	unsigned int i;

	KUNIT_ASSERT_FALSE(mock->test, fn->present);
	raw_spin_lock_irqsave(&mock->lock, flags);
	if (replacement)
		fn->row = *replacement;
	fn->host = mock->fn[fn->row.up].host;
	fn->present = true;
	for (i = row; i < mock->nr; i++) {
		if (!is_below(mock, i, row))
			continue;
		mock->fn[i].unreadable = false;
		init_cfg(mock, &mock->fn[i]);
	}
	raw_spin_unlock_irqrestore(&mock->lock, flags);

	bus = pci_find_bus(fn->host->domain, function_bus(mock, fn));
	KUNIT_ASSERT_NOT_NULL(mock->test, bus);
	pci_lock_rescan_remove();
	pci_rescan_bus(bus);
	pci_unlock_rescan_remove();
	for (i = row; i < mock->nr; i++)
		if (is_below(mock, i, row))
			KUNIT_ASSERT_EQ(mock->test, 0,
					enable_and_finish(mock, &mock->fn[i]));
	return mock_pci_dev(mock, row);
}

/**
 * mock_pci_set_acs - change access control, as setpci or firmware would
 * @mock: the hierarchy
 * @row: row of a function with the ACS capability
 * @acs: new access control; the egress control vector may not be larger than
 *	in the row
 */
void mock_pci_set_acs(struct mock_pci *mock, unsigned int row,
		      const struct mock_pci_acs *acs)
{
	struct mock_function *fn = function_of(mock, row);
	unsigned long flags;

	KUNIT_ASSERT_NE(mock->test, fn->cfg.acs, 0);
	KUNIT_ASSERT_LE(mock->test, acs->bits, fn->row.acs.bits);
	raw_spin_lock_irqsave(&mock->lock, flags);
	cfg_set_acs(&fn->cfg, acs);
	raw_spin_unlock_irqrestore(&mock->lock, flags);
}

/**
 * mock_pci_set_unreadable - make a function unreadable or readable
 * @mock: the hierarchy
 * @row: row of the function
 * @unreadable: true if reads shall return all ones
 */
void mock_pci_set_unreadable(struct mock_pci *mock, unsigned int row,
			     bool unreadable)
{
	struct mock_function *fn = function_of(mock, row);
	unsigned long flags;

	raw_spin_lock_irqsave(&mock->lock, flags);
	fn->unreadable = unreadable;
	raw_spin_unlock_irqrestore(&mock->lock, flags);
}

/**
 * mock_pci_reads - count configuration reads
 * @mock: the hierarchy
 *
 * Return: the number of reads since mock_pci_add(), including the PCI core's.
 */
u64 mock_pci_reads(struct mock_pci *mock)
{
	unsigned long flags;
	u64 reads;

	raw_spin_lock_irqsave(&mock->lock, flags);
	reads = mock->reads;
	raw_spin_unlock_irqrestore(&mock->lock, flags);
	return reads;
}

struct mock_binding {
	mock_pci_probe_t probe;
	void *data;
};

/* Binds only after mock_pci_bind(); without drvdata, functions stay unbound. */
static int mock_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct mock_binding *binding = pci_get_drvdata(pdev);

	if (!binding)
		return -ENODEV;
	pci_set_drvdata(pdev, NULL);
	dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	return binding->probe(pdev, binding->data);
}

static const struct pci_device_id mock_ids[] = {
	{ PCI_DEVICE(MOCK_PCI_VENDOR, PCI_ANY_ID) },
	{ }
};

static struct pci_driver mock_driver = {
	.name = "mock_pci",
	.id_table = mock_ids,
	.probe = mock_probe,
};
builtin_pci_driver(mock_driver);

/**
 * mock_pci_bind - bind a function to a driver
 * @pdev: an endpoint of vendor MOCK_PCI_VENDOR
 * @probe: called as the driver's probe
 * @data: argument of @probe
 *
 * Return: 0 or a negative error code, from @probe or the driver core.
 */
int mock_pci_bind(struct pci_dev *pdev, mock_pci_probe_t probe, void *data)
{
	struct mock_binding binding = { .probe = probe, .data = data };
	int err;

	pci_set_drvdata(pdev, &binding);
	err = device_driver_attach(&mock_driver.driver, &pdev->dev);
	if (err)
		pci_set_drvdata(pdev, NULL);
	return err;
}

/**
 * mock_pci_unbind - unbind a function from its driver
 * @pdev: the function
 */
void mock_pci_unbind(struct pci_dev *pdev)
{
	device_release_driver(&pdev->dev);
}

static void child_release(struct device *dev)
{
	kfree(dev);
}

KUNIT_DEFINE_ACTION_WRAPPER(child_unregister, device_unregister,
			    struct device *);

/**
 * mock_pci_add_child - add a device without a bus below a parent
 * @test: the test; fails if the device cannot be added
 * @parent: a PCI function, or any child of a PCI function, or NULL
 * @name: name of the new device
 *
 * The DMA masks have 64 bits. The end of the test removes the device.
 *
 * Return: the device.
 */
struct device *mock_pci_add_child(struct kunit *test, struct device *parent,
				  const char *name)
{
	struct device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, dev);
	device_initialize(dev);
	dev->parent = parent;
	dev->release = child_release;
	dev->coherent_dma_mask = DMA_BIT_MASK(64);
	dev->dma_mask = &dev->coherent_dma_mask;
	if (dev_set_name(dev, "%s", name) || device_add(dev)) {
		put_device(dev);
		KUNIT_FAIL_AND_ABORT(test, "cannot add the device %s", name);
	}
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, child_unregister, dev));
	return dev;
}

KUNIT_DEFINE_ACTION_WRAPPER(sysfs_unmount, kern_unmount, struct vfsmount *);
/* A kernel thread's fput() would defer closing the file to a work item. */
KUNIT_DEFINE_ACTION_WRAPPER(sysfs_close, __fput_sync, struct file *);

/**
 * mock_pci_sysfs_mount - mount sysfs
 * @test: the test; fails if sysfs cannot be mounted
 *
 * Return: the mount; the end of the test unmounts.
 */
struct vfsmount *mock_pci_sysfs_mount(struct kunit *test)
{
	struct file_system_type *type = get_fs_type("sysfs");
	struct vfsmount *mnt;

	KUNIT_ASSERT_NOT_NULL(test, type);
	mnt = kern_mount(type);
	put_filesystem(type);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mnt);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, sysfs_unmount, mnt));
	return mnt;
}

/**
 * mock_pci_sysfs_path - path of a file of a device
 * @test: the test
 * @dev: the device, or NULL for the root of sysfs
 * @name: path below the directory of @dev
 *
 * Return: the path below the root of sysfs, freed at the end of the test.
 */
const char *mock_pci_sysfs_path(struct kunit *test, struct device *dev,
				const char *name)
{
	char *dir = dev ? kobject_get_path(&dev->kobj, GFP_KERNEL) :
			  kstrdup("/.", GFP_KERNEL);
	size_t size;
	char *path;

	KUNIT_ASSERT_NOT_NULL(test, dir);
	size = strlen(dir) + strlen(name) + 1;
	path = kunit_kmalloc(test, size, GFP_KERNEL);
	if (path)
		snprintf(path, size, "%s/%s", dir + 1, name);
	kfree(dir);
	KUNIT_ASSERT_NOT_NULL(test, path);
	return path;
}

/**
 * mock_pci_sysfs_reopen - open a file in sysfs outside of the thread of a test
 * @mnt: result of mock_pci_sysfs_mount()
 * @path: result of mock_pci_sysfs_path()
 *
 * Return: the file, open for reading; close with __fput_sync(). Or an
 * ERR_PTR().
 */
struct file *mock_pci_sysfs_reopen(struct vfsmount *mnt, const char *path)
{
	return file_open_root_mnt(mnt, path, O_RDONLY, 0);
}

/**
 * mock_pci_sysfs_open - open a file of a device in sysfs
 * @test: the test
 * @dev: the device, or NULL for the root of sysfs
 * @name: path below the directory of @dev
 * @flags: flags of open()
 *
 * Return: the file, closed by mock_pci_sysfs_close() or the end of the test, or
 * an ERR_PTR().
 */
struct file *mock_pci_sysfs_open(struct kunit *test, struct device *dev,
				 const char *name, int flags)
{
	const char *path = mock_pci_sysfs_path(test, dev, name);
	struct file *file =
		file_open_root_mnt(mock_pci_sysfs_mount(test), path, flags, 0);

	if (!IS_ERR(file))
		KUNIT_ASSERT_EQ(test, 0,
				kunit_add_action_or_reset(test, sysfs_close,
							  file));
	return file;
}

/**
 * mock_pci_sysfs_close - close a file before the test ends
 * @test: the test that opened it
 * @file: the file
 */
void mock_pci_sysfs_close(struct kunit *test, struct file *file)
{
	kunit_release_action(test, sysfs_close, file);
}

/**
 * mock_pci_sysfs_write - write to a file of a device in sysfs
 * @test: the test
 * @dev: the device, or NULL for the root of sysfs
 * @name: path below the directory of @dev
 * @text: text to write
 *
 * Return: number of bytes written, or a negative error code.
 */
ssize_t mock_pci_sysfs_write(struct kunit *test, struct device *dev,
			     const char *name, const char *text)
{
	struct file *file = mock_pci_sysfs_open(test, dev, name, O_WRONLY);
	loff_t pos = 0;
	ssize_t len;

	if (IS_ERR(file))
		return PTR_ERR(file);
	len = kernel_write(file, text, strlen(text), &pos);
	mock_pci_sysfs_close(test, file);
	return len;
}

/**
 * mock_pci_sysfs_read - read a file of a device in sysfs
 * @test: the test
 * @dev: the device, or NULL for the root of sysfs
 * @name: path below the directory of @dev
 * @buf: buffer for the text; always NUL-terminated
 * @size: size of @buf
 *
 * Return: number of bytes read, or a negative error code.
 */
ssize_t mock_pci_sysfs_read(struct kunit *test, struct device *dev,
			    const char *name, char *buf, size_t size)
{
	struct file *file = mock_pci_sysfs_open(test, dev, name, O_RDONLY);
	loff_t pos = 0;
	ssize_t len;

	buf[0] = '\0';
	if (IS_ERR(file))
		return PTR_ERR(file);
	len = kernel_read(file, buf, size - 1, &pos);
	if (len >= 0)
		buf[len] = '\0';
	mock_pci_sysfs_close(test, file);
	return len;
}
