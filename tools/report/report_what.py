"""What was run, in two lines, and the few numbers that a page begins with."""
import datetime
import pathlib


def plural(count, word):
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word[:-1]}ies" if word.endswith("y") else f"{count:,} {word}s"


def clock(seconds):
    seconds = int(round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 3600} h {seconds // 60 % 60:02} min" if seconds >= 3600 else f"{seconds // 60} min {seconds % 60:02} s"


def date(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%-d %B %Y, %H:%M")


def base_of(config):
    return pathlib.PurePath((config.get("model") or {}).get("path") or "").name


def steps_of(settings, losses, phase):
    """Steps of a phase: those that the curves have, or as the config says."""
    made = [curve["steps"] for curve in (losses or {}).get("phases", {}).get(phase, [])]
    return max(made, default=settings.get("steps") or 0)


def trained(config, losses):
    """Of experts or an inventory, from the config and what the curves say; "": nothing was trained here."""
    phases = (losses or {}).get("phases", {})
    train, lora, gate = config.get("train") or {}, config.get("lora") or {}, config.get("gate") or {}
    poly = config.get("poly") or {}
    if "lora" in phases or "gate" in phases:
        count = len(phases.get("lora") or phases["gate"])
        steps = steps_of(train, losses, "lora")
        parts = [f"LoRA of rank {lora.get('rank')}, {steps} steps of {train.get('batch_size')} examples"] if "lora" in phases else []
        parts += [f"gates, {steps_of(gate, losses, 'gate')} steps"] if "gate" in phases else []
        return f"{plural(count, 'expert')}: {', then '.join(parts)}"
    skills = [phase for phase in phases if phase in ("mhr", "poly", "shared", "private")]
    if skills:
        method, steps = skills[0], steps_of(train, losses, skills[0])
        name, tasks = "MHR" if method == "mhr" else method.capitalize(), plural(len(phases.get("by task", [])), "task")
        return (f"{name} inventory of {poly.get('skills')} skills, {plural(poly.get('heads') or 1, 'head')}, rank {poly.get('rank')}, "
                f"over {tasks}: {steps} steps of {train.get('batch_size')} examples")
    return ""


def scored(section):
    kind = "adaptation" if section.get("over_seeds") else "evaluation so far" if section.get("so_far") else "evaluation"
    of = f" of {section['of']}" if section["of"] else ""
    return f"{kind}{of}: {plural(len(section['methods']), 'method')} on {plural(len(section['tasks']), 'task')}"


def when(places):
    workers = [worker for place in places for worker in place["workers"]]
    if not workers:
        return ""
    begun, end = min(worker["begun"] for worker in workers), max(worker["end"] for worker in workers)
    hosts = sorted({worker["host"] for worker in workers if worker["host"]})
    on = f" on {', '.join(hosts[:3])}{f' and {len(hosts) - 3} more hosts' if len(hosts) > 3 else ''}" if hosts else ""
    return f"{plural(len(workers), 'worker')}{on}, {date(begun)} UTC, {clock(end - begun)} from the first start to the last word"


def state_of(places):
    """One word for the badge."""
    workers = [worker for place in places for worker in place["workers"]]
    if any(worker["alive"] for worker in workers):
        return "running"
    if any(place["open"] for place in places):
        return "unfinished"
    return "" if not places else "done with items set aside" if any(place["aside"] for place in places) else "done"


def two_lines(config, sections):
    """[what was made, how far it is and by whom]."""
    by = {}
    for section in sections:
        by.setdefault(section["draw"], []).append(section)
    losses = next((section for section in by.get("losses", []) if section["title"] == "Loss"), None)
    places = [place for section in by.get("work", []) for place in section["places"]]
    parts = [trained(config, losses), *map(scored, by.get("results", []))]
    base = base_of(config) or next((section["base"] for section in by.get("results", []) if section["base"]), "")
    first = "; ".join(part for part in parts if part) or "nothing was made here yet"
    first = first[0].upper() + first[1:] + (f". On {base}" if base else "") + "."
    counts = [f"{place['kind']}: {place['done']:,} of {place['items']:,} done"
              + (f", {len(place['aside'])} set aside" if place["aside"] else "") for place in places]
    second = "; ".join([*counts, when(places)]).strip("; ")
    return [first, (second[0].upper() + second[1:] + ".") if second else "No worker has left a journal."]
