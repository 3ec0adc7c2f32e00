# SPDX-License-Identifier: GPL-2.0
#
# The front door: "make help" lists every target.  What takes more than a
# command line lives in tools/; all output goes to build/.

TOOLS	 := tools/testing/p2pdma
PACKAGES := $(TOOLS)/install-packages
BUILD	 := $(TOOLS)/rig build $(if $(KDIR),--kdir "$(KDIR)")

# Debian's kernel source is needed only where no other one is named or there
SOURCE	 := $(if $(KDIR)$(wildcard build/stock/Makefile),,source)

# Of the command line alone: developers have ARCH in the environment for their own kernels
ifeq ($(origin ARCH),command line)
OTHER	 := $(ARCH)
endif

.DEFAULT_GOAL := help

# The kernel's make takes no such path. Say so before anything is unpacked.
ifneq ($(words $(subst :,: ,[$(CURDIR)])),1)
$(if $(filter-out help,$(MAKECMDGOALS)),$(error make cannot work below "$(CURDIR)": \
	move the directory to a path without spaces and colons))
endif

help: ## this list
	@awk -F ' ## ' '/^##/{sub(/^## ?/, ""); print} \
		/^[a-z0-9_-]+:.* ## /{sub(/:.*/, "", $$1); printf "  make %-16s %s\n", $$1, $$2}' \
		$(firstword $(MAKEFILE_LIST))

## See it work, and test it (in an emulated machine; nothing here touches your devices):
##
demo: ## drive to drive, and a shared drive, through peer memory, with the evidence
	@$(PACKAGES) build rig $(SOURCE)
	@$(BUILD) kernel
	@$(TOOLS)/rig demo

test: ## everything; ends with "N passed, N failed, N skipped"; ARCH=arm64: KUnit and selftests
	@$(PACKAGES) build $(or $(OTHER),rig check integrate tool model) $(SOURCE)
	@$(TOOLS)/rig all $(if $(KDIR),--kdir "$(KDIR)") $(if $(OTHER),--arch "$(OTHER)")

soak: ## storms on mappings and dma-bufs, and faults below NVMe over RDMA, ROUNDS=20 of each
	@$(PACKAGES) build rig $(SOURCE)
	@$(BUILD) kernel
	@$(BUILD) kernel-debug
	@$(TOOLS)/rig guest --kernel build/kernel --kernel build/kernel-debug \
		--rounds $(or $(ROUNDS),20) mapping_storm rdma_faults dmabuf_devices_go \
		dmabuf_rdma_devices_go everything_at_once

kunit: ## only the KUnit suites, on the debug kernel; GLOB=p2pdma_route for one suite
	@$(PACKAGES) build rig $(SOURCE)
	@$(BUILD) kernel-debug
	@$(TOOLS)/rig kunit $(GLOB)

model: ## only the protocol of the page allocator, for all orders of steps (Spin)
	@$(PACKAGES) model
	@$(MAKE) --no-print-directory -s -C $(TOOLS)/unit/pool spin

fuzz: ## rules and allocator against models, readers of the command: N=100000, SECONDS=60 each, SEED=
	@$(PACKAGES) build fuzz tool
	@$(MAKE) --no-print-directory -s -C $(TOOLS)/unit/route fuzz $(if $(N),N=$(N)) $(if $(SEED),SEED=$(SEED))
	@$(MAKE) --no-print-directory -s -C $(TOOLS)/unit/pool fuzz $(if $(SEED),SEED=$(SEED))
	@for reader in dump text tree capture; do \
		$(TOOLS)/unit/tool/run --fuzz $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) \
			--reader $$reader || exit; done

bench: ## instructions it costs, beside the kernel's own: table, JSON and picture
	@$(PACKAGES) build rig $(SOURCE)
	@$(BUILD) kernel kernel-stock
	@$(TOOLS)/rig bench $(if $(ENFORCE),--enforce)

coverage: ## lines and branches that KUnit and guest tests reach: table, and HTML in build/coverage
	@$(PACKAGES) build rig coverage tool $(SOURCE)
	@$(BUILD) kernel-coverage
	@$(MAKE) --no-print-directory -s -C tools/pci/p2pdma
	@$(TOOLS)/rig coverage

races: ## tests with several tasks on a kernel that reports data races (KCSAN)
	@$(PACKAGES) build rig tool $(SOURCE)
	@$(BUILD) kernel-kcsan
	@$(MAKE) --no-print-directory -s -C tools/pci/p2pdma
	@$(TOOLS)/rig kunit --kernel build/kernel-kcsan p2pdma_pool
	@$(TOOLS)/rig kunit --kernel build/kernel-kcsan p2pdma_map
	@$(TOOLS)/rig guest --kernel build/kernel-kcsan stress mapping_storm dmabuf_faults \
		hotplug policy

defects: ## known defects of the kernel's own implementation, shown there, and not here
	@$(PACKAGES) build rig $(SOURCE)
	@$(BUILD) kernel kernel-stock
	@$(TOOLS)/rig defects

check: ## only the static checkers: checkpatch, sparse, coccicheck ...
	@$(PACKAGES) build check integrate $(SOURCE)
	@$(BUILD) linux
	@$(TOOLS)/rig check

presubmit: ## a minute: checks of what changed, the route rules, the command
	@$(PACKAGES) build check integrate tool $(SOURCE)
	@$(BUILD) linux
	@start=$$(date +%s); \
	$(TOOLS)/rig check --changed checkpatch kernel_doc shellcheck python functions \
		hygiene gates prose rulers columns words && \
	$(TOOLS)/rig all route build-tool && \
	$(TOOLS)/unit/tool/run --cuts 20 --fuzz 1 && \
	echo "$@: all is well, after $$(($$(date +%s) - start)) seconds"

commits: ## SINCE=REVISION: does each later commit compile? About 20 seconds a commit
	@$(if $(SINCE),,$(error say since when: make $@ SINCE=REVISION))
	@$(PACKAGES) build check integrate tool $(SOURCE)
	@$(BUILD) linux
	@$(TOOLS)/unit/rig/commits "$(SINCE)"

check-configs: ## compile in 25 configurations, with gcc and clang, for four processors; LINK=1
	@$(PACKAGES) build cross clang $(SOURCE)
	@$(BUILD) linux
	@$(TOOLS)/unit/rig/configs $(if $(LINK),--link)

##
## Build kernels (source: Debian's linux-source-6.12, or KDIR=DIR for any 6.12.y tree):
##
kernel: ## build/kernel, plain: the one to demonstrate and to measure
	@$(PACKAGES) build $(SOURCE)
	@$(BUILD) $@

kernel-debug: ## build/kernel-debug, with KASAN, lockdep, kmemleak and others
	@$(PACKAGES) build $(SOURCE)
	@$(BUILD) $@

kernel-kcsan: ## build/kernel-kcsan, with the detector of data races
	@$(PACKAGES) build $(SOURCE)
	@$(BUILD) $@

kernel-arm64: ## build/kernel-arm64, small, for an emulated machine with another processor
	@$(PACKAGES) build arm64 $(SOURCE)
	@$(BUILD) $@

kernel-stock: ## build/kernel-stock, plain, with the kernel's own p2pdma for comparison
	@$(PACKAGES) build $(SOURCE)
	@$(BUILD) $@

compile_commands: kernel ## build/kernel/compile_commands.json, for editors and clangd
	@cd build/kernel && ../linux/scripts/clang-tools/gen_compile_commands.py

##
## Use it in a kernel tree of yours:
##
install: ## KDIR=DIR: lay our files over that 6.12.y tree
	@$(if $(KDIR),,$(error say which kernel tree: make $@ KDIR=DIR))
	@$(PACKAGES) integrate
	@tools/integrate install "$(KDIR)"

uninstall: ## KDIR=DIR: take them off, the tree is as it was before
	@$(if $(KDIR),,$(error say which kernel tree: make $@ KDIR=DIR))
	@$(PACKAGES) integrate
	@tools/integrate uninstall "$(KDIR)"

patches: ## two series for git am in build/patches, for KDIR=DIR or for the source that is there
	@$(PACKAGES) integrate $(SOURCE)
	@$(BUILD) stock
	@tools/patches build/stock build/patches

dist: ## the last commit as build/p2pdma-VERSION.tar.xz
	@$(PACKAGES) dist
	@tools/dist build

series: patches ## the same, and each patch is checked, compiled and booted: 15 minutes
	@$(PACKAGES) build rig check integrate tool
	@$(TOOLS)/unit/rig/series build/patches

##
## The p2pdma command, for any Linux machine (which devices reach each other's memory, and why not):
##
tool: ## build/tool/p2pdma
	@$(PACKAGES) tool
	@$(MAKE) --no-print-directory -C tools/pci/p2pdma
	@$(MAKE) --no-print-directory -s -C tools/pci/p2pdma where

install-tool: ## command, man page and completion, below DESTDIR and prefix
	@$(PACKAGES) tool
	@$(MAKE) --no-print-directory -C tools/pci/p2pdma install

##
clean: ## remove build/, the kernel trees and kernels included
	rm -rf build

##
## JOBS=N sets how many compilers run at once.

.PHONY: help demo test soak coverage races defects kunit model fuzz bench check check-configs presubmit commits \
	kernel kernel-debug kernel-kcsan kernel-arm64 kernel-stock \
	compile_commands install uninstall patches dist series tool install-tool clean
