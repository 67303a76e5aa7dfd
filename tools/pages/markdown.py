"""Docstrings as Markdown: sections (`Args:`, `Raises:`) become lists, indented text stays code."""

import re
from collections.abc import Iterator

ROLE = re.compile(r":(?:func|class|meth|mod):(?=`)")
SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Yields|Example|Examples|Notes?)(: .*|:)")
ENTRY = re.compile(r"(\*{0,2}[\w.]+(?:, (?:and )?\*{0,2}[\w.]+)*): (.*)")


def as_markdown(text: str) -> str:
    return "\n".join(_lines(ROLE.sub("", text).splitlines()))


def _lines(lines: list[str]) -> Iterator[str]:
    inside = code = False
    for number, line in enumerate(lines):
        blank_before = number == 0 or not lines[number - 1].strip()
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            yield line
        elif indent == 0:
            inside = code = False
            if section := SECTION.fullmatch(line):
                inside = section[2] == ":"
                yield f"\n**{section[1]}:**{_plain(section[2][1:])}\n"
            else:
                yield _plain(line)
        elif inside:
            entry = ENTRY.fullmatch(line.strip()) if indent == 4 else None
            if entry:
                yield f"* `{entry[1]}`: {_plain(entry[2])}"
            else:
                yield f"{' ' * (indent - 4)}{_plain(line.strip())}"
        else:
            code = code or (blank_before and indent >= 4)
            yield line if code else _plain(line)


def _plain(line: str) -> str:
    """Formulas have stars, brackets and comparisons, which Markdown and HTML would take."""
    pieces = re.split(r"(`[^`]*`)", line)
    for i in range(0, len(pieces), 2):
        pieces[i] = re.sub(r"([*_\[\]|])", r"\\\1", pieces[i])
        pieces[i] = re.sub(r"<(?=[A-Za-z_/!])", "&lt;", pieces[i])
    return "".join(pieces)
