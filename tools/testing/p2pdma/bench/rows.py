# SPDX-License-Identifier: GPL-2.0
"""The rows of the benchmark: what is measured, what it may cost, and whether it does.

Costs are instructions unless a row says otherwise. A limit is a share of what stock needs, a
number, or both; a row without one is there to be looked at.
"""
import dataclasses

MIB, GIB = 1 << 20, 1 << 30
SEGMENTS = 256


@dataclasses.dataclass
class Row:
    """One operation; VALUE takes it out of what a guest reported."""
    name: str
    value: object
    share: float = None
    most: float = None
    unit: str = "instructions"
    good: str = None                # the operation that has to succeed every time


def _cost(key, divisor=1):
    return lambda seen: float(seen[key]["instructions"]) / divisor


def _register(seen):
    return float(seen["register"]["instructions"]) * MIB / float(seen["register"]["bytes"])


def _struct_pages(seen):
    return float(seen["register"]["ram"]) / MIB * GIB / float(seen["register"]["bytes"])


ROWS = [
    Row("alloc + free 4 KiB, empty pool", _cost("alloc_free_4k"), share=0.34),
    Row("alloc + free 64 KiB, empty pool", _cost("alloc_free_64k"), share=0.5),
    Row("alloc + free 1 MiB, empty pool", _cost("alloc_free_1m"), share=0.5),
    Row("alloc 4 KiB, average while filling", _cost("fill_4k"), share=0.12),
    Row("alloc + free 4 KiB, all but one page taken", _cost("last_page_4k"), share=0.07),
    Row("SGL of 64 KiB, every other page taken", _cost("sgl_fragmented"), most=3000,
        good="sgl_fragmented"),
    Row("SGL of 64 KiB, empty pool", _cost("sgl_empty"), share=0.6),
    Row("failing alloc 4 KiB, exhausted pool", _cost("exhausted_4k"), most=100),
    Row("failing alloc 64 KiB, exhausted pool", _cost("exhausted_64k"), most=100),
    Row("failing alloc 1 MiB, exhausted pool", _cost("exhausted_1m"), most=100),
    Row("map + unmap, 1 segment", _cost("map_1"), most=275),
    Row("map + unmap, per segment of 256", _cost("map_256", SEGMENTS), most=85),
    Row("  the same in system RAM, 1 segment", _cost("map_1_ram")),
    Row("  the same in system RAM, per segment of 256", _cost("map_256_ram", SEGMENTS)),
    Row("distance over one switch", _cost("distance")),
    Row("find for one client", _cost("find")),
    Row("register a BAR of 4 GiB, per MiB", _register, share=0.45),
    Row("struct pages of that, per GiB", _struct_pages, most=4, unit="MiB"),
]


def _held(row, ours, limit, seen):
    """Whether a row is within its limit; None if it has none."""
    if limit is None:
        return None
    if row.good and seen[row.good]["good"] != seen[row.good]["rounds"]:
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
        result["succeeded"] = {name: f"{seen[row.good]['good']} of {seen[row.good]['rounds']}"
                               for name, seen in (("stock", stock), ("ours", ours))}
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


def table(results):
    """The rows as text."""
    head = f"{'instructions':46}{'stock':>10}{'ours':>10}{'ratio':>8}{'limit':>9}"
    return "\n".join([head, "-" * len(head), *(_line(row) for row in results)])
