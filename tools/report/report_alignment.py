"""How well the tasks' gradients agree: of a pretraining run over its steps, of experts at their common start."""
import json

import numpy as np

from report_files import Tensors, in_base64, number, read_json, read_lines, rounded
from report_order import linkage_order

FRAMES = 40


def packed(matrix):
    """Cosines in hundredths as signed bytes; -128: not known."""
    values = np.round(np.clip(np.nan_to_num(matrix), -1, 1) * 100)
    values[np.isnan(matrix)] = -128
    return in_base64(values.astype(np.int8))


def frame(label, matrix):
    pairs = matrix[np.triu_indices(len(matrix), 1)]
    known = pairs[~np.isnan(pairs)]
    return {"label": label, "cosine": packed(matrix), "pairs": int(known.size), "conflicting": int((known < 0).sum()),
            "mean": float(known.mean()) if known.size else None}


def mean_cosines(lines, tasks):
    """Of several measurements: the mean of each pair's cosines. [T, T]; NaN: the pair was in no batch."""
    sums, counts = np.zeros((tasks, tasks)), np.zeros((tasks, tasks))
    for line in lines:
        batch, values = line.get("batch") or [], line.get("pair_cosines") or []
        if len(values) != len(batch) * (len(batch) - 1) // 2 or any(not 0 <= task < tasks for task in batch):
            continue
        rows, columns = np.triu_indices(len(batch), 1)
        known = np.array([number(value) is not None for value in values], dtype=bool)
        at = np.array(batch, dtype=int)[rows[known]], np.array(batch, dtype=int)[columns[known]]
        np.add.at(sums, at, np.array([value for value in values if number(value) is not None], dtype=float))
        np.add.at(counts, at, 1)
    with np.errstate(invalid="ignore"):
        return (sums + sums.T) / (counts + counts.T)


def space_of(lines, names, file, space, most):
    """One space's frames over training, of `most` cosines together, its numbers by step, and by layer in the end."""
    measured = [line for line in lines if line.get("space") == space]
    parts = np.array_split(np.arange(len(measured)), max(1, min(FRAMES, len(measured), most // max(1, len(names)) ** 2)))
    frames = []
    for part in parts:
        of = [measured[i] for i in part]
        label = f"step {of[-1]['step']}" if len(of) == 1 else f"steps {of[0]['step']} to {of[-1]['step']}"
        matrix = mean_cosines(of, len(names))
        if not np.isnan(matrix).all():
            frames.append((label, matrix))
    newest = file.get(f"{space}.complete.noise_free")
    if newest is not None and newest.shape == (len(names),) * 2:
        frames.append(("the newest window, noise free", newest))
    with np.errstate(invalid="ignore"):
        order = linkage_order(np.nanmean([np.nan_to_num(matrix) for _, matrix in frames], axis=0)) if frames else []
    fields = {"mean cosine": "mean_cosine", "noise-free median": "noise_free_median", "conflicting": "conflicting"}
    numbers = {name: [number(line.get(field)) for line in measured] for name, field in fields.items()}
    numbers["step"] = [line["step"] for line in measured]
    layers = [[group["name"], number(group.get("mean_cosine")), number(group.get("noise_free_median"))]
              for group in (measured[-1].get("groups") or []) if group.get("by") == "layer"]
    return {"order": [int(i) for i in order], "frames": [frame(*of) for of in frames], "numbers": numbers, "layers": layers,
            "sketch_error": number(measured[-1].get("sketch_error"))}


def alignment_section(run, most):
    lines = read_lines(run / "alignment" / "alignment.jsonl")
    lines = [line for line in lines if isinstance(line.get("step"), int) and isinstance(line.get("space"), str)]
    file = Tensors(run / "alignment" / "alignment.safetensors")
    state = json.loads(file.metadata.get("alignment", "{}")) if file.metadata else {}
    names = state.get("tasks") or ((read_json(run / "recipe.json") or {}).get("data") or {}).get("tasks")
    names = names or [f"task {i}" for i in range(1 + max((max(line.get("batch") or [-1]) for line in lines), default=-1))]
    if not lines:
        return None
    spaces = {space: space_of(lines, names, file, space, most) for space in dict.fromkeys(line["space"] for line in lines)}
    return {"draw": "alignment", "title": "Gradient alignment", "tasks": names, "spaces": spaces}


def start_section(run):
    """Of experts that were trained alone."""
    file = Tensors(run / "alignment" / "experts.safetensors")
    cosine, error = file.get("cosine"), file.get("error")
    if cosine is None or len(cosine) < 2:
        return None
    names = json.loads(file.metadata.get("tasks", "[]"))
    middle = float(np.nanmedian(error)) if error is not None and not np.isnan(error).all() else None
    space = {"order": [int(i) for i in linkage_order(cosine)], "frames": [frame("before the first step", cosine)], "numbers": None,
             "layers": [], "sketch_error": None if middle is None else rounded([middle], 2)[0]}
    return {"draw": "alignment", "title": "Gradient alignment at the common start", "tasks": names, "spaces": {"start": space}}
