"""One mpirun across two hosts: equal bits, and an end within seconds when a rank or the cable between them dies."""
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from hosts import Hosts, why_not
from workshop import Workshop, wait_for

LONG = ["--train.steps=120", "--checkpoint.every=10"]
ENDLESS = ["--train.steps=100000", "--checkpoint.every=20"]


@pytest.fixture(scope="module")
def hosts():
    if reason := why_not():
        pytest.skip(reason)
    with Hosts() as pair:
        yield pair


@pytest.fixture(scope="module")
def one_host(tmp_path_factory, tiny_world, gaggle):
    """What one plain process makes: experts, and an inventory."""
    folder = tmp_path_factory.mktemp("one_host")
    shutil.copytree(tiny_world, folder, dirs_exist_ok=True)
    shop = Workshop(folder, gaggle)
    shop.experts()
    shop.run("pretrain", "tiny.toml", *LONG)
    return shop


def mpirun(hosts, shop, *words, keepalive=2):
    """Rank 0 on h1, rank 1 on h2. TCP alone: these hosts share more than real ones do, and would use it. mpirun notices
    a silent host after `keepalive` + 2 s; without that it would wait for its daemon there for ever (env.sh has 30 s)."""
    start = ["mpirun", "--host", "h1:1,h2:1", "--mca", "plm", "ssh", "--mca", "plm_ssh_agent", hosts.agent, "--mca", "pml",
             "ob1", "--mca", "btl", "tcp,self", "--bind-to", "none", "-x", "OMP_NUM_THREADS"]
    environment = shop.environment() | {"GAGGLE_EXIT_FILE": str(shop.folder / "exit")}
    for name, value in [("time", keepalive), ("intvl", 1), ("probes", 2)]:
        environment[f"PRTE_MCA_oob_tcp_keepalive_{name}"] = environment[f"OMPI_MCA_oob_tcp_keepalive_{name}"] = str(value)
    with open(shop.folder / "mpirun.log", "w") as log:
        return subprocess.Popen(hosts.command_on("h1", *start, shop.gaggle, *words, cwd=shop.folder), env=environment,
                                stdout=log, stderr=log)


def log_of(shop):
    return (shop.folder / "mpirun.log").read_text(errors="replace")


def ended(job, shop, seconds):
    """Exit code, everything it wrote, and the seconds it took from now."""
    begin = time.monotonic()
    try:
        job.wait(seconds)
    except subprocess.TimeoutExpired:
        job.kill()
        job.wait()
        raise AssertionError(f"still there after {seconds} s\n{log_of(shop)}") from None
    return job.returncode, log_of(shop), time.monotonic() - begin


def inventory_bits(shop, name="tiny"):
    return (shop.folder / f"registry/inventories/{name}/v0001/SHA256SUMS").read_text()


def rank_on(hosts, name, shop):
    """Process id of the rank on that host; None: there is none."""
    for pid in hosts.processes(name):
        try:
            if os.readlink(f"/proc/{pid}/exe") == str(shop.gaggle):
                return pid
        except OSError:
            continue
    return None


def wait_for_steps(job, shop):
    found = lambda: job.poll() is not None or list(shop.folder.glob("runs/*/checkpoints/*/*/COMPLETE"))
    wait_for(found, 60, "no checkpoint was written")
    assert job.poll() is None, log_of(shop)


@pytest.mark.parametrize("command", ["experts", "pretrain"])
def test_two_hosts_make_the_bits_of_one(hosts, workshop, one_host, command):
    code, output, _ = ended(mpirun(hosts, workshop, command, "tiny.toml", *(LONG if command == "pretrain" else [])), workshop, 120)
    assert code == 0 and "2 ranks" in output, output
    assert (workshop.folder / "exit").read_text() == "0\n"
    if command == "pretrain":
        assert inventory_bits(workshop) == inventory_bits(one_host)
    else:
        assert workshop.bits() == one_host.bits()
        started = {line["worker"].split("-")[0] for line in workshop.journal() if line["kind"] == "started"}
        assert started == {"h1", "h2"}


def test_kill_9_of_a_rank_on_the_other_host_ends_the_job_and_the_next_start_goes_on(hosts, workshop, one_host):
    job = mpirun(hosts, workshop, "pretrain", "tiny.toml", *LONG)
    wait_for_steps(job, workshop)
    os.kill(rank_on(hosts, "h2", workshop), signal.SIGKILL)
    code, output, seconds = ended(job, workshop, 30)
    assert code != 0 and seconds < 15, output
    code, output, _ = ended(mpirun(hosts, workshop, "pretrain", "tiny.toml", *LONG), workshop, 120)
    assert code == 0, output
    assert inventory_bits(workshop) == inventory_bits(one_host)


def test_a_cut_link_is_noticed_by_mpirun_and_the_job_does_not_count_as_done(hosts, workshop):
    job = mpirun(hosts, workshop, "pretrain", "tiny.toml", *ENDLESS)
    wait_for_steps(job, workshop)
    hosts.cut("h2")
    try:
        code, output, seconds = ended(job, workshop, 60)
    finally:
        hosts.clear()
        hosts.mend("h2")
    assert seconds < 20 and "h2" in output, output
    # Open MPI 5 ends with 0 then: launch/slurm.sbatch asks for the file that the first rank leaves.
    assert code != 0 or not (workshop.folder / "exit").exists()


@pytest.fixture(scope="module")
def watchdog_output(hosts, tmp_path_factory, tiny_world, gaggle):
    """What was written when a link was cut in the middle of a collective and gaggle noticed before mpirun did. mpirun
    then has news for its daemon on h2 under way, and Linux waits a quarter of an hour for their arrival: only the end
    of rank 0 is waited for."""
    shop = Workshop(tmp_path_factory.mktemp("cut"), gaggle)
    shutil.copytree(tiny_world, shop.folder, dirs_exist_ok=True)
    job = mpirun(hosts, shop, "pretrain", "tiny.toml", *ENDLESS, "--comm.timeout_s=5", keepalive=60)
    wait_for_steps(job, shop)
    time.sleep(1)  # until both ranks were heard of at work
    hosts.cut("h2")
    try:
        wait_for(lambda: rank_on(hosts, "h1", shop) is None, 20, "rank 0 waits longer than comm.timeout_s")
    finally:
        hosts.clear()
        job.wait()
        hosts.mend("h2")
    return log_of(shop)


def test_a_cut_link_in_a_collective_is_an_error_within_the_deadline_that_names_the_host(watchdog_output):
    assert re.search(r"no progress within 5 s: rank 1 on host h2 did not come", watchdog_output), watchdog_output
    assert re.search(r"rank 1 on host h2: not heard of for \d+ s, before that: ", watchdog_output), watchdog_output
