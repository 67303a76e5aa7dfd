"""`nt_xent` by the Triton kernels."""

import torch
from torch import Tensor

from tsssl_fast.backends.triton.availability import on
from tsssl_fast.common import checks
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.triton import tuning as configs
from tsssl_fast.ops.contrastive.triton.views import (
    prepare_views,
    shape_of,
    write_gradients,
    write_losses,
)


def nt_xent(
    z1: Tensor, z2: Tensor, temperature: float, reduction: str, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if not (keep and configs.gradient_in_forward(z1.dtype, configs.pitch(z1.shape[-1]), reduction)):
        loss, saved = paired_forward(z1, z2, None, temperature, True)
        return checks.reduce(loss, reduction), saved, loss.new_empty(0), loss.new_empty(0)
    rows = 2 * len(z1)
    loss, saved, gradients = (
        torch.empty(size, device=z1.device)
        for size in ((rows,), (len(spec.NT_XENT_ROWS), rows), (2, *z1.shape))
    )
    grad = torch.full((rows,), 1 / rows if reduction == "mean" else 1.0, device=z1.device)
    with on(z1):
        problem = prepare_views(z1, z2, None, temperature, True, saved[1])
        write_losses(problem, loss, saved)
        write_gradients(problem, grad, saved, (gradients[0], gradients[1]))
    return checks.reduce(loss, reduction), saved, loss.new_empty(0), gradients


def nt_xent_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    exponentials: Tensor,
    temperature: float,
    reduction: str,
) -> tuple[Tensor, Tensor]:
    rows = saved.shape[1]
    grad = (grad / rows if reduction == "mean" else grad).expand(rows)
    return paired_backward(grad, z1, z2, saved, None, temperature, True)


def paired_forward(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> tuple[Tensor, Tensor]:
    groups, n = shape_of(z1)
    size = (n,) if lengths is None else (groups, n)
    # Rows behind a problem's length are zero, and no kernel writes them.
    new = torch.empty if lengths is None else torch.zeros
    loss = new(size, device=z1.device)
    saved = new((len(spec.NT_XENT_ROWS), *size), device=z1.device)
    flat = saved.view(len(spec.NT_XENT_ROWS), -1)
    with on(z1):
        problem = prepare_views(z1, z2, lengths, temperature, normalize, flat[1])
        write_losses(problem, loss, flat)
    return loss, saved


def paired_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
) -> tuple[Tensor, Tensor]:
    groups, n = shape_of(z1)
    new = torch.empty if lengths is None else torch.zeros
    grads = (
        new(z1.shape, dtype=z1.dtype, device=z1.device),
        new(z2.shape, dtype=z2.dtype, device=z2.device),
    )
    with on(z1):
        scale = torch.empty(groups * n, device=z1.device)
        problem = prepare_views(z1, z2, lengths, temperature, normalize, scale)
        rows = saved.view(len(spec.NT_XENT_ROWS), -1)
        write_gradients(problem, grad.reshape(-1).float(), rows, grads)
    return grads
