"""train.pack: experts that go through their steps together are what each is alone, whoever trains them."""
import json
import shutil
import signal
import time

import pytest
from workshop import grow, wait_for

PACK = ["--train.pack=4", "--train.tokens_per_microbatch=512", "--registry.path=packed"]


def values(workshop, registry, name, version):
    from safetensors.torch import load_file

    version = workshop.folder / registry / "experts" / name / version
    return load_file(version / "adapter_model.safetensors") | load_file(version / "gate.safetensors")


def apart(workshop, name, version="v0001"):
    """Norm of the difference of all values, alone and in a pack, over that of the values."""
    a, b = (values(workshop, registry, name, version) for registry in ["registry", "packed"])
    assert a.keys() == b.keys()
    difference, norm = (sum(float(of(key).square().sum()) for key in a) for of in (lambda k: a[k] - b[k], lambda k: a[k]))
    return (difference / norm) ** 0.5


TASKS = ["copy", "first", "reverse", "vowel"]


@pytest.mark.parametrize("model", ["llama", "t5"])
@pytest.mark.parametrize("dtype, bound", [("fp32", 1e-5), ("bf16", 1e-3)])
@pytest.mark.parametrize("size", [2, 4])
def test_each_is_what_it_is_alone(request, model, dtype, bound, size):
    workshop = request.getfixturevalue("workshop" if model == "llama" else "t5_workshop")
    settings = [f"--model.dtype={dtype}", "--train.epochs=2", "--train.steps=0", "--train.tokens_per_microbatch=512"]
    workshop.experts(*settings)
    workshop.experts(*settings, f"--train.pack={size}", "--registry.path=packed")
    for name in TASKS:
        assert apart(workshop, name) < bound


@pytest.fixture(scope="module")
def packed(tmp_path_factory, tiny_world, gaggle):
    return grow(tmp_path_factory.mktemp("packed"), tiny_world, gaggle, *PACK)


def bits(workshop):
    return workshop.bits("packed")


def test_its_members_are_named_in_their_keys_and_metrics_files(packed):
    about = json.loads((packed.folder / "packed/experts/copy/v0001/expert.json").read_text())
    assert set(about["recipe"]["pack"]) == set(TASKS)
    for name in TASKS:
        lines = (packed.folder / f"runs/tiny/items/{name}/metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [*range(1, 13), *range(1, 7)]
    again = packed.experts(*PACK)
    assert "1 of 1 pack there already" in again.stdout, again.stdout
    assert "1 item, 1 done" in packed.run("status", "packed").stdout
    alone = packed.experts(*PACK, "--train.pack=1", "--dry-run")
    assert "copy: v0002, pack." in alone.stdout, alone.stdout
    dry = packed.experts(*PACK, "--registry.path=other", "--dry-run")
    assert "4 experts go through their steps together, 1 pack in all" in dry.stdout and "copy+3" in dry.stdout


@pytest.mark.parametrize("ranks, each", [(2, 1), (2, 2)])
def test_whoever_trains_makes_the_same_bits(workshop, ranks, each):
    two = [*PACK, "--train.pack=2", "--train.lanes=8", f"--cluster.ranks_per_expert={each}"]
    workshop.experts(*two, ranks=ranks)
    at_once = bits(workshop)
    workshop.experts(*two, "--cluster.ranks_per_expert=1", "--registry.path=again")
    assert workshop.bits("again") == at_once


@pytest.mark.parametrize("moment", [0.1, 0.3, 0.6, 1.0, 1.5])
def test_kill_9_and_start_again_gives_the_undisturbed_bits(workshop, packed, moment):
    job = workshop.start("experts", "tiny.toml", *PACK, "--checkpoint.every=2")
    wait_for(lambda: list((workshop.folder / "packed").glob("work/items/*/*")) or job.poll() is not None)
    time.sleep(moment)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    workshop.experts(*PACK)
    assert bits(workshop) == bits(packed)


def test_gates_of_experts_that_are_there_go_in_packs_too(workshop):
    workshop.experts("--gate.steps=0")
    shutil.copytree(workshop.folder / "registry", workshop.folder / "packed")
    budget = "--train.tokens_per_microbatch=512"
    workshop.run("gates", "tiny.toml", budget)
    said = workshop.run("gates", "tiny.toml", budget, "--train.pack=3", "--registry.path=packed").stdout
    assert "3 experts go through their steps together, 2 packs in all" in said
    for name in TASKS:
        assert apart(workshop, name, version="v0002") < 1e-5


def test_auto_fills_a_micro_batch(workshop):
    small = workshop.experts("--train.pack=auto", "--train.tokens_per_microbatch=400", "--train.batch_size=4", "--dry-run")
    assert "experts go through their steps together" in small.stdout and "(train.pack = auto)" in small.stdout
    full = workshop.experts("--train.pack=auto", "--train.tokens_per_microbatch=64", "--dry-run")
    assert "together" not in full.stdout


def test_who_fails_is_set_aside_and_the_others_are_stored(workshop, packed):
    """A task whose loss cannot be finite: NaN in the embedding of a word that it alone has."""
    from safetensors.torch import load_file, save_file

    weights = workshop.folder / "base/model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(weights).items()}
    tensors["model.embed_tokens.weight"][ord("Z") + 3 - 33] = float("nan")  # a byte's token behind the three special ones
    save_file(tensors, weights, {"format": "pt"})
    vowel = workshop.folder / "tasks/vowel.jsonl"
    vowel.write_text(vowel.read_text().replace('"vowel: ', '"Z'))
    done = workshop.experts(*PACK, expect=3)
    assert "copy+3 was set aside: vowel: the loss or its gradient was not finite in 5 steps running" in done.stderr
    stored = {path.name for path in (workshop.folder / "packed/experts").iterdir()}
    assert stored == {"copy", "first", "reverse"}, stored
    assert "set aside" in done.stdout
    again = workshop.experts(*PACK, "--retry", expect=3)
    assert "vowel: the loss" in again.stderr and "copy: " not in again.stderr
