"""Workers die at random: as plain processes, and under mpirun with fault tolerance. The long form is chaos.py alone."""
import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest
from chaos import calm, chaos, write_many_tasks
from workshop import Workshop, ranks_under, wait_for

EXPERTS = 12
SETTINGS = ["--train.steps=60", "--checkpoint.every=10"]


@pytest.fixture
def twelve(tmp_path, tiny_world, gaggle):
    shutil.copytree(tiny_world / "base", tmp_path / "base")
    write_many_tasks(tmp_path / "tasks", EXPERTS)
    return Workshop(tmp_path, gaggle)


def test_plain_processes_killed_at_random_make_the_undisturbed_bits(twelve):
    calm(twelve, SETTINGS)
    storm = chaos(twelve, seed=1, workers=3, settings=SETTINGS, disturbances=10, pause=(0.2, 1.0))
    assert sum(storm.did.values()) >= 5  # where starting takes long, all is done before the tenth


def start_under_ulfm(shop, ranks, *words):
    """The running mpirun, whose ranks all work; its output is in the file `output`."""
    if "Open MPI) 5" not in subprocess.run(["mpirun", "--version"], capture_output=True, text=True).stdout:
        pytest.skip("this mpirun has no --with-ft ulfm")
    command = shop.command(*words, ranks=ranks)
    command[1:1] = ["--with-ft", "ulfm"]
    with open(shop.folder / "output", "w") as output:
        run = subprocess.Popen(command, cwd=shop.folder, env=shop.environment(), stdout=output, stderr=output)
    wait_for(lambda: len(ranks_under(run)) == ranks and len(shop.journal()) > 12, 120, "the ranks did not start")
    return run


def kill_ranks(run, victims, draw):
    for victim in victims:
        time.sleep(draw.uniform(0.1, 0.6))
        if (pid := ranks_under(run).get(victim)) is not None and run.poll() is None:
            os.kill(pid, signal.SIGKILL)


WORDS = ["experts", "tiny.toml", "--train.steps=150", "--checkpoint.every=3", "--cluster.lease_s=4"]


def test_ten_of_twelve_ranks_killed_at_random_under_ulfm(twelve):
    """Each death costs its own item alone: the job ends with 0, and the bits are the undisturbed ones."""
    twelve.run(*WORDS, "--registry.path=calm", "--run.dir=calm-runs")
    run = start_under_ulfm(twelve, 12, *WORDS)
    draw = random.Random(2)
    kill_ranks(run, draw.sample(range(1, 12), 10), draw)
    code = run.wait(300)
    said = (twelve.folder / "output").read_text()
    assert code == 0, said
    assert said.count("is given up") >= 1, said
    assert twelve.bits() == twelve.bits("calm")


@pytest.mark.parametrize(("ranks_per_expert", "victims"), [(2, [1, 2, 5]), (4, [3, 4])])
def test_the_others_of_a_group_that_lost_a_rank_go_on_alone(twelve, ranks_per_expert, victims):
    """A follower of the first rank's group, a leader, and one of another group."""
    lanes = "--train.lanes=4"
    twelve.run(*WORDS, lanes, "--registry.path=calm", "--run.dir=calm-runs")
    run = start_under_ulfm(twelve, 8, *WORDS, lanes, f"--cluster.ranks_per_expert={ranks_per_expert}")
    kill_ranks(run, victims, random.Random(3))
    code = run.wait(300)
    said = (twelve.folder / "output").read_text()
    assert code == 0, said
    assert re.search("rank [13] was lost: this rank goes on alone", said), said
    assert twelve.bits() == twelve.bits("calm")
