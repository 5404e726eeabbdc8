"""Loss curves: items/NAME/metrics.jsonl of a run, one line a step."""
import numpy as np

from report_files import number, read_json, read_lines, rounded


def steps_of(path):
    """phase → [line by step]; a step that was made again after a kill counts once, as it was made last."""
    phases = {}
    for line in read_lines(path):
        if isinstance(line.get("step"), int) and isinstance(line.get("phase"), str):
            phases.setdefault(line["phase"], {})[line["step"]] = line
    return {phase: [lines[step] for step in sorted(lines)] for phase, lines in phases.items()}


def column(lines, name):
    return np.array([np.nan if (value := number(line.get(name))) is None else value for line in lines], dtype=float)


def thinned(values, points, mean):
    """Means over neighbouring steps, or each one's last value."""
    if len(values) <= points:
        return values
    with np.errstate(invalid="ignore"):
        parts = np.array_split(values, points)
        return np.array([np.nanmean(part) if mean and not np.isnan(part).all() else part[-1] for part in parts])


def curve(lines, points):
    seconds, speed = column(lines, "seconds"), column(lines, "tokens_per_s")
    tokens = np.cumsum(np.nan_to_num(seconds * speed))
    steps, clock = column(lines, "step"), np.cumsum(np.nan_to_num(seconds))
    validation = column(lines, "validation_loss")
    there = np.flatnonzero(~np.isnan(validation))
    axes = {"step": steps, "tokens": tokens, "seconds": clock}
    return {"loss": rounded(thinned(column(lines, "loss"), points, True), 5),
            **{name: rounded(thinned(values, points, False), 6) for name, values in axes.items()},
            "validation": {"loss": rounded(validation[there], 5), **{name: rounded(of[there], 6) for name, of in axes.items()}},
            "steps": int(steps[-1])}


def with_last_validation(made, loss):
    """A run that validates at the end alone has that number in the registry's sidecar."""
    if loss is not None and not made["validation"]["loss"] and made["loss"]:
        made["validation"] = {"loss": [loss], **{name: [made[name][-1]] for name in ("step", "tokens", "seconds")}}


def by_task(lines, points):
    """Of pretraining: the loss of each task, as curves of their own."""
    tasks = sorted({name for line in lines for name in line if name.startswith("loss/")})
    steps = column(lines, "step")
    found = []
    for name in tasks:
        loss, validation = column(lines, name), column(lines, f"validation_loss/{name[5:]}")
        there, checked = np.flatnonzero(~np.isnan(loss)), np.flatnonzero(~np.isnan(validation))
        if len(there):
            found.append({"name": name[5:], "loss": rounded(thinned(loss[there], points, True)),
                          "step": rounded(thinned(steps[there], points, False), 6), "steps": int(steps[-1]),
                          "validation": {"loss": rounded(validation[checked]), "step": rounded(steps[checked], 6)}})
    return found


def loss_sections(run, metrics, most):
    """Of what was trained here, and of adaptations. `metrics`: expert → what its sidecar says; `most`: points of all curves."""
    paths = sorted((run / "items").glob("*/metrics.jsonl")) if (run / "items").is_dir() else []
    jobs = [read_json(path) or {} for path in (run / "adapt" / "work" / "jobs").glob("*.json")]
    adapted = {item.get("name") for job in jobs for item in job.get("items", [])}
    return [loss_section("Loss", [path for path in paths if path.parent.name not in adapted], metrics, most),
            loss_section("Loss of each adaptation", [path for path in paths if path.parent.name in adapted], {}, most)]


def loss_section(title, paths, metrics, most):
    read = [(path.parent.name, phases) for path in paths if (phases := steps_of(path))]
    if not read:
        return None
    points = max(12, min(600, most // len(read)))
    longest = max(len(lines) for _, of in read for lines in of.values())
    phases, tasks = {}, []
    for name, of in read:
        for phase, lines in of.items():
            made = curve(lines, points)
            kept = {"lora": "validation_loss", "gate": "gated_loss"}.get(phase)
            with_last_validation(made, number(metrics.get(name, {}).get(kept)))
            phases.setdefault(phase, []).append({"name": name, **made})
            tasks += by_task(lines, points) if len(read) == 1 else []
    if tasks:
        phases["by task"] = tasks
    return {"draw": "losses", "title": title, "phases": phases, "points": points if longest > points else None}
