"""Gates: how long their vectors are by depth, and what they are worth: losses closed, half open, as learnt, open."""
import re

import numpy as np

from report_files import Tensors, number, rounded

LAYER = re.compile(r"\.(?:layers|block|h|blocks)\.(\d+)\.")
LOSSES = [["base_loss", "closed (the base alone)"], ["half_open_loss", "half open (as they start)"], ["gated_loss", "as learnt"],
          ["validation_loss", "open (the LoRA alone)"]]


def layer_of(site):
    """An encoder's layers come first; None: the site is in no layer."""
    found = LAYER.search(f".{site}.")
    return None if found is None else (1 if "decoder." in site else 0, int(found.group(1)))


def gates_of(expert):
    """site → vector."""
    file = Tensors(expert.folder / "gate.safetensors")
    read = {name.removesuffix(".gate"): file.get(name) for name in file.names() if name.endswith(".gate")}
    return {site: vector.ravel() for site, vector in read.items() if vector is not None}


def norms_by_layer(gates):
    """layer → mean |v| over its sites."""
    found = {}
    for site, vector in gates.items():
        found.setdefault(layer_of(site), []).append(float(np.linalg.norm(vector)))
    return {layer: float(np.mean(norms)) for layer, norms in found.items() if layer is not None}


def gate_section(experts, gates):
    """`gates`: of each expert, as gates_of gives them."""
    norms = [norms_by_layer(of) for of in gates]
    layers = sorted({layer for of in norms for layer in of})
    depth = [{"name": expert.name, "category": expert.category, "values": rounded([of.get(layer, np.nan) for layer in layers])}
             for expert, of in zip(experts, norms) if of]
    losses = [[expert.name, *(number(expert.metrics.get(key)) for key, _ in LOSSES)] for expert in experts
              if number(expert.metrics.get("gated_loss")) is not None]
    if not depth and not losses:
        return None
    sided = len({side for side, _ in layers}) > 1
    names = [f"{'decoder' if side else 'encoder'} {n}" if sided else n for side, n in layers]
    kinds = [words for _, words in LOSSES]
    return {"draw": "gates", "title": "Gates", "layers": names, "depth": depth, "losses": losses, "kinds": kinds}
