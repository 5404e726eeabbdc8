"""NAME.jsonl and NAME.toml from rows: {"id", "input" or "messages", "output", "choices", "split"}."""

import hashlib
import json
import re

from task_splits import SPLITS
from task_text import Mistake


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


def asked_text(row):
    """What tells rows apart when they are dealt or chosen: the prompt, of plain text what it says."""
    return prompt_text(row) or output_text(row)


def deal(row, percents, seed):
    """The split of a row without one: by the digest of its prompt, so that equal prompts stay together."""
    place = bucket(asked_text(row), seed) % 100
    return SPLITS[0 if place < percents[0] else 1 if place < percents[0] + percents[1] else 2]


def fits(row, max_chars):
    return not max_chars or len(prompt_text(row)) + len(output_text(row)) <= max_chars


def sample(rows, limit, seed, text=asked_text):
    """`limit` rows spread over the whole file (the smallest digests of their text), in file order."""
    if not limit or len(rows) <= limit:
        return rows
    by_digest = sorted(range(len(rows)), key=lambda i: (bucket(text(rows[i]), f"limit {seed}"), i))
    return [rows[i] for i in sorted(by_digest[:limit])]


def clean_name(text):
    """What a task's name may be made of, as P3 does it: "GPT-3 style" → "GPT_3_style"."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", text)


def write_task(args, name, rows, left_out=None, folder=None, limit=None, alone=True, **about):
    """NAME.jsonl, and NAME.toml where there is something to say about the task. `left_out`: why → rows, so far.
    `folder` and `limit` stand in for --out and --limit; a part of a joined task is not `alone` and has no .toml."""
    if not re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,127}", name):
        raise Mistake(f'"{name}" cannot be a task\'s name (letters, digits, . _ - + only, no dot in front, at most 128): '
                      "give --name")
    whole = [row for row in rows if output_text(row).strip()]
    short = [row for row in whole if fits(row, args.max_chars)]
    kept = sample(short, args.limit if limit is None else limit, args.split_seed)
    read = len(rows) + sum((left_out or {}).values())
    left_out = dict(left_out or {}) | {"without an output": len(rows) - len(whole),
                                       "longer than --max-chars": len(whole) - len(short),
                                       "beyond --limit": len(short) - len(kept)}
    left_out = [f"{count} {why}" for why, count in left_out.items() if count]
    if not kept:
        raise Mistake(f"{name}: no row is left ({', '.join([f'{read} read', *left_out])})")
    give_distinct_ids(kept)
    path = new_path(args, folder, name)
    counts = dict.fromkeys(SPLITS, 0)
    with open(path.with_name(f"{name}.jsonl"), "w", encoding="utf-8", newline="\n") as file:
        for row in kept:
            row.setdefault("split", deal(row, args.percents, args.split_seed))
            counts[row["split"]] += 1
            keys = ("id", "split", "input", "messages", "output", "choices")
            file.write(json.dumps({k: row[k] for k in keys if k in row}, ensure_ascii=False) + "\n")
    if alone:
        write_about(args, path, about)
    print(f"{path}.jsonl: " + ", ".join(f"{n} {split}" for split, n in counts.items())
          + (f"; left out: {', '.join(left_out)}" if left_out else ""))


def write_joined(args, name, parts, folder=None, **about):
    """NAME.toml that makes one task of the tasks `parts`, which were written without a .toml."""
    path = new_path(args, folder, name)
    files = ", ".join(f"{{ path = {toml_text(part + '.jsonl')} }}" for part in parts)
    write_about(args, path, about, f"files = [{files}]\n")
    print(f"{path}.toml: one task of {len(parts)} files")


def new_path(args, folder, name):
    """Where the task goes, without an ending; no task is written over another of the same call."""
    path = (folder or args.out) / name
    if path in args.written:
        raise Mistake(f"{name}: two tasks of this name; the second would be written over the first")
    args.written.add(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_about(args, path, about, more=""):
    about = {key: value for key, value in (about | args.about).items() if value}
    if about or more:
        lines = [f"{key} = {toml_text(value)}\n" for key, value in about.items()]
        path.with_name(f"{path.name}.toml").write_text("".join(lines) + more, encoding="utf-8")


def give_distinct_ids(rows):
    seen = {}
    for row in rows:
        count = seen[row["id"]] = seen.get(row["id"], 0) + 1
        if count > 1:
            row["id"] = f"{row['id']}#{count}"
