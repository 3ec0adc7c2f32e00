// SPDX-License-Identifier: GPL-2.0
/*
 * A driver that manages the pages of a BAR without the pool, in two ways.
 *
 *	insmod p2pdma_owner.ko bar=2
 *	echo p2pdma_owner > driver_override; echo 0000:05:00.0 > .../bind
 *
 * The module is the driver of the function and calls pci_p2pdma_add_owned().
 *
 *	insmod p2pdma_owner.ko bar=2 function=0000:05:00.0
 *
 * The function belongs to another driver, and stays bound until rmmod. The
 * module calls pci_p2pdma_add_resource() and takes the pages over: replaces the
 * operations of the pagemap and writes zone_device_data of every page. rmmod
 * calls devm_memunmap_pages().
 *
 * In both ways, mmap() of /dev/p2pdma_owner maps pages, and tests use the
 * parameters:
 *
 *	echo 8 > hold		take 8 pages
 *	echo 0 > hold		drop the last reference of the pages
 *	echo 0000:03:00.0 > map	map 8 pages for DMA of a client
 *	cat map			result of dma_map_sg(): "bus", "host" or "none"
 *	cat taken		number of pages in use
 *	cat freed		number of calls of page_free()
 *	cat wrong		number of checks that failed
 */
#include <linux/cleanup.h>
#include <linux/dma-mapping.h>
#include <linux/memremap.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci-p2pdma.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/wait.h>

#define OWNER_HOLD_MAX	64
#define OWNER_MAP_PAGES	8

static char *function;
module_param(function, charp, 0400);
MODULE_PARM_DESC(function, "address of a function that another driver has");

static unsigned int bar = 2;
module_param(bar, uint, 0400);
MODULE_PARM_DESC(bar, "number of the BAR");

static unsigned long size;
module_param(size, ulong, 0400);
MODULE_PARM_DESC(size, "number of bytes, 0 for the whole BAR");

static atomic_t owner_freed, owner_wrong, owner_taken;
static DECLARE_WAIT_QUEUE_HEAD(owner_idle);
static DEFINE_MUTEX(owner_mutex);

/* States of a page. */
enum { OWNER_FREE, OWNER_TAKEN };

/**
 * struct owner - pages of the module; there is one function at most
 * @pdev: the function, or NULL; owner_mutex
 * @pgmap: pagemap of the range
 * @ops: operations of the pagemap before the module replaced them
 * @first: first page
 * @nr: number of pages
 * @cursor: index at which the search for a free page begins; owner_mutex
 * @state: state of each page
 */
static struct owner {
	struct pci_dev *pdev;
	struct dev_pagemap *pgmap;
	const struct dev_pagemap_ops *ops;
	struct page *first;
	unsigned long nr;
	unsigned long cursor;
	u8 *state;
} owner;

static struct page *owner_held[OWNER_HOLD_MAX];
static unsigned int owner_nr_held;
static const char *owner_mapped = "nothing";

/* Pages */

static void owner_page_free(struct page *page)
{
	/* The core calls with a count of 0, p2pdma with a count of 1. */
	int count = function ? 0 : 1;
	u8 *state = page->zone_device_data;

	if (page_ref_count(page) != count || *state != OWNER_TAKEN ||
	    state != &owner.state[page - owner.first])
		atomic_inc(&owner_wrong);
	WRITE_ONCE(*state, OWNER_FREE);
	atomic_inc(&owner_freed);
	if (atomic_dec_and_test(&owner_taken))
		wake_up(&owner_idle);
}

static const struct dev_pagemap_ops owner_ops = {
	.page_free = owner_page_free,
};

/* Take a free page. A page whose count is not yet 1 is on the way back. */
static struct page *owner_take(void)
{
	unsigned long i;

	lockdep_assert_held(&owner_mutex);
	for (i = 0; owner.pdev && i < owner.nr; i++) {
		unsigned long at = owner.cursor++ % owner.nr;
		struct page *page = owner.first + at;

		if (READ_ONCE(owner.state[at]) == OWNER_FREE &&
		    page_ref_count(page) == 1) {
			owner.state[at] = OWNER_TAKEN;
			atomic_inc(&owner_taken);
			return page;
		}
	}
	return NULL;
}

static void owner_drop_held(void)
{
	lockdep_assert_held(&owner_mutex);
	while (owner_nr_held)
		put_page(owner_held[--owner_nr_held]);
}

/* A driver takes a page over only in the state after registration. */
static int owner_check_page(struct pci_dev *pdev, struct page *page)
{
	if (is_pci_p2pdma_page(page) && page_ref_count(page) == 1 &&
	    !page->zone_device_data && page->pgmap == owner.pgmap)
		return 0;
	pci_err(pdev, "page %#lx: count %d, zone_device_data %p\n",
		page_to_pfn(page), page_ref_count(page), page->zone_device_data);
	return -EBUSY;
}

/* The range is registered: check all pages, then write the pointers. */
static int owner_take_over(struct pci_dev *pdev)
{
	unsigned long i;
	int ret;

	owner.first = pfn_to_page(PHYS_PFN(pci_resource_start(pdev, bar)));
	owner.pgmap = owner.first->pgmap;
	for (i = 0; i < owner.nr; i++) {
		ret = owner_check_page(pdev, owner.first + i);
		if (ret)
			return ret;
	}
	for (i = 0; i < owner.nr; i++)
		owner.first[i].zone_device_data = &owner.state[i];
	guard(mutex)(&owner_mutex);
	owner.pdev = pdev;
	return 0;
}

static int owner_prepare(struct pci_dev *pdev)
{
	if (bar > PCI_STD_RESOURCE_END)
		return -EINVAL;
	owner.nr = (size ?: pci_resource_len(pdev, bar)) >> PAGE_SHIFT;
	owner.state = kvzalloc(owner.nr, GFP_KERNEL);
	return owner.state ? 0 : -ENOMEM;
}

/* The module's own user mapping */

static int owner_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long addr;
	struct page *page;
	int ret;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP);
	guard(mutex)(&owner_mutex);
	for (addr = vma->vm_start; addr < vma->vm_end; addr += PAGE_SIZE) {
		page = owner_take();
		if (!page)
			return owner.pdev ? -ENOMEM : -ENODEV;
		ret = vm_insert_page(vma, addr, page);
		/*
		 * The page table owns the page now. On error, the page comes
		 * back.
		 */
		put_page(page);
		if (ret)
			return ret;
	}
	return 0;
}

static const struct file_operations owner_fops = {
	.owner = THIS_MODULE,
	.mmap = owner_mmap,
};

static struct miscdevice owner_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &owner_fops,
};

/* Parameters for tests */

static int owner_hold(const char *text, const struct kernel_param *param)
{
	unsigned int nr;
	int ret;

	ret = kstrtouint(text, 0, &nr);
	if (ret)
		return ret;
	if (nr > OWNER_HOLD_MAX)
		return -E2BIG;
	guard(mutex)(&owner_mutex);
	owner_drop_held();
	while (owner_nr_held < nr) {
		struct page *page = owner_take();

		if (!page)
			return -ENOMEM;
		owner_held[owner_nr_held++] = page;
	}
	return 0;
}

static int owner_holds(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "%u\n", READ_ONCE(owner_nr_held));
}

static const struct kernel_param_ops owner_hold_ops = {
	.set = owner_hold,
	.get = owner_holds,
};
module_param_cb(hold, &owner_hold_ops, NULL, 0600);
MODULE_PARM_DESC(hold, "number of pages to hold, 0 to drop all");

/* Map the held pages for DMA, and remember the result. */
static int owner_map_held(struct device *client)
{
	struct scatterlist sg[OWNER_MAP_PAGES];
	unsigned int i;

	sg_init_table(sg, OWNER_MAP_PAGES);
	for (i = 0; i < OWNER_MAP_PAGES; i++)
		sg_set_page(&sg[i], owner_held[i], PAGE_SIZE, 0);
	owner_mapped = "none";
	if (!dma_map_sg(client, sg, OWNER_MAP_PAGES, DMA_BIDIRECTIONAL))
		return 0;
	owner_mapped = sg_dma_is_bus_address(sg) ? "bus" : "host";
	dma_unmap_sg(client, sg, OWNER_MAP_PAGES, DMA_BIDIRECTIONAL);
	return 0;
}

static struct pci_dev *owner_function(const char *name)
{
	unsigned int domain, bus, slot, func;

	if (sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
}

static int owner_map(const char *text, const struct kernel_param *param)
{
	struct pci_dev *client = owner_function(text);
	int ret = -EBUSY;

	if (!client)
		return -ENODEV;
	mutex_lock(&owner_mutex);
	if (owner_nr_held >= OWNER_MAP_PAGES)
		ret = owner_map_held(&client->dev);
	mutex_unlock(&owner_mutex);
	pci_dev_put(client);
	return ret;
}

static int owner_map_get(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "%s\n", owner_mapped);
}

static const struct kernel_param_ops owner_map_ops = {
	.set = owner_map,
	.get = owner_map_get,
};
module_param_cb(map, &owner_map_ops, NULL, 0600);
MODULE_PARM_DESC(map, "write a client, read the way to the pages that are held");

static int owner_counter_get(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "%d\n", atomic_read(param->arg));
}

static const struct kernel_param_ops owner_counter_ops = {
	.get = owner_counter_get,
};
module_param_cb(freed, &owner_counter_ops, &owner_freed, 0400);
MODULE_PARM_DESC(freed, "number of calls of page_free()");
module_param_cb(taken, &owner_counter_ops, &owner_taken, 0400);
MODULE_PARM_DESC(taken, "number of pages in use");
module_param_cb(wrong, &owner_counter_ops, &owner_wrong, 0400);
MODULE_PARM_DESC(wrong, "number of surprises");

/* With pci_p2pdma_add_owned(), as the driver of the function */

static int owner_expect(struct pci_dev *pdev, const char *what, bool right)
{
	if (right)
		return 0;
	pci_err(pdev, "%s: unexpected answer\n", what);
	atomic_inc(&owner_wrong);
	return -EPROTO;
}

static int owner_check_arguments(struct pci_dev *pdev)
{
	size_t more = pci_resource_len(pdev, bar) + SZ_2M;

	return owner_expect(pdev, "no page_free",
			    pci_p2pdma_add_owned(pdev, bar, 0, 0, NULL) ==
			    -EINVAL) ?:
	       owner_expect(pdev, "BAR 6",
			    pci_p2pdma_add_owned(pdev, 6, 0, 0,
						 owner_page_free) == -EINVAL) ?:
	       owner_expect(pdev, "too much",
			    pci_p2pdma_add_owned(pdev, bar, more, 0,
						 owner_page_free) == -EINVAL) ?:
	       owner_expect(pdev, "not aligned",
			    pci_p2pdma_add_owned(pdev, bar, PAGE_SIZE, 0,
						 owner_page_free) == -EINVAL);
}

/* There is no pool. */
static int owner_check_pool(struct pci_dev *pdev)
{
	unsigned int nents;

	return owner_expect(pdev, "twice",
			    pci_p2pdma_add_owned(pdev, bar, size, 0,
						 owner_page_free) == -EBUSY) ?:
	       owner_expect(pdev, "alloc", !pci_p2pmem_alloc(pdev, 1)) ?:
	       owner_expect(pdev, "alloc_sgl",
			    !pci_p2pmem_alloc_sgl(pdev, &nents, 1));
}

static void owner_free_state(void *state)
{
	kvfree(state);
}

static int owner_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int ret;

	if (READ_ONCE(owner.pdev))
		return -EBUSY;
	ret = pcim_enable_device(pdev) ?: owner_prepare(pdev);
	/*
	 * devres releases in reverse order: the range goes before the states.
	 */
	ret = ret ?: devm_add_action_or_reset(&pdev->dev, owner_free_state,
					      owner.state);
	ret = ret ?: owner_check_arguments(pdev);
	ret = ret ?: pci_p2pdma_add_owned(pdev, bar, size, 0, owner_page_free);
	ret = ret ?: owner_check_pool(pdev);
	return ret ?: owner_take_over(pdev);
}

/* No page is given out from here on. devres waits for pages in use. */
static void owner_remove(struct pci_dev *pdev)
{
	guard(mutex)(&owner_mutex);
	owner.pdev = NULL;
}

static struct pci_driver owner_driver = {
	.name = KBUILD_MODNAME,
	.probe = owner_probe,
	.remove = owner_remove,
};

/* With pci_p2pdma_add_resource(), beside the driver of the function */

static void owner_unmap(struct pci_dev *pdev)
{
	devm_memunmap_pages(&pdev->dev, owner.pgmap);
	kvfree(owner.state);
}

/* The device lock keeps the driver of the function bound. */
static int owner_attach(struct pci_dev *pdev)
{
	int ret;

	guard(device)(&pdev->dev);
	if (!pdev->dev.driver)
		return -ENODEV;
	ret = owner_prepare(pdev);
	if (ret)
		return ret;
	ret = pci_p2pdma_add_resource(pdev, bar, size, 0);
	if (ret) {
		kvfree(owner.state);
		return ret;
	}
	ret = owner_take_over(pdev);
	if (ret) {
		owner_unmap(pdev);
		return ret;
	}
	owner.ops = owner.pgmap->ops;
	owner.pgmap->ops = &owner_ops;
	return 0;
}

static void owner_detach(struct pci_dev *pdev)
{
	unsigned long i;

	scoped_guard(mutex, &owner_mutex) {
		owner_drop_held();
		owner.pdev = NULL;
	}
	wait_event(owner_idle, !atomic_read(&owner_taken));
	guard(device)(&pdev->dev);
	for (i = 0; i < owner.nr; i++)
		owner.first[i].zone_device_data = NULL;
	owner.pgmap->ops = owner.ops;
	owner_unmap(pdev);
}

static int __init owner_start(void)
{
	struct pci_dev *pdev;
	int ret;

	if (!function)
		return pci_register_driver(&owner_driver);
	pdev = owner_function(function);
	if (!pdev)
		return -ENODEV;
	ret = owner_attach(pdev);
	/* owner_stop() drops the reference. */
	if (ret)
		pci_dev_put(pdev);
	return ret;
}

static void owner_stop(void)
{
	struct pci_dev *pdev = owner.pdev;

	if (!function) {
		mutex_lock(&owner_mutex);
		owner_drop_held();
		mutex_unlock(&owner_mutex);
		pci_unregister_driver(&owner_driver);
		return;
	}
	owner_detach(pdev);
	pci_dev_put(pdev);
}

static int __init owner_init(void)
{
	int ret;

	ret = owner_start();
	if (ret)
		return ret;
	ret = misc_register(&owner_misc);
	if (ret)
		owner_stop();
	return ret;
}
module_init(owner_init);

static void __exit owner_exit(void)
{
	misc_deregister(&owner_misc);
	owner_stop();
}
module_exit(owner_exit);

MODULE_DESCRIPTION("Manages the pages of a BAR itself, for tests");
MODULE_LICENSE("GPL");
