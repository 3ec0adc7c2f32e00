/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LINUX_DEVICE_H
#define _SHIM_LINUX_DEVICE_H

#include <linux/types.h>

/**
 * struct device - identity of a bridge for p2pdma_policy()
 * @driver_data: for the caller; the rules do not use the pointer
 */
struct device {
	void *driver_data;
};

#endif /* _SHIM_LINUX_DEVICE_H */
