/* SPDX-License-Identifier: GPL-2.0 */
/* Kernel types for integers and lists. */
#ifndef _SHIM_LINUX_TYPES_H
#define _SHIM_LINUX_TYPES_H

#include_next <linux/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;
typedef u64 resource_size_t;

#define atomic_long_t	struct shim_atomic
#define atomic64_t	struct shim_atomic

struct shim_atomic {
	s64 counter;
};

struct list_head {
	struct list_head *next, *prev;
};

#endif /* _SHIM_LINUX_TYPES_H */
