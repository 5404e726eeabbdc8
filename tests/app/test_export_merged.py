"""gaggle registry export --merged: the mean of a collection's experts as one LoRA, in PEFT and against NumPy's SVD."""
import json
import shutil

import numpy as np
import pytest
import torch

EXPERTS = {  # unlike ranks, scales and modules
    "plain": dict(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"]),
    "wide": dict(r=9, lora_alpha=2, target_modules=["q_proj", "v_proj"], use_rslora=True),
    "patterned": dict(r=2, lora_alpha=3, target_modules=["q_proj", "down_proj"], rank_pattern={"down_proj": 5},
                      alpha_pattern={"0.self_attn.q_proj": 7}),
}


def base_model(shop):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(shop.folder / "base")


def deltas(model):
    """What PEFT adds to each module's weight."""
    return {name.removeprefix("base_model.model."): module.get_delta_weight("default").detach().double().numpy()
            for name, module in model.named_modules() if hasattr(module, "get_delta_weight")}


@pytest.fixture
def shop(workshop, tmp_path):
    """A registry of three experts, and the dense mean of what they add."""
    from peft import LoraConfig, get_peft_model

    means = {}
    for seed, (name, settings) in enumerate(EXPERTS.items()):
        model = get_peft_model(base_model(workshop), LoraConfig(task_type="CAUSAL_LM", **settings))
        torch.manual_seed(seed)
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                parameter.data.normal_()
        model.save_pretrained(tmp_path / "peft" / name)
        for site, delta in deltas(model).items():
            means[site] = means.get(site, 0) + delta / len(EXPERTS)
    workshop.run("registry", "import", *(tmp_path / "peft" / name for name in EXPERTS), "--base", "base")
    workshop.run("registry", "collect", "all")
    workshop.means = means
    return workshop


def exported(shop, *words):
    from peft import PeftModel

    shutil.rmtree(shop.folder / "out", ignore_errors=True)
    said = shop.run("registry", "export", "all", "--merged", "--to", "out", *words).stdout
    model = PeftModel.from_pretrained(base_model(shop), shop.folder / "out")
    return said, deltas(model), json.loads((shop.folder / "out/expert.json").read_text())


def test_at_its_own_rank_it_is_the_mean(shop):
    said, ours, about = exported(shop)
    assert ours.keys() == shop.means.keys()
    for site, mean in shop.means.items():
        assert np.linalg.norm(ours[site] - mean) < 1e-6 * np.linalg.norm(mean), site
    assert "all → out: the mean of 3 experts at" in said and "with 100.00% of its energy" in said
    config = json.loads((shop.folder / "out/adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 15 == about["lora"]["rank"]  # 4 + 9 + 2 at q_proj
    assert config["rank_pattern"] == config["alpha_pattern"] == {}
    assert about["origin"] == "merged" and about["collection"] == "all@v0001" and about["energy"]["kept"] == 1
    assert about["experts"] == ["patterned@v0001", "plain@v0001", "wide@v0001"]
    assert sorted(path.name for path in (shop.folder / "out").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "expert.json"]
    # And one of our experts again.
    shop.run("registry", "import", "out", "--name", "mean", "--base", "base")
    shop.run("registry", "verify")


@pytest.mark.parametrize("rank", [1, 6])
def test_of_a_lower_rank_it_keeps_what_it_says(shop, rank):
    said, ours, about = exported(shop, "--rank", rank)
    kept = all_of = 0
    shares = {}
    for site, mean in shop.means.items():
        squares = np.linalg.svd(mean, compute_uv=False) ** 2
        assert np.linalg.matrix_rank(ours[site], tol=1e-5 * np.linalg.norm(mean)) == rank
        lost = np.linalg.norm(mean - ours[site]) ** 2
        assert abs(lost - squares[rank:].sum()) < 1e-5 * squares.sum()
        shares[site] = squares[:rank].sum() / squares.sum()
        kept, all_of = kept + squares[:rank].sum(), all_of + squares.sum()
    worst = min(shares, key=shares.get)
    assert about["energy"]["kept"] == pytest.approx(kept / all_of, rel=1e-6)
    assert about["energy"]["kept_at_worst"] == pytest.approx(shares[worst], rel=1e-6)
    assert about["energy"]["worst_site"] == worst
    energy = f"{100 * kept / all_of:.2f}% of its energy Σσ² ({100 * shares[worst]:.2f}% at {worst})"
    assert f"rank {rank} of 15, with {energy}" in said


def test_what_is_wrong_is_said_and_nothing_is_written(shop, tmp_path):
    from safetensors.torch import load_file, save_file

    def refused(*words):
        said = shop.run("registry", *words, expect=2).stderr
        assert not (shop.folder / "no").exists() and not list(shop.folder.glob("*no*.*")), said
        return said

    no = ["--to", "no"]
    assert "--rank: belongs to gaggle registry export --merged" in refused("export", "all", "--rank", 4, *no)
    assert "--merged: belongs to gaggle registry export" in refused("ls", "--merged")
    assert "--rank -1: expected 1 or more" in refused("export", "all", "--merged", "--rank=-1", *no)
    assert "one of them" in refused("export", "all", "--merged", "--fold-scale", *no)
    assert "collections/plain is there" in refused("export", "plain", "--merged", *no)
    assert "did you mean all" in refused("export", "al", "--merged", *no)
    assert "is there already" in refused("export", "all", "--merged", "--to", "base")
    assert "lies in the registry" in refused("export", "all", "--merged", "--to", "registry/no")
    tensors = shop.folder / "registry/experts/wide/v0001/adapter_model.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-4] + bytes(4))
    assert "adapter_model.safetensors" in refused("export", "all", "--merged", *no)
    tensors.write_bytes(whole)
    # An expert of another base, which came in unseen.
    other = tmp_path / "peft/other"
    shutil.copytree(tmp_path / "peft/plain", other)
    file = other / "adapter_model.safetensors"
    save_file({name: torch.cat([value, value], -1).contiguous() if "lora_A" in name else value
               for name, value in load_file(file).items()}, file)
    shop.run("registry", "import", other)
    shop.run("registry", "collect", "all")
    said = refused("export", "all", "--merged", *no)
    assert "patterned@v0001 and other@v0001 are of different bases" in said and "80 wide in" in said, said
