/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The copy engine of the test RNIC: an NVMe controller with a small driver in this module.
 *
 * A copy is two commands. An NVMe write moves the bytes from the DMA addresses of the source to a
 * scratch range of the namespace, and an NVMe read moves the bytes from the scratch range to the
 * DMA addresses of the destination. Both commands use scatter-gather lists of any alignment, so the
 * PCI function masters all payload, and the CPU touches none. NVMe moves whole blocks. A write
 * takes the padding of the last block from a page of zeroes, and a read stores the padding in a
 * page that is never read.
 *
 * Each copy in flight has a slot, a part of the namespace. The index of the slot is the identifier
 * of the commands, so that one allocator is enough.
 */
#ifndef P2PDMA_TEST_RNIC_ENGINE_H
#define P2PDMA_TEST_RNIC_ENGINE_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/mutex.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#define ENGINE_MAX_SLOTS	32
#define ENGINE_ADMIN_DEPTH	2
/* One page of descriptors. engine_fill_sgl() says why a page is enough. */
#define ENGINE_SGL_DESCS	(SZ_4K / sizeof(struct nvme_sgl_desc))
#define ENGINE_MAX_SLOT_BYTES	SZ_256K

/**
 * struct engine_command - the state of a command identifier of a queue
 * @done: completed by the interrupt handler or by engine_kill()
 * @status: NVMe status field without the phase bit; negative if the engine was killed
 * @result: first dword of the completion queue entry
 * @busy: the command was submitted and has no completion yet; under engine_queue.lock
 */
struct engine_command {
	struct completion done;
	int status;
	u32 result;
	bool busy;
};

/**
 * struct engine_queue - a submission queue and its completion queue
 * @lock: protects the rest of the structure; taken in the interrupt handler
 * @dead: new commands are refused
 * @depth: number of entries of each queue, and of @commands
 * @tail: next free entry of the submission queue
 * @head: next entry of the completion queue to read
 * @phase: phase tag of a new entry at @head
 * @sqes: entries of the submission queue
 * @cqes: entries of the completion queue
 * @sq_dma: DMA address of @sqes
 * @cq_dma: DMA address of @cqes
 * @sq_db: tail doorbell of the submission queue
 * @cq_db: head doorbell of the completion queue
 * @commands: commands by identifier
 */
struct engine_queue {
	/* Protects the rings and the commands. */
	spinlock_t lock;
	bool dead;
	u16 depth;
	u16 tail;
	u16 head;
	u8 phase;
	struct nvme_command *sqes;
	struct nvme_completion *cqes;
	dma_addr_t sq_dma;
	dma_addr_t cq_dma;
	void __iomem *sq_db;
	void __iomem *cq_db;
	struct engine_command commands[ENGINE_MAX_SLOTS + 1];
};

/**
 * struct engine_slot - resources of a copy in flight
 * @sgl: a page of descriptors for the current command
 * @sgl_dma: DMA address of @sgl
 * @lba: first block of the scratch range
 */
struct engine_slot {
	struct nvme_sgl_desc *sgl;
	dma_addr_t sgl_dma;
	u64 lba;
};

/**
 * struct engine - the copy engine
 * @pdev: function of the controller
 * @regs: registers of the controller, in BAR 0
 * @cap: controller capabilities register
 * @admin: queue pair 0
 * @io: queue pair 1
 * @admin_mutex: serializes admin commands
 * @kill_mutex: serializes engine_kill()
 * @timeout: time limit of a command in jiffies; after a timeout the engine is killed
 * @dead: engine_kill() stopped the controller, which no longer masters the bus
 * @max_bytes: largest number of bytes that a command can move
 * @nsid: namespace with the scratch ranges
 * @lba_shift: binary logarithm of the block size in bytes
 * @slot_bytes: size of the scratch range of a slot
 * @nr_slots: number of slots
 * @slots: the slots
 * @slots_lock: protects @slots_used
 * @slots_used: a bit for each slot in use
 * @slots_wait: woken when a slot is free or the engine is dead
 * @zeroes: source of the padding of writes
 * @zeroes_dma: DMA address of @zeroes
 * @trash: destination of the padding of reads
 * @trash_dma: DMA address of @trash
 * @commands: number of commands that succeeded
 * @ram_bytes: bytes of payload that were read or written in system RAM
 * @peer_bytes: bytes of payload that were read or written outside of system RAM
 * @sees_bus: DMA addresses are bus addresses, without an IOMMU, so @ram_bytes and @peer_bytes are
 *	valid
 */
struct engine {
	struct pci_dev *pdev;
	void __iomem *regs;
	u64 cap;
	struct engine_queue admin;
	struct engine_queue io;
	/* Serializes admin commands. */
	struct mutex admin_mutex;
	/* Serializes engine_kill(). */
	struct mutex kill_mutex;
	unsigned long timeout;
	bool dead;
	u32 max_bytes;
	u32 nsid;
	u8 lba_shift;
	u32 slot_bytes;
	unsigned int nr_slots;
	struct engine_slot slots[ENGINE_MAX_SLOTS];
	/* Protects slots_used. */
	spinlock_t slots_lock;
	unsigned long slots_used;
	wait_queue_head_t slots_wait;
	void *zeroes;
	dma_addr_t zeroes_dma;
	void *trash;
	dma_addr_t trash_dma;
	atomic64_t commands;
	atomic64_t ram_bytes;
	atomic64_t peer_bytes;
	bool sees_bus;
};

/**
 * struct engine_cursor - position of a copy in the source or destination
 * @next: get the address of the next piece of at most @max bytes, and advance by the piece; returns
 *	the length of the piece
 *
 * The engine works on DMA addresses only. The caller translates memory regions and keys.
 */
struct engine_cursor {
	u32 (*next)(struct engine_cursor *cursor, u32 max, dma_addr_t *addr);
};

/* nvme.c */
struct engine *engine_start(struct pci_dev *pdev, unsigned int slots, unsigned int timeout_ms,
			    int override_sgls);
void engine_stop(struct engine *engine);
void engine_kill(struct engine *engine, const char *why);
int engine_submit(struct engine *engine, struct engine_queue *queue, u16 id,
		  struct nvme_command *command);

static inline bool engine_is_dead(struct engine *engine)
{
	return READ_ONCE(engine->dead);
}

/* copy.c */
int engine_copy_init(struct engine *engine, unsigned int slots, u64 blocks);
int engine_copy(struct engine *engine, struct engine_cursor *from, struct engine_cursor *to,
		u32 length);

#endif /* P2PDMA_TEST_RNIC_ENGINE_H */
