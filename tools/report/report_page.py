"""The page: one HTML file with plotly.js, the drawing code and the data in it."""
import html
import json
import math
import pathlib

PAGE = pathlib.Path(__file__).resolve().parent / "page"
SCRIPTS = ["base.js", "table.js", "figure.js", "matrix.js", "curves.js", "rows.js", "means.js", "results_table.js", "results.js",
           "losses.js", "gates.js", "routing.js", "texts.js", "frames.js", "alignment.js", "map.js", "skills.js", "timeline.js",
           "work.js", "tiles.js", "main.js"]
MARK = '<meta name="generator" content="gaggle report">'


def finite(value):
    if isinstance(value, dict):
        return {name: finite(of) for name, of in value.items()}
    if isinstance(value, list):
        return [finite(of) for of in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def data_text(value):
    """JSON that no parser of HTML takes for anything else; numbers that are none are missing."""
    write = lambda of: json.dumps(of, ensure_ascii=False, separators=(",", ":"), allow_nan=False)  # noqa: E731
    try:
        text = write(value)
    except ValueError:
        text = write(finite(value))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode("utf-8", "replace").decode()


def page_text(subjects, title):
    import plotly.offline  # not before: what is read is read without it

    names = [html.escape(f"{subject['kind']}: {subject['name']}") for subject in subjects]
    data = [f'<script type="application/json" class="subject" data-name="{name}">{data_text(subject)}</script>'
            for name, subject in zip(names, subjects)]
    fill = {"TITLE": html.escape(title), "GENERATOR": MARK, "STYLE": (PAGE / "page.css").read_text(), "DATA": "\n".join(data),
            "PLOTLY": plotly.offline.get_plotlyjs(), "SCRIPT": "\n".join((PAGE / name).read_text() for name in SCRIPTS)}
    parts = (PAGE / "page.html").read_text().split("@@")
    return "".join(fill[part] if i % 2 else part for i, part in enumerate(parts))
