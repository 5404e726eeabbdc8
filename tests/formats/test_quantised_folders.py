"""Folders that bitsandbytes has quantised, and linears held in few bits: the values are those of bitsandbytes."""
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from make_models import make_model
from workshop import Workshop, write_tasks, write_tokenizer

functional = pytest.importorskip("bitsandbytes.functional")

SHAPE = {"hidden_size": 64, "intermediate_size": 128}


def is_linear(name):
    return name.endswith("_proj.weight")


def quantise(folder, kind, nested=False):
    """In place, as transformers writes it: the linears of the layers, the head stays. Returns what they stand for."""
    tensors, meant = {}, {}
    for name, value in load_file(folder / "model.safetensors").items():
        tensors[name] = meant[name] = value = value.clone()  # the file that it was mapped from is written anew
        if not is_linear(name):
            continue
        if kind == "int8":
            codes, scales, _ = functional.int8_vectorwise_quant(value.half())
            module = name.removesuffix("weight")
            tensors |= {name: codes, module + "SCB": scales, module + "weight_format": torch.tensor(0, dtype=torch.uint8)}
            meant[name] = functional.int8_vectorwise_dequant(codes, scales)
        else:
            codes, state = functional.quantize_4bit(value, quant_type=kind, compress_statistics=nested)
            tensors |= {name: codes, **{f"{name}.{part}": part_of for part, part_of in state.as_dict(packed=True).items()}}
            meant[name] = functional.dequantize_4bit(codes, state)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": kind != "int8",
                                     "load_in_8bit": kind == "int8", "bnb_4bit_quant_type": kind}
    (folder / "config.json").write_text(json.dumps(config))
    return meant


@pytest.mark.parametrize("kind,nested", [("nf4", False), ("nf4", True), ("int8", False)])
def test_a_folder_of_bitsandbytes_is_read(probe, tmp_path, kind, nested):
    make_model(tmp_path / "m", **SHAPE)
    meant = quantise(tmp_path / "m", kind, nested)
    probe.run("weights", tmp_path / "m", tmp_path / "out.safetensors")
    found = load_file(tmp_path / "out.safetensors")
    assert sorted(found) == sorted(meant)
    for name, value in meant.items():
        # Scales that are quantised themselves are multiplied and added in one rounding there, in two here.
        limit = 1e-6 if nested and is_linear(name) else 0
        assert (found[name] - value).abs().max() <= limit * value.abs().max(), name


@pytest.fixture
def shop(tmp_path, gaggle):
    make_model(tmp_path / "base", **SHAPE)
    write_tokenizer(tmp_path / "base")
    write_tasks(tmp_path / "tasks")
    return Workshop(tmp_path, gaggle)


def base_losses(shop, name, *words):
    """Of every target by the base alone, and what the plan says that the base takes."""
    said = shop.run("eval", "tiny.toml", "--eval.methods=['none']", f"--run.name={name}", *words).stdout
    lines = (shop.folder / "runs" / name / "eval/predictions.jsonl").read_text().splitlines()
    return torch.tensor([json.loads(line)["target_nll"] for line in lines]), said


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_what_gaggle_quantises_is_what_bitsandbytes_does(shop, kind):
    plain, _ = base_losses(shop, "plain")
    ours, _ = base_losses(shop, "ours", f"--model.storage={kind}")
    quantise(shop.folder / "base", kind)
    theirs, _ = base_losses(shop, "theirs", "--model.storage=file")
    expanded, _ = base_losses(shop, "expanded")
    again, _ = base_losses(shop, "again", f"--model.storage={kind}")
    assert torch.equal(theirs, again)  # the folder's own form: nothing is quantised twice
    assert (theirs - expanded).abs().max() < 1e-5
    # int8 of bitsandbytes begins from fp16.
    assert ((ours - theirs) / theirs).abs().max() < (1e-6 if kind == "nf4" else 1e-3)
    assert 1e-5 < ((ours - plain) / plain).abs().max() < (0.1 if kind == "nf4" else 0.01)


@pytest.mark.parametrize("storage", ["dtype", "file"])
def test_experts_are_trained_on_a_quantised_folder(shop, storage):
    quantise(shop.folder / "base", "nf4", nested=True)
    shop.experts(f"--model.storage={storage}", "--train.recompute=layer")
    registry = shop.folder / "registry/experts"
    assert sorted(path.name for path in registry.iterdir()) == ["copy", "first", "reverse", "vowel"]
    scores = shop.run("eval", "tiny.toml", f"--model.storage={storage}", "--eval.methods=['none','experts']")
    results = json.loads((shop.folder / "runs/tiny/eval/results.json").read_text())
    assert "none" in json.dumps(results) and scores.returncode == 0


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_a_gpu_expands_them_to_the_same(shop, kind):
    fake = shop.gaggle.parent / "gaggle_fake_gpu"
    if not fake.exists():
        pytest.skip("gaggle_fake_gpu is not built")
    here, _ = base_losses(shop, "here", f"--model.storage={kind}")
    shop.gaggle = fake
    there, said = base_losses(shop, "there", f"--model.storage={kind}", "--run.device=auto")
    assert "fake:0" in said
    assert (here - there).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["Q4_K", "Q6_K", "Q8_0"])
def test_a_gguf_base_trains_as_its_file_has_it(shop, name):
    """On the processor to the bits of the numbers it stands for; on a GPU to the same but for rounding."""
    from test_models import quantised_model, write_gguf

    model, blocks = quantised_model(shop.folder / "m", "llama", name, vocab_size=300)
    write_gguf(shop.folder / "base.gguf", model, blocks=blocks, with_tokens=True)
    words = ["--model.path=base.gguf", "--train.steps=2", "--gate.steps=1", "--data.tasks=['tasks/vowel.jsonl']"]
    shop.experts(*words, "--registry.path=dtype")
    said = shop.experts(*words, "--registry.path=file", "--model.storage=file").stdout
    assert shop.bits("file") == shop.bits("dtype") != {}
    shop.gaggle = shop.gaggle.parent / "gaggle_fake_gpu"
    if not shop.gaggle.exists():
        pytest.skip("gaggle_fake_gpu is not built")
    said = shop.experts(*words, "--registry.path=gpu", "--model.storage=file", "--run.device=auto").stdout
    assert "fake:0" in said
    one, other = (load_file(shop.folder / registry / "experts/vowel/v0001/adapter_model.safetensors") for registry in ["file", "gpu"])
    assert max((one[key] - other[key]).norm() / one[key].norm().clamp(min=1e-6) for key in one) < 1e-3


def test_bits_that_are_taken_away_make_another_base(shop):
    shop.experts()
    refused = shop.experts("--model.storage=nf4", expect=2).stderr
    assert "whose weights or settings (docs/registry.md) differ" in refused


def test_what_is_not_supported_says_so(probe, shop):
    base = shop.folder / "base"
    plain = (base / "config.json").read_text(), (base / "model.safetensors").read_bytes()

    def refused():
        return shop.run("eval", "tiny.toml", "--eval.methods=['none']", expect=2).stderr

    quantise(base, "fp4")
    assert "fp4; expected nf4 or int8" in refused()
    (base / "config.json").write_text(plain[0]), (base / "model.safetensors").write_bytes(plain[1])
    quantise(base, "nf4")
    tensors = {name: value.clone() for name, value in load_file(base / "model.safetensors").items()}
    name = "model.layers.0.mlp.up_proj.weight"
    save_file({k: v for k, v in tensors.items() if k != name + ".absmax"}, base / "model.safetensors")
    assert name + ".absmax is missing" in refused()
    save_file({k: v for k, v in tensors.items() if "quant_state" not in k}, base / "model.safetensors")
    assert "no tensor says how they are meant" in refused()
    config = json.loads((base / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (base / "config.json").write_text(json.dumps(config))
    assert "those of bitsandbytes (nf4, int8) are supported" in refused()
