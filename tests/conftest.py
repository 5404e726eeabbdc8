"""What every Python test may ask for: the probe program, the data beside the project, the real model, a workshop."""
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("GAGGLE_BUILD", ROOT / "build")).resolve()
sys.path.insert(0, str(ROOT / "tests"))  # from make_models import make_model
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What a killed mpirun left in /tmp ends a later one that happens to get its process number (docs/cluster.md).
MPIRUN_SESSIONS = tempfile.TemporaryDirectory(prefix="mpirun-")
os.environ["PRTE_MCA_prte_tmpdir_base"] = MPIRUN_SESSIONS.name

from workshop import t5_workshop, tiny_world, trained, workshop  # noqa: E402, F401 (fixtures)


def pytest_addoption(parser):
    parser.addoption("--faults", type=int, help="tests/faults: operations that go wrong, of each kind and story; 0: all")


def pytest_collection_modifyitems(items):
    """Workers take file after file: rooms that take minutes come first, or one worker is alone at the end."""
    first = ["cluster", "app", "faults", "train"]
    items.sort(key=lambda item: first.index(room) if (room := item.path.parent.name) in first else len(first))


class Probe:
    """Runs `probe ARGUMENTS…` as a fork of one `probe serve`, since loading LibTorch is most of a short run. A run sees the
    folder, the environment and the limits of now. str(probe) is the program's path."""

    def __init__(self, path, folder):
        self.path, self.folder, self.server, self.surroundings = Path(path), folder, None, None

    def __str__(self):
        return str(self.path)

    def __fspath__(self):
        return str(self.path)

    def close(self):
        if self.server:
            self.server.communicate()
            self.server = None

    def serve(self):
        """The server, a new one where environment or limits are not those that the last one was started with."""
        surroundings = [{name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
                        [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")]]
        if self.surroundings != surroundings:
            self.close()
        if not self.server:
            self.server = subprocess.Popen([str(self.path), "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.surroundings = surroundings
        return self.server

    def run(self, *arguments, stdin=None, check=True):
        words, files = list(map(str, arguments)), {name: str(self.folder / name) for name in ["in", "out", "err"]}
        Path(files["in"]).write_bytes(stdin or b"")
        server = self.serve()
        server.stdin.write(json.dumps({"words": words, "folder": os.getcwd(), **files}).encode() + b"\n")
        server.stdin.flush()
        if not select.select([server.stdout], [], [], 600)[0]:
            server.kill()
            self.close()
            raise AssertionError(f"probe {arguments} does not end")
        code = int(server.stdout.readline())
        done = subprocess.CompletedProcess(words, code, *(Path(files[name]).read_bytes() for name in ["out", "err"]))
        if check and done.returncode != 0:
            raise AssertionError(f"probe {arguments} ended with {done.returncode}: {done.stderr.decode()}")
        return done

    def json(self, *arguments, stdin=None):
        return json.loads(self.run(*arguments, stdin=stdin).stdout)


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def build():
    return BUILD


@pytest.fixture(scope="session")
def probe(tmp_path_factory):
    path = BUILD / "probe"
    assert path.is_file(), f"{path} is not there: build it, or set GAGGLE_BUILD to the build folder"
    running = Probe(path, tmp_path_factory.mktemp("probe"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def gaggle():
    path = BUILD / "gaggle"
    assert path.is_file(), f"{path} is not there: build it, or set GAGGLE_BUILD to the build folder"
    return path


@pytest.fixture(scope="session")
def shared():
    path = ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip("../shared is not there")
    return path


@pytest.fixture(scope="session")
def smollm2():
    path = ROOT / "demo" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.is_file():
        pytest.skip("demo/SmolLM2-135M-Instruct.Q4_1.gguf is not there (launch/demo.sh fetches it)")
    return path
