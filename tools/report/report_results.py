"""Results of an evaluation: methods × tasks with intervals, of results.json or of the items that are done so far."""
import numpy as np

from report_answers import predictions, rows_of
from report_files import number, read_json, rounded
from report_intervals import NONE, of_mean, of_share, over_tasks
from report_so_far import items_so_far
from report_tasks import task_files

MOST_SINGLES = 16  # experts alone that stand among the methods; more are a picture
GROUPS = {"held_in": True, "held_out": False, "all": None}  # of tasks, by what results.json says of held_in
SHARES = ("f1", "rouge_l")  # metrics whose scores are none of right or wrong


def interval_of(lines, measure, metric):
    """Of what one method came to on a task; none where a row has no number."""
    names = ("target_nll", "target_tokens") if measure == "nll" else ("score",)
    columns = [[number(line.get(name)) for line in lines] for name in names]
    if not lines or any(None in column for column in columns):
        return NONE
    if measure == "nll":
        return of_mean(*(np.array(column, float) for column in columns))
    scores = np.array(columns[0], float)
    return of_mean(scores, np.ones(len(scores))) if metric in SHARES else of_share(scores.sum(), len(scores))


def measure_of(results, lines, methods, tasks, measure):
    """cells [methods][tasks] and means [methods] by group, each [value, low, high]."""
    key = "nll_per_token" if measure == "nll" else "score"
    cells, means = [], {name: [] for name in GROUPS}
    for method in methods:
        of = results["methods"].get(method, {}).get("tasks", {})
        row = []
        for task in tasks:
            value = number(of.get(task, {}).get(key))
            metric = results["tasks"][task].get("metric")
            row.append([value, *(NONE if value is None else interval_of(lines.get((method, task), []), measure, metric))])
        for name, held_in in GROUPS.items():
            means[name].append(over_tasks([row[i] for i, task in enumerate(tasks)
                                           if results["tasks"][task].get("held_in") is held_in]))
        cells.append([[value, *rounded([low, high], 8)] for value, low, high in row])
    return {"cells": cells, "means": {name: [[value, *rounded(of, 8)] for value, *of in rows] for name, rows in means.items()}}


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
