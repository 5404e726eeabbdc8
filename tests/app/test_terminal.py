"""What people see: in a terminal that is resized while a job runs, in narrow and dumb ones, in pipes; and what programs read."""
import csv
import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios

import pyte
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def set_width(terminal, columns, rows=40):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Terminal:
    """A command in a pseudo-terminal, and the screen that shows what it writes."""

    def __init__(self, shop, *words, columns, term="xterm", rows=40):
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self.stream, self.bytes, self.rows = pyte.ByteStream(self.screen), b"", rows
        self.end, side = pty.openpty()
        set_width(side, columns, rows)
        self.child = subprocess.Popen(shop.command(*words), cwd=shop.folder, stdin=side, stdout=side, stderr=side,
                                      env=shop.environment() | {"TERM": term})
        os.close(side)

    def resize(self, columns):
        self.screen.resize(self.rows, columns)
        set_width(self.end, columns, self.rows)

    def read(self, seconds=300):
        """More of what is written; False at its end."""
        if not select.select([self.end], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.end, 65536)
        except OSError:
            return False
        self.bytes += data
        self.stream.feed(data)
        return bool(data)

    def lines(self):
        past = ["".join(line[i].data for i in range(self.screen.columns)) for line in self.screen.history.top]
        return [line.rstrip() for line in past + self.screen.display]

    def finish(self):
        while self.read():
            pass
        assert self.child.wait() == 0, "\n".join(self.lines())
        return self.lines()


def bars(lines):
    return [line for line in lines if "▕" in line]


def test_a_job_is_watched_on_widths_that_change(workshop):
    terminal = Terminal(workshop, "experts", "tiny.toml", "--train.steps=150", columns=120)
    shown, width = set(), 120
    while terminal.read():
        assert len(bars(terminal.lines())) <= 1, "\n".join(terminal.lines())
        if bars(terminal.lines()):
            live = [line for line in terminal.lines() if line.startswith("rank 0 · ")]
            assert len(live) <= 1, "\n".join(terminal.lines())
            # A part of the line is there whole or not at all.
            assert all(any(line.endswith(end) for end in ("left", "tok/s", "rate", "150", "6")) or len(line) < 30
                       for line in live), live
            shown.add(width)
            wanted = 60 if sum(" committed as " in line for line in terminal.lines()) % 2 else 120
            if wanted != width:
                width = wanted
                terminal.resize(width)
    lines = terminal.finish()
    assert shown == {60, 120} and not bars(lines)
    text = "\n".join(lines)
    for name in ["copy", "first", "reverse", "vowel"]:
        assert sum(line.startswith(f"{name} committed as v0001") for line in lines) == 1, text
    assert sum(line.startswith("4 of 4 experts done in 0:") for line in lines) == 1, text
    assert not any(line.startswith("rank 0 · ") for line in lines), text


@pytest.mark.parametrize("columns", [60, 120])
def test_an_evaluation_has_a_bar_and_every_line_fits(trained, tmp_path, columns):
    run = f"--run.dir={tmp_path}"
    terminal = Terminal(trained, "eval", "tiny.toml", run, columns=columns)
    lines = terminal.finish()
    assert re.search("▕[^\r\n]*items ·", terminal.bytes.decode())  # it stood, for however short
    assert not bars(lines) and any(line.startswith("12 of 12 items done") for line in lines)
    results = json.loads((tmp_path / "tiny/eval/results.json").read_text())
    words = " ".join(lines).split()
    for method in results["methods"].values():
        for task in method["tasks"].values():
            assert f"{task['nll_per_token']:.3f}" in words  # no number is broken
    plan = [line for line in lines if line.startswith(("          ", "memory", "model"))]
    text = " ".join(" ".join(plan).split())
    assert "activations" in text and "(train.tokens_per_microbatch)" in text  # words are whole


def test_a_dumb_terminal_and_a_pipe_get_plain_lines(trained, tmp_path):
    dumb = Terminal(trained, "eval", "tiny.toml", f"--run.dir={tmp_path / 'a'}", columns=80, term="dumb")
    dumb.finish()
    piped = trained.run("eval", "tiny.toml", f"--run.dir={tmp_path / 'b'}").stdout
    for text in (dumb.bytes.decode(), piped):
        assert "\x1b" not in text and "▕" not in text and "12 of 12 items done" in text
    assert all(len(line) <= 120 for line in piped.splitlines() if "NLL" in line or line.startswith("none"))


def test_programs_read_tables_of_standard_output_alone(trained, tmp_path):
    run = f"--run.dir={tmp_path}"
    done = trained.run("eval", "tiny.toml", run, "--format", "json")
    tables = {table["table"]: table["rows"] for table in json.loads(done.stdout)}
    results = json.loads((tmp_path / "tiny/eval/results.json").read_text())
    for row in tables["held-in NLL/token"]:
        for name, task in results["methods"][row["held-in NLL/token"]]["tasks"].items():
            assert row[name] == round(task["nll_per_token"], 3)
    assert "12 to score" in done.stderr and "next: gaggle generate" in done.stderr
    events = EventAccumulator(str(tmp_path / "tiny/tensorboard/eval/merged"))
    events.Reload()
    assert [event.value for event in events.Scalars("nll_per_token/copy")] == [
        pytest.approx(results["methods"]["merged"]["tasks"]["copy"]["nll_per_token"], rel=1e-6)]
    assert len(events.Scalars("mean/nll_per_token_held_in")) == 1
    first, *_ = trained.run("eval", "tiny.toml", run, "--format=csv").stdout.split("\n\n")
    assert [row["mean"] for row in csv.DictReader(io.StringIO(first))] == [f"{row['mean']:.3f}" for row in tables["held-in NLL/token"]]
    listed = trained.run("registry", "ls", "--registry", "registry", "--format", "markdown").stdout.splitlines()
    assert listed[0].startswith("| expert | version |") and listed[1].startswith("|---|") and len(listed) == 6
    assert "at the experts' common start" in trained.run("align", "runs/tiny").stdout
    wrong = trained.run("registry", "ls", "--registry", "registry", "--format", "xml", expect=2).stderr
    assert "--format" in wrong and "markdown" in wrong
