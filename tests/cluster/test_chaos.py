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


def grow_twelve(folder, tiny_world, gaggle):
    shutil.copytree(tiny_world / "base", folder / "base")
    write_many_tasks(folder / "tasks", EXPERTS)
    return Workshop(folder, gaggle)


@pytest.fixture
def twelve(tmp_path, tiny_world, gaggle):
    return grow_twelve(tmp_path, tiny_world, gaggle)


def test_plain_processes_killed_at_random_make_the_undisturbed_bits(twelve):
    calm(twelve, SETTINGS)
    storm = chaos(twelve, seed=1, workers=3, settings=SETTINGS, disturbances=10, pause=(0.05, 0.3))
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


# Lanes for groups of up to four ranks; ranks alone have the same bits with them.
WORDS = ["experts", "tiny.toml", "--train.steps=150", "--train.lanes=4", "--cluster.lease_s=4"]
OFTEN = "--checkpoint.every=3"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_world, gaggle):
    """The bits that one process makes of WORDS."""
    shop = grow_twelve(tmp_path_factory.mktemp("undisturbed"), tiny_world, gaggle)
    shop.run(*WORDS)
    return shop.bits()


def test_ten_of_twelve_ranks_killed_at_random_under_ulfm(twelve, undisturbed):
    """Each death costs its own item alone: the job ends with 0, and the bits are the undisturbed ones."""
    run = start_under_ulfm(twelve, 12, *WORDS, OFTEN)
    draw = random.Random(2)
    kill_ranks(run, draw.sample(range(1, 12), 10), draw)
    code = run.wait(300)
    said = (twelve.folder / "output").read_text()
    assert code == 0, said
    assert said.count("is given up") >= 1, said
    assert twelve.bits() == undisturbed


@pytest.mark.parametrize(("ranks_per_expert", "victims"), [(2, [1, 2, 5]), (4, [3, 4])])
def test_the_others_of_a_group_that_lost_a_rank_go_on_alone(twelve, undisturbed, ranks_per_expert, victims):
    """A follower of the first rank's group, a leader, and one of another group."""
    run = start_under_ulfm(twelve, 8, *WORDS, OFTEN, f"--cluster.ranks_per_expert={ranks_per_expert}")
    kill_ranks(run, victims, random.Random(3))
    code = run.wait(300)
    said = (twelve.folder / "output").read_text()
    assert code == 0, said
    assert re.search("rank [13] was lost: this rank goes on alone", said), said
    assert twelve.bits() == undisturbed
