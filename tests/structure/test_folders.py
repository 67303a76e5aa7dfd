"""Folders: packages are packages, names do not hide libraries, an operator's file has its name."""

import re
from pathlib import Path

import pytest
from import_graph import PACKAGE, ROOT

OPS = PACKAGE / "ops"
FAMILIES = sorted(p.parent.name for p in OPS.glob("*/spec.py"))
BACKENDS = ("reference", "cpp", "numba", "triton")
LIBRARIES = {"numba", "triton", "torch"}

# (family, operator's file) -> backends without a file of that name, and why.
COMPOSED = "made of the family's other operators"
ROW_BLOCKS = "row blocks of plain torch, those of the reference"
TORCH = "plain torch on a GPU"
HOLES: dict[tuple[str, str], dict[str, str]] = {
    ("contrastive", "hierarchical"): dict.fromkeys(BACKENDS, COMPOSED),
    ("contrastive", "keys"): dict.fromkeys(("reference", "numba", "triton"), COMPOSED),
    ("contrastive", "sigmoid"): dict.fromkeys(("numba", "triton"), ROW_BLOCKS),
    ("contrastive", "triplet"): dict.fromkeys(("numba", "triton"), ROW_BLOCKS),
    **{("masking", name): {"triton": TORCH} for name in ("fill", "loss", "mask", "tokens")},
    ("preprocess", "preprocess"): {"triton": TORCH},
}


def operators(family: str) -> list[str]:
    """Files of a family that register an operator."""
    files = sorted((OPS / family / "operators").glob("*.py"))
    made = re.compile(r"^(\w+ = )?(registration\.)?define\(", re.MULTILINE)
    return [f.stem for f in files if made.search(f.read_text())]


def table() -> dict[tuple[str, str], dict[str, str]]:
    """(family, operator's file) -> backend -> the file that implements it, or why there is none."""
    rows = {}
    for family in FAMILIES:
        for name in operators(family):
            places = {b: OPS / family / b / f"{name}.py" for b in BACKENDS}
            reasons = HOLES.get((family, name), {})
            rows[family, name] = {
                b: str(p.relative_to(OPS)) if p.exists() else f"- ({reasons.get(b, 'missing')})"
                for b, p in places.items()
            }
    return rows


def helpers(family: str) -> list[Path]:
    """Files of the backends' folders that bear no operator's name."""
    names = {"__init__", *operators(family)}
    files = [f for b in BACKENDS for f in sorted((OPS / family / b).glob("*.py"))]
    return [f for f in files if f.stem not in names]


def test_there_are_families() -> None:
    assert len(FAMILIES) >= 5
    assert all(operators(family) for family in FAMILIES)


def test_every_operator_has_a_file_of_its_name_in_every_backend() -> None:
    rows = table()
    for (family, name), files in rows.items():
        print(f"{family}: {name}", *(f"  {b:<10} {file}" for b, file in files.items()), sep="\n")
    holes = {key: {b for b, f in files.items() if f.startswith("-")} for key, files in rows.items()}
    assert {k: v for k, v in holes.items() if v} == {k: set(v) for k, v in HOLES.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_helpers_are_named_in_the_readme(family: str) -> None:
    named = set(re.findall(r"`(?:\w+/)*(\w+)(?:\.py)?`", (OPS / family / "README.md").read_text()))
    assert [str(f.relative_to(OPS)) for f in helpers(family) if f.stem not in named] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_helpers_in_the_readme_are_there(family: str) -> None:
    text = (OPS / family / "README.md").read_text()
    named = re.findall(rf"`((?:{'|'.join(BACKENDS)})/\w+\.py)`", text)
    assert [name for name in named if not (OPS / family / name).exists()] == []


def test_every_package_folder_has_an_init() -> None:
    """The build would install a folder without one, and hide that it is missing."""
    packages = [PACKAGE, ROOT / "tools/gpu_objects", ROOT / "tools/code_generators"]
    folders = {f.parent for package in packages for f in package.rglob("*.py")}
    assert len(folders) > 30
    assert [str(f) for f in folders if not (f / "__init__.py").exists()] == []


def test_no_folder_outside_the_package_is_called_as_a_library() -> None:
    """Beside a script, or on pytest's path, it would be imported in the library's place."""
    made = ("build", "dist")  # by an installation from here: copies of the package
    others = [f for f in ROOT.iterdir() if f.is_dir() and f != PACKAGE and f.name not in made]
    own = [f for f in others if not f.name.startswith(".")]
    folders = {p.parent for top in own for p in top.rglob("*.py")}
    assert folders
    assert [str(f) for f in folders if LIBRARIES & set(f.relative_to(ROOT).parts)] == []
