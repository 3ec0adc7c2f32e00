# SPDX-License-Identifier: GPL-2.0
"""What runs inside a guest: the agent, and what test cases are written with."""
