// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite p2pdma_dmabuf: importers, exports of drivers, revocation
 *
 * Heaps and access by the CPU need memory behind the BAR: see
 * tools/testing/p2pdma/guest-tests/dmabuf.py.
 */

#include <kunit/resource.h>
#include <kunit/static_stub.h>
#include <kunit/test-bug.h>
#include <kunit/test.h>

#include <linux/completion.h>
#include <linux/dcache.h>
#include <linux/dma-buf.h>
#include <linux/dma-fence.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/fcntl.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/sizes.h>

#include "../p2pdma-private.h"
#include "mock_pci.h"
#include "p2pdma_kunit.h"

#define OFFSET	0x800000000ULL

/*
 *	           host bridge, bus addresses are CPU addresses minus OFFSET
 *	     __________|__________
 *	    |                     |
 *	   RP                    RP2
 *	    |                     |
 *	   USP                   FAR
 *	 ___|____
 *	|        |
 *	DSP0    DSP1
 *	|        |
 *	CLIENT  MEM: 4 MiB in BAR 0
 */
enum { HOST, RP, USP, DSP0, DSP1, CLIENT, MEM, RP2, FAR, NR };

static const struct mock_pci_row rows[NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1, .offset = OFFSET },
	[RP] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(1, 0),
		 .acs = MOCK_PCI_ACS(0) },
	[USP] = { .kind = MOCK_PCI_UPSTREAM, .up = RP },
	[DSP0] = { .kind = MOCK_PCI_DOWNSTREAM, .up = USP, .port = 1,
		   .acs = MOCK_PCI_ACS(0) },
	[DSP1] = { .kind = MOCK_PCI_DOWNSTREAM, .up = USP,
		   .devfn = PCI_DEVFN(1, 0), .port = 2 },
	[CLIENT] = { .kind = MOCK_PCI_ENDPOINT, .up = DSP0 },
	[MEM] = { .kind = MOCK_PCI_ENDPOINT, .up = DSP1, .bar[0] = SZ_4M },
	[RP2] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(2, 0) },
	[FAR] = { .kind = MOCK_PCI_ENDPOINT, .up = RP2 },
};

/* Logged reason of the last refusal, or of the last importer that stays. */
static const char *last_reason;

static void record_reason(struct pci_dev *provider, struct device *importer,
			  size_t size, const char *what, const char *reason)
{
	last_reason = reason;
}

static void no_heap(struct pci_p2pdma *p2pdma)
{
}

/**
 * p2pdma_kunit_no_heaps - let providers of the test have no DMA heaps
 * @test: the test
 *
 * A heap would outlive the test.
 */
void p2pdma_kunit_no_heaps(struct kunit *test)
{
	kunit_activate_static_stub(test, p2pdma_export_published, no_heap);
}

/**
 * struct importer - an importer of the test
 * @attach: the attachment
 * @table: the mapping, or NULL
 * @stays: do not unmap in move_notify()
 * @notified: completed by move_notify()
 */
struct importer {
	struct dma_buf_attachment *attach;
	struct sg_table *table;
	bool stays;
	struct completion notified;
};

static void importer_unmap(struct importer *importer)
{
	if (importer->table)
		dma_buf_unmap_attachment(importer->attach, importer->table,
					 DMA_BIDIRECTIONAL);
	importer->table = NULL;
}

static void importer_moved(struct dma_buf_attachment *attach)
{
	struct importer *importer = attach->importer_priv;

	if (!importer->stays)
		importer_unmap(importer);
	complete(&importer->notified);
}

static const struct dma_buf_attach_ops importer_ops = {
	.allow_peer2peer = true,
	.move_notify = importer_moved,
};

static const struct dma_buf_attach_ops importer_no_peer_ops = {
	.move_notify = importer_moved,
};

static int importer_attach(struct importer *importer, struct dma_buf *buf,
			   struct device *dev)
{
	*importer = (struct importer) {};
	init_completion(&importer->notified);
	importer->attach = dma_buf_dynamic_attach(buf, dev, &importer_ops,
						  importer);
	return PTR_ERR_OR_ZERO(importer->attach);
}

static int importer_map(struct importer *importer)
{
	struct sg_table *table;

	table = dma_buf_map_attachment_unlocked(importer->attach,
						DMA_BIDIRECTIONAL);
	if (IS_ERR(table))
		return PTR_ERR(table);
	importer->table = table;
	return 0;
}

static void importer_detach(struct importer *importer)
{
	struct dma_buf *buf = importer->attach->dmabuf;

	dma_resv_lock(buf->resv, NULL);
	importer_unmap(importer);
	dma_resv_unlock(buf->resv);
	dma_buf_detach(buf, importer->attach);
}

/**
 * struct export - memory that a test exported
 * @provider: the provider
 * @addr: kernel address
 * @size: number of bytes
 * @released: number of calls of the release function
 * @gone: completed by the release function
 */
struct export {
	struct pci_dev *provider;
	void *addr;
	size_t size;
	unsigned int released;
	struct completion gone;
};

static void export_release(void *data)
{
	struct export *export = data;

	pci_p2pmem_free(export->provider, export->addr, export->size);
	export->released++;
	complete_all(&export->gone);
}

static struct dma_buf *export_memory(struct kunit *test, struct export *export,
				     struct pci_dev *provider, size_t size)
{
	struct dma_buf *buf;

	*export = (struct export) {
		.provider = provider,
		.addr = pci_p2pmem_alloc(provider, size),
		.size = size,
	};
	init_completion(&export->gone);
	KUNIT_ASSERT_NOT_NULL(test, export->addr);
	buf = pci_p2pmem_export(provider, export->addr, size, O_RDWR,
				export_release, export);
	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(buf));
	return buf;
}

/*
 * The last reference on a file is dropped by a work item, as the tests run in a
 * kernel thread.
 */
static void close_file(struct dma_buf *buf)
{
	dma_buf_put(buf);
	flush_delayed_fput();
}

/* A walk over all buffers may drop the last reference a little later. */
static void close_export(struct kunit *test, struct dma_buf *buf,
			 struct export *export)
{
	close_file(buf);
	KUNIT_ASSERT_NE(test, 0,
			wait_for_completion_timeout(&export->gone, 20 * HZ));
}

static struct mock_pci *dmabuf_add(struct kunit *test)
{
	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_does_not_route);
	kunit_activate_static_stub(test, p2pdma_log_importer, record_reason);
	last_reason = NULL;
	return mock_pci_add(test, rows, NR);
}

/* With a counter-part of each kind: refused before anything is mapped. */
static void attach_asks_for_the_route(struct kunit *test)
{
	struct mock_pci *mock = dmabuf_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev, *child;
	struct importer importer;
	struct export export;
	struct dma_buf *buf;

	p2pdma_kunit_provide(test, mem);
	buf = export_memory(test, &export, mem, SZ_64K);

	KUNIT_EXPECT_EQ(test, importer_attach(&importer, buf, client), 0);
	importer_detach(&importer);
	child = mock_pci_add_child(test, client, "below-a-function");
	KUNIT_EXPECT_EQ(test, importer_attach(&importer, buf, child), 0);
	importer_detach(&importer);
	KUNIT_EXPECT_NULL(test, last_reason);

	KUNIT_EXPECT_EQ(test, importer_attach(&importer, buf,
					      &mock_pci_dev(mock, FAR)->dev),
			-EREMOTEIO);
	KUNIT_EXPECT_STREQ(test, last_reason, "unlisted");
	child = mock_pci_add_child(test, NULL, "no-function");
	KUNIT_EXPECT_EQ(test, importer_attach(&importer, buf, child),
			-EREMOTEIO);
	KUNIT_EXPECT_STREQ(test, last_reason, "not below a PCI function");

	close_export(test, buf, &export);
	KUNIT_EXPECT_EQ(test, export.released, 1);
}

/* No copy in system RAM exists for such importers. */
static void attach_needs_peer_memory(struct kunit *test)
{
	struct mock_pci *mock = dmabuf_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	struct dma_buf_attachment *attach;
	struct export export;
	struct dma_buf *buf;

	p2pdma_kunit_provide(test, mem);
	buf = export_memory(test, &export, mem, SZ_64K);
	attach = dma_buf_attach(buf, client);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(attach), -EOPNOTSUPP);
	attach = dma_buf_dynamic_attach(buf, client, &importer_no_peer_ops,
					NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(attach), -EOPNOTSUPP);
	KUNIT_EXPECT_STREQ(test, last_reason, "accepts no peer memory");
	close_export(test, buf, &export);
}

static void expect_table(struct kunit *test, const struct sg_table *table,
			 pci_bus_addr_t start, size_t size, size_t max)
{
	struct scatterlist *sg;
	size_t done = 0;
	unsigned int i;

	for_each_sgtable_dma_sg(table, sg, i) {
		KUNIT_EXPECT_EQ(test, sg_dma_address(sg), start + done);
		KUNIT_EXPECT_LE(test, sg_dma_len(sg), max);
		done += sg_dma_len(sg);
	}
	KUNIT_EXPECT_EQ(test, done, size);
}

/* No entry crosses a segment boundary of the importer. */
static void map_respects_boundaries(struct kunit *test)
{
	static const unsigned long boundaries[] = {
		SZ_4K - 1, SZ_16K - 1, SZ_64K - 1, SZ_1M - 1, SZ_4G - 1,
		ULONG_MAX,
	};
	struct mock_pci *mock = dmabuf_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	struct importer importer;
	struct scatterlist *sg;
	struct export export, before;
	struct dma_buf *buf;
	unsigned int i, n;

	p2pdma_kunit_provide(test, mem);
	/* The memory begins between two boundaries. */
	close_export(test, export_memory(test, &before, mem, SZ_4K), &before);
	buf = export_memory(test, &export, mem, SZ_1M + SZ_4K);
	KUNIT_ASSERT_EQ(test, importer_attach(&importer, buf, client), 0);
	dma_set_max_seg_size(client, UINT_MAX);
	for (i = 0; i < ARRAY_SIZE(boundaries); i++) {
		dma_set_seg_boundary(client, boundaries[i]);
		KUNIT_ASSERT_EQ(test, importer_map(&importer), 0);
		expect_table(test, importer.table,
			     pci_p2pmem_virt_to_bus(mem, export.addr),
			     SZ_1M + SZ_4K, SZ_1G);
		for_each_sgtable_dma_sg(importer.table, sg, n)
			KUNIT_EXPECT_EQ(test,
					sg_dma_address(sg) & ~boundaries[i],
					(sg_dma_address(sg) +
					 sg_dma_len(sg) - 1) & ~boundaries[i]);
		dma_resv_lock(buf->resv, NULL);
		importer_unmap(&importer);
		dma_resv_unlock(buf->resv);
	}
	importer_detach(&importer);
	close_export(test, buf, &export);
}

/* No entry is longer than a segment of the importer may be. */
static void map_gives_bus_addresses(struct kunit *test)
{
	static const unsigned int limits[] = {
		SZ_4K, SZ_8K, SZ_64K, SZ_64K - 1, SZ_1M, UINT_MAX,
	};
	struct mock_pci *mock = dmabuf_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	struct importer importer;
	pci_bus_addr_t start;
	struct export export;
	struct dma_buf *buf;
	unsigned int i;

	p2pdma_kunit_provide(test, mem);
	buf = export_memory(test, &export, mem, SZ_1M + SZ_4K);
	start = pci_p2pmem_virt_to_bus(mem, export.addr);
	KUNIT_ASSERT_EQ(test, importer_attach(&importer, buf, client), 0);
	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		dma_set_max_seg_size(client, limits[i]);
		KUNIT_ASSERT_EQ(test, importer_map(&importer), 0);
		expect_table(test, importer.table, start, SZ_1M + SZ_4K,
			     max(limits[i], SZ_4K));
		dma_resv_lock(buf->resv, NULL);
		importer_unmap(&importer);
		dma_resv_unlock(buf->resv);
	}
	importer_detach(&importer);
	close_export(test, buf, &export);
}

static int try_export(struct pci_dev *pdev, void *addr, size_t size,
		      void (*release)(void *data), struct export *export)
{
	struct dma_buf *buf = pci_p2pmem_export(pdev, addr, size, O_RDWR,
						release, export);

	if (IS_ERR(buf))
		return PTR_ERR(buf);
	close_file(buf);
	return 0;
}

/* Wrong arguments are refused, and nothing is released or counted. */
static void export_checks_arguments(struct kunit *test)
{
	struct mock_pci *mock = dmabuf_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct export export = { .provider = mem, .size = SZ_64K };
	void *ram = kunit_kmalloc(test, SZ_64K, GFP_KERNEL), *addr;

	KUNIT_ASSERT_NOT_NULL(test, ram);
	init_completion(&export.gone);
	p2pdma_kunit_provide(test, mem);
	addr = pci_p2pmem_alloc(mem, SZ_64K);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	export.addr = addr;

#define EXPECT_REFUSED(pdev, addr, size, release)			\
	KUNIT_EXPECT_EQ(test, try_export(pdev, addr, size, release,	\
					 &export), -EINVAL)

	EXPECT_REFUSED(mem, addr, SZ_64K, NULL);
	EXPECT_REFUSED(mem, addr, 0, export_release);
	EXPECT_REFUSED(mem, addr, SZ_64K - 1, export_release);
	EXPECT_REFUSED(mem, addr + 8, SZ_64K, export_release);
	EXPECT_REFUSED(mem, addr, SZ_4M + SZ_4K, export_release);
	EXPECT_REFUSED(mem, addr, -PAGE_SIZE, export_release);
	EXPECT_REFUSED(mem, NULL, SZ_64K, export_release);
	EXPECT_REFUSED(mem, ram, SZ_64K, export_release);
	EXPECT_REFUSED(mock_pci_dev(mock, FAR), addr, SZ_64K, export_release);

	KUNIT_EXPECT_EQ(test, export.released, 0);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, mem, "exported"), 0);
	KUNIT_ASSERT_EQ(test, try_export(mem, addr, SZ_64K, export_release,
					 &export), 0);
	KUNIT_ASSERT_NE(test, 0,
			wait_for_completion_timeout(&export.gone, 20 * HZ));
	KUNIT_EXPECT_EQ(test, export.released, 1);
}

static void set_policy(struct kunit *test, struct mock_pci *mock,
		       const char *word)
{
	KUNIT_ASSERT_EQ(test, strlen(word),
			mock_pci_sysfs_write(test, mock_pci_device(mock, USP),
					     "p2pdma/policy", word));
}

/* A policy ends a route: an importer that can move unmaps. */
static void denied_route_moves(struct kunit *test)
{
	struct mock_pci *mock = dmabuf_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	struct importer importer;
	struct export export;
	struct dma_buf *buf;

	p2pdma_kunit_provide(test, mem);
	buf = export_memory(test, &export, mem, SZ_64K);
	KUNIT_ASSERT_EQ(test, importer_attach(&importer, buf, client), 0);
	KUNIT_ASSERT_EQ(test, importer_map(&importer), 0);
	set_policy(test, mock, "deny");
	KUNIT_EXPECT_NE(test, 0,
			wait_for_completion_timeout(&importer.notified,
						    20 * HZ));
	KUNIT_EXPECT_EQ(test, importer_map(&importer), -EREMOTEIO);
	set_policy(test, mock, "auto");
	KUNIT_EXPECT_EQ(test, importer_map(&importer), 0);
	importer_detach(&importer);
	close_export(test, buf, &export);
}

/* Access control makes the route another: the importer maps anew. */
static void changed_route_moves(struct kunit *test)
{
	static const struct mock_pci_acs redirects =
		MOCK_PCI_ACS(PCI_ACS_RR | PCI_ACS_UF);
	struct mock_pci *mock = dmabuf_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	struct importer importer;
	struct sg_table *second;
	struct export export;
	struct dma_buf *buf;

	p2pdma_kunit_provide(test, mem);
	/* CPU addresses are above 4 GiB. */
	KUNIT_ASSERT_EQ(test, dma_set_mask(client, DMA_BIT_MASK(64)), 0);
	buf = export_memory(test, &export, mem, SZ_64K);
	KUNIT_ASSERT_EQ(test, importer_attach(&importer, buf, client), 0);
	KUNIT_ASSERT_EQ(test, importer_map(&importer), 0);
	KUNIT_ASSERT_EQ(test, strlen("allow"),
			mock_pci_sysfs_write(test, mock_pci_device(mock, HOST),
					     "p2pdma/policy", "allow"));
	mock_pci_set_acs(mock, RP, &redirects);
	mock_pci_set_acs(mock, DSP0, &redirects);
	/* A mapping of the new kind does not hide the old one. */
	dma_resv_lock(buf->resv, NULL);
	p2pdma_routes_changed();
	second = dma_buf_map_attachment(importer.attach, DMA_BIDIRECTIONAL);
	dma_resv_unlock(buf->resv);
	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(second), 0);
	KUNIT_EXPECT_EQ(test, sg_dma_address(second->sgl),
			virt_to_phys(export.addr));
	KUNIT_EXPECT_NE(test, 0,
			wait_for_completion_timeout(&importer.notified,
						    20 * HZ));
	dma_buf_unmap_attachment_unlocked(importer.attach, second,
					  DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_EQ(test, importer_map(&importer), 0);
	KUNIT_EXPECT_EQ(test, sg_dma_address(importer.table->sgl),
			virt_to_phys(export.addr));
	importer_detach(&importer);
	close_export(test, buf, &export);
}

static bool client_untrusted(struct pci_dev *client)
{
	return true;
}

/*
 * The DMA API gives an untrusted client IOVAs, without a question: the host
 * bridge has to route, at attach and whenever the importer maps.
 */
static void untrusted_goes_through_host(struct kunit *test)
{
	struct mock_pci *mock = dmabuf_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	struct importer importer, other;
	struct export export;
	struct dma_buf *buf;

	p2pdma_kunit_provide(test, mem);
	buf = export_memory(test, &export, mem, SZ_64K);
	KUNIT_ASSERT_EQ(test, importer_attach(&importer, buf, client), 0);
	kunit_activate_static_stub(test, p2pdma_client_translated,
				   client_untrusted);
	kunit_activate_static_stub(test, p2pdma_client_untrusted,
				   client_untrusted);
	KUNIT_EXPECT_EQ(test, importer_map(&importer), -EREMOTEIO);
	KUNIT_EXPECT_EQ(test, importer_attach(&other, buf, client),
			-EREMOTEIO);
	KUNIT_EXPECT_STREQ(test, last_reason, "unlisted");
	importer_detach(&importer);
	close_export(test, buf, &export);
}

/* The memory comes back at the unbind, the file may stay. */
static void unbind_revokes(struct kunit *test)
{
	struct mock_pci *mock = dmabuf_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	struct importer importer, other;
	struct export export;
	struct dma_buf *buf;

	p2pdma_kunit_provide(test, mem);
	buf = export_memory(test, &export, mem, SZ_64K);
	KUNIT_ASSERT_EQ(test, importer_attach(&importer, buf, client), 0);
	KUNIT_ASSERT_EQ(test, importer_map(&importer), 0);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, mem, "exported"),
			SZ_64K);
	mock_pci_unbind(mem);
	KUNIT_EXPECT_NULL(test, rcu_access_pointer(mem->p2pdma));
	KUNIT_EXPECT_EQ(test, export.released, 1);
	KUNIT_EXPECT_TRUE(test, completion_done(&importer.notified));
	KUNIT_EXPECT_EQ(test, importer_map(&importer), -ENODEV);
	KUNIT_EXPECT_EQ(test, importer_attach(&other, buf, client), -ENODEV);
	importer_detach(&importer);
	close_export(test, buf, &export);
	KUNIT_EXPECT_EQ(test, export.released, 1);
}

/* A descriptor of O_PATH holds the dentry alone: the file is closed. */
static void unbind_finds_closed_files(struct kunit *test)
{
	struct mock_pci *mock = dmabuf_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct dentry *dentry;
	struct p2pdma_kunit_unbind *unbind;
	struct export export;
	struct dma_buf *buf;

	unbind = p2pdma_kunit_unbind_new(test, mem);
	p2pdma_kunit_provide(test, mem);
	buf = export_memory(test, &export, mem, SZ_64K);
	dentry = dget(buf->file->f_path.dentry);
	close_file(buf);
	KUNIT_EXPECT_EQ(test, export.released, 0);
	p2pdma_kunit_unbind_begin(test, unbind);
	KUNIT_ASSERT_TRUE(test, p2pdma_kunit_unbind_ends(unbind));
	KUNIT_EXPECT_EQ(test, export.released, 1);
	dput(dentry);
	KUNIT_EXPECT_EQ(test, export.released, 1);
}

static const char *fence_name(struct dma_fence *fence)
{
	return "test";
}

/* Such a fence is signalled only after somebody has asked for the signal. */
static DECLARE_COMPLETION(fence_wanted);

static bool fence_enable(struct dma_fence *fence)
{
	complete(&fence_wanted);
	return true;
}

static const struct dma_fence_ops fence_ops = {
	.get_driver_name = fence_name,
	.get_timeline_name = fence_name,
	.enable_signaling = fence_enable,
};

static DEFINE_SPINLOCK(fence_lock);

static struct dma_fence *add_fence(struct kunit *test, struct dma_buf *buf)
{
	struct dma_fence *fence = kzalloc(sizeof(*fence), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fence);
	dma_fence_init(fence, &fence_ops, &fence_lock, 1, 1);
	dma_resv_lock(buf->resv, NULL);
	KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(buf->resv, 1), 0);
	dma_resv_add_fence(buf->resv, fence, DMA_RESV_USAGE_READ);
	dma_resv_unlock(buf->resv);
	return fence;
}

/*
 * Memory waits for the fences of its buffer, not for those of others, and not
 * for fences that somebody adds later.
 */
static void unbind_waits_for_fences(struct kunit *test)
{
	struct mock_pci *mock = dmabuf_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	struct dma_buf *waiting, *buf;
	struct export late, early;
	struct dma_fence *fence, *endless;
	struct importer importer;
	struct p2pdma_kunit_unbind *unbind;

	unbind = p2pdma_kunit_unbind_new(test, mem);
	p2pdma_kunit_provide(test, mem);
	reinit_completion(&fence_wanted);
	waiting = export_memory(test, &late, mem, SZ_64K);
	fence = add_fence(test, waiting);
	buf = export_memory(test, &early, mem, SZ_64K);
	KUNIT_ASSERT_EQ(test, importer_attach(&importer, buf, client), 0);
	KUNIT_ASSERT_EQ(test, importer_map(&importer), 0);
	p2pdma_kunit_unbind_begin(test, unbind);
	KUNIT_EXPECT_NE(test, 0,
			wait_for_completion_timeout(&importer.notified,
						    20 * HZ));
	KUNIT_ASSERT_NE(test, 0,
			wait_for_completion_timeout(&fence_wanted, 20 * HZ));
	KUNIT_EXPECT_FALSE(test, completion_done(&unbind->done));
	KUNIT_EXPECT_EQ(test, late.released, 0);
	endless = add_fence(test, waiting);
	dma_fence_signal(fence);
	dma_fence_put(fence);
	KUNIT_ASSERT_TRUE(test, p2pdma_kunit_unbind_ends(unbind));
	KUNIT_EXPECT_EQ(test, late.released, 1);
	KUNIT_EXPECT_EQ(test, early.released, 1);
	importer_detach(&importer);
	close_export(test, buf, &early);
	close_export(test, waiting, &late);
	dma_fence_signal(endless);
	dma_fence_put(endless);
}

static void owned_page_free(struct page *page)
{
}

static int owned_probe(struct pci_dev *pdev, void *data)
{
	return pci_p2pdma_add_owned(pdev, 0, 0, 0, owned_page_free);
}

static void owned_release(void *data)
{
	unsigned int *released = data;

	(*released)++;
}

/* No pool counts the pages of such a region, so the dma-buf has to. */
static void owned_memory_is_exported(struct kunit *test)
{
	struct mock_pci *mock = dmabuf_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct device *client = &mock_pci_dev(mock, CLIENT)->dev;
	void *addr = __va(pci_resource_start(mem, 0)) + SZ_1M;
	struct importer importer;
	unsigned int released = 0;
	struct dma_buf *buf;

	KUNIT_ASSERT_EQ(test, 0, mock_pci_bind(mem, owned_probe, NULL));
	buf = pci_p2pmem_export(mem, addr, SZ_64K, O_RDWR, owned_release,
				&released);
	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(buf));
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, mem, "exported"),
			SZ_64K);
	KUNIT_ASSERT_EQ(test, importer_attach(&importer, buf, client), 0);
	KUNIT_ASSERT_EQ(test, importer_map(&importer), 0);
	expect_table(test, importer.table, pci_p2pmem_virt_to_bus(mem, addr),
		     SZ_64K, SZ_64K);
	mock_pci_unbind(mem);
	KUNIT_EXPECT_TRUE(test, completion_done(&importer.notified));
	KUNIT_EXPECT_EQ(test, released, 1);
	KUNIT_EXPECT_EQ(test, importer_map(&importer), -ENODEV);
	importer_detach(&importer);
	close_file(buf);
	KUNIT_EXPECT_EQ(test, released, 1);
}

/* For random hierarchies: see p2pdma_random_kunit.c. */

static void random_release(void *data)
{
}

static void random_close(void *data)
{
	close_file(data);
}

/**
 * p2pdma_kunit_export - make a dma-buf of the first page of a provider
 * @test: the test; fails if the provider has no memory
 * @provider: the provider
 *
 * Return: the dma-buf, until the provider's driver is unbound or the test ends.
 */
struct dma_buf *p2pdma_kunit_export(struct kunit *test,
				    struct pci_dev *provider)
{
	void *addr = __va(pci_resource_start(provider, 0));
	struct dma_buf *buf;

	kunit_activate_static_stub(test, p2pdma_log_importer, record_reason);
	buf = pci_p2pmem_export(provider, addr, PAGE_SIZE, O_RDWR,
				random_release, NULL);
	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(buf));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, random_close, buf));
	return buf;
}

/**
 * p2pdma_kunit_attach - attach and detach a client
 * @buf: dma-buf from p2pdma_kunit_export()
 * @client: the client
 * @reason: set to the reason in the log, or NULL
 *
 * Return: result of attach.
 */
int p2pdma_kunit_attach(struct dma_buf *buf, struct pci_dev *client,
			const char **reason)
{
	struct importer importer;
	int ret;

	last_reason = NULL;
	ret = importer_attach(&importer, buf, &client->dev);
	if (!ret)
		importer_detach(&importer);
	*reason = last_reason;
	return ret;
}

static struct kunit_case dmabuf_cases[] = {
	KUNIT_CASE(attach_asks_for_the_route),
	KUNIT_CASE(attach_needs_peer_memory),
	KUNIT_CASE(map_gives_bus_addresses),
	KUNIT_CASE(map_respects_boundaries),
	KUNIT_CASE(export_checks_arguments),
	KUNIT_CASE(denied_route_moves),
	KUNIT_CASE(changed_route_moves),
	KUNIT_CASE(untrusted_goes_through_host),
	KUNIT_CASE(unbind_revokes),
	KUNIT_CASE(unbind_waits_for_fences),
	KUNIT_CASE(unbind_finds_closed_files),
	KUNIT_CASE(owned_memory_is_exported),
	{}
};

static struct kunit_suite p2pdma_dmabuf_suite = {
	.name = "p2pdma_dmabuf",
	.test_cases = dmabuf_cases,
};

kunit_test_suite(p2pdma_dmabuf_suite);

MODULE_DESCRIPTION("KUnit: dma-bufs of peer memory");
MODULE_LICENSE("GPL");
