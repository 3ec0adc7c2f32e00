// SPDX-License-Identifier: GPL-2.0
/*
 * A loopback RNIC for tests: module, parameters, binding to a function.
 *
 * README.rst describes features and limits. The driver overwrites the namespace of the controller,
 * so the driver binds only to a function that was assigned with driver_override.
 */
#define dev_fmt(fmt) "p2pdma_test_rnic: " fmt
#define pr_fmt(fmt) "p2pdma_test_rnic: " fmt

#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/wait_bit.h>
#include <net/addrconf.h>

#include "rnic.h"

/* Time for consumers to destroy their queue pairs, before the RDMA device is unregistered. */
#define RNIC_PATIENCE	(10 * HZ)

/* Module parameters. With a value out of range, the module does not load. */

struct rnic_range {
	unsigned int min;
	unsigned int max;
	unsigned int value;
};

static struct rnic_range slots = { .min = 1, .max = ENGINE_MAX_SLOTS, .value = 8 };
static struct rnic_range timeout_ms = { .min = 100, .max = 60000, .value = 10000 };
static struct rnic_range fail_wr = { .max = INT_MAX };

static int rnic_param_set(const char *text, const struct kernel_param *kp)
{
	struct rnic_range *range = kp->arg;
	unsigned int value;

	if (kstrtouint(text, 0, &value) || value < range->min || value > range->max) {
		pr_err("%s must be a number from %u to %u, not '%s'\n", kp->name, range->min,
		       range->max, text);
		return -EINVAL;
	}
	range->value = value;
	return 0;
}

static int rnic_param_get(char *page, const struct kernel_param *kp)
{
	struct rnic_range *range = kp->arg;

	return sysfs_emit(page, "%u\n", range->value);
}

static const struct kernel_param_ops rnic_param_ops = {
	.set = rnic_param_set,
	.get = rnic_param_get,
};

module_param_cb(slots, &rnic_param_ops, &slots, 0444);
MODULE_PARM_DESC(slots, "copies in flight (1 to 32, default 8)");
module_param_cb(timeout_ms, &rnic_param_ops, &timeout_ms, 0444);
MODULE_PARM_DESC(timeout_ms, "how long a command of the engine may take (default 10000)");
module_param_cb(fail_wr, &rnic_param_ops, &fail_wr, 0444);
MODULE_PARM_DESC(fail_wr, "the n-th work request fails (default 0: none does)");

static int override_sgls = -1;
module_param(override_sgls, int, 0444);
MODULE_PARM_DESC(override_sgls, "what to take for the controller's SGLS field, to try refusal");

/* One instance: with two instances, consumers would pick an instance at random. */
static DEFINE_MUTEX(rnic_owner_mutex);
static struct pci_dev *rnic_owner;

static int rnic_claim(struct pci_dev *pdev)
{
	guard(mutex)(&rnic_owner_mutex);
	if (rnic_owner)
		return dev_err_probe(&pdev->dev, -EBUSY, "bound to %s already, and only to one\n",
				     pci_name(rnic_owner));
	rnic_owner = pdev;
	return 0;
}

static void rnic_disclaim(void)
{
	guard(mutex)(&rnic_owner_mutex);
	rnic_owner = NULL;
}

static int rnic_check_function(struct pci_dev *pdev, const struct pci_device_id *id)
{
	/* The PCI core passes PCI_ANY_ID for driver_override, and real numbers for new_id. */
	if (id->vendor != PCI_ANY_ID)
		return dev_err_probe(&pdev->dev, -EPERM,
				     "takes only what was given to it by driver_override\n");
	if (pdev->class != PCI_CLASS_STORAGE_EXPRESS)
		return dev_err_probe(&pdev->dev, -ENODEV,
				     "class %06x is not that of an NVMe controller\n", pdev->class);
	return 0;
}

static void rnic_init(struct rnic *rnic, struct pci_dev *pdev, struct engine *engine)
{
	rnic->pdev = pdev;
	rnic->engine = engine;
	xa_init_flags(&rnic->qps, XA_FLAGS_ALLOC1);
	xa_init_flags(&rnic->mrs, XA_FLAGS_ALLOC1);
	spin_lock_init(&rnic->mr_lock);
	spin_lock_init(&rnic->conn_lock);
	INIT_LIST_HEAD(&rnic->conns);
	INIT_LIST_HEAD(&rnic->listeners);
	INIT_DELAYED_WORK(&rnic->conn_expiry, rnic_conn_expire);
	atomic_set(&rnic->fail_wr, fail_wr.value);
}

static int rnic_register(struct rnic *rnic)
{
	struct ib_device *ib = &rnic->ib;
	int ret;

	ib->node_type = RDMA_NODE_RNIC;
	ib->phys_port_cnt = 1;
	ib->num_comp_vectors = num_online_cpus();
	ib->local_dma_lkey = RNIC_LOCAL_DMA_LKEY;
	/* Routes to peer memory start at the parent, so the parent is the function with the DMA. */
	ib->dev.parent = &rnic->pdev->dev;
	addrconf_addr_eui48((u8 *)&ib->node_guid, rnic->netdev->dev_addr);
	strscpy(ib->iw_ifname, rnic->netdev->name);
	ib_set_device_ops(ib, &rnic_verbs_ops);
	ib_set_device_ops(ib, &rnic_mr_ops);
	ib_set_device_ops(ib, &rnic_qp_ops);
	ib_set_device_ops(ib, &rnic_cm_ops);
	ret = ib_device_set_netdev(ib, rnic->netdev, RNIC_PORT);
	if (ret)
		return ret;
	return ib_register_device(ib, "p2pdma_rnic%d", &rnic->pdev->dev);
}

/* The RDMA core frees the device with the last reference. */
static void rnic_free(struct rnic *rnic)
{
	xa_destroy(&rnic->qps);
	xa_destroy(&rnic->mrs);
	ib_dealloc_device(&rnic->ib);
}

static int rnic_create(struct pci_dev *pdev, struct engine *engine)
{
	struct rnic *rnic;
	int ret;

	rnic = ib_alloc_device(rnic, ib);
	if (!rnic)
		return -ENOMEM;
	rnic_init(rnic, pdev, engine);
	rnic->wq = alloc_workqueue(RNIC_NAME, WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!rnic->wq) {
		ret = -ENOMEM;
		goto err_free;
	}
	rnic->netdev = rnic_netdev_create(&pdev->dev);
	if (IS_ERR(rnic->netdev)) {
		ret = PTR_ERR(rnic->netdev);
		goto err_wq;
	}
	/* Consumers use the device as soon as it is registered, so registration comes last. */
	rnic_debugfs_init(rnic);
	pci_set_drvdata(pdev, rnic);
	ret = rnic_register(rnic);
	if (ret)
		goto err_netdev;
	return 0;

err_netdev:
	rnic_debugfs_exit(rnic);
	/* The RDMA device holds a reference on the interface. */
	ib_device_set_netdev(&rnic->ib, NULL, RNIC_PORT);
	rnic_netdev_destroy(rnic->netdev);
err_wq:
	destroy_workqueue(rnic->wq);
err_free:
	rnic_free(rnic);
	return ret;
}

static void rnic_announce(struct pci_dev *pdev)
{
	struct rnic *rnic = pci_get_drvdata(pdev);
	struct engine *engine = rnic->engine;

	dev_info(&pdev->dev, "%s with %s is a loopback RNIC for tests, not for use\n",
		 dev_name(&rnic->ib.dev), rnic->netdev->name);
	dev_info(&pdev->dev, "%u slots of %u KiB overwrite the start of namespace %u\n",
		 engine->nr_slots, engine->slot_bytes / SZ_1K, engine->nsid);
}

static int rnic_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct engine *engine;
	int ret;

	ret = rnic_check_function(pdev, id);
	if (ret)
		return ret;
	ret = rnic_claim(pdev);
	if (ret)
		return ret;
	engine = engine_start(pdev, slots.value, timeout_ms.value, override_sgls);
	if (IS_ERR(engine)) {
		ret = PTR_ERR(engine);
		goto err_disclaim;
	}
	ret = rnic_create(pdev, engine);
	if (ret) {
		dev_err_probe(&pdev->dev, ret, "cannot become an RDMA device\n");
		goto err_engine;
	}
	rnic_announce(pdev);
	return 0;

err_engine:
	engine_stop(engine);
err_disclaim:
	rnic_disclaim();
	return ret;
}

/*
 * The RDMA core removes clients in the reverse order of registration. In a kernel with built-in
 * NVMe drivers, the connection manager is removed before the NVMe drivers. The connection manager
 * then waits for cm_ids that the NVMe drivers destroy only in their own removal, and drops events.
 * So close all connections first, and give consumers time to destroy their queue pairs.
 */
static void rnic_disconnect(struct rnic *rnic)
{
	rnic_conn_close_all(rnic);
	if (!wait_var_event_timeout(&rnic->nr_qps, !atomic_read(&rnic->nr_qps), RNIC_PATIENCE))
		dev_warn(&rnic->pdev->dev, "%d queue pairs are still there\n",
			 atomic_read(&rnic->nr_qps));
}

/*
 * Consumers wait for copies in flight, so the engine runs until the device is unregistered. If the
 * function has left the bus, no copy would end before its timeout: kill the engine first.
 */
static void rnic_remove(struct pci_dev *pdev)
{
	struct rnic *rnic = pci_get_drvdata(pdev);
	struct engine *engine = rnic->engine;

	if (!pci_device_is_present(pdev))
		engine_kill(engine, "the function has left the bus");
	rnic_disconnect(rnic);
	ib_unregister_device(&rnic->ib);
	cancel_delayed_work_sync(&rnic->conn_expiry);
	destroy_workqueue(rnic->wq);
	rnic_debugfs_exit(rnic);
	rnic_netdev_destroy(rnic->netdev);
	engine_stop(engine);
	rnic_free(rnic);
	rnic_disclaim();
}

static void rnic_shutdown(struct pci_dev *pdev)
{
	struct rnic *rnic = pci_get_drvdata(pdev);

	engine_kill(rnic->engine, NULL);
}

/* Without an ID table, only driver_override binds a function. */
static struct pci_driver rnic_driver = {
	.name = RNIC_NAME,
	.probe = rnic_probe,
	.remove = rnic_remove,
	.shutdown = rnic_shutdown,
};
module_pci_driver(rnic_driver);

MODULE_DESCRIPTION("Loopback RNIC for tests of peer-to-peer DMA");
MODULE_LICENSE("GPL");
