// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: capability and policy of bridges
 */

/**
 * DOC: Capability and policy
 *
 * Whether two functions reach each other is a property of the bridge between
 * both. The PCIe Base Specification obliges bridges to route, but not host
 * bridges, and no register of a host bridge tells (r6.0, sec 1.3.1), so
 * p2pdma-hosts.c lists some. On every bridge and host bridge the directory
 * p2pdma/ shows the capability, and takes a policy:
 *
 * =====  ===========================================
 * auto   the capability decides
 * deny   no peer-to-peer transaction may pass
 * allow  the administrator vouches for a host bridge
 * =====  ===========================================
 *
 * No policy overrides access control, because the hardware redirects or blocks,
 * whatever anybody decides here.
 *
 * p2pdma-inputs.c keeps capabilities, policies and quirks for the route rules.
 * p2pdma-bridge.c records changes there, and counts changes of the world,
 * because most changes pass through here: functions come and go, drivers bind
 * (and change the domain of an IOMMU), policies are written, and rescans follow
 * edits of access control.
 */
#define pr_fmt(fmt) "pci-p2pdma: " fmt

#include <kunit/visibility.h>
#include <linux/capability.h>
#include <linux/cleanup.h>
#include <linux/device/bus.h>
#include <linux/kstrtox.h>
#include <linux/moduleparam.h>
#include <linux/panic.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "p2pdma-private.h"
#include "p2pdma-hosts.h"
#include "p2pdma-words.h"
#include "p2pdma_trace.h"

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "p2pdma."

/**
 * struct p2pdma_denial - a bridge denied through sysfs
 * @node: in p2pdma_denials
 * @name: name of the bridge's device
 *
 * Outlives the bridge, so that the denial holds when the bridge comes back.
 */
struct p2pdma_denial {
	struct list_head node;
	char name[];
};

atomic64_t p2pdma_generation = ATOMIC64_INIT(1);
const struct p2pdma_exporter *p2pdma_exporter __ro_after_init;

/* Serialises changes of policies and denials. */
static DEFINE_MUTEX(p2pdma_bridge_mutex);

/* struct p2pdma_denial; p2pdma_bridge_mutex */
static LIST_HEAD(p2pdma_denials);

/**
 * p2pdma_routes_changed - forget all routes
 *
 * To be called after a change of anything that p2pdma_route() reads. Mappings
 * made before keep their route, except mappings of dma-bufs.
 *
 * Context: Any.
 */
void p2pdma_routes_changed(void)
{
	/* Full ordering: a CPU with the new generation also sees the change. */
	atomic64_inc_return(&p2pdma_generation);
	if (p2pdma_exporter)
		p2pdma_exporter->routes_changed();
}

/* Two host bridges both have to route, so a listed host bridge may need it. */
static bool p2pdma_policy_is_risky(struct device *bridge,
				   enum p2pdma_policy policy)
{
	return policy == P2PDMA_POLICY_ALLOW &&
	       policy != p2pdma_policy(bridge) &&
	       p2pdma_host_capability(to_pci_host_bridge(bridge)) <
	       P2PDMA_LISTED;
}

static int p2pdma_set_policy(struct device *bridge, enum p2pdma_policy policy)
{
	bool risky;
	int ret;

	lockdep_assert_held(&p2pdma_bridge_mutex);
	risky = p2pdma_policy_is_risky(bridge, policy);
	ret = p2pdma_record_policy(bridge, policy);
	if (ret)
		return ret;
	p2pdma_routes_changed();
	trace_p2pdma_policy(bridge, p2pdma_policy_word(policy));

	if (risky) {
		dev_warn(bridge, "peer-to-peer DMA through this host bridge is allowed although nothing is known of it: if it does not route, data is corrupted in silence; it may even pass writes and answer reads with ones\n");
		add_taint(TAINT_USER, LOCKDEP_STILL_OK);
	}
	return 0;
}

static struct p2pdma_denial *p2pdma_find_denial(const char *name)
{
	struct p2pdma_denial *denial;

	lockdep_assert_held(&p2pdma_bridge_mutex);
	list_for_each_entry(denial, &p2pdma_denials, node)
		if (!strcmp(denial->name, name))
			return denial;
	return NULL;
}

static int p2pdma_remember_denial(const char *name)
{
	size_t size = strlen(name) + 1;
	struct p2pdma_denial *denial;

	if (p2pdma_find_denial(name))
		return 0;
	denial = kmalloc(struct_size(denial, name, size), GFP_KERNEL);
	if (!denial)
		return -ENOMEM;
	memcpy(denial->name, name, size);
	list_add(&denial->node, &p2pdma_denials);
	return 0;
}

static void p2pdma_forget_denial(const char *name)
{
	struct p2pdma_denial *denial = p2pdma_find_denial(name);

	if (!denial)
		return;
	list_del(&denial->node);
	kfree(denial);
}

#if IS_ENABLED(CONFIG_KUNIT)
/**
 * p2pdma_forget_denials - forget the denied bridges of a test
 *
 * Context: May sleep.
 */
void p2pdma_forget_denials(void)
{
	struct p2pdma_denial *denial, *next;

	might_sleep();
	guard(mutex)(&p2pdma_bridge_mutex);
	list_for_each_entry_safe(denial, next, &p2pdma_denials, node)
		kfree(denial);
	INIT_LIST_HEAD(&p2pdma_denials);
}
#endif

/* A denial is kept before, and given up after, the policy changes. */
static int p2pdma_write_policy(struct device *bridge, enum p2pdma_policy policy)
{
	int ret = 0;

	guard(mutex)(&p2pdma_bridge_mutex);
	if (policy == P2PDMA_POLICY_DENY)
		ret = p2pdma_remember_denial(dev_name(bridge));
	if (!ret)
		ret = p2pdma_set_policy(bridge, policy);
	if (!ret && policy != P2PDMA_POLICY_DENY)
		p2pdma_forget_denial(dev_name(bridge));
	return ret;
}

static bool p2pdma_policy_applies(struct device *bridge,
				  enum p2pdma_policy policy)
{
	return policy != P2PDMA_POLICY_ALLOW || !dev_is_pci(bridge);
}

static ssize_t policy_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	enum p2pdma_policy chosen = p2pdma_policy(dev), policy;
	const char *word;
	int len = 0;

	for (policy = 0; (word = p2pdma_policy_word(policy)); policy++)
		if (p2pdma_policy_applies(dev, policy))
			len += sysfs_emit_at(buf, len, policy == chosen ?
					     "%s[%s]" : "%s%s",
					     len ? " " : "", word);
	return len + sysfs_emit_at(buf, len, "\n");
}

static ssize_t policy_store(struct device *dev, struct device_attribute *attr,
			    const char *buf, size_t count)
{
	enum p2pdma_policy policy;
	const char *word;
	int ret;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	for (policy = 0; (word = p2pdma_policy_word(policy)); policy++)
		if (p2pdma_is_word(buf, count, word))
			break;
	if (!word || !p2pdma_policy_applies(dev, policy))
		return -EINVAL;
	ret = p2pdma_write_policy(dev, policy);
	return ret ?: count;
}
static DEVICE_ATTR_RW(policy);

static ssize_t capability_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	enum p2pdma_capability capability;

	if (dev_is_pci(dev))
		return sysfs_emit(buf, "spec\n");
	capability = p2pdma_host_capability(to_pci_host_bridge(dev));
	return sysfs_emit(buf, "%s\n", p2pdma_capability_word(capability));
}
static DEVICE_ATTR_RO(capability);

static struct attribute *p2pdma_bridge_attrs[] = {
	&dev_attr_capability.attr,
	&dev_attr_policy.attr,
	NULL
};

static const struct attribute_group p2pdma_bridge_group = {
	.name = "p2pdma",
	.attrs = p2pdma_bridge_attrs,
};

static char *p2pdma_allow;
module_param_named(allow, p2pdma_allow, charp, 0444);
MODULE_PARM_DESC(allow, "host bridges to allow: vendor:device or domain:bus, separated by commas");

static char *p2pdma_deny;
module_param_named(deny, p2pdma_deny, charp, 0444);
MODULE_PARM_DESC(deny, "host bridges to deny, as for allow, and bridges: domain:bus:device.function");

enum p2pdma_rule_kind {
	P2PDMA_RULE_NONE,
	P2PDMA_RULE_HOST_ID,
	P2PDMA_RULE_HOST_BUS,
	P2PDMA_RULE_BRIDGE,
};

/**
 * struct p2pdma_rule - one entry of a parameter
 * @kind: kind of bridge; %P2PDMA_RULE_NONE if the entry makes no sense
 * @high: vendor ID or domain
 * @low: device ID, or bus number, or bus number and devfn
 */
struct p2pdma_rule {
	enum p2pdma_rule_kind kind;
	u32 high;
	u32 low;
};

/*
 * Four digits after the colon are a device ID, two are a bus number. The digits
 * are spelled out because the kernel's scanf knows no ranges.
 */
static struct p2pdma_rule p2pdma_parse_rule(const char *text, size_t len)
{
	struct p2pdma_rule rule = {};
	char word[24], low[5];
	int end = -1;
	u16 rid;

	if (len >= sizeof(word) || !p2pdma_is_address(text, len))
		return rule;
	memcpy(word, text, len);
	word[len] = '\0';

	if (p2pdma_parse_function(text, len, &rule.high, &rid)) {
		rule.kind = P2PDMA_RULE_BRIDGE;
		rule.low = rid;
	} else if (sscanf(word, "%8x:%4[0123456789abcdefABCDEF]%n", &rule.high,
			  low, &end) == 2 &&
		   end == len && !kstrtou32(low, 16, &rule.low)) {
		if (strlen(low) == 2)
			rule.kind = P2PDMA_RULE_HOST_BUS;
		else if (strlen(low) == 4 && rule.high <= U16_MAX)
			rule.kind = P2PDMA_RULE_HOST_ID;
	}
	return rule;
}

/* Identity 0 is no identity: 0000:0000 names no host bridge. */
static bool p2pdma_rule_names_host(struct p2pdma_rule rule,
				   struct pci_host_bridge *host)
{
	u32 identity = p2pdma_host_identity(host);

	if (rule.kind == P2PDMA_RULE_HOST_ID)
		return identity && identity == (rule.high << 16 | rule.low);
	return rule.kind == P2PDMA_RULE_HOST_BUS &&
	       rule.low == host->bus->number &&
	       rule.high == pci_domain_nr(host->bus);
}

static bool p2pdma_rule_matches(struct p2pdma_rule rule, struct device *bridge)
{
	struct pci_dev *pdev;

	if (!dev_is_pci(bridge))
		return p2pdma_rule_names_host(rule, to_pci_host_bridge(bridge));
	pdev = to_pci_dev(bridge);
	return rule.kind == P2PDMA_RULE_BRIDGE &&
	       rule.low == pci_dev_id(pdev) &&
	       rule.high == pci_domain_nr(pdev->bus);
}

VISIBLE_IF_KUNIT bool p2pdma_listed_in(const char *list, struct device *bridge)
{
	size_t len;

	for (; list && *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		if (p2pdma_rule_matches(p2pdma_parse_rule(list, len), bridge))
			return true;
	}
	return false;
}

static void __init p2pdma_check_list(const char *name, const char *list,
				     bool bridges)
{
	enum p2pdma_rule_kind kind;
	size_t len;

	for (; list && *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		kind = p2pdma_parse_rule(list, len).kind;
		if (kind == P2PDMA_RULE_NONE)
			pr_err("p2pdma.%s: skipping \"%.*s\": not vendor:device, domain:bus or the address of a bridge\n",
			       name, (int)len, list);
		else if (kind == P2PDMA_RULE_BRIDGE && !bridges)
			pr_err("p2pdma.%s: skipping \"%.*s\": only a host bridge needs to be allowed\n",
			       name, (int)len, list);
	}
}

static enum p2pdma_policy p2pdma_first_policy(struct device *bridge)
{
	if (p2pdma_find_denial(dev_name(bridge)) ||
	    p2pdma_listed_in(p2pdma_deny, bridge))
		return P2PDMA_POLICY_DENY;
	if (!dev_is_pci(bridge) && p2pdma_listed_in(p2pdma_allow, bridge))
		return P2PDMA_POLICY_ALLOW;
	return P2PDMA_POLICY_AUTO;
}

/* Of a remembered denial and both parameters the careful policy wins. */
static void p2pdma_apply_first_policy(struct device *bridge)
{
	enum p2pdma_policy policy;

	guard(mutex)(&p2pdma_bridge_mutex);
	policy = p2pdma_first_policy(bridge);
	if (policy != P2PDMA_POLICY_AUTO && p2pdma_set_policy(bridge, policy))
		dev_err(bridge, "no memory for the peer-to-peer DMA policy\n");
}

static void p2pdma_bridge_add_sysfs(struct device *bridge)
{
	if (sysfs_create_group(&bridge->kobj, &p2pdma_bridge_group))
		dev_err(bridge, "no peer-to-peer DMA attributes in sysfs\n");
}

/* No notifier reports host bridges: set one up with its first child. */
static void p2pdma_host_add(struct pci_dev *pdev)
{
	struct pci_host_bridge *host = pci_find_host_bridge(pdev->bus);

	if (!pci_is_root_bus(pdev->bus) || p2pdma_host_recorded(host))
		return;
	if (p2pdma_record_host(host, pdev)) {
		dev_err(&host->dev, "no memory for peer-to-peer DMA\n");
		return;
	}
	p2pdma_bridge_add_sysfs(&host->dev);
	p2pdma_apply_first_policy(&host->dev);
}

static void p2pdma_function_added(struct pci_dev *pdev)
{
	p2pdma_record_quirks(pdev);
	p2pdma_host_add(pdev);
	if (pci_is_bridge(pdev)) {
		p2pdma_bridge_add_sysfs(&pdev->dev);
		p2pdma_apply_first_policy(&pdev->dev);
	}
	p2pdma_routes_changed();
}

/* Remove the files first: nobody may store a policy for a device that went. */
static void p2pdma_function_removed(struct pci_dev *pdev)
{
	if (pci_is_bridge(pdev))
		sysfs_remove_group(&pdev->dev.kobj, &p2pdma_bridge_group);
	p2pdma_forget_function(pdev);
	p2pdma_routes_changed();
}

/* A driver that binds or unbinds may change IOMMU domain and DMA mask. */
static int p2pdma_bus_event(struct notifier_block *nb, unsigned long action,
			    void *data)
{
	switch (action) {
	case BUS_NOTIFY_ADD_DEVICE:
		p2pdma_function_added(to_pci_dev(data));
		break;
	case BUS_NOTIFY_REMOVED_DEVICE:
		p2pdma_function_removed(to_pci_dev(data));
		break;
	case BUS_NOTIFY_BIND_DRIVER:
	case BUS_NOTIFY_BOUND_DRIVER:
	case BUS_NOTIFY_UNBOUND_DRIVER:
		p2pdma_routes_changed();
		break;
	}
	return NOTIFY_OK;
}

static struct notifier_block p2pdma_bus_notifier = {
	.notifier_call = p2pdma_bus_event,
};

static ssize_t p2pdma_rescan_store(const struct bus_type *bus, const char *buf,
				   size_t count)
{
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (!p2pdma_is_word(buf, count, "1"))
		return -EINVAL;
	p2pdma_routes_changed();
	return count;
}
static BUS_ATTR_WO(p2pdma_rescan);

static int __init p2pdma_bridge_init(void)
{
	int ret;

	p2pdma_inputs_init();
	p2pdma_check_list("allow", p2pdma_allow, false);
	p2pdma_check_list("deny", p2pdma_deny, true);

	ret = bus_create_file(&pci_bus_type, &bus_attr_p2pdma_rescan);
	return ret ?: bus_register_notifier(&pci_bus_type,
					    &p2pdma_bus_notifier);
}
postcore_initcall_sync(p2pdma_bridge_init);
