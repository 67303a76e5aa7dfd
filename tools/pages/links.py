"""Links of pages in Markdown to files of the repository and to headings in them."""

import re
from pathlib import Path

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^ *```.*?^ *```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+?)(?: \{ #(\S+) \})?$", re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Of the headings of a page, as MkDocs and the usual forges make them."""
    found = set()
    for title, given in HEADING.findall(re.sub(r"(?ms)^ *```.*?^ *```$", "", path.read_text())):
        text = re.sub(r"[^\w\- ]", "", title.lower())
        found.add(given or re.sub(r" +", "-", text.strip()))
    return found


def broken(path: Path) -> list[str]:
    """The links of a page that lead nowhere. Those of other hosts are left out."""
    wrong = []
    for target in LINK.findall(CODE.sub("", path.read_text())):
        file, _, anchor = target.partition("#")
        if "://" in file:
            continue
        there = (path.parent / file).resolve() if file else path
        if there.is_dir():
            there = there / "README.md"
        if not there.exists():
            wrong.append(f"{path}: {target}: no such file")
        elif anchor and there.suffix == ".md" and anchor not in anchors(there):
            wrong.append(f"{path}: {target}: no such heading")
    return wrong
