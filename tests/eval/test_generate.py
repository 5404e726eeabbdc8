"""Greedy generation and beam search against transformers' generate, prompts of unlike lengths in one batch; and drawn tokens
against NumPy."""
import json
from itertools import product

import numpy as np
import pytest
import torch
from make_models import T5_KINDS, forget_lengths, make_model, make_t5
from transformers import AutoModelForCausalLM, GenerationConfig, T5ForConditionalGeneration

BEAMS, PENALTIES, NEW = (1, 2, 4), (0.5, 1.0, 2.0), 16


@pytest.fixture(scope="module", params=["tiny", "stories260K", *T5_KINDS])
def world(request, tmp_path_factory):
    """(folder, model, prompts, a token that they often write and that may stand for the end)."""
    folder = tmp_path_factory.mktemp("generate")
    if request.param == "tiny":
        make_model(folder, "llama", seed=1, vocab_size=60)
    elif request.param in T5_KINDS:
        make_t5(folder, request.param, seed=1, vocab_size=60)
    else:
        folder = request.getfixturevalue("shared") / "models/stories260K"
        if not folder.is_dir():
            pytest.skip("no stories260K in ../shared/models")
    kind = T5ForConditionalGeneration if request.param in T5_KINDS else AutoModelForCausalLM
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(1)
    prompts = [torch.randint(3, model.config.vocab_size, (n,), generator=generator).tolist() for n in (9, 1, 21, 9, 4)]
    written = sum((theirs(model, prompt, 4, 1.0, -1) for prompt in prompts), [])
    return folder, model, prompts, max(sorted(set(written)), key=written.count)


@torch.no_grad()
def theirs(model, prompt, beams, penalty, end):
    """One prompt at a time: no padding on their side. The end token itself is left out."""
    encoder = model.config.is_encoder_decoder
    model.generation_config = GenerationConfig(decoder_start_token_id=0 if encoder else None)
    settings = GenerationConfig(do_sample=False, num_beams=beams, length_penalty=penalty, early_stopping=False,
                                max_new_tokens=NEW, eos_token_id=None if end < 0 else end, pad_token_id=end,
                                decoder_start_token_id=0 if encoder else None)
    ids = torch.tensor([prompt])
    forget_lengths(model)
    tokens = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    tokens = tokens[0, 1 if encoder else len(prompt):].tolist()
    return tokens[:tokens.index(end)] if end in tokens else tokens


def ours(probe, folder, prompts, beams, penalty, end):
    encoder = "t5" in (folder / "config.json").read_text()
    given = {"sources": prompts, "prompts": [[0]] * len(prompts)} if encoder else {"prompts": prompts}
    request = {**given, "beams": beams, "length_penalty": penalty, "end": end, "max_new_tokens": NEW}
    return probe.json("generate", folder, stdin=json.dumps(request).encode())


@pytest.mark.parametrize("beams,penalty", [(1, 1.0), *product(BEAMS[1:], PENALTIES)])
def test_outputs_are_those_of_transformers(probe, world, beams, penalty):
    folder, model, prompts, end = world
    for stop in (-1, end):
        expected = [theirs(model, prompt, beams, penalty, stop) for prompt in prompts]
        assert ours(probe, folder, prompts, beams, penalty, stop) == expected


@pytest.mark.parametrize("rope", ["dynamic", "longrope"])
def test_where_positions_go_by_length_the_text_so_far_decides(probe, tmp_path, rope):
    """As in transformers: what is cached stays as it was turned. Of the prompts one is beyond the original 16 tokens,
    one grows beyond them, and one ends with them."""
    model = make_model(tmp_path, "llama", seed=1, vocab_size=60, rope=rope)
    generator = torch.Generator().manual_seed(3)
    prompts = [torch.randint(3, 60, (n,), generator=generator).tolist() for n in (21, 9, 1)]
    for beams in (1, 4):
        expected = [theirs(model, prompt, beams, 1.0, -1) for prompt in prompts]
        assert ours(probe, tmp_path, prompts, beams, 1.0, -1) == expected


def test_the_cases_differ(world):
    """Else the comparison above would hold for a search without beams, ends or penalty."""
    _, model, prompts, end = world
    found = {(beams, penalty, stop): [theirs(model, prompt, beams, penalty, stop) for prompt in prompts]
             for beams, penalty, stop in product((1, 4), (0.5, 2.0), (-1, end))}
    assert found[4, 0.5, end] != found[4, 2.0, end]
    assert found[4, 0.5, -1] == found[4, 2.0, -1] != found[1, 0.5, -1]
    lengths = [len(tokens) for tokens in found[4, 0.5, end]]
    assert min(lengths) < NEW and max(map(len, found[4, 2.0, end])) > min(lengths)


def drawn(logits, u, temperature, top_k=0, top_p=1.0):
    """The token that u falls on: as transformers' warpers filter, temperature, top_k, then top_p."""
    order = np.argsort(-logits, kind="stable")
    order = order[: top_k or len(order)]
    weights = np.exp((logits[order].astype(np.float64) - logits[order[0]].astype(np.float64)) / temperature)
    shares = np.cumsum(weights) / weights.sum()
    kept = int(np.argmax(shares >= top_p)) + 1 if top_p < 1 else len(order)
    return int(order[np.argmax(np.cumsum(weights[:kept]) >= u * weights[:kept].sum())])


SETTINGS = [dict(temperature=1.0), dict(temperature=0.7, top_k=5), dict(temperature=1.5, top_p=0.6),
            dict(temperature=0.9, top_k=8, top_p=0.8), dict(temperature=1.0, top_k=1), dict(temperature=1e-4)]


@pytest.mark.parametrize("settings", SETTINGS)
def test_drawn_tokens_are_those_of_numpy(probe, settings):
    logits = np.random.default_rng(0).normal(0, 2, 40).astype(np.float32)
    logits[7] = logits[3]  # of equals the lower id comes first
    said = probe.json("sample", stdin=json.dumps({"logits": logits.tolist(), "seed": 5, "draws": 4000, **settings}).encode())
    assert said["tokens"] == [drawn(logits, u, **settings) for u in said["u"]]
    probabilities = torch.softmax(torch.tensor(logits / settings["temperature"]).double(), 0).numpy()
    if settings == dict(temperature=1.0):  # the shares are the model's own: chi squared of 39 degrees, 1 in 10,000
        counts = np.bincount(said["tokens"], minlength=40)
        assert (((counts - 4000 * probabilities) ** 2) / (4000 * probabilities)).sum() < 80
        assert max(said["u"]) < 1 and min(said["u"]) > 0


@torch.no_grad()
def test_answers_are_drawn_by_their_seed_alone(probe, world):
    folder, model, prompts, end = world
    if model.config.is_encoder_decoder:
        pytest.skip("one architecture will do")
    settings = dict(temperature=0.8, top_k=12, top_p=0.9)
    ask = lambda seed, some=prompts: probe.json("generate", folder, stdin=json.dumps(
        {"prompts": some, "beams": 1, "length_penalty": 1.0, "end": -1, "max_new_tokens": NEW, "seed": seed, **settings}).encode())
    first = ask(1)
    assert ask(1) == first and ask(2) != first and len(set(map(tuple, first))) == len(prompts)
    draws = probe.json("sample", stdin=json.dumps({"logits": [0.0], "seed": 1, "draws": NEW, **settings}).encode())["u"]
    ids, expected = list(prompts[0]), []
    for u in draws:
        forget_lengths(model)
        expected.append(drawn(model(torch.tensor([ids])).logits[0, -1].float().numpy(), u, **settings))
        ids.append(expected[-1])
    assert first[0] == expected == ask(1, prompts[:1])[0]
