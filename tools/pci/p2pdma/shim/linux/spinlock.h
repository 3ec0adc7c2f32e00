/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LINUX_SPINLOCK_H
#define _SHIM_LINUX_SPINLOCK_H

#define spinlock_t	struct shim_spinlock

struct shim_spinlock {
	int locked;
};

#endif /* _SHIM_LINUX_SPINLOCK_H */
