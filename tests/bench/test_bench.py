"""gaggle bench as a user meets it, and the floor: shares of the roofline, not times, that CI holds with a wide margin."""
import json
import pathlib
import re
import shutil

import pytest
from workshop import Workshop

# Written by `gaggle bench tiny.toml --small --json floor.json` in this file's workshop.
FLOOR = pathlib.Path(__file__).with_name("floor.json")
# A share may fall to this part of the floor's: another processor has other caches, a busy one other neighbours. What
# falls further has lost its kernel.
MARGIN = 1 / 6


@pytest.fixture(scope="module")
def bench(tmp_path_factory, tiny_world, gaggle):
    """A workshop whose base is wide enough for products to count."""
    from make_models import make_model

    folder = tmp_path_factory.mktemp("bench")
    make_model(folder / "base", "llama", seed=3, hidden_size=256, intermediate_size=768, num_hidden_layers=2)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_world / "base" / file, folder / "base")
    return Workshop(folder, gaggle)


@pytest.fixture(scope="module")
def measured(bench):
    done = bench.run("bench", "tiny.toml", "--small", "--json", "now.json", "--compare", FLOOR)
    return done.stdout, json.loads((bench.folder / "now.json").read_text())


def shares(result):
    return {line["name"]: line["share_of_roofline"] for line in result["lines"] if line["group"] != "machine"}


def test_no_share_falls_far_below_the_floor(bench, measured):
    floor, now = shares(json.loads(FLOOR.read_text())), shares(measured[1])
    assert now.keys() == floor.keys()
    low = [name for name in floor if now[name] < MARGIN * floor[name]]
    if low:  # somebody else may have had the cores: once more, these alone
        bench.run("bench", "tiny.toml", "--small", "--json", "again.json", "--only", ",".join(low))
        again = shares(json.loads((bench.folder / "again.json").read_text()))
        low = [(name, floor[name], now[name], again[name]) for name in low if again[name] < MARGIN * floor[name]]
    assert not low


def test_the_table_has_every_line_and_a_verdict(measured):
    table, result = measured
    for line in result["lines"]:
        assert re.search(rf"^{re.escape(line['name'])}  .*\d", table, re.M), line["name"]
    assert "compared by" in table
    assert {line["group"] for line in result["lines"]} == {"machine", "kernels", "steps"}
    for line in result["lines"]:
        assert line["seconds"] > 0 and line["flop"] + line["bytes"] > 0


def test_a_step_does_what_the_papers_count(measured):
    """4 FLOP per linear weight and token, 2 without the backward pass, the head at targets, and attention."""
    result = measured[1]
    work = {line["name"]: line["flop"] for line in result["lines"]}
    subject = result["subject"]
    linears, head = subject["linear_weights"] * subject["tokens"], 300 * 256 * subject["targets"]
    assert 4 * (linears + head) < work["expert step"] < 4.2 * (linears + head)
    assert 2 * (linears + head) < work["scoring base alone"] < 2.1 * (linears + head)
    scores_and_pairs = work["scoring phatgoose N=8"] - work["scoring base alone"]
    widths = 2 * (256 * 4 + 256 * 2 + 768)  # in, of both layers; out: 256 + 128 + 128 + 256 + 768 + 768 + 256
    assert scores_and_pairs == subject["tokens"] * 2 * (8 * widths + 2 * 4 * (widths + 2 * 2560))


def test_only_some_lines_and_a_run_that_is_worse(bench, measured):
    old = measured[1]
    for line in old["lines"]:
        line["seconds"] /= 1000
        line["seconds_deviation"] /= 1000
    (bench.folder / "old.json").write_text(json.dumps(old))
    words = ["bench", "tiny.toml", "--small", "--only", "routing", "--repeats", 3, "--compare", "old.json"]
    done = bench.run(*words)
    assert "expert step" in done.stdout.split("not measured now: ")[1]
    assert re.search(r"routing scores N=8 .*  worse$", done.stdout, re.M)
    assert "\nsteps" not in done.stdout
    bench.run(*words, "--fail-if-worse", expect=1)


def test_ranks_measure_what_they_send_each_other(bench):
    bench.run("bench", "tiny.toml", "--small", "--only", "norm", "--repeats", 1, "--json", "two.json", ranks=2)
    result = json.loads((bench.folder / "two.json").read_text())
    assert result["machine"]["ranks"] == 2
    line = next(line for line in result["lines"] if line["name"] == "all-to-all")
    assert line["bytes"] == 2**24 and line["seconds"] > 0


@pytest.mark.parametrize("words, said", [
    (["--only", "rotory"], ["--only", "rotory", "rotary"]),
    (["--compare", "nowhere.json"], ["nowhere.json"]),
    (["--compare", "tiny.toml"], ["tiny.toml", "gaggle bench --json"]),
    (["--fail-if-worse"], ["--fail-if-worse", "--compare"]),
    (["--json", "base"], ["--json", "folder"]),
    (["--poly.heads=7"], ["poly.heads"]),
])
def test_mistakes(bench, words, said):
    done = bench.run("bench", "tiny.toml", "--small", *words, expect=2)
    assert all(word in done.stderr for word in said), done.stderr


def test_an_encoder_decoder(tmp_path, gaggle):
    from make_models import make_t5
    from workshop import write_unigram

    make_t5(tmp_path / "base", "t5-v1.1", seed=3)
    write_unigram(tmp_path / "base")
    done = Workshop(tmp_path, gaggle).run("bench", "tiny.toml", "--small", "--repeats", 1)
    assert "generation" in done.stdout and "rotary" not in done.stdout
