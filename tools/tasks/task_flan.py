"""FLAN 2022 as rendered rows: inputs, targets, and the names of task and kind of template."""

import collections

from task_lists import named_list
from task_readers import records_under
from task_text import Mistake, as_text, field
from task_writing import clean_name, write_task

ZERO_SHOT = ("zs_opt", "zs_noopt")
KINDS = ("zs_opt", "zs_noopt", "fs_opt", "fs_noopt")


def kinds(text):
    named = text.split(",")
    if not set(named) <= set(KINDS):
        raise ValueError
    return named


def either(record, name, where):
    """A field whose name has an underscore in front in some copies of FLAN."""
    return as_text(field(record, name if isinstance(record, dict) and name in record else "_" + name, where), where)


def from_flan(args):
    wanted = named_list(args.list, "tasks")["tasks"] if args.list else None
    tasks, left_out = collections.defaultdict(list), collections.defaultdict(collections.Counter)
    for file, number, record, _ in (found for path in args.files for found in records_under(path)):
        where = f"{file}, row {number}"
        name, kind = either(record, "task_name", where), either(record, "template_type", where)
        if wanted is not None and name not in wanted:
            continue
        if kind not in KINDS:
            raise Mistake(f'{where}: the template_type "{kind}" is none of {", ".join(KINDS)}')
        if kind not in args.kinds:
            left_out[name]["of other kinds of template"] += 1
            continue
        said = {"input": as_text(field(record, "inputs", where), where),
                "output": as_text(field(record, "targets", where), where)}
        if said["input"].strip():
            tasks[name].append({"id": f"{file.stem}:{number}"} | said)
        else:
            left_out[name]["without an input"] += 1
    missing = [name for name in wanted or () if name not in tasks]
    if missing or not tasks:
        raise Mistake(f"{', '.join(map(str, args.files))}: no rows of " + (f'the task "{missing[0]}"' if missing else "FLAN")
                      + f" with a template of the kind {' or '.join(args.kinds)}")
    for name, rows in sorted(tasks.items()):
        write_task(args, clean_name(name), rows, left_out[name], category="flan")
