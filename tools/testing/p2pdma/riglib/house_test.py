# SPDX-License-Identifier: GPL-2.0
"""Plant a fault for each gate of house.py, and check that the gate sees only the fault."""

import unittest

from riglib import house


def rooms_without_faults():
    """Return symbols of rooms with calls that go down only."""
    symbols = {room: ({f"{room}_entry": "T"}, {"kmalloc"}) for room in house.DEPTH}
    symbols["p2pdma"][1].add("p2pdma-pool_entry")
    symbols["p2pdma-find"][1].add("p2pdma-map_entry")
    return symbols


class Prose(unittest.TestCase):
    def text(self, referring, words):
        return " ".join(["it"] * referring + ["page"] * (words - referring))

    def test_limit(self):
        self.assertEqual(house.prose("README", self.text(4, 100)), [])
        self.assertEqual(len(house.prose("README", self.text(5, 100))), 1)

    def test_short_texts_have_no_rate(self):
        self.assertEqual(house.prose("README", self.text(20, house.FEWEST_WORDS - 1)), [])

    def test_words_are_whole_words(self):
        self.assertEqual(house.prose("README", "with item oneself standard understand " * 20), [])

    def test_picture(self):
        for word in ("st" "and", "St" "ands"):
            with self.subTest(word):
                self.assertEqual(len(house.prose("README", f"The page {word} here.")), 1)
                self.assertEqual(len(house.prose("a.c", f"/* Pages {word} here. */\n")), 1)
                self.assertEqual(house.prose("a.c", f"int {word};\n"), [])

    def test_only_comments_of_c(self):
        code = 'int it, that; char *s = "/* it */";\n' * 40
        self.assertEqual(house.prose("a.c", code), [])
        self.assertEqual(len(house.prose("a.c", f"/* {self.text(5, 100)} */\n")), 1)
        self.assertEqual(len(house.prose("a.h", f"// {self.text(5, 100)}\n")), 1)


class Promises(unittest.TestCase):
    def table(self, *rows):
        lines = "\n".join(f"{promise:{house.PROMISE}}{tests}" for promise, tests in rows)
        bar = "=" * (house.PROMISE - 2) + "  " + "=" * 35
        return f"Title\n\nPromises\n========\n\n{bar}\nPromise  Tests\n{bar}\n{lines}\n{bar}\n"

    def test_names(self):
        good = (("Nobody gets", "one,"), ("a byte.", "two"), ("Nothing is lost.", "one"))
        self.assertEqual(house.promises(self.table(*good), {"one", "two"}), [])
        self.assertEqual(house.promises(self.table(*good), {"one"}), ["there is no test two"])

    def test_promise_without_test(self):
        rows = (("Nobody gets a byte.", "one"), ("Nothing is lost.", ""))
        self.assertEqual(house.promises(self.table(*rows), {"one"}),
                         ["no test: Nothing is lost."])


class Rulers(unittest.TestCase):
    def test_found(self):
        for name, text in (("a.c", "/* ---- pages ---- */"), ("a.c", "/*\n * =====\n */"),
                           ("a.c", "// ~~~~ x"), ("a.py", "    # ---- cases -----"),
                           ("a.py", "#####"), ("a.sh", "x=1\n# cases ------")):
            with self.subTest(text):
                self.assertEqual(len(house.rulers(name, text)), 1)

    def test_line_number(self):
        self.assertEqual(house.rulers("a.c", "int x;\n/*\n * a\n * -----\n */\n"),
                         ["a.c:4: a ruler"])
        self.assertEqual(house.rulers("a.c", "/*\n * =====  =====\n * a      b\n */\n"), [])
        self.assertEqual(len(house.rulers("a.c", "/*\n * =====\n * a\n */\n")), 1)

    def test_plain_comments(self):
        for name, text in (("a.c", "/* a -- b, --verbose */"), ("a.c", "/*\n * +----+----+\n */"),
                           ("a.c", 'char *s = "/* ---- */";'), ("a.py", "# ... and so on"),
                           ("a.py", 'print("-----")'), ("a.sh", "#!/bin/sh\n# a - b\n")):
            with self.subTest(text):
                self.assertEqual(house.rulers(name, text), [])


class Columns(unittest.TestCase):
    def test_limit(self):
        self.assertEqual(house.columns("a.c", "x" * 80 + "\n\t" + "x" * 72), [])
        self.assertEqual(house.columns("a.c", "x" * 81), ["a.c:1: 81 columns"])
        self.assertEqual(house.columns("a.c", "\n\t" + "x" * 73), ["a.c:2: 81 columns"])

    def test_strings_are_not_counted(self):
        self.assertEqual(house.columns("a.c", f'\tpci_err(pdev, "{"x" * 90}\\"\\n");'), [])
        self.assertEqual(len(house.columns("a.c", f'\t"{"x" * 90}"{" " * 80}x')), 1)


class Words(unittest.TestCase):
    WORDS = house.enumerated_words(['[P2PDMA_REASON_SPEC] = "spec",\n[P2PDMA_PORT_BLOCKS] = "blocks"',
                                    '[ANSWER_HOST] = "host-bridge"', '[POLICY_AUTO] = "auto"'])

    def test_tables(self):
        self.assertEqual(self.WORDS, {"spec", "blocks", "host-bridge"})

    def test_found(self):
        for code in ('!strcmp(verdict->reason, reason)', 'strcmp(word, "spec")',
                     'strncmp("host-bridge", answer,\n\t\t4)', '!strcmp(ports[i].effect, "x")',
                     'strcmp(get_text(get(report, "route"), "verdict"), word)',
                     'strcmp(reason_word(verdict->reason), word)'):
            with self.subTest(code):
                told = house.compared_words("a.c", f"\n\tif ({code})\n", self.WORDS)
                self.assertEqual(len(told), 1)
                self.assertTrue(told[0].startswith("a.c:2: compares words: str"), told)

    def test_other_words(self):
        for code in ('strcmp(get_text(hop, "policy"), "auto")', 'strcmp(name, "spectrum")',
                     'strcmp(get_text(machine, "support"), "none")', 'verdict->reason == reason',
                     'strcmp(why->reasons, name)'):
            with self.subTest(code):
                self.assertEqual(house.compared_words("a.c", f"\tif ({code})\n", self.WORDS), [])


class Rooms(unittest.TestCase):
    def test_calls_down_and_sideways(self):
        self.assertEqual(house.rooms(rooms_without_faults()), [])

    def test_call_up(self):
        symbols = rooms_without_faults()
        symbols["p2pdma-route"][1].add("p2pdma-bridge_entry")
        self.assertEqual(house.rooms(symbols),
                         ["p2pdma-route calls up to p2pdma-bridge: p2pdma-bridge_entry"])

    def test_circle_in_a_layer(self):
        symbols = rooms_without_faults()
        symbols["p2pdma-map"][1].add("p2pdma-mem_entry")
        symbols["p2pdma-mem"][1].add("p2pdma-find_entry")
        self.assertEqual(house.rooms(symbols),
                         ["a circle of calls through p2pdma-find p2pdma-map p2pdma-mem"])

    def test_every_object_has_a_layer(self):
        symbols = rooms_without_faults()
        symbols["p2pdma-new"] = symbols.pop("p2pdma-mem")
        self.assertEqual(house.rooms(symbols), ["p2pdma-new.o is in no layer of house.py",
                                                "p2pdma-mem.o of house.py was not compiled"])

    def test_attribute_groups_are_handed_down(self):
        symbols = rooms_without_faults()
        symbols["p2pdma-sysfs"][0]["p2pmem_group"] = "R"
        symbols["p2pdma"][1].add("p2pmem_group")
        self.assertEqual(house.rooms(symbols), [])
        symbols["p2pdma-sysfs"][0]["p2pmem_group"] = "T"
        self.assertEqual(len(house.rooms(symbols)), 1)

    def test_output_of_nm(self):
        output = "                 U kmalloc\n0000000000000000 T pages\n0000000000000010 t local\n"
        self.assertEqual(house.parse_nm(output), ({"pages": "T"}, {"kmalloc"}))


class Locks(unittest.TestCase):
    def function(self, comment, body):
        return f"/*\n * {comment}\n */\nstatic int take(struct pool *pool,\n\t\tint nr)\n" \
               f"{{\n{body}}}\n"

    def test_rules_need_assertions(self):
        for comment, body in (
                ("Context: May sleep.", "\tmight_sleep();\n"),
                ("Context: Process context. May sleep.", "\tmight_sleep();\n"),
                ("The caller holds rcu_read_lock().", "\tp = rcu_dereference(q);\n"),
                ("The caller holds the device lock.", "\tdevice_lock_assert(dev);\n"),
                ("The caller holds pool_mutex.", "\tlockdep_assert_held(&pool_mutex);\n"),
                ("The caller holds @pool->lock.", "\tlockdep_assert_held(&pool->lock);\n")):
            with self.subTest(comment):
                self.assertEqual(house.locks("a.c", self.function(comment, body)), [])
                told = house.locks("a.c", self.function(comment, "\treturn 0;\n"))
                self.assertEqual(len(told), 1)
                self.assertIn("a.c:4: take() asserts nothing", told[0])

    def test_no_rule(self):
        for comment in ("Context: Any.", "The caller holds rcu_read_lock() or memory of the pool.",
                        "Context: Any. Does not sleep.", "The caller holds references."):
            self.assertEqual(house.locks("a.c", self.function(comment, "\treturn 0;\n")), [])

    def test_named_locks_are_asserted(self):
        told = {"a.h": "/* @pages: changed under pool_mutex */\n",
                "a.c": "static DEFINE_MUTEX(pool_mutex);\n"}
        self.assertEqual(house.lock_names(told),
                         ["a.h: a comment names pool_mutex, and nothing asserts it"])
        told["b.c"] = "\tlockdep_assert_held(&pool_mutex);\n"
        self.assertEqual(house.lock_names(told), [])

    def test_locks_in_structures(self):
        told = {"a.h": "/* @return_lock: serialises */\nraw_spinlock_t return_lock;\n"}
        self.assertEqual(len(house.lock_names(told)), 1)
        told["a.c"] = "\tlockdep_assert_held(&pool->return_lock);\n"
        self.assertEqual(house.lock_names(told), [])

    def test_locks_of_the_kernel_are_not_ours(self):
        self.assertEqual(house.lock_names({"a.c": "/* under i_mmap_lock and other_mutex */\n"}), [])

    def test_count(self):
        self.assertEqual(house.assertions("lockdep_assert_held(&a); might_sleep(); x();"), 2)


if __name__ == "__main__":
    unittest.main()
