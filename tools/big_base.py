#!/usr/bin/env python3
"""A step on a base of a large model's shapes, random and with as many layers as the memory allows, in every way that a base
can be held: what the plan said it would take, and what the process held at most.

    tools/big_base.py                       # 7B shapes, two layers
    tools/big_base.py --layers 4 --ranks 2  # and spread over two ranks (model.shard)

Needs numpy, gguf and safetensors (tests/requirements.txt).
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quants
from safetensors.numpy import save_file

SHAPES = {"hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32, "num_key_value_heads": 32,
          "vocab_size": 32000}
GGUF_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "q_proj": "attn_q",
              "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "gate_proj": "ffn_gate", "up_proj": "ffn_up",
              "down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def byte_tokens():
    """GPT-2's character of every byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters, extra = {}, 0
    for byte in range(256):
        characters[byte] = chr(byte) if byte in plain else chr(256 + extra)
        extra += byte not in plain
    return [characters[byte] for byte in range(256)]


def weights(layers):
    """(name, shape) of all tensors."""
    d, n = SHAPES["hidden_size"], SHAPES["intermediate_size"]
    yield "model.embed_tokens.weight", (SHAPES["vocab_size"], d)
    for layer in range(layers):
        at = f"model.layers.{layer}."
        for name, shape in [("self_attn.q_proj", (d, d)), ("self_attn.k_proj", (d, d)), ("self_attn.v_proj", (d, d)),
                            ("self_attn.o_proj", (d, d)), ("mlp.gate_proj", (n, d)), ("mlp.up_proj", (n, d)),
                            ("mlp.down_proj", (d, n)), ("input_layernorm", (d,)), ("post_attention_layernorm", (d,))]:
            yield f"{at}{name}.weight", shape
    yield "model.norm.weight", (d,)
    yield "lm_head.weight", (SHAPES["vocab_size"], d)


def write_folder(folder, layers, random):
    folder.mkdir()
    config = SHAPES | {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": layers,
                       "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 4096, "hidden_act": "silu",
                       "tie_word_embeddings": False, "torch_dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {name: np.ones(shape, np.float16) if len(shape) == 1 else
               (random.standard_normal(shape, np.float32) * 0.02).astype(np.float16) for name, shape in weights(layers)}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    vocab = {token: i for i, token in enumerate(byte_tokens())} | {"</s>": 256}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [{"id": 256, "content": "</s>", "special": True, "single_word": False,
                                            "lstrip": False, "rstrip": False, "normalized": False}],
        "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                                              "use_regex": True},
        "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                                            "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": []}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))


def write_gguf(path, layers, random):
    """Linears of Q4_K, from random blocks with small scales; embedding and head of Q6_K."""
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(4096)
    writer.add_embedding_length(SHAPES["hidden_size"])
    writer.add_feed_forward_length(SHAPES["intermediate_size"])
    writer.add_head_count(SHAPES["num_attention_heads"])
    writer.add_head_count_kv(SHAPES["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*byte_tokens(), "</s>", "ab"])
    writer.add_token_types([1] * 256 + [3, 1])
    writer.add_token_merges(["a b"])  # there have to be some
    writer.add_eos_token_id(256)
    for name, shape in weights(layers):
        stem = name.removesuffix(".weight")
        layer = re.match(r"model\.layers\.(\d+)\.(?:\w+\.)?(\w+)$", stem)
        place = f"blk.{layer[1]}.{GGUF_NAMES[layer[2]]}.weight" if layer else f"{GGUF_NAMES[stem]}.weight"
        if len(shape) == 1:
            writer.add_tensor(place, np.ones(shape, np.float32))
            continue
        kind = GGMLQuantizationType.Q4_K if layer else GGMLQuantizationType.Q6_K
        block, size = quants.GGML_QUANT_SIZES[kind]
        raw = random.integers(0, 256, (shape[0], shape[1] // block * size), dtype=np.uint8)
        blocks = raw.reshape(-1, size)
        for at in [0, 2] if layer else [208]:
            blocks[:, at:at + 2] = (random.standard_normal((len(blocks), 1)) * 2e-5).astype(np.float16).view(np.uint8)
        writer.add_tensor(place, raw, raw_dtype=kind)
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()


CONFIG = """
[run]
name = "big"
device = "cpu"
[model]
dtype = "bf16"
[data]
tasks = ["task.jsonl"]
[lora]
rank = 16
[train]
lr = 1e-3
steps = 1
batch_size = 4
tokens_per_microbatch = 1024
[gate]
steps = 0
[registry]
path = "registry"
cache = "cache"
[checkpoint]
every = 0
"""


def bytes_of(text):
    number, unit = re.search(r"memory +about ([\d.,]+) (kB|MB|GB) a rank", text).groups()
    return float(number.replace(",", "")) * {"kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]


def peak_of(processes):
    """VmHWM of every process by this command line under that one, at the end of its life or nearly."""
    held = {}
    while processes.poll() is None:
        listed = subprocess.run(["pgrep", "-f", "gaggle experts big.toml"], capture_output=True, text=True).stdout.split()
        for pid in listed:
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            if status.startswith("Name:\tgaggle") and (found := re.search(r"VmHWM:\s+(\d+)", status)):
                held[pid] = max(held.get(pid, 0), 1024 * int(found[1]))
        time.sleep(0.02)
    return max(held.values())


def one_run(gaggle, folder, model, settings, ranks):
    shutil.rmtree(folder / "registry", ignore_errors=True)
    start = ["mpirun", "--oversubscribe", "-np", str(ranks)] if ranks > 1 else []
    words = [*start, gaggle, "experts", "big.toml", f"--model.path={model}", *settings]
    with open(folder / "said", "w+") as said:
        run = subprocess.Popen(words, cwd=folder, stdout=said, stderr=subprocess.STDOUT,
                               env=os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"})
        held = peak_of(run)
        said.seek(0)
        text = said.read()
    if run.returncode != 0:
        sys.exit(f"{' '.join(words)} ended with {run.returncode}\n{text}")
    return bytes_of(text), held


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaggle", default="build/gaggle")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--ranks", type=int, default=1, help="more than one: they hold the base together")
    args = parser.parse_args()
    gaggle, random = str(pathlib.Path(args.gaggle).resolve()), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        (folder / "big.toml").write_text(CONFIG)
        with open(folder / "task.jsonl", "w") as file:
            for i in range(16):
                file.write(json.dumps({"id": str(i), "input": "x" * 240, "output": "y" * 15, "split": "train"}) + "\n")
        write_folder(folder / "folder", args.layers, random)
        write_gguf(folder / "file.gguf", args.layers, random)
        print(f"{'model.storage':<14} {'train.recompute':<16} {'planned':>10} {'held':>10} {'held/planned':>13}")
        for storage in ["dtype", "int8", "nf4", "file"]:
            for recompute in ["none", "layer"]:
                settings = [f"--model.storage={storage}", f"--train.recompute={recompute}"]
                if args.ranks > 1:
                    settings += ["--model.shard=world", f"--cluster.ranks_per_expert={args.ranks}", "--run.threads=1"]
                planned, held = one_run(gaggle, folder, "file.gguf" if storage == "file" else "folder", settings, args.ranks)
                print(f"{storage:<14} {recompute:<16} {planned / 1e9:>7.2f} GB {held / 1e9:>7.2f} GB {held / planned:>13.2f}",
                      flush=True)


if __name__ == "__main__":
    main()
