/* SPDX-License-Identifier: GPL-2.0 */
/* The pool under threads that stand for CPUs. Each returns true if all went well. */
#ifndef _STRESS_H
#define _STRESS_H

#include <stdbool.h>
#include <stdint.h>

/* How long and how many; interrupts are off where signals would be in the way of a checker. */
struct stress {
	unsigned int threads;
	double seconds;
	uint64_t seed;
	bool interrupts;
};

bool stress_exclusive(const struct stress *stress);
bool stress_capacity(const struct stress *stress);
bool stress_double_free(const struct stress *stress);
bool stress_close(const struct stress *stress);

#endif /* _STRESS_H */
