"""tools/tasks.py in this process, and what it wrote."""
import json
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def import_tasks(tmp_path, capsys):
    """Runs tools/tasks.py with --out tmp_path/out; returns what it said."""
    sys.path.insert(0, str(TOOLS))
    try:
        import tasks
    finally:
        sys.path.remove(str(TOOLS))

    def run(*arguments, expect=0):
        code = tasks.main([*map(str, arguments), "--out", str(tmp_path / "out")])
        said = capsys.readouterr()
        assert code == expect, said.err
        return said.out + said.err
    return run


@pytest.fixture
def written(tmp_path):
    """The rows of a task, and what its .toml says ({}: it has none)."""
    tomllib = pytest.importorskip("tomllib")

    def read(name):
        path = tmp_path / "out" / name
        rows, about = path.with_name(f"{path.name}.jsonl"), path.with_name(f"{path.name}.toml")
        return ([json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()] if rows.exists() else None,
                tomllib.loads(about.read_text(encoding="utf-8")) if about.exists() else {})
    return read


@pytest.fixture
def names(tmp_path):
    """Every file under the output folder."""
    return lambda: sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
