# SPDX-License-Identifier: GPL-2.0
#
# The front door.  "make help" lists every target.

TOOLS	:= tools/testing/p2pdma
BUILD	:= $(TOOLS)/build $(if $(KDIR),--kdir "$(KDIR)")
# Debian's kernel source is needed only where no other one is there or named
PACKAGES := $(TOOLS)/install-packages
SOURCE	:= $(if $(KDIR)$(wildcard build/stock/Makefile),,source)

.DEFAULT_GOAL := help

kernel-stock:
	@$(PACKAGES) build $(SOURCE)
	@$(BUILD) $@

.PHONY: kernel-stock
