#!/usr/bin/env python3
"""gaggle against PEFT: one LoRA expert on the same examples in the same batches, alternating; prints the ratios.

    tools/peers/peft_lora.py configs/demo.toml --task tomi --steps 12 --repeats 3

Each side runs as a process of its own with all cores. Tokens are those of the examples (input and target, no padding);
the first two steps of each run are left out of the time. Memory is the peak resident size of the process.
PEFT runs in bf16 autocast (--peft-dtype fp32 or bf16 for the others).
"""
import argparse
import json
import pathlib
import sys

import sides


def file_of_task(tasks, name):
    for path in map(pathlib.Path, tasks):
        if path.stem == name:
            return path
        if (path / f"{name}.jsonl").exists():
            return path / f"{name}.jsonl"
    sys.exit(f"no task {name} among {', '.join(tasks)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sides.add_arguments(parser, steps=12)
    parser.add_argument("--task", required=True)
    arguments = parser.parse_args()
    gaggle, probe = sides.programs(arguments)
    config = sides.resolved(gaggle, "experts", arguments.config, [])
    overrides = [f"--data.tasks=['{file_of_task(config['data.tasks'], arguments.task)}']",
                 f"--train.steps={arguments.steps}", "--gate.steps=1", "--train.validate_every=0",
                 f"--run.threads={arguments.threads}", "--report.tensorboard=false", "--registry.collection="]
    examples = sides.examples_of(gaggle, [arguments.config, *overrides, "--task", arguments.task])
    size = int(config["train.batch_size"])
    order = json.loads(sides.run([probe, "order", "0", arguments.task, str(len(examples)), str(size * arguments.steps)])[0])
    batches = [[examples[i] for i in order[s * size:(s + 1) * size]] for s in range(arguments.steps)]
    job = {"model": config["model.path"], "rank": config["lora.rank"], "alpha": config["lora.alpha"],
           "lr": config.get("train.lr", 5e-3)}
    sides.compare(arguments, batches, lambda folder: [
        gaggle, "experts", arguments.config, *overrides, f"--run.dir={folder}/runs", f"--registry.path={folder}/registry",
        "--run.seed=0"], "lora", job, f"{arguments.task}, batches of {size}")


if __name__ == "__main__":
    main()
