"""Tables of measurements, as Markdown that also reads well on a terminal; plain functions of the JSON that
tools/peers/all.sh and tools/bench/growth.py write."""
import math
from statistics import median


def markdown(header, rows):
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    lines = [[str(cell).ljust(width) for cell, width in zip(row, widths)] for row in [header, *rows]]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def middle(side, key):
    return median(run[key] for run in side["runs"])


def ratio(ours, theirs):
    """How many times the peer's rate: the median over turns, each of which held both sides."""
    return median(a["tokens_per_s"] / b["tokens_per_s"] for a, b in zip(ours["runs"], theirs["runs"]))


def best_of_each(sides):
    """Per peer the side with the best setting, and the others behind it."""
    groups = {}
    for side in sides:
        groups.setdefault(side["name"], []).append(side)
    for group in groups.values():
        ran = sorted((side for side in group if side["runs"]), key=lambda side: -middle(side, "tokens_per_s"))
        yield ran + [side for side in group if not side["runs"]]


def absent(side):
    """What stands for a number; why, is said elsewhere."""
    return "failed" if side["failed"] else "not run"


def rate_words(group):
    best, *others = group
    if not best["runs"]:
        return absent(best)
    rates = [f"{side['setting']} {middle(side, 'tokens_per_s'):.0f}" if side["runs"] else f"{side['setting']} {absent(side)}"
             for side in others]
    return f"{middle(best, 'tokens_per_s'):.0f}" + (f" ({', '.join(rates)})" if rates else "")


def tokens_differ(ours, theirs):
    """Both sides should have had the same work; rows that are drawn may make a little difference."""
    a, b = middle(ours, "step_tokens"), middle(theirs, "step_tokens")
    return abs(a - b) > 0.01 * b


def row_of(work, ours, group):
    best = group[0]
    words = f"{best['name']}, {best['setting']}"
    if not ours["runs"]:
        return [work["words"], absent(ours), words, rate_words(group), "-", "-", "-"]
    us = f"{middle(ours, 'tokens_per_s'):.0f}"
    if not best["runs"]:
        return [work["words"], us, words, rate_words(group), "-", "-", "-"]
    if tokens_differ(ours, best):
        words += f"; {middle(best, 'step_tokens'):.0f} tokens a step, gaggle {middle(ours, 'step_tokens'):.0f}"
    return [work["words"], us, words, rate_words(group), f"{ratio(ours, best):.2f}",
            *(f"{middle(ours, key) / unit:{form}} : {middle(best, key) / unit:{form}}"
              for key, unit, form in (("peak_bytes", 1e9, ".1f"), ("first_s", 1, ".1f")))]


def peers_rows(results):
    return [row_of(work, work["sides"][0], group) for work in results["works"] for group in best_of_each(work["sides"][1:])]


def peers_table(results):
    return markdown(["work", "gaggle tokens/s", "peer, setting", "its tokens/s", "times", "peak memory, GB",
                     "first result after, s"], peers_rows(results))


def exponent(xs, ys):
    """The slope of log y over log x through the last three points, where what is constant weighs least."""
    logs = [(math.log(x), math.log(y)) for x, y in zip(xs, ys)][-3:]
    mean_x, mean_y = (sum(column) / len(logs) for column in zip(*logs))
    spread = sum((x - mean_x) ** 2 for x, _ in logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / spread if spread else 0.0


def growth_words(power):
    """An exponent in words."""
    for below, words in ((-0.1, "falls"), (0.1, "hardly grows"), (0.8, "grows less than in proportion"), (1.2, "grows in proportion"),
                         (1.8, "grows more than in proportion"), (2.2, "grows with the square")):
        if power < below:
            return words
    return "grows faster than the square"


def growth_rows(curve):
    xs = [point["x"] for point in curve["points"]]
    for key, words in (("seconds", curve["seconds_are"]), ("peak_bytes", "peak memory")):
        if len(xs) < 2:
            continue
        ys = [point[key] for point in curve["points"]]
        power = exponent(xs, ys)
        unit, form = (1, ".3g") if key == "seconds" else (1e9, ".2f")
        values = ", ".join(f"{y / unit:{form}}" for y in ys)
        yield [curve["axis"], f"{words}, {'s' if unit == 1 else 'GB'}", f"{', '.join(f'{x:,}' for x in xs)}", values,
               f"{growth_words(power)} ({round(power, 2) + 0:.2f})"]


def growth_table(results):
    rows = [row for curve in results["curves"] for row in growth_rows(curve)]
    failed = [[curve["axis"], "failed", "-", "-", "-"] for curve in results["curves"] if curve.get("failed")]
    return markdown(["axis", "what", "at", "measured", "exponent"], rows + failed)
