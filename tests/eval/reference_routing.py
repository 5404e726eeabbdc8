"""Every routing of gaggle's docs/evaluation.md in plain PyTorch, for one text at a time: what it costs does not matter here."""
import math

import torch
from gaggle_torch import arrow_direction, standardise

RULE = dict(top_k=2, temperature=1.0, granularity="token", scope="site", calibrate="none", prior=0.0, general=0.0,
            abstain=False, leave_out=())


class Reference:
    """`prepared`: averages {expert: {site: v}}, states {expert: [n, d]}, statistics {site: {expert: (mean, std)}},
    gate_bias {expert: b}.
    `layer_of` and `encoder_side` say of a site's name in which layer it is, and whether it reads the encoder's tokens."""

    def __init__(self, model, experts, method, rule=None, prepared=None, layer_of=None, encoder_side=lambda site: False):
        self.model, self.method, self.prepared = model, method, prepared or {}
        self.rule = RULE | (rule or {})
        if method == "retrieval":
            self.rule["granularity"] = "sequence"
        self.experts = [e for e in experts if e.name not in self.rule["leave_out"]]
        self.total = len(experts)
        self.layer_of, self.encoder_side = layer_of, encoder_side
        self.modules = {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
        self.sites = sorted({site for e in experts for site in e.sites})

    def mean_update(self, site):
        return sum((s * b.double() @ a.double() for e in self.experts if site in e.sites
                    for a, b, s in [e.sites[site]]), torch.zeros(()).double()) / self.total

    def update(self, site, expert):
        a, b, scale = expert.sites[site]
        return scale * b.double() @ a.double()

    def scored_update(self, site, expert):
        return self.update(site, expert) - self.rule["general"] * self.mean_update(site)

    def candidates(self, site):
        there = [e for e in self.experts if site in e.sites]
        return [e for e in there if site in e.gates] if self.method == "phatgoose" else there

    def direction(self, site, expert):
        if self.method in ("phatgoose", "average"):
            v = expert.gates[site] if self.method == "phatgoose" else self.prepared["averages"][expert.name][site]
            return standardise(v)
        if self.rule["general"] == 0:
            return arrow_direction(*expert.sites[site][:2])
        return torch.linalg.svd(self.scored_update(site, expert))[2][0].float()

    def raw_scores(self, site, x):
        """x [T, d] -> {expert's name: [T]}."""
        experts = self.candidates(site)
        if self.method == "retrieval":
            return {e.name: torch.zeros(len(x)) for e in experts}
        if self.method == "spectr":
            return {e.name: (x.double() @ self.scored_update(site, e).T).norm(dim=1).float() for e in experts}
        by_direction = {}
        for e in experts:
            v = self.direction(site, e)
            score = standardise(x) @ v / math.sqrt(x.shape[1]) if self.method in ("phatgoose", "average") else (x @ v).abs()
            by_direction[e.name] = score
        if self.method != "arrow+spectr":
            return by_direction
        arrows = torch.stack([by_direction[e.name] for e in experts], 1)
        rank = arrows.sort(dim=1, descending=True, stable=True)[1].sort(dim=1)[1]
        return {e.name: torch.where(rank[:, i] < 20, (x.double() @ self.scored_update(site, e).T).norm(dim=1).float(),
                                    torch.tensor(-math.inf)) for i, e in enumerate(experts)}

    def calibrated(self, site, x):
        scores = self.raw_scores(site, x)
        for e in self.candidates(site):
            if self.rule["calibrate"] == "norm":
                scores[e.name] = scores[e.name] / self.scored_update(site, e).norm().float()
            if self.rule["calibrate"] == "stats":
                mean, std = self.prepared["statistics"][site][e.name]
                scores[e.name] = (scores[e.name] - mean) / std
        return scores

    def group(self, site):
        side = self.encoder_side(site)
        return {"site": site, "layer": (self.layer_of and self.layer_of(site), side), "model": side}[self.rule["scope"]]

    def pooled(self, scores, prompt):
        if self.rule["granularity"] == "token":
            return scores
        return {name: s[:prompt].mean().expand(len(s)) for name, s in scores.items()}

    def look(self, run, prompts):
        """What the base alone reads at every site -> scores of every group, and the query's mean state."""
        seen, hooks = {}, []
        for site in self.sites:
            def hook(module, inputs, site=site):
                seen[site] = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
            hooks.append(self.modules[site].register_forward_pre_hook(hook))
        self.query = run(self.model)
        for hook in hooks:
            hook.remove()
        sums = {}
        for site, x in seen.items():
            prompt = prompts[1 if self.encoder_side(site) else 0]
            for name, s in self.pooled(self.calibrated(site, x), prompt).items():
                sums.setdefault(self.group(site), {}).setdefault(name, []).append(s)
        self.groups = {g: {n: torch.stack(s).mean(0) for n, s in by.items()} for g, by in sums.items()}

    def likeness(self, name):
        """The largest cosine of the query and the expert's examples; of a prior with their mean."""
        rows = self.prepared["states"].get(name)
        if rows is None:
            return 0.0
        rows = rows / rows.norm(dim=1, keepdim=True)
        if self.method != "retrieval":
            rows = rows.mean(0, keepdim=True)
            rows = rows / rows.norm()
        return (rows @ (self.query / self.query.norm())).max().item()

    def weights(self, site, x, prompt):
        """[T, candidates] and the candidates."""
        experts = self.candidates(site)
        names = [e.name for e in experts]
        if self.rule["scope"] == "site":
            scores = self.pooled(self.calibrated(site, x), prompt)
        else:
            group = self.group(site)
            if self.rule["granularity"] == "sequence" and self.rule["scope"] == "model" and True in self.groups:
                group = True  # of a model with an encoder by what that reads
            scores = {n: self.groups[group][n] for n in names}
            if self.rule["granularity"] == "sequence":
                scores = {n: s[:1].expand(len(x)) for n, s in scores.items()}
        all_scores = torch.stack([scores[n] for n in names], 1)
        prior = 1.0 if self.method == "retrieval" else self.rule["prior"]
        if prior:
            all_scores = all_scores + prior * torch.tensor([self.likeness(n) for n in names])
        top, who = all_scores.sort(dim=1, descending=True, stable=True)
        k = self.rule["top_k"] or len(names)
        chosen = (top[:, :k] / self.rule["temperature"]).softmax(1)
        weights = torch.zeros_like(all_scores).scatter(1, who[:, :k], chosen)
        if self.rule["abstain"]:
            for i, e in enumerate(experts):
                if site in e.gates:
                    bias = self.prepared.get("gate_bias", {}).get(e.name, 0.0)
                    weights[:, i] *= (x @ e.gates[site] + bias).sigmoid()
        return weights, experts

    def run(self, run, prompts):
        """run(model) -> what is compared; prompts: tokens of the decoder's and of the encoder's prompt."""
        hooks = []
        for site in self.sites:
            if not self.candidates(site):
                continue

            def hook(module, inputs, output, site=site):
                x = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
                weights, experts = self.weights(site, x, prompts[1 if self.encoder_side(site) else 0])
                added = sum(weights[:, i:i + 1].double() * (x.double() @ self.update(site, e).T)
                            for i, e in enumerate(experts))
                if self.rule["general"]:
                    mean = x.double() @ self.mean_update(site).T
                    added = added - self.rule["general"] * weights.sum(1, keepdim=True).double() * mean
                return output + added.reshape(output.shape).to(output.dtype)

            hooks.append(self.modules[site].register_forward_hook(hook))
        out = run(self.model)
        for hook in hooks:
            hook.remove()
        return out
