"""Runs of the probe are forks of one server (tests/conftest.py); each has to be as if the program had been started."""
import resource
import signal

import torch
from safetensors.torch import load_file


def test_a_run_sees_the_folder_and_the_limits_of_now(probe, tmp_path, monkeypatch):
    torch.save({"a": torch.ones(4096)}, tmp_path / "a.bin")
    monkeypatch.chdir(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        done = probe.run("torch-tensors", "a.bin", "out", check=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.returncode == -signal.SIGXFSZ
    probe.run("torch-tensors", "a.bin", "out")
    assert torch.equal(load_file(tmp_path / "out")["a"], torch.ones(4096))


def test_a_run_has_its_own_code_and_streams(probe, tmp_path):
    wrong = probe.run("no-such-command", check=False)
    assert wrong.returncode == 2 and b"tokenize" in wrong.stderr and not wrong.stdout
    missing = probe.run("torch-tensors", tmp_path / "missing", tmp_path / "out", check=False, stdin=b"x" * 100_000)
    assert missing.returncode == 2 and b"missing" in missing.stderr and b"tokenize" not in missing.stderr
