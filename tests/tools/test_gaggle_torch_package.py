"""tools/gaggle_torch as a package: pip installs it, and it is found without the folder of the project."""
import shutil
import subprocess
import sys


def test_it_is_installed_and_imported_from_elsewhere(root, tmp_path):
    shutil.copytree(root / "tools/gaggle_torch", tmp_path / "source")  # pip builds inside the folder that it is given
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps",
           "--no-build-isolation", "--target", tmp_path / "installed", tmp_path / "source"]
    done = subprocess.run(pip, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = subprocess.run([sys.executable, "-c", "import gaggle_torch; print(gaggle_torch.__file__, callable(gaggle_torch.route))"],
                           cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": ""}, capture_output=True, text=True)
    assert found.stdout.split() == [str(tmp_path / "installed/gaggle_torch/__init__.py"), "True"], found.stderr
