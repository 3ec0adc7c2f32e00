/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pool beside a plain model
 *
 * A stream of numbers decides the operations of a model: random numbers, or the
 * input of a fuzzer. The model checks every answer of the pool, and the rules
 * inside of the pool now and then. A wrong answer ends the program.
 */
#ifndef _MODEL_H
#define _MODEL_H

#include <stdbool.h>
#include <stdint.h>

struct model;

/* Draw a number below @limit; @limit is at least 1. */
typedef unsigned int (*model_draw_t)(void *data, unsigned int limit);

struct model *model_create(model_draw_t draw, void *data,
			   unsigned int max_pages);
void model_step(struct model *model);
void model_destroy(struct model *model);

#endif /* _MODEL_H */
