"""gaggle gates: gates for experts that are there, by task name or by [gate.tasks]; the others are named."""
import json


def gated(shop, name):
    folder = shop.folder / "registry/experts" / name
    version = (folder / "CURRENT").read_text().strip()
    return (folder / version / "gate.safetensors").exists()


def test_experts_without_data_stay_ungated_and_are_named(workshop):
    workshop.experts("--gate.steps=0")
    assert not gated(workshop, "copy")
    (workshop.folder / "tasks/vowel.jsonl").rename(workshop.folder / "elsewhere.jsonl")
    done = workshop.run("gates", "tiny.toml", "--data.tasks=elsewhere.jsonl", expect=2)
    assert "experts: copy, first, reverse, vowel; tasks: elsewhere" in done.stderr and "[gate.tasks]" in done.stderr
    done = workshop.run("gates", "tiny.toml")
    assert 'left ungated: vowel ([gate.tasks] EXPERT = "file.jsonl"' in done.stdout
    assert gated(workshop, "copy") and gated(workshop, "reverse") and not gated(workshop, "vowel")
    about = json.loads((workshop.folder / "registry/experts/copy/v0002/expert.json").read_text())
    assert about["parents"] == ["copy@v0001"]

    with open(workshop.folder / "tiny.toml", "a") as file:
        file.write('[gate.tasks]\nvowel = "elsewhere.jsonl"\n')
    done = workshop.run("gates", "tiny.toml")
    assert "ungated" not in done.stdout and gated(workshop, "vowel")
    assert not (workshop.folder / "registry/experts/copy/v0003").exists()  # the same gates are not trained twice
    workshop.run("registry", "verify", "--registry", "registry")


def test_gates_are_the_same_bits_on_two_ranks(workshop):
    workshop.experts("--gate.steps=0")
    (workshop.folder / "registry").rename(workshop.folder / "ungated")
    import shutil

    bits = []
    for ranks in (0, 2):
        shutil.copytree(workshop.folder / "ungated", workshop.folder / "registry")
        workshop.run("gates", "tiny.toml", ranks=ranks)
        bits.append(workshop.bits())
        shutil.rmtree(workshop.folder / "registry")
    assert bits[0] == bits[1] and any("v0002/gate" in name for name in bits[0])


def test_gates_that_start_nearly_closed_learn_other_values_and_say_so(workshop):
    """gate.bias: the key, the plan, the table and expert.json know it; gates without it are those of before."""
    import re
    import shutil

    import torch
    from safetensors.torch import load_file

    workshop.experts("--gate.steps=0")
    shutil.copytree(workshop.folder / "registry", workshop.folder / "biased")
    plain = workshop.run("gates", "tiny.toml").stdout
    assert "half open" in plain and "gate.bias" not in plain
    biased = ["--gate.bias=-2", "--registry.path=biased"]
    said = workshop.run("gates", "tiny.toml", *biased).stdout
    assert "11.9% open at the start (gate.bias -2)" in said and "half open" not in said
    assert re.search(r"task loss +11.9% open +base", said)
    about = {}
    for path, bias in [("registry", None), ("biased", -2)]:
        version = workshop.folder / path / "experts/copy/v0002"
        about[path] = json.loads((version / "expert.json").read_text())
        assert about[path].get("gate_bias") == bias and about[path]["recipe"]["gate"].get("bias") == bias
    assert about["registry"]["key"] != about["biased"]["key"]
    # Of an expert that does good, less than half of it is further from it, and then there is more to learn.
    half, closed = (about[path]["metrics"] for path in ("registry", "biased"))
    assert half["validation_loss"] == closed["validation_loss"] < half["half_open_loss"] < closed["half_open_loss"]
    assert closed["half_open_loss"] < closed["base_loss"]
    learnt = {path: load_file(workshop.folder / path / "experts/copy/v0002/gate.safetensors") for path in about}
    assert all(not torch.equal(learnt["registry"][name], learnt["biased"][name]) for name in learnt["biased"])
    assert workshop.run("gates", "tiny.toml", *biased, "--dry-run").stdout.count("is there: v0002") == 4
    assert "sound" in workshop.run("registry", "verify", "--registry", "biased").stdout

    # Out and in again: the bias goes with its gates.
    workshop.run("registry", "export", "copy", "--to", "out", "--registry", "biased")
    workshop.run("registry", "import", "out", "--name", "again", "--base", "base", "--registry", "biased")
    again = json.loads((workshop.folder / "biased/experts/again/v0001/expert.json").read_text())
    assert again["gate_bias"] == -2 and again["gated"]


def test_biased_gates_are_the_same_bits_on_two_ranks_and_in_packs(workshop):
    """On two ranks that share each expert, and whoever trains a pack; in a pack as alone but for rounding."""
    from safetensors.torch import load_file

    bits = {}
    for pack, ranks, each in [(1, 0, 1), (1, 2, 2), (2, 0, 1), (2, 2, 1)]:
        path = f"r{pack}{ranks}{each}"
        workshop.experts("--gate.bias=-2", "--train.lanes=4", f"--train.pack={pack}", f"--registry.path={path}",
                         f"--cluster.ranks_per_expert={each}", ranks=ranks)
        bits[pack, ranks] = workshop.bits(path)
    assert bits[1, 0] == bits[1, 2] and bits[2, 0] == bits[2, 2]
    for name in ["copy", "vowel"]:
        alone, packed = (load_file(workshop.folder / path / "experts" / name / "v0001/gate.safetensors")
                         for path in ["r101", "r201"])
        for site in alone:
            assert (alone[site] - packed[site]).norm() < 1e-5 * alone[site].norm()


def test_a_wrong_name_in_gate_tasks_is_refused_and_nothing_is_written(workshop):
    workshop.experts("--gate.steps=0", "--run.name=first")
    with open(workshop.folder / "tiny.toml", "a") as file:
        file.write('[gate.tasks]\nvowle = "tasks/vowel.jsonl"\n')
    before = workshop.bits()
    assert "vowle" in workshop.run("gates", "tiny.toml", expect=2).stderr
    assert workshop.bits() == before and not (workshop.folder / "runs/tiny").exists()
