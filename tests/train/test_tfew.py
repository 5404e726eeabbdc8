"""The T-Few losses and their gradient on logits against autograd over the paper's equations."""
import json

import pytest
import torch
import torch.nn.functional as F

# Per sample the lengths of its output and of its wrong choices.
SAMPLES = [[3, 1, 2], [2], [1, 4], [5, 2, 3, 1]]
VOCABULARY = 13


def made(samples, seed):
    draw = torch.Generator().manual_seed(seed)
    tokens = [n for lengths in samples for n in lengths]
    logits = 2 * torch.randn(sum(tokens), VOCABULARY, generator=draw)
    ids = torch.randint(0, VOCABULARY, (sum(tokens),), generator=draw)
    return tokens, logits, ids


def paper_loss(logits, ids, samples):
    """Equations of section 3.2, with the constant that the published code adds inside the logarithm."""
    nll = F.cross_entropy(logits, ids, reduction="none")
    losses, begin = [], 0
    for lengths in samples:
        parts = nll[begin:begin + sum(lengths)].split(lengths)
        begin += sum(lengths)
        loss = parts[0].mean()
        if len(parts) > 1:
            wrong = torch.cat(parts[1:])
            loss = loss - torch.log(1 - torch.exp(-wrong) + 1e-2).sum() / len(wrong)
            scores = torch.stack([part.mean() for part in parts])
            loss = loss + F.cross_entropy(-scores.unsqueeze(0), torch.tensor([0]))
        losses.append(loss)
    return torch.stack(losses)


def shares(samples, loss_average):
    if loss_average == "example":
        return torch.full((len(samples),), 1 / len(samples), dtype=torch.double)
    outputs = torch.tensor([lengths[0] for lengths in samples], dtype=torch.double)
    return outputs / outputs.sum()


def ours(probe, tokens, logits, ids, samples, share):
    spec = {"logits": logits.tolist(), "target_ids": ids.tolist(), "tokens": tokens,
            "choices": [i for lengths in samples for i in range(len(lengths))],
            "samples": [40 + 3 * s for s, lengths in enumerate(samples) for _ in lengths],
            "weights": [float(share[s]) / lengths[0] if c == 0 else 1e9  # of wrong choices: not read
                        for s, lengths in enumerate(samples) for c, n in enumerate(lengths) for _ in range(n)]}
    return probe.json("tfew", stdin=json.dumps(spec).encode())


@pytest.mark.parametrize("loss_average", ["example", "token"])
def test_loss_and_gradient_equal_autograd(probe, loss_average):
    tokens, logits, ids = made(SAMPLES, 1)
    share = shares(SAMPLES, loss_average)
    got = ours(probe, tokens, logits, ids, SAMPLES, share)
    exact = logits.double().requires_grad_(True)
    loss = (paper_loss(exact, ids, SAMPLES) * share).sum()
    loss.backward()
    assert abs(got["loss"] - loss.item()) < 1e-6 * loss.item()
    gradient = torch.tensor(got["gradient"]).view_as(exact).double()
    assert (gradient - exact.grad).norm() < 1e-6 * exact.grad.norm()


def test_a_certain_wrong_choice_has_a_finite_loss(probe):
    tokens, logits, ids = made([[1, 2]], 2)
    logits[1, ids[1]] = 90  # p = 1 to the last bit
    got = ours(probe, tokens, logits, ids, [[1, 2]], torch.ones(1))
    exact = logits.double().requires_grad_(True)
    loss = paper_loss(exact, ids, [[1, 2]]).sum()
    loss.backward()
    assert abs(got["loss"] - loss.item()) < 1e-5 * loss.item()
    assert (torch.tensor(got["gradient"]).view_as(exact) - exact.grad).abs().max() < 1e-5
