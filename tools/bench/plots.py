#!/usr/bin/env python3
"""Plots of growth.py's JSON, one SVG an axis: time and memory side by side, both axes logarithmic.

    tools/bench/plots.py docs/benchmarks/growth.json docs/benchmarks
"""
import json
import math
import pathlib
import sys

import tables

WIDTH, HEIGHT = 720, 300
PANEL = 240, 190  # of the plotted field
STYLE = """<style>
text{font:12px sans-serif;fill:#24292f}.dim{fill:#57606a}.title{font-weight:bold}
.grid{stroke:#d0d7de}.line{fill:none;stroke:#0969da;stroke-width:2}.dot{fill:#0969da}.ground{fill:#ffffff}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.dim{fill:#8d96a0}.grid{stroke:#30363d}
.line{stroke:#58a6ff}.dot{fill:#58a6ff}.ground{fill:#0d1117}}
</style>"""


def short(value):
    """A number in at most three digits and a unit."""
    for unit, word in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{word}"
    return f"{value:.3g}"


def decades(values):
    """The range of a logarithmic axis, and where its lines are: at 1, 2 and 5 of each power of ten."""
    marks = [m * 10.0 ** e for e in range(-4, 13) for m in (1, 2, 5)]
    low = max(mark for mark in marks if mark <= min(values))
    high = min(mark for mark in marks if mark >= max(values) and mark > low)
    within = [mark for mark in marks if low <= mark <= high]
    return within[::1 + len(within) // 7]


def place(value, marks, size):
    low, high = math.log(marks[0]), math.log(max(marks))
    return (math.log(value) - low) / (high - low) * size


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def panel(left, points, key, title, note):
    width, height = PANEL
    top = 50
    xs, ys = [point["x"] for point in points], [point[key] for point in points]
    marks = decades(ys)
    marks = marks if marks[-1] >= max(ys) else [*marks, max(ys)]
    spots = [(left + place(x, [xs[0], xs[-1]], width), top + height - place(y, marks, height)) for x, y in zip(xs, ys)]
    yield f'<text class="title" x="{left}" y="22">{escaped(title)}</text>'
    yield f'<text class="dim" x="{left}" y="39">{escaped(note)}</text>'
    for mark in marks:
        y = top + height - place(mark, marks, height)
        yield f'<line class="grid" x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="dim" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{short(mark)}</text>'
    for (x, _), value in zip(spots, xs):
        yield f'<text class="dim" x="{x:.1f}" y="{top + height + 18}" text-anchor="middle">{value:,}</text>'
    yield f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in spots)}"/>'
    yield from (f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in spots)


def svg(curve):
    points = curve["points"]
    xs = [point["x"] for point in points]
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
             STYLE, f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>']
    for left, key, title in ((70, "seconds", "seconds"), (430, "peak_bytes", "peak memory, bytes")):
        words = tables.growth_words(tables.exponent(xs, [point[key] for point in points]))
        parts += panel(left, points, key, title, words)
    parts.append(f'<text class="dim" x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escaped(curve["axis"])}: '
                 f'{escaped(curve["seconds_are"])}</text></svg>')
    return "\n".join(parts) + "\n"


def write_plots(results, folder):
    """Writes one file an axis that has at least two points; returns the axes."""
    drawn = [curve for curve in results["curves"] if len(curve["points"]) >= 2]
    folder.mkdir(parents=True, exist_ok=True)
    for curve in drawn:
        (folder / f"{curve['axis']}.svg").write_text(svg(curve))
    return [curve["axis"] for curve in drawn]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print("\n".join(write_plots(json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2]))))
