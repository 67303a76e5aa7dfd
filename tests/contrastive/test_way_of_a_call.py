"""What `NTXentLoss()(z1, z2).backward()` runs of the package's Python, as README.md lists it."""

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
README = ROOT / "ops" / "contrastive" / "README.md"
MOST = 8  # functions, forward and backward


def run() -> set[str]:
    """`file function` of every function of the package that is called, once all is warm."""
    module = losses.NTXentLoss()
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


def test_a_small_nt_xent_runs_what_is_listed() -> None:
    if native.why_not():
        pytest.skip("; ".join(native.why_not()))
    listed = set(re.findall(r"^\d\. `(\S+ \w+)`", README.read_text(), flags=re.MULTILINE))
    assert run() == listed
    assert len(listed) <= MOST
