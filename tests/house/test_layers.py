"""The house's plan held against the #include lines: arrows between rooms go one way (docs/architecture.md)."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
SRC = ROOT / "src"

# room → rooms it may include; what those include is allowed too.
MAY_INCLUDE = {
    "base": [],
    "config": ["base"],
    "cluster": ["base"],
    "comm": ["base", "cluster"],
    "formats": ["base"],
    "text": ["base", "formats"],
    "data": ["base", "formats", "text"],
    "kernel": ["base"],
    "model": ["base", "formats", "kernel"],
    "adapter": ["base", "kernel", "model", "registry"],
    "train": ["base", "config", "cluster", "comm", "formats", "data", "model", "adapter"],
    "alignment": ["base", "config", "comm", "formats", "adapter", "train"],
    "registry": ["base", "formats"],
    "coordinator": ["base", "comm", "registry"],
    "eval": ["config", "cluster", "comm", "text", "data", "kernel", "model", "adapter", "registry", "coordinator"],
    "report": ["base", "formats", "coordinator"],
    "job": ["config", "cluster", "comm", "text", "data", "kernel", "model", "registry", "train", "coordinator", "report"],
    "workflow": ["job", "adapter", "alignment", "eval", "registry"],
    "app": ["config", "cluster", "comm", "text", "data", "kernel", "model", "adapter", "train", "alignment",
            "registry", "coordinator", "eval", "report", "job", "workflow"],
}
WITH_TORCH = {"kernel", "model", "adapter", "train", "alignment", "eval", "job", "workflow", "app"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def reachable(room):
    found, todo = {room}, [room]
    while todo:
        for other in MAY_INCLUDE[todo.pop()]:
            if other not in found:
                found.add(other)
                todo.append(other)
    return found


def sources():
    for path in sorted(SRC.rglob("*")):
        if path.suffix in {".h", ".cpp", ".cu", ".cuh"}:
            yield path, path.relative_to(SRC).parts[0]


def includes(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match[1], match[2]


def test_every_room_is_in_the_plan():
    assert {p.name for p in SRC.iterdir() if p.is_dir()} <= set(MAY_INCLUDE)


def test_arrows_go_one_way():
    wrong = []
    for path, room in sources():
        allowed = reachable(room)
        for number, quote, name in includes(path):
            if quote == '"' and name.split("/")[0] not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {room} may not include {name}")
    assert not wrong, "\n".join(wrong)


def test_no_room_reaches_itself():
    for room in MAY_INCLUDE:
        assert all(room not in reachable(other) for other in MAY_INCLUDE[room]), room


def test_no_type_is_defined_twice():
    """All rooms share one namespace, and no linker tells of two types of one name: it mixes them up."""
    seen = {}
    for path, _ in sources():
        if path.suffix in {".h", ".cuh"}:
            for name in re.findall(r"^(?:struct|class|enum class) (?:alignas\(\d+\) )?(\w+)[^;\n(]*\{", path.read_text(), re.M):
                seen.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert not {name: files for name, files in seen.items() if len(files) > 1}


def test_torch_stays_in_its_rooms_and_out_of_command_headers():
    wrong = []
    for path, room in sources():
        for number, _, name in includes(path):
            if re.match(r"(ATen|c10|torch)/", name):
                heavy = name.startswith("torch/torch") or name == "torch/all.h"
                if room not in WITH_TORCH or heavy:
                    wrong.append(f"{path.relative_to(ROOT)}:{number}: {name}")
    assert not wrong, "\n".join(wrong)


def test_includes_start_at_src():
    wrong = []
    for path, _ in sources():
        for number, quote, name in includes(path):
            if quote == '"' and not (SRC / name).exists():
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {name}")
    assert not wrong, "\n".join(wrong)


def test_conditional_compilation_stays_in_the_factory_files():
    """One file a room may ask what was built in (MPI, CUDA)."""
    rooms = {}
    for path, room in sources():
        if re.search(r"^\s*#\s*if.*GAGGLE_WITH", path.read_text(), re.M):
            rooms.setdefault(room, []).append(str(path.relative_to(ROOT)))
    assert all(len(files) <= 1 for files in rooms.values()), rooms


def test_files_are_of_a_readable_length():
    long = [f"{p.relative_to(ROOT)}: {len(p.read_text().splitlines())} lines" for p, _ in sources()
            if len(p.read_text().splitlines()) > 400]
    assert not long, "\n".join(long)


def test_files_say_what_they_are_for():
    wrong = [str(p.relative_to(ROOT)) for p, _ in sources() if p.suffix == ".h" and not p.read_text().startswith("//")]
    assert not wrong, "\n".join(wrong)
