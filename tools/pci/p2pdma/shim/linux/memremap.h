/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LINUX_MEMREMAP_H
#define _SHIM_LINUX_MEMREMAP_H

/* Nobody here asks how large a page is, but p2pdma.h has to compile. */
#define PAGE_SIZE	4096UL

struct dev_pagemap {
	void *owner;
	unsigned long vmemmap_shift;
};

#endif /* _SHIM_LINUX_MEMREMAP_H */
