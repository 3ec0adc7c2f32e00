// SPDX-License-Identifier: GPL-2.0
/*
 * A provider under remote control: binds to any function by driver_override and
 * registers any range, so that a test can ask for the impossible.
 *
 *	cd /sys/bus/pci/devices/0000:06:00.0
 *	echo p2pdma_card > driver_override
 *	echo 0000:06:00.0 > /sys/bus/pci/drivers/p2pdma_card/bind
 *	echo 2 0 0 > add_range		# BAR, size, offset; fails like the call
 *	echo 1 > publish
 *	echo 2 > map_wc			# map a BAR write-combining, until unbind
 */
#include <linux/module.h>
#include <linux/pci-p2pdma.h>

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
