// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: the words of an attribute that asks for peer memory
 *
 * Orchestrators such as the NVMe-oF target let the administrator choose: no peer memory, any, or
 * that of one provider. This file parses and prints the choice, so that all of them use the same
 * words. A word is taken whole: a mistyped address is never read as the boolean that it begins
 * with.
 */
#define pr_fmt(fmt) "pci-p2pdma: " fmt

#include <linux/pci-p2pdma.h>
#include <linux/string.h>

static const char * const p2pdma_words_on[] = { "1", "y", "yes", "on", "t", "true" };
static const char * const p2pdma_words_off[] = { "0", "n", "no", "off", "f", "false" };

/* Without white space around it, a written word may end in a newline. */
static bool p2pdma_word_in(const char *word, size_t len, const char * const *words, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strlen(words[i]) == len && !strncasecmp(words[i], word, len))
			return true;
	return false;
}

static int p2pdma_provider_by_name(const char *name, struct pci_dev **p2p_dev)
{
	int len = strcspn(name, "\n");
	struct pci_dev *pdev;
	struct device *dev;

	dev = bus_find_device_by_name(&pci_bus_type, NULL, name);
	if (!dev) {
		pr_err("No such PCI device: %.*s\n", len, name);
		return -ENODEV;
	}

	pdev = to_pci_dev(dev);
	if (!pci_has_p2pmem(pdev)) {
		pr_err("PCI device has no peer-to-peer memory: %.*s\n", len, name);
		pci_dev_put(pdev);
		return -ENODEV;
	}
	*p2p_dev = pdev;
	return 0;
}

/**
 * pci_p2pdma_enable_store - parse a choice of peer memory
 * @page: what was written: a boolean word, or the address of a provider (0000:03:00.0); may end
 *	in a newline
 * @p2p_dev: the provider, with a reference that pci_dev_put() drops; NULL for a boolean word
 * @use_p2pdma: whether peer memory is wanted
 *
 * Neither result is touched when an error is returned.
 *
 * Context: May sleep.
 * Return: 0; -ENODEV if an address names no PCI function, or one that has no published peer
 * memory; -EINVAL for any other text.
 */
int pci_p2pdma_enable_store(const char *page, struct pci_dev **p2p_dev, bool *use_p2pdma)
{
	size_t len = strcspn(page, "\n");
	int ret;

	if (page[len] && page[len + 1])
		goto refuse;

	if (p2pdma_word_in(page, len, p2pdma_words_on, ARRAY_SIZE(p2pdma_words_on)) ||
	    p2pdma_word_in(page, len, p2pdma_words_off, ARRAY_SIZE(p2pdma_words_off))) {
		*use_p2pdma = p2pdma_word_in(page, len, p2pdma_words_on,
					     ARRAY_SIZE(p2pdma_words_on));
		*p2p_dev = NULL;
		return 0;
	}

	/* Every address has a colon, no boolean has one. */
	if (!memchr(page, ':', len))
		goto refuse;

	ret = p2pdma_provider_by_name(page, p2p_dev);
	if (!ret)
		*use_p2pdma = true;
	return ret;

refuse:
	pr_err("neither a boolean nor the address of a PCI device: %.*s\n", (int)len, page);
	return -EINVAL;
}
EXPORT_SYMBOL_GPL(pci_p2pdma_enable_store);

/**
 * pci_p2pdma_enable_show - print a choice of peer memory
 * @page: a page to print to
 * @p2p_dev: the provider that was chosen, or NULL
 * @use_p2pdma: whether peer memory is wanted
 *
 * Prints what pci_p2pdma_enable_store() would read back as the same choice.
 *
 * Context: Any.
 * Return: number of bytes printed.
 */
ssize_t pci_p2pdma_enable_show(char *page, struct pci_dev *p2p_dev, bool use_p2pdma)
{
	if (!use_p2pdma || !p2p_dev)
		return sprintf(page, "%d\n", use_p2pdma);
	return sprintf(page, "%s\n", pci_name(p2p_dev));
}
EXPORT_SYMBOL_GPL(pci_p2pdma_enable_show);
