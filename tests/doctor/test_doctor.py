"""gaggle doctor as a user meets it: alone, under mpirun, with other configs, on hosts and folders that differ."""
import os
import re
import subprocess

import pytest

BLOCKS = ["machine", "GPUs", "MPI"]


def lines_of(text, topic):
    return [line for line in text.splitlines() if re.search(rf"^  (ok|look at this|wrong|)\s+{topic}  ", line)]


@pytest.fixture
def doctor(workshop):
    """A workshop that has run nothing yet: what lies in it before and after must be the same."""
    before = sorted(workshop.folder.rglob("*"))
    yield workshop
    assert sorted(workshop.folder.rglob("*")) == before


def test_alone_without_a_config(doctor):
    done = doctor.run("doctor")
    for block in BLOCKS:
        assert f"\n{block}\n" in done.stdout
    assert "folder" not in done.stdout.splitlines()[-1]
    assert re.search(r"bf16 +[\d.]+ [MGT]FLOP/s a rank", done.stdout)
    assert done.stdout.splitlines()[-1].startswith(("fit", "busy: load "))


def test_a_config_is_measured_where_its_folders_will_be(doctor):
    done = doctor.run("doctor", "tiny.toml", "--mb", 2)
    assert f"folder {doctor.folder} for registry.path, run.dir, registry.cache, yet to be made in it" in done.stdout
    assert done.stdout.count("\nfolder ") == 1
    assert "cluster.lease_s at least 10 s here, and it is 120 s" in done.stdout
    assert "one winner each" in done.stdout


def test_two_ranks(doctor):
    done = doctor.run("doctor", "tiny.toml", "--mb", 2, ranks=2)
    assert done.stdout.count("\nmachine\n") == 1, "one report, by the first rank"
    assert "races of 2 ranks (O_EXCL): one winner each" in done.stdout
    assert re.search(r"rank pairs +[\d.]+ µs, [\d.]+ GB/s each way", done.stdout)
    assert re.search(r"config +\d+ keys, equal values", done.stdout)


def mpmd(shop, first, second):
    command = ["mpirun", "--oversubscribe", "-np", "1", *first, ":", "-np", "1", *second]
    return subprocess.run(list(map(str, command)), cwd=shop.folder, env=shop.environment(), capture_output=True,
                          text=True, timeout=120)


def test_ranks_with_other_configs_are_named(doctor):
    words = [doctor.gaggle, "doctor", "tiny.toml", "--mb", "2"]
    done = mpmd(doctor, words, [*words, "--train.lr=1e-3"])
    assert done.returncode == 1, done.stdout + done.stderr
    [line] = lines_of(done.stdout, "config")
    assert line.startswith("  wrong") and "train.lr = 0.001" in line and "train.lr = 0.005" in line
    assert "not fit: 1 wrong (alike on all ranks: config)" in done.stdout


def can_unshare():
    return subprocess.run(["unshare", "-um", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0


def test_a_host_that_has_another_folder_is_named(doctor):
    """The second rank calls itself another host and has an empty file system where the first has the folder."""
    if not can_unshare():
        pytest.skip("no namespaces of file systems and host names here")
    shared = doctor.folder / "tasks"
    words = [doctor.gaggle, "doctor", "tiny.toml", "--registry.path=tasks", "--mb", "2"]
    elsewhere = ["unshare", "-um", "sh", "-c", f"hostname elsewhere && mount -t tmpfs none {shared} && exec \"$@\"", "sh"]
    done = mpmd(doctor, words, [*elsewhere, *words])
    assert done.returncode == 1, done.stdout + done.stderr
    text = re.sub(r"\s+", " ", done.stdout)
    assert "2 with 1 rank each" in text and "host pairs" in text
    assert "wrong registry of several hosts: no: elsewhere did not see what rank 0 wrote" in text
    assert "not fit: 1 wrong" in text, "the run folder and the cache are beside it, and shared"


def test_a_folder_that_nobody_can_write_to(doctor):
    done = doctor.run("doctor", "--folder", "/proc", expect=1)
    assert re.search(r"wrong +usable +no: /proc cannot be written to", done.stdout)
    assert "not fit: 1 wrong (folder /proc for --folder: usable)" in done.stdout


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no tmpfs here")
def test_memory_is_fit_but_forgets(doctor):
    done = doctor.run("doctor", "--folder", "/dev/shm", "--mb", 2)
    [line] = lines_of(done.stdout, "kind")
    assert line.startswith("  look at this") and "tmpfs (in memory)" in line
    assert not [name for name in os.listdir("/dev/shm") if "gaggle" in name]


def test_run_folders_and_bad_input(doctor):
    assert doctor.run("doctor", "tasks").stdout == "no records of collectives in tasks\n"
    for words, told in {
        ("doctor", "nowhere.toml"): "nowhere.toml",
        ("doctor", "--folder", "nowhere"): "--folder nowhere: there is no such folder",
        ("doctor", "--train.lr=1"): "needs its CONFIG",
        ("doctor", "tasks", "--folder", "tasks"): "takes no other option",
        ("doctor", "--mb", "0"): "--mb",
    }.items():
        assert told in doctor.run(*words, expect=2).stderr


def test_the_shell_of_a_slurm_job_will_do_for_looks(workshop, monkeypatch):
    """salloc -n 8, or a batch script: one process, and no step has been started."""
    for name, value in {"JOB_ID": 1, "NTASKS": 8, "TASKS_PER_NODE": 8, "NNODES": 1}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    for words in [["doctor"], ["experts", "tiny.toml", "--dry-run"]]:
        assert "the shell of a Slurm job of 8 tasks" in workshop.run(*words).stderr
    assert "SLURM_NTASKS" in workshop.run("experts", "tiny.toml", expect=2).stderr
