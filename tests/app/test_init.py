"""gaggle init: a config for what lies in a folder, with the reason of each key; that it runs as it is shows
test_documented_commands.py."""
import json
import shutil

import pytest
from test_import_of_others import lora_folder
from workshop import write_tokenizer


def settings(shop, path):
    """The config as gaggle reads it."""
    tomllib = pytest.importorskip("tomllib")
    return tomllib.loads(shop.run("experts", path, "--print-config").stdout)


def add_chatml(base):
    """SmolLM2's chat template, its markers, and another end of sequence than the format's."""
    write_tokenizer(base, ["<|im_start|>", "<|im_end|>"])
    template = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a "
                "helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] "
                "+ '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
                "{{ '<|im_start|>assistant\n' }}{% endif %}")
    path = base / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))


def test_what_can_be_found_out_is_not_asked(workshop):
    """The model in the folder, the tasks two folders deep, one of them for scoring alone; the chat format by the template; limits by
    the rows."""
    folder = workshop.folder
    (folder / "mine").mkdir()
    shutil.move(folder / "base", folder / "mine/base")
    add_chatml(folder / "mine/base")
    shutil.move(folder / "tasks", folder / "mine/data")
    path = folder / "mine/data/vowel.jsonl"
    path.write_text("".join(json.dumps(json.loads(line) | {"split": "test"}) + "\n" for line in path.read_text().splitlines()))
    said = workshop.run("init", "mine").stdout
    assert said.splitlines()[-2:] == [line for line in said.splitlines() if "gaggle experts mine/gaggle.toml" in line
                                      or "gaggle eval mine/gaggle.toml" in line]
    found = settings(workshop, "mine/gaggle.toml")
    assert found["model"]["path"] == str(folder / "mine/base") and found["registry"]["path"] == str(folder / "mine/registry")
    assert found["data"]["prompt"] == "chatml" and found["data"]["end"] == "<|im_end|>"
    assert found["data"]["tasks"] == [str(folder / f"mine/data/{name}.jsonl") for name in ["copy", "first", "reverse"]]
    assert found["eval"]["tasks"] == [str(folder / "mine/data")] and "vowel" in said
    text = (folder / "mine/gaggle.toml").read_text()
    assert "tasks = [\"data/copy.jsonl\"" in text, "paths hold from everywhere"
    shown = workshop.run("data", "show", "mine/gaggle.toml", "--task", "reverse", "--jsonl", "--data.max_input_tokens=1000").stdout
    longest = max(len(json.loads(line)["input_ids"]) for line in shown.splitlines())
    limit = found["data"]["max_input_tokens"]
    assert longest <= limit < longest + 64 and limit % 32 == 0 and "the longest prompt has" in text


def test_one_task_alone_has_nothing_to_route_among(workshop):
    workshop.run("init", "--model", "base", "--tasks", "tasks/copy.jsonl", "--out", "one.toml")
    assert settings(workshop, "one.toml")["eval"]["methods"] == ["none", "experts"]


def test_experts_that_are_there_come_first(workshop):
    """Without gates, they are routed by what needs none; those of all tasks make an oracle."""
    for name in ["copy", "other"]:
        lora_folder(workshop, workshop.folder / "theirs" / name)
    workshop.run("registry", "import", "theirs/copy", "theirs/other", "--registry", "registry", "--base", "base")
    said = workshop.run("init", "--model", "base", "--tasks", "tasks/copy.jsonl", "--out", "there.toml").stdout
    assert "holds 2 experts already, 0 of them with a gate" in said
    assert "next: gaggle eval there.toml" in said and "then: gaggle experts there.toml" in said
    found = settings(workshop, "there.toml")
    assert found["eval"]["methods"] == ["none", "merged", "arrow", "oracle"] and found["registry"]["collection"] == ""
    workshop.run("eval", "there.toml", "--eval.limit_examples=2")


MISTAKES = {
    "no folder": (["nowhere"], "nowhere: there is no such folder"),
    "no model": (["--tasks", "tasks", "tasks"], "no model is there"),
    "two models": (["--tasks", "tasks"], "there are 2 models"),
    "a model that is none": (["--model", "nowhere", "--tasks", "tasks"], "nowhere: no such file or folder"),
    "no tasks": (["base", "--model", "base"], "no task is there"),
    "a table": (["rows", "--model", "base"],
                "tools/tasks.py csv rows/quiz.csv --out rows/tasks --input-field question --output-field answer"),
    "a table as tasks": (["--model", "base", "--tasks", "rows/quiz.csv"], "tools/tasks.py csv rows/quiz.csv --out tasks"),
    "a table as tasks, again": (["--model", "base", "--tasks", "rows/quiz.csv"], "start gaggle init again with --tasks tasks"),
    "rows of another form": (["--model", "base", "--tasks", "other.jsonl"],
                             "tools/tasks.py json other.jsonl --out tasks --input-field prompt --output-field completion"),
    "nothing to train on": (["--model", "base", "--tasks", "tests.jsonl"], "no task has rows to train on"),
    "there already": (["--model", "base", "--tasks", "tasks", "--out", "tiny.toml"], "tiny.toml: is there already"),
    "no place": (["--model", "base", "--tasks", "tasks", "--out", "tiny.toml/x.toml"], "--out"),
    "a key": (["--model", "base", "--tasks", "tasks", "--train.lr=1"], "takes no keys of the config"),
}


def test_every_mistake_gets_a_sentence_and_nothing_is_written(workshop):
    folder = workshop.folder
    shutil.copytree(folder / "base", folder / "second")
    (folder / "rows").mkdir()
    (folder / "rows/quiz.csv").write_text('question,"answer"\nwhy,so\n')
    (folder / "other.jsonl").write_text('{"prompt": "x", "completion": {"text": "y"}}\n')
    (folder / "tests.jsonl").write_text('{"input": "x", "output": "y", "split": "test"}\n')
    before = {path: path.read_bytes() for path in folder.glob("*.toml")}
    for what, (words, message) in MISTAKES.items():
        done = workshop.run("init", *words, expect=2)
        assert message in done.stderr and not done.stdout, (what, done.stderr)
    assert {path: path.read_bytes() for path in folder.rglob("*.toml")} == before
