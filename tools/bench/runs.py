"""What all measurements share: runs of gaggle in a folder of their own, on rows of one length and on random experts, and
the rates that a run leaves behind. Nothing but the standard library."""
import dataclasses
import json
import os
import pathlib
import platform
import random
import shutil
import statistics
import struct
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "demo" / "SmolLM2-135M-Instruct.Q4_1.gguf"  # tools/demo_assets.sh fetches it
WARM_UP = 2  # steps that are left out of a rate
WORDS = ("time people way day man thing woman life child world school state family student group country problem hand part "
         "place case week company system program question work number night point home water room mother area money").split()


class Failed(Exception):
    """A process that ended badly; says which, and its last words."""


@dataclasses.dataclass
class Bench:
    """How everything is run."""
    gaggle: pathlib.Path
    model: pathlib.Path
    cache: pathlib.Path  # virtual environments and random experts are kept here
    threads: int
    limit_s: float = 3600  # for one process
    batch: int = 16
    rank: int = 16
    length: int = 100  # tokens of a row, about: each of WORDS is one token of most tokenizers
    target: int = 4


@dataclasses.dataclass
class Ended:
    output: str
    began: float  # time.monotonic() when it was started; other processes of this machine see the same clock
    wall_s: float
    peak_bytes: int


def run(command, bench, cwd=ROOT):
    """Runs a process and says what it took; the peak is its resident size, of mpirun's that of the largest process."""
    with tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        environment = os.environ | {"OMP_NUM_THREADS": str(bench.threads), "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=errors, text=True, cwd=cwd,
                                   env=environment)
        timer = threading.Timer(bench.limit_s, process.kill)
        timer.start()
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        last = " / ".join((output + errors.read()).strip().splitlines()[-2:])
    if process.returncode != 0:
        raise Failed(f"{' '.join(map(str, command[:3]))} … ended with {process.returncode}: {last[-400:]}")
    return Ended(output, began, time.monotonic() - began, usage.ru_maxrss * 1024)


def write_task(bench, folder, name, rows, length=None, split="train"):
    """A task of `rows` examples of random words, all of one length."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(name)
    some = [" ".join(draw.choices(WORDS, k=(length or bench.length) - bench.target)) for _ in range(rows)]
    lines = [{"id": str(i), "split": split, "input": text, "output": " ".join(draw.choices(WORDS, k=bench.target - 1))}
             for i, text in enumerate(some)]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / f"{name}.toml").write_text('metric = "nll"\n')


def gaggle(bench, folder, command, *settings, ranks=1):
    """gaggle COMMAND in `folder`, on the tasks that lie in folder/tasks; `settings` over what all runs have."""
    config = folder / "bench.toml"
    config.write_text(f"""
run = {{name = "bench", dir = "runs", threads = {max(1, bench.threads // ranks)}}}
model = {{path = "{bench.model}"}}
data = {{tasks = ["tasks"], prompt = "{{input}}\\n", max_input_tokens = 65536}}
lora = {{rank = {bench.rank}, alpha = 1}}
train = {{batch_size = {bench.batch}, validate_every = 0}}
registry = {{path = "registry", cache = "cache", collection = "all"}}
report = {{tensorboard = false}}
""")
    start = ["mpirun", "-np", ranks] if ranks > 1 else []
    return run([*start, bench.gaggle, command, config, *settings], bench, cwd=folder)


def examples_of(bench, folder, task, split="train"):
    """A task's examples as gaggle feeds them."""
    shown = run([bench.gaggle, "data", "show", folder / "bench.toml", "--task", task, "--split", split, "--jsonl"], bench,
                cwd=folder)
    return [json.loads(line) for line in shown.output.splitlines()]


def rated(steps, start_s, peak_bytes):
    """A run in numbers, of steps (tokens, seconds). The first result comes after the start and the first step."""
    steady = steps[min(WARM_UP, len(steps) - 1):]
    return {"tokens_per_s": statistics.median(tokens / seconds for tokens, seconds in steady),
            "step_s": statistics.median(seconds for _, seconds in steady), "step_tokens": round(steady[0][0]),
            "start_s": start_s, "first_s": start_s + steps[0][1], "peak_bytes": peak_bytes}


def journal_of(folder, end):
    """The journal below `folder` of the worker that took the items, and when after its start the process began the first."""
    for file in sorted(folder.rglob("journal/*.jsonl")):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        taken = [line["seconds"] for line in lines if line["kind"] == "taken"]
        if taken:
            return lines, end.wall_s - lines[-1]["seconds"] + taken[0]
    raise Failed(f"no journal below {folder} names an item")


def trained(folder, phase, end, work):
    """Of a job that trains: its steps of one phase. `work` is the folder that its journal lies in."""
    _, start_s = journal_of(folder / work, end)
    (metrics,) = (folder / "runs").rglob("metrics.jsonl")
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    steps = [(line["tokens_per_s"] * line["seconds"], line["seconds"]) for line in lines if line["phase"] == phase]
    return rated(steps, start_s, end.peak_bytes)


def scored(folder, tokens, end):
    """Of an evaluation of one method: its items; `tokens`: of each task's rows."""
    lines, start_s = journal_of(folder / "runs", end)
    taken = {line["key"]: line["seconds"] for line in lines if line["kind"] == "taken"}
    steps = [(tokens[line["item"].split(" · ")[1]], line["seconds"] - taken[line["key"]]) for line in lines
             if line["kind"] == "committed"]
    return rated(steps, start_s, end.peak_bytes)


def random_tensors(source, target, seed, dtype):
    """A safetensors file with the names and shapes of another, of numbers between 2^-7 and 2^-5 of either sign."""
    width = {"F32": 4, "BF16": 2}
    with open(source, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    header.pop("__metadata__", None)
    at = 0
    for tensor in header.values():
        size = (tensor["data_offsets"][1] - tensor["data_offsets"][0]) // width[tensor["dtype"]] * width[dtype]
        tensor.update(dtype=dtype, data_offsets=[at, at + size])
        at += size
    text = json.dumps({"__metadata__": {"format": "pt"}} | header).encode()
    text += b" " * (-len(text) % 8)
    bits = int.from_bytes(random.Random(seed).randbytes(at), "little")
    # The sign, the lowest bit of the exponent and the fraction stay random.
    rest = width[dtype] - 1
    bits &= int.from_bytes((b"\xff" * rest + b"\x80") * (at // width[dtype]), "little")
    bits |= int.from_bytes((b"\x00" * rest + b"\x3c") * (at // width[dtype]), "little")
    target.write_bytes(struct.pack("<Q", len(text)) + text + bits.to_bytes(at, "little"))


def experts(bench, count):
    """Folders of `count` random LoRAs with gates, made once in the cache after the form of one that gaggle trains."""
    place = bench.cache / "experts" / f"{bench.model.stem}-r{bench.rank}"
    form = place / "form"
    if not form.exists():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            write_task(bench, folder / "tasks", "form", 1, length=16)
            gaggle(bench, folder, "experts", "--train.steps=1", "--gate.steps=1", "--train.batch_size=1")
            place.mkdir(parents=True, exist_ok=True)
            shutil.copytree(folder / "registry" / "experts" / "form" / "v0001", place / "making")
            (place / "making").rename(form)
    folders = [place / f"e{i:04d}" for i in range(count)]
    for i, folder in enumerate(folders):
        if folder.exists():
            continue
        making = place / "making"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        shutil.copy(form / "adapter_config.json", making)
        random_tensors(form / "adapter_model.safetensors", making / "adapter_model.safetensors", i, "BF16")
        random_tensors(form / "gate.safetensors", making / "gate.safetensors", -1 - i, "F32")
        making.rename(folder)
    return folders


def registry_of(bench, folder, count):
    """Puts `count` random experts into folder/registry, and pins them as the collection "all"."""
    names = experts(bench, count)
    run([bench.gaggle, "registry", "import", *names, "--base", bench.model, "--registry", folder / "registry"], bench, cwd=folder)
    run([bench.gaggle, "registry", "collect", "all", "--registry", folder / "registry"], bench, cwd=folder)


def write_json(path, results):
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(results, indent=1) + "\n")
    beside.replace(path)


def machine():
    """What the numbers were measured on."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    name = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), platform.machine())
    flags = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if f" {flag} " in info.replace("\n", " ")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processor": name, "flags": flags, "cores": len(os.sched_getaffinity(0)), "memory_gb": round(memory / 1e9)}


def version(bench):
    commit = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {"gaggle": run([bench.gaggle, "--version"], bench).output.strip(), "commit": commit}
