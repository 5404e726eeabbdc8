"""gaggle adapt from end to end: an inventory made by PEFT, taken to new tasks by every method."""
import json
import shutil
import signal
import time

import pytest
import torch

SKILLS, HEADS, RANK = 3, 4, 2
TARGETS = ["q_proj", "v_proj", "down_proj"]
ADAPT = """
[adapt]
from = "mhr"
shared_from = "one"
tasks = ["tasks/vowel.jsonl", "tasks/first.jsonl"]
method = ["full", "z", "mu", "random", "shared", "lora"]
shots = [8]
seeds = 2
steps = 6
batch_size = 4
lr = 5e-3
router_lr = 0.1
"""


def write_inventory(folder, base, *, heads, skills, tasks, method):
    """A PEFT Poly folder, as after a pretraining (B is not zero), with the inventory.json that names its tasks."""
    from peft import PolyConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), PolyConfig(
        task_type="CAUSAL_LM", r=RANK, target_modules=TARGETS, n_tasks=len(tasks), n_skills=skills, n_splits=heads))
    torch.manual_seed(skills)
    for name, parameter in model.named_parameters():
        if "poly_" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape)
    model.save_pretrained(folder)
    (folder / "inventory.json").write_text(json.dumps({"method": method, "tasks": tasks}))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, tiny_world, gaggle):
    """A workshop with two inventories in its registry; to be copied."""
    from workshop import Workshop

    folder = tmp_path_factory.mktemp("pretrained")
    shutil.copytree(tiny_world, folder, dirs_exist_ok=True)
    shop = Workshop(folder, gaggle)
    (folder / "tiny.toml").write_text((folder / "tiny.toml").read_text() + ADAPT)
    write_inventory(folder / "mhr", folder / "base", heads=HEADS, skills=SKILLS, tasks=["copy", "reverse"], method="mhr")
    write_inventory(folder / "one", folder / "base", heads=1, skills=1, tasks=["copy", "reverse"], method="shared")
    shop.run("registry", "import", "mhr", "one", "--base", "base", "--registry", "registry")
    return shop


@pytest.fixture
def shop(tmp_path, pretrained, gaggle):
    from workshop import Workshop

    shutil.copytree(pretrained.folder, tmp_path, dirs_exist_ok=True)
    shop = Workshop(tmp_path, gaggle)
    shutil.copy(pretrained.folder / "tiny.toml", tmp_path / "tiny.toml")
    return shop


@pytest.fixture(scope="module")
def adapted(tmp_path_factory, pretrained, gaggle):
    """Everything done by one process; for tests that only read it."""
    from workshop import Workshop

    folder = tmp_path_factory.mktemp("adapted")
    shutil.copytree(pretrained.folder, folder, dirs_exist_ok=True)
    shop = Workshop(folder, gaggle)
    shutil.copy(pretrained.folder / "tiny.toml", folder / "tiny.toml")
    shop.output = adapt(shop).stdout
    return shop


def adapt(shop, *overrides, **options):
    return shop.run("adapt", "tiny.toml", *overrides, **options)


def made(shop):
    """Bytes of every result, of results.json and of every file in the registry, by path."""
    roots = [shop.folder / "runs/tiny/adapt/items", *(shop.folder / "registry" / kind
                                                      for kind in ["experts", "inventories", "routing_rows"])]
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    files.append(shop.folder / "runs/tiny/adapt/results.json")
    return {str(path.relative_to(shop.folder)): path.read_bytes() for path in files}


def results(shop):
    return json.loads((shop.folder / "runs/tiny/adapt/results.json").read_text())


def item(shop, name):
    return next(item for item in results(shop)["items"] if item["name"] == name)


def test_every_item_has_a_score_and_a_place_in_the_registry(adapted):
    found = results(adapted)
    assert len(found["items"]) == 2 * 6 * 2 and not found["missing"]
    assert found["from"] == "mhr@v0001" and found["shared_from"] == "one@v0001"
    places = {"full": "inventories", "random": "inventories", "z": "routing_rows", "mu": "experts", "shared": "experts",
              "lora": "experts"}
    for item in found["items"]:
        name = f"{item['task']}.{item['method']}.8.s{item['seed']}"
        assert item["stored"] == f"{places[item['method']]}/{name}@v0001"
        folder = adapted.folder / "registry" / item["stored"].replace("@", "/")
        assert item["examples"] == 6 and item["nll_per_token"] > 0
        sidecar = next(path for path in folder.glob("*.json") if path.name != "adapter_config.json")
        assert json.loads(sidecar.read_text())["origin"] == "adapted"
    adapted.run("registry", "verify", "--registry", "registry")
    listed = adapted.run("registry", "ls", "--registry", "registry").stdout.splitlines()
    assert "adapted" in next(line for line in listed if line.startswith("vowel.lora.8.s0")).split()


def test_trained_values_are_those_of_the_shapes(adapted):
    linears = [(48, 48), (48, 24), (80, 48)] * 3  # q, v, down of three layers: in, out
    lora = RANK * sum(d_in + d_out for d_in, d_out in linears)
    row = HEADS * SKILLS * len(linears)
    expected = {"z": row, "full": SKILLS * lora + row, "random": SKILLS * lora + row, "mu": lora, "shared": lora,
                "lora": lora}
    assert {i["method"]: i["trained_values"] for i in results(adapted)["items"]} == expected
    for count in expected.values():
        assert f"{count:,}" in adapted.output


def test_the_table_holds_the_results_medians(adapted):
    for row in results(adapted)["table"]:
        scores = [i for i in results(adapted)["items"] if (i["task"], i["method"]) == (row["task"], row["method"])]
        assert row["right_percent"]["median"] == pytest.approx(sum(s["right_percent"] for s in scores) / 2)
        assert row["nll_per_token"]["max"] == max(s["nll_per_token"] for s in scores)
        line = next(line for line in adapted.output.splitlines() if line.split()[:3] == [row["task"], row["method"], "8"])
        assert f"{row['nll_per_token']['median']:.3f}" in line and f"{row['right_percent']['mean']:.1f}" in line


def test_two_ranks_make_the_bits_of_one(shop, adapted):
    adapt(shop, ranks=2)
    assert made(shop) == made(adapted)


def test_a_second_start_makes_nothing_again(shop, adapted):
    for name in ["runs", "registry"]:
        shutil.rmtree(shop.folder / name, ignore_errors=True)
        shutil.copytree(adapted.folder / name, shop.folder / name)
    before = {path: path.stat().st_mtime_ns for path in (shop.folder / "runs/tiny/adapt/items").iterdir()}
    done = adapt(shop)
    assert "26 of 26 items there already" in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in (shop.folder / "runs/tiny/adapt/items").iterdir()}
    shutil.rmtree(shop.folder / "registry/routing_rows")  # a result whose routing row is gone is made again
    assert "22 of 26 items there already" in adapt(shop, "--dry-run").stdout
    adapt(shop)
    assert made(shop) == made(adapted)


def test_the_base_alone_and_the_row_score_as_gaggle_eval_and_torch(adapted, tmp_path):
    """z in PEFT: the parent's skills under the stored routing row."""
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    rows = [json.loads(line) for line in adapted.run("data", "show", "tiny.toml", "--task", "first", "--split", "test",
                                                     "--jsonl").stdout.splitlines()]

    @torch.no_grad()
    def nll(model, **more):
        total = tokens = 0
        for row in rows:
            ids = torch.tensor([row["input_ids"] + row["target_ids"]])
            logits = model(input_ids=ids, **more).logits[0, len(row["input_ids"]) - 1:-1].double().log_softmax(-1)
            total -= logits.gather(1, torch.tensor(row["target_ids"])[:, None]).sum().item()
            tokens += len(row["target_ids"])
        return total / tokens

    base = lambda: AutoModelForCausalLM.from_pretrained(adapted.folder / "base", torch_dtype=torch.float32).eval()
    assert results(adapted)["tasks"]["first"]["base"]["nll_per_token"] == pytest.approx(nll(base()), rel=1e-4)
    registry, scores = adapted.folder / "registry", lambda m: item(adapted, f"first.{m}.8.s0")["nll_per_token"]
    for method in ["mu", "shared", "lora"]:
        model = PeftModel.from_pretrained(base(), registry / f"experts/first.{method}.8.s0/v0001")
        assert scores(method) == pytest.approx(nll(model), rel=1e-4), method
    for method in ["full", "random"]:
        model = PeftModel.from_pretrained(base(), registry / f"inventories/first.{method}.8.s0/v0001").eval()
        assert scores(method) == pytest.approx(nll(model, task_ids=torch.tensor([0])), rel=1e-4), method
    row = load_file(registry / "routing_rows/first.z.8.s0/v0001/routing_row.safetensors")
    meta = json.loads((registry / "routing_rows/first.z.8.s0/v0001/routing_row.json").read_text())
    assert meta["parent"] == "mhr@v0001" and meta["task"] == "first"
    model = PeftModel.from_pretrained(base(), registry / "inventories/mhr/v0001").eval()
    parameters = dict(model.named_parameters())
    used = 0
    for name, tensor in row.items():
        assert tensor.shape == (1, HEADS * SKILLS)
        logits = next(p for n, p in parameters.items() if n.startswith("base_model.model." + name.split(".poly_router")[0])
                      and n.endswith("module_logits"))
        logits.data[0] = tensor[0]
        used += 1
    assert used == 9
    assert scores("z") == pytest.approx(nll(model, task_ids=torch.tensor([0])), rel=1e-4)
    assert sum(p.stat().st_size for p in (registry / "routing_rows/first.z.8.s0/v0001").iterdir()) < 10_000


def test_z_and_full_start_alike_and_learn(shop):
    one = ["--adapt.method=['z','full','lora']", "--adapt.tasks=['tasks/vowel.jsonl']", "--adapt.seeds=1",
           "--adapt.shots=[0]"]
    adapt(shop, *one, "--adapt.steps=60", "--adapt.batch_size=16")
    base = results(shop)["tasks"]["vowel"]["base"]["nll_per_token"]
    nll = {i["method"]: i["nll_per_token"] for i in results(shop)["items"]}
    assert item(shop, "vowel.full.all.s0")
    assert nll["full"] < 0.5 * base and nll["lora"] < 0.7 * base and nll["z"] < base


def test_kept_is_stored_beside_collapsed(shop):
    one = ["--adapt.method=['mu']", "--adapt.tasks=['tasks/vowel.jsonl']", "--adapt.seeds=1",
           "--train.optimizer=adafactor", "--train.scale_parameter=true"]
    adapt(shop, *one)
    adapt(shop, *one, "--adapt.mu=kept")
    kept = item(shop, "vowel.mu-kept.8.s0")
    experts = shop.folder / "registry/experts"
    assert kept["stored"] == "experts/vowel.mu-kept.8.s0@v0001"
    weights = [(experts / name / "v0001/adapter_model.safetensors").read_bytes()
               for name in ["vowel.mu.8.s0", "vowel.mu-kept.8.s0"]]
    assert len(weights[0]) == len(weights[1]) and weights[0] != weights[1]


def test_the_three_losses_of_tfew_are_another_recipe(shop, adapted):
    one = ["--adapt.method=['full']", "--adapt.seeds=1"]
    adapt(shop, *one, "--adapt.loss=tfew")
    first, vowel = item(shop, "first.full.8.s0"), item(shop, "vowel.full.8.s0")
    # Examples without choices train with the plain loss; example averages are the same there, keys are not.
    assert vowel["nll_per_token"] != item(adapted, "vowel.full.8.s0")["nll_per_token"]
    assert first["nll_per_token"] == pytest.approx(item(adapted, "first.full.8.s0")["nll_per_token"], rel=1e-5)


def test_a_stop_request_saves_and_the_next_start_goes_on_to_the_same_bits(shop):
    long = ["--adapt.method=['full','mu']", "--adapt.steps=120", "--adapt.seeds=1", "--checkpoint.every=20"]
    job = shop.start("adapt", "tiny.toml", *long)
    end = time.monotonic() + 60
    while not list((shop.folder / "runs").rglob("adapt/work/items/*/*/*/COMPLETE")):
        assert job.poll() is None and time.monotonic() < end, job.communicate()
        time.sleep(0.02)
    job.send_signal(signal.SIGUSR1)
    output = job.communicate(timeout=60)
    assert job.returncode == 75, output
    adapt(shop, *long)
    stopped = made(shop)
    shutil.rmtree(shop.folder / "runs")
    for kind in ["experts", "inventories/first.full.8.s0", "inventories/vowel.full.8.s0"]:
        shutil.rmtree(shop.folder / "registry" / kind)
    adapt(shop, *long)
    assert made(shop) == stopped


def test_a_loss_that_is_not_finite_is_set_aside_and_told(shop):
    wild = ["--adapt.method=['full']", "--adapt.lr=1e30", "--train.clip=0", "--adapt.seeds=1",
            "--adapt.tasks=['tasks/vowel.jsonl']", "--train.warmup=0", "--adapt.steps=30"]
    done = adapt(shop, *wild, expect=3)
    assert "vowel.full.8.s0" in done.stderr and "--retry" in done.stderr
    assert results(shop)["missing"] == ["vowel.full.8.s0"] and "vowel.full.8.s0" not in str(results(shop)["items"])
    again = adapt(shop, *wild, expect=3)  # it is not tried again, but told
    assert "was set aside" in again.stderr and "; set aside" not in again.stderr
    assert "; set aside" in adapt(shop, *wild, "--retry", expect=3).stderr


def test_dry_run_tells_the_plan_and_writes_nothing(shop):
    before = {path for path in shop.folder.rglob("*")} | {shop.folder / "cache"}
    text = adapt(shop, "--dry-run", "--adapt.tasks=['tasks/copy.jsonl']").stdout
    for words in ["mhr@v0001", "3 skills of rank 2, 4 heads", "one@v0001", "seeds 0, 1", "8 training examples",
                  "copy is among the tasks that mhr was pretrained on", "0 of 13 items there already, 13 to do", "1 of the base alone", "time"]:
        assert words in text, text
    after = {path for path in shop.folder.rglob("*") if "cache" not in path.parts}
    assert after <= before


@pytest.mark.parametrize("overrides,words", [
    (["--adapt.from="], ["adapt.from is not set", "full"]),
    (["--adapt.from=mhrr"], ["adapt.from", "mhrr", "did you mean mhr"]),
    (["--adapt.from=mhr@v0007"], ["adapt.from", "v0007"]),
    (["--adapt.from=one"], ["adapt.from", "one@v0001", "shared"]),
    (["--adapt.shared_from="], ["adapt.shared_from is not set"]),
    (["--adapt.shared_from=mhr"], ["adapt.shared_from", "mhr@v0001", "mhr"]),
    (["--adapt.shots=[8,49]"], ["first", "48 training examples", "49"]),
    (["--adapt.method=['fulll']"], ["adapt.method", "full"]),
    (["--adapt.tasks=['tasks/none.jsonl']"], ["tasks/none.jsonl"]),
    (["--registry.path=elsewhere"], ["elsewhere"]),
    (["--eval.split=nowhere"], ["eval.split"]),
])
def test_a_mistake_is_told_and_nothing_is_written(shop, overrides, words):
    before = {path for path in shop.folder.rglob("*") if "cache" not in path.parts}
    done = adapt(shop, *overrides, expect=2)
    for word in words:
        assert word in done.stderr, done.stderr
    assert {path for path in shop.folder.rglob("*") if "cache" not in path.parts} == before


def test_an_adaptation_of_another_inventory_leaves_the_first_ones_results(shop):
    words = ["--adapt.method=['lora']", "--adapt.seeds=1", "--adapt.steps=1", "--adapt.tasks=['tasks/vowel.jsonl']"]
    adapt(shop, *words)
    first = results(shop)
    assert first["from"] == "mhr@v0001" and first["shared_from"] is None and len(first["base"]["content"]) == 64
    done = adapt(shop, *words, "--adapt.from=one")
    other = f"results-one@v0001-{first['base']['content'][:8]}.json"
    assert other in done.stdout and results(shop) == first
    assert json.loads((shop.folder / "runs/tiny/adapt" / other).read_text())["from"] == "one@v0001"
    adapt(shop, *words)
    assert results(shop) == first


def test_another_base_is_refused(shop, tmp_path):
    from make_models import make_model

    make_model(tmp_path / "other", "llama", seed=3, num_hidden_layers=2)
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(shop.folder / "base" / name, tmp_path / "other" / name)
    done = adapt(shop, "--model.path=other", expect=2)
    assert "another base" in done.stderr and not (shop.folder / "runs").exists()


def test_tasks_whose_answers_have_shares_are_said_to_have_scores(shop):
    (shop.folder / "tasks/copy.toml").write_text('metric = "f1"\n')
    settings = ["--adapt.method=['mu']", "--adapt.shots=[4]", "--adapt.seeds=1", "--adapt.steps=1", "--eval.limit_examples=2"]
    shares = adapt(shop, "--adapt.tasks=['tasks/copy.jsonl']", "--eval.normalise=tokens", *settings).stdout
    assert "score %: median" in shares and "right %" not in shares, shares
    choices = adapt(shop, "--adapt.tasks=['tasks/vowel.jsonl']", *settings).stdout
    assert "right %: median" in choices and "score %" not in choices, choices
