"""A peer's process: peer.py JOB.json makes the adapter that the job names on the base, runs the job's batches, and
prints one line of JSON: when it began its first step, the seconds of every step, and the losses."""
import contextlib
import json
import pathlib
import sys
import time

SETTINGS = {"bf16": ("bfloat16", False), "autocast": ("float32", True), "fp32": ("float32", False),
            "bf16 autocast": ("bfloat16", True)}  # type of the base; whether it runs under autocast to bf16


def load_base(job):
    import torch
    import transformers

    path = pathlib.Path(job["model"])
    options = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent if options else path, dtype=getattr(torch, SETTINGS[job["setting"]][0]), attn_implementation="sdpa",
        **options)


def tensors_of(batch):
    """A rectangle, padded at the right, of which a token counts if it is a target."""
    import torch

    width = max(len(row["input_ids"]) + len(row["target_ids"]) for row in batch)

    def padded(rows, value):
        return torch.tensor([row + [value] * (width - len(row)) for row in rows])

    ids = [row["input_ids"] + row["target_ids"] for row in batch]
    return {"input_ids": padded(ids, 0), "attention_mask": padded([[1] * len(row) for row in ids], 0),
            "labels": padded([[-100] * len(row["input_ids"]) + row["target_ids"] for row in batch], -100)}


def steps(job, model, trained, more_inputs):
    """Runs every batch; a step trains where there is something to train, and scores else. Yields the losses."""
    import torch

    optimizer = torch.optim.AdamW(trained, lr=job["lr"], weight_decay=0.0) if trained else None
    with contextlib.nullcontext() if trained else torch.inference_mode():
        for batch in job["batches"]:
            with torch.autocast("cpu", torch.bfloat16, enabled=SETTINGS[job["setting"]][1]):
                loss = model(**tensors_of(batch), **more_inputs(batch)).loss
            if optimizer:
                loss.backward()
                torch.nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                optimizer.zero_grad()
            yield loss.item()


def main():
    import torch

    job = json.loads(pathlib.Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    if job["adapter"].startswith("mttl"):
        import with_mttl as adapters
    else:
        import with_peft as adapters
    make = getattr(adapters, job["adapter"].split(" ")[0])
    model, trained, more_inputs = make(job, load_base(job))
    began = time.monotonic()
    seconds, losses, last = [], [], began
    for loss in steps(job, model, trained, more_inputs):
        now = time.monotonic()
        seconds.append(now - last)
        losses.append(loss)
        last = now
    print(json.dumps({"began": began, "seconds": seconds, "losses": losses}))


if __name__ == "__main__":
    main()
