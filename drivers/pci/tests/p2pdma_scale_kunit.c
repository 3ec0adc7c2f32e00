// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite p2pdma_scale: thousands of functions and dozens of providers
 *
 * Checks results that must be right at any size, and prints the cost of
 * pci_p2pmem_find() in nanoseconds. On a virtual machine with a clock of one
 * nanosecond per instruction (QEMU's -icount shift=0), the cost is a number of
 * instructions.
 */

#include <kunit/resource.h>
#include <kunit/static_stub.h>
#include <kunit/test.h>

#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "../p2pdma-private.h"
#include "mock_pci.h"
#include "p2pdma_kunit.h"

/*
 *	            host bridge (a domain with 4 switches)
 *	     ____________|________________________
 *	    |                  |                  |
 *	   RP 0               RP 1              RP 2, RP 3
 *	    |                  |
 *	   USP                USP                 ...
 *	 ___|____________
 *	|        |       |
 *	DSP 0    DSP 1   ... DSP 31
 *	|        |
 *	|        8 functions
 *	8 functions, the first may have memory
 */
#define HOSTS_MAX	2
#define SWITCHES	4
#define PORTS		32
#define FUNCTIONS	8
#define SWITCH_ROWS	(2 + PORTS * (1 + FUNCTIONS))
#define HOST_ROWS	(1 + SWITCHES * SWITCH_ROWS)
#define HOST_FUNCTIONS	(SWITCHES * PORTS * FUNCTIONS)

#define REPEATS		16

/**
 * struct machine - size of the hierarchy in a case
 * @name: description of the case
 * @hosts: number of host bridges
 * @ports: number of ports with a device in each switch
 * @providers: number of functions that publish memory, spread over the switches
 */
struct machine {
	const char *name;
	unsigned int hosts;
	unsigned int ports;
	unsigned int providers;
};

static const struct machine machines[] = {
	{ "8 providers, 1024 functions", 1, 32, 8 },
	{ "64 providers, 256 functions", 1, 8, 64 },
	{ "64 providers, 1024 functions", 1, 32, 64 },
	{ "64 providers, 2048 functions", 2, 32, 64 },
};

static void machine_desc(const struct machine *machine, char *desc)
{
	strscpy(desc, machine->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(machine, machines, machine_desc);

static unsigned int switch_row(unsigned int sw)
{
	return sw / SWITCHES * HOST_ROWS + 1 + sw % SWITCHES * SWITCH_ROWS;
}

static unsigned int function_row(unsigned int sw, unsigned int port,
				 unsigned int fn)
{
	return switch_row(sw) + 2 + port * (1 + FUNCTIONS) + 1 + fn;
}

/* Row of provider @n: spread over switches, then ports, then functions. */
static unsigned int provider_row(const struct machine *machine, unsigned int n)
{
	unsigned int switches = machine->hosts * SWITCHES;

	return function_row(n % switches, n / switches % machine->ports,
			    n / switches / machine->ports);
}

static void fill_port(struct mock_pci_row *rows, unsigned int sw,
		      unsigned int port)
{
	unsigned int fn, at = function_row(sw, port, 0) - 1;

	rows[at] = (struct mock_pci_row) {
		.kind = MOCK_PCI_DOWNSTREAM, .up = switch_row(sw) + 1,
		.devfn = PCI_DEVFN(port, 0), .port = port + 1,
		.acs = MOCK_PCI_ACS(0),
	};
	for (fn = 0; fn < FUNCTIONS; fn++)
		rows[at + 1 + fn] = (struct mock_pci_row) {
			.kind = MOCK_PCI_ENDPOINT, .up = at,
			.devfn = PCI_DEVFN(0, fn),
		};
}

static void fill_switch(struct mock_pci_row *rows, unsigned int sw,
			unsigned int ports)
{
	unsigned int port, at = switch_row(sw);

	rows[at] = (struct mock_pci_row) {
		.kind = MOCK_PCI_ROOT_PORT, .up = sw / SWITCHES * HOST_ROWS,
		.devfn = PCI_DEVFN(1 + sw % SWITCHES, 0),
	};
	rows[at + 1] = (struct mock_pci_row) {
		.kind = MOCK_PCI_UPSTREAM, .up = at
	};
	for (port = 0; port < ports; port++)
		fill_port(rows, sw, port);
}

static struct mock_pci *machine_add(struct kunit *test,
				    const struct machine *machine)
{
	unsigned int i, nr = machine->hosts * HOST_ROWS;
	struct mock_pci_row *rows =
		kunit_kcalloc(test, nr, sizeof(*rows), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, rows);
	for (i = 0; i < machine->hosts; i++)
		rows[i * HOST_ROWS] = (struct mock_pci_row) {
			.kind = MOCK_PCI_HOST, .domain = 1 + i,
		};
	for (i = 0; i < machine->hosts * SWITCHES; i++)
		fill_switch(rows, i, machine->ports);
	for (i = 0; i < machine->providers; i++)
		rows[provider_row(machine, i)].bar[0] = SZ_2M;

	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_does_not_route);
	return mock_pci_add(test, rows, nr);
}

static void provide(struct kunit *test, struct mock_pci *mock,
		    const struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < machine->providers; i++)
		p2pdma_kunit_provide(test,
				     mock_pci_dev(mock,
						  provider_row(machine, i)));
}

/* The client is the last function of a switch. */
static struct device *client_of(struct mock_pci *mock,
				const struct machine *machine, unsigned int sw)
{
	return &mock_pci_dev(mock, function_row(sw, machine->ports - 1,
						FUNCTIONS - 1))->dev;
}

/*
 * A sibling with memory is nearest to the client. Without such a sibling, all
 * providers in the client's switch are equally near and equally free, and the
 * lowest address decides.
 */
static void expect_found(struct kunit *test, struct mock_pci *mock,
			 const struct machine *machine, unsigned int sw)
{
	unsigned int here = machine->providers / (machine->hosts * SWITCHES);
	unsigned int port = here >= machine->ports ? machine->ports - 1 : 0;
	struct pci_dev *found = pci_p2pmem_find(client_of(mock, machine, sw));

	KUNIT_EXPECT_PTR_EQ_MSG(test, found,
				mock_pci_dev(mock, function_row(sw, port, 0)),
				"switch %u", sw);
	pci_dev_put(found);
}

/* Lowest cost of pci_p2pmem_find() for a client, in nanoseconds. */
static u64 find_cost(struct mock_pci *mock, const struct machine *machine)
{
	struct device *client = client_of(mock, machine, 0);
	u64 start, best = U64_MAX;
	unsigned int i;

	for (i = 0; i < REPEATS; i++) {
		start = ktime_get_ns();
		pci_dev_put(pci_p2pmem_find(client));
		best = min(best, ktime_get_ns() - start);
	}
	return best;
}

static void find_in(struct kunit *test, const struct machine *machine)
{
	struct mock_pci *mock = machine_add(test, machine);
	unsigned int sw, functions;

	provide(test, mock, machine);
	for (sw = 0; sw < machine->hosts * SWITCHES; sw++)
		expect_found(test, mock, machine, sw);
	functions = machine->hosts * SWITCHES * machine->ports * FUNCTIONS;
	kunit_info(test, "find providers=%u functions=%u ns=%llu",
		   machine->providers, functions, find_cost(mock, machine));
}

static void find_among_many(struct kunit *test)
{
	static const struct machine machine = {
		.hosts = 1, .ports = 4, .providers = 32
	};

	find_in(test, &machine);
}

static void find_among_thousands(struct kunit *test)
{
	find_in(test, test->param_value);
}

/* Longer than a line, and prime: reads end anywhere in a line or page. */
#define PIECE		997
#define TEXT_MAX	SZ_512K

/* A former version decided each line twice, with 8668 reads. */
#define READS_MAX	(8668 / 2)

static struct file *open_peers(struct kunit *test, struct pci_dev *pdev)
{
	struct file *file =
		mock_pci_sysfs_open(test, &pdev->dev, "p2pdma/peers", O_RDONLY);

	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	return file;
}

static size_t read_whole(struct kunit *test, struct file *file, char *text)
{
	loff_t pos = 0;
	ssize_t len;

	do {
		len = kernel_read(file, text + pos, TEXT_MAX - 1 - pos, &pos);
		KUNIT_ASSERT_GE(test, len, 0);
	} while (len);
	KUNIT_ASSERT_LT(test, pos, TEXT_MAX - 1);
	text[pos] = '\0';
	return pos;
}

/* Expect a line for every endpoint except @own, in the order of rows. */
static void check_lines(struct kunit *test, struct mock_pci *mock,
			const char *text, unsigned int own)
{
	unsigned int row, nr = HOSTS_MAX * HOST_ROWS;
	struct pci_dev *pdev;
	const char *name;

	for (row = 1; row < nr; row++) {
		pdev = row % HOST_ROWS ? mock_pci_dev(mock, row) : NULL;
		if (!pdev || row == own || pci_is_bridge(pdev))
			continue;
		name = pci_name(pdev);
		KUNIT_ASSERT_TRUE_MSG(test, str_has_prefix(text, name),
				      "no line about %s, or not in order",
				      name);
		text = strchr(text, '\n');
		KUNIT_ASSERT_NOT_NULL_MSG(test, text,
					  "the line about %s has no end", name);
		text++;
	}
	KUNIT_EXPECT_EQ(test, *text, '\0');
}

/* A slow reader sees the table of open(), even if functions are unplugged. */
static void check_pieces(struct kunit *test, struct mock_pci *mock,
			 struct file *file, const char *text, size_t len)
{
	char *piece = kunit_kmalloc(test, PIECE, GFP_KERNEL);
	unsigned int port = 0;
	loff_t pos = 0, start;
	ssize_t got;

	KUNIT_ASSERT_NOT_NULL(test, piece);
	while (pos < len) {
		if (pos > len / 2 && port < 4)
			mock_pci_unplug(mock, function_row(1, port++, 0) - 1);
		start = pos;
		got = kernel_read(file, piece, PIECE, &pos);
		KUNIT_ASSERT_EQ(test, got, min_t(loff_t, PIECE, len - start));
		KUNIT_ASSERT_EQ(test, memcmp(piece, text + start, got), 0);
	}
	KUNIT_EXPECT_EQ(test, kernel_read(file, piece, PIECE, &pos), 0);
}

KUNIT_DEFINE_ACTION_WRAPPER(free_text, kvfree, const void *);

static void peers_of_thousands(struct kunit *test)
{
	static const struct machine machine = {
		.hosts = HOSTS_MAX, .ports = PORTS
	};
	struct mock_pci *mock = machine_add(test, &machine);
	unsigned int own = function_row(5, 3, 2), lines = 0;
	u64 before = mock_pci_reads(mock), reads;
	struct file *file = open_peers(test, mock_pci_dev(mock, own));
	char *text = kvzalloc(TEXT_MAX, GFP_KERNEL);
	size_t len, i;

	reads = mock_pci_reads(mock) - before;
	kunit_info(test, "configuration reads: %llu", reads);
	KUNIT_EXPECT_LE(test, reads, READS_MAX);
	KUNIT_ASSERT_NOT_NULL(test, text);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, free_text, text));
	len = read_whole(test, file, text);
	for (i = 0; i < len; i++)
		lines += text[i] == '\n';
	/* The machine of the test has functions of its own. */
	KUNIT_EXPECT_GE(test, lines, HOSTS_MAX * HOST_FUNCTIONS - 1);
	check_lines(test, mock, strstr(text, "0001:"), own);
	check_pieces(test, mock, file, text, len);

	mock_pci_sysfs_close(test, file);
	file = open_peers(test, mock_pci_dev(mock, own));
	KUNIT_EXPECT_LT(test, read_whole(test, file, text), len);
}

static struct kunit_case scale_cases[] = {
	KUNIT_CASE_SLOW(find_among_many),
	KUNIT_CASE_PARAM_ATTR(find_among_thousands, machine_gen_params,
			      { .speed = KUNIT_SPEED_VERY_SLOW }),
	KUNIT_CASE_SLOW(peers_of_thousands),
	{}
};

static struct kunit_suite p2pdma_scale_suite = {
	.name = "p2pdma_scale",
	.test_cases = scale_cases,
};

kunit_test_suite(p2pdma_scale_suite);

MODULE_DESCRIPTION("KUnit: peer-to-peer DMA in machines with thousands of functions");
MODULE_LICENSE("GPL");
