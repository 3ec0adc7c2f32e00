// SPDX-License-Identifier: GPL-2.0
/*
 * Instructions of lists of peer memory in a pool after long use.
 *
 *	insmod p2pdma_bench_aged.ko provider=0000:03:00.0 client=0000:04:00.0 \
 *		pages=16384 longest=32 fill=50,90,99 seed=1
 *
 * Lists of 1 to @longest pages come and go at random. A step frees random lists
 * until less than a given share of the pool is taken, allocates a list of
 * random length, maps the list for the client and unmaps the list again. For
 * each share in turn, the module fills the empty pool and then
 *
 *	ages the pool by @age steps;
 *	counts the instructions of @rounds steps;
 *	measures the longest time with interrupts off in @probes steps;
 *	allocates and frees a single page after each of @singles steps.
 *
 * The log gets a line for each share. The instructions are an average for each
 * list: of allocation, mapping, unmapping and free. A failure while enough
 * bytes are free is a wrong failure; instructions of wrong failures are left
 * out of the average. The worst call is the longest allocation or free of a
 * list.
 *
 * The module needs an x86 machine with one processor whose cycle counter counts
 * instructions, such as QEMU's with -icount shift=0, and refuses other
 * machines. The source has names of stock Linux 6.12 only, and so measures both
 * implementations. The provider has to be idle. The module registers and
 * publishes an ivshmem card without a driver. Without a client, lists are not
 * mapped.
 *
 * Instructions: interrupts stay enabled during a measured call, as allocations
 * may sleep, but the highest task priority (CR8) holds all interrupts back. So
 * timer ticks do not count, and equal seeds give equal numbers.
 *
 * Interrupts off: the task priority is low, and a hard timer interrupt comes
 * again and again, AGED_PROBE_LEAST to AGED_PROBE_MOST instructions after the
 * last one. The delay of the handler, less the delay where interrupts are on,
 * is the time with interrupts off. The interrupt cannot miss a time longer than
 * AGED_PROBE_MOST, and measures at most AGED_PROBE_MOST too little. Before the
 * measurement, a known time with interrupts off has to be seen.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-mapping.h>
#include <linux/hrtimer.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci-p2pdma.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/timex.h>

#define AGED_BAR		2
#define AGED_SHARES		8
#define AGED_NOPS		1000
#define AGED_CALIBRATIONS	10
#define AGED_PROBE_LEAST	1500
#define AGED_PROBE_MOST		2500
#define AGED_PROBE_TRIALS	200
#define AGED_PROBE_NOPS		20000
#define AGED_HIGHEST_PRIORITY	15UL

static char *provider;
module_param(provider, charp, 0400);
MODULE_PARM_DESC(provider, "address of a function with unused peer memory");

static char *client;
module_param(client, charp, 0400);
MODULE_PARM_DESC(client, "address of a function to map the lists for");

static unsigned int pages;
module_param(pages, uint, 0400);
MODULE_PARM_DESC(pages, "how many pages the pool has");

static unsigned int longest = 32;
module_param(longest, uint, 0400);
MODULE_PARM_DESC(longest, "pages of the longest list");

static unsigned int fill[AGED_SHARES];
static unsigned int nr_fill;
module_param_array(fill, uint, &nr_fill, 0400);
MODULE_PARM_DESC(fill, "shares of the pool to be taken, in percent");

static unsigned long seed = 1;
module_param(seed, ulong, 0400);
MODULE_PARM_DESC(seed, "of the random numbers");

static unsigned int age = 5000;
module_param(age, uint, 0400);
MODULE_PARM_DESC(age, "steps before the measurement");

static unsigned int rounds = 5000;
module_param(rounds, uint, 0400);
MODULE_PARM_DESC(rounds, "steps that are measured");

static unsigned int probes = 2000;
module_param(probes, uint, 0400);
MODULE_PARM_DESC(probes, "steps that look for times with interrupts off");

static unsigned int singles = 1000;
module_param(singles, uint, 0400);
MODULE_PARM_DESC(singles, "allocations of one page that are measured");

/**
 * struct aged_list - a live list
 * @sgl: the list
 * @nents: number of entries of @sgl
 * @pages: number of pages of the list
 */
struct aged_list {
	struct scatterlist *sgl;
	unsigned int nents;
	unsigned int pages;
};

/**
 * struct aged - a pool in use
 * @provider: function with the pool
 * @client: function that maps lists, or NULL
 * @rnd: random numbers
 * @lists: live lists, in no order
 * @nr_lists: number of lists in @lists
 * @most_lists: room in @lists
 * @taken: number of pages of all live lists
 * @limit: largest number of pages to take
 * @disturbed: interrupts may come in the middle of a call
 * @tries: number of allocations with enough free bytes
 * @wrong: number of failures among @tries, and of failed mappings
 * @cost: number of instructions of all calls
 * @worst: number of instructions of the worst single call, mappings apart
 * @entries: number of scatterlist entries of all lists
 * @good: number of successful allocations
 */
struct aged {
	struct pci_dev *provider;
	struct pci_dev *client;
	struct rnd_state rnd;
	struct aged_list *lists;
	unsigned int nr_lists;
	unsigned int most_lists;
	unsigned int taken;
	unsigned int limit;
	bool disturbed;
	unsigned int tries;
	unsigned int wrong;
	u64 cost;
	u64 worst;
	u64 entries;
	unsigned int good;
};

/**
 * struct aged_call - a call that is being measured
 * @priority: task priority to return to
 * @start: cycle counter before the call
 */
struct aged_call {
	unsigned long priority;
	u64 start;
};

/* Cost of the measurement itself. */
static u64 aged_overhead;

static __always_inline void aged_begin(struct aged *aged,
				       struct aged_call *call)
{
	unsigned long hold = AGED_HIGHEST_PRIORITY;

	asm volatile("mov %%cr8, %0" : "=r" (call->priority) : : "memory");
	if (aged->disturbed)
		hold = call->priority;
	asm volatile("mov %0, %%cr8" : : "r" (hold) : "memory");
	call->start = get_cycles();
}

static __always_inline u64 aged_end(struct aged_call *call)
{
	u64 end = get_cycles();

	asm volatile("mov %0, %%cr8" : : "r" (call->priority) : "memory");
	return end - call->start - aged_overhead;
}

static void aged_nops(void)
{
	asm volatile(".rept %c0\n\tnop\n\t.endr" : : "i" (AGED_NOPS));
}

/* A known number of nops shows whether the counter counts instructions. */
static int aged_calibrate(struct aged *aged)
{
	struct aged_call call;
	u64 least = U64_MAX, cost = 0;
	unsigned int i;

	for (i = 0; i < AGED_CALIBRATIONS; i++) {
		aged_begin(aged, &call);
		least = min(least, aged_end(&call));
	}
	aged_overhead = least;
	for (i = 0; i < AGED_CALIBRATIONS; i++) {
		aged_begin(aged, &call);
		aged_nops();
		cost = aged_end(&call);
	}
	/* Up to ten instructions of the measurement count, too. */
	if (cost >= AGED_NOPS && cost <= AGED_NOPS + 10)
		return 0;
	pr_err("%u instructions count as %llu cycles: this machine cannot be measured on\n",
	       AGED_NOPS, cost);
	return -EOPNOTSUPP;
}

static u32 aged_random(struct aged *aged, u32 below)
{
	return (u64)prandom_u32_state(&aged->rnd) * below >> 32;
}

/* Free a random list. */
static void aged_drop(struct aged *aged)
{
	u32 index = aged_random(aged, aged->nr_lists);
	struct aged_list list = aged->lists[index];
	struct aged_call call;
	u64 cost;

	aged->lists[index] = aged->lists[--aged->nr_lists];
	aged->taken -= list.pages;
	aged_begin(aged, &call);
	pci_p2pmem_free_sgl(aged->provider, list.sgl);
	cost = aged_end(&call);
	aged->cost += cost;
	aged->worst = max(aged->worst, cost);
}

static void aged_drop_all(struct aged *aged)
{
	while (aged->nr_lists)
		aged_drop(aged);
}

static void aged_map(struct aged *aged, struct aged_list *list)
{
	struct device *dev = &aged->client->dev;
	struct aged_call call;

	aged_begin(aged, &call);
	if (dma_map_sg(dev, list->sgl, list->nents, DMA_BIDIRECTIONAL))
		dma_unmap_sg(dev, list->sgl, list->nents, DMA_BIDIRECTIONAL);
	else
		aged->wrong++;
	aged->cost += aged_end(&call);
}

static void aged_take(struct aged *aged, unsigned int nr_pages)
{
	struct aged_list list = { .pages = nr_pages };
	struct aged_call call;
	u64 cost;

	aged_begin(aged, &call);
	list.sgl = pci_p2pmem_alloc_sgl(aged->provider, &list.nents,
					nr_pages << PAGE_SHIFT);
	cost = aged_end(&call);
	aged->worst = max(aged->worst, cost);
	aged->tries++;
	if (!list.sgl) {
		aged->wrong++;
		return;
	}
	aged->cost += cost;
	aged->good++;
	aged->entries += list.nents;
	if (aged->client)
		aged_map(aged, &list);
	aged->lists[aged->nr_lists++] = list;
	aged->taken += nr_pages;
}

static void aged_step(struct aged *aged)
{
	unsigned int nr_pages = 1 + aged_random(aged, longest);

	while (aged->taken >= aged->limit || aged->nr_lists == aged->most_lists)
		aged_drop(aged);
	if (aged->taken + nr_pages <= pages)
		aged_take(aged, nr_pages);
	cond_resched();
}

static void aged_steps(struct aged *aged, unsigned int steps)
{
	while (steps--)
		aged_step(aged);
}

/**
 * struct aged_probe - a timer interrupt and its delays
 * @timer: the timer
 * @rnd: random numbers
 * @tick: timer ticks when @timer was set up
 * @least: shortest delay, in instructions: a nanosecond is an instruction
 * @most: longest delay
 */
static struct aged_probe {
	struct hrtimer timer;
	struct rnd_state rnd;
	unsigned long tick;
	s64 least;
	s64 most;
} aged_probe;

static ktime_t aged_probe_next(struct aged_probe *probe)
{
	u32 range = AGED_PROBE_MOST - AGED_PROBE_LEAST;

	probe->tick = jiffies;
	return AGED_PROBE_LEAST +
	       ((u64)prandom_u32_state(&probe->rnd) * range >> 32);
}

/* A tick also keeps interrupts off: delays by a tick do not count. */
static enum hrtimer_restart aged_probe_fires(struct hrtimer *timer)
{
	struct aged_probe *probe = &aged_probe;
	ktime_t now = ktime_get();
	s64 late = ktime_to_ns(ktime_sub(now, hrtimer_get_expires(timer)));

	if (time_before_eq(jiffies, probe->tick)) {
		probe->least = min(probe->least, late);
		probe->most = max(probe->most, late);
	}
	hrtimer_set_expires(timer,
			    ktime_add(ktime_get(), aged_probe_next(probe)));
	return HRTIMER_RESTART;
}

static void aged_probe_start(void)
{
	aged_probe.least = S64_MAX;
	aged_probe.most = 0;
	prandom_seed_state(&aged_probe.rnd, seed);
	hrtimer_init(&aged_probe.timer, CLOCK_MONOTONIC,
		     HRTIMER_MODE_REL_PINNED_HARD);
	aged_probe.timer.function = aged_probe_fires;
	hrtimer_start(&aged_probe.timer, aged_probe_next(&aged_probe),
		      HRTIMER_MODE_REL_PINNED_HARD);
}

static void aged_probe_stop(void)
{
	hrtimer_cancel(&aged_probe.timer);
}

/* Delay of the handler where interrupts are on. */
static s64 aged_probe_entry;

static void aged_probe_nops(bool off)
{
	unsigned int i, j;

	aged_probe_start();
	for (i = 0; i < AGED_PROBE_TRIALS; i++) {
		if (off)
			local_irq_disable();
		for (j = 0; j < AGED_PROBE_NOPS / AGED_NOPS; j++)
			aged_nops();
		if (off)
			local_irq_enable();
	}
	aged_probe_stop();
}

/* The timer has to see a known time with interrupts off. */
static int aged_probe_check(void)
{
	s64 on, seen;

	aged_probe_nops(false);
	aged_probe_entry = aged_probe.least;
	on = aged_probe.most - aged_probe_entry;
	aged_probe_nops(true);
	seen = aged_probe.most - aged_probe_entry;
	pr_info("op=probe entry=%lld on=%lld off=%u seen=%lld\n",
		aged_probe_entry, on, AGED_PROBE_NOPS, seen);
	if (seen >= AGED_PROBE_NOPS - AGED_PROBE_MOST &&
	    seen <= AGED_PROBE_NOPS + AGED_NOPS)
		return 0;
	pr_err("the timer cannot see how long interrupts are off\n");
	return -EOPNOTSUPP;
}

/* Longest time with interrupts off in some steps. */
static s64 aged_irqs_off(struct aged *aged, unsigned int steps)
{
	aged->disturbed = true;
	aged_probe_start();
	aged_steps(aged, steps);
	aged_probe_stop();
	aged->disturbed = false;
	return max(aged_probe.most - aged_probe_entry, 0);
}

/* Returns instructions of a page, in hundredths, on average. */
static u64 aged_singles(struct aged *aged, unsigned int steps)
{
	unsigned int tries = 0;
	struct aged_call call;
	u64 cost = 0;
	void *addr;

	while (steps--) {
		aged_step(aged);
		if (aged->taken == pages)
			continue;
		aged_begin(aged, &call);
		addr = pci_alloc_p2pmem(aged->provider, PAGE_SIZE);
		if (addr)
			pci_free_p2pmem(aged->provider, addr, PAGE_SIZE);
		cost += aged_end(&call);
		aged->wrong += !addr;
		tries++;
	}
	return div_u64(cost * 100, max(tries, 1U));
}

/* Returns instructions of a list, in hundredths, on average. */
static u64 aged_measure(struct aged *aged, unsigned int steps)
{
	aged->cost = 0;
	aged->worst = 0;
	aged->entries = 0;
	aged->good = 0;
	aged_steps(aged, steps);
	return div_u64(aged->cost * 100, max(aged->good, 1U));
}

static void aged_share(struct aged *aged, unsigned int percent)
{
	u64 cost, single, worst, entries;
	s64 off;

	aged->limit = div_u64((u64)pages * percent, 100);
	aged->tries = 0;
	aged->wrong = 0;
	aged_drop_all(aged);
	while (aged->taken < aged->limit && !aged->wrong)
		aged_step(aged);
	aged_steps(aged, age);
	cost = aged_measure(aged, rounds);
	worst = aged->worst;
	entries = div_u64(aged->entries * 100, max(aged->good, 1U));
	off = aged_irqs_off(aged, probes);
	single = aged_singles(aged, singles);
	pr_info("op=aged pages=%u longest=%u fill=%u age=%u seed=%lu instructions=%llu.%02llu entries=%llu.%02llu worst=%llu off=%lld within=%u single=%llu.%02llu tries=%u wrong=%u\n",
		pages, longest, percent, age, seed, cost / 100, cost % 100,
		entries / 100, entries % 100, worst, off, AGED_PROBE_MOST,
		single / 100, single % 100, aged->tries, aged->wrong);
}

static int aged_run(struct aged *aged)
{
	unsigned int i;
	int ret;

	ret = aged_calibrate(aged) ?: aged_probe_check();
	if (ret)
		return ret;
	prandom_seed_state(&aged->rnd, seed);
	/* Twice the average number of lists. */
	aged->most_lists = 4 * (pages / (longest + 1)) + longest;
	aged->lists = kvcalloc(aged->most_lists, sizeof(*aged->lists),
			       GFP_KERNEL);
	if (!aged->lists)
		return -ENOMEM;
	for (i = 0; i < nr_fill; i++)
		aged_share(aged, fill[i]);
	aged_drop_all(aged);
	kvfree(aged->lists);
	return 0;
}

/* Make a provider of a card without a driver. */
static int aged_probe_card(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int ret;

	if (strcmp(pci_name(pdev), provider))
		return -ENODEV;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = pci_p2pdma_add_resource(pdev, AGED_BAR, 0, 0);
	if (ret)
		return ret;
	pci_p2pmem_publish(pdev, true);
	return 0;
}

static const struct pci_device_id aged_cards[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110) },
	{}
};

static struct pci_driver aged_card_driver = {
	.name = "p2pdma_bench_aged",
	.id_table = aged_cards,
	.probe = aged_probe_card,
};

static struct pci_dev *aged_function(const char *name)
{
	unsigned int domain, bus, slot, func;

	if (!name ||
	    sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
}

static bool aged_is_valid(struct aged *aged)
{
	unsigned int i;

	for (i = 0; i < nr_fill; i++)
		if (fill[i] > 100 || (u64)pages * fill[i] / 100 < longest)
			return false;
	return pci_has_p2pmem(aged->provider) && longest &&
	       !client == !aged->client && num_online_cpus() == 1;
}

static int __init aged_init(void)
{
	struct aged aged = {
		.provider = aged_function(provider),
		.client = aged_function(client),
	};
	int ret = -ENODEV;

	if (!aged.provider)
		goto put;
	ret = pci_register_driver(&aged_card_driver);
	if (ret)
		goto put;
	ret = aged_is_valid(&aged) ? aged_run(&aged) : -EINVAL;
	if (ret)
		pci_unregister_driver(&aged_card_driver);
put:
	pci_dev_put(aged.provider);
	pci_dev_put(aged.client);
	return ret;
}
module_init(aged_init);

static void __exit aged_exit(void)
{
	pci_unregister_driver(&aged_card_driver);
}
module_exit(aged_exit);

MODULE_DESCRIPTION("Instructions of PCI peer memory after long use");
MODULE_LICENSE("GPL");
