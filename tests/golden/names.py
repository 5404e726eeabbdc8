"""What things are called, before and after a renaming: old name → new name. Whoever renames something that gaggle reads or
writes adds a line here, so that tests/golden.sh goes on comparing the two."""
import subprocess

# Keys of the config and flags of the command line. Stories say the new name; a program that lacks it is given the old one.
SAID = {
    "eval.routed": "eval.inventory",
    "data.limit_rows": "data.limit_examples",
    "eval.limit_rows": "eval.limit_examples",
    "alignment.rows": "alignment.examples",
    "align --rows": "align --examples",
}
# Folders of a registry, and names of files wherever they are.
KINDS = {"routed": "inventories", "rows": "routing_rows"}
FILES = {"routed.json": "inventory.json", "row.json": "routing_row.json", "row.safetensors": "routing_row.safetensors",
         "step-12-rows-4": "step-12-examples-4", "step-8-rows-4": "step-8-examples-4"}
# Fields of results, metrics and sidecars, but of no recipe: its names are in its key.
FIELDS = {"rows": "examples", "artefact": "inventory", "routed": "inventory", "parent_row": "routing_row"}


class Names:
    """The names that one program knows, by its help."""

    def __init__(self, gaggle):
        said = lambda *words: subprocess.run([str(gaggle), *words], capture_output=True, text=True).stdout
        help_of = lambda *words: said(*words, "--help")
        self.keys, section = set(), ""
        for line in (said("help", "config") or help_of()).splitlines():  # which older programs have in their --help
            words = line.split()
            if line.startswith("["):
                section = words[0].strip("[]")
            elif line.startswith("  ") and line[2:3].strip() and words and section:
                self.keys.add(f"{section}.{words[0]}")
        assert "run.name" in self.keys, f"{gaggle} --help lists no keys of the config"
        self.flags = {"align": set(help_of("align").replace(",", " ").split())}
        self.old = {new: old for old, new in SAID.items()}

    def word(self, command, word):
        """A word of the command line as this program takes it."""
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--"):
            return word
        if "." in name:
            known = name if name in self.keys else self.old.get(name, name)
            return f"--{known}{equals}{value}"
        old = self.old.get(f"{command} {word}")
        return old.split()[1] if old and word not in self.flags[command] else word

    def words(self, words):
        return [self.word(words[0], str(word)) for word in words]

    def kind(self, registry, new):
        """The folder of a kind in a registry that is there."""
        old = next((old for old, name in KINDS.items() if name == new), new)
        return registry / (new if (registry / new).is_dir() else old)


def new_path(parts):
    """A path below a story's folder, in new names: parts of it."""
    parts = [FILES.get(part, part) for part in parts]
    if len(parts) > 1 and parts[0].startswith("registry"):
        parts[1] = KINDS.get(parts[1], parts[1])
    return "/".join(parts)


def new_value(value):
    """Names of fields and of stored things within a value read from JSON, but within no recipe."""
    if isinstance(value, dict):
        return {FIELDS.get(key, key): inner if key == "recipe" else new_value(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [new_value(inner) for inner in value]
    if isinstance(value, str) and value.partition("/")[0] in KINDS and "@" in value:
        kind, slash, name = value.partition("/")
        return f"{KINDS[kind]}/{name}"
    return value
