"""The named lists of lists.toml."""

from pathlib import Path

from task_text import Mistake

LISTS = Path(__file__).with_name("lists.toml")


def named_list(name, part):
    """List `name`, whose entries are `part`: "datasets" of p3, "tasks" of the others."""
    import tomllib

    lists = tomllib.loads(LISTS.read_text(encoding="utf-8"))
    fitting = [known for known, about in lists.items() if part in about]
    if name not in fitting:
        raise Mistake(f'--list {name}: there is no such list of {part} (there are {", ".join(fitting)})')
    return lists[name]
