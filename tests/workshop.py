"""A workshop for end-to-end tests: a tiny base with its tokenizer, four small tasks, a config, and ways to run it."""
import hashlib
import json
import os
import random
import shutil
import subprocess
import time

import pytest

SPLITS = ["train"] * 8 + ["validation", "test"]
WORDS = "ant bee cat dog elk fox gnu hen ibis jay kid lark mole newt owl pig quail ram seal toad".split()


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_tokenizer(folder, markers=()):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<s>", "</s>", *markers],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([" ".join(WORDS) * 20], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", "bos_token": "<s>"}))


def write_unigram(folder, texts=None, vocab_size=200):
    """A Unigram tokenizer with T5's first three tokens and its rule for the end; by default of the tasks' words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    texts = texts or [" ".join(["copy: reverse: first: vowel: yes no", *WORDS])] * 20
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(texts, trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    # Training gives equal pieces another order each time, and with it other ids.
    vocab = [(piece, round(score, 6)) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]
    ordered = vocab[:3] + sorted(vocab[3:], key=lambda entry: (-entry[1], entry[0]))
    tokenizer.model = models.Unigram(ordered, unk_id=2)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))


def write_tasks(folder):
    """Four tasks over the same words: copy, reverse, pick the first, say whether it starts with a vowel."""
    folder.mkdir()
    draw = random.Random(0)
    rules = {
        "copy": lambda w: (" ".join(w), None),
        "reverse": lambda w: (" ".join(reversed(w)), None),
        "first": lambda w: (w[0], None),
        "vowel": lambda w: ("yes" if w[0][0] in "aeiou" else "no", ["yes", "no"]),
    }
    for name, rule in rules.items():
        with open(folder / f"{name}.jsonl", "w") as file:
            for i in range(60):
                words = draw.sample(WORDS, draw.randint(1, 4))
                output, choices = rule(words)
                example = {"id": f"{name}-{i}", "input": f"{name}: {' '.join(words)}", "output": output,
                       "split": SPLITS[i % len(SPLITS)]}
                file.write(json.dumps(example | ({"choices": choices} if choices else {})) + "\n")


def write_choosing(file, rows=60):
    """Test examples with four choices of unlike lengths, of which letters have more bytes than one."""
    draw = random.Random(1)
    with open(file, "w") as out:
        for i in range(rows):
            choices = []
            while len(choices) < 4:
                choice = " ".join(draw.sample(WORDS, draw.randint(1, 5))) + draw.choice(["", "é", "!"])
                choices += [choice] if choice not in choices else []
            out.write(json.dumps({"id": str(i), "split": "test", "input": f"pick: {draw.choice(choices)}", "choices": choices,
                                  "output": draw.choice(choices)}) + "\n")


CONFIG = """
[run]
name = "tiny"
dir = "runs"
device = "cpu"
threads = 1
[model]
path = "base"
dtype = "fp32"
[data]
tasks = ["tasks"]
[lora]
rank = 4
alpha = 0.25
[train]
steps = 12
batch_size = 8
lr = 5e-3
tokens_per_microbatch = 64
[gate]
steps = 6
[registry]
path = "registry"
collection = "all"
cache = "cache"
[checkpoint]
every = 4
[eval]
methods = ["none", "merged", "phatgoose"]
"""


def wait_for(condition, seconds=60, what="waited in vain"):
    """What the condition gives, once that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


def ranks_under(mpirun):
    """Pids of the gaggle processes that this mpirun started, by rank."""
    found = {}
    for pid in subprocess.run(["pgrep", "-P", str(mpirun.pid)], capture_output=True, text=True).stdout.split():
        try:
            environment = open(f"/proc/{pid}/environ", "rb").read().split(b"\0")
        except OSError:
            continue
        ranks = [int(word.split(b"=")[1]) for word in environment if word.startswith(b"OMPI_COMM_WORLD_RANK=")]
        found |= {rank: int(pid) for rank in ranks}
    return found


class Workshop:
    def __init__(self, folder, gaggle):
        self.folder, self.gaggle = folder, gaggle
        (folder / "tiny.toml").write_text(CONFIG)

    def environment(self):
        return os.environ | {"OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

    def command(self, *words, ranks=0):
        start = ["mpirun", "--oversubscribe", "-np", str(ranks)] if ranks else []
        return [*start, str(self.gaggle), *map(str, words)]

    def start(self, *words, ranks=0):
        return subprocess.Popen(self.command(*words, ranks=ranks), cwd=self.folder, env=self.environment(),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *words, ranks=0, expect=0):
        done = subprocess.run(self.command(*words, ranks=ranks), cwd=self.folder, env=self.environment(),
                              capture_output=True, text=True, timeout=600)
        assert done.returncode == expect, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def experts(self, *overrides, **options):
        return self.run("experts", "tiny.toml", *overrides, **options)

    def bits(self, registry="registry"):
        """Digest of every file of every expert version, but SHA256SUMS, which follow from them."""
        root = self.folder / registry / "experts"
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(root.rglob("*")) if path.is_file()}

    def journal(self, registry="registry"):
        lines = []
        for path in sorted((self.folder / registry / "work" / "journal").glob("*.jsonl")):
            lines += [json.loads(line) for line in path.read_text().splitlines()]
        return lines


def grow(folder, world, gaggle, *settings):
    """A workshop in `folder` with everything of `world`, whose experts are trained."""
    shutil.copytree(world, folder, dirs_exist_ok=True)
    shop = Workshop(folder, gaggle)
    shop.experts(*settings)
    return shop


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory):
    from make_models import make_model  # not before it is needed: it takes seconds

    folder = tmp_path_factory.mktemp("tiny")
    make_model(folder / "base", "llama", seed=3)
    write_tokenizer(folder / "base")
    write_tasks(folder / "tasks")
    return folder


@pytest.fixture
def workshop(tmp_path, tiny_world, gaggle):
    shutil.copytree(tiny_world / "base", tmp_path / "base")
    shutil.copytree(tiny_world / "tasks", tmp_path / "tasks")
    return Workshop(tmp_path, gaggle)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny_world, gaggle):
    """A workshop whose experts are trained; for tests that only read it."""
    return grow(tmp_path_factory.mktemp("trained"), tiny_world, gaggle)


@pytest.fixture
def t5_workshop(tmp_path, gaggle):
    """The same tasks before a tiny T5."""
    from make_models import make_t5

    write_tasks(tmp_path / "tasks")
    make_t5(tmp_path / "base", "t5-v1.1", seed=3, vocab_size=200)
    write_unigram(tmp_path / "base")
    return Workshop(tmp_path, gaggle)
