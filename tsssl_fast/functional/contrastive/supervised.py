"""The loss of labelled rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive import arguments, processes
from tsssl_fast.functional.contrastive.engine import contrastive_loss
from tsssl_fast.functional.contrastive.options import Off, On, ProcessOptions
from tsssl_fast.functional.contrastive.problem import MEAN_OVER, Temperature
from tsssl_fast.functional.contrastive.solve import Loss, by_ids, solve
from tsssl_fast.functional.contrastive.statistics import ContrastiveStats
from tsssl_fast.functional.contrastive.synthesis import mix_hardest_pairs

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Labelled(ProcessOptions, total=False):
    mean_over: str


@overload
def sup_con_loss(
    z: Tensor, labels: Tensor, *, return_stats: Off = ..., **options: Unpack[_Labelled]
) -> Tensor: ...
@overload
def sup_con_loss(
    z: Tensor, labels: Tensor, *, return_stats: On, **options: Unpack[_Labelled]
) -> tuple[Tensor, ContrastiveStats]: ...
@overload
def sup_con_loss(
    z: Tensor, labels: Tensor, *, return_stats: bool, **options: Unpack[_Labelled]
) -> Loss: ...
def sup_con_loss(
    z: Tensor,
    labels: Tensor,
    *,
    temperature: Temperature = 0.1,
    normalize: bool = True,
    reduction: str = "mean",
    mean_over: str = "with_positive",
    return_stats: bool = False,
    precision: str | None = None,
    process_group: Group = None,
    ddp: bool = True,
    backend: str | None = None,
) -> Loss:
    """Supervised contrastive loss, "out" form (Khosla et al., NeurIPS 2020, eq. 2):
    mean over the positives p of -log(exp(a_ip) / sum_{k != i} exp(a_ik)).

    Args:
        z: (M, D), all views of all samples, or (N, V, D), V views of N samples; 16-bit inputs are
            computed in float32.
        labels: (M,) integers, (N,) for (N, V, D); equal labels are positives. Without labels:
            nt_xent_loss(*z.unbind(1)).
        temperature: tau > 0: a float, a 0-d tensor (gets its gradient), (M,), one per row, (N, V)
            for (N, V, D), or a PairTemperature.
        normalize: False: dot products.
        reduction: "mean", "sum", or "none" for (M,), (N, V) for (N, V, D).
        mean_over: the mean's denominator, rows "with_positive" or "all".
        return_stats: also a :class:`ContrastiveStats`. precision: as in :func:`nt_xent_loss`.
        process_group, ddp: as for :func:`nt_xent_loss`; labels of all processes meet.
        backend: see the package.

    Returns:
        The loss; float32 for 16-bit inputs. Rows without a positive or a negative contribute 0.

    Raises:
        TypeError, ValueError: naming the argument; BackendUnavailableError for a forced backend.
    """
    if process_group is not None:
        rest = (temperature, normalize, reduction, return_stats, precision, backend)
        asked = processes.Asked("sup_con_loss", process_group, ddp, *rest)
        return _by_view(processes.labelled(asked, z, labels, mean_over), z, reduction)
    shaped = z
    z, labels, temperature = arguments.labelled_rows(z, labels, temperature)
    arguments.check_temperature(temperature, z)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    checks.choice("mean_over", mean_over, MEAN_OVER)
    options = (temperature, normalize, reduction, return_stats, precision, backend)
    problem = by_ids(labels, *options)
    return _by_view(solve(z, None, problem._replace(mean_over=mean_over)), shaped, reduction)


def _by_view(loss: Loss, z: Tensor, reduction: str) -> Loss:
    """Losses of rows in the shape that the rows have in z."""
    if z.dim() == 2 or reduction != "none":
        return loss
    if isinstance(loss, tuple):
        return loss[0].view(z.shape[:2]), loss[1]
    return loss.view(z.shape[:2])


def core_tuning_loss(
    z: Tensor,
    labels: Tensor,
    *,
    temperature: Temperature = 0.1,
    least: float = 0.8,
    reduction: str = "mean",
    generator: torch.Generator | None = None,
    precision: str | None = None,
    backend: str | None = None,
) -> Tensor:
    """The supervised contrastive loss with a harder positive for every row, the term that
    Unleashing the Power of Contrastive Self-Supervised Visual Models via Contrast-Regularized
    Fine-Tuning, 2021 (Core-tuning) adds to the cross-entropy. With z' of :func:`mix_hardest_pairs`:

        loss_i = mean over p in P_i of -log( e^{a_ip} / sum_{k != i} e^{a_ik} )

    k runs over the rows of z and of z', P_i over those of the label of row i among them.

    Deviations: neither focal weights nor mixed negatives.

    Args:
        z: (N, D). labels: (N,) integers.
        temperature, precision, backend: as in :func:`sup_con_loss`.
        least, generator: as in :func:`mix_hardest_pairs`.
        reduction: "mean" over the rows with a positive, "sum", or "none" for (N,).

    Returns:
        The loss; float32 for 16-bit inputs. A batch without two rows of a label gives 0.

    Raises:
        TypeError, ValueError: naming the argument; BackendUnavailableError for a forced backend.
    """
    harder, valid = mix_hardest_pairs(z, labels, least=least, generator=generator)
    count = len(z)
    others = ~torch.eye(count, 2 * count, dtype=torch.bool, device=z.device)
    loss: Tensor = contrastive_loss(
        z,
        torch.cat([z, harder]),
        temperature=temperature,
        q_ids=labels,
        k_ids=labels.repeat(2),
        k_valid=torch.cat([torch.ones_like(valid), valid]),
        pair_mask=others,
        reduction=reduction,
        mean_over="with_positive",
        precision=precision,
        backend=backend,
    )
    return loss
