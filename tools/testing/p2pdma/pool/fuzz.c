// SPDX-License-Identifier: GPL-2.0
/* What libFuzzer comes up with decides what the model does. */
#include <stddef.h>
#include <stdint.h>

#include <shim.h>

#include "model.h"

struct input {
	const uint8_t *data;
	size_t left;
};

/* One byte, or two if one cannot tell all the numbers; zero at the end. */
static unsigned int draw_input(void *data, unsigned int limit)
{
	struct input *input = data;
	unsigned int value = 0, bytes = limit > 256 ? 2 : 1;

	for (; bytes && input->left; bytes--, input->left--)
		value = value << 8 | *input->data++;
	return value % limit;
}

/* The Makefile gives it the name that the library looks for. */
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
