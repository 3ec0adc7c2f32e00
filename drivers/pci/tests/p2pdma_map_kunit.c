// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite p2pdma_map: DMA mapping of peer memory, and the cache of routes
 * behind the mapping
 *
 * Maps with dma_map_sg() and dma_map_sgtable() like any driver. The expected
 * bus address comes from the BAR register of the mock device, as the PCI core
 * wrote the register.
 */

#include <kunit/resource.h>
#include <kunit/static_stub.h>
#include <kunit/test.h>

#include <linux/capability.h>
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "../p2pdma-private.h"
#include "mock_pci.h"
#include "p2pdma_kunit.h"

#define OFFSET	(128LL * SZ_1G)

/*
 *	        host bridge (unlisted)
 *	     ________|___________
 *	    |                    |
 *	   RP1                  RP2
 *	    |                    |
 *	   USP                  FAR, a client with memory in BAR 0
 *	 ___|__________________
 *	|        |             |
 *	DSP0    DSP1          DSP2
 *	|        |             |
 *	CLIENT  MEM           MEM2, memory in BAR 0
 *	        memory in
 *	        BAR 0 and 2
 */
enum {
	HOST, RP1, USP, DSP0, DSP1, DSP2, CLIENT, MEM, MEM2, RP2, FAR, NR
};

static const struct mock_pci_row map_rows[NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[RP1] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(1, 0),
		  .acs = MOCK_PCI_ACS(0) },
	[USP] = { .kind = MOCK_PCI_UPSTREAM, .up = RP1 },
	[DSP0] = { .kind = MOCK_PCI_DOWNSTREAM, .up = USP, .port = 1,
		   .acs = MOCK_PCI_ACS(0) },
	[DSP1] = { .kind = MOCK_PCI_DOWNSTREAM, .up = USP,
		   .devfn = PCI_DEVFN(1, 0), .port = 2,
		   .acs = MOCK_PCI_ACS(0) },
	[DSP2] = { .kind = MOCK_PCI_DOWNSTREAM, .up = USP,
		   .devfn = PCI_DEVFN(2, 0), .port = 3 },
	[CLIENT] = { .kind = MOCK_PCI_ENDPOINT, .up = DSP0, .bar[0] = SZ_2M },
	[MEM] = { .kind = MOCK_PCI_ENDPOINT, .up = DSP1, .bar[0] = SZ_2M,
		  .bar[2] = SZ_2M },
	[MEM2] = { .kind = MOCK_PCI_ENDPOINT, .up = DSP2, .bar[0] = SZ_2M },
	[RP2] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(2, 0) },
	[FAR] = { .kind = MOCK_PCI_ENDPOINT, .up = RP2, .bar[0] = SZ_2M },
};

static const struct p2pdma_kunit_range bars_0_and_2[] = {
	{ .bar = 0 }, { .bar = 2 }
};

static struct mock_pci *map_add(struct kunit *test, s64 offset)
{
	struct mock_pci_row *rows = mock_pci_copy(test, map_rows, NR);

	rows[HOST].offset = offset;
	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_does_not_route);
	return mock_pci_add(test, rows, NR);
}

static void let_cpu_route(struct kunit *test)
{
	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_routes);
	p2pdma_routes_changed();
}

static struct device *client_at(struct mock_pci *mock, unsigned int row)
{
	struct device *dev = &mock_pci_dev(mock, row)->dev;

	dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	return dev;
}

/* Bus address in the BAR register of the device. */
static u64 bar_register(struct pci_dev *pdev, int bar)
{
	u32 low, high;

	pci_read_config_dword(pdev, PCI_BASE_ADDRESS_0 + 4 * bar, &low);
	pci_read_config_dword(pdev, PCI_BASE_ADDRESS_0 + 4 * bar + 4, &high);
	return (u64)high << 32 | (low & PCI_BASE_ADDRESS_MEM_MASK);
}

/* Returns the BAR around an address; the pool may take memory from any BAR. */
static int bar_of(struct pci_dev *pdev, void *addr)
{
	u64 phys = virt_to_phys(addr);
	int bar;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++)
		if (phys >= pci_resource_start(pdev, bar) &&
		    phys <= pci_resource_end(pdev, bar))
			return bar;
	return -1;
}

/* Bus address of memory of @pdev: BAR register plus offset in the BAR. */
static u64 bus_address(struct pci_dev *pdev, void *addr)
{
	int bar = bar_of(pdev, addr);

	return bar < 0 ? 0 :
	       bar_register(pdev, bar) +
		       (virt_to_phys(addr) - pci_resource_start(pdev, bar));
}

/**
 * struct list - a scatterlist under construction
 * @sgt: the list
 * @used: number of entries set so far
 */
struct list {
	struct sg_table sgt;
	unsigned int used;
};

static void list_init(struct kunit *test, struct list *list, unsigned int nr)
{
	list->sgt.sgl = kunit_kcalloc(test, nr, sizeof(*list->sgt.sgl),
				      GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, list->sgt.sgl);
	list->sgt.orig_nents = nr;
	list->used = 0;
	sg_init_table(list->sgt.sgl, nr);
}

static void list_add_addr(struct list *list, void *addr, unsigned int len)
{
	sg_set_page(&list->sgt.sgl[list->used++], virt_to_page(addr), len,
		    offset_in_page(addr));
}

/* Allocates @size bytes, adds at most 64 KiB: the default segment limit. */
static void *list_add_mem(struct kunit *test, struct list *list,
			  struct pci_dev *pdev, unsigned int size)
{
	struct p2pdma_kunit_mem *mem = p2pdma_kunit_alloc(test, pdev, size);

	KUNIT_ASSERT_NOT_NULL(test, mem);
	list_add_addr(list, mem->addr, min_t(unsigned int, size, SZ_64K));
	return mem->addr;
}

static void *list_add_ram(struct kunit *test, struct list *list)
{
	void *addr = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, addr);
	list_add_addr(list, addr, 512);
	return addr;
}

static void expect_bus(struct kunit *test, struct scatterlist *sg, u64 address)
{
	KUNIT_EXPECT_EQ(test, sg_dma_address(sg), address);
	KUNIT_EXPECT_EQ(test, sg_dma_len(sg), sg->length);
	KUNIT_EXPECT_TRUE(test, sg_dma_is_bus_address(sg));
}

static void expect_host(struct kunit *test, struct scatterlist *sg, void *addr)
{
	KUNIT_EXPECT_EQ(test, sg_dma_address(sg), virt_to_phys(addr));
	KUNIT_EXPECT_EQ(test, sg_dma_len(sg), sg->length);
	KUNIT_EXPECT_FALSE(test, sg_dma_is_bus_address(sg));
}

/* Maps a page of @provider for @dev and unmaps the page. Returns the error. */
static int map_one(struct kunit *test, struct device *dev,
		   struct pci_dev *provider)
{
	struct p2pdma_kunit_mem *mem = p2pdma_kunit_alloc(test, provider,
							  PAGE_SIZE);
	struct sg_table sgt = { .orig_nents = 1 };
	struct scatterlist sg;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, mem);
	sg_init_one(&sg, mem->addr, PAGE_SIZE);
	sgt.sgl = &sg;
	err = dma_map_sgtable(dev, &sgt, DMA_FROM_DEVICE, 0);
	if (!err)
		dma_unmap_sgtable(dev, &sgt, DMA_FROM_DEVICE, 0);
	p2pdma_kunit_free(test, mem);
	return err;
}

struct offset_case {
	const char *name;
	s64 offset;
};

static const struct offset_case offset_cases[] = {
	{ "bus addresses are CPU addresses", 0 },
	{ "bus addresses are below CPU addresses", OFFSET },
	{ "bus addresses are above CPU addresses", -OFFSET },
};

KUNIT_ARRAY_PARAM_DESC(offset, offset_cases, name);

static void map_direct(struct kunit *test)
{
	const struct offset_case *c = test->param_value;
	struct mock_pci *mock = map_add(test, c->offset);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	struct device *client = client_at(mock, CLIENT);
	struct list list;
	void *addr[2];

	p2pdma_kunit_provide_ranges(test, provider, bars_0_and_2, 2);
	list_init(test, &list, 2);
	addr[0] = list_add_mem(test, &list, provider, SZ_64K);
	addr[1] = list_add_mem(test, &list, provider, 512);

	KUNIT_ASSERT_EQ(test, 0,
			dma_map_sgtable(client, &list.sgt,
					DMA_BIDIRECTIONAL, 0));
	KUNIT_EXPECT_EQ(test, list.sgt.nents, 2);
	expect_bus(test, &list.sgt.sgl[0], bus_address(provider, addr[0]));
	expect_bus(test, &list.sgt.sgl[0], virt_to_phys(addr[0]) - c->offset);
	expect_bus(test, &list.sgt.sgl[1], bus_address(provider, addr[1]));
	dma_unmap_sgtable(client, &list.sgt, DMA_BIDIRECTIONAL, 0);
}

/* The host bridge translates CPU addresses, so DMA uses the CPU address. */
static void map_through_host_bridge(struct kunit *test)
{
	const struct offset_case *c = test->param_value;
	struct mock_pci *mock = map_add(test, c->offset);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	struct device *client = client_at(mock, FAR);
	struct list list;
	void *addr;

	let_cpu_route(test);
	p2pdma_kunit_provide(test, provider);
	list_init(test, &list, 1);
	addr = list_add_mem(test, &list, provider, SZ_8K);

	KUNIT_ASSERT_EQ(test, 0,
			dma_map_sgtable(client, &list.sgt, DMA_TO_DEVICE, 0));
	expect_host(test, list.sgt.sgl, addr);
	dma_unmap_sgtable(client, &list.sgt, DMA_TO_DEVICE, 0);
}

static void virt_to_bus(struct kunit *test)
{
	const struct offset_case *c = test->param_value;
	struct mock_pci *mock = map_add(test, c->offset);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	struct pci_dev *other = mock_pci_dev(mock, MEM2);
	struct p2pdma_kunit_mem *low, *high;
	void *ram;

	p2pdma_kunit_provide_ranges(test, provider, bars_0_and_2, 2);
	low = p2pdma_kunit_alloc(test, provider, SZ_2M);
	high = p2pdma_kunit_alloc(test, provider, SZ_2M);
	KUNIT_ASSERT_NOT_NULL(test, low);
	KUNIT_ASSERT_NOT_NULL(test, high);
	KUNIT_EXPECT_NE(test, bar_of(provider, low->addr),
			bar_of(provider, high->addr));
	KUNIT_EXPECT_EQ(test, pci_p2pmem_virt_to_bus(provider, low->addr),
			bus_address(provider, low->addr));
	KUNIT_EXPECT_EQ(test,
			pci_p2pmem_virt_to_bus(provider, low->addr + SZ_2M - 1),
			bus_address(provider, low->addr) + SZ_2M - 1);
	KUNIT_EXPECT_EQ(test, pci_p2pmem_virt_to_bus(provider, high->addr),
			bus_address(provider, high->addr));
	KUNIT_EXPECT_EQ(test, bus_address(provider, low->addr),
			virt_to_phys(low->addr) - c->offset);

	/* Memory of anything but the provider has no bus address there. */
	ram = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, pci_p2pmem_virt_to_bus(provider, ram), 0);
	KUNIT_EXPECT_EQ(test, pci_p2pmem_virt_to_bus(provider, NULL), 0);
	KUNIT_EXPECT_EQ(test, pci_p2pmem_virt_to_bus(other, low->addr), 0);
	p2pdma_kunit_provide(test, other);
	KUNIT_EXPECT_EQ(test, pci_p2pmem_virt_to_bus(other, low->addr), 0);
}

static void map_refused(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	struct device *client = client_at(mock, FAR);
	struct list list;

	p2pdma_kunit_provide(test, provider);
	list_init(test, &list, 1);
	list_add_mem(test, &list, provider, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test,
			dma_map_sgtable(client, &list.sgt, DMA_TO_DEVICE, 0),
			-EREMOTEIO);
	KUNIT_EXPECT_EQ(test,
			dma_map_sg(client, list.sgt.sgl, 1, DMA_TO_DEVICE), 0);
	/* The cached verdict gives the same answer. */
	KUNIT_EXPECT_EQ(test,
			dma_map_sgtable(client, &list.sgt, DMA_TO_DEVICE, 0),
			-EREMOTEIO);
}

/* A device that is not below a PCI function cannot master DMA to a provider. */
static void map_for_stranger(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	struct device *stranger = mock_pci_add_child(test, NULL,
						     "mock-stranger");

	p2pdma_kunit_provide(test, provider);
	let_cpu_route(test);
	KUNIT_EXPECT_EQ(test, map_one(test, stranger, provider), -EREMOTEIO);
	KUNIT_EXPECT_LT(test,
			pci_p2pdma_distance(provider, stranger, false), 0);
}

/* A function with all redirects on still reaches its own memory. */
static void map_own_memory(struct kunit *test)
{
	struct mock_pci_row *rows = mock_pci_copy(test, map_rows, NR);
	struct mock_pci *mock;
	struct pci_dev *provider;

	rows[MEM].acs =
		(struct mock_pci_acs)MOCK_PCI_ACS(PCI_ACS_RR | PCI_ACS_CR);
	mock = mock_pci_add(test, rows, NR);
	provider = mock_pci_dev(mock, MEM);
	p2pdma_kunit_provide(test, provider);
	KUNIT_EXPECT_EQ(test, map_one(test, client_at(mock, MEM), provider), 0);
}

static void map_mixed_direct(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, OFFSET);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct pci_dev *mem2 = mock_pci_dev(mock, MEM2);
	struct device *client = client_at(mock, CLIENT);
	struct scatterlist *sg;
	struct list list;
	void *addr[7];

	p2pdma_kunit_provide_ranges(test, mem, bars_0_and_2, 2);
	p2pdma_kunit_provide(test, mem2);
	list_init(test, &list, 7);
	addr[0] = list_add_ram(test, &list);
	addr[1] = list_add_mem(test, &list, mem, SZ_2M);
	addr[2] = list_add_mem(test, &list, mem, SZ_1M);
	addr[3] = list_add_ram(test, &list);
	addr[4] = list_add_mem(test, &list, mem2, SZ_4K);
	addr[5] = list_add_mem(test, &list, mem, SZ_4K);
	addr[6] = list_add_ram(test, &list);

	KUNIT_ASSERT_EQ(test, 0,
			dma_map_sgtable(client, &list.sgt,
					DMA_BIDIRECTIONAL, 0));
	KUNIT_ASSERT_EQ(test, list.sgt.nents, 7);
	sg = list.sgt.sgl;
	expect_host(test, &sg[0], addr[0]);
	expect_bus(test, &sg[1], bus_address(mem, addr[1]));
	expect_bus(test, &sg[2], bus_address(mem, addr[2]));
	expect_host(test, &sg[3], addr[3]);
	expect_bus(test, &sg[4], bus_address(mem2, addr[4]));
	expect_bus(test, &sg[5], bus_address(mem, addr[5]));
	expect_host(test, &sg[6], addr[6]);
	dma_unmap_sgtable(client, &list.sgt, DMA_BIDIRECTIONAL, 0);
}

/*
 * Direct entries and entries through the host bridge in one list: the bus
 * address flag of an entry must not leak into the next entry.
 */
static void map_mixed_routes(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, OFFSET);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct pci_dev *far = mock_pci_dev(mock, FAR);
	struct device *client = client_at(mock, CLIENT);
	struct list list;
	void *addr[4];

	let_cpu_route(test);
	p2pdma_kunit_provide(test, mem);
	p2pdma_kunit_provide(test, far);
	list_init(test, &list, 4);
	addr[0] = list_add_mem(test, &list, mem, SZ_4K);
	addr[1] = list_add_mem(test, &list, far, SZ_4K);
	addr[2] = list_add_mem(test, &list, mem, SZ_8K);
	addr[3] = list_add_ram(test, &list);

	KUNIT_ASSERT_EQ(test, 0,
			dma_map_sgtable(client, &list.sgt, DMA_FROM_DEVICE, 0));
	expect_bus(test, &list.sgt.sgl[0], bus_address(mem, addr[0]));
	expect_host(test, &list.sgt.sgl[1], addr[1]);
	expect_bus(test, &list.sgt.sgl[2], bus_address(mem, addr[2]));
	expect_host(test, &list.sgt.sgl[3], addr[3]);
	dma_unmap_sgtable(client, &list.sgt, DMA_FROM_DEVICE, 0);
}

/* A single refused entry, at any position, fails the whole list. */
static void map_mixed_refused(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, OFFSET);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct pci_dev *far = mock_pci_dev(mock, FAR);
	struct device *client = client_at(mock, CLIENT);
	unsigned int bad, i;
	struct list list;

	p2pdma_kunit_provide(test, mem);
	p2pdma_kunit_provide(test, far);
	for (bad = 0; bad < 3; bad++) {
		list_init(test, &list, 4);
		for (i = 0; i < 3; i++)
			list_add_mem(test, &list, i == bad ? far : mem, SZ_4K);
		list_add_ram(test, &list);
		KUNIT_EXPECT_EQ_MSG(test,
				    dma_map_sgtable(client, &list.sgt,
						    DMA_TO_DEVICE, 0),
				    -EREMOTEIO, "entry %u", bad);
	}
}

/* Entry by entry, with a state that the caller zeroes only once for a list. */
static void map_segment_state(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, -OFFSET);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct pci_dev *far = mock_pci_dev(mock, FAR);
	struct device *client = client_at(mock, CLIENT);
	struct pci_p2pdma_map_state state = {};
	struct list list;
	void *addr;

	p2pdma_kunit_provide(test, mem);
	p2pdma_kunit_provide(test, far);
	list_init(test, &list, 3);
	addr = list_add_mem(test, &list, mem, SZ_4K);
	list_add_mem(test, &list, far, SZ_4K);
	list_add_mem(test, &list, mem, SZ_4K);

	KUNIT_EXPECT_EQ(test,
			pci_p2pdma_map_segment(&state, client,
					       &list.sgt.sgl[0]),
			PCI_P2PDMA_MAP_BUS_ADDR);
	expect_bus(test, &list.sgt.sgl[0], bus_address(mem, addr));
	KUNIT_EXPECT_EQ(test,
			pci_p2pdma_map_segment(&state, client,
					       &list.sgt.sgl[1]),
			PCI_P2PDMA_MAP_NOT_SUPPORTED);
	KUNIT_EXPECT_FALSE(test, sg_dma_is_bus_address(&list.sgt.sgl[1]));
	KUNIT_EXPECT_EQ(test,
			pci_p2pdma_map_segment(&state, client,
					       &list.sgt.sgl[2]),
			PCI_P2PDMA_MAP_BUS_ADDR);
}

static void map_sgl_of_provider(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, OFFSET);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = client_at(mock, CLIENT);
	struct scatterlist *sgl, *sg;
	unsigned int nents = 0, i;
	size_t total = 0;

	p2pdma_kunit_provide(test, mem);
	sgl = pci_p2pmem_alloc_sgl(mem, &nents, SZ_64K);
	KUNIT_ASSERT_NOT_NULL(test, sgl);
	KUNIT_EXPECT_EQ(test, dma_map_sg(client, sgl, nents, DMA_TO_DEVICE),
			nents);
	for_each_sg(sgl, sg, nents, i) {
		expect_bus(test, sg, bus_address(mem, sg_virt(sg)));
		total += sg_dma_len(sg);
	}
	KUNIT_EXPECT_EQ(test, total, SZ_64K);
	dma_unmap_sg(client, sgl, nents, DMA_TO_DEVICE);
	pci_p2pmem_free_sgl(mem, sgl);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, mem, "available"),
			SZ_2M);
}

/*
 * Free every other page, so that an SGL of 1 MiB needs more entries than fit
 * into a page.
 */
static void free_every_other(struct pci_dev *mem, void *addr, size_t size)
{
	size_t done;

	for (done = 0; done < size; done += SZ_8K)
		pci_p2pmem_free(mem, addr + done, SZ_4K);
}

static void expect_mapped(struct kunit *test, struct pci_dev *mem,
			  struct device *client, struct scatterlist *sgl,
			  unsigned int nents)
{
	struct scatterlist *sg;
	size_t total = 0;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, dma_map_sg(client, sgl, nents, DMA_TO_DEVICE),
			nents);
	for_each_sg(sgl, sg, nents, i) {
		expect_bus(test, sg, bus_address(mem, sg_virt(sg)));
		total += sg_dma_len(sg);
	}
	KUNIT_EXPECT_EQ(test, total, SZ_1M);
	dma_unmap_sg(client, sgl, nents, DMA_TO_DEVICE);
}

static void map_sgl_in_pieces(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, OFFSET);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct scatterlist *sgl;
	unsigned int nents = 0;
	void *addr;

	p2pdma_kunit_provide(test, mem);
	addr = pci_p2pmem_alloc(mem, SZ_2M);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	free_every_other(mem, addr, SZ_2M);
	sgl = pci_p2pmem_alloc_sgl(mem, &nents, SZ_1M);
	KUNIT_EXPECT_NOT_NULL(test, sgl);
	KUNIT_EXPECT_EQ(test, nents, SZ_1M / SZ_4K);
	if (sgl)
		expect_mapped(test, mem, client_at(mock, CLIENT), sgl, nents);
	pci_p2pmem_free_sgl(mem, sgl);
	free_every_other(mem, addr + SZ_4K, SZ_2M);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, mem, "available"),
			SZ_2M);
}

/* Block drivers map with interrupts off. */
static void map_in_atomic_context(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = client_at(mock, CLIENT);
	struct list list;
	unsigned long flags;
	int again;

	p2pdma_kunit_provide(test, mem);
	list_init(test, &list, 1);
	list_add_mem(test, &list, mem, SZ_4K);
	for (again = 0; again < 2; again++) {
		local_irq_save(flags);
		list.sgt.nents = dma_map_sg(client, list.sgt.sgl, 1,
					    DMA_TO_DEVICE);
		local_irq_restore(flags);
		KUNIT_EXPECT_EQ(test, list.sgt.nents, 1);
		dma_unmap_sg(client, list.sgt.sgl, 1, DMA_TO_DEVICE);
	}
}

struct agree_case {
	const char *name;
	u8 client;
	bool cpu;
	bool reachable;
};

static const struct agree_case agree_cases[] = {
	{ "direct", CLIENT, false, true },
	{ "through the host bridge", FAR, true, true },
	{ "refused", FAR, false, false },
};

KUNIT_ARRAY_PARAM_DESC(agree, agree_cases, name);

/* Mapping and distance agree for the function, a child and a grandchild. */
static void map_agrees_with_distance(struct kunit *test)
{
	const struct agree_case *c = test->param_value;
	struct mock_pci *mock = map_add(test, OFFSET);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	struct device *dev = client_at(mock, c->client);
	const char * const names[] = { "mock-child", "mock-grandchild" };
	unsigned int i;

	if (c->cpu)
		let_cpu_route(test);
	p2pdma_kunit_provide(test, provider);
	for (i = 0; i <= ARRAY_SIZE(names); i++) {
		KUNIT_EXPECT_EQ(test,
				pci_p2pdma_distance(provider, dev, false) >= 0,
				c->reachable);
		KUNIT_EXPECT_EQ(test, map_one(test, dev, provider),
				c->reachable ? 0 : -EREMOTEIO);
		if (i < ARRAY_SIZE(names))
			dev = mock_pci_add_child(test, dev, names[i]);
	}
}

/*
 * Equal function numbers in two domains:
 *
 *	domain 1:        RP - CLIENT and MEM (functions 0, 1)
 *	domain 0x10001:  RP - CLIENT and MEM (functions 0, 1)
 *
 * Bus and device numbers are the same in both domains, and so are the lower 16
 * bits of the domain numbers.
 */
enum {
	AL_HOST0, AL_RP0, AL_CLIENT0, AL_MEM0, AL_HOST1, AL_RP1, AL_CLIENT1,
	AL_MEM1, AL_NR
};

static const struct mock_pci_row alias_rows[AL_NR] = {
	[AL_HOST0] = { .kind = MOCK_PCI_HOST, .domain = 1, .offset = OFFSET },
	[AL_RP0] = { .kind = MOCK_PCI_ROOT_PORT },
	[AL_CLIENT0] = { .kind = MOCK_PCI_ENDPOINT, .up = AL_RP0 },
	[AL_MEM0] = { .kind = MOCK_PCI_ENDPOINT, .up = AL_RP0, .devfn = 1,
		      .bar[0] = SZ_2M },
	[AL_HOST1] = { .kind = MOCK_PCI_HOST, .domain = 0x10001,
		       .offset = -OFFSET },
	[AL_RP1] = { .kind = MOCK_PCI_ROOT_PORT, .up = AL_HOST1 },
	[AL_CLIENT1] = { .kind = MOCK_PCI_ENDPOINT, .up = AL_RP1 },
	[AL_MEM1] = { .kind = MOCK_PCI_ENDPOINT, .up = AL_RP1, .devfn = 1,
		      .bar[0] = SZ_2M },
};

static void map_domains_do_not_alias(struct kunit *test)
{
	struct mock_pci *mock = mock_pci_add(test, alias_rows, AL_NR);
	struct pci_dev *mem0 = mock_pci_dev(mock, AL_MEM0);
	struct pci_dev *mem1 = mock_pci_dev(mock, AL_MEM1);
	struct device *client0 = client_at(mock, AL_CLIENT0);
	struct device *client1 = client_at(mock, AL_CLIENT1);
	int again;

	KUNIT_ASSERT_EQ(test, pci_dev_id(mem0), pci_dev_id(mem1));
	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_does_not_route);
	p2pdma_kunit_provide(test, mem0);
	p2pdma_kunit_provide(test, mem1);
	for (again = 0; again < 2; again++) {
		KUNIT_EXPECT_EQ(test, map_one(test, client0, mem0), 0);
		KUNIT_EXPECT_EQ(test, map_one(test, client1, mem0), -EREMOTEIO);
		KUNIT_EXPECT_EQ(test, map_one(test, client1, mem1), 0);
		KUNIT_EXPECT_EQ(test, map_one(test, client0, mem1), -EREMOTEIO);
	}
}

/* Every client of a provider has its own verdict, for any number of clients. */
static void map_many_clients(struct kunit *test)
{
	struct mock_pci_row *rows;
	struct pci_dev *provider;
	struct mock_pci *mock;
	unsigned int i, again;

	/*
	 * Rows: 0 host, 1 RP, 2 USP, 3 the provider's port, 4 provider, then 60
	 * ports and clients.
	 */
	rows = kunit_kcalloc(test, 125, sizeof(*rows), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, rows);
	rows[0] = (struct mock_pci_row) { .kind = MOCK_PCI_HOST, .domain = 1 };
	rows[1] = (struct mock_pci_row) { .kind = MOCK_PCI_ROOT_PORT };
	rows[2] = (struct mock_pci_row) { .kind = MOCK_PCI_UPSTREAM, .up = 1 };
	for (i = 0; i < 61; i++) {
		rows[3 + 2 * i] = (struct mock_pci_row) {
			.kind = MOCK_PCI_DOWNSTREAM, .up = 2,
			.devfn = PCI_DEVFN(i / 2, i % 2),
			.port = i, .acs = MOCK_PCI_ACS(i % 2 ? PCI_ACS_RR : 0),
		};
		rows[4 + 2 * i] = (struct mock_pci_row) {
			.kind = MOCK_PCI_ENDPOINT, .up = 3 + 2 * i,
			.bar[0] = i ? 0 : SZ_2M,
		};
	}
	mock = mock_pci_add(test, rows, 125);
	provider = mock_pci_dev(mock, 4);
	p2pdma_kunit_provide(test, provider);
	for (again = 0; again < 2; again++)
		for (i = 0; i < 61; i++)
			KUNIT_EXPECT_EQ_MSG(test,
					    map_one(test,
						    client_at(mock, 4 + 2 * i),
						    provider),
					    i % 2 ? -EREMOTEIO : 0,
					    "client %u", i);
}

static const struct mock_pci_acs acs_off = MOCK_PCI_ACS(0);
static const struct mock_pci_acs acs_rr = MOCK_PCI_ACS(PCI_ACS_RR);
static const struct mock_pci_acs acs_cr = MOCK_PCI_ACS(PCI_ACS_CR);

/* Another client at the same address, below a port that redirects by now. */
static void map_after_client_was_replaced(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	const struct mock_pci_row other = {
		.kind = MOCK_PCI_ENDPOINT, .up = DSP0, .device = 0x0003,
	};

	p2pdma_kunit_provide(test, provider);
	KUNIT_EXPECT_EQ(test,
			map_one(test, client_at(mock, CLIENT), provider), 0);

	mock_pci_unplug(mock, CLIENT);
	mock_pci_set_acs(mock, DSP0, &acs_rr);
	mock_pci_plug(mock, CLIENT, &other);
	KUNIT_EXPECT_EQ(test, map_one(test, client_at(mock, CLIENT), provider),
			-EREMOTEIO);

	mock_pci_unplug(mock, CLIENT);
	mock_pci_set_acs(mock, DSP0, &acs_off);
	mock_pci_plug(mock, CLIENT, NULL);
	KUNIT_EXPECT_EQ(test,
			map_one(test, client_at(mock, CLIENT), provider), 0);
}

static void map_after_provider_was_replaced(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct device *client = client_at(mock, CLIENT);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);

	p2pdma_kunit_provide(test, provider);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);

	mock_pci_unplug(mock, MEM);
	mock_pci_set_acs(mock, DSP1, &acs_cr);
	provider = mock_pci_plug(mock, MEM, NULL);
	p2pdma_kunit_provide(test, provider);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), -EREMOTEIO);

	mock_pci_unplug(mock, MEM);
	mock_pci_set_acs(mock, DSP1, &acs_off);
	provider = mock_pci_plug(mock, MEM, NULL);
	p2pdma_kunit_provide(test, provider);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);
}

/*
 * Another port with other access control, and the client below, at the same
 * addresses.
 */
static void map_after_port_was_replaced(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	struct mock_pci_row port = map_rows[DSP0];

	p2pdma_kunit_provide(test, provider);
	KUNIT_EXPECT_EQ(test,
			map_one(test, client_at(mock, CLIENT), provider), 0);

	mock_pci_unplug(mock, DSP0);
	port.acs = acs_rr;
	mock_pci_plug(mock, DSP0, &port);
	KUNIT_EXPECT_EQ(test, map_one(test, client_at(mock, CLIENT), provider),
			-EREMOTEIO);
}

/*
 * No notifier reports changes of access control: the code behind a change has
 * to call p2pdma_routes_changed().
 */
static void map_after_routes_changed(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct device *client = client_at(mock, CLIENT);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);

	p2pdma_kunit_provide(test, provider);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);
	mock_pci_set_acs(mock, DSP0, &acs_rr);
	p2pdma_routes_changed();
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), -EREMOTEIO);
	let_cpu_route(test);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), -EREMOTEIO);
	mock_pci_set_acs(mock, DSP0, &acs_off);
	p2pdma_routes_changed();
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);
}

/* Write a register through sysfs, like setpci. */
static void setpci(struct kunit *test, struct pci_dev *pdev, loff_t where,
		   u16 value)
{
	struct file *file = mock_pci_sysfs_open(test, &pdev->dev, "config",
						O_WRONLY);
	__le16 bytes = cpu_to_le16(value);

	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	KUNIT_EXPECT_EQ(test, kernel_write(file, &bytes, sizeof(bytes), &where),
			sizeof(bytes));
	mock_pci_sysfs_close(test, file);
}

static void set_redirect(struct kunit *test, struct pci_dev *port, bool on)
{
	setpci(test, port, port->acs_cap + PCI_ACS_CTRL, on ? PCI_ACS_RR : 0);
}

static void rescan(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test,
			mock_pci_sysfs_write(test, NULL,
					     "bus/pci/p2pdma_rescan", "1"),
			1);
}

/* Returns the rest of CLIENT's line about MEM in p2pdma/peers. */
static const char *verdict(struct kunit *test, struct mock_pci *mock,
			   char *text, size_t size)
{
	const char *line;

	KUNIT_ASSERT_GT(test,
			mock_pci_sysfs_read(test,
					    &mock_pci_dev(mock, CLIENT)->dev,
					    "p2pdma/peers", text, size), 0);
	line = strstr(text, pci_name(mock_pci_dev(mock, MEM)));
	KUNIT_ASSERT_NOT_NULL(test, line);
	return line + strlen(pci_name(mock_pci_dev(mock, MEM))) + 1;
}

/* An administrator sets a bit with setpci, then writes the rescan file. */
static void map_after_setpci(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct device *client = client_at(mock, CLIENT);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	char *text = kunit_kzalloc(test, SZ_4K, GFP_KERNEL);
	struct pci_dev *port = mock_pci_dev(mock, DSP0);

	KUNIT_ASSERT_NOT_NULL(test, text);
	p2pdma_kunit_provide(test, provider);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);
	KUNIT_EXPECT_TRUE(test,
			  strstarts(verdict(test, mock, text, SZ_4K),
				    "direct 4 "));

	set_redirect(test, port, true);
	rescan(test);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), -EREMOTEIO);
	KUNIT_EXPECT_TRUE(test,
			  strstarts(verdict(test, mock, text, SZ_4K), "none "));
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, pci_name(port)));

	set_redirect(test, port, false);
	rescan(test);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);
	KUNIT_EXPECT_TRUE(test,
			  strstarts(verdict(test, mock, text, SZ_4K),
				    "direct 4 "));
}

#define MAPPERS		2
#define CHANGES		64
#define MAPS_BETWEEN	4

/**
 * struct mapper - thread that maps the same memory for the same client
 * @client: device to map for
 * @list: the memory
 * @bus: expected bus address
 * @world: count of changes, odd during a change; 2 modulo 4 after a change to
 *	"refused", 0 modulo 4 after a change to "allowed"
 * @stop: tells the thread to end
 * @done: completed at the end of the thread
 * @progress: wait queue for changes of @rounds
 * @rounds: number of mappings so far
 * @wrong: number of mappings that contradicted @world
 */
struct mapper {
	struct device *client;
	struct list list;
	u64 bus;
	const unsigned int *world;
	bool stop;
	struct completion done;
	wait_queue_head_t progress;
	atomic_t rounds;
	atomic_t wrong;
};

/* Checks the result if the world was the same before and after the mapping. */
static void map_and_check(struct mapper *mapper)
{
	unsigned int before;
	bool wrong = false;
	int ret;

	/* Pairs with change_and_tell(): the mapping comes after this load. */
	before = smp_load_acquire(mapper->world);
	ret = dma_map_sgtable(mapper->client, &mapper->list.sgt,
			      DMA_TO_DEVICE, 0);
	if (!ret) {
		wrong = sg_dma_address(mapper->list.sgt.sgl) != mapper->bus;
		dma_unmap_sgtable(mapper->client, &mapper->list.sgt,
				  DMA_TO_DEVICE, 0);
	}
	/* Pairs with change_and_tell(): the next load follows the mapping. */
	smp_mb();
	if (before == READ_ONCE(*mapper->world) && before % 2 == 0)
		wrong |= ret != (before % 4 ? -EREMOTEIO : 0);
	if (wrong)
		atomic_inc(&mapper->wrong);
	atomic_inc(&mapper->rounds);
	wake_up(&mapper->progress);
}

static int mapper_thread(void *data)
{
	struct mapper *mapper = data;

	while (!READ_ONCE(mapper->stop)) {
		map_and_check(mapper);
		cond_resched();
	}
	complete(&mapper->done);
	return 0;
}

static void stop_mapper(void *data)
{
	struct mapper *mapper = data;

	WRITE_ONCE(mapper->stop, true);
	wait_for_completion(&mapper->done);
}

static struct mapper *start_mapper(struct kunit *test, struct mock_pci *mock,
				   const unsigned int *world)
{
	struct mapper *mapper = kunit_kzalloc(test, sizeof(*mapper),
					      GFP_KERNEL);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	struct task_struct *task;
	void *addr;

	KUNIT_ASSERT_NOT_NULL(test, mapper);
	mapper->client = client_at(mock, CLIENT);
	list_init(test, &mapper->list, 1);
	addr = list_add_mem(test, &mapper->list, provider, SZ_4K);
	mapper->bus = bus_address(provider, addr);
	mapper->world = world;
	init_completion(&mapper->done);
	init_waitqueue_head(&mapper->progress);
	task = kthread_run(mapper_thread, mapper, "p2pdma-mapper");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, stop_mapper, mapper));
	return mapper;
}

/*
 * Refuse or allow the route, by policy or by access control. At the same time a
 * function elsewhere goes or comes.
 */
static void change_world(struct kunit *test, struct mock_pci *mock,
			 bool by_policy, bool refuse)
{
	struct device *shared = &mock_pci_dev(mock, USP)->dev;

	if (by_policy) {
		KUNIT_EXPECT_GT(test,
				mock_pci_sysfs_write(test, shared,
						     "p2pdma/policy",
						     refuse ? "deny" : "auto"),
				0);
	} else {
		set_redirect(test, mock_pci_dev(mock, DSP0), refuse);
		rescan(test);
	}
	if (refuse)
		mock_pci_unplug(mock, FAR);
	else
		mock_pci_plug(mock, FAR, NULL);
}

static void change_and_tell(struct kunit *test, struct mock_pci *mock,
			    unsigned int *world, unsigned int change)
{
	WRITE_ONCE(*world, *world + 1);
	/* A mapper that sees a part of the change also sees the odd count. */
	smp_mb();
	change_world(test, mock, change / 2 % 2, change % 2 == 0);
	/* A mapper that sees the even count also sees the whole change. */
	smp_store_release(world, *world + 1);
}

static void expect_progress(struct kunit *test, struct mapper *mapper)
{
	int rounds = atomic_read(&mapper->rounds) + MAPS_BETWEEN;

	KUNIT_ASSERT_GT(test, wait_event_timeout(mapper->progress,
						 atomic_read(&mapper->rounds) -
						 rounds >= 0,
						 60 * HZ), 0);
}

static void map_while_routes_change(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, OFFSET);
	unsigned int *world = kunit_kzalloc(test, sizeof(*world), GFP_KERNEL);
	struct mapper *mapper[MAPPERS];
	unsigned int change, i;

	KUNIT_ASSERT_NOT_NULL(test, world);
	p2pdma_kunit_provide(test, mock_pci_dev(mock, MEM));
	for (i = 0; i < MAPPERS; i++)
		mapper[i] = start_mapper(test, mock, world);

	for (change = 0; change < CHANGES; change++) {
		change_and_tell(test, mock, world, change);
		for (i = 0; i < MAPPERS; i++)
			expect_progress(test, mapper[i]);
	}
	for (i = 0; i < MAPPERS; i++) {
		kunit_release_action(test, stop_mapper, mapper[i]);
		KUNIT_EXPECT_EQ(test, atomic_read(&mapper[i]->wrong), 0);
	}
}

/* A mapping and a route survive hot-plug of a third function. */
static void map_survives_hot_plug_elsewhere(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, OFFSET);
	struct device *client = client_at(mock, CLIENT);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	struct list list;
	void *addr;

	p2pdma_kunit_provide(test, provider);
	list_init(test, &list, 1);
	addr = list_add_mem(test, &list, provider, SZ_4K);
	KUNIT_ASSERT_EQ(test, 0,
			dma_map_sgtable(client, &list.sgt, DMA_TO_DEVICE, 0));
	mock_pci_unplug(mock, DSP2);
	expect_bus(test, list.sgt.sgl, bus_address(provider, addr));
	dma_unmap_sgtable(client, &list.sgt, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);
	mock_pci_plug(mock, DSP2, NULL);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);
}

/*
 * Verdicts age. No notifier reports what happens here to the port above CLIENT:
 *
 *	RP1 - USP - DSP0 - CLIENT	DSP0 falls silent, or redirects
 *	         \- DSP1 - MEM
 */

/* A port that does not answer once must not affect the next mapping. */
static void map_after_silence(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct device *client = client_at(mock, CLIENT);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);

	p2pdma_kunit_provide(test, provider);
	mock_pci_set_unreadable(mock, DSP0, true);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), -EREMOTEIO);
	mock_pci_set_unreadable(mock, DSP0, false);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);
}

/*
 * Access control changes without a notification: mappings follow within two
 * seconds.
 */
static void expect_soon(struct kunit *test, struct device *client,
			struct pci_dev *provider, int err)
{
	unsigned long deadline = jiffies + 2 * HZ;
	int got;

	do {
		got = map_one(test, client, provider);
		if (got != err)
			schedule_timeout_uninterruptible(HZ / 50);
	} while (got != err && time_before(jiffies, deadline));
	KUNIT_EXPECT_EQ(test, got, err);
}

static void map_follows_access_control(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct device *client = client_at(mock, CLIENT);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);

	p2pdma_kunit_provide(test, provider);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);
	mock_pci_set_acs(mock, DSP0, &acs_rr);
	expect_soon(test, client, provider, -EREMOTEIO);
	mock_pci_set_acs(mock, DSP0, &acs_off);
	expect_soon(test, client, provider, 0);
}

/* The same while two threads map all the time. */
static void map_storm_follows_access_control(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, OFFSET);
	unsigned int *world = kunit_kzalloc(test, sizeof(*world), GFP_KERNEL);
	struct mapper *mapper[MAPPERS];
	unsigned int change, i;

	KUNIT_ASSERT_NOT_NULL(test, world);
	p2pdma_kunit_provide(test, mock_pci_dev(mock, MEM));
	for (i = 0; i < MAPPERS; i++)
		mapper[i] = start_mapper(test, mock, world);
	for (change = 0; change < 4; change++) {
		WRITE_ONCE(*world, *world + 1);
		/* Pairs with map_and_check(). */
		smp_mb();
		mock_pci_set_acs(mock, DSP0, change % 2 ? &acs_off : &acs_rr);
		/* Wait until every cached verdict is dead of age. */
		schedule_timeout_uninterruptible(HZ + HZ / 10);
		/* Pairs with map_and_check(). */
		smp_store_release(world, *world + 1);
		for (i = 0; i < MAPPERS; i++)
			expect_progress(test, mapper[i]);
	}
	for (i = 0; i < MAPPERS; i++) {
		kunit_release_action(test, stop_mapper, mapper[i]);
		KUNIT_EXPECT_EQ(test, atomic_read(&mapper[i]->wrong), 0);
	}
}

static int bind_nothing(struct pci_dev *pdev, void *data)
{
	return 0;
}

/* A new driver may change the IOMMU domain of a client. */
static void map_after_driver_changed(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct device *client = client_at(mock, CLIENT);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);

	p2pdma_kunit_provide(test, provider);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);
	mock_pci_set_acs(mock, DSP0, &acs_rr);
	KUNIT_ASSERT_EQ(test, 0,
			mock_pci_bind(to_pci_dev(client), bind_nothing, NULL));
	client = client_at(mock, CLIENT);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), -EREMOTEIO);
	mock_pci_set_acs(mock, DSP0, &acs_off);
	mock_pci_unbind(to_pci_dev(client));
	client = client_at(mock, CLIENT);
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);
}

static bool not_translated(struct pci_dev *client)
{
	return false;
}

/*
 * CLIENT emits 32 or 37 bits. The window of the host bridge begins at 256 GiB:
 *
 *	CLIENT --- 32 bits ---x   MEM, above 256 GiB
 */
static void map_above_the_mask(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct device *client = client_at(mock, CLIENT);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	static const u64 masks[] = { DMA_BIT_MASK(32), DMA_BIT_MASK(37) };
	unsigned int i;

	kunit_activate_static_stub(test, p2pdma_client_translated,
				   not_translated);
	p2pdma_kunit_provide(test, provider);
	KUNIT_ASSERT_EQ(test, 0,
			mock_pci_bind(to_pci_dev(client), bind_nothing, NULL));
	for (i = 0; i < ARRAY_SIZE(masks); i++) {
		KUNIT_ASSERT_EQ(test, 0,
				dma_set_mask_and_coherent(client, masks[i]));
		p2pdma_routes_changed();
		KUNIT_EXPECT_EQ(test, map_one(test, client, provider),
				-EREMOTEIO);
		KUNIT_EXPECT_LT(test,
				pci_p2pdma_distance(provider, client, true), 0);
	}
	KUNIT_ASSERT_EQ(test, 0,
			dma_set_mask_and_coherent(client, DMA_BIT_MASK(64)));
	p2pdma_routes_changed();
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), 0);

	/* The limit of a bus on the way counts like a mask. */
	client->bus_dma_limit = DMA_BIT_MASK(32);
	p2pdma_routes_changed();
	KUNIT_EXPECT_EQ(test, map_one(test, client, provider), -EREMOTEIO);
	client->bus_dma_limit = 0;

	/* The mask of a function without driver does not count. */
	dma_set_mask_and_coherent(client, DMA_BIT_MASK(32));
	mock_pci_unbind(to_pci_dev(client));
	KUNIT_EXPECT_EQ(test, pci_p2pdma_distance(provider, client, true), 4);
}

/* A denial outlives the port, and holds when the port comes back. */
static void map_after_denied_port_returned(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct pci_dev *provider = mock_pci_dev(mock, MEM);
	struct device *port = &mock_pci_dev(mock, DSP0)->dev;
	char text[32];

	p2pdma_kunit_provide(test, provider);
	KUNIT_ASSERT_EQ(test,
			mock_pci_sysfs_write(test, port, "p2pdma/policy",
					     "deny"),
			4);
	mock_pci_unplug(mock, DSP0);
	port = &mock_pci_plug(mock, DSP0, NULL)->dev;
	mock_pci_sysfs_read(test, port, "p2pdma/policy", text, sizeof(text));
	KUNIT_EXPECT_STREQ(test, text, "auto [deny]\n");
	KUNIT_EXPECT_EQ(test, map_one(test, client_at(mock, CLIENT), provider),
			-EREMOTEIO);

	KUNIT_ASSERT_EQ(test,
			mock_pci_sysfs_write(test, port, "p2pdma/policy",
					     "auto"),
			4);
	mock_pci_unplug(mock, DSP0);
	port = &mock_pci_plug(mock, DSP0, NULL)->dev;
	mock_pci_sysfs_read(test, port, "p2pdma/policy", text, sizeof(text));
	KUNIT_EXPECT_STREQ(test, text, "[auto] deny\n");
	KUNIT_EXPECT_EQ(test,
			map_one(test, client_at(mock, CLIENT), provider), 0);
}

/* Root without CAP_SYS_ADMIN, for instance in a container, decides nothing. */
static void policy_needs_capability(struct kunit *test)
{
	struct mock_pci *mock = map_add(test, 0);
	struct device *port = &mock_pci_dev(mock, DSP0)->dev;
	const struct cred *before;
	struct cred *weak = prepare_creds();
	char text[32];

	KUNIT_ASSERT_NOT_NULL(test, weak);
	cap_lower(weak->cap_effective, CAP_SYS_ADMIN);
	before = override_creds(weak);
	KUNIT_EXPECT_EQ(test,
			mock_pci_sysfs_write(test, port, "p2pdma/policy",
					     "deny"),
			-EPERM);
	KUNIT_EXPECT_EQ(test,
			mock_pci_sysfs_write(test, NULL,
					     "bus/pci/p2pdma_rescan", "1"),
			-EPERM);
	revert_creds(before);
	put_cred(weak);
	mock_pci_sysfs_read(test, port, "p2pdma/policy", text, sizeof(text));
	KUNIT_EXPECT_STREQ(test, text, "[auto] deny\n");
}

static struct kunit_case p2pdma_map_cases[] = {
	KUNIT_CASE_PARAM(map_direct, offset_gen_params),
	KUNIT_CASE_PARAM(map_through_host_bridge, offset_gen_params),
	KUNIT_CASE_PARAM(virt_to_bus, offset_gen_params),
	KUNIT_CASE(map_refused),
	KUNIT_CASE(map_for_stranger),
	KUNIT_CASE(map_own_memory),
	KUNIT_CASE(map_mixed_direct),
	KUNIT_CASE(map_mixed_routes),
	KUNIT_CASE(map_mixed_refused),
	KUNIT_CASE(map_segment_state),
	KUNIT_CASE(map_sgl_of_provider),
	KUNIT_CASE(map_sgl_in_pieces),
	KUNIT_CASE(map_in_atomic_context),
	KUNIT_CASE_PARAM(map_agrees_with_distance, agree_gen_params),
	KUNIT_CASE(map_domains_do_not_alias),
	KUNIT_CASE(map_many_clients),
	KUNIT_CASE(map_after_client_was_replaced),
	KUNIT_CASE(map_after_provider_was_replaced),
	KUNIT_CASE(map_after_port_was_replaced),
	KUNIT_CASE(map_after_routes_changed),
	KUNIT_CASE(map_after_setpci),
	KUNIT_CASE(map_while_routes_change),
	KUNIT_CASE(map_survives_hot_plug_elsewhere),
	KUNIT_CASE(map_after_silence),
	KUNIT_CASE_SLOW(map_follows_access_control),
	KUNIT_CASE_SLOW(map_storm_follows_access_control),
	KUNIT_CASE(map_after_driver_changed),
	KUNIT_CASE(map_above_the_mask),
	KUNIT_CASE(map_after_denied_port_returned),
	KUNIT_CASE(policy_needs_capability),
	{}
};

static struct kunit_suite p2pdma_map_suite = {
	.name = "p2pdma_map",
	.test_cases = p2pdma_map_cases,
};

kunit_test_suite(p2pdma_map_suite);
