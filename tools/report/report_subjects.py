"""A subject is one run, registry, evaluation, …: its two lines and its sections, of which each says who draws it."""
import dataclasses
import pathlib

from report_adapt import adapt_sections
from report_alignment import alignment_section, start_section
from report_answers import cut_evenly
from report_config import config_of
from report_files import clipped, read_json, read_toml
from report_gates import gate_section, gates_of
from report_losses import loss_sections
from report_map import map_section
from report_names import sections_told_apart, subjects_told_apart
from report_registry import collection_table, expert_table, experts_by, experts_of, inventory_table, table
from report_results import result_sections
from report_room import Room
from report_routing import routing_sections
from report_skills import skill_section
from report_what import clock, plural, state_of, two_lines
from report_work import place_of, work_section

OF_ANOTHER_FORM = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


def subject(kind, path, config, sections, lines=None):
    sections = sections_told_apart([section for section in sections if section])
    places = [place for section in sections if section["draw"] == "work" for place in section["places"]]
    return {"kind": kind, "name": path.resolve().name, "path": str(path), "state": state_of(places), "sections": sections,
            "lines": lines or two_lines(config, sections)}


def unreadable(title, of, error):
    why = f"{', '.join(str(each) for each in of if isinstance(each, pathlib.Path))}: not in the form that gaggle writes ({error!r})"
    return {"draw": "unreadable", "title": title, "why": clipped(why, 400)}


def tried(make, *of):
    """What `make` gives, as a list of sections. Files of another form than expected take no other section with them."""
    try:
        made = make(*of)
    except OF_ANOTHER_FORM as error:
        return [unreadable(make.__name__.replace("_", " "), of, error)]
    return [section for section in (made if isinstance(made, list) else [made]) if section]


def of_experts(experts, run):
    gates = [gates_of(expert) for expert in experts]
    return [*tried(gate_section, experts, gates), *tried(map_section, experts, gates, run)]


def registry_of(config):
    """The registry that a run's config names, where it can be seen from here."""
    path = pathlib.Path((config.get("registry") or {}).get("path") or "/nowhere")
    return path if (path / "registry.json").is_file() else None


def run_subject(run, room):
    config = config_of(run)
    registry = registry_of(config)
    items = {path.name for path in (run / "items").iterdir()} if (run / "items").is_dir() else set()
    experts, foreign = experts_by(registry, items, config) if registry and items else ([], set())
    results = tried(result_sections, run / "eval", config, room)
    routed = {name for section in results for name in section.get("routed", [])}
    if not experts and registry and routed:  # an evaluation alone: of the experts that it routed
        experts = experts_of(registry, routed)
    losses = tried(loss_sections, run, {expert.name: expert.metrics for expert in experts}, room.points)
    of_registry = registry and items and not (run / "recipe.json").exists()
    places = [place_of("experts", registry, room.spans, items, foreign) if of_registry else None,
              place_of("pretraining", run, room.spans), place_of("evaluation", run / "eval", room.spans),
              place_of("adaptation", run / "adapt", room.spans)]
    return subject("run", run, config, [
        *results, *tried(adapt_sections, run / "adapt"), *losses, *tried(routing_sections, run / "eval", room),
        *of_experts(experts, run), expert_table(experts), *tried(start_section, run), *tried(alignment_section, run, room.cosines),
        *tried(skill_section, run, room.skills), work_section(places)])


def registry_subject(registry, room):
    experts = experts_of(registry)
    about = read_json(registry / "registry.json") or {}
    base = about.get("base") or {}
    work = work_section([place_of("experts", registry, room.spans)])
    tables = {"expert": expert_table(experts), "inventory": inventory_table(registry), "collection": collection_table(registry)}
    kinds = ", ".join(plural(len(found["rows"]), name) for name, found in tables.items() if found) or "nothing yet"
    lines = [f"Registry of {kinds}. Base: {base.get('name') or 'not known yet'}.", two_lines({}, [work] if work else [])[1]]
    return subject("registry", registry, {}, [*tables.values(), *of_experts(experts, None), work], lines)


def part_subject(kind, path, room):
    """An evaluation, an adaptation or an analysis, without the run that it lies in: of a folder, or of one file of it."""
    folder = path if path.is_dir() else path.parent
    config = config_of(folder.parent)
    sections = [*tried(result_sections, path, config, room), *tried(adapt_sections, path), *tried(routing_sections, path, room)]
    work = work_section([place_of("adaptation" if folder.name == "adapt" else "evaluation", folder, room.spans)])
    file = "" if path.is_dir() or path.name == "results.json" else f"/{path.name}"
    return {**subject(kind, path, config, [*sections, work]), "name": f"{folder.resolve().parent.name}/{folder.resolve().name}{file}"}


def study_subject(study, _):
    rows = []
    for file in sorted((study / "stages").glob("*.json")):
        about = read_json(file) or {}
        code = about.get("code")
        ended = {0: "done", 3: "done, some set aside", 75: "stopped", 4: "stopped"}.get(code, f"exit code {code}")
        rows.append([file.stem, ended, about.get("seconds"), about.get("commit", "")])
    whole = sum(row[2] or 0 for row in rows)
    done = sum(row[1].startswith("done") for row in rows)
    lines = [f"A study, {plural(len(rows), 'stage')} so far; its runs follow as subjects of their own.",
             f"{plural(done, 'stage')} done, after {clock(whole)} of work."]
    kinds = {"stage": "text", "state": "text", "seconds": "number", "commit": "text"}
    return subject("study", study, {}, [table("Stages", kinds, rows)], lines)


def clusters_subject(folder, _):
    rows, members = [], 0
    for file in sorted(folder.glob("*.toml")):
        parts = [part for part in read_toml(file).get("files", []) if isinstance(part, dict)]
        files = [pathlib.PurePath(part.get("path", "")).stem for part in parts]
        members += len(files)
        rows.append([file.stem, len(files), ", ".join(files)])
    lines = [f"{plural(len(rows), 'group')} of {plural(members, 'task')} that are alike, as gaggle cluster put them.",
             "Each is a task of several files, to train an expert on."]
    return subject("clusters", folder, {}, [table("Groups", {"group": "text", "members": "integer", "tasks": "text"}, rows)], lines)


def subjects_of(places, room=Room()):
    with_answers = max(1, sum(kind in ("run", "evaluation") for kind, _ in places))
    each = dataclasses.replace(room, rows=room.rows // with_answers)
    makers = {"run": run_subject, "registry": registry_subject, "study": study_subject, "clusters": clusters_subject}

    def whole(kind, path):
        try:
            return makers[kind](path, each) if kind in makers else part_subject(kind, path, each)
        except OF_ANOTHER_FORM as error:
            return subject(kind, path, {}, [unreadable(kind, [path], error)])

    subjects = subjects_told_apart([whole(kind, path) for kind, path in places])
    cut_evenly([section for of in subjects for section in of["sections"] if section["draw"] == "results"], room.text)
    return subjects
