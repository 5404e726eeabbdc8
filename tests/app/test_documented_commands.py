"""Every command of the pages that lead (a line "    $ …") runs as it stands there, one after the other, in a fresh folder that has
what the page says its reader has: the workshop's tiny base and tasks in place of real ones."""
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from workshop import CONFIG, WORDS, write_json, write_lines, write_unigram

PROGRAMS = ("gaggle", "mpirun", "sbatch", "tools/", "launch/", ". launch/", "pip", "python", "cat", "touch", "scancel")
# In place of machines that are not here, programs of the same name: two ranks are as good as eight, a batch system is its script.
STAND_INS = {
    "mpirun": 'while [ $# -gt 0 ]; do case $1 in -np|--host|--bind-to) shift 2;; --*) shift;; *) exec "$@";; esac; done',
    # Slurm's own options, a script that is there, then a command line that gaggle takes. In a real Slurm: tests/cluster/test_slurm.py.
    "sbatch": 'while [[ $1 == --*=* ]]; do shift; done; bash -n "$1" && [ -x "$GAGGLE" ] && shift && exec gaggle "$@" --dry-run',
}


def commands_of(text):
    """A command goes on behind a backslash, and to the end of what is typed into it (<<'END')."""
    lines, commands = iter(re.findall(r"^    .*|^$|^\S.*", text, re.M)), []
    for line in lines:
        if not line.startswith("    $ "):
            assert not line.strip().startswith(PROGRAMS) or not line.startswith("    "), f"a command without its $: {line}"
            continue
        command = line[6:]
        end = re.search(r"<<'(\w+)'", command)
        while command.endswith("\\") or (end and not command.endswith("\n" + end[1])):
            command += "\n" + next(lines)[4:]
        commands.append(command)
    return commands


def write_csv(path, columns, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def texts(count, seed):
    draw = numpy.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, size=draw.integers(1, 4), replace=False)) for _ in range(count)]


def first_hour(folder, world):
    """Three tables: a task of two labels, one of free answers, a third for later."""
    write_csv(folder / "reviews.csv", ["text", "label"],
              [[text, "positive" if text[0] in "aeiou" else "negative"] for text in texts(60, 1)])
    write_csv(folder / "questions.csv", ["question", "answer"], [[text, text.split()[0]] for text in texts(60, 2)])
    write_csv(folder / "tickets.csv", ["text", "queue"], [[text, text.split()[-1]] for text in texts(60, 3)])


def from_peft(folder, world):
    """Thirty LoRAs of three ranks and scales, as PEFT writes them; rows for two of them, one under another name."""
    from safetensors.numpy import save_file

    width, draw = json.loads((world / "base/config.json").read_text())["hidden_size"], numpy.random.default_rng(0)
    for i, name in enumerate(["sql", "poems", *(f"lora-{i:02}" for i in range(2, 30))]):
        rank, path = [2, 4, 8][i % 3], folder / "loras" / name
        path.mkdir(parents=True)
        (path / "adapter_config.json").write_text(json.dumps(
            {"peft_type": "LORA", "r": rank, "lora_alpha": [1, 8, 16][i % 3], "target_modules": ["q_proj"], "bias": "none",
             "task_type": "CAUSAL_LM", "base_model_name_or_path": "someone/base"}))
        sites = [f"base_model.model.model.layers.{layer}.self_attn.q_proj" for layer in range(3)]
        make = lambda *shape: (0.1 * draw.standard_normal(shape)).astype("float32")
        save_file({f"{site}.lora_A.weight": make(rank, width) for site in sites}
                  | {f"{site}.lora_B.weight": make(width, rank) for site in sites}, path / "adapter_model.safetensors")
    (folder / "tasks").mkdir()
    shutil.copy(world / "tasks/copy.jsonl", folder / "tasks/sql.jsonl")
    shutil.copy(world / "tasks/first.jsonl", folder / "tasks/verse.jsonl")


def poly(folder, world):
    shutil.copytree(world / "tasks", folder / "tasks")
    (folder / "new-tasks").mkdir()
    shutil.move(folder / "tasks/vowel.jsonl", folder / "new-tasks/vowel.jsonl")


def cluster(folder, world):
    """A config of one's own, and what a run of it has left in the registry."""
    shutil.copytree(world / "tasks", folder / "tasks")
    (folder / "my.toml").write_text(CONFIG.replace('"base"', '"model"').replace("steps = 12", "steps = 2"))


def papers(folder, world):
    """A T5 whose width has 64 heads; recipes of two steps; of each list the first two entries, with rows in each one's form."""
    from make_models import make_t5

    tomllib = pytest.importorskip("tomllib")
    make_t5(folder / "BASE", d_model=64, d_ff=128, num_layers=1, vocab_size=200)
    write_unigram(folder / "BASE")
    for path in (folder / "configs/paper").glob("*.toml"):
        text = re.sub(r"^(steps|validate_every|max_new_tokens|every|shots|seeds) = [1-9]\d*", r"\1 = 2", path.read_text(), flags=re.M)
        path.write_text(re.sub(r"^batch_size = \d+", "batch_size = 4", text, flags=re.M).replace("epochs = 30", "steps = 2"))
    lists_file = folder / "tools/tasks/lists.toml"
    lists = tomllib.loads(lists_file.read_text())
    for name, about in lists.items():
        lists[name] = {part: about[part][:2] for part in ("datasets", "tasks") if part in about}
    lists_file.write_text("".join(f"[{name}]\n{part} = {inline_toml(entries)}\n" for name, about in lists.items()
                                  for part, entries in about.items()))
    for about in lists.values():
        for entry in about.get("datasets", []):
            write_dataset(folder, entry)
    write_lines(folder / "FLAN/rows.jsonl", [{"inputs": text, "targets": "ant", "task_name": name, "template_type": "zs_opt"}
                                            for name in lists["phatgoose-flan"]["tasks"] for text in texts(12, 1)])
    for i in range(4):
        task = {"Definition": ["Do it."], "Categories": [f"Kind {i % 2}"],
                "Instances": [{"id": f"{i}-{n}", "input": text, "output": ["bee"]} for n, text in enumerate(texts(110, i))]}
        write_json(folder / f"natural-instructions/tasks/task{i}.json", task)
    splits = folder / "natural-instructions/splits/default"
    splits.mkdir(parents=True)
    (splits / "train_tasks.txt").write_text("task0\ntask1\n")
    (splits / "test_tasks.txt").write_text("task2\n")
    for name in lists["bbh"]["tasks"] + lists["bbl"]["tasks"]:
        write_json(folder / f"BIG-bench/bigbench/benchmark_tasks/{name}/task.json",
                   {"examples": [{"input": text, "target_scores": {"cat": 1, "dog": 0}} for text in texts(4, 2)]})
    (folder / "BIG-Bench-Hard/bbh").mkdir(parents=True)
    for name in ["one", "two", "three"]:
        for part in ["train", "dev", "test"]:
            path = folder / f"CrossFit/data/{name}/{name}_16_13_{part}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{text}\telk\n" for text in texts(8, 3)))
    write_json(folder / "random.json", {"train": ["one", "two"], "dev": [], "test": ["three"]})


def inline_toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {inline_toml(part)}" for key, part in value.items()) + " }"
    return "[" + ", ".join(map(inline_toml, value)) + "]" if isinstance(value, list) else json.dumps(value)


def write_dataset(folder, entry):
    """Rows of each split that a list asks for, and a template beside those that it skips."""
    place = Path(entry["dataset"], entry.get("subset", ""))
    splits = (entry.get("splits") or {"train": "train", "validation": "validation"}).values()
    write_lines(folder / "DATA" / place / "rows.jsonl", [{"split": split, "text": text, "answer": text.split()[0]}
                                                        for split in splits for text in texts(12, 4)])
    path = folder / "TEMPLATES" / place / "templates.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"dataset: {json.dumps(entry['dataset'])}\nsubset: {json.dumps(entry.get('subset'))}\ntemplates:\n" + "".join(
        f"  t{i}:\n    name: {json.dumps(name)}\n    jinja: '{{{{text}}}} ||| {{{{answer}}}}'\n    metadata: {{original_task: true}}\n"
        for i, name in enumerate(["first word", *entry.get("skip", [])])))


PAGES = {"first-hour.md": first_hour, "from-peft.md": from_peft, "poly.md": poly, "cluster.md": cluster, "papers.md": papers}


class Reader:
    """In a folder of gaggle's own that was just built, with a shell for each command."""

    def __init__(self, folder, world, gaggle, root):
        self.folder = folder
        shutil.copytree(world / "base", folder / "model")
        for part in ["tools", "launch", "configs"]:
            shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns("study", "peers", "bench", "gpu", "__pycache__"))
        (folder / "bin").mkdir()
        (folder / "bin/gaggle").symlink_to(gaggle)
        for name, script in STAND_INS.items():
            (folder / "bin" / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
            (folder / "bin" / name).chmod(0o755)
        # pip is the real one, but asks nobody and leaves this environment as it is.
        self.environment = os.environ | {
            "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}", "GAGGLE": str(folder / "bin/gaggle"), "OMP_NUM_THREADS": "1",
            "HOME": str(folder), "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_TARGET": str(folder / "python"), "PYTHONPATH": str(folder / "python")}

    def type(self, command):
        return subprocess.run(["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True,
                              timeout=300, stdin=subprocess.DEVNULL)


def test_the_other_pages_for_beginners_have_none(root):
    assert not any(commands_of((root / "docs" / page).read_text()) for page in ["formats.md", "glossary.md"])


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_as_they_stand_there(page, tmp_path, tiny_world, gaggle, root):
    reader = Reader(tmp_path, tiny_world, gaggle, root)
    PAGES[page](tmp_path, tiny_world)
    commands = commands_of((root / "docs" / page).read_text())
    assert len(commands) > 5
    for command in commands:
        done = reader.type(command)
        assert done.returncode == 0, f"$ {command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
