"""What PEFT puts on a base: each function returns the model, what is trained, and what a batch is given besides its
tokens."""


def trained_of(model):
    return [p for p in model.parameters() if p.requires_grad]


def nothing(batch):
    return {}


def base(job, model):
    return model.eval(), [], nothing


def lora(job, model):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(model, LoraConfig(r=job["rank"], lora_alpha=1, lora_dropout=0.0, target_modules="all-linear",
                                             task_type="CAUSAL_LM"))
    return model, trained_of(model), nothing


def poly(job, model):
    import torch
    from peft import PolyConfig, get_peft_model

    model = get_peft_model(model, PolyConfig(r=job["poly"]["rank"], n_tasks=job["poly"]["tasks"],
                                             n_skills=job["poly"]["skills"], n_splits=job["poly"]["heads"],
                                             target_modules="all-linear", task_type="CAUSAL_LM"))
    return model, trained_of(model), lambda batch: {"task_ids": torch.tensor([row["task"] for row in batch])}


def arrow(job, model):
    from peft import ArrowConfig, create_arrow_model

    model = create_arrow_model(model, job["experts"], ArrowConfig(top_k=2))
    return model.eval(), [], nothing
