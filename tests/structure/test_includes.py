"""The C++ sources: includes go down, and CMakeLists.txt names the files that there are."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from import_graph import ROOT, circles

CSRC = ROOT / "csrc"
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
# A folder includes its own files and those of lower lines.
LEVELS = (
    ("bindings",),
    ("contrastive", "decorrelation", "augment", "masking", "preprocess"),
    ("series", "gemm"),
    ("rng",),
    ("simd",),
    ("runtime",),
    ("include",),
)
LEVEL = {name: depth for depth, names in enumerate(LEVELS) for name in names}


def sources() -> list[Path]:
    return sorted(f for f in CSRC.rglob("*") if f.suffix in (".h", ".cpp"))


def includes() -> Mapping[str, frozenset[str]]:
    """File below csrc -> files that it includes; system headers stand in angle brackets."""
    found = {}
    for file in sources():
        names = INCLUDE.findall(file.read_text())
        paths = [
            CSRC / "include" / n if (CSRC / "include" / n).exists() else CSRC / n for n in names
        ]
        for path in paths:
            assert path.exists(), f"{file} includes {path}, which is not there"
        found[str(file.relative_to(CSRC))] = frozenset(str(p.relative_to(CSRC)) for p in paths)
    return found


def test_no_circle_between_files() -> None:
    graph = includes()
    assert sum(map(len, graph.values())) > 100
    assert circles(graph) == []


def test_no_circle_between_folders_and_levels_go_down() -> None:
    wrong, folders = [], {name: set[str]() for name in LEVEL}
    for name, others in includes().items():
        above = name.split("/")[0]
        for other in others:
            below = other.split("/")[0]
            if above != below:
                folders[above].add(below)
                if LEVEL[above] >= LEVEL[below]:
                    wrong.append(f"{name} includes {other}")
    assert wrong == []
    assert circles({name: frozenset(others) for name, others in folders.items()}) == []


def named_in_cmake() -> set[str]:
    return set(re.findall(r"csrc/[\w/]+\.cpp", (ROOT / "CMakeLists.txt").read_text()))


@pytest.mark.parametrize("name", sorted(named_in_cmake()))
def test_cmake_names_files_that_are_there(name: str) -> None:
    """CMake ignores the properties of files that do not exist."""
    assert (ROOT / name).exists()


def test_cmake_builds_every_source() -> None:
    built = {f"csrc/bindings/{f.name}" for f in (CSRC / "bindings").glob("*.cpp")}
    there = {str(f.relative_to(ROOT)) for f in sources() if f.suffix == ".cpp"}
    assert there - built == named_in_cmake() - built
