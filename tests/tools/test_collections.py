"""tools/tasks.py on the files of Super-NaturalInstructions, BIG-bench, CrossFit and MMLU."""
import json

import pytest


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")


def superni(path, name, count, category="Title Generation"):
    write(path / "tasks" / f"{name}.json", {
        "Definition": ["Do this."], "Categories": [category],
        "Instances": [{"id": f"{name}-{i}", "input": f"i{i}", "output": [f"o{i}", "p"]} for i in range(count)]})


@pytest.fixture
def instructions(tmp_path):
    for name, count, category in [("task1_a", 3, "Title Generation"), ("task2_b", 104, "Word Analogy"), ("task3_c", 2, "Title Generation"),
                                  ("task4_d", 2, "Translation")]:
        superni(tmp_path, name, count, category)
    write(tmp_path / "splits/train_tasks.txt", "task1_a\n\ntask3_c\n")
    write(tmp_path / "splits/test_tasks.txt", "task2_b\n")
    return tmp_path


def test_superni_official_split(import_tasks, written, names, instructions):
    import_tasks("superni", instructions / "tasks", "--official", instructions / "splits", "--limit", 2, "--percents", "0/100/0")
    assert names() == [f"{name}.{end}" for name in ("test/task2_b", "train/task1_a", "train/task3_c") for end in ("jsonl", "toml")]
    rows, about = written("train/task3_c")
    assert rows == [{"id": f"task3_c-{i}", "split": "validation", "input": f"i{i}", "output": f"o{i}"} for i in range(2)]
    assert about == {"definition": "Do this.", "category": "Title Generation"}
    assert len(written("train/task1_a")[0]) == 2
    rows, _ = written("test/task2_b")
    assert [row["split"] for row in rows] == ["test"] * 100 + ["train"] * 2
    assert [row["id"] for row in rows[:100]] == [f"task2_b-{i}" for i in range(100)]
    assert {row["id"] for row in rows[100:]} < {f"task2_b-{i}" for i in range(100, 104)}


def test_superni_by_category(import_tasks, written, names, instructions):
    import_tasks("superni", instructions / "tasks", "--official", instructions / "splits", "--join-categories")
    assert [name for name in names() if name.endswith("toml")] == ["test/Word_Analogy.toml", "train/Title_Generation.toml"]
    assert written("train/Title_Generation") == (None, {
        "category": "Title Generation", "files": [{"path": "task1_a.jsonl"}, {"path": "task3_c.jsonl"}]})
    assert written("train/task3_c")[0][0]["input"] == "Do this.\n\ni0"
    assert written("train/task3_c")[0][0]["id"] == "task3_c:task3_c-0"


def test_superni_mistakes(import_tasks, instructions):
    write(instructions / "splits/test_tasks.txt", "task2_b\ntask9_z\n")
    options = ["superni", instructions / "tasks", "--official", instructions / "splits"]
    assert "test_tasks.txt:2: there is no task9_z.json among the task files" in import_tasks(*options, expect=2)
    write(instructions / "tasks/task3_c.json", {"Instances": [7]})
    write(instructions / "splits/test_tasks.txt", "task2_b\n")
    assert "task3_c.json, instance 1: not an object with fields" in import_tasks(*options, expect=2)


EXAMPLES = [{"input": "1", "target_scores": {"b": 1, "a": 0}}, {"input": "2", "target_scores": {"a": 1, "b": 0}}]


@pytest.fixture
def bigbench(tmp_path, import_tasks, monkeypatch):
    import task_lists
    (tmp_path / "lists.toml").write_text('[few]\ntasks = ["plain", "parts", "hard"]\n[few.choices]\nhard = ["True", "False"]\n')
    monkeypatch.setattr(task_lists, "LISTS", tmp_path / "lists.toml")
    write(tmp_path / "big/plain/task.json", {"task_prefix": "P. ", "examples": EXAMPLES})
    for part in ("five", "three"):
        write(tmp_path / f"big/parts/{part}/task.json", {"example_input_prefix": "\nIn: ", "choice_prefix": "\n- ", "examples": EXAMPLES,
                                                         "example_output_prefix": "\nOut: "})
    write(tmp_path / "big/other/task.json", {"examples": EXAMPLES})
    write(tmp_path / "bbh/hard.json", {"examples": [{"input": "not True is", "target": "False"}]})
    return ["bigbench", tmp_path / "big", tmp_path / "bbh", "--list", "few", "--percents", "0/0/100"]


def test_bigbench_lists(import_tasks, written, names, bigbench):
    import_tasks(*bigbench, "--prompt", "{input}\\nAnswer:")
    assert names() == ["hard.jsonl", "hard.toml", "parts+five.jsonl", "parts+three.jsonl", "parts.toml", "plain.jsonl", "plain.toml"]
    assert written("plain") == (
        [{"id": "1", "split": "test", "input": "P. 1", "output": "b", "choices": ["b", "a"]},
         {"id": "2", "split": "test", "input": "P. 2", "output": "a", "choices": ["a", "b"]}],
        {"metric": "accuracy", "prompt": "{input}\nAnswer:"})
    assert written("parts")[1] == {"prompt": "{input}\nAnswer:",
                                   "files": [{"path": "parts+five.jsonl"}, {"path": "parts+three.jsonl"}]}
    assert [row["id"] for row in written("parts+three")[0]] == ["three:1", "three:2"]
    assert written("hard")[0] == [{"id": "1", "split": "test", "input": "not True is", "output": "False", "choices": ["True", "False"]}]


def test_bigbench_as_its_programs_show_it(import_tasks, written, bigbench):
    import_tasks(*bigbench, "--as-shown")
    assert written("plain")[0][0]["input"] == "P. \nQ: 1\n  choice: a\n  choice: b\nA:"
    assert written("parts+five")[0][1]["input"] == "In: 2\n- a\n- b\nOut:"
    assert written("hard")[0][0]["input"] == "not True is", "BIG-Bench-Hard's file is a whole input"


def test_bigbench_mistakes(import_tasks, bigbench, tmp_path):
    write(tmp_path / "bbh/hard.json", {"examples": [{"input": "x", "target": "Maybe"}]})
    assert 'hard.json, example 1: the target "Maybe" is none of True, False' in import_tasks(*bigbench, expect=2)
    (tmp_path / "bbh/hard.json").unlink()
    assert "bbh: no hard/task.json nor hard.json" in import_tasks(*bigbench, expect=2)
    write(tmp_path / "big/b/five/task.json", {"examples": EXAMPLES})
    assert "five: two tasks of this name; the second would be written over the first" in import_tasks(
        "bigbench", tmp_path / "big", expect=2)


def test_the_lists_are_those_of_the_papers(import_tasks):
    from task_lists import named_list
    counts = {"t0-held-in": 36, "t0-held-out": 11, "phatgoose-p3-more": 7}
    assert {name: len(named_list(name, "datasets")["datasets"]) for name in counts} == counts
    counts = {"phatgoose-flan": 48, "bbh": 22, "bbl": 17}
    assert {name: len(set(named_list(name, "tasks")["tasks"])) for name in counts} == counts


@pytest.fixture
def crossfit(tmp_path):
    write(tmp_path / "split.json", {"train": ["a"], "dev": [], "test": ["glue-b"]})
    for shots in ("16_13", "16_21"):
        write(tmp_path / f"data/a/a_{shots}_train.tsv", f"in {shots}\tout\tother\n\nx\ty\r\n")
        write(tmp_path / f"data/a/a_{shots}_dev.tsv", "d\te\n")
        write(tmp_path / f"data/a/a_{shots}_test.tsv", "t\tu\n")
        for part in ("train", "dev", "test"):
            write(tmp_path / f"data/glue-b/glue-b_{shots}_{part}.tsv", f"{part} {shots}\tz\n")
    return ["crossfit", tmp_path / "data", "--split-file", tmp_path / "split.json"]


def test_crossfit(import_tasks, written, names, crossfit):
    import_tasks(*crossfit)
    assert names() == [f"{name}.{end}" for name in ("test/glue-b+16_13", "test/glue-b+16_21", "train/a") for end in ("jsonl", "toml")]
    rows, about = written("train/a")
    assert rows == [{"id": "16_13_train_1", "split": "train", "input": "in 16_13", "output": "out"},
                    {"id": "16_13_train_3", "split": "train", "input": "x", "output": "y"},
                    {"id": "16_13_dev_1", "split": "validation", "input": "d", "output": "e"},
                    {"id": "16_21_train_1", "split": "train", "input": "in 16_21", "output": "out"},
                    {"id": "16_21_train_3", "split": "train", "input": "x", "output": "y"},
                    {"id": "16_21_dev_1", "split": "validation", "input": "d", "output": "e"}]
    assert about == {"definition": "[a]"}
    rows, about = written("test/glue-b+16_21")
    assert {row["split"]: row["input"] for row in rows} == {"train": "train 16_21", "validation": "dev 16_21", "test": "test 16_21"}
    assert about == {"definition": "[glue-b]", "group": "glue-b"}


def test_crossfit_mistakes(import_tasks, crossfit, tmp_path):
    write(tmp_path / "data/a/a_16_21_dev.tsv", "d\te\nno tab\n")
    assert "a_16_21_dev.tsv:2: expected an input, a tab and an output" in import_tasks(*crossfit, expect=2)
    write(tmp_path / "data/a/odd.tsv", "d\te\n")
    assert "odd.tsv: expected a_SHOTS_SEED_train.tsv" in import_tasks(*crossfit, expect=2)
    write(tmp_path / "split.json", {"train": ["c"], "dev": [], "test": []})
    assert "c: there is no such folder of a task (of train in" in import_tasks(*crossfit, expect=2)
    write(tmp_path / "split.json", {"train": ["c"]})
    assert "not a split file of CrossFit" in import_tasks(*crossfit, expect=2)


def test_mmlu(import_tasks, written, names, tmp_path):
    write(tmp_path / "test/high_school_maths_test.csv", '"What, ""2"" + 2?\nSay.",1,"2, 3",4,5,C\nLast?,a,b,c,d,A\n')
    write(tmp_path / "dev/high_school_maths_dev.csv", "question,A,B,C,D,answer\nShot?,a,b,c,d,B\n")
    write(tmp_path / "val/law_val.csv", "V?,a,b,c,d,D\n")
    import_tasks("mmlu", tmp_path)
    assert names() == ["high_school_maths.jsonl", "high_school_maths.toml", "law.jsonl", "law.toml"]
    rows, about = written("high_school_maths")
    assert rows == [
        {"id": "train:1", "split": "train", "input": "Shot?\nA. a\nB. b\nC. c\nD. d\nAnswer:", "output": "B", "choices": list("ABCD")},
        {"id": "test:1", "split": "test", "input": 'What, "2" + 2?\nSay.\nA. 1\nB. 2, 3\nC. 4\nD. 5\nAnswer:', "output": "C",
         "choices": list("ABCD")},
        {"id": "test:2", "split": "test", "input": "Last?\nA. a\nB. b\nC. c\nD. d\nAnswer:", "output": "A", "choices": list("ABCD")}]
    assert about == {"definition": "The following are multiple choice questions (with answers) about high school maths.",
                     "category": "mmlu", "metric": "accuracy"}
    assert [row["split"] for row in written("law")[0]] == ["validation"]


@pytest.mark.parametrize("name, text, words", [
    ("law_test.csv", "Q?,a,b,c,d,A\nQ?,a,b,c,A\n", "law_test.csv:2: 5 columns, expected 6: question, A, B, C, D, answer"),
    ("law_test.csv", "Q?,a,b,c,d,E\n", 'law_test.csv:1: the answer "E" is none of A, B, C, D'),
    ("law.csv", "Q?,a,b,c,d,A\n", "law.csv: expected SUBJECT_dev.csv, SUBJECT_val.csv or SUBJECT_test.csv"),
])
def test_mmlu_mistakes(import_tasks, tmp_path, name, text, words):
    write(tmp_path / name, text)
    assert words in import_tasks("mmlu", tmp_path, expect=2)
