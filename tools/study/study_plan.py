"""A plan file of the study (configs/study/plan.toml), and what of its tasks is at hand."""
import pathlib
import tomllib


def texts_of(file):
    """Of a TOML file and what it includes, one after the other."""
    texts = []
    while file:
        texts.append(file.read_text())
        included = tomllib.loads(texts[-1]).get("include")
        file = file.parent / included if included else None
    return texts


def layered(texts):
    """Of each section's keys the first one's."""
    found = {}
    for text in reversed(texts):
        for section, values in tomllib.loads(text).items():
            found[section] = found.get(section, {}) | values if isinstance(values, dict) else values
    return found


class Plan:
    def __init__(self, path, folder):
        self.path, self.folder = pathlib.Path(path).resolve(), pathlib.Path(folder).resolve()
        self.data = layered(texts_of(self.path))
        self.config = self.path.parent / self.data["config"]
        self.settings = layered(self.config_texts())

    def config_texts(self):
        return texts_of(self.config)

    def base_name(self):
        return pathlib.Path(self.data.get("base") or self.settings["model"]["path"]).name

    def source(self, task):
        """The file that a task is read from, or None: a wheel, or the task's own JSONL."""
        source, _, name = task.partition("/")
        about = self.data["sources"][source]
        if "wheel" in about:
            pattern = self.path.parent / about["wheel"]
            return next(iter(sorted(pattern.parent.glob(pattern.name))), None)
        for root in (self.path.parent, self.folder):  # the sample's tasks are made in its folder
            if (file := root / about["folder"] / f"{name}.jsonl").exists():
                return file.resolve()
        return None

    def at_hand(self, tasks):
        return [task for task in tasks if self.source(task)]

    def pool(self, size):
        """Training tasks of a pool; None: there are not so many."""
        found = self.at_hand(self.data["train"])[:size]
        return found if len(found) == size else None

    def pools(self):
        return [size for size in self.data["pools"] if self.pool(size)]

    def sets(self):
        """Held-out sets of which some task is at hand: name → tasks."""
        found = {name: self.at_hand(tasks) for name, tasks in self.data.get("held_out", {}).items()}
        return {name: tasks for name, tasks in found.items() if tasks}

    def all_tasks(self):
        few_shot = self.at_hand(self.data["few_shot"])
        wanted = [*(self.pool(max(self.pools(), default=0)) or []), *sum(self.sets().values(), []), *few_shot]
        return list(dict.fromkeys(wanted))

    def files(self, tasks):
        return [str(self.folder / "tasks" / f"{task_name(task)}.jsonl") for task in tasks]

    def short(self):
        """What the plan names and is not at hand, in sentences."""
        lines = []
        there = len(self.at_hand(self.data["train"]))
        for size in self.data["pools"]:
            if size > there:
                lines.append(f"pool of {size}: {there} training tasks are at hand")
        for name, tasks in self.data.get("held_out", {}).items():
            if gone := len(tasks) - len(self.at_hand(tasks)):
                lines.append(f"held-out set {name}: {gone} of {len(tasks)} tasks are not at hand")
        return lines


def task_name(task):
    return task.rsplit("/", 1)[-1]
