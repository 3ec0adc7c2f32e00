# SPDX-License-Identifier: GPL-2.0
"""Code for the guest: the agent, and the library for test cases."""
