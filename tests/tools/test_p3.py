"""tools/tasks.py p3 and flan: rows through templates in promptsource's form, and rows that are rendered already."""
import gzip
import json

import pytest

jinja2 = pytest.importorskip("jinja2")
pytest.importorskip("yaml")

RTE = '''dataset: super_glue
subset: rte
templates:
  aaaa: !Template
    answer_choices: Yes ||| No
    id: aaaa
    jinja: "{{premise}}\\n\\nQuestion: {{hypothesis}} Yes or no? ||| {% if label != -1 %}{{ answer_choices[label] }}{% endif %}"
    metadata: !TemplateMetadata
      choices_in_prompt: true
      metrics:
      - Accuracy
      original_task: true
    name: yes or no
    reference: ''
  bbbb: !Template
    answer_choices: null
    id: bbbb
    jinja: 'What follows from "{{premise}}"? ||| {% if label == 0 %}{{hypothesis}}{% endif %}'
    metadata: !TemplateMetadata
      original_task: false
    name: "\\u2026write, C1?"
  cccc: !Template
    answer_choices: '{{ ["Yes", "No"] | join("|||") }}'
    jinja: "{{hypothesis}} {{ ['Right', 'True'] | choice }}? ||| {{ answer_choices[label] }}"
    metadata: !TemplateMetadata
      original_task: true
    name: GPT-3 style
'''
ROWS = [{"premise": "a | b", "hypothesis": "h ||| 0", "label": 0}, {"premise": "c", "hypothesis": "h1", "label": 1},
        {"premise": "d", "hypothesis": "h2", "label": -1}]


@pytest.fixture
def rte(tmp_path):
    """Rows of super_glue/rte where --list looks for them, and its templates."""
    (tmp_path / "templates/super_glue/rte").mkdir(parents=True)
    (tmp_path / "templates/super_glue/rte/templates.yaml").write_text(RTE)
    folder = tmp_path / "data/super_glue/rte"
    folder.mkdir(parents=True)
    write_json(folder / "train-00000-of-00001.jsonl", ROWS)
    write_json(folder / "validation.jsonl", ROWS[:2] + [{"premise": "e", "hypothesis": "h3", "label": 1}])
    write_json(folder / "test.jsonl", ROWS[2:])
    return folder


def write_json(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def yaml_of(tmp_path):
    return tmp_path / "templates/super_glue/rte/templates.yaml"


def test_a_task_for_every_template_and_original_ones_only_where_not_for_training(import_tasks, written, names, rte, tmp_path):
    said = import_tasks("p3", rte, "--templates", yaml_of(tmp_path), "--skip-splits", "test")
    assert names() == [f"super_glue_rte+{name}.{end}" for name in ("GPT_3_style", "_write_C1_", "yes_or_no")
                       for end in ("jsonl", "toml")]
    rows, about = written("super_glue_rte+yes_or_no")
    assert rows == [
        {"id": "train:1", "split": "train", "input": "a | b\n\nQuestion: h ||| 0 Yes or no?", "output": "Yes", "choices": ["Yes", "No"]},
        {"id": "train:2", "split": "train", "input": "c\n\nQuestion: h1 Yes or no?", "output": "No", "choices": ["Yes", "No"]},
        {"id": "validation:1", "split": "validation", "input": "a | b\n\nQuestion: h ||| 0 Yes or no?", "output": "Yes",
         "choices": ["Yes", "No"]},
        {"id": "validation:2", "split": "validation", "input": "c\n\nQuestion: h1 Yes or no?", "output": "No", "choices": ["Yes", "No"]},
        {"id": "validation:3", "split": "validation", "input": "e\n\nQuestion: h3 Yes or no?", "output": "No", "choices": ["Yes", "No"]}]
    assert about == {"group": "super_glue_rte", "metric": "accuracy"}
    rows, about = written("super_glue_rte+_write_C1_")
    assert rows == [{"id": "train:1", "split": "train", "input": 'What follows from "a | b"?', "output": "h ||| 0"}]
    assert about == {"group": "super_glue_rte", "metric": "exact_match"}
    assert "left out: 2 that the template is not for" in said


def test_the_same_row_draws_the_same_choice(import_tasks, written, rte, tmp_path):
    write_json(rte / "train-00000-of-00001.jsonl", ROWS[:2] * 20)
    first = [import_tasks("p3", rte, "--templates", yaml_of(tmp_path), "--splits", "train=train") and
             written("super_glue_rte+GPT_3_style")[0] for _ in range(2)]
    assert first[0] == first[1]
    assert {row["input"].split()[-1] for row in first[0]} == {"Right?", "True?"}


def test_round_robin_and_limits(import_tasks, written, rte, tmp_path):
    options = ["p3", rte, "--templates", yaml_of(tmp_path), "--splits", "train=train,test=validation", "--original"]
    import_tasks(*options, "--round-robin")
    ids = {name: [row["id"] for row in written(f"super_glue_rte+{name}")[0]] for name in ("GPT_3_style", "yes_or_no")}
    assert ids == {"GPT_3_style": ["train:1", "train:2", "train:3", "validation:1", "validation:3"],
                   "yes_or_no": ["train:1", "train:2", "validation:2"]}
    assert {row["split"] for row in written("super_glue_rte+yes_or_no")[0]} == {"train", "test"}
    import_tasks(*options, "--limit", 4, "--limit-eval", 2)
    assert [row["split"] for row in written("super_glue_rte+GPT_3_style")[0]] == ["train", "train", "test", "test"]


def test_a_long_field_is_cut_as_p3_cuts_it(import_tasks, written, rte, tmp_path):
    write_json(rte / "train-00000-of-00001.jsonl", [{"premise": "x" * 3000, "hypothesis": "h", "label": 1}])
    import_tasks("p3", rte, "--templates", yaml_of(tmp_path), "--splits", "train=train")
    assert written("super_glue_rte+yes_or_no")[0][0]["input"] == "x" * 2045 + "...\n\nQuestion: h Yes or no?"


def test_one_task_of_all_templates(import_tasks, written, names, probe, rte, tmp_path):
    import_tasks("p3", rte, "--templates", yaml_of(tmp_path), "--splits", "train=train,validation=validation", "--join",
                 "--name", "rte", "--prompt", "{input}\\n>", "--metric", "nll")
    assert names() == ["rte+GPT_3_style.jsonl", "rte+_write_C1_.jsonl", "rte+yes_or_no.jsonl", "rte.toml"]
    assert written("rte")[1] == {"prompt": "{input}\n>", "metric": "nll", "files": [
        {"path": f"rte+{name}.jsonl"} for name in ("GPT_3_style", "yes_or_no", "_write_C1_")]}
    assert [row["id"] for row in written("rte+yes_or_no")[0]][:3] == [
        "train:1/yes or no", "train:2/yes or no", "validation:1/yes or no"]
    assert probe.json("tasks", tmp_path / "out") == [
        {"name": "rte", "metric": "nll", "category": "", "definition": "", "rows": 12}]


def test_a_list_names_datasets_splits_and_templates(import_tasks, written, names, rte, tmp_path, monkeypatch):
    import task_lists
    (tmp_path / "lists.toml").write_text('''[two]
datasets = [{ dataset = "super_glue", subset = "rte", splits = { train = "train", test = "validation" }, skip = ["GPT-3 style"] },
            { dataset = "super_glue", subset = "rte", name = "dealt", splits = {} }]
''')
    monkeypatch.setattr(task_lists, "LISTS", tmp_path / "lists.toml")
    import_tasks("p3", tmp_path / "data", "--templates", tmp_path / "templates", "--list", "two", "--percents", "0/100/0")
    assert [name for name in names() if name.endswith("jsonl")] == [
        "dealt+GPT_3_style.jsonl", "dealt+_write_C1_.jsonl", "dealt+yes_or_no.jsonl",
        "super_glue_rte+_write_C1_.jsonl", "super_glue_rte+yes_or_no.jsonl"]
    assert [row["split"] for row in written("super_glue_rte+yes_or_no")[0]] == ["train", "train", "test", "test", "test"]
    assert {row["split"] for row in written("dealt+yes_or_no")[0]} == {"validation"}


def test_class_numbers_reach_the_templates_as_numbers(import_tasks, written, rte, tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"premise": datasets.Value("string"), "hypothesis": datasets.Value("string"),
                                  "label": datasets.ClassLabel(names=["entailment", "not_entailment"])})
    part = datasets.Dataset.from_list(ROWS[:2], features=features)
    datasets.DatasetDict({"train": part, "validation": part}).save_to_disk(tmp_path / "saved")
    import_tasks("p3", tmp_path / "saved", "--templates", yaml_of(tmp_path), "--splits", "validation=validation")
    saved = written("super_glue_rte+yes_or_no")[0]
    assert [(row["id"], row["output"]) for row in saved] == [("validation:3", "Yes"), ("validation:4", "No")]
    part.to_parquet(tmp_path / "train-00000-of-00001.parquet")
    import_tasks("p3", tmp_path / "train-00000-of-00001.parquet", "--templates", yaml_of(tmp_path))
    assert [row["output"] for row in written("super_glue_rte+yes_or_no")[0]] == ["Yes", "No"]


def write_rendered(folder, rows, split="train"):
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet
    folder.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{split}-00000-of-00001.parquet")


def rendered(text, answer, choices=None):
    return {"inputs": [1], "inputs_pretokenized": f"{text}\n", "targets": [2], "targets_pretokenized": f"\n{answer}"} | (
        {"answer_choices": choices} if choices else {})


def test_rendered_rows(import_tasks, written, names, tmp_path):
    write_rendered(tmp_path / "P3/super_glue_rte_GPT_3_style", [rendered("a?", "True", ["True", "False"]), rendered("b?", "False")])
    write_rendered(tmp_path / "P3/super_glue_rte_GPT_3_style", [rendered("c?", "True", ["True", "False"])], "validation")
    write_rendered(tmp_path / "P3/super_glue_rte_should_assume", [rendered("d?", "No", ["Yes", "No"])], "validation")
    write_rendered(tmp_path / "P3/super_glue_rte_should_assume_score_eval", [rendered("d?", "No")], "validation")
    import_tasks("p3", tmp_path / "P3", "--rendered")
    assert [name for name in names() if name.endswith("jsonl")] == ["super_glue_rte_GPT_3_style.jsonl",
                                                                    "super_glue_rte_should_assume.jsonl"]
    rows, about = written("super_glue_rte_GPT_3_style")
    assert rows == [{"id": "train:1", "split": "train", "input": "a?", "output": "True", "choices": ["True", "False"]},
                    {"id": "train:2", "split": "train", "input": "b?", "output": "False"},
                    {"id": "validation:1", "split": "validation", "input": "c?", "output": "True", "choices": ["True", "False"]}]
    assert about == {"metric": "exact_match"}


def test_rendered_rows_of_a_list_are_parted_into_dataset_and_template(import_tasks, written, names, tmp_path, monkeypatch):
    import task_lists
    (tmp_path / "lists.toml").write_text('''[some]
datasets = [{ dataset = "glue", subset = "mrpc" }, { dataset = "glue", name = "short", splits = { test = "validation" } }]
''')
    monkeypatch.setattr(task_lists, "LISTS", tmp_path / "lists.toml")
    for name in ("glue_mrpc_want", "glue_mrpc_want_2", "glue_one"):
        write_rendered(tmp_path / "P3" / name, [rendered("a?", "x"), rendered("b?", "x")], "validation")
    write_rendered(tmp_path / "P3/imdb_other", [rendered("a?", "x")])
    import_tasks("p3", tmp_path / "P3", "--rendered", "--list", "some", "--join")
    assert names() == ["glue_mrpc+want.jsonl", "glue_mrpc+want_2.jsonl", "glue_mrpc.toml", "short+one.jsonl", "short.toml"]
    assert written("short+one")[0][0] == {"id": "validation:1/glue_one", "split": "test", "input": "a?", "output": "x"}


@pytest.mark.parametrize("damage, arguments, words", [
    ("", ["--skip-splits", "test"], "--templates: name promptsource's templates.yaml"),
    ("a: [", None, "templates.yaml:1: not YAML"),
    ("a: 1", None, 'not a file of templates in promptsource\'s form (it has no "templates")'),
    ("templates: {x: !Template {name: n}}", None, 'a template without "name" or "jinja"'),
    ("templates: {x: !Template {name: n, jinja: '{% if %}'}}", None, 'template "n": not a template that jinja2 reads'),
    ("templates: {x: !Template {name: n, jinja: '{{ label.__class__.__mro__ }} ||| a'}}", None, "of 'int' object is unsafe"),
    ("templates: {x: !Template {name: n, jinja: '{{ label.x.y }} ||| a'}}", None, "left out: 3 rows that the template fails on ('int"),
    ("templates: {x: !Template {name: n, jinja: '{{ text }} ||| a'}}", None,
     'left out: it shows "text", which the rows do not have (they have premise, hypothesis, label)'),
    ("templates: {x: !Template {name: n, jinja: 'no output'}}", None, "no template is for its 3 rows"),
])
def test_mistakes_in_templates(import_tasks, rte, tmp_path, damage, arguments, words):
    yaml_of(tmp_path).write_text(damage)
    said = import_tasks("p3", rte, *(arguments or ["--templates", yaml_of(tmp_path), "--splits", "train=train"]), expect=2)
    assert words in said


def test_mistakes_in_splits_lists_and_names(import_tasks, rte, tmp_path):
    options = ["p3", rte, "--templates", yaml_of(tmp_path)]
    assert "no row of the splits asked for (1 of test, 3 of train, 3 of validation)" in import_tasks(
        *options, "--splits", "test=dev", expect=2)
    assert 'has no template "GPT" to skip (it has GPT-3 style, yes or no, …write, C1?)' in import_tasks(
        *options, "--skip-templates", "GPT", expect=2)
    assert "--list bbh: there is no such list of datasets (there are t0-held-out, t0, t0-held-in, phatgoose-p3-more)" in import_tasks(
        *options, "--list", "bbh", expect=2)
    (rte / "extra.jsonl").write_text("{}")
    assert 'the split "extra" is none of train, validation, test' in import_tasks(*options, expect=2)
    (rte / "extra.jsonl").write_text("[1")
    assert "extra.jsonl:1:3: not JSON" in import_tasks(*options, expect=2)


FLAN = [{"inputs": "q?", "targets": "a", "_task_name": "glue/sst2:2.0.0", "_template_type": "zs_opt", "_task_source": "Flan2021"},
        {"inputs": "e q?", "targets": "b", "_task_name": "glue/sst2:2.0.0", "_template_type": "fs_opt", "_task_source": "Flan2021"},
        {"inputs": " ", "targets": "b", "_task_name": "glue/sst2:2.0.0", "_template_type": "zs_noopt", "_task_source": "Flan2021"},
        {"inputs": "w", "targets": "", "_task_name": "wic", "_template_type": "zs_noopt", "_task_source": "Flan2021"},
        {"inputs": "x", "targets": "y", "_task_name": "wic", "_template_type": "zs_noopt", "_task_source": "Flan2021"}]


def test_flan_zero_shot(import_tasks, written, names, tmp_path):
    lines = "".join(json.dumps({key.lstrip("_"): value for key, value in row.items()}) + "\n" for row in FLAN)
    (tmp_path / "part-0.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    said = import_tasks("flan", tmp_path / "part-0.jsonl.gz", "--percents", "0/100/0")
    assert names() == ["glue_sst2_2.0.0.jsonl", "glue_sst2_2.0.0.toml", "wic.jsonl", "wic.toml"]
    assert written("glue_sst2_2.0.0") == ([{"id": "part-0.jsonl:1", "split": "validation", "input": "q?", "output": "a"}],
                                          {"category": "flan"})
    assert "left out: 1 of other kinds of template, 1 without an input" in said and "left out: 1 without an output" in said
    write_json(tmp_path / "rows.jsonl", FLAN)
    import_tasks("flan", tmp_path / "rows.jsonl", "--kinds", "fs_opt", "--percents", "100/0/0")
    assert written("glue_sst2_2.0.0")[0] == [{"id": "rows:2", "split": "train", "input": "e q?", "output": "b"}]
    assert 'no rows of the task "ai2_arc/ARC-Easy:1.0.0"' in import_tasks("flan", tmp_path / "rows.jsonl", "--list",
                                                                          "phatgoose-flan", expect=2)
    write_json(tmp_path / "rows.jsonl", [FLAN[0] | {"_template_type": "zero"}])
    assert 'row 1: the template_type "zero" is none of zs_opt' in import_tasks("flan", tmp_path / "rows.jsonl", expect=2)
    write_json(tmp_path / "rows.jsonl", [{"inputs": "a"}])
    assert 'row 1: has no field "_task_name" (it has inputs)' in import_tasks("flan", tmp_path / "rows.jsonl", expect=2)
