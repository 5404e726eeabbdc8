#!/usr/bin/env python3
"""Pictures of a report in a real browser, whole and by section, at the widths of a desk and of a phone.

    tools/report/screenshots.py report-demo.html --to pictures              1200 and 400 pixels, light and dark
    tools/report/screenshots.py report-demo.html --to docs/report --only results loss --width 1200 --theme light
"""
import argparse
import io
import pathlib
import shutil
import sys

PLACE = "part => { const at = part.getBoundingClientRect(); return { x: at.x, y: at.y + scrollY, width: at.width, height: at.height }; }"
BROWSERS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]


def browser_path():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or sys.exit(f"no browser here: install one of {', '.join(BROWSERS)}")


def open_page(browser, path, width, theme, height=900):
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme, device_scale_factor=1)
    page.goto(pathlib.Path(path).resolve().as_uri())
    page.evaluate("report.draw_all()")
    page.wait_for_timeout(150)  # Plotly fits its labels in the next frames
    return page


def slug(text):
    return "-".join(text.lower().split())


def keep(raw, path):
    """A section in 128 colours: a third of the bytes."""
    from PIL import Image

    Image.open(io.BytesIO(raw)).convert("RGB").quantize(128).save(path, optimize=True)


def take(page, folder, ending, only):
    """The whole page, and each section; of `only` those whose titles begin so."""
    if not only:
        page.screenshot(full_page=True, path=folder / f"page-{ending}.png")
    page.add_style_tag(content="header, #sections { position: static !important }")
    for section in page.query_selector_all("main section"):
        name = slug(section.query_selector("h2").evaluate("title => title.firstChild.textContent"))
        if not only or any(name.startswith(word) for word in only):
            keep(page.screenshot(full_page=True, clip=section.evaluate(PLACE)), folder / f"{name}-{ending}.png")


def main():
    try:
        import PIL  # noqa: F401
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is missing: .venv/bin/pip install -r tests/requirements.txt, or tools/setup.sh --tests, brings it")

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("--to", type=pathlib.Path, required=True)
    parser.add_argument("--width", type=int, nargs="+", default=[1200, 400])
    parser.add_argument("--theme", nargs="+", default=["light", "dark"])
    parser.add_argument("--only", nargs="+", default=[], help="beginnings of sections' titles")
    parser.add_argument("--subject", type=int, default=0, help="which run of several")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path())
        for width in options.width:
            for theme in options.theme:
                page = open_page(browser, options.report, width, theme)
                if options.subject:
                    page.evaluate("i => { report.open_subject(i); report.draw_all(); }", options.subject)
                    page.wait_for_timeout(150)
                take(page, options.to, f"{width}-{theme}", options.only)
                page.close()
        browser.close()
    print(f"{len(list(options.to.glob('*.png')))} pictures in {options.to}")


if __name__ == "__main__":
    main()
