#!/usr/bin/env python3
"""What a plan said a run would take, and what it took: once from short steps, once from what the first run has taught.

    tools/plan_and_truth.py experts configs/demo.toml --train.steps=20
    tools/plan_and_truth.py eval configs/demo.toml --eval.methods='["none", "arrow"]' --eval.limit_examples=40

The token cache, with what earlier runs took, is a new one, and so are the run folder and, of experts and pretraining, the
registry. gates and adapt read the registry that the config names and write to it: give them a copy (--registry.path).
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import time


def seconds(text):
    """Of "2:43" or "1:02:43"."""
    total = 0
    for part in text.split(":"):
        total = 60 * total + int(part)
    return total


def one_run(command):
    """Seconds that the plan said, where they came from, seconds from the plan to the end."""
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    planned = source = began = None
    for line in run.stdout:
        if found := re.match(r"time +about ([\d:]+) \((.*)\)$", line):
            planned, source, began = seconds(found[1]), found[2], time.monotonic()
    if run.wait() != 0 or began is None:
        sys.exit(f"{' '.join(command)} ended with {run.returncode}" + ("" if began else ", without a plan of less than a day"))
    return planned, source, time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaggle", default="build/gaggle")
    parser.add_argument("command", choices=["experts", "gates", "pretrain", "adapt", "eval"])
    parser.add_argument("config")
    args, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'planned':>8} {'took':>8} {'planned/took':>13}  from")
        for i in range(2):  # another seed: other keys, the same work
            place = pathlib.Path(folder) / str(i)
            own = [f"--run.dir={place}/runs", f"--registry.cache={folder}/cache", f"--run.seed={1001 + i}"]
            if args.command in ("experts", "pretrain"):
                own.append(f"--registry.path={place}/registry")
            planned, source, took = one_run([args.gaggle, args.command, args.config, *own, *options])
            print(f"{planned:>7} s {took:>6.0f} s {planned / took:>12.2f}  {source}", flush=True)


if __name__ == "__main__":
    main()
