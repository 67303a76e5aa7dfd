"""What depends on paths without a word says so where a path is gone."""

import ast
import fnmatch
from pathlib import Path

import import_graph as imports
import pytest
from gpu_objects import specialisation
from import_graph import PACKAGE, ROOT

tomllib = pytest.importorskip("tomllib", reason="pyproject.toml is read by Python 3.11's tomllib")


def numba_sources() -> tuple[str, ...]:
    """SOURCES of backends/numba/compiling.py, read without importing numba."""
    tree = ast.parse((PACKAGE / "backends/numba/compiling.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SOURCES":
            return ast.literal_eval(node.value)
    raise AssertionError("backends/numba/compiling.py has no SOURCES")


@pytest.mark.parametrize("pattern", numba_sources())
def test_every_pattern_of_numba_sources_matches(pattern: str) -> None:
    assert list(PACKAGE.glob(pattern))


def test_numba_sources_hold_all_that_kernels_are_made_of() -> None:
    """The key of their cache: a module that it lacks could change without a recompilation."""
    graph, files = imports.graph(), imports.modules_of(PACKAGE)
    found = {name for name in graph if ".numba.kernels" in name}
    assert len(found) > 15
    waiting = list(found)
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    keyed = {file for pattern in numba_sources() for file in PACKAGE.glob(pattern)}
    assert sorted(name for name in found if files[name] not in keyed) == []


def test_every_family_with_triton_kernels_has_its_forms_compiled() -> None:
    families = {p.parents[1].name for p in PACKAGE.glob("ops/*/triton/kernels")}
    assert set(specialisation.FAMILIES) == families
    for name in specialisation.FAMILIES:
        assert (ROOT / f"tools/gpu_objects/{name}.py").exists()


def test_every_rule_of_ruff_for_single_files_matches() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    for pattern in rules["per-file-ignores"]:
        assert list(ROOT.glob(pattern)), f"{pattern} matches no file"


def manifest() -> list[tuple[str, str, tuple[str, ...]]]:
    """MANIFEST.in: command, folder ("" for the root), patterns."""
    lines = [line.split() for line in (ROOT / "MANIFEST.in").read_text().splitlines() if line]
    return [
        (command, rest[0], tuple(rest[1:]))
        if command.startswith("recursive")
        else (command, "", tuple(rest))
        for command, *rest in lines
    ]


def files_in(folder: Path) -> list[Path]:
    return [f for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts]


def test_every_pattern_of_the_source_distribution_matches() -> None:
    for command, folder, patterns in manifest():
        for pattern in patterns if command != "global-exclude" else ():
            found = (ROOT / folder).rglob(pattern) if folder else (ROOT / pattern,)
            assert any(f.exists() for f in found), f"{command} {folder} {pattern} matches no file"


@pytest.mark.parametrize(
    "folder",
    ["csrc", "tsssl_fast", "tests", "benchmarks", "tools", "docs", "examples", ".github"],
)
def test_the_source_distribution_holds_what_the_folders_hold(folder: str) -> None:
    lines = manifest()
    rules = [patterns for _, name, patterns in lines if name == folder]
    excluded = [p for command, _, some in lines if command == "global-exclude" for p in some]
    patterns = [p for some in rules for p in some] + (["*.py"] if folder == "tsssl_fast" else [])
    files = files_in(ROOT / folder)
    assert files
    lacking = [
        str(f.relative_to(ROOT))
        for f in files
        if not any(fnmatch.fnmatch(f.name, p) for p in (*patterns, *excluded))
    ]
    assert lacking == []
