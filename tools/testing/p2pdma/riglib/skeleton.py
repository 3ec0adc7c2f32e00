# SPDX-License-Identifier: GPL-2.0
"""Write a file with a first test, for somebody to fill in."""
import re
import sys

from .paths import ROOT, TESTS, RigError

KINDS = ("guest", "kunit", "unit")
UNIT = ROOT / "tools/testing/p2pdma/unit/tool"
SUITES = ROOT / "drivers/pci/tests"

GUEST = '''# SPDX-License-Identifier: GPL-2.0
"""{title}: one sentence about the behaviour under test."""
from guest.case import case
from guest.devices import provider


@case("switch")
def {name}_works(test):
    """The provider of the topology has peer memory. Replace this."""
    test.check(provider().function.size(), "the provider has no memory")
'''

TOOL = '''# SPDX-License-Identifier: GPL-2.0
"""{title}: one sentence about the output of the command under test."""
from riglib import ktap


def {name}_works(stage):
    """The demonstration has a direct route. Replace this."""
    status, text, _ = stage.call("switch.tree", "path", "nvme1", "nvme0")
    if status or "direct" not in text:
        raise ktap.Failure(f"status {{status}}\\n{{text}}")


TESTS = [{name}_works]
'''

SUITE = '''// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: KUnit tests of {title}
 */
#include <kunit/test.h>

#include "mock_pci.h"

/* Draw the hierarchy here. */
static void {name}_works(struct kunit *test)
{{
	KUNIT_FAIL(test, "not written");
}}

static struct kunit_case {name}_cases[] = {{
	KUNIT_CASE({name}_works),
	{{}}
}};

static struct kunit_suite {name}_suite = {{
	.name = "p2pdma_{name}",
	.test_cases = {name}_cases,
}};
kunit_test_suite({name}_suite);
'''


def _write(path, text):
    try:
        with open(path, "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError as error:
        raise RigError(f"{path.relative_to(ROOT)} exists already") from error
    print(f"wrote {path.relative_to(ROOT)}")


def new(arguments):
    """Write the file, say how to run the test. Return the exit status."""
    name = arguments.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise RigError(f"'{name}' is no name: lower-case letters, digits and _ only")
    if arguments.kind != "kunit" and name in sys.stdlib_module_names:
        raise RigError(f"'{name}' is the name of a Python module")
    words = {"name": name, "title": name.replace("_", " ")}
    if arguments.kind == "guest":
        _write(TESTS / f"{name}.py", GUEST.format(**words))
        print(f"run it: tools/testing/p2pdma/rig guest {name}")
        return 0
    if arguments.kind == "unit":
        _write(UNIT / f"{name}.py", TOOL.format(**words))
        print(f"run it: tools/testing/p2pdma/unit/tool/run {name}")
        return 0
    _write(SUITES / f"p2pdma_{name}_kunit.c", SUITE.format(**words))
    makefile = SUITES / "Makefile"
    lines = makefile.read_text(encoding="utf-8").rstrip("\n")
    makefile.write_text(f"{lines}\nobj-$(CONFIG_PCI_P2PDMA_KUNIT_TEST) += "
                        f"p2pdma_{name}_kunit.o\n", encoding="utf-8")
    print(f"run it: make kunit GLOB=p2pdma_{name}")
    return 0
