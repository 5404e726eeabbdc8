"""What people call the splits of a dataset, and which of them are taken."""

import re
from pathlib import Path

from task_text import Mistake

SPLITS = ("train", "validation", "test")
CALLED = {"training": "train", "valid": "validation", "val": "validation", "dev": "validation", "eval": "test"}


def known_split(text):
    """train, validation or test by the first word: "test-00000-of-00001", "validation_matched"; None: no such word."""
    word = re.match(r"[A-Za-z]*", text)[0].lower()
    word = CALLED.get(word, word)
    return word if word in SPLITS else None


def split_name(text, where):
    if not known_split(text):
        raise Mistake(f'{where}: the split "{text}" is none of {", ".join(SPLITS)}; '
                      f"--skip-splits {text} leaves its rows out")
    return known_split(text)


def split_of_file(path):
    """Of hub datasets the file's name says it: train-00000-of-00001.parquet, test.jsonl."""
    return known_split(Path(path).stem)


def raw_split_of_file(path):
    """What the file's name says before its part's number: "train_r1" of train_r1-00000-of-00001.parquet."""
    return re.sub(r"-\d+-of-\d+$", "", Path(path).name.partition(".")[0])


def take_split(row, text, where, args):
    """Enters the split that a row comes with (None: none), or the one asked for. False: the row is not wanted."""
    if text and (text in args.skip_splits or known_split(text) in args.skip_splits):
        return False
    split = split_name(text, where) if text else None
    wanted = split_name(args.split, "--split") if args.split else None
    if split or wanted:
        row["split"] = split or wanted
    return not (split and wanted and split != wanted)
