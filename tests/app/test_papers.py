"""configs/paper: every recipe reads, and its cost is known from the base's config.json alone."""
import json
import re
import subprocess

import pytest
from test_t5 import XL

# Recipe → job, tasks, steps, and what is trained: sites · skills · rank · (d_in + d_out) of T5-XL, and sites · tasks · heads · skills.
RECIPES = {
    "phatgoose": ("experts", 1, 1000, "35,389,440 values per expert"),
    "phatgoose-t0": ("experts", 36, 1000, "35,389,440 values per expert"),
    "phatgoose-flan": ("experts", 166, 1000, "35,389,440 values per expert"),
    "mhr-t0": ("pretrain", 313, 100000, f"{35389440 // 16 * 8:,} skill values and {432 * 313 * 64 * 8:,} routing values"),
    "mhr-superni": ("pretrain", 757, 25000, f"{288 * 8 * 16 * 4096:,} skill values and {288 * 757 * 8 * 8:,} routing values"),
    "mhr-crossfit": ("pretrain", 120, 90000, f"{288 * 8 * 16 * 4096:,} skill values and {288 * 120 * 8 * 8:,} routing values"),
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
    header = (root / f"configs/paper/{name}.toml").read_text()
    if name != "phatgoose":
        said, planned = (re.search(pattern, text, re.M) for pattern, text in
                         ((r"^# Costs +([\d.,]+) GPU hours", header), (r": ([\d.,]+) GPU hours", done.stdout)))
        assert float(said[1].replace(",", "")) == pytest.approx(float(planned[1].replace(",", "")), rel=0.02), done.stdout
    assert not (folder / "runs").exists()
