"""PEFT Poly folders: what PEFT saves is read, and what is written has PEFT's tensors and logits; the averaged skills
are a plain LoRA."""
import json

import pytest
import torch
from peft import PeftModel, PolyConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from make_models import make_model

TASKS, SKILLS = 3, 5
IDS = torch.arange(1, 9)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    make_model(folder, "llama", seed=5)
    return folder


def poly_model(base, heads, dtype=torch.float32, **settings):
    settings = {"r": 3, "target_modules": ["q_proj", "v_proj", "down_proj"]} | settings
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), PolyConfig(
        task_type="CAUSAL_LM", n_tasks=TASKS, n_skills=SKILLS, n_splits=heads, **settings))
    torch.manual_seed(heads)
    for name, parameter in model.named_parameters():
        if "poly_" in name:
            parameter.data = torch.randn(parameter.shape).to(dtype)
    return model.eval()


def from_folder(base, folder):
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()


@torch.no_grad()
def logits(model, task=None):
    return model(IDS).logits if task is None else model(IDS, task_ids=torch.tensor([task])).logits


def linears(base):
    return [name for name, module in AutoModelForCausalLM.from_pretrained(base).named_modules()
            if isinstance(module, torch.nn.Linear) and name != "lm_head"]


def edit(folder, **keys):
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | keys))


def bytes_of(folder):
    return {name: (tensor.dtype, tensor.shape, tensor.view(torch.uint8).numpy().tobytes())
            for name, tensor in load_file(folder / "adapter_model.safetensors").items()}


TARGETS = {"list": ["q_proj", "v_proj", "down_proj"], "regex": r".*\.(0|2)\..*\.(q|up)_proj",
           "some": ["layers.1.self_attn.v_proj", "o_proj"]}


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("heads", [1, 4])
def test_both_directions(probe, base, tmp_path, heads, targets):
    """PEFT → gaggle → PEFT: the same modules, bytes and logits of every task."""
    model = poly_model(base, heads, target_modules=TARGETS[targets])
    model.save_pretrained(tmp_path / "poly")
    shown = probe.json("poly-show", tmp_path / "poly")
    layers = {name.removeprefix("base_model.model."): module for name, module in model.named_modules()
              if hasattr(module, "poly_lora_A")}
    assert (shown["tasks"], shown["skills"], shown["heads"]) == (TASKS, SKILLS, heads)
    assert shown["base"] == str(base) and shown["dtype"] == "F32"
    assert shown["sites"] == {name: {"rank": 3, "d_in": layer.in_features, "d_out": layer.out_features}
                              for name, layer in layers.items()}

    probe.run("poly-copy", tmp_path / "poly", tmp_path / "copy", stdin="\n".join(linears(base)).encode())
    assert bytes_of(tmp_path / "copy") == bytes_of(tmp_path / "poly")
    again = from_folder(base, tmp_path / "copy")
    assert [n for n, m in again.named_modules() if hasattr(m, "poly_lora_A")] == [
        n for n, m in model.named_modules() if hasattr(m, "poly_lora_A")]
    for task in range(TASKS):
        assert torch.equal(logits(again, task), logits(model, task))
    assert not torch.allclose(logits(model, 0), logits(model, 1))
    config = json.loads((tmp_path / "copy" / "adapter_config.json").read_text())
    assert sorted(config) == ["base_model_name_or_path", "inference_mode", "n_skills", "n_splits", "n_tasks",
                              "peft_type", "poly_type", "r", "target_modules", "task_type"]


def test_half_precision_keeps_its_bytes(probe, base, tmp_path):
    poly_model(base, 4, torch.bfloat16).save_pretrained(tmp_path / "poly")
    assert probe.json("poly-show", tmp_path / "poly")["dtype"] == "BF16"
    probe.run("poly-copy", tmp_path / "poly", tmp_path / "copy", stdin=b"")
    assert bytes_of(tmp_path / "copy") == bytes_of(tmp_path / "poly")


@pytest.mark.parametrize("heads", [1, 4])
def test_the_mean_of_the_skills_is_a_plain_lora(probe, base, tmp_path, heads):
    """Uniform routing mixes mean A with mean B: PEFT's Poly with logits of 0 has the LoRA's logits."""
    model = poly_model(base, heads)
    model.save_pretrained(tmp_path / "poly")
    probe.run("poly-mean", tmp_path / "poly", tmp_path / "mu", stdin="\n".join(linears(base)).encode())
    config = json.loads((tmp_path / "mu" / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and config["lora_alpha"] == 1 and config["r"] == 3
    for name, parameter in model.named_parameters():
        if "module_logits" in name:
            parameter.data.zero_()
    assert torch.allclose(logits(from_folder(base, tmp_path / "mu")), logits(model, 1), atol=1e-4)


@pytest.mark.parametrize("keys,words", [
    ({"peft_type": "LORA"}, "peft_type"),
    ({"poly_type": "other"}, "poly_type"),
    ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ({"n_splits": 2}, "n_splits 2"),
    ({"n_skills": 4}, "n_skills 4"),
    ({"n_tasks": 2}, "module_logits"),
    ({"n_tasks": 0}, "n_tasks is 0"),
    ({"r": 5}, "poly_lora_A"),
    ({"r": "3"}, "r is"),
    ({"target_modules": ["q_proj"]}, "down_proj has tensors"),
    ({"target_modules": None}, "target_modules is missing"),
    ({"exclude_modules": ["v_proj"]}, "v_proj has tensors"),
])
def test_refused(probe, base, tmp_path, keys, words):
    poly_model(base, 4).save_pretrained(tmp_path / "poly")
    edit(tmp_path / "poly", **keys)
    done = probe.run("poly-show", tmp_path / "poly", check=False)
    assert done.returncode == 2 and words in done.stderr.decode() and str(tmp_path) in done.stderr.decode()


SITE = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize("change,words", [
    (lambda t: t.pop(SITE + ".poly_lora_B"), "poly_lora_A but not poly_lora_B"),
    (lambda t: t.pop(SITE + ".poly_router.module_logits"), "but not poly_router"),
    (lambda t: t.update({SITE + ".lora_A.weight": torch.ones(3, 48)}), "no part of a Poly adapter"),
    (lambda t: t.update({SITE + ".poly_lora_A": torch.ones(4, SKILLS, 12)}), "n_splits"),
    (lambda t: t.update({SITE + ".poly_lora_B": torch.ones(4, SKILLS, 12, 3)}), "d_out / n_splits"),
    (lambda t: t.update({SITE + ".poly_lora_A": torch.ones(4, SKILLS, 12, 3, dtype=torch.int32)}), "I32"),
    (lambda t: t.clear(), "no tensor"),
])
def test_refused_tensors(probe, base, tmp_path, change, words):
    poly_model(base, 4).save_pretrained(tmp_path / "poly")
    file = tmp_path / "poly" / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    done = probe.run("poly-show", tmp_path / "poly", check=False)
    assert done.returncode == 2 and words in done.stderr.decode(), done.stderr.decode()


def test_a_lora_is_no_poly(probe, base, tmp_path):
    poly_model(base, 1).save_pretrained(tmp_path / "poly")
    done = probe.run("peft-show", tmp_path / "poly", check=False)
    assert done.returncode == 2 and 'only "LORA" is read' in done.stderr.decode()
