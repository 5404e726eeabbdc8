"""Runs the stories of stories.py with two programs and compares what they left; called by tests/golden.sh."""
import argparse
import collections
import concurrent.futures
import hashlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "golden")]
MPIRUN_SESSIONS = tempfile.TemporaryDirectory(prefix="mpirun-")  # as in conftest.py
os.environ["PRTE_MCA_prte_tmpdir_base"] = MPIRUN_SESSIONS.name

from found import found_in  # noqa: E402
from stories import NEEDS, STORIES, Shop  # noqa: E402

BASES = ["llama", "t5"]
MADE_BY = ["golden/stories.py", "golden/world.py", "make_models.py", "workshop.py"]


def once(folder, make):
    """A folder that is kept: made beside and renamed, so that it is there whole or not at all."""
    if not folder.exists():
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
        make(beside)
        beside.rename(folder)
    return folder


def chosen(only):
    names = [story.__name__ for story in STORIES]
    wanted = {name for name in names if name.startswith(only)}
    for name in reversed(names):
        wanted |= set(NEEDS.get(name, [])) if name in wanted else set()
    return [story for story in STORIES if story.__name__ in wanted]


def run_stories(folder, gaggle, world, kind, stories, spoil=False):
    """One program in one world. What went wrong is left in failed.txt of the story's folder."""
    shutil.copytree(world / kind, folder / kind)
    shop = Shop(folder / kind, gaggle, spoil)
    shop.kind = kind
    for story in stories:
        shop.story, start = story.__name__, time.monotonic()
        shop.at().mkdir()
        try:
            story(shop)
        except Exception as error:
            shop.at("failed.txt").write_text(f"{type(error).__name__}: {error}\n")
        print(f"   {gaggle} {kind} {story.__name__}: {time.monotonic() - start:.0f} s", flush=True)


def equal(one, other):
    if isinstance(one, tuple) and len(one) == 2 and one[0] != other[0]:  # keys: see recipe_and_key
        return one[1] == other[1] == "proven"
    return one == other


def differences(old, new):
    """(what, where, old value, new value) of everything that is not equal."""
    missing = "not there"
    for at in sorted(old.keys() | new.keys()):
        one, other = old.get(at, missing), new.get(at, missing)
        if missing in (one, other) or not equal(one, other):
            yield at[0], f"{at[1]} {at[2]}", one, other


def shown(value, other):
    if isinstance(value, dict) and isinstance(other, dict):
        value = {key: inner for key, inner in value.items() if inner != other.get(key)}
    text = str(value)
    return text if len(text) <= 150 else text[:147] + "..."


def compare(old_folder, new_folder, stories):
    """Prints the differences and the table; how many differences there are."""
    count, wrong, follow = collections.Counter(), collections.Counter(), 0
    for kind in BASES:
        for story in stories:
            name = story.__name__
            old, new = (found_in(folder / kind / name) for folder in (old_folder, new_folder))
            count.update((at[0], kind) for at in old)
            follow += sum(at[0] == "recipe keys" and at in new and old[at][0] != new[at][0] and equal(old[at], new[at])
                          for at in old)
            told = 0
            for what, where, one, other in differences(old, new):
                wrong[what, kind] += 1
                told += 1
                if told <= 5:
                    print(f"DIFFERENT  {kind} {name}: {what}: {where}\n    old  {shown(one, other)}\n    new  {shown(other, one)}")
            if told > 5:
                print(f"    and {told - 5:,} more of {kind} {name}")
            failed = [folder / kind / name / "failed.txt" for folder in (old_folder, new_folder)]
            for path in failed:
                if path.exists():
                    wrong["stories that failed", kind] += 1
                    print(f"FAILED  {path}\n{path.read_text()}")
    print(f"\n{'compared':<34}" + "".join(f"{kind:>10}{'different':>11}" for kind in BASES))
    for what in sorted({what for what, _ in count | wrong}):
        print(f"{what:<34}" + "".join(f"{count[what, kind]:>10,}{wrong[what, kind]:>11,}" for kind in BASES))
    if follow:
        print(f"{follow} recipe keys of adapt follow from another digest of the parent, and from nothing else")
    return sum(wrong.values())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--golden", type=Path, required=True)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--spoil", action="store_true")
    given = parser.parse_args()
    stamp = hashlib.sha256(b"".join((TESTS / name).read_bytes() for name in MADE_BY)).hexdigest()[:8]
    stories = chosen(given.only)

    def make_worlds(folder):
        from world import make_world  # not before it is needed: it takes seconds

        for kind in BASES:
            make_world(folder / kind, kind)

    world = once(given.golden / f"world-{stamp}", make_worlds)
    old, new = given.golden / f"made-{stamp}-{given.commit}", given.new.parent.resolve() / "golden"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        if not old.exists():
            print(f"== the stories of {given.commit}")
            once(old, lambda folder: list(pool.map(
                lambda kind: run_stories(folder, given.old.resolve(), world, kind, STORIES), BASES)))
        print("== the stories of the working tree")
        list(pool.map(lambda kind: run_stories(new, given.new.resolve(), world, kind, stories, given.spoil), BASES))
    print("== compared")
    wrong = compare(old, new, stories)
    print(f"{'every bit as in' if wrong == 0 else f'{wrong:,} differences from'} {given.commit}, "
          f"{time.monotonic() - start:.0f} s")
    sys.exit(1 if wrong else 0)


main()
