"""What all measurements share: runs of gaggle in a folder of their own, on rows of one length, and the rates that a run
leaves behind. Like everything in tools/bench it needs nothing but the standard library."""
import dataclasses
import json
import os
import pathlib
import platform
import random
import statistics
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "demo" / "SmolLM2-135M-Instruct.Q4_1.gguf"  # tools/demo_assets.sh fetches it
WARM_UP = 2  # steps that are left out of a rate
WORDS = ("time people way day man thing woman life child world school state family student group country problem hand "
         "part place case week company system program question work number night point home water room mother area").split()


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
    """Runs a process and says what it took; the peak is a resident size, under mpirun that of the largest process."""
    with tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        environment = os.environ | {"OMP_NUM_THREADS": str(bench.threads), "HF_HUB_OFFLINE": "1",
                                    "WANDB_MODE": "disabled"}
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
        # Names without their folders: the sentence goes into pages that others read.
        words = " ".join(pathlib.Path(word).name for word in map(str, command[:3]))
        raise Failed(f"{words} … ended with {process.returncode}: {last[-400:]}")
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
    command = [bench.gaggle, "data", "show", folder / "bench.toml", "--task", task, "--split", split, "--jsonl"]
    shown = run(command, bench, cwd=folder)
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


NAMED_BY = {"works": "name", "curves": "axis"}


def add_to(path, results, part, names):
    """Takes up what `path` has beside `names`, if all else was as it is now; else says what was not. What was measured
    of another commit says so: each entry's sides were measured in one run, whose ratios stand for themselves."""
    old = json.loads(path.read_text())
    for key in ("machine", "versions", "setting"):
        was, now = ({name: value for name, value in side[key].items() if name != "commit"} for side in (old, results))
        if was != now:
            raise ValueError(f"{path} was measured with another {key} ({was}, now {now}); name a new file")
    results["command"] = f"{old['command']}; {results['command']}"
    results[part] = [entry for entry in old[part] if entry[NAMED_BY[part]] not in names]
    for entry in results[part]:
        entry.setdefault("commit", old["versions"].get("commit"))


def write_json(path, results):
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(results, indent=1) + "\n")
    beside.replace(path)


def machine():
    """What the numbers were measured on."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    names = [line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")]
    flags = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if f" {flag} " in info.replace("\n", " ")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processor": (names or [platform.machine()])[0], "flags": flags, "cores": len(os.sched_getaffinity(0)),
            "memory_gb": round(memory / 1e9)}


def program(gaggle):
    """gaggle and what it was built with, in a line."""
    lines = subprocess.run([gaggle, "--version"], capture_output=True, text=True).stdout.splitlines()
    return " · ".join(" ".join(line.split()) for line in lines if not line.startswith(("fast on", "here")) and "not built" not in line)


def version(bench):
    commit = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    return {"gaggle": program(bench.gaggle), "commit": commit.strip()}
