"""Journals, one a worker and appended to at every start: what it took, how that ended, how fast it was."""
import datetime
import os
import pathlib
import socket
import time

import numpy as np

from report_files import clipped, number, read_lines, rounded

MOST_RATES = 300
RECENT_S = 60  # a worker of another host whose journal was written within this is taken for alive


def utc(text):
    try:
        return datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def lives(line, path):
    """Whether the process that a journal's first line names is there, as gaggle status asks."""
    if line.get("host") == socket.gethostname():
        try:
            after = pathlib.Path(f"/proc/{int(line.get('pid', 0))}/stat").read_text().rsplit(")", 1)[1].split()
            return int(after[19]) == line.get("start")
        except (OSError, ValueError, IndexError):
            return False
    try:
        return time.time() - os.stat(path).st_mtime < RECENT_S
    except OSError:
        return False


def sessions(path):
    """Of one journal: the lines of each start."""
    found = []
    for line in read_lines(path):
        if line.get("kind") == "started":
            found.append([line])
        elif found:
            found[-1].append(line)
    return found


def worker_of(lines, path):
    """One start of a worker: what it took and how that ended, its speed over time; None: it does not say when it began."""
    first, begun = lines[0], utc(lines[0].get("utc"))
    if begun is None:
        return None
    at = lambda line: begun + (number(line.get("seconds")) or 0)  # noqa: E731
    spans, rates, open_span, phase = [], [], None, ""
    finished = lines[-1].get("kind") == "finished"
    for line in lines[1:]:
        kind = line.get("kind")
        if kind == "taken":
            if open_span:  # another worker took it over, or the line of its end is torn
                open_span.update(to=at(line), how="dropped")
            open_span = {"item": line.get("item", ""), "key": line.get("key", ""), "from": at(line), "how": "lost", "detail": ""}
            spans.append(open_span)
        elif kind == "progress":
            phase = line.get("phase", "")
            rates.append((at(line), *rounded(np.array([line.get("tokens_per_s"), line.get("gemm_share")], dtype=float), 3)))
            if open_span:
                open_span["last"] = f"{phase} step {line.get('step')} of {line.get('steps')}"
        elif kind in ("committed", "failed", "aside") and open_span and line.get("key") == open_span["key"]:
            open_span.update(how=kind, to=at(line), detail=clipped(line.get("detail"), 300))
            open_span = None
    alive = not finished and lives(first, path)
    end = max(at(lines[-1]), time.time()) if alive else at(lines[-1])
    if open_span:
        open_span.update(to=end, how="running" if alive else "stopped" if finished else "lost", detail=open_span.pop("last", ""))
    spans = [{**span, "from": round(span["from"], 2), "to": round(span["to"], 2)} for span in spans]
    rates = rates[::max(1, len(rates) // MOST_RATES)]
    return {"name": first.get("worker", path.stem), "host": first.get("host", ""), "rank": first.get("rank", 0),
            "begun": round(begun, 2), "end": round(end, 2), "finished": finished, "alive": alive, "spans": spans,
            "list": first.get("items", ""), "rates": [[round(t, 2), speed, share] for t, speed, share in rates if speed]}


def workers_of(folder):
    """Every start of every worker."""
    journals = sorted((folder / "work" / "journal").glob("*.jsonl")) if (folder / "work" / "journal").is_dir() else []
    return [worker for path in journals for lines in sessions(path) if (worker := worker_of(lines, path))]
