"""TensorBoard itself reads our event files."""
import pytest


def test_tensorboard_reads_our_scalars(probe, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    written = [("train/loss", 0, 1.5, 1000.25), ("train/loss", 300, -0.125, 1001.5), ("lr", 70000, 5e-3, 1002.0)]
    probe.run("tfevents", tmp_path, *[item for row in written for item in row])
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["lr", "train/loss"]
    found = [(tag, e.step, e.value, e.wall_time) for tag in ["train/loss", "lr"] for e in events.Scalars(tag)]
    assert [(t, s, w) for t, s, _, w in found] == [(t, s, w) for t, s, _, w in written]
    for (_, _, value, _), (_, _, expected, _) in zip(found, written):
        assert value == pytest.approx(expected, rel=1e-7)
