// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: p2pdma/peers of a function
 *
 * Documented in Documentation/ABI/testing/sysfs-bus-pci-p2pdma.
 */

/**
 * DOC: Peers
 *
 * The file p2pdma/peers is a kernfs node of its own, because no attribute of
 * sysfs can hold the table. A text attribute ends at a page, and the table has
 * a line for each of up to thousands of functions. A binary attribute has no
 * open and no release, so nothing keeps the table between two reads: the offset
 * of a line would move with every verdict that changes, and a reader in pieces
 * of a page would have the kernel decide the first lines again for each piece.
 *
 * A reference keeps a struct pci_dev, but not the means to read configuration
 * space: VMD, for instance, frees the means after deleting the functions. So a
 * function leaves p2pdma_endpoints when the deletion begins, and a line is
 * decided under p2pdma_endpoints_sem with both functions in there. Bridges and
 * the host bridge are deleted after the functions below.
 */
#include <linux/cleanup.h>
#include <linux/device/bus.h>
#include <linux/kernfs.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/seq_buf.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/sysfs.h>
#include <linux/xarray.h>

#include "p2pdma-private.h"

/* Typical length of a line; the buffer grows where lines are longer. */
#define P2PDMA_LINE_GUESS	128

/* More ports than two paths can have, with 256 buses in a domain. */
#define P2PDMA_MAX_PORTS	512

/* Endpoint functions that may be asked about, by struct pci_dev. */
static DEFINE_XARRAY(p2pdma_endpoints);
static DECLARE_RWSEM(p2pdma_endpoints_sem);

/**
 * struct p2pdma_function - an endpoint function
 * @pdev: the function, with a reference
 * @domain: PCI domain
 * @id: bus number and devfn
 */
struct p2pdma_function {
	struct pci_dev *pdev;
	int domain;
	u16 id;
};

/**
 * struct p2pdma_functions - all endpoint functions of the machine
 * @nr: length of @fn
 * @max: room in @fn
 * @fn: the functions
 */
struct p2pdma_functions {
	unsigned int nr;
	unsigned int max;
	struct p2pdma_function *fn;
};

/**
 * struct p2pdma_port - a port that affects a route
 * @pdev: the port
 * @effects: bit mask of enum p2pdma_port_effect
 */
struct p2pdma_port {
	struct pci_dev *pdev;
	u8 effects;
};

/**
 * struct p2pdma_line - one decision
 * @visitor: collects the ports
 * @route: the verdict
 * @nr_ports: length of @ports
 * @ports: each port once
 */
struct p2pdma_line {
	struct p2pdma_port_visitor visitor;
	struct p2pdma_route route;
	unsigned int nr_ports;
	struct p2pdma_port ports[P2PDMA_MAX_PORTS];
};

/**
 * struct p2pdma_table - what one open file reads
 * @text: the table at the time of open, so that offsets do not move
 * @len: bytes in @text
 * @size: room in @text
 * @line: scratch space for the decision of a line
 */
struct p2pdma_table {
	char *text;
	size_t len;
	size_t size;
	struct p2pdma_line line;
};

static bool p2pdma_is_endpoint(struct pci_dev *pdev)
{
	return !pci_is_bridge(pdev);
}

static void p2pdma_put_functions(struct p2pdma_functions *functions)
{
	while (functions->nr)
		pci_dev_put(functions->fn[--functions->nr].pdev);
	kvfree(functions->fn);
}

static int p2pdma_add_function(struct p2pdma_functions *functions,
			       struct pci_dev *pdev)
{
	unsigned int max = max(2 * functions->max, 64u);
	struct p2pdma_function *grown;

	if (functions->nr == functions->max) {
		grown = kvrealloc(functions->fn, max * sizeof(*grown),
				  GFP_KERNEL_ACCOUNT);
		if (!grown)
			return -ENOMEM;
		functions->fn = grown;
		functions->max = max;
	}
	functions->fn[functions->nr++] = (struct p2pdma_function) {
		.pdev = pci_dev_get(pdev),
		.domain = pci_domain_nr(pdev->bus),
		.id = pci_dev_id(pdev),
	};
	return 0;
}

static int p2pdma_compare_functions(const void *a, const void *b)
{
	const struct p2pdma_function *p = a, *q = b;

	if (p->domain != q->domain)
		return p->domain < q->domain ? -1 : 1;
	return (int)p->id - (int)q->id;
}

static int p2pdma_get_functions(struct p2pdma_functions *functions)
{
	struct pci_dev *pdev;
	unsigned long index;
	int ret = 0;

	scoped_guard(rwsem_read, &p2pdma_endpoints_sem) {
		xa_for_each(&p2pdma_endpoints, index, pdev) {
			ret = p2pdma_add_function(functions, pdev);
			if (ret)
				return ret;
		}
	}
	sort(functions->fn, functions->nr, sizeof(*functions->fn),
	     p2pdma_compare_functions, NULL);
	return 0;
}

static void p2pdma_collect_port(struct p2pdma_port_visitor *visitor,
				struct pci_dev *pdev,
				enum p2pdma_port_effect effect)
{
	struct p2pdma_line *line = container_of(visitor, struct p2pdma_line,
						visitor);
	unsigned int i;

	for (i = 0; i < line->nr_ports; i++)
		if (line->ports[i].pdev == pdev)
			break;
	if (i == P2PDMA_MAX_PORTS)
		return;
	if (i == line->nr_ports)
		line->ports[line->nr_ports++] = (struct p2pdma_port) {
			.pdev = pdev,
		};
	line->ports[i].effects |= BIT(effect);
}

/* Is a function, or a bridge above, without power? */
static bool p2pdma_asleep(struct pci_dev *pdev)
{
	for (; pdev; pdev = pci_upstream_bridge(pdev))
		if (pdev->current_state == PCI_D3cold)
			return true;
	return false;
}

static void p2pdma_print_parent(struct seq_buf *out,
				const struct p2pdma_route *route,
				struct pci_dev *provider,
				struct pci_dev *client)
{
	struct pci_host_bridge *from = pci_find_host_bridge(client->bus);
	struct pci_host_bridge *to = pci_find_host_bridge(provider->bus);

	if (route->parent)
		seq_buf_printf(out, " %s", pci_name(route->parent));
	else if (from == to)
		seq_buf_printf(out, " %s", dev_name(&from->dev));
	else
		seq_buf_printf(out, " %s,%s", dev_name(&from->dev),
			       dev_name(&to->dev));
}

static void p2pdma_print_ports(struct seq_buf *out,
			       const struct p2pdma_line *line)
{
	enum p2pdma_port_effect effect;
	unsigned int i;

	for (i = 0; i < line->nr_ports; i++)
		for (effect = 0; effect <= P2PDMA_PORT_DENIED; effect++)
			if (line->ports[i].effects & BIT(effect))
				seq_buf_printf(out, " %s=%s",
					       pci_name(line->ports[i].pdev),
					       p2pdma_effect_word(effect));
}

static void p2pdma_print_line(struct seq_buf *out,
			      const struct p2pdma_line *line,
			      struct pci_dev *provider, struct pci_dev *client)
{
	const struct p2pdma_route *route = &line->route;

	seq_buf_puts(out, pci_name(provider));
	if (pci_dev_is_disconnected(provider) ||
	    pci_dev_is_disconnected(client)) {
		seq_buf_puts(out, " unknown - - disconnected\n");
		return;
	}
	if (route->reason == P2PDMA_REASON_UNREADABLE &&
	    (p2pdma_asleep(provider) || p2pdma_asleep(client))) {
		seq_buf_puts(out, " unknown - - asleep\n");
		return;
	}
	seq_buf_printf(out, " %s %d", p2pdma_verdict_word(route),
		       route->distance);
	p2pdma_print_parent(out, route, provider, client);
	seq_buf_printf(out, " %s", p2pdma_reason_word(route));
	if (route->translated)
		seq_buf_puts(out, " iommu");
	p2pdma_print_ports(out, line);
	seq_buf_puts(out, "\n");
}

static int p2pdma_grow_table(struct p2pdma_table *table, size_t size)
{
	char *grown = kvrealloc(table->text, size, GFP_KERNEL_ACCOUNT);

	if (!grown)
		return -ENOMEM;
	table->text = grown;
	table->size = size;
	return 0;
}

/* Decide once; print again where the table is too small. */
static int p2pdma_add_line(struct p2pdma_table *table, struct pci_dev *provider,
			   struct pci_dev *client)
{
	struct p2pdma_line *line = &table->line;
	struct seq_buf out;

	lockdep_assert_held(&p2pdma_endpoints_sem);
	line->visitor.visit = p2pdma_collect_port;
	line->nr_ports = 0;
	p2pdma_route(provider, client, &line->route, &line->visitor);
	for (;;) {
		seq_buf_init(&out, table->text + table->len,
			     table->size - table->len);
		p2pdma_print_line(&out, line, provider, client);
		if (!seq_buf_has_overflowed(&out))
			break;
		if (p2pdma_grow_table(table, 2 * table->size))
			return -ENOMEM;
	}
	table->len += seq_buf_used(&out);
	return 0;
}

/* A function that goes meanwhile has no line. */
static int p2pdma_try_line(struct p2pdma_table *table, struct pci_dev *provider,
			   struct pci_dev *client)
{
	guard(rwsem_read)(&p2pdma_endpoints_sem);
	if (!xa_load(&p2pdma_endpoints, (unsigned long)client))
		return -ENODEV;
	if (!xa_load(&p2pdma_endpoints, (unsigned long)provider))
		return 0;
	return p2pdma_add_line(table, provider, client);
}

static int p2pdma_fill_table(struct p2pdma_table *table, struct pci_dev *client)
{
	struct p2pdma_functions functions = {};
	unsigned int i;
	int ret;

	ret = p2pdma_get_functions(&functions);
	if (!ret)
		ret = p2pdma_grow_table(table, P2PDMA_LINE_GUESS *
					(functions.nr + 1));
	for (i = 0; i < functions.nr && !ret; i++) {
		if (functions.fn[i].pdev != client)
			ret = p2pdma_try_line(table, functions.fn[i].pdev,
					      client);
		cond_resched();
	}
	p2pdma_put_functions(&functions);
	return ret;
}

static void p2pdma_free_table(struct p2pdma_table *table)
{
	kvfree(table->text);
	kvfree(table);
}

static int peers_open(struct kernfs_open_file *of)
{
	struct p2pdma_table *table;
	int ret;

	table = kvzalloc(sizeof(*table), GFP_KERNEL_ACCOUNT);
	if (!table)
		return -ENOMEM;
	ret = p2pdma_fill_table(table, of->kn->priv);
	if (ret)
		p2pdma_free_table(table);
	else
		of->priv = table;
	return ret;
}

static ssize_t peers_read(struct kernfs_open_file *of, char *buf, size_t bytes,
			  loff_t off)
{
	const struct p2pdma_table *table = of->priv;

	return memory_read_from_buffer(buf, bytes, &off, table->text,
				       table->len);
}

static void peers_release(struct kernfs_open_file *of)
{
	p2pdma_free_table(of->priv);
}

static const struct kernfs_ops p2pdma_peers_ops = {
	.open = peers_open,
	.read = peers_read,
	.release = peers_release,
};

/* The directory goes with the directory of the device. */
static int p2pdma_add_peers(struct pci_dev *pdev)
{
	static struct lock_class_key key;
	struct kernfs_node *dir, *file;

	dir = kernfs_create_dir(pdev->dev.kobj.sd, "p2pdma", 0755, pdev);
	if (IS_ERR(dir))
		return PTR_ERR(dir);
	file = __kernfs_create_file(dir, "peers", 0444, GLOBAL_ROOT_UID,
				    GLOBAL_ROOT_GID, 0, &p2pdma_peers_ops, pdev,
				    NULL, &key);
	if (IS_ERR(file))
		kernfs_remove(dir);
	return PTR_ERR_OR_ZERO(file);
}

static int p2pdma_endpoint_added(struct pci_dev *pdev)
{
	scoped_guard(rwsem_write, &p2pdma_endpoints_sem) {
		int ret = xa_err(xa_store(&p2pdma_endpoints,
					  (unsigned long)pdev, pdev,
					  GFP_KERNEL));

		if (ret)
			return ret;
	}
	return p2pdma_add_peers(pdev);
}

static void p2pdma_endpoint_removed(struct pci_dev *pdev)
{
	guard(rwsem_write)(&p2pdma_endpoints_sem);
	xa_erase(&p2pdma_endpoints, (unsigned long)pdev);
}

static int p2pdma_function_event(struct notifier_block *nb,
				 unsigned long action, void *data)
{
	struct pci_dev *pdev = to_pci_dev(data);

	if (!p2pdma_is_endpoint(pdev))
		return NOTIFY_OK;
	if (action == BUS_NOTIFY_DEL_DEVICE)
		p2pdma_endpoint_removed(pdev);
	else if (action == BUS_NOTIFY_ADD_DEVICE && p2pdma_endpoint_added(pdev))
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
