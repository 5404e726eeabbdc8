"""gaggle experts from end to end: equal bits however the work is shared, and nothing lost when a worker dies."""
import json
import os
import re
import shutil
import signal
import time

import pytest
from workshop import grow, wait_for


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


def test_tasks_that_never_met_are_compared_by_sketches(workshop):
    """The sketch's cosines lie within their stated error of those of a sketch sixteen times as wide."""
    from safetensors.torch import load_file

    found = {}
    for dims, ranks in [(1024, 0), (16384, 2)]:
        out = workshop.experts(f"--alignment.sketch={dims}", f"--registry.path=r{dims}", "--train.steps=1", "--gate.steps=0",
                               ranks=ranks).stdout
        assert "gradients of 4 tasks at the common start, 16 examples each" in out
        found[dims] = load_file(workshop.folder / "runs/tiny/alignment/experts.safetensors")
    apart = (found[1024]["cosine"] - found[16384]["cosine"]).abs()
    error = (found[1024]["error"] ** 2 + found[16384]["error"] ** 2).sqrt()
    assert apart.max() > 0 and (apart <= 4 * error + 1e-9).all()
    assert (found[16384]["cosine"].diagonal() - 1).abs().max() < 1e-6
    again = workshop.experts("--alignment.examples=0", "--registry.path=none", "--train.steps=1", "--gate.steps=0")
    assert "common start" not in again.stdout


def test_two_plain_processes_on_one_registry_share_the_work(workshop, trained):
    jobs = [workshop.start("experts", "tiny.toml", f"--run.name=job{i}", "--cluster.wait=true") for i in range(2)]
    for job in jobs:
        output = job.communicate(timeout=300)
        assert job.returncode == 0, output
    assert workshop.bits() == trained.bits()
    committed = [line["item"] for line in workshop.journal() if line["kind"] == "committed"]
    assert sorted(committed) == ["copy", "first", "reverse", "vowel"]


SIXTY = ["--train.steps=60", "--checkpoint.every=5"]


@pytest.fixture(scope="module")
def sixty_steps(tmp_path_factory, tiny_world, gaggle):
    return grow(tmp_path_factory.mktemp("sixty"), tiny_world, gaggle, *SIXTY)


@pytest.mark.parametrize("moment", [0.2, 0.5, 0.9])
def test_kill_9_and_start_again_gives_the_undisturbed_bits(workshop, sixty_steps, moment):
    job = workshop.start("experts", "tiny.toml", *SIXTY)
    wait_for(lambda: list((workshop.folder / "registry").glob("work/items/*/*/*")) or job.poll() is not None)
    time.sleep(moment)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    before = [line["item"] for line in workshop.journal() if line["kind"] == "committed"]
    there = {path.parent.name for path in (workshop.folder / "registry/experts").glob("*/v*")}
    workshop.experts(*SIXTY)
    committed = [line["item"] for line in workshop.journal() if line["kind"] == "committed"]
    # What was there, also where its worker was killed before the line on it, is not made again.
    assert sorted({*committed, *there}) == ["copy", "first", "reverse", "vowel"]
    assert committed[: len(before)] == before and there.issuperset(before)
    assert sorted([*committed[len(before):], *there]) == ["copy", "first", "reverse", "vowel"]
    workshop.run("registry", "verify", "--registry", "registry")
    assert workshop.bits() == sixty_steps.bits()


def test_a_stop_request_saves_and_says_75_and_the_next_start_goes_on(workshop):
    long = ["--train.steps=150", "--data.tasks=['tasks/copy.jsonl', 'tasks/vowel.jsonl']"]
    job = workshop.start("experts", "tiny.toml", *long)
    wait_for(lambda: list((workshop.folder / "runs").rglob("metrics.jsonl")))
    job.send_signal(signal.SIGUSR1)
    job.communicate(timeout=60)
    assert job.returncode == 75
    assert re.search(r"^copy goes on from step \d+ of 150 of lora \(registry/work/items/\S+\)$", workshop.experts(*long).stdout, re.M)
    stopped = workshop.bits()
    shutil.rmtree(workshop.folder / "registry")
    workshop.experts(*long)
    assert workshop.bits() == stopped


def test_resuming_with_other_threads_warns_and_is_refused_when_strict(workshop):
    job = workshop.start("experts", "tiny.toml", "--train.steps=100000")
    wait_for(lambda: list((workshop.folder / "registry").glob("work/items/*/*/*/COMPLETE")))
    job.kill()
    job.communicate()
    strict = workshop.experts("--train.steps=100000", "--run.strict=true", "--run.threads=2", expect=2)
    assert "threads 1 → 2" in strict.stderr and "run.strict" in strict.stderr
    assert not list((workshop.folder / "registry").glob("aside/*"))
    warned = workshop.start("experts", "tiny.toml", "--train.steps=100000", "--run.threads=2", "--run.max_minutes=1")
    assert any("threads 1 → 2" in line for line in warned.stderr)
    warned.kill()
    warned.communicate()


def test_a_torn_checkpoint_is_passed_over_for_an_older_one(workshop):
    long = ["--train.steps=200", "--data.tasks=['tasks/copy.jsonl']", "--checkpoint.every=5",
            "--checkpoint.keep=3"]
    job = workshop.start("experts", "tiny.toml", *long)
    complete = lambda: sorted((workshop.folder / "registry").glob("work/items/*/*/*/COMPLETE"))
    wait_for(lambda: len(complete()) >= 2)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    newest = complete()[-1].parent / "state.safetensors"
    os.truncate(newest, newest.stat().st_size // 2)
    done = workshop.experts(*long)
    assert f"{newest.parent.name}/{newest.name}" in done.stderr and "passed over" in done.stderr
    went_on = workshop.bits()
    shutil.rmtree(workshop.folder / "registry")
    workshop.experts(*long)
    assert workshop.bits() == went_on


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
    metrics = json.loads((trained.folder / "registry/experts/copy/v0001/expert.json").read_text())["metrics"]
    ends = [(event.step, event.value) for phase in ("lora", "gate") for event in events.Scalars(f"{phase}/validation_loss")]
    assert ends == [(step, pytest.approx(metrics[name], rel=1e-6)) for step, name in
                    [(0, "base_loss"), (12, "validation_loss"), (0, "half_open_loss"), (6, "gated_loss")]]


def test_training_lowers_the_loss(workshop):
    workshop.experts("--train.steps=60", "--data.tasks=['tasks/vowel.jsonl']")
    meta = json.loads((workshop.folder / "registry/experts/vowel/v0001/expert.json").read_text())
    assert meta["metrics"]["validation_loss"] < 0.5 * meta["metrics"]["base_loss"]


@pytest.fixture(scope="module")
def eight_lanes(tmp_path_factory, tiny_world, gaggle):
    return grow(tmp_path_factory.mktemp("lanes"), tiny_world, gaggle, "--train.lanes=8")


@pytest.mark.parametrize("ranks", [2, 4])
def test_two_ranks_per_expert_make_the_bits_of_one(workshop, eight_lanes, ranks):
    workshop.experts("--train.lanes=8", "--cluster.ranks_per_expert=2", ranks=ranks)
    assert workshop.bits() == eight_lanes.bits()


def test_lanes_are_part_of_the_key(trained, eight_lanes):
    keys = [json.loads((shop.folder / "registry/experts/copy/v0001/expert.json").read_text())["key"]
            for shop in (trained, eight_lanes)]
    assert keys[0] != keys[1]


def test_ranks_that_do_not_divide_are_refused_before_anything_is_written(workshop):
    done = workshop.experts("--cluster.ranks_per_expert=2", expect=2)
    assert "cluster.ranks_per_expert" in done.stderr
    assert not (workshop.folder / "registry").exists() and not (workshop.folder / "runs").exists()


def test_a_loss_that_is_not_finite_sets_the_item_aside_and_retry_takes_it_up(workshop):
    wild = ["--data.tasks=['tasks/copy.jsonl']", "--train.lr=1e30", "--train.clip=0"]
    done = workshop.experts(*wild, expect=3)
    assert "not finite" in done.stderr and "copy" in done.stderr and "set aside" in done.stdout
    asides = list((workshop.folder / "registry" / "aside").glob("*.json"))
    assert len(asides) == 1 and "not finite" in asides[0].read_text()
    taken = len([line for line in workshop.journal() if line["kind"] == "taken"])
    assert taken == 1  # a retry would repeat it
    workshop.experts(*wild, expect=3)
    assert len([line for line in workshop.journal() if line["kind"] == "taken"]) == 1
    workshop.experts(*wild, "--retry", expect=3)
    assert len([line for line in workshop.journal() if line["kind"] == "taken"]) == 2


def test_what_fails_is_set_aside_after_one_retry_and_the_others_finish(workshop):
    workshop.experts("--data.tasks=['tasks/vowel.jsonl']")
    (workshop.folder / "registry/experts/copy").write_text("in the way")
    done = workshop.experts(expect=3)
    table = done.stdout.split("\ngradients of")[0]
    lines = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    assert "set aside" in lines["copy"] and "v0001" in lines["reverse"]
    assert not (workshop.folder / "registry/collections").exists() or "all: 4" not in done.stdout
    assert len([line for line in workshop.journal() if line["kind"] == "taken" and line["item"] == "copy"]) == 2
    (workshop.folder / "registry/experts/copy").unlink()
    done = workshop.experts("--retry")
    assert "collection all: 4 experts" in done.stdout and "next: gaggle eval tiny.toml" in done.stdout


def test_current_is_mended_after_a_kill_between_rename_and_its_writing(workshop):
    only = "--data.tasks=['tasks/copy.jsonl']"
    workshop.experts(only)
    workshop.experts(only, "--train.lr=1e-3")
    current = workshop.folder / "registry/experts/copy/CURRENT"
    current.write_text("v0001\n")
    workshop.experts(only, "--train.lr=1e-3")
    assert current.read_text().strip() == "v0002"
    current.unlink()
    workshop.experts(only, "--train.lr=1e-3")
    assert current.read_text().strip() == "v0002"


def test_what_is_done_is_current_at_the_end_of_a_job_that_sets_something_aside(workshop):
    one, two = "--data.tasks=['tasks/copy.jsonl']", "--data.tasks=['tasks/copy.jsonl','tasks/vowel.jsonl']"
    workshop.experts(one, "--gate.steps=1")
    workshop.experts(one, "--gate.steps=1", "--train.lr=1e-3")
    current = workshop.folder / "registry/experts/copy/CURRENT"
    (workshop.folder / "registry/experts/vowel").write_text("in the way")
    job = workshop.start("experts", "tiny.toml", two, "--gate.steps=1")
    wait_for(lambda: current.read_text() == "v0001\n", 60, "CURRENT did not move")
    current.write_text("v0002\n")  # another job with other settings, meanwhile
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 3 and errors.count("copy: CURRENT moves from v0002 to v0001") == 2, errors
    assert current.read_text() == "v0001\n"


def test_max_minutes_saves_and_says_75(workshop):
    workshop.experts("--train.steps=100000", "--run.max_minutes=0.1", expect=75)
    assert list((workshop.folder / "registry").glob("work/items/*/*/*/COMPLETE"))


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_model_is_read_is_heeded_too(workshop, number):
    if number == signal.SIGINT:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # where these tests run in the background, all are deaf to it
    job = workshop.start("experts", "tiny.toml", "--train.steps=100000")
    mask = 1 << (number - 1)

    def caught():
        status = open(f"/proc/{job.pid}/status").read()
        return int(status.split("SigCgt:")[1].split()[0], 16) & mask

    wait_for(caught)
    job.send_signal(number)
    _, errors = job.communicate(timeout=60)
    assert job.returncode == 75
    assert errors.count(f"signal {signal.Signals(number).name} came, saving and leaving") == 1, errors


def test_the_best_step_is_kept(workshop):
    workshop.experts("--data.tasks=['tasks/copy.jsonl']", "--train.keep=best", "--train.validate_every=2",
                     "--train.steps=30", "--train.lr=0.3")
    lines = [json.loads(line) for line in
             (workshop.folder / "runs/tiny/items/copy/metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["validation_loss"] for line in lines if "validation_loss" in line}
    assert sorted(losses) == list(range(2, 31, 2))
    metrics = json.loads((workshop.folder / "registry/experts/copy/v0001/expert.json").read_text())["metrics"]
    assert metrics["best_step"] == min(losses, key=losses.get) < 30  # at this rate the last step is not the best
    assert metrics["validation_loss"] == pytest.approx(min(losses.values()), rel=1e-6)


def test_training_starts_from_a_peft_lora_when_asked(workshop, trained):
    start = trained.folder / "registry/experts/copy/v0001"
    workshop.experts("--data.tasks=['tasks/first.jsonl']", f"--lora.init_from={start}", "--train.steps=1")
    made = workshop.folder / "registry/experts/first/v0001"  # the first step of a warm-up has learning rate 0
    from safetensors.torch import load_file

    ours, theirs = (load_file(folder / "adapter_model.safetensors") for folder in (made, start))
    assert ours.keys() == theirs.keys() and all((ours[name] == theirs[name]).all() for name in ours)
    before = json.loads((made / "expert.json").read_text())["key"]
    workshop.experts("--data.tasks=['tasks/first.jsonl']", "--train.steps=1")
    assert json.loads((workshop.folder / "registry/experts/first/v0002/expert.json").read_text())["key"] != before


def test_plain_lines_tell_the_progress_where_there_is_no_terminal(workshop):
    done = workshop.experts("--data.tasks=['tasks/copy.jsonl']", "--train.steps=1500")
    assert "rank 0 · copy" in done.stdout and "of its GEMM rate" in done.stdout and "left" in done.stdout
    assert "copy committed as v0001, validation loss" in done.stdout
    assert "1 task," in done.stdout and "1 expert," in done.stdout
