/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LINUX_WORKQUEUE_H
#define _SHIM_LINUX_WORKQUEUE_H

struct work_struct;

struct delayed_work {
	void *data;
};

#endif /* _SHIM_LINUX_WORKQUEUE_H */
