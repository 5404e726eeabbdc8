"""The peers' virtual environments: one of its own for each, from requirements-NAME.txt, in the cache."""
import pathlib
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent


def requirements(peer):
    return (HERE / f"requirements-{peer}.txt").read_text()


def python_of(peer, cache):
    """The interpreter of a peer's environment, made at first use and when its requirements have changed."""
    wanted = requirements(peer)
    place = cache / f"venv-{peer}"
    python, stamp = place / "bin" / "python", place / ".installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"setting up {place} …", file=sys.stderr)
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r",
                        HERE / f"requirements-{peer}.txt"], check=True, stdout=sys.stderr)
        stamp.write_text(wanted)
    return python
