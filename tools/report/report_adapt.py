"""Results of gaggle adapt: methods and shots × tasks, medians over seeds with their range."""
from report_files import number, read_json

KEYS = {"score": ("right_percent", 0.01), "nll": ("nll_per_token", 1)}


def median_cell(of, scale):
    values = [number((of or {}).get(name)) for name in ("median", "min", "max")]
    return [None if value is None else value * scale for value in values]


def measure_of(results, wanted, tasks, measure):
    key, scale = KEYS[measure]
    table = {(line["method"], line["shots"], line["task"]): line for line in results["table"]}
    base = [number(results["tasks"][task]["base"].get(key)) for task in tasks]
    cells = [[[None if value is None else value * scale, None, None] for value in base]]
    cells += [[median_cell(table.get((*name, task), {}).get(key), scale) for task in tasks] for name in wanted]
    means = []
    for row in cells:
        values = [value for value, _, _ in row]
        means.append([sum(values) / len(values) if values and None not in values else None, None, None])
    return {"cells": cells, "means": {"all": means}}


def seeds_of(results, wanted, task):
    """The items behind a number: one a seed."""
    rows = []
    for method, shots in wanted:
        for item in results["items"]:
            if (item["method"], item["shots"], item["task"]) == (method, shots, task):
                rows.append([f"{method}, {shots or 'all'} shots", item["seed"], number(item.get("right_percent")),
                             number(item["nll_per_token"]), item.get("trained_values"), item.get("stored")])
    return {"columns": ["method", "seed", "right %", "NLL/token", "trained values", "stored as"], "table": rows}


def adapt_sections(folder_or_file):
    files = [folder_or_file] if folder_or_file.is_file() else sorted(folder_or_file.glob("results*.json"))
    sections = []
    for path in files:
        results = read_json(path)
        if not isinstance(results, dict) or "table" not in results:
            continue
        tasks = list(results["tasks"])
        wanted = list(dict.fromkeys((line["method"], line["shots"]) for line in results["methods"]))
        sections.append({
            "draw": "results", "title": "Few-shot adaptation", "of": results.get("from") or results.get("shared_from") or "",
            "base": (results.get("base") or {}).get("name"),
            "tasks": [{"name": task, "metric": results["tasks"][task].get("metric"), "held_in": None} for task in tasks],
            "methods": ["base", *(f"{method} · {shots or 'all'} shots" for method, shots in wanted)], "experts": {},
            "over_seeds": True, "curves": [[method, shots] for method, shots in wanted],
            "measures": {name: measure_of(results, wanted, tasks, name) for name in KEYS},
            "rows": {task: seeds_of(results, wanted, task) for task in tasks}, "shares": {}, "singles": None,
            "missing": results.get("missing", []), "file": path.name})
    return sections
