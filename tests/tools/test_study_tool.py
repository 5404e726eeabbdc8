"""tools/study: the paired bootstrap beside a count of all draws, what is read and left out, tables, claims, plots, and the page."""
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

STUDY = Path(__file__).resolve().parents[2] / "tools" / "study"
sys.path.insert(0, str(STUDY))
import study_bootstrap as bootstrap  # noqa: E402
import study_claims  # noqa: E402
import study_page  # noqa: E402
import study_results  # noqa: E402
import study_stages  # noqa: E402
import study_tables  # noqa: E402
import study_tasks  # noqa: E402
from study_bootstrap import Pair, paired  # noqa: E402
from study_plan import Plan  # noqa: E402

MANY = 40000  # resamples: a quantile of all draws is met to a few in a thousand of them


def pair(a, b, weights=None):
    return Pair(np.array(a, float), np.array(b, float), np.array(weights or [1] * len(a), float))


def share_below(draws, value):
    """The shares of all draws below a value, and not above it: a quantile lies between."""
    return np.mean(np.array(draws) < value - 1e-12), np.mean(np.array(draws) <= value + 1e-12)


def expect_quantiles(draws, low_high):
    for value, level in zip(low_high, (0.025, 0.975)):
        below, upto = share_below(draws, value)
        assert below - 0.005 <= level <= upto + 0.005


def test_intervals_are_those_of_all_draws():
    """Two tasks of three and four rows with unlike weights: 27 · 256 draws of rows; four tasks: 256 draws of tasks."""
    pairs = [pair([3, 5, 4], [1, 6, 2], [2, 1, 4]), pair([2, 9, 4, 1], [1, 3, 3, 3], [1, 5, 1, 2])]

    def mean_of(rows, p):
        return sum(p.a[i] - p.b[i] for i in rows) / sum(p.weights[i] for i in rows)
    by_task = [[mean_of(rows, p) for rows in itertools.product(range(len(p.a)), repeat=len(p.a))] for p in pairs]
    found = paired(pairs, MANY)
    assert found["estimate"] == pytest.approx((3 / 7 + 6 / 9) / 2) and (found["n_tasks"], found["n_rows"]) == (2, 7)
    expect_quantiles([(x + y) / 2 for x, y in itertools.product(*by_task)], found["rows"])
    values = [0.5, -1.0, 2.0, 3.5]
    four = paired([pair([value, value], [0, 0]) for value in values], MANY)
    expect_quantiles([np.mean(draw) for draw in itertools.product(values, repeat=4)], four["tasks"])
    assert four["rows"] == [four["estimate"]] * 2  # rows that are alike


def test_rows_are_paired_and_a_seed_gives_the_same_numbers():
    draw = np.random.default_rng(1)
    tasks = [pair(x + 0.25, x) for x in (100 * draw.standard_normal(30) for _ in range(8))]
    found = paired(tasks, 500)
    assert [found["estimate"], *found["rows"], *found["tasks"]] == pytest.approx([0.25] * 5)
    noisy = [pair(draw.standard_normal(10), draw.standard_normal(10)) for _ in range(8)]
    assert paired(noisy, 500) == paired(noisy, 500) != paired(noisy, 500, seed=1)


def test_an_interval_over_many_tasks_is_the_normal_one():
    values = np.random.default_rng(2).standard_normal(400)
    low, high = paired([pair([value], [0]) for value in values], 4000)["tasks"]
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


@pytest.mark.parametrize("rows, tasks, n, said", [
    ([-3, -1], [-4, -1], 5, "better"), ([-3, -1], [-4, 1], 5, "better here"), ([-3, -1], [-4, -1], 4, "better here"),
    ([1, 2], [1, 3], 9, "worse"), ([1, 2], [-1, 3], 9, "worse here"), ([-1, 2], [1, 3], 9, "open"), ([0, 0], [0, 0], 9, "open"),
    (None, [1, 2], 9, "open"), ([-3, -1], None, 1, "better here"), ([-3, -1], [1, 2], 9, "better here")])
def test_verdicts(rows, tasks, n, said):
    found = {"rows": rows, "tasks": tasks, "n_tasks": n}
    assert bootstrap.verdict(found, lower_is_better=True) == said
    turned = {key: [-high, -low] for key, (low, high) in ((k, v) for k, v in found.items() if k != "n_tasks" and v)}
    assert bootstrap.verdict({"rows": None, "tasks": None, "n_tasks": n} | turned, lower_is_better=False) == said


def test_one_task_or_one_row_has_no_interval():
    alone = paired([pair([1, 2], [0, 0])], 50)
    assert alone["tasks"] is None and alone["rows"] is not None
    assert paired([pair([1], [0]), pair([2], [0])], 50)["rows"] is None


def line(task, number, method, nll, right=None):
    return {"task": task, "id": str(number), "method": method, "target_nll": nll, "target_tokens": number + 1, "correct": right}


def test_predictions_are_paired_by_row_and_what_is_not_finite_is_left_out(tmp_path):
    lines = [line("a", i, method, nll + i, i > 0) for method, nll in (("x", 1), ("y", 3)) for i in range(3)]
    lines += [line("b", i, "x", 1) for i in range(2)] + [line("b", i, "y", None if i else 2) for i in range(2)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    found = study_results.predictions(tmp_path / "p.jsonl")
    assert set(found["x"]) == {"a", "b"} and set(found["y"]) == {"a"}
    assert study_results.pairs(found["x"], found["y"], ["a", "b"], "nll") is None  # y has no result on b
    (of,) = study_results.pairs(found["x"], found["y"], ["a"], "nll")
    assert bootstrap.difference(of) == pytest.approx(-1)  # 3 · 2 nats over 1 + 2 + 3 tokens
    assert study_results.pairs(found["x"], found["x"], ["b"], "right") is None  # by nll alone
    score = study_results.score(found["x"], ["a", "b"])
    assert score == {"nll": pytest.approx((6 / 6 + 2 / 3) / 2), "right": pytest.approx(200 / 3), "n_tasks": 2, "n_rows": 5}
    found["y"]["a"].ids[0] = "other"
    with pytest.raises(ValueError, match="different rows"):
        study_results.pairs(found["x"], found["y"], ["a"], "nll")


def test_whole_windows_of_alignment_are_read(tmp_path):
    lines = [{"step": step, "window_measurements": 1 + i % 2, "groups": [
        {"by": "kind", "noise_free_median": 9}, {"by": "layer", "noise_free_median": 0.1 * step},
        {"by": "layer", "noise_free_median": None}]} for i, step in enumerate([3, 6, 9, 12, 15])]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    assert study_results.windows(tmp_path / "a.jsonl", 2) == [
        {"first": 3, "last": 6, "layers": [pytest.approx(0.6)]}, {"first": 9, "last": 12, "layers": [pytest.approx(1.2)]}]


@pytest.fixture
def plan(tmp_path, root):
    """The study's own plan, where only a folder of tasks is at hand."""
    text = (root / "configs/study/plan.toml").read_text().replace("../../../shared/data/tasks", "data").replace("../../demo", "none")
    (tmp_path / "plan.toml").write_text(text.replace("pools = [10, 20, 40]", "pools = [2, 4]"))
    (tmp_path / "study.toml").write_text((root / "configs/study/study.toml").read_text().replace("../base.toml", "base.toml"))
    (tmp_path / "base.toml").write_text((root / "configs/base.toml").read_text())
    return Plan(tmp_path / "plan.toml", tmp_path / "runs")


def put(plan, *tasks, rows=({"split": "train", "input": "i", "output": "o"},)):
    for task in tasks:
        path = plan.path.parent / "data" / f"{task}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_settings_are_those_of_the_config_over_what_it_includes(root, tmp_path):
    small = Plan(root / "configs/study/small.toml", tmp_path)
    assert small.settings["train"]["steps"] == 40 and small.settings["train"]["batch_size"] == 16
    assert small.settings["poly"]["skills"] == 8 and len(small.config_texts()) == 3


def test_what_is_not_at_hand_is_left_out_and_named(plan):
    assert [stage.name for stage in study_stages.stages(plan)] == ["tasks"]
    assert "pool of 2: 0 training tasks are at hand" in plan.short()
    put(plan, "train/ii_sum", "train/fv_antonym", "eval_bbh/bbh_navigate")
    stages = {stage.name: stage for stage in study_stages.stages(plan)}
    assert plan.pool(2) == ["shared/train/fv_antonym", "shared/train/ii_sum"] and plan.pool(4) is None
    assert {"pool of 4: 2 training tasks are at hand", "held-out set bbh: 9 of 10 tasks are not at hand"} <= set(plan.short())
    assert "adapt" not in stages and "experts-held-out" not in stages  # BBH alone is left, which nothing is trained on
    assert not any(name.endswith("pool-4") for name in stages)
    assert stages["eval-pool-2-held-out"].about["sets"] == {"bbh": ["bbh_navigate"]}


def test_stages_need_only_what_comes_before_and_train_on_no_held_out_task(plan):
    put(plan, *(f"train/{name}" for name in ("ii_sum", "fv_antonym", "ii_rhymes", "ii_negation")), "eval_bbh/bbh_navigate",
        "heldout/ii_diff")
    seen, evaluated = [], ["bbh_navigate"]
    for stage in study_stages.stages(plan):
        assert set(stage.needs) <= set(seen) and stage.name not in seen
        seen.append(stage.name)
        trained = [Path(file).stem for file in stage.settings.get("data.tasks", [])]
        assert not set(trained) & set(evaluated), stage.name
        if stage.command in ("experts", "pretrain") and stage.name != "experts-held-out":
            assert "ii_diff" not in trained
        examples = stage.settings.get("train.steps", 0) * plan.data["multitask_batch"]
        assert stage.command != "pretrain" or examples == 60 * 16 * len(trained)  # as many of each task as an expert sees
    assert "experts-held-out" in seen and "eval-pool-4-held-in" in seen


def test_task_files_are_trimmed_and_get_choices_and_a_prompt(plan):
    rows = [{"canary": "not a row"}, *({"split": split, "input": f"{i}", "output": "yes" if i % 2 else "no"}
                                       for split in ("test", "validation", "train") for i in range(400))]
    put(plan, "train/ii_sum", "train/fv_antonym", rows=rows)
    (plan.path.parent / "data/tasks.json").write_text(json.dumps([{"task": "ii_sum", "definition": "Add \"it\".", "category": "sums"}]))
    study_tasks.make_tasks(plan)
    made = [json.loads(text) for text in (plan.folder / "tasks/ii_sum.jsonl").read_text().splitlines()]
    assert [sum(row["split"] == split for row in made) for split in ("train", "validation", "test")] == list(plan.data["rows"].values())
    assert made[0]["choices"] == ["no", "yes"] and len({row["id"] for row in made}) == len(made)
    assert (plan.folder / "tasks/ii_sum.toml").read_text() == (
        'definition = "Add \\"it\\"."\nprompt = "{definition}\\n{input}\\n"\nmetric = "accuracy"\ncategory = "sums"\n')
    assert json.loads((plan.folder / "tasks/made.json").read_text()) == ["shared/train/fv_antonym", "shared/train/ii_sum"]


def comparison(question, other, verdict, measure="nll", pool=10, name="held-in", **more):
    return {"question": question, "kind": "pool", "pool": pool, "seed": 0, "set": name, "method": "phatgoose, k 2", "other": other,
            "measure": measure, "estimate": -0.0004, "rows": [-0.3, 0.2], "tasks": None, "n_tasks": 6, "n_rows": 60,
            "verdict": verdict} | more


def answers():
    scores = [{"kind": "pool", "pool": pool, "seed": 0, "set": name, "method": method, "nll": 2 - pool / 100, "right": right,
               "n_tasks": 6, "n_rows": 60} for pool in (10, 20) for name in ("held-in", "held-in, first tasks", "akin")
              for method, right in (("phatgoose, k 2", 50.0), ("merged", None))]
    windows = [{"first": 3 * i, "last": 3 * i + 3, "estimate": 0.1 * i, "interval": [0.1 * i - 0.1, 0.1 * i + 0.1], "n": 4} for i in range(3)]
    runs = [{"run": m, "method": m, "combine": "sum", "windows": windows, "estimate": 0.1, "interval": [0, 0.2], "n": 3} for m in ("mhr", "shared")]
    return {"about": {"machine": {"processor": "P", "flags": [], "cores": 2, "memory_gb": 24}, "program": "gaggle 0.1", "commits": ["c"],
                      "plan": "plan.toml", "base": "b", "ranks": 2, "resamples": 100, "pools": [10, 20], "train": ["t"], "held_out": {"akin": ["u"]},
                      "few_shot": ["v"], "rows": {"train": 3}, "seconds": {"tasks": 1800, "adapt": 5400}},
            "scores": scores, "missing": ["eval-x: not run"],
            "comparisons": [comparison("routing", "merging", "worse", pool=20),
                            comparison("routing", "merging", "open", "right", pool=20, estimate=2.5, tasks=[-1, 6]),
                            comparison("routing", "merging", "better", pool=10),
                            comparison("routing", "experts by lot", "better here", pool=20, name="akin"),
                            comparison("calibration", "the same without", "worse", method="arrow, k 2, calibrate=stats")],
            "alignment": {"runs": runs, "differences": [{"method": "mhr", "combine": "sum", "other": "shared", "other_combine": "sum",
                                                         "estimate": 0.0, "interval": [-1, 1], "n": 3, "verdict": "open"}]},
            "few_shot": {"scores": [{"method": m, "shots": s, "n_tasks": 2, "nll": 1.0, "right": 40.0}
                                    for m, s in (("base", 0), ("z", 8), ("z", 32))],
                         "comparisons": [comparison("", "lora", "worse", method="z", shots=8)]}}


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]


def test_a_comparison_is_one_line_of_both_measures():
    table = study_tables.routing(answers())
    assert table.startswith("Pool of 20, seed 0") and "**held-in: 6 tasks, 60 rows**" in table
    assert ["merging", "+0.000", "[-0.300, +0.200]", "-", "worse", "+2.5", "[-0.3, +0.2]", "[-1.0, +6.0]", "open"] in cells(table)
    assert ["experts by lot", "+0.000", "[-0.300, +0.200]", "-", "better here", "-", "-", "-", "-"] in cells(table)


def test_claims_are_told_of_the_largest_pool_also_where_they_fail():
    table = cells(study_claims.table(answers(), study_tables.markdown))
    assert ["PHATGOOSE", "per-token routing by gates beats merging", "held-in, pool of 20", "no, the other way round", "not shown"] in table
    assert ["against arXiv 2602.12323", "routing by content beats experts by lot", "akin, pool of 20", "yes, on these tasks", "-"] in table
    assert ["gaggle", "arrow gains from calibration by stats where ranks and scales are mixed", "held-in, pool of 10", "no, the other way round",
            "-"] in table
    assert ["MHR", "a routing row alone beats a LoRA from scratch", "8 shots", "no, the other way round", "-"] in table
    assert ["MHR", "gradients agree more under MHR than under one LoRA", "3 windows", "not shown", "-"] in table
    assert not [row for row in table if "Poly" in row[1] or row[0] == "UPGrad"]  # what did not run is left out


def test_the_page_is_filled_between_its_markers_and_held_against_the_json(tmp_path, root):
    pytest.importorskip("matplotlib")
    study_page.write(answers(), tmp_path)

    def check():
        return subprocess.run([sys.executable, STUDY / "study_page.py", "--check", "--root", tmp_path], capture_output=True, text=True)
    text, drawn = (tmp_path / "STUDY.md").read_text(), {path.name: path.read_bytes() for path in (tmp_path / "docs/study").glob("*.svg")}
    assert set(drawn) == {"against.svg", "sizes.svg", "alignment.svg", "few_shot.svg"} and all(f"docs/study/{name}" in text for name in drawn)
    assert "- time: 2 stages, 2.0 hours in the last start of each" in text and "- eval-x: not run" in text and "| phatgoose, k 2 | 1.900 (50.0 %)" in text
    assert "<!-- bias -->\nNot run yet.\n<!-- /bias -->" in text
    assert check().returncode == 0
    study_page.write(answers(), tmp_path)
    assert drawn == {path.name: path.read_bytes() for path in (tmp_path / "docs/study").glob("*.svg")}
    (tmp_path / "STUDY.md").write_text(text.replace("1.900", "1.899"))
    assert "not what docs/study/answers.json gives" in check().stderr
    little = answers() | {"comparisons": [], "scores": [], "alignment": {"runs": [], "differences": []},
                          "few_shot": {"scores": [], "comparisons": []}}
    study_page.write(little, tmp_path)
    assert not list((tmp_path / "docs/study").glob("*.svg")) and "Not run yet." in (tmp_path / "STUDY.md").read_text()


def test_the_page_here_is_what_the_json_here_gives():
    done = subprocess.run([sys.executable, STUDY / "study_page.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
