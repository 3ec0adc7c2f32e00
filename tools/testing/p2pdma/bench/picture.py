# SPDX-License-Identifier: GPL-2.0
"""The benchmark as a picture: one bar a row, its length the share of what stock needs."""
from xml.sax.saxutils import escape

from rows import number

WIDTH, LEFT, RIGHT = 980, 330, 190
TOP, STEP, BAR = 84, 30, 14
LARGEST = 1.25                  # the share at which a bar is cut off
# class -> property, colour on light and on dark paper; not every viewer knows CSS variables
COLOURS = {
    "paper": ("fill", "#ffffff", "#14171c"), "ink": ("fill", "#1b1f24", "#e8ebf0"),
    "faint": ("fill", "#5f6875", "#9aa3b0"), "grid": ("stroke", "#d5dae1", "#363d47"),
    "limit": ("stroke", "#1b1f24", "#e8ebf0"), "good": ("fill", "#2c7a4b", "#57b27d"),
    "bad": ("fill", "#b3402f", "#e2745f"), "plain": ("fill", "#4a6fa5", "#7fa3d8"),
}
CLASSES = {True: "good", False: "bad", None: "plain"}


def _style():
    def rules(index):
        return " ".join(f".{name} {{ {each[0]}: {each[index]}; }}"
                        for name, each in COLOURS.items())
    return ("<style>text { font: 13px system-ui, sans-serif; } "
            ".title { font-size: 17px; font-weight: 600; } .limit { stroke-width: 2; }\n"
            f"{rules(1)}\n@media (prefers-color-scheme: dark) {{ {rules(2)} }}</style>")


def _x(share):
    return LEFT + (WIDTH - LEFT - RIGHT) * min(share, LARGEST) / LARGEST


def _text(x, y, words, kind="ink", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">' \
           f'{escape(words)}</text>'


def _grid(bottom):
    for percent in range(0, 126, 25):
        x = _x(percent / 100)
        yield f'<line class="grid" x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}"/>'
        label = "stock" if percent == 100 else f"{percent} %"
        yield _text(x, TOP - 14, label, "faint", "middle")


def _row(y, row):
    kind = CLASSES[row["held"]]
    middle = y + BAR - 2
    yield _text(LEFT - 12, middle, row["operation"].strip(), anchor="end")
    length = max(_x(row["ratio"]) - LEFT, 1.5)
    yield f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
    if row["limit"]:
        x = _x(row["limit"] / row["stock"])
        yield f'<line class="limit" x1="{x:.1f}" y1="{y - 4}" x2="{x:.1f}" y2="{y + BAR + 4}"/>'
    unit = " MiB" if row["unit"] == "MiB" else ""
    words = f"{number(row['stock'])} → {number(row['ours'])}{unit}"
    yield _text(WIDTH - RIGHT + 14, middle, words + ("" if row["held"] is not False else "  ✗"))


def svg(results):
    """The picture as text; it follows the colour scheme of who looks at it."""
    bottom = TOP + STEP * len(results)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 34}" '
             f'width="{WIDTH}" height="{bottom + 34}" role="img">',
             "<title>What PCI peer memory costs, beside stock Linux</title>",
             _style(),
             f'<rect class="paper" width="{WIDTH}" height="{bottom + 34}"/>',
             _text(20, 30, "What PCI peer memory costs, beside stock Linux 6.12",
                   "ink title"),
             _text(20, 50, "instructions; shorter is better; the upright stroke is the limit",
                   "faint"),
             *_grid(bottom)]
    for index, row in enumerate(results):
        parts += _row(TOP + STEP * index + 4, row)
    parts += [_text(20, bottom + 22, "make bench: one emulated processor that counts what it "
                    "executes; the same numbers in every run", "faint"), "</svg>"]
    return "\n".join(parts) + "\n"
