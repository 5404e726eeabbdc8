"""The works that are compared: what gaggle is started with for each, the peer's rows, and who the peers are."""
import dataclasses
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
import runs  # noqa: E402
from environments import python_of  # noqa: E402
from random_experts import experts, registry_of  # noqa: E402

ALL_SETTINGS = ["bf16", "autocast", "fp32"]
POLY = {"rank": 4, "skills": 8, "heads": 8, "tasks": 8}
POLY_BATCH = 32


@dataclasses.dataclass
class Side:
    """A peer's way to do a work. Of the settings of one name the best counts."""
    name: str
    environment: str
    adapter: str  # the function of with_peft.py or with_mttl.py; behind a space what it is told besides
    setting: str


@dataclasses.dataclass
class Work:
    name: str
    words: str
    kind: str  # lora | gates | poly | score
    sides: list
    steps: int
    experts: int = 0
    method: str = "none"  # of scoring


def peft(name, adapter, settings):
    return [Side(name, "peft", adapter, setting) for setting in settings]


def mttl(adapter):
    return [Side(f"mttl, {way}", "mttl", f"{adapter} {way}", "bf16 autocast") for way in ("shipped", "mended")]


def all_works(counts):
    """`counts`: how many experts the routed works have."""
    works = [Work("lora", "LoRA expert", "lora", peft("PEFT LoRA", "lora", ALL_SETTINGS), 8),
             Work("poly", "MHR, 8 skills, 8 heads, r 4, 8 tasks, batch 32", "poly",
                  peft("PEFT Poly", "poly", ALL_SETTINGS[:2]), 6),
             Work("gates", "gate of an expert", "gates", mttl("mttl_gates"), 5),
             Work("base", "scoring, base alone", "score", peft("transformers", "base", ["bf16"]), 6)]
    for n in counts:
        works += [Work(f"arrow{n}", f"scoring, arrow, k 2, N = {n}", "score", peft("PEFT Arrow", "arrow", ["bf16"]), 4, n,
                       "arrow"),
                  Work(f"phatgoose{n}", f"scoring, phatgoose, k 2, N = {n}", "score", mttl("mttl_phatgoose"), 4, n,
                       "phatgoose")]
    return works


def prepare(bench, work, folder):
    """Writes the tasks of a work, and puts the experts that it needs into a registry."""
    tasks = folder / "tasks"
    if work.kind == "score":  # one item of the evaluation is one batch of the peer
        for i in range(work.steps):
            runs.write_task(bench, tasks, f"b{i}", bench.batch, split="test")
    elif work.kind == "poly":
        for i in range(POLY["tasks"]):
            runs.write_task(bench, tasks, f"t{i}", bench.batch)
    else:  # every step is an epoch: each has the same rows
        runs.write_task(bench, tasks, "e0000", bench.batch)
    if work.kind == "gates" or work.experts:
        registry_of(bench, folder, work.experts or 1)


def ours(bench, work, folder):
    """gaggle's side; what a run was like, in numbers."""
    steps = f"--train.steps={work.steps}"
    if work.kind == "lora":
        end = runs.gaggle(bench, folder, "experts", steps, "--gate.steps=1")
        return runs.trained(folder, "lora", end, "registry")
    if work.kind == "gates":
        end = runs.gaggle(bench, folder, "gates", f"--gate.steps={work.steps}")
        return runs.trained(folder, "gate", end, "registry")
    if work.kind == "poly":
        settings = [f"--poly.{name}={POLY[name]}" for name in ("rank", "skills", "heads")]
        end = runs.gaggle(bench, folder, "pretrain", steps, f"--train.batch_size={POLY_BATCH}", "--poly.method=mhr",
                          "--alignment.every=0", *settings)
        return runs.trained(folder, "mhr", end, "runs")
    settings = [f"--eval.methods=['{work.method}']", "--eval.tasks=['tasks']", "--eval.top_k=2"]
    end = runs.gaggle(bench, folder, "eval", *settings)
    tokens = {f"b{i}": tokens_of(batch) for i, batch in enumerate(batches_of(bench, work, folder))}
    return runs.scored(folder, tokens, end)


def tokens_of(rows):
    """Those that have to be fed, as gaggle counts them: all of a row but its last target."""
    return sum(len(row["input_ids"]) + len(row["target_ids"]) - 1 for row in rows)


def batches_of(bench, work, folder):
    """The peer's batches: the very rows that gaggle had; of several tasks drawn evenly, as gaggle draws them."""
    if work.kind == "score":
        return [runs.examples_of(bench, folder, f"b{i}", "test") for i in range(work.steps)]
    if work.kind != "poly":
        return [runs.examples_of(bench, folder, "e0000")] * work.steps
    draw = random.Random(0)
    rows = [row | {"task": t} for t in range(POLY["tasks"]) for row in runs.examples_of(bench, folder, f"t{t}")]
    return [draw.choices(rows, k=POLY_BATCH) for _ in range(work.steps)]


def theirs(bench, work, side, batches, folder):
    """A peer's side, as a process of its own."""
    python = python_of(side.environment, bench.cache)
    job = {"model": str(bench.model), "threads": bench.threads, "rank": bench.rank, "lr": 2e-3, "poly": POLY,
           "adapter": side.adapter, "setting": side.setting, "batches": batches, "count": work.experts or 1,
           "experts": [str(path) for path in experts(bench, work.experts)] if work.experts else []}
    file = folder / "job.json"
    file.write_text(json.dumps(job))
    end = runs.run([python, Path(__file__).with_name("peer.py"), file], bench, cwd=folder)
    said = json.loads(end.output.splitlines()[-1])
    steps = [(tokens_of(batch), seconds) for batch, seconds in zip(batches, said["seconds"])]
    return runs.rated(steps, said["began"] - end.began, end.peak_bytes)
