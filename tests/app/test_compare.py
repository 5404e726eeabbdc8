"""gaggle compare: evaluations written here by hand, differences against numpy's."""
import json
import subprocess

import numpy as np
import pytest

from workshop import write_json, write_lines

TASKS = {"copy": ("exact_match", True), "first": ("exact_match", True), "far": ("f1", False)}


def evaluation(folder, methods, seed, pin="all@v0001", better=0.0, leave_out=(), ending=""):
    """Twelve rows a task; `better` nats a row below what the seed gives. Returns (method, task, id) → (nll, tokens, score)."""
    draw, rows, lines = np.random.default_rng(7), {}, []
    own = np.random.default_rng(seed)
    for task, (metric, _) in TASKS.items():
        for i in range(12):
            tokens, hard = int(draw.integers(1, 6)), draw.random()
            for method in methods:
                nll = float(tokens * (2 + hard) + own.normal() / 10 - better)
                score = float(own.random() < 0.5) if metric == "exact_match" else float(own.random())
                if (task, i) in leave_out:
                    continue
                rows[method, task, f"{task}-{i}"] = (nll, tokens, score)
                lines.append({"task": task, "id": f"{task}-{i}", "method": method, "target_nll": nll, "target_tokens": tokens, "score": score})
    about = {task: {"metric": metric, "held_in": held_in} for task, (metric, held_in) in TASKS.items()}
    write_json(folder / f"eval/results{ending}.json",
               {"format": 1, "collection": pin, "base": {"name": "tiny", "content": "c"}, "experts": ["copy", "first"], "tasks": about,
                "methods": {method: {} for method in methods}})
    write_lines(folder / f"eval/predictions{ending}.jsonl", lines)
    return rows


@pytest.fixture
def said(gaggle, tmp_path):
    def run(*words, expect=0):
        done = subprocess.run([gaggle, "compare", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == expect, done.stderr
        return done
    return run


def tables(done):
    return {table["table"]: {line[table["table"]]: line for line in table["rows"]} for table in json.loads(done.stdout)}


def test_differences_are_those_of_the_rows_that_both_have(said, tmp_path):
    a = evaluation(tmp_path / "a", ["none", "phatgoose", "arrow"], 1)
    b = evaluation(tmp_path / "b", ["phatgoose", "none", "merged"], 2, pin="all@v0002", better=0.5, leave_out={("copy", 3)})
    done = said("a", "b", "--by-task", "--format", "json")
    for words in ("methods of A alone: arrow", "methods of B alone: merged", "(all@v0002 on tiny)", "1 example of one of them alone is left out"):
        assert words in done.stderr
    found = tables(done)
    assert set(found) == {"held-in NLL/token", "held-in right %", "held-out NLL/token", "held-out score %",
                          *(f"{method} {what}" for method in ("none", "phatgoose") for what in ("NLL/token", "score %"))}
    apart = {}
    for task in TASKS:
        pairs = [(a[key], b[key]) for key in b if key[:2] == ("phatgoose", task)]
        tokens = np.array([x[1] for x, _ in pairs])
        apart[task] = sum(y[0] - x[0] for x, y in pairs) / tokens.sum()
        left = np.array([y[0] - x[0] for x, y in pairs]) - apart[task] * tokens
        line = found["phatgoose NLL/token"][task]
        assert line["B - A"] == pytest.approx(apart[task], abs=1e-3) and line["examples"] == len(pairs) == (11 if task == "copy" else 12)
        t = {11: 2.228, 12: 2.201}[len(pairs)]  # Student's 97.5 % point
        half = t * np.sqrt(len(pairs) / (len(pairs) - 1) * (left**2).sum()) / tokens.sum()
        assert line["high"] - line["low"] == pytest.approx(2 * half, abs=2e-3)
    mean = found["held-in NLL/token"]["phatgoose"]
    assert mean["B - A"] == pytest.approx((apart["copy"] + apart["first"]) / 2, abs=1e-3)
    assert mean["says"] == "B better" and mean["B better on"] == "2 of 2 tasks" and mean["high"] < 0


def test_the_methods_of_one_are_compared_with_one_of_them(said, tmp_path):
    rows = evaluation(tmp_path / "a", ["none", "phatgoose"], 1)
    line = tables(said("a/eval/results.json", "--format", "json"))["held-in NLL/token"]
    assert list(line) == ["none"]
    other = tables(said("a", "--against", "none", "--format", "json"))["held-in NLL/token"]["phatgoose"]
    assert other["B - A"] == -line["none"]["B - A"] and other["low"] == -line["none"]["high"]
    assert len(rows) == 72 and "glossary" in said("a").stdout


def test_equal_evaluations_leave_everything_open(said, tmp_path):
    for name in "ab":
        evaluation(tmp_path / name, ["phatgoose"], 1)
    line = tables(said("a", "b", "--format", "json"))["held-in right %"]["phatgoose"]
    assert line["B - A"] == 0 and line["low"] < 0 < line["high"] and line["says"] == "open" and line["B better on"] == "0 of 2 tasks"


MISTAKES = {
    "nothing": (["nowhere"], ["nowhere", "results.json"]),
    "several": (["two"], ["name one of results-x.json, results.json"]),
    "torn": (["torn"], ["torn/results.json", "not the results of an evaluation"]),
    "no predictions": (["alone"], ["alone/predictions.jsonl: is not there"]),
    "no method in common": (["a", "c"], ["no method in common", "phatgoose"]),
    "unknown method": (["a", "--against", "phatgose"], ["--against phatgose", "did you mean phatgoose"]),
    "two and --against": (["a", "a", "--against", "none"], ["--against is for the methods of one"]),
    "three": (["a", "a", "a"], ["two evaluations are compared"]),
}


def test_every_mistake_gets_a_sentence(said, tmp_path):
    evaluation(tmp_path / "a", ["none", "phatgoose"], 1)
    evaluation(tmp_path / "c", ["arrow"], 1)
    evaluation(tmp_path / "two", ["none"], 1)
    evaluation(tmp_path / "two", ["none"], 1, ending="-x")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/results.json").write_text('{"methods": ')
    write_json(tmp_path / "alone/results.json", json.loads((tmp_path / "a/eval/results.json").read_text()))
    for what, (words, parts) in MISTAKES.items():
        error = said(*words, expect=2).stderr
        assert all(part in error for part in parts) and len(error.splitlines()) == 1, (what, error)
