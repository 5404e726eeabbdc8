#!/usr/bin/env python3
"""Puts the study's answers into STUDY.md, between its markers, and draws the plots.

    tools/study/study_page.py            reads docs/study/answers.json, writes STUDY.md and docs/study/*.svg
    tools/study/study_page.py --check    says with exit code 1 whether STUDY.md is not what the JSON gives; writes nothing
"""
import argparse
import json
import pathlib
import shutil
import sys

import study_tables as tables

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools" / "bench"))
from page import filled, read  # noqa: E402

NOT_YET = "Not run yet."


def image(folder, name, words):
    return f"![{words}](docs/study/{name}.svg)" if (folder / f"{name}.svg").exists() else ""


def blocks(answers, folder):
    """Marker → what stands there."""
    made = {name: block(answers) for name, block in tables.BLOCKS.items()} if answers else dict.fromkeys(tables.BLOCKS, "")
    pictures = {"routing": ("against", "Per-token routing less what it is held against"), "size": ("sizes", "Loss over pool sizes"),
                "alignment": ("alignment", "Noise-free cosine of the tasks' gradients over training"),
                "few_shot": ("few_shot", "Loss over shots")}
    for name, (file, words) in pictures.items():
        if answers and (drawn := image(folder, file, words)):
            made[name] = f"{made[name]}\n\n{drawn}".lstrip()
    return {name: text or NOT_YET for name, text in made.items()}


def page(text, answers, folder):
    for name, block in blocks(answers, folder).items():
        text = filled(text, name, block)
    return text


def write(answers, root):
    """answers.json, the plots, STUDY.md; the page's words are this checkout's where `root` has none."""
    import study_plots  # not before: --check needs no matplotlib

    folder, path = root / "docs" / "study", root / "STUDY.md"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        shutil.copy(ROOT / "STUDY.md", path)
    (folder / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")
    study_plots.write_plots(answers, folder)
    path.write_text(page(path.read_text(), answers, folder))
    print(f"{path}: {len(answers['about']['seconds'])} stages are in it, {len(answers['missing'])} parts of the plan are missing")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--root", type=pathlib.Path, default=ROOT, help="where STUDY.md lies")
    options = parser.parse_args()
    folder, path = options.root / "docs" / "study", options.root / "STUDY.md"
    answers = read(folder / "answers.json")
    if options.check:
        same = path.read_text() == page(path.read_text(), answers, folder)
        sys.exit(0 if same else "STUDY.md: not what docs/study/answers.json gives; run tools/study/study_page.py")
    if answers is None:
        path.write_text(page(path.read_text(), None, folder))
    else:
        write(answers, options.root)


if __name__ == "__main__":
    main()
