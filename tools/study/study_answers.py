"""Everything that STUDY.md says, of the stages that are done, as one JSON."""
import pathlib
import sys
from itertools import product

import numpy as np
import study_methods as methods
from study_bootstrap import Pair, of_mean, paired, verdict
from study_plan import task_name
from study_questions import Evaluation, across, within
from study_results import MEASURES, adaptation, score, windows

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
import runs  # noqa: E402


def scores(evaluations):
    for evaluation, (name, tasks) in ((e, s) for e in evaluations for s in e.sets.items()):
        for method, rows in evaluation.methods.items():
            if found := score(rows, tasks):
                yield evaluation.about | {"set": name, "method": methods.shown(method), **found}
    first = min((e.about["pool"] for e in evaluations), default=0)
    small = next((e.sets["held-in"] for e in evaluations if e.about["pool"] == first and "held-in" in e.sets), [])
    for evaluation in evaluations:  # every pool on the tasks of the smallest, for the curves over pool sizes
        if evaluation.about["kind"] == "pool" and "held-in" in evaluation.sets:
            for method, rows in evaluation.methods.items():
                if found := score(rows, small):
                    yield evaluation.about | {"set": "held-in, first tasks", "method": methods.shown(method), **found}


def alignment(runner, resamples):
    """Each run's windows, its mean over them, and differences of runs by window: they saw the same batches."""
    found, length = [], runner.plan.settings["alignment"]["window"]
    for stage in runner.stages:
        if stage.about.get("aligned") and runner.done(stage):
            name = stage.settings["run.name"]
            of_run = windows(runner.folder / "runs" / name / "alignment/alignment.jsonl", length)
            if of_run:
                means = [of_mean(window.pop("layers"), resamples) for window in of_run]
                found.append({"run": name, "method": stage.about["inventory"], "combine": stage.about["combine"],
                              "windows": [window | mean for window, mean in zip(of_run, means)],
                              **of_mean([mean["estimate"] for mean in means], resamples)})
    return {"runs": found, "differences": list(alignment_differences(found, resamples))}


def alignment_differences(found, resamples):
    asked = [(("mhr", "sum"), ("shared", "sum")), (("poly", "sum"), ("shared", "sum")), (("mhr", "sum"), ("poly", "sum")),
             *(((method, "upgrad"), (method, "sum")) for method in ("shared", "poly", "mhr"))]
    by_name = {(run["method"], run["combine"]): run for run in found}
    for ours, other in asked:
        if ours in by_name and other in by_name:
            a, b = ({window["last"]: window["estimate"] for window in by_name[key]["windows"]} for key in (ours, other))
            if both := sorted(a.keys() & b.keys()):
                result = of_mean([a[step] - b[step] for step in both], resamples)
                low, high = result["interval"]
                yield {"method": ours[0], "combine": ours[1], "other": other[0], "other_combine": other[1], **result,
                       "verdict": "more" if low > 0 else "less" if high < 0 else "open"}


def few_shot(runner, resamples):
    """Methods × shots: means over tasks and seeds; against a LoRA from scratch, and against all that the inventory has."""
    stage = next((s for s in runner.stages if s.command == "adapt" and runner.done(s)), None)
    if stage is None:
        return {"scores": [], "comparisons": []}
    found = adaptation(runner.folder / stage.leaves, stage.settings["adapt.seeds"])
    table, comparisons = [], []
    for method, shots in ((m, s) for m in found for s in found[m] if found[m][s]):
        by_task = found[method][shots].values()
        table.append({"method": method, "shots": shots, "n_tasks": len(by_task), **{
            measure: mean_or_none([np.mean([seed[measure] for seed in seeds]) for seeds in by_task]) for measure in MEASURES}})
    for (method, other), measure in product([("full", "lora"), ("z", "lora"), ("mu", "lora"), ("z", "full"), ("mu", "full")], MEASURES):
        for shots in found.get(method, {}).keys() & found.get(other, {}).keys():
            tasks = found[method][shots].keys() & found[other][shots].keys()
            of_tasks = [Pair(*(np.array([seed[measure] for seed in found[which][shots][task]]) for which in (method, other)),
                             np.ones(stage.settings["adapt.seeds"])) for task in sorted(tasks)]
            of_tasks = [pair for pair in of_tasks if np.isfinite(pair.a).all() and np.isfinite(pair.b).all()]
            if of_tasks:
                result = paired(of_tasks, resamples)
                comparisons.append({"method": method, "other": other, "shots": shots, "measure": measure, **result,
                                    "verdict": verdict(result, MEASURES[measure])})
    return {"scores": table, "comparisons": sorted(comparisons, key=lambda c: (c["other"], c["method"], c["shots"]))}


def mean_or_none(values):
    values = [value for value in values if np.isfinite(value)]
    return float(np.mean(values)) if values else None


def about(runner):
    plan = runner.plan
    done = [stage for stage in runner.stages if runner.done(stage)]
    return {"machine": runs.machine(), "program": runs.program(runner.gaggle), "commits": sorted({runner.record(s)["commit"] for s in done}),
            "plan": plan.path.name, "base": plan.base_name(), "ranks": plan.data["ranks"],
            "resamples": plan.data["resamples"], "pools": plan.pools(),
            "train": [task_name(task) for task in plan.pool(max(plan.pools()))] if plan.pools() else [],
            "held_out": {name: [task_name(task) for task in tasks] for name, tasks in plan.sets().items()},
            "few_shot": [task_name(task) for task in plan.at_hand(plan.data["few_shot"])],
            "rows": plan.data["rows"], "seconds": {stage.name: runner.record(stage)["seconds"] for stage in done}}


def answers(runner):
    resamples = runner.plan.data["resamples"]
    done = [stage for stage in runner.stages if runner.done(stage)]
    evaluations = [Evaluation(stage, runner.folder / stage.leaves) for stage in done if stage.command == "eval"]
    comparisons = [c for e in evaluations for c in within(e, resamples)] + list(across(evaluations, resamples))
    return {"about": about(runner), "scores": list(scores(evaluations)), "comparisons": comparisons,
            "alignment": alignment(runner, resamples), "few_shot": few_shot(runner, resamples),
            "missing": [*runner.plan.short(), *(f"{stage.name}: {runner.why_open(stage)}" for stage in runner.stages
                                               if not runner.done(stage) or runner.record(stage)["code"])]}
