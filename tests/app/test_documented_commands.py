"""Every command of the pages that lead (a line "    $ …") runs as it stands there, one after the other, in a fresh folder that has
what the page says its reader has: the workshop's tiny base and tasks in place of real ones."""
import csv
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy
import pytest
from workshop import WORDS

PROGRAMS = ("gaggle", "mpirun", "sbatch", "tools/", "launch/", ". launch/", "pip", "cat", "touch", "scancel")
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


PAGES = {"first-hour.md": first_hour, "from-peft.md": from_peft, "poly.md": poly}


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
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "GAGGLE": str(folder / "bin/gaggle"), "OMP_NUM_THREADS": "1",
            "HOME": str(folder), "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_TARGET": str(folder / "python")}

    def type(self, command):
        return subprocess.run(["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True,
                              timeout=300, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_as_they_stand_there(page, tmp_path, tiny_world, gaggle, root):
    reader = Reader(tmp_path, tiny_world, gaggle, root)
    PAGES[page](tmp_path, tiny_world)
    commands = commands_of((root / "docs" / page).read_text())
    assert len(commands) > 5
    for command in commands:
        done = reader.type(command)
        assert done.returncode == 0, f"$ {command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
