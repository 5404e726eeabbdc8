#!/usr/bin/env python3
"""Makes gaggle's task files (docs/tasks.md) from Parquet, load_from_disk, CSV, JSON, Super-NaturalInstructions,
BIG-bench and the package `evals`. Standard library only, but for parquet and disk (tools/tasks/requirements.txt)."""

import argparse
import csv
import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path

SPLITS = ("train", "validation", "test")
OTHER_SPLIT_NAMES = {"valid": "validation", "val": "validation", "dev": "validation", "eval": "test"}


class Mistake(Exception):
    """The user's mistake: its text is the whole message."""


# ---- writing --------------------------------------------------------------------------------------------------------


def toml_text(text):
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def prompt_text(row):
    if "messages" in row:
        return "\n".join(m["content"] for m in row["messages"][:-1])
    return row["input"]


def output_text(row):
    return row["messages"][-1]["content"] if "messages" in row else row["output"]


def bucket(text, seed):
    """A number below 2**64 that depends on the text and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{text}".encode("utf-8", "surrogatepass")).digest()[:8], "big")


def deal(row, percents, seed):
    """The split of a row without one: by the digest of its prompt, so that equal prompts stay together."""
    place = bucket(prompt_text(row), seed) % 100
    return SPLITS[0 if place < percents[0] else 1 if place < percents[0] + percents[1] else 2]


def fits(row, max_chars):
    return not max_chars or len(prompt_text(row)) + len(output_text(row)) <= max_chars


def sample(rows, limit, seed):
    """`limit` rows spread over the whole file (the smallest digests), in file order."""
    if not limit or len(rows) <= limit:
        return rows
    by_digest = sorted(range(len(rows)), key=lambda i: (bucket(prompt_text(rows[i]), f"limit {seed}"), i))
    return [rows[i] for i in sorted(by_digest[:limit])]


def write_task(args, name, rows, **about):
    """NAME.jsonl, and NAME.toml where there is something to say about the task."""
    if not re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,127}", name):
        raise Mistake(f'"{name}" cannot be a task\'s name (letters, digits, . _ - + only, no dot in front): give --name')
    whole = [row for row in rows if output_text(row).strip()]
    short = [row for row in whole if fits(row, args.max_chars)]
    kept = sample(short, args.limit, args.split_seed)
    if not kept:
        raise Mistake(f"{name}: no row is left ({len(rows)} read, {len(rows) - len(whole)} without an output, "
                      f"{len(whole) - len(short)} longer than --max-chars)")
    give_distinct_ids(kept)
    counts = dict.fromkeys(SPLITS, 0)
    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.out / f"{name}.jsonl", "w", encoding="utf-8", newline="\n") as file:
        for row in kept:
            row.setdefault("split", deal(row, args.percents, args.split_seed))
            counts[row["split"]] += 1
            keys = ("id", "split", "input", "messages", "output", "choices")
            file.write(json.dumps({k: row[k] for k in keys if k in row}, ensure_ascii=False) + "\n")
    about = {key: value for key, value in about.items() if value}
    if about:
        lines = [f"{key} = {toml_text(value)}\n" for key, value in about.items()]
        (args.out / f"{name}.toml").write_text("".join(lines), encoding="utf-8")
    left_out = f", {len(rows) - len(whole)} without an output left out" if len(whole) < len(rows) else ""
    left_out += f", {len(whole) - len(short)} longer than --max-chars left out" if len(short) < len(whole) else ""
    left_out += f", {len(short) - len(kept)} beyond --limit left out" if len(kept) < len(short) else ""
    print(f"{args.out / name}.jsonl: " + ", ".join(f"{n} {split}" for split, n in counts.items()) + left_out)


def give_distinct_ids(rows):
    seen = {}
    for row in rows:
        count = seen[row["id"]] = seen.get(row["id"], 0) + 1
        if count > 1:
            row["id"] = f"{row['id']}#{count}"


# ---- reading --------------------------------------------------------------------------------------------------------


def read_text(path):
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Mistake(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror})") from None


def read_json(path):
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise Mistake(f"{path}:{error.lineno}:{error.colno}: not JSON ({error.msg})") from None


def json_lines(text, where):
    """(line number, object) of every line that is not blank."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise Mistake(f"{where}:{number}: not JSON ({error.msg})") from None


def json_records(path):
    text = read_text(path)
    if text.lstrip().startswith("["):
        return list(enumerate(read_json(path), 1))
    return list(json_lines(text, path))


def csv_records(path):
    separator = "\t" if str(path).endswith((".tsv", ".txt")) else ","
    return list(enumerate(csv.DictReader(read_text(path).splitlines(keepends=True), delimiter=separator), 1))


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


# ---- records with fields → rows -------------------------------------------------------------------------------------


def field(record, name, where):
    if not isinstance(record, dict):
        raise Mistake(f"{where}: not an object with fields")
    value = record
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise Mistake(f"{where}: has no field \"{name}\" (it has {', '.join(map(str, record))})")
        value = value[part]
    return value


def as_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def choices_of(value, where):
    """Texts of the choices, and their labels where the field has both (as {"text": […], "label": […]})."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = json.loads(value)
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


# ---- formats of collections -----------------------------------------------------------------------------------------


def files_under(paths, name):
    """The files themselves, and of folders the files called `name`."""
    found = []
    for path in map(Path, paths):
        found += sorted(path.rglob(name)) if path.is_dir() else [path]
    if not found:
        raise Mistake(f"no {name} under {', '.join(map(str, paths))}")
    return found


def first_of(value):
    return (value[0] if value else "") if isinstance(value, list) else (value or "")


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


def evals_rows(text, where):
    """Rows of a samples file of `evals`; none where it has another form."""
    rows = []
    for number, record in json_lines(text, where):
        if not isinstance(record, dict) or "input" not in record or "ideal" not in record:
            return []
        row = {"id": str(number)}
        output = as_text(first_of(record["ideal"]))
        messages = record["input"]
        if isinstance(messages, str):
            row |= {"input": messages, "output": output}
        elif isinstance(messages, list) and all(
                isinstance(m, dict) and m.get("role") in ("system", "user", "assistant")
                and isinstance(m.get("content"), str) for m in messages) and messages:
            said = [{"role": m["role"], "content": m["content"]} for m in messages]
            if [m["role"] for m in said] == ["user"]:
                row |= {"input": said[0]["content"], "output": output}
            else:
                row["messages"] = said + [{"role": "assistant", "content": output}]
        else:
            return []
        rows.append(row)
    return rows


def add_choices(rows, most):
    """The distinct outputs as choices of every row, where they are few and most of them come again."""
    outputs = sorted({output_text(row) for row in rows if output_text(row).strip()})
    if 2 <= len(outputs) <= min(most, len(rows) // 2):
        for row in rows:
            row["choices"] = outputs


def evals_folders(package):
    """Task folders of the package: "theory_of_mind/tomi" → its .jsonl files."""
    folders = {}
    for entry in sorted(package.namelist()):
        inside = re.fullmatch(r"evals/registry/data/(.+)/([^/]+)\.jsonl", entry)
        if inside:
            folders.setdefault(inside[1], {})[inside[2]] = entry
    if not folders:
        raise Mistake("the package holds no evals/registry/data/*/*.jsonl: is it the wheel of evals?")
    return folders


def evals_files(folders, name):
    """What a name means: a folder (its whole path or its last part), or folder/file."""
    folder, _, file = name.rpartition("/")
    if file in folders.get(folder, {}):
        return file, {file: folders[folder][file]}
    for path in sorted(folders, key=lambda path: (path != name, path)):
        if path == name or path.rsplit("/", 1)[-1] == name:
            return name.rsplit("/", 1)[-1], folders[path]
    near = [path for path in folders if name.lower()[:5] in path.lower()]
    raise Mistake(f'the package has no task "{name}"' + (f" (near: {', '.join(near[:5])})" if near else ""))


def from_evals(args):
    try:
        package = zipfile.ZipFile(args.package)
    except (OSError, zipfile.BadZipFile) as error:
        raise Mistake(f"{args.package}: not a zip or wheel that can be read ({error})") from None
    with package:
        folders = evals_folders(package)
        for name in args.names.split(",") if args.names else list(folders):
            try:
                task, files = evals_files(folders, name)
                convert_evals(args, package, task, files)
            except Mistake as mistake:
                if args.names:
                    raise
                print(f"{name}: left out: {mistake}", file=sys.stderr)


def convert_evals(args, package, task, files):
    found = {}
    for file, entry in files.items():
        try:
            rows = evals_rows(package.read(entry).decode("utf-8-sig"), entry)
        except UnicodeDecodeError:
            raise Mistake(f"{entry}: not UTF-8 text") from None
        if rows:
            found[file] = rows
    if not found:
        raise Mistake(f'{task}: none of its files has rows with "input" and "ideal" ({", ".join(files)})')
    if len(found) > 1:
        raise Mistake(f"{task}: several files have rows; name one as {task}/FILE ({', '.join(found)})")
    rows = next(iter(found.values()))
    if not args.no_choices:
        add_choices(rows, args.max_choices)
    write_task(args, task, rows, category="evals", metric="accuracy" if "choices" in rows[0] else "exact_match")


# ---- command line ---------------------------------------------------------------------------------------------------


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
        sub.add_argument("files", nargs="+")
        sub.add_argument("--name", help="the task's name (default: the first file's)")
        sub.add_argument("--input-field", default="input")
        sub.add_argument("--output-field", default="output", help="text, or the number or label of a choice")
        sub.add_argument("--choices-field", help='a list, or {"text": […], "label": […]}')
        sub.add_argument("--labels", help="choices of every row, by comma: output 0 is the first")
        sub.add_argument("--id-field")
        sub.add_argument("--split-field", help='default: the field "split" where rows have one')
        sub.add_argument("--split", help="the split of all rows")
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
