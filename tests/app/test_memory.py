"""A process holds what its plan says, however many steps it goes on."""
import json
import os
import re
import resource
import subprocess
import sys

import pytest
from workshop import Workshop

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools", "bench"))
import runs  # noqa: E402


@pytest.mark.parametrize("recompute, steps", [("none", 5), ("layer", 3)])
def test_a_real_base_trains_in_the_memory_that_the_plan_says(tmp_path, gaggle, smollm2, recompute, steps):
    """The allocator once gave every batch fresh memory, since it cut no large piece for a small tensor."""
    shop = Workshop(tmp_path, gaggle)
    runs.write_task(runs.Bench(gaggle, smollm2, tmp_path, 1), tmp_path / "tasks", "words", 16)
    words = ["experts", "tiny.toml", f"--model.path={smollm2}", "--model.dtype=bf16", "--lora.rank=16", f"--train.steps={steps}",
             "--gate.steps=0", "--train.batch_size=16", "--train.lr=1e-3", "--train.tokens_per_microbatch=2048",
             "--run.threads=2", "--checkpoint.every=0", "--train.loss_average=token", f"--train.recompute={recompute}"]
    with open(tmp_path / "said", "w+") as said:
        job = subprocess.Popen(shop.command(*words), cwd=tmp_path, env=shop.environment() | {"OMP_NUM_THREADS": "2"},
                               stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(job.pid, 0)
        said.seek(0)
        text = said.read()
    assert status == 0, text
    planned = float(re.search(r"memory +about ([\d.]+) GB a rank", text)[1])
    print(f"planned {planned} GB, held at most {usage.ru_maxrss / 1e6:.2f} GB")
    assert ("layers are computed again" in text) == (recompute == "layer")
    assert usage.ru_maxrss / 1e6 < 1.1 * planned


def test_where_memory_ends_passes_are_halved_and_the_run_goes_on(workshop):
    """By ulimit -v, of one process and of one rank of two: all halve together, and the result says so."""
    words = ["experts", "tiny.toml", "--data.tasks=['tasks/copy.jsonl']", "--train.batch_size=2000", "--train.steps=2",
             "--gate.steps=0", "--train.tokens_per_microbatch=60000", "--train.recompute=none", "--train.lanes=1"]
    limit = 700_000_000
    done = subprocess.run(workshop.command(*words), cwd=workshop.folder, env=workshop.environment(), capture_output=True, text=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)), timeout=300)
    assert done.returncode == 0, done.stderr
    assert "memory ended in a pass of up to 60000 tokens: from now on they are of 30000" in done.stderr
    metrics = json.loads((workshop.folder / "registry/experts/copy/v0001/expert.json").read_text())["metrics"]
    assert list(metrics["not_reproducible"]) == ["lora"]
