// SPDX-License-Identifier: GPL-2.0
/*
 * A program that uses libp2pdma, for library.py
 *
 *	library routes SOURCE PATH...	all routes of machines
 *	library threads SOURCE PATH...	the same, with a thread for each machine
 *	library errors FILE...		errors, with files that are no machines
 *
 * SOURCE is "live", "sysfs" or "lspci". A route is a line: client, provider, answer, reason,
 * distance, parent, and ports with effects. A machine ends with an empty line.
 */
#include <errno.h>
#include <libp2pdma.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char * const answers[] = { "direct", "host-bridge", "none", "unknown" };

struct work {
	pthread_t thread;
	enum libp2pdma_source source;
	const char *path;
	char *text;
	size_t size;
};

static void print_route(FILE *out, struct libp2pdma *machine,
			const struct libp2pdma_function *client,
			const struct libp2pdma_function *provider)
{
	struct libp2pdma_route route;
	unsigned int i;

	if (libp2pdma_route(machine, client, provider, LIBP2PDMA_RUNNING, &route)) {
		fprintf(out, "error %s\n", libp2pdma_error(machine));
		return;
	}
	fprintf(out, "%s %s %s %s %d %s", libp2pdma_address(client), libp2pdma_address(provider),
		answers[route.answer], route.reason, route.distance,
		route.parent ? route.parent : "-");
	for (i = 0; i < route.nr_ports; i++)
		fprintf(out, " %s=%s", route.ports[i].address, route.ports[i].effect);
	fputc('\n', out);
	if (!*route.meaning || (route.missing && strcmp(route.meaning, route.missing)))
		abort();
}

static void print_routes(FILE *out, struct libp2pdma *machine)
{
	const struct libp2pdma_function *client = NULL, *provider;

	while ((client = libp2pdma_next(machine, client))) {
		if (libp2pdma_find(machine, libp2pdma_address(client)) != client)
			abort();
		provider = NULL;
		while ((provider = libp2pdma_next(machine, provider)))
			print_route(out, machine, client, provider);
	}
}

static void *look(void *argument)
{
	struct work *work = argument;
	struct libp2pdma *machine = libp2pdma_new();
	FILE *out = open_memstream(&work->text, &work->size);

	if (libp2pdma_open(machine, work->source, work->path))
		fprintf(out, "error %s\n", libp2pdma_error(machine));
	else
		print_routes(out, machine);
	libp2pdma_free(machine);
	fclose(out);
	return NULL;
}

static enum libp2pdma_source parse_source(const char *word)
{
	return !strcmp(word, "live") ? LIBP2PDMA_LIVE :
	       !strcmp(word, "sysfs") ? LIBP2PDMA_SYSFS : LIBP2PDMA_LSPCI;
}

static void routes(enum libp2pdma_source source, int nr, char **paths, int threads)
{
	struct work *works = calloc(nr, sizeof(*works));
	int i;

	for (i = 0; i < nr; i++) {
		works[i].source = source;
		works[i].path = paths[i];
		if (!threads)
			look(&works[i]);
		else if (pthread_create(&works[i].thread, NULL, look, &works[i]))
			abort();
	}
	for (i = 0; i < nr; i++) {
		if (threads)
			pthread_join(works[i].thread, NULL);
		printf("%s\n", works[i].text);
		free(works[i].text);
	}
	free(works);
}

/* Each error has a number and a sentence, and the machine can be freed. */
static void fail(struct libp2pdma *machine, const char *what, int error)
{
	printf("%s: %s: %s\n", what, error == -EINVAL ? "EINVAL" :
	       error == -ENODATA ? "ENODATA" : error ? "other" : "0",
	       libp2pdma_error(machine) ? libp2pdma_error(machine) : "no error");
}

static void misuse(void)
{
	struct libp2pdma *machine = libp2pdma_new();
	struct libp2pdma_route route;
	const struct libp2pdma_function *none;

	none = libp2pdma_find(machine, "0000:00:00.0");
	fail(machine, "find before open", none ? 0 : -EINVAL);
	if (libp2pdma_next(machine, NULL) || libp2pdma_odd(machine, 0))
		abort();
	fail(machine, "route of nothing",
	     libp2pdma_route(machine, none, none, LIBP2PDMA_RUNNING, &route));
	libp2pdma_free(machine);
	machine = libp2pdma_new();
	fail(machine, "no path", libp2pdma_open(machine, LIBP2PDMA_LSPCI, NULL));
	fail(machine, "twice", libp2pdma_open(machine, LIBP2PDMA_LIVE, NULL));
	libp2pdma_free(machine);
	machine = libp2pdma_new();
	fail(machine, "source 7", libp2pdma_open(machine, (enum libp2pdma_source)7, "/"));
	libp2pdma_free(machine);
	libp2pdma_free(NULL);
}

static void questions(const char *path)
{
	struct libp2pdma *machine = libp2pdma_new(), *other;
	const struct libp2pdma_function *first;
	struct libp2pdma_memory memory;
	struct libp2pdma_route route;

	libp2pdma_set_cpu(machine, 1);
	libp2pdma_set_iommu(machine, 0);
	fail(machine, "good", libp2pdma_open(machine, LIBP2PDMA_LSPCI, path));
	first = libp2pdma_next(machine, NULL);
	fail(machine, "odd name", libp2pdma_find(machine, "no\033such") ? 0 : -EINVAL);
	fail(machine, "no name", libp2pdma_find(machine, NULL) ? 0 : -EINVAL);
	fail(machine, "memory", libp2pdma_memory(first, &memory));
	fail(machine, "kernel 9", libp2pdma_route(machine, first, first,
						  (enum libp2pdma_kernel)9, &route));
	fail(machine, "after an error", libp2pdma_route(machine, first, first, LIBP2PDMA_STOCK,
							&route));
	other = libp2pdma_new();
	if (libp2pdma_open(other, LIBP2PDMA_LSPCI, path))
		abort();
	fail(other, "next of another machine", !!libp2pdma_next(other, first));
	fail(other, "route of nothing, without an error",
	     libp2pdma_route(other, NULL, first, LIBP2PDMA_STOCK, &route));
	fail(other, "another machine", libp2pdma_route(other, libp2pdma_next(other, NULL), first,
						       LIBP2PDMA_STOCK, &route));
	libp2pdma_free(other);
	libp2pdma_free(machine);
}

static void errors(int nr, char **paths)
{
	struct libp2pdma *machine;
	int i, source;

	misuse();
	questions(paths[0]);
	for (i = 1; i < nr; i++)
		for (source = LIBP2PDMA_SYSFS; source <= LIBP2PDMA_LSPCI; source++) {
			machine = libp2pdma_new();
			fail(machine, "open", libp2pdma_open(machine, source, paths[i]));
			libp2pdma_free(machine);
		}
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "errors"))
		errors(argc - 2, argv + 2);
	else if (argc > 3)
		routes(parse_source(argv[2]), argc - 3, argv + 3, !strcmp(argv[1], "threads"));
	else
		return 2;
	return 0;
}
