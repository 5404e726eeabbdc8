"""Every command on a GPU beside the same command on the processor, on a tiny Llama and a tiny T5: what was trained,
aligned, scored and said is the same but for rounding. The GPU is one that is none (tests/fake_gpu/fake_gpu.h), where a read of
device memory by the host, or a tensor left on the wrong side, ends the program; GAGGLE_GPU names a program with a real one."""
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import load_file

from make_models import make_model
from workshop import Workshop, wait_for

SMALL = ["--train.lanes=2", "--data.limit_examples=20", "--train.steps=3", "--gate.steps=2", "--checkpoint.every=2",
         "--eval.max_new_tokens=3", "--eval.limit_examples=4",
         "--data.tasks=['tasks/copy.jsonl','tasks/vowel.jsonl']", "--eval.tasks=['tasks/vowel.jsonl','tasks/first.jsonl']"]
SKILLS = ["--poly.skills=3", "--poly.rank=2", "--alignment.every=2", "--train.validate_every=3"]
ADAPT = ["--adapt.shots=[8]", "--adapt.steps=2", "--adapt.batch_size=4", "--adapt.seeds=1",
         "--adapt.tasks=['tasks/first.jsonl']"]
STEPS = {
    "experts": [["experts", "--alignment.sketch=256", "--run.name=experts"]],
    "experts, other settings": [["experts", "--train.optimizer=adafactor", "--train.label_smoothing=0.1", "--run.name=other",
                                 "--registry.path=registry-other", "--train.clip=0.5", "--gate.steps=0"],
                                ["gates", "--registry.path=registry-other", "--run.name=gates"]],
    "packs": [["experts", "--train.pack=2", "--run.name=packs", "--registry.path=registry-packs"]],
    "skills": [["pretrain", *SKILLS, "--poly.heads=4", "--alignment.space=both", "--run.name=mhr"],
               ["pretrain", *SKILLS, "--poly.method=poly", "--poly.sample=task", "--train.combine=upgrad", "--run.name=poly"],
               ["pretrain", *SKILLS, "--poly.method=shared", "--run.name=one"],
               ["pretrain", "--poly.adapter=ia3", "--poly.skills=2", "--poly.heads=2", "--poly.sample=example",
                "--train.lr=3e-2", "--train.combine=pcgrad", "--run.name=ia3"],
               ["align", "runs/mhr", "--examples", "2"]],
    "adaptation": [["adapt", *ADAPT, "--adapt.from=mhr", "--adapt.shared_from=one", "--run.name=adapted",
                    '--adapt.method=["full","z","mu","random","shared","lora"]'],
                   ["adapt", *ADAPT, "--adapt.from=ia3", "--run.name=adapted-ia3", '--adapt.method=["full","mu"]',
                    "--adapt.loss=tfew"]],
    "evaluation": [["eval", "--eval.methods=['none','experts','merged','arrow','oracle','phatgoose']", "--run.name=routed"],
                   ["eval", "--eval.methods=['arrow','phatgoose']", "--eval.top_k=0", "--eval.arrow=phatgoose",
                    "--eval.beams=2", "--run.name=dense"],
                   ["eval", "--eval.methods=['poly','mu','shared:one','poly:ia3']", "--eval.inventory=mhr",
                    "--registry.collection=", "--run.name=of-skills"]],
}
WITHOUT_CONFIG = {"align"}


class Shop(Workshop):
    def __init__(self, folder, program, device, kind):
        super().__init__(folder, program)
        self.device, self.kind, self.more = device, kind, {}
        (folder / "tmp").mkdir()

    def environment(self):
        return super().environment() | {"TMPDIR": str(self.folder / "tmp")} | self.more  # claims of GPUs are there


def world(folder, kind):
    sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
    from world import make_world

    make_world(folder, kind)
    return folder


@pytest.fixture(scope="module", params=["llama", "t5"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def both(kind, tmp_path_factory, build, gaggle):
    """The workshop of the processor, and that of the GPU."""
    made = world(tmp_path_factory.mktemp("worlds") / kind, kind)
    shops = []
    for device, program in {"cpu": gaggle, "auto": os.environ.get("GAGGLE_GPU", build / "gaggle_fake_gpu")}.items():
        folder = tmp_path_factory.mktemp("gpu") / device
        shutil.copytree(made, folder)
        shops.append(Shop(folder, program, device, kind))
    return shops


def settings(shop):
    dropout = ["--train.dropout=0.1"] if shop.kind == "t5" else []
    return [*SMALL, f"--run.device={shop.device}", *dropout]


@contextlib.contextmanager
def told(shop, **environment):
    shop.more = environment
    yield
    shop.more = {}


def run(shop, command, *words):
    config = [] if command in WITHOUT_CONFIG else ["tiny.toml", *settings(shop)]
    return shop.run(command, *config, *words)


def tensors(folder):
    return {f"{path.relative_to(folder)} {name}": value for path in sorted(folder.rglob("*.safetensors"))
            if not {"work", "checkpoints", "base", "cache"} & set(path.relative_to(folder).parts)
            for name, value in load_file(path).items()}


def lines(folder, name):
    return {str(path.relative_to(folder)): [json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted(folder.rglob(name))}


def far(one, other):
    one, other = one.astype(numpy.float64), other.astype(numpy.float64)
    return numpy.linalg.norm(one - other) / max(1e-6, numpy.linalg.norm(one))


def learns_rounding(folder, name):
    """All of (IA)³'s vectors begin as 1: what its routing learns first is rounding, of which Adam makes whole steps."""
    about = (folder / name.split()[0]).parent / "inventory.json"
    return "router" in name and about.exists() and '"ia3"' in about.read_text()


def assert_alike(processor, gpu, limit=1e-3):
    one, other = tensors(processor.folder), tensors(gpu.folder)
    assert one.keys() == other.keys() and one
    apart = {name: far(one[name], other[name]) for name in one if not learns_rounding(processor.folder, name)}
    assert max(apart.values()) < limit, sorted(apart.items(), key=lambda entry: -entry[1])[:5]
    for name, keys in {"metrics.jsonl": ["loss", "grad_norm"], "*predictions*.jsonl": ["target_nll"]}.items():
        one, other = lines(processor.folder, name), lines(gpu.folder, name)
        assert one.keys() == other.keys()
        for path in one:
            assert len(one[path]) == len(other[path])
            for a, b in zip(one[path], other[path]):
                for key in keys:
                    assert a.get(key) == pytest.approx(b.get(key), rel=limit), (path, a, b)
                assert (a.get("prediction"), a.get("correct")) == (b.get("prediction"), b.get("correct")), (path, a, b)


@pytest.mark.parametrize("step", STEPS)
def test_a_command_does_on_a_gpu_what_it_does_on_the_processor(both, step):
    processor, gpu = both
    for words in STEPS[step]:
        said = [run(shop, *words) for shop in both]
        where = ["cpu fp32" in done.stdout + done.stderr for done in said]
        assert where == [True, False] or words[0] in WITHOUT_CONFIG
    assert_alike(processor, gpu)


def test_it_says_the_same(both):
    words = ["generate", "tiny.toml", "copy: ant bee", "--eval.methods=['phatgoose']"]
    processor, gpu = [shop.run(*words, *settings(shop)).stdout for shop in both]
    assert processor == gpu


def test_bf16_and_its_flash_attention(both):
    words = ["experts", "--model.dtype=bf16", "--run.name=bf16", "--registry.path=registry-bf16"]
    for shop in both:
        run(shop, *words)
    losses = [[line["loss"] for line in lines(shop.folder, "metrics.jsonl")[path]] for shop in both
              for path in lines(shop.folder, "metrics.jsonl") if "/bf16" in path]
    half = len(losses) // 2
    assert half > 0 and numpy.allclose(losses[:half], losses[half:], rtol=2e-2)


def test_killed_and_resumed_it_has_the_same_bits(both):
    gpu = both[1]
    long = [*settings(gpu), "--train.steps=12", "--gate.steps=0", "--data.tasks=['tasks/copy.jsonl']"]
    gpu.experts(*long, "--registry.path=straight", "--run.dir=runs-straight")
    job = gpu.start("experts", "tiny.toml", *long, "--registry.path=resumed", "--run.dir=runs-resumed")
    wait_for(lambda: list((gpu.folder / "resumed").glob("work/items/*/*/*/COMPLETE")) or job.poll() is not None)
    assert job.poll() is None
    job.send_signal(signal.SIGKILL)
    job.communicate()
    gpu.experts(*long, "--registry.path=resumed", "--run.dir=runs-resumed")
    assert gpu.bits("straight") == gpu.bits("resumed") != {}


@pytest.mark.skipif("GAGGLE_GPU" in os.environ, reason="how many GPUs there are is only known of GPUs that are none")
def test_plain_processes_take_a_gpu_each(both):
    gpu = both[1]
    words = [*settings(gpu), "--train.steps=5000", "--data.tasks=['tasks/copy.jsonl']"]
    with told(gpu, GAGGLE_FAKE_GPUS="2"):
        jobs = []
        for i in range(2):
            jobs.append(gpu.start("experts", "tiny.toml", *words, f"--registry.path=claim-{i}", f"--run.dir=runs-claim-{i}"))
            wait_for(lambda: list((gpu.folder / f"runs-claim-{i}").rglob("metrics.jsonl")) or jobs[i].poll() is not None)
            assert jobs[i].poll() is None, jobs[i].communicate()
        refused = gpu.experts(*words, "--registry.path=claim-2", expect=2)
        assert "other processes of gaggle hold all 2 GPUs of " in refused.stderr
        short = ["--train.steps=1", "--gate.steps=0"]
        shared = gpu.experts(*words, "--registry.path=claim-2", "--cluster.share_device=true", *short)
        said = {}
        for i in (1, 0):
            jobs[i].send_signal(signal.SIGKILL)
            said[i] = jobs[i].communicate()[0]
            if i == 1:
                freed = gpu.experts(*words, "--registry.path=claim-3", *short)
    devices = [re.search(r"fake:\d", text)[0] for text in [said[0], said[1], shared.stdout, freed.stdout]]
    assert devices == ["fake:0", "fake:1", "fake:0", "fake:1"]


def test_ranks_with_a_gpu_each_make_the_same_bits(both):
    gpu = both[1]
    words = [*settings(gpu), "--train.lanes=4"]
    gpu.experts(*words, "--registry.path=alone", "--run.dir=runs-alone")
    with told(gpu, **({} if "GAGGLE_GPU" in os.environ else {"GAGGLE_FAKE_GPUS": "2"})):
        together = gpu.experts(*words, "--registry.path=together", "--run.dir=runs-together", "--cluster.ranks_per_expert=2",
                               ranks=2)
    assert "2 ranks" in together.stdout + together.stderr
    assert gpu.bits("alone") == gpu.bits("together") != {}


def test_ranks_with_a_gpu_each_hold_one_base_together(both, kind):
    if kind != "t5":
        pytest.skip("of a T5 more is gathered, and in another order")
    gpu = both[1]
    words = [*settings(gpu), "--train.lanes=4"]
    gpu.experts(*words, "--registry.path=whole", "--run.dir=runs-whole")
    with told(gpu, **({} if "GAGGLE_GPU" in os.environ else {"GAGGLE_FAKE_GPUS": "2"})):
        together = gpu.experts(*words, "--registry.path=parts", "--run.dir=runs-parts", "--cluster.ranks_per_expert=2",
                               "--model.shard=world", ranks=2)
    assert "2 ranks hold it together" in together.stdout
    assert gpu.bits("whole") == gpu.bits("parts") != {}


@pytest.mark.skipif("GAGGLE_GPU" in os.environ, reason="how large a GPU is can only be said of one that is none")
def test_where_memory_ends_passes_are_halved(both, kind):
    if kind != "llama":
        pytest.skip("one base is enough")
    gpu = both[1]
    words = [*settings(gpu), "--data.tasks=['tasks/copy.jsonl']", "--train.batch_size=100", "--train.steps=1", "--gate.steps=0",
             "--train.tokens_per_microbatch=2048", "--train.recompute=none", "--train.lanes=1"]
    with told(gpu, GAGGLE_FAKE_GPU_BYTES=str(6_000_000)):
        done = gpu.experts(*words, "--registry.path=little", "--run.dir=runs-little")
    assert "memory ended in a pass of up to 2048 tokens: from now on they are of 1024" in done.stderr
    about = json.loads((gpu.folder / "little/experts/copy/v0001/expert.json").read_text())
    assert "memory ended" in about["metrics"]["not_reproducible"]["lora"]
    gpu.experts(*words, "--registry.path=much", "--run.dir=runs-much")
    much = json.loads((gpu.folder / "much/experts/copy/v0001/expert.json").read_text())
    assert "not_reproducible" not in much["metrics"]


@pytest.mark.skipif("GAGGLE_GPU" in os.environ, reason="how large a GPU is can only be said of one that is none")
def test_ranks_that_share_a_gpu_share_its_memory(both, kind):
    if kind != "llama":
        pytest.skip("one base is enough")
    gpu = both[1]
    make_model(gpu.folder / "wide", "llama", hidden_size=384, intermediate_size=1024, num_hidden_layers=4)
    shutil.copy(gpu.folder / "base" / "tokenizer.json", gpu.folder / "wide")
    shutil.copy(gpu.folder / "base" / "tokenizer_config.json", gpu.folder / "wide")
    words = [*settings(gpu), "--registry.path=tight", "--run.dir=runs-tight", "--cluster.share_device=true", "--dry-run",
             "--model.path=wide"]
    base = 1e6 * float(re.search(r"memory .*base ([\d.]+) MB", gpu.experts(*words).stdout)[1])
    with told(gpu, GAGGLE_FAKE_GPU_BYTES=str(int(1.5 * base))):
        gpu.experts(*words)
        refused = gpu.experts(*words, ranks=2, expect=2)
    assert "does not fit in memory" in refused.stderr and "is free on fake:0" in refused.stderr
