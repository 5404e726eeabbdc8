"""(IA)³ against PEFT's IA3, and its Poly form against plain PyTorch: logits of a folder, twenty full-batch steps under
AdamW in fp32; and equal bits on one and two ranks."""
import json

import kinds
import pytest
import torch
from make_models import make_model
from peft import IA3Config, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

STEPS, LR, ROUTER_LR, SKILLS, TASKS = 20, 2e-2, 0.05, 3, 3
TARGETS, FEEDFORWARD = ["k_proj", "v_proj", "down_proj"], ["down_proj"]
WARM = 2  # ceil(0.06 * 20)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ia3") / "base"
    make_model(folder, "qwen2", seed=5)  # biases at k and v: they are rescaled too
    return folder


def load(base):
    return AutoModelForCausalLM.from_pretrained(base).eval()


def ids(draw, n):
    return torch.randint(0, 300, (n,), generator=draw).tolist()


def tasks_of(draw):
    return [[{"input": ids(draw, 2 + i % 5), "target": ids(draw, 1 + i % 3)} for i in range(3 + 2 * task)]
            for task in range(TASKS)]


def peft_model(base, folder, targets=TARGETS, feedforward=FEEDFORWARD, kind="llama"):
    """PEFT's IA3 with random vectors, saved to `folder`."""
    model = get_peft_model(kinds.load(base, kind), IA3Config(task_type=kinds.task_type(kind), target_modules=targets,
                                                             feedforward_modules=feedforward))
    draw = torch.Generator().manual_seed(1)
    for name, parameter in sorted(model.named_parameters()):
        if "ia3_l" in name:
            parameter.data = 1 + 0.3 * torch.randn(parameter.shape, generator=draw)
    model.save_pretrained(folder)
    return model.eval()


class Mixed(torch.nn.Module):
    """y ∘ l, or W (x ∘ l), with block q of l = Σ_k w_qk l_qk of the task that is set."""

    def __init__(self, linear, feedforward, heads, draw):
        super().__init__()
        self.linear, self.feedforward, self.heads, self.task = linear, feedforward, heads, 0
        width = linear.in_features if feedforward else linear.out_features
        self.l = torch.nn.Parameter(1 + 0.3 * torch.randn(heads, SKILLS, width // heads, generator=draw))
        self.z = torch.nn.Parameter(torch.randn(TASKS, heads * SKILLS, generator=draw))

    def forward(self, x):
        z = torch.sigmoid(self.z[self.task]).view(self.heads, SKILLS, 1)
        l = (z / (z.sum(1, keepdim=True) + 1e-12) * self.l).sum(1).flatten()
        return self.linear(x * l) if self.feedforward else self.linear(x) * l


def poly_model(base, folder, heads):
    """The Poly form in plain PyTorch, and as our folder."""
    model, sites, tensors = load(base), {}, {}
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    draw = torch.Generator().manual_seed(heads)
    for name, module in list(model.named_modules()):
        if name.endswith(tuple(TARGETS)):
            parent, _, last = name.rpartition(".")
            sites[name] = Mixed(module, last in FEEDFORWARD, heads, draw)
            setattr(model.get_submodule(parent), last, sites[name])
            tensors[f"base_model.model.{name}.poly_ia3_l"] = sites[name].l.detach().clone()
            tensors[f"base_model.model.{name}.poly_router.module_logits"] = sites[name].z.detach().clone()
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps({
        "peft_type": "GAGGLE_POLY_IA3", "target_modules": TARGETS, "feedforward_modules": FEEDFORWARD,
        "n_tasks": TASKS, "n_skills": SKILLS, "n_splits": heads}))
    return model, sites


def logits_of(probe, base, folder, examples, out):
    probe.run("ia3-logits", base, folder, json.dumps(examples), out)
    return load_file(out)["logits"]


def examples_of(kind):
    return [kinds.example(kind, ids, [3, 250, 8]) for ids in INPUTS]


INPUTS = [[250, 1, 17], [5, 9, 200, 31], [7, 3, 2, 2, 90, 14]]  # the examples of one task lie by length


@pytest.mark.parametrize("targets,feedforward", [
    (TARGETS, FEEDFORWARD), (["k_proj"], []), (r".*\.(0|2)\.(self_attn\.[vo]|mlp\.(down|up))_proj", FEEDFORWARD)])
@torch.no_grad()
def test_a_folder_of_peft_has_its_logits(probe, base, tmp_path, targets, feedforward):
    check_folder(probe, base, tmp_path, targets, feedforward, "llama")


def check_folder(probe, base, folder, targets, feedforward, kind):
    model, examples = peft_model(base, folder / "ia3", targets, feedforward, kind), examples_of(kind)
    ours = logits_of(probe, base, folder / "ia3", examples, folder / "out")
    theirs = torch.cat([kinds.logits(model, example) for example in examples])
    assert torch.allclose(ours, theirs, atol=1e-4, rtol=0)
    with model.disable_adapter():
        plain = torch.cat([kinds.logits(model, example) for example in examples])
    assert not torch.allclose(plain, theirs, atol=1e-2)


@pytest.mark.parametrize("kind,targets,feedforward", [
    ("t5-v1.1", ["k", "v", "wo"], ["wo"]), ("t5-v1.1", ["k", "v", "wi_1"], []), ("t5-v1.0", ["k", "v", "wo"], ["wo"])])
@torch.no_grad()
def test_a_folder_of_peft_for_t5_has_its_logits(probe, tmp_path, kind, targets, feedforward):
    kinds.make(tmp_path / "base", kind, seed=6)
    check_folder(probe, tmp_path / "base", tmp_path, targets, feedforward, kind)


@pytest.mark.parametrize("heads", [1, 4])
@torch.no_grad()
def test_our_folder_has_the_logits_of_plain_pytorch(probe, base, tmp_path, heads):
    model, sites = poly_model(base, tmp_path / "poly", heads)
    ours = logits_of(probe, base, tmp_path / "poly", examples_of("llama"), tmp_path / "out")
    theirs = []
    for task, example in enumerate(examples_of("llama")):
        for site in sites.values():
            site.task = task
        theirs.append(kinds.logits(model, example))
    assert torch.allclose(ours, torch.cat(theirs), atol=1e-4, rtol=0)


def batch_loss(model, sites, tasks):
    nll, tokens = 0.0, 0
    for task, examples in enumerate(tasks):
        for site in sites.values():
            site.task = task
        targets = [token for example in examples for token in example["target"]]
        logits = torch.cat(kinds.all_target_logits(model, examples)).float()
        nll = nll + torch.nn.functional.cross_entropy(logits, torch.tensor(targets), reduction="sum")
        tokens += len(targets)
    return nll / tokens


def train(model, sites, skills, routers, tasks, decay):
    optimizer = torch.optim.AdamW([{"params": skills, "weight_decay": decay},
                                   {"params": routers, "weight_decay": 0.0}], lr=LR)
    losses = []
    for step in range(STEPS):
        for group, lr in zip(optimizer.param_groups, (LR, ROUTER_LR)):
            group["lr"] = lr * min(1, step / WARM)
        optimizer.zero_grad()
        loss = batch_loss(model, sites, tasks)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(skills + routers, 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def run_probe(probe, folder, name, base, tasks, **settings):
    spec = {"model": str(base), "tasks": tasks, "steps": STEPS, "lr": LR, "router_lr": ROUTER_LR, **settings}
    (folder / f"{name}.spec").write_text(json.dumps(spec))
    probe.run("ia3-train", folder / f"{name}.spec", folder / name)
    return load_file(folder / f"{name}.safetensors"), json.loads((folder / f"{name}.json").read_text())


def compare(ours, our_losses, theirs, losses):
    assert sorted(ours) == sorted(theirs)
    assert len(our_losses) == STEPS and losses[-1] < 0.97 * losses[0]
    assert max(abs(a - b) / b for a, b in zip(our_losses, losses)) < 1e-5
    apart = {n: float((ours[n].double() - t.double()).norm() / t.double().norm()) for n, t in theirs.items()}
    assert max(apart.values()) < 1e-4, max(apart.items(), key=lambda x: x[1])


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_equal_peft(probe, base, tmp_path, decay):
    tasks = tasks_of(torch.Generator().manual_seed(7))
    model = peft_model(base, tmp_path / "start")
    ours, our_losses = run_probe(probe, tmp_path, "done", base, tasks, method="shared", weight_decay=decay,
                                 **{"from": str(tmp_path / "start")})
    named = {n: p for n, p in model.named_parameters() if "ia3_l" in n}
    losses = train(model, {}, list(named.values()), [], tasks, decay)
    theirs = {n.removeprefix("base_model.model.").replace(".ia3_l.default", ".poly_ia3_l"):
              p.detach().view(1, 1, -1) for n, p in named.items()}
    compare(ours, our_losses, theirs, losses)


@pytest.mark.parametrize("heads", [1, 4])
def test_steps_of_the_poly_form_equal_plain_pytorch(probe, base, tmp_path, heads):
    tasks = tasks_of(torch.Generator().manual_seed(7))
    model, sites = poly_model(base, tmp_path / "start", heads)
    ours, our_losses = run_probe(probe, tmp_path, "done", base, tasks, method="mhr", heads=heads, skills=SKILLS,
                                 **{"from": str(tmp_path / "start")})
    losses = train(model, sites, [s.l for s in sites.values()], [s.z for s in sites.values()], tasks, 0.0)
    theirs = {f"{n}.poly_ia3_l": s.l.detach() for n, s in sites.items()}
    theirs |= {f"{n}.poly_router.module_logits": s.z.detach() for n, s in sites.items()}
    compare(ours, our_losses, theirs, losses)


@pytest.mark.parametrize("sample", ["none", "task", "example"])
def test_ranks_make_equal_bits(probe, base, tmp_path, sample):
    tasks = tasks_of(torch.Generator().manual_seed(7))
    settings = {"method": "mhr", "heads": 4, "skills": SKILLS, "sample": sample, "lanes": 8, "steps": 4,
                "batch_size": 12, "tokens_per_microbatch": 10}
    alone, _ = run_probe(probe, tmp_path, "alone", base, tasks, **settings)
    shared, _ = run_probe(probe, tmp_path, "shared", base, tasks, ranks=2, **settings)
    assert all(torch.equal(alone[name], shared[name]) for name in alone)
    moved = [(alone[name] - 1).abs().max() for name in alone if name.endswith("ia3_l")]
    assert min(moved) > 1e-3


SITE = "base_model.model.model.layers.0.self_attn.k_proj"


@pytest.mark.parametrize("keys,change,words", [
    ({"peft_type": "LORA"}, None, 'only "IA3" or'),
    ({"modules_to_save": ["lm_head"]}, None, "modules_to_save"),
    ({"target_modules": ["k_proj", "down_proj"]}, None, "v_proj has tensors"),
    ({"feedforward_modules": []}, None, "down_proj.ia3_l is [1, 80]; expected [d_out, 1]"),
    ({"feedforward_modules": TARGETS}, None, "expected [1, d_in] of a feed-forward module"),
    ({}, lambda t: t.update({SITE + ".lora_A.weight": torch.ones(3, 4)}), "no part of (IA)³"),
    ({}, lambda t: t.update({SITE + ".ia3_l": torch.ones(7, 1)}), "is [7, 1] there"),
    ({}, lambda t: t.clear(), "no tensor"),
])
def test_refused(probe, base, tmp_path, keys, change, words):
    peft_model(base, tmp_path / "ia3")
    config, file = tmp_path / "ia3/adapter_config.json", tmp_path / "ia3/adapter_model.safetensors"
    config.write_text(json.dumps(json.loads(config.read_text()) | keys))
    if change:
        tensors = load_file(file)
        change(tensors)
        save_file(tensors, file)
    done = probe.run("ia3-logits", base, tmp_path / "ia3", "[[1, 2]]", tmp_path / "out", check=False)
    assert done.returncode == 2 and words in done.stderr.decode(), done.stderr.decode()


@pytest.mark.parametrize("keys,words", [
    ({"n_splits": 2}, "n_splits"), ({"n_skills": 2}, "n_splits"), ({"n_tasks": 2}, "n_tasks"),
    ({"n_tasks": 0}, "n_tasks is 0"), ({"peft_type": "IA3"}, "no part of (IA)³")])
def test_refused_poly_forms(probe, base, tmp_path, keys, words):
    poly_model(base, tmp_path / "poly", 4)
    config = tmp_path / "poly/adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | keys))
    done = probe.run("ia3-logits", base, tmp_path / "poly", "[[1, 2]]", tmp_path / "out", check=False)
    assert done.returncode == 2 and words in done.stderr.decode(), done.stderr.decode()
