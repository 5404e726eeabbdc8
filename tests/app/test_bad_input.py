"""Every user's mistake: exit code 2, a sentence that names it, and nothing written."""
import json
import shutil
import subprocess

import pytest

from workshop import write_json


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


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n"


def base_with(**keys):
    """Beside the base a folder `other` that is the same but for keys of its config.json."""
    def made(folder):
        shutil.copytree(folder / "base", folder / "other")
        path = folder / "other/config.json"
        write_json(path, json.loads(path.read_text()) | keys)
    return made


def base_where(name, text):
    def made(folder):
        base_with()(folder)
        (folder / "other" / name).write_text(text)
    return made


OTHER = ["experts", "tiny.toml", "--dry-run", "--model.path=other"]
# What first hours are lost by: what is there, the command, words of the message.
FIRST_HOURS = {
    "the name of a model that is not here": (None, [*OTHER[:3], "--model.path=maker/model"], ["maker/model", "hub cache", "hf download maker/model"]),
    "a folder of a download that was refused": (lambda f: (f / "other").mkdir(), OTHER, ["other: neither config.json", "download"]),
    "a kind of model that is not supported": (base_with(model_type="gpt2"), OTHER, ['model_type "gpt2"', "llama"]),
    "a mixture of experts": (base_with(model_type="mixtral", num_local_experts=8), OTHER, ["mixtral: a mixture of experts"]),
    "a quantised folder": (base_with(quantization_config={"quant_method": "gptq"}), OTHER, ["quantization_config", "GGUF"]),
    "weights that were not pulled": (base_where("model.safetensors", LFS), OTHER, ["other/model.safetensors", "git lfs pull"]),
    "a tokenizer that was not pulled": (base_where("tokenizer.json", LFS), OTHER, ["other/tokenizer.json", "git lfs pull"]),
    "a task that was not pulled": (lambda f: (f / "tasks/copy.jsonl").write_text(LFS), OTHER[:3], ["tasks/copy.jsonl", "git lfs pull"]),
    "no config": (None, ["experts"], ["CONFIG is required", "gaggle init"]),
    "a config's name misspelt": (None, ["experts", "tinny.toml"], ["tinny.toml: there is no such config file"]),
    "the model's folder for a config": (None, ["experts", "base"], ["base", "a config is a TOML file"]),
    "a task for a config": (None, ["experts", "tasks/copy.jsonl"], ["tasks/copy.jsonl:1:1", "a config is a TOML file"]),
    "a misspelt option": (None, ["experts", "tiny.toml", "--dryrun"], ["--dryrun", "did you mean --dry-run"]),
    "a GPU that is not there": (None, [*OTHER[:3], "--run.device=cuda"], ['run.device = "cuda"', "no GPU", '"cpu"']),
    "the mpirun of another MPI": ({"PMI_RANK": "0", "PMI_SIZE": "2"}, OTHER[:3], ["mpirun of another MPI", "launch/env.sh"]),
    "the mpirun of another Open MPI": ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, OTHER[:3], ["2 ranks", "MPI says 1", "built with"]),
}


@pytest.mark.parametrize("what", FIRST_HOURS)
def test_what_first_hours_are_lost_by_is_named_with_the_way_out(workshop, what):
    before, command, words = FIRST_HOURS[what]
    if callable(before):
        before(workshop.folder)
    done = subprocess.run([workshop.gaggle, *command], cwd=workshop.folder, capture_output=True, text=True,
                          env=workshop.environment() | (before if isinstance(before, dict) else {}))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    assert not (workshop.folder / "registry").exists() and not (workshop.folder / "runs").exists()


def test_lines_that_end_as_on_windows_are_read_as_any(workshop):
    plan = workshop.experts("--dry-run").stdout
    for path in (workshop.folder / "tiny.toml", workshop.folder / "tasks/copy.jsonl"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    again = workshop.experts("--dry-run").stdout
    assert [line for line in again.splitlines() if line.startswith("copy ")] == [line for line in plan.splitlines() if line.startswith("copy ")]


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
