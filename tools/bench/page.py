#!/usr/bin/env python3
"""Puts what was measured into BENCHMARKS.md and README.md, between their markers, and draws the plots.

    tools/bench/page.py            reads docs/benchmarks/{peers,growth}.json, writes pages and docs/benchmarks/*.svg
    tools/bench/page.py --check    says with exit code 1 whether the pages are not what the JSON gives; writes nothing
"""
import argparse
import json
import pathlib
import re
import sys

import plots
import runs
import tables

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOT_YET = "Not measured yet."


def conditions(results, part):
    """Machine, versions and command, as a list."""
    machine, setting = results["machine"], results["setting"]
    earlier = {}
    for entry in results[part]:
        if entry.get("commit", results["versions"].get("commit")) != results["versions"].get("commit"):
            earlier.setdefault(entry["commit"], []).append(entry[runs.NAMED_BY[part]])
    flags = f" ({', '.join(machine['flags'])})" if machine["flags"] else ""
    versions = ", ".join(number if name == "gaggle" else f"{name} {number}"
                         for name, number in results["versions"].items())
    versions += "".join(f"; {', '.join(names)}: commit {commit}" for commit, names in earlier.items())
    return "\n".join([
        f"- machine: {machine['processor']}{flags}, {machine['cores']} cores, {machine['memory_gb']} GB",
        f"- base: {setting['model']}; rank {setting['rank']}, {setting['batch']} rows of about {setting['row_tokens']} "
        f"tokens a step, {setting['threads']} threads, {setting['repeats']} turns",
        f"- versions: {versions}",
        f"- command: `{results['command'].strip()}`"])


def blocks(*parts, failed):
    """What stands between two markers; what failed comes last."""
    named = ["What failed:", "\n".join(f"- {line}" for line in failed)] if failed else []
    return "\n\n".join([*filter(None, parts), *named])


def peers_block(results):
    if results is None:
        return NOT_YET
    failed = [f"{work['name']}, {side['name']} {side['setting']}: {side['failed']}" for work in results["works"]
              for side in work["sides"] if side["failed"]]
    return blocks(conditions(results, "works"), tables.peers_table(results), failed=failed)


def growth_block(results, axes):
    if results is None:
        return NOT_YET
    images = "\n".join(f"![Time and memory against {axis}](docs/benchmarks/{axis}.svg)" for axis in axes)
    failed = [f"{curve['axis']}, {curve['failed']}" for curve in results["curves"] if curve["failed"]]
    return blocks(conditions(results, "curves"), tables.growth_table(results), images, failed=failed)


def speed_block(results):
    """README's table: times the best peer, by work."""
    if results is None:
        return NOT_YET
    rows = [[row[0], row[1], row[2], row[4]] for row in tables.peers_rows(results)]
    return tables.markdown(["work", "gaggle tokens/s", "peer, its best setting", "times its tokens/s"], rows)


def filled(text, name, block):
    """The page with what stands between <!-- NAME --> and <!-- /NAME --> replaced."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
    if len(pattern.findall(text)) != 1:
        sys.exit(f"the page needs <!-- {name} --> and <!-- /{name} --> exactly once")
    return pattern.sub(lambda found: f"{found[1]}{block}\n{found[2]}", text)


def read(path):
    return json.loads(path.read_text()) if path.exists() else None


def pages(folder, root):
    """Path → text of every page."""
    peers, growth = read(folder / "peers.json"), read(folder / "growth.json")
    axes = [curve["axis"] for curve in growth["curves"] if len(curve["points"]) >= 2] if growth else []
    benchmarks = filled((root / "BENCHMARKS.md").read_text(), "peers", peers_block(peers))
    return {root / "BENCHMARKS.md": filled(benchmarks, "growth", growth_block(growth, axes)),
            root / "README.md": filled((root / "README.md").read_text(), "speed", speed_block(peers))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "docs" / "benchmarks")
    parser.add_argument("--root", type=pathlib.Path, default=ROOT, help="where the pages lie")
    options = parser.parse_args()
    written = pages(options.folder, options.root)
    if options.check:
        stale = [path.name for path, text in written.items() if path.read_text() != text]
        sys.exit(f"{', '.join(stale)}: not what the JSON gives; run tools/bench/page.py" if stale else 0)
    if (options.folder / "growth.json").exists():
        plots.write_plots(read(options.folder / "growth.json"), options.folder)
    for path, text in written.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
