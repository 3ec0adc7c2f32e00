// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: p2pdma/peers of a function
 *
 * Documented in Documentation/ABI/testing/sysfs-bus-pci-p2pdma.
 */
#include <linux/device/bus.h>
#include <linux/kernfs.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/seq_buf.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/sysfs.h>

#include "p2pdma-private.h"

/* A line without ports is shorter than this; more is asked for when it does not do. */
#define P2PDMA_LINE_GUESS	128

/**
 * struct p2pdma_peers - what one open file reads
 * @len: bytes in @text
 * @text: the table as it was when the file was opened, so that offsets stay where they are
 */
struct p2pdma_peers {
	size_t len;
	char text[];
};

/**
 * struct p2pdma_functions - all endpoint functions of the machine
 * @nr: length of @pdevs
 * @max: room in @pdevs
 * @pdevs: the functions, each with a reference
 */
struct p2pdma_functions {
	unsigned int nr;
	unsigned int max;
	struct pci_dev **pdevs;
};

static bool p2pdma_is_endpoint(struct pci_dev *pdev)
{
	return !pci_is_bridge(pdev);
}

static void p2pdma_put_functions(struct p2pdma_functions *functions)
{
	while (functions->nr)
		pci_dev_put(functions->pdevs[--functions->nr]);
	kvfree(functions->pdevs);
}

static int p2pdma_add_function(struct p2pdma_functions *functions, struct pci_dev *pdev)
{
	unsigned int max = max(2 * functions->max, 64u);
	struct pci_dev **grown;

	if (functions->nr == functions->max) {
		grown = kvrealloc(functions->pdevs, max * sizeof(*grown), GFP_KERNEL_ACCOUNT);
		if (!grown)
			return -ENOMEM;
		functions->pdevs = grown;
		functions->max = max;
	}
	functions->pdevs[functions->nr++] = pci_dev_get(pdev);
	return 0;
}

static int p2pdma_compare_functions(const void *a, const void *b)
{
	struct pci_dev *p = *(struct pci_dev **)a, *q = *(struct pci_dev **)b;
	int p_domain = pci_domain_nr(p->bus), q_domain = pci_domain_nr(q->bus);

	if (p_domain != q_domain)
		return p_domain < q_domain ? -1 : 1;
	return (int)pci_dev_id(p) - (int)pci_dev_id(q);
}

static int p2pdma_get_functions(struct p2pdma_functions *functions)
{
	struct pci_dev *pdev = NULL;

	*functions = (struct p2pdma_functions) {};
	for_each_pci_dev(pdev) {
		if (!p2pdma_is_endpoint(pdev) || !p2pdma_add_function(functions, pdev))
			continue;
		pci_dev_put(pdev);
		p2pdma_put_functions(functions);
		return -ENOMEM;
	}
	sort(functions->pdevs, functions->nr, sizeof(*functions->pdevs), p2pdma_compare_functions,
	     NULL);
	return 0;
}

/**
 * struct p2pdma_port_list - the ports at the end of a line
 * @visitor: collects them
 * @out: where the line goes
 * @start: offset of the first port in @out
 */
struct p2pdma_port_list {
	struct p2pdma_port_visitor visitor;
	struct seq_buf *out;
	size_t start;
};

/* A port may bear on a route in more than one way. */
static void p2pdma_list_port(struct p2pdma_port_visitor *visitor, struct pci_dev *port,
			     enum p2pdma_port_effect effect)
{
	struct p2pdma_port_list *list = container_of(visitor, struct p2pdma_port_list, visitor);

	if (seq_buf_has_overflowed(list->out))
		return;
	if (!strstr(seq_buf_str(list->out) + list->start, pci_name(port)))
		seq_buf_printf(list->out, " %s", pci_name(port));
}

static void p2pdma_print_parent(struct seq_buf *out, const struct p2pdma_route *route,
				struct pci_dev *provider, struct pci_dev *client)
{
	struct pci_host_bridge *from = pci_find_host_bridge(client->bus);
	struct pci_host_bridge *to = pci_find_host_bridge(provider->bus);

	if (route->parent)
		seq_buf_printf(out, " %s", pci_name(route->parent));
	else if (from == to)
		seq_buf_printf(out, " %s", dev_name(&from->dev));
	else
		seq_buf_printf(out, " %s,%s", dev_name(&from->dev), dev_name(&to->dev));
}

static void p2pdma_print_peer(struct seq_buf *out, struct pci_dev *provider,
			      struct pci_dev *client)
{
	struct p2pdma_port_list list = { .visitor.visit = p2pdma_list_port, .out = out };
	struct p2pdma_route route;

	seq_buf_puts(out, pci_name(provider));
	if (pci_dev_is_disconnected(provider) || pci_dev_is_disconnected(client)) {
		seq_buf_puts(out, " unknown - - disconnected\n");
		return;
	}
	p2pdma_route(provider, client, &route, NULL);
	seq_buf_printf(out, " %s %d", p2pdma_verdict_word(&route), route.distance);
	p2pdma_print_parent(out, &route, provider, client);
	seq_buf_printf(out, " %s", p2pdma_reason_word(&route));

	list.start = seq_buf_used(out);
	p2pdma_route(provider, client, &route, &list.visitor);
	seq_buf_puts(out, "\n");
}

/* Returns NULL without memory. @functions are printed again in a larger buffer where need be. */
static struct p2pdma_peers *p2pdma_print_peers(struct pci_dev *client,
					       const struct p2pdma_functions *functions)
{
	size_t size = P2PDMA_LINE_GUESS * (functions->nr + 1);
	struct p2pdma_peers *peers;
	struct seq_buf out;
	unsigned int i;

	for (;; size *= 2) {
		peers = kvmalloc(struct_size(peers, text, size), GFP_KERNEL_ACCOUNT);
		if (!peers)
			return NULL;
		seq_buf_init(&out, peers->text, size);
		for (i = 0; i < functions->nr; i++) {
			if (functions->pdevs[i] != client)
				p2pdma_print_peer(&out, functions->pdevs[i], client);
			cond_resched();
		}
		if (!seq_buf_has_overflowed(&out))
			break;
		kvfree(peers);
	}
	peers->len = seq_buf_used(&out);
	return peers;
}

static int peers_open(struct kernfs_open_file *of)
{
	struct p2pdma_functions functions;
	int ret;

	ret = p2pdma_get_functions(&functions);
	if (ret)
		return ret;
	of->priv = p2pdma_print_peers(of->kn->priv, &functions);
	p2pdma_put_functions(&functions);
	return of->priv ? 0 : -ENOMEM;
}

static ssize_t peers_read(struct kernfs_open_file *of, char *buf, size_t bytes, loff_t off)
{
	const struct p2pdma_peers *peers = of->priv;

	return memory_read_from_buffer(buf, bytes, &off, peers->text, peers->len);
}

static void peers_release(struct kernfs_open_file *of)
{
	kvfree(of->priv);
}

/* Not an attribute: those end at a page. */
static const struct kernfs_ops p2pdma_peers_ops = {
	.open = peers_open,
	.read = peers_read,
	.release = peers_release,
};

static int p2pdma_show_peers(struct pci_dev *pdev)
{
	static struct lock_class_key key;
	struct kernfs_node *dir, *file;

	dir = kernfs_create_dir(pdev->dev.kobj.sd, "p2pdma", 0755, pdev);
	if (IS_ERR(dir))
		return PTR_ERR(dir);
	file = __kernfs_create_file(dir, "peers", 0444, GLOBAL_ROOT_UID, GLOBAL_ROOT_GID, 0,
				    &p2pdma_peers_ops, pdev, NULL, &key);
	if (IS_ERR(file))
		kernfs_remove(dir);
	return PTR_ERR_OR_ZERO(file);
}

/* The directory goes with that of the device. */
static int p2pdma_function_event(struct notifier_block *nb, unsigned long action, void *data)
{
	struct pci_dev *pdev = to_pci_dev(data);

	if (action == BUS_NOTIFY_ADD_DEVICE && p2pdma_is_endpoint(pdev) && p2pdma_show_peers(pdev))
		pci_err(pdev, "no p2pdma/peers in sysfs\n");
	return NOTIFY_OK;
}

static struct notifier_block p2pdma_function_notifier = {
	.notifier_call = p2pdma_function_event,
};

static int __init p2pdma_peers_init(void)
{
	return bus_register_notifier(&pci_bus_type, &p2pdma_function_notifier);
}
postcore_initcall_sync(p2pdma_peers_init);
