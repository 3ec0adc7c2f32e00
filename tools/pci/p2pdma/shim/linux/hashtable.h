/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LINUX_HASHTABLE_H
#define _SHIM_LINUX_HASHTABLE_H

struct hlist_head {
	struct hlist_node *first;
};

#define DECLARE_HASHTABLE(name, bits)	struct hlist_head name[1 << (bits)]

#endif /* _SHIM_LINUX_HASHTABLE_H */
