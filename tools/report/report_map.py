"""The map of experts: two dimensions from how alike they are by gradients, by weights or by gates."""
import json

import numpy as np

from report_files import Tensors, read_json, rounded
from report_order import two_dimensions

MOST_RANKS = 1200     # of all experts together, whose products are made here; more are left to gaggle analyse
MOST_BYTES = 1 << 30  # of files that are read for it


def cosines(rows):
    rows = np.asarray(rows, dtype=np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = rows / norms
    return (unit @ unit.T).astype(float)


def by_gates(gates):
    """Mean cosine of standardised gates over the sites that two experts share. [N, N]; NaN: none."""
    sites = sorted({site for of in gates for site in of})
    sums, counts = np.zeros((len(gates),) * 2), np.zeros((len(gates),) * 2)
    for site in sites:
        have = [i for i, of in enumerate(gates) if site in of and of[site].std() > 0]
        if len(have) > 1 and len({gates[i][site].size for i in have}) == 1:
            rows = np.stack([gates[i][site] - gates[i][site].mean() for i in have])
            block = np.ix_(have, have)
            sums[block] += cosines(rows)
            counts[block] += 1
    with np.errstate(invalid="ignore"):
        return sums / counts


def by_weights(experts):
    """Cosine of B A over all sites, from r × r products; None where that is too much here."""
    files = [Tensors(expert.folder / "adapter_model.safetensors") for expert in experts]
    rank = max(((expert.about.get("lora") or {}).get("rank") or 0 for expert in experts), default=0)
    if len(files) * max(rank, 1) > MOST_RANKS or sum(file.bytes() for file in files) > MOST_BYTES:
        return None
    ending = ".lora_A.weight"
    sites = sorted({name.removesuffix(ending) for file in files for name in file.names() if name.endswith(ending)})
    products = np.zeros((len(files),) * 2)
    for site in sites:
        pairs = [(file.get(f"{site}.lora_A.weight"), file.get(f"{site}.lora_B.weight")) for file in files]
        have = [i for i, (a, b) in enumerate(pairs) if a is not None and b is not None and a.ndim == 2]
        if len({pairs[i][0].shape[1] for i in have}) != 1:
            continue
        a, b = (np.concatenate(rows).astype("f4") for rows in ([pairs[i][0] for i in have], [pairs[i][1].T for i in have]))
        starts = np.cumsum([0] + [len(pairs[i][0]) for i in have])[:-1]
        both = (a @ a.T) * (b @ b.T)
        products[np.ix_(have, have)] += np.add.reduceat(np.add.reduceat(both, starts, 0), starts, 1)
    norm = np.sqrt(np.diag(products))
    with np.errstate(invalid="ignore", divide="ignore"):
        return products / np.outer(norm, norm)


def analysed(run, names):
    """The same of gaggle analyse, where it is of all these experts; else None."""
    for path in sorted((run / "eval").glob("analysis*.json")) if run else []:
        about = read_json(path, {})
        if about.get("lora_similarity") and set(names) <= set(about.get("experts") or []):
            order = [about["experts"].index(name) for name in names]
            return np.array(about["lora_similarity"], dtype=float)[np.ix_(order, order)]
    return None


def by_gradients(run, names):
    """Of the tasks' gradients at the experts' common start, in the experts' order; None: not of them all."""
    file = Tensors(run / "alignment" / "experts.safetensors") if run else None
    if not file or not file.header:
        return None
    tasks, cosine = json.loads(file.metadata.get("tasks", "[]")), file.get("cosine")
    if cosine is None or not set(names) <= set(tasks):
        return None
    order = [tasks.index(name) for name in names]
    return cosine[np.ix_(order, order)]


def placed(similarity):
    if similarity is None or np.isnan(similarity[~np.eye(len(similarity), dtype=bool)]).all():
        return None
    places, kept = two_dimensions(similarity)
    return {"x": rounded(places[:, 0]), "y": rounded(places[:, 1]), "kept": kept}


def map_section(experts, gates, run):
    if len(experts) < 3:
        return None
    names, weights = [expert.name for expert in experts], by_weights(experts)
    found = {"gradients at the common start": by_gradients(run, [expert.task for expert in experts]),
             **({"weights (B A)": weights} if weights is not None else {"weights, by gaggle analyse": analysed(run, names)}),
             "gates": by_gates(gates)}
    maps = {name: made for name, similarity in found.items() if (made := placed(similarity))}
    return {"draw": "map", "title": "Map of the experts", "names": names, "maps": maps,
            "no_weights": found.get("weights, by gaggle analyse", weights) is None,
            "categories": [expert.category for expert in experts]} if maps else None
