"""Tiny random Hugging Face folders for the tests: make_model(folder, "qwen2", seed=1), or from the command line
python tests/make_models.py FOLDER --kind llama --seed 1 --rope llama3 --shards 3
"""
import argparse
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, T5Config, T5ForConditionalGeneration)

KINDS = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}
ROPE = {
    None: None,
    # A short original context, so that all three bands of llama3 scaling occur within 16 dimensions.
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 256},
    "linear": {"rope_type": "linear", "factor": 4.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    "dynamic": {"rope_type": "dynamic", "factor": 4.0},
    "longrope": {"rope_type": "longrope", "short_factor": [1.0, 1.01, 1.02, 1.05, 1.1, 1.15, 1.2, 1.3],
                 "long_factor": [1.0, 1.1, 1.5, 2.3, 4.1, 7.7, 9.9, 12.4]},
}
# Where positions go by a text's length, 16 tokens are the original one.
BY_LENGTH = {"dynamic": {"max_position_embeddings": 16},
             "longrope": {"head_dim": 16, "max_position_embeddings": 64, "original_max_position_embeddings": 16}}
# kv heads divide heads (grouped queries), and head_dim is not hidden / heads where the kind allows it.
SMALL = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 300, "max_position_embeddings": 512, "rope_theta": 10000.0,
         "pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2}
EXTRA = {"llama": {}, "mistral": {"head_dim": 16, "sliding_window": None}, "qwen2": {},
         "qwen3": {"head_dim": 16}}
# Versions of T5. The heads' width is not hidden; flan stands for v1.1 with fewer layers in the decoder.
SMALL_T5 = {"d_model": 48, "d_kv": 16, "d_ff": 80, "num_layers": 3, "num_heads": 4, "vocab_size": 300,
            "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20, "decoder_start_token_id": 0}
T5_KINDS = {
    "t5-v1.0": {"feed_forward_proj": "relu", "tie_word_embeddings": True},
    "t5-v1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "t5-flan": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "num_decoder_layers": 2},
}


def make_model(folder, kind="llama", *, seed=0, dtype="float32", tied=False, shards=1, rope=None, **overrides):
    """Writes config.json and safetensors into `folder` and returns the model as it was saved.

    Every parameter is random and non-zero (biases and norms too), so that a forgotten one shows. `shards` > 1 writes
    an index and about so many files. `overrides` are keys of the configuration, e.g. attention_bias=True.
    """
    config_class, model_class = KINDS[kind]
    settings = {**SMALL, **EXTRA[kind], "tie_word_embeddings": tied, "rope_scaling": ROPE[rope],
                **BY_LENGTH.get(rope, {}), **overrides}
    return save(folder, filled(model_class, config_class(**settings), seed, dtype), shards)


def make_t5(folder, kind="t5-v1.1", *, seed=0, dtype="float32", shards=1, safetensors=True, **overrides):
    """The same of a T5; without `safetensors` as pytorch_model.bin."""
    config = T5Config(**{**SMALL_T5, **T5_KINDS[kind], **overrides})
    return save(folder, filled(T5ForConditionalGeneration, config, seed, dtype), shards, safetensors)


def forget_lengths(model):
    """transformers keeps the frequencies of the longest text so far, where they go by length: those of a text alone."""
    for module in list(model.modules()):
        if hasattr(module, "rope_init_fn"):
            module.__init__(module.config)


def filled(model_class, config, seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                parameter.copy_(1 + 0.2 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            else:
                embedding = "embed" in name or name == "shared.weight"
                # T5 divides no score by the root of the heads' width: its queries start small instead.
                query = config.d_kv ** -0.5 if name.endswith("Attention.q.weight") else 1.0
                parameter.copy_(noise * (1.0 if embedding else 0.8 * query / parameter.shape[-1] ** 0.5))
    return model.to(getattr(torch, dtype)).eval()


def save(folder, model, shards, safetensors=True):
    total = sum(p.numel() * p.element_size() for p in model.parameters())
    size = {} if shards == 1 else {"max_shard_size": -(-total // shards)}
    model.save_pretrained(folder, safe_serialization=safetensors, **size)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--kind", choices=KINDS, default="llama")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--tied", action="store_true")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--rope", choices=[r for r in ROPE if r])
    given = vars(parser.parse_args())
    make_model(given.pop("folder"), given.pop("kind"), **given)
