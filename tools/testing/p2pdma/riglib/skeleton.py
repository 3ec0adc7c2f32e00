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
 * KUnit suite p2pdma_{name}: one sentence about the function under test
 */

#include <kunit/test.h>

#include <linux/module.h>
#include <linux/sizes.h>

#include "mock_pci.h"
#include "p2pdma_kunit.h"

/*
 *	host bridge - root port - MEM: 2 MiB in BAR 0
 */
enum {{ HOST, RP, MEM, NR }};

static const struct mock_pci_row {name}_rows[NR] = {{
	[HOST] = {{ .kind = MOCK_PCI_HOST, .domain = 1 }},
	[RP] = {{ .kind = MOCK_PCI_ROOT_PORT }},
	[MEM] = {{ .kind = MOCK_PCI_ENDPOINT, .up = RP, .bar[0] = SZ_2M }},
}};

/* A provider has the memory of the BAR. Replace this. */
static void {name}_works(struct kunit *test)
{{
	struct mock_pci *mock = mock_pci_add(test, {name}_rows, NR);
	struct pci_dev *pdev = mock_pci_dev(mock, MEM);

	p2pdma_kunit_provide(test, pdev);
	KUNIT_EXPECT_EQ(test, p2pdma_kunit_number(test, pdev, "size"), SZ_2M);
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

MODULE_DESCRIPTION("KUnit: {title}");
MODULE_LICENSE("GPL");
'''


def _write(path, text):
    try:
        with open(path, "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError as error:
        raise RigError(f"{path.relative_to(ROOT)} exists already") from error
    print(f"wrote {path.relative_to(ROOT)}")


def suite(name):
    """Return the text of a KUnit suite."""
    return SUITE.format(name=name, title=name.replace("_", " "))


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
    _write(SUITES / f"p2pdma_{name}_kunit.c", suite(name))
    makefile = SUITES / "Makefile"
    lines = makefile.read_text(encoding="utf-8").rstrip("\n")
    makefile.write_text(f"{lines}\nobj-$(CONFIG_PCI_P2PDMA_KUNIT_TEST) += "
                        f"p2pdma_{name}_kunit.o\n", encoding="utf-8")
    print(f"run it: make kunit GLOB=p2pdma_{name}")
    return 0
