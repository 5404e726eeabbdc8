"""What the comparisons with PEFT share: the peer's environment and process, batches as gaggle draws them, the ratios.

As a program (--peer JOB.json) it is the peer's process: trains in PEFT and prints the seconds of every step.
"""
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


def resolved(gaggle, command, config, overrides):
    """Values of the config as the command would use them, "section.key" → number, text or list of texts."""
    text = subprocess.run([gaggle, command, config, "--print-config", *overrides], stdout=subprocess.PIPE, text=True,
                          check=True, cwd=ROOT).stdout
    section, values = "", {}
    for line in text.splitlines():
        if match := re.match(r"\[(\w+)\]", line):
            section = match[1]
        elif match := re.match(r"(\w+)\s*=\s*(\"[^\"]*\"|[-+0-9.e]+|\[[^\]]*\])", line):
            text = match[2].replace("'", '"')
            values[f"{section}.{match[1]}"] = json.loads(text) if text[0] in '"[' else float(text)
    return values


def examples_of(gaggle, command_line):
    """Training examples of a task as gaggle feeds them."""
    return [json.loads(line) for line in run([gaggle, "data", "show", *command_line, "--jsonl"])[0].splitlines()]


def adapter_config(job, encoder):
    from peft import LoraConfig, PolyConfig

    task_type = "SEQ_2_SEQ_LM" if encoder else "CAUSAL_LM"
    if "skills" in job:
        return PolyConfig(r=int(job["rank"]), n_tasks=job["tasks"], n_skills=int(job["skills"]),
                          n_splits=int(job["heads"]), target_modules="all-linear", task_type=task_type)
    return LoraConfig(r=int(job["rank"]), lora_alpha=job["alpha"], lora_dropout=0.0, target_modules="all-linear",
                      task_type=task_type)


def padded(sequences, value):
    """A rectangle, and where it is real."""
    import torch

    width = max(map(len, sequences))
    return (torch.tensor([s + [value] * (width - len(s)) for s in sequences]),
            torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in sequences]))


def model_inputs(batch, encoder):
    inputs, targets = [example["input_ids"] for example in batch], [example["target_ids"] for example in batch]
    if encoder:
        ids, mask = padded(inputs, 0)
        return {"input_ids": ids, "attention_mask": mask, "labels": padded(targets, -100)[0]}
    ids, mask = padded([i + t for i, t in zip(inputs, targets)], 0)
    labels, _ = padded([[-100] * len(i) + t for i, t in zip(inputs, targets)], -100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def train_peft(job_file):
    """The peer's process: reads a job, trains, prints the seconds of every step."""
    import time

    import torch
    import transformers
    from peft import get_peft_model

    job = json.loads(pathlib.Path(job_file).read_text())
    torch.set_num_threads(job["threads"])
    path = pathlib.Path(job["model"])
    dtype = torch.bfloat16 if job["dtype"] == "bf16" else torch.float32
    options = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
    place = path.parent if options else path
    encoder = not options and transformers.AutoConfig.from_pretrained(place).is_encoder_decoder
    kind, attention = ((transformers.AutoModelForSeq2SeqLM, "eager") if encoder else
                       (transformers.AutoModelForCausalLM, "sdpa"))  # T5 has no other
    model = kind.from_pretrained(place, torch_dtype=dtype, attn_implementation=attention, **options)
    model = get_peft_model(model, adapter_config(job, encoder))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=job["lr"], weight_decay=0.0)
    seconds, losses = [], []
    for batch in job["batches"]:
        start = time.perf_counter()
        whose = {"task_ids": torch.tensor([example["task"] for example in batch])} if "skills" in job else {}
        with torch.autocast("cpu", torch.bfloat16, enabled=job["dtype"] == "autocast"):
            loss = model(**model_inputs(batch, encoder), **whose).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "losses": losses}))


def seconds_of_gaggle(folder, phase):
    (metrics,) = pathlib.Path(folder, "runs").rglob("metrics.jsonl")
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    return [line["seconds"] for line in lines if line["phase"] == phase and "seconds" in line]


def compare(arguments, batches, gaggle_command, phase, job, words):
    """Both sides in turn, `repeats` times. gaggle_command(folder) trains into folder/runs and folder/registry."""
    python = arguments.python or peer_python()
    tokens = sum(len(r["input_ids"]) + len(r["target_ids"]) for batch in batches[WARM_UP:] for r in batch)
    ours, theirs = [], []
    for repeat in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as folder:
            _, peak = run(gaggle_command(folder))
            ours.append((tokens / sum(seconds_of_gaggle(folder, phase)[WARM_UP:len(batches)]), peak))
            job_file = pathlib.Path(folder, "job.json")
            job_file.write_text(json.dumps(job | {"batches": batches, "dtype": arguments.peft_dtype,
                                                  "threads": arguments.threads}))
            output, peak = run([python, __file__, "--peer", str(job_file)], stderr=subprocess.DEVNULL)
            theirs.append((tokens / sum(json.loads(output.splitlines()[-1])["seconds"][WARM_UP:]), peak))
        print(f"run {repeat + 1}: gaggle {ours[-1][0]:7.0f} tokens/s {ours[-1][1] / 1e6:6.0f} MB   "
              f"PEFT {theirs[-1][0]:6.0f} tokens/s {theirs[-1][1] / 1e6:6.0f} MB   "
              f"ratio {ours[-1][0] / theirs[-1][0]:.2f}", flush=True)
    speed = statistics.median(a[0] / b[0] for a, b in zip(ours, theirs))
    memory = statistics.median(a[1] / b[1] for a, b in zip(ours, theirs))
    print(f"median: {speed:.2f} times PEFT's tokens/s at {memory:.2f} times its peak memory "
          f"({words}, {len(batches)} steps, {arguments.threads} threads, PEFT in {arguments.peft_dtype})")


def add_arguments(parser, steps):
    parser.add_argument("config")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peft-dtype", choices=["autocast", "fp32", "bf16"], default="autocast")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--python", help="an interpreter with peft, in place of the peer's own environment")
    parser.add_argument("--build", default="build")


def programs(arguments):
    gaggle, probe = ROOT / arguments.build / "gaggle", ROOT / arguments.build / "probe"
    for program in (gaggle, probe):
        if not program.exists():
            sys.exit(f"{program} is missing: tools/setup.sh --tests builds it")
    return gaggle, probe


if __name__ == "__main__":
    train_peft(sys.argv[2])
