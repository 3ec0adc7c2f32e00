/* SPDX-License-Identifier: GPL-2.0 */
/* Kernel macros for the route rules. */
#ifndef _SHIM_LINUX_KERNEL_H
#define _SHIM_LINUX_KERNEL_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <linux/types.h>

/* For #if only: there an undefined macro is 0. */
#define IS_ENABLED(CONFIG_OPTION)	((CONFIG_OPTION) + 0)

#define U16_MAX			((u16)~0U)
#define U32_MAX			((u32)~0U)

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define BIT(nr)			(1UL << (nr))
#define __printf(a, b)		__attribute((format(printf, a, b)))

#define min(a, b) ({			\
	__typeof__(a) _a = (a);		\
	__typeof__(b) _b = (b);		\
	_a < _b ? _a : _b; })

#define max(a, b) ({			\
	__typeof__(a) _a = (a);		\
	__typeof__(b) _b = (b);		\
	_a > _b ? _a : _b; })

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#endif /* _SHIM_LINUX_KERNEL_H */
