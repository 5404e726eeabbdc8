"""The house's plan held against the #include lines: arrows between rooms go one way (docs/architecture.md)."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
SRC = ROOT / "src"

# room → the rooms whose headers its files include, all of them and no others. CMakeLists.txt and the table of
# docs/architecture.md say the same.
MAY_INCLUDE = {
    "base": [],
    "config": ["base"],
    "cluster": ["base"],
    "comm": ["base"],
    "formats": ["base"],
    "text": ["base", "formats"],
    "data": ["base", "text"],
    "kernel": ["base"],
    "model": ["base", "formats", "kernel"],
    "registry": ["base", "formats"],
    "adapter": ["base", "kernel", "model"],
    "library": ["base", "formats", "model", "registry", "adapter"],
    "train": ["base", "config", "cluster", "comm", "formats", "data", "kernel", "model", "adapter", "library"],
    "alignment": ["base", "config", "comm", "formats", "adapter", "train"],
    "coordinator": ["base"],
    "eval": ["base", "config", "text", "data", "model", "adapter", "library"],
    "report": ["base", "formats", "coordinator"],
    "job": ["base", "config", "cluster", "comm", "formats", "text", "data", "kernel", "model", "registry",
            "train", "coordinator", "report"],
    "workflow": ["base", "config", "cluster", "text", "data", "model", "registry", "adapter", "library", "train",
            "alignment", "coordinator", "eval", "job"],
    "doctor": ["base", "config", "cluster", "comm", "kernel", "model", "registry", "coordinator", "job"],
    "bench": ["base", "config", "comm", "kernel", "model", "adapter", "train", "eval", "doctor", "job"],
    "app": ["base", "config", "cluster", "comm", "data", "registry", "library", "alignment", "eval", "report", "job",
            "workflow", "doctor", "bench"],
}
WITH_TORCH = {"kernel", "model", "adapter", "library", "train", "alignment", "eval", "job", "workflow", "doctor", "bench",
              "app"}
NO_FUNCTION = re.compile(r"\s*(if|for|while|switch|do|else|try|catch|\}|//|#|(template .*)?(struct|class|enum|union|namespace)\b)")
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


def functions(path):
    """First line, number of lines and text of the first line of every function of clang-formatted code."""
    lines = path.read_text().splitlines()
    for end, line in enumerate(lines):
        if line not in ("}", "  }"):
            continue
        indent = len(line) - 1
        begin = end - 1
        while begin >= 0 and (not lines[begin].strip() or len(lines[begin]) - len(lines[begin].lstrip()) > indent):
            begin -= 1
        if begin >= 0 and "(" in lines[begin] and not NO_FUNCTION.match(lines[begin]):
            yield begin + 1, end - begin + 1, lines[begin].strip()


def test_every_room_is_in_the_plan():
    assert {p.name for p in SRC.iterdir() if p.is_dir()} == set(MAY_INCLUDE)


def test_arrows_are_those_of_the_plan():
    """Each arrow goes one way, and an arrow that no file uses is not there."""
    wrong, used = [], {room: set() for room in MAY_INCLUDE}
    for path, room in sources():
        for number, quote, name in includes(path):
            other = name.split("/")[0]
            if quote != '"' or other == room:
                continue
            used[room].add(other)
            if other not in MAY_INCLUDE[room]:
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {room} may not include {name}")
    wrong += [f"{room}: no file uses the arrow to {other}" for room, may in MAY_INCLUDE.items() for other in may
              if other not in used[room]]
    assert not wrong, "\n".join(wrong)


def test_cmake_and_the_architecture_say_the_same():
    plan = {room: set(may) for room, may in MAY_INCLUDE.items()}
    cmake = {}
    for room, others in re.findall(r'gaggle_room\((\w+)\s+"([\w;]*)"', (ROOT / "CMakeLists.txt").read_text()):
        cmake.setdefault(room, set()).update(filter(None, others.split(";")))
    assert cmake == plan
    table = (ROOT / "docs/architecture.md").read_text().split("| room in src/ |")[1].split("\n\n")[0]
    told = {}
    for room, _, others in re.findall(r"^\| (\w+) \| (.*) \| ([^|]*) \|$", table, re.M):
        told[room] = set() if others == "nothing" else set(others.split(", "))
    assert told == plan


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


# What is done in one way → the files that do it: base/json.h knows limits, base/terminal.h escapes and a full disk. The
# other three are the last flush, and what redraws the terminal.
ONE_WAY = {r"json::parse\(": ["base/json.h"],
           r"\bstdout\b": ["base/terminal.cpp", "app/program.cpp", "job/display.cpp", "app/command_status.cpp"]}


def test_json_is_read_and_standard_output_is_written_in_one_way():
    wrong = []
    for path in [*SRC.rglob("*.cpp"), *SRC.rglob("*.h")]:
        text = re.sub(r"//.*", "", path.read_text())
        wrong += [f"{path.relative_to(SRC)}: {pattern} belongs into {owners[0]}" for pattern, owners in ONE_WAY.items()
                  if re.search(pattern, text, re.IGNORECASE) and str(path.relative_to(SRC)) not in owners]
    assert not wrong, "\n".join(sorted(wrong))


def test_files_are_of_a_readable_length():
    long = [f"{p.relative_to(ROOT)}: {len(p.read_text().splitlines())} lines" for p, _ in sources()
            if len(p.read_text().splitlines()) > 400]
    assert not long, "\n".join(long)


def test_functions_fit_a_screen():
    long = [f"{path.relative_to(ROOT)}:{number}: {lines} lines: {text}" for path, _ in sources()
            for number, lines, text in functions(path) if lines > 60]
    assert not long, "\n".join(long)


def test_files_say_what_they_are_for():
    wrong = [str(p.relative_to(ROOT)) for p, _ in sources() if p.suffix == ".h" and not p.read_text().startswith("//")]
    assert not wrong, "\n".join(wrong)
