/* SPDX-License-Identifier: GPL-2.0 */
/* What is promised inside of a pool must cover what is free, and the tree must agree with it. */
#ifndef _INSIDE_H
#define _INSIDE_H

#include <stdbool.h>

#include "../../../../drivers/pci/p2pdma-pool.h"

bool inside_check(struct p2pdma_pool *pool);

#endif /* _INSIDE_H */
