"""Losses of all pairs that are no setting of the engine, in blocks of rows of plain torch: memory
for the embeddings and one block."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.problem import PairTemperature, Temperature
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference.pairs import in_range


def check_temperature(temperature: Temperature, q: Tensor) -> None:
    """A float, a 0-d tensor or (N,); these losses have one relation, hence no PairTemperature."""
    if isinstance(temperature, PairTemperature):
        raise TypeError("temperature: PairTemperature; accepted: a number, a 0-d or an (N,) tensor")
    arguments.check_temperature(temperature, q)


def inverse_temperature(temperature: Temperature, like: Tensor) -> float | Tensor:
    """1 / tau, to multiply (rows, ...) with: a number, 0-d, or (N, 1)."""
    assert not isinstance(temperature, PairTemperature)
    if not isinstance(temperature, Tensor):
        return 1 / temperature
    beta = (1 / temperature).to(like.dtype)
    return beta[:, None] if beta.dim() else beta


def device_type(x: Tensor) -> str:
    """For torch.autocast, which knows none of meta tensors."""
    return "cpu" if x.is_meta else x.device.type


def row_blocks(rows: int, columns: int, block: Callable[[int, int], Tensor]) -> Tensor:
    """block(first, last) -> (last - first, ...), one after the other; of several blocks each is
    recomputed in the backward, so that one lives at a time."""
    step = max(1, spec.BLOCK_ELEMENTS // columns)
    steps = [(first, min(first + step, rows)) for first in range(0, rows, step)]
    if len(steps) == 1:
        return block(*steps[0])
    # torch.func's transforms do not know the hooks of recomputation.
    if torch._C._are_functorch_transforms_active():
        return torch.cat([block(*bounds) for bounds in steps])
    parts = [checkpoint(block, *s, use_reentrant=False, preserve_rng_state=False) for s in steps]
    return torch.cat(parts)


def unit_rows(z: Tensor, normalize: bool = True) -> Tensor:
    """(..., D) rows in the arithmetic's dtype, over their norm where asked; a row that counts as
    zero becomes 0 and gets no gradient."""
    u, inverse = scaled_rows(z, normalize)
    return u if inverse is None else u * inverse[..., None]


Rows = tuple[Tensor, Tensor | None]


def scaled_rows(z: Tensor, normalize: bool = True) -> Rows:
    """(..., D) rows times constants that make their norms nearly 1, and (...,) 1 / norm then; a row
    that counts as zero becomes 0, with 1. Without `normalize` the rows as they are, and None.

    A cosine does not change with its rows' lengths, so its gradient needs none of the constants:
    fewer passes over the rows than dividing by the norm."""
    z = z.to(spec.compute_dtype(z.dtype))
    if not normalize:
        return z, None
    with torch.no_grad():
        held, factor = in_range(z)
        norm = torch.linalg.vector_norm(held, dim=-1, keepdim=True)
        zero = norm <= spec.TINY_NORM * factor
        scale = torch.where(zero, 0.0, factor / norm)
    u = z * scale
    return u, torch.where(zero[..., 0], 1.0, u.square().sum(-1)).rsqrt()


def similarities(q: Rows, keys: Rows) -> Tensor:
    """Of `scaled_rows` to keys of their own, over the last dimension, where both broadcast."""
    (u, u_inverse), (v, v_inverse) = q, keys
    dot = (u * v).sum(-1)
    return dot if u_inverse is None or v_inverse is None else dot * (u_inverse * v_inverse)


def cosines(q: Tensor, keys: Tensor, normalize: bool) -> Tensor:
    """Similarity of rows to keys of their own, over the last dimension: (..., D), (..., D), which
    broadcast, in the arithmetic's dtype; a row that counts as zero has cosine 0."""
    return similarities(scaled_rows(q, normalize), scaled_rows(keys.to(q.dtype), normalize))
