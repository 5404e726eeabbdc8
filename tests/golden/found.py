"""What a story left behind, as one table: (what it is, file, name within it) → value. Equal tables are equal bits.

Not in it, since it may differ between two runs of one program, or follows from what is in it: work/ (leases, journals,
checkpoints), SHA256SUMS, TensorBoard's files, config.toml, the items of adapt and eval (their results.json has them all)."""
import hashlib
import json
import struct

from names import new_path, new_value

PASSED_OVER = {"work", ".staging", "aside", "tensorboard", "checkpoints", "collectives", "config.toml", "SHA256SUMS"}
# Times, and digests that change with the names of files in a version's folder.
LEFT_OUT = {"format", "parent_sha256", "lora_sha256", "gate_sha256", "sums_sha256", "seconds", "step_seconds",
            "tokens_per_s"}
# Of an evaluation: older programs do not say it. By the rules that they know it follows from `correct`, NLL and tokens.
NOT_SAID_BY_OLDER = {"collection", "base", "score", "normalise", "choice_score"}
SIDECARS = {"expert.json", "routed.json", "inventory.json", "row.json", "routing_row.json"}
KINDS = {"experts": "experts", "inventories": "inventories", "routing_rows": "routing rows", "collections": "collections"}


def tensors(path):
    """Name → (dtype, shape, digest of the bytes), read by hand: no library stands between the bits and this."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    for name, about in header.items():
        first, last = (8 + size + offset for offset in about["data_offsets"])
        yield name, (about["dtype"], about["shape"], hashlib.sha256(data[first:last]).hexdigest())


def parsed(text):
    return new_value(json.loads(text, parse_float=str))  # numbers as they are written


def leaves(value, name=""):
    """Every value of a JSON by its path, but those left out."""
    if isinstance(value, (dict, list)) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if key not in LEFT_OUT:
                yield from leaves(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def recipe_and_key(text):
    """The recipe without its parents' digests, and its key with "" or, where there are parents, its proof: the key is the
    SHA-256 of the recipe as it is, so that it may change with a parent's digest and with nothing else."""
    about = json.loads(text)
    recipe = about.get("recipe") or {}
    dumped = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    proven = hashlib.sha256(dumped.encode()).hexdigest() == about.get("key")
    has_parent = bool(recipe.get("adapt", {}).pop("from", None))
    return recipe, (about.get("key"), "proven" if proven and has_parent else "")


def kind_of(parts):
    if parts[0].startswith("registry") and len(parts) > 1:
        return KINDS.get(parts[1], "registry")
    return next((word for word in ["alignment", "adapt", "eval"] if word in parts), parts[0])


def of_file(path, parts):
    """(what it is, name within the file, value)"""
    name, kind = path.name, kind_of(parts)
    if name.endswith(".safetensors"):
        what = "gates: tensors" if name.startswith("gate") else f"{kind}: tensors"
        yield from ((what, tensor, value) for tensor, value in tensors(path))
    elif name in SIDECARS:
        text = path.read_text()
        recipe, key = recipe_and_key(text)
        yield "recipe keys", "key", key
        yield from (("recipes: values", field, value) for field, value in leaves(recipe))
        # Older programs call what adapt makes trained.
        about = {field: value for field, value in parsed(text).items() if field not in ("recipe", "key", "origin")}
        yield from ((f"{kind}: sidecars' values", field, value) for field, value in leaves(about))
    elif name == "predictions.jsonl":
        for line in map(parsed, path.read_text().splitlines()):
            said = {field: value for field, value in line.items() if field not in NOT_SAID_BY_OLDER}
            yield "predictions: examples", f"{line['method']} {line['task']} {line['id']}", said
    elif name.endswith(".jsonl"):
        what = {"metrics.jsonl": "metrics: steps"}.get(name, f"{name}: lines")
        for line in map(parsed, path.read_text().splitlines()):  # what was done twice counts as it was last
            where = " ".join(str(line[key]) for key in ("phase", "space", "step") if key in line)
            yield what, where, {key: value for key, value in line.items() if key not in LEFT_OUT}
    elif name.endswith(".json"):
        values = parsed(path.read_text())
        if kind in ("adapt", "eval"):
            values = {field: value for field, value in values.items() if field not in NOT_SAID_BY_OLDER}
        yield from ((f"{kind}: JSON values", field, value) for field, value in leaves(values)
                    if kind != "eval" or field.split(".")[-1] not in NOT_SAID_BY_OLDER)
    else:
        yield f"{kind}: other files", "", path.read_text()


def found_in(folder):
    """Of a story's folder."""
    table = {}
    for path in sorted(folder.rglob("*")):
        old = path.relative_to(folder).parts
        an_item = "items" in old[:-1] and ("adapt" in old or "eval" in old)
        kept = old[0].startswith("registry") and "cache" in old[1:]  # follows from the rest
        if path.is_file() and not an_item and not kept and not PASSED_OVER & set(old):
            parts = new_path(old)
            for what, name, value in of_file(path, parts.split("/")):
                table[what, parts, name] = value
    return table
