// SPDX-License-Identifier: GPL-2.0
/*
 * Instructions of single operations on peer memory.
 *
 *	insmod p2pdma_bench.ko provider=0000:03:00.0 client=0000:04:00.0 \
 *		card=0000:05:00.0
 *
 * The module needs an emulated machine whose cycle counter counts instructions,
 * one after the other, such as QEMU's with -icount shift=0, and refuses other
 * machines. The kernel log has a line for each operation afterwards. The source
 * has names of stock Linux 6.12 only, and so measures both implementations.
 *
 * The provider has to be idle. The card is any function without a driver and
 * with memory in BAR 2. The module registers and releases the memory of the
 * card some times; without a card, there is no line about registration.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-mapping.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci-p2pdma.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/timex.h>

#define BENCH_SAMPLES		1000
#define BENCH_SGL_SAMPLES	100
#define BENCH_SEGMENTS		256
#define BENCH_CARD_BAR		2
#define BENCH_CARD_SAMPLES	3
#define BENCH_NOPS		1000

static char *provider;
module_param(provider, charp, 0400);
MODULE_PARM_DESC(provider, "address of a function with unused peer memory");

static char *client;
module_param(client, charp, 0400);
MODULE_PARM_DESC(client, "address of a function that reaches it");

static char *card;
module_param(card, charp, 0400);
MODULE_PARM_DESC(card, "address of a function whose BAR 2 is to be registered");

/**
 * struct bench - data of all operations
 * @provider: function with the memory
 * @client: function that maps memory
 * @size: number of bytes of an allocation
 * @nents: number of entries of @sgl that an operation maps
 * @sgl: pages to map, of the provider or of the system
 * @held: memory of the last allocation, to be freed later
 * @pages: all pages of a full pool
 * @nr_pages: number of addresses in @pages
 * @samples: number of instructions of each round
 * @good: number of rounds in which the operation succeeded
 */
struct bench {
	struct pci_dev *provider;
	struct pci_dev *client;
	size_t size;
	int nents;
	struct scatterlist *sgl;
	void *held;
	void **pages;
	size_t nr_pages;
	u64 samples[BENCH_SAMPLES];
	unsigned int good;
};

/**
 * struct bench_op - an operation
 * @run: the operation; returns true for success
 * @undo: an unmeasured end of each round
 * @sleeps: interrupts have to stay on, so a timer tick may come in between
 */
struct bench_op {
	bool (*run)(struct bench *bench);
	void (*undo)(struct bench *bench);
	bool sleeps;
};

/* Cost of the measurement itself. */
static u64 bench_overhead;

static u64 bench_round(struct bench *bench, const struct bench_op *op)
{
	unsigned long flags = 0;
	u64 start, end;
	bool good;

	if (!op->sleeps)
		local_irq_save(flags);
	start = get_cycles();
	good = op->run(bench);
	end = get_cycles();
	if (!op->sleeps)
		local_irq_restore(flags);
	bench->good += good;
	if (op->undo && good)
		op->undo(bench);
	return end - start;
}

static int bench_compare(const void *a, const void *b)
{
	u64 first = *(const u64 *)a, second = *(const u64 *)b;

	return (first > second) - (first < second);
}

static void bench_report(const char *name, u64 sum, unsigned int rounds,
			 unsigned int good)
{
	u64 hundredths = div_u64(sum * 100, rounds);

	pr_info("op=%s instructions=%llu.%02llu rounds=%u good=%u\n",
		name, hundredths / 100, hundredths % 100, rounds, good);
}

/*
 * Report the mean, because some rounds do work for later rounds. Where a timer
 * tick may come in between, report the median.
 */
static void bench_run(struct bench *bench, const char *name,
		      const struct bench_op *op, unsigned int rounds)
{
	u64 sum = 0;
	unsigned int i;

	bench->good = 0;
	/* The first round finds cold caches of objects. */
	bench_round(bench, op);
	bench->good = 0;
	for (i = 0; i < rounds; i++) {
		bench->samples[i] = bench_round(bench, op) - bench_overhead;
		sum += bench->samples[i];
	}
	sort(bench->samples, rounds, sizeof(*bench->samples), bench_compare,
	     NULL);
	if (op->sleeps)
		sum = bench->samples[rounds / 2] * rounds;
	bench_report(name, sum, rounds, bench->good);
}

static bool bench_nothing(struct bench *bench)
{
	return true;
}

static bool bench_nops(struct bench *bench)
{
	asm volatile(".rept %c0\n\tnop\n\t.endr" : : "i" (BENCH_NOPS));
	return true;
}

/* A known number of nops shows whether the counter counts instructions. */
static int bench_calibrate(struct bench *bench)
{
	const struct bench_op nothing = { .run = bench_nothing };
	const struct bench_op nops = { .run = bench_nops };
	unsigned int i;
	u64 cost = 0;

	bench_overhead = U64_MAX;
	for (i = 0; i < 10; i++) {
		bench_overhead = min(bench_overhead,
				     bench_round(bench, &nothing));
		cost = bench_round(bench, &nops) - bench_overhead;
	}
	if (cost == BENCH_NOPS)
		return 0;
	pr_err("%u instructions count as %llu cycles: this machine cannot be measured on\n",
	       BENCH_NOPS, cost);
	return -EOPNOTSUPP;
}

static bool bench_alloc(struct bench *bench)
{
	bench->held = pci_alloc_p2pmem(bench->provider, bench->size);
	return bench->held;
}

static void bench_free(struct bench *bench)
{
	pci_free_p2pmem(bench->provider, bench->held, bench->size);
}

static bool bench_alloc_free(struct bench *bench)
{
	void *addr = pci_alloc_p2pmem(bench->provider, bench->size);

	if (addr)
		pci_free_p2pmem(bench->provider, addr, bench->size);
	return addr;
}

static bool bench_sgl_alloc(struct bench *bench)
{
	unsigned int nents;

	bench->held = pci_p2pmem_alloc_sgl(bench->provider, &nents,
					   bench->size);
	return bench->held;
}

static void bench_sgl_free(struct bench *bench)
{
	pci_p2pmem_free_sgl(bench->provider, bench->held);
}

static bool bench_sgl_alloc_free(struct bench *bench)
{
	bool good = bench_sgl_alloc(bench);

	if (good)
		bench_sgl_free(bench);
	return good;
}

static bool bench_map(struct bench *bench)
{
	struct device *dev = &bench->client->dev;

	if (!dma_map_sg(dev, bench->sgl, bench->nents, DMA_BIDIRECTIONAL))
		return false;
	dma_unmap_sg(dev, bench->sgl, bench->nents, DMA_BIDIRECTIONAL);
	return true;
}

static bool bench_distance(struct bench *bench)
{
	return pci_p2pdma_distance(bench->provider, &bench->client->dev,
				   false) >= 0;
}

static bool bench_find(struct bench *bench)
{
	struct pci_dev *found = pci_p2pmem_find(&bench->client->dev);

	pci_dev_put(found);
	return found == bench->provider;
}

static const struct bench_op bench_op_alloc = {
	.run = bench_alloc,
	.undo = bench_free,
};

static const struct bench_op bench_op_alloc_free = { .run = bench_alloc_free };
static const struct bench_op bench_op_map = { .run = bench_map };
static const struct bench_op bench_op_distance = { .run = bench_distance };

static const struct bench_op bench_op_find = {
	.run = bench_find,
	.sleeps = true,
};

static const struct bench_op bench_op_sgl_free = {
	.run = bench_sgl_alloc_free,
	.sleeps = true,
};

static const struct bench_op bench_op_sgl = {
	.run = bench_sgl_alloc,
	.undo = bench_sgl_free,
	.sleeps = true,
};

static const struct {
	const char *name;
	size_t size;
} bench_sizes[] = {
	{ "4k", SZ_4K },
	{ "64k", SZ_64K },
	{ "1m", SZ_1M },
};

static void bench_empty(struct bench *bench)
{
	char name[32];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bench_sizes); i++) {
		bench->size = bench_sizes[i].size;
		snprintf(name, sizeof(name), "alloc_free_%s",
			 bench_sizes[i].name);
		bench_run(bench, name, &bench_op_alloc_free, BENCH_SAMPLES);
	}
	bench->size = SZ_64K;
	bench_run(bench, "sgl_empty", &bench_op_sgl_free, BENCH_SGL_SAMPLES);
}

static void bench_exhausted(struct bench *bench)
{
	char name[32];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bench_sizes); i++) {
		bench->size = bench_sizes[i].size;
		snprintf(name, sizeof(name), "exhausted_%s",
			 bench_sizes[i].name);
		bench_run(bench, name, &bench_op_alloc, BENCH_SGL_SAMPLES);
	}
}

/* Take all pages, and order the array by address. */
static void bench_fill(struct bench *bench, size_t limit)
{
	unsigned long flags;
	u64 start, end;
	void *addr;

	local_irq_save(flags);
	start = get_cycles();
	while (bench->nr_pages < limit) {
		addr = pci_alloc_p2pmem(bench->provider, PAGE_SIZE);
		if (!addr)
			break;
		bench->pages[bench->nr_pages++] = addr;
	}
	end = get_cycles();
	local_irq_restore(flags);
	bench_report("fill_4k", end - start, bench->nr_pages, bench->nr_pages);
	/* An address has 64 bits, like a sample, so bench_compare() fits. */
	sort(bench->pages, bench->nr_pages, sizeof(*bench->pages),
	     bench_compare, NULL);
}

static void bench_give_back(struct bench *bench, size_t index)
{
	void *addr = bench->pages[index];

	if (addr)
		pci_free_p2pmem(bench->provider, addr, PAGE_SIZE);
	bench->pages[index] = NULL;
}

/* A search from the front finds the last page last. */
static void bench_full(struct bench *bench)
{
	size_t i;

	bench_exhausted(bench);

	bench_give_back(bench, bench->nr_pages - 1);
	bench->size = PAGE_SIZE;
	bench_run(bench, "last_page_4k", &bench_op_alloc_free, BENCH_SAMPLES);

	for (i = 1; i < bench->nr_pages; i += 2)
		bench_give_back(bench, i);
	bench->size = SZ_64K;
	bench_run(bench, "sgl_fragmented", &bench_op_sgl, BENCH_SGL_SAMPLES);

	for (i = 0; i < bench->nr_pages; i++)
		bench_give_back(bench, i);
}

/* Pages of all BARs: the pool cannot have more. */
static size_t bench_most_pages(struct pci_dev *pdev)
{
	resource_size_t sum = 0;
	int bar;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++)
		sum += pci_resource_len(pdev, bar);
	return sum >> PAGE_SHIFT;
}

static int bench_pool(struct bench *bench)
{
	size_t limit = bench_most_pages(bench->provider);

	bench->pages = kvcalloc(limit, sizeof(*bench->pages), GFP_KERNEL);
	if (!bench->pages)
		return -ENOMEM;
	bench_empty(bench);
	bench_fill(bench, limit);
	if (bench->nr_pages >= 2)
		bench_full(bench);
	kvfree(bench->pages);
	return bench->nr_pages >= 2 ? 0 : -ENOMEM;
}

/* Peer memory and system memory, page by page. */
static void *bench_get_page(struct bench *bench, bool peer)
{
	return peer ? pci_alloc_p2pmem(bench->provider, PAGE_SIZE) :
		      (void *)__get_free_page(GFP_KERNEL);
}

static void bench_put_page(struct bench *bench, bool peer, void *addr)
{
	if (peer)
		pci_free_p2pmem(bench->provider, addr, PAGE_SIZE);
	else
		free_page((unsigned long)addr);
}

static int bench_fill_sgl(struct bench *bench, bool peer)
{
	struct scatterlist *sg;
	void *addr;
	int i;

	sg_init_table(bench->sgl, BENCH_SEGMENTS);
	for_each_sg(bench->sgl, sg, BENCH_SEGMENTS, i) {
		addr = bench_get_page(bench, peer);
		if (!addr)
			return -ENOMEM;
		sg_set_buf(sg, addr, PAGE_SIZE);
	}
	return 0;
}

static void bench_drain_sgl(struct bench *bench, bool peer)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(bench->sgl, sg, BENCH_SEGMENTS, i)
		if (sg_page(sg))
			bench_put_page(bench, peer, sg_virt(sg));
}

static int bench_mapping(struct bench *bench, bool peer)
{
	int ret = bench_fill_sgl(bench, peer);

	if (!ret) {
		bench->nents = 1;
		bench_run(bench, peer ? "map_1" : "map_1_ram",
			  &bench_op_map, BENCH_SAMPLES);
		bench->nents = BENCH_SEGMENTS;
		bench_run(bench, peer ? "map_256" : "map_256_ram",
			  &bench_op_map, BENCH_SAMPLES);
	}
	bench_drain_sgl(bench, peer);
	return ret;
}

static int bench_mappings(struct bench *bench)
{
	int ret;

	bench->sgl = kcalloc(BENCH_SEGMENTS, sizeof(*bench->sgl), GFP_KERNEL);
	if (!bench->sgl)
		return -ENOMEM;
	ret = bench_mapping(bench, true) ?: bench_mapping(bench, false);
	kfree(bench->sgl);
	return ret;
}

static u64 bench_register_cost = U64_MAX;
static long bench_register_pages;

static long bench_free_ram(void)
{
	struct sysinfo info;

	si_meminfo(&info);
	return info.freeram;
}

static int bench_card_probe(struct pci_dev *pdev,
			    const struct pci_device_id *id)
{
	long before;
	u64 start, end;
	int ret;

	if (strcmp(pci_name(pdev), card))
		return -ENODEV;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	before = bench_free_ram();
	start = get_cycles();
	ret = pci_p2pdma_add_resource(pdev, BENCH_CARD_BAR, 0, 0);
	end = get_cycles();
	if (ret)
		return ret;
	bench_register_cost = min(bench_register_cost, end - start);
	/* Later registrations use per-CPU pages, which do not count as free. */
	bench_register_pages = max(bench_register_pages,
				   before - bench_free_ram());
	return 0;
}

static const struct pci_device_id bench_card_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110) },
	{}
};

static struct pci_driver bench_card_driver = {
	.name = "p2pdma_bench_card",
	.id_table = bench_card_ids,
	.probe = bench_card_probe,
};

static int bench_registration(struct pci_dev *pdev)
{
	u64 length = pci_resource_len(pdev, BENCH_CARD_BAR);
	unsigned int i;
	int ret;

	for (i = 0; i < BENCH_CARD_SAMPLES; i++) {
		ret = pci_register_driver(&bench_card_driver);
		if (ret)
			return ret;
		pci_unregister_driver(&bench_card_driver);
	}
	if (bench_register_cost == U64_MAX)
		return -ENODEV;
	pr_info("op=register instructions=%llu bytes=%llu ram=%ld\n",
		bench_register_cost, length,
		bench_register_pages << PAGE_SHIFT);
	return 0;
}

static struct pci_dev *bench_function(const char *name)
{
	unsigned int domain, bus, slot, func;

	if (!name ||
	    sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
}

static int bench_all(struct bench *bench, struct pci_dev *pdev)
{
	int ret;

	ret = bench_calibrate(bench);
	if (ret)
		return ret;
	ret = bench_mappings(bench);
	if (ret)
		return ret;
	bench_run(bench, "distance", &bench_op_distance, BENCH_SAMPLES);
	bench_run(bench, "find", &bench_op_find, BENCH_SGL_SAMPLES);
	ret = bench_pool(bench);
	if (ret || !pdev)
		return ret;
	return bench_registration(pdev);
}

static int __init bench_init(void)
{
	struct bench *bench = kzalloc(sizeof(*bench), GFP_KERNEL);
	struct pci_dev *pdev = bench_function(card);
	int ret = -ENODEV;

	if (!bench)
		return -ENOMEM;
	bench->provider = bench_function(provider);
	bench->client = bench_function(client);
	if (bench->provider && bench->client &&
	    pci_has_p2pmem(bench->provider) && !card == !pdev)
		ret = bench_all(bench, pdev);
	pci_dev_put(bench->provider);
	pci_dev_put(bench->client);
	pci_dev_put(pdev);
	kfree(bench);
	return ret;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
}
module_exit(bench_exit);

MODULE_DESCRIPTION("Counts the instructions that PCI peer memory costs");
MODULE_LICENSE("GPL");
