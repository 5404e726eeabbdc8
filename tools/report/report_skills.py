"""Poly's and MHR's routing table over training: routing.jsonl of a pretraining run."""
import numpy as np

from report_alignment import frame
from report_files import in_base64, number, read_json, read_lines
from report_order import linkage_order

FRAMES = 24
FIELDS = ["discreteness", "active", "sparsity", "largest", "usage"]


def spread(items, most):
    """At most so many of them, evenly, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, most).round().astype(int))]


def weights_of(line, sites):
    """{site: [T, heads · skills]}; empty where the line has no weights."""
    found = line.get("weights") or {}
    return {site: np.array(found[site], dtype=float) for site in sites if isinstance(found.get(site), list)}


def routed_alike(weights):
    """Cosines of the tasks' weights at all sites, the mean over tasks taken off. [T, T]"""
    rows = np.concatenate(list(weights.values()), axis=1)
    rows = rows - rows.mean(0)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Three digits of a table that begins uniform are noise.
        unit = np.where(norms > 2e-3 * np.sqrt(rows.shape[1]), rows / norms, np.nan)
    return unit @ unit.T


def packed(matrix):
    """Weights from 0 to 1 as bytes."""
    return in_base64(np.round(np.clip(matrix, 0, 1) * 255).astype(np.uint8))


def skill_section(run, most):
    lines = read_lines(run / "routing.jsonl")
    lines = [line for line in lines if isinstance(line.get("step"), int) and isinstance(line.get("kinds"), dict)]
    if not lines:
        return None
    recipe = read_json(run / "recipe.json") or {}
    names = (recipe.get("data") or {}).get("tasks") or []
    poly = recipe.get("poly") or {}
    shown = spread(lines, max(2, min(FRAMES, most // max(1, len(names)) ** 2)))
    sites = list((shown[-1].get("weights") or {}))
    values = sum(np.size(shown[-1]["weights"][site]) for site in sites) * len(shown)
    kept = spread(sites, max(1, int(len(sites) * most / values))) if values > most else sites
    frames, tables = [], []
    for line in shown:
        weights = weights_of(line, sites)
        if not weights:
            continue
        tables.append({"label": f"step {line['step']}", "weights": [packed(weights[site]) for site in kept]})
        frames.append((f"step {line['step']}", routed_alike(weights)))
    alike = {"order": [int(i) for i in linkage_order(frames[-1][1])], "frames": [frame(*of) for of in frames]} if frames else None
    names = names or [f"task {i}" for i in range(len(frames[-1][1]) if frames else 0)]
    steps = spread(lines, 400)
    kinds = list(steps[-1]["kinds"])
    numbers = {field: {kind: [number((line["kinds"].get(kind) or {}).get(field)) for line in steps] for kind in kinds} for field in FIELDS}
    columns = np.shape(shown[-1]["weights"][kept[0]])[1] if kept else 0
    return {"draw": "skills", "title": "Routing table over training", "tasks": names, "sites": kept, "tables": tables,
            "alike": alike,
            "steps": [line["step"] for line in steps], "numbers": numbers, "columns": columns, "heads": poly.get("heads") or 1,
            "skills": poly.get("skills")}
