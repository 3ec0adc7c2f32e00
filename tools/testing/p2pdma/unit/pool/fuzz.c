// SPDX-License-Identifier: GPL-2.0
/* The input of libFuzzer decides the operations of the model. */
#include <stddef.h>
#include <stdint.h>

#include <shim.h>

#include "model.h"

struct input {
	const uint8_t *data;
	size_t left;
};

/* A byte, or two bytes if @limit needs two; zero at the end. */
static unsigned int draw_input(void *data, unsigned int limit)
{
	struct input *input = data;
	unsigned int value = 0, bytes = limit > 256 ? 2 : 1;

	for (; bytes && input->left; bytes--, input->left--)
		value = value << 8 | *input->data++;
	return value % limit;
}

/* The Makefile defines the name as libFuzzer expects. */
int fuzz_one_input(const uint8_t *data, size_t size);

int fuzz_one_input(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct model *model = model_create(draw_input, &input, 700);

	while (input.left)
		model_step(model);
	model_destroy(model);
	return 0;
}
