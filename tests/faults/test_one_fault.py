"""One file operation of a command goes wrong: the process is killed or asked to stop there, the operation fails or moves half of
what it should. Whatever happens, the exit code tells the truth, and a second start ends in the bits of an undisturbed run.

By itself it tries one operation of each story killed, asked to stop, short, and failing in one of four ways; `pytest tests/faults
--faults 10` tries ten of every kind, `--faults 0` all of them (hours)."""
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from workshop import Workshop

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "golden")]
from found import found_in  # noqa: E402
from stories import STORIES, furnish  # noqa: E402

# Kind of fault → exit codes that tell the truth of a command that was not done.
KINDS = {"kill": {-9}, "term": {75, -15}, "eio": {1, 3}, "estale": {1, 3}, "enospc": {1, 3}, "short": set(), "full": {1, 3}}
FAILS = ("eio", "estale", "enospc", "full")
LOSE_METRICS = {"kill", "full"}  # the last lines of metrics may be missing; nothing else
OUTSIDE = {"base", "tasks", "cache", "tiny.toml"}  # what a story reads


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    if not shutil.which("gcc"):
        pytest.skip("gcc is not there")
    library = tmp_path_factory.mktemp("shim") / "inject.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, Path(__file__).parent / "inject.c", "-ldl"], check=True)
    return library


class Scene(Workshop):
    """A workshop whose next command meets a fault."""

    def interrupted(self, words, shim, fault=None, log=None):
        about = {"LD_PRELOAD": str(shim), "FAULT_BELOW": str(self.folder) + "/"}
        about |= {"FAULT": fault} if fault else {}
        about |= {"FAULT_LOG": str(log)} if log else {}
        return subprocess.run(self.command(*words), cwd=self.folder, env=self.environment() | about, capture_output=True,
                              text=True, timeout=100)

    def table(self):
        """Everything that the command is answerable for."""
        left = self.folder.parent / (self.folder.name + "-left")
        left.mkdir()
        for path in self.folder.iterdir():
            if path.name not in OUTSIDE and ".part" not in path.name:
                shutil.copytree(path, left / path.name, ignore=shutil.ignore_patterns("*.part*"))  # a killed process's
        table = found_in(left)
        shutil.rmtree(left)
        return table


@pytest.fixture(scope="session")
def scenes(tmp_path_factory, tiny_world, gaggle, shim):
    """Story → (folder to start from, operations of an undisturbed run, what is there after it)."""
    made = {}

    def scene(name):
        if name not in made:
            start, done = tmp_path_factory.mktemp(f"{name}-start"), tmp_path_factory.mktemp(f"{name}-done")
            shutil.copytree(tiny_world, start, dirs_exist_ok=True)
            furnish(STORIES[name], Workshop(start, gaggle))
            shutil.copytree(start, done, dirs_exist_ok=True)
            log = tmp_path_factory.mktemp("log") / "operations"
            undisturbed = Scene(done, gaggle)
            run = undisturbed.interrupted(STORIES[name].words, shim, log=log)
            assert run.returncode == 0, run.stderr
            inputs = tuple(str(done / name) for name in OUTSIDE)
            operations = [(int(number), what) for number, what in (line.split(" ", 1) for line in log.read_text().splitlines())
                          if not what[what.index("/"):].startswith(inputs)]
            made[name] = start, operations, undisturbed.table()
        return made[name]
    return scene


def chosen(operations, story, kind, most):
    if most == 0 or most >= len(operations):
        return operations
    return sorted(random.Random(f"{story} {kind}").sample(operations, most))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STORIES)
def test_one_fault(scenes, shim, gaggle, tmp_path, request, name, kind):
    story, most = STORIES[name], request.config.getoption("--faults")
    if most is None and kind in FAILS and kind != FAILS[list(STORIES).index(name) % len(FAILS)]:
        pytest.skip("every kind with every story: --faults N")
    start, operations, expected = scenes(name)

    def counted(table):
        return {key: value for key, value in table.items() if kind not in LOSE_METRICS or key[0] != "metrics: steps"}

    for number, what in chosen(operations, name, kind, 1 if most is None else most):
        shop = Scene(Path(shutil.copytree(start, tmp_path / f"{number}")), gaggle)
        done = shop.interrupted(story.words, shim, f"{kind} {number}")
        about = f"{kind} at operation {number}, about {what}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode in {0} | KINDS[kind], about
        assert done.returncode in (0, -9, -15) or (done.stdout + done.stderr).strip(), about
        if done.returncode == 0:
            assert counted(shop.table()) == counted(expected), f"the exit code is not true: {about}"
        again = subprocess.run(shop.command(*story.words, *story.retry), cwd=shop.folder, env=shop.environment(),
                               capture_output=True, text=True, timeout=100)
        about += f"\nagain: {again.returncode}\n{again.stdout}\n{again.stderr}"
        assert again.returncode in {0, story.gone}, about
        table = shop.table()
        assert counted(table) == counted(expected), about
        assert kind != "full" or table == expected or "lines of it are lost" in done.stderr, about
        sound = shop.run("registry", "verify", "--registry", "registry")
        assert "sound" in sound.stdout, f"{about}\n{sound.stdout}"
        shutil.rmtree(shop.folder)
