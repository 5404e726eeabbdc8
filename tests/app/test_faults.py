"""What goes wrong on clusters, one test each: a clear message, nothing lost, no hang."""
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import time

import pytest
from workshop import ranks_under, wait_for

SHORT = ["--comm.timeout_s=2", "--comm.first_timeout_s=20"]
SLOW = ["--train.steps=2000", "--checkpoint.every=20"]
MHR = ["--poly.skills=4", "--poly.heads=2", "--train.lr=1e-2", "--train.validate_every=0", "--alignment.every=0"]


def checkpointed(shop, step):
    """Whether the pretraining run has a checkpoint of that step or a later one."""
    folder = shop.folder / "runs" / "tiny" / "checkpoints"
    return lambda: any(int(path.name.split("-")[1]) >= step for path in folder.glob("*/0-*") if (path / "COMPLETE").exists())


def test_a_sleeping_rank_is_named_and_the_records_tell_where_everybody_was(workshop):
    run = workshop.start("pretrain", "tiny.toml", *SHORT, *SLOW, *MHR, ranks=2)
    wait_for(checkpointed(workshop, 20), 60, "no checkpoint")
    time.sleep(1)  # until both ranks were heard of at work
    os.kill(ranks_under(run)[1], signal.SIGSTOP)
    asleep = time.monotonic()
    output, errors = run.communicate(timeout=60)
    assert time.monotonic() - asleep < 12, "the job ends within seconds of the deadline"
    assert run.returncode == 205, errors
    host = os.uname().nodename
    assert f"no progress within 2 s: rank 1 on host {host} did not come" in errors
    assert re.search(r"rank 0 on host .*waits in all_\w+ \(collective \d+\), mhr step \d+", errors), errors
    record = json.loads((workshop.folder / "runs" / "tiny" / "collectives" / "rank-0.json").read_text())
    assert record["collectives"][-1].get("took_s") is None and record["collectives"][-2]["took_s"] >= 0
    said = workshop.run("doctor", "runs/tiny").stdout
    # mpirun wakes a sleeping process before it ends it: whether that writes its record still is a race; where it fell
    # asleep in the very collective, both are said to have waited.
    of_rank_1 = r"rank 1 (left no record|waited in|on host .* was not in a collective)"
    both = re.search(r"ranks 0, 1 waited in all_\w+ ", said)
    assert both or re.search(r"rank 0 waited in all_\w+ ", said) and re.search(of_rank_1, said), said


def test_a_rank_with_another_config_is_named(workshop):
    other = workshop.command("experts", "tiny.toml", "--train.lr=1e-3")
    run = subprocess.run([*workshop.command("experts", "tiny.toml", ranks=1), ":", "-np", "1", *other], cwd=workshop.folder,
                         env=workshop.environment(), capture_output=True, text=True, timeout=120)
    assert run.returncode == 2, run.stderr
    assert re.search(r"rank 1 has another config than rank 0: `lr = 0.001.*` there, `lr = 0.005.*` here", run.stderr)
    assert not (workshop.folder / "registry").exists()


@pytest.mark.parametrize("command", ["experts", "pretrain"])
def test_a_full_disk_is_said_and_the_next_start_goes_on(workshop, command):
    """No file may grow beyond 60 kB: checkpoints do not fit, and later they do."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
    words = [command, "tiny.toml", "--run.dir=disk-runs", "--registry.path=disk-registry", *MHR]
    done = subprocess.run(workshop.command(*words), cwd=workshop.folder, env=workshop.environment(), capture_output=True,
                          text=True, preexec_fn=limit, timeout=120)
    assert done.returncode in (1, 3), done.stderr
    assert "File too large" in done.stderr, done.stderr
    workshop.run(*words, "--retry")
    workshop.run(command, "tiny.toml", *MHR)
    for path in (workshop.folder / "registry").rglob("*.safetensors"):
        if "work" not in path.parts:
            twin = workshop.folder / "disk-registry" / path.relative_to(workshop.folder / "registry")
            assert twin.read_bytes() == path.read_bytes(), twin


def mounted(options, folder):
    """A command's start that mounts something of its own over `folder`, or a skip where that is not permitted."""
    script = f'mount {options} "{folder}" && exec "$@"'
    if subprocess.run(["unshare", "-m", "bash", "-c", script, "-", "true"], capture_output=True).returncode != 0:
        pytest.skip("mounting in a namespace of one's own is not permitted here")
    return ["unshare", "-m", "bash", "-c", script, "-"]


def test_a_full_small_disk_loses_nothing(workshop):
    registry = workshop.folder / "registry"
    registry.mkdir()
    before = mounted("-t tmpfs -o size=300k none", registry)
    done = subprocess.run([*before, *workshop.command("experts", "tiny.toml")], cwd=workshop.folder,
                          env=workshop.environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode in (1, 3), (done.returncode, done.stderr)
    assert "No space left on device" in done.stderr, done.stderr


def test_a_read_only_registry_is_refused_before_anything_starts(trained):
    registry = trained.folder / "registry"
    before = mounted(f"--bind -o ro \"{registry}\"", registry)
    done = subprocess.run([*before, *trained.command("experts", "tiny.toml", "--train.lr=1e-4", "--run.dir=elsewhere")],
                          cwd=trained.folder, env=trained.environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "registry.path" in done.stderr and "Read-only file system" in done.stderr, done.stderr
    assert not (trained.folder / "elsewhere").exists()


def test_sigterm_during_a_checkpoint_loses_no_checkpoint(workshop):
    """A checkpoint at every step, SIGTERM at some moment of one: saved, or the one before is whole."""
    words = ["pretrain", "tiny.toml", *MHR, "--train.steps=60"]
    workshop.run(*words)
    reference = {p.name: p.read_bytes() for p in (workshop.folder / "registry" / "inventories").rglob("*.safetensors")}
    shutil.rmtree(workshop.folder / "registry")
    shutil.rmtree(workshop.folder / "runs")
    for moment in (3, 20, 41):
        run = workshop.start(*words, "--checkpoint.every=1", ranks=2)
        wait_for(checkpointed(workshop, moment), 60, f"no step {moment}")
        for pid in ranks_under(run).values():
            os.kill(pid, signal.SIGTERM)
        run.communicate(timeout=60)
        assert run.returncode == 75
    workshop.run(*words, "--checkpoint.every=1", ranks=2)
    assert {p.name: p.read_bytes() for p in (workshop.folder / "registry" / "inventories").rglob("*.safetensors")} == reference


def test_ctrl_c_under_a_bare_mpirun_is_answered_on_its_terminal(workshop):
    """mpirun drops what its ranks say from then on, and kills them a second later."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.chdir(workshop.folder)
        words = workshop.command("experts", "tiny.toml", "--train.steps=100000", ranks=2)
        os.execvpe(words[0], words, workshop.environment())
    said, asked, end = b"", False, time.monotonic() + 90
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                piece = os.read(terminal, 4096)
            except OSError:  # nobody has it open any more
                break
            if not piece:
                break
            said += piece
        if not asked and len(list((workshop.folder / "runs").rglob("metrics.jsonl"))) == 2:
            os.write(terminal, b"\x03")
            asked = True
    if time.monotonic() >= end:
        os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] != 0
    assert asked and b"Start again to go on" in said, said.decode()


def test_ctrl_c_under_mpirun_saves_and_says_so(workshop, root):
    """A terminal gives Ctrl-C to all of its foreground: launch/local.sh passes it on as a signal that mpirun passes on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where these tests run in the background, all are deaf to it
    run = subprocess.Popen(["bash", str(root / "launch/local.sh"), "-n", "2", "experts", "tiny.toml", "--train.steps=100000"],
                           cwd=workshop.folder, env=workshop.environment() | {"GAGGLE": str(workshop.gaggle)}, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    wait_for(lambda: len(list((workshop.folder / "runs").rglob("metrics.jsonl"))) == 2 or run.poll() is not None)
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 75, errors
    assert errors.count("came, saving and leaving") == 1, errors
    saved = (workshop.folder / "registry").glob("work/items/*/*/*/COMPLETE")
    assert len({path.parts[-4] for path in saved}) == 2  # of both items
