// SPDX-License-Identifier: GPL-2.0
/*
 * The NVMe controller below the test RNIC: bring-up, queues, interrupt and end.
 *
 * The code follows the NVM Express Base Specification, revision 1.4: sections 7.6.1
 * (initialization), 7.6.2 (shutdown) and 4.6 (completion queue entries, phase tag). A copy engine
 * needs only a namespace, an I/O queue pair and an interrupt vector, and no recovery. The timeout
 * of a command ends the engine, because only a disabled controller is sure to leave the memory of
 * the command alone.
 */
#define dev_fmt(fmt) "p2pdma_test_rnic: " fmt

#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iopoll.h>
#include <linux/slab.h>

#include "engine.h"

#define ENGINE_POLL_US		1000
/* CAP.TO counts in units of 500 ms. */
#define ENGINE_READY_UNIT_US	(500 * USEC_PER_MSEC)

/* All reads from a function that has left the bus return ones. */
static bool engine_is_gone(struct engine *engine)
{
	return readl(engine->regs + NVME_REG_CSTS) == U32_MAX;
}

static int engine_wait_ready(struct engine *engine, bool ready)
{
	u64 limit = (NVME_CAP_TIMEOUT(engine->cap) + 1) * ENGINE_READY_UNIT_US;
	u32 csts;
	int ret;

	ret = readl_poll_timeout(engine->regs + NVME_REG_CSTS, csts,
				 csts == U32_MAX || !!(csts & NVME_CSTS_RDY) == ready,
				 ENGINE_POLL_US, limit);
	if (ret)
		return ret;
	return csts == U32_MAX ? -ENODEV : 0;
}

static int engine_disable(struct engine *engine)
{
	u32 cc = readl(engine->regs + NVME_REG_CC);

	if (engine_is_gone(engine))
		return -ENODEV;
	writel(cc & ~NVME_CC_ENABLE, engine->regs + NVME_REG_CC);
	return engine_wait_ready(engine, false);
}

static int engine_enable(struct engine *engine)
{
	struct engine_queue *admin = &engine->admin;
	u32 depth = admin->depth - 1;

	writel(depth | depth << 16, engine->regs + NVME_REG_AQA);
	lo_hi_writeq(admin->sq_dma, engine->regs + NVME_REG_ASQ);
	lo_hi_writeq(admin->cq_dma, engine->regs + NVME_REG_ACQ);
	writel(NVME_CC_CSS_NVM | NVME_CC_AMS_RR | NVME_CC_SHN_NONE | NVME_CC_IOSQES |
	       NVME_CC_IOCQES | NVME_CC_ENABLE, engine->regs + NVME_REG_CC);
	return engine_wait_ready(engine, true);
}

static void engine_answer(struct engine_command *command, int status, u32 result)
{
	command->status = status;
	command->result = result;
	command->busy = false;
	complete(&command->done);
}

static void engine_take_cqe(struct engine *engine, struct engine_queue *queue,
			    const struct nvme_completion *cqe)
{
	u16 id = READ_ONCE(cqe->command_id);

	if (id >= queue->depth || !queue->commands[id].busy) {
		dev_err_ratelimited(&engine->pdev->dev, "completion of unknown command %u\n", id);
		return;
	}
	engine_answer(&queue->commands[id], le16_to_cpu(cqe->status) >> 1,
		      le32_to_cpu(cqe->result.u32));
}

static bool engine_take_cqes(struct engine *engine, struct engine_queue *queue)
{
	struct nvme_completion *cqe = &queue->cqes[queue->head];
	bool seen = false;

	while ((le16_to_cpu(READ_ONCE(cqe->status)) & 1) == queue->phase) {
		/* Read the phase tag before the rest of the entry. */
		dma_rmb();
		engine_take_cqe(engine, queue, cqe);
		if (++queue->head == queue->depth) {
			queue->head = 0;
			queue->phase ^= 1;
		}
		cqe = &queue->cqes[queue->head];
		seen = true;
	}
	if (seen)
		writel(queue->head, queue->cq_db);
	return seen;
}

static bool engine_serve(struct engine *engine, struct engine_queue *queue)
{
	bool seen = false;

	spin_lock(&queue->lock);
	if (!queue->dead)
		seen = engine_take_cqes(engine, queue);
	spin_unlock(&queue->lock);
	return seen;
}

static irqreturn_t engine_interrupt(int irq, void *data)
{
	struct engine *engine = data;
	bool admin = engine_serve(engine, &engine->admin);
	bool io = engine_serve(engine, &engine->io);

	return admin || io ? IRQ_HANDLED : IRQ_NONE;
}

static int engine_queue_init(struct engine *engine, struct engine_queue *queue, u16 id, u16 depth)
{
	void __iomem *doorbells = engine->regs + NVME_REG_DBS;
	u32 stride = 4 << NVME_CAP_STRIDE(engine->cap);
	struct device *dev = &engine->pdev->dev;
	int i;

	queue->depth = depth;
	queue->phase = 1;
	queue->sq_db = doorbells + 2 * id * stride;
	queue->cq_db = doorbells + (2 * id + 1) * stride;
	for (i = 0; i < depth; i++)
		init_completion(&queue->commands[i].done);
	queue->sqes = dmam_alloc_coherent(dev, depth * sizeof(*queue->sqes), &queue->sq_dma,
					  GFP_KERNEL);
	queue->cqes = dmam_alloc_coherent(dev, depth * sizeof(*queue->cqes), &queue->cq_dma,
					  GFP_KERNEL);
	if (!queue->sqes || !queue->cqes)
		return -ENOMEM;
	/* From here on, the interrupt handler reads the queue. */
	spin_lock_irq(&queue->lock);
	queue->dead = false;
	spin_unlock_irq(&queue->lock);
	return 0;
}

static int engine_ring(struct engine_queue *queue, u16 id, struct nvme_command *command)
{
	struct engine_command *entry = &queue->commands[id];
	unsigned long flags;
	int ret = -ESHUTDOWN;

	command->common.command_id = id;
	spin_lock_irqsave(&queue->lock, flags);
	if (!queue->dead) {
		reinit_completion(&entry->done);
		entry->busy = true;
		queue->sqes[queue->tail] = *command;
		if (++queue->tail == queue->depth)
			queue->tail = 0;
		writel(queue->tail, queue->sq_db);
		ret = 0;
	}
	spin_unlock_irqrestore(&queue->lock, flags);
	return ret;
}

/**
 * engine_submit() - run a command and wait for the completion
 * @engine: the engine
 * @queue: the queue
 * @id: command identifier, owned by the caller
 * @command: the command; the identifier is filled in
 *
 * On return, the controller no longer uses the memory of the command.
 *
 * Return: 0, -EIO for a status other than success, -ESHUTDOWN if the engine is dead, or -ETIMEDOUT
 * if the command timed out and the engine was killed.
 */
int engine_submit(struct engine *engine, struct engine_queue *queue, u16 id,
		  struct nvme_command *command)
{
	struct engine_command *entry = &queue->commands[id];
	int ret;

	ret = engine_ring(queue, id, command);
	if (ret)
		return ret;
	if (!wait_for_completion_timeout(&entry->done, engine->timeout)) {
		engine_kill(engine, "a command did not end in time");
		return -ETIMEDOUT;
	}
	if (entry->status < 0)
		return entry->status;
	if (entry->status) {
		dev_err_ratelimited(&engine->pdev->dev, "opcode %#x ended with status %#x\n",
				    command->common.opcode, entry->status);
		return -EIO;
	}
	atomic64_inc(&engine->commands);
	return 0;
}

static int engine_admin(struct engine *engine, struct nvme_command *command)
{
	guard(mutex)(&engine->admin_mutex);
	return engine_submit(engine, &engine->admin, 0, command);
}

static int engine_identify(struct engine *engine, u8 cns, u32 nsid, dma_addr_t buffer)
{
	struct nvme_command command = { };

	command.identify.opcode = nvme_admin_identify;
	command.identify.cns = cns;
	command.identify.nsid = cpu_to_le32(nsid);
	command.identify.dptr.prp1 = cpu_to_le64(buffer);
	return engine_admin(engine, &command);
}

static int engine_create_io_queue(struct engine *engine)
{
	struct engine_queue *queue = &engine->io;
	struct nvme_command command = { };
	int ret;

	command.create_cq.opcode = nvme_admin_create_cq;
	command.create_cq.prp1 = cpu_to_le64(queue->cq_dma);
	command.create_cq.cqid = cpu_to_le16(1);
	command.create_cq.qsize = cpu_to_le16(queue->depth - 1);
	command.create_cq.cq_flags = cpu_to_le16(NVME_QUEUE_PHYS_CONTIG | NVME_CQ_IRQ_ENABLED);
	ret = engine_admin(engine, &command);
	if (ret)
		return ret;

	memset(&command, 0, sizeof(command));
	command.create_sq.opcode = nvme_admin_create_sq;
	command.create_sq.prp1 = cpu_to_le64(queue->sq_dma);
	command.create_sq.sqid = cpu_to_le16(1);
	command.create_sq.cqid = cpu_to_le16(1);
	command.create_sq.qsize = cpu_to_le16(queue->depth - 1);
	command.create_sq.sq_flags = cpu_to_le16(NVME_QUEUE_PHYS_CONTIG);
	return engine_admin(engine, &command);
}

/* NVM Express Base Specification 1.4, figure 247: SGLS and MDTS. */
static int engine_check_controller(struct engine *engine, const struct nvme_id_ctrl *id,
				   int override_sgls)
{
	struct device *dev = &engine->pdev->dev;
	u32 sgls = override_sgls < 0 ? le32_to_cpu(id->sgls) : override_sgls;

	/* 1: data blocks of any alignment; 2: in multiples of four bytes only. */
	if ((sgls & 3) != 1)
		return dev_err_probe(dev, -EOPNOTSUPP,
				     "needs scatter-gather lists of any alignment; SGLS is %#x\n",
				     sgls);
	engine->max_bytes = ENGINE_MAX_SLOT_BYTES;
	if (id->mdts && id->mdts < 20)
		engine->max_bytes = min_t(u32, engine->max_bytes, SZ_4K << id->mdts);
	return 0;
}

static int engine_check_namespace(struct engine *engine, const struct nvme_id_ns *id)
{
	const struct nvme_lbaf *format = &id->lbaf[nvme_lbaf_index(id->flbas)];
	struct device *dev = &engine->pdev->dev;

	engine->lba_shift = format->ds;
	if (format->ms || engine->lba_shift < 9 || engine->lba_shift > 12)
		return dev_err_probe(dev, -EOPNOTSUPP,
				     "namespace %u: no use for blocks of 2^%u bytes with %u of metadata\n",
				     engine->nsid, format->ds, le16_to_cpu(format->ms));
	return 0;
}

static int engine_identify_all(struct engine *engine, unsigned int slots, int override_sgls,
			       void *page, dma_addr_t dma)
{
	struct device *dev = &engine->pdev->dev;
	int ret;

	ret = engine_identify(engine, NVME_ID_CNS_CTRL, 0, dma);
	if (!ret)
		ret = engine_check_controller(engine, page, override_sgls);
	if (!ret)
		ret = engine_identify(engine, NVME_ID_CNS_NS_ACTIVE_LIST, 0, dma);
	if (ret)
		return ret;

	engine->nsid = le32_to_cpu(*(__le32 *)page);
	if (!engine->nsid)
		return dev_err_probe(dev, -ENODEV, "the controller has no namespace\n");
	ret = engine_identify(engine, NVME_ID_CNS_NS, engine->nsid, dma);
	if (!ret)
		ret = engine_check_namespace(engine, page);
	if (ret)
		return ret;
	return engine_copy_init(engine, slots, le64_to_cpu(((struct nvme_id_ns *)page)->nsze));
}

static int engine_look_around(struct engine *engine, unsigned int slots, int override_sgls)
{
	struct device *dev = &engine->pdev->dev;
	dma_addr_t dma;
	void *page;
	int ret;

	page = dma_alloc_coherent(dev, SZ_4K, &dma, GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	ret = engine_identify_all(engine, slots, override_sgls, page, dma);
	/* Also after a timeout: engine_submit() killed the engine, so no command uses the page. */
	dma_free_coherent(dev, SZ_4K, page, dma);
	return ret;
}

static int engine_map(struct engine *engine)
{
	struct pci_dev *pdev = engine->pdev;
	struct device *dev = &pdev->dev;
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return dev_err_probe(dev, ret, "cannot enable the function\n");
	ret = pcim_request_region(pdev, 0, "p2pdma_test_rnic");
	if (ret)
		return dev_err_probe(dev, ret, "BAR 0 is in use\n");
	engine->regs = pcim_iomap(pdev, 0, 0);
	if (!engine->regs)
		return dev_err_probe(dev, -ENOMEM, "cannot map BAR 0\n");
	if (engine_is_gone(engine))
		return dev_err_probe(dev, -ENODEV, "the function does not answer\n");

	engine->cap = lo_hi_readq(engine->regs + NVME_REG_CAP);
	if (NVME_CAP_MPSMIN(engine->cap) || !(NVME_CAP_CSS(engine->cap) & NVME_CAP_CSS_NVM))
		return dev_err_probe(dev, -EOPNOTSUPP,
				     "needs 4 KiB pages and the NVM command set; CAP is %#llx\n",
				     engine->cap);
	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (ret)
		return dev_err_probe(dev, ret, "cannot master 64-bit addresses\n");
	/* Regions for RDMA can be long, because a region becomes a list of pages. */
	dma_set_max_seg_size(dev, UINT_MAX);
	return 0;
}

static int engine_get_irq(struct engine *engine)
{
	int ret;

	ret = pci_alloc_irq_vectors(engine->pdev, 1, 1, PCI_IRQ_MSIX);
	if (ret < 0)
		return dev_err_probe(&engine->pdev->dev, ret, "no MSI-X vector\n");
	ret = pci_request_irq(engine->pdev, 0, engine_interrupt, NULL, engine,
			      "p2pdma_test_rnic:%s", pci_name(engine->pdev));
	if (ret)
		pci_free_irq_vectors(engine->pdev);
	return ret;
}

static int engine_bring_up(struct engine *engine, unsigned int slots, int override_sgls)
{
	u32 entries = NVME_CAP_MQES(engine->cap) + 1;
	int ret;

	slots = min(slots, entries - 1);
	ret = engine_disable(engine);
	if (!ret)
		ret = engine_queue_init(engine, &engine->admin, 0, ENGINE_ADMIN_DEPTH);
	if (!ret)
		ret = engine_queue_init(engine, &engine->io, 1, slots + 1);
	if (ret)
		return ret;
	pci_set_master(engine->pdev);
	ret = engine_enable(engine);
	if (ret)
		return dev_err_probe(&engine->pdev->dev, ret, "the controller is never ready\n");
	ret = engine_look_around(engine, slots, override_sgls);
	return ret ?: engine_create_io_queue(engine);
}

static void engine_queue_die(struct engine_queue *queue)
{
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	queue->dead = true;
	spin_unlock_irqrestore(&queue->lock, flags);
}

/* Fail the commands in flight. The controller has stopped. */
static void engine_queue_fail(struct engine_queue *queue)
{
	unsigned long flags;
	int i;

	spin_lock_irqsave(&queue->lock, flags);
	for (i = 0; i < queue->depth; i++)
		if (queue->commands[i].busy)
			engine_answer(&queue->commands[i], -ESHUTDOWN, 0);
	spin_unlock_irqrestore(&queue->lock, flags);
}

/**
 * engine_kill() - stop the controller and end all DMA of the controller
 * @engine: the engine
 * @why: reason for the log, or NULL for an orderly stop
 *
 * Commands in flight fail after the controller is disabled or may not master the bus.
 */
void engine_kill(struct engine *engine, const char *why)
{
	struct device *dev = &engine->pdev->dev;

	guard(mutex)(&engine->kill_mutex);
	if (engine->dead)
		return;
	if (why)
		dev_err(dev, "%s: the copy engine stops\n", why);
	engine_queue_die(&engine->admin);
	engine_queue_die(&engine->io);
	if (engine_disable(engine) == -ETIMEDOUT)
		dev_err(dev, "the controller does not stop; taking it off the bus\n");
	/* Stops also a controller that ignores the register write. */
	pci_clear_master(engine->pdev);
	WRITE_ONCE(engine->dead, true);
	engine_queue_fail(&engine->admin);
	engine_queue_fail(&engine->io);
	wake_up_all(&engine->slots_wait);
}

/**
 * engine_start() - start a controller as copy engine
 * @pdev: function of the controller
 * @slots: largest number of copies in flight
 * @timeout_ms: time limit of a command
 * @override_sgls: value to use instead of the SGLS field of the controller, or -1
 *
 * Memory is device-managed. End the engine with engine_stop().
 *
 * Return: the engine or an error pointer.
 */
struct engine *engine_start(struct pci_dev *pdev, unsigned int slots, unsigned int timeout_ms,
			    int override_sgls)
{
	struct engine *engine;
	int ret;

	engine = devm_kzalloc(&pdev->dev, sizeof(*engine), GFP_KERNEL);
	if (!engine)
		return ERR_PTR(-ENOMEM);
	engine->pdev = pdev;
	engine->timeout = msecs_to_jiffies(timeout_ms);
	engine->admin.dead = true;
	engine->io.dead = true;
	spin_lock_init(&engine->admin.lock);
	spin_lock_init(&engine->io.lock);
	spin_lock_init(&engine->slots_lock);
	mutex_init(&engine->admin_mutex);
	mutex_init(&engine->kill_mutex);
	init_waitqueue_head(&engine->slots_wait);

	ret = engine_map(engine);
	if (!ret)
		ret = engine_get_irq(engine);
	if (ret)
		return ERR_PTR(ret);
	ret = engine_bring_up(engine, slots, override_sgls);
	if (ret) {
		engine_stop(engine);
		return ERR_PTR(ret);
	}
	return engine;
}

/**
 * engine_stop() - stop the engine in order
 * @engine: the engine, without users
 */
void engine_stop(struct engine *engine)
{
	engine_kill(engine, NULL);
	pci_free_irq(engine->pdev, 0, engine);
	pci_free_irq_vectors(engine->pdev);
}
