# SPDX-License-Identifier: GPL-2.0
"""What in a kernel log means that the kernel complained about itself."""
import re

SPLAT = re.compile("|".join((
    r"\bWARNING: ", r"\bBUG: ", r"kernel BUG at", r"KASAN: ", r"UBSAN: ", r"KCSAN: ",
    r"Call Trace:", r"\bOops\b", r"general protection fault", r"stack-protector",
    r"INFO: possible", r"INFO: task .* blocked for more than", r"suspicious RCU",
    r"rcu.*detected stall", r"soft lockup", r"hard LOCKUP", r"workqueue lockup",
    r"Bad page", r"refcount_t: ", r"(list|hlist)_(add|del) corruption", r"ODEBUG: ", r"DMA-API: .*disabl",
    r"page allocation failure", r"kmemleak: .*(new suspected|disabled)", r"unreferenced object",
    r"DMAR:.*[Ff]ault", r"AMD-Vi:.*IO_PAGE_FAULT", r"Kernel panic",
    r"scheduling while atomic", r"sleeping function called from invalid")))
PREFIX = re.compile(r"^(<\d+>)?\[\s*\d+\.\d+\](\[\s*[TC]\d+\])? ?")
EXCERPT = 40


def strip(line):
    """A console line without its time stamp."""
    return PREFIX.sub("", line)


def find(lines, wanted=()):
    """The lines around the first splat in LINES, or an empty list.

    WANTED are regular expressions of messages that look like one and are expected; what a
    message carries with it (its call trace) is expected up to the next line that is one itself.
    """
    skip = [re.compile(pattern) for pattern in wanted]
    forgiven = False
    for index, line in enumerate(lines):
        if not SPLAT.search(line):
            continue
        if any(pattern.search(line) for pattern in skip):
            forgiven = True
        elif not (forgiven and "Call Trace:" in line):
            return [strip(each) for each in lines[max(0, index - 3):index + EXCERPT]]
    return []
