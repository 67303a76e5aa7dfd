"""Imports go down: no circles between modules or folders, and the levels of the package."""

from pathlib import Path

import import_graph as imports
import pytest

# What stands above imports what stands below; folders and files of one line do not know each other.
LEVELS = (
    ("__main__", "estimators"),
    ("cli",),
    ("info", "report", "training"),
    ("evaluate", "compat", "distributed"),
    ("data", "methods"),
    ("encoders", "losses"),
    ("masking", "preprocess"),
    ("augment", "functional"),
    ("ops",),
    ("backends",),
    ("common",),
    ("_version",),
)
LEVEL = {name: depth for depth, names in enumerate(LEVELS) for name in names}
# The same inside `ops`, and inside a family.
FAMILY_LEVELS = (("masking", "preprocess"), ("augment", "contrastive", "decorrelation"))
FAMILY_LEVEL = {name: depth for depth, names in enumerate(FAMILY_LEVELS) for name in names}
BACKENDS = ("cpp", "numba", "triton", "reference")
ABOVE_BACKENDS = ("spec", "rules")  # what a backend's folder may take from its family's folder


def test_no_circle_between_modules() -> None:
    assert imports.circles(imports.graph()) == []


@pytest.mark.parametrize("folder", sorted(imports.folders(imports.graph())))
def test_no_circle_between_folders(folder: str) -> None:
    """Nor between a folder and the files beside it."""
    assert imports.circles(imports.among(imports.graph(), folder)) == []


def test_imports_go_down_the_levels() -> None:
    wrong = []
    for name, other in imports.pairs(imports.graph()):
        if name == "tsssl_fast":
            continue  # reaches everything, lazily
        above, below = (part.split(".")[1] for part in (name, f"{other}.tsssl_fast"))
        if other == "tsssl_fast":
            assert above == "cli", f"{name} imports tsssl_fast itself"
        elif above != below and LEVEL[above] >= LEVEL[below]:
            wrong.append(f"{name} imports {other}")
    assert wrong == []


def test_every_folder_and_file_has_a_level() -> None:
    names = {name.split(".")[1] for name in imports.graph() if "." in name}
    assert names <= set(LEVEL)


def test_families_go_down_their_levels() -> None:
    wrong = []
    for name, other in imports.pairs(imports.graph()):
        above, below = name.split(".")[1:3], other.split(".")[1:3]
        if above[:1] != ["ops"] or below[:1] != ["ops"] or len(above) < 2 or above == below:
            continue
        if FAMILY_LEVEL[above[1]] >= FAMILY_LEVEL[below[1]]:
            wrong.append(f"{name} imports {other}")
    assert wrong == []


def test_backends_folders_take_only_spec_and_rules_from_above() -> None:
    files = imports.modules_of(imports.PACKAGE)
    wrong = []
    for name, other in imports.pairs(imports.graph()):
        parts, target = name.split("."), other.split(".")
        if parts[1:2] != ["ops"] or len(parts) < 4 or parts[3] not in BACKENDS:
            continue
        above = files[other].parent in files[name].parents and target[:4] != parts[:4]
        if above and target[3:] not in [[allowed] for allowed in ABOVE_BACKENDS]:
            wrong.append(f"{name} imports {other}")
    assert wrong == []


def test_circles_are_found() -> None:
    graph = {"a": frozenset({"b.c"}), "b": frozenset({"b.c"}), "b.c": frozenset({"d"})}
    assert imports.circles(graph | {"d": frozenset()}) == []
    assert imports.circles(graph | {"d": frozenset({"a"})}) == [["a", "b.c", "d"]]
    folders = {"p.x.a": frozenset({"p.y.b"}), "p.y.c": frozenset({"p.x.d"}), "p.y.b": frozenset()}
    assert imports.circles(folders) == []
    assert imports.circles(imports.among(folders, "p")) == [["p.x", "p.y"]]


def test_edges_are_read_from_every_statement(tmp_path: Path) -> None:
    package = tmp_path / "p"
    (package / "b").mkdir(parents=True)
    for file in ("__init__", "b/__init__", "b/d"):
        (package / f"{file}.py").touch()
    (package / "a.py").write_text(
        "import os, p.b.d\ndef f():\n    from p import b\n    from p.b import d, x\n"
    )
    assert imports.graph_of(package)["p.a"] == {"p.b", "p.b.d"}
    (package / "a.py").write_text("import p.b.d\n")
    assert imports.graph_of(package)["p.a"] == {"p.b.d"}
    (package / "a.py").write_text("from . import b\n")
    with pytest.raises(AssertionError, match="relative"):
        imports.graph_of(package)
