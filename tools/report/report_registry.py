"""A registry: its experts with what their sidecars say, inventories, collections, and what was set aside."""
from report_files import number, read_json, read_text

LOSSES = {"base loss": "base_loss", "loss with LoRA": "validation_loss", "half open": "half_open_loss",
          "gates as learnt": "gated_loss", "gate |v|": "gate_norm"}
ABOUT = ("Losses are nats per target token on the task's validation examples: of the base alone, with the LoRA, with its gates half "
         "open (as they start) and with its gates as learnt. |v| is the mean length of a gate's vector. A gate whose loss is that of "
         "half open has learnt nothing, and is easily overheard in routing.")


def versions(folder):
    return sorted(path.name for path in folder.glob("v[0-9]*") if path.is_dir()) if folder.is_dir() else []


def current(folder):
    """The version in use: what CURRENT says if it is there, else the newest; None: there is none."""
    there, said = versions(folder), read_text(folder / "CURRENT").strip()
    return said if said in there else there[-1] if there else None


def stored(registry, kind):
    """name → the folder of its version in use."""
    folder = registry / kind
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return {name: folder / name / version for name in names if (version := current(folder / name))}


class Expert:
    def __init__(self, name, folder):
        self.name, self.folder, self.version = name, folder, folder.name
        found = read_json(folder / "expert.json")
        self.about = found if isinstance(found, dict) else {}
        self.torn = not isinstance(found, dict)
        self.metrics = self.about.get("metrics") or {}
        self.category = self.about.get("category") or ""
        self.task = self.about.get("task") or name


def experts_of(registry, only=None):
    """The experts in use, of these names; those that gaggle adapt made are results of an adaptation, and left out."""
    found = [Expert(name, folder) for name, folder in stored(registry, "experts").items() if only is None or name in only]
    return [expert for expert in found if expert.about.get("origin") != "adapted"]


# Where a config's 0 leaves the value to gaggle.
LEFT_OPEN = {("train", "steps"), ("train", "lanes"), ("gate", "batch_size")}


def makes(config, recipe):
    """Whether a run of this config may have made what has this recipe: all that both of them say is the same."""
    if not recipe:
        return True
    if "steps" in (config.get("gate") or {}) and bool(config["gate"]["steps"]) != bool(recipe.get("gate")):
        return False
    both = [(section, key, value, recipe[section][key]) for section in ("run", "lora", "train", "gate")
            for key, value in (config.get(section) or {}).items() if key in (recipe.get(section) or {})]
    return all(said == made or (said == 0 and (section, key) in LEFT_OPEN) or key == "init_from"  # a path; a digest
               for section, key, said, made in both)


def experts_by(registry, names, config):
    """Of a run over a registry that others use too: of each name the version that the run's config makes (of several the
    one in use, else the newest), and the keys of all versions that other configs made."""
    experts, foreign = [], set()
    for name, in_use in stored(registry, "experts").items():
        if name not in names:
            continue
        versions_of = [Expert(name, in_use.parent / version) for version in versions(in_use.parent)]
        versions_of = [expert for expert in versions_of if expert.about.get("origin") != "adapted"]
        own = [expert for expert in versions_of if makes(config, expert.about.get("recipe") or {})]
        foreign |= {expert.about.get("key") for expert in versions_of if expert not in own}
        experts += [max(own, key=lambda expert: (expert.folder == in_use, expert.version))] if own else []
    return experts, foreign


def table(title, kinds, rows, about=None):
    """A section; None without rows. `kinds`: a column's name → text, integer or number."""
    return {"draw": "table", "title": title, "columns": list(kinds.items()), "rows": rows, "about": about} if rows else None


def expert_table(experts):
    rows = []
    for expert in experts:
        rank = (expert.about.get("lora") or {}).get("rank") or ((expert.about.get("recipe") or {}).get("lora") or {}).get("rank")
        origin = "cannot be read" if expert.torn else expert.about.get("origin", "")
        metrics = [number(expert.metrics.get(name)) for name in LOSSES.values()]
        rows.append([expert.name, expert.version, expert.category, origin, rank, *metrics])
    names = dict.fromkeys(("expert", "version", "category", "origin"), "text")
    return table("Experts", {**names, "rank": "integer", **dict.fromkeys(LOSSES, "number")}, rows, ABOUT)


def inventory_table(registry):
    rows = []
    for name, folder in stored(registry, "inventories").items():
        about = read_json(folder / "inventory.json", {})
        poly, metrics = about.get("poly") or {}, about.get("metrics") or {}
        if about.get("origin") != "adapted":
            tasks = len(about.get("tasks") or about.get("data") or [])
            rows.append([name, folder.name, about.get("method", ""), tasks, poly.get("skills"), poly.get("heads"),
                         number(metrics.get("base_loss")), number(metrics.get("validation_loss"))])
    kinds = {"inventory": "text", "version": "text", "method": "text", "tasks": "integer", "skills": "integer", "heads": "integer",
             "base loss": "number", "validation loss": "number"}
    return table("Inventories", kinds, rows)


def collection_table(registry):
    rows = []
    for name, folder in stored(registry, "collections").items():
        members = [of.get("name", "") for of in read_json(folder / "collection.json", {}).get("experts", [])]
        more = f" … and {len(members) - 12} more" if len(members) > 12 else ""
        rows.append([name, folder.name, len(members), ", ".join(members[:12]) + more])
    return table("Collections", {"collection": "text", "version": "text", "experts": "integer", "members": "text"}, rows)
