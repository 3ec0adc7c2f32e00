# SPDX-License-Identifier: GPL-2.0
"""Tests of the rig without a guest: does the rig notice errors?"""
import contextlib
import io
import os
import pathlib
import tempfile
import time
import types
import unittest
from unittest import mock

from guest import load

from . import foreign, ktap, runner, splat, topology as topologies, trace
from .paths import RigError

BAR = (0xf4000000, 0xf7ffffff)

# Examples of splats, each with a harmless line that looks similar.
COMPLAINTS = (
    ("[   12.000001] WARNING: CPU: 0 PID: 7 at mm/memremap.c:184 memremap_pages+0x4a4/0x5a0",
     "[   12.000001] nvme nvme0: warning: the temperature is high"),
    ("[   12.000001] BUG: KASAN: slab-use-after-free in p2pdma_pool_alloc+0x1/0x2",
     "[   12.000001] debug: nothing"),
    ("[   12.000001] UBSAN: array-index-out-of-bounds in drivers/pci/p2pdma.c:1:2",
     "[   12.000001] kasan: KernelAddressSanitizer initialized"),
    ("[   12.000001][   T12] INFO: task kworker/0:1:7 blocked for more than 45 seconds.",
     "[   12.000001][   T12] INFO: nothing is blocked"),
    ("[   12.000001] WARNING: possible circular locking dependency detected",
     "[   12.000001] rig: begin provider_unbind_busy"),
    ("[   12.000001] WARNING: suspicious RCU usage", "[   12.000001] rcu: Hierarchical RCU"),
    ("[   12.000001] Kernel panic - not syncing: Fatal exception",
     "[   12.000001] Kernel command line: panic=-1"),
    ("[   12.000001] kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
     "[   12.000001] kmemleak: Kernel memory leak detector initialized"),
    ("[   12.000001] DMA-API: debugging out of memory - disabling",
     "[   12.000001] DMA-API: debugging enabled by kernel config"),
    ("[   12.000001] DMAR: [DMA Write NO_PASID] Request device [02:00.0] fault addr 0x1000",
     "[   12.000001] DMAR: Intel(R) Virtualization Technology for Directed I/O"),
)


class Splats(unittest.TestCase):
    def test_complaints_are_found(self):
        for line, _ in COMPLAINTS:
            with self.subTest(line):
                self.assertTrue(splat.find(["before", line, "after"]))

    def test_harmless_lines_are_not(self):
        for _, line in COMPLAINTS:
            with self.subTest(line):
                self.assertEqual(splat.find(["before", line, "after"]), [])

    def test_only_what_is_wanted_is_forgiven(self):
        log = ["WARNING: CPU: 0 PID: 7 at a.c:1 wanted", "Call Trace:", " a+0x1/0x2",
               "WARNING: CPU: 0 PID: 7 at b.c:1 other", "Call Trace:"]
        self.assertEqual(splat.find(log[:3], [r"a\.c:1 wanted"]), [])
        self.assertTrue(splat.find(log[:3]))
        self.assertIn(log[3], splat.find(log, [r"a\.c:1 wanted"]))

    def test_known_complaints_are_about_stock_code(self):
        begin, middle, end = ("WARNING: suspicious RCU usage", " nvmet_ctrl_free+0x1/0x2",
                              " </TASK>")
        for log, counts in (([begin, "Call Trace:", middle, end], False),
                            ([begin, "Call Trace:", " pci_p2pdma_other+0x1/0x2", end], True),
                            ([begin, "Call Trace:", middle], True),
                            ([begin, middle, end, "WARNING: CPU: 0 PID: 7 at a.c:1"], True)):
            with self.subTest(log):
                self.assertEqual(bool(splat.find(log)), counts)

    def test_races_count_in_our_code(self):
        line = "=" * 66
        deep = ["strlen+0x1/0x2"] * 4
        for frames, counts in ((["nvme_irq+0x1/0x2"], False), (["p2pdma_route+0x1/0x2"], True),
                               (["strlen+0x1/0x2", "p2pdma_route+0x1/0x2"], True),
                               ([*deep, "p2pdma_route+0x1/0x2"], False),
                               (["importer_map+0x1/0x2 [p2pdma_importer]"], True)):
            log = [line, "BUG: KCSAN: data-race in a+0x1/0x2",
                   "write (marked) to 0xffff88803ec1ed58 of 8 bytes by task 7 on cpu 0:", *deep,
                   "read to 0xffff88803ec1ed58 of 1 byte by interrupt on cpu 1:", *frames,
                   "CPU: 0 UID: 0 PID: 1 Comm: p2pmem_storm Not tainted 6.12.1-p2pdma #1", line]
            with self.subTest(frames):
                self.assertEqual(bool(splat.find(log)), counts)
                self.assertTrue(splat.find([*log, "WARNING: CPU: 0 PID: 7 at b.c:1"]))

    def test_known_leaks_are_about_stock_code(self):
        known = "".join(f"unreferenced object 0x1 (size 8):\n  {name}+0x1/0x2\n"
                        for name in splat.KNOWN_LEAKS)
        self.assertEqual(splat.unknown_leaks(known), "")
        for frames in (["pci_p2pdma_add_resource"], ["pci_alloc_dev", "pci_scan_slot"],
                       ["pci_p2pmem_find_many", "nvmet_p2pmem_ns_add_p2p"]):
            with self.subTest(frames):
                other = "unreferenced object 0x2 (size 8):\n" + "".join(
                    f"  {name}+0x1/0x2\n" for name in frames)
                self.assertEqual(splat.unknown_leaks(known + other), other)

    def test_a_trace_alone_is_not_forgiven(self):
        self.assertTrue(splat.find(["Call Trace:"], [r"a\.c:1 wanted"]))


def _io(name, nsid=1):
    return f"pci_nvme_io_cmd cid 1 nsid {nsid:#x} sqid 1 opc 0x2 opname 'NVME_NVM_CMD_{name}'"


def _map(address, length):
    return f"pci_nvme_map_addr addr {address:#x} len {length}"


class Traces(unittest.TestCase):
    def parse(self, *lines):
        return trace.parse(lines, BAR).summary()

    def test_directions(self):
        seen = self.parse(_io("READ"), _map(BAR[0], 4096), _io("WRITE"), _map(BAR[0], 512))
        self.assertEqual((seen["peer_written"], seen["peer_read"], seen["ram"]), (4096, 512, 0))

    def test_edges_of_the_bar(self):
        inside = self.parse(_io("READ"), _map(BAR[0], 4096), _map(BAR[1] - 4095, 4096))
        self.assertEqual((inside["peer"], inside["ram"]), (8192, 0))
        outside = self.parse(_io("READ"), _map(BAR[0] - 1, 4096), _map(BAR[1] - 4094, 4096))
        self.assertEqual((outside["peer"], outside["ram"]), (0, 8192))
        self.assertEqual(outside["first_outside"], hex(BAR[0] - 1))

    def test_own_memory_is_told_apart(self):
        seen = self.parse(_io("READ"), _map(BAR[0], 4096), "pci_nvme_map_addr_cmb addr 0x1 len 9",
                          _map(BAR[0] + 4096, 512))
        self.assertEqual((seen["own"], seen["peer"]), (4096, 512))

    def test_administration_is_no_payload(self):
        seen = self.parse("pci_nvme_admin_cmd cid 1 sqid 0 opc 0x6 opname 'NVME_ADM_CMD_IDENTIFY'",
                          _map(0x1000, 4096), _io("FLUSH"), _map(0x1000, 4096))
        self.assertEqual((seen["peer"], seen["ram"]), (0, 0))

    def test_ram_is_seen_at_the_end(self):
        self.assertEqual(self.parse(_io("WRITE"), _map(0x1000, 512))["ram"], 512)

    def test_drives_are_told_apart(self):
        lines = [_io("READ", 2), _map(BAR[0], 4096), _io("WRITE", 3), _map(0x5000, 4096),
                 _map(0x5800, 4096), "pci_nvme_admin_cmd cid 1 sqid 0 opc 0x6 opname 'X'",
                 _map(0x9000, 4096)]
        self.assertEqual(trace.by_namespace(lines, BAR, [5]), {
            "2": {"in": {"peer": 4096, "buffer": 0, "elsewhere": 0, "longest": 0}},
            "3": {"out": {"peer": 0, "buffer": 4096, "elsewhere": 4096, "longest": 4096}}})

    def test_pages_are_counted_once(self):
        seen = self.parse(_io("READ"), _map(BAR[0] + 512, 4096), _io("WRITE"), _map(BAR[0], 4096))
        self.assertEqual(seen["peer_pages"], 2)


class Ledgers(unittest.TestCase):
    """Detection of lost writes by the load of the fault tests."""

    def wrong(self, begun, acknowledged, *sectors):
        """Return whether check() refuses a block with SECTORS, a list of (number, version)."""
        ledger = load.Ledger()
        ledger.set(7, begun, acknowledged)
        data = b"".join(load.pattern(number, version, load.SECTOR) for number, version in sectors)
        try:
            load.check(ledger, 7, data)
        except load.Mismatch:
            return True
        return False

    def test_what_was_acknowledged_is_right(self):
        self.assertFalse(self.wrong(3, 3, (7, 3), (7, 3)))

    def test_lost_torn_and_misplaced_writes_are_wrong(self):
        for sectors in (((7, 2), (7, 2)), ((7, 3), (7, 2)), ((8, 3), (8, 3)), ((7, 4), (7, 3))):
            with self.subTest(sectors):
                self.assertTrue(self.wrong(3, 3, *sectors))

    def test_what_was_only_begun_may_be_there_in_part(self):
        self.assertFalse(self.wrong(4, 3, (7, 4), (7, 3)))
        self.assertTrue(self.wrong(4, 3, (7, 4), (7, 2)))


class Results(unittest.TestCase):
    def written(self, results):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "x.ktap")
            ktap.write(path, "suite", results)
            return path.read_text()

    def test_failure_reaches_the_suite(self):
        text = self.written([ktap.Result("a", "ok"), ktap.Result("b", "failed", "why\nso")])
        self.assertIn("    ok 1 a\n", text)
        self.assertIn("    # b: so\n    not ok 2 b\n", text)
        self.assertTrue(text.endswith("\nnot ok 1 suite\n"))

    def test_skips_say_why(self):
        self.assertIn("ok 1 a # SKIP no drive\n", self.written([ktap.Result("a", "skipped",
                                                                            "no drive")]))

    def test_failure_beside_subtests_counts(self):
        result = ktap.from_guest("a", {"verdict": "failed", "why": "left over",
                                       "subtests": [["one", "ok", ""]]})
        self.assertEqual(result.count("failed"), 1)
        self.assertIn("        not ok 2 the_case_around_them\n", self.written([result]))

    def test_selftest_output(self):
        text = ("TAP version 13\n1..3\n# Starting 3 tests\nok 1 p.a\n# p.b: broken\n"
                "not ok 2 p.b\nok 3 p.c # SKIP no provider\n# Totals: pass:1 fail:1 skip:1\n")
        self.assertEqual([(name, verdict) for name, verdict, _ in ktap.parse_flat(text)],
                         [("p.a", "ok"), ("p.b", "failed"), ("p.c", "skipped")])


class Programs(unittest.TestCase):
    """Verdicts on programs of guests that cannot run the programs of the host."""
    BOOT = foreign.Boot("switch", ("a",), {}, {"a": "2 drives"})
    GOOD = ["rig: begin a", "TAP version 13", "1..1", "# 2 drives were read", "ok 1 x.y",
            "rig: end a with status 0"]

    def verdict(self, old="", new=""):
        """Return the verdict after a change of the good console, also as a parser counts."""
        result = foreign.judge(self.BOOT, "a", [line.replace(old, new) for line in self.GOOD])
        self.assertEqual(result.good, result.count("failed") == 0)
        return result.verdict

    def test_good(self):
        self.assertEqual(self.verdict(), "ok")

    def test_bad(self):
        for old, new in (("ok 1", "not ok 1"), ("ok 1 x.y", "ok 1 x.y # SKIP no drive"),
                         ("2 drives", "0 drives"), ("ok 1 x.y", ""), ("status 0", "status 1"),
                         ("with status 0", "by signal 9"), ("rig: end", ""), ("rig: begin", "")):
            with self.subTest(new or f"without {old}"):
                self.assertEqual(self.verdict(old, new), "failed")


class Deadline(unittest.TestCase):
    def ran(self, deadline):
        """Return the verdicts of two cases, where a boot would raise an error."""
        cases = [types.SimpleNamespace(name="a"), types.SimpleNamespace(name="b")]
        with tempfile.TemporaryDirectory() as directory, \
                mock.patch.dict(os.environ, {"P2PDMA_DEADLINE": str(deadline)}), \
                mock.patch.object(runner, "RESULTS", pathlib.Path(directory)), \
                mock.patch.object(runner, "Guest", side_effect=RigError("no guest")), \
                contextlib.redirect_stdout(io.StringIO()):
            return [each.verdict for each in
                    runner.Boot(pathlib.Path(directory, "kernel"), "switch", cases).run()]

    def test_too_late_is_skipped(self):
        self.assertEqual(self.ran(time.time() - 1), ["skipped", "skipped"])

    def test_before_there_are_boots(self):
        self.assertEqual(self.ran(time.time() + 100), ["failed", "failed", "failed"])


class Topologies(unittest.TestCase):
    def test_all_load(self):
        for name in topologies.names():
            with self.subTest(name):
                self.assertTrue(topologies.load(name).summary)

    def test_a_wrong_name_lists_the_right_ones(self):
        with self.assertRaisesRegex(RigError, "switch"):
            topologies.load("swich")

    def test_numbered_namespaces_are_devices_of_their_own(self):
        topology = topologies.load("fabric")
        namespace = next(each for each in topology.devices if each.get("id") == "disk-ns")
        self.assertEqual((namespace["bus"], namespace["nsid"]), ("disk", 2))
        controller = next(each for each in topology.devices if each.get("id") == "disk")
        self.assertNotIn("drive", controller)
        self.assertNotIn("nsid", topology.drives["disk"].properties)

    def test_spare_drives_stay_out(self):
        topology = topologies.load("switch")
        images = {name: name for name in topology.drives}
        devices = [word for word in topologies.qemu_arguments(topology, images)
                   if word.startswith("nvme,")]
        self.assertTrue(any("serial=alpha" in device for device in devices))
        self.assertFalse(any("serial=guest" in device for device in devices))

    def test_other_spare_devices_too(self):
        topology = topologies.load("cards")
        images = {name: name for name in topology.drives}
        text = " ".join(topologies.qemu_arguments(topology, images))
        self.assertIn("id=card,", text)
        self.assertNotIn("id=another,", text)
        self.assertEqual(topology.properties("another")["bus"], "slot3")
        with self.assertRaisesRegex(RigError, "no drive or spare device 'card'"):
            topology.properties("card")


class Kunit(unittest.TestCase):
    def test_a_wrong_name_of_a_suite_is_told(self):
        from . import commands      # imports this file
        with self.assertRaisesRegex(RigError, "name like 'typo'"):
            commands._judge_kunit(None, ["[    1.0] KTAP version 1", "[    1.0] 1..0"], "", "typo")


def run():
    """Run all tests. Return a Result for each test."""
    results = []
    suite = unittest.defaultTestLoader.loadTestsFromModule(__import__(__name__, fromlist=["x"]))
    for group in suite:
        for test in group:
            report = unittest.TextTestRunner(stream=io.StringIO()).run(test)
            bad = report.failures + report.errors
            _, _, name = test.id().rpartition(".")
            results.append(ktap.Result(f"{type(test).__name__.lower()}_{name[5:]}",
                                       "failed" if bad else "ok", "\n".join(b[1] for b in bad)))
    return results
