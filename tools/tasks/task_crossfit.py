"""CrossFit: TASK/TASK_16_13_train.tsv and so on, a few-shot sample of a task for each seed."""

import collections
import re
from pathlib import Path

from task_text import Mistake, read_json, read_text
from task_writing import write_task

PARTS = {"train": "train", "dev": "validation", "test": "test"}


def tsv_rows(path, name, split):
    """input, tab, output; further outputs are as right, the first is taken."""
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        cells = line.strip("\r").split("\t")
        if len(cells) < 2:
            raise Mistake(f"{path}:{number}: expected an input, a tab and an output")
        rows.append({"id": f"{name}_{number}", "split": split, "input": cells[0], "output": cells[1]})
    return rows


def samples_of(folder):
    """{"16_13": {"train": path, "dev": path, "test": path}} of a task's folder."""
    found = collections.defaultdict(dict)
    for path in sorted(folder.glob("*.tsv")):
        parts = re.fullmatch(re.escape(folder.name) + r"_(.+)_(train|dev|test)", path.stem)
        if not parts:
            raise Mistake(f"{path}: expected {folder.name}_SHOTS_SEED_train.tsv, …_dev.tsv or …_test.tsv")
        found[parts[1]][parts[2]] = path
    if not found:
        raise Mistake(f"{folder}: holds no file {folder.name}_SHOTS_SEED_train.tsv")
    return found


def from_crossfit(args):
    for split, names in task_lists(args).items():
        for name in names:
            folder = Path(args.folder, name)
            if not folder.is_dir():
                raise Mistake(f"{folder}: there is no such folder of a task (of {split} in {args.split_file})")
            (write_pool_task if split == "train" else write_new_task)(args, folder, args.out / split)


def task_lists(args):
    lists = read_json(args.split_file)
    if not isinstance(lists, dict) or not all(isinstance(lists.get(split), list) for split in PARTS):
        raise Mistake(f'{args.split_file}: not a split file of CrossFit (lists "train", "dev" and "test" of task names)')
    return {split: lists[split] for split in PARTS}


def write_pool_task(args, folder, out):
    """A task to pretrain on: the samples of all seeds together, without their tests (which are one and the same)."""
    rows = [row for shots, paths in samples_of(folder).items() for part in ("train", "dev") if part in paths
            for row in tsv_rows(paths[part], f"{shots}_{part}", PARTS[part])]
    write_task(args, folder.name, rows, folder=out, definition=f"[{folder.name}]")


def write_new_task(args, folder, out):
    """A task to adapt to: one for each seed's sample, TASK+16_13, in the task's group."""
    for shots, paths in samples_of(folder).items():
        rows = [row for part, path in paths.items() for row in tsv_rows(path, part, PARTS[part])]
        write_task(args, f"{folder.name}+{shots}", rows, folder=out, definition=f"[{folder.name}]", group=folder.name)
