"""What happens to a page of docs/ before it is rendered: hooks of mkdocs.yml.

`<!-- include: PATH -->` is replaced by that file of the repository without its heading, and
`<!-- reference: tsssl_fast.losses -->` by the module's docstring and every public name of it, from
tests/api.json; `<!-- differences: MODULE -->` by what the module's docstring says after its first
paragraph. A link to a file that a page includes, or is, goes to that page; a link to another
file of the repository becomes its path.
"""

import ast
import json
import os
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pages.markdown import as_markdown

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
INCLUDE = re.compile(r"^<!-- include: (\S+) -->$", re.MULTILINE)
REFERENCE = re.compile(r"^<!-- reference: (\S+) -->$", re.MULTILINE)
DIFFERENCES = re.compile(r"^<!-- differences: (\S+) -->$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    where, pages = page.file.src_uri, included()

    def include(match: re.Match[str]) -> str:
        text = re.sub(r"\A# .*\n", "", (ROOT / match[1]).read_text())
        return linked(text, match[1], where, pages)

    markdown = linked(markdown, f"docs/{where}", where, pages)
    markdown = DIFFERENCES.sub(lambda found: differences(found[1]), INCLUDE.sub(include, markdown))
    return REFERENCE.sub(lambda found: reference(found[1]), markdown)


def included() -> dict[str, str]:
    """File of the repository -> the page of docs/ that includes it, or is it."""
    pages = {}
    for page in sorted(DOCS.rglob("*.md")):
        name = page.relative_to(DOCS).as_posix()
        pages |= {path: name for path in INCLUDE.findall(page.read_text())}
        pages[f"docs/{name}"] = name
    return pages


def linked(text: str, path: str, where: str, pages: dict[str, str]) -> str:
    """The links of a text that stands in the file `path`, as they are on the page `where`."""

    def on_page(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link[2]))
        for name in (target, f"{target}/README.md"):
            if name in pages:
                to = os.path.relpath(pages[name], posixpath.dirname(where) or ".")
                return f"[{link[1]}]({to}{link[3] or ''})"
        return link[1] if link[1].strip("`") in target else f"{link[1]} (`{target}`)"

    return LINK.sub(on_page, text)


def differences(module: str) -> str:
    """The docstring of a module, read without importing it, without its first paragraph."""
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return as_markdown(text.partition("\n\n")[2] or text)


def reference(module: str) -> str:
    """The module's docstring, `::: name` for its functions and classes, and its constants."""
    names = json.loads((ROOT / "tests/api.json").read_text())
    own = [n for n, shown in names.items() if n.rpartition(".")[0] == module and shown != "module"]
    values = [n for n in own if not (names[n].startswith("(") or names[n] in ("class", "callable"))]
    lines = [f"::: {module}\n    options:\n      members: false\n      show_root_heading: false\n"]
    lines += [f"::: {name}\n" for name in own if name not in values]
    if values:
        lines += ["| value | is |", "| --- | --- |"]
        lines += [f"| `{n}` | `{names[n].replace('|', chr(92) + '|')}` |" for n in values]
    return "\n".join(lines) + "\n"
