/* SPDX-License-Identifier: GPL-2.0 */
/* Helpers of the p2pdma suites: providers and peer memory for a test. */
#ifndef _P2PDMA_KUNIT_H
#define _P2PDMA_KUNIT_H

#include <linux/completion.h>
#include <linux/pci.h>
#include <linux/sizes.h>

struct dma_buf;
struct kunit;
struct task_struct;

/**
 * struct p2pdma_kunit_range - a range to register
 * @bar: index of the BAR
 * @size: size for pci_p2pdma_add_resource(), 0 for the rest of the BAR
 * @offset: offset in the BAR
 */
struct p2pdma_kunit_range {
	int bar;
	size_t size;
	u64 offset;
};

/**
 * struct p2pdma_kunit_mem - memory from p2pdma_kunit_alloc()
 * @pdev: the provider
 * @addr: kernel address of the memory
 * @size: requested number of bytes
 */
struct p2pdma_kunit_mem {
	struct pci_dev *pdev;
	void *addr;
	size_t size;
};

/**
 * struct p2pdma_kunit_unbind - thread that unbinds a provider
 * @pdev: the provider
 * @task: the thread, once started
 * @done: completed for all waiters at the end of the unbinding
 */
struct p2pdma_kunit_unbind {
	struct pci_dev *pdev;
	struct task_struct *task;
	struct completion done;
};

void p2pdma_kunit_provide_ranges(struct kunit *test, struct pci_dev *pdev,
				 const struct p2pdma_kunit_range *ranges,
				 unsigned int nr);
void p2pdma_kunit_provide(struct kunit *test, struct pci_dev *pdev);

struct p2pdma_kunit_mem *p2pdma_kunit_alloc(struct kunit *test,
					    struct pci_dev *pdev, size_t size);
void p2pdma_kunit_free(struct kunit *test, struct p2pdma_kunit_mem *mem);

struct p2pdma_kunit_unbind *p2pdma_kunit_unbind_new(struct kunit *test,
						    struct pci_dev *pdev);
void p2pdma_kunit_unbind_begin(struct kunit *test,
			       struct p2pdma_kunit_unbind *unbind);
bool p2pdma_kunit_unbind_ends(struct p2pdma_kunit_unbind *unbind);

u64 p2pdma_kunit_number(struct kunit *test, struct pci_dev *pdev,
			const char *name);

#ifdef CONFIG_PCI_P2PDMA_DMABUF
void p2pdma_kunit_no_heaps(struct kunit *test);
struct dma_buf *p2pdma_kunit_export(struct kunit *test,
				    struct pci_dev *provider);
int p2pdma_kunit_attach(struct dma_buf *buf, struct pci_dev *client,
			const char **reason);
#else
static inline void p2pdma_kunit_no_heaps(struct kunit *test)
{
}

static inline struct dma_buf *p2pdma_kunit_export(struct kunit *test,
						  struct pci_dev *provider)
{
	return NULL;
}

static inline int p2pdma_kunit_attach(struct dma_buf *buf,
				      struct pci_dev *client,
				      const char **reason)
{
	return 0;
}
#endif

bool p2pdma_kunit_cpu_routes(void);
bool p2pdma_kunit_cpu_does_not_route(void);

#endif /* _P2PDMA_KUNIT_H */
