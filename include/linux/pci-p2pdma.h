/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Peer-to-peer DMA between PCI functions: the public interface.
 *
 * Three kinds of driver meet here. A provider owns a BAR that can serve as memory and registers a
 * range of it. A client masters DMA to that memory. An orchestrator picks a provider that all of
 * its clients can reach, allocates buffers there and hands them to the clients.
 *
 * pci_p2pdma_*() is the mechanism, pci_p2pmem_*() is the memory. kernel-doc stands at the
 * definitions in drivers/pci/p2pdma*.c, and Documentation/driver-api/pci/p2pdma.rst is the guide.
 */
#ifndef _LINUX_PCI_P2PDMA_H
#define _LINUX_PCI_P2PDMA_H

#include <linux/pci.h>

struct page;
struct scatterlist;

#ifdef CONFIG_PCI_P2PDMA

int pci_p2pdma_add_resource(struct pci_dev *pdev, int bar, size_t size,
			    u64 offset);
int pci_p2pdma_add_owned(struct pci_dev *pdev, int bar, size_t size, u64 offset,
			 void (*page_free)(struct page *page));

int pci_p2pdma_distance_many(struct pci_dev *provider, struct device **clients, int nr_clients,
			     bool verbose);
struct pci_dev *pci_p2pmem_find_many(struct device **clients, int nr_clients);

void pci_p2pmem_publish(struct pci_dev *provider, bool publish);
bool pci_has_p2pmem(struct pci_dev *provider);

void *pci_p2pmem_alloc(struct pci_dev *provider, size_t size);
void *pci_p2pmem_alloc_aligned(struct pci_dev *provider, size_t size, size_t align);
void pci_p2pmem_free(struct pci_dev *provider, void *addr, size_t size);
pci_bus_addr_t pci_p2pmem_virt_to_bus(struct pci_dev *provider, void *addr);

struct scatterlist *pci_p2pmem_alloc_sgl(struct pci_dev *provider, unsigned int *nents,
					 u32 length);
struct scatterlist *pci_p2pmem_alloc_sgl_contig(struct pci_dev *provider, u32 length);
void pci_p2pmem_free_sgl(struct pci_dev *provider, struct scatterlist *sgl);

int pci_p2pdma_enable_store(const char *text, struct pci_dev **provider, bool *wanted);
ssize_t pci_p2pdma_enable_show(char *text, struct pci_dev *provider, bool wanted);

#else /* !CONFIG_PCI_P2PDMA */

static inline int pci_p2pdma_add_resource(struct pci_dev *pdev, int bar, size_t size, u64 offset)
{
	return -EOPNOTSUPP;
}

static inline int pci_p2pdma_add_owned(struct pci_dev *pdev, int bar,
				       size_t size, u64 offset,
				       void (*page_free)(struct page *page))
{
	return -EOPNOTSUPP;
}

static inline int pci_p2pdma_distance_many(struct pci_dev *provider,
					   struct device **clients,
					   int nr_clients, bool verbose)
{
	return -1;
}

static inline struct pci_dev *pci_p2pmem_find_many(struct device **clients, int nr_clients)
{
	return NULL;
}

static inline void pci_p2pmem_publish(struct pci_dev *provider, bool publish) { }

static inline bool pci_has_p2pmem(struct pci_dev *provider)
{
	return false;
}

static inline void *pci_p2pmem_alloc(struct pci_dev *provider, size_t size)
{
	return NULL;
}

static inline void *pci_p2pmem_alloc_aligned(struct pci_dev *provider, size_t size, size_t align)
{
	return NULL;
}

static inline void pci_p2pmem_free(struct pci_dev *provider, void *addr, size_t size) { }

static inline pci_bus_addr_t pci_p2pmem_virt_to_bus(struct pci_dev *provider, void *addr)
{
	return 0;
}

static inline struct scatterlist *pci_p2pmem_alloc_sgl(struct pci_dev *provider,
						       unsigned int *nents, u32 length)
{
	return NULL;
}

static inline struct scatterlist *pci_p2pmem_alloc_sgl_contig(struct pci_dev *provider, u32 length)
{
	return NULL;
}

static inline void pci_p2pmem_free_sgl(struct pci_dev *provider, struct scatterlist *sgl) { }

static inline int pci_p2pdma_enable_store(const char *text, struct pci_dev **provider,
					  bool *wanted)
{
	*wanted = false;
	return 0;
}

static inline ssize_t pci_p2pdma_enable_show(char *text, struct pci_dev *provider, bool wanted)
{
	return sprintf(text, "none\n");
}

#endif /* CONFIG_PCI_P2PDMA */

/**
 * pci_p2pdma_distance - distance between a provider and one client
 * @provider: function whose memory would be used
 * @client: device that would master DMA to it; a PCI function or any child of one
 * @verbose: say in the kernel log why there is no route
 *
 * Context: Any.
 * Return: number of hops, smaller is nearer; negative if there is no route.
 */
static inline int pci_p2pdma_distance(struct pci_dev *provider, struct device *client,
				      bool verbose)
{
	return pci_p2pdma_distance_many(provider, &client, 1, verbose);
}

/**
 * pci_p2pmem_find - find the best published peer memory for one client
 * @client: device that would master DMA to it; a PCI function or any child of one
 *
 * Context: Any.
 * Return: the provider, with a reference that pci_dev_put() drops, or NULL.
 */
static inline struct pci_dev *pci_p2pmem_find(struct device *client)
{
	return pci_p2pmem_find_many(&client, 1);
}

/* The spellings of Linux 6.12, for its callers. */
static inline void *pci_alloc_p2pmem(struct pci_dev *provider, size_t size)
{
	return pci_p2pmem_alloc(provider, size);
}

static inline void pci_free_p2pmem(struct pci_dev *provider, void *addr, size_t size)
{
	pci_p2pmem_free(provider, addr, size);
}

#endif /* _LINUX_PCI_P2PDMA_H */
