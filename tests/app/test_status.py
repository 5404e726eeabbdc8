"""gaggle status: what it says of runs that are over, running, killed, and of items set aside; it writes nothing."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from workshop import Workshop


def status(shop, path="registry", *words):
    return shop.run("status", path, *words).stdout


def states(shop, path="registry"):
    (section,) = json.loads(status(shop, path, "--json"))
    return {item["name"]: item for item in section["items"]}, section


def tree(folder):
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def test_a_finished_run_from_its_registry_and_its_folder(trained):
    before = tree(trained.folder)
    text = status(trained)
    assert "4 items, 4 done, 0 running, 0 held by workers that look dead, 0 open, 0 set aside" in text
    assert re.search(r"last done   \w+ at \d{4}-\d\d-\d\dT", text) and "left " not in text
    items, _ = states(trained)
    assert {name: item["state"] for name, item in items.items()} == dict.fromkeys(["copy", "reverse", "first", "vowel"], "done")
    assert all(item["version"] == "v0001" for item in items.values())
    assert status(trained, "runs/tiny").replace(str(trained.folder) + "/", "").endswith(text)
    assert trained.run("status", "registry", "--watch").stdout == text  # all is done: it leaves
    assert tree(trained.folder) == before


def test_running_then_killed_then_over(workshop):
    long = ["--train.steps=100000", "--checkpoint.every=50"]
    run = workshop.start("experts", "tiny.toml", *long)
    try:
        def at_work():
            if not (workshop.folder / "registry" / "registry.json").exists():
                return None
            items, section = states(workshop)
            return next(((item, section) for item in items.values()
                         if item["state"] == "running" and item["step"] > 60), None)
        item, section = wait_until(at_work)
        assert item["phase"] == "lora" and item["steps"] == 100000 and item["rank"] == 0
        assert item["worker"].endswith(f"-{run.pid}") and item["host"] and item["loss"] > 0 and item["tokens_per_s"] > 0
        assert section["workers"] == 1 and section["seconds_left"] > 0 and item["seconds"] > 0
        text = status(workshop, "runs/tiny")
        assert "4 items, 0 done, 1 running, 0 held by workers that look dead, 3 open, 0 set aside" in text
        assert re.search(rf"{item['name']} +{item['worker']} .* lora +\d+/100000 .* running", text)
        assert "with 1 worker\n" in text and text.count("open ") >= 1
    finally:
        run.send_signal(signal.SIGKILL)
        run.communicate()
    before = tree(workshop.folder)
    text = status(workshop)
    assert "0 running, 1 held by workers that look dead, 3 open" in text and "looks dead" in text
    assert "nobody works on what is open" in text
    assert tree(workshop.folder) == before
    # A job of other items: the list of the newest is shown.
    workshop.experts()
    assert "4 items, 4 done" in status(workshop)


def test_set_aside_with_the_reason_on_a_read_only_folder(workshop):
    workshop.experts("--train.lr=1e30", expect=3)
    registry = workshop.folder / "registry"
    modes = {path: path.stat().st_mode for path in [registry, *registry.rglob("*")] if path.is_dir()}
    for path in modes:
        os.chmod(path, 0o555)
    try:
        items, _ = states(workshop)
        text = status(workshop)
    finally:
        for path, mode in modes.items():
            os.chmod(path, mode)
    assert {item["state"] for item in items.values()} == {"set aside"}
    assert all("not finite" in item["reason"] for item in items.values())
    assert re.search(r"set aside   copy: .*not finite", text)


def test_pretraining_and_evaluation_by_their_run_folder(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "shop")
    shop = Workshop(tmp_path / "shop", trained.gaggle)
    shop.run("eval", "tiny.toml")
    text = status(shop, "runs/tiny")
    assert re.search(r"evaluation in .*runs/tiny/eval: (\d+) items, \1 done", text) and "experts in" in text
    shop.run("pretrain", "tiny.toml", "--run.name=poly", "--train.steps=4")
    (section,) = json.loads(status(shop, "runs/poly", "--json"))
    assert section["what"] == "pretraining"
    done = [("poly", "done", "v0001")]
    assert [(item["name"], item["state"], item["version"]) for item in section["items"]] == done
    # Killed behind its commit: no line of a journal tells of it.
    (journal,) = (shop.folder / "runs/poly/work/journal").glob("*.jsonl")
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"committed"' not in line))
    (section,) = json.loads(status(shop, "runs/poly", "--json"))
    assert [(item["name"], item["state"], item["version"]) for item in section["items"]] == done


def test_what_is_neither(workshop):
    error = workshop.run("status", "tasks", expect=2).stderr
    assert "tasks: neither a registry nor a run folder in which something was started" in error
    assert "no such folder" in workshop.run("status", "nowhere", expect=2).stderr
    assert "takes no keys of the config" in workshop.run("status", "tasks", "--run.name=x", expect=2).stderr


@pytest.mark.parametrize("given, spins", [({}, 1000), ({"GOMP_SPINCOUNT": "7"}, 7), ({"OMP_WAIT_POLICY": "active"}, None)])
def test_threads_that_wait_sleep_soon_unless_the_user_says_how(build, given, spins):
    environment = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([build / "gaggle", "--version"], env=environment | {"OMP_DISPLAY_ENV": "verbose"} | given,
                          capture_output=True, text=True, check=True)
    said = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    assert done.stdout.startswith("gaggle ")
    assert said != ["1000"] if spins is None else said == [str(spins)]
