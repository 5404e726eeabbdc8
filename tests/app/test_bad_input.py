"""Every user's mistake: exit code 2, a sentence that names it, and nothing written."""
import json

import pytest


def spoil(shop, what):
    """Makes one mistake; returns (arguments, words that the message must hold)."""
    folder = shop.folder
    if what == "no model":
        return ["--model.path=nowhere"], ["nowhere"]
    if what == "torn safetensors":
        path = folder / "base" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        return [], ["model.safetensors"]
    if what == "torn gguf":
        (folder / "x.gguf").write_bytes(b"GGUF\x03\x00\x00\x00\xff")
        return ["--model.path=x.gguf"], ["x.gguf"]
    if what == "integer weights":
        import torch
        from safetensors.torch import load_file, save_file
        path = folder / "base" / "model.safetensors"
        tensors = load_file(path)
        tensors["model.norm.weight"] = tensors["model.norm.weight"].to(torch.int32)
        save_file(tensors, path, {"format": "pt"})
        return [], ["model.norm.weight"]
    if what == "not JSON":
        with open(folder / "tasks" / "copy.jsonl", "a") as file:
            file.write("{oops\n")
        return [], ["copy.jsonl:61"]
    if what == "no train split":
        examples = [json.loads(line) | {"split": "test"} for line in (folder / "tasks/copy.jsonl").read_text().splitlines()]
        (folder / "tasks/copy.jsonl").write_text("".join(json.dumps(example) + "\n" for example in examples))
        return [], ["copy", "train"]
    if what == "empty task":
        (folder / "tasks/copy.jsonl").write_text("")
        return [], ["copy.jsonl"]
    if what == "unknown key":
        text = (folder / "tiny.toml").read_text().replace("steps = 12", "stesp = 12")
        (folder / "tiny.toml").write_text(text)
        return [], ["tiny.toml:", "train.stesp", "did you mean train.steps"]
    if what == "wrong type":
        return ["--train.steps=many"], ["train.steps"]
    if what == "unwritable":
        (folder / "taken").write_text("")
        return ["--registry.path=taken/registry"], ["taken/registry"]
    if what == "unknown target":
        return ["--lora.targets=['q_porj']"], ["q_porj", "q_proj"]
    if what == "another scale":
        text = (folder / "tiny.toml").read_text().replace("lr = 5e-3\n", "")
        (folder / "tiny.toml").write_text(text.replace("alpha = 0.25", "alpha = 8"))
        return [], ["train.lr"]
    if what == "markers without tokens":
        return ["--data.prompt=chatml"], ["data.prompt", "chatml", "<|im_start|>", "no token"]
    if what == "auto without a chat template":
        return ["--data.prompt=auto"], ["data.prompt", "the model has none"]
    if what == "token beyond the vocabulary":
        add_tokens(folder / "base/tokenizer.json", {300: "<|im_start|>", 301: "<|im_end|>"})
        return ["--data.prompt=chatml"], ["token 300", "<|im_start|>", "vocabulary of 300"]
    raise AssertionError(what)


def add_tokens(path, tokens):
    parsed = json.loads(path.read_text())
    flags = dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
    parsed["added_tokens"] += [{"id": id, "content": text, "special": True, **flags} for id, text in tokens.items()]
    path.write_text(json.dumps(parsed))


@pytest.mark.parametrize("what", ["no model", "torn safetensors", "torn gguf", "integer weights", "not JSON",
                                  "no train split", "empty task", "unknown key", "wrong type", "unwritable",
                                  "unknown target", "another scale", "markers without tokens",
                                  "auto without a chat template", "token beyond the vocabulary"])
def test_a_mistake_is_told_and_nothing_is_written(workshop, what):
    arguments, words = spoil(workshop, what)
    of_the_prompt = what in ("markers without tokens", "auto without a chat template", "token beyond the vocabulary")
    for dry in [["--dry-run"], []] if of_the_prompt else [[]]:
        done = workshop.experts(*arguments, *dry, expect=2)
        for word in words:
            assert word in done.stderr, done.stderr
    assert not (workshop.folder / "registry").exists() and not (workshop.folder / "runs").exists()


def test_the_plan_names_what_is_easily_overlooked(workshop):
    """A rank alone has a rate that goes with it; who has no validation rows cannot be judged by their loss."""
    path = workshop.folder / "tasks/copy.jsonl"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if '"validation"' not in line))
    text = (workshop.folder / "tiny.toml").read_text().replace("lr = 5e-3\n", "").replace("alpha = 0.25\n", "")
    (workshop.folder / "tiny.toml").write_text(text.replace("rank = 4", "rank = 2"))
    said = workshop.experts("--dry-run").stdout
    assert "no validation examples, so no loss to judge by: copy\n" in said
    assert "rank 2, scale 0.5" in said
    assert "lr 0.005, from 0 over 1 step of warm-up (the default rate, which belongs to lora.alpha = 1 at any rank)" in said


def test_a_registry_of_another_base_is_refused(trained, tmp_path):
    from make_models import make_model
    import shutil
    make_model(tmp_path / "other", "llama", seed=3, num_hidden_layers=2)
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(trained.folder / "base" / name, tmp_path / "other" / name)
    before = trained.bits()
    done = trained.experts(f"--model.path={tmp_path / 'other'}", "--run.name=other", expect=2)
    assert "base" in done.stderr
    assert trained.bits() == before


def test_all_mistakes_of_a_config_are_reported_at_once(workshop):
    with open(workshop.folder / "tiny.toml", "a") as file:
        file.write("[evil]\nx = 1\n[cluster]\nlease_s = \"long\"\n")
    done = workshop.experts("--train.schedule=cosine", expect=2)
    for word in ["evil", "cluster.lease_s", "train.schedule"]:
        assert word in done.stderr, done.stderr


def test_an_unknown_command_is_refused(workshop):
    assert "experts" in workshop.run("expert", "tiny.toml", expect=2).stderr
