"""Task files: where an example of a prediction stands, and what it asks (docs/tasks.md)."""
import json
import pathlib
import typing

from report_files import as_text, read_text, read_toml


class Task(typing.NamedTuple):
    files: list  # of JSONL
    metric: str  # "": as its examples have choices or not


def task_files(config):
    """name → Task, of files and folders as eval.tasks, or else data.tasks, lists them."""
    paths = (config.get("eval") or {}).get("tasks") or (config.get("data") or {}).get("tasks") or []
    found = {}
    for path in map(pathlib.Path, paths):
        files = sorted([*path.glob("*.jsonl"), *path.glob("*.toml")]) if path.is_dir() else [path]
        for file in files:
            about = read_toml(file.with_suffix(".toml"))
            parts = [file.parent / part["path"] for part in about.get("files", []) if isinstance(part, dict) and "path" in part]
            if parts or file.suffix == ".jsonl":
                found[file.stem] = Task(parts or [file], about.get("metric", ""))
    return found


def asked(row):
    """What the model is shown of an example: its input, or the messages before the last."""
    if "input" in row:
        return as_text(row["input"])
    turns = [message for message in row.get("messages", [])[:-1] if isinstance(message, dict)]
    return "\n".join(f"{turn.get('role')}: {turn.get('content')}" for turn in turns)


def prompts(files, wanted):
    """id → what it asks, of the ids that are wanted. Where an example has no id it is its line's number."""
    found = {}
    for file in files:
        for number, line in enumerate(read_text(file).split("\n"), 1):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if not isinstance(row, dict):
                continue
            name = str(row.get("id", number if len(files) == 1 else f"{file.stem}:{number}"))
            if name in wanted:
                found[name] = asked(row)
    return found
