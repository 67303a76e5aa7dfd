"""What `import tsssl_fast` does and does not do, each in a fresh interpreter."""

import os
import sys
from pathlib import Path

import pytest
from checks import run_python

import tsssl_fast

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
"""
INTERNAL = ("backends", "cli", "common")
OPTIONAL = ("aeon", "lightning_fabric", "matplotlib", "numba", "rich", "scipy", "sklearn", "triton")


def python(code: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TSSSL_")}
    result = run_python(code, environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_optional_packages_are_not_imported() -> None:
    loaded = python(
        "import torch, sys; a = set(sys.modules); import tsssl_fast; print(*(set(sys.modules) - a))"
    ).split()
    assert "tsssl_fast" in loaded
    assert not {name.partition(".")[0] for name in loaded} & set(OPTIONAL)


def test_subpackages_are_imported_when_asked_for() -> None:
    """Beyond torch, the import costs milliseconds; benchmarks/experiments/import_time.py prints
    how many."""
    loaded = python(
        "import torch, sys; a = set(sys.modules); import tsssl_fast; print(*(set(sys.modules) - a))"
    ).split()
    assert {name for name in loaded if name.startswith("tsssl_fast")} == {
        "tsssl_fast",
        "tsssl_fast._version",
    }
    assert len(loaded) < 10, loaded


def test_every_public_subpackage_is_reached() -> None:
    """Without optional packages; `dir` shows all of them before."""
    code = BLOCK.format(names=("typer", "yaml", *OPTIONAL)) + (
        "import tsssl_fast as t\n"
        "print(*dir(t))\n"
        "for name in t.__all__: getattr(t, name)\n"
        "for name in t.report.__all__: getattr(t.report, name)\n"
        "assert t.functional is sys.modules['tsssl_fast.functional']\n"
        "print(*t.__all__)"
    )
    shown, public = (line.split() for line in python(code).splitlines())
    assert set(public) <= set(shown)
    folders = {p.parent.name for p in Path(tsssl_fast.__file__).parent.glob("*/__init__.py")}
    assert folders - set(INTERNAL) <= set(public)


def test_an_unknown_attribute_is_none() -> None:
    with pytest.raises(AttributeError, match="module 'tsssl_fast' has no attribute 'loses'"):
        tsssl_fast.loses  # noqa: B018
    with pytest.raises(AttributeError, match=r"training\.fine_tune"):
        tsssl_fast.evaluate.fine_tune  # noqa: B018


def test_explain_knows_operators_at_once() -> None:
    assert python("import tsssl_fast, torch as t; print(tsssl_fast.explain('nt_xent', t.ones(2)))")


def test_works_without_optional_packages() -> None:
    code = BLOCK.format(names=("typer", *OPTIONAL)) + (
        "import torch, tsssl_fast as t; z = torch.randn(4, 3); "
        "print(float(t.functional.nt_xent_loss(z, z)))"
    )
    assert float(python(code)) >= 0


def test_works_without_the_extension() -> None:
    code = BLOCK.format(names=("tsssl_fast._C",)) + (
        "import torch, tsssl_fast as t; from tsssl_fast import info\n"
        "z = torch.randn(4, 3, requires_grad=True)\n"
        "t.functional.nt_xent_loss(z, z.detach()).backward()\n"
        "print(t.explain('nt_xent', z)); print(info.report())"
    )
    printed = python(code)
    assert "nt_xent: numba" in printed
    assert "contrastive: numba on cpu: can run" in printed
    assert (
        "the extension tsssl_fast._C did not load (ImportError: blocked: tsssl_fast._C)" in printed
    )
    assert "Traceback" in printed


def test_cuda_is_not_initialised() -> None:
    assert python("import tsssl_fast, torch; print(torch.cuda.is_initialized())") == "False\n"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")
def test_one_openmp_runtime_in_the_process() -> None:
    """The extension shares torch's: a second pool of threads would fight the first."""
    paths = python(
        "import tsssl_fast, torch; from tsssl_fast import info; z = torch.randn(500, 8); "
        "tsssl_fast.functional.nt_xent_loss(z, z); print(*info.openmp_runtimes())"
    ).split()
    assert len(paths) == 1, paths


def test_info_names_what_runs() -> None:
    printed = python("from tsssl_fast import info; info.main()")
    for part in (
        "tsssl_fast ",
        "torch ",
        "instruction set baseline",
        "contrastive: cpp on cpu",
        "contrastive: reference on",
        "environment:",
    ):
        assert part in printed
