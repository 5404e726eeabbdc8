#!/usr/bin/env python3
"""A LoRA step of a peer on this machine's GPU: peer_step.py plain|peft BASE --rows 32 --tokens 256. Rank 16 on every linear
of the base, bf16, AdamW, tokens fed in rows of one length; prints tokens/s and the memory that was held at most."""
import argparse
import statistics
import time

import torch
import transformers

RANK, STEPS, WARM_UP = 16, 12, 4


class Lora(torch.nn.Module):
    """y = W x + B A x, as one writes it in PyTorch."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        options = {"device": linear.weight.device, "dtype": linear.weight.dtype}
        self.a = torch.nn.Parameter(torch.randn(RANK, linear.in_features, **options) / linear.in_features ** 0.5)
        self.b = torch.nn.Parameter(torch.zeros(linear.out_features, RANK, **options))

    def forward(self, x):
        return self.linear(x) + (x @ self.a.T) @ self.b.T


def plain(model):
    model.requires_grad_(False)
    for layer in model.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, child in list(part.named_children()):
                if isinstance(child, torch.nn.Linear):
                    setattr(part, name, Lora(child))
    return model


def peft(model):
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=RANK, lora_alpha=1, lora_dropout=0.0, target_modules="all-linear",
                                            task_type="CAUSAL_LM"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["plain", "peft"])
    parser.add_argument("base")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=256)
    options = parser.parse_args()
    where = "cuda" if torch.cuda.is_available() else "cpu"
    model = transformers.AutoModelForCausalLM.from_pretrained(options.base, dtype=torch.bfloat16,
                                                              attn_implementation="sdpa").to(where).train()
    try:
        model = {"plain": plain, "peft": peft}[options.side](model)
    except ImportError as absent:
        return print(f"{options.side}: not measured: {absent}")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.0, fused=where == "cuda")
    ids = torch.randint(10, 300, (options.rows, options.tokens), device=where)
    labels = ids.clone()
    labels[:, :options.tokens * 7 // 8] = -100
    seconds = []
    for _ in range(STEPS):
        began = time.monotonic()
        model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if where == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.monotonic() - began)
    rate = ids.numel() / statistics.median(seconds[WARM_UP:])
    held = torch.cuda.max_memory_allocated() if where == "cuda" else 0
    print(f"{options.side}: {rate:,.0f} tokens/s, {held / 1e9:.2f} GB of GPU memory at most")


if __name__ == "__main__":
    main()
