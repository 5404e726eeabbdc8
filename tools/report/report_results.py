"""Results of an evaluation: methods × tasks with intervals, of results.json or of the items that are done so far."""
import math
import pathlib
import sys
from statistics import NormalDist

import numpy as np

from report_answers import predictions, rows_of
from report_files import number, read_json, rounded
from report_so_far import items_so_far
from report_tasks import task_files

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "study"))
from study_bootstrap import LEVEL, Pair, interval, over_rows  # noqa: E402

RESAMPLES = 1000
MOST_SINGLES = 16  # experts alone that stand among the methods; more are a picture
GROUPS = {"held_in": True, "held_out": False, "all": None}  # of tasks, by what results.json says of held_in


def pair_of(lines, measure):
    """What a score is summed of; None where a row has none."""
    if measure == "nll":
        values, weights = [number(line.get("target_nll")) for line in lines], [number(line.get("target_tokens")) for line in lines]
    else:
        values, weights = [number(line.get("score")) for line in lines], [1] * len(lines)
    if not lines or None in values or None in weights or not sum(weights):
        return None
    return Pair(np.array(values, float), np.zeros(len(lines)), np.array(weights, float))


def wilson(right, rows):
    """The interval of a share of right answers (Wilson, 1927): drawing rows anew would give 0 of 24 an interval of no width."""
    share, z2 = right / rows, NormalDist().inv_cdf((1 + LEVEL) / 2) ** 2
    middle, half = share + z2 / (2 * rows), math.sqrt(z2 * (share * (1 - share) / rows + z2 / (4 * rows**2)))
    return [(middle - half) / (1 + z2 / rows), (middle + half) / (1 + z2 / rows)]


def between(pairs, right_or_wrong=False):
    """The interval of the mean over tasks: of right answers by Wilson's intervals, else rows drawn anew, the same for every method."""
    if not pairs or any(pair is None or len(pair.a) < 2 for pair in pairs):
        return [None, None]
    if right_or_wrong and all(np.isin(pair.a, (0, 1)).all() for pair in pairs):
        # Of independent tasks the distances to their limits add up as squares (MOVER: Zou and Donner, 2008).
        shares = np.array([[pair.a.mean(), *wilson(pair.a.sum(), len(pair.a))] for pair in pairs])
        mean, to_low, to_high = shares[:, 0].mean(), shares[:, 0] - shares[:, 1], shares[:, 2] - shares[:, 0]
        limits = [mean - np.linalg.norm(to_low) / len(pairs), mean + np.linalg.norm(to_high) / len(pairs)]
        return rounded(np.clip(limits, 0, 1), 5)
    return rounded(interval(over_rows(pairs, RESAMPLES, np.random.default_rng(0))), 5)


def cell(value, pairs, right_or_wrong):
    return [value, *(between(pairs, right_or_wrong) if value is not None else [None, None])]


def measure_of(results, lines, methods, tasks, measure):
    """cells [methods][tasks] and means [methods] by group, each [value, low, high]."""
    key = "nll_per_token" if measure == "nll" else "score"
    cells, means = [], {name: [] for name in GROUPS}
    for method in methods:
        of = results["methods"].get(method, {}).get("tasks", {})
        values = [number(of.get(task, {}).get(key)) for task in tasks]
        pairs = [pair_of(lines.get((method, task), []), measure) for task in tasks]
        cells.append([cell(value, [pair], measure == "score") for value, pair in zip(values, pairs)])
        for name, held_in in GROUPS.items():
            chosen = [i for i, task in enumerate(tasks) if results["tasks"][task].get("held_in") is held_in]
            whole = chosen and all(values[i] is not None for i in chosen)
            mean = sum(values[i] for i in chosen) / len(chosen) if whole else None
            means[name].append(cell(mean, [pairs[i] for i in chosen], False))
    return {"cells": cells, "means": means}


def shares(results, methods):
    """method → share of the routing weight by expert, the largest first."""
    found = {}
    for method in methods:
        of = results["methods"][method].get("share_of_routing_weight")
        if of:
            order = sorted((name for name in of if number(of[name]) is not None), key=lambda name: -of[name])
            found[method] = [[name, rounded([of[name]])[0]] for name in order[:60]]
    return found


def singles_of(results, tasks):
    """Of many experts alone: nll per token [experts][tasks]."""
    names = [method for method in results["methods"] if method.startswith("expert:")]
    tasks = sorted(tasks, key=lambda task: names.index(f"expert:{task}") if f"expert:{task}" in names else len(names))
    of = [results["methods"][name]["tasks"] for name in names]
    values = [[number(scores.get(task, {}).get("nll_per_token")) for task in tasks] for scores in of]
    return {"names": [name[7:] for name in names], "tasks": tasks, "nll": rounded(np.array(values, dtype=float), 3)}


def result_section(results, lines, files, room, **more):
    """`results`: as results.json has them; `lines`: as `predictions` gives them."""
    tasks = list(results.get("tasks", {}))
    singles = [method for method in results["methods"] if method.startswith("expert:")]
    methods = [method for method in results["methods"] if method not in singles] + singles * (len(singles) <= MOST_SINGLES)
    return {
        "draw": "results", "title": "Results", "of": results.get("collection") or "",
        "base": (results.get("base") or {}).get("name"),
        "tasks": [{"name": task, **results["tasks"][task]} for task in tasks], "methods": methods,
        "experts": {m: {t: of["expert"] for t, of in results["methods"][m]["tasks"].items() if "expert" in of} for m in methods},
        "measures": {name: measure_of(results, lines, methods, tasks, name) for name in ("score", "nll")},
        "rows": rows_of(lines, methods, tasks, files, room.rows), "shares": shares(results, results["methods"]),
        "singles": singles_of(results, tasks) if len(singles) > 1 else None,
        "routed": results.get("experts", []), "missing": results.get("missing", []), **more}


def result_sections(path, config, room):
    """Of a file of results, or of all that lie in an evaluation's folder and the items that none of them has."""
    files, sections, known = task_files(config), [], set()
    for file in [path] if path.is_file() else sorted(path.glob("results*.json")):
        results = read_json(file)
        if not isinstance(results, dict) or not isinstance(results.get("methods"), dict) or "table" in results:
            continue
        answers = file.with_name(file.name.replace("results", "predictions", 1) + "l")
        lines = predictions(answers)
        sections.append(result_section(results, lines, files, room, file=file.name, answers=answers.name))
        known |= {(method, task) for method, of in results["methods"].items() for task, score in of["tasks"].items()
                  if score.get("examples")}
    so_far = items_so_far(path, config, files) if path.is_dir() else None
    of_oracle = any(method == "oracle" for method, _ in known)  # it is of single experts, which results.json need not list
    if so_far and any(cell not in known and not (of_oracle and cell[0].startswith("expert:")) for cell in so_far.lines):
        about = {"title": "Results so far", "so_far": [so_far.done, so_far.all], "file": "items", "answers": "items/"}
        sections.insert(0, result_section(so_far.results, so_far.lines, files, room, **about))
    return sections
