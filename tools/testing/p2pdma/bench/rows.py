# SPDX-License-Identifier: GPL-2.0
"""The rows of the benchmark: what is measured, what it may cost, and whether it does.

Costs are instructions unless a row says otherwise. A limit is a share of what stock needs, a
number, or both; a row without one is there to be looked at. A row of lists in an aged pool is a
mean over the seeds, and is held only if no list failed while enough bytes were free and no call
kept interrupts off for too long.
"""
import dataclasses
import statistics

MIB, GIB = 1 << 20, 1 << 30
PAGE = 4096
SEGMENTS = 256
AGE, OLDER = 5000, 50000        # lists before the measurement
OFF_MOST = 20000                # instructions with interrupts off


@dataclasses.dataclass
class Row:
    """One operation; VALUE takes it out of what a guest reported."""
    name: str
    value: object
    share: float = None
    most: float = None
    unit: str = "instructions"
    good: str = None                # the operation that has to succeed every time
    lists: object = None            # takes the lines of an aged pool out of what a guest reported


def _cost(key, divisor=1):
    return lambda seen: float(seen[key][0]["instructions"]) / divisor


def _per_mib(key):
    return lambda seen: float(seen[key][0]["instructions"]) * MIB / float(seen[key][0]["bytes"])


def _struct_pages(seen):
    return float(seen["register"][0]["ram"]) / MIB * GIB / float(seen["register"][0]["bytes"])


def _aged_lines(size, longest, fill, age=AGE):
    """A function from what a guest reported to the lines of a mix, one for each seed."""
    wanted = {"pages": str(size // PAGE), "longest": str(longest), "fill": str(fill),
              "age": str(age)}
    return lambda seen: [line for line in seen["aged"]
                         if all(line[key] == wanted[key] for key in wanted)]


def _mean(lines, key):
    return lambda seen: statistics.mean(float(line[key]) for line in lines(seen))


def _aged(size, longest, fill, most, age=AGE):
    """A row of lists that come and go."""
    lines = _aged_lines(size, longest, fill, age)
    name = f"{size // GIB} GiB" if size >= GIB else f"{size // MIB} MiB"
    word = "aged" if age == AGE else "  older:"
    return Row(f"{word} {name}, {fill} %, lists of 1-{longest}", _mean(lines, "instructions"),
               most=most, lists=lines)


def _aged_page(longest):
    """A row of single pages in a pool of lists."""
    lines = _aged_lines(64 * MIB, longest, 99)
    return Row(f"alloc + free 4 KiB, aged 99 %, lists of 1-{longest}", _mean(lines, "single"),
               most=200)


ROWS = [
    Row("alloc + free 4 KiB, empty pool", _cost("alloc_free_4k"), most=120),
    Row("alloc + free 64 KiB, empty pool", _cost("alloc_free_64k"), most=181),
    Row("alloc + free 1 MiB, empty pool", _cost("alloc_free_1m")),
    Row("alloc 4 KiB, average while filling", _cost("fill_4k"), share=0.12),
    Row("alloc + free 4 KiB, all but one page taken", _cost("last_page_4k"), share=0.07),
    Row("SGL of 64 KiB, every other page taken", _cost("sgl_fragmented"), most=3000,
        good="sgl_fragmented"),
    Row("SGL of 64 KiB, empty pool", _cost("sgl_empty"), share=0.6),
    Row("failing alloc 4 KiB, exhausted pool", _cost("exhausted_4k"), most=100),
    Row("failing alloc 64 KiB, exhausted pool", _cost("exhausted_64k"), most=115),
    Row("failing alloc 1 MiB, exhausted pool", _cost("exhausted_1m"), most=100),
    Row("map + unmap, 1 segment", _cost("map_1"), most=275),
    Row("map + unmap, per segment of 256", _cost("map_256", SEGMENTS), most=85),
    Row("  the same in system RAM, 1 segment", _cost("map_1_ram")),
    Row("  the same in system RAM, per segment of 256", _cost("map_256_ram", SEGMENTS)),
    Row("distance over one switch", _cost("distance")),
    Row("find for one client", _cost("find")),
    Row("register a BAR of 4 GiB, per MiB", _per_mib("register")),
    Row("struct pages of that, per GiB", _struct_pages, unit="MiB"),
    Row("user mapping made and taken away, per MiB", _per_mib("user_mapping")),
    Row("dma-buf of 64 KiB, from heap to close", _cost("dmabuf_65536")),
    Row("dma-buf of 1 GiB, the same, per MiB", _per_mib("dmabuf_1073741824")),
    _aged_page(32),
    _aged_page(256),
    _aged(64 * MIB, 32, 50, 900),
    _aged(64 * MIB, 256, 50, 1200),
    _aged(64 * MIB, 32, 90, 1300),
    _aged(64 * MIB, 256, 90, 1900),
    _aged(64 * MIB, 32, 99, 2400),
    _aged(64 * MIB, 256, 99, 7000),
    _aged(64 * MIB, 256, 99, None, OLDER),
    _aged(4 * GIB, 256, 50, 700),
    _aged(4 * GIB, 256, 90, 800),
    _aged(4 * GIB, 256, 99, 1800),
]


def _life(lines):
    """What the lines of all seeds say beside the mean."""
    def numbers(key):
        return [float(line[key]) for line in lines]
    return {"seeds": [line["seed"] for line in lines], "lists": int(sum(numbers("tries"))),
            "wrong": int(sum(numbers("wrong"))), "worst": int(max(numbers("worst"))),
            "off": int(max(numbers("off"))), "within": int(max(numbers("within"))),
            "entries": round(statistics.mean(numbers("entries")), 2)}


def _held(row, ours, limit, seen):
    """Whether a row is within its limit; None if it has none."""
    if limit is None:
        return None
    if row.good and seen[row.good][0]["good"] != seen[row.good][0]["rounds"]:
        return False
    if row.lists:
        life = _life(row.lists(seen))
        if life["wrong"] or life["off"] + life["within"] > OFF_MOST:
            return False
    return ours <= limit


def _judge(row, stock, ours):
    before, now = row.value(stock), row.value(ours)
    limits = [each for each in (row.most, row.share and row.share * before) if each]
    limit = min(limits) if limits else None
    result = {"operation": row.name, "unit": row.unit, "stock": round(before, 2),
              "ours": round(now, 2), "ratio": round(now / before, 4),
              "limit": limit and round(limit, 2), "held": _held(row, now, limit, ours)}
    if row.good:
        result["succeeded"] = {
            name: f"{seen[row.good][0]['good']} of {seen[row.good][0]['rounds']}"
            for name, seen in (("stock", stock), ("ours", ours))}
    if row.lists:
        result["aged"] = {"stock": _life(row.lists(stock)), "ours": _life(row.lists(ours))}
    return result


def judge(stock, ours):
    """Every row as a dictionary, from what the two guests reported."""
    return [_judge(row, stock, ours) for row in ROWS]


def number(value):
    """A number with as many digits as say something."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.0f}" if value >= 50 else f"{value:.2f}"


WORDS = {True: "held", False: "NOT HELD", None: ""}


def _line(row):
    limit = number(row["limit"]) if row["limit"] else ""
    word = WORDS[row["held"]]
    if "succeeded" in row:
        word += f" (succeeds {row['succeeded']['ours']}; stock {row['succeeded']['stock']})"
    unit = "" if row["unit"] == "instructions" else f" ({row['unit']})"
    return (f"{row['operation'] + unit:46}{number(row['stock']):>10}{number(row['ours']):>10}"
            f"{row['ratio']:>8.3f}{limit:>9}  {word}").rstrip()


def _aged_side(row, name):
    life = row["aged"][name]
    wrong = f"{life['wrong']:,}" if life["wrong"] else "-"
    return f"{number(row[name]):>10}{wrong:>8}{life['worst']:>9,}{life['off']:>8,}"


def _aged_line(row):
    limit = number(row["limit"]) if row["limit"] else ""
    return (f"{row['operation']:36}{_aged_side(row, 'stock')}{_aged_side(row, 'ours')}"
            f"{limit:>8}  {WORDS[row['held']]}").rstrip()


def _aged_table(results):
    """Lists in an aged pool: mean, lists that failed wrongly, worst call, interrupts off."""
    side = f"{'wrong':>8}{'worst':>9}{'off':>8}"
    head = f"{'instructions':36}{'stock':>10}{side}{'ours':>10}{side}{'limit':>8}"
    life = results[0]["aged"]["ours"]
    foot = (f"aged: {AGE:,} lists before the measurement, older: {OLDER:,}\n"
            f"wrong: failures of {number(life['lists'])} lists while enough bytes were free; worst: "
            f"the worst single call;\noff: the longest time with interrupts off, within "
            f"{number(life['within'])}, at most {number(OFF_MOST)}; seeds {','.join(life['seeds'])}")
    return [head, "-" * len(head), *map(_aged_line, results), foot]


def table(results):
    """The rows as text."""
    head = f"{'instructions':46}{'stock':>10}{'ours':>10}{'ratio':>8}{'limit':>9}"
    aged = [row for row in results if "aged" in row]
    return "\n".join([head, "-" * len(head), *(_line(row) for row in results if row not in aged),
                      "", *_aged_table(aged)])
