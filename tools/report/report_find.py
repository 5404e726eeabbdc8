"""What lies at the paths that were given: runs, registries, evaluations, adaptations, analyses, clusters, studies."""
import os
import pathlib

from report_files import Mistake, read_json, read_toml
from report_work import scored_items

DEEPEST = 5  # folders below a path that is none of these itself
MADE = ("routing.jsonl", "alignment/alignment.jsonl", "alignment/experts.safetensors", "items/*/metrics.jsonl")
# What a run leaves beside its config. A project whose own config has a run's name holds none of these.
TRACES = (*MADE, "recipe.json", "work/journal/*.jsonl", "eval/results*.json", "eval/work/journal/*.jsonl", "adapt/results*.json",
          "adapt/work/journal/*.jsonl")
# Not looked into, unless they are runs or registries of these names.
NEVER = {".git", ".venv", "node_modules", "work", "checkpoints", "tensorboard", ".staging", "__pycache__", "build"}


def kind_of_results(path):
    """Of a JSON file that gaggle writes beside its tables; None: of something else."""
    found = read_json(path)
    if not isinstance(found, dict) or found.get("format") != 1 or not isinstance(found.get("tasks"), (dict, list)):
        return None
    if "gate_similarity" in found:
        return "analysis"
    if "experts" in found and isinstance(found.get("methods"), dict):
        return "evaluation"
    return "adaptation" if "table" in found else None


def is_clusters(folder):
    files = list(folder.glob("*.toml"))
    return bool(files) and all(read_toml(file).get("files") for file in files[:50])


def kind_of(path):
    """What a file or folder is; None: nothing of gaggle's. "config": a run that has just begun, or a project whose own
    config has a run's name."""
    if path.is_file():
        return kind_of_results(path) if path.suffix == ".json" else None
    if (path / "registry.json").is_file():
        return "registry"
    has = lambda traces: any(next(path.glob(trace), None) for trace in traces)  # noqa: E731
    if (path / "config.toml").is_file() and "run" in read_toml(path / "config.toml"):
        return "run" if has(TRACES) else "config"
    if (path / "stages").is_dir() and any("code" in (read_json(file) or {}) for file in (path / "stages").glob("*.json")):
        return "study"
    for file in sorted(path.glob("results*.json")):
        if kind := kind_of_results(file):
            return kind
    if scored_items(path):
        return "evaluation"  # that has begun
    if any(kind_of_results(file) for file in path.glob("analysis*.json")):
        return "analysis"
    if has(MADE):
        return "run"
    return "clusters" if is_clusters(path) else None


def at(path, depth=0):
    """[(kind, path)] of a path, and of what lies below it where it is none of these itself, or holds runs beside what it is."""
    kind = kind_of(path)
    inside = below(path, depth) if path.is_dir() and kind in (None, "study", "config") and depth <= DEEPEST else []
    if kind == "config":
        kind = None if inside else "run"
    return [(kind, path)] * bool(kind) + inside


def below(folder, depth):
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except PermissionError:
        return []
    paths = [folder / name for name in names if name not in NEVER or kind_of(folder / name) in ("run", "config", "registry")]
    return [found for path in paths for found in at(path, depth + 1)]


def find(paths):
    """[(kind, path)] of all that was given, each once, in this order."""
    found = []
    for text in paths:
        path = pathlib.Path(text)
        if not path.exists():
            raise Mistake(f"{text}: no such file or folder")
        found += (here := at(path))
        if not here:
            raise Mistake(f"{text}: nothing here that gaggle wrote: expected a run's folder (runs/NAME), a registry, an evaluation, "
                          "clusters or a study, or a folder that holds some")
    order = ["study", "run", "evaluation", "adaptation", "analysis", "registry", "clusters"]
    places = {path.resolve(): (kind, path) for kind, path in reversed(found)}
    return sorted(places.values(), key=lambda place: (order.index(place[0]), str(place[1])))
