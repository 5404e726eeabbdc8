"""What the stages left, as arrays: predictions by set, method and task; alignment by window; few-shot scores by task and seed."""
import dataclasses
import json

import numpy as np
from study_bootstrap import Pair

MEASURES = {"nll": True, "right": False}  # → is less better? nll per target token; percent right


@dataclasses.dataclass
class Rows:
    """A method on a task: [rows] each."""
    ids: list
    nll: np.ndarray
    tokens: np.ndarray
    right: np.ndarray  # NaN where the task's metric is nll alone


def number(value):
    return float("nan") if value is None else float(value)


def predictions(file):
    """method → task → Rows; a method is left out of a task where one of its scores is not finite."""
    lines = {}
    for line in map(json.loads, file.read_text().splitlines()):
        lines.setdefault((line["method"], line["task"]), []).append(line)
    found = {}
    for (method, task), rows in lines.items():
        nll, tokens, right = (np.array([number(row[key]) for row in rows]) for key in ("target_nll", "target_tokens", "correct"))
        if np.isfinite(nll).all():
            found.setdefault(method, {})[task] = Rows([row["id"] for row in rows], nll, tokens, right)
    return found


def pairs(ours, other, tasks, measure):
    """Of two methods' {task: Rows}; None where one has no result on one of the tasks."""
    found = []
    for task in tasks:
        if task not in ours or task not in other:
            return None
        a, b = ours[task], other[task]
        if a.ids != b.ids:
            raise ValueError(f"{task}: two methods were scored on different rows")
        if measure == "nll":
            found.append(Pair(a.nll, b.nll, a.tokens))
        elif np.isfinite(a.right).all() and np.isfinite(b.right).all():
            found.append(Pair(100 * a.right, 100 * b.right, np.ones(len(a.right))))
    return found or None


def score(rows, tasks):
    """Means over tasks: nll per token, percent right; None where a task is missing."""
    if any(task not in rows for task in tasks):
        return None
    of = [rows[task] for task in tasks]
    right = [100 * r.right.mean() for r in of if np.isfinite(r.right).all()]
    return {"nll": float(np.mean([r.nll.sum() / r.tokens.sum() for r in of])),
            "right": float(np.mean(right)) if right else None, "n_tasks": len(of), "n_rows": sum(len(r.ids) for r in of)}


def windows(file, length):
    """Of alignment.jsonl the last line of each whole window: steps, and the noise-free median cosine of each layer."""
    found, first = [], None
    for line in map(json.loads, file.read_text().splitlines()):
        first = line["step"] if line["window_measurements"] == 1 else first
        layers = [group["noise_free_median"] for group in line["groups"] if group["by"] == "layer"]
        layers = [value for value in layers if value is not None]
        if line["window_measurements"] == length and layers:
            found.append({"first": first, "last": line["step"], "layers": layers})
    return found


def adaptation(file, seeds):
    """method → shots → task → [{"nll", "right"} by seed]; the base as method "base", shots 0."""
    results = json.loads(file.read_text())
    found = {"base": {0: {}}}
    for task, about in results["tasks"].items():
        found["base"][0][task] = [about["base"]] * seeds
    for item in results["items"]:
        found.setdefault(item["method"], {}).setdefault(item["shots"], {}).setdefault(item["task"], []).append(item)
    return {method: {shots: {task: [{"nll": number(item["nll_per_token"]), "right": number(item.get("right_percent"))}
                                    for item in items] for task, items in tasks.items() if len(items) == seeds}
                     for shots, tasks in by_shots.items()} for method, by_shots in found.items()}
