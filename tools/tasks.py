#!/usr/bin/env python3
"""Makes gaggle's task files (docs/tasks.md) from Parquet, load_from_disk, CSV, JSON, and from the files of P3, FLAN,
Super-NaturalInstructions, BIG-bench, CrossFit, MMLU and the package `evals`. Standard library only, but for Parquet,
load_from_disk and templates (tools/tasks/requirements.txt)."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "tasks"))
from task_collections import from_bigbench, from_superni  # noqa: E402
from task_crossfit import from_crossfit  # noqa: E402
from task_evals import from_evals  # noqa: E402
from task_flan import ZERO_SHOT, from_flan, kinds  # noqa: E402
from task_mmlu import from_mmlu  # noqa: E402
from task_p3 import from_p3, split_pairs  # noqa: E402
from task_records import from_records  # noqa: E402
from task_text import Mistake  # noqa: E402


def percents(text):
    parts = [int(part) for part in text.split("/")]
    if len(parts) != 3 or sum(parts) != 100 or min(parts) < 0:
        raise ValueError
    return parts


def names(text):
    return text.split(",")


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
        sub.add_argument("--prompt", help='the tasks\' own, into NAME.toml: "{input}\\nAnswer:"')
        sub.add_argument("--metric", help="the tasks' own, into NAME.toml (default: what the rows allow)")
        return sub

    add_records(command)
    add_p3(command("p3", from_p3, "rows shown through promptsource's templates, or P3's rendered rows → a task for each "
                  "template; --limit is of a dataset's training rows, shared among its templates"))
    sub = command("flan", from_flan, "rows of FLAN 2022 (inputs, targets, task_name, template_type) → a task for each name")
    sub.add_argument("files", nargs="+", help="Parquet, JSON lines or save_to_disk, or folders of them")
    sub.add_argument("--list", help="the tasks of a list of tools/tasks/lists.toml: phatgoose-flan")
    sub.add_argument("--kinds", type=kinds, default=list(ZERO_SHOT), metavar="zs_opt,zs_noopt",
                     help="kinds of template to take (default: zero-shot)")
    sub = command("superni", from_superni, "task files of Super-NaturalInstructions, or a folder of them")
    sub.add_argument("files", nargs="+")
    sub.add_argument("--official", metavar="splits/default",
                     help="folder of train_tasks.txt and test_tasks.txt: OUT/train and OUT/test, the latter with their first "
                          "100 instances as test")
    sub.add_argument("--join-categories", action="store_true",
                     help="one task for each category, the definition in front of every input")
    sub = command("bigbench", from_bigbench, "task.json files of BIG-bench, or a folder of them")
    sub.add_argument("files", nargs="+")
    sub.add_argument("--list", help="the tasks of a list of tools/tasks/lists.toml, from such folders: bbh, bbl")
    sub.add_argument("--as-shown", action="store_true",
                     help="inputs as BIG-bench's programs show them: with prefixes, and the choices listed")
    sub = command("crossfit", from_crossfit, "folders of CrossFit's few-shot TSV files → OUT/train, /validation, /test")
    sub.add_argument("folder", help="data, which holds TASK/TASK_16_13_train.tsv")
    sub.add_argument("--split-file", required=True, help="dataloader/custom_tasks_splits/….json")
    sub = command("mmlu", from_mmlu, "MMLU's CSV files (SUBJECT_dev, _val, _test), or a folder of them → a task each subject")
    sub.add_argument("files", nargs="+")
    sub = command("evals", from_evals, "tasks inside the wheel of the package evals")
    sub.add_argument("package", help="evals-….whl")
    sub.add_argument("--names", help="by comma: folders under evals/registry/data, or FOLDER/FILE (default: all)")
    sub.add_argument("--max-choices", type=int, default=10,
                     help="outputs of a task become choices where there are at most so many (default 10)")
    sub.add_argument("--no-choices", action="store_true")
    return top


def add_records(command):
    texts = {"parquet": "Parquet files", "disk": "folders written by datasets' save_to_disk",
             "csv": "CSV files (.tsv: tabs)", "json": "JSON lists or JSON lines",
             "text": "plain text files, of which each paragraph is an output (behind an empty input)"}
    for name, text in texts.items():
        sub = command(name, from_records, text + " → one task")
        sub.add_argument("files", nargs="+", help="files, or folders of them")
        sub.add_argument("--name", help="the task's name (default: the first file's, or its folder's)")
        sub.add_argument("--input-field", help="default: input, behind the row's instruction where it has one; or the row's "
                                               "messages or conversations")
        sub.add_argument("--output-field", help="text, or the number or label of a choice (default: output)")
        sub.add_argument("--choices-field", help='a list, or {"text": […], "label": […]}')
        sub.add_argument("--labels", help="choices of every row, by comma: output 0 is the first")
        sub.add_argument("--no-choices", action="store_true", help="also where the output is a class with names")
        sub.add_argument("--id-field")
        sub.add_argument("--split-field", help='default: the field "split" where rows have one, else what the '
                                               "file's name begins with (train-…, validation-…, test-…)")
        sub.add_argument("--split", help="the split of rows without one; of the others only those of it are taken")
        sub.add_argument("--skip-splits", default=[], type=names, metavar="NAMES", help="splits to leave out, by comma")
        sub.add_argument("--template", help='the input from several fields: "{question}\\n{choices}"')
        sub.add_argument("--definition", default="")
        sub.add_argument("--category", default="")


def add_p3(sub):
    sub.add_argument("files", nargs="+", help="a dataset's rows (Parquet, save_to_disk, JSON, CSV); with --list the folder "
                                              "that holds DATASET/SUBSET/…; with --rendered P3's folder of tasks")
    sub.add_argument("--templates", help="promptsource's templates.yaml; with --list the folder of them all")
    sub.add_argument("--rendered", action="store_true", help="the rows are P3's: inputs_pretokenized, targets_pretokenized")
    sub.add_argument("--list", help="the datasets of a list of tools/tasks/lists.toml: t0-held-in, t0-held-out, "
                                    "phatgoose-p3-more")
    sub.add_argument("--name", help="the dataset's (default: what the templates' file says)")
    sub.add_argument("--splits", type=split_pairs, metavar="train=train_r1,test=dev_r1",
                     help="which of the dataset's splits to take, and as what (default: what their names say)")
    sub.add_argument("--skip-splits", default=[], type=names, metavar="NAMES", help="splits to leave out, by comma")
    sub.add_argument("--skip-templates", default=[], action="append", metavar="NAME", help="to leave out; may be repeated")
    sub.add_argument("--original", action="store_true",
                     help="templates of the original task only (default: for all rows but the training ones)")
    sub.add_argument("--join", action="store_true", help="one task of each dataset, instead of one for every template")
    sub.add_argument("--round-robin", action="store_true",
                     help="rows that are not for training are shown by one template each, by turns")
    sub.add_argument("--limit-eval", type=int, default=0, help="at most so many such rows of a dataset (0: all)")


def main(argv=None):
    args = parser().parse_args(argv)
    for option in ("template", "prompt"):
        if getattr(args, option, None):
            setattr(args, option, getattr(args, option).replace("\\n", "\n"))
    args.written, args.about = set(), {"prompt": args.prompt, "metric": args.metric}
    args.about = {key: value for key, value in args.about.items() if value}
    try:
        args.run(args)
    except Mistake as mistake:
        print(f"tasks.py: {mistake}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
