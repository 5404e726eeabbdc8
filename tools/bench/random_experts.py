"""Random LoRAs with gates as folders that gaggle and PEFT read, made once in the cache, and registries of them."""
import json
import pathlib
import random
import shutil
import struct
import tempfile

import runs


def random_tensors(source, target, seed, dtype):
    """A safetensors file with the names and shapes of another, of numbers between 2^-7 and 2^-5 of either sign."""
    width = {"F32": 4, "BF16": 2}
    with open(source, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    header.pop("__metadata__", None)
    at = 0
    for tensor in header.values():
        size = (tensor["data_offsets"][1] - tensor["data_offsets"][0]) // width[tensor["dtype"]] * width[dtype]
        tensor.update(dtype=dtype, data_offsets=[at, at + size])
        at += size
    text = json.dumps({"__metadata__": {"format": "pt"}} | header).encode()
    text += b" " * (-len(text) % 8)
    bits = int.from_bytes(random.Random(seed).randbytes(at), "little")
    # The sign, the lowest bit of the exponent and the fraction stay random.
    rest = width[dtype] - 1
    bits &= int.from_bytes((b"\xff" * rest + b"\x80") * (at // width[dtype]), "little")
    bits |= int.from_bytes((b"\x00" * rest + b"\x3c") * (at // width[dtype]), "little")
    target.write_bytes(struct.pack("<Q", len(text)) + text + bits.to_bytes(at, "little"))


def experts(bench, count):
    """Folders of `count` random LoRAs with gates, made once in the cache after the form of one that gaggle trains."""
    place = bench.cache / "experts" / f"{bench.model.stem}-r{bench.rank}"
    form = place / "form"
    if not form.exists():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            runs.write_task(bench, folder / "tasks", "form", 1, length=16)
            runs.gaggle(bench, folder, "experts", "--train.steps=1", "--gate.steps=1", "--train.batch_size=1")
            place.mkdir(parents=True, exist_ok=True)
            shutil.copytree(folder / "registry" / "experts" / "form" / "v0001", place / "making")
            (place / "making").rename(form)
    folders = [place / f"e{i:04d}" for i in range(count)]
    for i, folder in enumerate(folders):
        if folder.exists():
            continue
        making = place / "making"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        shutil.copy(form / "adapter_config.json", making)
        random_tensors(form / "adapter_model.safetensors", making / "adapter_model.safetensors", i, "BF16")
        random_tensors(form / "gate.safetensors", making / "gate.safetensors", -1 - i, "F32")
        making.rename(folder)
    return folders


def registry_of(bench, folder, count):
    """Puts `count` random experts into folder/registry, and pins them as the collection "all"."""
    names = experts(bench, count)
    where = ["--registry", folder / "registry"]
    runs.run([bench.gaggle, "registry", "import", *names, "--base", bench.model, *where], bench, cwd=folder)
    runs.run([bench.gaggle, "registry", "collect", "all", *where], bench, cwd=folder)
