"""model.shard: ranks that hold one base together make the bits of a rank that holds it all."""
import os
import signal
import time

import pytest
from workshop import ranks_under, wait_for

# Lanes that do not divide the batch evenly: ranks have different numbers of passes.
LANES = ["--train.lanes=8", "--train.batch_size=9", "--train.steps=4", "--gate.steps=2", "--train.validate_every=2",
         "--data.tasks=['tasks/copy.jsonl','tasks/vowel.jsonl']", "--eval.limit_examples=3"]


def shared(ranks, where="world"):
    return [f"--model.shard={where}", f"--cluster.ranks_per_expert={ranks}", "--registry.path=shared"]


@pytest.mark.parametrize("model, ranks, more", [
    ("llama", 2, []), ("llama", 3, ["--model.dtype=bf16"]), ("llama", 4, ["--train.recompute=layer", "--train.pack=2"]),
    ("llama", 2, ["--model.storage=int8"]), ("t5", 3, []), ("t5", 2, ["--model.dtype=bf16", "--train.dropout=0.1"])])
def test_experts_and_their_scores_are_the_same_bits(request, model, ranks, more):
    workshop = request.getfixturevalue("workshop" if model == "llama" else "t5_workshop")
    workshop.experts(*LANES, *more)
    said = workshop.experts(*LANES, *more, *shared(ranks, "node"), ranks=ranks).stdout
    assert f"{ranks} ranks hold it together" in said, said
    assert workshop.bits("shared") == workshop.bits()
    predictions = workshop.folder / "runs/tiny/eval/predictions.jsonl"
    workshop.run("eval", "tiny.toml", *LANES, *more)
    alone = predictions.read_text()
    workshop.run("eval", "tiny.toml", *LANES, *more, "--model.shard=world", "--run.name=other", ranks=ranks)
    assert (workshop.folder / "runs/other/eval/predictions.jsonl").read_text() == alone


def test_an_inventory_is_the_same_bits(workshop):
    settings = [*LANES, "--poly.skills=3", "--poly.heads=2", "--poly.rank=2", "--train.lr=1e-2"]
    workshop.run("pretrain", "tiny.toml", *settings, "--registry.path=alone")
    workshop.run("pretrain", "tiny.toml", *settings, "--registry.path=parts", "--model.shard=world", "--run.name=other", ranks=3)
    alone, parts = (next((workshop.folder / registry / "inventories").glob("*/v0001/adapter_model.safetensors")).read_bytes()
                    for registry in ["alone", "parts"])
    assert alone == parts


def test_who_works_for_himself_cannot_share(workshop):
    done = workshop.experts("--model.shard=world", ranks=2, expect=2)
    assert "set cluster.ranks_per_expert to a multiple of 2" in done.stderr
    assert not (workshop.folder / "registry").exists()


@pytest.mark.parametrize("moment", [0.3, 1.0])
def test_a_rank_that_dies_ends_the_job_and_the_next_goes_on(workshop, moment):
    words = [*LANES, "--train.steps=20", "--checkpoint.every=2", "--data.tasks=['tasks/copy.jsonl']"]
    workshop.experts(*words)
    job = workshop.start("experts", "tiny.toml", *words, *shared(2), ranks=2)
    wait_for(lambda: list((workshop.folder / "shared").glob("work/items/*/*")) or job.poll() is not None)
    time.sleep(moment)
    if 1 in (ranks := ranks_under(job)):
        os.kill(ranks[1], signal.SIGKILL)
    job.communicate(timeout=60)
    workshop.experts(*words, *shared(2), ranks=2)
    assert workshop.bits("shared") == workshop.bits()
