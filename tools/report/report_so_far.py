"""What the finished items of an evaluation say before its results.json is written."""
import typing

from report_files import number, read_json
from report_work import scored_items


class SoFar(typing.NamedTuple):
    results: dict  # as results.json has them
    lines: dict    # (method, task) → its lines, as in predictions.jsonl
    done: int      # items
    all: int


def line_of(example, method, task):
    """As predictions.jsonl has it. What is not finite is null in an item, and then nothing is predicted."""
    at = example["target"]
    finite = None not in [*map(number, example["nll"]), *map(number, example.get("choice_scores") or [])]
    said = example["predicted"] and finite
    return {"task": task, "id": example["id"], "method": method, "target_nll": example["nll"][at],
            "target_tokens": example["tokens"][at], "target": example["target_text"], "choices": example["choices"],
            "prediction": example["prediction"] if said else None, "score": example["score"] if said else None}


def scores_of(lines):
    """As results.json has them of one method and task: None where a number is not finite."""
    tokens, nll = sum(line["target_tokens"] for line in lines), [number(line["target_nll"]) for line in lines]
    scores = [line["score"] for line in lines if line["score"] is not None]
    return {"examples": len(lines), "nll_per_token": None if None in nll or not tokens else sum(nll) / tokens,
            "score": None if None in nll or not scores else sum(scores) / len(scores)}


def metric_by_choices(task, lines):
    return "accuracy" if all(line["choices"] for (_, name), of in lines.items() if name == task for line in of) else "exact_match"


def in_order(methods, config):
    """As eval.methods lists them; single experts, which it may have as `experts` or `oracle`, behind the others."""
    listed = (config.get("eval") or {}).get("methods") or []
    place = lambda name: listed.index(name) if name in listed else len(listed)  # noqa: E731
    return sorted(methods, key=lambda name: (name.startswith("expert:"), place(name), name))


def items_so_far(folder, config, files):
    """None: no item is done, or all that the newest list has, and there are results. A method counts on a task when all of its
    items there are done."""
    names = scored_items(folder)
    there = {key: folder / "items" / f"{key}.json" for key in names if (folder / "items" / f"{key}.json").is_file()}
    if len(there) == len(names) and any(folder.glob("results*.json")):
        return None
    done = {key: item for key, path in there.items() if (item := read_json(path))}
    if not done:
        return None
    still_open, lines = {names[key] for key in names.keys() - done.keys()}, {}
    for key, item in sorted(done.items(), key=lambda of: of[1]["first"]):
        method, task = names[key].removesuffix(f" · {item['task']}"), item["task"]
        if names[key] not in still_open:
            lines.setdefault((method, task), []).extend(line_of(example, method, task) for example in item["examples"])
    methods, tasks = in_order({method for method, _ in lines}, config), {task for _, task in lines}
    order = [task for task in files if task in tasks] + sorted(tasks - files.keys())
    metric = lambda task: files[task].metric if task in files else ""  # noqa: E731
    results = {
        "tasks": {task: {"metric": metric(task) or metric_by_choices(task, lines), "held_in": None} for task in order},
        "methods": {method: {"tasks": {task: scores_of(lines[method, task]) for task in order if (method, task) in lines}}
                    for method in methods}}
    return SoFar(results, lines, len(done), len(names))
