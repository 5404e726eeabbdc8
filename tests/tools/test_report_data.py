"""What gaggle report finds and reads, without a browser: whose numbers are whose, what lies where, what there is room for."""
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from report_worlds import journal_line
from workshop import write_json, write_lines

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "tools" / "report"), str(Path(__file__).resolve().parents[2] / "tools")]
import report  # noqa: E402
from report_find import find  # noqa: E402
from report_intervals import of_mean, of_share, over_tasks, student  # noqa: E402
from report_room import Room  # noqa: E402
from report_subjects import subjects_of  # noqa: E402


def write_run(folder, registry, rank, items=("a",), steps=4):
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f'[run]\nname = "{folder.name}"\nseed = 0\n[registry]\npath = "{registry}"\n'
                                        f"[lora]\nrank = {rank}\n[train]\nsteps = 0\nbatch_size = 8\n")
    for item in items:
        write_lines(folder / "items" / item / "metrics.jsonl",
                    [{"phase": "lora", "step": step, "loss": 2.0, "seconds": 1, "tokens_per_s": 5} for step in range(1, steps + 1)])


def write_version(registry, name, version, key, rank, loss):
    recipe = {"run": {"seed": 0}, "lora": {"rank": rank}, "train": {"steps": 40, "batch_size": 8}}
    write_json(registry / "experts" / name / version / "expert.json", {
        "name": name, "key": key, "origin": "trained", "task": name, "lora": {"rank": rank}, "recipe": recipe,
        "metrics": {"validation_loss": loss}})


def write_journal(folder, worker, items, utc, lines):
    begin = {"kind": "started", "job": worker, "items": items, "host": "elsewhere", "pid": 1, "worker": worker, "rank": 0,
             "utc": utc, "seconds": 0}
    write_lines(folder / "work" / "journal" / f"{worker}.jsonl", [begin, *lines, {"kind": "finished", "seconds": 90}])


def write_list(folder, digest, keys, **more):
    write_json(folder / "work" / "jobs" / f"{digest}.json", {"items": [{"key": key, "name": key[0], "seconds": 1} | more.get(key, {})
                                                                       for key in keys]})


def section(subject, draw):
    return next(of for of in subject["sections"] if of["draw"] == draw)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Two runs of one name over one registry: rank 4 first of ten steps' rate, then another; rank 8, as a pack, after it."""
    folder = tmp_path_factory.mktemp("shared")
    registry = folder / "registry"
    write_json(registry / "registry.json", {"format": 2})
    write_run(folder / "one" / "tiny", registry, 4)
    write_run(folder / "two" / "tiny", registry, 8)
    write_version(registry, "a", "v0001", "a4", 4, 1.25)
    write_version(registry, "a", "v0002", "a8", 8, 0.75)
    write_list(registry, "old", ["x", "y", "z", "b-old", "a-old"])
    write_list(registry, "four", ["a4", "b4", "c4"])
    write_list(registry, "eight", ["a+", "d8"], **{"a+": {"parts": [["a8", "a"], ["b8", "b"]]}})
    taken = lambda *ends: [journal_line(kind, key[0], key, at) for at, (kind, key) in enumerate(ends, 1)]  # noqa: E731
    write_journal(registry, "w0", "old", "2026-01-01T00:00:00Z", taken(("taken", "a-old"), ("failed", "a-old")))
    write_journal(registry, "w1", "four", "2026-01-02T00:00:00Z", taken(("taken", "a4"), ("committed", "a4"), ("taken", "b4")))
    write_journal(registry, "w2", "eight", "2026-01-03T00:00:00Z", taken(("taken", "a+"), ("committed", "a+")))
    return folder


def test_a_run_counts_the_items_of_its_own_newest_list(shared):
    """Of items that no worker has begun too; a pack counts its experts; those of an older config are no longer open."""
    one, two, registry = subjects_of(find([shared]))
    counts = [{key: section(of, "work")["places"][0][key] for key in ("done", "items", "open")} for of in (one, two, registry)]
    assert counts == [{"done": 1, "items": 3, "open": 2}, {"done": 2, "items": 3, "open": 1}, {"done": 2, "items": 3, "open": 1}]
    assert one["lines"][1].startswith("Experts: 1 of 3 done") and one["state"] == "unfinished"
    assert [worker["name"] for worker in section(one, "work")["places"][0]["workers"]] == ["w1"]


def test_two_runs_over_one_registry_show_what_each_has_made(shared):
    one, two, registry = subjects_of(find([shared]))
    assert [one["name"], two["name"], registry["name"]] == ["tiny in one", "tiny in two", "registry"]
    rows = [section(of, "table")["rows"][0] for of in (one, two, registry)]
    assert [[row[1], row[4], row[6]] for row in rows] == [["v0001", 4, 1.25], ["v0002", 8, 0.75], ["v0002", 8, 0.75]]


def test_runs_below_a_project_are_found_whatever_names_they_have(tmp_path):
    """The project's own config may have a run's name; runs and registries may have names of folders that are not looked into."""
    (tmp_path / "config.toml").write_text('[run]\nname = "mine"\n')
    write_run(tmp_path / "runs" / "build", tmp_path / "work", 4)
    write_json(tmp_path / "work" / "registry.json", {"format": 2})
    write_run(tmp_path / "build" / "made" / "by-others", tmp_path / "work", 4)
    found = lambda path: [(kind, str(place.relative_to(tmp_path))) for kind, place in find([path])]  # noqa: E731
    assert found(tmp_path) == [("run", "runs/build"), ("registry", "work")]
    assert found(tmp_path / "runs" / "build") == [("run", "runs/build")]
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.toml").write_text('[run]\nname = "begun"\n')
    assert found(tmp_path / "begun") == [("run", "begun")]


def test_equal_names_are_told_apart(tmp_path):
    """Runs and registries by their folders, files of one evaluation by their names, their sections by what they are of."""
    for folder in (tmp_path / "p" / "tiny", tmp_path / "p" / "old" / "tiny"):
        write_run(folder, tmp_path / "p" / "registry", 4)
    for folder in (tmp_path / "p" / "registry", tmp_path / "p" / "x" / "registry"):
        write_json(folder / "registry.json", {"format": 2})
    results = {"format": 1, "collection": "all@v0001", "experts": [], "tasks": {}, "methods": {}}
    for name in ("results.json", "results-all@v0001-12345678.json"):
        write_json(tmp_path / "p" / "tiny" / "eval" / name, results)
    subjects = subjects_of(find([tmp_path / "p", *sorted((tmp_path / "p" / "tiny" / "eval").glob("*.json"))]))
    assert [(of["kind"], of["name"]) for of in subjects] == [
        ("run", "tiny in p/old"), ("run", "tiny in p"), ("evaluation", "tiny/eval/results-all@v0001-12345678.json"),
        ("evaluation", "tiny/eval"), ("registry", "registry in p"), ("registry", "registry in p/x")]
    links = [[section["link"] for section in of["sections"] if section["draw"] == "results"]
             for of in subjects[1:2]]
    assert links == [["Results all@v0001 results-all@v0001-12345678.json", "Results all@v0001 results.json"]]


def test_a_map_by_weights_of_many_ranks_is_that_of_analysis_json(tmp_path):
    names, run, registry = ["a", "b", "c"], tmp_path / "many", tmp_path / "registry"
    write_json(registry / "registry.json", {"format": 2})
    write_run(run, registry, 500, names)
    for name in names:
        write_version(registry, name, "v0001", name, 500, 1)
    analysis = {"format": 1, "experts": ["c", "b", "a"], "tasks": [], "methods": {}, "gate_similarity": []}
    write_json(run / "eval" / "analysis.json", {**analysis, "lora_similarity": [[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]]})
    of = section(subjects_of(find([run]))[0], "map")
    assert list(of["maps"]) == ["weights, by gaggle analyse"] and not of["no_weights"]
    x, y = (of["maps"]["weights, by gaggle analyse"][axis] for axis in "xy")
    apart = lambda i, j: (x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2  # noqa: E731
    assert apart(1, 2) == pytest.approx(2 - 2 * 0.9, abs=1e-3) and apart(0, 1) == pytest.approx(2, abs=1e-3)


def test_texts_are_cut_evenly_to_what_a_page_has_room_for(tmp_path):
    """Short ones stay whole, long ones end alike and say how much more there is, in all evaluations together."""
    tasks, methods, long, short = ["a", "b"], ["none", "merged"], "<é" * 5000, "yes"
    for name in ("one", "two"):
        scores = {"tasks": {task: {"examples": 3, "nll_per_token": 1, "score": 1} for task in tasks}}
        write_json(tmp_path / name / "results.json", {
            "format": 1, "collection": "", "experts": [], "tasks": {task: {"metric": "f1", "held_in": True} for task in tasks},
            "methods": {method: scores for method in methods}})
        write_lines(tmp_path / name / "predictions.jsonl", [
            {"task": task, "id": i, "method": method, "target": long, "prediction": short if method == "none" else long, "score": 1,
             "target_nll": 1, "target_tokens": 1} for task in tasks for method in methods for i in range(3)])

    def texts(room):
        sections = [section(of, "results") for of in subjects_of(find([tmp_path]), room)]
        rows = [row for of in sections for task in tasks for row in of["rows"][task]["rows"]]
        return [of["cut"] for of in sections], [[row["target"], *(answer[0] for answer in row["answers"])] for row in rows]

    (cut, same), found = texts(Room(text=20_000))
    assert cut == same and 20 < cut < 400 and len(found) == 12
    whole = f"{long[:cut]} … ({10_000 - cut:,} more characters)"
    assert all(row == [whole, short, whole] for row in found)
    assert 0.9 * 20_000 < sum(len(text[:cut].replace("<", "\\u003c").encode()) for row in found for text in row) <= 20_000
    assert texts(Room())[0] == [None, None]


def test_what_would_be_too_large_a_page_is_thinned(tmp_path, monkeypatch):
    write_run(tmp_path / "run", tmp_path, 4, ("a", "b"), steps=300)
    places, room = find([tmp_path]), Room(points=600)
    whole, _ = report.page_of(places, room)
    monkeypatch.setattr(report, "MOST_BYTES", len(whole) - 1)
    smaller, count = report.page_of(places, room)
    assert count == 1 and len(smaller) < len(whole)
    assert b'"points":null' in whole and b'"points":150' in smaller


def test_a_task_counts_when_all_of_its_items_are_done(tmp_path):
    """A long task is several items of one name; what is not finite is nothing, as in results.json; analyses are no items of it."""
    example = {"id": "1", "nll": [2.0, 4.0], "tokens": [1, 2], "choices": ["no", "yes"], "choice_scores": [2.0, 2.0], "target": 1,
               "target_text": "yes", "prediction": "yes", "predicted": True, "score": 1.0}
    items = {"k1": ("none · long", 0, example), "k2": ("none · long", 1000, None), "k3": ("none · short", 0, example),
             "k4": ("merged · short", 0, example | {"nll": [2.0, None]})}
    for key, (name, first, of) in items.items():
        if of:
            write_json(tmp_path / "eval/items" / f"{key}.json", {"format": 1, "method": "?", "task": name.split(" · ")[1], "split": "test",
                                                                 "first": first, "examples": [of]})
    write_json(tmp_path / "eval/work/jobs/a.json", {"items": [{"key": key, "name": name} for key, (name, _, _) in items.items()]})
    write_json(tmp_path / "eval/work/jobs/b.json", {"items": [{"key": "s", "name": "similarity of experts"}]})
    write_journal(tmp_path / "eval", "w1", "a", "2026-01-01T00:00:00Z", [])
    write_journal(tmp_path / "eval", "w2", "b", "2026-01-02T00:00:00Z", [])
    of = section(subjects_of(find([tmp_path]))[0], "results")
    assert of["so_far"] == [3, 4] and [task["name"] for task in of["tasks"]] == ["short"] and of["methods"] == ["merged", "none"]
    assert [cells[0][0] for cells in of["measures"]["nll"]["cells"]] == [None, 2.0]
    assert [cells[0][0] for cells in of["measures"]["score"]["cells"]] == [None, 1.0]
    assert [answer[0] for answer in of["rows"]["short"]["rows"][0]["answers"]] == [None, "yes"] and of["tasks"][0]["metric"] == "accuracy"


def test_intervals():
    """Four tasks of 0 of 6: Wilson's limit of one is 39.0 %, of the mean of four half of it. Student's quantiles are those of
    tables. One row of losses has none."""
    zeros = [0.0, *of_share(0, 6)]
    assert zeros == pytest.approx([0, 0, 0.39033], abs=1e-4)
    assert over_tasks([zeros] * 4) == pytest.approx([0, 0, 0.19517], abs=1e-4)
    assert over_tasks([zeros, [None, None, None]]) == [None, None, None] and over_tasks([zeros, [1, None, None]]) == [0.5, None, None]
    assert [student(n) for n in (1, 2, 3, 10, 100)] == pytest.approx([12.706, 4.303, 3.182, 2.228, 1.984], rel=2e-3)
    assert of_mean(np.array([1.0, 3.0]), np.ones(2)) == pytest.approx([2 - 12.706, 2 + 12.706], rel=1e-3)
    assert of_mean(np.array([1.0]), np.ones(1)) == [None, None]
