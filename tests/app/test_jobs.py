"""What the five jobs share: start, plan, status, stop, resume, retry, setting aside and the closing table, by one test of each
for experts, gates, pretraining, adaptation and evaluation."""
import dataclasses
import hashlib
import json
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest
from workshop import Workshop, wait_for


@dataclasses.dataclass
class Job:
    command: list  # and its options
    kind: str      # as gaggle status says
    where: str     # the folder of leases and journals, below the workshop's
    results: list  # globs of what the job leaves
    small: int     # bytes: a limit on the size of files that lets the job start and no result be written
    long: list     # options under which it takes seconds


POLY = ["--poly.skills=3", "--poly.heads=4", "--poly.rank=2"]
JOBS = {
    "experts": Job(["experts"], "experts", "registry", ["registry/experts/*/v*/*.safetensors"], 25_000, ["--train.steps=150"]),
    "gates": Job(["gates"], "experts", "registry", ["registry/experts/*/v0002/gate.safetensors"], 18_500, ["--gate.steps=300"]),
    "pretrain": Job(["pretrain", *POLY], "pretraining", "runs/tiny", ["registry/*/tiny/v*/*.safetensors"], 25_000,
                    ["--train.steps=150"]),
    "adapt": Job(["adapt", "--adapt.from=skills", "--adapt.method=['full', 'mu']", "--adapt.shots=[8]", "--adapt.seeds=1",
                  "--adapt.steps=4"], "adaptation", "runs/tiny/adapt", ["runs/tiny/adapt/items/*.json"], 8_000,
                 ["--adapt.steps=150"]),
    "eval": Job(["eval", "--eval.methods=['none', 'experts', 'merged']", "--eval.split=train"], "evaluation",
                "runs/tiny/eval", ["runs/tiny/eval/items/*.json"], 6_000, []),
}
TWO = "--data.tasks=['tasks/copy.jsonl', 'tasks/vowel.jsonl']"  # half the time of all four
each_job = pytest.mark.parametrize("name", list(JOBS))


@pytest.fixture(scope="module")
def furnished(tmp_path_factory, tiny_world, gaggle):
    """Workshops in which each job can start: with a collection for evaluation, experts without gates, an inventory."""
    made = {}

    def furnish(name, *before):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            shutil.copytree(tiny_world, folder, dirs_exist_ok=True)
            shop = Workshop(folder, gaggle)
            for words in before:
                shop.run(words[0], "tiny.toml", *words[1:])
            for left in ["runs", "registry/work"]:
                shutil.rmtree(folder / left, ignore_errors=True)
            made[name] = folder
        return made[name]

    furnish("experts")
    furnish("gates", ["experts", "--gate.steps=0"])
    furnish("pretrain")
    furnish("adapt", ["pretrain", *POLY, "--run.name=skills", "--train.steps=4"])
    furnish("eval", ["experts"])
    return made


@pytest.fixture
def shop(tmp_path, furnished, gaggle, name):
    shutil.copytree(furnished[name], tmp_path, dirs_exist_ok=True)
    return Workshop(tmp_path, gaggle)


def words(job, *more):
    return [job.command[0], "tiny.toml", *job.command[1:], *more]


def run(shop, job, *more, **options):
    return shop.run(*words(job, *more), **options)


def results(shop, job):
    return {str(path.relative_to(shop.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for pattern in job.results for path in shop.folder.glob(pattern)}


def items(shop, job):
    (section,) = [one for one in json.loads(shop.run("status", job.where if job.where == "registry" else "runs/tiny",
                                                     "--json").stdout) if one["what"] == job.kind]
    return {item["name"]: item["state"] for item in section["items"]}


def plan_labels(out):
    return [line.split()[0] for line in out.splitlines() if re.match(r"(model|memory|disk|time) ", line)]


@each_job
def test_the_plan_says_what_memory_disk_and_time(shop, name):
    job = JOBS[name]
    before = sorted(shop.folder.rglob("*"))
    out = run(shop, job, "--dry-run").stdout
    assert out.startswith("gaggle ") and "LibTorch" in out.splitlines()[0] and "FLOP/s" in out.splitlines()[0]
    assert plan_labels(out) == ["model", "memory", "disk", "time"]
    assert re.search(r"\b0 of \d+ \w+ there already, \d+ to (train|do|score)", out)
    assert out.rstrip().endswith("nothing was started; next: the same without --dry-run")
    assert [path for path in sorted(shop.folder.rglob("*")) if "cache" not in path.parts] == \
        [path for path in before if "cache" not in path.parts]


def source_of_time(shop, job, *more):
    return re.search(r"^time +about [\d:dh ]+ \((.*)\)$", run(shop, job, "--dry-run", *more).stdout, re.M)[1]


@each_job
def test_the_plan_says_where_its_time_comes_from(shop, name):
    """A first one is measured or too short for it; a second run of the same recipe knows from the first; ranks of another kind do
    not."""
    job = JOBS[name]
    first = r"assumed: 50% of the GEMM rate|measured: short steps now, \d+\.\d s"
    assert re.fullmatch(first, source_of_time(shop, job))
    assert "next: gaggle " in run(shop, job).stdout.splitlines()[-1]
    speeds = [json.loads(path.read_text()) for path in (shop.folder / "cache/speeds").iterdir()]
    assert speeds and all(speed["flops_per_s"] > 0 and speed["seconds"] > 0 for speed in speeds)
    anew = ["--run.name=other", "--run.seed=1"]
    assert source_of_time(shop, job, *anew) == "as in earlier runs here"
    if name != "experts":  # once is enough
        return
    assert re.fullmatch(first, source_of_time(shop, job, *anew, "--run.threads=2"))
    assert re.fullmatch(first, source_of_time(shop, job, *anew, "--registry.cache="))


LONG = {"experts": ["--train.steps=1000000"], "gates": ["--gate.steps=1000000"], "pretrain": ["--train.steps=1000000"],
        "adapt": ["--adapt.steps=1000000"], "eval": ["--eval.methods=['none', 'merged']", "--eval.max_new_tokens=1000"]}


@pytest.mark.parametrize("name", list(LONG))
def test_a_long_job_is_measured_by_short_steps(shop, name):
    before = sorted(shop.folder.rglob("*"))
    assert re.fullmatch(r"measured: short steps now, \d+\.\d s", source_of_time(shop, JOBS[name], *LONG[name]))
    assert [path for path in sorted(shop.folder.rglob("*")) if "cache" not in path.parts] == \
        [path for path in before if "cache" not in path.parts]


@each_job
def test_status_and_the_second_start(shop, name):
    job = JOBS[name]
    first = run(shop, job)
    states = items(shop, job)
    assert states and set(states.values()) == {"done"}
    there = results(shop, job)
    assert there
    journal = [json.loads(line) for path in (shop.folder / job.where / "work/journal").glob("*.jsonl")
               for line in path.read_text().splitlines()]
    assert [sum(line["kind"] == kind for line in journal) for kind in ("taken", "committed")] == [len(states)] * 2
    second = run(shop, job)
    assert f"{len(states)} of {len(states)} " in second.stdout and "0 to " in second.stdout
    assert plan_labels(second.stdout) == ["model"]
    assert results(shop, job) == there
    table = lambda out: [line for line in out.split("\n\n", 1)[1].splitlines() if "rank 0" not in line and "before" not in line]
    assert table(second.stdout)[-1] == table(first.stdout)[-1]  # what to type next


@each_job
def test_a_stop_file_and_a_signal_lose_nothing(shop, name, tmp_path_factory, furnished, gaggle):
    job = JOBS[name]
    (shop.folder / "runs/tiny").mkdir(parents=True)
    (shop.folder / "runs/tiny/STOP").write_text("")
    assert "asks to stop" in run(shop, job, expect=4).stderr
    (shop.folder / "runs/tiny/STOP").unlink()
    long = [*job.long, TWO]
    whole = tmp_path_factory.mktemp("whole")
    shutil.copytree(furnished[name], whole, dirs_exist_ok=True)
    undisturbed = Workshop(whole, gaggle)
    run(undisturbed, job, *long)
    stopped = shop.start(*words(job, *long))
    journal = shop.folder / job.where / "work/journal"
    wait_for(lambda: any('"taken"' in path.read_text() for path in journal.glob("*.jsonl")))
    time.sleep(0.3)
    stopped.send_signal(signal.SIGUSR1)
    _, errors = stopped.communicate(timeout=60)
    assert stopped.returncode in (75, 0), errors  # 0: it was through already
    if stopped.returncode == 75:
        assert "everything is saved: start again to go on" in errors
    run(shop, job, *long, ranks=2)
    assert results(shop, job) == results(undisturbed, job)


@each_job
def test_what_fails_twice_is_set_aside_and_taken_up_again(shop, name):
    """No file may grow beyond a few bytes: results cannot be written, and later they can."""
    job = JOBS[name]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (job.small, resource.RLIM_INFINITY))
    for path in shop.folder.rglob("cache"):
        shutil.rmtree(path)
    shop.run("data", "show", "tiny.toml", "--task", "copy")  # its token cache, which is larger
    done = subprocess.run(shop.command(*words(job, "--data.tasks=['tasks/copy.jsonl']")), cwd=shop.folder,
                          env=shop.environment(), capture_output=True, text=True, preexec_fn=limit, timeout=120)
    assert done.returncode == 3, (done.returncode, done.stderr)
    assert "File too large" in done.stderr and "tried once more" in done.stderr
    assert "set aside (--retry takes it up again)" in done.stderr
    assert "set aside" in items(shop, job).values()
    one = ["--data.tasks=['tasks/copy.jsonl']"]
    assert "was set aside" in run(shop, job, *one, expect=3).stderr
    run(shop, job, *one, "--retry")
    assert set(items(shop, job).values()) == {"done"}
