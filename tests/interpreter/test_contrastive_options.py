"""Every option of `contrastive_loss` with every other on the Triton kernels: the draws of
tests/contrastive, in the dtypes that these have.

    ALL_DRAWS=1 TRITON_INTERPRET=1 pytest tests/interpreter/test_contrastive_options.py

runs all draws.
"""

import os
from functools import cache

import pytest
import torch
from contrastive import crossed, draws

CHUNKS = 5
COUNT = draws.DRAWS if "ALL_DRAWS" in os.environ else 150


@cache
def checked(chunk: int) -> crossed.Rounded:
    def drawn(index: int) -> crossed.Expected:
        dtype = torch.bfloat16 if index % 4 == 0 else torch.float32
        return crossed.expected(draws.make(index, dtype))

    return crossed.check(map(drawn, range(chunk, COUNT, CHUNKS)), "triton")


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_draws(chunk: int) -> None:
    checked(chunk)


def test_rounding() -> None:
    crossed.accept_rounded("triton", [x for chunk in range(CHUNKS) for x in checked(chunk)])
