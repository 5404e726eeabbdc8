"""Reads what gaggle writes. A file that is missing, torn or another's gives nothing: a report is of what is there."""
import base64
import json
import pathlib
import tomllib

import numpy as np

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "BF16": "<u2"}


class Mistake(Exception):
    """The user's mistake: its text is the whole message."""


def read_text(path):
    try:
        return pathlib.Path(path).read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def read_json(path, default=None):
    """An object of JSON; `default`: it is none."""
    try:
        found = json.loads(read_text(path))
    except ValueError:
        return default
    return found if isinstance(found, dict) else default


def read_lines(path):
    """The whole lines of a file of JSON objects; the last one may still be in the making."""
    found = []
    for line in read_text(path).split("\n"):
        try:
            if isinstance(value := json.loads(line), dict):
                found.append(value)
        except ValueError:
            continue
    return found


def read_toml(path):
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError:
        return {}


class Tensors:
    """A safetensors file, whose tensors are read when they are asked for, as fp64 or int64 arrays."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.header, self.metadata, self.begin = {}, {}, 0
        try:
            with open(self.path, "rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(length)) if length < 1 << 28 else {}
        except (OSError, ValueError):
            return
        self.metadata = header.pop("__metadata__", {})
        self.header, self.begin = header, 8 + length

    def names(self):
        return list(self.header)

    def bytes(self):
        return sum(of["data_offsets"][1] - of["data_offsets"][0] for of in self.header.values())

    def get(self, name):
        """None: there is no such tensor, or the file ends before it does."""
        about = self.header.get(name)
        if about is None or about["dtype"] not in TYPES:
            return None
        first, last = about["data_offsets"]
        with open(self.path, "rb") as file:
            file.seek(self.begin + first)
            raw = file.read(last - first)
        if len(raw) < last - first:
            return None
        values = np.frombuffer(raw, TYPES[about["dtype"]])
        if about["dtype"] == "BF16":
            values = (values.astype("<u4") << 16).view("<f4")
        return values.reshape(about["shape"]).astype(np.int64 if about["dtype"].startswith("I") else np.float64)


def number(value):
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if value == value and abs(value) != float("inf") else None


def rounded(values, digits=4):
    """Numbers to so many significant digits, as lists; what is not finite becomes None."""
    values = np.asarray(values, dtype=float)
    if values.ndim > 1:
        return [rounded(row, digits) for row in values]
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]


def in_base64(whole):
    """An array of whole numbers as a page holds it."""
    return base64.b64encode(whole.tobytes()).decode()


def as_text(value):
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def clipped(value, most=1200, length=None):
    """The beginning of a text. `length`: of the whole, where `value` is a beginning itself."""
    text = as_text(value)
    left = (length or len(text)) - min(most, len(text))
    return text[:most] + (f" … ({left:,} more characters)" if left else "")
