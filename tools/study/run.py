"""Runs the study, stage after stage: what is done is passed over, what is half done goes on. Start it by tools/study/run.sh.

    tools/study/run.sh                 the whole study, in runs/study; then STUDY.md and docs/study/
    tools/study/run.sh --dry-run       what each stage would do and take, of those whose inputs are there
    tools/study/run.sh --status        which stages are done
    tools/study/run.sh --page          STUDY.md from what is done so far
    tools/study/run.sh --sample        a tiny base, two experts: about a minute, into runs/study-sample
"""
import argparse
import os
import pathlib
import sys

import study_answers
import study_page
import study_tasks
from study_plan import Plan
from study_runner import STOPPED, Runner
from study_stages import stages

ROOT = pathlib.Path(__file__).resolve().parents[2]


def arguments():
    parser = argparse.ArgumentParser(prog="tools/study/run.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="start nothing; only the task files are made")
    what.add_argument("--status", action="store_true", help="start nothing; list the stages")
    what.add_argument("--page", action="store_true", help="start nothing; make the page of what is done")
    parser.add_argument("--sample", action="store_true", help="configs/study/sample.toml, whose page is written into its own folder")
    parser.add_argument("--only", help="stages by the beginnings of their names, by comma (what they need has to be done)")
    parser.add_argument("--plan", type=pathlib.Path, help="default: configs/study/plan.toml")
    parser.add_argument("--folder", type=pathlib.Path, help="where everything is kept (default: runs/study)")
    parser.add_argument("--to", type=pathlib.Path, help="where STUDY.md and docs/study lie (default: this checkout)")
    parser.add_argument("--gaggle", type=pathlib.Path, default=os.environ.get("GAGGLE", ROOT / "build" / "gaggle"))
    options = parser.parse_args()
    options.plan = options.plan or ROOT / "configs" / "study" / ("sample.toml" if options.sample else "plan.toml")
    options.folder = (options.folder or ROOT / "runs" / ("study-sample" if options.sample else "study")).resolve()
    options.to = options.to or (options.folder / "page" if options.sample else ROOT)
    for path in (options.plan, options.gaggle):
        if not path.exists():
            parser.error(f"{path}: is not there" + ("; tools/setup.sh builds gaggle" if path == options.gaggle else ""))
    options.gaggle = options.gaggle.resolve()
    return options


def main():
    options = arguments()
    if options.sample:
        options.folder.mkdir(parents=True, exist_ok=True)
        study_tasks.make_sample(options.folder)
    plan = Plan(options.plan, options.folder)
    runner = Runner(plan, list(stages(plan)), options.gaggle, options.only.split(",") if options.only else None)
    for line in plan.short():
        print(f"left out: {line}")
    if options.status:
        return runner.status()
    if options.dry_run:
        return runner.dry_run()
    code = 0 if options.page else runner.run()
    if code != STOPPED:
        study_page.write(study_answers.answers(runner), options.to)
    return code


if __name__ == "__main__":
    sys.exit(main())
