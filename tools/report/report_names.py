"""Subjects and sections of equal names, told apart in the lists at the top of a page."""
import os
import pathlib


def grouped(things, key):
    found = {}
    for of in things:
        found.setdefault(key(of), []).append(of)
    return [group for group in found.values() if len(group) > 1]


def subjects_told_apart(subjects):
    """Equal names get the folders that they are in, below the one that holds them all."""
    for group in grouped(subjects, lambda of: (of["kind"], of["name"])):
        folders = [str(pathlib.Path(of["path"]).resolve().parent) for of in group]
        base = os.path.commonpath(folders)
        base = os.path.dirname(base) if base in folders else base
        for of, folder in zip(group, folders):
            of["name"] += f" in {os.path.relpath(folder, base)}"
    return subjects


def sections_told_apart(sections):
    """Equal titles get what they are of, and where that is the same their files."""
    for same in grouped(sections, lambda of: (of["title"], of.get("of"))):
        for section in same:
            section["of"] = " ".join(filter(None, [section.get("of"), section.get("file")]))
    for group in grouped(sections, lambda of: of["title"]):
        for section in group:
            section["link"] = " ".join(filter(None, [section["title"], section.get("of")]))
    return sections
