"""What routing chooses: analysis.json of gaggle analyse."""
import numpy as np

from report_files import clipped, in_base64, number, read_json, rounded

MOST_SHOWN = 24  # experts of a map sites × experts, those with the most weight


def packed(values):
    """Shares from 0 to 1 as 16-bit numbers."""
    return in_base64(np.round(np.clip(np.nan_to_num(values), 0, 1) * 65535).astype("<u2"))


def site_map(weights, experts):
    """A task's mean weights [sites][N], of the experts with the most weight."""
    values = np.array([row if row else [np.nan] * experts for row in weights], dtype=float)
    order = np.argsort(-np.nan_to_num(values).sum(0), kind="stable")[:MOST_SHOWN]
    return {"experts": [int(i) for i in order], "weights": packed(values[:, order])}


def layers_of(task, name):
    return rounded(np.array((task.get(name) or {}).get("by_layer") or [], dtype=float))


def method_of(method, tasks, sites, experts, room):
    of = [method["tasks"].get(task) for task in tasks]
    made = {"share": [rounded(t["share_of_routing_weight"], 3) if t and t.get("share_of_routing_weight") else None for t in of],
            "entropy": [layers_of(t, "entropy") if t else [] for t in of],
            "token_entropy": [layers_of(t, "token_entropy") if t else [] for t in of],
            "own_first": [number((t.get("own_first") or {}).get("mean")) if t else None for t in of], "maps": [],
            "knock_out": None}
    for task in of:
        room -= len(sites) * min(experts, MOST_SHOWN)
        made["maps"].append(site_map(task["weights"], experts) if task and task.get("weights") and room >= 0 else None)
    if all(t and t.get("knock_out") for t in of):
        made["knock_out"] = rounded(np.array([t["knock_out"]["cost"] for t in of], dtype=float), 3)
    return made, room


def texts_of(method, tasks, room):
    """task → texts by token, as many as there is room for; the room that is left; how many are left out."""
    found, left_out = {}, 0
    for task in tasks:
        kept = []
        for text in (method["tasks"].get(task) or {}).get("texts") or []:
            room -= len(text["tokens"])
            left_out += room < 0
            if room >= 0:
                kept.append({"id": clipped(str(text["id"]), 100), **{name: text[name] for name in
                             ("tokens", "part", "first", "weight", "second", "second_weight") if name in text}})
        if kept:
            found[task] = kept
    return found, room, left_out


def routing_sections(folder_or_file, room):
    files = [folder_or_file] if folder_or_file.is_file() else sorted(folder_or_file.glob("analysis*.json"))
    sections = []
    for path in files:
        analysis = read_json(path)
        if not isinstance(analysis, dict) or "gate_similarity" not in analysis:
            continue
        experts, tasks, sites = analysis["experts"], analysis["tasks"], analysis.get("sites") or []
        about = {"experts": experts, "tasks": tasks, "of": analysis.get("collection") or "", "file": path.name}
        methods, texts, weights, tokens, left_out = {}, {}, room.weights, room.tokens, 0
        for name, method in analysis["methods"].items():
            methods[name], weights = method_of(method, tasks, sites, len(experts), weights)
            texts[name], tokens, more = texts_of(method, tasks, tokens)
            left_out += more
        sections.append({"draw": "routing", "title": "Routing", **about, "methods": methods,
                         "sites": [[site["name"], site["kind"], site["layer"]] for site in sites]})
        if any(texts.values()):
            parts = analysis.get("parts", [])
            sections.append({"draw": "texts", "title": "Who answers each token", **about, "methods": texts, "parts": parts,
                             "left_out": left_out})
    return sections
