"""The plots of STUDY.md, by matplotlib; of one answer the same bytes."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import study_methods as methods  # noqa: E402

matplotlib.rcParams.update({"svg.hashsalt": "study", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
                            "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3})
CURVES = ["none", "merged", "best", *map(methods.shown, map(methods.entry, ["random", "retrieval", "average", "arrow", "spectr", "phatgoose"])),
          "one LoRA of all tasks", "target"]


def save(figure, path):
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def panels(names, width=3.2, height=3.2):
    figure, axes = plt.subplots(1, len(names), figsize=(width * len(names) + 1.5, height), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], names):
        axis.set_title(name)
    return figure, axes[0]


def against(answers):
    """Differences of the largest pool: thick over rows, thin over tasks."""
    records = [r for r in answers["comparisons"] if r["question"] == "routing" and r["measure"] == "nll" and r["seed"] == 0]
    size = max((r["pool"] for r in records), default=0)
    records = [r for r in records if r["pool"] == size]
    if not records:
        return None
    sets, others = (list(dict.fromkeys(r[key] for r in records)) for key in ("set", "other"))
    figure, axes = panels(sets, height=0.28 * len(others) + 1.2)
    for axis, name in zip(axes, sets):
        for r in (r for r in records if r["set"] == name):
            y = -others.index(r["other"])
            for key, style in (("tasks", {"linewidth": 1}), ("rows", {"linewidth": 4, "alpha": 0.5})):
                if r[key]:
                    axis.plot(r[key], [y, y], color="C0", **style)
            axis.plot(r["estimate"], y, "o", color="C0", markersize=4)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_yticks([-y for y in range(len(others))], others if axis is axes[0] else [""] * len(others))
        axis.set_xlabel("nll, below 0: phatgoose is better")
    return figure


def sizes(answers):
    rows = [r for r in answers["scores"] if (r["kind"], r["seed"]) == ("pool", 0) and r["set"] != "held-in" and r["method"] in CURVES]
    sets = list(dict.fromkeys(r["set"] for r in rows))
    if len({r["pool"] for r in rows}) < 2:
        return None
    figure, axes = panels(sets)
    for axis, name in zip(axes, sets):
        for i, method in enumerate(CURVES):
            points = sorted((r["pool"], r["nll"]) for r in rows if (r["set"], r["method"]) == (name, method))
            if points:
                axis.plot(*zip(*points), marker="o", markersize=3, color=f"C{i % 10}", linestyle="--" if i > 9 else "-", label=method)
        axis.set_xlabel("experts")
    axes[0].set_ylabel("nll per target token")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def alignment(answers):
    found = answers["alignment"]["runs"]
    if not found:
        return None
    figure, axes = panels(["noise-free cosine of the tasks' gradients, by window"], width=6)
    for i, run in enumerate(found):
        steps = [window["last"] for window in run["windows"]]
        axes[0].plot(steps, [window["estimate"] for window in run["windows"]], color=f"C{i}", marker="o", markersize=3,
                     label=f"{run['method']}, {run['combine']}")
        axes[0].fill_between(steps, *zip(*(window["interval"] for window in run["windows"])), color=f"C{i}", alpha=0.12)
    axes[0].set_xlabel("step; the band is over the model's layers")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def few_shot(answers):
    rows = answers["few_shot"]["scores"]
    if not rows:
        return None
    figure, axes = panels(["nll per target token", "right, %"])
    for axis, measure in zip(axes, ("nll", "right")):
        for i, method in enumerate(dict.fromkeys(r["method"] for r in rows)):
            points = [(r["shots"], r[measure]) for r in rows if r["method"] == method and r[measure] is not None]
            if points and method == "base":
                axis.axhline(points[0][1], color="black", linestyle="--", label="base")
            elif points:
                axis.plot(*zip(*points), marker="o", markersize=3, color=f"C{i}", label=method)
        axis.set_xscale("log", base=2)
        axis.set_xlabel("shots")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def write_plots(answers, folder):
    """One SVG for each plot there is something to draw for; others are taken away."""
    for name, draw in {"against": against, "sizes": sizes, "alignment": alignment, "few_shot": few_shot}.items():
        path, figure = folder / f"{name}.svg", draw(answers)
        path.unlink(missing_ok=True)
        if figure:
            save(figure, path)
