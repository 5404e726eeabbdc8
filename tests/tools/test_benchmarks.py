"""tools/bench: medians, tables, exponents, plots and pages from recorded numbers; nothing is measured."""
import json
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"
sys.path.insert(0, str(BENCH))
import page  # noqa: E402
import plots  # noqa: E402
import random_experts  # noqa: E402
import runs  # noqa: E402
import tables  # noqa: E402


def side(name, setting, *rates, failed="", tokens=1600):
    return {"name": name, "setting": setting, "failed": failed,
            "runs": [{"tokens_per_s": rate, "step_s": tokens / rate, "step_tokens": tokens, "start_s": 2.0, "first_s": 4.0,
                      "peak_bytes": 2_000_000_000} for rate in rates]}


ABOUT = {"machine": {"processor": "A <B>", "flags": ["avx512f"], "cores": 2, "memory_gb": 24},
         "versions": {"gaggle": "gaggle 0.1", "commit": "a" * 10, "peft 0.21.2": "on torch 2.11.0"}, "command": "tools/peers/all.sh ",
         "setting": {"model": "m.gguf", "threads": 2, "batch": 16, "rank": 16, "row_tokens": 100, "repeats": 3}}
PEERS = ABOUT | {"works": [
    {"name": "lora", "words": "LoRA expert", "sides": [
        side("gaggle", "", 600, 900, 640), side("PEFT LoRA", "autocast", 200, 210, 190),
        side("PEFT LoRA", "bf16", 200, 300, 320), side("PEFT LoRA", "fp32", failed="out of memory")]},
    {"name": "gates", "words": "gate", "sides": [
        side("gaggle", "", 640), side("mttl, shipped", "bf16 autocast", 48, tokens=1800),
        side("mttl, mended", "bf16 autocast", failed="no module")]},
    {"name": "arrow8", "words": "arrow", "sides": [side("gaggle", "", failed="no room"), side("PEFT Arrow", "bf16")]}]}
GROWTH = ABOUT | {"curves": [
    {"axis": "length", "seconds_are": "a step", "failed": "", "points": [
        {"x": x, "seconds": x * x / 1e4 + 0.1, "peak_bytes": 10 ** 9 + 1000 * x, "start_s": 1} for x in (128, 512, 2048, 8192)]},
    {"axis": "ranks", "seconds_are": "a step & more", "failed": "at 2: broken",
     "points": [{"x": 1, "seconds": 1, "peak_bytes": 1e9, "start_s": 1}]}]}


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_peers_table_has_medians_of_the_best_setting_and_of_the_turns_ratios():
    _, _, lora, shipped, mended, arrow = cells(tables.peers_table(PEERS))
    # 600/200, 900/300, 640/320: the median of the ratios, not the ratio of the medians (640/300).
    assert lora == ["LoRA expert", "640", "PEFT LoRA, bf16", "300 (autocast 200, fp32 failed)", "3.00", "2.0 : 2.0", "4.0 : 4.0"]
    assert shipped[2:5] == ["mttl, shipped, bf16 autocast; 1800 tokens a step, gaggle 1600", "48", "13.33"]
    assert mended[3:] == ["failed", "-", "-", "-"]
    assert arrow[1:4] == ["failed", "PEFT Arrow, bf16", "not run"]


def test_a_run_leaves_out_its_first_steps_and_names_the_first_result():
    rated = runs.rated([(100, 10.0), (100, 5.0), (100, 1.0), (100, 2.0), (100, 1.0)], 3.0, 7)
    assert rated == {"tokens_per_s": 100, "step_s": 1.0, "step_tokens": 100, "start_s": 3.0, "first_s": 13.0, "peak_bytes": 7}
    assert runs.rated([(100, 4.0)], 1.0, 7)["tokens_per_s"] == 25


@pytest.mark.parametrize("power, words", [(-1, "falls"), (0, "hardly grows"), (0.5, "grows less than in proportion"),
                                          (1, "grows in proportion"), (1.5, "grows more than in proportion"),
                                          (2, "grows with the square"), (3, "grows faster than the square")])
def test_exponents_in_words(power, words):
    xs = [1, 10, 100, 1000]
    assert tables.exponent(xs, [7 * x ** power for x in xs]) == pytest.approx(power)
    assert tables.growth_words(power) == words


def test_growth_is_told_in_numbers_and_words_and_what_failed_is_named():
    rows = cells(tables.growth_table(GROWTH))
    assert rows[2] == ["length", "a step, s", "128, 512, 2,048, 8,192", "1.74, 26.3, 420, 6.71e+03", "grows with the square (2.00)"]
    assert rows[3][1] == "peak memory, GB" and rows[3][4] == "hardly grows (0.00)"
    assert rows[4] == ["ranks", "failed", "-", "-", "-"]


def test_plots_are_drawn_of_every_axis_with_two_points(tmp_path):
    assert plots.write_plots(GROWTH, tmp_path) == ["length"]
    (drawn,) = tmp_path.iterdir()
    tree = ElementTree.parse(drawn)
    spots = [element for element in tree.iter() if element.tag.endswith("circle")]
    assert len(spots) == 2 * 4 and all(0 < float(s.get("cx")) < plots.WIDTH and 40 < float(s.get("cy")) < 260 for s in spots)
    assert "prefers-color-scheme:dark" in drawn.read_text()


@pytest.mark.parametrize("values", [[1, 1], [0.013, 0.9], [3e9, 3.1e9], [1, 1e6]])
def test_axes_of_plots_hold_their_values(values):
    marks = plots.decades(values)
    assert marks[0] <= min(values) and len(marks) >= 2


def test_pages_are_filled_between_their_markers(tmp_path):
    (tmp_path / "BENCHMARKS.md").write_text("a\n<!-- peers -->\nold\n<!-- /peers -->\nb\n<!-- growth -->\n<!-- /growth -->\nc\n")
    (tmp_path / "README.md").write_text("x\n<!-- speed -->\n<!-- /speed -->\ny\n")
    (tmp_path / "peers.json").write_text(json.dumps(PEERS))
    (tmp_path / "growth.json").write_text(json.dumps(GROWTH))

    def run(*words):
        return subprocess.run([sys.executable, BENCH / "page.py", "--root", tmp_path, "--folder", tmp_path, *words],
                              capture_output=True, text=True)
    assert run("--check").returncode == 1
    assert run().returncode == 0 and run("--check").returncode == 0
    text = (tmp_path / "BENCHMARKS.md").read_text()
    assert text.startswith("a\n<!-- peers -->\n- machine: A <B> (avx512f), 2 cores, 24 GB\n") and "old" not in text
    assert "- lora, PEFT LoRA fp32: out of memory" in text and text.endswith("\n- ranks, at 2: broken\n<!-- /growth -->\nc\n")
    assert "(docs/benchmarks/length.svg)" in text and (tmp_path / "length.svg").exists()
    assert "| LoRA expert | 640 " in (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").write_text("no markers\n")
    assert "needs <!-- speed -->" in run().stderr


def test_the_pages_here_are_what_the_json_here_gives():
    done = subprocess.run([sys.executable, BENCH / "page.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_random_experts_have_the_form_of_another_and_small_finite_numbers(tmp_path, dtype):
    header = json.dumps({"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]},
                         "b": {"dtype": "BF16", "shape": [5], "data_offsets": [24, 34]}}).encode()
    (tmp_path / "form").write_bytes(struct.pack("<Q", len(header)) + header + bytes(34))
    safetensors = pytest.importorskip("safetensors.torch")
    for seed in (1, 2):
        random_experts.random_tensors(tmp_path / "form", tmp_path / f"{seed}.safetensors", seed, dtype)
    one, two = (safetensors.load_file(tmp_path / f"{seed}.safetensors") for seed in (1, 2))
    assert {name: list(tensor.shape) for name, tensor in one.items()} == {"a": [3, 2], "b": [5]}
    assert {str(tensor.dtype) for tensor in one.values()} == {{"BF16": "torch.bfloat16", "F32": "torch.float32"}[dtype]}
    sizes = [tensor.float().abs() for tensor in one.values()]
    assert all(((size >= 2 ** -7) & (size < 2 ** -5)).all() for size in sizes)
    assert (one["a"] != two["a"]).any()


def test_tasks_of_a_measurement_have_rows_of_one_length(tmp_path):
    bench = runs.Bench(Path("gaggle"), Path("model"), tmp_path, 1, length=20, target=4)
    runs.write_task(bench, tmp_path, "t", 3, split="test")
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert {(len(row["input"].split()), len(row["output"].split()), row["split"]) for row in rows} == {(16, 3, "test")}
    assert len({row["input"] for row in rows}) == 3


def test_works_are_added_to_a_file_of_the_same_conditions_alone(tmp_path):
    (tmp_path / "peers.json").write_text(json.dumps(PEERS))
    now = json.loads(json.dumps(ABOUT)) | {"command": "tools/peers/all.sh --only gates --add"}
    runs.add_to(tmp_path / "peers.json", now, "works", ["gates"])
    assert [work["name"] for work in now["works"]] == ["lora", "arrow8"]
    assert now["command"] == "tools/peers/all.sh ; tools/peers/all.sh --only gates --add"
    now["versions"]["commit"] = "b" * 10
    runs.add_to(tmp_path / "peers.json", now, "works", ["gates"])
    said = page.conditions(now, "works")
    assert "commit bbbbbbbbbb" in said and "; lora, arrow8: commit aaaaaaaaaa" in said
    with pytest.raises(ValueError, match="another setting"):
        runs.add_to(tmp_path / "peers.json", now | {"setting": now["setting"] | {"threads": 1}}, "works", [])


@pytest.mark.parametrize("words, said", [(["--only", "lora,orca"], 'no work begins with "orca"; there are lora, poly, gates'),
                                         (["--experts", "8,x"], "expected numbers of at least 2, as in 8,32,64"),
                                         (["--gaggle", "nowhere"], "nowhere: is not there; tools/setup.sh builds gaggle"),
                                         (["--to", "no/folder/p.json"], "its folder is not there"), (["--repeats", "0"], "at least 1")])
def test_mistakes_on_the_command_line_are_said_before_anything_runs(tmp_path, words, said):
    (tmp_path / "gaggle").touch()
    known = ["--gaggle", tmp_path / "gaggle", "--model", tmp_path / "gaggle", "--cache", tmp_path / "cache"]
    done = subprocess.run([sys.executable, BENCH.parent / "peers" / "all.py", *known, *words], capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stderr
    assert not (tmp_path / "cache").exists()
