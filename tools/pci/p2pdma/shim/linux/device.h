/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LINUX_DEVICE_H
#define _SHIM_LINUX_DEVICE_H

#include <linux/types.h>

/**
 * struct device - what a policy is asked for with
 * @driver_data: for the caller; the rules do not look at it
 */
struct device {
	void *driver_data;
};

#endif /* _SHIM_LINUX_DEVICE_H */
