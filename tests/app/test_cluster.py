"""gaggle cluster: what it measures against NumPy, what it joins against scipy, and the task files that experts are then
trained on."""
import json
import shutil

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.numpy import save_file
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from workshop import Workshop

POLY = ["--poly.skills=3", "--poly.heads=4", "--poly.rank=2", "--train.lr=1e-2"]


def clusters_in(text):
    """[(members, inside, to others)] of the printed table."""
    lines = text.split("cluster  members")[1].splitlines()[1:]
    found = []
    for line in lines:
        cells = line.split()
        if not cells or not cells[0].isdigit():
            break
        number = lambda cell: float("nan") if cell == "-" else float(cell)
        found.append(([name.strip(",") for name in cells[4:]], number(cells[2]), number(cells[3])))
    return found


def names_in(text):
    return [members for members, _, _ in clusters_in(text)]


def write_similarity(path, names, cosine):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"cosine": cosine, "error": np.zeros_like(cosine)}, path, {"format": "pt", "tasks": json.dumps(names)})


def random_cosines(draw, members):
    rows = draw.standard_normal((members, 6)) + 0.7 * draw.standard_normal((members, 1))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


@pytest.mark.parametrize("seed, members, count", [(0, 9, 3), (1, 9, 4), (2, 20, 6), (3, 20, 2), (4, 12, 11), (5, 5, 1)])
def test_clusters_are_those_of_scipy(workshop, seed, members, count):
    cosine = random_cosines(np.random.default_rng(seed), members)
    names = [f"t{i}" for i in range(members)]
    write_similarity(workshop.folder / "found.safetensors", names, cosine)
    text = workshop.run("cluster", "found.safetensors", "--clusters", count).stdout
    labels = fcluster(linkage(squareform(1 - cosine, checks=False), method="average"), count, criterion="maxclust")
    theirs = {frozenset(names[i] for i in np.flatnonzero(labels == label)) for label in set(labels)}
    assert {frozenset(members) for members in names_in(text)} == theirs
    for members, inside, others in clusters_in(text):
        own = [names.index(name) for name in members]
        rest = [i for i in range(len(names)) if i not in own]
        pairs = [cosine[a, b] for a in own for b in own if a != b]
        assert np.isnan(inside) if not pairs else inside == pytest.approx(np.mean(pairs), abs=6e-4)
        assert np.isnan(others) if not rest else others == pytest.approx(cosine[np.ix_(own, rest)].mean(), abs=6e-4)


def dense(folder):
    """All weights' changes, by site, as PEFT would merge them."""
    from safetensors.torch import load_file

    tensors, config = load_file(folder / "adapter_model.safetensors"), json.loads((folder / "adapter_config.json").read_text())
    changes = {}
    for name, a in tensors.items():
        if name.endswith(".lora_A.weight"):
            site, b = name.removesuffix(".lora_A.weight"), tensors[name.replace("lora_A", "lora_B")]
            changes[site] = config["lora_alpha"] / config["r"] * b.double() @ a.double()
    return changes


@pytest.fixture
def imported(workshop):
    """A registry of four LoRAs that PEFT wrote: other ranks, scales and modules; c is a and some noise."""
    import kinds

    settings = {"a": (2, 8, ["q_proj", "v_proj", "down_proj"]), "b": (5, 3, ["q_proj", "down_proj"]),
                "c": (2, 2, ["q_proj", "v_proj", "down_proj"]), "d": (3, 1, ["up_proj"])}
    draw, of_a = torch.Generator().manual_seed(1), {}
    for name, (rank, alpha, modules) in settings.items():
        model = get_peft_model(kinds.load(workshop.folder / "base", "llama"), LoraConfig(
            r=rank, lora_alpha=alpha, target_modules=modules))
        for key, parameter in sorted(model.named_parameters()):
            if "lora_" in key:
                parameter.data = torch.randn(parameter.shape, generator=draw)
                if name == "a":
                    of_a[key] = parameter.data
                if name == "c":
                    parameter.data = of_a[key] + 0.5 * parameter.data
        model.save_pretrained(workshop.folder / name)
    workshop.run("registry", "import", *settings, "--base", "base")
    return workshop


def test_weights_are_compared_as_dense_matrices_would_be(imported):
    changes = {name: dense(imported.folder / name) for name in "abcd"}
    product = lambda x, y: sum(float((x[site] * y[site]).sum()) for site in x.keys() & y.keys())
    cosine = np.array([[product(changes[x], changes[y]) for y in "abcd"] for x in "abcd"])
    cosine /= np.sqrt(np.outer(cosine.diagonal(), cosine.diagonal()))
    text = imported.run("cluster", "registry", "--clusters", "2").stdout
    assert "4 experts of registry by the cosines of scale · B A over all sites" in text
    shown = {cells[1]: cells[2:] for cells in map(str.split, text.splitlines()) if len(cells) > 2 and cells[1] in changes}
    order = list(shown)
    for x in order:
        others = [y for y in order if y != x]
        assert [float(cell) for cell in shown[x]] == pytest.approx([cosine["abcd".index(x), "abcd".index(y)] for y in others],
                                                                   abs=6e-3)
    assert cosine[0, 2] > 0.5 and ["a", "c"] in names_in(imported.run("cluster", "registry", "--clusters", "3").stdout)
    imported.run("registry", "collect", "some", "a", "b", "c")
    some = imported.run("cluster", "registry", "some", "--clusters", "2").stdout
    assert "3 experts of collection some@v0001" in some and names_in(some) == [["a", "c"], ["b"]]
    assert names_in(imported.run("cluster", "registry", "a", "d@v0001", "--clusters", "2").stdout) == [["a"], ["d"]]


def test_experts_of_groups_are_trained(workshop):
    """From the sketches of four experts to one expert for each of two groups."""
    small = ["--train.steps=1", "--gate.steps=0"]
    workshop.experts(*small)
    text = workshop.run("cluster", "runs/tiny", "--clusters", "2", "--out", "groups/of-two").stdout
    assert "4 tasks of runs/tiny/alignment/experts.safetensors by the cosines of their gradients at the experts'" in text
    assert "2 task files in groups/of-two · next: gaggle experts CONFIG" in text
    written = sorted(path.name for path in (workshop.folder / "groups/of-two").iterdir())
    assert written == ["of-two-1.toml", "of-two-2.toml"]
    assert not list((workshop.folder / "groups").glob("*.part-*"))
    there = workshop.experts("--data.tasks=['groups/of-two']", "--dry-run").stdout
    assert "2 tasks, 192 training examples" in there
    workshop.experts("--data.tasks=['groups/of-two']", *small, "--registry.path=grouped", "--run.name=grouped")
    assert sorted(path.name for path in (workshop.folder / "grouped/experts").iterdir()) == ["of-two-1", "of-two-2"]
    members = sorted(sum(names_in(text), []))
    assert members == ["copy", "first", "reverse", "vowel"]
    files = " ".join((workshop.folder / "groups/of-two" / name).read_text() for name in written)
    assert all(files.count(f"../../tasks/{name}.jsonl") == 1 for name in members)


def test_pretraining_is_clustered_by_gradients_and_by_routing(workshop):
    workshop.run("pretrain", "tiny.toml", *POLY, "--alignment.every=2")
    shutil.rmtree(workshop.folder / "registry/work", ignore_errors=True)
    text = workshop.run("cluster", "runs/tiny").stdout
    assert "in skill space, 6 measurements up to step 12" in text and "the largest of 2 to 3 clusters" in text
    aligned = workshop.run("align", "runs/tiny").stdout
    assert text.split("\n\n")[1].strip().split("\n", 1)[1] in aligned.replace("\r", "")  # the same matrix
    some = workshop.run("cluster", "runs/tiny/alignment/alignment.safetensors", "vowel", "copy", "--clusters", "1").stdout
    assert names_in(some) == [["copy", "vowel"]]
    routed = workshop.run("cluster", "registry", "tiny", "--clusters", "2", "--tasks", "tasks", "--out", "rows").stdout
    assert "4 tasks of inventory tiny@v0001 by the cosines of their routing weights" in routed
    assert len(list((workshop.folder / "rows").glob("rows-?.toml"))) == 2


def test_what_tasks_do_not_share_is_left_out_and_said(workshop):
    write_similarity(workshop.folder / "found.safetensors", ["copy", "first", "reverse"],
                     np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1.0]]))
    describe = lambda prompt: [(workshop.folder / f"tasks/{name}.toml").write_text(
        f'definition = "As {name}."\nprompt = "{prompt}"\nfiles = [{{ path = "{name}.jsonl", weight = 2.0 }}]\n')
        for name in ["copy", "first"]]
    describe("{definition} {input}")
    said = workshop.run("cluster", "found.safetensors", "--clusters", "2", "--tasks", "tasks", "--out", "two", expect=2).stderr
    assert "two-1: its tasks share a prompt with {definition}" in said and not list(workshop.folder.glob("two*"))
    describe(">> {input}")
    done = workshop.run("cluster", "found.safetensors", "--clusters", "2", "--tasks", "tasks", "--out", "two")
    assert "two-1: its tasks differ in definition" in done.stderr and "prompt" not in done.stderr
    text = (workshop.folder / "two/two-1.toml").read_text()
    assert ">> {input}" in text and text.count("weight = 2.0") == 2 and "As copy." not in text
    shown = workshop.run("data", "show", "tiny.toml", "--data.tasks=['two']", "--task", "two-1", "--jsonl").stdout
    assert len(shown.splitlines()) == 2 * 2 * 48


def spoil(shop, what):
    write_similarity(shop.folder / "found.safetensors", ["copy", "first", "tally"], np.eye(3))
    return {
        "nothing": (["nowhere"], ["nowhere"]),
        "a run that measured nothing": (["tasks"], ["gaggle experts", "alignment.examples", "alignment.every"]),
        "no such task": (["found.safetensors", "cpoy"], ["cpoy", "did you mean copy"]),
        "too many": (["found.safetensors", "--clusters", "4"], ["--clusters 4", "3 members"]),
        "none": (["found.safetensors", "--clusters", "0"], ["--clusters"]),
        "two of them, auto": (["found.safetensors", "copy", "first"], ["--clusters auto", "three"]),
        "one": (["found.safetensors", "copy"], ["two at least"]),
        "no tasks": (["found.safetensors", "--out", "out"], ["--out out", "--tasks"]),
        "a task without a file": (["found.safetensors", "--tasks", "tasks", "--out", "out"], ["task tally", "known: copy, first"]),
        "taken": (["found.safetensors", "--tasks", "tasks", "--out", "tasks"], ["--out tasks: is there already"]),
        "not ours": (["base/model.safetensors"], ["base/model.safetensors", "gaggle experts"]),
        "keys": (["found.safetensors", "--train.steps=3"], ["--train.steps", "takes no keys"]),
    }[what]


@pytest.mark.parametrize("what", ["nothing", "a run that measured nothing", "no such task", "too many", "none", "two of them, auto",
                                  "one", "no tasks", "a task without a file", "taken", "not ours", "keys"])
def test_mistakes(workshop, what):
    arguments, words = spoil(workshop, what)
    before = sorted(workshop.folder.rglob("*"))
    said = workshop.run("cluster", *arguments, expect=2).stderr
    assert all(word in said for word in words), said
    assert sorted(workshop.folder.rglob("*")) == before


def test_mistakes_with_a_registry(imported):
    said = imported.run("cluster", "registry", "nobody", expect=2).stderr
    assert "nobody" in said
    imported.run("registry", "collect", "some", "a", "b")
    said = imported.run("cluster", "registry", "some", "d", expect=2).stderr
    assert "some: collection stands alone" in said
    for path in (imported.folder / "registry/experts/b/v0001").glob("adapter_model.safetensors"):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    assert "adapter_model.safetensors" in imported.run("cluster", "registry", expect=2).stderr


def test_two_examples_of_one_id_leave_nothing(workshop):
    for name in ["copy", "first"]:
        (workshop.folder / f"tasks/{name}.jsonl").write_text('{"id": "1", "input": "x", "output": "y"}\n')
    write_similarity(workshop.folder / "found.safetensors", ["copy", "first"], np.ones((2, 2)))
    said = workshop.run("cluster", "found.safetensors", "--clusters", "1", "--tasks", "tasks", "--out", "out", expect=2).stderr
    assert "copy.jsonl:1 and " in said and "two examples of the id" in said
    assert not list(workshop.folder.glob("out*"))


def test_a_pair_that_never_met_counts_as_nothing_and_is_said(workshop):
    cosine = np.array([[1, np.nan, 0.2], [np.nan, 1, 0.1], [0.2, 0.1, 1]])
    write_similarity(workshop.folder / "found.safetensors", ["a", "b", "c"], cosine)
    text = workshop.run("cluster", "found.safetensors", "--clusters", "2").stdout
    assert "1 pair without a cosine" in text and names_in(text) == [["a", "c"], ["b"]]
