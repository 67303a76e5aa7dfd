"""Lines of code, without blank lines, comments and docstrings.

    python tools/count_lines.py                       of this tree, per folder and in total
    python tools/count_lines.py --revision 78e2e36    of a revision of the repository
    python tools/count_lines.py --long                functions over 60 lines, files over 400

Counted are tsssl_fast, csrc, setup.py and tools: Python from the syntax tree, C++ with comments
stripped. A line counts where a token of code stands on it.
"""

import argparse
import ast
import io
import re
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COUNTED = ("tsssl_fast", "csrc", "setup.py", "tools")
FUNCTION_LINES, FILE_LINES = 60, 400
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# A string or character, which may hold what looks like a comment; else a comment.
CPP = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|(//[^\n]*|/\*.*?\*/)', re.DOTALL)


def code_lines(text: str) -> set[int]:
    """Numbers of the lines with a token of code, docstrings left out; of Python."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            documented |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            found |= set(range(token.start[0], token.end[0] + 1))
    return found - documented


def python_lines(text: str) -> int:
    return len(code_lines(text))


def cpp_lines(text: str) -> int:
    def blank(match: re.Match[str]) -> str:
        return "\n" * match.group().count("\n") if match.group(1) else match.group()

    return sum(1 for line in CPP.sub(blank, text).splitlines() if line.strip())


def functions(text: str) -> Iterator[tuple[int, str]]:
    """(own lines of code, name) of every Python function: without its signature."""
    lines = code_lines(text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            end = node.end_lineno or node.lineno
            yield len(lines & set(range(node.body[0].lineno, end + 1))), node.name


def sources(revision: str | None) -> Iterator[tuple[str, str]]:
    """(path, text) of every counted file, of the working tree or a revision."""
    if revision is None:
        for name in COUNTED:
            top = ROOT / name
            for path in sorted(top.rglob("*")) if top.is_dir() else (top,):
                if path.suffix in (".py", ".cpp", ".h") and path.is_file():
                    yield str(path.relative_to(ROOT)), path.read_text()
        return

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    for path in git("ls-tree", "-r", "--name-only", revision, "--", *COUNTED).splitlines():
        if path.endswith((".py", ".cpp", ".h")):
            yield path, git("show", f"{revision}:{path}")


def count(path: str, text: str) -> int:
    return python_lines(text) if path.endswith(".py") else cpp_lines(text)


def folder(path: str) -> str:
    """The part of the tree that a file is told with: of `ops` the family, else the top two."""
    parts = path.split("/")[:-1]
    return "/".join(parts[: 3 if parts[1:2] == ["ops"] else 2]) or path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--revision", help="a revision of git instead of the working tree")
    parser.add_argument("--long", action="store_true", help="long functions and files instead")
    given = parser.parse_args()
    files = dict(sources(given.revision))
    if given.long:
        for path, text in files.items():
            if (lines := text.count("\n")) > FILE_LINES:
                print(f"{lines:>5} lines, {count(path, text):>4} of code  {path}")
            for own, name in functions(text) if path.endswith(".py") else ():
                if own > FUNCTION_LINES:
                    print(f"{own:>5} lines of code of its own  {path}: {name}")
        return
    totals: Counter[str] = Counter()
    for path, text in files.items():
        totals[folder(path)] += count(path, text)
    for name, lines in sorted(totals.items()):
        print(f"{lines:>6}  {name}")
    print(f"{totals.total():>6}  total")


if __name__ == "__main__":
    main()
