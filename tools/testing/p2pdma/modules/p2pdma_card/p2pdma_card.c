// SPDX-License-Identifier: GPL-2.0
/*
 * A provider under remote control: binds to any function by driver_override and
 * registers any range, so that a test can ask for the impossible.
 *
 *	cd /sys/bus/pci/devices/0000:06:00.0
 *	echo p2pdma_card > driver_override
 *	echo 0000:06:00.0 > /sys/bus/pci/drivers/p2pdma_card/bind
 *	echo 2 0 0 > add_range		# BAR, size, offset; fails like the call
 *	echo 2 2097152 > add_at_once	# BAR, size: two ranges, by two tasks
 *	echo 1 > publish
 *	echo 2 > map_wc			# map a BAR write-combining, until unbind
 */
#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/pci-p2pdma.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

static ssize_t add_range_store(struct device *dev, struct device_attribute *attr, const char *buf,
			       size_t count)
{
	unsigned long long offset;
	size_t size;
	int bar, ret;

	if (sscanf(buf, "%d %zi %lli", &bar, &size, &offset) != 3)
		return -EBADMSG;
	/*
	 * Registration needs the device lock, as in probe. Unbinding holds the
	 * lock and waits for the end of this write, so only try.
	 */
	if (!device_trylock(dev))
		return -EAGAIN;
	ret = pci_p2pdma_add_resource(to_pci_dev(dev), bar, size, offset);
	device_unlock(dev);
	return ret ?: count;
}
static DEVICE_ATTR_WO(add_range);

/**
 * struct card_adder - task that registers a range
 * @work: the task
 * @pdev: the provider
 * @bar: index of the BAR
 * @size: number of bytes
 * @offset: offset in the BAR
 * @absent: number of tasks that have not begun; all tasks wait for zero
 * @ret: result of the registration
 */
struct card_adder {
	struct work_struct work;
	struct pci_dev *pdev;
	int bar;
	size_t size;
	u64 offset;
	atomic_t *absent;
	int ret;
};

static void card_add(struct work_struct *work)
{
	struct card_adder *adder = container_of(work, struct card_adder, work);

	atomic_dec(adder->absent);
	while (atomic_read(adder->absent))
		cond_resched();
	adder->ret = pci_p2pdma_add_resource(adder->pdev, adder->bar, adder->size, adder->offset);
}

/* The first and the second @size bytes of a BAR, by two tasks. */
static int card_add_at_once(struct pci_dev *pdev, int bar, size_t size)
{
	struct card_adder adders[2];
	atomic_t absent = ATOMIC_INIT(ARRAY_SIZE(adders));
	int i;

	for (i = 0; i < ARRAY_SIZE(adders); i++) {
		adders[i] = (struct card_adder) {
			.pdev = pdev, .bar = bar, .size = size, .offset = i * (u64)size,
			.absent = &absent,
		};
		INIT_WORK_ONSTACK(&adders[i].work, card_add);
		queue_work(system_unbound_wq, &adders[i].work);
	}
	for (i = 0; i < ARRAY_SIZE(adders); i++) {
		flush_work(&adders[i].work);
		destroy_work_on_stack(&adders[i].work);
	}
	return adders[0].ret ?: adders[1].ret;
}

static ssize_t add_at_once_store(struct device *dev, struct device_attribute *attr,
				 const char *buf, size_t count)
{
	size_t size;
	int bar, ret;

	if (sscanf(buf, "%d %zi", &bar, &size) != 2)
		return -EBADMSG;
	if (!device_trylock(dev))
		return -EAGAIN;
	ret = card_add_at_once(to_pci_dev(dev), bar, size);
	device_unlock(dev);
	return ret ?: count;
}
static DEVICE_ATTR_WO(add_at_once);

static ssize_t publish_store(struct device *dev, struct device_attribute *attr, const char *buf,
			     size_t count)
{
	bool publish;
	int ret;

	ret = kstrtobool(buf, &publish);
	if (ret)
		return ret;
	pci_p2pmem_publish(to_pci_dev(dev), publish);
	return count;
}
static DEVICE_ATTR_WO(publish);

static ssize_t map_wc_store(struct device *dev, struct device_attribute *attr, const char *buf,
			    size_t count)
{
	struct pci_dev *pdev = to_pci_dev(dev);
	unsigned int bar;
	int ret;

	ret = kstrtouint(buf, 0, &bar);
	if (ret)
		return ret;
	if (bar > PCI_STD_RESOURCE_END)
		return -EINVAL;
	return devm_ioremap_wc(dev, pci_resource_start(pdev, bar), pci_resource_len(pdev, bar)) ?
	       count : -ENOMEM;
}
static DEVICE_ATTR_WO(map_wc);

static struct attribute *card_attrs[] = {
	&dev_attr_add_range.attr,
	&dev_attr_add_at_once.attr,
	&dev_attr_publish.attr,
	&dev_attr_map_wc.attr,
	NULL
};
ATTRIBUTE_GROUPS(card);

static int card_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return pcim_enable_device(pdev);
}

static struct pci_driver card_driver = {
	.name = "p2pdma_card",
	.probe = card_probe,
	.dev_groups = card_groups,
};
module_pci_driver(card_driver);

MODULE_DESCRIPTION("Registers any BAR as PCI peer memory, for tests");
MODULE_LICENSE("GPL");
