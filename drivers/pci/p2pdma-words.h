/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI peer-to-peer DMA: whole words, as users write them
 */
#ifndef _PCI_P2PDMA_WORDS_H
#define _PCI_P2PDMA_WORDS_H

#include <linux/kernel.h>
#include <linux/pci.h>
#include <linux/string.h>

/* Is a written text the word, with or without a newline at the end? */
static inline bool p2pdma_is_word(const char *text, size_t size,
				  const char *word)
{
	if (size && text[size - 1] == '\n')
		size--;
	return size == strlen(word) && !memcmp(text, word, size);
}

/* The kernel's scanf() also takes white space, signs, and "0x". */
static inline bool p2pdma_is_address(const char *text, size_t len)
{
	return strspn(text, "0123456789abcdefABCDEF:.") >= len;
}

/* Parse the first @len characters of a text as DOMAIN:BUS:DEVICE.FUNCTION. */
static inline bool p2pdma_parse_function(const char *text, size_t len,
					 u32 *domain, u16 *rid)
{
	unsigned int bus, slot, func;
	char word[sizeof("00000000:00:00.0")];
	int end = 0;

	if (len >= sizeof(word) || !p2pdma_is_address(text, len))
		return false;
	memcpy(word, text, len);
	word[len] = '\0';
	if (sscanf(word, "%8x:%2x:%2x.%1x%n", domain, &bus, &slot, &func,
		   &end) != 4 || end != len ||
	    slot > PCI_SLOT(U8_MAX) || func > PCI_FUNC(U8_MAX))
		return false;
	*rid = PCI_DEVID(bus, PCI_DEVFN(slot, func));
	return true;
}

#endif /* _PCI_P2PDMA_WORDS_H */
