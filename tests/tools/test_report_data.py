"""What gaggle report finds and reads, without a browser: whose numbers are whose, what lies where, what there is room for."""
import json
import sys
from pathlib import Path

import pytest
from report_worlds import journal_line
from workshop import write_json, write_lines

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "report"))
from report_find import find  # noqa: E402
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
