"""What nvcc makes of the kernels: how many registers each thread takes, and that none spills."""
import re
import shutil
import subprocess

import pytest

# With more, fewer than three quarters of a multiprocessor's threads are there to hide the memory's delay: 65,536 / 1,536.
MOST = 40


@pytest.fixture(scope="module")
def said(root, tmp_path_factory):
    if not shutil.which("nvcc"):
        pytest.skip("nvcc is not on PATH")
    sources = sorted((root / "src" / "kernel").glob("*.cu"))
    done = subprocess.run(["nvcc", "-cubin", "-arch=sm_90", "-std=c++20", "--expt-relaxed-constexpr", "--threads", "2",
                           f"-I{root / 'src'}", "-Xptxas", "-v", *map(str, sources)], capture_output=True, text=True,
                          cwd=tmp_path_factory.mktemp("cubin"))
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_no_kernel_spills_and_few_registers_are_taken(said, capsys):
    kernels = re.findall(r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
                         r"(\d+) bytes spill loads.*?Used (\d+) registers", said, re.S)
    assert len(kernels) >= 12, said
    names = subprocess.run(["c++filt", *(kernel[0] for kernel in kernels)], capture_output=True, text=True).stdout.splitlines()
    with capsys.disabled():
        print("\nregisters of a thread, sm_90:")
        for name, (_, _, _, _, registers) in sorted(zip(names, kernels)):
            print(f"  {registers:>3}  {name.replace('(anonymous namespace)::', '').replace('gaggle::', '').split('>(')[0]}")
    for _, stack, stores, loads, registers in kernels:
        assert stack == stores == loads == "0"
        assert int(registers) <= MOST
