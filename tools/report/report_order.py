"""Orders and maps of things whose likeness is known: neighbours are alike."""
import numpy as np


def linkage_order(similarity):
    """The leaves of average linkage, as gaggle cluster orders them; NaN counts as 0. [N, N] → [N]"""
    mean = np.nan_to_num(np.array(similarity, dtype=float))
    count = len(mean)
    leaves, sizes = [[i] for i in range(count)], np.ones(count)
    np.fill_diagonal(mean, -np.inf)
    for _ in range(count - 1):
        a, b = np.unravel_index(np.argmax(mean), mean.shape)
        a, b = min(a, b), max(a, b)
        joined = (mean[a] * sizes[a] + mean[b] * sizes[b]) / (sizes[a] + sizes[b])
        mean[a], mean[:, a] = joined, joined
        mean[a, a] = -np.inf
        mean[b], mean[:, b] = -np.inf, -np.inf
        leaves[a] += leaves[b]
        sizes[a] += sizes[b]
    return leaves[0] if count else []


def two_dimensions(similarity):
    """Classical scaling (Torgerson, 1952) of the distances sqrt(2 - 2 cos): [N, N] → [N, 2] and the share of the squared
    distances that two dimensions keep. Signs are fixed, so that one collection has one map."""
    cosine = np.clip(np.nan_to_num(np.array(similarity, dtype=float)), -1, 1)
    np.fill_diagonal(cosine, 1)
    squared = 2 - 2 * (cosine + cosine.T) / 2
    centre = np.eye(len(cosine)) - 1 / len(cosine)
    values, vectors = np.linalg.eigh(-centre @ squared @ centre / 2)
    values, vectors = values[::-1], vectors[:, ::-1]
    places = np.zeros((len(cosine), 2))
    for axis in range(min(2, len(cosine))):
        vector = vectors[:, axis] * np.sqrt(max(values[axis], 0))
        places[:, axis] = vector * (1 if vector[np.argmax(np.abs(vector))] >= 0 else -1)
    whole = values[values > 0].sum()
    return places, float(values[:2].clip(0).sum() / whole) if whole > 0 else None
