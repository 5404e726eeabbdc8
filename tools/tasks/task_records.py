"""Tasks from records with fields: Parquet, load_from_disk, CSV, JSON."""

import collections
import json
import re

from task_chat import chat_field, further_keys, messages_of
from task_readers import READERS, files_of
from task_splits import split_of_file, take_split
from task_text import Mistake, as_text, field, first_of
from task_writing import write_task


def choices_of(value, where):
    """Texts of the choices, and their labels where the field has both (as {"text": […], "label": […]})."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise Mistake(f"{where}: the choices look like a JSON list, but are none: {value}") from None
    if isinstance(value, dict) and "text" in value:
        return [as_text(v) for v in value["text"]], [as_text(v) for v in value.get("label", [])]
    if isinstance(value, dict):
        return [as_text(v) for v in value.values()], [as_text(k) for k in value]
    if isinstance(value, (list, tuple)):
        return [as_text(v) for v in value], []
    raise Mistake(f"{where}: the choices are neither a list nor an object")


def fill(template, record, choices, where):
    listed = "\n".join(f"{chr(65 + i)}: {choice}" for i, choice in enumerate(choices))
    def value(match):
        if match[0] in ("{{", "}}"):
            return match[0][0]
        return listed if match[1] == "choices" and choices else as_text(field(record, match[1], where))
    return re.sub(r"\{\{|\}\}|\{([^{}]+)\}", value, template)


def answer_of(record, choices, labels, args, where):
    """The output as a text: a choice by its label or number, else what the field says. "": there is none."""
    output = first_of(field(record, args.output_field or "output", where))
    text = as_text(output, where)
    if not choices or text in choices:
        return text
    if text in labels:
        return choices[labels.index(text)]
    if not text or text == "-1":
        return ""
    if not re.fullmatch(r"\d+", text):
        raise Mistake(f"{where}: the output \"{text}\" is none of the choices")
    if int(text) >= len(choices):
        raise Mistake(f"{where}: the output is choice {text}, but there are {len(choices)}")
    return choices[int(text)]


def input_of(record, args, where):
    """The field that was named; else input, behind the instruction where there is one (as Alpaca has it)."""
    if args.input_field or not isinstance(record.get("instruction"), str):
        return as_text(field(record, args.input_field or "input", where), where)
    parts = [record["instruction"], as_text(record.get("input"), where)]
    return "\n\n".join(part for part in parts if part.strip())


def fill_row(row, record, args, where):
    """Input, output and choices from the fields that were named."""
    choices, labels = [], []
    if args.choices_field:
        choices, labels = choices_of(field(record, args.choices_field, where), where)
    elif args.labels:
        choices = args.labels.split(",")
    elif not args.no_choices:
        choices = list(getattr(field(record, args.output_field or "output", where), "names", ()))
    row["output"] = answer_of(record, choices, labels, args, where)
    row["input"] = fill(args.template, record, choices, where) if args.template else input_of(record, args, where)
    if choices:
        row["choices"] = list(dict.fromkeys(choices))


def split_of(record, path, args, where):
    """The split that a row comes with: its field, or its file's name; None where neither says one."""
    if args.split_field:
        return as_text(field(record, args.split_field, where), where)
    own = record.get("split") if isinstance(record, dict) else None
    return own if isinstance(own, str) else split_of_file(path)


def read_row(row, record, path, args, where, further):
    """Fills the row; returns "" or why it is left out."""
    if not take_split(row, split_of(record, path, args, where), where, args):
        return "of other splits"
    chat = chat_field(record, args)
    if not chat:
        fill_row(row, record, args, where)
        return ""
    further.update(further_keys(record, chat))
    row["messages"], why = messages_of(record, chat, where)
    return why


def default_name(path):
    """The file's name, or its folder's where it is named after a split (…/NAME/data/train-00000-of-00001.parquet)."""
    if not split_of_file(path):
        return path.stem
    folder = path.resolve().parent
    return folder.parent.name if folder.name == "data" else folder.name


def from_records(args):
    read, endings = READERS[args.command]
    files = list(files_of(args.files, endings))
    rows, left_out, further = [], collections.Counter(), collections.Counter()
    for path in files:
        for number, record in read(path):
            where = f"{path}, row {number}"
            row = {"id": as_text(field(record, args.id_field, where), where) if args.id_field
                   else f"{path.stem}:{number}" if len(files) > 1 else str(number)}
            why = read_row(row, record, path, args, where, further)
            if why:
                left_out[why] += 1
            else:
                rows.append(row)
    if further:
        print("keys passed over: " + ", ".join(f"{key} ({count} rows)" for key, count in further.items()))
    metric = ("nll" if args.command == "text" else
              "accuracy" if rows and all("choices" in row for row in rows) else "exact_match")
    write_task(args, args.name or default_name(files[0]), rows, left_out, definition=args.definition,
               category=args.category, metric=metric)
