"""Ten updates of our Adafactor against transformers'."""
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.optimization import Adafactor

SHAPES = {"bias": [7], "single": [1], "table": [5, 12], "column": [9, 1], "row": [1, 9],
          "poly_lora_A": [4, 3, 6, 1], "poly_lora_B": [4, 3, 2, 8], "three": [2, 5, 4]}
RATES = [0.0, 0.05, 0.1] + [0.1 * (1 - i / 7) for i in range(7)]


@pytest.mark.parametrize("scale_parameter", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_updates_equal_transformers(probe, tmp_path, scale_parameter, weight_decay):
    draw = torch.Generator().manual_seed(4)
    tensors = {name: torch.randn(shape, generator=draw) for name, shape in SHAPES.items()}
    tensors["poly_lora_B"].zero_()  # as a training starts: scale_parameter takes eps there
    gradients = {}
    for i in range(len(RATES)):
        for name, tensor in tensors.items():
            gradients[f"{name}.{i + 1}"] = torch.randn(tensor.shape, generator=draw) * 10.0 ** (i % 4 - 2)
    gradients["table.3"].zero_()
    gradients["row.4"][:, 2] = 0
    save_file({**tensors, **gradients}, tmp_path / "steps.safetensors")
    (tmp_path / "spec.json").write_text(json.dumps({
        "tensors": list(SHAPES), "lr": RATES, "weight_decay": weight_decay, "scale_parameter": scale_parameter}))
    probe.run("adafactor", tmp_path / "spec.json", tmp_path / "steps.safetensors", tmp_path / "out.safetensors")
    ours = load_file(tmp_path / "out.safetensors")

    theirs = {name: torch.nn.Parameter(tensor.clone()) for name, tensor in tensors.items()}
    optimizer = Adafactor(list(theirs.values()), lr=0.0, relative_step=False, warmup_init=False,
                          scale_parameter=scale_parameter, weight_decay=weight_decay)
    for i, lr in enumerate(RATES):
        optimizer.param_groups[0]["lr"] = lr
        for name, parameter in theirs.items():
            parameter.grad = gradients[f"{name}.{i + 1}"]
        optimizer.step()
        for name, parameter in theirs.items():
            expected = parameter.detach()
            apart = (ours[f"{name}.{i + 1}"] - expected).norm()
            assert apart <= 1e-6 * expected.norm(), (name, i + 1, float(apart / expected.norm()))
    assert all((theirs[name] - tensors[name]).norm() > 1e-3 for name in SHAPES)
