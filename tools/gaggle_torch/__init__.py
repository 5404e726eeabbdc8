"""A gaggle collection on a transformers model, for Python users: torch and safetensors only.

    from gaggle_torch import route
    handle = route(model, "registry/collections/demo", method="phatgoose", k=2)
    model.generate(...)          # y = W x + sum of the chosen experts, per token and linear
    handle.remove()

Also the reference of gaggle's own tests: the plain formulas, nothing fast.
"""
import hashlib
import json
import math
import re
from pathlib import Path

import torch
from safetensors.torch import load_file

METHODS = "phatgoose, arrow, arrow:phatgoose, merged, expert:NAME"


class Expert:
    """One PEFT LoRA folder and its gates: site -> (A [r, d_in], B [d_out, r], scale), site -> v [d_in]."""

    def __init__(self, name, folder):
        self.name, self.gates, self.sites = name, {}, {}
        config = json.loads((folder / "adapter_config.json").read_text())
        tensors = load_file(folder / "adapter_model.safetensors")
        for key, a in tensors.items():
            if not key.endswith(".lora_A.weight"):
                continue
            site = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            b = tensors[key.replace(".lora_A.", ".lora_B.")]
            alpha = _by_pattern(config.get("alpha_pattern"), site, config.get("lora_alpha", 8))
            rank = a.shape[0]
            scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
            self.sites[site] = (a.float(), b.float(), scale)
        gate_file = folder / "gate.safetensors"
        if gate_file.exists():
            self.gates = {key.removesuffix(".gate"): v.float() for key, v in load_file(gate_file).items()}


def _by_pattern(patterns, site, default):
    """As PEFT: the first pattern that is the site's name or its ending."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", site):
            return value
    return default


def load_collection(path):
    """The experts a collection pins, in its order. `path`: registry/collections/NAME or a version folder in it."""
    path = Path(path)
    if not (path / "collection.json").exists():
        path = path / (path / "CURRENT").read_text().strip()
    registry = path.resolve().parents[2]
    experts = []
    for pin in json.loads((path / "collection.json").read_text())["experts"]:
        folder = registry / "experts" / pin["name"] / pin["version"]
        for file, digest in (("adapter_model.safetensors", pin["lora_sha256"]), ("gate.safetensors", pin["gate_sha256"])):
            there = hashlib.sha256((folder / file).read_bytes()).hexdigest() if (folder / file).exists() else ""
            if there != digest:
                raise ValueError(f"{folder / file}: not the one that {path / 'collection.json'} pins")
        experts.append(Expert(pin["name"], folder))
    return experts


def standardise(v):
    """(v - mean) / sqrt(var + 1e-5) over the last axis, biased variance."""
    centred = v - v.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5)


def arrow_direction(a, b):
    """The top right singular vector of B A, without forming it: QR of both factors, SVD of a small matrix."""
    q_a, r_a = torch.linalg.qr(a.double().T)
    _, r_b = torch.linalg.qr(b.double())
    _, s, vh = torch.linalg.svd(r_b @ r_a.T, full_matrices=False)
    return (q_a @ vh[0]).float() if s[0] > 0 else torch.zeros(a.shape[1])


class Site:
    """What one linear needs: factors and scales of its experts, and a direction for each that takes part."""

    def __init__(self, name, experts, method, device):
        self.method = method
        self.pairs, directions = [], []
        for expert in experts:
            if name not in expert.sites:
                continue
            a, b, scale = expert.sites[name]
            if method.startswith("expert:") and method != "expert:" + expert.name:
                continue
            if method == "phatgoose":
                if name not in expert.gates:
                    continue
                directions.append(standardise(expert.gates[name]))
            if method.startswith("arrow"):
                directions.append(arrow_direction(a, b))
            if method == "merged":
                scale = scale / len(experts)
            self.pairs.append((a.to(device), b.to(device), scale))
        # Equal directions are one row, so that their scores tie exactly.
        if directions:
            unique, self.which = torch.unique(torch.stack(directions), dim=0, return_inverse=True)
            self.directions, self.which = unique.to(device), self.which.to(device)

    def choose(self, x, k):
        """x [T, d] -> who [T, k'] (index into pairs, best first, ties to the lower expert), weights [T, k']."""
        if self.method == "phatgoose":
            scores = standardise(x) @ self.directions.T / math.sqrt(x.shape[1])
        else:
            scores = (x @ self.directions.T).abs()
            if self.method == "arrow:phatgoose":
                scores = scores / (10 * math.sqrt(x.shape[1]))
        scores, who = scores[:, self.which].sort(dim=1, descending=True, stable=True)
        if k > 0:
            scores, who = scores[:, :k], who[:, :k]
        return who, scores.softmax(1)

    def add_to(self, x, k):
        """x [T, d_in] fp32 -> what the experts add, [T, d_out]."""
        if not self.pairs:
            return 0
        if self.method == "merged" or self.method.startswith("expert:"):
            return sum(scale * (x @ a.T @ b.T) for a, b, scale in self.pairs)
        who, weights = self.choose(x, k)
        total = 0
        for i, (a, b, scale) in enumerate(self.pairs):
            weight = (weights * (who == i)).sum(1, keepdim=True)
            total = total + weight * scale * (x @ a.T @ b.T)
        return total


class Handle:
    """What route() hooked. `experts`: names in the order of their numbers."""

    def __init__(self, experts, hooks, ungated):
        self.experts, self.ungated, self._hooks = experts, ungated, hooks

    def remove(self):
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


def route(model, collection, method="phatgoose", k=2):
    """Hooks the collection onto the model's linears. k = 0: dense (every expert that takes part). Returns a handle
    with .remove(). Experts without gates take no part in phatgoose; handle.ungated names them."""
    experts = load_collection(collection)
    names = [expert.name for expert in experts]
    ungated = [expert.name for expert in experts if not expert.gates]
    if method not in ("phatgoose", "arrow", "arrow:phatgoose", "merged") and \
            method not in ["expert:" + name for name in names]:
        raise ValueError(f"method {method!r}: expected one of {METHODS}; experts here: {', '.join(names)}")
    if method == "phatgoose" and len(ungated) == len(experts):
        raise ValueError("phatgoose needs gates, and none of the experts has any")
    modules = {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    hooks = []
    for name in sorted({site for expert in experts for site in expert.sites}):
        if name not in modules:
            raise ValueError(f"the model has no linear {name}: was the collection made for another base?")
        site = Site(name, experts, method, modules[name].weight.device)

        def hook(module, inputs, output, site=site):
            x = inputs[0]
            added = site.add_to(x.reshape(-1, x.shape[-1]).float(), k)
            if isinstance(added, int):
                return output
            return output + added.reshape(output.shape).to(output.dtype)

        hooks.append(modules[name].register_forward_hook(hook))
    return Handle(names, hooks, ungated)
