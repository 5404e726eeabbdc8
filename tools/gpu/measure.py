#!/usr/bin/env python3
"""The suites of tools/gpu/run.sh that run gaggle: tools/gpu/measure.py --to FOLDER base|bits|bench|peers|launches"""
import argparse
import hashlib
import json
import pathlib
import signal
import subprocess
import sys
import time

import made_base

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = """
run = {name = "gpu", dir = "runs"}
model = {path = "base"}
data = {tasks = ["tasks"], prompt = "{input}\\n", max_input_tokens = 65536}
lora = {rank = 16, alpha = 1}
train = {validate_every = 0}
registry = {path = "registry", collection = "all", cache = ""}
report = {tensorboard = false}
"""


class Place:
    """The folder that everything is made in: the base, tasks, configs."""

    def __init__(self, options):
        self.to, self.small, self.folder = options.to, options.small, options.to / "work"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "gpu.toml").write_text(CONFIG)

    def command(self, name, *settings):
        return ["gaggle", name, "gpu.toml", *map(str, settings)]

    def gaggle(self, name, *settings, start=(), **options):
        return subprocess.run([*start, *self.command(name, *settings)], cwd=self.folder, check=True, **options)


def base(place):
    """A random base with the shapes of a Llama of 1B, its tokenizer and a task."""
    made_base.make(place.folder / "base", place.small)
    made_base.write_task(place.folder / "tasks", "words", rows=64, words=24 if place.small else 250)


def bits_of(folder):
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((folder / "experts").rglob("*.safetensors"))}


def bits(place):
    """The same bits twice, and after kill -9 and a start from the checkpoint."""
    def settings(name):
        return ["--train.steps=8", "--gate.steps=2", "--train.batch_size=8", "--checkpoint.every=2",
                f"--registry.path={name}", f"--run.dir=runs-{name}"]

    for name in ("once", "twice"):
        place.gaggle("experts", *settings(name))
    job = subprocess.Popen(place.command("experts", *settings("killed")), cwd=place.folder)
    while job.poll() is None and not list(place.folder.glob("killed/work/items/*/*/*/COMPLETE")):
        time.sleep(0.005)
    job.send_signal(signal.SIGKILL)
    job.wait()
    place.gaggle("experts", *settings("killed"))
    all_bits = [bits_of(place.folder / name) for name in ("once", "twice", "killed")]
    for name, value in all_bits[0].items():
        print(f"{value[:16]}  {name}")
    if not all_bits[0] or all_bits[0] != all_bits[1] or all_bits[0] != all_bits[2]:
        sys.exit("the bits differ: twice " + str(all_bits[1]) + ", killed and resumed " + str(all_bits[2]))
    print("the same bits twice, and killed and resumed")


def bench(place):
    """Kernels and steps as shares of the GPU's rates, at sizes of micro-batches and rows."""
    points = [(256, 64, [8])] if place.small else [(8192, 256, [8, 64]), (8192, 64, []), (8192, 2048, []), (2048, 64, []),
                                                  (2048, 256, [])]
    for tokens, row, experts in points:
        name = f"bench-{tokens}-{row}.json"
        print(f"== micro-batches of {tokens:,} tokens, rows of {row:,}", flush=True)
        only = "steps,attention,head,linear" if experts else "expert step,gate step,scoring base"
        place.gaggle("bench", f"--train.tokens_per_microbatch={tokens}", f"--train.batch_size={tokens // row}",
                     f"--plan.input_tokens={row * 7 // 8}", f"--plan.target_tokens={row // 8}",
                     f"--only={only}", f"--experts={','.join(map(str, experts or [8]))}", "--repeats=3",
                     f"--json={place.to / name}")


def peers(place):
    """PEFT where it is installed, and a LoRA written in plain PyTorch, at the rows of `bench`."""
    for side in ("plain", "peft"):
        subprocess.run([sys.executable, ROOT / "tools/gpu/peer_step.py", side, place.folder / "base", "--rows", "8" if place.small else "32",
                        "--tokens", "32" if place.small else "256"], check=True)


def launches(place):
    """Kernels, copies, waits and kernels' time of one step: what a longer run has more; and where that time goes."""
    ended = {}
    for steps in (2, 6):
        done = place.gaggle("experts", f"--train.steps={steps}", "--gate.steps=0", "--train.batch_size=8",
                            f"--registry.path=launches-{steps}", f"--run.dir=runs-launches-{steps}", capture_output=True,
                            text=True, start=["env", f"LD_PRELOAD={ROOT / 'build-cuda/bundle/lib/libkernel_times.so'}"])
        ended[steps] = done.stderr.splitlines()
    counts = {steps: json.loads([line for line in lines if line.startswith('{"launches"')][-1]) for steps, lines in ended.items()}
    print("\n".join(line for line in ended[6] if "launches" in line and not line.startswith("{")))
    print("of a step of one expert, 8 rows:")
    for name, unit in {"launches": "", "copies": "", "waits": "", "seconds": " s"}.items():
        print(f"  {name}: {(counts[6][name] - counts[2][name]) / 4:,.4g}{unit}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=pathlib.Path, required=True)
    parser.add_argument("--small", action="store_true", help="a tiny base and short runs")
    suites = {suite.__name__: suite for suite in (base, bits, bench, peers, launches)}
    parser.add_argument("suite", choices=suites)
    options = parser.parse_args()
    suites[options.suite](Place(options))


if __name__ == "__main__":
    main()
