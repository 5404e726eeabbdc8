"""eval.normalise, eval.shots, metrics of generated texts and groups of templates, through the program alone."""
import collections
import json
import statistics
import string

import pytest
import torch
from test_peft_and_eval import base_model, predictions, target_nll
from workshop import write_choosing


@pytest.fixture(scope="module")
def ranked(trained):
    (trained.folder / "ranked").mkdir()
    write_choosing(trained.folder / "ranked/odd.jsonl", rows=30)

    def run(normalise):
        return predictions(trained, f"--run.name={normalise}", "--eval.tasks=['ranked']", f"--eval.normalise={normalise}",
                           "--eval.methods=['none','phatgoose']", name=normalise)
    return {normalise: run(normalise) for normalise in ("tokens", "none", "characters", "prior")}


def tokenizer_of(shop):
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(shop.folder / "base/tokenizer.json"))


@pytest.mark.parametrize("method", ["none", "phatgoose"])
def test_each_rule_scores_choices_as_it_says(trained, ranked, root, method, monkeypatch):
    monkeypatch.syspath_prepend(root / "tools")
    from gaggle_torch import route

    model, tokenizer = base_model(trained), tokenizer_of(trained)
    if method != "none":
        route(model, trained.folder / "registry/collections/all", method=method, k=2)
    bos, end = tokenizer.token_to_id("<s>"), tokenizer.token_to_id("</s>")
    decisions = collections.defaultdict(list)
    for normalise, lines in ranked.items():
        for (by, _, name), line in lines.items():
            if by != method:
                continue
            for i, (choice, nll, tokens) in enumerate(zip(line["choices"], line["choice_nll"], line["choice_tokens"])):
                behind_nothing = {"input_ids": [bos], "target_ids": tokenizer.encode(choice).ids + [end]}
                expected = {"tokens": lambda: nll / tokens, "none": lambda: nll, "characters": lambda: nll / len(choice),
                            "prior": lambda: nll - target_nll(model, behind_nothing)}[normalise]()
                assert line["choice_score"][i] == pytest.approx(expected, rel=1e-4, abs=1e-4), (normalise, name)
            assert line["normalise"] == normalise
            best = line["choices"][line["choice_score"].index(min(line["choice_score"]))]
            assert line["prediction"] == best and line["score"] == line["correct"] == (best == line["target"])
            assert line["choice_nll"] == ranked["tokens"][by, "odd", name]["choice_nll"]
            decisions[normalise].append(best)
    assert len(set(map(tuple, decisions.values()))) == 4, "the rules decide alike: these rows show nothing"


def shown(shop, *settings):
    """What each question of the task first is shown as, by its id."""
    done = shop.run("data", "show", "tiny.toml", "--task", "first", "--split", "test", "--jsonl", "--eval", *settings)
    return {line["id"]: line for line in map(json.loads, done.stdout.splitlines())}, done.stderr


def test_shots_are_solved_examples_of_the_train_split_before_the_question(trained):
    rows = {row["id"]: row for row in map(json.loads, (trained.folder / "tasks/first.jsonl").read_text().splitlines())}
    solved = {f"{row['input']}\n{row['output']}": row for row in rows.values() if row["split"] == "train"}
    tokenizer = tokenizer_of(trained)
    lines, _ = shown(trained, "--eval.shots=3")
    assert len(lines) == 6
    for name, line in lines.items():
        *shots, question = tokenizer.decode(line["input_ids"], skip_special_tokens=False).split("\n\n")
        assert question == rows[name]["input"] + "\n"
        assert len(set(shots)) == 3 and all(shot in solved for shot in shots)
        assert all(solved[shot]["input"] != rows[name]["input"] for shot in shots)
    assert shown(trained, "--eval.shots=3", "--eval.limit_examples=2")[0] == dict(list(lines.items())[:2])
    assert shown(trained, "--eval.shots=3", "--run.seed=1")[0] != lines
    # Whole shots leave, the first ones first.
    room = min(len(line["input_ids"]) for line in lines.values())
    fewer, said = shown(trained, "--eval.shots=3", f"--data.max_input_tokens={room}")
    assert f"shots are left out, for prompts keep within data.max_input_tokens = {room}" in said
    for name, line in fewer.items():
        whole, part = (tokenizer.decode(of["input_ids"]).split("\n\n") for of in (lines[name], line))
        assert len(line["input_ids"]) <= room and part == whole[len(whole) - len(part):]

    found = predictions(trained, "--run.name=shots", "--eval.shots=3", "--eval.methods=['none']", name="shots")
    model = base_model(trained)
    for name, line in lines.items():
        assert found["none", "first", name]["target_nll"] == pytest.approx(target_nll(model, line), rel=1e-4)
    again = predictions(trained, "--run.name=shots", "--eval.methods=['none']", name="shots")
    assert again["none", "first", "first-9"]["target_nll"] != found["none", "first", "first-9"]["target_nll"]


def test_shots_that_cannot_be_are_refused(trained):
    refused = trained.run("eval", "tiny.toml", "--eval.shots=49", expect=2)
    assert "eval.shots = 49, but split train has only" in refused.stderr and "task copy, example copy-" in refused.stderr
    refused = trained.run("adapt", "tiny.toml", "--eval.shots=2", expect=2)
    assert "eval.shots = 2 is of gaggle eval" in refused.stderr


WRITTEN = ["--run.name=written", "--eval.tasks=['written']", "--eval.max_new_tokens=8",
           "--eval.methods=['none','expert:copy']"]


@pytest.fixture(scope="module")
def generated(trained):
    """A task under three metrics, two of them of one group. Its outputs hold more or less of what the base writes."""
    (trained.folder / "written").mkdir()
    said = predictions(trained, "--run.name=said", "--eval.tasks=['tasks/copy.jsonl']", *WRITTEN[2:], name="said")
    rows = [json.loads(line) for line in (trained.folder / "tasks/copy.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["split"] == "test"]
    for i, row in enumerate(rows):
        text = said["none", "copy", row["id"]]["prediction"].strip()
        row["output"] = [text, f"The {text} cat", f"dog, dog {text}!", "fox"][i % 4]
    for name, about in {"f1": 'metric = "f1"\ngroup = "copies"', "rouge": 'metric = "rouge_l"',
                        "exact": 'metric = "exact_match"\ngroup = "copies"'}.items():
        (trained.folder / f"written/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (trained.folder / f"written/{name}.toml").write_text(about)
    found = predictions(trained, *WRITTEN, name="written")
    return found, json.loads((trained.folder / "runs/written/eval/results.json").read_text())


def overlap(prediction, target):
    """Token F1 of texts of words alone."""
    said, wanted = (["".join(c for c in word if c not in string.punctuation) for word in text.lower().split()]
                    for text in (prediction, target))
    said, wanted = ([word for word in words if word not in ("", "a", "an", "the")] for words in (said, wanted))
    common = sum((collections.Counter(said) & collections.Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted))


def test_generated_texts_have_a_share_each_and_tasks_its_mean(generated):
    found, results = generated
    for task, between in (("f1", True), ("rouge", True), ("exact", False)):
        shares = [line["score"] for (_, of, _), line in found.items() if of == task]
        assert {0, 1} < set(shares) if between else {0, 1} == set(shares), task
    for (method, task, name), line in found.items():
        twin = found[method, "exact", name]
        assert line["prediction"] == twin["prediction"]
        if task == "f1":
            assert line["score"] == pytest.approx(overlap(line["prediction"], line["target"]))
        assert ("correct" in line) == (task == "exact")
    for method in ("none", "expert:copy"):
        tasks = results["methods"][method]["tasks"]
        for task in ("f1", "rouge", "exact"):
            scores = [line["score"] for (by, of, _), line in found.items() if (by, of) == (method, task)]
            assert tasks[task]["score"] == pytest.approx(statistics.mean(scores))
            assert ("accuracy" in tasks[task]) == (task == "exact")
        both = [tasks[task]["score"] for task in ("f1", "exact")]
        assert results["methods"][method]["groups"] == {"copies": pytest.approx(
            {"mean_score": statistics.mean(both), "median_score": statistics.median(both)})}


def test_stems_change_rouge_and_nothing_else_is_scored_again(trained, generated):
    before = set((trained.folder / "runs/written/eval/items").iterdir())
    predictions(trained, *WRITTEN, "--eval.stem=true", "--eval.normalise=characters", name="written")
    new = set((trained.folder / "runs/written/eval/items").iterdir()) - before
    assert sorted(json.loads(path.read_text())["task"] for path in new) == ["rouge", "rouge"]


def test_the_table_names_groups_and_shares(trained, generated):
    done = trained.run("eval", "tiny.toml", *WRITTEN)
    for words in ("held-out score %", "mean of the templates' score %", "median of the templates' score %", "copies"):
        assert words in done.stdout


def test_the_plan_says_how_answers_are_scored_where_that_is_not_as_by_default(trained):
    plan = lambda *more: trained.run("eval", "tiny.toml", "--dry-run", "--eval.methods=['none']", *more).stdout
    assert "scored    3 shots of split train before each question, choices by nll per character" in plan(
        "--eval.shots=3", "--eval.normalise=characters")
    assert "scored    1 shot of split validation before each question\n" in plan("--eval.shots=1", "--eval.shots_split=validation")
    assert "scored " not in plan()
