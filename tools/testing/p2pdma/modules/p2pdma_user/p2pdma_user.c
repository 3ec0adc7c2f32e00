// SPDX-License-Identifier: GPL-2.0
/*
 * A small orchestrator: asks for distances, and holds peer memory on request.
 *
 *	cd /sys/module/p2pdma_user/parameters
 *	echo 0000:03:00.0 0000:04:00.0 > ask	# provider, client; logs reasons
 *	cat ask					# distance, negative for no route
 *	echo 0000:03:00.0 65536 > hold		# allocate bytes of the provider
 *	echo 0 > hold				# free the bytes
 *	echo 0000:03:00.0 16384 > sieve		# take pages, free every other
 *	echo 0 > sieve				# free the rest of the pages
 *	echo 0x7f0000000000 > look		# address in a mapping of the writer
 *	cat look				# caching of the mapping
 *
 * All names are also names of stock Linux 6.12, so the module loads there, too.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cleanup.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci-p2pdma.h>
#include <linux/pgtable.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

static DEFINE_MUTEX(user_mutex);
static int user_distance = -ENODATA;

static struct {
	struct pci_dev *provider;
	struct scatterlist *memory;
	size_t size;
} user_held;

/* Returns the function at an address like 0000:03:00.0, with a reference. */
static struct pci_dev *user_function(const char *name)
{
	unsigned int domain, bus, slot, func;

	if (sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
}

static int user_ask(const char *text, const struct kernel_param *param)
{
	struct pci_dev *provider, *client;
	char names[2][32];
	int ret = -ENODEV;

	if (sscanf(text, "%31s %31s", names[0], names[1]) != 2)
		return -EINVAL;
	provider = user_function(names[0]);
	client = user_function(names[1]);
	if (provider && client) {
		guard(mutex)(&user_mutex);
		user_distance = pci_p2pdma_distance(provider, &client->dev, true);
		ret = 0;
	}
	pci_dev_put(provider);
	pci_dev_put(client);
	return ret;
}

static int user_answer(char *text, const struct kernel_param *param)
{
	guard(mutex)(&user_mutex);
	return sysfs_emit(text, "%d\n", user_distance);
}

static const struct kernel_param_ops user_ask_ops = {
	.set = user_ask,
	.get = user_answer,
};
module_param_cb(ask, &user_ask_ops, NULL, 0600);
MODULE_PARM_DESC(ask, "write provider and client, read the distance");

static void user_release(void)
{
	if (!user_held.memory)
		return;
	pci_p2pmem_free_sgl(user_held.provider, user_held.memory);
	pci_dev_put(user_held.provider);
	user_held.memory = NULL;
	user_held.size = 0;
}

static int user_take(const char *name, size_t size)
{
	struct pci_dev *provider = user_function(name);
	unsigned int nents;

	if (!provider)
		return -ENODEV;
	/*
	 * A list, as in the NVMe-oF target: free memory need not be contiguous.
	 */
	user_held.memory = pci_p2pmem_alloc_sgl(provider, &nents, size);
	if (!user_held.memory) {
		pci_dev_put(provider);
		return -ENOMEM;
	}
	user_held.provider = provider;
	user_held.size = size;
	return 0;
}

static int user_hold(const char *text, const struct kernel_param *param)
{
	char name[32];
	size_t size;

	guard(mutex)(&user_mutex);
	if (sysfs_streq(text, "0")) {
		user_release();
		return 0;
	}
	if (sscanf(text, "%31s %zu", name, &size) != 2 || size > U32_MAX)
		return -EINVAL;
	return user_held.memory ? -EBUSY : user_take(name, size);
}

static int user_holds(char *text, const struct kernel_param *param)
{
	guard(mutex)(&user_mutex);
	return sysfs_emit(text, "%zu\n", user_held.size);
}

static const struct kernel_param_ops user_hold_ops = {
	.set = user_hold,
	.get = user_holds,
};
module_param_cb(hold, &user_hold_ops, NULL, 0600);
MODULE_PARM_DESC(hold, "write provider and bytes, or 0; read the bytes held");

/* Held pages, chosen so that no two free pages are adjacent. */
static struct {
	struct pci_dev *provider;
	void **page;
	unsigned long nr;
} user_sieve;

static void user_close_sieve(void)
{
	while (user_sieve.nr) {
		void *page = user_sieve.page[--user_sieve.nr];

		pci_free_p2pmem(user_sieve.provider, page, PAGE_SIZE);
	}
	kvfree(user_sieve.page);
	pci_dev_put(user_sieve.provider);
	user_sieve.page = NULL;
	user_sieve.provider = NULL;
}

/* Take up to @limit pages, and free the pages with an odd number. */
static void user_fill_sieve(unsigned long limit)
{
	unsigned long taken, nr;
	void *page;

	for (taken = 0; taken < limit; taken++) {
		user_sieve.page[taken] = pci_alloc_p2pmem(user_sieve.provider, PAGE_SIZE);
		if (!user_sieve.page[taken])
			break;
	}
	for (nr = 0; nr < taken; nr++) {
		page = user_sieve.page[nr];
		if ((unsigned long)page >> PAGE_SHIFT & 1)
			pci_free_p2pmem(user_sieve.provider, page, PAGE_SIZE);
		else
			user_sieve.page[user_sieve.nr++] = page;
	}
}

static int user_set_sieve(const char *text, const struct kernel_param *param)
{
	unsigned long limit;
	char name[32];

	guard(mutex)(&user_mutex);
	if (sysfs_streq(text, "0")) {
		user_close_sieve();
		return 0;
	}
	if (sscanf(text, "%31s %lu", name, &limit) != 2)
		return -EINVAL;
	if (user_sieve.provider)
		return -EBUSY;
	user_sieve.provider = user_function(name);
	if (!user_sieve.provider)
		return -ENODEV;
	user_sieve.page = kvmalloc_array(limit, sizeof(*user_sieve.page), GFP_KERNEL);
	if (!user_sieve.page) {
		user_close_sieve();
		return -ENOMEM;
	}
	user_fill_sieve(limit);
	return 0;
}

static int user_get_sieve(char *text, const struct kernel_param *param)
{
	guard(mutex)(&user_mutex);
	return sysfs_emit(text, "%lu\n", user_sieve.nr);
}

static const struct kernel_param_ops user_sieve_ops = {
	.set = user_set_sieve,
	.get = user_get_sieve,
};
module_param_cb(sieve, &user_sieve_ops, NULL, 0600);
MODULE_PARM_DESC(sieve, "write provider and pages, or 0; read the pages held");

static bool user_uncached;

/* What mmap() puts into the page table has the caching of the mapping. */
static int user_look(const char *text, const struct kernel_param *param)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long addr;
	int ret;

	ret = kstrtoul(text, 0, &addr);
	if (ret)
		return ret;
	mmap_read_lock(mm);
	vma = find_vma(mm, addr);
	ret = vma && vma->vm_start <= addr ? 0 : -EFAULT;
	if (!ret)
		WRITE_ONCE(user_uncached, pgprot_val(vma->vm_page_prot) ==
			   pgprot_val(pgprot_noncached(vma->vm_page_prot)));
	mmap_read_unlock(mm);
	return ret;
}

static int user_seen(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "%s\n", READ_ONCE(user_uncached) ? "uncached" : "cached");
}

static const struct kernel_param_ops user_look_ops = {
	.set = user_look,
	.get = user_seen,
};
module_param_cb(look, &user_look_ops, NULL, 0600);
MODULE_PARM_DESC(look, "write an address of the writer, read the caching");

static int __init user_init(void)
{
	return 0;
}
module_init(user_init);

static void __exit user_exit(void)
{
	user_release();
	user_close_sieve();
}
module_exit(user_exit);

MODULE_DESCRIPTION("Asks about and holds PCI peer memory, for tests");
MODULE_LICENSE("GPL");
