"""T5 against transformers: logits, NLL, every gradient; rows without padding against their padded batch."""
import pytest
import torch
from make_models import T5_KINDS, make_t5
from safetensors.torch import save_file
from test_parity import apart, model_pass, sequences, with_matrices
from transformers import T5ForConditionalGeneration


# Every version in one of the ways it may be stored, and one of them in all four.
STORED = {"t5-v1.0": dict(), "t5-v1.1": dict(shards=3), "t5-flan": dict(safetensors=False)}
ALL_FORMS = [dict(shards=shards, safetensors=safetensors) for shards in (1, 3) for safetensors in (True, False)]


@pytest.fixture(scope="module", params=T5_KINDS)
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    make_t5(folder, request.param, seed=7, **STORED[request.param])
    return folder


def test_every_form_of_storage_is_the_same_base(probe, tmp_path):
    infos = []
    for i, form in enumerate(ALL_FORMS):
        make_t5(tmp_path / str(i), "t5-v1.0", seed=2, **form)
        infos.append(probe.json("model-info", tmp_path / str(i), "fp32"))
    assert all(info == infos[0] for info in infos)


def load(folder, dtype):
    return T5ForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval().requires_grad_(False)


def padded(rows, value):
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def padded_logits(model, inputs, decoder_inputs):
    """Of the real rows of a padded batch with attention masks: [T, vocab]."""
    logits = model(input_ids=padded(inputs, 0), attention_mask=padded([[1] * len(row) for row in inputs], 0),
                   decoder_input_ids=padded(decoder_inputs, 0)).logits
    return torch.cat([logits[i, :len(row)] for i, row in enumerate(decoder_inputs)])


def batch(vocab, seed=0):
    """Inputs longer than the buckets of T5's position bias are fine; targets of 1 to 150 tokens."""
    inputs = sequences(vocab, [40, 3, 170, 1, 300], seed)
    targets = sequences(vocab, [5, 150, 1, 12, 30], seed + 1)
    return inputs, [[0] + target[:-1] for target in targets], sum(targets, [])


def test_logits_and_nll_equal_a_padded_batch(probe, folder):
    model = load(folder, torch.float32)
    inputs, decoder_inputs, target_ids = batch(model.config.vocab_size)
    rows = list(range(len(target_ids)))
    ours = model_pass(probe, folder, "fp32", sequences=decoder_inputs, encoder=inputs, sources=[0, 1, 2, 3, 4],
                      target_rows=rows, target_ids=target_ids)
    logits = padded_logits(model, inputs, decoder_inputs)
    assert apart(ours["logits"], logits) < 1e-5
    assert (ours["logits"] - logits).abs().max() < 1e-4 * logits.abs().max()
    nll = torch.nn.functional.cross_entropy(logits, torch.tensor(target_ids), reduction="none")
    assert apart(ours["nll"], nll) < 1e-5


def test_several_outputs_may_read_one_input(probe, folder):
    model = load(folder, torch.float32)
    inputs, decoder_inputs, _ = batch(model.config.vocab_size, seed=3)
    sources = [1, 0, 0, 0, 1]
    ours = model_pass(probe, folder, "fp32", sequences=decoder_inputs, encoder=inputs[:2], sources=sources)
    assert apart(ours["logits"], padded_logits(model, [inputs[s] for s in sources], decoder_inputs)) < 1e-5


def test_every_gradient_equals_autograd(probe, folder, tmp_path):
    model = load(folder, torch.float64)
    placed = with_matrices(model, 0.02)
    inputs, decoder_inputs, target_ids = batch(model.config.vocab_size, seed=5)
    rows = list(range(2, len(target_ids)))
    weights = torch.rand(len(rows), generator=torch.Generator().manual_seed(2)).tolist()
    nll = torch.nn.functional.cross_entropy(padded_logits(model, inputs, decoder_inputs)[rows],
                                            torch.tensor(target_ids)[rows], reduction="none")
    (nll * torch.tensor(weights)).sum().backward()
    request = dict(sequences=decoder_inputs, encoder=inputs, sources=[0, 1, 2, 3, 4], target_rows=rows,
                   target_ids=target_ids[2:], target_weights=weights, matrices=str(tmp_path / "m.safetensors"))
    layers = model.config.num_layers, model.config.num_decoder_layers
    per_layer = 6 + model.config.is_gated_act
    assert len(placed) == layers[0] * per_layer + layers[1] * (per_layer + 4)
    for dtype, limit in {"fp64": 1e-6, "fp32": 1e-4, "bf16": 0.1}.items():
        stored = torch.float64 if dtype == "fp64" else torch.float32
        save_file({name: m.matrix.detach().to(stored).contiguous() for name, m in placed.items()},
                  tmp_path / "m.safetensors")
        ours = model_pass(probe, folder, dtype, **request)
        assert apart(ours["training_nll"], nll.detach()) < limit
        if dtype == "fp64":
            for name, module in placed.items():
                assert apart(ours[name], module.matrix.grad) < limit, name
        whole = torch.cat([ours[name].flatten() for name in placed])
        assert apart(whole, torch.cat([m.matrix.grad.flatten() for m in placed.values()])) < limit, dtype
