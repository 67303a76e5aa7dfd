"""Every Triton kernel compiled ahead of time for every target, and what the machine code shows.

No GPU is needed or used: this proves what the compiler made, not how long it takes.
"""

import pytest
from beside import Beside
from gpu_objects.table import Case, cases, row

pytest.importorskip("triton")


pytestmark = pytest.mark.after_triton

# Where sizes are multiples of 16 Triton compiles other forms. All of them take three minutes more
# (`python tools/gpu_objects --aligned`); these have spilled.
ALIGNED = cases(["sm_80", "sm_90"], "finish", aligned=True)


@pytest.mark.parametrize("case", cases() + ALIGNED, ids="-".join)
def test_machine_code(case: Case, beside: Beside) -> None:
    found = beside.result("triton")[case]
    print(row(found))
    assert not found.defects()
