"""Offsets beyond 32 bits in the contrastive Triton kernels: 2^20 rows of 1024 columns are 2^30
numbers; their partial sums, matrices of pairs and the caller's strides go beyond 2^31.

The memory is a sparse file, whose holes take no room.
"""

from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.ops.contrastive.triton.kernels.tiles import entry_of, rows_of

APART = 1 << 30
ROWS, DIM = 4, 8


@pytest.fixture
def far(tmp_path: Path) -> Tensor:
    """Of float16: zeros, three steps of APART and a row long."""
    size = (ROWS - 1) * APART + 1024
    return torch.from_file(str(tmp_path / "far"), shared=True, size=size, dtype=torch.float16)


def test_rows_of_the_caller(far: Tensor) -> None:
    z1, z2 = (torch.randn(ROWS, DIM).half() for _ in range(2))
    apart = far.as_strided((ROWS, DIM), (APART, 1))
    apart.copy_(z1)

    losses, gradients = [], []
    for z in (apart, z1):
        leaf = z.detach().requires_grad_()
        losses.append(functional.nt_xent_loss(leaf, z2, temperature=0.1, backend="triton"))
        gradients += torch.autograd.grad(losses[-1], leaf)
    assert apart.stride() == (APART, 1)
    assert torch.equal(*losses)
    assert torch.equal(*gradients)


@triton.jit
def copy_tile(x, out, i0, pitch, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)[:, None] * SIZE + tl.arange(0, SIZE)[None, :]
    tl.store(out + at, rows_of(x, i0, i0 + SIZE, pitch, 0, SIZE, SIZE))


@triton.jit
def copy_entries(x, out, i0, j0, row, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)[:, None] * SIZE + tl.arange(0, SIZE)[None, :]
    tl.store(out + at, tl.load(entry_of(x, i0, j0, row, 1, SIZE, SIZE)))


def test_tiles_of_rows_and_of_matrices(far: Tensor) -> None:
    size, pitch = 16, 64
    last = 2 * APART // pitch  # the row that begins at number 2^31
    tile = torch.randn(size, size).half()
    rows = far.as_strided((size, size), (pitch, 1), 2 * APART)
    rows.copy_(tile)
    for launch in (
        lambda out: copy_tile[(1,)](far, out, last, pitch, size),
        lambda out: copy_entries[(1,)](far, out, last, 0, pitch, size),
    ):
        found = torch.empty(size, size, dtype=torch.float16)
        launch(found)
        assert torch.equal(found, tile)
