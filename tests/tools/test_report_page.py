"""gaggle report in a real browser: the numbers of the files, hover, sort, sliders; texts that stay texts; five hundred experts."""
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from report_worlds import HOSTILE, hostile_run, journal_line, many_experts
from workshop import Workshop, write_json, write_lines

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def browser():
    sys.path.insert(0, str(TOOLS / "report"))
    from screenshots import BROWSERS
    sys.path.remove(str(TOOLS / "report"))
    from playwright.sync_api import sync_playwright

    if not (path := next(filter(None, map(shutil.which, BROWSERS)), None)):
        pytest.skip("no Chromium is here (tools/setup.sh --tests installs one)")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path)
        yield browser
        browser.close()


class Page:
    """A report that is open: whatever it complains of or asks the world for is kept."""

    def __init__(self, browser, file, width=1200, theme="light"):
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(Path(file).resolve().as_uri())
        self.names = self.page.evaluate("Array.from({ length: report.count }, (_, i) => subject(i).name)")
        self.open(self.names[0])

    def open(self, name):
        self.page.evaluate("i => { report.open_subject(i); report.draw_all(); }", self.names.index(name))

    def section(self, title):
        return self.page.locator("main section", has=self.page.locator("h2", has_text=title)).first

    def rows(self, table):
        """The texts of a table's cells, without the intervals under them."""
        return table.evaluate("""table => [...table.querySelectorAll('tbody tr')].map(row => [...row.children].map(cell => {
            const copy = cell.cloneNode(true);
            copy.querySelectorAll('.low-high').forEach(part => part.remove());
            return copy.textContent;
        }))""")

    def choose(self, section, words):
        section.locator(".choice button", has_text=words).first.click()

    def check(self):
        assert not self.said and len(self.asked) == 1, (self.said, self.asked)
        assert not self.page.get_by_text("could not be drawn").count()


def report(out, *paths, expect=0):
    done = subprocess.run([sys.executable, TOOLS / "report.py", *paths, "--out", out], capture_output=True, text=True)
    assert done.returncode == expect, done.stderr
    return done


@pytest.fixture(scope="module")
def shop(trained, gaggle, tmp_path_factory):
    """Experts, their evaluation and analysis, a pretrained inventory and its adaptation, and the report of all, by the command."""
    folder = tmp_path_factory.mktemp("reported")
    # Not what other tests have evaluated there.
    of_others = lambda at, names: {"runs": set(names) - {"tiny"}, "runs/tiny": {"eval"} & set(names)}.get(
        os.path.relpath(at, trained.folder), set())
    shutil.copytree(trained.folder, folder, dirs_exist_ok=True, ignore=of_others)
    made = Workshop(folder, gaggle)
    made.run("eval", "tiny.toml", '--eval.methods=["none", "experts", "oracle", "phatgoose"]')
    made.run("analyse", "tiny.toml", '--eval.methods=["phatgoose"]')
    small = ["--run.variant=mhr", "--poly.skills=4", "--poly.heads=2", "--poly.rank=2", "--train.lr=1e-2"]
    made.run("pretrain", "tiny.toml", *small, "--train.steps=12", "--train.validate_every=4", "--alignment.every=4")
    made.run("adapt", "tiny.toml", "--run.variant=adapt", "--adapt.from=tiny-mhr", '--adapt.tasks=["tasks/copy.jsonl", "tasks/vowel.jsonl"]',
             '--adapt.method=["z", "mu"]', "--adapt.shots=4", "--adapt.seeds=2", "--adapt.steps=2")
    said = made.run("report", "runs", "registry", "--out", "all.html").stdout
    assert said.startswith("all.html ") and "4 subjects" in said
    return made


@pytest.fixture(scope="module")
def page(shop, browser):
    page = Page(browser, shop.folder / "all.html")
    yield page
    page.check()


def read(shop, path):
    return json.loads((shop.folder / path).read_text())


def test_every_subject_is_drawn_from_this_file_alone(page):
    assert page.names == ["tiny", "tiny-adapt", "tiny-mhr", "registry"]
    wanted = {"tiny": ["Results", "Loss", "Routing", "Who answers each token", "Gates", "Map of the experts", "Experts",
                       "Gradient alignment at the common start", "Work"],
              "tiny-adapt": ["Few-shot adaptation", "Loss of each adaptation", "Work"],
              "tiny-mhr": ["Loss", "Gradient alignment", "Routing table over training", "Work"],
              "registry": ["Experts", "Inventories", "Collections", "Gates", "Map of the experts", "Work"]}
    for name, titles in wanted.items():
        page.open(name)
        assert page.page.evaluate("[...document.querySelectorAll('main h2')].map(title => title.firstChild.textContent)") == titles
        assert page.page.evaluate("[...figures].every(host => host.querySelector('svg.main-svg').clientWidth > 100)")
        lines = page.page.locator(".lines p").all_inner_texts()
        assert len(lines) == 2 and all(lines), lines
        page.check()


@pytest.mark.parametrize("measure, scale, digits, key", [("right", 100, 1, "score"), ("NLL", 1, 3, "nll_per_token")])
def test_tables_hold_the_numbers_of_results_json(page, shop, measure, scale, digits, key):
    page.open("tiny")
    results, section = read(shop, "runs/tiny/eval/results.json"), page.section("Results")
    page.choose(section, measure)
    rows = page.rows(section.locator("table.results"))
    assert [row[0] for row in rows] == sorted(results["methods"], key=lambda name: name.startswith("expert:"))
    for row in rows:
        values = [results["methods"][row[0]]["tasks"][task][key] for task in results["tasks"]]
        wanted = [sum(values) / len(values), *values]
        assert [cell.replace("★ ", "") for cell in row[1:]] == [f"{scale * value:.{digits}f}" for value in wanted]
    if key == "score":  # Wilson's interval of 0 of 6
        assert section.locator("tr", has_text="none").locator("td").nth(1).locator(".low-high").inner_text() == "0.0 – 39.0"
    else:
        for method, row in results["methods"].items():
            shown = section.locator("tr", has=page.page.locator(f"th[title='{method}']")).locator(".low-high").all_inner_texts()
            wanted = [row["tasks"][task]["nll_interval"] for task in results["tasks"]]
            assert shown[1:] == [f"{low:.3f} – {high:.3f}" for low, high in wanted]
        assert len(results["tasks"]) <= section.locator("td.best").count() < 2 * len(rows)
    section.locator("button", has_text="tasks").last.click()
    assert [row[0] for row in page.rows(section.locator("table.results"))] == ["mean, held-in", *results["tasks"]]


def test_tables_of_experts_and_of_adaptations(page, shop):
    page.open("registry")
    for name, version, _, origin, rank, base, loss, half, learnt, norm in page.rows(page.section("Experts").locator("table")):
        about = read(shop, f"registry/experts/{name}/{version}/expert.json")
        wanted = [about["metrics"][key] for key in ("base_loss", "validation_loss", "half_open_loss", "gated_loss", "gate_norm")]
        assert [base, loss, half, learnt, norm] == [f"{value:.3f}" for value in wanted] and (origin, rank) == ("trained", "4")
    page.open("tiny-adapt")
    results = read(shop, "runs/tiny-adapt/adapt/results.json")
    page.choose(page.section("Few-shot"), "NLL")
    rows = {row[0]: row[2:] for row in page.rows(page.section("Few-shot").locator("table.results"))}
    for line in results["table"]:
        task = list(results["tasks"]).index(line["task"])
        assert rows[f"{line['method']} · {line['shots']} shots"][task] == f"{line['nll_per_token']['median']:.3f}"
    page.section("Few-shot").locator("button.cell").last.click()
    assert page.page.locator("dialog tbody tr").count() == 2 * 2  # methods and seeds
    page.page.keyboard.press("Escape")


def test_a_click_sorts_and_a_click_opens_the_rows(page, shop):
    page.open("tiny")
    section = page.section("Results")
    page.choose(section, "NLL")
    head = section.locator("table.results thead th").nth(2)
    for direction in ("ascending", "descending"):
        head.locator("button").click()
        values = [float(row[2]) for row in page.rows(section.locator("table.results"))]
        assert head.get_attribute("aria-sort") == direction and values == sorted(values, reverse=direction == "descending")
    lines = [json.loads(line) for line in (shop.folder / "runs/tiny/eval/predictions.jsonl").read_text().splitlines()]
    asked = {row["id"]: row for row in map(json.loads, (shop.folder / "tasks/copy.jsonl").read_text().splitlines())}
    section.locator("tr", has_text="phatgoose").locator("button.cell").first.click()
    cards = page.page.locator("dialog .example")
    ids = [line["id"] for line in lines if (line["task"], line["method"]) == ("copy", "phatgoose")]
    assert cards.count() == len(ids) == 6
    text = cards.first.evaluate("card => card.textContent")
    assert asked[ids[0]]["input"] in text and asked[ids[0]]["output"] in text
    answered = cards.first.evaluate("card => [...card.querySelectorAll('dd')].slice(2).map(cell => cell.lastChild.textContent)")
    assert answered == [next(line["prediction"] for line in lines if (line["id"], line["method"]) == (ids[0], method))
                        for method in cards.first.locator("dt").evaluate_all("names => names.slice(2).map(name => name.title)")]
    page.page.keyboard.press("Escape")


def test_the_curve_that_is_pointed_at_comes_to_the_front(page, shop):
    page.open("tiny")
    section = page.section("Loss")
    plot = section.locator(".plot").first
    page.choose(section, "as measured")
    plot.evaluate("plot => plot.scrollIntoView({ block: 'center' })")
    x, y, loss = plot.evaluate("""plot => {
        const { x, y } = plot.data[0], { xaxis, yaxis, _size } = plot._fullLayout, box = plot.getBoundingClientRect();
        return [box.x + _size.l + xaxis.c2p(x[5]), box.y + _size.t + yaxis.c2p(y[5]), y[5]];
    }""")
    tip = page.page.locator("#tip")
    for _ in range(100):  # Plotly looks at the pointer at most every 50 ms
        page.page.mouse.move(x - 3, y - 3)
        page.page.mouse.move(x, y)
        page.page.wait_for_timeout(60)
        if tip.is_visible():
            break
    name = tip.locator("div").first.inner_text()
    lines = [json.loads(line) for line in (shop.folder / f"runs/tiny/items/{name}/metrics.jsonl").read_text().splitlines()]
    assert f"{loss:.4f}" in tip.inner_text() and f"{lines[5]['loss']:.4f}" == f"{loss:.4f}"
    raised = "plot => plot.data[plot.data.length - 2].y.length"
    assert plot.evaluate(raised) == 12 and section.locator(".names li.on").inner_text().startswith(name)
    page.page.mouse.move(5, 5)
    page.page.wait_for_function("() => document.getElementById('tip').hidden")
    other = section.locator(".names li", has_text="vowel")
    other.click()
    assert plot.evaluate(raised) == 12  # pinned
    assert plot.evaluate("plot => plot.data.at(-1).y.length") == 1  # its validation on top
    page.choose(section, "linear")
    page.choose(section, "tokens")
    assert plot.evaluate("plot => [plot._fullLayout.yaxis.type, plot.layout.xaxis.title.text]") == ["linear", "tokens"]


def test_sliders_go_over_training(page, shop):
    page.open("tiny-mhr")
    section = page.section("Gradient alignment")
    lines = [json.loads(line) for line in (shop.folder / "runs/tiny-mhr/alignment/alignment.jsonl").read_text().splitlines()]
    slider, plot = section.locator("input[type=range]").first, section.locator(".plot").first
    for at, line in enumerate(line for line in lines if line["space"] == "skill"):
        slider.evaluate("(slider, at) => { slider.value = at; slider.dispatchEvent(new Event('input')); }", at)
        assert section.locator("output").first.inner_text() == f"step {line['step']}"
        names = plot.evaluate("plot => plot.layout.yaxis.ticktext")
        shown = plot.evaluate("plot => plot.data[0].z")
        pairs = [(a, b) for a in range(4) for b in range(a + 1, 4)]
        tasks = ["copy", "first", "reverse", "vowel"]
        for (a, b), cosine in zip(pairs, line["pair_cosines"], strict=True):
            assert abs(shown[names.index(tasks[a])][names.index(tasks[b])] - cosine) < 0.006
        assert f"{sum(cosine < 0 for cosine in line['pair_cosines'])} of 6 pairs conflict" in section.inner_text()
    routing = page.section("Routing table")
    last = json.loads((shop.folder / "runs/tiny-mhr/routing.jsonl").read_text().splitlines()[-1])
    site = next(iter(last["weights"]))
    table = routing.locator(".plot").nth(1)
    order = table.evaluate("plot => plot.layout.yaxis.ticktext")
    for row, name in zip(table.evaluate("plot => plot.data[0].z"), order):
        assert row == pytest.approx(last["weights"][site][tasks.index(name)], abs=0.003)


def test_a_token_says_who_answered_it_and_who_came_next(page, shop):
    page.open("tiny")
    analysis = read(shop, "runs/tiny/eval/analysis.json")
    task, text = next((task, of["texts"][0]) for task, of in analysis["methods"]["phatgoose"]["tasks"].items())
    section = page.section("Who answers")
    section.locator("select").last.select_option(label=task)
    tokens = section.locator("div.text").first.locator(".token")
    assert tokens.count() == len(text["tokens"])
    tokens.nth(1).scroll_into_view_if_needed()
    tokens.nth(1).focus()
    said = page.page.locator("#tip").inner_text()
    assert f"{analysis['experts'][text['first'][1]]}, weight {text['weight'][1]:.3f}" in said
    assert f"then {analysis['experts'][text['second'][1]]}, weight {text['second_weight'][1]:.3f}" in said
    tokens.nth(1).blur()


def test_parts_of_a_run(shop, tmp_path):
    """A results.json alone and an adaptation's folder, as the page's data have them."""
    report(tmp_path / "page.html", shop.folder / "runs/tiny/eval/results.json", shop.folder / "runs/tiny-adapt/adapt")
    data = re.findall(r'class="subject" data-name="([^"]*)">(.*?)</script>', (tmp_path / "page.html").read_text())
    assert [(name, [section["title"] for section in json.loads(text)["sections"]]) for name, text in data] == [
        ("evaluation: tiny/eval", ["Results", "Work"]), ("adaptation: tiny-adapt/adapt", ["Few-shot adaptation", "Work"])]


def test_an_evaluation_that_runs_shows_what_its_items_say(shop, browser, tmp_path):
    """The numbers of results.json, from the items that it is made of; of a method on a task that is not done there is none."""
    shutil.copytree(shop.folder / "runs/tiny/eval", tmp_path / "eval")
    results = json.loads((tmp_path / "eval/results.json").read_text())
    (tmp_path / "eval/results.json").unlink()
    (tmp_path / "eval/predictions.jsonl").unlink()
    lists = [json.loads(path.read_text())["items"] for path in (tmp_path / "eval/work/jobs").glob("*.json")]
    items = next(of for of in lists if all(" · " in item["name"] for item in of))
    gone = next(item for item in items if item["name"] == "phatgoose · copy")
    (tmp_path / "eval/items" / f"{gone['key']}.json").unlink()
    report(tmp_path / "page.html", tmp_path / "eval")
    page = Page(browser, tmp_path / "page.html")
    section = page.section("Results so far")
    assert f"{len(items) - 1} of {len(items)} items are done" in section.inner_text()
    page.choose(section, "NLL")
    rows = {row[0]: row[1:] for row in page.rows(section.locator("table.results"))}
    assert rows.keys() == results["methods"].keys() - {"oracle"}
    for method, values in rows.items():
        of = [results["methods"][method]["tasks"][task]["nll_per_token"] for task in results["tasks"]]
        shown = [f"{value:.3f}" for value in (sum(of) / len(of), *of)]
        if method == "phatgoose":
            shown[0] = shown[1 + list(results["tasks"]).index("copy")] = "–"
        assert [value.replace("★ ", "") for value in values] == shown
    section.locator("tr", has_text="phatgoose").locator("button.cell").first.click()
    assert page.page.locator("dialog .example").count() == 6
    page.page.keyboard.press("Escape")
    page.check()
    page.page.close()


def test_pictures_of_means_are_of_those_that_there_are(page, shop):
    """Of results with holes: the methods that have a mean, the others by name; no picture where no method has one."""
    page.open("tiny")
    names, means = page.page.evaluate("""() => {
        const section = structuredClone(subject(0).sections.find(of => of.draw === 'results')), host = document.createElement('div');
        const put = cells => {
            section.measures.nll.means.held_in.forEach((_, m, all) => m >= cells && (all[m] = [null, null, null]));
            host.replaceChildren(...picture_of(section, 'nll'));
            document.querySelector('main').append(host);
            show(...host.children);
            return [...host.querySelectorAll('.plot')].map(plot => plot.layout.yaxis.ticktext).concat(host.innerText);
        };
        return [section.methods, [put(2), put(0)]];
    }""")
    without = lambda of: f"Without a mean, as some of their tasks have no such number: {', '.join(of[:-1])} and {of[-1]}."  # noqa: E731
    assert sorted(means[0][0]) == sorted(names[:2]) and without(names[2:]) in means[0][1]
    assert len(means[1]) == 1 and means[1][0].strip() == without(names)


def test_a_map_that_the_page_has_no_room_for_is_named(page):
    page.open("tiny")
    shown = page.page.evaluate("""() => {
        const section = structuredClone(subject(0).sections.find(of => of.draw === 'routing')), host = document.createElement('div');
        section.methods.again = structuredClone(section.methods.phatgoose);
        section.methods.again.maps.fill(null);
        document.querySelector('main').append(host);
        draw.routing(section, host);
        host.after_draw();
        const plots = () => [...host.querySelectorAll('.plot')].filter(plot => !plot.closest('[hidden]')).length, before = plots();
        [...host.querySelectorAll('button')].find(button => button.textContent === 'again').click();
        return [before - plots(), [...host.querySelectorAll('.note')].filter(note => !note.hidden).map(note => note.textContent)];
    }""")
    assert shown == [1, ["The page has no map of this task and method; analysis.json has what there is."]]


def test_ties_are_named_as_ties(page):
    tile = """([names, right]) => result_tiles({methods: names, measures: {score: {means: {all: right.map(of => [of, null, null])}}}})
        .map(([value, words]) => `${value} ${words}`)"""
    said = lambda **right: page.page.evaluate(tile, [list(right), list(right.values())])  # noqa: E731
    assert said(none=0.25, merged=0.5, oracle=0.75) == ["50.0 % right by merged, the best method", "75.0 % right by oracle, which knows the task"]
    assert said(none=0.25, merged=0.3, phatgoose=0.1 + 0.2) == ["30.0 % right by merged and phatgoose alike, the best methods"]
    assert said(a=0, b=0, c=0, d=0, e=0) == ["0.0 % right by a, b, c and 2 more alike, the best methods"]


def test_themes_print_and_a_phone(page, shop, browser):
    page.open("tiny")
    page.page.locator("#theme").click()
    assert page.page.evaluate("[theme(), [...figures][0].layout.font.color]") == ["dark", "#e4e9ee"]
    page.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.page.evaluate("theme()") == "light" and page.page.evaluate("waiting.every(host => host.drawn)")
    page.page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.page.locator("#theme").click()
    phone = Page(browser, shop.folder / "all.html", width=400, theme="dark")
    for name in phone.names:
        phone.open(name)
        assert phone.page.evaluate("document.documentElement.scrollWidth") == 400
    phone.check()
    phone.page.close()


def test_names_and_texts_never_become_markup(browser, tmp_path):
    report(tmp_path / "page.html", hostile_run(tmp_path))
    page = Page(browser, tmp_path / "page.html")
    assert page.page.evaluate("window.hacked") is None
    assert page.page.locator("main :is(img, script, a, b:not(li b), i:not(li i, .legend i))").count() == 0
    assert HOSTILE in page.page.locator("div.text").inner_text()
    assert HOSTILE in page.section("Work").locator("td").first.inner_text()
    ticks = page.page.evaluate("[...document.querySelectorAll('.ytick text')].map(text => text.textContent)")
    assert any(tick.startswith("<b>b</b>") for tick in ticks)
    page.section("Results").locator("button.cell").first.click()
    assert page.page.locator("dialog .example").inner_text().count(HOSTILE) >= 3
    page.check()
    page.page.close()


def test_five_hundred_experts(browser, tmp_path):
    report(tmp_path / "page.html", many_experts(tmp_path, 500))
    assert (tmp_path / "page.html").stat().st_size < 20e6
    page = Page(browser, tmp_path / "page.html")
    page.check()
    # A thread's own time, whoever else works here: of the scripts and layouts of opening the page anew, with all sections.
    tracing = page.page.context.new_cdp_session(page.page)
    tracing.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent():
        return next(of["value"] for of in tracing.send("Performance.getMetrics")["metrics"] if of["name"] == "TaskDuration")
    before = spent()
    page.open("many")
    assert spent() - before < 3
    plots = page.section("Gates").locator(".plot").first.evaluate("plot => plot.data.slice(1).map(({name, x, y}) => [name, x, y])")
    losses = page.page.evaluate("subject(0).sections.find(of => of.draw === 'gates').losses")
    assert [name for name, _, _ in plots] == ["closed (the base alone)", "as learnt", "open (the LoRA alone)"]
    for (_, x, y), column in zip(plots, (1, 3, 4)):
        assert sorted(zip(x, y)) == sorted((row[2], row[column]) for row in losses)
    page.section("Loss").locator("input[type=search]").fill("task499")
    assert page.section("Loss").locator(".names li").all_inner_texts()[0].startswith("task499")
    page.check()
    page.page.close()


def test_empty_partial_and_running_folders_are_drawn(browser, tmp_path):
    """A run that has begun, one whose files are torn, a registry in which workers were lost, stages of a study, clusters."""
    empty, torn, registry = tmp_path / "p" / "empty", tmp_path / "p" / "torn", tmp_path / "p" / "registry"
    empty.mkdir(parents=True)
    (empty / "config.toml").write_text("[run]\nname = 'empty'\n")
    write_lines(torn / "items" / "a" / "metrics.jsonl", [{"phase": "lora", "step": 1, "loss": None},
                                                         {"phase": "lora", "step": 2, "loss": 1.5}])
    with open(torn / "items" / "a" / "metrics.jsonl", "a") as file:
        file.write('{"phase": "lora", "st')
    (torn / "config.toml").write_text("[run]\nname = 'torn")
    for name in ("eval/results.json", "eval/analysis.json", "alignment/alignment.safetensors"):
        (torn / name).parent.mkdir(exist_ok=True)
        (torn / name).write_bytes(b'{"format": 1, "tas')
    write_json(torn / "eval" / "results-odd.json", {"tasks": {"a": 1}, "methods": {"m": 2}})
    write_json(registry / "registry.json", {"format": 2})
    (registry / "experts" / "torn" / "v0001").mkdir(parents=True)
    begin = {"kind": "started", "job": "j", "host": os.uname().nodename, "pid": 1, "start": -1, "utc": "2026-01-01T00:00:00Z",
             "rank": 0, "seconds": 0}
    write_lines(registry / "work" / "journal" / "w1.jsonl", [
        {**begin, "worker": "w1"}, journal_line("taken", "a", "k", 1), journal_line("progress", "a", "", 60)])
    write_lines(registry / "work" / "journal" / "w2.jsonl", [
        {**begin, "worker": "w2"}, journal_line("taken", "c", "m", 80), journal_line("taken", "a", "k", 90), journal_line("committed", "a", "k", 190),
        {"kind": "finished", "seconds": 191}])
    write_json(registry / "work" / "jobs" / "d.json", {"items": [{"key": "k", "name": "a"}, {"key": "l", "name": "b"}, {"key": "m", "name": "c"}]})
    write_json(registry / "aside" / "l.json", {"key": "l", "name": "b", "reason": "five steps running were not finite"})
    write_json(registry / "collections" / "odd" / "v0001" / "collection.json", [])
    (registry / "collections" / "odd" / "CURRENT").write_text("v0001\n")
    write_json(tmp_path / "p" / "study" / "stages" / "pool-10.json", {"key": "k", "seconds": 90.5, "code": 3, "commit": "abc"})
    (tmp_path / "p" / "groups").mkdir()
    (tmp_path / "p" / "groups" / "groups-1.toml").write_text('files = [{ path = "../tasks/copy.jsonl" }, { path = "../tasks/first.jsonl" }]')
    report(tmp_path / "page.html", tmp_path / "p")
    page = Page(browser, tmp_path / "page.html")
    assert page.names == ["study", "empty", "torn", "registry", "groups"]
    assert page.rows(page.section("Stages").locator("table")) == [["pool-10", "done, some set aside", "90.500", "abc"]]
    page.open("groups")
    assert page.rows(page.section("Groups").locator("table")) == [["groups-1", "2", "copy, first"]]
    page.open("empty")
    assert "nothing to draw yet" in page.page.locator("main").inner_text()
    page.open("torn")
    assert page.section("Loss").locator(".names li").all_inner_texts() == ["a\n1.500"]
    assert "not in the form that gaggle writes" in page.section("result sections").inner_text()
    page.open("registry")
    work = page.section("Work").inner_text()
    assert "1 of 3 items done, 1 taken up again, 1 lost with their worker, 1 set aside" in work
    assert "five steps running were not finite" in work
    plot = page.section("Work").locator(".plot").first
    shown = plot.evaluate("plot => Object.fromEntries(plot.data.map(trace => [trace.name, trace.y]))")
    assert shown == {"done": [1], "worker was lost": [0], "taken by another": [1], "taken up again": [1], "last word of a lost worker": [0]}
    assert "cannot be read" in page.section("Experts").inner_text()
    page.check()
    page.page.close()


def test_a_number_that_is_none_is_missing(tmp_path):
    sys.path.insert(0, str(TOOLS / "report"))
    from report_page import data_text

    assert json.loads(data_text({"a": [1.5, math.nan], "b": math.inf})) == {"a": [1.5, None], "b": None}


def test_a_project_that_was_copied_finds_its_registry_and_tasks(tmp_path):
    sys.path.insert(0, str(TOOLS / "report"))
    from report_config import config_of

    run, registry, tasks = (tmp_path / "moved" / name for name in ("runs/tiny", "registry", "tasks"))
    for folder in (run, registry, tasks):
        folder.mkdir(parents=True)
    (run / "config.toml").write_text('[run]\ndir = "/scratch/mine/runs"\n[registry]\npath = "/scratch/mine/registry"\n'
                                     '[data]\ntasks = ["/scratch/mine/tasks", "/scratch/gone"]\n')
    config = config_of(run)
    assert Path(config["registry"]["path"]).samefile(registry)
    assert Path(config["data"]["tasks"][0]).samefile(tasks) and config["data"]["tasks"][1] == "/scratch/gone"


def test_mistakes_are_named(tmp_path):
    (tmp_path / "mine.html").write_text("<p>mine")
    (tmp_path / "empty").mkdir()
    assert "no such file or folder" in report(tmp_path / "x.html", tmp_path / "gone", expect=2).stderr
    assert "nothing here that gaggle wrote" in report(tmp_path / "x.html", tmp_path / "empty", expect=2).stderr
    assert "no report of gaggle's" in report(tmp_path / "mine.html", tmp_path,
                                             expect=2).stderr and (tmp_path / "mine.html").read_text() == "<p>mine"
    # An installation without a .venv, and a python3 that has no packages.
    shutil.copytree(TOOLS / "report", tmp_path / "tools" / "report")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin" / "python3").chmod(0o755)
    done = subprocess.run(["bash", tmp_path / "tools/report/run.sh", "x"],
                          env=os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}, capture_output=True, text=True)
    assert done.returncode == 2 and "-m pip install -r" in done.stderr
