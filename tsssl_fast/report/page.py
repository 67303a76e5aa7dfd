"""A page of HTML in one file: tables, and pictures inside it, without a link to anywhere."""

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

from tsssl_fast.report import plots

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ccc; }}
th:first-child, td:first-child {{ text-align: left; }}
img {{ max-width: 100%; }}
</style></head><body>
{body}
</body></html>
"""


def whole(title: str, parts: Sequence[str]) -> str:
    """The page; parts are HTML, the title is text."""
    return PAGE.format(title=html.escape(title), body="\n".join(parts))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are text."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f"<table>\n{line(head, 'th')}\n{body}\n</table>"


def image(name: str, figure: Any) -> str:
    """A figure of matplotlib as a PNG in the page."""
    buffer = io.BytesIO()
    plots.quietly(figure.savefig, buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(name)}" src="data:image/png;base64,{data}">'
