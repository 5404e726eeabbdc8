"""Adapters that are no folders of today's PEFT: read as the same tensors, or refused with the true reason."""
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from make_models import make_model
from test_peft import edit, lora_model

SETTINGS = dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
PREFIX = "base_model.model."


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A LoRA as PEFT saves it."""
    folder = tmp_path_factory.mktemp("saved")
    make_model(folder / "base", "llama", seed=5)
    lora_model(folder / "base", **SETTINGS).save_pretrained(folder / "lora")
    return folder / "lora"


@pytest.fixture
def lora(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "lora")


def tensors_of(folder):
    return load_file(folder / "adapter_model.safetensors")


def rename(folder, name):
    """The same tensors under other names."""
    save_file({name(key): value for key, value in tensors_of(folder).items()}, folder / "adapter_model.safetensors")


def expect_same(probe, folder, saved):
    """gaggle reads what PEFT saved, scales included."""
    probe.run("peft-copy", folder, folder / "copy", "F32", stdin=b"")
    ours, theirs = tensors_of(folder / "copy"), tensors_of(saved)
    assert sorted(ours) == sorted(theirs) and all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert probe.json("peft-show", folder)["sites"] == probe.json("peft-show", saved)["sites"]


def refusal(probe, folder):
    done = probe.run("peft-show", folder, check=False)
    assert done.returncode == 2
    return done.stderr.decode()


def to_bin(folder):
    tensors = tensors_of(folder)
    (folder / "adapter_model.safetensors").unlink()
    torch.save(tensors, folder / "adapter_model.bin")


def to_swift(folder):
    rename(folder, lambda key: key.removeprefix(PREFIX).replace(".weight", ".default.weight"))
    edit(folder, swift_type="LORA", lora_dtype=None, lorap_lr_ratio=16.0, lorap_emb_lr=1e-6, use_qa_lora=False,
         use_merged_linear=False, enable_lora=None, model_key_mapping=None)


def to_mlx(folder, **settings):
    """mlx-lm: y += scale * (x a) b, a [d_in, r], b [r, d_out]."""
    def name(key):
        return key.removeprefix(PREFIX).replace("lora_A.weight", "lora_a").replace("lora_B.weight", "lora_b")

    save_file({name(key): value.T.contiguous() for key, value in tensors_of(folder).items()}, folder / "adapters.safetensors")
    (folder / "adapter_model.safetensors").unlink()
    parameters = {"rank": 4, "dropout": 0.0, "scale": 2.0, "keys": ["self_attn.q_proj", "self_attn.v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(
        {"fine_tune_type": "lora", "model": "mlx-community/Llama-3.2-1B-Instruct-4bit", "num_layers": 16,
         "lora_parameters": parameters | settings}))


FORMS = {
    "adapter_model.bin": to_bin,
    "the adapter's name": lambda folder: rename(folder, lambda key: key.replace(".weight", ".default.weight")),
    "another name": lambda folder: rename(folder, lambda key: key.replace(".weight", ".my-task.weight")),
    "ms-swift": to_swift,
    "MLX": to_mlx,
    "MLX of a version with alpha": lambda folder: to_mlx(folder, alpha=4.0),
}


@pytest.mark.parametrize("form", FORMS)
def test_other_forms_are_read(probe, lora, saved, form):
    FORMS[form](lora)
    expect_same(probe, lora, saved)


def test_half_precision_of_mlx_keeps_its_bits(probe, lora, saved):
    halved = {key: value.half() for key, value in tensors_of(lora).items()}
    save_file(halved, lora / "adapter_model.safetensors")
    to_mlx(lora)
    probe.run("peft-copy", lora, lora / "copy", "F16", stdin=b"")
    copied = tensors_of(lora / "copy")
    assert all(torch.equal(copied[key], value) and copied[key].dtype == torch.float16 for key, value in halved.items())


def two_names(folder):
    tensors = tensors_of(folder)
    save_file({key.replace(".weight", f".{name}.weight"): value.clone() for key, value in tensors.items()
               for name in ("math", "code")}, folder / "adapter_model.safetensors")


def evil_bin(folder):
    class Evil:
        def __reduce__(self):
            import os
            return os.system, (f"touch {folder}/marker",)

    (folder / "adapter_model.safetensors").unlink()
    torch.save({"a": Evil()}, folder / "adapter_model.bin")


def add(folder, name, *shape):
    save_file(tensors_of(folder) | {PREFIX + name: torch.ones(*shape)}, folder / "adapter_model.safetensors")


def inside(folder):
    for name in ("math", "code"):
        shutil.copytree(folder, folder / name, ignore=shutil.ignore_patterns("math"))
    (folder / "adapter_config.json").unlink()


REFUSED = {
    "two adapters": (two_names, ["several adapters (code, math)"]),
    "folders of adapters": (inside, ["folders of their own (code, math)"]),
    "no tensors": (lambda f: (f / "adapter_model.safetensors").unlink(), ["adapter_model.safetensors is not there"]),
    "code in the .bin": (evil_bin, ["system", "nothing was executed"]),
    "a head": (lambda f: add(f, "lm_head.base_layer.weight", 8, 4), ["neither head nor embedding", "--drop lm_head"]),
    "a whole head": (lambda f: edit(f, modules_to_save=["lm_head"]), ["neither head", "modules_to_save"]),
    "an embedding": (lambda f: add(f, "model.embed_tokens.lora_embedding_A", 4, 8), ["neither head", "--drop embed_tokens"]),
    "rows": (lambda f: edit(f, trainable_token_indices=[3]), ["trainable_token_indices", "--drop embed_tokens"]),
    "both": (lambda f: edit(f, modules_to_save=["lm_head", "embed_tokens"]), ["neither head", "--drop lm_head,embed_tokens"]),
    "another part": (lambda f: edit(f, modules_to_save=["score"]), ["modules_to_save", "score"]),
    "QA-LoRA": (lambda f: edit(f, swift_type="LORA", use_qa_lora=True), ["use_qa_lora of ms-swift"]),
    "ms-swift's others": (lambda f: edit(f, swift_type="LONGLORA"), ["swift_type", "LONGLORA"]),
    "MLX's DoRA": (lambda f: (to_mlx(f), edit(f, fine_tune_type="dora")), ["fine_tune_type", "dora"]),
    "MLX without a scale": (lambda f: to_mlx(f, scale=None), ["lora_parameters.scale"]),
    "MLX with alpha": (lambda f: to_mlx(f, alpha=16), ["alpha 16"]),
    "MLX of another rank": (lambda f: to_mlx(f, rank=3), ["of rank 3"]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_others_are_refused_by_name(probe, lora, what):
    make, words = REFUSED[what]
    make(lora)
    said = refusal(probe, lora)
    assert all(word in said for word in [*words, str(lora)]), said
    assert not (lora / "marker").exists()
