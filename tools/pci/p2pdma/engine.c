// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma copy: the copy engine, on top of io_uring
 *
 * Each block is read, then written; then the slot in memory is free for the next block. A short
 * read or write is resumed where it ended. Only bytes whose write has completed count as copied.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"

/**
 * struct block - slot in memory, and the block in the slot
 * @at: offset of the block in both files
 * @size: size of the block in bytes
 * @done: bytes done of the current read or write
 * @writing: the block is being written, not read
 * @busy: the slot has a block, and the block has not arrived
 */
struct block {
	unsigned long long at;
	size_t size;
	size_t done;
	bool writing;
	bool busy;
};

/**
 * struct engine - a transfer in progress
 * @transfer: the transfer
 * @ring: the io_uring instance
 * @blocks: array of @transfer->depth slots
 * @next: offset of the next block to begin
 * @arrived: number of bytes written
 * @busy: number of blocks in flight
 */
struct engine {
	struct transfer *transfer;
	struct io_uring ring;
	struct block *blocks;
	unsigned long long next;
	unsigned long long arrived;
	unsigned int busy;
};

static void submit_block(struct engine *engine, unsigned int place)
{
	const struct transfer *transfer = engine->transfer;
	struct block *block = &engine->blocks[place];
	struct io_uring_sqe *sqe = io_uring_get_sqe(&engine->ring);
	char *memory = transfer->memory + place * transfer->block + block->done;

	/* Never fails: the ring has an entry for each slot. */
	if (block->writing)
		io_uring_prep_write(sqe, transfer->to, memory, block->size - block->done,
				    block->at + block->done);
	else
		io_uring_prep_read(sqe, transfer->from, memory, block->size - block->done,
				   block->at + block->done);
	io_uring_sqe_set_data64(sqe, place);
}

static bool may_begin(const struct engine *engine)
{
	const struct transfer *transfer = engine->transfer;

	return engine->next < transfer->size && !transfer->error && !*transfer->stop;
}

static void begin_block(struct engine *engine, unsigned int place)
{
	const struct transfer *transfer = engine->transfer;
	unsigned long long left = transfer->size - engine->next;

	engine->blocks[place] = (struct block) {
		.at = engine->next,
		.size = left < transfer->block ? left : transfer->block,
		.busy = true,
	};
	engine->next += engine->blocks[place].size;
	engine->busy++;
	submit_block(engine, place);
}

static void break_block(struct engine *engine, struct block *block, int error)
{
	struct transfer *transfer = engine->transfer;

	engine->busy--;
	if (transfer->error)
		return;
	transfer->error = error;
	transfer->failed_at = block->at;
	transfer->failed_write = block->writing;
}

static void end_block(struct engine *engine, struct block *block)
{
	struct transfer *transfer = engine->transfer;

	block->busy = false;
	engine->busy--;
	engine->arrived += block->size;
	if (transfer->progress)
		transfer->progress(transfer, engine->arrived);
}

static void step_done(struct engine *engine, unsigned int place, int result)
{
	struct block *block = &engine->blocks[place];

	if (result == -EINTR || result == -EAGAIN)
		return submit_block(engine, place);
	if (result <= 0)
		return break_block(engine, block, result ? -result : ENODATA);
	block->done += result;
	if (block->done < block->size)
		return submit_block(engine, place);
	block->done = 0;
	if (!block->writing) {
		block->writing = true;
		return submit_block(engine, place);
	}
	end_block(engine, block);
	if (may_begin(engine))
		begin_block(engine, place);
}

/* Find the first block that did not arrive. Every block before has arrived. */
static void take_stock(const struct engine *engine)
{
	struct transfer *transfer = engine->transfer;
	unsigned int i;

	transfer->copied = engine->next;
	for (i = 0; i < transfer->depth; i++)
		if (engine->blocks[i].busy && engine->blocks[i].at < transfer->copied)
			transfer->copied = engine->blocks[i].at;
	transfer->beyond = engine->arrived - transfer->copied;
}

static int wait_for_blocks(struct engine *engine)
{
	struct io_uring_cqe *cqe;
	unsigned int place;
	int error, result;

	error = io_uring_submit_and_wait(&engine->ring, 1);
	if (error < 0 && error != -EINTR)
		return error;
	while (!io_uring_peek_cqe(&engine->ring, &cqe)) {
		place = io_uring_cqe_get_data64(cqe);
		result = cqe->res;
		io_uring_cqe_seen(&engine->ring, cqe);
		step_done(engine, place, result);
	}
	return 0;
}

/**
 * transfer_run - run a transfer
 * @transfer: the transfer; the results are filled in, also after a failure
 *
 * Return: 0, also if a read or write failed (see @transfer->error), or a negative errno if
 * io_uring fails.
 */
int transfer_run(struct transfer *transfer)
{
	struct engine engine = { .transfer = transfer };
	unsigned int place;
	int error;

	engine.blocks = calloc(transfer->depth, sizeof(*engine.blocks));
	if (!engine.blocks)
		return -ENOMEM;
	error = io_uring_queue_init(transfer->depth, &engine.ring, 0);
	if (error) {
		free(engine.blocks);
		return error;
	}
	for (place = 0; place < transfer->depth && may_begin(&engine); place++)
		begin_block(&engine, place);
	while (engine.busy && !error)
		error = wait_for_blocks(&engine);
	take_stock(&engine);
	io_uring_queue_exit(&engine.ring);
	free(engine.blocks);
	return error;
}

static int read_all(int fd, char *bytes, size_t size, unsigned long long at)
{
	size_t done = 0;
	ssize_t got;

	while (done < size) {
		got = pread(fd, bytes + done, size - done, at + done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -ENODATA;
		done += got;
	}
	return 0;
}

static unsigned long long first_difference(const char *a, const char *b)
{
	unsigned long long i = 0;

	while (a[i] == b[i])
		i++;
	return i;
}

/**
 * transfer_compare - read both files through system memory, and compare
 * @transfer: a finished transfer; the first @transfer->copied bytes are compared
 * @differs: filled in with the offset of the first difference, or with @transfer->copied
 *
 * Return: 0, or a negative errno.
 */
int transfer_compare(struct transfer *transfer, unsigned long long *differs)
{
	unsigned long long at = 0;
	void *bytes[2];
	size_t size;
	int error = 0;

	if (posix_memalign(&bytes[0], 4096, 2 * transfer->block))
		return -ENOMEM;
	bytes[1] = (char *)bytes[0] + transfer->block;
	for (; at < transfer->copied && !error && !*transfer->stop; at += size) {
		size = transfer->copied - at < transfer->block ? transfer->copied - at :
								 transfer->block;
		error = read_all(transfer->from, bytes[0], size, at);
		if (!error)
			error = read_all(transfer->to, bytes[1], size, at);
		if (error || memcmp(bytes[0], bytes[1], size))
			break;
		if (transfer->progress)
			transfer->progress(transfer, at + size);
	}
	*differs = at;
	if (!error && at < transfer->copied && !*transfer->stop)
		*differs = at + first_difference(bytes[0], bytes[1]);
	else if (!error && *transfer->stop)
		error = -EINTR;
	free(bytes[0]);
	return error;
}
