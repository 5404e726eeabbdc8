"""Base models as gaggle reads them, against transformers and the gguf package."""
import json

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, RopeScalingType, quants
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from make_models import KINDS, ROPE, make_model

CASES = [(kind, rope, tied) for kind in KINDS for rope, tied in [(None, False), ("llama3", True), ("linear", False)]]


def weights(probe, model, tmp_path):
    probe.run("weights", model, tmp_path / "out.safetensors")
    return load_file(tmp_path / "out.safetensors")


def assert_same(found, model):
    expected = {name: value for name, value in model.state_dict().items()
                if not (name == "lm_head.weight" and model.config.tie_word_embeddings)}
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value.float()), name


@pytest.mark.parametrize("kind,rope,tied", CASES)
def test_hugging_face_folder(probe, tmp_path, kind, rope, tied):
    dtype = {None: "float32", "llama3": "bfloat16", "linear": "float16"}[rope]
    model = make_model(tmp_path / "m", kind, rope=rope, tied=tied, dtype=dtype, shards=3 if tied else 1)
    assert_same(weights(probe, tmp_path / "m", tmp_path), model)
    spec, config = probe.json("spec", tmp_path / "m"), model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    assert (spec["model_type"], spec["head_dim"], spec["kv_heads"]) == (kind, head_dim, config.num_key_value_heads)
    assert (spec["tied_head"], spec["norm_eps"], spec["rope_theta"]) == (tied, config.rms_norm_eps, config.rope_theta)
    assert (spec["qkv_bias"], spec["qk_norm"], spec["o_bias"]) == (kind == "qwen2", kind == "qwen3", False)
    assert spec["rope_scaling"]["type"] == (rope or "")
    if rope:
        assert spec["rope_scaling"]["factor"] == config.rope_scaling["factor"]


@pytest.mark.parametrize("overrides,expected", [
    ({"kind": "llama", "attention_bias": True, "mlp_bias": True}, {"qkv_bias": True, "o_bias": True, "mlp_bias": True}),
    ({"kind": "qwen3", "attention_bias": True}, {"qkv_bias": True, "o_bias": True, "qk_norm": True}),
    ({"kind": "mistral", "sliding_window": 7}, {"sliding_window": 7}),
    ({"kind": "mistral"}, {"sliding_window": 0}),
    ({"kind": "qwen2", "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 0}, {"sliding_window": 9}),
    ({"kind": "qwen2", "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 3}, {"sliding_window": 0}),
    ({"kind": "qwen3", "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 2},
     {"sliding_window": 9, "slides": [False, False, True]}),
    ({"kind": "qwen2", "use_sliding_window": True, "sliding_window": 9,
      "layer_types": ["sliding_attention", "full_attention", "full_attention"]}, {"slides": [True, False, False]}),
])
def test_settings(probe, tmp_path, overrides, expected):
    model = make_model(tmp_path / "m", **overrides)
    assert_same(weights(probe, tmp_path / "m", tmp_path), model)
    spec = probe.json("spec", tmp_path / "m")
    assert {key: spec[key] for key in expected} == expected


def edited(folder, **keys):
    config = json.loads((folder / "config.json").read_text())
    config.update(keys)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("keys,words", [
    ({"model_type": "gpt2"}, "gpt2"),
    ({"rope_scaling": {"rope_type": "xpos", "factor": 2.0}}, "xpos"),
    ({"rope_scaling": {"rope_type": "dynamic"}}, "factor is missing"),
    ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "short_factor must be a list of 6 numbers"),
    ({"rope_scaling": {"rope_type": "longrope", "short_factor": [1] * 6, "long_factor": [1] * 6}}, "factor is missing"),
    ({"rope_scaling": {"rope_type": "longrope", "short_factor": [1] * 6, "long_factor": [1, 2, 3, 4, 5, 0]}},
     "long_factor"),
    ({"rope_scaling": {"rope_type": "yarn"}}, "factor is missing"),
    ({"model_type": "qwen2", "use_sliding_window": True, "layer_types": ["chunked_attention"] * 3}, "chunked_attention"),
    ({"model_type": "qwen2", "use_sliding_window": True, "layer_types": ["full_attention"] * 2}, "2 layers of 3"),
    ({"hidden_act": "gelu"}, "gelu"),
    ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ({"num_hidden_layers": 4}, "model.layers.3."),
    ({"num_hidden_layers": -4}, "num_hidden_layers"),
    ({"hidden_size": 64}, "shape"),
    ({"hidden_size": "64"}, "hidden_size"),
])
def test_refused_configs(probe, tmp_path, keys, words):
    make_model(tmp_path / "m")
    edited(tmp_path / "m", **keys)
    done = probe.run("spec", tmp_path / "m", check=False)
    assert done.returncode == 2 and words in done.stderr.decode() and str(tmp_path) in done.stderr.decode()


def test_missing_files(probe, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "nowhere"))
    for path in ["/no/such/folder", "no/such", "./x", str(tmp_path)]:
        done = probe.run("spec", path, check=False)
        assert done.returncode == 2 and path in done.stderr.decode()
    make_model(tmp_path / "m", shards=3)
    next((tmp_path / "m").glob("model-00002*")).unlink()
    done = probe.run("spec", tmp_path / "m", check=False)
    assert done.returncode == 2 and "model-00002" in done.stderr.decode()


def test_a_single_file_wins_over_an_index_left_beside_it(probe, tmp_path):
    """As in transformers; the old shards may still be there or not."""
    make_model(tmp_path / "m", seed=1, shards=3)
    model = make_model(tmp_path / "new", seed=2)
    (tmp_path / "new" / "model.safetensors").rename(tmp_path / "m" / "model.safetensors")
    for _ in range(2):
        done = probe.run("spec", tmp_path / "m")
        assert "model.safetensors.index.json is left over" in done.stderr.decode()
        assert_same(weights(probe, tmp_path / "m", tmp_path), model)
        next((tmp_path / "m").glob("model-0000*")).unlink()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "pytorch_model.bin", "x.gguf", "tokenizer.json",
                                  "tokenizer_config.json", "spiece.model"])
def test_git_lfs_pointers_are_named(probe, tmp_path, name):
    if name in ("model.safetensors", "pytorch_model.bin"):
        make_model(tmp_path)
        (tmp_path / "model.safetensors").unlink()
    elif name == "tokenizer_config.json":
        (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345678\n")
    command = "tokenizer" if "tokenizer" in name or "spiece" in name else "spec"
    done = probe.run(command, tmp_path / name if name == "x.gguf" else tmp_path, check=False)
    assert done.returncode == 2 and f"{tmp_path / name}: this is a Git LFS pointer" in done.stderr.decode()


def test_tensors_that_deepspeed_did_not_gather_are_named(probe, tmp_path):
    make_model(tmp_path / "m")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    save_file({name: value[:0] for name, value in tensors.items()}, tmp_path / "m" / "model.safetensors")
    done = probe.run("spec", tmp_path / "m", check=False)
    assert done.returncode == 2 and "ZeRO-3 saved it without gathering" in done.stderr.decode()


def test_hub_cache_follows_links(probe, tmp_path, monkeypatch):
    make_model(tmp_path / "m", "qwen2")
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "cache" / "models--some--model"
    (home / "blobs").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    snapshot = home / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in (tmp_path / "m").iterdir():
        file.rename(home / "blobs" / file.name.replace("model", "blob"))
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name.replace('model', 'blob')}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    for revision in ["", "main", commit]:
        spec = probe.json("spec", "some/model", revision)
        assert (spec["commit"], spec["name"], spec["model_type"]) == (commit, "some/model", "qwen2")
    done = probe.run("spec", "some/model", "v2", check=False)
    assert done.returncode == 2 and "v2" in done.stderr.decode() and commit in done.stderr.decode()


TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K",
         "Q2_K", "Q3_K", "IQ4_NL", "IQ4_XS"]


def random_blocks(name, rows, width, scale=1):
    """Rows of a GGUF type as bytes: any, with scales that are finite."""
    kind, random = GGMLQuantizationType[name], np.random.default_rng(TYPES.index(name))
    block, size = quants.GGML_QUANT_SIZES[kind]
    raw = random.integers(0, 256, (rows, width // block * size), dtype=np.uint8)
    halves = {"Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "Q4_1": [0, 2], "Q5_1": [0, 2],
              "Q2_K": [80, 82], "Q3_K": [108], "IQ4_NL": [0], "IQ4_XS": [0], "Q4_0": [0], "Q5_0": [0], "Q8_0": [0]}.get(name, [])
    blocks = raw.reshape(-1, size)
    for at in halves:  # scales: finite ones
        blocks[:, at:at + 2] = (scale * random.normal(size=(len(blocks), 1))).astype(np.float16).view(np.uint8)
    if not halves:
        raw = quants.quantize(random.normal(size=(rows, width)).astype(np.float32), kind).view(np.uint8).reshape(rows, -1)
    return raw


@pytest.mark.parametrize("name", TYPES)
def test_gguf_types(probe, tmp_path, name):
    """Bit for bit the gguf package's values, from its own quantisation where it has one and from random bytes."""
    kind, random = GGMLQuantizationType[name], np.random.default_rng(TYPES.index(name))
    tensors = {"random": random_blocks(name, 64, 512)}
    if not name.startswith("IQ") and not name.endswith("_K"):
        tensors["made"] = quants.quantize(random.normal(size=(8, 512)).astype(np.float32), kind)
    writer = GGUFWriter(tmp_path / "m.gguf", "llama")
    for key, value in tensors.items():
        writer.add_tensor(key, value.view(np.uint8).reshape(len(value), -1), raw_dtype=kind)
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
    probe.run("gguf-tensors", tmp_path / "m.gguf", tmp_path / "out.safetensors")
    found = load_file(tmp_path / "out.safetensors")
    for key, value in tensors.items():
        expected = quants.dequantize(value.view(np.uint8).reshape(len(value), -1), kind)
        assert found[key].shape == expected.shape
        np.testing.assert_array_equal(found[key].numpy(), expected)


def permute(rows, heads):
    """llama.cpp's converter: the two halves of a head become neighbouring pairs."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def byte_characters():
    """Those that GPT-2's tokenizer writes for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]


def write_gguf(path, model, rope_freqs=None, blocks={}, with_tokens=False):
    """blocks: rows of raw bytes, and their type, instead of a weight's numbers. with_tokens: one of each byte, an end, and a
    merge, since there have to be some."""
    config = model.config
    arch = "llama" if config.model_type == "mistral" else config.model_type
    writer = GGUFWriter(path, arch)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    if getattr(config, "head_dim", None):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if with_tokens:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list([*byte_characters(), "</s>", "ab"])
        writer.add_token_types([1] * 256 + [3, 1])
        writer.add_token_merges(["a b"])
        writer.add_eos_token_id(256)
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
             "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
             "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, ending = name.rsplit(".", 1)
        layer = ""
        if stem.startswith("model.layers."):
            layer, stem = stem.removeprefix("model.layers.").split(".", 1)
            layer = f"blk.{layer}."
        value, kind = blocks.get(name, (value.float().numpy(), None))
        if arch == "llama" and stem.endswith("q_proj"):
            value = permute(value, config.num_attention_heads)
        if arch == "llama" and stem.endswith("k_proj"):
            value = permute(value, config.num_key_value_heads)
        writer.add_tensor(f"{layer}{names[stem]}.{ending}", value, raw_dtype=kind)
    if (config.rope_scaling or {}).get("rope_type") == "yarn":
        writer.add_rope_scaling_type(RopeScalingType.YARN)
        writer.add_rope_scaling_factor(config.rope_scaling["factor"])
        writer.add_rope_scaling_orig_ctx_len(config.rope_scaling["original_max_position_embeddings"])
    if (config.rope_scaling or {}).get("rope_type") == "longrope":
        writer.add_rope_scaling_type(RopeScalingType.LONGROPE)
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
        writer.add_rope_scaling_attn_factors(ROPE_INIT_FUNCTIONS["longrope"](config, "cpu")[1])
        for name in ["long", "short"]:
            factors = np.array(config.rope_scaling[f"{name}_factor"], np.float32)
            writer.add_tensor(f"rope_factors_{name}.weight", factors)
    if rope_freqs is not None:
        writer.add_tensor("rope_freqs.weight", rope_freqs)
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()


def quantised_model(folder, arch, name, **settings):
    """A model whose linears are random blocks of a type, and these by name."""
    model = make_model(folder, arch, hidden_size=256, intermediate_size=512, num_attention_heads=4, num_key_value_heads=2,
                       **({"head_dim": 64} if arch == "qwen3" else {}), **settings)
    kind, blocks = GGMLQuantizationType[name], {}
    for key, value in model.state_dict().items():
        if not key.endswith("_proj.weight"):
            continue
        scale = 5e-4 if name == "Q8_0" else 2e-3 if name.endswith("_K") or name.startswith("IQ") else 0.02
        raw = random_blocks(name, *value.shape, scale)
        blocks[key] = raw, kind
        value.copy_(torch.from_numpy(quants.dequantize(raw, kind)))
    return model, blocks


@pytest.mark.parametrize("arch, name", [*(("llama", name) for name in ["Q4_K", "Q5_K", "Q6_K", "Q8_0", "Q5_0", "IQ4_XS"]),
                                        ("qwen3", "Q4_K")])
def test_a_gguf_base_multiplies_as_its_dequantised_weights(probe, tmp_path, name, arch):
    """model.storage = "file": logits, losses and gradients are the bits of a folder of the gguf package's values, as the blocks are
    expanded and as the numbers are held; and nobody takes the one base for another."""
    model, blocks = quantised_model(tmp_path / "m", arch, name)
    model.save_pretrained(tmp_path / "meant")
    write_gguf(tmp_path / "m.gguf", model, blocks=blocks)
    ids = [[1, 5, 7, 9, 2], [3, 4, 8]]
    matrices = {site[0]: torch.randn(site[4], site[3]) * 0.01 for site in probe.json("model-info", tmp_path / "meant", "fp32")["sites"]}
    save_file(matrices, tmp_path / "matrices.safetensors")
    request = json.dumps({"sequences": ids, "matrices": str(tmp_path / "matrices.safetensors"), "target_rows": [3, 4, 6],
                          "target_ids": [2, 11, 12], "target_weights": [0.5, 0.2, 0.3]}).encode()
    found = {}
    for place, storage in [("meant", "dtype"), ("m.gguf", "dtype"), ("m.gguf", "file")]:
        (tmp_path / "out").write_bytes(probe.run("model-pass", tmp_path / place, "fp32", storage, stdin=request).stdout)
        found[place, storage] = {key: value.clone() for key, value in load_file(tmp_path / "out").items()}
    for key, value in found["meant", "dtype"].items():
        assert torch.isfinite(value).all() and value.abs().max() > 0, key
        for other in [("m.gguf", "dtype"), ("m.gguf", "file")]:
            assert torch.equal(found[other][key], value), (key, other)
    digests = {probe.json("model-info", tmp_path / "m.gguf", "fp32", storage)["content_digest"] for storage in ["dtype", "file"]}
    assert len(digests) == 1


@pytest.mark.parametrize("kind,tied,extra", [("llama", True, {}), ("llama", False, {"attention_bias": True}),
                                             ("mistral", False, {}), ("qwen2", True, {}), ("qwen3", False, {}),
                                             ("qwen2", False, {"rope": "yarn"}),
                                             ("llama", False, {"rope": "longrope"}),
                                             ("qwen3", False, {"rope": "longrope"})])
def test_gguf_model_is_its_hugging_face_model(probe, tmp_path, kind, tied, extra):
    model = make_model(tmp_path / "m", kind, tied=tied, **extra)
    write_gguf(tmp_path / "m.gguf", model)
    assert_same(weights(probe, tmp_path / "m.gguf", tmp_path), model)
    folder, file = probe.json("spec", tmp_path / "m"), probe.json("spec", tmp_path / "m.gguf")
    for key in set(folder) - {"model_type", "name", "path", "norm_eps"}:
        assert folder[key] == file[key], key
    assert file["norm_eps"] == pytest.approx(folder["norm_eps"], rel=1e-6)
    if "rope" not in extra:
        return
    digests = {probe.json("model-info", tmp_path / name, "fp32")["content_digest"] for name in ["m", "m.gguf"]}
    assert len(digests) == 1


def test_gguf_longrope_with_a_factor_of_0(probe, tmp_path):
    model = make_model(tmp_path / "m", "llama", rope="longrope")
    model.config.rope_scaling = {**ROPE["longrope"], "long_factor": [1.0] * 7 + [0.0]}
    write_gguf(tmp_path / "m.gguf", model)
    done = probe.run("spec", tmp_path / "m.gguf", check=False)
    assert done.returncode == 2 and b"rope_factors_long.weight holds 0; expected factors above 0" in done.stderr


@pytest.mark.parametrize("keys,config", [
    ({}, {}), ({"attention_factor": 0.7}, {}), ({"factor": 8.0}, {"original_max_position_embeddings": 16}),
    ({"factor": 4.0}, {"original_max_position_embeddings": None}),
    ({"factor": 0.5}, {"original_max_position_embeddings": None}),
])
def test_longropes_attention_factor(probe, tmp_path, keys, config):
    model = make_model(tmp_path / "m", "llama", rope="longrope")
    model.config.rope_scaling.update(keys)
    edited(tmp_path / "m", rope_scaling=model.config.rope_scaling, **config)
    for key, value in config.items():
        setattr(model.config, key, value)
    _, expected = ROPE_INIT_FUNCTIONS["longrope"](model.config, "cpu")
    scaling = probe.json("spec", tmp_path / "m")["rope_scaling"]
    assert scaling["original_max_position"] == (64 if config.get("original_max_position_embeddings", 16) is None else 16)
    assert scaling["attention_factor"] == pytest.approx(expected, rel=1e-6)


def test_an_original_length_that_transformers_passes_over(probe, tmp_path):
    """4 knows it as a key of the config alone; 5, which writes rope_parameters, of the section too."""
    make_model(tmp_path / "m", "llama", rope="longrope")
    rope = {**ROPE["longrope"], "original_max_position_embeddings": 32, "factor": 2.0}
    for section, length in [("rope_scaling", 64), ("rope_parameters", 32)]:
        edited(tmp_path / "m", **{"original_max_position_embeddings": None, "rope_scaling": None, section: rope})
        done = probe.run("spec", tmp_path / "m")
        assert json.loads(done.stdout)["rope_scaling"]["original_max_position"] == length
        assert (b"32 is passed over" in done.stderr) == (length == 64)


def test_what_scales_by_length_is_in_the_bases_digest(probe, tmp_path):
    make_model(tmp_path / "m", "qwen2", head_dim=16)
    digests = set()
    for rope in [None, ROPE["dynamic"], {**ROPE["dynamic"], "factor": 3.0}, {**ROPE["longrope"], "factor": 4.0},
                 {**ROPE["longrope"], "factor": 4.0, "long_factor": [1.0] * 8}]:
        edited(tmp_path / "m", rope_scaling=rope)
        digests.add(probe.json("model-info", tmp_path / "m", "fp32")["content_digest"])
    assert len(digests) == 5


@pytest.mark.parametrize("keys", [{}, {"attention_factor": 0.7}, {"mscale": 1.0, "mscale_all_dim": 0.5}])
def test_yarns_attention_factor(probe, tmp_path, keys):
    model = make_model(tmp_path / "m", "qwen2", rope="yarn")
    model.config.rope_scaling.update(keys)
    edited(tmp_path / "m", rope_scaling=model.config.rope_scaling)
    _, expected = ROPE_INIT_FUNCTIONS["yarn"](model.config, "cpu")
    scaling = probe.json("spec", tmp_path / "m")["rope_scaling"]
    assert (scaling["type"], scaling["original_max_position"]) == ("yarn", 32)
    assert scaling["attention_factor"] == pytest.approx(expected, rel=1e-12)


def test_gguf_rope_freqs(probe, tmp_path):
    model = make_model(tmp_path / "m", "llama", rope="llama3", head_dim=64)
    plain = 1 / model.config.rope_theta ** (torch.arange(0, 64, 2).float() / 64)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](model.config, "cpu")
    write_gguf(tmp_path / "m.gguf", model, (plain / scaled).numpy())
    scaling = probe.json("spec", tmp_path / "m.gguf")["rope_scaling"]
    asked = model.config.rope_scaling
    assert (scaling["type"], scaling["original_max_position"]) == ("llama3", 256)
    for key in ["factor", "low_freq_factor", "high_freq_factor"]:
        assert scaling[key] == pytest.approx(asked[key], rel=1e-4), key


def test_smollm2_is_what_transformers_reads(probe, smollm2, tmp_path):
    found = weights(probe, smollm2, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(smollm2.parent, gguf_file=smollm2.name, dtype=torch.float32)
    expected = {k: v for k, v in model.state_dict().items() if k != "lm_head.weight"}
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    spec = probe.json("spec", smollm2)
    assert (spec["heads"], spec["kv_heads"], spec["head_dim"], spec["vocab"]) == (9, 3, 64, 49152)
    assert spec["tied_head"] and spec["rope_theta"] == 100000.0
