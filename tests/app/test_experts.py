"""gaggle experts from end to end: equal bits however the work is shared, and nothing lost when a worker dies."""
import json
import os
import shutil
import signal
import time

import pytest


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_the_registry_holds_what_the_config_asked_for(trained):
    experts = {path.name for path in (trained.folder / "registry" / "experts").iterdir()}
    assert experts == {"copy", "first", "reverse", "vowel"}
    assert "0 of 4" not in trained.experts().stderr  # finished experts are skipped
    assert trained.run("registry", "verify", "--registry", "registry").returncode == 0
    version = trained.folder / "registry" / "experts" / "copy" / "v0001"
    assert {p.name for p in version.iterdir()} == {"adapter_config.json", "adapter_model.safetensors",
                                                   "gate.safetensors", "expert.json", "SHA256SUMS"}
    assert os.system(f"cd {version} && sha256sum --quiet -c SHA256SUMS") == 0


@pytest.mark.parametrize("ranks", [2, 4])
def test_mpi_ranks_make_the_bits_of_one_process(workshop, trained, ranks):
    workshop.experts(ranks=ranks)
    assert workshop.bits() == trained.bits()


def test_two_plain_processes_on_one_registry_share_the_work(workshop, trained):
    jobs = [workshop.start("experts", "tiny.toml", f"--run.name=job{i}", "--cluster.wait=true") for i in range(2)]
    for job in jobs:
        output = job.communicate(timeout=300)
        assert job.returncode == 0, output
    assert workshop.bits() == trained.bits()
    committed = [line["name"] for line in workshop.journal() if line.get("event") == "committed"]
    assert sorted(committed) == ["copy", "first", "reverse", "vowel"]


@pytest.mark.parametrize("moment", [0.2, 0.5, 0.9])
def test_kill_9_and_start_again_gives_the_undisturbed_bits(workshop, trained, moment):
    job = workshop.start("experts", "tiny.toml", "--train.steps=60", "--checkpoint.every=5")
    wait_for(lambda: list((workshop.folder / "registry").glob("work/items/*/*/*")) or job.poll() is not None)
    time.sleep(moment)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    before = [line["name"] for line in workshop.journal() if line.get("event") == "committed"]
    workshop.experts("--train.steps=60", "--checkpoint.every=5")
    committed = [line["name"] for line in workshop.journal() if line.get("event") == "committed"]
    assert sorted(committed) == ["copy", "first", "reverse", "vowel"]
    assert committed[: len(before)] == before
    workshop.run("registry", "verify", "--registry", "registry")
    shutil.move(workshop.folder / "registry", workshop.folder / "disturbed")
    workshop.experts("--train.steps=60", "--checkpoint.every=5")
    assert workshop.bits("disturbed") == workshop.bits()


def test_a_stop_request_saves_and_says_75_and_the_next_start_goes_on(workshop):
    job = workshop.start("experts", "tiny.toml", "--train.steps=400")
    wait_for(lambda: list((workshop.folder / "runs").rglob("metrics.jsonl")))
    job.send_signal(signal.SIGUSR1)
    job.communicate(timeout=60)
    assert job.returncode == 75
    workshop.experts("--train.steps=400")
    stopped = workshop.bits()
    shutil.rmtree(workshop.folder / "registry")
    workshop.experts("--train.steps=400")
    assert workshop.bits() == stopped


def test_the_stop_file_ends_the_run_with_4(workshop):
    job = workshop.start("experts", "tiny.toml", "--train.steps=4000")
    wait_for(lambda: list((workshop.folder / "runs").rglob("metrics.jsonl")))
    (workshop.folder / "runs" / "tiny" / "STOP").touch()
    job.communicate(timeout=60)
    assert job.returncode == 4
    assert "STOP" in workshop.experts(expect=4).stderr


def test_changed_settings_make_a_new_version_and_the_plan_says_why(workshop):
    workshop.experts("--data.tasks=['tasks/copy.jsonl']")
    done = workshop.experts("--data.tasks=['tasks/copy.jsonl']", "--train.lr=1e-3")
    assert "v0002" in done.stdout + done.stderr and "train.lr" in done.stdout + done.stderr
    folder = workshop.folder / "registry" / "experts" / "copy"
    assert (folder / "CURRENT").read_text().strip() == "v0002"
    assert (folder / "v0001").is_dir()


def test_dry_run_tells_the_plan_and_writes_nothing(workshop):
    done = workshop.experts("--dry-run")
    text = done.stdout + done.stderr
    for word in ["model", "lora", "gate", "data", "registry", "memory", "4 experts"]:
        assert word in text, f"{word} is not in the plan:\n{text}"
    assert not (workshop.folder / "registry").exists() and not (workshop.folder / "runs").exists()


def test_metrics_and_event_files_are_readable(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    lines = [json.loads(line) for line in
             (trained.folder / "runs" / "tiny" / "items" / "copy" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["phase"] == "lora" and "loss" in line][:3] == [1, 2, 3]
    events = EventAccumulator(str(trained.folder / "runs" / "tiny" / "tensorboard" / "copy"))
    events.Reload()
    assert len(events.Scalars("lora/loss")) == 12


def test_training_lowers_the_loss(workshop):
    workshop.experts("--train.steps=60", "--data.tasks=['tasks/vowel.jsonl']")
    meta = json.loads((workshop.folder / "registry/experts/vowel/v0001/expert.json").read_text())
    assert meta["metrics"]["validation_loss"] < 0.5 * meta["metrics"]["base_loss"]
