// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: distance, find, and log messages about routes
 */
#include <linux/cleanup.h>
#include <linux/pci-p2pdma.h>
#include <linux/rculist.h>
#include <linux/seq_buf.h>

#include "p2pdma-private.h"
#include "p2pdma_trace.h"

/**
 * struct p2pdma_acs_list - redirecting ports, as for pci=disable_acs_redir=
 * @visitor: collects them
 * @names: separated by semicolons
 * @text: memory of @names; two ports decide, see p2pdma-route.c
 */
struct p2pdma_acs_list {
	struct p2pdma_port_visitor visitor;
	struct seq_buf names;
	char text[128];
};

static void p2pdma_list_redirecting(struct p2pdma_port_visitor *visitor,
				    struct pci_dev *port,
				    enum p2pdma_port_effect effect)
{
	struct p2pdma_acs_list *list;

	list = container_of(visitor, struct p2pdma_acs_list, visitor);
	if (effect == P2PDMA_PORT_REDIRECTS)
		seq_buf_printf(&list->names, "%s%s",
			       seq_buf_used(&list->names) ? ";" : "",
			       pci_name(port));
}

/*
 * As in Linux 6.12, the message is about the device that identifies the host
 * bridge. Without such a device there is no message.
 */
static void p2pdma_log_host(struct pci_host_bridge *host)
{
	u32 identity = p2pdma_host_identity(host);
	struct pci_dev *first;

	if (!identity)
		return;
	first = p2pdma_host_first(host);
	dev_warn(first ? &first->dev : &host->dev,
		 "Host bridge not in P2PDMA whitelist: %04x:%04x\n",
		 identity >> 16, identity & U16_MAX);
	pci_dev_put(first);
}

static void p2pdma_log_refusal(struct pci_dev *provider, struct pci_dev *client,
			       const struct p2pdma_route *route)
{
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
		pci_warn(client, "requests to the provider (%s) that the client translates do not arrive\n",
			 pci_name(provider));
		break;
	case P2PDMA_REASON_ADDRESS:
		pci_warn(client, "the DMA mask does not reach the memory of the provider (%s)\n",
			 pci_name(provider));
		break;
	case P2PDMA_REASON_POLICY:
		pci_warn(client, "policy denies peer-to-peer DMA to the provider (%s)\n",
			 pci_name(provider));
		break;
	default:
		p2pdma_log_host(route->host);
		break;
	}
	pci_warn(client, "cannot be used for peer-to-peer DMA as the client and provider (%s) do not share an upstream bridge or whitelisted host bridge\n",
		 pci_name(provider));
}

/* Scripts look for these texts: texts of Linux 6.12 stay the same. */
static void p2pdma_route_verbose(struct pci_dev *provider,
				 struct pci_dev *client,
				 struct p2pdma_route *route)
{
	struct p2pdma_acs_list list = {
		.visitor.visit = p2pdma_list_redirecting,
	};

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

static bool p2pdma_score_client(struct pci_dev *provider, struct device *dev,
				bool verbose, struct p2pdma_score *score)
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
	score->remote += dev_to_node(&provider->dev) !=
			 dev_to_node(&client->dev);
	return route.type != PCI_P2PDMA_MAP_NOT_SUPPORTED;
}

/* With @verbose, clients after the first unreachable client count as well. */
static bool p2pdma_score(struct pci_dev *provider, struct device **clients,
			 int nr_clients, bool verbose,
			 struct p2pdma_score *score)
{
	bool reaches_all = nr_clients > 0;
	int i;

	*score = (struct p2pdma_score) {};
	for (i = 0; i < nr_clients && (reaches_all || verbose); i++)
		reaches_all &= p2pdma_score_client(provider, clients[i],
						   verbose, score);
	return reaches_all;
}

/**
 * pci_p2pdma_distance_many - distance from a provider to a set of clients
 * @provider: function with the memory; need not have registered any
 * @clients: devices to master DMA; PCI functions or any children of functions
 * @nr_clients: length of @clients
 * @verbose: log the reason of a missing route
 *
 * Context: Any. The caller holds references on all devices.
 * Return: the sum of the distances, in hops; negative if @nr_clients is 0, if a
 * client is not below a PCI function, or if a route is missing.
 */
int pci_p2pdma_distance_many(struct pci_dev *provider, struct device **clients,
			     int nr_clients, bool verbose)
{
	struct p2pdma_score score;

	if (!p2pdma_score(provider, clients, nr_clients, verbose, &score))
		return -1;
	return score.distance;
}
EXPORT_SYMBOL_GPL(pci_p2pdma_distance_many);

static int p2pdma_compare(s64 a, s64 b)
{
	return (a > b) - (a < b);
}

static int p2pdma_compare_address(struct pci_dev *a, struct pci_dev *b)
{
	int ret = p2pdma_compare(pci_domain_nr(a->bus), pci_domain_nr(b->bus));

	return ret ?: p2pdma_compare(pci_dev_id(a), pci_dev_id(b));
}

/* A total order, so that equal questions get equal answers. */
static bool p2pdma_better(struct pci_p2pdma *a,
			  const struct p2pdma_score *score_a,
			  struct pci_p2pdma *b,
			  const struct p2pdma_score *score_b)
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
 * pci_p2pmem_find_many - find the best published peer memory for clients
 * @clients: devices to master DMA; PCI functions or any children of functions
 * @nr_clients: length of @clients
 *
 * Best is the provider with the fewest routes through a host bridge, then the
 * smallest sum of distances, then the fewest clients on another NUMA node, then
 * the most free memory, then the lowest address.
 *
 * Context: Any. The caller holds references on all clients.
 * Return: the provider, with a reference for pci_dev_put() to drop, or NULL if
 * no provider is reached by all clients.
 */
struct pci_dev *pci_p2pmem_find_many(struct device **clients, int nr_clients)
{
	struct p2pdma_score score, best_score;
	struct pci_p2pdma *p2pdma, *best = NULL;

	guard(rcu)();
	list_for_each_entry_rcu(p2pdma, &p2pdma_providers, node) {
		if (!READ_ONCE(p2pdma->published))
			continue;
		if (!p2pdma_score(p2pdma->pdev, clients, nr_clients, false,
				  &score))
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
