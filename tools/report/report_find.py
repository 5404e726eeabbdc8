"""What lies at the paths that were given: runs, registries, evaluations, adaptations, analyses, clusters, studies."""
import os
import pathlib

from report_files import Mistake, read_json, read_toml

DEEPEST = 5  # folders below a path that is none of these itself
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
    """What a file or folder is; None: nothing of gaggle's."""
    if path.is_file():
        return kind_of_results(path) if path.suffix == ".json" else None
    if (path / "registry.json").is_file():
        return "registry"
    if (path / "config.toml").is_file() and "run" in read_toml(path / "config.toml"):
        return "run"
    if (path / "stages").is_dir() and any("code" in (read_json(file) or {}) for file in (path / "stages").glob("*.json")):
        return "study"
    for file in sorted(path.glob("results*.json")):
        if kind := kind_of_results(file):
            return kind
    left = ("routing.jsonl", "alignment/alignment.jsonl", "alignment/experts.safetensors")
    if any((path / name).exists() for name in left) or next(path.glob("items/*/metrics.jsonl"), None):
        return "run"
    return "clusters" if is_clusters(path) else None


def below(folder, depth=0):
    """Of a folder that is none of these itself, or that holds runs beside what it is: those inside."""
    found = []
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name not in NEVER)
    except PermissionError:
        return found
    for name in names:
        path = folder / name
        if kind := kind_of(path):
            found.append((kind, path))
        if kind in (None, "study") and depth < DEEPEST:
            found += below(path, depth + 1)
    return found


def find(paths):
    """[(kind, path)] of all that was given, each once, in this order."""
    found = []
    for text in paths:
        path = pathlib.Path(text)
        if not path.exists():
            raise Mistake(f"{text}: no such file or folder")
        kind = kind_of(path)
        inside = below(path) if path.is_dir() and kind in (None, "study") else []
        if not kind and not inside:
            raise Mistake(f"{text}: nothing here that gaggle wrote: expected a run's folder (runs/NAME), a registry, an evaluation, "
                          "clusters or a study, or a folder that holds some")
        found += [(kind, path)] * bool(kind) + inside
    order = ["study", "run", "evaluation", "adaptation", "analysis", "registry", "clusters"]
    places = {path.resolve(): (kind, path) for kind, path in reversed(found)}
    return sorted(places.values(), key=lambda place: (order.index(place[0]), str(place[1])))
