"""precision="bf16" of NT-Xent: what it rounds, how far that is from the definition, and where it
runs. A processor without AVX512_BF16 runs only the refusals."""

from collections.abc import Callable, Iterator

import pytest
import torch
from checks import accept, value_and_gradients
from conftest import THREADS
from test_contrastive import SHAPES, views
from torch import Tensor

import tsssl_fast
from tsssl_fast import _native, functional, losses
from tsssl_fast.ops.contrastive import reference, spec

LACKING = _native.module().why_not_bf16()
needs_bf16 = pytest.mark.skipif(bool(LACKING), reason=LACKING)
TEMPERATURES = [1.0, 0.1, 0.034]


def nt_xent(temperature: float, reduction: str = "none") -> Callable[[Tensor, Tensor], Tensor]:
    return lambda a, b: functional.nt_xent(a, b, temperature, reduction, precision="bf16")


def rounded_definition(
    z1: Tensor, z2: Tensor, temperature: float, upstream: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and gradient in `dtype` from the rows that the kernel rounds, and how far rounding
    dL/da to bfloat16 may move each element of the gradient."""
    z = torch.cat([z1, z2]).double()
    norm = z.norm(dim=1, keepdim=True)
    scale = torch.where(norm <= spec.TINY_NORM, 0.0, 1 / norm)
    u = z * scale
    r = u.float().bfloat16().to(dtype)
    u, scale, upstream = u.to(dtype), scale.to(dtype), upstream.to(dtype)
    rows = torch.arange(len(z))
    other = rows.roll(len(z1))
    a = r @ r.T / temperature
    a[rows, rows] = a[rows, other] = -torch.inf
    x = a.logsumexp(dim=1) - (u * u[other]).sum(dim=1) / temperature
    loss = torch.logaddexp(x, x.new_zeros(()))
    pull = upstream * x.sigmoid()
    w = pull[:, None] * a.softmax(dim=1).nan_to_num() if len(z1) == 1 else pull[:, None] * a.softmax(dim=1)
    w = w + w.T
    du = (w @ r - (pull + pull[other])[:, None] * u[other]) / temperature
    slack = spec.BF16_UNIT * (w.abs() @ r.abs()) / temperature
    gradient = (du - u * (u * du).sum(dim=1, keepdim=True)) * scale
    slack = (slack + u.abs() * (u.abs() * slack).sum(dim=1, keepdim=True)) * scale
    return loss, gradient, slack


def check(z1: Tensor, z2: Tensor, temperature: float) -> None:
    upstream = torch.randn(2 * len(z1), dtype=torch.float64)
    loss, *gradients = value_and_gradients(nt_xent(temperature), (z1, z2), upstream)
    truth, gradient, slack = rounded_definition(z1, z2, temperature, upstream, torch.float64)
    plain, single, _ = rounded_definition(z1, z2, temperature, upstream, torch.float32)
    accept("loss", [(loss, truth, plain)], spec.ERROR_FACTOR)
    error = (torch.cat(gradients).double() - gradient).abs()
    noise = (single - gradient).abs().max() + 1.2e-7 * gradient.abs().max()
    assert (error <= slack + spec.ERROR_FACTOR * noise).all()


@needs_bf16
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", SHAPES)
def test_only_the_rows_and_the_pulls_are_rounded(
    shape: tuple[int, int], temperature: float
) -> None:
    """To the float32 rule against the definition on rounded rows; the gradient with what rounding
    dL/da allows on top."""
    check(*views(*shape), temperature)
