"""gaggle pretrain with train.combine: the update that PyTorch and TorchJD come to, equal bits on any number of ranks and
after a stop, what it is for, and where it is refused."""
import json
import random
import shutil
import signal

import kinds
import pytest
import torch
from peft import PolyConfig, get_peft_model
from safetensors.torch import load_file
from torchjd.aggregation import PCGradWeighting, UPGradWeighting
from torchjd.linalg import QuadprogProjector
from workshop import Workshop, wait_for

POLY = ["--poly.skills=3", "--poly.heads=4", "--poly.rank=2", "--train.steps=8", "--train.lr=1e-2", "--checkpoint.every=2",
        "--checkpoint.keep=4", "--cluster.lease_s=2"]


def pretrain(shop, *overrides, **options):
    return shop.run("pretrain", "tiny.toml", *POLY, *overrides, **options)


def bits(shop, registry="registry"):
    return (shop.folder / registry / "inventories/tiny/v0001/SHA256SUMS").read_text()


def lines_of(shop, runs="runs"):
    return [json.loads(line) for line in (shop.folder / runs / "tiny/items/tiny/metrics.jsonl").read_text().splitlines()]


def weights_of(line):
    return {name.removeprefix("weight/"): value for name, value in line.items() if name.startswith("weight/")}


@pytest.fixture(scope="module")
def joined(tmp_path_factory, tiny_world, gaggle):
    """A finished run of one rank; for tests that only read it."""
    folder = tmp_path_factory.mktemp("joined")
    shutil.copytree(tiny_world, folder, dirs_exist_ok=True)
    shop = Workshop(folder, gaggle)
    shop.output = pretrain(shop, "--train.combine=upgrad").stdout
    return shop


def test_what_a_person_sees(joined):
    assert "combine   gradients of up to 4 tasks of a step apart, joined by upgrad" in joined.output
    assert "adapter with optimiser, checkpoint and gradients by task" in joined.output
    assert "gradients joined by upgrad: " in joined.output and "% of the steps'" in joined.output
    lines = lines_of(joined)
    for line in lines:
        losses = {name.removeprefix("loss/") for name in line if name.startswith("loss/")}
        assert set(weights_of(line)) == losses and len(losses) >= 2
        assert 0 < line["combine_seconds"] < line["seconds"]
        assert all(weight >= 1 / len(losses) - 1e-9 for weight in weights_of(line).values())
    recipe = json.loads((joined.folder / "runs/tiny/recipe.json").read_text())
    assert recipe["train"]["combine"] == "upgrad"


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_make_the_bits_of_one_process_watched_or_not(workshop, joined, ranks):
    pretrain(workshop, "--train.combine=upgrad", *["--alignment.every=2"] * (ranks == 2), ranks=ranks)
    assert bits(workshop) == bits(joined)
    assert [weights_of(line) for line in lines_of(workshop)] == [weights_of(line) for line in lines_of(joined)]


@pytest.mark.parametrize("combine, sample", [("pcgrad", "none"), ("upgrad", "example")])
def test_a_stop_changes_no_bit(workshop, combine, sample):
    long = [f"--train.combine={combine}", f"--poly.sample={sample}", "--train.steps=40", "--poly.average_from=30"]
    job = workshop.start("pretrain", "tiny.toml", *POLY, *long)
    wait_for(lambda: list(workshop.folder.glob("runs/tiny/checkpoints/*/*/COMPLETE")))
    job.send_signal(signal.SIGKILL)
    job.communicate()
    pretrain(workshop, *long, ranks=2)
    pretrain(workshop, *long, "--registry.path=whole", "--run.dir=whole_runs")
    assert bits(workshop) == bits(workshop, registry="whole")
    if sample == "none":
        pretrain(workshop, *long[1:], "--registry.path=sum", "--run.dir=sum_runs")
        assert bits(workshop, registry="sum") != bits(workshop)


HEADS, SKILLS, TARGETS, LR, ROUTER_LR, STEPS = 4, 3, ["q_proj", "down_proj"], 5e-3, 0.05, 4


def poly_folder(shop, tasks):
    """PEFT's Poly with random values for this many tasks, and its folder."""
    model = get_peft_model(kinds.load(shop.folder / "base", "llama"), PolyConfig(
        task_type="CAUSAL_LM", n_tasks=tasks, n_skills=SKILLS, n_splits=HEADS, r=2, target_modules=TARGETS))
    draw = torch.Generator().manual_seed(1)
    for name, parameter in sorted(model.named_parameters()):
        if "poly_" in name:
            parameter.data = (1.0 if "module_logits" in name else 0.1) * torch.randn(parameter.shape, generator=draw)
    model.save_pretrained(shop.folder / "start")
    return model.eval()


def tokens_of(shop, names):
    """What each task is trained on, as gaggle feeds it."""
    shown = {name: shop.run("data", "show", "tiny.toml", "--task", name, "--jsonl").stdout for name in names}
    return [[{"input": example["input_ids"], "target": example["target_ids"]} for example in map(json.loads, text.splitlines())]
            for text in shown.values()]


def train_in_pytorch(model, tasks, weigh):
    """Steps over all examples: the skills' gradient is Σ w_t g_t with w of the Gram, a routing row's is its own task's.
    Returns the tensors, as PEFT names them, and the weights of every step."""
    named = {n: p for n, p in model.named_parameters() if "poly_" in n}
    skills = [p for n, p in named.items() if "module_logits" not in n]
    routers = [p for n, p in named.items() if "module_logits" in n]
    optimizer = torch.optim.AdamW([{"params": skills, "lr": LR}, {"params": routers, "lr": ROUTER_LR}], weight_decay=0)
    targets, all_weights = sum(len(e["target"]) for task in tasks for e in task), []
    for _ in range(STEPS):
        by_task = []
        for number, task in enumerate(tasks):
            logits = torch.cat(kinds.all_target_logits(model, task, task_ids=torch.full((len(task),), number))).float()
            answers = torch.tensor([token for example in task for token in example["target"]])
            loss = torch.nn.functional.cross_entropy(logits, answers, reduction="sum") / targets
            by_task.append(torch.autograd.grad(loss, skills + routers))
        jacobian = torch.stack([torch.cat([g.flatten() for g in of_task[:len(skills)]]) for of_task in by_task]).double()
        weights = weigh(jacobian @ jacobian.T)
        for i, parameter in enumerate(skills + routers):
            of_tasks = torch.stack([of_task[i] for of_task in by_task])
            shaped = (weights.float() if i < len(skills) else torch.ones(len(tasks))).view(-1, *[1] * parameter.dim())
            parameter.grad = (shaped * of_tasks).sum(0)
        torch.nn.utils.clip_grad_norm_(skills + routers, 0.5)
        optimizer.step()
        all_weights.append(weights)
    return {n.replace(".default", ""): p.detach() for n, p in named.items()}, all_weights


WEIGH = {"upgrad": UPGradWeighting(projector=QuadprogProjector(norm_eps=0)), "sum": lambda gram: torch.ones(len(gram)),
         "pcgrad": PCGradWeighting()}  # of two tasks there is one order alone


@pytest.mark.parametrize("combine, names", [("upgrad", ["copy", "first", "reverse", "vowel"]), ("pcgrad", ["copy", "vowel"])])
def test_the_update_is_that_of_pytorch_and_torchjd(workshop, combine, names):
    model, tasks = poly_folder(workshop, len(names)), tokens_of(workshop, names)
    full = ["pretrain", "tiny.toml", f"--data.tasks={[f'tasks/{name}.jsonl' for name in names]}", f"--lora.targets={TARGETS}",
            f"--poly.heads={HEADS}", f"--poly.skills={SKILLS}", "--poly.rank=2", "--poly.init_from=start", f"--train.lr={LR}",
            f"--poly.router_lr={ROUTER_LR}", f"--train.batch_size={sum(map(len, tasks))}", f"--train.steps={STEPS}",
            "--train.warmup=0", "--train.clip=0.5", "--train.lanes=3"]
    start = load_file(workshop.folder / "start/adapter_model.safetensors")
    theirs, weights = train_in_pytorch(model, tasks, WEIGH[combine])
    workshop.run(*full, f"--train.combine={combine}")
    for line, expected in zip(lines_of(workshop), weights, strict=True):
        assert list(weights_of(line).values()) == pytest.approx(expected.tolist(), rel=1e-4)
    ours = load_file(workshop.folder / "registry/inventories/tiny/v0001/adapter_model.safetensors")
    workshop.run(*full, "--registry.path=sum", "--run.dir=sum_runs")
    summed = load_file(workshop.folder / "sum/inventories/tiny/v0001/adapter_model.safetensors")
    norm = lambda tensors: sum(float(t.double().norm() ** 2) for t in tensors) ** 0.5
    skills = [name for name in theirs if "module_logits" not in name]
    update = norm(theirs[n] - start[n] for n in skills)
    apart, from_sum = (norm(t[n] - theirs[n] for n in skills) / update for t in (ours, summed))
    assert apart < 1e-4 and from_sum > 0.05, (apart, from_sum)
    for name in theirs:
        assert torch.allclose(ours[name], theirs[name], atol=2e-3), name


def write_quarrel(folder, sizes):
    """Two tasks with the same inputs and other answers."""
    folder.mkdir()
    draw = random.Random(2)
    inputs = [" ".join(draw.sample("ant bee cat dog elk fox gnu hen".split(), 3)) for _ in range(16)]
    for name, answer in [("much", "owl owl"), ("little", "toad toad")]:
        with open(folder / f"{name}.jsonl", "w") as file:
            for i in range(sizes[name]):
                file.write(json.dumps({"id": f"{name}-{i}", "input": inputs[i % 16], "output": answer, "split": "train"}) + "\n")


def test_both_of_two_tasks_that_quarrel_gain_where_the_sum_lets_one_lose(workshop):
    """The adapter has learnt what the smaller task says; now four of five examples say otherwise."""
    write_quarrel(workshop.folder / "before", {"much": 16, "little": 64})
    write_quarrel(workshop.folder / "quarrel", {"much": 64, "little": 16})
    shared = ["pretrain", "tiny.toml", "--poly.method=shared", "--poly.rank=4", "--train.batch_size=80", "--train.warmup=0"]
    workshop.run(*shared, "--data.tasks=['before']", "--train.steps=60", "--registry.path=start", "--run.dir=runs_start")
    losses = {}
    for combine in ["sum", "upgrad", "pcgrad"]:
        workshop.run(*shared, "--data.tasks=['quarrel']", "--poly.init_from=start/inventories/tiny/v0001", "--train.lr=2e-3",
                     f"--train.combine={combine}", "--train.steps=40", f"--registry.path={combine}", f"--run.dir=runs_{combine}")
        lines = lines_of(workshop, f"runs_{combine}")
        losses[combine] = {task: [line[f"loss/{task}"] for line in lines] for task in ["much", "little"]}
    assert losses["sum"]["much"][-1] < 0.7 * losses["sum"]["much"][0]
    assert losses["sum"]["little"][-1] > 1.1 * losses["sum"]["little"][0]
    for combine in ["upgrad", "pcgrad"]:
        assert losses[combine]["much"][-1] < 0.7 * losses[combine]["much"][0]
        little = losses[combine]["little"]
        assert little[-1] < 0.95 * little[0] and all(b < a for a, b in zip(little, little[1:])), little


@pytest.mark.parametrize("command, overrides, words", [
    ("pretrain", ["--data.tasks=['tasks/copy.jsonl']"], ['"upgrad"', "data.tasks has one, copy"]),
    ("pretrain", ["--poly.method=private"], ["poly.method", "each has its own"]),
    ("pretrain", ["--train.combine=mean"], ["train.combine", "sum", "upgrad", "pcgrad"]),
    ("experts", [], ["gaggle pretrain", "an expert is trained on one task", "--train.combine=sum"]),
    ("gates", [], ["gaggle pretrain", "a gate"]),
    ("adapt", [], ["gaggle pretrain", "what is adapted"]),
])
def test_refused(workshop, joined, command, overrides, words):
    if command in ("gates", "adapt"):
        shutil.copytree(joined.folder / "registry", workshop.folder / "registry")
    if command == "gates":
        workshop.experts("--data.tasks=['tasks/copy.jsonl']", "--train.steps=1", "--gate.steps=0")
    before = sorted(workshop.folder.rglob("*"))
    given = ["--train.combine=upgrad", *overrides] + ["--adapt.from=tiny", "--adapt.shots=4"] * (command == "adapt")
    given += ["--data.tasks=['tasks/copy.jsonl']"] * (command == "gates")
    said = workshop.run(command, "tiny.toml", *given, expect=2).stderr
    assert all(word in said for word in words), said
    written = set(workshop.folder.rglob("*")) - set(before)
    assert not [path for path in written if "cache" not in path.parts], written
