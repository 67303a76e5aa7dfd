"""What a small call runs down to its C++ kernel, as ops/README.md lists it."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import tsssl_fast
from tsssl_fast import losses
from tsssl_fast.backends import cpp as native

ROOT = Path(tsssl_fast.__file__).parent
CSRC = Path(__file__).parents[2] / "csrc"  # the package may be an installed one
# Loss -> files to open at most, functions of Python that run at most.
MOST = {"NTXentLoss": (16, 8), "VICRegLoss": (14, 12)}


def run(module: torch.nn.Module) -> set[str]:
    """`file function` of every function of the package that is called, once all is warm."""
    z1, z2 = torch.randn(2, 8, 16).requires_grad_(), torch.randn(2, 8, 16).requires_grad_()
    for _ in range(2):
        module(z1[0], z2[0]).backward()
    seen = set()

    def watch(frame: Any, event: str, _: Any) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and ROOT in file.parents:
            seen.add(f"{file.relative_to(ROOT)} {frame.f_code.co_name}")

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        module(z1[0], z2[0]).backward()
    finally:
        sys.setprofile(before)
    return seen


def listed(name: str) -> set[str]:
    text = (ROOT / "ops" / "README.md").read_text()
    part = text.split(f"`{name}()(z1, z2).backward()`", 1)[1].split("\n\n", 2)[1]
    return set(re.findall(r"`(\S+\.\w+ [\w<>]+)`", part))


@pytest.mark.parametrize("name", MOST)
def test_a_small_call_runs_what_is_listed(name: str) -> None:
    if native.why_not():
        pytest.skip("; ".join(native.why_not()))
    python = {line for line in listed(name) if not line.startswith("csrc/")}
    found = run(getattr(losses, name)())
    if sys.version_info >= (3, 12):  # comprehensions are no functions there
        python = {line for line in python if "<listcomp>" not in line}
    assert found == python
    assert len(found) <= MOST[name][1]


@pytest.mark.parametrize("name", MOST)
def test_few_files(name: str) -> None:
    assert len({line.split()[0] for line in listed(name)}) <= MOST[name][0]


@pytest.mark.parametrize("name", MOST)
def test_the_listed_functions_of_cpp_are_there(name: str) -> None:
    """Each defined in the file that the list says: in a table of dispatch.h, or by its name."""
    lines = [line.removeprefix("csrc/") for line in listed(name) if line.startswith("csrc/")]
    assert len(lines) >= 5
    for line in lines:
        file, function = line.split()
        if file == "runtime/dispatch.cpp":
            assert f", {function})" in (CSRC / "runtime" / "dispatch.h").read_text()
        else:
            defined = rf"^[^/\n]*\b{function}\([^;]*?\{{"
            assert re.search(defined, (CSRC / file).read_text(), re.MULTILINE), line
