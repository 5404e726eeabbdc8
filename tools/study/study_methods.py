"""Which ways of routing the study sets side by side: entries of eval.methods, and what is held against what."""

K = 2  # of everything that is not about k
ROUTED = ["phatgoose", "average", "arrow", "spectr", "arrow+spectr", "retrieval"]
BY_TOKEN = ["phatgoose", "average", "arrow", "spectr"]


def entry(method, k=K, *rules):
    return " ".join([method, f"top_k={k}", *rules])


fixed = ["none", "best", "merged", "target"]
# Dense random is the mean of all, which merged is already.
every = [*fixed, *(entry(method, k) for method in ROUTED for k in (1, 2, 0)), entry("random", 1), entry("random", 2)]

SEQUENCE, MODEL = "granularity=sequence", "scope=model"
WHOLES = {"a choice for the sequence": (SEQUENCE,), "a choice for the whole model": (MODEL,),
          "one choice for sequence and model": (SEQUENCE, MODEL)}
wholes = [entry(method, K, *rules) for method in BY_TOKEN for rules in WHOLES.values()]

OWN = "leave_out=own"
own_left_out = [*(entry(method, K, OWN) for method in [*ROUTED, "random"]), entry("random", 0, OWN),
                *(entry("phatgoose", K, *rules, OWN) for rules in WHOLES.values())]

RULES = ["calibrate=norm", "calibrate=stats", "prior=1", "general=1", "abstain=true"]
rules = [entry(method, K, rule) for method in ("phatgoose", "arrow") for rule in RULES]

CALIBRATIONS = ["none", "norm", "stats"]
calibrated = ["none", "merged", "target", entry("random"),
              *(entry(method, K, f"calibrate={how}") for method in BY_TOKEN for how in CALIBRATIONS)]

gated = ["none", "target", *(entry("phatgoose", k) for k in (1, 2, 0)), entry("phatgoose", K, "abstain=true")]


def prepared(entries):
    """Those of the entries that gaggle prepare has something to do for."""
    return [text for text in entries if text.split()[0] in ("average", "retrieval", "best") or "stats" in text or "prior" in text]


def against(shared):
    """What per-token routing is held against, by the words of the tables; `shared`: the multitask LoRA's name."""
    return {"a choice for the sequence": entry("phatgoose", K, SEQUENCE), "a choice for the whole model": entry("phatgoose", K, MODEL),
            "one choice for sequence and model": entry("phatgoose", K, SEQUENCE, MODEL), "merging": "merged",
            "retrieval, the nearest example": entry("retrieval", 1), "experts by lot": entry("random"),
            "the best single expert": "best", "the base": "none", "one LoRA of all tasks": f"shared:{shared}",
            "average activations": entry("average"), "arrow": entry("arrow"), "spectr": entry("spectr"),
            "arrow, then spectr": entry("arrow+spectr")}


# The same where no expert may take its own task. The multitask LoRA has been trained on it, and best and merged know it.
AGAINST_WITHOUT_OWN = {
    **{words: entry("phatgoose", K, *rules, OWN) for words, rules in WHOLES.items()},
    "merging": entry("random", 0, OWN), "retrieval": entry("retrieval", K, OWN), "experts by lot": entry("random", K, OWN),
    "the base": "none", "average activations": entry("average", K, OWN), "arrow": entry("arrow", K, OWN),
    "spectr": entry("spectr", K, OWN), "arrow, then spectr": entry("arrow+spectr", K, OWN)}


def shown(text):
    """An entry for readers: "phatgoose, k 2, scope=model"."""
    name, *rules = text.split()
    name = "one LoRA of all tasks" if name.startswith("shared:") else name
    words = ["dense" if rule == "top_k=0" else rule.replace("top_k=", "k ") for rule in rules]
    return ", ".join([name, *words])
