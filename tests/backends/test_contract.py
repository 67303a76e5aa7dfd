"""A source tree without an extension takes an installed one that was built from its contract."""

import os
import shutil
from pathlib import Path

import pytest
from checks import run_python
from import_graph import PACKAGE, ROOT

from tsssl_fast.backends import contract
from tsssl_fast.backends import cpp as native

CODE = """
import tsssl_fast.ops
from tsssl_fast import info
from tsssl_fast.backends import cpp
import sys
print(cpp.C and cpp.C.__file__, sys.modules.get("tsssl_fast._C") is cpp.C)
print(cpp.ERROR)
print(info.report())
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree: the package without its extension, and the contract."""
    shutil.copytree(
        PACKAGE, tmp_path / "tree/tsssl_fast", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    for folder in ("csrc/bindings", "csrc/include"):
        shutil.copytree(ROOT / folder, tmp_path / "tree" / folder)
    return tmp_path / "tree"


def installation(tree: Path) -> Path:
    """A folder of the path with an installed package, which has an extension."""
    site = tree.parent / "site"
    package = site / "tsssl_fast"
    package.mkdir(parents=True)
    extension = Path(str(native.module().__file__))
    (package / extension.name).symlink_to(extension)
    return site


def told(*path: Path) -> list[str]:
    python_path = os.pathsep.join([*map(str, path)])
    result = run_python(CODE, {**os.environ, "PYTHONPATH": python_path})
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_the_extension_has_the_contract_of_these_sources() -> None:
    assert native.module().contract() == contract.contract(ROOT)


def test_the_contract_follows_names_and_contents(tree: Path) -> None:
    assert contract.contract(tree) == contract.contract(ROOT)
    header = tree / "csrc/include/tsssl/masking.h"
    header.write_text(header.read_text() + "\n")
    assert contract.contract(tree) != contract.contract(ROOT)
    assert contract.contract(tree.parent) == ""


def test_a_matching_installation_is_used(tree: Path) -> None:
    site = installation(tree)
    first, error, *_ = told(tree, site)
    name = next((site / "tsssl_fast").iterdir())
    assert first == f"{name} True"
    assert error == "None"


def test_an_installation_of_other_sources_is_refused_in_one_line(tree: Path) -> None:
    site = installation(tree)
    source = tree / "csrc/bindings/module.cpp"
    source.write_text(source.read_text() + "\n")
    first, error, *report = told(tree, site)
    assert first == "None True"
    assert error.startswith(f"the source tree {tree} has no compiled extension, and {site}")
    assert "was built from other sources" in error
    assert error.endswith(f" -m pip install .` in {tree} builds and installs it")
    assert f"  not used: {error}" in report


def test_a_source_tree_alone_says_what_to_type(tree: Path) -> None:
    with pytest.raises(contract.NotBuiltError, match=r"none is installed; .* pip install \.` in "):
        contract.installed(tree, [str(tree), str(tree.parent)])


def test_an_extension_of_an_older_version_is_no_match(tree: Path, tmp_path: Path) -> None:
    """One that does not know its contract."""
    package = tmp_path / "old/tsssl_fast"
    package.mkdir(parents=True)
    (package / "_C.py").write_text("def isa():\n    return 'baseline'\n")
    with pytest.raises(contract.NotBuiltError, match="was built from other sources"):
        contract.installed(tree, [str(tmp_path / "old")])
    (package / "_C.py").write_text(f"def contract():\n    return {contract.contract(tree)!r}\n")
    assert contract.installed(tree, [str(tree), str(tmp_path / "old")]).__name__ == contract.NAME
