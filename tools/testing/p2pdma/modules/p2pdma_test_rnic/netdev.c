// SPDX-License-Identifier: GPL-2.0
/*
 * The network interface of the test RNIC.
 *
 * iWARP connections are between IP addresses, and the RDMA core finds the RDMA device by the
 * network interface with the address. No packet is ever sent, because both ends are on the same
 * device. The RNIC registers an interface of its own, so that the interface exists as long as the
 * RNIC.
 */
#include <linux/etherdevice.h>
#include <linux/netdevice.h>

#include "rnic.h"

static netdev_tx_t rnic_netdev_xmit(struct sk_buff *skb, struct net_device *netdev)
{
	dev_core_stats_tx_dropped_inc(netdev);
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops rnic_netdev_ops = {
	.ndo_start_xmit = rnic_netdev_xmit,
	.ndo_validate_addr = eth_validate_addr,
};

static void rnic_netdev_setup(struct net_device *netdev)
{
	ether_setup(netdev);
	netdev->netdev_ops = &rnic_netdev_ops;
	netdev->flags |= IFF_NOARP;
	eth_hw_addr_random(netdev);
}

/**
 * rnic_netdev_create() - register the interface
 * @parent: the function
 *
 * Return: the interface or an error pointer.
 */
struct net_device *rnic_netdev_create(struct device *parent)
{
	struct net_device *netdev;
	int ret;

	netdev = alloc_netdev(0, "p2prnic%d", NET_NAME_ENUM, rnic_netdev_setup);
	if (!netdev)
		return ERR_PTR(-ENOMEM);
	SET_NETDEV_DEV(netdev, parent);
	ret = register_netdev(netdev);
	if (ret) {
		free_netdev(netdev);
		return ERR_PTR(ret);
	}
	return netdev;
}

/**
 * rnic_netdev_destroy() - unregister the interface
 * @netdev: the interface
 */
void rnic_netdev_destroy(struct net_device *netdev)
{
	unregister_netdev(netdev);
	free_netdev(netdev);
}
