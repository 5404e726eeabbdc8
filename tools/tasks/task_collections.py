"""Tasks from the files of Super-NaturalInstructions and BIG-bench."""

import collections
from pathlib import Path

from task_lists import named_list
from task_text import Mistake, as_text, field, first_of, read_json, read_text
from task_writing import clean_name, sample, write_joined, write_task

TEST_INSTANCES = 100  # of a task of the official test list: its first ones


def files_under(paths, name):
    """The files themselves, and of folders the files called `name`."""
    found = []
    for path in map(Path, paths):
        found += sorted(path.rglob(name)) if path.is_dir() else [path]
    if not found:
        raise Mistake(f"no {name} under {', '.join(map(str, paths))}")
    return found


def from_superni(args):
    files = {path.stem: path for path in files_under(args.files, "task*.json")}
    lists = {"": files} if not args.official else {
        part: official_tasks(Path(args.official, f"{part}_tasks.txt"), files) for part in ("train", "test")}
    for part, names in lists.items():
        by_category = collections.defaultdict(list)
        for name in names:
            category = write_superni(args, files[name], args.out / part, part == "test")
            by_category[category].append(name)
        for category, parts in sorted(by_category.items()) if args.join_categories else ():
            write_joined(args, clean_name(category), parts, folder=args.out / part, category=category)


def official_tasks(path, files):
    names = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip() and line.strip() not in files:
            raise Mistake(f"{path}:{number}: there is no {line.strip()}.json among the task files")
        names += [line.strip()] if line.strip() else []
    return names


def write_superni(args, path, folder, tested):
    """One task; returns its category. A task of the test list is scored on its first 100 instances, and the others are there
    to adapt to it."""
    task = read_json(path)
    if not isinstance(task, dict) or not isinstance(task.get("Instances"), list):
        raise Mistake(f"{path}: not a task of Super-NaturalInstructions (it has no \"Instances\")")
    rows = []
    for number, instance in enumerate(task["Instances"], 1):
        where = f"{path}, instance {number}"
        rows.append({"id": as_text(instance.get("id", number)) if isinstance(instance, dict) else "",
                     "input": field(instance, "input", where), "output": first_of(field(instance, "output", where))})
    if tested:
        rest = sample(rows[TEST_INSTANCES:], args.limit, args.split_seed)
        rows = [row | {"split": "test"} for row in rows[:TEST_INSTANCES]] + [row | {"split": "train"} for row in rest]
    definition, category = as_text(first_of(task.get("Definition"))), as_text(first_of(task.get("Categories")))
    if args.join_categories:
        # A joined task has no definition of its own.
        rows = [row | {"id": f"{path.stem}:{row['id']}", "input": f"{definition}\n\n{row['input']}"} for row in rows]
    write_task(args, args.name or path.stem, rows, folder=folder, limit=0 if tested else None,
               alone=not args.join_categories, definition=definition, category=category)
    return category


def from_bigbench(args):
    if not args.list:
        for path in files_under(args.files, "task.json"):
            name = args.name or (path.parent.name if path.name == "task.json" else path.stem)
            write_bigbench(args, path, name)
        return
    wanted = named_list(args.list, "tasks")
    for name in wanted["tasks"]:
        files = listed_files(args.files, name)
        if len(files) == 1:
            write_bigbench(args, files[0], name, choices=wanted.get("choices", {}).get(name))
            continue
        # A task of several parts (three_objects, five_objects, …) is scored as one.
        parts = [f"{name}+{path.parent.name}" for path in files]
        for path, part in zip(files, parts):
            write_bigbench(args, path, part, alone=False)
        write_joined(args, name, parts)


def listed_files(folders, name):
    """A listed task's files: BIG-bench's NAME/task.json, NAME/PART/task.json, or BIG-Bench-Hard's NAME.json."""
    for folder in map(Path, folders):
        inside = sorted((folder / name).rglob("task.json"))
        whole = [path for path in inside if path.parent.name == name] or inside
        if whole or (folder / f"{name}.json").exists():
            return whole or [folder / f"{name}.json"]
    raise Mistake(f"{', '.join(map(str, folders))}: no {name}/task.json nor {name}.json")


def shown_input(task, text, choices, as_shown):
    """The input alone behind the task's prefix, or as BIG-bench's own programs show it: with the prefixes of input and
    output, and the choices listed (sorted, so that their order says nothing)."""
    if not as_shown:
        return task.get("task_prefix", "") + text
    listed = ""
    if choices and task.get("append_choices_to_input", True):
        listed = "".join(task.get("choice_prefix", "\n  choice: ") + choice for choice in sorted(choices))
    return (task.get("task_prefix", "") + task.get("example_input_prefix", "\nQ: ") + text + listed
            + task.get("example_output_prefix", "\nA: ")).strip()


def write_bigbench(args, path, name, choices=None, alone=True):
    task = read_json(path)
    if not isinstance(task, dict) or not isinstance(task.get("examples"), list):
        raise Mistake(f"{path}: not a JSON task of BIG-bench (it has no \"examples\")")
    rows = []
    for number, example in enumerate(task["examples"], 1):
        where = f"{path}, example {number}"
        text, scores = field(example, "input", where), example.get("target_scores")
        row = {"id": str(number) if alone else f"{path.parent.name}:{number}"}
        if scores:
            row |= {"output": max(scores, key=scores.get), "choices": list(scores)}
        else:
            row["output"] = as_text(first_of(field(example, "target", where)))
            if choices and row["output"] not in choices:
                raise Mistake(f'{where}: the target "{row["output"]}" is none of {", ".join(choices)}')
            row |= {"choices": choices} if choices else {}
        # BIG-Bench-Hard's own files are whole inputs already.
        as_shown = args.as_shown and path.name == "task.json"
        rows.append(row | {"input": shown_input(task, text, row.get("choices"), as_shown)})
    metric = "accuracy" if all("choices" in row for row in rows) else "exact_match"
    write_task(args, name, rows, alone=alone, definition=task.get("description", ""),
               category=first_of(task.get("keywords")), metric=metric)
