/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The copy engine of the test RNIC: an NVMe controller that this module drives by itself.
 *
 * A copy is two commands of the same controller. A write takes the bytes from the source's DMA
 * addresses to a scratch range of the controller's namespace, a read brings them from there to
 * the destination's DMA addresses. Both name memory by scatter-gather lists of any alignment,
 * so every byte of payload is mastered by the PCI function and none by the CPU. What is missing
 * to a whole block is padded from one page of system RAM and into another.
 *
 * The namespace is divided into slots, one for each copy in flight. The index of a slot is also
 * the identifier of its command, so that there is no second allocator.
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
/* One page of descriptors; copy.c says why they cannot run out. */
#define ENGINE_SGL_DESCS	(SZ_4K / sizeof(struct nvme_sgl_desc))
#define ENGINE_MAX_SLOT_BYTES	SZ_256K

/**
 * struct engine_command - one command identifier of a queue
 * @done: completed when the controller, or the end of the engine, answered
 * @status: NVMe status field without the phase bit; negative if there was no answer
 * @result: first dword of the completion
 * @busy: submitted and not yet answered; under the queue's lock
 */
struct engine_command {
	struct completion done;
	int status;
	u32 result;
	bool busy;
};

/**
 * struct engine_queue - a submission queue and its completion queue
 * @lock: protects everything below it; taken in the interrupt handler
 * @dead: nothing is accepted any more
 * @depth: entries of each queue, also the number of @commands
 * @tail: next free entry of the submission queue
 * @head: next entry of the completion queue to look at
 * @phase: phase tag that marks it as new
 * @sqes: submission queue
 * @cqes: completion queue
 * @sq_dma: its address
 * @cq_dma: its address
 * @sq_db: tail doorbell
 * @cq_db: head doorbell
 * @commands: indexed by command identifier
 */
struct engine_queue {
	/* Rings, and the commands in them. */
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
 * struct engine_slot - room for one copy in flight
 * @sgl: a page of descriptors for the command under way
 * @sgl_dma: its address
 * @lba: first block of the scratch range
 */
struct engine_slot {
	struct nvme_sgl_desc *sgl;
	dma_addr_t sgl_dma;
	u64 lba;
};

/**
 * struct engine - the controller and what it needs to copy
 * @pdev: the function; its DMA is what moves the payload
 * @regs: BAR 0
 * @cap: controller capabilities register
 * @admin: queue pair 0
 * @io: queue pair 1
 * @admin_mutex: one administrative command at a time
 * @kill_mutex: one end at a time
 * @timeout: jiffies after which a command is given up, and the engine with it
 * @dead: set once the controller can no longer master the bus for us
 * @max_bytes: of one command
 * @nsid: namespace that holds the scratch range
 * @lba_shift: size of its blocks
 * @slot_bytes: size of a slot, the most that one command moves
 * @nr_slots: number of slots
 * @slots: the slots
 * @slots_lock: protects @slots_used
 * @slots_used: a bit for each slot in use
 * @slots_wait: woken when a slot is free, or the engine dead
 * @zeroes: a page that pads what is written
 * @zeroes_dma: its address
 * @trash: a page that takes the padding when it is read back
 * @trash_dma: its address
 * @commands: commands that succeeded
 * @ram_bytes: payload mastered in system RAM, read and written
 * @peer_bytes: payload mastered anywhere else
 * @sees_bus: an IOMMU does not hide what an address means, so the two counters are true
 */
struct engine {
	struct pci_dev *pdev;
	void __iomem *regs;
	u64 cap;
	struct engine_queue admin;
	struct engine_queue io;
	/* Serialises administrative commands. */
	struct mutex admin_mutex;
	/* Serialises the end. */
	struct mutex kill_mutex;
	unsigned long timeout;
	bool dead;
	u32 max_bytes;
	u32 nsid;
	u8 lba_shift;
	u32 slot_bytes;
	unsigned int nr_slots;
	struct engine_slot slots[ENGINE_MAX_SLOTS];
	/* The bits of slots_used. */
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
 * struct engine_cursor - where a copy stands in its source or destination
 * @next: gives the next piece of at most @max bytes and moves on
 *
 * The engine knows DMA addresses only; who calls it knows what they stand for.
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
