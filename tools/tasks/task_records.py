"""Tasks from records with fields: Parquet, load_from_disk, CSV, JSON."""

import csv
import io
import json
import re
from pathlib import Path

from task_text import Mistake, as_text, field, json_lines, read_json, read_text
from task_writing import SPLITS, write_task

OTHER_SPLIT_NAMES = {"valid": "validation", "val": "validation", "dev": "validation", "eval": "test"}


def json_records(path):
    text = read_text(path)
    if text.lstrip().startswith("["):
        return list(enumerate(read_json(path), 1))
    return list(json_lines(text, path))


def csv_records(path):
    separator = "\t" if str(path).endswith((".tsv", ".txt")) else ","
    return list(enumerate(csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter=separator), 1))


def needs(module):
    try:
        return __import__(module)
    except ImportError:
        raise Mistake(f"this needs the Python package {module}: pip install -r tools/tasks/requirements.txt") from None


def parquet_records(path):
    needs("pyarrow")
    import pyarrow.parquet

    if not Path(path).is_file():
        raise Mistake(f"{path}: there is no such file")
    try:
        return list(enumerate(pyarrow.parquet.read_table(path).to_pylist(), 1))
    except pyarrow.ArrowException as error:
        raise Mistake(f"{path}: not a Parquet file ({error})") from None


def disk_records(path):
    """Rows of a folder that datasets' save_to_disk wrote; class numbers become class names."""
    datasets = needs("datasets")
    try:
        loaded = datasets.load_from_disk(str(path))
    except (FileNotFoundError, ValueError) as error:
        raise Mistake(f"{path}: not a folder of save_to_disk ({error})") from None
    parts = loaded if isinstance(loaded, dict) else {None: loaded}
    records = []
    for split, part in parts.items():
        names = {key: f.names for key, f in part.features.items() if isinstance(f, datasets.ClassLabel)}
        for record in part:
            for key, classes in names.items():
                if record[key] is not None and record[key] >= 0:
                    record[key] = classes[record[key]]
            records.append((len(records) + 1, record | ({"split": split} if split else {})))
    return records


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


def split_name(value, where):
    name = OTHER_SPLIT_NAMES.get(value, value)
    if name not in SPLITS:
        raise Mistake(f'{where}: the split "{value}" is none of {", ".join(SPLITS)}')
    return name


def fill(template, record, choices, where):
    listed = "\n".join(f"{chr(65 + i)}: {choice}" for i, choice in enumerate(choices))
    def value(match):
        if match[0] in ("{{", "}}"):
            return match[0][0]
        return listed if match[1] == "choices" and choices else as_text(field(record, match[1], where))
    return re.sub(r"\{\{|\}\}|\{([^{}]+)\}", value, template)


def row_of(record, number, args, where):
    row = {"id": as_text(field(record, args.id_field, where)) if args.id_field else str(number)}
    output = field(record, args.output_field, where)
    if isinstance(output, (list, tuple)):
        output = output[0] if output else ""
    choices, labels = [], []
    if args.choices_field:
        choices, labels = choices_of(field(record, args.choices_field, where), where)
    elif args.labels:
        choices = args.labels.split(",")
    if choices and as_text(output) in labels:
        output = choices[labels.index(as_text(output))]
    elif choices and as_text(output) not in choices and re.fullmatch(r"\d+", as_text(output)):
        if int(output) >= len(choices):
            raise Mistake(f"{where}: the output is choice {output}, but there are {len(choices)}")
        output = choices[int(output)]
    row["output"] = as_text(output)
    if choices and row["output"] not in choices:
        raise Mistake(f"{where}: the output \"{row['output']}\" is none of the choices")
    row["input"] = (fill(args.template, record, choices, where) if args.template
                    else as_text(field(record, args.input_field, where)))
    if choices:
        row["choices"] = list(dict.fromkeys(choices))
    if args.split:
        row["split"] = split_name(args.split, "--split")
    elif args.split_field:
        row["split"] = split_name(as_text(field(record, args.split_field, where)), where)
    elif isinstance(record.get("split"), str):
        row["split"] = split_name(record["split"], where)
    return row


READERS = {"parquet": parquet_records, "disk": disk_records, "csv": csv_records, "json": json_records}


def from_records(args):
    rows = []
    for path in args.files:
        for number, record in READERS[args.command](path):
            rows.append(row_of(record, number, args, f"{path}, row {number}"))
            if len(args.files) > 1 and not args.id_field:
                rows[-1]["id"] = f"{Path(path).stem}:{number}"
    name = args.name or Path(args.files[0]).stem
    metric = "accuracy" if rows and all("choices" in row for row in rows) else "exact_match"
    write_task(args, name, rows, definition=args.definition, category=args.category, metric=metric)
