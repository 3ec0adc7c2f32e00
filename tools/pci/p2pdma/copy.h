/* SPDX-License-Identifier: GPL-2.0 */
/*
 * p2pdma copy: interface of the copy engine
 *
 * The engine copies between two files through a given memory area, and does not depend on PCI.
 */
#ifndef P2PDMA_COPY_H
#define P2PDMA_COPY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct transfer - a copy from one file to another
 * @from: file descriptor of the source, opened with O_DIRECT
 * @to: file descriptor of the destination, opened with O_DIRECT
 * @memory: buffer of @depth blocks for the data in flight
 * @block: size of a block in bytes
 * @depth: number of blocks in flight
 * @size: number of bytes to copy
 * @progress: called with the number of bytes done so far, or NULL
 * @stop: set by the caller to begin no further block
 * @copied: result: every byte before this offset has arrived
 * @beyond: result: number of bytes after @copied that have arrived, not in sequence
 * @error: result: errno of the first failure, or 0
 * @failed_at: result: offset of the block of the first failure
 * @failed_write: result: the first failure was a write, not a read
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
