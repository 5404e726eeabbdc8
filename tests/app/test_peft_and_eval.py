"""Experts in PEFT and back, and gaggle eval against transformers, PEFT and gaggle_torch, through the program alone."""
import json
import sys

import pytest
import torch


def predictions(shop, *overrides, name="tiny"):
    """NLL of the target by (method, task, id)."""
    shop.run("eval", "tiny.toml", *overrides)
    lines = (shop.folder / "runs" / name / "eval" / "predictions.jsonl").read_text().splitlines()
    return {(line["method"], line["task"], line["id"]): line for line in map(json.loads, lines)}


def examples(shop, task, split="test"):
    done = shop.run("data", "show", "tiny.toml", "--task", task, "--split", split, "--jsonl")
    return [json.loads(line) for line in done.stdout.splitlines()]


def base_model(shop):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(shop.folder / "base", torch_dtype=torch.float32).eval()


@torch.no_grad()
def target_nll(model, example):
    ids = torch.tensor([example["input_ids"] + example["target_ids"]])
    logits = model(input_ids=ids).logits[0, len(example["input_ids"]) - 1:-1].double().log_softmax(-1)
    return -logits.gather(1, torch.tensor(example["target_ids"])[:, None]).sum().item()


def assert_same(found, model, shop, method, tasks, tolerance=1e-4, nll=target_nll):
    for task in tasks:
        for example in examples(shop, task):
            mine = found[method, task, example["id"]]
            reference = nll(model, example)
            assert mine["target_tokens"] == len(example["target_ids"])
            assert mine["target_nll"] == pytest.approx(reference, rel=tolerance), (method, task, example["id"])


@pytest.fixture(scope="module")
def scored(trained):
    return predictions(trained, "--eval.methods=['none','experts','merged','arrow','oracle','phatgoose']")


def test_the_base_alone_scores_as_in_transformers(trained, scored):
    assert_same(scored, base_model(trained), trained, "none", ["copy", "vowel"])


def test_an_expert_in_peft_scores_as_in_gaggle(trained, scored, tmp_path):
    from peft import PeftModel

    trained.run("registry", "export", "reverse", "--to", tmp_path / "out", "--registry", "registry")
    for folder in [trained.folder / "registry/experts/reverse/v0001", tmp_path / "out"]:
        folder = folder if (folder / "adapter_config.json").exists() else folder / "reverse"
        model = PeftModel.from_pretrained(base_model(trained), folder)
        assert_same(scored, model, trained, "expert:reverse", ["reverse", "copy"])


@pytest.mark.parametrize("method,options", [("phatgoose", {"k": 2}), ("merged", {}), ("arrow", {"k": 2})])
def test_routing_scores_as_gaggle_torch(trained, scored, root, method, options):
    sys.path.insert(0, str(root / "tools"))
    from gaggle_torch import route

    model = base_model(trained)
    handle = route(model, trained.folder / "registry" / "collections" / "all", method=method, **options)
    assert_same(scored, model, trained, method, ["copy", "vowel"])
    handle.remove()
    assert_same(scored, model, trained, "none", ["copy"])


def test_oracle_is_the_tasks_own_expert(scored):
    for (method, task, example), line in scored.items():
        if method == "oracle":
            assert line["target_nll"] == scored[f"expert:{task}", task, example]["target_nll"]


def test_rank_classification_takes_the_choice_with_the_least_nll_per_token(scored):
    assert_best_choices(scored)


def assert_best_choices(scored):
    checked = 0
    for (_, task, _), line in scored.items():
        if task == "vowel":
            score = [n / t for n, t in zip(line["choice_nll"], line["choice_tokens"])]
            best = line["choices"][score.index(min(score))]
            assert line["prediction"] == best and line["correct"] == (best == line["target"])
            checked += 1
    assert checked


def assert_generated(found, shop, **settings):
    """The texts of the base are those of transformers' generate."""
    model = base_model(shop)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(shop.folder / "base" / "tokenizer.json"))
    for example in examples(shop, "copy"):
        ids = torch.tensor([example["input_ids"]])
        out = model.generate(ids, do_sample=False, max_new_tokens=32, eos_token_id=example["target_ids"][-1],
                             attention_mask=torch.ones_like(ids), **settings)[0, ids.shape[1]:].tolist()
        text = tokenizer.decode([i for i in out if i != example["target_ids"][-1]], skip_special_tokens=True)
        assert found["none", "copy", example["id"]]["prediction"].strip() == text.strip()


def test_generation_is_transformers_greedy_text(trained, scored):
    assert_generated(scored, trained)


def test_generation_by_beams_is_transformers_text(trained, scored):
    settings = ["--eval.beams=4", "--eval.length_penalty=0.5"]
    found = predictions(trained, "--run.name=beams", "--eval.methods=['none','phatgoose']", *settings, name="beams")
    assert_generated(found, trained, num_beams=4, length_penalty=0.5, early_stopping=False)
    assert any(line["prediction"] != scored[key]["prediction"] for key, line in found.items())

    tasks = [json.loads(line) for line in (trained.folder / "tasks/copy.jsonl").read_text().splitlines()]
    example = next(example for example in tasks if example["split"] == "test")
    done = trained.run("generate", "tiny.toml", example["input"], *settings)
    assert done.stdout == found["phatgoose", "copy", example["id"]]["prediction"] + "\n"


def test_ranks_share_the_evaluation_and_agree(trained, scored):
    trained.run("eval", "tiny.toml", "--run.name=shared", "--eval.methods=['none','phatgoose']", ranks=2)
    lines = (trained.folder / "runs/shared/eval/predictions.jsonl").read_text().splitlines()
    assert lines
    for line in map(json.loads, lines):
        assert line["target_nll"] == scored[line["method"], line["task"], line["id"]]["target_nll"]


def test_an_evaluation_that_was_cut_off_repeats_only_what_is_missing(trained, scored):
    settings = ["--run.name=resumed", "--eval.methods=['none','phatgoose']"]
    trained.run("eval", "tiny.toml", *settings)
    folder = trained.folder / "runs/resumed/eval"
    results = sorted((folder / "items").glob("*"))
    assert len(results) > 2
    for lost in results[::2]:
        lost.unlink()
    (folder / "predictions.jsonl").unlink()
    kept = {path: path.stat().st_mtime_ns for path in results[1::2]}
    found = predictions(trained, *settings, name="resumed")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert sorted((folder / "items").glob("*")) == results
    assert found == {key: line for key, line in scored.items() if key[0] in ("none", "phatgoose")}


def test_an_imported_peft_lora_scores_as_in_peft_and_can_be_gated(workshop, tmp_path):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(base_model(workshop), LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], use_rslora=True,
        rank_pattern={"v_proj": 8}, alpha_pattern={"down_proj": 3}, task_type="CAUSAL_LM"))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "copy")
    refused = get_peft_model(base_model(workshop), LoraConfig(r=4, use_dora=True, target_modules=["q_proj"]))
    refused.save_pretrained(tmp_path / "dora")

    done = workshop.run("registry", "import", tmp_path / "copy", tmp_path / "dora", "--base", "base",
                        "--registry", "registry", expect=3)
    text = done.stdout + done.stderr
    assert "DoRA" in text and "accepted" in text and "refused" in text
    workshop.run("registry", "collect", "all", "--registry", "registry")
    found = predictions(workshop, "--eval.methods=['none','expert:copy']")
    assert_same(found, model, workshop, "expert:copy", ["copy", "vowel"])

    workshop.run("gates", "tiny.toml")
    version = workshop.folder / "registry/experts/copy/v0002"
    assert (version / "gate.safetensors").exists()
    before = (workshop.folder / "registry/experts/copy/v0001/adapter_model.safetensors").read_bytes()
    assert (version / "adapter_model.safetensors").read_bytes() == before
    assert json.loads((version / "expert.json").read_text())["origin"] == "imported"

    # What is imported again is there already, and its gates stay in use.
    again = workshop.run("registry", "import", tmp_path / "copy", "--base", "base", "--registry", "registry")
    assert "copy@v0001" in again.stdout and "CURRENT stays at the newer v0002" in again.stderr
    assert "1 expert\n" in workshop.run("registry", "collect", "all", "--registry", "registry").stdout
    pins = json.loads(sorted((workshop.folder / "registry/collections/all").glob("v*/collection.json"))[-1].read_text())
    assert [(pin["name"], pin["version"]) for pin in pins["experts"]] == [("copy", "v0002")]


def test_generate_answers_by_the_method_that_is_asked_for(trained):
    said = {method: trained.run("generate", "tiny.toml", "copy: ant bee", "--method", method)
            for method in ["none", "merged", "expert:copy"]}
    for method, done in said.items():
        assert f"answered by {method}{'' if method == 'none' else ' over all@'}" in done.stderr
    assert "answered by merged over all@" in trained.run("generate", "tiny.toml", "copy: ant bee",
                                                  "--eval.methods=['none','merged']").stderr
    refused = trained.run("generate", "tiny.toml", "copy: ant bee", "--method", "oracle", expect=2)
    assert "--method: no method of oracle answers a prompt" in refused.stderr
    typed = trained.run("generate", "tiny.toml", "copy: ant bee", "--method", "phatgose", expect=2)
    assert 'unknown method "phatgose" (did you mean phatgoose?)' in typed.stderr
    one = trained.run("generate", "tiny.toml", "copy: ant bee", "--method", "phatgoose top_k=1 granularity=sequence")
    assert "answered by phatgoose top_k=1 granularity=sequence over all@" in one.stderr


def test_generate_names_the_experts_that_answered(trained):
    done = trained.run("generate", "tiny.toml", "copy: ant bee")
    assert "copy" in done.stdout + done.stderr and "%" in done.stdout + done.stderr
