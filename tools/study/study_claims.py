"""What the papers and this project say, and whether the study found it."""

FOUND = {"better": "yes", "better here": "yes, on these tasks", "open": "not shown", "worse here": "no; on these tasks the other way round",
         "worse": "no, the other way round", "more": "yes", "less": "no, the other way round"}

# Who says it, what, which comparison it is about; of each the largest pool with seed 0 counts.
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
FEW_SHOT = [("MHR", "a routing row alone beats a LoRA from scratch", "z", "lora"), ("MHR", "… the mean of the skills", "mu", "lora"),
            ("MHR", "… all skills and a routing row", "full", "lora")]
ALIGNMENT = [("MHR", "gradients agree more under MHR than under one LoRA", ("mhr", "sum", "shared", "sum")),
             ("MHR", "… than under Poly", ("mhr", "sum", "poly", "sum")),
             *(("UPGrad", f"gradients agree more where they are joined by it: {method}", (method, "upgrad", method, "sum"))
               for method in ("shared", "poly", "mhr"))]


def both(records):
    """The verdicts on the two measures, in words."""
    by_measure = {record["measure"]: FOUND[record["verdict"]] for record in records}
    return [by_measure.get("nll", "-"), by_measure.get("right", "-")]


def routing_lines(answers):
    for who, what, question, other in ROUTING:
        records = [r for r in answers["comparisons"] if (r["question"], r["other"], r["seed"]) == (question, other, 0)]
        largest = max((r["pool"] for r in records), default=0)
        for name in dict.fromkeys(r["set"] for r in records):
            of = [r for r in records if r["set"] == name and r["pool"] == largest]
            if of:
                yield [who, what, f"{name}, pool of {largest}", *both(of)]


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
