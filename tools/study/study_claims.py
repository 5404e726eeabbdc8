"""What the papers and this project say, and whether the study found it."""

FOUND = {"better": "yes", "better here": "yes, on these tasks", "open": "not shown", "worse here": "no; on these tasks the other way round",
         "worse": "no, the other way round", "more": "yes", "less": "no, the other way round"}

# Who says it, what, which comparison it is about, against what; of each the largest pool with seed 0 counts.
ROUTING = [
    ("PHATGOOSE", "per-token routing by gates beats merging", "routing", "merging"),
    ("PHATGOOSE", "… average activations", "routing", "average activations"),
    ("PHATGOOSE", "… retrieval", "routing", "retrieval, the nearest example"),
    ("PHATGOOSE", "… the best single expert", "routing", "the best single expert"),
    ("PHATGOOSE", "… sometimes one LoRA of all tasks", "routing", "one LoRA of all tasks"),
    ("PHATGOOSE", "… one choice for the sequence", "routing", "a choice for the sequence"),
    ("against arXiv 2602.12323", "routing by content beats experts by lot", "routing", "experts by lot"),
    ("against arXiv 2602.12323", "… merging, where no task has its own expert", "own left out", "merging"),
    ("gaggle", "per-token routing beats arrow, which needs no gates", "routing", "arrow"),
]
# The same of a method held against itself: who says it, what, which comparison, the method.
ITSELF = [
    *(("gaggle", f"{method} gains from calibration by {how} where ranks and scales are mixed", "calibration", f"{method}, k 2, calibrate={how}")
      for method, how in (("phatgoose", "norm"), ("phatgoose", "stats"), ("arrow", "stats"), ("spectr", "stats"))),
    ("gaggle", "gates that start nearly closed route better", "bias", "phatgoose, k 2"),
]
FEW_SHOT = [("MHR", "a routing row alone beats a LoRA from scratch", "z", "lora"),
            ("MHR", "the mean of the skills, trained on, beats a LoRA from scratch", "mu", "lora"),
            ("MHR", "all skills and a routing row beat a LoRA from scratch", "full", "lora")]
ALIGNMENT = [("MHR", "gradients agree more under MHR than under one LoRA", ("mhr", "sum", "shared", "sum")),
             ("MHR", "… than under Poly", ("mhr", "sum", "poly", "sum")),
             *(("UPGrad", f"gradients agree more where they are joined by it: {method}", (method, "upgrad", method, "sum"))
               for method in ("shared", "poly", "mhr"))]


def both(records):
    """The verdicts on the two measures, in words."""
    by_measure = {record["measure"]: FOUND[record["verdict"]] for record in records}
    return [by_measure.get("nll", "-"), by_measure.get("right", "-")]


def routing_lines(answers):
    asked = [*((*line, "other") for line in ROUTING), *((*line, "method") for line in ITSELF)]
    for who, what, question, name, side in asked:
        records = [r for r in answers["comparisons"] if (r["question"], r[side], r["seed"]) == (question, name, 0)]
        largest = max((r["pool"] for r in records), default=0)
        for tasks in dict.fromkeys(r["set"] for r in records):
            of = [r for r in records if r["set"] == tasks and r["pool"] == largest]
            if of:
                yield [who, what, f"{tasks}, pool of {largest}", *both(of)]


def few_shot_lines(answers):
    records = answers["few_shot"]["comparisons"]
    for who, what, method, other in FEW_SHOT:
        for shots in sorted({r["shots"] for r in records}):
            of = [r for r in records if (r["method"], r["other"], r["shots"]) == (method, other, shots)]
            if of:
                yield [who, what, f"{shots} shots", *both(of)]


def alignment_lines(answers):
    for who, what, key in ALIGNMENT:
        for d in answers["alignment"]["differences"]:
            if (d["method"], d["combine"], d["other"], d["other_combine"]) == key:
                yield [who, what, f"{d['n']} windows", FOUND[d["verdict"]], "-"]


def table(answers, markdown):
    lines = [*routing_lines(answers), *alignment_lines(answers), *few_shot_lines(answers)]
    return markdown(["who says", "what", "on", "found, by nll or cosine", "by right answers"], lines) if lines else ""
