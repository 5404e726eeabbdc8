"""Who worked on what, when, and how much is done; what was set aside and why."""
import math

from report_files import clipped, read_json
from report_journal import workers_of


def item_lists(folder):
    """digest → key → the results' (key, name), of the lists that journals name; an item of several results names them."""
    found = {}
    for path in sorted((folder / "work" / "jobs").glob("*.json")):
        items = [item for item in (read_json(path) or {}).get("items", []) if isinstance(item, dict) and item.get("key")]
        found[path.stem] = {item["key"]: item.get("parts") or [[item["key"], item.get("name", "")]] for item in items}
    return found


def of_run(items, names, foreign):
    """Whether a list of a folder that several runs share may be this run's."""
    results = [result for of in items.values() for result in of]
    return any(name in names for _, name in results) and not any(key in foreign for key, _ in results)


def current_items(lists, workers):
    """The items that count, as gaggle status chooses them: of the workers that are alive, else of who began last."""
    named = sorted((worker for worker in workers if worker["list"] in lists), key=lambda worker: worker["begun"])
    chosen = [worker["list"] for worker in named if worker["alive"]] or [worker["list"] for worker in named[-1:]]
    return {key: results for digest in chosen for key, results in lists[digest].items()}


def is_scoring(items):
    """Of an evaluation's folder: the lists of gaggle eval name a method and a task each, those of gaggle analyse more."""
    return all(" · " in name for results in items.values() for _, name in results)


def scored_items(folder):
    """key → name, of an evaluation's newest list; empty: there is none."""
    lists = {digest: items for digest, items in item_lists(folder).items() if is_scoring(items)}
    return {key: name for key, results in current_items(lists, workers_of(folder)).items() for _, name in results}


def aside_of(folder):
    """key → its row of the table."""
    found = {}
    for path in sorted((folder / "aside").glob("*.json")) if (folder / "aside").is_dir() else []:
        about = read_json(path, {})
        attempts = about.get("attempts") or about.get("failures") or []
        words = "; ".join(f"{of.get('worker', '')}: {of.get('reason', '')}" for of in attempts if isinstance(of, dict))
        row = [about.get("name", path.stem), about.get("reason", "cannot be read"), len(attempts) or None, clipped(words)]
        found[about.get("key", path.stem)] = row
    return found


def by_item(workers):
    """key → its spans; who came after somebody who was lost or failed is marked."""
    taken = {}
    for worker in workers:
        for span in worker["spans"]:
            taken.setdefault(span.pop("key"), []).append(span)
    for spans in taken.values():
        for again in sorted(spans, key=lambda span: span["from"])[1:]:
            again["again"] = True
    return taken


def place_of(kind, folder, most, names=None, foreign=frozenset()):
    """One place where work goes on; None: nothing was ever started there. `names`: of a run, whose experts' folder others
    use too, the items that it has begun; `foreign`: keys that are not its own. All its items are in the list that its
    journals name: those of an older config are drawn where the place is its own, and count nowhere. `most`: spans."""
    workers, lists, aside = workers_of(folder), item_lists(folder), aside_of(folder)
    if names is not None:
        lists = {digest: items for digest, items in lists.items() if of_run(items, names, foreign)}
    items = current_items(lists, workers)
    if names is not None:
        own = lambda key, name: key in items if items else name in names and key not in foreign  # noqa: E731
        aside = {key: row for key, row in aside.items() if own(key, row[0])}
        for worker in workers:
            worker["spans"] = [span for span in worker["spans"] if own(span["key"], span["item"])]
        begun = {digest for digest, of in lists.items() if of.keys() <= items.keys()}
        workers = [worker for worker in workers if worker["spans"] or worker["list"] in begun]
    if not workers and not aside:
        return None
    kind = "analysis" if kind == "evaluation" and not is_scoring(items) else kind
    workers.sort(key=lambda worker: (worker["begun"], worker["rank"], worker["name"]))
    taken, room = by_item(workers), most
    items = items or {key: [[key, ""]] for key in taken.keys() | aside.keys()}
    count = lambda keys: sum(len(items[key]) for key in keys)  # noqa: E731
    done = {key for key in items if any(span["how"] == "committed" for span in taken.get(key, []))}
    rates = max(2, 10 * most // max(1, len(workers)))
    for worker in workers:
        del worker["list"]
        worker["rates"] = worker["rates"][::math.ceil(len(worker["rates"]) / rates) or 1]
        worker["spans"], room = worker["spans"][:max(0, room)], room - len(worker["spans"])
    return {"kind": kind, "workers": workers, "aside": list(aside.values()), "done": count(done), "items": count(items),
            "open": count(items.keys() - done - aside.keys()),
            "left_out": max(0, -room), "requeued": sum(1 for spans in taken.values() if len(spans) > 1),
            "lost": sum(1 for spans in taken.values() for span in spans if span["how"] == "lost")}


def work_section(places):
    places = [place for place in places if place]
    return {"draw": "work", "title": "Work", "places": places} if places else None
