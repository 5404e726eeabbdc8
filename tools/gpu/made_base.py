"""A random Llama of 1B parameters with a tokenizer, and a task of random words: what gaggle is measured with where nothing
can be fetched."""
import json
import random

WORDS = "ant bee cat dog elk fox gnu hen ibis jay kid lark mole newt owl pig quail ram seal toad".split()
LLAMA_1B = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256, "max_position_embeddings": 131072,
            "rope_theta": 500000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": True}
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512}


def write_tokenizer(folder):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([" ".join(WORDS) * 20], trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", "bos_token": "<s>"}))


def make(folder, small):
    import torch
    from safetensors.torch import save_file

    shape = LLAMA_1B | (SMALL if small else {})
    folder.mkdir(parents=True, exist_ok=True)
    where = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)

    def weight(rows, columns):
        return (torch.randn(rows, columns, device=where) * 0.8 / columns ** 0.5).to(torch.bfloat16).cpu()

    d, kv = shape["hidden_size"], shape["num_key_value_heads"] * shape["head_dim"]
    linears = {"self_attn.q_proj": (d, d), "self_attn.k_proj": (kv, d), "self_attn.v_proj": (kv, d),
               "self_attn.o_proj": (d, d), "mlp.gate_proj": (shape["intermediate_size"], d),
               "mlp.up_proj": (shape["intermediate_size"], d), "mlp.down_proj": (d, shape["intermediate_size"])}
    norm = torch.ones(d, dtype=torch.bfloat16)
    tensors = {"model.embed_tokens.weight": weight(shape["vocab_size"], d), "model.norm.weight": norm.clone()}
    for layer in range(shape["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        tensors |= {f"{at}{name}.weight": weight(*size) for name, size in linears.items()}
        tensors |= {f"{at}{name}.weight": norm.clone() for name in ("input_layernorm", "post_attention_layernorm")}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "bos_token_id": 1,
              "eos_token_id": 2, "torch_dtype": "bfloat16", "attention_bias": False, "mlp_bias": False}
    (folder / "config.json").write_text(json.dumps(config | shape))
    write_tokenizer(folder)
    print(f"a random base of {sum(tensor.numel() for tensor in tensors.values()) / 1e6:,.0f} million parameters")


def write_task(folder, name, rows, words):
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(name)
    with open(folder / f"{name}.jsonl", "w") as file:
        for i in range(rows):
            example = {"id": str(i), "split": "train", "input": " ".join(draw.choices(WORDS, k=words)),
                       "output": " ".join(draw.choices(WORDS, k=4))}
            file.write(json.dumps(example) + "\n")
