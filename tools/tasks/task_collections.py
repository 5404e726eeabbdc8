"""Tasks from the files of Super-NaturalInstructions and BIG-bench."""

from pathlib import Path

from task_text import Mistake, as_text, field, first_of, read_json
from task_writing import write_task


def files_under(paths, name):
    """The files themselves, and of folders the files called `name`."""
    found = []
    for path in map(Path, paths):
        found += sorted(path.rglob(name)) if path.is_dir() else [path]
    if not found:
        raise Mistake(f"no {name} under {', '.join(map(str, paths))}")
    return found


def from_superni(args):
    for path in files_under(args.files, "task*.json"):
        task = read_json(path)
        if not isinstance(task, dict) or "Instances" not in task:
            raise Mistake(f"{path}: not a task of Super-NaturalInstructions (it has no \"Instances\")")
        rows = []
        for number, instance in enumerate(task["Instances"], 1):
            where = f"{path}, instance {number}"
            rows.append({"id": as_text(instance.get("id", number)), "input": field(instance, "input", where),
                         "output": first_of(field(instance, "output", where))})
        write_task(args, args.name or path.stem, rows, definition=first_of(task.get("Definition")),
                   category=first_of(task.get("Categories")))


def from_bigbench(args):
    for path in files_under(args.files, "task.json"):
        task = read_json(path)
        if not isinstance(task, dict) or "examples" not in task:
            raise Mistake(f"{path}: not a JSON task of BIG-bench (it has no \"examples\")")
        rows = []
        for number, example in enumerate(task["examples"], 1):
            where = f"{path}, example {number}"
            row = {"id": str(number), "input": task.get("task_prefix", "") + field(example, "input", where)}
            if "target_scores" in example:
                scores = example["target_scores"]
                row |= {"output": max(scores, key=scores.get), "choices": list(scores)}
            else:
                row["output"] = as_text(first_of(field(example, "target", where)))
            rows.append(row)
        metric = "accuracy" if all("choices" in row for row in rows) else "exact_match"
        name = args.name or (path.parent.name if path.name == "task.json" else path.stem)
        write_task(args, name, rows, definition=task.get("description", ""),
                   category=first_of(task.get("keywords")), metric=metric)
