/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Peer-to-peer DMA between PCI functions: the public interface
 *
 * A provider is a function with a BAR that serves as memory; the driver of the
 * provider registers a range of the BAR. A client masters DMA to the memory. An
 * orchestrator chooses a provider in reach of all clients, allocates buffers
 * there and hands the buffers to the clients.
 *
 * pci_p2pdma_*() is the mechanism, pci_p2pmem_*() is the memory. The kernel-doc
 * is at the definitions in drivers/pci/p2pdma*.c, and the guide is
 * Documentation/driver-api/pci/p2pdma.rst.
 */
#ifndef _LINUX_PCI_P2PDMA_H
#define _LINUX_PCI_P2PDMA_H

#include <linux/err.h>
#include <linux/export.h>
#include <linux/pci.h>

struct dma_buf;
struct page;
struct scatterlist;

#ifdef CONFIG_PCI_P2PDMA

int pci_p2pdma_add_resource(struct pci_dev *pdev, int bar, size_t size,
			    u64 offset);
int pci_p2pdma_add_owned(struct pci_dev *pdev, int bar, size_t size, u64 offset,
			 void (*page_free)(struct page *page));

int pci_p2pdma_distance_many(struct pci_dev *provider, struct device **clients,
			     int nr_clients, bool verbose);
struct pci_dev *pci_p2pmem_find_many(struct device **clients, int nr_clients);

void pci_p2pmem_publish(struct pci_dev *provider, bool publish);
bool pci_has_p2pmem(struct pci_dev *provider);

void *pci_p2pmem_alloc(struct pci_dev *provider, size_t size);
void *pci_p2pmem_alloc_aligned(struct pci_dev *provider, size_t size,
			       size_t align);
void pci_p2pmem_free(struct pci_dev *provider, void *addr, size_t size);
pci_bus_addr_t pci_p2pmem_virt_to_bus(struct pci_dev *provider, void *addr);

struct scatterlist *pci_p2pmem_alloc_sgl(struct pci_dev *provider,
					 unsigned int *nents, u32 length);
struct scatterlist *pci_p2pmem_alloc_sgl_contig(struct pci_dev *provider,
						u32 length);
void pci_p2pmem_free_sgl(struct pci_dev *provider, struct scatterlist *sgl);

int pci_p2pdma_enable_store(const char *text, struct pci_dev **provider,
			    bool *wanted);
ssize_t pci_p2pdma_enable_show(char *text, struct pci_dev *provider,
			       bool wanted);

#else /* !CONFIG_PCI_P2PDMA */

static inline int pci_p2pdma_add_resource(struct pci_dev *pdev, int bar,
					  size_t size, u64 offset)
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

static inline struct pci_dev *pci_p2pmem_find_many(struct device **clients,
						   int nr_clients)
{
	return NULL;
}

static inline void pci_p2pmem_publish(struct pci_dev *provider, bool publish)
{
}

static inline bool pci_has_p2pmem(struct pci_dev *provider)
{
	return false;
}

static inline void *pci_p2pmem_alloc(struct pci_dev *provider, size_t size)
{
	return NULL;
}

static inline void *pci_p2pmem_alloc_aligned(struct pci_dev *provider,
					     size_t size, size_t align)
{
	return NULL;
}

static inline void pci_p2pmem_free(struct pci_dev *provider, void *addr,
				   size_t size)
{
}

static inline pci_bus_addr_t pci_p2pmem_virt_to_bus(struct pci_dev *provider,
						    void *addr)
{
	return 0;
}

static inline struct scatterlist *
pci_p2pmem_alloc_sgl(struct pci_dev *provider, unsigned int *nents, u32 length)
{
	return NULL;
}

static inline struct scatterlist *
pci_p2pmem_alloc_sgl_contig(struct pci_dev *provider, u32 length)
{
	return NULL;
}

static inline void pci_p2pmem_free_sgl(struct pci_dev *provider,
				       struct scatterlist *sgl)
{
}

static inline int pci_p2pdma_enable_store(const char *text,
					  struct pci_dev **provider,
					  bool *wanted)
{
	*wanted = false;
	return 0;
}

static inline ssize_t pci_p2pdma_enable_show(char *text,
					     struct pci_dev *provider,
					     bool wanted)
{
	return sprintf(text, "none\n");
}

#endif /* CONFIG_PCI_P2PDMA */

#ifdef CONFIG_PCI_P2PDMA_DMABUF

struct dma_buf *__pci_p2pmem_export(struct pci_dev *provider, void *addr,
				    size_t size, unsigned int flags,
				    void (*release)(void *data), void *data,
				    struct module *owner);

#else /* !CONFIG_PCI_P2PDMA_DMABUF */

static inline struct dma_buf *
__pci_p2pmem_export(struct pci_dev *provider, void *addr, size_t size,
		    unsigned int flags, void (*release)(void *data),
		    void *data, struct module *owner)
{
	return ERR_PTR(-EOPNOTSUPP);
}

#endif /* CONFIG_PCI_P2PDMA_DMABUF */

/* See __pci_p2pmem_export(). */
#define pci_p2pmem_export(provider, addr, size, flags, release, data)	\
	__pci_p2pmem_export(provider, addr, size, flags, release, data,	\
			    THIS_MODULE)

/**
 * pci_p2pdma_distance - distance between a provider and one client
 * @provider: function with the memory
 * @client: device that would master DMA: a PCI function, or a child of a PCI
 *	function
 * @verbose: log the reason if there is no route
 *
 * Context: Any.
 * Return: number of hops; negative without a route.
 */
static inline int pci_p2pdma_distance(struct pci_dev *provider,
				      struct device *client, bool verbose)
{
	return pci_p2pdma_distance_many(provider, &client, 1, verbose);
}

/**
 * pci_p2pmem_find - find the best published peer memory for one client
 * @client: device that would master DMA: a PCI function, or a child of a PCI
 *	function
 *
 * Context: Any.
 * Return: the provider, to be released with pci_dev_put(), or NULL.
 */
static inline struct pci_dev *pci_p2pmem_find(struct device *client)
{
	return pci_p2pmem_find_many(&client, 1);
}

/* Names that callers in Linux 6.12 use. */
static inline void *pci_alloc_p2pmem(struct pci_dev *provider, size_t size)
{
	return pci_p2pmem_alloc(provider, size);
}

static inline void pci_free_p2pmem(struct pci_dev *provider, void *addr,
				   size_t size)
{
	pci_p2pmem_free(provider, addr, size);
}

#endif /* _LINUX_PCI_P2PDMA_H */
