// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA by example: a provider, a client and an orchestrator,
 * complete and small.
 *
 * QEMU emulates both devices. "ivshmem" is a card with memory in BAR 2: the
 * provider. "edu" is a card with a DMA engine and a small buffer: the client.
 * The orchestrator runs at a write to the file "carry" of the engine: fills
 * some peer memory, has the engine carry the bytes to other peer memory, and
 * checks the result. No byte visits system memory.
 *
 *	qemu-system-x86_64 ... \
 *		-device edu,dma_mask=0xffffffffffffffff,bus=PORT1 \
 *		-object memory-backend-ram,id=mem,size=16M,share=on \
 *		-device ivshmem-plain,memdev=mem,bus=PORT2
 *
 *	insmod p2pdma_example.ko
 *	cd /sys/bus/pci/drivers/p2pdma_example_engine
 *	echo 1 > 0000:03:00.0/carry
 */
#include <linux/cleanup.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci-p2pdma.h>
#include <linux/scatterlist.h>
#include <linux/string.h>

/* The provider */

#define EXAMPLE_MEMORY_BAR	2

static int example_memory_probe(struct pci_dev *pdev,
				const struct pci_device_id *id)
{
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;

	/* All of the BAR. Unbinding the driver ends the registration. */
	ret = pci_p2pdma_add_resource(pdev, EXAMPLE_MEMORY_BAR, 0, 0);
	if (ret)
		return ret;

	/* Clients may use the memory now, so the card has to be ready. */
	pci_p2pmem_publish(pdev, true);
	return 0;
}

static const struct pci_device_id example_memory_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110) },
	{}
};

static struct pci_driver example_memory_driver = {
	.name = "p2pdma_example_memory",
	.id_table = example_memory_ids,
	.probe = example_memory_probe,
};

/* The client */

#define EXAMPLE_ENGINE_BAR	0

/* The DMA engine moves bytes between an address and the buffer of the card. */
#define EXAMPLE_SOURCE		0x80
#define EXAMPLE_DESTINATION	0x88
#define EXAMPLE_COUNT		0x90
#define EXAMPLE_COMMAND		0x98
#define EXAMPLE_START		BIT(0)
#define EXAMPLE_FROM_BUFFER	BIT(1)
#define EXAMPLE_BUFFER		0x40000
#define EXAMPLE_SIZE		2048

#define EXAMPLE_POLL_US		1000
#define EXAMPLE_TIMEOUT_US	(5 * USEC_PER_SEC)

struct example_engine {
	struct device *dev;
	void __iomem *regs;
	struct mutex lock; /* registers and buffer */
};

/* Move @len bytes between the address and the buffer at @pos. */
static int example_engine_move(struct example_engine *engine, dma_addr_t addr,
			       u32 pos, u32 len, enum dma_data_direction dir)
{
	u64 buffer = EXAMPLE_BUFFER + pos;
	bool in = dir == DMA_TO_DEVICE;
	u32 command;

	writeq(in ? addr : buffer, engine->regs + EXAMPLE_SOURCE);
	writeq(in ? buffer : addr, engine->regs + EXAMPLE_DESTINATION);
	writeq(len, engine->regs + EXAMPLE_COUNT);
	writel(EXAMPLE_START | (in ? 0 : EXAMPLE_FROM_BUFFER),
	       engine->regs + EXAMPLE_COMMAND);
	return readl_poll_timeout(engine->regs + EXAMPLE_COMMAND, command,
				  !(command & EXAMPLE_START), EXAMPLE_POLL_US,
				  EXAMPLE_TIMEOUT_US);
}

/*
 * Peer memory is mapped, used and unmapped like any other memory. Only the
 * error -EREMOTEIO of the mapping is special: there is no route.
 */
static int example_engine_transfer(struct example_engine *engine,
				   struct scatterlist *sgl, unsigned int nents,
				   enum dma_data_direction dir)
{
	struct sg_table table = { .sgl = sgl, .nents = nents,
				  .orig_nents = nents };
	struct scatterlist *sg;
	unsigned int i;
	u32 pos = 0;
	int ret;

	ret = dma_map_sgtable(engine->dev, &table, dir, 0);
	if (ret)
		return ret;
	for_each_sgtable_dma_sg(&table, sg, i) {
		ret = example_engine_move(engine, sg_dma_address(sg), pos,
					  sg_dma_len(sg), dir);
		if (ret)
			break;
		pos += sg_dma_len(sg);
	}
	/* An engine that hangs must not write to memory after the free. */
	if (ret)
		pci_clear_master(to_pci_dev(engine->dev));
	dma_unmap_sgtable(engine->dev, &table, dir, 0);
	return ret;
}

/* The orchestrator */

/* The CPU sees memory of a card, so use the accessors for I/O memory. */
static void example_fill(struct scatterlist *sgl, unsigned int nents, u8 byte)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sg(sgl, sg, nents, i)
		memset_io((void __iomem __force *)sg_virt(sg), byte,
			  sg->length);
}

static bool example_is_filled(struct scatterlist *sgl, unsigned int nents,
			      u8 byte)
{
	struct scatterlist *sg;
	unsigned int i, pos;

	for_each_sg(sgl, sg, nents, i)
		for (pos = 0; pos < sg->length; pos++)
			if (readb((void __iomem __force *)sg_virt(sg) + pos) !=
			    byte)
				return false;
	return true;
}

static int example_carry_through(struct example_engine *engine,
				 struct scatterlist *from,
				 unsigned int nents_from,
				 struct scatterlist *to, unsigned int nents_to,
				 u8 byte)
{
	int ret;

	example_fill(from, nents_from, byte);
	example_fill(to, nents_to, ~byte);
	scoped_guard(mutex, &engine->lock)
		ret = example_engine_transfer(engine, from, nents_from,
					      DMA_TO_DEVICE) ?:
		      example_engine_transfer(engine, to, nents_to,
					      DMA_FROM_DEVICE);
	if (ret)
		return ret;
	return example_is_filled(to, nents_to, byte) ? 0 : -EIO;
}

static int example_carry(struct example_engine *engine, u8 byte)
{
	struct scatterlist *from = NULL, *to = NULL;
	unsigned int nents_from, nents_to;
	struct pci_dev *provider;
	int ret = -ENOMEM;

	/* The best memory in reach of all clients; here there is one client. */
	provider = pci_p2pmem_find(engine->dev);
	if (!provider)
		return -ENODEV;

	/* A product would use system memory if no peer memory is free. */
	from = pci_p2pmem_alloc_sgl(provider, &nents_from, EXAMPLE_SIZE);
	if (from)
		to = pci_p2pmem_alloc_sgl(provider, &nents_to, EXAMPLE_SIZE);
	if (to)
		ret = example_carry_through(engine, from, nents_from, to,
					    nents_to, byte);
	if (!ret)
		dev_info(engine->dev,
			 "carried %u bytes within the memory of %s\n",
			 EXAMPLE_SIZE, pci_name(provider));

	pci_p2pmem_free_sgl(provider, to);
	pci_p2pmem_free_sgl(provider, from);
	pci_dev_put(provider);
	return ret;
}

static ssize_t carry_store(struct device *dev, struct device_attribute *attr,
			   const char *buf, size_t count)
{
	u8 byte;
	int ret;

	ret = kstrtou8(buf, 0, &byte) ?:
		example_carry(dev_get_drvdata(dev), byte);
	return ret ?: count;
}
static DEVICE_ATTR_WO(carry);

static struct attribute *example_engine_attrs[] = {
	&dev_attr_carry.attr,
	NULL
};
ATTRIBUTE_GROUPS(example_engine);

static int example_engine_probe(struct pci_dev *pdev,
				const struct pci_device_id *id)
{
	struct example_engine *engine =
		devm_kzalloc(&pdev->dev, sizeof(*engine), GFP_KERNEL);
	int ret;

	if (!engine)
		return -ENOMEM;
	ret = pcim_enable_device(pdev) ?:
		dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	engine->dev = &pdev->dev;
	mutex_init(&engine->lock);
	engine->regs = pcim_iomap(pdev, EXAMPLE_ENGINE_BAR, 0);
	if (!engine->regs)
		return -ENOMEM;
	pci_set_drvdata(pdev, engine);
	pci_set_master(pdev);
	return 0;
}

static const struct pci_device_id example_engine_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{}
};

static struct pci_driver example_engine_driver = {
	.name = "p2pdma_example_engine",
	.id_table = example_engine_ids,
	.probe = example_engine_probe,
	.dev_groups = example_engine_groups,
};

/* The module */

static int __init example_init(void)
{
	int ret;

	ret = pci_register_driver(&example_memory_driver);
	if (ret)
		return ret;
	ret = pci_register_driver(&example_engine_driver);
	if (ret)
		pci_unregister_driver(&example_memory_driver);
	return ret;
}
module_init(example_init);

static void __exit example_exit(void)
{
	pci_unregister_driver(&example_engine_driver);
	pci_unregister_driver(&example_memory_driver);
}
module_exit(example_exit);

MODULE_DESCRIPTION("Example of a provider, a client and an orchestrator of PCI peer memory");
MODULE_LICENSE("GPL");
