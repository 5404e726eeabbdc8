"""P3: datasets shown through promptsource's templates, or rendered already; a task for every template."""

import collections
from pathlib import Path

from task_lists import named_list
from task_readers import files_of, records_under
from task_splits import SPLITS, split_name
from task_templates import read_templates, render, shown_fields
from task_text import Mistake, as_text, field
from task_writing import clean_name, sample, write_joined, write_task

Row = collections.namedtuple("Row", "id split record")
LISTED_SPLITS = {"train": "train", "validation": "validation"}  # of a list's dataset that does not say


def split_pairs(text):
    """--splits train=train_r1,test=dev_r1."""
    pairs = dict(pair.split("=") for pair in text.split(","))
    if not set(pairs) <= set(SPLITS):
        raise ValueError
    return pairs


def from_p3(args):
    if args.rendered:
        return from_rendered(args)
    if not args.templates:
        raise Mistake("--templates: name promptsource's templates.yaml, or with --list the folder that holds them all; "
                      "rows that are rendered already need --rendered")
    if not args.list:
        name, templates = read_templates(args.templates, args.skip_templates)
        return show_dataset(args, args.name or name, rows_of(args, args.files, args.splits), templates)
    for entry in named_list(args.list, "datasets")["datasets"]:
        place = Path(entry["dataset"], entry.get("subset", ""))
        name, templates = read_templates(Path(args.templates, place, "templates.yaml"), entry.get("skip", ()))
        rows = rows_of(args, [Path(folder, place) for folder in args.files], entry.get("splits", LISTED_SPLITS))
        show_dataset(args, entry.get("name", name), rows, templates)


def rows_of(args, paths, splits):
    """A dataset's rows with their split: as it calls them itself, or as `splits` (ours → the dataset's) says; {}: to be
    dealt. Rows of other splits are left out."""
    rows, others = [], collections.Counter()
    for file, number, record, raw in (found for path in paths for found in records_under(path)):
        where = f"{file}, row {number}"
        if not isinstance(record, dict):
            raise Mistake(f"{where}: not an object with fields")
        split = None
        if splits:
            split = next((ours for ours, theirs in splits.items() if theirs == raw), None)
        elif splits is None and raw and raw not in args.skip_splits:
            split = split_name(raw, where)
        if split or splits == {}:
            rows.append(Row(f"{raw or file.stem}:{number}", split, record))
        else:
            others[raw or "no split"] += 1
    if not rows:
        found = ", ".join(f"{count} of {raw}" for raw, count in sorted(others.items()))
        raise Mistake(f"{', '.join(map(str, paths))}: no row of the splits asked for ({found or 'no rows'})")
    return rows


def parts_of(args, rows, templates):
    """A dataset's training rows, at most --limit shared evenly among its templates (T0's cap), and those of other splits,
    at most --limit-eval."""
    def row_id(row):
        return row.id

    share = args.limit and max(1, args.limit // len(templates))
    trained = [row for row in rows if row.split in ("train", None)]
    others = sample([row for row in rows if row.split not in ("train", None)], args.limit_eval, args.split_seed, row_id)
    return (lambda template: sample(trained, share, f"{args.split_seed} {template}", row_id)), others


def show_dataset(args, name, rows, templates):
    """Training rows are shown by every template, the others by those of the original task, where there are any; with
    --round-robin each of these by one of them, by turns."""
    original = [t for t in templates if t.original] or templates
    templates = original if args.original else templates
    if not templates:
        raise Mistake(f"{name}: no template is left")
    train_rows, others = parts_of(args, rows, templates)
    written, fields = [], shown_fields(rows[0].record)
    for template in templates:
        shown = train_rows(template.name)
        if template in original:
            turn = original.index(template)
            shown = shown + [row for place, row in enumerate(others)
                             if not args.round_robin or place % len(original) == turn]
        lacking = sorted(template.fields - set(fields))
        if lacking:
            print(f'{name}+{clean_name(template.name)}: left out: it shows "{lacking[0]}", which the rows do not have '
                  f"(they have {', '.join(fields)})")
            continue
        whole, left_out = [], collections.Counter()
        for row in shown:
            text, why = render(template, row.record, row.id)
            left_out[why] += 1
            whole += [task_row(args, row, text, template.name)] if text else []
        if whole:
            written.append(write_part(args, name, template.name, whole, left_out))
        else:
            print(f"{name}+{clean_name(template.name)}: left out: "
                  + (", ".join(f"{count} rows {why}" for why, count in left_out.items()) or "no row of its splits"))
    if not written:
        raise Mistake(f"{name}: no template is for its {len(rows)} rows")
    if args.join:
        write_joined(args, name, written)


def task_row(args, row, text, template):
    """Rows of one id are the same example; a joined task cannot have two."""
    return {"id": f"{row.id}/{template}" if args.join else row.id} | ({"split": row.split} if row.split else {}) | text


def write_part(args, dataset, template, rows, left_out=None):
    """DATASET+TEMPLATE.jsonl; the group is what evaluation takes mean and median over."""
    part = f"{dataset}+{clean_name(template)}"
    left_out = {why: count for why, count in (left_out or {}).items() if why}
    write_task(args, part, rows, left_out, limit=0, alone=not args.join, group=dataset, metric=metric_of(rows))
    return part


def metric_of(rows):
    return "accuracy" if all("choices" in row for row in rows) else "exact_match"


def from_rendered(args):
    """As on the hub (bigscience/P3): TASK/train-00000-of-00001.parquet with inputs_pretokenized, targets_pretokenized and,
    for some tasks, answer_choices. A task's name is its dataset's and its template's; --list says where the one ends."""
    folders = rendered_folders(args.files)
    entries = named_list(args.list, "datasets")["datasets"] if args.list else []
    for entry in entries:
        entry["begins"] = clean_name("_".join(filter(None, [entry["dataset"], entry.get("subset")]))) + "_"
    if not entries:
        for folder in folders:
            rows = [rendered_row(args, row, folder, "") for row in rows_of(args, [folder], args.splits)]
            write_task(args, folder.name, rows, metric=metric_of(rows))
    for entry in entries:
        begins, name = entry["begins"], entry.get("name", entry["begins"][:-1])
        longer = [e["begins"] for e in entries if e["begins"].startswith(begins) and e["begins"] != begins]
        skip = {begins + clean_name(template) for template in entry.get("skip", ())}
        mine = [folder for folder in folders if folder.name.startswith(begins) and folder.name not in skip
                and not folder.name.startswith(tuple(longer))]
        if not mine:
            raise Mistake(f"{', '.join(map(str, args.files))}: no folder of a task begins with {begins}")
        written = []
        for folder in mine:
            train_rows, others = parts_of(args, rows_of(args, [folder], entry.get("splits", LISTED_SPLITS)), mine)
            rows = [rendered_row(args, row, folder, folder.name) for row in train_rows(folder.name) + others]
            written.append(write_part(args, name, folder.name[len(begins):], rows))
        if args.join:
            write_joined(args, name, written)


def rendered_folders(paths):
    """One folder a task: what save_to_disk wrote, or with Parquet files in it; not those of P3 that have a row for every
    choice (…_score_eval)."""
    folders = set()
    for path in map(Path, paths):
        if not path.is_dir():
            raise Mistake(f"{path}: not a folder; rendered tasks lie in a folder each")
        saved = {found.parent for name in ("dataset_dict.json", "state.json") for found in path.rglob(name)}
        saved -= {folder for folder in saved if folder.parent in saved}
        folders |= saved or {file.parent for file in files_of([path], [".parquet"])}
    return sorted(folder for folder in folders if not folder.name.endswith("_score_eval"))


def rendered_row(args, row, folder, template):
    where = f"{folder}, row {row.id}"
    text = {"input": as_text(field(row.record, "inputs_pretokenized", where), where).strip(),
            "output": as_text(field(row.record, "targets_pretokenized", where), where).strip()}
    choices = [as_text(choice, where).strip() for choice in row.record.get("answer_choices") or []]
    if text["output"] in choices:
        text["choices"] = list(dict.fromkeys(choices))
    return task_row(args, row, text, template)
