"""A run's config, whose paths are found again where the project has been copied elsewhere since."""
import os

from report_files import read_toml

PATHS = [("registry", "path"), ("data", "tasks"), ("eval", "tasks")]


def config_of(run):
    """config.toml of a run. What is not where it says, but lies as far from the run's folder as it did, is named there."""
    config = read_toml(run / "config.toml")
    runs = (config.get("run") or {}).get("dir")
    if not isinstance(runs, str):
        return config

    def here(path):
        moved = run.absolute().parent / os.path.relpath(path, runs)
        return str(moved) if not os.path.exists(path) and moved.exists() else path

    for section, key in PATHS:
        value = (config.get(section) or {}).get(key)
        if isinstance(value, str):
            config[section][key] = here(value)
        elif isinstance(value, list):
            config[section][key] = [here(path) for path in value if isinstance(path, str)]
    return config
