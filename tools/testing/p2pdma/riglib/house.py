# SPDX-License-Identifier: GPL-2.0
"""Gates for style and structure. Each takes text or symbols and returns complaints.

house_test.py plants a fault for each gate. The program check runs both on the tree.
"""

import collections
import re

# A reader has to look back for the meaning of these words. Kernel code held up as a model has 2.3
# to 3.8 of them in 100 words.
REFERRING = frozenset("""it its that those these this them they their what which who whoever whose
                         one ones other others""".split())
REFERRING_LIMIT = 4.0
# Fewer words make no rate.
FEWEST_WORDS = 30
# A picture for being somewhere. [a] keeps the pattern from finding itself.
PICTURE = re.compile(r"\bst[a]nds?\b", re.I)

COLUMNS = 80

# Column at which the tests of a promise begin.
PROMISE = 43
TAB = 8

# Layers of drivers/pci from the top. A room may call rooms of the same layer and of lower layers.
LAYERS = (
    ("pci-p2pmem",),
    ("p2pdma-sysfs", "p2pdma-peers", "p2pdma-configfs", "p2pdma-heap", "p2pdma-dmabuf"),
    ("p2pdma-mem", "p2pdma-find", "p2pdma-map"),
    ("p2pdma",),
    ("p2pdma-bridge", "p2pdma-pool", "p2pdma-cache"),
    ("p2pdma-trace",),
    ("p2pdma-route",),
    ("p2pdma-inputs", "p2pdma-hosts"),
)
DEPTH = {room: depth for depth, layer in enumerate(LAYERS) for room in layer}

# Comment of a function -> assertions of which the function needs at least one.
SLEEPS = r"\bmight_sleep\(|\blockdep_assert_preemption_enabled\("
LOCK_RULES = (
    (r"Context: (?:Process context\. )?May sleep\b", SLEEPS),
    # Nothing can assert a rule with an alternative, as "holds rcu_read_lock() or memory".
    (r"\bholds[^.]*\brcu_read_lock\(\)(?! or\b)",
     r"\bRCU_LOCKDEP_WARN\(|\brcu_dereference\("),
    (r"\bholds[^.]*\bdevice lock\b", r"\bdevice_lock_assert\("),
    (r"\bholds (?:the )?@?[\w.>-]*(?:mutex|sem|\block)\b", r"\blockdep_(?:assert|is)_held"),
)
ASSERTION = re.compile(r"\b(?:lockdep_assert_\w+|RCU_LOCKDEP_WARN|might_sleep|device_lock_assert|"
                       r"lockdep_is_held)\b")

# A table of words, an element of the table, and a comparison of words in C.
WORD_TABLE = re.compile(r"\[(?:P2PDMA_)?(?:ANSWER|REASON|PORT|EFFECT)_\w+\] = \"([a-z-]+)\"")
COMPARISON = re.compile(r"\bstrn?(?:case)?cmp\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)")
ENUMERATED = re.compile(r"(?:->|\.|\b)(?:answer|reason|effect)\b(?!\()|"
                        r"\b(?:answer|reason|effect)_word\(|\"(?:verdict|reason|effects?)\"")


def c_comments(text):
    """Return (line number, comment without markers at line starts) of a C source."""
    found = []
    # A string may hold the begin of a comment, so skip strings.
    for match in re.finditer(r'"(?:\\.|[^"\\\n])*"|/\*(.*?)\*/|//([^\n]*)', text, re.S):
        body = match[1] if match[1] is not None else match[2]
        if body is not None:
            number = text.count("\n", 0, match.start()) + 1
            found.append((number, re.sub(r"^[ \t]*\*(?!/)", "", body, flags=re.M)))
    return found


def readable(name, text):
    """Return the text for readers: comments of C, everything of other files."""
    if name.endswith((".c", ".h")):
        text = "\n".join(comment for _, comment in c_comments(text))
    return re.sub(r"SPDX-License-Identifier:.*", "", text)


def prose(name, text):
    """Few words refer back, and PICTURE does not occur."""
    text = readable(name, text)
    words = re.findall(r"[a-z']+", text.lower())
    counts = collections.Counter(words)
    pictures = PICTURE.findall(text)
    complaints = [f"{name}: '{pictures[0]}', {len(pictures)} times"] if pictures else []
    referring = {word: counts[word] for word in REFERRING if counts[word]}
    rate = 100 * sum(referring.values()) / max(len(words), 1)
    if len(words) >= FEWEST_WORDS and rate > REFERRING_LIMIT:
        most = sorted(referring, key=lambda word: (-referring[word], word))
        complaints.append(f"{name}: {rate:.1f} referring words in 100 of {len(words)} (limit "
                          f"{REFERRING_LIMIT}): "
                          + ", ".join(f"{word} {referring[word]}" for word in most))
    return complaints


def is_ruler(comment):
    """Return whether a line of a comment begins or ends with a drawn line.

    The borders of a table are no ruler: columns of equals signs.
    """
    if re.fullmatch(r"\s*=+(\s+=+)+\s*", comment):
        return False
    return bool(re.match(r"\s*([-=*~#_])\1{2,}(\s|$)", comment)
                or re.search(r"\s([-=*~#_])\1{3,}\s*$", comment))


def rulers(name, text):
    """No comment is a drawn line, or has one around a title."""
    lines = []
    if name.endswith((".c", ".h")):
        for first, comment in c_comments(text):
            lines += enumerate(comment.split("\n"), first)
    else:
        lines = [(number, line.strip()[1:]) for number, line in enumerate(text.split("\n"), 1)
                 if line.strip().startswith("#")]
    return [f"{name}:{number}: a ruler" for number, line in lines if is_ruler(line)]


def columns(name, text):
    """Lines fit 80 columns, strings apart: a log text has to be found with grep."""
    complaints = []
    for number, line in enumerate(text.split("\n"), 1):
        bare = re.sub(r'"(?:\\.|[^"\\])*"', '""', line).expandtabs(TAB)
        if len(bare) > COLUMNS:
            complaints.append(f"{name}:{number}: {len(bare)} columns")
    return complaints


def enumerated_words(sources):
    """Return the words for verdicts, reasons and effects in the tables of sources."""
    return {word for text in sources for word in WORD_TABLE.findall(text)}


def compared_words(name, text, words):
    """Verdicts, reasons and effects are enumerations: no code compares their words."""
    complaints = []
    for found in COMPARISON.finditer(text):
        if '"support"' in found[1]:
            continue
        literals = {part.strip() for part in found[1].split(",")}
        if ENUMERATED.search(found[1]) or literals & {f'"{word}"' for word in words}:
            number = text.count("\n", 0, found.start()) + 1
            complaints.append(f"{name}:{number}: compares words: {' '.join(found[0].split())}")
    return complaints


def promises(text, tests):
    """Each promise of the threat model names tests, and the tests exist."""
    table = re.split(r"^=+ +=+$", text.split("\nPromises\n")[1], flags=re.M)[2]
    complaints, rows = [], []
    for line in table.strip("\n").splitlines():
        promise, names = line[:PROMISE], re.findall(r"\w+", line[PROMISE:])
        complaints += [f"there is no test {name}" for name in names if name not in tests]
        # A sentence may go on in the next line, and a list of tests may, too.
        if not rows or rows[-1][0].rstrip().endswith("."):
            if promise.strip():
                rows.append(["", []])
        if rows:
            rows[-1][0] += promise.rstrip() + " "
            rows[-1][1] += names
    return complaints + [f"no test: {row[0].strip()}" for row in rows if not row[1]]


def parse_nm(output):
    """Return (defined symbol -> type, set of undefined symbols) from the output of nm."""
    defined, wanted = {}, set()
    for line in output.splitlines():
        *_, kind, symbol = line.split()
        if kind in "Uwv":
            wanted.add(symbol)
        elif kind.isupper():
            defined[symbol] = kind
    return defined, wanted


def calls_between(rooms):
    """Return (caller, callee) -> symbols, from room -> (defined, wanted).

    A reference to constant data named *_group is no call: the user of the symbol is handed an
    attribute group to register.
    """
    owner = {symbol: room for room, (defined, _) in rooms.items() for symbol in defined}
    calls = collections.defaultdict(list)
    for room, (_, wanted) in rooms.items():
        for symbol in sorted(wanted & owner.keys()):
            kind = rooms[owner[symbol]][0][symbol]
            if not (kind == "R" and symbol.endswith("_group")):
                calls[room, owner[symbol]].append(symbol)
    return calls


def circles(calls):
    """Return the rooms that reach themselves, through whatever other rooms."""
    below = collections.defaultdict(set)
    for caller, callee in calls:
        below[caller].add(callee)
    found = set()
    for room in list(below):
        seen, todo = set(), list(below[room])
        while todo:
            callee = todo.pop()
            if callee not in seen:
                seen.add(callee)
                todo += below[callee]
        if room in seen:
            found.add(room)
    return sorted(found)


def rooms(symbols):
    """Calls go down only; SYMBOLS is room -> (defined, wanted)."""
    complaints = [f"{room}.o is in no layer of house.py" for room in sorted(symbols.keys() - DEPTH)]
    complaints += [f"{room}.o of house.py was not compiled"
                   for room in sorted(DEPTH.keys() - symbols)]
    calls = calls_between({room: both for room, both in symbols.items() if room in DEPTH})
    for (caller, callee), names in sorted(calls.items()):
        if DEPTH[callee] < DEPTH[caller]:
            complaints.append(f"{caller} calls up to {callee}: {' '.join(names)}")
    circle = circles(calls)
    if circle:
        complaints.append(f"a circle of calls through {' '.join(circle)}")
    return complaints


def functions_told(text):
    """Yield (line number, name, comment, body) of each function below a comment."""
    pattern = re.compile(r"/\*((?:(?!\*/).)*)\*/\n"               # the comment
                         r"((?:[^\n;{}/#][^\n;{}]*\n)+)"          # the declaration
                         r"\{\n(.*?)^\}", re.S | re.M)
    for match in pattern.finditer(text):
        name = re.search(r"(\w+)\(", match[2])
        if name:
            comment = " ".join(re.sub(r"^[ \t]*\*", "", match[1], flags=re.M).split())
            yield text.count("\n", 0, match.start(2)) + 1, name[1], comment, match[3]


def locks(name, text):
    """A lock rule in the comment of a function is an assertion in the function, too."""
    complaints = []
    for number, function, comment, body in functions_told(text):
        for told, asserted in LOCK_RULES:
            match = re.search(told, comment)
            if match and not re.search(asserted, body):
                complaints.append(f"{name}:{number}: {function}() asserts nothing for "
                                  f"\"{match[0]}\"")
    return complaints


def lock_names(sources):
    """Every lock that a comment of SOURCES (name -> text) names, and a source defines, is asserted.

    Only locks with a name of their own count: *_mutex, *_sem and *_lock.
    """
    code = "\n".join(sources.values())
    defined = set(re.findall(r"\b(?:DEFINE_\w+|DECLARE_RWSEM)\((\w+_(?:mutex|sem|lock))\)", code))
    defined |= set(re.findall(r"\b(?:raw_)?spinlock_t (\w*lock);", code))
    asserted = set(re.findall(r"\blockdep_(?:assert_held\w*|is_held)\(&?(?:\w+(?:->|\.))*(\w+)\)",
                              code))
    complaints = []
    for name, text in sources.items():
        told = set(re.findall(r"\w+", " ".join(comment for _, comment in c_comments(text))))
        complaints += [f"{name}: a comment names {lock}, and nothing asserts it"
                       for lock in sorted(told & defined - asserted)]
    return complaints


def assertions(text):
    """Return the number of lock assertions in a source."""
    return len(ASSERTION.findall(text))
