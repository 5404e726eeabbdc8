"""Text and JSON files, and the mistakes in them."""

import gzip
import json
import zlib
from pathlib import Path


class Mistake(Exception):
    """The user's mistake: its text is the whole message."""


def read_text(path):
    try:
        data = Path(path).read_bytes()
        return (gzip.decompress(data) if str(path).endswith(".gz") else data).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Mistake(f"{path}: not UTF-8 text") from None
    except (OSError, EOFError, zlib.error) as error:
        raise Mistake(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def read_json(path):
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise Mistake(f"{path}:{error.lineno}:{error.colno}: not JSON ({error.msg})") from None


def json_lines(text, where):
    """(line number, object) of every line that is not blank."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise Mistake(f"{where}:{number}: not JSON ({error.msg})") from None


def as_text(value, where=""):
    if isinstance(value, (dict, list)):
        raise Mistake(f"{where}: {'an object' if isinstance(value, dict) else 'a list'} where a text belongs; "
                      "name a part of it as FIELD.PART")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def first_of(value):
    """Of a list of answers the first, also of SQuAD's {"text": […], "answer_start": […]}; "" where there is none."""
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        value = value["text"]
    if isinstance(value, list):
        return value[0] if value else ""
    return "" if value is None else value


def field(record, name, where):
    if not isinstance(record, dict):
        raise Mistake(f"{where}: not an object with fields")
    value = record
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise Mistake(f"{where}: has no field \"{name}\" (it has {', '.join(map(str, record))})")
        value = value[part]
    return value
