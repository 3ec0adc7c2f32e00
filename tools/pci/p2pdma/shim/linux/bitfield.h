/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LINUX_BITFIELD_H
#define _SHIM_LINUX_BITFIELD_H

#include <linux/kernel.h>

#define FIELD_GET(mask, reg)	(((reg) & (mask)) >> __builtin_ctzll(mask))

#endif /* _SHIM_LINUX_BITFIELD_H */
