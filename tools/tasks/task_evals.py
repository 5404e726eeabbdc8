"""Tasks from the wheel of the package evals, read as the zip it is."""

import re
import sys
import zipfile

from task_text import Mistake, as_text, first_of, json_lines
from task_writing import output_text, write_task


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
