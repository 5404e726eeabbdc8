"""Llama-shaped models and T5 for the same tests: folders, examples as gaggle is given them, logits of their targets."""
import torch
from make_models import make_model, make_t5
from transformers import AutoModelForCausalLM, T5ForConditionalGeneration

KINDS = ["llama", "t5-v1.1", "t5-v1.0"]
TARGETS = {"llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
           "t5-v1.1": ["q", "k", "v", "o", "wi_0", "wi_1", "wo"], "t5-v1.0": ["q", "k", "v", "o", "wi", "wo"]}
END = 1


def make(folder, kind, **settings):
    return make_t5(folder, kind, **settings) if kind.startswith("t5") else make_model(folder, kind, **settings)


def load(folder, kind, **settings):
    model = T5ForConditionalGeneration if kind.startswith("t5") else AutoModelForCausalLM
    return model.from_pretrained(folder, **settings).eval()


def task_type(kind):
    return "SEQ_2_SEQ_LM" if kind.startswith("t5") else "CAUSAL_LM"


def is_site(name, kind):
    return name.rpartition(".")[2] in TARGETS[kind]


def example(kind, input, target):
    """What a model is fed: T5's encoder reads the input with the end token, its decoder starts with 0."""
    return {"source": input + [END], "input": [0], "target": target} if kind.startswith("t5") else {
        "input": input, "target": target}


def logits(model, example, **more):
    """Of every token that the decoder is fed but the last target: [tokens, vocab]."""
    fed = torch.tensor([example["input"] + example["target"][:-1]])
    if "source" in example:
        return model(input_ids=torch.tensor([example["source"]]), decoder_input_ids=fed, **more).logits[0]
    return model(fed, **more).logits[0]


def target_logits(model, example, **more):
    return logits(model, example, **more)[len(example["input"]) - 1:]


def padded(rows):
    width = max(map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


def all_target_logits(model, examples, **more):
    """target_logits of every example, by one pass over a padded batch: a step of a reference is many times cheaper so.
    What is behind a row's end is hidden from it by causality, and in T5's encoder by the mask."""
    fed = [example["input"] + example["target"][:-1] for example in examples]
    if "source" in examples[0]:
        sources = [example["source"] for example in examples]
        out = model(input_ids=padded(sources), attention_mask=padded([[1] * len(source) for source in sources]),
                    decoder_input_ids=padded(fed), **more).logits
    else:
        out = model(padded(fed), **more).logits
    return [rows[len(example["input"]) - 1:len(tokens)] for rows, example, tokens in zip(out, examples, fed)]
