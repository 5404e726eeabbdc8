"""What collections pin while others train, import and remove; and that no evaluation is written over another one."""
import json
import shutil

ONLY = "--data.tasks=['tasks/{}.jsonl']"


def collection(shop, name="all"):
    """Its newest version: name → version."""
    newest = sorted((shop.folder / "registry/collections" / name).glob("v*"))[-1]
    return {pin["name"]: pin["version"] for pin in json.loads((newest / "collection.json").read_text())["experts"]}


def steps(shop, name, version):
    recipe = json.loads((shop.folder / "registry/experts" / name / version / "expert.json").read_text())["recipe"]
    return recipe["train"]["steps"]


def test_two_jobs_with_other_settings_collect_their_own_experts(workshop):
    tasks = "--data.tasks=['tasks/copy.jsonl','tasks/vowel.jsonl']"
    settings = {"ours": 40, "theirs": 30}
    jobs = [workshop.start("experts", "tiny.toml", tasks, f"--run.name={name}", f"--registry.collection={name}",
                           f"--train.steps={count}", "--cluster.wait=true") for name, count in settings.items()]
    for job in jobs:
        _, errors = job.communicate(timeout=300)
        assert job.returncode == 0, errors
    for name, count in settings.items():
        pins = collection(workshop, name)
        assert set(pins) == {"copy", "vowel"}
        assert {steps(workshop, expert, version) for expert, version in pins.items()} == {count}
    workshop.run("registry", "verify", "--registry", "registry")


def test_gates_that_could_not_move_current_are_used_the_next_time(workshop):
    workshop.experts(ONLY.format("copy"), "--gate.steps=0")
    workshop.run("gates", "tiny.toml", ONLY.format("copy"))
    assert collection(workshop) == {"copy": "v0002"}
    (workshop.folder / "registry/experts/copy/CURRENT").write_text("v0001\n")
    shutil.rmtree(workshop.folder / "registry/collections")
    workshop.run("gates", "tiny.toml", ONLY.format("copy"))
    assert (workshop.folder / "registry/experts/copy/CURRENT").read_text() == "v0002\n"
    assert collection(workshop) == {"copy": "v0002"}
    # Who asks for the expert without gates once more does not take them away from those who use CURRENT.
    done = workshop.experts(ONLY.format("copy"), "--gate.steps=0")
    assert "CURRENT stays at v0002, which gives gates to v0001" in done.stderr
    assert (workshop.folder / "registry/experts/copy/CURRENT").read_text() == "v0002\n"
    assert collection(workshop) == {"copy": "v0002"}


def test_a_collection_grows_by_default_and_shrinks_when_asked(workshop):
    quick = ["--train.steps=1", "--gate.steps=0"]
    workshop.experts(ONLY.format("copy"), *quick)
    done = workshop.experts(ONLY.format("vowel"), *quick)
    assert "collection all keeps copy@v0001 beside these" in done.stdout
    assert "collection all: 2 experts" in done.stdout
    assert collection(workshop) == {"copy": "v0001", "vowel": "v0001"}
    workshop.experts(ONLY.format("copy"), *quick)  # the old config flips nothing back
    assert collection(workshop) == {"copy": "v0001", "vowel": "v0001"}

    def collect(*words, expect=0):
        return workshop.run("registry", "collect", "all", *words, "--registry", "registry", expect=expect)

    assert "1 expert (dropped copy)" in collect("--drop", "copy").stdout
    assert "2 experts (added copy)" in collect("--add", "copy").stdout
    assert "1 expert" in collect("--only", "copy").stdout and collection(workshop) == {"copy": "v0001"}
    assert "2 experts (added vowel)" in collect().stdout
    assert "--drop nobody" in collect("--drop", "nobody", expect=2).stderr
    assert "--only" in collect("copy", "--only", "vowel", expect=2).stderr
    assert "--drop: belongs to gaggle registry import, gaggle registry collect" in workshop.run(
        "registry", "ls", "--drop", "copy", "--registry", "registry", expect=2).stderr


def test_an_expert_that_is_not_the_pinned_one_is_not_scored(workshop):
    workshop.experts(ONLY.format("copy"), "--train.steps=1", "--gate.steps=1")
    version = workshop.folder / "registry/experts/copy/v0001"
    methods = "--eval.methods=['phatgoose']"
    config = (version / "adapter_config.json").read_text()
    (version / "adapter_config.json").write_text(config.replace('"lora_alpha"', ' "lora_alpha"'))
    changed = workshop.run("eval", "tiny.toml", methods, expect=2)
    assert "adapter_config.json: its bytes are not those that were committed" in changed.stderr
    version.rename(version.parent / "v0002")
    gone = workshop.run("eval", "tiny.toml", methods, expect=2)
    assert "collection all@v0001 pins copy@v0001, which is not there any more" in gone.stderr


def test_an_evaluation_of_another_collection_leaves_the_first_ones_files(workshop):
    workshop.experts(ONLY.format("copy"), "--train.steps=1", "--gate.steps=1")
    score = ["eval", "tiny.toml", "--eval.methods=['none','phatgoose']", ONLY.format("vowel")]
    workshop.run(*score)
    folder = workshop.folder / "runs/tiny/eval"
    first = {path.name: path.read_bytes() for path in folder.glob("*.json*")}
    assert set(first) == {"results.json", "predictions.jsonl"}
    about = json.loads(first["results.json"])
    assert about["collection"] == "all@v0001" and about["base"]["name"] and len(about["base"]["content"]) == 64
    workshop.experts(ONLY.format("vowel"), "--train.steps=1", "--gate.steps=1")
    done = workshop.run(*score)
    other = f"all@v0002-{about['base']['content'][:8]}"
    assert f"results-{other}.json" in done.stdout
    assert json.loads((folder / f"results-{other}.json").read_text())["collection"] == "all@v0002"
    assert (folder / f"predictions-{other}.jsonl").exists()
    assert {name: (folder / name).read_bytes() for name in first} == first
    workshop.run(*score, "--eval.collection=all")  # the same once more: its own files again
    workshop.run(*score, "--eval.collection=all@v0001")  # and the first once more
    assert {name: (folder / name).read_bytes() for name in first} == first
    assert len(list(folder.glob("*.json*"))) == 4
