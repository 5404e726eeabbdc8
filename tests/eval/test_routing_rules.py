"""Every routing and every rule against plain PyTorch (reference_routing.py): logits of whole texts through both models."""
import json
import sys

import kinds
import pytest
import torch
from safetensors.torch import load as load_bytes
from safetensors.torch import save_file
from test_gaggle_torch import GATE_BIAS, examples_of, model_of, world  # noqa: F401 (a fixture)

METHODS = ["phatgoose", "average", "arrow", "spectr", "arrow+spectr", "retrieval"]
RULES = [dict(), dict(top_k=1), dict(top_k=0), dict(temperature=0.3), dict(granularity="sequence"), dict(scope="layer"),
         dict(scope="model", top_k=1), dict(granularity="sequence", scope="layer"),
         dict(granularity="sequence", scope="model"), dict(calibrate="norm"), dict(calibrate="stats"), dict(prior=2.0),
         dict(general=0.5), dict(abstain=True), dict(leave_out=("wide",)),
         dict(granularity="sequence", scope="model", calibrate="norm", prior=1.5, general=0.3, abstain=True, temperature=0.7)]
OF_RETRIEVAL = {"top_k", "temperature", "leave_out", "general", "abstain"}


@pytest.fixture(scope="module")
def prepared(world):  # noqa: F811
    """Made up, as strong as real ones: what is prepared from examples is another test's."""
    from gaggle_torch import load_collection

    experts = load_collection(world / "registry/collections/mixed")
    generator = torch.Generator().manual_seed(11)
    draw = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    width = model_of(world).config.hidden_size
    averages = {e.name: {site: draw(a.shape[1]) for site, (a, _, _) in e.sites.items()} for e in experts}
    states = {e.name: draw(3 + i, width) for i, e in enumerate(experts)}
    statistics = {}
    for e in experts:
        for site in e.sites:
            statistics.setdefault(site, {})[e.name] = (0.3 * draw(1), 0.5 + draw(1).abs())
    tensors = {f"states/{name}": rows for name, rows in states.items()}
    tensors |= {f"average/{name}/{site}": v for name, by in averages.items() for site, v in by.items()}
    for site, by in statistics.items():
        for name, (mean, std) in by.items():
            tensors |= {f"mean/{name}/{site}": mean, f"std/{name}/{site}": std}
    save_file(tensors, world / "prepared.safetensors")
    return experts, {"averages": averages, "states": states, "statistics": statistics, "gate_bias": GATE_BIAS}


def layer_of(site):
    """Of T5 the decoder's layers count behind the encoder's."""
    parts = site.split(".")
    return parts[0], next(part for part in parts if part.isdigit())


def encoder_side(site):
    return site.startswith("encoder.") or "EncDecAttention.k" in site or "EncDecAttention.v" in site


@torch.no_grad()
def expected(world, prepared, method, rule, collection):  # noqa: F811
    from gaggle_torch import load_collection
    from reference_routing import Reference

    _, made = prepared
    experts = load_collection(world / "registry/collections" / collection)
    model, logits = model_of(world), []
    for example in examples_of(world):
        reference = Reference(model, experts, method, rule, made, layer_of, encoder_side)
        prompts = len(example["input"]), len(example.get("source", []))

        def states(of):
            fed = torch.tensor([example["input"] + example["target"][:-1]])
            if "source" in example:
                return of(input_ids=torch.tensor([example["source"]]),
                          decoder_input_ids=fed).encoder_last_hidden_state[0].mean(0)
            return of(fed, output_hidden_states=True).hidden_states[-1][0][:prompts[0]].mean(0)

        reference.look(states, prompts)
        logits.append(reference.run(lambda of: kinds.logits(of, example), prompts))  # noqa: B023
    return torch.cat(logits)


def ours(probe, world, method, rule, collection):  # noqa: F811
    rule = {"top_k": 2} | rule
    words = [f"{key}={','.join(value) if isinstance(value, tuple) else str(value).lower()}" for key, value in rule.items()]
    request = json.dumps({"rows": examples_of(world)}).encode()
    done = probe.run("routed-logits", world / "base", world / "registry", collection, " ".join([method, *words]), 2,
                     world / "prepared.safetensors", stdin=request)
    return load_bytes(done.stdout)["logits"]


# Every rule on one method; of the others what is theirs, and all at once.
CASES = [(method, rule) for method in METHODS for rule in RULES
         if method == "phatgoose" or rule in (RULES[0], dict(general=0.5), RULES[-1])]
CASES = [(*case, "mixed") for case in CASES] + [(method, RULES[-1], "one") for method in METHODS]


@pytest.mark.parametrize("method,rule,collection", CASES, ids=[f"{m} {' '.join(r) or 'plain'} {c}" for m, r, c in CASES])
def test_logits_as_plain_pytorch(probe, world, prepared, root, method, rule, collection):  # noqa: F811
    sys.path.insert(0, str(root / "tests/eval"))
    if method == "retrieval":
        rule = {key: value for key, value in rule.items() if key in OF_RETRIEVAL}
    mine = ours(probe, world, method, rule, collection)
    theirs = expected(world, prepared, method, rule, collection)
    assert (mine.double() - theirs.double()).norm() <= 1e-4 * theirs.double().norm()
