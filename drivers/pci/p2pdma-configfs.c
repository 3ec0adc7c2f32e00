// SPDX-License-Identifier: GPL-2.0
/*
 * The words of attributes that ask for peer memory
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

static int p2pdma_provider_by_name(const char *name, struct pci_dev **provider)
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
	*provider = pdev;
	return 0;
}

/**
 * pci_p2pdma_enable_store - parse a choice of peer memory
 * @text: what was written: a boolean word, or the address of a provider (0000:03:00.0); may end
 *	in a newline
 * @provider: the provider, with a reference that pci_dev_put() drops; NULL for a boolean word
 * @wanted: whether peer memory is wanted
 *
 * Neither result is touched when an error is returned.
 *
 * Context: May sleep.
 * Return: 0; -ENODEV if an address names no PCI function, or one that has no published peer
 * memory; -EINVAL for any other text.
 */
int pci_p2pdma_enable_store(const char *text, struct pci_dev **provider, bool *wanted)
{
	size_t len = strcspn(text, "\n");
	int ret;

	if (text[len] && text[len + 1])
		goto refuse;

	if (p2pdma_word_in(text, len, p2pdma_words_on, ARRAY_SIZE(p2pdma_words_on)) ||
	    p2pdma_word_in(text, len, p2pdma_words_off, ARRAY_SIZE(p2pdma_words_off))) {
		*wanted = p2pdma_word_in(text, len, p2pdma_words_on, ARRAY_SIZE(p2pdma_words_on));
		*provider = NULL;
		return 0;
	}

	/* Every address has a colon, no boolean has one. */
	if (!memchr(text, ':', len))
		goto refuse;

	ret = p2pdma_provider_by_name(text, provider);
	if (!ret)
		*wanted = true;
	return ret;

refuse:
	pr_err("neither a boolean nor the address of a PCI device: %.*s\n", (int)len, text);
	return -EINVAL;
}
EXPORT_SYMBOL_GPL(pci_p2pdma_enable_store);

/**
 * pci_p2pdma_enable_show - print a choice of peer memory
 * @text: a page to print to
 * @provider: the one that was chosen, or NULL
 * @wanted: whether peer memory is wanted
 *
 * Prints what pci_p2pdma_enable_store() would read back as the same choice.
 *
 * Context: Any.
 * Return: number of bytes printed.
 */
ssize_t pci_p2pdma_enable_show(char *text, struct pci_dev *provider, bool wanted)
{
	if (!wanted || !provider)
		return sprintf(text, "%d\n", wanted);
	return sprintf(text, "%s\n", pci_name(provider));
}
EXPORT_SYMBOL_GPL(pci_p2pdma_enable_show);
