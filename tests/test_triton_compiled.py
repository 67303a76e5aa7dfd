"""Every Triton kernel compiled ahead of time for every target, and what the machine code shows.

No GPU is needed or used: this proves what the compiler made, not how long it takes.
"""

import pytest

from tsssl_fast.gpu.compiled import Facts
from tsssl_fast.gpu.table import Case, cases, row, walk

pytest.importorskip("triton")

CASES = {f"{name}-{target}": (name, target) for name, target in cases()}


@pytest.fixture(scope="module")
def compiled(request: pytest.FixtureRequest) -> dict[Case, Facts]:
    """Of the cases that this run has selected, compiled side by side."""
    items = [i for i in request.session.items if i.module is request.module]
    names = [item.callspec.params["case"] for item in items]
    chosen = [CASES[name] for name in names]
    return dict(zip(chosen, walk(chosen), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_machine_code(case: str, compiled: dict[Case, Facts]) -> None:
    found = compiled[CASES[case]]
    print(row(found))
    assert not found.defects()
