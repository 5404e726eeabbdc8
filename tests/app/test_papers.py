"""configs/paper: every recipe reads, and its cost is known from the base's config.json alone."""
import json
import re
import subprocess

import pytest
from test_t5 import XL

# Recipe → the job, tasks, steps, and what it trains (docs/papers.md). A test task's numbers of the papers' own programs.
RECIPES = {
    "phatgoose": ("experts", 1, 1000, "35,389,440 values per expert"),
    "phatgoose-t0": ("experts", 36, 1000, "35,389,440 values per expert"),
    "phatgoose-flan": ("experts", 166, 1000, "35,389,440 values per expert"),
    "mhr-t0": ("pretrain", 313, 100000, "17,694,720 skill values"),
    "mhr-superni": ("pretrain", 757, 25000, "skill values"),
    "mhr-crossfit": ("pretrain", 120, 90000, "skill values"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("papers")
    (folder / "t5-xl-lm-adapt").mkdir()
    (folder / "t5-xl-lm-adapt/config.json").write_text(json.dumps(XL))
    return folder


def test_every_recipe_is_tried(root):
    assert {path.stem for path in (root / "configs/paper").glob("*.toml")} == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_costs_of_a_recipe(folder, gaggle, root, name):
    job, tasks, steps, trained = RECIPES[name]
    done = subprocess.run([gaggle, job, root / f"configs/paper/{name}.toml", "--model.path=t5-xl-lm-adapt", "--dry-run"], cwd=folder,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for words in ("2,849,757,184 parameters", f"{tasks:,} task", f"{steps:,} steps", trained, "nothing was started"):
        assert words in done.stdout, (words, done.stdout)
    print(done.stdout)
    header = (root / f"configs/paper/{name}.toml").read_text()
    if name != "phatgoose":
        said = re.search(r"^# Costs +([\d,]+) GPU hours", header, re.M)
        planned = re.search(r"([\d,]+) GPU hours", done.stdout)
        assert said and planned and said[1] == planned[1], (name, done.stdout)
    assert not (folder / "runs").exists()
