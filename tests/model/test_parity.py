"""The base against transformers: logits, NLL and every gradient, on tiny folders, stories260K and SmolLM2."""
import json

import numpy as np
import pytest
import torch
from make_models import forget_lengths, make_model
from safetensors.torch import load as load_bytes
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM


def model_pass(probe, path, dtype, **request):
    done = probe.run("model-pass", path, dtype, stdin=json.dumps(request).encode())
    return load_bytes(done.stdout)


def apart(ours, theirs):
    return ((ours.double() - theirs.double()).norm() / theirs.double().norm()).item()


def sequences(vocab, lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, vocab, (n,), generator=generator).tolist() for n in lengths]


def all_targets(rows):
    """Every row but the last of each sequence predicts the next token."""
    target_rows, target_ids, at = [], [], 0
    for row in rows:
        target_rows += range(at, at + len(row) - 1)
        target_ids += row[1:]
        at += len(row)
    return target_rows, target_ids


def reference(model, rows):
    """Logits [T, vocab], one sequence at a time: no padding on their side either, and nothing of the one before."""
    logits = []
    for row in rows:
        forget_lengths(model)
        logits.append(model(torch.tensor([row])).logits[0])
    return torch.cat(logits)


VARIANTS = {
    "llama": dict(kind="llama"),
    "llama-tied-llama3": dict(kind="llama", tied=True, rope="llama3", max_position_embeddings=512),
    "llama-linear-bias": dict(kind="llama", rope="linear", attention_bias=True, mlp_bias=True),
    "mistral-window": dict(kind="mistral", sliding_window=7),
    "qwen2": dict(kind="qwen2", tied=True),
    "qwen3": dict(kind="qwen3"),
    # Rows of 40 tokens are beyond the original 32, and beyond the window of one layer of three.
    "qwen2-yarn": dict(kind="qwen2", rope="yarn"),
    # Rows of up to 16 tokens are not beyond the original length; the others are, each by its own length.
    "llama-dynamic": dict(kind="llama", rope="dynamic"),
    "mistral-longrope": dict(kind="mistral", rope="longrope"),
    "qwen3-longrope": dict(kind="qwen3", rope="longrope"),
    "qwen3-window-on-some": dict(kind="qwen3", use_sliding_window=True, sliding_window=7, max_window_layers=2),
}


@pytest.fixture(scope="module", params=VARIANTS)
def tiny(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    settings = dict(VARIANTS[request.param])
    make_model(folder, settings.pop("kind"), seed=3, **settings)
    return folder


def test_logits_and_nll_of_tiny_models(probe, tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32, attn_implementation="eager")
    rows = sequences(model.config.vocab_size, [1, 40, 7, 23, 16, 40])
    target_rows, target_ids = all_targets(rows)
    ours = model_pass(probe, tiny, "fp32", sequences=rows, target_rows=target_rows, target_ids=target_ids)
    with torch.no_grad():
        logits = reference(model, rows)
    assert apart(ours["logits"], logits) < 1e-5
    nll = torch.nn.functional.cross_entropy(logits[target_rows], torch.tensor(target_ids), reduction="none")
    assert apart(ours["nll"], nll) < 1e-5


class PlusMatrix(torch.nn.Module):
    """A linear and a trainable matrix beside it."""

    def __init__(self, linear, matrix):
        super().__init__()
        self.linear, self.matrix = linear, torch.nn.Parameter(matrix)

    @property
    def weight(self):  # T5 asks its type
        return self.linear.weight

    def forward(self, x):
        return self.linear(x) + x @ self.matrix.T


def with_matrices(model, scale, seed=5):
    generator = torch.Generator().manual_seed(seed)
    placed = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            matrix = scale * torch.randn(module.weight.shape, generator=generator, dtype=torch.float64)
            parent, child = name.rsplit(".", 1)
            placed[name] = PlusMatrix(module, matrix)
            setattr(model.get_submodule(parent), child, placed[name])
    return placed


def test_every_gradient_equals_autograd(probe, tiny, tmp_path):
    """fp64 against fp64, so that a missing term cannot hide behind rounding (their rotary table is fp32)."""
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float64, attn_implementation="eager")
    model.requires_grad_(False)
    placed = with_matrices(model, 0.02)
    rows = sequences(model.config.vocab_size, [5, 30, 12, 1, 13], seed=1)
    target_rows, target_ids = all_targets(rows)
    target_rows, target_ids = target_rows[3:] + [2, 2, 2], target_ids[3:] + [4, 9, 4]
    weights = torch.rand(len(target_rows), generator=torch.Generator().manual_seed(2)).tolist()
    nll = torch.nn.functional.cross_entropy(reference(model, rows)[target_rows], torch.tensor(target_ids),
                                            reduction="none")
    (nll * torch.tensor(weights)).sum().backward()
    path = tmp_path / "matrices.safetensors"
    save_file({
name: module.matrix.detach().contiguous() for name, module in placed.items()}, path)
    ours = model_pass(probe, tiny, "fp64", sequences=rows, matrices=str(path), target_rows=target_rows,
                      target_ids=target_ids, target_weights=weights)
    assert apart(ours["training_nll"], nll.detach()) < 1e-6
    assert len(placed) == 7 * model.config.num_hidden_layers
    for name, module in placed.items():
        assert apart(ours[name], module.matrix.grad) < 1e-6, name

    single = {name: module.matrix.detach().float().contiguous() for name, module in placed.items()}
    save_file(single, path)
    for dtype, limit in {"fp32": 1e-4, "bf16": 0.06}.items():
        ours = model_pass(probe, tiny, dtype, sequences=rows, matrices=str(path), target_rows=target_rows,
                          target_ids=target_ids, target_weights=weights)
        assert apart(ours["training_nll"], nll.detach()) < limit
        whole = torch.cat([ours[name].flatten() for name in placed])
        assert apart(whole, torch.cat([m.matrix.grad.flatten() for m in placed.values()])) < limit, dtype


def test_smollm2_from_gguf(probe, smollm2):
    model = AutoModelForCausalLM.from_pretrained(smollm2.parent, gguf_file=smollm2.name, dtype=torch.float32)
    rows = sequences(model.config.vocab_size, [64, 3, 31])
    target_rows, target_ids = all_targets(rows)
    ours = model_pass(probe, smollm2, "fp32", sequences=rows, target_rows=target_rows, target_ids=target_ids)
    with torch.no_grad():
        logits = reference(model, rows)
    assert apart(ours["logits"], logits) < 1e-4
    nll = torch.nn.functional.cross_entropy(logits[target_rows], torch.tensor(target_ids), reduction="none")
    assert ((ours["nll"] - nll).abs() / nll.abs().clamp(min=1)).max() < 1e-4
    half = model_pass(probe, smollm2, "bf16", sequences=rows, target_rows=target_rows, target_ids=target_ids)
    assert abs(half["nll"].mean() - nll.mean()) < 0.02


def test_stories260k(probe, shared):
    folder = next((p.parent for p in (shared / "models").rglob("config.json") if "stories" in str(p)), None)
    if folder is None:
        pytest.skip("no stories260K in ../shared/models")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = sequences(model.config.vocab_size, [100, 17, 64])
    target_rows, target_ids = all_targets(rows)
    ours = model_pass(probe, folder, "fp32", sequences=rows, target_rows=target_rows, target_ids=target_ids)
    with torch.no_grad():
        assert apart(ours["logits"], reference(model, rows)) < 1e-4


def test_digests_do_not_depend_on_dtype_or_container(probe, tmp_path):
    make_model(tmp_path / "one", "qwen2", seed=4)
    make_model(tmp_path / "three", "qwen2", seed=4, shards=3)
    make_model(tmp_path / "other", "qwen2", seed=5)
    one, three, other = (probe.json("model-info", tmp_path / name, "fp32") for name in ("one", "three", "other"))
    half = probe.json("model-info", tmp_path / "one", "bf16")
    assert one["content_digest"] == three["content_digest"] == half["content_digest"] != other["content_digest"]
    assert one["shape_digest"] == three["shape_digest"] == half["shape_digest"] == other["shape_digest"]
    path = tmp_path / "one/config.json"
    config = json.loads(path.read_text())
    for parameters in config.get("rope_parameters") or {}, config:  # transformers 5, and 4
        parameters["rope_theta"] = 20000.0
    path.write_text(json.dumps(config))
    turned = probe.json("model-info", tmp_path / "one", "fp32")
    assert turned["content_digest"] != one["content_digest"] and turned["shape_digest"] == one["shape_digest"]
    assert one["sites"][:2] == [["model.layers.0.self_attn.q_proj", "q_proj", 0, 48, 48],
                                ["model.layers.0.self_attn.k_proj", "k_proj", 0, 48, 24]]
    assert one["linear_weights"] == sum(site[3] * site[4] for site in one["sites"])
