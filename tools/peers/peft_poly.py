#!/usr/bin/env python3
"""gaggle against PEFT: Poly / MHR over several tasks, the same examples in the same batches, alternating; prints the
ratios.

    tools/peers/peft_poly.py configs/poly-demo.toml --steps 8 --repeats 3 --method mhr --heads 8

As peft_lora.py: each side is a process of its own with all cores (gaggle with --ranks N: N processes that share them),
tokens are those of the examples, the first two steps of each run are left out of the time. PEFT draws its mixtures'
samples, gaggle mixes by the plain sigmoid.
"""
import argparse
import json

import sides


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sides.add_arguments(parser, steps=8)
    parser.add_argument("--method", choices=["poly", "mhr"])
    for name in ("skills", "heads", "rank"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--ranks", type=int, default=1, help="of gaggle, each with its share of the threads")
    arguments = parser.parse_args()
    gaggle, probe = sides.programs(arguments)
    chosen = [f"--poly.{name}={value}" for name in ("method", "skills", "heads", "rank")
              if (value := getattr(arguments, name)) is not None]
    overrides = [*chosen, f"--train.steps={arguments.steps}", "--train.validate_every=0", "--alignment.every=0",
                 f"--run.threads={arguments.threads // arguments.ranks}", "--report.tensorboard=false"]
    config = sides.resolved(gaggle, "pretrain", arguments.config, overrides)
    names = [task["name"] for task in json.loads(sides.run([probe, "tasks", *config["data.tasks"]])[0])]
    examples = [[example | {"task": t} for example in sides.examples_of(gaggle, [arguments.config, *overrides, "--task", name])]
            for t, name in enumerate(names)]
    size = int(config["train.batch_size"])
    mix = {"seed": 0, "sampling": config["data.sampling"], "names": names, "rows": [len(r) for r in examples],
           "draws": size * arguments.steps}
    draws = json.loads(sides.run([probe, "mix", json.dumps(mix)])[0])
    batches = [[examples[task][example] for task, example in draws[s * size:(s + 1) * size]] for s in range(arguments.steps)]
    job = {"model": config["model.path"], "rank": config["poly.rank"], "skills": config["poly.skills"],
           "heads": config["poly.heads"], "tasks": len(names), "lr": config.get("train.lr", 1e-3)}
    start = ["mpirun", "-np", str(arguments.ranks)] if arguments.ranks > 1 else []
    sides.compare(arguments, batches, lambda folder: [
        *start, gaggle, "pretrain", arguments.config, *overrides, f"--run.dir={folder}/runs",
        f"--registry.path={folder}/registry", "--run.seed=0"], config["poly.method"], job,
        f"{config['poly.method']} with {job['skills']:.0f} skills, {job['heads']:.0f} heads, rank {job['rank']:.0f}, "
        f"{len(names)} tasks, batches of {size}")


if __name__ == "__main__":
    main()
