"""Paired bootstrap (Efron, 1979; percentile intervals) of the difference of two ways on the same rows of the same tasks."""
import dataclasses

import numpy as np

LEVEL = 0.95
FEW_TASKS = 5  # fewer, drawn anew, say nothing of others: with two of one sign every draw has that sign


@dataclasses.dataclass
class Pair:
    """One task: a and b [rows] are summed and divided by the sum of `weights` [rows] (nll by target tokens, right ones by rows)."""
    a: np.ndarray
    b: np.ndarray
    weights: np.ndarray


def difference(pair):
    return (pair.a.sum() - pair.b.sum()) / pair.weights.sum()


def over_rows(pairs, resamples, draw):
    """Each task's rows are drawn anew, the tasks are as they are: [resamples] means over tasks."""
    sums = np.zeros(resamples)
    for pair in pairs:
        rows = draw.integers(len(pair.a), size=(resamples, len(pair.a)))
        sums += (pair.a - pair.b)[rows].sum(axis=1) / pair.weights[rows].sum(axis=1)
    return sums / len(pairs)


def over_tasks(pairs, resamples, draw):
    """The tasks are drawn anew, each with the rows that it has."""
    by_task = np.array([difference(pair) for pair in pairs])
    return by_task[draw.integers(len(pairs), size=(resamples, len(pairs)))].mean(axis=1)


def interval(means):
    tail = (1 - LEVEL) / 2
    return [float(value) for value in np.quantile(means, [tail, 1 - tail])]


def paired(pairs, resamples, seed=0):
    """Mean over tasks of a less b, with its two intervals; None where a single row of each task, or a single task, gives none."""
    rows, tasks = (np.random.default_rng([seed, which]) for which in range(2))
    return {"estimate": float(np.mean([difference(pair) for pair in pairs])),
            "rows": interval(over_rows(pairs, resamples, rows)) if any(len(pair.a) > 1 for pair in pairs) else None,
            "tasks": interval(over_tasks(pairs, resamples, tasks)) if len(pairs) > 1 else None,
            "n_tasks": len(pairs), "n_rows": int(sum(len(pair.a) for pair in pairs))}


def of_mean(values, resamples, seed=0):
    """A mean and its interval, the values drawn anew."""
    values = np.asarray(values, dtype=float)
    drawn = np.random.default_rng([seed, 2]).integers(len(values), size=(resamples, len(values)))
    return {"estimate": float(values.mean()), "interval": interval(values[drawn].mean(axis=1)), "n": len(values)}


def verdict(result, lower_is_better):
    """better, worse: both intervals say so. … here: only that over rows, so of these tasks and perhaps of no others. Else open."""
    def side(low_high):
        low, high = low_high if lower_is_better else (-low_high[1], -low_high[0])
        return "better" if high < 0 else "worse" if low > 0 else "open"
    rows = side(result["rows"]) if result["rows"] else "open"
    tasks = side(result["tasks"]) if result["n_tasks"] >= FEW_TASKS else "open"
    return "open" if rows == "open" else rows if rows == tasks else f"{rows} here"
