# SPDX-License-Identifier: GPL-2.0
"""Guest tests; `rig list` shows all of the tests."""
