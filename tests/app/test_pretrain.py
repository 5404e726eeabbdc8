"""gaggle pretrain and gaggle align from end to end: equal bits on any number of ranks, nothing lost, clear mistakes."""
import json
import os
import random
import shutil
import signal
import time

import pytest
from safetensors.torch import load_file, save_file
from workshop import Workshop, wait_for

POLY = ["--poly.skills=3", "--poly.heads=4", "--poly.rank=2", "--train.steps=12", "--train.lr=1e-2",
        "--checkpoint.every=3", "--checkpoint.keep=4", "--cluster.lease_s=2"]


def pretrain(shop, *overrides, **options):
    return shop.run("pretrain", "tiny.toml", *POLY, *overrides, **options)


def folder_of(shop, name="tiny", registry="registry"):
    return shop.folder / registry / "inventories" / name / "v0001"


def bits(shop, name="tiny", registry="registry"):
    return (folder_of(shop, name, registry) / "SHA256SUMS").read_text()


def start(shop, *overrides, ranks=0):
    return shop.start("pretrain", "tiny.toml", *POLY, *overrides, ranks=ranks)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, tiny_world, gaggle):
    """A finished run on one rank that measured alignment; for tests that only read it."""
    folder = tmp_path_factory.mktemp("pretrained")
    shutil.copytree(tiny_world, folder, dirs_exist_ok=True)
    shop = Workshop(folder, gaggle)
    shop.output = pretrain(shop, "--alignment.every=2", "--alignment.space=both", "--train.validate_every=6",
                           "--train.keep=best")
    return shop


def test_what_a_person_sees(pretrained):
    out = pretrained.output.stdout
    assert "mhr, 3 skills, 4 heads, rank 2 at" in out and "8 lanes over 1 rank" in out
    assert "mean over tasks" in out and "discreteness" in out and "gradient alignment: 6 measurements" in out
    assert "next: gaggle eval tiny.toml" in out
    lines = [json.loads(line) for line in (pretrained.folder / "runs/tiny/items/tiny/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert {"loss/copy", "loss/first", "loss/reverse", "loss/vowel", "grad_norm", "lr"} <= set(lines[-1])
    assert "validation_loss/vowel" in lines[5] and "validation_loss" not in lines[4]
    assert 0 <= lines[5]["routing/all/discreteness"] < lines[11]["routing/all/discreteness"] <= 1
    routing = [json.loads(line) for line in (pretrained.folder / "runs/tiny/routing.jsonl").read_text().splitlines()]
    assert [line["step"] for line in routing] == [0, 6, 12]
    assert {"q_proj", "down_proj", "all"} <= set(routing[0]["kinds"]) and len(routing[0]["sites"]) == 21
    assert "after step" in out and "after step" in pretrained.run("align", "runs/tiny").stdout
    about = json.loads((folder_of(pretrained) / "inventory.json").read_text())
    assert about["tasks"] == ["copy", "first", "reverse", "vowel"] and about["method"] == "mhr"
    assert about["metrics"]["validation_loss"] < about["metrics"]["base_loss"]
    assert "is there already: nothing to train" in pretrain(pretrained, "--train.validate_every=6", "--train.keep=best").stdout
    pretrained.run("registry", "verify", "--registry", "registry")


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_make_the_bits_of_one_process_also_without_alignment(workshop, pretrained, ranks):
    pretrain(workshop, "--train.validate_every=6", "--train.keep=best", ranks=ranks)
    assert bits(workshop) == bits(pretrained)


@pytest.mark.parametrize("sample", ["task", "example"])
def test_samples_do_not_know_their_rank(workshop, sample):
    options = [f"--poly.sample={sample}", "--alignment.every=3", "--train.optimizer=adafactor",
               "--train.scale_parameter=true", "--data.sampling=temperature", "--data.sampling_temperature=2"]
    pretrain(workshop, *options)
    pretrain(workshop, *options, "--registry.path=other", "--run.dir=other_runs", ranks=2)
    assert bits(workshop) == bits(workshop, registry="other")
    plain = [o for o in options if "alignment" not in o]
    pretrain(workshop, *plain, "--registry.path=third", "--run.dir=third_runs", ranks=3)
    assert bits(workshop) == bits(workshop, registry="third")


def test_kill_9_at_five_moments_with_other_ranks_each_time(workshop):
    long = ["--train.steps=60", "--alignment.every=4"]
    for name in ["checkpoints", "work"]:  # a run folder's may be links to another disk
        (workshop.folder / "disk" / name).mkdir(parents=True)
        (workshop.folder / "runs/tiny").mkdir(parents=True, exist_ok=True)
        (workshop.folder / "runs/tiny" / name).symlink_to(workshop.folder / "disk" / name)
    draw = random.Random(5)
    for ranks in [1, 3, 2, 1, 3]:
        job = start(workshop, *long, ranks=ranks)
        marks = len(list(workshop.folder.glob("runs/tiny/checkpoints/*/*/COMPLETE")))
        wait_for(lambda: len(list(workshop.folder.glob("runs/tiny/items/tiny/metrics.jsonl"))) > 0 or job.poll() is not None)
        time.sleep(draw.uniform(0.1, 0.8))
        os.system(f"pkill -9 -P {job.pid}") if ranks > 1 else None
        job.send_signal(signal.SIGKILL)
        job.communicate()
        assert marks >= 0
    pretrain(workshop, *long, ranks=2)
    pretrain(workshop, *long, "--registry.path=whole", "--run.dir=whole_runs")
    assert bits(workshop) == bits(workshop, registry="whole")
    lines = (workshop.folder / "runs/tiny/alignment/alignment.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(4, 61, 4))
    lines = (workshop.folder / "runs/tiny/routing.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 60]


def test_torn_and_rotten_checkpoints_are_passed_over(workshop):
    job = start(workshop, "--train.steps=120")
    complete = lambda: sorted(workshop.folder.glob("runs/tiny/checkpoints/*/*/COMPLETE"))
    wait_for(lambda: len(complete()) >= 4)
    job.send_signal(signal.SIGUSR1)
    job.communicate()
    assert job.returncode == 75
    newest, second, third, fourth = (mark.parent for mark in reversed(complete()[-4:]))
    assert sorted(path.name for path in newest.iterdir()) == ["COMPLETE", "state.safetensors"]
    for torn, keep in [(newest / "state.safetensors", 0.5), (second / "state.safetensors", 0.0), (third / "COMPLETE", 0.5)]:
        os.truncate(torn, int(torn.stat().st_size * keep))
    bytes_ = bytearray((fourth / "state.safetensors").read_bytes())
    bytes_[-1] ^= 1
    (fourth / "state.safetensors").write_bytes(bytes_)
    done = pretrain(workshop, "--train.steps=120")
    assert done.stderr.count("passed over") == 4, done.stderr
    went_on = bits(workshop)
    pretrain(workshop, "--train.steps=120", "--registry.path=whole", "--run.dir=whole_runs")
    assert bits(workshop, registry="whole") == went_on


def test_a_run_folder_holds_one_recipe(workshop):
    pretrain(workshop, "--train.steps=2")
    there = (workshop.folder / "runs/tiny/config.toml").read_text()
    said = pretrain(workshop, "--train.steps=2", "--train.lr=0.005", expect=2).stderr
    assert "train.lr 0.01 → 0.005. Set run.variant" in said
    assert (workshop.folder / "runs/tiny/config.toml").read_text() == there
    pretrain(workshop, "--train.steps=2", "--train.lr=0.005", "--run.variant=slow")
    assert (workshop.folder / "runs/tiny-slow/routing.jsonl").exists()


def spoilt_base(shop, name, word, value):
    """The base, but that the first token of a word is embedded as nothing but `value`."""
    from tokenizers import Tokenizer

    shutil.copytree(shop.folder / "base", shop.folder / name)
    tensors = load_file(shop.folder / name / "model.safetensors")
    token = Tokenizer.from_file(str(shop.folder / "base/tokenizer.json")).encode(word).ids[0]
    tensors["model.embed_tokens.weight"][token] = value
    save_file(tensors, shop.folder / name / "model.safetensors", metadata={"format": "pt"})


def test_a_loss_that_is_not_finite_on_one_rank_is_skipped_by_all(workshop):
    """One example of one task begins with a token whose embedding is infinite: one lane of one step sees it."""
    spoilt_base(workshop, "spoilt", "#", float("inf"))
    task = workshop.folder / "tasks/copy.jsonl"
    examples = [json.loads(line) for line in task.read_text().splitlines()]
    examples[0]["input"] = "# " + examples[0]["input"]
    task.write_text("".join(json.dumps(example) + "\n" for example in examples))
    said = {}
    for ranks in [1, 2, 3]:
        done = pretrain(workshop, "--model.path=spoilt", "--train.steps=24", f"--registry.path=of{ranks}",
                        f"--run.dir=runs{ranks}", ranks=ranks)
        said[ranks] = [line[line.index("step"):] for line in done.stderr.splitlines() if "no rank makes this update" in line]
        assert bits(workshop, registry=f"of{ranks}") == bits(workshop, registry="of1")
    assert len(said[1]) in (1, 2) and said[1] == said[2] == said[3]


def test_a_checkpoint_of_another_base_is_not_gone_on_from(workshop):
    job = start(workshop, "--train.steps=120")
    wait_for(lambda: len(list(workshop.folder.glob("runs/tiny/checkpoints/*/*/COMPLETE"))) > 0)
    job.send_signal(signal.SIGUSR1)
    job.communicate()
    spoilt_base(workshop, "other", "#", 0.5)
    said = pretrain(workshop, "--train.steps=120", "--model.path=other", expect=2).stderr
    assert "model.content " in said and "Set run.variant for a new run" in said
    said = pretrain(workshop, "--train.steps=120", "--poly.rank=3", expect=2).stderr
    assert "poly.rank 2 → 3" in said


def test_average_from_goes_on_from_the_plain_run(workshop):
    """The plain run's checkpoint of step 6 serves the run that routes uniformly from step 6 on."""
    pretrain(workshop, "--train.steps=12", "--checkpoint.every=6", "--train.schedule=constant")
    averaged = ["--train.steps=12", "--train.schedule=constant", "--poly.average_from=6", "--checkpoint.every=6"]
    pretrain(workshop, *averaged, "--registry.path=second")
    lines = [json.loads(line)["step"] for line in
             (workshop.folder / "runs/tiny/items/tiny/metrics.jsonl").read_text().splitlines()]
    assert lines == list(range(1, 13)) + list(range(7, 13))
    pretrain(workshop, *averaged, "--registry.path=whole", "--run.dir=whole_runs")
    assert bits(workshop, registry="second") == bits(workshop, registry="whole")
    assert bits(workshop, registry="second") != bits(workshop)


def test_alignment_goes_on_when_samples_end_in_uniform_routing(workshop):
    options = ["--poly.sample=example", "--poly.average_from=6", "--alignment.every=2"]
    pretrain(workshop, *options)
    lines = (workshop.folder / "runs/tiny/alignment/alignment.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(2, 13, 2))
    pretrain(workshop, *options[:2], "--registry.path=plain", "--run.dir=plain_runs", ranks=2)
    assert bits(workshop) == bits(workshop, registry="plain")


@pytest.mark.parametrize("method, skills, heads", [("poly", 3, 1), ("shared", 1, 1), ("private", 4, 1)])
def test_every_method_is_stored_as_peft_has_it(workshop, method, skills, heads):
    overrides = [o for o in POLY if "heads" not in o]
    workshop.run("pretrain", "tiny.toml", *overrides, f"--poly.method={method}")
    folder = folder_of(workshop)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["peft_type"], config["n_skills"], config["n_splits"], config["n_tasks"]) == ("POLY", skills, heads, 4)
    logits = [t for k, t in load_file(folder / "adapter_model.safetensors").items() if k.endswith("module_logits")]
    assert all(tuple(t.shape) == (4, heads * skills) for t in logits)
    if method == "private":
        assert all((t.sigmoid().round() == __import__("torch").eye(4)).all() for t in logits)


def test_init_from_a_stored_folder(workshop, pretrained):
    start_from = folder_of(pretrained)
    pretrain(workshop, f"--poly.init_from={start_from}", "--train.steps=1", "--train.warmup=0.5")
    ours = load_file(folder_of(workshop) / "adapter_model.safetensors")  # the only update has rate 0
    theirs = load_file(start_from / "adapter_model.safetensors")
    assert all(ours[k].equal(theirs[k]) for k in theirs)


def test_align_shows_compares_and_passes_over_a_checkpoint(workshop, pretrained):
    shown = pretrained.run("align", "runs/tiny").stdout
    assert "mixed space" in shown and "skill space" in shown and "closest" in shown and "least alike" in shown
    shutil.copytree(pretrained.folder / "runs", workshop.folder / "runs")
    two = workshop.run("align", "runs/tiny", pretrained.folder / "runs/tiny").stdout
    assert two.count("tiny") >= 4
    one = workshop.run("align", pretrained.folder / "runs/tiny", "--examples", "4").stdout
    assert "up to step 12" in one
    many = workshop.run("align", pretrained.folder / "runs/tiny", "--examples", "4", "--step", "12", ranks=2).stdout
    table = lambda text: [line.split("  ") for line in text.splitlines() if " step 12" not in line and " s " not in line]
    assert table(one) == table(many)
    assert (pretrained.folder / "runs/tiny/alignment/step-12-examples-4/alignment.safetensors").exists()


@pytest.mark.parametrize("overrides, words", [
    (["--poly.heads=5"], ["poly.heads = 5 does not divide", "wide in and"]),
    (["--train.lanes=2"], ["3 ranks cannot share 2 lanes"]),
    (["--alignment.every=2", "--alignment.tasks=['copz']"], ["no task copz", "did you mean copy?"]),
    (["--alignment.every=2", "--alignment.sites=['q']"], ["none of them is an adapted linear"]),
    (["--poly.init_from=base"], ["base", "adapter_config.json"]),
    (["--poly.method=poly", "--poly.heads=4"], ["poly.heads"]),
    (["--poly.average_from=3", "--poly.average_last_steps=2"], ["average_from"]),
])
def test_mistakes_are_said_before_anything_starts(workshop, overrides, words):
    done = pretrain(workshop, *overrides, ranks=3, expect=2)
    for word in words:
        assert word in done.stderr
    assert not (workshop.folder / "registry" / "inventories").exists()
    assert not list(workshop.folder.glob("runs/**/state.safetensors"))


def test_align_says_what_is_missing(workshop):
    assert "config.toml" in workshop.run("align", "runs/none", "--examples", "2", expect=2).stderr
    assert "alignment.every" in workshop.run("align", "runs/none", expect=2).stderr


def test_a_second_job_does_not_join_a_run(workshop):
    job = start(workshop, "--train.steps=100000")
    wait_for(lambda: list(workshop.folder.glob("runs/tiny/items/tiny/metrics.jsonl")))
    done = pretrain(workshop, "--train.steps=100000")
    assert "tiny is held by" in done.stderr and "tiny is not finished" in done.stdout
    job.send_signal(signal.SIGUSR1)
    job.communicate(timeout=60)
    assert job.returncode == 75
