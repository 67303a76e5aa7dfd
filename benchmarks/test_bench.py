"""The registry under pytest-benchmark: `pytest benchmarks --benchmark-only [-k "nt_xent and cpp"]`.

The cases of --quick; for the errors, ceilings and memory beside the times, `run.py`.
"""

from collections.abc import Callable

import pytest
from registry import Case, Unavailable, cases

PAIRS = [
    (c, name) for c in cases(quick=True) for name in c.providers if name in (c.ours, c.baseline)
]


@pytest.mark.parametrize(
    ("case", "provider"), PAIRS, ids=lambda given: getattr(given, "name", given)
)
def test_speed(
    case: Case, provider: str, benchmark: Callable[[Callable[[], object]], object]
) -> None:
    with case.setting():
        try:
            run = case.providers[provider](case.inputs())
        except Unavailable as reason:
            pytest.skip(str(reason))
        benchmark(run)
