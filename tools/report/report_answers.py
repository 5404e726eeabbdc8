"""The examples behind the numbers of results: what was asked, what was right, what each method answered."""
import numpy as np

from report_files import as_text, clipped, number, read_lines, rounded
from report_page import data_text
from report_tasks import prompts

LONGEST = 3000  # characters of a prompt
FEWEST = 4      # examples of a task, however many tasks there are


def predictions(file):
    """(method, task) → its lines."""
    found = {}
    for line in read_lines(file):
        found.setdefault((line.get("method"), line.get("task")), []).append(line)
    return found


def excerpt(text, most):
    """[its beginning, its length]: what it becomes once it is known how much of it there is room for (`cut_evenly`)."""
    text = as_text(text)
    return [text[:most], len(text)]


def rows_of(lines, methods, tasks, files, most):
    """task → the examples behind its numbers, of all tasks about `most` answers."""
    found, share = {}, max(FEWEST, most // max(1, len(tasks) * max(1, len(methods))))
    for task in tasks:
        by_id = {}
        for m, method in enumerate(methods):
            for line in lines.get((method, task), []):
                fresh = {"target": excerpt(line.get("target"), 600), "answers": [None] * len(methods)}
                row = by_id.setdefault(str(line.get("id")), fresh)
                answer = None if line.get("prediction") is None else excerpt(line["prediction"], 400)
                row["answers"][m] = [answer, number(line.get("score")), rounded([number(line.get("target_nll"))])[0]]
        kept = dict(list(by_id.items())[:share])
        asked = prompts(files[task].files, set(kept)) if task in files else {}
        rows = [{"id": clipped(name, 200), "prompt": excerpt(asked[name], LONGEST) if name in asked else None, **row}
                for name, row in kept.items()]
        found[task] = {"all": len(by_id), "rows": rows}
    return found


def excerpts(section):
    """(what holds it, its key there) of every excerpt of a section of results."""
    rows = [row for of in section["rows"].values() for row in of.get("rows", [])]
    places = [place for row in rows
              for place in ((row, "prompt"), (row, "target"), *((answer, 0) for answer in row["answers"] if answer))]
    return [(holder, key) for holder, key in places if holder[key] is not None]


def cut_evenly(sections, most):
    """Excerpts become texts that take about `most` bytes of the page together: none is longer than a limit for them all, which
    the sections say."""
    places = [place for section in sections for place in excerpts(section)]
    lengths = np.array([max(1, len(holder[key][0])) for holder, key in places])
    sizes, limit = np.array([len(data_text(holder[key][0]).encode()) for holder, key in places]), LONGEST
    while limit > 20 and (sizes * np.minimum(1, limit / lengths)).sum() > most:
        limit = int(limit * 0.95)
    for holder, key in places:
        beginning, length = holder[key]
        holder[key] = clipped(beginning, limit, length)
    for section in sections:
        section["cut"] = limit if limit < LONGEST and excerpts(section) else None
