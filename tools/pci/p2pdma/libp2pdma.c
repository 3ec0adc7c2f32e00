// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: the functions of libp2pdma.h
 *
 * A function enters the context of the machine, so that the machine owns the memory, and sets a
 * place where die() continues, see attempt(). All other files of the library may fail anywhere.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"
#include "libp2pdma.h"

#define PUBLIC	__attribute((visibility("default")))

static_assert(ANSWER_DIRECT == (int)LIBP2PDMA_DIRECT && ANSWER_HOST == (int)LIBP2PDMA_HOST &&
	      ANSWER_NONE == (int)LIBP2PDMA_NONE && ANSWER_UNKNOWN == (int)LIBP2PDMA_UNKNOWN);

/**
 * struct libp2pdma - a machine for users of the library
 * @context: owner of all memory
 * @machine: the machine
 * @opened: libp2pdma_open() has succeeded
 * @tried: libp2pdma_open() was called
 * @verdict: verdict of the last libp2pdma_route()
 * @ports: ports of the last libp2pdma_route()
 */
struct libp2pdma {
	struct context context;
	struct machine machine;
	bool opened;
	bool tried;
	struct verdict verdict;
	struct libp2pdma_port ports[MAX_PORTS];
};

/**
 * struct call - arguments and result of a function
 * @source: kind of source
 * @name: name of a file or a function, or NULL
 * @client: function that masters DMA
 * @provider: function with the memory
 * @kernel: kernel whose rules give the answer
 * @route: the answer
 * @found: a function that was found
 */
struct call {
	enum libp2pdma_source source;
	const char *name;
	struct function *client;
	struct function *provider;
	enum libp2pdma_kernel kernel;
	struct libp2pdma_route *route;
	struct function *found;
};

typedef void step(struct libp2pdma *handle, struct call *call);

/* Calls @step. Returns 0, or a negative errno if @step has called die(). */
static int attempt(struct libp2pdma *handle, step *step, struct call *call)
{
	struct context *before = context_enter(&handle->context);
	jmp_buf handler;
	int error = 0;

	handle->context.handler = &handler;
	if (setjmp(handler))
		error = handle->context.status == STATUS_USAGE ? -EINVAL : -ENODATA;
	else
		step(handle, call);
	handle->context.handler = NULL;
	context_enter(before);
	return error;
}

/* For the command: the machine behind the handle. */
struct machine *libp2pdma_machine(struct libp2pdma *handle)
{
	return &handle->machine;
}

/* For the command: the owner of all memory of the machine. */
struct context *libp2pdma_context(struct libp2pdma *handle)
{
	return &handle->context;
}

/**
 * libp2pdma_new - allocate a machine
 *
 * Return: the machine, for libp2pdma_open(); NULL without memory.
 */
PUBLIC struct libp2pdma *libp2pdma_new(void)
{
	struct libp2pdma *handle = calloc(1, sizeof(*handle));

	if (handle)
		context_init(&handle->context);
	return handle;
}

/**
 * libp2pdma_free - free a machine, with all that its functions have returned
 * @handle: the machine, or NULL
 */
PUBLIC void libp2pdma_free(struct libp2pdma *handle)
{
	struct context *before;

	if (!handle)
		return;
	before = context_enter(&handle->context);
	names_free();
	context_enter(before);
	context_free(&handle->context);
	free(handle);
}

/**
 * libp2pdma_set_cpu - say whether the processor routes between all host bridges
 * @handle: a machine that has not been opened
 * @routes: not 0 for AMD processors from family 17h on, 0 for all others
 *
 * Without the call, the answer is read from /proc/cpuinfo or derived from the devices.
 */
PUBLIC void libp2pdma_set_cpu(struct libp2pdma *handle, int routes)
{
	handle->machine.cpu = routes ? CPU_ROUTES : CPU_OTHER;
}

/**
 * libp2pdma_set_iommu - say whether an IOMMU translates DMA of clients
 * @handle: a machine that has not been opened
 * @translates: not 0 if an IOMMU translates
 *
 * Without the call, the answer is read from sysfs for each client.
 */
PUBLIC void libp2pdma_set_iommu(struct libp2pdma *handle, int translates)
{
	handle->machine.iommu = translates ? KNOWN_YES : KNOWN_NO;
	handle->machine.iommu_given = true;
}

static bool is_directory(const char *path)
{
	struct stat stat_of;

	if (stat(path, &stat_of))
		die(STATUS_USAGE, "%s: %m", path);
	return S_ISDIR(stat_of.st_mode);
}

/* Files are also read later, when the process may be in another directory. */
static const char *absolute(const char *path)
{
	char *real = realpath(path, NULL), *copy;

	if (!real)
		die(STATUS_USAGE, "%s: %m", path);
	copy = xstrdup(real);
	free(real);
	return copy;
}

/* A copy of /sys is a directory, a capture is a file. */
static void load_copy(struct machine *machine)
{
	const char *name = machine->sysfs;
	char *text;

	if (strcmp(name, "-") && is_directory(name)) {
		machine->sysfs = absolute(name);
		sysfs_load(machine);
		return;
	}
	text = read_input(name);
	if (!capture_is(text))
		die(STATUS_USAGE, "%s: neither a copy of /sys nor a capture; --lspci reads lspci",
		    name);
	capture_load(machine, name, text);
}

static void open_step(struct libp2pdma *handle, struct call *call)
{
	struct machine *machine = &handle->machine;

	if (handle->tried)
		die(STATUS_USAGE, "the machine has been opened before");
	handle->tried = true;
	if (!call->name && call->source != LIBP2PDMA_LIVE)
		die(STATUS_USAGE, "no name of a copy, a capture or a file");
	switch (call->source) {
	case LIBP2PDMA_LIVE:
		machine->live = true;
		machine->sysfs = "/sys";
		sysfs_load(machine);
		break;
	case LIBP2PDMA_SYSFS:
		machine->sysfs = xstrdup(call->name);
		load_copy(machine);
		break;
	case LIBP2PDMA_LSPCI:
		machine->dump = xstrdup(call->name);
		dump_load(machine);
		break;
	default:
		die(STATUS_USAGE, "%d is no source of a machine", call->source);
	}
	guess_machine(machine);
	stock_prepare(machine);
	verdict_prepare(machine);
	handle->opened = true;
}

/**
 * libp2pdma_open - read a machine
 * @handle: a machine that has not been opened
 * @source: where to read the machine from
 * @path: name of the file or directory, "-" for standard input; ignored for LIBP2PDMA_LIVE
 *
 * Return: 0, or a negative errno. After an error, only libp2pdma_free() makes sense.
 */
PUBLIC int libp2pdma_open(struct libp2pdma *handle, enum libp2pdma_source source, const char *path)
{
	struct call call = { .source = source, .name = path };

	return attempt(handle, open_step, &call);
}

/**
 * libp2pdma_error - explain the last error
 * @handle: the machine
 *
 * Return: a sentence, valid until the next error; or NULL if there was no error.
 */
PUBLIC const char *libp2pdma_error(const struct libp2pdma *handle)
{
	return handle->context.error;
}

/**
 * libp2pdma_odd - messages about parts of the input that could not be read
 * @handle: the machine
 * @index: number of the message, from 0
 *
 * Such a part counts as unknown.
 *
 * Return: the message, or NULL after the last message.
 */
PUBLIC const char *libp2pdma_odd(const struct libp2pdma *handle, unsigned int index)
{
	return index < handle->context.nr_odd ? handle->context.odd[index] : NULL;
}

static void require_opened(const struct libp2pdma *handle)
{
	if (!handle->opened)
		die(STATUS_USAGE, "the machine has not been opened");
}

static void find_step(struct libp2pdma *handle, struct call *call)
{
	require_opened(handle);
	call->found = resolve(&handle->machine, call->name ? call->name : "");
}

/**
 * libp2pdma_find - find a function by address or by the name of a device
 * @handle: the machine
 * @name: such as "0000:03:00.0", "03:00.0", "nvme0", "/dev/nvme0n1", "eth0", "mlx5_0"
 *
 * Return: the function, or NULL with an error.
 */
PUBLIC const struct libp2pdma_function *libp2pdma_find(struct libp2pdma *handle, const char *name)
{
	struct call call = { .name = name };

	attempt(handle, find_step, &call);
	return (const struct libp2pdma_function *)call.found;
}

static bool is_own(const struct machine *machine, const struct function *function)
{
	return function->index < machine->nr && machine->functions[function->index] == function;
}

/**
 * libp2pdma_next - list all functions of a machine, bridges included
 * @handle: the machine
 * @function: the function before, or NULL for the first
 *
 * Return: the function, or NULL after the last, and for a function of another machine. Functions
 * come in the order of addresses.
 */
PUBLIC const struct libp2pdma_function *libp2pdma_next(struct libp2pdma *handle,
						       const struct libp2pdma_function *function)
{
	const struct function *before = (const struct function *)function;
	const struct machine *machine = &handle->machine;
	unsigned int index = before ? before->index + 1 : 0;

	if (!handle->opened || index >= machine->nr || (before && !is_own(machine, before)))
		return NULL;
	return (const struct libp2pdma_function *)machine->functions[index];
}

/**
 * libp2pdma_address - address of a function
 * @function: the function
 *
 * Return: the address, such as "0000:03:00.0".
 */
PUBLIC const char *libp2pdma_address(const struct libp2pdma_function *function)
{
	return ((const struct function *)function)->bdf;
}

/**
 * libp2pdma_name - names of the devices on a function
 * @function: the function
 * @index: number of the name, from 0
 *
 * Return: the name, such as "nvme0"; NULL after the last name.
 */
PUBLIC const char *libp2pdma_name(const struct libp2pdma_function *function, unsigned int index)
{
	const struct function *real = (const struct function *)function;

	return index < real->nr_names ? real->names[index] : NULL;
}

/**
 * libp2pdma_memory - peer memory of a function
 * @function: the function
 * @memory: filled in
 *
 * Return: 0, or -ENODATA if the function offers no peer memory, or nothing is known of any.
 */
PUBLIC int libp2pdma_memory(const struct libp2pdma_function *function,
			    struct libp2pdma_memory *memory)
{
	const struct memory *real = ((const struct function *)function)->memory;

	if (!real)
		return -ENODATA;
	*memory = (struct libp2pdma_memory) {
		.size = real->size,
		.available = real->available,
		.published = real->published,
	};
	return 0;
}

static enum rules to_rules(enum libp2pdma_kernel kernel)
{
	switch (kernel) {
	case LIBP2PDMA_RUNNING:
		return RULES_DEFAULT;
	case LIBP2PDMA_POLICIES:
		return RULES_OURS;
	case LIBP2PDMA_STOCK:
		return RULES_STOCK;
	default:
		die(STATUS_USAGE, "%d is no kernel", kernel);
	}
}

/* Words of a newer kernel come from outside. */
static const char *safe_word(const char *word)
{
	char *shown = escape_text(word);
	const char *kept = keep_word(shown);

	xfree(shown);
	return kept;
}

static void fill_route(struct libp2pdma *handle, struct libp2pdma_route *route)
{
	const struct verdict *verdict = &handle->verdict;
	unsigned int i;

	for (i = 0; i < verdict->nr_ports; i++)
		handle->ports[i] = (struct libp2pdma_port) {
			.address = verdict->ports[i].function->bdf,
			.effect = safe_word(port_effect(&verdict->ports[i])),
		};
	*route = (struct libp2pdma_route) {
		.answer = (enum libp2pdma_answer)verdict->answer,
		.reason = safe_word(verdict_reason(verdict)),
		.meaning = safe_word(verdict_meaning(verdict)),
		.missing = verdict->missing,
		.parent = verdict->parent ? verdict->parent->bdf : NULL,
		.distance = verdict->distance,
		.from_kernel = verdict->kernel,
		.nr_ports = verdict->nr_ports,
		.ports = handle->ports,
	};
}

static void require_own(const struct machine *machine, const struct function *function)
{
	if (!is_own(machine, function))
		die(STATUS_USAGE, "%s is a function of another machine", function->bdf);
}

static void route_step(struct libp2pdma *handle, struct call *call)
{
	enum rules rules;

	require_opened(handle);
	if (!call->client || !call->provider)
		die(STATUS_USAGE, "a route needs a client and a provider");
	require_own(&handle->machine, call->client);
	require_own(&handle->machine, call->provider);
	rules = choose_rules(&handle->machine, to_rules(call->kernel));
	verdict_under(&handle->machine, rules, false, call->client, call->provider,
		      &handle->verdict);
	fill_route(handle, call->route);
}

/**
 * libp2pdma_route - does a client reach the memory of a provider?
 * @handle: the machine
 * @client: function that masters DMA
 * @provider: function with the memory; the memory may be any of its BARs
 * @kernel: kernel whose rules give the answer
 * @route: filled in
 *
 * The functions may be NULL after a failed libp2pdma_find(), whose error stays. Where the kernel
 * has a verdict, the verdict is the answer; else the library computes the answer with the rules of
 * the kernel.
 *
 * Return: 0, also if the answer is unknown; or a negative errno.
 */
PUBLIC int libp2pdma_route(struct libp2pdma *handle, const struct libp2pdma_function *client,
			   const struct libp2pdma_function *provider,
			   enum libp2pdma_kernel kernel, struct libp2pdma_route *route)
{
	struct call call = {
		.client = (struct function *)client,
		.provider = (struct function *)provider,
		.kernel = kernel,
		.route = route,
	};

	if ((!client || !provider) && handle->context.error)
		return -EINVAL;
	return attempt(handle, route_step, &call);
}
