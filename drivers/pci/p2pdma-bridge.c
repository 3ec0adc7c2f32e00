// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: what a bridge can do, and what the administrator decided
 *
 * Whether two functions reach each other is a property of the bridge that routes between them. A
 * bridge that the PCIe Base Specification describes has to route; a host bridge need not, and
 * cannot be asked (r6.0, sec 1.3.1), so this file knows some of them. On every bridge and host
 * bridge the directory p2pdma/ shows what is known, and takes a policy:
 *
 *	auto	what is known decides
 *	deny	no peer-to-peer transaction is to pass
 *	allow	for host bridges only: the administrator vouches for it
 *
 * Access control stands above policy: it is the hardware that redirects or blocks, whatever
 * anybody decides here.
 *
 * This is also where changes of the world are counted, because most of them pass through here:
 * functions that come and go, policies, and rescans after access control was edited by hand.
 */
#define pr_fmt(fmt) "pci-p2pdma: " fmt

#include <kunit/static_stub.h>
#include <linux/cleanup.h>
#include <linux/device/bus.h>
#include <linux/kstrtox.h>
#include <linux/moduleparam.h>
#include <linux/panic.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/xarray.h>

#include "p2pdma-private.h"
#include "p2pdma-hosts.h"
#include "p2pdma_trace.h"

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "p2pdma."

/**
 * struct p2pdma_host - a host bridge
 * @known: the entry of the table, or NULL
 * @identity: vendor and device ID of the function that identifies it; 0 if there is none
 * @rcu: for freeing
 *
 * The identity is kept, because the function may go away while the host bridge stays.
 */
struct p2pdma_host {
	const struct p2pdma_known_host *known;
	u32 identity;
	struct rcu_head rcu;
};

atomic64_t p2pdma_generation = ATOMIC64_INIT(1);

/* Writers only; readers of the two arrays hold rcu_read_lock(). */
static DEFINE_MUTEX(p2pdma_bridge_mutex);

/* struct p2pdma_host by struct pci_host_bridge. */
static DEFINE_XARRAY(p2pdma_hosts);

/* enum p2pdma_policy by struct device of the bridge or host bridge; only what is not auto. */
static DEFINE_XARRAY(p2pdma_policies);

/* ---- what is known ------------------------------------------------------------------------ */

#ifdef CONFIG_X86
#include <asm/processor.h>

/* AMD root complexes route between their ports since Zen. */
#define P2PDMA_FIRST_AMD_FAMILY	0x17

static bool p2pdma_cpu_known(void)
{
	const struct cpuinfo_x86 *cpu = &boot_cpu_data;

	return cpu->x86_vendor == X86_VENDOR_AMD && cpu->x86 >= P2PDMA_FIRST_AMD_FAMILY;
}
#else
static bool p2pdma_cpu_known(void)
{
	return false;
}
#endif

/**
 * p2pdma_cpu_routes - is the processor's root complex known to route between its ports?
 *
 * Context: Any.
 * Return: true if the processor alone says that every host bridge routes.
 */
bool p2pdma_cpu_routes(void)
{
	KUNIT_STATIC_STUB_REDIRECT(p2pdma_cpu_routes);
	return p2pdma_cpu_known();
}

static const struct p2pdma_known_host *p2pdma_lookup_known(u16 vendor, u16 device)
{
	const struct p2pdma_known_host *known = p2pdma_known_hosts;
	const struct p2pdma_known_host *end = known + ARRAY_SIZE(p2pdma_known_hosts);

	for (; known < end; known++)
		if (known->vendor == vendor &&
		    (known->device == device || known->device == P2PDMA_ANY_DEVICE))
			return known;
	return NULL;
}

/**
 * p2pdma_host_capability - what is known of a host bridge's peer routing
 * @host: the host bridge
 *
 * Context: Any.
 * Return: the capability; %P2PDMA_UNLISTED where nothing is known.
 */
enum p2pdma_capability p2pdma_host_capability(struct pci_host_bridge *host)
{
	const struct p2pdma_host *object;

	if (p2pdma_cpu_routes())
		return P2PDMA_CPU;

	guard(rcu)();
	object = xa_load(&p2pdma_hosts, (unsigned long)host);
	if (!object || !object->known)
		return P2PDMA_UNLISTED;
	return object->known->across ? P2PDMA_LISTED : P2PDMA_LISTED_SAME;
}

/**
 * p2pdma_host_identity - vendor and device ID that identify a host bridge
 * @host: the host bridge
 *
 * Context: Any.
 * Return: vendor ID in the upper half, device ID in the lower; 0 if nothing identifies @host.
 */
u32 p2pdma_host_identity(struct pci_host_bridge *host)
{
	const struct p2pdma_host *object;

	guard(rcu)();
	object = xa_load(&p2pdma_hosts, (unsigned long)host);
	return object ? object->identity : 0;
}

/**
 * p2pdma_policy - what the administrator decided about a bridge
 * @bridge: the device of a bridge or host bridge
 *
 * Context: Any.
 * Return: the policy.
 */
enum p2pdma_policy p2pdma_policy(struct device *bridge)
{
	void *entry = xa_load(&p2pdma_policies, (unsigned long)bridge);

	return entry ? xa_to_value(entry) : P2PDMA_POLICY_AUTO;
}

/**
 * p2pdma_routes_changed - forget all routes
 *
 * To be called after a change of anything that p2pdma_route() reads. Mappings made before keep
 * the route that they were made with.
 *
 * Context: Any.
 */
void p2pdma_routes_changed(void)
{
	/* Full ordering: who sees the new generation also sees the change. */
	atomic64_inc_return(&p2pdma_generation);
}

/* ---- policy ------------------------------------------------------------------------------- */

static const char * const p2pdma_policy_words[] = {
	[P2PDMA_POLICY_AUTO] = "auto",
	[P2PDMA_POLICY_ALLOW] = "allow",
	[P2PDMA_POLICY_DENY] = "deny",
};

/* Of two host bridges both have to route, so even a listed one may need somebody to vouch. */
static bool p2pdma_policy_is_risky(struct device *bridge, enum p2pdma_policy policy)
{
	return policy == P2PDMA_POLICY_ALLOW && policy != p2pdma_policy(bridge) &&
	       p2pdma_host_capability(to_pci_host_bridge(bridge)) < P2PDMA_LISTED;
}

static int p2pdma_set_policy(struct device *bridge, enum p2pdma_policy policy)
{
	bool risky;
	void *old;

	scoped_guard(mutex, &p2pdma_bridge_mutex) {
		risky = p2pdma_policy_is_risky(bridge, policy);
		old = policy == P2PDMA_POLICY_AUTO ?
		      xa_erase(&p2pdma_policies, (unsigned long)bridge) :
		      xa_store(&p2pdma_policies, (unsigned long)bridge, xa_mk_value(policy),
			       GFP_KERNEL);
	}
	if (xa_is_err(old))
		return xa_err(old);
	p2pdma_routes_changed();
	trace_p2pdma_policy(bridge, p2pdma_policy_words[policy]);

	if (risky) {
		dev_warn(bridge, "peer-to-peer DMA through this host bridge is allowed although nothing is known of it: if it does not route, data is corrupted in silence\n");
		add_taint(TAINT_USER, LOCKDEP_STILL_OK);
	}
	return 0;
}

static bool p2pdma_policy_applies(struct device *bridge, unsigned int policy)
{
	return policy != P2PDMA_POLICY_ALLOW || !dev_is_pci(bridge);
}

static ssize_t policy_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	enum p2pdma_policy current_policy = p2pdma_policy(dev);
	unsigned int i;
	int len = 0;

	for (i = 0; i < ARRAY_SIZE(p2pdma_policy_words); i++)
		if (p2pdma_policy_applies(dev, i))
			len += sysfs_emit_at(buf, len, i == current_policy ? "%s[%s]" : "%s%s",
					     len ? " " : "", p2pdma_policy_words[i]);
	return len + sysfs_emit_at(buf, len, "\n");
}

static ssize_t policy_store(struct device *dev, struct device_attribute *attr, const char *buf,
			    size_t count)
{
	int policy = __sysfs_match_string(p2pdma_policy_words, ARRAY_SIZE(p2pdma_policy_words),
					  buf);
	int ret;

	if (policy < 0 || !p2pdma_policy_applies(dev, policy))
		return -EINVAL;
	ret = p2pdma_set_policy(dev, policy);
	return ret ?: count;
}
static DEVICE_ATTR_RW(policy);

static const char * const p2pdma_capability_words[] = {
	[P2PDMA_UNLISTED] = "unlisted",
	[P2PDMA_LISTED_SAME] = "listed-same-bridge",
	[P2PDMA_LISTED] = "listed",
	[P2PDMA_CPU] = "cpu",
};

static ssize_t capability_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const char *word = "spec";

	if (!dev_is_pci(dev))
		word = p2pdma_capability_words[p2pdma_host_capability(to_pci_host_bridge(dev))];
	return sysfs_emit(buf, "%s\n", word);
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

/* ---- policy from the command line --------------------------------------------------------- */

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
 * @kind: what it names; %P2PDMA_RULE_NONE if it names nothing
 * @high: vendor ID or domain
 * @low: device ID, or bus number, or bus number and devfn
 */
struct p2pdma_rule {
	enum p2pdma_rule_kind kind;
	u32 high;
	u32 low;
};

/*
 * Four digits after the colon are a device ID, two are a bus number. They are spelled out because
 * the kernel's scanf knows no ranges.
 */
static struct p2pdma_rule p2pdma_parse_rule(const char *text, size_t len)
{
	struct p2pdma_rule rule = {};
	unsigned int bus, slot, func;
	char word[24], low[5];
	int end = -1;

	if (len >= sizeof(word))
		return rule;
	memcpy(word, text, len);
	word[len] = '\0';

	if (sscanf(word, "%8x:%2x:%2x.%1x%n", &rule.high, &bus, &slot, &func, &end) == 4 &&
	    end == len && slot < 32 && func < 8) {
		rule.kind = P2PDMA_RULE_BRIDGE;
		rule.low = PCI_DEVID(bus, PCI_DEVFN(slot, func));
	} else if (sscanf(word, "%8x:%4[0123456789abcdefABCDEF]%n", &rule.high, low, &end) == 2 &&
		   end == len && !kstrtou32(low, 16, &rule.low)) {
		if (strlen(low) == 2)
			rule.kind = P2PDMA_RULE_HOST_BUS;
		else if (strlen(low) == 4 && rule.high <= U16_MAX)
			rule.kind = P2PDMA_RULE_HOST_ID;
	}
	return rule;
}

static bool p2pdma_rule_matches(struct p2pdma_rule rule, struct device *bridge)
{
	struct pci_host_bridge *host;
	struct pci_dev *pdev;

	if (dev_is_pci(bridge)) {
		pdev = to_pci_dev(bridge);
		return rule.kind == P2PDMA_RULE_BRIDGE && rule.low == pci_dev_id(pdev) &&
		       rule.high == pci_domain_nr(pdev->bus);
	}
	host = to_pci_host_bridge(bridge);
	if (rule.kind == P2PDMA_RULE_HOST_ID)
		return p2pdma_host_identity(host) == (rule.high << 16 | rule.low);
	return rule.kind == P2PDMA_RULE_HOST_BUS && rule.low == host->bus->number &&
	       rule.high == pci_domain_nr(host->bus);
}

static bool p2pdma_listed_in(const char *list, struct device *bridge)
{
	size_t len;

	for (; list && *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		if (p2pdma_rule_matches(p2pdma_parse_rule(list, len), bridge))
			return true;
	}
	return false;
}

static void __init p2pdma_check_list(const char *name, const char *list, bool bridges)
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

/* Where both lists name a bridge, the careful one wins. */
static void p2pdma_apply_parameters(struct device *bridge)
{
	enum p2pdma_policy policy = P2PDMA_POLICY_AUTO;

	if (p2pdma_listed_in(p2pdma_deny, bridge))
		policy = P2PDMA_POLICY_DENY;
	else if (!dev_is_pci(bridge) && p2pdma_listed_in(p2pdma_allow, bridge))
		policy = P2PDMA_POLICY_ALLOW;

	if (policy != P2PDMA_POLICY_AUTO && p2pdma_set_policy(bridge, policy))
		dev_err(bridge, "no memory for the peer-to-peer DMA policy\n");
}

/* ---- bridges that come and go ------------------------------------------------------------- */

static void p2pdma_bridge_shown(struct device *bridge)
{
	if (sysfs_create_group(&bridge->kobj, &p2pdma_bridge_group))
		dev_err(bridge, "no peer-to-peer DMA attributes in sysfs\n");
}

/* Host bridges have no bus to be notified of; devres frees what hangs off one when it goes. */
static void p2pdma_host_gone(void *data)
{
	struct pci_host_bridge *host = data;
	struct p2pdma_host *object;

	xa_erase(&p2pdma_policies, (unsigned long)&host->dev);
	object = xa_erase(&p2pdma_hosts, (unsigned long)host);
	kfree_rcu(object, rcu);
}

static struct p2pdma_host *p2pdma_host_new(struct pci_host_bridge *host)
{
	struct p2pdma_host *object = kzalloc(sizeof(*object), GFP_KERNEL);

	if (!object)
		return NULL;
	if (xa_is_err(xa_store(&p2pdma_hosts, (unsigned long)host, object, GFP_KERNEL))) {
		kfree(object);
		return NULL;
	}
	if (devm_add_action_or_reset(&host->dev, p2pdma_host_gone, host))
		return NULL;
	return object;
}

/*
 * A host bridge has no identity in configuration space. Most vendors put a device at 00.0 that
 * stands for it; some have a root port first instead. Any other first device, an endpoint in a
 * virtual machine for instance, says nothing about the host bridge.
 */
static bool p2pdma_identifies_host(struct pci_dev *first)
{
	return first->devfn == PCI_DEVFN(0, 0) ||
	       (pci_is_pcie(first) && pci_pcie_type(first) == PCI_EXP_TYPE_ROOT_PORT);
}

static void p2pdma_identify_host(struct p2pdma_host *object, struct pci_dev *first)
{
	WRITE_ONCE(object->known, p2pdma_lookup_known(first->vendor, first->device));
	WRITE_ONCE(object->identity, (u32)first->vendor << 16 | first->device);
}

/* The first function that is added below a host bridge brings the host bridge along. */
static void p2pdma_host_seen(struct pci_dev *pdev)
{
	struct pci_host_bridge *host = pci_find_host_bridge(pdev->bus);
	struct p2pdma_host *object;

	if (!pci_is_root_bus(pdev->bus) || xa_load(&p2pdma_hosts, (unsigned long)host))
		return;
	object = p2pdma_host_new(host);
	if (!object) {
		dev_err(&host->dev, "no memory for peer-to-peer DMA\n");
		return;
	}
	if (p2pdma_identifies_host(pdev))
		p2pdma_identify_host(object, pdev);
	p2pdma_bridge_shown(&host->dev);
	p2pdma_apply_parameters(&host->dev);
}

static void p2pdma_function_added(struct pci_dev *pdev)
{
	p2pdma_host_seen(pdev);
	if (pci_is_bridge(pdev)) {
		p2pdma_bridge_shown(&pdev->dev);
		p2pdma_apply_parameters(&pdev->dev);
	}
	p2pdma_routes_changed();
}

/* The files go first: nobody must store a policy for a device that is no more. */
static void p2pdma_function_removed(struct pci_dev *pdev)
{
	if (pci_is_bridge(pdev)) {
		sysfs_remove_group(&pdev->dev.kobj, &p2pdma_bridge_group);
		xa_erase(&p2pdma_policies, (unsigned long)&pdev->dev);
	}
	p2pdma_routes_changed();
}

static int p2pdma_bus_event(struct notifier_block *nb, unsigned long action, void *data)
{
	if (action == BUS_NOTIFY_ADD_DEVICE)
		p2pdma_function_added(to_pci_dev(data));
	else if (action == BUS_NOTIFY_REMOVED_DEVICE)
		p2pdma_function_removed(to_pci_dev(data));
	return NOTIFY_OK;
}

static struct notifier_block p2pdma_bus_notifier = {
	.notifier_call = p2pdma_bus_event,
};

static ssize_t p2pdma_rescan_store(const struct bus_type *bus, const char *buf, size_t count)
{
	bool rescan;

	if (kstrtobool(buf, &rescan) || !rescan)
		return -EINVAL;
	p2pdma_routes_changed();
	return count;
}
static BUS_ATTR_WO(p2pdma_rescan);

static int __init p2pdma_bridge_init(void)
{
	int ret;

	p2pdma_check_list("allow", p2pdma_allow, false);
	p2pdma_check_list("deny", p2pdma_deny, true);

	ret = bus_create_file(&pci_bus_type, &bus_attr_p2pdma_rescan);
	return ret ?: bus_register_notifier(&pci_bus_type, &p2pdma_bus_notifier);
}
postcore_initcall_sync(p2pdma_bridge_init);
