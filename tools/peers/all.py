"""gaggle beside its peers: the same rows, the same threads, by turns; a table for people, and JSON (--to) for
tools/bench/page.py, which puts it into BENCHMARKS.md. Start it by tools/peers/all.sh."""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import works
from environments import requirements
from works import runs
from tables import peers_table  # of tools/bench, which works has put on the path


def arguments():
    parser = argparse.ArgumentParser(prog="tools/peers/all.sh", description=__doc__)
    parser.add_argument("--only", help="works, by the beginnings of their names: lora,arrow64,…")
    parser.add_argument("--experts", default="8,32,64", help="how many experts the routed works have (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="turns of both sides (%(default)s)")
    parser.add_argument("--steps", type=int, help="steps of every run; the first two are left out of its rate")
    parser.add_argument("--length", type=int, default=100, help="tokens of a row (%(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="rows of a step (%(default)s)")
    parser.add_argument("--to", type=pathlib.Path, help="JSON file that is written after every work")
    parser.add_argument("--add", action="store_true", help="what the file has of other works stays in it")
    parser.add_argument("--model", type=pathlib.Path, default=runs.MODEL, help="the base (%(default)s)")
    parser.add_argument("--gaggle", type=pathlib.Path, default=runs.ROOT / "build" / "gaggle",
                        help="the program (%(default)s)")
    parser.add_argument("--cache", type=pathlib.Path, default=runs.ROOT / ".cache" / "peers",
                        help="where the peers' environments and random experts are kept (%(default)s)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of both sides (%(default)s)")
    parser.add_argument("--limit-s", type=float, default=3600, help="the longest that one process may take (%(default)s)")
    return parser, parser.parse_args()


def chosen_works(parser, options):
    counts = [word for word in options.experts.split(",")]
    if not all(word.isdecimal() and int(word) >= 2 for word in counts):
        parser.error(f"--experts {options.experts}: expected numbers of at least 2, as in 8,32,64")
    found = works.all_works([int(word) for word in counts])
    if options.only is not None:
        for word in options.only.split(","):
            if not word or not any(work.name.startswith(word) for work in found):
                parser.error(f"--only {options.only}: no work begins with \"{word}\"; there are "
                             f"{', '.join(work.name for work in found)}")
        found = [work for work in found if any(work.name.startswith(word) for word in options.only.split(","))]
    for work in found:
        work.steps = options.steps or work.steps
    for name in ("gaggle", "model"):
        path = getattr(options, name).resolve()
        setattr(options, name, path)
        if not path.exists():
            parser.error(f"--{name} {path}: is not there; tools/setup.sh builds gaggle, "
                         "tools/demo_assets.sh fetches the model")
    for name in ("repeats", "batch", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: expected at least 1")
    if options.to and not options.to.resolve().parent.is_dir():
        parser.error(f"--to {options.to}: its folder is not there")
    return found


def turn(bench, work, result):
    """One turn of all sides; a side that fails is marked, and has no further turns."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        folder = pathlib.Path(folder)
        works.prepare(bench, work, folder)
        batches = None
        for entry, side in zip(result["sides"], [None, *work.sides]):
            if entry["failed"]:
                continue
            try:
                if side is None:
                    numbers = works.ours(bench, work, folder)
                else:
                    batches = batches or works.batches_of(bench, work, folder)
                    numbers = works.theirs(bench, work, side, batches, folder)
            except (runs.Failed, subprocess.CalledProcessError, OSError, ValueError) as error:
                entry["failed"] = str(error) or type(error).__name__
                print(f"{work.name}: {entry['name']} failed: {entry['failed']}", file=sys.stderr, flush=True)
                continue
            entry["runs"].append(numbers)
            print(f"{work.name}: {entry['name']} {entry['setting']} {numbers['tokens_per_s']:.0f} tokens/s, "
                  f"first result after {numbers['first_s']:.1f} s, {numbers['peak_bytes'] / 1e6:.0f} MB",
                  file=sys.stderr, flush=True)


def measure(bench, work, repeats):
    sides = [{"name": "gaggle", "setting": "", "failed": "", "runs": []}]
    sides += [{"name": side.name, "setting": side.setting, "failed": "", "runs": []} for side in work.sides]
    result = {"name": work.name, "words": work.words, "sides": sides}
    for _ in range(repeats):
        try:
            turn(bench, work, result)
        except (runs.Failed, OSError) as error:  # the work could not be prepared
            sides[0]["failed"] = str(error)
            print(f"{work.name}: {error}", file=sys.stderr, flush=True)
            break
    return result


def main():
    parser, options = arguments()
    chosen = chosen_works(parser, options)
    options.cache = options.cache.resolve()
    options.cache.mkdir(parents=True, exist_ok=True)
    bench = runs.Bench(options.gaggle, options.model, options.cache, options.threads, options.limit_s, options.batch,
                       length=options.length)
    versions = runs.version(bench)
    for peer in ("peft", "mttl"):
        pins = dict(line.split("==") for line in requirements(peer).splitlines() if "==" in line)
        versions[f"{peer} {pins[peer]}"] = f"on torch {pins['torch']}, transformers {pins['transformers']}"
    results = {"machine": runs.machine(), "versions": versions, "command": "tools/peers/all.sh " + " ".join(sys.argv[1:]),
               "setting": {"model": options.model.name, "threads": bench.threads, "batch": bench.batch, "rank": bench.rank,
                           "row_tokens": bench.length, "repeats": options.repeats}, "works": []}
    if options.add and options.to and options.to.exists():
        try:
            runs.add_to(options.to, results, "works", [work.name for work in chosen])
        except (ValueError, KeyError) as error:
            parser.error(f"--add: {error}")
    for work in chosen:
        results["works"].append(measure(bench, work, options.repeats))
        if options.to:
            runs.write_json(options.to, results)
    print(peers_table(results))
    failed = [side for work in results["works"] for side in work["sides"] if side["failed"]]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
