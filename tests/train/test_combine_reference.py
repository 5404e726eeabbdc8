"""Weights of train.combine against TorchJD's UPGrad (quadprog) and PCGrad on the Grams of the same gradients."""
import json

import pytest
import torch
from torchjd.aggregation import PCGradWeighting, UPGradWeighting
from torchjd.linalg import QuadprogProjector

DRAW = torch.Generator().manual_seed(11)


def random(tasks, width, scale=1.0):
    return scale * torch.randn(tasks, width, generator=DRAW, dtype=torch.float64)


def conflicting(tasks, width):
    """Every two of them work against each other, as far as so many can."""
    return torch.eye(tasks, width, dtype=torch.float64) - 1 / (tasks - 1) + 0.05 * random(tasks, width)


def rows(*list_of_rows):
    return torch.tensor(list_of_rows, dtype=torch.float64)


GRADIENTS = {
    "random": [random(tasks, width) for tasks, width in [(2, 5), (3, 2), (5, 40), (12, 6), (32, 300), (32, 9)]],
    "of unlike lengths": [random(8, 6) * 10.0 ** torch.arange(-4, 4, dtype=torch.float64).unsqueeze(1) for _ in range(3)],
    "conflicting": [conflicting(tasks, 30) for tasks in (2, 3, 8, 20)],
    "none": [torch.zeros(3, 4, dtype=torch.float64)],
    "one of zero": [torch.cat([random(3, 4), torch.zeros(1, 4)]), rows([0, 0], [1, -1], [-1, 0.5])],
    "equal": [rows([1, 2], [1, 2]), rows([1, 2], [1, 2], [-1, 0]), random(1, 7).repeat(5, 1)],
    "opposite": [rows([1, 2], [-1, -2]), rows([1, 0], [-2, 0], [0, 1]), torch.cat([g := random(4, 9), -g])],
    "small": [random(6, 4, 1e-7)],
    "large": [random(6, 4, 1e7)],
}


def weights(probe, how, gradients):
    """Ours, and the orders that pcgrad goes in."""
    grams = [(g @ g.T).tolist() for g in gradients]
    out = json.loads(probe.run("combine", stdin=json.dumps({"how": how, "grams": grams}).encode()).stdout)
    return [torch.tensor(w, dtype=torch.float64) for w in out["weights"]], out["orders"]


@pytest.mark.parametrize("name", GRADIENTS)
def test_upgrad_has_the_weights_of_torchjd(probe, name):
    theirs = UPGradWeighting(projector=QuadprogProjector(norm_eps=1e-300))
    for gradients, ours in zip(GRADIENTS[name], weights(probe, "upgrad", GRADIENTS[name])[0]):
        expected = theirs(gradients @ gradients.T)
        assert torch.allclose(ours, expected, rtol=1e-9, atol=1e-9), (ours, expected)
        default = UPGradWeighting()(gradients @ gradients.T)  # its norm_eps takes gradients below 0.01 for none
        assert name == "small" or torch.allclose(ours, default, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", GRADIENTS)
def test_pcgrad_has_the_weights_of_torchjd_in_the_same_order(probe, name, monkeypatch):
    all_ours, all_orders = weights(probe, "pcgrad", GRADIENTS[name])
    for gradients, ours, orders in zip(GRADIENTS[name], all_ours, all_orders):
        ask = iter(orders)
        monkeypatch.setattr(torch, "randperm", lambda n: torch.tensor(next(ask)))
        expected = PCGradWeighting()(gradients @ gradients.T)
        assert torch.allclose(ours, expected, rtol=1e-10, atol=1e-12), (ours, expected)
