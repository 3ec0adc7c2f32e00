// SPDX-License-Identifier: GPL-2.0
/*
 * Files of the test RNIC in debugfs, below p2pdma_test_rnic/<function>:
 *
 *   fail_wr		the n-th work request from now on fails; 0 means none (rw)
 *   stats		counters, a name and a number on each line (ro)
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "rnic.h"

static void rnic_show_bytes(struct seq_file *file, struct engine *engine)
{
	if (!engine->sees_bus) {
		seq_puts(file, "mastered_in_ram unknown\nmastered_in_peers unknown\n");
		return;
	}
	seq_printf(file, "mastered_in_ram %llu\n", atomic64_read(&engine->ram_bytes));
	seq_printf(file, "mastered_in_peers %llu\n", atomic64_read(&engine->peer_bytes));
}

static int stats_show(struct seq_file *file, void *unused)
{
	struct rnic *rnic = file->private;
	struct rnic_counters *counters = &rnic->counters;

	seq_printf(file, "requests %llu\n", atomic64_read(&counters->requests));
	seq_printf(file, "sends %llu\n", atomic64_read(&counters->sends));
	seq_printf(file, "writes %llu\n", atomic64_read(&counters->writes));
	seq_printf(file, "reads %llu\n", atomic64_read(&counters->reads));
	seq_printf(file, "bytes %llu\n", atomic64_read(&counters->bytes));
	seq_printf(file, "registrations %llu\n", atomic64_read(&counters->registrations));
	seq_printf(file, "invalidations %llu\n", atomic64_read(&counters->invalidations));
	seq_printf(file, "flushed %llu\n", atomic64_read(&counters->flushed));
	seq_printf(file, "failed %llu\n", atomic64_read(&counters->failed));
	seq_printf(file, "engine_commands %llu\n", atomic64_read(&rnic->engine->commands));
	rnic_show_bytes(file, rnic->engine);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

/**
 * rnic_debugfs_init() - create the files
 * @rnic: the device
 */
void rnic_debugfs_init(struct rnic *rnic)
{
	struct dentry *top = debugfs_create_dir(RNIC_NAME, NULL);

	rnic->debugfs = top;
	top = debugfs_create_dir(pci_name(rnic->pdev), top);
	debugfs_create_atomic_t("fail_wr", 0600, top, &rnic->fail_wr);
	debugfs_create_file("stats", 0400, top, rnic, &stats_fops);
}

/**
 * rnic_debugfs_exit() - remove the files
 * @rnic: the device
 */
void rnic_debugfs_exit(struct rnic *rnic)
{
	debugfs_remove(rnic->debugfs);
}
