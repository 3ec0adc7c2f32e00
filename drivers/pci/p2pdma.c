// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: registration, publication, allocation, teardown
 *
 * The model, the lifetime rules and the lock order stand in p2pdma.h.
 */
#define pr_fmt(fmt) "pci-p2pdma: " fmt

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/cleanup.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pci-p2pdma.h>
#include <linux/rculist.h>
#include <linux/scatterlist.h>
#include <linux/seq_buf.h>
#include <linux/slab.h>

#include "p2pdma.h"
#include "p2pdma-pool-near.h"

#define CREATE_TRACE_POINTS
#include "p2pdma_trace.h"

/* How long the wait for pages may take before the log says what it waits for, and says it again. */
#define P2PDMA_WAIT_REPORT	(5 * HZ)

static DEFINE_MUTEX(p2pdma_mutex);
static LIST_HEAD(p2pdma_providers);

/* ---- registration and teardown ------------------------------------------------------------ */

VISIBLE_IF_KUNIT struct pci_p2pdma *p2pdma_provider_create(struct pci_dev *pdev)
{
	struct pci_p2pdma *p2pdma;

	KUNIT_STATIC_STUB_REDIRECT(p2pdma_provider_create, pdev);
	p2pdma = kzalloc(sizeof(*p2pdma), GFP_KERNEL);
	if (!p2pdma)
		return NULL;
	p2pdma->pool = p2pdma_pool_create();
	p2pdma->counters = alloc_percpu(struct p2pdma_counters);
	if (!p2pdma->pool || !p2pdma->counters) {
		free_percpu(p2pdma->counters);
		p2pdma_pool_destroy(p2pdma->pool);
		kfree(p2pdma);
		return NULL;
	}
	p2pdma->pdev = pdev;
	p2pdma_cache_init(&p2pdma->cache);
	INIT_LIST_HEAD(&p2pdma->regions);
	init_llist_head(&p2pdma->resetting);
	spin_lock_init(&p2pdma->reset_lock);
	INIT_DELAYED_WORK(&p2pdma->reset_work, p2pdma_pages_reset_work);
	return p2pdma;
}

/* Nobody can reach @p2pdma any more, and all of its pages are gone. */
static void p2pdma_provider_free(struct pci_p2pdma *p2pdma)
{
	cancel_delayed_work_sync(&p2pdma->reset_work);
	p2pdma_cache_flush(&p2pdma->cache);
	p2pdma_pool_destroy(p2pdma->pool);
	free_percpu(p2pdma->counters);
	kfree(p2pdma);
}

static struct pci_p2pdma *p2pdma_provider(struct pci_dev *pdev)
{
	return rcu_dereference_protected(pdev->p2pdma, lockdep_is_held(&p2pdma_mutex));
}

/* A provider starts with its first region ... */
static int p2pdma_provider_start(struct pci_p2pdma *p2pdma)
{
	int ret;

	lockdep_assert_held(&p2pdma_mutex);
	ret = p2pdma_sysfs_add(p2pdma);
	if (ret)
		return ret;
	list_add_tail_rcu(&p2pdma->node, &p2pdma_providers);
	rcu_assign_pointer(p2pdma->pdev->p2pdma, p2pdma);
	return 0;
}

/* ... and stops with its last. The caller frees it after a grace period. */
static void p2pdma_provider_stop(struct pci_p2pdma *p2pdma)
{
	lockdep_assert_held(&p2pdma_mutex);
	list_del_rcu(&p2pdma->node);
	RCU_INIT_POINTER(p2pdma->pdev->p2pdma, NULL);
	p2pdma_sysfs_remove(p2pdma);
}

/* User mappings do not know beforehand from which region their memory will be. */
static void p2pdma_update_unit(struct pci_p2pdma *p2pdma)
{
	struct p2pdma_region *region;
	size_t unit = 0;

	lockdep_assert_held(&p2pdma_mutex);
	list_for_each_entry(region, &p2pdma->regions, node)
		unit = max(unit, p2pdma_unit(region));
	WRITE_ONCE(p2pdma->unit, unit);
}

static void p2pdma_wait_idle(struct p2pdma_region *region)
{
	struct pci_dev *pdev = region->provider->pdev;

	while (!wait_for_completion_timeout(&region->idle, P2PDMA_WAIT_REPORT))
		pci_warn(pdev, "BAR %d cannot be released yet: %zu pages of peer-to-peer DMA memory are in use\n",
			 region->bar, p2pdma_pool_held(region->chunk));
}

/* Undoes p2pdma_region_start(); called by devres before the pagemap goes. */
static void p2pdma_region_release(void *data)
{
	struct p2pdma_region *region = data;
	struct pci_p2pdma *p2pdma = region->provider;
	bool last;

	p2pdma_pool_close(region->chunk);
	scoped_guard(mutex, &p2pdma_mutex)
		p2pdma_sysfs_remove_allocate(p2pdma);
	p2pdma_wait_idle(region);

	scoped_guard(mutex, &p2pdma_mutex) {
		list_del_rcu(&region->node);
		p2pdma_update_unit(p2pdma);
		p2pdma_pool_remove(region->chunk);
		last = list_empty(&p2pdma->regions);
		if (last)
			p2pdma_provider_stop(p2pdma);
	}
	/* For readers of the list of regions, of the list of providers and of pdev->p2pdma. */
	synchronize_rcu();
	if (last)
		p2pdma_provider_free(p2pdma);
}

VISIBLE_IF_KUNIT int p2pdma_region_map(struct p2pdma_region *region)
{
	void *addr;

	KUNIT_STATIC_STUB_REDIRECT(p2pdma_region_map, region);
	addr = devm_memremap_pages(&region->provider->pdev->dev, &region->pgmap);
	if (IS_ERR(addr))
		return PTR_ERR(addr);
	p2pdma_pages_init(region);
	return 0;
}

VISIBLE_IF_KUNIT int p2pdma_region_pool(struct p2pdma_region *region)
{
	struct range *range = &region->pgmap.range;

	KUNIT_STATIC_STUB_REDIRECT(p2pdma_region_pool, region);
	region->chunk = p2pdma_pool_add(region->provider->pool, __va(range->start),
					range_len(range), &region->idle);
	return region->chunk ? 0 : -ENOMEM;
}

VISIBLE_IF_KUNIT int p2pdma_region_arm(struct p2pdma_region *region)
{
	KUNIT_STATIC_STUB_REDIRECT(p2pdma_region_arm, region);
	return devm_add_action(&region->provider->pdev->dev, p2pdma_region_release, region);
}

/*
 * Bring a region to life: its pages, the files of its provider, its place in the lists, and last
 * its place in the pool, where others find it. What can fail comes first, so that until it is in
 * the pool a region can be dropped without having been seen.
 */
static int p2pdma_region_start(struct p2pdma_region *region, bool first)
{
	struct pci_p2pdma *p2pdma = region->provider;
	int ret;

	ret = p2pdma_region_map(region);
	if (ret)
		return ret;
	ret = first ? p2pdma_provider_start(p2pdma) : 0;
	if (ret)
		goto unmap;
	ret = p2pdma_sysfs_add_allocate(p2pdma);
	if (ret)
		goto stop;
	ret = p2pdma_region_arm(region);
	if (ret)
		goto stop;
	list_add_tail_rcu(&region->node, &p2pdma->regions);
	p2pdma_update_unit(p2pdma);
	ret = p2pdma_region_pool(region);
	if (ret)
		goto disarm;
	return 0;

disarm:
	list_del_rcu(&region->node);
	p2pdma_update_unit(p2pdma);
	devm_remove_action(&p2pdma->pdev->dev, p2pdma_region_release, region);
stop:
	if (first) {
		p2pdma_sysfs_remove_allocate(p2pdma);
		p2pdma_provider_stop(p2pdma);
	}
unmap:
	devm_memunmap_pages(&p2pdma->pdev->dev, &region->pgmap);
	return ret;
}

static bool p2pdma_overlap(const struct range *a, const struct range *b)
{
	return a->start <= b->end && b->start <= a->end;
}

/* Neither another region of ours nor somebody else's pages may be in the way. */
static bool p2pdma_range_taken(struct pci_p2pdma *p2pdma, const struct range *range)
{
	const u64 ends[] = { range->start, range->end };
	struct p2pdma_region *region;
	struct dev_pagemap *other;
	unsigned int i;

	if (p2pdma)
		list_for_each_entry(region, &p2pdma->regions, node)
			if (p2pdma_overlap(&region->pgmap.range, range))
				return true;

	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		other = get_dev_pagemap(PHYS_PFN(ends[i]), NULL);
		if (other) {
			put_dev_pagemap(other);
			return true;
		}
	}
	return region_intersects(range->start, range_len(range), IORESOURCE_SYSTEM_RAM,
				 IORES_DESC_NONE) != REGION_DISJOINT;
}

/* Turn BAR, size and offset into a range of addresses, if there is such a thing. */
static int p2pdma_find_range(struct pci_dev *pdev, int bar, size_t size, u64 offset,
			     struct range *range)
{
	resource_size_t len;

	if (bar < PCI_STD_RESOURCES || bar > PCI_STD_RESOURCE_END) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: there is no such BAR\n", bar);
		return -EINVAL;
	}
	len = pci_resource_len(pdev, bar);
	if (!(pci_resource_flags(pdev, bar) & IORESOURCE_MEM) || !len ||
	    pci_resource_flags(pdev, bar) & (IORESOURCE_UNSET | IORESOURCE_DISABLED)) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: not memory, or not assigned\n",
			bar);
		return -EINVAL;
	}
	if (offset >= len || size > len - offset) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: %#zx bytes at %#llx do not fit into %#llx\n",
			bar, size, offset, (u64)len);
		return -EINVAL;
	}
	range->start = pci_resource_start(pdev, bar) + offset;
	range->end = range->start + (size ?: len - offset) - 1;
	return 0;
}

/* Can the kernel have pages for this range? */
static int p2pdma_check_range(struct pci_dev *pdev, int bar, struct range *range)
{
	struct range mappable = mhp_get_pluggable_range(true);

	if (!IS_ALIGNED(range->start | range_len(range), memremap_compat_align())) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: %#llx-%#llx is not aligned to %#lx\n",
			bar, range->start, range->end, memremap_compat_align());
		return -EINVAL;
	}
	if (!range_contains(&mappable, range)) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: %#llx-%#llx is outside of what the kernel can map, %#llx-%#llx\n",
			bar, range->start, range->end, mappable.start, mappable.end);
		return -EINVAL;
	}
	if (p2pdma_range_taken(p2pdma_provider(pdev), range)) {
		pci_err(pdev, "no peer-to-peer DMA memory in BAR %d: %#llx-%#llx is in use already\n",
			bar, range->start, range->end);
		return -EBUSY;
	}
	return 0;
}

static struct p2pdma_region *p2pdma_region_new(struct pci_p2pdma *p2pdma, int bar,
					       const struct range *range)
{
	struct pci_dev *pdev = p2pdma->pdev;
	struct p2pdma_region *region = devm_kzalloc(&pdev->dev, sizeof(*region), GFP_KERNEL);

	if (!region)
		return NULL;
	region->provider = p2pdma;
	region->bar = bar;
	region->bus_offset = pci_bus_address(pdev, bar) - pci_resource_start(pdev, bar);
	init_completion(&region->idle);
	region->pgmap.type = MEMORY_DEVICE_PCI_P2PDMA;
	region->pgmap.ops = &p2pdma_pagemap_ops;
	region->pgmap.range = *range;
	region->pgmap.nr_range = 1;
	p2pdma_pages_choose_unit(region);
	return region;
}

static int p2pdma_add_range(struct pci_dev *pdev, int bar, const struct range *range)
{
	struct pci_p2pdma *p2pdma = p2pdma_provider(pdev);
	struct p2pdma_region *region;
	bool first = !p2pdma;
	int ret = -ENOMEM;

	if (first)
		p2pdma = p2pdma_provider_create(pdev);
	if (!p2pdma)
		return -ENOMEM;

	region = p2pdma_region_new(p2pdma, bar, range);
	if (region)
		ret = p2pdma_region_start(region, first);
	if (!ret)
		return 0;

	/* Both may have been visible for a moment. */
	synchronize_rcu();
	if (region)
		devm_kfree(&pdev->dev, region);
	if (first)
		p2pdma_provider_free(p2pdma);
	return ret;
}

/**
 * pci_p2pdma_add_resource - register a range of a BAR as peer memory
 * @pdev: the provider; its driver calls this in probe
 * @bar: index of a memory BAR, 0 to 5
 * @size: in bytes; 0 for the rest of the BAR
 * @offset: of the first byte in the BAR
 *
 * Start and size have to be multiples of memremap_compat_align(), 2 MiB on most architectures.
 * A driver may register several ranges. They are released, after all memory of theirs has come
 * back, when the driver is unbound. Until pci_p2pmem_publish() only the provider itself and user
 * space use the memory.
 *
 * Context: May sleep. The caller holds the device lock, as in probe.
 * Return: 0; -EINVAL for a BAR or a range that cannot be peer memory; -EBUSY if part of the range
 * has been registered already, here or elsewhere; -ENOMEM. Nothing is registered on error, and
 * what was before is as before.
 */
int pci_p2pdma_add_resource(struct pci_dev *pdev, int bar, size_t size, u64 offset)
{
	struct range range;
	int ret;

	ret = p2pdma_find_range(pdev, bar, size, offset, &range);
	if (ret)
		return ret;

	scoped_guard(mutex, &p2pdma_mutex) {
		ret = p2pdma_check_range(pdev, bar, &range);
		if (!ret)
			ret = p2pdma_add_range(pdev, bar, &range);
	}
	if (ret)
		return ret;

	pci_info(pdev, "added peer-to-peer DMA memory %#llx-%#llx\n", range.start, range.end);
	return 0;
}
EXPORT_SYMBOL_GPL(pci_p2pdma_add_resource);

/* ---- publication -------------------------------------------------------------------------- */

/**
 * pci_p2pmem_publish - offer peer memory to orchestrators, or stop offering it
 * @provider: the provider
 * @publish: whether pci_p2pmem_find_many() and administrators may choose it
 *
 * To be called once the memory is usable. Without effect if nothing is registered.
 *
 * Context: Any.
 */
void pci_p2pmem_publish(struct pci_dev *provider, bool publish)
{
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (p2pdma)
		WRITE_ONCE(p2pdma->published, publish);
}
EXPORT_SYMBOL_GPL(pci_p2pmem_publish);

/**
 * pci_has_p2pmem - does a function have published peer memory?
 * @provider: the function
 *
 * Context: Any.
 * Return: true if memory is registered and published.
 */
bool pci_has_p2pmem(struct pci_dev *provider)
{
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	return p2pdma && READ_ONCE(p2pdma->published);
}
EXPORT_SYMBOL_GPL(pci_has_p2pmem);

/* ---- distance ----------------------------------------------------------------------------- */

/**
 * struct p2pdma_acs_list - redirecting ports, as pci=disable_acs_redir= wants them
 * @visitor: collects them
 * @names: separated by semicolons
 * @text: memory of @names; two ports decide, see p2pdma-route.c
 */
struct p2pdma_acs_list {
	struct p2pdma_port_visitor visitor;
	struct seq_buf names;
	char text[128];
};

static void p2pdma_list_redirecting(struct p2pdma_port_visitor *visitor, struct pci_dev *port,
				    enum p2pdma_port_effect effect)
{
	struct p2pdma_acs_list *list = container_of(visitor, struct p2pdma_acs_list, visitor);

	if (effect == P2PDMA_PORT_REDIRECTS)
		seq_buf_printf(&list->names, "%s%s", seq_buf_used(&list->names) ? ";" : "",
			       pci_name(port));
}

static void p2pdma_log_refusal(struct pci_dev *provider, struct pci_dev *client,
			       const struct p2pdma_route *route)
{
	u32 identity;

	switch (route->reason) {
	case P2PDMA_REASON_EGRESS:
		pci_warn(client, "ACS egress control blocks requests to the provider (%s)\n",
			 pci_name(provider));
		break;
	case P2PDMA_REASON_UNREADABLE:
		pci_warn(client, "access control on the way to the provider (%s) cannot be read\n",
			 pci_name(provider));
		break;
	case P2PDMA_REASON_NO_FORWARDING:
		pci_warn(client, "requests to the provider (%s) are redirected, but a port above does not forward them upstream\n",
			 pci_name(provider));
		break;
	case P2PDMA_REASON_TRANSLATED:
		pci_warn(client, "translated requests to the provider (%s) would bypass the redirection\n",
			 pci_name(provider));
		break;
	case P2PDMA_REASON_POLICY:
		pci_warn(client, "policy denies peer-to-peer DMA to the provider (%s)\n",
			 pci_name(provider));
		break;
	default:
		identity = p2pdma_host_identity(route->host);
		if (identity)
			dev_warn(&route->host->dev, "Host bridge not in P2PDMA whitelist: %04x:%04x\n",
				 identity >> 16, identity & U16_MAX);
		break;
	}
	pci_warn(client, "cannot be used for peer-to-peer DMA as the client and provider (%s) do not share an upstream bridge or whitelisted host bridge\n",
		 pci_name(provider));
}

/* Scripts look for these texts; those that Linux 6.12 has are as they are there. */
static void p2pdma_route_verbose(struct pci_dev *provider, struct pci_dev *client,
				 struct p2pdma_route *route)
{
	struct p2pdma_acs_list list = { .visitor.visit = p2pdma_list_redirecting };

	seq_buf_init(&list.names, list.text, sizeof(list.text));
	p2pdma_route(provider, client, route, &list.visitor);

	if (seq_buf_used(&list.names)) {
		pci_warn(client, "ACS redirect is set between the client and provider (%s)\n",
			 pci_name(provider));
		pci_warn(client, "to disable ACS redirect for this path, add the kernel parameter: pci=disable_acs_redir=%s\n",
			 seq_buf_str(&list.names));
	}
	if (route->type == PCI_P2PDMA_MAP_NOT_SUPPORTED)
		p2pdma_log_refusal(provider, client, route);
}

/**
 * struct p2pdma_score - how well a provider serves a set of clients
 * @through_host: routes that go through a host bridge
 * @distance: sum over the clients
 * @remote: clients on another NUMA node
 * @available: bytes
 */
struct p2pdma_score {
	int through_host;
	int distance;
	int remote;
	size_t available;
};

static bool p2pdma_score_client(struct pci_dev *provider, struct device *dev, bool verbose,
				struct p2pdma_score *score)
{
	struct pci_dev *client = p2pdma_client_function(dev);
	struct p2pdma_route route;

	if (!client) {
		if (verbose)
			dev_warn(dev, "cannot be used for peer-to-peer DMA as it is not a PCI device\n");
		return false;
	}
	if (verbose)
		p2pdma_route_verbose(provider, client, &route);
	else
		p2pdma_route(provider, client, &route, NULL);
	trace_p2pdma_route(provider, client, &route);

	score->distance += route.distance;
	score->through_host += route.type == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
	score->remote += dev_to_node(&provider->dev) != dev_to_node(&client->dev);
	return route.type != PCI_P2PDMA_MAP_NOT_SUPPORTED;
}

/* With @verbose, clients after the first unreachable one have their say as well. */
static bool p2pdma_score(struct pci_dev *provider, struct device **clients, int nr_clients,
			 bool verbose, struct p2pdma_score *score)
{
	bool reaches_all = nr_clients > 0;
	int i;

	*score = (struct p2pdma_score) {};
	for (i = 0; i < nr_clients && (reaches_all || verbose); i++)
		reaches_all &= p2pdma_score_client(provider, clients[i], verbose, score);
	return reaches_all;
}

/**
 * pci_p2pdma_distance_many - how far it is from a provider to its clients
 * @provider: function whose memory would be used; need not have registered any
 * @clients: devices that would master DMA to it; PCI functions or any children of such
 * @nr_clients: length of @clients
 * @verbose: say in the kernel log what is in the way
 *
 * Context: Any. The caller holds references on all devices.
 * Return: the sum of the distances, in hops; negative if @nr_clients is 0, if a client is not
 * below a PCI function, or if a route is missing.
 */
int pci_p2pdma_distance_many(struct pci_dev *provider, struct device **clients, int nr_clients,
			     bool verbose)
{
	struct p2pdma_score score;

	if (!p2pdma_score(provider, clients, nr_clients, verbose, &score))
		return -1;
	return score.distance;
}
EXPORT_SYMBOL_GPL(pci_p2pdma_distance_many);

/* ---- find --------------------------------------------------------------------------------- */

static int p2pdma_compare(s64 a, s64 b)
{
	return (a > b) - (a < b);
}

static int p2pdma_compare_address(struct pci_dev *a, struct pci_dev *b)
{
	int ret = p2pdma_compare(pci_domain_nr(a->bus), pci_domain_nr(b->bus));

	return ret ?: p2pdma_compare(pci_dev_id(a), pci_dev_id(b));
}

/* A total order, so that the same question gets the same answer. */
static bool p2pdma_better(struct pci_p2pdma *a, const struct p2pdma_score *score_a,
			  struct pci_p2pdma *b, const struct p2pdma_score *score_b)
{
	int ret;

	if (!b)
		return true;
	ret = p2pdma_compare(score_a->through_host, score_b->through_host) ?:
	      p2pdma_compare(score_a->distance, score_b->distance) ?:
	      p2pdma_compare(score_a->remote, score_b->remote) ?:
	      p2pdma_compare(score_b->available, score_a->available) ?:
	      p2pdma_compare_address(a->pdev, b->pdev);
	return ret < 0;
}

/**
 * pci_p2pmem_find_many - find the best published peer memory for a set of clients
 * @clients: devices that would master DMA to it; PCI functions or any children of such
 * @nr_clients: length of @clients
 *
 * Best is the provider with the fewest routes through a host bridge, then the smallest sum of
 * distances, then the fewest clients on another NUMA node, then the most free memory, then the
 * lowest address.
 *
 * Context: Any. The caller holds references on all clients.
 * Return: the provider, with a reference that pci_dev_put() drops, or NULL if none reaches all.
 */
struct pci_dev *pci_p2pmem_find_many(struct device **clients, int nr_clients)
{
	struct p2pdma_score score, best_score;
	struct pci_p2pdma *p2pdma, *best = NULL;

	guard(rcu)();
	list_for_each_entry_rcu(p2pdma, &p2pdma_providers, node) {
		if (!READ_ONCE(p2pdma->published))
			continue;
		if (!p2pdma_score(p2pdma->pdev, clients, nr_clients, false, &score))
			continue;
		score.available = p2pdma_available(p2pdma);
		if (p2pdma_better(p2pdma, &score, best, &best_score)) {
			best = p2pdma;
			best_score = score;
		}
	}
	return best ? pci_dev_get(best->pdev) : NULL;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_find_many);

/* ---- allocation --------------------------------------------------------------------------- */

/* Pages that are free must not make an allocation fail because nobody picked them up. */
static bool p2pdma_pick_up(struct pci_p2pdma *p2pdma)
{
	return atomic_long_read(&p2pdma->nr_resetting) && p2pdma_pages_return(p2pdma);
}

/* What is near a CPU did not do, or has not been tried. */
static void *p2pdma_alloc(struct pci_p2pdma *p2pdma, size_t size)
{
	void *addr;

	do {
		addr = p2pdma_pool_alloc(p2pdma->pool, size);
	} while (!addr && p2pdma_pick_up(p2pdma));
	if (addr)
		trace_p2pmem_alloc(p2pdma->pdev, addr, size);
	return addr;
}

/**
 * p2pdma_alloc_upto - allocate the longest run of pages there is, up to a limit
 * @p2pdma: the provider
 * @size: the limit in bytes; set to the length of the run if that is less, in whole pages then
 *
 * Context: Any.
 * Return: address of the first page, or NULL if @size is zero or no page is free.
 */
void *p2pdma_alloc_upto(struct pci_p2pdma *p2pdma, size_t *size)
{
	size_t run = *size;
	void *addr;

	/* Pages that nobody picked up may belong to the longest run. */
	while (p2pdma_pick_up(p2pdma))
		;
	addr = p2pdma_pool_alloc_upto(p2pdma->pool, &run);
	*size = min(*size, run);
	if (addr)
		trace_p2pmem_alloc(p2pdma->pdev, addr, *size);
	return addr;
}

/**
 * p2pdma_alloc_aligned - allocate a run of pages at an aligned address
 * @p2pdma: the provider
 * @size: in bytes; rounded up to whole pages
 * @align: in bytes, a power of two
 *
 * Context: Any.
 * Return: address of the first page, or NULL.
 */
void *p2pdma_alloc_aligned(struct pci_p2pdma *p2pdma, size_t size, size_t align)
{
	void *addr;

	do {
		addr = p2pdma_pool_alloc_aligned(p2pdma->pool, size, align);
	} while (!addr && p2pdma_pick_up(p2pdma));
	if (addr)
		trace_p2pmem_alloc(p2pdma->pdev, addr, size);
	return addr;
}

/**
 * p2pdma_alloc_failed - count an allocation that failed
 * @p2pdma: the provider
 * @size: what it was asked for, in bytes
 *
 * Context: Any.
 */
void p2pdma_alloc_failed(struct pci_p2pdma *p2pdma, size_t size)
{
	this_cpu_inc(p2pdma->counters->alloc_failed);
	trace_p2pmem_alloc_failed(p2pdma->pdev, size);
}

/**
 * p2pdma_available - how much memory of a provider can be allocated
 * @p2pdma: the provider
 *
 * Context: Any.
 * Return: bytes.
 */
size_t p2pdma_available(struct pci_p2pdma *p2pdma)
{
	unsigned long flags;
	size_t available;

	/* The lock keeps a page that is on its way into the pool from being counted twice. */
	spin_lock_irqsave(&p2pdma->reset_lock, flags);
	available = p2pdma_pool_available(p2pdma->pool) +
		    (atomic_long_read(&p2pdma->nr_resetting) << PAGE_SHIFT);
	spin_unlock_irqrestore(&p2pdma->reset_lock, flags);
	return available;
}

/* What is not near this CPU, or has to be traced. */
static noinline void *p2pmem_alloc_slow(struct pci_dev *provider, size_t size, bool last)
{
	struct pci_p2pdma *p2pdma = rcu_dereference(provider->p2pdma);
	void *addr;

	if (!p2pdma)
		return NULL;
	addr = p2pdma_alloc(p2pdma, size);
	if (!addr && last)
		p2pdma_alloc_failed(p2pdma, size);
	return addr;
}

/* With @last, it is a failure if there is no such run. */
static __always_inline void *p2pmem_alloc(struct pci_dev *provider, size_t size, bool last)
{
	struct pci_p2pdma *p2pdma;
	void *addr;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (likely(p2pdma && !trace_p2pmem_alloc_enabled() &&
		   p2pdma_pool_alloc_near(p2pdma->pool, size, &addr)))
		return addr;
	return p2pmem_alloc_slow(provider, size, last);
}

/**
 * pci_p2pmem_alloc - allocate peer memory
 * @provider: the provider
 * @size: in bytes; rounded up to whole pages
 *
 * The memory is contiguous and not cleared. It pins the provider: unbinding its driver waits
 * until the memory has come back.
 *
 * Context: Any.
 * Return: kernel address of the first page, or NULL if there is not enough memory in one piece.
 */
void *pci_p2pmem_alloc(struct pci_dev *provider, size_t size)
{
	return p2pmem_alloc(provider, size, true);
}
EXPORT_SYMBOL_GPL(pci_p2pmem_alloc);

/**
 * pci_p2pmem_alloc_aligned - allocate peer memory at an aligned address
 * @provider: the provider
 * @size: in bytes; rounded up to whole pages
 * @align: in bytes, a power of two; less than a page is the same as a page
 *
 * As pci_p2pmem_alloc(), but the kernel address is a multiple of @align. So is the bus address, if
 * @align is not more than 1 GiB and the host bridge does not translate by an amount that is not.
 *
 * Context: Any.
 * Return: kernel address of the first page, or NULL if @align is not a power of two or there is not
 * enough memory in one piece that is aligned so.
 */
void *pci_p2pmem_alloc_aligned(struct pci_dev *provider, size_t size, size_t align)
{
	struct pci_p2pdma *p2pdma;
	void *addr;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (!p2pdma)
		return NULL;
	addr = p2pdma_alloc_aligned(p2pdma, size, align);
	if (!addr)
		p2pdma_alloc_failed(p2pdma, size);
	return addr;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_alloc_aligned);

/* What is not near this CPU, or has to be traced, or is not as simple. */
static noinline void p2pmem_free_slow(struct pci_dev *provider, void *addr, size_t size,
				      enum p2pdma_near_result result, void *caller)
{
	struct pci_p2pdma *p2pdma = rcu_dereference(provider->p2pdma);
	bool good = false;

	trace_p2pmem_free(provider, addr, size);
	if (p2pdma && result == P2PDMA_NEAR_GIVEN)
		good = p2pdma_pool_given(p2pdma->pool, addr, size);
	else if (p2pdma)
		good = p2pdma_pool_free(p2pdma->pool, addr, size);
	WARN(!good, "%s: %pS frees %zu bytes of peer-to-peer DMA memory that are not allocated\n",
	     pci_name(provider), caller, size);
}

static __always_inline void p2pmem_free(struct pci_dev *provider, void *addr, size_t size,
					void *caller)
{
	enum p2pdma_near_result result = P2PDMA_NEAR_NOTHING;
	struct pci_p2pdma *p2pdma;

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (likely(p2pdma && !trace_p2pmem_free_enabled()))
		result = p2pdma_pool_free_near(p2pdma->pool, addr, size);
	if (unlikely(result != P2PDMA_NEAR_DONE))
		p2pmem_free_slow(provider, addr, size, result, caller);
}

/**
 * pci_p2pmem_free - give peer memory back
 * @provider: the provider
 * @addr: what pci_p2pmem_alloc() or pci_p2pmem_alloc_aligned() returned; NULL is ignored
 * @size: what it was asked for
 *
 * Context: Any.
 */
void pci_p2pmem_free(struct pci_dev *provider, void *addr, size_t size)
{
	if (likely(addr))
		p2pmem_free(provider, addr, size, __builtin_return_address(0));
}
EXPORT_SYMBOL_GPL(pci_p2pmem_free);

/**
 * pci_p2pmem_virt_to_bus - the bus address of peer memory
 * @provider: the provider
 * @addr: kernel address in memory that was allocated from it
 *
 * For addresses that are programmed into the provider itself. Clients get theirs from
 * dma_map_sg().
 *
 * Context: Any.
 * Return: the bus address, or 0 if @addr is not memory of @provider.
 */
pci_bus_addr_t pci_p2pmem_virt_to_bus(struct pci_dev *provider, void *addr)
{
	struct p2pdma_region *region;
	struct pci_p2pdma *p2pdma;
	u64 phys;

	if (!virt_addr_valid(addr))
		return 0;
	phys = virt_to_phys(addr);

	guard(rcu)();
	p2pdma = rcu_dereference(provider->p2pdma);
	if (!p2pdma)
		return 0;
	list_for_each_entry_rcu(region, &p2pdma->regions, node)
		if (phys >= region->pgmap.range.start && phys <= region->pgmap.range.end)
			return phys + region->bus_offset;
	return 0;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_virt_to_bus);

/* ---- scatterlists ------------------------------------------------------------------------- */

/**
 * struct p2pmem_sgl - a scatterlist in the making
 * @first: its first entry, NULL until there is one
 * @next: the entry to fill next
 * @room: entries that are left, beginning with @next
 * @nents: entries that are filled
 */
struct p2pmem_sgl {
	struct scatterlist *first;
	struct scatterlist *next;
	unsigned int room;
	unsigned int nents;
};

/* An array of entries is no larger than a page. If it may not be the last one, its end leads on. */
static bool p2pmem_sgl_grow(struct p2pmem_sgl *sgl, size_t wanted)
{
	unsigned int size = min_t(size_t, wanted, SG_MAX_SINGLE_ALLOC);
	struct scatterlist *array = kmalloc_array(size, sizeof(*array), GFP_KERNEL);

	if (!array)
		return false;
	if (sgl->first)
		sg_chain(sgl->next, 1, array);
	else
		sgl->first = array;
	sgl->next = array;
	sgl->room = size - (wanted > size);
	return true;
}

static void p2pmem_sg_set(struct scatterlist *sg, void *addr, size_t len)
{
	*sg = (struct scatterlist) {};
	sg_set_buf(sg, addr, len);
}

/* Add a run. After it, @rest bytes are to come, in single pages at worst. */
static bool p2pmem_sgl_add(struct p2pmem_sgl *sgl, void *addr, size_t len, size_t rest)
{
	if (!sgl->room && !p2pmem_sgl_grow(sgl, 1 + DIV_ROUND_UP(rest, PAGE_SIZE)))
		return false;
	p2pmem_sg_set(sgl->next++, addr, len);
	sgl->room--;
	sgl->nents++;
	return true;
}

/*
 * The first of several runs. Without enough for all of them there is no point in collecting; but
 * what seems to be missing while others allocate and free may only be on its way.
 */
static void *p2pmem_sgl_first(struct pci_dev *provider, size_t *run, struct pci_p2pdma **p2pdma)
{
	void *addr = NULL;

	guard(rcu)();
	*p2pdma = rcu_dereference(provider->p2pdma);
	if (!*p2pdma)
		return NULL;
	if (*run <= p2pdma_available(*p2pdma) + p2pdma_pool_slack())
		addr = p2pdma_alloc_upto(*p2pdma, run);
	if (!addr)
		p2pdma_alloc_failed(*p2pdma, *run);
	return addr;
}

/* Another run. No run is longer than the one before, it would have been found then. */
static __always_inline void *p2pmem_sgl_next(struct pci_p2pdma *p2pdma, size_t *run, size_t rest)
{
	void *addr;

	*run = min(*run, rest);
	guard(rcu)();
	if (!p2pdma_pool_alloc_near(p2pdma->pool, *run, &addr))
		return p2pdma_alloc_upto(p2pdma, run);
	trace_p2pmem_alloc(p2pdma->pdev, addr, *run);
	return addr;
}

/* Give back what has been collected. */
static void p2pmem_sgl_drop(struct pci_dev *provider, struct p2pmem_sgl *sgl)
{
	if (!sgl->nents)
		return;
	sg_mark_end(sgl->next - 1);
	pci_p2pmem_free_sgl(provider, sgl->first);
}

/* Collect what there is, where it is. */
static noinline struct scatterlist *
p2pmem_collect_sgl(struct pci_dev *provider, unsigned int *nents, size_t length)
{
	size_t rest = length, run = length;
	struct p2pmem_sgl sgl = {};
	struct pci_p2pdma *p2pdma;
	void *addr;

	/* From the first run on, the provider cannot go. */
	addr = p2pmem_sgl_first(provider, &run, &p2pdma);
	while (addr && p2pmem_sgl_add(&sgl, addr, run, rest - run)) {
		rest -= run;
		if (!rest) {
			sg_mark_end(sgl.next - 1);
			*nents = sgl.nents;
			return sgl.first;
		}
		addr = p2pmem_sgl_next(p2pdma, &run, rest);
		if (!addr)
			p2pdma_alloc_failed(p2pdma, length);
	}
	if (addr)
		pci_p2pmem_free(provider, addr, run);
	p2pmem_sgl_drop(provider, &sgl);
	return NULL;
}

static __always_inline struct scatterlist *p2pmem_single_sg(struct pci_dev *provider, void *addr,
							    u32 length)
{
	struct scatterlist *sg = kmalloc(sizeof(*sg), GFP_KERNEL);

	if (unlikely(!sg)) {
		pci_p2pmem_free(provider, addr, length);
		return NULL;
	}
	p2pmem_sg_set(sg, addr, length);
	sg_mark_end(sg);
	return sg;
}

/**
 * pci_p2pmem_alloc_sgl - allocate peer memory as a scatterlist
 * @provider: the provider
 * @nents: number of entries, set on success
 * @length: in bytes
 *
 * The list has as few entries as the free memory allows, and one if it can be. Users that need one
 * call pci_p2pmem_alloc_sgl_contig().
 *
 * Context: May sleep.
 * Return: the list, to be freed with pci_p2pmem_free_sgl(), or NULL if @length is 0 or memory is
 * short.
 */
struct scatterlist *pci_p2pmem_alloc_sgl(struct pci_dev *provider, unsigned int *nents,
					 u32 length)
{
	void *addr = p2pmem_alloc(provider, length, false);
	struct scatterlist *sg;

	if (unlikely(!addr))
		return p2pmem_collect_sgl(provider, nents, length);
	sg = p2pmem_single_sg(provider, addr, length);
	if (likely(sg))
		*nents = 1;
	return sg;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_alloc_sgl);

/**
 * pci_p2pmem_alloc_sgl_contig - allocate peer memory as a scatterlist of one entry
 * @provider: the provider
 * @length: in bytes
 *
 * Context: May sleep.
 * Return: the list, to be freed with pci_p2pmem_free_sgl(), or NULL if @length is 0 or there is not
 * so much memory in one piece.
 */
struct scatterlist *pci_p2pmem_alloc_sgl_contig(struct pci_dev *provider, u32 length)
{
	void *addr = pci_p2pmem_alloc(provider, length);

	return addr ? p2pmem_single_sg(provider, addr, length) : NULL;
}
EXPORT_SYMBOL_GPL(pci_p2pmem_alloc_sgl_contig);

static noinline void p2pmem_free_entries(struct pci_dev *provider, struct scatterlist *sgl,
					 void *caller)
{
	struct scatterlist *array = sgl, *next;

	for (; sgl; sgl = next) {
		p2pmem_free(provider, sg_virt(sgl), sgl->length, caller);
		next = sg_is_last(sgl) ? NULL : sg_next(sgl);
		/* Behind the last entry, and where the list goes on elsewhere, an array ends. */
		if (next != sgl + 1) {
			kfree(array);
			array = next;
		}
	}
}

/**
 * pci_p2pmem_free_sgl - free a scatterlist and its peer memory
 * @provider: the provider
 * @sgl: what pci_p2pmem_alloc_sgl() or pci_p2pmem_alloc_sgl_contig() returned; NULL is ignored
 *
 * Context: Any.
 */
void pci_p2pmem_free_sgl(struct pci_dev *provider, struct scatterlist *sgl)
{
	void *caller = __builtin_return_address(0);

	if (sgl && sg_is_last(sgl)) {
		p2pmem_free(provider, sg_virt(sgl), sgl->length, caller);
		kfree(sgl);
	} else if (sgl) {
		p2pmem_free_entries(provider, sgl, caller);
	}
}
EXPORT_SYMBOL_GPL(pci_p2pmem_free_sgl);
