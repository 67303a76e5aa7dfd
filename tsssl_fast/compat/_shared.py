"""What the modules of this folder share: arguments, dtypes, a loss per row."""

from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.functional import batch_norm

from tsssl_fast.common import checks, collectives
from tsssl_fast.functional.contrastive.problem import Problem
from tsssl_fast.functional.contrastive.row_losses import Rows
from tsssl_fast.functional.contrastive.solve import row_statistics
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN, log1p_exp

HALF = (torch.float16, torch.bfloat16)


def need_distributed(option: str, wanted: bool) -> None:
    if wanted and not dist.is_available():
        raise ValueError(f"{option}: True; accepted: False, as torch.distributed is not available")


# Types of arguments, with their checks.
AmongProcesses = Annotated[bool, need_distributed]
Weight = Annotated[float, checks.non_negative]


def refuse(option: str, instead: str) -> None:
    raise NotImplementedError(f"{option}: not implemented; {instead}")


def refusing(module: str, instead: Mapping[str, str]) -> Callable[[str], object]:
    """A module's `__getattr__` for names of the peer that are not there, each with what to write
    instead. NotImplementedError: of an AttributeError `from ... import` would show its own line."""

    def missing(name: str) -> object:
        if name in instead:
            refuse(name, instead[name])
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return missing


def pair(names: tuple[str, str], a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two (N, D) tensors alike, in the wider dtype of both."""
    if not (
        isinstance(a, Tensor) and isinstance(b, Tensor) and a.dim() == 2 and a.shape == b.shape
    ):
        checks.matrix(names[0], a)
        checks.matrix(names[1], b)
        checks.alike(names, (a, b))
    return promoted(a, b)


def promoted(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.dtype != b.dtype:
        a, b = checks.promoted(a, b)
    return a, b


def widened(*tensors: Tensor) -> tuple[Tensor, ...]:
    """float32 for 16-bit tensors: the arithmetic of plain torch here is never narrower."""
    return tuple(x.float() if x.dtype in HALF else x for x in tensors)


def result(loss: Tensor, like: Tensor) -> Tensor:
    """In the dtype that the peers' results have: their inputs', but float32 under autocast."""
    if like.dtype in HALF and not torch.is_autocast_enabled(like.device.type):
        return loss.to(like.dtype)
    return loss


def square(name: str, x: Tensor) -> None:
    if x.dim() != 2 or x.shape[0] != x.shape[1]:
        raise AssertionError(f"{name}: shape {tuple(x.shape)}; accepted: a square matrix")


def barlow_among_processes(z1: Tensor, z2: Tensor, lambd: float) -> Tensor:
    """Barlow Twins of the mean of the processes' cross-correlations, each standardised by its own
    batch; in plain torch, with the D x D matrix."""
    a, b = (batch_norm(z, None, None, training=True) for z in widened(z1, z2))
    c = collectives.sum_over_processes(a.T @ b / (len(a) * collectives.world_size()))
    on = (1 - c.diagonal()).square().sum()
    return on + lambd * (c.square().sum() - c.diagonal().square().sum())


def rows_against(
    q: Tensor,
    k: Tensor | None,
    q_ids: Tensor,
    k_ids: Tensor,
    temperature: float,
    *,
    normalize: bool,
    skip_diagonal: bool = False,
    denominator: str = "all",
) -> Rows:
    """What the engine knows of every query: equal ids are positives.

    k: None: q itself, each row but itself. skip_diagonal: key i is query i, and left out.
    """
    rules = PLAIN._replace(q_id=q_ids, k_id=k_ids, normalize=normalize, skip_diagonal=skip_diagonal)
    return row_statistics(q, k, Problem(rules, temperature, denominator=denominator))


def mean_log_loss(found: Rows) -> Tensor:
    """Per query, the mean over its positives p of log(sum over all keys exp(a)) - a_p; 0 without.

    A query without negatives is compared with its positives alone, which the losses of
    `tsssl_fast.functional` count as 0."""
    x = found.negative - torch.where(found.has_positive, found.positive, 0.0)
    x = torch.where(found.has_negative, x, -torch.inf)
    loss = log1p_exp(x) + found.gap
    return torch.where(found.has_positive, loss, 0.0)
