"""tools/tasks.py on small made files: what it reads, how it deals rows, what it refuses."""
import csv
import json
import subprocess
import sys
import zipfile

import pytest


@pytest.fixture
def tasks(import_tasks):
    return import_tasks


@pytest.fixture
def rows(tmp_path):
    def read(name):
        lines = (tmp_path / "out" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
    return read


def about(tmp_path, name):
    tomllib = pytest.importorskip("tomllib")
    return tomllib.loads((tmp_path / "out" / f"{name}.toml").read_text(encoding="utf-8"))


def make_wheel(tmp_path, files):
    path = tmp_path / "evals.whl"
    with zipfile.ZipFile(path, "w") as package:
        for name, lines in files.items():
            text = "\r\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
            package.writestr(f"evals/registry/data/{name}.jsonl", text)
    return path


def test_the_script_runs_without_any_package(root, tmp_path):
    (tmp_path / "a.json").write_text('[{"input": "x", "output": "y"}]')
    done = subprocess.run([sys.executable, "-S", root / "tools/tasks.py", "json", tmp_path / "a.json", "--out", tmp_path / "out"],
                          capture_output=True, text=True)
    assert done.returncode == 0 and "a.jsonl: " in done.stdout, done.stderr


def test_csv_with_choices_by_number(tasks, rows, tmp_path):
    with open(tmp_path / "quiz.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "gold", "options", "name"])
        writer.writerow(["1 + 1?\nThink.", 1, '["3", "2"]', "q1"])
        writer.writerow(["é?", 0, '["yes", "no"]', "q2"])
    tasks("csv", tmp_path / "quiz.csv", "--input-field", "question", "--output-field", "gold",
          "--choices-field", "options", "--id-field", "name", "--split", "dev")
    assert rows("quiz") == [
        {"id": "q1", "split": "validation", "input": "1 + 1?\nThink.", "output": "2", "choices": ["3", "2"]},
        {"id": "q2", "split": "validation", "input": "é?", "output": "yes", "choices": ["yes", "no"]}]
    assert about(tmp_path, "quiz") == {"metric": "accuracy"}


def test_json_with_template_labels_and_nested_fields(tasks, rows, tmp_path):
    records = [{"q": {"text": "Sky?"}, "c": {"text": ["red", "blue"], "label": ["A", "B"]}, "key": "B", "split": "test"}]
    (tmp_path / "sky.json").write_text(json.dumps(records))
    tasks("json", tmp_path / "sky.json", "--template", "{q.text} {{x}}\\n{choices}", "--output-field", "key",
          "--choices-field", "c", "--definition", 'Say "it".')
    assert rows("sky") == [{"id": "1", "split": "test", "input": "Sky? {x}\nA: red\nB: blue", "output": "blue",
                            "choices": ["red", "blue"]}]
    assert about(tmp_path, "sky") == {"definition": 'Say "it".', "metric": "accuracy"}


def test_json_lines_of_several_files_keep_distinct_ids(tasks, rows, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text('{"input": "x%s", "output": 0}\n\n{"input": "y", "output": 1}\n' % name)
    tasks("json", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--labels", "no,yes", "--name", "both")
    assert [(r["id"], r["output"]) for r in rows("both")] == [("a:1", "no"), ("a:3", "yes"), ("b:1", "no"), ("b:3", "yes")]


def test_parquet(tasks, rows, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet
    table = pyarrow.table({"input": ["a", "b"], "output": ["1", ""], "n": [1, 2]})
    pyarrow.parquet.write_table(table, tmp_path / "p.parquet")
    said = tasks("parquet", tmp_path / "p.parquet", "--split", "train")
    assert "left out: 1 without an output" in said
    assert rows("p") == [{"id": "1", "split": "train", "input": "a", "output": "1"}]


SPLIT_FILES = {"train-00000-of-00001": "train", "test-00000-of-00001": "test", "validation": "validation", "dev_2": "validation",
               "test.extra": "test", "training": "train", "trains": None, "my-train": None}


@pytest.mark.parametrize("name, split", SPLIT_FILES.items())
def test_a_file_named_after_a_split_is_that_split(tasks, rows, tmp_path, name, split):
    (tmp_path / "birds" / "data").mkdir(parents=True)
    path = tmp_path / "birds" / "data" / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"input": f"i{i}", "output": f"o{i}"}) + "\n" for i in range(60)))
    tasks("json", path)
    found = {row["split"] for row in rows("birds" if split else name)}
    assert found == ({split} if split else {"train", "validation", "test"})


def test_folders_are_read_with_the_splits_of_their_files(tasks, rows, tmp_path):
    for name in ("train-0", "test-0"):
        (tmp_path / "data" / "sub").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "sub" / f"{name}.csv").write_text(f"input,output\n{name},x\n")
    (tmp_path / "data" / "README.md").write_text("no rows here")
    tasks("csv", tmp_path / "data", "--name", "all")
    assert [(r["id"], r["split"], r["input"]) for r in rows("all")] == [("test-0:1", "test", "test-0"), ("train-0:1", "train", "train-0")]
    said = tasks("csv", tmp_path / "data", "--name", "all", "--skip-splits", "test")
    assert len(rows("all")) == 1 and "left out: 1 of other splits" in said
    assert "no file ends in .parquet" in tasks("parquet", tmp_path / "data", expect=2)


@pytest.mark.parametrize("command", ["json", "parquet"])
def test_conversations_of_hubs(tasks, rows, tmp_path, command):
    said = [{"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "h"}, {"from": "gpt", "value": "a"}], "tag": 1},
            {"conversations": [{"from": "human", "value": "h"}], "tag": 2},
            {"conversations": [{"from": "human", "value": "h"}, {"from": "tool", "value": "t"}], "tag": 3}]
    if command == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        import pyarrow.parquet
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(said), tmp_path / "chat.parquet")
    else:
        (tmp_path / "chat.json").write_text(json.dumps(said))
    printed = tasks(command, tmp_path / f"chat.{command}")
    assert [row["messages"] for row in rows("chat")] == [[{"role": "system", "content": "s"}, {"role": "user", "content": "h"},
                                                          {"role": "assistant", "content": "a"}]]
    assert "keys passed over: tag (3 rows)" in printed
    assert '1 that do not end with an answer of the assistant, 1 with a message of the role "tool"' in printed


def test_messages_keep_only_role_and_content(tasks, rows, tmp_path):
    said = {"id": 7, "messages": [{"role": "user", "content": "u", "name": "n"}, {"role": "assistant", "content": "a"}]}
    (tmp_path / "chat.jsonl").write_text(json.dumps(said))
    assert "keys passed over: messages.name (1 rows)" in tasks("json", tmp_path / "chat.jsonl")
    assert rows("chat")[0]["messages"] == [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]


def test_answers_that_are_none(tasks, rows, tmp_path):
    """SQuAD's answers are its first text; -1 stands for a hidden label, and no other object is an answer."""
    squad = [{"q": "a", "answers": {"text": ["x", "y"], "answer_start": [0, 1]}}, {"q": "b", "answers": {"text": [], "answer_start": []}}]
    (tmp_path / "squad.json").write_text(json.dumps(squad))
    assert "left out: 1 without an output" in tasks("json", tmp_path / "squad.json", "--input-field", "q", "--output-field", "answers")
    assert [row["output"] for row in rows("squad")] == ["x"]
    (tmp_path / "hidden.json").write_text(json.dumps([{"input": "a", "output": -1}, {"input": "b", "output": 1}]))
    tasks("json", tmp_path / "hidden.json", "--labels", "no,yes")
    assert [row["output"] for row in rows("hidden")] == ["yes"]
    (tmp_path / "odd.json").write_text(json.dumps([{"input": "a", "output": {"gold": "x"}}]))
    assert "row 1: an object where a text belongs; name a part of it" in tasks("json", tmp_path / "odd.json", expect=2)
    tasks("json", tmp_path / "odd.json", "--output-field", "output.gold")
    assert [row["output"] for row in rows("odd")] == ["x"]


def test_hidden_labels_and_one_split_of_a_dict(tasks, rows, tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])})
    part = lambda words, labels: datasets.Dataset.from_dict({"text": words, "label": labels}, features=features)
    parts = {"train": part(["r1", "r2"], [1, 0]), "test": part(["t1"], [-1]), "unsupervised": part(["u"], [0])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "glue")
    fields = ["--input-field", "text", "--output-field", "label"]
    assert '--skip-splits unsupervised leaves its rows out' in tasks("disk", tmp_path / "glue", *fields, expect=2)
    said = tasks("disk", tmp_path / "glue", *fields, "--skip-splits", "unsupervised")
    assert [(r["split"], r["output"]) for r in rows("glue")] == [("train", "good"), ("train", "bad")]
    assert "left out: 1 of other splits, 1 without an output" in said
    tasks("disk", tmp_path / "glue", *fields, "--split", "train", "--skip-splits", "unsupervised")
    assert [r["input"] for r in rows("glue")] == ["r1", "r2"]
    parts["train"].to_parquet(tmp_path / "named.parquet")
    tasks("parquet", tmp_path / "named.parquet", *fields)
    assert [r["output"] for r in rows("named")] == ["good", "bad"], "class names of a hub's Parquet"


def test_names_of_classes_become_choices_and_an_instruction_stands_before_its_input(tasks, rows, tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])})
    datasets.Dataset.from_dict({"text": ["x", "y"], "label": [1, 0]}, features=features).to_parquet(tmp_path / "reviews.parquet")
    fields = ["parquet", tmp_path / "reviews.parquet", "--input-field", "text", "--output-field", "label"]
    tasks(*fields)
    assert [(r["output"], r["choices"]) for r in rows("reviews")] == [("good", ["bad", "good"]), ("bad", ["bad", "good"])]
    assert about(tmp_path, "reviews") == {"metric": "accuracy"}
    tasks(*fields, "--no-choices")
    assert [r["output"] for r in rows("reviews")] == ["good", "bad"] and "choices" not in rows("reviews")[0]
    alpaca = [{"instruction": "Add.", "input": "1 + 1", "output": "2"}, {"instruction": "Greet.", "input": "", "output": "Hi"}]
    (tmp_path / "alpaca.json").write_text(json.dumps(alpaca))
    tasks("json", tmp_path / "alpaca.json")
    assert [row["input"] for row in rows("alpaca")] == ["Add.\n\n1 + 1", "Greet."]
    tasks("json", tmp_path / "alpaca.json", "--input-field", "input")
    assert [row["input"] for row in rows("alpaca")] == ["1 + 1", ""], "the field that was named, alone"


def test_paragraphs_of_plain_text(tasks, rows, tmp_path):
    long = " ".join(f"word{i}" for i in range(300))
    (tmp_path / "tale.txt").write_text(f"Once upon\na time.\n\n\r\n{long}\n\n" + "\n\n".join(f"p {i}" for i in range(90)))
    tasks("text", tmp_path / "tale.txt")
    said = rows("tale")
    assert said[0]["output"] == "Once upon\na time." and {row["input"] for row in said} == {""}
    assert " ".join(row["output"] for row in said[1:4]) == long and all(len(row["output"]) <= 1000 for row in said)
    assert about(tmp_path, "tale") == {"metric": "nll"} and {row["split"] for row in said} == {"train", "validation", "test"}


def test_load_from_disk_with_class_names_and_splits(tasks, rows, tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])})
    part = datasets.Dataset.from_dict({"text": ["x", "y"], "label": [1, 0]}, features=features)
    datasets.DatasetDict({"train": part, "test": part}).save_to_disk(tmp_path / "reviews")
    tasks("disk", tmp_path / "reviews", "--input-field", "text", "--output-field", "label", "--labels", "bad,good")
    assert [(r["split"], r["input"], r["output"]) for r in rows("reviews")] == [
        ("train", "x", "good"), ("train", "y", "bad"), ("test", "x", "good"), ("test", "y", "bad")]
    assert len({r["id"] for r in rows("reviews")}) == 4


def test_superni(tasks, rows, tmp_path):
    task = {"Definition": ["Do\x7f this."], "Categories": ["Question Answering"],
            "Instances": [{"id": "task1-a", "input": "i", "output": ["o", "other"]}]}
    (tmp_path / "task001_x.json").write_text(json.dumps(task))
    tasks("superni", tmp_path)
    assert [(r["id"], r["input"], r["output"]) for r in rows("task001_x")] == [("task1-a", "i", "o")]
    assert about(tmp_path, "task001_x") == {"definition": "Do\x7f this.", "category": "Question Answering"}


def test_bigbench(tasks, rows, tmp_path):
    (tmp_path / "snarks").mkdir()
    task = {"description": "Which?", "keywords": ["humor"], "task_prefix": "Q: ",
            "examples": [{"input": "a or b", "target_scores": {"a": 0, "b": 1}}]}
    (tmp_path / "snarks" / "task.json").write_text(json.dumps(task))
    tasks("bigbench", tmp_path / "snarks", "--percents", "0/0/100")
    assert rows("snarks") == [{"id": "1", "split": "test", "input": "Q: a or b", "output": "b", "choices": ["a", "b"]}]
    assert about(tmp_path, "snarks") == {"definition": "Which?", "category": "humor", "metric": "accuracy"}


def evals_row(text, ideal, system="Judge."):
    return {"input": [{"role": "system", "content": system}, {"role": "user", "content": text}], "ideal": ideal}


def test_evals(tasks, rows, tmp_path):
    wheel = make_wheel(tmp_path, {
        "judge/samples": [evals_row(f"text {i}", str(i % 2)) for i in range(40)],
        "judge/few_shot": [{"sample": []}],
        "mind/tomi/test": [{"input": [{"role": "user", "content": f"u{i}", "name": "x"}], "ideal": [f"o{i}", "p"]}
                           for i in range(12)],
        "plain/samples": [{"input": "text", "ideal": "answer"}]})
    tasks("evals", wheel, "--names", "judge,tomi,plain")
    judged = rows("judge")
    assert judged[3]["messages"] == [*evals_row("text 3", "1")["input"], {"role": "assistant", "content": "1"}]
    assert all(row["choices"] == ["0", "1"] for row in judged) and len(judged) == 40
    assert {row["split"] for row in judged} == {"train", "validation", "test"}
    assert about(tmp_path, "judge") == {"category": "evals", "metric": "accuracy"}
    tomi = rows("tomi")
    assert tomi[1]["input"] == "u1" and tomi[1]["output"] == "o1" and "choices" not in tomi[1]
    assert rows("plain")[0]["output"] == "answer"


def test_evals_deals_alike_whatever_else_is_there(tasks, rows, tmp_path):
    lines = [evals_row(f"text {i}", str(i % 2)) for i in range(200)]
    tasks("evals", make_wheel(tmp_path, {"judge/samples": lines}), "--names", "judge")
    first = {r["messages"][1]["content"]: r["split"] for r in rows("judge")}
    tasks("evals", make_wheel(tmp_path, {"judge/samples": lines[::-1] + lines[:9]}), "--names", "judge")
    assert {r["messages"][1]["content"]: r["split"] for r in rows("judge")} == first
    assert all(first[r["messages"][1]["content"]] == r["split"] for r in rows("judge")), "equal rows, equal split"
    tasks("evals", make_wheel(tmp_path, {"judge/samples": lines}), "--names", "judge", "--split-seed", 1)
    assert {r["messages"][1]["content"]: r["split"] for r in rows("judge")} != first
    assert 140 <= list(first.values()).count("train") <= 180


def test_limit_max_chars_and_no_choices(tasks, rows, tmp_path):
    lines = [evals_row("x" * i, "1") for i in range(1, 51)] + [evals_row("y", "0")]
    wheel = make_wheel(tmp_path, {"judge/samples": lines})
    said = tasks("evals", wheel, "--names", "judge", "--limit", 10, "--max-chars", 30, "--no-choices")
    kept = rows("judge")
    assert len(kept) == 10 and "beyond --limit" in said and "longer than --max-chars" in said
    assert all(len(r["messages"][1]["content"]) <= 22 for r in kept) and "choices" not in kept[0]
    assert [int(r["id"]) for r in kept] == sorted(int(r["id"]) for r in kept), "file order, ids of the file"


@pytest.mark.parametrize("arguments, files, words", [
    (["csv", "none.csv"], {}, "none.csv: cannot be read"),
    (["json", "a.json"], {"a.json": "[{]"}, "a.json:1:3: not JSON"),
    (["json", "a.jsonl"], {"a.jsonl": '{"input": "x", "output": "y"}\n{'}, "a.jsonl:2: not JSON"),
    (["json", "a.json"], {"a.json": '[{"inputs": "x", "output": "y"}]'}, 'row 1: has no field "input" (it has inputs, output)'),
    (["json", "a.json", "--labels", "a,b"], {"a.json": '[{"input": "x", "output": 2}]'}, "the output is choice 2, but there are 2"),
    (["json", "a.json", "--split", "trian"], {"a.json": '[{"input": "x", "output": "y"}]'}, 'the split "trian" is none of'),
    (["json", "a.json"], {"a.json": '[{"input": "x", "output": ""}]'}, "no row is left (1 read, 1 without an output"),
    (["superni", "a.json"], {"a.json": "{}"}, "not a task of Super-NaturalInstructions"),
    (["bigbench", "a.json"], {"a.json": "[]"}, "not a JSON task of BIG-bench"),
    (["evals", "a.whl"], {"a.whl": "no zip"}, "not a zip or wheel"),
])
def test_mistakes_are_sentences(tasks, tmp_path, monkeypatch, arguments, files, words):
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    said = tasks(*arguments, expect=2)
    assert words in said and "Traceback" not in said
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_evals_names_that_are_not_there_or_not_one(tasks, tmp_path):
    line = {"input": "text", "ideal": "answer"}
    wheel = make_wheel(tmp_path, {"judge/a": [line], "judge/b": [line], "odd/samples": [{"question": "q"}]})
    assert 'no task "judgee" (near: judge)' in tasks("evals", wheel, "--names", "judgee", expect=2)
    assert "name one as judge/FILE (a, b)" in tasks("evals", wheel, "--names", "judge", expect=2)
    assert "none of its files has rows" in tasks("evals", wheel, "--names", "odd", expect=2)
    assert "a.jsonl" in tasks("evals", wheel, "--names", "judge/a")


def test_what_it_writes_gaggle_reads(tasks, probe, tmp_path):
    wheel = make_wheel(tmp_path, {"judge/samples": [evals_row(f"text {i}", str(i % 2)) for i in range(40)]})
    tasks("evals", wheel, "--names", "judge")
    assert probe.json("tasks", tmp_path / "out") == [{"name": "judge", "metric": "accuracy", "category": "evals",
                                                      "definition": "", "rows": 40}]
