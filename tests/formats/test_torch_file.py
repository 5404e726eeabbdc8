"""pytorch_model.bin: what torch.save wrote, tensor for tensor; and files that must be refused with nothing executed."""
import zipfile

import pytest
import torch
from safetensors.torch import load_file


def read(probe, path, folder):
    probe.run("torch-tensors", path, folder / "out.safetensors")
    return load_file(folder / "out.safetensors")


def test_what_torch_saved_is_read(probe, tmp_path):
    draw = torch.Generator().manual_seed(0)
    shared = torch.randn(7, 5, generator=draw)
    model = torch.nn.Linear(4, 3)
    tensors = {"a": torch.randn(3, 4, 5, generator=draw), "half": torch.randn(6, generator=draw).half(),
               "bf": torch.randn(2, 2, generator=draw).bfloat16(), "double": torch.randn(3, generator=draw).double(),
               "long": torch.arange(5), "empty": torch.zeros(0, 3), "scalar": torch.tensor(2.5),
               "shared.weight": shared, "encoder.embed_tokens.weight": shared, "slice": torch.arange(12.0).view(4, 3)[1:3],
               **{f"module.{name}": value for name, value in model.state_dict().items()}}
    torch.save(tensors, tmp_path / "model.bin")
    ours = read(probe, tmp_path / "model.bin", tmp_path)
    assert sorted(ours) == sorted(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(ours[name], tensor) and ours[name].dtype == tensor.dtype, name
    torch.save(model.state_dict(), tmp_path / "state.bin")  # an OrderedDict with _metadata
    assert torch.equal(read(probe, tmp_path / "state.bin", tmp_path)["weight"], model.weight)
    torch.save({"p": torch.nn.Parameter(torch.ones(3))}, tmp_path / "parameter.bin", pickle_protocol=4)
    assert torch.equal(read(probe, tmp_path / "parameter.bin", tmp_path)["p"], torch.ones(3))


def refusal(probe, path):
    done = probe.run("torch-tensors", path, path.parent / "out", check=False)
    assert done.returncode == 2, done
    return done.stderr.decode()


def rewritten(source, target, change, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for info in old.infolist():
            data = change(info.filename, old.read(info.filename))
            if data is not None:
                new.writestr(info.filename, data)


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        import os
        return os.system, (f"touch {self.marker}",)


def test_code_is_refused_by_name_and_not_run(probe, tmp_path):
    marker = tmp_path / "marker"
    torch.save({"a": Evil(marker)}, tmp_path / "evil.bin")
    said = refusal(probe, tmp_path / "evil.bin")
    assert ("posix.system" in said or "os.system" in said) and "nothing was executed" in said
    for payload in [b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.", b"\x80\x02}(X\x01\x00\x00\x00acos\nsystem\nu.",
                    b"\x80\x04\x8c\x02os\x8c\x06system\x93.", b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
                    b"(i__builtin__\neval\n.", b"\x80\x02\x82\x01."]:
        torch.save({"a": torch.ones(2)}, tmp_path / "good.bin")
        rewritten(tmp_path / "good.bin", tmp_path / "bad.bin",
                  lambda name, data: payload if name.endswith("data.pkl") else data)
        assert "bad.bin" in refusal(probe, tmp_path / "bad.bin")
    assert not marker.exists()


def test_other_files_are_refused(probe, tmp_path):
    good = tmp_path / "good.bin"
    torch.save({"a": torch.randn(20, 30), "b": torch.ones(4)}, good)
    refuse = lambda name: refusal(probe, tmp_path / name)
    data = good.read_bytes()
    for keep in [0, 10, len(data) // 3, len(data) // 2, len(data) - 30, len(data) - 1]:
        (tmp_path / "torn.bin").write_bytes(data[:keep])
        assert "torn.bin" in refuse("torn.bin")
    rewritten(good, tmp_path / "packed.bin", lambda name, data: data, zipfile.ZIP_DEFLATED)
    assert "compressed" in refuse("packed.bin")
    rewritten(good, tmp_path / "bomb.bin", lambda name, data: bytes(1 << 24) if "/data/0" in name else data, zipfile.ZIP_DEFLATED)
    assert "compressed" in refuse("bomb.bin")
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(tmp_path / "twice.bin", "w") as new:
        for info in old.infolist() + old.infolist()[:1]:
            new.writestr(info.filename, old.read(info.filename))
    assert "two entries are named" in refuse("twice.bin")
    rewritten(good, tmp_path / "short.bin", lambda name, data: data[:-4] if name.endswith("/data/0") else data)
    assert "bytes, not 600 values" in refuse("short.bin")
    rewritten(good, tmp_path / "none.bin", lambda name, data: None if name.endswith("/data/1") else data)
    assert "its storage 1 is missing" in refuse("none.bin")
    for strided in [torch.randn(3, 4).t(), torch.randn(4, 6)[:, :2], torch.randn(6)[::2]]:
        torch.save({"t": strided}, tmp_path / "strided.bin")
        assert "t is strided" in refuse("strided.bin")
    whole = torch.randn(6)
    torch.save({"whole": whole, "half": whole[:3]}, tmp_path / "aliased.bin")
    assert "share parts of one storage" in refuse("aliased.bin")
    torch.save([torch.ones(2)], tmp_path / "list.bin")
    assert "list.bin" in refuse("list.bin")
    torch.save({"a": torch.ones(2)}, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    assert "no zip archive" in refuse("old.bin")
