/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LINUX_MEMREMAP_H
#define _SHIM_LINUX_MEMREMAP_H

struct dev_pagemap {
	void *owner;
};

#endif /* _SHIM_LINUX_MEMREMAP_H */
