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
    done = workshop.run("gates", "tiny.toml")
    assert "left ungated: vowel" in done.stdout
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


def test_a_wrong_name_in_gate_tasks_is_refused_and_nothing_is_written(workshop):
    workshop.experts("--gate.steps=0", "--run.name=first")
    with open(workshop.folder / "tiny.toml", "a") as file:
        file.write('[gate.tasks]\nvowle = "tasks/vowel.jsonl"\n')
    before = workshop.bits()
    assert "vowle" in workshop.run("gates", "tiny.toml", expect=2).stderr
    assert workshop.bits() == before and not (workshop.folder / "runs/tiny").exists()
