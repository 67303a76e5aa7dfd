"""A kernel computes in IEEE modes in every thread, whatever the caller set, which it gets back."""

from collections.abc import Iterator

import pytest
import torch

from tsssl_fast import augment, functional

SMALL = 2_140_898  # the bits of 3e-39, subnormal in float32


@pytest.fixture
def flushing() -> Iterator[None]:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers")
    yield
    torch.set_flush_denormal(False)


def small_series() -> torch.Tensor:
    """By its bits: with flushing on, arithmetic and conversions would make zeros of it."""
    return torch.full((64, 9, 128), SMALL, dtype=torch.int32).view(torch.float32)


@pytest.mark.parametrize("backend", ["cpp", "numba"])
@pytest.mark.parametrize("threads", [1, 2])
def test_augmentations_keep_subnormal_numbers(backend: str, threads: int, flushing: None) -> None:
    x = small_series()
    torch.set_num_threads(threads)
    scaled = augment.Scale((0.5, 0.9))(x, seed=0, step=0, backend=backend)
    assert (scaled.view(torch.int32) != 0).all()
    halved = (x[0, 0, :1] * 0.5).view(torch.int32)
    assert halved.item() == 0, "the caller's mode is lost"


@pytest.mark.parametrize("backend", ["cpp", "numba"])
def test_a_loss_has_the_same_bits_while_torch_flushes(backend: str) -> None:
    z = torch.randn(300, 8, generator=torch.Generator().manual_seed(0)) * 1e-20
    k = z.flip(1).contiguous()
    torch.set_num_threads(2)

    def result() -> tuple[torch.Tensor, ...]:
        q = z.clone().requires_grad_()
        loss = functional.nt_xent_loss(q, k, temperature=0.05, backend=backend)
        loss.backward()
        assert q.grad is not None
        return loss.detach(), q.grad

    expected = result()
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers")
    try:
        found = result()
    finally:
        torch.set_flush_denormal(False)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
