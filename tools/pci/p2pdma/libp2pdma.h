/* SPDX-License-Identifier: LGPL-2.1 OR GPL-2.0 */
/*
 * libp2pdma: which PCI devices reach each other's memory, and why not
 *
 *	struct libp2pdma *machine = libp2pdma_new();
 *	struct libp2pdma_route route;
 *
 *	if (!machine || libp2pdma_open(machine, LIBP2PDMA_LIVE, NULL) ||
 *	    libp2pdma_route(machine, libp2pdma_find(machine, "mlx5_0"),
 *			    libp2pdma_find(machine, "nvme0"), LIBP2PDMA_RUNNING, &route))
 *		fail(machine ? libp2pdma_error(machine) : "no memory");
 *	else if (route.answer == LIBP2PDMA_DIRECT)
 *		...
 *	libp2pdma_free(machine);
 *
 * A machine is what the library read in libp2pdma_open(). Verdicts of a running kernel about a
 * client are read at the first libp2pdma_route() for the client. To see a change, open another
 * machine. Threads may use different machines at the same time, but not the same machine. No
 * function prints, or ends the process (but for lack of memory in libpci or json-c). Root is not
 * needed; without root more answers are unknown.
 *
 * Functions that return an int return 0, or a negative errno: -EINVAL if the caller asked for
 * something that does not exist, -ENODATA if the input cannot be understood, or memory lacks. Then
 * libp2pdma_error() has a sentence, but for libp2pdma_memory(). All strings are UTF-8 without
 * control characters, and are valid until libp2pdma_free(), unless told otherwise.
 */
#ifndef LIBP2PDMA_H
#define LIBP2PDMA_H

#ifdef __cplusplus
extern "C" {
#endif

struct libp2pdma;
struct libp2pdma_function;

/**
 * enum libp2pdma_source - where a machine is read from
 * @LIBP2PDMA_LIVE: this machine
 * @LIBP2PDMA_SYSFS: a copy of /sys, or a file that "p2pdma capture" wrote
 * @LIBP2PDMA_LSPCI: a file with the output of lspci, or a file that "p2pdma capture" wrote
 */
enum libp2pdma_source {
	LIBP2PDMA_LIVE,
	LIBP2PDMA_SYSFS,
	LIBP2PDMA_LSPCI,
};

/**
 * enum libp2pdma_kernel - kernel whose rules give the answers
 * @LIBP2PDMA_RUNNING: the kernel of the machine; if unknown, as @LIBP2PDMA_POLICIES
 * @LIBP2PDMA_POLICIES: Linux with p2pdma policies
 * @LIBP2PDMA_STOCK: stock Linux 6.12
 */
enum libp2pdma_kernel {
	LIBP2PDMA_RUNNING,
	LIBP2PDMA_POLICIES,
	LIBP2PDMA_STOCK,
};

/**
 * enum libp2pdma_answer - does a client reach the memory of a provider?
 * @LIBP2PDMA_DIRECT: yes, bridges between the two route
 * @LIBP2PDMA_HOST: yes, through a host bridge
 * @LIBP2PDMA_NONE: no
 * @LIBP2PDMA_UNKNOWN: unknown
 */
enum libp2pdma_answer {
	LIBP2PDMA_DIRECT,
	LIBP2PDMA_HOST,
	LIBP2PDMA_NONE,
	LIBP2PDMA_UNKNOWN,
};

/**
 * struct libp2pdma_port - a port that affects a route
 * @address: address of the port
 * @effect: what the port does, such as "redirects"
 */
struct libp2pdma_port {
	const char *address;
	const char *effect;
};

/**
 * struct libp2pdma_route - answer of libp2pdma_route()
 * @answer: does the client reach the memory?
 * @reason: reason in a word, such as "spec"; see the manual of the p2pdma command
 * @meaning: the same as a sentence
 * @missing: part of the input that is missing for an answer, as a sentence; or NULL
 * @parent: address of the shared parent; NULL for a host bridge, and if unknown
 * @distance: number of hops as pci_p2pdma_distance() counts, or -1
 * @from_kernel: 1 if the kernel of the machine gave the answer, 0 if the library computed it
 * @nr_ports: length of @ports
 * @ports: ports that affect the route, valid until the next call of libp2pdma_route()
 */
struct libp2pdma_route {
	enum libp2pdma_answer answer;
	const char *reason;
	const char *meaning;
	const char *missing;
	const char *parent;
	int distance;
	int from_kernel;
	unsigned int nr_ports;
	const struct libp2pdma_port *ports;
};

/**
 * struct libp2pdma_memory - peer memory of a function
 * @size: size in bytes
 * @available: bytes that were not allocated when the machine was read
 * @published: 1 if other drivers may use the memory
 */
struct libp2pdma_memory {
	unsigned long long size;
	unsigned long long available;
	int published;
};

struct libp2pdma *libp2pdma_new(void);
void libp2pdma_free(struct libp2pdma *machine);
void libp2pdma_set_cpu(struct libp2pdma *machine, int routes);
void libp2pdma_set_iommu(struct libp2pdma *machine, int translates);
int libp2pdma_open(struct libp2pdma *machine, enum libp2pdma_source source, const char *path);
const char *libp2pdma_error(const struct libp2pdma *machine);
const char *libp2pdma_odd(const struct libp2pdma *machine, unsigned int index);

const struct libp2pdma_function *libp2pdma_find(struct libp2pdma *machine, const char *name);
const struct libp2pdma_function *libp2pdma_next(struct libp2pdma *machine,
						const struct libp2pdma_function *function);
const char *libp2pdma_address(const struct libp2pdma_function *function);
const char *libp2pdma_name(const struct libp2pdma_function *function, unsigned int index);
int libp2pdma_memory(const struct libp2pdma_function *function, struct libp2pdma_memory *memory);

int libp2pdma_route(struct libp2pdma *machine, const struct libp2pdma_function *client,
		    const struct libp2pdma_function *provider, enum libp2pdma_kernel kernel,
		    struct libp2pdma_route *route);

#ifdef __cplusplus
}
#endif

#endif /* LIBP2PDMA_H */
