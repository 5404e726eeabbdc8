"""The study as data: stages in order, each one command with its settings, what it needs and what it leaves."""
import dataclasses
import json

import study_methods as methods
from study_plan import task_name


@dataclasses.dataclass(frozen=True)
class Stage:
    name: str
    command: str          # of gaggle; "tasks": the making of the task files
    settings: dict        # key of the config → value
    needs: tuple = ()     # names of stages before it
    leaves: str = ""      # what is there afterwards, under the study's folder
    about: dict = dataclasses.field(default_factory=dict)  # of an evaluation: pool, seed, variant, sets


def evaluations(plan, name, size, needs, entries, registry, seed=0, kind="pool", wider=()):
    """A pool on its own tasks, and on the held-out ones."""
    own, out = plan.pool(size), sum(plan.sets().values(), [])
    about = {"pool": size, "seed": seed, "kind": kind}
    common = {"eval.collection": name, "run.seed": seed, "registry.path": registry, "eval.split": "test"}
    held_in = [*entries, *(methods.own_left_out if kind == "pool" else []), *wider]
    yield Stage(f"eval-{name}-held-in", "eval", common | {
        "run.name": f"{name}-held-in", "data.tasks": plan.files(own), "eval.methods": held_in}, needs,
        f"runs/{name}-held-in/eval/predictions.jsonl", about | {"sets": {"held-in": [task_name(task) for task in own]}})
    if out:
        sets = {key: [task_name(task) for task in tasks] for key, tasks in plan.sets().items()}
        yield Stage(f"eval-{name}-held-out", "eval", common | {
            "run.name": f"{name}-held-out", "data.tasks": plan.files(own), "eval.tasks": plan.files(out),
            "eval.methods": [*entries, *wider]}, needs, f"runs/{name}-held-out/eval/predictions.jsonl",
            about | {"sets": sets})


def prepared(plan, name, size, needs, entries, registry, seed=0, times=1):
    """Statistics of averages are a second pass, when these are there."""
    for i in range(times):
        yield Stage(f"prepare-{name}" + ("-again" if i else ""), "prepare", {
            "eval.collection": name, "run.seed": seed, "registry.path": registry, "run.name": f"prepare-{name}",
            "data.tasks": plan.files(plan.pool(size)), "eval.methods": methods.prepared(entries)},
            (*needs, *([f"prepare-{name}"] if i else [])), f"{registry}/cache")


def experts(plan, name, tasks, registry, needs=("tasks",), collection=None, seed=0, **settings):
    return Stage(f"experts-{name}", "experts", {
        "run.name": f"experts-{name}", "run.seed": seed, "data.tasks": plan.files(tasks), "registry.path": registry,
        "registry.collection": name if collection is None else collection, **settings}, needs,
        f"{registry}/experts/{task_name(tasks[-1])}")


def inventory(plan, name, method, tasks, **settings):
    """Poly, MHR or one LoRA for all; it sees as many examples of each task as an expert does."""
    training, poly = plan.settings["train"], plan.settings["poly"]
    seen = training["steps"] * training["batch_size"] * len(tasks)
    rank = {"poly.rank": poly["skills"] * poly["rank"]} if method == "shared" else {}
    return Stage(f"pretrain-{name}", "pretrain", {
        "run.name": name, "data.tasks": plan.files(tasks), "registry.path": "registry", "poly.method": method,
        "train.batch_size": plan.data["multitask_batch"], "train.lanes": 4,
        "train.steps": max(1, seen // plan.data["multitask_batch"])} |
        ({} if method == "mhr" else {"poly.heads": 1}) | rank | settings,
        ("tasks",), f"registry/inventories/{name}", {"inventory": method, "combine": settings.get("train.combine", "sum"),
                                                     "aligned": settings.get("alignment.every") != 0})


def pool_stages(plan, size):
    """Experts, the multitask LoRA of the same tasks, what methods need, and the tables."""
    name, tasks, small = f"pool-{size}", plan.pool(size), size == plan.pools()[0]
    before = [] if small else [f"experts-pool-{plan.pools()[plan.pools().index(size) - 1]}"]
    held_out = ["experts-held-out"] if trained_held_out(plan) else []
    yield experts(plan, name, tasks, "registry", ("tasks", *before))
    if small and held_out:
        yield experts(plan, "held-out", trained_held_out(plan), "registry", ("tasks",), collection="")
    shared = f"shared-{size}"
    yield inventory(plan, shared, "shared", tasks, **({} if small else {"alignment.every": 0}))
    wider = methods.rules if small else []
    yield from prepared(plan, name, size, (f"experts-{name}",), [*methods.every, *wider], "registry")
    yield from evaluations(plan, name, size, (f"prepare-{name}", f"pretrain-{shared}", *held_out),
                           [*methods.every, *methods.wholes, f"shared:{shared}"], "registry", wider=wider)


def trained_held_out(plan):
    """Tasks that get an expert for the method `target` alone."""
    kept_out = plan.data.get("evaluation_only", [])
    return [task for name, tasks in plan.sets().items() if name not in kept_out for task in tasks]


def seed_stages(plan, seed):
    size = plan.pools()[0]
    name, registry = f"pool-{size}-seed{seed}", f"registry-seed{seed}"
    yield experts(plan, name, plan.pool(size), registry, seed=seed)
    yield from prepared(plan, name, size, (f"experts-{name}",), methods.every, registry, seed)
    yield from evaluations(plan, name, size, (f"prepare-{name}",), [*methods.every, *methods.wholes], registry, seed)


def mixed_stages(plan):
    """The smallest pool with unlike ranks and scales: does calibration help?"""
    size, groups = plan.pools()[0], plan.data.get("mixed", [])
    tasks, made = plan.pool(size), []
    for i, settings in enumerate(groups):
        of_group = tasks[i::len(groups)]
        if of_group:
            made.append(experts(plan, f"mixed-{i + 1}", of_group, "registry-mixed", collection="mixed", **settings))
    yield from made
    names = tuple(stage.name for stage in made)
    if names:
        yield from prepared(plan, "mixed", size, names, methods.calibrated, "registry-mixed", times=2)
        yield from evaluations(plan, "mixed", size, ("prepare-mixed-again",), methods.calibrated, "registry-mixed", kind="mixed")


def bias_stages(plan):
    """The smallest pool with gates that start nearly closed."""
    size = plan.pools()[0]
    yield experts(plan, "bias", plan.pool(size), "registry-bias", **{"gate.bias": -2})
    yield from evaluations(plan, "bias", size, ("experts-bias",), methods.gated, "registry-bias", kind="bias")


def pretraining_stages(plan):
    """Whose gradients agree more; the shared LoRA without UPGrad is the small pool's own."""
    tasks = plan.pool(plan.pools()[0])
    for combine in ("sum", "upgrad"):
        for method in ("shared", "poly", "mhr"):
            if (method, combine) != ("shared", "sum"):
                yield inventory(plan, f"{method}-{combine}", method, tasks, **{"train.combine": combine})


def adapt_stages(plan):
    tasks = plan.at_hand(plan.data["few_shot"])
    if tasks:
        yield Stage("adapt", "adapt", {
            "run.name": "adapt", "registry.path": "registry", "adapt.from": "mhr-sum", "adapt.tasks": plan.files(tasks),
            "data.tasks": plan.files(tasks), "adapt.method": ["full", "z", "mu", "lora"], "adapt.shots": plan.data["shots"],
            "adapt.seeds": plan.data["few_shot_seeds"]}, ("pretrain-mhr-sum",), "runs/adapt/adapt/results.json")


def stages(plan):
    """All stages, in an order in which an early end leaves answers: the smallest pool first, the largest last but one."""
    yield Stage("tasks", "tasks", {}, (), "tasks/made.json")
    if not plan.pools():
        return
    yield from pool_stages(plan, plan.pools()[0])
    yield from pretraining_stages(plan)
    yield from bias_stages(plan)
    yield from mixed_stages(plan)
    for seed in plan.data["seeds"]:
        if seed != 0:
            yield from seed_stages(plan, seed)
    yield from adapt_stages(plan)
    for size in plan.pools()[1:]:
        yield from pool_stages(plan, size)


def words(plan, stage):
    """A stage's settings as options of gaggle, over what all have."""
    common = {"run.dir": "runs", "registry.cache": "cache"}
    if "base" in plan.data:
        common["model.path"] = plan.data["base"]

    def text(key, value):
        if key in ("run.dir", "registry.cache", "registry.path", "model.path"):
            return str(plan.folder / value)
        return value if isinstance(value, str) else json.dumps(value)
    return [f"--{key}={text(key, value)}" for key, value in (common | stage.settings).items()]
