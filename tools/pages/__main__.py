"""Runs the blocks of README.md and docs/: `python tools/pages [PAGE ...] [--times]`.

Exit status 1 where one fails. Each page starts with an empty namespace in an empty folder.
"""

import argparse
import contextlib
import io
import os
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pages.blocks import Block, blocks
from pages.hook import DOCS, INCLUDE, ROOT
from tsssl_fast import cli


def pages() -> list[Path]:
    """README.md, those of docs/, and what they include."""
    shown = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    more = [ROOT / path for page in shown for path in INCLUDE.findall(page.read_text())]
    return list(dict.fromkeys([*shown, *more]))


def failures(page: Path) -> Iterator[str]:
    """Runs a page; what failed, with its place. After a block that failed the rest is left out."""
    names: dict[str, Any] = {"__name__": f"page {page.name}"}
    with contextlib.chdir(tempfile.mkdtemp(prefix="page")):
        for block in blocks(page):
            try:
                _run(block, names)
            except BaseException:  # SystemExit of a command, too
                yield f"{block.place}\n{traceback.format_exc(limit=-3)}"
                return


def _run(block: Block, names: dict[str, Any]) -> None:
    if block.kind in ("python", "setup"):
        exec(compile("\n" * (block.line - 1) + block.code, str(block.path), "exec"), names)
    elif block.kind == "sh":
        for command in block.commands():
            _command(command, block.run)


def _command(command: str, run: bool) -> None:
    """Raises where an option is not there or a file is missing; runs it where asked for."""
    words = shlex.split(command)
    if "tsssl-fast" in words[:1]:
        _parse(words[1:])
        if run and (status := cli.run(words[1:])):
            raise RuntimeError(f"{command}: status {status}")
    for word in words:
        if word.startswith(("benchmarks/", "examples/", "tests/", "tools/")) and ":" not in word:
            name = word.partition("::")[0]
            if not (ROOT / name).exists() and "*" not in name and "MACHINE" not in name:
                raise FileNotFoundError(f"{command}: {name}")


def _parse(arguments: list[str]) -> None:
    """As the command line reads them, without running the command."""
    import typer

    from tsssl_fast.cli.inspecting import app

    root: Any = typer.main.get_command(app)
    if arguments and not arguments[0].startswith("-"):
        command = root.commands[arguments[0]]
        if "--help" not in arguments:
            command.make_context(arguments[0], arguments[1:], parent=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", type=lambda p: Path(p).resolve())
    parser.add_argument("--times", action="store_true", help="seconds of each page")
    given = parser.parse_args()
    failed = []
    os.environ.setdefault("MPLBACKEND", "agg")
    for page in given.pages or pages():
        start, said = time.perf_counter(), io.StringIO()
        torch.manual_seed(0)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            found = list(failures(page))
        failed += found
        if given.times or found:
            name = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
            print(f"{time.perf_counter() - start:6.1f} s  {name}", flush=True)
        if found:
            print(said.getvalue()[-2000:], *found, sep="\n", flush=True)
    sys.exit(f"{len(failed)} blocks failed" if failed else 0)


if __name__ == "__main__":
    main()
