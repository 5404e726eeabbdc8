"""PEFT LoRA folders: what PEFT saves is read with PEFT's ranks and scales, and what is written loads in PEFT."""
import json
import re

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from make_models import make_model

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    make_model(folder, "llama", seed=5)
    return folder


def lora_model(base, seed=0, **settings):
    torch.manual_seed(seed)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(task_type="CAUSAL_LM", **settings))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(std=0.3)
    return model.eval()


def peft_sites(model):
    """site → (rank, scale) of PEFT's own layers."""
    return {name.removeprefix("base_model.model."): (module.r["default"], module.scaling["default"])
            for name, module in model.named_modules() if hasattr(module, "lora_A") and module.lora_A}


def all_sites(model):
    return [name.removeprefix("base_model.model.").removesuffix(".base_layer")
            for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)
            and ".lora_" not in name and "lm_head" not in name]


SETTINGS = {
    "list": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    "regex": dict(r=4, lora_alpha=3, target_modules=r".*\.layers\.(0|2)\.(mlp|self_attn)\.(up|k)_proj"),
    "all-linear": dict(r=2, lora_alpha=1, target_modules="all-linear"),
    "rslora": dict(r=5, lora_alpha=7, target_modules=LINEARS, use_rslora=True),
    "patterns": dict(r=4, lora_alpha=8, target_modules=LINEARS,
                     # PEFT sorts the keys when it saves, and the first that matches counts: sorted here already.
                     rank_pattern={r".*\.1\..*down_proj": 3, "down_proj": 6, "q_proj": 8},
                     alpha_pattern={r".*\.0\..*o_proj": 16, "mlp.up_proj": 5, "o_proj": 2}),
    "patterns and rslora": dict(r=4, lora_alpha=8, target_modules=["q_proj", "o_proj"], use_rslora=True,
                                rank_pattern={"q_proj": 9}, alpha_pattern={"layers.2.self_attn.o_proj": 5}),
    "layers": dict(r=4, lora_alpha=8, target_modules=["q_proj"], layers_to_transform=[0, 2]),
    "layers with pattern": dict(r=4, lora_alpha=8, target_modules=["q_proj"], layers_to_transform=1,
                                layers_pattern="layers"),
    "excluded": dict(r=4, lora_alpha=8, target_modules=LINEARS, exclude_modules=["layers.1.mlp.up_proj"]),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_folders_of_peft(probe, base, tmp_path, name):
    model = lora_model(base, **SETTINGS[name])
    model.save_pretrained(tmp_path / "lora")
    if name == "all-linear":  # PEFT writes the list it resolved: the word itself stands in configs that people write
        edit(tmp_path / "lora", target_modules="all-linear")
    shown = probe.json("peft-show", tmp_path / "lora")
    expected = peft_sites(model)
    assert sorted(shown["sites"]) == sorted(expected)
    for site, (rank, scale) in expected.items():
        assert (shown["sites"][site]["rank"], shown["sites"][site]["scale"]) == (rank, scale), site
    assert shown["base"] == str(base)


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_written_loads_in_peft(probe, base, tmp_path, name):
    """PEFT folder → gaggle → PEFT: the same modules, ranks, scales, tensors and logits."""
    model = lora_model(base, **SETTINGS[name])
    model.save_pretrained(tmp_path / "lora")
    probe.run("peft-copy", tmp_path / "lora", tmp_path / "copy", "F32", stdin="\n".join(all_sites(model)).encode())
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "copy").eval()
    assert peft_sites(again) == peft_sites(model)
    ours, theirs = (load_file(tmp_path / f / "adapter_model.safetensors") for f in ("copy", "lora"))
    assert sorted(ours) == sorted(theirs) and all(torch.equal(ours[k], theirs[k]) for k in theirs)
    ids = torch.arange(1, 9)[None]
    with torch.no_grad():
        assert torch.equal(again(ids).logits, model(ids).logits)
    config = json.loads((tmp_path / "copy" / "adapter_config.json").read_text())
    assert sorted(config) == ["alpha_pattern", "base_model_name_or_path", "bias", "inference_mode", "lora_alpha",
                              "lora_dropout", "peft_type", "r", "rank_pattern", "target_modules", "task_type"]
    assert config["inference_mode"] is True and config["lora_dropout"] == 0 and config["bias"] == "none"
    assert not isinstance(config["target_modules"], str) and "lm_head" not in config["target_modules"]


@pytest.mark.parametrize("dtype,name", [(torch.bfloat16, "BF16"), (torch.float16, "F16")])
def test_half_precision(probe, base, tmp_path, dtype, name):
    lora_model(base, **SETTINGS["list"]).save_pretrained(tmp_path / "lora")
    file = tmp_path / "lora" / "adapter_model.safetensors"
    halved = {key: value.to(dtype) for key, value in load_file(file).items()}
    save_file(halved, file, metadata={"format": "pt"})
    assert probe.json("peft-show", tmp_path / "lora")["dtype"] == name
    probe.run("peft-copy", tmp_path / "lora", tmp_path / "copy", name, stdin=b"")
    copied = load_file(tmp_path / "copy" / "adapter_model.safetensors")
    assert all(torch.equal(copied[key], value) and copied[key].dtype == dtype for key, value in halved.items())


def edit(folder, **keys):
    config = json.loads((folder / "adapter_config.json").read_text())
    config.update(keys)
    (folder / "adapter_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("keys,words", [
    ({"use_dora": True}, "use_dora"),
    ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ({"bias": "some"}, "bias"),
    ({"peft_type": "IA3"}, "peft_type"),
    ({"init_lora_weights": "pissa"}, "pissa"),
    ({"init_lora_weights": "lora_ga"}, "lora_ga"),
    ({"init_lora_weights": 1}, "init_lora_weights is 1"),
    ({"use_rslora": "false"}, "use_rslora"),
    ({"use_rslora": 1}, "use_rslora"),
    ({"rank_pattern": ["q_proj"]}, "rank_pattern"),
    ({"alpha_pattern": {"q_proj": "8"}}, "alpha_pattern"),
    ({"lora_alpha": 1e300}, "lora_alpha"),
    ({"lora_alpha": True}, "lora_alpha"),
    ({"r": None}, "r is null"),
    ({"kasa_config": {"beta": 1}}, "kasa_config"),
    ({"lora_bias": True}, "lora_bias"),
    ({"r": 5}, "rank"),
    ({"r": "4"}, "r is"),
    ({"lora_alpha": 0}, "lora_alpha"),
    ({"target_modules": ["q_proj"]}, "v_proj"),
    ({"target_modules": None}, "target_modules"),
    ({"target_modules": "(q_proj"}, "(q_proj"),
    ({"exclude_modules": ["v_proj"]}, "v_proj"),
])
def test_refused(probe, base, tmp_path, keys, words):
    lora_model(base, **SETTINGS["list"]).save_pretrained(tmp_path / "lora")
    edit(tmp_path / "lora", **keys)
    done = probe.run("peft-show", tmp_path / "lora", check=False)
    assert done.returncode == 2 and words in done.stderr.decode() and str(tmp_path) in done.stderr.decode()


@pytest.mark.parametrize("keys", [
    {"bias": "all"}, {"bias": "lora_only"}, {"fan_in_fan_out": True}, {"init_lora_weights": False},
    {"init_lora_weights": None}, {"init_lora_weights": "gaussian"}, {"init_lora_weights": "eva"},
    {"init_lora_weights": "orthogonal"}, {"init_lora_weights": "mica"}, {"use_dora": None}])
def test_what_changes_nothing_is_accepted(probe, base, tmp_path, keys):
    lora_model(base, **SETTINGS["list"]).save_pretrained(tmp_path / "lora")
    before = probe.json("peft-show", tmp_path / "lora")
    edit(tmp_path / "lora", **keys)
    assert probe.json("peft-show", tmp_path / "lora") == before


@pytest.mark.parametrize("name", ["patterns", "patterns and rslora"])
def test_peft_before_0_15_finds_what_is_written(probe, base, tmp_path, name):
    """It took the first key of either table that a module's path ends in, else the path itself, for both tables."""
    model = lora_model(base, **SETTINGS[name])
    model.save_pretrained(tmp_path / "lora")
    probe.run("peft-copy", tmp_path / "lora", tmp_path / "copy", "F32", stdin="\n".join(all_sites(model)).encode())
    config = json.loads((tmp_path / "copy" / "adapter_config.json").read_text())
    assert list(config["rank_pattern"]) == list(config["alpha_pattern"]) != []
    for site, (rank, scale) in peft_sites(model).items():
        key = next((key for key in config["rank_pattern"] if re.match(rf".*\.{key}$", site)), site)
        found = config["rank_pattern"].get(key, config["r"])
        assert (found, config["alpha_pattern"].get(key, config["lora_alpha"]) / found) == (rank, scale), site


@pytest.mark.parametrize("rename,words", [
    (lambda k: k.replace("lora_A", "lora_embedding_A"), "lora_embedding_A"),
    (lambda k: k.replace("base_model.model.", ""), "no part"),
    (lambda k: None if "layers.0.self_attn.q_proj.lora_B" in k else k, "lora_A but not lora_B"),
    (lambda k: k.replace("lora_A.weight", "lora_magnitude_vector"), "DoRA"),
    (lambda k: k.replace("lora_A.weight", "base_layer.bias"), "is a bias"),
])
def test_refused_tensors(probe, base, tmp_path, rename, words):
    lora_model(base, **SETTINGS["list"]).save_pretrained(tmp_path / "lora")
    file = tmp_path / "lora" / "adapter_model.safetensors"
    save_file({rename(k): v for k, v in load_file(file).items() if rename(k)}, file)
    done = probe.run("peft-show", tmp_path / "lora", check=False)
    assert done.returncode == 2 and words in done.stderr.decode()


def test_real_dora_is_refused(probe, base, tmp_path):
    lora_model(base, use_dora=True, **SETTINGS["list"]).save_pretrained(tmp_path / "dora")
    assert "DoRA" in probe.run("peft-show", tmp_path / "dora", check=False).stderr.decode()
