"""Every Triton kernel compiled ahead of time for every target, and what the machine code shows.

No GPU is needed or used: this proves what the compiler made, not how long it takes.
"""

import pytest

from tsssl_fast.gpu.compiled import facts
from tsssl_fast.gpu.specialisation import all_of
from tsssl_fast.gpu.table import row
from tsssl_fast.gpu.targets import TARGETS

pytest.importorskip("triton")


CASES = {f"{s.name}-{t}": (s, t) for s in all_of() for t in s.targets}


@pytest.mark.parametrize("case", CASES)
def test_machine_code(case: str) -> None:
    specialisation, target = CASES[case]
    found = facts(specialisation, TARGETS[target])
    print(row(found))
    assert not found.defects()
