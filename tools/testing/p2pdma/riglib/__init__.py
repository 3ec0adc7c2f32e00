# SPDX-License-Identifier: GPL-2.0
"""The emulated machine: topologies, QEMU, guest tests, evidence and the demo."""
