#!/usr/bin/env python3
"""Draws what gaggle wrote as one HTML file that opens offline: results, losses, gates, routing, alignment, who worked on what.

    gaggle report runs/demo                     of a run, with its evaluation and the experts that it made
    gaggle report runs demo/registry            of all runs of a folder, and a registry
"""
import argparse
import os
import sys
import webbrowser
from pathlib import Path

# Products here are small, and threads that wait for each other on busy cores take fifty times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent / "report"))
from report_files import Mistake  # noqa: E402
from report_find import find  # noqa: E402
from report_page import MARK, page_text  # noqa: E402
from report_room import MOST_BYTES, Room  # noqa: E402
from report_subjects import subjects_of  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(prog="gaggle report", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("--out", type=Path, help="the file (default: report-NAME.html here)")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    return parser.parse_args()


def target(options):
    name = Path(options.paths[0]).resolve().name
    path = options.out or Path(f"report-{name}.html")
    if path.is_dir():
        raise Mistake(f"--out {path}: is a folder; name a file in it")
    if path.exists():
        with open(path, "rb") as file:
            if MARK.encode() not in file.read(4096):
                raise Mistake(f"{path}: is there already, and no report of gaggle's: name another file with --out")
    return path


def page_of(places, room=Room()):
    """The page as bytes, and how many subjects it has. Where it would be too large, all of them get less room."""
    share = 1.0
    while True:
        subjects = subjects_of(places, room.part(share))
        page = page_text(subjects, f"gaggle report: {', '.join(subject['name'] for subject in subjects[:3])}").encode()
        if len(page) <= MOST_BYTES or share < 0.1:
            return page, len(subjects)
        share /= 2


def write(path, page):
    """Whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(page)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise Mistake(f"{path}: cannot be written ({error.strerror})") from None


def main():
    options = arguments()
    try:
        path = target(options)
        page, count = page_of(find(options.paths))
        write(path, page)
    except Mistake as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        return 2
    print(f"{path}   {len(page) / 1e6:.1f} MB, {count} subject{'' if count == 1 else 's'}; opens offline in any browser")
    if len(page) > MOST_BYTES:
        print(f"more than {MOST_BYTES / 1e6:.0f} MB although it was thinned: give fewer paths at once", file=sys.stderr)
    if options.open and not webbrowser.open(path.resolve().as_uri()):
        print(f"--open: no browser was found here; open {path.resolve()} where there is one", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
