"""T5 folders as gaggle reads them, against transformers."""
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

from make_models import T5_KINDS, make_t5

DTYPES = ["float32", "float16", "bfloat16"]
CASES = [(kind, DTYPES[(i + shards + safetensors) % 3], shards, safetensors)
         for i, kind in enumerate(T5_KINDS) for shards in [1, 3] for safetensors in [True, False]]


def weights(probe, model, tmp_path):
    done = probe.run("weights", model, tmp_path / "out.safetensors")
    return load_file(tmp_path / "out.safetensors"), done.stderr.decode()


def parameters(model):
    """Without the second names of shared ones."""
    return dict(model.named_parameters())


def assert_same(found, expected):
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value.float()), name


def write_config(folder, **keys):
    folder.mkdir(exist_ok=True)
    file = folder / "config.json"
    file.write_text(json.dumps({**(json.loads(file.read_text()) if file.exists() else {}), **keys}))


def assert_spec(spec, config):
    assert (spec["hidden"], spec["head_dim"], spec["intermediate"]) == (config.d_model, config.d_kv, config.d_ff)
    assert (spec["encoder_layers"], spec["layers"]) == (config.num_layers, config.num_decoder_layers)
    assert (spec["heads"], spec["kv_heads"], spec["vocab"]) == (config.num_heads, config.num_heads, config.vocab_size)
    assert (spec["position_buckets"], spec["position_max_distance"]) == (
        config.relative_attention_num_buckets, config.relative_attention_max_distance)
    assert (spec["norm_eps"], spec["max_positions"]) == (config.layer_norm_epsilon, 0)
    assert spec["activation"] == {"relu": "relu", "gelu_new": "gelu_tanh", "silu": "silu"}[config.dense_act_fn]
    assert (spec["gated"], spec["tied_head"]) == (config.is_gated_act, config.tie_word_embeddings)
    assert spec["head_scale"] == pytest.approx(config.d_model ** -0.5 if config.tie_word_embeddings else 1, rel=1e-15)
    start = config.decoder_start_token_id
    assert spec["decoder_start"] == (config.pad_token_id if start is None else start)


@pytest.mark.parametrize("kind,dtype,shards,safetensors", CASES)
def test_folder(probe, tmp_path, kind, dtype, shards, safetensors):
    model = make_t5(tmp_path / "m", kind, dtype=dtype, shards=shards, safetensors=safetensors)
    name = "model.safetensors" if safetensors else "pytorch_model.bin"
    assert (tmp_path / "m" / (name if shards == 1 else f"{name}.index.json")).is_file()
    found, said = weights(probe, tmp_path / "m", tmp_path)
    assert_same(found, parameters(model))
    assert said == ""
    spec = probe.json("spec", tmp_path / "m")
    assert (spec["model_type"], spec["has_weights"]) == ("t5", True)
    assert_spec(spec, model.config)


@pytest.mark.parametrize("keys", [
    {}, {"feed_forward_proj": "gated-silu", "is_gated_act": True}, {"num_layers": 5, "decoder_start_token_id": None},
    {"pad_token_id": 7}, {"pad_token_id": 7, "decoder_start_token_id": 9}, {"tie_word_embeddings": False},
])
def test_defaults_are_those_of_transformers(probe, tmp_path, keys):
    write_config(tmp_path / "m", model_type="t5", **keys)
    assert_spec(probe.json("spec", tmp_path / "m"), T5Config(**keys))


def test_config_that_transformers_5_writes(probe, tmp_path):
    write_config(tmp_path / "m", model_type="t5", tie_word_embeddings=True, scale_decoder_outputs=False)
    spec = probe.json("spec", tmp_path / "m")
    assert (spec["tied_head"], spec["head_scale"]) == (False, 1)


def test_config_alone_is_enough_to_plan_with(probe, tmp_path):
    """google/t5-xl-lm-adapt: every name and shape, without a byte of its 11 GB."""
    config = {"model_type": "t5", "d_model": 2048, "d_ff": 5120, "num_layers": 24, "num_heads": 32,
              "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    write_config(tmp_path / "m", **config)
    with torch.device("meta"):
        model = T5ForConditionalGeneration(T5Config(**config))
    assert probe.json("shapes", tmp_path / "m") == {n: list(p.shape) for n, p in parameters(model).items()}
    assert probe.json("spec", tmp_path / "m")["has_weights"] is False
    done = probe.run("weights", tmp_path / "m", tmp_path / "out", "lm_head.weight", check=False)
    assert done.returncode == 2 and str(tmp_path / "m") in done.stderr.decode()
    for name in ["model.safetensors", "pytorch_model.bin"]:
        assert f" {name} " in done.stderr.decode() and f" {name}.index.json " in done.stderr.decode()


@pytest.mark.parametrize("kind,only", [("t5-v1.1", "encoder.embed_tokens.weight"), ("t5-v1.0", "lm_head.weight"),
                                       ("t5-v1.1", "decoder.embed_tokens.weight")])
def test_embedding_under_another_name(probe, tmp_path, kind, only):
    model = make_t5(tmp_path / "m", kind)
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    tensors[only] = tensors.pop("shared.weight")
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    found, said = weights(probe, tmp_path / "m", tmp_path)
    assert_same(found, parameters(model))
    assert said == ""


def test_what_old_files_carry_besides(probe, tmp_path):
    """A bias of the cross-attention that was never used is passed over in silence; a tensor of nobody's is named."""
    old = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    model = make_t5(tmp_path / "m", safetensors=False)
    file = tmp_path / "m" / "pytorch_model.bin"
    tensors = torch.load(file)
    assert "encoder.embed_tokens.weight" in tensors
    torch.save({**tensors, old: torch.ones(8, 4)}, file)
    found, said = weights(probe, tmp_path / "m", tmp_path)
    assert_same(found, parameters(model))
    assert said == ""
    torch.save({**tensors, "encoder.block.0.extra": torch.ones(2)}, file)
    assert "encoder.block.0.extra" in weights(probe, tmp_path / "m", tmp_path)[1]


def test_safetensors_win(probe, tmp_path):
    model = make_t5(tmp_path / "m")
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"torn")
    assert_same(weights(probe, tmp_path / "m", tmp_path)[0], parameters(model))


def refusal(probe, folder):
    done = probe.run("spec", folder, check=False)
    assert done.returncode == 2 and str(folder) in done.stderr.decode()
    return done.stderr.decode()


@pytest.mark.parametrize("keys,words", [
    ({"model_type": "umt5"}, "position biases in every layer"),
    ({"model_type": "mt5"}, 'model_type "mt5" is not supported'),
    ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ({"feed_forward_proj": "gelu"}, "feed_forward_proj gelu is not supported"),
    ({"feed_forward_proj": "gated-relu"}, "feed_forward_proj gated-relu is not supported"),
    ({"dense_act_fn": "gelu"}, "feed_forward_proj is gated-gelu, but dense_act_fn"),
    ({"is_gated_act": False}, "feed_forward_proj is gated-gelu, but dense_act_fn"),
    ({"decoder_start_token_id": 300}, "decoder_start_token_id is 300; expected a token, 0 to 299"),
    ({"pad_token_id": -1}, "pad_token_id is -1"),
    ({"relative_attention_num_buckets": 3}, "relative_attention_num_buckets 3"),
    ({"relative_attention_max_distance": 4}, "relative_attention_max_distance 4"),
    ({"d_kv": 8}, "SelfAttention.k.weight has shape [64, 48]; config.json asks for [32, 48]"),
    ({"num_decoder_layers": 4}, "decoder.block.3."),
])
def test_refused(probe, tmp_path, keys, words):
    make_t5(tmp_path / "m")
    write_config(tmp_path / "m", **keys)
    assert words in refusal(probe, tmp_path / "m")


def test_missing_shard(probe, tmp_path):
    make_t5(tmp_path / "m", shards=3, safetensors=False)
    next((tmp_path / "m").glob("pytorch_model-00002*")).unlink()
    assert "pytorch_model.bin.index.json names it" in refusal(probe, tmp_path / "m")
