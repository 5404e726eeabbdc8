"""The study's questions: which result is held against which, each with its paired bootstrap."""
from itertools import product

import study_methods as methods
from study_bootstrap import paired, verdict
from study_results import MEASURES, pairs, predictions


class Evaluation:
    """A done stage of gaggle eval: its sets of tasks, and method → task → rows."""

    def __init__(self, stage, file):
        self.name, self.sets, self.methods = stage.name, stage.about["sets"], predictions(file)
        self.about = {key: stage.about[key] for key in ("kind", "pool", "seed")}


def compared(question, one, ours, two, other, words, tasks, resamples, **about):
    """Both measures of a method of one evaluation less a method of another (or the same), where both have results."""
    for measure, lower in MEASURES.items():
        found = pairs(one.methods.get(ours, {}), two.methods.get(other, {}), tasks, measure)
        if found:
            result = paired(found, resamples)
            yield {"question": question, **one.about, **about, "method": methods.shown(ours), "other": words, "measure": measure,
                   **result, "verdict": verdict(result, lower)}


def within(evaluation, resamples):
    """What one evaluation answers by itself."""
    kind, size = evaluation.about["kind"], evaluation.about["pool"]
    asked = []
    if kind == "pool":
        asked += [("routing", methods.entry("phatgoose"), other, words) for words, other in methods.against(f"shared-{size}").items()]
        asked += [("own left out", methods.entry("phatgoose", methods.K, methods.OWN), other, words)
                  for words, other in methods.AGAINST_WITHOUT_OWN.items()]
        asked += [("by token", methods.entry(method), methods.entry(method, methods.K, *rules), words)
                  for method, (words, rules) in product(methods.BY_TOKEN, methods.WHOLES.items())]
        asked += [("k", methods.entry(method, k), methods.entry(method), "the same with k 2")
                  for method, k in product(methods.ROUTED, (1, 0))]
        asked += [("rules", methods.entry(method, methods.K, rule), methods.entry(method), "the same without")
                  for method, rule in product(("phatgoose", "arrow"), methods.RULES)]
    if kind == "mixed":
        asked += [("calibration", methods.entry(method, methods.K, f"calibrate={how}"),
                   methods.entry(method, methods.K, "calibrate=none"), "the same without")
                  for method, how in product(methods.BY_TOKEN, methods.CALIBRATIONS[1:])]
    for name, tasks in evaluation.sets.items():
        for question, ours, other, words in asked:
            if question == "own left out" and name != "held-in":
                continue
            yield from compared(question, evaluation, ours, evaluation, other, words, tasks, resamples, set=name)


def across(evaluations, resamples):
    """Gates that start nearly closed, and larger pools, against the smallest pool as it is."""
    first = min((e.about["pool"] for e in evaluations), default=0)
    for one, two in product(evaluations, evaluations):
        if (two.about["kind"], two.about["pool"], two.about["seed"]) != ("pool", first, 0) or one is two or one.about["seed"] != 0:
            continue
        for name in (name for name in two.sets if name in one.sets):
            tasks = two.sets[name]  # of held-in those of the smallest pool, which every pool has
            if one.about["kind"] == "bias":
                for entry in methods.gated[2:]:
                    yield from compared("bias", one, entry, two, entry, "gates with b 0", tasks, resamples, set=name)
            if one.about["kind"] == "pool":
                for entry in [*methods.fixed, *map(methods.entry, [*methods.ROUTED, "random"])]:
                    yield from compared("size", one, entry, two, entry, f"pool of {first}", tasks, resamples, set=name)
                yield from compared("size", one, f"shared:shared-{one.about['pool']}", two, f"shared:shared-{first}", f"pool of {first}",
                                    tasks, resamples, set=name)
