/* SPDX-License-Identifier: GPL-2.0 */
/* What the p2pdma suites share: providers and memory that go with the test. */
#ifndef _P2PDMA_KUNIT_H
#define _P2PDMA_KUNIT_H

#include <linux/pci.h>
#include <linux/sizes.h>

struct kunit;

/**
 * struct p2pdma_kunit_range - a range to register
 * @bar: index of the BAR
 * @size: as for pci_p2pdma_add_resource()
 * @offset: likewise
 */
struct p2pdma_kunit_range {
	int bar;
	size_t size;
	u64 offset;
};

/**
 * struct p2pdma_kunit_mem - memory that a test has allocated
 * @pdev: from whom
 * @addr: where
 * @size: how much was asked for
 */
struct p2pdma_kunit_mem {
	struct pci_dev *pdev;
	void *addr;
	size_t size;
};

void p2pdma_kunit_provide_ranges(struct kunit *test, struct pci_dev *pdev,
				 const struct p2pdma_kunit_range *ranges, unsigned int nr);
void p2pdma_kunit_provide(struct kunit *test, struct pci_dev *pdev);

struct p2pdma_kunit_mem *p2pdma_kunit_alloc(struct kunit *test, struct pci_dev *pdev,
					    size_t size);
void p2pdma_kunit_free(struct kunit *test, struct p2pdma_kunit_mem *mem);

u64 p2pdma_kunit_number(struct kunit *test, struct pci_dev *pdev, const char *name);

bool p2pdma_kunit_cpu_routes(void);
bool p2pdma_kunit_cpu_does_not_route(void);

#endif /* _P2PDMA_KUNIT_H */
