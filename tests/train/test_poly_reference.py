"""Twenty full-batch steps of Poly / MHR against PEFT's Poly under torch's AdamW, in fp32; and PEFT's logits of a
folder against ours. PEFT's router draws samples in training: its model stays in evaluation mode, where a mixture is
the plain sigmoid's."""
import json

import kinds
import pytest
import torch
from peft import PolyConfig, get_peft_model
from safetensors.torch import load_file

STEPS, LR, ROUTER_LR, RANK, SKILLS, TASKS = 20, 5e-3, 0.05, 2, 3, 3
WARM = 2  # ceil(0.06 * 20)


@pytest.fixture(scope="module", params=kinds.KINDS)
def base(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("poly") / request.param
    kinds.make(folder, request.param, seed=5)
    return folder


def ids(draw, n):
    return torch.randint(0, 300, (n,), generator=draw).tolist()


def tasks_of(draw, kind):
    return [[kinds.example(kind, ids(draw, 2 + i % 5), ids(draw, 1 + i % 3)) for i in range(3 + 2 * task)]
            for task in range(TASKS)]


def poly_model(base, heads, folder):
    """PEFT's Poly with random values, saved to `folder`."""
    model = get_peft_model(kinds.load(base, base.name), PolyConfig(
        task_type=kinds.task_type(base.name), n_tasks=TASKS, n_skills=SKILLS, n_splits=heads, r=RANK,
        target_modules=kinds.TARGETS[base.name]))
    draw = torch.Generator().manual_seed(heads)
    for name, parameter in sorted(model.named_parameters()):
        if "poly_" in name:
            std = 1.0 if "module_logits" in name else 0.1
            parameter.data = std * torch.randn(parameter.shape, generator=draw)
    model.save_pretrained(folder)
    return model.eval()


def batch_loss(model, tasks, smoothing):
    examples = [example for task in tasks for example in task]
    task_ids = torch.tensor([number for number, task in enumerate(tasks) for _ in task])
    logits = torch.cat(kinds.all_target_logits(model, examples, task_ids=task_ids)).float()
    targets = torch.tensor([token for example in examples for token in example["target"]])
    return torch.nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)


def train(model, tasks, smoothing, decay, clip, linear):
    named = [(n, p) for n, p in model.named_parameters() if "poly_" in n]
    assert all(p.requires_grad for _, p in named)
    skills = [p for n, p in named if "module_logits" not in n]
    router = [p for n, p in named if "module_logits" in n]
    optimizer = torch.optim.AdamW([{"params": skills, "weight_decay": decay},
                                   {"params": router, "weight_decay": 0.0}], lr=LR)
    losses = []
    for step in range(STEPS):
        scale = min(1, step / WARM) * ((STEPS - step) / (STEPS - WARM) if linear and step >= WARM else 1)
        for group, lr in zip(optimizer.param_groups, (LR, ROUTER_LR)):
            group["lr"] = lr * scale
        optimizer.zero_grad()
        loss = batch_loss(model, tasks, smoothing)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(skills + router, clip)
        optimizer.step()
        losses.append(loss.item())
    return losses, {n.removeprefix("base_model.model.").replace(".default", ""): p.detach() for n, p in named}


@pytest.mark.parametrize("heads,smoothing,decay,clip,linear", [
    (1, 0.0, 0.0, 1.0, False), (4, 0.0, 0.1, 0.1, False), (4, 0.1, 0.01, 1.0, True)])
def test_steps_equal_peft_under_adamw(probe, base, tmp_path, heads, smoothing, decay, clip, linear):
    tasks = tasks_of(torch.Generator().manual_seed(7), base.name)
    model = poly_model(base, heads, tmp_path / "start")
    (tmp_path / "spec.json").write_text(json.dumps({
        "model": str(base), "from": str(tmp_path / "start"), "tasks": tasks, "heads": heads, "skills": SKILLS,
        "rank": RANK, "targets": kinds.TARGETS[base.name], "steps": STEPS, "lr": LR, "router_lr": ROUTER_LR, "warmup": 0.06,
        "schedule": "linear" if linear else "constant", "weight_decay": decay, "clip": clip,
        "label_smoothing": smoothing, "lanes": 2, "tokens_per_microbatch": 24}))
    probe.run("poly-train", tmp_path / "spec.json", tmp_path / "done")
    ours, our_losses = load_file(tmp_path / "done.safetensors"), json.loads((tmp_path / "done.json").read_text())

    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    losses, theirs = train(model, tasks, smoothing, decay, clip, linear)
    assert sorted(ours) == sorted(theirs)
    assert losses[-1] < 0.95 * losses[0]
    assert max(abs(a - b) / b for a, b in zip(our_losses, losses)) < 1e-5 and len(our_losses) == STEPS
    apart = {n: float((ours[n].double() - t.double()).norm() / t.double().norm()) for n, t in theirs.items()}
    total = (sum((ours[n].double() - t.double()).norm() ** 2 for n, t in theirs.items()) /
             sum(t.double().norm() ** 2 for t in theirs.values())) ** 0.5
    assert total < 1e-4 and max(apart.values()) < 1e-3, (float(total), max(apart.items(), key=lambda x: x[1]))
    moved = {n: float((p.detach() - start[n]).norm() / start[n].norm()) for n, p in model.named_parameters()
             if "poly_" in n}
    assert min(moved.values()) > 0.01  # far more than the tolerance, every tensor


@pytest.mark.parametrize("heads", [1, 4])
def test_a_folder_of_peft_has_its_logits(probe, base, tmp_path, heads):
    model = poly_model(base, heads, tmp_path / "poly")
    draw = torch.Generator().manual_seed(2)
    sequences = [kinds.example(base.name, ids(draw, 5 + 3 * task), [7, 9, 3]) for task in range(TASKS)]
    (tmp_path / "spec.json").write_text(json.dumps({
        "model": str(base), "from": str(tmp_path / "poly"), "tasks": sequences}))
    probe.run("poly-logits", tmp_path / "spec.json", tmp_path / "logits.safetensors")
    ours = load_file(tmp_path / "logits.safetensors")

    def theirs():
        with torch.no_grad():
            return torch.cat([kinds.logits(model, sequence, task_ids=torch.tensor([task]))
                              for task, sequence in enumerate(sequences)])

    expected = theirs()
    assert torch.allclose(ours["inventory"], expected, atol=1e-4, rtol=0)
    assert torch.allclose(ours["mixed"], expected, atol=1e-4, rtol=0)
    for name, parameter in model.named_parameters():
        if "module_logits" in name:
            parameter.data.zero_()
    assert torch.allclose(ours["mean"], theirs(), atol=1e-4, rtol=0)
    assert not torch.allclose(expected, theirs(), atol=1e-2)
