"""tools/study's sample: all stages on a tiny base; a kill, a stop and further starts make what one undisturbed start makes."""
import json
import os
import signal
import subprocess
import sys

import pytest
from workshop import wait_for

STAGES = 26


def command(root, gaggle, folder, *words):
    return [sys.executable, str(root / "tools/study/run.py"), "--sample", "--folder", str(folder), "--gaggle", str(gaggle), *words]


def environment():
    return os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def start(root, gaggle, folder, *words):
    return subprocess.Popen(command(root, gaggle, folder, *words), env=environment(), text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


def finish(job, expect=0):
    said = job.communicate(timeout=600)[0]
    assert job.returncode == expect, said
    return said


def left(folder):
    """What the stages have left behind: their logs and records."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for name in ("logs", "stages") for path in (folder / name).glob("*")}


def finished(folder, before=None):
    """Records of stages that are done, and their logs; of those in `before`, if it is given."""
    return {path: what for path, what in left(folder).items() if (folder / "stages" / f"{path.stem}.json").exists()
            and (before is None or path in before)}


@pytest.fixture(scope="module")
def study(root, gaggle, tmp_path_factory):
    """The sample, whose first start is killed in the middle of a stage and whose second is asked to stop in another."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("study")
    killed = start(root, gaggle, folder)
    wait_for(lambda: any((folder / "runs/pool-2-held-in/eval/items").glob("*.json")) or killed.poll() is not None, seconds=300)
    assert killed.poll() is None
    before = finished(folder)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    stopped = start(root, gaggle, folder)
    wait_for(lambda: (folder / "logs/pretrain-mhr-upgrad.log").exists() or stopped.poll() is not None, seconds=300)
    stopped.send_signal(signal.SIGTERM)
    said = finish(stopped, expect=75)
    assert "stopped; start again to go on" in said and not (folder / "page").exists()
    assert finished(folder, before) == before  # nothing that was done is done again
    before = finished(folder)
    done = {path: what for path, what in before.items() if json.loads((folder / f"stages/{path.stem}.json").read_text())["code"] == 0}
    said = finish(start(root, gaggle, folder))
    assert f"{STAGES} of {STAGES} stages are done" in said
    assert finished(folder, done) == done
    return folder


def answers(folder):
    return json.loads((folder / "page/docs/study/answers.json").read_text())


def test_every_question_has_answers_and_intervals_hold_their_estimates(study):
    found = answers(study)
    comparisons = found["comparisons"] + found["few_shot"]["comparisons"]
    assert {c["question"] for c in found["comparisons"]} == {"routing", "own left out", "by token", "k", "rules", "calibration", "bias"}
    for c in comparisons:
        for low, high in filter(None, (c["rows"], c["tasks"])):
            assert low - 1e-9 <= c["estimate"] <= high + 1e-9, c
    assert {c["set"] for c in found["comparisons"]} == {"held-in", "other"}
    assert {c["n_tasks"] for c in found["comparisons"] if c["set"] == "held-in"} == {2} and not found["missing"]
    assert any(c["rows"][0] < c["rows"][1] for c in comparisons if c["rows"])
    runs = found["alignment"]["runs"]
    assert {(run["method"], run["combine"]) for run in runs} == {(m, c) for m in ("shared", "poly", "mhr") for c in ("sum", "upgrad")}
    for run in runs:
        assert run["interval"][0] <= run["estimate"] <= run["interval"][1] and run["n"] >= 2
    assert {(s["method"], s["shots"]) for s in found["few_shot"]["scores"]} == {
        ("base", 0), *((m, s) for m in ("full", "z", "mu", "lora") for s in (4, 8))}


def test_scores_are_those_of_the_program(study):
    by_eval = json.loads((study / "runs/pool-2-held-in/eval/results.json").read_text())
    rows = [json.loads(line) for line in (study / "runs/pool-2-held-in/eval/predictions.jsonl").read_text().splitlines()]
    assert by_eval["collection"] == "pool-2@v0001"
    for method, shown in (("none", "none"), ("phatgoose top_k=1", "phatgoose, k 1"), ("shared:shared-2", "one LoRA of all tasks")):
        of = [sum(r["target_nll"] for r in task) / sum(r["target_tokens"] for r in task) for task in (
            [r for r in rows if (r["method"], r["task"]) == (method, name)] for name in ("copy", "first"))]
        (score,) = [s for s in answers(study)["scores"] if (s["kind"], s["seed"], s["set"], s["method"]) == ("pool", 0, "held-in", shown)]
        assert score["nll"] == pytest.approx(sum(of) / 2) and score["n_rows"] == 8


def test_another_start_does_nothing_and_makes_the_same_page(study, root, gaggle):
    before, page = left(study), {path: path.read_bytes() for path in (study / "page").rglob("*.*")}
    said = finish(start(root, gaggle, study))
    assert left(study) == before and page == {path: path.read_bytes() for path in (study / "page").rglob("*.*")}
    assert "experts" not in said and f"{STAGES} of {STAGES} stages are done" in said
    assert finish(start(root, gaggle, study, "--status")).count("done") == STAGES


def test_the_page_has_its_tables(study, root):
    text = (study / "page/STUDY.md").read_text()
    assert text.count("Not run yet.") == 1 and "<!-- size -->\nNot run yet." in text  # one pool has no other to be held against
    for heading in ("| against ", "| method ", "| who says ", "| inventory "):
        assert heading in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") and line.count("|") > 3 for line in lines) and len(lines) > 100
    done = subprocess.run([sys.executable, root / "tools/study/study_page.py", "--check", "--root", study / "page"])
    assert done.returncode == 0


def test_an_undisturbed_start_makes_the_same_predictions(study, root, gaggle, tmp_path):
    finish(start(root, gaggle, tmp_path, "--only", "tasks,experts-pool-2,experts-held-out,pretrain-shared-2,prepare-pool-2"))
    said = finish(start(root, gaggle, tmp_path, "--only", "eval-pool-2-held-in"))
    assert "eval-pool-2-held-in" in said and len(answers(tmp_path)["missing"]) > 10
    file = "runs/pool-2-held-in/eval/predictions.jsonl"
    assert (tmp_path / file).read_bytes() == (study / file).read_bytes()


def test_a_stage_that_fails_is_named_and_what_needs_it_is_passed_over(root, gaggle, tmp_path):
    broken = tmp_path / "gaggle"
    broken.write_text(f'#!/bin/sh\ncase $1 in pretrain) echo no luck >&2; exit 1 ;; esac\nexec {gaggle} "$@"\n')
    broken.chmod(0o755)
    folder = tmp_path / "study"
    said = finish(start(root, broken, folder, "--only", "tasks,pretrain-shared-2,adapt"), expect=1)
    assert f"pretrain-shared-2: ended with 1; its last words are in {folder}/logs/pretrain-shared-2.log" in said
    assert "adapt: passed over, for pretrain-mhr-sum is not done" in said
    assert "no luck" in (folder / "logs/pretrain-shared-2.log").read_text()
    assert {"pretrain-shared-2: ended with exit code 1", "adapt: waits for pretrain-mhr-sum"} <= set(answers(folder)["missing"])
    assert "<!-- routing -->\nNot run yet." in (folder / "page/STUDY.md").read_text()
