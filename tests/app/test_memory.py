"""A process holds what its plan says, however many steps it goes on."""
import os
import re
import subprocess
import sys

import pytest
from workshop import Workshop

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools", "bench"))
import runs  # noqa: E402


@pytest.mark.parametrize("recompute, steps", [("none", 9), ("layer", 3)])
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
