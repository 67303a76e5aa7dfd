"""The blocks of code of a page in Markdown.

| on the page | what it is |
| --- | --- |
| a fence `python` | runs, after those before it on the page, in an empty folder |
| a fence `sh`, or none | commands; `tsssl-fast` is parsed, and run below `<!-- run -->` |
| `<!-- setup` to `-->` | Python that is not shown and runs before what follows |
| a fence `text`, `yaml`, `cpp` | shown |
"""

import re
from dataclasses import dataclass
from pathlib import Path

KINDS = ("python", "sh", "text", "yaml", "cpp", "setup")
FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>```+)(?P<kind>[^\n`]*)\n(?P<code>.*?)^(?P=indent)(?P=ticks)$"
    r"|^<!-- setup\n(?P<hidden>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """path:line of its first line of code; kind: of KINDS; run: `<!-- run -->` stands before."""

    path: Path
    line: int
    kind: str
    code: str
    run: bool = False

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"

    def commands(self) -> list[str]:
        """The commands of a block `sh`: lines that go on are joined, `&&` and `|` part them."""
        lines = re.sub(r"\s*\\\n\s*", " ", self.code).splitlines()
        bare = (re.sub(r"(^|\s)#.*", "", line) for line in lines)
        parts = (part.strip() for line in bare for part in re.split(r" && | \| ", line))
        return [part for part in parts if part]


def blocks(path: Path) -> list[Block]:
    """In the order of the page. Raises ValueError for a fence of another kind."""
    text = path.read_text()
    found = []
    for match in FENCE.finditer(text):
        hidden = match["hidden"] is not None
        kind = "setup" if hidden else match["kind"].strip() or "sh"
        if kind not in KINDS:
            line = text.count("\n", 0, match.start()) + 1
            raise ValueError(f"{path}:{line}: a fence of kind {kind!r}; accepted: {KINDS}")
        code = match["hidden"] if hidden else re.sub(f"(?m)^{match['indent']}", "", match["code"])
        line = text.count("\n", 0, match.start("hidden" if hidden else "code")) + 1
        run = text[: match.start()].rstrip().endswith("<!-- run -->")
        found.append(Block(path, line, kind, code, run))
    return found
