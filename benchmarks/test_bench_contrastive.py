"""pytest-benchmark cases: `pytest benchmarks --benchmark-only [-k 256x128]`."""

from collections.abc import Callable

import pytest
from registry import Case, Unavailable, cases


@pytest.mark.parametrize("provider", ["cpp", "reference", "eager"])
@pytest.mark.parametrize("case", cases("nt_xent"), ids=lambda case: case.name)
def test_nt_xent(
    case: Case, provider: str, benchmark: Callable[[Callable[[], object]], object]
) -> None:
    try:
        run = case.providers[provider](case.inputs())
    except Unavailable as reason:
        pytest.skip(str(reason))
    benchmark(run)
