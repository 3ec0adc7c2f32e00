// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers of the p2pdma suites: providers and peer memory for a test.
 */

#include <kunit/resource.h>
#include <kunit/test.h>

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kstrtox.h>
#include <linux/kthread.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "mock_pci.h"
#include "p2pdma_kunit.h"

struct ranges {
	const struct p2pdma_kunit_range *range;
	unsigned int nr;
};

static int provide_probe(struct pci_dev *pdev, void *data)
{
	const struct ranges *ranges = data;
	unsigned int i;
	int err = 0;

	for (i = 0; i < ranges->nr && !err; i++)
		err = pci_p2pdma_add_resource(pdev, ranges->range[i].bar,
					      ranges->range[i].size,
					      ranges->range[i].offset);
	if (!err)
		pci_p2pmem_publish(pdev, true);
	return err;
}

/**
 * p2pdma_kunit_provide_ranges - bind a function to a provider's driver
 * @test: the test; fails if the driver cannot register or publish memory
 * @pdev: the function
 * @ranges: ranges of memory to register
 * @nr: number of ranges
 */
void p2pdma_kunit_provide_ranges(struct kunit *test, struct pci_dev *pdev,
				 const struct p2pdma_kunit_range *ranges,
				 unsigned int nr)
{
	struct ranges all = { .range = ranges, .nr = nr };

	p2pdma_kunit_no_heaps(test);
	KUNIT_ASSERT_EQ_MSG(test, 0, mock_pci_bind(pdev, provide_probe, &all),
			    "%s", pci_name(pdev));
}

/**
 * p2pdma_kunit_provide - make a function a provider of the whole BAR 0
 * @test: the test; fails if the driver cannot register or publish memory
 * @pdev: the function
 */
void p2pdma_kunit_provide(struct kunit *test, struct pci_dev *pdev)
{
	static const struct p2pdma_kunit_range whole = { .bar = 0 };

	p2pdma_kunit_provide_ranges(test, pdev, &whole, 1);
}

static void free_mem(void *data)
{
	struct p2pdma_kunit_mem *mem = data;

	pci_p2pmem_free(mem->pdev, mem->addr, mem->size);
	kfree(mem);
}

/**
 * p2pdma_kunit_alloc - allocate peer memory until the end of the test
 * @test: the test
 * @pdev: the provider
 * @size: number of bytes
 *
 * Return: the memory, or NULL if the provider has not enough free memory.
 */
struct p2pdma_kunit_mem *p2pdma_kunit_alloc(struct kunit *test,
					    struct pci_dev *pdev, size_t size)
{
	struct p2pdma_kunit_mem *mem = kzalloc(sizeof(*mem), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, mem);
	mem->pdev = pdev;
	mem->size = size;
	mem->addr = pci_p2pmem_alloc(pdev, size);
	if (!mem->addr) {
		kfree(mem);
		return NULL;
	}
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, free_mem, mem));
	return mem;
}

/**
 * p2pdma_kunit_free - free peer memory before the end of the test
 * @test: the test
 * @mem: the memory
 */
void p2pdma_kunit_free(struct kunit *test, struct p2pdma_kunit_mem *mem)
{
	kunit_release_action(test, free_mem, mem);
}

static int unbind_thread(void *data)
{
	struct p2pdma_kunit_unbind *unbind = data;

	mock_pci_unbind(unbind->pdev);
	complete_all(&unbind->done);
	return 0;
}

static void wait_for_unbind(void *data)
{
	struct p2pdma_kunit_unbind *unbind = data;

	if (!IS_ERR_OR_NULL(unbind->task))
		wait_for_completion(&unbind->done);
}

/**
 * p2pdma_kunit_unbind_new - prepare a thread that unbinds a provider
 * @test: the test, which waits for the thread at the end
 * @pdev: the provider
 *
 * Call before any allocation: the end of a test runs actions in reverse order,
 * so a test that fails frees the memory before waiting for the thread.
 *
 * Return: the thread, not started.
 */
struct p2pdma_kunit_unbind *p2pdma_kunit_unbind_new(struct kunit *test,
						    struct pci_dev *pdev)
{
	struct p2pdma_kunit_unbind *unbind =
		kunit_kzalloc(test, sizeof(*unbind), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, unbind);
	unbind->pdev = pdev;
	init_completion(&unbind->done);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, wait_for_unbind,
						  unbind));
	return unbind;
}

/**
 * p2pdma_kunit_unbind_begin - start the unbinding; also again after the end
 * @test: the test
 * @unbind: the thread
 */
void p2pdma_kunit_unbind_begin(struct kunit *test,
			       struct p2pdma_kunit_unbind *unbind)
{
	reinit_completion(&unbind->done);
	unbind->task = kthread_run(unbind_thread, unbind, "p2pdma-unbind");
	KUNIT_ASSERT_FALSE(test, IS_ERR(unbind->task));
}

/**
 * p2pdma_kunit_unbind_ends - wait for the end of the unbinding
 * @unbind: the thread
 *
 * Return: false if the unbinding does not end.
 */
bool p2pdma_kunit_unbind_ends(struct p2pdma_kunit_unbind *unbind)
{
	return wait_for_completion_timeout(&unbind->done, 30 * HZ);
}

/**
 * p2pdma_kunit_number - read a number from the sysfs directory of a provider
 * @test: the test; fails without the file, or without a number in the file
 * @pdev: the provider
 * @name: name of the file, such as "available"
 *
 * Return: the number.
 */
u64 p2pdma_kunit_number(struct kunit *test, struct pci_dev *pdev,
			const char *name)
{
	char path[32], text[32];
	u64 number = 0;

	snprintf(path, sizeof(path), "p2pmem/%s", name);
	KUNIT_ASSERT_GT_MSG(test,
			    mock_pci_sysfs_read(test, &pdev->dev, path, text,
						sizeof(text)),
			    0, "%s", path);
	KUNIT_ASSERT_EQ_MSG(test, 0, kstrtou64(text, 10, &number),
			    "%s is \"%s\"", path, text);
	return number;
}

/* Stubs for p2pdma_cpu_routes(): hide the processor of the test machine. */
bool p2pdma_kunit_cpu_routes(void)
{
	return true;
}

bool p2pdma_kunit_cpu_does_not_route(void)
{
	return false;
}
