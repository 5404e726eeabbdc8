"""The command line as people meet it: help that fits, hints that lead somewhere, names that complete, registries named alike."""
import json
import os
import re
import shutil
import subprocess

import pytest
from workshop import Workshop


@pytest.fixture(scope="module")
def said(gaggle, tmp_path_factory):
    """What the program prints, each command line asked once."""
    answers = {}

    def ask(*words, columns=None, expect=0, **settings):
        key = (words, columns)
        if key not in answers:
            environment = os.environ | {"TERM": "dumb"} | ({"COLUMNS": str(columns)} if columns else {})
            environment.pop("COLUMNS" if not columns else "", None)
            answers[key] = subprocess.run([gaggle, *words], capture_output=True, text=True, env=environment,
                                          cwd=tmp_path_factory.getbasetemp())
        assert answers[key].returncode == expect, answers[key]
        return answers[key].stdout + answers[key].stderr

    return ask


@pytest.fixture(scope="module")
def shop(trained, gaggle, tmp_path_factory):
    """A copy of the trained workshop, for this file alone."""
    folder = shutil.copytree(trained.folder, tmp_path_factory.mktemp("shop") / "shop")
    return Workshop(folder, gaggle)


def pages(said, columns=None):
    """The words of each command that can be typed → its page."""
    found = {}
    for page in re.split(r"\n\n\n(?=usage: )", said("help", "all", columns=columns)):
        usage = page.replace("\n    ", " ")
        words = re.match(r"usage: gaggle((?: [a-z]+)*)(?= |\n)", usage)[1].split()
        found[" ".join(words)] = page.rstrip("\n")
    return found


@pytest.mark.parametrize("columns, most", [(None, 100), (80, 80), (60, 60)])
def test_every_page_of_help_fits_a_screen(said, columns, most):
    found = pages(said, columns)
    assert len(found) > 20 and {"", "experts", "registry import", "data show"} <= found.keys()
    for words, page in found.items():
        lines = page.splitlines()
        assert len(lines) <= (40 if most > 60 else 56), (words, len(lines))
        for line in lines:
            long_word = max(map(len, line.split()), default=0) + 8 > most
            assert len(line) <= most or long_word, (words, line)
        assert "\x1b" not in page


def test_an_action_has_its_own_help_with_its_own_options(said):
    found = pages(said)
    assert said("registry", "import", "--help").strip() == found["registry import"].strip()
    assert said("help", "registry", "import").strip() == found["registry import"].strip()
    assert "--base MODEL" in found["registry import"] and "--merged" not in found["registry import"]
    assert "--merged" in found["registry export"] and "--base MODEL" not in found["registry export"]
    assert "did you mean import?" in said("help", "registry", "improt", expect=2)


def test_every_hint_names_a_command_that_is_there(said, root):
    found = pages(said)
    hints = set()
    for mistake in [["data", "show", "--nonsense", "x"], ["registry", "export"], ["registry", "ls", "--merged"], ["experts"],
                    ["status", "--train.lr=1", "x"], ["experts", "a", "b"], ["generate", "x.toml"]]:
        text = said(*mistake, expect=2)
        named = re.findall(r"gaggle((?: [a-z]+)*) --help", text)
        assert named and " ".join(mistake).startswith(named[0].strip()), text
        hints |= {hint.strip() for hint in named}
    # In messages and documents they are written out: "next: gaggle eval …", `gaggle registry show …`.
    for path in [*root.glob("src/**/*.cpp"), *root.glob("docs/*.md"), root / "README.md"]:
        text = path.read_text()
        hints |= {hint.strip() for hint in re.findall(r"gaggle((?: [a-z]+)+) --help", text)}
        hints |= set(re.findall(r"next: gaggle (registry [a-z]+|[a-z]+)", text))
        hints |= {word for word in re.findall(r"[`(]gaggle (registry [a-z]+|data [a-z]+|[a-z]+)", text)}
    assert "registry export" in hints and "eval" in hints
    assert not {hint for hint in hints if hint not in found}


def test_keys_are_a_page_of_their_own_by_section(said):
    page = said("help", "config", "train", columns=60)
    assert page.startswith("[train]") and "[lora]" not in page and max(map(len, page.splitlines())) <= 60
    assert "lr" in page and "learning rate" in page
    whole = said("help", "config")
    assert "[run]" in whole and "[plan]" in whole and max(map(len, whole.splitlines())) <= 100
    assert "did you mean train?" in said("help", "config", "trian", expect=2)
    assert "did you mean train.lr?" in said("help", "config", "train.learning_rate", expect=2)


@pytest.mark.parametrize("option, key", [("--train.learning_rate=1", "train.lr"), ("--lora.r=8", "lora.rank"),
                                         ("--learning-rate", "--train.lr"), ("--lora_alpha", "--lora.alpha")])
def test_words_of_other_programs_hint_at_the_key(shop, option, key):
    assert f"did you mean {key}" in shop.run("eval", "tiny.toml", option, expect=2).stderr


def test_the_version_names_what_is_built_in(said):
    lines = dict(re.split(r"  +| (?=not|Open|NCCL)", line, maxsplit=1) for line in said("--version").splitlines()[1:])
    assert {"LibTorch", "MPI", "CUDA", "NCCL", "fast on", "here"} <= lines.keys()
    assert re.match(r"\d+\.\d+", lines["LibTorch"])


def test_the_man_page_holds_every_command_and_key(said, tmp_path, root):
    page = said("help", "--man")
    for words in pages(said):
        if words not in ("", "registry", "data"):
            assert f'.SS "gaggle {words}' in page
    assert "train.lr" in page.replace("\\", "") and ".SH EXIT STATUS" in page
    codes = re.findall(r"^\| (\d+) \|", (root / "docs/architecture.md").read_text(), re.MULTILINE)
    assert codes and all(f".B {code}\n" in page for code in codes)
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-man", "-ww", "-Kutf8", "-Tutf8"], input=page, capture_output=True, text=True)
        assert "gaggle.1" not in done.stderr and "warning" not in done.stderr, done.stderr


# ---- completion ----

ASK_BASH = """
source ./script
for line in "$@"; do
  COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=()
  compopt() { :; }
  _gaggle
  printf '%s\\t' "${COMPREPLY[@]}"; echo
done
"""
ASK_FISH = "source ./script; for line in $argv; complete -C $line | cut -f 1 | tr '\\n' '\\t'; echo; end"

@pytest.fixture(scope="module")
def completion(trained, gaggle, tmp_path_factory):
    """Ask a shell what it would complete, in a folder with a registry."""
    folder = tmp_path_factory.mktemp("completion")
    shutil.copytree(trained.folder / "registry", folder / "registry")
    (folder / "elsewhere").mkdir()
    shutil.copytree(trained.folder / "registry/experts/copy", folder / "elsewhere/reg/experts/only")
    (folder / "elsewhere/my.toml").write_text('[run]\nname = "x"\n[registry]\npath = "reg"\n[gate]\nsteps = 1\n')

    def ask(shell, *lines):
        if not shutil.which(shell):
            pytest.skip(f"{shell} is not there")
        script = subprocess.run([gaggle, "completion", shell], capture_output=True, text=True, check=True).stdout
        (folder / "script").write_text(script)
        if shell != "fish":
            subprocess.run([shell, "-n", folder / "script"], check=True)
        command = {"bash": ["bash", "-c", ASK_BASH, "bash"], "fish": ["fish", "--no-config", "-c", ASK_FISH]}[shell]
        done = subprocess.run([*command, *lines], cwd=folder, capture_output=True, text=True)
        assert not done.stderr, done.stderr
        return [set(filter(None, line.split("\t"))) for line in done.stdout.splitlines()]

    return ask


LINES = ["gaggle reg", "gaggle registry ", "gaggle registry export copy --", "gaggle registry show v", "gaggle experts --train.l",
         "gaggle experts a.toml --train.schedule=l", "gaggle data show a.toml --split t",
         "gaggle registry rm elsewhere/my.toml o", "gaggle eval a.toml --eval.collection="]


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_shells_complete_commands_options_keys_and_names(completion, shell):
    found = completion(shell, *LINES)
    names = {"copy", "first", "reverse", "vowel", "all"}
    assert found[0] == {"registry"}
    assert {"ls", "show", "import", "rm"} <= found[1] and "experts" not in found[1]
    assert {"--to", "--merged"} <= found[2] and "--base" not in found[2] and "--train." not in found[2]
    assert "vowel" in found[3] and not found[3] & (names - {"vowel"})
    ends = {word.rpartition(".")[2].rstrip("=") for word in found[4]}
    assert {"lr", "lanes", "loss_average", "label_smoothing"} == ends
    assert {word.rpartition("=")[2] for word in found[5]} == {"linear"}
    assert {"train", "test"} <= found[6] and "validation" not in found[6]
    assert "only" in found[7] and not found[7] & names
    assert {word.rpartition("=")[2] for word in found[8]} == {"all"}


def test_the_script_of_zsh_is_sound(gaggle, tmp_path):
    if not shutil.which("zsh"):
        pytest.skip("zsh is not there")
    script = subprocess.run([gaggle, "completion", "zsh"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "_gaggle").write_text(script)
    subprocess.run(["zsh", "-n", "_gaggle"], cwd=tmp_path, check=True)
    done = subprocess.run(["zsh", "-f", "-c", "autoload -U compinit; compinit -u -d dump; source ./_gaggle; "
                           "_gaggle_here 'registry export' --m ''; _gaggle_here '' '' ''"], cwd=tmp_path, capture_output=True, text=True)
    assert not done.stderr and "--merged\t" in done.stdout and "experts\t" in done.stdout


# ---- which registry, which names ----

def test_a_registry_is_named_alike_everywhere(shop):
    done = shop.run("registry", "ls")
    listed = done.stdout
    assert "vowel" in listed and "next: gaggle registry show registry NAME" in done.stderr
    for where in [["tiny.toml"], ["registry"], ["--registry", "tiny.toml"]]:
        assert shop.run("registry", "ls", *where).stdout == listed
    assert "vowel" in shop.run("registry", "show", "tiny.toml", "vowel").stdout
    status = shop.run("status", "registry").stdout
    assert "4 items, 4 done" in shop.run("status", "tiny.toml").stdout and shop.run("status").stdout == status
    assert json.loads(shop.run("status", "tiny.toml", "--json").stdout)
    for words, reason in [(["registry", "ls", "--train.lr=1"], "takes no keys of the config"),
                          (["registry", "ls", "tiny.toml", "--registry.path=gone"], "gone: no registry there"),
                          (["registry", "ls", "registry", "--registry", "registry"], "name one registry"),
                          (["registry", "ls", "--registry", "nowhere"], "nowhere: no registry there"),
                          (["registry", "rm", "gone.toml", "copy"], "gone.toml: there is no such config file"),
                          (["status", "tiny.toml", "--run.name=new", "--registry.path=gone"], "nothing was started yet")]:
        assert reason in shop.run(*words, expect=2).stderr


def test_without_a_word_and_without_a_registry_it_says_how_to_name_one(said):
    for words in [["registry", "ls"], ["status"]]:
        text = said(*words, expect=2)
        assert "there is no registry in ./registry: name one" in text and f"gaggle {' '.join(words)} CONFIG" in text
    assert 'in ./registry, nor is "elsewhere/registry" one' in said("registry", "ls", "elsewhere/registry", expect=2)


def test_ls_and_verify_heed_names_and_patterns(shop):
    text = shop.run("registry", "ls", "vowel", "re*").stdout
    assert "vowel" in text and "reverse" in text and "copy" not in text and "collection" not in text
    assert "copy" not in shop.run("registry", "ls", "collections/all").stdout
    assert "sound, 1 version" in shop.run("registry", "verify", "copy@v0001").stdout
    for action in ["ls", "verify"]:
        assert "did you mean vowel?" in shop.run("registry", action, "vowle", expect=2).stderr
        assert "nothing is called" in shop.run("registry", action, "zz*", expect=2).stderr


def test_verify_reads_the_versions_that_are_named(shop, tmp_path):
    shutil.copytree(shop.folder / "registry", tmp_path / "registry")
    file = tmp_path / "registry/experts/vowel/v0001/adapter_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.unlink()
    file.write_bytes(data)
    assert "vowel" in shop.run("registry", "verify", tmp_path / "registry", "v*", expect=1).stdout
    shop.run("registry", "verify", tmp_path / "registry", "copy", "first")


# ---- what need not be typed ----

def test_eval_without_a_collection_takes_all_experts_and_says_so(shop):
    words = ["--registry.collection=", "--run.name=all-of-them", "--eval.limit_examples=2", "--eval.methods=phatgoose,merged"]
    plan = shop.run("eval", "tiny.toml", *words, "--dry-run").stdout
    assert "none is named" in plan and "all of registry" in plan and "4 experts: copy, first, reverse, vowel" in plan
    named = [word for word in words if "collection" not in word]
    shop.run("eval", "tiny.toml", *words)
    results = json.loads((shop.folder / "runs/all-of-them/eval/results.json").read_text())
    assert re.fullmatch(r"all-experts@[0-9a-f]{8}", results["collection"])
    shop.run("eval", "tiny.toml", *named, "--run.name=pinned")
    pinned = json.loads((shop.folder / "runs/pinned/eval/results.json").read_text())
    assert pinned["methods"] == results["methods"] and pinned["collection"] == "all@v0001"
    assert "sound" in shop.run("registry", "verify").stdout  # and what is kept for it is nobody else's


# ---- answers ----

def test_generate_reads_standard_input_draws_by_seed_and_says_how(shop):
    def answer(*words, prompt="copy: ant bee", given=None, expect=0):
        done = subprocess.run(shop.command("generate", "tiny.toml", "-" if given is not None else prompt, *words),
                              cwd=shop.folder, env=shop.environment(), capture_output=True, text=True, input=given)
        assert done.returncode == expect, done.stderr
        return done

    short = ["--max-new-tokens", "12"]
    plain = answer(*short)
    assert answer(*short, given="copy: ant bee\n").stdout == plain.stdout == answer("--eval.max_new_tokens=12").stdout
    for words in ["answered by phatgoose (top_k 2) over all@v0001, 4 experts; likeliest tokens, at most 12 tokens"]:
        assert words in plain.stderr, plain.stderr
    drawn = [answer(*short, "--temperature", "9", "--top-k", "40", "--seed", seed) for seed in "112"]
    assert drawn[0].stdout == drawn[1].stdout != drawn[2].stdout
    assert "drawn at temperature 9, top_k 40, seed 1" in drawn[0].stderr
    assert any("stopped at 12 tokens" in done.stderr for done in drawn)
    for words, reason in [(["--seed", "1"], "nothing is drawn"), (["--top-p", "0.5", "--eval.beams=2"], "eval.beams = 2")]:
        assert reason in answer(*words, expect=2).stderr
    assert "the prompt is empty" in answer(given="", expect=2).stderr


def test_a_job_of_slurm_that_bash_runs_says_to_submit_it(root):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    for script in ["slurm.sbatch", "array.sbatch"]:
        done = subprocess.run(["bash", root / "launch" / script, "experts", "x.toml"], env=environment, capture_output=True, text=True)
        assert done.returncode == 2 and "submit it, sbatch" in done.stderr and "unbound" not in done.stderr


@pytest.mark.parametrize(("words", "reason"), [
    (["data", "show", "tiny.toml", "--task", "copy", "--examples", "-1"], '--examples: expected an integer >= 0, got "-1"'),
    (["data", "show", "tiny.toml", "--task", "copy", "--examples", "1.5"], '--examples: expected an integer >= 0, got "1.5"'),
    (["generate", "tiny.toml", "x", "--top-p", "2"], '--top-p: expected a number >= 0 and <= 1, got "2"'),
    (["generate", "tiny.toml", "x", "--seed", "-1"], '--seed: expected an integer >= 0, got "-1"'),
    (["generate", "tiny.toml", "x", "--temperature", "0", "--top-k", "5"], "--temperature 0: nothing is drawn"),
    (["registry", "collect", "fresh", "--drop", "copy"], "there is no collection fresh yet"),
    (["experts", "tiny.toml", "--train.steps=1e3"], "got 1000.0"),
    (["experts", "tiny.toml", "--train.epochs=1"], "wins over train.epochs")])
def test_ranges_and_idle_options_are_named(shop, words, reason):
    assert reason in shop.run(*words, expect=2).stderr
