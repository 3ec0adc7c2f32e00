/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Buffers of peer memory behind dma-bufs
 *
 *	buffer = p2pdma_buffer_new(provider);
 *	p2pdma_buffer_grow(buffer) and p2pdma_buffer_append(buffer, run), again
 *	and again
 *	dmabuf = p2pdma_buffer_export(buffer, flags);
 */
#ifndef _PCI_P2PDMA_DMABUF_H
#define _PCI_P2PDMA_DMABUF_H

#include <linux/list.h>
#include <linux/mm.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "p2pdma-private.h"

struct dentry;
struct dma_buf;
struct dma_fence;
struct module;

/**
 * struct p2pdma_piece - contiguous memory of a buffer
 * @first: index of the first page in the buffer
 * @run: the pages
 * @region: the region of all pages
 */
struct p2pdma_piece {
	unsigned long first;
	struct p2pdma_run run;
	struct p2pdma_region *region;
};

/**
 * struct p2pdma_buffer - a dma-buf of peer memory
 * @node: entry in p2pdma_buffers
 * @dmabuf: the dma-buf
 * @dentry: the dentry of the dma-buf, which lives as long as @dmabuf
 * @provider: the provider, with a reference
 * @pieces: the memory
 * @nr_pieces: length of @pieces; 0 when the memory has been given back
 * @max_pieces: room in @pieces
 * @nr_pages: number of pages
 * @has_fences: @fences is complete
 * @fences: fences when the last mapping was taken away; reservation lock
 * @nr_fences: length of @fences
 * @put_work: drops the last reference of a walk over the list
 * @revoked: nothing may be mapped any more; reservation lock
 * @release: callback of the driver that owns the memory; NULL for memory of
 *	the pool that the buffer owns
 * @data: argument of @release
 * @owner: module of @release, with a reference until @release has returned
 * @name: name of the exporter in /proc/PID/fdinfo and in debugfs
 */
struct p2pdma_buffer {
	struct list_head node;
	struct dma_buf *dmabuf;
	struct dentry *dentry;
	struct pci_dev *provider;
	struct p2pdma_piece *pieces;
	unsigned int nr_pieces;
	unsigned int max_pieces;
	unsigned long nr_pages;
	bool has_fences;
	struct dma_fence **fences;
	unsigned int nr_fences;
	struct work_struct put_work;
	bool revoked;
	void (*release)(void *data);
	void *data;
	struct module *owner;
	char name[40];
};

struct p2pdma_buffer *p2pdma_buffer_new(struct pci_dev *provider);
int p2pdma_buffer_grow(struct p2pdma_buffer *buffer);
void p2pdma_buffer_append(struct p2pdma_buffer *buffer,
			  const struct p2pdma_run *run);
struct dma_buf *p2pdma_buffer_export(struct p2pdma_buffer *buffer,
				     unsigned int flags);
void p2pdma_buffer_free(struct p2pdma_buffer *buffer);

void p2pdma_export_routes_changed(void);
void p2pdma_export_revoke(struct p2pdma_region *region, bool report);

#endif /* _PCI_P2PDMA_DMABUF_H */
