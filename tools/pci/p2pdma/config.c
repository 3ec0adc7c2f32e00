// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: reading configuration space
 *
 * A process without root reads only the first 64 bytes. Every question about a later register
 * therefore has three answers, see enum known. Offsets and bits come from the header of libpci.
 */
#include <string.h>
#include <pci/pci.h>

#include "internal.h"

#define CONFIG_STANDARD		64
#define CONFIG_CONVENTIONAL	256

/* Limits for broken input: no valid list has more capabilities, so a longer list is a loop. */
#define LONGEST_LIST		48
#define LONGEST_EXTENDED_LIST	480

/**
 * config_read - read 1, 2 or 4 bytes of configuration space
 * @function: function to read from
 * @where: offset of the first byte
 * @size: number of bytes
 * @value: filled in with the bytes in CPU byte order, or with 0
 *
 * Return: false if @function->config lacks one of the bytes.
 */
bool config_read(const struct function *function, unsigned int where, unsigned int size,
		 unsigned int *value)
{
	*value = 0;
	if (where > function->config_size || function->config_size - where < size)
		return false;
	if (function->known && memchr(function->known + where, false, size))
		return false;
	while (size--)
		*value = *value << 8 | function->config[where + size];
	return true;
}

/**
 * config_dead - does a function answer every read with all ones?
 * @function: the function
 *
 * Return: true if vendor ID, device ID and class are known and all ones.
 */
bool config_dead(const struct function *function)
{
	unsigned int ids, class;

	/* A virtual function has a vendor and device ID of all ones, but a valid class. */
	return config_read(function, PCI_VENDOR_ID, 4, &ids) && ids == 0xffffffff &&
	       config_read(function, PCI_CLASS_DEVICE, 2, &class) && class == 0xffff;
}

static enum known config_capability(const struct function *function, unsigned int id,
				    unsigned int *where)
{
	unsigned int status, at, entry, hops;

	if (config_dead(function) || !config_read(function, PCI_STATUS, 2, &status))
		return UNKNOWN;
	if (!(status & PCI_STATUS_CAP_LIST))
		return KNOWN_NO;
	at = function->header == PCI_HEADER_TYPE_CARDBUS ? PCI_CB_CAPABILITY_LIST :
							   PCI_CAPABILITY_LIST;
	if (!config_read(function, at, 1, &at))
		return UNKNOWN;
	for (hops = 0; hops < LONGEST_LIST && at >= CONFIG_STANDARD; hops++) {
		at &= ~3U;
		if (!config_read(function, at, 2, &entry))
			return UNKNOWN;
		if ((entry & 0xff) == id) {
			*where = at;
			return KNOWN_YES;
		}
		at = entry >> 8;
	}
	return KNOWN_NO;
}

/**
 * config_places_bars - does a function have addresses beside the BARs?
 * @function: the function
 *
 * A function with Enhanced Allocation has fixed addresses in that capability, and BARs of zero.
 *
 * Return: whether the function has the capability.
 */
enum known config_places_bars(const struct function *function)
{
	unsigned int where;

	return config_capability(function, PCI_CAP_ID_EA, &where);
}

/**
 * config_pcie - is a function a PCI Express function?
 * @function: the function
 * @where: filled in with the offset of the PCI Express capability, for KNOWN_YES
 *
 * Return: whether the function has a PCI Express capability.
 */
enum known config_pcie(const struct function *function, unsigned int *where)
{
	return config_capability(function, PCI_CAP_ID_EXP, where);
}

/**
 * config_pcie_type - type of a PCI Express function
 * @function: the function
 *
 * Return: PCI_EXP_TYPE_*, or a negative number for conventional PCI or an unknown type.
 */
int config_pcie_type(const struct function *function)
{
	unsigned int where, flags;

	if (config_pcie(function, &where) != KNOWN_YES ||
	    !config_read(function, where + PCI_EXP_FLAGS, 2, &flags))
		return -1;
	return (flags & PCI_EXP_FLAGS_TYPE) >> 4;
}

/**
 * config_extended - look for an extended capability
 * @function: the function
 * @id: ID of the capability
 * @where: filled in with the offset of the capability, for KNOWN_YES
 *
 * Return: whether the function has the capability.
 */
enum known config_extended(const struct function *function, unsigned int id, unsigned int *where)
{
	unsigned int at = CONFIG_CONVENTIONAL, header, hops;
	enum known pcie = config_pcie(function, &header);

	if (pcie != KNOWN_YES)
		return pcie;
	for (hops = 0; hops < LONGEST_EXTENDED_LIST && at >= CONFIG_CONVENTIONAL; hops++) {
		at &= ~3U;
		if (!config_read(function, at, 4, &header))
			return function->extended_known ? KNOWN_NO : UNKNOWN;
		if (header == 0xffffffff)
			return UNKNOWN;
		if (!header)
			return KNOWN_NO;
		if ((header & 0xffff) == id) {
			*where = at;
			return KNOWN_YES;
		}
		at = header >> 20;
	}
	return KNOWN_NO;
}

/**
 * config_acs - read the access control registers
 * @function: the function
 * @capability: filled in with the capability register, for KNOWN_YES
 * @control: filled in with the control register, for KNOWN_YES
 *
 * Return: whether the function has an ACS capability.
 */
enum known config_acs(const struct function *function, unsigned int *capability,
		      unsigned int *control)
{
	enum known found;
	unsigned int at;

	found = config_extended(function, PCI_EXT_CAP_ID_ACS, &at);
	if (found != KNOWN_YES)
		return found;
	if (!config_read(function, at + PCI_ACS_CAP, 2, capability) ||
	    !config_read(function, at + acs_control_offset(function), 2, control) ||
	    *control == 0xffff)
		return UNKNOWN;
	return KNOWN_YES;
}

/**
 * config_uses_ats - may a function send translated requests?
 * @function: the function
 *
 * Return: whether ATS is enabled.
 */
enum known config_uses_ats(const struct function *function)
{
	unsigned int at, control;
	enum known found = config_extended(function, PCI_EXT_CAP_ID_ATS, &at);

	if (found != KNOWN_YES)
		return found;
	if (!config_read(function, at + PCI_ATS_CTRL, 2, &control) || control == 0xffff)
		return UNKNOWN;
	return control & PCI_ATS_CTRL_ENABLE ? KNOWN_YES : KNOWN_NO;
}

/**
 * config_ari - does a bridge forward alternative routing IDs (ARI)?
 * @bridge: the bridge
 *
 * Return: whether ARI forwarding is enabled.
 */
enum known config_ari(const struct function *bridge)
{
	unsigned int at, control;
	enum known found = config_pcie(bridge, &at);

	if (found != KNOWN_YES)
		return found;
	if (!config_read(bridge, at + PCI_EXP_DEVCTL2, 2, &control) || control == 0xffff)
		return UNKNOWN;
	return control & PCI_EXP_DEVCTL2_ARI ? KNOWN_YES : KNOWN_NO;
}
