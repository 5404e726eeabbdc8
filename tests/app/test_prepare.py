"""gaggle prepare: what it keeps is what PyTorch finds, made once, by several workers, also after a kill; eval takes it."""
import json
import signal
import sys
import time

import pytest
import torch
from safetensors.torch import load
from test_peft_and_eval import base_model, examples, predictions
from workshop import grow, wait_for

METHODS = "--eval.methods=['none','average','retrieval top_k=1','best','phatgoose calibrate=stats','arrow prior=2','target']"
EXPERTS = ["copy", "first", "reverse", "vowel"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, trained, gaggle):
    shop = grow(tmp_path_factory.mktemp("prepared"), trained.folder, gaggle)
    shop.done = shop.run("prepare", "tiny.toml", METHODS)
    return shop


def kept(shop, what, expert):
    """The tensors that were prepared: behind a seal of 32 bytes of digest."""
    for path in (shop.folder / "registry/cache").iterdir():
        data = path.read_bytes()
        at = data.find(b'{"__metadata__"')
        if at < 8 or not path.name.startswith(f"{expert}@"):
            continue
        header = json.loads(data[at:at + int.from_bytes(data[at - 8:at], "little")])
        if header["__metadata__"].get("what") == what:
            return load(data[at - 8:])
    raise AssertionError(f"{what} of {expert} is not there")


def with_expert(shop, name):
    from peft import PeftModel

    return PeftModel.from_pretrained(base_model(shop), shop.folder / f"registry/experts/{name}/v0001").eval()


@torch.no_grad()
def test_average_activations_are_those_of_peft(prepared):
    for expert in EXPERTS:
        model, sums, count = with_expert(prepared, expert), {}, 0
        for name, module in model.named_modules():
            if name.endswith(".base_layer"):
                site = name.removeprefix("base_model.model.").removesuffix(".base_layer")

                def add(module, inputs, site=site):
                    sums[site] = sums.get(site, 0) + inputs[0][0].double().mean(0)

                module.register_forward_pre_hook(add)
        for example in examples(prepared, expert, "train"):
            model(torch.tensor([example["input_ids"] + example["target_ids"][:-1]]))
            count += 1
        mine = kept(prepared, "average", expert)
        assert set(mine) == set(sums)
        for site, sum_of_site in sums.items():
            assert (mine[site] - sum_of_site / count).norm() <= 1e-5 * (sum_of_site / count).norm()


@torch.no_grad()
def test_states_are_the_bases_mean_last_states_of_the_prompt(prepared):
    model = base_model(prepared)
    for expert in EXPERTS:
        rows = []
        for example in examples(prepared, expert, "train"):
            state = model(torch.tensor([example["input_ids"]]), output_hidden_states=True).hidden_states[-1][0].mean(0)
            rows.append(state / state.norm())
        assert (kept(prepared, "retrieval", expert)["states"] - torch.stack(rows)).abs().max() < 1e-5


def test_methods_by_what_was_prepared_score_and_nothing_is_made_twice(prepared):
    before = {path: path.stat().st_mtime_ns for path in (prepared.folder / "registry/cache").iterdir()}
    again = prepared.run("prepare", "tiny.toml", METHODS)
    assert "0 to prepare" in again.stdout
    found = predictions(prepared, METHODS)
    assert {method for method, _, _ in found} == {"none", "average", "retrieval top_k=1", "best",
                                                  "phatgoose calibrate=stats", "arrow prior=2", "target"}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    single = predictions(prepared, "--eval.methods=['experts']", "--run.name=single", name="single")
    for (method, task, example), line in found.items():
        if method == "target":
            assert line["target_nll"] == single[f"expert:{task}", task, example]["target_nll"]


def test_best_is_the_expert_with_the_lowest_mean_nll_on_validation(prepared):
    of_validation = predictions(prepared, "--eval.methods=['experts']", "--eval.split=validation", "--run.name=v", name="v")
    means = {}
    for expert in EXPERTS:
        by_task = []
        for task in EXPERTS:
            lines = [line for (m, t, _), line in of_validation.items() if (m, t) == (f"expert:{expert}", task)]
            by_task.append(sum(l["target_nll"] for l in lines) / sum(l["target_tokens"] for l in lines))
        means[expert] = sum(by_task) / len(by_task)
        assert kept(prepared, "best", "all")["nll"].numel() == len(EXPERTS)
    best = min(means, key=means.get)
    found = predictions(prepared, f"--eval.methods=['best','expert:{best}']", "--run.name=b", name="b")
    for (method, task, example), line in found.items():
        assert line["target_nll"] == found[f"expert:{best}", task, example]["target_nll"]


def test_methods_that_come_to_the_same_share_what_is_scored(prepared):
    found = predictions(prepared, "--eval.methods=['phatgoose','phatgoose top_k=2','phatgoose leave_out=own','phatgoose leave_out=copy']",
                        "--run.name=same", name="same")
    nll = {key: line["target_nll"] for key, line in found.items()}
    for (method, task, example), value in nll.items():
        if method == "phatgoose top_k=2":
            assert value == nll["phatgoose", task, example]
        if method == "phatgoose leave_out=own":
            assert (value == nll["phatgoose leave_out=copy", task, example]) == (task == "copy")
    assert len(list((prepared.folder / "runs/same/eval/items").glob("*.json"))) == (1 + 1 + 1) * len(EXPERTS) - 1


@torch.no_grad()
def test_average_and_stats_route_as_gaggle_torch_with_the_same_numbers(prepared, root):
    """From prompt to nll: the reference is given what was prepared, the program finds it by itself."""
    sys.path[:0] = [str(root / "tests/eval"), str(root / "tools")]
    from gaggle_torch import load_collection, standardise
    from reference_routing import Reference

    model, experts = base_model(prepared), load_collection(prepared.folder / "registry/collections/all")
    averages = {expert: kept(prepared, "average", expert) for expert in EXPERTS}
    statistics, seen = {}, {}
    modules = dict(model.named_modules())
    for site in experts[0].sites:
        modules[site].register_forward_pre_hook(lambda m, x, site=site: seen.setdefault(site, []).append(x[0][0]))
    for expert in EXPERTS:
        for example in examples(prepared, expert, "train"):
            model(torch.tensor([example["input_ids"] + example["target_ids"][:-1]]))
    for site, inputs in seen.items():
        x = torch.cat(inputs)
        scores = {e.name: standardise(x) @ standardise(e.gates[site]) / x.shape[1] ** 0.5 for e in experts}
        statistics[site] = {name: (s.mean(), s.std(correction=0)) for name, s in scores.items()}
    found = predictions(prepared, METHODS)
    for method, rule in [("average", {}), ("phatgoose", {"calibrate": "stats"})]:
        reference = Reference(base_model(prepared), experts, method, rule, {"averages": averages, "statistics": statistics})
        for example in examples(prepared, "copy"):
            ids = example["input_ids"] + example["target_ids"]
            logits = reference.run(lambda of: of(torch.tensor([ids])).logits[0], (len(example["input_ids"]), 0))
            logprobs = logits[len(example["input_ids"]) - 1:-1].double().log_softmax(-1)
            nll = -logprobs.gather(1, torch.tensor(example["target_ids"])[:, None]).sum().item()
            name = " ".join([method, *(f"{k}={v}" for k, v in rule.items())])
            assert found[name, "copy", example["id"]]["target_nll"] == pytest.approx(nll, rel=1e-4)


def test_two_workers_and_a_kill_make_the_same(tmp_path, trained, prepared, gaggle):
    shop = grow(tmp_path, trained.folder, gaggle)
    first = shop.start("prepare", "tiny.toml", METHODS)
    wait_for(lambda: len(list((shop.folder / "registry/cache").glob("copy@*"))) > 0 or first.poll() is not None)
    first.send_signal(signal.SIGKILL)
    first.wait()
    shop.run("prepare", "tiny.toml", METHODS, ranks=2)

    def contents(of):
        """What was prepared, which says so; the cache has more, like where each expert's tensors lie."""
        files = {path.name: path.read_bytes() for path in (of.folder / "registry/cache").iterdir()}
        return {name: content for name, content in files.items() if b'"what":"' in content}

    assert contents(shop).items() <= contents(prepared).items()  # eval has left more there
    assert len(contents(shop)) == 4 * len(EXPERTS)


def test_what_is_missing_is_named(trained, tmp_path, gaggle):
    shop = grow(tmp_path, trained.folder, gaggle)
    missing = shop.run("eval", "tiny.toml", "--eval.methods=['average']", expect=2)
    assert "average is not prepared for 4 of the 4 experts of all@v0001" in missing.stderr
    assert "gaggle prepare tiny.toml" in missing.stderr
    nothing = shop.run("prepare", "tiny.toml", expect=2)
    assert "needs anything prepared" in nothing.stderr
    alone = shop.run("prepare", "tiny.toml", "--eval.methods=['average']", "--data.tasks=tasks/copy.jsonl", expect=2)
    assert "no task of first, reverse, vowel" in alone.stderr
    typed = shop.run("eval", "tiny.toml", "--eval.methods=['phatgoose topk=1']", expect=2)
    assert "did you mean top_k" in typed.stderr
