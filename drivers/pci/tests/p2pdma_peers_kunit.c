// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite p2pdma_peers: lines of p2pdma/peers
 */

#include <kunit/resource.h>
#include <kunit/static_stub.h>
#include <kunit/test.h>

#include <linux/completion.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/wait.h>

#include "../p2pdma-private.h"
#include "mock_pci.h"
#include "p2pdma_kunit.h"

/*
 *	host bridge, domain 1			host bridge, domain 0x10001
 *	HB at 00.0, RP at 01.0			HB2 at 00.0, RP2 at 01.0
 *	      |					      |
 *	     USP				     FAR
 *	  ____|____
 *	 |         |
 *	DSP0      DSP1
 *	 |         |
 *	EP0       EP1
 *
 * The name of RP2, 10001:00:01.0, contains the name of RP, 0001:00:01.0.
 */
enum {
	HOST, HB, RP, USP, DSP0, DSP1, EP0, EP1, HOST2, HB2, RP2, FAR, NR
};

static const struct mock_pci_row peer_rows[NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[HB] = { .kind = MOCK_PCI_DEVICE_CONV, .vendor = PCI_VENDOR_ID_INTEL,
		 .device = 0x2030, .class = PCI_CLASS_BRIDGE_HOST << 8 },
	[RP] = { .kind = MOCK_PCI_ROOT_PORT, .devfn = PCI_DEVFN(1, 0),
		 .acs = MOCK_PCI_ACS(0) },
	[USP] = { .kind = MOCK_PCI_UPSTREAM, .up = RP },
	[DSP0] = { .kind = MOCK_PCI_DOWNSTREAM, .up = USP, .port = 1,
		   .acs = MOCK_PCI_ACS(0) },
	[DSP1] = { .kind = MOCK_PCI_DOWNSTREAM, .up = USP,
		   .devfn = PCI_DEVFN(1, 0), .port = 2,
		   .acs = MOCK_PCI_ACS(0) },
	[EP0] = { .kind = MOCK_PCI_ENDPOINT, .up = DSP0 },
	[EP1] = { .kind = MOCK_PCI_ENDPOINT, .up = DSP1 },
	[HOST2] = { .kind = MOCK_PCI_HOST, .domain = 0x10001 },
	[HB2] = { .kind = MOCK_PCI_DEVICE_CONV, .up = HOST2,
		  .class = PCI_CLASS_BRIDGE_HOST << 8 },
	[RP2] = { .kind = MOCK_PCI_ROOT_PORT, .up = HOST2,
		  .devfn = PCI_DEVFN(1, 0) },
	[FAR] = { .kind = MOCK_PCI_ENDPOINT, .up = RP2 },
};

static const struct mock_pci_acs acs_rr = MOCK_PCI_ACS(PCI_ACS_RR);
static const struct mock_pci_acs acs_uf = MOCK_PCI_ACS(PCI_ACS_UF);

static bool translated(struct pci_dev *client)
{
	return true;
}

static bool not_translated(struct pci_dev *client)
{
	return false;
}

static struct mock_pci *peers_add(struct kunit *test)
{
	kunit_activate_static_stub(test, p2pdma_cpu_routes,
				   p2pdma_kunit_cpu_does_not_route);
	kunit_activate_static_stub(test, p2pdma_client_translated,
				   not_translated);
	return mock_pci_add(test, peer_rows, NR);
}

/* Returns the line of @client about @provider, without the provider's name. */
static const char *line_of(struct kunit *test, struct mock_pci *mock,
			   unsigned int client, unsigned int provider)
{
	char *text = kunit_kzalloc(test, SZ_16K, GFP_KERNEL), *line;
	const char *name = pci_name(mock_pci_dev(mock, provider));

	KUNIT_ASSERT_NOT_NULL(test, text);
	KUNIT_ASSERT_GT(test,
			mock_pci_sysfs_read(test,
					    &mock_pci_dev(mock, client)->dev,
					    "p2pdma/peers", text, SZ_16K),
			0);
	while ((line = strsep(&text, "\n")))
		if (!strncmp(line, name, strlen(name)) &&
		    line[strlen(name)] == ' ')
			return line + strlen(name) + 1;
	KUNIT_FAIL_AND_ABORT(test, "no line about %s", name);
	return NULL;
}

/* The line names every port with an effect. */
static void ports_with_effects(struct kunit *test)
{
	struct mock_pci *mock = peers_add(test);

	KUNIT_EXPECT_STREQ(test, line_of(test, mock, EP0, EP1),
			   "direct 4 0001:01:00.0 spec");
	mock_pci_set_acs(mock, DSP0, &acs_rr);
	KUNIT_EXPECT_STREQ(test, line_of(test, mock, EP0, EP1),
			   "none 4 0001:01:00.0 no-upstream-forwarding 0001:02:00.0=redirects 0001:00:01.0=no-forwarding");
	mock_pci_set_acs(mock, RP, &acs_uf);
	KUNIT_EXPECT_STREQ(test, line_of(test, mock, EP0, EP1),
			   "host-bridge 4 0001:01:00.0 listed 0001:02:00.0=redirects");
	mock_pci_set_unreadable(mock, DSP1, true);
	KUNIT_EXPECT_STREQ(test, line_of(test, mock, EP0, EP1),
			   "none 4 0001:01:00.0 unreadable 0001:02:00.0=redirects 0001:02:01.0=unreadable");
}

/* The line names an IOMMU that translates. */
static void iommu_is_named(struct kunit *test)
{
	struct mock_pci *mock = peers_add(test);

	kunit_activate_static_stub(test, p2pdma_client_translated, translated);
	KUNIT_EXPECT_STREQ(test, line_of(test, mock, EP0, EP1),
			   "direct 4 0001:01:00.0 spec");
	mock_pci_set_acs(mock, DSP0, &acs_rr);
	KUNIT_EXPECT_STREQ(test, line_of(test, mock, EP0, EP1),
			   "host-bridge 4 0001:01:00.0 listed iommu 0001:02:00.0=redirects");
}

static void deny(struct kunit *test, struct mock_pci *mock, unsigned int row)
{
	KUNIT_ASSERT_EQ(test,
			mock_pci_sysfs_write(test,
					     &mock_pci_dev(mock, row)->dev,
					     "p2pdma/policy", "deny"), 4);
}

/* A port is listed even if another name contains the name of the port. */
static void ports_are_whole_words(struct kunit *test)
{
	struct mock_pci *mock = peers_add(test);

	deny(test, mock, RP);
	deny(test, mock, RP2);
	KUNIT_EXPECT_STREQ(test, line_of(test, mock, FAR, EP0),
			   "none 6 pci10001:00,pci0001:00 policy 10001:00:01.0=denied 0001:00:01.0=denied");
	deny(test, mock, DSP0);
	mock_pci_set_unreadable(mock, RP, true);
	KUNIT_EXPECT_STREQ(test, line_of(test, mock, EP0, FAR),
			   "none 6 pci0001:00,pci10001:00 unreadable 0001:00:01.0=unreadable 0001:00:01.0=denied 0001:02:00.0=denied 10001:00:01.0=denied");
}

/* A port in D3cold does not answer, and the line gives no verdict. */
static void sleepers_are_unknown(struct kunit *test)
{
	struct mock_pci *mock = peers_add(test);
	struct pci_dev *port = mock_pci_dev(mock, DSP1);

	mock_pci_set_unreadable(mock, DSP1, true);
	port->current_state = PCI_D3cold;
	KUNIT_EXPECT_STREQ(test, line_of(test, mock, EP0, EP1),
			   "unknown - - asleep");
	KUNIT_EXPECT_STREQ(test, line_of(test, mock, EP1, EP0),
			   "unknown - - asleep");
	port->current_state = PCI_D0;
	mock_pci_set_unreadable(mock, DSP1, false);
	KUNIT_EXPECT_STREQ(test, line_of(test, mock, EP0, EP1),
			   "direct 4 0001:01:00.0 spec");
}

#define ROUNDS	16

/**
 * struct reader - thread that reads p2pdma/peers of a function all the time
 * @mnt: sysfs
 * @path: path of the file in sysfs
 * @stop: tells the thread to end
 * @done: completed at the end of the thread
 * @progress: wait queue for changes of @rounds
 * @rounds: number of tables read so far
 */
struct reader {
	struct vfsmount *mnt;
	const char *path;
	bool stop;
	struct completion done;
	wait_queue_head_t progress;
	atomic_t rounds;
};

static int reader_thread(void *data)
{
	struct reader *reader = data;
	struct file *file;

	while (!READ_ONCE(reader->stop)) {
		file = mock_pci_sysfs_reopen(reader->mnt, reader->path);
		if (!IS_ERR(file))
			__fput_sync(file);
		atomic_inc(&reader->rounds);
		wake_up(&reader->progress);
		cond_resched();
	}
	complete(&reader->done);
	return 0;
}

static void stop_reader(void *data)
{
	struct reader *reader = data;

	WRITE_ONCE(reader->stop, true);
	wait_for_completion(&reader->done);
}

static void wait_for_reader(struct kunit *test, struct reader *reader)
{
	int until = atomic_read(&reader->rounds) + 2;

	KUNIT_ASSERT_GT(test, wait_event_timeout(reader->progress,
						 atomic_read(&reader->rounds) -
						 until >= 0, 60 * HZ), 0);
}

/*
 * During reads, hierarchies come and go, together with the means to read
 * configuration space. KASAN checks for uses after free.
 */
static void hosts_go_while_somebody_reads(struct kunit *test)
{
	struct mock_pci_row *rows = mock_pci_copy(test, peer_rows, NR);
	struct reader *reader = kunit_kzalloc(test, sizeof(*reader),
					      GFP_KERNEL);
	struct mock_pci *mock = peers_add(test), *guest;
	struct task_struct *task;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, reader);
	reader->mnt = mock_pci_sysfs_mount(test);
	reader->path = mock_pci_sysfs_path(test, &mock_pci_dev(mock, EP0)->dev,
					   "p2pdma/peers");
	init_completion(&reader->done);
	init_waitqueue_head(&reader->progress);
	task = kthread_run(reader_thread, reader, "p2pdma-reader");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, stop_reader,
							   reader));
	rows[HOST].domain = 2;
	rows[HOST2].domain = 0x10002;
	for (i = 0; i < ROUNDS; i++) {
		guest = mock_pci_add(test, rows, NR);
		wait_for_reader(test, reader);
		mock_pci_remove(guest);
	}
	kunit_release_action(test, stop_reader, reader);
}

static struct kunit_case peers_cases[] = {
	KUNIT_CASE(ports_with_effects),
	KUNIT_CASE(iommu_is_named),
	KUNIT_CASE(ports_are_whole_words),
	KUNIT_CASE(sleepers_are_unknown),
	KUNIT_CASE(hosts_go_while_somebody_reads),
	{}
};

static struct kunit_suite p2pdma_peers_suite = {
	.name = "p2pdma_peers",
	.test_cases = peers_cases,
};

kunit_test_suite(p2pdma_peers_suite);

MODULE_DESCRIPTION("KUnit: lines of p2pdma/peers");
MODULE_LICENSE("GPL");
