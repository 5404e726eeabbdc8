"""Who worked on what, when: journals, one a worker; how fast; what was set aside and why."""
import datetime
import os
import pathlib
import socket
import time

import numpy as np

from report_files import clipped, number, read_json, read_lines, rounded

MOST_SPANS, MOST_RATES = 6000, 300
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


def is_one_of(item, names):
    """An item of several experts names them all."""
    return not names or item in names or any(part in names for part in item.replace(",", " ").split())


def worker_of(lines, path, names):
    """One start of a worker: what it took and how that ended, its speed over time; None: nothing of these items."""
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
    spans = [{**span, "from": round(span["from"], 2), "to": round(span["to"], 2)} for span in spans if is_one_of(span["item"],
                                                                                                                 names)]
    rates = rates[::max(1, len(rates) // MOST_RATES)]
    return {"name": first.get("worker", path.stem), "host": first.get("host", ""), "rank": first.get("rank", 0),
            "begun": round(begun, 2), "end": round(end, 2), "finished": finished, "alive": alive, "spans": spans,
            "rates": [[round(t, 2), speed, share] for t, speed, share in rates if speed]} if spans or not names else None


def aside_of(folder):
    found = []
    for path in sorted((folder / "aside").glob("*.json")) if (folder / "aside").is_dir() else []:
        about = read_json(path, {})
        attempts = about.get("attempts") or about.get("failures") or []
        words = "; ".join(f"{of.get('worker', '')}: {of.get('reason', '')}" for of in attempts if isinstance(of, dict))
        found.append([about.get("name", path.stem), about.get("reason", "cannot be read"), len(attempts) or None, clipped(words)])
    return found


def place_of(kind, folder, names=None):
    """One place where work goes on; None: nothing was ever started there."""
    journals = sorted((folder / "work" / "journal").glob("*.jsonl")) if (folder / "work" / "journal").is_dir() else []
    workers = [worker for path in journals for lines in sessions(path) if (worker := worker_of(lines, path, names))]
    aside = [row for row in aside_of(folder) if not names or row[0] in names]
    if not workers and not aside:
        return None
    workers.sort(key=lambda worker: (worker["begun"], worker["rank"], worker["name"]))
    taken = {}
    for worker in workers:
        for span in worker["spans"]:
            taken.setdefault(span.pop("key"), []).append(span)
    for spans in taken.values():  # who came after somebody who was lost or failed
        for again in sorted(spans, key=lambda span: span["from"])[1:]:
            again["again"] = True
    keys, room = {key for key, spans in taken.items() if any(span["how"] == "committed" for span in spans)}, MOST_SPANS
    for worker in workers:
        worker["spans"], room = worker["spans"][:max(0, room)], room - len(worker["spans"])
    jobs = {key for path in (folder / "work" / "jobs").glob("*.json") for item in (read_json(path) or {}).get("items", [])
            if isinstance(item, dict) and (not names or item.get("name") in names) and (key := item.get("key"))}
    return {"kind": kind, "workers": workers, "aside": aside, "done": len(keys), "items": max(len(jobs | set(taken)), len(keys)),
            "left_out": max(0, -room), "requeued": sum(1 for spans in taken.values() if len(spans) > 1),
            "lost": sum(1 for spans in taken.values() for span in spans if span["how"] == "lost")}


def work_section(places):
    places = [place for place in places if place]
    return {"draw": "work", "title": "Work", "places": places} if places else None
