"""gaggle analyse: every number of analysis.json against NumPy, over the weights that reference_routing.py gives each token."""
import json
import math
import signal
import sys
import unicodedata

import numpy as np
import pytest
import torch
from test_peft_and_eval import base_model, examples, predictions
from workshop import grow, wait_for

EXPERTS = TASKS = ["copy", "first", "reverse", "vowel"]
# A method, and its rule for the reference.
METHODS = {
    "phatgoose": {},
    "phatgoose top_k=1": {"top_k": 1},
    "phatgoose abstain=true": {"abstain": True},
    "arrow top_k=0 scope=layer": {"top_k": 0, "scope": "layer"},
    "spectr granularity=sequence": {"granularity": "sequence"},
    "phatgoose leave_out=copy": {"leave_out": ("copy",)},
}
LISTED = "--eval.methods=[" + ",".join(f"'{name}'" for name in ["none", *METHODS]) + "]"


def analysis_of(shop, name="tiny", file="analysis.json"):
    return json.loads((shop.folder / "runs" / name / "eval" / file).read_text())


@pytest.fixture(scope="module")
def analysed(tmp_path_factory, trained, gaggle):
    shop = grow(tmp_path_factory.mktemp("analysed"), trained.folder, gaggle)
    shop.done = shop.run("analyse", "tiny.toml", LISTED)
    return shop


def layer_of(site):
    return int(site.split(".")[2])


def class_of(text, before):
    """By the definition of docs/evaluation.md. `before`: the text in front of the token."""
    kinds = [unicodedata.category(c)[0] if not c.isspace() else " " for c in text]
    if not text:
        return "special"
    if "L" in kinds or "M" in kinds:
        joined = not text[0].isspace() and before and unicodedata.category(before[-1])[0] in "LMN"
        return "word continuation" if joined else "word start"
    if "N" in kinds:
        return "number"
    signs = [unicodedata.category(c) in ("Sm", "Sc", "Sk") or unicodedata.category(c)[0] == "P" for c in text if not c.isspace()]
    if not signs:
        return "white space"
    return "punctuation" if all(signs) else "other"


class Recorded:
    """Weights of one method on the examples of one task, token by token: {site: [T, N] fp64}, and what tokens they are."""

    def __init__(self, model, tokenizer, experts, method, rule, task, rows):
        from reference_routing import Reference

        self.own, self.weights, self.first = EXPERTS.index(task), {}, {}
        self.classes, self.parts, self.texts, self.nll, self.targets = [], [], [], 0.0, 0
        for example in rows:
            prompt, ids = len(example["input_ids"]), example["input_ids"] + example["target_ids"]
            reference = Reference(model, experts, method.split()[0], rule, {}, layer_of)
            seen, plain = {}, reference.weights

            def weights(site, x, length):
                given, taken = plain(site, x, length)
                whole = np.zeros((len(x), len(EXPERTS)))
                whole[:, [EXPERTS.index(e.name) for e in taken]] = given.double().numpy()  # noqa: B023
                seen[site] = whole  # noqa: B023
                return given, taken

            reference.weights = weights
            with torch.no_grad():
                reference.look(lambda of: of(torch.tensor([ids[:-1]])).logits, (prompt, 0))  # noqa: B023
                logits = reference.run(lambda of: of(torch.tensor([ids[:-1]])).logits[0], (prompt, 0))  # noqa: B023
            scores = logits[prompt - 1:].double().log_softmax(-1)
            self.nll -= scores.gather(1, torch.tensor(example["target_ids"])[:, None]).sum().item()
            self.targets += len(example["target_ids"])
            for site, values in seen.items():
                self.weights.setdefault(site, []).append(values)
            texts = [tokenizer.decode([i]) for i in ids[:-1]]
            before = ""
            for text in texts:
                self.classes.append(class_of(text, before))
                before = text
            self.parts += ["prompt"] * prompt + ["answer"] * (len(ids) - 1 - prompt)
            self.texts.append((example["id"], texts, sum(seen.values()) / len(seen)))
        self.weights = {site: np.concatenate(values) for site, values in self.weights.items()}


@pytest.fixture(scope="module")
def recorded(analysed, root):
    sys.path[:0] = [str(root / "tests/eval"), str(root / "tools")]
    from gaggle_torch import load_collection
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(analysed.folder / "base/tokenizer.json"))
    model, experts = base_model(analysed), load_collection(analysed.folder / "registry/collections/all")
    rows = {task: examples(analysed, task) for task in TASKS}
    return {method: [Recorded(model, tokenizer, experts, method, rule, task, rows[task]) for task in TASKS]
            for method, rule in METHODS.items()}


def close(mine, theirs, tolerance=2e-5):
    assert np.allclose(np.array(mine, float), np.array(theirs, float), rtol=tolerance, atol=tolerance), (mine, theirs)


def entropy(p):
    p = p / p.sum()
    return -sum(x * math.log(x) for x in p if x > 0)


def smoothed(w):
    return (1 - 1e-6) * w / w.sum() + 1e-6 / len(w)


def check_profile(mine, by_site, sites):
    close(mine["by_site"], by_site)
    close(mine["by_layer"], [np.mean([v for v, s in zip(by_site, sites) if layer_of(s) == layer]) for layer in range(3)])
    close(mine["mean"], np.mean(by_site))


@pytest.mark.parametrize("method", METHODS)
def test_numbers_by_site_layer_and_task(analysed, recorded, method):
    found = analysis_of(analysed)
    sites = [site["name"] for site in found["sites"]]
    assert [site["layer"] for site in found["sites"]] == [layer_of(site) for site in sites]
    for task, theirs in zip(TASKS, recorded[method]):
        mine = found["methods"][method]["tasks"][task]
        means = [theirs.weights[site].mean(0) for site in sites]
        close(mine["weights"], means)
        close(mine["share_of_routing_weight"], sum(means) / sum(means).sum())
        check_profile(mine["entropy"], [entropy(m) for m in means], sites)
        tokens = [[entropy(w) for w in theirs.weights[site]] for site in sites]
        check_profile(mine["token_entropy"], [np.mean(t) for t in tokens], sites)
        check_profile(mine["oracle_divergence"], [-math.log(smoothed(m)[theirs.own]) for m in means], sites)
        if "abstain" not in method:  # there the first choice need not have the most weight
            first = [(theirs.weights[site].argmax(1) == theirs.own).mean() for site in sites]
            check_profile(mine["own_first"], first, sites)
        assert mine["examples"] == len(theirs.texts) and mine["target_tokens"] == theirs.targets
        close(mine["nll_per_token"], theirs.nll / theirs.targets, 1e-4)
    if method == "phatgoose leave_out=copy":
        assert found["methods"][method]["tasks"]["copy"]["own_first"]["mean"] == 0
    if method == "phatgoose top_k=1":
        assert found["methods"][method]["tasks"]["copy"]["token_entropy"]["mean"] == 0


@pytest.mark.parametrize("method", METHODS)
def test_divergence_of_tasks(analysed, recorded, method):
    found = analysis_of(analysed)
    sites = [site["name"] for site in found["sites"]]

    def divergence(a, b):
        p, q = ([smoothed(of.weights[site].mean(0)) for site in sites] for of in (a, b))
        return np.mean([(x * np.log(x / y)).sum() for x, y in zip(p, q)])

    theirs = [[divergence(a, b) for b in recorded[method]] for a in recorded[method]]
    close(found["methods"][method]["divergence"], theirs, 1e-4)
    assert np.diag(theirs).max() == 0 and np.abs(np.array(theirs) - np.array(theirs).T).max() > 1e-4


@pytest.mark.parametrize("method", ["phatgoose", "phatgoose abstain=true"])
def test_use_by_class_and_part_of_the_text(analysed, recorded, method):
    found = analysis_of(analysed)
    of_method = found["methods"][method]
    seen = set()
    for task, theirs in [*zip(TASKS, ([one] for one in recorded[method])), (None, recorded[method])]:
        mine = of_method["tasks"][task] if task else of_method
        for block, names, labels in [("by_class", found["classes"], "classes"), ("by_part", found["parts"], "parts")]:
            assert list(mine[block]) == names
            for name in names:
                rows = [w for one in theirs for values in one.weights.values()
                        for w, label in zip(values, getattr(one, labels)) if label == name]
                assert mine[block][name]["tokens"] == len(rows)
                if rows:
                    seen.add(name)
                    close(mine[block][name]["weights"], np.mean(rows, 0))
                else:
                    assert mine[block][name]["weights"] is None
    assert {"word start", "word continuation", "punctuation", "prompt", "answer"} <= seen


def test_texts_token_by_token(analysed, recorded):
    found = analysis_of(analysed)
    for task, theirs in zip(TASKS, recorded["phatgoose"]):
        mine = found["methods"]["phatgoose"]["tasks"][task]["texts"]
        assert len(mine) == 3
        for text, (example, tokens, weights) in zip(mine, theirs.texts):
            assert text["id"] == example and text["tokens"] == tokens
            order = np.argsort(-weights, axis=1, kind="stable")
            rows = np.arange(len(tokens))
            assert text["first"] == list(order[:, 0]) and text["second"] == list(order[:, 1])
            close(text["weight"], weights[rows, order[:, 0]], 1e-4)
            close(text["second_weight"], weights[rows, order[:, 1]], 1e-4)
        length = len(mine[0]["tokens"])
        assert [found["classes"][c] for c in mine[0]["class"]] == theirs.classes[:length]
        assert [found["parts"][p] for p in mine[0]["part"]] == theirs.parts[:length]


def test_similarity_of_gates_and_loras(analysed, root):
    sys.path.insert(0, str(root / "tools"))
    from gaggle_torch import load_collection

    experts, found = load_collection(analysed.folder / "registry/collections/all"), analysis_of(analysed)
    sites = sorted(experts[0].sites)
    gates = [[np.corrcoef(a.gates[s].double(), b.gates[s].double())[0, 1] for s in sites] for a in experts for b in experts]
    close(found["gate_similarity"], np.mean(gates, 1).reshape(4, 4))
    flat = [np.concatenate([(scale * b.double() @ a.double()).numpy().ravel() for a, b, scale in (e.sites[s] for s in sites)])
            for e in experts]
    close(found["lora_similarity"], [[a @ b / np.sqrt(a @ a * (b @ b)) for b in flat] for a in flat])


def test_the_block_says_it_in_short(analysed):
    lines = analysed.done.stdout.splitlines()
    assert any(line.startswith("note") and line.endswith("left out, since they choose no experts by scores: none") for line in lines)
    mine = analysis_of(analysed)["methods"]["phatgoose"]["tasks"]["vowel"]
    begin = next(i for i, line in enumerate(lines) if line.startswith("phatgoose  "))
    line = next(line for line in lines[begin:] if line.startswith("vowel"))
    assert f"{mine['entropy']['mean']:.2f}" in line and f"{100 * mine['own_first']['mean']:.1f} %" in line
    top = EXPERTS[int(np.argmax(mine["share_of_routing_weight"]))]
    assert f"{top} {100 * max(mine['share_of_routing_weight']):.0f} %" in line


def test_knocking_out_costs_what_eval_says(tmp_path, trained, gaggle):
    """And nothing where the expert is not among those that are chosen anyway."""
    shop = grow(tmp_path, trained.folder, gaggle)
    done = shop.run("analyse", "tiny.toml", "--eval.methods=['phatgoose','spectr leave_out=own']", "--knock-out")
    assert "dearest" in done.stdout
    found, scores = analysis_of(shop), {}
    for expert in EXPERTS:
        name = f"phatgoose leave_out={expert}"
        predictions(shop, f"--eval.methods=['phatgoose','{name}']", f"--run.name={expert}", name=expert)
        scores[expert] = json.loads((shop.folder / f"runs/{expert}/eval/results.json").read_text())["methods"]
    for task in TASKS:
        knocked = found["methods"]["phatgoose"]["tasks"][task]["knock_out"]
        for z, expert in enumerate(EXPERTS):
            whole = scores[expert]["phatgoose"]["tasks"][task]["nll_per_token"]
            without = scores[expert][f"phatgoose leave_out={expert}"]["tasks"][task]["nll_per_token"]
            assert knocked["nll_per_token"][z] == pytest.approx(without, rel=1e-6)
            assert knocked["cost"][z] == pytest.approx(without - whole, abs=1e-6)
        own = found["methods"]["spectr leave_out=own"]["tasks"][task]["knock_out"]["cost"]
        assert own[TASKS.index(task)] == 0 and any(cost != 0 for cost in own)


def test_two_ranks_a_stop_and_other_texts_come_to_the_same(tmp_path, trained, analysed, gaggle):
    shop = grow(tmp_path, trained.folder, gaggle)
    (shop.folder / "runs/tiny").mkdir(parents=True, exist_ok=True)
    (shop.folder / "runs/tiny/STOP").write_text("")
    shop.run("analyse", "tiny.toml", LISTED, expect=4)
    (shop.folder / "runs/tiny/STOP").unlink()
    first = shop.start("analyse", "tiny.toml", LISTED)
    items = shop.folder / "runs/tiny/eval/items"
    wait_for(lambda: len(list(items.glob("*.json"))) > 0 or first.poll() is not None)
    first.send_signal(signal.SIGTERM)
    first.wait()
    shop.run("analyse", "tiny.toml", LISTED, ranks=2)
    assert analysis_of(shop) == analysis_of(analysed)
    assert "0 to do" in shop.run("analyse", "tiny.toml", LISTED).stdout
    again = shop.run("analyse", "tiny.toml", LISTED, "--texts", "0", "--dry-run")
    assert "1 of 25 items there already" in again.stdout and "nothing was started" in again.stdout
    shop.run("analyse", "tiny.toml", LISTED, "--texts", "0")
    without, whole = analysis_of(shop), analysis_of(analysed)
    for method in METHODS:
        for task in TASKS:
            assert without["methods"][method]["tasks"][task].pop("texts") == []
            del whole["methods"][method]["tasks"][task]["texts"]
    assert without == whole


def test_mistakes_are_named_before_anything_is_written(tmp_path, trained, gaggle):
    shop = grow(tmp_path, trained.folder, gaggle)
    for words, message in [
        (["--eval.methods=['none','merged']"], "none, merged choose no experts by scores"),
        (["--eval.methods=['average']"], "gaggle prepare"),
        (["--texts", "-1"], "--texts"),
        (["--eval.split=train", "--eval.methods=['phatgoose leave_out=cpoy']"], "did you mean copy?"),
    ]:
        done = shop.run("analyse", "tiny.toml", *words, expect=2)
        assert message in done.stderr, done.stderr
    assert not (shop.folder / "runs/tiny/eval").exists()


def test_another_collection_keeps_the_first_ones_file(tmp_path, trained, gaggle):
    shop = grow(tmp_path, trained.folder, gaggle)
    shop.run("analyse", "tiny.toml", "--texts", "0")
    before = analysis_of(shop)
    shop.run("registry", "collect", "two", "copy", "vowel", "--registry", "registry")
    shop.run("analyse", "tiny.toml", "--texts", "0", "--eval.collection=two")
    assert analysis_of(shop) == before
    (other,) = (path.name for path in (shop.folder / "runs/tiny/eval").glob("analysis-two@v0001-*.json"))
    two = analysis_of(shop, file=other)
    assert two["collection"] == "two@v0001" and two["experts"] == ["copy", "vowel"]
    first = two["methods"]["phatgoose"]["tasks"]["first"]
    assert first["own_first"] is None and first["oracle_divergence"] is None
