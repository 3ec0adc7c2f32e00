# SPDX-License-Identifier: GPL-2.0
"""Run the kselftests in the rig."""
from guest import selftest
from guest.case import case
from guest.devices import provider


@case(selftests=True, short=True, seconds=180)
def selftest_mmap(test):
    selftest.run(test, "p2pmem_mmap", provider())


@case("switch intel-root-ports two-host-bridges", selftests=True, short=True)
def selftest_files(test):
    selftest.run(test, "p2pdma_files", provider())


@case(selftests=True, short=True)
def selftest_longterm(test):
    selftest.run(test, "p2pmem_longterm", provider())


@case(selftests=True, short=True)
def selftest_dmabuf(test):
    selftest.run(test, "p2pmem_dmabuf", provider())


@case("switch intel-root-ports viommu", selftests=True, short=True)
def selftest_dio(test):
    selftest.run(test, "p2pmem_dio", provider())
