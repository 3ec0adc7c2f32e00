// SPDX-License-Identifier: GPL-2.0
/*
 * Copies by the engine: slots, scatter-gather lists, and the two commands of each copy.
 */
#define dev_fmt(fmt) "p2pdma_test_rnic: " fmt

#include <linux/bitops.h>
#include <linux/dma-mapping.h>
#include <linux/ioport.h>
#include <linux/iommu.h>
#include <linux/log2.h>

#include "engine.h"

static int engine_alloc_pads(struct engine *engine)
{
	struct device *dev = &engine->pdev->dev;

	engine->zeroes = dmam_alloc_coherent(dev, SZ_4K, &engine->zeroes_dma, GFP_KERNEL);
	engine->trash = dmam_alloc_coherent(dev, SZ_4K, &engine->trash_dma, GFP_KERNEL);
	return engine->zeroes && engine->trash ? 0 : -ENOMEM;
}

/**
 * engine_copy_init() - divide the namespace into slots
 * @engine: the engine
 * @slots: largest number of slots
 * @blocks: size of the namespace in blocks
 *
 * Return: 0, -ENOMEM, or -ENOSPC and a line in the log.
 */
int engine_copy_init(struct engine *engine, unsigned int slots, u64 blocks)
{
	struct device *dev = &engine->pdev->dev;
	u64 slot_blocks;
	unsigned int i;

	engine->slot_bytes = engine->max_bytes;
	slot_blocks = engine->slot_bytes >> engine->lba_shift;
	if (blocks < slot_blocks)
		return dev_err_probe(dev, -ENOSPC,
				     "namespace %u has %llu blocks, one copy needs %llu\n",
				     engine->nsid, blocks, slot_blocks);
	engine->nr_slots = min_t(u64, slots, div64_u64(blocks, slot_blocks));
	for (i = 0; i < engine->nr_slots; i++) {
		struct engine_slot *slot = &engine->slots[i];

		slot->lba = i * slot_blocks;
		slot->sgl = dmam_alloc_coherent(dev, SZ_4K, &slot->sgl_dma, GFP_KERNEL);
		if (!slot->sgl)
			return -ENOMEM;
	}
	engine->sees_bus = !device_iommu_mapped(dev);
	return engine_alloc_pads(engine);
}

static int engine_try_slot(struct engine *engine)
{
	unsigned int slot;

	spin_lock(&engine->slots_lock);
	slot = find_first_zero_bit(&engine->slots_used, engine->nr_slots);
	if (slot < engine->nr_slots)
		__set_bit(slot, &engine->slots_used);
	spin_unlock(&engine->slots_lock);
	return slot < engine->nr_slots ? slot : -EBUSY;
}

static int engine_get_slot(struct engine *engine)
{
	int slot = -ESHUTDOWN;

	wait_event(engine->slots_wait,
		   engine_is_dead(engine) || (slot = engine_try_slot(engine)) >= 0);
	return slot;
}

static void engine_put_slot(struct engine *engine, unsigned int slot)
{
	spin_lock(&engine->slots_lock);
	__clear_bit(slot, &engine->slots_used);
	spin_unlock(&engine->slots_lock);
	wake_up(&engine->slots_wait);
}

static void engine_count(struct engine *engine, dma_addr_t addr, u32 length)
{
	bool ram;

	if (!engine->sees_bus)
		return;
	ram = region_intersects(addr, length, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) ==
	      REGION_INTERSECTS;
	atomic64_add(length, ram ? &engine->ram_bytes : &engine->peer_bytes);
}

static void engine_set_desc(struct nvme_sgl_desc *desc, u64 addr, u32 length, u8 type)
{
	*desc = (struct nvme_sgl_desc) {
		.addr = cpu_to_le64(addr),
		.length = cpu_to_le32(length),
		.type = type << 4,
	};
}

/*
 * Write descriptors for @length bytes at @cursor and @pad bytes of padding. Return the number of
 * descriptors. A slot has at most 64 pages, and a work request has at most 16 pieces, each with at
 * most two partial pages. So at most 97 of 256 descriptors are used, and more is a bug.
 */
static int engine_fill_sgl(struct engine *engine, struct nvme_sgl_desc *sgl,
			   struct engine_cursor *cursor, u32 length, u32 pad, dma_addr_t pad_dma)
{
	unsigned int n = 0;

	while (length) {
		dma_addr_t addr;
		u32 piece;

		piece = cursor->next(cursor, length, &addr);
		if (WARN_ON_ONCE(!piece || n == ENGINE_SGL_DESCS - 1))
			return -EIO;
		engine_count(engine, addr, piece);
		engine_set_desc(&sgl[n++], addr, piece, NVME_SGL_FMT_DATA_DESC);
		length -= piece;
	}
	if (pad)
		engine_set_desc(&sgl[n++], pad_dma, pad, NVME_SGL_FMT_DATA_DESC);
	return n;
}

/* Move @length bytes between @cursor and the scratch range of a slot. */
static int engine_move(struct engine *engine, unsigned int id, u8 opcode,
		       struct engine_cursor *cursor, u32 length)
{
	dma_addr_t pad_dma = opcode == nvme_cmd_write ? engine->zeroes_dma : engine->trash_dma;
	u32 whole = round_up(length, 1U << engine->lba_shift);
	struct engine_slot *slot = &engine->slots[id];
	struct nvme_command command = { };
	int n;

	n = engine_fill_sgl(engine, slot->sgl, cursor, length, whole - length, pad_dma);
	if (n < 0)
		return n;
	command.rw.opcode = opcode;
	command.rw.flags = NVME_CMD_SGL_METABUF;
	command.rw.nsid = cpu_to_le32(engine->nsid);
	command.rw.slba = cpu_to_le64(slot->lba);
	command.rw.length = cpu_to_le16((whole >> engine->lba_shift) - 1);
	/* A single descriptor is part of the command. The command points to a longer list. */
	if (n == 1)
		command.rw.dptr.sgl = slot->sgl[0];
	else
		engine_set_desc(&command.rw.dptr.sgl, slot->sgl_dma, n * sizeof(*slot->sgl),
				NVME_SGL_FMT_LAST_SEG_DESC);
	return engine_submit(engine, &engine->io, id, &command);
}

/**
 * engine_copy() - copy bytes with the DMA of the function
 * @engine: the engine
 * @from: source
 * @to: destination
 * @length: number of bytes
 *
 * On return, also with an error, the function no longer uses the memory.
 *
 * Context: May sleep.
 * Return: 0, or an error after which the contents of the destination are undefined.
 */
int engine_copy(struct engine *engine, struct engine_cursor *from, struct engine_cursor *to,
		u32 length)
{
	int slot, ret = 0;

	if (!length)
		return 0;
	slot = engine_get_slot(engine);
	if (slot < 0)
		return slot;
	while (length && !ret) {
		u32 now = min(length, engine->slot_bytes);

		ret = engine_move(engine, slot, nvme_cmd_write, from, now);
		if (!ret)
			ret = engine_move(engine, slot, nvme_cmd_read, to, now);
		length -= now;
	}
	engine_put_slot(engine, slot);
	return ret;
}
