"""Thirty full-batch steps of expert training, then of gate training, against plain PyTorch in fp32."""
import json

import kinds
import pytest
import torch
from safetensors.torch import load_file, save_file

STEPS, LR, RANK, ALPHA = 30, 5e-3, 4, 0.25
BIAS = {"llama": 0.0, "t5-v1.1": -1.0, "t5-v1.0": 0.0}  # of the gates


class Adapted(torch.nn.Module):
    """y = W x + g · scale · B A x with g = 1, or σ(v·x + b) once gated."""

    def __init__(self, linear, a, b, bias):
        super().__init__()
        self.linear, self.a, self.b = linear, torch.nn.Parameter(a.clone()), torch.nn.Parameter(b.clone())
        self.v = torch.nn.Parameter(torch.zeros(linear.in_features))
        self.gated, self.bias = False, bias

    @property
    def weight(self):  # T5 asks its type
        return self.linear.weight

    def forward(self, x):
        g = torch.sigmoid(x @ self.v + self.bias).unsqueeze(-1) if self.gated else 1.0
        return self.linear(x) + g * (ALPHA / RANK) * ((x @ self.a.T) @ self.b.T)


def adapt(model, start, kind):
    sites = {}
    for name, module in list(model.named_modules()):
        if kinds.is_site(name, kind):
            parent, _, last = name.rpartition(".")
            sites[name] = Adapted(module, start[name + ".lora_A"], start[name + ".lora_B"], BIAS[kind])
            setattr(model.get_submodule(parent), last, sites[name])
    return sites


def batch_loss(model, examples):
    logits = torch.cat(kinds.all_target_logits(model, examples)).float()
    return torch.nn.functional.cross_entropy(logits, torch.tensor([t for e in examples for t in e["target"]]))


def train(model, parameters, examples):
    optimizer = torch.optim.AdamW(parameters, lr=LR, weight_decay=0.0)
    warm = 2  # ceil(0.06 * 30)
    losses = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = LR * min(1, step / warm)
        optimizer.zero_grad()
        loss = batch_loss(model, examples)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.fixture(scope="module", params=kinds.KINDS)
def setting(request, tmp_path_factory):
    kind, folder = request.param, tmp_path_factory.mktemp("reference")
    model = kinds.make(folder / "base", kind, seed=5)
    draw = torch.Generator().manual_seed(1)

    def ids(n):
        return torch.randint(0, 300, (n,), generator=draw).tolist()

    examples = [kinds.example(kind, ids(2 + i % 5), ids(1 + i % 3)) for i in range(12)]
    start, peft = {}, {}
    for name, module in model.named_modules():
        if kinds.is_site(name, kind):
            a = 0.1 * torch.randn(RANK, module.in_features, generator=draw)
            b = 0.1 * torch.randn(module.out_features, RANK, generator=draw)
            start[name + ".lora_A"], start[name + ".lora_B"] = a, b
            peft[f"base_model.model.{name}.lora_A.weight"], peft[f"base_model.model.{name}.lora_B.weight"] = a, b
    (folder / "start").mkdir()
    save_file(peft, folder / "start" / "adapter_model.safetensors", {"format": "pt"})
    (folder / "start" / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "task_type": kinds.task_type(kind), "base_model_name_or_path": "base", "r": RANK,
        "lora_alpha": ALPHA, "lora_dropout": 0.0, "bias": "none", "target_modules": kinds.TARGETS[kind]}))
    return folder, model, examples, start, kind


def run_probe(probe, folder, examples, name, **more):
    spec = {"model": str(folder / "base"), "rows": examples, "init_from": str(folder / "start"), "steps": STEPS,
            "gate_steps": STEPS, "rank": RANK, "alpha": ALPHA, "tokens_per_microbatch": 16, **more}
    (folder / f"{name}.spec.json").write_text(json.dumps(spec))
    probe.run("train", folder / f"{name}.spec.json", folder / name)
    return load_file(folder / f"{name}.safetensors"), json.loads((folder / f"{name}.json").read_text())


def distances(ours, theirs):
    both = [(ours[name].double(), value.detach().double()) for name, value in theirs.items()]
    total = sum((a - b).norm() ** 2 for a, b in both) ** 0.5 / sum(b.norm() ** 2 for _, b in both) ** 0.5
    return float(total), max(float((a - b).norm() / b.norm()) for a, b in both)


def test_lora_then_gates_equal_plain_pytorch(probe, setting):
    folder, model, examples, start, kind = setting
    ours, about = run_probe(probe, folder, examples, "alone", gate_bias=BIAS[kind])
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    sites = adapt(model, start, kind)
    lora_losses = train(model, [p for s in sites.values() for p in (s.a, s.b)], examples)
    for site in sites.values():
        site.gated = True
        site.a.requires_grad_(False), site.b.requires_grad_(False)
    gate_losses = train(model, [s.v for s in sites.values()], examples)

    for got, expected in [(about["lora"], lora_losses), (about["gate"], gate_losses)]:
        assert len(got) == STEPS
        assert max(abs(a - b) / abs(b) for a, b in zip(got, expected)) < 1e-5
    lora = {f"lora/{n}.lora_{k}": getattr(s, k.lower()) for n, s in sites.items() for k in "AB"}
    gates = {f"gate/{n}.gate": s.v for n, s in sites.items()}
    for theirs in (lora, gates):
        total, worst = distances(ours, theirs)
        assert total < 1e-4 and worst < 1e-3, (total, worst)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_make_equal_bits_on_a_real_model(probe, setting, ranks):
    folder, _, examples, *_ = setting
    alone, _ = run_probe(probe, folder, examples, "lanes1", lanes=8, steps=4, gate_steps=3)
    shared, _ = run_probe(probe, folder, examples, f"lanes{ranks}", lanes=8, steps=4, gate_steps=3, ranks=ranks)
    assert all(torch.equal(alone[name], shared[name]) for name in alone)
