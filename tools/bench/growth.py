#!/usr/bin/env python3
"""How gaggle's time and memory grow: one axis after the other, everything else held; JSON for plots.py and page.py.

    tools/bench/growth.py --to docs/benchmarks/growth.json
    tools/bench/growth.py --only length,experts --gaggle build/gaggle --to growth.json
"""
import argparse
import dataclasses
import os
import pathlib
import sys
import tempfile

import runs
import tables
from random_experts import registry_of

STEP = ["--train.steps=5", "--gate.steps=1"]


def train(bench, folder, *settings, ranks=1):
    end = runs.gaggle(bench, folder, "experts", *STEP, *settings, ranks=ranks)
    return runs.trained(folder, "lora", end, "registry")


def rows(bench, folder, x):
    runs.write_task(bench, folder / "tasks", "t", x)
    numbers = train(bench, folder)
    return numbers | {"step_s": numbers["start_s"]}


def length(bench, folder, x):
    runs.write_task(bench, folder / "tasks", "t", 1, length=x)
    return train(bench, folder, "--train.batch_size=1")


def experts(bench, folder, x):
    for i in range(5):
        runs.write_task(bench, folder / "tasks", f"t{i}", bench.batch, split="test")
    registry_of(bench, folder, x)
    settings = ["--eval.methods=['arrow']", "--eval.tasks=['tasks']", "--eval.top_k=2"]
    end = runs.gaggle(bench, folder, "eval", *settings)
    return runs.scored(folder, {f"t{i}": bench.batch * bench.length for i in range(5)}, end)


def rank(bench, folder, x):
    runs.write_task(bench, folder / "tasks", "t", bench.batch)
    return train(bench, folder, f"--lora.rank={x}", f"--lora.alpha={x / 16}")


def pretrain(bench, folder, tasks, skills):
    for i in range(tasks):
        runs.write_task(bench, folder / "tasks", f"t{i}", 16)
    end = runs.gaggle(bench, folder, "pretrain", STEP[0], "--poly.method=poly", "--poly.heads=1", "--poly.rank=4",
                      f"--poly.skills={skills}", "--alignment.every=0")
    return runs.trained(folder, "poly", end, "runs")


def skills(bench, folder, x):
    return pretrain(bench, folder, 8, x)


def tasks(bench, folder, x):
    return pretrain(bench, folder, x, 8)


def processes(bench, folder, x):
    runs.write_task(bench, folder / "tasks", "t", bench.batch)
    return train(dataclasses.replace(bench, threads=1), folder, "--train.lanes=4", f"--cluster.ranks_per_expert={x}", ranks=x)


STEP_WORDS = "a LoRA step of 16 rows"
AXES = {  # axis: what is measured at x, the values of x, what "seconds" are
    "rows": (rows, [1000, 4000, 16000, 64000], "from start to the first step, of a task's rows"),
    "length": (length, [128, 512, 2048, 8192], "a LoRA step of one row of so many tokens"),
    "experts": (experts, [4, 16, 64, 256], "scoring 16 rows by arrow, k 2, of N experts"),
    "skills": (skills, [2, 8, 32, 128], "a Poly step of 16 rows, r 4, of K skills"),
    "tasks": (tasks, [2, 8, 32, 128], "a Poly step of 16 rows, 8 skills, of T tasks"),
    "rank": (rank, [4, 16, 64, 256], STEP_WORDS + ", of rank r"),
    "ranks": (processes, [1, 2, 4, 8], STEP_WORDS + " by so many ranks of one thread"),
}


def measure(bench, axis, repeats):
    at, values, words = AXES[axis]
    if axis == "ranks":
        values = [x for x in values if x <= bench.threads]
    curve = {"axis": axis, "seconds_are": words, "points": [], "failed": ""}
    for x in values:
        tries = []
        for _ in range(repeats):
            with tempfile.TemporaryDirectory(prefix="growth-") as folder:
                try:
                    tries.append(at(bench, pathlib.Path(folder), x))
                except (runs.Failed, OSError, ValueError) as error:
                    curve["failed"] = f"at {x}: {error}"
                    print(f"{axis}: {curve['failed']}", file=sys.stderr, flush=True)
                    return curve
        side = {"runs": tries}
        point = {"x": x} | {name: tables.middle(side, key) for name, key in (
            ("seconds", "step_s"), ("peak_bytes", "peak_bytes"), ("start_s", "start_s"))}
        curve["points"].append(point)
        print(f"{axis} {x}: {point['seconds']:.3g} s, {point['peak_bytes'] / 1e6:.0f} MB", file=sys.stderr, flush=True)
    return curve


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(AXES), help="axes, of %(default)s")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--to", type=pathlib.Path, required=True, help="JSON file that is written after every axis")
    parser.add_argument("--add", action="store_true", help="what the file has of other axes stays in it")
    parser.add_argument("--model", type=pathlib.Path, default=runs.MODEL)
    parser.add_argument("--gaggle", type=pathlib.Path, default=runs.ROOT / "build" / "gaggle")
    parser.add_argument("--cache", type=pathlib.Path, default=runs.ROOT / ".cache" / "peers")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if unknown := [axis for axis in options.only.split(",") if axis not in AXES]:
        parser.error(f"--only {options.only}: no axis \"{unknown[0]}\"; there are {', '.join(AXES)}")
    for path in (options.gaggle, options.model, options.to.resolve().parent):
        if not path.exists():
            parser.error(f"{path}: is not there; tools/setup.sh builds gaggle, tools/demo_assets.sh fetches the model")
    bench = runs.Bench(options.gaggle.resolve(), options.model.resolve(), options.cache.resolve(), options.threads)
    results = {"machine": runs.machine(), "versions": runs.version(bench),
               "command": "tools/bench/growth.py " + " ".join(sys.argv[1:]),
               "setting": {"model": bench.model.name, "threads": bench.threads, "batch": bench.batch, "rank": bench.rank,
                           "row_tokens": bench.length, "repeats": options.repeats}, "curves": []}
    if options.add and options.to.exists():
        try:
            runs.add_to(options.to, results, "curves", options.only.split(","))
        except (ValueError, KeyError) as error:
            parser.error(f"--add: {error}")
    for axis in options.only.split(","):
        results["curves"].append(measure(bench, axis, options.repeats))
        runs.write_json(options.to, results)
    print(tables.growth_table(results))
    sys.exit(1 if any(curve["failed"] for curve in results["curves"]) else 0)


if __name__ == "__main__":
    main()
