"""Tests of Triton kernels in Triton's interpreter: their own process, because TRITON_INTERPRET is
read when triton is imported. tests/backends/test_triton_interpreter.py starts it:

    TRITON_INTERPRET=1 pytest tests/interpreter
"""

from typing import Any

import numpy as np
import pytest
from triton.runtime import interpreter


def _product(self: Any, a: Any, b: Any, d: Any, *_: Any) -> Any:
    """a b + d, each number summed along the depth by fused multiply-adds, as a GPU does with
    float32's own precision. numpy's BLAS rounds a product and its transpose differently on AVX2, so
    that a pair's logit in the backward would not be the one in the forward."""
    total = d.data.astype(np.float64)
    for k in range(a.data.shape[-1]):
        terms = a.data[..., k : k + 1].astype(np.float64) * b.data[..., k : k + 1, :]
        total = (total + terms).astype(d.data.dtype).astype(np.float64)
    return interpreter.TensorHandle(total.astype(d.data.dtype), d.dtype.scalar)


@pytest.fixture(autouse=True)
def _products_as_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", _product)
