"""The study's task files: from the wheel of the package evals, from a folder of JSONL, and for the sample from nothing."""
import json
import pathlib
import random
import shutil
import subprocess
import sys

TOOLS = pathlib.Path(__file__).resolve().parents[1]
sys.path.append(str(TOOLS / "tasks"))
from task_evals import add_choices  # noqa: E402
from task_splits import SPLITS  # noqa: E402
from task_text import json_lines, read_json, read_text  # noqa: E402
from task_writing import toml_text  # noqa: E402

MOST_CHOICES = 10  # as tools/tasks.py evals has it


def trimmed(rows, limits):
    """The first rows of each split."""
    left, kept = dict(limits), []
    for row in rows:
        left[row["split"]] -= 1
        if left[row["split"]] >= 0:
            kept.append(row)
    return kept


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def import_evals(wheel, names, about, limits, folder):
    """By the importer of tools/tasks.py; then its rows are trimmed."""
    done = subprocess.run([sys.executable, TOOLS / "tasks.py", "evals", wheel, "--names", ",".join(names), "--limit", "500",
                           "--max-chars", str(about["max_chars"]), "--percents", "80/5/15", "--out", folder],
                          stdout=subprocess.DEVNULL)
    if done.returncode:
        sys.exit("the tasks of the plan cannot be made; what is in the way stands above")
    for name in names:
        path = folder / f"{name}.jsonl"
        write_rows(path, trimmed([row for _, row in json_lines(read_text(path), path)], limits))


def copy_task(file, limits, folder):
    """A JSONL of {"split", "input", "output"}; its definition lies in tasks.json, two folders up or beside."""
    name = file.stem
    rows = [{"id": str(number), **row} for number, row in json_lines(read_text(file), file) if "output" in row]
    add_choices(rows, MOST_CHOICES)
    about = next((task for place in (file.parent, file.parent.parent) if (place / "tasks.json").exists()
                  for task in read_json(place / "tasks.json") if task["task"] == name), {})
    definition = about.get("definition", "")
    lines = {"definition": definition, "prompt": "{definition}\n{input}\n" if definition else "{input}\n",
             "metric": "accuracy" if "choices" in rows[0] else "exact_match", "category": about.get("category", "")}
    write_rows(folder / file.name, trimmed(rows, limits))
    (folder / f"{name}.toml").write_text(
        "".join(f"{key} = {toml_text(value)}\n" for key, value in lines.items() if value), encoding="utf-8")


def make_tasks(plan):
    """Writes tasks/ in the study's folder: whole, with made.json last, or not at all."""
    beside, folder = plan.folder / "tasks.new", plan.folder / "tasks"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    limits = {split: plan.data["rows"][split] for split in SPLITS}
    wheels = {}
    for task in plan.all_tasks():
        source, _, name = task.partition("/")
        if "wheel" in plan.data["sources"][source]:
            wheels.setdefault(source, []).append(name)
        else:
            copy_task(plan.source(task), limits, beside)
    for source, names in wheels.items():
        import_evals(plan.source(f"{source}/any"), names, plan.data["sources"][source], limits, beside)
    (beside / "made.json").write_text(json.dumps(plan.all_tasks(), indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


def make_sample(folder):
    """The sample's base, random and tiny, and its tasks: copy some words, name the first, the last."""
    sys.path.append(str(TOOLS / "gpu"))
    from made_base import WORDS, make

    if not (folder / "base/config.json").exists():
        make(folder / "base.new", small=True)
        (folder / "base.new").rename(folder / "base")
    (folder / "made").mkdir(exist_ok=True)
    draw = random.Random(0)
    for name, answer in {"copy": " ".join, "first": lambda words: words[0], "last": lambda words: words[-1]}.items():
        rows = []
        for i in range(60):
            words = draw.sample(WORDS, draw.randint(1, 4))
            rows.append({"split": SPLITS[0 if i % 10 < 8 else i % 10 - 7], "input": " ".join(words), "output": answer(words)})
        write_rows(folder / "made" / f"{name}.jsonl", rows)
