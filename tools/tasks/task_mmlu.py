"""MMLU: SUBJECT_test.csv and so on, rows of question, four choices and the right one's letter."""

import collections
import csv
import io
import re

from task_readers import files_of
from task_text import Mistake, read_text
from task_writing import write_task

LETTERS = ["A", "B", "C", "D"]
# The five rows of dev are what shots are taken from.
SPLIT_OF = {"dev": "train", "val": "validation", "test": "test"}


def mmlu_rows(path, split):
    rows = []
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    for cells in reader:
        where = f"{path}:{reader.line_num}"
        if len(cells) != 6:
            raise Mistake(f"{where}: {len(cells)} columns, expected 6: question, A, B, C, D, answer")
        if cells[1:5] == LETTERS and not rows:
            continue
        if cells[5].strip() not in LETTERS:
            raise Mistake(f'{where}: the answer "{cells[5]}" is none of {", ".join(LETTERS)}')
        listed = "".join(f"\n{letter}. {choice}" for letter, choice in zip(LETTERS, cells[1:5]))
        rows.append({"id": f"{split}:{len(rows) + 1}", "split": split, "input": f"{cells[0]}{listed}\nAnswer:",
                     "output": cells[5].strip(), "choices": LETTERS})
    return rows


def from_mmlu(args):
    """A task for each subject."""
    subjects = collections.defaultdict(list)
    for path in files_of(args.files, [".csv"]):
        parts = re.fullmatch(r"(.+)_(dev|val|test)", path.stem)
        if not parts:
            raise Mistake(f"{path}: expected SUBJECT_dev.csv, SUBJECT_val.csv or SUBJECT_test.csv")
        subjects[parts[1]] += mmlu_rows(path, SPLIT_OF[parts[2]])
    for subject, rows in sorted(subjects.items()):
        definition = f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}."
        write_task(args, subject, rows, definition=definition, category="mmlu", metric="accuracy")
