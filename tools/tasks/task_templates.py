"""Templates in promptsource's form (templates.yaml, Jinja), rendered with jinja2."""

import collections
import hashlib
import random

from task_readers import needs
from task_text import Mistake, read_text
from task_writing import clean_name

# `fields` are those of a row that it shows.
Template = collections.namedtuple("Template", "name original fields input_and_output choices")

FIELD_CHARS = 2048  # of a field's text, which P3's templates show at most
# Stands for a field's own "|||" while a template is rendered; as long as promptsource's, which counts before the cut.
BAR = "\0" + "bar" * 10 + "\0"


def yaml_loader(path):
    """PyYAML's safe loader, to which promptsource's two tags are plain mappings."""
    yaml = needs("yaml")

    class Loader(yaml.SafeLoader):
        pass

    for tag in ("!Template", "!TemplateMetadata"):
        Loader.add_constructor(tag, lambda loader, node: loader.construct_mapping(node, deep=True))
    try:
        return yaml.load(read_text(path), Loader)
    except yaml.YAMLError as error:
        line = getattr(error, "problem_mark", None)
        raise Mistake(f"{path}{f':{line.line + 1}' if line else ''}: not YAML "
                      f"({getattr(error, 'problem', None) or error})") from None


def drawn(choices, key):
    """promptsource's filter `choice`, but the same for the same row."""
    return random.Random(int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "big")).choice(
        list(choices))


def most_frequent(items):
    counts = collections.Counter(items or []).most_common()
    return [item for item, count in counts if count == counts[0][1]]


def environment():
    """Templates are others' text: they see a row's fields and nothing of Python's."""
    needs("jinja2")
    from jinja2.sandbox import SandboxedEnvironment

    made = SandboxedEnvironment()
    made.globals.update(zip=zip)
    made.filters["most_frequent"] = most_frequent
    # The row's key is among what a template is rendered with.
    from jinja2 import pass_context
    made.filters["choice"] = pass_context(lambda context, choices: drawn(choices, context["drawn_by"]))
    return made


def read_templates(path, skip=()):
    """(dataset's name or None, templates by name) of a templates.yaml."""
    needs("jinja2")
    import jinja2
    import jinja2.meta

    table = yaml_loader(path)
    if not isinstance(table, dict) or not isinstance(table.get("templates"), dict):
        raise Mistake(f'{path}: not a file of templates in promptsource\'s form (it has no "templates")')
    known, templates = environment(), []

    def compiled(text):
        fields.update(jinja2.meta.find_undeclared_variables(known.parse(text)))
        return known.from_string(text)

    for entry in table["templates"].values():
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not isinstance(entry.get("jinja"), str):
            raise Mistake(f'{path}: a template without "name" or "jinja"')
        fields = set()
        try:
            shown = compiled(entry["jinja"].replace("}}", f" | string | truncate({FIELD_CHARS}) }}}}"))
            choices = compiled(entry["answer_choices"]) if entry.get("answer_choices") else None
        except jinja2.TemplateError as error:
            raise Mistake(f'{path}, template "{name}": not a template that jinja2 reads ({error})') from None
        original = bool((entry.get("metadata") or {}).get("original_task"))
        templates.append(Template(name, original, fields - {"answer_choices", *known.globals}, shown, choices))
    missing = set(skip) - {template.name for template in templates}
    if missing:
        raise Mistake(f'{path}: has no template "{sorted(missing)[0]}" to skip (it has '
                      + ", ".join(sorted(t.name for t in templates)) + ")")
    named = [str(part) for part in (table.get("dataset"), table.get("subset")) if part]
    return clean_name("_".join(named)), sorted((t for t in templates if t.name not in skip), key=lambda t: t.name)


def shown_fields(record):
    """P3 renames fields: Jinja's names have no hyphen."""
    return {name.replace("-", "_"): value for name, value in record.items()}


def render(template, record, key):
    """A row's input, output and choices as the template shows them; and why there are none, or "": a template may be for
    some rows only (it says nothing, or not one prompt and one output)."""
    import jinja2

    fields = {name: value.replace("|||", BAR) if isinstance(value, str) else value
              for name, value in shown_fields(record).items()} | {"drawn_by": f"{template.name}\0{key}"}
    try:
        choices = None
        if template.choices:
            choices = [text.strip().replace(BAR, "|||") for text in template.choices.render(**fields).split("|||")]
        parts = template.input_and_output.render(**fields, answer_choices=choices).split("|||")
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        return None, f"that the template fails on ({error})"
    parts = [part.replace(BAR, "|||").strip() for part in parts]
    if len(parts) != 2 or not parts[0] or not parts[1]:
        return None, "that the template is not for"
    return {"input": parts[0], "output": parts[1]} | (with_output(choices, parts[1]) if choices else {}), ""


def with_output(choices, output):
    """The choices, where the output is one of them; else a row without choices."""
    distinct = list(dict.fromkeys(choices))
    return {"choices": distinct} if output in distinct and all(distinct) else {}
