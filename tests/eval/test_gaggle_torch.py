"""The routed model in C++ against tools/gaggle_torch on tiny bases, with experts as PEFT itself writes them."""
import hashlib
import json
import shutil
import sys

import kinds
import pytest
import torch
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file, save_file

# Ranks 4, 8 and 64, all linears beside q/v only, √r and patterns; the last has no gates.
EXPERTS = {
    "all-linear": dict(r=4, lora_alpha=1, target_modules="all-linear"),
    "attention": dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]),
    "wide": dict(r=64, lora_alpha=8, target_modules="all-linear", use_rslora=True),
    "patterns": dict(r=4, lora_alpha=2, target_modules=["q_proj", "o_proj", "down_proj"],
                     rank_pattern={"o_proj": 8}, alpha_pattern={"layers.1.self_attn.o_proj": 5, "down_proj": 3}),
    "ungated": dict(r=8, lora_alpha=4, target_modules=["q_proj", "up_proj"]),
}
GATE_BIAS = {"wide": -1.5}  # that its gates were trained with: routing drops it, eval.abstain does not
EXPERTS_OF_T5 = EXPERTS | {
    # As large as that, it lets T5's attention, which is not scaled, make 1e-4 of a rounding.
    "wide": EXPERTS["wide"] | dict(lora_alpha=1),
    "attention": dict(r=8, lora_alpha=16, target_modules=["q", "v"]),
    "patterns": dict(r=4, lora_alpha=2, target_modules=["q", "o", "wo"], rank_pattern={"o": 8},
                     alpha_pattern={"block.1.layer.1.EncDecAttention.o": 5, "wo": 3}),
    "ungated": dict(r=8, lora_alpha=4, target_modules=["q", "wi_1"]),
}


def write_expert(base, folder, name, settings, gated, seed):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(kinds.load(base, base.name),
                           LoraConfig(task_type=kinds.task_type(base.name), **settings))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    version = folder / "experts" / name / "v0001"
    model.save_pretrained(version)
    if gated:
        tensors = load_file(version / "adapter_model.safetensors")
        gates = {}
        for key, value in tensors.items():
            if ".lora_A." in key:
                site = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
                gates[site + ".gate"] = torch.randn(value.shape[1], generator=generator)
        save_file(gates, version / "gate.safetensors")
    if name in GATE_BIAS:
        (version / "expert.json").write_text(json.dumps({"format": 1, "name": name, "gate_bias": GATE_BIAS[name]}))
    (folder / "experts" / name / "CURRENT").write_text("v0001\n")


def pin(folder, name):
    version = folder / "experts" / name / "v0001"
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(version.iterdir())
            if path.name != "SHA256SUMS"}
    (version / "SHA256SUMS").write_text("".join(f"{digest}  {file}\n" for file, digest in sums.items()))
    return {"name": name, "version": "v0001", "lora_sha256": sums["adapter_model.safetensors"],
            "gate_sha256": sums.get("gate.safetensors", "")}


def write_collection(folder, name, experts):
    version = folder / "collections" / name / "v0001"
    version.mkdir(parents=True)
    pins = [pin(folder, expert) for expert in experts]
    (version / "collection.json").write_text(json.dumps({"format": 1, "name": name, "experts": pins}))
    (folder / "collections" / name / "CURRENT").write_text("v0001\n")


@pytest.fixture(scope="module", params=["llama", "t5-v1.1"])
def world(request, tmp_path_factory, root):
    """The base's folder is called after its kind."""
    sys.path.insert(0, str(root / "tools"))
    folder = tmp_path_factory.mktemp("routed")
    base = folder / request.param
    kinds.make(base, request.param, seed=5)
    (folder / "base").symlink_to(base)
    registry = folder / "registry"
    experts = EXPERTS_OF_T5 if request.param.startswith("t5") else EXPERTS
    for seed, (name, settings) in enumerate(experts.items()):
        write_expert(base, registry, name, settings, name != "ungated", seed)
    for twin in ("twin-a", "twin-b", "twin-c"):  # other LoRAs, equal gates
        write_expert(base, registry, twin, EXPERTS["all-linear"], True, len(twin) + ord(twin[-1]))
        shutil.copy(registry / "experts/all-linear/v0001/gate.safetensors", registry / "experts" / twin / "v0001")
    write_collection(registry, "mixed", list(EXPERTS))
    write_collection(registry, "one", ["wide"])
    write_collection(registry, "twins", ["twin-c", "twin-a", "twin-b"])
    write_collection(registry, "bare", ["ungated"])
    (registry / "registry.json").write_text(json.dumps(
        {"format": 2, "base": {"name": "tiny", "shapes": "", "content": ""}}))
    return folder


def kind_of(world):
    return (world / "base").resolve().name


def examples_of(world, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [kinds.example(kind_of(world), *(torch.randint(0, 300, (n,), generator=generator).tolist() for n in (i, o)))
            for i, o in ((17, 6), (5, 1), (1, 9), (30, 20))]


def all_logits(world, model):
    return torch.cat([kinds.logits(model, example) for example in examples_of(world)])


def model_of(world):
    return kinds.load(world / "base", kind_of(world), dtype=torch.float32)


@torch.no_grad()
def reference(world, collection, method, k):
    from gaggle_torch import route

    model = model_of(world)
    handle = route(model, world / "registry/collections" / collection, method=method, k=k)
    logits = all_logits(world, model)
    handle.remove()
    return logits


def ours(probe, world, collection, method, k):
    request = json.dumps({"rows": examples_of(world)}).encode()
    done = probe.run("routed-logits", world / "base", world / "registry", collection, method, k, stdin=request)
    return load_bytes(done.stdout)["logits"]


CASES = [("mixed", "phatgoose", k) for k in (1, 2, 4, 9, 0)]
CASES += [("mixed", "arrow", 2), ("mixed", "arrow:phatgoose", 2), ("mixed", "arrow", 0), ("mixed", "merged", 2)]
CASES += [("mixed", f"expert:{name}", 2) for name in EXPERTS]
CASES += [("one", "phatgoose", 2), ("one", "merged", 2), ("twins", "phatgoose", 2), ("twins", "phatgoose", 1)]


@pytest.mark.parametrize("collection,method,k", CASES)
def test_logits_as_gaggle_torch(probe, world, collection, method, k):
    mine, theirs = ours(probe, world, collection, method, k), reference(world, collection, method, k)
    assert (mine.double() - theirs.double()).norm() <= 1e-4 * theirs.double().norm()


@torch.no_grad()
def test_single_expert_in_gaggle_torch_is_peft(world):
    from peft import PeftModel

    for name in EXPERTS:
        theirs = PeftModel.from_pretrained(model_of(world), world / "registry/experts" / name / "v0001").eval()
        logits = all_logits(world, theirs)
        mine = reference(world, "mixed", f"expert:{name}", 2)
        assert (mine - logits).norm() <= 1e-5 * logits.norm()


def test_the_experts_make_a_difference(world):
    """Else every comparison above would hold for a router that does nothing."""
    base = reference(world, "one", "expert:wide", 1)
    logits = [reference(world, "mixed", method, 2) for method in ("phatgoose", "arrow", "merged")] + [base]
    for i, one in enumerate(logits):
        for other in logits[:i]:
            assert (one - other).norm() > 1e-2 * one.norm()


@torch.no_grad()
def test_equal_gates_are_uniform_over_the_first_k(world):
    """By the formula: half of each of the first two, whatever the token."""
    from gaggle_torch import load_collection

    first = load_collection(world / "registry/collections/twins")[:2]
    model = model_of(world)
    for site in first[0].sites:
        module = model.get_submodule(site)
        for expert in first:
            a, b, scale = expert.sites[site]
            module.weight += 0.5 * scale * b @ a
    logits = all_logits(world, model)
    theirs = reference(world, "twins", "phatgoose", 2)
    assert (logits - theirs).norm() <= 1e-4 * theirs.norm()


def test_removing_gives_the_base_back(world):
    from gaggle_torch import route

    model = model_of(world)
    before = all_logits(world, model)
    handle = route(model, world / "registry/collections/mixed")
    assert not torch.equal(all_logits(world, model), before)
    assert handle.ungated == ["ungated"]
    handle.remove()
    assert torch.equal(all_logits(world, model), before)


def test_mistakes_are_named(probe, world):
    from gaggle_torch import route

    with pytest.raises(ValueError, match="expert:NAME"):
        route(model_of(world), world / "registry/collections/mixed", method="phatgose")
    with pytest.raises(ValueError, match="gates"):
        route(model_of(world), world / "registry/collections/bare")
    request = json.dumps({"rows": examples_of(world)[:1]}).encode()
    for collection, method, word in [("bare", "phatgoose", "gates"), ("mixed", "phatgose", "phatgoose"),
                                     ("mixed", "expert:wid", "wide")]:
        done = probe.run("routed-logits", world / "base", world / "registry", collection, method, 2, stdin=request,
                         check=False)
        assert done.returncode == 2 and word in done.stderr.decode()
