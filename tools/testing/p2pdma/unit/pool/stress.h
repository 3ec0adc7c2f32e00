/* SPDX-License-Identifier: GPL-2.0 */
/* The pool under threads. Each function returns true for a pass. */
#ifndef _STRESS_H
#define _STRESS_H

#include <stdbool.h>
#include <stdint.h>

struct stress {
	unsigned int threads;
	double seconds;
	uint64_t seed;
};

bool stress_exclusive(const struct stress *stress);
bool stress_capacity(const struct stress *stress);
bool stress_capacity_closing(const struct stress *stress);
bool stress_double_free(const struct stress *stress);
bool stress_close(const struct stress *stress);
bool stress_last_frees(const struct stress *stress);

#endif /* _STRESS_H */
