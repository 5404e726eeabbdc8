#!/usr/bin/env python3
"""A gaggle collection under lm-evaluation-harness (lm_eval with its extra hf), by tools/gaggle_torch:

    python tools/gaggle_lm_eval.py run --model gaggle --tasks arc_easy \\
        --model_args pretrained=MODEL,collection=registry/collections/demo,method=phatgoose,k=2

All else is as with the harness's own model "hf": batch_size, device, dtype, generation, chat templates, tasks.
"""
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM

from gaggle_torch import route

RULES = ("gaggle", "harness")


@register_model("gaggle")
class GaggleLM(HFLM):
    """The base `pretrained` with a collection on it; without a collection the base alone.

    rule="gaggle": as `gaggle eval` scores. Prompt and answer are tokenised apart, and the answer ends with the end token
    (`end`, by its text; default: the tokenizer's), as experts have learnt it. acc is then eval.normalise = "none",
    acc_norm "characters", acc_mutual_info "prior".
    rule="harness": as the harness scores all other models. Both are tokenised as one text, and nothing ends it.
    """

    def __init__(self, pretrained, collection="", method="phatgoose", k=2, rule="gaggle", end="", **settings):
        if rule not in RULES:
            raise ValueError(f"rule {rule!r}: expected one of {', '.join(RULES)}")
        super().__init__(pretrained, **settings)
        self.rule = rule
        self.end = self.tokenizer.convert_tokens_to_ids(end) if end else self.tokenizer.eos_token_id
        if self.end in (None, self.tokenizer.unk_token_id):
            raise ValueError(f"the tokenizer has no token {end!r} to end an answer with" if end else
                             "the tokenizer names no end-of-sequence token; give one as end=TOKEN")
        self.handle = route(self.model, collection, method=method, k=k) if collection else None

    @property
    def eot_token_id(self):
        return self.end

    def loglikelihood(self, requests, disable_tqdm=False):
        """(log-probability, whether greedy decoding gives it) of each request's continuation behind its context."""
        if self.rule == "harness":
            return super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        encoded = []
        for context, continuation in [request.args for request in requests]:
            prompt = self.tok_encode(context) or [self.prefix_token_id]
            answer = self.tok_encode(continuation, add_special_tokens=False) + [self.end]
            encoded.append(((context, continuation), prompt, answer))
        return self._loglikelihood_tokens(encoded, disable_tqdm=disable_tqdm)


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
