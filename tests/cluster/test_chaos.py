"""Workers die at random: as plain processes, and under mpirun with fault tolerance. The long form is chaos.py alone."""
import os
import random
import shutil
import signal
import subprocess
import time

import pytest
from chaos import chaos, write_many_tasks
from workshop import Workshop, ranks_under, wait_for

EXPERTS = 12
SETTINGS = ["--train.steps=60", "--checkpoint.every=10"]


@pytest.fixture
def twelve(tmp_path, tiny_world, gaggle):
    shutil.copytree(tiny_world / "base", tmp_path / "base")
    write_many_tasks(tmp_path / "tasks", EXPERTS)
    return Workshop(tmp_path, gaggle)


def test_plain_processes_killed_at_random_make_the_undisturbed_bits(twelve):
    storm = chaos(twelve, seed=1, workers=3, settings=SETTINGS, disturbances=10, pause=(0.2, 1.0))
    assert sum(storm.did.values()) == 10 or storm.ended[0]


def test_ten_of_twelve_ranks_killed_at_random_under_ulfm(twelve):
    """Each death costs its own item alone: the job ends with 0, and the bits are the undisturbed ones."""
    if "Open MPI) 5" not in subprocess.run(["mpirun", "--version"], capture_output=True, text=True).stdout:
        pytest.skip("this mpirun has no --with-ft ulfm")
    words = ["experts", "tiny.toml", "--train.steps=150", "--checkpoint.every=3", "--cluster.lease_s=4"]
    twelve.run(*words, "--registry.path=calm", "--run.dir=calm-runs")
    command = twelve.command(*words, ranks=12)
    command[1:1] = ["--with-ft", "ulfm"]
    with open(twelve.folder / "output", "w") as output:
        run = subprocess.Popen(command, cwd=twelve.folder, env=twelve.environment(), stdout=output, stderr=output)
    draw = random.Random(2)
    victims = draw.sample(range(1, 12), 10)
    wait_for(lambda: len(ranks_under(run)) == 12 and len(twelve.journal()) > 12, 120, "the ranks did not start")
    for victim in victims:
        time.sleep(draw.uniform(0.1, 0.6))
        if (pid := ranks_under(run).get(victim)) is not None and run.poll() is None:
            os.kill(pid, signal.SIGKILL)
    code = run.wait(300)
    said = (twelve.folder / "output").read_text()
    assert code == 0, said
    assert said.count("is given up") >= 1, said
    assert twelve.bits() == twelve.bits("calm")
