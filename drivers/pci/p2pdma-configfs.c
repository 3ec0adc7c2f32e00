// SPDX-License-Identifier: GPL-2.0
/*
 * Words of attributes that ask for peer memory
 *
 * Orchestrators such as the NVMe-oF target let the administrator choose: no
 * peer memory, any peer memory, or the memory of one provider. This file parses
 * and prints the choice, so that all orchestrators use the same words. A word
 * counts as a whole: a mistyped address never passes for the boolean at its
 * beginning.
 */
#define pr_fmt(fmt) "pci-p2pdma: " fmt

#include <linux/kernel.h>
#include <linux/pci-p2pdma.h>
#include <linux/string.h>

static const char * const p2pdma_words_on[] = {
	"1", "y", "yes", "on", "t", "true"
};

static const char * const p2pdma_words_off[] = {
	"0", "n", "no", "off", "f", "false"
};

/* White space around the word does not belong there. */
static bool p2pdma_word_in(const char *word, size_t len,
			   const char * const *words, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strlen(words[i]) == len &&
		    !strncasecmp(words[i], word, len))
			return true;
	return false;
}

/* Linux 6.12 has one error for anything else, and scripts know it. */
static int p2pdma_no_such_device(const char *name)
{
	pr_err("No such PCI device: %.*s\n", (int)strcspn(name, "\n"), name);
	return -ENODEV;
}

static int p2pdma_provider_by_name(const char *name, struct pci_dev **provider)
{
	struct pci_dev *pdev;
	struct device *dev;

	dev = bus_find_device_by_name(&pci_bus_type, NULL, name);
	if (!dev)
		return p2pdma_no_such_device(name);

	pdev = to_pci_dev(dev);
	if (!pci_has_p2pmem(pdev)) {
		/* Linux 6.12 has the first of both texts for both. */
		pr_err("PCI device has %s peer-to-peer memory: %s\n",
		       rcu_access_pointer(pdev->p2pdma) ? "not published its" :
							  "no", pci_name(pdev));
		pci_dev_put(pdev);
		return -ENODEV;
	}
	*provider = pdev;
	return 0;
}

/**
 * pci_p2pdma_enable_store - parse a choice of peer memory
 * @text: written text: a boolean word, or the address of a provider
 *	(0000:03:00.0); may end in a newline
 * @provider: the provider, with a reference that pci_dev_put() drops; NULL for
 *	a boolean word
 * @wanted: whether peer memory is wanted
 *
 * An error leaves both results alone.
 *
 * Context: May sleep.
 * Return: 0; -ENODEV if the text is neither a boolean word nor the address of a
 * PCI function with published peer memory.
 */
int pci_p2pdma_enable_store(const char *text, struct pci_dev **provider,
			    bool *wanted)
{
	size_t len = strcspn(text, "\n");
	bool on, off;
	int ret;

	might_sleep();
	if (text[len] && text[len + 1])
		return p2pdma_no_such_device(text);

	on = p2pdma_word_in(text, len, p2pdma_words_on,
			    ARRAY_SIZE(p2pdma_words_on));
	off = p2pdma_word_in(text, len, p2pdma_words_off,
			     ARRAY_SIZE(p2pdma_words_off));
	if (on || off) {
		*wanted = on;
		*provider = NULL;
		return 0;
	}

	ret = p2pdma_provider_by_name(text, provider);
	if (!ret)
		*wanted = true;
	return ret;
}
EXPORT_SYMBOL_GPL(pci_p2pdma_enable_store);

/**
 * pci_p2pdma_enable_show - print a choice of peer memory
 * @text: a page to print to
 * @provider: the chosen provider, or NULL
 * @wanted: whether peer memory is wanted
 *
 * pci_p2pdma_enable_store() reads the text back as the same choice.
 *
 * Context: Any.
 * Return: number of bytes printed.
 */
ssize_t pci_p2pdma_enable_show(char *text, struct pci_dev *provider,
			       bool wanted)
{
	if (!wanted || !provider)
		return sprintf(text, "%d\n", wanted);
	return sprintf(text, "%s\n", pci_name(provider));
}
EXPORT_SYMBOL_GPL(pci_p2pdma_enable_show);
