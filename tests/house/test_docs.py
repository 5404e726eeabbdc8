"""The names in the tour and in the guide for contributors are there: a file is a file, a function stands in it. And every link of a
page leads somewhere."""
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


def anchors_of(page):
    """As hubs make them of headings: lower case, without signs, spaces as hyphens."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.M)}


def test_every_link_leads_somewhere():
    broken = []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
            file, _, anchor = link.partition("#")
            target = page.parent / file if file else page
            if not target.exists() or (anchor and anchor not in anchors_of(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert not broken, broken


# Headings of tables that are plain words where they stand.
PLAIN_WORDS = {"", "#", "and", "as", "because", "examples", "folder", "for", "host", "job", "mean", "members", "method", "metric", "note",
               "pairs", "run", "step", "steps", "task", "tasks", "test", "time", "train", "validation", "value", "why", "worker",
               "cosine", "cluster"}


def test_every_heading_of_a_table_is_in_the_glossary_or_plain():
    listed = re.findall(r"^\| (.+?) \|", (ROOT / "docs/glossary.md").read_text().replace("\\|", "!"), re.M)
    known = {word.replace("!", "|") for cell in listed for word in [cell, *cell.split(", ")]} | PLAIN_WORDS
    unknown = {}
    for path in (ROOT / "src").rglob("*.cpp"):
        headings = re.findall(r"(?:Table \w+\((?:\w+, )?\s*|std::vector<std::string> head\w* = )\{(.*?)\}", path.read_text(), re.S)
        for word in re.findall(r'"((?:[^"\\]|\\.)*)"', " ".join(headings)):
            if not {word, *re.split(r": | \(|, | (?:steps|epochs)$", word)} & known:
                unknown.setdefault(word, path.name)
    assert not unknown, sorted(unknown)
