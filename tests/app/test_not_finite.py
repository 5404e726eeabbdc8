"""An expert that diverged is not committed and not imported; one that is there costs an evaluation its cells."""
import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file


def spoil(version, file="adapter_model.safetensors"):
    """Puts NaN into a version as a gaggle from before might have committed it, sums and all."""
    tensors = load_file(version / file)
    tensors[min(tensors)].view(-1)[0] = float("nan")
    save_file(tensors, version / file, metadata={"format": "pt"})
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
             for path in sorted(version.iterdir()) if path.is_file() and path.name != "SHA256SUMS"]
    (version / "SHA256SUMS").write_text("".join(lines))


def test_training_that_diverges_in_its_last_steps_commits_nothing(workshop):
    done = workshop.experts("--data.tasks=['tasks/copy.jsonl']", "--train.lr=1e308", "--train.steps=3", expect=3)
    assert "not finite" in done.stderr and "set aside" in done.stdout
    assert not list((workshop.folder / "registry" / "experts").glob("*/v*"))
    aside = [json.loads(path.read_text()) for path in (workshop.folder / "registry" / "aside").glob("*.json")]
    assert len(aside) == 1


def test_an_evaluation_marks_what_is_not_finite_and_goes_on(workshop):
    workshop.experts("--data.tasks=['tasks/copy.jsonl', 'tasks/vowel.jsonl']", "--registry.collection=")
    version = workshop.folder / "registry/experts/vowel/v0001"
    spoil(version)
    found = workshop.run("registry", "verify", expect=1).stdout
    assert "is NaN at [0, 0]" in found and str(version.relative_to(workshop.folder)) in found
    workshop.run("registry", "collect", "all")
    methods = ["none", "expert:copy", "expert:vowel", "merged", "random", "arrow", "phatgoose"]
    words = ["eval", "tiny.toml", f"--eval.methods={methods}", "--data.tasks=['tasks/copy.jsonl', 'tasks/vowel.jsonl']"]
    for _ in range(2):  # the second one reads what the first one wrote
        done = workshop.run(*words)
        table = {line.split()[0]: line for line in done.stdout.splitlines() if line.split()}
        for method in methods:
            assert ("not finite" in table[method]) == (method not in ("none", "expert:copy")), done.stdout
        assert "merged is not scored" in done.stdout + done.stderr and "is NaN at [0, 0]" in done.stdout + done.stderr
        result, = (workshop.folder / "runs/tiny").glob("eval/**/results.json")
        scores = json.loads(result.read_text())["methods"]
        for method in methods:
            vowel = scores[method]["tasks"]["vowel"]
            finite = method in ("none", "expert:copy")
            assert (vowel["nll_per_token"] is not None) == (vowel["accuracy"] is not None) == finite, method
    answer = workshop.run("generate", "tiny.toml", "copy: ant", expect=2)
    assert "phatgoose cannot answer" in answer.stderr and "is NaN at [0, 0]" in answer.stderr


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "gate.safetensors"])
def test_an_import_names_tensor_and_place(trained, tmp_path, file):
    trained.run("registry", "export", "copy", "--to", tmp_path / "bad")
    if not (tmp_path / "bad" / file).exists():
        pytest.skip("exports hold no gates")
    spoil(tmp_path / "bad", file)
    done = trained.run("registry", "import", tmp_path / "bad", "--registry", tmp_path / "registry", expect=3)
    assert "is NaN at [0" in done.stdout and "expected finite numbers" in done.stdout
    assert not (tmp_path / "registry").exists()


def test_one_alpha_says_all_of_what_was_exported_with_folded_scales(trained, tmp_path):
    trained.run("registry", "export", "copy", "--to", tmp_path / "folded", "--fold-scale")
    config = json.loads((tmp_path / "folded/adapter_config.json").read_text())
    assert config["lora_alpha"] == config["r"] and not config["rank_pattern"] and not config["alpha_pattern"]
    version = trained.folder / "registry/experts/copy/v0001"
    stored = json.loads((version / "adapter_config.json").read_text())
    folded, plain = (load_file(folder / "adapter_model.safetensors") for folder in (tmp_path / "folded", version))
    assert sorted(folded) == sorted(plain)
    for name, tensor in plain.items():
        scale = stored["lora_alpha"] / stored["r"] if "lora_B" in name else 1
        assert torch.allclose(folded[name], tensor.float() * scale, rtol=1e-6), name
    trained.run("registry", "export", "copy", "--to", tmp_path / "no", "--fold-scale", "--mu", expect=2)
