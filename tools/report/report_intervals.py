"""Intervals of 95 %, by the formulas of src/eval/intervals.h: how far a mean would move with other examples of the same tasks."""
import math

import numpy as np

Z = 1.959963984540054  # 97.5 % of a normal distribution lie below
NONE = [None, None]


def student(degrees):
    """97.5 % of Student's distribution lie below; from 3 degrees on by its expansion around the normal one."""
    if degrees < 3:
        return (12.706204736432095, 4.302652729696142)[degrees - 1]
    terms = [Z, Z * (Z**2 + 1) / 4, Z * ((5 * Z**2 + 16) * Z**2 + 3) / 96, Z * (((3 * Z**2 + 19) * Z**2 + 17) * Z**2 - 15) / 384,
             Z * ((((79 * Z**2 + 776) * Z**2 + 1482) * Z**2 - 1920) * Z**2 - 945) / 92160]
    return sum(term / degrees**power for power, term in enumerate(terms))


def of_mean(values, weights):
    """Of Σ values / Σ weights (Cochran, Sampling Techniques, 1977, section 6.4)."""
    rows, weight = len(values), np.sum(weights)
    if rows < 2 or not weight:
        return NONE
    mean = np.sum(values) / weight
    half = student(rows - 1) * math.sqrt(rows / (rows - 1) * np.sum((values - mean * weights) ** 2)) / weight
    return [mean - half, mean + half]


def of_share(right, rows):
    """Of the share that is right (Wilson, 1927): 0 of 24 has an interval, too."""
    if not rows:
        return NONE
    share, z2 = right / rows, Z**2
    middle, half = share + z2 / (2 * rows), Z * math.sqrt(share * (1 - share) / rows + z2 / (4 * rows**2))
    return [max(0.0, (middle - half) / (1 + z2 / rows)), min(1.0, (middle + half) / (1 + z2 / rows))]


def over_tasks(cells):
    """[mean, low, high] of [value, low, high] of each task: of independent ones the distances to their limits add up as squares
    (MOVER: Zou and Donner, 2008). All None where a task has no value."""
    if not cells or any(cell[0] is None for cell in cells):
        return [None, *NONE]
    mean = sum(cell[0] for cell in cells) / len(cells)
    if any(None in cell for cell in cells):
        return [mean, *NONE]
    distances = np.array([[value - low, high - value] for value, low, high in cells])
    below, above = np.linalg.norm(distances, axis=0) / len(cells)
    return [mean, mean - below, mean + above]
