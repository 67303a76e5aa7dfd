"""Losses of two or more views of the same series: NT-Xent and its decoupled forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor

from tsssl_fast.backends.precision import precision_name
from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive import arguments, processes
from tsssl_fast.functional.contrastive.kernels import paired_similarity
from tsssl_fast.functional.contrastive.options import Off, On, ProcessOptions
from tsssl_fast.functional.contrastive.problem import Problem, Temperature
from tsssl_fast.functional.contrastive.row_losses import weighted_row_loss
from tsssl_fast.functional.contrastive.solve import (
    Loss,
    backend_name,
    by_ids,
    row_statistics,
    solve,
)
from tsssl_fast.functional.contrastive.statistics import ContrastiveStats, contrastive_stats
from tsssl_fast.ops.contrastive.operators.nt_xent import nt_xent

if TYPE_CHECKING:
    from typing_extensions import Unpack


@overload
def nt_xent_loss(
    z1: Tensor,
    z2: Tensor,
    *more: Tensor,
    return_stats: Off = ...,
    **options: Unpack[ProcessOptions],
) -> Tensor: ...
@overload
def nt_xent_loss(
    z1: Tensor, z2: Tensor, *more: Tensor, return_stats: On, **options: Unpack[ProcessOptions]
) -> tuple[Tensor, ContrastiveStats]: ...
@overload
def nt_xent_loss(
    z1: Tensor, z2: Tensor, *more: Tensor, return_stats: bool, **options: Unpack[ProcessOptions]
) -> Loss: ...
def nt_xent_loss(
    z1: Tensor,
    z2: Tensor,
    *more: Tensor,
    temperature: Temperature = 0.1,
    normalize: bool = True,
    reduction: str = "mean",
    return_stats: bool = False,
    precision: str | None = None,
    process_group: Group = None,
    ddp: bool = True,
    backend: str | None = None,
) -> Loss:
    """NT-Xent (SimCLR): every series against its other view and all series of the batch.

    With z = [z1; z2], u = z / ||z|| and p(i) the other view of i, for each of the 2N rows:
    loss_i = -log( exp(<u_i, u_p(i)> / tau) / sum_{k != i} exp(<u_i, u_k> / tau) )
    (Chen et al., ICML 2020, eq. 1). Of V > 2 views a row has V - 1 positives, of which the loss is
    the mean, as of :func:`sup_con_loss` with the series for labels (Khosla et al., NeurIPS 2020).

    Args:
        z1, z2, more: (N, D) embeddings of two or more views of the same N series; float16,
            bfloat16, float32 or float64, the same device. Row i of all belongs to series i. Views
            stacked in z (N, V, D) are nt_xent_loss(*z.unbind(1)). Of several dtypes the loss is
            that of all in torch.promote_types of them.
        temperature: tau > 0: a float; a 0-d tensor (gets its gradient); (V N,), one per row; or a
            PairTemperature.
        normalize: False: dot products of the rows as they are.
        reduction: "mean" over the V N rows, "sum", or "none" for (V N,): the rows of z1, then of z2
            and so on.
        return_stats: also a :class:`ContrastiveStats`.
        precision: the largest error allowed in products of float32 numbers: "ieee", float32's own;
            "bf16x3", about 16 bits of each number; "bf16", 8 bits. None: torch's setting
            (torch.set_float32_matmul_precision, torch.backends.*.matmul.fp32_precision) when the
            loss is computed; its backward keeps to that. More exact arithmetic may run: where the
            processor has no faster one, for 16-bit inputs, which are multiplied as they are, for
            dot products, and for temperatures below 1/30. ops/contrastive/spec.py has the bounds;
            tsssl_fast.explain says what runs.
        process_group: of torch.distributed, or "world": the loss of the rows of all its processes,
            the same number on each; N may differ between them, and be 0. Every process must call
            the loss and its backward. None: this process alone. reduction="none" gives this
            process's rows, return_stats the statistics of all. See docs/processes.md.
        ddp: with process_group, the backward is scaled for DistributedDataParallel, whose mean of
            gradients is then that of the whole batch; False: for who sums gradients. With
            reduction="none" the batch's loss is what all processes make of their rows, added.
        backend: see the package.

    Returns:
        The loss; float32 for 16-bit inputs (the arithmetic is float32), else the inputs' dtype.
        N = 1 gives 0 with zero gradient. A row with norm <= 1e-12 has cosine 0 with everything and
        gets zero gradient. Gradients flow to both inputs, each in its own dtype.

    Raises:
        TypeError: an input is no floating tensor.
        ValueError: not (N, D), N = 0, shapes or devices differ, temperature not finite or <= 0,
            unknown reduction, precision or backend. With process_group: on every process, where
            one's arguments are wrong, or columns, dtypes or options differ between processes; where
            torch.distributed is not initialised.
        BackendUnavailableError: the backend asked for can not run these inputs.
    """
    if process_group is not None:
        rest = (temperature, normalize, reduction, return_stats, precision, backend)
        asked = processes.Asked("nt_xent_loss", process_group, ddp, *rest)
        return processes.views(asked, (z1, z2, *more))
    # What is right passes without a call: a loss of 8 x 16 takes as long as a dozen of them.
    if not (
        type(z1) is type(z2) is Tensor
        and not more
        and z1.dim() == 2
        and z1.shape == z2.shape
        and z1.dtype == z2.dtype
        and z1.dtype in checks.FLOATING
        and z1.device == z2.device
        and z1.layout == z2.layout == torch.strided
        and z1.numel()
        and reduction in checks.REDUCTIONS
    ):
        z1, z2, *more = _checked((z1, z2, *more), reduction)  # type: ignore[assignment]
    name = backend_name(backend) if backend else ""
    products = "" if precision is None else precision_name(precision)
    if isinstance(temperature, (int, float)) and normalize and not (return_stats or more):
        if not (type(temperature) is float and 0 < temperature < math.inf):
            temperature = checks.positive("temperature", temperature)
        loss: Tensor = nt_xent(z1, z2, temperature, reduction, False, products, name)[0]
        return loss
    options = (temperature, normalize, reduction, return_stats, precision, name)
    z, problem = _one_set((z1, z2, *more), *options)
    return solve(z, None, problem)


def _checked(views: Sequence[Tensor], reduction: str) -> Sequence[Tensor]:
    """The views, in one dtype."""
    names = checks.names_of_views(len(views))
    for name, z in zip(names, views, strict=True):
        checks.matrix(name, z)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    return checks.alike(names, views)


def _one_set(
    views: Sequence[Tensor],
    temperature: Temperature,
    normalize: bool,
    reduction: str,
    return_stats: bool,
    precision: str | None,
    backend: str | None,
) -> tuple[Tensor, Problem]:
    """One set of V N rows, in which a row's positives are its other views."""
    z = torch.cat(list(views))
    arguments.check_temperature(temperature, z)
    ids = torch.arange(len(views[0]), device=z.device).repeat(len(views))
    return z, by_ids(ids, temperature, normalize, reduction, return_stats, precision, backend)


@overload
def dcl_loss(
    z1: Tensor, z2: Tensor, *, return_stats: Off = ..., **options: Unpack[ProcessOptions]
) -> Tensor: ...
@overload
def dcl_loss(
    z1: Tensor, z2: Tensor, *, return_stats: On, **options: Unpack[ProcessOptions]
) -> tuple[Tensor, ContrastiveStats]: ...
@overload
def dcl_loss(
    z1: Tensor, z2: Tensor, *, return_stats: bool, **options: Unpack[ProcessOptions]
) -> Loss: ...
def dcl_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    temperature: Temperature = 0.1,
    normalize: bool = True,
    reduction: str = "mean",
    return_stats: bool = False,
    precision: str | None = None,
    process_group: Group = None,
    ddp: bool = True,
    backend: str | None = None,
) -> Loss:
    """Decoupled contrastive loss (Yeh et al., ECCV 2022): NT-Xent without the positive in the
    denominator: loss_i = -a_ip + log sum over the negatives exp(a_ik).

    Arguments, result and errors as in :func:`nt_xent_loss`."""
    if process_group is not None:
        rest = (temperature, normalize, reduction, return_stats, precision, backend)
        asked = processes.Asked("dcl_loss", process_group, ddp, *rest)
        return processes.views(asked, (z1, z2), denominator="negatives")
    z1, z2 = _checked((z1, z2), reduction)
    options = (temperature, normalize, reduction, return_stats, precision, backend)
    z, problem = _one_set((z1, z2), *options)
    return solve(z, None, problem._replace(denominator="negatives"))


class _Weighted(ProcessOptions, total=False):
    sigma: float


@overload
def dclw_loss(
    z1: Tensor, z2: Tensor, *, return_stats: Off = ..., **options: Unpack[_Weighted]
) -> Tensor: ...
@overload
def dclw_loss(
    z1: Tensor, z2: Tensor, *, return_stats: On, **options: Unpack[_Weighted]
) -> tuple[Tensor, ContrastiveStats]: ...
@overload
def dclw_loss(
    z1: Tensor, z2: Tensor, *, return_stats: bool, **options: Unpack[_Weighted]
) -> Loss: ...
def dclw_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    temperature: Temperature = 0.1,
    sigma: float = 0.5,
    normalize: bool = True,
    reduction: str = "mean",
    return_stats: bool = False,
    precision: str | None = None,
    process_group: Group = None,
    ddp: bool = True,
    backend: str | None = None,
) -> Loss:
    """DCL with the positives weighted by a von Mises-Fisher kernel (Yeh et al., eq. 7):
    loss_i = -w_i a_ip + log sum over the negatives exp(a_ik), w = 2 - N softmax(<u_i, u_p> /
    sigma), the softmax over the N pairs; a constant for the gradient.

    Args:
        sigma: > 0, the kernel's width. Others, result and errors as in :func:`nt_xent_loss`.
    """
    if process_group is not None:
        rest = (temperature, normalize, reduction, return_stats, precision, backend)
        asked = processes.Asked("dclw_loss", process_group, ddp, *rest)
        return processes.views(asked, (z1, z2), denominator="negatives", sigma=sigma)
    z1, z2 = _checked((z1, z2), reduction)
    sigma = checks.positive("sigma", sigma)
    options = (temperature, normalize, reduction, return_stats, precision, backend)
    z, problem = _one_set((z1, z2), *options)
    found = row_statistics(z, None, problem)
    # Detached once more: for forward mode no_grad is nothing.
    with torch.no_grad():
        similarity = paired_similarity(z1, z2, normalize) / sigma
        weight = (2 - len(z1) * similarity.softmax(dim=0)).repeat(2).detach()
    loss = checks.reduce(weighted_row_loss(found, weight), reduction)
    if not return_stats:
        return loss
    return loss, contrastive_stats(found, problem.statistics, normalize)
