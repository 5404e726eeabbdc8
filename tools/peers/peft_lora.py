#!/usr/bin/env python3
"""gaggle against PEFT: one LoRA expert on the same rows in the same batches, alternating; prints the ratios.

    tools/peers/peft_lora.py configs/demo.toml --task tomi --steps 12 --repeats 3

Each side runs as a process of its own with all cores. Tokens are those of the rows (input and target, no padding);
the first two steps of each run are left out of the time. Memory is the peak resident size of the process.
PEFT runs in bf16 autocast (--peft-dtype fp32 or bf16 for the others).
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WARM_UP = 2  # steps


def peer_python():
    """The interpreter of the peer's own virtual environment, made at first use."""
    python = HERE / ".venv" / "bin" / "python"
    stamp = HERE / ".venv" / ".installed"
    wanted = (HERE / "requirements.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print("setting up the peer's virtual environment …", file=sys.stderr)
        venv.create(HERE / ".venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)
        stamp.write_text(wanted)
    return str(python)


def run(command, **options):
    """Runs a process; returns its output and its peak resident size in bytes."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, **options)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))}: failed")
    return output, usage.ru_maxrss * 1024


def resolved(gaggle, config, overrides):
    text = subprocess.run([gaggle, "experts", config, "--print-config", *overrides], stdout=subprocess.PIPE, text=True,
                          check=True, cwd=ROOT).stdout
    section, values = "", {}
    for line in text.splitlines():
        if match := re.match(r"\[(\w+)\]", line):
            section = match[1]
        elif match := re.match(r"(\w+)\s*=\s*(\"[^\"]*\"|[-+0-9.e]+)", line):
            values[f"{section}.{match[1]}"] = json.loads(match[2]) if match[2][0] == '"' else float(match[2])
    return values


def time_gaggle(gaggle, arguments, config, overrides, folder):
    _, peak = run([gaggle, "experts", config, *overrides, f"--run.dir={folder}/runs",
                   f"--registry.path={folder}/registry", "--run.seed=0"])
    (metrics,) = pathlib.Path(folder, "runs").rglob("metrics.jsonl")
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    seconds = [line["seconds"] for line in lines if line["phase"] == "lora" and "seconds" in line]
    return seconds[:arguments.steps], peak


def train_peft(job_file):
    """The peer's process: reads a job, trains, prints the seconds of every step."""
    import time

    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    job = json.loads(pathlib.Path(job_file).read_text())
    torch.set_num_threads(job["threads"])
    path = pathlib.Path(job["model"])
    dtype = torch.bfloat16 if job["dtype"] == "bf16" else torch.float32
    options = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent if options else path, torch_dtype=dtype, attn_implementation="sdpa", **options)
    model = get_peft_model(model, LoraConfig(r=int(job["rank"]), lora_alpha=job["alpha"], lora_dropout=0.0,
                                             target_modules="all-linear", task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=job["lr"], weight_decay=0.0)
    seconds, losses = [], []
    for batch in job["batches"]:
        start = time.perf_counter()
        width = max(len(row["input_ids"]) + len(row["target_ids"]) for row in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for i, row in enumerate(batch):
            n, m = len(row["input_ids"]), len(row["input_ids"]) + len(row["target_ids"])
            ids[i, :m] = torch.tensor(row["input_ids"] + row["target_ids"])
            mask[i, :m] = 1
            labels[i, n:m] = ids[i, n:m]
        with torch.autocast("cpu", torch.bfloat16, enabled=job["dtype"] == "autocast"):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "losses": losses}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--task", required=True)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peft-dtype", choices=["autocast", "fp32", "bf16"], default="autocast")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--python", help="an interpreter with peft, in place of the peer's own environment")
    parser.add_argument("--build", default="build")
    arguments = parser.parse_args()
    gaggle, probe = ROOT / arguments.build / "gaggle", ROOT / arguments.build / "probe"
    for program in (gaggle, probe):
        if not program.exists():
            sys.exit(f"{program} is missing: tools/setup.sh --tests builds it")
    python = arguments.python or peer_python()

    base = resolved(gaggle, arguments.config, [])
    folder_of_tasks = resolved_tasks(gaggle, arguments.config, arguments.task)
    overrides = [f"--data.tasks=['{folder_of_tasks}']", f"--train.steps={arguments.steps}", "--gate.steps=1",
                 "--train.validate_every=0", f"--run.threads={arguments.threads}", "--report.tensorboard=false",
                 "--registry.collection="]
    rows = [json.loads(line) for line in
            run([gaggle, "data", "show", arguments.config, *overrides, "--task", arguments.task, "--jsonl"])[0].splitlines()]
    size = int(base["train.batch_size"])
    order = json.loads(run([probe, "order", "0", arguments.task, str(len(rows)), str(size * arguments.steps)])[0])
    batches = [[rows[i] for i in order[s * size:(s + 1) * size]] for s in range(arguments.steps)]
    tokens = sum(len(r["input_ids"]) + len(r["target_ids"]) for batch in batches[WARM_UP:] for r in batch)

    ours, theirs = [], []
    for repeat in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as folder:
            seconds, peak = time_gaggle(gaggle, arguments, arguments.config, overrides, folder)
            ours.append((tokens / sum(seconds[WARM_UP:]), peak))
            job = {"model": base["model.path"], "rank": base["lora.rank"], "alpha": base["lora.alpha"],
                   "lr": base.get("train.lr", 5e-3), "batches": batches, "dtype": arguments.peft_dtype,
                   "threads": arguments.threads}
            job_file = pathlib.Path(folder, "job.json")
            job_file.write_text(json.dumps(job))
            output, peak = run([python, __file__, "--peer", str(job_file)], stderr=subprocess.DEVNULL)
            seconds = json.loads(output.splitlines()[-1])["seconds"]
            theirs.append((tokens / sum(seconds[WARM_UP:]), peak))
        print(f"run {repeat + 1}: gaggle {ours[-1][0]:7.0f} tokens/s {ours[-1][1] / 1e6:6.0f} MB   "
              f"PEFT {theirs[-1][0]:6.0f} tokens/s {theirs[-1][1] / 1e6:6.0f} MB   "
              f"ratio {ours[-1][0] / theirs[-1][0]:.2f}", flush=True)
    speed = statistics.median(a[0] / b[0] for a, b in zip(ours, theirs))
    memory = statistics.median(a[1] / b[1] for a, b in zip(ours, theirs))
    print(f"median: {speed:.2f} times PEFT's tokens/s at {memory:.2f} times its peak memory "
          f"({arguments.task}, batches of {size}, {arguments.steps} steps, {arguments.threads} threads, "
          f"PEFT in {arguments.peft_dtype})")


def resolved_tasks(gaggle, config, task):
    """The file of a task among the config's tasks."""
    text = subprocess.run([gaggle, "experts", config, "--print-config"], stdout=subprocess.PIPE, text=True, check=True,
                          cwd=ROOT).stdout
    listed = re.search(r"^tasks\s*=\s*\[(.*?)\]", text, re.M | re.S)[1]
    for name in re.findall(r'["\']([^"\']+)["\']', listed):
        path = pathlib.Path(name)
        if path.stem == task:
            return path
        if (path / f"{task}.jsonl").exists():
            return path / f"{task}.jsonl"
    sys.exit(f"{config}: no task {task}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        train_peft(sys.argv[2])
    else:
        main()
