#!/usr/bin/env python3
"""Makes gaggle's task files (docs/tasks.md) from Parquet, load_from_disk, CSV, JSON, Super-NaturalInstructions,
BIG-bench and the package `evals`. Standard library only, but for parquet and disk (tools/tasks/requirements.txt)."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "tasks"))
from task_collections import from_bigbench, from_superni  # noqa: E402
from task_evals import from_evals  # noqa: E402
from task_records import from_records  # noqa: E402
from task_text import Mistake  # noqa: E402


def percents(text):
    parts = [int(part) for part in text.split("/")]
    if len(parts) != 3 or sum(parts) != 100 or min(parts) < 0:
        raise ValueError
    return parts


def parser():
    top = argparse.ArgumentParser(prog="tasks.py", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="FROM")

    def command(name, run, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run, name=None)
        sub.add_argument("--out", type=Path, required=True, help="folder for NAME.jsonl and NAME.toml")
        sub.add_argument("--limit", type=int, default=0, help="at most so many rows of a task (0: all)")
        sub.add_argument("--max-chars", type=int, default=0, help="leave out rows longer than this (0: none)")
        sub.add_argument("--split-seed", type=int, default=0, help="another one deals rows without a split otherwise")
        sub.add_argument("--percents", type=percents, default=[80, 10, 10], metavar="80/10/10",
                         help="shares of train/validation/test for rows without a split")
        return sub

    texts = {"parquet": "Parquet files", "disk": "folders written by datasets' save_to_disk",
             "csv": "CSV files (.tsv: tabs)", "json": "JSON lists or JSON lines"}
    for name, text in texts.items():
        sub = command(name, from_records, text + " → one task")
        sub.add_argument("files", nargs="+", help="files, or folders of them")
        sub.add_argument("--name", help="the task's name (default: the first file's, or its folder's)")
        sub.add_argument("--input-field", help="default: input; or the row's messages or conversations")
        sub.add_argument("--output-field", help="text, or the number or label of a choice (default: output)")
        sub.add_argument("--choices-field", help='a list, or {"text": […], "label": […]}')
        sub.add_argument("--labels", help="choices of every row, by comma: output 0 is the first")
        sub.add_argument("--id-field")
        sub.add_argument("--split-field", help='default: the field "split" where rows have one, else what the '
                                               "file's name begins with (train-…, validation-…, test-…)")
        sub.add_argument("--split", help="the split of rows without one; of the others only those of it are taken")
        sub.add_argument("--skip-splits", default=[], type=lambda text: text.split(","), metavar="NAMES",
                         help="splits to leave out, by comma")
        sub.add_argument("--template", help='the input from several fields: "{question}\\n{choices}"')
        sub.add_argument("--definition", default="")
        sub.add_argument("--category", default="")
    for name, run, text in (("superni", from_superni, "task files of Super-NaturalInstructions, or a folder of them"),
                            ("bigbench", from_bigbench, "task.json files of BIG-bench, or a folder of them")):
        sub = command(name, run, text)
        sub.add_argument("files", nargs="+")
    sub = command("evals", from_evals, "tasks inside the wheel of the package evals")
    sub.add_argument("package", help="evals-….whl")
    sub.add_argument("--names", help="by comma: folders under evals/registry/data, or FOLDER/FILE (default: all)")
    sub.add_argument("--max-choices", type=int, default=10,
                     help="outputs of a task become choices where there are at most so many (default 10)")
    sub.add_argument("--no-choices", action="store_true")
    return top


def main(argv=None):
    args = parser().parse_args(argv)
    if getattr(args, "template", None):
        args.template = args.template.replace("\\n", "\n")
    try:
        args.run(args)
    except Mistake as mistake:
        print(f"tasks.py: {mistake}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
