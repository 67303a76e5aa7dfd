"""Every option of `contrastive_loss` with every other on the Triton kernels: the first draws of
tests/contrastive, in the dtypes that these have."""

from functools import cache

import pytest
from contrastive import crossed

CHUNKS, COUNT = 5, 150


@cache
def checked(chunk: int) -> crossed.Rounded:
    indices = range(chunk, COUNT, CHUNKS)
    return crossed.check(map(crossed.expected_in_triton, indices), "triton")


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_draws(chunk: int) -> None:
    checked(chunk)


def test_rounding() -> None:
    crossed.accept_rounded("triton", [x for chunk in range(CHUNKS) for x in checked(chunk)])
