"""Task files: where an example of a prediction stands, and what it asks (docs/tasks.md)."""
import json
import pathlib

from report_files import clipped, read_text, read_toml


def task_files(paths):
    """name → (its JSONL files, category), of files and folders as data.tasks lists them."""
    found = {}
    for path in map(pathlib.Path, paths):
        files = sorted([*path.glob("*.jsonl"), *path.glob("*.toml")]) if path.is_dir() else [path]
        for file in files:
            about = read_toml(file.with_suffix(".toml"))
            parts = [file.parent / part["path"] for part in about.get("files", []) if isinstance(part, dict) and "path" in part]
            if parts or file.suffix == ".jsonl":
                found[file.stem] = (parts or [file], about.get("category", ""))
    return found


def asked(row):
    """What the model is shown of an example: its input, or the messages before the last."""
    if "input" in row:
        return clipped(row["input"], 3000)
    turns = [message for message in row.get("messages", [])[:-1] if isinstance(message, dict)]
    return clipped("\n".join(f"{turn.get('role')}: {turn.get('content')}" for turn in turns), 3000)


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
