// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: inputs of the route rules
 */

/**
 * DOC: Inputs
 *
 * The rules in p2pdma-route.c ask here for facts about bridges and functions
 * beyond the registers of access control: the capability and the identity of a
 * host bridge, policies, quirks, and the IOMMU and DMA mask of a client.
 * p2pdma-bridge.c records the facts when functions come and go and when an
 * administrator writes a policy. The p2pdma command and the route test have
 * their own version of p2pdma-inputs.c.
 *
 * Lookups take no lock of this subsystem, because mappings in atomic context
 * decide routes.
 */
#include <kunit/static_stub.h>
#include <linux/cleanup.h>
#include <linux/dma-mapping.h>
#include <linux/iommu-dma.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "pci.h"
#include "p2pdma-private.h"
#include "p2pdma-hosts.h"

/**
 * struct p2pdma_host - a host bridge
 * @capability: capability of the host bridge, the processor aside
 * @identity: vendor and device ID of the function that identifies the host
 *	bridge; 0 without such a function
 * @devfn: devfn of the identifying function
 * @rcu: for freeing
 *
 * Keeps the identity, because the identifying function may go away before the
 * host bridge.
 */
struct p2pdma_host {
	enum p2pdma_capability capability;
	u32 identity;
	u8 devfn;
	struct rcu_head rcu;
};

/* struct p2pdma_host by struct pci_host_bridge. */
static DEFINE_XARRAY(p2pdma_hosts);

/* enum p2pdma_policy, other than auto, by struct device of the bridge. */
static DEFINE_XARRAY(p2pdma_policies);

/* Value of p2pdma_quirks(), other than 0, by struct pci_dev. */
static DEFINE_XARRAY(p2pdma_quirky);

static bool p2pdma_cpu_known __ro_after_init;

#ifdef CONFIG_X86
#include <asm/processor.h>

static bool __init p2pdma_check_cpu(void)
{
	return p2pdma_known_cpu(boot_cpu_data.x86_vendor_id, boot_cpu_data.x86);
}
#else
static bool __init p2pdma_check_cpu(void)
{
	return false;
}
#endif

/**
 * p2pdma_inputs_init - record the processor
 *
 * Context: Boot, before the first function is added.
 */
void __init p2pdma_inputs_init(void)
{
	p2pdma_cpu_known = p2pdma_check_cpu();
}

/**
 * p2pdma_cpu_routes - does the processor's root complex route between ports?
 *
 * Context: Any.
 * Return: true if the processor alone says that every host bridge routes.
 */
bool p2pdma_cpu_routes(void)
{
	KUNIT_STATIC_STUB_REDIRECT(p2pdma_cpu_routes);
	return p2pdma_cpu_known;
}

/**
 * p2pdma_host_capability - known peer routing of a host bridge
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
	return object ? READ_ONCE(object->capability) : P2PDMA_UNLISTED;
}

/**
 * p2pdma_host_identity - vendor and device ID that identify a host bridge
 * @host: the host bridge
 *
 * Context: Any.
 * Return: vendor ID in the upper half, device ID in the lower; 0 if nothing
 * identifies @host.
 */
u32 p2pdma_host_identity(struct pci_host_bridge *host)
{
	const struct p2pdma_host *object;

	guard(rcu)();
	object = xa_load(&p2pdma_hosts, (unsigned long)host);
	return object ? READ_ONCE(object->identity) : 0;
}

/**
 * p2pdma_host_first - the function that identifies a host bridge
 * @host: the host bridge
 *
 * Context: Any.
 * Return: the function, with a reference for pci_dev_put() to drop, or NULL if
 * there is no such function, or not any more.
 */
struct pci_dev *p2pdma_host_first(struct pci_host_bridge *host)
{
	const struct p2pdma_host *object;
	u8 devfn = 0;

	scoped_guard(rcu) {
		object = xa_load(&p2pdma_hosts, (unsigned long)host);
		if (!object || !READ_ONCE(object->identity))
			return NULL;
		devfn = object->devfn;
	}
	return pci_get_domain_bus_and_slot(pci_domain_nr(host->bus),
					   host->bus->number, devfn);
}

/**
 * p2pdma_policy - decision of the administrator about a bridge
 * @bridge: device of the bridge or host bridge
 *
 * Context: Any.
 * Return: the policy.
 */
enum p2pdma_policy p2pdma_policy(struct device *bridge)
{
	void *entry;

	if (xa_empty(&p2pdma_policies))
		return P2PDMA_POLICY_AUTO;
	entry = xa_load(&p2pdma_policies, (unsigned long)bridge);
	return entry ? xa_to_value(entry) : P2PDMA_POLICY_AUTO;
}

/**
 * p2pdma_quirks - access control of a function with a quirk
 * @dev: the function
 *
 * Context: Any.
 * Return: PCI_ACS_RR, PCI_ACS_CR, PCI_ACS_UF as far as they are in effect
 * without a capability, or P2PDMA_ACS_WIDE, or 0 without quirk.
 */
u16 p2pdma_quirks(struct pci_dev *dev)
{
	void *entry;

	if (xa_empty(&p2pdma_quirky))
		return 0;
	entry = xa_load(&p2pdma_quirky, (unsigned long)dev);
	return entry ? xa_to_value(entry) : 0;
}

/**
 * p2pdma_client_translated - does an IOMMU translate the DMA of a function?
 * @client: the function
 *
 * Context: Any.
 * Return: true if mappings of system memory give the function IOVAs.
 */
bool p2pdma_client_translated(struct pci_dev *client)
{
	KUNIT_STATIC_STUB_REDIRECT(p2pdma_client_translated, client);
	return use_dma_iommu(&client->dev);
}

/**
 * p2pdma_client_untrusted - does an IOMMU translate even on direct routes?
 * @client: the function
 *
 * For a function that the kernel does not trust, such as a function on
 * Thunderbolt, dma-iommu maps every scatterlist by pages, without a question
 * about peer memory, so the function gets IOVAs.
 *
 * Context: Any.
 * Return: true if @client never gets bus addresses of peer memory.
 */
bool p2pdma_client_untrusted(struct pci_dev *client)
{
	KUNIT_STATIC_STUB_REDIRECT(p2pdma_client_untrusted, client);
	return client->untrusted && p2pdma_client_translated(client);
}

static bool p2pdma_bar_below(struct pci_dev *provider, int bar, u64 limit)
{
	struct resource *res = &provider->resource[bar];
	struct pci_bus_region region;

	if (!(res->flags & IORESOURCE_MEM) || !res->parent)
		return true;
	pcibios_resource_to_bus(provider->bus, &region, res);
	return region.end <= limit;
}

/**
 * p2pdma_client_reaches - can a client emit the addresses of a provider?
 * @client: function that masters DMA
 * @provider: function whose BARs hold the memory
 *
 * Nobody has set the mask of a function without driver, so such a function
 * counts as able to emit every address.
 *
 * Context: Any.
 * Return: false if a BAR of @provider is above the DMA mask or the bus limit of
 * @client.
 */
bool p2pdma_client_reaches(struct pci_dev *client, struct pci_dev *provider)
{
	struct device *dev = &client->dev;
	u64 limit;
	int bar;

	KUNIT_STATIC_STUB_REDIRECT(p2pdma_client_reaches, client, provider);
	limit = min_not_zero(dma_get_mask(dev), dev->bus_dma_limit);
	if (limit == DMA_BIT_MASK(64) || !READ_ONCE(dev->driver))
		return true;
	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++)
		if (!p2pdma_bar_below(provider, bar, limit))
			return false;
	return true;
}

/**
 * p2pdma_record_policy - record the decision of an administrator
 * @bridge: device of the bridge or host bridge
 * @policy: the policy; %P2PDMA_POLICY_AUTO forgets an earlier policy
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int p2pdma_record_policy(struct device *bridge, enum p2pdma_policy policy)
{
	unsigned long index = (unsigned long)bridge;
	void *old;

	might_sleep();
	if (policy == P2PDMA_POLICY_AUTO)
		old = xa_erase(&p2pdma_policies, index);
	else
		old = xa_store(&p2pdma_policies, index, xa_mk_value(policy),
			       GFP_KERNEL);
	return xa_err(old);
}

/* No bus notifies of host bridges: devres calls this when one goes. */
static void p2pdma_host_release(void *data)
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
	if (xa_is_err(xa_store(&p2pdma_hosts, (unsigned long)host, object,
			       GFP_KERNEL))) {
		kfree(object);
		return NULL;
	}
	if (devm_add_action_or_reset(&host->dev, p2pdma_host_release, host))
		return NULL;
	return object;
}

static int p2pdma_pcie_type(struct pci_dev *pdev)
{
	return pci_is_pcie(pdev) ? pci_pcie_type(pdev) : -1;
}

static void p2pdma_identify_host(struct p2pdma_host *object,
				 struct pci_dev *first)
{
	if (!p2pdma_identifies_host(first->devfn, p2pdma_pcie_type(first)))
		return;
	object->devfn = first->devfn;
	WRITE_ONCE(object->capability,
		   p2pdma_known_host(first->vendor, first->device));
	WRITE_ONCE(object->identity, (u32)first->vendor << 16 | first->device);
}

/**
 * p2pdma_host_recorded - has a host bridge been recorded?
 * @host: the host bridge
 *
 * Context: Any.
 * Return: true from p2pdma_record_host() until devres releases @host.
 */
bool p2pdma_host_recorded(struct pci_host_bridge *host)
{
	return xa_load(&p2pdma_hosts, (unsigned long)host);
}

/**
 * p2pdma_record_host - record a host bridge
 * @host: the host bridge
 * @first: first function on the root bus; may identify @host
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int p2pdma_record_host(struct pci_host_bridge *host, struct pci_dev *first)
{
	struct p2pdma_host *object;

	might_sleep();
	object = p2pdma_host_new(host);
	if (!object)
		return -ENOMEM;
	p2pdma_identify_host(object, first);
	return 0;
}

/*
 * The kernel's quirks may sleep, so ask while the function is added. Registers
 * of the wide layout change later, so every decision reads these anew.
 */
static u16 p2pdma_ask_quirks(struct pci_dev *pdev)
{
	static const u16 controls[] = { PCI_ACS_RR, PCI_ACS_CR, PCI_ACS_UF };
	const struct p2pdma_quirk *known;
	unsigned int i;
	u16 quirks = 0;

	known = p2pdma_known_quirk(pdev->vendor, pdev->device,
				   p2pdma_pcie_type(pdev));
	if (known && known->controls == P2PDMA_ACS_WIDE)
		return P2PDMA_ACS_WIDE;
	for (i = 0; i < ARRAY_SIZE(controls); i++)
		if (pci_dev_specific_acs_enabled(pdev, controls[i]) > 0)
			quirks |= controls[i];
	return quirks;
}

/**
 * p2pdma_record_quirks - record a function whose access control has a quirk
 * @pdev: the function
 *
 * Context: May sleep.
 */
void p2pdma_record_quirks(struct pci_dev *pdev)
{
	u16 quirks;

	might_sleep();
	quirks = p2pdma_ask_quirks(pdev);
	if (quirks && xa_is_err(xa_store(&p2pdma_quirky, (unsigned long)pdev,
					 xa_mk_value(quirks), GFP_KERNEL)))
		pci_err(pdev, "no memory for peer-to-peer DMA\n");
}

/**
 * p2pdma_forget_function - forget policy and quirks of a function
 * @pdev: the function
 *
 * Context: Process context.
 */
void p2pdma_forget_function(struct pci_dev *pdev)
{
	xa_erase(&p2pdma_policies, (unsigned long)&pdev->dev);
	xa_erase(&p2pdma_quirky, (unsigned long)pdev);
}
