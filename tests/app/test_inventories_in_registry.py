"""gaggle registry with PEFT Poly folders: in, listed, out again, averaged; all through the program alone."""
import hashlib
import json
import shutil

import pytest
import torch


def base_model(shop):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(shop.folder / "base").eval()


def poly_folder(shop, folder, heads=4, **settings):
    from peft import PolyConfig, get_peft_model

    settings = {"target_modules": ["q_proj", "v_proj", "down_proj"]} | settings
    model = get_peft_model(base_model(shop), PolyConfig(task_type="CAUSAL_LM", r=2, n_tasks=3, n_skills=5,
                                                        n_splits=heads, **settings))
    torch.manual_seed(heads)
    for name, parameter in model.named_parameters():
        if "poly_" in name:
            parameter.data.normal_()
    model.save_pretrained(folder)
    return model.eval()


def from_folder(shop, folder):
    from peft import PeftModel

    return PeftModel.from_pretrained(base_model(shop), folder).eval()


@torch.no_grad()
def logits(model, **arguments):
    return model(torch.arange(1, 9)[None], **arguments).logits


def registry(shop, *words, **options):
    return shop.run("registry", *words, "--registry", "registry", **options)


@pytest.mark.parametrize("heads", [1, 4])
def test_a_poly_folder_goes_in_and_comes_out(workshop, tmp_path, heads):
    model = poly_folder(workshop, tmp_path / "mhr", heads)
    done = registry(workshop, "import", tmp_path / "mhr", "--base", "base")
    assert "inventories/mhr@v0001" in done.stdout and "fits" in done.stdout
    assert "inventories/mhr@v0001" in registry(workshop, "import", tmp_path / "mhr", "--base", "base").stdout

    listed = registry(workshop, "ls").stdout.split("\n")
    assert listed[0].split() == ["inventory", "version", "method", "tasks", "skills", "heads", "rank", "sites", "origin",
                                 "base", "size", "made", "from"]
    assert listed[1].split()[:10] == ["mhr", "v0001", "poly" if heads == 1 else "mhr", "3", "5", str(heads), "2", "9",
                                      "imported", "verified"]
    shown = registry(workshop, "show", "mhr").stdout
    assert "task 2" in shown and "poly.skills" in shown and "registry/inventories/mhr/v0001" in shown
    assert "sound, 1 version" in registry(workshop, "verify").stdout

    registry(workshop, "export", "mhr", "--to", tmp_path / "out")
    again = from_folder(workshop, tmp_path / "out")
    for task in range(3):
        assert torch.equal(logits(again, task_ids=torch.tensor([task])), logits(model, task_ids=torch.tensor([task])))

    # The averaged adapter is what PEFT's Poly gives with uniform routing.
    registry(workshop, "export", "mhr", "--mu", "--to", tmp_path / "mu")
    for name, parameter in model.named_parameters():
        if "module_logits" in name:
            parameter.data.zero_()
    assert json.loads((tmp_path / "mu/adapter_config.json").read_text())["peft_type"] == "LORA"
    assert torch.allclose(logits(from_folder(workshop, tmp_path / "mu")),
                          logits(model, task_ids=torch.tensor([0])), atol=1e-4)
    registry(workshop, "import", tmp_path / "mu", "--base", "base")  # and one of our experts
    registry(workshop, "verify")
    registry(workshop, "rm", "mhr")
    assert "mhr" not in registry(workshop, "ls").stdout


def test_the_averaged_adapter_targets_what_the_poly_does(workshop, tmp_path):
    model = poly_folder(workshop, tmp_path / "some", target_modules=r".*\.(0|2)\.mlp\.(up|down)_proj")
    registry(workshop, "import", tmp_path / "some", "--base", "base")
    registry(workshop, "export", "some", "--mu", "--to", tmp_path / "mu")
    layers = lambda m, part: sorted(name for name, module in m.named_modules() if hasattr(module, part))
    assert layers(from_folder(workshop, tmp_path / "mu"), "lora_A") == layers(model, "poly_lora_A")


def test_a_name_of_two_kinds_needs_its_kind(workshop, tmp_path):
    poly_folder(workshop, tmp_path / "copy")
    workshop.experts("--gate.steps=0")  # an expert named copy
    registry(workshop, "import", tmp_path / "copy", "--base", "base")
    for command in [["show", "copy"], ["rm", "copy"], ["export", "copy", "--to", tmp_path / "out"]]:
        assert "experts/copy or inventories/copy" in registry(workshop, *command, expect=2).stderr
    assert not (tmp_path / "out").exists()
    assert "inventories/copy/v0001" in registry(workshop, "show", "inventories/copy").stdout
    registry(workshop, "rm", "inventories/copy")
    assert "experts/copy/v0001" in registry(workshop, "show", "copy").stdout


def test_bad_poly_folders_are_refused_and_nothing_is_written(workshop, tmp_path):
    from make_models import make_model

    poly_folder(workshop, tmp_path / "good")
    shutil.copytree(tmp_path / "good", tmp_path / "skills")
    config = json.loads((tmp_path / "skills/adapter_config.json").read_text())
    (tmp_path / "skills/adapter_config.json").write_text(json.dumps(config | {"n_skills": 6}))
    done = registry(workshop, "import", tmp_path / "skills", "--base", "base", expect=3)
    assert "n_skills 6" in done.stdout and "1 refused" in done.stdout
    make_model(tmp_path / "wide", "llama", intermediate_size=82)
    done = registry(workshop, "import", tmp_path / "good", "--base", tmp_path / "wide", expect=3)
    assert "82 wide in" in done.stdout and "4 heads do not divide" in done.stdout
    assert not (workshop.folder / "registry").exists()
    assert "--mu" in registry(workshop, "ls", "--mu", expect=2).stderr


def test_rows_are_listed_and_keep_their_parent(workshop, tmp_path):
    """A routing row's folder made by hand from docs/registry.md."""
    from safetensors.torch import save_file

    digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    poly_folder(workshop, tmp_path / "mhr")
    registry(workshop, "import", tmp_path / "mhr", "--base", "base")
    row = workshop.folder / "registry/routing_rows/vowel/v0001"
    row.mkdir(parents=True)
    save_file({"model.layers.0.self_attn.q_proj": torch.zeros(4, 5)}, row / "routing_row.safetensors")
    parent = digest(workshop.folder / "registry/inventories/mhr/v0001/SHA256SUMS")
    (row / "routing_row.json").write_text(json.dumps({"format": 1, "name": "vowel", "key": "k", "task": "vowels",
                                              "parent": "mhr@v0001", "parent_sha256": parent}))
    (row / "SHA256SUMS").write_text("".join(f"{digest(row / name)}  {name}\n"
                                            for name in ["routing_row.json", "routing_row.safetensors"]))
    listed = registry(workshop, "ls").stdout.split("\n")
    assert listed[2].split() == ["routing", "row", "version", "task", "parent", "size"]
    assert listed[3].split()[:4] == ["vowel", "v0001", "vowels", "mhr@v0001"]
    assert "parent_sha256" in registry(workshop, "show", "vowel").stdout
    assert "sound, 2 versions" in registry(workshop, "verify").stdout
    assert "parent of vowel@v0001" in registry(workshop, "rm", "mhr", expect=2).stderr
    refused = registry(workshop, "export", "vowel", "--to", "out", expect=2).stderr  # its tensor is no router of the parent's
    assert "it has no routing values for site model.layers.0" in refused and not (workshop.folder / "out").exists()
    shutil.rmtree(workshop.folder / "registry/inventories/mhr")
    assert "mhr@v0001, which is not there" in registry(workshop, "verify", expect=1).stdout
