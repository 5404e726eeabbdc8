"""The names in the tour and in the guide for contributors are there: a file is a file, a function stands in it."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", ["tour.md", "contributing.md"])
def test_every_file_and_function_that_is_named_is_there(page):
    missing = []
    for name, function in re.findall(r"`((?:src|tests|docs|configs|launch|tools)/[\w/.-]+\.\w+|[a-z]+/\w+\.(?:h|cpp|cuh?))(?:: ?([\w:~]+))?`",
                                     (ROOT / "docs" / page).read_text()):
        if "NAME" in name or name.startswith("torch/"):
            continue
        path = next((p for p in (ROOT / name, ROOT / "src" / name) if p.exists()), None)
        if path is None:
            missing.append(name)
        elif function and function.split("::")[-1] not in path.read_text():
            missing.append(f"{name}: {function}")
    assert not missing, missing
