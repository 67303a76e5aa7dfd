"""Many small contrastive problems at once, and the hierarchical loss of TS2Vec made of them."""

import torch
from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.sides import embedded
from tsssl_fast.functional.contrastive.solve import backend_name
from tsssl_fast.ops.contrastive.operators import hierarchical as operator
from tsssl_fast.ops.contrastive.operators.grouped import grouped_nt_xent

__all__ = ["grouped_nt_xent_loss", "hierarchical_contrastive_loss"]


def hierarchical_contrastive_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    alpha: float = 0.5,
    temperature: float | Tensor = 1.0,
    normalize: bool = False,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Instance and temporal contrast on every level of a max-pooled pyramid (TS2Vec, Yue et al.,
    AAAI 2022): the mean over levels of alpha L_instance + (1 - alpha) L_temporal, where L_instance
    contrasts the series of the batch at each step, L_temporal the steps of each series; both
    NT-Xent of the two views on dot products, the mean over rows. The last level (one step) has
    L_instance only. One operator forward and one backward; nothing of size T x T is stored.

    Args:
        z1, z2: (B, T, D) representations of two views, aligned in time.
        alpha: weight of the instance contrast, in [0, 1].
        temperature: tau > 0; a 0-d tensor gets its gradient, for two operators a level.
        normalize: cosine instead of dot product.
        lengths: (B,) int64, valid steps per series, 1 to T: padding takes no part, and its gradient
            is 0; level by level floor(length / 2).

    Returns:
        Scalar; float32 for 16-bit inputs.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    _check_views(z1, z2)
    checks.at_least("alpha", alpha, 0.0)
    if alpha > 1:
        raise ValueError(f"alpha: {alpha}; accepted: a number in [0, 1]")
    arguments.check_temperature_value("temperature", temperature)
    name = backend_name(backend)
    if lengths is not None:
        _check_lengths(lengths, z1)
        order = lengths.argsort(descending=True, stable=True)
        z1, z2, lengths = z1[order], z2[order], lengths[order]
    if not isinstance(temperature, Tensor):
        return operator.hierarchical_nt_xent(
            z1, z2, lengths, float(alpha), float(temperature), normalize, name
        )
    pyramid = list(operator.levels(z1, z2, lengths, float(alpha)))
    losses = [
        part.weight * _grouped(part.z1, part.z2, temperature, normalize, part.lengths, name).sum()
        for level in pyramid
        for part in operator.parts(level)
    ]
    return torch.stack(losses).sum() / len(pyramid)


def grouped_nt_xent_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """G independent NT-Xent problems (see :func:`nt_xent_loss`), one thread each: (G, 2L) losses.

    Args:
        z1, z2: (G, L, D), two views of each problem's rows; any strides.
        temperature: tau > 0; a 0-d tensor gets its gradient.
        lengths: (G,) int64, rows of each problem, 1 to L; None: L. The 2 lengths[g] losses of
            problem g come first in its row (z1's rows, then z2's), zeros behind; rows beyond are
            not read and get zero gradient.
    """
    _check_views(z1, z2)
    arguments.check_temperature_value("temperature", temperature)
    if lengths is not None:
        _check_lengths(lengths, z1)
    return _grouped(z1, z2, temperature, normalize, lengths, backend_name(backend))


def _grouped(
    z1: Tensor,
    z2: Tensor,
    temperature: float | Tensor,
    normalize: bool,
    lengths: Tensor | None,
    backend: str,
) -> Tensor:
    if isinstance(temperature, Tensor):
        # The rows carry it: their dot products over tau.
        z1, z2 = (embedded(z, None, normalize) for z in (z1, z2))
        root = temperature.to(z1.dtype).rsqrt()
        z1, z2, temperature, normalize = z1 * root, z2 * root, 1.0, False
    return grouped_nt_xent(z1, z2, lengths, float(temperature), normalize, backend)[0]


def _check_views(z1: Tensor, z2: Tensor) -> None:
    for name, z in (("z1", z1), ("z2", z2)):
        checks.floating(name, z)
        if z.dim() != 3 or 0 in z.shape:
            raise ValueError(
                f"{name}: shape {tuple(z.shape)}; accepted: three sizes, none of them 0"
            )
    checks.alike(("z1", "z2"), (z1, z2))


def _check_lengths(lengths: Tensor, z: Tensor) -> None:
    if not isinstance(lengths, Tensor) or lengths.dtype != torch.int64:
        given = getattr(lengths, "dtype", type(lengths).__name__)
        raise TypeError(f"lengths: {given}; accepted: an int64 tensor")
    if tuple(lengths.shape) != (len(z),) or lengths.device != z.device:
        raise ValueError(
            f"lengths: shape {tuple(lengths.shape)} on {lengths.device}; "
            f"accepted: ({len(z)},) on {z.device}"
        )
    if bool((lengths < 1).any()) or bool((lengths > z.shape[1]).any()):
        raise ValueError(f"lengths: outside 1 to T = {z.shape[1]}")
