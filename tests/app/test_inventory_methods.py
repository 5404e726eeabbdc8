"""gaggle eval and generate through inventories and routing rows, against PEFT's Poly and the exported average."""
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from test_peft_and_eval import assert_same, base_model, predictions

TASKS = ["copy", "first", "reverse"]  # vowel is held out


def save_inventory(shop, folder, *, method, tasks=TASKS, skills=5, heads=4):
    """A PEFT Poly folder with random values and the names of its tasks; returns the model."""
    from peft import PolyConfig, get_peft_model

    model = get_peft_model(base_model(shop), PolyConfig(
        r=2, n_tasks=len(tasks), n_skills=skills, n_splits=heads, task_type="CAUSAL_LM",
        target_modules=["q_proj", "v_proj", "down_proj"]))
    torch.manual_seed(skills + heads)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "poly_" in name:
                parameter.copy_(torch.randn_like(parameter) * (2 if "router" in name else 0.3))
    model.save_pretrained(folder)
    (folder / "inventory.json").write_text(json.dumps({"method": method, "tasks": tasks}))
    return model.eval()


class OfTask:
    """A Poly model asked with one task's number."""

    def __init__(self, model, task):
        self.model, self.task = model, task

    def __call__(self, input_ids):
        return self.model(input_ids=input_ids, task_ids=torch.tensor([self.task]))


@pytest.fixture(scope="module")
def shop(tmp_path_factory, tiny_world, gaggle, probe):
    """A registry with an MHR inventory ("tiny": the run's own), a shared one, and a routing row; no collection."""
    from workshop import Workshop

    folder = tmp_path_factory.mktemp("routed")
    shutil.copytree(tiny_world, folder, dirs_exist_ok=True)
    shop = Workshop(folder, gaggle)
    shop.mhr = save_inventory(shop, folder / "tiny", method="mhr")
    shop.shared = save_inventory(shop, folder / "one", method="shared", skills=1, heads=1)
    shop.run("registry", "import", "tiny", "one", "--base", "base")
    commit_row(shop, probe, "again", TASKS.index("reverse"), "reverse")
    commit_row(shop, probe, "new", TASKS.index("first"), "vowel")
    return shop


def commit_row(shop, probe, name, number, task, change=lambda tensors: tensors, parent="tiny"):
    tensors = load_file(shop.folder / parent / "adapter_model.safetensors")
    row = {key.removeprefix("base_model.model."): tensor[number:number + 1].contiguous()
           for key, tensor in tensors.items() if key.endswith("module_logits")}
    save_file(change(row), shop.folder / f"{name}.safetensors")
    probe.run("row-commit", shop.folder / "registry", name, parent, task, shop.folder / f"{name}.safetensors")


def evaluate(shop, methods, *overrides, **options):
    return shop.run("eval", "tiny.toml", f"--eval.methods={methods}", "--registry.collection=", *overrides, **options)


@pytest.fixture(scope="module")
def scored(shop):
    return predictions(shop, "--eval.methods=['none','poly','mu','shared:one','z:again','z:new','mu:one','poly:tiny']",
                       "--registry.collection=")


def test_poly_scores_as_peft_with_each_tasks_number(shop, scored):
    for number, task in enumerate(TASKS):
        assert_same(scored, OfTask(shop.mhr, number), shop, "poly", [task])


def test_shared_scores_as_peft(shop, scored):
    assert_same(scored, OfTask(shop.shared, 0), shop, "shared:one", [*TASKS, "vowel"])
    assert_same(scored, OfTask(shop.shared, 0), shop, "mu:one", ["copy"])  # the average of one skill


def test_mu_scores_as_the_exported_average(shop, scored, tmp_path):
    from peft import PeftModel

    shop.run("registry", "export", "tiny", "--mu", "--to", tmp_path / "mu")
    assert_same(scored, PeftModel.from_pretrained(base_model(shop), tmp_path / "mu").eval(), shop, "mu",
                [*TASKS, "vowel"])


def test_a_tasks_mixture_is_exported_as_it_is_scored(shop, scored, tmp_path):
    from peft import PeftModel

    for method, words, tasks in [("poly", ["tiny", "--task", "first"], ["first"]), ("z:again", ["again"], ["copy", "vowel"])]:
        folder = tmp_path / words[0]
        shop.run("registry", "export", *words, "--to", folder)
        assert_same(scored, PeftModel.from_pretrained(base_model(shop), folder).eval(), shop, method, tasks)
    refused = shop.run("registry", "export", "tiny", "--task", "vowel", "--to", tmp_path / "none", expect=2)
    assert "--task vowel: tiny@v0001 has no routing row for it; it has copy, first, reverse" in refused.stderr


def test_a_row_mixes_its_parents_skills_on_every_task(shop, scored):
    for (method, task, row), line in scored.items():
        if method == "z:again" and task == "reverse":
            assert line["target_nll"] == scored["poly", task, row]["target_nll"]
    assert_same(scored, OfTask(shop.mhr, TASKS.index("reverse")), shop, "z:again", ["copy", "vowel"])
    assert_same(scored, OfTask(shop.mhr, TASKS.index("first")), shop, "z:new", ["vowel"])


def test_one_inventory_by_two_names_is_one_method(scored):
    assert "poly:tiny" not in {method for method, _, _ in scored}


def test_a_task_without_a_row_is_named_and_left_out(shop, scored):
    assert not [key for key in scored if key[:2] == ("poly", "vowel")]
    done = evaluate(shop, "['poly','mu','z:new']", "--run.name=plan", "--eval.inventory=tiny")
    text = done.stdout
    assert "inventory tiny@v0001   mhr, 3 tasks, 5 skills, 4 heads" in text
    assert "routing row new@v0001   adapted to vowel, mixes the 5 skills of tiny@v0001" in text
    assert "poly leaves out vowel: tiny@v0001 has no routing row for it" in text
    assert "held-in  3: copy, first, reverse" in text and "held-out 1: vowel" in text
    told = text[:text.index("gaggle generate")]  # what to type next names what was typed
    assert "top_k" not in told and "collection" not in told
    held_out = done.stdout[done.stdout.index("held-out NLL/token"):].splitlines()
    nothing = ["poly", "-", "-", "-", "-"]  # its mean, low and high, and the task
    assert nothing in (held_out[1].split(), held_out[2].split()), held_out
    results = json.loads((shop.folder / "runs/plan/eval/results.json").read_text())
    assert results["methods"]["mu"]["inventory"] == "tiny@v0001" and results["tasks"]["copy"]["held_in"]


def test_ranks_share_the_tasks_of_an_inventory(shop, scored):
    evaluate(shop, "['poly','z:again']", "--run.name=two", "--eval.inventory=tiny", ranks=2)
    lines = (shop.folder / "runs/two/eval/predictions.jsonl").read_text().splitlines()
    assert lines
    for line in map(json.loads, lines):
        assert line["target_nll"] == scored[line["method"], line["task"], line["id"]]["target_nll"]


@pytest.mark.parametrize("methods,words", [
    ("['mu:tyny']", ["mu:tyny", "did you mean tiny?"]),
    ("['poly:tiny@v0007']", ["no version v0007", "v0001"]),
    ("['z:agin']", ["did you mean again?"]),
    ("['shared:tiny']", ['poly.method = "mhr"', "mu:tiny"]),
    ("['poly:one']", ["has no routing row of any", "shared:one"]),
    ("['pol']", ["did you mean poly?"]),
])
def test_refused(shop, methods, words):
    text = evaluate(shop, methods, expect=2).stderr
    assert "eval.methods" in text and all(word in text for word in words), text


def test_the_runs_own_inventory_that_is_not_there_is_named_as_such(shop):
    text = evaluate(shop, "['mu']", "--run.name=tinny", expect=2).stderr
    assert "the run's own inventory tinny" in text and "eval.inventory is empty" in text and "did you mean tiny?" in text


@pytest.mark.parametrize("change,words", [
    (lambda row: dict(list(row.items())[1:]), "it has no model.layers"),
    (lambda row: row | {"model.layers.9.q_proj.poly_router.module_logits": torch.zeros(1, 20)}, "is no router of"),
    (lambda row: {key: tensor[:, :7].contiguous() for key, tensor in row.items()}, "4 heads and 5 skills"),
])
def test_a_row_of_other_tensors_is_refused(workshop, probe, change, words):
    save_inventory(workshop, workshop.folder / "tiny", method="mhr")
    workshop.run("registry", "import", "tiny", "--base", "base")
    commit_row(workshop, probe, "odd", 0, "vowel", change)
    text = evaluate(workshop, "['z:odd']", expect=2).stderr
    assert "z:odd" in text and words in text, text


def test_a_row_whose_parent_is_gone_is_refused(workshop, probe):
    save_inventory(workshop, workshop.folder / "tiny", method="mhr")
    workshop.run("registry", "import", "tiny", "--base", "base")
    commit_row(workshop, probe, "left", 0, "vowel")
    shutil.rmtree(workshop.folder / "registry/inventories/tiny")
    text = evaluate(workshop, "['z:left']", expect=2).stderr
    assert "tiny@v0001, which is not there" in text, text


def test_generate_answers_by_the_average_or_a_row(shop):
    for method in ["mu:tiny", "z:again", "shared:one"]:
        done = shop.run("generate", "tiny.toml", "copy: ant bee", f"--eval.methods=['none','poly','{method}']",
                        "--registry.collection=")
        assert done.stdout.strip() and "%" not in done.stderr
        assert method.split(":")[1] + "@v0001" in done.stderr
    done = shop.run("generate", "tiny.toml", "copy: ant bee", "--eval.methods=['poly']", expect=2)
    assert "poly mixes by a task's name" in done.stderr
