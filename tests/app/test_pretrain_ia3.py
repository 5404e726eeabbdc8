"""gaggle pretrain with poly.adapter = "ia3", end to end: what it says, what it stores, and PEFT with it."""
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

IDS = torch.arange(1, 9)[None]
SHARED = ["--poly.adapter=ia3", "--poly.method=shared"]
MHR = ["--poly.adapter=ia3", "--poly.method=mhr", "--poly.heads=4", "--poly.skills=3"]


def pretrain(shop, *words, **options):
    return shop.run("pretrain", "tiny.toml", *words, **options)


def stored(shop, registry="registry", version="v0001"):
    return shop.folder / registry / "inventories" / "tiny" / version


@torch.no_grad()
def peft_logits(shop, folder=None):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(shop.folder / "base")
    if folder:
        model = PeftModel.from_pretrained(model, folder)
    return model.eval()(IDS).logits[0]


def our_logits(shop, probe, folder):
    probe.run("ia3-logits", shop.folder / "base", folder, json.dumps([{"input": IDS[0].tolist(), "target": [0]}]), shop.folder / "logits")
    return load_file(shop.folder / "logits")["logits"]


def test_shared_is_a_peft_folder(workshop, probe):
    done = pretrain(workshop, *SHARED, "--train.lr=0.03", "--train.validate_every=6")
    assert "shared, 1 skill, 1 head, (IA)³ at 9 sites, 384 trained\n" in done.stdout  # 3 layers of 24 + 24 + 80
    assert "gaggle eval tiny.toml --eval.methods='[\"none\", \"shared\"]'" in done.stdout
    folder = stored(workshop)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["peft_type"] == "IA3" and config["feedforward_modules"] == ["down_proj"]
    assert config["target_modules"] == ["down_proj", "k_proj", "v_proj"]
    theirs = peft_logits(workshop, folder)
    assert torch.allclose(our_logits(workshop, probe, folder), theirs, atol=1e-4, rtol=0)
    assert not torch.allclose(peft_logits(workshop), theirs, atol=1e-2)
    about = json.loads((folder / "inventory.json").read_text())
    assert about["metrics"]["validation_loss"] < about["metrics"]["base_loss"] - 0.01
    assert about["recipe"]["poly"]["adapter"] == "ia3" and "rank" not in about["recipe"]["poly"]
    assert "nothing to train" in pretrain(workshop, *SHARED, "--train.lr=0.03", "--train.validate_every=6").stdout

    workshop.run("registry", "export", "tiny", "--registry", "registry", "--to", "out")
    assert torch.equal(peft_logits(workshop, workshop.folder / "out"), theirs)
    assert "sound" in workshop.run("registry", "verify", "--registry", "registry").stdout


def test_mhr_mixes_vectors_and_its_mean_is_a_peft_folder(workshop, probe):
    done = pretrain(workshop, *MHR, "--poly.sample=example", "--train.lr=0.03")
    assert "mhr, 3 skills, 4 heads, (IA)³ at 9 sites, 1.15 k trained and 432 of routing table" in done.stdout
    assert "gaggle eval tiny.toml" in done.stdout
    tensors = load_file(stored(workshop) / "adapter_model.safetensors")
    site = "base_model.model.model.layers.1.mlp.down_proj"
    assert tensors[site + ".poly_ia3_l"].shape == (4, 3, 20)
    assert tensors[site + ".poly_router.module_logits"].shape == (4, 12)
    assert json.loads((stored(workshop) / "adapter_config.json").read_text())["peft_type"] == "GAGGLE_POLY_IA3"
    listed = workshop.run("registry", "ls", "--registry", "registry").stdout.split("\n")[1].split()
    assert listed[:8] == ["tiny", "v0001", "mhr", "4", "3", "4", "-", "9"]

    workshop.run("registry", "export", "tiny", "--mu", "--registry", "registry", "--to", "mu")
    mean = load_file(workshop.folder / "mu" / "adapter_model.safetensors")
    assert torch.allclose(mean[site + ".ia3_l"], tensors[site + ".poly_ia3_l"].mean(1).view(1, 80), atol=1e-6)
    theirs = peft_logits(workshop, workshop.folder / "mu")
    assert torch.allclose(our_logits(workshop, probe, workshop.folder / "mu"), theirs, atol=1e-4, rtol=0)

    # One step of warm-up changes nothing: what is stored next is what was started from.
    pretrain(workshop, *MHR, f"--poly.init_from={stored(workshop)}", "--train.steps=1", "--run.dir=again")
    again = load_file(stored(workshop, version="v0002") / "adapter_model.safetensors")
    assert sorted(again) == sorted(tensors) and all(torch.equal(again[n], tensors[n]) for n in again)
    refused = pretrain(workshop, *SHARED, f"--poly.init_from={stored(workshop)}", expect=2)
    assert "it has 3 skills, 4 heads and 4 tasks, and the run one vector a site for all tasks" in refused.stderr


def test_ranks_and_a_resumed_run_make_equal_bits(workshop):
    words = [*MHR, "--poly.sample=task", "--train.lanes=8", "--checkpoint.keep=3"]
    pretrain(workshop, *words)
    pretrain(workshop, *words, "--registry.path=of_two", "--run.dir=runs_of_two", ranks=2)
    last = max((workshop.folder / "runs/tiny/checkpoints").glob("*/*"))
    assert last.name == "0-00000012"
    shutil.rmtree(last)
    pretrain(workshop, *words, "--registry.path=resumed", ranks=2)  # from step 8
    bits = {(stored(workshop, registry) / "adapter_model.safetensors").read_bytes()
            for registry in ("registry", "of_two", "resumed")}
    assert len(bits) == 1


def test_alignment_is_measured_and_changes_no_bit(workshop):
    watched = pretrain(workshop, *MHR, "--alignment.every=4", "--alignment.space=both")
    assert "gradient alignment: 3 measurements" in watched.stdout
    told = workshop.run("align", "runs/tiny").stdout
    assert "tiny · skill space" in told and "tiny · mixed space" in told and "down_proj" in told
    assert "exact gradients" in workshop.run("align", "runs/tiny", "--examples", "3").stdout
    pretrain(workshop, *MHR, "--registry.path=plain", "--run.dir=plain_runs")
    assert (stored(workshop) / "SHA256SUMS").read_bytes() == (stored(workshop, "plain") / "SHA256SUMS").read_bytes()


ADAPT = """
[adapt]
from = "tiny"
shared_from = "one"
tasks = ["tasks/vowel.jsonl"]
method = ["full", "z", "mu", "random", "shared"]
shots = [8]
steps = 6
batch_size = 4
"""


def test_eval_adapt_and_import_know_vectors(workshop):
    pretrain(workshop, *MHR, "--train.lr=0.05")
    pretrain(workshop, *SHARED, "--run.variant=one", "--train.lr=0.05")
    # A round trip through a folder: what is imported scores as what was exported.
    for name, new in [("tiny", "back"), ("tiny-one", "one")]:
        workshop.run("registry", "export", name, "--registry", "registry", "--to", new)
    workshop.run("registry", "import", "back", "one", "--base", "base", "--registry", "registry")
    words = '["none", "poly:tiny", "poly:back", "mu:tiny", "shared:tiny-one", "shared:one"]'
    workshop.run("eval", "tiny.toml", f"--eval.methods={words}", "--run.name=scored")
    lines = (workshop.folder / "runs/scored/eval/predictions.jsonl").read_text().splitlines()
    nll = {}
    for line in map(json.loads, lines):
        nll.setdefault(line["method"], []).append(line["target_nll"])
    assert nll["poly:tiny"] == nll["poly:back"] and nll["shared:tiny-one"] == nll["shared:one"]
    assert nll["poly:tiny"] != nll["mu:tiny"] != nll["none"] and nll["none"] != nll["shared:one"]

    with open(workshop.folder / "tiny.toml", "a") as config:
        config.write(ADAPT)
    told = workshop.run("adapt", "tiny.toml").stdout
    assert "mhr: 3 skills of (IA)³, 4 heads, on 9 sites" in told
    results = json.loads((workshop.folder / "runs/tiny/adapt/results.json").read_text())
    stored_at = {item["method"]: item["stored"].split("/")[0] for item in results["items"]}
    assert stored_at == {"full": "inventories", "random": "inventories", "z": "routing_rows", "mu": "inventories",
                         "shared": "inventories"}
    values = {item["method"]: item["trained_values"] for item in results["items"]}
    assert values["z"] == 9 * 4 * 3 and values["mu"] == values["shared"] == 384 and values["full"] == 384 * 3 + 108
    # What is stored scores as it was scored.
    methods = {"z": "z:vowel.z.8.s0", "mu": "shared:vowel.mu.8.s0", "full": "poly:vowel.full.8.s0"}
    workshop.run("eval", "tiny.toml", f"--eval.methods={json.dumps(list(methods.values()))}", "--run.name=again",
                 '--eval.tasks=["tasks/vowel.jsonl"]')
    scored = json.loads((workshop.folder / "runs/again/eval/results.json").read_text())
    for method, name in methods.items():
        item = next(item for item in results["items"] if item["method"] == method)
        again = scored["methods"][name]["tasks"]["vowel"]
        assert abs(again["nll_per_token"] - item["nll_per_token"]) < 1e-6
    refused = workshop.run("adapt", "tiny.toml", '--adapt.method=["lora"]', "--run.name=lora", expect=2)
    assert "tiny@v0001 holds (IA)³'s vectors, which have no rank" in refused.stderr


@pytest.mark.parametrize("words,sentence", [
    (["--poly.rank=4"], "poly.rank belongs to poly.adapter = \"lora\""),
    (["--poly.heads=5"], "k_proj is 24 wide, v_proj is 24 wide."),
    (["--lora.targets=[\"k_prj\"]"], "did you mean k_proj"),
])
def test_refused_before_anything_starts(workshop, words, sentence):
    assert sentence in pretrain(workshop, *MHR, *words, expect=2).stderr
    assert not (workshop.folder / "registry").exists()
