"""What is kept of a collection for the next evaluation: the same scores with and without it, whatever happens to it."""
import json
import shutil
import time

import pytest

METHODS = "--eval.methods=['phatgoose','arrow','merged','experts']"


@pytest.fixture
def shop(workshop, trained):
    shutil.copytree(trained.folder / "registry", workshop.folder / "registry")
    shutil.rmtree(workshop.folder / "registry/cache", ignore_errors=True)
    return workshop


def kept(shop):
    return sorted((shop.folder / "registry/cache").glob("*@v*"))


def scores(shop, name):
    """Of an evaluation that begins anew, as it is written."""
    done = shop.run("eval", "tiny.toml", METHODS, f"--run.name={name}")
    return (shop.folder / "runs" / name / "eval/predictions.jsonl").read_bytes(), done.stderr


def test_scores_are_the_same_with_and_without_it(shop):
    first, _ = scores(shop, "first")
    files = kept(shop)
    assert len(files) == 2
    second, _ = scores(shop, "second")
    assert second == first and kept(shop) == files
    for file in files:  # a bit flips
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    assert "damaged" in shop.run("registry", "verify", "--registry", "registry", expect=1).stdout
    third, said = scores(shop, "third")
    assert third == first and said.count("damaged; it is removed and made anew") == 2
    shop.run("registry", "verify", "--registry", "registry")
    shutil.rmtree(shop.folder / "registry/cache")
    (shop.folder / "registry/cache").write_text("nothing can be kept here\n")
    fourth, said = scores(shop, "fourth")
    assert fourth == first and "not kept for the next time" in said


def test_it_survives_two_who_make_it_and_kill_9(shop):
    for delay in (0.1, 0.3, 0.5):
        killed = shop.start("eval", "tiny.toml", METHODS, f"--run.name=killed-{delay}")
        time.sleep(delay)
        killed.kill()
        killed.communicate()
    names = ["one", "two"]
    both = [shop.start("eval", "tiny.toml", METHODS, f"--run.name={name}") for name in names]
    for job in both:
        _, errors = job.communicate(timeout=300)
        assert job.returncode == 0, errors
    found = {(shop.folder / "runs" / name / "eval/predictions.jsonl").read_bytes() for name in names}
    assert len(found) == 1 and found == {scores(shop, "three")[0]}
    assert len(kept(shop)) == 2
    shop.run("registry", "verify", "--registry", "registry")


def test_a_dry_run_keeps_nothing_and_rm_takes_it_away(shop):
    shop.run("eval", "tiny.toml", METHODS, "--dry-run")
    assert kept(shop) == []
    scores(shop, "first")
    assert kept(shop)
    shop.run("registry", "rm", "all", "--registry", "registry")
    assert kept(shop) == []


def test_an_expert_that_is_damaged_later_is_found_when_it_is_used(shop):
    scores(shop, "first")
    file = shop.folder / "registry/experts/copy/v0001/adapter_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    done = shop.run("eval", "tiny.toml", "--eval.methods=['expert:copy']", "--run.name=second", expect=3)
    assert "adapter_model.safetensors: its bytes are not those that were committed" in done.stderr
    assert not [line for line in map(json.loads, (shop.folder / "runs/second/eval/predictions.jsonl").open())]
