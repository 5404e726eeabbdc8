"""What others really have goes into a registry, and what goes out is what their programs take; through the program alone."""
import json
import os

import pytest
import torch


def base_model(shop):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(shop.folder / "base", torch_dtype=torch.float32).eval()


def lora_folder(shop, folder, *more):
    """A LoRA on q_proj and `more`, as PEFT saves it; returns the model."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(base_model(shop), LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", *more],
                                                        task_type="CAUSAL_LM"))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model.eval()


@torch.no_grad()
def logits(model):
    return model(torch.arange(1, 9)[None]).logits


def logits_of(shop, folder):
    from peft import PeftModel

    return logits(PeftModel.from_pretrained(base_model(shop), folder).eval())


def registry(shop, *words, **options):
    return shop.run("registry", *words, "--registry", "registry", **options)


def edit(folder, **keys):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_a_bin_of_old_peft_is_imported_as_safetensors(workshop, tmp_path):
    from safetensors.torch import load_file

    model = lora_folder(workshop, tmp_path / "old")
    torch.save(load_file(tmp_path / "old/adapter_model.safetensors"), tmp_path / "old/adapter_model.bin")
    (tmp_path / "old/adapter_model.safetensors").unlink()
    edit(tmp_path / "old", base_model_name_or_path="unsloth/tiny-bnb-4bit")
    said = registry(workshop, "import", tmp_path / "old", "--base", "base").stdout
    assert "trained on tiny in 4 bits (bitsandbytes)" in said
    version = workshop.folder / "registry/experts/old/v0001"
    assert {path.name for path in version.iterdir()} == {"adapter_config.json", "adapter_model.safetensors", "expert.json",
                                                         "SHA256SUMS"}
    assert torch.equal(logits_of(workshop, version), logits(model))
    registry(workshop, "verify")


def test_a_head_is_refused_and_left_out_on_request(workshop, tmp_path):
    model = lora_folder(workshop, tmp_path / "head", "lm_head")
    words = ["import", tmp_path / "head", "--base", "base"]
    said = registry(workshop, *words, expect=3).stdout
    assert "neither head nor embedding" in said and "--drop lm_head" in said
    assert not (workshop.folder / "registry").exists()
    assert "lm_head left out" in registry(workshop, *words, "--drop", "lm_head").stdout
    version = workshop.folder / "registry/experts/head/v0001"
    assert "lm_head" not in (version / "adapter_config.json").read_text()
    assert "lm_head left out" in (version / "expert.json").read_text()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lm_head" in name and "lora_B" in name:
                parameter.zero_()
    assert torch.equal(logits_of(workshop, version), logits(model))
    assert "head@v0001" in registry(workshop, *words, "--drop=lm_head,embed_tokens").stdout


def test_only_what_is_taken_must_be_finite(workshop, tmp_path):
    from safetensors.torch import load_file, save_file

    lora_folder(workshop, tmp_path / "head", "lm_head")
    path = tmp_path / "head/adapter_model.safetensors"
    tensors = load_file(path)
    words = ["import", tmp_path / "head", "--base", "base", "--drop", "lm_head"]
    next(value for key, value in tensors.items() if "lm_head" in key)[0, 0] = float("nan")
    save_file(tensors, path)
    assert "lm_head left out" in registry(workshop, *words).stdout
    registry(workshop, "verify")
    next(value for key, value in tensors.items() if "q_proj" in key)[0, 1] = float("inf")
    save_file(tensors, path)
    assert "is infinite at [0, 1]" in registry(workshop, *words, expect=3).stdout


def test_nothing_is_left_of_a_head_alone(workshop, tmp_path):
    from safetensors.torch import load_file, save_file

    lora_folder(workshop, tmp_path / "head", "lm_head")
    path = tmp_path / "head/adapter_model.safetensors"
    save_file({key: value for key, value in load_file(path).items() if "lm_head" in key}, path)
    done = registry(workshop, "import", tmp_path / "head", "--base", "base", "--drop", "lm_head", expect=3)
    assert "nothing is left" in done.stdout


def test_gates_of_an_export_lie_where_no_glob_takes_them(trained, tmp_path):
    registry(trained, "export", "copy", "--to", tmp_path / "out", "--base-path", "hub/base")
    assert [path.name for path in (tmp_path / "out").glob("*.safetensors")] == ["adapter_model.safetensors"]
    assert (tmp_path / "out/gates/gate.safetensors").exists()
    assert os.system(f"cd {tmp_path}/out && sha256sum --quiet -c SHA256SUMS") == 0
    assert json.loads((tmp_path / "out/adapter_config.json").read_text())["base_model_name_or_path"] == "hub/base"
    trained.run("registry", "import", tmp_path / "out", "--base", "base", "--registry", tmp_path / "again")
    ours, theirs = (folder / "experts" / name / "v0001/gate.safetensors" for folder, name in
                    [(trained.folder / "registry", "copy"), (tmp_path / "again", "out")])
    assert ours.read_bytes() == theirs.read_bytes()
    (tmp_path / "out/gate.safetensors").write_bytes(ours.read_bytes())
    done = trained.run("registry", "import", tmp_path / "out", "--base", "base", "--registry", tmp_path / "again", expect=3)
    assert "gates lie in gate.safetensors and in gates/gate.safetensors" in done.stdout


@pytest.fixture
def poly(workshop, tmp_path):
    from peft import PolyConfig, get_peft_model

    model = get_peft_model(base_model(workshop), PolyConfig(task_type="CAUSAL_LM", r=2, n_tasks=3, n_skills=2,
                                                            target_modules=["q_proj"]))
    model.save_pretrained(tmp_path / "poly")
    return tmp_path / "poly"


def test_tasks_of_a_poly_folder_have_the_names_that_the_user_gives(workshop, poly):
    registry(workshop, "import", "--tasks", "ant,bee,cat", poly, "--base", "base")
    sidecar = json.loads((workshop.folder / "registry/inventories/poly/v0001/inventory.json").read_text())
    assert sidecar["tasks"] == ["ant", "bee", "cat"]
    for names in ["ant,bee", "ant,bee,bee"]:
        done = registry(workshop, "import", poly, "--base", "base", "--tasks", names, expect=3)
        assert "--tasks" in done.stdout and "the 3 tasks" in done.stdout
    assert not (workshop.folder / "registry/inventories/poly/v0002").exists()


@pytest.mark.parametrize("words", [["ls", "--drop", "lm_head"], ["ls", "--tasks", "a,b"], ["import", "x", "--base-path", "a"],
                                   ["import", "x", "--drop", "q_proj"], ["import", "--drop", "lm_head,q_proj", "x"]])
def test_options_belong_to_their_verb(workshop, words):
    assert next(word for word in words if word.startswith("--")) in registry(workshop, *words, expect=2).stderr


def test_a_lora_has_no_tasks_to_name(workshop, tmp_path):
    lora_folder(workshop, tmp_path / "lora")
    done = registry(workshop, "import", tmp_path / "lora", "--base", "base", "--tasks", "a,b", expect=3)
    assert "this is a LoRA" in done.stdout
