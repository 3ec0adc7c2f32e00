// SPDX-License-Identifier: GPL-2.0
/*
 * An importer of dma-bufs: attaches any device, and maps without DMA. Loads in
 * stock Linux 6.12, too.
 *
 *	cd /sys/module/p2pdma_importer/parameters
 *	echo 0 0000:04:00.0 5 moves > attach	# slot, device, file descriptor,
 *						# kind of importer
 *	echo 0 > map				# map the dma-buf in slot 0
 *	echo 0 > unmap
 *	echo 0 > detach
 *	cat slots
 *	echo 5 > vmap				# map into the kernel
 *	echo 5 > hold				# hold the reservation lock until
 *						# a signal
 *
 * Each line of "slots" has slot, kind, "mapped" or "-", number of calls of
 * move_notify(), number of entries, and start and length of each entry.
 *
 * A device needs a driver, and is detached when the driver is unbound.
 *
 * Kinds: "moves" unmaps in move_notify(), "keeps" does not, "pinned" pins at
 * attach, "no-peer" does not accept peer memory, "static" is not dynamic.
 */
#include <linux/cleanup.h>
#include <linux/device/bus.h>
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sched/signal.h>
#include <linux/seq_buf.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#define IMPORTER_SLOTS		8
#define IMPORTER_SHOWN		64	/* entries */

static DEFINE_MUTEX(importer_mutex);

enum importer_kind { IMPORTER_MOVES, IMPORTER_KEEPS, IMPORTER_PINNED,
		     IMPORTER_NO_PEER, IMPORTER_STATIC };

static const char *const importer_kinds[] = {
	[IMPORTER_MOVES] = "moves",
	[IMPORTER_KEEPS] = "keeps",
	[IMPORTER_PINNED] = "pinned",
	[IMPORTER_NO_PEER] = "no-peer",
	[IMPORTER_STATIC] = "static",
};

/**
 * struct importer - an attachment
 * @attach: the attachment, or NULL
 * @device: the device, with a reference
 * @kind: kind of importer
 * @table: the mapping, or NULL; reservation lock
 * @notified: number of calls of move_notify()
 */
static struct importer {
	struct dma_buf_attachment *attach;
	struct pci_dev *device;
	enum importer_kind kind;
	struct sg_table *table;
	unsigned int notified;
} importers[IMPORTER_SLOTS];

/* Devices whose driver is being unbound, by struct device. */
static DEFINE_XARRAY(importer_leaving);

static void importer_unmap_locked(struct importer *importer)
{
	if (importer->table)
		dma_buf_unmap_attachment(importer->attach, importer->table,
					 DMA_BIDIRECTIONAL);
	importer->table = NULL;
}

static void importer_moved(struct dma_buf_attachment *attach)
{
	struct importer *importer = attach->importer_priv;

	importer->notified++;
	if (importer->kind == IMPORTER_MOVES)
		importer_unmap_locked(importer);
}

static const struct dma_buf_attach_ops importer_ops = {
	.allow_peer2peer = true,
	.move_notify = importer_moved,
};

static const struct dma_buf_attach_ops importer_no_peer_ops = {
	.move_notify = importer_moved,
};

static struct pci_dev *importer_function(const char *name)
{
	unsigned int domain, bus, slot, func;

	if (sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
}

static struct importer *importer_slot(const char *text, bool used)
{
	unsigned int slot;

	lockdep_assert_held(&importer_mutex);
	if (kstrtouint(text, 0, &slot) || slot >= IMPORTER_SLOTS)
		return NULL;
	return !importers[slot].attach == !used ? &importers[slot] : NULL;
}

static int importer_pin(struct importer *importer)
{
	int ret;

	dma_resv_lock(importer->attach->dmabuf->resv, NULL);
	ret = dma_buf_pin(importer->attach);
	dma_resv_unlock(importer->attach->dmabuf->resv);
	if (ret) {
		dma_buf_detach(importer->attach->dmabuf, importer->attach);
		importer->attach = NULL;
	}
	return ret;
}

static int importer_attach_device(struct importer *importer, struct dma_buf *buf)
{
	const struct dma_buf_attach_ops *ops = &importer_ops;
	struct dma_buf_attachment *attach;

	if (importer->kind == IMPORTER_NO_PEER)
		ops = &importer_no_peer_ops;
	else if (importer->kind == IMPORTER_STATIC)
		ops = NULL;
	attach = dma_buf_dynamic_attach(buf, &importer->device->dev, ops,
					importer);
	if (IS_ERR(attach))
		return PTR_ERR(attach);
	importer->attach = attach;
	importer->notified = 0;
	return importer->kind == IMPORTER_PINNED ? importer_pin(importer) : 0;
}

static bool importer_is_bound(struct pci_dev *pdev)
{
	lockdep_assert_held(&importer_mutex);
	return pdev && READ_ONCE(pdev->dev.driver) &&
	       !xa_load(&importer_leaving, (unsigned long)pdev);
}

static int importer_attach(const char *text, const struct kernel_param *param)
{
	char slot[4], name[32], kind[16];
	struct importer *importer;
	struct dma_buf *buf;
	int fd, ret;

	if (sscanf(text, "%3s %31s %d %15s", slot, name, &fd, kind) != 4)
		return -EINVAL;
	guard(mutex)(&importer_mutex);
	importer = importer_slot(slot, false);
	ret = match_string(importer_kinds, ARRAY_SIZE(importer_kinds), kind);
	if (!importer || ret < 0)
		return -EINVAL;
	importer->kind = ret;
	buf = dma_buf_get(fd);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	importer->device = importer_function(name);
	ret = importer_is_bound(importer->device) ?
	      importer_attach_device(importer, buf) : -ENODEV;
	if (ret) {
		pci_dev_put(importer->device);
		dma_buf_put(buf);
	}
	return ret;
}

static int importer_map(const char *text, const struct kernel_param *param)
{
	struct importer *importer;
	struct sg_table *table;
	int ret = 0;

	guard(mutex)(&importer_mutex);
	importer = importer_slot(text, true);
	if (!importer)
		return -EINVAL;
	dma_resv_lock(importer->attach->dmabuf->resv, NULL);
	table = importer->table ? ERR_PTR(-EBUSY) :
		dma_buf_map_attachment(importer->attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(table))
		ret = PTR_ERR(table);
	else
		importer->table = table;
	dma_resv_unlock(importer->attach->dmabuf->resv);
	return ret;
}

static void importer_unmap_now(struct importer *importer)
{
	dma_resv_lock(importer->attach->dmabuf->resv, NULL);
	importer_unmap_locked(importer);
	dma_resv_unlock(importer->attach->dmabuf->resv);
}

static int importer_unmap(const char *text, const struct kernel_param *param)
{
	struct importer *importer;

	guard(mutex)(&importer_mutex);
	importer = importer_slot(text, true);
	if (!importer)
		return -EINVAL;
	importer_unmap_now(importer);
	return 0;
}

static void importer_detach_now(struct importer *importer)
{
	struct dma_buf *buf = importer->attach->dmabuf;

	lockdep_assert_held(&importer_mutex);
	importer_unmap_now(importer);
	if (importer->kind == IMPORTER_PINNED) {
		dma_resv_lock(buf->resv, NULL);
		dma_buf_unpin(importer->attach);
		dma_resv_unlock(buf->resv);
	}
	dma_buf_detach(buf, importer->attach);
	dma_buf_put(buf);
	importer->attach = NULL;
	pci_dev_put(importer->device);
}

static int importer_detach(const char *text, const struct kernel_param *param)
{
	struct importer *importer;

	guard(mutex)(&importer_mutex);
	importer = importer_slot(text, true);
	if (!importer)
		return -EINVAL;
	importer_detach_now(importer);
	return 0;
}

static void importer_print_table(struct seq_buf *out, struct sg_table *table)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_dma_sg(table, sg, i)
		if (i < IMPORTER_SHOWN)
			seq_buf_printf(out, " %#llx+%u",
				       (u64)sg_dma_address(sg), sg_dma_len(sg));
}

static void importer_print(struct seq_buf *out, struct importer *importer)
{
	dma_resv_lock(importer->attach->dmabuf->resv, NULL);
	seq_buf_printf(out, "%td %s %s %u %u", importer - importers,
		       importer_kinds[importer->kind],
		       importer->table ? "mapped" : "-", importer->notified,
		       importer->table ? importer->table->nents : 0);
	if (importer->table)
		importer_print_table(out, importer->table);
	seq_buf_puts(out, "\n");
	dma_resv_unlock(importer->attach->dmabuf->resv);
}

static int importer_show(char *text, const struct kernel_param *param)
{
	struct seq_buf out;
	unsigned int i;

	seq_buf_init(&out, text, PAGE_SIZE);
	guard(mutex)(&importer_mutex);
	for (i = 0; i < IMPORTER_SLOTS; i++)
		if (importers[i].attach)
			importer_print(&out, &importers[i]);
	return seq_buf_used(&out);
}

/* Returns the dma-buf of a file descriptor, with a reference. */
static struct dma_buf *importer_buffer(const char *text)
{
	int fd, ret;

	ret = kstrtoint(text, 0, &fd);
	return ret ? ERR_PTR(ret) : dma_buf_get(fd);
}

static int importer_vmap(const char *text, const struct kernel_param *param)
{
	struct dma_buf *buf = importer_buffer(text);
	struct iosys_map map;
	int ret;

	if (IS_ERR(buf))
		return PTR_ERR(buf);
	ret = dma_buf_vmap_unlocked(buf, &map);
	if (!ret)
		dma_buf_vunmap_unlocked(buf, &map);
	dma_buf_put(buf);
	return ret;
}

static int importer_hold(const char *text, const struct kernel_param *param)
{
	struct dma_buf *buf = importer_buffer(text);

	if (IS_ERR(buf))
		return PTR_ERR(buf);
	dma_resv_lock(buf->resv, NULL);
	while (!signal_pending(current))
		schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);
	dma_resv_unlock(buf->resv);
	dma_buf_put(buf);
	return -EINTR;
}

static const struct kernel_param_ops importer_attach_ops = {
	.set = importer_attach,
};
module_param_cb(attach, &importer_attach_ops, NULL, 0200);
MODULE_PARM_DESC(attach, "slot, address of a function, file descriptor, kind");

static const struct kernel_param_ops importer_map_ops = {
	.set = importer_map,
};
module_param_cb(map, &importer_map_ops, NULL, 0200);
MODULE_PARM_DESC(map, "slot to map");

static const struct kernel_param_ops importer_unmap_ops = {
	.set = importer_unmap,
};
module_param_cb(unmap, &importer_unmap_ops, NULL, 0200);
MODULE_PARM_DESC(unmap, "slot to unmap");

static const struct kernel_param_ops importer_detach_ops = {
	.set = importer_detach,
};
module_param_cb(detach, &importer_detach_ops, NULL, 0200);
MODULE_PARM_DESC(detach, "slot to detach");

static const struct kernel_param_ops importer_vmap_ops = {
	.set = importer_vmap,
};
module_param_cb(vmap, &importer_vmap_ops, NULL, 0200);
MODULE_PARM_DESC(vmap, "file descriptor to map into the kernel");

static const struct kernel_param_ops importer_hold_ops = {
	.set = importer_hold,
};
module_param_cb(hold, &importer_hold_ops, NULL, 0200);
MODULE_PARM_DESC(hold, "file descriptor whose reservation lock to hold");

static const struct kernel_param_ops importer_slots_ops = {
	.get = importer_show,
};
module_param_cb(slots, &importer_slots_ops, NULL, 0400);
MODULE_PARM_DESC(slots, "the attachments");

/* Detach one device, or all. */
static void importer_detach_all(struct device *device)
{
	unsigned int i;

	lockdep_assert_held(&importer_mutex);
	for (i = 0; i < IMPORTER_SLOTS; i++)
		if (importers[i].attach &&
		    (!device || device == &importers[i].device->dev))
			importer_detach_now(&importers[i]);
}

/* As a driver does in remove(). */
static int importer_event(struct notifier_block *nb, unsigned long action,
			  void *data)
{
	struct pci_dev *pdev = to_pci_dev(data);

	guard(mutex)(&importer_mutex);
	if (action == BUS_NOTIFY_UNBIND_DRIVER) {
		xa_store(&importer_leaving, (unsigned long)pdev, pdev,
			 GFP_KERNEL);
		importer_detach_all(data);
	} else if (action == BUS_NOTIFY_UNBOUND_DRIVER) {
		xa_erase(&importer_leaving, (unsigned long)pdev);
	}
	return NOTIFY_OK;
}

static struct notifier_block importer_notifier = {
	.notifier_call = importer_event,
};

static int __init importer_init(void)
{
	return bus_register_notifier(&pci_bus_type, &importer_notifier);
}
module_init(importer_init);

static void __exit importer_exit(void)
{
	bus_unregister_notifier(&pci_bus_type, &importer_notifier);
	mutex_lock(&importer_mutex);
	importer_detach_all(NULL);
	mutex_unlock(&importer_mutex);
	xa_destroy(&importer_leaving);
}
module_exit(importer_exit);

MODULE_DESCRIPTION("Importer of dma-bufs for tests");
MODULE_IMPORT_NS(DMA_BUF);
MODULE_LICENSE("GPL");
