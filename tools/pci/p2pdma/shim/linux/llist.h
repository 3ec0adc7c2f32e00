/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SHIM_LINUX_LLIST_H
#define _SHIM_LINUX_LLIST_H

struct llist_head {
	struct llist_node *first;
};

#endif /* _SHIM_LINUX_LLIST_H */
