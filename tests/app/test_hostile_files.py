"""Files and names that others made: each ends soon, with a short sentence and the exit code that is promised. A new
case is one line of CASES."""
import json
import os
import shutil
import subprocess

import pytest

ESCAPES = "\x1b]0;owned\x07\x1b[31m"
DEEP = "[" * 200_000 + "]" * 200_000


def example(**keys):
    return json.dumps({"input": "a", "output": "b"} | keys) + "\n"


def task(shop, text):
    (shop.folder / "tasks/copy.jsonl").write_text(text)


def adapter(shop, **keys):
    """A folder `made` of a PEFT LoRA, copied from an expert that was trained."""
    folder = shop.folder / "made"
    shutil.copytree(shop.folder / "registry/experts/copy/v0001", folder)
    config = json.loads((folder / "adapter_config.json").read_text()) | keys
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def pipe(path):
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def other(shop):
    """A folder `other` with a copy of the model."""
    shutil.copytree(shop.folder / "base", shop.folder / "other")
    return shop.folder / "other"


SHOW = ["data", "show", "tiny.toml", "--task", "copy"]
DRY = ["experts", "tiny.toml", "--dry-run"]
OTHER = [*DRY, "--model.path=other"]
IMPORT = ["registry", "import", "made", "--registry", "registry"]
LIST = ["registry", "ls", "--registry", "registry"]
# What is done before, the command, its exit code, what is said.
CASES = {
    "a pipe as a task": (lambda s: pipe(s.folder / "tasks/copy.jsonl"), SHOW, 2, "a pipe is not a file"),
    "a pipe as a config": (lambda s: pipe(s.folder / "c.toml"), ["experts", "c.toml"], 2, "c.toml"),
    "a pipe as a tokenizer": (lambda s: pipe(other(s) / "tokenizer.json"), OTHER, 2, "a pipe is not a file"),
    "a pipe as weights": (lambda s: pipe(other(s) / "model.safetensors"), OTHER, 2, "a pipe is not a file"),
    "a pipe as a journal": (lambda s: pipe(s.folder / "registry/work/journal/x.jsonl"), ["status", "registry"], 0, ""),
    "a link to itself": (lambda s: (s.folder / "tasks/l.jsonl").symlink_to("l.jsonl"), SHOW, 2, "Too many levels"),
    "a number beyond all": (lambda s: task(s, example() + '{"id": 1e999}'), SHOW, 2, "copy.jsonl:2"),
    "deep brackets in a task": (lambda s: task(s, DEEP), SHOW, 2, "nested deeper than 64"),
    "deep brackets in an adapter": (lambda s: (adapter(s) / "adapter_config.json").write_text(DEEP), IMPORT, 3,
                                    "nested deeper than 64"),
    "deep brackets in a model": (lambda s: (other(s) / "config.json").write_text('{"x":' + DEEP + "}"), OTHER, 2,
                                 "nested deeper than 64"),
    "a long line": (lambda s: task(s, '{"input": "' + "x" * 10_000_000), SHOW, 2, "copy.jsonl:1"),
    "a key with escapes": (lambda s: adapter(s, **{"k" + ESCAPES: True}), IMPORT, 0, "\\x1b[31m"),
    "a base with escapes": (lambda s: adapter(s, base_model_name_or_path="x" + ESCAPES), IMPORT, 0, ""),
    "no registry": (lambda s: None, [*DRY, "--registry.path="], 2, "registry.path is empty"),
    "lanes without number": (lambda s: None, [*DRY, "--train.lanes=1000000000"], 2, "train.lanes"),
    "a name that is no UTF-8": (lambda s: None, ["registry", "import", b"x\xff"], 2, '"x\\xff": not UTF-8'),
    "a weight of a million": (lambda s: (s.folder / "tasks/copy.toml").write_text(
        'files = [{path = "copy.jsonl", weight = 1e6}]'), SHOW, 2, "weight is not a number"),
}


@pytest.fixture
def shop(trained, tmp_path, gaggle):
    from workshop import Workshop

    shutil.copytree(trained.folder, tmp_path, dirs_exist_ok=True)
    return Workshop(tmp_path, gaggle)


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_file_is_named_and_done_with(shop, case):
    before, command, code, words = CASES[case]
    before(shop)
    line = [shop.gaggle, *command]
    done = subprocess.run(line, cwd=shop.folder, env=shop.environment(), capture_output=True, timeout=60)
    said = (done.stdout + done.stderr).decode()  # UTF-8, whatever the file held
    assert done.returncode == code, said[:4000]
    assert words in said and "\x1b" not in said and len(said) < 20_000, said[:4000]
    if case.startswith(("a key", "a base")):
        for action in (["ls"], ["show", "made"]):
            shown = shop.run("registry", *action, "--registry", "registry").stdout
            assert "made" in shown and "\x1b" not in shown


@pytest.mark.parametrize("command", [SHOW, [*SHOW, "--jsonl"], LIST, DRY])
def test_output_that_cannot_be_written_is_a_failure(shop, command):
    with open("/dev/full", "w") as full:
        done = subprocess.run([shop.gaggle, *command], cwd=shop.folder, env=shop.environment(), stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "standard output cannot be written" in done.stderr, done.stderr


def test_a_job_whose_output_nobody_reads_is_saved(shop):
    job = shop.start("experts", "tiny.toml", "--train.steps=100000", "--run.name=long", "--registry.path=long")
    job.stdout.readline()
    job.stdout.close()
    _, errors = job.communicate(timeout=60)
    assert job.returncode == 75 and "nobody reads" in errors, errors


def test_a_stop_is_heard_while_examples_are_read(shop):
    with open(shop.folder / "tasks/copy.jsonl", "w") as file:
        file.writelines(example(id=i) for i in range(400_000))
    done = shop.run(*DRY, "--run.max_minutes=0.002", expect=75)
    assert "nothing was started" not in done.stdout
