"""tools/gaggle_lm_eval.py: lm-evaluation-harness scores a collection as gaggle eval does, request by request."""
import json
import sys

import pytest
from workshop import grow, write_choosing

pytest.importorskip("lm_eval", reason="lm_eval is not installed (tools/requirements-lm-eval.txt)")

TASK = """
task: kinds
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}, cache_dir: {cache}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{input}}}}\\n"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{choices.index(output)}}}}"
target_delimiter: ""
metric_list:
  - metric: acc
  - metric: acc_norm
  - metric: acc_mutual_info
"""
WRITTEN = """
task: written
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}, cache_dir: {cache}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{input}}}}\\n"
doc_to_target: "{{{{output}}}}"
target_delimiter: ""
generation_kwargs: {{until: [], do_sample: false, max_gen_toks: 32}}
metric_list:
  - metric: exact_match
"""
# acc and its kin of the harness → eval.normalise
RULES = {"acc": "none", "acc_norm": "characters", "acc_mutual_info": "prior"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory, tiny_world, gaggle, root):
    sys.path.insert(0, str(root / "tools"))
    shop = grow(tmp_path_factory.mktemp("harness"), tiny_world, gaggle)
    # Without a class transformers takes Llama's for any model of that type, which reads tokenizer.json otherwise.
    config = shop.folder / "base/tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    (shop.folder / "asked").mkdir()
    write_choosing(shop.folder / "asked/kinds.jsonl")
    copied = [json.loads(line) for line in (shop.folder / "tasks/copy.jsonl").read_text().splitlines()]
    (shop.folder / "asked/written.jsonl").write_text("".join(json.dumps(row | {"split": "test"}) + "\n" for row in copied[:12]))
    (shop.folder / "harness").mkdir()
    for name, text in (("kinds", TASK), ("written", WRITTEN)):
        (shop.folder / "harness" / f"{name}.yaml").write_text(
            text.format(file=shop.folder / "asked" / f"{name}.jsonl", cache=shop.folder / "cache"))
    return shop


def by_harness(shop, method, **settings):
    """Each task's samples by the row's id, and its results."""
    import lm_eval
    from gaggle_lm_eval import GaggleLM
    from lm_eval.tasks import TaskManager

    collection = "" if method == "none" else str(shop.folder / "registry/collections/all")
    model = GaggleLM(str(shop.folder / "base"), collection, method, device="cpu", dtype="float32", batch_size=7, **settings)
    done = lm_eval.simple_evaluate(model=model, tasks=["kinds", "written"], log_samples=True, bootstrap_iters=0,
                                   task_manager=TaskManager(include_path=str(shop.folder / "harness"), include_defaults=False))
    samples = {task: {sample["doc"]["id"]: sample for sample in found} for task, found in done["samples"].items()}
    return samples, done["results"]


def by_gaggle(shop, normalise):
    folder = shop.folder / "runs" / normalise / "eval"
    shop.run("eval", "tiny.toml", f"--run.name={normalise}", "--eval.tasks=['asked']", f"--eval.normalise={normalise}",
             "--eval.methods=['none','phatgoose']")
    lines = list(map(json.loads, (folder / "predictions.jsonl").read_text().splitlines()))
    return {(line["method"], line["task"], line["id"]): line for line in lines}, json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("method", ["none", "phatgoose"])
def test_a_collection_scores_in_the_harness_as_in_gaggle_eval(shop, method):
    samples, results = by_harness(shop, method)
    verdicts = {}
    for metric, normalise in RULES.items():
        mine, table = by_gaggle(shop, normalise)
        scores = table["methods"][method]["tasks"]
        assert results["kinds"][f"{metric},none"] == pytest.approx(scores["kinds"]["accuracy"], abs=1e-12)
        assert results["written"]["exact_match,none"] == pytest.approx(scores["written"]["accuracy"], abs=1e-12)
        for name, sample in samples["kinds"].items():
            line = mine[method, "kinds", name]
            assert sample[metric] == line["correct"] == line["score"]
            found = [float(logprob) for ((logprob, _),) in sample["resps"]][:len(line["choices"])]
            assert found == pytest.approx([-nll for nll in line["choice_nll"]], rel=1e-4)
        for name, sample in samples["written"].items():
            assert sample["resps"][0][0].strip() == mine[method, "written", name]["prediction"].strip()
        verdicts[metric] = [samples["kinds"][name][metric] for name in sorted(samples["kinds"])]
    assert len(set(map(tuple, verdicts.values()))) == 3, "the three rules decide alike: the rows do not tell them apart"


def test_the_harness_s_own_rule_ends_no_answer(shop):
    """The answer's tokens alone, behind a prompt that it is one text with."""
    ours, _ = by_harness(shop, "none")
    theirs, _ = by_harness(shop, "none", rule="harness")
    for name, sample in ours["kinds"].items():
        for ((with_end, _),), ((without, _),) in zip(sample["resps"], theirs["kinds"][name]["resps"]):
            assert with_end != without
