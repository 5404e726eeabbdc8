"""Every command on a tiny T5, through the program alone, against transformers, PEFT and gaggle_torch."""
import json
import shutil
import signal
import sys

import kinds
import pytest
import test_peft_and_eval
import torch
from make_models import make_t5
from test_peft_and_eval import assert_best_choices, predictions, examples
from workshop import Workshop, grow, wait_for, write_tasks, write_unigram

KIND = "t5-v1.1"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t5")
    make_t5(folder / "base", KIND, seed=3)
    write_unigram(folder / "base")
    write_tasks(folder / "tasks")
    return folder


@pytest.fixture
def shop(tmp_path, world, gaggle):
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    return Workshop(tmp_path, gaggle)


@pytest.fixture(scope="module")
def grown(tmp_path_factory, world, gaggle):
    """Experts with gates; for tests that only read."""
    return grow(tmp_path_factory.mktemp("grown"), world, gaggle, "--train.lanes=4")


def base_model(shop):
    return kinds.load(shop.folder / "base", KIND, dtype=torch.float32)


@torch.no_grad()
def nll_of(model, source, target, **more):
    logp = kinds.target_logits(model, {"source": source, "input": [0], "target": target}, **more).double().log_softmax(-1)
    return -logp.gather(1, torch.tensor(target)[:, None]).sum().item()


def assert_same(found, model, shop, method, tasks, **more):
    def nll(model, example):
        return nll_of(model, example["input_ids"], example["target_ids"], **more)

    test_peft_and_eval.assert_same(found, model, shop, method, tasks, nll=nll)


def test_the_prior_of_a_choice_reads_an_empty_source(shop):
    from tokenizers import Tokenizer

    found = predictions(shop, "--eval.methods=['none']", "--eval.tasks=['tasks/vowel.jsonl']", "--eval.normalise=prior")
    model, tokenizer = base_model(shop), Tokenizer.from_file(str(shop.folder / "base/tokenizer.json"))
    for line in found.values():
        priors = [nll_of(model, [kinds.END], tokenizer.encode(choice).ids) for choice in line["choices"]]
        assert line["choice_score"] == pytest.approx([n - p for n, p in zip(line["choice_nll"], priors)], abs=1e-3)


def run_bits(shop, folder):
    return {p.name: p.read_bytes() for p in (shop.folder / folder).rglob("*.safetensors")}


@pytest.fixture(scope="module")
def scored(grown):
    return predictions(grown, "--eval.methods=['none','experts','merged','arrow','phatgoose']")


def test_inputs_and_outputs_end_with_the_end_token(grown):
    for example in examples(grown, "copy"):
        assert example["input_ids"][-1] == example["target_ids"][-1] == 1 and 1 not in example["input_ids"][:-1]
    cut = grown.run("data", "show", "tiny.toml", "--task", "copy", "--jsonl", "--data.max_input_tokens=4")
    for example, line in zip(examples(grown, "copy", "train"), map(json.loads, cut.stdout.splitlines())):
        expected = example["input_ids"] if len(example["input_ids"]) <= 4 else example["input_ids"][:3] + [1]
        assert line["input_ids"] == expected


def test_the_base_and_its_experts_score_as_in_peft(grown, scored):
    from peft import PeftModel

    assert_same(scored, base_model(grown), grown, "none", ["copy", "vowel"])
    folder = grown.folder / "registry/experts/reverse/v0001"
    assert json.loads((folder / "adapter_config.json").read_text())["task_type"] == "SEQ_2_SEQ_LM"
    model = PeftModel.from_pretrained(base_model(grown), folder)
    assert_same(scored, model, grown, "expert:reverse", ["reverse", "copy"])
    assert scored["expert:reverse", "reverse", "reverse-9"]["target_nll"] < \
        scored["none", "reverse", "reverse-9"]["target_nll"]


@pytest.mark.parametrize("method,options", [("phatgoose", {"k": 2}), ("merged", {}), ("arrow", {"k": 2})])
def test_routing_scores_as_gaggle_torch(grown, scored, root, method, options):
    sys.path.insert(0, str(root / "tools"))
    from gaggle_torch import route

    model = base_model(grown)
    handle = route(model, grown.folder / "registry" / "collections" / "all", method=method, **options)
    assert_same(scored, model, grown, method, ["copy", "vowel"])
    handle.remove()


def test_rank_classification_and_generation(grown, scored):
    from tokenizers import Tokenizer

    assert_best_choices(scored)
    tokenizer = Tokenizer.from_file(str(grown.folder / "base/tokenizer.json"))
    beams = predictions(grown, "--run.name=beams", "--eval.methods=['none']", "--eval.beams=3", name="beams")
    model = base_model(grown)
    for example in examples(grown, "copy"):
        for found, settings in [(scored, {}), (beams, {"num_beams": 3, "early_stopping": False})]:
            with torch.no_grad():
                out = model.generate(torch.tensor([example["input_ids"]]), do_sample=False, max_new_tokens=32, **settings)
            text = tokenizer.decode(out[0].tolist(), skip_special_tokens=True)
            assert found["none", "copy", example["id"]]["prediction"].strip() == text.strip()
    assert grown.run("generate", "tiny.toml", "copy: ant bee").stdout.endswith("\n")


def test_ranks_and_a_kill_change_no_bit(grown, shop):
    settings = ["--train.lanes=4", "--checkpoint.every=2"]
    shop.experts(*settings, "--registry.path=two", "--cluster.ranks_per_expert=2", ranks=2)
    assert shop.bits("two") == grown.bits()
    running = shop.start("experts", "tiny.toml", *settings)
    wait_for(lambda: list(shop.folder.glob("registry/work/items/*/*/*/COMPLETE")), 120)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    shop.experts(*settings)
    assert shop.bits() == grown.bits()


def test_dropout_of_the_base_changes_training_and_no_rank_changes_it(grown, shop):
    settings = ["--train.dropout=0.1", "--train.lanes=4", "--gate.steps=2", "--train.steps=4"]
    assert "dropout 0.1 in the base" in shop.experts(*settings).stdout
    shop.experts(*settings, "--registry.path=two", "--cluster.ranks_per_expert=2", ranks=2)
    assert shop.bits("two") == shop.bits()
    shop.experts(*settings[1:], "--registry.path=none")
    assert shop.bits("none") != shop.bits()


def test_pretraining_adaptation_alignment(shop):
    settings = ["--poly.heads=4", "--poly.rank=2", "--poly.skills=3", "--train.lanes=4", "--train.lr=0.01",
                "--alignment.every=4"]
    shop.run("pretrain", "tiny.toml", *settings)
    shop.run("pretrain", "tiny.toml", *settings, "--registry.path=two", "--run.dir=runs2", ranks=2)
    one, two = run_bits(shop, "registry/inventories"), run_bits(shop, "two/inventories")
    assert one and one == two
    assert "cosine" in shop.run("align", "runs/tiny").stdout
    assert "cosine" in shop.run("align", "runs/tiny", "--examples", "4").stdout
    for sample in ("task", "example"):
        shop.run("pretrain", "tiny.toml", *settings, f"--poly.sample={sample}", f"--run.variant={sample}",
                 "--train.steps=3")
    shop.run("pretrain", "tiny.toml", "--poly.adapter=ia3", "--poly.heads=1", "--train.steps=3", "--run.variant=ia3",
             "--alignment.every=2")
    config = json.loads((shop.folder / "registry/inventories/tiny-ia3/v0001/adapter_config.json").read_text())
    assert sorted(config["target_modules"]) == ["k", "v", "wi_1"]
    shop.run("adapt", "tiny.toml", "--adapt.from=tiny", "--adapt.method=['full','mu','z','lora']", "--adapt.shots=8",
             "--adapt.seeds=1", "--adapt.steps=3", "--adapt.loss=tfew", "--adapt.tasks=['tasks/vowel.jsonl']")
    found = predictions(shop, "--eval.methods=['none','poly','mu']", "--eval.inventory=tiny")
    assert_poly_is_pefts(shop, found)


def assert_poly_is_pefts(shop, found):
    from peft import PeftModel

    folder = shop.folder / "registry/inventories/tiny/v0001"
    assert json.loads((folder / "adapter_config.json").read_text())["task_type"] == "SEQ_2_SEQ_LM"
    model = PeftModel.from_pretrained(base_model(shop), folder).eval()
    for number, task in enumerate(["copy", "first", "reverse", "vowel"]):
        assert_same(found, model, shop, "poly", [task], task_ids=torch.tensor([number]))


def test_loras_and_polys_of_peft_are_imported(shop, tmp_path):
    from peft import LoraConfig, PolyConfig, get_peft_model

    torch.manual_seed(1)
    lora = get_peft_model(base_model(shop), LoraConfig(r=4, lora_alpha=8, target_modules=["q", "v", "wo"],
                                                       rank_pattern={"wo": 2}, task_type="SEQ_2_SEQ_LM"))
    poly = get_peft_model(base_model(shop), PolyConfig(r=2, n_tasks=4, n_skills=3, n_splits=4, target_modules=kinds.TARGETS[KIND],
                                                       task_type="SEQ_2_SEQ_LM"))
    for name, model in {"copy": lora, "mixed": poly}.items():
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_" in key or "module_logits" in key:
                    parameter.copy_(0.1 * torch.randn_like(parameter))
        model.save_pretrained(tmp_path / "peft" / name)
    shop.run("registry", "import", tmp_path / "peft/copy", tmp_path / "peft/mixed", "--base", "base", "--registry",
             "registry")
    shop.run("registry", "collect", "all", "--registry", "registry")
    shop.run("gates", "tiny.toml")
    assert (shop.folder / "registry/experts/copy/v0002/gate.safetensors").exists()
    found = predictions(shop, "--eval.methods=['expert:copy']")
    assert_same(found, lora.eval(), shop, "expert:copy", ["copy", "vowel"])
    assert any((shop.folder / "registry/inventories").glob("mixed/v0001/adapter_model.safetensors"))


def test_pickled_weights_are_the_same_base(grown, shop):
    model = base_model(shop)
    (shop.folder / "base/model.safetensors").unlink()
    model.save_pretrained(shop.folder / "base", safe_serialization=False, max_shard_size="100KB")
    assert (shop.folder / "base/pytorch_model.bin.index.json").exists()
    shop.experts("--train.lanes=4")
    assert shop.bits() == grown.bits()


XL = {"model_type": "t5", "d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_layers": 24, "num_heads": 32,
      "vocab_size": 32128, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "pad_token_id": 0}


def test_costs_are_known_from_the_config_alone(shop, root):
    folder = shop.folder / "t5-xl-lm-adapt"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(XL))
    shown = shop.run("experts", root / "configs/paper/phatgoose.toml", "--model.path=t5-xl-lm-adapt",
                     "--plan.gpus=8", "--plan.tasks=35", "--dry-run").stdout
    for words in ["t5-xl-lm-adapt", "2,849,757,184 parameters", "432 sites", "35,389,440 values per expert",
                  "1,032,192 values per expert", "1,000 steps of 1,024 examples", "35 tasks", "8 H100", "GPU hours",
                  "FLOP a step", "nothing was started"]:
        assert words in shown, (words, shown)
    shown = shop.run("pretrain", root / "configs/paper/mhr-t0.toml", "--model.path=t5-xl-lm-adapt", "--poly.rank=1",
                     "--poly.heads=64", "--plan.tasks=316", "--train.steps=1000", "--dry-run").stdout
    for words in ["17,694,720 skill values", "69,894,144 routing values", "316 tasks"]:
        assert words in shown, (words, shown)
    assert not (shop.folder / "runs").exists()
    shutil.copy(shop.folder / "base/tokenizer.json", folder)
    refused = shop.run("experts", "tiny.toml", "--model.path=t5-xl-lm-adapt", expect=2)
    assert "model.safetensors" in refused.stderr


def test_the_demonstration_runs_on_a_tiny_t5(tmp_path, gaggle, root):
    tasks = root / "demo/tasks"
    if not tasks.is_dir():
        pytest.skip("no demo/tasks: tools/demo_assets.sh makes them")
    make_t5(tmp_path / "base", KIND, seed=3, vocab_size=600)
    texts = [line for file in sorted(tasks.glob("held_*/*.jsonl")) for line in file.read_text().splitlines()[:40]]
    write_unigram(tmp_path / "base", texts, 500)
    shop = Workshop(tmp_path, gaggle)
    settings = [root / "configs/demo.toml", f"--model.path={tmp_path}/base", "--run.dir=runs", "--run.threads=1",
                "--registry.path=registry", "--registry.cache=cache", "--train.steps=3", "--gate.steps=2",
                "--eval.limit_examples=4", "--eval.max_new_tokens=3"]
    shown = shop.run("experts", *settings, ranks=2).stdout
    assert "collection demo: 6 experts" in shown and "t5" in shown
    shown = shop.run("eval", *settings, ranks=2).stdout
    assert "phatgoose / oracle" in shown and "held-out" in shown


def test_analysis_counts_the_tokens_that_each_side_reads(grown):
    grown.run("analyse", "tiny.toml", "--eval.methods=['phatgoose','phatgoose granularity=sequence scope=model']", "--texts", "1")
    found = json.loads((grown.folder / "runs/tiny/eval/analysis.json").read_text())
    sides = [site["side"] for site in found["sites"]]
    for method, of_method in found["methods"].items():
        for task, mine in of_method["tasks"].items():
            sources = [len(e["input_ids"]) for e in examples(grown, task)]
            targets = [len(e["target_ids"]) for e in examples(grown, task)]  # and so many are fed: the start, then all but the last
            routed = [side for side, weights in zip(sides, mine["weights"]) if weights]
            encoder, decoder = routed.count("encoder"), routed.count("decoder")
            assert encoder > 0 and decoder > 0
            assert mine["by_part"]["prompt"]["tokens"] == encoder * sum(sources) + decoder * len(targets)
            assert mine["by_part"]["answer"]["tokens"] == decoder * (sum(targets) - len(targets))
            assert sum(of["tokens"] for of in mine["by_class"].values()) == encoder * sum(sources) + decoder * sum(targets)
            assert all(sum(weights) == pytest.approx(1, abs=1e-5) for weights in mine["weights"] if weights)
            (text,) = mine["texts"]
            parts = [found["parts"][p] for p in text["part"]]
            assert parts == ["prompt"] * (sources[0] + 1) + ["answer"] * (targets[0] - 1)
            if "model" in method:  # one choice for the whole text
                assert len(set(zip(text["first"], text["weight"]))) == 1
