"""Records of Parquet files, folders of load_from_disk, CSV and JSON, each with the split its place says."""

import csv
import io
import json
import re
from pathlib import Path

from task_splits import raw_split_of_file
from task_text import Mistake, json_lines, read_json, read_text


def json_records(path):
    text = read_text(path)
    if text.lstrip().startswith("["):
        return list(enumerate(read_json(path), 1))
    return list(json_lines(text, path))


def csv_records(path):
    separator = "\t" if str(path).endswith((".tsv", ".txt")) else ","
    return list(enumerate(csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter=separator), 1))


def needs(module):
    try:
        return __import__(module)
    except ImportError:
        raise Mistake(f"this needs the Python package {module}: pip install -r tools/tasks/requirements.txt") from None


def parquet_records(path, class_names=True):
    needs("pyarrow")
    import pyarrow.parquet

    if not Path(path).is_file():
        raise Mistake(f"{path}: there is no such file")
    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise Mistake(f"{path}: not a Parquet file ({error})") from None
    about = json.loads((table.schema.metadata or {}).get(b"huggingface", "{}")).get("info", {}).get("features", {})
    names = {key: kind["names"] for key, kind in about.items() if kind.get("_type") == "ClassLabel" and "names" in kind}
    return [(number, with_class_names(record, names if class_names else {}))
            for number, record in enumerate(table.to_pylist(), 1)]


class ClassName(str):
    """The name of a class, which knows the others: they are a row's choices where nobody names any."""
    names = ()


def with_class_names(record, names):
    """Class numbers as their names; a hidden label, -1, is no answer."""
    for key, classes in names.items():
        number = record[key]
        record[key] = ClassName(classes[number]) if isinstance(number, int) and 0 <= number < len(classes) else None
        if record[key] is not None:
            record[key].names = classes
    return record


def disk_records(path, class_names=True):
    """Rows of a folder that datasets' save_to_disk wrote, with their part's name as "split"."""
    datasets = needs("datasets")
    try:
        loaded = datasets.load_from_disk(str(path))
    except (FileNotFoundError, ValueError) as error:
        raise Mistake(f"{path}: not a folder of save_to_disk ({error})") from None
    parts = loaded if isinstance(loaded, dict) else {None: loaded}
    records = []
    for split, part in parts.items():
        names = {key: f.names for key, f in part.features.items() if isinstance(f, datasets.ClassLabel)}
        for record in part:
            record = with_class_names(record, names if class_names else {})
            records.append((len(records) + 1, record | ({"split": split} if split else {})))
    return records


def text_records(path, most=1000):
    """Pieces of a plain text, each the answer to nothing: paragraphs, cut at white space where they are longer than `most`
    characters."""
    pieces = []
    for paragraph in re.split(r"\n\s*\n", read_text(path).replace("\r\n", "\n")):
        rest = paragraph.strip()
        while len(rest) > most:
            cut = max(rest.rfind(space, 1, most + 1) for space in " \n\t")
            cut = cut if cut > 0 else most
            pieces.append(rest[:cut].strip())
            rest = rest[cut:].strip()
        if rest:
            pieces.append(rest)
    return [(number, {"input": "", "output": piece}) for number, piece in enumerate(pieces, 1)]


READERS = {"parquet": (parquet_records, [".parquet"]), "disk": (disk_records, []),
           "csv": (csv_records, [".csv", ".tsv"]), "json": (json_records, [".json", ".jsonl", ".jsonl.gz"]),
           "text": (text_records, [".txt", ".md"])}


def files_of(paths, endings):
    """The files themselves, and of folders the files that end so."""
    for path in map(Path, paths):
        folder = endings and path.is_dir()
        inside = sorted(p for p in path.rglob("*") if p.name.endswith(tuple(endings))) if folder else [path]
        if not inside:
            raise Mistake(f"{path}: no file ends in {' or '.join(endings)}")
        yield from inside


def saved_to_disk(path):
    return any((path / name).exists() for name in ("dataset_dict.json", "state.json"))


def records_under(path):
    """(file, number, record, raw split or None) of whatever lies there, class numbers as numbers: what templates read."""
    path = Path(path)
    if not path.exists():
        raise Mistake(f"{path}: there is no such file or folder")
    if path.is_dir() and saved_to_disk(path):
        for number, record in disk_records(path, class_names=False):
            yield path, number, record, record.pop("split", None)
        return
    for file in files_of([path], [".parquet", ".json", ".jsonl", ".jsonl.gz", ".csv", ".tsv"]):
        kind = next((kind for kind, (_, endings) in READERS.items() if file.name.endswith(tuple(endings) or "\0")), None)
        if not kind:
            raise Mistake(f"{file}: none of .parquet, .json, .jsonl, .jsonl.gz, .csv, .tsv, nor a folder of save_to_disk")
        read = READERS[kind][0]
        for number, record in (read(file, class_names=False) if kind == "parquet" else read(file)):
            own = record.get("split") if isinstance(record, dict) else None
            yield file, number, record, own if isinstance(own, str) else raw_split_of_file(file)
