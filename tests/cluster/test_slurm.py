"""launch/slurm.sbatch and array.sbatch in a real Slurm: saved before the limit, requeued, shared, and the same bits."""
import os
import re
import shutil
import signal
import time

import pytest
from slurm import Slurm, missing_programs
from workshop import Workshop, wait_for

LONG = ["--train.steps=120", "--checkpoint.every=10"]


@pytest.fixture(scope="module")
def slurm():
    if missing := missing_programs():
        pytest.skip(f"no Slurm here: {', '.join(missing)} missing (Debian: slurm-wlm munge)")
    with Slurm() as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_world, gaggle):
    """What one plain process makes of the settings LONG: experts, and an inventory."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(tiny_world, folder, dirs_exist_ok=True)
    shop = Workshop(folder, gaggle)
    shop.experts(*LONG)
    shop.run("pretrain", "tiny.toml", *LONG)
    return shop


class Jobs:
    """Jobs of the launch scripts in one workshop; a job's log is read whole."""

    def __init__(self, slurm, shop, root):
        self.slurm, self.shop, self.launch = slurm, shop, root / "launch"
        slurm.environment["GAGGLE"] = str(shop.gaggle)

    def submit(self, script, *words, options=("--ntasks=2",)):
        return self.slurm.sbatch(*options, self.launch / script, *words, cwd=self.shop.folder)

    def log(self, job):
        path = self.shop.folder / f"gaggle-{job}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for_log(self, job, text, count=1):
        wait_for(lambda: self.log(job).count(text) >= count, 90, f"{text} is not in the log of {job}")

    def wait_for_checkpoint(self):
        wait_for(lambda: list(self.shop.folder.glob("re*/work/items/*/*/*/COMPLETE"))
                 or list(self.shop.folder.glob("runs/*/checkpoints/*/*/COMPLETE")), 90, "no checkpoint")

    def usr1(self, job):
        """As Slurm sends it with --signal=B:USR1@300: to the batch script alone."""
        self.slurm.run("scancel", "--batch", "--signal=USR1", job)


@pytest.fixture
def jobs(slurm, workshop, root):
    slurm.environment["GAGGLE_LAUNCHER"] = "mpirun"
    return Jobs(slurm, workshop, root)


def inventory_bits(shop):
    return (shop.folder / "registry/inventories/tiny/v0001/SHA256SUMS").read_text()


@pytest.mark.parametrize(("command", "launcher"), [("experts", "mpirun"), ("pretrain", "mpirun"), ("pretrain", "srun")])
def test_usr1_saves_and_requeues_and_the_bits_are_those_of_an_undisturbed_run(jobs, slurm, undisturbed, command, launcher):
    if launcher == "srun" and not slurm.speaks_pmix():
        pytest.skip("srun --mpi=pmix does not work here (Debian: libpmix-dev has the library that it loads)")
    slurm.environment["GAGGLE_LAUNCHER"] = launcher
    job = jobs.submit("slurm.sbatch", command, "tiny.toml", *LONG)
    jobs.wait_for_checkpoint()
    jobs.usr1(job)
    assert slurm.wait(job) == 0, jobs.log(job)
    log = jobs.log(job)
    assert "USR1 came: asking gaggle to save and leave" in log and "exit code 75: everything is saved, requeued" in log
    assert log.index("] start 1 ") < log.index("requeued") < log.index("] start 2 ") and "done" in log.splitlines()[-1]
    assert {"mpirun": "mpirun -np 2 ", "srun": "srun --mpi=pmix "}[launcher] in log
    assert slurm.facts(job)["Restarts"] == "1"
    if command == "experts":
        assert jobs.shop.bits() == undisturbed.bits()
    else:
        assert inventory_bits(jobs.shop) == inventory_bits(undisturbed)


def test_slurm_asks_before_the_time_limit(jobs, slurm):
    """Slurm sends the signal up to a minute early: it looks twice a minute, half a minute ahead."""
    job = jobs.submit("slurm.sbatch", "pretrain", "tiny.toml", "--train.steps=100000",
                      options=["--ntasks=2", "--time=1", "--signal=B:USR1@10"])
    jobs.wait_for_log(job, "] start 2 ")
    slurm.run("scancel", job)
    log = jobs.log(job)
    assert "USR1 came: asking gaggle to save and leave" in log and "exit code 75: everything is saved, requeued" in log


def test_the_demonstration_is_requeued_with_the_bits_of_an_undisturbed_run(jobs, slurm, smollm2, root):
    tasks = [str(root / f"demo/tasks/held_in/{name}.jsonl") for name in ["naughty_strings", "positive-binary-operations"]]
    settings = [root / "configs/demo.toml", f"--data.tasks={tasks}", f"--run.dir={jobs.shop.folder}/runs", "--run.threads=1",
                "--train.steps=4", "--train.batch_size=4", "--gate.steps=2", "--checkpoint.every=2", "--data.limit_examples=8"]
    folder = jobs.shop.folder
    job = jobs.submit("slurm.sbatch", "experts", *settings, f"--registry.path={folder}/registry")
    jobs.wait_for_checkpoint()
    jobs.usr1(job)
    assert slurm.wait(job, 600) == 0, jobs.log(job)
    assert "everything is saved, requeued" in jobs.log(job) and "collection demo: 2 experts" in jobs.log(job)
    jobs.shop.run("experts", *settings, f"--registry.path={folder}/calm", "--run.name=calm", ranks=2)
    assert jobs.shop.bits() == jobs.shop.bits("calm")


@pytest.mark.parametrize("seconds", [0, 0.7])
def test_a_signal_while_ranks_are_still_started_is_not_a_failure(jobs, slurm, seconds):
    job = jobs.submit("slurm.sbatch", "experts", "tiny.toml", "--train.steps=100000")
    jobs.wait_for_log(job, "] start 1 ")
    time.sleep(seconds)
    jobs.usr1(job)
    jobs.wait_for_log(job, "exit code ")
    slurm.run("scancel", job)
    assert "exit code 75" in jobs.log(job), jobs.log(job)


def test_an_array_shares_a_registry_and_a_job_of_it_is_requeued_alone(jobs, slurm, undisturbed):
    job = jobs.submit("array.sbatch", "experts", "tiny.toml", *LONG, options=["--array=0-1"])
    workers_of = lambda kind: {line["worker"] for line in jobs.shop.journal() if line["kind"] == kind}
    wait_for(lambda: len(workers_of("taken")) == 2, 90, "the array's jobs do not work side by side")
    jobs.usr1(f"{job}_1")  # Slurm calls the last one of an array by the array's own number
    wait_for(lambda: not slurm.squeue("-j", str(job), check=False), 120, "the array is still in the queue")
    first, second = jobs.log(f"{job}-0"), jobs.log(f"{job}-1")
    assert "requeued" in second and "] start 2 " in second and "] start 2 " not in first
    assert "done" in first.splitlines()[-1] and "done" in second.splitlines()[-1]
    assert jobs.shop.bits() == undisturbed.bits()
    committed = [line for line in jobs.shop.journal() if line["kind"] == "committed"]
    assert sorted(line["item"] for line in committed) == ["copy", "first", "reverse", "vowel"]


@pytest.mark.parametrize("more", [[], ["--cluster.independent=true"]])
def test_scancel_leaves_what_the_next_job_goes_on_from(jobs, slurm, undisturbed, more):
    """Under mpirun the job then ends with 1; independent processes have the time to save and end with 75."""
    job = jobs.submit("slurm.sbatch", "experts", "tiny.toml", *LONG, *more)
    jobs.wait_for_checkpoint()
    slurm.run("scancel", job)
    slurm.wait(job)
    facts = slurm.facts(job)
    assert facts["JobState"] == "CANCELLED" and facts["Restarts"] == "0"
    assert "after TERM: not requeued" in jobs.log(job)
    again = jobs.submit("slurm.sbatch", "experts", "tiny.toml", *LONG, *more)
    assert slurm.wait(again) == 0, jobs.log(again)
    taken = [line["item"] for line in jobs.shop.journal() if line["kind"] == "taken"]
    assert len(taken) > 4 and jobs.shop.bits() == undisturbed.bits()


def ranks_of(shop):
    """Processes of gaggle that work in this workshop, by their rank."""
    found = {}
    for folder in os.listdir("/proc"):
        try:
            if not folder.isdigit() or os.readlink(f"/proc/{folder}/cwd") != str(shop.folder):
                continue
            if os.readlink(f"/proc/{folder}/exe") == str(shop.gaggle):
                with open(f"/proc/{folder}/environ") as file:
                    found[int(re.search(r"OMPI_COMM_WORLD_RANK=(\d+)", file.read())[1])] = int(folder)
        except (OSError, TypeError):
            continue
    return found


def test_a_killed_rank_is_requeued_after_progress_alone(jobs, slurm, undisturbed):
    job = jobs.submit("slurm.sbatch", "pretrain", "tiny.toml", *LONG)
    jobs.wait_for_checkpoint()
    os.kill(ranks_of(jobs.shop)[1], signal.SIGKILL)
    assert slurm.wait(job) == 0, jobs.log(job)
    assert "exit code 137 (a process was killed or a host lost): requeued, 1 of at most 3 times" in jobs.log(job)
    assert inventory_bits(jobs.shop) == inventory_bits(undisturbed)
    job = jobs.submit("slurm.sbatch", "pretrain", "tiny.toml", "--train.steps=100000", "--checkpoint.every=0",
                      "--run.name=other")
    wait_for(lambda: list(jobs.shop.folder.glob("runs/other/items/*/metrics.jsonl")), 60, "no step was done")
    os.kill(ranks_of(jobs.shop)[1], signal.SIGKILL)
    assert slurm.wait(job) == 137 and "no progress since the start: not requeued" in jobs.log(job)


def stand_in(jobs, does):
    """A program that prints configs as gaggle does, and else only does that; a little later, for mpirun hangs sometimes
    when a process ends at once."""
    path = jobs.shop.folder / "stand-in"
    path.write_text(f'#!/bin/sh\ncase " $* " in *" --print-config "*) exec {jobs.shop.gaggle} "$@" ;; esac\nsleep 1; {does}\n')
    path.chmod(0o755)
    jobs.slurm.environment["GAGGLE"] = str(path)


def test_three_requeues_without_progress_end_with_1(jobs, slurm):
    """As when the time limit is shorter than the way to the next checkpoint."""
    stand_in(jobs, 'echo 75 >"$GAGGLE_EXIT_FILE"; exit 75')
    job = jobs.submit("slurm.sbatch", "experts", "tiny.toml", options=["--ntasks=1"])
    assert slurm.wait(job) == 1
    log = jobs.log(job)
    assert "] start 4 " in log and "] start 5 " not in log and log.count(": requeued") == 3
    assert "3 of at most 3 times without progress" in log and "three requeues brought neither" in log
    assert not list(jobs.shop.folder.glob("runs/*/requeue-*"))


def test_an_mpirun_that_ends_with_0_without_gaggle_is_not_taken_for_the_end(jobs, slurm):
    """As Open MPI 5 does when a host is lost (test_hosts.py)."""
    stand_in(jobs, "exit 0")
    job = jobs.submit("slurm.sbatch", "experts", "tiny.toml", options=["--ntasks=1"])
    assert slurm.wait(job) == 205
    assert "mpirun ended, but gaggle did not" in jobs.log(job) and "no progress since the start" in jobs.log(job)


def test_what_a_start_cannot_mend_is_not_requeued(jobs, slurm):
    for words, message in [(["--train.stesp=3"], "did you mean train.steps?"),
                           (["--cluster.ranks_per_expert=3"], "exit code 2: the command line, the config")]:
        job = jobs.submit("slurm.sbatch", "experts", "tiny.toml", *words)
        assert slurm.wait(job) == 2 and slurm.facts(job)["Restarts"] == "0"
        assert message in jobs.log(job)
    (jobs.shop.folder / "runs/tiny").mkdir(parents=True)
    (jobs.shop.folder / "runs/tiny/STOP").touch()
    job = jobs.submit("slurm.sbatch", "experts", "tiny.toml")
    assert slurm.wait(job) == 4 and "exit code 4" in jobs.log(job) and "Remove it and submit again" in jobs.log(job)


def test_one_process_among_several_tasks_is_refused_with_the_two_ways_out(jobs, slurm):
    for start in ["", "srun --mpi=none "]:
        job = slurm.sbatch("--ntasks=2", "--output=plain.log", f"--wrap={start}{jobs.shop.gaggle} experts tiny.toml",
                           cwd=jobs.shop.folder)
        assert slurm.wait(job) == 2
        log = (jobs.shop.folder / "plain.log").read_text()
        assert "SLURM_NTASKS" in log and "srun --mpi=pmix" in log and "--cluster.independent=true" in log
    assert not (jobs.shop.folder / "registry").exists()


def test_a_batch_script_may_look_without_starting_its_tasks(jobs, slurm):
    job = slurm.sbatch("--ntasks=2", "--output=plain.log", f"--wrap={jobs.shop.gaggle} experts tiny.toml --dry-run",
                       cwd=jobs.shop.folder)
    log = jobs.shop.folder / "plain.log"
    assert slurm.wait(job) == 0, log.read_text()
    assert "the shell of a Slurm job of 2 tasks" in log.read_text()


def test_tasks_of_srun_share_the_work_without_mpi(jobs, slurm, undisturbed):
    job = jobs.submit("slurm.sbatch", "experts", "tiny.toml", *LONG, "--cluster.independent=true")
    assert slurm.wait(job) == 0, jobs.log(job)
    assert "srun --mpi=none" in jobs.log(job) and jobs.shop.bits() == undisturbed.bits()
    workers = {line["worker"] for line in jobs.shop.journal() if line["kind"] == "committed"}
    assert len(workers) == 2
