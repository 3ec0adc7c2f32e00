/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pool side by side with a naive model of it
 *
 * Whoever drives a model decides what it does with a stream of numbers: random ones, or the bytes
 * that a fuzzer comes up with. The model checks what the pool answers, and now and then the inside
 * of the pool. It ends the program when something is wrong.
 */
#ifndef _MODEL_H
#define _MODEL_H

#include <stdbool.h>
#include <stdint.h>

struct model;

/* Returns a number below @limit, which is at least 1. */
typedef unsigned int (*model_draw_t)(void *data, unsigned int limit);

struct model *model_create(model_draw_t draw, void *data, unsigned int max_pages);
void model_step(struct model *model);
void model_destroy(struct model *model);

#endif /* _MODEL_H */
