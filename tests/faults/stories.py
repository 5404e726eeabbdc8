"""What tests/faults interrupts: each story is one command, started in a workshop in which it has something to do."""
import dataclasses
import shutil

SMALL = ["--train.steps=6", "--gate.steps=4", "--checkpoint.every=2", "--data.tasks=['tasks/copy.jsonl','tasks/first.jsonl']"]
POLY = [*SMALL, "--poly.skills=2", "--poly.heads=2", "--poly.rank=2"]
EXPERTS, SKILLS = ("experts", "tiny.toml", *SMALL), ("pretrain", "tiny.toml", *POLY)
STORE = ("--registry", "registry")


@dataclasses.dataclass
class Story:
    words: tuple        # the command
    before: tuple = ()  # commands that furnish the workshop
    retry: tuple = ()   # further words of the next start, where items may have been set aside
    gone: int = 0       # what the next start may end with where the first had done it all: 2 where that is refused


RETRY = ("--retry",)
STORIES = {
    "experts": Story(EXPERTS, retry=RETRY),
    "gates": Story(("gates", "tiny.toml", *SMALL), [(*EXPERTS, "--gate.steps=0")], RETRY),
    "pretrain": Story(SKILLS, retry=RETRY),
    "adapt": Story(("adapt", "tiny.toml", *POLY, "--adapt.from=tiny", "--adapt.method=['full','z']", "--adapt.shots=[4]",
                    "--adapt.seeds=1", "--adapt.steps=3", "--eval.limit_examples=2"), [SKILLS], RETRY),
    "eval": Story(("eval", "tiny.toml", *SMALL, "--eval.methods=['none','experts','phatgoose']", "--eval.limit_examples=2",
                   "--eval.max_new_tokens=2"), [EXPERTS], RETRY),
    "import": Story(("registry", "import", "out", "--name", "again", "--base", "base", *STORE),
                    [EXPERTS, ("registry", "export", "copy", "--to", "out", *STORE)]),
    "collect": Story(("registry", "collect", "both", "copy", "first", *STORE), [EXPERTS]),
    "rm": Story(("registry", "rm", "copy", *STORE), [(*EXPERTS, "--registry.collection=")], gone=2),
    "export": Story(("registry", "export", "copy", "--to", "out", *STORE), [EXPERTS], gone=2),
}


def furnish(story, shop):
    for words in story.before:
        shop.run(*words)
    for left in ["runs", "registry/work"]:
        shutil.rmtree(shop.folder / left, ignore_errors=True)
