/* SPDX-License-Identifier: GPL-2.0 */
/*
 * p2pdma copy: the engine, which knows of files and memory, and nothing of PCI
 */
#ifndef P2PDMA_COPY_H
#define P2PDMA_COPY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct transfer - a copy from one file to another
 * @from: file to read, opened with O_DIRECT
 * @to: file to write, likewise
 * @memory: where the bytes pass through, @depth blocks
 * @block: bytes of a block
 * @depth: so many blocks under way at a time
 * @size: bytes to copy
 * @progress: is told how far it is; or NULL
 * @stop: is looked at between blocks: no new ones are begun if true
 * @copied: all bytes from the start up to here have arrived
 * @beyond: so many bytes have arrived behind @copied, somewhere
 * @error: errno of what went wrong first, or 0
 * @failed_at: offset of the block that went wrong
 * @failed_write: it was written, not read
 */
struct transfer {
	int from;
	int to;
	char *memory;
	size_t block;
	unsigned int depth;
	unsigned long long size;
	void (*progress)(const struct transfer *transfer, unsigned long long done);
	const atomic_bool *stop;
	unsigned long long copied;
	unsigned long long beyond;
	int error;
	unsigned long long failed_at;
	bool failed_write;
};

int transfer_run(struct transfer *transfer);
int transfer_compare(struct transfer *transfer, unsigned long long *differs);

#endif /* P2PDMA_COPY_H */
