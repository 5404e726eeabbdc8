"""What tests/golden.sh lets a program do, one story after the other, on a tiny Llama and a tiny T5. A story works in a
folder of its own: registry*/, runs*/ and what it exported."""
import os
import shutil
import signal
import subprocess

from names import Names
from workshop import Workshop, wait_for

LANES = "--train.lanes=4"
MHR = ["--poly.skills=3", "--poly.heads=4", "--poly.rank=2", "--train.steps=12", "--train.lr=1e-2", LANES,
       "--checkpoint.every=6"]
FLAT = [word for word in MHR if "heads" not in word]
IA3 = ["--poly.adapter=ia3", "--poly.skills=3", "--train.steps=8", "--train.lr=3e-2", LANES]
METHODS = '["full","z","mu","random","shared","lora"]'
ADAPT = ["--adapt.shots=[8]", "--adapt.steps=4", "--adapt.batch_size=4", "--adapt.lr=5e-3",
         "--adapt.tasks=['tasks/vowel.jsonl','tasks/first.jsonl']"]
THREE = "--data.tasks=['tasks/copy.jsonl','tasks/first.jsonl','tasks/reverse.jsonl']"  # vowel is held out


class Shop(Workshop):
    """A workshop in which one program, old or new, goes through the stories."""

    def __init__(self, folder, gaggle, spoil):
        super().__init__(folder, gaggle)
        self.names, self.spoil, self.story, self.commands = Names(gaggle), spoil, "", 0

    def at(self, *parts):
        return self.folder.joinpath(self.story, *parts)

    def command(self, *words, ranks=0):
        self.commands += 1
        return super().command(*self.names.words(words), ranks=ranks)

    def options(self, overrides, registry, runs):
        spoilt = ["--train.lr=0.0123", "--adapt.lr=0.0123"] if self.spoil else []
        return [f"--registry.path={self.story}/{registry}", f"--run.dir={self.story}/{runs}", *overrides, *spoilt]

    def do(self, command, *overrides, name="tiny", registry="registry", runs="runs", **options):
        """A command with a config; its run is called `name`."""
        return self.run(command, "tiny.toml", *self.options([f"--run.name={name}", *overrides], registry, runs), **options)

    def begin(self, command, *overrides, ranks=0):
        return self.start(command, "tiny.toml", *self.options(["--run.name=tiny", *overrides], "registry", "runs"),
                          ranks=ranks)

    def registry(self, *words, registry="registry"):
        return self.run("registry", *words, "--registry", self.at(registry))

    def take(self, story, registry="registry"):
        shutil.copytree(self.folder / story / registry, self.at("registry"))


def experts(shop):
    """LoRAs with their gates: by one process, by two ranks each for itself, by two ranks for each expert."""
    shop.do("experts", LANES, "--train.keep=best", "--train.validate_every=4", "--alignment.sketch=256")
    shop.do("experts", LANES, registry="registry-alone", runs="runs-alone", ranks=2)
    shop.do("experts", LANES, "--cluster.ranks_per_expert=2", registry="registry-together", runs="runs-together", ranks=2)


def settings(shop):
    """Other settings of training than the defaults; then gates for experts that have none."""
    other = ["--train.optimizer=adafactor", "--train.scale_parameter=true", "--train.label_smoothing=0.1",
             "--train.loss_average=example", "--train.schedule=linear", "--train.clip=0.5", "--registry.dtype=bf16",
             "--lora.targets=['q_proj','down_proj']" if shop.kind == "llama" else "--lora.targets=['q','wo']",
             "--train.weight_decay=0.01", "--train.steps=0", "--train.epochs=0.5", "--gate.steps=0", LANES,
             "--alignment.examples=4"]
    shop.do("experts", *other, *(["--train.dropout=0.1"] if shop.kind == "t5" else []))
    shop.do("gates", LANES, name="gates", runs="runs-gates", ranks=2)
    shop.do("experts", "--model.dtype=bf16", "--train.loss_average=sum", "--train.steps=4", "--gate.steps=3",
            THREE, "--data.max_input_tokens=6", "--data.limit_examples=30", registry="registry-bf16", runs="runs-bf16")


def pretrain(shop):
    """Skills under a routing table: MHR, Poly, shared, private, (IA)³; samples, granularity, alignment."""
    watched = ["--alignment.every=3", "--alignment.space=both", "--train.validate_every=6", "--train.keep=best"]
    shop.do("pretrain", *MHR, *watched, THREE, name="mhr")
    shop.do("pretrain", *MHR, *watched, THREE, name="mhr", registry="registry-two", runs="runs-two", ranks=2)
    shop.do("pretrain", *FLAT, "--poly.method=poly", "--poly.sample=task", "--train.optimizer=adafactor",
            "--data.sampling=temperature", "--data.sampling_temperature=2", "--poly.router_granularity=layer",
            "--alignment.every=6", "--alignment.sketch=256", name="poly", ranks=2)
    shop.do("pretrain", *MHR, "--poly.sample=example", "--poly.average_from=8", "--alignment.every=4", name="sampled")
    shop.do("pretrain", *FLAT, "--poly.method=shared", THREE, "--data.sampling=uniform", name="one")
    shop.do("pretrain", *FLAT, "--poly.method=private", "--data.sampling=capped", "--data.sampling_cap=20", name="private")
    shop.do("pretrain", *IA3, "--poly.heads=4", "--poly.sample=example", "--alignment.every=4", THREE, name="ia3")
    shop.do("pretrain", *IA3, "--poly.method=shared", THREE, name="ia3-one", ranks=2)


def align(shop):
    """Gradients of every pair of tasks at a checkpoint."""
    shop.take("pretrain")
    shutil.copytree(shop.folder / "pretrain/runs", shop.at("runs"))
    shop.run("align", shop.at("runs/mhr"), "--examples", 4)
    shop.run("align", shop.at("runs/ia3"), "--examples", 4, ranks=2)


def adapt(shop):
    """Few shots by every method: from LoRAs and from vectors, either loss, one rank and two."""
    shop.take("pretrain")
    of_lora = [*ADAPT, "--adapt.from=mhr", "--adapt.shared_from=one"]
    of_ia3 = [*ADAPT, "--adapt.from=ia3", "--adapt.shared_from=ia3-one"]
    shop.do("adapt", *of_lora, f"--adapt.method={METHODS}", "--adapt.seeds=2", name="lora")
    shop.do("adapt", *of_lora, "--adapt.method=mu", "--adapt.mu=kept", "--adapt.seeds=1", name="kept",
            *["--train.optimizer=adafactor", "--train.scale_parameter=true"])
    shop.do("adapt", *of_lora, f"--adapt.method={METHODS}", "--adapt.seeds=1", "--adapt.loss=tfew",
            "--train.loss_average=example", "--eval.limit_examples=3", name="tfew", ranks=2)
    shop.do("adapt", *of_ia3, '--adapt.method=["full","z","mu","random","shared"]', "--adapt.seeds=1", name="ia3", ranks=2)
    shop.do("adapt", *of_ia3, '--adapt.method=["full","mu"]', "--adapt.mu=kept", "--adapt.seeds=1", "--adapt.loss=tfew",
            "--poly.sample=task", name="ia3-tfew")


def evaluate(shop):
    """Every way to score, and answers to a prompt."""
    shop.take("adapt")
    shutil.copytree(shop.folder / "experts/registry", shop.at("registry-experts"))
    of_experts = {"registry": "registry-experts", "name": "experts"}
    methods = "--eval.methods=['none','experts','merged','arrow','oracle','phatgoose']"
    shop.do("eval", methods, "--eval.max_new_tokens=6", **of_experts)
    shop.do("eval", methods, "--eval.top_k=0", "--eval.arrow=phatgoose", "--eval.max_new_tokens=4",
            "--eval.beams=2", "--eval.limit_examples=3", **(of_experts | {"name": "dense"}), ranks=2)
    z, small = "z:vowel.z.8.s0", ["--eval.max_new_tokens=4", "--eval.limit_examples=4"]
    shop.do("eval", f"--eval.methods=['none','poly','mu','shared:one','{z}','poly:private','mu:ia3','poly:ia3']",
            "--eval.inventory=mhr", "--registry.collection=", *small, name="skills", ranks=2)
    shop.do("eval", "--eval.methods=['poly:vowel.full.8.s0','shared:ia3-one']", "--registry.collection=",
            "--eval.split=validation", "--eval.tasks=['tasks/vowel.jsonl']", "--model.dtype=bf16", name="bf16")
    for method, options in {"phatgoose": of_experts, z: {}, "mu:mhr": {}}.items():
        said = shop.run("generate", "tiny.toml", "copy: ant bee", *shop.options(
            ["--eval.max_new_tokens=32", f"--eval.methods=['{method}']", *([] if options else ["--registry.collection="])],
            options.get("registry", "registry"), "runs"))
        shop.at("said").mkdir(exist_ok=True)
        shop.at("said", f"{method.replace(':', '-')}.txt").write_text(said.stdout)


def store(shop):
    """Out of the registry and in again."""
    shop.take("pretrain")
    for name in ["mhr", "ia3", "one"]:
        shop.registry("export", name, "--to", shop.at("out", name))
        shop.registry("import", shop.at("out", name), "--base", "base", "--name", f"{name}-again")
    for name in ["mhr", "ia3"]:
        shop.registry("export", name, "--mu", "--to", shop.at("out", f"{name}-mu"))
    shop.registry("import", shop.at("out/mhr-mu"), "--base", "base", "--name", "copy")
    shop.registry("collect", "one", "copy")
    shop.registry("verify")
    inventory = shop.names.kind(shop.at("registry"), "inventories") / "mhr/v0001"
    shop.do("pretrain", *MHR, THREE, f"--poly.init_from={inventory}", "--train.steps=3", "--run.variant=on", name="mhr")
    shop.do("experts", f"--lora.init_from={shop.at('registry/experts/copy/v0001')}", THREE, "--train.steps=3",
            "--gate.steps=2", "--alignment.examples=0", name="on")


def stop(shop):
    """Stopped after a checkpoint, by a signal or by the file STOP, and started again: with another number of ranks."""
    def until(job, pattern, end):
        wait_for(lambda: list(shop.at().glob(pattern)) or job.poll() is not None)
        end(job)
        output = job.communicate(timeout=120)
        return job.returncode, output

    interrupt = lambda job: job.send_signal(signal.SIGUSR1)
    long = ["--train.steps=150", "--checkpoint.every=10", LANES]
    code, output = until(shop.begin("experts", *long), "registry/work/items/*/*/*/COMPLETE", interrupt)
    assert code == 75, output
    shop.do("experts", *long, ranks=2)

    long = [*MHR, "--train.steps=3000", "--checkpoint.every=100", "--alignment.every=500", THREE]
    ends = lambda job: shop.at("runs/mhr/STOP").touch()
    code, output = until(shop.begin("pretrain", *long, "--run.name=mhr", ranks=2), "runs/mhr/checkpoints/*/*/COMPLETE", ends)
    assert code == 4, output
    shop.at("runs/mhr/STOP").unlink()
    shop.do("pretrain", *long, name="mhr", ranks=2)  # two again: statistics of alignment know their number

    long = [*ADAPT, "--adapt.from=mhr", "--adapt.method=['full','lora']", "--adapt.seeds=1", "--adapt.steps=250",
            "--checkpoint.every=10"]
    code, output = until(shop.begin("adapt", *long), "runs/tiny/adapt/work/items/*/*/*/COMPLETE", interrupt)
    assert code == 75, output
    shop.do("adapt", *long, ranks=2)


STORIES = [experts, settings, pretrain, align, adapt, evaluate, store, stop]
NEEDS = {"align": ["pretrain"], "adapt": ["pretrain"], "evaluate": ["experts", "pretrain", "adapt"], "store": ["pretrain"]}
