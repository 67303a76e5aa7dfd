"""README.md and docs/: links lead somewhere, blocks parse, every public name has its place.

That the blocks run, and that MkDocs builds: `python tools/pages` and `mkdocs build --strict`, a
step of .ci/run.
"""

import inspect
import json
import re
from pathlib import Path

import pytest
from import_graph import ROOT
from pages import blocks, hook, links, markdown

from tsssl_fast import estimators

PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "CODE_OF_CONDUCT.md",
        "examples/README.md",
        "tests/README.md",
        "benchmarks/README.md",
        "benchmarks/data/README.md",
        "benchmarks/experiments/README.md",
    )
]
PAGES += sorted(f for top in ("docs", "tsssl_fast", "csrc") for f in (ROOT / top).rglob("*.md"))
DOCS = [page for page in PAGES if hook.DOCS in page.parents]


def test_links_lead_to_files_and_headings() -> None:
    assert len(PAGES) > 50
    assert [wrong for page in PAGES for wrong in links.broken(page)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 80


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text(
        "# One thing: `x`\n[a](#one-thing-x) [b](#two) [c](b.md) [d](a.md#one-thing-x) `[e](f)`\n"
        "```text\n# No heading\n```\n[g](#no-heading)\n"
    )
    assert [line.split(": ")[1] for line in links.broken(page)] == ["#two", "b.md", "#no-heading"]


@pytest.mark.parametrize("page", [ROOT / "README.md", *DOCS], ids=lambda p: p.name)
def test_blocks_of_python_compile(page: Path) -> None:
    for block in blocks.blocks(page):
        if block.kind in ("python", "setup"):
            compile(block.code, block.place, "exec")


def test_blocks_are_read_as_they_stand(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text(
        "<!-- setup\nx = 1\n-->\n\n<!-- run -->\n```sh\n"
        "tsssl-fast info \\\n    --json  # all\n# no command\ncat a | b && c\n```\n"
    )
    assert [(b.kind, b.code, b.run) for b in blocks.blocks(page)[:1]] == [
        ("setup", "x = 1\n", False)
    ]
    shell = blocks.blocks(page)[-1]
    assert shell.run
    assert shell.commands() == ["tsssl-fast info --json", "cat a", "b", "c"]
    page.write_text("```pyhton\nx\n```\n")
    with pytest.raises(ValueError, match=r"a\.md:1: a fence of kind 'pyhton'"):
        blocks.blocks(page)


def test_every_page_has_its_place_in_the_navigation() -> None:
    named = set(re.findall(r"^ +- (?:.*: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M))
    assert named == {page.relative_to(hook.DOCS).as_posix() for page in DOCS}


def test_the_reference_has_every_public_name() -> None:
    names = json.loads((ROOT / "tests/api.json").read_text())
    modules = {name for name, shown in names.items() if shown == "module"} | {"tsssl_fast"}
    told = {m for page in DOCS for m in hook.REFERENCE.findall(page.read_text())}
    # The same classes as in the module above them, and nothing else.
    again = {"tsssl_fast.compat.lightly.loss", "tsssl_fast.compat.pytorch_metric_learning.losses"}
    assert modules - told == again
    for name in (n for n in names if n.rpartition(".")[0] in again):
        above, _, last = name.rpartition(".")
        assert f"{above.rpartition('.')[0]}.{last}" in names
    shown = hook.reference("tsssl_fast.losses")
    assert "::: tsssl_fast.losses.NTXentLoss\n" in shown
    assert "::: tsssl_fast.losses.NTXentLoss.forward" not in shown


def test_links_of_included_files_lead_to_the_pages_that_include_them() -> None:
    pages = {"csrc/README.md": "tutorials/kernel.md", "docs/results.md": "results.md"}
    text = "[C++](../../csrc/README.md#decisions), [r](../../docs/results.md), [`spec.py`](spec.py)"
    assert hook.linked(text, "tsssl_fast/ops/README.md", "explanation/call.md", pages) == (
        "[C++](../tutorials/kernel.md#decisions), [r](../results.md), `spec.py`"
    )


def test_docstrings_become_markdown() -> None:
    text = (
        "Of :func:`f`: <u_i, v> * 2.\n\n    code * 2\n\nArgs:\n    a, b: (N, D),\n        *two*.\n"
    )
    assert markdown.as_markdown(text).splitlines() == [
        "Of `f`: &lt;u\\_i, v> \\* 2.",
        "",
        "    code * 2",
        "",
        "",
        "**Args:**",
        "",
        "* `a, b`: (N, D),",
        "    \\*two\\*.",
    ]


def test_docstrings_that_a_class_joins_are_on_its_page() -> None:
    docstrings = pytest.importorskip("pages.docstrings", reason="griffe is not installed")
    text = docstrings.joined(ROOT / "tsssl_fast/estimators/encoders.py", "SimCLREncoder")
    assert text == inspect.getdoc(estimators.SimCLREncoder)
    assert "temperature: tau of NT-Xent." in text
    assert docstrings.joined(ROOT / "tsssl_fast/estimators/encoders.py", "Pretraining") is None
