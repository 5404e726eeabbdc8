"""Folders as gaggle writes them, made up: many experts, or texts that would like to be markup."""
import json
import random
import struct

import numpy as np
from workshop import write_json, write_lines

HOSTILE = '<b>b</b><img src=x onerror="window.hacked=1"></script><script>window.hacked=1</script>%{x}$\\frac{1}{2}$&lt;i&gt;'


def write_tensors(path, tensors, metadata=None):
    header, at, raw = {"__metadata__": metadata or {}}, 0, b""
    for name, values in tensors.items():
        data = values.tobytes()
        header[name] = {"dtype": {"float32": "F32", "float64": "F64"}[str(values.dtype)], "shape": list(values.shape),
                        "data_offsets": [at, at + len(data)]}
        at, raw = at + len(data), raw + data
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw)


def steps(draw, phase, count, start):
    return [{"phase": phase, "step": step, "loss": start * (0.3 + draw.random() / 5 + 2 / (step + 2)), "grad_norm": 1,
             "lr": 1e-3, "seconds": 0.5,
             "tokens_per_s": 2000 + draw.random() * 100} for step in range(1, count + 1)]


def journal_line(kind, item, key, seconds, **more):
    return {"kind": kind, "item": item, "key": key, "seconds": seconds, **more}


def many_experts(folder, count, tasks_with_texts=40):
    """A run of so many experts with its evaluation, its analysis and its registry. Returns the run's folder."""
    draw, numbers = random.Random(0), np.random.default_rng(0)
    names, run, registry = [f"task{i:03}-of-the-many" for i in range(count)], folder / "runs" / "many", folder / "registry"
    run.mkdir(parents=True)
    (run / "config.toml").write_text(f'[run]\nname = "many"\n[model]\npath = "/models/base-1b"\n[lora]\nrank = 16\n[train]\n'
                                     f'batch_size = 16\n[registry]\npath = "{registry}"\n')
    write_json(registry / "registry.json", {"format": 2, "base": {"name": "base-1b"}})
    journal = [{"kind": "started", "job": "host-1", "host": "elsewhere", "pid": 1, "utc": "2026-01-01T00:00:00Z",
                "worker": "host-1", "rank": 0, "seconds": 0}]
    for i, name in enumerate(names):
        write_lines(run / "items" / name / "metrics.jsonl", steps(draw, "lora", 60, 3) + steps(draw, "gate", 20, 2))
        losses = {"base_loss": 3, "validation_loss": 1, "half_open_loss": 1.5, "gated_loss": 1.2}
        write_json(registry / "experts" / name / "v0001" / "expert.json", {
            "name": name, "origin": "trained", "task": name, "category": f"category {i % 9}", "lora": {"rank": 16},
            "metrics": {of: loss + draw.random() for of, loss in losses.items()}})
        write_tensors(registry / "experts" / name / "v0001" / "gate.safetensors",
                      {f"model.layers.{layer}.mlp.up_proj.gate": numbers.standard_normal(64).astype("f4") for layer in range(16)})
        journal += [journal_line(kind, name, f"k{i}", 40 * i + after) for kind, after in (("taken", 1), ("committed", 39))]
    write_lines(registry / "work" / "journal" / "host-1.jsonl", journal)
    cosine = np.corrcoef(numbers.standard_normal((count, 40)))
    write_tensors(run / "alignment" / "experts.safetensors", {"cosine": cosine, "error": np.full_like(cosine, 0.02)},
                  {"tasks": json.dumps(names)})
    write_evaluation(run / "eval", names, draw)
    write_analysis(run / "eval", names, names[:tasks_with_texts], numbers)
    return run


def write_evaluation(folder, tasks, draw, rows=5):
    methods, lines = ["none", "merged", "oracle", "phatgoose"], []
    results = {"format": 1, "collection": "many@v0001", "base": {"name": "base-1b"}, "experts": tasks,
               "tasks": {t: {"metric": "exact_match", "held_in": True} for t in tasks},
               "methods": {m: {"tasks": {}} for m in methods}, "missing": []}
    for m, method in enumerate(methods):
        for task in tasks:
            of = [{"task": task, "id": str(row), "method": method, "target_nll": 4 - m + draw.random(), "target_tokens": 3,
                   "target": "yes", "prediction": draw.choice(["yes", "no"])}
                  for row in range(rows)]
            for line in of:
                line["score"] = float(line["prediction"] == "yes")
            lines += of
            results["methods"][method]["tasks"][task] = {"examples": rows,
                                                         "nll_per_token": sum(line["target_nll"] for line in of) / (3 * rows),
                                                         "score": sum(line["score"] for line in of) / rows}
    write_json(folder / "results.json", results)
    write_lines(folder / "predictions.jsonl", lines)


def write_analysis(folder, experts, tasks, numbers, layers=12):
    sites = [{"name": f"model.layers.{layer}.mlp.up_proj", "kind": "up_proj", "layer": layer,
              "side": "decoder"} for layer in range(layers)]
    made = {}
    for task in tasks:
        weights = numbers.dirichlet(np.full(len(experts), 0.02), layers)
        entropy = {"mean": 1, "by_layer": list(range(layers)), "by_site": []}
        text = {"id": "1", "tokens": ["a", " b"], "part": [0, 1], "first": [0, 1], "weight": [0.6, 0.5], "second": [1, None],
                "second_weight": [0.3, 0]}
        made[task] = {"share_of_routing_weight": weights.mean(0).round(4).tolist(), "weights": weights.round(4).tolist(),
                      "entropy": entropy, "token_entropy": entropy, "own_first": entropy, "texts": [text]}
    write_json(folder / "analysis.json", {
        "format": 1, "collection": "many@v0001", "experts": experts, "tasks": tasks, "sites": sites, "parts": ["prompt", "answer"],
        "gate_similarity": [], "methods": {"phatgoose": {"tasks": made}}})


def hostile_run(folder):
    """A run whose every name and text is HOSTILE: what names are allowed to be is gaggle's rule, and files may be another's."""
    run, bad = folder / "hostile", HOSTILE
    run.mkdir(parents=True)
    (run / "config.toml").write_text(f"[run]\nname = '{bad}'\n[model]\npath = '{bad}'\n")
    step = {"phase": bad, "loss": 0.5, "loss/" + bad: 1, "seconds": 1, "tokens_per_s": 5}
    write_lines(run / "items" / "item" / "metrics.jsonl", [{**step, "step": 1}, {**step, "step": 2}])
    of = {"format": 1, "collection": bad, "base": {"name": bad}, "experts": [bad]}
    scores = {"tasks": {bad: {"nll_per_token": 1, "score": 0.5}}, "share_of_routing_weight": {bad: 1.0}}
    write_json(run / "eval" / "results.json", {**of, "tasks": {bad: {"metric": "exact_match", "held_in": True}},
                                               "methods": {bad: scores}, "missing": [bad]})
    line = {"task": bad, "id": bad, "method": bad, "target_nll": 1, "target_tokens": 1, "target": bad, "prediction": bad, "score": 1}
    write_lines(run / "eval" / "predictions.jsonl", [line, line])
    entropy = {"mean": 1, "by_layer": [1], "by_site": [1]}
    text = {"id": bad, "tokens": [bad], "part": [0], "first": [0], "weight": [1], "second": [None], "second_weight": [0]}
    routed = {"share_of_routing_weight": [1.0], "weights": [[1.0]], "entropy": entropy, "token_entropy": entropy,
              "own_first": entropy, "texts": [text]}
    site = {"name": bad, "kind": bad, "layer": 0}
    write_json(run / "eval" / "analysis.json", {**of, "tasks": [bad], "parts": ["prompt"], "gate_similarity": [], "sites": [site],
                                                "methods": {bad: {"tasks": {bad: routed}}}})
    pair = {"space": "skill", "batch": [0, 1], "pair_cosines": [-0.5], "mean_cosine": -0.5, "conflicting": 1, "groups": []}
    write_lines(run / "alignment" / "alignment.jsonl", [{**pair, "step": 1}, {**pair, "step": 2}])
    write_json(run / "recipe.json", {"data": {"tasks": [bad, bad + "2"]}, "poly": {"heads": 1, "skills": 2}})
    look = {"kinds": {bad: {"discreteness": 0.1}}, "weights": {bad: [[0.5, 0.5], [0.9, 0.1]]}}
    write_lines(run / "routing.jsonl", [{**look, "step": 0}, {**look, "step": 2}])
    write_json(run / "aside" / "k.json", {"key": "k", "name": bad, "reason": bad})
    begin = {"kind": "started", "job": bad, "host": bad, "utc": "2026-01-01T00:00:00Z", "worker": bad, "rank": 0, "seconds": 0}
    progress = {"phase": bad, "step": 1, "steps": 2, "tokens_per_s": 5, "gemm_share": 0.1}
    write_lines(run / "work" / "journal" / "w.jsonl", [begin, journal_line("taken", bad, "k", 1),
                                                       journal_line("progress", bad, "", 2, **progress),
                                                       journal_line("aside", bad, "k", 3, detail=bad)])
    return run
