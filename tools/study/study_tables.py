"""The tables of STUDY.md: plain functions of the study's answers, each the text between two markers; "" where there is nothing."""
import pathlib
import sys

import study_methods as methods
import study_claims

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from tables import markdown  # noqa: E402

FORM = {"nll": "+.3f", "right": "+.1f"}


def number(value, form):
    """Never -0.000."""
    text = format(value, form)
    return text.replace("-", "+") if "-" in text and not float(text) else text


def interval(low_high, form):
    return "-" if low_high is None else f"[{number(low_high[0], form)}, {number(low_high[1], form)}]"


def titled(*parts):
    """(title, table) pairs one below the other, empty ones left out."""
    return "\n\n".join(f"**{title}**\n\n{table}" for title, table in parts if table)


def cells(record):
    if record is None:
        return ["-"] * 4
    form = FORM[record["measure"]]
    return [number(record["estimate"], form), interval(record["rows"], form), interval(record["tasks"], form), record["verdict"]]


def comparison_table(records, keys):
    """One line for both measures; `keys`: heading → what stands there, from a record."""
    lines = {}
    for record in records:
        lines.setdefault(tuple(str(of(record)) for of in keys.values()), {})[record["measure"]] = record
    if not lines:
        return ""
    heading = [*keys, "nll", "over rows", "over tasks", "nll is", "right", "over rows", "over tasks", "right is"]
    return markdown(heading, [[*line, *cells(both.get("nll")), *cells(both.get("right"))] for line, both in lines.items()])


def asked(answers, question, **about):
    return [record for record in answers["comparisons"] if record["question"] == question
            and all(record[key] == value for key, value in about.items())]


METHOD, OTHER = {"method": lambda r: r["method"]}, {"against": lambda r: r["other"]}
POOL, SET = {"pool": lambda r: r["pool"]}, {"on": lambda r: r["set"]}


def largest(answers, question):
    return max((record["pool"] for record in asked(answers, question)), default=0)


def by_set(answers, question, keys, **about):
    records = asked(answers, question, **about)
    sets = dict.fromkeys(record["set"] for record in records)
    return titled(*((set_words(name, records), comparison_table([r for r in records if r["set"] == name], keys)) for name in sets))


def set_words(name, records):
    of = next(record for record in records if record["set"] == name)
    return f"{name}: {of['n_tasks']} tasks, {of['n_rows']} rows"


def routing(answers):
    size = largest(answers, "routing")
    table = by_set(answers, "routing", OTHER, pool=size, seed=0)
    return table and f"Pool of {size}, seed 0: phatgoose, k 2, less\n\n{table}"


def seeds(answers):
    """Every pool and seed beside each other, loss alone."""
    records = [record for record in asked(answers, "routing") if record["measure"] == "nll"]
    runs = sorted({(r["pool"], r["seed"]) for r in records})
    if len(runs) < 2:
        return ""
    parts = []
    for name in dict.fromkeys(r["set"] for r in records):
        of = {(r["other"], r["pool"], r["seed"]): r for r in records if r["set"] == name}
        lines = [[other, *(f"{number(r['estimate'], FORM['nll'])} {r['verdict']}" if (r := of.get((other, *run))) else "-" for run in runs)]
                 for other in dict.fromkeys(other for other, _, _ in of)]
        parts.append((name, markdown(["against", *(f"pool {size}, seed {seed}" for size, seed in runs)], lines)))
    return titled(*parts)


def score_tables(answers):
    """Methods × sets: nll per target token, and percent right in brackets."""
    rows = [row for row in answers["scores"] if row["set"] != "held-in, first tasks"]
    parts = []
    for kind, size, seed in dict.fromkeys((r["kind"], r["pool"], r["seed"]) for r in rows):
        of = [r for r in rows if (r["kind"], r["pool"], r["seed"]) == (kind, size, seed)]
        sets = list(dict.fromkeys(r["set"] for r in of))
        at = {(r["method"], r["set"]): r for r in of}
        lines = [[method, *(score_cell(at.get((method, name))) for name in sets)] for method in dict.fromkeys(r["method"] for r in of)]
        words = {"pool": f"pool of {size}, seed {seed}", "mixed": f"pool of {size}, unlike ranks and scales",
                 "bias": f"pool of {size}, gates with b = -2"}[kind]
        parts.append((words, markdown(["method", *sets], lines)))
    return titled(*parts)


def score_cell(row):
    return "-" if row is None else f"{row['nll']:.3f}" + ("" if row["right"] is None else f" ({row['right']:.1f} %)")


def alignment(answers):
    of = answers["alignment"]
    if not of["runs"]:
        return ""
    lines = [[run["method"], run["combine"], run["n"], number(run["estimate"], "+.4f"), interval(run["interval"], "+.4f")]
             for run in of["runs"]]
    table = markdown(["inventory", "gradients joined by", "windows", "noise-free cosine", "over windows"], lines)
    lines = [[f"{d['method']}, {d['combine']}", f"{d['other']}, {d['other_combine']}", number(d["estimate"], "+.4f"),
              interval(d["interval"], "+.4f"), d["verdict"]] for d in of["differences"]]
    return table + (f"\n\n{markdown(['inventory', 'less', 'difference', 'over windows', 'agrees'], lines)}" if lines else "")


def few_shot(answers):
    of = answers["few_shot"]
    if not of["scores"]:
        return ""
    lines = [[row["method"], row["shots"] or "-", score_cell(row)] for row in of["scores"]]
    table = comparison_table(of["comparisons"], METHOD | OTHER | {"shots": lambda r: r["shots"]})
    return markdown(["method", "shots", "nll (right)"], lines) + (f"\n\n{table}" if table else "")


def conditions(answers):
    of = answers["about"]
    machine, held_out = of["machine"], [f"{name}: {', '.join(tasks)}" for name, tasks in of["held_out"].items()]
    flags = f" ({', '.join(machine['flags'])})" if machine["flags"] else ""
    total = sum(of["seconds"].values())
    return "\n".join([
        f"- plan: {of['plan']}",
        f"- machine: {machine['processor']}{flags}, {machine['cores']} cores, {machine['memory_gb']} GB; {of['ranks']} ranks of one thread",
        f"- program: {of['program']}, commit {', '.join(of['commits'])}", f"- base: {of['base']}",
        f"- training tasks, {len(of['train'])}: {', '.join(of['train'])}",
        *(f"- held-out tasks, {line}" for line in held_out), f"- few shots: {', '.join(of['few_shot'])}",
        "- rows of a task at most: " + ", ".join(f"{count} {split}" for split, count in of["rows"].items()),
        f"- bootstrap: {of['resamples']} resamples, 95 % percentile intervals, numpy's PCG64, seed 0",
        f"- time: {len(of['seconds'])} stages, {total / 3600:.1f} hours in the last start of each (what was there before was not made again)"])


def missing(answers):
    return "\n".join(f"- {line}" for line in answers["missing"]) or "Nothing of the plan."


BLOCKS = {
    "conditions": conditions, "found": lambda a: study_claims.table(a, markdown), "routing": routing, "seeds": seeds,
    "own": lambda a: titled(*((f"pool of {size}, seed 0, held-in", comparison_table(
        asked(a, "own left out", pool=size, seed=0), OTHER)) for size in a["about"]["pools"])),
    "by_token": lambda a: by_set(a, "by token", METHOD | OTHER, pool=largest(a, "by token"), seed=0),
    "k": lambda a: by_set(a, "k", METHOD, pool=largest(a, "k"), seed=0),
    "rules": lambda a: by_set(a, "rules", METHOD), "calibration": lambda a: by_set(a, "calibration", METHOD),
    "bias": lambda a: by_set(a, "bias", METHOD), "size": lambda a: by_set(a, "size", METHOD | POOL),
    "alignment": alignment, "few_shot": few_shot, "scores": score_tables, "missing": missing}
